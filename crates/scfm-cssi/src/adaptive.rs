//! One score for each edge from its estimates in all strata, by a mixture of what edges can be.

use ndarray::{Array2, ArrayView2};

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

/// Scores of edges that use strata as far as the data show that strata matter.
#[derive(Debug, Clone, PartialEq)]
pub struct Adaptive {
    /// Logarithm of the odds of an effect to none that the estimates of each edge speak for, up to the same constant for all.
    /// NaN for an edge without estimates.
    pub scores: Vec<f64>,
    /// Probability that each edge has no effect in any stratum; its local false discovery rate.
    pub null_probability: Vec<f64>,
    /// Probability that effects differ between strata at all.
    pub strata_matter: f64,
    /// Of the edges, the shares that the mixture gives to no effect, to one effect in all strata, to an effect in one
    /// stratum, and to effects of their own in all strata.
    pub shares: [f64; 4],
}

/// Brings estimates of edges within strata, `[strata, edges]`, to one score for each edge. An estimate is 0 where there is no
/// effect, and normal with its standard error; NaN where the edge was not seen in a stratum.
///
/// Two models are fitted to all edges. In the first an edge has no effect, or the same effect in all strata; scores then
/// order edges as the precision-weighted mean does. In the second it may also have an effect in one stratum only, or
/// effects of its own in all. Effects are normal around 0 with variances on a grid, and the shares of all components are
/// fitted by expectation and maximisation (the patterns of mash, Urbut et al. 2019, Nature Genetics 51, 187). The two are
/// averaged with the weights that their likelihoods give them, the second paying for two parameters more
/// (Schwarz 1978). So where strata carry nothing, the score is that of the mean; where they do, an edge of a single
/// stratum keeps the weight of its estimate there, against a maximum over strata that no noise of small strata has
/// inflated.
///
/// # Errors
/// [`Error::Length`] for unlike shapes; [`Error::OutOfRange`] for a standard error that is not finite and positive where
/// there is an estimate, for infinite estimates, and without any estimate.
pub fn adaptive(
    estimates: ArrayView2<'_, f64>,
    standard_errors: ArrayView2<'_, f64>,
) -> Result<Adaptive, Error> {
    let edges = edges(estimates, standard_errors)?;
    let scales = scales(&edges)?;
    let seen: Vec<usize> = (0..edges.len()).filter(|&edge| !edges[edge].is_empty()).collect();
    let components: Vec<Vec<f64>> = seen
        .iter()
        .map(|&edge| log_factors(&edges[edge], &scales))
        .collect();

    let shared = Fit::of(&components, 1 + scales.len());
    let specific = Fit::of(&components, 1 + 3 * scales.len());
    let price = EXTRA_PARAMETERS / 2.0 * (seen.len() as f64).ln();
    let strata_matter = 1.0 / (1.0 + (shared.log_likelihood - specific.log_likelihood + price).exp());

    let mut result = Adaptive {
        scores: vec![f64::NAN; edges.len()],
        null_probability: vec![f64::NAN; edges.len()],
        strata_matter,
        shares: [0.0; 4],
    };
    for (edge, factors) in seen.into_iter().zip(&components) {
        let mean = |of: &dyn Fn(&Fit) -> f64| {
            log_sum(&[
                (1.0 - strata_matter).ln() + of(&shared),
                strata_matter.ln() + of(&specific),
            ])
        };
        result.scores[edge] = mean(&|fit| fit.log_odds(factors));
        result.null_probability[edge] = mean(&|fit| fit.log_null_probability(factors)).exp();
    }
    for (fit, weight) in [(&shared, 1.0 - strata_matter), (&specific, strata_matter)] {
        for (component, share) in fit.shares.iter().enumerate() {
            let kind = if component == 0 {
                0
            } else {
                1 + (component - 1) / scales.len()
            };
            result.shares[kind] += weight * share;
        }
    }
    Ok(result)
}

/// Fisher's z of correlations over strata of `sizes` cells, both `[strata, pairs]`, and their standard errors, 1 / √(n − 3):
/// NaN for fewer than four cells.
pub fn fisher_z(correlations: ArrayView2<'_, f64>, sizes: ArrayView2<'_, f64>) -> (Array2<f64>, Array2<f64>) {
    // A correlation of 1 has no z; this one is as far from 0 as ranks of a thousand cells can be told from it.
    const LARGEST: f64 = 1.0 - 1e-6;
    let z = ndarray::Zip::from(correlations).and(sizes).map_collect(|r, &n| {
        if n > 3.0 {
            r.clamp(-LARGEST, LARGEST).atanh()
        } else {
            f64::NAN
        }
    });
    (
        z,
        sizes.mapv(|n| if n > 3.0 { 1.0 / (n - 3.0).sqrt() } else { f64::NAN }),
    )
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
