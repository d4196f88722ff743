//! Correlations within states that were found without the genes whose correlation is taken.

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayView2};
use rand::{Rng, RngExt};
use rayon::prelude::*;

use crate::correlations::{correlations, weighted_correlations};
use crate::error::Error;
use crate::gaussians::likeliest;
use crate::shifts::{Shift, shifts_of_pairs};
use crate::strata::Strata;

/// How states are kept apart from the genes that are judged in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrossFit {
    /// Parts into which genes are divided; states for a pair are found without the parts of both of its genes.
    pub n_folds: usize,
    /// Cells that a stratum needs.
    pub min_cells: usize,
}

impl Default for CrossFit {
    /// Ten parts: a pair loses a fifth of the genes to find states by. With five it loses two fifths, which costs more than
    /// the fewer searches save.
    fn default() -> Self {
        Self {
            n_folds: 10,
            min_cells: 20,
        }
    }
}

/// Correlations of pairs over strata that may differ from pair to pair.
#[derive(Debug, Clone, PartialEq)]
pub struct CrossFitted {
    /// Spearman's correlations, `[strata, pairs]`; NaN beyond the number of strata that a pair has.
    pub correlations: Array2<f64>,
    /// Numbers of cells, `[strata, pairs]`; 0 where there is no stratum.
    pub sizes: Array2<f64>,
    /// Whether strata shift the means of genes they were found without: [`mean_shifts`](crate::mean_shifts), the mean over the searches that a gene
    /// was left out of, summed over the genes of pairs.
    pub shift: Shift,
    /// How often states were looked for.
    pub n_searches: usize,
}

/// Correlations of `pairs` of genes of `expression`, `[cells, genes]`, within states that `find_states` finds from the genes
/// that it is given (ascending): a label for each cell.
///
/// Clusters of cells that are similar in two genes have them correlated otherwise than all cells: to choose cells by
/// what two genes say is to condition on both. In the published simulations states do not differ in means, so that clusters are
/// of nothing but the genes themselves, and correlations within clusters find fewer edges than those over all cells.
/// Without the genes of a pair, clusters that are of nothing are random with respect to it, but for genes that are
/// co-expressed with it, of which [`CrossFitted::shift`] warns.
///
/// # Errors
/// [`Error::OutOfRange`] for fewer than three parts, which would leave nothing to find states by;
/// [`Error::NoStrata`]; as [`correlations`] and [`mean_shifts`](crate::mean_shifts), and those of `find_states`.
pub fn cross_fitted<T: Copy + Into<f64> + Sync>(
    expression: ArrayView2<'_, T>,
    pairs: &[(usize, usize)],
    params: CrossFit,
    find_states: impl Fn(&[usize]) -> Result<Vec<usize>, Error> + Sync,
    rng: &mut impl Rng,
) -> Result<CrossFitted, Error> {
    over_parts(expression.ncols(), pairs, params, rng, |genes, pairs| {
        let strata = Strata::new(&find_states(genes)?, params.min_cells)?;
        Ok(Within {
            correlations: (0..strata.len())
                .map(|stratum| correlations(expression, pairs, strata.cells(stratum)))
                .collect::<Result<_, _>>()?,
            sizes: strata.sizes().into_iter().map(|size| size as f64).collect(),
            shifts: shifts_of_pairs(expression, pairs, genes, &strata)?,
        })
    })
}

/// As [`cross_fitted`], over cells that may belong to several states in part: `find_memberships` says how far, `[cells, states]`,
/// as [`memberships`](crate::memberships) does.
///
/// Correlations are [`weighted_correlations`], sizes (Σw)² / Σw² for memberships w of a state (Kish 1965), of which a state needs
/// [`CrossFit::min_cells`]. Evidence for shifts is that of the states that cells belong to most.
///
/// # Errors
/// As [`cross_fitted`], [`weighted_correlations`], and those of `find_memberships`.
pub fn cross_fitted_soft<T: Copy + Into<f64> + Sync>(
    expression: ArrayView2<'_, T>,
    pairs: &[(usize, usize)],
    params: CrossFit,
    find_memberships: impl Fn(&[usize]) -> Result<Array2<f64>, Error> + Sync,
    rng: &mut impl Rng,
) -> Result<CrossFitted, Error> {
    over_parts(expression.ncols(), pairs, params, rng, |genes, pairs| {
        let belongs = find_memberships(genes)?;
        let strata = Strata::new(&likeliest(belongs.view()), params.min_cells)?;
        let mut within = Within {
            sizes: Vec::new(),
            correlations: Vec::new(),
            shifts: shifts_of_pairs(expression, pairs, genes, &strata)?,
        };
        for weights in belongs.columns() {
            let size = weights.sum().powi(2) / weights.dot(&weights);
            if size >= params.min_cells as f64 {
                within.sizes.push(size);
                within
                    .correlations
                    .push(weighted_correlations(expression, pairs, weights)?);
            }
        }
        Ok(within)
    })
}

