//! How well scores tell edges from other pairs, and whether a choice among scores holds on data it was not made on.

use scfm_stats::auroc;

use crate::aggregate::same;
use crate::error::Error;

/// F1 of the `k` highest scores; equal scores in the order of pairs, as in the published results. A pair without score, NaN,
/// comes last.
///
/// # Errors
/// [`Error::Length`] unless there is a truth for each score.
pub fn f1_at(k: usize, scores: &[f64], truth: &[bool]) -> Result<f64, Error> {
    let hits = hits_at(k, scores, truth)? as f64;
    let n_edges = truth.iter().filter(|&&is_edge| is_edge).count() as f64;
    if hits == 0.0 {
        return Ok(0.0);
    }
    let (precision, recall) = (hits / k as f64, hits / n_edges);
    Ok(2.0 * precision * recall / (precision + recall))
}

/// Number of edges among the `k` highest scores, as [`f1_at`].
///
/// # Errors
/// [`Error::Length`] unless there is a truth for each score.
pub fn hits_at(k: usize, scores: &[f64], truth: &[bool]) -> Result<usize, Error> {
    same("truths", scores.len(), truth.len())?;
    Ok(best_first(scores)
        .into_iter()
        .take(k)
        .filter(|&at| truth[at])
        .count())
}

/// The places of scores from the highest down, equal ones in their order, those that are missing last.
pub fn best_first(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    let score = |at: usize| {
        if scores[at].is_nan() {
            f64::NEG_INFINITY
        } else {
            scores[at]
        }
    };
    order.sort_by(|&a, &b| score(b).partial_cmp(&score(a)).expect("no NaN is left"));
    order
}

/// How scores are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// [`f1_at`] this k.
    F1(usize),
    /// Area under the ROC curve, pairs without score left out.
    Auroc,
}

impl Measure {
    /// The value for `scores`.
    ///
    /// # Errors
    /// [`Error::Length`] unless there is a truth for each score; [`Error::Stats`] for an AUROC without edges or without other
    /// pairs.
    pub fn of(self, scores: &[f64], truth: &[bool]) -> Result<f64, Error> {
        match self {
            Self::F1(k) => f1_at(k, scores, truth),
            Self::Auroc => {
                same("truths", scores.len(), truth.len())?;
                let seen = scores.iter().zip(truth).filter(|(score, _)| !score.is_nan());
                let (scores, truth): (Vec<f64>, Vec<bool>) = seen.unzip();
                Ok(auroc(&scores, &truth)?)
            }
        }
    }
}

/// What became of a choice among variants of a score.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldOut {
    /// The variant that was best on the training half, the first of equally good ones.
    pub chosen: usize,
    /// What each variant reached on the training half.
    pub training: Vec<f64>,
    /// What each variant reached on the other half; the claim is about the chosen one.
    pub held_out: Vec<f64>,
}

/// Chooses among variants of scores on one half and judges them on the other: `training` and `test` hold the scores of all
/// pairs for each variant, computed from the cells of one half each.
///
/// `part` says which part of the truth a pair belongs to: pairs of [`Part::Training`] choose, pairs of [`Part::Test`] judge.
/// As published, all pairs do both, so that edges that chose a variant also judge it.
///
/// # Errors
/// [`Error::Length`] for unlike numbers of pairs or variants, or without variants; as [`Measure::of`].
pub fn split_half(
    training: &[Vec<f64>],
    test: &[Vec<f64>],
    truth: &[bool],
    part: impl Fn(usize) -> Part,
    measure: Measure,
) -> Result<HeldOut, Error> {
    same("variants", training.len().max(1), test.len())?;
    let judged = |variants: &[Vec<f64>], other: Part| -> Result<Vec<f64>, Error> {
        let pairs: Vec<usize> = (0..truth.len()).filter(|&pair| part(pair) != other).collect();
        let truth_of: Vec<bool> = pairs.iter().map(|&pair| truth[pair]).collect();
        let judge = |scores: &Vec<f64>| {
            same("scores", truth.len(), scores.len())?;
            let scores: Vec<f64> = pairs.iter().map(|&pair| scores[pair]).collect();
            measure.of(&scores, &truth_of)
        };
        variants.iter().map(judge).collect()
    };
    let training = judged(training, Part::Test)?;
    let best = (0..training.len()).reduce(|best, at| if training[at] > training[best] { at } else { best });
    Ok(HeldOut {
        chosen: best.expect("there is a variant"),
        training,
        held_out: judged(test, Part::Training)?,
    })
}

/// What a pair is used for when a variant is chosen and judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// To choose.
    Training,
    /// To judge.
    Test,
    /// To do both, as published.
    Both,
}
