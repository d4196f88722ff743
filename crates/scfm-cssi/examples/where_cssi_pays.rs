//! Where scoring within states pays: what pooling, published aggregation and adaptive scores recover of simulated edges, over
//! states that are known, found, found without the genes that are judged, and made up.
//!
//! ```text
//! cargo run --release -p scfm-cssi --example where_cssi_pays -- 20 > where_cssi_pays.csv
//! ```
//!
//! Writes CSV: a row for each kind of cells, strata and score; means over the given number of draws with their standard
//! errors, and the mean difference from pooling in the same draws with its own. The same numbers on every run.

use rayon::prelude::*;
use scfm_core::Seeds;
use scfm_cssi::benchmark::{Recovered, Recovery, clusters};
use scfm_cssi::{Aggregator, CrossFit, Error, StateParams, StateSearch, shuffled_labels};
use scfm_synth::published::{self, SCALING};
use scfm_synth::{MixtureParams, Separation, StateMixture};

const AGGREGATORS: [Aggregator; 4] = [
    Aggregator::Max,
    Aggregator::PublishedMean,
    Aggregator::Range,
    Aggregator::Deviation,
];

fn main() -> Result<(), Error> {
    let n_draws = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(20);
    println!(
        "cells,states,cells_per_state,marker_shift,pair_shift,strata,score,f1,f1_se,auroc,auroc_se,auroc_gain,auroc_gain_se,strata_matter"
    );
    for (n_states, cells) in SCALING {
        let params = MixtureParams::new(n_states, cells);
        let draw = |seed: u64| Ok(published::mixture(&params, 100 * seed as u32 + n_states as u32)?);
        report(
            &format!("published,{n_states},{cells},0,0"),
            n_states,
            n_draws,
            draw,
        )?;
    }
    for (n_states, cells) in [(4, 100), (8, 125)] {
        for pairs in [0.0, 0.5] {
            for markers in [0.0, 1.0, 2.0] {
                let params = MixtureParams::new(n_states, cells);
                let separation = Separation {
                    markers,
                    pairs,
                    ..Separation::default()
                };
                let draw = |index| {
                    Ok(StateMixture::identifiable(
                        &params,
                        separation,
                        Seeds::new(0),
                        index,
                    )?)
                };
                report(
                    &format!("identifiable,{n_states},{cells},{markers},{pairs}"),
                    n_states,
                    n_draws,
                    draw,
                )?;
            }
        }
    }
    let draw = |seed: u64| Ok(published::pbmc(42 + seed as u32).mixture);
    report("blood,8,375,0,0", 8, n_draws, draw)
}

/// The strata of one draw and what is recovered by them.
type Row = (&'static str, Recovered);

fn report(
    cells: &str,
    n_states: usize,
    n_draws: u64,
    draw: impl Fn(u64) -> Result<StateMixture, Error> + Sync,
) -> Result<(), Error> {
    let draws: Vec<Vec<Row>> = (0..n_draws)
        .into_par_iter()
        .map(|index| of_draw(&draw(index)?, n_states, index))
        .collect::<Result<_, Error>>()?;
    print_row(cells, "none", "pooled", &draws, 0, |recovered| recovered.pooled);
    for at in 0..draws[0].len() {
        let strata = draws[0][at].0;
        for aggregator in AGGREGATORS {
            print_row(cells, strata, aggregator.name(), &draws, at, |recovered| {
                recovered.by(aggregator)
            });
        }
        print_row(cells, strata, "adaptive", &draws, at, |recovered| {
            recovered.adaptive
        });
    }
    Ok(())
}

fn of_draw(mixture: &StateMixture, n_states: usize, index: u64) -> Result<Vec<Row>, Error> {
    let stream = |purpose| Seeds::new(0).stream("where cssi pays", purpose, index);
    let all_genes: Vec<usize> = (0..mixture.expression.ncols()).collect();
    let k_means = |genes: &[usize]| clusters(mixture, genes, n_states, &mut stream("k-means"));
    let search = StateSearch::new(mixture.expression.view(), StateParams::default(), index)?;
    let leiden = |genes: &[usize]| search.by(genes);
    let within = |labels: &[usize]| Recovered::within(mixture, labels);
    Ok(vec![
        ("known", within(&mixture.states)?),
        ("k-means", within(&k_means(&all_genes)?)?),
        ("leiden", within(&leiden(&all_genes)?)?),
        (
            "cross-fitted k-means",
            Recovered::cross_fitted(
                mixture,
                CrossFit::default().n_folds,
                k_means,
                &mut stream("parts"),
            )?,
        ),
        (
            "cross-fitted leiden",
            Recovered::cross_fitted(mixture, CrossFit::default().n_folds, leiden, &mut stream("parts"))?,
        ),
        (
            "shuffled",
            within(&shuffled_labels(&mixture.states, &mut stream("shuffled")))?,
        ),
    ])
}

fn print_row(
    cells: &str,
    strata: &str,
    score: &str,
    draws: &[Vec<Row>],
    at: usize,
    of: impl Fn(&Recovered) -> Recovery,
) {
    let rows = || draws.iter().map(|rows| &rows[at].1);
    let (f1, f1_se) = mean(rows().map(|row| of(row).f1));
    let (auroc, auroc_se) = mean(rows().map(|row| of(row).auroc));
    let (gain, gain_se) = mean(rows().map(|row| of(row).auroc - row.pooled.auroc));
    let matter = if score == "adaptive" {
        format!("{:.2}", mean(rows().map(|row| row.strata_matter)).0)
    } else {
        String::new()
    };
    println!(
        "{cells},{strata},{score},{f1:.4},{f1_se:.4},{auroc:.4},{auroc_se:.4},{gain:.4},{gain_se:.4},{matter}"
    );
}

/// Mean and its standard error.
fn mean(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let values: Vec<f64> = values.collect();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0) / n).sqrt())
}