/// What one search for states gives.
struct Within {
    /// Of strata.
    sizes: Vec<f64>,
    /// `[strata][pairs]`.
    correlations: Vec<Vec<f64>>,
    /// Genes of the pairs, and the evidence for their shifts.
    shifts: Vec<(usize, Shift)>,
}

/// `search`, given the genes to find states by and the pairs that share them, for all pairs.
fn over_parts(
    n_genes: usize,
    pairs: &[(usize, usize)],
    params: CrossFit,
    rng: &mut impl Rng,
    search: impl Fn(&[usize], &[(usize, usize)]) -> Result<Within, Error> + Sync,
) -> Result<CrossFitted, Error> {
    if params.n_folds < 3 {
        return Err(Error::OutOfRange {
            what: "number of parts of genes",
            value: params.n_folds as f64,
            expected: "at least 3",
        });
    }
    let fold = folds(n_genes, params.n_folds, rng);
    let mut by_folds = BTreeMap::<(usize, usize), Vec<usize>>::new();
    for (at, &(a, b)) in pairs.iter().enumerate() {
        let fold = |index: usize| {
            let place = fold.get(index).copied();
            place.ok_or(Error::OutOfBounds {
                what: "gene",
                index,
                n: n_genes,
            })
        };
        let (a, b) = (fold(a)?, fold(b)?);
        by_folds.entry((a.min(b), a.max(b))).or_default().push(at);
    }
    let searches: Vec<(Vec<usize>, Within)> = by_folds
        .into_par_iter()
        .map(|(left_out, members)| {
            let genes: Vec<usize> = (0..n_genes)
                .filter(|&gene| fold[gene] != left_out.0 && fold[gene] != left_out.1)
                .collect();
            let of_members: Vec<(usize, usize)> = members.iter().map(|&at| pairs[at]).collect();
            let within = search(&genes, &of_members)?;
            Ok((members, within))
        })
        .collect::<Result<_, Error>>()?;

    let most = searches.iter().map(|(_, within)| within.sizes.len()).max();
    let shape = (most.unwrap_or(0), pairs.len());
    let mut result = CrossFitted {
        correlations: Array2::from_elem(shape, f64::NAN),
        sizes: Array2::zeros(shape),
        shift: Shift::default(),
        n_searches: searches.len(),
    };
    let mut by_gene = BTreeMap::<usize, (Shift, f64)>::new();
    for (members, within) in searches {
        for (stratum, (&size, values)) in within.sizes.iter().zip(&within.correlations).enumerate() {
            for (&pair, &value) in members.iter().zip(values) {
                result.correlations[[stratum, pair]] = value;
                result.sizes[[stratum, pair]] = size;
            }
        }
        for (gene, shift) in within.shifts {
            let (sum, n) = by_gene.entry(gene).or_default();
            *sum += shift;
            *n += 1.0;
        }
    }
    result.shift = by_gene.into_values().map(|(sum, n)| sum / n).sum();
    Ok(result)
}

/// The part of each gene, parts being as equal as can be.
fn folds(n_genes: usize, n_folds: usize, rng: &mut impl Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n_genes).collect();
    for last in (1..n_genes).rev() {
        order.swap(last, rng.random_range(0..=last));
    }
    let mut fold = vec![0; n_genes];
    for (at, gene) in order.into_iter().enumerate() {
        fold[gene] = at % n_folds;
    }
    fold
}
