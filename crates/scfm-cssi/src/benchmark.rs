//! What each way to use states recovers of the edges of simulated cells, whose edges are known.

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use rand::Rng;
use scfm_core::Seeds;
use scfm_synth::{MixtureParams, StateMixture, published};

use crate::adaptive::{StrataModel, adaptive, fisher_z};
use crate::aggregate::Aggregator;
use crate::correlations::{correlations, correlations_by_stratum};
use crate::cross_fit::{CrossFit, CrossFitted, cross_fitted, cross_fitted_soft};
use crate::error::Error;
use crate::kmeans::k_means;
use crate::recovery::{Measure, f1_at};
use crate::shifts::{Shift, shifts_of_pairs};
use crate::strata::Strata;

/// Starts of k-means, as published.
const STARTS: usize = 3;
/// Parts of the genes for cross-fitting: few, since no part of them can find the published states.
const PARTS: usize = 4;
/// Cells that a stratum needs, as published.
const MIN_CELLS: usize = 5;

/// How well scores tell edges from other candidate pairs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recovery {
    /// F1 of as many of the highest scores as there are edges; equal to precision and recall.
    pub f1: f64,
    /// Area under the ROC curve.
    pub auroc: f64,
}

/// What is recovered by all ways to bring strata together, from the same strata. Scores are absolute correlations.
#[derive(Debug, Clone, PartialEq)]
pub struct Recovered {
    /// Without strata.
    pub pooled: Recovery,
    /// By each of [`Aggregator::ALL`], in that order.
    pub aggregated: [Recovery; 8],
    /// By [`adaptive`] scores.
    pub adaptive: Recovery,
    /// [`Adaptive::model`](crate::Adaptive::model).
    pub model: StrataModel,
    /// [`Adaptive::strata_matter`](crate::Adaptive::strata_matter).
    pub strata_matter: f64,
}

impl Recovered {
    /// What `aggregator` recovers.
    pub fn by(&self, aggregator: Aggregator) -> Recovery {
        let at = Aggregator::ALL.iter().position(|&other| other == aggregator);
        self.aggregated[at.expect("all aggregators are listed")]
    }

    /// From strata of the cells that share a label.
    ///
    /// # Errors
    /// [`Error::NoStrata`]; [`Error::Length`] unless there is a label for each cell.
    pub fn within(mixture: &StateMixture, labels: &[usize]) -> Result<Self, Error> {
        let strata = Strata::new(labels, MIN_CELLS)?;
        let correlations = correlations_by_stratum(mixture.expression.view(), &mixture.pairs, &strata)?;
        let sizes = strata.sizes();
        let sizes = Array2::from_shape_fn(correlations.dim(), |(stratum, _)| sizes[stratum] as f64);
        let by: Vec<usize> = (0..mixture.expression.ncols()).collect();
        let shifts = shifts_of_pairs(mixture.expression.view(), &mixture.pairs, &by, &strata)?;
        let shift: Shift = shifts.into_iter().map(|(_, shift)| shift).sum();
        Self::of(mixture, correlations.view(), sizes.view(), shift)
    }

    /// From states that `find_states` finds without the genes of each pair, of which there are `n_folds` parts, as [`cross_fitted`]
    /// does.
    ///
    /// # Errors
    /// As [`cross_fitted`].
    pub fn cross_fitted(
        mixture: &StateMixture,
        n_folds: usize,
        find_states: impl Fn(&[usize]) -> Result<Vec<usize>, Error> + Sync,
        rng: &mut impl Rng,
    ) -> Result<Self, Error> {
        let (expression, pairs) = (mixture.expression.view(), &mixture.pairs);
        let fitted = cross_fitted(expression, pairs, parts(n_folds), find_states, rng)?;
        Self::of_cross_fitted(mixture, &fitted)
    }

    /// The same over cells that belong to states in part, as [`cross_fitted_soft`] does.
    ///
    /// # Errors
    /// As [`cross_fitted_soft`].
    pub fn cross_fitted_soft(
        mixture: &StateMixture,
        n_folds: usize,
        find_memberships: impl Fn(&[usize]) -> Result<Array2<f64>, Error> + Sync,
        rng: &mut impl Rng,
    ) -> Result<Self, Error> {
        let (expression, pairs) = (mixture.expression.view(), &mixture.pairs);
        let fitted = cross_fitted_soft(expression, pairs, parts(n_folds), find_memberships, rng)?;
        Self::of_cross_fitted(mixture, &fitted)
    }

    fn of_cross_fitted(mixture: &StateMixture, fitted: &CrossFitted) -> Result<Self, Error> {
        let (correlations, sizes) = (fitted.correlations.view(), fitted.sizes.view());
        Self::of(mixture, correlations, sizes, fitted.shift)
    }

