//! The degree-preserving null: every network of the same degrees is reached and equally likely, nothing else is, and a
//! score of one gene alone has no null spread.

use std::collections::BTreeMap;

use ndarray::{Array2, array};
use proptest::prelude::*;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use scfm_core::{Panel, Seeds};
use scfm_grn::{
    CandidateUniverse, DegreeNull, DegreeNullParams, FixedDegrees, Format, GeneNames, ReferenceNetwork,
    degree_null,
};
use scfm_stats::Undefined;

fn stream(purpose: &str, index: u64) -> ChaCha8Rng {
    Seeds::new(0).stream("degree-null", purpose, index)
}

/// Every network of the degrees of `network` that has no forbidden pair, by trying all subsets row by row.
fn all_networks(network: &Array2<bool>, allowed: &Array2<bool>) -> Vec<Vec<bool>> {
    let (n_rows, n_columns) = network.dim();
    let degree = |row: usize| network.row(row).iter().filter(|&&e| e).count();
    let columns: Vec<usize> = (0..n_columns)
        .map(|c| network.column(c).iter().filter(|&&e| e).count())
        .collect();
    let mut partial: Vec<(Vec<bool>, Vec<usize>)> = vec![(Vec::new(), columns)];
    for row in 0..n_rows {
        let mut longer = Vec::new();
        for (edges, left) in &partial {
            for subset in 0u32..1 << n_columns {
                let has = |column: usize| subset >> column & 1 == 1;
                let fits = (0..n_columns).all(|c| !has(c) || (allowed[[row, c]] && left[c] > 0));
                if fits && subset.count_ones() as usize == degree(row) {
                    let mut edges = edges.clone();
                    edges.extend((0..n_columns).map(has));
                    let left = left
                        .iter()
                        .enumerate()
                        .map(|(c, l)| l - usize::from(has(c)))
                        .collect();
                    longer.push((edges, left));
                }
            }
        }
        partial = longer;
    }
    partial
        .into_iter()
        .filter(|(_, left)| left.iter().all(|&l| l == 0))
        .map(|(edges, _)| edges)
        .collect()
}

fn off_diagonal(n_rows: usize, n_columns: usize) -> Array2<bool> {
    Array2::from_shape_fn((n_rows, n_columns), |(r, c)| r != c)
}

/// Counts of the networks that independent chains end at.
fn visits(network: &Array2<bool>, allowed: &Array2<bool>, n_chains: u64) -> BTreeMap<Vec<bool>, f64> {
    let start = FixedDegrees::new(network.view(), allowed.view());
    let mut visits = BTreeMap::new();
    for chain in 0..n_chains {
        let mut network = start.clone();
        network.randomise(500, &mut stream("exhaustive", chain));
        *visits
            .entry(network.to_matrix().into_iter().collect())
            .or_insert(0.0) += 1.0;
    }
    visits
}

/// Every network is reached and none is preferred: χ² below what one world in ten thousand exceeds.
fn check_uniform(name: &str, network: &Array2<bool>, allowed: &Array2<bool>, n_expected: usize) {
    let all = all_networks(network, allowed);
    assert_eq!(all.len(), n_expected, "{name}: networks by enumeration");
    let n_chains = 400 * all.len() as u64;
    let visits = visits(network, allowed, n_chains);
    assert_eq!(
        visits.keys().cloned().collect::<Vec<_>>(),
        {
            let mut all = all.clone();
            all.sort();
            all
        },
        "{name}: exactly the networks of these degrees"
    );
    let expected = n_chains as f64 / all.len() as f64;
    let chi2: f64 = visits.values().map(|n| (n - expected).powi(2) / expected).sum();
    let df = all.len() as f64 - 1.0;
    // Wilson and Hilferty's approximation of the quantile at 1 - 1e-4, z = 3.719.
    let h = 2.0 / (9.0 * df);
    let limit = df * (1.0 - h + 3.719 * h.sqrt()).powi(3);
    assert!(chi2 < limit, "{name}: χ² {chi2:.1} with {df} degrees of freedom");
}

