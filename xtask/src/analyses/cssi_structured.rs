//! `cssi-structured`: the two published simulations of realistic proportions of cell types.

use anyhow::Result;
use ndarray::{ArrayView2, Axis};
use rayon::prelude::*;
use scfm_core::{Column, Table};
use scfm_cssi::{Aggregator, Measure, Strata, best_first, correlations, correlations_by_stratum, f1_at};
use scfm_report::{Curve, curves};
use scfm_stats::{Zeros, defined, mcnemar, wilcoxon_signed_rank};
use scfm_synth::published;

use super::Desk;

pub const ID: &str = "cssi-structured";

/// Numbers of cells and draws of each, as published.
const CELLS: [usize; 5] = [200, 500, 1_000, 2_000, 5_000];
const DRAWS: u32 = 10;
/// Pairs that F1 looks at, as published: of 15 edges, so that it cannot exceed 0.75.
const FIRST: usize = 25;
/// Cells that a type needs in the simulation of scores and in that of blood, as published.
const MIN_CELLS: usize = 5;
const MIN_CELLS_BLOOD: usize = 20;
/// Seed of the published blood.
const BLOOD: u32 = 42;

/// What one draw came to, pooled and by the largest score over types.
#[derive(Clone, Copy)]
struct Drawn {
    auroc: [f64; 2],
    f1: [f64; 2],
}

pub fn run(desk: &mut Desk<'_>) -> Result<()> {
    let jobs: Vec<(usize, u32)> = CELLS
        .iter()
        .flat_map(|&n| (0..DRAWS).map(move |seed| (n, seed)))
        .collect();
    let drawn: Vec<Drawn> = jobs
        .par_iter()
        .map(|&(n_cells, seed)| immune(n_cells, seed))
        .collect::<Result<_>>()?;
    let sizes: Vec<&[Drawn]> = drawn.chunks(DRAWS as usize).collect();
    let gains = |of: &[Drawn]| {
        of.iter()
            .map(|drawn| drawn.auroc[1] - drawn.auroc[0])
            .collect::<Vec<f64>>()
    };
    let test = defined(wilcoxon_signed_rank(&gains(sizes[0]), Zeros::Drop))?;
    desk.test(&format!("{ID}/max-vs-pooled"), &test, false)?;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    for n_cells in [500, 1_000, 5_000] {
        let of = CELLS
            .iter()
            .position(|&n| n == n_cells)
            .expect("a published size");
        let gain = mean(&gains(sizes[of]));
        desk.figure(
            &format!("{ID}/gain-{n_cells}"),
            Ok(gain),
            None,
            Some(DRAWS as usize),
            false,
        )?;
    }

    let blood = published::pbmc(BLOOD).mixture;
    let truth = blood.truth();
    let all: Vec<usize> = (0..blood.states.len()).collect();
    let pooled: Vec<f64> = correlations(blood.expression.view(), &blood.pairs, &all)?
        .into_iter()
        .map(f64::abs)
        .collect();
    let strata = Strata::new(&blood.states, MIN_CELLS_BLOOD)?;
    let within = correlations_by_stratum(blood.expression.view(), &blood.pairs, &strata)?.mapv(f64::abs);
    let max = Aggregator::Max.apply(within.view(), &strata, &pooled)?;
    let (by_pooled, by_max) = (among_first(&pooled, &truth), among_first(&max, &truth));
    let only = |a: &[bool], b: &[bool]| a.iter().zip(b).filter(|(a, b)| **a && !**b).count() as u64;
    let test = defined(mcnemar(only(&by_max, &by_pooled), only(&by_pooled, &by_max)))?;
    desk.test(&format!("{ID}/curated-recovery"), &test, false)?;

    let hits = |found: &[bool]| found.iter().filter(|&&found| found).count();
    let n_edges = truth.iter().filter(|&&is_edge| is_edge).count();
    desk.say(format!(
        "Of the {n_edges} pairs of the simulated blood (3,000 cells, eight types), {} stand among the first {FIRST} by the largest correlation over \
         types and {} by the pooled one, of {} candidate pairs. The types of the cells are those of the simulation.",
        hits(&by_max),
        hits(&by_pooled),
        truth.len()
    ));
    desk.say(
        "Both data sets are simulated, as the published ones were. Pooled recovery grows with the number of cells at fixed proportions, so that \
         what stratification adds shrinks. F1 looks at 25 pairs where there are 15 edges, and cannot exceed 0.75.",
    );
    desk.keep_table(
        "cssi_structured",
        "Recovery by number of cells, mean over ten draws",
        table(&sizes)?,
    )?;
    for (name, of, ceiling) in [
        (
            "AUROC",
            (|drawn: &Drawn| drawn.auroc) as fn(&Drawn) -> [f64; 2],
            1.0,
        ),
        ("F1", |drawn| drawn.f1, 0.75),
    ] {
        let points = |way: usize| {
            let at = CELLS.iter().zip(&sizes);
            at.map(|(&n, drawn)| {
                (
                    (n as f64).log10(),
                    mean(&drawn.iter().map(|drawn| of(drawn)[way]).collect::<Vec<_>>()),
                )
            })
            .collect()
        };
        let ceiling = CELLS.iter().map(|&n| ((n as f64).log10(), ceiling)).collect();
        desk.show_figure(
            &format!("{name} by number of cells, fifteen immune cell types"),
            curves(
                &[
                    Curve {
                        name: "pooled",
                        points: points(0),
                    },
                    Curve {
                        name: "max over types",
                        points: points(1),
                    },
                    Curve {
                        name: "ceiling",
                        points: ceiling,
                    },
                ],
                "log10 cells",
                name,
            ),
        );
    }
    Ok(())
}

