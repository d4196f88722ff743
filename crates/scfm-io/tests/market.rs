//! MatrixMarket folders are read as the h5ad file that holds the same; broken ones are errors that name file and line.

mod common;

use std::io::Write;
use std::path::{Path, PathBuf};

use common::{N_CELLS, N_GENES, count, golden};
use proptest::prelude::*;
use scfm_io::{
    Error, FrameColumn, GeneMap, H5ad, MatrixName, ReadLimits, Scalar, content_hash, is_matrix_folder,
};

fn open(path: &Path) -> Result<H5ad, Error> {
    H5ad::open(path, &ReadLimits::default())
}

fn counts(file: &H5ad, rows: &[usize]) -> Vec<Vec<f32>> {
    let genes = GeneMap::new(&file.gene_ids(&MatrixName::X, None).unwrap());
    let counts = file.cells(&MatrixName::X, rows, &genes).unwrap();
    let row = |cell| {
        (0..genes.panel().len())
            .map(|gene| counts.counts().get(cell, gene).copied().unwrap_or(0.0))
            .collect()
    };
    (0..rows.len()).map(row).collect()
}

#[test]
fn folders_of_every_kind_hold_the_counts_of_the_h5ad_file() {
    let rows: Vec<usize> = (0..N_CELLS).chain([22, 3, 3, 0]).collect();
    let h5ad = open(&golden("plain.h5ad")).unwrap();
    let expected = counts(&h5ad, &rows);
    assert_eq!(expected[5][7], count(5, 7));
    for name in ["guides", "old"] {
        let file = open(&golden("market").join(name)).unwrap();
        assert_eq!((file.n_cells(), file.n_genes()), (N_CELLS, N_GENES), "{name}");
        assert_eq!(counts(&file, &rows), expected, "{name}");
        assert_eq!(file.counts_matrix().unwrap(), MatrixName::X);
        assert_eq!(
            file.obs().unwrap().index().unwrap(),
            h5ad.obs().unwrap().index().unwrap(),
            "{name}"
        );
        let var = file.var().unwrap();
        assert_eq!(
            var.index().unwrap(),
            h5ad.var().unwrap().index().unwrap(),
            "{name}"
        );
        let symbols = var.column("gene_symbols").unwrap().labels();
        assert_eq!(
            symbols,
            h5ad.var().unwrap().column("symbol").unwrap().labels(),
            "{name}"
        );
    }
    let pattern = open(&golden("market/pattern")).unwrap();
    let listed: Vec<Vec<f32>> = expected
        .iter()
        .map(|row| row.iter().map(|n| n.min(1.0)).collect())
        .collect();
    assert_eq!(counts(&pattern, &rows), listed);
    assert!(pattern.var().unwrap().columns().is_empty());
}

#[test]
fn features_that_are_no_genes_are_left_out_and_counted() {
    let file = open(&golden("market/guides")).unwrap();
    assert_eq!(file.uns("features_left_out").unwrap(), Some(Scalar::Number(2.0)));
    let genes = GeneMap::new(&file.gene_ids(&MatrixName::X, None).unwrap());
    let cell = file.cells(&MatrixName::X, &[0], &genes).unwrap();
    let total: f32 = (0..N_GENES).map(|gene| count(0, gene)).sum();
    assert_eq!(
        cell.totals(),
        [f64::from(total)],
        "a guide is no part of a cell's total"
    );
    assert_eq!(
        open(&golden("market/old"))
            .unwrap()
            .uns("features_left_out")
            .unwrap(),
        None
    );
}

#[test]
fn a_table_of_cells_is_put_into_the_order_of_the_barcodes() {
    let file = open(&golden("market/guides")).unwrap();
    let obs = file.obs().unwrap();
    assert_eq!(
        obs.columns(),
        ["target_gene", "n_counts", "fraction", "passed", "doubtful"]
    );
    let labels = obs.column("target_gene").unwrap().labels();
    let expected = [
        Some("NT"),
        Some("STAT1"),
        Some("a, b"),
        Some("say \"x\""),
        None,
        Some("NT"),
    ];
    assert_eq!(labels[..6], expected.map(|label| label.map(str::to_owned)));
    let totals = (0..N_CELLS).map(|cell| (0..N_GENES).map(|gene| f64::from(count(cell, gene))).sum());
    assert_eq!(
        obs.column("n_counts").unwrap(),
        FrameColumn::Number(totals.collect())
    );
    assert_eq!(
        obs.column("fraction").unwrap().labels()[..2],
        [Some("0.5".to_owned()), None]
    );
    assert_eq!(
        obs.column("fraction").unwrap().labels()[22].as_deref(),
        Some("0.001")
    );
    assert!(
        matches!(obs.column("passed").unwrap(), FrameColumn::Bool(v) if v[..2] == [Some(true), Some(false)])
    );
    assert!(matches!(obs.column("doubtful").unwrap(), FrameColumn::Bool(v) if v[..2] == [Some(true), None]));

    let summary = file.summary().unwrap();
    assert_eq!(summary.obs[0].stored, "categorical (4 categories)");
    assert!(summary.obs[0].holds_text() && !summary.obs[1].holds_text());
    assert_eq!(summary.matrices[0].compression, ["gzip"]);
    assert_eq!(
        (
            summary.matrices[0].n_stored,
            summary.matrices[0].value_type.as_str()
        ),
        (52, "i64")
    );

    let file = open(&golden("market/old")).unwrap();
    let labels = file.obs().unwrap().column("target_gene").unwrap().labels();
    assert_eq!(labels[3..6], [Some("g0".to_owned()), None, Some("g2".to_owned())]);
    assert!(
        open(&golden("market/pattern"))
            .unwrap()
            .obs()
            .unwrap()
            .columns()
            .is_empty()
    );
}

