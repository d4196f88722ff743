//! Attention of single heads, and which of them rank first.

use std::collections::BTreeSet;

use anyhow::Result;
use scfm_ablation::{HALVES, Halves, HeadId, HeadScore, RankingTask};
use scfm_core::{Column, GeneId, ModelEdge, Panel, Responses, Table};
use scfm_grn::{CandidateUniverse, Format, GeneNames, ReferenceNetwork};

use super::edges::ABSENT;
use super::{ABLATION, Workbench};
use crate::edge_source::EdgeSource;
use crate::evidence::{names, read_head, read_panel, read_responses};
use crate::reference_files::Role;
use crate::run_folder::RunFolder;

/// Sums of heads that stand in memory at once, unless less is allowed: a number that is the same on every machine, since
/// the last bits of edges depend on which others are computed beside them.
const SUMS_AT_ONCE: u64 = 1 << 30;

/// Edges take at most this share of the memory that a run may use.
const SHARE: u64 = 4;

impl Workbench<'_> {
    /// Attention of every head from the sources of the reference and the perturbed genes to the panel, over the cells of the
    /// other edges. Layers come in groups whose sums fit into memory.
    pub(super) fn heads(&self, run: &RunFolder) -> Result<Vec<String>> {
        let EdgeSource::Model(model) = &self.source else {
            return Ok(Vec::new());
        };
        let panel = &read_panel(run)?;
        let sources = self.sources(run, panel)?;
        let mut reader = self.reader(model, panel)?;
        let (cells, _) = self.model_cells(&mut reader)?;
        let (sources, targets) = (self.genes.tokens_of(&sources)?, self.genes.tokens_of(panel)?);
        let (n_layers, n_heads) = model.depth();
        let pairs = (sources.panel().len() * targets.panel().len()) as u64;
        let bytes_of_layer = 8 * pairs.max(1) * n_heads as u64;
        let memory = SUMS_AT_ONCE.min(self.limits.memory_budget / SHARE);
        let layers_at_once = ((memory / bytes_of_layer) as usize).clamp(1, n_layers);

        let all: Vec<HeadId> = HeadId::all((n_layers, n_heads)).collect();
        let groups = all.chunks(layers_at_once * n_heads);
        let bar = self.progress.bar("heads", groups.len() * cells.len());
        let mut files = Vec::new();
        for (group, heads) in groups.enumerate() {
            let edges: Vec<ModelEdge> = heads.iter().map(|head| head.attention()).collect();
            let mut sums = [reader.sums(&edges, (&sources, &targets), self.orientation)?];
            reader.add(
                &mut sums,
                &cells,
                |_| Some(0),
                |done| bar.set(group * cells.len() + done),
            )?;
            let [sums] = sums;
            let divisors = sums.divisors(ABSENT);
            let metadata = self.edge_metadata(&reader, sums.cells_read());
            for edge in edges {
                files.push(self.write_edges(run, &sums.sums(edge).mean(&divisors)?, &metadata)?);
            }
        }
        bar.finish();
        Ok(files)
    }

    /// Halves of sources and targets, and how well each head does on either.
    pub(super) fn head_ranking(&self, run: &RunFolder) -> Result<Vec<String>> {
        let EdgeSource::Model(model) = &self.source else {
            return Ok(Vec::new());
        };
        let panel = &read_panel(run)?;
        let responses = &read_responses(run, panel)?;
        let evaluable = self.evaluable(responses);
        let halves = &Halves::draw(
            evaluable.perturbed(),
            &self.sources(run, panel)?,
            panel,
            self.seeds,
            ABLATION,
        );
        let universe = match self.reference()? {
            Some(reference) => {
                // A reference without a gene of the panel ranks nothing.
                CandidateUniverse::new(&reference, panel, panel, GeneNames::default()).ok()
            }
            None => None,
        };
        let parameters = self.parameters();
        let task = RankingTask {
            reference: universe.as_ref(),
            responses,
            halves,
            evaluable: (parameters.min_positives, parameters.min_negatives),
        };
        let mut scores: Vec<HeadScore> = Vec::new();
        for head in HeadId::all(model.depth()) {
            scores.push(task.score(head, &read_head(run, head)?)?);
        }
        self.write(run, names::HEAD_RANKING, &ranking_table(&scores)?)?;
        self.write(run, names::HALVES, &halves_table(halves)?)?;
        Ok([names::HEAD_RANKING, names::HALVES].map(str::to_owned).to_vec())
    }

    /// The genes of the panel whose attention heads are ranked by: sources of the reference and perturbed genes.
    pub(super) fn sources(&self, run: &RunFolder, panel: &Panel) -> Result<Panel> {
        let mut wanted: BTreeSet<GeneId> = read_responses(run, panel)?
            .perturbed()
            .genes()
            .iter()
            .cloned()
            .collect();
        if let Some(reference) = self.reference()? {
            wanted.extend(reference.edges().iter().map(|edge| edge.source.clone()));
        }
        let of_panel = panel.genes().iter().filter(|gene| wanted.contains(*gene));
        Ok(Panel::new(of_panel.cloned())?)
    }

    /// The reference network that heads are ranked by, if there is one.
    pub(super) fn reference(&self) -> Result<Option<ReferenceNetwork>> {
        let file = self.inputs.references.get(&Role::Trrust);
        Ok(file
            .map(|path| ReferenceNetwork::read(path, Format::Trrust))
            .transpose()?)
    }

    /// Perturbations with enough targets of both kinds.
    pub(super) fn evaluable(&self, responses: &Responses) -> Responses {
        let parameters = self.parameters();
        responses.select(&responses.evaluable(parameters.min_positives, parameters.min_negatives))
    }
}

fn ranking_table(scores: &[HeadScore]) -> Result<Table> {
    let rows: Vec<(usize, &HeadScore)> = HALVES
        .into_iter()
        .flat_map(|half| scores.iter().map(move |score| (half, score)))
        .collect();
    let numbers = |of: fn(usize, &HeadScore) -> Option<f64>| {
        Column::F64(rows.iter().map(|&(half, score)| of(half, score)).collect())
    };
    Ok(Table::new(rows.len())
        .with("half", Column::counts(rows.iter().map(|(half, _)| *half)))?
        .with("head", Column::text(rows.iter().map(|(_, score)| score.head)))?
        .with("auroc", numbers(|_, score| score.auroc))?
        .with("entropy", numbers(|_, score| score.entropy))?
        .with(
            "reference_auroc",
            numbers(|half, score| score.halves[half].reference),
        )?
        .with(
            "perturbation_auroc",
            numbers(|half, score| score.halves[half].perturbation),
        )?
        .with(
            "held_out_auroc",
            numbers(|half, score| score.halves[half].held_out),
        )?)
}

fn halves_table(halves: &Halves) -> Result<Table> {
    let sources = halves.sources().map(|(gene, half)| ("source", gene, half));
    let targets = halves.targets().map(|(gene, half)| ("target", gene, half));
    let rows: Vec<_> = sources.chain(targets).collect();
    Ok(Table::new(rows.len())
        .with("role", Column::text(rows.iter().map(|(role, ..)| role)))?
        .with("gene", Column::text(rows.iter().map(|(_, gene, _)| gene)))?
        .with("half", Column::counts(rows.iter().map(|(.., half)| *half)))?)
}
