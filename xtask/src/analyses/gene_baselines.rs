//! `gene-baselines`: does a property of the target alone, with no pair in it, do as well as an edge?

use anyhow::Result;
use scfm_baselines::{BaselineTest, gene_baselines};
use scfm_core::Column;
use scfm_report::{Block, Effect, ScoreSet, auroc_distributions, forest};
use scfm_stats::CrossedLimits;

use super::Desk;

pub const ID: &str = "gene-baselines";

pub fn run(desk: &mut Desk<'_>) -> Result<()> {
    let candidates = match desk.candidates()? {
        Ok(candidates) => candidates,
        Err(reason) => return desk.undefined_all(ID, &reason),
    };
    let result = gene_baselines(&candidates, &CrossedLimits::default())?;
    for (edge, tests) in [
        ("correlation", &result.against_correlation),
        ("attention", &result.against_attention),
    ] {
        for BaselineTest { baseline, test } in tests {
            desk.test(
                &format!("gene-baselines/{}-vs-{edge}", baseline.replace('_', "-")),
                test,
                false,
            )?;
        }
    }
    if desk.evidence.reference.is_none() {
        let reason = "no reference network, so no out-degree";
        desk.registry
            .not_run("gene-baselines/out-degree-vs-correlation", reason)?;
    }
    let mean_of = |name: &str| match result.scores.iter().find(|(score, _)| *score == name) {
        Some((_, Ok(crossed))) => Ok(crossed.mean),
        Some((_, Err(reason))) => Err(reason.clone()),
        None => Ok(f64::NAN),
    };
    let gain = mean_of("response_frequency").and_then(|frequency| Ok(frequency - mean_of("attention")?));
    let n = candidates.responses().perturbed().len();
    desk.figure(
        "gene-baselines/de-frequency-vs-attention",
        gain,
        None,
        Some(n),
        false,
    )?;

    desk.say(
        "Every candidate target is scored by one number of its own: variance, mean or detection over control cells, its \
         out-degree in the reference network, or how often it responds to the other perturbations. None of them knows \
         which gene was perturbed.",
    );
    let sets: Vec<(String, Vec<f64>)> = result
        .per_perturbation
        .columns()
        .filter_map(|(name, column)| match column {
            Column::F64(values) => {
                let shown = name.trim_start_matches("auroc_").replace('_', " ");
                Some((shown, values.iter().map(|v| v.unwrap_or(f64::NAN)).collect()))
            }
            _ => None,
        })
        .collect();
    let sets: Vec<ScoreSet<'_>> = sets
        .iter()
        .map(|(name, values)| ScoreSet { name, values })
        .collect();
    desk.show_figure(
        "AUROC of each perturbation: edge scores and scores of the target alone",
        auroc_distributions(&sets),
    );
    let effects: Vec<Effect> = [
        ("|ρ|", &result.against_correlation),
        ("attention", &result.against_attention),
    ]
    .into_iter()
    .flat_map(|(edge, tests)| tests.iter().map(move |test| (edge, test)))
    .filter_map(|(edge, BaselineTest { baseline, test })| {
        let test = test.as_ref().ok()?;
        let name = format!("{} − {edge}", baseline.replace('_', " "));
        Some(Effect {
            name,
            estimate: test.effect,
            ci: test.ci,
        })
    })
    .collect();
    if !effects.is_empty() {
        let figure = forest(&effects, "difference of mean AUROC", None);
        desk.show_figure(
            "Gene-level scores against edge scores, with crossed 95 % intervals",
            figure,
        );
    }
    desk.keep_table(
        "gene_baselines",
        "AUROC per perturbation",
        result.per_perturbation,
    )?;
    desk.blocks.push(Block::Ledger(candidates.ledger().clone()));
    Ok(())
}
