//! The seam between what an h5ad file means and how HDF5 is read: everything the reader asks of HDF5 is here, so
//! that another library can stand behind it.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::market::Folder;
use super::pure::PureStore;
use super::{Backend, ReadLimits};
use crate::Error;

/// Why a backend could not do what it was asked; the caller adds the file and the object.
pub(super) type StoreError = Box<dyn std::error::Error + Send + Sync>;

/// An HDF5 file open for reading. Paths have no leading slash; `""` is the root.
pub(super) trait Store: Send + Sync {
    /// What stands at a path, `None` where nothing does.
    fn node(&self, path: &str) -> Result<Option<Node>, StoreError>;
    /// Names in a group, sorted.
    fn children(&self, group: &str) -> Result<Vec<String>, StoreError>;
    /// Attributes of a group or dataset, as far as their types are known here.
    fn attributes(&self, path: &str) -> Result<HashMap<String, Attribute>, StoreError>;
    /// A dataset, ready to be read.
    fn dataset(&self, path: &str) -> Result<Box<dyn Dataset>, StoreError>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Group,
    Dataset,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Attribute {
    Text(Vec<String>),
    Integer(Vec<i64>),
    Float(Vec<f64>),
}

/// A dataset of any rank. Rows are positions along the first dimension; a scalar has one row. Values come flat, in
/// row-major order.
pub(super) trait Dataset: Send + Sync {
    fn shape(&self) -> &[u64];
    fn element(&self) -> &Element;
    /// Rows of one chunk and bytes of a whole chunk, where the dataset is chunked.
    fn chunk(&self) -> Option<Chunk>;
    /// Names of the compression filters.
    fn compression(&self) -> Vec<String>;
    /// Values of rows as numbers; for [`Element::Integer`], [`Element::Float`], [`Element::Bool`] only.
    fn numbers(&self, rows: Range<u64>) -> Result<Vec<f64>, StoreError>;
    /// Values of rows as integers; for [`Element::Integer`], [`Element::Bool`] only.
    fn integers(&self, rows: Range<u64>) -> Result<Vec<i64>, StoreError>;
    /// All values as text of together at most `max_bytes`; for [`Element::Text`] only.
    fn texts(&self, max_bytes: usize) -> Result<Vec<String>, StoreError>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    pub rows: u64,
    pub bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Element {
    Integer {
        name: &'static str,
    },
    Float {
        name: &'static str,
    },
    Bool,
    Text,
    /// Records, whose fields stand below the dataset as datasets of their own: `obs/n_genes`.
    Record {
        fields: Vec<String>,
    },
    Other(String),
}

impl Element {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Integer { name } | Self::Float { name } => name,
            Self::Bool => "bool",
            Self::Text => "string",
            Self::Record { .. } => "a compound type",
            Self::Other(name) => name,
        }
    }
}

/// The name of a filter by its number registered with The HDF Group; `None` for a checksum, which compresses nothing.
pub(super) fn filter_name(filter: u16) -> Option<String> {
    match filter {
        1 => Some("gzip".to_owned()),
        2 => Some("shuffle".to_owned()),
        3 => None,
        4 => Some("szip".to_owned()),
        32000 => Some("lzf".to_owned()),
        32001 => Some("blosc".to_owned()),
        32004 => Some("lz4".to_owned()),
        32008 => Some("bitshuffle".to_owned()),
        32015 => Some("zstd".to_owned()),
        32026 => Some("blosc2".to_owned()),
        other => Some(format!("filter {other}")),
    }
}

/// An open file with its path and memory budget: every question to the store goes through here, so that every
/// error names file and object and every allocation is checked first.
pub(super) struct Source {
    pub path: PathBuf,
    store: Box<dyn Store>,
    budget: u64,
}

impl Source {
    pub(super) fn open(path: &Path, limits: &ReadLimits) -> Result<Self, Error> {
        let store: Box<dyn Store> = match limits.backend {
            _ if path.is_dir() => Box::new(Folder::find(path)?.read(limits.memory_budget)?),
            Backend::Pure => Box::new(PureStore::open(path)?),
            #[cfg(feature = "libhdf5")]
            Backend::LibHdf5 => Box::new(super::libhdf5::LibStore::open(path)?),
        };
        Ok(Self {
            path: path.to_owned(),
            store,
            budget: limits.memory_budget,
        })
    }

    pub(super) fn node(&self, path: &str) -> Result<Option<Node>, Error> {
        self.store.node(path).map_err(|source| self.hdf5(path, source))
    }

    pub(super) fn has(&self, path: &str) -> Result<bool, Error> {
        Ok(self.node(path)?.is_some())
    }

    pub(super) fn children(&self, group: &str) -> Result<Vec<String>, Error> {
        self.store
            .children(group)
            .map_err(|source| self.hdf5(group, source))
    }

