//! Short-hands for the tests of this crate.

use scfm_stats::{Alternative, EffectKind, Interval, PValue, TestResult};

use crate::{CorrectedRegistry, Estimate, Plan, Registry};

/// A two-sided result with an interval of ± 0.02.
pub(crate) fn result(effect: f64, p: f64) -> TestResult {
    TestResult {
        method: "crossed AUROC",
        alternative: Alternative::TwoSided,
        statistic: 2.5,
        p: PValue::new(p),
        sides: None,
        effect,
        effect_kind: EffectKind::DeltaAuroc,
        ci: Some(Interval {
            low: effect - 0.02,
            high: effect + 0.02,
            level: 0.95,
        }),
        n: 49,
        n_unit: "perturbations",
    }
}

/// A bare figure.
pub(crate) fn figure(value: f64) -> Estimate {
    Estimate::new(value)
}

/// A corrected registry in which `results` ran with (effect, p) and `figures` were described.
pub(crate) fn registry(results: &[(&str, f64, f64)], figures: &[(&str, f64)]) -> CorrectedRegistry {
    let mut registry = Registry::declare(Plan::embedded(), "rpe1");
    for &(id, effect, p) in results {
        let planned = Plan::embedded()
            .tests()
            .find(|t| t.id == id)
            .expect("the test is planned");
        let alternative = match planned.alternative {
            crate::Alternative::Greater => Alternative::Greater,
            crate::Alternative::Less => Alternative::Less,
            _ => Alternative::TwoSided,
        };
        registry
            .record(
                id,
                &TestResult {
                    alternative,
                    ..result(effect, p)
                },
                "",
                None,
            )
            .expect("it runs once");
    }
    for &(id, value) in figures {
        registry
            .describe(id, figure(value), "", None)
            .expect("it is descriptive and comes once");
    }
    registry.correct(0.05)
}
