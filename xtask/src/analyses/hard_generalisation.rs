//! `hard-generalisation`: does the edge add anything when target genes, or both genes, are new to the model?

use anyhow::Result;
use scfm_baselines::{
    BoostedTrees, Difference, GainParams, Generalisation, GeneralisationParams, Learner, Split,
    generalisation,
};
use scfm_core::{Column, Table};
use scfm_report::{Effect, forest};
use scfm_stats::Undefined;

use super::Desk;

pub const ID: &str = "hard-generalisation";

/// Replicates of intervals that have no closed form; those of AUROC have one.
const MOST_REPLICATES: usize = 1000;

/// The cells of learner × split, the first of which is `incremental-value`'s own and is shown beside the others.
const CELLS: [(Learner, Split); 6] = [
    (Learner::Logistic, Split::Perturbation),
    (Learner::Logistic, Split::Target),
    (Learner::Logistic, Split::Joint),
    (Learner::Trees, Split::Perturbation),
    (Learner::Trees, Split::Target),
    (Learner::Trees, Split::Joint),
];

pub fn run(desk: &mut Desk<'_>) -> Result<()> {
    let candidates = match desk.candidates()? {
        Ok(candidates) => candidates,
        Err(reason) => return desk.undefined_all(ID, &reason),
    };
    let parameters = &desk.record.context.parameters;
    let params = GeneralisationParams {
        n_folds: parameters.folds,
        trees: BoostedTrees {
            n_trees: parameters.boosted_trees,
            ..BoostedTrees::default()
        },
        gain: GainParams {
            n_two_way: parameters.bootstrap.min(MOST_REPLICATES),
            ..GainParams::default()
        },
        ..GeneralisationParams::default()
    };
    let n = Some(candidates.responses().perturbed().len());
    let mut cells = Vec::new();
    for (i, (learner, split)) in CELLS.into_iter().enumerate() {
        let cell = format!("{}-{}", learner.as_str(), split.as_str());
        let found = match generalisation(&candidates, split, learner, &params, desk.seeds()) {
            Ok(found) => found,
            Err(scfm_baselines::Error::Stats(scfm_stats::Error::Undefined(reason))) => {
                if i > 0 {
                    undefined(desk, &cell, &params.gain.recall_at, &reason)?;
                }
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if i > 0 {
            let gain = &found.gain;
            let is_random = learner == Learner::Trees;
            desk.test(&format!("{ID}/delta-{cell}"), &gain.difference, is_random)?;
            let figures = [("auprc".to_owned(), gain.precision)].into_iter().chain(
                gain.recall
                    .iter()
                    .map(|(k, recall)| (format!("recall-{k}"), *recall)),
            );
            for (metric, difference) in figures {
                let Difference { value, interval } = difference;
                desk.figure(
                    &format!("{ID}/{metric}-{cell}"),
                    Ok(value),
                    Some(interval),
                    n,
                    true,
                )?;
            }
        }
        cells.push(found);
    }
    if cells.is_empty() {
        desk.say("No learner could be fitted under any split.");
        return Ok(());
    }

    desk.say(format!(
        "The question of incremental value under harder splits. Folds of targets hold out whole genes; of the {} blocks of \
         the joint grid each is predicted from pairs that share neither its perturbations nor its targets. Regressions see \
         both genes' mean, variance and dropout rate through natural splines, trees as they are; attention is added as \
         its raw score. Trees make something of any further feature that knows targets, and two of their fits differ by chance: \
         with them attention is compared with the same edges dealt out to other sources, {} times, which know as much of \
         targets and nothing of pairs. Average precision and recall are means over perturbations, with intervals from {} resamples of \
         perturbations and genes.",
        params.n_folds * params.n_folds,
        params.n_dealt,
        params.gain.n_two_way
    ));
    let effects: Vec<Effect> = cells
        .iter()
        .map(|cell| Effect {
            name: name(cell),
            estimate: cell.gain.delta(),
            ci: cell.gain.difference.as_ref().ok().and_then(|test| test.ci),
        })
        .collect();
    let figure = forest(
        &effects,
        "ΔAUROC of attention (held out, within perturbation)",
        Some(parameters.equivalence),
    );
    desk.show_figure(
        "What attention adds for each learner and split, with crossed 95 % intervals; the band is \
         the region in which a gain counts as none",
        figure,
    );
    desk.keep_table(
        "hard_generalisation",
        "Performance on held-out pairs without and with attention",
        table(&cells)?,
    )
}

fn name(cell: &Generalisation) -> String {
    let learner = match cell.learner {
        Learner::Logistic => "logistic regression",
        Learner::Trees => "boosted trees",
    };
    let split = match cell.split {
        Split::Perturbation => "new perturbations",
        Split::Target => "new targets",
        Split::Joint => "new pairs",
    };
    format!("{learner}, {split}")
}

/// Registers every test of a cell as undefined.
fn undefined(desk: &mut Desk<'_>, cell: &str, ks: &[usize], reason: &Undefined) -> Result<()> {
    let metrics = ["delta".to_owned(), "auprc".to_owned()]
        .into_iter()
        .chain(ks.iter().map(|k| format!("recall-{k}")));
    for metric in metrics {
        let id = format!("{ID}/{metric}-{cell}");
        desk.registry.undefined(&id, reason.to_string())?;
    }
    Ok(())
}

fn table(cells: &[Generalisation]) -> Result<Table> {
    let numbers = |of: &dyn Fn(&Generalisation) -> f64| Column::numbers(cells.iter().map(of));
    let test = |cell: &Generalisation| cell.gain.difference.clone().ok();
    let mut table = Table::new(cells.len())
        .with("model", Column::text(cells.iter().map(name)))?
        .with("auroc_genes", numbers(&|c| c.genes))?
        .with("auroc_without_attention", numbers(&|c| c.gain.without))?
        .with("auroc_with_attention", numbers(&|c| c.gain.with))?
        .with("delta_auroc", numbers(&|c| c.gain.delta()))?
        .with(
            "ci_low",
            numbers(&|c| test(c).and_then(|t| t.ci).map_or(f64::NAN, |ci| ci.low)),
        )?
        .with(
            "ci_high",
            numbers(&|c| test(c).and_then(|t| t.ci).map_or(f64::NAN, |ci| ci.high)),
        )?
        .with("p", numbers(&|c| test(c).map_or(f64::NAN, |t| t.p.p())))?
        .with("delta_auprc", numbers(&|c| c.gain.precision.value))?
        .with("auprc_low", numbers(&|c| c.gain.precision.interval.low))?
        .with("auprc_high", numbers(&|c| c.gain.precision.interval.high))?;
    for (i, &(k, _)) in cells[0].gain.recall.iter().enumerate() {
        let recall = |c: &Generalisation| c.gain.recall[i].1;
        table = table
            .with(format!("delta_recall_{k}"), numbers(&|c| recall(c).value))?
            .with(format!("recall_{k}_low"), numbers(&|c| recall(c).interval.low))?
            .with(format!("recall_{k}_high"), numbers(&|c| recall(c).interval.high))?;
    }
    Ok(table)
}
