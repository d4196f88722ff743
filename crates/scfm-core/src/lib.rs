//! The words of the project as types, so that every crate means the same thing by them.
//!
//! A [`Panel`] is the ordered list of genes that edges are scored over, an [`EdgeMatrix`] holds one score per
//! directed pair of two panels, a [`GeneTable`] a number per gene, a [`CountMatrix`] cells × genes,
//! [`Responses`] which genes answered which perturbation. Random
//! numbers come from [`Seeds`] alone; what is lost on the way to a candidate universe is counted in a
//! [`Ledger`]; anything written to disk passes through a [`Table`].
//!
//! ```
//! use ndarray::array;
//! use scfm_core::{EdgeKind, EdgeMatrix, Panel, Source, Target};
//!
//! let tfs = Panel::new(["STAT1", "IRF1"])?;
//! let genes = Panel::new(["STAT1", "IRF1", "UBE2L6"])?;
//! let edges = EdgeMatrix::new(EdgeKind::Spearman, tfs, genes, array![[1.0, 0.2, 0.4], [0.2, 1.0, f32::NAN]])?;
//! assert_eq!(edges.get(Source(0), Target(2)), Some(0.4));
//! assert_eq!(edges.get(Source(1), Target(2)), None); // the pair was never seen together
//! # Ok::<(), scfm_core::Error>(())
//! ```

mod cells;
mod edges;
mod error;
mod gene;
mod gene_table;
mod ledger;
mod moments;
mod panel;
mod responses;
mod seeds;
mod shown;
mod table;

pub use cells::{CountMatrix, log1p_cp10k};
pub use edges::{EdgeKind, EdgeMatrix, Head, Layer, Measure, ModelEdge, Orientation, Source, Target};
pub use error::Error;
pub use gene::GeneId;
pub use gene_table::GeneTable;
pub use ledger::{Ledger, Step};
pub use moments::ColumnMoments;
pub use panel::Panel;
pub use responses::Responses;
pub use seeds::Seeds;
pub use shown::Shown;
pub use table::{Column, Table};
