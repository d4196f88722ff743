use ndarray::{Array2, Array3, ArrayView1, ArrayView2, s};
use rand_chacha::ChaCha8Rng;

use crate::CONFIDENCE;
use crate::bootstrap::{percentile_interval, resamples};
use crate::error::Error;
use crate::grid::LabelledGrid;
use crate::ranks::SortedScores;
use crate::result::Interval;
use crate::two_way_bootstrap::resampled;

/// A figure of how well a row ranks its candidates that looks at the top of the ranking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowMetric {
    /// Average precision, tied scores one step.
    AveragePrecision,
    /// Share of the row's positives among its first k candidates, in expectation over a random order of the scores tied
    /// at the boundary; 1 where there are no more than k.
    Recall(usize),
}

/// Means over rows of several metrics of several scores, on the design and over resampled rows and columns.
#[derive(Debug, Clone, PartialEq)]
pub struct TwoWayMetrics {
    /// On the design itself, `[scores, metrics]`.
    pub means: Array2<f64>,
    /// In each resample, `[resamples, scores, metrics]`.
    pub replicates: Array3<f64>,
}

impl TwoWayMetrics {
    /// A weighted sum of what the scores have in a metric, a weight for each score.
    ///
    /// # Panics
    /// If there is no such metric or not one weight per score.
    pub fn contrast(&self, metric: usize, weights: &[f64]) -> f64 {
        self.means.column(metric).dot(&ArrayView1::from(weights))
    }

    /// 95 % percentile interval of [`contrast`](Self::contrast), all scores in the same resamples.
    ///
    /// # Panics
    /// As [`contrast`](Self::contrast).
    pub fn contrast_interval(&self, metric: usize, weights: &[f64]) -> Interval {
        let contrasts = self
            .replicates
            .slice(s![.., .., metric])
            .dot(&ArrayView1::from(weights));
        percentile_interval(contrasts.to_vec(), CONFIDENCE)
    }
}

/// Two-way (pigeonhole) bootstrap of the means over rows of `metrics`, as [`two_way_bootstrap`](crate::two_way_bootstrap)
/// has it for AUROCs: a cell counts as often as its row and its column were drawn, so that k counts drawn columns.
///
/// # Errors
/// As [`two_way_bootstrap`](crate::two_way_bootstrap).
pub fn two_way_metrics(
    scores: &[ArrayView2<f64>],
    labels: LabelledGrid,
    metrics: &[RowMetric],
    n: usize,
    stream: impl Fn(u64) -> ChaCha8Rng + Sync,
) -> Result<TwoWayMetrics, Error> {
    resamples(n)?;
    if scores.is_empty() || metrics.is_empty() {
        return Err(Error::Empty {
            what: "list of scores or metrics",
        });
    }
    let sorted: Vec<Vec<SortedScores>> = scores
        .iter()
        .map(|scores| labels.sort(*scores))
        .collect::<Result<_, _>>()?;
    let positive = labels.positive.as_standard_layout();
    let dim = (scores.len(), metrics.len());
    let means = |rows: &[u64], columns: &[u64]| -> Option<Vec<f64>> {
        let mut means = Vec::with_capacity(dim.0 * dim.1);
        for sorted in &sorted {
            let mut sums = vec![0.0; metrics.len()];
            let mut total = 0;
            for ((sorted, positive), &weight) in sorted.iter().zip(positive.rows()).zip(rows) {
                if weight == 0 {
                    continue;
                }
                let class = |column: usize| {
                    let (positive, drawn) = (u64::from(positive[column]), columns[column]);
                    (positive * drawn, (1 - positive) * drawn)
                };
                if let Some(values) = of_row(sorted, metrics, class) {
                    total += weight;
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum += weight as f64 * value;
                    }
                }
            }
            if total == 0 {
                return None;
            }
            means.extend(sums.iter().map(|sum| sum / total as f64));
        }
        Some(means)
    };
    let (n_rows, n_columns) = labels.candidate.dim();
    let on_design = means(&vec![1; n_rows], &vec![1; n_columns]).expect("every row holds both classes");
    let replicates = resampled((n_rows, n_columns), n, stream, means);
    Ok(TwoWayMetrics {
        means: Array2::from_shape_vec(dim, on_design).expect("a mean per score and metric"),
        replicates: Array3::from_shape_vec((n, dim.0, dim.1), replicates.concat())
            .expect("every resample holds a mean per score and metric"),
    })
}

