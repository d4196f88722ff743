use crate::curves::auroc;
use crate::error::{Error, Undefined};
use crate::ranks::SortedScores;
use crate::result::{EffectKind, TestResult};
use crate::student::{Estimate, Moments};

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
/// Oracle: the definition over all pairs of a positive and a negative.
///
/// ```
/// use scfm_stats::delong_difference;
///
/// let labels = [true, true, true, false, false, false];
/// let sharp = [0.9, 0.8, 0.4, 0.5, 0.2, 0.1];
/// let blunt = [0.9, 0.3, 0.4, 0.5, 0.2, 0.6];
/// let test = delong_difference(&sharp, &blunt, &labels)?;
/// assert!((test.effect - 3.0 / 9.0).abs() < 1e-15);
/// # Ok::<(), scfm_stats::Error>(())
/// ```
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

/// The normal test of an AUROC or of a difference, its interval within what can be.
fn test(value: f64, variance: f64, n: usize, effect_kind: EffectKind) -> Result<TestResult, Error> {
    let (method, what, null, lowest) = match effect_kind {
        EffectKind::Auroc => ("DeLong test of an AUROC", "the AUROC", 0.5, 0.0),
        _ => ("DeLong test of two AUROCs", "the AUROC difference", 0.0, -1.0),
    };
    let mut test = Estimate::of_aurocs(value - null, variance.sqrt(), f64::INFINITY)
        .test(method, what, effect_kind, n, "observations")?
        .shifted(null);
    test.effect = value;
    if let Some(ci) = &mut test.ci {
        ci.low = ci.low.max(lowest);
        ci.high = ci.high.min(1.0);
    }
    Ok(test)
}
