use scfm_core::{Column, Table};

use crate::{Correction, Error, Kind, Measured, Outcome, Plan, PlannedTest};

/// The closed registry of a run: one row per planned test, corrected as one family.
#[derive(Debug, Clone, PartialEq)]
pub struct CorrectedRegistry {
    context: String,
    rows: Vec<Row>,
    correction: Correction,
}

/// A planned test with its outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What was planned.
    pub planned: PlannedTest,
    /// What became of it.
    pub outcome: Outcome,
    /// The p-value corrected over the main family; none for a row outside it.
    pub q: Option<f64>,
    /// Whether `q` is at most α; none for a row outside the main family.
    pub significant: Option<bool>,
    /// Whether a primary test decides alike in all families, see [`Correction`]; none for another row.
    pub stable: Option<bool>,
}

impl Row {
    /// The figures, if the test ran.
    pub fn measured(&self) -> Option<&Measured> {
        match &self.outcome {
            Outcome::Ran(measured) => Some(measured),
            _ => None,
        }
    }

    /// Why there are no figures.
    pub fn reason(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Ran(_) => None,
            Outcome::Undefined { reason } | Outcome::NotRun { reason } => Some(reason),
        }
    }

    /// The p-value with which it enters a family: 1 for an undefined confirmatory test.
    pub fn family_p(&self) -> Option<f64> {
        match &self.outcome {
            Outcome::Ran(measured) => measured.p,
            Outcome::Undefined { .. } if self.planned.kind == Kind::Confirmatory => Some(1.0),
            _ => None,
        }
    }
}

