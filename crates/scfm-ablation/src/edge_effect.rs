use ndarray::{Array2, Axis};
use scfm_core::{EdgeMatrix, GeneId, Responses};
use scfm_perturb::{Evaluable, EvaluationParams};
use scfm_stats::{
    CrossedAuroc, CrossedLimits, EffectKind, LabelledGrid, TestResult, Undefined, Zeros, crossed_difference,
    defined, row_aurocs, tost, wilcoxon_signed_rank,
};

use crate::{Error, Halves};

/// How edges of an altered model are judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EdgeEffectParams {
    /// Positives and negatives that an evaluable perturbation needs among its candidates.
    pub min_positives: usize,
    /// As there.
    pub min_negatives: usize,
    /// Half-width of the region in which a difference of AUROCs counts as none.
    pub equivalence: f64,
    /// The smallest design that the crossed test decides on.
    pub limits: CrossedLimits,
}

/// Edges of an altered model.
#[derive(Debug, Clone, Copy)]
pub enum Altered<'a> {
    /// One intervention, judged by all pairs.
    Whole(&'a EdgeMatrix),
    /// An intervention for each half, whose heads were ranked on the other; a half that is missing is not judged.
    Halves {
        /// Edges by half.
        edges: [Option<&'a EdgeMatrix>; 2],
        /// The halves.
        halves: &'a Halves,
        /// Whether targets are held out like sources. Without, all targets of a half's sources are judged, on which the heads
        /// were ranked too: the weaker form of the literature, printed beside the other.
        hold_out_targets: bool,
    },
}

/// What an intervention does to the mean within-perturbation AUROC, altered minus intact.
#[derive(Debug, Clone)]
pub struct EdgeEffect {
    /// Mean AUROC of the intact model over the same pairs.
    pub intact: Result<f64, Undefined>,
    /// The registered test against 0.
    pub difference: Result<CrossedAuroc, Undefined>,
    /// Whether the difference lies within ± the region of equivalence.
    pub equivalence: Result<TestResult, Undefined>,
    /// Wilcoxon's test over perturbations, as published: anti-conservative, for comparison.
    pub naive: Result<TestResult, Undefined>,
    /// Perturbations that were judged.
    pub n: usize,
}

/// Compares edges of an altered model with those of the intact one, read from the same cells, on the pairs where both are
/// defined.
///
/// # Errors
/// [`Error::Stats`] for scores that cannot be ranked.
pub fn edge_effect(
    intact: &EdgeMatrix,
    altered: Altered<'_>,
    responses: &Responses,
    params: &EdgeEffectParams,
) -> Result<EdgeEffect, Error> {
    let altered = over_responses(altered, responses);
    let intact = intact.align(responses.perturbed(), responses.targets());
    let evaluable = Evaluable::new(responses, &[intact.view(), altered.view()], params.evaluation());
    let n = evaluable.perturbed().len();
    if n == 0 {
        let reason = Undefined::TooFew {
            what: "evaluable perturbations",
            n,
            needed: 1,
        };
        return Ok(EdgeEffect {
            intact: Err(reason.clone()),
            difference: Err(reason.clone()),
            equivalence: Err(reason.clone()),
            naive: Err(reason),
            n,
        });
    }
    let (intact, grid) = judged(&evaluable, responses, &intact);
    let (altered, _) = judged(&evaluable, responses, &altered);
    let aurocs: Vec<f64> = row_aurocs(intact.view(), grid)?.into_iter().flatten().collect();
    let difference = defined(crossed_difference(
        altered.view(),
        intact.view(),
        grid,
        &params.limits,
    ))?;
    let of_rows = match &difference {
        Ok(crossed) => crossed.per_row.clone(),
        Err(_) => {
            let altered: Vec<f64> = row_aurocs(altered.view(), grid)?.into_iter().flatten().collect();
            altered.iter().zip(&aurocs).map(|(a, b)| a - b).collect()
        }
    };
    Ok(EdgeEffect {
        intact: Ok(aurocs.iter().sum::<f64>() / n as f64),
        equivalence: match &difference {
            Ok(crossed) => equivalence(crossed, params.equivalence, n)?,
            Err(reason) => Err(reason.clone()),
        },
        naive: defined(wilcoxon_signed_rank(&of_rows, Zeros::Drop))?,
        difference,
        n,
    })
}

/// AUROC of each evaluable perturbation by edges, which may be others for each half.
///
/// # Errors
/// [`Error::Stats`] for scores that cannot be ranked.
pub fn perturbation_aurocs(
    edges: Altered<'_>,
    responses: &Responses,
    params: &EdgeEffectParams,
) -> Result<Vec<f64>, Error> {
    let scores = over_responses(edges, responses);
    let evaluable = Evaluable::new(responses, &[scores.view()], params.evaluation());
    if evaluable.perturbed().is_empty() {
        return Ok(Vec::new());
    }
    let (scores, grid) = judged(&evaluable, responses, &scores);
    Ok(row_aurocs(scores.view(), grid)?.into_iter().flatten().collect())
}

/// The rows of `scores` that are evaluable, and their labels.
fn judged<'a>(
    evaluable: &'a Evaluable,
    responses: &Responses,
    scores: &Array2<f64>,
) -> (Array2<f64>, LabelledGrid<'a>) {
    let of_evaluable = evaluable.responses();
    let genes = of_evaluable.perturbed().genes().iter();
    let position = |gene: &GeneId| responses.perturbed().position(gene.as_str());
    let rows: Vec<usize> = genes.filter_map(position).collect();
    let grid = LabelledGrid {
        positive: of_evaluable.positive(),
        candidate: of_evaluable.candidate(),
    };
    (scores.select(Axis(0), &rows), grid)
}

impl EdgeEffectParams {
    fn evaluation(&self) -> EvaluationParams {
        EvaluationParams {
            min_positives: self.min_positives,
            min_negatives: self.min_negatives,
            limits: self.limits,
            ..EvaluationParams::default()
        }
    }
}

fn equivalence(
    crossed: &CrossedAuroc,
    bound: f64,
    n: usize,
) -> Result<Result<TestResult, Undefined>, scfm_stats::Error> {
    let test = defined(tost(crossed.mean, crossed.standard_error, crossed.df, bound))?;
    Ok(test.map(|test| TestResult {
        effect_kind: EffectKind::DeltaAuroc,
        n,
        n_unit: "rows",
        ..test
    }))
}

/// Scores in the shape of the responses, NaN where a pair is not judged.
fn over_responses(altered: Altered<'_>, responses: &Responses) -> Array2<f64> {
    let (perturbed, targets) = (responses.perturbed(), responses.targets());
    match altered {
        Altered::Whole(edges) => edges.align(perturbed, targets),
        Altered::Halves {
            edges,
            halves,
            hold_out_targets,
        } => {
            let aligned = edges.map(|edges| edges.map(|edges| edges.align(perturbed, targets)));
            Array2::from_shape_fn((perturbed.len(), targets.len()), |(p, t)| {
                let (source, target) = (perturbed.gene(p), targets.gene(t));
                let half = match hold_out_targets {
                    true => halves.of_pair(source, target),
                    false => halves.of_source(source),
                };
                half.and_then(|half| aligned[half].as_ref())
                    .map_or(f64::NAN, |scores| scores[[p, t]])
            })
        }
    }
}
