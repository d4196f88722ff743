use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use scfm_core::{CountMatrix, Panel};
use sprs::CsMat;

use super::frame::Frame;
use super::genes::GeneMap;
use super::store::{Array, Attribute, Node, Source};
use crate::Error;

/// A matrix of cells × genes in an h5ad file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MatrixName {
    /// `X`.
    X,
    /// `raw/X`, whose genes are those of `raw/var`.
    Raw,
    /// `layers/NAME`.
    Layer(String),
}

impl fmt::Display for MatrixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::X => f.pad("X"),
            Self::Raw => f.pad("raw/X"),
            Self::Layer(name) => write!(f, "layers/{name}"),
        }
    }
}

/// Entries read at once, 2 MB as numbers: long enough that the cost of a read is that of its chunks, short enough
/// to stay in the cache.
const WINDOW: u64 = 1 << 18;

/// The largest count that single precision, in which counts are kept, holds exactly with all below it.
pub(super) const MAX_COUNT: f64 = 16_777_216.0;

/// A matrix open for reading.
pub(super) struct Matrix<'a> {
    source: &'a Source,
    pub name: MatrixName,
    pub n_cells: usize,
    pub n_genes: usize,
    pub layout: Layout<'a>,
}

pub(super) enum Layout<'a> {
    Dense(Array<'a>),
    /// Cells (CSR) or genes (CSC) one after the other: entries `indptr[i]..indptr[i + 1]` are those of the `i`-th.
    Sparse {
        by_cell: bool,
        indptr: Vec<u64>,
        indices: Array<'a>,
        data: Array<'a>,
    },
}

impl<'a> Matrix<'a> {
    pub(super) fn open(source: &'a Source, name: &MatrixName) -> Result<Self, Error> {
        let path = matrix_path(source, name)?;
        let (layout, shape) = match source.node(&path)? {
            None => return Err(source.missing(&path)),
            Some(Node::Dataset) => {
                let array = source.array(&path)?;
                let shape = array.shape().to_vec();
                (Layout::Dense(array), shape)
            }
            Some(Node::Group) => sparse(source, &path)?,
        };
        let [n_cells, n_genes] = shape[..] else {
            return Err(source.encoding(&path, format!("an array of shape {shape:?}"), "cells × genes"));
        };
        let matrix = Self {
            source,
            name: name.clone(),
            n_cells: n_cells as usize,
            n_genes: n_genes as usize,
            layout,
        };
        if let Layout::Sparse {
            by_cell,
            indptr,
            indices,
            data,
        } = &matrix.layout
        {
            let outer = if *by_cell { n_cells } else { n_genes };
            check_indptr(source, &format!("{path}/indptr"), indptr, outer, data.n_rows())?;
            if indices.n_rows() != data.n_rows() {
                return Err(source.length(&indices.path, indices.n_rows(), data.n_rows()));
            }
        }
        Ok(matrix)
    }

    /// Counts of `rows`, which rise strictly and lie below `n_cells`.
    pub(super) fn read(&self, rows: &[usize], genes: &GeneMap) -> Result<CountMatrix, Error> {
        let mut cells = Cells::new(self, genes);
        match &self.layout {
            Layout::Dense(array) => self.read_dense(array, rows, &mut cells)?,
            Layout::Sparse {
                by_cell: true,
                indptr,
                indices,
                data,
            } => {
                self.read_by_cell(indptr, indices, data, rows, &mut cells)?;
            }
            Layout::Sparse {
                by_cell: false,
                indptr,
                indices,
                data,
            } => {
                self.read_by_gene(indptr, indices, data, rows, &mut cells)?;
            }
        }
        cells.finish()
    }

    fn read_dense(&self, array: &Array<'_>, rows: &[usize], cells: &mut Cells<'_>) -> Result<(), Error> {
        let width = self.n_genes;
        let window = match array.dataset.chunk() {
            Some(chunk) => WINDOW.max(chunk.rows.saturating_mul(width as u64)),
            None => WINDOW,
        };
        for span in spans(rows, |row| (row * width) as u64, window) {
            let first = rows[span.start];
            let values = array.numbers(first as u64..rows[span.end - 1] as u64 + 1)?;
            for &row in &rows[span] {
                let values = &values[(row - first) * width..][..width];
                for (column, &value) in values.iter().enumerate().filter(|(_, value)| **value != 0.0) {
                    cells.add(row, column, value)?;
                }
                cells.end_of_cell()?;
            }
        }
        Ok(())
    }

