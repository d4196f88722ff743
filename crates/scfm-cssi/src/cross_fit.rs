//! Correlations within states that were found without the genes whose correlation is taken.

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayView2};
use rand::{Rng, RngExt};
use rayon::prelude::*;

use crate::correlations::correlations;
use crate::error::Error;
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
    /// How often states were looked for.
    pub n_searches: usize,
}

/// Correlations of `pairs` of genes of `expression`, `[cells, genes]`, within states that `find_states` finds from the genes
/// that it is given (ascending): a label for each cell.
///
/// Clusters of cells that are similar in two genes have them correlated otherwise than all cells: to choose cells by
/// what two genes say is to condition on both. In the published simulations states do not differ in means, so that clusters are
/// of nothing but the genes themselves, and correlations within clusters find fewer edges than those over all cells.
/// Without the genes of a pair, clusters that are of nothing are random with respect to it.
///
/// # Errors
/// [`Error::OutOfRange`] for fewer than three parts, which would leave nothing to find states by;
/// [`Error::NoStrata`]; as [`correlations`], and those of `find_states`.
pub fn cross_fitted<T: Copy + Into<f64> + Sync>(
    expression: ArrayView2<'_, T>,
    pairs: &[(usize, usize)],
    params: CrossFit,
    find_states: impl Fn(&[usize]) -> Result<Vec<usize>, Error> + Sync,
    rng: &mut impl Rng,
) -> Result<CrossFitted, Error> {
    if params.n_folds < 3 {
        return Err(Error::OutOfRange {
            what: "number of parts of genes",
            value: params.n_folds as f64,
            expected: "at least 3",
        });
    }
    let fold = folds(expression.ncols(), params.n_folds, rng);
    let mut by_folds = BTreeMap::<(usize, usize), Vec<usize>>::new();
    for (at, &(a, b)) in pairs.iter().enumerate() {
        let n = fold.len();
        let fold = |index: usize| {
            let place = fold.get(index).copied();
            place.ok_or(Error::OutOfBounds {
                what: "gene",
                index,
                n,
            })
        };
        let (a, b) = (fold(a)?, fold(b)?);
        by_folds.entry((a.min(b), a.max(b))).or_default().push(at);
    }
    let searches: Vec<Search> = by_folds
        .into_par_iter()
        .map(|(left_out, members)| {
            let genes: Vec<usize> = (0..fold.len())
                .filter(|&gene| fold[gene] != left_out.0 && fold[gene] != left_out.1)
                .collect();
            let strata = Strata::new(&find_states(&genes)?, params.min_cells)?;
            let of_members: Vec<(usize, usize)> = members.iter().map(|&at| pairs[at]).collect();
            let by_stratum = (0..strata.len())
                .map(|stratum| correlations(expression, &of_members, strata.cells(stratum)))
                .collect::<Result<_, _>>()?;
            Ok(Search {
                members,
                sizes: strata.sizes(),
                correlations: by_stratum,
            })
        })
        .collect::<Result<_, Error>>()?;

    let most = searches
        .iter()
        .map(|search| search.sizes.len())
        .max()
        .unwrap_or(0);
    let mut result = CrossFitted {
        correlations: Array2::from_elem((most, pairs.len()), f64::NAN),
        sizes: Array2::zeros((most, pairs.len())),
        n_searches: searches.len(),
    };
    for search in searches {
        for (stratum, (&size, values)) in search.sizes.iter().zip(&search.correlations).enumerate() {
            for (&pair, &value) in search.members.iter().zip(values) {
                result.correlations[[stratum, pair]] = value;
                result.sizes[[stratum, pair]] = size as f64;
            }
        }
    }
    Ok(result)
}

/// Pairs that share a search for states, and what they correlate in each stratum.
struct Search {
    members: Vec<usize>,
    sizes: Vec<usize>,
    correlations: Vec<Vec<f64>>,
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
