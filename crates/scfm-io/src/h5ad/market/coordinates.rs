//! The MatrixMarket exchange format in its coordinate form: a line per value.
//!
//! ```text
//! %%MatrixMarket matrix coordinate integer general
//! % comments
//! 33538 2700 2286884        rows, columns, values
//! 31 1 4                    row, column, value; counted from 1
//! ```
//!
//! Source: Boisvert, Pozo, Remington, "The Matrix Market exchange formats", NISTIR 5935 (1996).

use std::path::Path;

use super::lines::{Lines, most_bytes};
use crate::Error;
use crate::h5ad::memory::Entry;

/// A MatrixMarket file whose header has been read.
pub(super) struct Coordinates {
    lines: Lines,
    /// Rows and columns.
    pub shape: [u64; 2],
    /// Number of values, as declared.
    pub n_values: u64,
    field: Field,
}

/// What a value is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Integer,
    Real,
    /// No value: what is listed is 1.
    Pattern,
}

/// Which side of the file is which, and where its features go.
pub(super) struct Target<'a> {
    /// Whether rows are genes and columns cells, as 10x Genomics writes.
    pub genes_by_cells: bool,
    /// The gene of each feature, `None` where it is left out.
    pub genes: &'a [Option<u32>],
}

impl Coordinates {
    /// Reads the header.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Line`].
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        const BANNER: &str = "%%MatrixMarket matrix coordinate, then integer, real or pattern, then general";
        let mut lines = Lines::open(path)?;
        let banner = lines
            .next()?
            .map(|line| String::from_utf8_lossy(line).to_lowercase())
            .unwrap_or_default();
        let words: Vec<&str> = banner.split_ascii_whitespace().collect();
        let ["%%matrixmarket", "matrix", "coordinate", field, "general"] = words[..] else {
            return Err(lines.wrong(quoted(banner.as_bytes()), BANNER));
        };
        let field = match field {
            "integer" => Field::Integer,
            "real" => Field::Real,
            "pattern" => Field::Pattern,
            _ => return Err(lines.wrong(quoted(banner.as_bytes()), BANNER)),
        };
        let size = loop {
            match lines.next()? {
                Some(line) if line.starts_with(b"%") || line.trim_ascii().is_empty() => {}
                Some(line) => break line.to_vec(),
                None => return Err(lines.wrong("the end of the file", "rows, columns and number of values")),
            }
        };
        let mut words = size
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        let sizes = [(); 3].map(|()| words.next().and_then(whole));
        let ([Some(rows), Some(columns), Some(n_values)], None) = (sizes, words.next()) else {
            return Err(lines.wrong(quoted(&size), "rows, columns and number of values"));
        };
        if rows.max(columns) >= u64::from(u32::MAX) {
            return Err(lines.wrong(
                format!("a matrix of {rows} × {columns}"),
                "less than 2³² rows and columns",
            ));
        }
        // The shortest line that holds a value is `1 1` with its end.
        let shortest = if field == Field::Pattern { 4 } else { 6 };
        let possible = most_bytes(path)?.saturating_add(1) / shortest;
        if n_values > possible {
            let expected = format!("at most {possible}, which is what a file of this size can hold");
            return Err(lines.wrong(format!("{n_values} values declared"), expected));
        }
        Ok(Self {
            lines,
            shape: [rows, columns],
            n_values,
            field,
        })
    }

    /// Whether values are whole numbers by declaration.
    pub(super) fn is_whole(&self) -> bool {
        self.field != Field::Real
    }

    /// All values, by cell; within a cell in the order of genes unless the file has them by cell already.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Line`].
    pub(super) fn read(mut self, target: &Target<'_>) -> Result<Vec<Entry>, Error> {
        let mut entries: Vec<Entry> = Vec::with_capacity(self.n_values as usize);
        let mut n_read = 0;
        let mut is_sorted = true;
        let [rows, columns] = self.shape;
        while let Some(line) = self.lines.next()? {
            let mut words = line
                .split(u8::is_ascii_whitespace)
                .filter(|word| !word.is_empty());
            let Some(first) = words.next() else {
                continue;
            };
            let (row, column) = (whole(first), words.next().and_then(whole));
            let value = match self.field {
                Field::Pattern => Some(1.0),
                Field::Integer => words.next().and_then(integer),
                Field::Real => words.next().and_then(real),
            };
            let (Some(row), Some(column), Some(value), None) = (row, column, value, words.next()) else {
                let found = quoted(line);
                return Err(self.lines.wrong(found, self.expected()));
            };
            for (what, index, bound) in [("row", row, rows), ("column", column, columns)] {
                if index == 0 || index > bound {
                    return Err(self
                        .lines
                        .wrong(format!("{what} {index}"), format!("a {what} from 1 to {bound}")));
                }
            }
            n_read += 1;
            if n_read > self.n_values {
                return Err(self.lines.wrong(
                    "one value more than declared",
                    format!("{} values, as the header says", self.n_values),
                ));
            }
            let (gene, cell) = if target.genes_by_cells {
                (row, column)
            } else {
                (column, row)
            };
            let Some(gene) = target.genes[gene as usize - 1] else {
                continue;
            };
            let cell = cell as u32 - 1;
            is_sorted &= entries.last().is_none_or(|last| last.cell <= cell);
            entries.push(Entry { cell, gene, value });
        }
        if n_read < self.n_values {
            let expected = format!("{} values, as the header says", self.n_values);
            return Err(self
                .lines
                .wrong(format!("the end of the file after {n_read} values"), expected));
        }
        if !is_sorted {
            entries.sort_unstable_by_key(|entry| (entry.cell, entry.gene));
        }
        entries.shrink_to_fit();
        Ok(entries)
    }

    fn expected(&self) -> &'static str {
        match self.field {
            Field::Pattern => "row and column",
            Field::Integer => "row, column and a whole number",
            Field::Real => "row, column and a number",
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.lines.path()
    }
}