    pub(super) fn attributes(&self, path: &str) -> Result<HashMap<String, Attribute>, Error> {
        self.store
            .attributes(path)
            .map_err(|source| self.hdf5(path, source))
    }

    /// The dataset at a path; an error that names what stands beside it where it is missing.
    pub(super) fn array(&self, path: &str) -> Result<Array<'_>, Error> {
        match self.node(path)? {
            Some(Node::Dataset) => {}
            Some(Node::Group) => return Err(self.encoding(path, "a group", "a dataset")),
            None => return Err(self.missing(path)),
        }
        let dataset = self
            .store
            .dataset(path)
            .map_err(|source| self.hdf5(path, source))?;
        if let Some(chunk) = dataset.chunk() {
            self.afford(path, chunk.bytes)?;
        }
        Ok(Array {
            source: self,
            path: path.to_owned(),
            dataset,
        })
    }

    /// Refuses what would not fit into the memory budget.
    pub(super) fn afford(&self, object: &str, needed: u64) -> Result<(), Error> {
        if needed <= self.budget {
            return Ok(());
        }
        Err(Error::TooLarge {
            path: self.path.clone(),
            object: object.to_owned(),
            needed,
            budget: self.budget,
        })
    }

    pub(super) fn missing(&self, object: &str) -> Error {
        let (folder, _) = object.rsplit_once('/').unwrap_or(("", object));
        Error::Missing {
            path: self.path.clone(),
            object: object.to_owned(),
            available: self.store.children(folder).unwrap_or_default(),
        }
    }

    pub(super) fn encoding(&self, object: &str, found: impl Into<String>, expected: &'static str) -> Error {
        Error::Encoding {
            path: self.path.clone(),
            object: object.to_owned(),
            found: found.into(),
            expected,
        }
    }

    pub(super) fn length(&self, object: &str, found: u64, expected: u64) -> Error {
        Error::Length {
            path: self.path.clone(),
            object: object.to_owned(),
            found,
            expected,
        }
    }

    fn hdf5(&self, object: &str, source: StoreError) -> Error {
        Error::Hdf5 {
            path: self.path.clone(),
            object: if object.is_empty() { "/" } else { object }.to_owned(),
            source,
        }
    }
}

/// A dataset with the file it belongs to.
pub(super) struct Array<'a> {
    source: &'a Source,
    pub path: String,
    pub dataset: Box<dyn Dataset>,
}

impl Array<'_> {
    /// Positions along the first dimension; 1 for a scalar.
    pub(super) fn n_rows(&self) -> u64 {
        self.dataset.shape().first().copied().unwrap_or(1)
    }

    pub(super) fn shape(&self) -> &[u64] {
        self.dataset.shape()
    }

    /// All values; capped where a hostile file declares more than a number can hold.
    pub(super) fn n_values(&self) -> u64 {
        self.n_rows().saturating_mul(self.row_length())
    }

    /// Values of one row.
    fn row_length(&self) -> u64 {
        self.shape()
            .iter()
            .skip(1)
            .fold(1, |product, &n| product.saturating_mul(n))
    }

    pub(super) fn numbers(&self, rows: Range<u64>) -> Result<Vec<f64>, Error> {
        match self.dataset.element() {
            Element::Integer { .. } | Element::Float { .. } | Element::Bool => {}
            other => return Err(self.source.encoding(&self.path, other.name(), "numbers")),
        }
        self.checked(rows, |rows| self.dataset.numbers(rows))
    }

    pub(super) fn integers(&self, rows: Range<u64>) -> Result<Vec<i64>, Error> {
        match self.dataset.element() {
            Element::Integer { .. } | Element::Bool => {}
            other => return Err(self.source.encoding(&self.path, other.name(), "integers")),
        }
        self.checked(rows, |rows| self.dataset.integers(rows))
    }

    pub(super) fn texts(&self) -> Result<Vec<String>, Error> {
        if *self.dataset.element() != Element::Text {
            return Err(self
                .source
                .encoding(&self.path, self.dataset.element().name(), "text"));
        }
        let n = self.n_values();
        let overhead = n.saturating_mul(size_of::<String>() as u64);
        self.source.afford(&self.path, overhead)?;
        let left = usize::try_from(self.source.budget - overhead).unwrap_or(usize::MAX);
        let texts = self
            .dataset
            .texts(left)
            .map_err(|source| self.source.hdf5(&self.path, source))?;
        self.expect_length(texts.len(), n)?;
        Ok(texts)
    }

    /// Reads rows after a look at the budget, and checks that as many values came as were declared.
    fn checked<T>(
        &self,
        rows: Range<u64>,
        read: impl Fn(Range<u64>) -> Result<Vec<T>, StoreError>,
    ) -> Result<Vec<T>, Error> {
        let n = (rows.end - rows.start).saturating_mul(self.row_length());
        self.source
            .afford(&self.path, n.saturating_mul(size_of::<T>() as u64))?;
        let values = read(rows).map_err(|source| self.source.hdf5(&self.path, source))?;
        self.expect_length(values.len(), n)?;
        Ok(values)
    }

    fn expect_length(&self, found: usize, expected: u64) -> Result<(), Error> {
        if found as u64 == expected {
            return Ok(());
        }
        Err(self.source.length(&self.path, found as u64, expected))
    }
}

