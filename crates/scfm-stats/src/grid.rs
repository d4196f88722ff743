use std::borrow::Cow;

use ndarray::ArrayView2;
use rayon::prelude::*;

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
/// # Errors
/// [`Error::Shape`], [`Error::CellNotANumber`] for NaN at a candidate.
pub fn row_aurocs(
    scores: ArrayView2<f64>,
    labels: LabelledGrid,
) -> Result<Vec<Result<f64, Undefined>>, Error> {
    labels.check(scores)?;
    let rows = (0..labels.n_rows()).into_par_iter().map(|row| {
        let sorted = labels.sort_row(scores, row)?;
        let (n_pos, n_neg) = labels.classes(row);
        Ok(labels
            .row_auroc(&sorted, row)
            .ok_or(Undefined::OneClass { n_pos, n_neg }))
    });
    rows.collect::<Vec<_>>().into_iter().collect()
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
        let (scores, candidate) = (scores.row(row), self.candidate.row(row));
        // Slices are read much faster than views.
        let scores = scores
            .to_slice()
            .map_or_else(|| scores.to_vec().into(), Cow::Borrowed);
        let candidate = candidate
            .to_slice()
            .map_or_else(|| candidate.to_vec().into(), Cow::Borrowed);
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