impl CorrectedRegistry {
    /// The context of the run.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// All rows in the order of the plan.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// A row by test id.
    pub fn row(&self, id: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.planned.id == id)
    }

    /// The rows of an analysis.
    pub fn analysis<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Row> {
        self.rows.iter().filter(move |row| row.planned.analysis() == id)
    }

    /// How the families came out.
    pub fn correction(&self) -> &Correction {
        &self.correction
    }

    /// The registry as a table: one row per planned test, in the order of the plan. The columns are fixed, since
    /// others build on them: `context, analysis, test, kind, hypothesis, alternative, method, status, reason, statistic,
    /// p, ln_p, q, significant, effect, effect_kind, ci_low, ci_high, n, n_unit, family, published, seed, inputs`.
    ///
    /// `p` of an undefined confirmatory test is 1, so that `q` can be recomputed from the rows of family `main` that
    /// have a `p`.
    pub fn to_table(&self) -> Table {
        let text = |of: &dyn Fn(&Row) -> Option<String>| Column::Text(self.rows.iter().map(of).collect());
        let number = |of: &dyn Fn(&Row) -> Option<f64>| Column::F64(self.rows.iter().map(of).collect());
        let integer = |of: &dyn Fn(&Row) -> Option<u64>| Column::U64(self.rows.iter().map(of).collect());
        let columns = [
            ("context", text(&|_| Some(self.context.clone()))),
            ("analysis", text(&|r| Some(r.planned.analysis().to_owned()))),
            ("test", text(&|r| Some(r.planned.id.clone()))),
            ("kind", text(&|r| Some(r.planned.kind.to_string()))),
            ("hypothesis", text(&|r| Some(r.planned.hypothesis.clone()))),
            ("alternative", text(&|r| Some(r.planned.alternative.to_string()))),
            (
                "method",
                text(&|r| Some(r.measured().map_or(&r.planned.method, |m| &m.method).clone())),
            ),
            (
                "status",
                text(&|r| Some(if r.measured().is_some() { RAN } else { NOT_RUN }.to_owned())),
            ),
            ("reason", text(&|r| r.reason().map(str::to_owned))),
            ("statistic", number(&|r| r.measured().and_then(|m| m.statistic))),
            ("p", number(&Row::family_p)),
            (
                "ln_p",
                number(&|r| r.measured().map_or_else(|| r.family_p().map(f64::ln), |m| m.ln_p)),
            ),
            ("q", number(&|r| r.q)),
            (
                "significant",
                Column::Bool(self.rows.iter().map(|r| r.significant).collect()),
            ),
            ("effect", number(&|r| r.measured().map(|m| m.effect))),
            (
                "effect_kind",
                text(&|r| {
                    Some(
                        r.measured()
                            .map_or(&r.planned.effect_kind, |m| &m.effect_kind)
                            .clone(),
                    )
                }),
            ),
            (
                "ci_low",
                number(&|r| r.measured().and_then(|m| m.ci).map(|ci| ci.0)),
            ),
            (
                "ci_high",
                number(&|r| r.measured().and_then(|m| m.ci).map(|ci| ci.1)),
            ),
            ("n", integer(&|r| r.measured().and_then(|m| m.n))),
            (
                "n_unit",
                text(&|r| Some(r.measured().map_or(&r.planned.n_unit, |m| &m.n_unit).clone())),
            ),
            ("family", text(&|r| Some(r.planned.family.to_string()))),
            ("published", text(&|r| r.planned.published.clone())),
            ("seed", integer(&|r| r.measured().and_then(|m| m.seed))),
            ("inputs", text(&|r| r.measured().map(|m| m.inputs.clone()))),
        ];
        columns
            .into_iter()
            .fold(Table::new(self.rows.len()), |table, (name, column)| {
                table
                    .with(name, column)
                    .expect("the names differ and each column has a value per row")
            })
    }

    /// Reads a registry back from [`CorrectedRegistry::to_table`] and corrects it again at `alpha`.
    ///
    /// # Errors
    /// [`Error::Column`] for a missing column, [`Error::Cell`] for a value that makes no sense, [`Error::Rows`] and
    /// [`Error::UnknownTest`] for a table that was written for another plan.
    pub fn from_table(plan: &Plan, table: &Table, alpha: f64) -> Result<Self, Error> {
        let planned: Vec<&PlannedTest> = plan.tests().collect();
        if table.n_rows() != planned.len() {
            return Err(Error::Rows {
                found: table.n_rows(),
                expected: planned.len(),
            });
        }
        let stored = Stored::of(table)?;
        let rows = planned.into_iter().enumerate().map(|(row, planned)| {
            let id = stored.text(row, "test", stored.test)?;
            if id != planned.id {
                return Err(Error::UnknownTest(id.to_owned()));
            }
            Ok((planned.clone(), stored.outcome(row)?))
        });
        let rows = rows.collect::<Result<_, _>>()?;
        let context = stored.context.first().cloned().flatten().unwrap_or_default();
        Ok(Self::new(context, rows, alpha))
    }

    pub(crate) fn new(context: String, rows: Vec<(PlannedTest, Outcome)>, alpha: f64) -> Self {
        let mut rows: Vec<Row> = rows
            .into_iter()
            .map(|(planned, outcome)| Row {
                planned,
                outcome,
                q: None,
                significant: None,
                stable: None,
            })
            .collect();
        let correction = Correction::of(&mut rows, alpha);
        Self {
            context,
            rows,
            correction,
        }
    }
}

const RAN: &str = "ran";
const NOT_RUN: &str = "not run";

/// The columns of a stored registry that its rows are read from.
struct Stored<'a> {
    context: &'a [Option<String>],
    test: &'a [Option<String>],
    method: &'a [Option<String>],
    status: &'a [Option<String>],
    reason: &'a [Option<String>],
    effect_kind: &'a [Option<String>],
    n_unit: &'a [Option<String>],
    inputs: &'a [Option<String>],
    statistic: &'a [Option<f64>],
    p: &'a [Option<f64>],
    ln_p: &'a [Option<f64>],
    effect: &'a [Option<f64>],
    ci_low: &'a [Option<f64>],
    ci_high: &'a [Option<f64>],
    n: &'a [Option<u64>],
    seed: &'a [Option<u64>],
}

