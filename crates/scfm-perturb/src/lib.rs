//! Perturbation screens: who was perturbed, which cells are controls, which genes responded, and whether an edge
//! score ranks the responders first.
//!
//! The way of a screen: [`guess_column`] and [`LabelReader`] turn the labels of cells into [`Assignments`];
//! [`split_controls`] draws the control cells, for edges and for differential expression apart;
//! [`highly_variable`] picks the panel; a [`Screen`] calls differential expression into a [`DeTable`], within
//! [`Strata`] where cells come from batches; [`guide_nulls`] asks whether its tests hold their level on this screen;
//! [`perturbation_first`] judges scores by it. This crate reads no files.
//!
//! ```
//! use scfm_core::{CountMatrix, Panel};
//! use scfm_perturb::{DeParams, Screen};
//! use sprs::CsMat;
//!
//! # fn cells(counts: &ndarray::Array2<f32>) -> CountMatrix {
//! #     let totals = vec![100.0; counts.nrows()];
//! #     let genes = Panel::new(["STAT1", "IRF1", "ACTB"]).unwrap();
//! #     CountMatrix::new(genes, CsMat::csr_from_dense(counts.view(), 0.0), totals).unwrap()
//! # }
//! // Rows are cells, columns STAT1, IRF1, ACTB.
//! let controls = cells(&ndarray::array![[4., 3., 9.], [5., 2., 8.], [6., 4., 9.], [5., 3., 7.]]);
//! let without_stat1 = cells(&ndarray::array![[0., 0., 9.], [1., 0., 8.], [0., 0., 9.], [0., 1., 7.]]);
//!
//! let params = DeParams { min_cells: 4, ..DeParams::default() };
//! let mut screen = Screen::new(&controls, params)?;
//! screen.add(&[("STAT1".into(), without_stat1)])?;
//! let calls = screen.finish()?;
//! assert!(calls.lfc(0, 0) < 0.0 && calls.is_positive(0, 1) && !calls.is_positive(0, 2));
//! # Ok::<(), scfm_perturb::Error>(())
//! ```
//!
//! Labels are read as screens spell them, and a file without controls is refused with what it holds instead:
//!
//! ```
//! use scfm_perturb::LabelReader;
//!
//! let labels = ["sgSTAT1_1", "sgSTAT1_2", "sgIRF1_1"].map(|label| Some(label.to_owned()));
//! let error = LabelReader::new(None).assign(&labels).unwrap_err();
//! assert!(error.to_string().starts_with("no control label among 3 labels"));
//! ```

mod column;
mod controls;
mod de;
mod de_table;
mod error;
mod evaluation;
mod expression;
mod groups;
mod guide_nulls;
mod hvg;
mod labels;
mod perturbation_first;
mod pseudo_screen;
mod strata;

pub use column::{ColumnGuess, guess_column};
pub use controls::{ControlSplit, split_controls};
pub use de::{DeParams, DeTest, Screen};
pub use de_table::{DeTable, Direction, KnockdownCheck, SelfEffect};
pub use error::Error;
pub use evaluation::{AurocDifference, Evaluable, EvaluationParams, MeanAuroc, Stream};
pub use guide_nulls::{GuideNull, GuideNulls, guide_nulls};
pub use hvg::{HighlyVariable, highly_variable};
pub use labels::{Assignment, Assignments, LabelReader};
pub use perturbation_first::{EdgeScores, PerturbationFirst, perturbation_first};
pub use pseudo_screen::{GeneNulls, PseudoGroups, top_responders};
pub use strata::Strata;
