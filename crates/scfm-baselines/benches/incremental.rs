//! Regressions of the size of a large screen: 1,167 perturbations × 480 candidates, 2.8 % positive.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ndarray::{Array1, Array2, Axis, Slice};
use rand::{Rng, RngExt};
use scfm_baselines::{
    IncrementalParams, LogisticRegression, ScoredCandidates, Standardisation, features, group_k_fold,
    incremental_value, spearman_edges,
};
use scfm_core::{CountMatrix, EdgeKind, EdgeMatrix, GeneTable, Layer, Panel, Responses, Seeds};
use sprs::CsMat;

const N_PERTURBED: usize = 1167;
const N_TARGETS: usize = 480;

fn normal(rng: &mut impl Rng) -> f64 {
    (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt() * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

fn screen() -> ScoredCandidates {
    let mut rng = Seeds::new(6).stream("bench", "incremental", 0);
    let name = |i| format!("G{i}");
    let perturbed = Panel::new((0..N_PERTURBED).map(name)).unwrap();
    let targets = Panel::new((N_PERTURBED..N_PERTURBED + N_TARGETS).map(name)).unwrap();
    let mut genes = GeneTable::new(Panel::new((0..N_PERTURBED + N_TARGETS).map(name)).unwrap());
    let mean = Array1::from_shape_fn(genes.panel().len(), |_| normal(&mut rng).exp());
    genes
        .insert(features::DROPOUT_RATE, mean.mapv(|m| (-m).exp()))
        .unwrap();
    genes
        .insert(features::VARIANCE, mean.mapv(|m| m * (1.0 + 0.3 * m)))
        .unwrap();
    let propensity = mean.mapv(|m| -4.2 + 0.8 * m.ln());
    genes.insert(features::MEAN, mean).unwrap();
    let mut scores = || Array2::from_shape_fn((N_PERTURBED, N_TARGETS), |_| normal(&mut rng) as f32);
    let edges = |kind, scores| EdgeMatrix::new(kind, perturbed.clone(), targets.clone(), scores).unwrap();
    let attention = edges(EdgeKind::attention(Layer(0)), scores());
    let correlation = edges(EdgeKind::Spearman, scores());
    let positive = Array2::from_shape_fn((N_PERTURBED, N_TARGETS), |(_, g)| {
        rng.random::<f64>() < 1.0 / (1.0 + (-propensity[N_PERTURBED + g]).exp())
    });
    let responses = Responses::new(perturbed, targets, positive).unwrap();
    ScoredCandidates::new(&responses, &attention, &correlation, &genes, 3, 3).unwrap()
}

/// Three sets of standardised features × 5 folds over groups, as people run them with scikit-learn.
fn dense(c: &mut Criterion) {
    let mut rng = Seeds::new(6).stream("bench", "dense", 0);
    let n = 560_000;
    let x = Array2::from_shape_fn((n, 5), |_| normal(&mut rng));
    let y: Vec<bool> = x
        .rows()
        .into_iter()
        .map(|r| rng.random::<f64>() < 1.0 / (1.0 + (4.0 - 0.5 * r[0] - 0.3 * r[1] * r[2]).exp()))
        .collect();
    let group_of = |row: usize| row * N_PERTURBED / n;
    let mut sizes = vec![0; N_PERTURBED];
    (0..n).for_each(|row| sizes[group_of(row)] += 1);
    c.bench_function("logistic, 560,000 rows, 3, 4 and 5 features, 5 folds", |b| {
        b.iter(|| {
            let fold_of = group_k_fold(&sizes, 5).unwrap();
            for n_features in [3, 4, 5] {
                for fold in 0..5 {
                    let rows: Vec<usize> = (0..n).filter(|&row| fold_of[group_of(row)] != fold).collect();
                    let x = x
                        .slice_axis(Axis(1), Slice::from(..n_features))
                        .select(Axis(0), &rows);
                    let y: Vec<bool> = rows.iter().map(|&row| y[row]).collect();
                    let standardised = Standardisation::of(x.view()).apply(x.view());
                    black_box(
                        LogisticRegression::default()
                            .fit(standardised.view(), &y)
                            .unwrap(),
                    );
                }
            }
        });
    });
}

/// The whole analysis: 2 × 4 models × 5 folds with splines of both genes, tests, intervals.
fn incremental(c: &mut Criterion) {
    let candidates = screen();
    let params = IncrementalParams {
        n_two_way: 20,
        n_over_perturbations: 1000,
        ..Default::default()
    };
    c.bench_function("incremental value, 1,167 × 480", |b| {
        b.iter(|| incremental_value(black_box(&candidates), None, &params, Seeds::new(0)).unwrap());
    });
}

/// 2,000 cells × 2,000 genes with 30 % of the counts above zero.
fn spearman(c: &mut Criterion) {
    let mut rng = Seeds::new(6).stream("bench", "spearman", 0);
    let counts = Array2::from_shape_fn((2000, 2000), |_| {
        (rng.random::<f64>() * 1.43).powi(4).floor() as f32
    });
    let panel = Panel::new((0..2000).map(|g| format!("G{g}"))).unwrap();
    let totals = counts
        .rows()
        .into_iter()
        .map(|r| f64::from(r.sum()) + 1.0)
        .collect();
    let cells = CountMatrix::new(panel.clone(), CsMat::csr_from_dense(counts.view(), 0.0), totals).unwrap();
    c.bench_function("spearman edges, 2,000 cells × 2,000 genes", |b| {
        b.iter(|| spearman_edges(black_box(&cells), &panel, &panel).unwrap());
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = dense, incremental, spearman
}
criterion_main!(benches);
