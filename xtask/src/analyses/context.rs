//! `context-…`: does the picture hold in another cell type or modality? What those contexts' own runs registered, read
//! from their registries, so that no number is computed twice.

use anyhow::{Context as _, Result};
use scfm_core::{Column, EdgeMatrix, Table};
use scfm_perturb::Evaluable;
use scfm_report::{Effect, Plan, forest};
use scfm_stats::{CrossedAuroc, Estimate, Interval, Undefined};

use super::Desk;
use crate::context::Parameters;
use crate::evidence::{Evidence, table};
use crate::others::OtherRun;

pub const CRISPRA: &str = "context-crispra";
pub const T_CELL: &str = "context-tcell";
pub const RPE1: &str = "context-rpe1";
pub const NEURON: &str = "context-neuron";

/// The difference of mean AUROC that a context should be able to see.
const DETECTABLE: f64 = 0.05;

pub fn t_cell(desk: &mut Desk<'_>) -> Result<()> {
    with_other(desk, T_CELL, "t-cell", |desk, other| {
        show(desk, T_CELL, other, &[])?;
        power(desk, T_CELL, other)
    })
}

pub fn neuron(desk: &mut Desk<'_>) -> Result<()> {
    with_other(desk, NEURON, "ipsc-neuron", |desk, other| {
        show(desk, NEURON, other, &[])?;
        power(desk, NEURON, other)
    })
}

pub fn rpe1(desk: &mut Desk<'_>) -> Result<()> {
    with_other(desk, RPE1, "rpe1", |desk, other| {
        show(desk, RPE1, other, &[])?;
        gene_only(desk, other)?;
        power(desk, RPE1, other)
    })
}

pub fn crispra(desk: &mut Desk<'_>) -> Result<()> {
    with_other(desk, CRISPRA, "k562-crispra", |desk, other| {
        // The other run scored one layer.
        let layers = ["middle-layer", "last-layer"];
        show(desk, CRISPRA, other, &layers)?;
        let evidence = other.evidence()?;
        let last = evidence.attention.len() - 1;
        // Layer 6 of 18 in the literature.
        let middle = evidence.attention.len() / 3;
        for (name, layer) in layers.into_iter().zip([middle, last]) {
            let id = format!("{CRISPRA}/{name}");
            if layer == evidence.layer || (name == "middle-layer" && layer == last) {
                let reason = format!("layer {layer} of {} is tested in another row", last + 1);
                desk.registry.not_run(&id, reason)?;
                continue;
            }
            let difference = difference(&evidence, &other.record.context.parameters, layer)?;
            desk.test(&id, &difference.map(|crossed| crossed.test), false)?;
        }
        power(desk, CRISPRA, other)
    })
}

/// Runs `analysis` on the run of another context, or says why there is none.
fn with_other(
    desk: &mut Desk<'_>,
    analysis: &str,
    context: &str,
    run: impl FnOnce(&mut Desk<'_>, &OtherRun) -> Result<()>,
) -> Result<()> {
    if desk.record.context.name == context {
        let reason = "this run is of that context, whose tests its other analyses register";
        return Ok(desk.registry.not_run_rest(analysis, reason)?);
    }
    match desk.other(context)? {
        Some(other) => run(desk, &other),
        None => {
            let reason = format!("needs a run of {context}, which evaluate --all brings");
            Ok(desk.registry.not_run_rest(analysis, reason)?)
        }
    }
}

/// Registers the rows of this analysis that are rows of the other run, all but some of those, and shows them.
fn show(desk: &mut Desk<'_>, analysis: &str, other: &OtherRun, but: &[&str]) -> Result<()> {
    let context = &other.record.context.name;
    let planned = Plan::embedded()
        .analysis(analysis)
        .context("a planned analysis")?;
    let mut effects = Vec::new();
    for test in &planned.tests {
        let id = &test.id;
        let name = id.rsplit('/').next().unwrap_or(id);
        let Some(source) = test.same_as.as_deref().filter(|_| !but.contains(&name)) else {
            continue;
        };
        let row = other.registry.row(source);
        let Some(measured) = row.and_then(scfm_report::Row::measured) else {
            let reason = row
                .and_then(scfm_report::Row::reason)
                .unwrap_or("not in the plan");
            desk.registry
                .not_run(id, format!("{source} in {context}: {reason}"))?;
            continue;
        };
        desk.registry.adopt(id, measured)?;
        if measured.effect_kind == "delta_auroc" {
            let level = 0.95;
            effects.push(Effect {
                name: name.replace('-', " "),
                estimate: measured.effect,
                ci: measured.ci.map(|(low, high)| Interval { low, high, level }),
            });
        }
    }
    let simulated = if other.record.simulated { ", simulated" } else { "" };
    desk.say(format!(
        "{}, {}{simulated}: what the run of that context registered, with its own inputs; its report shows it in full.",
        other.record.context.cell_type, other.record.context.modality
    ));
    if !effects.is_empty() {
        desk.show_figure(
            &format!("Differences of mean AUROC in {context}, with crossed 95 % intervals"),
            forest(&effects, "difference of mean AUROC", None),
        );
    }
    Ok(())
}

/// What a difference of attention and correlation the context could have seen.
fn power(desk: &mut Desk<'_>, analysis: &str, other: &OtherRun) -> Result<()> {
    let id = format!("{analysis}/power");
    let evidence = other.evidence()?;
    let parameters = &other.record.context.parameters;
    match difference(&evidence, parameters, evidence.layer)? {
        Ok(crossed) => {
            let estimate = Estimate::new(crossed.mean, crossed.standard_error, crossed.df)?;
            let power = scfm_stats::defined(estimate.power(DETECTABLE, parameters.alpha))?;
            desk.figure(&id, power, None, Some(crossed.per_row.len()), false)
        }
        Err(reason) => Ok(desk.registry.undefined(&id, reason.to_string())?),
    }
}

/// Attention at a layer against correlation.
fn difference(
    evidence: &Evidence,
    parameters: &Parameters,
    layer: usize,
) -> Result<Result<CrossedAuroc, Undefined>> {
    let responses = &evidence.responses;
    let align = |edges: &EdgeMatrix| edges.align(responses.perturbed(), responses.targets());
    let attention = align(&evidence.attention[layer]);
    let correlation = align(&evidence.correlation).mapv_into(f64::abs);
    let params = super::evaluation_params(parameters);
    let evaluable = Evaluable::new(responses, &[attention.view(), correlation.view()], params);
    Ok(evaluable.crossed_difference(attention.view(), correlation.view())?)
}

/// How well gene-level features alone predict responses, from the table of models of the other run.
fn gene_only(desk: &mut Desk<'_>, other: &OtherRun) -> Result<()> {
    let id = format!("{RPE1}/gene-only");
    const FILE: &str = "tables/incremental_models.parquet";
    if !other.run.file(FILE).exists() {
        return Ok(desk
            .registry
            .not_run(&id, "incremental-value did not run in that context")?);
    }
    let models = table(&other.run, FILE)?;
    match gene_level_auroc(&models) {
        Some(auroc) => desk.figure(&id, Ok(auroc), None, None, false),
        None => Ok(desk
            .registry
            .undefined(&id, "no model of gene-level features alone")?),
    }
}

fn gene_level_auroc(models: &Table) -> Option<f64> {
    let (Column::Text(names), Column::F64(aurocs)) = (models.column("model")?, models.column("mean_auroc")?)
    else {
        return None;
    };
    let row = names
        .iter()
        .position(|name| name.as_deref() == Some(scfm_baselines::Model::Gene.as_str()))?;
    aurocs[row]
}
