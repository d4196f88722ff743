use ndarray::{Array2, ArrayView2};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::CONFIDENCE;
use crate::bootstrap::{percentile_interval, resamples};
use crate::draws::count_into;
use crate::error::Error;
use crate::grid::LabelledGrid;
use crate::ranks::SortedScores;
use crate::result::Interval;

/// Mean AUROCs of several scores over resampled rows and columns.
#[derive(Debug, Clone, PartialEq)]
pub struct TwoWayBootstrap {
    /// Mean AUROC of each score on the design itself.
    pub means: Vec<f64>,
    /// Mean AUROC of each score in each resample, `[resamples, scores]`.
    pub replicates: Array2<f64>,
}

impl TwoWayBootstrap {
    /// 95 % percentile interval of the mean AUROC of a score.
    ///
    /// # Panics
    /// If there is no such score.
    pub fn mean_interval(&self, score: usize) -> Interval {
        percentile_interval(self.replicates.column(score).to_vec(), CONFIDENCE)
    }

    /// 95 % percentile interval of the difference of two scores' mean AUROCs, a - b, in the same resamples.
    ///
    /// # Panics
    /// If there is no such score.
    pub fn difference_interval(&self, a: usize, b: usize) -> Interval {
        let difference = &self.replicates.column(a) - &self.replicates.column(b);
        percentile_interval(difference.to_vec(), CONFIDENCE)
    }
}

/// Two-way (pigeonhole) bootstrap of mean AUROCs: rows and columns are resampled independently, each cell counting
/// as often as its row and its column were drawn. Conservative (Owen 2007); for statistics without a closed form.
///
/// Scores are sorted once; a resample reweights the sorted cells. Rows that lose a class in a resample are left out of
/// its mean. Resample i draws from `stream(i)`. O(`n` · rows · columns · scores), on all threads.
///
/// # Errors
/// [`Undefined::OneClassRow`](crate::Undefined::OneClassRow); [`Error::Shape`], [`Error::CellNotANumber`],
/// [`Error::Empty`] also without scores; [`Error::OutOfRange`] for `n` = 0.
pub fn two_way_bootstrap(
    scores: &[ArrayView2<f64>],
    labels: LabelledGrid,
    n: usize,
    stream: impl Fn(u64) -> ChaCha8Rng + Sync,
) -> Result<TwoWayBootstrap, Error> {
    resamples(n)?;
    if scores.is_empty() {
        return Err(Error::Empty {
            what: "list of scores",
        });
    }
    let sorted: Vec<Vec<SortedScores>> = scores
        .iter()
        .map(|scores| labels.sort(*scores))
        .collect::<Result<_, _>>()?;
    let positive = labels.positive.as_standard_layout();
    let weighted_means = |rows: &[u64], columns: &[u64]| -> Option<Vec<f64>> {
        let mean = |sorted: &Vec<SortedScores>| {
            let (mut sum, mut total) = (0.0, 0);
            for ((sorted, positive), &weight) in sorted.iter().zip(positive.rows()).zip(rows) {
                if weight == 0 {
                    continue;
                }
                let wins = sorted.wins(|column| {
                    // Multiplied rather than chosen: a branch on labels is mispredicted at every positive.
                    let (positive, drawn) = (u64::from(positive[column]), columns[column]);
                    (positive * drawn, (1 - positive) * drawn)
                });
                if let Some(auroc) = wins.auroc() {
                    sum += weight as f64 * auroc;
                    total += weight;
                }
            }
            (total > 0).then(|| sum / total as f64)
        };
        sorted.iter().map(mean).collect()
    };
    let (n_rows, n_columns) = labels.candidate.dim();
    let means = weighted_means(&vec![1; n_rows], &vec![1; n_columns]).expect("every row holds both classes");
    let replicates = resampled((n_rows, n_columns), n, stream, weighted_means);
    let replicates = Array2::from_shape_vec((n, scores.len()), replicates.concat())
        .expect("every resample holds a mean per score");
    Ok(TwoWayBootstrap { means, replicates })
}

/// What `statistic` makes of `n` resamples of rows and columns: it is told how often each was drawn. A resample in which
/// it has no value, because no row kept both classes, says nothing and is drawn anew.
pub(crate) fn resampled(
    (n_rows, n_columns): (usize, usize),
    n: usize,
    stream: impl Fn(u64) -> ChaCha8Rng + Sync,
    statistic: impl Fn(&[u64], &[u64]) -> Option<Vec<f64>> + Sync,
) -> Vec<Vec<f64>> {
    (0..n as u64)
        .into_par_iter()
        .map_init(
            || (vec![0; n_rows], vec![0; n_columns]),
            |(rows, columns), index| {
                let mut rng = stream(index);
                loop {
                    count_into(rows, &mut rng);
                    count_into(columns, &mut rng);
                    if let Some(value) = statistic(rows, columns) {
                        return value;
                    }
                }
            },
        )
        .collect()
}
