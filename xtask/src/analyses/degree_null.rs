//! `degree-null`: how much of the recovery follows from how many partners each gene has in the reference?

use anyhow::Result;
use ndarray::{Array2, ArrayView2};
use scfm_core::{Column, EdgeKind, Table};
use scfm_grn::{CandidateUniverse, DegreeNull, DegreeNullParams, GeneNames, degree_null};
use scfm_report::{Block, ScoreSet, auroc_distributions};
use scfm_stats::Undefined;

use super::Desk;

pub const ID: &str = "degree-null";

/// Draws for scores that are only shown beside attention, and dots that a figure can bear.
const FEW: usize = 999;

pub fn run(desk: &mut Desk<'_>) -> Result<()> {
    let evidence = desk.evidence;
    let Some(reference) = &evidence.reference else {
        return Ok(desk.registry.not_run_rest(ID, "no reference network")?);
    };
    let universe =
        match CandidateUniverse::new(reference, &evidence.panel, &evidence.panel, GeneNames::default()) {
            Err(error @ scfm_grn::Error::NoSharedGenes { .. }) => {
                return desk.undefined_all(ID, &error.to_string());
            }
            other => other?,
        };
    let scores = [
        ("attention", evidence.scored_attention()),
        ("|Spearman ρ|", &evidence.correlation),
        ("co-detection", &evidence.codetection),
    ];
    let scores = scores.map(|(name, edges)| {
        let scores = edges.align(universe.tfs(), universe.targets());
        match edges.kind() {
            EdgeKind::Spearman => (name, scores.mapv_into(f64::abs)),
            _ => (name, scores),
        }
    });
    judge(desk, universe, &scores)?;
    Ok(())
}

/// Registers the first of `scores`, `[tf, target]`, and shows the others beside it, all on the pairs where each is
/// defined; returns the first where it has a value.
pub fn judge<E>(
    desk: &mut Desk<'_, E>,
    mut universe: CandidateUniverse,
    scores: &[(&str, Array2<f64>)],
) -> Result<Option<DegreeNull>> {
    let views: Vec<_> = scores.iter().map(|(_, table)| table.view()).collect();
    universe.restrict_to_defined(&views);
    let result = match draw(desk, views[0], &universe, scores[0].0, false)? {
        Ok(result) => result,
        Err(reason) => {
            desk.undefined_all(ID, &reason.to_string())?;
            desk.blocks.push(Block::Ledger(universe.ledger().clone()));
            return Ok(None);
        }
    };
    register(desk, &result)?;
    show(desk, &result, scores[0].0);

    let mut rows = vec![(scores[0].0, result)];
    for ((name, _), &scores) in scores.iter().zip(&views).skip(1) {
        if let Ok(result) = draw(desk, scores, &universe, name, true)? {
            rows.push((*name, result));
        }
    }
    desk.keep_table(
        "degree_null",
        "Observed AUROC = 0.5 + what degrees explain + the rest, for each score on the same pairs",
        decomposition(&rows)?,
    )?;
    desk.keep_table(
        "degree_null_per_tf",
        "AUROC of each TF among its own candidates, with Newcombe's interval, which holds for few targets",
        per_tf(&rows[0].1)?,
    )?;
    desk.keep_table(
        "degree_null_mixing",
        "Overlap (Jaccard) of the randomised networks with the reference by steps of the chain",
        mixing(&rows[0].1)?,
    )?;
    desk.blocks.push(Block::Ledger(universe.ledger().clone()));
    Ok(Some(rows.swap_remove(0).1))
}

fn draw<E>(
    desk: &Desk<'_, E>,
    scores: ArrayView2<'_, f64>,
    universe: &CandidateUniverse,
    name: &str,
    few: bool,
) -> Result<Result<DegreeNull, Undefined>> {
    let params = DegreeNullParams {
        n_networks: if few {
            FEW
        } else {
            desk.record.context.parameters.permutations
        },
        ..DegreeNullParams::default()
    };
    let seeds = desk.seeds();
    let stream = |purpose: &str, i| seeds.stream(ID, &format!("{name}: {purpose}"), i);
    Ok(degree_null(scores, universe, &params, stream)?)
}

fn register<E>(desk: &mut Desk<'_, E>, result: &DegreeNull) -> Result<()> {
    let n = Some(result.per_tf.len());
    desk.test("degree-null/curveball", &result.test, true)?;
    desk.test(
        "degree-null/label-shuffle",
        &Ok(result.label_shuffle.clone()),
        true,
    )?;
    desk.figure("degree-null/z", result.z.clone(), None, n, true)?;
    desk.figure(
        "degree-null/degree-share",
        Ok(result.degree_share()),
        None,
        n,
        true,
    )?;
    desk.figure(
        "degree-null/residual-share",
        Ok(result.residual_share()),
        None,
        n,
        true,
    )
}

