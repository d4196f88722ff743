//! `incremental-value`: does an edge say anything about a response that the two genes' own properties do not?

use anyhow::Result;
use scfm_baselines::{Increment, IncrementalParams, Increments, incremental_value};
use scfm_core::{Column, Table};
use scfm_report::{Effect, forest};
use scfm_stats::{EffectKind, TestResult};

use super::{Desk, test_of};

pub const ID: &str = "incremental-value";

pub fn run(desk: &mut Desk<'_>) -> Result<()> {
    let candidates = match desk.candidates()? {
        Ok(candidates) => candidates,
        Err(reason) => return desk.undefined_all(ID, &reason),
    };
    let parameters = &desk.record.context.parameters;
    let params = IncrementalParams {
        n_folds: parameters.folds,
        equivalence_bound: parameters.equivalence,
        n_two_way: parameters.bootstrap,
        n_over_perturbations: parameters.bootstrap,
        ..IncrementalParams::default()
    };
    let tfs = desk.evidence.transcription_factors()?;
    let result = match incremental_value(&candidates, tfs.as_ref(), &params, desk.seeds()) {
        Err(scfm_baselines::Error::Stats(scfm_stats::Error::Undefined(reason))) => {
            return desk.undefined_all(ID, &reason.to_string());
        }
        other => other?,
    };

    let splines = &result.splines;
    desk.test(
        "incremental-value/delta-attention",
        &test_of(&splines.attention.difference),
        false,
    )?;
    desk.test(
        "incremental-value/delta-correlation",
        &test_of(&splines.correlation.difference),
        false,
    )?;
    let n = candidates.responses().perturbed().len();
    // The equivalence test knows of a standard error and its degrees of freedom; what they are of is known here.
    let equivalence = splines.attention.equivalence.clone().map(|test| TestResult {
        effect_kind: EffectKind::DeltaAuroc,
        n,
        n_unit: "rows",
        ..test
    });
    desk.test("incremental-value/equivalence-attention", &equivalence, false)?;
    let n = Some(n);
    let published = &result.as_published.attention;
    desk.figure(
        "incremental-value/delta-attention-published-form",
        Ok(published.pooled),
        None,
        n,
        false,
    )?;
    match splines.attention.power_at_bound {
        Some(power) => desk.figure("incremental-value/power", Ok(power), None, n, false)?,
        None => desk
            .registry
            .undefined("incremental-value/power", "no crossed standard error")?,
    }
    for (id, stratum) in [
        ("incremental-value/delta-attention-tf", &result.tf),
        ("incremental-value/delta-attention-non-tf", &result.non_tf),
    ] {
        match stratum {
            Some(increments) => desk.test(id, &test_of(&increments.attention.difference), false)?,
            None => desk.registry.not_run(
                id,
                "too few perturbations in the stratum, or no reference network",
            )?,
        }
    }

    desk.say(
        "Held-out predictions of which genes respond, from logistic regressions that never saw the perturbation they \
         are judged on. The gene-level model knows mean, variance and dropout rate of the perturbed gene and of the \
         target through natural splines; attention enters as its raw score, correlation as |ρ|. The variant of the \
         literature, linear in the target's features alone, is printed beside it: what it leaves unexplained is there \
         for any edge score to claim.",
    );
    let strata = [
        ("splines of both genes", Some(splines)),
        ("linear target features, as published", Some(&result.as_published)),
        ("perturbed TFs", result.tf.as_ref()),
        ("other perturbed genes", result.non_tf.as_ref()),
    ];
    let rows: Vec<(String, &Increment)> = strata
        .iter()
        .filter_map(|(name, increments)| Some((name, (*increments)?)))
        .flat_map(|(name, increments)| {
            [
                ("attention", &increments.attention),
                ("|ρ|", &increments.correlation),
            ]
            .map(|(edge, increment)| (format!("{edge}: {name}"), increment))
        })
        .collect();
    let effects: Vec<Effect> = rows
        .iter()
        .map(|(name, increment)| Effect {
            name: name.clone(),
            estimate: increment.delta,
            ci: increment
                .difference
                .as_ref()
                .ok()
                .and_then(|d| d.test.ci)
                .or(Some(increment.two_way)),
        })
        .collect();
    let figure = forest(
        &effects,
        "ΔAUROC (held out, within perturbation)",
        Some(parameters.equivalence),
    );
    desk.show_figure(
        "What edges add to gene-level features, with crossed 95 % intervals (two-way bootstrap where the crossed test is \
         not decidable); the band is the region in which a gain counts as none",
        figure,
    );
    desk.keep_table(
        "incremental_value",
        "Gains in mean within-perturbation AUROC",
        increments_table(&rows)?,
    )?;
    desk.keep_table(
        "incremental_models",
        "Held-out performance of the models",
        models_table(&result.splines)?,
    )
}

fn increments_table(rows: &[(String, &Increment)]) -> Result<Table> {
    let numbers =
        |of: &dyn Fn(&Increment) -> f64| Column::numbers(rows.iter().map(|(_, increment)| of(increment)));
    let crossed_ci = |i: &Increment| i.difference.as_ref().ok().and_then(|d| d.test.ci);
    Ok(Table::new(rows.len())
        .with("model", Column::text(rows.iter().map(|(name, _)| name)))?
        .with("delta_auroc", numbers(&|i| i.delta))?
        .with(
            "ci_low",
            numbers(&|i| crossed_ci(i).map_or(f64::NAN, |ci| ci.low)),
        )?
        .with(
            "ci_high",
            numbers(&|i| crossed_ci(i).map_or(f64::NAN, |ci| ci.high)),
        )?
        .with("two_way_low", numbers(&|i| i.two_way.low))?
        .with("two_way_high", numbers(&|i| i.two_way.high))?
        .with("naive_low", numbers(&|i| i.over_perturbations.low))?
        .with("naive_high", numbers(&|i| i.over_perturbations.high))?
        .with("pooled_delta", numbers(&|i| i.pooled))?
        .with("detectable", numbers(&|i| i.detectable.unwrap_or(f64::NAN)))?)
}

fn models_table(increments: &Increments) -> Result<Table> {
    let models = &increments.models;
    Ok(Table::new(models.len())
        .with("model", Column::text(models.iter().map(|m| m.model.as_str())))?
        .with("mean_auroc", Column::numbers(models.iter().map(|m| m.mean_auroc)))?
        .with(
            "pooled_auroc",
            Column::numbers(models.iter().map(|m| m.pooled_auroc)),
        )?
        .with(
            "pooled_auprc",
            Column::numbers(models.iter().map(|m| m.pooled_precision.value)),
        )?
        .with(
            "base_rate",
            Column::numbers(models.iter().map(|m| m.pooled_precision.base_rate)),
        )?)
}
