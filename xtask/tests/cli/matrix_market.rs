//! A folder of matrix.mtx, features.tsv and barcodes.tsv in place of an h5ad file.

use std::fs;
use std::path::Path;

use scfm_io::{H5ad, ReadLimits};

use crate::harness::{Bench, fixture};

#[test]
fn a_matrix_market_folder_gives_what_the_h5ad_file_gives() {
    let bench = Bench::new();
    write_market_folder(&bench.path("screen"));
    let printed = bench.ok(&["inspect", "screen"]);
    for words in [
        "3080 cells × 300 genes",
        "raw counts: X",
        "1000 control cells, 52 single-gene",
    ] {
        assert!(printed.contains(words), "no {words:?} in\n{printed}");
    }
    let file = H5ad::open(&fixture("rpe1/screen.h5ad"), &ReadLimits::default()).unwrap();
    let genes = file.var().unwrap().index().unwrap();
    fs::write(bench.path("genes.txt"), genes[..20].join("\n")).unwrap();
    let (h5ad, model) = (fixture("rpe1/screen.h5ad"), fixture("model"));
    for (data, out) in [(h5ad.to_str().unwrap(), "from-h5ad"), ("screen", "from-folder")] {
        let arguments = [
            "extract",
            "--data",
            data,
            "--model",
            model.to_str().unwrap(),
            "--out",
            out,
        ];
        let few = [
            "--genes",
            "genes.txt",
            "--layers",
            "0",
            "--cells",
            "40",
            "--quiet",
        ];
        bench.ok(&[&arguments[..], &few].concat());
    }
    let read = |out: &str| {
        scfm_io::read_edges(&bench.path(&format!("{out}/attention-L0.parquet")))
            .unwrap()
            .0
    };
    let (expected, found) = (read("from-h5ad"), read("from-folder"));
    assert_eq!(found.sources().genes(), expected.sources().genes());
    let bits = |edges: &scfm_core::EdgeMatrix| {
        edges
            .scores()
            .iter()
            .map(|score| score.to_bits())
            .collect::<Vec<_>>()
    };
    assert_eq!(bits(&found), bits(&expected));
    assert!(expected.scores().iter().any(|score| score.is_finite()));
}

/// The embedded screen as 10x Genomics would write it, with its labels beside.
fn write_market_folder(folder: &Path) {
    let file = H5ad::open(&fixture("rpe1/screen.h5ad"), &ReadLimits::default()).unwrap();
    let (obs, var) = (file.obs().unwrap(), file.var().unwrap());
    let (cells, symbols) = (obs.index().unwrap(), var.index().unwrap());
    let ids = var.column("ensembl_id").unwrap().labels();
    let labels = obs.column("perturbation").unwrap().labels();
    let rows: Vec<usize> = (0..file.n_cells()).collect();
    let genes = scfm_io::GeneMap::new(&symbols);
    let counts = file.cells(&scfm_io::MatrixName::X, &rows, &genes).unwrap();
    let mut matrix = format!(
        "%%MatrixMarket matrix coordinate integer general\n{} {} {}\n",
        symbols.len(),
        cells.len(),
        counts.counts().nnz()
    );
    for (cell, row) in counts.counts().outer_iterator().enumerate() {
        for (gene, count) in row.iter() {
            matrix += &format!("{} {} {count}\n", gene + 1, cell + 1);
        }
    }
    let features = ids
        .iter()
        .zip(&symbols)
        .map(|(id, symbol)| format!("{}\t{symbol}\n", id.as_deref().unwrap()));
    let table = cells
        .iter()
        .zip(&labels)
        .map(|(cell, label)| format!("{cell},{}\n", label.as_deref().unwrap()));
    fs::create_dir(folder).unwrap();
    fs::write(folder.join("matrix.mtx"), matrix).unwrap();
    fs::write(folder.join("features.tsv"), features.collect::<String>()).unwrap();
    fs::write(folder.join("barcodes.tsv"), cells.join("\n") + "\n").unwrap();
    fs::write(
        folder.join("obs.csv"),
        "barcode,perturbation\n".to_owned() + &table.collect::<String>(),
    )
    .unwrap();
}
