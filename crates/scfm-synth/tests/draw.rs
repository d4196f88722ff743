//! Every sampler against the distribution it claims, at fixed seeds.

use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use scfm_synth::draw;
use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, Gamma, NegativeBinomial, Normal, Poisson};

const N_DRAWS: usize = 40_000;

/// Kolmogorov's bound at a level of 0.001: a sampler that is right passes it with 999 seeds of 1,000, and the seeds
/// are fixed.
const KOLMOGOROV: f64 = 1.95;

fn draws(seed: u64, mut draw: impl FnMut(&mut ChaCha8Rng) -> f64) -> Vec<f64> {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let mut values: Vec<f64> = (0..N_DRAWS).map(|_| draw(rng)).collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// Largest distance between the empirical and the claimed distribution function, in units of 1/√n. For whole
/// numbers both are compared at the numbers themselves, where the bound is conservative.
fn distance(sorted: &[f64], cdf: impl Fn(f64) -> f64, discrete: bool) -> f64 {
    let n = sorted.len() as f64;
    let mut largest: f64 = 0.0;
    for (i, &x) in sorted.iter().enumerate() {
        let last_of_ties = i + 1 == sorted.len() || sorted[i + 1] != x;
        if last_of_ties {
            largest = largest.max(((i + 1) as f64 / n - cdf(x)).abs());
        }
        if !discrete {
            largest = largest.max((i as f64 / n - cdf(x)).abs());
        }
    }
    largest * n.sqrt()
}

fn mean_and_variance(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (
        mean,
        values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0),
    )
}

#[test]
fn uniform_numbers_fill_the_open_interval() {
    let values = draws(1, draw::uniform);
    assert!(values[0] > 0.0 && values[N_DRAWS - 1] < 1.0);
    assert!(distance(&values, |x| x, false) < KOLMOGOROV);
}

#[test]
fn normal_numbers_follow_the_normal_distribution() {
    let normal = Normal::new(0.0, 1.0).unwrap();
    let values = draws(2, draw::normal);
    assert!(distance(&values, |x| normal.cdf(x), false) < KOLMOGOROV);
}

#[test]
fn gamma_numbers_follow_the_gamma_distribution_below_and_above_shape_one() {
    for shape in [0.2, 0.7, 1.0, 4.5, 120.0] {
        let gamma = Gamma::new(shape, 1.0).unwrap();
        let values = draws(3, |rng| draw::gamma(rng, shape));
        let distance = distance(&values, |x| gamma.cdf(x), false);
        assert!(distance < KOLMOGOROV, "shape {shape}: {distance}");
    }
}

#[test]
fn poisson_counts_follow_the_poisson_distribution_on_both_sides_of_the_change_of_method() {
    for mean in [0.05, 1.3, 9.999, 10.0, 47.0, 3_000.0] {
        let poisson = Poisson::new(mean).unwrap();
        let values = draws(4, |rng| draw::poisson(rng, mean));
        let distance = distance(&values, |x| poisson.cdf(x as u64), true);
        assert!(distance < KOLMOGOROV, "mean {mean}: {distance}");
    }
}

#[test]
fn negative_binomial_counts_have_the_mean_the_dispersion_and_the_distribution_asked_for() {
    for (mean, dispersion) in [(0.4, 2.0), (6.0, 0.3), (80.0, 0.1)] {
        let size = 1.0 / dispersion;
        let claimed = NegativeBinomial::new(size, size / (size + mean)).unwrap();
        let values = draws(5, |rng| draw::negative_binomial(rng, mean, dispersion));
        let distance = distance(&values, |x| claimed.cdf(x as u64), true);
        assert!(
            distance < KOLMOGOROV,
            "mean {mean}, dispersion {dispersion}: {distance}"
        );

        let expected = mean + dispersion * mean * mean;
        let (found_mean, found) = mean_and_variance(&values);
        // Five standard errors of a mean; a variance of so many draws is known to a few per cent.
        assert!((found_mean - mean).abs() < 5.0 * (expected / N_DRAWS as f64).sqrt());
        assert!((found / expected - 1.0).abs() < 0.06, "{found} for {expected}");
    }
}

#[test]
fn geometric_numbers_follow_the_geometric_distribution() {
    for mean in [0.05, 1.0, 30.0] {
        let values = draws(10, |rng| draw::geometric(rng, mean));
        let ln_more = f64::ln(mean / (1.0 + mean));
        let distance = distance(&values, |x| 1.0 - f64::exp((x + 1.0) * ln_more), true);
        assert!(distance < KOLMOGOROV, "mean {mean}: {distance}");
    }
    assert!(
        draws(10, |rng| draw::geometric(rng, 0.0))
            .iter()
            .all(|&x| x == 0.0)
    );
}

#[test]
fn binomial_counts_follow_the_binomial_distribution_on_both_sides_of_the_change_of_method() {
    for (n, p) in [
        (5, 0.3),
        (40, 0.02),
        (20, 0.499),
        (20, 0.5),
        (300, 0.8),
        (5_000, 0.1),
        (30, 0.95),
    ] {
        let binomial = Binomial::new(p, n).unwrap();
        let values = draws(12, |rng| draw::binomial(rng, n as f64, p));
        let distance = distance(&values, |x| binomial.cdf(x as u64), true);
        assert!(distance < KOLMOGOROV, "{n} events of {p}: {distance}");
    }
    let rng = &mut ChaCha8Rng::seed_from_u64(0);
    let [none, of_none, all] = [(7.0, 0.0), (0.0, 0.4), (7.0, 1.0)].map(|(n, p)| draw::binomial(rng, n, p));
    assert_eq!((none, of_none, all), (0.0, 0.0, 7.0));
}

