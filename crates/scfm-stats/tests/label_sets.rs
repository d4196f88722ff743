//! One score against two label sets of the same grid.

mod worlds;

use ndarray::Array2;
use rand::RngExt;
use rayon::prelude::*;
use scfm_stats::*;
use worlds::{Draw, World, stream};

const ANY: CrossedLimits = CrossedLimits {
    min_rows: 2,
    min_effective_genes: 1.0,
};

/// Labels of which a share is kept, at least one a row.
fn part(draw: &Draw, share: f64, index: u64) -> Array2<bool> {
    let mut rng = stream(61, index);
    let mut kept = draw.positive.clone();
    for mut row in kept.outer_iter_mut() {
        let positives: Vec<usize> = row
            .iter()
            .enumerate()
            .filter(|(_, p)| **p)
            .map(|(c, _)| c)
            .collect();
        for &column in &positives[1..] {
            row[column] = rng.random::<f64>() < share;
        }
    }
    kept
}

fn world(signal: f64) -> World {
    World {
        rows: 50,
        columns: 200,
        median_positives: 8.0,
        propensity: 1.5,
        shared: 0.7,
        signal,
    }
}

/// Influences of both label sets by their definition, and the variance of their difference from pairs of cells.
#[test]
fn agrees_with_its_definition() {
    let draw = World {
        rows: 6,
        columns: 20,
        median_positives: 4.0,
        ..world(0.3)
    }
    .draw(&mut stream(60, 0));
    let kept = part(&draw, 0.5, 0);
    let labels = LabelledGrid {
        positive: kept.view(),
        candidate: draw.candidate.view(),
    };
    let found = crossed_label_difference(draw.scores[0].view(), labels, draw.labels(), &ANY).unwrap();
    let of = |labels: LabelledGrid| crossed_auroc(draw.scores[0].view(), labels, &ANY).unwrap();
    let (a, b) = (of(labels), of(draw.labels()));
    assert!((found.mean - (a.mean - b.mean)).abs() < 1e-12);
    assert_eq!(found.effective_genes, a.effective_genes.min(b.effective_genes));

    let (rows, columns) = kept.dim();
    let candidate = &draw.candidate;
    let psi = |positive: &Array2<bool>, mean: f64| {
        Array2::from_shape_fn((rows, columns), |(row, column)| {
            if !draw.candidate[[row, column]] {
                return 0.0;
            }
            let own = positive[[row, column]];
            let class = |wanted: bool| -> Vec<usize> {
                (0..columns)
                    .filter(|&c| candidate[[row, c]] && positive[[row, c]] == wanted)
                    .collect()
            };
            let score = |c| draw.scores[0][[row, c]];
            let wins: f64 = class(!own)
                .into_iter()
                .map(|c| {
                    let (high, low) = if own { (column, c) } else { (c, column) };
                    if score(high) > score(low) {
                        1.0
                    } else if score(high) == score(low) {
                        0.5
                    } else {
                        0.0
                    }
                })
                .sum();
            let placement = wins / class(!own).len() as f64;
            (placement - mean) / (rows as f64 * class(own).len() as f64)
        })
    };
    let influence = psi(&kept, a.mean) - psi(&draw.positive, b.mean);
    let between: f64 = found
        .per_row
        .iter()
        .map(|d| (d - found.mean).powi(2))
        .sum::<f64>()
        / (rows * (rows - 1)) as f64;
    let mut shared = 0.0;
    for column in 0..columns {
        for p in 0..rows {
            for q in (0..rows).filter(|&q| q != p) {
                shared += influence[[p, column]] * influence[[q, column]];
            }
        }
    }
    assert!((found.standard_error - (between + shared.max(0.0)).sqrt()).abs() < 1e-12);
}

#[test]
fn the_same_labels_differ_by_nothing() {
    let draw = world(0.3).draw(&mut stream(62, 0));
    let found = crossed_label_difference(draw.scores[0].view(), draw.labels(), draw.labels(), &ANY).unwrap();
    assert_eq!((found.mean, found.test.p.p()), (0.0, 1.0));
}

/// Where the kept labels are a random part of all, a score recovers both alike, whether it knows of them or not.
#[test]
fn a_random_part_of_the_labels_is_recovered_as_well_as_all() {
    for signal in [0.0, 1.0] {
        let n = 600;
        let rejected: Vec<[bool; 2]> = (0..n)
            .into_par_iter()
            .map(|index| {
                let draw = world(signal).draw(&mut stream(63, index));
                let kept = part(&draw, 0.6, index);
                // What is not kept is no candidate, so that it is no negative either.
                let candidate = Array2::from_shape_fn(kept.dim(), |at| {
                    draw.candidate[at] && (kept[at] || !draw.positive[at])
                });
                let labels = LabelledGrid {
                    positive: kept.view(),
                    candidate: candidate.view(),
                };
                let found =
                    crossed_label_difference(draw.scores[0].view(), labels, draw.labels(), &ANY).unwrap();
                let naive = one_sample_t(&found.per_row, 0.0).unwrap();
                [found.test.p, naive.p].map(|p| p.p() <= 0.05)
            })
            .collect();
        let [crossed, naive] = [0, 1].map(|i| rejected.iter().filter(|r| r[i]).count() as f64 / n as f64);
        eprintln!("signal {signal}: crossed {crossed}, over rows {naive}");
        assert!((0.02..=0.08).contains(&crossed), "{signal}: {crossed}");
    }
}

/// Where the kept labels are those that the score knows, the difference is found.
#[test]
fn labels_that_the_score_knows_better_are_found() {
    let found = (0..60u64)
        .into_par_iter()
        .filter(|&index| {
            let draw = world(0.0).draw(&mut stream(64, index));
            let kept = part(&draw, 0.5, index);
            let scores = Array2::from_shape_fn(kept.dim(), |at| {
                draw.scores[0][at] + if kept[at] { 0.8 } else { 0.0 }
            });
            let labels = LabelledGrid {
                positive: kept.view(),
                candidate: draw.candidate.view(),
            };
            let found = crossed_label_difference(scores.view(), labels, draw.labels(), &ANY).unwrap();
            found.mean > 0.0 && found.test.p.p() <= 0.05
        })
        .count();
    assert!(found > 54, "{found} of 60");
}
