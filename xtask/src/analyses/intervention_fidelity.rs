//! `intervention-fidelity`: did each intervention change the model at all, and can it reach the layer that is scored?

use anyhow::Result;
use scfm_core::{Column, Table};
use scfm_report::{NamedPoint, Thresholds, named_points};

use super::Desk;
use super::silenced::{Bench, NO_MODEL, ORTHOGONAL, harm_test, loss_unit};
use crate::ablation::Seen;

pub const ID: &str = "intervention-fidelity";

pub fn run(desk: &mut Desk<'_>) -> Result<()> {
    if desk.record.list.is_some() {
        return Ok(desk.registry.not_run_rest(ID, NO_MODEL)?);
    }
    let bench = Bench::open(desk)?;
    let n_cells = desk
        .record
        .context
        .parameters
        .ablation_cells
        .min(desk.record.n_edge_cells);
    for series in ORTHOGONAL {
        let id = format!("{ID}/{series}");
        // Of two halves the one that moves the model less.
        let seen = bench.ablation.of_series(series);
        let distances = seen.iter().map(|seen| seen.largest);
        match distances.min_by(f64::total_cmp) {
            Some(distance) => desk.figure(&id, Ok(distance), None, Some(n_cells), true)?,
            None => desk.registry.not_run(&id, bench.ablation.reason(series))?,
        }
    }
    let min_fidelity = Thresholds::default().min_fidelity;
    let unit = loss_unit(desk);
    desk.say(format!(
        "The same cells with the same hidden genes go through the intact and the altered model. Hidden states are compared \
         after each layer, token by token, and the largest distance over the layers counts; below {min_fidelity} an \
         intervention is too small for its null to mean anything, and it is not tested. Where heads are ranked, each half has \
         its own, and the smaller distance counts."
    ));
    let design = bench.design(desk);
    let mut points = Vec::new();
    for seen in first_draws(&bench) {
        let changes = scfm_ablation::TargetChanges::whole(seen.changes.clone());
        if let Ok(test) = harm_test(&design.harm(&changes, false)?) {
            points.push(NamedPoint {
                name: seen.condition.name(),
                x: seen.largest,
                y: test.effect,
                ci: test.ci,
            });
        }
    }
    desk.show_figure(
        &format!("How far each intervention moves hidden states, and what it does to the loss at hidden genes that a perturbation moves ({unit}); left of the line too small to judge"),
        named_points(
            &points,
            "largest cosine distance of hidden states",
            &format!("change of the loss ({unit})"),
            Some(min_fidelity),
        ),
    );
    let table = table(&first_draws(&bench))?;
    desk.keep_table(
        "intervention_fidelity",
        "How far each intervention moves the model, and how many of its parts the scored layer can feel",
        table,
    )
}

/// Every condition, of random sets the first draws: those whose edges are read.
fn first_draws(bench: &Bench) -> Vec<&Seen> {
    bench
        .ablation
        .conditions
        .iter()
        .filter(|seen| seen.condition.edges)
        .collect()
}

fn table(seen: &[&Seen]) -> Result<Table> {
    Ok(Table::new(seen.len())
        .with(
            "condition",
            Column::text(seen.iter().map(|seen| seen.condition.name())),
        )?
        .with("n_parts", Column::counts(seen.iter().map(|seen| seen.reach.1)))?
        .with("n_reaching", Column::counts(seen.iter().map(|seen| seen.reach.0)))?
        .with(
            "hidden_distance",
            Column::numbers(seen.iter().map(|seen| seen.largest)),
        )?
        .with(
            "layer",
            Column::counts(seen.iter().map(|seen| seen.largest_layer)),
        )?
        .with(
            "logit_distance",
            Column::numbers(seen.iter().map(|seen| seen.logits)),
        )?
        .with(
            "divergence",
            Column::numbers(seen.iter().map(|seen| seen.divergence)),
        )?)
}