fn show<E>(desk: &mut Desk<'_, E>, result: &DegreeNull, name: &str) {
    let mixing = &result.mixing;
    desk.say(format!(
        "{} pairs of the reference among {} candidates of {} TFs. Null networks keep the number of targets of each TF and \
         the number of TFs of each target; a TF is never its own target, and pairs without a score stay empty. A score \
         that knows the target alone has the same AUROC under all of them.",
        result.n_pos,
        result.n_pairs,
        result.per_tf.len(),
    ));
    let overlap = mixing.final_overlap();
    desk.say(match (mixing.n_networks, mixing.settled) {
        (1, _) => "No other network has these degrees, so that nothing can be said beyond them.".to_owned(),
        (n, true) => format!(
            "After {} steps of the chain the overlap with the reference had come to rest at {overlap:.3}; {n} of {} draws \
             differ.",
            mixing.steps,
            result.null.len()
        ),
        (n, false) => format!(
            "Caution: after {} steps of the chain the overlap with the reference, {overlap:.3}, was still falling; {n} of {} \
             draws differ. The p-value holds, since reference and draws are as far from a common start, but mean and \
             spread of the null lean towards the reference.",
            mixing.steps,
            result.null.len()
        ),
    });
    let few = |values: &[f64]| values.iter().copied().take(FEW).collect::<Vec<_>>();
    let (null, shuffled) = (few(&result.null), few(&result.shuffled));
    let per_tf: Vec<f64> = result.per_tf.iter().map(|tf| tf.auroc).collect();
    let sets = [
        ("observed", &[result.observed][..]),
        ("same degrees", &null),
        ("shuffled labels", &shuffled),
        ("each TF", &per_tf),
    ];
    let sets = sets.map(|(name, values)| ScoreSet { name, values });
    desk.show_figure(
        &format!(
            "Pooled AUROC of {name} against the reference, against networks of the same degrees and against shuffled \
             labels; below, the AUROC of each TF"
        ),
        auroc_distributions(&sets),
    );
}

fn decomposition(rows: &[(&str, DegreeNull)]) -> Result<Table> {
    let numbers = |of: &dyn Fn(&DegreeNull) -> f64| Column::numbers(rows.iter().map(|(_, r)| of(r)));
    let counts = |of: &dyn Fn(&DegreeNull) -> usize| Column::counts(rows.iter().map(|(_, r)| of(r)));
    Ok(Table::new(rows.len())
        .with("score", Column::text(rows.iter().map(|(name, _)| name)))?
        .with("observed", numbers(&|r| r.observed))?
        .with("degree_share", numbers(&DegreeNull::degree_share))?
        .with("residual_share", numbers(&DegreeNull::residual_share))?
        .with("null_mean", numbers(&|r| r.null_mean))?
        .with("null_sd", numbers(&|r| r.null_sd))?
        .with("z", numbers(&|r| r.z.clone().unwrap_or(f64::NAN)))?
        .with(
            "p",
            numbers(&|r| r.test.as_ref().map_or(f64::NAN, |test| test.p.p())),
        )?
        .with("label_z", numbers(&|r| r.shuffle_z.clone().unwrap_or(f64::NAN)))?
        .with("n_pos", counts(&|r| r.n_pos))?
        .with("n_pairs", counts(&|r| r.n_pairs))?
        .with("n_networks", counts(&|r| r.null.len()))?
        .with("n_different", counts(&|r| r.mixing.n_networks))?)
}

fn per_tf(result: &DegreeNull) -> Result<Table> {
    let tfs = &result.per_tf;
    Ok(Table::new(tfs.len())
        .with("tf", Column::text(tfs.iter().map(|t| &t.tf)))?
        .with("n_pos", Column::counts(tfs.iter().map(|t| t.n_pos)))?
        .with("n_neg", Column::counts(tfs.iter().map(|t| t.n_neg)))?
        .with("auroc", Column::numbers(tfs.iter().map(|t| t.auroc)))?
        .with("ci_low", Column::numbers(tfs.iter().map(|t| t.ci.low)))?
        .with("ci_high", Column::numbers(tfs.iter().map(|t| t.ci.high)))?)
}

fn mixing(result: &DegreeNull) -> Result<Table> {
    let overlap = &result.mixing.overlap;
    Ok(Table::new(overlap.len())
        .with("steps", Column::counts(overlap.iter().map(|&(steps, _)| steps)))?
        .with(
            "overlap",
            Column::numbers(overlap.iter().map(|&(_, overlap)| overlap)),
        )?)
}
