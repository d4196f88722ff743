//! From what each world came to, to how often each test rejects.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use scfm_core::{Column, Table};
use scfm_report::{CalibratedTest, CalibratedVerdict, Calibration, Claim, Plan, Rejections};

use super::World;

/// The p-value at which a test rejects, before any correction.
const LEVEL: f64 = 0.05;
/// Tests whose null hypothesis holds in no world: transcription factors are targets less often than other genes wherever they stand
/// in a hierarchy, so that the out-degree of a target always says something of its responses.
const WITHOUT_NULL: &[&str] = &["gene-baselines/out-degree-vs-correlation"];
/// Tests of which the strength of what is planted does not say how often they should reject. The pre-specified layer of a planted
/// model knows as much as any; and in regulatory worlds correlation follows regulation too, so that attention, the stronger it
/// follows it, comes the closer to correlation from below.
const WITHOUT_ALTERNATIVE: &[&str] = &[
    "layer-selection/nested-vs-prespecified",
    "perturbation-first/attention-vs-correlation",
    "perturbation-first/attention-vs-correlation-naive",
    "layer-selection/nested-vs-correlation",
    "hvg-protocol/rpe1-forced",
    "hvg-protocol/rpe1-restricted",
];
/// Rows that say what the verdict came to.
const VERDICT: &str = "verdict";

/// What the worlds of one kind came to.
#[derive(Default)]
struct Kind {
    worlds: u64,
    /// By test: worlds with a p-value, and rejections, those in favour of what the test claims. Worlds without one may say nothing of
    /// a test that is not in the family.
    tests: BTreeMap<String, (u64, u64)>,
    /// By criterion, empty for the verdict, and family of models: passed, failed, undecided.
    verdicts: BTreeMap<(String, &'static str), (u64, u64, u64)>,
}

/// Rates of rejection over worlds, each with the table that [`super::evaluate`] made of it.
pub fn summarise<'a>(
    judged: impl IntoIterator<Item = (&'a World, Table)>,
    facts: Vec<(String, String)>,
) -> Result<Calibration> {
    // By truth and growing strength.
    let mut kinds: BTreeMap<(&str, u32), Kind> = BTreeMap::new();
    let gains = gains();
    for (world, table) in judged {
        kinds
            .entry((world.truth.name(), world.strength))
            .or_default()
            .add(&table, world.family.name(), &gains)?;
    }
    let of_kind = |(world, strength): (&str, u32), kind: &Kind, id: &str| {
        let (ran, rejected) = kind.tests.get(id).copied()?;
        Some(Rejections {
            world: world.to_owned(),
            strength,
            ran,
            rejected,
            undefined: kind.worlds - ran,
        })
    };
    let mut tests = Vec::new();
    for planned in Plan::embedded().tests() {
        let of_world = |name: &str| {
            let all = kinds.iter().filter(move |((world, _), _)| *world == name);
            all.filter_map(|(&at, kind)| of_kind(at, kind, &planned.id))
                .collect::<Vec<_>>()
        };
        let is_of = |tests: &[&str]| tests.contains(&planned.id.as_str());
        let mut null = of_world(planned.h0_world.as_str());
        null.retain(|it| it.strength == 100 && !is_of(WITHOUT_NULL));
        let mut alternative = of_world(planned.h1_world.as_str());
        // What has no value in any world was not tried.
        if is_of(WITHOUT_ALTERNATIVE) || alternative.iter().all(|it| it.ran == 0) {
            alternative.clear();
        }
        let test = CalibratedTest {
            id: planned.id.clone(),
            level: CalibratedTest::level_of(planned.claim),
            null: null.pop(),
            alternative,
        };
        if test.null.is_some() || !test.alternative.is_empty() {
            tests.push(test);
        }
    }
    let mut verdicts = Vec::new();
    for (&(world, strength), kind) in &kinds {
        for ((criterion, family), &(pass, fail, undecided)) in &kind.verdicts {
            verdicts.push(CalibratedVerdict {
                world: world.to_owned(),
                strength,
                family: (*family).to_owned(),
                criterion: criterion.clone(),
                pass,
                fail,
                undecided,
            });
        }
    }
    Ok(Calibration {
        facts,
        tests,
        verdicts,
    })
}

/// The tests that claim gains.
fn gains() -> BTreeSet<&'static str> {
    let tests = Plan::embedded().tests();
    tests
        .filter(|test| test.claim == Claim::Gain)
        .map(|test| test.id.as_str())
        .collect()
}

impl Kind {
    fn add(&mut self, table: &Table, family: &'static str, gains: &BTreeSet<&str>) -> Result<()> {
        self.worlds += 1;
        let numbers = |name| match table.column(name) {
            Some(Column::F64(values)) => Some(values),
            _ => None,
        };
        let (Some(Column::Text(test)), Some(Column::Text(outcome)), Some(p), Some(effect)) = (
            table.column("test"),
            table.column("outcome"),
            numbers("p"),
            numbers("effect"),
        ) else {
            bail!(
                "a stored world has no columns test, outcome, p and effect; remove it, and it is evaluated again"
            );
        };
        for (((test, outcome), p), effect) in test.iter().zip(outcome).zip(p).zip(effect) {
            let (Some(test), Some(outcome)) = (test, outcome) else {
                bail!("a stored world has rows without a name; remove it, and it is evaluated again");
            };
            match test
                .strip_prefix(VERDICT)
                .map(|rest| rest.trim_start_matches('/'))
            {
                Some(criterion) => {
                    let counts = self.verdicts.entry((criterion.to_owned(), family)).or_default();
                    match outcome.as_str() {
                        "pass" => counts.0 += 1,
                        "fail" => counts.1 += 1,
                        _ => counts.2 += 1,
                    }
                }
                None => {
                    let counts = self.tests.entry(test.clone()).or_default();
                    if let Some(p) = p {
                        counts.0 += 1;
                        let claimed =
                            !gains.contains(test.as_str()) || effect.is_some_and(|effect| effect > 0.0);
                        counts.1 += u64::from(*p <= LEVEL && claimed);
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibration::{Family, Truth};

    /// What a world came to, as far as it is summed up.
    fn judged(rows: &[(&str, f64)]) -> Table {
        Table::new(rows.len())
            .with("test", Column::text(rows.iter().map(|(test, _)| test)))
            .and_then(|table| table.with("outcome", Column::text(rows.iter().map(|_| "ran"))))
            .and_then(|table| table.with("p", Column::numbers(rows.iter().map(|(_, p)| *p))))
            .and_then(|table| table.with("effect", Column::numbers(rows.iter().map(|_| 1.0))))
            .unwrap()
    }

    #[test]
    fn worlds_that_say_nothing_of_a_test_are_worlds_in_which_it_finds_nothing() {
        // One is in the family, so that each world has a row of it, and one is not.
        let (of_family, other) = (
            "ablation-dose/trend",
            "orthogonal-interventions/masked-uniform-top-5",
        );
        let world = |index| World {
            truth: Truth::Regulatory,
            strength: 100,
            family: Family::ScGpt,
            index,
        };
        let worlds = [world(0), world(1), world(2)];
        let tables = [
            judged(&[(of_family, 0.01), (other, 0.01)]),
            judged(&[(of_family, f64::NAN)]),
            judged(&[(of_family, 0.5)]),
        ];
        let found = summarise(worlds.iter().zip(tables), Vec::new()).unwrap();
        for (id, ran) in [(of_family, 2), (other, 1)] {
            let power = &found.test(id).unwrap().alternative[0];
            assert_eq!((power.worlds(), power.ran, power.rejected), (3, ran, 1), "{id}");
        }
    }
}
