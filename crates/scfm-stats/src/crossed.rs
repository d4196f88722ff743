//! Inference on the mean AUROC of rows that rank the same columns.
//!
//! Rows (perturbations) rank the same columns (genes), scores have column-level parts, and some columns respond to
//! almost anything: the AUROCs of two rows covary, and a variance taken over rows alone is too small. The variance here
//! is clustered by row and by column; `crossed.md` derives it and shows at which rates its tests reject.

use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

use crate::error::{Error, Undefined};
use crate::grid::LabelledGrid;
use crate::result::{EffectKind, TestResult};
use crate::student::Estimate;

/// The smallest design whose crossed variance is trusted; the default is 20 rows and 30 effective columns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CrossedLimits {
    /// Rows (perturbations) needed.
    pub min_rows: usize,
    /// Effective number of columns (genes) needed, see [`CrossedAuroc::effective_genes`].
    pub min_effective_genes: f64,
}

impl Default for CrossedLimits {
    fn default() -> Self {
        Self {
            min_rows: 20,
            min_effective_genes: 30.0,
        }
    }
}

/// Mean AUROC over rows, or mean difference of two AUROCs, with a standard error that holds in both directions.
///
#[doc = include_str!("crossed.md")]
#[derive(Debug, Clone, PartialEq)]
pub struct CrossedAuroc {
    /// Mean over the rows.
    pub mean: f64,
    /// The value of each row.
    pub per_row: Vec<f64>,
    /// Standard error of the mean, clustered by row and by column.
    pub standard_error: f64,
    /// How many equally shared columns the positives amount to: (Σ c)² / Σ c², c_g = Σ_p Y_pg / n1_p.
    pub effective_genes: f64,
    /// Degrees of freedom, min(rows, effective genes) - 1.
    pub df: f64,
    /// The two-sided t test, of mean = 0.5 or of difference = 0.
    pub test: TestResult,
}

/// Tests whether the mean AUROC over rows is 0.5, two-sided.
///
/// [`CrossedAuroc`] says why the variance is what it is. O(rows · columns · log columns).
///
/// Rows and columns are whatever a design crosses. Against a reference network the rows are TFs, the columns their
/// possible targets, and the positives the network's edges; a TF is not its own candidate:
///
/// ```
/// use ndarray::Array2;
/// use scfm_stats::{CrossedLimits, LabelledGrid, crossed_auroc};
///
/// let (tfs, genes) = (25, 120);
/// // A reference network, and edge scores that know nothing of it.
/// let edge = Array2::from_shape_fn((tfs, genes), |(tf, gene)| (tf * 3 + gene * 7) % 11 < 2);
/// let score = Array2::from_shape_fn((tfs, genes), |(tf, gene)| ((tf * 131 + gene * 197) % 1009) as f64);
/// let candidate = Array2::from_shape_fn((tfs, genes), |(tf, gene)| tf != gene);
/// let labels = LabelledGrid { positive: edge.view(), candidate: candidate.view() };
///
/// let recovered = crossed_auroc(score.view(), labels, &CrossedLimits::default())?;
/// assert_eq!((recovered.test.n, recovered.test.n_unit), (25, "rows"));
/// assert!(recovered.test.p.p() > 0.05);
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// [`Undefined::OneClassRow`] unless each row has a positive and a negative candidate, [`Undefined::NotDecidable`]
/// below `limits`, [`Undefined::NoVariance`]; [`Error::Shape`], [`Error::Empty`], [`Error::CellNotANumber`].
pub fn crossed_auroc(
    scores: ArrayView2<f64>,
    labels: LabelledGrid,
    limits: &CrossedLimits,
) -> Result<CrossedAuroc, Error> {
    let Placements { aurocs, values } = Placements::of(scores, labels)?;
    infer(aurocs, &values, labels, limits, EffectKind::Auroc)
}

/// Tests whether the mean AUROCs of two scores over the same rows and candidates differ (a - b), two-sided.
///
/// # Errors
/// As [`crossed_auroc`].
pub fn crossed_difference(
    a: ArrayView2<f64>,
    b: ArrayView2<f64>,
    labels: LabelledGrid,
    limits: &CrossedLimits,
) -> Result<CrossedAuroc, Error> {
    let (a, b) = (Placements::of(a, labels)?, Placements::of(b, labels)?);
    let differences = a.aurocs.iter().zip(&b.aurocs).map(|(a, b)| a - b).collect();
    infer(
        differences,
        &(a.values - b.values),
        labels,
        limits,
        EffectKind::DeltaAuroc,
    )
}

/// Tests whether the mean AUROC of one score differs between two sets of labels of the same rows and columns (a - b),
/// two-sided: as a reference network and the part of it that is curated more strictly.
///
/// Either mean AUROC has influences of its own, (V - θ) / (P n) with the placements, class sizes and mean of its labels;
/// a cell that is positive in one and negative in the other has both. Their difference takes the place of a score's
/// influence in the crossed variance, so that what both label sets share drops out of it. Degrees of freedom are those of
/// the labels with fewer effective columns.
///
/// # Errors
/// As [`crossed_auroc`], where both label sets must have a positive and a negative in each row.
pub fn crossed_label_difference(
    scores: ArrayView2<f64>,
    a: LabelledGrid,
    b: LabelledGrid,
    limits: &CrossedLimits,
) -> Result<CrossedAuroc, Error> {
    let (of_a, influence_a) = rows_and_influence(scores, a)?;
    let (of_b, influence_b) = rows_and_influence(scores, b)?;
    let differences = of_a.iter().zip(&of_b).map(|(a, b)| a - b).collect();
    conclude(
        differences,
        &(influence_a - influence_b),
        effective_genes(a).min(effective_genes(b)),
        limits,
        EffectKind::DeltaAuroc,
    )
}

