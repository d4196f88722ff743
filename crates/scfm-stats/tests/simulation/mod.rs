//! Simulated data, and what 2,000 simulations say about p-values and intervals. Seeds are fixed: a test either passes
//! always or never, and the rates named here are those at which another choice of seeds would have failed it.
//!
//! Every assertion is made twice: of the procedure, and of one broken on purpose, which must not pass.

#![allow(dead_code, reason = "each test file takes what it needs")]

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

pub(crate) const SIMULATIONS: u64 = 2_000;

/// Kolmogorov's distance that 2,000 uniform values exceed once in 10,000 times: √(ln(2 · 10⁴) / 2) / √2000.
const KOLMOGOROV: f64 = 0.0498;

/// Coverage of nominal 95 % that is asserted: four standard errors of 2,000 simulations to either side.
pub(crate) const COVERAGE: std::ops::RangeInclusive<f64> = 0.93..=0.97;

/// Stream `index` of the purpose numbered `purpose`.
pub(crate) fn stream(purpose: u64, index: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(20_260_217 + purpose);
    rng.set_stream(index);
    rng
}

pub(crate) fn normals(rng: &mut ChaCha8Rng, n: usize) -> Vec<f64> {
    StandardNormal.sample_iter(rng).take(n).collect()
}

/// Two normal vectors with correlation `rho`.
pub(crate) fn correlated(rng: &mut ChaCha8Rng, n: usize, rho: f64) -> (Vec<f64>, Vec<f64>) {
    let (a, noise) = (normals(rng, n), normals(rng, n));
    let b = mixed(&a, &noise, rho, (1.0 - rho * rho).sqrt());
    (a, b)
}

/// wa · a + wb · b.
pub(crate) fn mixed(a: &[f64], b: &[f64], wa: f64, wb: f64) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| wa * a + wb * b).collect()
}

/// Values that belong to clusters of `smallest` to `largest` observations, a share `between` of their variance being
/// shared within the cluster; their mean is 0. Returns the cluster of each value beside it.
pub(crate) fn clustered(
    rng: &mut ChaCha8Rng,
    n_clusters: usize,
    sizes: std::ops::RangeInclusive<usize>,
    between: f64,
) -> (Vec<usize>, Vec<f64>) {
    let (mut clusters, mut values) = (Vec::new(), Vec::new());
    for cluster in 0..n_clusters {
        let level = between.sqrt() * normals(rng, 1)[0];
        let size = rng.random_range(sizes.clone());
        clusters.extend(std::iter::repeat_n(cluster, size));
        values.extend(
            normals(rng, size)
                .iter()
                .map(|noise| level + (1.0 - between).sqrt() * noise),
        );
    }
    (clusters, values)
}

/// Every value `times` over: 1 for the data as they are. Copies passed off as observations make any test reject too
/// often and any interval too narrow.
pub(crate) fn copies<T: Clone>(values: &[T], times: usize) -> Vec<T> {
    values
        .iter()
        .flat_map(|value| std::iter::repeat_n(value.clone(), times))
        .collect()
}

/// One p-value per simulation, in parallel.
pub(crate) fn p_values(purpose: u64, p_value: impl Fn(&mut ChaCha8Rng) -> f64 + Sync) -> Vec<f64> {
    (0..SIMULATIONS)
        .into_par_iter()
        .map(|index| p_value(&mut stream(purpose, index)))
        .collect()
}

/// Largest distance of the empirical distribution from the uniform one.
pub(crate) fn distance(mut p: Vec<f64>) -> f64 {
    p.sort_by(f64::total_cmp);
    let n = p.len() as f64;
    p.iter()
        .enumerate()
        .map(|(i, p)| (p - i as f64 / n).max((i as f64 + 1.0) / n - p))
        .fold(0.0, f64::max)
}

/// Largest distance of the share of p-values up to one that occurs from that one: 0 but for chance where a test is
/// exact, P(p ≤ v) = v at every p-value v that it can give. Kolmogorov's bound holds for it and is wide.
fn distance_at_attained(mut p: Vec<f64>) -> f64 {
    p.sort_by(f64::total_cmp);
    let n = p.len() as f64;
    p.chunk_by(|a, b| (a - b).abs() < 1e-12)
        .scan(0, |up_to, block| {
            *up_to += block.len();
            Some((*up_to as f64 / n - block[0]).abs())
        })
        .fold(0.0, f64::max)
}

/// Asserts that p-values of a test with a continuous statistic are uniform. `p_value` is given the data's number of
/// copies: 2 is the broken variant.
pub(crate) fn assert_uniform(
    name: &str,
    purpose: u64,
    p_value: impl Fn(&mut ChaCha8Rng, usize) -> f64 + Sync,
) {
    assert_uniform_unlike(name, purpose, |rng| p_value(rng, 1), |rng| p_value(rng, 2));
}

/// Asserts that the p-values of `valid` are uniform and those of `broken` are not.
pub(crate) fn assert_uniform_unlike(
    name: &str,
    purpose: u64,
    valid: impl Fn(&mut ChaCha8Rng) -> f64 + Sync,
    broken: impl Fn(&mut ChaCha8Rng) -> f64 + Sync,
) {
    let [valid, broken] = [
        distance(p_values(purpose, valid)),
        distance(p_values(purpose, broken)),
    ];
    assert!(valid < KOLMOGOROV, "{name}: {valid}");
    assert!(broken > KOLMOGOROV, "{name}, broken, passes: {broken}");
}

/// As [`assert_uniform`] for a test whose p-values take few values: at each of them P(p ≤ v) = v.
pub(crate) fn assert_exact(name: &str, purpose: u64, p_value: impl Fn(&mut ChaCha8Rng, usize) -> f64 + Sync) {
    let [valid, broken] =
        [1, 2].map(|copies| distance_at_attained(p_values(purpose, |rng| p_value(rng, copies))));
    assert!(valid < KOLMOGOROV, "{name}: {valid}");
    assert!(broken > KOLMOGOROV, "{name}, broken, passes: {broken}");
}

/// Share of the simulations in which `holds`.
pub(crate) fn share(purpose: u64, holds: impl Fn(&mut ChaCha8Rng) -> bool + Sync) -> f64 {
    let held = (0..SIMULATIONS)
        .into_par_iter()
        .filter(|&index| holds(&mut stream(purpose, index)))
        .count();
    held as f64 / SIMULATIONS as f64
}

/// Asserts that an interval of 95 % covers the truth in 93 to 97 % of the simulations; `holds` is given the data's
/// number of copies, and with 2 of them it must not.
pub(crate) fn assert_covers(name: &str, purpose: u64, holds: impl Fn(&mut ChaCha8Rng, usize) -> bool + Sync) {
    assert_covers_unlike(name, purpose, |rng| holds(rng, 1), |rng| holds(rng, 2));
}

/// Asserts that the interval of `valid` covers the truth in 93 to 97 % of the simulations, and that of `broken` less
/// often.
pub(crate) fn assert_covers_unlike(
    name: &str,
    purpose: u64,
    valid: impl Fn(&mut ChaCha8Rng) -> bool + Sync,
    broken: impl Fn(&mut ChaCha8Rng) -> bool + Sync,
) {
    let [valid, broken] = [share(purpose, valid), share(purpose, broken)];
    assert!(COVERAGE.contains(&valid), "{name}: {valid}");
    assert!(broken < *COVERAGE.start(), "{name}, broken, passes: {broken}");
}
