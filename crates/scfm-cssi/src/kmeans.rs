//! Clusters of cells around centres.

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use rand::{Rng, RngExt};
use rayon::prelude::*;

use crate::error::{Error, finite_points};

/// Rounds of Lloyd's algorithm at most; it stops when no cell changes its cluster.
const MAX_ROUNDS: usize = 300;

/// Clusters of the rows of `points`, `[cells, dimensions]`, around `n_clusters` means: the best of `n_starts` runs of
/// Lloyd's algorithm, started by k-means++ (Arthur and Vassilvitskii 2007). Returns the cluster of each row.
///
/// A cluster that loses all its cells takes the row that lies furthest from its own centre. The same labels for any number of
/// threads. Compared with `sklearn.cluster.KMeans`, which draws other numbers, by what both reach: the sum of squared
/// distances to the centres.
///
/// # Errors
/// [`Error::OutOfRange`] unless 1 ≤ `n_clusters` ≤ cells and there is a start; [`Error::NotFinite`].
pub fn k_means(
    points: ArrayView2<'_, f64>,
    n_clusters: usize,
    n_starts: usize,
    rng: &mut impl Rng,
) -> Result<Vec<usize>, Error> {
    let n = points.nrows();
    if n_clusters == 0 || n_clusters > n {
        return Err(Error::OutOfRange {
            what: "number of clusters",
            value: n_clusters as f64,
            expected: "1 up to the number of cells",
        });
    }
    finite_points(points)?;
    let points = points.as_standard_layout();
    (0..n_starts)
        .map(|_| {
            let centres = spread_centres(points.view(), n_clusters, rng);
            lloyd(points.view(), centres)
        })
        // The first of equally good runs.
        .reduce(|best, run| if run.spread < best.spread { run } else { best })
        .map(|best| best.clusters)
        .ok_or(Error::OutOfRange {
            what: "number of starts",
            value: 0.0,
            expected: "at least 1",
        })
}

struct Run {
    clusters: Vec<usize>,
    /// Sum of squared distances to the centres.
    spread: f64,
}

/// Rows drawn one after the other with probability proportional to their squared distance from those drawn before.
fn spread_centres(points: ArrayView2<'_, f64>, n_clusters: usize, rng: &mut impl Rng) -> Array2<f64> {
    let n = points.nrows();
    let mut centres = Array2::zeros((n_clusters, points.ncols()));
    let mut distances = vec![f64::INFINITY; n];
    let mut chosen = rng.random_range(0..n);
    for at in 0..n_clusters {
        centres.row_mut(at).assign(&points.row(chosen));
        for (distance, point) in distances.iter_mut().zip(points.rows()) {
            *distance = distance.min(squared_distance(point, points.row(chosen)));
        }
        let mut left = rng.random::<f64>() * distances.iter().sum::<f64>();
        let drawn = distances.iter().position(|distance| {
            left -= distance;
            left < 0.0
        });
        // Rounding, or points that all lie on centres, may leave none.
        chosen = drawn.unwrap_or_else(|| rng.random_range(0..n));
    }
    centres
}

fn lloyd(points: ArrayView2<'_, f64>, mut centres: Array2<f64>) -> Run {
    let mut nearest = vec![(usize::MAX, 0.0); points.nrows()];
    for _ in 0..MAX_ROUNDS {
        let next: Vec<(usize, f64)> = (0..points.nrows())
            .into_par_iter()
            .with_min_len(256)
            .map(|cell| nearest_centre(points.row(cell), &centres))
            .collect();
        let settled = next.iter().zip(&nearest).all(|(new, old)| new.0 == old.0);
        nearest = next;
        if settled {
            break;
        }
        move_centres(points, &mut nearest, &mut centres);
    }
    Run {
        clusters: nearest.iter().map(|&(cluster, _)| cluster).collect(),
        spread: nearest.iter().map(|&(_, distance)| distance).sum(),
    }
}

fn nearest_centre(point: ArrayView1<'_, f64>, centres: &Array2<f64>) -> (usize, f64) {
    centres
        .rows()
        .into_iter()
        .map(|centre| squared_distance(point, centre))
        .enumerate()
        .reduce(|best, other| if other.1 < best.1 { other } else { best })
        .expect("there is a centre")
}

fn move_centres(points: ArrayView2<'_, f64>, nearest: &mut [(usize, f64)], centres: &mut Array2<f64>) {
    let mut sizes = vec![0usize; centres.nrows()];
    for &(cluster, _) in nearest.iter() {
        sizes[cluster] += 1;
    }
    while let Some(empty) = sizes.iter().position(|&size| size == 0) {
        let furthest = (0..nearest.len())
            .filter(|&cell| sizes[nearest[cell].0] > 1)
            .reduce(|best, cell| {
                if nearest[cell].1 > nearest[best].1 {
                    cell
                } else {
                    best
                }
            })
            .expect("there are at least as many cells as clusters");
        sizes[nearest[furthest].0] -= 1;
        sizes[empty] += 1;
        nearest[furthest] = (empty, 0.0);
    }
    centres.fill(0.0);
    for (point, &(cluster, _)) in points.rows().into_iter().zip(nearest.iter()) {
        centres.row_mut(cluster).scaled_add(1.0, &point);
    }
    for (mut centre, &size) in centres.axis_iter_mut(Axis(0)).zip(&sizes) {
        centre /= size as f64;
    }
}

fn squared_distance(a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>) -> f64 {
    // Several sums at once, which one sum in the order of dimensions would not let the processor take.
    const SUMS: usize = 8;
    let [a, b] = [&a, &b].map(|row| row.to_slice().expect("rows are contiguous"));
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<SUMS>(), b.as_chunks::<SUMS>());
    let mut sums = [0.0; SUMS];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += (a - b) * (a - b);
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| (a - b) * (a - b));
    sums.iter().sum::<f64>() + rest.sum::<f64>()
}
