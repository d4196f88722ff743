//! Tails of Student's distribution in log space.

use std::f64::consts::{LN_2, PI};

use libm::erfc;

use crate::tails::{ln_beta, ln_beta_reg, ln_normal_sf, normal_upper_quantile};

/// Where the expansion for many degrees of freedom is taken: on this side of both limits its terms sink below the last
/// bit before they start to grow. Beyond, it is the continued fraction of the beta function, several times as slow.
const EXPANSION_DF: f64 = 16.0;
const EXPANSION_LN_RATIO: f64 = 2.0;

/// Above this, e^(s²) nears its overflow and the asymptotic series of erfc is exact to the last bit.
const ASYMPTOTIC_S: f64 = 20.0;

/// ln P(T > t) of Student's distribution with `df` degrees of freedom (the normal one for infinite `df`).
pub(crate) fn ln_t_sf(t: f64, df: f64) -> f64 {
    let ln_tail = ln_t_two_sided(t, df) - LN_2;
    if t < 0.0 {
        (-ln_tail.exp()).ln_1p()
    } else {
        ln_tail
    }
}

/// ln P(|T| > |t|).
pub(crate) fn ln_t_two_sided(t: f64, df: f64) -> f64 {
    let t = t.abs();
    if df.is_infinite() {
        return LN_2 + ln_normal_sf(t);
    }
    if t.is_infinite() {
        return f64::NEG_INFINITY;
    }
    let square = t * t;
    if square == 0.0 {
        return 0.0;
    }
    let ln_ratio = (square / df).ln_1p();
    if df >= EXPANSION_DF && ln_ratio <= EXPANSION_LN_RATIO {
        ln_by_expansion(df, ln_ratio)
    } else {
        ln_beta_reg(0.5 * df, 0.5, df / (df + square), square / (df + square))
    }
}

/// ln P(|T| > t) from `ln_ratio` = ln(1 + t² / df), for many degrees of freedom.
///
/// The expansion of the incomplete beta function I_x(df/2, ½) in error functions (DiDonato and Morris 1992, ACM TOMS
/// 708, section 10, with b = ½): with T = df/2 - ¼ and u = -T ln x,
/// I = Γ(T + ¾) / (Γ(T + ¼) √T) · e^-u · Σ pₙ Kₙ, K₀ = e^u erfc √u,
/// 4 T² Kₙ₊₁ = (2n + ½)(2n + 3/2) Kₙ + (u + 2n + 3/2) √(u/π) (½ ln x)^(2n).
/// With b = ½ the weights pₙ are numbers, and the ratio of gamma functions has a series in 1/T².
fn ln_by_expansion(df: f64, ln_ratio: f64) -> f64 {
    /// pₙ of eq. 9.3 for n ≥ 1.
    const WEIGHTS: [f64; 22] = [
        -0.08333333333333333,
        0.00625,
        -0.0005042989417989418,
        4.343722442680776e-05,
        -3.896385732323232e-06,
        3.5833354634507906e-07,
        -3.349747072060578e-08,
        3.1675854343161146e-09,
        -3.0210368517370963e-10,
        2.900415787669253e-11,
        -2.799396748375269e-12,
        2.713639320017204e-13,
        -2.6400478921841528e-14,
        2.576345276111418e-15,
        -2.5208132554200558e-16,
        2.472127507451747e-17,
        -2.4292486395023516e-18,
        2.3913480187649295e-19,
        -2.3577559464117404e-20,
        2.3279246157682317e-21,
        -2.3014011079062038e-22,
        2.2778073573447367e-23,
    ];
    /// (B(n, ¾) - B(n, ¼)) / (n (1 - n)) at n = 3, 5, 7 ..., from Stirling's series at T + ¾ and T + ¼.
    const LN_GAMMA_RATIO: [f64; 7] = [
        0.015625,
        -0.00244140625,
        0.0012410481770833333,
        -0.0013208389282226562,
        0.002409029006958008,
        -0.006712389489014943,
        0.026524197443255355,
    ];
    let shape = 0.5 * df - 0.25;
    let u = shape * ln_ratio;
    let inverse_square = 1.0 / (shape * shape);
    let inverse = 0.25 * inverse_square;
    let front = (u / PI).sqrt();
    let step = 0.25 * ln_ratio * ln_ratio;
    let mut term = scaled_erfc(u);
    let (mut sum, mut power, mut twice) = (term, front, 0.0);
    for weight in WEIGHTS {
        term = ((twice + 0.5) * (twice + 1.5) * term + (u + twice + 1.5) * power) * inverse;
        let next = sum + weight * term;
        if next == sum {
            break;
        }
        sum = next;
        power *= step;
        twice += 2.0;
    }
    let ln_gamma_ratio = LN_GAMMA_RATIO
        .iter()
        .rev()
        .fold(0.0, |series, coefficient| (series + coefficient) * inverse_square);
    sum.ln() + ln_gamma_ratio - u
}

