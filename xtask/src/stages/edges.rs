//! The edges that are judged, attention or a list, and those of correlation.

use anyhow::Result;
use scfm_attention::geneformer::{Checkpoint, Geneformer};
use scfm_attention::{AbsentPairs, AttentionSums};
use scfm_baselines::{codetection, spearman_edges};
use scfm_core::EdgeMatrix;
use scfm_io::{write_edges, write_pair_counts};

use super::{Workbench, missing_gene};
use crate::edge_source::{EdgeSource, ListedEdges};
use crate::evidence::{names, read_panel};
use crate::run_folder::RunFolder;

impl Workbench<'_> {
    /// The edges that are judged: attention, or those of a list.
    pub(super) fn edges(&self, run: &RunFolder) -> Result<Vec<String>> {
        match &self.source {
            EdgeSource::Model(checkpoint) => self.attention(run, checkpoint),
            EdgeSource::List(listed) => self.listed(run, listed),
        }
    }

    /// The list over the panel. What scores of pairs must beat to be more than coverage is here in how many control
    /// cells both genes were detected.
    pub(super) fn listed(&self, run: &RunFolder, listed: &ListedEdges) -> Result<Vec<String>> {
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
    pub(super) fn attention(&self, run: &RunFolder, checkpoint: &Checkpoint) -> Result<Vec<String>> {
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

    pub(super) fn correlation(&self, run: &RunFolder) -> Result<Vec<String>> {
        let panel = &read_panel(run)?;
        self.progress.say(format!("correlating {} genes", panel.len()));
        let edges = spearman_edges(self.edge_cells()?, panel, panel)?;
        Ok(vec![self.write_edges(
            run,
            &edges,
            &self.cell_metadata(self.controls.edges.len()),
        )?])
    }

    pub(super) fn write_edges(
        &self,
        run: &RunFolder,
        edges: &EdgeMatrix,
        metadata: &[(String, String)],
    ) -> Result<String> {
        let file = names::edges(edges.kind());
        write_edges(&run.file(&file), edges, metadata)?;
        Ok(file)
    }

    /// What was computed, so that an edge file says so by itself.
    pub(super) fn edge_metadata(&self, checkpoint: &Checkpoint, n_cells: usize) -> Vec<(String, String)> {
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
}
