//! Simulated perturbation screens and cell states drawn from a known regulatory network, as the audit's own control.
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
//! Cells may be followed molecule by molecule ([`Dynamics`]), ambient RNA may be added ([`ScreenParams::ambient`]), and a
//! world may be made to look like the cells of a given count matrix:
//!
//! ```
//! use scfm_core::Seeds;
//! use scfm_synth::{Marginals, ScreenParams, World, WorldParams};
//!
//! # let given = World::new(WorldParams { n_genes: 60, n_tfs: 9, ..WorldParams::new("given") }, Seeds::new(1))?;
//! # let given = given.screen(&ScreenParams { n_perturbed_tfs: 0, n_perturbed_others: 0, ..ScreenParams::default() }, Seeds::new(1))?.counts;
//! let aim = Marginals::of(&given)?;
//! let params = WorldParams { n_genes: 60, n_tfs: 9, ..WorldParams::new("example") };
//! let screen = ScreenParams { n_perturbed_tfs: 5, n_perturbed_others: 0, ..ScreenParams::default() };
//! let (world, screen) = World::calibrated(params, screen, &aim, Seeds::new(0))?;
//! let found = Marginals::of(&world.screen(&screen, Seeds::new(0))?.counts)?;
//! assert!(aim.distance(&found).log_variance_at_mean < 0.3);
//! # Ok::<(), scfm_synth::Error>(())
//! ```
//!
//! Where a whole experiment is too much, a [`StateMixture`] holds cells of several states with edges of their own; those
//! of [`published`] are the ones that archived results were computed from.
//!
//! But for those, everything comes from the streams of [`scfm_core::Seeds`] and from arithmetic that is the same on every platform
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
mod calibration;
mod cells;
mod design;
pub mod draw;
mod dynamics;
mod error;
mod marginals;
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
pub use marginals::{Distance, Marginals};
pub use mixture::{MixtureParams, ScoreMixture, Separation, StateMixture, cells_in_proportion};
pub use network::{Edge, Network, NetworkParams, Sign};
pub use reference::{ReferenceParams, ReferenceRow};
pub use relations::{AnnotatedSet, GeneSetParams, Interaction, InteractionParams, RegulonParams, RegulonRow};
pub use screen::{Cell, Screen, ScreenParams};
pub use world::{Family, World, WorldParams};
