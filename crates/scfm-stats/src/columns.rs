use std::ops::Range;

use ndarray::{Array2, ArrayView2, Axis, Slice};
use rayon::prelude::*;

use crate::error::Error;
use crate::gram::{Column, correlations};
use crate::sort::sorted_positions;

/// Columns of a matrix held by rows that are read together: those of two cache lines, so that no line is read twice.
const TOGETHER: usize = 16;

/// Spearman's correlation of every pair of columns, `[columns, columns]`: symmetric, 1 on the diagonal. A column that
/// is constant or holds NaN has NaN with all others and with itself.
///
/// `columns` is a matrix, `[rows, columns]`, of `f64` or `f32`, or [`SparseColumns`]; both give the same bits. Zeros of a
/// column are one block of ties, so its ranks are a constant and deviations that are stored for its non-zeros only. Where
/// most of the matrix is zero, the product of two columns costs the non-zeros of one of them; otherwise blocks of columns
/// are multiplied whole. Products in `f32`, sums in `f64`: within 1e-6 of `scipy.stats.spearmanr`. The result does not
/// depend on the number of threads.
///
/// ```
/// use ndarray::array;
/// use scfm_stats::{SparseColumns, spearman_columns};
///
/// let counts = array![[0.0, 3.0, 1.0], [0.0, 1.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 4.0], [5.0, 0.0, 0.0]];
/// let dense = spearman_columns(counts.view());
/// assert!((dense[[0, 1]] + 0.625).abs() < 1e-6);
///
/// let (starts, rows) = ([0, 2, 4, 6], [2, 4, 0, 1, 0, 3]);
/// let sparse = SparseColumns::new(5, &starts, &rows, &[2.0, 5.0, 3.0, 1.0, 1.0, 4.0])?;
/// assert_eq!(spearman_columns(sparse), dense);
/// # Ok::<(), scfm_stats::Error>(())
/// ```
pub fn spearman_columns(columns: impl Columns) -> Array2<f64> {
    let n_rows = columns.n_rows();
    correlations(
        n_rows,
        &prepared(&columns, |rows, values| ranked(n_rows, rows, values)),
    )
}

/// Pearson's correlation of every pair of columns, with the conventions of [`spearman_columns`].
///
/// A column more than half of which is not zero is centred before its products are taken, so that a large mean costs no
/// digits; infinite values give NaN. Oracle: `numpy.corrcoef`, within 1e-6.
pub fn pearson_columns(columns: impl Columns) -> Array2<f64> {
    let n_rows = columns.n_rows();
    correlations(
        n_rows,
        &prepared(&columns, |rows, values| centred(n_rows, rows, values)),
    )
}

/// Columns in compressed form (CSC): for each of them the rows that are not zero, ascending, and their values.
#[derive(Debug, Clone, Copy)]
pub struct SparseColumns<'a, T> {
    n_rows: usize,
    starts: &'a [usize],
    rows: &'a [usize],
    values: &'a [T],
}

impl<'a, T> SparseColumns<'a, T> {
    /// Columns of `n_rows` rows; column j holds the entries from `starts[j]` to `starts[j + 1]`. Stored zeros are allowed.
    ///
    /// # Errors
    /// [`Error::Length`] unless there are as many rows as values, [`Error::Empty`] without `starts`, and
    /// [`Error::OutOfRange`] for starts that do not ascend from 0 to the number of entries, and for rows that do not
    /// ascend within a column or reach `n_rows`.
    pub fn new(
        n_rows: usize,
        starts: &'a [usize],
        rows: &'a [usize],
        values: &'a [T],
    ) -> Result<Self, Error> {
        let (Some(&first), Some(&last)) = (starts.first(), starts.last()) else {
            return Err(Error::Empty {
                what: "list of column starts",
            });
        };
        crate::error::same_length("values of sparse columns", rows.len(), values.len())?;
        let wrong = |what, value: usize, expected| {
            Err(Error::OutOfRange {
                what,
                value: value as f64,
                expected,
            })
        };
        if first != 0 || last != rows.len() {
            return wrong(
                "end of the sparse columns",
                last,
                "the number of entries, counted from 0",
            );
        }
        for column in starts.windows(2) {
            if column[0] > column[1] || column[1] > last {
                return wrong("start of a sparse column", column[1], "starts that ascend");
            }
            let rows = &rows[column[0]..column[1]];
            if let Some(pair) = rows.windows(2).find(|pair| pair[0] >= pair[1]) {
                return wrong("row of a sparse column", pair[1], "rows that ascend");
            }
            if let Some(&row) = rows.last().filter(|&&row| row >= n_rows) {
                return wrong("row of a sparse column", row, "a row of the matrix");
            }
        }
        Ok(Self {
            n_rows,
            starts,
            rows,
            values,
        })
    }
}

/// A matrix that can hand out its columns. Implemented for matrices of numbers and for [`SparseColumns`].
pub trait Columns: sealed::Columns {}

impl<T: Copy + Into<f64> + Sync> Columns for ArrayView2<'_, T> {}
impl<T: Copy + Into<f64> + Sync> Columns for SparseColumns<'_, T> {}

mod sealed {
    use std::ops::Range;

