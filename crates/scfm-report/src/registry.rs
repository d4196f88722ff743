use scfm_stats::{Interval, TestResult, Undefined};

use crate::{Alternative, CorrectedRegistry, Error, Kind, Plan, PlannedTest};

/// The planned tests of one run in one context, being filled in.
///
/// Each test is registered once: as a result, as a figure, as undefined, or as not run. [`Registry::correct`]
/// closes it.
#[derive(Debug, Clone)]
pub struct Registry {
    pub(crate) context: String,
    rows: Vec<(PlannedTest, Option<Outcome>)>,
}

/// What became of a planned test.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It was computed.
    Ran(Measured),
    /// Its statistic has no value on this input. A confirmatory test enters its family with p = 1.
    Undefined {
        /// Why.
        reason: String,
    },
    /// It was not computed, and enters no family.
    NotRun {
        /// Why.
        reason: String,
    },
}

/// The figures of a test that ran.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The procedure, in words.
    pub method: String,
    /// The test statistic.
    pub statistic: Option<f64>,
    /// The p-value; 0 where it underflows.
    pub p: Option<f64>,
    /// Its natural logarithm, which does not underflow.
    pub ln_p: Option<f64>,
    /// The effect size.
    pub effect: f64,
    /// What `effect` measures.
    pub effect_kind: String,
    /// The interval of `effect`, low and high.
    pub ci: Option<(f64, f64)>,
    /// Number of units.
    pub n: Option<u64>,
    /// What a unit is.
    pub n_unit: String,
    /// What it was computed from: content hashes and parameters.
    pub inputs: String,
    /// The root seed of its random streams; none for a test that draws nothing.
    pub seed: Option<u64>,
}

/// A descriptive figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// Its interval, where it has one.
    pub ci: Option<Interval>,
    /// The number of units behind it, in the unit of the plan.
    pub n: Option<usize>,
}

impl Estimate {
    /// A bare figure.
    pub fn new(value: f64) -> Self {
        Self {
            value,
            ci: None,
            n: None,
        }
    }
}

impl Registry {
    /// All tests of `plan`, declared for `context`; none has an outcome yet.
    pub fn declare(plan: &Plan, context: impl Into<String>) -> Self {
        Self {
            context: context.into(),
            rows: plan.tests().map(|test| (test.clone(), None)).collect(),
        }
    }

    /// Registers a test that ran. `inputs` names what it was computed from, `seed` the root seed if it drew numbers.
    ///
    /// # Errors
    /// [`Error::UnknownTest`], [`Error::RegisteredTwice`], [`Error::Alternative`] when the result has another
    /// alternative than the plan, [`Error::NotANumber`] for a NaN effect or statistic.
    pub fn record(
        &mut self,
        id: &str,
        result: &TestResult,
        inputs: impl Into<String>,
        seed: Option<u64>,
    ) -> Result<(), Error> {
        let planned = self.planned(id)?;
        if !admits(planned.alternative, result.alternative) {
            return Err(Error::Alternative {
                test: id.to_owned(),
                planned: planned.alternative.as_str(),
                found: result.alternative.as_str(),
            });
        }
        let ci = result.ci.map(|ci| (ci.low, ci.high));
        numbers(
            id,
            &[
                ("effect", Some(result.effect)),
                ("statistic", Some(result.statistic)),
            ],
            ci,
        )?;
        let measured = Measured {
            method: result.method.to_owned(),
            statistic: Some(result.statistic),
            p: Some(result.p.p()),
            ln_p: Some(result.p.ln_p()),
            effect: result.effect,
            effect_kind: result.effect_kind.as_str().to_owned(),
            ci,
            n: Some(result.n as u64),
            n_unit: result.n_unit.to_owned(),
            inputs: inputs.into(),
            seed,
        };
        self.register(id, Outcome::Ran(measured))
    }

    /// Registers a test as analyses return it: a result, or the reason why there is none.
    ///
    /// # Errors
    /// Those of [`Registry::record`] and [`Registry::undefined`].
    pub fn record_outcome(
        &mut self,
        id: &str,
        outcome: &Result<TestResult, Undefined>,
        inputs: impl Into<String>,
        seed: Option<u64>,
    ) -> Result<(), Error> {
        match outcome {
            Ok(result) => self.record(id, result, inputs, seed),
            Err(reason) => self.undefined(id, reason.to_string()),
        }
    }

