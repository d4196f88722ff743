//! What heads and feed-forward steps restore of the effect of a source gene on the prediction of a target.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use rayon::prelude::*;
use scfm_ablation::{
    CandidatePair, CellEffects, CellOf, Component, MediationRun, OverCells, PatchedCell, ReadOut, Residual,
    disjoint_pairs, spread_cells,
};
use scfm_core::{Column, Panel, Responses, Table};
use scfm_grn::ReferenceNetwork;

use super::Workbench;
use super::hidden_genes::{Asker, expressed};
use crate::edge_source::EdgeSource;
use crate::evidence::{self, names, read_panel};
use crate::model::Model;
use crate::run_folder::RunFolder;

/// Names the random streams.
const ANALYSIS: &str = "mediation-bias";

/// Heads and feed-forward steps one by one, patched at all places.
pub const PARTS: &str = "parts";
/// Attention and feed-forward step of each layer, patched at all places.
pub const BLOCKS: &str = "blocks";
/// Heads and feed-forward steps one by one, patched at the source's place alone.
pub const AT_SOURCE: &str = "parts at the source";

impl Workbench<'_> {
    /// How many cells the model reads for it, at most: those below a patch are cheaper.
    pub(super) fn mediation_cost(&self, model: &Model) -> usize {
        let parameters = self.parameters();
        let (n_layers, n_heads) = model.depth();
        let (parts, blocks) = (n_layers * (n_heads + 1), 2 * n_layers);
        // Twice read and twice asked; parts alone at all places and at the source's; sets of parts and of blocks.
        let of_cell = 4 + 2 * parts + blocks + 2 * parameters.mediation_sets.max(2 * parts);
        parameters.mediation_pairs * parameters.mediation_cells * of_cell
    }

    /// Patches components in the control cells of a few pairs.
    pub(super) fn mediation(&self, run: &RunFolder) -> Result<Vec<String>> {
        let EdgeSource::Model(model) = &self.source else {
            return Ok(Vec::new());
        };
        let panel = read_panel(run)?;
        let responses = evidence::responses(&evidence::table(run, names::DE)?, &panel)?;
        let asker = Mediation {
            bench: self,
            panel: &panel,
            responses: &responses,
            reference: self.reference()?,
        };
        let (runs, mut metadata) = match self.ask(model, &panel, &asker)? {
            Ok((runs, words)) => (runs, words),
            Err(reason) => (Vec::new(), vec![("scfm.reason".to_owned(), reason)]),
        };
        metadata.push(self.simulated_metadata());
        scfm_io::write_table(&run.file(names::MEDIATION_RUNS), &runs_table(&runs)?, &metadata)?;
        scfm_io::write_table(
            &run.file(names::MEDIATION_COMPONENTS),
            &components_table(&runs)?,
            &metadata,
        )?;
        Ok([names::MEDIATION_RUNS, names::MEDIATION_COMPONENTS]
            .map(str::to_owned)
            .to_vec())
    }
}

struct Mediation<'a> {
    bench: &'a Workbench<'a>,
    panel: &'a Panel,
    responses: &'a Responses,
    reference: Option<ReferenceNetwork>,
}

/// What of a cell is looked at.
type Values = fn(&InCell) -> &[f64];

/// A pair at a granularity, over cells.
struct Run {
    source: String,
    target: String,
    in_reference: bool,
    responds: Option<bool>,
    granularity: &'static str,
    components: Vec<Component>,
    /// What each component restores alone.
    effects: CellEffects,
    /// Shapley values; none where components are not all there is.
    shapley: Option<CellEffects>,
}

/// What was found in one cell of a pair.
struct InCell {
    total: f64,
    parts: Vec<f64>,
    blocks: Vec<f64>,
    at_source: Vec<f64>,
    shapley_of_parts: Vec<f64>,
    shapley_of_blocks: Vec<f64>,
}

