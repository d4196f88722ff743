use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::bootstrap::resamples;
use crate::draws::count_into;
use crate::error::{Error, Undefined, same_length};
use crate::node_bootstrap::{rank_correlation, resampled_correlation};
use crate::result::TestResult;

/// Spearman's correlation of a measure with `x` over samples that share their nodes, where `levels` holds the positions of the
/// samples of each level and `measure` gives the value of a sample where each node counts as often as it is told.
///
/// A test over samples as if they were independent would take what they share for evidence. Here a resample draws nodes for all
/// samples together, and for every level as many of its samples as it has; two-sided, p = 2 min of the shares of resamples in
/// which the correlation is not positive, or not negative, each counted with the sample itself. With few samples of a level
/// they vary less among resamples than in truth, by the factor √((n - 1) / n). Resample i draws from `stream(i)`.
///
/// ```
/// use rand::SeedableRng;
/// use rand_chacha::ChaCha8Rng;
/// use scfm_stats::level_trend;
///
/// // Three levels of two samples each; every node says the same.
/// let measure = |sample: usize, weights: &[u64]| (sample / 2) as f64 + weights.iter().sum::<u64>() as f64;
/// let stream = ChaCha8Rng::seed_from_u64;
/// let levels = [vec![0, 1], vec![2, 3], vec![4, 5]];
/// let trend = level_trend(10, &[1.0, 1.0, 2.0, 2.0, 3.0, 3.0], &levels, measure, 199, stream)?;
/// assert_eq!(trend.effect, 1.0);
/// assert!((trend.p.p() - 0.01).abs() < 1e-12); // 2 · 1 / 200
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// [`Undefined::TooFew`] below three levels, [`Undefined::Constant`] where nothing varies; [`Error::OutOfRange`] for no resample,
/// [`Error::Length`] where a level has no sample.
///
/// # Panics
/// For a sample without an `x`.
pub fn level_trend(
    n_nodes: usize,
    x: &[f64],
    levels: &[Vec<usize>],
    measure: impl Fn(usize, &[u64]) -> f64 + Sync,
    n_resamples: usize,
    stream: impl Fn(u64) -> ChaCha8Rng + Sync,
) -> Result<TestResult, Error> {
    const NEEDED: usize = 3;
    resamples(n_resamples)?;
    if levels.len() < NEEDED {
        return Err(Undefined::TooFew {
            what: "levels",
            n: levels.len(),
            needed: NEEDED,
        }
        .into());
    }
    let filled = levels.iter().filter(|level| !level.is_empty()).count();
    same_length("levels with samples", levels.len(), filled)?;
    let correlation = |samples: &[usize], weights: &[u64]| {
        let values: Vec<f64> = samples.iter().map(|&sample| measure(sample, weights)).collect();
        let x: Vec<f64> = samples.iter().map(|&sample| x[sample]).collect();
        rank_correlation(&values, &x)
    };
    let all: Vec<usize> = levels.concat();
    let observed = correlation(&all, &vec![1; n_nodes])?;
    let replicates = (0..n_resamples as u64)
        .into_par_iter()
        .map(|index| {
            let rng = &mut stream(index);
            let mut weights = vec![0; n_nodes];
            count_into(&mut weights, rng);
            let drawn: Vec<usize> = levels
                .iter()
                .flat_map(|level| {
                    level
                        .iter()
                        .map(|_| level[rng.random_range(0..level.len())])
                        .collect::<Vec<_>>()
                })
                .collect();
            // A resample without any variation says nothing of the direction.
            correlation(&drawn, &weights).unwrap_or(0.0)
        })
        .collect();
    let method = "Spearman over samples, bootstrap over nodes and samples";
    Ok(resampled_correlation(method, observed, replicates, all.len()))
}
