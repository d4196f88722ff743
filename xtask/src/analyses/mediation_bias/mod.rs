//! `mediation-bias`: do effects of single components add up, and does their ranking survive if they do not?

mod certificates;
mod stored;
mod tables;

use anyhow::{Context as _, Result};
use certificates::Certificates;
use scfm_ablation::{LAMBDAS, fragility_test, residual_test};
use scfm_report::{Curve, curves, forest};
use scfm_stats::{Undefined, defined, spearman};
use stored::{Run, Stored};
use tables::{SHOWN, alone_and_shared, median, pairs_table, ranking_table, summary_table};

use super::Desk;
use crate::stages::mediation::{AT_SOURCE, BLOCKS, PARTS};

pub const ID: &str = "mediation-bias";

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

/// Splits a result without a value from an error, whichever crate it came through.
pub(super) fn of_library<T>(result: Result<T, scfm_ablation::Error>) -> Result<Result<T, Undefined>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(scfm_ablation::Error::Stats(error)) => Ok(defined(Err(error))?),
        Err(error) => Err(error).context("ablation"),
    }
}