#[test]
fn a_mean_of_zero_gives_no_count_and_a_dispersion_of_zero_is_poisson() {
    let rng = &mut ChaCha8Rng::seed_from_u64(0);
    assert_eq!(draw::poisson(rng, 0.0), 0.0);
    assert_eq!(draw::negative_binomial(rng, 0.0, 0.5), 0.0);
    let poisson = draws(6, |rng| draw::poisson(rng, 3.0));
    assert_eq!(draws(6, |rng| draw::negative_binomial(rng, 3.0, 0.0)), poisson);
}

#[test]
fn categories_come_in_proportion_to_their_weights() {
    let rng = &mut ChaCha8Rng::seed_from_u64(7);
    let mut seen = [0.0; 4];
    (0..N_DRAWS).for_each(|_| seen[draw::category(rng, &[1.0, 0.0, 3.0, 0.0])] += 1.0);
    assert_eq!((seen[1], seen[3]), (0.0, 0.0));
    let standard_error = (0.25 * 0.75 / N_DRAWS as f64).sqrt();
    assert!((seen[0] / N_DRAWS as f64 - 0.25).abs() < 4.0 * standard_error);
}

#[test]
fn weighted_samples_follow_the_probabilities_of_successive_drawing() {
    let weights = [1.0, 2.0, 0.0, 5.0];
    let rng = &mut ChaCha8Rng::seed_from_u64(8);
    let mut seen = [[0.0; 4]; 4];
    for _ in 0..N_DRAWS {
        let sample = draw::weighted_sample(rng, &weights, 2);
        seen[sample[0]][sample[1]] += 1.0 / N_DRAWS as f64;
    }
    for first in 0..4 {
        for second in 0..4 {
            let expected = if first == second {
                0.0
            } else {
                weights[first] / 8.0 * weights[second] / (8.0 - weights[first])
            };
            let standard_error = (expected * (1.0 - expected) / N_DRAWS as f64).sqrt();
            assert!(
                (seen[first][second] - expected).abs() <= 4.0 * standard_error,
                "{first} then {second}"
            );
        }
    }
}

#[test]
fn every_order_of_a_shuffle_is_as_likely_as_another() {
    let rng = &mut ChaCha8Rng::seed_from_u64(9);
    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..N_DRAWS {
        let mut items = [0, 1, 2, 3];
        draw::shuffle(rng, &mut items);
        *seen.entry(items).or_insert(0.0) += 1.0;
    }
    let expected = N_DRAWS as f64 / 24.0;
    let chi_squared: f64 = seen
        .values()
        .map(|n| (n - expected) * (n - expected) / expected)
        .sum();
    // The 0.999 quantile of χ² with 23 degrees of freedom.
    assert!(seen.len() == 24 && chi_squared < 49.73, "{chi_squared}");
}

#[test]
fn draws_have_the_same_bits_everywhere() {
    let rng = &mut ChaCha8Rng::from_seed([10; 32]);
    let bits = [
        draw::uniform(rng),
        draw::normal(rng),
        draw::gamma(rng, 0.3),
        draw::gamma(rng, 3.0),
        draw::poisson(rng, 2.5),
        draw::poisson(rng, 25.0),
    ]
    .map(f64::to_bits);
    assert_eq!(bits, BITS, "{bits:#x?}");
}

const BITS: [u64; 6] = [
    0x3fcb787212d1d84c,
    0xbfd7a8a4c531c441,
    0x3fe7aa4297849d20,
    0x3ffff856436e14dd,
    0x4000000000000000,
    0x403c000000000000,
];

proptest! {
    #[test]
    fn whole_numbers_stay_below_their_bound(seed: u64, n in 1..usize::MAX) {
        prop_assert!(draw::below(&mut ChaCha8Rng::seed_from_u64(seed), n) < n);
    }

    #[test]
    fn weighted_samples_are_distinct_and_never_of_weight_zero(
        seed: u64,
        weights in prop::collection::vec(prop_oneof![Just(0.0), 0.01..10.0f64], 0..20),
        k in 0..25usize,
    ) {
        let sample = draw::weighted_sample(&mut ChaCha8Rng::seed_from_u64(seed), &weights, k);
        let drawable = weights.iter().filter(|&&w| w > 0.0).count();
        let distinct: std::collections::BTreeSet<_> = sample.iter().collect();
        prop_assert_eq!(distinct.len(), k.min(drawable));
        prop_assert_eq!(sample.len(), distinct.len());
        prop_assert!(sample.iter().all(|&i| weights[i] > 0.0));
    }

    #[test]
    fn a_shuffle_keeps_its_items(seed: u64, items in prop::collection::vec(0..5u8, 0..30)) {
        let (mut shuffled, mut items) = (items.clone(), items);
        draw::shuffle(&mut ChaCha8Rng::seed_from_u64(seed), &mut shuffled);
        shuffled.sort_unstable();
        items.sort_unstable();
        prop_assert_eq!(shuffled, items);
    }

    #[test]
    fn binomial_counts_are_whole_and_at_most_all(seed: u64, n in 0..1_000_000_000u32, p in 0.0..=1.0f64) {
        let count = draw::binomial(&mut ChaCha8Rng::seed_from_u64(seed), f64::from(n), p);
        prop_assert!((0.0..=f64::from(n)).contains(&count) && count.fract() == 0.0);
    }

    #[test]
    fn counts_are_whole_and_not_negative(seed: u64, mean in 0.0..1e6f64, dispersion in 0.0..10.0f64) {
        let count = draw::negative_binomial(&mut ChaCha8Rng::seed_from_u64(seed), mean, dispersion);
        prop_assert!(count >= 0.0 && count.fract() == 0.0 && count.is_finite());
    }
}
