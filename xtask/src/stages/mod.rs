//! The stages of an evaluation: panel, attention, correlation, features, responses, and those that single analyses ask
//! the model by. Each writes files and returns nothing; [`crate::evidence`] reads them.

mod edges;
mod hidden_genes;
mod knock_out;
pub mod mediation;
mod panel;
mod responses;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result};
use scfm_core::{CountMatrix, GeneId, Orientation, Panel, Seeds, Table};
use scfm_io::{GeneMap, ReadLimits, write_table};
use scfm_perturb::{Assignments, ControlSplit, Strata, split_controls};

use crate::context::{Parameters, default_layer};
use crate::edge_source::EdgeSource;
use crate::failure::bad_input;
use crate::inputs::Inputs;
use crate::model::{Model, Reader};
use crate::progress::Progress;
use crate::record::{InputFile, input_files};
use crate::run_folder::{Key, RunFolder};
use crate::screen::{Genes, ScreenFile, nameable};

/// Versions of the stages' code; raised when a stage's result changes.
const VERSION: u32 = 2;
/// A stage: its name, and the code that writes its files and returns their paths inside the run folder.
type Stage = (
    &'static str,
    fn(&Workbench<'_>, &RunFolder) -> Result<Vec<String>>,
);
const STAGES: &[Stage] = &[
    ("panel", |bench, run| bench.choose_panel(run)),
    ("attention", |bench, run| bench.edges(run)),
    ("correlation", |bench, run| bench.correlation(run)),
    ("features", |bench, run| bench.features(run)),
    ("responses", |bench, run| bench.responses(run)),
    ("guide-nulls", |bench, run| bench.guide_nulls(run)),
    ("mediation", |bench, run| bench.mediation(run)),
    ("knock-out", |bench, run| bench.knock_out(run)),
];
/// Stages that one analysis alone reads, and that are computed where it is asked for.
const OF_ONE_ANALYSIS: &[(&str, &str)] = &[
    ("mediation", "mediation-bias"),
    ("knock-out", "condition-specific"),
];
/// Cells that are timed for an estimate.
const SAMPLE: usize = 4;

/// Everything that stages read from: the open screen, the model, and which cells serve for what.
pub struct Workbench<'a> {
    pub inputs: &'a Inputs,
    pub seeds: Seeds,
    pub orientation: Orientation,
    pub limits: ReadLimits,
    pub progress: Progress,
    pub screen: ScreenFile,
    /// Where the edges come from that are judged.
    pub source: EdgeSource,
    pub genes: Genes,
    pub assignments: Assignments,
    /// Batches or replicates, where the context names them.
    pub strata: Option<Strata>,
    /// The guide of each cell, where the screen names them.
    pub guides: Option<Vec<Option<String>>>,
    /// Which columns were taken for what.
    pub columns: Vec<String>,
    pub controls: ControlSplit,
    /// Control cells of the baseline configuration.
    pub baseline_controls: ControlSplit,
    /// The pre-specified layer.
    pub layer: usize,
    /// Hashes of the files that are read, by role.
    pub files: BTreeMap<String, InputFile>,
    /// Counts of the edge cells over all genes, read when first needed.
    edge_cells: OnceCell<CountMatrix>,
}

impl<'a> Workbench<'a> {
    /// Opens the inputs and decides which cells serve for what.
    pub fn open(
        inputs: &'a Inputs,
        seeds: Seeds,
        orientation: Orientation,
        limits: ReadLimits,
        progress: Progress,
    ) -> Result<Self> {
        let context = &inputs.context;
        let source = EdgeSource::open(&inputs.edges, &limits)?;
        let known = source.known_genes()?;
        let (n_layers, _) = source.depth();
        let layer = context.model.layer.unwrap_or_else(|| default_layer(n_layers));
        if layer >= n_layers {
            return Err(bad_input(format!(
                "layer {layer}: {} has layers 0 to {}",
                context.model.name,
                n_layers - 1
            )));
        }
        let screen = ScreenFile::open(&inputs.data, context.dataset.counts.as_deref(), &limits)?;
        let genes = screen.genes(&context.dataset, &known)?;
        let (assignments, column) = screen.perturbations(&context.dataset, &nameable(&genes, &known))?;
        let strata = screen.strata(&context.dataset)?;
        let guides = screen.guides(&context.dataset, &column.column, &assignments)?;
        let mut columns = vec![
            format!("counts in {}", screen.counts),
            genes.source.clone(),
            format!(
                "perturbations in obs column {:?} ({})",
                column.column, column.reason
            ),
        ];
        if let EdgeSource::Model(model) = &source {
            // Made and dropped, so that an option that does not fit the model is known before anything is computed.
            let reader = model.reader(genes.tokens.clone(), &context.model.scgpt, seeds, None)?;
            columns.extend(reader.cells_in_words().map(|words| format!("cells: {words}")));
        }
        if let Some(strata) = &strata {
            columns.push(format!("strata: {}", strata.names().join(", ")));
        }
        let split = |n_ctrl| {
            split_controls(
                &assignments.controls(),
                n_ctrl,
                &mut seeds.stream("screen", "control cells", 0),
            )
        };
        let controls = split(context.parameters.n_ctrl)?;
        let baseline_controls = split(context.parameters.baseline_n_ctrl.min(context.parameters.n_ctrl))?;
        let files = input_files(inputs, &source)?;
        Ok(Self {
            inputs,
            seeds,
            orientation,
            limits,
            progress,
            screen,
            source,
            genes,
            assignments,
            strata,
            guides,
            columns,
            controls,
            baseline_controls,
            layer,
            files,
            edge_cells: OnceCell::new(),
        })
    }

