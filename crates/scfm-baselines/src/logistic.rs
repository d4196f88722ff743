use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, Slice};
use rayon::prelude::*;

use crate::Error;
use crate::newton::{Derivatives, Likelihood, Loss, minimise};

/// L2-penalised logistic regression: minimises `C · Σ loss + ½ ‖coefficients‖²`, the intercept unpenalised.
///
/// The objective is that of scikit-learn's `LogisticRegression(C)`; solved by Newton's method with Cholesky to
/// machine precision, where scikit-learn's default solver stops at a gradient of 1e-4.
///
/// ```
/// use ndarray::array;
/// use scfm_baselines::LogisticRegression;
///
/// let x = array![[0.0], [1.0], [2.0], [3.0]];
/// let fitted = LogisticRegression::default().fit(x.view(), &[false, true, false, true])?;
/// let log_odds = fitted.log_odds(x.view());
/// assert!(log_odds[3] > log_odds[0]);
/// # Ok::<(), scfm_baselines::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogisticRegression {
    c: f64,
}

impl Default for LogisticRegression {
    /// `C = 1`, as in scikit-learn.
    fn default() -> Self {
        Self { c: 1.0 }
    }
}

impl LogisticRegression {
    /// Regression with inverse strength `c` of the penalty.
    ///
    /// # Errors
    /// [`Error::InverseStrength`] unless `c` is positive and finite.
    pub fn new(c: f64) -> Result<Self, Error> {
        if c > 0.0 && c.is_finite() {
            Ok(Self { c })
        } else {
            Err(Error::InverseStrength(c))
        }
    }

    /// What `½ ‖coefficients‖²` is multiplied by when the loss is not.
    pub(crate) fn penalty(self) -> f64 {
        1.0 / self.c
    }

    /// Fits `labels` on `x`, `[rows, features]`, as it stands: standardise first (see [`Standardisation`]).
    ///
    /// # Errors
    /// [`Error::NotFinite`] for a value of `x` that is not, [`scfm_stats::Undefined::OneClass`] where only one
    /// label occurs.
    ///
    /// # Panics
    /// When there is not one label per row.
    pub fn fit(self, x: ArrayView2<'_, f64>, labels: &[bool]) -> Result<Fitted, Error> {
        assert_eq!(x.nrows(), labels.len(), "a label for every row");
        if let Some(((row, column), &value)) = x.indexed_iter().find(|(_, v)| !v.is_finite()) {
            return Err(Error::NotFinite { row, column, value });
        }
        let n_pos = labels.iter().filter(|&&label| label).count();
        let start = starting_point(n_pos, labels.len() - n_pos, x.ncols())?;
        let solution = minimise(&Dense { x, labels }, self.penalty(), start)?;
        Ok(Fitted {
            intercept: solution[0],
            coefficients: solution.slice_axis(Axis(0), Slice::from(1..)).to_owned(),
        })
    }
}

/// A fitted [`LogisticRegression`].
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// Log-odds where every feature is 0.
    pub intercept: f64,
    /// Log-odds per unit of each feature.
    pub coefficients: Array1<f64>,
}

impl Fitted {
    /// Log-odds of every row of `x`.
    ///
    /// # Panics
    /// When `x` has another number of columns than the regression was fitted on.
    pub fn log_odds(&self, x: ArrayView2<'_, f64>) -> Array1<f64> {
        x.dot(&self.coefficients) + self.intercept
    }
}

/// Centre and scale of columns, learnt on training rows and applied to others.
#[derive(Debug, Clone, PartialEq)]
pub struct Standardisation {
    /// Mean of each column.
    pub mean: Array1<f64>,
    /// Standard deviation (denominator n) of each column, 1 where the column is constant.
    pub scale: Array1<f64>,
}

impl Standardisation {
    /// Mean and standard deviation of the columns of `x`. Agrees with scikit-learn's `StandardScaler`.
    ///
    /// # Panics
    /// When `x` has no rows.
    pub fn of(x: ArrayView2<'_, f64>) -> Self {
        Self::weighted(x, Array1::ones(x.nrows()).view())
    }

    /// The same where row i stands for `weights[i]` rows.
    ///
    /// # Panics
    /// When the weights do not sum to a positive number or are not one per row.
    pub fn weighted(x: ArrayView2<'_, f64>, weights: ArrayView1<'_, f64>) -> Self {
        let n = weights.sum();
        assert!(n > 0.0, "standardisation needs a row");
        let mean = weights.dot(&x) / n;
        let squares = |column: ArrayView1<'_, f64>, mean: f64| -> f64 {
            column
                .iter()
                .zip(weights)
                .map(|(x, weight)| weight * (x - mean).powi(2))
                .sum()
        };
        let scale = x
            .columns()
            .into_iter()
            .zip(&mean)
            .map(|(x, &mean)| scale_of(squares(x, mean) / n, mean))
            .collect();
        Self { mean, scale }
    }

    /// `(x − mean) / scale`, column by column.
    pub fn apply(&self, x: ArrayView2<'_, f64>) -> Array2<f64> {
        (&x - &self.mean) / &self.scale
    }
}

/// Standard deviation of a column with this variance and mean; 1 where it is constant up to rounding.
pub(crate) fn scale_of(variance: f64, mean: f64) -> f64 {
    let rounding = 10.0 * f64::EPSILON * mean.abs();
    if variance.sqrt() <= rounding {
        1.0
    } else {
        variance.sqrt()
    }
}

/// Coefficients of the model that knows only the share of positives.
pub(crate) fn starting_point(n_pos: usize, n_neg: usize, n_features: usize) -> Result<Array1<f64>, Error> {
    if n_pos == 0 || n_neg == 0 {
        return Err(scfm_stats::Error::Undefined(scfm_stats::Undefined::OneClass { n_pos, n_neg }).into());
    }
    let mut start = Array1::zeros(n_features + 1);
    start[0] = (n_pos as f64 / n_neg as f64).ln();
    Ok(start)
}

