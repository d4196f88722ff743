use ndarray::{Array2, Axis};
use scfm_core::{Panel, Seeds};
use scfm_stats::{CrossedLimits, LabelledGrid};

use crate::held_out::{Edges, Fitter, GeneTerms, held_out_scores};
use crate::splits::{GridFolds, Split};
use crate::{Error, Increments, LogisticRegression, ScoredCandidates};

/// Parameters of [`incremental_value`].
#[derive(Debug, Clone)]
pub struct IncrementalParams {
    /// Folds over perturbations.
    pub n_folds: usize,
    /// Columns per feature that its natural spline makes.
    pub spline_df: usize,
    /// Penalty of all models.
    pub regression: LogisticRegression,
    /// A gain within ± this many units of AUROC counts as none.
    pub equivalence_bound: f64,
    /// Replicates of the perturbation × gene bootstrap.
    pub n_two_way: usize,
    /// Replicates of the bootstrap over perturbations alone.
    pub n_over_perturbations: usize,
    /// When a crossed test is not decidable.
    pub limits: CrossedLimits,
}

impl Default for IncrementalParams {
    fn default() -> Self {
        Self {
            n_folds: 5,
            spline_df: 4,
            regression: LogisticRegression::default(),
            equivalence_bound: 0.005,
            n_two_way: 200,
            n_over_perturbations: 10_000,
            limits: CrossedLimits::default(),
        }
    }
}

/// What a model of the response is told, always with the gene-level features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// Gene-level features alone.
    Gene,
    /// With the attention score, as it is.
    GeneAttention,
    /// With |ρ|.
    GeneCorrelation,
    /// With both.
    GeneBoth,
}

impl Model {
    /// All four; the index of a model here is its index wherever there is one value per model.
    pub const ALL: [Self; 4] = [
        Self::Gene,
        Self::GeneAttention,
        Self::GeneCorrelation,
        Self::GeneBoth,
    ];

    /// Short name: `gene`, `gene+A`, `gene+C`, `gene+A+C`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gene => "gene",
            Self::GeneAttention => "gene+A",
            Self::GeneCorrelation => "gene+C",
            Self::GeneBoth => "gene+A+C",
        }
    }

    pub(crate) fn edges(self, candidates: &ScoredCandidates) -> Edges<'_> {
        let (a, c) = (candidates.attention(), candidates.correlation());
        match self {
            Self::Gene => vec![],
            Self::GeneAttention => vec![a],
            Self::GeneCorrelation => vec![c],
            Self::GeneBoth => vec![a, c],
        }
    }
}

/// What edges add to gene-level features, over all perturbations and in strata.
#[derive(Debug, Clone)]
pub struct IncrementalValue {
    /// Against natural splines of both genes' features: the result.
    pub splines: Increments,
    /// Against linear terms of the target's features: as published, printed beside.
    pub as_published: Increments,
    /// The result over the perturbations of transcription factors, from the same held-out scores.
    pub tf: Option<Increments>,
    /// The result over the other perturbations.
    pub non_tf: Option<Increments>,
    /// Fold in which each perturbation was held out.
    pub fold_of: Vec<usize>,
    /// Held-out log-odds of a response `[perturbed, target]` behind `splines`, in the order of [`Model::ALL`]; `NaN`
    /// where the pair is no candidate.
    pub held_out: [Array2<f64>; 4],
}

/// What attention and |ρ| add to gene-level features when responses to unseen perturbations are predicted (analysis
/// `incremental-value`).
///
/// Standardised L2 logistic regressions over all candidate pairs, folds over perturbations (whole perturbations
/// held out), knots, centres and scales learnt on the training folds. Attention enters as its raw score, correlation
/// as |ρ|. Perturbations whose gene is in `tfs` form the TF stratum.
///
/// # Errors
/// [`scfm_stats::Undefined::TooFew`] with fewer perturbations than folds; those of [`LogisticRegression::fit`].
///
/// # Panics
/// When `spline_df` is 0.
pub fn incremental_value(
    candidates: &ScoredCandidates,
    tfs: Option<&Panel>,
    params: &IncrementalParams,
    seeds: Seeds,
) -> Result<IncrementalValue, Error> {
    let perturbed = candidates.responses().perturbed();
    let folds = GridFolds::balanced(candidates.labels().candidate, params.n_folds)?;
    let all: Vec<usize> = (0..perturbed.len()).collect();
    let labels = candidates.labels();
    let scores = |terms| -> Result<[Array2<f64>; 4], Error> {
        let fitter = Fitter::Logistic(params.regression, terms);
        let scores = held_out_scores(
            candidates,
            &folds.blocks(Split::Perturbation),
            fitter,
            &Model::ALL.map(|model| model.edges(candidates)),
        )?;
        Ok(scores.try_into().expect("scores of each of four models"))
    };
    let held_out = scores(GeneTerms::Splines(params.spline_df))?;
    let published = scores(GeneTerms::LinearTarget)?;
    let stratum = |in_stratum: bool, name| {
        let Some(tfs) = tfs else { return Ok(None) };
        let is_tf = |row: &usize| tfs.contains(perturbed.gene(*row).as_str());
        let rows: Vec<usize> = all
            .iter()
            .copied()
            .filter(|row| is_tf(row) == in_stratum)
            .collect();
        if rows.is_empty() {
            return Ok(None);
        }
        let of_rows = held_out
            .each_ref()
            .map(|log_odds| log_odds.select(Axis(0), &rows));
        let positive = labels.positive.select(Axis(0), &rows);
        let candidate = labels.candidate.select(Axis(0), &rows);
        let labels = LabelledGrid {
            positive: positive.view(),
            candidate: candidate.view(),
        };
        Increments::of(&of_rows, labels, rows, params, seeds, name).map(Some)
    };
    Ok(IncrementalValue {
        splines: Increments::of(&held_out, labels, all.clone(), params, seeds, "splines")?,
        as_published: Increments::of(&published, labels, all.clone(), params, seeds, "as published")?,
        tf: stratum(true, "tf")?,
        non_tf: stratum(false, "non-tf")?,
        fold_of: folds.of_row,
        held_out,
    })
}

/// Names the random streams.
pub(crate) const ANALYSIS: &str = "incremental-value";
