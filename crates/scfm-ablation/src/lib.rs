//! Does a model use its parts, could anything have been seen of it, and do the model's own counterfactuals come true?
//!
//! # Heads that are silenced
//!
//! Attention that names a regulator is worth something if the model uses it. Heads are [ranked](rank_heads) by how well
//! their attention finds a reference and the responses to perturbations, on [one half](Halves) of sources and targets; they
//! are silenced, made uniform, or feed-forward steps are left out ([`Conditions`]); and the other half says what that does.
//!
//! Two things are read. [Attention of the scored layer](read_edges) can change only by what is done below it, and
//! [`Condition::reaching`] refuses to have it judged otherwise: a null that holds by construction is no finding.
//! [Hidden genes](read_masked) are predicted at the end of the model, where everything arrives; the same genes are hidden
//! for all conditions, and how far hidden states and predictions moved ([`Fidelity`]) says whether an intervention was
//! large enough to judge.
//!
//! ```
//! use scfm_ablation::{ConditionParams, Conditions, HalfScore, HeadId, HeadScore};
//! use scfm_core::{Layer, Seeds};
//!
//! // A model of 6 layers of 4 heads, of which later ones find more.
//! let scores: Vec<HeadScore> = HeadId::all((6, 4))
//!     .enumerate()
//!     .map(|(i, head)| {
//!         let found = Some(0.5 + i as f64 / 100.0);
//!         let half = HalfScore { reference: found, perturbation: found, held_out: found };
//!         HeadScore { head, auroc: found, entropy: Some(1.0), halves: [half; 2] }
//!     })
//!     .collect();
//! let params = ConditionParams { shape: (6, 4), layer: Layer(4), n_draws: 10 };
//! let plan = Conditions::plan(&scores, &params, Seeds::new(0), "example")?;
//!
//! let best = plan.of_series("top-5").next().expect("heads have scores");
//! assert_eq!(best.heads[0].to_string(), "L5H3");
//! // It lies above the scored layer, whose attention never hears of it.
//! assert!(best.reaching(Layer(4)).is_err());
//! # Ok::<(), scfm_ablation::Error>(())
//! ```
//!
//! # Mediation and knock-outs
//!
//! [`MediationRun`] and [`CellEffects`] hold what single components restore of an effect; [`certified_share`] says which part
//! of their ranking survives a structural bias; [`SetFunction`] and [`sampled_shapley`] share an effect out among
//! components that act together. [`PatchedCell`] gets these effects from a model by activation patching,
//! [`knock_out_effects`] what it says of other genes when one is knocked out; both read a hidden gene through a [`ReadOut`].
//! [`SourceAgreement`] compares effects that a model predicts for knocking genes out with those that were measured.
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
mod conditions;
mod doses;
mod edge_effect;
mod edges;
mod error;
mod halves;
mod heads;
mod intact;
mod knock_out;
mod masked;
mod masked_effect;
mod mediation;
mod pairs;
mod patching;
mod predictor;
mod ranking;
mod read_out;
mod shapley;

pub use agreement::{Agreement, MIN_SOURCES, MIN_TARGETS, PooledAgreement, SourceAgreement, sign_share};
pub use certificates::{BiasModel, LAMBDAS, certified_share, fragility_test, is_top_certified};
pub use conditions::{Action, Condition, ConditionParams, Conditions};
pub use doses::{Dose, PUBLISHED_DOSES, doses};
pub use edge_effect::{Altered, EdgeEffect, EdgeEffectParams, edge_effect, perturbation_aurocs};
pub use edges::read_edges;
pub use error::Error;
pub use halves::{HALVES, Halves};
pub use heads::{HeadId, row_entropy};
pub use knock_out::{KnockOut, PARTS, hidden_part, knock_out_effects};
pub use masked::{Fidelity, Hidden, MOST_HIDDEN, MaskedReadOut, read_masked};
pub use masked_effect::{MaskedDesign, RankedHarm, TargetChanges};
pub use mediation::{CellEffects, MediationRun, OverCells, PUBLISHED_QUANTILE, Residual, residual_test};
pub use pairs::{CandidatePair, disjoint_pairs, spread_cells};
pub use patching::{Component, PatchedCell};
pub use predictor::{CellOf, Intact, Judgement, MaskedGene, MaskedValue, Predictor};
pub use ranking::{HalfScore, HeadScore, RankedBy, RankingTask, match_entropy, rank_heads};
pub use read_out::ReadOut;
pub use shapley::{SampledShapley, SetFunction, sampled_shapley};
