//! Residuals, bounds and certificates: invariants, coverage in simulated runs, and tests that hold their level beside
//! those that cannot.

use ndarray::Array2;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use scfm_ablation::{
    BiasModel, CellEffects, Error, LAMBDAS, MediationRun, OverCells, Residual, certified_share,
    fragility_test, is_top_certified, residual_test,
};
use scfm_core::Seeds;
use scfm_stats::{Undefined, one_sample_t, page_trend, wilson};

const MODELS: [BiasModel; 3] = [
    BiasModel::Uniform,
    BiasModel::Proportional,
    BiasModel::Concentrated,
];

fn components() -> impl Strategy<Value = Vec<OverCells>> {
    let component = (-3.0f64..3.0, 0.0f64..1.0, 2usize..9);
    proptest::collection::vec(
        component.prop_map(|(mean, std, n)| OverCells { mean, std, n }),
        2..12,
    )
}

proptest! {
    #[test]
    fn bounds_fall_with_the_error_and_certificates_with_the_bias(
        components in components(),
        value in -5.0f64..5.0,
        errors in (0.0f64..2.0, 0.0f64..2.0),
        budgets in (0.0f64..3.0, 0.0f64..3.0),
    ) {
        let bound = |standard_error| Residual { value, standard_error, n_cells: 5 }.lower_bound(1.96);
        let (small, large) = (errors.0.min(errors.1), errors.0.max(errors.1));
        prop_assert!(bound(large) <= bound(small) && bound(small) <= value.abs());
        let (small, large) = (budgets.0.min(budgets.1), budgets.0.max(budgets.1));
        for model in MODELS {
            let share = |budget| certified_share(&components, budget, model).unwrap();
            prop_assert!(share(large) <= share(small));
            let top = |budget| is_top_certified(&components, budget, model).unwrap();
            prop_assert!(top(large) <= top(small));
        }
    }

    #[test]
    fn certificates_do_not_depend_on_signs_order_or_unit(components in components(), factor in 0.1f64..10.0) {
        let share = |components: &[OverCells], budget| certified_share(components, budget, BiasModel::Uniform).unwrap();
        let mut other: Vec<OverCells> = components
            .iter()
            .map(|m| OverCells { mean: -factor * m.mean, std: factor * m.std, n: m.n })
            .collect();
        other.reverse();
        prop_assert!((share(&components, 0.3) - share(&other, 0.3 * factor)).abs() < 1e-12);
    }

    #[test]
    fn residuals_of_shares_have_no_unit(
        total in proptest::collection::vec(0.5f64..2.0, 4),
        parts in proptest::collection::vec(-1.0f64..1.0, 8),
        factor in 0.01f64..100.0,
    ) {
        let effects = |factor: f64| CellEffects {
            total: total.iter().map(|x| factor * x).collect(),
            components: parts.chunks(4).map(|c| c.iter().map(|x| factor * x).collect()).collect(),
        };
        let (one, other) = (effects(1.0).share_residual().unwrap(), effects(-factor).share_residual().unwrap());
        prop_assert!((one.value - other.value).abs() < 1e-9);
        prop_assert!((one.standard_error - other.standard_error).abs() < 1e-9);
        let shares = effects(1.0).shares().unwrap();
        prop_assert!((1.0 - shares.iter().map(|s| s.mean).sum::<f64>() - one.value).abs() < 1e-9);
        // The published residual is in the unit of the read-out, in which shares have no place.
        let summary = effects(1.0).summary();
        let run = MediationRun { components: shares, ..summary };
        prop_assert!((run.share_residual().value - one.value).abs() < 1e-9);
    }
}

#[test]
fn a_single_cell_is_not_tested_and_no_cell_is_divided_by_an_effect_of_0() {
    let single = CellEffects {
        total: vec![1.0],
        components: vec![vec![0.4]],
    };
    assert!(matches!(
        single.share_residual(),
        Err(Undefined::TooFew { n: 1, .. })
    ));
    let nothing = CellEffects {
        total: vec![1e-6, -1e-5, 1.0],
        components: vec![vec![0.4, 0.1, 0.2]],
    };
    assert!(matches!(
        nothing.share_residual(),
        Err(Undefined::Constant { .. })
    ));
    let with_idle_cell = CellEffects {
        total: vec![0.0, 2.0, 1.0],
        components: vec![vec![0.0, 1.0, 0.5]],
    };
    let residual = with_idle_cell.share_residual().unwrap();
    assert_eq!((residual.value, residual.standard_error), (0.5, 0.0));
    // A source that helps in one cell and harms in another has a share of its effect, though no mean effect.
    let both_ways = CellEffects {
        total: vec![1.0, -1.0],
        components: vec![vec![0.4, -0.4]],
    };
    assert!((both_ways.share_residual().unwrap().value - 0.6).abs() < 1e-12);
    assert!(!both_ways.summary().total.is_clear());
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    Normal::new(0.0, 1.0).unwrap().sample(rng)
}

