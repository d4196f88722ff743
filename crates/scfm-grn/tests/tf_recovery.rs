//! Recovery factor by factor: classes, quantities, and pairs with a known mode.

use std::fmt::Write as _;

use ndarray::Array2;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use scfm_core::{GeneTable, Panel, Seeds};
use scfm_grn::{
    CandidateUniverse, Format, GeneNames, ReferenceNetwork, TfClasses, circularity, compare_tfs,
    feature_of_tfs, recovery_of_scores, tf_recovery,
};
use scfm_stats::{CrossedLimits, Undefined, auroc};

fn stream(purpose: &str, index: u64) -> ChaCha8Rng {
    Seeds::new(6).stream("tf-recovery", purpose, index)
}

fn normal(rng: &mut impl Rng) -> f64 {
    (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt() * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

/// A reference of `n_tfs` factors over `n` genes, of which a share has a known mode; targets differ in popularity.
fn reference(n_tfs: usize, n: usize, rng: &mut ChaCha8Rng) -> ReferenceNetwork {
    let popular: Vec<f64> = (0..n).map(|_| (0.8 * normal(rng)).exp()).collect();
    let mut text = String::new();
    for tf in 0..n_tfs {
        for (target, popular) in popular.iter().enumerate() {
            if tf != target && (rng.random::<f64>() < 0.04 * popular || target == (tf + 1) % n) {
                let mode = ["Activation", "Repression", "Unknown"][rng.random_range(0..3)];
                writeln!(text, "G{tf}\tG{target}\t{mode}\t1").unwrap();
            }
        }
    }
    ReferenceNetwork::from_reader("reference", text.as_bytes(), Format::Trrust).unwrap()
}

fn panel(n: usize) -> Panel {
    Panel::new((0..n).map(|g| format!("G{g}"))).unwrap()
}

fn lay(reference: &ReferenceNetwork, n: usize) -> CandidateUniverse {
    let panel = panel(n);
    CandidateUniverse::new(reference, &panel, &panel, GeneNames::default()).unwrap()
}

#[test]
fn each_factor_ranks_its_own_candidates() {
    let reference = reference(12, 60, &mut stream("each", 0));
    let universe = lay(&reference, 60);
    let rng = &mut stream("each", 1);
    let mut scores = Array2::from_shape_fn(universe.positive().dim(), |_| normal(rng));
    scores[[0, 5]] = f64::NAN;
    let found = tf_recovery(scores.view(), &universe).unwrap();
    assert_eq!(found.len(), 12);
    for tf in &found {
        let row = universe.tfs().position(tf.tf.as_str()).unwrap();
        let kept = (0..60).filter(|&t| universe.candidate()[[row, t]] && !scores[[row, t]].is_nan());
        let (values, labels): (Vec<f64>, Vec<bool>) = kept
            .map(|t| (scores[[row, t]], universe.positive()[[row, t]]))
            .unzip();
        assert_eq!(tf.auroc, auroc(&values, &labels).unwrap());
        assert_eq!(tf.n_pos + tf.n_neg, values.len());
        assert_eq!(tf.is_above_chance(), tf.ci.low > 0.5);
    }
}

#[test]
fn classes_and_quantities_go_with_recovery_where_they_do() {
    let reference = reference(40, 150, &mut stream("classes", 0));
    let universe = lay(&reference, 150);
    let n_tfs = universe.tfs().len();
    // Of every four factors one is a master, one of another class, two are in no table; only masters are recovered.
    let mut table = String::new();
    for tf in 0..n_tfs {
        match tf % 4 {
            0 => writeln!(table, "G{tf}\tmaster-regulator").unwrap(),
            1 => writeln!(table, "G{tf}\thousekeeping").unwrap(),
            _ => {}
        }
    }
    let classes = TfClasses::from_reader("classes", table.as_bytes()).unwrap();
    let compare = |strength: f64, index: u64| {
        let rng = &mut stream("classes", index);
        let scores = Array2::from_shape_fn(universe.positive().dim(), |(tf, t)| {
            let known = tf % 4 == 0 && universe.positive()[[tf, t]];
            normal(rng) + if known { strength } else { 0.0 }
        });
        let tfs = tf_recovery(scores.view(), &universe).unwrap();
        let quantities = [
            (
                "master",
                tfs.iter()
                    .map(|tf| f64::from(u8::from(classes.get(tf.tf.as_str()) == classes.get("G0"))))
                    .collect(),
            ),
            ("constant", vec![1.0; tfs.len()]),
        ];
        compare_tfs(&tfs, &classes, &quantities, 999, |i| stream("permutations", i)).unwrap()
    };
    let found = compare(2.0, 1);
    assert_eq!((found.n_master, found.n_other, found.classes.len()), (10, 10, 40));
    let test = found.master_vs_other.unwrap();
    assert!(test.effect > 0.2 && test.p.p() < 0.01, "{test:?}");
    assert!(found.correlations[0].1.as_ref().unwrap().effect > 0.4);
    assert!(matches!(found.correlations[1].1, Err(Undefined::Constant { .. })));

    let n = 200;
    let rejected = (0..n)
        .into_par_iter()
        .filter(|&index| compare(0.0, 100 + index).master_vs_other.unwrap().p.p() <= 0.05)
        .count();
    // 5 % of 200, and four standard errors.
    assert!(rejected <= 22, "{rejected} of {n} without a difference");

    let none = TfClasses::from_reader("none", "ELSE\thousekeeping\n".as_bytes()).unwrap();
    let scores = Array2::from_shape_fn(universe.positive().dim(), |(tf, t)| (tf * 7 + t * 13) as f64);
    let tfs = tf_recovery(scores.view(), &universe).unwrap();
    let unclassified = compare_tfs(&tfs, &none, &[], 99, |i| stream("permutations", i)).unwrap();
    assert!(matches!(
        unclassified.master_vs_other,
        Err(Undefined::TooFew { n: 0, .. })
    ));
}

#[test]
fn a_feature_is_looked_up_by_name() {
    let mut genes = GeneTable::new(panel(3));
    genes.insert("mean", ndarray::array![1.0, 2.0, 3.0]).unwrap();
    let text = "G2\tG0\tUnknown\t1\nG1\tG0\tUnknown\t1\n";
    let reference = ReferenceNetwork::from_reader("r", text.as_bytes(), Format::Trrust).unwrap();
    let universe = lay(&reference, 3);
    let scores = Array2::from_shape_fn(universe.positive().dim(), |(a, b)| (a + b) as f64);
    let tfs = tf_recovery(scores.view(), &universe).unwrap();
    assert_eq!(feature_of_tfs(&tfs, &genes, "mean"), Some(vec![2.0, 3.0]));
    assert_eq!(feature_of_tfs(&tfs, &genes, "variance"), None);
}

#[test]
fn pairs_of_known_mode_are_judged_on_the_candidates_of_all() {
    let text = "G0\tG1\tActivation\t1\nG0\tG2\tUnknown\t1\nG0\tG2\tUnknown\t2\nG1\tG3\tUnknown\t1\nG2\tG4\tRepression\t1\nG2\tG4\tUnknown\t2\n";
    let reference = ReferenceNetwork::from_reader("r", text.as_bytes(), Format::Trrust).unwrap();
    let universe = lay(&reference, 6);
    let mut scores = Array2::from_shape_fn((3, 6), |(tf, t)| ((tf * 17 + t * 29) % 11) as f64);
    scores[[0, 5]] = f64::NAN;
    let limits = CrossedLimits {
        min_rows: 2,
        min_effective_genes: 1.0,
    };
    let found = circularity(scores.view(), &universe, &reference, &limits).unwrap();
    assert_eq!((found.n_pairs, found.n_known, found.tfs.len()), (4, 2, 2));
    let row = |tf: usize, labels: [bool; 6]| {
        let kept = (0..6).filter(|&t| t != tf && !scores[[tf, t]].is_nan());
        let (values, labels): (Vec<f64>, Vec<bool>) = kept.map(|t| (scores[[tf, t]], labels[t])).unzip();
        auroc(&values, &labels).unwrap()
    };
    let (t, f) = (true, false);
    assert_eq!(found.tfs[0].all, row(0, [f, t, t, f, f, f]));
    assert_eq!(found.tfs[0].known, row(0, [f, t, f, f, f, f]));
    assert_eq!(
        (found.tfs[1].all, found.tfs[1].known),
        (row(2, [f, f, f, f, t, f]), row(2, [f, f, f, f, t, f]))
    );
    assert_eq!(
        found.all,
        recovery_of_scores(scores.view(), &universe, &[]).unwrap().auroc
    );
    let mean = 0.5 * (found.tfs[0].known + found.tfs[1].known);
    assert_eq!(found.mean_known(), Ok(mean));
    let difference = found.difference.unwrap();
    assert!((difference.mean - (mean - 0.5 * (found.tfs[0].all + found.tfs[1].all))).abs() < 1e-12);

    let unknown =
        ReferenceNetwork::from_reader("r", "G0\tG1\tUnknown\t1\n".as_bytes(), Format::Trrust).unwrap();
    let universe = lay(&unknown, 6);
    let none = circularity(Array2::zeros((1, 6)).view(), &universe, &unknown, &limits).unwrap();
    assert!(
        none.difference.is_err() && none.known.is_err() && none.mean_known().is_err() && none.all.is_ok()
    );
}

/// Scores that know nothing, that know all pairs alike, and that know pairs of known mode only.
#[test]
fn a_difference_is_found_where_the_score_knows_the_known_mode_better() {
    let rejected = |of_known: f64, of_unknown: f64, n: u64| {
        let worlds = (0..n).into_par_iter().map(|index| {
            let rng = &mut stream("circularity", index);
            let reference = reference(40, 120, rng);
            let universe = lay(&reference, 120);
            let mut strength = Array2::from_elem(universe.positive().dim(), 0.0);
            for edge in reference.edges() {
                let row = universe.tfs().position(edge.source.as_str()).unwrap();
                let column = universe.targets().position(edge.target.as_str()).unwrap();
                strength[[row, column]] = if edge.modes.known() { of_known } else { of_unknown };
            }
            let part: Vec<f64> = (0..120).map(|_| 0.5 * normal(rng)).collect();
            let scores = Array2::from_shape_fn(strength.dim(), |at| strength[at] + part[at.1] + normal(rng));
            let found = circularity(scores.view(), &universe, &reference, &CrossedLimits::default()).unwrap();
            let p = |of: Result<scfm_stats::CrossedAuroc, Undefined>| of.unwrap().test.p.p() <= 0.05;
            [p(found.difference), p(found.without_unknown)]
        });
        let worlds: Vec<[bool; 2]> = worlds.collect();
        [0, 1].map(|i| worlds.iter().filter(|w| w[i]).count() as f64 / n as f64)
    };
    let null = rejected(0.0, 0.0, 300);
    let [_, alike] = rejected(1.0, 1.0, 300);
    let better = rejected(1.0, 0.0, 40);
    eprintln!("null {null:?}, alike {alike}, better {better:?}");
    assert!(null.iter().all(|rate| *rate <= 0.09), "{null:?}");
    // Both sets alike: only where unknown pairs are no negatives is there truly no difference.
    assert!(alike <= 0.09, "{alike}");
    assert!(better.iter().all(|rate| *rate > 0.9), "{better:?}");
}
