//! Newton's method for a penalised logistic likelihood, whatever the storage of its design matrix.

use std::ops::{AddAssign, Range};

use ndarray::{Array1, Array2, ArrayView1, ArrayViewMut1, ArrayViewMut2, Axis, Slice};

use crate::Error;

/// Value and derivatives of a negative log-likelihood in nats.
pub(crate) struct Derivatives {
    pub(crate) loss: f64,
    pub(crate) gradient: Array1<f64>,
    /// Only the upper triangle counts.
    pub(crate) hessian: Array2<f64>,
}

impl Derivatives {
    pub(crate) fn zeros(n_coefficients: usize) -> Self {
        Self {
            loss: 0.0,
            gradient: Array1::zeros(n_coefficients),
            hessian: Array2::zeros((n_coefficients, n_coefficients)),
        }
    }

    /// The gradient of a range of coefficients.
    pub(crate) fn gradient_mut(&mut self, of: Range<usize>) -> ArrayViewMut1<'_, f64> {
        self.gradient.slice_axis_mut(Axis(0), Slice::from(of))
    }

    /// The block of the Hessian between two ranges of coefficients.
    pub(crate) fn hessian_mut(
        &mut self,
        rows: Range<usize>,
        columns: Range<usize>,
    ) -> ArrayViewMut2<'_, f64> {
        let ranges = [rows, columns];
        self.hessian
            .slice_each_axis_mut(|axis| Slice::from(ranges[axis.axis.index()].clone()))
    }
}

impl AddAssign<&Self> for Derivatives {
    fn add_assign(&mut self, other: &Self) {
        self.loss += other.loss;
        self.gradient += &other.gradient;
        self.hessian += &other.hessian;
    }
}

/// A negative log-likelihood; coefficient 0 is the intercept.
pub(crate) trait Likelihood {
    fn derivatives(&self, coefficients: ArrayView1<'_, f64>) -> Derivatives;
}

/// The coefficients that minimise `likelihood + penalty/2 · Σ_{j ≥ 1} β_j²`, found from `start`.
pub(crate) fn minimise(
    likelihood: &impl Likelihood,
    penalty: f64,
    start: Array1<f64>,
) -> Result<Array1<f64>, Error> {
    let penalised = |beta: &Array1<f64>| {
        let mut at = likelihood.derivatives(beta.view());
        for j in 1..beta.len() {
            at.loss += penalty / 2.0 * beta[j] * beta[j];
            at.gradient[j] += penalty * beta[j];
            at.hessian[[j, j]] += penalty;
        }
        at
    };
    let mut beta = start;
    let mut here = penalised(&beta);
    let mut decrement = f64::INFINITY;
    for _ in 0..MAX_ITERATIONS {
        let Some(step) = solve_positive_definite(here.hessian, &here.gradient) else {
            break;
        };
        decrement = step.dot(&here.gradient);
        if decrement < DECREMENT {
            return Ok(beta - step);
        }
        // The likelihood is convex but not quadratic: far from the minimum a full step may overshoot.
        let mut length = 1.0;
        loop {
            let trial = &beta - &(&step * length);
            let there = penalised(&trial);
            if there.loss <= here.loss - 1e-4 * length * decrement {
                (beta, here) = (trial, there);
                break;
            }
            length /= 2.0;
            if length < SHORTEST_STEP {
                return Err(Error::NotConverged {
                    iterations: MAX_ITERATIONS,
                    decrement,
                });
            }
        }
    }
    Err(Error::NotConverged {
        iterations: MAX_ITERATIONS,
        decrement,
    })
}

/// A well-posed problem takes about ten.
const MAX_ITERATIONS: usize = 100;

/// Nats above the minimum (twice) at which one more step lands on it to machine precision: convergence is
/// quadratic there, and the coefficients were already right to about the root of this.
const DECREMENT: f64 = 1e-10;

/// A descent direction of a smooth function needs no shorter step; rounding does.
const SHORTEST_STEP: f64 = 1e-6;

/// Solves `matrix · x = rhs` by Cholesky from the upper triangle; `None` where it is not positive definite.
fn solve_positive_definite(mut matrix: Array2<f64>, rhs: &Array1<f64>) -> Option<Array1<f64>> {
    let n = rhs.len();
    for i in 0..n {
        for j in i..n {
            let mut value = matrix[[i, j]];
            for k in 0..i {
                value -= matrix[[k, i]] * matrix[[k, j]];
            }
            matrix[[i, j]] = if i < j {
                value / matrix[[i, i]]
            } else if value > 0.0 {
                value.sqrt()
            } else {
                return None;
            };
        }
    }
    let mut x = rhs.clone();
    for i in 0..n {
        for k in 0..i {
            x[i] -= matrix[[k, i]] * x[k];
        }
        x[i] /= matrix[[i, i]];
    }
    for i in (0..n).rev() {
        for k in i + 1..n {
            x[i] -= matrix[[i, k]] * x[k];
        }
        x[i] /= matrix[[i, i]];
    }
    Some(x)
}

/// What one row adds to the derivatives of the loss with respect to its log-odds.
pub(crate) struct Slope {
    /// Probability minus label.
    pub(crate) residual: f64,
    /// Probability times its complement.
    pub(crate) weight: f64,
}

/// The loss of many rows: `Σ ln(1 + e^(−margin))`, with one logarithm for a few hundred rows.
pub(crate) struct Loss {
    logs: f64,
    product: f64,
}

impl Loss {
    pub(crate) fn new() -> Self {
        Self {
            logs: 0.0,
            product: 1.0,
        }
    }

