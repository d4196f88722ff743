use ndarray::{Array1, Array2, ArrayView2, Axis, concatenate};
use scfm_core::{Panel, Seeds};
use scfm_stats::{CrossedLimits, LabelledGrid};

use crate::features::{DROPOUT_RATE, MEAN, VARIANCE};
use crate::pairs::PairDesign;
use crate::{Error, Increments, LogisticRegression, NaturalSpline, ScoredCandidates, group_k_fold};

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

    fn edges(self, candidates: &ScoredCandidates) -> Vec<ArrayView2<'_, f64>> {
        let (a, c) = (candidates.attention(), candidates.correlation());
        match self {
            Self::Gene => vec![],
            Self::GeneAttention => vec![a],
            Self::GeneCorrelation => vec![c],
            Self::GeneBoth => vec![a, c],
        }
    }
}

/// How a model sees the gene-level features mean, variance and dropout rate.
#[derive(Debug, Clone, Copy)]
enum GeneTerms {
    /// Natural splines of the features of the source and of the target, with this many columns per feature.
    Splines(usize),
    /// The features of the target, linearly: the published variant.
    ///
    /// What the response owes to genes beyond a straight line, or to the source, is then left for an edge score
    /// to claim, in a world without any edge.
    LinearTarget,
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
    let sizes: Vec<usize> = candidates
        .labels()
        .candidate
        .rows()
        .into_iter()
        .map(|row| row.iter().filter(|&&c| c).count())
        .collect();
    let fold_of = group_k_fold(&sizes, params.n_folds)?;
    let all: Vec<usize> = (0..perturbed.len()).collect();
    let labels = candidates.labels();
    let held_out = held_out_scores(candidates, GeneTerms::Splines(params.spline_df), &fold_of, params)?;
    let published = held_out_scores(candidates, GeneTerms::LinearTarget, &fold_of, params)?;
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
        fold_of,
        held_out,
    })
}

/// Log-odds of each of [`Model::ALL`] at every candidate pair, from a fit that never saw its perturbation.
fn held_out_scores(
    candidates: &ScoredCandidates,
    terms: GeneTerms,
    fold_of: &[usize],
    params: &IncrementalParams,
) -> Result<[Array2<f64>; 4], Error> {
    let labels = candidates.labels();
    let mut log_odds = [(); 4].map(|()| Array2::from_elem(labels.candidate.dim(), f64::NAN));
    for fold in 0..params.n_folds {
        let (held, training): (Vec<usize>, Vec<usize>) =
            (0..fold_of.len()).partition(|&row| fold_of[row] == fold);
        let (rows, columns) = gene_columns(candidates, terms, &training)?;
        let mut gene_only: Option<Array1<f64>> = None;
        for (model, log_odds) in Model::ALL.into_iter().zip(&mut log_odds) {
            let edges = model.edges(candidates);
            let design = PairDesign::new(rows.view(), columns.view(), &edges, labels.candidate, &training);
            let fitted = design.fit(labels, &training, params.regression.penalty(), gene_only.as_ref())?;
            for &row in &held {
                log_odds
                    .row_mut(row)
                    .assign(&design.log_odds(&fitted, row, labels.candidate.row(row)));
            }
            gene_only.get_or_insert(fitted);
        }
    }
    Ok(log_odds)
}

/// Columns for the perturbed genes and for the targets, knots at quantiles over the training perturbations and
/// over the targets.
fn gene_columns(
    candidates: &ScoredCandidates,
    terms: GeneTerms,
    training: &[usize],
) -> Result<(Array2<f64>, Array2<f64>), Error> {
    let n_rows = candidates.responses().perturbed().len();
    let (mut rows, mut columns) = (Vec::new(), Vec::new());
    for name in [MEAN, VARIANCE, DROPOUT_RATE] {
        let described: Array1<f64> = candidates
            .of_targets(name)?
            .into_iter()
            .filter(|value| value.is_finite())
            .collect();
        // Targets without features are no candidates; any finite value will do for them.
        let of_target = candidates
            .of_targets(name)?
            .mapv_into(|v| if v.is_finite() { v } else { described[0] });
        match terms {
            GeneTerms::LinearTarget => columns.push(of_target.insert_axis(Axis(1))),
            GeneTerms::Splines(df) => {
                let of_perturbed = candidates.of_perturbed(name)?;
                let seen = of_perturbed.select(Axis(0), training);
                rows.push(NaturalSpline::at_quantiles(seen.view(), df)?.columns(of_perturbed.view()));
                columns.push(NaturalSpline::at_quantiles(described.view(), df)?.columns(of_target.view()));
            }
        }
    }
    rows.push(Array2::zeros((n_rows, 0)));
    let side_by_side = |parts: &[Array2<f64>]| {
        let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
        concatenate(Axis(1), &views).expect("a row per gene in every part")
    };
    Ok((side_by_side(&rows), side_by_side(&columns)))
}

/// Names the random streams.
pub(crate) const ANALYSIS: &str = "incremental-value";
