use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::CONFIDENCE;
use crate::draws::{count_into, sum_of_drawn};
use crate::error::{Error, Undefined, finite};
use crate::result::Interval;
use crate::tails::{ln_normal_sf, normal_quantile};

/// A statistic over resamples of its units.
#[derive(Debug, Clone, PartialEq)]
pub struct Bootstrap {
    /// The statistic of the sample itself.
    pub estimate: f64,
    /// Its value in each resample in which it has one, in the order of the resamples.
    pub replicates: Vec<f64>,
    /// Resamples in which it has none, such as an AUROC without a positive.
    pub n_undefined: usize,
}

/// Resamples `n_units` units with replacement, `n` times.
///
/// `statistic` is given how often each unit was drawn, and is asked for the sample itself with ones. A unit is what is
/// independent: a value, or a cluster (perturbation, TF, donor) with everything in it, so that stored scores are
/// reweighted and nothing is fitted again. Resample i draws from `stream(i)`; the result does not depend on the number
/// of threads.
///
/// ```
/// use rand::SeedableRng;
/// use rand_chacha::ChaCha8Rng;
/// use scfm_stats::bootstrap;
///
/// // Mean over cells, whose donors are the units.
/// let donors = [vec![1.0, 1.2, 0.9], vec![2.0], vec![1.4, 1.6]];
/// let mean = |drawn: &[u64]| {
///     let sums = donors.iter().zip(drawn).map(|(cells, &w)| w as f64 * cells.iter().sum::<f64>());
///     let sizes = donors.iter().zip(drawn).map(|(cells, &w)| w as f64 * cells.len() as f64);
///     Ok(sums.sum::<f64>() / sizes.sum::<f64>())
/// };
/// let bootstrap = bootstrap(donors.len(), 2_000, mean, |i| {
///     let mut rng = ChaCha8Rng::seed_from_u64(1);
///     rng.set_stream(i);
///     rng
/// })?;
/// assert!(bootstrap.percentile(0.95).contains(bootstrap.estimate));
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// [`Error::Empty`] without units, [`Error::OutOfRange`] for `n` = 0, and the reason why the sample itself has no value.
pub fn bootstrap(
    n_units: usize,
    n: usize,
    statistic: impl Fn(&[u64]) -> Result<f64, Undefined> + Sync,
    stream: impl Fn(u64) -> ChaCha8Rng + Sync,
) -> Result<Bootstrap, Error> {
    if n_units == 0 {
        return Err(Error::Empty {
            what: "list of units",
        });
    }
    resamples(n)?;
    let estimate = statistic(&vec![1; n_units])?;
    let values: Vec<Option<f64>> = (0..n as u64)
        .into_par_iter()
        // Each thread counts into one buffer.
        .map_init(
            || vec![0; n_units],
            |drawn, index| {
                count_into(drawn, &mut stream(index));
                statistic(drawn).ok()
            },
        )
        .collect();
    let replicates: Vec<f64> = values.into_iter().flatten().collect();
    Ok(Bootstrap {
        estimate,
        n_undefined: n - replicates.len(),
        replicates,
    })
}

impl Bootstrap {
    /// The central `level` of the replicates. Oracle in distribution: `scipy.stats.bootstrap(method="percentile")`.
    ///
    /// NaN where no replicate has a value.
    ///
    /// # Panics
    /// If `level` is outside (0, 1).
    pub fn percentile(&self, level: f64) -> Interval {
        percentile_interval(self.replicates.clone(), level)
    }

