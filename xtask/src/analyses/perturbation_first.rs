//! `perturbation-first`: do edges from a perturbed gene rank the genes that respond to its perturbation?

use anyhow::Result;
use ndarray::Array2;
use scfm_core::{Column, EdgeMatrix, Responses, Table};
use scfm_perturb::{
    EdgeScores, Evaluable, EvaluationParams, MeanAuroc, PerturbationFirst, Stream, perturbation_first,
};
use scfm_report::{Block, LayerAuroc, ScoreSet, auroc_distributions, layer_profile};

use super::{Desk, test_of};

pub const ID: &str = "perturbation-first";

pub fn run(desk: &mut Desk<'_>) -> Result<()> {
    let evidence = desk.evidence;
    let responses = &evidence.responses;
    let attention = aligned(evidence.scored_attention(), responses);
    let correlation = aligned(&evidence.correlation, responses);
    let codetection = aligned(&evidence.codetection, responses);
    let scores = EdgeScores {
        attention: attention.view(),
        correlation: correlation.view(),
        codetection: Some(codetection.view()),
    };
    let params = super::evaluation_params(&desk.record.context.parameters);
    let result = perturbation_first(scores, responses, params, desk.seeds(), ID)?;

    desk.test(
        "perturbation-first/attention-above-chance",
        &test_of(&result.attention.crossed),
        false,
    )?;
    desk.test(
        "perturbation-first/correlation-above-chance",
        &test_of(&result.correlation.crossed),
        false,
    )?;
    let difference = result
        .difference
        .crossed
        .as_ref()
        .map(|c| c.test.clone())
        .map_err(Clone::clone);
    desk.test("perturbation-first/attention-vs-correlation", &difference, false)?;
    let baseline = baseline(desk, params)?;
    desk.test(
        "perturbation-first/baseline-configuration",
        &test_of(&baseline.crossed),
        false,
    )?;
    desk.test(
        "perturbation-first/attention-above-chance-naive",
        &result.attention.naive_t,
        false,
    )?;
    desk.test(
        "perturbation-first/attention-vs-correlation-naive",
        &result.difference.naive_wilcoxon,
        false,
    )?;
    desk.figure(
        "perturbation-first/bootstrap-interval",
        result.attention.mean.clone(),
        result.attention.bootstrap.clone().ok(),
        Some(result.n_evaluable),
        true,
    )?;
    desk.figure(
        "perturbation-first/n-evaluable",
        Ok(result.n_evaluable as f64),
        None,
        Some(result.n_evaluable),
        false,
    )?;

    show(desk, &result);
    desk.keep_table(
        "perturbation_first",
        "AUROC per perturbation",
        result.per_perturbation,
    )?;
    layers(desk, &correlation, &codetection, params)?;
    desk.blocks.push(Block::Ledger(result.ledger));
    Ok(())
}

/// Attention of fewer control cells against responses called by Mann-Whitney at a lower threshold.
fn baseline(desk: &Desk<'_>, params: EvaluationParams) -> Result<MeanAuroc> {
    let responses = &desk.evidence.baseline_responses;
    let attention = aligned(&desk.evidence.baseline_attention, responses);
    let evaluable = Evaluable::new(responses, &[attention.view()], params);
    let stream = Stream {
        seeds: desk.seeds(),
        analysis: ID,
        purpose: "bootstrap baseline",
    };
    Ok(evaluable.mean_auroc(attention.view(), stream)?)
}

fn show(desk: &mut Desk<'_>, result: &PerturbationFirst) {
    desk.say(
        "Each perturbation ranks the same candidate targets: the panel without the perturbed gene, where all scores are \
         defined. Since all perturbations rank the same genes, their AUROCs are not independent; the registered tests \
         are clustered by perturbation and by gene. Co-detection, the number of cells that hold both genes, is what \
         attention must beat to be more than coverage.",
    );
    let mut sets = vec![
        ScoreSet {
            name: "attention",
            values: &result.attention.per_perturbation,
        },
        ScoreSet {
            name: "|Spearman ρ|",
            values: &result.correlation.per_perturbation,
        },
    ];
    if let Some(codetection) = &result.codetection {
        sets.push(ScoreSet {
            name: "co-detection",
            values: &codetection.per_perturbation,
        });
    }
    let figure = auroc_distributions(&sets);
    desk.show_figure(
        "AUROC of each evaluable perturbation, by the score that ranks its candidate targets",
        figure,
    );
}

/// The profile over layers, on the candidates of the scored comparison. It is shown, not searched: the scored layer was
/// fixed beforehand.
fn layers(
    desk: &mut Desk<'_>,
    correlation: &Array2<f64>,
    codetection: &Array2<f64>,
    params: EvaluationParams,
) -> Result<()> {
    let evidence = desk.evidence;
    let responses = &evidence.responses;
    let mut profile = Vec::new();
    let mut comparisons = Vec::new();
    for (layer, edges) in evidence.attention.iter().enumerate() {
        let attention = aligned(edges, responses);
        let scores = [attention.view(), correlation.view(), codetection.view()];
        let evaluable = Evaluable::new(responses, &scores, params);
        let purpose = format!("bootstrap layer {layer}");
        let stream = || Stream {
            seeds: desk.seeds(),
            analysis: ID,
            purpose: &purpose,
        };
        let result = evaluable.mean_auroc(attention.view(), stream())?;
        if let Ok(auroc) = result.mean {
            let ci = result.crossed.ok().and_then(|c| c.test.ci);
            profile.push(LayerAuroc { layer, auroc, ci });
        }
        if layer == evidence.layer {
            let magnitude = correlation.mapv(f64::abs);
            for (name, scores) in [("|Spearman ρ|", &magnitude), ("co-detection", codetection)] {
                comparisons.extend(
                    evaluable
                        .mean_auroc(scores.view(), stream())?
                        .mean
                        .ok()
                        .map(|mean| (name, mean)),
                );
            }
        }
    }
    if profile.is_empty() {
        return Ok(());
    }
    let table = Table::new(profile.len())
        .with("layer", Column::counts(profile.iter().map(|l| l.layer)))?
        .with("auroc", Column::numbers(profile.iter().map(|l| l.auroc)))?
        .with(
            "ci_low",
            Column::numbers(
                profile
                    .iter()
                    .map(|l| l.ci.as_ref().map_or(f64::NAN, |ci| ci.low)),
            ),
        )?
        .with(
            "ci_high",
            Column::numbers(
                profile
                    .iter()
                    .map(|l| l.ci.as_ref().map_or(f64::NAN, |ci| ci.high)),
            ),
        )?;
    let figure = layer_profile(&profile, &comparisons, Some(evidence.layer));
    desk.show_figure(
        "Mean within-perturbation AUROC of attention by layer, with crossed 95 % intervals. The marked layer was fixed \
         beforehand; picking the best one here would be picking on the test data",
        figure,
    );
    desk.keep_table("layer_profile", "Mean AUROC by layer", table)
}

fn aligned(edges: &EdgeMatrix, responses: &Responses) -> Array2<f64> {
    edges.align(responses.perturbed(), responses.targets())
}
