//! Lines of a text file that may be compressed and may be hostile.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::Error;

/// Bytes of the longest line that a table or matrix has any reason to hold.
const LONGEST: u64 = 1 << 16;

/// The content of a file, inflated where it begins as gzip does.
pub(super) fn inflated(path: &Path) -> Result<Box<dyn BufRead + Send>, Error> {
    let reading = Error::reading(path);
    let mut file = BufReader::with_capacity(1 << 17, File::open(path).map_err(&reading)?);
    let is_gzip = file.fill_buf().map_err(&reading)?.starts_with(&[0x1f, 0x8b]);
    Ok(if is_gzip {
        Box::new(BufReader::with_capacity(1 << 17, MultiGzDecoder::new(file)))
    } else {
        Box::new(file)
    })
}

/// A file line by line, with the number of each.
pub(super) struct Lines {
    reader: Box<dyn BufRead + Send>,
    path: PathBuf,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self {
            reader: inflated(path)?,
            path: path.to_owned(),
            line: Vec::new(),
            number: 0,
        })
    }

    /// The next line without its end, `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, Error> {
        self.line.clear();
        let read = self
            .reader
            .by_ref()
            .take(LONGEST + 1)
            .read_until(b'\n', &mut self.line);
        if read.map_err(Error::reading(&self.path))? == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.line.len() as u64 > LONGEST {
            return Err(self.wrong(
                format!("a line of more than {LONGEST} bytes"),
                "a table or matrix of text",
            ));
        }
        let mut line = self.line.as_slice();
        line = line.strip_suffix(b"\n").unwrap_or(line);
        line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.number == 1 {
            // Spreadsheets write a byte order mark.
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        Ok(Some(line))
    }

    /// The error that the line read last is not what it should be.
    pub(super) fn wrong(&self, found: impl Into<String>, expected: impl Into<String>) -> Error {
        Error::Line {
            path: self.path.clone(),
            line: self.number,
            found: found.into(),
            expected: expected.into(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Bytes on disk, and the most that they can inflate to: deflate reaches 1032 to 1.
pub(super) fn most_bytes(path: &Path) -> Result<u64, Error> {
    let reading = Error::reading(path);
    let length = std::fs::metadata(path).map_err(&reading)?.len();
    let mut start = [0; 2];
    let is_gzip = match File::open(path).and_then(|mut file| file.read_exact(&mut start)) {
        Ok(()) => start == [0x1f, 0x8b],
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
        Err(error) => return Err(reading(error)),
    };
    Ok(if is_gzip {
        length.saturating_mul(1032)
    } else {
        length
    })
}
