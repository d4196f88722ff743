//! Edges scored within cell states and brought together ("cell-state stratified interpretability", CSSI, of
//! arXiv:2602.17532), over states that are known or found, with what it takes to see whether that pays.
//!
//! A [`Strata`] holds the cells of each state. Scores within strata, correlations or attention alike, become one score for each
//! pair by a published [`Aggregator`] or by [`adaptive`], which uses strata as far as the data show that they matter:
//!
//! ```
//! use ndarray::{Array1, Array2};
//! use scfm_cssi::{
//!     Aggregator, Shift, Strata, StrataModel, adaptive, correlations, correlations_by_stratum, fisher_z, mean_shifts,
//! };
//! use scfm_synth::{MixtureParams, published};
//!
//! // The published cells of six states.
//! let cells = published::mixture(&MixtureParams::new(6, 100), 6)?;
//! let (expression, pairs) = (cells.expression.view(), &cells.pairs);
//! let strata = Strata::new(&cells.states, 5)?;
//! let within = correlations_by_stratum(expression, pairs, &strata)?;
//!
//! let all: Vec<usize> = (0..strata.n_cells()).collect();
//! let pooled = correlations(expression, pairs, &all)?;
//! let absolute: Vec<f64> = pooled.iter().map(|r| r.abs()).collect();
//! let largest = Aggregator::Max.apply(within.mapv(f64::abs).view(), &strata, &absolute)?;
//!
//! let pooled_z = fisher_z(Array1::from(pooled).view(), Array1::from_elem(pairs.len(), 600.0).view());
//! let z = fisher_z(within.view(), Array2::from_elem(within.dim(), 100.0).view());
//! let genes: Vec<usize> = (0..expression.ncols()).collect();
//! let shifts: Shift = mean_shifts(expression, &genes, &genes, &strata)?.into_iter().sum();
//! let found = adaptive(&pooled_z, &z, shifts.evidence())?;
//! // The states differ in correlations, not in means.
//! assert_eq!(found.model, StrataModel::Specific);
//! assert!(shifts.evidence() < 0.0);
//!
//! let auroc = |scores: &[f64]| scfm_stats::auroc(scores, &cells.truth());
//! assert!(auroc(&largest)? > auroc(&absolute)? + 0.05);
//! assert!(auroc(&found.scores)? > auroc(&absolute)? + 0.05);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! States are found as scanpy finds them, or by [`k_means`]: principal components ([`Covariance`]), nearest neighbours
//! ([`nearest_neighbours`]), fuzzy weights ([`Graph::fuzzy`]), the Leiden algorithm ([`leiden`]). [`StateSearch`] does all of it
//! for any set of genes, [`Communities::by_number`] looks for a number of states:
//!
//! ```
//! use scfm_core::Seeds;
//! use scfm_cssi::{StateParams, StateSearch};
//! use scfm_synth::{MixtureParams, Separation, StateMixture};
//!
//! let separation = Separation { markers: 3.0, ..Separation::default() };
//! let cells = StateMixture::identifiable(&MixtureParams::new(3, 60), separation, Seeds::new(0), 0)?;
//! let search = StateSearch::new(cells.expression.view(), StateParams::default(), 0)?;
//! let genes: Vec<usize> = (0..cells.expression.ncols()).collect();
//! assert_eq!(search.by(&genes)?.iter().max(), Some(&2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! States found from the very genes that are then judged within them distort what is judged; [`cross_fitted`] finds them without.
//! Clusters can be cut out of any cells: [`mean_shifts`] tells states from co-expression, and [`adaptive`] scores edges over all
//! cells where nothing speaks for strata. [`memberships`] refines clusters, or lets cells belong to several ([`cross_fitted_soft`]).
//! `examples/where_cssi_pays.rs` compares all of this on cells whose edges are known. [`permutation_p`] and [`closed_form_p`] say
//! which pairs are correlated in any stratum, [`expected_largest`] by how much a maximum over strata flatters, and [`split_half`]
//! whether a variant that was chosen holds on what it was not chosen on.

#![allow(
    clippy::needless_pass_by_value,
    reason = "array views are passed by value, as slices are"
)]

mod adaptive;
mod aggregate;
pub mod benchmark;
mod candidates;
mod correlations;
mod cross_fit;
mod edge_fdr;
mod error;
mod gaussians;
mod graph;
mod kmeans;
mod largest;
mod leiden;
mod neighbours;
mod pca;
mod recovery;
mod shifts;
mod shrinkage;
mod states;
mod strata;

pub use adaptive::{Adaptive, Estimates, StrataModel, adaptive, fisher_z};
pub use aggregate::Aggregator;
pub use correlations::{correlations, correlations_by_stratum, weighted_correlations};
pub use cross_fit::{CrossFit, CrossFitted, cross_fitted, cross_fitted_soft};
pub use edge_fdr::{Discoveries, closed_form_p, permutation_p};
pub use error::Error;
pub use gaussians::{likeliest, memberships};
pub use graph::Graph;
pub use kmeans::k_means;
pub use largest::{expected_largest, largest_p};
pub use leiden::{Communities, Partition, Scanned, leiden};
pub use neighbours::{Neighbours, nearest_neighbours};
pub use pca::{Components, Covariance};
pub use recovery::{HeldOut, Measure, Part, best_first, f1_at, hits_at, split_half};
pub use shifts::{Shift, mean_shifts};
pub use shrinkage::shrunken;
pub use states::{StateParams, StateSearch};
pub use strata::{Strata, random_labels, shuffled_labels};
