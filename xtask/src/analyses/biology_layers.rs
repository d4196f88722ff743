//! `biology-layers`: which kind of biological relation does attention follow at which depth?

use anyhow::Result;
use ndarray::ArrayView2;
use scfm_core::{Column, Ledger, Table};
use scfm_grn::{
    LayerRelations, NamedRelation, PartialRelation, Relation, RelationParams, RelationProfile,
    layer_relations, partial_memberships,
};
use scfm_report::{Block, LayerAuroc, LayerProfile, Plan, layer_profiles};
use scfm_stats::Undefined;

use super::Desk;
use crate::relations::{Undirected, universe};

pub const ID: &str = "biology-layers";

const TRRUST: &str = "trrust";
/// Highest edges of a layer that are looked at for enrichment.
const TOP: usize = 1000;

/// Undirected relations by the name that their tests have.
const UNDIRECTED: [(&str, Undirected); 5] = [
    ("string-700", Undirected::String(700)),
    ("string-900", Undirected::String(900)),
    ("reactome", Undirected::Reactome),
    ("kegg", Undirected::Kegg),
    ("go", Undirected::Go),
];
/// Relations whose partial correlation is tested.
const PARTIAL: [&str; 4] = [TRRUST, "kegg", "go", "reactome"];

pub fn run(desk: &mut Desk<'_>) -> Result<()> {
    let evidence = desk.evidence;
    let mut missing: Vec<(&str, String)> = Vec::new();
    let mut relations = Vec::new();
    let mut ledger = Ledger::new();
    for (name, relation) in UNDIRECTED {
        match evidence.relations.pairs(relation, &evidence.panel)? {
            Ok(related) => {
                ledger.extend(related.ledger);
                relations.push(NamedRelation {
                    name,
                    relation: Relation::Undirected(related.pairs),
                });
            }
            Err(reason) => missing.push((name, reason)),
        }
    }
    let networks = [
        (TRRUST, evidence.reference.as_ref()),
        ("dorothea", evidence.relations.dorothea.as_ref()),
    ];
    for (name, network) in networks {
        let laid = match network {
            Some(network) => universe(network, &evidence.panel)?,
            None => Err(format!("no {name} reference")),
        };
        match laid {
            Ok(universe) => {
                ledger.extend(universe.ledger().clone());
                relations.push(NamedRelation {
                    name,
                    relation: Relation::Directed(universe),
                });
            }
            Err(reason) => missing.push((name, reason)),
        }
    }
    not_run(desk, &missing)?;
    if relations.is_empty() {
        return Ok(desk.registry.not_run_rest(ID, "no reference of any kind")?);
    }

    let layers: Vec<ArrayView2<'_, f32>> = evidence
        .attention
        .iter()
        .map(|edges| edges.scores().view())
        .collect();
    let parameters = &desk.record.context.parameters;
    let params = RelationParams {
        n_bootstrap: parameters.bootstrap.max(parameters.permutations),
        enriched_layers: RelationParams::spread(layers.len()),
        n_top: TOP,
    };
    let magnitude = evidence.correlation.scores().mapv(f32::abs);
    let seeds = desk.seeds();
    let found = layer_relations(&layers, magnitude.view(), &relations, &params, |i| {
        seeds.stream(ID, "genes", i)
    })?;
    profiles(desk, &found)?;
    partial(desk, &relations)?;
    enriched(desk, &found)?;
    say(desk, &found, &params);
    show(desk, &found)?;
    desk.blocks.push(Block::Ledger(ledger));
    Ok(())
}

/// The tests of relations that a run does not have.
fn not_run(desk: &mut Desk<'_>, missing: &[(&str, String)]) -> Result<()> {
    for (name, reason) in missing {
        for id in planned().filter(|id| id.split_once('/').is_some_and(|(_, id)| names(id, name))) {
            if !desk.registry.is_registered(id) {
                desk.registry.not_run(id, reason.clone())?;
            }
        }
    }
    Ok(())
}

/// The ids of all tests of the analysis.
fn planned() -> impl Iterator<Item = &'static str> {
    let analysis = Plan::embedded().analysis(ID);
    analysis
        .into_iter()
        .flat_map(|analysis| analysis.tests.iter().map(|test| test.id.as_str()))
}

/// Whether the id of a test names a relation: at its end, or between hyphens.
fn names(id: &str, relation: &str) -> bool {
    id.strip_suffix(relation).is_some_and(|rest| rest.ends_with('-')) || id.contains(&format!("-{relation}-"))
}

