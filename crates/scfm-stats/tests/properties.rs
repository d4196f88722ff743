//! Invariances, bounds, and agreement with definitions written out in full.

use ndarray::Array2;
use proptest::prelude::*;
use scfm_stats::*;

/// The same sum in another order.
const ROUNDING: f64 = 1e-12;

/// Scores from few values, so that ties abound, with labels of both classes.
fn labelled() -> impl Strategy<Value = (Vec<f64>, Vec<bool>)> {
    prop::collection::vec((-4i8..=4, any::<bool>()), 2..40).prop_map(|pairs| {
        let (scores, mut labels): (Vec<f64>, Vec<bool>) = pairs
            .into_iter()
            .map(|(score, label)| (f64::from(score) / 2.0, label))
            .unzip();
        (labels[0], labels[1]) = (true, false);
        (scores, labels)
    })
}

fn sample(n: std::ops::Range<usize>) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec((-6i8..=6).prop_map(|value| f64::from(value) / 2.0), n)
}

/// Pairs won by `a`, ties ½.
fn wins(a: &[f64], b: &[f64]) -> f64 {
    let win = |a: f64, b: f64| {
        if a > b {
            1.0
        } else {
            f64::from(u8::from(a == b)) / 2.0
        }
    };
    a.iter().map(|&a| b.iter().map(|&b| win(a, b)).sum::<f64>()).sum()
}

fn split(scores: &[f64], labels: &[bool]) -> (Vec<f64>, Vec<f64>) {
    let class = |wanted| {
        scores
            .iter()
            .zip(labels)
            .filter(|(_, label)| **label == wanted)
            .map(|(score, _)| *score)
            .collect()
    };
    (class(true), class(false))
}