#[test]
fn every_network_of_small_degrees_is_reached_and_equally_likely() {
    // A ring of three genes has no trade between two rows, only a turn of all three.
    let ring = array![[false, true, false], [false, false, true], [true, false, false]];
    check_uniform("ring of 3", &ring, &off_diagonal(3, 3), 2);
    // Derangements of four and five.
    for (n, derangements) in [(4, 9), (5, 44)] {
        let shift = Array2::from_shape_fn((n, n), |(r, c)| c == (r + 1) % n);
        check_uniform("derangement", &shift, &off_diagonal(n, n), derangements);
    }
    let uneven = array![
        [false, true, true, true, false],
        [true, false, false, false, true],
        [false, true, false, false, true],
        [false, false, true, false, false]
    ];
    check_uniform("4 × 5", &uneven, &off_diagonal(4, 5), 19);
}

#[test]
fn scattered_forbidden_pairs_may_need_long_cycles() {
    // Row r may only have columns r and r + 1: one edge each, so that all four turn together or none does.
    let n = 4;
    let allowed = Array2::from_shape_fn((n, n), |(r, c)| c == r || c == (r + 1) % n);
    let identity = Array2::from_shape_fn((n, n), |(r, c)| c == r);
    assert_eq!(all_networks(&identity, &allowed).len(), 2);
    let start = FixedDegrees::new(identity.view(), allowed.view());
    let mut turned = 0;
    for chain in 0..400 {
        let mut network = start.clone();
        network.randomise(3_000, &mut stream("long", chain));
        turned += u64::from(network.to_matrix() != identity);
    }
    // Half of the chains, with a standard deviation of 10.
    assert!((150..250).contains(&turned), "{turned} of 400");
}

proptest! {
    #[test]
    fn both_margins_stay_and_no_forbidden_pair_is_entered(
        seed in 0u64..1000, n_rows in 1usize..9, n_columns in 1usize..40, density in 0.02..0.9f64,
    ) {
        let mut rng = stream("property", seed);
        let allowed = Array2::from_shape_fn((n_rows, n_columns), |(r, c)| r != c && rng.random_bool(0.8));
        let present = Array2::from_shape_fn((n_rows, n_columns), |_| rng.random_bool(density));
        let mut network = FixedDegrees::new(present.view(), allowed.view());
        let before = network.to_matrix();
        prop_assert_eq!(&before, &(&present & &allowed));
        network.randomise(200, &mut rng);
        let after = network.to_matrix();
        let sums = |m: &Array2<bool>, axis| m.mapv(u32::from).sum_axis(ndarray::Axis(axis));
        prop_assert_eq!(sums(&before, 0), sums(&after, 0));
        prop_assert_eq!(sums(&before, 1), sums(&after, 1));
        prop_assert!(after.iter().zip(&allowed).all(|(&edge, &allowed)| allowed || !edge));
        prop_assert_eq!(network.n_edges(), before.iter().filter(|&&e| e).count());
    }
}

fn panel(n: usize) -> Panel {
    Panel::new((0..n).map(|g| format!("G{g}"))).unwrap()
}

/// A reference of `n_tfs` TFs over `n` genes, in which some TFs and some targets have many partners.
fn universe(n_tfs: usize, n: usize, seed: u64) -> CandidateUniverse {
    let mut rng = stream("world", seed);
    let mut list = String::new();
    for tf in 0..n_tfs {
        for target in (0..n).filter(|&t| t != tf) {
            let odds = 0.02 + 0.3 / (1.0 + target as f64 / 4.0) + 0.1 / (1.0 + tf as f64);
            if rng.random_bool(odds.min(0.9)) {
                list += &format!("G{tf},G{target}\n");
            }
        }
    }
    let reference = ReferenceNetwork::from_reader("net", list.as_bytes(), Format::EdgeList).unwrap();
    CandidateUniverse::new(&reference, &panel(n), &panel(n), GeneNames::default()).unwrap()
}

fn run(scores: &Array2<f64>, universe: &CandidateUniverse, n_networks: usize) -> DegreeNull {
    let params = DegreeNullParams {
        n_networks,
        n_shuffles: 200,
    };
    degree_null(scores.view(), universe, &params, stream)
        .unwrap()
        .unwrap()
}

fn table(universe: &CandidateUniverse, score: impl FnMut((usize, usize)) -> f64) -> Array2<f64> {
    Array2::from_shape_fn(universe.positive().dim(), score)
}

