use crate::error::{Error, Undefined, numbers, same_length};
use crate::result::{Alternative, EffectKind, Interval, TestResult};
use crate::tails::normal_upper_quantile;
use crate::{CONFIDENCE, PValue, Sides};

/// Up to this many pairs without ties the null distribution is counted out, as SciPy does.
const EXACT: usize = 33;

/// Kendall's τ-b, two-sided. O(n log n).
///
/// p from the exact distribution up to 33 pairs without ties and for orders that are perfect but for one inversion,
/// else from the normal one with the variance corrected for ties. Interval by Fisher's z with variance 0.437 / (n - 4)
/// (Fieller, Hartley and Pearson 1957), from 5 pairs on. Oracle: `scipy.stats.kendalltau`.
///
/// ```
/// use scfm_stats::{Alternative, kendall};
///
/// let test = kendall(&[1.0, 2.0, 3.0, 4.0], &[0.1, 0.3, 0.2, 0.9])?;
/// assert!((test.effect - 4.0 / 6.0).abs() < 1e-15);
/// // One inversion or none, of the 24 orders.
/// assert!((test.against(Alternative::Greater)?.p.p() - 4.0 / 24.0).abs() < 1e-15);
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// [`Undefined::Constant`], [`Undefined::TooFew`] below 3 pairs; [`Error::Length`], [`Error::NotANumber`].
pub fn kendall(a: &[f64], b: &[f64]) -> Result<TestResult, Error> {
    same_length("second vector", a.len(), b.len())?;
    numbers("first vector", a)?;
    numbers("second vector", b)?;
    let n = a.len();
    if n < 3 {
        return Err(Undefined::TooFew {
            what: "pairs",
            n,
            needed: 3,
        }
        .into());
    }
    let mut pairs: Vec<(f64, f64)> = a.iter().copied().zip(b.iter().copied()).collect();
    pairs.sort_unstable_by(|x, y| {
        let (by_a, by_b) = (x.0.total_cmp(&y.0), x.1.total_cmp(&y.1));
        // Zeros of either sign are equal, which total_cmp does not say.
        let same = |x: f64, y: f64, order| if x == y { std::cmp::Ordering::Equal } else { order };
        same(x.0, y.0, by_a).then(same(x.1, y.1, by_b))
    });
    let ties_a = Ties::of(pairs.chunk_by(|x, y| x.0 == y.0).map(<[_]>::len));
    let ties_both = Ties::of(pairs.chunk_by(|x, y| x == y).map(<[_]>::len));
    let mut by_b: Vec<f64> = pairs.into_iter().map(|(_, b)| b).collect();
    let discordant = inversions(&mut by_b);
    let ties_b = Ties::of(by_b.chunk_by(|x, y| x == y).map(<[_]>::len));

    let all = n as f64 * (n as f64 - 1.0) / 2.0;
    for (what, ties) in [("first vector", &ties_a), ("second vector", &ties_b)] {
        if ties.pairs == all {
            return Err(Undefined::Constant { what }.into());
        }
    }
    let concordant = all - ties_a.pairs - ties_b.pairs + ties_both.pairs - discordant;
    let score = concordant - discordant;
    let tau = (score / (all - ties_a.pairs).sqrt() / (all - ties_b.pairs).sqrt()).clamp(-1.0, 1.0);

    let no_ties = ties_a.pairs == 0.0 && ties_b.pairs == 0.0;
    let (method, sides) = if no_ties && (n <= EXACT || discordant.min(all - discordant) <= 1.0) {
        let exact = exact_sides(n, discordant as usize, all as usize);
        ("Kendall correlation, exact", exact)
    } else {
        let z = score / variance(n as f64, &ties_a, &ties_b).sqrt();
        ("Kendall correlation", Sides::of_z(z))
    };
    let ci = (n > 4).then(|| {
        let reach = normal_upper_quantile(0.5 * (1.0 - CONFIDENCE)) * (0.437 / (n as f64 - 4.0)).sqrt();
        Interval {
            low: (tau.atanh() - reach).tanh(),
            high: (tau.atanh() + reach).tanh(),
            level: CONFIDENCE,
        }
    });
    Ok(TestResult {
        method,
        alternative: Alternative::TwoSided,
        statistic: tau,
        p: sides.two_sided,
        sides: Some(sides),
        effect: tau,
        effect_kind: EffectKind::Correlation,
        ci,
        n,
        n_unit: "pairs",
    })
}

/// Sums over blocks of t tied values.
struct Ties {
    /// Σ t (t - 1) / 2.
    pairs: f64,
    /// Σ t (t - 1) (t - 2).
    triples: f64,
    /// Σ t (t - 1) (2 t + 5).
    weighted: f64,
}

