//! The calls that run thousands of times, at the sizes of a real screen.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use scfm_stats::*;

fn stream(index: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    rng.set_stream(index);
    rng
}

fn uniform(rows: usize, columns: usize) -> Array2<f64> {
    let mut rng = stream((rows * columns) as u64);
    Array2::from_shape_simple_fn((rows, columns), || rng.random())
}

fn ranking(criterion: &mut Criterion) {
    let scores = uniform(1, 5000).into_raw_vec_and_offset().0;
    let labels: Vec<Vec<bool>> = uniform(100, 5000)
        .outer_iter()
        .map(|row| row.iter().map(|value| *value < 0.05).collect())
        .collect();
    let mut group = criterion.benchmark_group("auroc of 5,000 scores, 100 label vectors");
    group.bench_function("sorted each time", |bencher| {
        bencher.iter(|| {
            labels
                .iter()
                .map(|labels| auroc(&scores, labels).unwrap())
                .sum::<f64>()
        });
    });
    group.bench_function("sorted once", |bencher| {
        bencher.iter(|| {
            let sorted = SortedScores::new(&scores).unwrap();
            labels
                .iter()
                .map(|labels| sorted.auroc(labels).unwrap())
                .sum::<f64>()
        });
    });
    group.finish();
}

fn two_samples(criterion: &mut Criterion) {
    // A gene in 100 perturbed and 10,000 control cells, 60 % zeros.
    let expression = |n: usize| -> Vec<f64> {
        uniform(1, n)
            .iter()
            .map(|value| {
                if *value < 0.6 {
                    0.0
                } else {
                    (value * 3e4).round() / 1e4
                }
            })
            .collect()
    };
    let (perturbed, control) = (expression(100), expression(10_000));
    let (few, many) = (
        SortedSample::new(&perturbed).unwrap(),
        SortedSample::new(&control).unwrap(),
    );
    criterion.bench_function("mann_whitney_sorted, 100 against 10,000 cells", |bencher| {
        bencher.iter(|| mann_whitney_sorted(black_box(&few), black_box(&many)).unwrap());
    });
    criterion.bench_function("mann_whitney, 100 against 10,000 cells", |bencher| {
        bencher.iter(|| mann_whitney(black_box(&perturbed), black_box(&control)).unwrap());
    });
    let (a, b) = (Moments::of(&perturbed), Moments::of(&control));
    criterion.bench_function("welch_t_from_moments", |bencher| {
        bencher.iter(|| welch_t_from_moments(black_box(a), black_box(b)).unwrap());
    });
}

fn crossed(criterion: &mut Criterion) {
    let (scores, other) = (
        uniform(280, 2000),
        uniform(280, 2000).reversed_axes().into_shape_clone((280, 2000)),
    );
    let other = other.expect("as many cells");
    let positive = uniform(280, 2000).mapv(|value| value * 7919.0 % 1.0 < 0.08);
    let candidate = Array2::from_elem((280, 2000), true);
    let labels = LabelledGrid {
        positive: positive.view(),
        candidate: candidate.view(),
    };
    let mut group = criterion.benchmark_group("280 × 2,000");
    group.sample_size(10);
    group.bench_function("crossed_difference", |bencher| {
        bencher.iter(|| {
            crossed_difference(scores.view(), other.view(), labels, &CrossedLimits::default())
                .unwrap()
                .mean
        });
    });
    group.bench_function("gene_permutation_auroc, 100 permutations", |bencher| {
        bencher.iter(|| {
            gene_permutation_auroc(scores.view(), labels, 100, stream)
                .unwrap()
                .p
        });
    });
    group.bench_function("two_way_bootstrap, 100 resamples", |bencher| {
        bencher.iter(|| {
            two_way_bootstrap(&[scores.view()], labels, 100, stream)
                .unwrap()
                .means
        });
    });
    group.finish();
}

fn matrices(criterion: &mut Criterion) {
    let (a, b) = (uniform(2000, 2000), uniform(2000, 2000).reversed_axes());
    let mut holes = a.clone();
    holes[[0, 1]] = f64::NAN;
    let mut group = criterion.benchmark_group("2,000 × 2,000");
    group.sample_size(10);
    group.bench_function("node permutation, 20 permutations and the ranking", |bencher| {
        bencher.iter(|| {
            node_permutation_spearman(a.view(), b.view(), 20, stream)
                .unwrap()
                .p
        });
    });
    group.bench_function("node permutation, 120 permutations and the ranking", |bencher| {
        bencher.iter(|| {
            node_permutation_spearman(a.view(), b.view(), 120, stream)
                .unwrap()
                .p
        });
    });
    group.bench_function("node permutation, 120 permutations, cells missing", |bencher| {
        bencher.iter(|| {
            node_permutation_spearman(holes.view(), b.view(), 120, stream)
                .unwrap()
                .p
        });
    });
    group.bench_function("spearman_columns", |bencher| {
        bencher.iter(|| spearman_columns(a.view()));
    });
    group.finish();
}

criterion_group!(benches, ranking, two_samples, crossed, matrices);
criterion_main!(benches);
