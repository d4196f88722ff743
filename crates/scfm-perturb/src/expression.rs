use scfm_stats::Moments;
use sprs::CsMat;

/// Mean and variance (ddof 1) of every column of a sparse cells × genes matrix, zeros that are not stored included.
/// In two passes, so that a small variance beside a large mean keeps its digits.
pub(crate) fn gene_moments(expression: &CsMat<f64>) -> Vec<Moments> {
    let (n_cells, n_genes) = expression.shape();
    let n = n_cells as f64;
    let (mut mean, mut squares) = (vec![0.0; n_genes], vec![0.0; n_genes]);
    let mut n_stored = vec![0usize; n_genes];
    for (gene, value) in entries(expression) {
        mean[gene] += value;
        n_stored[gene] += 1;
    }
    for mean in &mut mean {
        *mean /= n;
    }
    for (gene, value) in entries(expression) {
        squares[gene] += (value - mean[gene]).powi(2);
    }
    (0..n_genes)
        .map(|gene| {
            let n_zeros = (n_cells - n_stored[gene]) as f64;
            Moments {
                n: n_cells,
                mean: mean[gene],
                variance: (squares[gene] + n_zeros * mean[gene].powi(2)) / (n - 1.0),
            }
        })
        .collect()
}

/// The positive values of every gene, unsorted.
pub(crate) fn positive_values(expression: &CsMat<f64>) -> Vec<Vec<f64>> {
    let mut values = vec![Vec::new(); expression.cols()];
    for (gene, value) in entries(expression).filter(|&(_, value)| value > 0.0) {
        values[gene].push(value);
    }
    values
}

fn entries(expression: &CsMat<f64>) -> impl Iterator<Item = (usize, f64)> {
    expression
        .indices()
        .iter()
        .copied()
        .zip(expression.data().iter().copied())
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
            let sparse = CsMat::csr_from_dense(dense.view(), 0.0);
            for (gene, moments) in gene_moments(&sparse).iter().enumerate() {
                let column = dense.column(gene);
                prop_assert!((moments.mean - column.mean().unwrap()).abs() < ROUNDING);
                prop_assert!((moments.variance - column.var(1.0)).abs() < ROUNDING);
                prop_assert_eq!(moments.n, rows.len());
            }
        }
    }

    #[test]
    fn a_small_variance_beside_a_large_mean_keeps_its_digits() {
        let dense = ndarray::array![[1e8], [1e8 + 1.0], [1e8 + 2.0]];
        let moments = &gene_moments(&CsMat::csr_from_dense(dense.view(), 0.0))[0];
        assert_eq!((moments.mean, moments.variance), (1e8 + 1.0, 1.0));
    }

    #[test]
    fn stored_zeros_are_zeros() {
        let stored = CsMat::new((2, 1), vec![0, 1, 2], vec![0, 0], vec![0.0, 2.0]);
        assert_eq!(positive_values(&stored), [vec![2.0]]);
        assert_eq!(gene_moments(&stored)[0].variance, 2.0);
    }
}
