use crate::error::Error;
use crate::result::{Alternative, EffectKind, Interval, TestResult};
use crate::tails::{ln_beta_reg, ln_binomial_mass, normal_upper_quantile};
use crate::{CONFIDENCE, PValue, Sides};

/// Exact binomial test of a share against `share`, two-sided: the total probability of the outcomes that are no more
/// likely than the one observed.
///
/// Effect = `successes` / `n` with its Clopper-Pearson interval. One-sided: P(X ≥ `successes`) for greater, P(X ≤
/// `successes`) for less. Oracle: `scipy.stats.binomtest`.
///
/// ```
/// use scfm_stats::{Alternative, binomial_test};
///
/// let test = binomial_test(7, 8, 0.5)?;
/// assert!((test.p.p() - 18.0 / 256.0).abs() < 1e-15);
/// assert!((test.against(Alternative::Greater)?.p.p() - 9.0 / 256.0).abs() < 1e-15);
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// [`Error::Empty`] for `n` = 0, [`Error::OutOfRange`] for `successes` > `n` or a `share` outside [0, 1].
pub fn binomial_test(successes: u64, n: u64, share: f64) -> Result<TestResult, Error> {
    let ci = clopper_pearson(successes, n, CONFIDENCE)?;
    if !(0.0..=1.0).contains(&share) {
        return Err(Error::OutOfRange {
            what: "share",
            value: share,
            expected: "within [0, 1]",
        });
    }
    let sides = Sides {
        two_sided: PValue::from_ln(ln_two_sided(successes, n, share)),
        greater: PValue::from_ln(ln_upper(successes, n, share)),
        less: PValue::from_ln(ln_lower(successes, n, share)),
    };
    Ok(TestResult {
        method: "exact binomial test",
        alternative: Alternative::TwoSided,
        statistic: successes as f64,
        p: sides.two_sided,
        sides: Some(sides),
        effect: successes as f64 / n as f64,
        effect_kind: EffectKind::Proportion,
        ci: Some(ci),
        n: n as usize,
        n_unit: "trials",
    })
}

/// Clopper-Pearson interval of a share: exact, hence conservative.
///
/// Oracle: `statsmodels.stats.proportion.proportion_confint(method="beta")`.
///
/// ```
/// // The rule of three: nothing seen in 100 trials leaves some 3 / 100 one-sided, 3.7 / 100 two-sided.
/// let interval = scfm_stats::clopper_pearson(0, 100, 0.95)?;
/// assert!(interval.low == 0.0 && (interval.high - 0.0362).abs() < 1e-4);
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// As [`binomial_test`]; [`Error::OutOfRange`] for a `level` outside (0, 1).
pub fn clopper_pearson(successes: u64, n: u64, level: f64) -> Result<Interval, Error> {
    check(successes, n, level)?;
    let (k, m) = (successes as f64, (n - successes) as f64);
    let tail = 0.5 * (1.0 - level);
    let low = if successes == 0 {
        0.0
    } else {
        beta_quantile(k, m + 1.0, tail)
    };
    // The upper end through its complement keeps its digits near 1.
    let high = if successes == n {
        1.0
    } else {
        1.0 - beta_quantile(m, k + 1.0, tail)
    };
    Ok(Interval { low, high, level })
}

/// Wilson's score interval of a share, without continuity correction.
///
/// Oracle: `statsmodels.stats.proportion.proportion_confint(method="wilson")`.
///
/// ```
/// assert!(scfm_stats::wilson(5, 10, 0.95)?.contains(0.5));
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// As [`clopper_pearson`].
pub fn wilson(successes: u64, n: u64, level: f64) -> Result<Interval, Error> {
    check(successes, n, level)?;
    let (share, n) = (successes as f64 / n as f64, n as f64);
    let z = normal_upper_quantile(0.5 * (1.0 - level));
    let centre = share + z * z / (2.0 * n);
    let reach = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    Ok(Interval {
        low: ((centre - reach) / scale).max(0.0),
        high: ((centre + reach) / scale).min(1.0),
        level,
    })
}

fn check(successes: u64, n: u64, level: f64) -> Result<(), Error> {
    if n == 0 {
        return Err(Error::Empty { what: "trials" });
    }
    if successes > n {
        return Err(Error::OutOfRange {
            what: "number of successes",
            value: successes as f64,
            expected: "at most the number of trials",
        });
    }
    if !(level > 0.0 && level < 1.0) {
        return Err(Error::OutOfRange {
            what: "confidence level",
            value: level,
            expected: "within (0, 1)",
        });
    }
    Ok(())
}

/// The x with I_x(a, b) = `tail`, by bisection: the function rises in x.
fn beta_quantile(a: f64, b: f64, tail: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    loop {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            return middle;
        }
        if ln_beta_reg(a, b, middle, 1.0 - middle) < tail.ln() {
            low = middle;
        } else {
            high = middle;
        }
    }
}

/// ln of the total probability of the outcomes that are no more likely than `k`.
fn ln_two_sided(k: u64, n: u64, share: f64) -> f64 {
    /// Outcomes as likely as the observed one up to rounding belong to the tail (SciPy's factor).
    const AS_LIKELY: f64 = 1e-7;
    let mean = share * n as f64;
    if k as f64 == mean {
        return 0.0;
    }
    let ln_mass = |k: u64| ln_binomial_mass(k as f64, n as f64, share, 1.0 - share);
    let limit = ln_mass(k) + AS_LIKELY.ln_1p();
    // The mass falls away from its mode, so the other tail starts where it first sinks to the limit.
    if (k as f64) < mean {
        let other = bisect(mean.ceil() as u64, n + 1, |i| ln_mass(i) <= limit);
        ln_add(ln_lower(k, n, share), ln_upper(other, n, share))
    } else {
        let last = mean.floor() as u64;
        let from_mean = bisect(0, last + 1, |i| ln_mass(last - i) <= limit);
        let other = if from_mean > last {
            f64::NEG_INFINITY
        } else {
            ln_lower(last - from_mean, n, share)
        };
        ln_add(ln_upper(k, n, share), other)
    }
}

/// First index in `low..high` at which the monotone `holds` turns true, else `high`.
pub(crate) fn bisect(mut low: u64, mut high: u64, holds: impl Fn(u64) -> bool) -> u64 {
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// ln P(X ≤ k).
fn ln_lower(k: u64, n: u64, share: f64) -> f64 {
    if k >= n {
        0.0
    } else {
        ln_beta_reg((n - k) as f64, k as f64 + 1.0, 1.0 - share, share)
    }
}

/// ln P(X ≥ k).
fn ln_upper(k: u64, n: u64, share: f64) -> f64 {
    match k {
        0 => 0.0,
        k if k > n => f64::NEG_INFINITY,
        k => ln_beta_reg(k as f64, (n - k) as f64 + 1.0, share, 1.0 - share),
    }
}

/// ln(exp a + exp b).
pub(crate) fn ln_add(a: f64, b: f64) -> f64 {
    let (high, low) = (a.max(b), a.min(b));
    if low == f64::NEG_INFINITY {
        high
    } else {
        high + (low - high).exp().ln_1p()
    }
}
