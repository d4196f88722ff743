use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::PValue;
use crate::error::{Error, Undefined, finite, same_length};
use crate::permutation::{PermutationLimits, as_extreme, permutation_test};
use crate::result::{Alternative, EffectKind, TestResult};

/// Up to this many ways of choosing the first group are all looked at.
const MOST_CHOICES: u64 = 20_000;

/// Permutation test of the difference of means, first group minus second, two-sided.
///
/// All choices of the first group are counted where there are 20,000 or fewer, which makes the p-value exact; otherwise
/// `n_permutations` are drawn, permutation i from `stream(i)`. Oracle: `scipy.stats.permutation_test` with the same
/// statistic.
///
/// ```
/// use rand::SeedableRng;
/// use rand_chacha::ChaCha8Rng;
/// use scfm_stats::mean_difference_permutation;
///
/// let values = [3.0, 4.0, 5.0, 1.0, 2.0];
/// let first = [true, true, true, false, false];
/// let test = mean_difference_permutation(&values, &first, 999, |_| ChaCha8Rng::seed_from_u64(0))?;
/// // The largest and the smallest sum of three, out of ten.
/// assert_eq!((test.effect, test.p.p()), (2.5, 0.2));
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// [`Undefined::TooFew`] where a group is empty or both together have fewer than three values; [`Error::Length`],
/// [`Error::NotANumber`], [`Error::NotFinite`], [`Error::Empty`], [`Error::OutOfRange`] for 0 permutations.
pub fn mean_difference_permutation(
    values: &[f64],
    first: &[bool],
    n_permutations: usize,
    stream: impl Fn(u64) -> ChaCha8Rng + Sync,
) -> Result<TestResult, Error> {
    finite("values", values)?;
    same_length("groups", values.len(), first.len())?;
    let n = values.len();
    let n_first = first.iter().filter(|&&first| first).count();
    for (what, found, needed) in [
        ("values in the first group", n_first, 1),
        ("values in the second group", n - n_first, 1),
        ("values in both groups", n, 3),
    ] {
        if found < needed {
            return Err(Undefined::TooFew {
                what,
                n: found,
                needed,
            }
            .into());
        }
    }
    // Centred, so that the sum of the first group decides and its distance from 0 is that of the difference.
    let mean = values.iter().sum::<f64>() / n as f64;
    let centred: Vec<f64> = values.iter().map(|value| value - mean).collect();
    let sum = |chosen: &mut dyn Iterator<Item = usize>| chosen.map(|i| centred[i]).sum::<f64>();
    let observed = sum(&mut (0..n).filter(|&i| first[i]));
    let scale = n as f64 / (n_first as f64 * (n - n_first) as f64);
    let (p, method) = if choices(n, n_first).is_some() {
        let (mut exceeding, mut all) = (0, 0);
        each_choice(n, n_first, |chosen| {
            all += 1;
            let value = sum(&mut chosen.iter().copied());
            exceeding += u64::from(as_extreme(observed, value, Alternative::TwoSided));
        });
        (
            PValue::new(exceeding as f64 / all as f64),
            "permutation test of the difference of means, exact",
        )
    } else {
        let limits = PermutationLimits {
            max: n_permutations,
            stop_after: None,
        };
        let permuted = permutation_test(observed, Alternative::TwoSided, limits, |index| {
            let mut order: Vec<usize> = (0..n).collect();
            let (chosen, _) = order.partial_shuffle(&mut stream(index), n_first);
            sum(&mut chosen.iter().copied())
        })?;
        (permuted.p, "permutation test of the difference of means")
    };
    Ok(TestResult {
        method,
        alternative: Alternative::TwoSided,
        statistic: observed * scale,
        p,
        sides: None,
        effect: observed * scale,
        effect_kind: EffectKind::MeanDifference,
        ci: None,
        n,
        n_unit: "values",
    })
}

/// Number of ways to choose `k` of `n`, where it is no more than [`MOST_CHOICES`].
fn choices(n: usize, k: usize) -> Option<u64> {
    let k = k.min(n - k) as u64;
    let mut ways = 1u64;
    for i in 1..=k {
        ways = ways * (n as u64 - k + i) / i;
        if ways > MOST_CHOICES {
            return None;
        }
    }
    Some(ways)
}

/// Hands out every choice of `k` of `n` in lexicographic order.
fn each_choice(n: usize, k: usize, mut take: impl FnMut(&[usize])) {
    let mut chosen: Vec<usize> = (0..k).collect();
    loop {
        take(&chosen);
        let Some(last) = (0..k).rev().find(|&i| chosen[i] < n - k + i) else {
            return;
        };
        chosen[last] += 1;
        for i in last + 1..k {
            chosen[i] = chosen[i - 1] + 1;
        }
    }
}
