//! Rejection rates over simulated designs. `examples/crossed_calibration.rs` prints the long table.

mod worlds;

use rayon::prelude::*;
use scfm_stats::*;
use worlds::{World, stream};

/// Designs per setting: the standard error of a rate of 5 % is 1.1 %.
const WORLDS: u64 = 400;
/// 3 to 8 %, widened by one standard error.
const NOMINAL: std::ops::RangeInclusive<f64> = 0.019..=0.091;

/// No design is set aside, so that the rates hold for the small ones too.
const NO_LIMITS: CrossedLimits = CrossedLimits {
    min_rows: 2,
    min_effective_genes: 1.0,
};

struct Rates {
    t_over_rows: f64,
    wilcoxon_over_rows: f64,
    crossed_auroc: f64,
    crossed_difference: f64,
}

fn rates(world: World) -> Rates {
    let outcomes: Vec<[bool; 4]> = (0..WORLDS)
        .into_par_iter()
        .map(|index| {
            let draw = world.draw(&mut stream(30, index));
            let [a, b] = [draw.scores[0].view(), draw.scores[1].view()];
            let auroc = crossed_auroc(a, draw.labels(), &NO_LIMITS).unwrap();
            let difference = crossed_difference(a, b, draw.labels(), &NO_LIMITS).unwrap();
            let t = one_sample_t(&auroc.per_row, 0.5).unwrap();
            let wilcoxon = wilcoxon_signed_rank(&difference.per_row, Zeros::Drop).unwrap();
            [t.p, wilcoxon.p, auroc.test.p, difference.test.p].map(|p| p.p() <= 0.05)
        })
        .collect();
    let share = |test: usize| outcomes.iter().filter(|outcome| outcome[test]).count() as f64 / WORLDS as f64;
    Rates {
        t_over_rows: share(0),
        wilcoxon_over_rows: share(1),
        crossed_auroc: share(2),
        crossed_difference: share(3),
    }
}

fn unrelated(median_positives: f64, shared: f64) -> World {
    World {
        rows: 60,
        columns: 300,
        median_positives,
        propensity: 1.5,
        shared,
        signal: 0.0,
    }
}

#[test]
fn crossed_tests_hold_their_level() {
    for (median_positives, shared) in [(3.0, 0.5), (25.0, 0.5), (25.0, 1.5), (150.0, 0.5)] {
        let rates = rates(unrelated(median_positives, shared));
        for (name, rate) in [
            ("auroc", rates.crossed_auroc),
            ("difference", rates.crossed_difference),
        ] {
            assert!(
                NOMINAL.contains(&rate),
                "{name} at {median_positives} positives, w = {shared}: {rate}"
            );
        }
    }
}

#[test]
fn tests_over_rows_reject_true_nulls() {
    let rates = rates(unrelated(60.0, 0.5));
    assert!(rates.t_over_rows > 0.2, "{}", rates.t_over_rows);
    assert!(rates.wilcoxon_over_rows > 0.2, "{}", rates.wilcoxon_over_rows);
    assert!(NOMINAL.contains(&rates.crossed_auroc), "{}", rates.crossed_auroc);
    assert!(
        NOMINAL.contains(&rates.crossed_difference),
        "{}",
        rates.crossed_difference
    );
}
