//! `score`: lists of edges of other tools against reference networks, as users run it.

use std::fs;
use std::path::{Path, PathBuf};

use scfm_core::{Column, EdgeKind, EdgeMatrix, Layer, Panel, Table};

use crate::harness::{Bench, fixture, text};

/// A folder of its own in which lists are scored.
struct Scores(Bench);

impl Scores {
    fn new() -> Self {
        Self(Bench::new())
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.0.path(relative)
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.path(file), text).unwrap();
    }

    /// Scores what must score; what was printed.
    fn ok(&self, arguments: &[&str]) -> String {
        self.0.ok(&[&["score", "--quiet"], arguments].concat())
    }

    /// Expects one line that holds every one of `words`, before anything is written.
    fn refused(&self, arguments: &[&str], words: &[&str]) {
        self.0.refused(&[&["score"], arguments].concat(), words);
        assert!(!self.path("runs").exists(), "something is left");
    }

    fn run_folder(&self, out: &str) -> PathBuf {
        self.0.run_folder(out)
    }
}

/// (status, reason) of a registered test.
fn row(run: &Path, id: &str) -> (String, String) {
    let (registry, _) = scfm_io::read_table(&run.join("registry.parquet")).unwrap();
    let cell = |row: usize, column: &str| registry.column(column).unwrap().display(row);
    let found = (0..registry.n_rows()).find(|&row| cell(row, "test") == id);
    let found = found.unwrap_or_else(|| panic!("{id} is not registered"));
    (cell(found, "status"), cell(found, "reason"))
}

const TFS: usize = 30;
const GENES: usize = 80;

/// Whether the made reference has a pair.
fn regulates(source: usize, target: usize) -> bool {
    source != target && ((source * 17 + target * 29) ^ (source * target)).is_multiple_of(9)
}

/// Scores that are higher at regulated pairs, over every pair of a TF and another gene.
fn strength(source: usize, target: usize) -> f64 {
    ((source * 31 + target * 17) % 23) as f64 / 23.0 + 0.4 * f64::from(u8::from(regulates(source, target)))
}

fn pairs() -> impl Iterator<Item = (usize, usize)> {
    (0..TFS).flat_map(|s| (0..GENES).filter(move |&t| t != s).map(move |t| (s, t)))
}

/// A bench with a whole list and its reference, named as TRRUST is.
fn with_world() -> Scores {
    let bench = Scores::new();
    let list: String = pairs()
        .map(|(s, t)| format!("G{s}\tG{t}\t{}\n", strength(s, t)))
        .collect();
    bench.write("list.tsv", &("TF\ttarget\timportance\n".to_owned() + &list));
    let reference: String = pairs()
        .filter(|&(s, t)| regulates(s, t))
        .map(|(s, t)| format!("G{s}\tG{t}\tUnknown\t1\n"))
        .collect();
    bench.write("trrust_made.tsv", &reference);
    // By this name no planned test is meant, which spares the many networks of a registered p-value.
    bench.write("net.tsv", &reference.replace("\tUnknown\t1", ""));
    bench
}

#[test]
fn a_whole_list_is_judged_and_what_needs_more_says_so() {
    let bench = with_world();
    let printed = bench.ok(&["list.tsv", "--references", "trrust_made.tsv"]);
    for words in [
        "list.tsv: 2,370 scored pairs, 30 sources × 80 targets (source = TF, target = target, score = importance)",
        "early precision ratio",
        "TF × target              mean AUROC over 30 TFs",
        "gene permutation         any association: p = 1.00e-4",
        "beyond them, z = ",
        "2 confirmatory tests ran, 2 significant",
    ] {
        assert!(printed.contains(words), "no {words:?} in\n{printed}");
    }
    assert!(
        !printed.contains("unknown"),
        "nothing is left out of this list:\n{printed}"
    );
    let run = bench.run_folder("runs");
    for (test, status, reason) in [
        ("degree-null/curveball", "ran", ""),
        ("degree-null/z", "ran", ""),
        ("multi-model/trrust-above-chance", "ran", ""),
        ("multi-model/auprc-trrust", "ran", ""),
        (
            "multi-model/dorothea-above-chance",
            "not run",
            "needs the model, dorothea, cells",
        ),
        (
            "perturbation-first/attention-above-chance",
            "not run",
            "needs cells, a screen",
        ),
        (
            "head-ablation/top-5",
            "not run",
            "needs the model, cells, a screen",
        ),
    ] {
        assert_eq!(row(&run, test), (status.to_owned(), reason.to_owned()), "{test}");
    }
    let (table, _) = scfm_io::read_table(&run.join("tables/list_recovery.parquet")).unwrap();
    let labels: Vec<bool> = pairs().map(|(s, t)| regulates(s, t)).collect();
    let scores: Vec<f64> = pairs().map(|(s, t)| strength(s, t)).collect();
    let Some(Column::F64(auroc)) = table.column("auroc") else {
        panic!("no AUROC");
    };
    assert!((auroc[0].unwrap() - scfm_stats::auroc(&scores, &labels).unwrap()).abs() < 1e-12);
    assert!(run.join("tables/degree_null.parquet").exists() && run.join("report.html").exists());
    let record = fs::read_to_string(run.join("run.toml")).unwrap();
    assert!(
        record.contains("trrust_made.tsv") && record.contains("sha256"),
        "{record}"
    );
}

