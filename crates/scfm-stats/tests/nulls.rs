//! p-values under true nulls are uniform, intervals cover what they should: 2,000 simulations each, fixed seeds.

use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use scfm_stats::*;

const SIMULATIONS: u64 = 2_000;

/// Kolmogorov's distance that 2,000 uniform values exceed once in 10,000 times: √(ln(2 · 10⁴) / 2) / √2000.
const KOLMOGOROV: f64 = 0.0498;

fn stream(purpose: u64, index: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(20_260_217 + purpose);
    rng.set_stream(index);
    rng
}

fn normals(rng: &mut ChaCha8Rng, n: usize) -> Vec<f64> {
    StandardNormal.sample_iter(rng).take(n).collect()
}

/// Largest distance of the empirical distribution from the uniform one.
fn distance(mut p: Vec<f64>) -> f64 {
    p.sort_by(f64::total_cmp);
    let n = p.len() as f64;
    p.iter()
        .enumerate()
        .map(|(i, p)| (p - i as f64 / n).max((i as f64 + 1.0) / n - p))
        .fold(0.0, f64::max)
}

fn assert_uniform(name: &str, purpose: u64, p_value: impl Fn(&mut ChaCha8Rng) -> f64) {
    let p: Vec<f64> = (0..SIMULATIONS)
        .map(|index| p_value(&mut stream(purpose, index)))
        .collect();
    let distance = distance(p);
    assert!(distance < KOLMOGOROV, "{name}: {distance}");
}

#[test]
fn p_values_of_true_nulls_are_uniform() {
    assert_uniform("Welch", 1, |rng| {
        // Other variances and sizes, which Student's own test would not forgive.
        let wide: Vec<f64> = normals(rng, 12).iter().map(|x| 3.0 * x).collect();
        welch_t(&wide, &normals(rng, 40)).unwrap().p.p()
    });
    assert_uniform("one sample", 2, |rng| {
        one_sample_t(&normals(rng, 9), 0.0).unwrap().p.p()
    });
    assert_uniform("Mann-Whitney", 3, |rng| {
        mann_whitney(&normals(rng, 60), &normals(rng, 70)).unwrap().p.p()
    });
    assert_uniform("Wilcoxon", 4, |rng| {
        wilcoxon_signed_rank(&normals(rng, 80), Zeros::Drop)
            .unwrap()
            .p
            .p()
    });
    assert_uniform("Pearson", 5, |rng| {
        pearson(&normals(rng, 15), &normals(rng, 15)).unwrap().p.p()
    });
    assert_uniform("Spearman", 6, |rng| {
        spearman(&normals(rng, 40), &normals(rng, 40)).unwrap().p.p()
    });
    assert_uniform("Kendall", 7, |rng| {
        kendall(&normals(rng, 60), &normals(rng, 60)).unwrap().p.p()
    });
    assert_uniform("partial Spearman", 8, |rng| {
        // Both follow the covariate, and nothing else.
        let covariate = normals(rng, 60);
        let follow =
            |noise: Vec<f64>| -> Vec<f64> { noise.iter().zip(&covariate).map(|(e, c)| e + c).collect() };
        let (a, b) = (follow(normals(rng, 60)), follow(normals(rng, 60)));
        let given = RankCovariates::new(&[&covariate]).unwrap();
        given.partial_spearman(&a, &b).unwrap().p.p()
    });
    assert_uniform("DeLong", 9, |rng| {
        let labels: Vec<bool> = (0..200).map(|i| i % 2 == 0).collect();
        delong_auroc(&normals(rng, 200), &labels).unwrap().p.p()
    });
    assert_uniform("DeLong, two scores", 10, |rng| {
        let labels: Vec<bool> = (0..200).map(|i| i % 2 == 0).collect();
        let signal: Vec<f64> = normals(rng, 200)
            .iter()
            .zip(&labels)
            .map(|(x, &l)| x + f64::from(u8::from(l)))
            .collect();
        let noisy = |rng: &mut ChaCha8Rng| -> Vec<f64> {
            normals(rng, 200)
                .iter()
                .zip(&signal)
                .map(|(e, s)| s + 0.5 * e)
                .collect()
        };
        let (a, b) = (noisy(rng), noisy(rng));
        delong_difference(&a, &b, &labels).unwrap().p.p()
    });
    assert_uniform("Page", 11, |rng| {
        let values = Array2::from_shape_vec((30, 9), normals(rng, 270)).unwrap();
        page_trend(values.view()).unwrap().p.p()
    });
    assert_uniform("Jonckheere-Terpstra", 12, |rng| {
        let groups = [normals(rng, 20), normals(rng, 30), normals(rng, 25)];
        let groups: Vec<&[f64]> = groups.iter().map(Vec::as_slice).collect();
        jonckheere_terpstra(&groups).unwrap().p.p()
    });
    assert_uniform("χ²", 13, |rng| {
        let mut table = Array2::zeros((3, 4));
        for _ in 0..4_000 {
            table[[rng.random_range(0..3), rng.random_range(0..4)]] += 1;
        }
        chi_squared(table.view()).unwrap().p.p()
    });
    assert_uniform("permutation", 14, |rng| {
        let observed = normals(rng, 1)[0];
        let seed = rng.random();
        let limits = PermutationLimits {
            max: 999,
            stop_after: None,
        };
        let permuted = |i| normals(&mut stream(seed, i), 1)[0];
        permutation_test(observed, Alternative::Greater, limits, permuted)
            .unwrap()
            .p
            .p()
    });
}

