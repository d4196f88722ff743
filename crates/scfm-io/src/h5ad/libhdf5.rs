//! The second backend: The HDF Group's libhdf5, for trusted files, and the oracle of the first.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use hdf5_metno as hdf5;
use hdf5_metno::filters::Filter;
use hdf5_metno::types::{
    FixedAscii, FixedUnicode, FloatSize, IntSize, TypeDescriptor, VarLenAscii, VarLenUnicode,
};
use hdf5_metno::{Container, H5Type, Hyperslab, LocationType, SliceOrIndex};

use super::pure::PureStore;
use super::store::{Attribute, Chunk, Dataset, Element, Node, Store, StoreError, filter_name};
use crate::Error;

/// Decompressed chunks kept per dataset, as by the other backend; 0.75 is libhdf5's own preference for dropping
/// chunks that were read whole.
const CHUNK_CACHE: (usize, usize, f64) = (521, 32 << 20, 0.75);
/// Rows of text read at a time, so that the budget is looked at between.
const TEXT_ROWS: u64 = 1 << 14;

pub(super) struct LibStore {
    file: hdf5::File,
    path: PathBuf,
    /// The bindings describe records by Rust types, which are fixed before the file is seen; tables of records are
    /// therefore read by the other backend.
    records: OnceLock<Option<PureStore>>,
}

impl LibStore {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        // libhdf5's own message does not tell a missing file from one that is not HDF5.
        if !hdf5_pure::is_hdf5(path).map_err(Error::reading(path))? {
            return Err(Error::NotHdf5 {
                path: path.to_owned(),
            });
        }
        let (slots, bytes, preference) = CHUNK_CACHE;
        let file = hdf5::File::with_options()
            .with_fapl(|properties| properties.chunk_cache(slots, bytes, preference))
            .open(path)
            .map_err(|source| Error::Hdf5 {
                path: path.to_owned(),
                object: "/".to_owned(),
                source: source.into(),
            })?;
        Ok(Self {
            file,
            path: path.to_owned(),
            records: OnceLock::new(),
        })
    }

    fn object(&self, path: &str) -> Result<Option<Node>, StoreError> {
        if path.is_empty() {
            return Ok(Some(Node::Group));
        }
        // A path through a dataset has no link either.
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for end in ends {
            if !self.file.link_exists(&path[..end]) {
                return Ok(None);
            }
        }
        Ok(match self.file.loc_type_by_name(path)? {
            LocationType::Group => Some(Node::Group),
            LocationType::Dataset => Some(Node::Dataset),
            LocationType::NamedDatatype => None,
        })
    }

    /// The other backend, where a part of the path is a table of records.
    fn records(&self, path: &str) -> Result<Option<&PureStore>, StoreError> {
        for (at, _) in path.match_indices('/') {
            match self.object(&path[..at])? {
                Some(Node::Group) => {}
                None => return Ok(None),
                Some(Node::Dataset) => {
                    let descriptor = self.file.dataset(&path[..at])?.dtype()?.to_descriptor();
                    // A type that cannot be described may be records with a field that cannot.
                    return match descriptor {
                        Ok(TypeDescriptor::Compound(_)) | Err(_) => Ok(self.pure()),
                        Ok(_) => Ok(None),
                    };
                }
            }
        }
        Ok(None)
    }

    fn pure(&self) -> Option<&PureStore> {
        self.records
            .get_or_init(|| PureStore::open(&self.path).ok())
            .as_ref()
    }
}

impl Store for LibStore {
    fn node(&self, path: &str) -> Result<Option<Node>, StoreError> {
        match (self.object(path)?, self.records(path)?) {
            (None, Some(records)) => records.node(path),
            (found, _) => Ok(found),
        }
    }

    fn children(&self, group: &str) -> Result<Vec<String>, StoreError> {
        let opened = if group.is_empty() {
            self.file.as_group()?
        } else {
            self.file.group(group)?
        };
        let mut names = opened.member_names()?;
        let is_object = |name: &String| {
            let kind = opened.loc_type_by_name(name);
            matches!(kind, Ok(LocationType::Group | LocationType::Dataset))
        };
        names.retain(is_object);
        names.sort();
        Ok(names)
    }

    fn attributes(&self, path: &str) -> Result<HashMap<String, Attribute>, StoreError> {
        if let Some(records) = self.records(path)? {
            return records.attributes(path);
        }
        let (group, dataset);
        let location: &hdf5::Location = match self.object(path)? {
            Some(Node::Dataset) => {
                dataset = self.file.dataset(path)?;
                &dataset
            }
            _ if path.is_empty() => &self.file,
            _ => {
                group = self.file.group(path)?;
                &group
            }
        };
        let mut attributes = HashMap::new();
        for name in location.attr_names()? {
            if let Some(value) = attribute(&location.attr(&name)?) {
                attributes.insert(name, value);
            }
        }
        Ok(attributes)
    }

