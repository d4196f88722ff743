use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::Error;
use crate::pickle::{self, Plain};
use crate::torch::LFS_POINTER;

/// Dictionaries published for single-cell models have a few megabytes; a larger file is something else.
const MAX_BYTES: u64 = 256 << 20;
/// Entries of a JSON object; the largest published dictionary has some hundred thousand.
const MAX_ENTRIES: usize = 1 << 20;

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

/// The entries of a JSON object, sorted by key; a key that comes twice stays twice.
fn json_entries(path: &Path, bytes: &[u8]) -> Result<Vec<(Arc<str>, Plain)>, Error> {
    let object: Object = serde_json::from_slice(bytes).map_err(|source| Error::Json {
        path: path.to_owned(),
        source,
    })?;
    let mut entries = object
        .0
        .into_iter()
        .map(|(key, value)| {
            let plain = value.0.ok_or_else(|| Error::Dictionary {
                path: path.to_owned(),
                reason: format!("the value of {key:?} is neither a number nor a string"),
            })?;
            Ok((key, plain))
        })
        .collect::<Result<Vec<_>, _>>()?;
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(entries)
}

/// The entries of a JSON object in the order of the file. `serde_json`'s own map keeps the last of equal keys and drops
/// the others without a word.
struct Object(Vec<(Arc<str>, JsonValue)>);

/// A number or a text; none for anything else, which is passed over without being kept.
struct JsonValue(Option<Plain>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of numbers or strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if entries.len() == MAX_ENTRIES {
                let reason = format!("more than {MAX_ENTRIES} entries, too many for a dictionary");
                return Err(de::Error::custom(reason));
            }
            entries.push((key.into(), map.next_value()?));
        }
        Ok(Object(entries))
    }
}

impl<'de> Deserialize<'de> for JsonValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(JsonValue)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Option<Plain>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_i64<E>(self, int: i64) -> Result<Self::Value, E> {
        Ok(Some(Plain::Int(int)))
    }

    fn visit_u64<E>(self, int: u64) -> Result<Self::Value, E> {
        Ok(Some(match i64::try_from(int) {
            Ok(int) => Plain::Int(int),
            Err(_) => Plain::Float(int as f64),
        }))
    }

    fn visit_f64<E>(self, float: f64) -> Result<Self::Value, E> {
        Ok(Some(Plain::Float(float)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Plain::Text(text.into())))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Self::Value, A::Error> {
        while values.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
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
