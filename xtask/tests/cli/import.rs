//! `import`: attention tensors of other programs, averaged and then judged.

use std::fs;
use std::path::{Path, PathBuf};

use scfm_core::{Source, Target};
use scfm_io::{read_edges, read_pair_counts};

use crate::harness::{Bench, assert_same_files};

/// The tensors of `crates/scfm-attention/tests/golden/generate_given.py`.
fn golden(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join("crates/scfm-attention/tests/golden")
        .join(folder)
}

/// What `numpy.save` writes for `[layer, head, token, token]` in single precision.
fn write_npy(path: &Path, shape: [usize; 4], value: impl Fn([usize; 4]) -> f32) {
    let [layers, heads, queries, keys] = shape;
    let header = format!(
        "{{'descr': '<f4', 'fortran_order': False, 'shape': ({layers}, {heads}, {queries}, {keys}), }}\n"
    );
    let mut bytes = [
        b"\x93NUMPY\x01\x00",
        &(header.len() as u16).to_le_bytes()[..],
        header.as_bytes(),
    ]
    .concat();
    for layer in 0..layers {
        for head in 0..heads {
            for query in 0..queries {
                for key in 0..keys {
                    bytes.extend(value([layer, head, query, key]).to_le_bytes());
                }
            }
        }
    }
    fs::write(path, bytes).unwrap();
}

const GENES: usize = 40;

fn regulates(source: usize, target: usize) -> bool {
    source != target && (source + target * 4).is_multiple_of(6)
}

/// A folder of three cells whose layer 1 knows a network, whose rows are queries, and a reference of that network.
fn with_cells() -> Bench {
    let bench = Bench::new();
    fs::create_dir(bench.path("cells")).unwrap();
    for cell in 0..3 {
        // Token 0 is <cls>; every cell lacks one gene.
        let genes: Vec<usize> = (0..GENES).filter(|gene| gene % 10 != cell).collect();
        let names: Vec<String> = genes.iter().map(|gene| format!("G{gene}")).collect();
        let n = genes.len() + 1;
        let weight = |[layer, head, query, key]: [usize; 4]| match (query, key) {
            (0, _) | (_, 0) => 1.0,
            _ if layer == 1 && regulates(genes[query - 1], genes[key - 1]) => 4.0 + head as f32,
            _ => 1.0 + ((query * 13 + key * 29 + cell) % 11) as f32 / 11.0,
        };
        let value = |at: [usize; 4]| {
            let [layer, head, query, _] = at;
            weight(at) / (0..n).map(|key| weight([layer, head, query, key])).sum::<f32>()
        };
        write_npy(&bench.path(&format!("cells/c{cell}.npy")), [2, 2, n, n], value);
        let list = format!("<cls>\n{}\n", names.join("\n"));
        fs::write(bench.path(&format!("cells/c{cell}.genes.txt")), list).unwrap();
    }
    let pairs = (0..GENES).flat_map(|s| (0..GENES).map(move |t| (s, t)));
    let reference: String = pairs
        .filter(|&(s, t)| regulates(s, t))
        .map(|(s, t)| format!("G{s}\tG{t}\n"))
        .collect();
    fs::write(bench.path("net.tsv"), reference).unwrap();
    bench
}

#[test]
fn tensors_become_edges_and_edges_are_judged() {
    let bench = with_cells();
    let printed = bench.ok(&["import", "cells", "--out", "edges", "--quiet"]);
    for words in [
        "cells: 3 cells, 2 layers × 2 heads, 40 genes; source = query row, target = key column",
        "panel: all genes of the cells (40 of 40 are tokens)",
        "rows: sum to 1",
        "edges/attention-L0.parquet",
        "edges/attention-L1.parquet",
        "edges/n_cells.parquet",
    ] {
        assert!(printed.contains(words), "no {words:?} in\n{printed}");
    }
    let (edges, metadata) = read_edges(&bench.path("edges/attention-L1.parquet")).unwrap();
    let says = |key: &str| {
        metadata
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, value)| value.as_str())
    };
    assert_eq!(says("scfm.source"), Some("tensors of another program"));
    assert_eq!(
        says("scfm.orientation"),
        Some("source = query row, target = key column")
    );
    assert_eq!(says("scfm.heads"), Some("mean over all 2 heads"));
    assert_eq!(says("scfm.row_sums"), Some("sum to 1"));
    assert_eq!(says("scfm.cells"), Some("3"));
    // G0 and G1 are each missing from another cell, and share one.
    let (_, targets, n_cells, _) = read_pair_counts(&bench.path("edges/n_cells.parquet")).unwrap();
    let at = |gene: &str| targets.position(gene).unwrap();
    assert_eq!(n_cells[[at("G0"), at("G1")]], 1);
    assert_eq!(n_cells[[at("G3"), at("G4")]], 3);
    assert!(edges.get(Source(at("G3")), Target(at("G4"))).is_some());

    // The layer that knows the network recovers it, the other does not.
    let auroc = |file: &str, out: &str| -> f64 {
        let printed = bench.ok(&["score", file, "--references", "net.tsv", "--quiet", "--out", out]);
        let line = printed
            .lines()
            .find(|line| line.trim().starts_with("AUROC"))
            .unwrap();
        line.trim()[5..].trim().parse().unwrap()
    };
    assert!(auroc("edges/attention-L1.parquet", "a") > 0.99);
    let of_other = auroc("edges/attention-L0.parquet", "b");
    assert!((0.2..0.8).contains(&of_other), "{of_other}");

    // Read the other way round, sources are targets.
    let arguments = [
        "import",
        "cells",
        "--out",
        "key",
        "--orientation",
        "key",
        "--layers",
        "1",
        "--quiet",
    ];
    let printed = bench.ok(&arguments);
    assert!(
        printed.contains("source = key column, target = query row"),
        "{printed}"
    );
    assert!(!bench.path("key/attention-L0.parquet").exists());
    let (turned, _) = read_edges(&bench.path("key/attention-L1.parquet")).unwrap();
    assert_eq!(
        turned.get(Source(at("G3")), Target(at("G8"))),
        edges.get(Source(at("G8")), Target(at("G3")))
    );
    assert_ne!(
        turned.get(Source(at("G3")), Target(at("G8"))),
        edges.get(Source(at("G3")), Target(at("G8")))
    );

    for threads in ["1", "2"] {
        bench.ok(&[
            "import",
            "cells",
            "--out",
            threads,
            "--threads",
            threads,
            "--quiet",
        ]);
        assert_same_files(&bench.path("edges"), &bench.path(threads));
    }
}

