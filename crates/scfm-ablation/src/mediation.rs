//! Do the effects of single components add up to the whole effect?

use scfm_stats::{Estimate, Interval, Moments, TestResult, Undefined, defined, one_sample_t};

use crate::Error;

/// The normal quantile of a two-sided 95 % statement, as rounded by the literature.
pub const PUBLISHED_QUANTILE: f64 = 1.96;

/// A total effect below this, in nats or bins, may be rounding of 32-bit arithmetic.
const RESOLVED: f64 = 1e-4;

/// Fewest runs from which it is said whether residuals differ from 0.
const MIN_RUNS: usize = 6;

/// A number per cell, summed up: mean, standard deviation over cells (divisor n − 1), number of cells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OverCells {
    /// Mean over cells.
    pub mean: f64,
    /// Standard deviation over cells; 0 for a single cell, which is not what it is worth.
    pub std: f64,
    /// Number of cells.
    pub n: usize,
}

impl OverCells {
    /// The summary of `values`, one per cell.
    ///
    /// # Panics
    /// Without cells.
    pub fn of(values: &[f64]) -> Self {
        assert!(!values.is_empty(), "a summary of at least one cell");
        let moments = Moments::of(values);
        Self {
            mean: moments.mean,
            std: if values.len() > 1 {
                moments.variance.sqrt()
            } else {
                0.0
            },
            n: values.len(),
        }
    }

    /// Standard error of the mean; 0 for a single cell, as in the literature, where nothing is known of it.
    pub fn standard_error(self) -> f64 {
        self.std / (self.n.max(1) as f64).sqrt()
    }

    /// Whether the 95 % t interval of the mean excludes 0, which that of a single cell never does. A mean that may be 0 is
    /// nothing to divide by: archived ratios of 207 and 331 came about so.
    pub fn is_clear(self) -> bool {
        let as_residual = Residual {
            value: self.mean,
            standard_error: self.standard_error(),
            n_cells: self.n,
        };
        as_residual
            .interval()
            .is_ok_and(|ci| ci.low > 0.0 || ci.high < 0.0)
    }
}

/// What single components leave unexplained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Residual {
    /// The residual.
    pub value: f64,
    /// Its standard error over cells.
    pub standard_error: f64,
    /// Number of cells behind it.
    pub n_cells: usize,
}

impl Residual {
    /// Whether there is any standard error to test it by: two cells or more.
    pub fn is_testable(self) -> bool {
        self.n_cells >= 2
    }

    /// max(0, |R| − `quantile` · SE(R)): how far from additive the run is at the least.
    pub fn lower_bound(self, quantile: f64) -> f64 {
        (self.value.abs() - quantile * self.standard_error).max(0.0)
    }

    /// The same with Student's quantile for this number of cells, so that an additive run has a bound above 0 in one of 20
    /// cases; 1.96 gives it to one in 11 where there are eight cells.
    ///
    /// # Errors
    /// [`Undefined::TooFew`] for a single cell.
    pub fn student_lower_bound(self) -> Result<f64, Undefined> {
        let ci = self.interval()?;
        let quantile_errors = (ci.high - ci.low) / 2.0;
        Ok((self.value.abs() - quantile_errors).max(0.0))
    }

    /// 95 % t interval over cells.
    ///
    /// # Errors
    /// [`Undefined::TooFew`] for a single cell.
    pub fn interval(self) -> Result<Interval, Undefined> {
        if !self.is_testable() {
            return Err(Undefined::TooFew {
                what: "cells",
                n: self.n_cells,
                needed: 2,
            });
        }
        let estimate = Estimate::new(self.value, self.standard_error, self.n_cells as f64 - 1.0)
            .and_then(|estimate| estimate.interval(0.95));
        match defined(estimate) {
            Ok(interval) => interval,
            Err(_) => Err(Undefined::Constant {
                what: "residual, which is not a number,",
            }),
        }
    }
}

/// A source, a target and a way to cut the model into components, summed up over cells.
#[derive(Debug, Clone, PartialEq)]
pub struct MediationRun {
    /// Total effect of taking the source away, in units of the read-out.
    pub total: OverCells,
    /// What each component restores alone. Archived runs hold shares of the total effect here.
    pub components: Vec<OverCells>,
}

impl MediationRun {
    /// Σ m_i with the components' errors in quadrature, as if they were independent.
    pub fn sum(&self) -> (f64, f64) {
        let sum = self.components.iter().map(|m| m.mean).sum();
        let variance: f64 = self.components.iter().map(|m| m.standard_error().powi(2)).sum();
        (sum, variance.sqrt())
    }

    /// TE − Σ m_i, with SE² = SE(TE)² + Σ SE(m_i)²: the published residual.
    ///
    /// Where the components are shares of the total effect, this takes a share from an effect; [`Self::share_residual`]
    /// does not.
    pub fn published_residual(&self) -> Residual {
        let (sum, error) = self.sum();
        Residual {
            value: self.total.mean - sum,
            standard_error: self.total.standard_error().hypot(error),
            n_cells: self.n_cells(),
        }
    }

