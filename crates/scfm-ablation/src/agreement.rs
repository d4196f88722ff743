//! Effects that a model predicts for knocking genes out, against effects that were measured.

use ndarray::{Array2, ArrayView2, Axis};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use scfm_stats::{
    Alternative, EffectKind, Estimate, PermutationLimits, RankCovariates, TestResult, Undefined, defined,
    permutation_test, spearman,
};

use crate::Error;

/// Fewest sources whose effects can be told apart by permuting them.
pub const MIN_SOURCES: usize = 6;

/// Fewest targets of a source over which effects are ranked.
pub const MIN_TARGETS: usize = 10;

/// What is compared of a predicted and a measured profile over targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// Spearman's correlation of sizes, |predicted| with |measured|.
    Sizes,
    /// The share of targets with the right sign, of those where neither effect is 0.
    Signs,
}

/// How well predicted effects of each source fit the measured effects of each.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceAgreement {
    /// `[predicted source, measured source]`; the diagonal is what a source's prediction has in common with its own
    /// measurement.
    matrix: Array2<f64>,
    /// The sources that could be compared with all others, as rows of the input.
    sources: Vec<usize>,
    null_value: f64,
    /// What a single value is an instance of.
    effect_kind: EffectKind,
}

impl SourceAgreement {
    /// Compares every source's predicted effects with every source's measured ones, each over the targets that both have.
    ///
    /// `predicted` and `measured` are `[source, target]`, `NaN` where there is no effect; a source is no target of its own.
    /// `covariates` are numbers per target, whose ranks are taken out of the ranks of both sizes; one that the others
    /// determine is left out. Signs know no covariates.
    ///
    /// A source is dropped whose predictions or measurements do not vary over targets, or that shares fewer than ten with
    /// another.
    ///
    /// # Errors
    /// [`scfm_stats::Error::Shape`] for tables of two shapes; [`scfm_stats::Error::Length`] for a covariate of another
    /// length.
    pub fn new(
        predicted: ArrayView2<'_, f64>,
        measured: ArrayView2<'_, f64>,
        covariates: &[Vec<f64>],
        agreement: Agreement,
    ) -> Result<Self, Error> {
        if predicted.dim() != measured.dim() {
            return Err(scfm_stats::Error::Shape {
                what: "measured effects",
                expected: predicted.dim(),
                got: measured.dim(),
            }
            .into());
        }
        let (n_sources, n_targets) = predicted.dim();
        if let Some(covariate) = covariates.iter().find(|values| values.len() != n_targets) {
            return Err(scfm_stats::Error::Length {
                what: "covariate",
                expected: n_targets,
                got: covariate.len(),
            }
            .into());
        }
        let values: Vec<f64> = (0..n_sources * n_sources)
            .into_par_iter()
            .map(|pair| {
                let (row, column) = (pair / n_sources, pair % n_sources);
                let shared: Vec<usize> = (0..n_targets)
                    .filter(|&target| {
                        predicted[[row, target]].is_finite()
                            && measured[[column, target]].is_finite()
                            && covariates.iter().all(|values| values[target].is_finite())
                    })
                    .collect();
                let a: Vec<f64> = shared.iter().map(|&target| predicted[[row, target]]).collect();
                let b: Vec<f64> = shared.iter().map(|&target| measured[[column, target]]).collect();
                match agreement {
                    Agreement::Sizes => {
                        let covariates: Vec<Vec<f64>> = covariates
                            .iter()
                            .map(|values| shared.iter().map(|&target| values[target]).collect())
                            .collect();
                        sizes(&a, &b, &covariates)
                    }
                    Agreement::Signs => Ok(sign_share(&a, &b).map(|(share, _)| share)),
                }
                .map(|value| value.unwrap_or(f64::NAN))
            })
            .collect::<Result<_, Error>>()?;
        let matrix = Array2::from_shape_vec((n_sources, n_sources), values).expect("a value for each pair");
        let (null_value, effect_kind) = match agreement {
            Agreement::Sizes => (0.0, EffectKind::Correlation),
            Agreement::Signs => (0.5, EffectKind::Proportion),
        };
        let sources = comparable(&matrix);
        Ok(Self {
            matrix: matrix.select(Axis(0), &sources).select(Axis(1), &sources),
            sources,
            null_value,
            effect_kind,
        })
    }

    /// The sources that could be compared, as rows of the input.
    pub fn sources(&self) -> &[usize] {
        &self.sources
    }

    /// Each source's agreement with its own measurement.
    pub fn of_sources(&self) -> Vec<f64> {
        self.matrix.diag().to_vec()
    }

    /// Mean agreement of sources with their own measurements; `None` without sources.
    pub fn own(&self) -> Option<f64> {
        self.matrix.diag().mean()
    }

    /// Mean agreement of predictions with other sources' measurements: what genes have in common whoever is knocked out.
    /// `None` below two sources.
    pub fn of_others(&self) -> Option<f64> {
        let n = self.sources.len();
        (n > 1).then(|| (self.matrix.sum() - self.matrix.diag().sum()) / (n * (n - 1)) as f64)
    }