#[test]
fn a_folder_is_hashed_by_the_files_that_are_read() {
    let folder = Folder::new();
    assert!(
        is_matrix_folder(folder.path())
            && !is_matrix_folder(&golden(""))
            && !is_matrix_folder(&golden("plain.h5ad"))
    );
    let hash = content_hash(folder.path()).unwrap();
    folder.write("notes.txt", "not read");
    assert_eq!(content_hash(folder.path()).unwrap(), hash);
    folder.write("barcodes.tsv", "c0\nother\n");
    assert_ne!(content_hash(folder.path()).unwrap(), hash);
    assert!(matches!(content_hash(&golden("")), Err(Error::Folder { .. })));
}

/// A folder of three genes × two cells, which a test then breaks.
struct Folder(tempfile::TempDir);

const SOUND: &str = "%%MatrixMarket matrix coordinate integer general\n3 2 3\n1 1 4\n3 1 1\n2 2 7\n";

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("matrix.mtx", SOUND);
        folder.write("genes.tsv", "A\ta\nB\tb\nC\tc\n");
        folder.write("barcodes.tsv", "c0\nc1\n");
        folder
    }

    fn with(file: &str, content: &str) -> Self {
        let folder = Self::new();
        folder.write(file, content);
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, file: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(file);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The error of opening it, without the folder's path.
    fn error(&self) -> String {
        let error = open(self.path()).err().expect("a broken folder").to_string();
        error.replace(&format!("{}", self.path().display()), "")
    }
}