impl Ties {
    fn of(blocks: impl Iterator<Item = usize>) -> Self {
        let mut ties = Self {
            pairs: 0.0,
            triples: 0.0,
            weighted: 0.0,
        };
        for t in blocks.map(|t| t as f64) {
            ties.pairs += t * (t - 1.0) / 2.0;
            ties.triples += t * (t - 1.0) * (t - 2.0);
            ties.weighted += t * (t - 1.0) * (2.0 * t + 5.0);
        }
        ties
    }
}

/// Variance of concordant minus discordant pairs under independence (Kendall 1970, eq. 4.4).
fn variance(n: f64, a: &Ties, b: &Ties) -> f64 {
    let m = n * (n - 1.0);
    (m * (2.0 * n + 5.0) - a.weighted - b.weighted) / 18.0
        + 2.0 * a.pairs * b.pairs / m
        + a.triples * b.triples / (9.0 * m * (n - 2.0))
}

/// Number of pairs in the wrong order; sorts `values`.
fn inversions(values: &mut [f64]) -> f64 {
    let n = values.len();
    let mut count = 0.0;
    let mut merged = values.to_vec();
    let mut width = 1;
    while width < n {
        for start in (0..n).step_by(2 * width) {
            let middle = (start + width).min(n);
            let end = (start + 2 * width).min(n);
            let (mut left, mut right) = (start, middle);
            for place in &mut merged[start..end] {
                if right == end || (left < middle && values[left] <= values[right]) {
                    *place = values[left];
                    left += 1;
                } else {
                    // It passes everything that is left of the left half.
                    count += (middle - left) as f64;
                    *place = values[right];
                    right += 1;
                }
            }
        }
        values.copy_from_slice(&merged);
        width *= 2;
    }
    count
}

/// From the shares of the orders of `n` with as few inversions and with as many; a positive τ has few.
fn exact_sides(n: usize, inversions: usize, pairs: usize) -> Sides {
    // Reversing an order turns every pair, so the distribution is symmetric and its lower half is counted.
    let fewer = inversions.min(pairs - inversions);
    let (beyond, up_to) = exact_tails(n, fewer);
    let (greater, less) = if inversions == fewer {
        (beyond, up_to)
    } else {
        (up_to, beyond)
    };
    Sides::doubled(greater, less)
}

/// Shares of the orders of `n` with at most and with at least that many inversions.
fn exact_tails(n: usize, inversions: usize) -> (PValue, PValue) {
    // The few orders of the first two counts have logarithms where shares underflow.
    let ln_factorial = libm::lgamma(n as f64 + 1.0);
    if inversions == 0 {
        return (PValue::from_ln(-ln_factorial), PValue::CERTAIN);
    }
    if inversions == 1 {
        let at_least = PValue::from_ln((-(-ln_factorial).exp()).ln_1p());
        return (PValue::from_ln((n as f64).ln() - ln_factorial), at_least);
    }
    // Share of orders of i with exactly k inversions: that of orders of i - 1, the last one passing 0..i others.
    let mut share = vec![0.0; inversions + 1];
    share[0] = 1.0;
    for i in 2..=n {
        let mut window = 0.0;
        let before = share.clone();
        for k in 0..=inversions {
            window += before[k];
            if k >= i {
                window -= before[k - i];
            }
            share[k] = window / i as f64;
        }
    }
    let fewer: f64 = share[..inversions].iter().sum();
    (
        PValue::new((fewer + share[inversions]).min(1.0)),
        PValue::new((1.0 - fewer).clamp(0.0, 1.0)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inversions_are_counted_and_the_values_sorted() {
        let mut values = [3.0, 1.0, 2.0, 2.0, 0.0];
        assert_eq!(inversions(&mut values), 7.0);
        assert_eq!(values, [0.0, 1.0, 2.0, 2.0, 3.0]);
    }

    #[test]
    fn small_null_distributions_are_those_of_all_orders() {
        // Orders of 4 by inversions: 1, 3, 5, 6, 5, 3, 1.
        for (inversions, at_most) in [(0, 1.0), (1, 4.0), (2, 9.0)] {
            let few = exact_sides(4, inversions, 6);
            assert!((few.two_sided.p() - 2.0 * at_most / 24.0).abs() < 1e-15);
            assert!((few.greater.p() - at_most / 24.0).abs() < 1e-15);
            let many = exact_sides(4, 6 - inversions, 6);
            assert_eq!((many.greater, many.less), (few.less, few.greater));
        }
        assert!((exact_sides(4, 1, 6).less.p() - 23.0 / 24.0).abs() < 1e-15);
        let middle = exact_sides(4, 3, 6);
        assert_eq!(
            (middle.two_sided.p(), middle.greater, middle.less.p()),
            (1.0, middle.less, 15.0 / 24.0)
        );
    }
}
