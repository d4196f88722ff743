use rayon::prelude::*;

use crate::error::{Error, Undefined, finite, numbers, same_length};
use crate::ranks::mid_ranks;
use crate::result::{Alternative, EffectKind, Interval, TestResult};
use crate::tails::normal_upper_quantile;
use crate::{CONFIDENCE, PValue, Sides};

/// Up to this many pairs Spearman's null distribution is enumerated: 10! arrangements take some ten milliseconds.
const EXACT: usize = 10;

/// Above this |r|, 1 - |r| is summed anew.
const NEARLY_PERFECT: f64 = 0.9;

/// Pearson's correlation, two-sided, with p by Student's t (n - 2 degrees of freedom) and Fisher's z interval (from 4 pairs on).
///
/// Oracle: `scipy.stats.pearsonr`.
///
/// ```
/// let test = scfm_stats::pearson(&[1.0, 2.0, 3.0, 5.0], &[1.1, 1.9, 3.2, 4.8])?;
/// assert!(test.effect > 0.99 && test.p.p() < 0.01);
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// [`Undefined::Constant`], [`Undefined::TooFew`] below 3 pairs; [`Error::Length`], [`Error::NotANumber`],
/// [`Error::NotFinite`], [`Error::Empty`].
pub fn pearson(a: &[f64], b: &[f64]) -> Result<TestResult, Error> {
    same_length("second vector", a.len(), b.len())?;
    finite("first vector", a)?;
    finite("second vector", b)?;
    let n = a.len();
    let r = Correlation::of(a, b)?;
    Ok(result(
        "Pearson correlation",
        r,
        r.sides(n),
        r.interval(n, 1.0),
        n,
    ))
}

/// Spearman's rank correlation, two-sided, with the interval of Bonett and Wright (2000).
///
/// p by Student's t with n - 2 degrees of freedom; up to 10 pairs from all arrangements, where t would call a perfect
/// order of three impossible. Oracle: `scipy.stats.spearmanr`, which uses t for any number of pairs; up to 10 the count
/// over all arrangements.
///
/// ```
/// use scfm_stats::{Alternative, spearman};
///
/// let test = spearman(&[1.0, 2.0, 3.0, 4.0], &[0.2, 0.1, 7.0, 9.0])?;
/// assert!((test.effect - 0.8).abs() < 1e-15);
/// assert_eq!(test.against(Alternative::Greater)?.p.p(), 4.0 / 24.0);
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// As [`pearson`], but infinite values may be ranked.
pub fn spearman(a: &[f64], b: &[f64]) -> Result<TestResult, Error> {
    same_length("second vector", a.len(), b.len())?;
    if a.is_empty() {
        return Err(Error::Empty { what: "first vector" });
    }
    numbers("first vector", a)?;
    numbers("second vector", b)?;
    let (ra, rb) = (mid_ranks(a)?, mid_ranks(b)?);
    let rho = Correlation::of(&ra, &rb)?;
    let n = a.len();
    let ci = rho.rank_interval(n);
    Ok(if n <= EXACT {
        result(
            "Spearman correlation, exact",
            rho,
            arrangement_sides(&ra, &rb),
            ci,
            n,
        )
    } else {
        result("Spearman correlation", rho, rho.sides(n), ci, n)
    })
}

/// Pearson's r of two vectors, with the digits of 1 - |r|.
///
/// Of thousands of values in nearly perfect order p is some (1 - r²)^(n/2): an error in the last bit of r alone would be one
/// in the seventh digit of p.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Correlation {
    pub(crate) r: f64,
    /// 1 - |r|.
    distance: f64,
}

impl Correlation {
    /// Of two vectors of one length without NaN.
    pub(crate) fn of(a: &[f64], b: &[f64]) -> Result<Self, Error> {
        for (what, values) in [("first vector", a), ("second vector", b)] {
            if values.len() < 3 {
                return Err(Undefined::TooFew {
                    what: "pairs",
                    n: values.len(),
                    needed: 3,
                }
                .into());
            }
            if values.iter().all(|value| *value == values[0]) {
                return Err(Undefined::Constant { what }.into());
            }
        }
        Ok(Self::of_centred(&centred(a), &centred(b)))
    }

    /// Of two vectors with the mean 0 that are not 0 throughout, nor so long or short that their squares overflow.
    pub(crate) fn of_centred(a: &[f64], b: &[f64]) -> Self {
        let (norm_a, norm_b) = (dot(a, a).sqrt(), dot(b, b).sqrt());
        let r = dot(a, b) / (norm_a * norm_b);
        if r.abs() < NEARLY_PERFECT {
            return Self {
                r,
                distance: 1.0 - r.abs(),
            };
        }
        // |x - y|² = 2 (1 - x·y) of unit vectors.
        let (scale_a, scale_b) = (1.0 / norm_a, r.signum() / norm_b);
        let square = |(x, y): (&f64, &f64)| (x * scale_a - y * scale_b).powi(2);
        let distance = 0.5 * a.iter().zip(b).map(square).sum::<f64>();
        Self {
            r: r.signum() * (1.0 - distance),
            distance,
        }
    }

