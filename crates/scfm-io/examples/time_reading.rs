//! Times what a run does with an h5ad file first: `cargo run --release --example time_reading -- FILE`.

use std::path::PathBuf;
use std::time::Instant;

use scfm_io::{GeneMap, H5ad, ReadLimits};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: time_reading FILE")?);
    let clock = Instant::now();
    let file = H5ad::open(&path, &ReadLimits::default())?;
    let matrix = file.counts_matrix()?;
    let genes = GeneMap::new(&file.gene_ids(&matrix, None)?);
    println!(
        "{} × {}, counts in {matrix}: {:?}",
        file.n_cells(),
        file.n_genes(),
        clock.elapsed()
    );

    let all: Vec<usize> = (0..file.n_cells()).collect();
    let every_tenth: Vec<usize> = (0..file.n_cells()).step_by(10).collect();
    for (what, rows) in [("all cells", all), ("every tenth cell", every_tenth)] {
        let clock = Instant::now();
        let counts = file.cells(&matrix, &rows, &genes)?;
        let total: f64 = counts.totals().iter().sum();
        println!(
            "{what}: {} values, sum {total}: {:?}",
            counts.counts().nnz(),
            clock.elapsed()
        );
    }
    Ok(())
}
