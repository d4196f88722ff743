//! A list of edges against one reference network: how well it recovers it, and what can be said about that.

use anyhow::Result;
use ndarray::{Array2, ArrayView2, Axis};
use scfm_core::{Column, Table};
use scfm_grn::{CandidateUniverse, Recovery, recovery_of_scores};
use scfm_stats::{
    CrossedAuroc, CrossedLimits, LabelledGrid, TestResult, Undefined, crossed_auroc, defined,
    gene_permutation_auroc,
};

use crate::analyses::Desk;

/// With fewer reference pairs among the candidates nothing is decided.
pub const MIN_POSITIVES: usize = 3;
/// How many of the best pairs are looked at, beside as many as there are reference pairs.
pub const TOP: [usize; 5] = [20, 50, 100, 200, 500];

/// How a list fares against a reference.
pub struct Judgement {
    pub recovery: Recovery,
    /// TFs with a target and another candidate.
    pub n_tfs: usize,
    /// Mean AUROC over TFs, clustered by TF and by target.
    pub crossed: Result<CrossedAuroc, Undefined>,
    /// The same by permutation of genes, which needs no number of clusters, but says only whether there is any
    /// association.
    pub permutation: Result<TestResult, Undefined>,
}

/// Judges `scores`, `[tf, target]`, against `universe`.
pub fn judge<E>(
    desk: &Desk<'_, E>,
    reference: &str,
    universe: &CandidateUniverse,
    scores: ArrayView2<'_, f64>,
) -> Result<Judgement> {
    let mut recovery = recovery_of_scores(scores, universe, &[])?;
    let ks: Vec<usize> = TOP.into_iter().filter(|&k| k <= recovery.n_pairs).collect();
    recovery = recovery_of_scores(scores, universe, &ks)?;
    let rows = decisive_rows(universe);
    let select = |table: ArrayView2<'_, bool>| table.select(Axis(0), &rows);
    let (positive, candidate) = (select(universe.positive()), select(universe.candidate()));
    let labels = LabelledGrid {
        positive: positive.view(),
        candidate: candidate.view(),
    };
    let scores: Array2<f64> = scores.select(Axis(0), &rows);
    let (crossed, permutation) = if recovery.n_pos < MIN_POSITIVES || rows.is_empty() {
        let reason = Undefined::TooFew {
            what: "reference pairs among the candidates",
            n: recovery.n_pos,
            needed: MIN_POSITIVES,
        };
        (Err(reason.clone()), Err(reason))
    } else {
        let n_permutations = desk.record.context.parameters.permutations;
        let seeds = desk.seeds();
        let stream = |i| seeds.stream("score", &format!("gene permutation {reference}"), i);
        (
            defined(crossed_auroc(scores.view(), labels, &CrossedLimits::default()))?,
            defined(gene_permutation_auroc(
                scores.view(),
                labels,
                n_permutations,
                stream,
            ))?,
        )
    };
    Ok(Judgement {
        recovery,
        n_tfs: rows.len(),
        crossed,
        permutation,
    })
}

/// TFs with both classes among their candidates.
fn decisive_rows(universe: &CandidateUniverse) -> Vec<usize> {
    let labels = universe.grid();
    (0..labels.candidate.nrows())
        .filter(|&row| {
            let has = |class: bool| {
                let mut cells = labels
                    .candidate
                    .row(row)
                    .into_iter()
                    .zip(labels.positive.row(row));
                cells.any(|(&candidate, &positive)| candidate && positive == class)
            };
            has(true) && has(false)
        })
        .collect()
}

/// Recovery of every reference, one row each.
pub fn table(judged: &[(String, Judgement)]) -> Result<Table> {
    let numbers = |of: &dyn Fn(&Judgement) -> Option<f64>| {
        Column::numbers(judged.iter().map(|(_, j)| of(j).unwrap_or(f64::NAN)))
    };
    let counts = |of: &dyn Fn(&Judgement) -> usize| Column::counts(judged.iter().map(|(_, j)| of(j)));
    let crossed = |of: fn(&CrossedAuroc) -> Option<f64>| {
        numbers(&move |j: &Judgement| j.crossed.as_ref().ok().and_then(of))
    };
    let mut table = Table::new(judged.len())
        .with("reference", Column::text(judged.iter().map(|(name, _)| name)))?
        .with("n_pairs", counts(&|j| j.recovery.n_pairs))?
        .with("n_pos", counts(&|j| j.recovery.n_pos))?
        .with("n_missing", counts(&|j| j.recovery.n_missing))?
        .with("n_missing_pos", counts(&|j| j.recovery.n_missing_pos))?
        .with("auroc", numbers(&|j| j.recovery.auroc.clone().ok()))?
        .with(
            "auprc",
            numbers(&|j| Some(j.recovery.average_precision.as_ref().ok()?.value)),
        )?
        .with(
            "base_rate",
            numbers(&|j| Some(j.recovery.average_precision.as_ref().ok()?.base_rate)),
        )?
        .with(
            "early_precision_ratio",
            numbers(&|j| j.recovery.early_precision_ratio.clone().ok()),
        )?
        .with(
            "f1_at_n_pos",
            numbers(&|j| Some(j.recovery.top_k[0].as_ref().ok()?.f1)),
        )?;
    for (i, k) in TOP.into_iter().enumerate() {
        let f1 = |j: &Judgement| Some(j.recovery.top_k.get(i + 1)?.as_ref().ok()?.f1);
        table.push(format!("f1_at_{k}"), numbers(&f1))?;
    }
    Ok(table
        .with("n_tfs", counts(&|j| j.n_tfs))?
        .with("mean_auroc", crossed(|c| Some(c.mean)))?
        .with("ci_low", crossed(|c| Some(c.test.ci?.low)))?
        .with("ci_high", crossed(|c| Some(c.test.ci?.high)))?
        .with("p", crossed(|c| Some(c.test.p.p())))?
        .with(
            "p_permutation",
            numbers(&|j| Some(j.permutation.as_ref().ok()?.p.p())),
        )?)
}
