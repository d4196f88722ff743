//! Spearman's correlations of candidate pairs over chosen cells.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;
use scfm_stats::mid_ranks;

use crate::aggregate::same;
use crate::error::Error;
use crate::strata::Strata;

/// Spearman's correlation of each of `pairs`, genes of `expression` `[cells, genes]`, over `cells`: NaN where a gene is
/// constant over them, or where there are fewer than two.
///
/// Each gene is ranked once, whatever the number of pairs. Sums are taken over doubled centred ranks, which are whole
/// numbers: up to 10⁵ cells they are exact, so that equal correlations come out equal and no order of summation can change a
/// ranking. Oracle: `scipy.stats.spearmanr`; the published matrix form differs by the 10⁻¹² that it adds to each SD.
///
/// # Errors
/// [`Error::OutOfBounds`] for a pair or cell that does not exist, [`Error::NotFinite`] for NaN in a gene that is used.
pub fn correlations<T: Copy + Into<f64> + Sync>(
    expression: ArrayView2<'_, T>,
    pairs: &[(usize, usize)],
    cells: &[usize],
) -> Result<Vec<f64>, Error> {
    Ok(PairRanks::of(expression, pairs, cells)?.correlations())
}

/// [`correlations`] within each stratum, `[strata, pairs]`.
///
/// # Errors
/// As [`correlations`]; [`Error::Length`] unless strata and expression are of as many cells.
pub fn correlations_by_stratum<T: Copy + Into<f64> + Sync>(
    expression: ArrayView2<'_, T>,
    pairs: &[(usize, usize)],
    strata: &Strata,
) -> Result<Array2<f64>, Error> {
    same("cells in strata", expression.nrows(), strata.n_cells())?;
    let mut result = Array2::zeros((strata.len(), pairs.len()));
    for (stratum, mut row) in result.axis_iter_mut(Axis(0)).enumerate() {
        let values = correlations(expression, pairs, strata.cells(stratum))?;
        row.assign(&Array1::from(values));
    }
    Ok(result)
}

/// Correlation of each of `pairs` over cells that count by `weights`, `[cells]`: Pearson's, of ranks over all cells. Equal weights
/// make it [`correlations`]; NaN where a gene is constant.
///
/// Ranks are of all cells, since ranks of cells that count in part have no common definition; over the cells of one state it
/// differs from Spearman's by what ranking anew within the state does.
///
/// # Errors
/// As [`correlations`]; [`Error::Length`] unless there is a weight for each cell, [`Error::OutOfRange`] for one that is
/// negative or not finite.
pub fn weighted_correlations<T: Copy + Into<f64> + Sync>(
    expression: ArrayView2<'_, T>,
    pairs: &[(usize, usize)],
    weights: ArrayView1<'_, f64>,
) -> Result<Vec<f64>, Error> {
    same("weights of cells", expression.nrows(), weights.len())?;
    if let Some(&value) = weights
        .iter()
        .find(|weight| !(weight.is_finite() && **weight >= 0.0))
    {
        return Err(Error::OutOfRange {
            what: "weight of a cell",
            value,
            expected: "a finite number of at least 0",
        });
    }
    let all: Vec<usize> = (0..expression.nrows()).collect();
    Ok(PairRanks::of(expression, pairs, &all)?
        .weighted(weights)
        .correlations())
}

/// Ranks over some cells of the genes of some pairs, each gene once for each side of pairs that it stands on.
pub(crate) struct PairRanks {
    /// `[genes, cells]`.
    first: Array2<f64>,
    second: Array2<f64>,
    /// Sums of squares.
    first_norms: Vec<f64>,
    second_norms: Vec<f64>,
    /// Each pair as rows of the two.
    places: Vec<(usize, usize)>,
}

