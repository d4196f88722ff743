//! Networks that h5ad files hold beside their cells.

mod common;

use common::{Temporary, golden};
use hdf5_pure::{AttrValue, FileBuilder, GroupBuilder};
use scfm_io::{EdgeRows, Error, H5ad, ReadLimits, Regulators};

/// Source, target and score by their usual names; see `golden/make_networks.py`.
fn choose(names: &[&str]) -> Option<[usize; 3]> {
    let find = |wanted: &[&str]| names.iter().position(|name| wanted.contains(name));
    Some([
        find(&["source", "regulator", "tf"])?,
        find(&["target", "gene"])?,
        find(&["weight", "score"])?,
    ])
}

fn open(name: &str) -> H5ad {
    H5ad::open(&golden(name), &ReadLimits::default()).unwrap()
}

fn read(file: &H5ad, path: &str) -> Result<EdgeRows, Error> {
    file.network(path, choose, Regulators::Rows, None)
}

/// What `golden/make_networks.py` wrote.
const PAIRS: [(&str, &str, f64); 5] = [
    ("STAT1", "IRF1", 0.75),
    ("STAT1", "HLA-A", -0.5),
    ("IRF1", "HLA-A", 0.25),
    ("JAK2", "JAK2", 1.0),
    ("HLA-A", "STAT1", 0.0625),
];

/// The scored pairs, sorted.
fn pairs(rows: &EdgeRows) -> Vec<(String, String, f64)> {
    let gene = |position: u32| rows.genes[position as usize].clone();
    let mut pairs: Vec<_> = rows
        .rows
        .iter()
        .map(|&(s, t, score)| (gene(s), gene(t), score.unwrap()))
        .collect();
    pairs.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    pairs
}

fn sorted(pairs: &[(&str, &str, f64)]) -> Vec<(String, String, f64)> {
    let mut pairs: Vec<_> = pairs
        .iter()
        .map(|&(s, t, score)| (s.to_owned(), t.to_owned(), score))
        .collect();
    pairs.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    pairs
}

#[test]
fn networks_are_found_wherever_they_stand() {
    assert_eq!(
        open("networks.h5ad").networks(choose).unwrap(),
        [
            "uns/grn",
            "uns/method/columns",
            "uns/record_array",
            "varp/GRN",
            "varp/by_target",
            "varp/dense",
            "varp/heads"
        ]
    );
    assert_eq!(
        open("prediction.h5ad").networks(choose).unwrap(),
        ["uns/prediction"]
    );
    assert_eq!(open("grnndata.h5ad").networks(choose).unwrap(), ["varp/GRN"]);
    assert!(open("plain.h5ad").networks(choose).unwrap().is_empty());
}

