//! `mediation-bias`: do effects of single components add up, and does their ranking survive if they do not?

use anyhow::{Context as _, Result};
use scfm_ablation::{
    BiasModel, LAMBDAS, OverCells, PUBLISHED_QUANTILE, Residual, certified_share, fragility_test,
    is_top_certified, residual_test,
};
use scfm_core::{Column, Table};
use scfm_report::{Curve, Effect, curves, forest};
use scfm_stats::{Estimate, Interval, Moments, Undefined, defined, spearman};

use super::Desk;
use crate::evidence::{names, numbers, text};
use crate::stages::mediation::{AT_SOURCE, BLOCKS, PARTS};

pub const ID: &str = "mediation-bias";

/// Lines of the figure of components.
const SHOWN: usize = 12;

pub fn run(desk: &mut Desk<'_>) -> Result<()> {
    if desk.record.list.is_some() {
        return Ok(desk.registry.not_run_rest(ID, "needs the model")?);
    }
    let stored = Stored::read(desk)?;
    if let Some(reason) = &stored.reason {
        desk.say(format!("Nothing could be patched: {reason}."));
        return Ok(desk.registry.not_run_rest(ID, reason)?);
    }
    let of = |granularity: &str| -> Vec<&Run> {
        stored
            .runs
            .iter()
            .filter(|run| run.granularity == granularity)
            .collect()
    };
    let all = of(PARTS);
    if all.is_empty() {
        let parameters = &desk.record.context.parameters;
        let reason = format!(
            "no pair of the reference or the screen is expressed together in {} control cells",
            parameters.mediation_cells
        );
        return desk.undefined_all(ID, &reason);
    }
    let clear: Vec<&Run> = all.iter().copied().filter(|run| run.is_defined()).collect();
    let residuals: Vec<f64> = clear.iter().map(|run| run.residual.value).collect();
    desk.test(
        "mediation-bias/lower-bound",
        &of_library(residual_test(&residuals))?,
        true,
    )?;
    let certificates = Certificates::of(&clear)?;
    let fragility = match clear.is_empty() {
        true => Err(Undefined::TooFew {
            what: "runs with a total effect",
            n: 0,
            needed: 1,
        }),
        false => of_library(fragility_test(&certificates.by_run))?,
    };
    desk.test("mediation-bias/fragility", &fragility, true)?;
    let n = Some(clear.len());
    let none = || {
        Err(Undefined::TooFew {
            what: "runs with a total effect",
            n: 0,
            needed: 1,
        })
    };
    let bounds: Vec<f64> = clear.iter().map(|run| run.bound()).collect();
    let ratio = median(&bounds).map_or_else(none, Ok);
    desk.figure("mediation-bias/median-ratio", ratio, None, n, true)?;
    for (id, lambda) in [
        ("mediation-bias/certified-smallest-bias", LAMBDAS[0]),
        (
            "mediation-bias/certified-largest-bias",
            LAMBDAS[LAMBDAS.len() - 1],
        ),
    ] {
        let share = certificates.mean_at(lambda).map_or_else(none, Ok);
        desk.figure(id, share, None, n, true)?;
    }

    say_what_was_done(desk, &stored, &all, &clear);
    let granularities = [PARTS, BLOCKS, AT_SOURCE].map(|granularity| (granularity, of(granularity)));
    desk.keep_table(
        "mediation_bias",
        "What single components leave of total effects. Share: 1 − Σ m with shares weighted by squared effects, bounds by Student's \
         quantile. As published: TE − Σ m with TE in units of the read-out and m as shares formed in each cell, bound by \
         1.96, one cell counting as without error",
        summary_table(&granularities)?,
    )?;
    desk.show_table(
        "Pairs that were patched, by single heads and feed-forward steps: total effect in units of the read-out, what \
         components leave of it with its 95 % t interval over cells, and the lower bound of that",
        pairs_table(&clear)?,
    );
    let blocks: Vec<&Run> = of(BLOCKS).into_iter().filter(|run| run.is_defined()).collect();
    for (what, runs) in [
        ("attention and feed-forward steps of layers", &blocks),
        ("single heads and feed-forward steps", &clear),
    ] {
        let effects = alone_and_shared(runs);
        if !effects.is_empty() {
            desk.show_figure(
                &format!(
                    "{what}: share of the total effect that each restores alone and its Shapley value, means over runs with \
                     95 % t intervals; the {SHOWN} largest"
                ),
                forest(&effects, "share of the total effect", None),
            );
        }
    }
    desk.keep_table(
        "mediation_ranking",
        "Components by mean Shapley value: what each restores alone, and its part of what all restore together",
        ranking_table(&[(BLOCKS, &blocks), (PARTS, &clear)])?,
    )?;
    let table = certificates.table()?;
    let lines: Vec<Curve<'_>> = certificates
        .models
        .iter()
        .map(|(model, shares)| Curve {
            name: model.as_str(),
            points: certificates
                .lambdas
                .iter()
                .copied()
                .zip(shares.iter().copied())
                .collect(),
        })
        .collect();
    if !clear.is_empty() {
        desk.show_figure(
            "Share of pairs of components whose order by size is certain under a structural bias of λ times the run's lower \
             bound, by how an adversary spreads it; λ = 0 is sampling error alone",
            curves(&lines, "λ", "certified share"),
        );
    }
    desk.keep_table(
        "mediation_certificates",
        "Certified shares, means over runs",
        table,
    )
}

