//! Parquet files: tables, edges, and scored pairs of other programs.
//!
//! Input: a byte that chooses one of three small whole files, then changes to it, three bytes each: the place as a 16-bit
//! number, counted from the end where it is above the middle of its range, and the byte that is put there. Tables have a
//! value per row, edges a score per pair, and what is read twice is equal.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use scfm_core::{Column, EdgeKind, EdgeMatrix, Panel, Table};
use scfm_fuzz::{Scratch, allow_caught_panics, checked};
use scfm_io::{
    is_parquet, read_edge_rows, read_edges, read_metadata, read_pair_counts, read_pair_sums, read_table,
    write_edges, write_pair_counts, write_table,
};

static SCRATCH: LazyLock<Scratch> = LazyLock::new(|| Scratch::new("parquet"));
static FILES: LazyLock<[Vec<u8>; 3]> = LazyLock::new(whole_files);

fuzz_target!(init: allow_caught_panics(), |data: &[u8]| {
    let Some((&selector, changes)) = data.split_first() else {
        return;
    };
    let Some(whole) = FILES.get(usize::from(selector)) else {
        return;
    };
    let mut bytes = whole.clone();
    for change in changes.chunks_exact(3) {
        let place = usize::from(u16::from_le_bytes([change[0], change[1]]));
        let place = match place < 1 << 15 {
            true => Some(place),
            false => (bytes.len() + place).checked_sub(1 << 16),
        };
        if let Some(byte) = place.and_then(|place| bytes.get_mut(place)) {
            *byte = change[2];
        }
    }
    let path = SCRATCH.file("fuzzed.parquet", &bytes);
    checked(is_parquet(&path));
    checked(read_metadata(&path));
    if let Some((table, _)) = checked(read_table(&path)) {
        for (name, column) in table.columns() {
            assert_eq!(column.len(), table.n_rows(), "{name}");
        }
        let (again, _) = read_table(&path).expect("it was read once");
        assert_eq!(table.n_rows(), again.n_rows());
    }
    if let Some((edges, _)) = checked(read_edges(&path)) {
        assert_eq!(edges.scores().dim(), (edges.sources().len(), edges.targets().len()));
    }
    if let Some((sources, targets, counts, _)) = checked(read_pair_counts(&path)) {
        assert_eq!(counts.dim(), (sources.len(), targets.len()));
    }
    checked(read_pair_sums(&path));
    let by_name = |names: &[&str]| {
        let find = |name| names.iter().position(|other| *other == name);
        Some([find("source")?, find("target")?, find("score")?])
    };
    if let Some(rows) = checked(read_edge_rows(&path, by_name)) {
        let n_genes = rows.genes.len() as u32;
        assert!(rows.rows.iter().all(|&(source, target, _)| source < n_genes && target < n_genes));
    }
});

fn whole_files() -> [Vec<u8>; 3] {
    let path = SCRATCH.path().join("whole.parquet");
    let panel = |names: &[&str]| Panel::new(names.iter().copied()).expect("distinct genes");
    let (sources, targets) = (panel(&["STAT1", "IRF1"]), panel(&["IRF1", "MYC", "STAT1"]));
    let described = [("scfm.seed".to_owned(), "7".to_owned())];
    let written = || std::fs::read(&path).expect("the file was written");

    let scores = vec![0.5, f32::NAN, 0.25, 1.0, 0.0, -1.0];
    let scores = ndarray::Array2::from_shape_vec((2, 3), scores).expect("two by three");
    let edges = EdgeMatrix::new(EdgeKind::Spearman, sources.clone(), targets.clone(), scores).expect("edges");
    write_edges(&path, &edges, &described).expect("a file");
    let edges = written();

    let counts = ndarray::Array2::from_shape_vec((2, 3), vec![1, 2, 3, 4, 5, 6]).expect("two by three");
    write_pair_counts(&path, &sources, &targets, &counts, &described).expect("a file");
    let counts = written();

    let names = ["a", "b", "a"].map(|name| Some(name.to_owned())).to_vec();
    let table = Table::new(3)
        .with("name", Column::Text(names))
        .and_then(|table| table.with("n", Column::counts([1, 2, 3])))
        .and_then(|table| table.with("x", Column::F64(vec![Some(0.5), None, Some(-1.0)])))
        .and_then(|table| table.with("flag", Column::Bool(vec![Some(true), Some(false), None])))
        .expect("columns of three");
    write_table(&path, &table, &described).expect("a file");
    [edges, counts, written()]
}
