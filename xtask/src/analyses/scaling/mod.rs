//! `scaling`: does recovery of a reference grow with the number of cells, and is it their number or their states?

mod models;
mod samples;

use anyhow::Result;
use scfm_core::{Column, Table};
use scfm_grn::{Metric, trend};
use scfm_report::{Curve, curves};
use scfm_stats::{CurveFit, GrowthCurve, Undefined, defined};

use self::models::over_models;
use self::samples::{Followed, Samples};
use super::Desk;
use crate::evidence::names;
use crate::stages::scaling::Design;

pub const ID: &str = "scaling";

/// Models that a statement over models needs, which are its units.
const TIERS: usize = 6;
/// Numbers of highest pairs beside the number of positives, as published.
const KS: [usize; 5] = [20, 50, 100, 200, 500];

pub fn run(desk: &mut Desk<'_>) -> Result<()> {
    let evidence = desk.evidence;
    let Some(trrust) = &evidence.reference else {
        return Ok(desk.registry.not_run_rest(ID, "no reference network")?);
    };
    if !desk.run.file(names::SAMPLES).exists() {
        return Ok(desk.registry.not_run_rest(ID, "needs the model")?);
    }
    let samples = Samples::read(desk.run)?;
    let references = [
        ("TRRUST", Some(trrust)),
        ("DoRothEA", evidence.relations.dorothea.as_ref()),
    ];
    let mut followed = Vec::new();
    for (name, reference) in references {
        let Some(reference) = reference else { continue };
        match samples.follow(name, reference, &evidence.panel)? {
            Ok(found) => followed.push(found),
            Err(reason) => desk.say(format!("{name}: {reason}.")),
        }
    }
    let Some(first) = followed.first().filter(|it| it.name == "TRRUST") else {
        return desk.undefined_all(ID, "TRRUST has no pair in the panel");
    };

    for (id, design, metric) in [
        ("auroc-fixed-composition", Design::FixedComposition, Metric::Auroc),
        ("auroc-heterogeneity", Design::States, Metric::Auroc),
        ("f1-observed-types", Design::Nested, Metric::F1),
    ] {
        let x: Vec<f64> = match design {
            Design::Nested => samples.n_states.iter().map(|&n| n as f64).collect(),
            _ => samples.level.iter().map(|&level| level as f64).collect(),
        };
        let seeds = desk.seeds();
        let stream = |i| seeds.stream(ID, id, i);
        let levels = samples.levels(design);
        let n = desk.record.context.parameters.permutations;
        let found = trend(&first.recoveries, &x, &levels, metric, n, stream)?;
        desk.test(&format!("{ID}/{id}"), &found, true)?;
    }

    let levels = samples.levels(Design::Nested);
    for (id, level) in [("f1-smallest", levels.first()), ("f1-largest", levels.last())] {
        let Some(&at) = level.and_then(|level| level.first()) else {
            continue;
        };
        let (sample, seeds) = (&first.recoveries[at], desk.seeds());
        let n = desk.record.context.parameters.bootstrap;
        let ci = sample.interval(Metric::F1, n, |i| seeds.stream(ID, id, i))?.ok();
        desk.figure(
            &format!("{ID}/{id}"),
            Ok(sample.value(Metric::F1)),
            ci,
            Some(samples.n_cells[at]),
            true,
        )?;
    }
    let (cells, means) = first.mean_by_level(Design::Nested, Metric::Auroc);
    let fits: Vec<(GrowthCurve, Result<CurveFit, Undefined>)> = GrowthCurve::ALL
        .into_iter()
        .map(|curve| Ok((curve, defined(curve.fit(&cells, &means))?)))
        .collect::<Result<_>>()?;
    for (curve, fit) in &fits {
        let r_squared = fit.as_ref().map(|fit| fit.r_squared).map_err(Clone::clone);
        desk.figure(
            &format!("{ID}/fit-{}", curve.name()),
            r_squared,
            None,
            Some(cells.len()),
            false,
        )?;
    }

    say(desk, &samples, first);
    over_models(desk, &followed, &references)?;
    desk.keep_table(
        "scaling",
        "Recovery in every sample of control cells",
        recovery_table(&followed)?,
    )?;
    desk.keep_table(
        "scaling_stability",
        "Overlap of the first K pairs (K = positives) of samples of one size, mean over pairs of samples",
        stability(first)?,
    )?;
    desk.keep_table(
        "scaling_fits",
        "Curves of mean AUROC over the number of cells",
        fit_table(&fits)?,
    )?;
    for design in Design::ALL {
        show(desk, &followed, design);
    }
    desk.blocks
        .push(scfm_report::Block::Ledger(first.universe.ledger().clone()));
    Ok(())
}