impl Asker for Mediation<'_> {
    type Answer = (Vec<Run>, Vec<(String, String)>);

    fn ask<R: ReadOut>(&self, read_out: &R, cells: &[CellOf<R>]) -> Result<Self::Answer> {
        let parameters = self.bench.parameters();
        let genes = self.bench.genes.map.panel();
        let in_panel = |column: usize| self.panel.contains(genes.gene(column).as_str());
        let places = expressed(read_out, cells, genes.len(), in_panel);
        let candidates = self.candidates(genes, &places);
        let pairs = disjoint_pairs(candidates, parameters.mediation_pairs, parameters.mediation_cells);
        let lists: Vec<Vec<usize>> = pairs.iter().map(|pair| pair.cells.clone()).collect();
        let cells_of = spread_cells(&lists, parameters.mediation_cells);
        let jobs: Vec<(usize, usize)> = cells_of
            .iter()
            .enumerate()
            .flat_map(|(pair, cells)| cells.iter().map(move |&cell| (pair, cell)))
            .collect();
        let place = |column: usize, cell: usize| {
            let of_gene = &places[column];
            let at = of_gene.binary_search_by_key(&cell, |&(cell, _)| cell);
            of_gene[at.expect("a cell that expresses the gene")].1
        };

        let (parts, blocks) = (
            Component::parts(read_out.model()),
            Component::blocks(read_out.model()),
        );
        let (bar, done) = (
            self.bench.progress.bar("mediation", jobs.len()),
            AtomicUsize::new(0),
        );
        let (sets, seeds) = (parameters.mediation_sets, self.bench.seeds);
        let found: Vec<InCell> = jobs
            .par_iter()
            .map(|&(pair, cell)| {
                let of_pair = &pairs[pair];
                let (source, target) = (place(of_pair.source, cell), place(of_pair.target, cell));
                let patched = PatchedCell::new(read_out, &cells[cell], source, target)?;
                let stream = |what| {
                    let index = (pair as u64) << 32 | cell as u64;
                    seeds.stream(ANALYSIS, what, index)
                };
                let alone = |components: &[Component]| -> Result<Vec<f64>, scfm_ablation::Error> {
                    components.iter().map(|&c| patched.effect(&[c])).collect()
                };
                let in_cell = InCell {
                    total: patched.total(),
                    parts: alone(&parts)?,
                    blocks: alone(&blocks)?,
                    at_source: parts
                        .iter()
                        .map(|&c| patched.effect_at_source(c))
                        .collect::<Result<_, _>>()?,
                    shapley_of_parts: patched.shapley(&parts, sets, &mut stream("orders of parts"))?,
                    shapley_of_blocks: patched.shapley(&blocks, sets, &mut stream("orders of blocks"))?,
                };
                bar.set(1 + done.fetch_add(1, Ordering::Relaxed));
                Ok(in_cell)
            })
            .collect::<Result<_>>()?;
        bar.finish();

        let mut runs = Vec::new();
        let mut rest = found.as_slice();
        for (pair, cells) in pairs.iter().zip(&cells_of) {
            let (of_pair, others) = rest.split_at(cells.len());
            rest = others;
            let (source, target) = (genes.gene(pair.source), genes.gene(pair.target));
            let run = |granularity, components: &[Component], effects: Values, shapley: Option<Values>| {
                let of = |values| CellEffects {
                    total: of_pair.iter().map(|cell| cell.total).collect(),
                    components: transposed(of_pair, components.len(), values),
                };
                Run {
                    source: source.to_string(),
                    target: target.to_string(),
                    in_reference: pair.rank <= KNOWN,
                    responds: self.responds(source.as_str(), target.as_str()),
                    granularity,
                    components: components.to_vec(),
                    effects: of(effects),
                    shapley: shapley.map(of),
                }
            };
            runs.extend([
                run(PARTS, &parts, |c| &c.parts, Some(|c| &c.shapley_of_parts)),
                run(BLOCKS, &blocks, |c| &c.blocks, Some(|c| &c.shapley_of_blocks)),
                run(AT_SOURCE, &parts, |c| &c.at_source, None),
            ]);
        }
        let words = [
            ("scfm.read_out", read_out.unit().to_owned()),
            ("scfm.silenced", read_out.silencing().to_owned()),
        ];
        let words = words.map(|(key, value)| (key.to_owned(), value));
        Ok((runs, words.to_vec()))
    }
}

