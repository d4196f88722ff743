//! Intervals of 95 % cover the truth in 93 to 97 % of 2,000 simulations, and those of a broken variant do not.

mod simulation;

use std::f64::consts::PI;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Exp1, LogNormal};
use rayon::prelude::*;
use scfm_stats::*;
use simulation::*;

const RESAMPLES: usize = 1_000;

/// P(X > Y) of two normal variables of variance 1 whose means are 1 apart: Φ(1 / √2).
const AUROC: f64 = 0.760_249_938_906_523_3;

fn covers(test: Result<TestResult, Error>, truth: f64) -> bool {
    test.unwrap().ci.unwrap().contains(truth)
}

fn seed(rng: &mut ChaCha8Rng) -> u64 {
    rng.random::<u32>().into()
}

#[test]
fn of_means() {
    assert_covers("t, n = 12", 60, |rng, times| {
        covers(one_sample_t(&copies(&normals(rng, 12), times), 0.0), 0.0)
    });
    assert_covers("paired t, n = 15", 61, |rng, times| {
        let (a, b) = correlated(rng, 15, 0.7);
        covers(paired_t(&copies(&a, times), &copies(&b, times)), 0.0)
    });
    assert_covers("Welch, n = 10 and 40", 62, |rng, times| {
        let wide: Vec<f64> = normals(rng, 10).iter().map(|x| 3.0 * x + 2.0).collect();
        covers(
            welch_t(&copies(&wide, times), &copies(&normals(rng, 40), times)),
            2.0,
        )
    });
    assert_covers("Welch within strata, n = 10 to 30 each", 63, |rng, times| {
        let strata: Vec<(Moments, Moments)> = [(0.0, 10, 30), (3.0, 25, 12), (-2.0, 15, 15)]
            .into_iter()
            .map(|(level, n_a, n_b)| {
                let mut moments = |n, shift: f64| {
                    let values: Vec<f64> = normals(rng, n).iter().map(|x| x + level + shift).collect();
                    Moments::of(&copies(&values, times))
                };
                (moments(n_a, 1.0), moments(n_b, 0.0))
            })
            .collect();
        covers(stratified_welch(&strata), 1.0)
    });
}

/// Intervals of level 0.90, by which claims of a null are made.
#[test]
fn of_claims_of_a_null() {
    for times in [1, 2] {
        let covered = share(64, |rng| {
            let Moments { n, mean, variance } = Moments::of(&copies(&normals(rng, 20), times));
            covers(tost(mean, (variance / n as f64).sqrt(), n as f64 - 1.0, 1.0), 0.0)
        });
        assert_eq!((0.88..=0.92).contains(&covered), times == 1, "{covered}");
    }
}

#[test]
fn of_resampled_means() {
    // Skewed, with mean 1.
    let exponential =
        |rng: &mut ChaCha8Rng, n: usize| -> Vec<f64> { Exp1.sample_iter(rng).take(n).collect() };
    assert_covers("percentile, exponential, n = 100", 65, |rng, times| {
        let values = copies(&exponential(rng, 100), times);
        let seed = seed(rng);
        bootstrap_mean(&values, RESAMPLES, |i| stream(seed, i))
            .unwrap()
            .contains(1.0)
    });
    assert_covers("BCa, exponential, n = 100", 66, |rng, times| {
        let values = copies(&exponential(rng, 100), times);
        let seed = seed(rng);
        let mean = |drawn: &[u64]| {
            let sum: f64 = values.iter().zip(drawn).map(|(x, &w)| x * w as f64).sum();
            Ok(sum / drawn.iter().sum::<u64>() as f64)
        };
        let bootstrap = bootstrap(values.len(), RESAMPLES, mean, |i| stream(seed, i)).unwrap();
        bootstrap
            .bca(&leave_one_out(values.len(), mean), 0.95)
            .unwrap()
            .contains(1.0)
    });
}

