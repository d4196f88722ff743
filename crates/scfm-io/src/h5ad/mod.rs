//! The h5ad format of anndata: cells × genes with a dataframe for each side.

mod counts;
mod frame;
mod genes;
mod heap;
#[cfg(feature = "libhdf5")]
mod libhdf5;
pub(crate) mod market;
mod matrix;
mod memory;
mod network;
mod pure;
mod record;
mod store;
mod stored;
mod writer;

use std::path::Path;

use scfm_core::CountMatrix;

pub use frame::{ColumnSummary, Frame, FrameColumn};
pub use genes::{GeneMap, strip_version};
pub use matrix::MatrixName;
pub use network::Regulators;
pub use writer::{CountType, H5adWriter};

use crate::Error;
use counts::{Look, look};
use matrix::{Layout, Matrix, matrix_path, var_path};
use store::{Element, Node, Source};

/// How a file is read, and how much memory that may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// Bytes that one read may ask for; declared sizes are checked against it before anything is allocated.
    pub memory_budget: u64,
    /// The library that reads HDF5.
    pub backend: Backend,
}

/// Whether a path is a folder with a MatrixMarket file, which [`H5ad::open`] reads where its tables are there too.
pub fn is_matrix_folder(path: &Path) -> bool {
    market::has_matrix(path)
}

/// Whether a file begins as an HDF5 file does.
///
/// # Errors
/// [`Error::Io`] where it cannot be read.
pub fn is_hdf5(path: &Path) -> Result<bool, Error> {
    hdf5_pure::is_hdf5(path).map_err(Error::reading(path))
}

/// A library that reads HDF5. Both show the same values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Backend {
    /// `hdf5-pure`, written in Rust: for files of any origin.
    #[default]
    Pure,
    /// The HDF Group's libhdf5, written in C, with the filter plugins of the machine: for trusted files only, since a
    /// broken file can crash it. Tables of records, which its bindings cannot read, are left to the other backend.
    #[cfg(feature = "libhdf5")]
    LibHdf5,
}

impl Default for ReadLimits {
    /// 4 GiB, read by [`Backend::Pure`].
    fn default() -> Self {
        Self {
            memory_budget: 4 << 30,
            backend: Backend::default(),
        }
    }
}

/// An `.h5ad` file open for reading: nothing but its two indices' lengths is read until it is asked for.
///
/// A folder of a MatrixMarket file (`matrix.mtx`, `features.tsv` or `genes.tsv`, `barcodes.tsv`, each also with `.gz`)
/// is shown as the file that holds the same, with the matrix as `X`, identifiers as the index of `var` beside
/// `gene_symbols` and `feature_types`, and as `obs` the table of cells in `obs`, `metadata` or `cells` (`.csv`, `.tsv`),
/// if there is one. It is read into memory when it is opened, 16 bytes per value. Features that are no genes by their
/// third column are left out; `uns/features_left_out` counts them.
pub struct H5ad {
    source: Source,
    n_cells: usize,
    n_genes: usize,
}

/// A single value kept in `uns`.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// Text.
    Text(String),
    /// A number.
    Number(f64),
    /// A truth value.
    Bool(bool),
}

/// What a file holds, as far as it can be told without reading values.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Number of cells.
    pub n_cells: usize,
    /// Number of genes of `X` and the layers.
    pub n_genes: usize,
    /// Columns of `obs`.
    pub obs: Vec<ColumnSummary>,
    /// Columns of `var`.
    pub var: Vec<ColumnSummary>,
    /// `X`, `raw/X` and the layers.
    pub matrices: Vec<MatrixSummary>,
    /// Names in `uns`.
    pub uns: Vec<String>,
}

/// A matrix of a [`Summary`].
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSummary {
    /// Its name.
    pub name: MatrixName,
    /// `csr_matrix`, `csc_matrix` or `array`.
    pub encoding: &'static str,
    /// Cells and genes.
    pub shape: [usize; 2],
    /// Number of stored values.
    pub n_stored: u64,
    /// Type of the values: `f32`, `i64`.
    pub value_type: String,
    /// `gzip`, `lzf`, ...; empty where the values are not compressed.
    pub compression: Vec<String>,
}

impl H5ad {
    /// Opens a file, or a MatrixMarket folder.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NotHdf5`], [`Error::Hdf5`] where it cannot be read, [`Error::Missing`] or
    /// [`Error::Encoding`] where it has no `obs` and `var` dataframes, [`Error::TooLarge`] where they declare more rows
    /// than the budget has room to number; of a folder also [`Error::Folder`] and [`Error::Line`].
    pub fn open(path: &Path, limits: &ReadLimits) -> Result<Self, Error> {
        let source = Source::open(path, limits)?;
        let n_rows = |path| {
            let n_rows = Frame::open(&source, path)?.n_rows();
            // Whoever reads a table will at least number its rows.
            source.afford(path, (n_rows as u64).saturating_mul(size_of::<u32>() as u64))?;
            Ok::<_, Error>(n_rows)
        };
        let (n_cells, n_genes) = (n_rows("obs")?, n_rows("var")?);
        Ok(Self {
            source,
            n_cells,
            n_genes,
        })
    }

