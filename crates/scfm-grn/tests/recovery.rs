//! Candidate universes and recovery: by hand, against scikit-learn, and by properties.

use std::collections::HashMap;

use ndarray::{Array2, array};
use proptest::prelude::*;
use scfm_core::{EdgeKind, EdgeMatrix, GeneId, Layer, Ledger, Panel};
use scfm_grn::{CandidateUniverse, Error, Format, GeneNames, ReferenceNetwork, recovery, recovery_of_scores};
use scfm_stats::Undefined;
use serde::Deserialize;

/// Agreement of AUROCs that the project promises.
const AUROC: f64 = 1e-12;

fn network(text: &str) -> ReferenceNetwork {
    ReferenceNetwork::from_reader("net", text.as_bytes(), Format::EdgeList).unwrap()
}

fn panel(genes: &[&str]) -> Panel {
    Panel::new(genes).unwrap()
}

fn universe(text: &str, sources: &Panel, targets: &Panel) -> CandidateUniverse {
    CandidateUniverse::new(&network(text), sources, targets, GeneNames::default()).unwrap()
}

fn counts(ledger: &Ledger) -> Vec<(&str, u64)> {
    ledger
        .steps()
        .iter()
        .map(|s| (s.reason.as_str(), s.count))
        .collect()
}

#[derive(Deserialize)]
struct Golden {
    edges: Vec<(String, String)>,
    genes: Vec<String>,
    scores: Vec<Vec<Option<f32>>>,
    n_candidates: usize,
    n_pairs: usize,
    n_pos: usize,
    n_missing_pos: usize,
    auroc: f64,
    average_precision: f64,
    auroc_of_magnitude: f64,
}

#[test]
fn agrees_with_scikit_learn() {
    let golden: Golden = serde_json::from_str(include_str!("golden/recovery.json")).unwrap();
    let list: String = golden.edges.iter().map(|(s, t)| format!("{s},{t}\n")).collect();
    let genes = Panel::new(&golden.genes).unwrap();
    let universe = universe(&list, &genes, &genes);
    assert_eq!(universe.n_candidates(), golden.n_candidates);
    let scores = Array2::from_shape_fn((25, 25), |(i, j)| golden.scores[i][j].unwrap_or(f32::NAN));
    let judge = |kind| {
        let edges = EdgeMatrix::new(kind, genes.clone(), genes.clone(), scores.clone()).unwrap();
        recovery(&edges, &universe, &[10]).unwrap()
    };
    let found = judge(EdgeKind::attention(Layer(0)));
    assert_eq!((found.n_pairs, found.n_pos), (golden.n_pairs, golden.n_pos));
    assert_eq!(found.n_missing, golden.n_candidates - golden.n_pairs);
    assert_eq!(found.n_missing_pos, golden.n_missing_pos);
    assert!((found.auroc.unwrap() - golden.auroc).abs() < AUROC);
    let precision = found.average_precision.unwrap();
    assert!((precision.value - golden.average_precision).abs() < AUROC);
    assert_eq!(precision.base_rate, golden.n_pos as f64 / golden.n_pairs as f64);
    let ks: Vec<_> = found.top_k.iter().map(|top| top.as_ref().unwrap().k).collect();
    assert_eq!(ks, [golden.n_pos, 10]);
    // The early precision is the precision among as many pairs as there are positives.
    let early = found.top_k[0].as_ref().unwrap().precision / precision.base_rate;
    assert!((found.early_precision_ratio.unwrap() - early).abs() < AUROC);

    let magnitude = judge(EdgeKind::Spearman).auroc.unwrap();
    assert!((magnitude - golden.auroc_of_magnitude).abs() < AUROC);
}

