use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::PValue;
use crate::bootstrap::resamples;
use crate::draws::SignedSums;
use crate::error::{Error, finite};
use crate::permutation::{PermutationLimits, PermutationP, as_extreme, permutation_test};
use crate::result::{Alternative, EffectKind, Interval, TestResult};

/// A sign-flip test, with what its p-value was counted from.
#[derive(Debug, Clone, PartialEq)]
pub struct SignFlip {
    /// The test of the mean difference.
    pub test: TestResult,
    /// The flips that were done. Where all were, the p-value is a share of all of them, and its interval a point.
    pub permutations: PermutationP,
    /// Whether all 2ⁿ choices of signs were done.
    pub exact: bool,
}

/// Tests whether paired differences are symmetric about 0, by the mean under random signs.
///
/// The permutation form of the paired t test: exact at any size where a difference is as likely as its negative, as it
/// is when a pair's two members are exchangeable. Statistic and effect are the mean difference; two-sided by its
/// absolute value. Where 2ⁿ ≤ `limits.max` all signs are gone through, else `limits.max` random choices are drawn, the
/// i-th from `stream(i)`, ending early as [`permutation_test`] does.
///
/// O(n / 8) additions per permutation, on all threads. Oracle:
/// `scipy.stats.permutation_test(permutation_type="samples")`.
///
/// ```
/// use rand::SeedableRng;
/// use rand_chacha::ChaCha8Rng;
/// use scfm_stats::{Alternative, PermutationLimits, sign_flip_test};
///
/// let limits = PermutationLimits { max: 9_999, stop_after: None };
/// let stream = |i| {
///     let mut rng = ChaCha8Rng::seed_from_u64(0);
///     rng.set_stream(i);
///     rng
/// };
/// let gains = [0.02, 0.05, 0.01, 0.04, 0.03];
/// let flipped = sign_flip_test(&gains, Alternative::TwoSided, limits, stream)?;
/// // Of 32 choices of signs only all plus and all minus are as far from 0.
/// assert!(flipped.exact);
/// assert_eq!(flipped.test.p.p(), 2.0 / 32.0);
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// [`Error::Empty`], [`Error::NotANumber`], [`Error::NotFinite`]; [`Error::OutOfRange`] for `max` or `stop_after` = 0.
pub fn sign_flip_test(
    differences: &[f64],
    alternative: Alternative,
    limits: PermutationLimits,
    stream: impl Fn(u64) -> ChaCha8Rng + Sync,
) -> Result<SignFlip, Error> {
    finite("difference", differences)?;
    resamples(limits.max)?;
    let n = differences.len();
    let sums = SignedSums::of(differences);
    // Sums that are the same but for the order of their terms, which differ by less than this, must compare as equal:
    // where many choices of signs give the observed sum, each of them counts.
    let rounding = n as f64 * f64::EPSILON * differences.iter().map(|d| d.abs()).sum::<f64>();
    let observed = sums.unflipped();
    let near = |sum: f64| {
        let same = |other: f64| (sum - other).abs() <= rounding;
        if same(observed) {
            observed
        } else if same(-observed) {
            -observed
        } else {
            sum
        }
    };
    let all = u32::try_from(n)
        .ok()
        .and_then(|n| 1_u64.checked_shl(n))
        .filter(|&all| all <= limits.max as u64);
    let permutations = match all {
        Some(all) => {
            let exceeding = (0..all)
                .into_par_iter()
                .filter(|&signs| as_extreme(observed, near(sums.chosen(signs)), alternative))
                .count();
            of_all(exceeding, all as usize)
        }
        None => permutation_test(observed, alternative, limits, |index| {
            near(sums.random(&mut stream(index)))
        })?,
    };
    let mean = observed / n as f64;
    let test = TestResult {
        method: "sign-flip permutation of paired differences",
        alternative,
        statistic: mean,
        p: permutations.p,
        sides: None,
        effect: mean,
        effect_kind: EffectKind::MeanDifference,
        ci: None,
        n,
        n_unit: "pairs",
    };
    Ok(SignFlip {
        test,
        permutations,
        exact: all.is_some(),
    })
}

/// The p-value of all permutations, the observation being one of them.
fn of_all(exceeding: usize, all: usize) -> PermutationP {
    let p = exceeding as f64 / all as f64;
    PermutationP {
        p: PValue::new(p),
        interval: Interval {
            low: p,
            high: p,
            level: 1.0,
        },
        exceeding,
        n_permutations: all,
    }
}
