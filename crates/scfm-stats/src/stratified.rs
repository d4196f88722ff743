//! Two-group tests within strata: batches or replicates that differ in level and in their shares of the groups.

use crate::error::Error;
use crate::result::{Alternative, EffectKind, TestResult};
use crate::{Estimate, Moments, RankSum, Sides, SortedSample};

/// Shares w_s / Σ w of the strata in a stratified mean difference, w_s = n_a n_b / (n_a + n_b).
///
/// These are the weights of least variance where cells vary alike in every stratum and group, and those by which a
/// linear model with a term per stratum estimates the difference.
pub fn stratum_shares(sizes: &[(usize, usize)]) -> Vec<f64> {
    let weights: Vec<f64> = sizes
        .iter()
        .map(|&(a, b)| {
            let (a, b) = (a as f64, b as f64);
            if a + b > 0.0 { a * b / (a + b) } else { 0.0 }
        })
        .collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / total).collect()
}

/// Welch's t test within strata, two-sided: (first group, second group) of each stratum.
///
/// With the [`stratum_shares`] g_s the effect is d = Σ g_s (mean(a_s) - mean(b_s)). The 2 K means are independent, so
/// its variance is the sum of c = g_s² s² / n over strata and groups, each s² a sample variance with n - 1 degrees of
/// freedom; Satterthwaite's approximation gives d / √Σc a t distribution with (Σc)² / Σ (c² / (n - 1)) degrees of
/// freedom. A difference between strata, in level or in the share of the groups, cancels in each term. With one
/// stratum this is [`welch_t_from_moments`](crate::welch_t_from_moments) to the last bit; without the interval
/// [`Estimate::welch_within_strata`] costs less. Oracle: the formula in NumPy.
///
/// # Errors
/// As [`welch_t_from_moments`](crate::welch_t_from_moments), for the first stratum concerned; [`Error::Empty`]
/// without a stratum.
pub fn stratified_welch(strata: &[(Moments, Moments)]) -> Result<TestResult, Error> {
    let n = strata.iter().map(|(a, b)| a.n + b.n).sum();
    Estimate::welch_within_strata(strata)?.test(
        "Welch t test within strata",
        "the mean difference",
        EffectKind::MeanDifference,
        n,
        "values",
    )
}

