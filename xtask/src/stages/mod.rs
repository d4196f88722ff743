//! The stages of an evaluation: panel, attention, correlation, features, responses, and those that single analyses ask
//! the model by. Each writes files and returns nothing; [`crate::evidence`] reads them.

mod ablation;
mod edges;
mod grid;
mod heads;
mod hidden_genes;
mod knock_out;
pub mod mediation;
mod panel;
mod pseudo_screens;
mod responses;
pub mod scaling;
pub mod strata;
mod value_edges;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result};
use scfm_ablation::Conditions;
use scfm_core::{CountMatrix, GeneId, Orientation, Panel, Seeds, Table};
use scfm_io::{GeneMap, ReadLimits, write_table};
use scfm_perturb::{Assignments, ControlSplit, Strata, split_controls};

use crate::analyses;
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
const VERSION: u32 = 5;
/// The streams of what is drawn for ablations.
const ABLATION: &str = "ablation";

/// Writes the files of a stage and returns their paths inside the run folder.
type Compute = fn(&Workbench<'_>, &RunFolder) -> Result<Vec<String>>;

/// A step whose files are stored.
struct Stage {
    name: &'static str,
    /// The analyses that alone need it; it is for all where there are none.
    only_for: &'static [&'static str],
    compute: Compute,
}

impl Stage {
    const fn for_all(name: &'static str, compute: Compute) -> Self {
        Self::only_for(name, &[], compute)
    }

