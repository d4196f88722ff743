//! Resampling of 1,167 paired differences, 10,000 times: what a headline interval and its test cost.
//!
//! Criterion prints elements per second; before that each call's time per draw is printed, as the number to compare
//! with a generator's own cost of about 1 ns per word.

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use scfm_stats::*;

const PAIRS: usize = 1_167;
const RESAMPLES: usize = 10_000;
const DRAWS: u64 = (PAIRS * RESAMPLES) as u64;

fn stream(index: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    rng.set_stream(index);
    rng
}

fn differences() -> Vec<f64> {
    let mut rng = stream(0);
    (0..PAIRS).map(|_| rng.random::<f64>() - 0.497).collect()
}

fn resampling(criterion: &mut Criterion) {
    let values = differences();
    let mean = |drawn: &[u64]| {
        let sum: f64 = values.iter().zip(drawn).map(|(value, &n)| value * n as f64).sum();
        Ok(sum / PAIRS as f64)
    };
    let all = PermutationLimits {
        max: RESAMPLES,
        stop_after: None,
    };
    let early = PermutationLimits {
        stop_after: Some(100),
        ..all
    };
    let flip = |limits| {
        sign_flip_test(black_box(&values), Alternative::TwoSided, limits, stream)
            .unwrap()
            .test
            .p
    };
    let calls: [(&str, &dyn Fn()); 4] = [
        ("bootstrap_mean", &|| {
            black_box(bootstrap_mean(black_box(&values), RESAMPLES, stream).unwrap());
        }),
        ("bootstrap of a mean by counts", &|| {
            black_box(bootstrap(PAIRS, RESAMPLES, mean, stream).unwrap());
        }),
        ("sign_flip_test", &|| {
            black_box(flip(all));
        }),
        ("sign_flip_test, ending early", &|| {
            black_box(flip(early));
        }),
    ];
    let mut group = criterion.benchmark_group("1,167 differences, 10,000 resamples");
    group.sample_size(20).throughput(Throughput::Elements(DRAWS));
    for (name, call) in calls {
        call();
        let start = Instant::now();
        call();
        let per_draw = start.elapsed().as_nanos() as f64 / DRAWS as f64;
        println!(
            "{name}: {per_draw:.2} ns per draw on {} threads",
            rayon::current_num_threads()
        );
        group.bench_function(name, |bencher| bencher.iter(call));
    }
    group.finish();
}

criterion_group!(benches, resampling);
criterion_main!(benches);
