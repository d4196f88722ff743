//! Correlations of all pairs of columns against those of one pair, sparse against dense.

use ndarray::{Array2, Axis};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use scfm_stats::{Error, SparseColumns, mid_ranks, pearson_columns, spearman_columns};

/// What products in single precision may cost (see `spearman_columns`).
const SINGLE: f64 = 1e-6;

/// The form of a matrix that [`SparseColumns`] borrows.
fn compressed(matrix: &Array2<f64>) -> (Vec<usize>, Vec<usize>, Vec<f64>) {
    let (mut starts, mut rows, mut values) = (vec![0], Vec::new(), Vec::new());
    for column in matrix.columns() {
        for (row, &value) in column.iter().enumerate().filter(|(_, value)| **value != 0.0) {
            rows.push(row);
            values.push(value);
        }
        starts.push(rows.len());
    }
    (starts, rows, values)
}

/// Pearson's r by its definition, in the order of the rows; NaN for a constant vector.
fn naive(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len() as f64;
    let (ma, mb) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        aa += (x - ma).powi(2);
        bb += (y - mb).powi(2);
        ab += (x - ma) * (y - mb);
    }
    let constant = |values: &[f64]| values.iter().all(|value| *value == values[0]);
    if constant(a) || constant(b) {
        f64::NAN
    } else {
        ab / (aa * bb).sqrt()
    }
}

fn check(matrix: &Array2<f64>) {
    let columns: Vec<Vec<f64>> = matrix
        .columns()
        .into_iter()
        .map(|column| column.to_vec())
        .collect();
    let ranks: Vec<Vec<f64>> = columns.iter().map(|column| mid_ranks(column).unwrap()).collect();
    let (starts, rows, values) = compressed(matrix);
    let sparse = SparseColumns::new(matrix.nrows(), &starts, &rows, &values).unwrap();
    for (found, again, of) in [
        (spearman_columns(matrix.view()), spearman_columns(sparse), &ranks),
        (pearson_columns(matrix.view()), pearson_columns(sparse), &columns),
    ] {
        for ((i, j), &value) in found.indexed_iter() {
            let expected = if i == j && !naive(&of[i], &of[i]).is_nan() {
                1.0
            } else {
                naive(&of[i], &of[j])
            };
            assert!(
                (value - expected).abs() < SINGLE || (value.is_nan() && expected.is_nan()),
                "{i}, {j}: {value} instead of {expected}"
            );
            assert_eq!(
                value.to_bits(),
                again[[i, j]].to_bits(),
                "one way for dense and sparse matrices"
            );
            assert_eq!(value.to_bits(), found[[j, i]].to_bits());
        }
    }
}

/// Counts of which a share is not zero, with a few negative ones; the first column is constant.
fn counts(n_rows: usize, n_columns: usize, density: f64, seed: u64) -> Array2<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut matrix = Array2::from_shape_simple_fn((n_rows, n_columns), || {
        if rng.random::<f64>() < density {
            f64::from(rng.random_range(-2..8))
        } else {
            0.0
        }
    });
    matrix.column_mut(0).fill(3.0);
    matrix
}

#[test]
fn pairs_of_columns_agree_with_the_definition_at_every_density() {
    for (n_rows, n_columns, density) in [
        (3, 5, 0.5),
        (130, 33, 0.05),
        (700, 40, 0.3),
        (400, 70, 0.6),
        (300, 150, 1.0),
    ] {
        check(&counts(n_rows, n_columns, density, n_rows as u64));
    }
}

#[test]
fn a_large_mean_costs_no_digits() {
    let mut matrix = counts(200, 12, 0.9, 4);
    matrix += 1e6;
    // And one sparse column among them, so that both kinds meet.
    let sparse = counts(200, 2, 0.1, 5);
    matrix.column_mut(3).assign(&sparse.column(1));
    check(&matrix);
}

#[test]
fn a_column_with_a_missing_value_has_no_correlations_and_infinite_values_have_ranks() {
    let mut matrix = counts(50, 6, 0.4, 1);
    matrix[[7, 2]] = f64::NAN;
    matrix[[8, 4]] = f64::INFINITY;
    let (ranked, plain) = (spearman_columns(matrix.view()), pearson_columns(matrix.view()));
    for other in 0..6 {
        assert!(ranked[[2, other]].is_nan() && plain[[2, other]].is_nan() && plain[[4, other]].is_nan());
    }
    assert_eq!(ranked[[4, 4]], 1.0);
    assert!(ranked[[4, 5]].is_finite());
}

#[test]
fn threads_and_precision_of_the_input_change_no_bit() {
    let matrix = counts(900, 90, 0.2, 9);
    let reference = spearman_columns(matrix.view());
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        assert_eq!(
            pool.install(|| spearman_columns(matrix.view()))
                .mapv(f64::to_bits),
            reference.mapv(f64::to_bits)
        );
    }
    let single = matrix.mapv(|value| value as f32);
    assert_eq!(
        spearman_columns(single.view()).mapv(f64::to_bits),
        reference.mapv(f64::to_bits)
    );
}

#[test]
fn malformed_sparse_columns_are_refused() {
    let refused = |starts: &[usize], rows: &[usize], values: &[f64]| {
        SparseColumns::new(3, starts, rows, values).expect_err("malformed")
    };
    assert!(matches!(refused(&[], &[], &[]), Error::Empty { .. }));
    assert!(matches!(refused(&[0, 1], &[0], &[]), Error::Length { .. }));
    for (starts, rows) in [
        (vec![0, 2], vec![0, 3]),    // beyond the last row
        (vec![0, 2], vec![1, 1]),    // twice
        (vec![0, 2, 1], vec![0]),    // descending starts
        (vec![0, 1], vec![0, 1]),    // an entry of no column
        (vec![1, 2], vec![0, 1]),    // an entry before the first column
        (vec![0, 3, 2], vec![0, 1]), // beyond the entries
    ] {
        let error = refused(&starts, &rows, &vec![1.0; rows.len()]);
        assert!(
            matches!(error, Error::OutOfRange { .. }),
            "{starts:?} {rows:?}: {error}"
        );
    }
}

proptest! {
    #[test]
    fn ranks_see_no_monotone_transform_and_no_order_of_rows(seed in any::<u64>(), density in 0.0..1.0_f64) {
        let matrix = counts(60, 9, density, seed);
        let reference = spearman_columns(matrix.view());
        let close = |other: Array2<f64>| {
            reference.iter().zip(&other).all(|(a, b)| (a - b).abs() < SINGLE || (a.is_nan() && b.is_nan()))
        };
        // Strictly increasing, and zeros move away from zero, so that other entries are stored.
        prop_assert!(close(spearman_columns(matrix.mapv(|value| (value / 4.0).exp()).view())));
        let mut order: Vec<usize> = (0..60).collect();
        order.sort_by_key(|row| (row * 37) % 60);
        prop_assert!(close(spearman_columns(matrix.select(Axis(0), &order).view())));
        check(&matrix);
    }
}