    fn dataset(&self, path: &str) -> Result<Box<dyn Dataset>, StoreError> {
        if let Some(records) = self.records(path)? {
            return records.dataset(path);
        }
        let dataset = self.file.dataset(path)?;
        let dtype = dataset.dtype()?;
        let descriptor = dtype.to_descriptor().ok();
        if descriptor.is_none()
            && let Some(pure) = self.pure()
        {
            return pure.dataset(path);
        }
        let chunk = dataset.chunk().map(|shape| Chunk {
            rows: shape.first().map_or(1, |&rows| rows as u64),
            bytes: shape.iter().fold(dtype.size() as u64, |product, &n| {
                product.saturating_mul(n as u64)
            }),
        });
        Ok(Box::new(LibDataset {
            shape: dataset.shape().into_iter().map(|n| n as u64).collect(),
            element: descriptor
                .as_ref()
                .map_or_else(|| Element::Other("a type that is not known".to_owned()), element),
            chunk,
            descriptor,
            dataset,
        }))
    }
}

struct LibDataset {
    dataset: hdf5::Dataset,
    descriptor: Option<TypeDescriptor>,
    shape: Vec<u64>,
    element: Element,
    chunk: Option<Chunk>,
}

impl LibDataset {
    fn rows<T: H5Type>(&self, rows: Range<u64>) -> Result<Vec<T>, StoreError> {
        let n_rows = self.shape.first().copied().unwrap_or(1);
        if rows.end > n_rows {
            return Err(format!("rows up to {} of {n_rows}", rows.end).into());
        }
        if rows.is_empty() || self.shape.contains(&0) {
            return Ok(Vec::new());
        }
        if self.shape.is_empty() {
            return Ok(self.dataset.read_raw()?);
        }
        let span = |start: u64, count: u64| SliceOrIndex::SliceCount {
            start: start as usize,
            step: 1,
            count: count as usize,
            block: 1,
        };
        let mut spans = vec![span(rows.start, rows.end - rows.start)];
        spans.extend(self.shape[1..].iter().map(|&n| span(0, n)));
        let values = self
            .dataset
            .read_slice::<T, _, ndarray::IxDyn>(Hyperslab::from(spans))?;
        Ok(values.into_raw_vec_and_offset().0)
    }

    fn text_rows(&self, rows: Range<u64>) -> Result<Vec<String>, StoreError> {
        macro_rules! fixed {
            ($text:ident, $size:expr, $($width:literal)*) => {
                match $size {
                    $(0..=$width => Ok(texts(self.rows::<$text<$width>>(rows)?, |text| text.as_bytes()))),*,
                    size => Err(format!("text of {size} bytes; libhdf5 is asked for at most 16384").into()),
                }
            };
        }
        match &self.descriptor {
            Some(TypeDescriptor::VarLenAscii) => {
                Ok(texts(self.rows::<VarLenAscii>(rows)?, |text| text.as_bytes()))
            }
            Some(TypeDescriptor::VarLenUnicode) => {
                Ok(texts(self.rows::<VarLenUnicode>(rows)?, |text| text.as_bytes()))
            }
            // The width is part of the type, so the next of a few is taken, which libhdf5 pads.
            Some(TypeDescriptor::FixedAscii(size)) => fixed!(FixedAscii, *size, 16 64 256 1024 16384),
            Some(TypeDescriptor::FixedUnicode(size)) => fixed!(FixedUnicode, *size, 16 64 256 1024 16384),
            _ => Err("not text".into()),
        }
    }
}

impl Dataset for LibDataset {
    fn shape(&self) -> &[u64] {
        &self.shape
    }

    fn element(&self) -> &Element {
        &self.element
    }

    fn chunk(&self) -> Option<Chunk> {
        self.chunk
    }

    fn compression(&self) -> Vec<String> {
        let number = |filter: Filter| match filter {
            // Found by number only where the library has it built in.
            Filter::LZF => Some(32000),
            other => u16::try_from(other.id()).ok(),
        };
        self.dataset
            .filters()
            .into_iter()
            .filter_map(number)
            .filter_map(filter_name)
            .collect()
    }

    fn numbers(&self, rows: Range<u64>) -> Result<Vec<f64>, StoreError> {
        match self.element {
            // Enumerations turn into integers only.
            Element::Bool => Ok(self.integers(rows)?.into_iter().map(|flag| flag as f64).collect()),
            _ => self.rows(rows),
        }
    }