fn say(desk: &mut Desk<'_>, samples: &Samples, first: &Followed<'_>) {
    let draws = samples.draw.iter().max().map_or(0, |last| last + 1);
    let sizes = |design| {
        let levels = samples.levels(design);
        let words: Vec<String> = levels.iter().map(|of| samples.level[of[0]].to_string()).collect();
        words.join(", ")
    };
    desk.say(format!(
        "Attention of the scored layer in {draws} samples of each size: {} cells drawn at random; as many with the same shares of cell states; \
         and samples of one size from {} states. Pairs are ranked where every sample has them: {} pairs, {} of the reference.",
        sizes(Design::Nested),
        sizes(Design::States),
        first.recoveries.first().map_or(0, |sample| sample.n_pairs),
        first.recoveries.first().map_or(0, |sample| sample.n_pos),
    ));
    desk.say(
        "F1 and AUROC can move in opposite directions, since F1 looks at a few pairs at the top; both are shown.",
    );
}

fn recovery_table(followed: &[Followed<'_>]) -> Result<Table> {
    let rows: Vec<(&Followed<'_>, usize)> = followed
        .iter()
        .flat_map(|it| (0..it.recoveries.len()).map(move |at| (it, at)))
        .collect();
    let count = |of: &dyn Fn(&Samples, usize) -> usize| {
        Column::counts(
            rows.iter()
                .map(|(it, at)| of(it.samples, *at))
                .collect::<Vec<_>>(),
        )
    };
    let mut table = Table::new(rows.len())
        .with("reference", Column::text(rows.iter().map(|(it, _)| it.name)))?
        .with(
            "design",
            Column::text(
                rows.iter()
                    .map(|(it, at)| it.samples.design[*at].map_or("", Design::name)),
            ),
        )?
        .with("level", count(&|samples, at| samples.level[at]))?
        .with("draw", count(&|samples, at| samples.draw[at]))?
        .with("n_cells", count(&|samples, at| samples.n_cells[at]))?
        .with("n_states", count(&|samples, at| samples.n_states[at]))?
        .with(
            "auroc",
            Column::numbers(
                rows.iter()
                    .map(|(it, at)| it.recoveries[*at].value(Metric::Auroc)),
            ),
        )?;
    let names = std::iter::once("f1".to_owned()).chain(KS.iter().map(|k| format!("f1_{k}")));
    for (k, name) in names.enumerate() {
        let f1 = |(it, at): &(&Followed<'_>, usize)| {
            it.recoveries[*at].top_k[k]
                .as_ref()
                .map_or(f64::NAN, |top| top.f1)
        };
        table.push(name, Column::numbers(rows.iter().map(f1)))?;
    }
    Ok(table)
}

fn stability(followed: &Followed<'_>) -> Result<Table> {
    let (cells, overlaps) = followed.overlap_by_cells();
    Ok(Table::new(cells.len())
        .with("cells", Column::counts(cells))?
        .with("jaccard", Column::numbers(overlaps))?)
}

fn fit_table(fits: &[(GrowthCurve, Result<CurveFit, Undefined>)]) -> Result<Table> {
    let number = |of: fn(&CurveFit) -> f64| {
        Column::numbers(fits.iter().map(|(_, fit)| fit.as_ref().map_or(f64::NAN, of)))
    };
    Ok(Table::new(fits.len())
        .with("curve", Column::text(fits.iter().map(|(curve, _)| curve.name())))?
        .with("amplitude", number(|fit| fit.a))?
        .with("rate", number(|fit| fit.b))?
        .with("baseline", number(|fit| fit.c))?
        .with("r_squared", number(|fit| fit.r_squared))?
        .with("aicc", number(|fit| fit.aicc.unwrap_or(f64::NAN)))?)
}

fn show(desk: &mut Desk<'_>, followed: &[Followed<'_>], design: Design) {
    let (what, x_name) = match design {
        Design::Nested => ("number of cells", "cells"),
        Design::FixedComposition => ("number of cells at fixed shares of cell states", "cells"),
        Design::States => ("number of cell states at a fixed number of cells", "states"),
    };
    for (metric, name) in [(Metric::Auroc, "AUROC"), (Metric::F1, "F1")] {
        let lines: Vec<Curve<'_>> = followed
            .iter()
            .map(|it| {
                let (x, y) = it.mean_by_level(design, metric);
                Curve {
                    name: it.name,
                    points: x.into_iter().zip(y).collect(),
                }
            })
            .filter(|line| !line.points.is_empty())
            .collect();
        if !lines.is_empty() {
            desk.show_figure(
                &format!("{name} by {what}, mean over samples"),
                curves(&lines, x_name, name),
            );
        }
    }
}
