use crate::{GeneId, Shown};

/// What can be wrong with values handed to the types of this crate.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A gene stands in a panel twice.
    #[error("gene {} stands twice in the panel, at {first} and {second}", Shown(gene.as_str()))]
    DuplicateGene {
        /// The gene.
        gene: GeneId,
        /// Its first position.
        first: usize,
        /// Its second position.
        second: usize,
    },
    /// An array does not have the shape that the panels or cells ask for.
    #[error("{what} has shape {found:?}, expected {expected:?}")]
    Shape {
        /// Which array.
        what: String,
        /// The shape it has.
        found: Vec<usize>,
        /// The shape it should have.
        expected: Vec<usize>,
    },
    /// A value that no count can have.
    #[error("cell {cell}, gene {}: {value} is not a count", Shown(gene.as_str()))]
    NotACount {
        /// Row of the cell.
        cell: usize,
        /// The gene.
        gene: GeneId,
        /// What was found.
        value: f32,
    },
    /// A name of an edge kind, layer or orientation that is not understood.
    #[error("{} is not {expected}", Shown(&format!("{found:?}")))]
    Name {
        /// What was given.
        found: String,
        /// What would have been understood.
        expected: &'static str,
    },
    /// A column name that a table already has.
    #[error("column \"{}\" stands twice in the table", Shown(.0))]
    DuplicateColumn(String),
}
