//! Within-perturbation AUROCs against scikit-learn, and by planted worlds.

use ndarray::Array2;
use proptest::prelude::*;
use rand::RngExt;
use scfm_core::{Panel, Responses, Seeds};
use scfm_perturb::{EdgeScores, Error, Evaluable, EvaluationParams, perturbation_first};
use scfm_stats::Undefined;
use serde::Deserialize;

/// Agreement of AUROCs that the project promises.
const AUROC: f64 = 1e-12;
/// Relative agreement of p-values that the project promises.
const P_VALUES: f64 = 1e-9;

#[derive(Deserialize)]
struct Golden {
    positive: Vec<Vec<bool>>,
    attention: Vec<Vec<Option<f64>>>,
    correlation: Vec<Vec<Option<f64>>>,
    rows: Vec<usize>,
    auroc_attention: Vec<f64>,
    auroc_correlation: Vec<f64>,
    naive_t: Naive,
    naive_wilcoxon_p: f64,
}

#[derive(Deserialize)]
struct Naive {
    statistic: f64,
    p: f64,
}

/// Perturbed genes are the first genes of the panel.
fn responses(positive: Array2<bool>) -> Responses {
    let genes = |n: usize| Panel::new((0..n).map(|g| format!("G{g}"))).unwrap();
    let (n_perturbed, n_genes) = positive.dim();
    Responses::new(genes(n_perturbed), genes(n_genes), positive).unwrap()
}

fn array(rows: &[Vec<Option<f64>>]) -> Array2<f64> {
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| {
        rows[i][j].unwrap_or(f64::NAN)
    })
}

fn params() -> EvaluationParams {
    EvaluationParams {
        n_bootstrap: 500,
        ..EvaluationParams::default()
    }
}

#[test]
fn agrees_with_scikit_learn_and_scipy() {
    let golden: Golden = serde_json::from_str(include_str!("golden/evaluation.json")).unwrap();
    let (n_perturbed, n_genes) = (golden.positive.len(), golden.positive[0].len());
    let positive = Array2::from_shape_fn((n_perturbed, n_genes), |(i, j)| golden.positive[i][j]);
    let (attention, correlation) = (array(&golden.attention), array(&golden.correlation));
    let scores = EdgeScores {
        attention: attention.view(),
        correlation: correlation.view(),
        codetection: None,
    };
    let result = perturbation_first(scores, &responses(positive), params(), Seeds::new(0), "test").unwrap();

    let names: Vec<_> = golden.rows.iter().map(|row| format!("G{row}")).collect();
    let column = result.per_perturbation.column("perturbation").unwrap();
    assert_eq!(
        (0..result.n_evaluable)
            .map(|i| column.display(i))
            .collect::<Vec<_>>(),
        names
    );
    let close = |found: &[f64], expected: &[f64]| {
        assert_eq!(found.len(), expected.len());
        found.iter().zip(expected).all(|(f, e)| (f - e).abs() < AUROC)
    };
    assert!(close(&result.attention.per_perturbation, &golden.auroc_attention));
    assert!(close(
        &result.correlation.per_perturbation,
        &golden.auroc_correlation
    ));

    let t = result.attention.naive_t.unwrap();
    assert!((t.statistic / golden.naive_t.statistic - 1.0).abs() < P_VALUES);
    assert!((t.p.p() / golden.naive_t.p - 1.0).abs() < P_VALUES);
    let w = result.difference.naive_wilcoxon.unwrap();
    assert!((w.p.p() / golden.naive_wilcoxon_p - 1.0).abs() < P_VALUES);
    assert!(
        matches!(result.attention.crossed, Err(Undefined::NotDecidable { .. })),
        "seven perturbations decide nothing: {:?}",
        result.attention.crossed
    );
    let reasons: Vec<_> = result
        .ledger
        .steps()
        .iter()
        .map(|s| (s.reason.as_str(), s.count, s.examples.clone()))
        .collect();
    assert_eq!(
        reasons[0],
        ("perturbed gene has no score", 1, vec!["G7".to_owned()])
    );
    assert_eq!(reasons[1], ("fewer than 3 positives", 1, vec!["G4".to_owned()]));
    assert_eq!((reasons[2].0, reasons[2].1), ("kept", 7));
}

/// A world in which the score is a standard uniform number plus `signal` at positives.
fn world(n_perturbed: usize, n_genes: usize, signal: f64, seed: u64) -> (Array2<bool>, Array2<f64>) {
    let mut rng = Seeds::new(seed).stream("test", "world", 0);
    let positive = Array2::from_shape_fn((n_perturbed, n_genes), |_| rng.random_bool(0.1));
    let scores = positive.mapv(|p| rng.random::<f64>() + if p { signal } else { 0.0 });
    (positive, scores)
}