/// 80 clusters of 2 to 6 observations, half of the variance between them; half of the clusters, by chance, are marked
/// and their values are 1 higher.
#[test]
fn of_resampled_clusters() {
    // Whether the percentile and the BCa interval hold the mean, the mean difference and the AUROC.
    let held = |clusters: &Clusters, marked: &[bool], values: &[f64], n: usize, seed: u64| {
        let stream = |i| stream(seed, i);
        let found = [
            (clusters.mean(values, n, stream), 0.5),
            (clusters.mean_difference(values, marked, n, stream), 1.0),
            (clusters.auroc(values, marked, n, stream), AUROC),
        ];
        found.map(|(found, truth)| {
            let found = found.unwrap();
            [found.percentile, found.bca.unwrap()].map(|interval| interval.contains(truth))
        })
    };
    let outcomes: Vec<[[[bool; 2]; 3]; 2]> = (0..SIMULATIONS)
        .into_par_iter()
        .map(|index| {
            let rng = &mut stream(67, index);
            let (keys, mut values) = clustered(rng, 80, 2..=6, 0.5);
            let marks: Vec<bool> = (0..80).map(|_| rng.random()).collect();
            let marked: Vec<bool> = keys.iter().map(|&key| marks[key]).collect();
            for (value, _) in values.iter_mut().zip(&marked).filter(|(_, mark)| **mark) {
                *value += 1.0;
            }
            let seed = seed(rng);
            let each: Vec<usize> = (0..keys.len()).collect();
            [(keys, RESAMPLES), (each, 200)].map(|(keys, n)| {
                let clusters = Clusters::new("clusters", &keys).unwrap();
                held(&clusters, &marked, &values, n, seed)
            })
        })
        .collect();
    for (statistic, name) in ["mean", "mean difference", "AUROC"].into_iter().enumerate() {
        for (form, interval) in ["percentile", "BCa"].into_iter().enumerate() {
            let [valid, broken] = [0, 1].map(|units| {
                let held = outcomes.iter().filter(|outcome| outcome[units][statistic][form]);
                held.count() as f64 / SIMULATIONS as f64
            });
            assert!(COVERAGE.contains(&valid), "{name}, {interval}: {valid}");
            assert!(
                broken < *COVERAGE.start(),
                "{name}, {interval}, observations resampled one by one: {broken}"
            );
        }
    }
}

#[test]
fn of_shares() {
    // Shares between 0.05 and 0.95 of 80 trials.
    let trials = |rng: &mut ChaCha8Rng| {
        let share = rng.random_range(0.05..0.95);
        let successes = (0..80).filter(|_| rng.random::<f64>() < share).count() as u64;
        (share, successes)
    };
    assert_covers("Wilson, n = 80", 75, |rng, times| {
        let (share, successes) = trials(rng);
        let times = times as u64;
        wilson(times * successes, times * 80, 0.95)
            .unwrap()
            .contains(share)
    });
    // Exact, hence at least 95 % at every share: by the probabilities of all outcomes.
    for n in [1_u64, 7, 40, 200] {
        // The other half is its mirror image.
        for step in 0..=50 {
            let truth = f64::from(step) / 100.0;
            let covered = |level: f64| -> f64 {
                let mut mass = (1.0 - truth).powf(n as f64);
                let (mut upwards, mut total) = (Vec::new(), 0.0);
                for k in 0..=n {
                    upwards.push(mass);
                    mass *= (n - k) as f64 / (k + 1) as f64 * truth / (1.0 - truth);
                }
                for (k, mass) in upwards.iter().enumerate() {
                    if clopper_pearson(k as u64, n, level).unwrap().contains(truth) {
                        total += mass;
                    }
                }
                total
            };
            assert!(covered(0.95) >= 0.95 - 1e-9, "{n} {truth}: {}", covered(0.95));
            if n == 200 && step == 50 {
                assert!(covered(0.90) < 0.95, "an interval of 90 % is one of 90 %");
            }
        }
    }
    let odds = |rng: &mut ChaCha8Rng, times: u64| {
        let mut count = |share: f64| (0..120).filter(|_| rng.random::<f64>() < share).count() as u64;
        let (a, b) = (count(0.5), count(0.3));
        let table = [[a, 120 - a], [b, 120 - b]].map(|row| row.map(|count| count * times));
        covers(fisher_exact(table), 0.5 / 0.5 / (0.3 / 0.7))
    };
    assert_covers("odds ratio, n = 240", 76, |rng, times| odds(rng, times as u64));
}

