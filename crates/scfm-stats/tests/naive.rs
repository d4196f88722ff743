//! Agreement with definitions over all pairs, orders and thresholds, on data full of ties, and what must change
//! nothing or turn round.

use ndarray::Array2;
use proptest::prelude::*;
use scfm_stats::*;

/// The same sum in another order.
const ROUNDING: f64 = 1e-12;

/// The same after a few divisions and roots.
const CLOSE: f64 = 1e-9;

fn cases(n: u32) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(n)
    }
}

/// Values from few, so that ties abound.
fn tied(n: std::ops::Range<usize>) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec((-5i8..=5).prop_map(|value| f64::from(value) / 2.0), n)
}

/// Two scores and labels, at least two of each class.
fn labelled(n: std::ops::Range<usize>) -> impl Strategy<Value = (Vec<f64>, Vec<f64>, Vec<bool>)> {
    prop::collection::vec((-4i8..=4, -4i8..=4, any::<bool>()), n).prop_map(|rows| {
        let mut labels: Vec<bool> = rows.iter().map(|row| row.2).collect();
        labels[..4].copy_from_slice(&[true, false, true, false]);
        let score = |of: fn(&(i8, i8, bool)) -> i8| rows.iter().map(|row| f64::from(of(row)) / 2.0).collect();
        (score(|row| row.0), score(|row| row.1), labels)
    })
}

/// 1 for a > b, ½ for a tie.
fn win(a: f64, b: f64) -> f64 {
    if a > b {
        1.0
    } else if a == b {
        0.5
    } else {
        0.0
    }
}

fn sign(a: f64, b: f64) -> f64 {
    2.0 * win(a, b) - 1.0
}

fn class(scores: &[f64], labels: &[bool], wanted: bool) -> Vec<f64> {
    let pairs = scores.iter().zip(labels);
    pairs
        .filter(|(_, label)| **label == wanted)
        .map(|(score, _)| *score)
        .collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn covariance(a: &[f64], b: &[f64]) -> f64 {
    let (ma, mb) = (mean(a), mean(b));
    let products = a.iter().zip(b).map(|(a, b)| (a - ma) * (b - mb));
    products.sum::<f64>() / (a.len() as f64 - 1.0)
}

/// A strictly rising function of the values that keeps ties.
fn stretched(values: &[f64]) -> Vec<f64> {
    values
        .iter()
        .map(|value| value.powi(3) + 2.0 * value + 1.0)
        .collect()
}

fn negated(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| -value).collect()
}

fn flipped(labels: &[bool]) -> Vec<bool> {
    labels.iter().map(|label| !label).collect()
}

fn turned<T: Clone>(values: &[T], by: usize) -> Vec<T> {
    let mut turned = values.to_vec();
    turned.rotate_left(by % values.len());
    turned
}

