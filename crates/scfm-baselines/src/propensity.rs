//! Do edges tell responding genes from genes that were as likely to respond to anything (analysis
//! `propensity-matching`)?

use ndarray::{Array1, Array2, Axis, concatenate};
use rayon::prelude::*;
use scfm_core::{Panel, Seeds};
use scfm_stats::{CrossedAuroc, LabelledGrid, Undefined, crossed_auroc, defined};

use crate::features::{DROPOUT_RATE, MEAN, VARIANCE};
use crate::held_out::{Fitter, GeneTerms, held_out_scores};
use crate::matching::match_nearest;
use crate::pairs::PairDesign;
use crate::splits::{GridFolds, Split};
use crate::{Error, Gain, GainParams, LogisticRegression, Model, NaturalSpline, ScoredCandidates};

/// Parameters of [`propensity_matching`].
#[derive(Debug, Clone)]
pub struct MatchingParams {
    /// Folds over perturbations, of the propensity and of the models on matched candidates.
    pub n_folds: usize,
    /// Columns per covariate that its natural spline makes.
    pub spline_df: usize,
    /// All logistic regressions.
    pub regression: LogisticRegression,
    /// Negatives per positive.
    pub n_negatives: usize,
    /// Widths within which negatives are taken, in standard deviations of the logit of the propensity, widest first;
    /// the first that leaves the classes balanced is used.
    pub calipers: Vec<f64>,
    /// Largest standardised mean difference that is taken for balance.
    pub max_difference: f64,
    /// Fewest matched positives of a perturbation.
    pub min_positives: usize,
    /// Fewest matched negatives of a perturbation.
    pub min_negatives: usize,
    /// How gains are judged.
    pub gain: GainParams,
}

impl Default for MatchingParams {
    fn default() -> Self {
        Self {
            n_folds: 5,
            spline_df: 4,
            regression: LogisticRegression::default(),
            n_negatives: 5,
            calipers: vec![0.2, 0.1, 0.05, 0.025],
            max_difference: 0.1,
            min_positives: 3,
            min_negatives: 3,
            gain: GainParams::default(),
        }
    }
}

/// How much responding candidates differ from others in a covariate, in its standard deviation before matching.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Balance {
    /// Which covariate.
    pub covariate: &'static str,
    /// Among all candidates.
    pub before: f64,
    /// Among matched ones.
    pub after: f64,
}

/// Responding candidates with others that were as likely to respond.
#[derive(Debug, Clone)]
pub struct Matched {
    /// The matched candidates.
    pub candidates: ScoredCandidates,
    /// Width of the caliper, in standard deviations of the logit.
    pub caliper: f64,
    /// Balance of each covariate.
    pub balance: Vec<Balance>,
    /// Positives before matching.
    pub n_positives: usize,
    /// Of these, without enough negatives near them, or in a perturbation that was left with too few.
    pub n_unmatched: usize,
}

impl Matched {
    /// The covariate that differs most after matching.
    pub fn worst(&self) -> Balance {
        let worst = |a: Balance, b: &Balance| if b.after.abs() > a.after.abs() { *b } else { a };
        self.balance[1..].iter().fold(self.balance[0], worst)
    }

    /// The largest difference of a covariate before matching.
    pub fn worst_before(&self) -> f64 {
        self.balance.iter().map(|b| b.before.abs()).fold(0.0, f64::max)
    }
}

/// What edges say where gene-level features say nothing.
#[derive(Debug, Clone)]
pub struct PropensityMatching {
    /// The matched candidates with their balance.
    pub matched: Matched,
    /// Log-odds of a response that were matched on, `[perturbed, target]` of the unmatched candidates.
    pub logit: Array2<f64>,
    /// Mean AUROC of attention on matched candidates.
    pub attention: Result<CrossedAuroc, Undefined>,
    /// Mean AUROC of |ρ| on them.
    pub correlation: Result<CrossedAuroc, Undefined>,
    /// Gain of gene+A over gene on them.
    pub attention_gain: Result<Gain, Undefined>,
    /// Gain of gene+C over gene.
    pub correlation_gain: Result<Gain, Undefined>,
}

