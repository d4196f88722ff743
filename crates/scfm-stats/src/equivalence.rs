use crate::error::{Error, Undefined};
use crate::result::{Alternative, EffectKind, TestResult};
use crate::student_tails::ln_t_sf;
use crate::{CONFIDENCE, Estimate, PValue};

/// Two one-sided tests that |effect| < `bound`; a small p claims equivalence.
///
/// p is the larger of the two one-sided ones, the statistic its t. The interval has level 0.90, so that it lies inside
/// ±`bound` exactly where p < 0.05. `n` is `df` rounded down: callers that know their units set `n`, `n_unit` and
/// `effect_kind`. The test is one of its own and has no other alternative. Oracle:
/// `statsmodels.stats.weightstats.ttost_paired`.
///
/// ```
/// let test = scfm_stats::tost(0.01, 0.01, 60.0, 0.05)?;
/// assert!(test.p.p() < 0.05 && test.ci.unwrap().high < 0.05);
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// [`Undefined::NoVariance`] for a `standard_error` of 0; [`Error::OutOfRange`] for parameters that are not finite, a
/// negative `standard_error`, a `bound` or `df` that is not positive.
pub fn tost(estimate: f64, standard_error: f64, df: f64, bound: f64) -> Result<TestResult, Error> {
    check(estimate, standard_error, df, bound)?;
    let below = (estimate - bound) / standard_error;
    let above = (estimate + bound) / standard_error;
    // P(T > above) and P(T < below): the larger tail belongs to the smaller distance.
    let (statistic, ln_p) = if above < -below {
        (above, ln_t_sf(above, df))
    } else {
        (below, ln_t_sf(-below, df))
    };
    Ok(TestResult {
        method: "two one-sided t tests of equivalence",
        alternative: Alternative::TwoSided,
        statistic,
        p: PValue::from_ln(ln_p),
        sides: None,
        effect: estimate,
        effect_kind: EffectKind::MeanDifference,
        ci: Some(Estimate::new(estimate, standard_error, df)?.interval(2.0 * CONFIDENCE - 1.0)?),
        n: df as usize,
        n_unit: "degrees of freedom",
    })
}

/// One-sided test that the effect is below `bound`; a small p claims non-superiority.
///
/// The interval has level 0.90, so that its upper end lies below `bound` exactly where p < 0.05. Units as in [`tost`],
/// and its oracle: the upper one of its two tests.
///
/// ```
/// let test = scfm_stats::non_superiority(-0.02, 0.01, 60.0, 0.01)?;
/// assert!(test.p.p() < 0.05 && test.ci.unwrap().high < 0.01);
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// As [`tost`].
pub fn non_superiority(estimate: f64, standard_error: f64, df: f64, bound: f64) -> Result<TestResult, Error> {
    check(estimate, standard_error, df, bound)?;
    let statistic = (estimate - bound) / standard_error;
    Ok(TestResult {
        method: "one-sided t test of non-superiority",
        alternative: Alternative::Less,
        statistic,
        p: PValue::from_ln(ln_t_sf(-statistic, df)),
        sides: None,
        effect: estimate,
        effect_kind: EffectKind::MeanDifference,
        ci: Some(Estimate::new(estimate, standard_error, df)?.interval(2.0 * CONFIDENCE - 1.0)?),
        n: df as usize,
        n_unit: "degrees of freedom",
    })
}

fn check(estimate: f64, standard_error: f64, df: f64, bound: f64) -> Result<(), Error> {
    let positive = |value: f64| value.is_finite() && value > 0.0;
    if !estimate.is_finite() {
        return Err(Error::OutOfRange {
            what: "estimate",
            value: estimate,
            expected: "finite",
        });
    }
    if standard_error == 0.0 {
        return Err(Undefined::NoVariance {
            what: "the estimate",
            difference: estimate,
        }
        .into());
    }
    for (what, value) in [
        ("standard error", standard_error),
        ("degrees of freedom", df),
        ("bound", bound),
    ] {
        if !positive(value) {
            return Err(Error::OutOfRange {
                what,
                value,
                expected: "finite and above 0",
            });
        }
    }
    Ok(())
}
