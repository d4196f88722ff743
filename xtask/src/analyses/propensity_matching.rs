//! `propensity-matching`: do edges tell responding genes from genes that were as likely to respond to anything?

use anyhow::Result;
use scfm_baselines::{Gain, GainParams, MatchingParams, PropensityMatching, propensity_matching};
use scfm_core::{Column, Table};
use scfm_report::{Block, CovariateBalance, balance_plot};
use scfm_stats::{CrossedAuroc, TestResult, Undefined};

use super::{Desk, test_of};

pub const ID: &str = "propensity-matching";

/// Replicates of intervals that have no closed form; those of AUROC have one.
const MOST_REPLICATES: usize = 1000;

pub fn run(desk: &mut Desk<'_>) -> Result<()> {
    let candidates = match desk.candidates()? {
        Ok(candidates) => candidates,
        Err(reason) => return desk.undefined_all(ID, &reason),
    };
    let parameters = &desk.record.context.parameters;
    let params = MatchingParams {
        n_folds: parameters.folds,
        min_positives: parameters.min_positives,
        min_negatives: parameters.min_negatives,
        gain: GainParams {
            n_two_way: parameters.bootstrap.min(MOST_REPLICATES),
            ..GainParams::default()
        },
        ..MatchingParams::default()
    };
    let result = match propensity_matching(&candidates, &params, desk.seeds()) {
        Err(scfm_baselines::Error::Stats(scfm_stats::Error::Undefined(reason))) => {
            return desk.undefined_all(ID, &reason.to_string());
        }
        other => other?,
    };
    register(desk, &result, candidates.responses().n_candidates())?;

    let matched = &result.matched;
    let responses = matched.candidates.responses();
    desk.say(format!(
        "Each responding candidate was matched with {} others of its perturbation that were as likely to respond, by a \
         propensity of the target's mean, variance, dropout rate and responses to perturbations of other folds. No label \
         predicts itself, and no negative serves twice within a perturbation; the nearest within {} standard deviations \
         of the logit are taken, positives of high propensity first. {} of {} positives found no such match and were left \
         out; {} pairs of {} perturbations remain.",
        params.n_negatives,
        matched.caliper,
        matched.n_unmatched,
        matched.n_positives,
        responses.n_candidates(),
        responses.perturbed().len(),
    ));
    let worst = matched.worst();
    desk.say(if worst.after.abs() <= params.max_difference {
        format!(
            "Matched classes differ by no more than {:.3} standard deviations in any covariate.",
            worst.after.abs()
        )
    } else {
        format!(
            "No caliper balances the classes: they differ by {:.3} standard deviations in {}. Nothing is decided on them.",
            worst.after.abs(),
            worst.covariate
        )
    });
    let covariates: Vec<CovariateBalance> = matched
        .balance
        .iter()
        .map(|b| CovariateBalance {
            name: b.covariate.replace('_', " "),
            before: b.before,
            after: b.after,
        })
        .collect();
    desk.show_figure(
        "Standardised mean differences between responding and other candidates before and after matching",
        balance_plot(&covariates, params.max_difference),
    );
    desk.keep_table(
        "propensity_balance",
        "Standardised mean differences, in standard deviations before matching",
        Table::new(covariates.len())
            .with("covariate", Column::text(covariates.iter().map(|c| &c.name)))?
            .with("before", Column::numbers(covariates.iter().map(|c| c.before)))?
            .with("after", Column::numbers(covariates.iter().map(|c| c.after)))?,
    )?;
    desk.keep_table(
        "propensity_matching",
        "Attention and |ρ| on matched candidates",
        results(&result)?,
    )?;
    desk.blocks
        .push(Block::Ledger(matched.candidates.ledger().clone()));
    Ok(())
}

fn register(desk: &mut Desk<'_>, result: &PropensityMatching, n_pairs: usize) -> Result<()> {
    let id = |test: &str| format!("{ID}/{test}");
    desk.test(&id("matched-attention"), &test_of(&result.attention), false)?;
    desk.test(&id("delta-attention"), &gain_of(&result.attention_gain), false)?;
    desk.test(
        &id("delta-correlation"),
        &gain_of(&result.correlation_gain),
        false,
    )?;
    let n = Some(result.matched.candidates.responses().perturbed().len());
    match &result.correlation {
        Ok(found) => desk.figure(
            &id("matched-correlation"),
            Ok(found.mean),
            found.test.ci,
            n,
            false,
        )?,
        Err(reason) => desk
            .registry
            .undefined(&id("matched-correlation"), reason.to_string())?,
    }
    let matched = &result.matched;
    let responses = matched.candidates.responses();
    desk.figure(
        &id("smd-before"),
        Ok(matched.worst_before()),
        None,
        Some(n_pairs),
        false,
    )?;
    desk.figure(
        &id("smd-after"),
        Ok(matched.worst().after.abs()),
        None,
        Some(responses.n_candidates()),
        false,
    )?;
    match &result.attention_gain {
        Ok(gain) => desk.figure(
            &id("auprc-attention"),
            Ok(gain.precision.value),
            Some(gain.precision.interval),
            n,
            true,
        ),
        Err(reason) => Ok(desk
            .registry
            .undefined(&id("auprc-attention"), reason.to_string())?),
    }
}

fn gain_of(gain: &Result<Gain, Undefined>) -> Result<TestResult, Undefined> {
    gain.as_ref().map_err(Clone::clone)?.difference.clone()
}

fn results(result: &PropensityMatching) -> Result<Table> {
    let rows = [
        ("attention", &result.attention, &result.attention_gain),
        ("|ρ|", &result.correlation, &result.correlation_gain),
    ];
    type Row<'a> = (
        &'a str,
        &'a Result<CrossedAuroc, Undefined>,
        &'a Result<Gain, Undefined>,
    );
    let numbers = |of: &dyn Fn(&Row<'_>) -> Option<f64>| {
        Column::numbers(rows.iter().map(|row| of(row).unwrap_or(f64::NAN)))
    };
    let auroc = |row: &Row<'_>| test_of(row.1).ok();
    let gain = |row: &Row<'_>| row.2.as_ref().ok().cloned();
    let delta = |row: &Row<'_>| gain_of(row.2).ok();
    Ok(Table::new(rows.len())
        .with("score", Column::text(rows.iter().map(|row| row.0)))?
        .with("auroc", numbers(&|row| auroc(row).map(|t| t.effect)))?
        .with("auroc_low", numbers(&|row| auroc(row)?.ci.map(|ci| ci.low)))?
        .with("auroc_high", numbers(&|row| auroc(row)?.ci.map(|ci| ci.high)))?
        .with("auroc_genes", numbers(&|row| gain(row).map(|g| g.without)))?
        .with("delta_auroc", numbers(&|row| gain(row).map(|g| g.delta())))?
        .with("delta_low", numbers(&|row| delta(row)?.ci.map(|ci| ci.low)))?
        .with("delta_high", numbers(&|row| delta(row)?.ci.map(|ci| ci.high)))?
        .with(
            "delta_auprc",
            numbers(&|row| gain(row).map(|g| g.precision.value)),
        )?
        .with(
            "auprc_low",
            numbers(&|row| gain(row).map(|g| g.precision.interval.low)),
        )?
        .with(
            "auprc_high",
            numbers(&|row| gain(row).map(|g| g.precision.interval.high)),
        )?)
}
