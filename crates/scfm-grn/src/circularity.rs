//! Whether recovery depends on reference pairs whose mode of regulation nobody has recorded (analysis 15 of the battery).

use ndarray::{Array2, ArrayView2, Axis};
use scfm_core::GeneId;
use scfm_stats::{
    CrossedAuroc, CrossedLimits, Interval, LabelledGrid, Undefined, auroc, auroc_interval,
    crossed_label_difference, defined, row_aurocs,
};

use crate::{CandidateUniverse, Error, ReferenceNetwork, recovery_of_scores};

/// Recovery of all pairs of a reference beside that of its pairs with a known mode, on the same candidates.
#[derive(Debug, Clone)]
pub struct Circularity {
    /// Mean over TFs of the AUROC against pairs of known mode minus the AUROC against all pairs.
    pub difference: Result<CrossedAuroc, Undefined>,
    /// The same with pairs of unknown mode left out of the candidates, where they are neither positives nor negatives.
    pub without_unknown: Result<CrossedAuroc, Undefined>,
    /// Pooled AUROC against all pairs.
    pub all: Result<f64, Undefined>,
    /// Pooled AUROC against pairs of known mode, over TFs that have one.
    pub known: Result<f64, Undefined>,
    /// Pooled AUROC against all pairs, over the same TFs.
    pub all_of_known_tfs: Result<f64, Undefined>,
    /// Each TF with a pair of known mode.
    pub tfs: Vec<TfModes>,
    /// Pairs of the reference among the candidates.
    pub n_pairs: usize,
    /// Those of known mode.
    pub n_known: usize,
}

/// One TF under both label sets.
#[derive(Debug, Clone)]
pub struct TfModes {
    /// The TF.
    pub tf: GeneId,
    /// Its pairs among the candidates.
    pub n_all: usize,
    /// Those of known mode.
    pub n_known: usize,
    /// AUROC against all of them.
    pub all: f64,
    /// AUROC against those of known mode.
    pub known: f64,
    /// 95 % interval of `known`.
    pub ci: Interval,
}

impl Circularity {
    /// Mean over TFs of the AUROC against pairs of known mode.
    pub fn mean_known(&self) -> Result<f64, Undefined> {
        let aurocs: Vec<f64> = self.tfs.iter().map(|tf| tf.known).collect();
        mean(&aurocs)
    }

    /// Share of the TFs whose interval against pairs of known mode lies above 0.5.
    pub fn share_above_chance(&self) -> Result<f64, Undefined> {
        let above: Vec<f64> = self
            .tfs
            .iter()
            .map(|tf| f64::from(u8::from(tf.ci.low > 0.5)))
            .collect();
        mean(&above)
    }
}

fn mean(values: &[f64]) -> Result<f64, Undefined> {
    if values.is_empty() {
        return Err(Undefined::TooFew {
            what: "TFs with a pair of known mode",
            n: 0,
            needed: 1,
        });
    }
    Ok(values.iter().sum::<f64>() / values.len() as f64)
}

/// Compares recovery of `universe`, which `reference` was laid over, by `scores`, `[tf, target]`, with that of the pairs
/// whose mode is known: activation or repression on at least one line of the reference.
///
/// Both label sets rank the same candidates, those with a score; under the stricter one a pair of unknown mode is a
/// negative, as any pair that the reference does not have. TFs without a pair of known mode are in the pooled AUROC
/// against all pairs only.
///
/// # Errors
/// Those of ranking.
///
/// # Panics
/// When the scores have another shape than the universe.
pub fn circularity(
    scores: ArrayView2<'_, f64>,
    universe: &CandidateUniverse,
    reference: &ReferenceNetwork,
    limits: &CrossedLimits,
) -> Result<Circularity, Error> {
    assert_eq!(
        scores.dim(),
        universe.positive().dim(),
        "a score for every pair of the universe"
    );
    let mut candidate = universe.candidate().to_owned();
    candidate.zip_mut_with(&scores, |candidate, score| *candidate &= !score.is_nan());
    let all = &universe.positive() & &candidate;
    let mut known = Array2::from_elem(all.dim(), false);
    for edge in reference.edges().iter().filter(|edge| edge.modes.known()) {
        let row = universe.tfs().position(edge.source.as_str());
        let column = universe.targets().position(edge.target.as_str());
        if let (Some(row), Some(column)) = (row, column) {
            known[[row, column]] = all[[row, column]];
        }
    }
    let count = |labels: &Array2<bool>| labels.iter().filter(|&&label| label).count();
    let (n_pairs, n_known) = (count(&all), count(&known));

    // Rows with both classes under both label sets: fewer positives leave no row without negatives.
    let rows: Vec<usize> = (0..all.nrows())
        .filter(|&row| known.row(row).iter().any(|&known| known))
        .filter(|&row| {
            candidate
                .row(row)
                .iter()
                .zip(all.row(row))
                .any(|(&c, &p)| c && !p)
        })
        .collect();
    let pooled_all = recovery_of_scores(scores, universe, &[])?.auroc;
    let scores = scores.select(Axis(0), &rows);
    let [all, known, candidate] = [all, known, candidate].map(|matrix| matrix.select(Axis(0), &rows));
    let both = |positive, candidate| LabelledGrid { positive, candidate };
    let (of_all, of_known) = (
        both(all.view(), candidate.view()),
        both(known.view(), candidate.view()),
    );
    let decided = Array2::from_shape_fn(all.dim(), |at| candidate[at] && (known[at] || !all[at]));
    let of_decided = both(known.view(), decided.view());

    let no_rows = || {
        Err(Undefined::TooFew {
            what: "TFs with a pair of known mode",
            n: 0,
            needed: limits.min_rows,
        })
    };
    let compare = |labels| match rows.is_empty() {
        true => Ok(no_rows()),
        false => defined(crossed_label_difference(scores.view(), labels, of_all, limits)),
    };
    let (difference, without_unknown) = (compare(of_known)?, compare(of_decided)?);
    let mut tfs = Vec::new();
    if !rows.is_empty() {
        let (under_all, under_known) = (
            row_aurocs(scores.view(), of_all)?,
            row_aurocs(scores.view(), of_known)?,
        );
        for (at, &row) in rows.iter().enumerate() {
            let count = |labels: &Array2<bool>| labels.row(at).iter().filter(|&&label| label).count();
            let (n_all, n_known, n) = (count(&all), count(&known), count(&candidate));
            if let (Ok(all), Ok(known)) = (&under_all[at], &under_known[at]) {
                tfs.push(TfModes {
                    tf: universe.tfs().gene(row).clone(),
                    n_all,
                    n_known,
                    all: *all,
                    known: *known,
                    ci: auroc_interval(*known, n_known, n - n_known),
                });
            }
        }
    }
    let pooled = |labels: LabelledGrid<'_>| {
        let candidates = scores.iter().zip(labels.positive).zip(labels.candidate);
        let (values, positive): (Vec<f64>, Vec<bool>) = candidates
            .filter(|&(_, &candidate)| candidate)
            .map(|((&score, &positive), _)| (score, positive))
            .unzip();
        defined(auroc(&values, &positive))
    };
    Ok(Circularity {
        difference,
        without_unknown,
        all: pooled_all,
        known: pooled(of_known)?,
        all_of_known_tfs: pooled(of_all)?,
        tfs,
        n_pairs,
        n_known,
    })
}
