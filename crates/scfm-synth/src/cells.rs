use ndarray::Array2;
use rand_chacha::ChaCha8Rng;
use scfm_core::{Panel, Seeds};

use crate::ambient::Ambient;
use crate::design::{Design, Guide, Perturbation};
use crate::dynamics::fold;
use crate::rows::Rows;
use crate::screen::{Cell, Screen, ScreenParams};
use crate::world::World;
use crate::{Error, draw};

impl World {
    /// Simulates a screen. Cells come in random order; each has a stream of its own.
    ///
    /// In a cell every gene has a log expression: cell state, donor, programmes and stress, a factor's own noise, and
    /// the change of a perturbed gene's production by its guide; the network carries these on to their steady
    /// state, or to molecules that come and go around it ([`Dynamics`](crate::Dynamics)). Counts are negative binomial
    /// around abundance × depth, so that dropout is what low means make of it.
    ///
    /// # Errors
    /// [`Error::Parameter`] for the first parameter out of range.
    pub fn screen(&self, params: &ScreenParams, seeds: Seeds) -> Result<Screen, Error> {
        params.check(self)?;
        let n_genes = self.genes().len();
        let design = Design::draw(self, params, seeds);
        let rng = &mut self.stream(seeds, "donors and batches", 0);
        let mut normals = |shape, sd| Array2::from_shape_simple_fn(shape, || sd * draw::normal(rng));
        let donors = normals((params.n_donors, n_genes), params.donor_sd);
        let batches = normals((params.n_batches, 1), params.batch_sd);
        let states = self.state_probabilities();

        let guides_of_cells = design.guides_of_cells(params, &mut self.stream(seeds, "order of cells", 0));
        let mut cells = Vec::with_capacity(guides_of_cells.len());
        let mut rows = Rows::new(self.genes().clone());
        let mut ambient = Ambient::new(params.ambient, n_genes);
        for (i, guide) in guides_of_cells.into_iter().enumerate() {
            let rng = &mut self.stream(seeds, "cell", i as u64);
            let cell = Cell {
                guide,
                state: draw::category(rng, &states),
                donor: draw::below(rng, params.n_donors),
                batch: draw::below(rng, params.n_batches),
            };
            let mut expression = self.own_expression(cell.state, rng);
            for (own, shift) in expression.iter_mut().zip(donors.row(cell.donor)) {
                *own += shift;
            }
            let Guide {
                perturbed,
                production,
                ..
            } = design.guides[guide];
            if let Some(perturbed) = perturbed {
                self.perturb(&mut expression, &design.perturbations[perturbed], production);
            }
            let molecules = &mut self.stream(seeds, "molecules", i as u64);
            self.express(&mut expression, cell.state, molecules);
            let log_depth = params.depth_sd * draw::normal(rng) + batches[[cell.batch, 0]];
            let mut expected = self.expected_counts(&expression, params.depth * libm::exp(log_depth));
            ambient.withhold(&mut expected);
            rows.push(self.counts(&expected, rng));
            cells.push(cell);
        }
        let rows = ambient.pour(rows, |cell| self.stream(seeds, "ambient", cell));
        let perturbed = design
            .perturbations
            .iter()
            .map(|p| self.genes().gene(p.gene).clone());
        Ok(Screen {
            perturbed: Panel::new(perturbed).expect("a gene is chosen once"),
            cells,
            counts: rows.finish(),
            log_fold_changes: self.log_fold_changes(&design),
            guides: design.guides,
        })
    }

    /// Log expression of an unperturbed cell before regulation.
    pub(crate) fn own_expression(&self, state: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
        let mut own = self.state_shift(state).to_vec();
        for loadings in self.programmes().rows() {
            let activity = draw::normal(rng);
            for (own, loading) in own.iter_mut().zip(loadings) {
                *own += activity * loading;
            }
        }
        for &tf in self.network().tfs() {
            own[tf] += self.params().tf_noise * draw::normal(rng);
        }
        own
    }

    fn perturb(&self, own: &mut [f64], perturbation: &Perturbation, production: f64) {
        for (own, loading) in own.iter_mut().zip(self.stress()) {
            *own += perturbation.stress * loading;
        }
        own[perturbation.gene] += libm::log(production);
    }

