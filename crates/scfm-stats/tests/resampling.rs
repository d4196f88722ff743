//! Resampling against SciPy and against what it abbreviates, and coverage where clusters are what is independent.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::ThreadPoolBuilder;
use scfm_stats::*;
use serde::Deserialize;
use serde_json::Value;

/// The same sum in another order.
const ROUNDING: f64 = 1e-12;

const ALL: PermutationLimits = PermutationLimits {
    max: 9_999,
    stop_after: None,
};

/// Stream `index` of the purpose numbered `purpose`.
fn stream(purpose: u64, index: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(purpose);
    rng.set_stream(index);
    rng
}

#[derive(Deserialize)]
struct Case {
    function: String,
    expected: Vec<f64>,
    #[serde(flatten)]
    input: BTreeMap<String, Value>,
}

impl Case {
    fn read<T: for<'de> Deserialize<'de>>(&self, name: &str) -> T {
        serde_json::from_value(self.input[name].clone()).unwrap()
    }

    fn alternative(&self) -> Alternative {
        let word: String = self.read("alternative");
        [Alternative::TwoSided, Alternative::Greater, Alternative::Less]
            .into_iter()
            .find(|alternative| alternative.as_str() == word)
            .unwrap()
    }
}

fn cases(of: impl Fn(&str) -> bool) -> Vec<Case> {
    let all: Vec<Case> = serde_json::from_str(include_str!("resampling/golden.json")).unwrap();
    let cases: Vec<Case> = all.into_iter().filter(|case| of(&case.function)).collect();
    assert!(!cases.is_empty());
    cases
}

#[test]
fn sign_flips_agree_with_scipy() {
    for case in cases(|function| function == "sign_flip") {
        let differences: Vec<f64> = case.read("differences");
        let n = differences.len();
        let flipped = sign_flip_test(&differences, case.alternative(), ALL, |i| stream(101, i)).unwrap();
        assert!((flipped.test.statistic - case.expected[0]).abs() < ROUNDING);
        let p = flipped.test.p.p();
        if case.read("exact") {
            assert!(flipped.exact, "{n} pairs");
            assert!(
                (p - case.expected[1]).abs() < ROUNDING,
                "{n} pairs: {p} {}",
                case.expected[1]
            );
        } else {
            assert!(!flipped.exact, "{n} pairs");
            // Four standard errors of a share of 9,999 draws.
            let error = 4.0 * (case.expected[1] * (1.0 - case.expected[1]) / 9_999.0).sqrt();
            assert!(
                (p - case.expected[1]).abs() < error,
                "{n} pairs: {p} {}",
                case.expected[1]
            );
        }
    }
}

#[test]
fn clustered_intervals_agree_with_scipy() {
    for case in cases(|function| function != "sign_flip") {
        let clusters: Vec<u32> = case.read("clusters");
        let clusters = Clusters::new("clusters", &clusters).unwrap();
        let values: Vec<f64> = case.read("values");
        let labels = || -> Vec<bool> { case.read("labels") };
        let (n, stream) = (20_000, |i| stream(102, i));
        let got = match case.function.as_str() {
            "mean" => clusters.mean(&values, n, stream),
            "mean_difference" => clusters.mean_difference(&values, &labels(), n, stream),
            "auroc" => clusters.auroc(&values, &labels(), n, stream),
            "auroc_difference" => {
                let other: Vec<f64> = case.read("other");
                clusters.auroc_difference(&values, &other, &labels(), n, stream)
            }
            other => panic!("no function named {other}"),
        }
        .unwrap();
        let method: String = case.read("method");
        let interval = if method == "BCa" {
            got.bca.unwrap()
        } else {
            got.percentile
        };
        // The 2.5 % quantile of 20,000 normal values has a standard error of 1.9 % of their deviation; four of them, and
        // twice as much in the stretched tail of BCa.
        let margin: f64 = case.read("standard_error");
        let margin = margin * if method == "BCa" { 0.15 } else { 0.08 };
        for (end, expected) in [interval.low, interval.high].into_iter().zip(&case.expected) {
            assert!(
                (end - expected).abs() < margin,
                "{} {method}: {interval:?}, expected {:?}, margin {margin}",
                case.function,
                case.expected
            );
        }
    }
}

#[test]
fn clusters_of_one_are_independent_observations() {
    let values: Vec<f64> = (0..40).map(|i| f64::from(i * 37 % 41)).collect();
    let keys: Vec<usize> = (0..40).collect();
    let clusters = Clusters::new("values", &keys).unwrap();
    let clustered = clusters.mean(&values, 500, |i| stream(103, i)).unwrap();
    // Whole numbers, so that the order of the sums does not matter.
    let mean = bootstrap_mean(&values, 500, |i| stream(103, i)).unwrap();
    assert_eq!(clustered.percentile, mean);
}

