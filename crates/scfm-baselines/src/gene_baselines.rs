use ndarray::{Array1, ArrayView2};
use scfm_core::{Column, Table};
use scfm_stats::{
    CrossedAuroc, CrossedLimits, TestResult, Undefined, crossed_auroc, crossed_difference, defined,
    row_aurocs,
};

use crate::features::{DETECTION, MEAN, OUT_DEGREE, VARIANCE};
use crate::{Error, ScoredCandidates};

/// How well scores that know nothing of pairs rank each perturbation's targets, against scores of pairs.
#[derive(Debug, Clone)]
pub struct GeneBaselines {
    /// Mean AUROC of every score: `attention`, `correlation` (|ρ|), `variance`, `mean`, `detection`, `out_degree` of
    /// the target (where the gene table has it) and `response_frequency`, how often the target responds to the
    /// other perturbations. The p-value is that of mean AUROC = 0.5.
    pub scores: Vec<(&'static str, Result<CrossedAuroc, Undefined>)>,
    /// Variance, mean, detection and (where the gene table has it) out-degree against |ρ|.
    pub against_correlation: Vec<BaselineTest>,
    /// Variance, mean and detection against attention.
    pub against_attention: Vec<BaselineTest>,
    /// AUROC per perturbation: `perturbation, n_positive, n_negative` and a column per score.
    pub per_perturbation: Table,
}

/// A gene-level score against an edge score over the same candidates.
#[derive(Debug, Clone)]
pub struct BaselineTest {
    /// The gene-level score.
    pub baseline: &'static str,
    /// Crossed test; effect = mean AUROC of the baseline minus that of the edge score.
    pub test: Result<TestResult, Undefined>,
}

/// Scores every candidate by a feature of the target alone and compares with attention and correlation (analysis
/// `gene-baselines`; tests crossed over perturbations × genes).
///
/// # Errors
/// [`Error::MissingFeature`] where the gene table lacks detection (mean and variance are there by construction).
pub fn gene_baselines(candidates: &ScoredCandidates, limits: &CrossedLimits) -> Result<GeneBaselines, Error> {
    let grid = candidates.attention().dim();
    let mut features: Vec<(&str, Array1<f64>)> = Vec::new();
    for name in [VARIANCE, MEAN, DETECTION] {
        features.push((name, candidates.of_targets(name)?));
    }
    if let Ok(out_degree) = candidates.of_targets(OUT_DEGREE) {
        features.push((OUT_DEGREE, out_degree));
    }
    let baselines: Vec<(&str, ArrayView2<'_, f64>)> = features
        .iter()
        .map(|(name, values)| (*name, values.broadcast(grid).expect("a value per target")))
        .collect();

    let mut scores = vec![
        ("attention", candidates.attention()),
        ("correlation", candidates.correlation()),
    ];
    scores.extend(&baselines);
    let frequency = candidates.response_frequency();
    let known = candidates
        .labels()
        .candidate
        .iter()
        .zip(frequency)
        .all(|(&c, f)| !c || f.is_finite());
    if known {
        scores.push(("response_frequency", frequency));
    }

    let against = |edges: ArrayView2<'_, f64>, baselines: &[(&'static str, ArrayView2<'_, f64>)]| {
        baselines
            .iter()
            .map(|&(baseline, scores)| {
                let difference = defined(crossed_difference(scores, edges, candidates.labels(), limits))?;
                Ok(BaselineTest {
                    baseline,
                    test: difference.map(|d| d.test),
                })
            })
            .collect::<Result<Vec<_>, Error>>()
    };
    Ok(GeneBaselines {
        against_correlation: against(candidates.correlation(), &baselines)?,
        against_attention: against(candidates.attention(), &baselines[..3])?,
        per_perturbation: per_perturbation(candidates, &scores)?,
        scores: scores
            .iter()
            .map(|&(name, scores)| Ok((name, defined(crossed_auroc(scores, candidates.labels(), limits))?)))
            .collect::<Result<_, Error>>()?,
    })
}

fn per_perturbation(
    candidates: &ScoredCandidates,
    scores: &[(&'static str, ArrayView2<'_, f64>)],
) -> Result<Table, Error> {
    let responses = candidates.responses();
    let sizes: Vec<_> = (0..responses.perturbed().len())
        .map(|row| responses.class_sizes(row))
        .collect();
    let mut table = Table::new(sizes.len())
        .with("perturbation", Column::text(responses.perturbed().genes()))?
        .with("n_positive", Column::counts(sizes.iter().map(|s| s.0)))?
        .with("n_negative", Column::counts(sizes.iter().map(|s| s.1)))?;
    for &(name, scores) in scores {
        let aurocs = row_aurocs(scores, candidates.labels())?;
        table.push(name, Column::F64(aurocs.into_iter().map(Result::ok).collect()))?;
    }
    Ok(table)
}
