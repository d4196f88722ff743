use ndarray::ArrayView2;
use rand_chacha::ChaCha8Rng;
use scfm_stats::{
    CrossedAuroc, CrossedLimits, Interval, LabelledGrid, RowMetric, Undefined, crossed_difference, defined,
    two_way_metrics,
};

use crate::Error;

/// By how much one model ranks held-out pairs better than another.
#[derive(Debug, Clone)]
pub struct Gain {
    /// Mean within-perturbation AUROC of the model without the edge.
    pub without: f64,
    /// The same of the model with the edge.
    pub with: f64,
    /// Crossed test of no gain in AUROC, with its interval.
    pub difference: Result<CrossedAuroc, Undefined>,
    /// Gain in mean within-perturbation average precision.
    pub precision: Difference,
    /// Gain in mean share of a perturbation's positives among its first k targets, by k.
    pub recall: Vec<(usize, Difference)>,
}

/// A difference of two means over perturbations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// The difference.
    pub value: f64,
    /// Its 95 % interval from resampling perturbations and genes, from stored scores.
    pub interval: Interval,
}

impl Gain {
    /// Mean of the gains in AUROC per perturbation.
    pub fn delta(&self) -> f64 {
        self.with - self.without
    }

    /// Judges the scores of two models on the same pairs.
    pub(crate) fn of(
        with: ArrayView2<'_, f64>,
        without: ArrayView2<'_, f64>,
        labels: LabelledGrid<'_>,
        params: &GainParams,
        stream: impl Fn(u64) -> ChaCha8Rng + Sync,
    ) -> Result<Self, Error> {
        let mean = |scores| -> Result<f64, Error> {
            let aurocs = scfm_stats::row_aurocs(scores, labels)?
                .into_iter()
                .collect::<Result<Vec<_>, _>>()
                .map_err(scfm_stats::Error::Undefined)?;
            Ok(aurocs.iter().sum::<f64>() / aurocs.len() as f64)
        };
        let mut metrics = vec![RowMetric::AveragePrecision];
        metrics.extend(params.recall_at.iter().map(|&k| RowMetric::Recall(k)));
        let drawn = two_way_metrics(&[with, without], labels, &metrics, params.n_two_way, stream)?;
        let difference = |metric| Difference {
            value: drawn.difference(metric, 0, 1),
            interval: drawn.difference_interval(metric, 0, 1),
        };
        Ok(Self {
            without: mean(without)?,
            with: mean(with)?,
            difference: defined(crossed_difference(with, without, labels, &params.limits))?,
            precision: difference(0),
            recall: params
                .recall_at
                .iter()
                .enumerate()
                .map(|(i, &k)| (k, difference(i + 1)))
                .collect(),
        })
    }
}

/// How a [`Gain`] is judged.
#[derive(Debug, Clone, PartialEq)]
pub struct GainParams {
    /// Numbers of first targets that recall is looked at.
    pub recall_at: Vec<usize>,
    /// Replicates of the perturbation × gene bootstrap.
    pub n_two_way: usize,
    /// When a crossed test is not decidable.
    pub limits: CrossedLimits,
}

impl Default for GainParams {
    /// Recall at 10, 50 and 100; 200 replicates.
    fn default() -> Self {
        Self {
            recall_at: vec![10, 50, 100],
            n_two_way: 200,
            limits: CrossedLimits::default(),
        }
    }
}
