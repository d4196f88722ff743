//! Recovery along samples of cells.

use std::fmt::Write as _;

use ndarray::Array2;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use scfm_core::{EdgeKind, EdgeMatrix, Layer, Panel, Seeds};
use scfm_grn::{
    CandidateUniverse, Format, GeneNames, Metric, ReferenceNetwork, overlap, recovery, sample_recoveries,
    trend,
};
use scfm_stats::Undefined;

const GENES: usize = 40;
const TFS: usize = 12;

fn stream(purpose: &str, index: u64) -> ChaCha8Rng {
    Seeds::new(1).stream("scaling", purpose, index)
}

fn panel() -> Panel {
    Panel::new((0..GENES).map(|g| format!("G{g}"))).unwrap()
}

fn universe() -> CandidateUniverse {
    let rng = &mut stream("reference", 0);
    let mut text = String::new();
    for tf in 0..TFS {
        for target in (0..GENES).filter(|&target| target != tf) {
            if target == tf + 1 || rng.random::<f64>() < 0.15 {
                writeln!(text, "G{tf},G{target}").unwrap();
            }
        }
    }
    let network = ReferenceNetwork::from_reader("net", text.as_bytes(), Format::EdgeList).unwrap();
    CandidateUniverse::new(&network, &panel(), &panel(), GeneNames::default()).unwrap()
}

/// Edges that know the reference as clearly as `clarity` says.
fn edges(universe: &CandidateUniverse, clarity: f64, sample: u64) -> EdgeMatrix {
    let rng = &mut stream("edges", sample);
    let scores = Array2::from_shape_fn((GENES, GENES), |(source, target)| {
        let known = source < TFS && universe.positive()[[source, target]];
        (clarity * f64::from(u8::from(known)) + rng.random::<f64>()) as f32
    });
    EdgeMatrix::new(EdgeKind::attention(Layer(0)), panel(), panel(), scores).unwrap()
}

fn levels(n: usize, of_each: usize) -> (Vec<Vec<usize>>, Vec<f64>) {
    let levels = (0..n)
        .map(|level| (level * of_each..(level + 1) * of_each).collect())
        .collect();
    (
        levels,
        (0..n * of_each).map(|sample| (sample / of_each) as f64).collect(),
    )
}

#[test]
fn a_sample_by_itself_is_recovered_as_any_edges_are() {
    let universe = universe();
    let samples = [edges(&universe, 0.3, 0), edges(&universe, 0.1, 1)];
    let found = sample_recoveries(&samples, &universe, &[20, 50]).unwrap();
    for (edges, sample) in samples.iter().zip(&found) {
        let alone = recovery(edges, &universe, &[20, 50]).unwrap();
        assert_eq!(sample.value(Metric::Auroc), alone.auroc.unwrap());
        assert_eq!((sample.n_pairs, sample.n_pos), (alone.n_pairs, alone.n_pos));
        assert_eq!(sample.top_k, alone.top_k);
        // Scores are continuous, so that no tie stands at the boundary.
        let f1 = alone.top_k[0].as_ref().unwrap().f1;
        assert!((sample.value(Metric::F1) - f1).abs() < 1e-12);
        let interval = sample
            .interval(Metric::F1, 199, |i| stream("interval", i))
            .unwrap()
            .unwrap();
        assert!(interval.contains(f1), "{f1} {interval:?}");
    }
}

#[test]
fn pairs_that_one_sample_lacks_are_ranked_in_none() {
    let universe = universe();
    let whole = edges(&universe, 0.3, 0);
    let mut scores = edges(&universe, 0.3, 1).scores().to_owned();
    scores.row_mut(0).fill(f32::NAN);
    let lacking = EdgeMatrix::new(whole.kind(), panel(), panel(), scores).unwrap();
    let found = sample_recoveries(&[whole, lacking], &universe, &[]).unwrap();
    let lost = universe
        .candidate()
        .row(0)
        .iter()
        .filter(|&&candidate| candidate)
        .count();
    for sample in found {
        assert_eq!(sample.n_pairs, universe.n_candidates() - lost);
    }
}

#[test]
fn samples_overlap_with_themselves_wholly() {
    let universe = universe();
    let samples = [0.0, 0.0, 5.0, 5.0].map(|clarity| edges(&universe, clarity, clarity as u64));
    let found = sample_recoveries(&samples, &universe, &[]).unwrap();
    assert_eq!(overlap(&found[0], &found[1]), 1.0);
    assert!(overlap(&found[0], &found[2]) < 0.5);
}

#[test]
fn recovery_that_grows_is_seen_and_recovery_that_does_not_is_not() {
    let universe = universe();
    let (levels, x) = levels(4, 3);
    let follow = |clarity: &dyn Fn(usize) -> f64, metric| {
        let samples: Vec<EdgeMatrix> = (0..12)
            .map(|sample| edges(&universe, clarity(sample / 3), 10 + sample as u64))
            .collect();
        let found = sample_recoveries(&samples, &universe, &[]).unwrap();
        trend(&found, &x, &levels, metric, 499, |i| stream("trend", i))
            .unwrap()
            .unwrap()
    };
    for metric in [Metric::Auroc, Metric::F1] {
        let grows = follow(&|level| 0.1 + 0.15 * level as f64, metric);
        assert!(grows.effect > 0.8 && grows.p.p() < 0.05, "{metric:?} {grows:?}");
        let still = follow(&|_| 0.3, metric);
        assert!(still.p.p() > 0.05, "{metric:?} {still:?}");
    }
}

#[test]
fn two_levels_are_no_trend_and_a_reference_without_positives_has_no_auroc() {
    let universe = universe();
    let samples = [edges(&universe, 0.3, 0), edges(&universe, 0.3, 1)];
    let found = sample_recoveries(&samples, &universe, &[]).unwrap();
    let two = trend(&found, &[1.0, 2.0], &[vec![0], vec![1]], Metric::Auroc, 9, |i| {
        stream("trend", i)
    });
    assert!(matches!(two.unwrap(), Err(Undefined::TooFew { n: 2, .. })));

    let mut scores = samples[0].scores().to_owned();
    for (pair, &positive) in universe.positive().indexed_iter() {
        if positive {
            scores[pair] = f32::NAN;
        }
    }
    let blind = EdgeMatrix::new(samples[0].kind(), panel(), panel(), scores).unwrap();
    let found = sample_recoveries(&[blind], &universe, &[]).unwrap();
    assert!(matches!(
        found[0].auroc,
        Err(Undefined::OneClass { n_pos: 0, .. })
    ));
}