#[test]
fn scores_that_are_no_probabilities_are_said_to_be_none() {
    let bench = Bench::new();
    let logits = golden("given_logits");
    fs::write(bench.path("genes.txt"), "IRF1\nSTAT1\nNONE\n").unwrap();
    let arguments = [
        "import",
        logits.to_str().unwrap(),
        "--out",
        "edges",
        "--genes",
        "genes.txt",
        "--quiet",
    ];
    let printed = bench.ok(&arguments);
    assert!(
        printed.contains("rows: not normalised in 5 of 5 cells: logits"),
        "{printed}"
    );
    assert!(
        printed.contains("panel: genes.txt (2 of 3 are tokens)"),
        "{printed}"
    );
    let (edges, metadata) = read_edges(&bench.path("edges/attention-L0.parquet")).unwrap();
    assert!(
        metadata
            .iter()
            .any(|(key, value)| key == "scfm.row_sums" && value.starts_with("not normalised")),
        "{metadata:?}"
    );
    assert!(edges.scores().iter().any(|score| *score < 0.0));
    assert!(edges.get(Source(0), Target(2)).is_none(), "no cell holds NONE");
}

#[test]
fn tensors_that_cannot_be_read_get_one_line() {
    let bench = with_cells();
    fs::create_dir(bench.path("empty")).unwrap();
    fs::write(bench.path("symbols.txt"), "STAT1\nIRF1\n").unwrap();
    let import = |arguments: &[&str], words: &[&str]| {
        bench.refused(&[&["import"], arguments, &["--out", "edges"]].concat(), words);
        assert!(!bench.path("edges").exists(), "something is left");
    };
    import(&["absent"], &["absent"]);
    import(&["net.tsv"], &["net.tsv"]);
    import(&["empty"], &["empty", "no tensor", "<cell>.safetensors"]);
    import(&["cells", "--layers", "2"], &["--layers 2", "0 to 1"]);
    import(
        &["cells", "--genes", "symbols.txt"],
        &["none of the 2 genes", "STAT1", "such as G1"],
    );
    import(&["cells", "--genes", "absent.txt"], &["absent.txt"]);
    // 40 × 40 pairs of two layers take 32,000 bytes, a head of 37 tokens less.
    import(
        &["cells", "--memory", "0.00002"],
        &["sums of 2 layers over 40 × 40 pairs", "--layers"],
    );
    fs::copy(bench.path("cells/c1.genes.txt"), bench.path("cells/c2.genes.txt")).unwrap();
    bench.ok(&["import", "cells", "--out", "fine", "--quiet"]);
    fs::write(bench.path("cells/c2.genes.txt"), "<cls>\nG1\n").unwrap();
    import(&["cells"], &["c2.genes.txt", "found 2", "expected 37", "c2.npy"]);
    fs::copy(bench.path("cells/c1.genes.txt"), bench.path("cells/c2.genes.txt")).unwrap();
    let cell = fs::read(bench.path("cells/c0.npy")).unwrap();
    fs::write(bench.path("cells/c0.npy"), &cell[..cell.len() - 4]).unwrap();
    import(&["cells"], &["c0.npy", "bytes"]);
    write_npy(&bench.path("cells/c0.npy"), [2, 2, 37, 37], |at| match at {
        [1, 1, 36, 35] => f32::NAN,
        _ => 1.0 / 37.0,
    });
    import(&["cells"], &["c0.npy", "layer 1, head 1", "G39 to G38", "NaN"]);
}
