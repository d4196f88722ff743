//! The header of NumPy's `.npy`, and no more of it: values are read where they stand.
//!
//! Layout (numpy.lib.format): `\x93NUMPY` | major u8 | minor u8 | length of the header, u16 in version 1 and u32 in 2 and 3 |
//! a Python dictionary such as `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`, padded with spaces.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use candle_core::DType;

use super::stored::StoredTensor;
use crate::Error;

const MAGIC: &[u8] = b"\x93NUMPY";
/// A header has some hundred bytes; those of tables with many named fields, which are refused, may have more.
const MAX_HEADER: usize = 1 << 16;

/// The tensor of a file, whose values are not read yet.
pub(super) fn open(path: &Path) -> Result<StoredTensor, Error> {
    let file_error = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    let wrong = |found: String, expected: &str| Error::given(path, "header", found, expected);
    let file = File::open(path).map_err(file_error)?;
    let file_len = file.metadata().map_err(file_error)?.len();
    let mut start = Vec::new();
    (&file)
        .take((MAX_HEADER + 12) as u64)
        .read_to_end(&mut start)
        .map_err(file_error)?;
    let Some((version, rest)) = start
        .strip_prefix(MAGIC)
        .and_then(|rest| rest.split_first_chunk::<2>())
    else {
        return Err(wrong(
            format!("a file of {file_len} bytes that is none"),
            "an array of np.save",
        ));
    };
    let length = match version[0] {
        1 => rest
            .split_first_chunk::<2>()
            .map(|(n, rest)| (u16::from_le_bytes(*n) as usize, rest)),
        2 | 3 => rest
            .split_first_chunk::<4>()
            .map(|(n, rest)| (u32::from_le_bytes(*n) as usize, rest)),
        other => return Err(wrong(format!("version {other}"), "1, 2 or 3")),
    };
    let (length, rest) = length.ok_or_else(|| wrong("an end of the file".to_owned(), "its length"))?;
    if length > MAX_HEADER {
        return Err(wrong(
            format!("{length} bytes"),
            "the type and the shape of an array",
        ));
    }
    let header = rest
        .get(..length)
        .and_then(|bytes| std::str::from_utf8(bytes).ok());
    let header = header.ok_or_else(|| wrong("an end of the file".to_owned(), "a dictionary"))?;
    let offset = (start.len() - rest.len() + length) as u64;

    let value = |key: &str| {
        let after = header
            .split_once(&format!("'{key}':"))
            .map(|(_, after)| after.trim_start());
        after.ok_or_else(|| {
            wrong(
                header.trim().chars().take(80).collect(),
                "descr, fortran_order and shape",
            )
        })
    };
    let dtype = dtype(value("descr")?).map_err(|found| {
        Error::given(
            path,
            "type",
            found,
            "floating-point numbers in little-endian order (float16, float32, float64)",
        )
    })?;
    if !value("fortran_order")?.starts_with("False") {
        let expected = "the order of rows; save np.ascontiguousarray(attention)";
        return Err(wrong("Fortran's order of values".to_owned(), expected));
    }
    let shape = shape(value("shape")?).ok_or_else(|| {
        wrong(
            value("shape").unwrap_or_default().chars().take(40).collect(),
            "a shape such as (2, 3)",
        )
    })?;
    let tensor = StoredTensor {
        path: path.to_owned(),
        offset,
        dtype,
        shape,
    };
    tensor.check_length(file_len.saturating_sub(offset))?;
    Ok(tensor)
}

/// The type that a description such as `'<f4'` names; what stands there where it is none.
fn dtype(description: &str) -> Result<DType, String> {
    let quoted = description
        .strip_prefix('\'')
        .and_then(|rest| rest.split_once('\''));
    match quoted {
        Some(("<f2", _)) => Ok(DType::F16),
        Some(("<f4", _)) => Ok(DType::F32),
        Some(("<f8", _)) => Ok(DType::F64),
        Some((other, _)) => Err(other.chars().take(40).collect()),
        None => Err("a table of fields".to_owned()),
    }
}

/// The numbers between brackets.
fn shape(text: &str) -> Option<Vec<usize>> {
    let (inner, _) = text.strip_prefix('(')?.split_once(')')?;
    let numbers = inner
        .split(',')
        .map(str::trim)
        .filter(|number| !number.is_empty());
    numbers.map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_and_types_are_what_numpy_writes() {
        assert_eq!(shape("(2, 3), }"), Some(vec![2, 3]));
        assert_eq!(shape("(7,), }"), Some(vec![7]));
        assert_eq!(shape("(), }"), Some(vec![]));
        for broken in ["2, 3", "(2, x)", "(2, -3)", "(2", "(99999999999999999999999,)"] {
            assert_eq!(shape(broken), None, "{broken}");
        }
        assert_eq!(dtype("'<f4', "), Ok(DType::F32));
        assert_eq!(dtype("'>f4', "), Err(">f4".to_owned()));
        assert!(dtype("[('a', '<f4')], ").is_err());
    }
}