/// Matches every responding candidate with `n_negatives` others of its perturbation that were as likely to respond, and
/// asks on these what edges tell.
///
/// The propensity of a pair is a logistic regression on splines of the target's mean, variance and dropout rate and of
/// the log-odds of its responding to other perturbations, all of it learnt without the pair's fold of perturbations; in
/// training, too, a perturbation counts towards no covariate of its own fold. As published it was the number of all
/// perturbations with a response, the pair's own among them, and negatives were used several times without a caliper.
///
/// Greedy matching without replacement, positives of high propensity first; each match has the same number of
/// negatives. Where the covariates still differ, the caliper is narrowed; where no caliper balances them, all tests are
/// [`Undefined::Unbalanced`].
///
/// # Errors
/// [`Undefined::TooFew`] with fewer perturbations than folds or where no caliper leaves a perturbation; those of
/// [`LogisticRegression::fit`].
///
/// # Panics
/// When `calipers` is empty or `spline_df` or `n_negatives` is 0.
pub fn propensity_matching(
    candidates: &ScoredCandidates,
    params: &MatchingParams,
    seeds: Seeds,
) -> Result<PropensityMatching, Error> {
    assert!(params.n_negatives > 0, "a match needs a negative");
    let folds = GridFolds::balanced(candidates.labels().candidate, params.n_folds)?;
    let covariates = Covariates::of(candidates, &folds)?;
    let logit = covariates.logit(candidates, &folds, params)?;
    let matched = matched(candidates, &covariates, &folds, &logit, params)?;
    let worst = matched.worst();
    if worst.after.is_nan() || worst.after.abs() > params.max_difference {
        let unbalanced = Undefined::Unbalanced {
            covariate: worst.covariate,
            difference: worst.after.abs(),
            limit: params.max_difference,
        };
        return Ok(PropensityMatching {
            matched,
            logit,
            attention: Err(unbalanced.clone()),
            correlation: Err(unbalanced.clone()),
            attention_gain: Err(unbalanced.clone()),
            correlation_gain: Err(unbalanced),
        });
    }
    let labels = matched.candidates.labels();
    let auroc = |scores| defined(crossed_auroc(scores, labels, &params.gain.limits));
    let (attention_gain, correlation_gain) = match gains(&matched.candidates, params, seeds) {
        Ok((attention, correlation)) => (Ok(attention), Ok(correlation)),
        Err(Error::Stats(scfm_stats::Error::Undefined(reason))) => (Err(reason.clone()), Err(reason)),
        Err(error) => return Err(error),
    };
    Ok(PropensityMatching {
        attention: auroc(matched.candidates.attention())?,
        correlation: auroc(matched.candidates.correlation())?,
        attention_gain,
        correlation_gain,
        matched,
        logit,
    })
}

/// What attention and |ρ| add to genes on the matched candidates.
fn gains(
    candidates: &ScoredCandidates,
    params: &MatchingParams,
    seeds: Seeds,
) -> Result<(Gain, Gain), Error> {
    let labels = candidates.labels();
    let folds = GridFolds::balanced(labels.candidate, params.n_folds)?;
    let models =
        [Model::Gene, Model::GeneAttention, Model::GeneCorrelation].map(|model| model.edges(candidates));
    let fitter = Fitter::Logistic(params.regression, GeneTerms::Splines(params.spline_df));
    let scores = held_out_scores(candidates, &folds.blocks(Split::Perturbation), fitter, &models)?;
    let gain = |model: usize, name| {
        let stream = |i| seeds.stream("propensity-matching", name, i);
        Gain::of(
            scores[model].view(),
            &[scores[0].view()],
            labels,
            &params.gain,
            stream,
        )
    };
    Ok((gain(1, "attention")?, gain(2, "correlation")?))
}

/// What a pair is matched on.
struct Covariates {
    /// Mean, variance and dropout rate of the targets.
    of_target: [Array1<f64>; 3],
    /// Responses and candidates of each target in each fold of perturbations, `[fold, target]`.
    responded: Array2<f64>,
    asked: Array2<f64>,
}

const NAMES: [&str; 4] = [MEAN, VARIANCE, DROPOUT_RATE, "responses to other perturbations"];

impl Covariates {
    fn of(candidates: &ScoredCandidates, folds: &GridFolds) -> Result<Self, Error> {
        let labels = candidates.labels();
        let mut responded = Array2::zeros((folds.n, labels.candidate.ncols()));
        let mut asked = responded.clone();
        for ((row, column), _) in labels.candidate.indexed_iter().filter(|&(_, &c)| c) {
            asked[[folds.of_row[row], column]] += 1.0;
            responded[[folds.of_row[row], column]] += f64::from(u8::from(labels.positive[[row, column]]));
        }
        let feature = |name| candidates.of_targets(name);
        Ok(Self {
            of_target: [feature(MEAN)?, feature(VARIANCE)?, feature(DROPOUT_RATE)?],
            responded,
            asked,
        })
    }

