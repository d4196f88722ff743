//! Agreement with scikit-learn, scipy, patsy and numpy on values that `golden/generate.py` wrote.

use ndarray::{Array1, Array2, ArrayView1, Axis};
use scfm_baselines::{
    LogisticRegression, NaturalSpline, Standardisation, features, gene_features, group_k_fold, spearman_edges,
};
use scfm_core::{CountMatrix, Panel};
use serde::Deserialize;
use sprs::CsMat;

/// Both sides solve a strictly convex problem to machine precision; the nearly separable case with C = 1e4 is the
/// worst conditioned.
const COEFFICIENTS: f64 = 1e-6;
/// Small well-conditioned linear systems in f64, relative to values of order 10.
const SPLINES: f64 = 1e-11;
/// Sums of a few dozen numbers of order 10.
const MOMENTS: f64 = 1e-12;
/// Edge scores are stored as f32.
const STORED: f64 = 1e-7;

#[derive(Deserialize)]
struct Golden {
    logistic: Vec<Logistic>,
    folds: Vec<Folds>,
    splines: Splines,
    cells: Cells,
}

#[derive(Deserialize)]
struct Logistic {
    c: f64,
    repeat: usize,
    x: Vec<Vec<f64>>,
    y: Vec<bool>,
    intercept: f64,
    coefficients: Vec<f64>,
    log_odds: Vec<f64>,
}

#[derive(Deserialize)]
struct Folds {
    group_sizes: Vec<usize>,
    n_folds: usize,
    fold_sizes: Vec<usize>,
}

#[derive(Deserialize)]
struct Splines {
    cases: Vec<Spline>,
    quantiles: Quantiles,
}

#[derive(Deserialize)]
struct Spline {
    knots: Vec<f64>,
    x: Vec<f64>,
    basis: Vec<Vec<f64>>,
    outside: Vec<f64>,
    basis_outside: Vec<Vec<f64>>,
    patsy: Option<Vec<Vec<f64>>>,
}

#[derive(Deserialize)]
struct Quantiles {
    values: Vec<f64>,
    df: usize,
    knots: Vec<f64>,
}

#[derive(Deserialize)]
struct Cells {
    counts: Vec<Vec<f32>>,
    totals: Vec<f64>,
    mean: Vec<f64>,
    variance: Vec<f64>,
    detection: Vec<f64>,
    spearman: Vec<Vec<Option<f64>>>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/golden.json")).unwrap()
}

fn matrix(rows: &[Vec<f64>]) -> Array2<f64> {
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| rows[i][j])
}

#[track_caller]
fn assert_close<'a>(
    found: impl IntoIterator<Item = &'a f64>,
    expected: impl IntoIterator<Item = &'a f64>,
    tolerance: f64,
) {
    let (found, expected): (Vec<_>, Vec<_>) = (found.into_iter().collect(), expected.into_iter().collect());
    assert_eq!(found.len(), expected.len());
    for (i, (f, e)) in found.iter().zip(&expected).enumerate() {
        assert!(
            (*f - *e).abs() <= tolerance * (1.0 + e.abs()),
            "value {i}: found {f}, expected {e}"
        );
    }
}

#[test]
fn logistic_regression_is_that_of_scikit_learn() {
    for case in golden().logistic {
        let x = matrix(&case.x);
        let all = ndarray::concatenate(Axis(0), &vec![x.view(); case.repeat]).unwrap();
        let y = case.y.repeat(case.repeat);
        let standardised = Standardisation::of(all.view()).apply(all.view());
        let fitted = LogisticRegression::new(case.c)
            .unwrap()
            .fit(standardised.view(), &y)
            .unwrap();
        assert_close([&fitted.intercept], [&case.intercept], COEFFICIENTS);
        assert_close(&fitted.coefficients, &case.coefficients, COEFFICIENTS);
        let log_odds = fitted.log_odds(standardised.view()).to_vec();
        assert_close(&log_odds[..case.log_odds.len()], &case.log_odds, COEFFICIENTS);
    }
}

#[test]
fn fold_sizes_are_those_of_scikit_learn() {
    for case in golden().folds {
        let fold_of = group_k_fold(&case.group_sizes, case.n_folds).unwrap();
        let mut sizes = vec![0; case.n_folds];
        for (fold, size) in fold_of.into_iter().zip(&case.group_sizes) {
            sizes[fold] += size;
        }
        assert_eq!(sizes, case.fold_sizes, "groups of {:?}", case.group_sizes);
    }
}

#[test]
fn splines_are_those_of_scipy_and_patsy_also_outside_their_knots() {
    for case in golden().splines.cases {
        let spline = NaturalSpline::new(case.knots).unwrap();
        let inside = spline.basis(ArrayView1::from(&case.x));
        let outside = spline.basis(ArrayView1::from(&case.outside));
        assert_close(&inside, &matrix(&case.basis), SPLINES);
        assert_close(&outside, &matrix(&case.basis_outside), SPLINES);
        if let Some(patsy) = case.patsy {
            let found = ndarray::concatenate![Axis(0), inside, outside];
            assert_close(&found, &matrix(&patsy), SPLINES);
        }
    }
}

#[test]
fn knots_stand_at_the_quantiles_of_numpy() {
    let case = golden().splines.quantiles;
    let spline = NaturalSpline::at_quantiles(ArrayView1::from(&case.values), case.df).unwrap();
    assert_close(spline.knots(), &case.knots, MOMENTS);
    assert_eq!(
        spline.columns(ArrayView1::from(&case.values)).dim(),
        (case.values.len(), case.df)
    );
}

#[test]
fn features_and_correlations_are_those_of_numpy_and_scipy() {
    let Cells {
        counts,
        totals,
        mean,
        variance,
        detection,
        spearman,
    } = golden().cells;
    let panel = Panel::new((0..mean.len()).map(|g| format!("G{g}"))).unwrap();
    let dense = Array2::from_shape_fn((counts.len(), mean.len()), |(c, g)| counts[c][g]);
    let cells = CountMatrix::new(panel.clone(), CsMat::csr_from_dense(dense.view(), 0.0), totals).unwrap();

    let table = gene_features(&cells).unwrap();
    let feature = |name| table.feature(name).unwrap().to_vec();
    assert_close(&feature(features::MEAN), &mean, MOMENTS);
    assert_close(&feature(features::VARIANCE), &variance, MOMENTS);
    assert_close(&feature(features::DETECTION), &detection, MOMENTS);
    let dropout_rate: Array1<f64> = detection.iter().map(|d| 1.0 - d).collect();
    assert_close(&feature(features::DROPOUT_RATE), &dropout_rate, MOMENTS);

    let edges = spearman_edges(&cells, &panel, &panel).unwrap();
    for ((s, t), &found) in edges.scores().indexed_iter() {
        match spearman[s][t] {
            Some(rho) => assert!(
                (f64::from(found) - rho).abs() <= STORED,
                "{found} at {s}, {t}, expected {rho}"
            ),
            None => assert!(found.is_nan()),
        }
    }
}
