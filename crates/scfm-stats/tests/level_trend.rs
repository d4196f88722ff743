//! A trend over samples that share their nodes.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use scfm_stats::{Error, Undefined, level_trend, spearman};

fn stream(seed: u64) -> impl Fn(u64) -> ChaCha8Rng {
    move |index| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(index + 1);
        rng
    }
}

/// Levels of three samples each, in order.
fn levels(n: usize) -> (Vec<Vec<usize>>, Vec<f64>) {
    let levels: Vec<Vec<usize>> = (0..n).map(|level| (3 * level..3 * level + 3).collect()).collect();
    let x = (0..3 * n).map(|sample| (sample / 3) as f64).collect();
    (levels, x)
}

/// What every node says in every sample: an effect of its own that all samples share, one of node and sample, and a slope.
fn node_values(slope: f64, n_nodes: usize, n_samples: usize, rng: &mut ChaCha8Rng) -> Vec<Vec<f64>> {
    let own: Vec<f64> = (0..n_nodes).map(|_| rng.random_range(-1.0..1.0)).collect();
    // Some nodes rise along the levels and others fall, by chance: without a slope of all, that is no trend.
    let slopes: Vec<f64> = (0..n_nodes)
        .map(|_| slope + rng.random_range(-0.5..0.5))
        .collect();
    (0..n_samples)
        .map(|sample| {
            let level = (sample / 3) as f64;
            let value = |node: usize| own[node] + slopes[node] * level + 0.2 * rng.random_range(-1.0..1.0);
            (0..n_nodes).map(value).collect()
        })
        .collect()
}

fn weighted_mean(values: &[f64], weights: &[u64]) -> f64 {
    let sum: f64 = values.iter().zip(weights).map(|(x, &w)| x * w as f64).sum();
    sum / weights.iter().sum::<u64>() as f64
}

#[test]
fn the_effect_is_spearmans_over_all_samples() {
    let (levels, x) = levels(4);
    let values = node_values(0.1, 20, 12, &mut ChaCha8Rng::seed_from_u64(3));
    let found = level_trend(
        20,
        &x,
        &levels,
        |at, w| weighted_mean(&values[at], w),
        99,
        stream(1),
    )
    .unwrap();
    let means: Vec<f64> = values
        .iter()
        .map(|values| weighted_mean(values, &[1; 20]))
        .collect();
    assert!((found.effect - spearman(&means, &x).unwrap().effect).abs() < 1e-12);
    assert_eq!(found.n, 12);
}

#[test]
fn trends_of_chance_are_rejected_at_the_level_where_samples_taken_as_independent_are_not() {
    let worlds = 200;
    let (levels, x) = levels(5);
    let (mut resampled, mut naive, mut seen) = (0, 0, 0);
    for world in 0..worlds {
        let rng = &mut ChaCha8Rng::seed_from_u64(100 + world);
        let null = node_values(0.0, 30, 15, rng);
        let measure = |at: usize, w: &[u64]| weighted_mean(&null[at], w);
        let found = level_trend(30, &x, &levels, measure, 199, stream(world)).unwrap();
        resampled += usize::from(found.p.p() <= 0.05);
        let means: Vec<f64> = null
            .iter()
            .map(|values| weighted_mean(values, &[1; 30]))
            .collect();
        naive += usize::from(spearman(&means, &x).unwrap().p.p() <= 0.05);
        let rising = node_values(0.3, 30, 15, rng);
        let measure = |at: usize, w: &[u64]| weighted_mean(&rising[at], w);
        let found = level_trend(30, &x, &levels, measure, 199, stream(world)).unwrap();
        seen += usize::from(found.p.p() <= 0.05 && found.effect > 0.0);
    }
    // A true rate of 5 % gives more than 20 of 200 once in a thousand.
    assert!(resampled <= 20, "{resampled}");
    assert!(naive > 100, "{naive}");
    assert!(seen > 180, "{seen}");
}

#[test]
fn degenerate_input_has_a_reason() {
    let constant = |_: usize, _: &[u64]| 1.0;
    let (two, x) = levels(2);
    let error = level_trend(5, &x, &two, constant, 9, stream(0)).unwrap_err();
    assert!(
        matches!(error, Error::Undefined(Undefined::TooFew { n: 2, .. })),
        "{error}"
    );
    let (three, x) = levels(3);
    let error = level_trend(5, &x, &three, constant, 9, stream(0)).unwrap_err();
    assert!(
        matches!(error, Error::Undefined(Undefined::Constant { .. })),
        "{error}"
    );
    let error = level_trend(5, &x, &three, constant, 0, stream(0)).unwrap_err();
    assert!(matches!(error, Error::OutOfRange { .. }), "{error}");
}