/// The metrics of a row whose positions count as (positive, negative), where both classes are there.
fn of_row(
    sorted: &SortedScores,
    metrics: &[RowMetric],
    class: impl Fn(usize) -> (u64, u64),
) -> Option<Vec<f64>> {
    let (mut hits, mut seen) = (0, 0);
    let mut sums = vec![0.0; metrics.len()];
    for block in sorted.blocks().rev() {
        let (mut positives, mut all) = (0, 0);
        for &position in block {
            let (positive, negative) = class(position as usize);
            positives += positive;
            all += positive + negative;
        }
        if all == 0 {
            continue;
        }
        for (metric, sum) in metrics.iter().zip(&mut sums) {
            *sum += match *metric {
                RowMetric::AveragePrecision => {
                    positives as f64 * ((hits + positives) as f64 / (seen + all) as f64)
                }
                RowMetric::Recall(k) => {
                    let room = (k as u64).saturating_sub(seen).min(all);
                    positives as f64 * (room as f64 / all as f64)
                }
            };
        }
        hits += positives;
        seen += all;
    }
    (hits > 0 && hits < seen).then(|| sums.into_iter().map(|sum| sum / hits as f64).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{average_precision, top_k};
    use proptest::prelude::*;
    use rand::SeedableRng;

    fn stream(index: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        rng.set_stream(index);
        rng
    }

    proptest! {
        #[test]
        fn drawing_a_column_twice_is_a_second_column_of_the_same_score(
            cells in prop::collection::vec((0u8..6, any::<bool>(), 0u64..3), 4..30), k in 1usize..12,
        ) {
            let scores: Vec<f64> = cells.iter().map(|c| f64::from(c.0)).collect();
            let sorted = SortedScores::new(&scores).unwrap();
            let found = of_row(&sorted, &[RowMetric::AveragePrecision, RowMetric::Recall(k)], |i| {
                let (positive, drawn) = (u64::from(cells[i].1), cells[i].2);
                (positive * drawn, (1 - positive) * drawn)
            });
            let written_out = cells.iter().flat_map(|c| std::iter::repeat_n((f64::from(c.0), c.1), c.2 as usize));
            let (scores, labels): (Vec<f64>, Vec<bool>) = written_out.unzip();
            let (n_pos, n) = (labels.iter().filter(|&&l| l).count(), labels.len());
            prop_assert_eq!(found.is_some(), n_pos > 0 && n_pos < n);
            if let Some(found) = found {
                prop_assert!((found[0] - average_precision(&scores, &labels).unwrap().value).abs() < 1e-12);
                let recall = top_k(&scores, &labels, k.min(n)).unwrap().recall;
                prop_assert!((found[1] - recall).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn means_differ_as_their_scores_do_and_intervals_hold_them() {
        let (rows, columns) = (25, 60);
        let positive = Array2::from_shape_fn((rows, columns), |(p, g)| (p * 7 + g * 5) % 9 == 0);
        let candidate = Array2::from_elem((rows, columns), true);
        let labels = LabelledGrid {
            positive: positive.view(),
            candidate: candidate.view(),
        };
        let noise = |p: usize, g: usize| ((p * 131 + g * 197) % 211) as f64 / 211.0;
        let blind = Array2::from_shape_fn((rows, columns), |(p, g)| noise(p, g));
        let knowing = Array2::from_shape_fn((rows, columns), |(p, g)| {
            noise(p, g) + 0.5 * f64::from(u8::from(positive[[p, g]]))
        });
        let metrics = [RowMetric::AveragePrecision, RowMetric::Recall(10)];
        let found = two_way_metrics(&[knowing.view(), blind.view()], labels, &metrics, 200, stream).unwrap();
        for metric in 0..2 {
            let interval = found.contrast_interval(metric, &[1.0, -1.0]);
            assert!(interval.low > 0.0 && interval.contains(found.contrast(metric, &[1.0, -1.0])));
            let none = found.contrast_interval(metric, &[0.0, 0.0]);
            assert_eq!((none.low, none.high), (0.0, 0.0));
        }
        let rows = crate::row_average_precisions(blind.view(), labels).unwrap();
        let mean = rows.iter().map(|row| row.as_ref().unwrap().value).sum::<f64>() / rows.len() as f64;
        assert!((found.means[[1, 0]] - mean).abs() < 1e-12);
        assert!(two_way_metrics(&[], labels, &metrics, 200, stream).is_err());
        assert!(two_way_metrics(&[blind.view()], labels, &metrics, 0, stream).is_err());
    }
}
