use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::Error;
use crate::pickle::{self, Plain};
use crate::torch::LFS_POINTER;

/// Dictionaries published for single-cell models have a few megabytes; a larger file is something else.
const MAX_BYTES: u64 = 256 << 20;

/// Token of each gene, from a pickled dictionary (Geneformer's `token_dictionary*.pkl`) or a JSON object (scGPT's
/// `vocab.json`): the first byte of the file tells which. Pickles keep the order of the file, JSON objects come
/// sorted by key. Pickles are never executed: only plain values and numpy scalars are understood.
///
/// # Errors
/// [`Error::Pickle`] or [`Error::Json`] where the file cannot be read, [`Error::Dictionary`] where a key comes
/// twice or a value is not an integer in `0..2³²`.
pub fn read_token_dictionary(path: &Path) -> Result<Vec<(String, u32)>, Error> {
    read(path, "a token (integer from 0)", |value| match value {
        Plain::Int(token) => u32::try_from(*token).ok(),
        _ => None,
    })
}

/// Median of each gene's non-zero expression (Geneformer's `gene_median_dictionary*.pkl`, or JSON), bit for bit.
///
/// # Errors
/// As [`read_token_dictionary`]; every value must be a number.
pub fn read_median_dictionary(path: &Path) -> Result<Vec<(String, f64)>, Error> {
    read(path, "a number", |value| match value {
        Plain::Float(median) => Some(*median),
        Plain::Int(median) => Some(*median as f64),
        Plain::Text(_) => None,
    })
}

/// Name to name: gene symbol to Ensembl id (Geneformer's `gene_name_id_dict*.pkl`, or JSON), old id to new.
///
/// # Errors
/// As [`read_token_dictionary`]; every value must be text.
pub fn read_name_dictionary(path: &Path) -> Result<Vec<(String, String)>, Error> {
    // Entries of a pickle may share one long text, so what they grow to is not bounded by the size of the file.
    let mut bytes = 0;
    read(path, "text", |value| match value {
        Plain::Text(text) => {
            bytes += text.len() as u64;
            (bytes <= MAX_BYTES).then(|| text.to_string())
        }
        _ => None,
    })
}

fn read<T>(
    path: &Path,
    expected: &str,
    mut convert: impl FnMut(&Plain) -> Option<T>,
) -> Result<Vec<(String, T)>, Error> {
    let broken = |reason| Error::Dictionary {
        path: path.to_owned(),
        reason,
    };
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(Error::reading(path))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(broken(format!(
            "larger than {MAX_BYTES} bytes, too large for a dictionary"
        )));
    }
    if bytes.starts_with(LFS_POINTER) {
        let reason = "a pointer of Git LFS and not the file itself; download the file".to_owned();
        return Err(broken(reason));
    }
    let entries = match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(0x80) => pickle::read_dictionary(&bytes).map_err(|error| Error::Pickle {
            path: path.to_owned(),
            opcode: error.opcode,
            offset: error.offset,
            reason: error.reason,
        })?,
        Some(b'{') => json_entries(path, &bytes)?,
        _ => {
            let reason = "neither a pickle (protocol 2 or later) nor a JSON object".to_owned();
            return Err(broken(reason));
        }
    };
    let mut seen = HashSet::with_capacity(entries.len());
    entries
        .iter()
        .map(|(key, value)| {
            if !seen.insert(key) {
                return Err(broken(format!("key {key:?} comes twice")));
            }
            let value = convert(value).ok_or_else(|| {
                broken(format!(
                    "{key:?} has the value {}, expected {expected}",
                    show(value)
                ))
            })?;
            Ok((key.to_string(), value))
        })
        .collect()
}

fn json_entries(path: &Path, bytes: &[u8]) -> Result<Vec<(Arc<str>, Plain)>, Error> {
    let object: serde_json::Map<String, Value> =
        serde_json::from_slice(bytes).map_err(|source| Error::Json {
            path: path.to_owned(),
            source,
        })?;
    object
        .into_iter()
        .map(|(key, value)| {
            let plain = match &value {
                Value::String(text) => Some(Plain::Text(text.as_str().into())),
                Value::Number(number) => number
                    .as_i64()
                    .map(Plain::Int)
                    .or_else(|| number.as_f64().map(Plain::Float)),
                _ => None,
            };
            let plain = plain.ok_or_else(|| Error::Dictionary {
                path: path.to_owned(),
                reason: format!("the value of {key:?} is neither a number nor a string"),
            })?;
            Ok((key.into(), plain))
        })
        .collect()
}

fn show(value: &Plain) -> String {
    match value {
        Plain::Int(int) => int.to_string(),
        Plain::Float(float) => float.to_string(),
        Plain::Text(text) => format!("{:?}", text.chars().take(40).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dictionary");
        std::fs::write(&path, content).unwrap();
        (folder, path)
    }

    #[test]
    fn json_objects_are_read_for_what_they_hold() {
        let (_folder, path) = file(br#" {"ENSG2": 3, "<pad>": 0}"#);
        let tokens = read_token_dictionary(&path).unwrap();
        assert_eq!(tokens, [("<pad>".to_owned(), 0), ("ENSG2".to_owned(), 3)]);
        assert_eq!(
            read_median_dictionary(&path).unwrap()[1],
            ("ENSG2".to_owned(), 3.0)
        );
        let error = read_name_dictionary(&path).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with(r#""<pad>" has the value 0, expected text"#),
            "{error}"
        );
    }

    #[test]
    fn values_of_another_kind_are_named() {
        for content in [
            r#"{"A": -1}"#,
            r#"{"A": 1.5}"#,
            r#"{"A": 4294967296}"#,
            r#"{"A": "1"}"#,
            r#"{"A": [1]}"#,
        ] {
            let (_folder, path) = file(content.as_bytes());
            let error = read_token_dictionary(&path).unwrap_err();
            assert!(
                matches!(&error, Error::Dictionary { reason, .. } if reason.contains("\"A\"")),
                "{error}"
            );
        }
    }

    #[test]
    fn other_files_are_refused() {
        let (_folder, path) = file(b"gene\ttoken\n");
        assert!(matches!(
            read_token_dictionary(&path),
            Err(Error::Dictionary { .. })
        ));
        let (_folder, path) =
            file(b"version https://git-lfs.github.com/spec/v1\noid sha256:67c445f4\nsize 425590\n");
        let error = read_token_dictionary(&path).unwrap_err().to_string();
        assert!(
            error.contains("pointer of Git LFS") && !error.contains('\n'),
            "{error}"
        );
        let (_folder, path) = file(b"{\"A\": 1,");
        assert!(matches!(read_token_dictionary(&path), Err(Error::Json { .. })));
        let (_folder, path) = file(b"\x80\x04}(\x8c\x01aK\x01\x8c\x01aK\x02u.");
        assert!(matches!(
            read_token_dictionary(&path),
            Err(Error::Dictionary { .. })
        ));
        let (_folder, path) = file(b"\x80\x02cposix\nsystem\n.");
        assert!(matches!(
            read_token_dictionary(&path),
            Err(Error::Pickle {
                opcode: "GLOBAL",
                offset: 2,
                ..
            })
        ));
    }
}
