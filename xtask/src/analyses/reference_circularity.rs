//! `reference-circularity`: does recovery change when only reference pairs with a known mode count?

use anyhow::Result;
use scfm_core::{Column, Table};
use scfm_grn::{Circularity, circularity};
use scfm_report::Block;
use scfm_stats::{CrossedAuroc, CrossedLimits, Undefined};

use super::Desk;
use crate::relations::universe;

pub const ID: &str = "reference-circularity";

pub fn run(desk: &mut Desk<'_>) -> Result<()> {
    let evidence = desk.evidence;
    let Some(reference) = &evidence.reference else {
        return Ok(desk.registry.not_run_rest(ID, "no reference network")?);
    };
    let mut universe = match universe(reference, &evidence.panel)? {
        Ok(universe) => universe,
        Err(reason) => return desk.undefined_all(ID, &reason),
    };
    let scores = evidence
        .scored_attention()
        .align(universe.tfs(), universe.targets());
    universe.restrict_to_defined(&[scores.view()]);
    let found = circularity(scores.view(), &universe, reference, &CrossedLimits::default())?;

    let test = found
        .difference
        .as_ref()
        .map(|d| d.test.clone())
        .map_err(Undefined::clone);
    desk.test("reference-circularity/known-mode-vs-all", &test, false)?;
    let (n_all, n_known) = (universe.tfs().len(), found.tfs.len());
    for (id, value, n) in [
        ("global-all", found.all.clone(), n_all),
        ("global-known-mode", found.known.clone(), n_known),
        ("per-tf-known-mode", found.mean_known(), n_known),
        ("above-chance-known-mode", found.share_above_chance(), n_known),
    ] {
        desk.figure(&format!("{ID}/{id}"), value, None, Some(n), false)?;
    }

    let n_above = found.tfs.iter().filter(|tf| tf.ci.low > 0.5).count();
    desk.say(format!(
        "{} of {} reference pairs among the candidates have a known mode, activation or repression on at least one line, from {} \
         TFs; the interval of {n_above} of these TFs lies above 0.5. Both label sets rank the same candidates of the same TFs: \
         pairs of unknown mode count as any pair that the reference does not have. The test takes the difference of both label \
         sets' influences, so that what they share drops out.",
        found.n_known,
        found.n_pairs,
        found.tfs.len()
    ));
    desk.say(without_unknown(&found.without_unknown));
    desk.keep_table(
        "reference_circularity",
        "Recovery of all pairs of the reference and of those with a known mode",
        summary(&found)?,
    )?;
    desk.keep_table(
        "reference_circularity_per_tf",
        "AUROC of each TF with a pair of known mode, against all its pairs and against those",
        per_tf(&found)?,
    )?;
    desk.blocks.push(Block::Ledger(universe.ledger().clone()));
    Ok(())
}

fn without_unknown(difference: &Result<CrossedAuroc, Undefined>) -> String {
    match difference {
        Ok(crossed) => format!(
            "With pairs of unknown mode left out, neither positive nor negative, the difference is {:+.4} (p = {:.2}).",
            crossed.mean,
            crossed.test.p.p()
        ),
        Err(reason) => format!("With pairs of unknown mode left out the difference is undefined: {reason}."),
    }
}

fn summary(found: &Circularity) -> Result<Table> {
    let value = |v: &Result<f64, Undefined>| v.clone().unwrap_or(f64::NAN);
    let mean = |of: &dyn Fn(&scfm_grn::TfModes) -> f64| {
        found.tfs.iter().map(of).sum::<f64>() / found.tfs.len() as f64
    };
    let rows = [
        ("all pairs, all TFs", value(&found.all), f64::NAN, found.n_pairs),
        (
            "all pairs, TFs with a known mode",
            value(&found.all_of_known_tfs),
            mean(&|tf| tf.all),
            found.tfs.iter().map(|tf| tf.n_all).sum(),
        ),
        (
            "pairs of known mode",
            value(&found.known),
            mean(&|tf| tf.known),
            found.tfs.iter().map(|tf| tf.n_known).sum(),
        ),
    ];
    Ok(Table::new(rows.len())
        .with("labels", Column::text(rows.iter().map(|row| row.0)))?
        .with("pooled_auroc", Column::numbers(rows.iter().map(|row| row.1)))?
        .with("mean_tf_auroc", Column::numbers(rows.iter().map(|row| row.2)))?
        .with("n_pos", Column::counts(rows.iter().map(|row| row.3)))?)
}

fn per_tf(found: &Circularity) -> Result<Table> {
    let tfs = &found.tfs;
    Ok(Table::new(tfs.len())
        .with("tf", Column::text(tfs.iter().map(|t| &t.tf)))?
        .with("n_all", Column::counts(tfs.iter().map(|t| t.n_all)))?
        .with("n_known", Column::counts(tfs.iter().map(|t| t.n_known)))?
        .with("auroc_all", Column::numbers(tfs.iter().map(|t| t.all)))?
        .with("auroc_known", Column::numbers(tfs.iter().map(|t| t.known)))?
        .with("ci_low", Column::numbers(tfs.iter().map(|t| t.ci.low)))?
        .with("ci_high", Column::numbers(tfs.iter().map(|t| t.ci.high)))?)
}
