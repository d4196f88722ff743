//! Tests of two groups of cells, gene by gene, as a screen asks for them.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use scfm_stats::*;

const N_GENES: usize = 5_000;
const N_PERTURBATIONS: usize = 200;

/// Moments of a gene in 10 to 300 perturbed and 9,000 control cells: degrees of freedom of 9 to some 300, |t| mostly
/// below 4 and now and then above 20.
fn genes(n: usize) -> Vec<(Moments, Moments)> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut gene = || {
        let (level, spread) = (rng.random::<f64>(), 0.2 + rng.random::<f64>());
        let n = 10 + (290.0 * rng.random::<f64>()) as usize;
        let strong = if rng.random::<f64>() < 0.03 { 2.0 } else { 0.1 };
        let shift = strong * (rng.random::<f64>() - 0.5);
        let moments = |n, mean| Moments {
            n,
            mean,
            variance: spread,
        };
        (moments(n, level + shift), moments(9_000, level))
    };
    (0..n).map(|_| gene()).collect()
}

fn welch(criterion: &mut Criterion) {
    let genes = genes(N_GENES);
    let mut group = criterion.benchmark_group("Welch, 5,000 genes");
    group.bench_function("estimate", |bencher| {
        bencher.iter(|| {
            let sum = |(a, b): &(Moments, Moments)| Estimate::welch(*a, *b).unwrap().df();
            black_box(&genes).iter().map(sum).sum::<f64>()
        });
    });
    group.bench_function("t and p", |bencher| {
        bencher.iter(|| {
            let p = |(a, b): &(Moments, Moments)| {
                let shift = Estimate::welch(*a, *b).unwrap();
                shift.p(Alternative::TwoSided).unwrap().p()
            };
            black_box(&genes).iter().map(p).sum::<f64>()
        });
    });
    group.bench_function("with the interval", |bencher| {
        bencher.iter(|| {
            let p = |(a, b): &(Moments, Moments)| welch_t_from_moments(*a, *b).unwrap().p.p();
            black_box(&genes).iter().map(p).sum::<f64>()
        });
    });
    group.finish();
}

fn screen(criterion: &mut Criterion) {
    let genes = genes(N_GENES * N_PERTURBATIONS);
    let mut group = criterion.benchmark_group("a screen of 200 × 5,000");
    group.sample_size(10);
    group.bench_function("Welch p and Benjamini-Hochberg, two threads", |bencher| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        bencher.iter(|| {
            pool.install(|| {
                genes
                    .par_chunks(N_GENES)
                    .map(|genes| {
                        let p = |(a, b): &(Moments, Moments)| {
                            let shift = Estimate::welch(*a, *b).unwrap();
                            shift.p(Alternative::TwoSided).unwrap().p()
                        };
                        let p: Vec<f64> = genes.iter().map(p).collect();
                        benjamini_hochberg(&p).iter().filter(|&&q| q < 0.05).count()
                    })
                    .sum::<usize>()
            })
        });
    });
    group.finish();
}

fn ranks(criterion: &mut Criterion) {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    // 60 % zeros.
    let mut cells = |n: usize| -> SortedSample {
        let values: Vec<f64> = (0..n)
            .map(|_| match rng.random::<f64>() {
                share if share < 0.6 => 0.0,
                share => (share * 3e4).round() / 1e4,
            })
            .collect();
        SortedSample::new(&values).unwrap()
    };
    let (perturbed, control) = (cells(100), cells(10_000));
    let mut group = criterion.benchmark_group("Mann-Whitney, 100 against 10,000 cells");
    group.bench_function("U and p", |bencher| {
        bencher.iter(|| {
            let ranks = RankSum::of(black_box(&perturbed), black_box(&control)).unwrap();
            ranks.p(Alternative::TwoSided)
        });
    });
    group.bench_function("with the interval", |bencher| {
        bencher.iter(|| mann_whitney_sorted(black_box(&perturbed), black_box(&control)).unwrap());
    });
    group.finish();
}

criterion_group!(benches, welch, screen, ranks);
criterion_main!(benches);
