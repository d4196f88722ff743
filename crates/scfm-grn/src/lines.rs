use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};
use flate2::read::MultiGzDecoder;

use crate::Error;

/// More text than this is not a network: all of STRING for one species has 0.6 GiB.
const MAX_BYTES: usize = 1 << 30;
/// A line longer than this is not a line of pairs; TRRUST's longest list of publications has some 1,000 bytes.
const MAX_LINE: usize = 1 << 20;

/// Opens a file of lines; with it comes its name without the folders, which stands for it in words.
pub(crate) fn open(path: &Path) -> Result<(Cow<'_, str>, BufReader<File>), Error> {
    let file = File::open(path).map_err(|source| broken(path, source))?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    Ok((name, BufReader::new(file)))
}

/// Hands every line of `input`, which may be compressed, to `take` with its number, from 1; `path` stands in errors
/// only. A byte order mark and line breaks are cut off, empty lines and lines that open with `#` are passed over.
pub(crate) fn each_line(
    path: &Path,
    mut input: impl BufRead,
    take: impl FnMut(u64, &str) -> Result<(), Error>,
) -> Result<(), Error> {
    let start = input.fill_buf().map_err(|source| broken(path, source))?;
    if start.starts_with(&[0x1f, 0x8b]) {
        each_plain_line(path, BufReader::new(MultiGzDecoder::new(input)), take)
    } else {
        each_plain_line(path, input, take)
    }
}

fn each_plain_line(
    path: &Path,
    mut text: impl BufRead,
    mut take: impl FnMut(u64, &str) -> Result<(), Error>,
) -> Result<(), Error> {
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
        take(number, line)?;
    }
    Ok(())
}

pub(crate) fn broken(path: &Path, source: std::io::Error) -> Error {
    Error::Read {
        path: path.to_owned(),
        source,
    }
}

/// A field that names a gene: anything but nothing and control characters.
pub(crate) fn gene<'a>(path: &Path, line: u64, role: &'static str, field: &'a str) -> Result<&'a str, Error> {
    if !field.is_empty() && !field.contains(char::is_control) {
        return Ok(field);
    }
    Err(Error::Gene {
        path: path.to_owned(),
        line,
        role,
        found: field.chars().take(40).collect(),
    })
}

/// Cuts lines into fields. Fed line by line, so that line numbers are true and a quote that is not closed ends
/// with its line instead of swallowing the file.
pub(crate) struct Splitter {
    reader: Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Splitter {
    /// Fields between tabs, where quotes are text.
    pub(crate) fn of_tabs() -> Self {
        Self::new(b'\t', false)
    }

    /// Fields between tab, comma, semicolon or space, whichever of them, in this order, the first line has.
    pub(crate) fn of(first_line: &str) -> Self {
        let delimiter = b"\t,; "
            .iter()
            .find(|&&d| first_line.trim().contains(char::from(d)));
        Self::new(*delimiter.unwrap_or(&b'\t'), true)
    }

    fn new(delimiter: u8, quoting: bool) -> Self {
        let reader = ReaderBuilder::new()
            .delimiter(delimiter)
            .quoting(quoting)
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
    pub(crate) fn split(&mut self, line: &str) -> Option<Vec<&str>> {
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
