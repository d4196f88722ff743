//! Folders of a MatrixMarket file with its tables.
//!
//! Input: matrix, features, barcodes and, if there is a fourth part, the table of cells, separated by the byte 0x1e, which no
//! text has. What holds for h5ad files holds here.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use scfm_fuzz::{Scratch, checked};
use scfm_io::{H5ad, ReadLimits};

const NAMES: [&str; 4] = ["matrix.mtx", "features.tsv", "barcodes.tsv", "obs.tsv"];

static SCRATCH: LazyLock<Scratch> = LazyLock::new(|| Scratch::new("market"));

fuzz_target!(|data: &[u8]| {
    SCRATCH.clear();
    for (name, part) in NAMES.into_iter().zip(data.split(|&byte| byte == 0x1e)) {
        SCRATCH.file(name, part);
    }
    let limits = ReadLimits {
        memory_budget: 4 << 20,
        ..ReadLimits::default()
    };
    if let Some(file) = checked(H5ad::open(SCRATCH.path(), &limits)) {
        scfm_fuzz::read_h5ad(&file);
    }
});
