//! scGPT folders in place of Geneformer's.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use scfm_attention::scgpt;
use scfm_core::{EdgeMatrix, Panel};
use scfm_io::{CountType, H5adWriter, MatrixName};
use sprs::CsMat;

use crate::harness::{Bench, assert_same_files, fixture, json};

/// A random scGPT that knows the embedded screen's genes by symbol, all but the first.
fn model(bench: &Bench) -> PathBuf {
    let file = scfm_io::H5ad::open(&fixture("rpe1/screen.h5ad"), &scfm_io::ReadLimits::default()).unwrap();
    let genes = file.var().unwrap().index().unwrap();
    let tokens: HashMap<&str, usize> = genes[1..].iter().map(String::as_str).zip(0..).collect();
    fs::create_dir(bench.path("vocabulary")).unwrap();
    fs::write(
        bench.path("vocabulary/vocab.json"),
        serde_json::to_vec(&tokens).unwrap(),
    )
    .unwrap();
    let size = ["--layers", "2", "--heads", "4", "--width", "32", "--seed", "5"];
    let arguments = [
        "init-model",
        "--size",
        "scgpt",
        "--dictionaries",
        "vocabulary",
        "--out",
        "scgpt",
    ];
    bench.ok(&[&arguments[..], &size].concat());
    bench.path("scgpt")
}

fn extract(bench: &Bench, out: &str, more: &[&str]) -> (EdgeMatrix, HashMap<String, String>) {
    let data = fixture("rpe1/screen.h5ad");
    let arguments = [
        "extract",
        "--data",
        data.to_str().unwrap(),
        "--model",
        "scgpt",
        "--out",
        out,
    ];
    let fixed = ["--layers", "1", "--cells", "30", "--hvg", "40", "--quiet"];
    bench.ok(&[&arguments[..], &fixed, more].concat());
    let (edges, metadata) = scfm_io::read_edges(&bench.path(out).join("attention-L1.parquet")).unwrap();
    (edges, metadata.into_iter().collect())
}

fn bits(edges: &EdgeMatrix) -> Vec<u32> {
    edges.scores().iter().map(|score| score.to_bits()).collect()
}

#[test]
fn attention_of_a_scgpt_folder_is_extracted_by_symbol_and_says_how_cells_were_made() {
    let bench = Bench::new();
    model(&bench);
    let (middle, metadata) = extract(&bench, "middle", &[]);
    assert_eq!(middle.sources().len(), 40);
    assert!(middle.scores().iter().filter(|score| score.is_finite()).count() > 1000);
    for (key, words) in [
        ("scfm.family", "scGPT"),
        ("scfm.orientation", "source = query row"),
        ("scfm.published_orientation", "regulator from the key column"),
        ("scfm.bins", "the middle of the bins"),
        ("scfm.max_tokens", "1200"),
        ("scfm.input", "<cls> with the value of padding"),
        ("scfm.seed", "0"),
    ] {
        assert!(metadata[key].contains(words), "{key}: {}", metadata[key]);
    }
    let (tied, values) = metadata["scfm.tied_bins"].split_once(" of ").unwrap();
    let values: u64 = values.trim_end_matches(" values").parse().unwrap();
    assert!(tied.parse::<u64>().unwrap() * 2 > values, "{tied} of {values}");

    let (again, _) = extract(&bench, "again", &["--threads", "1"]);
    assert_eq!(bits(&again), bits(&middle));
    let (key, metadata) = extract(&bench, "key", &["--orientation", "key"]);
    assert!(metadata["scfm.orientation"].contains("source = key column"));
    for (a, b) in middle.scores().iter().zip(key.scores().t()) {
        assert_eq!(a.to_bits(), b.to_bits());
    }
}