/// One draw of scores of cells of fifteen types: mean scores of all cells, and the largest mean over types.
fn immune(n_cells: usize, seed: u32) -> Result<Drawn> {
    let mixture = published::immune_scores(n_cells, 1_000 * seed + n_cells as u32)?;
    let truth = mixture.truth();
    let mean = |scores: ArrayView2<'_, f64>| scores.mean_axis(Axis(0)).expect("there are cells").to_vec();
    let pooled = mean(mixture.scores.view());
    let strata = Strata::new(&mixture.states, MIN_CELLS)?;
    let mut within = ndarray::Array2::zeros((strata.len(), truth.len()));
    for (stratum, mut row) in within.outer_iter_mut().enumerate() {
        let of_stratum = mixture.scores.select(Axis(0), strata.cells(stratum));
        row.assign(&ndarray::aview1(&mean(of_stratum.view())));
    }
    let mut max = Aggregator::Max.apply(within.view(), &strata, &pooled)?;
    let mut pooled = pooled;
    pooled
        .iter_mut()
        .chain(&mut max)
        .for_each(|score| *score = score.abs());
    Ok(Drawn {
        auroc: [
            Measure::Auroc.of(&pooled, &truth)?,
            Measure::Auroc.of(&max, &truth)?,
        ],
        f1: [f1_at(FIRST, &pooled, &truth)?, f1_at(FIRST, &max, &truth)?],
    })
}

/// Whether each true pair stands among the first ones.
fn among_first(scores: &[f64], truth: &[bool]) -> Vec<bool> {
    let order = &best_first(scores)[..FIRST.min(scores.len())];
    let edges = (0..truth.len()).filter(|&pair| truth[pair]);
    edges.map(|pair| order.contains(&pair)).collect()
}

fn table(sizes: &[&[Drawn]]) -> Result<Table> {
    let mean = |of: &dyn Fn(&Drawn) -> f64| {
        Column::numbers(
            sizes
                .iter()
                .map(|drawn| drawn.iter().map(of).sum::<f64>() / drawn.len() as f64)
                .collect::<Vec<_>>(),
        )
    };
    Ok(Table::new(sizes.len())
        .with("cells", Column::counts(CELLS))?
        .with("auroc_pooled", mean(&|drawn| drawn.auroc[0]))?
        .with("auroc_max", mean(&|drawn| drawn.auroc[1]))?
        .with("f1_pooled", mean(&|drawn| drawn.f1[0]))?
        .with("f1_max", mean(&|drawn| drawn.f1[1]))?)
}
