//! What of a model becomes an edge: measures, heads, strata, networks as published, and what is left of them by chance.

use std::collections::BTreeMap;
use std::path::Path;

use scfm_core::EdgeMatrix;

use crate::harness::{Bench, assert_same_files, fixture};

const FEW: &[&str] = &["--cells", "40", "--hvg", "30"];
const STRATUM: &str = "batch";

fn arguments(model: &str, out: &str, more: &[&str]) -> Vec<String> {
    let (data, model) = (fixture("rpe1/screen.h5ad"), fixture(model));
    let (data, model) = (data.to_str().unwrap(), model.to_str().unwrap());
    let fixed = ["extract", "--data", data, "--model", model, "--out", out];
    let given = fixed.iter().chain(FEW).chain(more);
    given.map(|&argument| argument.to_owned()).collect()
}

fn extract(bench: &Bench, model: &str, out: &str, more: &[&str]) -> String {
    let arguments = arguments(model, out, more);
    let arguments = arguments.iter().map(String::as_str).chain(["--quiet"]);
    bench.ok(&arguments.collect::<Vec<_>>())
}

fn refused(bench: &Bench, model: &str, more: &[&str], words: &[&str]) {
    let arguments = arguments(model, "refused", more);
    bench.refused(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), words);
    assert!(!bench.path("refused").exists());
}

/// Edges and what their file says of itself.
fn read(path: &Path) -> (EdgeMatrix, BTreeMap<String, String>) {
    let (edges, metadata) = scfm_io::read_edges(path).unwrap();
    (edges, metadata.into_iter().collect())
}