fn negated(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| -value).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn auroc_counts_pairs((scores, labels) in labelled()) {
        let (positive, negative) = split(&scores, &labels);
        let expected = wins(&positive, &negative) / (positive.len() * negative.len()) as f64;
        let value = auroc(&scores, &labels).unwrap();
        prop_assert!((value - expected).abs() < ROUNDING);
        prop_assert_eq!(SortedScores::new(&scores).unwrap().auroc(&labels).unwrap(), value);
        prop_assert_eq!(mann_whitney(&positive, &negative).unwrap().effect, value);
        // Only the order counts; turned round, wins are losses.
        let stretched: Vec<f64> = scores.iter().map(|score| score.exp() * 3.0 - 1.0).collect();
        prop_assert_eq!(auroc(&stretched, &labels).unwrap(), value);
        prop_assert!((auroc(&negated(&scores), &labels).unwrap() + value - 1.0).abs() < ROUNDING);
    }

    #[test]
    fn order_of_the_input_does_not_matter((scores, labels) in labelled(), turn in 0usize..40, k in 1usize..40) {
        let (mut turned, mut labels_turned) = (scores.clone(), labels.clone());
        turned.rotate_left(turn % scores.len());
        labels_turned.rotate_left(turn % scores.len());
        prop_assert_eq!(auroc(&scores, &labels), auroc(&turned, &labels_turned));
        prop_assert_eq!(average_precision(&scores, &labels), average_precision(&turned, &labels_turned));
        prop_assert_eq!(top_k(&scores, &labels, k), top_k(&turned, &labels_turned, k));
    }

    #[test]
    fn average_precision_sums_precision_over_thresholds((scores, labels) in labelled()) {
        let value = average_precision(&scores, &labels).unwrap();
        let n_pos = labels.iter().filter(|label| **label).count() as f64;
        // The precision among all scores as high as a positive's, averaged over the positives.
        let precision = |threshold: f64| {
            let above: Vec<bool> =
                scores.iter().zip(&labels).filter(|(score, _)| **score >= threshold).map(|(_, label)| *label).collect();
            above.iter().filter(|label| **label).count() as f64 / above.len() as f64
        };
        let expected = split(&scores, &labels).0.into_iter().map(precision).sum::<f64>() / n_pos;
        prop_assert!((value.value - expected).abs() < ROUNDING);
        prop_assert!(value.value > 0.0 && value.value <= 1.0);
    }

    #[test]
    fn top_k_expects_over_the_tied_block((scores, labels) in labelled(), k in 1usize..40) {
        prop_assume!(k <= scores.len());
        let mut descending = scores.clone();
        descending.sort_by(|a, b| b.total_cmp(a));
        let boundary = descending[k - 1];
        let count = |keep: &dyn Fn(f64) -> bool, label: bool| {
            scores.iter().zip(&labels).filter(|(score, other)| keep(**score) && (**other || !label)).count() as f64
        };
        let above = count(&|score| score > boundary, false);
        let tied = count(&|score| score == boundary, false);
        let expected = count(&|score| score > boundary, true)
            + (k as f64 - above) * count(&|score| score == boundary, true) / tied;
        let top = top_k(&scores, &labels, k).unwrap();
        prop_assert!((top.expected_true_positives - expected).abs() < ROUNDING);
        prop_assert!(top.f1 <= top.f1_ceiling + ROUNDING);
    }

    #[test]
    fn mann_whitney_is_antisymmetric_and_counts_pairs(a in sample(1..12), b in sample(1..120)) {
        let (ab, ba) = (mann_whitney(&a, &b).unwrap(), mann_whitney(&b, &a).unwrap());
        prop_assert_eq!(ab.p, ba.p);
        prop_assert_eq!(ab.statistic, wins(&a, &b));
        prop_assert_eq!(ab.statistic + ba.statistic, (a.len() * b.len()) as f64);
    }

    #[test]
    fn zeros_need_not_be_stored(a in sample(1..30), b in sample(1..30), zeros in 0usize..50) {
        let dense: Vec<f64> = a.iter().copied().chain(std::iter::repeat_n(0.0, zeros)).collect();
        let sparse = SortedSample::with_zeros(&a, zeros).unwrap();
        prop_assert_eq!(&sparse, &SortedSample::new(&dense).unwrap());
        let other = SortedSample::new(&b).unwrap();
        prop_assert_eq!(mann_whitney_sorted(&sparse, &other).unwrap(), mann_whitney(&dense, &b).unwrap());
    }

    #[test]
    fn exact_mann_whitney_enumerates_the_splits(order in Just((0..9).collect::<Vec<usize>>()).prop_shuffle(), na in 1usize..9) {
        let values: Vec<f64> = order.iter().map(|&value| value as f64).collect();
        let (a, b) = values.split_at(na);
        let centre = (na * (9 - na)) as f64 / 2.0;
        let observed = (wins(a, b) - centre).abs();
        let (mut as_far, mut all) = (0, 0);
        for chosen in 0u32..1 << 9 {
            if chosen.count_ones() as usize == na {
                let labels: Vec<bool> = (0..9).map(|i| chosen >> i & 1 == 1).collect();
                let (a, b) = split(&values, &labels);
                as_far += usize::from((wins(&a, &b) - centre).abs() >= observed);
                all += 1;
            }
        }
        let p = mann_whitney(a, b).unwrap().p.p();
        prop_assert!((p - as_far as f64 / all as f64).abs() < ROUNDING);
    }

    #[test]
    fn signed_rank_turns_round_and_enumerates(differences in sample(1..11)) {
        prop_assume!(differences.iter().any(|difference| *difference != 0.0));
        for zeros in [Zeros::Drop, Zeros::Pratt] {
            let test = wilcoxon_signed_rank(&differences, zeros).unwrap();
            let turned = wilcoxon_signed_rank(&negated(&differences), zeros).unwrap();
            prop_assert_eq!(test.p, turned.p);
            prop_assert!((test.effect + turned.effect).abs() < ROUNDING);

            let kept: Vec<f64> =
                differences.iter().copied().filter(|d| zeros == Zeros::Pratt || *d != 0.0).collect();
            let sizes: Vec<f64> = kept.iter().map(|d| d.abs()).collect();
            let ranks = mid_ranks(&sizes).unwrap();
            let ranks: Vec<f64> = ranks.into_iter().zip(&kept).filter(|(_, d)| **d != 0.0).map(|(r, _)| r).collect();
            let half = ranks.iter().sum::<f64>() / 2.0;
            let as_far = (0u32..1 << ranks.len()).filter(|signs| {
                let sum: f64 = ranks.iter().enumerate().filter(|(i, _)| signs >> i & 1 == 1).map(|(_, r)| r).sum();
                (sum - half).abs() >= (test.statistic - half).abs()
            });
            let expected = as_far.count() as f64 / f64::from(1u32 << ranks.len());
            prop_assert!((test.p.p() - expected).abs() < ROUNDING);
        }
    }

    #[test]
    fn t_tests_turn_round_with_their_groups(a in sample(2..20), b in sample(2..20), shift in -5.0f64..5.0) {
        match (defined(welch_t(&a, &b)).unwrap(), defined(welch_t(&b, &a)).unwrap()) {
            (Ok(ab), Ok(ba)) => {
                prop_assert_eq!(ab.statistic, -ba.statistic);
                prop_assert_eq!(ab.p, ba.p);
                // An interval of 95 % leaves out 0 where p is below 0.05.
                prop_assert_eq!(ab.ci.unwrap().contains(0.0), ab.p.p() >= 0.05);
                let moved = |values: &[f64]| values.iter().map(|value| value + shift).collect::<Vec<_>>();
                if let Ok(moved) = defined(welch_t(&moved(&a), &moved(&b))).unwrap() {
                    prop_assert!((moved.effect - ab.effect).abs() < 1e-9);
                }
            }
            (ab, ba) => prop_assert!(ab.is_err() && ba.is_err()),
        }
    }

    #[test]
    fn correlations_are_symmetric_and_bounded(pairs in prop::collection::vec((-3i8..=3, -3i8..=3), 3..30)) {
        let (a, b): (Vec<f64>, Vec<f64>) = pairs.into_iter().map(|(a, b)| (f64::from(a), f64::from(b))).unzip();
        for test in [pearson, spearman] {
            let (ab, ba) = (defined(test(&a, &b)).unwrap(), defined(test(&b, &a)).unwrap());
            prop_assert_eq!(ab.is_ok(), ba.is_ok());
            if let (Ok(ab), Ok(ba)) = (ab, ba) {
                prop_assert!((ab.effect - ba.effect).abs() < ROUNDING && ab.effect.abs() <= 1.0);
                prop_assert!((ab.p.p() - ba.p.p()).abs() < 1e-9);
                let turned = test(&a, &negated(&b)).unwrap();
                prop_assert!((turned.effect + ab.effect).abs() < ROUNDING);
            }
        }
        if a.len() > 10 {
            // A change of scale that keeps the order changes no rank correlation.
            let stretched: Vec<f64> = a.iter().map(|value| value.powi(3) + value).collect();
            prop_assert_eq!(defined(spearman(&a, &b)).unwrap(), defined(spearman(&stretched, &b)).unwrap());
        }
    }

    #[test]
    fn corrections_keep_the_order_and_only_raise(p in prop::collection::vec(0.0f64..=1.0, 1..30)) {
        let all = [benjamini_hochberg(&p), benjamini_yekutieli(&p), holm(&p), bonferroni(&p)];
        for adjusted in &all {
            for (i, &value) in adjusted.iter().enumerate() {
                prop_assert!(value >= p[i] * (1.0 - ROUNDING) && value <= 1.0);
                prop_assert!(p.iter().zip(adjusted).all(|(other, q)| *other < p[i] || *q >= value));
            }
        }
        let not_above = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| *a <= b * (1.0 + ROUNDING));
        prop_assert!(not_above(&all[0], &all[1]) && not_above(&all[0], &all[2]) && not_above(&all[2], &all[3]));
    }
}

