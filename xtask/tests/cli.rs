//! The program as its users run it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A folder of its own and the program to run in it.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.0.path().join(relative)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(arguments)
            .current_dir(self.0.path())
            .env("SCFM_CACHE", self.path("no cache"))
            .output()
            .unwrap()
    }

    /// Runs a command that must succeed; what it printed.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{arguments:?}\n{out}\n{err}");
        out
    }

    /// Runs a command that must end with exit code 2 and one line that holds every one of `words`.
    fn refused(&self, arguments: &[&str], words: &[&str]) {
        let output = self.run(&[arguments, &["--quiet"]].concat());
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}\n{err}");
        assert!(
            err.starts_with("error: ") && err.trim_end().lines().count() == 1,
            "not one line:\n{err}"
        );
        for word in words {
            assert!(err.contains(word), "no {word:?} in:\n{err}");
        }
        assert!(
            !self.path("runs").exists() || files(&self.path("runs")).is_empty(),
            "something half-written is left"
        );
    }

    /// The only run folder below `out`.
    fn run_folder(&self, out: &str) -> PathBuf {
        let folders: Vec<_> = fs::read_dir(self.path(out))
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        assert_eq!(folders.len(), 1, "{folders:?}");
        folders.into_iter().next().unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn fixture(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join("fixtures/rpe1")
        .join(relative)
}

/// The bytes of all files below a folder, by path.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(
                    path.strip_prefix(folder).unwrap().to_owned(),
                    fs::read(&path).unwrap(),
                );
            }
        }
    }
    found
}