    /// Of r √(df / (1 - r²)) with df = `n` - 2 degrees of freedom.
    pub(crate) fn sides(self, n: usize) -> Sides {
        let df = n as f64 - 2.0;
        Sides::of_t(self.r * (df / (self.distance * (1.0 + self.r.abs()))).sqrt(), df)
    }

    /// tanh(atanh r ± z √(`inflation` / (n - 3))).
    fn interval(self, n: usize, inflation: f64) -> Option<Interval> {
        if n < 4 {
            return None;
        }
        let reach = normal_upper_quantile(0.5 * (1.0 - CONFIDENCE)) * (inflation / (n as f64 - 3.0)).sqrt();
        let z = self.r.atanh();
        Some(Interval {
            low: (z - reach).tanh(),
            high: (z + reach).tanh(),
            level: CONFIDENCE,
        })
    }

    /// The interval of Bonett and Wright (2000) for correlations of ranks.
    pub(crate) fn rank_interval(self, n: usize) -> Option<Interval> {
        self.interval(n, 1.0 + self.r * self.r / 2.0)
    }
}

/// Values per partial sum of [`dot`], whatever the number of threads.
const PART: usize = 1 << 15;

/// Σ a·b, on all threads where the vectors are long.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let product = |(a, b): (&[f64], &[f64])| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    if a.len() <= PART {
        return product((a, b));
    }
    let parts: Vec<f64> = a.par_chunks(PART).zip(b.par_chunks(PART)).map(product).collect();
    parts.into_iter().sum()
}

/// Deviations from the mean, scaled by the largest so that no square overflows or underflows.
fn centred(values: &[f64]) -> Vec<f64> {
    let largest = values
        .iter()
        .fold(0.0, |largest: f64, value| largest.max(value.abs()));
    let scaled: Vec<f64> = values.iter().map(|value| value / largest).collect();
    let mean = scaled.iter().sum::<f64>() / values.len() as f64;
    let spread = scaled
        .iter()
        .fold(0.0, |spread: f64, value| spread.max((value - mean).abs()));
    scaled.iter().map(|value| (value - mean) / spread).collect()
}

/// Shares of the arrangements of `b` that correlate with `a` as much as it does, in integers and hence exactly.
///
/// Two-sided counts those as far from 0 on either side: with ties the distribution need not be symmetric, and then this is
/// not twice the smaller tail.
fn arrangement_sides(a: &[f64], b: &[f64]) -> Sides {
    let doubled = |ranks: &[f64]| -> Vec<i64> { ranks.iter().map(|rank| (2.0 * rank) as i64).collect() };
    let (a, mut b) = (doubled(a), doubled(b));
    let n = a.len();
    let centre = a.iter().sum::<i64>() * b.iter().sum::<i64>();
    let mut product: i64 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
    let distance = |product: i64| n as i64 * product - centre;
    let observed = distance(product);
    let (mut as_far, mut above, mut below, mut all) = (1u64, 1u64, 1u64, 1u64);
    // Heap's algorithm: each arrangement differs from the last one by a swap.
    let mut counters = vec![0; n];
    let mut i = 1;
    while i < n {
        if counters[i] < i {
            let j = if i % 2 == 0 { 0 } else { counters[i] };
            product += (a[i] - a[j]) * (b[j] - b[i]);
            b.swap(i, j);
            let distance = distance(product);
            as_far += u64::from(distance.abs() >= observed.abs());
            above += u64::from(distance >= observed);
            below += u64::from(distance <= observed);
            all += 1;
            counters[i] += 1;
            i = 1;
        } else {
            counters[i] = 0;
            i += 1;
        }
    }
    let share = |count: u64| PValue::new(count as f64 / all as f64);
    Sides {
        two_sided: share(as_far),
        greater: share(above),
        less: share(below),
    }
}

fn result(method: &'static str, r: Correlation, sides: Sides, ci: Option<Interval>, n: usize) -> TestResult {
    TestResult {
        method,
        alternative: Alternative::TwoSided,
        statistic: r.r,
        p: sides.two_sided,
        sides: Some(sides),
        effect: r.r,
        effect_kind: EffectKind::Correlation,
        ci,
        n,
        n_unit: "pairs",
    }
}