#[test]
fn a_score_of_one_gene_alone_has_no_null_spread_to_the_last_bit() {
    let universe = universe(24, 90, 3);
    let (_, n_columns) = universe.positive().dim();
    // Thirds have no finite binary form, and some targets are tied.
    let of_target = table(&universe, |(_, t)| ((t * 37 % n_columns) / 2) as f64 / 3.0);
    let of_tf = table(&universe, |(s, _)| (s * 7 % 5) as f64 / 3.0);
    for (name, scores) in [("target", of_target), ("TF", of_tf)] {
        let found = run(&scores, &universe, 300);
        assert_eq!(found.null_sd, 0.0, "{name}");
        assert_eq!(found.null_mean, found.observed, "{name}");
        assert_eq!(found.residual_share(), 0.0, "{name}");
        assert!(matches!(found.z, Err(Undefined::Constant { .. })), "{name}");
        assert_eq!(found.test.unwrap().p.p(), 1.0, "{name}");
        assert!(found.mixing.n_networks > 250, "{name}: the networks do differ");
    }
}

#[test]
fn the_null_agrees_with_enumeration() {
    // Five TFs of one target each, over five genes: 44 networks, of which the null mean is the plain mean.
    let n = 5;
    let list: String = (0..n).map(|g| format!("G{g},G{}\n", (g + 1) % n)).collect();
    let reference = ReferenceNetwork::from_reader("net", list.as_bytes(), Format::EdgeList).unwrap();
    let universe = CandidateUniverse::new(&reference, &panel(n), &panel(n), GeneNames::default()).unwrap();
    let mut rng = stream("scores", 0);
    let scores = table(&universe, |_| rng.random_range(0..6) as f64);

    let allowed = off_diagonal(n, n);
    let auroc = |network: &Vec<bool>| {
        let kept = |(place, &allowed): (usize, &bool)| allowed.then_some(place);
        let places: Vec<usize> = allowed.iter().enumerate().filter_map(kept).collect();
        let values: Vec<f64> = places.iter().map(|&p| scores[[p / n, p % n]]).collect();
        let labels: Vec<bool> = places.iter().map(|&p| network[p]).collect();
        scfm_stats::auroc(&values, &labels).unwrap()
    };
    let observed = auroc(&universe.positive().iter().copied().collect());
    let all: Vec<f64> = all_networks(&universe.positive().to_owned(), &allowed)
        .iter()
        .map(auroc)
        .collect();
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    let variance = all.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / all.len() as f64;
    let share = all.iter().filter(|&&a| a >= observed - 1e-12).count() as f64 / all.len() as f64;

    let found = run(&scores, &universe, 20_000);
    assert_eq!(found.mixing.n_networks, 44);
    assert!(found.mixing.settled);
    assert!((found.observed - observed).abs() < 1e-12);
    // Four standard errors of 20,000 draws.
    let error = 4.0 * (variance / 20_000.0).sqrt();
    assert!(
        (found.null_mean - mean).abs() < error,
        "{} {mean}",
        found.null_mean
    );
    assert!((found.null_sd - variance.sqrt()).abs() < 0.02 * variance.sqrt());
    assert!((found.test.unwrap().p.p() - share).abs() < 4.0 * (share / 20_000.0).sqrt());
    assert!((found.z.unwrap() - (observed - found.null_mean) / found.null_sd).abs() < 1e-9);
}

#[test]
fn a_pairwise_signal_is_found_beyond_degrees_and_its_shares_add_up() {
    let universe = universe(30, 120, 5);
    let positive = universe.positive().to_owned();
    let mut rng = stream("signal", 0);
    let gene: Vec<f64> = (0..120).map(|g| 1.0 / (1.0 + g as f64 / 4.0)).collect();
    let scores = table(&universe, |(s, t)| {
        gene[t] + 0.2 * f64::from(positive[[s, t]]) + 0.3 * rng.random::<f64>()
    });
    let found = run(&scores, &universe, 999);
    assert!(found.null_mean > 0.55, "{}", found.null_mean);
    assert!(found.z.clone().unwrap() > 5.0);
    assert_eq!(found.test.as_ref().unwrap().p.p(), 1.0 / 1000.0);
    assert!((0.5 + found.degree_share() + found.residual_share() - found.observed).abs() < 1e-12);
    assert!(found.label_shuffle.p.p() < 0.01);
    assert!((found.null.iter().sum::<f64>() / 999.0 - found.null_mean).abs() < 1e-9);
    assert!(found.per_tf.iter().all(|tf| tf.ci.contains(tf.auroc)));
    assert!(found.mixing.settled && found.mixing.final_overlap() < 0.5);
}

