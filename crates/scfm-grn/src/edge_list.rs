use std::io::BufRead;
use std::path::Path;

use crate::lines::{Splitter, each_line};
use crate::network::Lines;
use crate::{Error, Level, Modes};

/// How the lines of a reference file are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// TRRUST v2 as downloaded: TF, target, mode (`Activation`, `Repression`, `Unknown`), PubMed ids; tabs, no
    /// header.
    Trrust,
    /// A list of pairs separated by tab, comma, semicolon or space, whichever the first line has.
    ///
    /// With a header, columns are found by name: source (`source_genesymbol`, `source`, `tf`, `regulator`, `gene1`,
    /// `protein1`), target (likewise), mode (`mode`, `mor`, `effect`, `sign`, or OmniPath's `is_stimulation` and
    /// `is_inhibition`), weight (`weight`, `score`, `edgeweight`, `combined_score`) and DoRothEA's level of confidence
    /// (`confidence`, `level`, `dorothea_level`); others are passed over. Without one the fields are source, target, mode
    /// and weight, of which the mode, the weight or both may be absent. A weight of 0 says that the pair is no edge.
    EdgeList,
}

/// Names of the column of sources, in any case, the most telling first.
pub(crate) const SOURCES: &[&str] = &[
    "source_genesymbol",
    "source",
    "tf",
    "regulator",
    "regulators",
    "regulatorygene",
    "regulatory_gene",
    "gene1",
    "protein1",
    "from",
];
/// Names of the column of targets.
pub(crate) const TARGETS: &[&str] = &[
    "target_genesymbol",
    "target",
    "targets",
    "targetgene",
    "target_gene",
    "gene",
    "gene2",
    "protein2",
    "to",
];
const MODES: &[&str] = &["mode", "mor", "effect", "sign"];
/// OmniPath's two columns of modes.
const FLAGS: [&str; 2] = ["is_stimulation", "is_inhibition"];
const LEVELS: &[&str] = &["confidence", "level", "dorothea_level"];
const WEIGHTS: &[&str] = &["weight", "score", "edgeweight", "combined_score"];

/// Reads all edges of `input`, which may be compressed; `path` stands in errors only.
pub(crate) fn read(path: &Path, input: impl BufRead, format: Format) -> Result<Lines, Error> {
    let mut lines = Lines::default();
    let mut layout: Option<(Splitter, Columns)> = None;
    each_line(path, input, |number, line| {
        let is_first = layout.is_none();
        let (splitter, columns) = layout.get_or_insert_with(|| {
            let splitter = match format {
                Format::Trrust => Splitter::of_tabs(),
                Format::EdgeList => Splitter::of(line),
            };
            (splitter, Columns::Positions)
        });
        let Some(fields) = splitter.split(line) else {
            return Err(Error::Quote {
                path: path.to_owned(),
                line: number,
            });
        };
        let line = Line { path, number, fields };
        if format == Format::Trrust {
            line.trrust(&mut lines)
        } else if let Some(header) = Columns::of_header(&line.fields).filter(|_| is_first) {
            *columns = header;
            Ok(())
        } else {
            line.edge(*columns, &mut lines)
        }
    })?;
    if lines.is_empty() {
        return Err(Error::Empty {
            path: path.to_owned(),
            what: "edge",
        });
    }
    Ok(lines)
}

/// Where an edge list keeps what.
#[derive(Clone, Copy)]
enum Columns {
    Positions,
    Named {
        source: usize,
        target: usize,
        mode: Option<usize>,
        flags: Option<[usize; 2]>,
        weight: Option<usize>,
        level: Option<usize>,
    },
}

impl Columns {
    /// The columns of a header; `None` where the line does not name a source and a target, so that it is an edge.
    /// One of the two names alone makes no header: TF is also the symbol of transferrin.
    fn of_header(fields: &[&str]) -> Option<Self> {
        let find = |names: &[&str]| {
            names
                .iter()
                .find_map(|name| fields.iter().position(|field| field.eq_ignore_ascii_case(name)))
        };
        let flag = |name: &str| find(&[name]);
        Some(Self::Named {
            source: find(SOURCES)?,
            target: find(TARGETS)?,
            mode: find(MODES),
            flags: flag(FLAGS[0])
                .zip(flag(FLAGS[1]))
                .map(|(stimulation, inhibition)| [stimulation, inhibition]),
            weight: find(WEIGHTS),
            level: find(LEVELS),
        })
    }
}

struct Line<'a> {
    path: &'a Path,
    number: u64,
    fields: Vec<&'a str>,
}