    /// Whether predictions fit their own source better than others: sources of the measurements are permuted.
    ///
    /// Every source ranks the same targets, some genes move whatever is done and some predictions are large whoever is
    /// knocked out; correlations within sources are then neither 0 nor independent without any knowledge of what the source
    /// does. Both are the same for every order of the sources, so the permutation holds its level. Effect = own agreement −
    /// that with others, with a jackknife interval over sources.
    ///
    /// # Errors
    /// [`Undefined::TooFew`] below six sources, [`Undefined::Constant`] where all agreements are equal.
    pub fn permutation_test(
        &self,
        n_permutations: usize,
        stream: impl Fn(u64) -> ChaCha8Rng + Sync,
    ) -> Result<TestResult, Error> {
        let n = self.sources.len();
        if n < MIN_SOURCES {
            return Err(undefined(Undefined::TooFew {
                what: "sources with predicted and measured effects",
                n,
                needed: MIN_SOURCES,
            }));
        }
        let mean = self.matrix.mean().expect("sources");
        if self.matrix.iter().all(|value| (value - mean).abs() < 1e-12) {
            return Err(undefined(Undefined::Constant {
                what: "agreement of sources",
            }));
        }
        let of_order =
            |order: &[usize]| (0..n).map(|s| self.matrix[[s, order[s]]]).sum::<f64>() / n as f64 - mean;
        let identity: Vec<usize> = (0..n).collect();
        let observed = of_order(&identity);
        let limits = PermutationLimits {
            max: n_permutations,
            stop_after: None,
        };
        let permuted = permutation_test(observed, Alternative::TwoSided, limits, |index| {
            let mut order = identity.clone();
            order.shuffle(&mut stream(index));
            of_order(&order)
        })?;
        let effect = self.excess(None);
        Ok(TestResult {
            method: "permutation of sources",
            alternative: Alternative::TwoSided,
            statistic: observed,
            p: permuted.p,
            sides: None,
            effect,
            effect_kind: self.effect_kind,
            ci: Some(self.jackknife(effect)?.interval(0.95)?),
            n,
            n_unit: "rows",
        })
    }

    /// The test that takes sources for independent, as if they did not rank the same targets: one-sample t of their own
    /// agreements against no agreement. Anti-conservative; for showing beside.
    ///
    /// # Errors
    /// [`Undefined::TooFew`] below two sources, and those of [`scfm_stats::one_sample_t`].
    pub fn naive_test(&self) -> Result<TestResult, Error> {
        if self.sources.len() < 2 {
            return Err(undefined(Undefined::TooFew {
                what: "sources with predicted and measured effects",
                n: self.sources.len(),
                needed: 2,
            }));
        }
        Ok(scfm_stats::one_sample_t(&self.of_sources(), self.null_value)?)
    }

    /// Own agreement − that with others, without one of the sources.
    fn excess(&self, without: Option<usize>) -> f64 {
        let kept = (0..self.sources.len()).filter(|s| Some(*s) != without);
        let kept: Vec<usize> = kept.collect();
        let n = kept.len() as f64;
        let own: f64 = kept.iter().map(|&s| self.matrix[[s, s]]).sum();
        let all: f64 = kept
            .iter()
            .map(|&s| kept.iter().map(|&t| self.matrix[[s, t]]).sum::<f64>())
            .sum();
        own / n - (all - own) / (n * (n - 1.0))
    }

    fn jackknife(&self, effect: f64) -> Result<Estimate, Error> {
        let n = self.sources.len();
        let left_out: Vec<f64> = (0..n).map(|s| self.excess(Some(s))).collect();
        let mean = left_out.iter().sum::<f64>() / n as f64;
        let squares: f64 = left_out.iter().map(|value| (value - mean).powi(2)).sum();
        let n = n as f64;
        Ok(Estimate::new(effect, (squares * (n - 1.0) / n).sqrt(), n - 1.0)?)
    }
}

/// Spearman's correlation of |a| and |b| given covariates, `None` where it has no value.
fn sizes(a: &[f64], b: &[f64], covariates: &[Vec<f64>]) -> Result<Option<f64>, Error> {
    if a.len() < MIN_TARGETS {
        return Ok(None);
    }
    let size = |values: &[f64]| values.iter().map(|value| value.abs()).collect::<Vec<_>>();
    let (a, b) = (size(a), size(b));
    let result = match without_redundant(covariates)? {
        Some(covariates) => covariates.partial_spearman(&a, &b),
        None => spearman(&a, &b),
    };
    Ok(defined(result)?.ok().map(|test| test.effect))
}

/// The covariates without those that the ones before them determine; `None` where none is left.
fn without_redundant(covariates: &[Vec<f64>]) -> Result<Option<RankCovariates>, Error> {
    let mut kept: Vec<&[f64]> = Vec::new();
    let mut ranks = None;
    for covariate in covariates {
        kept.push(covariate);
        match defined(RankCovariates::new(&kept))? {
            Ok(with) => ranks = Some(with),
            Err(_) => {
                kept.pop();
            }
        }
    }
    Ok(ranks)
}

