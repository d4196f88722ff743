//! Whether strata of cells are states, or pieces of what genes do together.

use std::collections::BTreeSet;
use std::ops::{Add, AddAssign, Div};

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, s};

use crate::aggregate::same;
use crate::correlations::centred_ranks;
use crate::error::Error;
use crate::strata::Strata;

/// The least share of a gene's variance that is left unexplained, so that evidence stays finite.
const LEAST_LEFT: f64 = 1e-9;
/// A direction of which less than this is left beside others is theirs.
const NEW: f64 = 1e-8;

/// Logarithms of the odds of two accounts of a gene to a mean that is the same in all cells.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Shift {
    /// The gene has a mean in each stratum.
    pub steps: f64,
    /// The gene changes along the lines between the centres of strata in other genes, within strata as between them.
    pub slopes: f64,
}

impl Shift {
    /// The logarithm of the odds of steps to the better of slopes and neither, for one gene or a sum over several.
    pub fn evidence(self) -> f64 {
        self.steps - self.slopes.max(0.0)
    }
}

impl Add for Shift {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            steps: self.steps + other.steps,
            slopes: self.slopes + other.slopes,
        }
    }
}

impl AddAssign for Shift {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Div<f64> for Shift {
    type Output = Self;

    fn div(self, by: f64) -> Self {
        Self {
            steps: self.steps / by,
            slopes: self.slopes / by,
        }
    }
}

impl std::iter::Sum for Shift {
    fn sum<I: Iterator<Item = Self>>(shifts: I) -> Self {
        shifts.fold(Self::default(), Add::add)
    }
}

/// For each of `genes` of `expression`, `[cells, genes]`, whether it steps from one of `strata` to the next or changes along slopes
/// between them, which are drawn by the genes `by`, the gene itself left out.
///
/// Clusters can be cut out of any cells. Where genes are co-expressed, clusters by some shift all that go along with them, and to
/// look for edges within such clusters takes away from the edges themselves. But then what goes along changes within clusters
/// too: over cells of one state that are multivariate normal, the mean of a gene given others is linear in them. Where cells are of several
/// states, it goes in steps. Both accounts have a parameter for each stratum but one, and pay for them as by the Bayesian
/// information criterion (Schwarz 1978): −n/2 ln(1 − R²) − d/2 ln n for n cells in all strata and d directions that account
/// for R² of the variance of ranks. For steps, R² is the Kruskal-Wallis statistic over n − 1. 0 for a gene that is constant.
///
/// ```
/// use scfm_cssi::{Shift, Strata, mean_shifts};
///
/// // Two strata, cut where the first gene is 0. The second steps there, the third goes along with the first.
/// let x = |cell: usize| (cell as f64 - 49.5) / 10.0;
/// let noise = |cell: usize| ((cell * 37) % 100) as f64 / 100.0;
/// let expression = ndarray::Array2::from_shape_fn((100, 3), |(cell, gene)| match gene {
///     0 => x(cell),
///     1 => f64::from(u8::from(cell > 49)) + noise(cell),
///     _ => x(cell) + 4.0 * noise(cell),
/// });
/// let labels: Vec<usize> = (0..100).map(|cell| cell / 50).collect();
/// let strata = Strata::new(&labels, 5)?;
/// let shifts = mean_shifts(expression.view(), &[1, 2], &[0], &strata)?;
/// assert!(shifts.iter().all(|shift| shift.steps > 10.0));
/// assert!(shifts[0].evidence() > 10.0 && shifts[1].evidence() < -10.0);
/// # Ok::<(), scfm_cssi::Error>(())
/// ```
///
/// # Errors
/// [`Error::OutOfBounds`] for a gene that does not exist, [`Error::NotFinite`] for NaN, [`Error::Length`] unless strata and
/// expression are of as many cells.
pub fn mean_shifts<T: Copy + Into<f64> + Sync>(
    expression: ArrayView2<'_, T>,
    genes: &[usize],
    by: &[usize],
    strata: &Strata,
) -> Result<Vec<Shift>, Error> {
    same("cells in strata", expression.nrows(), strata.n_cells())?;
    if let Some(&index) = genes.iter().chain(by).find(|&&gene| gene >= expression.ncols()) {
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
    let ranks = centred_ranks(expression, genes, &cells)? / cells.len() as f64;
    let others = centred_ranks(expression, by, &cells)? / cells.len() as f64;
    let centres = centres(others.view(), &sizes);
    // Along the centre of each stratum, `[strata, cells]`.
    let slopes = centres.t().dot(&others);
    let steps = directions(indicators(&sizes).view());
    let of_all = directions(slopes.view());
    Ok(genes
        .iter()
        .zip(ranks.rows())
        .map(|(gene, ranks)| {
            let slopes = match by.iter().position(|other| other == gene) {
                None => log_odds(ranks, &of_all),
                Some(at) => {
                    let (own, centre) = (others.row(at), centres.row(at));
                    let own = &centre.insert_axis(Axis(1)) * &own.insert_axis(Axis(0));
                    log_odds(ranks, &directions((&slopes - &own).view()))
                }
            };
            Shift {
                steps: log_odds(ranks, &steps),
                slopes,
            }
        })
        .collect())
}

/// [`mean_shifts`] of the genes of pairs, each with its gene, ascending.
pub(crate) fn shifts_of_pairs<T: Copy + Into<f64> + Sync>(
    expression: ArrayView2<'_, T>,
    pairs: &[(usize, usize)],
    by: &[usize],
    strata: &Strata,
) -> Result<Vec<(usize, Shift)>, Error> {
    let genes: BTreeSet<usize> = pairs.iter().flat_map(|&(a, b)| [a, b]).collect();
    let genes: Vec<usize> = genes.into_iter().collect();
    let shifts = mean_shifts(expression, &genes, by, strata)?;
    Ok(genes.into_iter().zip(shifts).collect())
}

/// Means of `ranks`, `[genes, cells]`, over consecutive strata of the given sizes: `[genes, strata]`.
fn centres(ranks: ArrayView2<'_, f64>, sizes: &[usize]) -> Array2<f64> {
    let mut centres = Array2::zeros((ranks.nrows(), sizes.len()));
    let mut start = 0;
    for (mut centre, &size) in centres.columns_mut().into_iter().zip(sizes) {
        let sums = ranks.slice(s![.., start..start + size]).sum_axis(Axis(1));
        centre.assign(&(sums / size as f64));
        start += size;
    }
    centres
}

/// 1 in the cells of each stratum, `[strata, cells]`.
fn indicators(sizes: &[usize]) -> Array2<f64> {
    let mut indicators = Array2::zeros((sizes.len(), sizes.iter().sum()));
    let mut start = 0;
    for (mut row, &size) in indicators.rows_mut().into_iter().zip(sizes) {
        row.slice_mut(s![start..start + size]).fill(1.0);
        start += size;
    }
    indicators
}

/// Orthonormal directions that span the rows less their means.
fn directions(rows: ArrayView2<'_, f64>) -> Vec<Array1<f64>> {
    let mut found: Vec<Array1<f64>> = Vec::new();
    for row in rows.rows() {
        let mut left = &row - row.mean().unwrap_or(0.0);
        let before = left.dot(&left);
        // Twice, as once leaves rounding errors of what was taken off.
        for _ in 0..2 {
            for direction in &found {
                let shared = left.dot(direction);
                left.scaled_add(-shared, direction);
            }
        }
        let after = left.dot(&left);
        if after > NEW * before {
            found.push(left / after.sqrt());
        }
    }
    found
}

/// That `ranks`, less their mean, change along `directions` to that they do not.
fn log_odds(ranks: ArrayView1<'_, f64>, directions: &[Array1<f64>]) -> f64 {
    let (n, total) = (ranks.len() as f64, ranks.dot(&ranks));
    if total <= 0.0 {
        return 0.0;
    }
    let along: f64 = directions
        .iter()
        .map(|direction| direction.dot(&ranks).powi(2))
        .sum();
    let left = (1.0 - along / total).max(LEAST_LEFT);
    -n / 2.0 * left.ln() - directions.len() as f64 / 2.0 * n.ln()
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
        let shifts = mean_shifts(expression.view(), &[0, 1], &[1], &strata).unwrap();
        let expected = -5.0 * (1.0 - H / 9.0).ln() - 0.5 * 10.0_f64.ln();
        assert!(
            (shifts[0].steps - expected).abs() < 1e-12,
            "{:?} {expected}",
            shifts[0]
        );
        // A gene that is constant draws no slopes, and neither steps nor goes along.
        assert_eq!((shifts[0].slopes, shifts[1]), (0.0, Shift::default()));
    }

    #[test]
    fn a_gene_draws_no_slopes_for_itself() {
        let expression = Array2::from_shape_fn((30, 3), |(cell, gene)| ((cell * (7 + gene * 4)) % 31) as f64);
        let labels: Vec<usize> = (0..30).map(|cell| cell / 10).collect();
        let strata = Strata::new(&labels, 5).unwrap();
        let with = mean_shifts(expression.view(), &[0], &[0, 1, 2], &strata).unwrap();
        let without = mean_shifts(expression.view(), &[0], &[1, 2], &strata).unwrap();
        assert!(
            (with[0].slopes - without[0].slopes).abs() < 1e-9,
            "{with:?} {without:?}"
        );
    }

    #[test]
    fn bad_input_is_refused() {
        let strata = Strata::new(&[0, 0, 1, 1], 2).unwrap();
        let mut expression = Array2::zeros((4, 1));
        let found = mean_shifts(expression.view(), &[0], &[1], &strata);
        assert!(matches!(found, Err(Error::OutOfBounds { index: 1, n: 1, .. })));
        expression[[2, 0]] = f64::NAN;
        let found = mean_shifts(expression.view(), &[0], &[0], &strata);
        assert!(matches!(found, Err(Error::NotFinite { row: 2, .. })));
        let found = mean_shifts(Array2::<f64>::zeros((3, 1)).view(), &[0], &[0], &strata);
        assert!(matches!(found, Err(Error::Length { .. })));
    }
}