    /// Number of cells.
    pub fn n_cells(&self) -> usize {
        self.n_cells
    }

    /// Number of genes of `X` and the layers; `raw/X` may have more.
    pub fn n_genes(&self) -> usize {
        self.n_genes
    }

    /// What the file holds, without reading values.
    ///
    /// # Errors
    /// Those of opening each object.
    pub fn summary(&self) -> Result<Summary, Error> {
        let describe = |name| {
            let matrix = Matrix::open(&self.source, &name)?;
            let (encoding, values) = match &matrix.layout {
                Layout::Dense(array) => ("array", array),
                Layout::Sparse {
                    by_cell: true, data, ..
                } => ("csr_matrix", data),
                Layout::Sparse {
                    by_cell: false, data, ..
                } => ("csc_matrix", data),
            };
            Ok(MatrixSummary {
                name,
                encoding,
                shape: [matrix.n_cells, matrix.n_genes],
                n_stored: values.n_values(),
                value_type: values.dataset.element().name().to_owned(),
                compression: values.dataset.compression(),
            })
        };
        Ok(Summary {
            n_cells: self.n_cells,
            n_genes: self.n_genes,
            obs: self.obs()?.summary()?,
            var: self.var()?.summary()?,
            matrices: self
                .matrix_names()?
                .into_iter()
                .map(describe)
                .collect::<Result<_, Error>>()?,
            uns: self.children_of("uns")?,
        })
    }