    fn read_by_cell(
        &self,
        indptr: &[u64],
        indices: &Array<'_>,
        data: &Array<'_>,
        rows: &[usize],
        cells: &mut Cells<'_>,
    ) -> Result<(), Error> {
        for span in spans(rows, |row| indptr[row], window_of(data)) {
            let entries = indptr[rows[span.start]]..indptr[rows[span.end - 1] + 1];
            let (columns, values) = self.entries(indices, data, entries.clone(), self.n_genes)?;
            for &row in &rows[span] {
                let own = (indptr[row] - entries.start) as usize..(indptr[row + 1] - entries.start) as usize;
                for (&column, &value) in columns[own.clone()].iter().zip(&values[own]) {
                    cells.add(row, column as usize, value)?;
                }
                cells.end_of_cell()?;
            }
        }
        Ok(())
    }

    /// Stored by gene, the cells of a request are everywhere: one pass over the whole matrix picks them out.
    fn read_by_gene(
        &self,
        indptr: &[u64],
        indices: &Array<'_>,
        data: &Array<'_>,
        rows: &[usize],
        cells: &mut Cells<'_>,
    ) -> Result<(), Error> {
        self.afford((self.n_cells as u64).saturating_mul(size_of::<u32>() as u64))?;
        let mut wanted = vec![u32::MAX; self.n_cells];
        for (place, &row) in rows.iter().enumerate() {
            wanted[row] = place as u32;
        }
        let mut picked: Vec<(u32, u32, f64)> = Vec::new();
        let mut starts = vec![0; rows.len() + 1];
        let n_entries = data.n_rows();
        let window = window_of(data);
        let mut gene = 0;
        for start in (0..n_entries).step_by(window as usize) {
            let (cell_of, values) =
                self.entries(indices, data, start..n_entries.min(start + window), self.n_cells)?;
            for (at, (&cell, &value)) in (start..).zip(cell_of.iter().zip(&values)) {
                while indptr[gene + 1] <= at {
                    gene += 1;
                }
                let place = wanted[cell as usize];
                if place != u32::MAX {
                    starts[place as usize + 1] += 1;
                    picked.push((place, gene as u32, value));
                }
            }
            self.afford((picked.len() * 2 * size_of::<(u32, u32, f64)>()) as u64)?;
        }
        // A counting sort by cell keeps the genes of each cell in their order.
        for place in 0..rows.len() {
            starts[place + 1] += starts[place];
        }
        let mut next = starts.clone();
        let mut by_cell = vec![(0, 0.0); picked.len()];
        for (place, gene, value) in picked {
            let slot = &mut next[place as usize];
            by_cell[*slot] = (gene, value);
            *slot += 1;
        }
        for (place, &row) in rows.iter().enumerate() {
            for &(gene, value) in &by_cell[starts[place]..starts[place + 1]] {
                cells.add(row, gene as usize, value)?;
            }
            cells.end_of_cell()?;
        }
        Ok(())
    }

    /// Inner indices, each checked to lie below `bound`, and values of a run of entries.
    fn entries(
        &self,
        indices: &Array<'_>,
        data: &Array<'_>,
        entries: Range<u64>,
        bound: usize,
    ) -> Result<(Vec<i64>, Vec<f64>), Error> {
        self.afford((entries.end - entries.start).saturating_mul(16))?;
        // Inflating is what takes the time, so the two are read side by side.
        let (inner, values) = rayon::join(
            || indices.integers(entries.clone()),
            || data.numbers(entries.clone()),
        );
        let (inner, values) = (inner?, values?);
        match inner.iter().position(|&index| index < 0 || index >= bound as i64) {
            None => Ok((inner, values)),
            Some(at) => Err(Error::OutOfRange {
                path: self.source.path.clone(),
                object: indices.path.clone(),
                at: entries.start + at as u64,
                found: inner[at],
                bound: bound as u64,
            }),
        }
    }

    fn afford(&self, bytes: u64) -> Result<(), Error> {
        self.source.afford(&self.name.to_string(), bytes)
    }

    pub(super) fn not_a_count(&self, row: usize, column: usize, value: f64) -> Error {
        Error::NotACount {
            path: self.source.path.clone(),
            matrix: self.name.to_string(),
            cell: self.cell_name(row),
            row,
            gene: self.gene_name(column),
            value,
        }
    }

    /// A cell's name for a message; its number where the names cannot be read.
    pub(super) fn cell_name(&self, row: usize) -> String {
        named(self.source, Ok("obs"), row)
    }

    /// A gene's name for a message.
    pub(super) fn gene_name(&self, column: usize) -> String {
        named(self.source, var_path(self.source, &self.name), column)
    }
}

