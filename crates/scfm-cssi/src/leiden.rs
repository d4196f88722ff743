//! Communities of a graph by the Leiden algorithm (Traag, Waltman and van Eck 2019).

use std::ops::RangeInclusive;

use single_clustering::community_search::leiden::{LeidenConfig, ObjectiveKind, leiden as communities};
use single_clustering::network::CSRNetwork;

use crate::error::Error;
use crate::graph::Graph;

/// Passes over the graph at most; it stops earlier when a pass finds nothing more.
const MAX_PASSES: usize = 10;
/// Resolutions tried for one number of communities.
const LOOKS: usize = 16;

/// Communities of `graph` that maximise modularity at `resolution`; label 0 is the largest community, equal sizes in the
/// order of their first cells.
///
/// The objective is that of `leidenalg.RBConfigurationVertexPartition`, scanpy's default, on single-precision weights; each
/// pass starts from the partition of the last, until a pass finds nothing more. Bit-identical for a `seed`.
///
/// # Errors
/// [`Error::Graph`] for weights that are not finite and positive; [`Error::OutOfRange`] for a resolution that is not.
pub fn leiden(graph: &Graph, resolution: f64, seed: u64) -> Result<Vec<usize>, Error> {
    Communities::new(graph)?.at(resolution, seed)
}

/// Communities of one graph at any resolution.
#[derive(Debug, Clone)]
pub struct Communities {
    network: CSRNetwork,
}

impl Communities {
    /// Brings `graph` into the form that communities are looked for in.
    ///
    /// # Errors
    /// [`Error::Graph`] for weights that are not finite and positive.
    pub fn new(graph: &Graph) -> Result<Self, Error> {
        let (starts, cells) = (graph.starts.clone(), graph.cells.clone());
        let network = CSRNetwork::from_csr_parts(starts, cells, graph.weights.clone(), None)?;
        Ok(Self { network })
    }

    /// The communities at `resolution`, as [`leiden`].
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a resolution that is not finite and positive.
    pub fn at(&self, resolution: f64, seed: u64) -> Result<Vec<usize>, Error> {
        if !(resolution.is_finite() && resolution > 0.0) {
            return Err(Error::OutOfRange {
                what: "resolution",
                value: resolution,
                expected: "a finite number above 0",
            });
        }
        let config = LeidenConfig {
            objective: ObjectiveKind::Rb { resolution },
            seed: Some(seed),
            n_iterations: MAX_PASSES,
            patience: 1,
            ..LeidenConfig::default()
        };
        Ok(by_size(communities(&self.network, &config)?.labels()))
    }

    /// For each number of communities the partition that has it, if a resolution was found that gives it.
    ///
    /// The number grows with the resolution, though not strictly, so that some numbers may have no resolution. 16
    /// resolutions are tried for each number, doubled or halved until there are both too few and too many communities,
    /// then halfway between on the logarithmic scale.
    ///
    /// # Errors
    /// As [`Self::at`].
    pub fn by_number(&self, numbers: RangeInclusive<usize>, seed: u64) -> Result<Vec<Scanned>, Error> {
        // Partitions seen on the way to one number narrow the range of the next.
        let mut seen = Vec::new();
        numbers
            .map(|n_communities| {
                let found = self.find(n_communities, &mut seen, seed)?;
                Ok(found.map_or(Scanned::Unreached { n_communities }, Scanned::Found))
            })
            .collect()
    }

    fn find(&self, n: usize, seen: &mut Vec<Partition>, seed: u64) -> Result<Option<Partition>, Error> {
        for _ in 0..LOOKS {
            if let Some(found) = seen.iter().find(|partition| partition.n_communities == n) {
                return Ok(Some(found.clone()));
            }
            // All partitions behind the last one that has too few have too many.
            let few = seen.iter().rposition(|partition| partition.n_communities < n);
            let at = few.map_or(0, |few| few + 1);
            let resolution = match (few.map(|few| seen[few].resolution), seen.get(at)) {
                (Some(low), Some(high)) => (low * high.resolution).sqrt(),
                (Some(low), None) => 2.0 * low,
                (None, Some(high)) => high.resolution / 2.0,
                (None, None) => 1.0,
            };
            seen.insert(at, self.seen(resolution, seed)?);
        }
        Ok(None)
    }

    fn seen(&self, resolution: f64, seed: u64) -> Result<Partition, Error> {
        let labels = self.at(resolution, seed)?;
        Ok(Partition {
            resolution,
            n_communities: labels.iter().max().map_or(0, |&label| label + 1),
            labels,
        })
    }
}

/// Communities and the resolution that gave them.
#[derive(Debug, Clone, PartialEq)]
pub struct Partition {
    /// The resolution.
    pub resolution: f64,
    /// Number of communities.
    pub n_communities: usize,
    /// The community of each cell, as [`leiden`] numbers them.
    pub labels: Vec<usize>,
}

/// What came of the search for a number of communities.
#[derive(Debug, Clone, PartialEq)]
pub enum Scanned {
    /// A partition that has it.
    Found(Partition),
    /// No resolution was found.
    Unreached {
        /// The number looked for.
        n_communities: usize,
    },
}

/// Labels in descending order of their numbers of cells.
fn by_size(labels: &[usize]) -> Vec<usize> {
    let n_labels = labels.iter().max().map_or(0, |&label| label + 1);
    let mut sizes = vec![0; n_labels];
    let mut first = vec![usize::MAX; n_labels];
    for (cell, &label) in labels.iter().enumerate() {
        sizes[label] += 1;
        first[label] = first[label].min(cell);
    }
    let mut order: Vec<usize> = (0..n_labels).collect();
    order.sort_unstable_by_key(|&label| (std::cmp::Reverse(sizes[label]), first[label]));
    let mut place = vec![0; n_labels];
    for (at, label) in order.into_iter().enumerate() {
        place[label] = at;
    }
    labels.iter().map(|&label| place[label]).collect()
}