    /// Adds a row with these log-odds and label and returns its slope.
    pub(crate) fn add(&mut self, log_odds: f64, label: bool) -> Slope {
        let decay = (-log_odds.abs()).exp();
        let likelier = 1.0 / (1.0 + decay);
        if (log_odds > 0.0) != label {
            self.logs += log_odds.abs();
        }
        self.product *= 1.0 + decay;
        if self.product > 1e250 {
            self.flush();
        }
        let probability = if log_odds >= 0.0 {
            likelier
        } else {
            decay * likelier
        };
        Slope {
            residual: probability - f64::from(u8::from(label)),
            weight: decay * likelier * likelier,
        }
    }

    pub(crate) fn total(mut self) -> f64 {
        self.flush();
        self.logs
    }

    fn flush(&mut self) {
        self.logs += self.product.ln();
        self.product = 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use proptest::prelude::*;

    #[test]
    fn a_matrix_that_is_not_positive_definite_is_refused() {
        assert_eq!(
            solve_positive_definite(array![[1.0, 2.0], [2.0, 1.0]], &array![1.0, 1.0]),
            None
        );
        assert_eq!(solve_positive_definite(array![[f64::NAN]], &array![1.0]), None);
    }

    proptest! {
        #[test]
        fn cholesky_solves_what_it_was_given(
            factor in prop::collection::vec(-1.0..1.0f64, 16), x in prop::collection::vec(-5.0..5.0f64, 4),
        ) {
            let a = Array2::from_shape_vec((4, 4), factor).unwrap();
            let matrix = a.t().dot(&a) + Array2::<f64>::eye(4);
            let x = Array1::from(x);
            let found = solve_positive_definite(matrix.clone(), &matrix.dot(&x)).unwrap();
            prop_assert!((&found - &x).iter().all(|d| d.abs() < 1e-10));
        }

        #[test]
        fn loss_is_the_sum_of_its_rows(rows in prop::collection::vec((-40.0..40.0f64, any::<bool>()), 0..2000)) {
            let mut loss = Loss::new();
            let mut naive = 0.0;
            for &(log_odds, label) in &rows {
                let slope = loss.add(log_odds, label);
                let p = 1.0 / (1.0 + (-log_odds).exp());
                prop_assert!((slope.residual - (p - f64::from(u8::from(label)))).abs() < 1e-15);
                prop_assert!((slope.weight - p * (1.0 - p)).abs() < 1e-15);
                let margin = if label { log_odds } else { -log_odds };
                naive += (-margin).max(0.0) + (-margin.abs()).exp().ln_1p();
            }
            prop_assert!((loss.total() - naive).abs() <= 1e-11 * (1.0 + naive));
        }
    }
}
