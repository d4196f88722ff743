use rayon::prelude::*;

use crate::bootstrap::resamples;
use crate::error::Error;
use crate::proportion::clopper_pearson;
use crate::result::{Alternative, Interval};
use crate::{CONFIDENCE, PValue};

/// Statistics this close, relatively, are the same number summed in another order.
const SAME: f64 = 1e-10;

/// Permutations computed before the count is looked at again, in a test that may end early. They are counted in their
/// order, so that where a test ends depends neither on this nor on the number of threads.
const BATCH: u64 = 256;

/// The same for a test that does all its permutations: as many as there are, but for the memory of their values.
const LONG_BATCH: u64 = 1 << 16;

/// When a permutation test ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PermutationLimits {
    /// Most permutations.
    pub max: usize,
    /// Ends the test once this many permutations are as extreme as the observation: the p-value is then known to about
    /// 1 / √`stop_after` of itself, and far from significant unless `max` is reached. `None` never ends early.
    pub stop_after: Option<usize>,
}

/// A p-value from random permutations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PermutationP {
    /// (1 + exceeding) / (1 + permutations); where the test ended early exceeding / permutations, which counts no
    /// permutation twice and keeps P(p ≤ α) ≤ α (Besag and Clifford 1991). Never 0.
    pub p: PValue,
    /// 95 % interval of the p-value that infinitely many permutations would give: Clopper and Pearson's, for the kind of
    /// sampling that took place.
    pub interval: Interval,
    /// Permutations at least as extreme as the observation.
    pub exceeding: usize,
    /// Permutations done.
    pub n_permutations: usize,
}

/// Compares an observed statistic with its value under random permutations; `permuted(i)` computes the i-th.
///
/// Two-sided takes absolute values, so the statistic must be centred at 0. The permutations are done on all threads, and
/// counted in their order.
///
/// # Errors
/// [`Error::OutOfRange`] for `max` or `stop_after` = 0.
pub fn permutation_test(
    observed: f64,
    alternative: Alternative,
    limits: PermutationLimits,
    permuted: impl Fn(u64) -> f64 + Sync,
) -> Result<PermutationP, Error> {
    resamples(limits.max)?;
    resamples(limits.stop_after.unwrap_or(1))?;
    let (mut exceeding, mut done) = (0, 0);
    let max = limits.max as u64;
    let batch = if limits.stop_after.is_some() {
        BATCH
    } else {
        LONG_BATCH
    };
    while done < max {
        let values: Vec<f64> = (done..(done + batch).min(max))
            .into_par_iter()
            .map(&permuted)
            .collect();
        for value in values {
            done += 1;
            exceeding += usize::from(as_extreme(observed, value, alternative));
            if Some(exceeding) == limits.stop_after {
                return stopped(exceeding, done as usize);
            }
        }
    }
    let p = (1 + exceeding) as f64 / (1 + limits.max) as f64;
    Ok(PermutationP {
        p: PValue::new(p),
        interval: clopper_pearson(exceeding as u64, max, CONFIDENCE)?,
        exceeding,
        n_permutations: limits.max,
    })
}

/// Inverse sampling: the last permutation is known to exceed.
fn stopped(exceeding: usize, n: usize) -> Result<PermutationP, Error> {
    let (k, m) = (exceeding as u64, n as u64);
    let high = if m == 1 {
        1.0
    } else {
        clopper_pearson(k - 1, m - 1, CONFIDENCE)?.high
    };
    Ok(PermutationP {
        p: PValue::new(exceeding as f64 / n as f64),
        interval: Interval {
            low: clopper_pearson(k, m, CONFIDENCE)?.low,
            high,
            level: CONFIDENCE,
        },
        exceeding,
        n_permutations: n,
    })
}

/// Whether a permuted statistic is at least as far out as the observed one.
pub(crate) fn as_extreme(observed: f64, value: f64, alternative: Alternative) -> bool {
    let margin = observed.abs() * SAME;
    match alternative {
        Alternative::TwoSided => value.abs() >= observed.abs() - margin,
        Alternative::Greater => value >= observed - margin,
        Alternative::Less => value <= observed + margin,
    }
}

/// 95 % Clopper-Pearson interval of the p-value that infinitely many permutations would give, from a p-value
/// (1 + exceeding) / (1 + `n_permutations`).
///
/// # Errors
/// [`Error::Empty`] for 0 permutations.
pub fn permutation_p_interval(p: PValue, n_permutations: usize) -> Result<Interval, Error> {
    let exceeding = (p.p() * (n_permutations as f64 + 1.0)).round() - 1.0;
    clopper_pearson(exceeding.max(0.0) as u64, n_permutations as u64, CONFIDENCE)
}