    /// Registers what another run measured, with its own inputs and seed.
    ///
    /// # Errors
    /// [`Error::UnknownTest`], [`Error::RegisteredTwice`], [`Error::NeedsTest`] for a confirmatory row without a p-value.
    pub fn adopt(&mut self, id: &str, measured: &Measured) -> Result<(), Error> {
        if self.planned(id)?.kind == Kind::Confirmatory && measured.p.is_none() {
            return Err(Error::NeedsTest(id.to_owned()));
        }
        self.register(id, Outcome::Ran(measured.clone()))
    }

    /// Registers a figure of a descriptive row.
    ///
    /// # Errors
    /// [`Error::UnknownTest`], [`Error::RegisteredTwice`], [`Error::NeedsTest`] for a confirmatory row,
    /// [`Error::NotANumber`] for a NaN.
    pub fn describe(
        &mut self,
        id: &str,
        figure: Estimate,
        inputs: impl Into<String>,
        seed: Option<u64>,
    ) -> Result<(), Error> {
        let planned = self.planned(id)?;
        if planned.kind == Kind::Confirmatory {
            return Err(Error::NeedsTest(id.to_owned()));
        }
        let ci = figure.ci.map(|ci| (ci.low, ci.high));
        numbers(id, &[("value", Some(figure.value))], ci)?;
        let measured = Measured {
            method: planned.method.clone(),
            statistic: None,
            p: None,
            ln_p: None,
            effect: figure.value,
            effect_kind: planned.effect_kind.clone(),
            ci,
            n: figure.n.map(|n| n as u64),
            n_unit: planned.n_unit.clone(),
            inputs: inputs.into(),
            seed,
        };
        self.register(id, Outcome::Ran(measured))
    }

    /// Registers a test whose statistic has no value on this input; a confirmatory one counts with p = 1.
    ///
    /// # Errors
    /// [`Error::UnknownTest`], [`Error::RegisteredTwice`].
    pub fn undefined(&mut self, id: &str, reason: impl Into<String>) -> Result<(), Error> {
        self.register(
            id,
            Outcome::Undefined {
                reason: reason.into(),
            },
        )
    }

    /// Registers a test that could not be run, since an input is missing; it enters no family.
    ///
    /// # Errors
    /// [`Error::UnknownTest`], [`Error::RegisteredTwice`].
    pub fn not_run(&mut self, id: &str, reason: impl Into<String>) -> Result<(), Error> {
        self.register(
            id,
            Outcome::NotRun {
                reason: reason.into(),
            },
        )
    }

    /// Registers as not run whatever of an analysis has no outcome yet.
    ///
    /// # Errors
    /// [`Error::UnknownAnalysis`].
    pub fn not_run_rest(&mut self, analysis: &str, reason: impl Into<String>) -> Result<(), Error> {
        let reason = reason.into();
        let mut known = false;
        for (_, outcome) in self
            .rows
            .iter_mut()
            .filter(|(test, _)| test.analysis() == analysis)
        {
            known = true;
            outcome.get_or_insert_with(|| Outcome::NotRun {
                reason: reason.clone(),
            });
        }
        if known {
            Ok(())
        } else {
            Err(Error::UnknownAnalysis(analysis.to_owned()))
        }
    }

    /// Whether a planned test has an outcome.
    pub fn is_registered(&self, id: &str) -> bool {
        self.rows
            .iter()
            .any(|(test, outcome)| test.id == id && outcome.is_some())
    }

    /// Closes the registry: tests without an outcome become `not implemented`, and the p-values of the confirmatory
    /// tests are corrected by Benjamini-Hochberg at the false discovery rate `alpha`.
    pub fn correct(self, alpha: f64) -> CorrectedRegistry {
        let rows = self.rows.into_iter().map(|(planned, outcome)| {
            let missing = || Outcome::NotRun {
                reason: "not implemented".to_owned(),
            };
            (planned, outcome.unwrap_or_else(missing))
        });
        CorrectedRegistry::new(self.context, rows.collect(), alpha)
    }

    fn planned(&self, id: &str) -> Result<&PlannedTest, Error> {
        let row = self.rows.iter().find(|(test, _)| test.id == id);
        row.map(|(test, _)| test)
            .ok_or_else(|| Error::UnknownTest(id.to_owned()))
    }

    fn register(&mut self, id: &str, outcome: Outcome) -> Result<(), Error> {
        let row = self.rows.iter_mut().find(|(test, _)| test.id == id);
        let (_, place) = row.ok_or_else(|| Error::UnknownTest(id.to_owned()))?;
        if let Some(earlier) = place {
            let earlier = match earlier {
                Outcome::Ran(_) => "ran".to_owned(),
                Outcome::Undefined { reason } => format!("undefined: {reason}"),
                Outcome::NotRun { reason } => format!("not run: {reason}"),
            };
            return Err(Error::RegisteredTwice {
                test: id.to_owned(),
                earlier,
            });
        }
        *place = Some(outcome);
        Ok(())
    }
}

