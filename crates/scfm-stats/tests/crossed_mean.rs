//! Means of rows that share columns: the definition written out, refusals, and the level of the tests by simulation.

mod simulation;
mod worlds;

use ndarray::{Array1, Array2};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use scfm_stats::*;
use simulation::share;
use worlds::World;

/// The same sum in another order.
const ROUNDING: f64 = 1e-12;

/// What a test at 5 % may reject of true nulls.
const LEVEL: std::ops::RangeInclusive<f64> = 0.03..=0.08;

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

/// Members of a screen: genes with a propensity to respond, perturbations of all sizes.
fn members(rows: usize, columns: usize, median: f64, rng: &mut ChaCha8Rng) -> Array2<bool> {
    let world = World {
        rows,
        columns,
        median_positives: median,
        propensity: 1.5,
        shared: 0.0,
        signal: 0.0,
    };
    let drawn = world.draw(rng);
    let mut member = drawn.positive;
    member.zip_mut_with(&drawn.candidate, |member, candidate| *member &= candidate);
    member
}

/// Values of a gene for all rows, a share `own` of whose variance belongs to the single cell.
fn values(member: &Array2<bool>, own: f64, rng: &mut ChaCha8Rng) -> Array2<f64> {
    let of_genes: Array1<f64> = (0..member.ncols()).map(|_| normal(rng)).collect();
    Array2::from_shape_fn(member.dim(), |(_, column)| {
        (1.0 - own).sqrt() * of_genes[column] + own.sqrt() * normal(rng)
    })
}

#[test]
fn variance_agrees_with_its_definition_over_pairs_of_cells() {
    let rng = &mut worlds::stream(31, 0);
    let member = members(9, 25, 6.0, rng);
    let values = values(&member, 0.5, rng);
    let any = CrossedLimits {
        min_rows: 2,
        min_effective_genes: 2.0,
    };
    let found = crossed_mean(values.view(), member.view(), &any).unwrap();

    let cells: Vec<(usize, usize)> = member
        .indexed_iter()
        .filter(|(_, member)| **member)
        .map(|(cell, _)| cell)
        .collect();
    let size = |row: usize| member.row(row).iter().filter(|&&m| m).count() as f64;
    let mean: f64 = cells.iter().map(|&(p, g)| values[[p, g]] / size(p) / 9.0).sum();
    let psi = |(p, g): (usize, usize)| (values[[p, g]] - mean) / (9.0 * size(p));
    let mut shared = 0.0;
    for &a in &cells {
        for &b in cells.iter().filter(|b| b.1 == a.1 && b.0 != a.0) {
            shared += psi(a) * psi(b);
        }
    }
    let weight = |g: usize| {
        let of_gene = cells.iter().filter(|cell| cell.1 == g);
        of_gene.map(|&(p, _)| 1.0 / size(p)).sum::<f64>()
    };
    let squares: f64 = (0..25).map(|g| weight(g).powi(2)).sum();
    let effective = 81.0 / squares;
    let rows: f64 = found.per_row.iter().map(|row| (row - mean).powi(2)).sum::<f64>() / 72.0;
    let variance = rows + effective / (effective - 1.0) * shared.max(0.0);
    assert!((found.mean - mean).abs() < ROUNDING);
    assert!((found.effective_columns - effective).abs() < 1e-9);
    assert!((found.standard_error.powi(2) - variance).abs() < ROUNDING);
    assert_eq!(
        (found.test.n, found.test.effect_kind),
        (9, EffectKind::MeanDifference)
    );
}

#[test]
fn designs_without_an_answer_say_why() {
    let limits = CrossedLimits::default();
    let rng = &mut worlds::stream(31, 1);
    let member = members(30, 120, 12.0, rng);
    let values = values(&member, 0.0, rng);
    let mut lonely = member.clone();
    lonely.row_mut(4).fill(false);
    assert!(matches!(
        crossed_mean(values.view(), lonely.view(), &limits),
        Err(Error::Undefined(Undefined::TooFew { n: 0, .. }))
    ));
    let few = member.slice(ndarray::s![..19, ..]);
    let result = crossed_mean(values.slice(ndarray::s![..19, ..]), few, &limits);
    assert!(matches!(
        result,
        Err(Error::Undefined(Undefined::NotDecidable { rows: 19, .. }))
    ));
    let mut broken = values.clone();
    for ((row, column), &member) in member.indexed_iter() {
        broken[[row, column]] = if member { values[[row, column]] } else { f64::NAN };
    }
    // What is no member is not read.
    assert_eq!(
        crossed_mean(values.view(), member.view(), &limits),
        crossed_mean(broken.view(), member.view(), &limits)
    );
    let (place, _) = member.indexed_iter().find(|(_, member)| **member).unwrap();
    broken[place] = f64::NAN;
    assert!(matches!(
        crossed_mean(broken.view(), member.view(), &limits),
        Err(Error::CellNotANumber { .. })
    ));
    let crossed = crossed_mean(values.view(), member.view(), &limits).unwrap();
    assert!(matches!(
        crossed.against_draws(&[0.1]),
        Err(Error::Undefined(Undefined::TooFew { .. }))
    ));
    assert!(crossed.against_draws(&[0.1, f64::INFINITY]).is_err());
}

