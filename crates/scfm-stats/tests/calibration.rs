//! Rejection, coverage and power over simulated designs of rows that share columns. `examples/crossed_calibration.rs`
//! prints the long tables.

mod worlds;

use rayon::prelude::*;
use scfm_stats::*;
use worlds::{Draw, World, stream};

/// Designs per setting: the standard error of a rate of 5 % is 1.1 %. The example draws 2,000.
const WORLDS: u64 = 400;
/// What a crossed test may reject at nominal 5 %.
const NOMINAL: std::ops::RangeInclusive<f64> = 0.03..=0.08;

/// No design is set aside, so that the rates hold for the small ones too.
const NO_LIMITS: CrossedLimits = CrossedLimits {
    min_rows: 2,
    min_effective_genes: 1.0,
};

fn world(median_positives: f64, shared: f64, signal: f64) -> World {
    World {
        rows: 60,
        columns: 300,
        median_positives,
        propensity: 1.5,
        shared,
        signal,
    }
}

/// The share of `n` worlds in which each of several statements holds.
fn shares<const N: usize>(
    world: World,
    purpose: u64,
    n: u64,
    outcome: impl Fn(&Draw, u64) -> [bool; N] + Sync,
) -> [f64; N] {
    let outcomes: Vec<[bool; N]> = (0..n)
        .into_par_iter()
        .map(|index| outcome(&world.draw(&mut stream(purpose, index)), index))
        .collect();
    std::array::from_fn(|i| outcomes.iter().filter(|outcome| outcome[i]).count() as f64 / n as f64)
}

/// Whether the crossed tests of a mean and of a difference reject, and the tests over rows that they replace.
fn rejections(draw: &Draw) -> [bool; 4] {
    let [a, b] = [draw.scores[0].view(), draw.scores[1].view()];
    let auroc = crossed_auroc(a, draw.labels(), &NO_LIMITS).unwrap();
    let difference = crossed_difference(a, b, draw.labels(), &NO_LIMITS).unwrap();
    let t = one_sample_t(&auroc.per_row, 0.5).unwrap();
    let wilcoxon = wilcoxon_signed_rank(&difference.per_row, Zeros::Drop).unwrap();
    [auroc.test.p, difference.test.p, t.p, wilcoxon.p].map(|p| p.p() <= 0.05)
}

#[test]
fn crossed_tests_hold_their_level_where_tests_over_rows_do_not() {
    // Median positives, weight of the column-level part, and what the tests over rows reject at least.
    for (median_positives, shared, naive) in [
        (3.0, 0.5, 0.08),
        (8.0, 0.5, 0.10),
        (25.0, 0.5, 0.20),
        (70.0, 0.5, 0.25),
        (150.0, 0.5, 0.25),
        (25.0, 1.5, 0.45),
    ] {
        let [auroc, difference, t, wilcoxon] =
            shares(world(median_positives, shared, 0.0), 30, WORLDS, |draw, _| {
                rejections(draw)
            });
        let at = format!("{median_positives} positives, w = {shared}");
        assert!(NOMINAL.contains(&auroc), "{at}: mean {auroc}, t over rows {t}");
        assert!(
            NOMINAL.contains(&difference),
            "{at}: difference {difference}, Wilcoxon over rows {wilcoxon}"
        );
        assert!(t > naive && wilcoxon > naive, "{at}: over rows {t}, {wilcoxon}");
    }
}

/// Without anything shared there is nothing to allow for, and little is lost by allowing for it.
#[test]
fn rows_that_share_nothing_may_be_tested_either_way() {
    let alone = World {
        propensity: 0.0,
        ..world(25.0, 0.0, 0.0)
    };
    for rate in shares(alone, 31, WORLDS, |draw, _| rejections(draw)) {
        assert!((0.025..=0.08).contains(&rate), "{rate}");
    }
}

