use ndarray::{Array2, ArrayView1, Axis};
use scfm_core::Seeds;

use crate::dynamics::fold;
use crate::marginals::Marginals;
use crate::screen::ScreenParams;
use crate::world::{World, WorldParams};
use crate::{Error, draw};

/// Cells in which the world's own variation is measured: a squared coefficient of variation of 0.3 is then known to
/// some 5 %.
const N_CELLS: usize = 2_000;

/// Gains at which a gene's variation is measured; in between it is interpolated.
const N_GAINS: usize = 20;

/// Rounds in which depth and genes are fitted in turn. On real screens the depth stands still to four digits after seven,
/// at the same value from whichever side it comes.
const N_ROUNDS: usize = 10;

impl World {
    /// A world whose unperturbed cells have the marginals of a count matrix, and the screen that they are seen in:
    /// `screen` with another depth and spread of depth. Network, states and programmes are those that `params` and
    /// `seeds` give; abundances and dispersions are found as follows.
    ///
    /// Genes take the marginals of those of the same rank in abundance, at equal distances in rank where the numbers
    /// of genes differ. Mean counts are then matched by abundance. Of the overdispersion ω of a gene, variance =
    /// mean + ω·mean², depth takes its part (equal for all genes, from the variance of totals but no more than genes
    /// of high mean leave), then the world's own variation, and what is left is the negative binomial dispersion.
    /// Where the world varies more than there is room for, the gene's log expression is scaled down by a gain, its
    /// true responses in [`Screen::log_fold_changes`](crate::Screen::log_fold_changes) with it; the network itself, by
    /// which genes regulate each other, is left as it is. The noise of molecules that come and go is variation of the
    /// world's own too: too few of them leave no room for anything else.
    ///
    /// # Errors
    /// [`Error::Parameter`] for the first parameter out of range.
    pub fn calibrated(
        params: WorldParams,
        screen: ScreenParams,
        marginals: &Marginals,
        seeds: Seeds,
    ) -> Result<(Self, ScreenParams), Error> {
        let mut world = Self::new(params, seeds)?;
        screen.check(&world)?;
        let aims = Aims::new(world.abundance(), marginals);
        world.abundance = in_shares(&aims.mean);
        let cells = world.unperturbed(screen.donor_sd, seeds);
        let variation: Vec<Variation> = cells.columns().into_iter().map(Variation::of).collect();

        let own = (1.0 - screen.ambient).powi(2);
        let fit = |depth: f64| -> Vec<Fit> {
            let genes = variation.iter().zip(&aims.overdispersion);
            genes
                .map(|(variation, overdispersion)| {
                    variation.fit(1.0 + (overdispersion - depth) / ((1.0 + depth) * own))
                })
                .collect()
        };
        let mut depth = 0.0;
        for _ in 0..N_ROUNDS {
            let of_genes = aims.variation_of_total(&fit(depth), &cells);
            depth = (aims.total - of_genes) / (1.0 + of_genes);
            depth = depth.clamp(0.0, aims.most_depth);
        }

        let fits = fit(depth);
        let mut means = Vec::with_capacity(fits.len());
        for (fit, cells) in fits.iter().zip(cells.columns()) {
            means.push(cells.iter().map(|x| fold(fit.gain * x)).sum::<f64>() / N_CELLS as f64);
        }
        let at_reference: Vec<f64> = aims
            .mean
            .iter()
            .zip(means)
            .map(|(aim, mean)| aim / mean)
            .collect();
        world.abundance = in_shares(&at_reference);
        world.gain = fits.iter().map(|fit| fit.gain).collect();
        world.dispersion = fits.iter().map(|fit| fit.dispersion).collect();

        // Of a log-normal number; batches spread depth too.
        let log_variance = libm::log1p(depth);
        let screen = ScreenParams {
            depth: at_reference.iter().sum::<f64>() * libm::exp(-log_variance / 2.0),
            depth_sd: (log_variance - screen.batch_sd.powi(2)).max(0.0).sqrt(),
            ..screen
        };
        Ok((world, screen))
    }

    /// Log expression `[cell, gene]` of unperturbed cells, each of a donor of its own.
    fn unperturbed(&self, donor_sd: f64, seeds: Seeds) -> Array2<f64> {
        let states = self.state_probabilities();
        let mut cells = Array2::zeros((N_CELLS, self.genes().len()));
        for (i, mut cell) in cells.rows_mut().into_iter().enumerate() {
            let rng = &mut self.stream(seeds, "calibration", i as u64);
            let state = draw::category(rng, &states);
            let mut expression = self.own_expression(state, rng);
            for own in &mut expression {
                *own += donor_sd * draw::normal(rng);
            }
            self.express(&mut expression, state, rng);
            cell.iter_mut()
                .zip(expression)
                .for_each(|(x, of_gene)| *x = of_gene);
        }
        cells
    }
}

