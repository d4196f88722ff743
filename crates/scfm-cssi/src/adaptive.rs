//! One score for each edge from its estimates in all strata, by a mixture of what edges can be.

use ndarray::{Array, ArrayView, ArrayView2, Axis, Dimension, Ix1, Ix2};

use crate::aggregate::same;
use crate::error::Error;

/// Neighbouring scales of effects differ by this factor of their variance, as in adaptive shrinkage (Stephens 2017).
const SCALE_RATIO: f64 = 2.0;
/// Prior observations of edges without any effect, which keeps the mixture from effects that one edge alone asks for
/// (Stephens 2017).
const PRIOR_NULLS: f64 = 10.0;
/// Rounds of expectation and maximisation, and the gain per edge below which they end.
const MAX_ROUNDS: usize = 1_000;
const ENOUGH: f64 = 1e-7;
/// What the model with effects of single strata has more than the one without: their share and their scale.
const EXTRA_PARAMETERS: f64 = 2.0;

/// Estimates of effects, 0 where there is none, each normal with its standard error. NaN where nothing was seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimates<D: Dimension> {
    /// The estimates.
    pub values: Array<f64, D>,
    /// Their standard errors, of the same shape.
    pub standard_errors: Array<f64, D>,
}

/// What strata are to edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrataModel {
    /// Nothing: edges are scored over all cells.
    Pooled,
    /// Strata shift the means of genes, which correlates them over all cells; within strata each edge has one effect.
    Shared,
    /// Effects differ between strata.
    Specific,
}

/// Scores of edges that use strata as far as the data show that strata matter.
#[derive(Debug, Clone, PartialEq)]
pub struct Adaptive {
    /// Logarithm of the odds of an effect to none that the estimates of each edge speak for, up to the same constant for all.
    /// NaN for an edge without estimates in what the model looks at.
    pub scores: Vec<f64>,
    /// Probability that each edge has no effect; its local false discovery rate.
    pub null_probability: Vec<f64>,
    /// The model that scores are of.
    pub model: StrataModel,
    /// Probability that effects differ between strata.
    pub effects_differ: f64,
    /// Probability that strata matter at all: that effects differ or means are shifted.
    pub strata_matter: f64,
    /// Of the edges, the shares that the model gives to no effect, to one effect in all strata, to an effect in one
    /// stratum, and to effects of their own in all strata.
    pub shares: [f64; 4],
}

/// Brings estimates of edges over all cells, `[edges]`, and within strata, `[strata, edges]`, to one score for each edge.
///
/// One of three models of all edges gives the scores, as the evidence decides that strata give by themselves:
///
/// - [`StrataModel::Specific`] where effects differ between strata. An edge has no effect, the same in all strata, one in a
///   single stratum, or effects of its own in all. Effects are normal around 0 with variances on a grid, and the
///   shares of all components are fitted by expectation and maximisation (the patterns of mash, Urbut et al. 2019,
///   Nature Genetics 51, 187). So an edge of a single stratum keeps the weight of its estimate there, against a
///   maximum over strata that no noise of small strata has inflated.
/// - [`StrataModel::Shared`] where they do not differ but `shift_evidence`, the logarithm of the odds that strata shift
///   the means of genes ([`Shift::evidence`](crate::Shift::evidence) of the sum over genes), is above 0: scores order edges
///   as the precision-weighted mean over strata does.
/// - [`StrataModel::Pooled`] where neither is seen: scores order edges exactly as the sizes of pooled estimates do.
///
/// The likelihoods of the first two, the first paying for two parameters more (Schwarz 1978), say whether effects differ.
///
/// The model that is likelier is taken, not an average: over draws of the benchmark averages recovered as much, and moved
/// scores where strata are of nothing.
///
/// # Errors
/// [`Error::Length`] for unlike shapes; [`Error::OutOfRange`] for a standard error that is not finite and positive where
/// there is an estimate, for infinite estimates, without any estimate within strata or over all cells, and for evidence that
/// is NaN.
pub fn adaptive(
    pooled: &Estimates<Ix1>,
    within: &Estimates<Ix2>,
    shift_evidence: f64,
) -> Result<Adaptive, Error> {
    same("pooled estimates", within.values.ncols(), pooled.values.len())?;
    if shift_evidence.is_nan() {
        return Err(Error::OutOfRange {
            what: "evidence for shifts",
            value: shift_evidence,
            expected: "a number",
        });
    }
    let of_all = [&pooled.values, &pooled.standard_errors].map(|of| of.view().insert_axis(Axis(0)));
    let over_all = Edges::of(of_all[0], of_all[1])?;
    let in_strata = Edges::of(within.values.view(), within.standard_errors.view())?;

    let shared = Fit::of(&in_strata.components, in_strata.up_to(1));
    let specific = Fit::of(&in_strata.components, in_strata.up_to(3));
    let price = EXTRA_PARAMETERS / 2.0 * (in_strata.seen.len() as f64).ln();
    let effects_differ = probability(specific.log_likelihood - shared.log_likelihood - price);
    let shifted = probability(shift_evidence);

    let (model, fit, edges) = if effects_differ > 0.5 {
        (StrataModel::Specific, specific, in_strata)
    } else if shifted > 0.5 {
        (StrataModel::Shared, shared, in_strata)
    } else {
        let fit = Fit::of(&over_all.components, over_all.up_to(1));
        (StrataModel::Pooled, fit, over_all)
    };
    let mut result = Adaptive {
        scores: vec![f64::NAN; edges.n],
        null_probability: vec![f64::NAN; edges.n],
        model,
        effects_differ,
        strata_matter: 1.0 - (1.0 - effects_differ) * (1.0 - shifted),
        shares: [0.0; 4],
    };
    for (&edge, factors) in edges.seen.iter().zip(&edges.components) {
        result.scores[edge] = fit.log_odds(factors);
        result.null_probability[edge] = fit.log_null_probability(factors).exp();
    }
    for (component, share) in fit.shares.iter().enumerate() {
        let kind = match component {
            0 => 0,
            _ => 1 + (component - 1) / edges.n_scales,
        };
        result.shares[kind] += share;
    }
    Ok(result)
}