#[test]
fn parquet_of_any_program_gives_what_text_gives_and_threads_change_no_bit() {
    let bench = with_world();
    let printed = bench.ok(&["list.tsv", "--references", "trrust_made.tsv", "--threads", "1"]);
    let figures = |printed: &str| {
        printed
            .lines()
            .skip(2)
            .take(18)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };

    let list: Vec<(usize, usize)> = pairs().collect();
    let table = Table::new(list.len())
        .with(
            "regulator",
            Column::text(list.iter().map(|(s, _)| format!("G{s}"))),
        )
        .unwrap()
        .with("target", Column::text(list.iter().map(|(_, t)| format!("G{t}"))))
        .unwrap()
        .with("fdr", Column::numbers(list.iter().map(|_| 0.5)))
        .unwrap()
        .with(
            "weight",
            Column::numbers(list.iter().map(|&(s, t)| strength(s, t))),
        )
        .unwrap();
    scfm_io::write_table(&bench.path("list.parquet"), &table, &[]).unwrap();
    let arguments = [
        "list.parquet",
        "--references",
        "trrust_made.tsv",
        "--out",
        "two",
        "--threads",
        "2",
    ];
    let of_parquet = bench.ok(&arguments);
    assert!(of_parquet.contains("(source = regulator, target = target, score = weight)"));
    assert_eq!(figures(&printed), figures(&of_parquet));
    let (one, two) = (bench.run_folder("runs"), bench.run_folder("two"));
    for file in [
        "tables/list_recovery.parquet",
        "tables/degree_null.parquet",
        "tables/degree_null_per_tf.parquet",
    ] {
        assert!(
            fs::read(one.join(file)).unwrap() == fs::read(two.join(file)).unwrap(),
            "{file}"
        );
    }

    // Our own edge files: pairs that were never seen are null, and simulated data stay simulated.
    let genes = Panel::new((0..GENES).map(|g| format!("G{g}"))).unwrap();
    let scores = ndarray::Array2::from_shape_fn((GENES, GENES), |(s, t)| match (s, t) {
        _ if s >= TFS || s == t => f32::NAN,
        pair => strength(pair.0, pair.1) as f32,
    });
    let edges = EdgeMatrix::new(EdgeKind::attention(Layer(1)), genes.clone(), genes, scores).unwrap();
    let metadata = [("scfm.simulated".to_owned(), "true".to_owned())];
    scfm_io::write_edges(&bench.path("attention.parquet"), &edges, &metadata).unwrap();
    let own = bench.ok(&[
        "attention.parquet",
        "--references",
        "trrust_made.tsv",
        "--out",
        "own",
    ]);
    assert!(own.contains("4,030 rows have no score"), "{own}");
    let auroc = |printed: &str| {
        printed
            .lines()
            .find(|l| l.trim().starts_with("AUROC"))
            .unwrap()
            .to_owned()
    };
    assert_eq!(auroc(&printed), auroc(&own));
    let verdict = fs::read_to_string(bench.run_folder("own").join("verdict.json")).unwrap();
    assert!(verdict.contains("\"simulated\": true"), "{verdict}");
}

