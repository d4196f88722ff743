use crate::PValue;
use crate::error::{Error, Undefined, numbers};
use crate::proportion::binomial_test;
use crate::ranks::SortedScores;
use crate::result::{Alternative, EffectKind, TestResult};
use crate::tails::ln_normal_sf;

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
/// them, else normal with tie correction and without continuity correction.
/// Oracle: `scipy.stats.wilcoxon(method="auto")`, whose two-sided statistic is the smaller of the two rank sums.
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
    let p = if exact {
        PValue::new(exact_p(&doubled, positive, total))
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
        PValue::two_sided(ln_normal_sf(z.abs()))
    };
    Ok(TestResult {
        method: if exact {
            "Wilcoxon signed-rank test, exact"
        } else {
            "Wilcoxon signed-rank test"
        },
        alternative: Alternative::TwoSided,
        statistic: positive as f64 / 2.0,
        p,
        effect: 2.0 * positive as f64 / total as f64 - 1.0,
        effect_kind: EffectKind::RankBiserial,
        ci: None,
        n: nonzero,
        n_unit: "pairs",
    })
}

/// Sign test that positive and negative differences are equally likely; zeros are dropped.
///
/// Effect = share of positive differences with its Clopper-Pearson interval. Oracle: `scipy.stats.binomtest`.
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

/// Twice the smaller tail over all 2ⁿ signs of the doubled ranks, at most 1.
fn exact_p(doubled: &[usize], positive: usize, total: usize) -> f64 {
    let mut ways = vec![0u64; total + 1];
    ways[0] = 1;
    let mut reach = 0;
    for &rank in doubled.iter().filter(|&&rank| rank > 0) {
        reach += rank;
        for sum in (rank..=reach).rev() {
            ways[sum] += ways[sum - rank];
        }
    }
    // The distribution is symmetric, so the tail beyond the larger sum is the one up to the smaller.
    let tail: u64 = ways[..=positive.min(total - positive)].iter().sum();
    let all: u64 = ways.iter().sum();
    (2.0 * tail as f64 / all as f64).min(1.0)
}