    fn integers(&self, rows: Range<u64>) -> Result<Vec<i64>, StoreError> {
        if matches!(self.descriptor, Some(TypeDescriptor::Unsigned(IntSize::U8))) {
            // libhdf5 would put the largest number in the place of larger ones.
            let values = self.rows::<u64>(rows)?;
            return Ok(values.into_iter().map(i64::try_from).collect::<Result<_, _>>()?);
        }
        self.rows(rows)
    }

    fn texts(&self, max_bytes: usize) -> Result<Vec<String>, StoreError> {
        let mut all = Vec::new();
        let mut bytes = 0;
        let n_rows = self.shape.first().copied().unwrap_or(1);
        for start in (0..n_rows).step_by(TEXT_ROWS as usize) {
            let some = self.text_rows(start..n_rows.min(start + TEXT_ROWS))?;
            bytes += some.iter().map(String::len).sum::<usize>();
            if bytes > max_bytes {
                return Err(format!(
                    "more than the {max_bytes} bytes of text that are left of the memory budget"
                )
                .into());
            }
            all.extend(some);
        }
        Ok(all)
    }
}

/// Bytes that are not UTF-8 are replaced rather than trusted.
fn texts<T>(values: Vec<T>, bytes: impl Fn(&T) -> &[u8]) -> Vec<String> {
    let text = |value| String::from_utf8_lossy(bytes(value)).into_owned();
    values.iter().map(text).collect()
}

fn attribute(attribute: &hdf5::Attribute) -> Option<Attribute> {
    fn read<T: H5Type>(attribute: &Container) -> Option<Vec<T>> {
        if attribute.size() == 0 {
            Some(Vec::new())
        } else {
            attribute.read_raw().ok()
        }
    }
    macro_rules! fixed {
        ($text:ident, $size:expr, $($width:literal)*) => {
            match $size {
                $(0..=$width => Some(texts(read::<$text<$width>>(attribute)?, |text| text.as_bytes()))),*,
                _ => None,
            }
        };
    }
    let found = match attribute.dtype().ok()?.to_descriptor().ok()? {
        TypeDescriptor::Integer(_)
        | TypeDescriptor::Unsigned(_)
        | TypeDescriptor::Boolean
        | TypeDescriptor::Enum(_) => {
            return read(attribute).map(Attribute::Integer);
        }
        TypeDescriptor::Float(_) => return read(attribute).map(Attribute::Float),
        TypeDescriptor::VarLenAscii => texts(read::<VarLenAscii>(attribute)?, |text| text.as_bytes()),
        TypeDescriptor::VarLenUnicode => texts(read::<VarLenUnicode>(attribute)?, |text| text.as_bytes()),
        TypeDescriptor::FixedAscii(size) => fixed!(FixedAscii, size, 16 64 256 1024 16384)?,
        TypeDescriptor::FixedUnicode(size) => fixed!(FixedUnicode, size, 16 64 256 1024 16384)?,
        _ => return None,
    };
    Some(Attribute::Text(found))
}

fn element(descriptor: &TypeDescriptor) -> Element {
    let integer = |name| Element::Integer { name };
    match descriptor {
        TypeDescriptor::Integer(IntSize::U1) => integer("i8"),
        TypeDescriptor::Integer(IntSize::U2) => integer("i16"),
        TypeDescriptor::Integer(IntSize::U4) => integer("i32"),
        TypeDescriptor::Integer(IntSize::U8) => integer("i64"),
        TypeDescriptor::Unsigned(IntSize::U1) => integer("u8"),
        TypeDescriptor::Unsigned(IntSize::U2) => integer("u16"),
        TypeDescriptor::Unsigned(IntSize::U4) => integer("u32"),
        TypeDescriptor::Unsigned(IntSize::U8) => integer("u64"),
        TypeDescriptor::Float(FloatSize::U4) => Element::Float { name: "f32" },
        TypeDescriptor::Float(FloatSize::U8) => Element::Float { name: "f64" },
        TypeDescriptor::Boolean => Element::Bool,
        TypeDescriptor::Enum(names)
            if names
                .members
                .iter()
                .map(|m| m.name.as_str())
                .eq(["FALSE", "TRUE"]) =>
        {
            Element::Bool
        }
        TypeDescriptor::FixedAscii(_)
        | TypeDescriptor::FixedUnicode(_)
        | TypeDescriptor::VarLenAscii
        | TypeDescriptor::VarLenUnicode => Element::Text,
        TypeDescriptor::Compound(records) => Element::Record {
            fields: records.fields.iter().map(|field| field.name.clone()).collect(),
        },
        other => Element::Other(format!("the type {other}")),
    }
}
