//! How much of a recovery follows from the number of partners that each gene has in the reference (analysis 14 of the
//! battery).
//!
//! The ranks of the candidates do not depend on the labels, so they are computed once; the AUROC of another labelling
//! is the sum of the ranks that it marks. Ranks are doubled and summed as integers: a score that depends on the target
//! alone, or on the TF alone, has the same sum under every network of the same degrees, to the last bit.

use ndarray::ArrayView2;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use scfm_stats::{Alternative, EffectKind, PValue, TestResult, Undefined, mid_ranks};

use crate::mixing::{Mixing, fingerprint};
use crate::{CandidateUniverse, Error, FixedDegrees, TfRecovery, tf_recovery};

/// Where no more networks than this have the degrees of the reference, no p-value can fall below 0.05.
pub const MIN_NETWORKS: usize = 20;

/// How [`degree_null`] draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DegreeNullParams {
    /// Networks with the degrees of the reference. A confirmatory p-value takes 9,999 or more.
    pub n_networks: usize,
    /// Shuffles of all labels, which ignore who regulates how many.
    pub n_shuffles: usize,
}

impl Default for DegreeNullParams {
    fn default() -> Self {
        Self {
            n_networks: 9_999,
            n_shuffles: 1_000,
        }
    }
}

/// The pooled AUROC of a score beside what networks with the same degrees would give.
#[derive(Debug, Clone)]
pub struct DegreeNull {
    /// AUROC against the reference, all candidate pairs pooled.
    pub observed: f64,
    /// Mean over networks in which every TF keeps its number of targets and every target its number of TFs.
    pub null_mean: f64,
    /// Standard deviation over them (n - 1 in the denominator); exactly 0 for a score of one gene alone.
    pub null_sd: f64,
    /// (observed - mean) / standard deviation.
    pub z: Result<f64, Undefined>,
    /// One-sided, p = (1 + #{null ≥ observed}) / (1 + B); undefined below [`MIN_NETWORKS`] different networks.
    pub test: Result<TestResult, Undefined>,
    /// The AUROC of every drawn network.
    pub null: Vec<f64>,
    /// The same against shuffled labels, as published. Anti-conservative, since it ignores the structure of both.
    pub label_shuffle: TestResult,
    /// The AUROC of every shuffle.
    pub shuffled: Vec<f64>,
    /// (observed - mean) / standard deviation over shuffled labels.
    pub shuffle_z: Result<f64, Undefined>,
    /// Whether and how fast the randomisation forgot the reference.
    pub mixing: Mixing,
    /// AUROC of each TF among its own candidates.
    pub per_tf: Vec<TfRecovery>,
    /// Reference pairs among the candidates.
    pub n_pos: usize,
    /// Candidate pairs of the evaluated TFs.
    pub n_pairs: usize,
}

impl DegreeNull {
    /// AUROC above 0.5 that the degrees explain.
    pub fn degree_share(&self) -> f64 {
        self.null_mean - 0.5
    }

    /// AUROC above what the degrees explain.
    pub fn residual_share(&self) -> f64 {
        self.observed - self.null_mean
    }
}