/// All orders of 0..n.
fn orders(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    orders(n - 1)
        .iter()
        .flat_map(|order| (0..n).map(move |at| [&order[..at], &[n - 1], &order[at..]].concat()))
        .collect()
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn mid_ranks_count_what_lies_below(values in tied(1..40), turn in 0usize..40) {
        let ranks = mid_ranks(&values).unwrap();
        for (rank, &value) in ranks.iter().zip(&values) {
            let below: f64 = values.iter().map(|&other| win(value, other)).sum();
            prop_assert!((rank - below - 0.5).abs() < ROUNDING);
        }
        let n = values.len() as f64;
        prop_assert!((ranks.iter().sum::<f64>() - n * (n + 1.0) / 2.0).abs() < CLOSE);
        prop_assert_eq!(&mid_ranks(&stretched(&values)).unwrap(), &ranks);
        prop_assert_eq!(mid_ranks(&turned(&values, turn)).unwrap(), turned(&ranks, turn));
        let from_above: Vec<f64> = ranks.iter().map(|rank| n + 1.0 - rank).collect();
        prop_assert_eq!(mid_ranks(&negated(&values)).unwrap(), from_above);
    }

    #[test]
    fn delong_agrees_with_its_definition((a, b, labels) in labelled(5..40), turn in 0usize..40) {
        // Structural components over all pairs, as DeLong et al. (1988) write them.
        let components = |scores: &[f64]| {
            let (positive, negative) = (class(scores, &labels, true), class(scores, &labels, false));
            let of_positive: Vec<f64> =
                positive.iter().map(|&x| mean(&negative.iter().map(|&y| win(x, y)).collect::<Vec<_>>())).collect();
            let of_negative: Vec<f64> =
                negative.iter().map(|&y| mean(&positive.iter().map(|&x| win(x, y)).collect::<Vec<_>>())).collect();
            (of_positive, of_negative)
        };
        let ((a1, a0), (b1, b0)) = (components(&a), components(&b));
        let part = |x: &[f64], y: &[f64]| covariance(x, y) / x.len() as f64;
        let variance = part(&a1, &a1) + part(&a0, &a0);
        match defined(delong_auroc(&a, &labels)).unwrap() {
            Ok(test) => {
                prop_assert!((test.effect - mean(&a1)).abs() < ROUNDING);
                if variance > CLOSE {
                    prop_assert!((test.statistic - (mean(&a1) - 0.5) / variance.sqrt()).abs() < CLOSE);
                }
                let again = delong_auroc(&turned(&stretched(&a), turn), &turned(&labels, turn)).unwrap();
                prop_assert!((again.statistic - test.statistic).abs() < CLOSE);
                // With the classes exchanged wins are losses.
                let other = delong_auroc(&a, &flipped(&labels)).unwrap();
                prop_assert!((other.effect - (1.0 - test.effect)).abs() < ROUNDING);
                prop_assert!((other.statistic + test.statistic).abs() < CLOSE);
                prop_assert!((other.p.p() - test.p.p()).abs() < CLOSE);
                let ci = test.ci.unwrap();
                prop_assert!(ci.low >= 0.0 && ci.low <= test.effect && test.effect <= ci.high && ci.high <= 1.0);
            }
            Err(_) => prop_assert!(variance < ROUNDING),
        }
        let variance = variance + part(&b1, &b1) + part(&b0, &b0) - 2.0 * (part(&a1, &b1) + part(&a0, &b0));
        match defined(delong_difference(&a, &b, &labels)).unwrap() {
            Ok(test) => {
                let difference = mean(&a1) - mean(&b1);
                prop_assert!((test.effect - difference).abs() < ROUNDING);
                if variance > CLOSE {
                    prop_assert!((test.statistic - difference / variance.sqrt()).abs() < CLOSE);
                }
                let swapped = delong_difference(&b, &a, &labels).unwrap();
                prop_assert!((swapped.effect + test.effect).abs() < ROUNDING);
                prop_assert!((swapped.p.p() - test.p.p()).abs() < CLOSE);
            }
            Err(_) => prop_assert!(variance < ROUNDING),
        }
    }

    #[test]
    fn kendall_counts_pairs_and_keeps_to_their_order(pairs in prop::collection::vec((-3i8..=3, -3i8..=3), 3..40), turn in 0usize..40) {
        let (a, b): (Vec<f64>, Vec<f64>) = pairs.into_iter().map(|(a, b)| (f64::from(a), f64::from(b))).unzip();
        let (mut concordant, mut in_a, mut in_b) = (0.0, 0.0, 0.0);
        for i in 0..a.len() {
            for j in 0..i {
                let (x, y) = (sign(a[i], a[j]), sign(b[i], b[j]));
                concordant += x * y;
                in_a += x * x;
                in_b += y * y;
            }
        }
        match defined(kendall(&a, &b)).unwrap() {
            Ok(test) => {
                prop_assert!((test.effect - concordant / f64::sqrt(in_a * in_b)).abs() < CLOSE);
                prop_assert!(test.effect.abs() <= 1.0);
                let p = |test: TestResult| (test.effect, test.p.p());
                let again = p(kendall(&turned(&stretched(&a), turn), &turned(&b, turn)).unwrap());
                prop_assert!((again.0 - test.effect).abs() < ROUNDING && (again.1 - test.p.p()).abs() < CLOSE);
                let swapped = p(kendall(&b, &a).unwrap());
                prop_assert!((swapped.0 - test.effect).abs() < ROUNDING && (swapped.1 - test.p.p()).abs() < CLOSE);
                let other = p(kendall(&negated(&a), &b).unwrap());
                prop_assert!((other.0 + test.effect).abs() < ROUNDING && (other.1 - test.p.p()).abs() < CLOSE);
            }
            Err(_) => prop_assert!(in_a == 0.0 || in_b == 0.0),
        }
    }

    #[test]
    fn curves_turn_round_and_are_bounded((a, _, labels) in labelled(5..40), k in 1usize..40) {
        let value = auroc(&a, &labels).unwrap();
        prop_assert!((auroc(&a, &flipped(&labels)).unwrap() + value - 1.0).abs() < ROUNDING);
        prop_assert!((0.0..=1.0).contains(&value));
        let precision = average_precision(&a, &labels).unwrap();
        prop_assert_eq!(average_precision(&stretched(&a), &labels).unwrap(), precision);
        // No order of the positives is worse than having them last.
        let n_pos = labels.iter().filter(|label| **label).count();
        let n_neg = labels.len() - n_pos;
        let last: f64 = (1..=n_pos).map(|i| i as f64 / (n_neg + i) as f64).sum::<f64>() / n_pos as f64;
        prop_assert!(precision.value >= last - ROUNDING && precision.value <= 1.0 + ROUNDING);
        let k = k.min(a.len());
        let top = top_k(&a, &labels, k).unwrap();
        prop_assert!(top.expected_true_positives <= k.min(n_pos) as f64 + ROUNDING);
        // What is not among the k highest is among the others, counted from below.
        if k < a.len() {
            let bottom = top_k(&negated(&a), &labels, a.len() - k).unwrap();
            let all = top.expected_true_positives + bottom.expected_true_positives;
            prop_assert!((all - n_pos as f64).abs() < CLOSE);
        }
        prop_assert_eq!(top_k(&stretched(&a), &labels, k).unwrap(), top);
    }

    #[test]
    fn jonckheere_terpstra_counts_pairs_of_groups(sizes in prop::collection::vec(1usize..8, 2..5), pool in tied(40..41)) {
        let mut rest = pool.as_slice();
        let groups: Vec<&[f64]> = sizes.iter().map(|&size| {
            let (group, others) = rest.split_at(size);
            rest = others;
            group
        }).collect();
        let (mut statistic, mut pairs) = (0.0, 0.0);
        for (i, lower) in groups.iter().enumerate() {
            for higher in &groups[i + 1..] {
                statistic += lower.iter().flat_map(|&x| higher.iter().map(move |&y| win(y, x))).sum::<f64>();
                pairs += (lower.len() * higher.len()) as f64;
            }
        }
        if let Ok(test) = defined(jonckheere_terpstra(&groups)).unwrap() {
            prop_assert!((test.statistic - statistic).abs() < CLOSE);
            prop_assert!((test.effect - (2.0 * statistic / pairs - 1.0)).abs() < CLOSE);
            let backwards: Vec<&[f64]> = groups.iter().rev().copied().collect();
            let other = jonckheere_terpstra(&backwards).unwrap();
            prop_assert!((other.effect + test.effect).abs() < CLOSE);
            let stretched: Vec<Vec<f64>> = groups.iter().map(|group| stretched(group)).collect();
            let stretched: Vec<&[f64]> = stretched.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(jonckheere_terpstra(&stretched).unwrap(), test);
        }
    }

    #[test]
    fn pages_l_weighs_ranks_by_their_column(rows in 2usize..7, columns in 3usize..7, pool in tied(36..37), turn in 0usize..7) {
        let values = Array2::from_shape_vec((rows, columns), pool[..rows * columns].to_vec()).unwrap();
        let mut statistic = 0.0;
        for row in values.outer_iter() {
            for (j, &value) in row.iter().enumerate() {
                // The rank of a cell: half a win over itself, and half a place.
                let rank = row.iter().map(|&other| win(value, other)).sum::<f64>() + 0.5;
                statistic += (j + 1) as f64 * rank;
            }
        }
        if let Ok(test) = defined(page_trend(values.view())).unwrap() {
            prop_assert!((test.statistic - statistic).abs() < CLOSE);
            prop_assert!(test.effect.abs() <= 1.0 + ROUNDING);
            let order: Vec<usize> = (0..rows).map(|row| (row + turn) % rows).collect();
            let moved = page_trend(values.select(ndarray::Axis(0), &order).view()).unwrap();
            prop_assert!((moved.p.p() - test.p.p()).abs() < CLOSE);
            let backwards = page_trend(values.mapv(|value| -value).view()).unwrap();
            prop_assert!((backwards.effect + test.effect).abs() < CLOSE);
        }
    }

    #[test]
    fn partial_correlation_is_that_of_residuals(rows in prop::collection::vec((-4i8..=4, -4i8..=4, -4i8..=4), 8..40), turn in 0usize..40) {
        let column = |of: fn(&(i8, i8, i8)) -> i8| -> Vec<f64> { rows.iter().map(|row| f64::from(of(row))).collect() };
        let (a, b, z) = (column(|r| r.0), column(|r| r.1), column(|r| r.2));
        let rho = |x: &[f64], y: &[f64]| defined(spearman(x, y)).unwrap().map(|test| test.effect);
        let (Ok(ab), Ok(az), Ok(bz)) = (rho(&a, &b), rho(&a, &z), rho(&b, &z)) else {
            return Ok(());
        };
        let given = RankCovariates::new(&[&z]).unwrap();
        if az.abs() < 0.99 && bz.abs() < 0.99 {
            let test = given.partial_spearman(&a, &b).unwrap();
            let expected = (ab - az * bz) / f64::sqrt((1.0 - az * az) * (1.0 - bz * bz));
            prop_assert!((test.effect - expected).abs() < CLOSE, "{} {expected}", test.effect);
            let moved = RankCovariates::new(&[&turned(&stretched(&z), turn)]).unwrap();
            let moved = moved.partial_spearman(&turned(&stretched(&a), turn), &turned(&b, turn)).unwrap();
            prop_assert!((moved.effect - test.effect).abs() < CLOSE);
        }
    }
}