#[test]
fn bins_that_are_drawn_follow_the_seed_and_are_named() {
    let bench = Bench::new();
    model(&bench);
    let (middle, _) = extract(&bench, "middle", &[]);
    let (random, metadata) = extract(&bench, "random", &["--binning", "random"]);
    assert_eq!(
        metadata["scfm.bins"],
        "random among the bins that a value fits, seed 0"
    );
    assert_ne!(bits(&random), bits(&middle));
    let (again, _) = extract(&bench, "again", &["--binning", "random"]);
    assert_eq!(bits(&again), bits(&random));
    let (numpy, metadata) = extract(&bench, "numpy", &["--binning", "numpy"]);
    assert!(metadata["scfm.bins"].contains("np.random.seed(0)"));
    assert_ne!(bits(&numpy), bits(&random));
    // Close, since only bins that fit are drawn.
    let largest = random
        .scores()
        .iter()
        .zip(middle.scores())
        .filter(|(a, _)| a.is_finite())
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(largest < 0.1, "{largest}");
}

#[test]
fn cells_of_all_genes_of_the_panel_hold_every_pair() {
    let bench = Bench::new();
    model(&bench);
    let (edges, metadata) = extract(&bench, "edges", &["--scgpt-input", "fine-tuning"]);
    assert!(metadata["scfm.input"].contains("all genes of the panel"));
    assert_eq!(metadata["scfm.max_tokens"], "41");
    assert!(edges.scores().iter().all(|score| score.is_finite()));
    let (_, _, counts, _) = scfm_io::read_pair_counts(&bench.path("edges/n_cells.parquet")).unwrap();
    assert!(counts.iter().all(|&n| n == 30));
    // A query attends to the panel and to <cls>.
    for row in edges.scores().rows() {
        let sum: f32 = row.sum();
        assert!(0.5 < sum && sum < 1.0, "{sum}");
    }
    let (detected, _) = extract(&bench, "detected", &["--scgpt-input", "zero-shot"]);
    assert_ne!(bits(&detected), bits(&edges));
}

#[test]
fn bins_of_a_layer_give_what_the_counts_give_that_they_were_made_from() {
    let bench = Bench::new();
    model(&bench);
    let file = scfm_io::H5ad::open(&fixture("rpe1/screen.h5ad"), &scfm_io::ReadLimits::default()).unwrap();
    let genes = file.var().unwrap().index().unwrap()[1..].to_vec();
    let map = scfm_io::GeneMap::new(&file.var().unwrap().index().unwrap()).onto(&Panel::new(&genes).unwrap());
    let cells = file.cells(&MatrixName::X, &[3, 5, 8, 13], &map).unwrap();
    let counts = cells.counts();
    let mut bins = Vec::new();
    for row in counts.outer_iterator() {
        bins.extend(
            scgpt::bin_ranges(row.data(), 51)
                .iter()
                .map(|range| range.middle() as f32),
        );
    }
    let layer = CsMat::new(
        counts.shape(),
        counts.indptr().raw_storage().to_vec(),
        counts.indices().to_vec(),
        bins,
    );
    H5adWriter::new((0..4).map(|cell| format!("cell {cell}")).collect(), genes)
        .matrix(MatrixName::X, counts, CountType::F32)
        .matrix(
            MatrixName::Layer("X_binned".to_owned()),
            layer.view(),
            CountType::F32,
        )
        .write(&bench.path("cells.h5ad"))
        .unwrap();
    let extract = |out: &str, more: &[&str]| {
        let arguments = [
            "extract",
            "--data",
            "cells.h5ad",
            "--model",
            "scgpt",
            "--hvg",
            "50",
            "--out",
            out,
        ];
        bench.ok(&[&arguments[..], &["--quiet"], more].concat());
        scfm_io::read_edges(&bench.path(out).join("attention-L1.parquet")).unwrap()
    };
    let (of_counts, _) = extract("counts", &[]);
    let (of_layer, metadata) = extract("layer", &["--binned-layer", "layers/X_binned"]);
    assert_eq!(bits(&of_layer), bits(&of_counts));
    assert!(of_layer.scores().iter().any(|score| score.is_finite()));
    assert!(metadata.contains(&("scfm.bins".to_owned(), "read from layers/X_binned".to_owned())));
}

