//! `bench`: the benchmarks of the crates, and the tasks of an audit side by side with what is used in Python for them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::args::BenchArgs;
use crate::failure::bad_input;
use crate::progress::Progress;
use crate::{workloads, workspace};

/// A task: ours by name, and the Python programs that do the same, each with the factor from what it was given to do to
/// the whole task.
struct Case {
    ours: &'static str,
    task: &'static str,
    peers: &'static [Peer],
}

struct Peer {
    what: &'static str,
    arguments: &'static str,
    scale: f64,
}

const fn peer(what: &'static str, arguments: &'static str) -> Peer {
    scaled(what, arguments, 1.0)
}

const fn scaled(what: &'static str, arguments: &'static str, scale: f64) -> Peer {
    Peer {
        what,
        arguments,
        scale,
    }
}

const CASES: &[Case] = &[
    Case {
        ours: "welch",
        task: "Welch t and BH, 500 perturbations × 2,000 genes",
        peers: &[
            peer(
                "numpy moments, ttest_ind_from_stats, statsmodels BH",
                "w2 welch_stats",
            ),
            peer(
                "scipy ttest_ind per perturbation, statsmodels BH",
                "w2 welch_loop",
            ),
            peer("scanpy rank_genes_groups, t test", "w2 scanpy_t"),
        ],
    },
    Case {
        ours: "mann-whitney",
        task: "Mann-Whitney and BH, 500 perturbations × 2,000 genes",
        peers: &[
            scaled(
                "scipy mannwhitneyu, statsmodels BH (50 of 500, scaled)",
                "w2 mwu 50",
                10.0,
            ),
            scaled(
                "scanpy rank_genes_groups, wilcoxon (20 of 500, scaled)",
                "w2 scanpy_w 20",
                25.0,
            ),
        ],
    },
    Case {
        ours: "spearman-a",
        task: "Spearman, 2,000 cells × 2,000 genes, 30 % not zero",
        peers: &[
            peer("rankdata and float32 product", "w3 a rank_f32"),
            peer("rankdata and corrcoef", "w3 a rank_corrcoef"),
            peer("scipy spearmanr", "w3 a spearmanr"),
        ],
    },
    Case {
        ours: "spearman-b",
        task: "Spearman, 10,000 cells × 5,000 genes, 25 % not zero",
        peers: &[
            peer("rankdata and float32 product", "w3 b rank_f32"),
            peer("rankdata and corrcoef", "w3 b rank_corrcoef"),
            peer("scipy spearmanr", "w3 b spearmanr"),
        ],
    },
    Case {
        ours: "spearman-c",
        task: "Spearman, 10,000 cells × 5,000 genes, 10 % not zero",
        peers: &[
            peer("rankdata and float32 product", "w3 c rank_f32"),
            peer("rankdata and corrcoef", "w3 c rank_corrcoef"),
        ],
    },
    Case {
        ours: "spearman-d",
        task: "Spearman, 10,000 × 5,000, no zeros and no ties",
        peers: &[
            peer("rankdata and float32 product", "w3 d rank_f32"),
            peer("rankdata and corrcoef", "w3 d rank_corrcoef"),
        ],
    },
    Case {
        ours: "auroc-rows",
        task: "AUROC of 6 scores × 1,500 rows of 2,000",
        peers: &[
            peer("rankdata along rows", "w4 rank_vec"),
            peer("sklearn roc_auc_score, 9,000 calls", "w4 sklearn_loop"),
        ],
    },
    Case {
        ours: "auroc-pairs",
        task: "AUROC of 4,000,000 pairs",
        peers: &[peer("rankdata", "w4 pairs_rank")],
    },
    Case {
        ours: "curves-pairs",
        task: "AUROC and average precision of 4,000,000 pairs",
        peers: &[peer(
            "sklearn roc_auc_score, average_precision_score",
            "w4 pairs_both",
        )],
    },
    Case {
        ours: "bootstrap",
        task: "Bootstrap interval of a mean, 1,167 values, 10,000 resamples",
        peers: &[
            peer("numpy, all resamples at once", "w5 boot_numpy"),
            peer("scipy bootstrap", "w5 boot_scipy"),
            peer("numpy, resample by resample", "w5 boot_loop"),
        ],
    },
    Case {
        ours: "sign-flips",
        task: "Sign-flip test, 1,167 pairs, 10,000 flips",
        peers: &[
            peer("numpy, all flips at once", "w5 perm_numpy"),
            peer("scipy permutation_test", "w5 perm_scipy"),
        ],
    },
    Case {
        ours: "wilcoxon",
        task: "Wilcoxon signed-rank test, 1,167 pairs",
        peers: &[peer("scipy wilcoxon", "w5 wilcoxon")],
    },
    Case {
        ours: "fixed-degrees",
        task: "200 networks of the same degrees and their AUROC, 8,400 edges in 800 × 2,500",
        peers: &[
            peer("curveball in Python, ranked once", "w8 rank_once 200"),
            scaled(
                "curveball in Python, roc_auc_score (20 of 200, scaled)",
                "w8 naive 20",
                10.0,
            ),
        ],
    },
    Case {
        ours: "fisher",
        task: "Fisher's exact test, 1,000 tables",
        peers: &[peer("scipy fisher_exact", "w12 fisher")],
    },
    Case {
        ours: "benjamini-hochberg",
        task: "Benjamini-Hochberg, 10,000 p-values",
        peers: &[
            peer("statsmodels multipletests", "w12 bh_statsmodels"),
            peer("scipy false_discovery_control", "w12 bh_scipy"),
        ],
    },
    Case {
        ours: "partial-spearman",
        task: "Partial Spearman given three covariates, 4,000,000 pairs",
        peers: &[peer("rankdata, numpy lstsq", "w12 partial_spearman")],
    },
    Case {
        ours: "responses-logistic",
        task: "Logistic regression, 560,000 pairs × 3, 4 and 5 features, 5 folds",
        peers: &[peer("sklearn LogisticRegression", "w6 logreg")],
    },
    Case {
        ours: "responses-trees",
        task: "100 boosted trees on the same",
        peers: &[
            peer("LightGBM", "w6 lgbm"),
            peer("sklearn HistGradientBoostingClassifier", "w6 hgb"),
        ],
    },
    Case {
        ours: "residuals-linear",
        task: "Residuals of 4,000,000 edges on 6 features, cross-fitted",
        peers: &[
            peer("sklearn LinearRegression, 5 folds", "w7 ols"),
            peer("numpy lstsq, 5 folds", "w7 ols_lstsq"),
        ],
    },
    Case {
        ours: "residuals-trees",
        task: "100 boosted trees on one of five folds of the same",
        peers: &[
            peer("LightGBM", "w7 lgbm 1"),
            peer("sklearn HistGradientBoostingRegressor", "w7 hgb 1"),
        ],
    },
    Case {
        ours: "attention-v1-2048",
        task: "Attention of 16 cells, Geneformer-V1-10M size, 2,048 tokens",
        peers: &[
            peer(
                "transformers eager, panel cut out first",
                "w11 v1 2048 eager base 1 16 slice",
            ),
            peer(
                "transformers eager, mean over heads first",
                "w11 v1 2048 eager base 1 16",
            ),
            peer("transformers fused, no attention", "w11 v1 2048 sdpa base 1 16"),
        ],
    },
    Case {
        ours: "forward-v1-2048",
        task: "The same forward pass without extraction",
        peers: &[],
    },
    Case {
        ours: "attention-v1-512",
        task: "Attention of 16 cells, Geneformer-V1-10M size, 512 tokens",
        peers: &[
            peer(
                "transformers eager, panel cut out first",
                "w11 v1 512 eager base 4 16 slice",
            ),
            peer("transformers fused, no attention", "w11 v1 512 sdpa base 4 16"),
        ],
    },
    Case {
        ours: "attention-v2-1024",
        task: "Attention of 2 cells, Geneformer-V2-316M size, 1,024 tokens",
        peers: &[
            peer(
                "transformers eager, panel cut out first",
                "w11 v2 1024 eager base 1 2 slice",
            ),
            peer("transformers fused, no attention", "w11 v2 1024 sdpa base 1 2"),
        ],
    },
    Case {
        ours: "forward-v2-1024",
        task: "The same forward pass without extraction",
        peers: &[],
    },
    Case {
        ours: "attention-scgpt-1200",
        task: "Attention of 4 cells, scGPT size, 1,200 tokens",
        peers: &[
            peer(
                "torch layers, attention computed beside",
                "crates/scfm-attention/benches/scgpt_extraction eager 1200 4",
            ),
            peer(
                "torch layers, no attention",
                "crates/scfm-attention/benches/scgpt_extraction fused 1200 4",
            ),
        ],
    },
    Case {
        ours: "forward-scgpt-1200",
        task: "The same forward pass without extraction",
        peers: &[],
    },
];