/// Columns that are shared, columns of which each cell has its own value, and in between: the crossed test holds its level
/// where the t test over rows, as published, does not.
#[test]
fn the_crossed_mean_holds_its_level_and_the_test_over_rows_does_not() {
    for (purpose, own, rows, median) in [
        (40, 0.0, 60, 25.0),
        (41, 0.5, 60, 25.0),
        (42, 1.0, 60, 25.0),
        (43, 0.0, 60, 6.0),
        (44, 0.0, 24, 25.0),
    ] {
        let rejects = |rng: &mut ChaCha8Rng, naive: bool| {
            // Designs that are too small to decide on are drawn anew.
            let crossed = loop {
                let member = members(rows, 300, median, rng);
                let values = values(&member, own, rng);
                let result = crossed_mean(values.view(), member.view(), &CrossedLimits::default());
                if let Ok(crossed) = result {
                    break crossed;
                }
            };
            let p = if naive {
                one_sample_t(&crossed.per_row, 0.0).unwrap().p
            } else {
                crossed.test.p
            };
            p.p() < 0.05
        };
        let level = share(purpose, |rng| rejects(rng, false));
        assert!(
            LEVEL.contains(&level),
            "own share {own}, {rows} rows, {median}: {level}"
        );
        if own < 1.0 {
            let naive = share(purpose, |rng| rejects(rng, true));
            assert!(naive > 0.15, "the test over rows passes: {naive}");
        }
    }
}

/// Heads matter to a different degree, and silencing a set harms each gene by what its heads mean to it. A set that is
/// chosen without looking is a draw; with few draws and with many, alone or as the mean over genes, it is called another
/// one in 5 % of the worlds. Genes as the only units would call it another most of the time.
#[test]
fn a_case_that_is_a_draw_is_found_so() {
    for (purpose, draws, dose) in [(50, 5, 3), (51, 10, 3), (52, 10, 8)] {
        let rejects = |rng: &mut ChaCha8Rng, naive: bool| {
            let member = members(60, 300, 25.0, rng);
            let n_heads = 40;
            let importance: Vec<f64> = (0..n_heads).map(|_| normal(rng).exp()).collect();
            let harm = Array2::from_shape_fn((n_heads, 300), |(head, _)| {
                importance[head] * (1.0 + 0.5 * normal(rng))
            });
            let mut of_set = || -> Array1<f64> {
                let set = rand::seq::index::sample(rng, n_heads, dose);
                set.iter()
                    .map(|head| harm.row(head).to_owned())
                    .fold(Array1::zeros(300), |sum, head| sum + head)
            };
            let case = of_set();
            let sample: Vec<Array1<f64>> = (0..draws).map(|_| of_set()).collect();
            let limits = CrossedLimits::default();
            let mean_of = |values: &Array1<f64>| {
                let values = values.broadcast(member.dim()).unwrap();
                crossed_mean(values, member.view(), &limits).unwrap()
            };
            let average = sample
                .iter()
                .fold(Array1::<f64>::zeros(300), |sum, draw| sum + draw)
                / draws as f64;
            let contrast = mean_of(&(case - average));
            let own: Vec<f64> = sample.iter().map(|draw| mean_of(draw).mean).collect();
            let p = if naive {
                contrast.test.p
            } else {
                contrast.against_draws(&own).unwrap().p
            };
            p.p() < 0.05
        };
        let level = share(purpose, |rng| rejects(rng, false));
        assert!(LEVEL.contains(&level), "{draws} draws of {dose}: {level}");
        let naive = share(purpose, |rng| rejects(rng, true));
        assert!(naive > 0.5, "genes alone as units pass: {naive}");
    }
}
