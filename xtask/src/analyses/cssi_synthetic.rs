//! `cssi-synthetic`: the published simulation of states with edges of their own, with the strata that it was shown with and those
//! that people have.

use anyhow::Result;
use ndarray::Array2;
use rayon::prelude::*;
use scfm_core::{Column, Table};
use scfm_cssi::benchmark::{PublishedRow, Recovery};
use scfm_cssi::{Aggregator, Measure, Part, Strata, correlations, correlations_by_stratum, split_half};
use scfm_report::{Curve, curves};
use scfm_stats::{
    Alternative, Moments, TestResult, Undefined, Zeros, defined, page_trend, tost, wilcoxon_signed_rank,
};
use scfm_synth::MixtureParams;
use scfm_synth::published::{self, SCALING};

use super::Desk;

pub const ID: &str = "cssi-synthetic";

/// Draws of each size, those of the published table.
const DRAWS: u32 = 10;
/// A change of F1 that is none.
const BOUND: f64 = 0.05;
/// Cells that a stratum needs, as published.
const MIN_CELLS: usize = 5;

/// How edges are scored: the strata, and how they are brought together.
struct Way {
    name: &'static str,
    of: fn(&PublishedRow) -> Recovery,
}

const WAYS: [Way; 12] = [
    Way {
        name: "pooled",
        of: |row| row.known.pooled,
    },
    Way {
        name: "max",
        of: |row| row.known.by(Aggregator::Max),
    },
    Way {
        name: "mean (SCENIC-style)",
        of: |row| row.known.by(Aggregator::PublishedMean),
    },
    Way {
        name: "range",
        of: |row| row.known.by(Aggregator::Range),
    },
    Way {
        name: "deviation",
        of: |row| row.known.by(Aggregator::Deviation),
    },
    Way {
        name: "adaptive",
        of: |row| row.known.adaptive,
    },
    Way {
        name: "max, found strata",
        of: |row| row.k_means.by(Aggregator::Max),
    },
    Way {
        name: "adaptive, found strata",
        of: |row| row.k_means.adaptive,
    },
    Way {
        name: "adaptive, cross-fitted",
        of: |row| row.cross_fitted.adaptive,
    },
    Way {
        name: "max, shuffled labels",
        of: |row| row.shuffled.by(Aggregator::Max),
    },
    Way {
        name: "max, random labels",
        of: |row| row.random.by(Aggregator::Max),
    },
    Way {
        name: "max, permuted genes",
        of: |row| row.permuted.by(Aggregator::Max),
    },
];