fn whole(word: &[u8]) -> Option<u64> {
    // Written out, since going through text takes half the time of reading a matrix.
    if word.is_empty() || word.len() > 18 {
        return None;
    }
    word.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit()
            .then(|| number * 10 + u64::from(byte - b'0'))
    })
}

fn integer(word: &[u8]) -> Option<f64> {
    let (negative, digits) = match word.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, word),
    };
    let number = whole(digits)? as f64;
    Some(if negative { -number } else { number })
}

fn real(word: &[u8]) -> Option<f64> {
    match whole(word) {
        Some(number) => Some(number as f64),
        None => std::str::from_utf8(word).ok()?.parse().ok(),
    }
}

/// The start of a line for a message.
fn quoted(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(&line[..line.len().min(60)]).into_owned();
    format!("{text:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_the_standard_library_reads_them() {
        for word in ["0", "7", "16777216", "999999999999999999"] {
            assert_eq!(whole(word.as_bytes()), word.parse().ok(), "{word}");
            assert_eq!(real(word.as_bytes()), word.parse().ok(), "{word}");
            assert_eq!(
                integer(format!("-{word}").as_bytes()),
                word.parse::<f64>().ok().map(|n| -n)
            );
        }
        for word in ["1.5", "1e3", "-2.25", "1.37"] {
            assert_eq!(real(word.as_bytes()), word.parse().ok(), "{word}");
            assert_eq!((whole(word.as_bytes()), integer(word.as_bytes())), (None, None));
        }
        for word in ["", "x", "1x", "+", "-", "1000000000000000000000"] {
            assert_eq!(
                (whole(word.as_bytes()), integer(word.as_bytes())),
                (None, None),
                "{word}"
            );
        }
        assert!(real(b"nan").is_some_and(f64::is_nan));
    }
}
