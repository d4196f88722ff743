//! Which heads of a model rank first, what happens without them, and whether anything could have happened.
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

mod conditions;
mod doses;
mod edge_effect;
mod edges;
mod error;
mod halves;
mod heads;
mod masked;
mod masked_effect;
mod predictor;
mod ranking;

pub use conditions::{Action, Condition, ConditionParams, Conditions};
pub use doses::{Dose, PUBLISHED_DOSES, doses};
pub use edge_effect::{Altered, EdgeEffect, EdgeEffectParams, edge_effect, perturbation_aurocs};
pub use edges::read_edges;
pub use error::Error;
pub use halves::{HALVES, Halves};
pub use heads::{HeadId, row_entropy};
pub use masked::{Fidelity, HIDDEN_SHARE, Hidden, MOST_HIDDEN, MaskedReadOut, read_masked};
pub use masked_effect::{MaskedDesign, RankedHarm, TargetChanges};
pub use predictor::{BinPredictor, Intact, Judgement, Predictor, TokenPredictor};
pub use ranking::{HalfScore, HeadScore, RankedBy, RankingTask, match_entropy, rank_heads};
