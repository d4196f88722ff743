use crate::curves::auroc;
use crate::error::{Error, Undefined};
use crate::ranks::SortedScores;
use crate::result::{Alternative, EffectKind, Interval, TestResult};
use crate::tails::{ln_normal_sf, normal_upper_quantile};
use crate::{CONFIDENCE, Moments, PValue};

/// Standard errors and differences of AUROCs below this are rounding, not data.
const ROUNDING: f64 = 1e-12;

/// DeLong's test that an AUROC is 0.5, two-sided, with its interval (DeLong et al. 1988), in O(n log n) after Sun and
/// Xu (2014).
///
/// Observations are taken to be independent; where rows rank the same columns use [`crossed_auroc`](crate::crossed_auroc).
/// Oracle: the definition over all pairs of a positive and a negative.
///
/// ```
/// use scfm_stats::delong_auroc;
///
/// let scores = [0.9, 0.8, 0.7, 0.6, 0.55, 0.5, 0.4, 0.3];
/// let labels = [true, true, false, true, true, false, false, false];
/// let test = delong_auroc(&scores, &labels)?;
/// assert_eq!(test.effect, 0.875);
/// assert!(test.ci.unwrap().contains(0.875));
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// As [`auroc`], [`Undefined::TooFew`] below two positives or negatives, and [`Undefined::NoVariance`] where the classes
/// do not overlap: DeLong's variance is then 0.
pub fn delong_auroc(scores: &[f64], labels: &[bool]) -> Result<TestResult, Error> {
    let value = auroc(scores, labels)?;
    let variance = variance(&placements(scores, labels)?, labels)?;
    test(value, variance, labels.len(), EffectKind::Auroc)
}

/// DeLong's test that two scores of the same observations have one AUROC, two-sided; effect = first minus second.
///
/// # Errors
/// As [`delong_auroc`].
pub fn delong_difference(first: &[f64], second: &[f64], labels: &[bool]) -> Result<TestResult, Error> {
    let value = auroc(first, labels)? - auroc(second, labels)?;
    let mut differences = placements(first, labels)?;
    for (difference, placement) in differences.iter_mut().zip(placements(second, labels)?) {
        *difference -= placement;
    }
    let variance = variance(&differences, labels)?;
    test(value, variance, labels.len(), EffectKind::DeltaAuroc)
}

/// Placement of each observation among the other class.
fn placements(scores: &[f64], labels: &[bool]) -> Result<Vec<f64>, Error> {
    let mut placements = vec![0.0; scores.len()];
    SortedScores::new(scores)?.placements(
        |position| labels[position],
        |position, placement| placements[position] = placement,
    );
    Ok(placements)
}

/// The sum over classes of the variance of placements over the size of the class.
fn variance(placements: &[f64], labels: &[bool]) -> Result<f64, Error> {
    let of_class = |class: bool, what| -> Result<f64, Error> {
        let of_class = placements
            .iter()
            .zip(labels)
            .filter(|(_, label)| **label == class);
        let values: Vec<f64> = of_class.map(|(placement, _)| *placement).collect();
        let Moments { n, variance, .. } = Moments::of(&values);
        if n < 2 {
            return Err(Undefined::TooFew { what, n, needed: 2 }.into());
        }
        Ok(variance / n as f64)
    };
    Ok(of_class(true, "positives")? + of_class(false, "negatives")?)
}

fn test(value: f64, variance: f64, n: usize, effect_kind: EffectKind) -> Result<TestResult, Error> {
    let (method, what, null, lowest) = match effect_kind {
        EffectKind::Auroc => ("DeLong test of an AUROC", "the AUROC", 0.5, 0.0),
        _ => ("DeLong test of two AUROCs", "the AUROC difference", 0.0, -1.0),
    };
    let (difference, standard_error) = (value - null, variance.sqrt());
    let statistic = if standard_error > ROUNDING {
        difference / standard_error
    } else if difference.abs() < ROUNDING {
        0.0
    } else {
        return Err(Undefined::NoVariance { what, difference }.into());
    };
    let reach = normal_upper_quantile(0.5 * (1.0 - CONFIDENCE)) * standard_error;
    Ok(TestResult {
        method,
        alternative: Alternative::TwoSided,
        statistic,
        p: PValue::two_sided(ln_normal_sf(statistic.abs())),
        effect: value,
        effect_kind,
        ci: Some(Interval {
            low: f64::max(value - reach, lowest),
            high: f64::min(value + reach, 1.0),
            level: CONFIDENCE,
        }),
        n,
        n_unit: "observations",
    })
}