proptest! {
    #![proptest_config(cases(60))]

    /// A tied block at the boundary is broken in every order there is.
    #[test]
    fn top_k_is_the_mean_over_all_orders_of_ties((scores, _, labels) in labelled(4..8), k in 1usize..8) {
        let k = k.min(scores.len());
        let orders = orders(scores.len());
        let mut total = 0.0;
        for order in &orders {
            let mut chosen: Vec<usize> = (0..scores.len()).collect();
            chosen.sort_by(|&i, &j| scores[j].total_cmp(&scores[i]).then(order[i].cmp(&order[j])));
            total += chosen[..k].iter().filter(|&&i| labels[i]).count() as f64;
        }
        let top = top_k(&scores, &labels, k).unwrap();
        prop_assert!((top.expected_true_positives - total / orders.len() as f64).abs() < CLOSE);
    }

    /// Van Elteren's and Welch's stratified tests with one stratum, and the sum over pairs of the former's effect.
    #[test]
    fn strata_count_pairs_within_themselves(values in tied(24..25), cut in 2usize..10) {
        let (first, second) = values.split_at(12);
        let strata: Vec<(&[f64], &[f64])> = [first, second].map(|stratum| stratum.split_at(cut)).to_vec();
        let (mut won, mut pairs) = (0.0, 0.0);
        for (a, b) in &strata {
            let weight = 1.0 / (a.len() + b.len() + 1) as f64;
            won += weight * a.iter().flat_map(|&x| b.iter().map(move |&y| win(x, y))).sum::<f64>();
            pairs += weight * (a.len() * b.len()) as f64;
        }
        let sorted: Vec<(SortedSample, SortedSample)> =
            strata.iter().map(|(a, b)| (SortedSample::new(a).unwrap(), SortedSample::new(b).unwrap())).collect();
        let borrowed: Vec<(&SortedSample, &SortedSample)> = sorted.iter().map(|(a, b)| (a, b)).collect();
        let swapped: Vec<(&SortedSample, &SortedSample)> = sorted.iter().map(|(a, b)| (b, a)).collect();
        if let Ok(test) = defined(van_elteren(&borrowed)).unwrap() {
            prop_assert!((test.effect - won / pairs).abs() < CLOSE);
            let other = van_elteren(&swapped).unwrap();
            prop_assert!((other.effect + test.effect - 1.0).abs() < CLOSE);
            prop_assert!((other.p.p() - test.p.p()).abs() < CLOSE);
        }
    }
}