    /// Number of responses and of perturbations asked outside some folds, for each target.
    fn outside(&self, folds: &[usize]) -> (Array1<f64>, Array1<f64>) {
        let kept: Vec<usize> = (0..self.asked.nrows()).filter(|f| !folds.contains(f)).collect();
        let sum = |table: &Array2<f64>| table.select(Axis(0), &kept).sum_axis(Axis(0));
        (sum(&self.responded), sum(&self.asked))
    }

    /// Empirical log-odds of a response outside some folds, half a response added to either side.
    fn log_odds_outside(&self, folds: &[usize]) -> Array1<f64> {
        let (responded, asked) = self.outside(folds);
        ndarray::Zip::from(&responded)
            .and(&asked)
            .map_collect(|r, n| ((r + 0.5) / (n - r + 0.5)).ln())
    }

    /// Log-odds of a response of each candidate pair, learnt without its fold.
    fn logit(
        &self,
        candidates: &ScoredCandidates,
        folds: &GridFolds,
        params: &MatchingParams,
    ) -> Result<Array2<f64>, Error> {
        let labels = candidates.labels();
        let mut logit = Array2::from_elem(labels.candidate.dim(), f64::NAN);
        let mut columns = Vec::new();
        for feature in &self.of_target {
            let described: Array1<f64> = feature.iter().copied().filter(|v| v.is_finite()).collect();
            // Targets without features are no candidates; any finite value will do for them.
            let filled = feature.mapv(|v| if v.is_finite() { v } else { described[0] });
            columns.push(
                NaturalSpline::at_quantiles(described.view(), params.spline_df)?.columns(filled.view()),
            );
        }
        let views: Vec<_> = columns.iter().map(|c| c.view()).collect();
        let columns = concatenate(Axis(1), &views).expect("a row per target in every part");
        let rows = Array2::zeros((labels.candidate.nrows(), 0));
        for fold in 0..folds.n {
            let (held, training): (Vec<usize>, Vec<usize>) =
                (0..folds.of_row.len()).partition(|&row| folds.of_row[row] == fold);
            // Neither the perturbation's own fold nor, in training, the fold that is predicted.
            let frequency: Vec<Array1<f64>> = (0..folds.n)
                .map(|own| self.log_odds_outside(&[own, fold]))
                .collect();
            let seen: Array1<f64> = training
                .iter()
                .flat_map(|&row| {
                    let of_row = frequency[folds.of_row[row]].iter().zip(labels.candidate.row(row));
                    of_row.filter(|&(_, &c)| c).map(|(&f, _)| f).collect::<Vec<_>>()
                })
                .collect();
            let spline = NaturalSpline::at_quantiles(seen.view(), params.spline_df)?;
            let bases: Vec<Array2<f64>> = frequency.iter().map(|f| spline.columns(f.view())).collect();
            let edges: Vec<Array2<f64>> = (0..bases[0].ncols())
                .map(|k| {
                    Array2::from_shape_fn(labels.candidate.dim(), |(p, g)| bases[folds.of_row[p]][[g, k]])
                })
                .collect();
            let edges: Vec<_> = edges.iter().map(|edge| edge.view()).collect();
            let design = PairDesign::new(rows.view(), columns.view(), &edges, labels.candidate, &training);
            let fitted = design.fit(labels, &training, params.regression.penalty(), None)?;
            for row in held {
                logit
                    .row_mut(row)
                    .assign(&design.log_odds(&fitted, row, labels.candidate.row(row)));
            }
        }
        Ok(logit)
    }

    /// The covariates of a pair, the responses as a share.
    fn shares(&self, folds: &GridFolds) -> Vec<Array1<f64>> {
        (0..folds.n)
            .map(|fold| {
                let (responded, asked) = self.outside(&[fold]);
                ndarray::Zip::from(&responded)
                    .and(&asked)
                    .map_collect(|r, n| if *n > 0.0 { r / n } else { 0.0 })
            })
            .collect()
    }
}

