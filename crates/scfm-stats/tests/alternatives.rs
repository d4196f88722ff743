//! Tests against each alternative: how the sides relate, what leaves them alone, and counting out all that can happen.

use ndarray::{Array2, Axis};
use proptest::prelude::*;
use scfm_stats::*;

/// Probabilities of some thousand equally likely outcomes, summed in another order.
const ROUNDING: f64 = 1e-12;

const ALTERNATIVES: [Alternative; 3] = [Alternative::TwoSided, Alternative::Greater, Alternative::Less];

/// Values on a coarse grid, so that ties are common.
fn sample(n: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec((-6i8..=6).prop_map(|value| f64::from(value) / 2.0), n)
}

fn distinct(n: usize) -> impl Strategy<Value = Vec<f64>> {
    Just((0..n).map(|value| value as f64).collect::<Vec<_>>()).prop_shuffle()
}

fn negated(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| -value).collect()
}

fn ln_p(test: &TestResult, alternative: Alternative) -> f64 {
    test.against(alternative).expect("a test with sides").p.ln_p()
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= ROUNDING * b.abs().max(1.0)
}

/// Turned data exchange greater and less, and nothing else.
fn turned(test: Result<TestResult, Error>, other: Result<TestResult, Error>) -> Result<(), TestCaseError> {
    let (test, other) = match (defined(test).unwrap(), defined(other).unwrap()) {
        (Ok(test), Ok(other)) => (test, other),
        (test, other) => {
            prop_assert_eq!(test.is_err(), other.is_err());
            return Ok(());
        }
    };
    for (alternative, opposite) in [
        (Alternative::TwoSided, Alternative::TwoSided),
        (Alternative::Greater, Alternative::Less),
        (Alternative::Less, Alternative::Greater),
    ] {
        let (p, q) = (ln_p(&test, alternative), ln_p(&other, opposite));
        prop_assert!(close(p, q), "{}: {p} against {q}", test.method);
    }
    Ok(())
}

/// Two-sided is twice the smaller side, at most 1, and the sides cover everything.
fn doubled(test: Result<TestResult, Error>) -> Result<(), TestCaseError> {
    let Ok(test) = defined(test).unwrap() else {
        return Ok(());
    };
    let [both, greater, less] = ALTERNATIVES.map(|alternative| ln_p(&test, alternative));
    let expected = (greater.min(less) + std::f64::consts::LN_2).min(0.0);
    prop_assert!(close(both, expected), "{}: {both} not {expected}", test.method);
    prop_assert!(greater.exp() + less.exp() >= 1.0 - ROUNDING, "{}", test.method);
    Ok(())
}

/// Shares of equally likely outcomes at least as far as `observed` from `centre`, at least as high, at least as low.
fn shares(outcomes: impl Iterator<Item = f64>, observed: f64, centre: f64) -> [f64; 3] {
    let (mut counts, mut all) = ([0.0; 3], 0.0);
    for outcome in outcomes {
        all += 1.0;
        let as_far = (outcome - centre).abs() >= (observed - centre).abs() - 1e-9;
        let kept = [as_far, outcome >= observed - 1e-9, outcome <= observed + 1e-9];
        for (count, kept) in counts.iter_mut().zip(kept) {
            *count += f64::from(u8::from(kept));
        }
    }
    counts.map(|count| count / all)
}

fn counted(test: &TestResult, expected: [f64; 3]) -> Result<(), TestCaseError> {
    for (alternative, expected) in ALTERNATIVES.into_iter().zip(expected) {
        let p = ln_p(test, alternative).exp();
        prop_assert!(
            (p - expected).abs() < ROUNDING,
            "{} {}: {p} not {expected}",
            test.method,
            alternative.as_str()
        );
    }
    Ok(())
}

/// All orders of 0..n.
fn orders(n: usize) -> Vec<Vec<usize>> {
    let Some(last) = n.checked_sub(1) else {
        return vec![Vec::new()];
    };
    let insert = |order: Vec<usize>| (0..n).map(move |at| [&order[..at], &[last], &order[at..]].concat());
    orders(last).into_iter().flat_map(insert).collect()
}

fn rearranged(values: &[f64], order: &[usize]) -> Vec<f64> {
    order.iter().map(|&i| values[i]).collect()
}

