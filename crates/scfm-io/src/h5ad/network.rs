//! Networks that an h5ad file holds beside its cells: tables of pairs in `uns`, matrices of genes × genes in `varp`.

use std::collections::HashMap;

use super::frame::{FrameColumn, encoding_type, read_column};
use super::matrix::{Layout, check_indptr, sparse, window_of};
use super::store::{Array, Element, Node, Source};
use super::{Frame, H5ad};
use crate::{EdgeRows, Error};

/// Dictionaries in `uns` are looked into so deep: `uns/celloracle/links`.
const DEPTH: usize = 2;
/// Bytes of a pair as it is kept.
const BYTES_PER_PAIR: u64 = size_of::<(u32, u32, Option<f64>)>() as u64;

/// Which side of a matrix of genes × genes regulates the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Regulators {
    /// Rows are regulators, columns their targets.
    #[default]
    Rows,
    /// Columns are regulators, rows their targets.
    Columns,
}

impl H5ad {
    /// Where the file holds networks: tables anywhere in `uns` among whose columns `choose` finds source, target and
    /// score, then the matrices of `varp`.
    ///
    /// Tables are dataframes, arrays of records, and dictionaries of columns. No value is read.
    ///
    /// # Errors
    /// [`Error::Hdf5`] where the file cannot be read.
    pub fn networks(&self, choose: impl Fn(&[&str]) -> Option<[usize; 3]>) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        let mut level = self.paths_in("uns")?;
        for depth in 1..=DEPTH {
            let mut next = Vec::new();
            for path in level {
                let names = table_columns(&self.source, &path)?;
                let names: Option<Vec<&str>> = names.as_ref().map(|n| n.iter().map(String::as_str).collect());
                if names.is_some_and(|names| choose(&names).is_some()) {
                    found.push(path);
                } else if depth < DEPTH && self.source.node(&path)? == Some(Node::Group) {
                    next.extend(self.paths_in(&path)?);
                }
            }
            level = next;
        }
        found.sort();
        found.extend(self.paths_in("varp")?);
        Ok(found)
    }

    /// The scored pairs of the network at a path such as `uns/grn` or `varp/GRN`.
    ///
    /// Of a table, `choose` finds the columns of sources, targets and scores; scores may be numbers or, as in the
    /// predictions of OpenProblems, text. Of a matrix, `regulators` says which side is which, and genes are named by the
    /// index of `var` or by the column `names` of it. A dense matrix scores every pair, a sparse one those that are
    /// stored; `NaN` is no score.
    ///
    /// # Errors
    /// [`Error::Missing`] where there is no such object, with what [`H5ad::networks`] finds; [`Error::Encoding`] where it
    /// is no network; [`Error::Value`] for a gene without a name or a score that is no finite number;
    /// [`Error::TooLarge`], checked before anything is read, where its pairs do not fit the memory budget; else those of a
    /// broken table or matrix.
    pub fn network(
        &self,
        path: &str,
        choose: impl Fn(&[&str]) -> Option<[usize; 3]>,
        regulators: Regulators,
        names: Option<&str>,
    ) -> Result<EdgeRows, Error> {
        let is_inside = ["uns/", "varp/"].iter().any(|group| path.starts_with(group));
        if !is_inside || !self.source.has(path)? {
            return Err(Error::Missing {
                path: self.source.path.clone(),
                object: path.to_owned(),
                available: self.networks(choose)?,
            });
        }
        if path.starts_with("varp/") {
            return self.network_matrix(path, regulators, names);
        }
        let columns = table_columns(&self.source, path)?.unwrap_or_default();
        let refs: Vec<&str> = columns.iter().map(String::as_str).collect();
        let Some(chosen) = choose(&refs) else {
            let found = match columns.is_empty() {
                true => "something else than a table".to_owned(),
                false => format!("a table of {}", columns.join(", ")),
            };
            let expected = "a table with a source, a target and a score, as source, target, weight";
            return Err(self.source.encoding(path, found, expected));
        };
        self.network_table(path, chosen.map(|column| columns[column].clone()))
    }

    fn network_table(&self, path: &str, columns: [String; 3]) -> Result<EdgeRows, Error> {
        let is_frame = self.source.node(path)? == Some(Node::Group) && has_index(&self.source, path)?;
        let frame = match is_frame {
            true => Some(Frame::open(&self.source, path)?),
            false => None,
        };
        let column = |name: &String| match &frame {
            Some(frame) => frame.column(name),
            None => read_column(&self.source, &format!("{path}/{name}")),
        };
        let [source, target, score] = &columns;
        let (sources, targets, scores) = (column(source)?, column(target)?, column(score)?);
        for (name, other) in [(target, &targets), (score, &scores)] {
            if other.len() != sources.len() {
                let object = format!("{path}/{name}");
                return Err(self
                    .source
                    .length(&object, other.len() as u64, sources.len() as u64));
            }
        }
        self.source
            .afford(path, BYTES_PER_PAIR.saturating_mul(sources.len() as u64))?;
        let scores = self.numbers(&format!("{path}/{score}"), scores)?;
        let mut genes = Genes::default();
        let mut sides = Vec::new();
        for (name, column) in [(source, sources), (target, targets)] {
            sides.push(self.positions(&format!("{path}/{name}"), column, &mut genes)?);
        }
        let rows = sides[0].iter().zip(&sides[1]).zip(scores);
        Ok(EdgeRows {
            rows: rows
                .map(|((&source, &target), score)| (source, target, score))
                .collect(),
            genes: genes.in_order,
            columns,
            metadata: Vec::new(),
        })
    }

    /// Scores of a column; `None` where one is missing.
    fn numbers(&self, object: &str, column: FrameColumn) -> Result<Vec<Option<f64>>, Error> {
        let parsed = |(row, text): (usize, Option<&str>)| {
            let Some(text) = text.map(str::trim) else {
                return Ok(None);
            };
            if ["", "na", "nan", "none", "null"].contains(&text.to_ascii_lowercase().as_str()) {
                return Ok(None);
            }
            match text.parse::<f64>() {
                Ok(score) if score.is_finite() => Ok(Some(score)),
                _ => Err(self.value(object, format!("row {row}"), text, "a finite number")),
            }
        };
        match column {
            FrameColumn::Number(scores) => {
                let checked = |(row, score): (usize, f64)| match score {
                    _ if score.is_infinite() => Err(self.value(
                        object,
                        format!("row {row}"),
                        &score.to_string(),
                        "a finite number",
                    )),
                    _ => Ok(Some(score).filter(|score| !score.is_nan())),
                };
                scores.into_iter().enumerate().map(checked).collect()
            }
            FrameColumn::Text(texts) => texts
                .iter()
                .map(Option::as_deref)
                .enumerate()
                .map(parsed)
                .collect(),
            FrameColumn::Categorical { codes, categories } => {
                let scores: Vec<Option<f64>> = categories
                    .iter()
                    .map(|category| Some(category.as_str()))
                    .enumerate()
                    .map(parsed)
                    .collect::<Result<_, _>>()?;
                Ok(codes
                    .iter()
                    .map(|code| code.and_then(|code| scores[code as usize]))
                    .collect())
            }
            other @ FrameColumn::Bool(_) => {
                Err(self
                    .source
                    .encoding(object, format!("{} values", other.kind()), "scores"))
            }
        }
    }

    /// Positions of the genes of a column in `genes`, which learns those that it does not know.
    fn positions(&self, object: &str, column: FrameColumn, genes: &mut Genes) -> Result<Vec<u32>, Error> {
        let nameless = |row: usize| self.value(object, format!("row {row}"), "", "the name of a gene");
        match column {
            FrameColumn::Categorical { codes, categories } => {
                // Only categories that have a row are genes of the network.
                let mut known = vec![None; categories.len()];
                let position = |(row, code): (usize, &Option<u32>)| {
                    let code = code.ok_or_else(|| nameless(row))? as usize;
                    let name = &categories[code];
                    if name.trim().is_empty() {
                        return Err(nameless(row));
                    }
                    Ok(*known[code].get_or_insert_with(|| genes.intern(name)))
                };
                codes.iter().enumerate().map(position).collect()
            }
            other => other
                .labels()
                .into_iter()
                .enumerate()
                .map(|(row, label)| match label {
                    Some(name) if !name.trim().is_empty() => Ok(genes.intern(&name)),
                    _ => Err(nameless(row)),
                })
                .collect(),
        }
    }

    fn network_matrix(
        &self,
        path: &str,
        regulators: Regulators,
        names: Option<&str>,
    ) -> Result<EdgeRows, Error> {
        let source = &self.source;
        let (layout, shape) = match source.node(path)? {
            Some(Node::Group) => sparse(source, path)?,
            _ => {
                let array = source.array(path)?;
                let shape = array.shape().to_vec();
                (Layout::Dense(array), shape)
            }
        };
        let n = self.n_genes as u64;
        if shape != [n, n] {
            let found = format!("an array of shape {shape:?}");
            let expected =
                "one number for each pair of the file's genes, averaged over heads where there are any";
            return Err(source.encoding(path, found, expected));
        }
        let n_pairs = match &layout {
            Layout::Dense(_) => n.saturating_mul(n),
            Layout::Sparse { data, .. } => data.n_values(),
        };
        source.afford(path, n_pairs.saturating_mul(BYTES_PER_PAIR))?;

        let var = Frame::open(source, "var")?;
        let labels: Vec<Option<String>> = match names {
            Some(column) => var.column(column)?.labels(),
            None => var.index()?.into_iter().map(Some).collect(),
        };
        let object = names.map_or_else(|| "var".to_owned(), |column| format!("var/{column}"));
        let mut genes = Genes::default();
        let position = self.positions(&object, FrameColumn::Text(labels), &mut genes)?;

        let mut rows = Vec::new();
        let mut add = |row: usize, column: usize, score: f64| {
            let (regulator, target) = match regulators {
                Regulators::Rows => (row, column),
                Regulators::Columns => (column, row),
            };
            if score.is_infinite() {
                let place = format!("row {row}, column {column}");
                return Err(self.value(path, place, &score.to_string(), "a finite number"));
            }
            let score = Some(score).filter(|score| !score.is_nan());
            rows.push((position[regulator], position[target], score));
            Ok(())
        };
        match layout {
            Layout::Dense(array) => each_dense(&array, n, &mut add)?,
            Layout::Sparse {
                by_cell,
                indptr,
                indices,
                data,
            } => {
                check_indptr(source, &format!("{path}/indptr"), &indptr, n, data.n_rows())?;
                if indices.n_rows() != data.n_rows() {
                    return Err(source.length(&indices.path, indices.n_rows(), data.n_rows()));
                }
                self.each_stored(&indptr, &indices, &data, |outer, inner, score| match by_cell {
                    true => add(outer, inner, score),
                    false => add(inner, outer, score),
                })?;
            }
        }
        let (source_side, target_side) = match regulators {
            Regulators::Rows => ("rows", "columns"),
            Regulators::Columns => ("columns", "rows"),
        };
        let named = names.map_or_else(String::new, |column| format!(" by var/{column}"));
        Ok(EdgeRows {
            genes: genes.in_order,
            rows,
            columns: [
                format!("{source_side} of {path}{named}"),
                format!("its {target_side}"),
                "its values".to_owned(),
            ],
            metadata: Vec::new(),
        })
    }

    /// Every stored entry of a sparse matrix, a window at a time.
    fn each_stored(
        &self,
        indptr: &[u64],
        indices: &Array<'_>,
        data: &Array<'_>,
        mut add: impl FnMut(usize, usize, f64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (n_entries, window) = (data.n_rows(), window_of(data));
        let mut outer = 0;
        for start in (0..n_entries).step_by(window as usize) {
            let entries = start..n_entries.min(start.saturating_add(window));
            let (inner, scores) = (indices.integers(entries.clone())?, data.numbers(entries)?);
            for (at, (&inner, &score)) in (start..).zip(inner.iter().zip(&scores)) {
                while indptr[outer + 1] <= at {
                    outer += 1;
                }
                if inner < 0 || inner >= self.n_genes as i64 {
                    return Err(Error::OutOfRange {
                        path: self.source.path.clone(),
                        object: indices.path.clone(),
                        at,
                        found: inner,
                        bound: self.n_genes as u64,
                    });
                }
                add(outer, inner as usize, score)?;
            }
        }
        Ok(())
    }

    fn paths_in(&self, group: &str) -> Result<Vec<String>, Error> {
        let names = self.children_of(group)?;
        Ok(names.into_iter().map(|name| format!("{group}/{name}")).collect())
    }

    fn value(&self, object: &str, place: String, found: &str, expected: &'static str) -> Error {
        Error::Value {
            path: self.source.path.clone(),
            object: object.to_owned(),
            place: place.into(),
            found: found.chars().take(40).collect(),
            expected,
        }
    }
}

