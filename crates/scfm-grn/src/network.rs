use std::collections::{HashMap, HashSet};
use std::io::{BufReader, Read};
use std::path::Path;

use ndarray::Array1;
use scfm_core::{GeneId, Ledger, Panel};

use crate::edge_list::{self, Format};
use crate::{Crosswalk, Error, Level, lines};

/// All modes that a reference gives to one pair; different publications may disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Modes {
    /// Some line says activation.
    pub activation: bool,
    /// Some line says repression.
    pub repression: bool,
    /// Some line leaves the mode open.
    pub unknown: bool,
}

impl Modes {
    /// Whether at least one line names activation or repression.
    pub fn known(self) -> bool {
        self.activation || self.repression
    }

    pub(crate) const ACTIVATION: Self = Self {
        activation: true,
        repression: false,
        unknown: false,
    };
    pub(crate) const REPRESSION: Self = Self {
        activation: false,
        repression: true,
        unknown: false,
    };
    pub(crate) const UNKNOWN: Self = Self {
        activation: false,
        repression: false,
        unknown: true,
    };

    fn add(&mut self, other: Self) {
        self.activation |= other.activation;
        self.repression |= other.repression;
        self.unknown |= other.unknown;
    }
}

/// A directed pair of a reference network.
#[derive(Debug, Clone, PartialEq)]
pub struct Edge {
    /// The regulator, or the first gene of an undirected pair.
    pub source: GeneId,
    /// The regulated gene.
    pub target: GeneId,
    /// The modes of all lines with this pair.
    pub modes: Modes,
    /// The weight of largest magnitude among the lines with this pair, where any has one; CollecTRI's is its sign.
    pub weight: Option<f64>,
    /// The best of the lines' levels of confidence, where any has one.
    pub level: Option<Level>,
}

impl Edge {
    /// Whether source and target are one gene. Self pairs are kept in the network but are never candidates.
    pub fn is_self(&self) -> bool {
        self.source == self.target
    }

    /// 1 where the source raises its target and -1 where it lowers it, by the modes or else by the weight's sign;
    /// nothing where the lines disagree or do not say. A weight without a sign, as an importance, reads as 1.
    pub fn sign(&self) -> Option<i8> {
        match (self.modes.activation, self.modes.repression) {
            (true, false) => Some(1),
            (false, true) => Some(-1),
            (true, true) => None,
            (false, false) => self.weight.map(|weight| if weight < 0.0 { -1 } else { 1 }),
        }
    }
}

/// A curated network: distinct directed pairs in the order in which the file first names them.
#[derive(Debug, Clone)]
pub struct ReferenceNetwork {
    name: String,
    edges: Vec<Edge>,
    n_lines: usize,
    n_absent: usize,
}

impl ReferenceNetwork {
    /// Reads a file, plain or gzip (told by its first bytes); its file name becomes the network's name.
    ///
    /// # Errors
    /// See [`ReferenceNetwork::from_reader`].
    pub fn read(path: &Path, format: Format) -> Result<Self, Error> {
        let (name, file) = lines::open(path)?;
        edge_list::read(path, file, format).map(|lines| lines.into_network(name.into_owned()))
    }

    /// Reads a network from `reader`, plain or gzip; `name` stands for the file in errors.
    ///
    /// A byte order mark, empty lines and lines that open with `#` are passed over. Every other line is an edge, the
    /// header of an edge list, or an error; lines are never dropped.
    ///
    /// # Errors
    /// The first line that is not understood, with what was found there; [`Error::Empty`] where no edge is left,
    /// [`Error::Read`] for a broken stream, [`Error::TooLarge`] beyond 1 GiB of text.
    pub fn from_reader(name: &str, reader: impl Read, format: Format) -> Result<Self, Error> {
        edge_list::read(Path::new(name), BufReader::new(reader), format)
            .map(|lines| lines.into_network(name.to_owned()))
    }

    /// The name of the network: its file name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All distinct pairs, self pairs among them.
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// Number of lines that hold an edge; what exceeds the number of edges was merged.
    pub fn n_lines(&self) -> usize {
        self.n_lines
    }

    /// Number of lines with weight 0, which say that there is no edge; gold standards list such pairs.
    pub fn n_absent(&self) -> usize {
        self.n_absent
    }

