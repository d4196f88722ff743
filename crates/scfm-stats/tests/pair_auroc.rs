//! AUROCs of lists of pairs: definitions in full, refusals, and the level of the clustered test.

mod worlds;

use proptest::prelude::*;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use scfm_stats::*;
use worlds::stream;

const ROUNDING: f64 = 1e-12;
const ANY: PairLimits = PairLimits {
    min_sources: 1.0,
    min_targets: 1.0,
};

#[derive(Debug, Clone, Default)]
struct Pairs {
    scores: Vec<f64>,
    other: Vec<f64>,
    positive: Vec<bool>,
    weight: Vec<f64>,
    source: Vec<usize>,
    target: Vec<usize>,
}

impl Pairs {
    fn design(&self) -> PairDesign<'_> {
        PairDesign {
            positive: &self.positive,
            weight: &self.weight,
            source: &self.source,
            target: &self.target,
        }
    }
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

/// Positives and, for each, matched negatives of `n_genes` genes: the sources of positives are few, as TFs are; scores have
/// parts of the source, of the target and of the pair, and a positive gains `signal`.
fn world(n_sources: usize, n_positives: usize, gene_part: f64, signal: f64, rng: &mut ChaCha8Rng) -> Pairs {
    let n_genes = 150;
    let effect =
        |rng: &mut ChaCha8Rng| -> Vec<f64> { (0..n_genes).map(|_| gene_part * normal(rng)).collect() };
    let (of_source, of_target) = ([effect(rng), effect(rng)], [effect(rng), effect(rng)]);
    // Hubs: a source's chance falls with its number.
    let hubs: Vec<f64> = (0..n_sources).map(|s| 1.0 / (1.0 + s as f64)).collect();
    let total: f64 = hubs.iter().sum();
    let mut taken = std::collections::BTreeMap::new();
    while taken.len() < n_positives {
        let mut at = total * rng.random::<f64>();
        let source = hubs.iter().position(|hub| {
            at -= hub;
            at < 0.0
        });
        let target = rng.random_range(0..n_genes);
        taken.insert((source.unwrap_or(0), target), None);
    }
    let positives: Vec<(usize, usize)> = taken.keys().copied().collect();
    for _ in &positives {
        for _ in 0..12 {
            let pair = (rng.random_range(0..n_genes), rng.random_range(0..n_genes));
            if let Some(Some(weight)) = taken.get_mut(&pair) {
                *weight += 1.0;
            }
            taken.entry(pair).or_insert(Some(1.0));
        }
    }
    let mut pairs = Pairs::default();
    for ((source, target), weight) in taken {
        let positive = weight.is_none();
        let score = |which: usize, rng: &mut ChaCha8Rng| {
            of_source[which][source]
                + of_target[which][target]
                + normal(rng)
                + if positive { signal } else { 0.0 }
        };
        pairs.scores.push(score(0, rng));
        pairs.other.push(score(1, rng));
        pairs.positive.push(positive);
        pairs.weight.push(weight.unwrap_or(1.0));
        pairs.source.push(source);
        pairs.target.push(target);
    }
    pairs
}

