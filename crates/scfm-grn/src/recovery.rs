use ndarray::ArrayView2;
use scfm_core::{EdgeKind, EdgeMatrix};
use scfm_stats::{AveragePrecision, SortedScores, TopK, Undefined, defined};

use crate::{CandidateUniverse, Error};

/// How well edge scores recover a reference among its candidate pairs, all pairs pooled.
#[derive(Debug, Clone)]
pub struct Recovery {
    /// Area under the ROC curve, ties counted ½.
    pub auroc: Result<f64, Undefined>,
    /// Average precision with its base rate.
    pub average_precision: Result<AveragePrecision, Undefined>,
    /// Expected hits among the first K, first for K = number of positives, then for each K that was asked for.
    pub top_k: Vec<Result<TopK, Undefined>>,
    /// Precision among the first `n_pos` pairs over the base rate.
    pub early_precision_ratio: Result<f64, Undefined>,
    /// Reference pairs that were ranked.
    pub n_pos: usize,
    /// Pairs that were ranked.
    pub n_pairs: usize,
    /// Candidates that have no score, were never seen together, and were left out.
    pub n_missing: usize,
    /// Reference pairs among them.
    pub n_missing_pos: usize,
}

/// Recovery of `universe` by an edge matrix, whatever its panels: genes that it does not have are missing pairs.
///
/// Spearman edges are ranked by magnitude, since a strong negative correlation is a strong edge; all others as they
/// are. Metrics agree with scikit-learn's `roc_auc_score` and `average_precision_score`. Over a K that exceeds the
/// number of pairs see [`scfm_stats::top_k`].
///
/// # Errors
/// Those of [`recovery_of_scores`].
pub fn recovery(edges: &EdgeMatrix, universe: &CandidateUniverse, ks: &[usize]) -> Result<Recovery, Error> {
    let mut scores = edges.align(universe.tfs(), universe.targets());
    if edges.kind() == EdgeKind::Spearman {
        scores.mapv_inplace(f64::abs);
    }
    recovery_of_scores(scores.view(), universe, ks)
}

/// Recovery of `universe` by scores of shape `[tfs, targets]`, largest first, `NaN` where a pair has none.
///
/// # Errors
/// [`Error::Stats`] where a K is 0.
///
/// # Panics
/// When the scores have another shape.
pub fn recovery_of_scores(
    scores: ArrayView2<'_, f64>,
    universe: &CandidateUniverse,
    ks: &[usize],
) -> Result<Recovery, Error> {
    assert_eq!(
        scores.dim(),
        universe.positive().dim(),
        "a score for every pair of the universe"
    );
    let (mut ranked, mut labels) = (Vec::new(), Vec::new());
    let (mut n_missing, mut n_missing_pos) = (0, 0);
    for ((&score, &positive), &candidate) in scores.iter().zip(universe.positive()).zip(universe.candidate())
    {
        if candidate && score.is_nan() {
            n_missing += 1;
            n_missing_pos += usize::from(positive);
        } else if candidate {
            ranked.push(score);
            labels.push(positive);
        }
    }
    let n_pos = labels.iter().filter(|&&l| l).count();
    let sorted = SortedScores::new(&ranked)?;
    let at_positives = if n_pos == 0 {
        Err(Undefined::OneClass {
            n_pos,
            n_neg: ranked.len(),
        })
    } else {
        defined(sorted.top_k(&labels, n_pos))?
    };
    let mut top_k = vec![at_positives];
    for &k in ks {
        top_k.push(defined(sorted.top_k(&labels, k))?);
    }
    Ok(Recovery {
        auroc: defined(sorted.auroc(&labels))?,
        average_precision: defined(sorted.average_precision(&labels))?,
        top_k,
        early_precision_ratio: defined(sorted.early_precision_ratio(&labels))?,
        n_pos,
        n_pairs: ranked.len(),
        n_missing,
        n_missing_pos,
    })
}
