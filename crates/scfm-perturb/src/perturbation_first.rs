use ndarray::{Array2, ArrayView2};
use scfm_core::{Ledger, Responses, Seeds, Table};

use crate::Error;
use crate::evaluation::{AurocDifference, Evaluable, EvaluationParams, MeanAuroc, Stream};

/// Scores of every (perturbed gene, target), in the shape of the responses, `NaN` where undefined.
#[derive(Debug, Clone, Copy)]
pub struct EdgeScores<'a> {
    /// Attention, source = perturbed gene.
    pub attention: ArrayView2<'a, f64>,
    /// Signed correlation; targets are ranked by its magnitude.
    pub correlation: ArrayView2<'a, f64>,
    /// In how many cells both genes were tokens, where attention was measured at all: what attention must beat to
    /// be more than co-detection.
    pub codetection: Option<ArrayView2<'a, f64>>,
}

/// Result of [`perturbation_first`].
#[derive(Debug, Clone)]
pub struct PerturbationFirst {
    /// Attention against 0.5.
    pub attention: MeanAuroc,
    /// Magnitude of correlation against 0.5.
    pub correlation: MeanAuroc,
    /// Attention minus correlation against 0.
    pub difference: AurocDifference,
    /// The co-detection count against 0.5, for comparison, where it was given.
    pub codetection: Option<MeanAuroc>,
    /// Number of perturbations that were evaluated.
    pub n_evaluable: usize,
    /// AUROCs per perturbation: `perturbation, n_pos, n_neg, auroc_attention, auroc_correlation` and, where given,
    /// `auroc_codetection`.
    pub per_perturbation: Table,
    /// Perturbations and candidates that were left out, by reason.
    pub ledger: Ledger,
}

/// Ranks each perturbation's candidate targets by edge score from the perturbed gene, against its responses: analysis
/// 7 of the battery (arXiv:2602.17532). All scores rank the same candidates, those on which each is defined.
///
/// The baseline configuration is the same function over responses called with [`DeParams::baseline`], and scores
/// from the fewer control cells. Random numbers come from the streams `bootstrap <score>` of `analysis`.
///
/// [`DeParams::baseline`]: crate::DeParams::baseline
///
/// # Errors
/// [`Error::Stats`] for scores that cannot be ranked.
///
/// # Panics
/// When scores have another shape than the responses.
pub fn perturbation_first(
    scores: EdgeScores<'_>,
    responses: &Responses,
    params: EvaluationParams,
    seeds: Seeds,
    analysis: &str,
) -> Result<PerturbationFirst, Error> {
    let magnitude: Array2<f64> = scores.correlation.mapv(f64::abs);
    let mut named = vec![("attention", scores.attention), ("correlation", magnitude.view())];
    named.extend(scores.codetection.map(|counts| ("codetection", counts)));
    let all: Vec<_> = named.iter().map(|&(_, scores)| scores).collect();
    let evaluable = Evaluable::new(responses, &all, params);

    let stream = |purpose| Stream {
        seeds,
        analysis,
        purpose,
    };
    Ok(PerturbationFirst {
        attention: evaluable.mean_auroc(scores.attention, stream("bootstrap attention"))?,
        correlation: evaluable.mean_auroc(magnitude.view(), stream("bootstrap correlation"))?,
        difference: evaluable.difference(
            scores.attention,
            magnitude.view(),
            stream("bootstrap attention - correlation"),
        )?,
        codetection: scores
            .codetection
            .map(|counts| evaluable.mean_auroc(counts, stream("bootstrap codetection")))
            .transpose()?,
        n_evaluable: evaluable.perturbed().len(),
        per_perturbation: evaluable.per_perturbation(&named)?,
        ledger: evaluable.ledger().clone(),
    })
}
