//! The fixed tasks that `bench` times side by side with what is used in Python for them.
//!
//! A task reads its inputs, arrays in `.npy` files, computes, and gives a number or two by which both sides are compared.
//! Its time counts from before the files are opened, but for tasks of milliseconds on both sides from when they are read.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use ndarray::{Array1, Array2, ArrayView1};
use ndarray_npy::{ReadableElement, read_npy, write_npy};
use rayon::prelude::*;
use scfm_core::Seeds;
use scfm_grn::FixedDegrees;
use scfm_stats::{
    Alternative, Estimate, LabelledGrid, Moments, PValue, PermutationLimits, RankCovariates, RankSum,
    SortedSample, SortedScores, Zeros, benjamini_hochberg, bootstrap_mean, fisher_exact, mid_ranks,
    row_aurocs, sign_flip_test, spearman_columns, wilcoxon_signed_rank,
};

use crate::{attention_workloads, model_workloads};

const SEEDS: Seeds = Seeds::new(0);
/// Resamples of the bootstrap and of the sign flips.
const RESAMPLES: usize = 10_000;
/// Networks of the same degrees that are drawn.
const NETWORKS: u64 = 200;
/// Steps between two of them: five trades between rows for each of the 800 rows, of 64 steps each.
const STEPS: usize = 5 * 800 * 64;

