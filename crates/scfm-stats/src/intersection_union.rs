use crate::error::{Error, Undefined};
use crate::{Alternative, PValue, TestResult};

/// Whether *all* of several tests find an effect in one direction: the intersection-union test (Berger 1982).
///
/// The hypothesis that some effect is absent or has another sign falls only when each test rejects on the same side, so
/// the p-value of a side is the largest of the tests' one-sided ones, two-sided twice the smaller of both sides. Where the
/// effects agree in sign that is the largest two-sided p; where they do not it is 1. No correction for the number of tests
/// is needed, nor independence. Statistic, effect and interval are those of the test that decides.
///
/// ```
/// use scfm_stats::{intersection_union, one_sample_t};
///
/// let strong = one_sample_t(&[0.9, 1.1, 1.0, 1.2], 0.0)?;
/// let weak = one_sample_t(&[0.1, 0.9, 0.2, 0.8], 0.0)?;
/// let both = intersection_union(&[strong, weak.clone()])?;
/// assert!((both.p.p() - weak.p.p()).abs() < 1e-12);
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// [`Undefined::TooFew`] without a test, [`Undefined::OneAlternative`] for a test that knows one side only.
pub fn intersection_union(tests: &[TestResult]) -> Result<TestResult, Error> {
    let mut deciding: [Option<(PValue, &TestResult)>; 2] = [None; 2];
    for test in tests {
        for (side, worst) in [Alternative::Greater, Alternative::Less]
            .into_iter()
            .zip(&mut deciding)
        {
            let p = test.against(side)?.p;
            if worst.is_none_or(|(largest, _)| p > largest) {
                *worst = Some((p, test));
            }
        }
    }
    let [Some(greater), Some(less)] = deciding else {
        return Err(Undefined::TooFew {
            what: "tests",
            n: 0,
            needed: 1,
        }
        .into());
    };
    let (p, test) = if greater.0 <= less.0 { greater } else { less };
    Ok(TestResult {
        method: "intersection-union test",
        alternative: Alternative::TwoSided,
        p: PValue::two_sided(p.ln_p()),
        sides: None,
        ..test.clone()
    })
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::one_sample_t;

    fn around(centre: f64) -> TestResult {
        let values: Vec<f64> = (0..12).map(|i| centre + f64::from(i % 4) - 1.5).collect();
        one_sample_t(&values, 0.0).unwrap()
    }

    #[test]
    fn the_weakest_test_decides_where_all_agree() {
        for sign in [1.0, -1.0] {
            let tests = [2.0, 0.7, 5.0].map(|centre| around(sign * centre));
            let all = intersection_union(&tests).unwrap();
            assert!((all.p.ln_p() - tests[1].p.ln_p()).abs() < 1e-9);
            assert_eq!(all.effect, tests[1].effect);
        }
    }

    #[test]
    fn tests_of_opposite_sign_agree_on_nothing() {
        let all = intersection_union(&[around(3.0), around(-3.0)]).unwrap();
        assert_eq!(all.p.p(), 1.0);
    }

    #[test]
    fn no_test_and_one_sided_tests_are_refused() {
        assert!(matches!(
            intersection_union(&[]),
            Err(Error::Undefined(Undefined::TooFew { .. }))
        ));
        let equivalence = crate::tost(0.0, 0.1, 10.0, 0.5).unwrap();
        assert!(matches!(
            intersection_union(&[equivalence]),
            Err(Error::Undefined(Undefined::OneAlternative { .. }))
        ));
    }

    /// One effect is absent, which the others cannot hide; five standard errors above 5 % is the bound.
    #[test]
    fn it_holds_its_level_where_one_effect_is_absent() {
        let n = 2_000;
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let mut noise = |centre: f64| {
            let values: Vec<f64> = (0..10)
                .map(|_| centre + (0..6).map(|_| rng.random::<f64>()).sum::<f64>() - 3.0)
                .collect();
            one_sample_t(&values, 0.0).unwrap()
        };
        let mut rejected = 0;
        for _ in 0..n {
            let tests = [noise(0.0), noise(2.0), noise(3.0)];
            rejected += u32::from(intersection_union(&tests).unwrap().p.p() < 0.05);
        }
        let rate = f64::from(rejected) / f64::from(n);
        assert!((0.02..0.05 + 5.0 * 0.0049).contains(&rate), "{rate}");
    }
}
