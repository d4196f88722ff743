//! `orthogonal-interventions`: do other ways of disabling the same parts agree?

use anyhow::Result;
use scfm_report::{Effect, forest};

use super::silenced::{Bench, NO_MODEL, ORTHOGONAL, edge_table, harm_test, loss_unit};
use super::{Desk, test_of};

pub const ID: &str = "orthogonal-interventions";

pub fn run(desk: &mut Desk<'_>) -> Result<()> {
    if desk.record.list.is_some() {
        return Ok(desk.registry.not_run_rest(ID, NO_MODEL)?);
    }
    let bench = Bench::open(desk)?;
    let mut rows = Vec::new();
    for series in ORTHOGONAL {
        let row = bench.test_edges(desk, &format!("{ID}/{series}"), series, 0)?;
        let id = format!("{ID}/equivalence-{series}");
        match &row.effect {
            Some(effect) => desk.test(&id, &effect.equivalence, false)?,
            None => desk.registry.not_run(&id, &row.reason)?,
        }
        rows.push(row);
    }
    let design = bench.design(desk);
    let mut harms = Vec::new();
    for series in ORTHOGONAL {
        let id = format!("{ID}/masked-{series}");
        let is_test = ["uniform-top-5", "uniform-top-10"].contains(&series);
        match bench.changes(series, 0) {
            Ok(changes) => {
                // Heads that were ranked are judged where they were not; the others know of no ranking.
                let harm = harm_test(&design.harm(&changes, is_test)?);
                if is_test {
                    desk.test(&id, &harm, false)?;
                }
                harms.extend(harm.ok().map(|test| Effect {
                    name: series.to_owned(),
                    estimate: test.effect,
                    ci: test.ci,
                }));
            }
            Err(reason) if is_test => desk.registry.not_run(&id, reason)?,
            Err(_) => {}
        }
    }

    let layer = desk.record.layer;
    desk.say(format!(
        "Uniform attention gives all tokens of a cell the same weight and keeps the values; the ranking is that by the \
         reference, as in the dose response. The feed-forward step of layer {layer} itself acts above its attention and can \
         be judged by hidden genes only; the band are the layers up to it. A difference within ± {} AUROC counts as none \
         where its 90 % interval lies inside. What a feed-forward step does says nothing about attention.",
        desk.record.context.parameters.equivalence
    ));
    let effects: Vec<Effect> = rows
        .iter()
        .filter_map(|row| {
            let test = test_of(&row.effect.as_ref()?.difference).ok()?;
            Some(Effect {
                name: row.series.clone(),
                estimate: test.effect,
                ci: test.ci,
            })
        })
        .collect();
    desk.show_figure(
        "Change of the mean AUROC of the scored layer's edges with crossed 95 % intervals; the band counts as none",
        forest(
            &effects,
            "ΔAUROC, altered − intact",
            Some(desk.record.context.parameters.equivalence),
        ),
    );
    let unit = loss_unit(desk);
    desk.show_figure(
        &format!("Change of the loss at hidden genes that a perturbation moves, in {unit}, with crossed 95 % intervals"),
        forest(&harms, &format!("change of the loss ({unit})"), None),
    );
    desk.keep_table(
        "orthogonal_interventions",
        "Mean within-perturbation AUROC of the altered model, minus intact",
        edge_table(&rows)?,
    )
}