#[test]
fn crossed_intervals_cover_a_planted_effect_and_intervals_over_rows_do_not() {
    for (median_positives, shared, signal) in [(8.0, 0.5, 0.4), (25.0, 0.5, 0.2), (70.0, 1.5, 0.5)] {
        let world = world(median_positives, shared, signal);
        let truth = world.expected_auroc();
        let [crossed, over_rows] = shares(world, 32, WORLDS, |draw, _| {
            let crossed = crossed_auroc(draw.scores[0].view(), draw.labels(), &NO_LIMITS).unwrap();
            let t = one_sample_t(&crossed.per_row, 0.0).unwrap();
            [crossed.test, t].map(|test| test.ci.unwrap().contains(truth))
        });
        let at = format!("{median_positives} positives, w = {shared}");
        assert!((0.92..=0.97).contains(&crossed), "{at}: {crossed}");
        assert!(over_rows < 0.9, "{at}: {over_rows} over rows");
    }
}

/// The derivation in `crossed.md` in numbers: squared standard errors are on average the variance that they estimate, and
/// the variance over rows alone is a part of it.
#[test]
fn squared_standard_errors_are_the_variance_over_worlds() {
    for (median_positives, shared) in [(3.0, 0.7), (25.0, 0.7)] {
        let found: Vec<[f64; 3]> = (0..WORLDS)
            .into_par_iter()
            .map(|index| {
                let draw = world(median_positives, shared, 0.0).draw(&mut stream(37, index));
                let crossed = crossed_auroc(draw.scores[0].view(), draw.labels(), &NO_LIMITS).unwrap();
                let over_rows = Moments::of(&crossed.per_row);
                [
                    crossed.mean,
                    crossed.standard_error.powi(2),
                    over_rows.variance / over_rows.n as f64,
                ]
            })
            .collect();
        let column = |i: usize| found.iter().map(|world| world[i]).collect::<Vec<f64>>();
        let truth = Moments::of(&column(0)).variance;
        let [crossed, over_rows] = [1, 2].map(|i| Moments::of(&column(i)).mean / truth);
        // The variance of 400 values is known to 7 %.
        assert!(
            (0.8..1.25).contains(&crossed),
            "{median_positives}: {crossed} of the variance"
        );
        assert!(over_rows < 0.8, "{median_positives}: {over_rows} of the variance");
    }
}

/// Owen's bootstrap counts the variance of single cells three times: it covers too often, never too rarely.
#[test]
fn two_way_bootstrap_covers_at_least_what_it_says() {
    let small = World {
        rows: 30,
        columns: 100,
        ..world(12.0, 0.5, 0.0)
    };
    let [covered] = shares(small, 33, 400, |draw, index| {
        let [a, b] = [draw.scores[0].view(), draw.scores[1].view()];
        let stream = |i| stream(34, index * 1_000 + i);
        let boot = two_way_bootstrap(&[a, b], draw.labels(), 200, stream).unwrap();
        [boot.difference_interval(0, 1).contains(0.0)]
    });
    // Three standard errors of 400 worlds below 95 %.
    assert!(covered >= 0.917, "{covered}");
}

/// The permutation of genes tests whether there is any association, which a planted effect is: where both tests apply
/// the crossed one must not pay for answering more questions.
#[test]
fn crossed_tests_find_planted_effects_as_often_as_permutations_do() {
    for median_positives in [8.0, 25.0] {
        let mut last = 0.0;
        for signal in [0.1, 0.2, 0.3] {
            let world = world(median_positives, 0.5, signal);
            let [crossed, permutation] = shares(world, 35, 200, |draw, index| {
                let a = draw.scores[0].view();
                let crossed = crossed_auroc(a, draw.labels(), &NO_LIMITS).unwrap().test;
                let stream = |i| stream(36, index * 1_000 + i);
                let permuted = gene_permutation_auroc(a, draw.labels(), 99, stream).unwrap();
                [crossed, permuted].map(|test| test.p.p() <= 0.05)
            });
            let at = format!("{median_positives} positives, signal {signal}");
            // A paired difference of two shares of 200 has a standard error of about 2 %, their discordance being
            // small.
            assert!(
                crossed >= permutation - 0.06,
                "{at}: crossed {crossed}, permutation {permutation}"
            );
            assert!(crossed > last, "{at}: {crossed} after {last}");
            last = crossed;
        }
        assert!(last > 0.9, "{median_positives} positives: {last}");
    }
}
