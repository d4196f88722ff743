//! `value-weighted`: is the signal in what attention moves rather than in where it looks?

use anyhow::Result;
use ndarray::Array2;
use scfm_core::{Column, EdgeKind, Layer, Measure, ModelEdge, Table};
use scfm_perturb::{Evaluable, Stream};
use scfm_report::{Block, Effect, LayerAuroc, forest, layer_profile};
use scfm_stats::Undefined;

use super::Desk;

pub const ID: &str = "value-weighted";

pub fn run(desk: &mut Desk<'_>) -> Result<()> {
    let evidence = desk.evidence;
    let layer = Layer(evidence.layer);
    let cosine_at = |layer| EdgeKind::from(ModelEdge::of_layer(Measure::ValueCosine, Layer(layer)));
    let Some(cosine) = desk.edges(cosine_at(layer.0))? else {
        return Ok(desk
            .registry
            .not_run_rest(ID, "needs the model, whose context vectors are compared")?);
    };
    let responses = &evidence.responses;
    let align = |edges: &scfm_core::EdgeMatrix| edges.align(responses.perturbed(), responses.targets());
    let attention = align(evidence.scored_attention());
    let correlation = align(&evidence.correlation).mapv_into(f64::abs);
    let mut scores: Vec<(&str, Option<&str>, Array2<f64>)> =
        vec![("cosine of context vectors", None, align(&cosine))];
    let of_layer = |measure| EdgeKind::from(ModelEdge::of_layer(measure, layer));
    for (name, id, kind) in [
        (
            "cosine of cell-mean context vectors",
            "mean-vector-cosine",
            EdgeKind::MeanContextCosine(layer),
        ),
        (
            "dot product of context vectors",
            "dot-product",
            of_layer(Measure::ValueDot),
        ),
        (
            "norm-weighted attention",
            "norm-weighted",
            of_layer(Measure::NormWeighted),
        ),
    ] {
        if let Some(edges) = desk.edges(kind)? {
            scores.push((name, Some(id), align(&edges)));
        }
    }
    let mut all = vec![attention.view(), correlation.view()];
    all.extend(scores.iter().map(|(_, _, scores)| scores.view()));
    let params = super::evaluation_params(&desk.record.context.parameters);
    let evaluable = Evaluable::new(responses, &all, params);
    let seeds = desk.seeds();
    let stream = |purpose| Stream {
        seeds,
        analysis: ID,
        purpose,
    };

    let n = evaluable.perturbed().len();
    let mut rows: Vec<(String, Result<f64, Undefined>, Vec<Effect>)> = Vec::new();
    for (name, scores) in [("attention", &attention), ("|Spearman ρ|", &correlation)] {
        let result = evaluable.mean_auroc(scores.view(), stream(name))?;
        rows.push((name.to_owned(), result.mean, Vec::new()));
    }
    for (name, id, scores) in &scores {
        let result = evaluable.mean_auroc(scores.view(), stream(name))?;
        if let Some(id) = id {
            let ci = result.crossed.as_ref().ok().and_then(|crossed| crossed.test.ci);
            desk.figure(
                &format!("value-weighted/{id}"),
                result.mean.clone(),
                ci,
                Some(n),
                false,
            )?;
        }
        let mut effects = Vec::new();
        for (other, against) in [("attention", &attention), ("correlation", &correlation)] {
            let difference = evaluable.difference(scores.view(), against.view(), stream(other))?;
            let test = difference.crossed.map(|crossed| crossed.test);
            if let Ok(test) = &test {
                effects.push(Effect {
                    name: format!("{name} − {other}"),
                    estimate: test.effect,
                    ci: test.ci,
                });
            }
            if id.is_none() {
                desk.test(&format!("value-weighted/value-cosine-vs-{other}"), &test, false)?;
            }
        }
        rows.push(((*name).to_owned(), result.mean, effects));
    }

    desk.say(
        "Attention says where a token looks; what it gathers there is a sum of value vectors. A pair is scored by how alike \
         the two genes' gathered vectors are, head by head, averaged over the cells that hold both; the variants average \
         the vectors over cells first, keep their lengths, or weigh attention by the length of what the key passes on. All \
         rank the same candidates.",
    );
    let effects: Vec<Effect> = rows
        .iter_mut()
        .flat_map(|(_, _, effects)| std::mem::take(effects))
        .collect();
    if !effects.is_empty() {
        desk.show_figure(
            "Value-weighted scores against raw attention and against correlation, with crossed 95 % intervals",
            forest(&effects, "difference of mean AUROC", None),
        );
    }
    let table = Table::new(rows.len())
        .with("score", Column::text(rows.iter().map(|(name, ..)| name)))?
        .with(
            "auroc",
            Column::numbers(
                rows.iter()
                    .map(|(_, mean, _)| mean.as_ref().copied().unwrap_or(f64::NAN)),
            ),
        )?;
    desk.keep_table(
        "value_weighted",
        "Mean AUROC of each score at the scored layer",
        table,
    )?;
    profile(desk, &evaluable, &rows[..2], cosine_at)?;
    desk.blocks.push(Block::Ledger(evaluable.ledger().clone()));
    Ok(())
}

/// The cosine at every layer, on the candidates of the comparison. It is shown, not searched.
fn profile(
    desk: &mut Desk<'_>,
    evaluable: &Evaluable,
    references: &[(String, Result<f64, Undefined>, Vec<Effect>)],
    cosine_at: impl Fn(usize) -> EdgeKind,
) -> Result<()> {
    let evidence = desk.evidence;
    let responses = &evidence.responses;
    let mut layers = Vec::new();
    for layer in 0..evidence.attention.len() {
        let Some(edges) = desk.edges(cosine_at(layer))? else {
            continue;
        };
        let scores = edges.align(responses.perturbed(), responses.targets());
        let stream = Stream {
            seeds: desk.seeds(),
            analysis: ID,
            purpose: "profile",
        };
        let result = evaluable.mean_auroc(scores.view(), stream)?;
        if let Ok(auroc) = result.mean {
            let ci = result.crossed.ok().and_then(|crossed| crossed.test.ci);
            layers.push(LayerAuroc { layer, auroc, ci });
        }
    }
    if layers.is_empty() {
        return Ok(());
    }
    let references: Vec<(&str, f64)> = references
        .iter()
        .filter_map(|(name, mean, _)| Some((name.as_str(), *mean.as_ref().ok()?)))
        .collect();
    desk.show_figure(
        "Mean within-perturbation AUROC of the cosine of context vectors by layer, with crossed 95 % intervals; the marked \
         layer was fixed beforehand",
        layer_profile(&layers, &references, Some(evidence.layer)),
    );
    let bound = |of: fn(&scfm_stats::Interval) -> f64| {
        Column::numbers(layers.iter().map(|l| l.ci.as_ref().map_or(f64::NAN, of)))
    };
    let table = Table::new(layers.len())
        .with("layer", Column::counts(layers.iter().map(|l| l.layer)))?
        .with("auroc", Column::numbers(layers.iter().map(|l| l.auroc)))?
        .with("ci_low", bound(|ci| ci.low))?
        .with("ci_high", bound(|ci| ci.high))?;
    desk.keep_table("value_layers", "Cosine of context vectors by layer", table)
}
