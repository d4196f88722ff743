use crate::error::{Error, Undefined, numbers};
use crate::proportion::binomial_test;
use crate::ranks::SortedScores;
use crate::result::{Alternative, EffectKind, Interval, TestResult};
use crate::{Estimate, Moments, PValue, Sides};

/// Up to this many differences the distribution is enumerated if nothing is tied or zero (SciPy's rule).
const EXACT: usize = 50;
/// Up to this many differences it is enumerated whatever ties and zeros there are (SciPy's rule).
const EXACT_WITH_TIES: usize = 13;

/// What becomes of differences of exactly zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Zeros {
    /// They are dropped before ranking (Wilcoxon's own way).
    #[default]
    Drop,
    /// They are ranked, then their ranks dropped (Pratt 1959).
    Pratt,
}

/// Wilcoxon signed-rank test that the differences are symmetric around 0, two-sided.
///
/// Statistic = rank sum of the positive differences; effect = rank-biserial correlation (share of the rank sum that is
/// positive minus the share that is negative). Exact up to 50 differences without ties and zeros and up to 13 with
/// them, else normal with tie correction and without continuity correction. Greater means positive differences.
/// The interval comes from the standard error of a U statistic on the scale of Fisher's z (in simulations 94-98 % from 15
/// differences on, less where nearly all have one sign); there is none where all have one sign.
/// Oracle: `scipy.stats.wilcoxon(method="auto")`, whose two-sided statistic is the smaller of the two rank sums.
///
/// ```
/// use scfm_stats::{Alternative, Zeros, wilcoxon_signed_rank};
///
/// let test = wilcoxon_signed_rank(&[0.4, 1.1, -0.2, 0.9], Zeros::Drop)?;
/// assert_eq!((test.statistic, test.effect), (9.0, 0.8));
/// assert_eq!(test.against(Alternative::Greater)?.p.p(), 2.0 / 16.0);
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// [`Undefined::TooFew`] if no difference is left; [`Error::NotANumber`], [`Error::Empty`].
pub fn wilcoxon_signed_rank(differences: &[f64], zeros: Zeros) -> Result<TestResult, Error> {
    if differences.is_empty() {
        return Err(Error::Empty { what: "differences" });
    }
    numbers("difference", differences)?;
    let n_zeros = differences
        .iter()
        .filter(|&&difference| difference == 0.0)
        .count();
    let nonzero = differences.len() - n_zeros;
    if nonzero == 0 {
        return Err(Undefined::TooFew {
            what: "differences other than zero",
            n: 0,
            needed: 1,
        }
        .into());
    }
    let ranked =
        (0..differences.len()).filter(|&position| zeros == Zeros::Pratt || differences[position] != 0.0);
    let sorted = SortedScores::of_masked(ranked, differences.len(), |position| differences[position].abs());
    let mut ranks = vec![0.0; differences.len()];
    sorted.write_mid_ranks(&mut ranks);

    // Twice a mid-rank is an integer, which makes rank sums exact.
    let doubled: Vec<usize> = ranks
        .iter()
        .zip(differences)
        .map(|(rank, &difference)| {
            if difference == 0.0 {
                0
            } else {
                (2.0 * rank) as usize
            }
        })
        .collect();
    let total: usize = doubled.iter().sum();
    let positive: usize = doubled
        .iter()
        .zip(differences)
        .filter(|(_, difference)| **difference > 0.0)
        .map(|(rank, _)| rank)
        .sum();
    let tied: f64 = sorted
        .blocks()
        .filter(|block| differences[block[0] as usize] != 0.0)
        .map(|block| block.len() as f64)
        .map(|t| t.powi(3) - t)
        .sum();

    let limit = if n_zeros > 0 || tied > 0.0 {
        EXACT_WITH_TIES
    } else {
        EXACT
    };
    let exact = differences.len() <= limit;
    let sides = if exact {
        exact_sides(&doubled, positive, total)
    } else {
        let ranked = sorted.len() as f64;
        let dropped = if zeros == Zeros::Pratt {
            n_zeros as f64
        } else {
            0.0
        };
        let squares = |n: f64| n * (n + 1.0) * (2.0 * n + 1.0);
        let variance = (squares(ranked) - squares(dropped) - tied / 2.0) / 24.0;
        let z = (positive as f64 / 2.0 - total as f64 / 4.0) / variance.sqrt();
        Sides::of_z(z)
    };
    let correlation = 2.0 * positive as f64 / total as f64 - 1.0;
    Ok(TestResult {
        method: if exact {
            "Wilcoxon signed-rank test, exact"
        } else {
            "Wilcoxon signed-rank test"
        },
        alternative: Alternative::TwoSided,
        statistic: positive as f64 / 2.0,
        p: sides.two_sided,
        sides: Some(sides),
        effect: correlation,
        effect_kind: EffectKind::RankBiserial,
        ci: interval(differences, zeros, correlation),
        n: nonzero,
        n_unit: "pairs",
    })
}

