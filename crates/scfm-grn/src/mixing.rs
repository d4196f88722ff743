use std::collections::HashSet;

use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::FixedDegrees;

/// Chains that are followed to see how fast they forget where they started.
const CHAINS: u64 = 32;
/// The overlap has settled when twice the steps change its mean by no more than this, or than chance does, twice in a
/// row.
const SETTLED: f64 = 0.01;
/// Chance: standard errors of the mean change.
const CHANCE: f64 = 2.0;
/// The first doublings are short: a start that hardly moves yet is not at rest.
const FIRST_JUDGED: u32 = 3;
/// A chain that has not settled after 2^this quarters of a step per edge is taken as it is, and said to be slow.
const MAX_DOUBLINGS: u32 = 12;

/// Whether and how fast a randomisation forgets the network that it starts from.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixing {
    /// Steps that each drawn network takes.
    pub steps: usize,
    /// Mean Jaccard overlap of the edges with those of the start, by number of steps, over 32 chains.
    pub overlap: Vec<(usize, f64)>,
    /// Whether the overlap came to rest. Where it did not, mean and spread of the null still lean towards the start.
    pub settled: bool,
    /// Different networks among the draws; 1 where the degrees leave no other network than the reference.
    pub n_networks: usize,
}

impl Mixing {
    /// Follows chains from `start` until their overlap with it settles.
    pub(crate) fn of(start: &FixedDegrees, stream: &(impl Fn(&str, u64) -> ChaCha8Rng + Sync)) -> Self {
        let unit = start.n_edges().div_ceil(4).max(1);
        let from = start.to_matrix();
        let mut chains: Vec<(FixedDegrees, ChaCha8Rng)> = (0..CHAINS)
            .map(|i| (start.clone(), stream("mixing", i)))
            .collect();
        let mut overlap = vec![(0, 1.0)];
        let mut before = vec![1.0; chains.len()];
        let (mut steps, mut at_rest) = (0, 0);
        for doubling in 0..=MAX_DOUBLINGS {
            let until = unit << doubling;
            let now: Vec<f64> = chains
                .par_iter_mut()
                .map(|(network, rng)| {
                    network.randomise(until - steps, rng);
                    let kept = network.edges().filter(|&edge| from[edge]).count();
                    kept as f64 / (2 * network.n_edges() - kept) as f64
                })
                .collect();
            steps = until;
            overlap.push((steps, now.iter().sum::<f64>() / now.len() as f64));
            let quiet = doubling >= FIRST_JUDGED && is_quiet(&before, &now);
            at_rest = if quiet { at_rest + 1 } else { 0 };
            if at_rest == 2 {
                break;
            }
            before = now;
        }
        Self {
            // The overlap was at rest after a quarter of these already.
            steps,
            overlap,
            settled: at_rest == 2,
            n_networks: 0,
        }
    }

    /// With the number of different networks among the draws, told apart by their fingerprints.
    pub(crate) fn with_draws(self, fingerprints: impl Iterator<Item = u64>) -> Self {
        Self {
            n_networks: fingerprints.collect::<HashSet<_>>().len(),
            ..self
        }
    }

    /// Overlap with the start once settled, or where the chain was left.
    pub fn final_overlap(&self) -> f64 {
        self.overlap.last().map_or(1.0, |&(_, overlap)| overlap)
    }
}

/// Whether the chains' overlaps changed by no more than a little or than chance does.
fn is_quiet(before: &[f64], now: &[f64]) -> bool {
    let n = now.len() as f64;
    let changes = || before.iter().zip(now).map(|(before, now)| now - before);
    let mean = changes().sum::<f64>() / n;
    let variance = changes().map(|change| (change - mean).powi(2)).sum::<f64>() / (n - 1.0);
    mean.abs() <= SETTLED.max(CHANCE * (variance / n).sqrt())
}

/// A number for the set of edges, the same in whatever order they are stored.
pub(crate) fn fingerprint(network: &FixedDegrees) -> u64 {
    network
        .edges()
        .map(|(row, column)| scramble(((row as u64) << 32) | column as u64))
        .fold(0, u64::wrapping_add)
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014).
fn scramble(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
