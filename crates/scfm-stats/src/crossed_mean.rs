//! Inference on a mean over rows that average the same columns.

use ndarray::ArrayView2;

use crate::crossed::CrossedLimits;
use crate::error::{Error, Undefined};
use crate::result::{EffectKind, TestResult};
use crate::student::Estimate;

/// Mean over rows of each row's mean over its members, with a standard error that holds in both directions.
///
/// Rows (perturbations) average what was measured of columns (genes): row `p` its `n_p` members, `θ_p = Σ_g Y_pg x_pg / n_p`
/// and `θ = Σ_p θ_p / P`. A gene that many perturbations move counts in many rows, and where its value is one number for
/// all of them (the loss of predicting the gene, say), rows are anything but independent: a t test over rows takes 60
/// perturbations that share 40 genes for 60 observations. The variance is that of [`crossed_auroc`](crate::crossed_auroc)
/// with the value in the place of a placement,
///
/// ```text
/// ψ_pg = Y_pg (x_pg - θ) / (P n_p)
/// Var θ = Σ_p (θ_p - θ)² / (P (P - 1)) + G / (G - 1) · Σ_g [(Σ_p ψ_pg)² - Σ_p ψ_pg²]
/// ```
///
/// its last term not let below 0, with `c_g = Σ_p Y_pg / n_p`, `G = (Σ c)² / Σ c²` effective columns and
/// `min(P, G) - 1` degrees of freedom. The factor is Bessel's: θ is the mean of the very columns whose deviations from it
/// are squared. Where the columns' values are shared by all rows and rows are many, what is left is
/// `Σ_g c_g² (x_g - θ)² / P²`, the variance of a weighted mean of independent genes.
#[derive(Debug, Clone, PartialEq)]
pub struct CrossedMean {
    /// Mean over the rows.
    pub mean: f64,
    /// The mean of each row's members.
    pub per_row: Vec<f64>,
    /// Standard error of the mean, clustered by row and by column.
    pub standard_error: f64,
    /// How many equally shared columns the members amount to.
    pub effective_columns: f64,
    /// Degrees of freedom, min(rows, effective columns) - 1.
    pub df: f64,
    /// The two-sided t test of mean = 0.
    pub test: TestResult,
}

/// Tests whether the mean over rows of the means of their members is 0, two-sided.
///
/// `values` and `member` are `[rows, columns]`; values that are no members are not read. A value for each column alone is
/// broadcast over the rows:
///
/// ```
/// use ndarray::{Array1, Array2};
/// use scfm_stats::{CrossedLimits, crossed_mean};
///
/// let member = Array2::from_shape_fn((24, 90), |(row, column)| (row * 7 + column * 11) % 9 == 0);
/// let loss = Array1::from_shape_fn(90, |column| ((column * 37) % 19) as f64 - 9.0);
/// let loss = loss.broadcast((24, 90)).expect("one value a column");
/// let mean = crossed_mean(loss, member.view(), &CrossedLimits::default())?;
/// assert!(mean.effective_columns > 85.0 && mean.test.p.p() > 0.05);
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// [`Undefined::TooFew`] for a row without members, [`Undefined::NotDecidable`] below `limits`,
/// [`Undefined::NoVariance`]; [`Error::Shape`], [`Error::Empty`], [`Error::CellNotANumber`] for a member that is no finite
/// number.
pub fn crossed_mean(
    values: ArrayView2<f64>,
    member: ArrayView2<bool>,
    limits: &CrossedLimits,
) -> Result<CrossedMean, Error> {
    let (n_rows, n_columns) = member.dim();
    if values.dim() != member.dim() {
        return Err(Error::Shape {
            what: "values",
            expected: member.dim(),
            got: values.dim(),
        });
    }
    if n_rows == 0 || n_columns == 0 {
        return Err(Error::Empty { what: "design" });
    }
    let members_of = |row: usize| (0..n_columns).filter(move |&column| member[[row, column]]);
    let mut per_row = Vec::with_capacity(n_rows);
    let mut sizes = Vec::with_capacity(n_rows);
    for row in 0..n_rows {
        let (mut sum, mut n) = (0.0, 0usize);
        for column in members_of(row) {
            let value = values[[row, column]];
            if !value.is_finite() {
                return Err(Error::CellNotANumber {
                    what: "value",
                    row,
                    column,
                });
            }
            sum += value;
            n += 1;
        }
        if n == 0 {
            return Err(Undefined::TooFew {
                what: "members of a row",
                n,
                needed: 1,
            }
            .into());
        }
        per_row.push(sum / n as f64);
        sizes.push(n as f64);
    }
    let rows = n_rows as f64;
    let mean = per_row.iter().sum::<f64>() / rows;

    // Σ_p ψ, Σ_p ψ² and Σ_p Y / n of each column.
    let mut influence = vec![0.0; n_columns];
    let mut squares = vec![0.0; n_columns];
    let mut weight = vec![0.0; n_columns];
    for row in 0..n_rows {
        for column in members_of(row) {
            let psi = (values[[row, column]] - mean) / (rows * sizes[row]);
            influence[column] += psi;
            squares[column] += psi * psi;
            weight[column] += 1.0 / sizes[row];
        }
    }
    let effective_columns = weight.iter().sum::<f64>().powi(2) / weight.iter().map(|c| c * c).sum::<f64>();
    if n_rows < limits.min_rows.max(2) || effective_columns < limits.min_effective_genes.max(2.0) {
        return Err(Undefined::NotDecidable {
            rows: n_rows,
            min_rows: limits.min_rows.max(2),
            effective_genes: effective_columns,
            min_effective_genes: limits.min_effective_genes.max(2.0),
        }
        .into());
    }
    let between_rows =
        per_row.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (rows * (rows - 1.0));
    let shared: f64 = influence
        .iter()
        .zip(&squares)
        .map(|(sum, squares)| sum * sum - squares)
        .sum();
    let bessel = effective_columns / (effective_columns - 1.0);
    let standard_error = (between_rows + bessel * shared.max(0.0)).sqrt();
    let df = rows.min(effective_columns) - 1.0;
    let test = Estimate::new(mean, standard_error, df)?.test(
        "crossed t test of the mean",
        "the mean",
        EffectKind::MeanDifference,
        n_rows,
        "rows",
    )?;
    Ok(CrossedMean {
        mean,
        per_row,
        standard_error,
        effective_columns,
        df,
        test,
    })
}

impl CrossedMean {
    /// The same mean as the difference between one case and the average of a sample of draws, tested by
    /// [`Estimate::against_draws`].
    ///
    /// # Errors
    /// Its errors, [`Undefined::NoVariance`].
    pub fn against_draws(&self, draws: &[f64]) -> Result<TestResult, Error> {
        Estimate::new(self.mean, self.standard_error, self.df)?
            .against_draws(draws)?
            .test(
                "crossed t test against random draws",
                "the mean",
                EffectKind::MeanDifference,
                self.per_row.len(),
                "rows",
            )
    }
}
