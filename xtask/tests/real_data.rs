//! The main job on a real screen with the real dictionaries of Geneformer V1; the weights are random.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use scfm_core::{Column, Table};

fn test_data() -> Option<PathBuf> {
    let folder = std::env::var_os("SCFM_TEST_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: SCFM_TEST_DATA is not set");
    }
    folder
}

fn texts(table: &Table, name: &str) -> Vec<String> {
    match table.column(name) {
        Some(Column::Text(values)) => values.iter().map(|v| v.clone().unwrap_or_default()).collect(),
        _ => panic!("no text column {name}"),
    }
}

fn numbers(table: &Table, name: &str) -> Vec<f64> {
    match table.column(name) {
        Some(Column::F64(values)) => values.iter().map(|v| v.unwrap_or(f64::NAN)).collect(),
        _ => panic!("no column of numbers {name}"),
    }
}

/// The run folder that an evaluation below `folder` says it wrote.
fn run_folder(folder: &Path, printed: &str) -> PathBuf {
    let report = printed
        .lines()
        .find_map(|line| line.strip_prefix("report: "))
        .expect("the path of the report");
    folder.join(report).parent().unwrap().to_owned()
}

/// Analyses that run the model once.
const QUICK: &str =
    "perturbation-first,gene-baselines,incremental-value,layer-selection,coexpression-mapping,degree-null";

/// Screens of control cells in the negative control of these tests.
const PSEUDO_SCREENS: usize = 40;

/// Writes the context of that name into `folder`, with a smaller negative control.
fn context_with_few_pseudo_screens(name: &str, folder: &Path) {
    let contexts = Path::new(env!("CARGO_MANIFEST_DIR")).join("contexts");
    let text = std::fs::read_to_string(contexts.join(name).with_extension("toml")).unwrap();
    assert!(
        text.rfind('[') == text.find("[parameters]"),
        "the parameters come last"
    );
    let text = format!("{text}\npseudo_screens = {PSEUDO_SCREENS}\n");
    std::fs::write(folder.join(name).with_extension("toml"), text).unwrap();
}

/// What must be found on this screen, and what must not.
fn controls(run: &Path) {
    // Whatever gene the interferon-γ pathway is broken at, the same genes respond, and they are well expressed ones: scores
    // of the target alone find them. Correlation over control cells finds some for the transcription factor itself.
    let (found, _) = scfm_io::read_table(&run.join("tables/gene_baselines.parquet")).unwrap();
    let perturbations = texts(&found, "perturbation");
    assert_eq!(perturbations, ["IFNGR2", "JAK2", "STAT1"]);
    for (score, least) in [
        ("mean", 0.8),
        ("detection", 0.8),
        ("response_frequency", 0.8),
        ("variance", 0.7),
    ] {
        let aurocs = numbers(&found, score);
        assert!(aurocs.iter().all(|&auroc| auroc > least), "{score}: {aurocs:?}");
    }
    assert!(numbers(&found, "correlation")[2] > 0.5);

    // Screens of control cells dealt out at random, responses within genes: nothing happened, and no gene is preferred.
    let (rates, _) = scfm_io::read_table(&run.join("tables/pseudo_screens.parquet")).unwrap();
    let (screens, responders, tests) = (
        texts(&rates, "screens"),
        texts(&rates, "responders"),
        texts(&rates, "test"),
    );
    let count = |name: &str, row: usize| match rates.column(name) {
        Some(Column::U64(values)) => values[row].unwrap(),
        _ => panic!("no counts {name}"),
    };
    let mut judged = 0;
    for row in 0..rates.n_rows() {
        if screens[row] == "random control cells" && responders[row] == "largest |z| for the gene" {
            // Matched candidates are not always balanced, and then decide nothing.
            let decided = count("n_decided", row);
            let matched = tests[row].starts_with("propensity-matching");
            assert!(
                decided == PSEUDO_SCREENS as u64 || matched,
                "{}: {decided}",
                tests[row]
            );
            let name = if tests[row].contains("/delta-") {
                "n_above"
            } else {
                "n_rejected"
            };
            // Of 40 at 5 %, 8 or more come up once in 1,500 times.
            assert!(count(name, row) < 8, "{}: {}", tests[row], count(name, row));
            judged += 1;
        }
    }
    assert_eq!(judged, 12);
    // The largest |z| of all genes prefers genes of a kind, which a score of the target alone finds.
    let preferred = (0..rates.n_rows())
        .find(|&row| responders[row] == "largest |z|" && tests[row] == "gene-baselines/mean-vs-attention")
        .unwrap();
    assert!(count("n_rejected", preferred) > 30);
}

