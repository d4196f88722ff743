//! Tests whose p-values take few values: at each value v that occurs P(p ≤ v) = v, hence P(p ≤ α) ≤ α at any α.
//!
//! Shown twice: with the probability of every outcome written out, and over 2,000 simulations, in which a broken
//! variant must fail.

mod simulation;

use ndarray::Array2;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use scfm_stats::*;
use simulation::*;

/// Sums of probabilities in another order.
const ROUNDING: f64 = 1e-9;

fn p(test: Result<TestResult, Error>) -> f64 {
    test.unwrap().p.p()
}

/// Asserts P(p ≤ v) = v for outcomes of (probability, p).
fn assert_exact_over(name: &str, outcomes: &[(f64, f64)]) {
    let all: f64 = outcomes.iter().map(|outcome| outcome.0).sum();
    assert!((all - 1.0).abs() < ROUNDING, "{name}: probabilities sum to {all}");
    for &(_, v) in outcomes {
        let up_to: f64 = outcomes
            .iter()
            .filter(|(_, p)| *p <= v + ROUNDING)
            .map(|outcome| outcome.0)
            .sum();
        assert!((up_to - v).abs() < ROUNDING, "{name}: P(p ≤ {v}) = {up_to}");
    }
}

fn exact_over(outcomes: &[(f64, f64)]) -> bool {
    std::panic::catch_unwind(|| assert_exact_over("", outcomes)).is_ok()
}

/// n over k, exact for what is asked here.
fn ways(n: u64, k: u64) -> f64 {
    (1..=k).map(|i| (n - k + i) as f64 / i as f64).product()
}

/// All orders of 0..n.
fn orders(n: usize) -> Vec<Vec<f64>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(n - 1);
    shorter
        .iter()
        .flat_map(|order| (0..n).map(move |at| [&order[..at], &[n as f64], &order[at..]].concat()))
        .collect()
}

fn equally_likely(p: Vec<f64>) -> Vec<(f64, f64)> {
    let each = 1.0 / p.len() as f64;
    p.into_iter().map(|p| (each, p)).collect()
}

#[test]
fn shares_are_exact_over_all_outcomes() {
    for (n, share) in [(1_u64, 0.5_f64), (9, 0.5), (12, 0.3), (40, 0.07)] {
        let mass = |k: u64| ways(n, k) * share.powf(k as f64) * (1.0 - share).powf((n - k) as f64);
        let outcomes: Vec<(f64, f64)> = (0..=n)
            .map(|k| (mass(k), p(binomial_test(k, n, share))))
            .collect();
        assert_exact_over("binomial", &outcomes);
        // One-sided probabilities doubled are not those of a distribution that leans to one side.
        let doubled: Vec<(f64, f64)> = (0..=n)
            .map(|k| {
                let below: f64 = (0..=k).map(mass).sum();
                let above: f64 = (k..=n).map(mass).sum();
                (mass(k), (2.0 * below.min(above)).min(1.0))
            })
            .collect();
        assert_eq!(exact_over(&doubled), share == 0.5, "{n} {share}");
    }
    let n = 11;
    let mass = |k: u64| ways(n, k) / 2048.0;
    let discordant: Vec<(f64, f64)> = (0..=n).map(|k| (mass(k), p(mcnemar(k, n - k)))).collect();
    assert_exact_over("McNemar", &discordant);
    let signs: Vec<(f64, f64)> = (0..=n)
        .map(|k| {
            let differences: Vec<f64> = (0..n).map(|i| if i < k { 0.5 } else { -2.0 }).collect();
            (mass(k), p(sign_test(&differences)))
        })
        .collect();
    assert_exact_over("sign test", &signs);
}

#[test]
fn tables_are_exact_given_their_margins() {
    let (first, second, yes) = (9_u64, 14_u64, 8_u64);
    let mass = |k| ways(first, k) * ways(second, yes - k) / ways(first + second, yes);
    for alternative in [Alternative::TwoSided, Alternative::Greater, Alternative::Less] {
        let outcomes: Vec<(f64, f64)> = (0..=yes)
            .map(|k| {
                let table = [[k, first - k], [yes - k, second + k - yes]];
                (mass(k), p(fisher_exact(table).unwrap().against(alternative)))
            })
            .collect();
        assert_exact_over("Fisher", &outcomes);
    }
    let enrichment: Vec<(f64, f64)> = (0..=yes)
        .map(|k| {
            (
                mass(k),
                hypergeometric_enrichment(k, first + second, first, yes)
                    .unwrap()
                    .p(),
            )
        })
        .collect();
    assert_exact_over("enrichment", &enrichment);
    // P(X > k) in the place of P(X ≥ k).
    let beyond: Vec<(f64, f64)> = enrichment.iter().map(|&(mass, p)| (mass, p - mass)).collect();
    assert!(!exact_over(&beyond));
}

