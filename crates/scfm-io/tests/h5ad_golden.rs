//! Files written by Python's anndata and h5py are read as Python reads them.

mod common;

use common::{N_CELLS, N_GENES, count, golden};
use scfm_core::{CountMatrix, Panel};
use scfm_io::{Error, FrameColumn, GeneMap, H5ad, MatrixName, ReadLimits, Scalar};

fn open(name: &str) -> H5ad {
    H5ad::open(&golden(name), &ReadLimits::default()).unwrap()
}

fn layer(name: &str) -> MatrixName {
    MatrixName::Layer(name.to_owned())
}

/// The map of a golden file: every column is a gene.
fn genes(file: &H5ad) -> GeneMap {
    GeneMap::new(&file.gene_ids(&MatrixName::X, None).unwrap())
}

fn assert_counts(counts: &CountMatrix, rows: &[usize], context: &str) {
    assert_eq!(counts.n_cells(), rows.len(), "{context}");
    for (i, &row) in rows.iter().enumerate() {
        let expected: Vec<f32> = (0..N_GENES).map(|gene| count(row, gene)).collect();
        let found: Vec<f32> = (0..N_GENES)
            .map(|gene| counts.counts().get(i, gene).copied().unwrap_or(0.0))
            .collect();
        assert_eq!(found, expected, "{context}, row {row}");
        assert_eq!(
            counts.totals()[i],
            expected.iter().map(|&x| f64::from(x)).sum::<f64>(),
            "{context}"
        );
    }
}

#[test]
fn every_layout_and_type_holds_the_same_counts() {
    let all: Vec<usize> = (0..N_CELLS).collect();
    let some = [1, 2, 7, 22];
    let disordered = [22, 0, 5, 5, 1];
    let layers = [
        "counts",
        "csc_f64",
        "csc_u8",
        "csr_u32",
        "dense_f32",
        "dense_i32",
        "dense_u16",
    ];
    for (name, matrices) in [
        ("plain.h5ad", [&[MatrixName::X][..], &layers.map(layer)].concat()),
        ("gzip.h5ad", [&[MatrixName::X][..], &layers.map(layer)].concat()),
        ("latest.h5ad", vec![MatrixName::X]),
        ("shuffled.h5ad", vec![MatrixName::X, layer("dense_chunks")]),
    ] {
        let file = open(name);
        assert_eq!((file.n_cells(), file.n_genes()), (N_CELLS, N_GENES), "{name}");
        let genes = genes(&file);
        for matrix in matrices {
            for rows in [&all[..], &some, &disordered, &[]] {
                let counts = file.cells(&matrix, rows, &genes).unwrap();
                assert_counts(&counts, rows, &format!("{name} {matrix}"));
            }
        }
    }
}

#[test]
fn blocks_are_the_cells_in_pieces() {
    let file = open("gzip.h5ad");
    let genes = genes(&file);
    let rows: Vec<usize> = (0..N_CELLS).rev().collect();
    for matrix in [MatrixName::X, layer("csc_u8"), layer("dense_i32")] {
        let blocks: Vec<CountMatrix> = file
            .blocks(&matrix, &rows, &genes, 10)
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(
            blocks.iter().map(CountMatrix::n_cells).collect::<Vec<_>>(),
            [10, 10, 3]
        );
        for (block, rows) in blocks.iter().zip(rows.chunks(10)) {
            assert_counts(block, rows, &matrix.to_string());
        }
    }
}

#[test]
fn columns_of_one_gene_are_summed_and_totals_span_all_genes() {
    let file = open("plain.h5ad");
    let symbols = file.gene_ids(&MatrixName::X, Some("symbol")).unwrap();
    let by_symbol = GeneMap::new(&symbols);
    assert_eq!(by_symbol.panel().len(), 5);
    let map = by_symbol.onto(&Panel::new(["G3", "absent", "G0"]).unwrap());
    for matrix in [MatrixName::X, layer("csc_f64"), layer("dense_f32")] {
        let counts = file.cells(&matrix, &[0, 4, 8], &map).unwrap();
        for (i, row) in [0, 4, 8].into_iter().enumerate() {
            let gene = |position| counts.counts().get(i, position).copied().unwrap_or(0.0);
            assert_eq!(gene(0), count(row, 6) + count(row, 7));
            assert_eq!(gene(1), 0.0);
            assert_eq!(gene(2), count(row, 0) + count(row, 1));
            assert_eq!(
                counts.totals()[i],
                (0..N_GENES).map(|g| f64::from(count(row, g))).sum::<f64>()
            );
        }
    }
}