/// A run of the stored tables.
struct Run {
    name: String,
    granularity: String,
    total: OverCells,
    residual: Residual,
    published: Residual,
    components: Vec<Component>,
}

struct Component {
    name: String,
    /// Share of the total effect that it restores alone.
    share: OverCells,
    /// Shapley value as a share of the total effect.
    shapley: f64,
}

impl Run {
    /// Whether any cell has a total effect to speak of.
    fn is_defined(&self) -> bool {
        self.residual.value.is_finite()
    }

    /// Lower bound of non-additivity as a share of the total effect.
    fn bound(&self) -> f64 {
        self.residual.student_lower_bound().unwrap_or(f64::NAN)
    }

    fn shares(&self) -> Vec<OverCells> {
        self.components.iter().map(|c| c.share).collect()
    }
}

struct Stored {
    runs: Vec<Run>,
    /// Why there are none.
    reason: Option<String>,
    read_out: String,
    silenced: String,
}

impl Stored {
    fn read(desk: &Desk<'_>) -> Result<Self> {
        let (table, metadata) = scfm_io::read_table(&desk.run.file(names::MEDIATION_RUNS))?;
        let (components, _) = scfm_io::read_table(&desk.run.file(names::MEDIATION_COMPONENTS))?;
        let said = |key: &str| {
            metadata
                .iter()
                .find(|(k, _)| k == key)
                .map(|(_, value)| value.clone())
        };
        let column = |name| numbers(&table, name);
        let (sources, targets) = (text(&table, "source")?, text(&table, "target")?);
        let granularities = text(&table, "granularity")?;
        let (n_cells, totals, spreads) = (column("n_cells")?, column("total")?, column("total_sd")?);
        let (residuals, errors) = (column("residual")?, column("residual_se")?);
        let published = (column("published_residual")?, column("published_residual_se")?);

        // Components stand in the order of the runs.
        let keys: Vec<(&str, &str, &str)> = text(&components, "source")?
            .into_iter()
            .zip(text(&components, "target")?)
            .zip(text(&components, "granularity")?)
            .map(|((source, target), granularity)| (source, target, granularity))
            .collect();
        let of_component = |name| numbers(&components, name);
        let (shares, share_errors) = (of_component("share")?, of_component("share_se")?);
        let (shapley, component_names) = (of_component("shapley_share")?, text(&components, "component")?);
        let mut at = 0;
        let mut runs = Vec::with_capacity(sources.len());
        for row in 0..sources.len() {
            let key = (sources[row], targets[row], granularities[row]);
            let n = n_cells[row] as usize;
            let start = at;
            while keys.get(at) == Some(&key) {
                at += 1;
            }
            let of_run = (start..at).map(|i| Component {
                name: component_names[i].to_owned(),
                share: OverCells {
                    mean: shares[i],
                    std: share_errors[i] * (n as f64).sqrt(),
                    n,
                },
                shapley: shapley[i],
            });
            let residual = |value, standard_error| Residual {
                value,
                standard_error,
                n_cells: n,
            };
            runs.push(Run {
                name: format!("{} → {}", sources[row], targets[row]),
                granularity: granularities[row].to_owned(),
                total: OverCells {
                    mean: totals[row],
                    std: spreads[row],
                    n,
                },
                residual: residual(residuals[row], errors[row]),
                published: residual(published.0[row], published.1[row]),
                components: of_run.collect(),
            });
        }
        Ok(Self {
            runs,
            reason: said("scfm.reason"),
            read_out: said("scfm.read_out").unwrap_or_default(),
            silenced: said("scfm.silenced").unwrap_or_default(),
        })
    }
}