    /// 1 − Σ m_i for components that are shares of the total effect, with SE² = Σ SE(m_i)².
    pub fn share_residual(&self) -> Residual {
        let (sum, error) = self.sum();
        Residual {
            value: 1.0 - sum,
            standard_error: error,
            n_cells: self.n_cells(),
        }
    }

    fn n_cells(&self) -> usize {
        let of_components = self.components.iter().map(|m| m.n).min();
        of_components.unwrap_or(self.total.n).min(self.total.n)
    }
}

/// What a run found cell by cell: total effect and effects of components in the same unit.
#[derive(Debug, Clone, PartialEq)]
pub struct CellEffects {
    /// Total effect in each cell.
    pub total: Vec<f64>,
    /// By component, its effect in each cell.
    pub components: Vec<Vec<f64>>,
}

impl CellEffects {
    /// The residual 1 − Σ m_i / TE over cells, each with the weight of its squared total effect, its error by the jackknife
    /// over cells.
    ///
    /// Components of one cell are not independent, so the residual is formed in each cell, d = TE − Σ m_i, before anything
    /// is averaged: R = Σ d TE / Σ TE². This is the slope of d on TE through the origin. No cell is divided by its own effect,
    /// which may be next to 0, nor is anything by a mean effect, which is next to 0 where a source helps in some cells and harms
    /// in others.
    ///
    /// # Errors
    /// [`Undefined::TooFew`] below two cells; [`Undefined::Constant`] where not even two cells have an effect beyond what 32-bit
    /// arithmetic resolves.
    ///
    /// # Panics
    /// Where a component has not one effect per cell.
    pub fn share_residual(&self) -> Result<Residual, Undefined> {
        let residuals: Vec<f64> = (0..self.total.len())
            .map(|cell| self.total[cell] - self.components.iter().map(|m| m[cell]).sum::<f64>())
            .collect();
        let (value, standard_error) = effect_weighted(&residuals, &self.total)?;
        Ok(Residual {
            value,
            standard_error,
            n_cells: self.total.len(),
        })
    }

    /// Each component's share of the total effect, weighted as the residual is: they sum to 1 − R.
    ///
    /// # Errors
    /// As [`CellEffects::share_residual`].
    ///
    /// # Panics
    /// Where a component has not one effect per cell.
    pub fn shares(&self) -> Result<Vec<OverCells>, Undefined> {
        let root_n = (self.total.len() as f64).sqrt();
        self.components
            .iter()
            .map(|effects| {
                let (mean, error) = effect_weighted(effects, &self.total)?;
                Ok(OverCells {
                    mean,
                    std: error * root_n,
                    n: self.total.len(),
                })
            })
            .collect()
    }

    /// Means and standard deviations in the unit of the read-out.
    ///
    /// # Panics
    /// Without cells.
    pub fn summary(&self) -> MediationRun {
        MediationRun {
            total: OverCells::of(&self.total),
            components: self.components.iter().map(|m| OverCells::of(m)).collect(),
        }
    }
}

/// Σ a TE / Σ TE² over cells, and its standard error by leaving one cell out at a time.
fn effect_weighted(a: &[f64], total: &[f64]) -> Result<(f64, f64), Undefined> {
    assert_eq!(a.len(), total.len(), "an effect for each cell");
    let n = a.len();
    if n < 2 {
        return Err(Undefined::TooFew {
            what: "cells",
            n,
            needed: 2,
        });
    }
    let without = |left_out: Option<usize>| {
        let cells = (0..n).filter(|cell| Some(*cell) != left_out);
        let (top, bottom) = cells.fold((0.0, 0.0), |(top, bottom), cell| {
            (top + a[cell] * total[cell], bottom + total[cell].powi(2))
        });
        if bottom > RESOLVED.powi(2) {
            Ok(top / bottom)
        } else {
            Err(Undefined::Constant {
                what: "total effect, which is 0,",
            })
        }
    };
    let value = without(None)?;
    let left_out: Vec<f64> = (0..n).map(|cell| without(Some(cell))).collect::<Result<_, _>>()?;
    let moments = Moments::of(&left_out);
    // (n − 1) / n · Σ (v − v̄)², with the sum as (n − 1) variances.
    let variance = (n as f64 - 1.0).powi(2) / n as f64 * moments.variance;
    Ok((value, variance.sqrt()))
}

/// Whether the residuals 1 − Σ m of runs differ from 0 on the average: one-sample t over runs, two-sided.
///
/// The lower bound A_lb is never negative, so a t test of it against 0 finds non-additivity in any additive model; the
/// residual has a sign and the mean 0 there. Runs must not share what varies: choose pairs that have no gene in common.
///
/// # Errors
/// [`Undefined::TooFew`] below six runs, and those of [`one_sample_t`].
pub fn residual_test(residuals: &[f64]) -> Result<TestResult, Error> {
    if residuals.len() < MIN_RUNS {
        return Err(scfm_stats::Error::Undefined(Undefined::TooFew {
            what: "runs with a total effect",
            n: residuals.len(),
            needed: MIN_RUNS,
        })
        .into());
    }
    Ok(one_sample_t(residuals, 0.0)?)
}