#[test]
fn every_form_of_a_table_gives_the_same_pairs() {
    let file = open("networks.h5ad");
    for (path, columns) in [
        ("uns/grn", ["source", "target", "weight"]),
        ("uns/record_array", ["regulator", "target", "score"]),
        ("uns/method/columns", ["tf", "gene", "score"]),
        ("uns/method/deeper/frame", ["source", "target", "weight"]),
    ] {
        let rows = read(&file, path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(pairs(&rows), sorted(&PAIRS), "{path}");
        assert_eq!(rows.columns, columns, "{path}");
    }
    // Without any cell or gene, and weights as text.
    let rows = read(&open("prediction.h5ad"), "uns/prediction").unwrap();
    assert_eq!(pairs(&rows), sorted(&PAIRS));
}

#[test]
fn every_form_of_a_matrix_gives_the_same_pairs_and_says_which_side_regulates() {
    let file = open("networks.h5ad");
    for path in ["varp/GRN", "varp/by_target"] {
        let rows = read(&file, path).unwrap();
        assert_eq!(pairs(&rows), sorted(&PAIRS), "{path}");
        assert_eq!(
            rows.columns,
            [&format!("rows of {path}"), "its columns", "its values"]
        );
        let turned = file.network(path, choose, Regulators::Columns, None).unwrap();
        let expected = PAIRS.map(|(s, t, score)| (t, s, score));
        assert_eq!(pairs(&turned), sorted(&expected), "{path}");
        assert_eq!(turned.columns[0], format!("columns of {path}"));
    }
    let dense = pairs(&read(&file, "varp/dense").unwrap());
    assert_eq!(dense.len(), 16, "a dense matrix scores every pair");
    let stored: Vec<_> = dense.into_iter().filter(|pair| pair.2 != 0.0).collect();
    assert_eq!(stored, sorted(&PAIRS));

    let named = file
        .network("varp/GRN", choose, Regulators::Rows, Some("symbol"))
        .unwrap();
    assert_eq!(named.genes, ["s1", "i1", "j2", "h"]);
    assert_eq!(named.columns[0], "rows of varp/GRN by var/symbol");
}

#[test]
fn what_is_no_network_is_named_with_what_there_is() {
    let file = open("networks.h5ad");
    let message = |path: &str| read(&file, path).unwrap_err().to_string();
    for (path, words) in [
        ("uns/nothing", &["no uns/nothing", "uns/grn", "varp/GRN"][..]),
        ("GRN", &["no GRN", "varp/GRN"]),
        ("X", &["no X", "varp/GRN"]),
        ("uns/title", &["uns/title", "something else than a table"]),
        ("uns/neighbors", &["a table of params", "a source"]),
        ("varp/heads", &["[4, 4, 2]", "averaged over heads"]),
    ] {
        let message = message(path);
        for word in words {
            assert!(message.contains(word), "{path}: no {word:?} in {message}");
        }
    }
    let error = file
        .network("varp/GRN", choose, Regulators::Rows, Some("name"))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("there is no var/name; the file has symbol"),
        "{error}"
    );
}

/// A file of three genes with what the test puts into a group.
fn file_with(group: &str, fill: impl FnOnce(&mut GroupBuilder)) -> Temporary {
    let mut file = FileBuilder::new();
    for (name, index) in [("obs", &["c0"][..]), ("var", &["A", "B", "C"])] {
        let mut frame = file.create_group(name);
        frame.set_attr("_index", AttrValue::VarLenString("_index".to_owned()));
        frame.create_dataset("_index").with_vlen_strings(index);
        file.add_group(frame.finish());
    }
    let mut filled = file.create_group(group);
    fill(&mut filled);
    file.add_group(filled.finish());
    Temporary::new(&file.finish().unwrap())
}

/// A dictionary of columns as `uns/grn`.
fn table(sources: &[&str], targets: &[&str], scores: &[f64]) -> Temporary {
    file_with("uns", |uns| {
        let mut grn = uns.create_group("grn");
        grn.create_dataset("source").with_vlen_strings(sources);
        grn.create_dataset("target").with_vlen_strings(targets);
        grn.create_dataset("score").with_f64_data(scores);
        uns.add_group(grn.finish());
    })
}

/// A sparse matrix as `varp/GRN`.
fn matrix(shape: [i64; 2], indptr: &[i64], indices: &[i32], data: &[f32]) -> Temporary {
    file_with("varp", |varp| {
        let mut grn = varp.create_group("GRN");
        grn.set_attr("encoding-type", AttrValue::VarLenString("csr_matrix".to_owned()));
        grn.set_attr("shape", AttrValue::I64Array(shape.to_vec()));
        grn.create_dataset("indptr").with_i64_data(indptr);
        grn.create_dataset("indices").with_i32_data(indices);
        grn.create_dataset("data").with_f32_data(data);
        varp.add_group(grn.finish());
    })
}

fn read_file(file: &Temporary, path: &str, memory_budget: u64) -> Result<EdgeRows, Error> {
    let limits = ReadLimits {
        memory_budget,
        ..ReadLimits::default()
    };
    read(&H5ad::open(&file.path, &limits)?, path)
}