/// Whether a result of this alternative answers the planned question. An equivalence test is made of one-sided
/// tests, so its result may name any side.
fn admits(planned: Alternative, found: scfm_stats::Alternative) -> bool {
    use scfm_stats::Alternative as Found;
    match planned {
        Alternative::Within => true,
        Alternative::TwoSided => found == Found::TwoSided,
        Alternative::Greater => found == Found::Greater,
        Alternative::Less => found == Found::Less,
    }
}

fn numbers(id: &str, figures: &[(&'static str, Option<f64>)], ci: Option<(f64, f64)>) -> Result<(), Error> {
    let ends = [
        ("lower end of the interval", ci.map(|c| c.0)),
        ("upper end of the interval", ci.map(|c| c.1)),
    ];
    match figures
        .iter()
        .chain(&ends)
        .find(|(_, value)| value.is_some_and(f64::is_nan))
    {
        Some(&(what, _)) => Err(Error::NotANumber {
            test: id.to_owned(),
            what,
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{figure, result};

    const TEST: &str = "perturbation-first/attention-above-chance";
    const FIGURE: &str = "perturbation-first/n-evaluable";

    fn registry() -> Registry {
        Registry::declare(Plan::embedded(), "rpe1")
    }

    #[test]
    fn only_planned_tests_are_registered_and_only_once() {
        let mut registry = registry();
        let unknown = registry.record("perturbation-first/luck", &result(0.7, 0.01), "", None);
        assert!(matches!(unknown, Err(Error::UnknownTest(id)) if id == "perturbation-first/luck"));
        assert!(!registry.is_registered(TEST));
        registry.undefined(TEST, "too few perturbations").unwrap();
        assert!(registry.is_registered(TEST));
        let again = registry.record(TEST, &result(0.7, 0.01), "", None).unwrap_err();
        assert_eq!(
            again.to_string(),
            format!("test {TEST} is registered already (undefined: too few perturbations)")
        );
    }

    #[test]
    fn a_test_computed_with_another_alternative_is_refused() {
        let greater = TestResult {
            alternative: scfm_stats::Alternative::Greater,
            ..result(0.7, 0.01)
        };
        let mut registry = registry();
        let refused = registry.record(TEST, &greater, "", None);
        assert!(matches!(
            refused,
            Err(Error::Alternative {
                planned: "two-sided",
                found: "greater",
                ..
            })
        ));
        // Two one-sided tests make an equivalence test.
        registry
            .record("incremental-value/equivalence-attention", &greater, "", None)
            .unwrap();
    }

    #[test]
    fn a_bare_figure_cannot_stand_for_a_test() {
        let mut registry = registry();
        assert!(matches!(
            registry.describe(TEST, Estimate::new(0.7), "", None),
            Err(Error::NeedsTest(_))
        ));
        registry.describe(FIGURE, figure(280.0), "", None).unwrap();
    }

    #[test]
    fn what_is_not_a_number_is_refused() {
        let mut registry = registry();
        let effect = TestResult {
            effect: f64::NAN,
            ..result(0.7, 0.01)
        };
        let interval = Interval {
            low: 0.1,
            high: f64::NAN,
            level: 0.95,
        };
        let interval = TestResult {
            ci: Some(interval),
            ..result(0.7, 0.01)
        };
        for (broken, what) in [(effect, "effect"), (interval, "upper end of the interval")] {
            let refused = registry.record(TEST, &broken, "", None);
            assert!(matches!(refused, Err(Error::NotANumber { what: w, .. }) if w == what));
        }
        assert!(
            registry
                .describe(FIGURE, Estimate::new(f64::NAN), "", None)
                .is_err()
        );
    }

    #[test]
    fn the_rest_of_an_analysis_is_left_out_with_a_reason() {
        let mut registry = registry();
        registry.record(TEST, &result(0.7, 0.01), "", None).unwrap();
        registry.not_run_rest("perturbation-first", "no screen").unwrap();
        assert!(registry.not_run_rest("astrology", "").is_err());
        let registry = registry.correct(0.05);
        let outcome = |id| &registry.row(id).unwrap().outcome;
        assert!(matches!(outcome(TEST), Outcome::Ran(_)));
        assert_eq!(
            *outcome(FIGURE),
            Outcome::NotRun {
                reason: "no screen".to_owned()
            }
        );
        let other = outcome("scaling/auroc-direction");
        assert_eq!(
            *other,
            Outcome::NotRun {
                reason: "not implemented".to_owned()
            }
        );
    }
}