/// Of the logarithm of odds.
fn probability(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

/// Fisher's z of correlations over `sizes` cells, of the same shape, with their standard errors, 1 / √(n − 3): NaN for
/// fewer than four cells.
///
/// # Panics
/// For unlike shapes.
pub fn fisher_z<D: Dimension>(
    correlations: ArrayView<'_, f64, D>,
    sizes: ArrayView<'_, f64, D>,
) -> Estimates<D> {
    // A correlation of 1 has no z; this one is as far from 0 as ranks of a thousand cells can be told from it.
    const LARGEST: f64 = 1.0 - 1e-6;
    let values = ndarray::Zip::from(correlations)
        .and(sizes.view())
        .map_collect(|r, &n| {
            if n > 3.0 {
                r.clamp(-LARGEST, LARGEST).atanh()
            } else {
                f64::NAN
            }
        });
    Estimates {
        values,
        standard_errors: sizes.mapv(|n| if n > 3.0 { 1.0 / (n - 3.0).sqrt() } else { f64::NAN }),
    }
}

/// What each edge's estimates say of effects of all kinds and sizes.
struct Edges {
    /// Number of edges, seen or not.
    n: usize,
    /// Those with an estimate.
    seen: Vec<usize>,
    n_scales: usize,
    /// As [`log_factors`], for each that was seen.
    components: Vec<Vec<f64>>,
}

impl Edges {
    fn of(estimates: ArrayView2<'_, f64>, errors: ArrayView2<'_, f64>) -> Result<Self, Error> {
        let edges = edges(estimates, errors)?;
        let scales = scales(&edges)?;
        let seen: Vec<usize> = (0..edges.len()).filter(|&edge| !edges[edge].is_empty()).collect();
        Ok(Self {
            n: edges.len(),
            components: seen
                .iter()
                .map(|&edge| log_factors(&edges[edge], &scales))
                .collect(),
            n_scales: scales.len(),
            seen,
        })
    }

    /// The number of components: none, and the first kinds of effects.
    fn up_to(&self, n_kinds: usize) -> usize {
        1 + n_kinds * self.n_scales
    }
}

/// An estimate and the square of its standard error.
type Estimate = (f64, f64);

fn edges(estimates: ArrayView2<'_, f64>, errors: ArrayView2<'_, f64>) -> Result<Vec<Vec<Estimate>>, Error> {
    same("rows of standard errors", estimates.nrows(), errors.nrows())?;
    same("columns of standard errors", estimates.ncols(), errors.ncols())?;
    let refused = |what, value, expected| {
        Err(Error::OutOfRange {
            what,
            value,
            expected,
        })
    };
    let mut edges = vec![Vec::new(); estimates.ncols()];
    for ((at, &estimate), &error) in estimates.indexed_iter().zip(errors) {
        if estimate.is_nan() {
            continue;
        }
        if estimate.is_infinite() {
            return refused("estimate", estimate, "a finite number");
        }
        if !(error > 0.0 && error.is_finite()) {
            return refused("standard error", error, "a finite number above 0");
        }
        edges[at.1].push((estimate, error * error));
    }
    Ok(edges)
}

/// Variances of effects, from twice the largest that an estimate asks for down to a quarter of a mean's own error.
fn scales(edges: &[Vec<Estimate>]) -> Result<Vec<f64>, Error> {
    let excess = edges
        .iter()
        .flatten()
        .map(|&(estimate, error)| estimate * estimate - error);
    let largest_excess = excess.fold(f64::NAN, f64::max);
    let mut errors: Vec<f64> = edges
        .iter()
        .filter(|edge| !edge.is_empty())
        .map(|edge| mean(edge).1)
        .collect();
    errors.sort_unstable_by(f64::total_cmp);
    let Some(&error) = errors.get(errors.len() / 2) else {
        return Err(Error::OutOfRange {
            what: "number of estimates",
            value: 0.0,
            expected: "at least 1",
        });
    };
    let smallest = error / 4.0;
    let largest = f64::max(4.0 * largest_excess, 2.0 * smallest);
    Ok(
        std::iter::successors(Some(largest), |scale| Some(scale / SCALE_RATIO))
            .take_while(|&scale| scale > smallest)
            .collect(),
    )
}

/// The precision-weighted mean and its squared standard error.
fn mean(edge: &[Estimate]) -> Estimate {
    let precision: f64 = edge.iter().map(|(_, error)| 1.0 / error).sum();
    let sum: f64 = edge.iter().map(|(estimate, error)| estimate / error).sum();
    (sum / precision, 1.0 / precision)
}

/// Logarithms of the likelihood of each component over that of no effect: no effect, then for all scales each one effect,
/// an effect in one stratum, effects of all strata.
fn log_factors(edge: &[Estimate], scales: &[f64]) -> Vec<f64> {
    let mean = mean(edge);
    let mut factors = vec![0.0; 1 + 3 * scales.len()];
    for (at, &scale) in scales.iter().enumerate() {
        let each: Vec<f64> = edge.iter().map(|&estimate| log_factor(estimate, scale)).collect();
        factors[1 + at] = log_factor(mean, scale);
        factors[1 + scales.len() + at] = log_sum(&each) - (each.len() as f64).ln();
        factors[1 + 2 * scales.len() + at] = each.iter().sum();
    }
    factors
}

/// Density of an estimate under an effect of variance `scale` over its density under none, as a logarithm.
fn log_factor((estimate, error): Estimate, scale: f64) -> f64 {
    let variance = error + scale;
    0.5 * ((error / variance).ln() + estimate * estimate * (1.0 / error - 1.0 / variance))
}

fn log_sum(logs: &[f64]) -> f64 {
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    largest + logs.iter().map(|log| (log - largest).exp()).sum::<f64>().ln()
}

/// The shares of the first components that make the estimates likeliest.
struct Fit {
    shares: Vec<f64>,
    log_likelihood: f64,
}

impl Fit {
    fn of(components: &[Vec<f64>], n_components: usize) -> Self {
        // Likelihoods of an edge over the largest of its components, which keeps them from overflowing.
        let (mut scaled, mut largest) = (Vec::new(), Vec::new());
        for factors in components {
            let most = factors[..n_components]
                .iter()
                .copied()
                .fold(f64::NEG_INFINITY, f64::max);
            scaled.extend(factors[..n_components].iter().map(|factor| (factor - most).exp()));
            largest.push(most);
        }
        let total = components.len() as f64 + PRIOR_NULLS - 1.0;
        let mut shares = vec![1.0 / n_components as f64; n_components];
        let mut log_likelihood = f64::NEG_INFINITY;
        for _ in 0..MAX_ROUNDS {
            let mut counts = vec![0.0; n_components];
            counts[0] = PRIOR_NULLS - 1.0;
            let mut next = counts[0] * shares[0].ln();
            for (likelihoods, most) in scaled.chunks_exact(n_components).zip(&largest) {
                let sum: f64 = likelihoods.iter().zip(&shares).map(|(l, share)| l * share).sum();
                next += sum.ln() + most;
                for ((count, l), share) in counts.iter_mut().zip(likelihoods).zip(&shares) {
                    *count += l * share / sum;
                }
            }
            let gain = next - log_likelihood;
            log_likelihood = next;
            if gain < ENOUGH * components.len() as f64 {
                break;
            }
            shares = counts.iter().map(|count| count / total).collect();
        }
        Self {
            shares,
            log_likelihood,
        }
    }

    fn terms<'a>(&'a self, factors: &'a [f64]) -> Vec<f64> {
        self.shares
            .iter()
            .zip(factors)
            .map(|(share, factor)| share.ln() + factor)
            .collect()
    }

    /// Of an effect to none, but for the odds of none, which all edges share.
    fn log_odds(&self, factors: &[f64]) -> f64 {
        log_sum(&self.terms(factors)[1..])
    }

    fn log_null_probability(&self, factors: &[f64]) -> f64 {
        let terms = self.terms(factors);
        terms[0] - log_sum(&terms)
    }
}
