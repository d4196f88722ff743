//! How the time of a call grows with its input: the slope of log time over log size, not seconds.
//!
//! Sizes grow sixteenfold, so that n log n has a slope of about 1.1 and n² one of 2: a bound of 1.6 tells them apart on a
//! machine that does other things besides. Each size is timed as the fastest of several runs, which what else goes on
//! can only slow down, and calls are short enough to be let alone now and then; a slope that is too steep is measured again before it counts. Everything runs in one test,
//! lest the measurements disturb each other.

use std::hint::black_box;
use std::time::Instant;

use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::ThreadPoolBuilder;
use scfm_stats::*;

/// Above n log n with its caches outgrown, below n².
const NEARLY_LINEAR: f64 = 1.6;
/// Above n² with its caches outgrown, below n³.
const QUADRATIC: f64 = 2.5;

const RUNS: usize = 15;
const ATTEMPTS: usize = 4;

fn stream(index: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    rng.set_stream(index);
    rng
}

fn values(n: usize) -> Vec<f64> {
    let mut rng = stream(n as u64);
    (0..n).map(|_| rng.random()).collect()
}

/// A second vector that follows the first loosely.
fn following(values: &[f64]) -> Vec<f64> {
    let mut rng = stream(values.len() as u64 + 1);
    values.iter().map(|value| value + rng.random::<f64>()).collect()
}

fn labels(n: usize) -> Vec<bool> {
    (0..n).map(|i| i % 10 == 0).collect()
}

fn seconds(call: &dyn Fn()) -> f64 {
    (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            call();
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min)
}

/// Slope of the least-squares line through (ln size, ln time).
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let mean = |of: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(&|p| p.0), mean(&|p| p.1));
    let spread = points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>();
    points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>() / spread
}

/// The slope over 1, 4 and 16 times `smallest`; `prepare` makes the call of a size.
fn growth(smallest: usize, prepare: &dyn Fn(usize) -> Box<dyn Fn()>) -> f64 {
    let points: Vec<(f64, f64)> = [1, 4, 16]
        .map(|factor| {
            let size = smallest * factor;
            let call = prepare(size);
            call();
            ((size as f64).ln(), seconds(&call).ln())
        })
        .to_vec();
    slope(&points)
}

/// Whether the slope is at most `bound` in one of several attempts.
fn grows_within(bound: f64, smallest: usize, prepare: &dyn Fn(usize) -> Box<dyn Fn()>) -> Result<f64, f64> {
    let mut least = f64::INFINITY;
    for _ in 0..ATTEMPTS {
        least = least.min(growth(smallest, prepare));
        if least <= bound {
            return Ok(least);
        }
    }
    Err(least)
}

type Prepare = fn(usize) -> Box<dyn Fn()>;

/// A call with one or two vectors, by name.
const NEARLY_LINEAR_CALLS: [(&str, usize, Prepare); 9] = [
    ("auroc", 1_000, |n| {
        let (scores, labels) = (values(n), labels(n));
        Box::new(move || {
            black_box(auroc(&scores, &labels).unwrap());
        })
    }),
    ("average_precision", 1_000, |n| {
        let (scores, labels) = (values(n), labels(n));
        Box::new(move || {
            black_box(average_precision(&scores, &labels).unwrap());
        })
    }),
    ("spearman", 1_000, |n| {
        let a = values(n);
        let b = following(&a);
        Box::new(move || {
            black_box(spearman(&a, &b).unwrap());
        })
    }),
    ("kendall", 1_000, |n| {
        let a = values(n);
        let b = following(&a);
        Box::new(move || {
            black_box(kendall(&a, &b).unwrap());
        })
    }),
    ("wilcoxon_signed_rank", 1_000, |n| {
        let differences: Vec<f64> = values(n).iter().map(|value| value - 0.45).collect();
        Box::new(move || {
            black_box(wilcoxon_signed_rank(&differences, Zeros::Pratt).unwrap());
        })
    }),
    ("mann_whitney", 1_000, |n| {
        let (a, b) = (values(n), values(n + 1));
        Box::new(move || {
            black_box(mann_whitney(&a, &b).unwrap());
        })
    }),
    ("delong_difference", 1_000, |n| {
        let (a, labels) = (values(n), labels(n));
        let b = following(&a);
        Box::new(move || {
            black_box(delong_difference(&a, &b, &labels).unwrap());
        })
    }),
    ("bootstrap_mean", 500, |n| {
        let values = values(n);
        Box::new(move || {
            black_box(bootstrap_mean(&values, 30, stream).unwrap());
        })
    }),
    ("sign_flip_test", 1_000, |n| {
        let differences = values(n);
        let limits = PermutationLimits {
            max: 50,
            stop_after: None,
        };
        Box::new(move || {
            black_box(sign_flip_test(&differences, Alternative::Greater, limits, stream).unwrap());
        })
    }),
];

