use ndarray::Array2;
use rand_chacha::ChaCha8Rng;
use scfm_core::Seeds;

use crate::held_out::{Fitter, GeneTerms, held_out_scores};
use crate::splits::{Block, GridFolds, Split};
use crate::{BoostedTrees, Error, Gain, GainParams, LogisticRegression, Model, ScoredCandidates};

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
    /// Gain of gene+A over gene.
    pub gain: Gain,
    /// Held-out log-odds of gene and of gene+A, `[perturbed, target]`; `NaN` where the pair is no candidate.
    pub held_out: [Array2<f64>; 2],
}

/// What attention adds to gene-level features when responses are predicted that share nothing that `split` keeps apart
/// with what was learnt from (analysis `hard-generalisation`).
///
/// Folds over perturbations and over targets are those of [`GridFolds::balanced`]. Logistic regression under
/// [`Split::Perturbation`] is what [`incremental_value`](crate::incremental_value) does. Log-odds of different fits are
/// put together within a perturbation, for both models alike. A score that knows nothing costs trees more than it costs a
/// regression, up to some 0.005 where they know targets by their features; a gain is what lies above 0. O(fits × pairs); the design matrix of a logistic
/// regression is never written out, that of trees once per fit.
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
    let stream = |i| seeds.stream("hard-generalisation", &purpose, i);
    let (gain, held_out) = gain_over_blocks(candidates, &folds.blocks(split), learner, params, stream)?;
    Ok(Generalisation {
        split,
        learner,
        gain,
        held_out,
    })
}

/// What attention adds to gene-level features over any division of the pairs, with the held-out log-odds of gene and of
/// gene+A. Every candidate pair must be held out by a block.
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
    stream: impl Fn(u64) -> ChaCha8Rng + Sync,
) -> Result<(Gain, [Array2<f64>; 2]), Error> {
    let fitter = match learner {
        Learner::Logistic => Fitter::Logistic(params.regression, GeneTerms::Splines(params.spline_df)),
        Learner::Trees => Fitter::Trees(params.trees),
    };
    let models = [Model::Gene, Model::GeneAttention];
    let scores = held_out_scores(candidates, blocks, fitter, &models)?;
    let held_out: [Array2<f64>; 2] = scores.try_into().expect("scores of each of two models");
    let (with, without) = (held_out[1].view(), held_out[0].view());
    let gain = Gain::of(with, without, candidates.labels(), &params.gain, stream)?;
    Ok((gain, held_out))
}