#[test]
fn clusters_say_what_they_cannot_do() {
    let none: [u8; 0] = [];
    assert!(matches!(Clusters::new("donors", &none), Err(Error::Empty { .. })));
    assert!(matches!(
        Clusters::new("donors", &["a", "a"]),
        Err(Error::Undefined(Undefined::TooFew {
            what: "donors",
            n: 1,
            needed: 2
        }))
    ));
    let clusters = Clusters::new("donors", &[1, 1, 2, 3]).unwrap();
    let stream = |i| stream(104, i);
    assert!(matches!(
        clusters.mean(&[1.0, 2.0], 10, stream),
        Err(Error::Length {
            expected: 4,
            got: 2,
            ..
        })
    ));
    assert!(matches!(
        clusters.mean(&[1.0, 2.0, f64::NAN, 0.0], 10, stream),
        Err(Error::NotANumber { row: 2, .. })
    ));
    assert!(matches!(
        clusters.mean(&[1.0, 2.0, 3.0, 0.0], 0, stream),
        Err(Error::OutOfRange { .. })
    ));
    assert!(matches!(
        clusters.auroc(&[1.0, 2.0, 3.0, 0.0], &[true; 4], 10, stream),
        Err(Error::Undefined(Undefined::OneClass { n_pos: 4, n_neg: 0 }))
    ));
    // The one positive is in cluster 3, which 8 of 27 resamples leave out.
    let rare = clusters
        .auroc(&[1.0, 2.0, 3.0, 2.5], &[false, false, false, true], 2_000, stream)
        .unwrap();
    assert!((500..=690).contains(&rare.n_undefined), "{}", rare.n_undefined);
    // Two clusters of one class each: without either there is no AUROC left to accelerate by.
    let halves = Clusters::new("donors", &[1, 1, 2, 2]).unwrap();
    let apart = halves
        .auroc(&[1.0, 2.0, 3.0, 2.5], &[false, false, true, true], 50, stream)
        .unwrap();
    assert!(matches!(
        apart.bca,
        Err(Undefined::TooFew { n: 0, needed: 2, .. })
    ));
    // Nothing varies: there is an interval of no width, and no acceleration.
    let flat = clusters.mean(&[1.0; 4], 50, stream).unwrap();
    assert_eq!((flat.percentile.low, flat.percentile.high), (1.0, 1.0));
    assert!(matches!(flat.bca, Err(Undefined::NoVariance { .. })));
}

#[test]
fn sign_flips_refuse_what_has_no_mean() {
    let stream = |i| stream(105, i);
    let test =
        |differences: &[f64], limits| sign_flip_test(differences, Alternative::TwoSided, limits, stream);
    assert!(matches!(test(&[], ALL), Err(Error::Empty { .. })));
    assert!(matches!(
        test(&[0.1, f64::NAN], ALL),
        Err(Error::NotANumber { row: 1, .. })
    ));
    assert!(matches!(
        test(&[f64::INFINITY], ALL),
        Err(Error::NotFinite { row: 0, .. })
    ));
    let none = PermutationLimits { max: 0, ..ALL };
    assert!(matches!(test(&[0.1], none), Err(Error::OutOfRange { .. })));
    // No difference is symmetric about 0.
    for n in [1, 30] {
        assert_eq!(test(&vec![0.0; n], ALL).unwrap().test.p.p(), 1.0);
    }
    // One pair can be flipped one way.
    assert_eq!(test(&[2.0], ALL).unwrap().test.p.p(), 1.0);
}

#[test]
fn sign_flips_end_early_where_nothing_is_found() {
    let differences: Vec<f64> = (0..200).map(|i| f64::from(i % 2) - 0.5).collect();
    let limits = PermutationLimits {
        stop_after: Some(20),
        ..ALL
    };
    let test =
        |limits| sign_flip_test(&differences, Alternative::TwoSided, limits, |i| stream(106, i)).unwrap();
    // The mean is 0, which every flip is as far from.
    assert_eq!(test(limits).permutations.n_permutations, 20);
    assert_eq!(test(ALL).permutations.n_permutations, 9_999);
}

