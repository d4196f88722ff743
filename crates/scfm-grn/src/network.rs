use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use ndarray::Array1;
use scfm_core::{GeneId, Panel};

use crate::Error;
use crate::edge_list::{self, Format};

/// What a source does to its target, as one line of a reference says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Mode {
    /// The source raises the target.
    Activation,
    /// The source lowers the target.
    Repression,
    /// The reference does not say.
    Unknown,
}

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

    fn insert(&mut self, mode: Mode) {
        match mode {
            Mode::Activation => self.activation = true,
            Mode::Repression => self.repression = true,
            Mode::Unknown => self.unknown = true,
        }
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
    /// The weight of largest magnitude among the lines with this pair, where any has one.
    pub weight: Option<f64>,
}

impl Edge {
    /// Whether source and target are one gene. Self pairs are kept in the network but are never candidates.
    pub fn is_self(&self) -> bool {
        self.source == self.target
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
        let file = File::open(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        edge_list::read(path, BufReader::new(file), format).map(|lines| lines.into_network(name.into_owned()))
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
    pub(crate) fn push(&mut self, source: &str, target: &str, mode: Mode, weight: Option<f64>) {
        if weight == Some(0.0) {
            self.n_absent += 1;
            return;
        }
        self.n_lines += 1;
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
                });
                self.edges.len() - 1
            });
        let edge = &mut self.edges[position];
        edge.modes.insert(mode);
        if weight.is_some_and(|new| edge.weight.is_none_or(|old| new.abs() > old.abs())) {
            edge.weight = weight;
        }
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