struct Dense<'a> {
    x: ArrayView2<'a, f64>,
    labels: &'a [bool],
}

/// Rows per task: a block of two dozen features stays in the second-level cache, and the sums over blocks are
/// taken in order, so that the number of threads changes nothing.
const BLOCK: usize = 2048;

impl Likelihood for Dense<'_> {
    fn derivatives(&self, coefficients: ArrayView1<'_, f64>) -> Derivatives {
        let n = coefficients.len();
        let slopes = coefficients.slice_axis(Axis(0), Slice::from(1..));
        let blocks: Vec<Derivatives> = (0..self.labels.len().div_ceil(BLOCK))
            .into_par_iter()
            .map(|block| {
                let rows = block * BLOCK..((block + 1) * BLOCK).min(self.labels.len());
                let x = self.x.slice_axis(Axis(0), Slice::from(rows.clone()));
                let log_odds = x.dot(&slopes) + coefficients[0];
                let mut loss = Loss::new();
                let (mut residuals, mut weights) = (Array1::zeros(rows.len()), Array1::zeros(rows.len()));
                for (i, (&eta, &label)) in log_odds.iter().zip(&self.labels[rows]).enumerate() {
                    let slope = loss.add(eta, label);
                    residuals[i] = slope.residual;
                    weights[i] = slope.weight;
                }
                let mut at = Derivatives::zeros(n);
                at.loss = loss.total();
                at.gradient[0] = residuals.sum();
                at.gradient_mut(1..n).assign(&residuals.dot(&x));
                at.hessian[[0, 0]] = weights.sum();
                let weighted = &x * &weights.insert_axis(Axis(1));
                at.hessian_mut(0..1, 1..n).assign(&weighted.sum_axis(Axis(0)));
                at.hessian_mut(1..n, 1..n).assign(&x.t().dot(&weighted));
                at
            })
            .collect();
        let mut sum = Derivatives::zeros(n);
        for block in &blocks {
            sum += block;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use proptest::prelude::*;

    #[test]
    fn bad_input_is_an_error_that_names_its_place() {
        let error = LogisticRegression::default()
            .fit(array![[0.0, f64::NAN]].view(), &[true])
            .unwrap_err();
        assert!(
            matches!(
                error,
                Error::NotFinite {
                    row: 0,
                    column: 1,
                    ..
                }
            ),
            "{error}"
        );
        let error = LogisticRegression::default()
            .fit(array![[0.0], [1.0]].view(), &[true, true])
            .unwrap_err();
        assert!(
            matches!(
                error,
                Error::Stats(scfm_stats::Error::Undefined(scfm_stats::Undefined::OneClass {
                    n_pos: 2,
                    n_neg: 0
                }))
            ),
            "{error}"
        );
        for c in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(
                LogisticRegression::new(c),
                Err(Error::InverseStrength(_))
            ));
        }
    }

    #[test]
    fn separable_classes_have_finite_coefficients() {
        let x = array![[-1e3], [-1.0], [1.0], [1e3]];
        let fitted = LogisticRegression::new(1e6)
            .unwrap()
            .fit(x.view(), &[false, false, true, true])
            .unwrap();
        assert!(fitted.coefficients[0].is_finite() && fitted.coefficients[0] > 1.0);
    }

    #[test]
    fn a_constant_column_is_left_at_zero() {
        let x = array![[0.1, 1.0], [0.1, 3.0]];
        let standardised = Standardisation::of(x.view()).apply(x.view());
        assert_eq!(standardised, array![[0.0, -1.0], [0.0, 1.0]]);
    }

    proptest! {
        #[test]
        fn the_gradient_of_the_objective_vanishes_at_the_fit(
            values in prop::collection::vec(-3.0..3.0f64, 60), labels in prop::collection::vec(any::<bool>(), 20),
            c in 0.01..100.0f64,
        ) {
            prop_assume!(labels.contains(&true) && labels.contains(&false));
            let x = Array2::from_shape_vec((20, 3), values).unwrap();
            let fitted = LogisticRegression::new(c).unwrap().fit(x.view(), &labels).unwrap();
            let residuals: Array1<f64> = fitted
                .log_odds(x.view())
                .iter()
                .zip(&labels)
                .map(|(&eta, &y)| 1.0 / (1.0 + (-eta).exp()) - f64::from(u8::from(y)))
                .collect();
            prop_assert!(residuals.sum().abs() < 1e-8);
            let gradient = residuals.dot(&x) + &fitted.coefficients / c;
            prop_assert!(gradient.iter().all(|g| g.abs() < 1e-8), "{gradient}");
        }

        #[test]
        fn weights_count_as_repeated_rows(
            rows in prop::collection::vec((-3.0..3.0f64, 1usize..4), 2..20),
        ) {
            let x = Array2::from_shape_fn((rows.len(), 1), |(i, _)| rows[i].0);
            let weights: Array1<f64> = rows.iter().map(|r| r.1 as f64).collect();
            let repeated: Vec<f64> = rows.iter().flat_map(|&(v, n)| std::iter::repeat_n(v, n)).collect();
            let repeated = Array2::from_shape_vec((repeated.len(), 1), repeated).unwrap();
            let (a, b) = (Standardisation::weighted(x.view(), weights.view()), Standardisation::of(repeated.view()));
            prop_assert!((a.mean[0] - b.mean[0]).abs() < 1e-12 && (a.scale[0] - b.scale[0]).abs() < 1e-12);
        }
    }
}
