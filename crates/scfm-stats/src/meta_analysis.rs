//! Estimates of one effect from several sources, put together.

use crate::error::{Error, Undefined};
use crate::{EffectKind, Estimate, PValue, TestResult, tails};

/// Effects of several contexts, each with its standard error, put together under the random-effects model.
///
/// The effects scatter around their mean with variance τ² beside the error of each, τ² by DerSimonian and Laird (1986)
/// from Cochran's Q. The interval and the test are those of Hartung and Knapp (2001), with Student's t on k − 1 degrees of
/// freedom: with the few contexts that there are the normal interval is far too short. As usual their variance is not
/// let below the classical one (Jackson et al. 2017), so that agreement by luck makes no narrow interval.
///
/// Oracle: `statsmodels.stats.meta_analysis.combine_effects(method_re="chi2", use_t=True)`.
#[derive(Debug, Clone, PartialEq)]
pub struct CombinedEffect {
    /// Mean of the effects over contexts, 0 under the null hypothesis, two-sided.
    pub test: TestResult,
    /// Standard error of that mean.
    pub standard_error: f64,
    /// Cochran's Q, the weighted squares of the effects around their fixed-effect mean.
    pub q: f64,
    /// P-value of Q on k − 1 degrees of freedom: that all contexts have one effect.
    pub p_heterogeneity: PValue,
    /// Share of the scatter that is not the error of each, (Q − k + 1) / Q, not below 0 (Higgins and Thompson 2002).
    pub i_squared: f64,
    /// Variance of the effects between contexts.
    pub tau_squared: f64,
}

/// Combines effects that are independent of each other.
///
/// ```
/// use scfm_stats::{EffectKind, combine_effects};
///
/// let contexts = [(0.06, 0.02), (0.04, 0.03), (-0.02, 0.03)];
/// let combined = combine_effects(&contexts, EffectKind::DeltaAuroc, "contexts")?;
/// assert!(combined.i_squared > 0.3 && combined.test.p.p() > 0.05);
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// [`Undefined::TooFew`] below two effects, [`Undefined::NoVariance`] for an effect without error;
/// [`Error::OutOfRange`] for numbers that are not finite and negative errors.
pub fn combine_effects(
    effects: &[(f64, f64)],
    kind: EffectKind,
    unit: &'static str,
) -> Result<CombinedEffect, Error> {
    let k = effects.len();
    if k < 2 {
        return Err(Undefined::TooFew {
            what: unit,
            n: k,
            needed: 2,
        }
        .into());
    }
    for &(effect, error) in effects {
        Estimate::new(effect, error, 1.0)?;
        if error == 0.0 {
            return Err(Undefined::NoVariance {
                what: "an effect to be combined",
                difference: effect,
            }
            .into());
        }
    }
    let df = (k - 1) as f64;
    let mean_under = |tau_squared: f64| {
        let weights = effects
            .iter()
            .map(|(_, error)| 1.0 / (error * error + tau_squared));
        let total: f64 = weights.clone().sum();
        let mean = weights
            .clone()
            .zip(effects)
            .map(|(w, (effect, _))| w * effect)
            .sum::<f64>()
            / total;
        let scatter: f64 = weights
            .zip(effects)
            .map(|(w, (effect, _))| w * (effect - mean).powi(2))
            .sum();
        (mean, total, scatter)
    };
    let (_, total, q) = mean_under(0.0);
    let squares: f64 = effects.iter().map(|(_, error)| error.powi(-4)).sum();
    let tau_squared = ((q - df) / (total - squares / total)).max(0.0);
    let (mean, total, scatter) = mean_under(tau_squared);
    let standard_error = ((scatter / df).max(1.0) / total).sqrt();
    let test = Estimate::new(mean, standard_error, df)?.test(
        "random-effects mean over contexts (Hartung-Knapp)",
        "the combined effect",
        kind,
        k,
        unit,
    )?;
    Ok(CombinedEffect {
        test,
        standard_error,
        q,
        p_heterogeneity: PValue::from_ln(tails::ln_chi_squared_sf(q, df)),
        i_squared: if q > df { (q - df) / q } else { 0.0 },
        tau_squared,
    })
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn combine(effects: &[(f64, f64)]) -> Result<CombinedEffect, Error> {
        combine_effects(effects, EffectKind::DeltaAuroc, "contexts")
    }

    #[test]
    fn equal_effects_have_no_heterogeneity_and_their_own_error() {
        let combined = combine(&[(0.3, 0.1); 4]).unwrap();
        assert!((combined.test.effect - 0.3).abs() < 1e-15);
        assert_eq!(
            (combined.q.abs() < 1e-12, combined.i_squared, combined.tau_squared),
            (true, 0.0, 0.0)
        );
        assert!((combined.standard_error - 0.05).abs() < 1e-15);
    }

    #[test]
    fn order_changes_nothing_and_scale_scales() {
        let effects = [(0.5, 0.1), (0.2, 0.2), (-0.1, 0.15)];
        let mut turned = effects;
        turned.reverse();
        let (a, b) = (combine(&effects).unwrap(), combine(&turned).unwrap());
        assert!((a.test.effect - b.test.effect).abs() < 1e-15 && (a.q - b.q).abs() < 1e-12);
        let c = combine(&effects.map(|(effect, error)| (10.0 * effect, 10.0 * error))).unwrap();
        assert!((c.test.effect - 10.0 * a.test.effect).abs() < 1e-12);
        assert!((c.i_squared - a.i_squared).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_combined_is_refused() {
        assert!(matches!(
            combine(&[(0.1, 0.1)]),
            Err(Error::Undefined(Undefined::TooFew { .. }))
        ));
        assert!(matches!(
            combine(&[(0.1, 0.1), (0.2, 0.0)]),
            Err(Error::Undefined(Undefined::NoVariance { .. }))
        ));
        assert!(combine(&[(0.1, 0.1), (f64::NAN, 0.1)]).is_err());
    }

    /// Four contexts without a common effect that differ as much as their errors: at most 5 % are called, with five standard
    /// errors of 4,000 simulations.
    #[test]
    fn the_test_holds_its_level_with_few_contexts() {
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        let mut normal = || (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
        let n = 4_000;
        let mut rejected = 0;
        for _ in 0..n {
            let effects = [0.02, 0.03, 0.05, 0.04].map(|error| (0.03 * normal() + error * normal(), error));
            rejected += u32::from(combine(&effects).unwrap().test.p.p() < 0.05);
        }
        let rate = f64::from(rejected) / f64::from(n);
        assert!((0.01..0.05 + 5.0 * 0.0035).contains(&rate), "{rate}");
    }
}
