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

impl CrossedAuroc {
    /// A difference of mean AUROCs as that between one case and the average of a sample of draws, whose own mean AUROCs are
    /// `draws`, tested by [`Estimate::against_draws`].
    ///
    /// # Errors
    /// Its errors, [`Undefined::NoVariance`].
    pub fn against_draws(&self, draws: &[f64]) -> Result<TestResult, Error> {
        Estimate::of_aurocs(self.mean, self.standard_error, self.df)
            .against_draws(draws)?
            .test(
                "crossed t test of the mean AUROC difference against random draws",
                "the mean AUROC difference",
                EffectKind::DeltaAuroc,
                self.per_row.len(),
                "rows",
            )
    }
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
    let design = Design {
        weight: 1.0,
        scores,
        labels,
    };
    infer(&[design], limits, EffectKind::Auroc)
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
    let designs = [(1.0, a.view()), (-1.0, b.view())].map(|(weight, scores)| Design {
        weight,
        scores,
        labels,
    });
    crossed_contrast(&designs, limits)
}

/// A score over a grid of labels, and what its mean AUROC counts for in a [contrast](crossed_contrast).
#[derive(Debug, Clone, Copy)]
pub struct Design<'s, 'l> {
    /// What it counts for.
    pub weight: f64,
    /// The score, `[row, column]`.
    pub scores: ArrayView2<'s, f64>,
    /// Labels and candidates of its own.
    pub labels: LabelledGrid<'l>,
}

/// Tests whether a weighted sum of mean AUROCs is 0, two-sided: of several scores under several labels and candidates, over
/// the same rows and columns.
///
/// A difference of two scores is one contrast, a difference of one score under two sets of labels another, and a
/// difference of differences has four designs. The influence of a cell is the weighted sum of its influences in
/// the designs, so that what designs share cancels; the effective number of columns is the smallest of theirs.
///
/// # Errors
/// As [`crossed_auroc`]; [`Error::Empty`] without a design, [`Error::Shape`] for designs of other shapes.
pub fn crossed_contrast(designs: &[Design], limits: &CrossedLimits) -> Result<CrossedAuroc, Error> {
    infer(designs, limits, EffectKind::DeltaAuroc)
}

/// Tests whether the mean AUROC of one score differs between two sets of labels of the same rows and columns (a - b),
/// two-sided: as a reference network and the part of it that is curated more strictly. What both label sets share drops out.
///
/// # Errors
/// As [`crossed_auroc`], where both label sets must have a positive and a negative in each row.
pub fn crossed_label_difference(
    scores: ArrayView2<f64>,
    a: LabelledGrid,
    b: LabelledGrid,
    limits: &CrossedLimits,
) -> Result<CrossedAuroc, Error> {
    let labels = [
        (1.0, a.positive.view(), a.candidate.view()),
        (-1.0, b.positive.view(), b.candidate.view()),
    ];
    let designs = labels.map(|(weight, positive, candidate)| Design {
        weight,
        scores: scores.view(),
        labels: LabelledGrid { positive, candidate },
    });
    crossed_contrast(&designs, limits)
}

/// AUROCs of the rows and DeLong's placement of each candidate: of a positive, the share of negatives it beats; of a
/// negative, the share of positives that beat it (ties ½). Either mean over a row is its AUROC.
struct Placements {
    aurocs: Vec<f64>,
    /// Mean of the AUROCs.
    mean: f64,
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
        let aurocs: Vec<f64> = aurocs.collect();
        let mean = aurocs.iter().sum::<f64>() / aurocs.len() as f64;
        Ok(Self { aurocs, mean, values })
    }
}

/// The crossed t test of a weighted sum of mean AUROCs.
fn infer(designs: &[Design], limits: &CrossedLimits, kind: EffectKind) -> Result<CrossedAuroc, Error> {
    let first = designs.first().ok_or(Error::Empty {
        what: "list of designs",
    })?;
    let (n_rows, n_columns) = first.scores.dim();
    for design in designs {
        if design.scores.dim() != (n_rows, n_columns) {
            return Err(Error::Shape {
                what: "scores of a design",
                expected: (n_rows, n_columns),
                got: design.scores.dim(),
            });
        }
    }
    let placed: Vec<Placements> = designs
        .iter()
        .map(|design| Placements::of(design.scores, design.labels))
        .collect::<Result<_, _>>()?;
    let rows = n_rows as f64;
    let mut per_row = vec![0.0; n_rows];
    for (design, placed) in designs.iter().zip(&placed) {
        for (value, auroc) in per_row.iter_mut().zip(&placed.aurocs) {
            *value += design.weight * auroc;
        }
    }
    let mean = per_row.iter().sum::<f64>() / rows;

    // Σ_p ψ and Σ_p ψ² of each column, and of each design Σ_p Y / n1.
    let mut influence = vec![0.0; n_columns];
    let mut squares = vec![0.0; n_columns];
    let mut weights = vec![vec![0.0; n_columns]; designs.len()];
    let mut psi = vec![0.0; n_columns];
    for row in 0..n_rows {
        psi.fill(0.0);
        for ((design, placed), weight) in designs.iter().zip(&placed).zip(&mut weights) {
            let Design { labels, .. } = design;
            let (n_pos, n_neg) = labels.classes(row);
            for (column, &placement) in placed.values.row(row).iter().enumerate() {
                if !labels.candidate[[row, column]] {
                    continue;
                }
                let positive = labels.positive[[row, column]];
                let class = if positive { n_pos } else { n_neg };
                psi[column] += design.weight * (placement - placed.mean) / (rows * class as f64);
                weight[column] += if positive { 1.0 / n_pos as f64 } else { 0.0 };
            }
        }
        for ((influence, squares), psi) in influence.iter_mut().zip(&mut squares).zip(&psi) {
            *influence += psi;
            *squares += psi * psi;
        }
    }
    let effective =
        |weight: &Vec<f64>| weight.iter().sum::<f64>().powi(2) / weight.iter().map(|c| c * c).sum::<f64>();
    let effective_genes = weights.iter().map(effective).fold(f64::INFINITY, f64::min);
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
    let shared_columns: f64 = influence
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
