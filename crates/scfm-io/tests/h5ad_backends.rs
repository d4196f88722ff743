//! Both backends show the same of every file: the goldens, the fixtures, and real files where `SCFM_TEST_DATA` names
//! their folder.
#![cfg(feature = "libhdf5")]

mod common;

use std::path::{Path, PathBuf};

use common::golden;
use scfm_io::{Backend, Error, Frame, FrameColumn, GeneMap, H5ad, ReadLimits};

/// Files that libhdf5 shows more of: it follows soft and external links, which anndata does not write, and it inverts every
/// compression that the machine has a plugin for.
const DIFFERENT: [&str; 2] = ["links.h5ad", "filters.h5ad"];

/// Everything a file holds, or why it cannot be read. Errors of the libraries themselves are told apart by the object
/// only, since each library words them in its own way.
fn seen(path: &Path, backend: Backend) -> Vec<(String, String)> {
    let limits = ReadLimits {
        memory_budget: 1 << 30,
        backend,
    };
    let file = match H5ad::open(path, &limits) {
        Ok(file) => file,
        Err(error) => return vec![("open".to_owned(), worded(error))],
    };
    let mut seen = vec![("summary".to_owned(), shown(file.summary()))];
    seen.push(("counts".to_owned(), shown(file.counts_matrix())));
    for (name, frame) in [("obs", file.obs()), ("var", file.var())] {
        match frame {
            Ok(frame) => seen.extend(columns(name, &frame)),
            Err(error) => seen.push((name.to_owned(), worded(error))),
        }
    }
    if let Ok(summary) = file.summary() {
        let values = summary
            .uns
            .iter()
            .map(|key| (format!("uns/{key}"), shown(file.uns(key))));
        seen.extend(values);
    }
    let all: Vec<usize> = (0..file.n_cells()).collect();
    let some: Vec<usize> = all.iter().rev().step_by(7).copied().collect();
    for matrix in file.matrix_names().unwrap() {
        let Ok(ids) = file.gene_ids(&matrix, None) else {
            seen.push((matrix.to_string(), "no genes".to_owned()));
            continue;
        };
        let genes = GeneMap::new(&ids);
        for rows in [&all, &some] {
            let counts = file.cells(&matrix, rows, &genes);
            let shown = shown(counts.map(|counts| (counts.counts().to_owned(), counts.totals().to_vec())));
            seen.push((format!("{matrix}, {} cells", rows.len()), shown));
        }
    }
    seen
}

fn columns(frame_name: &str, frame: &Frame<'_>) -> Vec<(String, String)> {
    let mut seen = vec![(format!("{frame_name} index"), shown(frame.index()))];
    for name in frame.columns() {
        let column = frame.column(name).map(|column| match column {
            // NaN is not equal to itself, its bits are.
            FrameColumn::Number(values) => {
                format!("{:?}", values.iter().map(|v| v.to_bits()).collect::<Vec<_>>())
            }
            other => format!("{other:?}"),
        });
        seen.push((format!("{frame_name}/{name}"), shown(column)));
    }
    seen
}

fn shown<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => worded(error),
    }
}

fn worded(error: Error) -> String {
    match error {
        Error::Hdf5 { object, .. } => format!("the library cannot read {object}"),
        other => other.to_string(),
    }
}

fn h5ad_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            h5ad_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "h5ad")
            && !DIFFERENT.iter().any(|name| path.ends_with(name))
        {
            found.push(path);
        }
    }
}

fn assert_same(folder: &Path, at_least: usize) {
    let mut files = Vec::new();
    h5ad_files(folder, &mut files);
    assert!(
        files.len() >= at_least,
        "{} files in {}",
        files.len(),
        folder.display()
    );
    for path in files {
        let (pure, lib) = (seen(&path, Backend::Pure), seen(&path, Backend::LibHdf5));
        for (pure, lib) in pure.iter().zip(&lib) {
            assert!(
                pure == lib,
                "{}: {}\n  pure: {:.300}\n  libhdf5: {:.300}",
                path.display(),
                pure.0,
                pure.1,
                lib.1
            );
        }
        assert_eq!(pure.len(), lib.len(), "{}", path.display());
    }
}

#[test]
fn the_goldens_are_the_same_to_both() {
    assert_same(golden("").as_path(), 10);
}

#[test]
fn the_fixtures_are_the_same_to_both() {
    assert_same(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures"), 1);
}

#[test]
fn real_files_are_the_same_to_both() {
    match std::env::var_os("SCFM_TEST_DATA") {
        Some(folder) => assert_same(Path::new(&folder), 8),
        None => eprintln!("skipped: SCFM_TEST_DATA is not set"),
    }
}

#[test]
fn what_is_not_hdf5_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.h5ad");
    std::fs::write(&path, "gene,cell\n").unwrap();
    let limits = ReadLimits {
        backend: Backend::LibHdf5,
        ..ReadLimits::default()
    };
    assert!(matches!(H5ad::open(&path, &limits), Err(Error::NotHdf5 { .. })));
    assert!(matches!(
        H5ad::open(&folder.path().join("absent"), &limits),
        Err(Error::Io { .. })
    ));
}
