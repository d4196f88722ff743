use ndarray::ArrayView2;
use rand_chacha::ChaCha8Rng;
use scfm_stats::{
    CrossedLimits, Design, Interval, LabelledGrid, RowMetric, TestResult, Undefined, crossed_contrast,
    defined, two_way_metrics,
};

use crate::Error;

/// By how much a model that is told an edge ranks held-out pairs better than models that are not.
#[derive(Debug, Clone)]
pub struct Gain {
    /// Mean within-perturbation AUROC of the models without the edge, in the mean over them.
    pub without: f64,
    /// The same of the model with the edge.
    pub with: f64,
    /// Crossed test of no gain in AUROC, with its interval: of two models, or of one against
    /// [draws](scfm_stats::Estimate::against_draws).
    pub difference: Result<TestResult, Undefined>,
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
    /// Its 95 % interval from resampling perturbations and genes, from stored scores; by how much fits of draws differ is not
    /// in it.
    pub interval: Interval,
}

impl Gain {
    /// Mean of the gains in AUROC per perturbation.
    pub fn delta(&self) -> f64 {
        self.with - self.without
    }

    /// Judges the scores of models on the same pairs. Several without the edge are draws: of what a model could have been
    /// told instead.
    pub(crate) fn of(
        with: ArrayView2<'_, f64>,
        without: &[ArrayView2<'_, f64>],
        labels: LabelledGrid<'_>,
        params: &GainParams,
        stream: impl Fn(u64) -> ChaCha8Rng + Sync,
    ) -> Result<Self, Error> {
        let share = -1.0 / without.len() as f64;
        let weights: Vec<f64> = std::iter::once(1.0)
            .chain(without.iter().map(|_| share))
            .collect();
        let all: Vec<ArrayView2<'_, f64>> = std::iter::once(with).chain(without.iter().copied()).collect();
        let means: Vec<f64> = all
            .iter()
            .map(|&scores| mean_auroc(scores, labels))
            .collect::<Result<_, Error>>()?;

        let designs: Vec<Design<'_, '_>> = all
            .iter()
            .zip(&weights)
            .map(|(&scores, &weight)| Design {
                weight,
                scores,
                labels,
            })
            .collect();
        let test = crossed_contrast(&designs, &params.limits).and_then(|crossed| match without {
            [_] => Ok(crossed.test),
            _ => crossed.against_draws(&means[1..]),
        });
        let mut metrics = vec![RowMetric::AveragePrecision];
        metrics.extend(params.recall_at.iter().map(|&k| RowMetric::Recall(k)));
        let drawn = two_way_metrics(&all, labels, &metrics, params.n_two_way, stream)?;
        let difference = |metric| Difference {
            value: drawn.contrast(metric, &weights),
            interval: drawn.contrast_interval(metric, &weights),
        };
        Ok(Self {
            without: -share * means[1..].iter().sum::<f64>(),
            with: means[0],
            difference: defined(test)?,
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

/// Mean of the AUROCs within perturbations.
pub(crate) fn mean_auroc(scores: ArrayView2<'_, f64>, labels: LabelledGrid<'_>) -> Result<f64, Error> {
    let aurocs = aurocs(scores, labels)?;
    Ok(aurocs.iter().sum::<f64>() / aurocs.len() as f64)
}

/// AUROC within each perturbation, all of which must have one.
pub(crate) fn aurocs(scores: ArrayView2<'_, f64>, labels: LabelledGrid<'_>) -> Result<Vec<f64>, Error> {
    let aurocs: Result<Vec<f64>, Undefined> = scfm_stats::row_aurocs(scores, labels)?.into_iter().collect();
    Ok(aurocs.map_err(scfm_stats::Error::Undefined)?)
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
