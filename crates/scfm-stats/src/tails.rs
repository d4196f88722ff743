//! Tails of the normal, χ², binomial and beta distributions in log space, where the tails themselves underflow.

use std::f64::consts::{PI, SQRT_2};

use libm::{erfc, lgamma};

/// Above this, erfc nears its underflow and the asymptotic series is exact to the last bit.
const ASYMPTOTIC_Z: f64 = 30.0;

/// Above this, Stirling's series for the logarithm of the gamma function is exact to the last bit.
const STIRLING: f64 = 10.0;

/// ln P(Z > z) of a standard normal variable.
pub(crate) fn ln_normal_sf(z: f64) -> f64 {
    if z < 0.0 {
        return (-0.5 * erfc(-z / SQRT_2)).ln_1p();
    }
    if z < ASYMPTOTIC_Z {
        return (0.5 * erfc(z / SQRT_2)).ln();
    }
    // Mills' ratio: 1 - 1/z² + 3/z⁴ - 15/z⁶ ...
    let (mut series, mut term) = (1.0, 1.0);
    for k in 1..=8 {
        term *= -f64::from(2 * k - 1) / (z * z);
        series += term;
    }
    -0.5 * z * z - z.ln() - 0.5 * (2.0 * PI).ln() + series.ln()
}

/// The z > 0 with P(Z > z) = `tail`, for `tail` < ½.
pub(crate) fn normal_upper_quantile(tail: f64) -> f64 {
    // Abramowitz and Stegun 26.2.23, within 5e-4, then Newton's method on ln P.
    let r = (-2.0 * tail.ln()).sqrt();
    let mut z = r
        - (2.515_517 + r * (0.802_853 + r * 0.010_328))
            / (1.0 + r * (1.432_788 + r * (0.189_269 + r * 0.001_308)));
    for _ in 0..3 {
        let ln_sf = ln_normal_sf(z);
        let ln_density = -0.5 * z * z - 0.5 * (2.0 * PI).ln();
        z += (ln_sf - tail.ln()) / (ln_density - ln_sf).exp();
    }
    z
}

/// The z with P(Z < z) = `share`, for `share` within (0, 1).
pub(crate) fn normal_quantile(share: f64) -> f64 {
    match share {
        0.5 => 0.0,
        share if share < 0.5 => -normal_upper_quantile(share),
        share => normal_upper_quantile(1.0 - share),
    }
}

/// ln P(X > x) of the χ² distribution with `df` degrees of freedom.
pub(crate) fn ln_chi_squared_sf(x: f64, df: f64) -> f64 {
    const MAX_TERMS: usize = 1_000_000;
    let (a, x) = (0.5 * df, 0.5 * x);
    if x <= 0.0 {
        return 0.0;
    }
    if x.is_infinite() {
        return f64::NEG_INFINITY;
    }
    // ln of x^a e^-x / Γ(a).
    let ln_front = a * x.ln() - x - lgamma(a);
    if x < a + 1.0 {
        // The series of the lower tail (DLMF 8.7.1).
        let (mut term, mut sum) = (1.0 / a, 1.0 / a);
        for n in 1..MAX_TERMS {
            term *= x / (a + n as f64);
            sum += term;
            if term < sum * f64::EPSILON {
                break;
            }
        }
        return (-(ln_front + sum.ln()).exp()).ln_1p();
    }
    // The continued fraction of the upper tail (DLMF 8.9.2), modified Lentz algorithm.
    let mut b = x + 1.0 - a;
    let mut c = 1e300;
    let mut d = 1.0 / b;
    let mut fraction = d;
    for n in 1..MAX_TERMS {
        let n = n as f64;
        let numerator = -n * (n - a);
        b += 2.0;
        d = 1.0 / (numerator * d + b);
        c = b + numerator / c;
        fraction *= c * d;
        if (c * d - 1.0).abs() < 4.0 * f64::EPSILON {
            break;
        }
    }
    ln_front + fraction.ln()
}