#[test]
fn a_real_screen_runs_through_and_its_known_biology_comes_out() {
    let Some(data) = test_data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}\n{err}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let dictionaries = data.join("models/geneformer_gc30M");
    let dictionaries = dictionaries.to_str().unwrap();
    run(&[
        "init-model",
        "--size",
        "v1-10m",
        "--dictionaries",
        dictionaries,
        "--out",
        "random-v1",
    ]);

    let screen = data.join("perturb/papalexi2021/papalexi2021_subset.h5ad");
    let references = data.join("networks");
    context_with_few_pseudo_screens("papalexi", folder.path());
    let printed = run(&[
        "evaluate",
        "--context",
        "papalexi.toml",
        "--analyses",
        QUICK,
        "--data",
        screen.to_str().unwrap(),
        "--model",
        "random-v1",
        "--references",
        references.to_str().unwrap(),
        "--cells",
        "200",
        "--quiet",
    ]);
    let run_folder = &run_folder(folder.path(), &printed);
    let report = run_folder.join("report.html");

    // The interferon-γ pathway: its receptor, its kinase and its transcription factor all lower STAT1.
    let (de, _) = scfm_io::read_table(&run_folder.join("tables/differential_expression.parquet")).unwrap();
    let mut calls: Vec<(f64, String, String)> = numbers(&de, "statistic")
        .into_iter()
        .zip(texts(&de, "perturbation"))
        .zip(texts(&de, "gene"))
        .map(|((t, perturbed), gene)| (t, perturbed, gene))
        .filter(|(t, ..)| !t.is_nan())
        .collect();
    calls.sort_by(|a, b| a.0.total_cmp(&b.0));
    let rank: BTreeMap<(&str, &str), usize> = calls
        .iter()
        .enumerate()
        .map(|(i, (_, p, g))| ((p.as_str(), g.as_str()), i))
        .collect();
    for perturbed in ["STAT1", "JAK2", "IFNGR1"] {
        assert!(
            rank[&(perturbed, "STAT1")] < 15,
            "{perturbed} → STAT1 is call {}",
            rank[&(perturbed, "STAT1")]
        );
    }
    let irf1 = calls
        .iter()
        .find(|(_, p, g)| p == "IRF1" && g == "UBE2L6")
        .unwrap();
    assert!(irf1.0.abs() < 5.0, "IRF1 → UBE2L6 has no effect, t = {}", irf1.0);

    // Nine guides without target, by two tests, across replicates and within them.
    let (guides, _) = scfm_io::read_table(&run_folder.join("tables/guide_nulls.parquet")).unwrap();
    assert_eq!(guides.n_rows(), 4 * 9);
    let within = numbers(&guides, "nominal_rate");
    assert!(within.iter().all(|&rate| rate < 0.15), "{within:?}");

    // Nine of the perturbed genes are measured, too few to decide anything; the report says which were left out.
    let (registry, _) = scfm_io::read_table(&run_folder.join("registry.parquet")).unwrap();
    let (tests, reasons) = (texts(&registry, "test"), texts(&registry, "reason"));
    let row = tests
        .iter()
        .position(|test| test == "perturbation-first/attention-vs-correlation")
        .unwrap();
    assert!(reasons[row].contains("not decidable"), "{}", reasons[row]);
    let html = std::fs::read_to_string(&report).unwrap();
    assert!(
        html.contains("BRD4") || html.contains("CUL3"),
        "the report names perturbed genes that are not measured"
    );
    assert!(!html.contains("Simulated data"));
    for words in [
        "within bio_rep",
        "9 of 9 perturbations with a measured gene",
        "welch within strata",
        "Negative control",
    ] {
        assert!(html.contains(words), "the report does not say {words:?}");
    }
    controls(run_folder);

    // A screen of 72 genes whose index of cells is called `gene`; guides knock down their promoters.
    let screen = data.join("perturb/schraivogel2020/schraivogel2020_chr8_tap.h5ad");
    context_with_few_pseudo_screens("schraivogel", folder.path());
    let printed = run(&[
        "evaluate",
        "--context",
        "schraivogel.toml",
        "--analyses",
        QUICK,
        "--data",
        screen.to_str().unwrap(),
        "--model",
        "random-v1",
        "--cells",
        "1000",
        "--min-knockdown",
        "0.3",
        "--quiet",
    ]);
    let run_folder = self::run_folder(folder.path(), &printed);
    let (own, _) = scfm_io::read_table(&run_folder.join("tables/perturbations.parquet")).unwrap();
    let mut own: Vec<(f64, String)> = numbers(&own, "self_statistic")
        .into_iter()
        .zip(texts(&own, "perturbation"))
        .filter(|(t, _)| !t.is_nan())
        .collect();
    own.sort_by(|a, b| a.0.total_cmp(&b.0));
    let strongest: Vec<&str> = own.iter().take(2).map(|(_, gene)| gene.as_str()).collect();
    assert_eq!(strongest, ["FAM83A", "RIPK2"]);
    let (guides, _) = scfm_io::read_table(&run_folder.join("tables/guide_nulls.parquet")).unwrap();
    assert_eq!(guides.n_rows(), 2 * 30);
}
