//! Finding the raw counts of a file by looking at values.

use super::matrix::{Layout, Matrix, is_count};
use crate::Error;
use crate::error::shown;

/// Runs of entries looked at, spread evenly over the matrix, and the length of each. A normalised matrix shows a
/// fraction among its first few values; a run per eighth of the file also meets files glued together from several.
const RUNS: u64 = 8;
const RUN_LENGTH: u64 = 4096;

/// What a look at some values of a matrix showed.
pub(super) enum Look {
    Counts,
    /// Every value looked at was 0.
    Empty,
    NotCounts {
        row: usize,
        column: usize,
        value: f64,
    },
}

impl Look {
    pub(super) fn describe(&self, matrix: &Matrix<'_>) -> String {
        match self {
            Self::Counts => format!("{} holds counts", matrix.name),
            Self::Empty => format!("{} holds nothing but zeros where it was looked at", matrix.name),
            Self::NotCounts { row, column, value } => format!(
                "{} has {} for cell {}, gene {}",
                matrix.name,
                shown(*value),
                matrix.cell_name(*row),
                matrix.gene_name(*column)
            ),
        }
    }
}

/// Looks at some values of a matrix, spread over all of it.
pub(super) fn look(matrix: &Matrix<'_>) -> Result<Look, Error> {
    // A dense matrix is read by whole rows, a sparse one by entries.
    let (values, per_row) = match &matrix.layout {
        Layout::Dense(array) => (array, matrix.n_genes.max(1) as u64),
        Layout::Sparse { data, .. } => (data, 1),
    };
    let n = values.n_rows();
    let length = (RUN_LENGTH / per_row).max(1);
    let mut any = false;
    for run in 0..RUNS {
        let start = (n / RUNS * run).min(n.saturating_sub(length));
        let seen = values.numbers(start..n.min(start + length))?;
        any |= seen.iter().any(|&value| value != 0.0);
        if let Some(at) = seen.iter().position(|&value| !is_count(value)) {
            let (row, column) = place(matrix, start * per_row + at as u64)?;
            let value = seen[at];
            return Ok(Look::NotCounts { row, column, value });
        }
    }
    Ok(if any { Look::Counts } else { Look::Empty })
}

/// Row and column of an entry; in a dense matrix entries are counted in row-major order.
fn place(matrix: &Matrix<'_>, entry: u64) -> Result<(usize, usize), Error> {
    match &matrix.layout {
        Layout::Dense(_) => {
            let n_genes = matrix.n_genes as u64;
            Ok(((entry / n_genes) as usize, (entry % n_genes) as usize))
        }
        Layout::Sparse {
            by_cell,
            indptr,
            indices,
            ..
        } => {
            let outer = indptr.partition_point(|&start| start <= entry) - 1;
            let inner = indices.integers(entry..entry + 1)?[0];
            let inner = usize::try_from(inner).unwrap_or(usize::MAX);
            Ok(if *by_cell { (outer, inner) } else { (inner, outer) })
        }
    }
}
