//! The AUROC of a list of pairs whose members come again and again.

use crate::error::{Error, Undefined, finite, numbers, same_length};
use crate::estimate::Estimate;
use crate::ranks::SortedScores;
use crate::result::{EffectKind, TestResult};

/// Pairs of a source and a target, as positives of a reference and negatives that were matched to them.
#[derive(Debug, Clone, Copy)]
pub struct PairDesign<'a> {
    /// Whether a pair is of the positive class.
    pub positive: &'a [bool],
    /// How much a pair counts, above 0.
    pub weight: &'a [f64],
    /// The source of each pair, any number that names it.
    pub source: &'a [usize],
    /// The target of each pair. A pair of a source and a target comes once.
    pub target: &'a [usize],
}

/// The smallest design whose variance is trusted; the default is 10 effective sources and targets, below which nothing was
/// simulated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairLimits {
    /// Effective number of sources among the positives.
    pub min_sources: f64,
    /// Effective number of targets among the positives.
    pub min_targets: f64,
}

impl Default for PairLimits {
    fn default() -> Self {
        Self {
            min_sources: 10.0,
            min_targets: 10.0,
        }
    }
}

/// The weighted AUROC of pairs with a standard error that holds although pairs share sources and targets.
///
/// One AUROC over all pairs, not a mean over rows. A positive's influence on it is w (V10 - A) / W1, where V10 is the
/// weighted share of negatives that it beats and W1 the weight of all positives; a negative's is w (V01 - A) / W0 (DeLong
/// 1988, with weights). Pairs that share neither source nor target are independent, so the variance is the sum of the
/// products of influences over all pairs of pairs that share one,
///
/// ```text
/// Var A = Σ_s (Σ_{e of s} ψ_e)² · S / (S - 1) + Σ_t (Σ_{e to t} ψ_e)² · T / (T - 1) - Σ_e ψ_e²
/// ```
///
/// (Cameron, Gelbach and Miller 2011), not below Σ ψ². S and T are the effective numbers of sources and of targets among
/// the positives, (Σ c)² / Σ c² with c their weight; their minimum less 1 are the degrees of freedom of the t test.
///
/// Rejection at nominal 5 % where scores know nothing of the pairs, 1,000 worlds a row, twelve negatives for each positive;
/// sources of positives are hubs (`tests/pair_auroc.rs`). The last column takes pairs for independent:
///
/// | sources, effective | positives | weight of the genes' parts | AUROC | difference | DeLong |
/// | --- | --- | --- | --- | --- | --- |
/// | 60, 13 | 60 | 0 | 0.02 | 0.02 | 0.05 |
/// | 60, 13 | 60 | 0.7 | 0.06 | 0.05 | 0.16 |
/// | 100, 16 | 150 | 0.7 | 0.07 | 0.06 | 0.23 |
/// | 100, 16 | 400 | 0.7 | 0.07 | 0.07 | 0.38 |
/// | 40, 11 | 150 | 1.5 | 0.06 | 0.07 | 0.39 |
#[derive(Debug, Clone, PartialEq)]
pub struct PairAuroc {
    /// The AUROC, or the difference of two.
    pub value: f64,
    /// Its standard error, clustered by source and by target.
    pub standard_error: f64,
    /// Effective number of sources among the positives.
    pub effective_sources: f64,
    /// Effective number of targets among the positives.
    pub effective_targets: f64,
    /// The two-sided t test, of AUROC = 0.5 or of difference = 0.
    pub test: TestResult,
}

/// Tests whether the weighted AUROC of `scores` over a list of pairs is 0.5, two-sided. See [`PairAuroc`].
///
/// # Errors
/// [`Undefined::OneClass`], [`Undefined::NotDecidable`] below `limits`, [`Undefined::NoVariance`]; [`Error::Length`],
/// [`Error::NotANumber`], [`Error::OutOfRange`] for a weight that is not above 0.
pub fn pair_auroc(scores: &[f64], design: PairDesign<'_>, limits: &PairLimits) -> Result<PairAuroc, Error> {
    let placements = design.placements(scores)?;
    design.infer(&placements, limits, EffectKind::Auroc)
}

/// Tests whether the weighted AUROCs of two scores over the same pairs differ (a - b), two-sided.
///
/// # Errors
/// As [`pair_auroc`].
pub fn pair_auroc_difference(
    a: &[f64],
    b: &[f64],
    design: PairDesign<'_>,
    limits: &PairLimits,
) -> Result<PairAuroc, Error> {
    let (a, b) = (design.placements(a)?, design.placements(b)?);
    let difference: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
    design.infer(&difference, limits, EffectKind::DeltaAuroc)
}

/// The weighted AUROC alone, ties ½.
///
/// # Errors
/// [`Undefined::OneClass`]; [`Error::Length`], [`Error::NotANumber`], [`Error::OutOfRange`] for a weight that is not above 0.
pub fn weighted_auroc(scores: &[f64], positive: &[bool], weight: &[f64]) -> Result<f64, Error> {
    let placements = placements(scores, positive, weight)?;
    Ok(mean_of_positives(&placements, positive, weight))
}

