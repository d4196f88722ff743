use sprs::CsMat;

/// Mean, variance and number of positive values of every column of a cells × genes matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnMoments {
    /// Number of rows.
    pub n: usize,
    /// Means.
    pub mean: Vec<f64>,
    /// Variances with denominator n − 1; `NaN` for a single row.
    pub variance: Vec<f64>,
    /// Numbers of values above 0.
    pub n_positive: Vec<usize>,
}

impl ColumnMoments {
    /// Moments of a sparse matrix, zeros that are not stored included and never visited. In two passes, so that a small
    /// variance beside a large mean keeps its digits. Agrees with `numpy.mean` and `numpy.var(ddof=1)` of the dense matrix.
    pub fn of(matrix: &CsMat<f64>) -> Self {
        let (n, n_columns) = matrix.shape();
        let entries = || {
            matrix
                .indices()
                .iter()
                .copied()
                .zip(matrix.data().iter().copied())
        };
        let (mut mean, mut variance) = (vec![0.0; n_columns], vec![0.0; n_columns]);
        let (mut n_stored, mut n_positive) = (vec![0; n_columns], vec![0; n_columns]);
        for (column, value) in entries() {
            mean[column] += value;
            n_stored[column] += 1;
            n_positive[column] += usize::from(value > 0.0);
        }
        for mean in &mut mean {
            *mean /= n as f64;
        }
        for (column, value) in entries() {
            variance[column] += (value - mean[column]).powi(2);
        }
        for column in 0..n_columns {
            let zeros = (n - n_stored[column]) as f64 * mean[column].powi(2);
            variance[column] = (variance[column] + zeros) / (n as f64 - 1.0);
        }
        Self {
            n,
            mean,
            variance,
            n_positive,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sums of at most 30 values of order 1 agree to a few units in the last place.
    const ROUNDING: f64 = 1e-12;

    proptest! {
        #[test]
        fn moments_of_a_sparse_matrix_are_those_of_the_dense_one(
            rows in prop::collection::vec(prop::collection::vec(prop_oneof![Just(0.0), 0.0..5.0f64], 4), 2..30),
        ) {
            let dense = ndarray::Array2::from_shape_fn((rows.len(), 4), |(i, j)| rows[i][j]);
            let moments = ColumnMoments::of(&CsMat::csr_from_dense(dense.view(), 0.0));
            prop_assert_eq!(moments.n, rows.len());
            for column in 0..4 {
                let values = dense.column(column);
                prop_assert!((moments.mean[column] - values.mean().unwrap()).abs() < ROUNDING);
                prop_assert!((moments.variance[column] - values.var(1.0)).abs() < ROUNDING);
                prop_assert_eq!(moments.n_positive[column], values.iter().filter(|&&v| v > 0.0).count());
            }
        }
    }

    #[test]
    fn a_small_variance_beside_a_large_mean_keeps_its_digits() {
        let dense = ndarray::array![[1e8], [1e8 + 1.0], [1e8 + 2.0]];
        let moments = ColumnMoments::of(&CsMat::csr_from_dense(dense.view(), 0.0));
        assert_eq!((moments.mean[0], moments.variance[0]), (1e8 + 1.0, 1.0));
    }

    #[test]
    fn stored_zeros_are_zeros() {
        let moments = ColumnMoments::of(&CsMat::new((2, 1), vec![0, 1, 2], vec![0, 0], vec![0.0, 2.0]));
        assert_eq!((moments.variance[0], moments.n_positive[0]), (2.0, 1));
    }
}
