//! `coexpression-mapping`: do attention edges follow co-expression, a reference network, or merely expression?

use anyhow::Result;
use ndarray::Array2;
use scfm_baselines::{Association, coexpression_mapping};
use scfm_core::{Column, EdgeMatrix, GeneId, Source, Table, Target};
use scfm_grn::{CandidateUniverse, GeneNames, Recovery, recovery};
use scfm_report::{Block, Measure, pair_density};
use scfm_stats::Undefined;

use super::Desk;

pub const ID: &str = "coexpression-mapping";
/// Expected name of the mean in the table of gene features.
const MEAN: &str = scfm_baselines::features::MEAN;

pub fn run(desk: &mut Desk<'_>) -> Result<()> {
    let evidence = desk.evidence;
    let panel = &evidence.panel;
    let mut member = Array2::from_elem((panel.len(), panel.len()), false);
    if let Some(reference) = &evidence.reference {
        for edge in reference.edges() {
            let position = |gene: &GeneId| panel.position(gene.as_str());
            if let (Some(source), Some(target)) = (position(&edge.source), position(&edge.target)) {
                member[[source, target]] = true;
            }
        }
    }
    let mean = evidence
        .features
        .feature(MEAN)
        .expect("the stage of features computes the mean");
    let attention = evidence.scored_attention();
    let n_permutations = desk.record.context.parameters.permutations;
    let result = coexpression_mapping(
        attention,
        &evidence.correlation,
        member.view(),
        mean,
        n_permutations,
        desk.seeds(),
    )?;

    let mappings = [
        ("coexpression", "signed Spearman ρ", &result.coexpression),
        (
            "reference-membership",
            "membership in the reference network",
            &result.reference,
        ),
        ("mean-product", "product of mean expressions", &result.expression),
    ];
    for (test, _, mapping) in &mappings {
        if *test == "reference-membership" && evidence.reference.is_none() {
            desk.registry.not_run(
                "coexpression-mapping/reference-membership",
                "no reference network",
            )?;
            desk.registry.not_run(
                "coexpression-mapping/r2-reference-membership",
                "no reference network",
            )?;
            continue;
        }
        desk.test(&format!("coexpression-mapping/{test}"), &mapping.test, true)?;
        let r_squared = mapping.association.r_squared.clone();
        desk.figure(
            &format!("coexpression-mapping/r2-{test}"),
            r_squared,
            None,
            Some(panel.len()),
            false,
        )?;
    }

    desk.say(format!(
        "{} ordered pairs of different genes have an attention score. Tests permute the genes of one matrix jointly in \
         rows and columns {n_permutations} times, since pairs that share a gene are not independent.",
        result.n_pairs
    ));
    let pairs = pairs(attention, &evidence.correlation);
    desk.show_figure(
        &format!(
            "Attention of layer {} against co-expression, over all ordered pairs of the panel",
            evidence.layer
        ),
        pair_density(
            &pairs,
            Measure::linear("Spearman ρ of expression"),
            Measure::log("attention (mean probability)"),
        ),
    );
    let mut rows: Vec<(&str, &Association)> = mappings
        .iter()
        .map(|(_, name, mapping)| (*name, &mapping.association))
        .collect();
    rows.insert(1, ("|Spearman ρ|", &result.absolute_coexpression));
    desk.keep_table(
        "coexpression_mapping",
        "Association of attention edges with",
        associations(&rows)?,
    )?;
    desk.blocks.push(Block::Ledger(result.ledger));
    recover(desk)
}

/// How well edges recover the reference network among its candidate pairs.
fn recover(desk: &mut Desk<'_>) -> Result<()> {
    let evidence = desk.evidence;
    let Some(reference) = &evidence.reference else {
        return Ok(());
    };
    let universe =
        match CandidateUniverse::new(reference, &evidence.panel, &evidence.panel, GeneNames::default()) {
            Ok(universe) => universe,
            Err(error @ scfm_grn::Error::NoSharedGenes { .. }) => {
                desk.say(format!(
                    "Recovery of the reference network could not be evaluated: {error}."
                ));
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
    let scores = [
        ("attention", evidence.scored_attention()),
        ("|Spearman ρ|", &evidence.correlation),
        ("co-detection", &evidence.codetection),
    ];
    let recoveries = scores
        .iter()
        .map(|(_, edges)| Ok(recovery(edges, &universe, &[])?))
        .collect::<Result<Vec<_>>>()?;
    let numbers = |of: &dyn Fn(&Recovery) -> f64| Column::numbers(recoveries.iter().map(of));
    let precision = |r: &Recovery| {
        r.average_precision
            .as_ref()
            .map_or((f64::NAN, f64::NAN), |ap| (ap.value, ap.base_rate))
    };
    let first = |r: &Recovery| {
        r.top_k[0]
            .as_ref()
            .map_or((f64::NAN, f64::NAN), |top| (top.f1, top.f1_ceiling))
    };
    let table = Table::new(scores.len())
        .with("score", Column::text(scores.iter().map(|(name, _)| name)))?
        .with("n_pairs", Column::counts(recoveries.iter().map(|r| r.n_pairs)))?
        .with("n_pos", Column::counts(recoveries.iter().map(|r| r.n_pos)))?
        .with(
            "n_missing",
            Column::counts(recoveries.iter().map(|r| r.n_missing)),
        )?
        .with("auroc", numbers(&|r| r.auroc.clone().unwrap_or(f64::NAN)))?
        .with("auprc", numbers(&|r| precision(r).0))?
        .with("base_rate", numbers(&|r| precision(r).1))?
        .with("f1_at_n_pos", numbers(&|r| first(r).0))?
        .with("f1_ceiling", numbers(&|r| first(r).1))?
        .with(
            "early_precision_ratio",
            numbers(&|r| r.early_precision_ratio.clone().unwrap_or(f64::NAN)),
        )?;
    desk.keep_table(
        "recovery",
        "Recovery of the reference network among its candidate pairs, all pairs pooled",
        table,
    )?;
    desk.blocks.push(Block::Ledger(universe.ledger().clone()));
    Ok(())
}

/// (co-expression, attention) of every pair of two different genes that both are defined for.
fn pairs(attention: &EdgeMatrix, correlation: &EdgeMatrix) -> Vec<(f32, f32)> {
    let n = attention.sources().len();
    (0..n)
        .flat_map(|s| (0..n).map(move |t| (Source(s), Target(t))))
        .filter(|(s, t)| s.0 != t.0)
        .filter_map(|(s, t)| Some((correlation.get(s, t)?, attention.get(s, t)?)))
        .collect()
}

fn associations(rows: &[(&str, &Association)]) -> Result<Table> {
    let value = |v: &Result<f64, Undefined>| v.clone().unwrap_or(f64::NAN);
    Ok(Table::new(rows.len())
        .with("score", Column::text(rows.iter().map(|(name, _)| name)))?
        .with(
            "spearman",
            Column::numbers(rows.iter().map(|(_, a)| value(&a.spearman))),
        )?
        .with(
            "r_squared",
            Column::numbers(rows.iter().map(|(_, a)| value(&a.r_squared))),
        )?)
}