#[test]
fn every_pair_of_the_reference_is_accounted_for() {
    let reference = network("A,A\nA,B\nA,C\nA,X\nB,V\nV,B\nY,A\nB,Z\nM,A\n");
    let vocabulary = panel(&["A", "B", "C", "Y", "Z"]);
    let crosswalk: HashMap<GeneId, GeneId> = ["A", "B", "C", "V", "X", "Y", "Z"]
        .iter()
        .map(|g| (GeneId::from(g), GeneId::from(if *g == "X" { "C" } else { g })))
        .collect();
    let names = GeneNames {
        crosswalk: Some(&crosswalk),
        vocabulary: Some(&vocabulary),
    };
    let universe = CandidateUniverse::new(
        &reference,
        &panel(&["C", "B", "A"]),
        &panel(&["A", "B", "C"]),
        names,
    )
    .unwrap();
    assert_eq!(
        counts(universe.ledger()),
        [
            ("gene not in the crosswalk", 1),
            ("self pair", 1),
            ("source not in the vocabulary", 1),
            ("target not in the vocabulary", 1),
            ("source not in the panel", 1),
            ("target not in the panel", 1),
            ("same pair after the crosswalk", 1),
            ("kept", 2),
        ]
    );
    assert_eq!(universe.ledger().steps()[6].examples, ["A→X"]);
    assert_eq!(universe.tfs(), &panel(&["A"]), "only A has an edge left");
    assert_eq!(universe.positive(), array![[false, true, true]]);
    assert_eq!(universe.candidate(), array![[false, true, true]]);
    let total: u64 = universe.ledger().steps().iter().map(|s| s.count).sum();
    assert_eq!(total, reference.edges().len() as u64);
}

#[test]
fn other_identifiers_fail_loudly_and_say_why() {
    let genes = panel(&["ENSG00000115415", "ENSG00000125347"]);
    for (list, panel, hint) in [
        (
            "STAT1,IRF1\n",
            &genes,
            "one side uses Ensembl ids, the other symbols; give a crosswalk",
        ),
        (
            "Stat1,Irf1\n",
            &panel(&["STAT1", "IRF1"]),
            "they agree but for upper and lower case; is one of another species?",
        ),
    ] {
        let error = CandidateUniverse::new(&network(list), panel, panel, GeneNames::default()).unwrap_err();
        assert!(error.to_string().ends_with(hint), "{error}");
        assert!(error.to_string().contains(panel.gene(0).as_str()), "{error}");
    }
    let empty = HashMap::new();
    let names = GeneNames {
        crosswalk: Some(&empty),
        vocabulary: None,
    };
    let error = CandidateUniverse::new(&network("STAT1,IRF1\n"), &genes, &genes, names).unwrap_err();
    assert!(matches!(error, Error::NoSharedGenes { .. }));
    assert!(
        error
            .to_string()
            .ends_with("no gene of the reference is in the crosswalk"),
        "{error}"
    );
}

#[test]
fn a_reference_without_an_edge_in_the_panel_has_undefined_recovery() {
    let genes = panel(&["A", "B"]);
    let universe = universe("A,X\n", &genes, &genes);
    assert_eq!((universe.n_candidates(), universe.n_positives()), (0, 0));
    let found = recovery_of_scores(Array2::zeros((0, 2)).view(), &universe, &[]).unwrap();
    assert_eq!(found.auroc, Err(Undefined::OneClass { n_pos: 0, n_neg: 0 }));
    assert_eq!(found.n_pairs, 0);
}

#[test]
fn pairs_never_seen_are_left_out_not_ranked_last() {
    let genes = panel(&["A", "B", "C", "D"]);
    let mut universe = universe("A,B\nA,C\n", &genes, &genes);
    let scores = array![[f64::NAN, 1.0, f64::NAN, 0.5]];
    let found = recovery_of_scores(scores.view(), &universe, &[]).unwrap();
    assert_eq!(found.auroc, Ok(1.0));
    assert_eq!((found.n_pairs, found.n_missing, found.n_missing_pos), (2, 1, 1));
    assert_eq!(universe.restrict_to_defined(&[scores.view()]), 1);
    assert_eq!((universe.n_candidates(), universe.n_positives()), (2, 1));
    assert_eq!(counts(universe.ledger()).last(), Some(&("score undefined", 1)));
}

