use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};
use flate2::read::MultiGzDecoder;

use crate::Error;
use crate::network::{Lines, Mode};

/// How the lines of a reference file are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// TRRUST v2 as downloaded: TF, target, mode (`Activation`, `Repression`, `Unknown`), PubMed ids; tabs, no
    /// header.
    Trrust,
    /// A list of pairs separated by tab, comma, semicolon or space, whichever the first line has.
    ///
    /// With a header, columns are found by name: source (`source_genesymbol`, `source`, `tf`, `regulator`, `gene1`,
    /// `protein1`), target (likewise), mode (`mode`, `mor`, `effect`, `sign`) and weight (`weight`, `score`,
    /// `edgeweight`, `combined_score`); others are passed over. Without one the fields are source, target, mode and
    /// weight, of which the mode, the weight or both may be absent. A weight of 0 says that the pair is no edge.
    EdgeList,
}

/// More text than this is not a reference network: all of STRING for one species has 0.6 GiB.
const MAX_BYTES: usize = 1 << 30;
/// A line longer than this is not a line of pairs; TRRUST's longest list of publications has some 1,000 bytes.
const MAX_LINE: usize = 1 << 20;

const SOURCES: &[&str] = &[
    "source_genesymbol",
    "source",
    "tf",
    "regulator",
    "gene1",
    "protein1",
];
const TARGETS: &[&str] = &["target_genesymbol", "target", "gene2", "protein2"];
const MODES: &[&str] = &["mode", "mor", "effect", "sign"];
const WEIGHTS: &[&str] = &["weight", "score", "edgeweight", "combined_score"];

/// Reads all edges of `input`, which may be compressed; `path` stands in errors only.
pub(crate) fn read(path: &Path, mut input: impl BufRead, format: Format) -> Result<Lines, Error> {
    let start = input.fill_buf().map_err(|source| broken(path, source))?;
    if start.starts_with(&[0x1f, 0x8b]) {
        parse(path, BufReader::new(MultiGzDecoder::new(input)), format)
    } else {
        parse(path, input, format)
    }
}

fn parse(path: &Path, mut text: impl BufRead, format: Format) -> Result<Lines, Error> {
    let mut lines = Lines::default();
    let mut layout: Option<(Splitter, Columns)> = None;
    let mut bytes = Vec::new();
    let mut n_bytes = 0;
    for number in 1.. {
        bytes.clear();
        let length = text
            .by_ref()
            .take(MAX_LINE as u64)
            .read_until(b'\n', &mut bytes)
            .map_err(|source| broken(path, source))?;
        n_bytes += length;
        if length == 0 {
            break;
        }
        if length == MAX_LINE || n_bytes > MAX_BYTES {
            let (what, limit) = if length == MAX_LINE {
                ("line", MAX_LINE)
            } else {
                ("text", MAX_BYTES)
            };
            return Err(Error::TooLarge {
                path: path.to_owned(),
                line: number,
                what,
                limit,
            });
        }
        let line = std::str::from_utf8(&bytes).map_err(|_| Error::NotUtf8 {
            path: path.to_owned(),
            line: number,
        })?;
        let line = line.trim_start_matches('\u{feff}').trim_end_matches(['\n', '\r']);
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }

        let is_first = layout.is_none();
        let (splitter, columns) =
            layout.get_or_insert_with(|| (Splitter::new(format, line), Columns::Positions));
        let Some(fields) = splitter.split(line) else {
            return Err(Error::Quote {
                path: path.to_owned(),
                line: number,
            });
        };
        let line = Line { path, number, fields };
        if format == Format::Trrust {
            line.trrust(&mut lines)?;
        } else if let Some(header) = Columns::of_header(&line.fields).filter(|_| is_first) {
            *columns = header;
        } else {
            line.edge(*columns, &mut lines)?;
        }
    }
    if lines.is_empty() {
        return Err(Error::Empty {
            path: path.to_owned(),
        });
    }
    Ok(lines)
}

fn broken(path: &Path, source: std::io::Error) -> Error {
    Error::Read {
        path: path.to_owned(),
        source,
    }
}