/// Certified shares over λ.
struct Certificates {
    /// 0, then those of the literature.
    lambdas: Vec<f64>,
    /// By run, shares under a uniform bias.
    by_run: Vec<Vec<f64>>,
    /// By model of the bias, means over runs.
    models: Vec<(BiasModel, Vec<f64>)>,
    /// Share of runs whose largest component is certified, under a uniform bias.
    top: Vec<f64>,
}

impl Certificates {
    fn of(runs: &[&Run]) -> Result<Self> {
        let lambdas: Vec<f64> = std::iter::once(0.0).chain(LAMBDAS).collect();
        let budget = |run: &Run, lambda: f64| lambda * run.bound();
        let shares = |model| -> Result<Vec<Vec<f64>>, Undefined> {
            let of_run = |run: &&Run| {
                let components = run.shares();
                let share = |&lambda: &f64| certified_share(&components, budget(run, lambda), model);
                lambdas.iter().map(share).collect()
            };
            runs.iter().map(of_run).collect()
        };
        let mean = |by_run: &[Vec<f64>]| -> Vec<f64> {
            let mean_at = |i: usize| by_run.iter().map(|shares| shares[i]).sum::<f64>() / by_run.len() as f64;
            (0..lambdas.len()).map(mean_at).collect()
        };
        let mut models = Vec::new();
        for model in [
            BiasModel::Uniform,
            BiasModel::Proportional,
            BiasModel::Concentrated,
        ] {
            models.push((model, mean(&shares(model)?)));
        }
        let mut top = Vec::new();
        for &lambda in &lambdas {
            let mut certified = 0;
            for run in runs {
                certified += usize::from(is_top_certified(
                    &run.shares(),
                    budget(run, lambda),
                    BiasModel::Uniform,
                )?);
            }
            top.push(certified as f64 / runs.len() as f64);
        }
        Ok(Self {
            by_run: shares(BiasModel::Uniform)?,
            lambdas,
            models,
            top,
        })
    }

    /// Mean share under a uniform bias, where there are runs.
    fn mean_at(&self, lambda: f64) -> Option<f64> {
        let at = self.lambdas.iter().position(|l| *l == lambda)?;
        Some(self.models[0].1[at]).filter(|share| share.is_finite())
    }

    fn table(&self) -> Result<Table> {
        let mut table =
            Table::new(self.lambdas.len()).with("lambda", Column::numbers(self.lambdas.iter().copied()))?;
        for (model, shares) in &self.models {
            table.push(model.as_str(), Column::numbers(shares.iter().copied()))?;
        }
        Ok(table.with("largest_certified", Column::numbers(self.top.iter().copied()))?)
    }
}