#[test]
fn a_scgpt_folder_is_inspected_and_evaluated() {
    let bench = Bench::new();
    model(&bench);
    let printed = bench.ok(&["inspect", "scgpt"]);
    for words in [
        "scGPT checkpoint",
        "2 layers × 4 heads, width 32",
        "302 tokens",
        "51 bins",
    ] {
        assert!(printed.contains(words), "no {words:?} in\n{printed}");
    }
    let arguments = [
        "evaluate",
        "--cell-type",
        "rpe1",
        "--model",
        "scgpt",
        "--cells",
        "60",
        "--layer",
        "0",
        "--quiet",
    ];
    bench.ok(&[&arguments[..], &["--analyses", "coexpression-mapping"]].concat());
    let run = bench.run_folder("runs");
    let (_, metadata) = scfm_io::read_edges(&run.join("edges/attention-L0.parquet")).unwrap();
    let metadata: HashMap<String, String> = metadata.into_iter().collect();
    assert_eq!(metadata["scfm.family"], "scGPT");
    assert!(metadata.contains_key("scfm.sha256.vocabulary"));
    let record = fs::read_to_string(run.join("run.toml")).unwrap();
    assert!(record.contains("bins: the middle of the bins"), "{record}");
    let report = fs::read_to_string(run.join("report.html")).unwrap();
    for words in [
        "scGPT, 2 layers × 4 heads",
        "reads the regulator from the key column",
    ] {
        assert!(report.contains(words), "no {words:?} in the report");
    }
}

#[test]
fn embedded_checkpoints_are_evaluated_by_name_and_say_that_they_are_simulated() {
    let bench = Bench::new();
    for (name, out, family, folder) in [
        ("scgpt", "one", "scGPT", "model-scgpt"),
        ("geneformer", "two", "Geneformer", "model"),
    ] {
        let evaluate = ["evaluate", "--cell-type", "rpe1", "--model", name, "--out", out];
        // One analysis, that reads the attention of few cells.
        let fast = ["--cells", "60", "--analyses", "coexpression-mapping", "--quiet"];
        let printed = bench.ok(&[&evaluate[..], &fast].concat());
        let first: Vec<&str> = printed.lines().take(2).collect();
        assert!(
            first[0].starts_with("embedded fixture of rpe1: simulated"),
            "{printed}"
        );
        assert_eq!(
            first[1],
            format!("embedded checkpoint {name} (fixtures/{folder}): trained on simulated cells")
        );
        let run = bench.run_folder(out);
        let record: toml::Table = fs::read_to_string(run.join("run.toml")).unwrap().parse().unwrap();
        assert_eq!(record["family"].as_str(), Some(family));
        assert_eq!(record["simulated"].as_bool(), Some(true));
        let verdict: serde_json::Value = json(&run.join("verdict.json"));
        assert_eq!(verdict["simulated"], true);
        assert!(verdict["verdict"].is_string(), "{verdict}");
        let report = fs::read_to_string(run.join("report.html")).unwrap();
        assert!(report.contains("Simulated data"));

        let (registry, _) = scfm_io::read_table(&run.join("registry.parquet")).unwrap();
        let cell = |row: usize, column: &str| registry.column(column).unwrap().display(row);
        let ran: Vec<usize> = (0..registry.n_rows())
            .filter(|&row| cell(row, "status") == "ran")
            .collect();
        assert!(!ran.is_empty());
        for row in ran {
            let inputs = cell(row, "inputs");
            assert!(inputs.ends_with("; simulated"), "{inputs}");
        }
    }
}

