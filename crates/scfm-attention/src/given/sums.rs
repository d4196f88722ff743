use candle_core::DType;
use ndarray::{Array2, ArrayView1};
use rayon::prelude::*;
use scfm_core::{EdgeMatrix, Layer, Measure, ModelEdge, Orientation, Panel};

use super::{GivenAttention, is_special};
use crate::edge_sums::{ONE, add_pair_counts};
use crate::{EdgeSums, Error};

/// How far from 1 the sum of a row may lie that counts as probabilities.
const TOLERANCE: f64 = 1e-3;
/// The same for bfloat16, each of whose numbers is rounded by up to 2⁻⁹ of it.
const COARSE_TOLERANCE: f64 = 1.0 / (1u64 << 8) as f64;
/// Room for rounding at the ends of the range of scores.
const ROUNDING: f64 = 1.0 / (1u64 << 16) as f64;

/// Sums of attention that other programs computed, between the genes of two panels.
///
/// The heads of a layer are averaged in 64-bit numbers, rounded once per cell and pair to a multiple of 2⁻⁴⁰, and summed as
/// integers, so that neither the order of the cells nor how they are split changes a bit. Scores may have any sign and size
/// that leaves the sums within 64 bits: over all cells together ±2²³.
#[derive(Debug, Clone, PartialEq)]
pub struct GivenSums {
    sources: Panel,
    targets: Panel,
    layers: Vec<EdgeSums>,
    /// Which of the layers of each cell.
    positions: Vec<usize>,
    n_cells: Array2<u32>,
    orientation: Orientation,
    cells_read: usize,
    cells_not_normalised: usize,
    /// The smallest and the largest score of a cell.
    range: (f64, f64),
}

impl GivenSums {
    /// Sums over no cell yet.
    pub fn new(layers: Vec<Layer>, sources: Panel, targets: Panel, orientation: Orientation) -> Self {
        let shape = (sources.len(), targets.len());
        let sums = |&layer: &Layer| {
            let zeros = Array2::zeros(shape);
            EdgeSums::new(
                ModelEdge::of_layer(Measure::Attention, layer),
                sources.clone(),
                targets.clone(),
                zeros,
            )
        };
        Self {
            positions: layers.iter().map(|layer| layer.0).collect(),
            layers: layers.iter().map(sums).collect(),
            n_cells: Array2::zeros(shape),
            orientation,
            cells_read: 0,
            cells_not_normalised: 0,
            range: (0.0, 0.0),
            sources,
            targets,
        }
    }

    /// Bytes that the sums of so many layers take.
    pub fn bytes(n_layers: usize, n_sources: usize, n_targets: usize) -> u64 {
        let per_pair = (n_layers * size_of::<i64>() + size_of::<u32>()) as u64;
        per_pair
            .saturating_mul(n_sources as u64)
            .saturating_mul(n_targets as u64)
    }

    /// Adds a cell. Its layers are read in parallel, one head of each at a time.
    ///
    /// # Errors
    /// Those of [`GivenAttention::head`]; [`Error::SumOverflow`] for scores that are too large, and the sums are then of no
    /// further use.
    ///
    /// # Panics
    /// When the cell has fewer layers than the sums.
    pub fn add(&mut self, cell: &GivenAttention) -> Result<(), Error> {
        let places = Places::of(cell, &self.sources, &self.targets, self.orientation);
        places.count(&mut self.n_cells)?;
        let layers = self.layers.par_iter_mut().zip(&self.positions);
        let seen: Vec<Seen> = layers
            .map(|(sums, &layer)| places.add(cell, layer, sums.sums_mut()))
            .collect::<Result<_, _>>()?;
        self.cells_read += 1;
        self.cells_not_normalised += usize::from(seen.iter().any(|seen| !seen.normalised));
        for seen in seen {
            self.widen(seen.range);
        }
        Ok(())
    }

    /// Adds the sums over other cells.
    ///
    /// # Errors
    /// [`Error::Merge`] for sums of other layers, over other panels or of another orientation; [`Error::SumOverflow`], and
    /// the sums are then of no further use.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        for (what, same) in [
            ("numbers of layers", self.layers.len() == other.layers.len()),
            ("source panels", self.sources == other.sources),
            ("target panels", self.targets == other.targets),
            ("orientations", self.orientation == other.orientation),
        ] {
            if !same {
                return Err(Error::Merge { what });
            }
        }
        for (mine, theirs) in self.layers.iter_mut().zip(&other.layers) {
            mine.add(theirs)?;
        }
        add_pair_counts(&mut self.n_cells, &other.n_cells)?;
        self.cells_read += other.cells_read;
        self.cells_not_normalised += other.cells_not_normalised;
        self.widen(other.range);
        Ok(())
    }

    /// The sums of the layers, in the order in which they were asked for.
    pub fn layers(&self) -> &[EdgeSums] {
        &self.layers
    }

    /// Number of cells that hold both genes, `[source, target]`.
    pub fn n_cells(&self) -> &Array2<u32> {
        &self.n_cells
    }

    /// Number of all cells that were added.
    pub fn cells_read(&self) -> usize {
        self.cells_read
    }

    /// Number of cells with a gene whose row does not sum to 1 over all tokens, within 0.001 (0.004 of bfloat16): scores
    /// that are no probabilities, or probabilities of which tokens were left out.
    pub fn cells_not_normalised(&self) -> usize {
        self.cells_not_normalised
    }

    /// Whether every row that was read sums to 1.
    pub fn is_normalised(&self) -> bool {
        self.cells_not_normalised == 0
    }

    /// The mean of the `index`-th layer over the cells that hold both genes; missing where there is none.
    ///
    /// # Errors
    /// Those of [`EdgeSums::mean_within`].
    ///
    /// # Panics
    /// When there are fewer layers.
    pub fn mean(&self, index: usize) -> Result<EdgeMatrix, Error> {
        let (low, high) = self.range;
        let room = |end: f64| ROUNDING * (1.0 + end.abs());
        self.layers[index].mean_within(&self.n_cells, low - room(low)..=high + room(high))
    }

    fn widen(&mut self, (low, high): (f64, f64)) {
        self.range = (self.range.0.min(low), self.range.1.max(high));
    }
}