/// Compares the recovery of `universe` by `scores`, `[tf, target]`, with that of networks of the same degrees.
///
/// Candidates without a score (`NaN`) and TFs without a positive among the others take no part; in the null networks
/// such pairs, as a TF and itself, are forbidden. A common starting point is reached from the reference by as many
/// steps as make the overlap with it settle, and each network is reached from there by as many steps of its own
/// (Besag and Clifford 1989): the reference and the draws are then exchangeable under the null hypothesis, so that the
/// p-value holds even for a chain that is slow. Draw i takes its random numbers from `stream(purpose, i)`.
///
/// # Errors
/// `Ok(Err(_))` where there is no positive or no negative; [`Error::Stats`] for 0 networks or shuffles.
///
/// # Panics
/// When the scores have another shape than the universe.
pub fn degree_null(
    scores: ArrayView2<'_, f64>,
    universe: &CandidateUniverse,
    params: &DegreeNullParams,
    stream: impl Fn(&str, u64) -> ChaCha8Rng + Sync,
) -> Result<Result<DegreeNull, Undefined>, Error> {
    for (what, n) in [
        ("number of networks", params.n_networks),
        ("number of shuffles", params.n_shuffles),
    ] {
        if n == 0 {
            return Err(scfm_stats::Error::OutOfRange {
                what,
                value: 0.0,
                expected: "at least 1",
            }
            .into());
        }
    }
    let ranks = match Ranks::new(scores, universe)? {
        Ok(ranks) => ranks,
        Err(reason) => return Ok(Err(reason)),
    };
    let observed_sum = ranks.sum(ranks.reference.edges());

    let mixing = Mixing::of(&ranks.reference, &stream);
    let mut start = ranks.reference.clone();
    start.randomise(mixing.steps, &mut stream("start", 0));
    let draws: Vec<(i64, u64)> = (0..params.n_networks as u64)
        .into_par_iter()
        .map(|i| {
            let mut network = start.clone();
            network.randomise(mixing.steps, &mut stream("network", i));
            (ranks.sum(network.edges()), fingerprint(&network))
        })
        .collect();
    let sums: Vec<i64> = draws.iter().map(|&(sum, _)| sum).collect();
    let mixing = mixing.with_draws(draws.into_iter().map(|(_, network)| network));

    let null = Null::of(&sums, observed_sum);
    let z = null.z();
    let test = if mixing.n_networks < MIN_NETWORKS {
        Err(Undefined::TooFew {
            what: "different networks with these degrees",
            n: mixing.n_networks,
            needed: MIN_NETWORKS,
        })
    } else {
        // A null without spread lies on the observed value itself, at a distance of 0.
        Ok(ranks.test("curveball randomisation", &null, z.clone().unwrap_or(0.0)))
    };

    let n_pos = ranks.n_pos;
    let shuffle_sums: Vec<i64> = (0..params.n_shuffles as u64)
        .into_par_iter()
        .map(|i| {
            let drawn = index::sample(&mut stream("shuffle", i), ranks.of_candidates.len(), n_pos);
            drawn
                .into_iter()
                .map(|pair| i64::from(ranks.of_candidates[pair]))
                .sum()
        })
        .collect();
    let shuffled = Null::of(&shuffle_sums, observed_sum);
    Ok(Ok(DegreeNull {
        observed: ranks.auroc(observed_sum),
        null_mean: ranks.auroc(observed_sum) - ranks.scale() * null.mean_below,
        null_sd: ranks.scale() * null.sd,
        z,
        test,
        null: sums.into_iter().map(|sum| ranks.auroc(sum)).collect(),
        label_shuffle: ranks.test("label permutation", &shuffled, shuffled.z().unwrap_or(0.0)),
        shuffled: shuffle_sums.into_iter().map(|sum| ranks.auroc(sum)).collect(),
        shuffle_z: shuffled.z(),
        mixing,
        per_tf: tf_recovery(scores, universe)?,
        n_pos,
        n_pairs: ranks.of_candidates.len(),
    }))
}

/// Twice the mid-rank of every candidate.
struct Ranks {
    /// By candidate pair.
    of_candidates: Vec<u32>,
    /// By place in the universe; 0 where a pair takes no part.
    of_pairs: Vec<u32>,
    n_columns: usize,
    n_pos: usize,
    reference: FixedDegrees,
}