/// Cuts lines into fields. Fed line by line, so that line numbers are true and a quote that is not closed ends
/// with its line instead of swallowing the file.
struct Splitter {
    reader: Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Splitter {
    fn new(format: Format, first_line: &str) -> Self {
        let delimiter = match format {
            Format::Trrust => b'\t',
            Format::EdgeList => *b"\t,; "
                .iter()
                .find(|&&d| first_line.trim().contains(char::from(d)))
                .unwrap_or(&b'\t'),
        };
        let reader = ReaderBuilder::new()
            .delimiter(delimiter)
            .quoting(format == Format::EdgeList)
            .terminator(Terminator::Any(b'\n'))
            .build();
        Self {
            reader,
            text: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// The trimmed fields of a line, which ends before its line break; `None` where a quote is not closed.
    /// Separators at the very end, which some tools write, open no field.
    fn split(&mut self, line: &str) -> Option<Vec<&str>> {
        self.reader.reset();
        self.text.resize(line.len() + 1, 0);
        self.ends.resize(line.len() + 2, 0);
        let (_, _, n_text, n_ends) = self
            .reader
            .read_record(line.as_bytes(), &mut self.text, &mut self.ends);
        let (result, _, n_last_text, n_last) =
            self.reader
                .read_record(b"\n", &mut self.text[n_text..], &mut self.ends[n_ends..]);
        if !matches!(result, ReadRecordResult::Record) {
            return None;
        }
        let text = std::str::from_utf8(&self.text[..n_text + n_last_text]).ok()?;
        let mut start = 0;
        let mut fields = Vec::with_capacity(n_ends + n_last);
        for &end in &self.ends[..n_ends + n_last] {
            fields.push(text[start..end].trim());
            start = end;
        }
        while fields.len() > 2 && fields.last() == Some(&"") {
            fields.pop();
        }
        Some(fields)
    }
}

/// Where an edge list keeps what.
#[derive(Clone, Copy)]
enum Columns {
    Positions,
    Named {
        source: usize,
        target: usize,
        mode: Option<usize>,
        weight: Option<usize>,
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
        Some(Self::Named {
            source: find(SOURCES)?,
            target: find(TARGETS)?,
            mode: find(MODES),
            weight: find(WEIGHTS),
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
            "Activation" => Mode::Activation,
            "Repression" => Mode::Repression,
            "Unknown" => Mode::Unknown,
            other => return Err(self.mode_error(other, "Activation, Repression or Unknown")),
        };
        lines.push(self.gene(0, "source")?, self.gene(1, "target")?, mode, None);
        Ok(())
    }

    fn edge(&self, columns: Columns, lines: &mut Lines) -> Result<(), Error> {
        match columns {
            Columns::Positions => {
                let (mode, weight) = match self.fields[..] {
                    [_, _] => (Mode::Unknown, None),
                    [_, _, number] if number.parse::<f64>().is_ok() => (Mode::Unknown, self.weight(number)?),
                    [_, _, mode] => (self.mode(mode)?, None),
                    [_, _, mode, weight] => (self.mode(mode)?, self.weight(weight)?),
                    _ => return Err(self.fields_error("source, target and at most a mode and a weight")),
                };
                lines.push(self.gene(0, "source")?, self.gene(1, "target")?, mode, weight);
            }
            Columns::Named {
                source,
                target,
                mode,
                weight,
            } => {
                let field = |column: Option<usize>| column.and_then(|c| self.fields.get(c)).copied();
                let mode = field(mode).map_or(Ok(Mode::Unknown), |field| self.mode(field))?;
                let weight = field(weight).map_or(Ok(None), |field| self.weight(field))?;
                lines.push(
                    self.gene(source, "source")?,
                    self.gene(target, "target")?,
                    mode,
                    weight,
                );
            }
        }
        Ok(())
    }

    fn gene(&self, column: usize, role: &'static str) -> Result<&str, Error> {
        match self.fields.get(column) {
            Some(gene) if !gene.is_empty() && !gene.contains(char::is_control) => Ok(gene),
            Some(gene) => Err(Error::Gene {
                path: self.path.to_owned(),
                line: self.number,
                role,
                found: gene.chars().take(40).collect(),
            }),
            None => Err(self.fields_error("the columns of the header")),
        }
    }

    fn mode(&self, field: &str) -> Result<Mode, Error> {
        if let Ok(sign) = field.parse::<f64>() {
            return Ok(match sign {
                s if s > 0.0 => Mode::Activation,
                s if s < 0.0 => Mode::Repression,
                _ => Mode::Unknown,
            });
        }
        Ok(match field.to_ascii_lowercase().as_str() {
            "activation" | "activates" | "activator" | "stimulation" | "up" | "+" => Mode::Activation,
            "repression" | "represses" | "repressor" | "inhibition" | "down" | "-" => Mode::Repression,
            "unknown" | "" | "na" | "none" | "?" => Mode::Unknown,
            _ => return Err(self.mode_error(field, "activation, repression, unknown or a sign")),
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
