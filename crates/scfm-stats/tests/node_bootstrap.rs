//! The linear bootstrap of nodes: its derivative, its agreement with ranking every resample anew, and the level of tests
//! over profiles.

mod worlds;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use scfm_stats::*;
use worlds::stream;

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

fn pairs_of(n: usize) -> Vec<(u32, u32)> {
    (0..n as u32)
        .flat_map(|a| (a + 1..n as u32).map(move |b| (a, b)))
        .collect()
}

/// The AUROC in which a pair weighs the product of its nodes' weights.
fn weighted(scores: &[f64], positive: &[bool], pairs: &[(u32, u32)], weight: &[f64]) -> f64 {
    let of: Vec<f64> = pairs
        .iter()
        .map(|&(a, b)| weight[a as usize] * weight[b as usize])
        .collect();
    let kept: Vec<usize> = (0..of.len()).filter(|&i| of[i] > 0.0).collect();
    let pick = |values: &[f64]| -> Vec<f64> { kept.iter().map(|&i| values[i]).collect() };
    let labels: Vec<bool> = kept.iter().map(|&i| positive[i]).collect();
    weighted_auroc(&pick(scores), &labels, &pick(&of)).unwrap()
}

/// Scores with parts of both nodes and of the pair, and labels that neither knows of.
fn draw(n: usize, node_part: f64, share: f64, rng: &mut ChaCha8Rng) -> (Vec<f64>, Vec<bool>) {
    let part: Vec<f64> = (0..n).map(|_| node_part * normal(rng)).collect();
    let propensity: Vec<f64> = (0..n).map(|_| normal(rng)).collect();
    pairs_of(n)
        .iter()
        .map(|&(a, b)| {
            let (a, b) = (a as usize, b as usize);
            let chance = share * (0.5 * (propensity[a] + propensity[b])).exp();
            let score = part[a] + part[b] + normal(rng);
            // Some ties.
            (
                if rng.random::<f64>() < 0.2 {
                    score.round()
                } else {
                    score
                },
                rng.random::<f64>() < chance,
            )
        })
        .unzip()
}

#[test]
fn an_influence_is_the_derivative_by_a_nodes_weight() {
    let n = 25;
    let pairs = pairs_of(n);
    let (scores, positive) = draw(n, 0.7, 0.15, &mut stream(80, 0));
    let found = node_influence(&SortedScores::new(&scores).unwrap(), &positive, &pairs, n).unwrap();
    assert_eq!(found.auroc, auroc(&scores, &positive).unwrap());
    assert!(
        found.influence.iter().sum::<f64>().abs() < 1e-12,
        "equal weights change nothing"
    );
    let step = 1e-5;
    for node in 0..n {
        let at = |weight: f64| {
            let mut weights = vec![1.0; n];
            weights[node] = weight;
            weighted(&scores, &positive, &pairs, &weights)
        };
        let slope = (at(1.0 + step) - at(1.0 - step)) / (2.0 * step);
        assert!(
            (found.influence[node] - slope).abs() < 1e-8,
            "{node}: {} {slope}",
            found.influence[node]
        );
    }
}

/// Resample by resample beside the bootstrap that ranks the drawn pairs anew: close where nodes matter, and with two thirds
/// of its variance, as the theory has it, where pairs do.
#[test]
fn resamples_follow_those_that_rank_anew() {
    let n = 60;
    let pairs = pairs_of(n);
    let by_nodes = || {
        let mut rng = stream(81, 0);
        let part: Vec<f64> = (0..n).map(|_| normal(&mut rng)).collect();
        let propensity: Vec<f64> = (0..n).map(|_| normal(&mut rng)).collect();
        let sums = |of: &[f64]| -> Vec<f64> {
            pairs
                .iter()
                .map(|&(a, b)| of[a as usize] + of[b as usize])
                .collect()
        };
        (
            sums(&part),
            sums(&propensity)
                .into_iter()
                .map(|sum| sum > 1.0)
                .collect::<Vec<_>>(),
        )
    };
    let by_pairs = draw(n, 0.0, 0.2, &mut stream(81, 1));
    let worlds = [(by_nodes(), 0.95, 0.85..=1.1), (by_pairs, 0.7, 0.72..=0.95)];
    let influences: Vec<NodeInfluence> = worlds
        .iter()
        .map(|((s, y), ..)| node_influence(&SortedScores::new(s).unwrap(), y, &pairs, n).unwrap())
        .collect();
    let resamples = 400;
    let linear = NodeBootstrap::new(&influences, resamples, |i| stream(82, i)).unwrap();
    for (at, ((scores, positive), least, ratios)) in worlds.iter().enumerate() {
        // The same draws, from a statistic that is asked for them.
        let anew = bootstrap(
            n,
            resamples,
            |drawn| {
                let weight: Vec<f64> = drawn.iter().map(|&w| w as f64).collect();
                Ok(weighted(scores, positive, &pairs, &weight))
            },
            |i| stream(82, i),
        )
        .unwrap();
        let linear = linear.replicates.column(at).to_vec();
        let r = pearson(&linear, &anew.replicates).unwrap().effect;
        let sd = |values: &[f64]| Moments::of(values).variance.sqrt();
        let ratio = sd(&linear) / sd(&anew.replicates);
        eprintln!("world {at}: r {r}, ratio {ratio}");
        assert!(r > *least, "world {at}: r = {r}");
        assert!(ratios.contains(&ratio), "world {at}: {ratio}");
    }
}

