//! Every context with an embedded screen runs through, and one page compares them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use scfm_core::Column;

use crate::harness::{Bench, cell, registry};

const EMBEDDED: [&str; 5] = ["ipsc-neuron", "k562", "k562-crispra", "rpe1", "t-cell"];

/// The one folder of each context below `out`; that of the comparison is called `all`.
fn folders(out: &Path) -> BTreeMap<String, PathBuf> {
    fs::read_dir(out)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let (context, _) = name.rsplit_once('-').unwrap();
            (context.to_owned(), path)
        })
        .collect()
}

#[test]
fn all_contexts_reach_a_verdict_and_are_compared() {
    let bench = Bench::new();
    // Those that run the model more than once are left to the main job.
    let quick = "perturbation-first,gene-baselines,incremental-value,context-crispra,context-tcell,context-rpe1,context-neuron,\
                 hvg-protocol";
    let printed = bench.ok(&["evaluate", "--all", "--analyses", quick, "--quiet"]);
    assert!(printed.contains("dixit-13d: left out"), "{printed}");
    let runs = folders(&bench.path("runs"));
    for context in EMBEDDED {
        assert!(
            printed.contains(&format!("embedded fixture of {context}: simulated")),
            "{printed}"
        );
        let run = &runs[context];
        let verdict = fs::read_to_string(run.join("verdict.json")).unwrap();
        assert!(verdict.contains("\"simulated\": true"), "{verdict}");
        own_genes_move(run, context);
    }
    assert_eq!(runs.len(), EMBEDDED.len() + 1);

    // The registry of K562 holds what the others found, number by number, and theirs do not.
    let (main, rpe1) = (registry(&runs["k562"]), registry(&runs["rpe1"]));
    for column in ["effect", "p", "ci_low", "n", "inputs"] {
        assert_eq!(
            cell(&main, "context-rpe1/attention-vs-correlation", column),
            cell(&rpe1, "perturbation-first/attention-vs-correlation", column)
        );
    }
    for test in [
        "context-crispra/late-layer",
        "context-tcell/delta-attention",
        "context-neuron/power",
        "hvg-protocol/forced-vs-restricted",
    ] {
        assert_eq!(
            cell(&main, test, "status"),
            "ran",
            "{test}: {}",
            cell(&main, test, "reason")
        );
    }
    let reason = cell(&rpe1, "context-rpe1/attention-vs-correlation", "reason");
    assert!(reason.contains("this run is of that context"), "{reason}");

    compared(&runs["all"]);
    // A report that is rendered again finds the other contexts where they were.
    let file = runs["k562"].join("registry.csv");
    let before = fs::read(&file).unwrap();
    bench.ok(&["report", runs["k562"].to_str().unwrap(), "--quiet"]);
    assert!(fs::read(&file).unwrap() == before);
}

/// The perturbed genes' own expression moves the way of the modality.
fn own_genes_move(run: &Path, context: &str) {
    let (table, _) = scfm_io::read_table(&run.join("tables/perturbations.parquet")).unwrap();
    let own: Vec<f64> = match table.column("self_lfc").unwrap() {
        Column::F64(values) => values.iter().flatten().copied().collect(),
        other => panic!("{other:?}"),
    };
    let up = own.iter().filter(|&&lfc| lfc > 0.0).count();
    let share = up as f64 / own.len() as f64;
    let expected = match context {
        "k562-crispra" => share > 0.95,
        _ => share < 0.05,
    };
    assert!(
        own.len() > 40 && expected,
        "{context}: {up} of {} go up",
        own.len()
    );
}

/// The page names every context, and the table combines what two of them tested.
fn compared(folder: &Path) {
    let page = fs::read_to_string(folder.join("comparison.html")).unwrap();
    for shown in [
        "RPE1, crispri",
        "K562, crispra",
        "perturbation-first/attention-vs-correlation",
    ] {
        assert!(page.contains(shown), "{shown}");
    }
    let (table, _) = scfm_io::read_table(&folder.join("comparison.parquet")).unwrap();
    let text = |row: usize, column: &str| table.column(column).unwrap().display(row);
    let rows: Vec<usize> = (0..table.n_rows())
        .filter(|&row| text(row, "test") == "perturbation-first/attention-vs-correlation")
        .collect();
    assert_eq!(rows.len(), EMBEDDED.len() + 1);
    let combined = *rows.last().unwrap();
    assert_eq!(text(combined, "context"), "combined");
    assert_eq!(text(combined, "n_contexts"), "5");
    let Column::F64(i_squared) = table.column("i_squared").unwrap() else {
        panic!("I² is no number");
    };
    assert!((0.0..=1.0).contains(&i_squared[combined].unwrap()));
}

#[test]
fn a_comparison_needs_contexts_and_takes_none_by_name() {
    let bench = Bench::new();
    bench.refused(
        &["evaluate", "--all", "--analyses", "horoscope"],
        &["not an analysis"],
    );
    let output = bench.run(&["evaluate", "--all", "--cell-type", "rpe1"]);
    assert_eq!(output.status.code(), Some(2));
}