/// e^u erfc √u.
fn scaled_erfc(u: f64) -> f64 {
    let s = u.sqrt();
    if s < ASYMPTOTIC_S {
        return u.exp() * erfc(s);
    }
    // 1 - 1/(2u) + 3/(2u)² - 15/(2u)³ ...
    let (mut series, mut term) = (1.0, 1.0);
    for k in 1..=6 {
        term *= -f64::from(2 * k - 1) / (2.0 * u);
        series += term;
    }
    series / (s * PI.sqrt())
}

/// The t > 0 with P(T > t) = `tail` for `tail` < ½ and `df` > 0.
///
/// Newton's method on ln P over ln t, which is concave and falling, so that every start converges; the start is the
/// Cornish-Fisher expansion around the normal quantile, which leaves one step to do for more than a few dozen `df`.
pub(crate) fn t_upper_quantile(tail: f64, df: f64) -> f64 {
    // Rounding may put the median on either side of 0.
    let z = normal_upper_quantile(tail).max(0.0);
    if z == 0.0 || df.is_infinite() {
        return z;
    }
    let z2 = z * z;
    let mut t = z
        + z * (z2 + 1.0) / (4.0 * df)
        + z * ((5.0 * z2 + 16.0) * z2 + 3.0) / (96.0 * df * df)
        + z * (((3.0 * z2 + 19.0) * z2 + 17.0) * z2 - 15.0) / (384.0 * df.powi(3));
    if df < 3.0 {
        t = z;
    }
    let ln_density_at_zero = -ln_beta(0.5 * df, 0.5) - 0.5 * df.ln();
    for _ in 0..100 {
        let ln_sf = ln_t_sf(t, df);
        let ln_density = ln_density_at_zero - 0.5 * (df + 1.0) * (t * t / df).ln_1p();
        let step = (ln_sf - tail.ln()) / (t * (ln_density - ln_sf).exp());
        t *= step.exp();
        // The error after a step is of the order of its square.
        if step.abs() < 1e-8 {
            break;
        }
    }
    t
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Differences of a few roundings in sums of magnitude up to 1,000.
    const ROUNDING: f64 = 1e-12;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() <= ROUNDING * b.abs().max(1.0), "{a} is not {b}");
    }

    #[test]
    fn closed_forms_of_one_and_two_degrees_of_freedom() {
        for t in [0.01f64, 0.7, 3.0, 500.0] {
            // df = 1 is Cauchy's distribution, df = 2 has an algebraic tail.
            close(ln_t_sf(t, 1.0), ((1.0 / t).atan() / PI).ln());
            let root = (2.0 + t * t).sqrt();
            close(ln_t_sf(t, 2.0), (1.0 / (root * (root + t))).ln());
        }
        close(ln_t_sf(-3.0, 2.0), (-ln_t_sf(3.0, 2.0).exp()).ln_1p());
    }

    #[test]
    fn both_ways_to_the_tail_agree_where_they_meet() {
        let by_fraction = |t: f64, df: f64| {
            let square = t * t;
            ln_beta_reg(0.5 * df, 0.5, df / (df + square), square / (df + square))
        };
        for df in [EXPANSION_DF, 17.3, 40.0, 333.3, 5e3, 1e5] {
            for share in [1e-9, 1e-3, 0.02, 0.1, 0.4, 0.7, 0.9, 1.0] {
                let ln_ratio = share * EXPANSION_LN_RATIO;
                let t = (df * ln_ratio.exp_m1()).sqrt();
                close(ln_by_expansion(df, (t * t / df).ln_1p()), by_fraction(t, df));
            }
        }
    }

    #[test]
    fn the_scaled_error_function_joins_its_series() {
        let u = ASYMPTOTIC_S * ASYMPTOTIC_S;
        let (below, above) = (scaled_erfc(u * (1.0 - 1e-14)), scaled_erfc(u * (1.0 + 1e-14)));
        assert!((below / above - 1.0).abs() < 1e-12, "{below} {above}");
        assert_eq!(scaled_erfc(0.0), 1.0);
    }

    #[test]
    fn quantiles_invert_tails() {
        for df in [0.7, 1.0, 2.5, 9.0, 41.3, 1e3, 1e6] {
            for tail in [0.4, 0.05, 0.025, 1e-6, 1e-40] {
                let t = t_upper_quantile(tail, df);
                close(ln_t_sf(t, df), f64::ln(tail));
            }
        }
    }
}
