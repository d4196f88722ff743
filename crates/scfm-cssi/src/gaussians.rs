//! Clusters of cells as a mixture of Gaussians, in which a cell may belong to several in part.

use ndarray::{Array2, ArrayView2, Axis};

use crate::aggregate::same;
use crate::error::{Error, finite_points};

/// Rounds of expectation and maximisation at most, and the gain in log-likelihood per cell below which they end.
const MAX_ROUNDS: usize = 100;
const ENOUGH: f64 = 1e-3;

/// How far each cell belongs to each cluster, `[cells, clusters]`, rows adding up to 1: posterior probabilities in a mixture of
/// spherical Gaussians of one variance in the `points`, `[cells, dimensions]`, fitted by expectation and maximisation (Dempster,
/// Laird and Rubin 1977) from the clusters of `labels` on. Columns are in ascending order of labels.
///
/// Dimensions should be of like scale. The variance is divided by the cells less the clusters, as centres are fitted. Cells that lie
/// in no clusters get no flat rows: in many dimensions clusters of noise look as sure of their cells as others do.
///
/// # Errors
/// [`Error::Length`] unless there is a label for each cell; [`Error::OutOfRange`] unless there are more cells than clusters;
/// [`Error::NotFinite`].
pub fn memberships(points: ArrayView2<'_, f64>, labels: &[usize]) -> Result<Array2<f64>, Error> {
    let (n, n_dimensions) = points.dim();
    same("labels of cells", n, labels.len())?;
    finite_points(points)?;
    let mut distinct = labels.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    if n <= distinct.len() {
        return Err(Error::OutOfRange {
            what: "number of cells",
            value: n as f64,
            expected: "more than there are clusters",
        });
    }
    let degrees = ((n - distinct.len()) * n_dimensions) as f64;
    let mut belongs = Array2::zeros((n, distinct.len()));
    for (mut row, label) in belongs.rows_mut().into_iter().zip(labels) {
        row[distinct.binary_search(label).expect("it is one of them")] = 1.0;
    }
    let mut log_likelihood = f64::NEG_INFINITY;
    for _ in 0..MAX_ROUNDS {
        let sizes = belongs.sum_axis(Axis(0));
        // A cluster without cells has its centre anywhere, as no cell can belong to it.
        let divisors = sizes.mapv(|size| if size > 0.0 { size } else { 1.0 });
        let centres = belongs.t().dot(&points) / divisors.insert_axis(Axis(1));
        let distances = squared_distances(points, centres.view());
        let variance = (&belongs * &distances).sum() / degrees;
        if variance <= 0.0 {
            break;
        }
        let shares = sizes.mapv(|size| (size / n as f64).ln());
        belongs = distances.mapv_into(|distance| -distance / (2.0 * variance)) + shares;
        let mut next = -0.5 * (n * n_dimensions) as f64 * variance.ln();
        for mut row in belongs.rows_mut() {
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            row.mapv_inplace(|log| (log - largest).exp());
            let sum = row.sum();
            row /= sum;
            next += largest + sum.ln();
        }
        let gain = next - log_likelihood;
        log_likelihood = next;
        if gain < ENOUGH * n as f64 {
            break;
        }
    }
    Ok(belongs)
}

/// The cluster that each cell belongs to most, from `memberships`, `[cells, clusters]`; the first of equal ones.
pub fn likeliest(memberships: ArrayView2<'_, f64>) -> Vec<usize> {
    memberships
        .rows()
        .into_iter()
        .map(|row| {
            let best = row.iter().enumerate();
            best.reduce(|best, next| if next.1 > best.1 { next } else { best })
                .map_or(0, |(cluster, _)| cluster)
        })
        .collect()
}

/// `[cells, centres]`.
fn squared_distances(points: ArrayView2<'_, f64>, centres: ArrayView2<'_, f64>) -> Array2<f64> {
    let norms = |rows: ArrayView2<'_, f64>| rows.map_axis(Axis(1), |row| row.dot(&row));
    let products = points.dot(&centres.t());
    let sums = norms(points).insert_axis(Axis(1)) + norms(centres).insert_axis(Axis(0));
    (sums - 2.0 * products).mapv_into(|distance| distance.max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn cells_belong_by_their_distance_and_the_sizes_of_clusters() {
        let points = array![[-1.1], [-0.9], [-1.0], [0.0], [0.9], [1.0], [1.1]];
        let belongs = memberships(points.view(), &[4, 4, 4, 4, 9, 9, 9]).unwrap();
        assert!(
            belongs
                .rows()
                .into_iter()
                .all(|row| (row.sum() - 1.0).abs() < 1e-12)
        );
        assert!(belongs[[0, 0]] > 0.99 && belongs[[6, 1]] > 0.99);
        // The cell halfway, which a label had given to the first cluster, belongs to both.
        assert!((belongs[[3, 0]] - 0.5).abs() < 0.2, "{}", belongs[[3, 0]]);
        let labels = likeliest(belongs.view());
        assert_eq!((&labels[..3], &labels[4..]), (&[0, 0, 0][..], &[1, 1, 1][..]));
    }

    #[test]
    fn a_wrong_start_is_mended() {
        let points = Array2::from_shape_fn((40, 3), |(cell, d)| {
            (cell / 20 * 8) as f64 + ((cell * 7 + d * 3) % 5) as f64 / 5.0
        });
        let truth: Vec<usize> = (0..40).map(|cell| cell / 20).collect();
        let start: Vec<usize> = (0..40).map(|cell| usize::from(cell >= 26)).collect();
        assert_eq!(
            likeliest(memberships(points.view(), &start).unwrap().view()),
            truth
        );
    }

    #[test]
    fn bad_input_is_refused() {
        let points = array![[0.0], [1.0]];
        assert!(matches!(
            memberships(points.view(), &[0]),
            Err(Error::Length { .. })
        ));
        assert!(matches!(
            memberships(points.view(), &[0, 1]),
            Err(Error::OutOfRange { .. })
        ));
        let points = array![[0.0], [f64::NAN], [1.0]];
        let found = memberships(points.view(), &[0, 0, 0]);
        assert!(matches!(
            found,
            Err(Error::NotFinite {
                row: 1,
                column: 0,
                ..
            })
        ));
        // All cells in one place belong as they were labelled.
        let points = Array2::zeros((3, 2));
        assert_eq!(
            likeliest(memberships(points.view(), &[0, 1, 1]).unwrap().view()),
            [0, 1, 1]
        );
    }
}
