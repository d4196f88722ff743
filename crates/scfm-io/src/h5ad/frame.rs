use std::collections::HashMap;

use super::store::{Array, Attribute, Element, Node, Source};
use crate::Error;

/// A dataframe of an h5ad file: `obs`, a row per cell, or `var`, a row per gene.
pub struct Frame<'a> {
    source: &'a Source,
    path: String,
    index: String,
    columns: Vec<String>,
    n_rows: u64,
    is_records: bool,
}

/// The values of one dataframe column.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum FrameColumn {
    /// Categories, and for each row the number of its category.
    Categorical {
        /// `None` where the value is missing.
        codes: Vec<Option<u32>>,
        /// The categories in the file's order; numbers as text.
        categories: Vec<String>,
    },
    /// Text, `None` where it is missing.
    Text(Vec<Option<String>>),
    /// Numbers, `NaN` where the value is missing.
    Number(Vec<f64>),
    /// Truth values, `None` where the value is missing.
    Bool(Vec<Option<bool>>),
}

impl FrameColumn {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Categorical { codes, .. } => codes.len(),
            Self::Text(values) => values.len(),
            Self::Number(values) => values.len(),
            Self::Bool(values) => values.len(),
        }
    }

    /// Whether the column has no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The column's kind in a word: `categorical`, `text`, `number`, `bool`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Categorical { .. } => "categorical",
            Self::Text(_) => "text",
            Self::Number(_) => "number",
            Self::Bool(_) => "bool",
        }
    }

    /// Each row's value as text, `None` where it is missing.
    pub fn labels(&self) -> Vec<Option<String>> {
        match self {
            Self::Categorical { codes, categories } => codes
                .iter()
                .map(|code| code.map(|code| categories[code as usize].clone()))
                .collect(),
            Self::Text(values) => values.clone(),
            Self::Number(values) => values
                .iter()
                .map(|value| (!value.is_nan()).then(|| value.to_string()))
                .collect(),
            Self::Bool(values) => values.iter().map(|value| value.map(|v| v.to_string())).collect(),
        }
    }

    /// How many rows have each value, the most frequent first, equally frequent ones by name; missing values are
    /// not counted, categories without a row are left out.
    pub fn value_counts(&self) -> Vec<(String, usize)> {
        let mut counts = HashMap::new();
        for label in self.labels().into_iter().flatten() {
            *counts.entry(label).or_insert(0) += 1;
        }
        let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
        counts.sort_unstable_by(|(a, n), (b, m)| m.cmp(n).then_with(|| a.cmp(b)));
        counts
    }
}

/// What [`super::H5ad::summary`] says of one column without reading its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnSummary {
    /// The column's name.
    pub name: String,
    /// How it is stored: `categorical (27 categories)`, `string`, `f64`, `bool`, `nullable-integer`.
    pub stored: String,
}

impl ColumnSummary {
    /// Whether the column holds labels rather than numbers or truth values.
    pub fn holds_text(&self) -> bool {
        ["categorical", "string", "nullable-string-array"]
            .iter()
            .any(|kind| self.stored.starts_with(kind))
    }
}

impl<'a> Frame<'a> {
    pub(super) fn open(source: &'a Source, path: &str) -> Result<Self, Error> {
        match source.node(path)? {
            Some(Node::Group) => {}
            Some(Node::Dataset) => return Self::of_records(source, path),
            None => return Err(source.missing(path)),
        }
        let mut attributes = source.attributes(path)?;
        let Some(Attribute::Text(index)) = attributes.remove("_index") else {
            return Err(source.encoding(path, "a group without the attribute _index", "a dataframe"));
        };
        let index = index.into_iter().next().unwrap_or_default();
        let columns = match attributes.remove("column-order") {
            Some(Attribute::Text(columns)) => columns,
            // An empty list is written as an empty array of floats.
            _ => Vec::new(),
        };
        let mut frame = Self {
            source,
            path: path.to_owned(),
            index,
            columns,
            n_rows: 0,
            is_records: false,
        };
        frame.n_rows = frame.stored_rows()?;
        Ok(frame)
    }