pub fn run(args: &BenchArgs, progress: Progress) -> Result<()> {
    let Some(peers) = &args.peers else {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .current_dir(workspace::root())
            .args(["bench", "--workspace", "--benches"])
            .status()?;
        return if status.success() {
            Ok(())
        } else {
            bail!("cargo bench: {status}")
        };
    };
    let inputs = peers.join("inputs");
    if let Some(name) = &args.workload {
        return report_workload(name, &inputs);
    }
    for needed in [peers.join("measure.py"), peers.join("stages"), inputs.clone()] {
        if !needed.exists() {
            return Err(bad_input(format!(
                "{}: not found; --peers is the folder of the Python side, with measure.py, stages and inputs",
                needed.display()
            )));
        }
    }
    let cases: Vec<&Case> = CASES
        .iter()
        .filter(|case| args.only.is_empty() || args.only.iter().any(|name| case.ours.starts_with(name)))
        .collect();
    if cases.is_empty() {
        let names: Vec<&str> = CASES.iter().map(|case| case.ours).collect();
        return Err(bad_input(format!(
            "--only: no such task; there are {}",
            names.join(", ")
        )));
    }
    workloads::derive_inputs(&inputs)?;
    let measured = measure(args, peers, &cases, progress)?;
    print_table(&cases, &measured);
    Ok(())
}

