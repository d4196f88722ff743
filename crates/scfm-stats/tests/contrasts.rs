//! A difference of differences over simulated designs: what two scores differ by on all columns, against what they differ by
//! on a part of them. The comparison of panels with and without forced genes asks this.

mod worlds;

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use scfm_stats::*;
use worlds::{Draw, World, stream};

/// The standard error of a rate of 5 % is 1.1 %.
const WORLDS: u64 = 400;

const NO_LIMITS: CrossedLimits = CrossedLimits {
    min_rows: 2,
    min_effective_genes: 1.0,
};

fn world(signal: f64) -> World {
    World {
        rows: 60,
        columns: 300,
        median_positives: 40.0,
        propensity: 1.5,
        shared: 0.8,
        signal,
    }
}

/// The candidates of the first half of the columns.
fn narrow(draw: &Draw) -> Array2<bool> {
    let half = draw.candidate.ncols() / 2;
    Array2::from_shape_fn(draw.candidate.dim(), |at| draw.candidate[at] && at.1 < half)
}

/// Rows with both classes on both panels.
fn rows(draw: &Draw, narrow: &Array2<bool>) -> Vec<usize> {
    let count = |row: usize, wanted: bool| {
        let cells = narrow.row(row).into_iter().zip(draw.positive.row(row));
        cells
            .filter(|&(&inside, &positive)| inside && positive == wanted)
            .count()
    };
    (0..narrow.nrows())
        .filter(|&row| count(row, true) > 0 && count(row, false) > 0)
        .collect()
}

/// p of the crossed contrast and of the t test over rows that takes them for independent, with the sign of the contrast.
fn shift(draw: &Draw, a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> (f64, f64, f64) {
    let inside = narrow(draw);
    let rows = rows(draw, &inside);
    let axis = ndarray::Axis(0);
    let (a, b) = (a.select(axis, &rows), b.select(axis, &rows));
    let (positive, all, inside) = (
        draw.positive.select(axis, &rows),
        draw.candidate.select(axis, &rows),
        inside.select(axis, &rows),
    );
    let mut designs = Vec::new();
    for (panel, candidate) in [(1.0, &all), (-1.0, &inside)] {
        for (sign, scores) in [(1.0, &a), (-1.0, &b)] {
            designs.push(Design {
                weight: panel * sign,
                scores: scores.view(),
                labels: LabelledGrid {
                    positive: positive.view(),
                    candidate: candidate.view(),
                },
            });
        }
    }
    let crossed = crossed_contrast(&designs, &NO_LIMITS).unwrap();
    let naive = one_sample_t(&crossed.per_row, 0.0).unwrap();
    (crossed.test.p.p(), naive.p.p(), crossed.mean)
}

fn shares<const N: usize>(
    signal: f64,
    purpose: u64,
    outcome: impl Fn(&Draw) -> [bool; N] + Sync,
) -> [f64; N] {
    let outcomes: Vec<[bool; N]> = (0..WORLDS)
        .into_par_iter()
        .map(|index| outcome(&world(signal).draw(&mut stream(purpose, index))))
        .collect();
    std::array::from_fn(|i| outcomes.iter().filter(|outcome| outcome[i]).count() as f64 / WORLDS as f64)
}

#[test]
fn a_shift_between_panels_holds_its_level_where_rows_taken_for_independent_do_not() {
    let [crossed, naive] = shares(0.0, 71, |draw| {
        let (crossed, naive, _) = shift(draw, draw.scores[0].view(), draw.scores[1].view());
        [crossed <= 0.05, naive <= 0.05]
    });
    assert!((0.015..=0.085).contains(&crossed), "{crossed}, over rows {naive}");
    assert!(naive > 0.15, "{naive}");
}

/// One score knows the responses among the columns outside the narrow panel alone, so that it gains where they take part.
#[test]
fn a_score_that_gains_by_the_wider_panel_is_seen_to() {
    let [found] = shares(0.0, 72, |draw| {
        let half = draw.candidate.ncols() / 2;
        let better = Array2::from_shape_fn(draw.candidate.dim(), |at| {
            let knows = at.1 >= half && draw.positive[at];
            draw.scores[0][at] + if knows { 2.0 } else { 0.0 }
        });
        let (p, _, mean) = shift(draw, better.view(), draw.scores[1].view());
        [p <= 0.05 && mean > 0.0]
    });
    assert!(found > 0.9, "{found}");
}
