//! The files of a model's folder.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use scfm_io::atomic_write;
use serde::Serialize;
use serde::de::{self, DeserializeOwned};

use crate::Error;

/// Bytes of the longest configuration; published ones have a few kilobytes.
const MAX_CONFIG: u64 = 1 << 20;

/// A file of a model's folder under the first of its names that is there.
pub(crate) fn required(folder: &Path, what: &'static str, names: &[&str]) -> Result<PathBuf, Error> {
    let mut paths = names.iter().map(|name| folder.join(name));
    paths
        .find(|path| path.is_file())
        .ok_or_else(|| Error::MissingFile {
            folder: folder.to_owned(),
            what,
            names: names.join(", "),
        })
}

/// Reads a configuration.
///
/// # Errors
/// [`Error::File`], [`Error::Json`].
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_CONFIG + 1).read_to_end(&mut text));
    read.map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })?;
    let parsed = if text.len() as u64 > MAX_CONFIG {
        Err(de::Error::custom(format!(
            "more than {MAX_CONFIG} bytes, too large for a configuration"
        )))
    } else if text.starts_with(b"version https://git-lfs") {
        let reason = "a pointer of Git LFS and not the file itself; download the file";
        Err(de::Error::custom(reason))
    } else {
        serde_json::from_slice(&text)
    };
    parsed.map_err(|source| Error::Json {
        path: path.to_owned(),
        source,
    })
}

pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let mut text = serde_json::to_vec_pretty(value).expect("texts and numbers are JSON");
    text.push(b'\n');
    write(path, &text)
}

pub(crate) fn write_safetensors(path: &Path, tensors: &BTreeMap<String, Tensor>) -> Result<(), Error> {
    // transformers refuses files that do not say which framework's layout they have.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = safetensors::serialize(tensors, Some(metadata)).map_err(|e| Error::Safetensors {
        path: path.to_owned(),
        reason: e.to_string(),
    })?;
    write(path, &bytes)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    Ok(atomic_write(path, |file| file.write_all(bytes))?)
}
