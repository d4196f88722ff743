use ndarray::{Array2, Axis};
use rand_chacha::ChaCha8Rng;

use super::normal;

/// Multiplications by the matrix and its transpose. The share of a singular vector that is missed falls with the ratio of
/// singular values to twice this power.
const ROUNDS: usize = 12;

/// Columns that are shorter than this share of what they were before they were made orthogonal are rounding errors.
const DEPENDENT: f64 = 1e-10;

/// Factors `q`, `[n, rank]`, and `k`, `[m, rank]`, such that `q kᵀ` is the matrix where its rank is no larger, and otherwise
/// close to the best approximation of this rank: the projection to its leading singular vectors, found by subspace iteration
/// (Halko, Martinsson and Tropp 2011, doi:10.1137/090771806, algorithm 4.4).
pub(super) fn low_rank(
    matrix: &Array2<f64>,
    rank: usize,
    rng: &mut ChaCha8Rng,
) -> (Array2<f64>, Array2<f64>) {
    let (n, m) = matrix.dim();
    let rank = rank.min(n).min(m);
    let mut q = matrix.dot(&normal((m, rank), rng));
    orthonormalise(&mut q);
    for _ in 0..ROUNDS {
        let mut back = matrix.t().dot(&q);
        orthonormalise(&mut back);
        q = matrix.dot(&back);
        orthonormalise(&mut q);
    }
    let k = matrix.t().dot(&q);
    (q, k)
}

/// Makes columns orthonormal, one after the other; those that depend on earlier ones become 0.
fn orthonormalise(columns: &mut Array2<f64>) {
    for j in 0..columns.ncols() {
        let (before, mut rest) = columns.view_mut().split_at(Axis(1), j);
        let mut column = rest.column_mut(0);
        let length = column.dot(&column).sqrt();
        // Twice, since what the first pass leaves is as large as its rounding.
        for _ in 0..2 {
            for other in before.columns() {
                let along = column.dot(&other);
                column.scaled_add(-along, &other);
            }
        }
        let left = column.dot(&column).sqrt();
        let scale = if left > DEPENDENT * length {
            1.0 / left
        } else {
            0.0
        };
        column *= scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scfm_core::Seeds;

    fn stream() -> ChaCha8Rng {
        Seeds::new(0).stream("test", "matrix", 0)
    }

    fn distance(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
        (a - b).mapv(|x| x * x).sum().sqrt()
    }

    #[test]
    fn a_matrix_of_small_rank_is_recovered_and_zero_is_zero() {
        let mut rng = stream();
        let matrix = normal((20, 3), &mut rng).dot(&normal((3, 15), &mut rng));
        let (q, k) = low_rank(&matrix, 5, &mut rng);
        assert_eq!((q.dim(), k.dim()), ((20, 5), (15, 5)));
        assert!(distance(&q.dot(&k.t()), &matrix) < 1e-9);
        let (q, k) = low_rank(&Array2::zeros((4, 4)), 2, &mut rng);
        assert!(q.dot(&k.t()).iter().all(|&x| x == 0.0));
    }

    #[test]
    fn what_is_left_out_is_the_smallest_singular_values() {
        // Orthogonal columns of lengths 10, 8, 6, 1, 0.5: the best approximation of rank 3 misses √(1 + 0.25).
        let mut left = normal((30, 5), &mut stream());
        let mut right = normal((25, 5), &mut stream());
        orthonormalise(&mut left);
        orthonormalise(&mut right);
        let lengths = ndarray::arr1(&[10.0, 8.0, 6.0, 1.0, 0.5]);
        let matrix = (&left * &lengths).dot(&right.t());
        let (q, k) = low_rank(&matrix, 3, &mut stream());
        assert!((distance(&q.dot(&k.t()), &matrix) - 1.25f64.sqrt()).abs() < 1e-9);
    }
}