fn elteren(strata: &[(&[f64], &[f64])]) -> Result<TestResult, Error> {
    let sorted = |values: &[f64]| SortedSample::new(values).unwrap();
    let strata: Vec<_> = strata.iter().map(|(a, b)| (sorted(a), sorted(b))).collect();
    van_elteren(&strata.iter().map(|(a, b)| (a, b)).collect::<Vec<_>>())
}

fn within(strata: &[(&[f64], &[f64])]) -> Result<TestResult, Error> {
    let strata = strata.iter().map(|(a, b)| (Moments::of(a), Moments::of(b)));
    stratified_welch(&strata.collect::<Vec<_>>())
}

fn given_first(covariate: &[f64], a: &[f64], b: &[f64]) -> Result<TestResult, Error> {
    RankCovariates::new(&[covariate])?.partial_spearman(a, b)
}

proptest! {
    #[test]
    fn exchanging_two_groups_exchanges_the_sides(
        a in sample(2..30), b in sample(2..30), c in sample(2..9), d in sample(2..9),
    ) {
        turned(welch_t(&a, &b), welch_t(&b, &a))?;
        turned(mann_whitney(&a, &b), mann_whitney(&b, &a))?;
        turned(within(&[(&a, &b), (&c, &d)]), within(&[(&b, &a), (&d, &c)]))?;
        turned(elteren(&[(&a, &b), (&c, &d)]), elteren(&[(&b, &a), (&d, &c)]))?;
        turned(elteren(&[(&a, &b)]), elteren(&[(&b, &a)]))?;
        let groups: [&[f64]; 4] = [&a, &c, &b, &d];
        let reversed: [&[f64]; 4] = [&d, &b, &c, &a];
        turned(jonckheere_terpstra(&groups), jonckheere_terpstra(&reversed))?;
        for test in [
            welch_t(&a, &b), mann_whitney(&a, &b), within(&[(&a, &b), (&c, &d)]),
            elteren(&[(&a, &b), (&c, &d)]), elteren(&[(&a, &b)]), jonckheere_terpstra(&groups),
        ] {
            doubled(test)?;
        }
    }

    #[test]
    fn turning_differences_exchanges_the_sides(differences in sample(2..70)) {
        let other = negated(&differences);
        turned(one_sample_t(&differences, 0.0), one_sample_t(&other, 0.0))?;
        doubled(one_sample_t(&differences, 0.5))?;
        turned(sign_test(&differences), sign_test(&other))?;
        doubled(sign_test(&differences))?;
        for zeros in [Zeros::Drop, Zeros::Pratt] {
            turned(wilcoxon_signed_rank(&differences, zeros), wilcoxon_signed_rank(&other, zeros))?;
            doubled(wilcoxon_signed_rank(&differences, zeros))?;
        }
        let zero = vec![0.0; differences.len()];
        turned(paired_t(&differences, &zero), paired_t(&zero, &differences))?;
    }

    #[test]
    fn turning_one_vector_exchanges_the_sides(triples in prop::collection::vec((-4i8..=4, -4i8..=4, -4i8..=4), 3..60)) {
        let of = |pick: fn(&(i8, i8, i8)) -> i8| triples.iter().map(|x| f64::from(pick(x))).collect::<Vec<_>>();
        let (a, b, c) = (of(|x| x.0), of(|x| x.1), of(|x| x.2));
        for test in [pearson, kendall] {
            turned(test(&a, &b), test(&negated(&a), &b))?;
            turned(test(&a, &b), test(&a, &negated(&b)))?;
            doubled(test(&a, &b))?;
        }
        // All arrangements of up to ten pairs are slow to count; they have a test of their own below.
        if a.len() > 10 {
            turned(spearman(&a, &b), spearman(&a, &negated(&b)))?;
            doubled(spearman(&a, &b))?;
            turned(given_first(&c, &a, &b), given_first(&c, &a, &negated(&b)))?;
            doubled(given_first(&c, &a, &b))?;
        }
        let labels: Vec<bool> = c.iter().map(|value| *value > 0.0).collect();
        turned(delong_auroc(&a, &labels), delong_auroc(&negated(&a), &labels))?;
        doubled(delong_auroc(&a, &labels))?;
        turned(delong_difference(&a, &b, &labels), delong_difference(&b, &a, &labels))?;
    }

    #[test]
    fn turning_counts_exchanges_the_sides(table in prop::array::uniform4(0u64..60), share in 0.01f64..0.99) {
        let [a, b, c, d] = table;
        turned(fisher_exact([[a, b], [c, d]]), fisher_exact([[b, a], [d, c]]))?;
        turned(fisher_exact([[a, b], [c, d]]), fisher_exact([[c, d], [a, b]]))?;
        turned(mcnemar(a, b), mcnemar(b, a))?;
        let (n, share) = (a + b + 1, (share * 64.0).round() / 64.0);
        turned(binomial_test(a, n, share), binomial_test(n - a, n, 1.0 - share))?;
    }

    #[test]
    fn rank_tests_see_orders_alone(
        a in sample(3..20), b in sample(3..20), seed in any::<u64>(),
    ) {
        let stretch = |values: &[f64]| values.iter().map(|value| value.exp() * 3.0 - 7.0).collect::<Vec<_>>();
        // Another order of the same values.
        let stir = |values: &[f64]| {
            let mut values = values.to_vec();
            let n = values.len();
            values.rotate_left(seed as usize % n);
            values.swap(0, n / 2);
            values
        };
        let test = mann_whitney(&a, &b).unwrap();
        prop_assert_eq!(&mann_whitney(&stretch(&a), &stretch(&b)).unwrap(), &test);
        prop_assert_eq!(&mann_whitney(&stir(&a), &stir(&b)).unwrap(), &test);
        let groups = |change: &dyn Fn(&[f64]) -> Vec<f64>| {
            let groups = [&a[..1], &b[..], &a[1..]].map(change);
            defined(jonckheere_terpstra(&groups.each_ref().map(Vec::as_slice))).unwrap()
        };
        let trend = groups(&<[f64]>::to_vec);
        prop_assert_eq!(&groups(&stretch), &trend);
        prop_assert_eq!(&groups(&stir), &trend);
        let n = a.len().min(b.len());
        let (x, y) = (&a[..n], &b[..n]);
        let tau = defined(kendall(x, y)).unwrap();
        prop_assert_eq!(&defined(kendall(&stretch(x), &stretch(y))).unwrap(), &tau);
        prop_assert_eq!(&defined(kendall(&stir(x), &stir(y))).unwrap(), &tau);
        let signed = defined(wilcoxon_signed_rank(&a, Zeros::Pratt)).unwrap();
        let cubed: Vec<f64> = a.iter().map(|value| value.powi(3)).collect();
        match (defined(wilcoxon_signed_rank(&cubed, Zeros::Pratt)).unwrap(), signed) {
            (Ok(cubed), Ok(signed)) => prop_assert_eq!((cubed.statistic, cubed.p), (signed.statistic, signed.p)),
            (cubed, signed) => prop_assert_eq!(cubed, signed),
        }
        prop_assert_eq!(
            defined(wilcoxon_signed_rank(&stir(&a), Zeros::Drop)).unwrap().map(|test| test.p),
            defined(wilcoxon_signed_rank(&a, Zeros::Drop)).unwrap().map(|test| test.p)
        );
    }

    #[test]
    fn mann_whitney_counts_all_splits(values in distinct(7), na in 1usize..7) {
        let u = |a: &[f64], b: &[f64]| a.iter().flat_map(|x| b.iter().map(move |y| f64::from(u8::from(x > y)))).sum::<f64>();
        let (a, b) = values.split_at(na);
        let splits = orders(7).into_iter().map(|order| {
            let order = rearranged(&values, &order);
            u(&order[..na], &order[na..])
        });
        let centre = (na * (7 - na)) as f64 / 2.0;
        counted(&mann_whitney(a, b).unwrap(), shares(splits, u(a, b), centre))?;
    }

    #[test]
    fn signed_ranks_count_all_signs(differences in sample(1..8)) {
        prop_assume!(differences.iter().any(|difference| *difference != 0.0));
        for zeros in [Zeros::Drop, Zeros::Pratt] {
            let kept: Vec<f64> = differences.iter().copied().filter(|d| zeros == Zeros::Pratt || *d != 0.0).collect();
            let sizes: Vec<f64> = kept.iter().map(|d| d.abs()).collect();
            let ranks: Vec<f64> = mid_ranks(&sizes).unwrap().into_iter().zip(&kept).map(|(r, d)| if *d == 0.0 { 0.0 } else { r }).collect();
            let sum = |signs: u32| ranks.iter().enumerate().filter(|(i, _)| signs >> i & 1 == 1).map(|(_, r)| r).sum::<f64>();
            let test = wilcoxon_signed_rank(&differences, zeros).unwrap();
            let centre = ranks.iter().sum::<f64>() / 2.0;
            counted(&test, shares((0..1u32 << ranks.len()).map(sum), test.statistic, centre))?;
        }
        let signs: Vec<f64> = differences.iter().filter(|d| **d != 0.0).map(|d| d.signum()).collect();
        let positive = |signs: u32| f64::from(signs.count_ones());
        let observed = signs.iter().filter(|sign| **sign > 0.0).count() as f64;
        let all = (0..1u32 << signs.len()).map(positive);
        counted(&sign_test(&differences).unwrap(), shares(all, observed, signs.len() as f64 / 2.0))?;
    }

    #[test]
    fn correlations_count_all_arrangements(a in distinct(7), b in distinct(7), tied in sample(3..8)) {
        let tau = |a: &[f64], b: &[f64]| kendall(a, b).unwrap().statistic;
        let all = orders(7);
        let arrangements = all.iter().map(|order| {
            // Discordant pairs of the identity and the order, without going through the function under test.
            let inversions = (0..7).flat_map(|j| (0..j).map(move |i| (i, j))).filter(|&(i, j)| order[i] > order[j]).count();
            1.0 - 2.0 * inversions as f64 / 21.0
        });
        counted(&kendall(&a, &b).unwrap(), shares(arrangements, tau(&a, &b), 0.0))?;

        let n = tied.len();
        let other = &b[..n];
        prop_assume!(tied.iter().any(|value| *value != tied[0]));
        let test = spearman(&tied, other).unwrap();
        let (ra, rb) = (mid_ranks(&tied).unwrap(), mid_ranks(other).unwrap());
        let product = |b: &[f64]| ra.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
        let middle = ra.iter().sum::<f64>() * rb.iter().sum::<f64>() / n as f64;
        let arrangements = orders(n).into_iter().map(|order| product(&rearranged(&rb, &order)));
        counted(&test, shares(arrangements, product(&rb), middle))?;
    }

    #[test]
    fn page_counts_all_orders_of_two_rows(first in distinct(4), second in distinct(4)) {
        let values = Array2::from_shape_vec((2, 4), [first, second].concat()).unwrap();
        let test = page_trend(values.view()).unwrap();
        let l = |order: &Vec<usize>| order.iter().zip(1..).map(|(rank, j)| (rank + 1) as f64 * f64::from(j)).sum::<f64>();
        let of_row: Vec<f64> = orders(4).iter().map(l).collect();
        let both = of_row.iter().flat_map(|x| of_row.iter().map(move |y| x + y));
        counted(&test, shares(both, test.statistic, 50.0))?;
        let mut reversed = values.clone();
        reversed.invert_axis(Axis(1));
        turned(Ok(test), page_trend(reversed.view()))?;
    }

    #[test]
    fn an_estimate_answers_as_the_test_does(a in sample(2..20), b in sample(2..20)) {
        let (ma, mb) = (Moments::of(&a), Moments::of(&b));
        let estimate = Estimate::welch(ma, mb).unwrap();
        match defined(welch_t_from_moments(ma, mb)).unwrap() {
            Ok(test) => {
                prop_assert_eq!(estimate.t().unwrap(), test.statistic);
                prop_assert_eq!(Some(estimate.interval(0.95).unwrap()), test.ci);
                for alternative in ALTERNATIVES {
                    prop_assert_eq!(estimate.p(alternative).unwrap(), test.against(alternative).unwrap().p);
                }
            }
            Err(_) => prop_assert!(estimate.t().is_err() && estimate.p(Alternative::Less).is_err()),
        }
        let ranks = RankSum::of(&SortedSample::new(&a).unwrap(), &SortedSample::new(&b).unwrap()).unwrap();
        let test = mann_whitney(&a, &b).unwrap();
        prop_assert_eq!((ranks.u(), ranks.auroc(), Some(ranks.interval())), (test.statistic, test.effect, test.ci));
        for alternative in ALTERNATIVES {
            prop_assert_eq!(ranks.p(alternative), test.against(alternative).unwrap().p);
        }
    }

    #[test]
    fn intervals_hold_their_effect(differences in sample(2..40), a in sample(2..9), b in sample(2..9), c in sample(2..9)) {
        let holds = |test: Result<TestResult, Error>, lowest: f64| -> Result<(), TestCaseError> {
            if let Ok(TestResult { ci: Some(ci), effect, .. }) = test {
                prop_assert!(lowest <= ci.low && ci.low <= effect && effect <= ci.high && ci.high <= 1.0);
                prop_assert!(ci.low < ci.high);
            }
            Ok(())
        };
        holds(wilcoxon_signed_rank(&differences, Zeros::Drop), -1.0)?;
        holds(wilcoxon_signed_rank(&differences, Zeros::Pratt), -1.0)?;
        holds(sign_test(&differences), 0.0)?;
        holds(mann_whitney(&a, &b), 0.0)?;
        holds(jonckheere_terpstra(&[&a, &b, &c]), -1.0)?;
    }
}