/// What a task took, and what it found.
pub struct Outcome {
    pub task: Duration,
    /// Names and values, some of which the Python side reports too.
    pub check: Vec<(&'static str, f64)>,
}

/// Runs a task on the arrays in `inputs`.
pub fn run(name: &str, inputs: &Path) -> Result<Outcome> {
    let inputs = Inputs(inputs);
    let mut start = Instant::now();
    let check = match name {
        "welch" => welch(inputs)?,
        "mann-whitney" => mann_whitney(inputs)?,
        "spearman-a" | "spearman-b" | "spearman-c" | "spearman-d" => {
            spearman(inputs, &name["spearman-".len()..])?
        }
        "auroc-rows" => auroc_rows(inputs)?,
        "auroc-pairs" => auroc_pairs(inputs, false)?,
        "curves-pairs" => auroc_pairs(inputs, true)?,
        "bootstrap" => bootstrap(inputs, &mut start)?,
        "sign-flips" => sign_flips(inputs, &mut start)?,
        "wilcoxon" => wilcoxon(inputs, &mut start)?,
        "fixed-degrees" => fixed_degrees(inputs)?,
        "fisher" => fisher(inputs, &mut start)?,
        "benjamini-hochberg" => adjusted(inputs, &mut start)?,
        "partial-spearman" => partial_spearman(inputs)?,
        name if name.starts_with("responses-") || name.starts_with("residuals-") => {
            model_workloads::run(name, inputs.0)?
        }
        _ => attention_workloads::run(name, inputs.0, &mut start)?,
    };
    Ok(Outcome {
        task: start.elapsed(),
        check,
    })
}

/// Writes the matrices that are derived from `w3b_X.npy` where they are missing: `c` keeps 40 % of its entries, which leaves
/// a tenth that is not zero, and `d` adds noise, so that nothing is tied.
pub fn derive_inputs(inputs: &Path) -> Result<()> {
    let hash = |cell: usize| (cell as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    for letter in ["c", "d"] {
        let path = inputs.join(format!("w3{letter}_X.npy"));
        if path.exists() {
            continue;
        }
        let mut matrix: Array2<f32> = Inputs(inputs).read("w3b_X")?;
        for (cell, value) in matrix.iter_mut().enumerate() {
            let uniform = hash(cell) as f32 / (1 << 24) as f32;
            if letter == "d" {
                *value += uniform;
            } else if uniform > 0.4 {
                *value = 0.0;
            }
        }
        write_npy(&path, &matrix).with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    Ok(())
}

type Check = Vec<(&'static str, f64)>;

#[derive(Clone, Copy)]
struct Inputs<'a>(&'a Path);

impl Inputs<'_> {
    fn path(self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.npy"))
    }

    fn read<A: ReadableElement, D: ndarray::Dimension>(self, name: &str) -> Result<ndarray::Array<A, D>> {
        let path = self.path(name);
        read_npy(&path).with_context(|| format!("{}: cannot be read", path.display()))
    }
}

/// Cells × genes, and the rows of the controls and of each perturbation.
struct Screen {
    genes: Array2<f32>,
    controls: Vec<usize>,
    perturbations: Vec<Vec<usize>>,
}

impl Screen {
    fn read(inputs: Inputs) -> Result<Self> {
        let genes: Array2<f32> = inputs.read("w2_X")?;
        let labels: Array1<i32> = inputs.read("w2_label")?;
        let most = labels.iter().copied().max().unwrap_or(-1);
        let rows = |label: i32| {
            let of = labels.iter().enumerate().filter(move |(_, at)| **at == label);
            of.map(|(row, _)| row).collect::<Vec<_>>()
        };
        Ok(Self {
            controls: rows(-1),
            perturbations: (0..=most).map(rows).collect(),
            genes,
        })
    }

    /// The values of some cells, gene by gene.
    fn of_cells(&self, rows: &[usize]) -> Array2<f64> {
        let mut values = Array2::zeros((self.genes.ncols(), rows.len()));
        for (cell, &row) in rows.iter().enumerate() {
            for (gene, &value) in self.genes.row(row).iter().enumerate() {
                values[[gene, cell]] = f64::from(value);
            }
        }
        values
    }

    /// Number of discoveries and sum of the statistic's magnitude over all perturbations.
    fn tested(&self, test: impl Fn(usize, &[f64]) -> Option<(f64, PValue)> + Sync) -> Check {
        let per_perturbation = self.perturbations.par_iter().map(|rows| {
            let values = self.of_cells(rows);
            let tested = values.outer_iter().enumerate().filter_map(|(gene, values)| {
                test(
                    gene,
                    values.as_slice().expect("rows of a new array are contiguous"),
                )
            });
            let (statistics, p): (Vec<f64>, Vec<f64>) = tested.map(|(t, p)| (t.abs(), p.p())).unzip();
            let found = benjamini_hochberg(&p).into_iter().filter(|&q| q < 0.05).count();
            (found, statistics.into_iter().sum::<f64>())
        });
        let all: Vec<(usize, f64)> = per_perturbation.collect();
        vec![
            ("sig_fdr05", all.iter().map(|(found, _)| *found as f64).sum()),
            ("stat_abs_sum", all.iter().map(|(_, sum)| *sum).sum()),
        ]
    }
}

fn welch(inputs: Inputs) -> Result<Check> {
    let screen = Screen::read(inputs)?;
    let controls = screen.of_cells(&screen.controls);
    let controls: Vec<Moments> = controls
        .outer_iter()
        .map(|values| Moments::of(values.as_slice().expect("rows of a new array are contiguous")))
        .collect();
    Ok(screen.tested(|gene, values| {
        let shift = Estimate::welch(Moments::of(values), controls[gene]).ok()?;
        Some((shift.t().ok()?, shift.p(Alternative::TwoSided).ok()?))
    }))
}

fn mann_whitney(inputs: Inputs) -> Result<Check> {
    let screen = Screen::read(inputs)?;
    let controls = screen.of_cells(&screen.controls);
    let controls = controls
        .outer_iter()
        .map(|values| SortedSample::new(values.as_slice().expect("rows of a new array are contiguous")))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(screen.tested(|gene, values| {
        let ranks = RankSum::of(&SortedSample::new(values).ok()?, &controls[gene]).ok()?;
        Some((ranks.u(), ranks.p(Alternative::TwoSided)))
    }))
}

fn spearman(inputs: Inputs, letter: &str) -> Result<Check> {
    let matrix: Array2<f32> = inputs.read(&format!("w3{letter}_X"))?;
    let correlations = spearman_columns(matrix.view());
    let defined = correlations.iter().filter(|value| !value.is_nan());
    Ok(vec![
        ("r01", correlations[[0, 1]]),
        ("r_5_9", correlations[[5, 9]]),
        ("abs_sum", defined.map(|value| value.abs()).sum()),
    ])
}

fn auroc_rows(inputs: Inputs) -> Result<Check> {
    let labels: Array2<u8> = inputs.read("w4_y")?;
    let scores: ndarray::Array3<f32> = inputs.read("w4_S")?;
    let positive = labels.mapv(|label| label != 0);
    let candidate = Array2::from_elem(positive.dim(), true);
    let grid = LabelledGrid {
        positive: positive.view(),
        candidate: candidate.view(),
    };
    let mut first = f64::NAN;
    let mut sum = 0.0;
    for (score, rows) in scores.outer_iter().enumerate() {
        let aurocs = row_aurocs(rows.mapv(f64::from).view(), grid)?;
        let defined: Vec<f64> = aurocs.into_iter().filter_map(Result::ok).collect();
        if score == 0 {
            first = defined[0];
        }
        sum += defined.iter().sum::<f64>() / defined.len() as f64;
    }
    Ok(vec![("a00", first), ("mean of means", sum / 6.0)])
}

fn auroc_pairs(inputs: Inputs, both: bool) -> Result<Check> {
    let labels: Vec<bool> = inputs
        .read::<u8, ndarray::Ix1>("w4_pairs_y")?
        .iter()
        .map(|&label| label != 0)
        .collect();
    let scores: Array1<f32> = inputs.read("w4_pairs_s")?;
    let sorted = SortedScores::new(scores.as_slice().context("one vector of scores")?)?;
    let mut check = vec![("auroc", sorted.auroc(&labels)?)];
    if both {
        check.push(("auprc", sorted.average_precision(&labels)?.value));
    }
    Ok(check)
}

fn differences(inputs: Inputs) -> Result<Vec<f64>> {
    let (a, b): (Array1<f64>, Array1<f64>) = (inputs.read("w5_a")?, inputs.read("w5_b")?);
    Ok((a - b).to_vec())
}

fn bootstrap(inputs: Inputs, start: &mut Instant) -> Result<Check> {
    let differences = differences(inputs)?;
    *start = Instant::now();
    let interval = bootstrap_mean(&differences, RESAMPLES, |i| SEEDS.stream("bench", "bootstrap", i))?;
    Ok(vec![("low", interval.low), ("high", interval.high)])
}

fn sign_flips(inputs: Inputs, start: &mut Instant) -> Result<Check> {
    let differences = differences(inputs)?;
    *start = Instant::now();
    let limits = PermutationLimits {
        max: RESAMPLES,
        stop_after: None,
    };
    let flipped = sign_flip_test(&differences, Alternative::TwoSided, limits, |i| {
        SEEDS.stream("bench", "signs", i)
    })?;
    Ok(vec![("p_perm", flipped.test.p.p())])
}

fn wilcoxon(inputs: Inputs, start: &mut Instant) -> Result<Check> {
    let differences = differences(inputs)?;
    *start = Instant::now();
    let test = wilcoxon_signed_rank(&differences, Zeros::Drop)?;
    Ok(vec![("statistic", test.statistic), ("ln p", test.p.ln_p())])
}

fn fixed_degrees(inputs: Inputs) -> Result<Check> {
    let edges: Array2<i32> = inputs.read("w8_edges")?;
    let scores: Array2<f32> = inputs.read("w8_scores")?;
    let mut present = Array2::from_elem(scores.dim(), false);
    for edge in edges.outer_iter() {
        present[[edge[0] as usize, edge[1] as usize]] = true;
    }
    let ranks = mid_ranks(&scores.iter().map(|&score| f64::from(score)).collect::<Vec<_>>())?;
    let ranks = Array2::from_shape_vec(scores.dim(), ranks)?;
    let (n_pos, n) = (edges.nrows() as f64, scores.len() as f64);
    let auroc = |network: &FixedDegrees| {
        let sum: f64 = network.edges().map(|edge| ranks[edge]).sum();
        (sum - n_pos * (n_pos + 1.0) / 2.0) / (n_pos * (n - n_pos))
    };
    let network = FixedDegrees::new(present.view(), Array2::from_elem(scores.dim(), true).view());
    let null: Vec<f64> = (0..NETWORKS)
        .into_par_iter()
        .map(|index| {
            let mut network = network.clone();
            network.randomise(STEPS, &mut SEEDS.stream("bench", "network", index));
            auroc(&network)
        })
        .collect();
    let moments = Moments::of(&null);
    Ok(vec![
        ("obs", auroc(&network)),
        ("null_mean", moments.mean),
        ("null_sd", moments.variance.sqrt()),
    ])
}

fn fisher(inputs: Inputs, start: &mut Instant) -> Result<Check> {
    let tables: Array2<i64> = inputs.read("w12_tables")?;
    *start = Instant::now();
    let ln_p = tables.outer_iter().map(|table: ArrayView1<i64>| {
        let cell = |at: usize| table[at] as u64;
        Ok(fisher_exact([[cell(0), cell(1)], [cell(2), cell(3)]])?.p.ln_p())
    });
    Ok(vec![("log_p_sum", ln_p.sum::<Result<f64>>()?)])
}

fn adjusted(inputs: Inputs, start: &mut Instant) -> Result<Check> {
    let p = inputs.read::<f64, ndarray::Ix1>("w12_p")?.to_vec();
    *start = Instant::now();
    let q = benjamini_hochberg(&p);
    Ok(vec![
        ("sig", q.iter().filter(|&&q| q < 0.05).count() as f64),
        ("q_sum", q.iter().sum()),
    ])
}

fn partial_spearman(inputs: Inputs) -> Result<Check> {
    let rows: Array2<f32> = inputs.read("w12_xyc")?;
    let rows: Vec<Vec<f64>> = (0..rows.nrows())
        .into_par_iter()
        .map(|row| rows.row(row).iter().map(|&value| f64::from(value)).collect())
        .collect();
    let covariates: Vec<&[f64]> = rows[2..].iter().map(Vec::as_slice).collect();
    let test = RankCovariates::new(&covariates)?.partial_spearman(&rows[0], &rows[1])?;
    Ok(vec![("rho", test.effect)])
}