fn naive(pairs: &Pairs, scores: &[&[f64]]) -> (f64, f64) {
    let n = pairs.positive.len();
    let win = |scores: &[f64], i: usize, j: usize| {
        if scores[i] > scores[j] {
            1.0
        } else if scores[i] == scores[j] {
            0.5
        } else {
            0.0
        }
    };
    let kernel = |i, j| win(scores[0], i, j) - scores.get(1).map_or(0.0, |s| win(s, i, j));
    let class = |wanted: bool| (0..n).filter(move |&i| pairs.positive[i] == wanted);
    let total = |wanted| class(wanted).map(|i| pairs.weight[i]).sum::<f64>();
    let (w1, w0) = (total(true), total(false));
    let placement = |i: usize| {
        if pairs.positive[i] {
            class(false).map(|j| pairs.weight[j] * kernel(i, j)).sum::<f64>() / w0
        } else {
            class(true).map(|j| pairs.weight[j] * kernel(j, i)).sum::<f64>() / w1
        }
    };
    let value = class(true).map(|i| pairs.weight[i] * placement(i)).sum::<f64>() / w1;
    let psi: Vec<f64> = (0..n)
        .map(|i| pairs.weight[i] * (placement(i) - value) / if pairs.positive[i] { w1 } else { w0 })
        .collect();
    let effective = |cluster: &[usize]| {
        let c: Vec<f64> = (0..1000)
            .map(|id| {
                class(true)
                    .filter(|&i| cluster[i] == id)
                    .map(|i| pairs.weight[i])
                    .sum()
            })
            .collect();
        c.iter().sum::<f64>().powi(2) / c.iter().map(|c| c * c).sum::<f64>()
    };
    let (s, t) = (effective(&pairs.source), effective(&pairs.target));
    let mut variance = 0.0;
    let mut own = 0.0;
    for i in 0..n {
        own += psi[i] * psi[i];
        for j in 0..n {
            let (same_source, same_target) = (
                pairs.source[i] == pairs.source[j],
                pairs.target[i] == pairs.target[j],
            );
            let product = psi[i] * psi[j];
            variance += if same_source { product * s / (s - 1.0) } else { 0.0 };
            variance += if same_target { product * t / (t - 1.0) } else { 0.0 };
        }
    }
    (value, (variance - own).max(own).sqrt())
}

proptest! {
    #[test]
    fn agrees_with_the_sum_over_all_pairs_of_pairs(index in 0u64..2000, n_positives in 8usize..20) {
        let mut pairs = world(5, n_positives, 0.5, 0.3, &mut stream(70, index));
        // Ties, and weights of positives.
        for (i, score) in pairs.scores.iter_mut().enumerate() {
            if i % 3 == 0 {
                *score = score.round();
            }
            pairs.weight[i] *= 1.0 + (i % 4) as f64;
        }
        let one = pair_auroc(&pairs.scores, pairs.design(), &ANY);
        let two = pair_auroc_difference(&pairs.scores, &pairs.other, pairs.design(), &ANY);
        if let (Ok(one), Ok(two)) = (one, two) {
            let expected = naive(&pairs, &[&pairs.scores]);
            prop_assert!((one.value - expected.0).abs() < ROUNDING && (one.standard_error - expected.1).abs() < ROUNDING);
            let expected = naive(&pairs, &[&pairs.scores, &pairs.other]);
            prop_assert!((two.value - expected.0).abs() < ROUNDING && (two.standard_error - expected.1).abs() < ROUNDING);
            let weighted = weighted_auroc(&pairs.scores, &pairs.positive, &pairs.weight).unwrap();
            prop_assert!((weighted - one.value).abs() < ROUNDING);
        }
    }

    /// A weight of two is two copies; an AUROC without weights is the one of `auroc`.
    #[test]
    fn weights_count_copies(scores in prop::collection::vec(-3i8..4, 4..30), labels in prop::collection::vec(any::<bool>(), 30), copies in prop::collection::vec(1usize..4, 30)) {
        let scores: Vec<f64> = scores.into_iter().map(f64::from).collect();
        let labels = &labels[..scores.len()];
        let weight: Vec<f64> = copies.iter().take(scores.len()).map(|&c| c as f64).collect();
        let repeat = |values: &[f64]| -> Vec<f64> { values.iter().zip(&copies).flat_map(|(&v, &c)| std::iter::repeat_n(v, c)).collect() };
        let repeated: Vec<bool> = labels.iter().zip(&copies).flat_map(|(&v, &c)| std::iter::repeat_n(v, c)).collect();
        match (weighted_auroc(&scores, labels, &weight), auroc(&repeat(&scores), &repeated)) {
            (Ok(weighted), Ok(plain)) => prop_assert!((weighted - plain).abs() < ROUNDING),
            (weighted, plain) => prop_assert!(weighted.is_err() && plain.is_err()),
        }
    }
}

