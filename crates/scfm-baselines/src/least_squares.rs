//! Linear regression over the pairs of a grid from sums over its blocks.

use std::ops::AddAssign;

use ndarray::{Array1, Array2, ArrayView2};
use rayon::prelude::*;

use crate::splits::GridFolds;

/// Sums over pairs (i, j) of which the score is known: XᵀX, Xᵀy and the number, X = [1, row features, column features].
#[derive(Debug, Clone)]
struct Normal {
    gram: Array2<f64>,
    moments: Array1<f64>,
}

impl Normal {
    fn zeros(n_coefficients: usize) -> Self {
        Self {
            gram: Array2::zeros((n_coefficients, n_coefficients)),
            moments: Array1::zeros(n_coefficients),
        }
    }

    /// The coefficients; a column that the others already say is given none.
    fn solve(mut self) -> Array1<f64> {
        let n = self.moments.len();
        let mut used = vec![false; n];
        let diagonal = self.gram.diag().to_owned();
        // Gauss-Jordan on the upper triangle mirrored: the systems have a handful of unknowns.
        for pivot in 0..n {
            if self.gram[[pivot, pivot]] <= COLLINEAR * diagonal[pivot] {
                continue;
            }
            used[pivot] = true;
            let scale = self.gram[[pivot, pivot]];
            let row = self.gram.row(pivot).mapv(|v| v / scale);
            let moment = self.moments[pivot] / scale;
            for other in (0..n).filter(|&other| other != pivot) {
                let factor = self.gram[[other, pivot]];
                self.gram.row_mut(other).scaled_add(-factor, &row);
                self.moments[other] -= factor * moment;
            }
            self.gram.row_mut(pivot).assign(&row);
            self.moments[pivot] = moment;
        }
        (0..n)
            .map(|i| if used[i] { self.moments[i] } else { 0.0 })
            .collect()
    }
}

/// What is left of a column's sum of squares, relatively, where others predict it up to rounding.
const COLLINEAR: f64 = 1e-10;

impl AddAssign<&Self> for Normal {
    fn add_assign(&mut self, other: &Self) {
        self.gram += &other.gram;
        self.moments += &other.moments;
    }
}

/// Predictions of `scores` (`NaN` where unknown) by ordinary least squares on the features of rows and columns, each from
/// the blocks of `folds` that share neither its fold of rows nor that of columns.
///
/// Features should be of unit size; nothing else depends on their scale. One pass over the scores, and nothing of the
/// size pairs × features.
pub(crate) fn cross_fitted(
    scores: ArrayView2<'_, f64>,
    rows: ArrayView2<'_, f64>,
    columns: ArrayView2<'_, f64>,
    folds: &GridFolds,
) -> Array2<f64> {
    let sums: Vec<Vec<Normal>> = (0..folds.n)
        .into_par_iter()
        .map(|fold| blocks_of_rows(scores, rows, columns, folds, fold))
        .collect();
    let n_coefficients = 1 + rows.ncols() + columns.ncols();
    let mut predicted = Array2::from_elem(scores.dim(), f64::NAN);
    for row_fold in 0..folds.n {
        for column_fold in 0..folds.n {
            let mut training = Normal::zeros(n_coefficients);
            for (i, of_row) in sums.iter().enumerate() {
                for (j, block) in of_row.iter().enumerate() {
                    if i != row_fold && j != column_fold {
                        training += block;
                    }
                }
            }
            let coefficients = training.solve().to_vec();
            let (of_rows, of_columns) = coefficients[1..].split_at(rows.ncols());
            let linear = |x: ArrayView2<'_, f64>, slopes: &[f64]| -> Vec<f64> {
                x.rows()
                    .into_iter()
                    .map(|row| row.iter().zip(slopes).map(|(x, slope)| x * slope).sum())
                    .collect()
            };
            let (row_part, column_part) = (linear(rows, of_rows), linear(columns, of_columns));
            for i in (0..rows.nrows()).filter(|&i| folds.of_row[i] == row_fold) {
                let base = coefficients[0] + row_part[i];
                for (j, predicted) in predicted.row_mut(i).iter_mut().enumerate() {
                    if folds.of_column[j] == column_fold {
                        *predicted = base + column_part[j];
                    }
                }
            }
        }
    }
    predicted
}