#[test]
fn spearman_columns_agrees_with_pairs_of_columns() {
    // More columns than a block, ties, a constant column and one with NaN.
    let mut columns = Array2::from_shape_fn((25, 150), |(row, column)| {
        ((row * row + 3) * (column + 7) % 23) as f64
    });
    columns.column_mut(4).fill(2.5);
    columns[[3, 9]] = f64::NAN;
    let correlations = spearman_columns(columns.view());
    for i in 0..150 {
        for j in 0..150 {
            let value = correlations[[i, j]];
            if [4, 9].contains(&i) || [4, 9].contains(&j) {
                assert!(value.is_nan());
                continue;
            }
            match spearman(&columns.column(i).to_vec(), &columns.column(j).to_vec()) {
                Ok(test) => assert!(
                    (value - test.effect).abs() < ROUNDING,
                    "{i} {j}: {value} {}",
                    test.effect
                ),
                Err(error) => assert!(value.is_nan(), "{i} {j}: {error}"),
            }
        }
    }
}

#[test]
fn degenerate_input_has_defined_answers() {
    let flat = [2.0, 2.0, 2.0];
    let same = welch_t(&flat, &[2.0, 2.0]).unwrap();
    assert_eq!((same.statistic, same.p.p()), (0.0, 1.0));
    let difference = Undefined::NoVariance {
        what: "the mean difference",
        difference: -1.0,
    };
    assert_eq!(welch_t(&flat, &[3.0, 3.0]), Err(difference.into()));
    assert_eq!(welch_t(&flat, &[]), Err(Error::Empty { what: "second group" }));
    assert_eq!(
        welch_t(&[1.0], &flat),
        Err(Undefined::TooFew {
            what: "first group",
            n: 1,
            needed: 2
        }
        .into())
    );
    assert_eq!(
        welch_t(&[1.0, f64::INFINITY], &flat),
        Err(Error::NotFinite {
            what: "first group",
            row: 1
        })
    );
    assert_eq!(
        spearman(&flat, &[1.0, 2.0, 3.0]),
        Err(Undefined::Constant { what: "first vector" }.into())
    );
    assert_eq!(mann_whitney(&flat, &flat).unwrap().p.p(), 1.0);
    assert_eq!(
        mann_whitney(&flat, &[]),
        Err(Error::Empty { what: "second group" })
    );
    assert_eq!(
        auroc(&flat, &[true; 3]),
        Err(Undefined::OneClass { n_pos: 3, n_neg: 0 }.into())
    );
    assert_eq!(
        auroc(&flat, &[true]),
        Err(Error::Length {
            what: "labels",
            expected: 3,
            got: 1
        })
    );
    assert!(matches!(
        sign_test(&[0.0, 0.0]),
        Err(Error::Undefined(Undefined::TooFew { n: 0, .. }))
    ));
    assert!(matches!(
        tost(0.1, 0.0, 9.0, 0.2),
        Err(Error::Undefined(Undefined::NoVariance { .. }))
    ));
    assert!(matches!(
        tost(0.1, 1.0, 9.0, -0.2),
        Err(Error::OutOfRange { what: "bound", .. })
    ));
}

#[test]
fn early_precision_is_one_for_a_random_tie_and_the_inverse_base_rate_for_a_perfect_order() {
    let labels = [true, true, false, false, false, false, false, false];
    assert_eq!(early_precision_ratio(&[1.0; 8], &labels).unwrap(), 1.0);
    let perfect = [9.0, 8.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
    assert_eq!(early_precision_ratio(&perfect, &labels).unwrap(), 4.0);
}

#[test]
fn cohens_d_is_the_difference_in_pooled_standard_deviations() {
    let d = cohen_d(Moments::of(&[1.0, 2.0, 3.0]), Moments::of(&[4.0, 5.0, 6.0])).unwrap();
    assert_eq!(d, -3.0);
}