impl PairDesign<'_> {
    fn placements(&self, scores: &[f64]) -> Result<Vec<f64>, Error> {
        same_length("sources", scores.len(), self.source.len())?;
        same_length("targets", scores.len(), self.target.len())?;
        placements(scores, self.positive, self.weight)
    }

    fn infer(&self, placements: &[f64], limits: &PairLimits, kind: EffectKind) -> Result<PairAuroc, Error> {
        let value = mean_of_positives(placements, self.positive, self.weight);
        let [w1, w0] = [true, false].map(|class| total(self.positive, self.weight, class));
        let influence: Vec<f64> = (0..placements.len())
            .map(|pair| {
                let class = if self.positive[pair] { w1 } else { w0 };
                self.weight[pair] * (placements[pair] - value) / class
            })
            .collect();
        let effective_sources = self.effective(self.source);
        let effective_targets = self.effective(self.target);
        if effective_sources < limits.min_sources.max(1.5) || effective_targets < limits.min_targets.max(1.5)
        {
            return Err(Undefined::FewClusters {
                sources: effective_sources,
                min_sources: limits.min_sources.max(1.5),
                targets: effective_targets,
                min_targets: limits.min_targets.max(1.5),
            }
            .into());
        }
        let own: f64 = influence.iter().map(|psi| psi * psi).sum();
        let clustered = |cluster: &[usize], effective: f64| {
            let sums = sums_by(cluster, &influence);
            sums.iter().map(|sum| sum * sum).sum::<f64>() * effective / (effective - 1.0)
        };
        let variance =
            clustered(self.source, effective_sources) + clustered(self.target, effective_targets) - own;
        let standard_error = variance.max(own).sqrt();
        let df = effective_sources.min(effective_targets) - 1.0;
        let (null, method) = match kind {
            EffectKind::Auroc => (0.5, "t test of the pooled AUROC, clustered by source and target"),
            _ => (
                0.0,
                "t test of the pooled AUROC difference, clustered by source and target",
            ),
        };
        let n = self.positive.iter().filter(|&&positive| positive).count();
        let test = Estimate::of_aurocs(value - null, standard_error, df)
            .test(method, "the pooled AUROC", kind, n, "pairs")?
            .shifted(null);
        Ok(PairAuroc {
            value,
            standard_error,
            effective_sources,
            effective_targets,
            test,
        })
    }

    /// Kish's effective number of clusters among the positives.
    fn effective(&self, cluster: &[usize]) -> f64 {
        let of_positives: Vec<f64> = self
            .weight
            .iter()
            .zip(self.positive)
            .map(|(&weight, &positive)| if positive { weight } else { 0.0 })
            .collect();
        let sums = sums_by(cluster, &of_positives);
        sums.iter().sum::<f64>().powi(2) / sums.iter().map(|c| c * c).sum::<f64>()
    }
}

/// Sums of values by cluster, in an order that depends on the clusters' numbers alone.
fn sums_by(cluster: &[usize], values: &[f64]) -> Vec<f64> {
    let mut distinct: Vec<usize> = cluster.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let mut sums = vec![0.0; distinct.len()];
    for (id, value) in cluster.iter().zip(values) {
        sums[distinct.binary_search(id).expect("every number is there")] += value;
    }
    sums
}

fn total(positive: &[bool], weight: &[f64], class: bool) -> f64 {
    let of_class = positive
        .iter()
        .zip(weight)
        .filter(|&(&positive, _)| positive == class);
    of_class.map(|(_, weight)| weight).sum()
}

fn mean_of_positives(placements: &[f64], positive: &[bool], weight: &[f64]) -> f64 {
    let sum: f64 = (0..placements.len())
        .filter(|&pair| positive[pair])
        .map(|pair| weight[pair] * placements[pair])
        .sum();
    sum / total(positive, weight, true)
}

/// Of a positive, the weighted share of negatives that it beats; of a negative, of positives that beat it (ties ½).
fn placements(scores: &[f64], positive: &[bool], weight: &[f64]) -> Result<Vec<f64>, Error> {
    same_length("labels", scores.len(), positive.len())?;
    same_length("weights", scores.len(), weight.len())?;
    numbers("score", scores)?;
    if !weight.is_empty() {
        finite("weights", weight)?;
    }
    if let Some(&value) = weight.iter().find(|&&weight| weight <= 0.0) {
        return Err(Error::OutOfRange {
            what: "weight",
            value,
            expected: "above 0",
        });
    }
    let n_pos = positive.iter().filter(|&&positive| positive).count();
    let n_neg = positive.len() - n_pos;
    if n_pos == 0 || n_neg == 0 {
        return Err(Undefined::OneClass { n_pos, n_neg }.into());
    }
    let [w1, w0] = [true, false].map(|class| total(positive, weight, class));
    let sorted = SortedScores::new(scores)?;
    let mut placements = vec![0.0; scores.len()];
    let (mut below_pos, mut below_neg) = (0.0, 0.0);
    for block in sorted.blocks() {
        let of_block = |class: bool| {
            let members = block
                .iter()
                .map(|&pair| pair as usize)
                .filter(|&pair| positive[pair] == class);
            members.map(|pair| weight[pair]).sum::<f64>()
        };
        let (tied_pos, tied_neg) = (of_block(true), of_block(false));
        for &pair in block {
            let pair = pair as usize;
            placements[pair] = if positive[pair] {
                (below_neg + 0.5 * tied_neg) / w0
            } else {
                1.0 - (below_pos + 0.5 * tied_pos) / w1
            };
        }
        below_pos += tied_pos;
        below_neg += tied_neg;
    }
    Ok(placements)
}
