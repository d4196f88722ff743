//! The model with parts of it silenced: attention of the scored layer, hidden genes, and how far the model moved.

use anyhow::{Context as _, Result};
use rand::seq::index;
use scfm_ablation::{Condition, ConditionParams, Conditions, Hidden, MaskedDesign, MaskedReadOut};
use scfm_attention::{Interventions, TokenisedCell};
use scfm_core::{Layer, Measure, ModelEdge, Panel};
use scfm_io::write_edges;
use scfm_stats::CrossedLimits;

use super::edges::{ABSENT, described};
use super::{ABLATION, Workbench};
use crate::ablation::{self, INTACT};
use crate::edge_source::EdgeSource;
use crate::evidence::{names, read_panel, read_responses};
use crate::model::{Cells, Reader};
use crate::run_folder::RunFolder;

/// Sums of altered edges take at most this share of the memory that a run may use.
const SHARE: u64 = 4;

impl Workbench<'_> {
    /// Everything that is read of the altered model.
    pub(super) fn ablation(&self, run: &RunFolder) -> Result<Vec<String>> {
        let EdgeSource::Model(model) = &self.source else {
            return Ok(Vec::new());
        };
        let panel = &read_panel(run)?;
        let mut reader = self.reader(model, panel)?;
        let rows = self.ablation_rows();
        let counts = self.read(&rows, &self.genes.map)?;
        let (cells, _) = self.cells_of(&mut reader, &counts, &rows)?;
        let plan = self.conditions(run, model.depth())?;
        let mut files = self.altered_edges(run, panel, &reader, &cells, &plan)?;
        let read = self.hidden_genes(run, panel, &reader, &cells, &plan)?;
        for (file, table) in [
            (
                names::CONDITIONS,
                ablation::conditions_table(&plan, Layer(self.layer))?,
            ),
            (names::HIDDEN_TARGETS, ablation::targets_table(&read, panel)?),
            (names::MASKED, ablation::masked_table(&read, &plan, panel)?),
            (names::FIDELITY, ablation::fidelity_table(&read, &plan)?),
        ] {
            self.write(run, file, &table)?;
            files.push(file.to_owned());
        }
        Ok(files)
    }

    /// The cells that are read again and again: some of those that edges come from.
    fn ablation_rows(&self) -> Vec<usize> {
        let all = &self.controls.edges;
        let n = self.parameters().ablation_cells.min(all.len());
        let mut stream = self.seeds.stream(ABLATION, "cells", 0);
        let mut rows: Vec<usize> = index::sample(&mut stream, all.len(), n)
            .iter()
            .map(|i| all[i])
            .collect();
        rows.sort_unstable();
        rows
    }

    fn conditions(&self, run: &RunFolder, shape: (usize, usize)) -> Result<Conditions> {
        let params = ConditionParams {
            shape,
            layer: Layer(self.layer),
            n_draws: self.parameters().ablation_draws,
        };
        Ok(Conditions::plan(
            &ablation::read_ranking(run)?,
            &params,
            self.seeds,
            ABLATION,
        )?)
    }

    /// The scored layer's attention, intact and under every condition that reaches it, from the evaluable perturbed genes.
    fn altered_edges(
        &self,
        run: &RunFolder,
        panel: &Panel,
        reader: &Reader,
        cells: &Cells,
        plan: &Conditions,
    ) -> Result<Vec<String>> {
        let folder = run.file(names::ALTERED_EDGES);
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("{}: cannot make the folder", folder.display()))?;
        let evaluable = self.evaluable(&read_responses(run, panel)?);
        let perturbed = evaluable.perturbed().genes().iter();
        let sources = Panel::new(perturbed.filter(|gene| panel.contains(gene.as_str())).cloned())?;
        let (sources, targets) = (self.genes.tokens_of(&sources)?, self.genes.tokens_of(panel)?);
        let layer = Layer(self.layer);
        let reaching = plan
            .all
            .iter()
            .filter(|condition| condition.edges && condition.reaching(layer).is_ok());
        let altered = reaching.map(|condition| (condition.name(), condition.interventions()));
        let mut named = vec![(INTACT.to_owned(), Interventions::none())];
        named.extend(altered);

        let bytes = 12 * (sources.panel().len() * targets.panel().len()).max(1) as u64;
        let at_once = (self.limits.memory_budget / SHARE / bytes).max(1) as usize;
        let metadata = self.edge_metadata(reader, cells.len());
        let edge = ModelEdge::of_layer(Measure::Attention, layer);
        let groups = named.chunks(at_once);
        let bar = self.progress.bar("altered edges", groups.len() * cells.len());
        let mut files = Vec::new();
        for (index, group) in groups.enumerate() {
            let done: Vec<Interventions> = group.iter().map(|(_, done)| done.clone()).collect();
            let panels = (&sources, &targets);
            let progress = |n| bar.set(index * cells.len() + n);
            let sums = reader.edges_under(cells, &done, layer, panels, self.orientation, progress)?;
            for ((name, _), sums) in group.iter().zip(sums) {
                let edges = sums.sums(edge).mean(&sums.divisors(ABSENT))?;
                let mut metadata = described(edges.kind(), &metadata);
                metadata.push(("scfm.condition".to_owned(), name.clone()));
                let file = names::altered_edges(name);
                write_edges(&run.file(&file), &edges, &metadata)?;
                files.push(file);
            }
        }
        bar.finish();
        Ok(files)
    }

    /// Hidden genes, the same ones for every condition: those that some perturbation moves.
    fn hidden_genes(
        &self,
        run: &RunFolder,
        panel: &Panel,
        reader: &Reader,
        cells: &Cells,
        plan: &Conditions,
    ) -> Result<MaskedReadOut> {
        let parameters = self.parameters();
        let responses = read_responses(run, panel)?;
        let halves = ablation::read_halves(run)?;
        let evaluable = (parameters.min_positives, parameters.min_negatives);
        let design = MaskedDesign::new(&responses, &halves, evaluable, CrossedLimits::default());
        let moved = design.wanted();
        let genes = self.genes.map.panel().genes().iter();
        let wanted: Vec<Option<usize>> = genes
            .map(|gene| panel.position(gene.as_str()).filter(|&target| moved[target]))
            .collect();
        let conditions: Vec<Interventions> = plan.all.iter().map(Condition::interventions).collect();
        let bar = self.progress.bar("hidden genes", cells.len());
        let seeds = self.seeds;
        let hidden = |cell: &TokenisedCell, share: f64| {
            let mut stream = seeds.stream(ABLATION, "hidden genes", cell.cell as u64);
            Hidden::draw(cell, &wanted, share, &mut stream)
        };
        let read = reader.masked_under(cells, &conditions, panel.len(), hidden, |done| bar.set(done))?;
        bar.finish();
        if let Some(reason) = &read.mute {
            self.progress.say(format!(
                "hidden genes: the model cannot be asked for them: {reason}"
            ));
        }
        Ok(read)
    }
}