#[test]
fn gene_ids_lose_their_versions() {
    let file = open("plain.h5ad");
    let ids = file.gene_ids(&MatrixName::X, None).unwrap();
    assert_eq!(ids[2], "ENSG00000000002.3");
    assert_eq!(genes(&file).panel().gene(2).as_str(), "ENSG00000000002");
    let error = file.gene_ids(&MatrixName::X, Some("ensembl_id")).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("there is no var/ensembl_id; the file has symbol"),
        "{error}"
    );
}

#[test]
fn counts_are_found_by_looking() {
    assert_eq!(open("plain.h5ad").counts_matrix().unwrap(), layer("counts"));
    assert_eq!(open("latest.h5ad").counts_matrix().unwrap(), MatrixName::X);

    let error = open("normalised.h5ad").counts_matrix().unwrap_err();
    let Error::NoCounts { seen, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(seen.len(), 2);
    assert!(seen[0].starts_with("raw/X has 4.948"), "{error}");
    assert!(
        seen[1].starts_with("X has ") && seen[1].contains(" for cell cell 0, gene ENSG0000"),
        "{error}"
    );

    let file = open("plain.h5ad");
    let error = file.cells(&layer("log1p"), &[1, 2], &genes(&file)).unwrap_err();
    let Error::NotACount {
        row,
        cell,
        gene,
        value,
        ..
    } = &error
    else {
        panic!("{error}")
    };
    // The first count of cell 1 is that of gene 1: (1 + 2) % 6 + 1 = 4.
    assert_eq!(
        (*row, cell.as_str(), gene.as_str()),
        (1, "cell 1", "ENSG00000000001.2")
    );
    assert_eq!(*value, f64::from(4f32.ln_1p()));
}

#[test]
fn columns_of_every_kind_are_read() {
    let file = open("columns.h5ad");
    let obs = file.obs().unwrap();
    assert_eq!(obs.index().unwrap(), ["c0", "c1", "c2", "c3", "c4", "c5"]);
    let expected = [
        "target", "donor", "note", "n_counts", "fraction", "passed", "n_guides", "doublet", "guide",
    ];
    assert_eq!(obs.columns(), expected);

    let target = obs.column("target").unwrap();
    let FrameColumn::Categorical { codes, categories } = &target else {
        panic!("{target:?}")
    };
    assert_eq!(codes, &[Some(2), Some(1), None, Some(1), Some(1), Some(0)]);
    assert_eq!(categories, &["JAK2", "NT", "STAT1", "unused"]);
    assert_eq!(target.labels()[0].as_deref(), Some("STAT1"));
    let owned = |(label, n): (&str, usize)| (label.to_owned(), n);
    assert_eq!(
        target.value_counts(),
        [("NT", 3), ("JAK2", 1), ("STAT1", 1)].map(owned)
    );

    let donor = obs.column("donor").unwrap();
    assert_eq!(donor.labels()[0].as_deref(), Some("3"));
    assert_eq!(donor.value_counts(), [("1", 2), ("2", 2), ("3", 2)].map(owned));

    let text = |values: [Option<&str>; 6]| FrameColumn::Text(values.map(|v| v.map(str::to_owned)).to_vec());
    let note = ["plain", "", "naïve", "T細胞", "a,b", "\"q\""].map(Some);
    assert_eq!(obs.column("note").unwrap(), text(note));
    let guide = [Some("g1"), None, Some("g3"), Some(""), Some("g5"), Some("g6")];
    assert_eq!(obs.column("guide").unwrap(), text(guide));

    let n_counts = vec![10.0, 20.0, 30.0, 40.0, 50.0, 2f64.powi(40)];
    assert_eq!(obs.column("n_counts").unwrap(), FrameColumn::Number(n_counts));
    let fraction = obs.column("fraction").unwrap().labels();
    let expected = [
        Some("0.5"),
        None,
        Some("1"),
        Some("0.25"),
        Some("0"),
        Some("-1.5"),
    ];
    assert_eq!(fraction, expected.map(|v| v.map(str::to_owned)));
    let n_guides = obs.column("n_guides").unwrap().labels();
    let expected = [Some("1"), None, Some("3"), Some("4"), None, Some("6")];
    assert_eq!(n_guides, expected.map(|v| v.map(str::to_owned)));

    let passed = [true, false, true, true, false, false].map(Some).to_vec();
    assert_eq!(obs.column("passed").unwrap(), FrameColumn::Bool(passed));
    let doublet = vec![Some(true), None, Some(false), Some(false), Some(true), None];
    assert_eq!(obs.column("doublet").unwrap(), FrameColumn::Bool(doublet));

    assert!(matches!(obs.column("perturbation"), Err(Error::Missing { .. })));
    assert!(obs.column("../var/_index").is_err());
}

#[test]
fn single_values_of_uns_are_read() {
    let file = open("columns.h5ad");
    assert_eq!(file.uns("simulated").unwrap(), Some(Scalar::Bool(true)));
    assert_eq!(file.uns("seed").unwrap(), Some(Scalar::Number(7.0)));
    assert_eq!(file.uns("scale").unwrap(), Some(Scalar::Number(0.5)));
    assert_eq!(file.uns_text("title").unwrap().as_deref(), Some("six cells"));
    assert_eq!(file.uns_text("model/name").unwrap().as_deref(), Some("none"));
    for absent in ["list", "model", "nothing", "title/deeper"] {
        assert_eq!(file.uns(absent).unwrap(), None, "{absent}");
    }
}

#[test]
fn a_summary_tells_what_the_file_holds() {
    let summary = open("gzip.h5ad").summary().unwrap();
    assert_eq!((summary.n_cells, summary.n_genes), (N_CELLS, N_GENES));
    assert_eq!(summary.var[0].name, "symbol");
    assert_eq!(summary.var[0].stored, "categorical (5 categories)");
    let shown: Vec<String> = summary
        .matrices
        .iter()
        .map(|m| format!("{} {} {} {:?}", m.name, m.encoding, m.value_type, m.compression))
        .collect();
    assert_eq!(
        shown,
        [
            r#"X csr_matrix f32 ["gzip"]"#,
            r#"layers/counts csr_matrix i64 ["gzip"]"#,
            r#"layers/csc_f64 csc_matrix f64 ["gzip"]"#,
            r#"layers/csc_u8 csc_matrix u8 ["gzip"]"#,
            r#"layers/csr_u32 csr_matrix u32 ["gzip"]"#,
            r#"layers/dense_f32 array f32 ["gzip"]"#,
            r#"layers/dense_i32 array i32 ["gzip"]"#,
            r#"layers/dense_u16 array u16 ["gzip"]"#,
            r#"layers/log1p csr_matrix f32 ["gzip"]"#,
        ]
    );
    assert_eq!(summary.matrices[0].n_stored, 52);

    let obs = open("columns.h5ad").summary().unwrap().obs;
    let stored: Vec<_> = obs.iter().map(|column| column.stored.as_str()).collect();
    let expected = [
        "categorical (4 categories)",
        "categorical (3 categories)",
        "string",
        "i64",
        "f32",
        "bool",
        "nullable-integer",
        "nullable-boolean",
        "nullable-string-array",
    ];
    assert_eq!(stored, expected);
}

#[test]
#[should_panic(expected = "row 23 of a file with 23 cells")]
fn a_row_that_the_file_does_not_have_is_a_broken_contract() {
    let file = open("plain.h5ad");
    let _ = file.cells(&MatrixName::X, &[23], &genes(&file));
}
