//! Principal components through the covariance of genes, any subset of which has components of its own.

use nalgebra::DMatrix;
use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::error::Error;

/// Cells per partial sum in `f32`, as in the correlations of all columns.
const CELLS: usize = 1024;
/// Genes per block of the covariance: two blocks of so many cells fit the second cache.
const GENES: usize = 256;
/// Columns beyond the components asked for, which speed up convergence.
const SPARE: usize = 10;
/// Powers of the covariance per restart.
const POWERS: usize = 3;
const MAX_RESTARTS: usize = 200;
/// A component is done when ‖Cv − λv‖ is this small beside the largest variance.
const TOLERANCE: f64 = 1e-9;

/// Covariance of the genes of some cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Covariance {
    means: Array1<f64>,
    matrix: Array2<f64>,
    n_cells: usize,
}

/// The leading principal components of some genes.
#[derive(Debug, Clone, PartialEq)]
pub struct Components {
    /// The genes, as columns of the expression.
    pub genes: Vec<usize>,
    /// Variance along each component, largest first.
    pub variances: Vec<f64>,
    /// Unit vectors, `[genes, components]`; the entry of largest magnitude is positive.
    pub loadings: Array2<f64>,
    means: Array1<f64>,
}

impl Covariance {
    /// Of the columns of `expression`, `[cells, genes]`: products in `f32`, sums over many cells in `f64`, divided by
    /// cells − 1. The bits do not depend on the number of threads.
    ///
    /// # Errors
    /// [`Error::NotFinite`]; [`Error::Length`] for fewer than two cells.
    pub fn of<T: Copy + Into<f64> + Sync>(expression: ArrayView2<'_, T>) -> Result<Self, Error> {
        let (n_cells, n_genes) = expression.dim();
        if n_cells < 2 {
            return Err(Error::Length {
                what: "cells",
                expected: 2,
                found: n_cells,
            });
        }
        let mut means = Array1::<f64>::zeros(n_genes);
        for (row, cell) in expression.rows().into_iter().enumerate() {
            for (column, (mean, &value)) in means.iter_mut().zip(cell).enumerate() {
                let value = value.into();
                if !value.is_finite() {
                    return Err(Error::NotFinite {
                        what: "expression",
                        row,
                        column,
                        value,
                    });
                }
                *mean += value;
            }
        }
        means /= n_cells as f64;
        let mut centred = Array2::<f32>::zeros((n_cells, n_genes));
        for (mut to, from) in centred.rows_mut().into_iter().zip(expression.rows()) {
            for ((to, &from), mean) in to.iter_mut().zip(from).zip(&means) {
                *to = (from.into() - mean) as f32;
            }
        }
        let blocks: Vec<usize> = (0..n_genes).step_by(GENES).collect();
        let pairs: Vec<(usize, usize)> = blocks
            .iter()
            .flat_map(|&a| blocks.iter().filter(move |&&b| b >= a).map(move |&b| (a, b)))
            .collect();
        let products: Vec<Array2<f64>> = pairs
            .par_iter()
            .map(|&(a, b)| {
                let columns = |from: usize| from..(from + GENES).min(n_genes);
                let mut sums = Array2::<f64>::zeros((columns(a).len(), columns(b).len()));
                for cells in centred.axis_chunks_iter(Axis(0), CELLS) {
                    let product = cells
                        .slice(s![.., columns(a)])
                        .t()
                        .dot(&cells.slice(s![.., columns(b)]));
                    sums.zip_mut_with(&product, |sum, &term| *sum += f64::from(term));
                }
                sums
            })
            .collect();
        let mut matrix = Array2::zeros((n_genes, n_genes));
        let scale = 1.0 / (n_cells - 1) as f64;
        for ((a, b), product) in pairs.into_iter().zip(products) {
            for ((i, j), sum) in product.indexed_iter() {
                matrix[[a + i, b + j]] = sum * scale;
                matrix[[b + j, a + i]] = sum * scale;
            }
        }
        Ok(Self {
            means,
            matrix,
            n_cells,
        })
    }

    /// Number of cells that it is of.
    pub fn n_cells(&self) -> usize {
        self.n_cells
    }

    /// Number of genes.
    pub fn n_genes(&self) -> usize {
        self.means.len()
    }

