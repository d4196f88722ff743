//! The published simulations of scoring within cell states, drawn from the same random numbers as the archived
//! results (see [`numpy`](crate::numpy)): arXiv:2602.17532 and the scripts of its authors.
//!
//! ```
//! use scfm_synth::{MixtureParams, published};
//!
//! // The smallest size of the published table, first of ten seeds: 200 cells of two states.
//! let mixture = published::mixture(&MixtureParams::new(2, 100), 2)?;
//! assert_eq!(mixture.expression.dim(), (200, 30));
//! assert_eq!(mixture.truth().iter().filter(|&&edge| edge).count(), 14);
//! # Ok::<(), scfm_synth::Error>(())
//! ```
//!
//! Labels are known in all of them, edges stand at the states by construction, and in two of them nothing is
//! simulated but the scores themselves.

use ndarray::Array2;

use crate::Error;
use crate::mixture::{MixtureParams, StateMixture};
use crate::numpy::RandomState;

mod pbmc;
mod scores;

pub use pbmc::{PBMC_TYPES, Pbmc, pbmc};
pub use scores::{IMMUNE_TYPES, SPLIT_HALF_GENES, held_out_half, immune_scores, split_half_scores};

/// A size of the published table: number of states, cells per state. The published means are over
/// [`mixture`]`(&MixtureParams::new(n_states, cells), 100 * s + n_states)` for `s` of 0 to 9.
pub const SCALING: [(usize, usize); 6] = [(2, 100), (4, 100), (6, 100), (8, 125), (10, 100), (12, 125)];

/// What the authors' first simulations have in common: 3 shared edges, a strength of 0.6.
pub fn first_version(n_states: usize, cells_per_state: usize, private: usize) -> MixtureParams {
    MixtureParams {
        shared: 3,
        private,
        strength: 0.6,
        ..MixtureParams::new(n_states, cells_per_state)
    }
}

/// Draws a mixture as the authors' two generators do, which differ in parameters alone: the pairs are shuffled, all
/// genes drawn at once, then effects added state by state.
///
/// # Errors
/// [`Error::Parameter`] for the first parameter out of range.
pub fn mixture(params: &MixtureParams, seed: u32) -> Result<StateMixture, Error> {
    params.check()?;
    let mut rng = RandomState::new(seed);
    let mut order: Vec<usize> = (0..params.pairs().len()).collect();
    rng.shuffle(&mut order);
    let shape = (params.cells.iter().sum(), params.n_genes);
    let expression = Array2::from_shape_simple_fn(shape, || rng.standard_normal());
    Ok(params.regulate(expression, &order))
}

/// A mixture with its states or its genes made meaningless.
#[derive(Debug, Clone, PartialEq)]
pub struct Nulls {
    /// The states in random order over the cells.
    pub shuffled: Vec<usize>,
    /// A state drawn anew for each cell, all equally likely.
    pub random: Vec<usize>,
    /// Expression `[cell, gene]` with each gene in a random order of its own over the cells.
    pub permuted: Array2<f64>,
}

/// The three nulls of a mixture, drawn in the order of [`Nulls`] from one generator. Only the idea of them is
/// published; the order, and seeds of 10,000 + the number of the mixture, are ours.
pub fn nulls(mixture: &StateMixture, seed: u32) -> Nulls {
    let mut rng = RandomState::new(seed);
    let mut shuffled = mixture.states.clone();
    rng.shuffle(&mut shuffled);
    let random = mixture
        .states
        .iter()
        .map(|_| rng.below(mixture.n_states))
        .collect();
    let mut permuted = mixture.expression.clone();
    for mut gene in permuted.columns_mut() {
        let mut values = gene.to_vec();
        rng.shuffle(&mut values);
        gene.iter_mut().zip(values).for_each(|(x, value)| *x = value);
    }
    Nulls {
        shuffled,
        random,
        permuted,
    }
}