impl Line<'_> {
    fn trrust(&self, lines: &mut Lines) -> Result<(), Error> {
        // PubMed ids may be missing, and an empty last field was cut.
        if !(3..=4).contains(&self.fields.len()) {
            return Err(self.fields_error("4 (TF, target, mode, PubMed ids, separated by tabs)"));
        }
        let mode = match self.fields[2] {
            "Activation" => Modes::ACTIVATION,
            "Repression" => Modes::REPRESSION,
            "Unknown" => Modes::UNKNOWN,
            other => return Err(self.mode_error(other, "Activation, Repression or Unknown")),
        };
        lines.push(self.gene(0, "source")?, self.gene(1, "target")?, mode, None, None);
        Ok(())
    }

    fn edge(&self, columns: Columns, lines: &mut Lines) -> Result<(), Error> {
        match columns {
            Columns::Positions => {
                let (mode, weight) = match self.fields[..] {
                    [_, _] => (Modes::UNKNOWN, None),
                    [_, _, number] if number.parse::<f64>().is_ok() => (Modes::UNKNOWN, self.weight(number)?),
                    [_, _, mode] => (self.mode(mode)?, None),
                    [_, _, mode, weight] => (self.mode(mode)?, self.weight(weight)?),
                    _ => return Err(self.fields_error("source, target and at most a mode and a weight")),
                };
                lines.push(
                    self.gene(0, "source")?,
                    self.gene(1, "target")?,
                    mode,
                    weight,
                    None,
                );
            }
            Columns::Named {
                source,
                target,
                mode,
                flags,
                weight,
                level,
            } => {
                let field = |column: Option<usize>| column.and_then(|c| self.fields.get(c)).copied();
                let mode = match (
                    field(mode),
                    flags.map(|flags| flags.map(|flag| field(Some(flag)))),
                ) {
                    (Some(mode), _) => self.mode(mode)?,
                    (None, Some([Some(stimulation), Some(inhibition)])) => {
                        self.flagged(stimulation, inhibition)?
                    }
                    _ => Modes::UNKNOWN,
                };
                let weight = field(weight).map_or(Ok(None), |field| self.weight(field))?;
                let level = field(level).map_or(Ok(None), |field| self.level(field))?;
                lines.push(
                    self.gene(source, "source")?,
                    self.gene(target, "target")?,
                    mode,
                    weight,
                    level,
                );
            }
        }
        Ok(())
    }

    fn gene(&self, column: usize, role: &'static str) -> Result<&str, Error> {
        match self.fields.get(column) {
            Some(gene) => crate::lines::gene(self.path, self.number, role, gene),
            None => Err(self.fields_error("the columns of the header")),
        }
    }

    fn mode(&self, field: &str) -> Result<Modes, Error> {
        if let Ok(sign) = field.parse::<f64>() {
            return Ok(match sign {
                s if s > 0.0 => Modes::ACTIVATION,
                s if s < 0.0 => Modes::REPRESSION,
                _ => Modes::UNKNOWN,
            });
        }
        Ok(match field.to_ascii_lowercase().as_str() {
            "activation" | "activates" | "activator" | "stimulation" | "up" | "+" => Modes::ACTIVATION,
            "repression" | "represses" | "repressor" | "inhibition" | "down" | "-" => Modes::REPRESSION,
            "unknown" | "" | "na" | "none" | "?" => Modes::UNKNOWN,
            _ => return Err(self.mode_error(field, "activation, repression, unknown or a sign")),
        })
    }

    /// Both flags may be set, where evidence disagrees; with neither the mode is unknown.
    fn flagged(&self, stimulation: &str, inhibition: &str) -> Result<Modes, Error> {
        let flag = |field: &str| match field.to_ascii_lowercase().as_str() {
            "1" | "true" => Ok(true),
            "0" | "false" | "" | "na" => Ok(false),
            _ => Err(self.mode_error(field, "1 or 0, true or false")),
        };
        let (activation, repression) = (flag(stimulation)?, flag(inhibition)?);
        Ok(Modes {
            activation,
            repression,
            unknown: !(activation || repression),
        })
    }

    fn level(&self, field: &str) -> Result<Option<Level>, Error> {
        Level::of_field(field).map_err(|()| Error::Level {
            path: self.path.to_owned(),
            line: self.number,
            found: field.chars().take(40).collect(),
        })
    }

    fn weight(&self, field: &str) -> Result<Option<f64>, Error> {
        if field.is_empty() || field.eq_ignore_ascii_case("na") {
            return Ok(None);
        }
        match field.parse::<f64>() {
            Ok(weight) if weight.is_finite() => Ok(Some(weight)),
            _ => Err(self.weight_error(field)),
        }
    }

    fn fields_error(&self, expected: &'static str) -> Error {
        Error::Fields {
            path: self.path.to_owned(),
            line: self.number,
            found: self.fields.len(),
            expected,
        }
    }

    fn mode_error(&self, found: &str, expected: &'static str) -> Error {
        Error::Mode {
            path: self.path.to_owned(),
            line: self.number,
            found: found.chars().take(40).collect(),
            expected,
        }
    }

    fn weight_error(&self, found: &str) -> Error {
        Error::Weight {
            path: self.path.to_owned(),
            line: self.number,
            found: found.chars().take(40).collect(),
        }
    }
}