#[test]
fn a_truncated_list_is_named_and_absent_pairs_are_what_the_user_says() {
    let bench = with_world();
    let mut strongest: Vec<(usize, usize)> = pairs().collect();
    strongest.sort_by(|a, b| strength(b.0, b.1).total_cmp(&strength(a.0, a.1)));
    let top: String = strongest[..500]
        .iter()
        .map(|&(s, t)| format!("G{s},G{t},{}\n", strength(s, t)))
        .collect();
    bench.write("top.csv", &top);
    let arguments = ["top.csv", "--references", "net.tsv", "--universe", "panel"];
    let printed = bench.ok(&arguments);
    assert!(printed.contains("the list holds its top 500 of "), "{printed}");
    assert!(
        printed.contains("possible pairs; pairs below are unknown"),
        "{printed}"
    );
    assert!(
        printed.contains("ranked                   500 pairs, 150 in"),
        "{printed}"
    );
    assert!(
        !printed.contains("gene permutation"),
        "permuted scores of a sparse list mostly land where nothing is ranked:\n{printed}"
    );
    let printed = bench.ok(&[&arguments[..], &["--absent", "lowest", "--out", "lowest"]].concat());
    assert!(printed.contains("gene permutation"), "{printed}");
    assert!(
        printed.contains("ranked lowest") && printed.contains("ranked                   2,370 pairs"),
        "{printed}"
    );

    bench.write(
        "genes.txt",
        "# targets of interest\nG0\nG1\nG2\nG3\nG4\nG50\nG51\n",
    );
    let printed = bench.ok(&[&arguments[..3], &["--universe", "genes.txt", "--out", "few"]].concat());
    assert!(printed.contains("universe: genes.txt"), "{printed}");
    assert!(printed.contains("target not in the panel"), "{printed}");
}

#[test]
fn negative_scores_are_ranked_by_magnitude_unless_told_otherwise() {
    let bench = with_world();
    let list: String = pairs()
        .map(|(s, t)| {
            format!(
                "G{s},G{t},{}\n",
                if t % 2 == 0 {
                    -strength(s, t)
                } else {
                    strength(s, t)
                }
            )
        })
        .collect();
    bench.write("signed.csv", &list);
    let auroc = |arguments: &[&str]| {
        let printed = bench.ok(&[&["signed.csv", "--references", "net.tsv"], arguments].concat());
        let line = printed.lines().find(|l| l.trim().starts_with("AUROC")).unwrap();
        (
            line.trim()[5..].trim().parse::<f64>().unwrap(),
            printed.contains("ranked by magnitude"),
        )
    };
    let (by_magnitude, said) = auroc(&["--out", "a"]);
    assert!(by_magnitude > 0.8 && said);
    let (by_value, said) = auroc(&["--rank", "value", "--out", "b"]);
    assert!(by_value < 0.7 && !said);
}

#[test]
fn the_rules_of_benchmarks_are_available() {
    let bench = Scores::new();
    bench.write(
        "ranked.csv",
        "Gene1\tGene2\tEdgeWeight\nA\tB\t-5\nC\tA\t4\nB\tC\t3\n",
    );
    bench.write("truth.csv", "Gene1,Gene2,Type\nA,B,+\nA,A,+\nB,C,-\n");
    let printed = bench.ok(&["ranked.csv", "--references", "truth.csv", "--scorer", "beeline"]);
    assert!(
        printed.contains("by BEELINE: 3 genes, 6 pairs, 2 in the reference"),
        "{printed}"
    );
    assert!(printed.contains("auroc              0.875"), "{printed}");
    bench.write("gold.tsv", "A\tB\t1\nA\tC\t0\nB\tC\t1\n");
    let printed = bench.ok(&["ranked.csv", "--references", "gold.tsv", "--scorer", "dream5"]);
    assert!(
        printed.contains("by DREAM5: 3 pairs judged, 2 in the reference, 2 listed"),
        "{printed}"
    );
    assert!(!bench.path("runs").exists());
}

/// An h5ad of `crates/scfm-io/tests/golden/make_networks.py`.
fn golden(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let path = root.join("crates/scfm-io/tests/golden").join(name);
    path.to_str().unwrap().to_owned()
}

