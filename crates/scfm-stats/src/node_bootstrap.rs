//! Many AUROCs over pairs of the same nodes, resampled by node without ranking anything twice.

use ndarray::{Array1, Array2, ArrayView2, Axis};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::bootstrap::{percentile_interval, resamples};
use crate::correlation::Correlation;
use crate::draws::count_into;
use crate::error::{Error, Undefined, same_length};
use crate::ranks::{SortedScores, mid_ranks};
use crate::result::{Alternative, EffectKind, TestResult};
use crate::{CONFIDENCE, PValue};

/// An AUROC over pairs of nodes, and what each node contributes to it.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeInfluence {
    /// The AUROC, ties ½.
    pub auroc: f64,
    /// Derivative of the AUROC by the weight of each node, where a pair weighs the product of its nodes' weights.
    pub influence: Vec<f64>,
}

/// The AUROC of sorted scores of `pairs` of `n_nodes` nodes against `positive`, with the influence of every node.
///
/// A pair's influence is DeLong's, (V10 - A) / n1 for a positive and (V01 - A) / n0 for a negative; a node's is the sum over
/// its pairs. Scores are sorted once for any number of label vectors; this is O(pairs).
///
/// # Errors
/// [`Undefined::OneClass`]; [`Error::Length`] unless there are as many scores, pairs and labels.
///
/// # Panics
/// When a pair names a node beyond `n_nodes`.
pub fn node_influence(
    scores: &SortedScores,
    positive: &[bool],
    pairs: &[(u32, u32)],
    n_nodes: usize,
) -> Result<NodeInfluence, Error> {
    same_length("labels", scores.n_positions(), positive.len())?;
    same_length("pairs", scores.n_positions(), pairs.len())?;
    let n_pos = positive.iter().filter(|&&positive| positive).count();
    let n_neg = positive.len() - n_pos;
    if n_pos == 0 || n_neg == 0 {
        return Err(Undefined::OneClass { n_pos, n_neg }.into());
    }
    let wins = scores.wins(|pair| (u64::from(positive[pair]), u64::from(!positive[pair])));
    let auroc = wins.auroc().expect("both classes are there");
    let mut influence = vec![0.0; n_nodes];
    scores.placements(
        |pair| positive[pair],
        |pair, placement| {
            let class = if positive[pair] { n_pos } else { n_neg };
            let psi = (placement - auroc) / class as f64;
            let (a, b) = pairs[pair];
            influence[a as usize] += psi;
            influence[b as usize] += psi;
        },
    );
    Ok(NodeInfluence { auroc, influence })
}

/// Estimates that are AUROCs over pairs of the same nodes, resampled together.
///
/// The pigeonhole bootstrap of nodes weighs a pair by how often both its nodes were drawn, and ranks all pairs anew for
/// every resample. To first order in the weights w an AUROC is then
///
/// ```text
/// A* = A + Σ_g (w_g - 1) ψ_g ,
/// ```
///
/// which costs nodes instead of pairs × log pairs: at 2,000 nodes, 18 layers and six label sets seconds in place of weeks. What
/// is left out is of second order, the fluctuation of single pairs that no node has as a whole, which the full bootstrap
/// counts three times over and this one twice (Owen 2007): both are conservative where pairs share little, and this one
/// less so.
#[derive(Debug, Clone)]
pub struct NodeBootstrap {
    /// The estimates as they are.
    pub estimates: Vec<f64>,
    /// The estimates in each resample, `[resamples, estimates]`.
    pub replicates: Array2<f64>,
}

impl NodeBootstrap {
    /// Resamples the nodes `n` times; resample i draws from `stream(i)`. O(`n` · nodes · estimates), on all threads.
    ///
    /// # Errors
    /// [`Error::Empty`] without estimates or nodes, [`Error::Length`] where estimates have different numbers of nodes,
    /// [`Error::OutOfRange`] for `n` = 0.
    pub fn new(
        estimates: &[NodeInfluence],
        n: usize,
        stream: impl Fn(u64) -> ChaCha8Rng + Sync,
    ) -> Result<Self, Error> {
        resamples(n)?;
        let n_nodes = estimates.first().map_or(0, |first| first.influence.len());
        if n_nodes == 0 {
            return Err(Error::Empty {
                what: "list of node influences",
            });
        }
        for estimate in estimates {
            same_length("node influences", n_nodes, estimate.influence.len())?;
        }
        let values: Vec<f64> = estimates.iter().map(|estimate| estimate.auroc).collect();
        // One row a node, so that a drawn node adds a run of memory.
        let influence = Array2::from_shape_fn((n_nodes, estimates.len()), |(node, estimate)| {
            estimates[estimate].influence[node]
        });
        let replicates: Vec<Vec<f64>> = (0..n as u64)
            .into_par_iter()
            .map_init(
                || vec![0; n_nodes],
                |drawn, index| {
                    count_into(drawn, &mut stream(index));
                    let mut replicate = values.clone();
                    for (&count, psi) in drawn.iter().zip(influence.outer_iter()) {
                        if count == 1 {
                            continue;
                        }
                        let excess = count as f64 - 1.0;
                        replicate
                            .iter_mut()
                            .zip(psi)
                            .for_each(|(value, psi)| *value += excess * psi);
                    }
                    replicate
                },
            )
            .collect();
        let replicates = Array2::from_shape_vec((n, values.len()), replicates.concat())
            .expect("every resample holds a value per estimate");
        Ok(Self {
            estimates: values,
            replicates,
        })
    }