/// What `bench` starts for a task of ours: the line that the measuring program looks for.
fn report_workload(name: &str, inputs: &Path) -> Result<()> {
    let outcome = workloads::run(name, inputs)?;
    let check: BTreeMap<&str, f64> = outcome.check.into_iter().collect();
    let line = serde_json::json!({ "task_s": outcome.task.as_secs_f64(), "check": check });
    println!("@@{line}");
    Ok(())
}

/// What the measuring program says of a run.
#[derive(Debug, Clone, Deserialize)]
struct Run {
    rc: i32,
    peak_rss_mb: f64,
    other_cpu_cores: f64,
    report: Option<Reported>,
    #[serde(default)]
    stderr_tail: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Reported {
    task_s: f64,
    #[serde(default)]
    check: BTreeMap<String, serde_json::Value>,
}

/// Runs of one program.
#[derive(Default)]
struct Runs {
    seconds: Vec<f64>,
    megabytes: Vec<f64>,
    others: Vec<f64>,
    check: BTreeMap<String, serde_json::Value>,
}

/// All runs by task and program, ours first; programs take turns, so that a slow spell of the machine meets all of them.
fn measure(args: &BenchArgs, peers: &Path, cases: &[&Case], progress: Progress) -> Result<Vec<Vec<Runs>>> {
    let program = std::env::current_exe()?;
    let program = program
        .to_str()
        .context("the path of this program is not UTF-8")?;
    let folder = peers.to_str().context("the path of the peers is not UTF-8")?;
    let mut all: Vec<Vec<Runs>> = Vec::new();
    for case in cases {
        all.push((0..=case.peers.len()).map(|_| Runs::default()).collect());
    }
    for round in 1..=args.rounds {
        for (case, runs) in cases.iter().zip(&mut all) {
            progress.say(format!("round {round}: {}", case.task));
            let ours = [program, "bench", "--peers", folder, "--workload", case.ours];
            runs[0].add(measured(args, peers, &ours)?, 1.0);
            for (peer, runs) in case.peers.iter().zip(&mut runs[1..]) {
                let mut words = peer.arguments.split(' ');
                let stage = match words.next().unwrap_or_default() {
                    // Of this repository.
                    ours if ours.contains('/') => format!("{}/{ours}.py", workspace::root().display()),
                    theirs => format!("{folder}/stages/{theirs}.py"),
                };
                let mut command = vec![args.python.as_str(), &stage];
                command.extend(words);
                runs.add(measured(args, peers, &command)?, peer.scale);
            }
        }
    }
    Ok(all)
}

fn measured(args: &BenchArgs, peers: &Path, command: &[&str]) -> Result<Run> {
    let output = Command::new(&args.python)
        .arg(peers.join("measure.py"))
        .args(["-n", "1", "--"])
        .args(command)
        .output()
        .with_context(|| format!("{}: cannot be started", args.python))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let run: Run = serde_json::from_str(text.trim()).with_context(|| {
        format!(
            "measuring {command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        )
    })?;
    if run.rc != 0 {
        bail!("{command:?} failed: {}", run.stderr_tail);
    }
    Ok(run)
}

impl Runs {
    fn add(&mut self, run: Run, scale: f64) {
        let Some(report) = run.report else { return };
        self.seconds.push(report.task_s * scale);
        self.megabytes.push(run.peak_rss_mb);
        self.others.push(run.other_cpu_cores);
        self.check = report.check;
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

fn print_table(cases: &[&Case], measured: &[Vec<Runs>]) {
    println!("| task | program | seconds | times ours | peak MB | agrees to |");
    println!("| --- | --- | ---: | ---: | ---: | ---: |");
    for (case, runs) in cases.iter().zip(measured) {
        let (ours, theirs) = runs.split_first().expect("ours come first");
        let seconds = median(&ours.seconds);
        println!(
            "| {} | scfm-audit | {} | 1 | {:.0} | |",
            case.task,
            digits(seconds),
            median(&ours.megabytes)
        );
        for (peer, runs) in case.peers.iter().zip(theirs) {
            let agreement = agreement(&ours.check, &runs.check);
            println!(
                "| | {} | {} | {} | {:.0} | {} |",
                peer.what,
                digits(median(&runs.seconds)),
                digits(median(&runs.seconds) / seconds),
                median(&runs.megabytes),
                agreement.map_or_else(String::new, |deviation| format!("{deviation:.0e}")),
            );
        }
    }
    let all: Vec<f64> = measured
        .iter()
        .flatten()
        .flat_map(|runs| runs.others.iter().copied())
        .collect();
    println!(
        "\nCores busy with anything else, median over all runs: {:.2}.",
        median(&all)
    );
}

/// Three digits that count.
fn digits(value: f64) -> String {
    let decimals = (2 - value.abs().log10().floor() as i32).clamp(0, 6) as usize;
    format!("{value:.decimals$}")
}

/// Largest relative deviation of the values that both sides report.
fn agreement(
    ours: &BTreeMap<String, serde_json::Value>,
    theirs: &BTreeMap<String, serde_json::Value>,
) -> Option<f64> {
    let deviations = ours.iter().filter_map(|(name, ours)| {
        let (ours, theirs) = (ours.as_f64()?, theirs.get(name)?.as_f64()?);
        Some(if ours == theirs {
            0.0
        } else {
            ((ours - theirs) / theirs).abs()
        })
    });
    deviations.reduce(f64::max)
}