impl<'a> Stored<'a> {
    fn of(table: &'a Table) -> Result<Self, Error> {
        let text = |column| match table.column(column) {
            Some(Column::Text(values)) => Ok(values.as_slice()),
            _ => Err(Error::Column {
                column,
                expected: "text",
            }),
        };
        let number = |column| match table.column(column) {
            Some(Column::F64(values)) => Ok(values.as_slice()),
            _ => Err(Error::Column {
                column,
                expected: "numbers",
            }),
        };
        let integer = |column| match table.column(column) {
            Some(Column::U64(values)) => Ok(values.as_slice()),
            _ => Err(Error::Column {
                column,
                expected: "counts",
            }),
        };
        Ok(Self {
            context: text("context")?,
            test: text("test")?,
            method: text("method")?,
            status: text("status")?,
            reason: text("reason")?,
            effect_kind: text("effect_kind")?,
            n_unit: text("n_unit")?,
            inputs: text("inputs")?,
            statistic: number("statistic")?,
            p: number("p")?,
            ln_p: number("ln_p")?,
            effect: number("effect")?,
            ci_low: number("ci_low")?,
            ci_high: number("ci_high")?,
            n: integer("n")?,
            seed: integer("seed")?,
        })
    }

    fn outcome(&self, row: usize) -> Result<Outcome, Error> {
        let p = self.p[row];
        if let Some(p) = p.filter(|p| !(0.0..=1.0).contains(p)) {
            return Err(cell("p", row, &p, "a probability"));
        }
        match self.text(row, "status", self.status)? {
            RAN => {}
            NOT_RUN => {
                let reason = self.text(row, "reason", self.reason)?.to_owned();
                return Ok(if p.is_some() {
                    Outcome::Undefined { reason }
                } else {
                    Outcome::NotRun { reason }
                });
            }
            other => return Err(cell("status", row, &other, "\"ran\" or \"not run\"")),
        }
        let effect =
            self.effect[row].ok_or_else(|| cell("effect", row, &"nothing", "a number, as the test ran"))?;
        Ok(Outcome::Ran(Measured {
            method: self.text(row, "method", self.method)?.to_owned(),
            statistic: self.statistic[row],
            p,
            ln_p: self.ln_p[row],
            effect,
            effect_kind: self.text(row, "effect_kind", self.effect_kind)?.to_owned(),
            ci: self.ci_low[row].zip(self.ci_high[row]),
            n: self.n[row],
            n_unit: self.text(row, "n_unit", self.n_unit)?.to_owned(),
            inputs: self.inputs[row].clone().unwrap_or_default(),
            seed: self.seed[row],
        }))
    }

    fn text(&self, row: usize, column: &'static str, values: &'a [Option<String>]) -> Result<&'a str, Error> {
        values[row]
            .as_deref()
            .ok_or_else(|| cell(column, row, &"nothing", "text"))
    }
}

