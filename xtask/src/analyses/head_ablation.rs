//! `head-ablation`: do edges lose their signal when the heads that carry most of it are silenced?

use anyhow::Result;
use scfm_ablation::{Altered, HALVES, RankedBy, perturbation_aurocs, rank_heads};
use scfm_core::{Column, Table};
use scfm_report::{ScoreSet, auroc_distributions};
use scfm_stats::{Moments, Undefined};

use super::Desk;
use super::silenced::{Bench, NO_MODEL, edge_table};

pub const ID: &str = "head-ablation";

pub fn run(desk: &mut Desk<'_>) -> Result<()> {
    if desk.record.list.is_some() {
        return Ok(desk.registry.not_run_rest(ID, NO_MODEL)?);
    }
    let bench = Bench::open(desk)?;
    let mut rows = Vec::new();
    for (test, series, draw) in [
        ("top-5", "best-perturbation-5", 0),
        ("random-5-first", "random-5", 0),
        ("random-5-second", "random-5", 1),
        ("random-5-third", "random-5", 2),
        ("entropy-matched-5", "entropy-matched-5", 0),
    ] {
        let mut row = bench.test_edges(desk, &format!("{ID}/{test}"), series, draw)?;
        test.clone_into(&mut row.series);
        rows.push(row);
    }
    let heads = &bench.ablation.heads;
    let of_best = best_heads(desk, &bench)?;
    let best = match of_best.len() {
        0 => Err(Undefined::TooFew {
            what: "perturbations that the first head of the other half can be judged by",
            n: 0,
            needed: 1,
        }),
        n => Ok(of_best.iter().sum::<f64>() / n as f64),
    };
    desk.figure("head-ablation/best-head", best, None, Some(of_best.len()), true)?;
    let aurocs: Vec<f64> = heads.iter().filter_map(|score| score.auroc).collect();
    let spread = match aurocs.len() {
        n @ 0..=1 => Err(Undefined::TooFew {
            what: "heads with an AUROC",
            n,
            needed: 2,
        }),
        _ => Ok(Moments::of(&aurocs).variance.sqrt()),
    };
    desk.figure(
        "head-ablation/head-spread",
        spread,
        None,
        Some(aurocs.len()),
        false,
    )?;

    let layer = desk.record.layer;
    desk.say(format!(
        "Heads are ranked on one half of the sources and targets and judged on the pairs of the other half, with which it \
         shares neither; the ranking here is by the responses to perturbations, that of the dose response by the reference \
         network. Edges are those of layer {layer}, extracted again from {} control cells with the heads silenced, and \
         compared with the intact model on the same cells. Attention of a layer cannot change by what is done at it or \
         above it: where no silenced head lies below layer {layer} there is nothing to test, and where one half has such \
         heads only the other is judged. The last column of differences holds out perturbations alone and is printed for \
         comparison: all perturbations rank the same targets, so that heads are then judged on genes that they were ranked \
         on.",
        desk.record.context.parameters.ablation_cells.min(desk.record.n_edge_cells)
    ));
    if !aurocs.is_empty() {
        let sets = [
            ("each head, mean", &aurocs),
            ("best head, each perturbation", &of_best),
        ];
        desk.show_figure(
            "Mean AUROC of the attention of each single head over all evaluable perturbations; and of each perturbation by the \
             head that ranks first on the other half",
            auroc_distributions(&sets.map(|(name, values)| ScoreSet { name, values })),
        );
    }
    desk.keep_table(
        "head_ablation",
        "Mean within-perturbation AUROC with heads silenced, minus intact",
        edge_table(&rows)?,
    )?;
    let chosen = chosen_heads(&bench)?;
    desk.show_table("Which heads each half is judged by", chosen);
    Ok(())
}

/// AUROC of each perturbation by the head that ranks first on the other half, at the targets of its own.
fn best_heads(desk: &Desk<'_>, bench: &Bench) -> Result<Vec<f64>> {
    let mut edges = [None, None];
    for half in HALVES {
        let ranked = rank_heads(&bench.ablation.heads, half, RankedBy::Perturbation);
        if let Some(&best) = ranked.as_ref().and_then(|heads| heads.first()) {
            edges[half] = Some(desk.evidence.head(best)?);
        }
    }
    let best = Altered::Halves {
        edges: [edges[0].as_ref(), edges[1].as_ref()],
        halves: &bench.ablation.halves,
        hold_out_targets: true,
    };
    Ok(perturbation_aurocs(
        best,
        &desk.evidence.responses,
        &bench.params,
    )?)
}

fn chosen_heads(bench: &Bench) -> Result<Table> {
    let ranked: Vec<_> = bench
        .ablation
        .conditions
        .iter()
        .filter(|seen| seen.condition.half.is_some())
        .collect();
    let heads = ranked.iter().map(|seen| {
        let heads = seen.condition.heads.iter().map(ToString::to_string);
        heads.collect::<Vec<_>>().join(" ")
    });
    Ok(Table::new(ranked.len())
        .with(
            "condition",
            Column::text(ranked.iter().map(|seen| seen.condition.name())),
        )?
        .with("heads", Column::text(heads))?
        .with(
            "n_reaching",
            Column::counts(ranked.iter().map(|seen| seen.reach.0)),
        )?
        .with(
            "fidelity",
            Column::numbers(ranked.iter().map(|seen| seen.largest)),
        )?)
}
