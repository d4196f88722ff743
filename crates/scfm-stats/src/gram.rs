//! Correlations of all pairs of columns that were brought to a common form: two ways to the same products.

use ndarray::parallel::prelude::*;
use ndarray::{Array2, ArrayViewMut2, Axis, Slice};
use pulp::{Arch, Simd, WithSimd};

/// Above this share of stored entries the dense product is faster. Measured at 2,000 to 10,000 rows and 2,000 to 5,000
/// columns: the two meet between 0.4 and 0.6.
const DENSE_FROM: f64 = 0.45;

/// Rows per partial sum of the sparse product. 128 rows of a block of 64 columns fill the nearest cache, a row within
/// them fits a byte, and sums of so few products lose nothing in `f32` that shows in the sixth digit.
const CHUNK: usize = 128;
/// Vectors of sums per column of the sparse product: what the registers hold.
const SUMS: usize = 8;

/// Rows per partial sum of the dense product, for the same reason.
const DENSE_CHUNK: usize = 1024;
/// Columns per block of the dense product: blocks of two such fit the cache of a core, and a thousand columns still
/// make enough blocks for every core.
const DENSE_BLOCK: usize = 128;

/// A column but for a constant, which correlations do not see.
#[derive(Debug, Clone, Default)]
pub(crate) struct Column {
    /// Rows that hold something else than the constant, ascending.
    pub(crate) rows: Vec<u32>,
    /// How much more they hold.
    pub(crate) values: Vec<f32>,
    /// Mean of `values` over all rows.
    pub(crate) mean: f64,
    /// Root of the sum of squared deviations from the mean; NaN for a column without correlations.
    pub(crate) norm: f64,
}

/// Correlation of every pair of columns of `n_rows` values; 1 on the diagonal, NaN for columns whose norm is.
///
/// Products are taken in `f32` and summed in `f64` beyond a chunk of rows; the bits do not depend on the machine's vector
/// units (of the sparse product) nor on the number of threads.
pub(crate) fn correlations(n_rows: usize, columns: &[Column]) -> Array2<f64> {
    let n_stored: usize = columns.iter().map(|column| column.rows.len()).sum();
    if n_stored as f64 <= DENSE_FROM * (n_rows * columns.len()) as f64 {
        sparse_correlations(n_rows, columns)
    } else {
        dense_correlations(n_rows, columns)
    }
}

fn finished(product: f64, a: &Column, b: &Column) -> f64 {
    (product / (a.norm * b.norm)).clamp(-1.0, 1.0)
}

/// Σ s·s − n·k·k, where s is stored and k the mean of s: the cost is that of the stored entries.
fn sparse_correlations(n_rows: usize, columns: &[Column]) -> Array2<f64> {
    let chunks: Vec<Chunk> = (0..n_rows.div_ceil(CHUNK))
        .into_par_iter()
        .map(|chunk| Chunk::of(columns, chunk))
        .collect();
    let arch = Arch::new();
    let width = arch.dispatch(Width);
    let mut result = Array2::zeros((columns.len(), columns.len()));
    // Later blocks reach further; the largest go first, so that no thread is left with one at the end.
    let mut blocks: Vec<_> = result.axis_chunks_iter_mut(Axis(0), width).enumerate().collect();
    blocks.reverse();
    blocks.into_par_iter().for_each(|(block, mut rows)| {
        let first = block * width;
        let reach = first + rows.nrows();
        let mut products = vec![0.0; reach * width];
        let mut panel = vec![0.0; CHUNK * width];
        for chunk in &chunks {
            arch.dispatch(AddProducts {
                chunk,
                first,
                reach,
                panel: &mut panel,
                products: &mut products,
            });
        }
        for (i, mut row) in rows.rows_mut().into_iter().enumerate() {
            let a = &columns[first + i];
            for (j, b) in columns[..reach].iter().enumerate() {
                let product = products[j * width + i] - n_rows as f64 * a.mean * b.mean;
                row[j] = finished(product, a, b);
            }
        }
    });
    mirror(&mut result, columns);
    result
}

