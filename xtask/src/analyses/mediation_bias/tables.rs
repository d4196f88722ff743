//! What the report shows of runs and components.

use anyhow::Result;
use scfm_ablation::PUBLISHED_QUANTILE;
use scfm_core::{Column, Table};
use scfm_report::Effect;
use scfm_stats::{Estimate, Interval, Moments};

use super::stored::Run;

/// Lines of the figure of components.
pub(super) const SHOWN: usize = 12;

pub(super) fn pairs_table(runs: &[&Run]) -> Result<Table> {
    let numbers = |of: &dyn Fn(&Run) -> f64| Column::numbers(runs.iter().map(|run| of(run)));
    let ci = |run: &Run| run.residual.interval().ok();
    Ok(Table::new(runs.len())
        .with("pair", Column::text(runs.iter().map(|run| &run.name)))?
        .with("n_cells", Column::counts(runs.iter().map(|run| run.total.n)))?
        .with("total", numbers(&|run| run.total.mean))?
        .with("total_se", numbers(&|run| run.total.standard_error()))?
        .with("residual", numbers(&|run| run.residual.value))?
        .with("ci_low", numbers(&|run| ci(run).map_or(f64::NAN, |ci| ci.low)))?
        .with("ci_high", numbers(&|run| ci(run).map_or(f64::NAN, |ci| ci.high)))?
        .with("bound", numbers(&Run::bound))?)
}

pub(super) fn summary_table(granularities: &[(&str, Vec<&Run>)]) -> Result<Table> {
    struct Line<'a> {
        name: &'a str,
        runs: &'a [&'a Run],
        clear: Vec<&'a Run>,
    }
    let lines: Vec<Line<'_>> = granularities
        .iter()
        .map(|(name, runs)| Line {
            name,
            runs,
            clear: runs.iter().copied().filter(|run| run.is_defined()).collect(),
        })
        .collect();
    let numbers = |of: &dyn Fn(&Line<'_>) -> f64| Column::numbers(lines.iter().map(of));
    let counts = |of: &dyn Fn(&Line<'_>) -> usize| Column::counts(lines.iter().map(of));
    let published = |run: &&Run| run.published.lower_bound(PUBLISHED_QUANTILE);
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    Ok(Table::new(lines.len())
        .with("components", Column::text(lines.iter().map(|l| l.name)))?
        .with("n_runs", counts(&|l| l.runs.len()))?
        .with("n_with_effect", counts(&|l| l.clear.len()))?
        .with(
            "n_non_additive",
            counts(&|l| l.clear.iter().filter(|run| run.bound() > 0.0).count()),
        )?
        .with(
            "mean_residual",
            numbers(&|l| mean(l.clear.iter().map(|run| run.residual.value).collect())),
        )?
        .with(
            "median_bound",
            numbers(&|l| {
                let bounds: Vec<f64> = l.clear.iter().map(|run| run.bound()).collect();
                median(&bounds).unwrap_or(f64::NAN)
            }),
        )?
        .with(
            "n_non_additive_published",
            counts(&|l| l.runs.iter().filter(|run| published(run) > 0.0).count()),
        )?
        .with(
            "median_ratio_published",
            numbers(&|l| {
                let ratios: Vec<f64> = l
                    .runs
                    .iter()
                    .map(|run| published(run) / run.total.mean.abs())
                    .collect();
                median(&ratios).unwrap_or(f64::NAN)
            }),
        )?)
}

/// A component over runs: means with their t intervals.
struct OverRuns {
    name: String,
    alone: (f64, Option<Interval>),
    shapley: (f64, Option<Interval>),
}

/// Components by the size of their mean Shapley value.
fn over_runs(runs: &[&Run]) -> Vec<OverRuns> {
    let Some(first) = runs.first() else {
        return Vec::new();
    };
    let mut components: Vec<OverRuns> = (0..first.components.len())
        .map(|i| {
            let alone: Vec<f64> = runs.iter().map(|run| run.components[i].share.mean).collect();
            let shapley: Vec<f64> = runs.iter().map(|run| run.components[i].shapley).collect();
            OverRuns {
                name: first.components[i].name.clone(),
                alone: with_interval(&alone),
                shapley: with_interval(&shapley),
            }
        })
        .collect();
    components.sort_by(|a, b| b.shapley.0.abs().total_cmp(&a.shapley.0.abs()));
    components
}

fn with_interval(values: &[f64]) -> (f64, Option<Interval>) {
    let moments = Moments::of(values);
    let interval = Estimate::of_mean(moments, 0.0).and_then(|mean| mean.interval(0.95));
    (moments.mean, interval.ok())
}

pub(super) fn alone_and_shared(runs: &[&Run]) -> Vec<Effect> {
    over_runs(runs)
        .into_iter()
        .take(SHOWN)
        .flat_map(|component| {
            let effect = |what, (estimate, ci)| Effect {
                name: format!("{}: {what}", component.name),
                estimate,
                ci,
            };
            [
                effect("alone", component.alone),
                effect("Shapley", component.shapley),
            ]
        })
        .collect()
}

pub(super) fn ranking_table(granularities: &[(&str, &Vec<&Run>)]) -> Result<Table> {
    let rows: Vec<(&str, OverRuns)> = granularities
        .iter()
        .flat_map(|(name, runs)| {
            over_runs(runs)
                .into_iter()
                .map(move |component| (*name, component))
        })
        .collect();
    let numbers = |of: &dyn Fn(&OverRuns) -> f64| Column::numbers(rows.iter().map(|(_, row)| of(row)));
    let low = |ci: Option<Interval>| ci.map_or(f64::NAN, |ci| ci.low);
    let high = |ci: Option<Interval>| ci.map_or(f64::NAN, |ci| ci.high);
    Ok(Table::new(rows.len())
        .with("components", Column::text(rows.iter().map(|(name, _)| name)))?
        .with("component", Column::text(rows.iter().map(|(_, row)| &row.name)))?
        .with("alone", numbers(&|r| r.alone.0))?
        .with("alone_low", numbers(&|r| low(r.alone.1)))?
        .with("alone_high", numbers(&|r| high(r.alone.1)))?
        .with("shapley", numbers(&|r| r.shapley.0))?
        .with("shapley_low", numbers(&|r| low(r.shapley.1)))?
        .with("shapley_high", numbers(&|r| high(r.shapley.1)))?)
}

pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut values: Vec<f64> = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 0 => Some((values[middle - 1] + values[middle]) / 2.0),
        _ => Some(values[middle]),
    }
}