    const fn only_for(name: &'static str, only_for: &'static [&'static str], compute: Compute) -> Self {
        Self {
            name,
            only_for,
            compute,
        }
    }

    fn is_needed(&self, chosen: &[&str]) -> bool {
        self.only_for.is_empty() || self.only_for.iter().any(|id| chosen.contains(id))
    }
}

#[expect(
    clippy::redundant_closure_for_method_calls,
    reason = "a method of one lifetime of the workbench is no function of any"
)]
const STAGES: &[Stage] = &[
    Stage::for_all("panel", |bench, run| bench.choose_panel(run)),
    Stage::for_all("attention", |bench, run| bench.edges(run)),
    Stage::for_all("correlation", |bench, run| bench.correlation(run)),
    Stage::for_all("features", |bench, run| bench.features(run)),
    Stage::for_all("responses", |bench, run| bench.responses(run)),
    Stage::for_all("guide-nulls", |bench, run| bench.guide_nulls(run)),
    Stage::only_for("pseudo-screens", &["perturbation-first"], |bench, run| {
        bench.pseudo_screens(run)
    }),
    Stage::only_for("parameter-grid", &["parameter-sensitivity"], |bench, run| {
        bench.parameter_grid(run)
    }),
    Stage::only_for("value-edges", &["value-weighted"], |bench, run| {
        bench.value_edges(run)
    }),
    Stage::only_for("strata", &["cssi-attention", "scaling"], |bench, run| {
        bench.strata(run)
    }),
    Stage::only_for("stratified-edges", &["cssi-attention"], |bench, run| {
        bench.stratified_edges(run)
    }),
    Stage::only_for("scaling", &["scaling"], |bench, run| bench.samples(run)),
    Stage::only_for("heads", analyses::OF_HEADS, |bench, run| bench.heads(run)),
    Stage::only_for("head-ranking", analyses::OF_ABLATION, |bench, run| {
        bench.head_ranking(run)
    }),
    Stage::only_for("ablation", analyses::OF_ABLATION, |bench, run| {
        bench.ablation(run)
    }),
    Stage::only_for("mediation", &["mediation-bias"], |bench, run| {
        bench.mediation(run)
    }),
    Stage::only_for("knock-out", &["condition-specific"], |bench, run| {
        bench.knock_out(run)
    }),
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

    /// Computes every stage that the `chosen` analyses need and whose result `run` does not hold yet under `key`.
    pub fn compute(&self, run: &RunFolder, key: &str, chosen: &[&str]) -> Result<()> {
        for stage in STAGES.iter().filter(|stage| stage.is_needed(chosen)) {
            run.stage(stage.name, &stage_key(stage.name, key), || {
                (stage.compute)(self, run)
            })
            .with_context(|| format!("stage {}", stage.name))?;
        }
        Ok(())
    }

    /// Says what [`Workbench::compute`] would do and what it would cost, from the time that a few cells take.
    pub fn estimate(&self, run: &RunFolder, key: &str, chosen: &[&str]) -> Result<()> {
        let mut missing = Vec::new();
        for stage in STAGES.iter().filter(|stage| stage.is_needed(chosen)) {
            let done = run.is_done(stage.name, &stage_key(stage.name, key));
            println!(
                "  {:<12} {}",
                stage.name,
                if done { "stored" } else { "to be computed" }
            );
            missing.extend((!done).then_some(stage.name));
        }
        let EdgeSource::Model(model) = &self.source else {
            return Ok(());
        };
        let n_cells = self.controls.edges.len();
        let (n_layers, n_heads) = model.depth();
        let parameters = self.parameters();
        let n_altered = parameters.ablation_cells.min(n_cells);
        let (with_edges, hidden) = Conditions::at_most(n_layers * n_heads, parameters.ablation_draws);
        // What each stage reads, in cells that go through the whole model.
        let of_grid = parameters.grid_n_ctrl.iter().max().copied().unwrap_or(0);
        let of_grid = of_grid.min(self.assignments.controls().len());
        let (of_mediation, of_knock_out) = (self.mediation_cost(model), self.knock_out_cost());
        let passes = [
            ("attention", n_cells, format!("{n_cells} cells")),
            ("parameter-grid", of_grid, format!("{of_grid} cells")),
            ("value-edges", 2 * n_cells, format!("{n_cells} cells twice")),
            (
                "mediation",
                of_mediation,
                format!("the work of {of_mediation} cells"),
            ),
            (
                "knock-out",
                of_knock_out,
                format!("the work of {of_knock_out} cells"),
            ),
            (
                "heads",
                n_cells,
                format!(
                    "{n_cells} cells, or more where the sums of {} heads fit into memory in turns only",
                    n_layers * n_heads
                ),
            ),
            (
                "ablation",
                n_altered * (with_edges + hidden),
                format!(
                    "{n_altered} cells × ({with_edges} conditions for edges + {hidden} for hidden genes) at most"
                ),
            ),
        ];
        if !passes.iter().any(|(stage, ..)| missing.contains(stage)) {
            return Ok(());
        }
        let each = self.seconds_of_a_cell(model)?;
        let threads = rayon::current_num_threads();
        for (stage, n, words) in passes.iter().filter(|(stage, ..)| missing.contains(stage)) {
            println!(
                "{stage}: {words} at about {each:.3} s a cell on {threads} threads: about {:.0} s",
                each * *n as f64 / threads as f64
            );
        }
        Ok(())
    }

    /// How long one thread computes a cell, by a few of them.
    fn seconds_of_a_cell(&self, model: &Model) -> Result<f64> {
        // The panel is not chosen yet; another of its size costs as much.
        let known = self.genes.vocabulary();
        let n_genes = self.parameters().hvg.min(known.len());
        let mut reader = self.reader(model, &Panel::new(known.genes()[..n_genes].to_vec())?)?;
        let rows = &self.controls.edges;
        let sample: Vec<usize> = rows
            .iter()
            .step_by(rows.len().div_ceil(SAMPLE))
            .copied()
            .collect();
        let (cells, _) = reader.cells(&self.read(&sample, &self.genes.map)?, &sample)?;
        let start = Instant::now();
        reader.rehearse(&cells)?;
        Ok(start.elapsed().as_secs_f64() / cells.len().max(1) as f64)
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

fn stage_key(name: &str, run_key: &str) -> String {
    Key::new(name, VERSION).with("run", run_key).hex()
}

fn missing_gene(gene: &GeneId) -> anyhow::Error {
    anyhow::anyhow!("gene {gene} of the panel is not in the counts")
}