/// Sign test that positive and negative differences are equally likely; zeros are dropped.
///
/// Effect = share of positive differences with its Clopper-Pearson interval; greater means more than half. Oracle:
/// `scipy.stats.binomtest`.
///
/// ```
/// let test = scfm_stats::sign_test(&[0.1, 2.0, -0.4, 0.0, 1.0])?;
/// assert_eq!((test.effect, test.n), (0.75, 4));
/// assert!((test.p.p() - 10.0 / 16.0).abs() < 1e-15);
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// As [`wilcoxon_signed_rank`].
pub fn sign_test(differences: &[f64]) -> Result<TestResult, Error> {
    numbers("difference", differences)?;
    let positive = differences.iter().filter(|&&difference| difference > 0.0).count();
    let negative = differences.iter().filter(|&&difference| difference < 0.0).count();
    if positive + negative == 0 {
        return Err(Undefined::TooFew {
            what: "differences other than zero",
            n: 0,
            needed: 1,
        }
        .into());
    }
    let result = binomial_test(positive as u64, (positive + negative) as u64, 0.5)?;
    Ok(TestResult {
        method: "sign test",
        n_unit: "pairs",
        ..result
    })
}

/// Interval of the rank-biserial correlation.
///
/// The correlation is the mean sign of all sums of two differences (the Walsh averages), so its standard error is that of
/// a U statistic: 2 s / √n, s the standard deviation over i of the mean sign of dᵢ + dⱼ, j ≠ i (Sen 1960).
fn interval(differences: &[f64], zeros: Zeros, correlation: f64) -> Option<Interval> {
    let kept = |difference: &&f64| zeros == Zeros::Pratt || **difference != 0.0;
    let mut sorted: Vec<f64> = differences.iter().filter(kept).copied().collect();
    let n = sorted.len();
    if n < 2 {
        return None;
    }
    sorted.sort_unstable_by(f64::total_cmp);
    let others = n as f64 - 1.0;
    let signs: Vec<f64> = sorted
        .iter()
        .map(|&difference| {
            // Compared, not added: infinite differences of either sign have no sum.
            let below = sorted.partition_point(|&other| other < -difference) as f64;
            let up_to = sorted.partition_point(|&other| other <= -difference) as f64;
            let own = f64::from(i8::from(difference > 0.0) - i8::from(difference < 0.0));
            (n as f64 - below - up_to - own) / others
        })
        .collect();
    let standard_error = 2.0 * (Moments::of(&signs).variance / n as f64).sqrt();
    Estimate::new(correlation, standard_error, others)
        .ok()?
        .bounded_interval()
}

/// Tails over all 2ⁿ signs of the doubled ranks.
fn exact_sides(doubled: &[usize], positive: usize, total: usize) -> Sides {
    let mut ways = vec![0u64; total + 1];
    ways[0] = 1;
    let mut reach = 0;
    for &rank in doubled.iter().filter(|&&rank| rank > 0) {
        reach += rank;
        for sum in (rank..=reach).rev() {
            ways[sum] += ways[sum - rank];
        }
    }
    let all: u64 = ways.iter().sum();
    let share = |ways: &[u64]| PValue::new(ways.iter().sum::<u64>() as f64 / all as f64);
    Sides::doubled(share(&ways[positive..]), share(&ways[..=positive]))
}