/// The share of pairs in which both effects have one sign, of those in which neither is 0, and how many those are; `None`
/// where there are none.
pub fn sign_share(a: &[f64], b: &[f64]) -> Option<(f64, usize)> {
    let both: Vec<bool> = a
        .iter()
        .zip(b)
        .filter(|&(a, b)| *a != 0.0 && *b != 0.0)
        .map(|(a, b)| a.signum() == b.signum())
        .collect();
    let right = both.iter().filter(|right| **right).count();
    (!both.is_empty()).then(|| (right as f64 / both.len() as f64, both.len()))
}

/// The sources left after dropping, one after the other, the one with the most comparisons that have no value.
fn comparable(matrix: &Array2<f64>) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..matrix.nrows()).collect();
    loop {
        let missing = |&s: &usize| {
            let of_source = kept
                .iter()
                .map(|&t| usize::from(matrix[[s, t]].is_nan()) + usize::from(matrix[[t, s]].is_nan()));
            of_source.sum::<usize>()
        };
        let worst = kept.iter().map(missing).enumerate().max_by_key(|&(_, n)| n);
        match worst {
            Some((at, n)) if n > 0 => kept.remove(at),
            _ => return kept,
        };
    }
}

fn undefined(reason: Undefined) -> Error {
    scfm_stats::Error::Undefined(reason).into()
}

/// Agreement over all pairs of source and target at once, as published. Pairs that share a source or a target are not
/// independent: its p-values would be too small.
#[derive(Debug, Clone, PartialEq)]
pub struct PooledAgreement {
    /// Number of pairs.
    pub n_pairs: usize,
    /// Spearman's correlation of |predicted| with |measured|.
    pub sizes: Result<f64, Undefined>,
    /// The same of what least squares on the covariates leaves of both sizes.
    pub adjusted: Result<f64, Undefined>,
    /// Spearman's correlation of the effects with their signs.
    pub signed: Result<f64, Undefined>,
    /// The share of pairs with the right sign, of those where neither effect is 0, and how many those are.
    pub signs: Option<(f64, usize)>,
}

impl PooledAgreement {
    /// Agreement of effects, one for each pair; covariates that are constant or determined by those before them do nothing.
    ///
    /// # Errors
    /// [`scfm_stats::Error::Length`], [`scfm_stats::Error::NotANumber`].
    pub fn of(predicted: &[f64], measured: &[f64], covariates: &[Vec<f64>]) -> Result<Self, Error> {
        let size = |values: &[f64]| values.iter().map(|value| value.abs()).collect::<Vec<_>>();
        let (a, b) = (size(predicted), size(measured));
        if predicted.is_empty() && measured.is_empty() {
            let none = Undefined::TooFew {
                what: "pairs of a source and a target",
                n: 0,
                needed: 2,
            };
            return Ok(Self {
                n_pairs: 0,
                sizes: Err(none.clone()),
                adjusted: Err(none.clone()),
                signed: Err(none),
                signs: None,
            });
        }
        let correlation = |a: &[f64], b: &[f64]| -> Result<Result<f64, Undefined>, Error> {
            Ok(defined(spearman(a, b))?.map(|test| test.effect))
        };
        let sizes = correlation(&a, &b)?;
        let basis = basis(covariates, predicted.len());
        Ok(Self {
            n_pairs: predicted.len(),
            sizes,
            adjusted: correlation(&left_over(a, &basis), &left_over(b, &basis))?,
            signed: correlation(predicted, measured)?,
            signs: sign_share(predicted, measured),
        })
    }
}

/// An orthonormal basis of a constant and the covariates.
fn basis(covariates: &[Vec<f64>], n: usize) -> Vec<Vec<f64>> {
    /// A covariate that keeps less of its length than this is a mixture of those before it.
    const MIXTURE: f64 = 1e-9;
    let mut basis: Vec<Vec<f64>> = Vec::new();
    let constant = vec![1.0; n];
    for covariate in std::iter::once(&constant).chain(covariates) {
        let before = length(covariate);
        let once = left_over(covariate.clone(), &basis);
        // Twice, since the first pass leaves rounding of the size of what it takes away.
        let mut left = left_over(once, &basis);
        let after = length(&left);
        if before > 0.0 && after > MIXTURE * before {
            left.iter_mut().for_each(|value| *value /= after);
            basis.push(left);
        }
    }
    basis
}

/// What of `values` is orthogonal to the basis.
fn left_over(mut values: Vec<f64>, basis: &[Vec<f64>]) -> Vec<f64> {
    for direction in basis {
        let along: f64 = values.iter().zip(direction).map(|(a, b)| a * b).sum();
        values
            .iter_mut()
            .zip(direction)
            .for_each(|(value, d)| *value -= along * d);
    }
    values
}

fn length(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}