    /// The layout before anndata 0.7: one dataset of records, the index among its fields.
    fn of_records(source: &'a Source, path: &str) -> Result<Self, Error> {
        let table = source.array(path)?;
        let Element::Record { fields } = table.dataset.element() else {
            let found = format!("an array of {}", table.dataset.element().name());
            return Err(source.encoding(path, found, "a dataframe"));
        };
        let mut columns = fields.clone();
        // pandas calls the index so where it has no name of its own; else it comes first.
        let index = columns.iter().position(|name| name == "index").unwrap_or(0);
        if table.shape().len() != 1 || columns.is_empty() {
            let found = format!("records of {} fields in shape {:?}", columns.len(), table.shape());
            return Err(source.encoding(path, found, "one record per row"));
        }
        Ok(Self {
            source,
            path: path.to_owned(),
            index: columns.remove(index),
            columns,
            n_rows: table.n_rows(),
            is_records: true,
        })
    }

    /// Names of the columns in the file's order, without the index.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows as usize
    }

    /// Names of the rows: cells of `obs`, genes of `var`; an empty name where one is missing.
    ///
    /// # Errors
    /// [`Error::Hdf5`], [`Error::Encoding`], [`Error::TooLarge`] where it cannot be read.
    pub fn index(&self) -> Result<Vec<String>, Error> {
        let labels = self.read(&self.index)?.labels();
        Ok(labels.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// A column by name.
    ///
    /// # Errors
    /// [`Error::Missing`] with the names of the columns there are; [`Error::Hdf5`], [`Error::Encoding`],
    /// [`Error::OutOfRange`], [`Error::Length`], [`Error::TooLarge`] where it cannot be read.
    pub fn column(&self, name: &str) -> Result<FrameColumn, Error> {
        if !self.columns.iter().any(|column| column == name) {
            return Err(Error::Missing {
                path: self.source.path.clone(),
                object: format!("{}/{name}", self.path),
                available: self.columns.clone(),
            });
        }
        self.read(name)
    }

    pub(super) fn summary(&self) -> Result<Vec<ColumnSummary>, Error> {
        let describe = |name: &String| {
            let path = self.at(name);
            let stored = match self.source.node(&path)? {
                Some(Node::Group) => {
                    let encoding = encoding_type(self.source, &path)?.unwrap_or_else(|| "a group".to_owned());
                    match encoding.as_str() {
                        "categorical" => self.categorical(&format!("{path}/categories"))?,
                        _ => encoding,
                    }
                }
                Some(Node::Dataset) => match self.legacy_categories(name)? {
                    Some(categories) => self.categorical(&categories)?,
                    None => self.source.array(&path)?.dataset.element().name().to_owned(),
                },
                None => "missing".to_owned(),
            };
            Ok(ColumnSummary {
                name: name.clone(),
                stored,
            })
        };
        self.columns.iter().map(describe).collect()
    }

    fn categorical(&self, categories: &str) -> Result<String, Error> {
        let n = match self.source.node(categories)? {
            Some(Node::Group) => self.source.array(&format!("{categories}/values"))?.n_rows(),
            _ => self.source.array(categories)?.n_rows(),
        };
        Ok(format!("categorical ({n} categories)"))
    }

    fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    /// Where anndata before 0.8 kept the categories of a column, if it has any: beside the columns, and before 0.7 in
    /// `uns`. Names with a slash never had any.
    fn legacy_categories(&self, name: &str) -> Result<Option<String>, Error> {
        let path = match self.is_records {
            true => format!("uns/{name}_categories"),
            false => format!("{}/__categories/{name}", self.path),
        };
        if name.contains('/') || !self.source.has(&path)? {
            return Ok(None);
        }
        // Another column of the same name, in the other table, may be the one that has categories.
        let codes = self.source.array(&self.at(name))?;
        let has_codes = matches!(codes.dataset.element(), Element::Integer { .. });
        Ok(has_codes.then_some(path))
    }

    fn stored_rows(&self) -> Result<u64, Error> {
        let path = self.at(&self.index);
        let values = match self.source.node(&path)? {
            Some(Node::Group) if self.source.has(&format!("{path}/codes"))? => format!("{path}/codes"),
            Some(Node::Group) => format!("{path}/values"),
            _ => path,
        };
        Ok(self.source.array(&values)?.n_rows())
    }

    fn read(&self, name: &str) -> Result<FrameColumn, Error> {
        let path = self.at(name);
        let column = match self.legacy_categories(name)? {
            Some(categories) => categorical_column(self.source, &path, &categories)?,
            None => read_column(self.source, &path)?,
        };
        if column.len() as u64 == self.n_rows {
            Ok(column)
        } else {
            Err(self.source.length(&path, column.len() as u64, self.n_rows))
        }
    }
}

pub(super) fn read_column(source: &Source, path: &str) -> Result<FrameColumn, Error> {
    if source.node(path)? != Some(Node::Group) {
        return read_array(source, path);
    }
    match encoding_type(source, path)?.as_deref() {
        Some("categorical") => {
            categorical_column(source, &format!("{path}/codes"), &format!("{path}/categories"))
        }
        Some("nullable-integer" | "nullable-boolean" | "nullable-string-array") => {
            nullable_column(source, path)
        }
        found => Err(source.encoding(
            path,
            found.unwrap_or("a group without the attribute encoding-type"),
            "a categorical, nullable-integer, nullable-boolean or nullable-string-array column",
        )),
    }
}

fn read_array(source: &Source, path: &str) -> Result<FrameColumn, Error> {
    let array = source.array(path)?;
    if array.shape().len() != 1 {
        return Err(source.encoding(
            path,
            format!("an array of shape {:?}", array.shape()),
            "one value per row",
        ));
    }
    flat(&array)
}

/// All values of an array, whatever its shape.
fn flat(array: &Array<'_>) -> Result<FrameColumn, Error> {
    match array.dataset.element() {
        Element::Text => Ok(FrameColumn::Text(array.texts()?.into_iter().map(Some).collect())),
        Element::Bool => {
            let flags = array.integers(0..array.n_rows())?;
            Ok(FrameColumn::Bool(
                flags.into_iter().map(|flag| Some(flag != 0)).collect(),
            ))
        }
        _ => Ok(FrameColumn::Number(array.numbers(0..array.n_rows())?)),
    }
}

fn categorical_column(source: &Source, codes: &str, categories: &str) -> Result<FrameColumn, Error> {
    let labels = categories_of(source, categories)?.labels();
    let categories: Vec<String> = labels.into_iter().map(Option::unwrap_or_default).collect();
    let array = source.array(codes)?;
    let code = |(at, code): (usize, i64)| match code {
        -1 => Ok(None),
        _ if (0..categories.len() as i64).contains(&code) => Ok(Some(code as u32)),
        _ => Err(Error::OutOfRange {
            path: source.path.clone(),
            object: codes.to_owned(),
            at: at as u64,
            found: code,
            bound: categories.len() as u64,
        }),
    };
    let codes = array
        .integers(0..array.n_rows())?
        .into_iter()
        .enumerate()
        .map(code)
        .collect::<Result<_, _>>()?;
    Ok(FrameColumn::Categorical { codes, categories })
}

/// The categories of a column: plain values or values with a mask. Categories that have categories are refused, since
/// a group that is its own child would have them without end.
fn categories_of(source: &Source, path: &str) -> Result<FrameColumn, Error> {
    match source.node(path)? {
        Some(Node::Group) => nullable_column(source, path),
        _ => {
            let array = source.array(path)?;
            // A single category was once written as a single value.
            if array.shape().is_empty() {
                flat(&array)
            } else {
                read_array(source, path)
            }
        }
    }
}

/// Values with a mask that is true where a value is missing.
fn nullable_column(source: &Source, path: &str) -> Result<FrameColumn, Error> {
    let values = read_array(source, &format!("{path}/values"))?;
    let mask_path = format!("{path}/mask");
    let mask = source.array(&mask_path)?;
    let mask = mask.integers(0..mask.n_rows())?;
    if mask.len() != values.len() {
        return Err(source.length(&mask_path, mask.len() as u64, values.len() as u64));
    }
    let missing = mask.iter().map(|&flag| flag != 0);
    Ok(match values {
        FrameColumn::Text(values) => FrameColumn::Text(
            values
                .into_iter()
                .zip(missing)
                .map(|(v, gone)| v.filter(|_| !gone))
                .collect(),
        ),
        FrameColumn::Bool(values) => FrameColumn::Bool(
            values
                .into_iter()
                .zip(missing)
                .map(|(v, gone)| v.filter(|_| !gone))
                .collect(),
        ),
        FrameColumn::Number(values) => {
            let number = |(value, gone)| if gone { f64::NAN } else { value };
            FrameColumn::Number(values.into_iter().zip(missing).map(number).collect())
        }
        categorical @ FrameColumn::Categorical { .. } => categorical,
    })
}

pub(super) fn encoding_type(source: &Source, path: &str) -> Result<Option<String>, Error> {
    Ok(match source.attributes(path)?.remove("encoding-type") {
        Some(Attribute::Text(mut names)) => names.pop(),
        _ => None,
    })
}