    /// Whether the cells, the checkpoint or the edges were simulated.
    pub fn simulated(&self) -> bool {
        self.screen.simulated
            || self.inputs.checkpoint.is_some()
            || self.source.list().is_some_and(|listed| listed.simulated)
    }

    fn parameters(&self) -> &Parameters {
        &self.inputs.context.parameters
    }

    fn edge_cells(&self) -> Result<&CountMatrix> {
        if let Some(counts) = self.edge_cells.get() {
            return Ok(counts);
        }
        let counts = self.read(&self.controls.edges, &self.genes.map)?;
        Ok(self.edge_cells.get_or_init(|| counts))
    }

    pub fn read(&self, rows: &[usize], genes: &GeneMap) -> Result<CountMatrix> {
        Ok(self.screen.h5ad.cells(&self.screen.counts, rows, genes)?)
    }

    /// Perturbations with enough cells to be tested.
    fn testable(&self) -> Vec<(GeneId, Vec<usize>)> {
        let singles = self.assignments.singles();
        singles
            .into_iter()
            .filter(|(_, rows)| rows.len() >= self.parameters().min_cells)
            .collect()
    }

    /// Computes every stage that the analyses `chosen` need and whose result `run` does not hold yet under `key`.
    pub fn compute(&self, run: &RunFolder, key: &str, chosen: &[&str]) -> Result<()> {
        for (name, compute) in STAGES.iter().filter(|(name, _)| is_needed(name, chosen)) {
            run.stage(name, &stage_key(name, key), || compute(self, run))
                .with_context(|| format!("stage {name}"))?;
        }
        Ok(())
    }

    /// Says what [`Workbench::compute`] would do and what it would cost, from the time that a few cells take.
    pub fn estimate(&self, run: &RunFolder, key: &str, chosen: &[&str]) -> Result<()> {
        for (name, _) in STAGES.iter().filter(|(name, _)| is_needed(name, chosen)) {
            let done = run.is_done(name, &stage_key(name, key));
            println!("  {name:<12} {}", if done { "stored" } else { "to be computed" });
        }
        let EdgeSource::Model(model) = &self.source else {
            return Ok(());
        };
        let rows = &self.controls.edges;
        let mut due = vec![
            ("attention", rows.len()),
            ("mediation", self.mediation_cost(model)),
            ("knock-out", self.knock_out_cost()),
        ];
        due.retain(|(stage, _)| is_needed(stage, chosen) && !run.is_done(stage, &stage_key(stage, key)));
        if due.is_empty() {
            return Ok(());
        }
        // The panel is not chosen yet; another of its size costs as much.
        let known = self.genes.vocabulary();
        let n_genes = self.parameters().hvg.min(known.len());
        let mut reader = self.reader(model, &Panel::new(known.genes()[..n_genes].to_vec())?)?;
        let sample: Vec<usize> = rows
            .iter()
            .step_by(rows.len().div_ceil(SAMPLE))
            .copied()
            .collect();
        let (cells, _) = reader.cells(&self.read(&sample, &self.genes.map)?, &sample)?;
        let start = Instant::now();
        reader.rehearse(&cells)?;
        let each = start.elapsed().as_secs_f64() / cells.len().max(1) as f64;
        let threads = rayon::current_num_threads();
        for (stage, n_cells) in due {
            println!(
                "{stage}: {n_cells} cells at about {each:.3} s a cell on {threads} threads: about {:.0} s",
                each * n_cells as f64 / threads as f64
            );
        }
        Ok(())
    }

    fn reader(&self, model: &Model, panel: &Panel) -> Result<Reader> {
        let options = &self.inputs.context.model.scgpt;
        model.reader(self.genes.tokens.clone(), options, self.seeds, Some(panel))
    }

    pub fn write(&self, run: &RunFolder, file: &str, table: &Table) -> Result<()> {
        Ok(write_table(&run.file(file), table, &[self.simulated_metadata()])?)
    }

    fn simulated_metadata(&self) -> (String, String) {
        ("scfm.simulated".to_owned(), self.simulated().to_string())
    }

    fn cell_metadata(&self, n_cells: usize) -> Vec<(String, String)> {
        let mut metadata = [
            ("scfm.context", self.inputs.context.name.clone()),
            ("scfm.simulated", self.simulated().to_string()),
            ("scfm.cells", n_cells.to_string()),
            ("scfm.seed", self.seeds.root().to_string()),
            ("scfm.version", env!("CARGO_PKG_VERSION").to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .to_vec();
        metadata.extend(
            self.files
                .iter()
                .map(|(role, file)| (format!("scfm.sha256.{role}"), file.sha256.clone())),
        );
        metadata
    }
}

fn is_needed(stage: &str, chosen: &[&str]) -> bool {
    let of_one = OF_ONE_ANALYSIS.iter().find(|(name, _)| *name == stage);
    of_one.is_none_or(|(_, analysis)| chosen.contains(analysis))
}

fn stage_key(name: &str, run_key: &str) -> String {
    Key::new(name, VERSION).with("run", run_key).hex()
}

fn missing_gene(gene: &GeneId) -> anyhow::Error {
    anyhow::anyhow!("gene {gene} of the panel is not in the counts")
}
