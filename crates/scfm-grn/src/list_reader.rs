//! From the text of a list of edges to its rows.

use std::collections::HashMap;
use std::io::BufRead;
use std::path::Path;

use scfm_core::{GeneId, Panel};

use crate::edge_list::{SOURCES, TARGETS};
use crate::lines::{Splitter, each_line};
use crate::{EdgeList, Error, ScoredEdge};

/// Names of the column of scores, in any case, the most telling first.
pub(crate) const SCORES: &[&str] = &[
    "score",
    "importance",
    "edgeweight",
    "weight",
    "edge_weight",
    "edge_score",
    "abs_score",
    "abs_weight",
    "abs",
    "attention",
    "correlation",
    "rho",
    "coefficient",
    "coef",
    "coef_mean",
    "coef_abs",
    "confidence",
    "probability",
    "value",
];

/// The score of every pair of a list that gives none.
const PRESENT: f64 = 1.0;

/// Reads a list as [`EdgeList::from_reader`] says; `path` stands in errors.
pub(crate) fn read(path: &Path, name: &str, input: impl BufRead) -> Result<EdgeList, Error> {
    let mut builder = Builder::default();
    let mut reading: Option<(Splitter, Columns, String)> = None;
    each_line(path, input, |number, line| {
        let is_first = reading.is_none();
        let (splitter, columns, layout) =
            reading.get_or_insert_with(|| (Splitter::of(line), Columns::FIRST, String::new()));
        let fields = splitter.split(line).ok_or_else(|| Error::Quote {
            path: path.to_owned(),
            line: number,
        })?;
        let row = Row {
            path,
            number,
            fields: &fields,
        };
        if is_first {
            let header;
            (*columns, header) = row.columns()?;
            *layout = columns.in_words(header.then_some(&fields));
            if header {
                return Ok(());
            }
        }
        // R writes row names without a name of their own: the rows have one field more than the header.
        if columns.n_named == Some(fields.len() - 1) && builder.edges.is_empty() && builder.n_unscored == 0 {
            if columns.score.is_none() && fields.last().is_some_and(|last| last.parse::<f64>().is_ok()) {
                return Err(row.too_long());
            }
            columns.shift();
        }
        let (source, target) = (
            row.gene(columns.source, "source")?,
            row.gene(columns.target, "target")?,
        );
        let score = match columns.score {
            Some(score) => row.score(score)?,
            None => Some(row.presence(*columns)?),
        };
        builder.push(source, target, score);
        Ok(())
    })?;
    let (layout, has_scores) = match reading {
        Some((_, columns, layout)) => (layout, columns.score.is_some()),
        None => (String::new(), true),
    };
    let mut list = builder.finish(path, name, layout)?;
    list.has_scores = has_scores;
    Ok(list)
}

/// Positions of source, target and score among the names of columns.
pub(crate) fn columns(names: &[&str]) -> Option<[usize; 3]> {
    let (source, target) = pair(names)?;
    // A column without a name is the index of pandas.
    let third = (names.len() == 3)
        .then(|| 3 - source - target)
        .filter(|&third| !names[third].is_empty());
    Some([source, target, find(names, SCORES).or(third)?])
}

fn pair(names: &[&str]) -> Option<(usize, usize)> {
    Some((find(names, SOURCES)?, find(names, TARGETS)?))
}

fn find(names: &[&str], wanted: &[&str]) -> Option<usize> {
    let named = |name: &&str| names.iter().position(|field| field.eq_ignore_ascii_case(name));
    wanted.iter().find_map(named)
}

/// A list in the making.
#[derive(Default)]
pub(crate) struct Builder {
    position: HashMap<String, usize>,
    genes: Vec<GeneId>,
    edges: Vec<ScoredEdge>,
    n_unscored: usize,
}

impl Builder {
    pub(crate) fn push(&mut self, source: &str, target: &str, score: Option<f64>) {
        let Some(score) = score.filter(|score| !score.is_nan()) else {
            self.n_unscored += 1;
            return;
        };
        let edge = ScoredEdge {
            source: self.intern(source),
            target: self.intern(target),
            score,
        };
        self.edges.push(edge);
    }

    fn intern(&mut self, gene: &str) -> usize {
        if let Some(&position) = self.position.get(gene) {
            return position;
        }
        self.genes.push(GeneId::from(gene));
        self.position.insert(gene.to_owned(), self.genes.len() - 1);
        self.genes.len() - 1
    }

    pub(crate) fn finish(self, path: &Path, name: &str, layout: String) -> Result<EdgeList, Error> {
        if self.edges.is_empty() {
            return Err(Error::Empty {
                path: path.to_owned(),
                what: "edge",
            });
        }
        Ok(EdgeList {
            name: name.to_owned(),
            genes: Panel::new(self.genes)?,
            edges: self.edges,
            layout,
            n_unscored: self.n_unscored,
            has_scores: true,
        })
    }
}

/// Where a list keeps what.
#[derive(Clone, Copy)]
struct Columns {
    source: usize,
    target: usize,
    /// Nowhere, where a list says of its pairs no more than that they are edges.
    score: Option<usize>,
    /// Number of columns that the header names, where there is one.
    n_named: Option<usize>,
}