    pub trait Columns: Sync {
        fn n_rows(&self) -> usize;
        fn n_columns(&self) -> usize;
        /// Rows and values of the entries of some columns that are not zero, NaN among them.
        fn nonzeros(&self, columns: Range<usize>) -> Vec<(Vec<u32>, Vec<f64>)>;
    }
}

impl<T: Copy + Into<f64> + Sync> sealed::Columns for ArrayView2<'_, T> {
    fn n_rows(&self) -> usize {
        self.nrows()
    }

    fn n_columns(&self) -> usize {
        self.ncols()
    }

    fn nonzeros(&self, columns: Range<usize>) -> Vec<(Vec<u32>, Vec<f64>)> {
        let mut nonzeros = vec![(Vec::new(), Vec::new()); columns.len()];
        for (row, values) in (0..).zip(self.slice_axis(Axis(1), Slice::from(columns)).rows()) {
            for ((rows, kept), &value) in nonzeros.iter_mut().zip(values) {
                let value: f64 = value.into();
                if value != 0.0 {
                    rows.push(row);
                    kept.push(value);
                }
            }
        }
        nonzeros
    }
}

impl<T: Copy + Into<f64> + Sync> sealed::Columns for SparseColumns<'_, T> {
    fn n_rows(&self) -> usize {
        self.n_rows
    }

    fn n_columns(&self) -> usize {
        self.starts.len() - 1
    }

    fn nonzeros(&self, columns: Range<usize>) -> Vec<(Vec<u32>, Vec<f64>)> {
        columns
            .map(|column| {
                let range = self.starts[column]..self.starts[column + 1];
                let entries = self.rows[range.clone()].iter().zip(&self.values[range]);
                entries
                    .map(|(&row, &value)| (row as u32, value.into()))
                    .filter(|(_, value)| *value != 0.0)
                    .unzip()
            })
            .collect()
    }
}

fn prepared<C: Columns>(columns: &C, prepare: impl Fn(Vec<u32>, Vec<f64>) -> Column + Sync) -> Vec<Column> {
    assert!(
        columns.n_rows() < u32::MAX as usize,
        "rows are counted in 32 bits, got {}",
        columns.n_rows()
    );
    let n = columns.n_columns();
    (0..n.div_ceil(TOGETHER))
        .into_par_iter()
        .flat_map_iter(|group| {
            let nonzeros = columns.nonzeros(group * TOGETHER..((group + 1) * TOGETHER).min(n));
            nonzeros.into_iter().map(|(rows, values)| {
                if values.iter().any(|value| value.is_nan()) {
                    without_correlations()
                } else {
                    prepare(rows, values)
                }
            })
        })
        .collect()
}

fn without_correlations() -> Column {
    Column {
        norm: f64::NAN,
        ..Column::default()
    }
}

/// Mid-ranks, as deviations from the rank of a zero, or where most values are not zero from the mean rank. All of them
/// are multiples of ½, which `f32` holds exactly.
fn ranked(n_rows: usize, rows: Vec<u32>, mut values: Vec<f64>) -> Column {
    let n_zeros = n_rows - rows.len();
    let n_negative = values.iter().filter(|&&value| value < 0.0).count();
    let mean_rank = (n_rows as f64 + 1.0) / 2.0;
    let zero_rank = n_negative as f64 + (n_zeros as f64 + 1.0) / 2.0;
    let (order, ends) = sorted_positions(0..values.len(), values.len(), |at| values[at]);
    let mut start = 0;
    for end in ends.into_iter().map(|end| end as usize) {
        let below = if start < n_negative {
            start
        } else {
            start + n_zeros
        };
        let rank = below as f64 + ((end - start) as f64 + 1.0) / 2.0;
        for &at in &order[start..end] {
            values[at as usize] = rank - zero_rank;
        }
        start = end;
    }
    stored(n_rows, rows, values, mean_rank - zero_rank)
}

/// Values in units of the largest, as they are or, where most are not zero, as deviations from their mean.
fn centred(n_rows: usize, rows: Vec<u32>, mut values: Vec<f64>) -> Column {
    let (low, high) = values.iter().fold((0.0_f64, 0.0_f64), |(low, high), &value| {
        (low.min(value), high.max(value))
    });
    let largest = high.max(-low);
    let constant = values.len() == n_rows && values.iter().all(|value| *value == values[0]);
    if constant || !largest.is_finite() {
        return without_correlations();
    }
    values.iter_mut().for_each(|value| *value /= largest);
    let mean = values.iter().sum::<f64>() / n_rows as f64;
    stored(n_rows, rows, values, mean)
}

/// The column of `values` and zeros elsewhere, given their mean.
fn stored(n_rows: usize, rows: Vec<u32>, values: Vec<f64>, mean: f64) -> Column {
    let n_zeros = (n_rows - rows.len()) as f64;
    let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() + n_zeros * mean * mean;
    if squares == 0.0 {
        return without_correlations();
    }
    let norm = squares.sqrt();
    if 2 * rows.len() <= n_rows {
        return Column {
            values: values.into_iter().map(|value| value as f32).collect(),
            rows,
            mean,
            norm,
        };
    }
    let mut deviations = vec![-mean as f32; n_rows];
    for (row, value) in rows.into_iter().zip(values) {
        deviations[row as usize] = (value - mean) as f32;
    }
    Column {
        rows: (0..n_rows as u32).collect(),
        values: deviations,
        mean: 0.0,
        norm,
    }
}