fn profiles(desk: &mut Desk<'_>, found: &LayerRelations) -> Result<()> {
    if desk.evidence.attention.len() == 1 {
        // As a list of another tool is.
        for id in planned().filter(|id| id.contains("/depth-") || id.contains("/profile-")) {
            if !desk.registry.is_registered(id) {
                desk.registry.not_run(id, "one layer only")?;
            }
        }
        return Ok(());
    }
    for profile in &found.profiles {
        let id = format!("{ID}/depth-{}", profile.name);
        if let Some(test) = found.depth(profile.name).filter(|_| profile.name != "dorothea") {
            desk.test(&id, &test, true)?;
        }
    }
    for least in ["string-900", "string-700"] {
        if let Some(test) = found.profile_correlation(least, TRRUST) {
            desk.test(&format!("{ID}/profile-{least}-trrust"), &test, true)?;
        }
    }
    Ok(())
}

fn partial(desk: &mut Desk<'_>, relations: &[NamedRelation]) -> Result<()> {
    let evidence = desk.evidence;
    let tested: Vec<NamedRelation> = relations
        .iter()
        .filter(|named| PARTIAL.contains(&named.name))
        .cloned()
        .collect();
    let seeds = desk.seeds();
    let found = partial_memberships(
        evidence.scored_attention().scores().view(),
        evidence.correlation.scores().view(),
        &tested,
        desk.record.context.parameters.permutations,
        |purpose, i| seeds.stream(ID, purpose, i),
    )?;
    let mut rows = Vec::new();
    for PartialRelation { name, correlation } in &found {
        let outcome = correlation;
        let test = outcome
            .as_ref()
            .map(|partial| partial.test.clone())
            .map_err(Undefined::clone);
        desk.test(&format!("{ID}/partial-{name}"), &test, true)?;
        let raw = outcome.as_ref().map_or(f64::NAN, |partial| partial.raw);
        let given = test.as_ref().map_or(f64::NAN, |test| test.effect);
        rows.push((
            *name,
            raw,
            given,
            test.as_ref().map_or(f64::NAN, |test| test.p.p()),
        ));
        if *name == TRRUST {
            let n = Some(evidence.panel.len());
            match outcome {
                Ok(partial) if partial.raw > 0.0 => {
                    let retained = Ok(partial.test.effect / partial.raw);
                    desk.figure("biology-layers/retained-trrust", retained, None, n, false)?;
                }
                Ok(_) => desk.registry.undefined(
                    "biology-layers/retained-trrust",
                    "the correlation itself is not positive, so that there is nothing to keep",
                )?,
                Err(reason) => {
                    desk.figure(
                        "biology-layers/retained-trrust",
                        Err(reason.clone()),
                        None,
                        n,
                        false,
                    )?;
                }
            }
        }
    }
    let table = Table::new(rows.len())
        .with("relation", Column::text(rows.iter().map(|row| row.0)))?
        .with("spearman", Column::numbers(rows.iter().map(|row| row.1)))?
        .with(
            "given_coexpression",
            Column::numbers(rows.iter().map(|row| row.2)),
        )?
        .with("p", Column::numbers(rows.iter().map(|row| row.3)))?;
    let caption = format!(
        "Rank correlation of attention of layer {} with membership, and what is left of it given co-expression",
        evidence.layer
    );
    desk.keep_table("biology_layers_partial", &caption, table)
}

fn enriched(desk: &mut Desk<'_>, found: &LayerRelations) -> Result<()> {
    let significant = found.enriched(desk.record.context.parameters.alpha);
    let cells = found.profiles.iter().zip(&significant);
    let rows: Vec<_> = cells
        .flat_map(|(profile, significant)| {
            profile
                .enrichment
                .iter()
                .zip(significant)
                .map(move |(cell, &s)| (profile, cell, s))
        })
        .collect();
    let n = rows.len();
    let share = match n {
        0 => Err(Undefined::TooFew {
            what: "relations with pairs",
            n: 0,
            needed: 1,
        }),
        _ => Ok(rows.iter().filter(|row| row.2).count() as f64 / n as f64),
    };
    desk.figure("biology-layers/enriched-sets", share, None, Some(n), false)?;
    let table = Table::new(n)
        .with("relation", Column::text(rows.iter().map(|row| row.0.name)))?
        .with("layer", Column::counts(rows.iter().map(|row| row.1.layer)))?
        .with("n_top", Column::counts(rows.iter().map(|row| row.1.n_top)))?
        .with("hits", Column::counts(rows.iter().map(|row| row.1.hits)))?
        .with("fold", Column::numbers(rows.iter().map(|row| row.1.fold)))?
        .with("p", Column::numbers(rows.iter().map(|row| row.1.p.p())))?
        .with("enriched", Column::flags(rows.iter().map(|row| row.2)))?;
    desk.keep_table(
        "biology_layers_enrichment",
        "Enrichment of each relation among the highest edges of a layer, corrected among themselves",
        table,
    )
}

