use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use scfm_core::Table;
use tempfile::TempDir;

/// A folder of its own and the program to run in it.
pub struct Bench(TempDir);

impl Bench {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.0.path().join(relative)
    }

    /// The program with these arguments, ready to run in the folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env("SCFM_CACHE", self.path("no cache"));
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must succeed; what it printed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{arguments:?}\n{out}\n{err}");
        out
    }

    /// Runs a command that must end with exit code 2 and one line that holds every one of `words`.
    pub fn refused(&self, arguments: &[&str], words: &[&str]) {
        let output = self.run(&[arguments, &["--quiet"]].concat());
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}\n{err}");
        assert_one_line(&err);
        for word in words {
            assert!(err.contains(word), "no {word:?} in:\n{err}");
        }
        let runs = self.path("runs");
        if runs.exists() {
            for file in files(&runs).keys() {
                let begun = ["run.toml", "stages/.lock"];
                let is_reference = file.parent().is_some_and(|folder| folder.ends_with("references"));
                assert!(
                    is_reference || begun.iter().any(|begun| file.ends_with(begun)),
                    "{} is left",
                    file.display()
                );
            }
        }
    }

    /// The only run folder below `out`.
    pub fn run_folder(&self, out: &str) -> PathBuf {
        let folders: Vec<_> = fs::read_dir(self.path(out))
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        assert_eq!(folders.len(), 1, "{folders:?}");
        folders.into_iter().next().unwrap()
    }
}

/// An error is one line.
pub fn assert_one_line(err: &str) {
    assert!(
        err.starts_with("error: ") && err.trim_end().lines().count() == 1,
        "not one line:\n{err}"
    );
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A file of the embedded fixtures: `rpe1/screen.h5ad`, `model`.
pub fn fixture(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join("fixtures")
        .join(relative)
}

/// The bytes of all files below a folder, by path.
pub fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(
                    path.strip_prefix(folder).unwrap().to_owned(),
                    fs::read(&path).unwrap(),
                );
            }
        }
    }
    found
}

pub fn assert_same_files(a: &Path, b: &Path) {
    let (a, b) = (files(a), files(b));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (path, bytes) in &a {
        assert!(bytes == &b[path], "{} differs", path.display());
    }
}

/// The registry of a run.
pub fn registry(run: &Path) -> Table {
    scfm_io::read_table(&run.join("registry.parquet")).unwrap().0
}

/// What a column of a registry says of a test.
pub fn cell(registry: &Table, test: &str, column: &str) -> String {
    let row = (0..registry.n_rows()).find(|&row| registry.column("test").unwrap().display(row) == test);
    registry.column(column).unwrap().display(row.unwrap())
}

pub fn json<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}
