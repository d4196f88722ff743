//! Negatives of equal expression: agreement with brute force, and what matched scores show in worlds of known truth.

use std::collections::{BTreeMap, HashSet};

use ndarray::Array2;
use proptest::prelude::*;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use scfm_core::{Panel, Seeds};
use scfm_grn::{
    Error, ExpressionIndex, Format, MatchedPairs, MatchingParams, ReferenceNetwork, match_expression,
};
use scfm_stats::PairLimits;

fn stream(purpose: &str, index: u64) -> ChaCha8Rng {
    Seeds::new(17).stream("expression-matching", purpose, index)
}

fn normal(rng: &mut impl Rng) -> f64 {
    (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt() * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

proptest! {
    #[test]
    fn genes_alike_are_those_that_brute_force_finds(
        genes in prop::collection::vec((0.0f64..3.0, 0.0f64..1.0), 1..60),
        tolerance in 0.0f64..0.6,
    ) {
        // Some genes alike to the last digit, some at 0.
        let mean: Vec<f64> = genes.iter().map(|g| if g.0 < 0.3 { 0.0 } else { (4.0 * g.0).round() / 4.0 }).collect();
        let detection: Vec<f64> = genes.iter().map(|g| g.1).collect();
        let index = ExpressionIndex::new(&mean, &detection);
        for gene in 0..genes.len() {
            let naive: Vec<usize> = (0..genes.len())
                .filter(|&other| (mean[other] - mean[gene]).abs() <= tolerance * mean[gene])
                .filter(|&other| (detection[other] - detection[gene]).abs() <= tolerance * detection[gene])
                .collect();
            prop_assert!(naive.contains(&gene));
            prop_assert_eq!(index.alike(gene, tolerance), naive);
        }
    }
}

/// Genes whose expression differs, and a reference whose pairs prefer abundant genes.
struct World {
    panel: Panel,
    mean: Vec<f64>,
    detection: Vec<f64>,
    reference: ReferenceNetwork,
    /// Sources and targets of the reference by position.
    edges: HashSet<(usize, usize)>,
}

impl World {
    fn new(n: usize, n_edges: usize, rng: &mut ChaCha8Rng) -> Self {
        let panel = Panel::new((0..n).map(|g| format!("G{g}"))).unwrap();
        let mean: Vec<f64> = (0..n).map(|_| (0.8 * normal(rng)).exp()).collect();
        let detection = mean.iter().map(|m| 1.0 - (-m).exp()).collect();
        let mut edges = HashSet::new();
        let mut lines = String::new();
        while edges.len() < n_edges {
            let (source, target) = (rng.random_range(0..n), rng.random_range(0..n));
            let chance = (mean[source] * mean[target] / 6.0).min(1.0);
            if source != target && rng.random::<f64>() < chance && edges.insert((source, target)) {
                lines += &format!("G{source}\tG{target}\tUnknown\t1\n");
            }
        }
        let reference = ReferenceNetwork::from_reader("reference", lines.as_bytes(), Format::Trrust).unwrap();
        Self {
            panel,
            mean,
            detection,
            reference,
            edges,
        }
    }

    fn matched(&self, scores: &Array2<f64>, params: &MatchingParams) -> MatchedPairs {
        let index = ExpressionIndex::new(&self.mean, &self.detection);
        match_expression(&self.reference, &self.panel, scores.view(), &index, params, |i| {
            stream("negatives", i)
        })
        .unwrap()
    }

    fn table(&self, mut of: impl FnMut(usize, usize) -> f64) -> Array2<f64> {
        let n = self.panel.len();
        Array2::from_shape_fn((n, n), |(s, t)| of(s, t))
    }
}

#[test]
fn negatives_are_what_they_are_said_to_be() {
    let world = World::new(200, 60, &mut stream("shape", 0));
    let mut scores = world.table(|s, t| (s * 31 + t) as f64);
    // A tenth of the pairs has no score.
    scores
        .indexed_iter_mut()
        .filter(|((s, t), _)| (s * 7 + t * 13) % 10 == 0)
        .for_each(|(_, score)| *score = f64::NAN);
    let params = MatchingParams {
        n_negatives: 8,
        ..MatchingParams::default()
    };
    let matched = world.matched(&scores, &params);
    let positives: Vec<_> = matched.pairs.iter().filter(|p| p.positive).collect();
    assert_eq!(positives.len(), matched.n_matched);
    assert!(matched.n_matched > 20 && matched.n_matched <= matched.n_positives && matched.n_positives < 60);
    let close = |a: usize, b: usize| {
        let within = |x: f64, y: f64| (x - y).abs() <= 0.2 * y;
        within(world.mean[a], world.mean[b]) && within(world.detection[a], world.detection[b])
    };
    let mut seen = HashSet::new();
    for pair in &matched.pairs {
        assert!(seen.insert((pair.source, pair.target)), "each pair once");
        assert!(pair.source != pair.target && !scores[[pair.source, pair.target]].is_nan());
        assert_eq!(pair.positive, world.edges.contains(&(pair.source, pair.target)));
        if !pair.positive {
            assert!(
                positives
                    .iter()
                    .any(|p| close(pair.source, p.source) && close(pair.target, p.target))
            );
        }
    }
    let weight: f64 = matched
        .pairs
        .iter()
        .filter(|p| !p.positive)
        .map(|p| p.weight)
        .sum();
    assert!(
        (weight - matched.n_matched as f64).abs() < 1e-9,
        "negatives weigh as much as positives"
    );
    assert!(matched.n_drawn <= 8 * matched.n_matched && matched.n_wider == 0);
    let again = world.matched(&scores, &params);
    assert_eq!(again.pairs, matched.pairs);
}

#[test]
fn few_matches_are_all_taken_and_none_drops_the_pair() {
    let panel = Panel::new(["A", "B", "C", "D", "E", "F"]).unwrap();
    // A, C, E are alike, and so are B and D; F is like nobody.
    let mean = [1.0, 2.0, 1.1, 2.1, 0.9, 50.0];
    let detection = [0.5, 0.8, 0.5, 0.8, 0.5, 1.0];
    let text = "A\tB\tUnknown\t1\nC\tD\tUnknown\t1\nF\tF\tUnknown\t1\nF\tA\tUnknown\t1\nA\tX\tUnknown\t1\n";
    let reference = ReferenceNetwork::from_reader("r", text.as_bytes(), Format::Trrust).unwrap();
    let index = ExpressionIndex::new(&mean, &detection);
    let scores = Array2::from_elem((6, 6), 1.0);
    let run = |params: &MatchingParams| {
        match_expression(&reference, &panel, scores.view(), &index, params, |i| {
            stream("few", i)
        })
        .unwrap()
    };
    let matched = run(&MatchingParams::default());
    // F→A has the negatives F→C and F→E, A→B and C→D the others.
    let negatives: BTreeMap<(usize, usize), f64> = matched
        .pairs
        .iter()
        .filter(|p| !p.positive)
        .map(|p| ((p.source, p.target), p.weight))
        .collect();
    assert_eq!((matched.n_positives, matched.n_matched), (3, 3));
    let expected: HashSet<(usize, usize)> = [(0, 3), (2, 1), (4, 1), (4, 3), (5, 2), (5, 4)]
        .into_iter()
        .collect();
    assert_eq!(negatives.keys().copied().collect::<HashSet<_>>(), expected);
    assert!((negatives[&(4, 1)] - 0.5).abs() < 1e-12 && (negatives[&(5, 2)] - 0.5).abs() < 1e-12);
    let steps: Vec<(&str, u64)> = matched
        .ledger
        .steps()
        .iter()
        .map(|s| (s.reason.as_str(), s.count))
        .collect();
    assert_eq!(
        steps,
        [
            ("self pair", 1),
            ("a gene not in the panel", 1),
            ("kept", 3),
            ("kept", 6)
        ]
    );

    let narrow = run(&MatchingParams {
        tolerance: 0.01,
        ..MatchingParams::default()
    });
    assert_eq!((narrow.n_matched, narrow.share_matched()), (0, Ok(0.0)));
    let wide = MatchingParams {
        tolerance: 0.01,
        fallback: Some(0.2),
        few: 1,
        ..MatchingParams::default()
    };
    let wide = run(&wide);
    assert_eq!((wide.n_matched, wide.n_wider), (3, 3));

    let others = Panel::new(["U", "V"]).unwrap();
    let nowhere = match_expression(
        &reference,
        &others,
        Array2::zeros((2, 2)).view(),
        &ExpressionIndex::new(&[1.0, 1.0], &[0.5, 0.5]),
        &MatchingParams::default(),
        |i| stream("few", i),
    );
    assert!(matches!(nowhere, Err(Error::NoSharedGenes { .. })));
}

const N: usize = 250;

/// Mean of a statistic over worlds and the share of worlds that reject.
fn over_worlds(
    purpose: &str,
    n: u64,
    of: impl Fn(&World, &mut ChaCha8Rng) -> (f64, f64) + Sync,
) -> (f64, f64) {
    let found: Vec<(f64, f64)> = (0..n)
        .into_par_iter()
        .map(|index| {
            let rng = &mut stream(purpose, index);
            let world = World::new(N, 150, rng);
            of(&world, rng)
        })
        .collect();
    let mean = found.iter().map(|(auroc, _)| auroc).sum::<f64>() / n as f64;
    let rejected = found.iter().filter(|(_, p)| *p <= 0.05).count() as f64 / n as f64;
    (mean, rejected)
}

fn judge(world: &World, scores: &Array2<f64>, params: &MatchingParams) -> (f64, f64) {
    let matched = world.matched(scores, params);
    let found = matched
        .auroc(|s, t| scores[[s, t]], &PairLimits::default())
        .unwrap()
        .unwrap();
    (found.value, found.test.p.p())
}

/// Negatives from anywhere: the broken variant.
const UNMATCHED: MatchingParams = MatchingParams {
    tolerance: 1e9,
    fallback: None,
    few: 0,
    n_negatives: 50,
};

#[test]
fn a_score_of_expression_alone_is_chance_after_matching_and_wins_without() {
    let gene_level = |world: &World, rng: &mut ChaCha8Rng| {
        world.table(|s, t| (world.mean[s] * world.mean[t]).ln() + 0.3 * normal(rng))
    };
    let (auroc, rejected) = over_worlds("gene-level", 150, |world, rng| {
        let scores = gene_level(world, rng);
        judge(world, &scores, &MatchingParams::default())
    });
    eprintln!("gene-level, matched: {auroc} {rejected}");
    assert!(
        (auroc - 0.5).abs() < 0.03 && rejected <= 0.1,
        "{auroc} {rejected}"
    );
    let (auroc, rejected) = over_worlds("gene-level", 20, |world, rng| {
        let scores = gene_level(world, rng);
        judge(world, &scores, &UNMATCHED)
    });
    assert!(auroc > 0.7 && rejected > 0.9, "unmatched: {auroc} {rejected}");
}

#[test]
fn noise_is_chance_and_regulation_is_found() {
    let (auroc, rejected) = over_worlds("noise", 300, |world, rng| {
        let scores = world.table(|_, _| normal(rng));
        judge(world, &scores, &MatchingParams::default())
    });
    eprintln!("noise: {auroc} {rejected}");
    assert!(
        (auroc - 0.5).abs() < 0.01 && rejected <= 0.1,
        "{auroc} {rejected}"
    );
    let (auroc, rejected) = over_worlds("regulatory", 20, |world, rng| {
        let scores = world.table(|s, t| {
            world.mean[s].ln() + normal(rng) + if world.edges.contains(&(s, t)) { 1.0 } else { 0.0 }
        });
        judge(world, &scores, &MatchingParams::default())
    });
    assert!(auroc > 0.7 && rejected > 0.9, "{auroc} {rejected}");
}

/// Attention that knows nothing, over pairs that the reference's genes are seen in together more often than their detection
/// says: as a mean over cells it is chance, as a sum over cells it is the count of the cells.
#[test]
fn sums_over_cells_pass_off_codetection_as_attention() {
    let counts = |world: &World, rng: &mut ChaCha8Rng| {
        world.table(|s, t| {
            let chance = world.detection[s] * world.detection[t];
            let lift = if world.edges.contains(&(s, t)) { 1.3 } else { 1.0 };
            let expected = 500.0 * (chance * lift).min(1.0);
            (expected + expected.sqrt() * normal(rng)).max(1.0).round()
        })
    };
    let params = MatchingParams::default();
    let (mean, of_mean) = over_worlds("codetection", 30, |world, rng| {
        let _ = counts(world, rng);
        let attention = world.table(|_, _| (0.3 * normal(rng)).exp());
        judge(world, &attention, &params)
    });
    let (sum, of_sum) = over_worlds("codetection", 30, |world, rng| {
        let count = counts(world, rng);
        let attention = world.table(|_, _| (0.3 * normal(rng)).exp());
        judge(world, &(attention * count), &params)
    });
    let (count, _) = over_worlds("codetection", 30, |world, rng| {
        judge(world, &counts(world, rng), &params)
    });
    eprintln!("mean {mean} {of_mean}, sum {sum} {of_sum}, count {count}");
    assert!((mean - 0.5).abs() < 0.02 && of_mean <= 0.2, "{mean} {of_mean}");
    assert!(
        sum > 0.6 && of_sum > 0.8,
        "the broken variant passes: {sum} {of_sum}"
    );
    assert!(count > sum, "the count alone explains it: {count}");

    // Where genes are detected independently, the count alone is chance as well, once expression is matched.
    let (count, rejected) = over_worlds("independent", 40, |world, rng| {
        let count = world.table(|s, t| {
            let expected = 500.0 * world.detection[s] * world.detection[t];
            expected + expected.sqrt() * normal(rng)
        });
        judge(world, &count, &params)
    });
    assert!(
        (count - 0.5).abs() < 0.03 && rejected <= 0.2,
        "{count} {rejected}"
    );
}

#[test]
fn differences_and_heads_use_the_same_pairs() {
    let world = World::new(N, 120, &mut stream("heads", 0));
    let rng = &mut stream("heads", 1);
    let scores = world.table(|s, t| normal(rng) + if world.edges.contains(&(s, t)) { 0.8 } else { 0.0 });
    let matched = world.matched(&scores, &MatchingParams::default());
    let limits = PairLimits::default();
    let product = |s: usize, t: usize| world.mean[s] * world.mean[t];
    let of = |s: usize, t: usize| scores[[s, t]];
    let difference = matched.difference(of, product, &limits).unwrap().unwrap();
    let (a, b) = (
        matched.plain_auroc(of).unwrap().unwrap(),
        matched.plain_auroc(product).unwrap().unwrap(),
    );
    assert!((difference.value - (a - b)).abs() < 1e-12);
    assert!(difference.test.p.p() < 0.05 && a > 0.6);

    // Of a score that is known for some sources, the pairs from these are judged.
    let known = |source: usize| source.is_multiple_of(2);
    let half = |s: usize, t: usize| if known(s) { scores[[s, t]] } else { f64::NAN };
    let found = matched.plain_auroc_from(known, half).unwrap().unwrap();
    assert!(found > 0.6 && found != a, "{found}");
    assert_eq!(matched.plain_auroc_from(|_| true, of).unwrap().unwrap(), a);
    assert!(matched.plain_auroc_from(|_| false, of).unwrap().is_err());
}