/// Far from the null value a one-sided p must come from its own tail: as the complement of the other it would be 0.
#[test]
fn one_sided_tails_keep_their_digits() {
    let low: Vec<f64> = (0..800).map(f64::from).collect();
    let high: Vec<f64> = (0..900).map(|i| 2_000.0 + f64::from(i)).collect();
    let labels: Vec<bool> = (0..1_700).map(|i| i >= 800).collect();
    let scores: Vec<f64> = (0..1_700)
        .map(|i| f64::from((i * 7) % 900) + if i >= 800 { 700.0 } else { 0.0 })
        .collect();
    let identity: Vec<f64> = (0..1_700).map(|i| f64::from(i) + f64::from(i * 7 % 5)).collect();
    for (test, at_most) in [
        (welch_t(&low, &high), 1e-200_f64.ln()),
        (mann_whitney(&low, &high), 1e-200_f64.ln()),
        (
            wilcoxon_signed_rank(&negated(&high), Zeros::Drop),
            1e-100_f64.ln(),
        ),
        (sign_test(&negated(&high)), 1e-250_f64.ln()),
        (kendall(&identity, &negated(&identity)), 1e-300_f64.ln()),
        (spearman(&identity, &negated(&scores)), 1e-100_f64.ln()),
        (delong_auroc(&negated(&scores), &labels), 1e-100_f64.ln()),
        (fisher_exact([[1, 900], [900, 1]]), 1e-300_f64.ln()),
        (jonckheere_terpstra(&[&high, &low]), 1e-200_f64.ln()),
    ] {
        let test = test.unwrap();
        let less = ln_p(&test, Alternative::Less);
        assert!(less < at_most && less.is_finite(), "{}: {less}", test.method);
        assert!(ln_p(&test, Alternative::Greater) > -1e-9, "{}", test.method);
    }
}

#[test]
fn tests_without_direction_say_so() {
    let table = Array2::from_shape_vec((2, 2), vec![5u64, 7, 3, 9]).unwrap();
    let chi = chi_squared(table.view()).unwrap();
    assert_eq!(chi.against(Alternative::TwoSided), Ok(chi.clone()));
    let refused = chi.against(Alternative::Greater).unwrap_err();
    assert_eq!(
        refused,
        Undefined::OneAlternative {
            method: "χ² test",
            alternative: "two-sided"
        }
        .into()
    );
    assert_eq!(
        refused.to_string(),
        "χ² test has no p-value but the two-sided one"
    );
    assert!(
        tost(0.0, 0.1, 9.0, 0.5)
            .unwrap()
            .against(Alternative::Less)
            .is_err()
    );
    assert!(
        non_superiority(0.0, 0.1, 9.0, 0.5)
            .unwrap()
            .against(Alternative::Less)
            .is_ok()
    );
}
