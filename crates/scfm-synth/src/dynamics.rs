use rand::Rng;
use scfm_core::Target;

use crate::network::Network;
use crate::{Error, draw, error::check};

/// Log expression stays within ± this much, so that no choice of parameters gives a count that `f32` cannot hold.
pub(crate) const EXPRESSION_LIMIT: f64 = 25.0;

/// Above so many bursts in a step, what they leave is drawn by its mean and variance.
const MANY_BURSTS: f64 = 50.0;

/// How a cell comes to the expression of its genes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Dynamics {
    /// Every gene stands at its steady state; cells differ by their state, programmes and factors' own noise.
    #[default]
    SteadyState,
    /// Molecules come and go at random around the same steady state.
    Stochastic(Bursts),
}

/// The random life of molecules, in units of an RNA molecule's mean life. A gene's RNA is made in bursts of
/// geometric size, of which regulation sets the frequency, and goes molecule by molecule; a factor's protein
/// follows its RNA and regulates. Without regulators, RNA is negative binomial of mean μ and variance
/// μ(1 + `burst_size`) (Shahrezaei and Swain 2008: the limit of a promoter that is seldom on).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bursts {
    /// RNA molecules of a cell that expresses every gene at its reference abundance. The fewer, the more noise.
    pub molecules: f64,
    /// Mean number of molecules of a burst; 0 makes them one by one, so that RNA is Poisson.
    pub burst_size: f64,
    /// Mean life of a factor's protein, over which it averages the noise of its RNA.
    pub protein_life: f64,
    /// For how long a cell is followed from its steady state on; some lives of a protein forget the start.
    pub duration: f64,
    /// Time over which the rates of production are held.
    pub step: f64,
}

impl Default for Bursts {
    fn default() -> Self {
        Self {
            molecules: 5_000.0,
            burst_size: 4.0,
            protein_life: 4.0,
            duration: 20.0,
            step: 0.25,
        }
    }
}

impl Dynamics {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let Self::Stochastic(bursts) = self else {
            return Ok(());
        };
        check("molecules", bursts.molecules, 1.0, 1e9)?;
        check("burst_size", bursts.burst_size, 0.0, 1e4)?;
        check("protein_life", bursts.protein_life, 0.01, 1e3)?;
        check("duration", bursts.duration, 0.0, 1e4)?;
        check("step", bursts.step, 1e-3, 10.0)
    }

    /// Log expression of a cell of some state, in units of the reference abundance, in the place of `own`, what each
    /// gene has without its regulators.
    pub(crate) fn express(
        &self,
        network: &Network,
        abundance: &[f64],
        own: &mut [f64],
        state: usize,
        rng: &mut impl Rng,
    ) {
        match self {
            Self::SteadyState => network.steady_state(own, state),
            Self::Stochastic(bursts) => bursts.express(network, abundance, own, state, rng),
        }
    }
}

impl Bursts {
    fn express(
        &self,
        network: &Network,
        abundance: &[f64],
        own: &mut [f64],
        state: usize,
        rng: &mut impl Rng,
    ) {
        let reference: Vec<f64> = abundance.iter().map(|share| self.molecules * share).collect();
        let mut steady = own.to_vec();
        network.steady_state(&mut steady, state);
        let mut rna: Vec<f64> = std::iter::zip(&steady, &reference)
            .map(|(x, reference)| self.stationary(reference * fold(*x), rng))
            .collect();
        // Of factors only; nothing reads that of other genes.
        let mut log_protein = steady;
        let protein_stays = libm::exp(-self.step / self.protein_life);
        for _ in 0..(self.duration / self.step).ceil() as usize {
            for (gene, rna) in rna.iter_mut().enumerate() {
                let log_production = own[gene] + network.regulation(Target(gene), state, &log_protein);
                *rna = self.follow(*rna, reference[gene] * fold(log_production), rng);
            }
            for &tf in network.tfs() {
                let toward = rna[tf] / reference[tf];
                let protein = toward + (fold(log_protein[tf]) - toward) * protein_stays;
                log_protein[tf] = log(protein);
            }
        }
        for ((own, rna), reference) in own.iter_mut().zip(rna).zip(reference) {
            *own = log(rna / reference);
        }
    }

    /// Molecules of a gene that has been made at one rate for ever, `mean` per life of a molecule.
    fn stationary(&self, mean: f64, rng: &mut impl Rng) -> f64 {
        if mean == 0.0 {
            return 0.0;
        }
        draw::negative_binomial(rng, mean, self.burst_size / mean)
    }

