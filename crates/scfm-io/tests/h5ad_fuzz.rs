//! Thousands of damaged files: never a panic, never more memory than the budget and a fixed allowance.
//!
//! The one test of this file, so that the memory of the process is that of the reading.

mod common;

use common::golden;
use scfm_io::{Error, GeneMap, H5ad, ReadLimits};

const BUDGET: u64 = 16 << 20;
/// What the process takes beside what is read: decompressed chunks kept by the HDF5 library (32 MiB per open dataset), the
/// result beside its parts, and the test itself.
const ALLOWANCE: u64 = 112 << 20;
const FILES: u64 = 1200;

/// Reads all that a file holds, going on behind errors.
fn read_all(path: &std::path::Path) -> Result<(), Error> {
    let limits = ReadLimits {
        memory_budget: BUDGET,
        ..ReadLimits::default()
    };
    let file = H5ad::open(path, &limits)?;
    let summary = file.summary();
    for frame in [file.obs(), file.var()] {
        let Ok(frame) = frame else { continue };
        let _ = frame.index();
        for column in frame.columns() {
            let _ = frame.column(column);
        }
    }
    for key in summary.iter().flat_map(|summary| &summary.uns) {
        let _ = file.uns(key);
    }
    let _ = file.counts_matrix();
    let rows: Vec<usize> = (0..file.n_cells()).collect();
    for matrix in file.matrix_names()? {
        let Ok(ids) = file.gene_ids(&matrix, None) else {
            continue;
        };
        let _ = file.cells(&matrix, &rows, &GeneMap::new(&ids));
    }
    Ok(())
}

/// The most memory that the process has had, in bytes, where the system tells (Linux).
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Marsaglia's xorshift, which is random enough to damage files and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[test]
fn damaged_files_neither_panic_nor_take_more_than_the_budget() {
    let before = peak_memory();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.h5ad");
    let mut random = Random(0x5cf3_a0d1);
    let names = [
        "latest.h5ad",
        "legacy_fixed.h5ad",
        "legacy_variable.h5ad",
        "columns.h5ad",
        "shuffled.h5ad",
    ];
    let wholes = names.map(|name| std::fs::read(golden(name)).unwrap());
    let mut n_read = 0;
    for at in 0..FILES {
        let mut damaged = wholes[at as usize % wholes.len()].clone();
        let mut damages = Vec::new();
        for _ in 0..=random.below(4) {
            let place = random.below(damaged.len());
            damaged[place] = match random.below(4) {
                0 => 0,
                1 => 0xff,
                2 => damaged[place] ^ (1 << random.below(8)),
                _ => random.below(256) as u8,
            };
            damages.push((place, damaged[place]));
        }
        std::fs::write(&path, &damaged).unwrap();
        n_read += u64::from(read_all(&path).is_ok());
        if let (Some(before), Some(now)) = (before, peak_memory()) {
            let taken = (now - before) >> 20;
            let name = names[at as usize % names.len()];
            assert!(
                taken < (BUDGET + ALLOWANCE) >> 20,
                "{name} with {damages:?}: {taken} MiB"
            );
        }
    }
    // Where nearly every file were refused at once, nothing would have been tried.
    assert!(n_read > FILES / 4, "{n_read} of {FILES} could be opened");
}
