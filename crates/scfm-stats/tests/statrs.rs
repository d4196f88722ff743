//! P-values against statrs, over the range in which its tails hold.

use proptest::prelude::*;
use scfm_stats::{Alternative, Moments, tost, welch_t_from_moments};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Both sides compute the incomplete beta function by a continued fraction; they differ by rounding alone.
const RELATIVE: f64 = 1e-9;

fn close(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() <= RELATIVE * theirs
}

proptest! {
    #[test]
    fn the_welch_test_has_the_tails_of_students_t(
        n in (3usize..60, 3usize..60),
        mean in -2.0f64..2.0,
        variance in (0.1f64..4.0, 0.1f64..4.0),
    ) {
        let a = Moments { n: n.0, mean, variance: variance.0 };
        let b = Moments { n: n.1, mean: 0.0, variance: variance.1 };
        let result = welch_t_from_moments(a, b).unwrap();
        prop_assert_eq!(result.alternative, Alternative::TwoSided);
        let (va, vb) = (variance.0 / n.0 as f64, variance.1 / n.1 as f64);
        let df = (va + vb).powi(2) / (va * va / (n.0 - 1) as f64 + vb * vb / (n.1 - 1) as f64);
        let t = mean / (va + vb).sqrt();
        let p = 2.0 * StudentsT::new(0.0, 1.0, df).unwrap().sf(t.abs());
        prop_assume!(p > 1e-12);
        prop_assert!(close(result.p.p(), p), "t = {}, df = {}: {} against {}", t, df, result.p.p(), p);
    }

    #[test]
    fn equivalence_is_the_worse_of_two_one_sided_tests(
        estimate in -0.01f64..0.01,
        se in 0.001f64..0.02,
        df in 2.0f64..200.0,
    ) {
        let bound = 0.005;
        let law = StudentsT::new(0.0, 1.0, df).unwrap();
        let p = law.sf((estimate + bound) / se).max(law.cdf((estimate - bound) / se));
        let ours = tost(estimate, se, df, bound).unwrap().p.p();
        prop_assume!(p > 1e-12);
        prop_assert!(close(ours, p), "{} ± {}, df = {}: {} against {}", estimate, se, df, ours, p);
    }
}
