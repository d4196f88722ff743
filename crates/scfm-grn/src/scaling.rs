//! How recovery of a reference changes along samples of cells (analysis 1 of the battery): with their number, or with how
//! many cell states they hold.
//!
//! Samples share all their genes, and large ones their cells with small ones; a test over samples as if they were independent
//! would take that for evidence. Here genes are resampled for all samples together, and at every level samples are drawn
//! anew among those of the level.

use std::collections::BTreeSet;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use scfm_core::EdgeMatrix;
use scfm_stats::{
    Interval, NodeInfluence, SortedScores, TestResult, TopK, Undefined, bootstrap, defined, level_trend,
    node_influence,
};

use crate::{CandidateUniverse, Error};

/// How well the edges of one sample of cells recover a reference.
#[derive(Debug, Clone)]
pub struct SampleRecovery {
    /// AUROC with the influence of every gene of the panel.
    pub auroc: Result<NodeInfluence, Undefined>,
    /// Hits among the first K pairs, first for K = number of positives, then for each K that was asked for.
    pub top_k: Vec<Result<TopK, Undefined>>,
    /// Pairs that are ranked, the same in every sample.
    pub n_pairs: usize,
    /// Positives among them.
    pub n_pos: usize,
    /// The first K = number of positives pairs, as positions among the ranked pairs, ascending; ties in order of pairs.
    pub first: Vec<u32>,
    /// Each ranked pair as positions of its genes in the panel, and whether it is a positive.
    pairs: Arc<Vec<(u32, u32, bool)>>,
    n_genes: usize,
}

/// What is followed along samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// AUROC over the ranked pairs.
    Auroc,
    /// F1 of the first K pairs, K = number of positives.
    F1,
}

/// Recovery of `universe` by the edges of each sample, on the candidate pairs that all of them score.
///
/// # Errors
/// Those of ranking; [`Error::Stats`] where a K is 0.
///
/// # Panics
/// When a TF of the universe is none of its targets, which are the panel.
pub fn sample_recoveries(
    samples: &[EdgeMatrix],
    universe: &CandidateUniverse,
    ks: &[usize],
) -> Result<Vec<SampleRecovery>, Error> {
    let (tfs, targets) = (universe.tfs(), universe.targets());
    let scores: Vec<_> = samples.iter().map(|edges| edges.align(tfs, targets)).collect();
    let mut pairs = Vec::new();
    let mut places = Vec::new();
    for ((row, target), &candidate) in universe.candidate().indexed_iter() {
        if candidate && scores.iter().all(|scores| !scores[[row, target]].is_nan()) {
            let source = targets
                .position(tfs.gene(row).as_str())
                .expect("TFs are genes of the panel");
            pairs.push((source as u32, target as u32, universe.positive()[[row, target]]));
            places.push((row, target));
        }
    }
    let labels: Vec<bool> = pairs.iter().map(|&(.., positive)| positive).collect();
    let nodes: Vec<(u32, u32)> = pairs
        .iter()
        .map(|&(source, target, _)| (source, target))
        .collect();
    let n_pos = labels.iter().filter(|&&positive| positive).count();
    let pairs = Arc::new(pairs);
    scores
        .par_iter()
        .map(|scores| {
            let ranked: Vec<f64> = places.iter().map(|&place| scores[place]).collect();
            let sorted = SortedScores::new(&ranked)?;
            let ks = std::iter::once(n_pos.max(1)).chain(ks.iter().copied());
            let mut order: Vec<u32> = (0..ranked.len() as u32).collect();
            order.sort_by(|&a, &b| ranked[b as usize].total_cmp(&ranked[a as usize]));
            order.truncate(n_pos);
            order.sort_unstable();
            Ok(SampleRecovery {
                auroc: defined(node_influence(&sorted, &labels, &nodes, targets.len()))?,
                top_k: ks
                    .map(|k| Ok(defined(sorted.top_k(&labels, k))?))
                    .collect::<Result<_, Error>>()?,
                n_pairs: ranked.len(),
                n_pos,
                first: order,
                pairs: pairs.clone(),
                n_genes: targets.len(),
            })
        })
        .collect()
}

