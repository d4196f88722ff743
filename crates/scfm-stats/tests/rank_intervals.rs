//! The intervals beside rank tests of pairs and trends hold the truth about as often as they say.

use libm::erf;
use ndarray::Array2;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use scfm_stats::*;

const WORLDS: u64 = 1_200;
/// 95 % less three and a half standard errors of the simulation and what the approximation lacks in small samples.
const LEAST: f64 = 0.92;
/// Above this an interval tells less than it could.
const MOST: f64 = 0.985;

fn normals(rng: &mut ChaCha8Rng, n: usize, mean: f64) -> Vec<f64> {
    let draw = |_| Distribution::<f64>::sample(&StandardNormal, rng) + mean;
    (0..n).map(draw).collect()
}

/// Share of the worlds whose interval holds the truth, of those that have one; nearly all must.
fn coverage(truth: f64, test: impl Fn(&mut ChaCha8Rng) -> TestResult) -> f64 {
    let (mut held, mut n) = (0.0, 0.0);
    for world in 0..WORLDS {
        let mut rng = ChaCha8Rng::seed_from_u64(23);
        rng.set_stream(world);
        if let Some(interval) = test(&mut rng).ci {
            n += 1.0;
            held += f64::from(u8::from(interval.contains(truth)));
        }
    }
    assert!(n > 0.99 * WORLDS as f64, "{n} intervals");
    held / n
}

fn holds(what: &str, coverage: f64) {
    assert!((LEAST..=MOST).contains(&coverage), "{what}: {coverage}");
}

#[test]
fn of_signed_ranks() {
    for (n, shift) in [(15, 0.0), (15, 0.3), (40, 0.0), (40, 0.5), (150, 0.8)] {
        // Two normal differences of mean µ have a positive sum with probability Φ(√2 µ).
        let of_pairs = coverage(erf(shift), |rng| {
            wilcoxon_signed_rank(&normals(rng, n, shift), Zeros::Drop).unwrap()
        });
        holds(&format!("{n} differences, shift {shift}"), of_pairs);
    }
}

#[test]
fn of_trends_over_groups() {
    for (sizes, slope) in [
        ([8, 5, 10], 0.0),
        ([8, 5, 10], 0.5),
        ([30, 30, 30], 0.8),
        ([60, 4, 20], 0.3),
    ] {
        let pairs = [(0, 1), (0, 2), (1, 2)].map(|(i, j)| {
            let weight = (sizes[i] * sizes[j]) as f64;
            (weight, weight * erf(slope * (j - i) as f64 / 2.0))
        });
        let sum = |pick: fn(&(f64, f64)) -> f64| pairs.iter().map(pick).sum::<f64>();
        let of_groups = coverage(sum(|pair| pair.1) / sum(|pair| pair.0), |rng| {
            let groups = [0, 1, 2].map(|i| normals(rng, sizes[i], slope * i as f64));
            jonckheere_terpstra(&groups.each_ref().map(Vec::as_slice)).unwrap()
        });
        holds(&format!("groups of {sizes:?}, slope {slope}"), of_groups);
    }
}

#[test]
fn of_trends_within_rows() {
    let rows = |rng: &mut ChaCha8Rng, n: usize, slope: f64| {
        let noise = normals(rng, 5 * n, 0.0);
        Array2::from_shape_fn((n, 5), |(row, column)| {
            noise[5 * row + column] + slope * column as f64
        })
    };
    for (n, slope) in [(8, 0.0), (8, 0.3), (30, 0.6)] {
        let mut rng = ChaCha8Rng::seed_from_u64(24);
        let truth = page_trend(rows(&mut rng, 40_000, slope).view()).unwrap().effect;
        let of_rows = coverage(truth, |rng| page_trend(rows(rng, n, slope).view()).unwrap());
        holds(&format!("{n} rows, slope {slope}"), of_rows);
    }
}