/// Which tokens of a cell are genes of the panels: position in the panel, then in the cell, in the order of the panel.
struct Places {
    queries: Vec<(usize, usize)>,
    keys: Vec<(usize, usize)>,
    /// Tokens that are genes.
    genes: Vec<usize>,
    orientation: Orientation,
}

/// What was seen of a layer of one cell.
struct Seen {
    normalised: bool,
    range: (f64, f64),
}

impl Places {
    fn of(cell: &GivenAttention, sources: &Panel, targets: &Panel, orientation: Orientation) -> Self {
        let tokens = || {
            cell.genes()
                .iter()
                .enumerate()
                .filter(|(_, gene)| !is_special(gene))
        };
        let in_panel = |panel: &Panel| {
            let mut places: Vec<(usize, usize)> = tokens()
                .filter_map(|(place, gene)| Some((panel.position(gene)?, place)))
                .collect();
            places.sort_unstable();
            places
        };
        let (queries, keys) = match orientation {
            Orientation::Query => (sources, targets),
            Orientation::Key => (targets, sources),
        };
        Self {
            queries: in_panel(queries),
            keys: in_panel(keys),
            genes: tokens().map(|(place, _)| place).collect(),
            orientation,
        }
    }

    /// Source and target of a query and a key.
    fn pair(&self, query: usize, key: usize) -> (usize, usize) {
        match self.orientation {
            Orientation::Query => (query, key),
            Orientation::Key => (key, query),
        }
    }

    /// Counts the cell at each pair that it holds.
    fn count(&self, n_cells: &mut Array2<u32>) -> Result<(), Error> {
        for &(query, _) in &self.queries {
            for &(key, _) in &self.keys {
                let n = &mut n_cells[self.pair(query, key)];
                *n = n.checked_add(1).ok_or(Error::SumOverflow)?;
            }
        }
        Ok(())
    }

    /// Adds the mean over heads of one layer.
    fn add(&self, cell: &GivenAttention, layer: usize, sums: &mut Array2<i64>) -> Result<Seen, Error> {
        let mut scores = Array2::<f64>::zeros((self.queries.len(), self.keys.len()));
        let mut normalised = true;
        let tolerance = match cell.tensor.dtype {
            DType::BF16 => COARSE_TOLERANCE,
            _ => TOLERANCE,
        };
        for head in 0..cell.n_heads() {
            let attention = cell.head(layer, head)?;
            let is_one = |&gene: &usize| (sum(attention.row(gene)) - 1.0).abs() <= tolerance;
            normalised = normalised && self.genes.iter().all(is_one);
            for (&(_, query), mut scores) in self.queries.iter().zip(scores.outer_iter_mut()) {
                let row = attention.row(query);
                for (score, &(_, key)) in scores.iter_mut().zip(&self.keys) {
                    *score += f64::from(row[key]);
                }
            }
        }
        let n_heads = cell.n_heads() as f64;
        let mut range = (0.0f64, 0.0f64);
        for (&(query, _), scores) in self.queries.iter().zip(scores.outer_iter()) {
            for (&(key, _), &score) in self.keys.iter().zip(scores) {
                let score = score / n_heads;
                range = (range.0.min(score), range.1.max(score));
                let sum = &mut sums[self.pair(query, key)];
                *sum = fixed(score)
                    .and_then(|score| sum.checked_add(score))
                    .ok_or(Error::SumOverflow)?;
            }
        }
        Ok(Seen { normalised, range })
    }
}

fn sum(row: ArrayView1<'_, f32>) -> f64 {
    row.iter().map(|&value| f64::from(value)).sum()
}

/// A score in units of 2⁻⁴⁰, where it fits.
fn fixed(score: f64) -> Option<i64> {
    let units = (score * ONE).round_ties_even();
    // 2⁶³ itself, to which the largest integer would round, is out.
    (units.abs() < i64::MAX as f64).then_some(units as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_of_either_sign_are_fixed_while_they_fit() {
        let one = 1i64 << 40;
        assert_eq!(fixed(0.5), Some(one / 2));
        assert_eq!(fixed(-3.0), Some(-3 * one));
        assert_eq!(fixed(0.4 / ONE), Some(0));
        assert_eq!(fixed(f64::from(1u32 << 22)), Some(1i64 << 62));
        for large in [f64::from(1u32 << 23), -f64::from(1u32 << 23), f64::MAX, f64::NAN] {
            assert_eq!(fixed(large), None, "{large}");
        }
    }
}
