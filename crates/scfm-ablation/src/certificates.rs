//! Which part of a ranking of components survives a structural bias of their effects.

use scfm_stats::{Alternative, TestResult, Undefined, binomial_test};

use crate::mediation::PUBLISHED_QUANTILE;
use crate::{Error, OverCells};

/// Multiples λ of the lower bound of non-additivity that the literature looks at.
pub const LAMBDAS: [f64; 7] = [1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0];

/// An additive run has a lower bound above 0 this often.
const FALSE_BOUNDS: f64 = 0.05;

/// How an adversary spreads a bias of λ · A_lb over k components.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BiasModel {
    /// λ · A_lb / k to each.
    Uniform,
    /// To each in proportion to its |m|.
    Proportional,
    /// All of it to the two that are compared.
    Concentrated,
}

impl BiasModel {
    /// The name in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Proportional => "proportional",
            Self::Concentrated => "concentrated",
        }
    }

    /// What the bias `budget` may be worth to components `i` and `j` together.
    fn of_pair(self, budget: f64, components: &[OverCells], i: usize, j: usize) -> f64 {
        match self {
            Self::Uniform => 2.0 * budget / components.len() as f64,
            Self::Proportional => {
                let all: f64 = components.iter().map(|m| m.mean.abs()).sum();
                if all == 0.0 {
                    return 0.0;
                }
                budget * (components[i].mean.abs() + components[j].mean.abs()) / all
            }
            Self::Concentrated => budget,
        }
    }
}

/// Which of two components is the larger can be certified under a bias of `budget` = λ · A_lb: their intervals
/// |m| ± (1.96 SE + b) do not meet.
fn is_certified(components: &[OverCells], i: usize, j: usize, budget: f64, model: BiasModel) -> bool {
    let (a, b) = (components[i], components[j]);
    let noise = PUBLISHED_QUANTILE * (a.standard_error() + b.standard_error());
    (a.mean.abs() - b.mean.abs()).abs() > noise + model.of_pair(budget, components, i, j)
}

/// The share of component pairs whose order by |m| is certain under a structural bias of `budget` = λ · A_lb.
///
/// # Errors
/// [`Undefined::TooFew`] below two components.
pub fn certified_share(components: &[OverCells], budget: f64, model: BiasModel) -> Result<f64, Undefined> {
    let n = components.len();
    at_least_two(n)?;
    let pairs = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j)));
    let certified = pairs
        .filter(|&(i, j)| is_certified(components, i, j, budget, model))
        .count();
    Ok(certified as f64 / (n * (n - 1) / 2) as f64)
}

/// Whether the component with the largest |m| is certainly larger than every other.
///
/// # Errors
/// As [`certified_share`].
pub fn is_top_certified(components: &[OverCells], budget: f64, model: BiasModel) -> Result<bool, Undefined> {
    at_least_two(components.len())?;
    let size = |i: &usize| components[*i].mean.abs();
    let all = 0..components.len();
    let top = all
        .clone()
        .max_by(|a, b| size(a).total_cmp(&size(b)))
        .expect("two components");
    Ok(all
        .filter(|&other| other != top)
        .all(|other| is_certified(components, top, other, budget, model)))
}

fn at_least_two(n: usize) -> Result<(), Undefined> {
    if n < 2 {
        return Err(Undefined::TooFew {
            what: "components",
            n,
            needed: 2,
        });
    }
    Ok(())
}

/// Whether rankings lose certificates to the structural bias of their own runs: exact binomial test that more runs do
/// than the one in 20 whose lower bound is above 0 although they are additive, one-sided.
///
/// `shares` holds certified shares `[run][λ]`, from no bias to the largest. They cannot rise with λ and are constant
/// where the bound is 0, so a trend test over λ rejects on the first run with a false bound; how many runs lose any
/// certificate has a known chance.
///
/// # Errors
/// [`scfm_stats::Error::Empty`] without runs.
pub fn fragility_test(shares: &[Vec<f64>]) -> Result<TestResult, Error> {
    let lost = shares
        .iter()
        .filter(|of_run| of_run.first() > of_run.last())
        .count();
    let test =
        binomial_test(lost as u64, shares.len() as u64, FALSE_BOUNDS)?.against(Alternative::Greater)?;
    Ok(TestResult {
        n_unit: "rows",
        ..test
    })
}