/// Where a matrix stands; anndata before 0.7 wrote `raw.X` beside `X`.
pub(super) fn matrix_path(source: &Source, name: &MatrixName) -> Result<String, Error> {
    let path = name.to_string();
    let is_old = *name == MatrixName::Raw && !source.has(&path)? && source.has("raw.X")?;
    Ok(if is_old { "raw.X".to_owned() } else { path })
}

/// Where the genes of a matrix are described.
pub(super) fn var_path(source: &Source, name: &MatrixName) -> Result<&'static str, Error> {
    Ok(match name {
        MatrixName::Raw if !source.has("raw/var")? && source.has("raw.var")? => "raw.var",
        MatrixName::Raw => "raw/var",
        _ => "var",
    })
}

/// Counts of the cells read so far, over the genes of the panel.
struct Cells<'a> {
    matrix: &'a Matrix<'a>,
    genes: &'a GeneMap,
    indptr: Vec<usize>,
    indices: Vec<usize>,
    data: Vec<f32>,
    totals: Vec<f64>,
    /// Counts of the current cell by panel position, and where they are not 0.
    current: Vec<f64>,
    touched: Vec<usize>,
    total: f64,
}

impl<'a> Cells<'a> {
    fn new(matrix: &'a Matrix<'a>, genes: &'a GeneMap) -> Self {
        Self {
            matrix,
            genes,
            indptr: vec![0],
            indices: Vec::new(),
            data: Vec::new(),
            totals: Vec::new(),
            current: vec![0.0; genes.panel().len()],
            touched: Vec::new(),
            total: 0.0,
        }
    }

    /// A stored value of the current cell. Stored zeros count as absent; repeated columns are summed.
    fn add(&mut self, row: usize, column: usize, value: f64) -> Result<(), Error> {
        if !is_count(value) {
            return Err(self.matrix.not_a_count(row, column, value));
        }
        self.total += value;
        if let Some(gene) = self.genes.columns()[column]
            && value != 0.0
        {
            let count = &mut self.current[gene as usize];
            if *count == 0.0 {
                self.touched.push(gene as usize);
            }
            *count += value;
            if *count > MAX_COUNT {
                return Err(self.matrix.not_a_count(row, column, *count));
            }
        }
        Ok(())
    }

    fn end_of_cell(&mut self) -> Result<(), Error> {
        self.touched.sort_unstable();
        for gene in self.touched.drain(..) {
            self.indices.push(gene);
            self.data.push(std::mem::take(&mut self.current[gene]) as f32);
        }
        self.indptr.push(self.indices.len());
        self.totals.push(std::mem::take(&mut self.total));
        // Growing doubles a vector, so that old and new stand side by side for a moment.
        self.matrix
            .afford((self.indices.len() * 2 * (size_of::<usize>() + size_of::<f32>())) as u64)
    }

    fn finish(self) -> Result<CountMatrix, Error> {
        let panel: &Panel = self.genes.panel();
        let shape = (self.totals.len(), panel.len());
        let counts = CsMat::new(shape, self.indptr, self.indices, self.data);
        CountMatrix::new(panel.clone(), counts, self.totals).map_err(Error::core(&self.matrix.source.path))
    }
}

pub(super) fn is_count(value: f64) -> bool {
    // The conversion truncates, takes NaN to 0 and what lies outside to the nearest end, so that only a whole
    // number that is not negative comes back as itself.
    f64::from(value as u32) == value && value <= MAX_COUNT
}

/// Runs of rows that are read together: their entries, gaps included, fit a window, or it is one row alone.
/// A gap of half a window is skipped.
fn spans(rows: &[usize], offset: impl Fn(usize) -> u64, window: u64) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    let mut start = 0;
    for next in 1..=rows.len() {
        let split = next == rows.len() || {
            let gap = offset(rows[next]) - offset(rows[next - 1] + 1);
            offset(rows[next] + 1) - offset(rows[start]) > window || gap > window / 2
        };
        if split {
            spans.push(start..next);
            start = next;
        }
    }
    spans
}

/// A window holds at least one chunk, so that no chunk is inflated more than twice.
pub(super) fn window_of(data: &Array<'_>) -> u64 {
    data.dataset
        .chunk()
        .map_or(WINDOW, |chunk| chunk.rows.max(WINDOW))
}