#[test]
fn a_planted_signal_is_found_where_it_is() {
    let (positive, attention) = world(40, 200, 0.3, 1);
    let (_, noise) = world(40, 200, 0.0, 2);
    let scores = EdgeScores {
        attention: attention.view(),
        correlation: noise.view(),
        codetection: Some(noise.view()),
    };
    let result = perturbation_first(scores, &responses(positive), params(), Seeds::new(0), "test").unwrap();
    // P(U + 0.3 > V) of two uniform numbers is 1 - 0.7²/2.
    let expected = 0.755;
    let attention = result.attention.crossed.unwrap();
    assert!((attention.mean - expected).abs() < 0.02, "{}", attention.mean);
    assert!(attention.test.p.p() < 1e-6);
    let noise = result.correlation.crossed.unwrap();
    assert!(
        (noise.mean - 0.5).abs() < 4.0 * noise.standard_error,
        "{}",
        noise.mean
    );
    let difference = result.difference.crossed.unwrap();
    assert!((difference.mean - (attention.mean - noise.mean)).abs() < AUROC);
    assert!(difference.test.p.p() < 1e-6);
    assert!(result.attention.bootstrap.unwrap().contains(attention.mean));
    assert_eq!(
        result.codetection.unwrap().mean.unwrap(),
        result.correlation.mean.unwrap(),
        "the same scores in both places"
    );
}

#[test]
fn correlation_is_ranked_by_magnitude() {
    let (positive, scores) = world(30, 100, 0.5, 3);
    let mut rng = Seeds::new(4).stream("test", "signs", 0);
    let signed = scores.mapv(|s| if rng.random_bool(0.5) { s } else { -s });
    let run = |correlation: &Array2<f64>| {
        let scores = EdgeScores {
            attention: scores.view(),
            correlation: correlation.view(),
            codetection: None,
        };
        perturbation_first(
            scores,
            &responses(positive.clone()),
            params(),
            Seeds::new(0),
            "test",
        )
        .unwrap()
    };
    let (with_signs, without) = (run(&signed), run(&scores));
    assert_eq!(
        with_signs.correlation.per_perturbation,
        without.correlation.per_perturbation
    );
    assert_eq!(with_signs.difference.mean, Ok(0.0));
}

#[test]
fn one_score_for_all_is_half_and_no_perturbation_is_undefined() {
    let (positive, _) = world(25, 100, 0.0, 5);
    let constant = Array2::zeros(positive.dim());
    let nothing = Array2::from_elem(positive.dim(), f64::NAN);
    let run = |scores: &Array2<f64>| {
        let scores = EdgeScores {
            attention: scores.view(),
            correlation: scores.view(),
            codetection: None,
        };
        perturbation_first(
            scores,
            &responses(positive.clone()),
            params(),
            Seeds::new(0),
            "test",
        )
        .unwrap()
    };
    assert_eq!(run(&constant).attention.mean, Ok(0.5));
    let empty = run(&nothing);
    assert_eq!(empty.n_evaluable, 0);
    assert!(matches!(
        empty.attention.mean,
        Err(Undefined::TooFew { n: 0, .. })
    ));
    assert!(matches!(
        empty.difference.crossed,
        Err(Undefined::TooFew { n: 0, .. })
    ));
}

#[test]
fn an_undefined_score_among_the_candidates_is_an_error() {
    let (positive, mut scores) = world(25, 100, 0.0, 6);
    let evaluable = Evaluable::new(&responses(positive), &[scores.view()], params());
    scores.row_mut(3).fill(f64::NAN);
    assert!(matches!(
        evaluable.per_perturbation(&[("broken", scores.view())]),
        Err(Error::Stats(_))
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn order_of_genes_and_monotone_transforms_do_not_matter(
        seed in 0..1_000u64,
        order in Just((0..40).collect::<Vec<usize>>()).prop_shuffle(),
    ) {
        let (positive, scores) = world(8, 40, 0.2, seed);
        let aurocs = |positive: &Array2<bool>, scores: &Array2<f64>, targets: Vec<String>| {
            let perturbed = Panel::new((0..8).map(|g| format!("G{g}"))).unwrap();
            let responses = Responses::new(perturbed, Panel::new(targets).unwrap(), positive.clone()).unwrap();
            let evaluable = Evaluable::new(&responses, &[scores.view()], params());
            evaluable.per_perturbation(&[("x", scores.view())]).unwrap()
        };
        let base = aurocs(&positive, &scores, (0..40).map(|g| format!("G{g}")).collect());
        let moved = aurocs(
            &positive.select(ndarray::Axis(1), &order),
            &scores.select(ndarray::Axis(1), &order).mapv(|x| (3.0 * x).exp()),
            order.iter().map(|g| format!("G{g}")).collect(),
        );
        prop_assert_eq!(base, moved);
    }
}
