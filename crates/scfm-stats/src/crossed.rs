//! Inference on the mean AUROC of rows that rank the same columns.
//!
//! Rows (perturbations) rank the same columns (genes), scores have column-level parts, and some columns respond to
//! almost anything: the AUROCs of two rows covary, and a variance taken over rows alone is too small. The mean AUROC
//! θ is a sum over cells of DeLong's influence (DeLong et al. 1988), ψ_pg = (V10_pg - θ) / (P n1_p) for a positive and
//! (V01_pg - θ) / (P n0_p) for a negative, V being the placement of a cell among its row's other class. Two cells are
//! taken to covary where they share a row or a column (Cameron, Gelbach and Miller 2011), so
//!
//! Var θ = Σ_p (Σ_g ψ)² + Σ_g (Σ_p ψ)² - Σ_pg ψ²,
//!
//! where the first sum is replaced by its unbiased form V_p = Σ_p (AUC_p - θ)² / (P (P - 1)), below which the
//! variance does not fall. ψ is centred at θ and not at AUC_p, which would attenuate the covariance when positives are
//! few. The degrees of freedom are those of the smaller of the two sets of clusters, columns being counted by how
//! equally they share the positives. For two scores, AUCs and placements are replaced by their differences.
//!
//! Rejection at nominal 5 % in simulations without any relation of scores and labels (propensity of the columns to be
//! positive with an SD of 1.5 in log-odds, or more where effective columns are few; w the weight of the column-level
//! part of the scores; 1,000 or 2,000 worlds per row, standard error at most 0.7 %, 200 of the largest; `examples/crossed_calibration.rs`):
//!
//! | rows × columns | median positives | w | effective columns | t of AUROC | Wilcoxon of two scores | crossed mean | crossed difference |
//! | --- | --- | --- | --- | --- | --- | --- | --- |
//! | 60 × 300 | 25 | 0 | 98 | 0.06 | 0.05 | 0.05 | 0.04 |
//! | 60 × 300 | 3 | 0.5 | 40 | 0.10 | 0.10 | 0.05 | 0.05 |
//! | 60 × 300 | 25 | 0.5 | 98 | 0.23 | 0.25 | 0.06 | 0.05 |
//! | 60 × 300 | 150 | 0.5 | 208 | 0.32 | 0.34 | 0.05 | 0.05 |
//! | 60 × 300 | 8 | 1.5 | 59 | 0.33 | 0.35 | 0.07 | 0.08 |
//! | 60 × 300 | 150 | 1.5 | 208 | 0.60 | 0.61 | 0.05 | 0.06 |
//! | 10 × 300 | 25 | 0.5 | 74 | 0.07 | 0.08 | 0.04 | 0.04 |
//! | 20 × 300 | 25 | 1.5 | 87 | 0.24 | 0.24 | 0.05 | 0.05 |
//! | 200 × 300 | 8 | 1.5 | 66 | 0.55 | 0.57 | 0.05 | 0.06 |
//! | 280 × 2,000 | 165 | 0.5 | 690 | 0.51 | 0.50 | 0.06 | 0.06 |
//! | 60 × 300, SD 4 | 25 | 1.5 | 43 | 0.71 | 0.70 | 0.07 | 0.06 |
//! | 60 × 300, SD 2.5 | 8 | 1.5 | 27 | 0.55 | 0.57 | 0.08 | 0.08 |
//! | 60 × 300, SD 2.5 | 3 | 1.5 | 16 | 0.46 | 0.48 | 0.08 | 0.08 |
//! | 60 × 300, SD 4 | 3 | 0.5 | 8 | 0.38 | 0.37 | 0.09 | 0.07 |
//!
//! The rates stay within 3 to 8 % from 30 effective columns on, and the mean passes 8 % towards 16: so the limit holds
//! for the mean as for the difference. At 10 rows the tests are conservative rather than liberal; that limit keeps out
//! designs without the power to say anything.

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
/// O(rows · columns · log columns).
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
    let n_rows = per_row.len();
    let rows = n_rows as f64;
    let mean = per_row.iter().sum::<f64>() / rows;
    // Σ_p ψ, Σ_p ψ² and Σ_p Y / n1 of each column.
    let mut influence = vec![0.0; labels.n_columns()];
    let mut squares = vec![0.0; labels.n_columns()];
    let mut weight = vec![0.0; labels.n_columns()];
    for (row, placed) in placements.outer_iter().enumerate() {
        let (n_pos, n_neg) = labels.classes(row);
        for (column, &placement) in placed.iter().enumerate() {
            if !labels.candidate[[row, column]] {
                continue;
            }
            let positive = labels.positive[[row, column]];
            let class = if positive { n_pos } else { n_neg };
            let psi = (placement - mean) / (rows * class as f64);
            influence[column] += psi;
            squares[column] += psi * psi;
            weight[column] += if positive { 1.0 / n_pos as f64 } else { 0.0 };
        }
    }
    let effective_genes = weight.iter().sum::<f64>().powi(2) / weight.iter().map(|c| c * c).sum::<f64>();
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