    /// From what each gene has of its own to log expression.
    pub(crate) fn express(&self, own: &mut [f64], state: usize, molecules: &mut ChaCha8Rng) {
        let dynamics = self.params().dynamics;
        dynamics.express(self.network(), self.abundance(), own, state, molecules);
    }

    fn expected_counts(&self, expression: &[f64], depth: f64) -> Vec<f64> {
        let genes = expression.iter().zip(self.abundance()).zip(self.gain());
        genes
            .map(|((x, share), gain)| depth * share * fold(gain * x))
            .collect()
    }

    fn counts(&self, expected: &[f64], rng: &mut ChaCha8Rng) -> impl Iterator<Item = f64> {
        let genes = expected.iter().zip(self.dispersion());
        genes.map(move |(&mean, &dispersion)| draw::negative_binomial(rng, mean, dispersion))
    }

    /// Mean expression of every gene over the mixture of states, without noise.
    fn mean_expression(&self, perturbed: Option<(&Perturbation, f64)>) -> Vec<f64> {
        let mut mean = vec![0.0; self.genes().len()];
        for (state, probability) in self.state_probabilities().into_iter().enumerate() {
            let mut x = self.state_shift(state).to_vec();
            if let Some((perturbation, production)) = perturbed {
                self.perturb(&mut x, perturbation, production);
            }
            self.network().steady_state(&mut x, state);
            for ((mean, x), gain) in mean.iter_mut().zip(x).zip(self.gain()) {
                *mean += probability * fold(gain * x);
            }
        }
        mean
    }

    fn log_fold_changes(&self, design: &Design) -> Array2<f64> {
        let unperturbed = self.mean_expression(None);
        let mut changes = Array2::zeros((design.perturbations.len(), unperturbed.len()));
        for (perturbed, mut row) in changes.rows_mut().into_iter().enumerate() {
            let guides = design
                .guides
                .iter()
                .filter(|guide| guide.perturbed == Some(perturbed));
            let productions: Vec<f64> = guides.map(|guide| guide.production).collect();
            let production = productions.iter().sum::<f64>() / productions.len() as f64;
            let expression = self.mean_expression(Some((&design.perturbations[perturbed], production)));
            for (change, (after, before)) in row.iter_mut().zip(expression.iter().zip(&unperturbed)) {
                *change = libm::log(after / before);
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WorldParams;

    #[test]
    fn counts_scatter_around_abundance_times_depth_as_the_dispersion_says() {
        let quiet = WorldParams {
            n_genes: 40,
            n_tfs: 5,
            n_programmes: 0,
            state_shift: (0.0, 0.0),
            tf_noise: 0.0,
            ..WorldParams::new("quiet")
        };
        let world = World::new(quiet, Seeds::new(0)).unwrap();
        let params = ScreenParams {
            n_controls: 20_000,
            n_perturbed_tfs: 0,
            n_perturbed_others: 0,
            depth: 200.0,
            depth_sd: 0.0,
            donor_sd: 0.0,
            batch_sd: 0.0,
            ..ScreenParams::default()
        };
        let counts = world
            .screen(&params, Seeds::new(0))
            .unwrap()
            .counts
            .counts()
            .to_dense();
        let n = counts.nrows() as f64;
        for (gene, column) in counts.columns().into_iter().enumerate() {
            let column = column.mapv(f64::from);
            let mean = column.sum() / n;
            let variance = column.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0);
            let expected = 200.0 * world.abundance()[gene];
            let expected_variance = expected + world.dispersion()[gene] * expected * expected;
            let standard_error = (expected_variance / n).sqrt();
            assert!(
                (mean - expected).abs() < 4.0 * standard_error,
                "gene {gene}: mean {mean} for {expected}"
            );
            // The variance of 20,000 such skewed counts is itself known to a few per cent only.
            let ratio = variance / expected_variance;
            assert!(
                (ratio - 1.0).abs() < 0.15,
                "gene {gene}: variance {ratio} of the expected"
            );
        }
    }
}
