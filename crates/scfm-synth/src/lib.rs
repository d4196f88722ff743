//! Simulated perturbation screens drawn from a known regulatory network, as the audit's own control.
//!
//! A [`World`] holds genes and the truth about them; a [`Screen`] is the CRISPR experiment that somebody runs in
//! it, and [`World::reference`] the curated network that somebody compares with. Nothing here says anything about
//! biology: symbols begin with `SIM`.
//!
//! ```
//! use scfm_core::Seeds;
//! use scfm_synth::{ReferenceParams, ScreenParams, World, WorldParams};
//!
//! let world = World::new(WorldParams { n_genes: 80, n_tfs: 12, ..WorldParams::new("example") }, Seeds::new(0))?;
//! let params = ScreenParams { n_controls: 100, n_perturbed_tfs: 5, n_perturbed_others: 2, ..ScreenParams::default() };
//! let screen = world.screen(&params, Seeds::new(0))?;
//! assert_eq!(screen.counts.n_cells(), 100 + 7 * 2 * 20);
//!
//! // A knock-down lowers its own gene.
//! let gene = screen.perturbed.gene(0);
//! let column = world.genes().position(gene.as_str()).unwrap();
//! assert!(screen.log_fold_changes[[0, column]] < 0.0);
//!
//! // The reference in the lines of a TRRUST file.
//! let lines: Vec<String> = world.reference(&ReferenceParams::default(), Seeds::new(0))?.iter().map(ToString::to_string).collect();
//! assert!(lines.iter().all(|line| line.starts_with("SIMTF")));
//! # Ok::<(), scfm_synth::Error>(())
//! ```
//!
//! Everything comes from the streams of [`scfm_core::Seeds`] and from arithmetic that is the same on every platform
//! (see [`draw`]), so that a world can be compared by hash:
//!
//! ```
//! use rand::SeedableRng;
//! use scfm_synth::draw;
//!
//! let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
//! let counts: Vec<f64> = (0..3).map(|_| draw::negative_binomial(&mut rng, 4.0, 0.5)).collect();
//! assert!(counts.iter().all(|c| c.fract() == 0.0));
//! ```

mod ambient;
mod cells;
mod design;
pub mod draw;
mod dynamics;
mod error;
mod mixture;
mod network;
pub mod numpy;
pub mod published;
mod reference;
mod relations;
mod rows;
mod screen;
mod world;

pub use design::{Guide, Modality};
pub use dynamics::{Bursts, Dynamics};
pub use error::Error;
pub use mixture::{MixtureParams, ScoreMixture, Separation, StateMixture, cells_in_proportion};
pub use network::{Edge, Network, NetworkParams, Sign};
pub use reference::{ReferenceParams, ReferenceRow};
pub use relations::{AnnotatedSet, GeneSetParams, Interaction, InteractionParams, RegulonParams, RegulonRow};
pub use screen::{Cell, Screen, ScreenParams};
pub use world::{Family, World, WorldParams};