pub fn run(desk: &mut Desk<'_>) -> Result<()> {
    let jobs: Vec<(usize, usize, u32)> = SCALING
        .iter()
        .flat_map(|&(n_states, cells)| (0..DRAWS).map(move |seed| (n_states, cells, seed)))
        .collect();
    let rows: Vec<PublishedRow> = jobs
        .par_iter()
        .map(|&(n_states, cells, seed)| PublishedRow::draw(n_states, cells, seed))
        .collect::<Result<_, _>>()?;
    let f1 = |of: fn(&PublishedRow) -> Recovery| rows.iter().map(|row| of(row).f1).collect::<Vec<f64>>();
    let (pooled, max) = (
        f1(|row| row.known.pooled),
        f1(|row| row.known.by(Aggregator::Max)),
    );

    // A row for each draw, a column for each size.
    let by_draw = |values: &[f64]| {
        Array2::from_shape_fn((DRAWS as usize, SCALING.len()), |(draw, size)| {
            values[size * DRAWS as usize + draw]
        })
    };
    let falls =
        defined(page_trend(by_draw(&pooled).view()))?.and_then(|test| against(&test, Alternative::Less));
    desk.test(&format!("{ID}/pooled-falls"), &falls, false)?;
    let of_max = by_draw(&max);
    let change: Vec<f64> = of_max
        .outer_iter()
        .map(|draw| draw[SCALING.len() - 1] - draw[0])
        .collect();
    let moments = Moments::of(&change);
    let error = (moments.variance / moments.n as f64).sqrt();
    let holds = defined(tost(moments.mean, error, moments.n as f64 - 1.0, BOUND))?;
    desk.test(&format!("{ID}/max-holds"), &holds, false)?;
    let gains: Vec<f64> = max
        .iter()
        .zip(&pooled)
        .map(|(max, pooled)| max - pooled)
        .collect();
    let gain = defined(wilcoxon_signed_rank(&gains, Zeros::Drop))?;
    desk.test(&format!("{ID}/max-vs-pooled"), &gain, false)?;

    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    for (size, (max, pooled)) in max
        .chunks(DRAWS as usize)
        .zip(pooled.chunks(DRAWS as usize))
        .enumerate()
    {
        let ratio = mean(max) / mean(pooled);
        desk.figure(
            &format!("{ID}/ratio-size-{}", size + 1),
            Ok(ratio),
            None,
            Some(max.len()),
            false,
        )?;
    }
    let found = f1(|row| row.k_means.by(Aggregator::Max));
    let ratio = mean(&found) / mean(&pooled);
    desk.figure(
        &format!("{ID}/ratio-estimated-strata"),
        Ok(ratio),
        None,
        Some(found.len()),
        true,
    )?;
    let held_out = jobs
        .par_iter()
        .map(|&(n_states, cells, seed)| held_out_gain(n_states, cells, seed))
        .collect::<Result<Vec<f64>>>()?;
    desk.figure(
        &format!("{ID}/split-half"),
        Ok(mean(&held_out)),
        None,
        Some(held_out.len()),
        true,
    )?;

    desk.say(format!(
        "Six sizes of {DRAWS} draws each of the published simulation, bit for bit: 5 factors, 25 targets, two edges in all states and some \
         in each. The published table knows the state of every cell. Strata found by k-means on the same genes lose to pooling (F1 {:.3} \
         of max against {:.3} pooled): the states differ in correlations alone, which no clustering of expression can find, and clusters \
         made of a pair's own genes distort its correlation. Cross-fitted strata are found without the genes of each pair.",
        mean(&found),
        mean(&pooled)
    ));
    desk.say(
        "What falls with the number of states is dilution: of N cells a share of 1/S carries a private edge. It is no effect of the number of \
         cells, which grows along the same sizes. F1 takes as many pairs as there are edges, so that 1 can be reached.",
    );
    desk.keep_table(
        "cssi_synthetic",
        "F1 and AUROC by size, mean over draws",
        summary(&rows)?,
    )?;
    let drawn = [
        "pooled",
        "max",
        "mean (SCENIC-style)",
        "max, found strata",
        "adaptive, cross-fitted",
        "adaptive",
    ];
    for (measure, of) in [
        ("F1", (|r: Recovery| r.f1) as fn(Recovery) -> f64),
        ("AUROC", |r| r.auroc),
    ] {
        let lines: Vec<Curve<'_>> = WAYS
            .iter()
            .filter(|way| drawn.contains(&way.name))
            .map(|way| Curve {
                name: way.name,
                points: by_size(&rows, |row| of((way.of)(row))),
            })
            .chain((measure == "F1").then(|| {
                Curve {
                    name: "ceiling",
                    points: SCALING
                        .iter()
                        .map(|&(n_states, _)| (n_states as f64, 1.0))
                        .collect(),
                }
            }))
            .collect();
        desk.show_figure(
            &format!("{measure} by number of states, mean over draws; strata are the true states unless said otherwise"),
            curves(&lines, "states", measure),
        );
    }
    let nulls: Vec<Curve<'_>> = WAYS
        .iter()
        .filter(|way| way.name == "pooled" || way.name.contains("labels") || way.name.contains("permuted"))
        .map(|way| Curve {
            name: way.name,
            points: by_size(&rows, |row| (way.of)(row).auroc),
        })
        .collect();
    desk.show_figure(
        "AUROC where strata or genes mean nothing: labels that mean nothing are noisier pooled estimates, and fall to chance with permuted genes only",
        curves(&nulls, "states", "AUROC"),
    );
    Ok(())
}

fn against(test: &TestResult, alternative: Alternative) -> Result<TestResult, Undefined> {
    Ok(test.against(alternative).expect("a trend has a direction"))
}

/// Mean over draws by number of states.
fn by_size(rows: &[PublishedRow], of: impl Fn(&PublishedRow) -> f64) -> Vec<(f64, f64)> {
    rows.chunks(DRAWS as usize)
        .map(|rows| {
            (
                rows[0].n_states as f64,
                rows.iter().map(&of).sum::<f64>() / rows.len() as f64,
            )
        })
        .collect()
}