/// Van Elteren's test: the Mann-Whitney test within strata, two-sided; (first group, second group) of each stratum.
///
/// The statistic is z = (V - E V) / √Var V of V = Σ U_s / (n_s + 1), the combination that is locally most powerful
/// against a shift of the same size in every stratum (van Elteren 1960); variances are corrected for ties. p is from
/// the normal distribution without continuity correction, and that of [`mann_whitney_sorted`](crate::mann_whitney_sorted) with one stratum. The
/// effect is the AUROC averaged over strata with weights n_a n_b / (n_s + 1). It has no interval: strata of which one
/// group has a single value, which the test can use, give no variance, and the intervals that do with counts alone
/// ([`auroc_interval`](crate::auroc_interval)) are made for one AUROC, not for a mean of different ones. Oracle: the sum
/// written out over pairs and pooled ranks in NumPy.
///
/// # Errors
/// [`Error::Empty`] without a stratum or for an empty group.
pub fn van_elteren(strata: &[(&SortedSample, &SortedSample)]) -> Result<TestResult, Error> {
    if strata.is_empty() {
        return Err(Error::Empty { what: "strata" });
    }
    let (mut excess, mut variance, mut won, mut pairs, mut n) = (0.0, 0.0, 0.0, 0.0, 0);
    let mut last = None;
    for (a, b) in strata {
        let ranks = RankSum::of(a, b)?;
        let (size, u, of_stratum) = (a.len() + b.len(), ranks.u(), ranks.pairs());
        let weight = 1.0 / (size as f64 + 1.0);
        excess += weight * (u - 0.5 * of_stratum);
        variance += weight * weight * ranks.null_variance();
        won += weight * u;
        pairs += weight * of_stratum;
        n += size;
        last = Some(ranks);
    }
    let z = if variance > 0.0 {
        excess / variance.sqrt()
    } else {
        0.0
    };
    let sides = match last.filter(|_| strata.len() == 1) {
        Some(ranks) => ranks.sides(),
        None if variance > 0.0 => Sides::of_z(z),
        None => Sides::CERTAIN,
    };
    Ok(TestResult {
        method: "van Elteren test",
        alternative: Alternative::TwoSided,
        statistic: z,
        p: sides.two_sided,
        sides: Some(sides),
        effect: won / pairs,
        effect_kind: EffectKind::Auroc,
        ci: None,
        n,
        n_unit: "values",
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::Undefined;
    use crate::{welch_t, welch_t_from_moments};

    /// Sums over strata in another order differ by rounding.
    const ROUNDING: f64 = 1e-10;

    type Groups = (Vec<f64>, Vec<f64>);

    fn moments(values: &[f64]) -> Moments {
        Moments::of(values)
    }

    fn sample() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec((-40i32..40).prop_map(|x| f64::from(x) / 8.0), 2..12)
    }

    fn strata() -> impl Strategy<Value = Vec<Groups>> {
        prop::collection::vec((sample(), sample()), 1..5)
    }

    fn welch(strata: &[Groups]) -> Result<TestResult, Error> {
        stratified_welch(
            &strata
                .iter()
                .map(|(a, b)| (moments(a), moments(b)))
                .collect::<Vec<_>>(),
        )
    }

    fn elteren(strata: &[Groups]) -> TestResult {
        let sorted: Vec<_> = strata
            .iter()
            .map(|(a, b)| (SortedSample::new(a).unwrap(), SortedSample::new(b).unwrap()))
            .collect();
        van_elteren(&sorted.iter().map(|(a, b)| (a, b)).collect::<Vec<_>>()).unwrap()
    }

    fn shifted(strata: &[Groups]) -> Vec<Groups> {
        let shift = |values: &[f64], by: usize| values.iter().map(|x| x + 16.0 * by as f64).collect();
        let strata = strata.iter().enumerate();
        strata.map(|(s, (a, b))| (shift(a, s), shift(b, s))).collect()
    }

    proptest! {
        #[test]
        fn one_stratum_is_the_plain_test(a in sample(), b in sample()) {
            let plain = welch_t_from_moments(moments(&a), moments(&b));
            let stratified = welch(&[(a.clone(), b.clone())]);
            match (plain, stratified) {
                (Ok(plain), Ok(stratified)) => {
                    prop_assert_eq!(plain.statistic.to_bits(), stratified.statistic.to_bits());
                    prop_assert_eq!(plain.p, stratified.p);
                    prop_assert_eq!(plain.ci, stratified.ci);
                }
                (plain, stratified) => prop_assert_eq!(plain.is_err(), stratified.is_err()),
            }
            let plain = crate::mann_whitney(&a, &b).unwrap();
            let stratified = elteren(&[(a, b)]);
            prop_assert_eq!(plain.p, stratified.p);
            prop_assert!((plain.effect - stratified.effect).abs() < ROUNDING);
        }

        #[test]
        fn the_level_of_a_stratum_does_not_matter(strata in strata()) {
            if let Ok(test) = welch(&strata) {
                let again = welch(&shifted(&strata)).unwrap();
                prop_assert!((test.statistic - again.statistic).abs() < ROUNDING * (1.0 + test.statistic.abs()));
            }
            let (test, again) = (elteren(&strata), elteren(&shifted(&strata)));
            prop_assert_eq!(test.statistic, again.statistic);
        }

        #[test]
        fn exchanging_groups_changes_the_sign_alone(strata in strata()) {
            let exchanged: Vec<_> = strata.iter().map(|(a, b)| (b.clone(), a.clone())).collect();
            if let (Ok(test), Ok(again)) = (welch(&strata), welch(&exchanged)) {
                prop_assert!((test.statistic + again.statistic).abs() < ROUNDING * (1.0 + test.statistic.abs()));
            }
            let (test, again) = (elteren(&strata), elteren(&exchanged));
            prop_assert!((test.statistic + again.statistic).abs() < ROUNDING);
            prop_assert!((test.effect + again.effect - 1.0).abs() < ROUNDING);
        }
    }

    #[test]
    fn a_confounded_stratum_makes_no_effect() {
        // Stratum 2 lies 10 higher and holds most of the first group; within strata the groups are alike.
        let strata = [
            (vec![0.0, 1.0], vec![0.0, 1.0, 0.0, 1.0, 0.0, 1.0]),
            (vec![10.0, 11.0, 10.0, 11.0, 10.0, 11.0], vec![10.0, 11.0]),
        ];
        let pooled = |pick: fn(&Groups) -> &Vec<f64>| -> Vec<f64> {
            strata.iter().flat_map(|s| pick(s).iter().copied()).collect()
        };
        assert!(welch_t(&pooled(|s| &s.0), &pooled(|s| &s.1)).unwrap().statistic > 2.0);
        assert_eq!(welch(&strata).unwrap().statistic, 0.0);
        assert_eq!(elteren(&strata).statistic, 0.0);
        assert_eq!(elteren(&strata).effect, 0.5);
    }

    #[test]
    fn shares_are_those_of_the_linear_model_with_a_term_per_stratum() {
        // y = d · group + a term per stratum, least squares: d from the residuals of group after the strata.
        let strata: [Groups; 2] = [
            (vec![3.0, 5.0], vec![1.0, 2.0, 2.0]),
            (vec![9.0, 8.0, 8.0, 7.0], vec![6.0, 9.0]),
        ];
        let (mut xy, mut xx) = (0.0, 0.0);
        for (a, b) in &strata {
            let share = a.len() as f64 / (a.len() + b.len()) as f64;
            let values = a
                .iter()
                .map(|y| (1.0 - share, y))
                .chain(b.iter().map(|y| (-share, y)));
            for (x, y) in values {
                xy += x * y;
                xx += x * x;
            }
        }
        assert!((welch(&strata).unwrap().effect - xy / xx).abs() < ROUNDING);
    }

    #[test]
    fn strata_that_cannot_be_tested_are_errors_or_undefined() {
        assert!(matches!(welch(&[]), Err(Error::Empty { .. })));
        assert!(matches!(van_elteren(&[]), Err(Error::Empty { .. })));
        let one = (vec![1.0], vec![1.0, 2.0]);
        assert!(matches!(
            welch(&[one]),
            Err(Error::Undefined(Undefined::TooFew { n: 1, .. }))
        ));
        let constant = (vec![2.0, 2.0], vec![1.0, 1.0]);
        assert!(matches!(
            welch(&[constant]),
            Err(Error::Undefined(Undefined::NoVariance { .. }))
        ));
        let alike = (vec![1.0, 1.0], vec![1.0, 1.0]);
        assert_eq!(welch(&[alike.clone(), alike.clone()]).unwrap().p.p(), 1.0);
        assert_eq!(elteren(&[alike.clone(), alike]).p.p(), 1.0);
    }
}
