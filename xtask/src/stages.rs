//! The stages of an evaluation: panel, attention, correlation, features, responses. Each writes files and returns
//! nothing; [`crate::evidence`] reads them.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result};
use scfm_attention::geneformer::{Checkpoint, Geneformer, Tokenizer, Vocabulary};
use scfm_attention::{AbsentPairs, AttentionSums};
use scfm_baselines::{gene_features, spearman_edges};
use scfm_core::{Column, CountMatrix, EdgeMatrix, GeneId, Orientation, Panel, Seeds, Table};
use scfm_io::{GeneMap, ReadLimits, write_edges, write_pair_counts, write_table, write_table_pieces};
use scfm_perturb::{
    Assignments, ControlSplit, DeParams, DeTable, DeTest, Direction, Screen, Strata, highly_variable,
    split_controls,
};

use crate::context::{Parameters, default_layer};
use crate::edge_source::{EdgeSource, ListedEdges, codetection};
use crate::evidence::{names, read_panel};
use crate::failure::bad_input;
use crate::inputs::Inputs;
use crate::progress::Progress;
use crate::quality;
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
];
/// Cells that are timed for an estimate.
const SAMPLE: usize = 4;
/// Cells of a batch of perturbations hold at most this share of the memory that reading may take.
const BATCH_SHARE: u64 = 4;
/// Rows of a long table that stand in memory at once.
const PIECE: usize = 1 << 17;

