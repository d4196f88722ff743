use std::fs;
use std::path::Path;

use crate::harness::{Bench, assert_same_files, files};

#[test]
fn the_main_job_gives_the_same_bytes_with_one_thread_with_two_and_after_an_interruption() {
    let bench = Bench::new();
    let evaluate = |out: &str, threads: &str| {
        bench.ok(&[
            "evaluate",
            "--cell-type",
            "rpe1",
            "--out",
            out,
            "--threads",
            threads,
            "--quiet",
        ])
    };
    let printed = evaluate("one", "1");
    assert!(
        printed.starts_with("embedded fixture of rpe1: simulated"),
        "{printed}"
    );
    assert!(
        printed.contains("report: ") && printed.contains("verdict"),
        "{printed}"
    );
    evaluate("two", "2");
    let (one, two) = (bench.run_folder("one"), bench.run_folder("two"));
    assert_same_files(&one, &two);

    // A run that was stopped after a stage: its later files are gone, one of its earlier ones is damaged.
    let undisturbed = files(&one);
    for file in [
        "registry.csv",
        "report.html",
        "stages/responses.json",
        "tables/perturbations.parquet",
    ] {
        fs::remove_file(one.join(file)).unwrap();
    }
    fs::write(one.join("edges/spearman.parquet"), b"damaged").unwrap();
    evaluate("one", "2");
    assert!(
        files(&one) == undisturbed,
        "a resumed run differs from an undisturbed one"
    );

    for file in ["verdict.json", "report.html", "registry.csv"] {
        fs::remove_file(one.join(file)).unwrap();
    }
    bench.ok(&["report", one.to_str().unwrap(), "--quiet"]);
    assert!(
        files(&one) == undisturbed,
        "a report that is rendered again differs"
    );

    let report = fs::read_to_string(one.join("report.html")).unwrap();
    for said in [
        "Edge score",
        "softmax probabilities",
        "mean over the cells that hold both genes",
    ] {
        assert!(
            report.contains(said),
            "the report does not say {said:?} of its edges"
        );
    }
    check_registry(&one);
    check_columns(&one);
}

/// Every planned test has a row; the tests of this stage of the project ran.
fn check_registry(run: &Path) {
    let (registry, _) = scfm_io::read_table(&run.join("registry.parquet")).unwrap();
    let cell = |row: usize, column: &str| registry.column(column).unwrap().display(row);
    let rows: Vec<usize> = (0..registry.n_rows()).collect();
    assert!(rows.len() >= 153, "{} rows", rows.len());
    let ran = |analysis: &str| {
        let of_it = rows.iter().filter(|&&row| cell(row, "analysis") == analysis);
        of_it
            .filter(|&&row| cell(row, "kind") == "confirmatory")
            .map(|&row| (cell(row, "test"), cell(row, "status"), cell(row, "reason")))
            .collect::<Vec<_>>()
    };
    for analysis in [
        "perturbation-first",
        "layer-selection",
        "gene-baselines",
        "incremental-value",
        "coexpression-mapping",
        "biology-layers",
        "per-tf",
        "degree-null",
        "reference-circularity",
        "expression-matched",
    ] {
        for (test, status, reason) in ran(analysis) {
            assert_eq!(status, "ran", "{test}: {reason}");
        }
    }
    // What cannot be seen or is too small is said to be so; the rest ran.
    let of_ablations = ["head-ablation", "ablation-dose", "orthogonal-interventions"];
    let ablations: Vec<_> = of_ablations.into_iter().flat_map(ran).collect();
    assert_eq!(ablations.len(), 24);
    for (test, status, reason) in &ablations {
        let has_reason = ["cannot change", "too small to judge", "not decidable"]
            .iter()
            .any(|known| reason.contains(known));
        assert!(status == "ran" || has_reason, "{test}: {reason}");
    }
    assert!(ablations.iter().filter(|(_, status, _)| status == "ran").count() >= 2);
    for row in &rows {
        if cell(*row, "analysis") == "intervention-fidelity" {
            assert_eq!(cell(*row, "status"), "ran", "{}", cell(*row, "test"));
        }
    }
    for (_, status, reason) in ran("leakage") {
        assert_eq!((status.as_str(), reason.as_str()), ("not run", "not implemented"));
    }
    let verdict: serde_json::Value =
        serde_json::from_slice(&fs::read(run.join("verdict.json")).unwrap()).unwrap();
    assert_eq!(verdict["simulated"], true);
    assert_eq!(verdict["criteria"].as_array().unwrap().len(), 4);
    assert!(
        fs::read_to_string(run.join("report.html"))
            .unwrap()
            .contains("Simulated data")
    );
}

/// The files have the columns that `docs/files.md` lists.
fn check_columns(run: &Path) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join("docs/files.md");
    let page = fs::read_to_string(page).unwrap();
    let mut checked = 0;
    for line in page
        .lines()
        .filter(|line| line.starts_with("| `tables/") && !line.contains('*'))
    {
        let quoted: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
        let (table, _) = scfm_io::read_table(&run.join(quoted[0])).unwrap();
        let names: Vec<&str> = table.columns().map(|(name, _)| name).collect();
        let listed = &quoted[1..];
        assert_eq!(&names[..listed.len().min(names.len())], listed, "{}", quoted[0]);
        checked += 1;
    }
    assert!(checked >= 10, "{checked} tables are listed");
    let (registry, _) = scfm_io::read_table(&run.join("registry.parquet")).unwrap();
    let described = page.split("## Registry and verdict").nth(1).unwrap();
    for (name, _) in registry.columns() {
        assert!(described.contains(name), "{name} is not described");
    }
}

#[test]
fn a_dry_run_says_what_it_would_cost_and_writes_nothing() {
    let bench = Bench::new();
    let printed = bench.ok(&["evaluate", "--cell-type", "rpe1", "--dry-run", "--quiet"]);
    assert!(
        ["to be computed", "s a cell", "conditions for edges"]
            .iter()
            .all(|said| printed.contains(said)),
        "{printed}"
    );
    assert!(!bench.path("runs").exists());
}
