//! Attention in samples of control cells: of growing size, and of more and more cell states.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use rand::seq::SliceRandom;
use scfm_core::{Column, EdgeKind, GeneId, Layer, Measure, ModelEdge, Panel, Table};
use scfm_grn::{Format, ReferenceNetwork};
use scfm_io::write_edges;

use super::Workbench;
use super::edges::{ABSENT, described};
use super::strata::StoredStrata;
use crate::edge_source::EdgeSource;
use crate::evidence::{names, read_panel};
use crate::reference_files::Role;
use crate::run_folder::RunFolder;

/// The streams of what is drawn for samples.
const ANALYSIS: &str = "scaling";
/// Cells of a state that a sample of few states needs at least.
const LEAST_CELLS: usize = 10;

/// What changes along the samples of a design.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Design {
    /// The number of cells, drawn at random.
    Nested,
    /// The number of cells, at the same shares of states.
    FixedComposition,
    /// The number of states, at the same number of cells.
    States,
}

impl Design {
    pub const ALL: [Self; 3] = [Self::Nested, Self::FixedComposition, Self::States];

    pub fn name(self) -> &'static str {
        match self {
            Self::Nested => "nested",
            Self::FixedComposition => "fixed-composition",
            Self::States => "states",
        }
    }
}

/// A sample of control cells.
struct Sample {
    design: Design,
    /// Cells or states, whichever the design changes.
    level: usize,
    draw: usize,
    rows: Vec<usize>,
    /// States that it holds; 0 where none are known.
    n_states: usize,
}

impl Workbench<'_> {
    /// Attention of the scored layer from the factors of the references to the panel in every sample, all in one pass.
    pub(super) fn samples(&self, run: &RunFolder) -> Result<Vec<String>> {
        let EdgeSource::Model(model) = &self.source else {
            return Ok(Vec::new());
        };
        let panel = &read_panel(run)?;
        let samples = self.draw_samples(&self.states_of_controls(run)?);
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, sample) in samples.iter().enumerate() {
            for &row in &sample.rows {
                groups.entry(row).or_default().push(at);
            }
        }
        let rows: Vec<usize> = groups.keys().copied().collect();
        let sources = self.factors(panel)?;
        let mut reader = self.reader(model, panel)?;
        let (cells, _) = self.cells_of(&mut reader, &self.read(&rows, &self.genes.map)?, &rows)?;
        let (from, to) = (self.genes.tokens_of(&sources)?, self.genes.tokens_of(panel)?);
        let edge = ModelEdge::of_layer(Measure::Attention, Layer(self.layer));
        let mut sums = samples
            .iter()
            .map(|_| reader.sums(&[edge], (&from, &to), self.orientation))
            .collect::<Result<Vec<_>>>()?;
        let bar = self.progress.bar("samples", cells.len());
        reader.add(
            &mut sums,
            &cells,
            |cell| groups[&rows[cell]].clone(),
            |done| bar.set(done),
        )?;
        bar.finish();

        let mut files = Vec::new();
        for (at, sums) in sums.iter().enumerate() {
            let edges = &sums.mean(ABSENT)?.edges[0];
            let metadata = self.edge_metadata(&reader, sums.cells_read());
            let file = names::sample(at);
            write_edges(
                &run.file(&file),
                edges,
                &described(EdgeKind::from(edge), &metadata),
            )?;
            files.push(file);
        }
        let count = |of: fn(&Sample) -> usize| Column::counts(samples.iter().map(of));
        let table = Table::new(samples.len())
            .with(
                "design",
                Column::text(samples.iter().map(|sample| sample.design.name())),
            )?
            .with("level", count(|sample| sample.level))?
            .with("draw", count(|sample| sample.draw))?
            .with("n_cells", count(|sample| sample.rows.len()))?
            .with("n_states", count(|sample| sample.n_states))?;
        self.write(run, names::SAMPLES, &table)?;
        files.push(names::SAMPLES.to_owned());
        Ok(files)
    }

    /// The state of control cells: the data's own labels, else the strata of the cells that edges come from.
    fn states_of_controls(&self, run: &RunFolder) -> Result<BTreeMap<usize, usize>> {
        let Some(column) = &self.inputs.context.dataset.state else {
            let stored = StoredStrata::read(run)?;
            let strata = stored
                .labellings
                .into_iter()
                .find(|labelling| labelling.every_layer);
            let labels = strata.map(|strata| strata.labels).unwrap_or_default();
            let known = stored.rows.into_iter().zip(labels);
            return Ok(known.filter_map(|(row, label)| Some((row, label?))).collect());
        };
        self.numbered_states(column, &self.assignments.controls())
    }

    fn draw_samples(&self, states: &BTreeMap<usize, usize>) -> Vec<Sample> {
        let parameters = self.parameters();
        let observed = |rows: &[usize]| {
            let found: BTreeSet<usize> = rows.iter().filter_map(|row| states.get(row).copied()).collect();
            found.len()
        };
        let mut samples = Vec::new();
        for draw in 0..parameters.scaling_draws {
            let rng = &mut self.seeds.stream(ANALYSIS, "order of cells", draw as u64);
            let mut order = self.assignments.controls();
            order.shuffle(rng);
            let mut of_state: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
            for row in &order {
                if let Some(&state) = states.get(row) {
                    of_state.entry(state).or_default().push(*row);
                }
            }
            let n_known: usize = of_state.values().map(Vec::len).sum();
            let mut push = |design, level, rows: Vec<usize>| {
                samples.push(Sample {
                    design,
                    level,
                    draw,
                    n_states: observed(&rows),
                    rows,
                });
            };
            for &n in parameters.scaling_cells.iter().filter(|&&n| n <= order.len()) {
                push(Design::Nested, n, order[..n].to_vec());
            }
            if of_state.len() < 2 {
                continue;
            }
            for &n in parameters.scaling_cells.iter().filter(|&&n| n <= n_known) {
                let share = |cells: &Vec<usize>| (cells.len() * n + n_known / 2) / n_known;
                let rows = of_state.values().flat_map(|cells| cells[..share(cells)].to_vec());
                push(Design::FixedComposition, n, rows.collect());
            }
            let mut shuffled: Vec<&Vec<usize>> = of_state.values().collect();
            shuffled.shuffle(rng);
            for n_states in 1..=shuffled.len() {
                let each = parameters.scaling_state_cells / n_states;
                let large: Vec<&&Vec<usize>> = shuffled.iter().filter(|cells| cells.len() >= each).collect();
                if each < LEAST_CELLS || large.len() < n_states {
                    continue;
                }
                let rows = large[..n_states].iter().flat_map(|cells| cells[..each].to_vec());
                push(Design::States, n_states, rows.collect());
            }
        }
        samples
    }

    /// The genes of the panel that are sources in a reference.
    fn factors(&self, panel: &Panel) -> Result<Panel> {
        let mut sources: BTreeSet<GeneId> = BTreeSet::new();
        for (role, format) in [(Role::Trrust, Format::Trrust), (Role::Dorothea, Format::EdgeList)] {
            if let Some(path) = self.inputs.references.get(&role) {
                let network = ReferenceNetwork::read(path, format)?;
                sources.extend(network.edges().iter().map(|edge| edge.source.clone()));
            }
        }
        let of_panel = panel.genes().iter().filter(|gene| sources.contains(*gene));
        Ok(Panel::new(of_panel.cloned())?)
    }
}