/// Everything that stages read from: the open screen, the model, and which cells serve for what.
pub struct Workbench<'a> {
    pub inputs: &'a Inputs,
    pub seeds: Seeds,
    pub orientation: Orientation,
    pub limits: ReadLimits,
    pub progress: Progress,
    pub screen: ScreenFile,
    pub vocabulary: Vocabulary,
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
        let source = EdgeSource::open(&inputs.edges)?;
        let vocabulary = source.vocabulary()?;
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
        let genes = screen.genes(&context.dataset, &vocabulary)?;
        let (assignments, column) = screen.perturbations(&context.dataset, &nameable(&genes, &vocabulary))?;
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
            vocabulary,
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

    /// Whether the cells or the edges were simulated.
    pub fn simulated(&self) -> bool {
        self.screen.simulated || self.source.list().is_some_and(|listed| listed.simulated)
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

    /// Computes every stage whose result `run` does not hold yet under `key`.
    pub fn compute(&self, run: &RunFolder, key: &str) -> Result<()> {
        for (name, compute) in STAGES {
            run.stage(name, &stage_key(name, key), || compute(self, run))
                .with_context(|| format!("stage {name}"))?;
        }
        Ok(())
    }

    /// Says what [`Workbench::compute`] would do and what it would cost, from the time that a few cells take.
    pub fn estimate(&self, run: &RunFolder, key: &str) -> Result<()> {
        for (name, _) in STAGES {
            let done = run.is_done(name, &stage_key(name, key));
            println!("  {name:<12} {}", if done { "stored" } else { "to be computed" });
        }
        let EdgeSource::Model(checkpoint) = &self.source else {
            return Ok(());
        };
        if run.is_done("attention", &stage_key("attention", key)) {
            return Ok(());
        }
        let model = Geneformer::new(checkpoint)?;
        let rows = &self.controls.edges;
        let sample: Vec<usize> = rows
            .iter()
            .step_by(rows.len().div_ceil(SAMPLE))
            .copied()
            .collect();
        let (cells, _) = self
            .tokenizer(checkpoint)
            .cells(&self.read(&sample, &self.genes.map)?)?;
        let start = Instant::now();
        for cell in &cells {
            model.hidden_states(&cell.tokens)?;
        }
        let each = start.elapsed().as_secs_f64() / cells.len().max(1) as f64;
        let threads = rayon::current_num_threads();
        println!(
            "attention: {} cells at about {each:.3} s a cell on {threads} threads: about {:.0} s",
            rows.len(),
            each * rows.len() as f64 / threads as f64
        );
        Ok(())
    }

    fn tokenizer(&self, checkpoint: &Checkpoint) -> Tokenizer {
        let max_length = checkpoint.config().max_position_embeddings;
        Tokenizer::new(&self.vocabulary, self.genes.tokens.clone(), max_length)
    }

    /// Chooses the genes that edges are scored over, and notes which control cells serve for what.
    fn choose_panel(&self, run: &RunFolder) -> Result<Vec<String>> {
        self.progress
            .say(format!("reading {} control cells", self.controls.edges.len()));
        let perturbed: Vec<GeneId> = match self.parameters().force_perturbed {
            true => self.testable().into_iter().map(|(gene, _)| gene).collect(),
            false => Vec::new(),
        };
        let chosen = highly_variable(
            self.edge_cells()?,
            &self.genes.vocabulary(),
            self.parameters().hvg,
            &perturbed,
        )?;
        let genes = self.genes.map.panel();
        let table = Table::new(genes.len())
            .with("gene", Column::text(genes.genes()))?
            .with("ensembl_id", Column::Text(self.genes.ensembl.clone()))?
            .with(
                "token",
                Column::U64(
                    self.genes
                        .tokens
                        .tokens()
                        .iter()
                        .map(|t| t.map(u64::from))
                        .collect(),
                ),
            )?
            .with(
                "in_panel",
                Column::flags(
                    genes
                        .genes()
                        .iter()
                        .map(|gene| chosen.panel.contains(gene.as_str())),
                ),
            )?;
        let mut ledger = self.genes.ledger.clone();
        ledger.extend(self.assignments.ledger());
        ledger.extend(chosen.ledger);
        self.write(run, names::GENES, &table)?;
        self.write(run, names::CONTROLS, &self.controls_table()?)?;
        self.write(run, names::GENE_LEDGER, &ledger.to_table())?;
        Ok([names::GENES, names::CONTROLS, names::GENE_LEDGER]
            .map(str::to_owned)
            .to_vec())
    }

    fn controls_table(&self) -> Result<Table> {
        let controls = self.assignments.controls();
        let flag = |rows: &[usize]| Column::flags(controls.iter().map(|row| rows.binary_search(row).is_ok()));
        Ok(Table::new(controls.len())
            .with("row", Column::counts(controls.iter().copied()))?
            .with("edges", flag(&self.controls.edges))?
            .with(
                "differential_expression",
                flag(&self.controls.differential_expression),
            )?)
    }

    /// The edges that are judged: attention, or those of a list.
    fn edges(&self, run: &RunFolder) -> Result<Vec<String>> {
        match &self.source {
            EdgeSource::Model(checkpoint) => self.attention(run, checkpoint),
            EdgeSource::List(listed) => self.listed(run, listed),
        }
    }

    /// The list over the panel. What scores of pairs must beat to be more than coverage is here in how many control
    /// cells both genes were detected.
    fn listed(&self, run: &RunFolder, listed: &ListedEdges) -> Result<Vec<String>> {
        let panel = &read_panel(run)?;
        let (edges, ledger) = listed.over(panel)?;
        let metadata = self.cell_metadata(self.controls.edges.len());
        let file = self.write_edges(run, &edges, &metadata)?;
        let cells = self
            .edge_cells()?
            .select_genes(panel)
            .map_err(|gene| missing_gene(&gene))?;
        let counts = codetection(&cells);
        write_pair_counts(&run.file(names::N_CELLS), panel, panel, &counts, &metadata)?;
        self.write(run, names::TOKEN_LEDGER, &ledger.to_table())?;
        Ok(vec![
            file,
            names::N_CELLS.to_owned(),
            names::TOKEN_LEDGER.to_owned(),
        ])
    }

    /// Attention edges of every layer over the panel, those of the baseline configuration's cells at the scored layer,
    /// and in how many cells each pair was seen.
    fn attention(&self, run: &RunFolder, checkpoint: &Checkpoint) -> Result<Vec<String>> {
        let panel = &read_panel(run)?;
        let model = Geneformer::new(checkpoint)?;
        let (cells, mut ledger) = self.tokenizer(checkpoint).cells(self.edge_cells()?)?;
        let tokens = self.genes.tokens_of(panel)?;
        let bar = self.progress.bar("attention", cells.len());
        let (baseline, others): (Vec<_>, Vec<_>) = cells.iter().partition(|cell| {
            self.baseline_controls
                .edges
                .binary_search(&self.controls.edges[cell.cell])
                .is_ok()
        });
        let mut sums = AttentionSums::new(&model, tokens.clone(), tokens, self.orientation);
        sums.add(&model, baseline.iter().copied(), |done| bar.set(done))?;
        let mut of_baseline = sums.mean(AbsentPairs::Missing);
        sums.add(&model, others, |done| bar.set(done))?;
        let extraction = sums.mean(AbsentPairs::Missing);
        bar.finish();
        ledger.kept("cells read by the model", extraction.cells_read as u64);

        let metadata = self.edge_metadata(checkpoint, extraction.cells_read);
        let mut files = Vec::new();
        for edges in &extraction.layers {
            files.push(self.write_edges(run, edges, &metadata)?);
        }
        let edges = of_baseline.layers.swap_remove(self.layer);
        let metadata = self.edge_metadata(checkpoint, of_baseline.cells_read);
        write_edges(&run.file(names::BASELINE_ATTENTION), &edges, &metadata)?;
        write_pair_counts(
            &run.file(names::N_CELLS),
            panel,
            panel,
            &extraction.n_cells,
            &metadata,
        )?;
        self.write(run, names::TOKEN_LEDGER, &ledger.to_table())?;
        files.extend([names::BASELINE_ATTENTION, names::N_CELLS, names::TOKEN_LEDGER].map(str::to_owned));
        Ok(files)
    }

    fn correlation(&self, run: &RunFolder) -> Result<Vec<String>> {
        let panel = &read_panel(run)?;
        self.progress.say(format!("correlating {} genes", panel.len()));
        let edges = spearman_edges(self.edge_cells()?, panel, panel)?;
        Ok(vec![self.write_edges(
            run,
            &edges,
            &self.cell_metadata(self.controls.edges.len()),
        )?])
    }

    fn features(&self, run: &RunFolder) -> Result<Vec<String>> {
        let panel = &read_panel(run)?;
        let counts = self
            .edge_cells()?
            .select_genes(panel)
            .map_err(|gene| missing_gene(&gene))?;
        self.write(run, names::FEATURES, &gene_features(&counts)?.to_table()?)?;
        Ok(vec![names::FEATURES.to_owned()])
    }

    /// Differential expression of every perturbation, by the main and by the baseline configuration.
    fn responses(&self, run: &RunFolder) -> Result<Vec<String>> {
        let panel = &read_panel(run)?;
        let parameters = self.parameters();
        let [main, baseline] = self.de_params();
        let main =
            self.differential_expression(panel, &self.controls.differential_expression, main, "Welch t")?;
        if let Some(column) = &self.inputs.context.dataset.stratum
            && self.strata.is_some()
            && main.perturbed().is_empty()
            && !self.testable().is_empty()
        {
            return Err(bad_input(format!(
                "{}: no perturbation has {} cells in strata of obs column {column:?} that also have control cells; \
                 is it a batch or replicate?",
                self.screen.path.display(),
                parameters.min_cells
            )));
        }
        let baseline = self.differential_expression(
            panel,
            &self.baseline_controls.differential_expression,
            baseline,
            "Mann-Whitney",
        )?;
        let direction = self.inputs.context.direction();
        let checked = main.knockdown_check(direction);
        let weak = main.weak_knockdowns(direction, parameters.min_knockdown);
        let reason = format!(
            "own gene {} by less than {} %",
            match direction {
                Direction::Up => "rose",
                Direction::Down => "fell",
            },
            100.0 * parameters.min_knockdown
        );
        let (main, baseline) = if parameters.min_knockdown > 0.0 {
            (
                main.without(&weak, reason.clone()),
                baseline.without(&weak, reason),
            )
        } else {
            (main, baseline)
        };
        for (name, table) in [(names::DE, &main), (names::BASELINE_DE, &baseline)] {
            let (n, few) = (table.perturbed().len(), (PIECE / panel.len().max(1)).max(1));
            // The first piece is written even where there is nothing, for its columns.
            let pieces = (0..n.max(1))
                .step_by(few)
                .map(|start| table.to_table(start..n.min(start + few)));
            write_table_pieces(&run.file(name), pieces, &[self.simulated_metadata()])?;
        }
        self.write(run, names::PERTURBATIONS, &main.perturbation_table())?;
        let mut ledger = main.ledger().clone();
        quality::note_knockdowns(&mut ledger, checked, direction, parameters.de_alpha);
        self.write(run, names::DE_LEDGER, &ledger.to_table())?;
        Ok([
            names::DE,
            names::BASELINE_DE,
            names::PERTURBATIONS,
            names::DE_LEDGER,
        ]
        .map(str::to_owned)
        .to_vec())
    }

    /// The main configuration and the baseline.
    pub fn de_params(&self) -> [DeParams; 2] {
        let parameters = self.parameters();
        let main = DeParams {
            test: DeTest::Welch,
            min_lfc: parameters.lfc,
            alpha: parameters.de_alpha,
            min_cells: parameters.min_cells,
        };
        let baseline = DeParams {
            test: DeTest::MannWhitney,
            min_lfc: parameters.baseline_lfc,
            ..main
        };
        [main, baseline]
    }

    fn differential_expression(
        &self,
        panel: &Panel,
        controls: &[usize],
        params: DeParams,
        what: &'static str,
    ) -> Result<DeTable> {
        let genes = self.genes.map.onto(panel);
        let of_controls = self.read(controls, &genes)?;
        let mut screen = match &self.strata {
            Some(strata) => Screen::stratified(&of_controls, &strata.of_rows(controls), params)?,
            None => Screen::new(&of_controls, params)?,
        };
        let perturbations: Vec<(GeneId, Vec<usize>)> = self.assignments.singles().into_iter().collect();
        let bar = self.progress.bar(what, perturbations.len());
        for batch in batches(&perturbations, self.batch_cells(panel)) {
            let mut rows: Vec<usize> = batch.iter().flat_map(|(_, rows)| rows).copied().collect();
            rows.sort_unstable();
            let counts = self.read(&rows, &genes)?;
            let place = |row: &usize| rows.binary_search(row).expect("a row of the batch");
            let of = |rows: &[usize]| counts.select_cells(&rows.iter().map(place).collect::<Vec<_>>());
            let batch_genes = batch.iter();
            match &self.strata {
                Some(strata) => {
                    let cells =
                        batch_genes.map(|(gene, rows)| (gene.clone(), of(rows), strata.of_rows(rows)));
                    screen.add_stratified(&cells.collect::<Vec<_>>())?;
                }
                None => {
                    let cells = batch_genes.map(|(gene, rows)| (gene.clone(), of(rows)));
                    screen.add(&cells.collect::<Vec<_>>())?;
                }
            }
            bar.add(batch.len());
        }
        bar.finish();
        Ok(screen.finish()?)
    }

    /// How many cells a batch may have, were every gene of the panel detected in each.
    pub fn batch_cells(&self, panel: &Panel) -> usize {
        let bytes_per_cell = 12 * panel.len().max(1) as u64;
        (self.limits.memory_budget / BATCH_SHARE / bytes_per_cell).max(1) as usize
    }

    fn write_edges(
        &self,
        run: &RunFolder,
        edges: &EdgeMatrix,
        metadata: &[(String, String)],
    ) -> Result<String> {
        let file = names::edges(edges.kind());
        write_edges(&run.file(&file), edges, metadata)?;
        Ok(file)
    }

    pub fn write(&self, run: &RunFolder, file: &str, table: &Table) -> Result<()> {
        Ok(write_table(&run.file(file), table, &[self.simulated_metadata()])?)
    }

    fn simulated_metadata(&self) -> (String, String) {
        ("scfm.simulated".to_owned(), self.simulated().to_string())
    }

    /// What was computed, so that an edge file says so by itself.
    fn edge_metadata(&self, checkpoint: &Checkpoint, n_cells: usize) -> Vec<(String, String)> {
        let mut metadata = self.cell_metadata(n_cells);
        let own = [
            ("scfm.orientation", self.orientation.in_words().to_owned()),
            (
                "scfm.heads",
                "mean over all heads of softmax probabilities".to_owned(),
            ),
            (
                "scfm.absent_pairs",
                "mean over the cells that hold both genes".to_owned(),
            ),
            (
                "scfm.max_tokens",
                checkpoint.config().max_position_embeddings.to_string(),
            ),
        ];
        metadata.extend(own.map(|(key, value)| (key.to_owned(), value)));
        metadata
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

/// Consecutive perturbations whose cells together stay below `max_cells`, at least one at a time.
fn batches(perturbations: &[(GeneId, Vec<usize>)], max_cells: usize) -> Vec<&[(GeneId, Vec<usize>)]> {
    let mut batches = Vec::new();
    let (mut start, mut cells) = (0, 0);
    for (i, (_, rows)) in perturbations.iter().enumerate() {
        if i > start && cells + rows.len() > max_cells {
            batches.push(&perturbations[start..i]);
            (start, cells) = (i, 0);
        }
        cells += rows.len();
    }
    if start < perturbations.len() {
        batches.push(&perturbations[start..]);
    }
    batches
}

fn stage_key(name: &str, run_key: &str) -> String {
    Key::new(name, VERSION).with("run", run_key).hex()
}

fn missing_gene(gene: &GeneId) -> anyhow::Error {
    anyhow::anyhow!("gene {gene} of the panel is not in the counts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_every_perturbation_once_and_stay_small() {
        let sizes = [3, 4, 1, 9, 2];
        let perturbations: Vec<_> = sizes
            .iter()
            .map(|&n| (GeneId::from(format!("G{n}")), vec![0; n]))
            .collect();
        let batches = batches(&perturbations, 7);
        let sizes: Vec<Vec<usize>> = batches
            .iter()
            .map(|b| b.iter().map(|(_, rows)| rows.len()).collect())
            .collect();
        assert_eq!(sizes, [vec![3, 4], vec![1], vec![9], vec![2]]);
    }
}
