//! Does a model use its parts, and do its own counterfactuals come true?
//!
//! [`MediationRun`] and [`CellEffects`] hold what single components restore of an effect; [`certified_share`] says which part
//! of their ranking survives a structural bias; [`SetFunction`] and [`sampled_shapley`] share an effect out among
//! components that act together. [`PatchedCell`] gets these effects from a model by activation patching, [`knock_out_effects`]
//! what it says of other genes when one is knocked out; both read a hidden gene through a [`ReadOut`]. [`SourceAgreement`] compares effects that a model predicts for knocking genes out with
//! those that were measured.
//!
//! Two components that each suffice alone: what single effects say, and what they share.
//!
//! ```
//! use scfm_ablation::SetFunction;
//!
//! // v(∅), v({a}), v({b}), v({a, b})
//! let either = SetFunction::new(vec![0.0, 1.0, 1.0, 1.0])?;
//! assert_eq!(either.single_effects(), [1.0, 1.0]);
//! assert_eq!(either.shapley(), [0.5, 0.5]);
//! assert_eq!(either.non_additivity(), 1.0);
//! # Ok::<(), scfm_ablation::Error>(())
//! ```

mod agreement;
mod certificates;
mod error;
mod knock_out;
mod mediation;
mod pairs;
mod patching;
mod read_out;
mod shapley;

pub use agreement::{Agreement, MIN_SOURCES, MIN_TARGETS, PooledAgreement, SourceAgreement, sign_share};
pub use certificates::{BiasModel, LAMBDAS, certified_share, fragility_test, is_top_certified};
pub use error::Error;
pub use knock_out::{KnockOut, PARTS, hidden_part, knock_out_effects};
pub use mediation::{CellEffects, MediationRun, OverCells, PUBLISHED_QUANTILE, Residual, residual_test};
pub use pairs::{CandidatePair, disjoint_pairs, spread_cells};
pub use patching::{Component, PatchedCell};
pub use read_out::{CellOf, MaskedGene, MaskedValue, ReadOut};
pub use shapley::{SampledShapley, SetFunction, sampled_shapley};