impl SampleRecovery {
    /// The metric where each gene counts as often as `weights` says; a pair counts as the product of its genes. AUROC to first
    /// order, as in [`scfm_stats::NodeBootstrap`].
    fn weighted(&self, metric: Metric, weights: &[u64]) -> f64 {
        match (metric, &self.auroc) {
            (Metric::Auroc, Ok(auroc)) => {
                let shift: f64 = auroc
                    .influence
                    .iter()
                    .zip(weights)
                    .map(|(psi, &weight)| (weight as f64 - 1.0) * psi)
                    .sum();
                auroc.auroc + shift
            }
            (Metric::Auroc, Err(_)) => f64::NAN,
            (Metric::F1, _) => {
                let weight = |&(source, target, _): &(u32, u32, bool)| {
                    (weights[source as usize] * weights[target as usize]) as f64
                };
                let (mut chosen, mut hits) = (0.0, 0.0);
                for &pair in &self.first {
                    let pair = &self.pairs[pair as usize];
                    chosen += weight(pair);
                    hits += if pair.2 { weight(pair) } else { 0.0 };
                }
                let positives: f64 = self.pairs.iter().filter(|pair| pair.2).map(weight).sum();
                if chosen + positives > 0.0 {
                    2.0 * hits / (chosen + positives)
                } else {
                    f64::NAN
                }
            }
        }
    }

    /// The metric, NaN where it is undefined.
    pub fn value(&self, metric: Metric) -> f64 {
        self.weighted(metric, &vec![1; self.n_genes])
    }

    /// Percentile interval of the metric over resamples of genes, at 95 %; resample i draws from `stream(i)`.
    ///
    /// # Errors
    /// The reason why the sample has no AUROC.
    pub fn interval(
        &self,
        metric: Metric,
        n_bootstrap: usize,
        stream: impl Fn(u64) -> ChaCha8Rng + Sync,
    ) -> Result<Result<Interval, Undefined>, Error> {
        if let (Metric::Auroc, Err(reason)) = (metric, &self.auroc) {
            return Ok(Err(reason.clone()));
        }
        let value = |weights: &[u64]| Ok(self.weighted(metric, weights));
        Ok(defined(bootstrap(self.n_genes, n_bootstrap, value, stream))?.map(|found| found.percentile(0.95)))
    }
}

/// Jaccard index of the first K pairs of two samples.
pub fn overlap(a: &SampleRecovery, b: &SampleRecovery) -> f64 {
    let of_a: BTreeSet<u32> = a.first.iter().copied().collect();
    let common = b.first.iter().filter(|pair| of_a.contains(pair)).count();
    common as f64 / (a.first.len() + b.first.len() - common) as f64
}

/// Spearman's correlation of a metric with `x` over samples, where `levels` holds the positions of the samples of each level;
/// see [`level_trend`]. Resample i draws from `stream(i)`.
///
/// # Errors
/// Those of [`level_trend`], degenerate input being a value.
pub fn trend(
    samples: &[SampleRecovery],
    x: &[f64],
    levels: &[Vec<usize>],
    metric: Metric,
    n_bootstrap: usize,
    stream: impl Fn(u64) -> ChaCha8Rng + Sync,
) -> Result<Result<TestResult, Undefined>, Error> {
    let undefined = levels
        .iter()
        .flatten()
        .find_map(|&at| samples[at].auroc.as_ref().err());
    if let Some(reason) = undefined {
        return Ok(Err(reason.clone()));
    }
    let n_genes = samples.first().map_or(0, |sample| sample.n_genes);
    let measure = |sample: usize, weights: &[u64]| samples[sample].weighted(metric, weights);
    Ok(defined(level_trend(
        n_genes,
        x,
        levels,
        measure,
        n_bootstrap,
        stream,
    ))?)
}
