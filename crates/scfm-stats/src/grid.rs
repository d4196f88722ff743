use std::borrow::Cow;

use ndarray::{ArrayView2, Axis};
use rayon::prelude::*;

use crate::curves::AveragePrecision;
use crate::error::{Error, Undefined};
use crate::ranks::SortedScores;

/// Labels of a rows × columns design: which cells are ranked, and which of them are positive.
///
/// Rows are perturbations (or sources), columns genes (or targets); a row ranks its candidates against each other. A
/// positive that is no candidate is not counted.
#[derive(Debug, Clone, Copy)]
pub struct LabelledGrid<'a> {
    /// Cells of the positive class.
    pub positive: ArrayView2<'a, bool>,
    /// Cells that are ranked; the perturbed gene's own column is not one.
    pub candidate: ArrayView2<'a, bool>,
}

/// AUROC of each row over its candidates, [`Undefined::OneClass`] where a class is missing.
///
/// Many scores under one label vector are rows with labels that are repeated without being copied:
///
/// ```
/// use ndarray::{Array1, array};
/// use scfm_stats::{LabelledGrid, row_aurocs};
///
/// let scores = array![[0.9, 0.2, 0.4, 0.1], [0.1, 0.2, 0.3, 0.4]];
/// let (positive, candidate) = (array![true, false, true, false], Array1::from_elem(4, true));
/// let labels = LabelledGrid {
///     positive: positive.broadcast(scores.dim()).expect("one label a column"),
///     candidate: candidate.broadcast(scores.dim()).expect("one entry a column"),
/// };
/// assert_eq!(row_aurocs(scores.view(), labels)?, [Ok(1.0), Ok(0.25)]);
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`], [`Error::CellNotANumber`] for NaN at a candidate.
pub fn row_aurocs(
    scores: ArrayView2<f64>,
    labels: LabelledGrid,
) -> Result<Vec<Result<f64, Undefined>>, Error> {
    labels.each_row(scores, |sorted, row, (n_pos, n_neg)| {
        labels
            .row_auroc(sorted, row)
            .ok_or(Undefined::OneClass { n_pos, n_neg })
    })
}

/// Average precision of each row over its candidates, with the conventions of [`row_aurocs`].
///
/// # Errors
/// As [`row_aurocs`].
pub fn row_average_precisions(
    scores: ArrayView2<f64>,
    labels: LabelledGrid,
) -> Result<Vec<Result<AveragePrecision, Undefined>>, Error> {
    labels.each_row(scores, |sorted, row, (n_pos, n_neg)| {
        if n_pos == 0 || n_neg == 0 {
            return Err(Undefined::OneClass { n_pos, n_neg });
        }
        let positive = self::row(&labels.positive, row);
        Ok(sorted.average_precision_of(n_pos, |column| positive[column]))
    })
}

/// A row as a slice, which is read much faster than a view.
fn row<'a, T: Copy>(matrix: &ArrayView2<'a, T>, row: usize) -> Cow<'a, [T]> {
    let row = (*matrix).index_axis_move(Axis(0), row);
    row.to_slice().map_or_else(|| row.to_vec().into(), Cow::Borrowed)
}

impl LabelledGrid<'_> {
    pub(crate) fn n_rows(&self) -> usize {
        self.candidate.nrows()
    }

    pub(crate) fn n_columns(&self) -> usize {
        self.candidate.ncols()
    }

    /// Number of positive and of negative candidates of a row.
    pub(crate) fn classes(&self, row: usize) -> (usize, usize) {
        let (mut n_pos, mut n_neg) = (0, 0);
        for (&candidate, &positive) in self.candidate.row(row).iter().zip(self.positive.row(row)) {
            n_pos += usize::from(candidate && positive);
            n_neg += usize::from(candidate && !positive);
        }
        (n_pos, n_neg)
    }

    /// What `of` makes of each row's sorted candidates and the numbers of both classes among them, on all threads.
    fn each_row<T: Send>(
        &self,
        scores: ArrayView2<f64>,
        of: impl Fn(&SortedScores, usize, (usize, usize)) -> T + Sync,
    ) -> Result<Vec<T>, Error> {
        self.check(scores)?;
        let rows = (0..self.n_rows()).into_par_iter().map(|row| {
            let sorted = self.sort_row(scores, row)?;
            Ok(of(&sorted, row, self.classes(row)))
        });
        rows.collect::<Vec<_>>().into_iter().collect()
    }

    /// The candidates of each row in order of their scores, given that every row holds both classes.
    pub(crate) fn sort(&self, scores: ArrayView2<f64>) -> Result<Vec<SortedScores>, Error> {
        self.check(scores)?;
        let rows: Vec<_> = (0..self.n_rows())
            .into_par_iter()
            .map(|row| self.sort_row(scores, row))
            .collect();
        for row in 0..self.n_rows() {
            let (n_pos, n_neg) = self.classes(row);
            if n_pos == 0 || n_neg == 0 {
                return Err(Undefined::OneClassRow { row, n_pos, n_neg }.into());
            }
        }
        rows.into_iter().collect()
    }

    /// AUROC of a row, where it holds both classes.
    pub(crate) fn row_auroc(&self, sorted: &SortedScores, row: usize) -> Option<f64> {
        let positive = self.positive.row(row);
        let positive = positive
            .to_slice()
            .map_or_else(|| positive.to_vec().into(), Cow::Borrowed);
        sorted
            .wins(|column| (u64::from(positive[column]), u64::from(!positive[column])))
            .auroc()
    }

    fn check(&self, scores: ArrayView2<f64>) -> Result<(), Error> {
        let expected = self.candidate.dim();
        for (what, got) in [("positive labels", self.positive.dim()), ("scores", scores.dim())] {
            if got != expected {
                return Err(Error::Shape { what, expected, got });
            }
        }
        if expected.0 == 0 || expected.1 == 0 {
            return Err(Error::Empty {
                what: "labelled grid",
            });
        }
        Ok(())
    }

    fn sort_row(&self, scores: ArrayView2<f64>, row: usize) -> Result<SortedScores, Error> {
        let (scores, candidate) = (self::row(&scores, row), self::row(&self.candidate, row));
        let candidates = (0..scores.len()).filter(|&column| candidate[column]);
        if let Some(column) = candidates.clone().find(|&column| scores[column].is_nan()) {
            return Err(Error::CellNotANumber {
                what: "score",
                row,
                column,
            });
        }
        Ok(SortedScores::of_masked(candidates, scores.len(), |column| {
            scores[column]
        }))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::{auroc, average_precision};

    /// Rows of ten, every fourth cell no candidate; the last row has no positive.
    fn design() -> (Array2<f64>, Array2<bool>, Array2<bool>) {
        let dim = (5, 10);
        (
            Array2::from_shape_fn(dim, |(row, column)| ((row * 7 + column * 3) % 5) as f64),
            Array2::from_shape_fn(dim, |(row, column)| (row + column) % 3 == 0 && row < 4),
            Array2::from_shape_fn(dim, |(row, column)| (row + column) % 4 != 0),
        )
    }

    #[test]
    fn rows_have_the_curves_of_their_candidates() {
        let (scores, positive, candidate) = design();
        // Columns that lie next to each other in memory, and such that do not.
        for turned in [false, true] {
            let turn = |matrix: &Array2<bool>| {
                if turned {
                    matrix.t().to_owned().reversed_axes()
                } else {
                    matrix.clone()
                }
            };
            let (positive, candidate) = (turn(&positive), turn(&candidate));
            let labels = LabelledGrid {
                positive: positive.view(),
                candidate: candidate.view(),
            };
            let areas = row_aurocs(scores.view(), labels).unwrap();
            let precisions = row_average_precisions(scores.view(), labels).unwrap();
            for row in 0..5 {
                let kept = (0..10).filter(|&column| candidate[[row, column]]);
                let (of, with): (Vec<f64>, Vec<bool>) = kept
                    .map(|column| (scores[[row, column]], positive[[row, column]]))
                    .unzip();
                if row == 4 {
                    let n_neg = of.len();
                    assert_eq!(precisions[row], Err(Undefined::OneClass { n_pos: 0, n_neg }));
                    assert_eq!(areas[row], Err(Undefined::OneClass { n_pos: 0, n_neg }));
                } else {
                    assert_eq!(areas[row], Ok(auroc(&of, &with).unwrap()));
                    assert_eq!(precisions[row], Ok(average_precision(&of, &with).unwrap()));
                }
            }
        }
    }
}