#[test]
fn a_reference_of_which_no_pair_was_seen_is_one_class() {
    let genes = panel(&["A", "B", "C"]);
    let universe = universe("A,B\n", &genes, &genes);
    let found = recovery_of_scores(array![[0.0, f64::NAN, 0.5]].view(), &universe, &[1]).unwrap();
    let reason = Undefined::OneClass { n_pos: 0, n_neg: 1 };
    assert_eq!(found.auroc, Err(reason.clone()));
    assert_eq!(found.top_k, [Err(reason.clone()), Err(reason)]);
}

#[test]
fn out_degree_counts_targets_outside_the_panel_but_not_the_gene_itself() {
    let reference = network("A,B\nA,X\nA,A\nA,B\nB,B\n");
    assert_eq!(
        reference.out_degree(&panel(&["B", "C", "A"])).to_vec(),
        [0.0, 0.0, 2.0]
    );
}

proptest! {
    #[test]
    fn recovery_does_not_depend_on_order_or_monotone_scale(
        pairs in prop::collection::btree_set((0..5usize, 0..8usize), 1..20),
        scores in prop::collection::vec(prop_oneof![4 => -3.0..3.0f64, 1 => Just(f64::NAN)], 40),
        order in Just((0..8).collect::<Vec<usize>>()).prop_shuffle(),
    ) {
        prop_assume!(pairs.iter().any(|(s, t)| s != t));
        let list: String = pairs.iter().map(|(s, t)| format!("G{s},G{t}\n")).collect();
        let sources = Panel::new((0..5).map(|g| format!("G{g}"))).unwrap();
        let targets = |order: &[usize]| Panel::new(order.iter().map(|g| format!("G{g}"))).unwrap();
        let judge = |order: &[usize], scale: fn(f64) -> f64| {
            let universe = universe(&list, &sources, &targets(order));
            let table = Array2::from_shape_fn((universe.tfs().len(), 8), |(s, t)| {
                let source: usize = universe.tfs().gene(s).as_str()[1..].parse().unwrap();
                scale(scores[source * 8 + order[t]])
            });
            recovery_of_scores(table.view(), &universe, &[1, 3]).unwrap()
        };
        let base = judge(&(0..8).collect::<Vec<_>>(), |x| x);
        let moved = judge(&order, |x| x.powi(3) + 7.0);
        prop_assert_eq!(base.auroc.clone(), moved.auroc);
        prop_assert_eq!(base.average_precision, moved.average_precision);
        prop_assert_eq!(base.top_k, moved.top_k);
        if let (Ok(auroc), Ok(turned)) = (base.auroc, judge(&order, |x| -x).auroc) {
            prop_assert!((auroc + turned - 1.0).abs() < AUROC);
        }
    }

    #[test]
    fn candidates_are_sources_with_an_edge_times_other_targets(
        pairs in prop::collection::vec((0..9usize, 0..9usize), 1..30),
    ) {
        let list: String = pairs.iter().map(|(s, t)| format!("G{s},G{t}\n")).collect();
        let genes = Panel::new((0..6).map(|g| format!("G{g}"))).unwrap();
        let Ok(universe) = CandidateUniverse::new(&network(&list), &genes, &genes, GeneNames::default()) else {
            prop_assert!(pairs.iter().all(|&(s, t)| s >= 6 && t >= 6));
            return Ok(());
        };
        let inside: std::collections::BTreeSet<_> =
            pairs.iter().filter(|&&(s, t)| s < 6 && t < 6 && s != t).collect();
        let tfs: std::collections::BTreeSet<_> = inside.iter().map(|(s, _)| s).collect();
        prop_assert_eq!(universe.n_positives(), inside.len());
        prop_assert_eq!(universe.n_candidates(), tfs.len() * 5);
    }
}
