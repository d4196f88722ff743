//! Folders of a MatrixMarket file with its tables, as 10x Genomics and STARsolo write them, shown as the h5ad file that
//! holds the same: `matrix.mtx`, `features.tsv` or `genes.tsv`, `barcodes.tsv`, each also with `.gz`, and a table of cells
//! where somebody put one.

mod coordinates;
mod lines;
mod tables;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::memory::{Entry, MemoryStore, Values};
use super::store::Attribute;
use crate::{Error, FrameColumn};
use coordinates::{Coordinates, Target};
use tables::{Features, afford, read_barcodes, read_cells, read_features};

/// The name under which the index of a table stands among its columns.
const INDEX: &str = "_index";
/// What a table of cells may be called.
const CELL_TABLES: [&str; 3] = ["obs", "metadata", "cells"];

/// The files of a folder and what each is.
#[derive(Debug)]
pub(crate) struct Folder {
    matrix: PathBuf,
    features: PathBuf,
    barcodes: PathBuf,
    cells: Option<PathBuf>,
}

impl Folder {
    /// Finds the files.
    ///
    /// # Errors
    /// [`Error::Io`] where the folder cannot be listed, [`Error::Folder`] where one of the three files is not there or
    /// there are several.
    pub(crate) fn find(path: &Path) -> Result<Self, Error> {
        let files = listed(path)?;
        let required = |what: &str, names: &[&str]| {
            let is_such = |file: &&PathBuf| names.iter().any(|name| is_called(&stem(file), name));
            one(path, files.iter().filter(is_such))?.ok_or_else(|| Error::Folder {
                path: path.to_owned(),
                reason: format!(
                    "there is no {what} (or {what}.gz); expected an h5ad file, or a folder of matrix.mtx, features.tsv \
                     and barcodes.tsv"
                ),
            })
        };
        let is_cell_table = |file: &&PathBuf| {
            let name = stem(file);
            name.rsplit_once('.')
                .is_some_and(|(stem, kind)| CELL_TABLES.contains(&stem) && ["csv", "tsv"].contains(&kind))
        };
        Ok(Self {
            matrix: required("matrix.mtx", &["matrix.mtx"])?,
            features: required("features.tsv", &["features.tsv", "genes.tsv"])?,
            barcodes: required("barcodes.tsv", &["barcodes.tsv"])?,
            cells: one(path, files.iter().filter(is_cell_table))?,
        })
    }

    /// Every file that is read.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        let required = [&self.matrix, &self.features, &self.barcodes];
        required.into_iter().chain(&self.cells).map(PathBuf::as_path)
    }

    /// Reads everything into memory.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Line`], [`Error::TooLarge`]; [`Error::Folder`] where the tables do not fit the matrix.
    pub(super) fn read(&self, budget: u64) -> Result<MemoryStore, Error> {
        let features = read_features(&self.features, budget)?;
        let barcodes = read_barcodes(&self.barcodes, budget)?;
        let coordinates = Coordinates::open(&self.matrix)?;
        let needed = coordinates.n_values.saturating_mul(size_of::<Entry>() as u64);
        afford(&self.matrix, needed, budget)?;
        let target = Target {
            genes_by_cells: self.is_genes_by_cells(&coordinates, &features, &barcodes)?,
            genes: &features.places,
        };
        let is_whole = coordinates.is_whole();
        let entries = coordinates.read(&target)?;
        let columns = match &self.cells {
            Some(path) => {
                let delimiter = if stem(path).ends_with(".tsv") { b'\t' } else { b',' };
                read_cells(path, delimiter, &barcodes, budget)?
            }
            None => Vec::new(),
        };
        Ok(self.shown(features, barcodes, columns, entries, is_whole))
    }

    /// Whether rows are genes, told by the lengths of the two tables.
    fn is_genes_by_cells(
        &self,
        matrix: &Coordinates,
        features: &Features,
        barcodes: &[String],
    ) -> Result<bool, Error> {
        let (n_features, n_cells) = (features.places.len() as u64, barcodes.len() as u64);
        let [rows, columns] = matrix.shape;
        let reason = match (
            [rows, columns] == [n_features, n_cells],
            [rows, columns] == [n_cells, n_features],
        ) {
            (true, false) => return Ok(true),
            (false, true) => return Ok(false),
            (true, true) => "which side is which cannot be told; write it as h5ad",
            (false, false) => "expected as many rows as one table has lines and as many columns as the other",
        };
        Err(Error::Folder {
            path: matrix.path().to_owned(),
            reason: format!(
                "the matrix is {rows} × {columns}, {} has {n_features} lines and {} has {n_cells}: {reason}",
                file_name(&self.features),
                file_name(&self.barcodes)
            ),
        })
    }

    /// The objects of the h5ad file that holds the same.
    fn shown(
        &self,
        features: Features,
        barcodes: Vec<String>,
        columns: Vec<(String, FrameColumn)>,
        entries: Vec<Entry>,
        is_whole: bool,
    ) -> MemoryStore {
        let mut store = MemoryStore::default();
        let shape = [barcodes.len() as i64, features.ids.len() as i64];
        let mut indptr = vec![0; barcodes.len() + 1];
        for entry in &entries {
            indptr[entry.cell as usize + 1] += 1;
        }
        for cell in 0..barcodes.len() {
            indptr[cell + 1] += indptr[cell];
        }
        let encoding = [
            ("encoding-type", text("csr_matrix")),
            ("shape", Attribute::Integer(shape.to_vec())),
        ];
        let compression: &[String] = if self.matrix.extension().is_some_and(|e| e == "gz") {
            &["gzip".to_owned()]
        } else {
            &[]
        };
        let entries = Arc::new(entries);
        store.group("X", &encoding);
        store.dataset("X/indptr", Values::Integers(Arc::new(indptr)), &[]);
        store.dataset("X/indices", Values::Genes(Arc::clone(&entries)), &[]);
        store.dataset("X/data", Values::Entries(entries, is_whole), compression);

        let all_there = |values: Vec<String>| FrameColumn::Text(values.into_iter().map(Some).collect());
        let var = features
            .columns
            .into_iter()
            .map(|(name, values)| (name.to_owned(), all_there(values)));
        frame(&mut store, "obs", barcodes, columns);
        frame(&mut store, "var", features.ids, var.collect());
        store.group("uns", &[]);
        if features.n_left_out > 0 {
            let n = Values::Integers(Arc::new(vec![features.n_left_out as i64]));
            store.dataset("uns/features_left_out", n, &[]);
        }
        store
    }
}

