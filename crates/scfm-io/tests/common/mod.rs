//! What the golden h5ad files hold.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::{Path, PathBuf};

use scfm_io::{Error, GeneMap, H5ad, ReadLimits};

/// Cells and genes of the matrices that `golden/make_h5ad.py` writes.
pub const N_CELLS: usize = 23;
pub const N_GENES: usize = 9;

/// The count that every golden matrix holds for a cell and a gene; see `golden/make_h5ad.py`.
pub fn count(cell: usize, gene: usize) -> f32 {
    if (3 * cell + 5 * gene).is_multiple_of(4) {
        ((cell + 2 * gene) % 6 + 1) as f32
    } else {
        0.0
    }
}

pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

/// A file that is gone after the test.
pub struct Temporary {
    pub path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Temporary {
    pub fn new(bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broken.h5ad");
        std::fs::write(&path, bytes).unwrap();
        Self {
            path,
            _folder: folder,
        }
    }
}

/// Reads all that a file holds.
pub fn read_all(path: &Path) -> Result<(), Error> {
    let file = H5ad::open(
        path,
        &ReadLimits {
            memory_budget: 1 << 24,
            ..ReadLimits::default()
        },
    )?;
    file.summary()?;
    for frame in [file.obs()?, file.var()?] {
        frame.index()?;
        for column in frame.columns() {
            frame.column(column)?;
        }
    }
    let rows: Vec<usize> = (0..file.n_cells()).collect();
    for matrix in file.matrix_names()? {
        let genes = GeneMap::new(&file.gene_ids(&matrix, None)?);
        file.cells(&matrix, &rows, &genes)?;
    }
    Ok(())
}