fn assert_same_files(a: &Path, b: &Path) {
    let (a, b) = (files(a), files(b));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (path, bytes) in &a {
        assert!(bytes == &b[path], "{} differs", path.display());
    }
}

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
        "gene-baselines",
        "incremental-value",
        "coexpression-mapping",
    ] {
        for (test, status, reason) in ran(analysis) {
            assert_eq!(status, "ran", "{test}: {reason}");
        }
    }
    for (_, status, reason) in ran("head-ablation") {
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
fn inspect_names_what_would_be_taken_for_what() {
    let bench = Bench::new();
    let printed = bench.ok(&["inspect", fixture("screen.h5ad").to_str().unwrap()]);
    for words in [
        "3080 cells × 300 genes",
        "raw counts: X",
        "perturbations: perturbation",
        "1000 control cells",
    ] {
        assert!(printed.contains(words), "no {words:?} in\n{printed}");
    }
    let printed = bench.ok(&["inspect", fixture("model").to_str().unwrap()]);
    assert!(printed.contains("4 layers × 4 heads"), "{printed}");
}

#[test]
fn extract_writes_the_chosen_layers_over_the_chosen_genes() {
    let bench = Bench::new();
    let genes: Vec<String> = {
        let (table, _) = fixture_genes();
        table.into_iter().take(20).collect()
    };
    fs::write(bench.path("genes.txt"), genes.join("\n")).unwrap();
    let (data, model) = (fixture("screen.h5ad"), fixture("model"));
    let arguments = [
        "extract",
        "--data",
        data.to_str().unwrap(),
        "--model",
        model.to_str().unwrap(),
        "--genes",
        "genes.txt",
    ];
    bench.ok(&[
        &arguments[..],
        &["--layers", "1", "--cells", "50", "--out", "query", "--quiet"],
    ]
    .concat());
    bench.ok(&[
        &arguments[..],
        &[
            "--layers",
            "1",
            "--cells",
            "50",
            "--out",
            "key",
            "--orientation",
            "key",
            "--quiet",
        ],
    ]
    .concat());
    let (query, metadata) = scfm_io::read_edges(&bench.path("query/attention-L1.parquet")).unwrap();
    let (key, _) = scfm_io::read_edges(&bench.path("key/attention-L1.parquet")).unwrap();
    assert_eq!(query.sources().len(), 20);
    for (a, b) in query.scores().iter().zip(key.scores().t()) {
        assert!(
            a == b || (a.is_nan() && b.is_nan()),
            "the other orientation is the transpose"
        );
    }
    let orientation = metadata
        .iter()
        .find(|(name, _)| name == "scfm.orientation")
        .unwrap();
    assert_eq!(orientation.1, "source = query row, target = key column");
    assert!(!bench.path("query/attention-L0.parquet").exists());
}

#[test]
fn a_matrix_market_folder_gives_what_the_h5ad_file_gives() {
    let bench = Bench::new();
    write_market_folder(&bench.path("screen"));
    let printed = bench.ok(&["inspect", "screen"]);
    for words in [
        "3080 cells × 300 genes",
        "raw counts: X",
        "1000 control cells, 52 single-gene",
    ] {
        assert!(printed.contains(words), "no {words:?} in\n{printed}");
    }
    let (genes, _) = fixture_genes();
    fs::write(bench.path("genes.txt"), genes[..20].join("\n")).unwrap();
    let (h5ad, model) = (fixture("screen.h5ad"), fixture("model"));
    for (data, out) in [(h5ad.to_str().unwrap(), "from-h5ad"), ("screen", "from-folder")] {
        let arguments = [
            "extract",
            "--data",
            data,
            "--model",
            model.to_str().unwrap(),
            "--out",
            out,
        ];
        let few = [
            "--genes",
            "genes.txt",
            "--layers",
            "0",
            "--cells",
            "40",
            "--quiet",
        ];
        bench.ok(&[&arguments[..], &few].concat());
    }
    let read = |out: &str| {
        scfm_io::read_edges(&bench.path(&format!("{out}/attention-L0.parquet")))
            .unwrap()
            .0
    };
    let (expected, found) = (read("from-h5ad"), read("from-folder"));
    assert_eq!(found.sources().genes(), expected.sources().genes());
    let bits = |edges: &scfm_core::EdgeMatrix| {
        edges
            .scores()
            .iter()
            .map(|score| score.to_bits())
            .collect::<Vec<_>>()
    };
    assert_eq!(bits(&found), bits(&expected));
    assert!(expected.scores().iter().any(|score| score.is_finite()));
}

/// The embedded screen as 10x Genomics would write it, with its labels beside.
fn write_market_folder(folder: &Path) {
    let file = scfm_io::H5ad::open(&fixture("screen.h5ad"), &scfm_io::ReadLimits::default()).unwrap();
    let (obs, var) = (file.obs().unwrap(), file.var().unwrap());
    let (cells, symbols) = (obs.index().unwrap(), var.index().unwrap());
    let ids = var.column("ensembl_id").unwrap().labels();
    let labels = obs.column("perturbation").unwrap().labels();
    let rows: Vec<usize> = (0..file.n_cells()).collect();
    let genes = scfm_io::GeneMap::new(&symbols);
    let counts = file.cells(&scfm_io::MatrixName::X, &rows, &genes).unwrap();
    let mut matrix = format!(
        "%%MatrixMarket matrix coordinate integer general\n{} {} {}\n",
        symbols.len(),
        cells.len(),
        counts.counts().nnz()
    );
    for (cell, row) in counts.counts().outer_iterator().enumerate() {
        for (gene, count) in row.iter() {
            matrix += &format!("{} {} {count}\n", gene + 1, cell + 1);
        }
    }
    let features = ids
        .iter()
        .zip(&symbols)
        .map(|(id, symbol)| format!("{}\t{symbol}\n", id.as_deref().unwrap()));
    let table = cells
        .iter()
        .zip(&labels)
        .map(|(cell, label)| format!("{cell},{}\n", label.as_deref().unwrap()));
    fs::create_dir(folder).unwrap();
    fs::write(folder.join("matrix.mtx"), matrix).unwrap();
    fs::write(folder.join("features.tsv"), features.collect::<String>()).unwrap();
    fs::write(folder.join("barcodes.tsv"), cells.join("\n") + "\n").unwrap();
    fs::write(
        folder.join("obs.csv"),
        "barcode,perturbation\n".to_owned() + &table.collect::<String>(),
    )
    .unwrap();
}

fn fixture_genes() -> (Vec<String>, usize) {
    let file = scfm_io::H5ad::open(&fixture("screen.h5ad"), &scfm_io::ReadLimits::default()).unwrap();
    let genes = file.var().unwrap().index().unwrap();
    let n = genes.len();
    (genes, n)
}

#[test]
fn missing_files_and_wrong_names_get_one_line() {
    let bench = Bench::new();
    bench.refused(
        &["evaluate", "--cell-type", "rpe1", "--data", "absent.h5ad"],
        &["absent.h5ad", "no such file"],
    );
    bench.refused(&["evaluate", "--cell-type", "hela"], &["hela", "RPE1"]);
    bench.refused(&["evaluate", "--context", "absent"], &["absent", "papalexi"]);
    bench.refused(
        &["evaluate", "--cell-type", "rpe1", "--analyses", "horoscope"],
        &["horoscope", "gene-baselines"],
    );
    bench.refused(
        &["evaluate", "--cell-type", "rpe1", "--layer", "4"],
        &["layer 4", "0 to 3"],
    );
    bench.refused(&["evaluate", "--context", "papalexi"], &["papalexi", "--data"]);
    bench.refused(&["inspect", "absent.h5ad"], &["absent.h5ad"]);
    bench.refused(&["report", "."], &["run.toml"]);
}

#[test]
fn a_wrong_perturbation_column_lists_the_columns_with_their_labels() {
    let bench = Bench::new();
    bench.refused(
        &[
            "evaluate",
            "--cell-type",
            "rpe1",
            "--perturbation-column",
            "target",
        ],
        &[
            "screen.h5ad",
            "\"target\"",
            "guide",
            "cell_state",
            "control ×1000",
        ],
    );
    bench.refused(
        &[
            "evaluate",
            "--cell-type",
            "rpe1",
            "--perturbation-column",
            "cell_state",
        ],
        &["cell_state", "no control label"],
    );
}

#[test]
fn a_file_that_is_not_hdf5_gets_one_line() {
    let bench = Bench::new();
    fs::write(bench.path("cells.h5ad"), b"gene,count\nSTAT1,3\n").unwrap();
    let model = fixture("model");
    let arguments = [
        "evaluate",
        "--cell-type",
        "rpe1",
        "--data",
        "cells.h5ad",
        "--model",
        model.to_str().unwrap(),
    ];
    bench.refused(&arguments, &["cells.h5ad", "HDF5"]);
}

#[test]
fn a_checkpoint_without_one_of_its_tensors_is_refused_by_name() {
    let bench = Bench::new();
    copy(&fixture("model"), &bench.path("model"));
    // The header of a safetensors file is JSON after its length: spelling a name differently takes the tensor away.
    let path = bench.path("model/model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let name = b"bert.encoder.layer.1.attention.self.key.weight";
    let at = bytes
        .windows(name.len())
        .position(|window| window == name)
        .unwrap();
    bytes[at..at + 4].copy_from_slice(b"tert");
    fs::write(&path, bytes).unwrap();
    bench.refused(
        &["evaluate", "--cell-type", "rpe1", "--model", "model"],
        &[
            "bert.encoder.layer.1.attention.self.key.weight",
            "model.safetensors",
        ],
    );
    fs::remove_file(&path).unwrap();
    bench.refused(
        &["evaluate", "--cell-type", "rpe1", "--model", "model"],
        &["model.safetensors"],
    );
}

#[test]
fn ensembl_ids_against_a_symbol_vocabulary_are_recognised() {
    let bench = Bench::new();
    copy(&fixture("model"), &bench.path("model"));
    // The model's dictionaries speak of symbols where the screen has Ensembl ids in a column of its own.
    let names: BTreeMap<String, String> = json(&bench.path("model/gene_name_id_dict.json"));
    let symbol_of: BTreeMap<&String, &String> = names.iter().map(|(symbol, id)| (id, symbol)).collect();
    for file in ["model/token_dictionary.json", "model/gene_median_dictionary.json"] {
        let dictionary: BTreeMap<String, serde_json::Value> = json(&bench.path(file));
        let renamed: BTreeMap<String, serde_json::Value> = dictionary
            .into_iter()
            .map(|(key, value)| {
                (
                    symbol_of
                        .get(&key)
                        .map_or(key.clone(), |symbol| format!("MOUSE-{symbol}")),
                    value,
                )
            })
            .collect();
        fs::write(bench.path(file), serde_json::to_vec(&renamed).unwrap()).unwrap();
    }
    fs::remove_file(bench.path("model/gene_name_id_dict.json")).unwrap();
    bench.refused(
        &["evaluate", "--cell-type", "rpe1", "--model", "model"],
        &[
            "knows 0 of 300 genes",
            "ENSG99",
            "MOUSE-SIM",
            "Ensembl ids against a symbol vocabulary",
        ],
    );
}

#[test]
fn a_dry_run_says_what_it_would_cost_and_writes_nothing() {
    let bench = Bench::new();
    let printed = bench.ok(&["evaluate", "--cell-type", "rpe1", "--dry-run", "--quiet"]);
    assert!(
        printed.contains("to be computed") && printed.contains("s a cell"),
        "{printed}"
    );
    assert!(!bench.path("runs").exists());
}

fn json<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}