    /// The bias-corrected and accelerated interval (Efron 1987). `leave_one_out` holds the statistic without each unit.
    /// Oracle: `scipy.stats.bootstrap(method="BCa")` on the same replicates.
    ///
    /// # Errors
    /// [`Undefined::NoVariance`] where the replicates all lie on one side of the estimate, or leaving a unit out changes
    /// nothing; [`Undefined::TooFew`] below two values in `leave_one_out`.
    ///
    /// # Panics
    /// If `level` is outside (0, 1).
    pub fn bca(&self, leave_one_out: &[f64], level: f64) -> Result<Interval, Undefined> {
        if leave_one_out.len() < 2 {
            return Err(Undefined::TooFew {
                what: "units without which the statistic has a value",
                n: leave_one_out.len(),
                needed: 2,
            });
        }
        let n = self.replicates.len() as f64;
        let at_most = self.replicates.iter().filter(|&&r| r <= self.estimate).count();
        let below = self.replicates.iter().filter(|&&r| r < self.estimate).count();
        let share = (at_most + below) as f64 / (2.0 * n);
        let mean = leave_one_out.iter().sum::<f64>() / leave_one_out.len() as f64;
        let sum_of = |power| {
            leave_one_out
                .iter()
                .map(|value| (mean - value).powi(power))
                .sum::<f64>()
        };
        let acceleration = sum_of(3) / (6.0 * sum_of(2).powf(1.5));
        if !(share > 0.0 && share < 1.0 && acceleration.is_finite()) {
            return Err(Undefined::NoVariance {
                what: "the resampled statistic",
                difference: self.estimate - mean,
            });
        }
        let bias = normal_quantile(share);
        let shifted = |tail: f64| {
            let z = bias + normal_quantile(tail);
            ln_normal_sf(-(bias + z / (1.0 - acceleration * z))).exp()
        };
        let tail = tail_of(level);
        let sorted = sorted(self.replicates.clone());
        Ok(Interval {
            low: quantile(&sorted, shifted(tail)),
            high: quantile(&sorted, shifted(1.0 - tail)),
            level,
        })
    }
}

/// The statistic without each unit in turn, for [`Bootstrap::bca`]; units without which it has no value are left out.
pub fn leave_one_out(
    n_units: usize,
    statistic: impl Fn(&[u64]) -> Result<f64, Undefined> + Sync,
) -> Vec<f64> {
    let values: Vec<Option<f64>> = (0..n_units)
        .into_par_iter()
        .map(|left_out| {
            let mut drawn = vec![1; n_units];
            drawn[left_out] = 0;
            statistic(&drawn).ok()
        })
        .collect();
    values.into_iter().flatten().collect()
}

/// Percentile bootstrap interval of the mean of independent values, 95 %, from `n` resamples.
///
/// Resample i draws from `stream(i)`, so the interval does not depend on the number of threads; it is that of
/// [`bootstrap`] with the mean for its statistic, at a fraction of the time.
/// Oracle in distribution: `scipy.stats.bootstrap(method="percentile")`.
///
/// # Errors
/// [`Error::Empty`], [`Error::NotANumber`], [`Error::NotFinite`]; [`Error::OutOfRange`] for `n` = 0.
pub fn bootstrap_mean(
    values: &[f64],
    n: usize,
    stream: impl Fn(u64) -> ChaCha8Rng + Sync,
) -> Result<Interval, Error> {
    finite("value", values)?;
    resamples(n)?;
    let size = values.len() as f64;
    let means = (0..n as u64)
        .into_par_iter()
        .map(|index| sum_of_drawn(values, &mut stream(index)) / size);
    Ok(percentile_interval(means.collect(), CONFIDENCE))
}

/// Rejects resampling without resamples.
pub(crate) fn resamples(n: usize) -> Result<(), Error> {
    if n == 0 {
        return Err(Error::OutOfRange {
            what: "number of resamples",
            value: 0.0,
            expected: "at least 1",
        });
    }
    Ok(())
}

/// The central `level` of the replicates.
pub(crate) fn percentile_interval(replicates: Vec<f64>, level: f64) -> Interval {
    let tail = tail_of(level);
    let sorted = sorted(replicates);
    Interval {
        low: quantile(&sorted, tail),
        high: quantile(&sorted, 1.0 - tail),
        level,
    }
}

fn tail_of(level: f64) -> f64 {
    assert!(level > 0.0 && level < 1.0, "a level within (0, 1), got {level}");
    0.5 * (1.0 - level)
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// The value below which `share` of the sorted values lie, interpolated linearly as numpy's default does.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let position = share * last as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (position - below as f64) * (sorted[above] - sorted[below])
}
