use libm::lgamma;

use crate::error::Error;
use crate::student_tails::t_upper_quantile;
use crate::tails::{ln_normal_sf, normal_upper_quantile};

/// Intervals of Simpson's rule for the non-central t distribution: some 1e-12 for all degrees of freedom.
const INTERVALS: usize = 2_000;

/// Power of the two-sided paired (or one-sample) t test for `n` pairs whose differences have a mean of `d` standard
/// deviations.
///
/// Oracle: `statsmodels.stats.power.TTestPower().power(d, n, alpha)`, which is good to nine digits.
///
/// ```
/// assert!((scfm_stats::paired_t_power(0.5, 34, 0.05)? - 0.808).abs() < 1e-3);
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// [`Error::OutOfRange`] for `n` < 2, an `alpha` outside (0, 1), a `d` that is not finite.
pub fn paired_t_power(d: f64, n: usize, alpha: f64) -> Result<f64, Error> {
    check(d, alpha)?;
    if n < 2 {
        return Err(Error::OutOfRange {
            what: "number of pairs",
            value: n as f64,
            expected: "at least 2",
        });
    }
    let df = n as f64 - 1.0;
    let critical = t_upper_quantile(0.5 * alpha, df);
    let shift = d * (n as f64).sqrt();
    Ok((non_central_t_sf(critical, df, shift) + non_central_t_sf(critical, df, -shift)).clamp(0.0, 1.0))
}

/// Fewest pairs with which the paired t test has that `power`.
///
/// Oracle: `TTestPower().solve_power`, rounded up.
///
/// ```
/// assert_eq!(scfm_stats::paired_t_pairs(0.5, 0.8, 0.05)?, 34);
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// As [`paired_t_power`], and [`Error::OutOfRange`] for a `power` outside (`alpha`, 1) or `d` = 0.
pub fn paired_t_pairs(d: f64, power: f64, alpha: f64) -> Result<usize, Error> {
    check(d, alpha)?;
    if !(power > alpha && power < 1.0) {
        return Err(Error::OutOfRange {
            what: "power",
            value: power,
            expected: "above alpha and below 1",
        });
    }
    if d == 0.0 {
        return Err(Error::OutOfRange {
            what: "effect",
            value: d,
            expected: "other than 0",
        });
    }
    let (mut enough, mut too_few) = (2, 1);
    while paired_t_power(d, enough, alpha)? < power {
        too_few = enough;
        enough *= 2;
    }
    while enough - too_few > 1 {
        let middle = too_few + (enough - too_few) / 2;
        if paired_t_power(d, middle, alpha)? < power {
            too_few = middle;
        } else {
            enough = middle;
        }
    }
    Ok(enough)
}

/// Standard error of an AUROC after Hanley and McNeil (1982), for planning: exponential scores. Oracle: the formula in
/// NumPy.
///
/// ```
/// // Without an effect, that of the Mann-Whitney test: √((m + n + 1) / (12 m n)).
/// let error = scfm_stats::hanley_mcneil_error(0.5, 10, 30)?;
/// assert!((error - (41.0f64 / 3600.0).sqrt()).abs() < 1e-15);
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// [`Error::OutOfRange`] for an `auroc` outside [0, 1], [`Error::Empty`] without a positive or a negative.
pub fn hanley_mcneil_error(auroc: f64, n_pos: usize, n_neg: usize) -> Result<f64, Error> {
    if !(0.0..=1.0).contains(&auroc) {
        return Err(Error::OutOfRange {
            what: "AUROC",
            value: auroc,
            expected: "within [0, 1]",
        });
    }
    for (what, n) in [("class of positives", n_pos), ("class of negatives", n_neg)] {
        if n == 0 {
            return Err(Error::Empty { what });
        }
    }
    let (square, pos, neg) = (auroc * auroc, n_pos as f64, n_neg as f64);
    let two_positives = auroc / (2.0 - auroc) - square;
    let two_negatives = 2.0 * square / (1.0 + auroc) - square;
    let variance = auroc * (1.0 - auroc) + (pos - 1.0) * two_positives + (neg - 1.0) * two_negatives;
    Ok((variance / (pos * neg)).sqrt())
}