    /// The dataframe of cells.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Encoding`] where there is none.
    pub fn obs(&self) -> Result<Frame<'_>, Error> {
        Frame::open(&self.source, "obs")
    }

    /// The dataframe of genes.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Encoding`] where there is none.
    pub fn var(&self) -> Result<Frame<'_>, Error> {
        Frame::open(&self.source, "var")
    }

    /// The dataframe of the genes of one matrix: `raw/var` for `raw/X`, else `var`.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Encoding`] where there is none.
    pub fn var_of(&self, matrix: &MatrixName) -> Result<Frame<'_>, Error> {
        Frame::open(&self.source, var_path(&self.source, matrix)?)
    }

    /// Identifiers of the columns of a matrix: the index of its `var`, or one of its columns; an empty name where
    /// one is missing.
    ///
    /// # Errors
    /// Those of [`Frame::index`] and [`Frame::column`].
    pub fn gene_ids(&self, matrix: &MatrixName, column: Option<&str>) -> Result<Vec<String>, Error> {
        let var = self.var_of(matrix)?;
        let Some(column) = column else {
            return var.index();
        };
        let labels = var.column(column)?.labels();
        Ok(labels.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// A single value of `uns` by name, or by path (`model/seed`); `None` where there is no such entry or it holds
    /// more than one value.
    ///
    /// # Errors
    /// [`Error::Hdf5`] where it cannot be read.
    pub fn uns(&self, key: &str) -> Result<Option<Scalar>, Error> {
        let path = format!("uns/{key}");
        if self.source.node(&path)? != Some(Node::Dataset) {
            return Ok(None);
        }
        let array = self.source.array(&path)?;
        if array.n_values() != 1 {
            return Ok(None);
        }
        Ok(match array.dataset.element() {
            Element::Text => array.texts()?.pop().map(Scalar::Text),
            Element::Bool => array.integers(0..1)?.pop().map(|flag| Scalar::Bool(flag != 0)),
            Element::Integer { .. } | Element::Float { .. } => array.numbers(0..1)?.pop().map(Scalar::Number),
            Element::Record { .. } | Element::Other(_) => None,
        })
    }

    /// The text that `uns` holds under a name, if it does.
    ///
    /// # Errors
    /// [`Error::Hdf5`] where it cannot be read.
    pub fn uns_text(&self, key: &str) -> Result<Option<String>, Error> {
        Ok(match self.uns(key)? {
            Some(Scalar::Text(text)) => Some(text),
            _ => None,
        })
    }

    /// The matrices of the file: `X`, `raw/X`, then the layers by name.
    ///
    /// # Errors
    /// [`Error::Hdf5`] where the file cannot be read.
    pub fn matrix_names(&self) -> Result<Vec<MatrixName>, Error> {
        let mut names = Vec::new();
        for name in [MatrixName::X, MatrixName::Raw] {
            if self.source.has(&matrix_path(&self.source, &name)?)? {
                names.push(name);
            }
        }
        names.extend(self.children_of("layers")?.into_iter().map(MatrixName::Layer));
        Ok(names)
    }

    /// The matrix that holds raw counts, found by looking at some values of each: the first of `layers/counts`,
    /// `raw/X`, `X` whose values are whole and not negative. Every value is looked at when it is read.
    ///
    /// # Errors
    /// [`Error::NoCounts`] with what was seen in each matrix.
    pub fn counts_matrix(&self) -> Result<MatrixName, Error> {
        let all = self.matrix_names()?;
        let counts = MatrixName::Layer("counts".to_owned());
        let known = [counts, MatrixName::Raw, MatrixName::X];
        let mut seen = Vec::new();
        for name in known.iter().filter(|name| all.contains(name)) {
            let matrix = Matrix::open(&self.source, name)?;
            match look(&matrix)? {
                Look::Counts => return Ok(name.clone()),
                other => seen.push(other.describe(&matrix)),
            }
        }
        for name in all.iter().filter(|name| !known.contains(name)) {
            let matrix = Matrix::open(&self.source, name)?;
            seen.push(look(&matrix)?.describe(&matrix));
        }
        if seen.is_empty() {
            seen.push("the file has no matrix at all".to_owned());
        }
        Err(Error::NoCounts {
            path: self.source.path.clone(),
            seen,
        })
    }

    /// Counts of the cells `rows`, in that order, over the genes of `genes`, with each cell's total over all genes
    /// of the file.
    ///
    /// Only the chunks that hold wanted rows are read; peak memory is the result and one window of a few MB (or
    /// one chunk where chunks are larger). Ascending rows are fastest: any other order sorts the result
    /// afterwards. A matrix stored by gene (CSC) has no row to go to, so that every call passes over all of it.
    ///
    /// # Panics
    /// When a row is not below [`H5ad::n_cells`].
    ///
    /// # Errors
    /// [`Error::NotACount`] with the first offending cell and gene; [`Error::Missing`] where there is no such
    /// matrix; [`Error::Indptr`], [`Error::OutOfRange`], [`Error::Length`], [`Error::Encoding`], [`Error::Hdf5`]
    /// where it is broken; [`Error::TooLarge`] where it does not fit the memory budget; [`Error::Length`] where
    /// `genes` was made for another matrix.
    pub fn cells(&self, matrix: &MatrixName, rows: &[usize], genes: &GeneMap) -> Result<CountMatrix, Error> {
        self.matrix(matrix, rows, genes)?.read_any(rows, genes)
    }

    /// The counts of [`H5ad::cells`] in blocks of at most `block_len` cells, so that many cells can pass through
    /// little memory. Blocks follow the order of `rows`; the iterator ends after an error.
    ///
    /// # Panics
    /// When a row is not below [`H5ad::n_cells`], or `block_len` is 0.
    ///
    /// # Errors
    /// Those of [`H5ad::cells`].
    pub fn blocks<'a>(
        &'a self,
        matrix: &MatrixName,
        rows: &'a [usize],
        genes: &'a GeneMap,
        block_len: usize,
    ) -> Result<impl Iterator<Item = Result<CountMatrix, Error>> + 'a, Error> {
        let matrix = self.matrix(matrix, rows, genes)?;
        let mut blocks = rows.chunks(block_len);
        let mut failed = false;
        Ok(std::iter::from_fn(move || {
            let block = blocks.next().filter(|_| !failed)?;
            let counts = matrix.read_any(block, genes);
            failed = counts.is_err();
            Some(counts)
        }))
    }

    /// A matrix that fits the cells, the rows asked for, and the gene map.
    fn matrix(&self, name: &MatrixName, rows: &[usize], genes: &GeneMap) -> Result<Matrix<'_>, Error> {
        if let Some(row) = rows.iter().find(|&&row| row >= self.n_cells) {
            panic!("row {row} of a file with {} cells", self.n_cells);
        }
        let matrix = Matrix::open(&self.source, name)?;
        let object = name.to_string();
        if matrix.n_cells != self.n_cells {
            return Err(self
                .source
                .length(&object, matrix.n_cells as u64, self.n_cells as u64));
        }
        if matrix.n_genes != genes.columns().len() {
            let object = format!("gene map for {object}");
            return Err(self
                .source
                .length(&object, genes.columns().len() as u64, matrix.n_genes as u64));
        }
        Ok(matrix)
    }

    fn children_of(&self, group: &str) -> Result<Vec<String>, Error> {
        match self.source.node(group)? {
            Some(Node::Group) => self.source.children(group),
            _ => Ok(Vec::new()),
        }
    }
}

impl Matrix<'_> {
    /// Counts of rows in any order, also repeated ones.
    fn read_any(&self, rows: &[usize], genes: &GeneMap) -> Result<CountMatrix, Error> {
        if rows.is_sorted_by(|a, b| a < b) {
            return self.read(rows, genes);
        }
        let mut sorted = rows.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let places: Vec<usize> = rows
            .iter()
            .map(|row| sorted.partition_point(|other| other < row))
            .collect();
        Ok(self.read(&sorted, genes)?.select_cells(&places))
    }
}