/// With fewer pairs of the reference for each that is asked for, others are looked at too.
const ENOUGH: usize = 40;

/// The last rank of pairs that the reference network holds.
const KNOWN: u8 = 2;

impl Mediation<'_> {
    /// Pairs of the reference whose target responds to the source's perturbation, then those with a perturbed source, then
    /// the rest of the reference; pairs that respond and are in no reference come last.
    fn candidates(&self, genes: &Panel, places: &[Vec<(usize, usize)>]) -> Vec<CandidatePair> {
        let column = |gene: &str| genes.position(gene).filter(|&column| !places[column].is_empty());
        let pair = |source: &str, target: &str, rank| {
            let (source, target) = (column(source)?, column(target)?);
            Some(CandidatePair {
                source,
                target,
                rank,
                cells: shared(&places[source], &places[target]),
            })
        };
        let edges = self.reference.iter().flat_map(ReferenceNetwork::edges);
        let mut candidates: Vec<CandidatePair> = edges
            .filter_map(|edge| {
                let (source, target) = (edge.source.as_str(), edge.target.as_str());
                let rank = match self.responds(source, target) {
                    Some(true) => 0,
                    Some(false) => 1,
                    None => KNOWN,
                };
                pair(source, target, rank)
            })
            .collect();
        // They may be many and are needed where the reference has too few.
        if candidates.len() < ENOUGH * self.bench.parameters().mediation_pairs {
            let responding = self.responses.positive();
            let known: std::collections::BTreeSet<(usize, usize)> =
                candidates.iter().map(|c| (c.source, c.target)).collect();
            let others = responding
                .indexed_iter()
                .filter(|(_, positive)| **positive)
                .filter_map(|((row, target), _)| {
                    let source = self.responses.perturbed().gene(row);
                    pair(
                        source.as_str(),
                        self.responses.targets().gene(target).as_str(),
                        KNOWN + 1,
                    )
                })
                .filter(|c| !known.contains(&(c.source, c.target)));
            candidates.extend(others.collect::<Vec<_>>());
        }
        candidates
    }

    /// Whether a target responds where the source was perturbed.
    fn responds(&self, source: &str, target: &str) -> Option<bool> {
        let row = self.responses.perturbed().position(source)?;
        let column = self.responses.targets().position(target)?;
        Some(self.responses.positive()[[row, column]])
    }
}

/// Cells in both lists, which ascend.
fn shared(a: &[(usize, usize)], b: &[(usize, usize)]) -> Vec<usize> {
    let in_b = |cell: usize| b.binary_search_by_key(&cell, |&(cell, _)| cell).is_ok();
    a.iter()
        .map(|&(cell, _)| cell)
        .filter(|&cell| in_b(cell))
        .collect()
}

fn transposed(cells: &[InCell], n: usize, values: fn(&InCell) -> &[f64]) -> Vec<Vec<f64>> {
    (0..n)
        .map(|component| cells.iter().map(|cell| values(cell)[component]).collect())
        .collect()
}

fn runs_table(runs: &[Run]) -> Result<Table> {
    let numbers = |of: &dyn Fn(&Run) -> f64| Column::numbers(runs.iter().map(of));
    let total = |run: &Run| OverCells::of(&run.effects.total);
    let residual =
        |run: &Run, value: fn(Residual) -> f64| run.effects.share_residual().map_or(f64::NAN, value);
    // As published: each cell's effects divided by its total effect, and their mean taken from the total effect itself.
    let published = |run: &Run| as_published(&run.effects).published_residual();
    Ok(Table::new(runs.len())
        .with("source", Column::text(runs.iter().map(|r| &r.source)))?
        .with("target", Column::text(runs.iter().map(|r| &r.target)))?
        .with("granularity", Column::text(runs.iter().map(|r| r.granularity)))?
        .with("in_reference", Column::flags(runs.iter().map(|r| r.in_reference)))?
        .with(
            "responds",
            Column::Bool(runs.iter().map(|r| r.responds).collect()),
        )?
        .with(
            "n_cells",
            Column::counts(runs.iter().map(|r| r.effects.total.len())),
        )?
        .with("total", numbers(&|r| total(r).mean))?
        .with("total_sd", numbers(&|r| total(r).std))?
        .with("residual", numbers(&|r| residual(r, |r| r.value)))?
        .with("residual_se", numbers(&|r| residual(r, |r| r.standard_error)))?
        .with("published_residual", numbers(&|r| published(r).value))?
        .with("published_residual_se", numbers(&|r| published(r).standard_error))?)
}