/// ln of the binomial probability of `k` successes in `n` trials with chances `p` and `q` = 1 - `p`, for large `n`
/// without cancellation (Loader 2000).
pub(crate) fn ln_binomial_mass(k: f64, n: f64, p: f64, q: f64) -> f64 {
    if p == 0.0 || q == 0.0 {
        let certain = (p == 0.0 && k == 0.0) || (q == 0.0 && k == n);
        return if certain { 0.0 } else { f64::NEG_INFINITY };
    }
    if k == 0.0 {
        return if p > 0.5 { n * q.ln() } else { n * (-p).ln_1p() };
    }
    if k == n {
        return if q > 0.5 { n * p.ln() } else { n * (-q).ln_1p() };
    }
    let rest = n - k;
    stirling_error(n) - stirling_error(k) - stirling_error(rest) - deviance(k, n * p) - deviance(rest, n * q)
        + 0.5 * (n / (2.0 * PI * k * rest)).ln()
}

/// ln n! - [(n + ½) ln n - n + ½ ln 2π], for n ≥ 1.
fn stirling_error(n: f64) -> f64 {
    if n < STIRLING {
        lgamma(n + 1.0) - (n + 0.5) * n.ln() + n - 0.5 * (2.0 * PI).ln()
    } else {
        stirling_rest(n)
    }
}

/// x ln(x / m) + m - x, with its digits where x is near m.
fn deviance(x: f64, m: f64) -> f64 {
    let difference = x - m;
    if difference.abs() >= 0.1 * (x + m) {
        return x * (x / m).ln() + m - x;
    }
    let v = difference / (x + m);
    let mut sum = difference * v;
    let mut power = 2.0 * x * v;
    for j in 1..1000 {
        power *= v * v;
        let next = sum + power / f64::from(2 * j + 1);
        if next == sum {
            break;
        }
        sum = next;
    }
    sum
}

/// ln I_x(a, b), the regularised incomplete beta function, at x with y = 1 - x.
///
/// Both x and y are asked for since the smaller one carries the digits.
pub(crate) fn ln_beta_reg(a: f64, b: f64, x: f64, y: f64) -> f64 {
    if x <= 0.0 {
        return f64::NEG_INFINITY;
    }
    if y <= 0.0 {
        return 0.0;
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return (-ln_beta_fraction(b, a, y, x).exp()).ln_1p();
    }
    ln_beta_fraction(a, b, x, y)
}

/// ln B(a, b) without the cancellation of three large logarithms.
pub(crate) fn ln_beta(a: f64, b: f64) -> f64 {
    let (a, b) = if a < b { (b, a) } else { (a, b) };
    if a < STIRLING {
        return lgamma(a) + lgamma(b) - lgamma(a + b);
    }
    let shared = -(a - 0.5) * (b / a).ln_1p() + stirling_rest(a) - stirling_rest(a + b);
    if b < STIRLING {
        return lgamma(b) + shared - b * (a + b).ln() + b;
    }
    shared + b * (b / (a + b)).ln() - 0.5 * b.ln() + 0.5 * (2.0 * PI).ln() + stirling_rest(b)
}

/// ln Γ(x) - [(x - ½) ln x - x + ½ ln 2π].
fn stirling_rest(x: f64) -> f64 {
    const SERIES: [f64; 6] = [
        1.0 / 12.0,
        -1.0 / 360.0,
        1.0 / 1260.0,
        -1.0 / 1680.0,
        1.0 / 1188.0,
        -691.0 / 360_360.0,
    ];
    let square = 1.0 / (x * x);
    SERIES.iter().rev().fold(0.0, |sum, term| sum * square + term) / x
}