/// What the genes of a world aim at.
struct Aims {
    mean: Vec<f64>,
    overdispersion: Vec<f64>,
    /// Squared coefficient of variation of the cells' totals, less what counting adds.
    total: f64,
    /// The most that depth may vary, so that it takes no more than the overdispersion of most well-seen genes.
    most_depth: f64,
}

impl Aims {
    fn new(abundance: &[f64], marginals: &Marginals) -> Self {
        // A gene that is never seen may be seen half a time.
        let least = 0.5 / marginals.totals().len() as f64;
        let overdispersion = marginals.overdispersion();
        let mut theirs: Vec<(f64, f64)> = marginals
            .mean()
            .iter()
            .zip(overdispersion)
            .map(|(mean, overdispersion)| (mean.max(least), overdispersion.unwrap_or(0.0)))
            .collect();
        theirs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut of_high_mean: Vec<f64> = theirs[theirs.len() / 2..].iter().map(|gene| gene.1).collect();
        of_high_mean.sort_unstable_by(f64::total_cmp);

        let n = abundance.len();
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| abundance[a].total_cmp(&abundance[b]));
        let (mut mean, mut overdispersion) = (vec![0.0; n], vec![0.0; n]);
        for (rank, gene) in order.into_iter().enumerate() {
            (mean[gene], overdispersion[gene]) = theirs[(2 * rank + 1) * theirs.len() / (2 * n)];
        }
        let totals = ArrayView1::from(marginals.totals());
        let mean_total = totals.sum() / totals.len() as f64;
        Self {
            mean,
            overdispersion,
            total: squared_cv(totals) - 1.0 / mean_total,
            most_depth: of_high_mean[of_high_mean.len() / 10].max(0.0),
        }
    }

    /// Squared coefficient of variation of totals that the genes make at one depth, without what counting adds.
    fn variation_of_total(&self, fits: &[Fit], cells: &Array2<f64>) -> f64 {
        let shares = in_shares(&self.mean);
        let mut totals = vec![0.0; cells.nrows()];
        let mut of_dispersion = 0.0;
        for ((fit, share), cells) in fits.iter().zip(shares).zip(cells.axis_iter(Axis(1))) {
            let folds: Vec<f64> = cells.iter().map(|x| fold(fit.gain * x)).collect();
            let mean = folds.iter().sum::<f64>() / folds.len() as f64;
            for (total, fold) in totals.iter_mut().zip(folds) {
                *total += share * fold / mean;
            }
            of_dispersion += fit.dispersion * share * share;
        }
        squared_cv(ArrayView1::from(&totals)) + of_dispersion
    }
}

/// How a gene's variation in the world is made to fit.
struct Fit {
    gain: f64,
    dispersion: f64,
}

/// Squared coefficient of variation of a gene's expression over cells, at gains from 0 to 1. It rises with the gain,
/// since the cumulants' generating function is convex.
struct Variation([f64; N_GAINS + 1]);

impl Variation {
    fn of(log_expression: ArrayView1<'_, f64>) -> Self {
        Self(std::array::from_fn(|i| {
            let gain = i as f64 / N_GAINS as f64;
            squared_cv(log_expression.map(|x| fold(gain * x)).view())
        }))
    }

    /// The largest gain, and the dispersion beside it, at which (1 + squared CV)(1 + dispersion) is `room`, or as
    /// near to it as can be from above.
    fn fit(&self, room: f64) -> Fit {
        let above = self.0.iter().position(|cv| 1.0 + cv > room);
        let gain = match above {
            None => 1.0,
            Some(0) => 0.0,
            Some(i) => {
                let (below, above) = (self.0[i - 1], self.0[i]);
                (i as f64 - (above + 1.0 - room) / (above - below)) / N_GAINS as f64
            }
        };
        let dispersion = match above {
            None => room / (1.0 + self.0[N_GAINS]) - 1.0,
            Some(_) => 0.0,
        };
        Fit { gain, dispersion }
    }
}

fn squared_cv(values: ArrayView1<'_, f64>) -> f64 {
    let n = values.len() as f64;
    let mean = values.sum() / n;
    values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n / (mean * mean)
}

fn in_shares(values: &[f64]) -> Vec<f64> {
    let total: f64 = values.iter().sum();
    values.iter().map(|value| value / total).collect()
}