#[test]
fn rank_tests_are_exact_over_all_arrangements() {
    let rising: Vec<f64> = (1..=6).map(f64::from).collect();
    let correlations = |test: fn(&[f64], &[f64]) -> Result<TestResult, Error>| {
        equally_likely(orders(6).iter().map(|order| p(test(order, &rising))).collect())
    };
    assert_exact_over("Spearman", &correlations(spearman));
    assert_exact_over("Kendall", &correlations(kendall));
    // Student's t is an approximation for six pairs.
    assert!(!exact_over(&correlations(pearson)));
    let mann_whitney = orders(8)
        .iter()
        .map(|order| p(mann_whitney(&order[..3], &order[3..])))
        .collect();
    assert_exact_over("Mann-Whitney", &equally_likely(mann_whitney));
    let signed = |values: &[f64]| -> Vec<Vec<f64>> {
        let signs = 0u32..1 << values.len();
        signs
            .map(|signs| {
                let signed = values.iter().enumerate();
                signed
                    .map(|(i, value)| if signs >> i & 1 == 1 { -value } else { *value })
                    .collect()
            })
            .collect()
    };
    // With ties too.
    for sizes in [
        [0.5, 1.0, 2.0, 3.0, 4.5, 7.0, 8.0, 9.0],
        [1.0, 1.0, 2.0, 2.0, 2.0, 5.0, 6.0, 6.0],
    ] {
        let differences = signed(&sizes);
        let wilcoxon = differences
            .iter()
            .map(|d| p(wilcoxon_signed_rank(d, Zeros::Drop)));
        assert_exact_over("Wilcoxon", &equally_likely(wilcoxon.collect()));
        for alternative in [Alternative::TwoSided, Alternative::Greater, Alternative::Less] {
            let limits = PermutationLimits {
                max: 256,
                stop_after: None,
            };
            let flips = differences.iter().map(|differences| {
                p(sign_flip_test(differences, alternative, limits, |_| {
                    unreachable!("all are counted")
                })
                .map(|flipped| flipped.test))
            });
            assert_exact_over("sign flips", &equally_likely(flips.collect()));
        }
    }
    // Two rows of four columns.
    let rows = orders(4);
    let pairs = rows
        .iter()
        .flat_map(|a| rows.iter().map(move |b| [&a[..], b].concat()));
    let page = pairs.map(|cells| p(page_trend(Array2::from_shape_vec((2, 4), cells).unwrap().view())));
    assert_exact_over("Page", &equally_likely(page.collect()));
}

#[test]
fn simulated_p_values_occur_as_often_as_they_say() {
    let below = |rng: &mut ChaCha8Rng, n: usize, share: f64| {
        (0..n).filter(|_| rng.random::<f64>() < share).count() as u64
    };
    assert_exact("binomial", 41, |rng, times| {
        let times = times as u64;
        p(binomial_test(times * below(rng, 50, 0.3), times * 50, 0.3))
    });
    assert_exact("McNemar", 42, |rng, times| {
        let (times, first) = (times as u64, below(rng, 60, 0.5));
        p(mcnemar(times * first, times * (60 - first)))
    });
    assert_exact("sign test", 43, |rng, times| {
        p(sign_test(&copies(&normals(rng, 45), times)))
    });
    // A table with fixed margins: labels are dealt out.
    let dealt = |rng: &mut ChaCha8Rng, times: usize| {
        let mut labels: Vec<bool> = (0..90).map(|i| i < 30).collect();
        labels.shuffle(rng);
        let hits = labels[..40].iter().filter(|label| **label).count() as u64;
        [hits, 40 - hits, 30 - hits, 20 + hits].map(|count| count * times as u64)
    };
    assert_exact("Fisher", 44, |rng, times| {
        let [a, b, c, d] = dealt(rng, times);
        p(fisher_exact([[a, b], [c, d]]))
    });
    assert_exact("enrichment", 45, |rng, times| {
        let [a, b, c, d] = dealt(rng, times);
        hypergeometric_enrichment(a, a + b + c + d, a + c, a + b)
            .unwrap()
            .p()
    });
    assert_exact("Mann-Whitney", 46, |rng, times| {
        p(mann_whitney(
            &copies(&normals(rng, 7), times),
            &copies(&normals(rng, 60), times),
        ))
    });
    assert_exact("Wilcoxon", 47, |rng, times| {
        p(wilcoxon_signed_rank(
            &copies(&normals(rng, 25), times),
            Zeros::Drop,
        ))
    });
    assert_exact("Spearman", 48, |rng, times| {
        p(spearman(
            &copies(&normals(rng, 7), times),
            &copies(&normals(rng, 7), times),
        ))
    });
    assert_exact("Kendall", 49, |rng, times| {
        p(kendall(
            &copies(&normals(rng, 30), times),
            &copies(&normals(rng, 30), times),
        ))
    });
    assert_exact("Page", 50, |rng, times| {
        let values = Array2::from_shape_vec((6, 4), normals(rng, 24)).unwrap();
        let rows = copies(&(0..6).collect::<Vec<_>>(), times);
        p(page_trend(values.select(ndarray::Axis(0), &rows).view()))
    });
    let limits = PermutationLimits {
        max: 9_999,
        stop_after: None,
    };
    assert_exact("sign flips", 51, |rng, times| {
        let differences = copies(&normals(rng, 12), times);
        p(
            sign_flip_test(&differences, Alternative::Greater, limits, |i| stream(52, i))
                .map(|flipped| flipped.test),
        )
    });
}
