use ndarray::{Array2, ArrayView2};
use scfm_core::Seeds;
use scfm_stats::{
    AveragePrecision, CrossedAuroc, Interval, LabelledGrid, SortedScores, TestResult, Undefined,
    bootstrap_mean, crossed_difference, defined, tost, two_way_bootstrap,
};

use crate::gain::aurocs;
use crate::incremental::ANALYSIS;
use crate::{Error, IncrementalParams, Model};

/// Four models' held-out performance and what edges add.
#[derive(Debug, Clone)]
pub struct Increments {
    /// Perturbations that were judged, as rows of the candidates' responses.
    pub rows: Vec<usize>,
    /// Performance in the order of [`Model::ALL`].
    pub models: Vec<Performance>,
    /// Model gene+A minus model gene.
    pub attention: Increment,
    /// Model gene+C minus model gene.
    pub correlation: Increment,
    /// Model gene+A+C minus model gene+C.
    pub attention_beyond_correlation: Increment,
}

/// How well a model ranks pairs whose perturbation it had not seen.
#[derive(Debug, Clone)]
pub struct Performance {
    /// Which model.
    pub model: Model,
    /// AUROC within each perturbation.
    pub aurocs: Vec<f64>,
    /// Mean of `aurocs`: the primary metric.
    pub mean_auroc: f64,
    /// AUROC over all held-out pairs at once.
    pub pooled_auroc: f64,
    /// Average precision over all held-out pairs at once, with its base rate.
    pub pooled_precision: AveragePrecision,
}

/// A gain in mean within-perturbation AUROC.
///
/// A score that knows nothing costs a little held-out AUROC (some 0.0003 with 50 perturbations × 250 genes), so that
/// no gain shows as a gain just below zero; the equivalence test is what says so.
#[derive(Debug, Clone)]
pub struct Increment {
    /// Mean of the gains per perturbation.
    pub delta: f64,
    /// Crossed test of no gain, with its interval.
    pub difference: Result<CrossedAuroc, Undefined>,
    /// Test that the gain lies within the equivalence bound, from the crossed standard error.
    pub equivalence: Result<TestResult, Undefined>,
    /// 95 % interval from resampling perturbations and genes.
    pub two_way: Interval,
    /// 95 % interval from resampling perturbations as if genes were fixed: as published, too narrow.
    pub over_perturbations: Interval,
    /// Gain in pooled AUROC.
    pub pooled: f64,
    /// Gain that the two-sided crossed test at 5 % finds with 80 % power, from its standard error.
    pub detectable: Option<f64>,
    /// Power of that test to find a gain of the size of the equivalence bound.
    pub power_at_bound: Option<f64>,
}

impl Increments {
    /// Judges held-out log-odds, in the order of [`Model::ALL`], all of them and the labels over the same `rows`.
    pub(crate) fn of(
        log_odds: &[Array2<f64>; 4],
        labels: LabelledGrid<'_>,
        rows: Vec<usize>,
        params: &IncrementalParams,
        seeds: Seeds,
        name: &str,
    ) -> Result<Self, Error> {
        let log_odds = log_odds.each_ref().map(|log_odds| log_odds.view());
        let models = Model::ALL
            .into_iter()
            .zip(log_odds)
            .map(|(model, log_odds)| Performance::of(model, log_odds, labels))
            .collect::<Result<Vec<_>, Error>>()?;
        let stream = |kind: &str, index| seeds.stream(ANALYSIS, &format!("{name}, {kind}"), index);
        let two_way = two_way_bootstrap(&log_odds, labels, params.n_two_way, |i| stream("two-way", i))?;
        let gain = |more: Model, less: Model| {
            let (i, j) = (more as usize, less as usize);
            let (a, b) = (&models[i], &models[j]);
            let gains: Vec<f64> = a.aurocs.iter().zip(&b.aurocs).map(|(a, b)| a - b).collect();
            let n = params.n_over_perturbations;
            let bound = params.equivalence_bound;
            let difference = defined(crossed_difference(
                log_odds[i],
                log_odds[j],
                labels,
                &params.limits,
            ))?;
            let precision = difference.as_ref().ok().map(Precision::of);
            Ok::<_, Error>(Increment {
                delta: a.mean_auroc - b.mean_auroc,
                equivalence: match &difference {
                    Ok(d) => defined(tost(d.mean, d.standard_error, d.df, bound))?,
                    Err(undefined) => Err(undefined.clone()),
                },
                two_way: two_way.difference_interval(i, j),
                over_perturbations: bootstrap_mean(&gains, n, |i| stream("perturbations", i))?,
                pooled: a.pooled_auroc - b.pooled_auroc,
                detectable: precision.as_ref().map(Precision::detectable),
                power_at_bound: precision.as_ref().map(|p| p.power(bound)),
                difference,
            })
        };
        Ok(Self {
            attention: gain(Model::GeneAttention, Model::Gene)?,
            correlation: gain(Model::GeneCorrelation, Model::Gene)?,
            attention_beyond_correlation: gain(Model::GeneBoth, Model::GeneCorrelation)?,
            rows,
            models,
        })
    }
}

impl Performance {
    fn of(model: Model, log_odds: ArrayView2<'_, f64>, labels: LabelledGrid<'_>) -> Result<Self, Error> {
        let aurocs = aurocs(log_odds, labels)?;
        let (mut scores, mut positive) = (Vec::new(), Vec::new());
        for (pair, _) in labels.candidate.indexed_iter().filter(|&(_, &c)| c) {
            scores.push(log_odds[pair]);
            positive.push(labels.positive[pair]);
        }
        let pooled = SortedScores::new(&scores)?;
        Ok(Self {
            model,
            mean_auroc: aurocs.iter().sum::<f64>() / aurocs.len() as f64,
            aurocs,
            pooled_auroc: pooled.auroc(&positive)?,
            pooled_precision: pooled.average_precision(&positive)?,
        })
    }
}

/// What decides the power of a crossed test.
struct Precision {
    standard_error: f64,
    /// Multiple of the standard error at which the test rejects.
    critical: f64,
}

impl Precision {
    /// The critical value is read off the test's own 95 % interval.
    fn of(difference: &CrossedAuroc) -> Self {
        let half_width = difference.test.ci.map_or(f64::NAN, |ci| (ci.high - ci.low) / 2.0);
        Self {
            standard_error: difference.standard_error,
            critical: half_width / difference.standard_error,
        }
    }

    fn detectable(&self) -> f64 {
        /// Normal quantile of 0.8.
        const Z_80: f64 = 0.841_621_233_572_914_2;
        (self.critical + Z_80) * self.standard_error
    }

    /// Normal approximation to the non-central t.
    fn power(&self, effect: f64) -> f64 {
        let below = |z: f64| 0.5 * libm::erfc(-z / std::f64::consts::SQRT_2);
        let shift = effect.abs() / self.standard_error;
        below(shift - self.critical) + below(-shift - self.critical)
    }
}