fn edge_files(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let files = names.filter(|entry| entry.path().is_file());
    let mut names: Vec<String> = files
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Correlation of two matrices over the pairs that both have.
fn correlation(a: &EdgeMatrix, b: &EdgeMatrix) -> f64 {
    let pairs = a
        .scores()
        .iter()
        .zip(b.scores())
        .filter(|(a, b)| !a.is_nan() && !b.is_nan());
    let pairs: Vec<(f64, f64)> = pairs.map(|(&a, &b)| (f64::from(a), f64::from(b))).collect();
    let mean = |of: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / pairs.len() as f64;
    let (x, y) = (mean(&|p| p.0), mean(&|p| p.1));
    let covariance = mean(&|p| (p.0 - x) * (p.1 - y));
    covariance / (mean(&|p| (p.0 - x).powi(2)) * mean(&|p| (p.1 - y).powi(2))).sqrt()
}

#[test]
fn measures_and_heads_have_a_file_each_that_says_what_it_is() {
    let bench = Bench::new();
    let all = "attention,attention-se,norm-weighted,value-cosine,value-dot";
    extract(&bench, "model", "mean", &["--measure", all, "--layers", "2"]);
    let names = edge_files(&bench.path("mean"));
    let expected = [
        "attention",
        "attention-se",
        "norm-weighted",
        "value-cosine",
        "value-dot",
    ];
    let mut expected: Vec<String> = expected.map(|name| format!("{name}-L2.parquet")).to_vec();
    expected.push("n_cells.parquet".to_owned());
    expected.sort();
    assert_eq!(names, expected);
    let (_, said) = read(&bench.path("mean/norm-weighted-L2.parquet"));
    assert!(said["scfm.score"].contains("length of what the key passes on"));
    assert_eq!(
        (said["scfm.layer"].as_str(), said["scfm.heads"].as_str()),
        ("2", "mean over all")
    );
    for key in [
        "scfm.sha256.weights",
        "scfm.sha256.config",
        "scfm.sha256.data",
        "scfm.special_tokens",
        "scfm.seed",
    ] {
        assert!(said.contains_key(key), "{key}");
    }

    extract(&bench, "model", "heads", &["--heads", "2.0,2.1,2.2,2.3"]);
    let heads = (0..4).map(|head| read(&bench.path(&format!("heads/attention-L2-H{head}.parquet"))));
    let heads: Vec<_> = heads
        .map(|(edges, said)| (edges, said["scfm.heads"].clone()))
        .collect();
    assert_eq!(heads[3].1, "3");
    let (mean, _) = read(&bench.path("mean/attention-L2.parquet"));
    for (pair, &score) in mean.scores().indexed_iter().filter(|(_, score)| !score.is_nan()) {
        let of_heads = heads.iter().map(|(edges, _)| edges.scores()[pair]).sum::<f32>() / 4.0;
        assert!((score - of_heads).abs() < 1e-6);
    }
    refused(&bench, "model", &["--heads", "2.4"], &["2.4", "heads 0 to 3"]);
    refused(&bench, "model", &["--layers", "0,9"], &["\"9\"", "0 to 3"]);
    refused(&bench, "model", &["--memory", "0.000001"], &["memory"]);
}

#[test]
fn sources_of_their_own_are_the_rows() {
    let bench = Bench::new();
    extract(&bench, "model", "all", &["--layers", "1"]);
    let (all, _) = read(&bench.path("all/attention-L1.parquet"));
    let some: Vec<&str> = [4, 1].map(|gene| all.sources().gene(gene).as_str()).to_vec();
    std::fs::write(bench.path("tfs.txt"), some.join("\n")).unwrap();
    extract(
        &bench,
        "model",
        "some",
        &["--layers", "1", "--sources", "tfs.txt"],
    );
    let (edges, _) = read(&bench.path("some/attention-L1.parquet"));
    assert_eq!((edges.sources().len(), edges.targets().len()), (2, 30));
    let rows = all.align(edges.sources(), edges.targets());
    for (a, b) in edges.scores().iter().zip(&rows) {
        assert!((f64::from(*a) - b).abs() < 1e-6 || (a.is_nan() && b.is_nan()));
    }
}

#[test]
fn strata_have_edges_of_their_own_and_the_whole_is_as_without_them() {
    let bench = Bench::new();
    extract(&bench, "model", "plain", &["--layers", "3"]);
    extract(&bench, "model", "strata", &["--layers", "3", "--strata", STRATUM]);
    let (plain, _) = read(&bench.path("plain/attention-L3.parquet"));
    let (whole, _) = read(&bench.path("strata/attention-L3.parquet"));
    for (a, b) in plain.scores().iter().zip(whole.scores()) {
        assert_eq!(a.to_bits(), b.to_bits());
    }
    let folders = std::fs::read_dir(bench.path("strata"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let folders: Vec<_> = folders.filter(|path| path.is_dir()).collect();
    assert!(folders.len() > 1, "{folders:?}");
    let mut n_cells = 0;
    for folder in &folders {
        let (_, said) = read(&folder.join("attention-L3.parquet"));
        assert_eq!(
            said["scfm.stratum"],
            folder.file_name().unwrap().to_str().unwrap()
        );
        n_cells += said["scfm.cells"].parse::<usize>().unwrap();
    }
    assert_eq!(n_cells, 40);
    refused(
        &bench,
        "model",
        &["--strata", "no such column"],
        &["no such column", STRATUM],
    );
}

#[test]
fn published_networks_are_what_they_are_said_to_be() {
    let bench = Bench::new();
    extract(&bench, "model", "default", &["--measure", "attention"]);
    extract(&bench, "model", "paper", &["--recipe", "paper"]);
    let ((mean, _), (paper, said)) = (
        read(&bench.path("default/attention-L1.parquet")),
        read(&bench.path("paper/attention-L1.parquet")),
    );
    assert!(
        said["scfm.recipe"].starts_with("paper: arXiv:2602.17532"),
        "{}",
        said["scfm.recipe"]
    );
    let (_, _, counts, _) = scfm_io::read_pair_counts(&bench.path("default/n_cells.parquet")).unwrap();
    for (pair, &n) in counts.indexed_iter() {
        // A mean over the cells that hold both, or over all forty.
        let expected = if n == 0 {
            0.0
        } else {
            mean.scores()[pair] * n as f32 / 40.0
        };
        assert!((paper.scores()[pair] - expected).abs() < 1e-6);
    }

    extract(&bench, "model", "gf-mean", &["--recipe", "geneformer-mean"]);
    assert_eq!(
        edge_files(&bench.path("gf-mean")),
        ["attention.parquet", "n_cells.parquet"]
    );
    let (all_layers, _) = read(&bench.path("gf-mean/attention.parquet"));
    let layers: Vec<_> = (0..4)
        .map(|l| read(&bench.path(&format!("default/attention-L{l}.parquet"))).0)
        .collect();
    for (pair, &score) in all_layers
        .scores()
        .indexed_iter()
        .filter(|(_, score)| !score.is_nan())
    {
        let mean = layers.iter().map(|edges| edges.scores()[pair]).sum::<f32>() / 4.0;
        assert!((score - mean).abs() < 1e-6, "{score}, expected {mean}");
    }
    refused(
        &bench,
        "model",
        &["--recipe", "scgpt-tutorial"],
        &["scgpt-tutorial", "no scGPT"],
    );
}

#[test]
fn scgpts_tutorial_forgets_a_cell_and_its_correction_does_not() {
    let bench = Bench::new();
    extract(
        &bench,
        "model-scgpt",
        "published",
        &["--recipe", "scgpt-tutorial"],
    );
    extract(
        &bench,
        "model-scgpt",
        "corrected",
        &["--recipe", "scgpt-tutorial-corrected"],
    );
    let names = edge_files(&bench.path("published"));
    assert_eq!(
        (names.len(), names[1].starts_with("ranked-logits-L")),
        (2, true),
        "{names:?}"
    );
    let (published, said) = read(&bench.path("published").join(&names[1]));
    let (corrected, _) = read(&bench.path("corrected").join(&names[1]));
    assert_eq!(
        said["scfm.orientation"],
        "source = key column, target = query row"
    );
    assert!(said["scfm.input"].contains("all genes of the panel"));
    assert_eq!(said["scfm.cells"], "40");
    // All cells hold all genes, so what is missing is one cell's share of forty.
    let lost: Vec<f32> = corrected
        .scores()
        .iter()
        .zip(published.scores())
        .map(|(a, b)| a - b)
        .collect();
    assert!(
        lost.iter()
            .all(|&lost| (-1e-6..1.0 / 40.0 + 1e-6).contains(&lost))
    );
    let mean = lost.iter().sum::<f32>() / lost.len() as f32;
    assert!((mean - 0.5 / 40.0).abs() < 0.1 / 40.0, "{mean}");
    for (source, target) in [(0, 3), (7, 2)] {
        let score = corrected.scores()[[source, target]];
        assert!((0.0..1.0).contains(&score));
    }
}

#[test]
fn nulls_say_what_they_lack_and_give_another_network() {
    let bench = Bench::new();
    extract(&bench, "model", "model", &["--layers", "3"]);
    let (own, said) = read(&bench.path("model/attention-L3.parquet"));
    assert!(!said.contains_key("scfm.null"));
    for null in ["weights", "tokens", "expression"] {
        let arguments = ["--layers", "3", "--null", null];
        extract(&bench, "model", null, &arguments);
        extract(
            &bench,
            "model",
            "again",
            &[&arguments[..], &["--threads", "1"]].concat(),
        );
        assert_same_files(&bench.path(null), &bench.path("again"));
        let (edges, said) = read(&bench.path(null).join("attention-L3.parquet"));
        assert!(said["scfm.null"].ends_with("seed 0"), "{}", said["scfm.null"]);
        let r = correlation(&own, &edges);
        assert!(r < 0.95, "{null} correlates with the model by {r}");
    }
    refused(
        &bench,
        "model",
        &["--null", "expression", "--shard", "1/2"],
        &["--shard 1/2", "one piece"],
    );
}

#[test]
fn shards_of_every_measure_add_up_to_its_bytes() {
    let bench = Bench::new();
    let wanted = [
        "--measure",
        "attention-se,value-cosine",
        "--layers",
        "0,2",
        "--absent-pairs",
        "zero",
    ];
    extract(&bench, "model", "whole", &wanted);
    let mut folders = Vec::new();
    for index in 1..=3 {
        let (out, shard) = (format!("{index}-of-3"), format!("{index}/3"));
        extract(
            &bench,
            "model",
            &out,
            &[&wanted[..], &["--shard", &shard]].concat(),
        );
        folders.push(out);
    }
    let merge: Vec<&str> = std::iter::once("merge")
        .chain(folders.iter().map(String::as_str))
        .chain(["--out", "merged"])
        .collect();
    bench.ok(&merge);
    assert_same_files(&bench.path("whole"), &bench.path("merged"));
    assert_eq!(edge_files(&bench.path("whole")).len(), 7);
}