/// What every backend must do, checked on files that h5py wrote.
#[cfg(test)]
mod tests {
    use super::*;

    fn golden(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden")
            .join(name)
    }

    fn contract(open: impl Fn(&Path) -> Box<dyn Store>) {
        for name in ["plain.h5ad", "gzip.h5ad"] {
            let store = open(&golden(name));
            assert_eq!(store.node("").unwrap(), Some(Node::Group));
            assert_eq!(store.node("layers").unwrap(), Some(Node::Group));
            assert_eq!(store.node("X/data").unwrap(), Some(Node::Dataset));
            for absent in ["X/none", "none", "X/data/deeper"] {
                assert_eq!(store.node(absent).unwrap(), None, "{absent}");
            }
            assert_eq!(store.children("X").unwrap(), ["data", "indices", "indptr"]);
            assert!(store.children("X/data").is_err());

            let attributes = store.attributes("X").unwrap();
            assert_eq!(
                attributes["encoding-type"],
                Attribute::Text(vec!["csr_matrix".to_owned()])
            );
            assert_eq!(attributes["shape"], Attribute::Integer(vec![23, 9]));
            let of_dataset = store.attributes("obs/_index").unwrap();
            assert_eq!(
                of_dataset["encoding-type"],
                Attribute::Text(vec!["string-array".to_owned()])
            );

            let indptr = store.dataset("X/indptr").unwrap();
            assert_eq!((indptr.shape(), indptr.element().name()), (&[24][..], "i32"));
            let all = indptr.integers(0..24).unwrap();
            assert_eq!((all[0], all[23]), (0, 52));
            assert_eq!(indptr.integers(3..7).unwrap(), all[3..7]);
            assert_eq!(indptr.numbers(23..24).unwrap(), [52.0]);
            assert_eq!(indptr.integers(5..5).unwrap(), [0; 0]);

            let dense = store.dataset("layers/dense_u16").unwrap();
            assert_eq!((dense.shape(), dense.element().name()), (&[23, 9][..], "u16"));
            let all = dense.numbers(0..23).unwrap();
            assert_eq!(dense.numbers(4..6).unwrap(), all[4 * 9..6 * 9]);
            assert_eq!(dense.chunk().is_some(), name == "gzip.h5ad");
            assert_eq!(dense.compression().is_empty(), name == "plain.h5ad");

            let index = store.dataset("obs/_index").unwrap();
            assert_eq!(index.element(), &Element::Text);
            assert_eq!(index.texts(1000).unwrap()[22], "cell 22");
            assert!(
                index.texts(20).is_err(),
                "{name}: 23 names have more than 20 bytes"
            );
        }

        let store = open(&golden("columns.h5ad"));
        let passed = store.dataset("obs/passed").unwrap();
        assert_eq!(passed.element(), &Element::Bool);
        assert_eq!(passed.integers(0..6).unwrap(), [1, 0, 1, 1, 0, 0]);
        let records = open(&golden("legacy_variable.h5ad"));
        assert_eq!(records.node("obs").unwrap(), Some(Node::Dataset));
        assert_eq!(records.node("obs/n_genes").unwrap(), Some(Node::Dataset));
        assert_eq!(records.node("obs/absent").unwrap(), None);
        assert!(records.attributes("obs/n_genes").unwrap().is_empty());
        let fields = ["barcode", "n_cells", "highly_variable"]
            .map(str::to_owned)
            .to_vec();
        assert_eq!(
            records.dataset("var").unwrap().element(),
            &Element::Record { fields }
        );
        let n_cells = records.dataset("var/n_cells").unwrap();
        assert_eq!((n_cells.shape(), n_cells.element().name()), (&[4][..], "u16"));
        assert_eq!(n_cells.integers(1..3).unwrap(), [4, 3]);
        let genes = records.dataset("var/barcode").unwrap();
        assert_eq!(genes.texts(100).unwrap(), ["STAT1", "IRF1", "JAK2", "HLA-A"]);
        assert!(genes.texts(10).is_err());

        let seed = store.dataset("uns/seed").unwrap();
        assert_eq!((seed.shape(), seed.numbers(0..1).unwrap()), (&[][..], vec![7.0]));
    }

    #[test]
    fn the_pure_backend_keeps_the_contract() {
        contract(|path| Box::new(PureStore::open(path).unwrap()));
    }

    #[test]
    #[cfg(feature = "libhdf5")]
    fn libhdf5_keeps_the_contract() {
        contract(|path| Box::new(super::super::libhdf5::LibStore::open(path).unwrap()));
    }
}