#[test]
fn time_grows_with_size_as_it_says() {
    let pool = ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        for (name, smallest, prepare) in NEARLY_LINEAR_CALLS {
            let slope = grows_within(NEARLY_LINEAR, smallest, &prepare);
            println!("{name}: {slope:?}");
            assert!(slope.is_ok(), "{name} grows with a slope of {slope:?}");
        }
        // Rows of cells: linear. Columns of genes, whose pairs are correlated: quadratic.
        let correlate = |rows: usize, columns: usize| -> Box<dyn Fn()> {
            let matrix = Array2::from_shape_vec((rows, columns), values(rows * columns)).unwrap();
            Box::new(move || {
                black_box(spearman_columns(matrix.view()));
            })
        };
        let rows = grows_within(NEARLY_LINEAR, 100, &|rows| correlate(rows, 60));
        println!("rows of spearman_columns: {rows:?}");
        assert!(rows.is_ok(), "rows of spearman_columns: {rows:?}");
        let columns = grows_within(QUADRATIC, 50, &|columns| correlate(100, columns));
        println!("columns of spearman_columns: {columns:?}");
        assert!(columns.is_ok(), "columns of spearman_columns: {columns:?}");
        // Rows and columns of a design.
        let crossed = |rows: usize, columns: usize| -> Box<dyn Fn()> {
            let scores = Array2::from_shape_vec((rows, columns), values(rows * columns)).unwrap();
            let positive = scores.mapv(|score| score * 7_919.0 % 1.0 < 0.1);
            let candidate = Array2::from_elem((rows, columns), true);
            Box::new(move || {
                let labels = LabelledGrid {
                    positive: positive.view(),
                    candidate: candidate.view(),
                };
                black_box(crossed_auroc(scores.view(), labels, &CrossedLimits::default()).unwrap());
            })
        };
        let rows = grows_within(NEARLY_LINEAR, 25, &|rows| crossed(rows, 400));
        println!("rows of crossed_auroc: {rows:?}");
        assert!(rows.is_ok(), "rows of crossed_auroc: {rows:?}");
        let columns = grows_within(NEARLY_LINEAR, 250, &|columns| crossed(25, columns));
        println!("columns of crossed_auroc: {columns:?}");
        assert!(columns.is_ok(), "columns of crossed_auroc: {columns:?}");

        // The definitions over all pairs are quadratic, and seen to be.
        let pairs: Prepare = |n| {
            let (scores, labels) = (values(n), labels(n));
            Box::new(move || {
                let mut wins = 0.0;
                for (a, _) in scores.iter().zip(&labels).filter(|(_, label)| **label) {
                    for (b, _) in scores.iter().zip(&labels).filter(|(_, label)| !**label) {
                        wins += f64::from(u8::from(a > b)) + 0.5 * f64::from(u8::from(a == b));
                    }
                }
                black_box(wins);
            })
        };
        let slope = grows_within(NEARLY_LINEAR, 500, &pairs);
        println!("all pairs: {slope:?}");
        assert!(slope.is_err(), "all pairs in {slope:?}");
        let triples: Prepare = |n| {
            let values = values(n);
            Box::new(move || {
                let mut sum = 0.0;
                for a in &values {
                    for b in &values {
                        for c in &values {
                            sum += (a - b) * c;
                        }
                    }
                }
                black_box(sum);
            })
        };
        let slope = grows_within(QUADRATIC, 15, &triples);
        println!("all triples: {slope:?}");
        assert!(slope.is_err(), "all triples in {slope:?}");
    });
}
