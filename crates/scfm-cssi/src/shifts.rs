//! Whether strata of cells are anything to a gene that they were found without.

use ndarray::ArrayView2;

use crate::aggregate::same;
use crate::correlations::centred_ranks;
use crate::error::Error;
use crate::strata::Strata;

/// The least share of a gene's variance that is left within strata, so that evidence stays finite.
const LEAST_LEFT: f64 = 1e-9;

/// For each of `genes` of `expression`, `[cells, genes]`, the logarithm of the odds that its mean differs between strata to that it
/// does not, as its ranks over the cells of all strata say: −n/2 ln(1 − R²) − (K − 1)/2 ln n for n cells in K strata that
/// account for R² of the variance of ranks, which is the Kruskal-Wallis statistic over n − 1, with the price of
/// the Bayesian information criterion (Schwarz 1978). 0 for a gene that is constant.
///
/// Significance would be too little to ask: in cells of one state, clusters by some genes shift all genes that are co-expressed
/// with those. The criterion asks for shifts that are worth as many means as there are strata.
///
/// ```
/// use scfm_cssi::{Strata, mean_shifts};
///
/// // The first gene is high in the second stratum, the other in half the cells of both.
/// let expression = ndarray::Array2::from_shape_fn((40, 2), |(cell, gene)| match gene {
///     0 => (cell / 20 * 100 + cell) as f64,
///     _ => (cell % 2) as f64,
/// });
/// let labels: Vec<usize> = (0..40).map(|cell| cell / 20).collect();
/// let shifts = mean_shifts(expression.view(), &[0, 1], &Strata::new(&labels, 5)?)?;
/// assert!(shifts[0] > 10.0 && shifts[1] < -1.0);
/// # Ok::<(), scfm_cssi::Error>(())
/// ```
///
/// # Errors
/// [`Error::OutOfBounds`] for a gene that does not exist, [`Error::NotFinite`] for NaN, [`Error::Length`] unless strata and
/// expression are of as many cells.
pub fn mean_shifts<T: Copy + Into<f64> + Sync>(
    expression: ArrayView2<'_, T>,
    genes: &[usize],
    strata: &Strata,
) -> Result<Vec<f64>, Error> {
    same("cells in strata", expression.nrows(), strata.n_cells())?;
    if let Some(&index) = genes.iter().find(|&&gene| gene >= expression.ncols()) {
        return Err(Error::OutOfBounds {
            what: "gene",
            index,
            n: expression.ncols(),
        });
    }
    let sizes = strata.sizes();
    let cells: Vec<usize> = (0..strata.len())
        .flat_map(|stratum| strata.cells(stratum))
        .copied()
        .collect();
    let n = cells.len() as f64;
    let price = (sizes.len() as f64 - 1.0) / 2.0 * n.ln();
    let ranks = centred_ranks(expression, genes, &cells)?;
    Ok(ranks
        .rows()
        .into_iter()
        .map(|ranks| {
            let total = ranks.dot(&ranks);
            let mut between = 0.0;
            let mut start = 0;
            for &size in &sizes {
                let sum = ranks.slice(ndarray::s![start..start + size]).sum();
                between += sum * sum / size as f64;
                start += size;
            }
            match total > 0.0 {
                true => -n / 2.0 * (1.0 - between / total).max(LEAST_LEFT).ln() - price,
                false => 0.0,
            }
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn evidence_is_that_of_kruskal_and_wallis() {
        // scipy.stats.kruskal([1, 3, 5, 7, 9], [2, 4, 6, 8, 10]), the example of its documentation.
        const H: f64 = 0.272_727_272_727_273_4;
        let labels: Vec<usize> = (0..10).map(|cell| cell % 2).collect();
        let strata = Strata::new(&labels, 5).unwrap();
        let expression = Array2::from_shape_fn((10, 2), |(cell, gene)| (cell * (1 - gene)) as f64);
        let shifts = mean_shifts(expression.view(), &[0, 1], &strata).unwrap();
        let expected = -5.0 * (1.0 - H / 9.0).ln() - 0.5 * 10.0_f64.ln();
        assert!((shifts[0] - expected).abs() < 1e-12, "{} {expected}", shifts[0]);
        assert_eq!(shifts[1], 0.0);
    }

    #[test]
    fn bad_input_is_refused() {
        let strata = Strata::new(&[0, 0, 1, 1], 2).unwrap();
        let mut expression = Array2::zeros((4, 1));
        let found = mean_shifts(expression.view(), &[1], &strata);
        assert!(matches!(found, Err(Error::OutOfBounds { index: 1, n: 1, .. })));
        expression[[2, 0]] = f64::NAN;
        let found = mean_shifts(expression.view(), &[0], &strata);
        assert!(matches!(found, Err(Error::NotFinite { row: 2, .. })));
        let found = mean_shifts(Array2::<f64>::zeros((3, 1)).view(), &[0], &strata);
        assert!(matches!(found, Err(Error::Length { .. })));
    }
}