impl Columns {
    const FIRST: Self = Self {
        source: 0,
        target: 1,
        score: Some(2),
        n_named: None,
    };

    /// The columns that a header names.
    fn named(names: &[&str]) -> Option<Self> {
        let n_named = Some(names.len());
        if let Some([source, target, score]) = columns(names) {
            return Some(Self {
                source,
                target,
                score: Some(score),
                n_named,
            });
        }
        // Of more columns, one with an unusual name may well be the score.
        let n_index = usize::from(names.first() == Some(&""));
        let pair = pair(names).filter(|_| names.len() - n_index == 2);
        let numbered = || Self::numbered(&names[n_index..]).map(|()| (n_index, n_index + 1));
        let (source, target) = pair.or_else(numbered)?;
        Some(Self {
            source,
            target,
            score: (names.len() - n_index == 3).then_some(n_index + 2),
            n_named,
        })
    }

    /// Pandas counts columns that have no name, as CausalBench's `output_network.csv` has them.
    fn numbered(names: &[&str]) -> Option<()> {
        let is_counted = names
            .iter()
            .zip(["0", "1", "2"])
            .all(|(name, number)| *name == number);
        ((2..=3).contains(&names.len()) && is_counted).then_some(())
    }

    fn shift(&mut self) {
        *self = Self {
            source: self.source + 1,
            target: self.target + 1,
            score: self.score.map(|score| score + 1),
            n_named: self.n_named.map(|n| n + 1),
        };
    }

    fn in_words(&self, header: Option<&Vec<&str>>) -> String {
        match (header, self.score) {
            (Some(names), Some(score)) => format!(
                "source = {}, target = {}, score = {}",
                names[self.source], names[self.target], names[score]
            ),
            (Some(names), None) => format!(
                "source = {}, target = {}, no scores",
                names[self.source], names[self.target]
            ),
            (None, Some(_)) => "no header: source, target, score".to_owned(),
            (None, None) => "no header: source, target; no scores".to_owned(),
        }
    }
}

struct Row<'a> {
    path: &'a Path,
    number: u64,
    fields: &'a [&'a str],
}

impl<'a> Row<'a> {
    /// The columns that this first line stands for, and whether it is a header.
    fn columns(&self) -> Result<(Columns, bool), Error> {
        if let Some(columns) = Columns::named(self.fields) {
            return Ok((columns, true));
        }
        match self.fields {
            [_, _, score, ..] if parse_score(score).is_some() => Ok((Columns::FIRST, false)),
            // A gene with a number is some other table.
            [source, target] if [source, target].iter().all(|gene| gene.parse::<f64>().is_err()) => {
                let unscored = Columns {
                    score: None,
                    ..Columns::FIRST
                };
                Ok((unscored, false))
            }
            _ => Err(self.header()),
        }
    }

    /// The score of a pair in a list that gives none.
    fn presence(&self, columns: Columns) -> Result<f64, Error> {
        let n_fields = columns.n_named.unwrap_or(2);
        if self.fields.len() == n_fields {
            Ok(PRESENT)
        } else {
            Err(self.too_long())
        }
    }

    fn gene(&self, column: usize, role: &'static str) -> Result<&'a str, Error> {
        match self.fields.get(column) {
            Some(gene) => crate::lines::gene(self.path, self.number, role, gene),
            None => Err(self.too_short()),
        }
    }

    fn score(&self, column: usize) -> Result<Option<f64>, Error> {
        let Some(field) = self.fields.get(column) else {
            // An empty last field was cut off with its separator.
            return if column == self.fields.len() {
                Ok(None)
            } else {
                Err(self.too_short())
            };
        };
        parse_score(field).ok_or_else(|| Error::Weight {
            path: self.path.to_owned(),
            line: self.number,
            found: field.chars().take(40).collect(),
        })
    }

    fn too_short(&self) -> Error {
        Error::Fields {
            path: self.path.to_owned(),
            line: self.number,
            found: self.fields.len(),
            expected: "a source, a target and a score as in the first line",
        }
    }

    fn too_long(&self) -> Error {
        Error::Fields {
            path: self.path.to_owned(),
            line: self.number,
            found: self.fields.len(),
            expected: "a source and a target, as many fields as in the first line",
        }
    }

    fn header(&self) -> Error {
        let shown: Vec<String> = self
            .fields
            .iter()
            .take(6)
            .map(|f| f.chars().take(30).collect())
            .collect();
        Error::Header {
            path: self.path.to_owned(),
            line: self.number,
            found: shown.join(", "),
        }
    }
}

/// A score, `Some(None)` where the field says that there is none, `None` where it is no number.
fn parse_score(field: &str) -> Option<Option<f64>> {
    if ["", "na", "nan", "null", "none"].contains(&field.to_ascii_lowercase().as_str()) {
        return Some(None);
    }
    field
        .parse::<f64>()
        .ok()
        .filter(|score| score.is_finite())
        .map(Some)
}
