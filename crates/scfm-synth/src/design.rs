use rand::Rng;
use rand_chacha::ChaCha8Rng;
use scfm_core::Seeds;

use crate::screen::ScreenParams;
use crate::world::World;
use crate::{Error, draw, error::check};

/// Shape of the gamma distribution of stress over perturbations of a kind.
const STRESS_SHAPE: f64 = 4.0;

/// What a guide does to the production of its gene.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Modality {
    /// CRISPR interference or knock-out: a share of production is silenced.
    Interference {
        /// Smallest and largest share silenced.
        efficiency: (f64, f64),
    },
    /// CRISPR activation: production is multiplied.
    Activation {
        /// Smallest and largest factor.
        fold: (f64, f64),
    },
}

impl Modality {
    pub(crate) fn check(&self) -> Result<(), Error> {
        match *self {
            // Production silenced altogether has no logarithm.
            Self::Interference {
                efficiency: (low, high),
            } => {
                check("efficiency.1", high, 0.0, 0.999)?;
                check("efficiency.0", low, 0.0, high)
            }
            Self::Activation { fold: (low, high) } => {
                check("fold.1", high, 1.0, 1_000.0)?;
                check("fold.0", low, 1.0, high)
            }
        }
    }

    /// What a guide multiplies production by.
    fn draw(self, rng: &mut impl Rng) -> f64 {
        match self {
            Self::Interference {
                efficiency: (low, high),
            } => 1.0 - draw::uniform_between(rng, low, high),
            Self::Activation { fold: (low, high) } => draw::uniform_between(rng, low, high),
        }
    }
}

/// A guide of the screen.
#[derive(Debug, Clone, PartialEq)]
pub struct Guide {
    /// Position of its gene in [`Screen::perturbed`](crate::Screen::perturbed), `None` for a non-targeting guide.
    pub perturbed: Option<usize>,
    /// Its label: the gene's symbol or `non-targeting`, `_` and its number from 1.
    pub label: String,
    /// What it multiplies its gene's production by: below 1 under interference, above 1 under activation.
    pub production: f64,
}

/// What a perturbation does beyond its guides.
pub(crate) struct Perturbation {
    /// Position in the world's panel.
    pub(crate) gene: usize,
    /// How far the cell goes along the stress loadings.
    pub(crate) stress: f64,
}

/// Which genes are perturbed with which guides.
pub(crate) struct Design {
    pub(crate) perturbations: Vec<Perturbation>,
    /// Non-targeting guides first, then gene by gene.
    pub(crate) guides: Vec<Guide>,
}

impl Design {
    /// Chooses genes in the order of the panel, well expressed ones with a better chance as real screens do.
    pub(crate) fn draw(world: &World, params: &ScreenParams, seeds: Seeds) -> Self {
        let rng = &mut world.stream(seeds, "perturbed", 0);
        let mut perturbations = Vec::new();
        for (tf, n, mean_stress) in [
            (true, params.n_perturbed_tfs, params.stress.0),
            (false, params.n_perturbed_others, params.stress.1),
        ] {
            let genes = world.abundance().iter().zip(world.is_tf());
            let weights: Vec<f64> = genes
                .map(|(&w, &is_tf)| if is_tf == tf { w } else { 0.0 })
                .collect();
            for gene in draw::weighted_sample(rng, &weights, n) {
                let stress = mean_stress * draw::gamma(rng, STRESS_SHAPE) / STRESS_SHAPE;
                perturbations.push(Perturbation { gene, stress });
            }
        }
        perturbations.sort_unstable_by_key(|perturbation| perturbation.gene);

        let rng = &mut world.stream(seeds, "guides", 0);
        let mut guides: Vec<Guide> = (1..=params.n_control_guides)
            .map(|number| Guide {
                perturbed: None,
                label: format!("non-targeting_{number}"),
                production: 1.0,
            })
            .collect();
        for (perturbed, perturbation) in perturbations.iter().enumerate() {
            for number in 1..=params.guides_per_gene {
                guides.push(Guide {
                    perturbed: Some(perturbed),
                    label: format!("{}_{number}", world.genes().gene(perturbation.gene)),
                    production: params.modality.draw(rng),
                });
            }
        }
        Self {
            perturbations,
            guides,
        }
    }

    /// The guide of each cell, in random order; control cells are dealt out evenly to the non-targeting guides.
    pub(crate) fn guides_of_cells(&self, params: &ScreenParams, rng: &mut ChaCha8Rng) -> Vec<usize> {
        let mut guides: Vec<usize> = (0..params.n_controls)
            .map(|cell| cell % params.n_control_guides)
            .collect();
        for guide in params.n_control_guides..self.guides.len() {
            guides.resize(guides.len() + params.cells_per_guide, guide);
        }
        draw::shuffle(rng, &mut guides);
        guides
    }
}