    /// Spearman's correlation of the estimates at `columns` with their order: whether a profile rises or falls along it.
    ///
    /// Two-sided, p = 2 min of the shares of resamples in which the correlation is not positive, or not negative, each
    /// counted with the sample itself. Values along the profile may depend on each other in any way, which a test over them
    /// as if they were independent takes for evidence. The interval is the percentile one.
    ///
    /// # Errors
    /// [`Undefined::TooFew`] below three columns, [`Undefined::Constant`].
    ///
    /// # Panics
    /// If a column is not there.
    pub fn trend(&self, columns: &[usize]) -> Result<TestResult, Error> {
        let order: Vec<f64> = (0..columns.len()).map(|i| i as f64).collect();
        self.correlation("Spearman over a profile, bootstrap over nodes", columns, |_| {
            order.clone()
        })
    }

    /// Spearman's correlation of two profiles, the estimates at `a` and at `b`, tested as [`NodeBootstrap::trend`] is.
    ///
    /// # Errors
    /// As [`NodeBootstrap::trend`], and [`Error::Length`] where the profiles differ in length.
    ///
    /// # Panics
    /// If a column is not there.
    pub fn profile_correlation(&self, a: &[usize], b: &[usize]) -> Result<TestResult, Error> {
        same_length("second profile", a.len(), b.len())?;
        self.correlation("Spearman of two profiles, bootstrap over nodes", a, |values| {
            b.iter().map(|&column| values[column]).collect()
        })
    }

    fn correlation(
        &self,
        method: &'static str,
        columns: &[usize],
        partner: impl Fn(&[f64]) -> Vec<f64> + Sync,
    ) -> Result<TestResult, Error> {
        const NEEDED: usize = 3;
        if columns.len() < NEEDED {
            return Err(Undefined::TooFew {
                what: "values of a profile",
                n: columns.len(),
                needed: NEEDED,
            }
            .into());
        }
        let rho = |values: &[f64]| -> Result<f64, Error> {
            let profile: Vec<f64> = columns.iter().map(|&column| values[column]).collect();
            rank_correlation(&profile, &partner(values))
        };
        let observed = rho(&self.estimates)?;
        let standard = self.replicates.as_standard_layout();
        let replicates: Vec<f64> = standard
            .axis_iter(Axis(0))
            .into_par_iter()
            .map(|row| {
                let row = row.to_slice().expect("rows lie in one piece");
                // A resample without any variation says nothing of the direction.
                rho(row).unwrap_or(0.0)
            })
            .collect();
        Ok(resampled_correlation(method, observed, replicates, columns.len()))
    }

    /// 95 % percentile interval of the estimate at `column`.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn interval(&self, column: usize) -> crate::Interval {
        percentile_interval(self.replicates.column(column).to_vec(), CONFIDENCE)
    }

    /// The resamples as a view.
    pub fn replicates(&self) -> ArrayView2<'_, f64> {
        self.replicates.view()
    }

    /// Mean of each estimate over the resamples.
    pub fn means(&self) -> Array1<f64> {
        self.replicates.mean_axis(Axis(0)).expect("at least one resample")
    }
}

/// A correlation of `n` values with what it came to in resamples: p = 2 min of the shares of resamples in which it is not positive, or
/// not negative, each counted with the sample itself; the interval is the percentile one.
pub(crate) fn resampled_correlation(
    method: &'static str,
    observed: f64,
    replicates: Vec<f64>,
    n: usize,
) -> TestResult {
    let share = |beyond: fn(f64) -> bool| {
        let count = replicates.iter().filter(|&&rho| beyond(rho)).count();
        (1 + count) as f64 / (1 + replicates.len()) as f64
    };
    let p = 2.0 * share(|rho| rho <= 0.0).min(share(|rho| rho >= 0.0));
    TestResult {
        method,
        alternative: Alternative::TwoSided,
        statistic: observed,
        p: PValue::new(p.min(1.0)),
        sides: None,
        effect: observed,
        effect_kind: EffectKind::Correlation,
        ci: Some(percentile_interval(replicates, CONFIDENCE)),
        n,
        n_unit: "values",
    }
}

/// Spearman's correlation.
pub(crate) fn rank_correlation(a: &[f64], b: &[f64]) -> Result<f64, Error> {
    let centred = |values: &[f64]| -> Result<Vec<f64>, Error> {
        let mean = (values.len() as f64 + 1.0) / 2.0;
        Ok(mid_ranks(values)?.into_iter().map(|rank| rank - mean).collect())
    };
    let (a, b) = (centred(a)?, centred(b)?);
    if [&a, &b].iter().any(|ranks| ranks.iter().all(|&rank| rank == 0.0)) {
        return Err(Undefined::Constant { what: "profile" }.into());
    }
    Ok(Correlation::of_centred(&a, &b).r)
}