/// What the variant that is best in one half of the cells, on one half of the pairs, gains in F1 over pooling in the others.
fn held_out_gain(n_states: usize, cells: usize, seed: u32) -> Result<f64> {
    let mixture = published::mixture(&MixtureParams::new(n_states, cells), 100 * seed + n_states as u32)?;
    let (training, test) = published::held_out_half(mixture.states.len(), seed);
    let variants = |chosen: &[usize]| -> Result<Vec<Vec<f64>>> {
        let labels: Vec<usize> = chosen.iter().map(|&cell| mixture.states[cell]).collect();
        let expression = mixture.expression.select(ndarray::Axis(0), chosen);
        let all: Vec<usize> = (0..chosen.len()).collect();
        let pooled = correlations(expression.view(), &mixture.pairs, &all)?;
        let pooled: Vec<f64> = pooled.into_iter().map(f64::abs).collect();
        let strata = Strata::new(&labels, MIN_CELLS)?;
        let within = correlations_by_stratum(expression.view(), &mixture.pairs, &strata)?.mapv(f64::abs);
        let mut variants = [
            Aggregator::Max,
            Aggregator::PublishedMean,
            Aggregator::Range,
            Aggregator::Deviation,
        ]
        .into_iter()
        .map(|aggregator| Ok(aggregator.apply(within.view(), &strata, &pooled)?))
        .collect::<Result<Vec<_>>>()?;
        variants.push(pooled);
        Ok(variants)
    };
    let truth = mixture.truth();
    let (training, mut test) = (variants(&training)?, variants(&test)?);
    let pooled = test.pop().unwrap_or_default();
    let n = training.len() - 1;
    // Edges that chose a variant do not judge it: every second edge, and every second other pair.
    let mut seen = [0, 0];
    let parts: Vec<Part> = truth
        .iter()
        .map(|&is_edge| {
            seen[usize::from(is_edge)] += 1;
            if seen[usize::from(is_edge)] % 2 == 0 {
                Part::Training
            } else {
                Part::Test
            }
        })
        .collect();
    let judged = truth
        .iter()
        .zip(&parts)
        .filter(|(is_edge, part)| **is_edge && **part == Part::Test)
        .count();
    let measure = Measure::F1(judged.max(1));
    let found = split_half(&training[..n], &test, &truth, |pair| parts[pair], measure)?;
    let of_pooled = split_half(&training[n..], &[pooled], &truth, |pair| parts[pair], measure)?;
    Ok(found.held_out[found.chosen] - of_pooled.held_out[0])
}

fn summary(rows: &[PublishedRow]) -> Result<Table> {
    let sizes: Vec<&[PublishedRow]> = rows.chunks(DRAWS as usize).collect();
    let mut table = Table::new(sizes.len() * WAYS.len())
        .with(
            "states",
            Column::counts(
                sizes
                    .iter()
                    .flat_map(|rows| WAYS.iter().map(|_| rows[0].n_states)),
            ),
        )?
        .with(
            "cells",
            Column::counts(
                sizes
                    .iter()
                    .flat_map(|rows| WAYS.iter().map(|_| rows[0].n_states * rows[0].cells_per_state)),
            ),
        )?
        .with(
            "score",
            Column::text(sizes.iter().flat_map(|_| WAYS.iter().map(|way| way.name))),
        )?;
    let moments = |of: fn(Recovery) -> f64| -> Vec<Moments> {
        let of_size = |rows: &&[PublishedRow]| {
            let rows = rows.to_vec();
            WAYS.iter()
                .map(|way| Moments::of(&rows.iter().map(|row| of((way.of)(row))).collect::<Vec<_>>()))
                .collect::<Vec<_>>()
        };
        sizes.iter().flat_map(of_size).collect()
    };
    for (name, of) in [
        ("f1", (|r: Recovery| r.f1) as fn(Recovery) -> f64),
        ("auroc", |r| r.auroc),
    ] {
        let moments = moments(of);
        table.push(name, Column::numbers(moments.iter().map(|m| m.mean)))?;
        table.push(
            format!("{name}_sd"),
            Column::numbers(moments.iter().map(|m| m.variance.sqrt())),
        )?;
    }
    Ok(table)
}
