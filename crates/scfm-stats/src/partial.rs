use rayon::prelude::*;

use crate::correlation::{Correlation, dot};
use crate::error::{Error, Undefined, numbers, same_length};
use crate::ranks::mid_ranks;
use crate::result::{Alternative, EffectKind, TestResult};

/// A covariate whose ranks keep less than this share of their variance beside the others is a mixture of them.
const COLLINEAR: f64 = 1e-10;

/// Ranks of covariates made orthogonal, to take them out of many vectors.
///
/// ```
/// use scfm_stats::RankCovariates;
///
/// let size = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
/// let a = [1.1, 1.9, 3.2, 4.0, 5.3, 5.9, 7.2, 7.9];
/// let b = [2.0, 1.0, 4.0, 3.0, 6.0, 5.0, 8.0, 7.0];
/// let given_size = RankCovariates::new(&[&size])?;
/// // a is size in disguise, so nothing of it is left to correlate.
/// assert!(given_size.partial_spearman(&a, &b).is_err());
/// # Ok::<(), scfm_stats::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct RankCovariates {
    n: usize,
    /// Centred ranks as an orthonormal basis.
    basis: Vec<Vec<f64>>,
}

impl RankCovariates {
    /// Ranks the covariates, each a value per observation. O(k n log n + k² n).
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::NotANumber`], [`Undefined::Constant`] for a covariate that is constant or that the
    /// ranks of the ones before it determine; [`Error::Empty`] without covariates.
    pub fn new(covariates: &[&[f64]]) -> Result<Self, Error> {
        const WHAT: &str = "covariate, beside those before it,";
        let n = covariates
            .first()
            .ok_or(Error::Empty {
                what: "list of covariates",
            })?
            .len();
        let ranks: Vec<_> = covariates
            .par_iter()
            .map(|values| {
                same_length("covariate", n, values.len())?;
                centred_ranks("covariate", values)
            })
            .collect();
        let mut covariates_left = Self { n, basis: Vec::new() };
        for centred in ranks {
            let centred = centred?;
            let before = norm(&centred);
            let mut residual = covariates_left.residual(centred);
            // Once more, since the first pass leaves rounding of the size of what it takes away.
            residual = covariates_left.residual(residual);
            let after = norm(&residual);
            if before == 0.0 || after < COLLINEAR.sqrt() * before {
                return Err(Undefined::Constant { what: WHAT }.into());
            }
            residual.iter_mut().for_each(|value| *value /= after);
            covariates_left.basis.push(residual);
        }
        Ok(covariates_left)
    }

    /// Spearman's correlation of `a` and `b` given the covariates: the correlation of what is left of their ranks after
    /// regression on the covariates' ranks. Two-sided, p by Student's t with n - 2 - k degrees of freedom, interval of
    /// Bonett and Wright with n - k in place of n.
    ///
    /// The same number as from the inverse of the matrix of rank correlations; agrees with `pingouin.partial_corr(method=
    /// "spearman")` in r and p.
    ///
    /// # Errors
    /// [`Undefined::TooFew`] unless n > k + 2, [`Undefined::Constant`] for a vector that the covariates determine;
    /// [`Error::Length`], [`Error::NotANumber`].
    pub fn partial_spearman(&self, a: &[f64], b: &[f64]) -> Result<TestResult, Error> {
        same_length("first vector", self.n, a.len())?;
        same_length("second vector", self.n, b.len())?;
        let k = self.basis.len();
        if self.n <= k + 2 {
            return Err(Undefined::TooFew {
                what: "observations",
                n: self.n,
                needed: k + 3,
            }
            .into());
        }
        let left = |what, values| -> Result<Vec<f64>, Error> {
            let centred = centred_ranks(what, values)?;
            let before = norm(&centred);
            let residual = self.residual(centred);
            if before == 0.0 || norm(&residual) < COLLINEAR.sqrt() * before {
                return Err(Undefined::Constant { what }.into());
            }
            Ok(residual)
        };
        let (a, b) = rayon::join(
            || left("first vector, given the covariates,", a),
            || left("second vector, given the covariates,", b),
        );
        let rho = Correlation::of_centred(&a?, &b?);
        let effective = self.n - k;
        let sides = rho.sides(effective);
        Ok(TestResult {
            method: "partial Spearman correlation",
            alternative: Alternative::TwoSided,
            statistic: rho.r,
            p: sides.two_sided,
            sides: Some(sides),
            effect: rho.r,
            effect_kind: EffectKind::Correlation,
            ci: rho.rank_interval(effective),
            n: self.n,
            n_unit: "observations",
        })
    }

    /// What the covariates leave of a centred vector.
    fn residual(&self, mut centred: Vec<f64>) -> Vec<f64> {
        for direction in &self.basis {
            let along = dot(&centred, direction);
            for (value, d) in centred.iter_mut().zip(direction) {
                *value -= along * d;
            }
        }
        centred
    }
}

fn centred_ranks(what: &'static str, values: &[f64]) -> Result<Vec<f64>, Error> {
    numbers(what, values)?;
    let mut ranks = mid_ranks(values)?;
    let mean = (values.len() as f64 + 1.0) / 2.0;
    ranks.iter_mut().for_each(|rank| *rank -= mean);
    Ok(ranks)
}

fn norm(values: &[f64]) -> f64 {
    dot(values, values).sqrt()
}