pub(super) fn sparse<'a>(source: &'a Source, path: &str) -> Result<(Layout<'a>, Vec<u64>), Error> {
    let mut attributes: HashMap<String, Attribute> = source.attributes(path)?;
    let mut text = |name: &str| match attributes.remove(name) {
        Some(Attribute::Text(mut values)) => values.pop(),
        _ => None,
    };
    // `h5sparse_format` is what anndata before 0.7 wrote.
    let encoding = text("encoding-type").or_else(|| text("h5sparse_format"));
    let by_cell = match encoding.as_deref() {
        Some("csr_matrix" | "csr") => true,
        Some("csc_matrix" | "csc") => false,
        found => {
            let found = found.unwrap_or("a group without the attribute encoding-type");
            return Err(source.encoding(path, found, "csr_matrix, csc_matrix or an array"));
        }
    };
    let shape = match attributes
        .remove("shape")
        .or_else(|| attributes.remove("h5sparse_shape"))
    {
        Some(Attribute::Integer(shape)) => shape,
        _ => return Err(source.encoding(path, "a sparse matrix without a shape", "the attribute shape")),
    };
    let shape: Result<Vec<u64>, _> = shape.into_iter().map(u64::try_from).collect();
    let shape = shape.map_err(|_| source.encoding(path, "a matrix of negative shape", "cells × genes"))?;
    // Of arrays with more dimensions the library gives more values than rows, or none at all.
    let flat = |name: &str| {
        let array = source.array(&format!("{path}/{name}"))?;
        match array.shape() {
            [_] => Ok(array),
            shape => {
                let found = format!("an array of shape {shape:?}");
                Err(source.encoding(&array.path, found, "an array of one dimension"))
            }
        }
    };
    let pointer = flat("indptr")?;
    let indptr_path = pointer.path.clone();
    let indptr = pointer.integers(0..pointer.n_rows())?;
    let indptr = indptr.iter().enumerate().map(|(at, &entry)| {
        u64::try_from(entry).map_err(|_| Error::Indptr {
            path: source.path.clone(),
            object: indptr_path.clone(),
            at: at as u64,
            found: entry,
            expected: "0 or more".to_owned(),
        })
    });
    let layout = Layout::Sparse {
        by_cell,
        indptr: indptr.collect::<Result<_, _>>()?,
        indices: flat("indices")?,
        data: flat("data")?,
    };
    Ok((layout, shape))
}

/// A pointer has one entry more than there are rows, starts at 0, never falls, and ends at the number of values.
pub(super) fn check_indptr(
    source: &Source,
    object: &str,
    indptr: &[u64],
    outer: u64,
    n_values: u64,
) -> Result<(), Error> {
    if indptr.len() as u64 != outer.saturating_add(1) {
        return Err(source.length(object, indptr.len() as u64, outer.saturating_add(1)));
    }
    let wrong = |at: usize, expected: String| Error::Indptr {
        path: source.path.clone(),
        object: object.to_owned(),
        at: at as u64,
        found: indptr[at] as i64,
        expected,
    };
    if indptr[0] != 0 {
        return Err(wrong(0, "0".to_owned()));
    }
    if let Some(at) = indptr.windows(2).position(|pair| pair[1] < pair[0]) {
        return Err(wrong(at + 1, format!("at least {}", indptr[at])));
    }
    let last = indptr.len() - 1;
    if indptr[last] != n_values {
        return Err(wrong(last, format!("{n_values}, the number of stored values")));
    }
    Ok(())
}

fn named(source: &Source, frame: Result<&str, Error>, position: usize) -> String {
    let names = frame.and_then(|frame| Frame::open(source, frame)?.index());
    names
        .ok()
        .and_then(|names| names.into_iter().nth(position))
        .unwrap_or_else(|| format!("number {position}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_whole_not_negative_and_exact_in_single_precision() {
        for count in [0.0, -0.0, 1.0, 7.0, MAX_COUNT] {
            assert!(is_count(count), "{count}");
        }
        for other in [
            -1.0,
            0.5,
            1e-300,
            MAX_COUNT + 1.0,
            f64::NAN,
            f64::INFINITY,
            -f64::INFINITY,
        ] {
            assert!(!is_count(other), "{other}");
        }
    }

    #[test]
    fn rows_are_read_together_up_to_a_window_and_apart_across_wide_gaps() {
        // Ten entries per row.
        let offset = |row: usize| 10 * row as u64;
        assert!(spans(&[], offset, 40).is_empty());
        assert_eq!(spans(&[0, 1, 2, 3, 4], offset, 40), [0..4, 4..5]);
        assert_eq!(spans(&[0, 2, 5, 6], offset, 40), [0..2, 2..4]);
        assert_eq!(spans(&[3, 4], offset, 5), [0..1, 1..2]); // a row longer than a window
    }
}
