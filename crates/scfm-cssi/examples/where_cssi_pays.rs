//! Where scoring within states pays: what pooling, published aggregation and adaptive scores recover of simulated edges, over
//! states that are known, found, found without the genes that are judged, in which cells are in part, and made up.
//!
//! ```text
//! cargo run --release -p scfm-cssi --example where_cssi_pays -- 20 > where_cssi_pays.csv
//! cargo run --release -p scfm-cssi --example where_cssi_pays -- 60 lost > where_strata_are_nothing.csv
//! cargo run --release -p scfm-cssi --example where_cssi_pays -- 10 blood > blood.csv
//! ```
//!
//! Writes CSV: a row for each kind of cells, strata and score; means over the given number of draws with their standard
//! errors, and the mean difference from pooling in the same draws with its own; for adaptive scores also in what share of draws
//! strata were used. With `lost`, only the cells whose states cannot be found, and the simulated blood; with `blood`, that
//! alone. The same numbers on every run.

use std::collections::BTreeMap;
use std::sync::Mutex;

use ndarray::Axis;
use rayon::prelude::*;
use scfm_core::Seeds;
use scfm_cssi::benchmark::{Recovered, Recovery, clusters};
use scfm_cssi::{
    Aggregator, CrossFit, Error, StateParams, StateSearch, StrataModel, likeliest, memberships,
    shuffled_labels,
};
use scfm_synth::published::{self, SCALING};
use scfm_synth::{MixtureParams, Separation, StateMixture};

const AGGREGATORS: [Aggregator; 4] = [
    Aggregator::Max,
    Aggregator::PublishedMean,
    Aggregator::Range,
    Aggregator::Deviation,
];

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let n_draws = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(20);
    let only = arguments.next().unwrap_or_default();
    println!(
        "cells,states,cells_per_state,marker_shift,pair_shift,strata,score,f1,f1_se,auroc,auroc_se,auroc_gain,auroc_gain_se,strata_used"
    );
    if only != "blood" {
        mixtures(n_draws, only == "lost")?;
    }
    let draw = |seed: u64| Ok(published::pbmc(42 + seed as u32).mixture);
    report("blood,8,375,0,0", 8, n_draws, draw)
}

/// Cells of few states in equal parts; those alone whose states cannot be found, or all.
fn mixtures(n_draws: u64, only_lost: bool) -> Result<(), Error> {
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
    // Edges of single states, and as many that all states share, which shifts of means hide.
    for (kind, pair_shifts) in [("identifiable", &[0.0, 0.5][..]), ("same edges", &[0.5])] {
        for (n_states, cells) in [(4, 100), (8, 125)] {
            for &pairs in pair_shifts {
                for markers in [0.0, 1.0, 2.0] {
                    let mut params = MixtureParams::new(n_states, cells);
                    if kind == "same edges" {
                        (params.shared, params.private, params.strength) = (14, 0, 0.25);
                    }
                    let separation = Separation {
                        markers,
                        pairs,
                        ..Separation::default()
                    };
                    // Of eight states raised by one SD, k-means finds none.
                    let lost = pairs == 0.0 && (markers == 0.0 || (markers == 1.0 && n_states == 8));
                    if only_lost && !lost {
                        continue;
                    }
                    let draw = |index| {
                        let seeds = Seeds::new(0);
                        Ok(StateMixture::identifiable(&params, separation, seeds, index)?)
                    };
                    report(
                        &format!("{kind},{n_states},{cells},{markers},{pairs}"),
                        n_states,
                        n_draws,
                        draw,
                    )?;
                }
            }
        }
    }
    // One state of co-expressed genes, which clusters cut in pieces.
    for strength in [0.15, 0.3, 0.6] {
        let params = MixtureParams {
            shared: 60,
            private: 0,
            strength,
            ..MixtureParams::new(1, 400)
        };
        let separation = Separation {
            markers: 0.0,
            ..Separation::default()
        };
        let draw = |index| {
            let seeds = Seeds::new(0);
            Ok(StateMixture::identifiable(&params, separation, seeds, index)?)
        };
        report(&format!("one state {strength},1,400,0,0"), 4, n_draws, draw)?;
    }
    Ok(())
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
    let n_folds = CrossFit::default().n_folds;
    let search = StateSearch::new(mixture.expression.view(), StateParams::default(), index)?;
    let k_means = Once::of(|genes| clusters(mixture, genes, n_states, &mut stream("k-means")));
    let leiden = Once::of(|genes| search.by(genes));
    let within = |labels: &[usize]| Recovered::within(mixture, labels);
    let mut rows = vec![
        ("known", within(&mixture.states)?),
        ("k-means", within(&k_means.by(&all_genes)?)?),
        ("leiden", within(&leiden.by(&all_genes)?)?),
    ];
    let parts = || stream("parts");
    for (names, found) in [(K_MEANS, &k_means), (LEIDEN, &leiden)] {
        let hard = |genes: &[usize]| found.by(genes);
        let soft = Once::of(|genes| {
            let points = mixture.expression.select(Axis(1), genes);
            memberships(points.view(), &found.by(genes)?)
        });
        let refined = |genes: &[usize]| Ok(likeliest(soft.by(genes)?.view()));
        let soft = |genes: &[usize]| soft.by(genes);
        rows.extend([
            (
                names[0],
                Recovered::cross_fitted(mixture, n_folds, hard, &mut parts())?,
            ),
            (
                names[1],
                Recovered::cross_fitted(mixture, n_folds, refined, &mut parts())?,
            ),
            (
                names[2],
                Recovered::cross_fitted_soft(mixture, n_folds, soft, &mut parts())?,
            ),
        ]);
    }
    let shuffled = shuffled_labels(&mixture.states, &mut stream("shuffled"));
    rows.push(("shuffled", within(&shuffled)?));
    Ok(rows)
}

/// Strata by the clusters, by the mixture of Gaussians that starts from them, and in part by it.
const K_MEANS: [&str; 3] = [
    "cross-fitted k-means",
    "cross-fitted refined k-means",
    "cross-fitted soft k-means",
];
const LEIDEN: [&str; 3] = [
    "cross-fitted leiden",
    "cross-fitted refined leiden",
    "cross-fitted soft leiden",
];

type Find<'a, S> = dyn Fn(&[usize]) -> Result<S, Error> + Sync + 'a;

/// A way to find states that looks once for each set of genes.
struct Once<'a, S> {
    find: Box<Find<'a, S>>,
    found: Mutex<BTreeMap<Vec<usize>, S>>,
}

impl<'a, S: Clone> Once<'a, S> {
    fn of(find: impl Fn(&[usize]) -> Result<S, Error> + Sync + 'a) -> Self {
        Self {
            find: Box::new(find),
            found: Mutex::default(),
        }
    }

    fn by(&self, genes: &[usize]) -> Result<S, Error> {
        let kept = self
            .found
            .lock()
            .expect("no thread panics with it")
            .get(genes)
            .cloned();
        if let Some(states) = kept {
            return Ok(states);
        }
        let states = (self.find)(genes)?;
        let mut found = self.found.lock().expect("no thread panics with it");
        found.insert(genes.to_vec(), states.clone());
        Ok(states)
    }
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
    let used = if score == "adaptive" {
        let used = |row: &Recovered| f64::from(u8::from(row.model != StrataModel::Pooled));
        format!("{:.2}", mean(rows().map(used)).0)
    } else {
        String::new()
    };
    println!(
        "{cells},{strata},{score},{f1:.4},{f1_se:.4},{auroc:.4},{auroc_se:.4},{gain:.4},{gain_se:.4},{used}"
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