#[test]
fn threads_change_no_bit_of_a_resample() {
    let values: Vec<f64> = (0..300).map(|i| f64::from(i * 37 % 101).sin()).collect();
    let labels: Vec<bool> = (0..300).map(|i| i % 7 == 0).collect();
    let keys: Vec<usize> = (0..300).map(|i| i % 25).collect();
    let clusters = Clusters::new("clusters", &keys).unwrap();
    let early = PermutationLimits {
        stop_after: Some(10),
        ..ALL
    };
    let all = |threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            (
                bootstrap_mean(&values, 3_000, |i| stream(107, i)).unwrap(),
                [ALL, early].map(|limits| {
                    sign_flip_test(&values, Alternative::Greater, limits, |i| stream(108, i)).unwrap()
                }),
                clusters.auroc(&values, &labels, 300, |i| stream(109, i)).unwrap(),
                clusters.mean(&values, 300, |i| stream(109, i)).unwrap(),
            )
        })
    };
    let one = all(1);
    for threads in [2, 3, 8] {
        assert_eq!(one, all(threads));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    /// Tenths are not exact in binary: the same sum comes out with other last bits.
    #[test]
    fn all_sign_flips_are_counted(tenths in prop::collection::vec(-12i32..=12, 1..12)) {
        let differences: Vec<f64> = tenths.iter().map(|&tenth| f64::from(tenth) / 10.0).collect();
        let observed: i32 = tenths.iter().sum();
        let n = tenths.len();
        let sums: Vec<i32> = (0u32..1 << n)
            .map(|signs| tenths.iter().enumerate().map(|(i, &tenth)| if signs >> i & 1 == 1 { -tenth } else { tenth }).sum())
            .collect();
        for alternative in [Alternative::TwoSided, Alternative::Greater, Alternative::Less] {
            let as_far = sums.iter().filter(|&&sum| match alternative {
                Alternative::TwoSided => sum.abs() >= observed.abs(),
                Alternative::Greater => sum >= observed,
                Alternative::Less => sum <= observed,
            });
            let test = sign_flip_test(&differences, alternative, ALL, |i| stream(110, i)).unwrap();
            prop_assert!(test.exact);
            prop_assert_eq!(test.permutations.exceeding, as_far.count());
            // Drawn signs estimate the same share.
            let few = PermutationLimits { max: 1, stop_after: None };
            let drawn = sign_flip_test(&differences, alternative, few, |i| stream(110, i)).unwrap();
            prop_assert!(!drawn.exact && [0.5, 1.0].contains(&drawn.test.p.p()));
        }
    }

    #[test]
    fn resamples_follow_scale_and_shift(values in prop::collection::vec(-5.0f64..5.0, 2..60), shift in -3.0f64..3.0) {
        let interval = |values: &[f64]| bootstrap_mean(values, 99, |i| stream(111, i)).unwrap();
        let base = interval(&values);
        let moved: Vec<f64> = values.iter().map(|value| 2.0 * value + shift).collect();
        let moved = interval(&moved);
        prop_assert!((moved.low - (2.0 * base.low + shift)).abs() < 1e-9);
        prop_assert!((moved.high - (2.0 * base.high + shift)).abs() < 1e-9);
        // The general form with the mean for its statistic draws the same resamples.
        let mean = |drawn: &[u64]| {
            let sum: f64 = values.iter().zip(drawn).map(|(value, &n)| value * n as f64).sum();
            Ok(sum / values.len() as f64)
        };
        let general = bootstrap(values.len(), 99, mean, |i| stream(111, i)).unwrap().percentile(0.95);
        prop_assert!((general.low - base.low).abs() < ROUNDING * 100.0);
        prop_assert!((general.high - base.high).abs() < ROUNDING * 100.0);
    }

    #[test]
    fn names_and_order_of_clusters_do_not_matter_to_the_estimate(
        rows in prop::collection::vec((0u8..6, -3i8..=3, any::<bool>()), 4..40), turn in 0usize..40,
    ) {
        let measure = |rows: &[(u8, i8, bool)]| {
            let keys: Vec<u8> = rows.iter().map(|row| row.0).collect();
            let values: Vec<f64> = rows.iter().map(|row| f64::from(row.1)).collect();
            let labels: Vec<bool> = rows.iter().map(|row| row.2).collect();
            let clusters = defined(Clusters::new("clusters", &keys)).unwrap().ok()?;
            let auroc = defined(clusters.auroc(&values, &labels, 50, |i| stream(112, i))).unwrap().ok()?;
            Some((clusters.mean(&values, 50, |i| stream(112, i)).unwrap(), auroc))
        };
        let mut turned = rows.clone();
        turned.rotate_left(turn % rows.len());
        prop_assert_eq!(measure(&rows), measure(&turned));
        if let Some((_, clustered)) = measure(&rows) {
            let values: Vec<f64> = rows.iter().map(|row| f64::from(row.1)).collect();
            let labels: Vec<bool> = rows.iter().map(|row| row.2).collect();
            prop_assert_eq!(clustered.estimate, auroc(&values, &labels).unwrap());
        }
    }
}
