use std::collections::BTreeSet;
use std::sync::OnceLock;

use scfm_core::{Column, Table};
use scfm_stats::{Alternative, Interval, binomial_test, fisher_exact, holm, wilson};
use serde::{Deserialize, Serialize};

use crate::report::calibration_page;
use crate::{Claim, Kind, Plan};

/// The rate at which a test of level 5 % may reject where its null hypothesis holds.
const LEVEL: f64 = 0.05;

/// How the tests and the verdict did on simulated worlds whose truth is known.
///
/// The summary of one such trial is part of the program; reports say beside each test how often it rejected where its null
/// hypothesis holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// What was simulated and how, in the order in which it is shown.
    #[serde(default)]
    pub facts: Vec<(String, String)>,
    /// The tests, in the order of the plan.
    #[serde(default, rename = "test")]
    pub tests: Vec<CalibratedTest>,
    /// The criteria of the verdict and the verdict itself in each kind of world.
    #[serde(default, rename = "verdict")]
    pub verdicts: Vec<CalibratedVerdict>,
}

/// How often one test rejected at 5 %, or found a gain where [gains](crate::Claim) are what it states.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibratedTest {
    /// The test.
    pub id: String,
    /// The rate at which it may reject where its null hypothesis holds: 5 %, of gains half of it.
    pub level: f64,
    /// In the worlds where its null hypothesis holds.
    pub null: Option<Rejections>,
    /// In the worlds where it does not, from the weakest to the stated strength.
    #[serde(default)]
    pub alternative: Vec<Rejections>,
}

/// How often a test rejected at 5 % in the worlds of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rejections {
    /// The kind of world, `no-signal`.
    pub world: String,
    /// How strongly the world has what it is named after, in percent.
    pub strength: u32,
    /// Worlds in which the test had a p-value.
    pub ran: u64,
    /// Among them, those in which it was at most 0.05.
    pub rejected: u64,
    /// Worlds in which the test was planned and had no value.
    pub undefined: u64,
}

/// What the verdict or one of its criteria said in the worlds of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibratedVerdict {
    /// The kind of world.
    pub world: String,
    /// Its strength, in percent.
    pub strength: u32,
    /// The family of models whose files the networks were read from.
    pub family: String,
    /// The criterion, `a`; empty for the verdict.
    pub criterion: String,
    /// Worlds in which it passed.
    pub pass: u64,
    /// Worlds in which it failed.
    pub fail: u64,
    /// Worlds in which it was left undecided.
    pub undecided: u64,
}

impl Rejections {
    /// Share of the worlds with a p-value in which the test rejected.
    pub fn rate(&self) -> f64 {
        self.rejected as f64 / self.ran as f64
    }

    /// The Wilson interval of that share at 95 %; none without a p-value.
    pub fn interval(&self) -> Option<Interval> {
        wilson(self.rejected, self.ran, 0.95).ok()
    }

    /// Share of all worlds of the kind in which the test rejected: where it has no value it finds nothing.
    pub fn power(&self) -> f64 {
        self.rejected as f64 / self.worlds() as f64
    }

    /// Worlds of the kind.
    pub fn worlds(&self) -> u64 {
        self.ran + self.undefined
    }

    /// p of so few rejections or fewer, were there as many in a world as in `weaker` ones: Fisher's exact test, one-sided.
    fn p_below(&self, weaker: &Self) -> Option<f64> {
        let row = |it: &Self| [it.rejected, it.worlds() - it.rejected];
        let test = fisher_exact([row(self), row(weaker)]).ok()?;
        Some(test.against(Alternative::Less).ok()?.p.p())
    }

    /// p of so many rejections or more, were they made at `level`: exact binomial, one-sided.
    fn p_above(&self, level: f64) -> Option<f64> {
        let test = binomial_test(self.rejected, self.ran, level).ok()?;
        Some(test.against(Alternative::Greater).ok()?.p.p())
    }
}

impl CalibratedTest {
    /// The level of a test that states this.
    pub fn level_of(claim: Claim) -> f64 {
        match claim {
            Claim::Difference => LEVEL,
            Claim::Gain => LEVEL / 2.0,
        }
    }
}

impl CalibratedVerdict {
    /// Worlds of the kind.
    pub fn worlds(&self) -> u64 {
        self.pass + self.fail + self.undecided
    }
}