    /// The pairs whose source is their target.
    pub fn self_pairs(&self) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(|edge| edge.is_self())
    }

    /// Number of distinct sources.
    pub fn n_sources(&self) -> usize {
        distinct(self.edges.iter().map(|edge| &edge.source))
    }

    /// Number of distinct targets.
    pub fn n_targets(&self) -> usize {
        distinct(self.edges.iter().map(|edge| &edge.target))
    }

    /// The network of those edges for which `keep` holds, as for entries with a known mode.
    pub fn filter(&self, keep: impl Fn(&Edge) -> bool) -> Self {
        Self {
            edges: self.edges.iter().filter(|edge| keep(edge)).cloned().collect(),
            ..self.clone()
        }
    }

    /// The network of those edges whose level is `least` or better; edges without a level are left out.
    pub fn at_least(&self, least: Level) -> Self {
        self.filter(|edge| edge.level.is_some_and(|level| level <= least))
    }

    /// The network with its genes renamed, and what was lost on the way: genes that `crosswalk` does not have. Pairs that
    /// become one are merged.
    pub fn renamed(&self, crosswalk: &Crosswalk) -> (Self, Ledger) {
        let mut lines = Lines::default();
        let (mut n_lost, mut lost) = (0, Vec::new());
        for edge in &self.edges {
            match (crosswalk.get(&edge.source), crosswalk.get(&edge.target)) {
                (Some(source), Some(target)) => lines.merge(source.as_str(), target.as_str(), edge),
                (source, _) => {
                    n_lost += 1;
                    lost.push(if source.is_none() {
                        &edge.source
                    } else {
                        &edge.target
                    });
                }
            }
        }
        let subject = format!("{} pairs", self.name);
        let mut ledger = Ledger::new();
        let n_merged = (self.edges.len() - n_lost - lines.edges.len()) as u64;
        ledger.lost(&subject, "gene not in the crosswalk", n_lost as u64, lost);
        ledger.lost(
            &subject,
            "same pair after the crosswalk",
            n_merged,
            [] as [&str; 0],
        );
        ledger.kept(&subject, lines.edges.len() as u64);
        let renamed = Self {
            edges: lines.edges,
            ..self.clone()
        };
        (renamed, ledger)
    }

    /// Number of distinct other genes that each gene of `panel` is a source of in the whole network, also those
    /// outside the panel; 0 for genes that the network does not have.
    pub fn out_degree(&self, panel: &Panel) -> Array1<f64> {
        let mut degree = Array1::zeros(panel.len());
        for edge in self.edges.iter().filter(|edge| !edge.is_self()) {
            if let Some(position) = panel.position(edge.source.as_str()) {
                degree[position] += 1.0;
            }
        }
        degree
    }
}

/// The lines of a file as they come, with equal pairs merged.
#[derive(Default)]
pub(crate) struct Lines {
    genes: HashMap<String, GeneId>,
    edges: Vec<Edge>,
    position: HashMap<(GeneId, GeneId), usize>,
    n_lines: usize,
    n_absent: usize,
}

impl Lines {
    pub(crate) fn push(
        &mut self,
        source: &str,
        target: &str,
        modes: Modes,
        weight: Option<f64>,
        level: Option<Level>,
    ) {
        if weight == Some(0.0) {
            self.n_absent += 1;
            return;
        }
        self.n_lines += 1;
        let edge = self.edge(source, target);
        edge.modes.add(modes);
        if weight.is_some_and(|new| edge.weight.is_none_or(|old| new.abs() > old.abs())) {
            edge.weight = weight;
        }
        edge.level = edge.level.into_iter().chain(level).min();
    }

    /// Adds what another network says of a pair.
    fn merge(&mut self, source: &str, target: &str, edge: &Edge) {
        self.push(source, target, edge.modes, edge.weight, edge.level);
    }

    fn edge(&mut self, source: &str, target: &str) -> &mut Edge {
        let (source, target) = (self.intern(source), self.intern(target));
        let position = *self
            .position
            .entry((source.clone(), target.clone()))
            .or_insert_with(|| {
                self.edges.push(Edge {
                    source,
                    target,
                    modes: Modes::default(),
                    weight: None,
                    level: None,
                });
                self.edges.len() - 1
            });
        &mut self.edges[position]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.edges.is_empty()
    }

    fn intern(&mut self, gene: &str) -> GeneId {
        if let Some(id) = self.genes.get(gene) {
            return id.clone();
        }
        let id = GeneId::from(gene);
        self.genes.insert(gene.to_owned(), id.clone());
        id
    }

    fn into_network(self, name: String) -> ReferenceNetwork {
        ReferenceNetwork {
            name,
            edges: self.edges,
            n_lines: self.n_lines,
            n_absent: self.n_absent,
        }
    }
}

fn distinct<'a>(genes: impl Iterator<Item = &'a GeneId>) -> usize {
    genes.collect::<HashSet<_>>().len()
}
