//! The files of a model's folder.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use scfm_io::atomic_write;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;

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

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = fs::read(path).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_slice(&text).map_err(|source| Error::Json {
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