#[test]
fn a_model_is_a_folder_or_the_name_of_an_embedded_checkpoint() {
    let bench = Bench::new();
    let evaluate = ["evaluate", "--cell-type", "rpe1", "--dry-run", "--quiet"];
    let printed = bench.ok(&evaluate);
    assert!(printed.contains("embedded checkpoint geneformer ("), "{printed}");
    let folder = fixture("model-scgpt");
    let printed = bench.ok(&[&evaluate[..], &["--model", folder.to_str().unwrap()]].concat());
    assert!(printed.contains("embedded checkpoint scgpt ("), "{printed}");
    bench.refused(
        &[&evaluate[..4], &["--model", "scbert"]].concat(),
        &["scbert: no such file or folder", "geneformer, scgpt"],
    );
    // A folder of the user's own comes before the name.
    model(&bench);
    let printed = bench.ok(&[&evaluate[..], &["--model", "scgpt"]].concat());
    assert!(!printed.contains("embedded checkpoint"), "{printed}");
}

#[test]
fn shards_of_a_scgpt_extraction_add_up_with_their_tied_bins() {
    let bench = Bench::new();
    model(&bench);
    let random = ["--binning", "random"];
    extract(&bench, "whole", &random);
    let data = fixture("rpe1/screen.h5ad");
    let begin = [
        "extract",
        "--data",
        data.to_str().unwrap(),
        "--model",
        "scgpt",
        "--quiet",
    ];
    let fixed = ["--layers", "1", "--cells", "30", "--hvg", "40"];
    for (shard, out) in [("1/2", "first"), ("2/2", "second")] {
        bench.ok(&[&begin[..], &fixed, &random, &["--shard", shard, "--out", out]].concat());
    }
    bench.ok(&["merge", "first", "second", "--out", "merged", "--quiet"]);
    assert_same_files(&bench.path("whole"), &bench.path("merged"));

    bench.ok(&[&begin[..], &fixed, &["--shard", "2/2", "--out", "middle"]].concat());
    bench.refused(
        &["merge", "first", "middle", "--out", "other"],
        &["not shards of one extraction", "the bins is random"],
    );
    let numpy = ["--binning", "numpy", "--shard", "1/2", "--out", "numpy"];
    bench.refused(
        &[&begin[..5], &fixed, &numpy].concat(),
        &["numpy's generator", "in one piece"],
    );
}

#[test]
fn what_does_not_fit_scgpt_or_is_for_it_alone_is_one_line() {
    let bench = Bench::new();
    let folder = model(&bench);
    let data = fixture("rpe1/screen.h5ad");
    let data = data.to_str().unwrap();
    let geneformer = fixture("model");
    let geneformer = geneformer.to_str().unwrap();
    let cases: [(&[&str], &str); 5] = [
        (
            &["--model", "scgpt", "--domain", "0"],
            "does not normalise its input by batches",
        ),
        (
            &["--model", geneformer, "--binning", "random"],
            "--binning is for scGPT; the model is a Geneformer",
        ),
        (
            &["--model", "scgpt", "--dictionaries", geneformer],
            "leave --dictionaries out",
        ),
        (
            &["--model", "scgpt", "--binned-layer", "layers/X_binned"],
            "no matrix \"layers/X_binned\"; the file has X",
        ),
        (
            &["--model", "scgpt", "--binning", "numpy", "--seed", "4294967296"],
            "seeds below 2^32",
        ),
    ];
    let extract = ["extract", "--data", data, "--out", "edges"];
    for (arguments, words) in cases {
        bench.refused(&[&extract, arguments].concat(), &[words]);
    }

    let args = fs::read_to_string(folder.join("args.json")).unwrap();
    for (from, to, words) in [
        ("\"binned\"", "\"log1p\"", "input_style is \"log1p\""),
        (
            "\"nlayers\": 2",
            "\"nlayers\": 3",
            "transformer_encoder.layers.2.",
        ),
        ("\"pre_norm\": false", "\"pre_norm\": true", "pre_norm is true"),
    ] {
        assert!(args.contains(from), "{args}");
        fs::write(folder.join("args.json"), args.replace(from, to)).unwrap();
        bench.refused(
            &[&extract[..], &["--model", "scgpt"]].concat(),
            &["args.json", words],
        );
    }
}