/// Power of a two-sided test that an AUROC is 0.5, by the normal approximation with Hanley and McNeil's errors under
/// either hypothesis (Obuchowski and McClish 1997). Oracle: the formula with `scipy.stats.norm`.
///
/// ```
/// let power = |n_pos| scfm_stats::auroc_power(0.6, n_pos, 2_000, 0.05);
/// assert!(power(20)? < 0.5 && power(100)? > 0.9);
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// As [`hanley_mcneil_error`], [`Error::OutOfRange`] for an `alpha` outside (0, 1).
pub fn auroc_power(auroc: f64, n_pos: usize, n_neg: usize, alpha: f64) -> Result<f64, Error> {
    check(auroc, alpha)?;
    let null = hanley_mcneil_error(0.5, n_pos, n_neg)?;
    let error = hanley_mcneil_error(auroc, n_pos, n_neg)?;
    let reach = normal_upper_quantile(0.5 * alpha) * null;
    let beyond = |distance: f64| match error {
        0.0 => f64::from(u8::from(distance < 0.0)),
        error => ln_normal_sf(distance / error).exp(),
    };
    Ok((beyond(reach - (auroc - 0.5)) + beyond(reach + (auroc - 0.5))).clamp(0.0, 1.0))
}

fn check(effect: f64, alpha: f64) -> Result<(), Error> {
    if !effect.is_finite() {
        return Err(Error::OutOfRange {
            what: "effect",
            value: effect,
            expected: "a finite number",
        });
    }
    if !(alpha > 0.0 && alpha < 1.0) {
        return Err(Error::OutOfRange {
            what: "alpha",
            value: alpha,
            expected: "within (0, 1)",
        });
    }
    Ok(())
}

/// P((Z + `shift`) / U > `t`) where U² is χ² over its `df` degrees of freedom: the integral over U.
fn non_central_t_sf(t: f64, df: f64, shift: f64) -> f64 {
    let reach = 12.0 / (2.0 * df).sqrt();
    let low = (1.0 - reach).max(0.0);
    // Beyond (40 + shift) / t the normal tail is 0; for large t all that counts lies near 0.
    let high = (1.0 + reach).min((40.0 + shift.max(0.0)) / t).max(low);
    let ln_scale = std::f64::consts::LN_2 + 0.5 * df * (0.5 * df).ln() - lgamma(0.5 * df);
    let integrand = |u: f64| {
        // 0⁰ = 1 at one degree of freedom.
        let ln_power = if df == 1.0 { 0.0 } else { (df - 1.0) * u.ln() };
        (ln_scale + ln_power - 0.5 * df * u * u + ln_normal_sf(t * u - shift)).exp()
    };
    let step = (high - low) / INTERVALS as f64;
    let inner: f64 = (1..INTERVALS)
        .map(|i| integrand(low + i as f64 * step) * if i % 2 == 1 { 4.0 } else { 2.0 })
        .sum();
    (integrand(low) + inner + integrand(high)) * step / 3.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_effect_power_is_the_level() {
        for n in [2, 5, 40, 1_000] {
            for alpha in [0.001, 0.05, 0.3] {
                let power = paired_t_power(0.0, n, alpha).unwrap();
                assert!((power - alpha).abs() < 1e-10, "{n} {alpha}: {power}");
            }
        }
        assert!((auroc_power(0.5, 20, 100, 0.05).unwrap() - 0.05).abs() < 1e-12);
    }

    #[test]
    fn the_number_of_pairs_is_the_first_with_the_power() {
        for d in [0.1, -0.4, 2.0] {
            let n = paired_t_pairs(d, 0.8, 0.05).unwrap();
            assert!(paired_t_power(d, n, 0.05).unwrap() >= 0.8);
            assert!(n == 2 || paired_t_power(d, n - 1, 0.05).unwrap() < 0.8);
        }
    }
}