#[test]
fn a_missing_score_is_none_and_values_that_cannot_be_are_named_by_their_row() {
    let budget = 1 << 20;
    let found = read_file(
        &table(&["A", "B"], &["B", "C"], &[1.0, f64::NAN]),
        "uns/grn",
        budget,
    )
    .unwrap();
    assert_eq!(found.rows, [(0, 1, Some(1.0)), (1, 2, None)]);
    for (file, words) in [
        (
            table(&["A", "B"], &["B", "C"], &[1.0, f64::NEG_INFINITY]),
            &["uns/grn/score, row 1", "-inf"][..],
        ),
        (
            table(&["A", ""], &["B", "C"], &[1.0, 2.0]),
            &["uns/grn/source, row 1", "gene"],
        ),
        (
            table(&["A", "B"], &["B"], &[1.0, 2.0]),
            &["uns/grn/target has length 1, expected 2"],
        ),
        (
            table(&["A", "B"], &["B", "C"], &[1.0]),
            &["uns/grn/score has length 1, expected 2"],
        ),
    ] {
        let message = read_file(&file, "uns/grn", budget).unwrap_err().to_string();
        for word in words {
            assert!(message.contains(word), "no {word:?} in {message}");
        }
    }
    let text = file_with("uns", |uns| {
        let mut grn = uns.create_group("grn");
        for (name, values) in [
            ("source", ["A", "B"]),
            ("target", ["B", "C"]),
            ("weight", ["0.5", "strong"]),
        ] {
            grn.create_dataset(name).with_vlen_strings(&values);
        }
        uns.add_group(grn.finish());
    });
    let message = read_file(&text, "uns/grn", budget).unwrap_err().to_string();
    assert!(
        message.contains("uns/grn/weight, row 1: found \"strong\""),
        "{message}"
    );
}

#[test]
fn a_broken_matrix_is_named_and_a_huge_one_is_refused_before_it_is_read() {
    let budget = 1 << 20;
    let sound = matrix([3, 3], &[0, 1, 2, 2], &[1, 2], &[0.5, f32::NAN]);
    let rows = read_file(&sound, "varp/GRN", budget).unwrap().rows;
    assert_eq!(rows, [(0, 1, Some(0.5)), (1, 2, None)]);
    for (file, words) in [
        (matrix([3, 2], &[0, 1, 2, 2], &[1, 0], &[0.5, 1.0]), "[3, 2]"),
        (
            matrix([3, 3], &[0, 1, 2], &[1, 2], &[0.5, 1.0]),
            "varp/GRN/indptr has length 3",
        ),
        (
            matrix([3, 3], &[0, 2, 1, 2], &[1, 2], &[0.5, 1.0]),
            "varp/GRN/indptr: entry 2 is 1",
        ),
        (
            matrix([3, 3], &[0, 1, 2, 2], &[1, 3], &[0.5, 1.0]),
            "varp/GRN/indices: entry 1 is 3",
        ),
        (
            matrix([3, 3], &[0, 1, 2, 2], &[1, -1], &[0.5, 1.0]),
            "varp/GRN/indices: entry 1 is -1",
        ),
        (
            matrix([3, 3], &[0, 1, 2, 2], &[1], &[0.5, 1.0]),
            "varp/GRN/indices has length 1",
        ),
        (
            matrix([3, 3], &[0, 1, 2, 2], &[1, 2], &[0.5, f32::INFINITY]),
            "varp/GRN, row 1, column 2: found \"inf\"",
        ),
    ] {
        let message = read_file(&file, "varp/GRN", budget).unwrap_err().to_string();
        assert!(message.contains(words), "no {words:?} in {message}");
    }

    // 2⁴⁰ values that the file declares and does not hold.
    let error = read(&open("declared.h5ad"), "varp/GRN").unwrap_err();
    assert!(
        matches!(&error, Error::TooLarge { object, .. } if object == "varp/GRN"),
        "{error}"
    );
    // What is really there is held to the budget all the same.
    let error = read_file(&sound, "varp/GRN", 40).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}