    fn of(
        mixture: &StateMixture,
        within: ArrayView2<'_, f64>,
        sizes: ArrayView2<'_, f64>,
        shift: Shift,
    ) -> Result<Self, Error> {
        let truth = mixture.truth();
        let n_edges = truth.iter().filter(|&&is_edge| is_edge).count();
        let judge = |scores: &[f64]| -> Result<Recovery, Error> {
            Ok(Recovery {
                f1: f1_at(n_edges, scores, &truth)?,
                auroc: Measure::Auroc.of(scores, &truth)?,
            })
        };
        let n_cells = mixture.states.len();
        let all: Vec<usize> = (0..n_cells).collect();
        let pooled = correlations(mixture.expression.view(), &mixture.pairs, &all)?;
        let everywhere = vec![n_cells as f64; pooled.len()];
        let of_pooled = fisher_z(ArrayView1::from(&pooled), ArrayView1::from(&everywhere));
        let pooled: Vec<f64> = pooled.into_iter().map(f64::abs).collect();
        let absolute = within.mapv(f64::abs);
        let mut aggregated = [Recovery { f1: 0.0, auroc: 0.0 }; 8];
        for (slot, aggregator) in aggregated.iter_mut().zip(Aggregator::ALL) {
            *slot = judge(&aggregator.apply_sized(absolute.view(), sizes, n_cells, &pooled)?)?;
        }
        let fitted = adaptive(&of_pooled, &fisher_z(within, sizes), shift.evidence())?;
        Ok(Self {
            pooled: judge(&pooled)?,
            aggregated,
            adaptive: judge(&fitted.scores)?,
            model: fitted.model,
            strata_matter: fitted.strata_matter,
        })
    }
}

fn parts(n_folds: usize) -> CrossFit {
    CrossFit {
        n_folds,
        min_cells: MIN_CELLS,
    }
}

/// One draw of a published size with the strata that it was shown with, and those that it was not.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishedRow {
    /// Number of states.
    pub n_states: usize,
    /// Cells of each.
    pub cells_per_state: usize,
    /// Number of the draw.
    pub seed: u32,
    /// Number of edges among the 125 candidate pairs.
    pub n_edges: usize,
    /// Strata are the true states, which the published table is about.
    pub known: Recovered,
    /// Strata are clusters of cells by k-means on all genes, with as many clusters as states. The published ones were drawn
    /// from other random numbers and agree in distribution.
    pub k_means: Recovered,
    /// As [`Recovered::cross_fitted`].
    pub cross_fitted: Recovered,
    /// The true states in random order over the cells.
    pub shuffled: Recovered,
    /// One of the states at random for each cell.
    pub random: Recovered,
    /// Each gene in random order over the cells, in the true states.
    pub permuted: Recovered,
}

impl PublishedRow {
    /// Draw `seed` of the published size of `n_states` states of `cells_per_state` cells: the cells are those of the published
    /// table for the sizes of [`published::SCALING`] and seeds of 0 to 9.
    ///
    /// # Errors
    /// [`Error::Simulation`] for a size that cannot be drawn, and what strata without cells bring.
    pub fn draw(n_states: usize, cells_per_state: usize, seed: u32) -> Result<Self, Error> {
        let params = MixtureParams::new(n_states, cells_per_state);
        let mixture = published::mixture(&params, 100 * seed + n_states as u32)?;
        let nulls = published::nulls(&mixture, 10_000 + seed);
        let seeds = Seeds::new(u64::from(seed));
        let stream = |purpose| seeds.stream("cssi/published", purpose, 0);
        let clusters = |genes: &[usize]| clusters(&mixture, genes, n_states, &mut stream("k-means"));
        let all_genes: Vec<usize> = (0..mixture.expression.ncols()).collect();
        let permuted = StateMixture {
            expression: nulls.permuted,
            ..mixture.clone()
        };
        Ok(Self {
            n_states,
            cells_per_state,
            seed,
            n_edges: mixture.truth().iter().filter(|&&is_edge| is_edge).count(),
            known: Recovered::within(&mixture, &mixture.states)?,
            k_means: Recovered::within(&mixture, &clusters(&all_genes)?)?,
            cross_fitted: Recovered::cross_fitted(&mixture, PARTS, clusters, &mut stream("parts"))?,
            shuffled: Recovered::within(&mixture, &nulls.shuffled)?,
            random: Recovered::within(&mixture, &nulls.random)?,
            permuted: Recovered::within(&permuted, &mixture.states)?,
        })
    }
}

/// Clusters of the cells of a mixture by k-means on some of its genes, the best of three starts as published.
///
/// # Errors
/// As [`k_means`].
pub fn clusters(
    mixture: &StateMixture,
    genes: &[usize],
    n_clusters: usize,
    rng: &mut impl Rng,
) -> Result<Vec<usize>, Error> {
    let expression = mixture.expression.select(Axis(1), genes);
    k_means(expression.view(), n_clusters, STARTS, rng)
}