    /// The `k` leading components of `genes`, by block Krylov iteration that starts anew from the best vectors until all
    /// of them satisfy the eigenvalue equation to 10⁻⁹ of the largest variance.
    ///
    /// Oracle: `sklearn.decomposition.PCA(svd_solver="full")`, up to signs.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless 1 ≤ `k` ≤ genes; [`Error::OutOfBounds`] for a gene that does not exist.
    pub fn components(&self, genes: &[usize], k: usize) -> Result<Components, Error> {
        let n_genes = self.n_genes();
        if let Some(&index) = genes.iter().find(|&&gene| gene >= n_genes) {
            return Err(Error::OutOfBounds {
                what: "gene",
                index,
                n: n_genes,
            });
        }
        if k == 0 || k > genes.len() {
            return Err(Error::OutOfRange {
                what: "number of components",
                value: k as f64,
                expected: "1 up to the number of genes",
            });
        }
        let covariance = Array2::from_shape_fn((genes.len(), genes.len()), |(a, b)| {
            self.matrix[[genes[a], genes[b]]]
        });
        let (variances, mut loadings) = leading(&covariance, k);
        for mut loading in loadings.columns_mut() {
            let largest = loading
                .iter()
                .copied()
                .reduce(|a, b| if b.abs() > a.abs() { b } else { a });
            if largest < Some(0.0) {
                loading.mapv_inplace(|x| -x);
            }
        }
        Ok(Components {
            genes: genes.to_vec(),
            variances,
            loadings,
            means: genes.iter().map(|&gene| self.means[gene]).collect(),
        })
    }
}

impl Components {
    /// Coordinates of cells along the components, `[cells, components]`, of `expression`, `[cells, genes]`, whose columns are
    /// those that the covariance was of.
    ///
    /// # Panics
    /// When a gene lies beyond the columns.
    pub fn coordinates<T: Copy + Into<f64> + Sync>(&self, expression: ArrayView2<'_, T>) -> Array2<f64> {
        let mut result = Array2::zeros((expression.nrows(), self.variances.len()));
        result
            .axis_chunks_iter_mut(Axis(0), CELLS)
            .into_par_iter()
            .zip(expression.axis_chunks_iter(Axis(0), CELLS))
            .for_each(|(mut to, from)| {
                let centred = Array2::from_shape_fn((from.nrows(), self.genes.len()), |(cell, at)| {
                    from[[cell, self.genes[at]]].into() - self.means[at]
                });
                to.assign(&centred.dot(&self.loadings));
            });
        result
    }
}

/// The `k` largest eigenvalues of a symmetric matrix and their vectors, `[rows, k]`.
fn leading(matrix: &Array2<f64>, k: usize) -> (Vec<f64>, Array2<f64>) {
    let n = matrix.nrows();
    let width = k + SPARE;
    if n <= (POWERS + 1) * width {
        return all_at_once(matrix, k);
    }
    // Any start will do that no gene is missing from; the same one gives the same bits.
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut start = Array2::from_shape_simple_fn((n, width), || rng.random::<f64>() - 0.5);
    for _ in 0..MAX_RESTARTS {
        let mut powers = vec![orthonormal(&start)];
        for _ in 0..POWERS {
            let next = product(matrix, powers.last().expect("the start"));
            powers.push(orthonormal(&next));
        }
        let views: Vec<_> = powers.iter().map(|power| power.view()).collect();
        let all = ndarray::concatenate(Axis(1), &views).expect("powers of as many rows");
        let basis = orthonormal(&all);
        let image = product(matrix, &basis);
        let (values, vectors) = all_at_once(&basis.t().dot(&image), width);
        start = basis.dot(&vectors);
        let residuals = image.dot(&vectors) - &start * &Array1::from(values.clone());
        let worst = residuals
            .columns()
            .into_iter()
            .take(k)
            .map(|r| r.dot(&r).sqrt())
            .fold(0.0, f64::max);
        if worst <= TOLERANCE * values[0].abs() {
            return (values[..k].to_vec(), start.slice(s![.., ..k]).to_owned());
        }
    }
    // Vectors of equal eigenvalues do not converge one by one, nor need they; what is left is decomposed whole.
    all_at_once(matrix, k)
}

fn all_at_once(matrix: &Array2<f64>, k: usize) -> (Vec<f64>, Array2<f64>) {
    let eigen = to_nalgebra(matrix).symmetric_eigen();
    let mut order: Vec<usize> = (0..matrix.nrows()).collect();
    order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
    let values = order[..k].iter().map(|&at| eigen.eigenvalues[at]).collect();
    let vectors = Array2::from_shape_fn((matrix.nrows(), k), |(row, at)| {
        eigen.eigenvectors[(row, order[at])]
    });
    (values, vectors)
}

fn product(matrix: &Array2<f64>, vectors: &Array2<f64>) -> Array2<f64> {
    let mut result = Array2::zeros(vectors.dim());
    result
        .axis_chunks_iter_mut(Axis(0), GENES)
        .into_par_iter()
        .zip(matrix.axis_chunks_iter(Axis(0), GENES))
        .for_each(|(mut to, rows)| to.assign(&rows.dot(vectors)));
    result
}

/// An orthonormal basis of what the columns span.
fn orthonormal(columns: &Array2<f64>) -> Array2<f64> {
    let q = to_nalgebra(columns).qr().q();
    Array2::from_shape_fn(columns.dim(), |at| q[at])
}

fn to_nalgebra(matrix: &Array2<f64>) -> DMatrix<f64> {
    DMatrix::from_fn(matrix.nrows(), matrix.ncols(), |i, j| matrix[[i, j]])
}