/// What is printed of the reference itself, after the lines about the list.
fn of_reference(printed: &str) -> Vec<String> {
    let lines = printed.lines().skip_while(|line| *line != "pairs.tsv");
    lines
        .take_while(|line| !line.starts_with("report"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn networks_in_h5ad_files_are_judged_as_lists_are() {
    let bench = Scores::new();
    bench.write(
        "pairs.tsv",
        "STAT1\tIRF1\nIRF1\tHLA-A\nHLA-A\tSTAT1\nJAK2\tSTAT1\n",
    );
    bench.write(
        "list.csv",
        "source,target,weight\nSTAT1,IRF1,0.75\nSTAT1,HLA-A,-0.5\nIRF1,HLA-A,0.25\nJAK2,JAK2,1\nHLA-A,STAT1,0.0625\n",
    );
    let score = |list: &str, more: &[&str], out: &str| {
        let arguments = [
            list,
            "--references",
            "pairs.tsv",
            "--absent",
            "lowest",
            "--out",
            out,
        ];
        bench.ok(&[&arguments[..], more].concat())
    };
    let listed = score("list.csv", &[], "text");
    assert!(listed.contains("1 rows pair a gene with itself"), "{listed}");
    let networks = golden("networks.h5ad");
    for (i, (list, more, words)) in [
        (
            golden("prediction.h5ad"),
            &[][..],
            "prediction.h5ad: 5 scored pairs",
        ),
        (
            golden("grnndata.h5ad"),
            &[],
            "(source = rows of varp/GRN, target = its columns, score = its values)",
        ),
        (
            networks.clone(),
            &["--network", "uns/grn"],
            "(source = source, target = target, score = weight)",
        ),
        (
            networks.clone(),
            &["--network", "uns/record_array"],
            "(source = regulator, target = target, score = score)",
        ),
        (
            networks.clone(),
            &["--network", "varp/by_target"],
            "(source = rows of varp/by_target,",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let printed = score(&list, more, &format!("h5ad-{i}"));
        assert!(printed.contains(words), "no {words:?} in\n{printed}");
        assert_eq!(of_reference(&printed), of_reference(&listed), "{list} {more:?}");
        assert!(!of_reference(&printed).is_empty());
    }
    // Read the other way round it is another network.
    let turned = score(
        &networks,
        &["--network", "varp/GRN", "--regulators", "columns"],
        "turned",
    );
    assert!(
        turned.contains("(source = columns of varp/GRN, target = its rows,"),
        "{turned}"
    );
    assert_ne!(of_reference(&turned), of_reference(&listed));
    let named = [
        "--network",
        "varp/GRN",
        "--gene-column",
        "symbol",
        "--references",
        "pairs.tsv",
    ];
    bench.0.refused(
        &[&["score", &networks][..], &named].concat(),
        &["no gene of pairs.tsv", "such as s1"],
    );
    // The file says of itself that it is simulated.
    let verdict = fs::read_to_string(bench.run_folder("turned").join("verdict.json")).unwrap();
    assert!(verdict.contains("\"simulated\": true"), "{verdict}");
}

#[test]
fn a_network_that_cannot_be_told_gets_one_line() {
    let bench = with_world();
    let references = ["--references", "net.tsv"];
    let refused = |list: &str, more: &[&str], words: &[&str]| {
        bench.refused(&[&[list][..], &references, more].concat(), words);
    };
    let networks = golden("networks.h5ad");
    refused(
        &networks,
        &[],
        &["7 networks", "uns/grn", "varp/GRN", "--network uns/grn"],
    );
    refused(
        &networks,
        &["--network", "uns/none"],
        &["there is no uns/none", "uns/record_array"],
    );
    refused(
        &networks,
        &["--network", "varp/heads"],
        &["[4, 4, 2]", "averaged over heads"],
    );
    refused(&networks, &["--network", "uns/title"], &["uns/title", "a table"]);
    refused(
        &networks,
        &["--network", "uns/grn", "--regulators", "columns"],
        &["--regulators is for a matrix in varp"],
    );
    refused(
        &networks,
        &["--network", "varp/GRN", "--gene-column", "id"],
        &["there is no var/id", "symbol"],
    );
    refused(
        &networks,
        &["--network", "varp/GRN", "--memory", "1e-7"],
        &["memory"],
    );
    refused(
        &golden("plain.h5ad"),
        &[],
        &["plain.h5ad: no network", "uns/prediction", "varp/GRN"],
    );
    refused(
        "list.tsv",
        &["--network", "uns/grn"],
        &["list.tsv: --network is for h5ad files"],
    );
    let whole = fs::read(&networks).unwrap();
    fs::write(bench.path("half.h5ad"), &whole[..whole.len() / 2]).unwrap();
    refused("half.h5ad", &[], &["half.h5ad"]);
}

#[test]
fn edges_without_scores_rank_above_what_is_left_out() {
    let bench = with_world();
    let edges: String = pairs()
        .filter(|&(s, t)| strength(s, t) > 0.9)
        .enumerate()
        .map(|(row, (s, t))| format!("{row},G{s},G{t}\n"))
        .collect();
    bench.write("output_network.csv", &(",0,1\n".to_owned() + &edges));
    let arguments = [
        "output_network.csv",
        "--references",
        "net.tsv",
        "--universe",
        "panel",
    ];
    let printed = bench.ok(&arguments);
    for words in [
        "(source = 0, target = 1, no scores)",
        "the list has no scores: its pairs are edges that all count the same",
        "pairs that the list does not hold are ranked lowest",
    ] {
        assert!(printed.contains(words), "no {words:?} in\n{printed}");
    }
    let auroc = printed
        .lines()
        .find(|line| line.trim().starts_with("AUROC"))
        .unwrap();
    let auroc: f64 = auroc.trim()[5..].trim().parse().unwrap();
    assert!((0.55..0.99).contains(&auroc), "{auroc}");
    let printed = bench.ok(&[&arguments[..], &["--absent", "exclude", "--out", "excluded"]].concat());
    assert!(printed.contains("does not hold are excluded"), "{printed}");
}

#[test]
fn what_cannot_be_judged_gets_one_line() {
    let bench = with_world();
    bench.write("odd.csv", "first gene,second gene,strength\nA,B,1\n");
    bench.write("broken.csv", "A,B,1\nB,C,much\n");
    bench.write("ids.csv", "ENSG00000115415,ENSG00000125347,1\n");
    bench.write("pairs.txt", "G1,G2\n");
    let table = Table::new(1).with("gene", Column::text(["A"])).unwrap();
    scfm_io::write_table(&bench.path("genes.parquet"), &table, &[]).unwrap();
    fs::create_dir(bench.path("empty")).unwrap();
    let trrust = ["--references", "trrust_made.tsv"];
    for (list, words) in [
        ("absent.csv", &["absent.csv", "no such file"][..]),
        (
            "odd.csv",
            &[
                "odd.csv, line 1",
                "first gene, second gene, strength",
                "importance",
            ],
        ),
        ("broken.csv", &["broken.csv, line 2", "much"]),
        ("ids.csv", &["ENSG00000115415", "symbols", "trrust_made.tsv"]),
        ("genes.parquet", &["genes.parquet", "columns gene", "source"]),
    ] {
        bench.refused(&[&[list][..], &trrust].concat(), words);
    }
    bench.refused(
        &["list.tsv", "--data", "absent.h5ad"],
        &["absent.h5ad", "no such file"],
    );
    let screen = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join("fixtures/rpe1/screen.h5ad");
    bench.refused(
        &[
            "list.tsv",
            "--data",
            screen.to_str().unwrap(),
            "--references",
            "net.tsv",
        ],
        &["net.tsv, line 1", "TF, target, mode"],
    );
    bench.refused(
        &["list.tsv", "--data", screen.to_str().unwrap()],
        &["screen.h5ad", "knows 0 of 300 genes"],
    );
    let printed = text(&bench.0.run(&["score", "list.tsv"]).stderr);
    assert!(printed.contains("--references"), "{printed}");
    bench.refused(&["list.tsv", "--references", "empty"], &["empty", ".tsv.gz"]);
    bench.refused(
        &[&["list.tsv", "--universe", "pairs.txt"][..], &trrust].concat(),
        &["pairs.txt", "one per line"],
    );
    bench.refused(
        &[&["list.tsv", "--universe", "all"][..], &trrust].concat(),
        &["all", "observed", "panel"],
    );
    bench.refused(
        &[&["list.tsv", "--memory", "0.00001"][..], &trrust].concat(),
        &["30 × 80", "GiB", "--universe"],
    );
}

/// A list in the place of attention is judged as attention is: the program's own edges, handed back to it, give the
/// same figures to the last bit.
#[test]
fn edges_of_a_run_score_on_its_screen_as_in_the_run() {
    let bench = Scores::new();
    let arguments = "evaluate --cell-type rpe1 --analyses perturbation-first --out run --quiet";
    bench.0.ok(&arguments.split(' ').collect::<Vec<_>>());
    let run = bench.run_folder("run");
    let list = run.join("edges/attention-L2.parquet");
    let (list, screen) = (list.to_str().unwrap(), fixture("rpe1/screen.h5ad"));
    let analyses = "perturbation-first,layer-selection,coexpression-mapping";
    // The embedded screen is compared within its batches.
    bench.write(
        "batches.toml",
        "name = \"batches\"\ncell_type = \"RPE1\"\nmodality = \"crispri\"\n\
         [dataset]\nfile = \"screen.h5ad\"\nstratum = \"batch\"\n[model]\nname = \"none\"\n",
    );
    let arguments = [
        list,
        "--context",
        "batches.toml",
        "--data",
        screen.to_str().unwrap(),
        "--cells",
        "500",
        "--analyses",
        analyses,
    ];
    let printed = bench.ok(&arguments);
    assert!(
        printed.contains("the scores of the list stand in its place"),
        "{printed}"
    );
    assert!(printed.contains("simulated data"), "{printed}");
    let judged = bench.run_folder("runs");
    for test in [
        "perturbation-first/attention-above-chance",
        "perturbation-first/attention-vs-correlation",
        "perturbation-first/correlation-above-chance",
        "perturbation-first/baseline-configuration",
    ] {
        let (own, listed) = (figures(&run, test), figures(&judged, test));
        // In the baseline configuration the list stays what it is, while attention has other cells.
        if !test.ends_with("configuration") {
            assert_eq!(own, listed, "{test}");
        }
        assert!(!listed[0].is_empty(), "{test} ran");
    }
    for (test, reason) in [
        ("layer-selection/nested-vs-correlation", "one layer only"),
        (
            "multi-model/trrust-above-chance",
            "needs the model, trrust, dorothea",
        ),
        ("degree-null/curveball", "not asked for"),
        (
            "coexpression-mapping/reference-membership",
            "no reference network",
        ),
    ] {
        assert_eq!(
            row(&judged, test),
            ("not run".to_owned(), reason.to_owned()),
            "{test}"
        );
    }
    assert_eq!(row(&judged, "coexpression-mapping/coexpression").0, "ran");
    assert!(judged.join("edges/listed.parquet").exists());

    // Rendered again from its stages, the report is the same.
    let report = fs::read(judged.join("report.html")).unwrap();
    bench.0.ok(&["report", judged.to_str().unwrap(), "--quiet"]);
    assert!(fs::read(judged.join("report.html")).unwrap() == report);
}

/// Statistic, p and effect of a registered test.
fn figures(run: &Path, id: &str) -> [String; 3] {
    let (registry, _) = scfm_io::read_table(&run.join("registry.parquet")).unwrap();
    let cell = |row: usize, column: &str| registry.column(column).unwrap().display(row);
    let found = (0..registry.n_rows())
        .find(|&row| cell(row, "test") == id)
        .unwrap();
    ["statistic", "p", "effect"].map(|column| cell(found, column))
}

/// The archived table of a Geneformer against TRRUST: truncated, and with one pair of the reference.
#[test]
fn an_archived_table_is_not_decidable() {
    let Some(data) = std::env::var_os("SCFM_TEST_DATA").map(PathBuf::from) else {
        eprintln!("skipped: SCFM_TEST_DATA is not set");
        return;
    };
    let bench = Scores::new();
    let list = data.join("archived/NS/geneformer_edges_200cells.csv.gz");
    let trrust = data.join("networks/trrust_rawdata.human.tsv");
    let printed = bench.ok(&[list.to_str().unwrap(), "--references", trrust.to_str().unwrap()]);
    for words in [
        "the list holds its top 50,000 of 59,824,521 possible pairs; pairs below are unknown",
        "1 in the reference",
        "not decidable: too few reference pairs among the candidates: 1, needs 3",
        "0 significant",
    ] {
        assert!(printed.contains(words), "no {words:?} in\n{printed}");
    }
    let (status, reason) = row(&bench.run_folder("runs"), "multi-model/trrust-above-chance");
    assert!(
        status == "not run" && reason.contains("too few"),
        "{status}: {reason}"
    );
}