#[test]
fn a_permutation_test_that_ends_early_keeps_its_level() {
    let limits = PermutationLimits {
        max: 999,
        stop_after: Some(10),
    };
    let (mut rejected, mut covered, mut done) = ([0, 0], 0, 0);
    for index in 0..SIMULATIONS {
        let mut rng = stream(20, index);
        // The p-value of infinitely many permutations is `truth`.
        let truth: f64 = rng.random();
        let seed = rng.random();
        let permuted = |i| f64::from(u8::from(stream(seed, i).random::<f64>() < truth));
        let test = permutation_test(1.0, Alternative::Greater, limits, permuted).unwrap();
        rejected[0] += u32::from(test.p.p() <= 0.05);
        rejected[1] += u32::from(test.p.p() <= 0.01);
        covered += u32::from(test.interval.contains(truth));
        done += test.n_permutations;
    }
    // Three standard errors above the level; a test that stops early is a little conservative.
    assert!((70..=129).contains(&rejected[0]), "{rejected:?}");
    assert!((8..=33).contains(&rejected[1]), "{rejected:?}");
    assert!(covered >= 1_870, "{covered} intervals hold the p-value");
    assert!(done < 150 * SIMULATIONS as usize, "{done} permutations");
}

fn assert_covers(name: &str, purpose: u64, holds: impl Fn(&mut ChaCha8Rng) -> bool) {
    let covered = (0..SIMULATIONS)
        .filter(|&index| holds(&mut stream(purpose, index)))
        .count();
    let share = covered as f64 / SIMULATIONS as f64;
    assert!((0.93..=0.97).contains(&share), "{name}: {share}");
}

#[test]
fn intervals_of_95_percent_cover_93_to_97_percent() {
    // 100 values of an exponential distribution.
    let exponential =
        |rng: &mut ChaCha8Rng| -> Vec<f64> { (0..100).map(|_| -rng.random::<f64>().ln()).collect() };
    assert_covers("bootstrap of a mean", 30, |rng| {
        let values = exponential(rng);
        let seed = rng.random();
        bootstrap_mean(&values, 500, |i| stream(seed, i))
            .unwrap()
            .contains(1.0)
    });
    assert_covers("BCa of a mean", 31, |rng| {
        let values = exponential(rng);
        let seed = rng.random();
        let mean = |drawn: &[u64]| {
            let sum: f64 = values.iter().zip(drawn).map(|(x, &w)| x * w as f64).sum();
            Ok(sum / drawn.iter().sum::<u64>() as f64)
        };
        let bootstrap = bootstrap(values.len(), 500, mean, |i| stream(seed, i)).unwrap();
        bootstrap
            .bca(&leave_one_out(values.len(), mean), 0.95)
            .unwrap()
            .contains(1.0)
    });
    // Over shares between 0.05 and 0.95 of 80 trials.
    assert_covers("Wilson", 32, |rng| {
        let share = rng.random_range(0.05..0.95);
        let successes = (0..80).filter(|_| rng.random::<f64>() < share).count();
        wilson(successes as u64, 80, 0.95).unwrap().contains(share)
    });
    // 60 positives and 60 negatives, two normal distributions one standard deviation apart.
    let labels: Vec<bool> = (0..120).map(|i| i < 60).collect();
    let scores = |rng: &mut ChaCha8Rng| -> Vec<f64> {
        let noise = normals(rng, 120);
        let shifted = noise.iter().zip(&labels);
        shifted.map(|(x, &l)| x + f64::from(u8::from(l))).collect()
    };
    let truth = 0.760_249_938_906_523_3;
    assert_covers("DeLong", 33, |rng| {
        let scores = scores(rng);
        delong_auroc(&scores, &labels)
            .unwrap()
            .ci
            .unwrap()
            .contains(truth)
    });
    assert_covers("Newcombe", 34, |rng| {
        let scores = scores(rng);
        auroc_interval(auroc(&scores, &labels).unwrap(), 60, 60).contains(truth)
    });
}
