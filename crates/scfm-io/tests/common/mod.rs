//! What the golden h5ad files hold.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::{Path, PathBuf};

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
