//! The run folder and its stages.
//!
//! A stage is a function from inputs to files. Its key is a hash of everything that its result depends on: input
//! hashes, parameters, seed, the version of its code. Once its files are written, the key and their hashes are noted
//! in `stages/<name>.json`; a later run with the same key finds the files whole and does not compute them again.
//! Whoever needs a stage's result reads its files, so that a resumed run sees exactly what a fresh one saw. One process
//! at a time works in a folder; what an earlier one that was killed left half-written is removed.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::failure::bad_input;

/// The file that is locked while a process works in the folder.
const LOCK: &str = "stages/.lock";

/// A hash over named parts, in the order in which they are added.
#[derive(Debug, Clone)]
pub struct Key(Sha256);

impl Key {
    /// The key of stage `name`, whose code is at `version`: raise the version when the code's results change.
    pub fn new(name: &str, version: u32) -> Self {
        Self(Sha256::new()).with("stage", name).with("version", version)
    }

    /// The key with one more part.
    #[must_use]
    pub fn with(mut self, part: &str, value: impl ToString) -> Self {
        for text in [part, &value.to_string()] {
            self.0.update((text.len() as u64).to_le_bytes());
            self.0.update(text);
        }
        self
    }

    /// The hash in hexadecimal.
    pub fn hex(self) -> String {
        self.0
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

#[derive(Serialize, Deserialize)]
struct Receipt {
    key: String,
    files: BTreeMap<String, String>,
}

/// The folder that one evaluation writes.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
    resume: bool,
    /// Held for as long as somebody works in the folder.
    _lock: Option<Arc<File>>,
}

impl RunFolder {
    /// Opens or makes the folder; with `resume` its finished stages are used again.
    ///
    /// Fails where another process is at work in it.
    pub fn create(path: PathBuf, resume: bool) -> Result<Self> {
        for folder in ["edges", "tables", "stages"] {
            let folder = path.join(folder);
            fs::create_dir_all(&folder)
                .with_context(|| format!("{}: cannot make the folder", folder.display()))?;
        }
        let lock = lock(&path)?;
        scfm_io::remove_partial_files(&path)?;
        Ok(Self {
            path,
            resume,
            _lock: lock.map(Arc::new),
        })
    }

    /// The folder as it is, without making it.
    pub fn peek(path: PathBuf, resume: bool) -> Self {
        Self {
            path,
            resume,
            _lock: None,
        }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Path of a file inside the folder.
    pub fn file(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.path.join(relative)
    }

    /// Whether the files of a stage are there, whole, and made under this key.
    pub fn is_done(&self, name: &str, key: &str) -> bool {
        self.resume
            && self
                .receipt(name)
                .is_some_and(|receipt| receipt.key == key && self.is_whole(&receipt))
    }

    /// Runs a stage unless its result is stored. `compute` writes files and returns their paths inside the folder.
    pub fn stage(&self, name: &str, key: &str, compute: impl FnOnce() -> Result<Vec<String>>) -> Result<()> {
        if self.is_done(name, key) {
            return Ok(());
        }
        let files = compute()?
            .into_iter()
            .map(|file| Ok((file.clone(), scfm_io::content_hash(&self.file(&file))?)))
            .collect::<Result<_>>()?;
        let receipt = serde_json::to_vec_pretty(&Receipt {
            key: key.to_owned(),
            files,
        })?;
        let path = self.file(format!("stages/{name}.json"));
        scfm_io::atomic_write(&path, |file| file.write_all(&receipt))?;
        Ok(())
    }

    fn receipt(&self, name: &str) -> Option<Receipt> {
        let text = fs::read(self.file(format!("stages/{name}.json"))).ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn is_whole(&self, receipt: &Receipt) -> bool {
        receipt
            .files
            .iter()
            .all(|(file, hash)| scfm_io::content_hash(&self.file(file)).is_ok_and(|found| found == *hash))
    }
}

/// The lock of a run folder; `None` where the file system knows no locks.
fn lock(folder: &Path) -> Result<Option<File>> {
    let path = folder.join(LOCK);
    let file = File::create(&path).with_context(|| format!("{}: cannot lock the folder", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(bad_input(format!(
            "{}: another evaluation is writing this folder; wait for it, or choose another --out",
            folder.display()
        ))),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// The machine in words, for the record of a run.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, name)| name);
    format!(
        "{}, {cores} cores, {} {}",
        model.unwrap_or("unknown processor"),
        std::env::consts::OS,
        std::env::consts::ARCH
    )
}