/// Whether a folder holds a file called `matrix.mtx`.
pub(crate) fn has_matrix(path: &Path) -> bool {
    listed(path).is_ok_and(|files| files.iter().any(|file| is_called(&stem(file), "matrix.mtx")))
}

/// The files of a folder by name.
fn listed(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let reading = Error::reading(path);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(&reading)? {
        let file = entry.map_err(&reading)?.path();
        if file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn frame(store: &mut MemoryStore, path: &str, index: Vec<String>, columns: Vec<(String, FrameColumn)>) {
    let names = columns.iter().map(|(name, _)| name.clone()).collect();
    let encoding = [
        ("encoding-type", text("dataframe")),
        ("_index", text(INDEX)),
        ("column-order", Attribute::Text(names)),
    ];
    store.group(path, &encoding);
    store.dataset(&format!("{path}/{INDEX}"), Values::Texts(Arc::new(index)), &[]);
    for (name, column) in columns {
        let path = format!("{path}/{name}");
        match column {
            FrameColumn::Number(values) => store.dataset(&path, Values::Numbers(Arc::new(values)), &[]),
            FrameColumn::Bool(values) => {
                let mask: Vec<bool> = values.iter().map(Option::is_none).collect();
                let values: Vec<bool> = values.into_iter().map(|value| value == Some(true)).collect();
                if mask.contains(&true) {
                    store.group(&path, &[("encoding-type", text("nullable-boolean"))]);
                    store.dataset(&format!("{path}/values"), Values::Flags(Arc::new(values)), &[]);
                    store.dataset(&format!("{path}/mask"), Values::Flags(Arc::new(mask)), &[]);
                } else {
                    store.dataset(&path, Values::Flags(Arc::new(values)), &[]);
                }
            }
            other => {
                let (codes, categories) = categorised(&other.labels());
                store.group(&path, &[("encoding-type", text("categorical"))]);
                store.dataset(&format!("{path}/codes"), Values::Integers(Arc::new(codes)), &[]);
                store.dataset(
                    &format!("{path}/categories"),
                    Values::Texts(Arc::new(categories)),
                    &[],
                );
            }
        }
    }
}

/// Text as categories in order and the number of each row's, -1 where it is missing.
fn categorised(labels: &[Option<String>]) -> (Vec<i64>, Vec<String>) {
    let mut categories: Vec<String> = labels.iter().flatten().cloned().collect();
    categories.sort_unstable();
    categories.dedup();
    let code: HashMap<&str, i64> = categories.iter().map(String::as_str).zip(0..).collect();
    let codes = labels
        .iter()
        .map(|label| label.as_ref().map_or(-1, |label| code[label.as_str()]));
    (codes.collect(), categories)
}

fn text(text: &str) -> Attribute {
    Attribute::Text(vec![text.to_owned()])
}

/// A file's name without `.gz`.
fn stem(file: &Path) -> String {
    let name = file_name(file);
    name.strip_suffix(".gz").unwrap_or(&name).to_owned()
}

fn file_name(file: &Path) -> String {
    file.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// `matrix.mtx`, and `GSM5746259_matrix.mtx` as in GEO.
fn is_called(name: &str, wanted: &str) -> bool {
    name.strip_suffix(wanted)
        .is_some_and(|prefix| !prefix.ends_with(|c: char| c.is_alphanumeric()))
}

/// The only file of its kind, if there is one.
fn one<'a>(folder: &Path, mut files: impl Iterator<Item = &'a PathBuf>) -> Result<Option<PathBuf>, Error> {
    match (files.next(), files.next()) {
        (Some(first), Some(second)) => Err(Error::Folder {
            path: folder.to_owned(),
            reason: format!(
                "{} and {} stand for the same; leave one of them there",
                file_name(first),
                file_name(second)
            ),
        }),
        (first, _) => Ok(first.cloned()),
    }
}