fn cell(column: &'static str, row: usize, found: &dyn ToString, expected: &str) -> Error {
    Error::Cell {
        column,
        row,
        found: found.to_string(),
        expected: expected.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Registry;
    use crate::testing::{figure, result};

    fn filled() -> CorrectedRegistry {
        let mut registry = Registry::declare(Plan::embedded(), "rpe1");
        let tests = [
            ("perturbation-first/attention-above-chance", 0.010),
            ("perturbation-first/correlation-above-chance", 0.020),
            ("gene-baselines/variance-vs-attention", 0.001),
            ("gene-baselines/mean-vs-attention", 0.900),
            ("perturbation-first/attention-above-chance-naive", 1e-12),
            ("cssi-attention/shuffled-labels", 0.0),
            ("synthetic-ground-truth/detection-theory", 0.0),
        ];
        for (id, p) in tests {
            let alternative = match id {
                "cssi-attention/shuffled-labels" => scfm_stats::Alternative::Less,
                _ => scfm_stats::Alternative::TwoSided,
            };
            let result = scfm_stats::TestResult {
                alternative,
                ..result(0.7, p)
            };
            registry
                .record(id, &result, "sha256:00 layer=3", Some(0))
                .unwrap();
        }
        registry
            .undefined(
                "gene-baselines/detection-vs-attention",
                "too few perturbations: 7, needs 20",
            )
            .unwrap();
        registry
            .undefined("incremental-value/power", "no standard error")
            .unwrap();
        registry.not_run("scaling/auroc-direction", "no atlas").unwrap();
        registry
            .describe("perturbation-first/n-evaluable", figure(49.0), "sha256:00", None)
            .unwrap();
        registry.correct(0.05)
    }

    #[test]
    fn undefined_hypotheses_count_and_tests_that_did_not_run_do_not() {
        let registry = filled();
        let q = |id| registry.row(id).unwrap().q;
        // By hand: p = 0.001, 0.01, 0.02, 0.9 and 1 for the undefined one, m = 5.
        for (id, expected) in [
            ("gene-baselines/variance-vs-attention", 0.005),
            ("perturbation-first/attention-above-chance", 0.025),
            ("perturbation-first/correlation-above-chance", 0.02 * 5.0 / 3.0),
            ("gene-baselines/mean-vs-attention", 1.0),
            ("gene-baselines/detection-vs-attention", 1.0),
        ] {
            assert!((q(id).unwrap() - expected).abs() < 1e-15, "{id}: {:?}", q(id));
        }
        for outside in [
            "perturbation-first/attention-above-chance-naive",
            "cssi-attention/shuffled-labels",
            "synthetic-ground-truth/detection-theory",
            "incremental-value/power",
            "scaling/auroc-direction",
        ] {
            assert_eq!(q(outside), None, "{outside}");
        }
    }

    #[test]
    fn the_families_nest_as_declared() {
        let correction = *filled().correction();
        let count = |family: crate::FamilyCount| (family.tests, family.significant);
        assert_eq!(count(correction.confirmatory), (5, 3));
        // The as-published test joins; null claims and the battery's control stay out.
        assert_eq!(count(correction.all), (6, 4));
        // Two analyses have a primary test that ran, and both decide alike in every family.
        assert_eq!(count(correction.primary), (2, 2));
        assert_eq!(correction.stable, 2);
    }

    #[test]
    fn the_columns_are_those_that_others_build_on() {
        let table = filled().to_table();
        let names: Vec<&str> = table.columns().map(|(name, _)| name).collect();
        let expected = "context, analysis, test, kind, hypothesis, alternative, method, status, reason, statistic, p, ln_p, q, \
                        significant, effect, effect_kind, ci_low, ci_high, n, n_unit, family, published, seed, inputs";
        assert_eq!(names.join(", "), expected);
        assert_eq!(table.n_rows(), Plan::embedded().tests().count());
    }

    #[test]
    fn a_registry_comes_back_from_its_table() {
        let registry = filled();
        let again = CorrectedRegistry::from_table(Plan::embedded(), &registry.to_table(), 0.05).unwrap();
        // An undefined descriptive figure never had a p-value to remember.
        let differing: Vec<_> = registry
            .rows
            .iter()
            .zip(&again.rows)
            .filter(|(a, b)| a != b)
            .collect();
        assert_eq!(differing.len(), 1);
        assert_eq!(differing[0].0.planned.id, "incremental-value/power");
        assert_eq!(again.to_table(), registry.to_table());
        assert_eq!(again.correction, registry.correction);
    }

    #[test]
    fn tables_that_are_no_registry_are_refused() {
        let plan = Plan::embedded();
        let table = filled().to_table();
        let short = Table::new(3);
        assert!(matches!(
            CorrectedRegistry::from_table(plan, &short, 0.05),
            Err(Error::Rows { found: 3, .. })
        ));
        let broken = |name: &str, column: Option<Column>| {
            let mut changed = Table::new(table.n_rows());
            for (n, c) in table.columns() {
                match (n == name, &column) {
                    (true, None) => {}
                    (true, Some(column)) => changed.push(n, column.clone()).unwrap(),
                    (false, _) => changed.push(n, c.clone()).unwrap(),
                }
            }
            CorrectedRegistry::from_table(plan, &changed, 0.05).unwrap_err()
        };
        let all = |word: &str| Some(Column::text(vec![word; table.n_rows()]));
        assert!(matches!(
            broken("status", None),
            Error::Column { column: "status", .. }
        ));
        assert!(matches!(
            broken("n", all("many")),
            Error::Column { column: "n", .. }
        ));
        assert!(matches!(
            broken("status", all("maybe")),
            Error::Cell {
                column: "status",
                row: 0,
                ..
            }
        ));
        assert!(matches!(broken("test", all("a/b")), Error::UnknownTest(id) if id == "a/b"));
        let doubt = Some(Column::numbers(vec![2.0; table.n_rows()]));
        assert!(matches!(broken("p", doubt), Error::Cell { column: "p", .. }));
    }
}
