//! `layer-selection`: does a layer chosen on other perturbations beat correlation on held-out ones?

use anyhow::Result;
use scfm_baselines::{LayerSelection, LayerSelectionParams, Selected, layer_selection};
use scfm_core::{Column, Table};
use scfm_report::{Block, LayerAuroc, layer_profile};
use scfm_stats::{CrossedAuroc, TestResult, Undefined};

use super::Desk;

pub const ID: &str = "layer-selection";

pub fn run(desk: &mut Desk<'_>) -> Result<()> {
    let evidence = desk.evidence;
    if evidence.attention.len() < 2 {
        return Ok(desk.registry.not_run_rest(ID, "one layer only")?);
    }
    let parameters = &desk.record.context.parameters;
    let params = LayerSelectionParams {
        n_folds: parameters.folds,
        min_positives: parameters.min_positives,
        min_negatives: parameters.min_negatives,
        ..LayerSelectionParams::default()
    };
    let found = layer_selection(
        &evidence.attention,
        &evidence.correlation,
        &evidence.responses,
        evidence.layer,
        &params,
    );
    let found = match found {
        Err(scfm_baselines::Error::Stats(scfm_stats::Error::Undefined(reason))) => {
            return desk.undefined_all(ID, &reason.to_string());
        }
        other => other?,
    };

    let held_out = &found.held_out;
    desk.test(
        "layer-selection/nested-vs-correlation",
        &test(&held_out.against_correlation),
        false,
    )?;
    desk.test(
        "layer-selection/nested-vs-prespecified",
        &test(&held_out.against_prespecified),
        false,
    )?;
    let (layer, share) = held_out.modal_layer();
    let n = Some(held_out.choices.len());
    desk.figure("layer-selection/modal-layer", Ok(layer as f64), None, n, false)?;
    desk.figure("layer-selection/modal-layer-folds", Ok(share), None, n, false)?;
    show(desk, &found, params.n_folds)?;
    desk.blocks.push(Block::Ledger(found.ledger));
    Ok(())
}

fn show(desk: &mut Desk<'_>, found: &LayerSelection, n_folds: usize) -> Result<()> {
    let (best, best_auroc) = found.best_on_all;
    desk.say(format!(
        "The score of each pair comes from the layer with the best mean AUROC over the other perturbations and the other \
         targets ({n_folds} × {n_folds} folds). Holding out perturbations alone, as published, is not enough: all \
         perturbations rank the same genes, and a layer that ranks high the genes that respond to anything is chosen \
         for it and rewarded for it again. The layer that is best on all data is layer {best} with {best_auroc:.3}; that \
         number is biased upwards by the choice and enters no test."
    ));
    let profile: Vec<LayerAuroc> = found
        .profile
        .iter()
        .enumerate()
        .filter_map(|(layer, result)| {
            let crossed = result.as_ref().ok()?;
            Some(LayerAuroc {
                layer,
                auroc: crossed.mean,
                ci: crossed.test.ci,
            })
        })
        .collect();
    if !profile.is_empty() {
        let levels = [
            ("|Spearman ρ|", found.correlation),
            ("chosen, held out", found.held_out.mean),
        ];
        desk.show_figure(
            "Mean AUROC of each layer with crossed 95 % intervals, and of the chosen layers on what they were not chosen \
             on; the marked layer was fixed beforehand",
            layer_profile(&profile, &levels, Some(desk.evidence.layer)),
        );
    }
    desk.keep_table(
        "layer_selection",
        "Held-out AUROC of chosen layers, against |ρ| and against the pre-specified layer",
        summary(found)?,
    )?;
    desk.keep_table(
        "layer_choices",
        "The layer chosen for each held-out block, and its AUROC on the training part",
        choices(found)?,
    )
}

fn forms(found: &LayerSelection) -> [(&'static str, &Selected); 2] {
    [
        ("perturbations and targets", &found.held_out),
        ("perturbations only, as published", &found.over_perturbations),
    ]
}

fn summary(found: &LayerSelection) -> Result<Table> {
    let forms = forms(found);
    let numbers = |of: &dyn Fn(&Selected) -> f64| Column::numbers(forms.iter().map(|(_, s)| of(s)));
    let of = |result: &Result<CrossedAuroc, Undefined>, figure: fn(&CrossedAuroc) -> Option<f64>| {
        result.as_ref().ok().and_then(figure).unwrap_or(f64::NAN)
    };
    let low = |c: &CrossedAuroc| Some(c.test.ci?.low);
    let high = |c: &CrossedAuroc| Some(c.test.ci?.high);
    Ok(Table::new(forms.len())
        .with("held_out", Column::text(forms.iter().map(|(name, _)| name)))?
        .with("auroc", numbers(&|s| s.mean))?
        .with(
            "delta_correlation",
            numbers(&|s| of(&s.against_correlation, |c| Some(c.mean))),
        )?
        .with("ci_low", numbers(&|s| of(&s.against_correlation, low)))?
        .with("ci_high", numbers(&|s| of(&s.against_correlation, high)))?
        .with(
            "p",
            numbers(&|s| of(&s.against_correlation, |c| Some(c.test.p.p()))),
        )?
        .with(
            "delta_prespecified",
            numbers(&|s| of(&s.against_prespecified, |c| Some(c.mean))),
        )?
        .with(
            "modal_layer",
            Column::counts(forms.iter().map(|(_, s)| s.modal_layer().0)),
        )?
        .with("modal_share", numbers(&|s| s.modal_layer().1))?)
}

fn choices(found: &LayerSelection) -> Result<Table> {
    let rows: Vec<_> = forms(found).into_iter().flat_map(|(_, s)| &s.choices).collect();
    Ok(Table::new(rows.len())
        .with(
            "perturbation_fold",
            Column::counts(rows.iter().map(|c| c.perturbation_fold)),
        )?
        .with(
            "target_fold",
            Column::U64(
                rows.iter()
                    .map(|c| c.target_fold.map(|fold| fold as u64))
                    .collect(),
            ),
        )?
        .with("layer", Column::counts(rows.iter().map(|c| c.layer)))?
        .with(
            "training_auroc",
            Column::numbers(rows.iter().map(|c| c.training_auroc)),
        )?)
}

fn test(result: &Result<CrossedAuroc, Undefined>) -> Result<TestResult, Undefined> {
    result
        .as_ref()
        .map(|crossed| crossed.test.clone())
        .map_err(Clone::clone)
}
