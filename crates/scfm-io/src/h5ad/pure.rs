//! The default backend: `hdf5-pure`, which needs no C library and is meant for files of unknown origin.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use hdf5_pure::{
    AttrValue, ChunkCacheConfig, DType, File, FileAccessProperties, FormatError, VlenStringReadOptions,
};

use super::heap::Heap;
use super::record::Field;
use super::store::{Attribute, Chunk, Dataset, Element, Node, Store, StoreError};
use super::stored::Stored;
use crate::Error;

/// Decompressed chunks kept per dataset: one that two windows share is then inflated once.
const CHUNK_CACHE_BYTES: usize = 32 << 20;
const CHUNK_CACHE_SLOTS: usize = 521;

pub(super) struct PureStore {
    file: File,
    heap: Arc<Heap>,
    /// Bytes of the file.
    length: u64,
}

impl PureStore {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        if !hdf5_pure::is_hdf5(path).map_err(Error::reading(path))? {
            return Err(Error::NotHdf5 {
                path: path.to_owned(),
            });
        }
        let cache = ChunkCacheConfig::from_h5p_cache(CHUNK_CACHE_SLOTS, CHUNK_CACHE_BYTES);
        let properties = FileAccessProperties::new().with_chunk_cache(cache);
        let file = File::open_streaming_with_options(path, properties).map_err(|source| Error::Hdf5 {
            path: path.to_owned(),
            object: "/".to_owned(),
            source: source.into(),
        })?;
        let superblock = file.superblock();
        let length = std::fs::metadata(path).map_err(Error::reading(path))?.len();
        // All ones stand for an end that nobody has written yet.
        if superblock.eof_address > length && superblock.eof_address != u64::MAX {
            return Err(Error::CutOff {
                path: path.to_owned(),
                expected: superblock.eof_address,
                found: length,
            });
        }
        let heap = Heap::open(path, superblock.base_address.get(), superblock.offset_size);
        Ok(Self {
            heap: Arc::new(heap.map_err(Error::reading(path))?),
            length,
            file,
        })
    }

    fn object(&self, path: &str) -> Result<Option<Node>, StoreError> {
        match self.file.group(path) {
            Ok(_) => Ok(Some(Node::Group)),
            Err(hdf5_pure::Error::Format(FormatError::PathNotFound(_))) => Ok(None),
            Err(hdf5_pure::Error::NotAGroup(_)) => match self.file.dataset(path) {
                Ok(_) => Ok(Some(Node::Dataset)),
                // A component on the way is a dataset, or the object is a committed datatype.
                Err(hdf5_pure::Error::NotAGroup(_) | hdf5_pure::Error::NotADataset(_)) => Ok(None),
                Err(error) => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// The field of a table of records that a path names: `obs/n_genes` where `obs` is a dataset.
    fn field(&self, path: &str) -> Result<Option<Field>, StoreError> {
        for (at, _) in path.match_indices('/') {
            let (table, name) = (&path[..at], &path[at + 1..]);
            match self.object(table)? {
                Some(Node::Group) => {}
                Some(Node::Dataset) => {
                    let records = Stored::new(self.file.dataset(table)?, self.length)?;
                    return Field::open(records, name, Arc::clone(&self.heap));
                }
                None => return Ok(None),
            }
        }
        Ok(None)
    }
}

impl Store for PureStore {
    fn node(&self, path: &str) -> Result<Option<Node>, StoreError> {
        Ok(match self.object(path)? {
            None => self.field(path)?.map(|_| Node::Dataset),
            found => found,
        })
    }

    fn children(&self, group: &str) -> Result<Vec<String>, StoreError> {
        let group = self.file.group(group)?;
        let mut names = group.groups()?;
        names.extend(group.datasets()?);
        names.sort();
        Ok(names)
    }

    fn attributes(&self, path: &str) -> Result<HashMap<String, Attribute>, StoreError> {
        let attributes = match self.object(path)? {
            Some(Node::Dataset) => self.file.dataset(path)?.attrs()?,
            None if self.field(path)?.is_some() => HashMap::new(),
            _ => self.file.group(path)?.attrs()?,
        };
        Ok(attributes
            .into_iter()
            .filter_map(|(name, value)| Some((name, attribute(&value)?)))
            .collect())
    }

    fn dataset(&self, path: &str) -> Result<Box<dyn Dataset>, StoreError> {
        if self.object(path)?.is_none()
            && let Some(field) = self.field(path)?
        {
            return Ok(Box::new(field));
        }
        let stored = Stored::new(self.file.dataset(path)?, self.length)?;
        let dataset = stored.described();
        Ok(Box::new(PureDataset {
            element: element(&dataset.dtype()?),
            shape: dataset.shape()?,
            element_size: dataset.element_size()?,
            stored,
        }))
    }
}

struct PureDataset {
    stored: Stored,
    shape: Vec<u64>,
    element: Element,
    element_size: u64,
}

impl Dataset for PureDataset {
    fn shape(&self) -> &[u64] {
        &self.shape
    }

    fn element(&self) -> &Element {
        &self.element
    }

    fn chunk(&self) -> Option<Chunk> {
        self.stored.chunk()
    }

    fn compression(&self) -> Vec<String> {
        compression(self.stored.described())
    }

    fn numbers(&self, rows: Range<u64>) -> Result<Vec<f64>, StoreError> {
        Ok(self
            .stored
            .readable()?
            .read_f64_rows(rows.start, rows.end - rows.start)?)
    }

    fn integers(&self, rows: Range<u64>) -> Result<Vec<i64>, StoreError> {
        Ok(self
            .stored
            .readable()?
            .read_i64_rows(rows.start, rows.end - rows.start)?)
    }

    fn texts(&self, max_bytes: usize) -> Result<Vec<String>, StoreError> {
        let dataset = self.stored.readable()?;
        if dataset.dtype()? == DType::VariableLengthString {
            let options = VlenStringReadOptions::new().with_max_payload_bytes(max_bytes);
            return Ok(dataset.read_vlen_strings(options)?);
        }
        let bytes = self
            .shape
            .iter()
            .fold(self.element_size, |product, &n| product.saturating_mul(n));
        if bytes > max_bytes as u64 {
            return Err(format!(
                "{bytes} bytes of text, more than the {max_bytes} left of the memory budget"
            )
            .into());
        }
        Ok(dataset.read_string()?)
    }
}

pub(super) fn compression(dataset: &hdf5_pure::Dataset) -> Vec<String> {
    dataset
        .filters()
        .into_iter()
        .filter_map(super::store::filter_name)
        .collect()
}

fn attribute(value: &AttrValue) -> Option<Attribute> {
    if let Some(texts) = value.as_strings() {
        return Some(Attribute::Text(texts.to_vec()));
    }
    let integers = value.to_i64s().map(Attribute::Integer);
    integers.or_else(|| value.to_f64s().map(Attribute::Float))
}

pub(super) fn element(dtype: &DType) -> Element {
    let integer = |name| Element::Integer { name };
    match dtype {
        DType::I8 => integer("i8"),
        DType::I16 => integer("i16"),
        DType::I32 => integer("i32"),
        DType::I64 => integer("i64"),
        DType::U8 => integer("u8"),
        DType::U16 => integer("u16"),
        DType::U32 => integer("u32"),
        DType::U64 => integer("u64"),
        DType::F32 => Element::Float { name: "f32" },
        DType::F64 => Element::Float { name: "f64" },
        DType::String | DType::VariableLengthString => Element::Text,
        // What h5py writes for numpy's bool.
        DType::Enum(names) if names.iter().map(String::as_str).eq(["FALSE", "TRUE"]) => Element::Bool,
        DType::Compound(fields) => Element::Record {
            fields: fields.iter().map(|(name, _)| name.clone()).collect(),
        },
        other => Element::Other(format!("the type {other}")),
    }
}
