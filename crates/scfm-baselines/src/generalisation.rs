use ndarray::{Array2, ArrayView2};
use scfm_core::Seeds;

use crate::gain::mean_auroc;
use crate::held_out::{Edges, Fitter, GeneTerms, held_out_scores};
use crate::placebo::dealt_out;
use crate::splits::{Block, GridFolds, Split};
use crate::{BoostedTrees, Error, Gain, GainParams, LogisticRegression, ScoredCandidates};

/// What predicts responses from gene-level features and edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learner {
    /// Logistic regression on natural splines of both genes' features.
    Logistic,
    /// Boosted trees on both genes' features as they are.
    Trees,
}

impl Learner {
    /// Short name: `logistic`, `trees`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Logistic => "logistic",
            Self::Trees => "trees",
        }
    }
}

/// Parameters of [`generalisation`].
#[derive(Debug, Clone)]
pub struct GeneralisationParams {
    /// Folds over perturbations, and as many over targets.
    pub n_folds: usize,
    /// Columns per feature that its natural spline makes.
    pub spline_df: usize,
    /// The logistic regressions.
    pub regression: LogisticRegression,
    /// The boosted trees.
    pub trees: BoostedTrees,
    /// Times that edges are dealt out to other sources, for what trees are compared with: several, or one could not tell
    /// how much they differ. 0 compares with genes alone.
    pub n_dealt: usize,
    /// How gains are judged.
    pub gain: GainParams,
}

impl Default for GeneralisationParams {
    fn default() -> Self {
        Self {
            n_folds: 5,
            spline_df: 4,
            regression: LogisticRegression::default(),
            trees: BoostedTrees::default(),
            n_dealt: 4,
            gain: GainParams::default(),
        }
    }
}

/// What attention adds to gene-level features for one learner under one split.
#[derive(Debug, Clone)]
pub struct Generalisation {
    /// What was held out.
    pub split: Split,
    /// What learnt.
    pub learner: Learner,
    /// Mean within-perturbation AUROC of gene.
    pub genes: f64,
    /// Gain of gene+A over gene, or over gene with the same edges of other sources.
    pub gain: Gain,
    /// Held-out log-odds of gene and of gene+A, `[perturbed, target]`; `NaN` where the pair is no candidate.
    pub held_out: [Array2<f64>; 2],
}

/// What attention adds to gene-level features when responses are predicted that share nothing that `split` keeps apart
/// with what was learnt from (analysis `hard-generalisation`).
///
/// Folds over perturbations and over targets are those of [`GridFolds::balanced`]. Logistic regression under
/// [`Split::Perturbation`] is what [`incremental_value`](crate::incremental_value) does. Log-odds of different fits are
/// put together within a perturbation, for all models alike. O(fits × pairs); the design matrix of a logistic regression is
/// never written out, that of trees once per fit.
///
/// Trees gain a little on new targets from any further feature that knows targets, lose a little to it on new
/// perturbations, and two fits differ by chance more than the pairs they are judged on tell. What attention adds to them is
/// therefore what it adds beyond the same edges dealt out to other sources, `n_dealt` times over: each source keeps its
/// scores and takes the order of targets that another one has. These know as much of genes and nothing of pairs, so that
/// where attention knows genes alone it is one more of them, which is what is tested.
///
/// # Errors
/// [`scfm_stats::Undefined::TooFew`] with fewer perturbations or targets than folds,
/// [`scfm_stats::Undefined::OneClass`] where nothing or everything responds in training; those of the learner.
///
/// # Panics
/// When `spline_df` is 0.
pub fn generalisation(
    candidates: &ScoredCandidates,
    split: Split,
    learner: Learner,
    params: &GeneralisationParams,
    seeds: Seeds,
) -> Result<Generalisation, Error> {
    let folds = GridFolds::balanced(candidates.labels().candidate, params.n_folds)?;
    let purpose = format!("{}, {}", split.as_str(), learner.as_str());
    let (gain, held_out) =
        gain_over_blocks(candidates, &folds.blocks(split), learner, params, seeds, &purpose)?;
    Ok(Generalisation {
        split,
        learner,
        genes: mean_auroc(held_out[0].view(), candidates.labels())?,
        gain,
        held_out,
    })
}

/// What attention adds to gene-level features over any division of the pairs, with the held-out log-odds of gene and of
/// gene+A. Every candidate pair must be held out by a block; `purpose` names the random streams.
///
/// # Errors
/// As [`generalisation`]; [`scfm_stats::Error::CellNotANumber`] for a candidate that no block holds out.
///
/// # Panics
/// As [`generalisation`].
pub fn gain_over_blocks(
    candidates: &ScoredCandidates,
    blocks: &[Block],
    learner: Learner,
    params: &GeneralisationParams,
    seeds: Seeds,
    purpose: &str,
) -> Result<(Gain, [Array2<f64>; 2]), Error> {
    let labels = candidates.labels();
    let attention = candidates.attention();
    let stream = |kind: &str, i| seeds.stream(ANALYSIS, &format!("{purpose}{kind}"), i);
    let splines = GeneTerms::Splines(params.spline_df);
    let (fitter, n_dealt) = match learner {
        Learner::Logistic => (Fitter::Logistic(params.regression, splines), 0),
        Learner::Trees => (Fitter::Trees(params.trees), params.n_dealt as u64),
    };
    let dealt: Vec<Array2<f64>> = (0..n_dealt)
        .map(|i| dealt_out(attention, labels.candidate, &mut stream(", dealt out", i)))
        .collect();
    let mut models: Vec<Edges<'_>> = vec![vec![], vec![attention]];
    models.extend(dealt.iter().map(|dealt| vec![dealt.view()]));
    let mut scores = held_out_scores(candidates, blocks, fitter, &models)?;
    let of_dealt = scores.split_off(2);
    let held_out: [Array2<f64>; 2] = scores.try_into().expect("gene and gene+A are left");
    let without: Vec<ArrayView2<'_, f64>> = match of_dealt.as_slice() {
        [] => vec![held_out[0].view()],
        draws => draws.iter().map(|scores| scores.view()).collect(),
    };
    let with = held_out[1].view();
    let gain = Gain::of(with, &without, labels, &params.gain, |i| stream("", i))?;
    Ok((gain, held_out))
}

/// Names the random streams.
const ANALYSIS: &str = "hard-generalisation";