/// AUROC of each row, and the influence of each candidate on their mean.
fn rows_and_influence(
    scores: ArrayView2<f64>,
    labels: LabelledGrid,
) -> Result<(Vec<f64>, Array2<f64>), Error> {
    let Placements { aurocs, values } = Placements::of(scores, labels)?;
    let mean = aurocs.iter().sum::<f64>() / aurocs.len() as f64;
    let influence = influence(&values, labels, mean);
    Ok((aurocs, influence))
}

/// AUROCs of the rows and DeLong's placement of each candidate: of a positive, the share of negatives it beats; of a
/// negative, the share of positives that beat it (ties ½). Either mean over a row is its AUROC.
struct Placements {
    aurocs: Vec<f64>,
    /// 0 where a cell is no candidate.
    values: Array2<f64>,
}

impl Placements {
    fn of(scores: ArrayView2<f64>, labels: LabelledGrid) -> Result<Self, Error> {
        let sorted = labels.sort(scores)?;
        let mut values = Array2::zeros(scores.dim());
        let rows = values
            .axis_iter_mut(Axis(0))
            .into_par_iter()
            .zip(&sorted)
            .enumerate();
        let aurocs = rows.map(|(row, (mut placed, sorted))| {
            sorted.placements(
                |column| labels.positive[[row, column]],
                |column, placement| placed[column] = placement,
            );
            labels
                .row_auroc(sorted, row)
                .expect("both classes were checked when sorting")
        });
        let aurocs = aurocs.collect();
        Ok(Self { aurocs, values })
    }
}

/// The crossed t test of per-row values with the placements that they are means of.
fn infer(
    per_row: Vec<f64>,
    placements: &Array2<f64>,
    labels: LabelledGrid,
    limits: &CrossedLimits,
    kind: EffectKind,
) -> Result<CrossedAuroc, Error> {
    let mean = per_row.iter().sum::<f64>() / per_row.len() as f64;
    let influence = influence(placements, labels, mean);
    conclude(per_row, &influence, effective_genes(labels), limits, kind)
}

/// Influence ψ of each candidate on the mean over rows; 0 where a cell is no candidate.
fn influence(placements: &Array2<f64>, labels: LabelledGrid, mean: f64) -> Array2<f64> {
    let rows = labels.n_rows() as f64;
    let mut influence = Array2::zeros(placements.dim());
    for (row, placed) in placements.outer_iter().enumerate() {
        let (n_pos, n_neg) = labels.classes(row);
        for (column, &placement) in placed.iter().enumerate() {
            if labels.candidate[[row, column]] {
                let class = if labels.positive[[row, column]] {
                    n_pos
                } else {
                    n_neg
                };
                influence[[row, column]] = (placement - mean) / (rows * class as f64);
            }
        }
    }
    influence
}

/// (Σ c)² / Σ c², c_g = Σ_p Y_pg / n1_p.
fn effective_genes(labels: LabelledGrid) -> f64 {
    let mut weight = vec![0.0; labels.n_columns()];
    for row in 0..labels.n_rows() {
        let (n_pos, _) = labels.classes(row);
        for (column, weight) in weight.iter_mut().enumerate() {
            let counts = labels.candidate[[row, column]] && labels.positive[[row, column]];
            *weight += if counts { 1.0 / n_pos as f64 } else { 0.0 };
        }
    }
    weight.iter().sum::<f64>().powi(2) / weight.iter().map(|c| c * c).sum::<f64>()
}

/// The crossed t test of per-row values of which every cell has an influence.
fn conclude(
    per_row: Vec<f64>,
    influence: &Array2<f64>,
    effective_genes: f64,
    limits: &CrossedLimits,
    kind: EffectKind,
) -> Result<CrossedAuroc, Error> {
    let n_rows = per_row.len();
    let rows = n_rows as f64;
    let mean = per_row.iter().sum::<f64>() / rows;
    if n_rows < limits.min_rows.max(2) || effective_genes < limits.min_effective_genes {
        return Err(Undefined::NotDecidable {
            rows: n_rows,
            min_rows: limits.min_rows.max(2),
            effective_genes,
            min_effective_genes: limits.min_effective_genes,
        }
        .into());
    }
    let between_rows =
        per_row.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (rows * (rows - 1.0));
    // Σ_p ψ and Σ_p ψ² of each column.
    let mut sums = vec![0.0; influence.ncols()];
    let mut squares = vec![0.0; influence.ncols()];
    for row in influence.outer_iter() {
        for (column, psi) in row.iter().enumerate() {
            sums[column] += psi;
            squares[column] += psi * psi;
        }
    }
    let shared_columns: f64 = sums
        .iter()
        .zip(&squares)
        .map(|(sum, squares)| sum * sum - squares)
        .sum();
    let standard_error = (between_rows + shared_columns.max(0.0)).sqrt();
    let df = rows.min(effective_genes) - 1.0;

    let (null, method) = match kind {
        EffectKind::Auroc => (0.5, "crossed t test of the mean AUROC"),
        _ => (0.0, "crossed t test of the mean AUROC difference"),
    };
    let test = Estimate::of_aurocs(mean - null, standard_error, df)
        .test(method, "the mean AUROC", kind, n_rows, "rows")?
        .shifted(null);
    Ok(CrossedAuroc {
        mean,
        per_row,
        standard_error,
        effective_genes,
        df,
        test,
    })
}