fn say(desk: &mut Desk<'_>, found: &LayerRelations, params: &RelationParams) {
    desk.say(format!(
        "Relations without a direction are judged on unordered pairs by the mean of both directions; {} pairs with a score in one \
         direction only take no part. TRRUST and DoRothEA are judged on their own candidates, TF by target. Layers rank the same \
         pairs for each relation. The interval of a layer and the tests over layers resample genes {} times to first order, \
         since the layers of a model depend on each other; Spearman's test over layers would not know that. What is shown is \
         the whole profile: its highest layer was not chosen beforehand and is no result.",
        found.n_one_way, params.n_bootstrap
    ));
    desk.say(
        "Pairs of one pathway share genes, and genes that are in many sets share their expression with each other: an AUROC against \
         co-annotation says what attention goes along with, not that it knows the relation. Tests given co-expression permute \
         genes.",
    );
}

fn show(desk: &mut Desk<'_>, found: &LayerRelations) -> Result<()> {
    let of = |at: usize, profile: &RelationProfile| -> Vec<LayerAuroc> {
        let layers = profile.layers.as_deref().unwrap_or_default().iter().enumerate();
        layers
            .map(|(layer, estimate)| LayerAuroc {
                layer,
                auroc: estimate.auroc,
                ci: found.interval(at, layer),
            })
            .collect()
    };
    let lines: Vec<(&str, Vec<LayerAuroc>)> = found
        .profiles
        .iter()
        .enumerate()
        .map(|(at, profile)| (profile.name, of(at, profile)))
        .collect();
    let drawn: Vec<LayerProfile<'_>> = lines
        .iter()
        .filter(|(_, layers)| !layers.is_empty())
        .map(|(name, layers)| LayerProfile { name, layers })
        .collect();
    desk.show_figure(
        "AUROC of attention against each relation, by layer",
        layer_profiles(&drawn, &[], Some(desk.evidence.layer)),
    );
    let rows: Vec<(&str, &LayerAuroc, &RelationProfile)> = lines
        .iter()
        .zip(&found.profiles)
        .flat_map(|((name, layers), profile)| layers.iter().map(move |layer| (*name, layer, profile)))
        .collect();
    let bound = |of: &dyn Fn(&scfm_stats::Interval) -> f64| {
        Column::numbers(rows.iter().map(|row| row.1.ci.as_ref().map_or(f64::NAN, of)))
    };
    let table = Table::new(rows.len())
        .with("relation", Column::text(rows.iter().map(|row| row.0)))?
        .with("layer", Column::counts(rows.iter().map(|row| row.1.layer)))?
        .with("auroc", Column::numbers(rows.iter().map(|row| row.1.auroc)))?
        .with("ci_low", bound(&|ci| ci.low))?
        .with("ci_high", bound(&|ci| ci.high))?
        .with("n_pos", Column::counts(rows.iter().map(|row| row.2.n_pos)))?
        .with("n_pairs", Column::counts(rows.iter().map(|row| row.2.n_pairs)))?
        .with(
            "correlation_auroc",
            Column::numbers(
                rows.iter()
                    .map(|row| row.2.comparison.clone().unwrap_or(f64::NAN)),
            ),
        )?;
    desk.keep_table(
        "biology_layers",
        "AUROC of attention against each relation at each layer, beside that of |Spearman ρ| on the same pairs",
        table,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_name_their_relations() {
        assert!(names("depth-string-900", "string-900") && names("profile-string-900-trrust", "trrust"));
        assert!(names("profile-string-900-trrust", "string-900") && names("retained-trrust", "trrust"));
        assert!(
            !names("depth-go", "kegg") && !names("enriched-sets", "trrust") && !names("depth-logo", "go")
        );
    }
}
