//! The largest of several scores of nothing: what to expect of it, and how unlikely a larger one is.

use std::f64::consts::SQRT_2;

/// Steps of Simpson's rule, of smooth functions over a range of ten standard errors: exact to ten digits.
const STEPS: usize = 1000;
/// Standard errors beyond which a normal number is not found.
const REACH: f64 = 10.0;

/// Mean of the largest of |z_k|, z_k independent, normal around 0 with the given standard errors: by how much a maximum over
/// strata beats 0 if nothing is there. 0 without any.
///
/// E max = ∫ 1 − ∏ P(|z_k| ≤ x) dx, by Simpson's rule.
///
/// ```
/// use scfm_cssi::expected_largest;
///
/// // The mean of |z| is √(2/π); twelve strata of 125 cells push the largest to 0.18.
/// assert!((expected_largest(&[1.0]) - (2.0 / std::f64::consts::PI).sqrt()).abs() < 1e-9);
/// assert!((expected_largest(&[1.0 / 122_f64.sqrt(); 12]) - 0.18).abs() < 5e-3);
/// ```
pub fn expected_largest(standard_errors: &[f64]) -> f64 {
    let widest = standard_errors.iter().copied().fold(0.0, f64::max);
    let step = REACH * widest / STEPS as f64;
    let weighted = |at: usize| {
        let weight = match at {
            0 | STEPS => 1.0,
            odd if odd % 2 == 1 => 4.0,
            _ => 2.0,
        };
        weight * largest_p(at as f64 * step, standard_errors)
    };
    (0..=STEPS).map(weighted).sum::<f64>() * step / 3.0
}

/// P(max |z_k| ≥ `largest`) for independent z_k, normal around 0 with the given standard errors: the p-value of a maximum over
/// strata (Šidák). Its negative logarithm is a score that a mere number of strata does not raise.
///
/// ```
/// use scfm_cssi::largest_p;
///
/// let alone = largest_p(1.96, &[1.0]);
/// assert!((alone - 0.05).abs() < 1e-4);
/// assert!((largest_p(1.96, &[1.0, 1.0, 1.0]) - (1.0 - (1.0 - alone).powi(3))).abs() < 1e-12);
/// ```
pub fn largest_p(largest: f64, standard_errors: &[f64]) -> f64 {
    // ln(1 − P) summed and turned back by expm1 keeps the digits of small tails.
    let inside: f64 = standard_errors
        .iter()
        .map(|error| (-libm::erfc(largest.max(0.0) / error / SQRT_2)).ln_1p())
        .sum();
    -inside.exp_m1()
}