#[test]
fn a_profile_of_too_few_or_equal_values_is_undefined() {
    let flat = |auroc| NodeInfluence {
        auroc,
        influence: vec![0.0, 0.0, 0.0],
    };
    let same = NodeBootstrap::new(&[flat(0.5), flat(0.5), flat(0.5)], 9, |i| stream(83, i)).unwrap();
    assert!(matches!(
        same.trend(&[0, 1, 2]),
        Err(Error::Undefined(Undefined::Constant { .. }))
    ));
    assert!(matches!(
        same.trend(&[0, 1]),
        Err(Error::Undefined(Undefined::TooFew { .. }))
    ));
    // Without any variation between resamples the direction is certain.
    let rising = NodeBootstrap::new(&[flat(0.5), flat(0.6), flat(0.7)], 99, |i| stream(83, i)).unwrap();
    let trend = rising.trend(&[0, 1, 2]).unwrap();
    assert_eq!((trend.effect, trend.p.p()), (1.0, 0.02));
    let opposite = rising.profile_correlation(&[0, 1, 2], &[2, 1, 0]).unwrap();
    assert_eq!((opposite.effect, opposite.p.p()), (-1.0, 0.02));
    assert!(matches!(
        rising.profile_correlation(&[0, 1, 2], &[0, 1]),
        Err(Error::Length { .. })
    ));
    assert!(matches!(
        NodeBootstrap::new(&[], 9, |i| stream(83, i)),
        Err(Error::Empty { .. })
    ));
}

const LAYERS: usize = 12;

/// Influences of two label sets over layers of attention whose noise is shared between neighbours by `memory`, with parts of
/// nodes of weight `node_part`; scores of positive pairs gain `slope` times the layer's depth.
fn profiles(node_part: f64, memory: f64, slope: f64, rng: &mut ChaCha8Rng) -> Vec<NodeInfluence> {
    let n = 60;
    let pairs = pairs_of(n);
    let (_, first) = draw(n, 0.0, 0.1, rng);
    let (_, second) = draw(n, 0.0, 0.05, rng);
    let fresh = (1.0 - memory * memory).sqrt();
    let mut nodes: Vec<f64> = (0..n).map(|_| normal(rng)).collect();
    let mut own: Vec<f64> = pairs.iter().map(|_| normal(rng)).collect();
    let mut of = [Vec::new(), Vec::new()];
    for layer in 0..LAYERS {
        if layer > 0 {
            nodes
                .iter_mut()
                .for_each(|x| *x = memory * *x + fresh * normal(rng));
            own.iter_mut()
                .for_each(|x| *x = memory * *x + fresh * normal(rng));
        }
        let depth = layer as f64 / LAYERS as f64;
        let scores: Vec<f64> = pairs
            .iter()
            .zip(&own)
            .zip(&first)
            .map(|((&(a, b), own), &y)| {
                node_part * (nodes[a as usize] + nodes[b as usize])
                    + own
                    + if y { slope * depth } else { 0.0 }
            })
            .collect();
        let sorted = SortedScores::new(&scores).unwrap();
        for (labels, of) in [&first, &second].into_iter().zip(&mut of) {
            of.push(node_influence(&sorted, labels, &pairs, n).unwrap());
        }
    }
    of.concat()
}

/// Shares of worlds that reject at 5 %: trend of the first profile, correlation of both, and Spearman's test over layers as if
/// they were independent.
fn rejections(node_part: f64, memory: f64, slope: f64, n: u64) -> [f64; 3] {
    let purpose = 900 + (100.0 * memory) as u64 + (1000.0 * node_part) as u64;
    let rejected: Vec<[bool; 3]> = (0..n)
        .into_par_iter()
        .map(|index| {
            let influences = profiles(node_part, memory, slope, &mut stream(purpose, index));
            let bootstrap =
                NodeBootstrap::new(&influences, 499, |i| stream(purpose + 1_000_000 + index, i)).unwrap();
            let (a, b): (Vec<usize>, Vec<usize>) = ((0..LAYERS).collect(), (LAYERS..2 * LAYERS).collect());
            let trend = bootstrap.trend(&a).unwrap();
            let both = bootstrap.profile_correlation(&a, &b).unwrap();
            let depth: Vec<f64> = (0..LAYERS).map(|l| l as f64).collect();
            let naive = spearman(&bootstrap.estimates[..LAYERS], &depth).unwrap();
            [trend.p, both.p, naive.p].map(|p| p.p() <= 0.05)
        })
        .collect();
    std::array::from_fn(|i| rejected.iter().filter(|r| r[i]).count() as f64 / n as f64)
}

#[test]
fn flat_profiles_are_not_taken_for_trends() {
    for (node_part, memory, naive) in [
        (0.0, 0.0, 0.02),
        (1.0, 0.0, 0.02),
        (1.0, 0.6, 0.10),
        (1.0, 0.9, 0.30),
        (0.3, 0.9, 0.30),
    ] {
        let [trend, both, independent] = rejections(node_part, memory, 0.0, 400);
        let at = format!("nodes {node_part}, memory {memory}: {trend} {both} {independent}");
        eprintln!("{at}");
        assert!(trend <= 0.085 && both <= 0.085, "{at}");
        assert!(independent >= naive, "{at}");
    }
}

#[test]
fn a_rising_profile_is_found() {
    let [trend, ..] = rejections(0.5, 0.5, 0.8, 60);
    eprintln!("rising: {trend}");
    assert!(trend > 0.9, "{trend}");
}
