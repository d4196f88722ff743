//! Files that were cut or damaged on the way are errors or what they were, never a panic.

mod common;

use std::path::Path;

use common::{Temporary, golden, read_all};
use scfm_io::{Error, GeneMap, H5ad, MatrixName, ReadLimits};

/// Everything a file holds, as text; reading goes on behind no error.
fn content(path: &Path) -> Result<String, Error> {
    let file = H5ad::open(path, &ReadLimits::default())?;
    let mut content = format!("{:?}", file.summary()?);
    for frame in [file.obs()?, file.var()?] {
        content += &format!("{:?}", frame.index()?);
        for column in frame.columns() {
            content += &format!("{:?}", frame.column(column)?);
        }
    }
    let rows: Vec<usize> = (0..file.n_cells()).collect();
    for matrix in file.matrix_names()? {
        let counts = file.cells(&matrix, &rows, &GeneMap::new(&file.gene_ids(&matrix, None)?))?;
        content += &format!("{:?}", counts.counts());
    }
    Ok(content)
}

#[test]
fn a_chunk_that_claims_more_than_the_file_holds_is_refused_unread() {
    let mut whole = std::fs::read(golden("shuffled.h5ad")).unwrap();
    // The stored length of a chunk of `layers/dense_chunks`; see the tables of a version 1 B-tree.
    whole[28107] = 218;
    let file = Temporary::new(&whole);
    let file = H5ad::open(&file.path, &ReadLimits::default()).unwrap();
    let matrix = MatrixName::Layer("dense_chunks".to_owned());
    let genes = GeneMap::new(&file.gene_ids(&matrix, None).unwrap());
    let error = file.cells(&matrix, &[0, 22], &genes).unwrap_err();
    assert!(
        matches!(&error, Error::Hdf5 { object, .. } if object == "layers/dense_chunks"),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("in a file of 36970 bytes and with 160 bytes to hold"),
        "{error}"
    );
}

#[test]
fn a_file_cut_anywhere_is_an_error_or_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.h5ad");
    for name in ["latest.h5ad", "shuffled.h5ad"] {
        let expected = content(&golden(name)).unwrap();
        let whole = std::fs::read(golden(name)).unwrap();
        // 97 is no multiple of any alignment in the file.
        let cuts = (0..whole.len()).step_by(97).chain(whole.len() - 64..whole.len());
        let mut n_refused = 0;
        for cut in cuts {
            std::fs::write(&path, &whole[..cut]).unwrap();
            match content(&path) {
                Ok(found) => assert!(found == expected, "{name} cut at {cut}"),
                Err(_) => n_refused += 1,
            }
        }
        assert!(n_refused > whole.len() / 97 / 2, "{name}: {n_refused} refused");
    }
}

#[test]
fn a_truncated_file_is_an_error_wherever_it_ends() {
    for name in ["plain.h5ad", "gzip.h5ad", "latest.h5ad"] {
        let whole = std::fs::read(golden(name)).unwrap();
        for cut in (0..whole.len()).step_by(1201).chain([whole.len() - 1]) {
            let error = read_all(&Temporary::new(&whole[..cut]).path).unwrap_err();
            // Where the superblock is whole, it says how long the file should be.
            let known = matches!(&error, Error::CutOff { expected, found, .. } if *expected == whole.len() as u64 && *found == cut as u64);
            assert!(known || cut < 1_000, "{name} cut at {cut}: {error}");
        }
    }
}

#[test]
fn no_damaged_byte_makes_it_panic() {
    for name in ["latest.h5ad", "columns.h5ad", "shuffled.h5ad"] {
        let whole = std::fs::read(golden(name)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("damaged.h5ad");
        for at in (0..whole.len()).step_by(61) {
            let mut damaged = whole.clone();
            damaged[at] ^= [0xff, 0x01, 0x80][at % 3];
            std::fs::write(&path, &damaged).unwrap();
            let _ = read_all(&path);
        }
    }
}