    /// Molecules a step later, made at the rate of `mean` per life of a molecule. The draw is exact, so that the
    /// stationary distribution does not depend on the step.
    fn follow(&self, molecules: f64, mean: f64, rng: &mut impl Rng) -> f64 {
        let stays = libm::exp(-self.step);
        let old = draw::binomial(rng, molecules, stays);
        if self.burst_size == 0.0 {
            return old + draw::poisson(rng, mean * (1.0 - stays));
        }
        let n_bursts = mean * self.step / self.burst_size;
        if n_bursts > MANY_BURSTS {
            let new = mean * (1.0 - stays);
            return old + draw::negative_binomial(rng, new, self.burst_size * (1.0 + stays) / new);
        }
        // Of a burst of geometric size, those that are left some time later are geometric too.
        let bursts = 0..draw::poisson(rng, n_bursts) as usize;
        let new = bursts.map(|_| {
            let age = self.step * draw::uniform(rng);
            draw::geometric(rng, self.burst_size * libm::exp(-age))
        });
        old + new.sum::<f64>()
    }
}

/// Expression in units of the reference abundance.
pub(crate) fn fold(log_expression: f64) -> f64 {
    libm::exp(log_expression.clamp(-EXPRESSION_LIMIT, EXPRESSION_LIMIT))
}

