//! Which pairs are correlated within any stratum, at a given false discovery rate.

use ndarray::ArrayView2;
use rand::{Rng, RngExt};
use rayon::prelude::*;

use crate::aggregate::same;
use crate::correlations::PairRanks;
use crate::error::Error;
use crate::largest::largest_p;
use crate::strata::Strata;

/// p-value of each pair's largest |ρ| over strata, if cells of each stratum are exchangeable: p = (1 + #≥) / (1 + B) over B
/// random orders of the cells of each stratum, in which the first gene of every pair is moved against the second.
///
/// One order serves all pairs, so that p-values of pairs are as dependent as the pairs are. `rng_of(b)` gives the random
/// numbers of order b; orders are drawn on all threads and counted as whole numbers.
///
/// # Errors
/// As [`correlations_by_stratum`](crate::correlations_by_stratum); [`Error::OutOfRange`] without permutations.
pub fn permutation_p<T: Copy + Into<f64> + Sync, R: Rng>(
    expression: ArrayView2<'_, T>,
    pairs: &[(usize, usize)],
    strata: &Strata,
    n_permutations: usize,
    rng_of: impl Fn(u64) -> R + Sync,
) -> Result<Vec<f64>, Error> {
    if n_permutations == 0 {
        return Err(Error::OutOfRange {
            what: "number of permutations",
            value: 0.0,
            expected: "at least 1",
        });
    }
    same("cells in strata", expression.nrows(), strata.n_cells())?;
    let ranks = (0..strata.len())
        .map(|stratum| PairRanks::of(expression, pairs, strata.cells(stratum)))
        .collect::<Result<Vec<_>, _>>()?;
    let observed = largest(ranks.iter().map(PairRanks::correlations), pairs.len());
    let exceeding = (0..n_permutations as u64)
        .into_par_iter()
        .fold(
            || vec![0u32; pairs.len()],
            |mut counts, permutation| {
                let mut rng = rng_of(permutation);
                let permuted = ranks.iter().map(|ranks| {
                    let mut order: Vec<usize> = (0..ranks.n_cells()).collect();
                    for last in (1..order.len()).rev() {
                        order.swap(last, rng.random_range(0..=last));
                    }
                    ranks.permuted(&order)
                });
                let null = largest(permuted, pairs.len());
                for ((count, null), observed) in counts.iter_mut().zip(null).zip(&observed) {
                    *count += u32::from(null >= *observed);
                }
                counts
            },
        )
        .reduce(
            || vec![0; pairs.len()],
            |a, b| a.into_iter().zip(b).map(|(a, b)| a + b).collect(),
        );
    let total = (1 + n_permutations) as f64;
    // A pair without any correlation is never exceeded, nor is it significant.
    let p = |(count, observed): (u32, f64)| {
        if observed.is_nan() {
            1.0
        } else {
            f64::from(1 + count) / total
        }
    };
    Ok(exceeding.into_iter().zip(observed).map(p).collect())
}

/// The same in closed form, 1 − ∏ (1 − p_k) with p_k the normal tail of Fisher's z at the largest |ρ|: from `correlations`,
/// `[strata, pairs]`, over strata of `sizes` cells. 1 for a pair without correlations.
///
/// # Errors
/// [`Error::Length`] for unlike shapes.
pub fn closed_form_p(
    correlations: ArrayView2<'_, f64>,
    sizes: ArrayView2<'_, f64>,
) -> Result<Vec<f64>, Error> {
    same("sizes of strata", correlations.len(), sizes.len())?;
    let z = crate::adaptive::fisher_z(correlations, sizes);
    let columns = z.values.columns().into_iter().zip(z.standard_errors.columns());
    Ok(columns
        .map(|(z, errors)| {
            let largest = z.iter().fold(f64::NAN, |largest, z| largest.max(z.abs()));
            if largest.is_nan() {
                return 1.0;
            }
            let seen = z.iter().zip(errors).filter(|(z, _)| !z.is_nan());
            largest_p(largest, &seen.map(|(_, &error)| error).collect::<Vec<_>>())
        })
        .collect())
}

/// What was discovered, against the truth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Discoveries {
    /// Number of discoveries.
    pub n: usize,
    /// Share of them that are false; 0 if there is none.
    pub false_rate: f64,
    /// Share of the true that was discovered.
    pub power: f64,
}

impl Discoveries {
    /// Those p-values that Benjamini and Hochberg's procedure rejects at `level`.
    ///
    /// # Errors
    /// [`Error::Length`] unless there is a truth for each.
    pub fn at(level: f64, p: &[f64], truth: &[bool]) -> Result<Self, Error> {
        same("truths", p.len(), truth.len())?;
        let adjusted = scfm_stats::benjamini_hochberg(p);
        let found = || adjusted.iter().zip(truth).filter(|(q, _)| **q <= level);
        let n = found().count();
        let true_ones = found().filter(|(_, is_edge)| **is_edge).count();
        let n_edges = truth.iter().filter(|&&is_edge| is_edge).count();
        Ok(Self {
            n,
            false_rate: (n - true_ones) as f64 / n.max(1) as f64,
            power: true_ones as f64 / n_edges as f64,
        })
    }
}

/// The largest |ρ| of each pair; NaN only where there is none.
fn largest(strata: impl Iterator<Item = Vec<f64>>, n_pairs: usize) -> Vec<f64> {
    strata.fold(vec![f64::NAN; n_pairs], |mut largest, correlations| {
        for (largest, r) in largest.iter_mut().zip(correlations) {
            *largest = largest.max(r.abs());
        }
        largest
    })
}