/// The reference is one of the networks of its degrees: over many references that were drawn without regard to the
/// score, one in twenty may be found.
#[test]
fn references_drawn_from_the_null_are_rejected_at_the_nominal_rate() {
    let start = universe(12, 40, 9);
    let mut rng = stream("level", 0);
    let gene: Vec<f64> = (0..40).map(|g| 1.0 / (1.0 + g as f64)).collect();
    let scores = table(&start, |(_, t)| gene[t] + 0.5 * rng.random::<f64>());
    let mut chain = FixedDegrees::new(start.positive(), start.candidate());
    let (n_worlds, mut rejected) = (200, 0);
    for _ in 0..n_worlds {
        chain.randomise(2_000, &mut rng);
        let list: String = chain
            .edges()
            .map(|(s, t)| format!("{},{}\n", start.tfs().gene(s), start.targets().gene(t)))
            .collect();
        let reference = ReferenceNetwork::from_reader("net", list.as_bytes(), Format::EdgeList).unwrap();
        let universe =
            CandidateUniverse::new(&reference, start.tfs(), start.targets(), GeneNames::default()).unwrap();
        let found = run(&scores, &universe, 99);
        rejected += u64::from(found.test.unwrap().p.p() <= 0.05);
    }
    // 10 expected with a standard deviation of 3.1.
    assert!((1..=21).contains(&rejected), "{rejected} of {n_worlds}");
}

#[test]
fn degrees_that_leave_one_network_are_not_decidable() {
    let genes = panel(4);
    // One TF: its targets are all that its degree and theirs allow.
    let reference = ReferenceNetwork::from_reader("net", &b"G0,G1\nG0,G2\n"[..], Format::EdgeList).unwrap();
    let universe = CandidateUniverse::new(&reference, &genes, &genes, GeneNames::default()).unwrap();
    let found = run(&table(&universe, |(_, t)| t as f64), &universe, 50);
    assert_eq!(found.mixing.n_networks, 1);
    assert!(matches!(
        found.test,
        Err(Undefined::TooFew { n: 1, needed: 20, .. })
    ));
    assert!(matches!(found.z, Err(Undefined::Constant { .. })));

    let empty = table(&universe, |_| f64::NAN);
    let none = degree_null(empty.view(), &universe, &DegreeNullParams::default(), stream).unwrap();
    assert!(matches!(none, Err(Undefined::OneClass { n_pos: 0, n_neg: 0 })));
    let no_draws = DegreeNullParams {
        n_networks: 0,
        n_shuffles: 1,
    };
    assert!(degree_null(empty.view(), &universe, &no_draws, stream).is_err());
}

#[test]
fn pairs_without_a_score_stay_empty_and_threads_change_no_bit() {
    let universe = universe(20, 70, 11);
    let mut rng = stream("holes", 0);
    let scores = table(&universe, |_| {
        if rng.random_bool(0.15) {
            f64::NAN
        } else {
            rng.random()
        }
    });
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| run(&scores, &universe, 200))
    };
    let (one, three) = (with(1), with(3));
    assert_eq!(one.null, three.null);
    assert_eq!(one.mixing, three.mixing);
    assert_eq!(one.label_shuffle.p, three.label_shuffle.p);
    let scored = scores.iter().filter(|s| !s.is_nan()).count();
    assert!(
        one.n_pairs < scored,
        "self pairs and TFs without a scored target take no part"
    );
    let naive: (Vec<f64>, Vec<bool>) = scores
        .indexed_iter()
        .filter(|&(pair, score)| !score.is_nan() && universe.candidate()[pair])
        .map(|(pair, &score)| (score, universe.positive()[pair]))
        .unzip();
    assert_eq!(one.n_pairs, naive.0.len(), "every TF has a scored target here");
    assert!((one.observed - scfm_stats::auroc(&naive.0, &naive.1).unwrap()).abs() < 1e-12);
}