impl Ranks {
    fn new(
        scores: ArrayView2<'_, f64>,
        universe: &CandidateUniverse,
    ) -> Result<Result<Self, Undefined>, Error> {
        let positive = universe.positive();
        assert_eq!(
            scores.dim(),
            positive.dim(),
            "a score for every pair of the universe"
        );
        let mut allowed = universe.candidate().to_owned();
        allowed.zip_mut_with(&scores, |allowed, score| *allowed &= !score.is_nan());
        for (mut allowed, positive) in allowed.outer_iter_mut().zip(positive.outer_iter()) {
            if !allowed.iter().zip(positive).any(|(&a, &p)| a && p) {
                allowed.fill(false);
            }
        }
        let reference = FixedDegrees::new(positive, allowed.view());
        let kept = || allowed.iter().enumerate().filter(|(_, allowed)| **allowed);
        let values: Vec<f64> = scores
            .iter()
            .zip(&allowed)
            .filter_map(|(&score, &allowed)| allowed.then_some(score))
            .collect();
        let n_pos = reference.n_edges();
        if n_pos == 0 || n_pos == values.len() {
            return Ok(Err(Undefined::OneClass {
                n_pos,
                n_neg: values.len() - n_pos,
            }));
        }
        // Twice a mid-rank is an integer. Panels have some ten thousand genes; their pairs are counted in 31 bits.
        let of_candidates: Vec<u32> = mid_ranks(&values)?
            .into_iter()
            .map(|rank| (2.0 * rank) as u32)
            .collect();
        let mut of_pairs = vec![0; allowed.len()];
        for ((place, _), &rank) in kept().zip(&of_candidates) {
            of_pairs[place] = rank;
        }
        Ok(Ok(Self {
            of_candidates,
            of_pairs,
            n_columns: positive.ncols(),
            n_pos,
            reference,
        }))
    }

    fn sum(&self, edges: impl Iterator<Item = (usize, usize)>) -> i64 {
        edges
            .map(|(row, column)| i64::from(self.of_pairs[row * self.n_columns + column]))
            .sum()
    }

    /// AUROC per unit of the doubled rank sum.
    fn scale(&self) -> f64 {
        let n_neg = self.of_candidates.len() - self.n_pos;
        1.0 / (2.0 * self.n_pos as f64 * n_neg as f64)
    }

    /// Twice the number of pairs won, an integer, over twice the number of pairs.
    fn auroc(&self, sum: i64) -> f64 {
        let n_pos = self.n_pos as i64;
        let n_neg = self.of_candidates.len() as i64 - n_pos;
        (sum - n_pos * (n_pos + 1)) as f64 / (2 * n_pos * n_neg) as f64
    }

    fn test(&self, method: &'static str, null: &Null, z: f64) -> TestResult {
        TestResult {
            method,
            alternative: Alternative::Greater,
            statistic: z,
            p: PValue::new(null.p),
            sides: None,
            effect: self.auroc(null.observed),
            effect_kind: EffectKind::Auroc,
            ci: None,
            n: self.reference.n_active_rows(),
            n_unit: "rows",
        }
    }
}

/// A null distribution of rank sums, as seen from the observed sum.
struct Null {
    observed: i64,
    /// How far the mean lies below the observed sum.
    mean_below: f64,
    /// n - 1 in the denominator; 0 for one draw.
    sd: f64,
    p: f64,
}

impl Null {
    fn of(sums: &[i64], observed: i64) -> Self {
        let n = sums.len() as f64;
        // Differences to the observed sum are integers: a constant null has a spread of exactly 0.
        let below: Vec<i64> = sums.iter().map(|sum| observed - sum).collect();
        let total: i128 = below.iter().map(|&d| i128::from(d)).sum();
        let first = below[0];
        let shifted = |d: &i64| (d - first) as f64;
        let mean = below.iter().map(shifted).sum::<f64>() / n;
        let squares: f64 = below.iter().map(|d| (shifted(d) - mean).powi(2)).sum();
        let n_as_high = sums.iter().filter(|&&sum| sum >= observed).count();
        Self {
            observed,
            mean_below: total as f64 / n,
            sd: if sums.len() > 1 {
                (squares / (n - 1.0)).sqrt()
            } else {
                0.0
            },
            p: (1 + n_as_high) as f64 / (1.0 + n),
        }
    }

    fn z(&self) -> Result<f64, Undefined> {
        if self.sd > 0.0 {
            Ok(self.mean_below / self.sd)
        } else {
            Err(Undefined::Constant {
                what: "the AUROC of every drawn labelling",
            })
        }
    }
}