/// The sums of one fold of rows with each fold of columns.
fn blocks_of_rows(
    scores: ArrayView2<'_, f64>,
    rows: ArrayView2<'_, f64>,
    columns: ArrayView2<'_, f64>,
    folds: &GridFolds,
    fold: usize,
) -> Vec<Normal> {
    let (n_row, n_column) = (rows.ncols(), columns.ncols());
    let mut blocks = vec![Normal::zeros(1 + n_row + n_column); folds.n];
    // Known scores of each column and their sum.
    let mut known = vec![0.0; columns.nrows()];
    let mut sum_of = vec![0.0; columns.nrows()];
    // The same of a row by fold of columns, and the sums of column features over its known scores.
    let mut of_row = vec![0.0; folds.n * (2 + n_column)];
    let columns_flat: Vec<f64> = columns.iter().copied().collect();
    for i in (0..rows.nrows()).filter(|&i| folds.of_row[i] == fold) {
        of_row.fill(0.0);
        for (j, &score) in scores.row(i).iter().enumerate() {
            if score.is_nan() {
                continue;
            }
            known[j] += 1.0;
            sum_of[j] += score;
            let part = &mut of_row[folds.of_column[j] * (2 + n_column)..][..2 + n_column];
            part[0] += 1.0;
            part[1] += score;
            for (sum, x) in part[2..].iter_mut().zip(&columns_flat[j * n_column..]) {
                *sum += x;
            }
        }
        for (block, part) in blocks.iter_mut().zip(of_row.chunks(2 + n_column)) {
            let (n, sum) = (part[0], part[1]);
            block.gram[[0, 0]] += n;
            block.moments[0] += sum;
            for (a, &x) in rows.row(i).iter().enumerate() {
                block.moments[1 + a] += sum * x;
                block.gram[[0, 1 + a]] += n * x;
                for (b, &y) in rows.row(i).iter().enumerate() {
                    block.gram[[1 + a, 1 + b]] += n * x * y;
                }
                for (c, &of_columns) in part[2..].iter().enumerate() {
                    block.gram[[1 + a, 1 + n_row + c]] += x * of_columns;
                }
            }
        }
    }
    for (j, of_column) in columns.rows().into_iter().enumerate() {
        let block = &mut blocks[folds.of_column[j]];
        for (a, &x) in of_column.iter().enumerate() {
            let a = 1 + n_row + a;
            block.moments[a] += sum_of[j] * x;
            block.gram[[0, a]] += known[j] * x;
            for (b, &y) in of_column.iter().enumerate() {
                block.gram[[a, 1 + n_row + b]] += known[j] * x * y;
            }
        }
    }
    for block in &mut blocks {
        for i in 0..block.gram.nrows() {
            for j in 0..i {
                block.gram[[i, j]] = block.gram[[j, i]];
            }
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Axis, array, concatenate};
    use proptest::prelude::*;

    /// Sums of a few hundred products of order 1, solved in seven unknowns.
    const SAME_FIT: f64 = 1e-7;

    proptest! {
        #[test]
        fn the_residuals_are_orthogonal_to_what_was_trained_on(
            scores in prop::collection::vec(prop::option::weighted(0.9, -2.0..2.0f64), 12 * 14),
            features in prop::collection::vec(-1.0..1.0f64, 12 * 2 + 14 * 2),
        ) {
            let scores: Vec<f64> = scores.into_iter().map(|s| s.unwrap_or(f64::NAN)).collect();
            let scores = Array2::from_shape_vec((12, 14), scores).unwrap();
            let rows = Array2::from_shape_vec((12, 2), features[..24].to_vec()).unwrap();
            let columns = Array2::from_shape_vec((14, 2), features[24..].to_vec()).unwrap();
            let folds = GridFolds { of_row: (0..12).map(|i| i % 3).collect(), of_column: (0..14).map(|j| j / 5).collect(), n: 3 };
            let predicted = cross_fitted(scores.view(), rows.view(), columns.view(), &folds);
            prop_assert!(predicted.iter().all(|p| p.is_finite()));
            // Written out: the prediction of a test pair is linear with the coefficients that make training residuals
            // orthogonal to every column; solved here by plain elimination over all pairs.
            for (row_fold, column_fold) in [(0, 0), (1, 2), (2, 1)] {
                let mut normal = Normal::zeros(5);
                for ((i, j), &score) in scores.indexed_iter() {
                    if score.is_nan() || folds.of_row[i] == row_fold || folds.of_column[j] == column_fold {
                        continue;
                    }
                    let x = concatenate![Axis(0), array![1.0], rows.row(i), columns.row(j)];
                    for a in 0..5 {
                        normal.moments[a] += score * x[a];
                        for b in 0..5 {
                            normal.gram[[a, b]] += x[a] * x[b];
                        }
                    }
                }
                let (gram, moments) = (normal.gram.clone(), normal.moments.clone());
                let coefficients = normal.solve();
                let defect = gram.dot(&coefficients) - moments;
                prop_assert!(defect.iter().all(|d| d.abs() < SAME_FIT), "{defect}");
                for ((i, j), &found) in predicted.indexed_iter() {
                    if folds.of_row[i] == row_fold && folds.of_column[j] == column_fold {
                        let x = concatenate![Axis(0), array![1.0], rows.row(i), columns.row(j)];
                        prop_assert!((found - x.dot(&coefficients)).abs() < SAME_FIT);
                    }
                }
            }
        }
    }

    #[test]
    fn a_feature_that_repeats_another_changes_no_prediction() {
        let scores = Array2::from_shape_fn((9, 9), |(i, j)| (i * i) as f64 * 0.3 - j as f64);
        let once = Array2::from_shape_fn((9, 1), |(i, _)| i as f64 / 9.0);
        let twice = concatenate![Axis(1), once, once];
        let folds = GridFolds {
            of_row: (0..9).map(|i| i % 3).collect(),
            of_column: (0..9).map(|i| i % 3).collect(),
            n: 3,
        };
        let predicted = |x: &Array2<f64>| cross_fitted(scores.view(), x.view(), x.view(), &folds);
        let difference = predicted(&once) - predicted(&twice);
        assert!(difference.iter().all(|d| d.abs() < SAME_FIT));
    }
}
