//! The h5ad reader: every dataframe, every entry of `uns`, every matrix.
//!
//! Input: the file. Columns have a value per row, matrices a row per cell asked for and a column per gene of the panel, and
//! totals are at least the counts of the panel.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use scfm_fuzz::{Scratch, checked};
use scfm_io::{H5ad, ReadLimits};

static SCRATCH: LazyLock<Scratch> = LazyLock::new(|| Scratch::new("h5ad"));

fuzz_target!(|data: &[u8]| {
    let path = SCRATCH.file("fuzzed.h5ad", data);
    let limits = ReadLimits {
        memory_budget: 4 << 20,
        ..ReadLimits::default()
    };
    if let Some(file) = checked(H5ad::open(&path, &limits)) {
        scfm_fuzz::read_h5ad(&file);
    }
});