fn say_what_was_done(desk: &mut Desk<'_>, stored: &Stored, all: &[&Run], defined: &[&Run]) {
    let parameters = &desk.record.context.parameters;
    let with_bound = defined.iter().filter(|run| run.bound() > 0.0).count();
    let agreement = |runs: &[&Run]| {
        let rhos: Vec<f64> = runs.iter().filter_map(|run| ranking_agreement(run)).collect();
        match rhos.is_empty() {
            true => "undefined".to_owned(),
            false => format!("{:.2}", rhos.iter().sum::<f64>() / rhos.len() as f64),
        }
    };
    let words = format!(
        "{} pairs of a source and a target are patched, no gene in two of them, each in {} control cells that express both. The \
         read-out is the {} with the target hidden; the source is silenced ({}), which gives the total effect TE. A component is \
         patched from the run with the source into the run without it, at all places: a head by what it gathers before the output \
         projection, a feed-forward step by what it adds. Heads and feed-forward steps together are all that reaches the \
         hidden target, so that all of them restore TE exactly and what they leave of it one by one, 1 − Σ m, is interaction. \
         This does not hold for the published runs, which patched a quarter of the columns behind the output projection, at \
         the source's place alone: there a residual is left without any interaction. \"{AT_SOURCE}\" patches real heads and all \
         feed-forward steps, but at the source's place alone, to show what that leaves.",
        all.len(),
        parameters.mediation_cells,
        stored.read_out,
        stored.silenced,
    );
    desk.say(words);
    let unclear: Vec<&Run> = all.iter().copied().filter(|run| !run.total.is_clear()).collect();
    if !unclear.is_empty() {
        let errors = unclear
            .iter()
            .map(|run| run.total.standard_error() / run.total.mean.abs());
        desk.say(format!(
            "Warning: in {} of {} pairs the mean total effect may be 0 (its 95 % t interval over cells holds it; its error is up to \
             {:.0} times the effect). Ratios to such a mean can be anything, as the ratios of 207 and 331 in the archive of the \
             published runs. Shares are therefore weighted by the squared effect of each cell, Σ m TE / Σ TE², which needs \
             effects in cells, not one direction for all; read the columns in published form of these pairs with that in mind.",
            unclear.len(),
            all.len(),
            errors.fold(0.0, f64::max),
        ));
    }
    desk.say(format!(
        "In {} pairs the model's prediction changes at all; of these {with_bound} are non-additive beyond the error over cells. The \
         test is of the residual, which is negative where components stand in for each other and positive where they need each \
         other. Over the components of a pair, sizes of single effects and of Shapley values correlate by ρ = {} on the average. \
         Shapley values are exact where {} sets of components suffice, else from random orders and their reverses; their \
         intervals hold the error of both cells and orders.",
        defined.len(),
        agreement(defined),
        parameters.mediation_sets,
    ));
}

/// Spearman's correlation of |single effect| with |Shapley value| over components.
fn ranking_agreement(run: &Run) -> Option<f64> {
    let single: Vec<f64> = run.components.iter().map(|c| c.share.mean.abs()).collect();
    let shapley: Vec<f64> = run.components.iter().map(|c| c.shapley.abs()).collect();
    spearman(&single, &shapley).ok().map(|test| test.effect)
}

fn pairs_table(runs: &[&Run]) -> Result<Table> {
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

fn summary_table(granularities: &[(&str, Vec<&Run>)]) -> Result<Table> {
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

fn alone_and_shared(runs: &[&Run]) -> Vec<Effect> {
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

fn ranking_table(granularities: &[(&str, &Vec<&Run>)]) -> Result<Table> {
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

fn median(values: &[f64]) -> Option<f64> {
    let mut values: Vec<f64> = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 0 => Some((values[middle - 1] + values[middle]) / 2.0),
        _ => Some(values[middle]),
    }
}

/// Splits a result without a value from an error, whichever crate it came through.
pub(super) fn of_library<T>(result: Result<T, scfm_ablation::Error>) -> Result<Result<T, Undefined>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(scfm_ablation::Error::Stats(error)) => Ok(defined(Err(error))?),
        Err(error) => Err(error).context("ablation"),
    }
}
