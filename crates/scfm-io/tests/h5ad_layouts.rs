//! Every layout and value type that files are found in: what is read is what anndata reads (`golden/layouts.json`).

mod common;

use common::golden;
use scfm_io::{Frame, FrameColumn, GeneMap, H5ad, MatrixName, ReadLimits};
use serde_json::Value;

fn expected() -> Value {
    serde_json::from_slice(&std::fs::read(golden("layouts.json")).unwrap()).unwrap()
}

fn strings(values: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    values.as_array().unwrap().iter().map(text).collect()
}

fn assert_frame(frame: &Frame<'_>, expected: &Value, context: &str) {
    assert_eq!(frame.index().unwrap(), strings(&expected["index"]), "{context}");
    let columns = expected["columns"].as_object().unwrap();
    let mut names: Vec<&String> = columns.keys().collect();
    let mut found: Vec<&String> = frame.columns().iter().collect();
    names.sort();
    found.sort();
    assert_eq!(found, names, "{context}");
    for (name, expected) in columns {
        let column = frame.column(name).unwrap();
        let context = format!("{context}, column {name}");
        match &column {
            FrameColumn::Categorical { codes, categories } => {
                let lower = |names: &[String]| names.iter().map(|n| n.to_lowercase()).collect::<Vec<_>>();
                // Python writes its truth values in capitals.
                assert_eq!(
                    lower(categories),
                    lower(&strings(&expected["categories"])),
                    "{context}"
                );
                let codes: Vec<i64> = codes.iter().map(|code| code.map_or(-1, i64::from)).collect();
                assert_eq!(serde_json::json!(codes), expected["codes"], "{context}");
            }
            FrameColumn::Text(values) => assert_eq!(serde_json::json!(values), *expected, "{context}"),
            FrameColumn::Bool(values) => assert_eq!(serde_json::json!(values), *expected, "{context}"),
            FrameColumn::Number(values) => {
                for (value, expected) in values.iter().zip(expected.as_array().unwrap()) {
                    let expected = expected.as_f64().unwrap_or(f64::NAN);
                    assert!(
                        *value == expected || (value.is_nan() && expected.is_nan()),
                        "{context}: {value}, expected {expected}"
                    );
                }
            }
            other => panic!("{context}: {other:?}"),
        }
        assert_eq!(column.len(), frame.n_rows(), "{context}");
    }
}

#[test]
fn tables_hold_what_anndata_reads() {
    for (name, expected) in expected().as_object().unwrap() {
        let file = H5ad::open(&golden(name), &ReadLimits::default()).unwrap();
        assert_frame(&file.obs().unwrap(), &expected["obs"], &format!("{name} obs"));
        assert_frame(&file.var().unwrap(), &expected["var"], &format!("{name} var"));
        if let Some(raw) = expected.get("raw_var") {
            let var = file.var_of(&MatrixName::Raw).unwrap();
            assert_frame(&var, raw, &format!("{name} raw/var"));
        }
    }
}

#[test]
fn matrices_hold_what_anndata_reads() {
    for (name, expected) in expected().as_object().unwrap() {
        let file = H5ad::open(&golden(name), &ReadLimits::default()).unwrap();
        let expected = expected["matrices"].as_object().unwrap();
        let names: Vec<String> = file
            .matrix_names()
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        let mut sorted = names.clone();
        sorted.sort();
        assert!(sorted.iter().eq(expected.keys()), "{name}: {names:?}");
        let all: Vec<usize> = (0..file.n_cells()).collect();
        for matrix in file.matrix_names().unwrap() {
            let context = format!("{name} {matrix}");
            let genes = GeneMap::new(&file.gene_ids(&matrix, None).unwrap());
            let rows = expected[&matrix.to_string()].as_array().unwrap();
            let is_count =
                |value: &Value| value.is_boolean() || value.as_f64().is_some_and(|v| v.fract() == 0.0);
            if !rows.iter().flat_map(|row| row.as_array().unwrap()).all(is_count) {
                assert!(file.cells(&matrix, &all, &genes).is_err(), "{context}");
                continue;
            }
            let counts = file.cells(&matrix, &all, &genes).unwrap();
            for (cell, row) in rows.iter().enumerate() {
                for (gene, value) in row.as_array().unwrap().iter().enumerate() {
                    let expected = value
                        .as_f64()
                        .unwrap_or_else(|| f64::from(u8::from(value == true)));
                    let found = counts.counts().get(cell, gene).copied().unwrap_or(0.0);
                    assert_eq!(f64::from(found), expected, "{context}, cell {cell}, gene {gene}");
                }
            }
        }
    }
}

#[test]
fn the_oldest_layout_is_summarised_like_any_other() {
    for name in ["legacy_fixed.h5ad", "legacy_variable.h5ad"] {
        let file = H5ad::open(&golden(name), &ReadLimits::default()).unwrap();
        let summary = file.summary().unwrap();
        let shown: Vec<String> = summary
            .matrices
            .iter()
            .map(|m| format!("{} {} {:?}", m.name, m.encoding, m.shape))
            .collect();
        assert_eq!(shown, ["X csc_matrix [7, 4]", "raw/X csr_matrix [7, 5]"]);
        let stored: Vec<&str> = summary.obs.iter().map(|column| column.stored.as_str()).collect();
        let expected = [
            "categorical (3 categories)",
            "categorical (1 categories)",
            "i64",
            "f32",
            "bool",
            "string",
            "i32",
            "u64",
            "f64",
        ];
        assert_eq!(stored, expected, "{name}");
        assert_eq!(file.counts_matrix().unwrap(), MatrixName::Raw);
        assert_eq!(
            summary.uns,
            ["batch_categories", "condition_categories", "n_neighbors"]
        );
    }
}

#[test]
fn compressions_that_are_not_read_are_named() {
    let file = H5ad::open(&golden("filters.h5ad"), &ReadLimits::default()).unwrap();
    let summary = file.summary().unwrap();
    let genes = GeneMap::new(&["A", "B", "C"]);
    for (matrix, filter) in summary.matrices.iter().zip(["blosc", "blosc2", "lz4", "zstd"]) {
        assert_eq!(matrix.compression, [filter]);
        let error = file.cells(&matrix.name, &[0, 1], &genes).unwrap_err().to_string();
        let expected = format!(
            "{}: compressed by {filter}, which is not read here; write it with gzip",
            matrix.name
        );
        assert!(error.contains(&expected), "{error}");
    }
}

#[test]
fn texts_of_records_are_read_within_the_budget() {
    let tiny = ReadLimits {
        memory_budget: 180,
        ..ReadLimits::default()
    };
    for name in ["legacy_fixed.h5ad", "legacy_variable.h5ad"] {
        let file = H5ad::open(&golden(name), &tiny);
        let error = file.and_then(|file| file.obs()?.index()).unwrap_err();
        assert!(error.to_string().contains("memory budget"), "{name}: {error}");
    }
}
