use rand_chacha::ChaCha8Rng;
use scfm_core::Seeds;

use crate::draw;
use crate::screen::ScreenParams;
use crate::world::World;

/// Shape of the gamma distribution of stress over perturbations of a kind.
const STRESS_SHAPE: f64 = 4.0;

/// A guide of the screen.
#[derive(Debug, Clone, PartialEq)]
pub struct Guide {
    /// Position of its gene in [`Screen::perturbed`](crate::Screen::perturbed).
    pub perturbed: usize,
    /// Its label: the gene's symbol, `_` and its number from 1.
    pub label: String,
    /// Share of the gene's production that it silences.
    pub efficiency: f64,
}

/// What a perturbation does beyond its guides.
pub(crate) struct KnockDown {
    /// Position in the world's panel.
    pub(crate) gene: usize,
    /// How far the cell goes along the stress loadings.
    pub(crate) stress: f64,
}

/// Which genes are knocked down with which guides.
pub(crate) struct Design {
    pub(crate) knock_downs: Vec<KnockDown>,
    pub(crate) guides: Vec<Guide>,
}

impl Design {
    /// Chooses genes in the order of the panel, well expressed ones with a better chance as real screens do.
    pub(crate) fn draw(world: &World, params: &ScreenParams, seeds: Seeds) -> Self {
        let rng = &mut world.stream(seeds, "perturbed", 0);
        let mut knock_downs = Vec::new();
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
                knock_downs.push(KnockDown { gene, stress });
            }
        }
        knock_downs.sort_unstable_by_key(|knock_down| knock_down.gene);

        let rng = &mut world.stream(seeds, "guides", 0);
        let mut guides = Vec::new();
        for (perturbed, knock_down) in knock_downs.iter().enumerate() {
            for number in 1..=params.guides_per_gene {
                guides.push(Guide {
                    perturbed,
                    label: format!("{}_{number}", world.genes().gene(knock_down.gene)),
                    efficiency: draw::uniform_between(rng, params.efficiency.0, params.efficiency.1),
                });
            }
        }
        Self { knock_downs, guides }
    }

    /// The guide of each cell, in random order.
    pub(crate) fn guides_of_cells(&self, params: &ScreenParams, rng: &mut ChaCha8Rng) -> Vec<Option<usize>> {
        let mut guides = vec![None; params.n_controls];
        for guide in 0..self.guides.len() {
            guides.resize(guides.len() + params.cells_per_guide, Some(guide));
        }
        draw::shuffle(rng, &mut guides);
        guides
    }
}
