use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::CONFIDENCE;
use crate::error::{Error, finite};
use crate::result::Interval;

/// Percentile bootstrap interval of the mean of independent values, 95 %, from `n` resamples.
///
/// Resample i draws from `stream(i)`, so the interval does not depend on the number of threads.
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
    let means: Vec<f64> = (0..n as u64)
        .into_par_iter()
        .map(|index| {
            let mut rng = stream(index);
            let sum: f64 = values
                .iter()
                .map(|_| values[rng.random_range(0..values.len())])
                .sum();
            sum / values.len() as f64
        })
        .collect();
    Ok(percentile_interval(means, CONFIDENCE))
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

/// The central `level` of the replicates, quantiles interpolated linearly as numpy's default does.
pub(crate) fn percentile_interval(mut replicates: Vec<f64>, level: f64) -> Interval {
    replicates.sort_unstable_by(f64::total_cmp);
    let quantile = |share: f64| {
        let position = share * (replicates.len() - 1) as f64;
        let below = position.floor() as usize;
        let above = (below + 1).min(replicates.len() - 1);
        replicates[below] + (position - below as f64) * (replicates[above] - replicates[below])
    };
    let tail = 0.5 * (1.0 - level);
    Interval {
        low: quantile(tail),
        high: quantile(1.0 - tail),
        level,
    }
}