/// The first caliper that balances the classes, or the one that comes nearest to it.
fn matched(
    candidates: &ScoredCandidates,
    covariates: &Covariates,
    folds: &GridFolds,
    logit: &Array2<f64>,
    params: &MatchingParams,
) -> Result<Matched, Error> {
    let labels = candidates.labels();
    let all = candidates.responses().perturbed();
    let shares = covariates.shares(folds);
    let value = |covariate: usize, (p, g): (usize, usize)| match covariates.of_target.get(covariate) {
        Some(of_target) => of_target[g],
        None => shares[folds.of_row[p]][g],
    };
    let before: Vec<Contrast> = (0..NAMES.len())
        .map(|covariate| Contrast::of(labels, |_| true, |pair| value(covariate, pair)))
        .collect();
    let known: Vec<f64> = logit.iter().copied().filter(|v| !v.is_nan()).collect();
    let mean = known.iter().sum::<f64>() / known.len() as f64;
    let sd = (known.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / known.len() as f64).sqrt();
    let n_positives = count_positives(labels);

    let mut best: Option<Matched> = None;
    let mut failure = None;
    assert!(!params.calipers.is_empty(), "a caliper to match within");
    for &caliper in &params.calipers {
        let kept = kept_pairs(labels, logit, params.n_negatives, caliper * sd);
        let within = candidates.within(
            kept.view(),
            "neither a matched positive nor its negative",
            params.min_positives,
            params.min_negatives,
        );
        let candidates = match within {
            Ok(candidates) => candidates,
            Err(error) => {
                failure.get_or_insert(error);
                break;
            }
        };
        // Perturbations with too few matches have left, and their pairs with them.
        let rows = rows_of(&candidates, all);
        let remaining = |(p, g): (usize, usize)| rows[p].is_some() && kept[[p, g]];
        let balance: Vec<Balance> = before
            .iter()
            .enumerate()
            .map(|(i, before)| Balance {
                covariate: NAMES[i],
                before: before.standardised(before.spread),
                after: Contrast::of(labels, remaining, |pair| value(i, pair)).standardised(before.spread),
            })
            .collect();
        let tried = Matched {
            n_unmatched: n_positives - count_positives(candidates.labels()),
            candidates,
            caliper,
            balance,
            n_positives,
        };
        let nearer = best
            .as_ref()
            .is_none_or(|best: &Matched| tried.worst().after.abs() < best.worst().after.abs());
        let balanced = tried.worst().after.abs() <= params.max_difference;
        if nearer {
            best = Some(tried);
        }
        if balanced {
            break;
        }
    }
    match best {
        Some(best) => Ok(best),
        None => Err(failure.expect("a caliper failed where none worked")),
    }
}

/// Which perturbations of `all` are still among the candidates.
fn rows_of(candidates: &ScoredCandidates, all: &Panel) -> Vec<Option<usize>> {
    let perturbed = candidates.responses().perturbed();
    all.genes()
        .iter()
        .map(|gene| perturbed.position(gene.as_str()))
        .collect()
}

/// The matched positives with their negatives, each perturbation by itself.
fn kept_pairs(labels: LabelledGrid<'_>, logit: &Array2<f64>, k: usize, caliper: f64) -> Array2<bool> {
    let rows: Vec<Vec<bool>> = (0..logit.nrows())
        .into_par_iter()
        .map(|row| {
            let mut kept = vec![false; logit.ncols()];
            let candidates = (0..logit.ncols()).filter(|&g| labels.candidate[[row, g]]);
            let (positives, negatives): (Vec<usize>, Vec<usize>) =
                candidates.partition(|&g| labels.positive[[row, g]]);
            for found in match_nearest(|g| logit[[row, g]], &positives, &negatives, k, caliper) {
                kept[found.positive] = true;
                found.negatives.iter().for_each(|&g| kept[g] = true);
            }
            kept
        })
        .collect();
    Array2::from_shape_fn(logit.dim(), |(p, g)| rows[p][g])
}

fn count_positives(labels: LabelledGrid<'_>) -> usize {
    let pairs = labels.positive.iter().zip(labels.candidate);
    pairs
        .filter(|&(&positive, &candidate)| positive && candidate)
        .count()
}

/// Means of a covariate over responding and other candidates, and its spread.
struct Contrast {
    difference: f64,
    /// Root of the mean of both variances.
    spread: f64,
}

impl Contrast {
    /// Of the candidates that are `kept`.
    fn of(
        labels: LabelledGrid<'_>,
        kept: impl Fn((usize, usize)) -> bool,
        value: impl Fn((usize, usize)) -> f64,
    ) -> Self {
        let moments = |class: bool| {
            let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
            for (pair, &candidate) in labels.candidate.indexed_iter() {
                if candidate && labels.positive[pair] == class && kept(pair) {
                    let value = value(pair);
                    n += 1.0;
                    sum += value;
                    squares += value * value;
                }
            }
            let mean = sum / n;
            (mean, (squares / n - mean * mean).max(0.0))
        };
        let ((mean_1, variance_1), (mean_0, variance_0)) = (moments(true), moments(false));
        Self {
            difference: mean_1 - mean_0,
            spread: ((variance_1 + variance_0) / 2.0).sqrt(),
        }
    }

    /// The difference in units of `spread`; none where nothing varies.
    fn standardised(&self, spread: f64) -> f64 {
        if self.difference == 0.0 {
            0.0
        } else {
            self.difference / spread
        }
    }
}