impl Calibration {
    /// The trial that this version of the program was put to.
    pub fn embedded() -> &'static Self {
        static EMBEDDED: OnceLock<Calibration> = OnceLock::new();
        EMBEDDED.get_or_init(|| {
            toml::from_str(include_str!("calibration.toml")).expect("the summary is checked by a test")
        })
    }

    /// The test of that id.
    pub fn test(&self, id: &str) -> Option<&CalibratedTest> {
        self.tests.iter().find(|test| test.id == id)
    }

    /// How often a test rejected where its null hypothesis holds, or the test that it [is](crate::PlannedTest::same_as).
    pub fn null_of(&self, id: &str) -> Option<&Rejections> {
        let same_as = Plan::embedded()
            .test(id)
            .and_then(|planned| planned.same_as.as_deref());
        let test = self.test(same_as.unwrap_or(id))?;
        test.null.as_ref().filter(|null| null.ran > 0)
    }

    /// The tests that reject more often than they may where their null hypothesis holds, by Holm's procedure over all that state
    /// something; forms shown as published and figures state nothing.
    pub fn above_level(&self) -> Vec<&CalibratedTest> {
        let planned = Plan::embedded().tests();
        let descriptive: BTreeSet<&str> = planned
            .filter(|test| test.kind == Kind::Descriptive)
            .map(|test| test.id.as_str())
            .collect();
        let (tests, p): (Vec<&CalibratedTest>, Vec<f64>) = self
            .tests
            .iter()
            .filter(|test| !descriptive.contains(test.id.as_str()))
            .filter_map(|test| Some((test, test.null.as_ref()?.p_above(test.level)?)))
            .unzip();
        significant(tests, &p)
    }

    /// The tests that find less where there is more to be found: whose [power](Rejections::power) is smaller at some strength than at
    /// the next weaker one, by Holm's procedure over all such pairs.
    pub fn falling_power(&self) -> Vec<&CalibratedTest> {
        let steps = self.tests.iter().flat_map(|test| {
            let pairs = test.alternative.windows(2);
            pairs.filter_map(move |pair| Some((test, pair[1].p_below(&pair[0])?)))
        });
        let (tests, p): (Vec<&CalibratedTest>, Vec<f64>) = steps.unzip();
        let mut falling = significant(tests, &p);
        falling.dedup_by_key(|test| &test.id);
        falling
    }

    /// A row for each test and kind of world: `test, level, holds, world, strength, ran, rejected, undefined, rate, low, high, power`,
    /// where `holds` says which hypothesis holds there, `H0` or `H1`; power is that of worlds in which H1 does.
    pub fn to_table(&self) -> Table {
        let rows: Vec<(&CalibratedTest, &str, &Rejections)> = self
            .tests
            .iter()
            .flat_map(|test| {
                let null = test.null.iter().map(|it| ("H0", it));
                let alternative = test.alternative.iter().map(|it| ("H1", it));
                null.chain(alternative).map(move |(holds, it)| (test, holds, it))
            })
            .collect();
        let text =
            |of: fn(&(&CalibratedTest, &str, &Rejections)) -> String| Column::text(rows.iter().map(of));
        let count = |of: fn(&Rejections) -> u64| Column::counts(rows.iter().map(|row| of(row.2) as usize));
        let number = |of: fn(&Rejections) -> f64| Column::numbers(rows.iter().map(|row| of(row.2)));
        let columns = [
            ("test", text(|row| row.0.id.clone())),
            ("level", Column::numbers(rows.iter().map(|row| row.0.level))),
            ("holds", text(|row| row.1.to_owned())),
            ("world", text(|row| row.2.world.clone())),
            ("strength", count(|it| u64::from(it.strength))),
            ("ran", count(|it| it.ran)),
            ("rejected", count(|it| it.rejected)),
            ("undefined", count(|it| it.undefined)),
            ("rate", number(Rejections::rate)),
            ("low", number(|it| it.interval().map_or(f64::NAN, |ci| ci.low))),
            ("high", number(|it| it.interval().map_or(f64::NAN, |ci| ci.high))),
            (
                "power",
                Column::numbers(rows.iter().map(|row| match row.1 {
                    "H1" => row.2.power(),
                    _ => f64::NAN,
                })),
            ),
        ];
        columns
            .into_iter()
            .fold(Table::new(rows.len()), |table, (name, column)| {
                table
                    .with(name, column)
                    .expect("the names differ and each column has a value per row")
            })
    }

    /// The page that shows it, one HTML file without network.
    pub fn render(&self) -> String {
        calibration_page(self).into_string()
    }
}