/// Every entry of a dense matrix of n × n, some rows at a time.
fn each_dense(
    array: &Array<'_>,
    n: u64,
    mut add: impl FnMut(usize, usize, f64) -> Result<(), Error>,
) -> Result<(), Error> {
    let at_once = (window_of(array) / n.max(1)).max(1);
    for start in (0..n).step_by(at_once as usize) {
        let values = array.numbers(start..n.min(start + at_once))?;
        for (at, score) in values.into_iter().enumerate() {
            add(start as usize + at / n as usize, at % n as usize, score)?;
        }
    }
    Ok(())
}

/// The columns of what may be a table: a dataframe, an array of records, a dictionary of columns.
fn table_columns(source: &Source, path: &str) -> Result<Option<Vec<String>>, Error> {
    match source.node(path)? {
        Some(Node::Dataset) => Ok(match source.array(path)?.dataset.element() {
            Element::Record { fields } => Some(fields.clone()),
            _ => None,
        }),
        Some(Node::Group) if has_index(source, path)? => {
            Ok(Some(Frame::open(source, path)?.columns().to_vec()))
        }
        Some(Node::Group) => match encoding_type(source, path)?.as_deref() {
            None | Some("dict") => source.children(path).map(Some),
            Some(_) => Ok(None),
        },
        None => Ok(None),
    }
}

/// Whether a group is a dataframe.
fn has_index(source: &Source, path: &str) -> Result<bool, Error> {
    Ok(source.attributes(path)?.contains_key("_index"))
}

/// Genes in the order of their first appearance.
#[derive(Default)]
struct Genes {
    in_order: Vec<String>,
    position: HashMap<String, u32>,
}

impl Genes {
    fn intern(&mut self, name: &str) -> u32 {
        let name = name.trim();
        if let Some(&position) = self.position.get(name) {
            return position;
        }
        let position = self.in_order.len() as u32;
        self.in_order.push(name.to_owned());
        self.position.insert(name.to_owned(), position);
        position
    }
}