/// A run of 8 cells with six components that leave the share `left` of the total effect on the average.
fn simulated(rng: &mut ChaCha8Rng, left: f64) -> CellEffects {
    let mean = normal(rng);
    let mut total = Vec::new();
    let mut components = vec![Vec::new(); 6];
    for _ in 0..8 {
        let effect = mean + normal(rng);
        total.push(effect);
        for (i, component) in components.iter_mut().enumerate() {
            let share = [0.5, 0.3, 0.1, 0.05, 0.04, 0.01][i] * (1.0 - left);
            component.push(share * effect + 0.05 * normal(rng));
        }
    }
    CellEffects { total, components }
}

fn residuals(rng: &mut ChaCha8Rng, n_runs: usize, left: f64) -> Vec<Residual> {
    (0..n_runs)
        .map(|_| simulated(rng, left).share_residual().unwrap())
        .collect()
}

#[test]
fn intervals_of_residuals_cover_them() {
    let mut rng = Seeds::new(3).stream("test", "coverage", 0);
    let covered = (0..2_000).filter(|_| {
        let residual = simulated(&mut rng, 0.25).share_residual().unwrap();
        residual.interval().unwrap().contains(0.25)
    });
    let share = wilson(covered.count() as u64, 2_000, 0.99).unwrap();
    assert!(share.low < 0.96 && share.high > 0.94, "{share:?}");
}

/// How often a test of ten runs rejects at 5 %.
fn rejections(left: f64, rejects: impl Fn(&[Residual]) -> bool) -> f64 {
    let mut rng = Seeds::new(4).stream("test", "level", 0);
    let n = 1_000;
    let rejected = (0..n).filter(|_| rejects(&residuals(&mut rng, 10, left)));
    rejected.count() as f64 / f64::from(n)
}

fn by_residuals(runs: &[Residual]) -> bool {
    let values: Vec<f64> = runs.iter().map(|r| r.value).collect();
    residual_test(&values).unwrap().p.p() < 0.05
}

#[test]
fn the_test_of_residuals_holds_its_level_and_finds_what_is_missing() {
    let level = rejections(0.0, by_residuals);
    assert!((0.03..0.08).contains(&level), "{level}");
    assert!(rejections(0.3, by_residuals) > 0.9);
    assert!(rejections(-0.3, by_residuals) > 0.9);
}

/// Against 0, sizes of residuals are found in any additive model: a bound that is never negative is no test statistic.
#[test]
fn a_test_of_sizes_against_0_would_fail_the_same_check() {
    let by_sizes = |runs: &[Residual]| {
        let sizes: Vec<f64> = runs.iter().map(|r| r.lower_bound(0.0)).collect();
        one_sample_t(&sizes, 0.0).unwrap().p.p() < 0.05
    };
    assert!(rejections(0.0, by_sizes) > 0.9);
}

/// Certified shares of ten runs under their own bounds.
fn certified(rng: &mut ChaCha8Rng, left: f64) -> Vec<Vec<f64>> {
    (0..10)
        .map(|_| {
            let run = simulated(rng, left);
            let bound = run.share_residual().unwrap().student_lower_bound().unwrap();
            let shares = run.shares().unwrap();
            std::iter::once(0.0)
                .chain(LAMBDAS)
                .map(|lambda| certified_share(&shares, lambda * bound, BiasModel::Uniform).unwrap())
                .collect()
        })
        .collect()
}

#[test]
fn lost_certificates_are_counted_against_their_chance_and_a_trend_would_find_them_by_chance() {
    let mut rng = Seeds::new(5).stream("test", "fragility", 0);
    let (mut counted, mut trend) = (0, 0);
    let n = 600;
    for _ in 0..n {
        let shares = certified(&mut rng, 0.0);
        counted += usize::from(fragility_test(&shares).unwrap().p.p() < 0.05);
        let falling = Array2::from_shape_fn((10, 8), |(run, at)| -shares[run][at]);
        trend += usize::from(page_trend(falling.view()).is_ok_and(|test| test.p.p() < 0.05));
    }
    let (counted, trend) = (counted as f64 / f64::from(n), trend as f64 / f64::from(n));
    assert!(counted < 0.08, "{counted}");
    assert!(trend > 0.2, "{trend}");
    let fragile = (0..100)
        .filter(|_| fragility_test(&certified(&mut rng, 0.4)).unwrap().p.p() < 0.05)
        .count();
    assert!(fragile > 90, "{fragile}");
}

#[test]
fn few_runs_have_no_test() {
    let error = residual_test(&[0.1; 5]).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Stats(scfm_stats::Error::Undefined(Undefined::TooFew { n: 5, .. }))
        ),
        "{error}"
    );
    assert!(certified_share(&[], 0.0, BiasModel::Uniform).is_err());
}
