//! `per-tf`: is the recovery of the reference carried by a few transcription factors?

use anyhow::Result;
use scfm_baselines::features::{DETECTION, MEAN, VARIANCE};
use scfm_core::{Column, Table};
use scfm_grn::{TfClass, TfComparison, TfRecovery, compare_tfs, feature_of_tfs, tf_recovery};
use scfm_report::{Block, ScoreSet, auroc_distributions};
use scfm_stats::Undefined;

use super::Desk;
use crate::relations::universe;

pub const ID: &str = "per-tf";

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
    let tfs = tf_recovery(scores.view(), &universe)?;
    if tfs.is_empty() {
        desk.blocks.push(Block::Ledger(universe.ledger().clone()));
        return desk.undefined_all(ID, "no TF has both a target and another gene with a score");
    }

    let feature =
        |name| feature_of_tfs(&tfs, &evidence.features, name).expect("the stage of features computes it");
    let degree = reference.out_degree(universe.tfs());
    let regulon = tfs.iter().map(|tf| {
        let row = universe.tfs().position(tf.tf.as_str());
        row.map_or(f64::NAN, |row| degree[row])
    });
    let quantities = [
        ("mean", feature(MEAN)),
        ("variance", feature(VARIANCE)),
        ("detection", feature(DETECTION)),
        ("regulon-size", regulon.collect()),
        (
            "evaluable-targets",
            tfs.iter().map(|tf| tf.n_pos as f64).collect(),
        ),
    ];
    let classes = &evidence.relations.tf_classes;
    let seeds = desk.seeds();
    let compared = compare_tfs(
        &tfs,
        classes,
        &quantities,
        desk.record.context.parameters.permutations,
        |i| seeds.stream(ID, "classes", i),
    )?;

    if compared.n_master + compared.n_other == 0 {
        let reason = format!(
            "no TF of the reference is in the table of classes ({})",
            classes.name()
        );
        desk.registry.not_run("per-tf/master-vs-other", reason)?;
    } else {
        desk.test("per-tf/master-vs-other", &compared.master_vs_other, true)?;
    }
    for (name, correlation) in &compared.correlations {
        let value = correlation
            .as_ref()
            .map(|test| test.effect)
            .map_err(Undefined::clone);
        let ci = correlation.as_ref().ok().and_then(|test| test.ci);
        desk.figure(&format!("per-tf/auroc-{name}"), value, ci, Some(tfs.len()), false)?;
    }
    let n = tfs.len();
    let share = |holds: &dyn Fn(&TfRecovery) -> bool| tfs.iter().filter(|tf| holds(tf)).count();
    let (n_above, n_single) = (share(&TfRecovery::is_above_chance), share(&|tf| tf.n_pos == 1));
    let of_all = |count: usize| Ok(count as f64 / n as f64);
    desk.figure("per-tf/above-chance", of_all(n_above), None, Some(n), false)?;
    desk.figure("per-tf/single-target", of_all(n_single), None, Some(n), false)?;

    say(desk, &tfs, &compared, n_above, n_single, classes.name());
    show(desk, &tfs, &compared);
    let table = table(&tfs, &compared, &quantities)?;
    desk.keep_table(
        "per_tf",
        "AUROC of each TF among its own candidates, with Newcombe's interval",
        table,
    )?;
    desk.blocks.push(Block::Ledger(universe.ledger().clone()));
    Ok(())
}

fn say(
    desk: &mut Desk<'_>,
    tfs: &[TfRecovery],
    compared: &TfComparison,
    n_above: usize,
    n_single: usize,
    table: &str,
) {
    let n = tfs.len();
    desk.say(format!(
        "{n} TFs can be evaluated; the 95 % interval of {n_above} lies above 0.5. {n_single} of them have a single evaluable \
         target: such an AUROC is the rank of one gene, uniform between 0 and 1 under chance, and no interval around it \
         can exclude 0.5."
    ));
    desk.say(format!(
        "Classes are those of {table}: {} master regulators, {} TFs of other classes, {} TFs without a class, which take no part \
         in the comparison. Its p-value permutes classes over TFs; it takes the TFs' AUROCs as exchangeable, although those \
         of one target are noisier than those of many.",
        compared.n_master,
        compared.n_other,
        n - compared.n_master - compared.n_other
    ));
}

fn show(desk: &mut Desk<'_>, tfs: &[TfRecovery], compared: &TfComparison) {
    let of = |class: Option<TfClass>| -> Vec<f64> {
        let members = tfs.iter().zip(&compared.classes).filter(|(_, of)| **of == class);
        members.map(|(tf, _)| tf.auroc).collect()
    };
    let groups = TfClass::ALL
        .map(Some)
        .into_iter()
        .chain([None])
        .map(|class| (class.map_or("no class", TfClass::as_str), of(class)))
        .filter(|(_, values)| !values.is_empty())
        .collect::<Vec<_>>();
    let sets: Vec<ScoreSet<'_>> = groups
        .iter()
        .map(|(name, values)| ScoreSet { name, values })
        .collect();
    desk.show_figure("AUROC of each TF by its class", auroc_distributions(&sets));
}

fn table(tfs: &[TfRecovery], compared: &TfComparison, quantities: &[(&str, Vec<f64>)]) -> Result<Table> {
    let classes = compared
        .classes
        .iter()
        .map(|class| class.map(|c| c.as_str().to_owned()));
    let mut table = Table::new(tfs.len())
        .with("tf", Column::text(tfs.iter().map(|t| &t.tf)))?
        .with("class", Column::Text(classes.collect()))?
        .with("n_pos", Column::counts(tfs.iter().map(|t| t.n_pos)))?
        .with("n_neg", Column::counts(tfs.iter().map(|t| t.n_neg)))?
        .with("auroc", Column::numbers(tfs.iter().map(|t| t.auroc)))?
        .with("ci_low", Column::numbers(tfs.iter().map(|t| t.ci.low)))?
        .with("ci_high", Column::numbers(tfs.iter().map(|t| t.ci.high)))?;
    for (name, values) in quantities.iter().filter(|(name, _)| *name != "evaluable-targets") {
        table.push(name.replace('-', "_"), Column::numbers(values.iter().copied()))?;
    }
    Ok(table)
}