/// ln of x^a y^b / (a B(a, b)) times the continued fraction of I_x(a, b) (DLMF 8.17.22), for x below its mode.
///
/// The fraction 1/(1 + d₁/(1 + d₂/(1 + ...))) is taken by its even part, whose terms 1 + d₂ₘ + d₂ₘ₊₁ can be written
/// without cancellation: with hundreds of thousands of degrees of freedom the plain form loses seven digits. Modified
/// Lentz algorithm, some √max(a, b) terms.
fn ln_beta_fraction(a: f64, b: f64, x: f64, y: f64) -> f64 {
    const TINY: f64 = 1e-300;
    const MAX_TERMS: usize = 10_000_000;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let even = |m: f64| m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
    let odd = |m: f64| -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
    // 1 + odd(m), from (a + b + m) y - b by whichever of x and y is exact.
    let one_plus_odd = |m: f64| {
        let excess = if x < y {
            a + m - (a + b + m) * x
        } else {
            (a + b + m) * y - b
        };
        ((a + m) * excess + a + m * (2.0 * a + 3.0 * m + 2.0)) / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
    };
    let mut c = one_plus_odd(0.0);
    let mut d = 0.0;
    let mut fraction = c;
    for m in 1..MAX_TERMS {
        let m = m as f64;
        let numerator = -odd(m - 1.0) * even(m);
        let denominator = one_plus_odd(m) + even(m);
        d = 1.0 / away_from_zero(denominator + numerator * d);
        c = away_from_zero(denominator + numerator / c);
        fraction *= c * d;
        if (c * d - 1.0).abs() < 4.0 * f64::EPSILON {
            break;
        }
    }
    // Near 1, the complement is the exact one of the pair.
    let ln_x = if x > 0.5 { (-y).ln_1p() } else { x.ln() };
    let ln_y = if y > 0.5 { (-x).ln_1p() } else { y.ln() };
    a * ln_x + b * ln_y - ln_beta(a, b) - a.ln() - fraction.ln()
}

#[cfg(test)]
mod tests {
    use std::f64::consts::LN_2;

    use super::*;

    /// Differences of a few roundings in sums of magnitude up to 1,000.
    const ROUNDING: f64 = 1e-12;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() <= ROUNDING * b.abs().max(1.0), "{a} is not {b}");
    }

    #[test]
    fn normal_tail_joins_its_series() {
        close(ln_normal_sf(0.0), -LN_2);
        let below = ln_normal_sf(ASYMPTOTIC_Z - 1e-9);
        let above = ln_normal_sf(ASYMPTOTIC_Z + 1e-9);
        // The slope at 30 is -30.03, so the two sides lie 6e-8 apart.
        close(below - above, 2e-9 * 30.033_185_7);
    }

    #[test]
    fn quantiles_invert_tails() {
        for tail in [0.4, 0.05, 0.025, 1e-6, 1e-40] {
            close(ln_normal_sf(normal_upper_quantile(tail)), f64::ln(tail));
        }
        close(normal_upper_quantile(0.025), 1.959_963_984_540_054);
    }

    #[test]
    fn chi_squared_tail_has_closed_forms() {
        for x in [0.01f64, 0.7, 2.0, 30.0, 2_000.0] {
            // Two degrees of freedom make an exponential distribution, one the square of a normal one.
            close(ln_chi_squared_sf(x, 2.0), -0.5 * x);
            close(ln_chi_squared_sf(x, 1.0), LN_2 + ln_normal_sf(x.sqrt()));
            close(ln_chi_squared_sf(x, 4.0), (0.5 * x).ln_1p() - 0.5 * x);
        }
    }

    #[test]
    fn binomial_mass_agrees_with_factorials() {
        for (k, n, p) in [
            (0.0, 7.0, 0.3),
            (3.0, 7.0, 0.3),
            (7.0, 7.0, 0.9),
            (50.0, 120.0, 0.4),
        ] {
            let choose = lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0);
            close(
                ln_binomial_mass(k, n, p, 1.0 - p),
                choose + k * f64::ln(p) + (n - k) * f64::ln(1.0 - p),
            );
        }
        assert_eq!(ln_binomial_mass(0.0, 5.0, 0.0, 1.0), 0.0);
        assert_eq!(ln_binomial_mass(1.0, 5.0, 0.0, 1.0), f64::NEG_INFINITY);
    }

    #[test]
    fn beta_function_agrees_with_its_recurrence() {
        for (a, b) in [
            (0.5, 0.5),
            (9.7, 0.5),
            (12.0, 3.0),
            (40.0, 60.0),
            (1e6, 0.5),
            (5e5, 2e5),
        ] {
            // B(a + 1, b) = B(a, b) a / (a + b)
            close(ln_beta(a + 1.0, b), ln_beta(a, b) + f64::ln(a / (a + b)));
        }
    }
}