/// Those that Holm's procedure finds significant.
fn significant<'a>(tests: Vec<&'a CalibratedTest>, p: &[f64]) -> Vec<&'a CalibratedTest> {
    let of_each = tests.into_iter().zip(holm(p));
    of_each
        .filter(|(_, p)| *p <= LEVEL)
        .map(|(test, _)| test)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejections(ran: u64, rejected: u64) -> Rejections {
        Rejections {
            world: "no-signal".to_owned(),
            strength: 100,
            ran,
            rejected,
            undefined: 0,
        }
    }

    fn trial(nulls: &[(u64, u64)]) -> Calibration {
        let tests = nulls
            .iter()
            .enumerate()
            .map(|(i, &(ran, rejected))| CalibratedTest {
                id: format!("perturbation-first/{i}"),
                level: 0.05,
                null: Some(rejections(ran, rejected)),
                alternative: vec![rejections(ran, ran)],
            });
        Calibration {
            tests: tests.collect(),
            ..Calibration::default()
        }
    }

    #[test]
    fn a_test_above_its_level_is_named_and_one_at_it_is_not() {
        let trial = trial(&[(400, 20), (400, 60), (400, 26), (0, 0)]);
        let above: Vec<&str> = trial.above_level().iter().map(|test| test.id.as_str()).collect();
        assert_eq!(above, ["perturbation-first/1"]);
    }

    #[test]
    fn a_test_that_is_put_to_other_data_has_the_rate_of_the_one_that_it_is() {
        let mut trial = trial(&[(400, 20)]);
        trial.tests[0].id = "perturbation-first/attention-vs-correlation".to_owned();
        let own = trial.null_of("perturbation-first/attention-vs-correlation");
        assert_eq!(own.map(|null| null.rejected), Some(20));
        assert_eq!(trial.null_of("context-neuron/attention-vs-correlation"), own);
        assert_eq!(trial.null_of("context-rpe1/delta-attention"), None);
    }

    #[test]
    fn more_tests_ask_more_of_each() {
        // 30 of 400 has p = 0.02 by itself.
        let mut alone = trial(&[(400, 30)]);
        assert_eq!(alone.above_level().len(), 1);
        alone.tests[0].null = Some(rejections(400, 18));
        assert_eq!(alone.above_level().len(), 0);
        alone.tests[0].level = CalibratedTest::level_of(Claim::Gain);
        assert_eq!(alone.above_level().len(), 1, "18 of 400 is too many gains");
        assert_eq!(
            trial(&[(400, 30), (400, 20), (400, 20), (400, 20)])
                .above_level()
                .len(),
            0
        );
    }

    #[test]
    fn power_that_falls_is_named_and_what_has_no_value_finds_nothing() {
        let mut trial = trial(&[(100, 5), (100, 5), (100, 5)]);
        trial.tests[0].alternative = vec![rejections(100, 40), rejections(100, 60), rejections(100, 35)];
        trial.tests[1].alternative = vec![rejections(100, 40), rejections(100, 39), rejections(100, 41)];
        // Where it has a value it rejects, but that is in few worlds.
        let rare = Rejections {
            undefined: 90,
            ..rejections(10, 10)
        };
        trial.tests[2].alternative = vec![rare.clone(), rejections(100, 30), rejections(100, 90)];
        assert_eq!((rare.power(), rare.worlds()), (0.1, 100));
        let falling: Vec<&str> = trial
            .falling_power()
            .iter()
            .map(|test| test.id.as_str())
            .collect();
        assert_eq!(falling, ["perturbation-first/0"]);
        assert!(Calibration::default().falling_power().is_empty());
    }

    #[test]
    fn the_table_has_a_row_for_each_kind_of_world() {
        let table = trial(&[(400, 20), (0, 0)]).to_table();
        assert_eq!(table.n_rows(), 4);
        assert_eq!(table.column("rate").unwrap().display(0), "0.05");
        assert_eq!(table.column("rate").unwrap().display(2), "", "no world, no rate");
    }

    #[test]
    fn the_embedded_summary_names_planned_tests_and_none_is_above_its_level() {
        let embedded = Calibration::embedded();
        for test in &embedded.tests {
            assert!(Plan::embedded().test(&test.id).is_some(), "{}", test.id);
        }
        let above = embedded.above_level();
        assert!(above.is_empty(), "{above:?}");
        let falling = embedded.falling_power();
        assert!(falling.is_empty(), "{falling:?}");
    }
}