#[test]
fn what_cannot_be_judged_says_why() {
    let pairs = world(30, 40, 0.3, 0.0, &mut stream(71, 0));
    let few = PairLimits {
        min_sources: 100.0,
        min_targets: 2.0,
    };
    let refused = pair_auroc(&pairs.scores, pairs.design(), &few).unwrap_err();
    assert!(
        matches!(refused, Error::Undefined(Undefined::FewClusters { .. })),
        "{refused}"
    );
    let one_class = PairDesign {
        positive: &vec![true; pairs.scores.len()],
        ..pairs.design()
    };
    assert!(matches!(
        pair_auroc(&pairs.scores, one_class, &ANY),
        Err(Error::Undefined(Undefined::OneClass { n_neg: 0, .. }))
    ));
    let weightless = vec![0.0; pairs.scores.len()];
    let weightless = PairDesign {
        weight: &weightless,
        ..pairs.design()
    };
    assert!(matches!(
        pair_auroc(&pairs.scores, weightless, &ANY),
        Err(Error::OutOfRange { .. })
    ));
    assert!(matches!(
        pair_auroc(&[f64::NAN], pairs.design(), &ANY),
        Err(Error::Length { .. })
    ));
    let same = pair_auroc_difference(&pairs.scores, &pairs.scores, pairs.design(), &ANY).unwrap();
    assert_eq!((same.value, same.test.p.p()), (0.0, 1.0));
}

/// Shares of worlds in which the clustered tests of an AUROC and of a difference reject, and a test as if pairs were
/// independent.
fn rejections(n_sources: usize, n_positives: usize, gene_part: f64, signal: f64, n: u64) -> [f64; 3] {
    let purpose = 100 + n_sources as u64 + 7 * n_positives as u64 + (10.0 * gene_part) as u64;
    let rejected: Vec<[bool; 3]> = (0..n)
        .into_par_iter()
        .map(|index| {
            let pairs = world(
                n_sources,
                n_positives,
                gene_part,
                signal,
                &mut stream(purpose, index),
            );
            let one = pair_auroc(&pairs.scores, pairs.design(), &ANY).unwrap();
            let two = pair_auroc_difference(&pairs.scores, &pairs.other, pairs.design(), &ANY).unwrap();
            let independent = delong_auroc(&pairs.scores, &pairs.positive).unwrap();
            [one.test.p, two.test.p, independent.p].map(|p| p.p() <= 0.05)
        })
        .collect();
    std::array::from_fn(|i| rejected.iter().filter(|r| r[i]).count() as f64 / n as f64)
}

#[test]
fn the_clustered_tests_hold_their_level_where_independence_does_not() {
    // Sources to draw from, positives, weight of the genes' parts beside the pair's.
    for (n_sources, n_positives, gene_part, naive) in [
        (60, 60, 0.0, 0.0),
        (60, 60, 0.7, 0.10),
        (100, 150, 0.7, 0.15),
        (100, 400, 0.7, 0.25),
        (40, 150, 1.5, 0.30),
        (30, 150, 0.7, 0.15),
    ] {
        let [one, two, independent] = rejections(n_sources, n_positives, gene_part, 0.0, 1_000);
        let at =
            format!("{n_sources} sources, {n_positives} positives, {gene_part}: {one} {two} {independent}");
        eprintln!("{at}");
        assert!(one <= 0.085 && two <= 0.085, "{at}");
        assert!(independent >= naive, "{at}");
    }
}

#[test]
fn an_effect_of_the_pair_is_found() {
    let [one, two, _] = rejections(60, 150, 0.5, 0.8, 200);
    assert!(one > 0.9, "{one}");
    // Both scores have the same effect.
    assert!(two < 0.10, "{two}");
}