/// The run with the components as the published code has them: shares formed in each cell.
fn as_published(effects: &CellEffects) -> MediationRun {
    let shares = effects.components.iter().map(|of_cells| {
        let shares: Vec<f64> = of_cells
            .iter()
            .zip(&effects.total)
            .map(|(effect, total)| if *total == 0.0 { *effect } else { effect / total })
            .collect();
        OverCells::of(&shares)
    });
    MediationRun {
        total: OverCells::of(&effects.total),
        components: shares.collect(),
    }
}

/// A component of a run.
struct Row<'a> {
    run: &'a Run,
    component: Component,
    effect: OverCells,
    share: Option<OverCells>,
    published: OverCells,
    shapley: Option<OverCells>,
    shapley_share: Option<OverCells>,
}

fn rows(run: &Run) -> Vec<Row<'_>> {
    let shares = run.effects.shares().ok();
    let (effects, published) = (
        run.effects.summary().components,
        as_published(&run.effects).components,
    );
    let shapley = run.shapley.as_ref().map(|values| values.summary().components);
    let shapley_shares = run.shapley.as_ref().and_then(|values| values.shares().ok());
    let at = |values: &Option<Vec<OverCells>>, i: usize| values.as_ref().map(|values| values[i]);
    (0..run.components.len())
        .map(|i| Row {
            run,
            component: run.components[i],
            effect: effects[i],
            share: at(&shares, i),
            published: published[i],
            shapley: at(&shapley, i),
            shapley_share: at(&shapley_shares, i),
        })
        .collect()
}

fn components_table(runs: &[Run]) -> Result<Table> {
    let rows: Vec<Row<'_>> = runs.iter().flat_map(rows).collect();
    let text = |of: &dyn Fn(&Row<'_>) -> String| Column::text(rows.iter().map(of));
    let numbers = |of: &dyn Fn(&Row<'_>) -> f64| Column::numbers(rows.iter().map(of));
    let head = |row: &Row<'_>| match row.component {
        Component::Head(_, head) => Some(head.0 as u64),
        Component::Mlp(_) | Component::Attention(_) => None,
    };
    let of = |summary: Option<OverCells>, value: fn(OverCells) -> f64| summary.map_or(f64::NAN, value);
    Ok(Table::new(rows.len())
        .with("source", text(&|r| r.run.source.clone()))?
        .with("target", text(&|r| r.run.target.clone()))?
        .with("granularity", text(&|r| r.run.granularity.to_owned()))?
        .with("component", text(&|r| r.component.to_string()))?
        .with(
            "layer",
            Column::counts(rows.iter().map(|r| r.component.layer().0)),
        )?
        .with("head", Column::U64(rows.iter().map(head).collect()))?
        .with("n_cells", Column::counts(rows.iter().map(|r| r.effect.n)))?
        .with("effect", numbers(&|r| r.effect.mean))?
        .with("effect_sd", numbers(&|r| r.effect.std))?
        .with("share", numbers(&|r| of(r.share, |s| s.mean)))?
        .with("share_se", numbers(&|r| of(r.share, OverCells::standard_error)))?
        .with("published_share", numbers(&|r| r.published.mean))?
        .with("published_share_sd", numbers(&|r| r.published.std))?
        .with("shapley", numbers(&|r| of(r.shapley, |s| s.mean)))?
        .with("shapley_sd", numbers(&|r| of(r.shapley, |s| s.std)))?
        .with("shapley_share", numbers(&|r| of(r.shapley_share, |s| s.mean)))?
        .with(
            "shapley_share_se",
            numbers(&|r| of(r.shapley_share, OverCells::standard_error)),
        )?)
}