impl PairRanks {
    pub(crate) fn of<T: Copy + Into<f64> + Sync>(
        expression: ArrayView2<'_, T>,
        pairs: &[(usize, usize)],
        cells: &[usize],
    ) -> Result<Self, Error> {
        let (n, n_genes) = expression.dim();
        if let Some(&index) = cells.iter().find(|&&cell| cell >= n) {
            return Err(Error::OutOfBounds {
                what: "cell",
                index,
                n,
            });
        }
        let (first, place_of_first) = distinct(pairs.iter().map(|pair| pair.0), n_genes)?;
        let (second, place_of_second) = distinct(pairs.iter().map(|pair| pair.1), n_genes)?;
        let places = pairs
            .iter()
            .map(|&(a, b)| (place_of_first[a], place_of_second[b]));
        let first = centred_ranks(expression, &first, cells)?;
        let second = centred_ranks(expression, &second, cells)?;
        Ok(Self {
            first_norms: norms(&first),
            second_norms: norms(&second),
            first,
            second,
            places: places.collect(),
        })
    }

    /// Around weighted means and times the root of weights, so that products are weighted sums.
    fn weighted(mut self, weights: ArrayView1<'_, f64>) -> Self {
        let (total, roots) = (weights.sum(), weights.mapv(f64::sqrt));
        for ranks in [&mut self.first, &mut self.second] {
            for mut row in ranks.rows_mut() {
                let mean = row.dot(&weights) / total;
                row.zip_mut_with(&roots, |rank, root| *rank = (*rank - mean) * root);
            }
        }
        self.first_norms = norms(&self.first);
        self.second_norms = norms(&self.second);
        self
    }

    pub(crate) fn n_cells(&self) -> usize {
        self.first.ncols()
    }

    pub(crate) fn correlations(&self) -> Vec<f64> {
        self.of_products(&self.first.dot(&self.second.t()))
    }

    /// The correlations when cell `order[i]` of the first genes meets cell i of the second.
    pub(crate) fn permuted(&self, order: &[usize]) -> Vec<f64> {
        self.of_products(&self.first.select(Axis(1), order).dot(&self.second.t()))
    }

    fn of_products(&self, products: &Array2<f64>) -> Vec<f64> {
        let correlation = |&(a, b): &(usize, usize)| {
            let variance = self.first_norms[a] * self.second_norms[b];
            if variance > 0.0 {
                (products[[a, b]] / variance.sqrt()).clamp(-1.0, 1.0)
            } else {
                f64::NAN
            }
        };
        self.places.iter().map(correlation).collect()
    }
}

/// Sums of squares of rows.
fn norms(ranks: &Array2<f64>) -> Vec<f64> {
    ranks.rows().into_iter().map(|row| row.dot(&row)).collect()
}

/// The distinct genes, ascending, and the place of each gene among them.
fn distinct(genes: impl Iterator<Item = usize>, n_genes: usize) -> Result<(Vec<usize>, Vec<usize>), Error> {
    let mut used = vec![false; n_genes];
    for index in genes {
        let slot = used.get_mut(index);
        *slot.ok_or(Error::OutOfBounds {
            what: "gene",
            index,
            n: n_genes,
        })? = true;
    }
    let mut place = vec![usize::MAX; n_genes];
    let distinct: Vec<usize> = (0..n_genes).filter(|&gene| used[gene]).collect();
    for (at, &gene) in distinct.iter().enumerate() {
        place[gene] = at;
    }
    Ok((distinct, place))
}

/// Twice the mid-ranks over `cells` less their mean, `[genes, cells]`.
pub(crate) fn centred_ranks<T: Copy + Into<f64> + Sync>(
    expression: ArrayView2<'_, T>,
    genes: &[usize],
    cells: &[usize],
) -> Result<Array2<f64>, Error> {
    let rows: Vec<Vec<f64>> = genes
        .par_iter()
        .map(|&gene| {
            let values: Vec<f64> = cells
                .iter()
                .map(|&cell| expression[[cell, gene]].into())
                .collect();
            if let Some(at) = values.iter().position(|value| value.is_nan()) {
                return Err(Error::NotFinite {
                    what: "expression",
                    row: cells[at],
                    column: gene,
                    value: values[at],
                });
            }
            let middle = (cells.len() + 1) as f64;
            Ok(mid_ranks(&values)?
                .into_iter()
                .map(|rank| 2.0 * rank - middle)
                .collect())
        })
        .collect::<Result<_, _>>()?;
    let flat = rows.into_iter().flatten().collect();
    Ok(Array2::from_shape_vec((genes.len(), cells.len()), flat).expect("a row of ranks for each gene"))
}