/// The other way round; a gene without molecules is at the lower limit.
fn log(fold: f64) -> f64 {
    libm::log(fold).max(-EXPRESSION_LIMIT)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use scfm_core::Seeds;
    use statrs::distribution::{DiscreteCDF, NegativeBinomial, Poisson};

    use super::*;
    use crate::{NetworkParams, World, WorldParams};

    /// Kolmogorov's bound at a level of 0.001; the seeds are fixed.
    const KOLMOGOROV: f64 = 1.95;

    /// Largest distance of whole numbers from a distribution function, in units of 1/√n.
    fn distance(counts: &[f64], cdf: impl Fn(u64) -> f64) -> f64 {
        let n = counts.len() as f64;
        let largest = counts.iter().fold(0.0, |a: f64, &b| a.max(b)) as u64;
        let below = |count: u64| counts.iter().filter(|&&x| x <= count as f64).count() as f64 / n;
        (0..=largest)
            .map(|count| (below(count) - cdf(count)).abs())
            .fold(0.0, f64::max)
            * n.sqrt()
    }

    /// Molecules of 20,000 cells, followed at a constant rate from no molecule on.
    fn followed(bursts: Bursts, mean: f64) -> Vec<f64> {
        let rng = &mut ChaCha8Rng::seed_from_u64(11);
        (0..20_000)
            .map(|_| {
                let n_steps = (15.0 / bursts.step) as usize;
                (0..n_steps).fold(0.0, |molecules, _| bursts.follow(molecules, mean, rng))
            })
            .collect()
    }

    #[test]
    fn rna_made_one_by_one_is_poisson_whatever_the_step() {
        let poisson = Poisson::new(6.0).unwrap();
        for step in [0.1, 2.5] {
            let bursts = Bursts {
                burst_size: 0.0,
                step,
                ..Bursts::default()
            };
            let distance = distance(&followed(bursts, 6.0), |x| poisson.cdf(x));
            assert!(distance < KOLMOGOROV, "step {step}: {distance}");
        }
    }

    #[test]
    fn rna_made_in_bursts_is_negative_binomial_whatever_the_step() {
        for (mean, burst_size, step) in [(6.0, 3.0, 0.1), (6.0, 3.0, 2.5), (0.4, 8.0, 0.5)] {
            let claimed = NegativeBinomial::new(mean / burst_size, 1.0 / (1.0 + burst_size)).unwrap();
            let bursts = Bursts {
                burst_size,
                step,
                ..Bursts::default()
            };
            let distance = distance(&followed(bursts, mean), |x| claimed.cdf(x));
            assert!(distance < KOLMOGOROV, "mean {mean}, step {step}: {distance}");
        }
    }

    #[test]
    fn many_bursts_have_the_same_moments_as_few() {
        let (mean, burst_size) = (2_000.0, 3.0);
        let bursts = Bursts {
            burst_size,
            step: 0.5,
            ..Bursts::default()
        };
        assert!(mean * bursts.step / burst_size > MANY_BURSTS);
        let counts = followed(bursts, mean);
        let n = counts.len() as f64;
        let found_mean = counts.iter().sum::<f64>() / n;
        let variance = counts.iter().map(|x| (x - found_mean).powi(2)).sum::<f64>() / (n - 1.0);
        let expected = mean * (1.0 + burst_size);
        // Five standard errors of a mean, and of a variance of nearly normal numbers.
        assert!((found_mean - mean).abs() < 5.0 * (expected / n).sqrt());
        assert!((variance / expected - 1.0).abs() < 5.0 * (2.0 / n).sqrt());
    }

    fn world() -> World {
        let params = WorldParams {
            n_genes: 40,
            n_tfs: 8,
            abundance_sd: 0.5,
            network: NetworkParams {
                min_out_degree: 2,
                max_out_degree: 6,
                ..NetworkParams::default()
            },
            ..WorldParams::new("molecules")
        };
        World::new(params, Seeds::new(1)).unwrap()
    }

    /// Log expression `[cell][gene]` of cells that differ by molecules alone, and their steady state.
    fn cells(bursts: Bursts, n: usize) -> (Vec<Vec<f64>>, Vec<f64>) {
        let world = world();
        let (own, state) = (world.state_shift(1).to_vec(), 1);
        let rng = &mut ChaCha8Rng::seed_from_u64(12);
        let cell = |_| {
            let mut x = own.clone();
            Dynamics::Stochastic(bursts).express(world.network(), world.abundance(), &mut x, state, rng);
            x
        };
        let cells = (0..n).map(cell).collect();
        let mut steady = own.clone();
        world.network().steady_state(&mut steady, state);
        (cells, steady)
    }

    #[test]
    fn many_molecules_stand_at_the_steady_state() {
        let bursts = Bursts {
            molecules: 1e8,
            ..Bursts::default()
        };
        let (cells, steady) = cells(bursts, 3);
        for cell in cells {
            for (x, steady) in cell.iter().zip(&steady) {
                // Ten standard deviations of a gene of 10⁵ molecules that come in fours.
                assert!((x - steady).abs() < 0.07, "{x} for {steady}");
            }
        }
    }

    #[test]
    fn mean_expression_is_that_of_the_steady_state_where_noise_is_small() {
        let bursts = Bursts {
            molecules: 40_000.0,
            ..Bursts::default()
        };
        let n = 300;
        let (cells, steady) = cells(bursts, n);
        for (gene, &steady) in steady.iter().enumerate() {
            let folds: Vec<f64> = cells.iter().map(|cell| fold(cell[gene] - steady)).collect();
            let mean = folds.iter().sum::<f64>() / n as f64;
            let variance = folds.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
            // Five standard errors, and a curvature of the order of the regulators' variance.
            let bound = 5.0 * (variance / n as f64).sqrt() + variance;
            assert!((mean - 1.0).abs() < bound, "gene {gene}: {mean}, bound {bound}");
        }
    }

    #[test]
    fn noise_of_a_factor_reaches_its_targets_with_the_sign_of_the_edge() {
        let bursts = Bursts {
            molecules: 2_000.0,
            burst_size: 10.0,
            protein_life: 0.5,
            ..Bursts::default()
        };
        let n = 2_000;
        let (cells, _) = cells(bursts, n);
        let world = world();
        let correlation = |a: usize, b: usize| {
            let of = |gene: usize| cells.iter().map(move |cell| fold(cell[gene]));
            let mean = |gene| of(gene).sum::<f64>() / n as f64;
            let (mean_a, mean_b) = (mean(a), mean(b));
            let product = |x: usize, mx: f64, y: usize, my: f64| -> f64 {
                of(x).zip(of(y)).map(|(x, y)| (x - mx) * (y - my)).sum()
            };
            product(a, mean_a, b, mean_b)
                / (product(a, mean_a, a, mean_a) * product(b, mean_b, b, mean_b)).sqrt()
        };
        // Targets of one regulator, so that nothing else decides the sign.
        let targets = (0..world.genes().len()).filter_map(|gene| {
            let regulators = world.network().regulators(Target(gene)).iter();
            let mut active = regulators.filter(|edge| edge.state.is_none_or(|only| only == 1));
            active.next().filter(|_| active.next().is_none())
        });
        let mut n_seen = 0;
        for edge in targets {
            let correlation = correlation(edge.source.0, edge.target.0);
            // Four standard errors of a correlation of independent genes.
            if correlation.abs() > 4.0 / (n as f64).sqrt() {
                n_seen += 1;
                assert!(correlation * edge.effect() > 0.0, "{edge:?}: {correlation}");
            }
        }
        assert!(n_seen >= 5, "{n_seen}");
    }
}
