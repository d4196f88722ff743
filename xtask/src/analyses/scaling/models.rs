//! What changes from the smallest to the largest number of cells, with models as units: samples of one model share its
//! weights and say nothing of another.

use anyhow::Result;
use scfm_core::{Column, Table};
use scfm_grn::{Metric, ReferenceNetwork};
use scfm_stats::{TestResult, Undefined, Zeros, defined, one_sample_t, sign_test, wilcoxon_signed_rank};

use super::samples::{Followed, Samples};
use super::{ID, TIERS};
use crate::analyses::Desk;
use crate::evidence::read_panel;
use crate::others::Beside;
use crate::stages::scaling::Design;

/// What one model recovers of one reference in the smallest and in the largest samples.
struct Row {
    model: String,
    reference: &'static str,
    /// Smallest and largest.
    cells: [usize; 2],
    f1: [f64; 2],
    auroc: [f64; 2],
    /// Jaccard index of the first pairs of samples of one size.
    overlap: [f64; 2],
}

/// Registers the tests over models and shows what each of them came to. `own` is what this run's model recovers of each reference.
pub fn over_models(
    desk: &mut Desk<'_>,
    own: &[Followed<'_>],
    references: &[(&'static str, Option<&ReferenceNetwork>)],
) -> Result<()> {
    let mut rows: Vec<Row> = own
        .iter()
        .filter_map(|followed| Row::new(&desk.record.model_in_words(), followed))
        .collect();
    for Beside { run, record } in desk.beside()? {
        let samples = Samples::read(&run)?;
        let panel = read_panel(&run)?;
        for &(name, reference) in references {
            let Some(reference) = reference else { continue };
            match samples.follow(name, reference, &panel)? {
                Ok(followed) => rows.extend(Row::new(&record.model_in_words(), &followed)),
                Err(reason) => desk.say(format!("{name}, {}: {reason}.", record.model_in_words())),
            }
        }
    }
    let changes = |reference: &str, of: fn(&Row) -> [f64; 2]| -> Vec<f64> {
        let rows = rows.iter().filter(|row| row.reference == reference);
        let changes = rows.map(|row| of(row)[1] - of(row)[0]);
        changes.filter(|change| !change.is_nan()).collect()
    };
    for (id, reference, of) in [
        (
            "f1-trrust-falls",
            "TRRUST",
            (|row| row.f1) as fn(&Row) -> [f64; 2],
        ),
        ("f1-dorothea-falls", "DoRothEA", |row| row.f1),
        ("seed-stability-falls", "TRRUST", |row| row.overlap),
    ] {
        let test = mean_change(&changes(reference, of))?;
        desk.test(&format!("{ID}/{id}"), &test, true)?;
    }
    let rises = enough(&changes("TRRUST", |row| row.auroc), sign_test)?;
    desk.test(&format!("{ID}/auroc-direction"), &rises, true)?;

    let n_models = rows.iter().filter(|row| row.reference == "TRRUST").count();
    desk.say(match n_models {
        ..TIERS => format!(
            "Models are the units of what is said of models: {n_models} of them say nothing, {TIERS} are needed. Runs of other \
             models on the same data are taken in with --beside."
        ),
        _ => format!("The {n_models} models are the units of what is said of models, not their samples, which share weights."),
    });
    desk.keep_table(
        "scaling_models",
        "Recovery in the smallest and in the largest samples, by model, means over samples",
        table(&rows)?,
    )
}

impl Row {
    /// Nothing where all samples have one size.
    fn new(model: &str, followed: &Followed<'_>) -> Option<Self> {
        let (cells, overlap) = followed.overlap_by_cells();
        let (&[smallest, .., largest], &[in_smallest, .., in_largest]) =
            (cells.as_slice(), overlap.as_slice())
        else {
            return None;
        };
        let ends = |metric| {
            let (x, means) = followed.mean_by_level(Design::Nested, metric);
            let at = |cells: usize| x.iter().position(|&x| x == cells as f64).map(|at| means[at]);
            [smallest, largest].map(|cells| at(cells).unwrap_or(f64::NAN))
        };
        Some(Self {
            model: model.to_owned(),
            reference: followed.name,
            cells: [smallest, largest],
            f1: ends(Metric::F1),
            auroc: ends(Metric::Auroc),
            overlap: [in_smallest, in_largest],
        })
    }
}

/// A test of changes of models, where they are enough.
fn enough(
    changes: &[f64],
    test: impl Fn(&[f64]) -> Result<TestResult, scfm_stats::Error>,
) -> Result<Result<TestResult, Undefined>> {
    if changes.len() < TIERS {
        return Ok(Err(Undefined::TooFew {
            what: "models of different weights",
            n: changes.len(),
            needed: TIERS,
        }));
    }
    // Those without a change are units too, though the tests leave them out.
    Ok(defined(test(changes))?.map(|found| TestResult {
        n: changes.len(),
        n_unit: "model",
        ..found
    }))
}

/// Wilcoxon's test of changes around 0, with their mean and its Student interval.
fn mean_change(changes: &[f64]) -> Result<Result<TestResult, Undefined>> {
    enough(changes, |changes| {
        let ranked = wilcoxon_signed_rank(changes, Zeros::Drop)?;
        let mean = one_sample_t(changes, 0.0)?;
        Ok(TestResult {
            effect: mean.effect,
            effect_kind: mean.effect_kind,
            ci: mean.ci,
            ..ranked
        })
    })
}

fn table(rows: &[Row]) -> Result<Table> {
    let cells = |end: usize| Column::counts(rows.iter().map(|row| row.cells[end]));
    let ends = |of: fn(&Row) -> [f64; 2], end: usize| Column::numbers(rows.iter().map(|row| of(row)[end]));
    Ok(Table::new(rows.len())
        .with("model", Column::text(rows.iter().map(|row| &row.model)))?
        .with("reference", Column::text(rows.iter().map(|row| row.reference)))?
        .with("smallest", cells(0))?
        .with("largest", cells(1))?
        .with("f1_smallest", ends(|row| row.f1, 0))?
        .with("f1_largest", ends(|row| row.f1, 1))?
        .with("auroc_smallest", ends(|row| row.auroc, 0))?
        .with("auroc_largest", ends(|row| row.auroc, 1))?
        .with("jaccard_smallest", ends(|row| row.overlap, 0))?
        .with("jaccard_largest", ends(|row| row.overlap, 1))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_models_that_all_fall_are_the_least_that_says_so() {
        let changes = [-0.01, -0.02, -0.03, -0.04, -0.05, -0.06];
        let few = mean_change(&changes[..5]).unwrap();
        assert!(
            matches!(few, Err(Undefined::TooFew { n: 5, needed: 6, .. })),
            "{few:?}"
        );
        let all = mean_change(&changes).unwrap().unwrap();
        assert!((all.effect + 0.035).abs() < 1e-12 && all.n == 6 && all.n_unit == "model");
        // Two of the 2⁶ ways to deal signs.
        assert!((all.p.p() - 2.0 / 64.0).abs() < 1e-12);
        assert!(all.ci.unwrap().high < 0.0);
        let rises = enough(&changes, sign_test).unwrap().unwrap();
        assert!((rises.p.p() - 2.0 / 64.0).abs() < 1e-12 && rises.effect == 0.0);
    }
}