#[test]
fn a_broken_matrix_is_named_with_its_line() {
    const HEADER: &str = "%%MatrixMarket matrix coordinate integer general\n";
    let counts = "row, column and a whole number";
    for (matrix, expected) in [
        // Another format, another storage, another symmetry.
        (
            "gene,cell\n",
            "/matrix.mtx: line 1: found \"gene,cell\", expected %%MatrixMarket",
        ),
        ("", "/matrix.mtx: line 0: found \"\", expected %%MatrixMarket"),
        (
            "%%MatrixMarket matrix array real general\n",
            "line 1: found \"%%matrixmarket matrix array real general\"",
        ),
        (
            "%%MatrixMarket matrix coordinate real symmetric\n",
            "line 1: found",
        ),
        (
            "%%MatrixMarket matrix coordinate complex general\n",
            "line 1: found",
        ),
        // Sizes.
        (
            HEADER,
            "line 1: found the end of the file, expected rows, columns and number of values",
        ),
        (
            "%%MatrixMarket matrix coordinate integer general\n% c\n\n3 2\n",
            "line 4: found \"3 2\", expected rows",
        ),
        (
            "%%MatrixMarket matrix coordinate integer general\n3 2 -1\n",
            "line 2: found \"3 2 -1\"",
        ),
        (
            "%%MatrixMarket matrix coordinate integer general\n3 2 1 1\n",
            "line 2: found \"3 2 1 1\"",
        ),
        (
            "%%MatrixMarket matrix coordinate integer general\n9999999999 2 1\n",
            "found a matrix of 9999999999 × 2",
        ),
        (
            "%%MatrixMarket matrix coordinate integer general\n3 2 999999999999\n",
            "line 2: found 999999999999 values declared, expected at most 11",
        ),
        // Values.
        (
            "%%MatrixMarket matrix coordinate integer general\n3 2 1\n0 1 4\n",
            "line 3: found row 0, expected a row from 1 to 3",
        ),
        (
            "%%MatrixMarket matrix coordinate integer general\n3 2 1\n4 1 4\n",
            "line 3: found row 4, expected a row from 1 to 3",
        ),
        (
            "%%MatrixMarket matrix coordinate integer general\n3 2 1\n1 3 4\n",
            "line 3: found column 3, expected a column from 1 to 2",
        ),
        (
            "%%MatrixMarket matrix coordinate integer general\n3 2 2\n1 1 4\n1 x 4\n",
            "line 4: found \"1 x 4\"",
        ),
        (
            "%%MatrixMarket matrix coordinate integer general\n3 2 1\n1 1 4.5\n",
            "line 3: found \"1 1 4.5\"",
        ),
        (
            "%%MatrixMarket matrix coordinate integer general\n3 2 1\n1 1\n",
            "line 3: found \"1 1\"",
        ),
        (
            "%%MatrixMarket matrix coordinate integer general\n3 2 1\n1 1 4 4\n",
            "line 3: found \"1 1 4 4\"",
        ),
        // More and fewer than declared.
        (
            "%%MatrixMarket matrix coordinate integer general\n3 2 1\n1 1 4\n2 1 4\n",
            "line 4: found one value more than declared, expected 1 values",
        ),
        (
            "%%MatrixMarket matrix coordinate integer general\n3 2 2\n1 1 4\n",
            "line 3: found the end of the file after 1 values, expected 2 values",
        ),
    ] {
        let error = Folder::with("matrix.mtx", matrix).error();
        assert!(error.contains(expected), "{matrix:?}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
    let error = Folder::with(
        "matrix.mtx",
        "%%MatrixMarket matrix coordinate integer general\n3 2 1\n1 1 x\n",
    )
    .error();
    assert!(error.ends_with(counts), "{error}");
    let long = format!("{HEADER}%{}\n3 2 0\n", "x".repeat(70_000));
    assert!(
        Folder::with("matrix.mtx", &long)
            .error()
            .contains("line 2: found a line of more than 65536 bytes")
    );
}

#[test]
fn values_that_are_no_counts_are_named_with_cell_and_gene() {
    for (value, shown) in [("-2", "-2"), ("0.5", "0.5"), ("nan", "NaN"), ("1e300", "1")] {
        let matrix = format!("%%MatrixMarket matrix coordinate real general\n3 2 1\n2 2 {value}\n");
        let folder = Folder::with("matrix.mtx", &matrix);
        let file = open(folder.path()).unwrap();
        let error = file.counts_matrix().unwrap_err();
        let found = format!("X has {shown}");
        assert!(
            matches!(&error, Error::NoCounts { seen, .. } if seen[0].starts_with(&found)),
            "{error}"
        );
        assert!(error.to_string().contains("cell c1, gene B"), "{error}");
        let genes = GeneMap::new(&["A", "B", "C"]);
        let error = file.cells(&MatrixName::X, &[0, 1], &genes).unwrap_err();
        assert!(
            matches!(&error, Error::NotACount { cell, gene, row: 1, .. } if cell == "c1" && gene == "B"),
            "{error}"
        );
    }
}

#[test]
fn tables_that_do_not_fit_are_named_with_both_lengths() {
    let error = Folder::with("barcodes.tsv", "c0\nc1\nc2\nc3\n").error();
    assert_eq!(
        error,
        "/matrix.mtx: the matrix is 3 × 2, genes.tsv has 3 lines and barcodes.tsv has 4: expected as many rows as one \
         table has lines and as many columns as the other"
    );
    let square = Folder::with(
        "matrix.mtx",
        "%%MatrixMarket matrix coordinate integer general\n3 3 1\n2 3 7\n",
    );
    square.write("barcodes.tsv", "c0\nc1\nc2\n");
    assert!(
        square
            .error()
            .ends_with("has 3: which side is which cannot be told; write it as h5ad"),
        "{}",
        square.error()
    );
    let error = Folder::with("genes.tsv", "A\n\nC\n").error();
    assert!(
        error.contains("/genes.tsv: line 2: found no identifier"),
        "{error}"
    );
    let error = Folder::with("barcodes.tsv", "c0\n\n").error();
    assert!(
        error.contains("/barcodes.tsv: line 2: found no barcode"),
        "{error}"
    );
}

#[test]
fn a_table_of_cells_that_does_not_fit_is_named_with_its_line() {
    for (table, expected) in [
        (
            "barcode,a\nx0,1\nx1,2\n",
            "/obs.csv: its first column holds none of the barcodes of the matrix: x0 here, c0 there",
        ),
        (
            "barcode,a\nc0,1\nc0,2\n",
            "/obs.csv: line 3: found barcode c0, which line 2 has already, expected every barcode once",
        ),
        (
            "barcode,a\nc0,1\nc1\n",
            "/obs.csv: line 3: found 1 fields, expected 2, as many as the first row has",
        ),
        (
            "a,b,c\nc0,1\n",
            "/obs.csv: line 1: found 3 names of columns, expected 2",
        ),
        (
            "barcode,a,a\nc0,1,2\n",
            "/obs.csv: line 1: found \"a\" as name of column 3",
        ),
        (
            "barcode,\nc0,1\n",
            "/obs.csv: line 1: found \"\" as name of column 2",
        ),
        ("barcode,a\n", "/obs.csv: line 1: found no rows"),
        ("", "/obs.csv: line 1: found no rows"),
    ] {
        let error = Folder::with("obs.csv", table).error();
        assert!(error.starts_with(expected), "{table:?}: {error}");
    }
    let folder = Folder::with("obs.csv", "barcode,a\nc0,1\n");
    folder.write("cells.tsv", "barcode\ta\nc0\t1\n");
    assert!(
        folder
            .error()
            .contains("cells.tsv and obs.csv stand for the same"),
        "{}",
        folder.error()
    );
}

#[test]
fn a_folder_without_its_files_says_which() {
    let folder = Folder(tempfile::tempdir().unwrap());
    assert!(
        folder
            .error()
            .contains("there is no matrix.mtx (or matrix.mtx.gz); expected an h5ad file, or a folder")
    );
    let folder = Folder::new();
    std::fs::remove_file(folder.path().join("genes.tsv")).unwrap();
    assert!(folder.error().contains("there is no features.tsv"));
    folder.write("genes.tsv", "A\nB\nC\n");
    folder.write("features.tsv.gz", "A\nB\nC\n");
    assert!(
        folder
            .error()
            .contains("features.tsv.gz and genes.tsv stand for the same")
    );
    assert!(open(&folder.path().join("absent")).is_err());
}

#[test]
fn declared_sizes_and_tables_stay_within_the_budget() {
    let budget = |memory_budget| ReadLimits {
        memory_budget,
        ..ReadLimits::default()
    };
    // Three values of 16 bytes each.
    let folder = Folder::new();
    let error = H5ad::open(folder.path(), &budget(40)).err().unwrap();
    assert!(matches!(&error, Error::TooLarge { .. }), "{error}");
    H5ad::open(folder.path(), &budget(1 << 12)).unwrap();
    for (file, content) in [
        ("genes.tsv", "gene\n".repeat(1000)),
        ("barcodes.tsv", "cell\n".repeat(1000)),
        ("obs.csv", format!("barcode,a\nc0,{}\n", "x".repeat(5000))),
    ] {
        let error = H5ad::open(Folder::with(file, &content).path(), &budget(1 << 12))
            .err()
            .unwrap();
        assert!(
            matches!(&error, Error::TooLarge { path, .. } if path.ends_with(file)),
            "{error}"
        );
    }
}

#[test]
fn a_damaged_archive_is_an_error_wherever_it_ends_and_never_a_panic() {
    let source = golden("market/guides");
    let folder = Folder(tempfile::tempdir().unwrap());
    let names = [
        "matrix.mtx.gz",
        "features.tsv.gz",
        "barcodes.tsv.gz",
        "metadata.csv.gz",
    ];
    for name in names {
        std::fs::copy(source.join(name), folder.path().join(name)).unwrap();
    }
    open(folder.path()).unwrap();
    for name in names {
        let whole = std::fs::read(source.join(name)).unwrap();
        for cut in 0..whole.len() {
            folder.write(name, &whole[..cut]);
            assert!(open(folder.path()).is_err(), "{name} cut at {cut}");
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            folder.write(name, &damaged);
            let _ = open(folder.path());
        }
        folder.write(name, &whole);
    }
}

proptest! {
    /// Any matrix comes back as it was written, whatever the order of its lines and whichever side its genes are.
    #[test]
    fn what_is_written_is_read(
        counts in prop::collection::vec(prop::collection::vec(0u32..4, 3), 5),
        order in Just((0..15).collect::<Vec<usize>>()).prop_shuffle(),
        genes_by_cells in any::<bool>(),
    ) {
        let folder = Folder::new();
        let listed: Vec<(usize, usize)> = order
            .iter()
            .map(|at| (at / 3, at % 3))
            .filter(|&(cell, gene)| counts[cell][gene] > 0)
            .collect();
        let shape = if genes_by_cells { "3 5" } else { "5 3" };
        let mut text = format!("%%MatrixMarket matrix coordinate integer general\n{shape} {}\n", listed.len()).into_bytes();
        for (cell, gene) in listed {
            let (row, column) = if genes_by_cells { (gene, cell) } else { (cell, gene) };
            writeln!(text, "{} {} {}", row + 1, column + 1, counts[cell][gene]).unwrap();
        }
        folder.write("matrix.mtx", text);
        folder.write("barcodes.tsv", "a\nb\nc\nd\ne\n");
        let file = open(folder.path()).unwrap();
        let expected: Vec<Vec<f32>> = counts.iter().map(|row| row.iter().map(|&n| n as f32).collect()).collect();
        prop_assert_eq!(self::counts(&file, &[0, 1, 2, 3, 4]), expected);
    }
}