/// The entries of all columns within [`CHUNK`] rows.
struct Chunk {
    /// Where each column's entries begin, and the end.
    starts: Vec<u32>,
    /// Rows within the chunk.
    rows: Vec<u8>,
    values: Vec<f32>,
}

impl Chunk {
    fn of(columns: &[Column], chunk: usize) -> Self {
        let (first, end) = (chunk * CHUNK, (chunk + 1) * CHUNK);
        let mut entries = Self {
            starts: vec![0],
            rows: Vec::new(),
            values: Vec::new(),
        };
        for column in columns {
            let below = |row: usize| column.rows.partition_point(|&at| (at as usize) < row);
            let range = below(first)..below(end);
            let rows = &column.rows[range.clone()];
            entries
                .rows
                .extend(rows.iter().map(|&row| (row as usize - first) as u8));
            entries.values.extend_from_slice(&column.values[range]);
            entries.starts.push(entries.rows.len() as u32);
        }
        entries
    }

    #[inline(always)]
    fn column(&self, column: usize) -> (&[u8], &[f32]) {
        let range = self.starts[column] as usize..self.starts[column + 1] as usize;
        (&self.rows[range.clone()], &self.values[range])
    }
}

/// Columns per block of the sparse product on this machine.
struct Width;

impl WithSimd for Width {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> usize {
        SUMS * S::F32_LANES
    }
}

/// Adds to `products`, `[columns, width]`, what a chunk of rows gives for the columns from `first` to `reach` with all
/// columns up to `reach`.
struct AddProducts<'a> {
    chunk: &'a Chunk,
    first: usize,
    reach: usize,
    /// Room for the chunk's rows of the block, `[CHUNK, width]`.
    panel: &'a mut [f32],
    products: &'a mut [f64],
}

impl WithSimd for AddProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = SUMS * S::F32_LANES;
        self.panel.fill(0.0);
        for column in self.first..self.reach {
            let (rows, values) = self.chunk.column(column);
            for (&row, &value) in rows.iter().zip(values) {
                self.panel[usize::from(row) * width + column - self.first] = value;
            }
        }
        let (panel, _) = S::as_simd_f32s(self.panel);
        let (panel, _) = panel.as_chunks::<SUMS>();
        for (column, products) in self.products.chunks_exact_mut(width).enumerate() {
            let (rows, values) = self.chunk.column(column);
            let mut sums = [simd.splat_f32s(0.0); SUMS];
            for (&row, &value) in rows.iter().zip(values) {
                let value = simd.splat_f32s(value);
                for (sum, &others) in sums.iter_mut().zip(&panel[usize::from(row)]) {
                    *sum = simd.mul_add_f32s(value, others, *sum);
                }
            }
            let sums: &[f32] = pulp::bytemuck::cast_slice(&sums);
            for (product, &sum) in products.iter_mut().zip(sums) {
                *product += f64::from(sum);
            }
        }
    }
}

