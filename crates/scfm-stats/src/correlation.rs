use crate::error::{Error, Undefined, finite, numbers, same_length};
use crate::ranks::mid_ranks;
use crate::result::{Alternative, EffectKind, Interval, TestResult};
use crate::tails::{ln_beta_reg, normal_upper_quantile};
use crate::{CONFIDENCE, PValue};

/// Up to this many pairs Spearman's null distribution is enumerated: 10! arrangements take some ten milliseconds.
const EXACT: usize = 10;

/// Pearson's correlation with p by Student's t (n - 2 degrees of freedom) and Fisher's z interval (from 4 pairs on).
///
/// Oracle: `scipy.stats.pearsonr`.
///
/// # Errors
/// [`Undefined::Constant`], [`Undefined::TooFew`] below 3 pairs; [`Error::Length`], [`Error::NotANumber`],
/// [`Error::NotFinite`], [`Error::Empty`].
pub fn pearson(a: &[f64], b: &[f64]) -> Result<TestResult, Error> {
    same_length("second vector", a.len(), b.len())?;
    finite("first vector", a)?;
    finite("second vector", b)?;
    let r = correlation(a, b)?;
    let p = student_p(r, a.len());
    Ok(result(
        "Pearson correlation",
        r,
        p,
        fisher_interval(r, a.len(), 1.0),
        a.len(),
    ))
}

/// Spearman's rank correlation, two-sided, with the interval of Bonett and Wright (2000).
///
/// p by Student's t with n - 2 degrees of freedom; up to 10 pairs from all arrangements, where t would call a perfect
/// order of three impossible. Oracle: `scipy.stats.spearmanr` (and `permutation_test` up to 10 pairs).
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
    let rho = correlation(&ra, &rb)?;
    let n = a.len();
    let ci = fisher_interval(rho, n, 1.0 + rho * rho / 2.0);
    Ok(if n <= EXACT {
        result(
            "Spearman correlation, exact",
            rho,
            PValue::new(arrangements_p(&ra, &rb)),
            ci,
            n,
        )
    } else {
        result("Spearman correlation", rho, student_p(rho, n), ci, n)
    })
}

/// Pearson's r of two vectors of one length without NaN.
pub(crate) fn correlation(a: &[f64], b: &[f64]) -> Result<f64, Error> {
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
    let (a, b) = (centred(a), centred(b));
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    Ok((dot(&a, &b) / (dot(&a, &a).sqrt() * dot(&b, &b).sqrt())).clamp(-1.0, 1.0))
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

pub(crate) fn student_p(r: f64, n: usize) -> PValue {
    let square = r * r;
    PValue::from_ln(ln_beta_reg(
        0.5 * (n as f64 - 2.0),
        0.5,
        (1.0 - r) * (1.0 + r),
        square,
    ))
}

/// Share of the arrangements of `b` that correlate with `a` at least as strongly, in integers and hence exactly.
fn arrangements_p(a: &[f64], b: &[f64]) -> f64 {
    let doubled = |ranks: &[f64]| -> Vec<i64> { ranks.iter().map(|rank| (2.0 * rank) as i64).collect() };
    let (a, mut b) = (doubled(a), doubled(b));
    let n = a.len();
    let centre = a.iter().sum::<i64>() * b.iter().sum::<i64>();
    let mut product: i64 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
    let distance = |product: i64| (n as i64 * product - centre).abs();
    let observed = distance(product);
    let (mut as_far, mut all) = (1u64, 1u64);
    // Heap's algorithm: each arrangement differs from the last one by a swap.
    let mut counters = vec![0; n];
    let mut i = 1;
    while i < n {
        if counters[i] < i {
            let j = if i % 2 == 0 { 0 } else { counters[i] };
            product += (a[i] - a[j]) * (b[j] - b[i]);
            b.swap(i, j);
            as_far += u64::from(distance(product) >= observed);
            all += 1;
            counters[i] += 1;
            i = 1;
        } else {
            counters[i] = 0;
            i += 1;
        }
    }
    as_far as f64 / all as f64
}

/// tanh(atanh r ± z √(inflation / (n - 3))).
pub(crate) fn fisher_interval(r: f64, n: usize, inflation: f64) -> Option<Interval> {
    if n < 4 {
        return None;
    }
    let reach = normal_upper_quantile(0.5 * (1.0 - CONFIDENCE)) * (inflation / (n as f64 - 3.0)).sqrt();
    let z = r.atanh();
    Some(Interval {
        low: (z - reach).tanh(),
        high: (z + reach).tanh(),
        level: CONFIDENCE,
    })
}

fn result(method: &'static str, r: f64, p: PValue, ci: Option<Interval>, n: usize) -> TestResult {
    TestResult {
        method,
        alternative: Alternative::TwoSided,
        statistic: r,
        p,
        effect: r,
        effect_kind: EffectKind::Correlation,
        ci,
        n,
        n_unit: "pairs",
    }
}