#[test]
fn of_aurocs() {
    // 60 positives and 60 negatives, two normal distributions one standard deviation apart.
    let labels: Vec<bool> = (0..120).map(|i| i < 60).collect();
    let signal: Vec<f64> = labels.iter().map(|&label| f64::from(u8::from(label))).collect();
    assert_covers("DeLong, n = 60 and 60", 77, |rng, times| {
        let scores = mixed(&normals(rng, 120), &signal, 1.0, 1.0);
        covers(
            delong_auroc(&copies(&scores, times), &copies(&labels, times)),
            AUROC,
        )
    });
    assert_covers("Newcombe, n = 60 and 60", 78, |rng, times| {
        let scores = mixed(&normals(rng, 120), &signal, 1.0, 1.0);
        auroc_interval(auroc(&scores, &labels).unwrap(), 60 * times, 60 * times).contains(AUROC)
    });
    assert_covers("DeLong, two scores, n = 60 and 60", 79, |rng, times| {
        // The second score is pure noise of the same variance.
        let noise = normals(rng, 120);
        let first = mixed(&noise, &signal, 1.0, 1.0);
        let second = mixed(&noise, &normals(rng, 120), 0.6, 0.8);
        let test = delong_difference(
            &copies(&first, times),
            &copies(&second, times),
            &copies(&labels, times),
        );
        covers(test, AUROC - 0.5)
    });
}

#[test]
fn of_correlations() {
    let rho = 0.5_f64;
    type Correlation = fn(&[f64], &[f64]) -> Result<TestResult, Error>;
    // What ρ of a bivariate normal distribution makes of the rank correlations.
    for (name, purpose, test, truth) in [
        ("Pearson, n = 30", 80, pearson as Correlation, rho),
        ("Spearman, n = 60", 81, spearman, 6.0 / PI * (rho / 2.0).asin()),
        ("Kendall, n = 60", 82, kendall, 2.0 / PI * rho.asin()),
    ] {
        let n = if purpose == 80 { 30 } else { 60 };
        assert_covers(name, purpose, |rng, times| {
            let (a, b) = correlated(rng, n, rho);
            covers(test(&copies(&a, times), &copies(&b, times)), truth)
        });
    }
    // Nothing is left given the covariate, and of its ranks, which are nearly linear in it, 0.012.
    let of_ranks = |rho: f64| 6.0 / PI * (rho / 2.0).asin();
    let with_covariate = of_ranks(0.5_f64.sqrt()).powi(2);
    let truth = (of_ranks(0.5) - with_covariate) / (1.0 - with_covariate);
    assert_covers("partial Spearman, n = 80", 83, |rng, times| {
        let covariate = normals(rng, 80);
        let mut follow = || mixed(&normals(rng, 80), &covariate, 1.0, 1.0);
        let (a, b) = (copies(&follow(), times), copies(&follow(), times));
        let given = RankCovariates::new(&[&copies(&covariate, times)]).unwrap();
        covers(given.partial_spearman(&a, &b), truth)
    });
}

/// How skewed the values are decides how many a percentile interval needs: stated, so that nobody takes 95 % for granted.
#[test]
fn percentile_intervals_of_few_skewed_values_are_too_short() {
    let log_normal = LogNormal::new(0.0, 1.0).unwrap();
    let covered = share(84, |rng| {
        let values: Vec<f64> = log_normal.sample_iter(&mut *rng).take(15).collect();
        let seed = seed(rng);
        bootstrap_mean(&values, RESAMPLES, |i| stream(seed, i))
            .unwrap()
            .contains(0.5_f64.exp())
    });
    assert!((0.75..0.90).contains(&covered), "{covered}");
}