/// Blocked matrix products of the deviations.
fn dense_correlations(n_rows: usize, columns: &[Column]) -> Array2<f64> {
    let n = columns.len();
    let mut deviations = Array2::<f32>::zeros((n, n_rows));
    deviations
        .axis_iter_mut(Axis(0))
        .into_par_iter()
        .zip(columns)
        .for_each(|(mut row, column)| {
            row.fill(-column.mean as f32);
            for (&at, &value) in column.rows.iter().zip(&column.values) {
                row[at as usize] = (f64::from(value) - column.mean) as f32;
            }
        });
    let mut result = Array2::zeros((n, n));
    let mut blocks: Vec<_> = result
        .axis_chunks_iter_mut(Axis(0), DENSE_BLOCK)
        .enumerate()
        .collect();
    blocks.reverse();
    blocks
        .into_par_iter()
        .for_each(|(block, mut rows): (usize, ArrayViewMut2<f64>)| {
            let first = block * DENSE_BLOCK;
            let ours = deviations.slice_axis(Axis(0), Slice::from(first..first + rows.nrows()));
            for other in (0..first + rows.nrows()).step_by(DENSE_BLOCK) {
                let theirs = deviations.slice_axis(Axis(0), Slice::from(other..(other + DENSE_BLOCK).min(n)));
                let mut products = rows.slice_axis_mut(Axis(1), Slice::from(other..other + theirs.nrows()));
                let chunks = ours.axis_chunks_iter(Axis(1), DENSE_CHUNK);
                for (a, b) in chunks.zip(theirs.axis_chunks_iter(Axis(1), DENSE_CHUNK)) {
                    products.zip_mut_with(&a.dot(&b.t()), |sum, &product| *sum += f64::from(product));
                }
            }
            for (i, mut row) in rows.rows_mut().into_iter().enumerate() {
                for (product, column) in row.iter_mut().zip(columns) {
                    *product = finished(*product, &columns[first + i], column);
                }
            }
        });
    mirror(&mut result, columns);
    result
}

/// Completes a matrix whose lower triangle is filled, tile by tile, since a column of a large matrix misses every cache.
fn mirror(matrix: &mut Array2<f64>, columns: &[Column]) {
    const TILE: usize = 32;
    let n = matrix.nrows();
    for top in (0..n).step_by(TILE) {
        for left in (0..=top).step_by(TILE) {
            for row in top..(top + TILE).min(n) {
                for column in left..(left + TILE).min(row) {
                    matrix[[column, row]] = matrix[[row, column]];
                }
            }
        }
    }
    for (diagonal, column) in matrix.diag_mut().iter_mut().zip(columns) {
        *diagonal = if column.norm.is_nan() { f64::NAN } else { 1.0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Columns of integers, every third without a constant share, so that both kinds meet.
    fn columns(n_rows: usize, n: usize, density: f64) -> Vec<Column> {
        let mut rng = ChaCha8Rng::seed_from_u64(n as u64);
        let mut column = |index: usize| {
            let all: Vec<f64> = (0..n_rows)
                .map(|_| {
                    if index.is_multiple_of(3) || rng.random::<f64>() < density {
                        f64::from(rng.random_range(1..20_u32))
                    } else {
                        0.0
                    }
                })
                .collect();
            let mean = all.iter().sum::<f64>() / n_rows as f64;
            let stored = || all.iter().enumerate().filter(|(_, value)| **value != 0.0);
            Column {
                rows: stored().map(|(row, _)| row as u32).collect(),
                values: stored().map(|(_, &value)| value as f32).collect(),
                mean,
                norm: all.iter().map(|value| (value - mean).powi(2)).sum::<f64>().sqrt(),
            }
        };
        (0..n).map(&mut column).collect()
    }

    #[test]
    fn both_products_agree_with_the_definition() {
        for (n_rows, n) in [(3, 1), (CHUNK, 9), (2 * DENSE_CHUNK + 5, DENSE_BLOCK + 70)] {
            let columns = columns(n_rows, n, 0.1);
            let at = |column: &Column, row: usize| {
                let stored = column.rows.binary_search(&(row as u32));
                stored.map_or(0.0, |place| f64::from(column.values[place])) - column.mean
            };
            let (sparse, dense) = (
                sparse_correlations(n_rows, &columns),
                dense_correlations(n_rows, &columns),
            );
            for ((i, j), &found) in sparse.indexed_iter() {
                let (a, b) = (&columns[i], &columns[j]);
                let product: f64 = (0..n_rows).map(|row| at(a, row) * at(b, row)).sum();
                let expected = product / (a.norm * b.norm);
                assert!((found - expected).abs() < 1e-6, "{i} {j}: {found} {expected}");
                assert!((dense[[i, j]] - expected).abs() < 1e-6);
                assert_eq!(found, sparse[[j, i]]);
            }
        }
    }
}
