//! Objects in memory behind the same seam as an HDF5 file: what a format other than HDF5 is shown as.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use super::store::{Attribute, Chunk, Dataset, Element, Node, Store, StoreError};

/// Groups and datasets by path.
#[derive(Default)]
pub(super) struct MemoryStore {
    objects: BTreeMap<String, Object>,
}

enum Object {
    Group(HashMap<String, Attribute>),
    Dataset(MemoryDataset),
}

/// One value of a cell × gene matrix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Entry {
    pub cell: u32,
    pub gene: u32,
    pub value: f64,
}

/// The values of a dataset; a column per row, never more dimensions.
#[derive(Clone)]
pub(super) enum Values {
    Numbers(Arc<Vec<f64>>),
    Integers(Arc<Vec<i64>>),
    Flags(Arc<Vec<bool>>),
    Texts(Arc<Vec<String>>),
    /// The genes of entries.
    Genes(Arc<Vec<Entry>>),
    /// The values of entries, and whether they were written as whole numbers.
    Entries(Arc<Vec<Entry>>, bool),
}

#[derive(Clone)]
struct MemoryDataset {
    values: Values,
    shape: Vec<u64>,
    element: Element,
    compression: Vec<String>,
}

impl MemoryStore {
    /// Adds a group with text attributes.
    pub(super) fn group(&mut self, path: &str, attributes: &[(&str, Attribute)]) {
        let attributes = attributes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()));
        self.objects
            .insert(path.to_owned(), Object::Group(attributes.collect()));
    }

    /// Adds a dataset of one dimension.
    pub(super) fn dataset(&mut self, path: &str, values: Values, compression: &[String]) {
        let dataset = MemoryDataset {
            shape: vec![values.len() as u64],
            element: values.element(),
            values,
            compression: compression.to_vec(),
        };
        self.objects.insert(path.to_owned(), Object::Dataset(dataset));
    }
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Self::Numbers(values) => values.len(),
            Self::Integers(values) => values.len(),
            Self::Flags(values) => values.len(),
            Self::Texts(values) => values.len(),
            Self::Genes(entries) | Self::Entries(entries, _) => entries.len(),
        }
    }

    fn element(&self) -> Element {
        match self {
            Self::Numbers(_) | Self::Entries(_, false) => Element::Float { name: "f64" },
            Self::Integers(_) | Self::Entries(_, true) => Element::Integer { name: "i64" },
            Self::Genes(_) => Element::Integer { name: "u32" },
            Self::Flags(_) => Element::Bool,
            Self::Texts(_) => Element::Text,
        }
    }
}

impl Store for MemoryStore {
    fn node(&self, path: &str) -> Result<Option<Node>, StoreError> {
        Ok(match self.objects.get(path) {
            _ if path.is_empty() => Some(Node::Group),
            Some(Object::Group(_)) => Some(Node::Group),
            Some(Object::Dataset(_)) => Some(Node::Dataset),
            None => None,
        })
    }

    fn children(&self, group: &str) -> Result<Vec<String>, StoreError> {
        if self.node(group)? != Some(Node::Group) {
            return Err(format!("no group {group}").into());
        }
        let prefix = if group.is_empty() {
            String::new()
        } else {
            format!("{group}/")
        };
        let below = self.objects.keys().filter_map(|path| path.strip_prefix(&prefix));
        let direct = below.filter(|name| !name.contains('/'));
        Ok(direct.map(str::to_owned).collect())
    }

    fn attributes(&self, path: &str) -> Result<HashMap<String, Attribute>, StoreError> {
        Ok(match self.objects.get(path) {
            Some(Object::Group(attributes)) => attributes.clone(),
            _ => HashMap::new(),
        })
    }

    fn dataset(&self, path: &str) -> Result<Box<dyn Dataset>, StoreError> {
        match self.objects.get(path) {
            Some(Object::Dataset(dataset)) => Ok(Box::new(dataset.clone())),
            _ => Err(format!("no dataset {path}").into()),
        }
    }
}

impl Dataset for MemoryDataset {
    fn shape(&self) -> &[u64] {
        &self.shape
    }

    fn element(&self) -> &Element {
        &self.element
    }

    fn chunk(&self) -> Option<Chunk> {
        None
    }

    fn compression(&self) -> Vec<String> {
        self.compression.clone()
    }

    fn numbers(&self, rows: Range<u64>) -> Result<Vec<f64>, StoreError> {
        let rows = rows.start as usize..rows.end as usize;
        Ok(match &self.values {
            Values::Numbers(values) => values[rows].to_vec(),
            Values::Entries(entries, _) => entries[rows].iter().map(|entry| entry.value).collect(),
            Values::Genes(entries) => entries[rows].iter().map(|entry| f64::from(entry.gene)).collect(),
            Values::Integers(values) => values[rows].iter().map(|&value| value as f64).collect(),
            Values::Flags(values) => values[rows]
                .iter()
                .map(|&value| f64::from(u8::from(value)))
                .collect(),
            Values::Texts(_) => return Err("text, not numbers".into()),
        })
    }

    fn integers(&self, rows: Range<u64>) -> Result<Vec<i64>, StoreError> {
        let rows = rows.start as usize..rows.end as usize;
        Ok(match &self.values {
            Values::Integers(values) => values[rows].to_vec(),
            Values::Genes(entries) => entries[rows].iter().map(|entry| i64::from(entry.gene)).collect(),
            Values::Entries(entries, true) => entries[rows].iter().map(|entry| entry.value as i64).collect(),
            Values::Flags(values) => values[rows].iter().map(|&value| i64::from(value)).collect(),
            Values::Numbers(_) | Values::Entries(_, false) | Values::Texts(_) => {
                return Err("not integers".into());
            }
        })
    }

    fn texts(&self, max_bytes: usize) -> Result<Vec<String>, StoreError> {
        let Values::Texts(texts) = &self.values else {
            return Err("numbers, not text".into());
        };
        let bytes: usize = texts.iter().map(String::len).sum();
        if bytes > max_bytes {
            return Err(format!(
                "{bytes} bytes of text, more than the {max_bytes} left of the memory budget"
            )
            .into());
        }
        Ok(texts.to_vec())
    }
}
