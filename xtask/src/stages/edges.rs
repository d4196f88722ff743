//! The edges that are judged, attention or a list, and those of correlation.

use anyhow::Result;
use scfm_attention::AbsentPairs;
use scfm_baselines::{codetection, spearman_edges};
use scfm_core::{CountMatrix, EdgeKind, EdgeMatrix, Layer, Ledger, Measure, ModelEdge};
use scfm_io::{Metadata, write_edges, write_pair_counts};

use super::{Workbench, missing_gene};
use crate::edge_source::{EdgeSource, ListedEdges};
use crate::evidence::{names, read_panel};
use crate::fingerprint;
use crate::model::{Cells, Model, Reader};
use crate::run_folder::RunFolder;

/// A cell without a pair says nothing about it.
pub(super) const ABSENT: AbsentPairs = AbsentPairs::Missing;

impl Workbench<'_> {
    /// The edges that are judged: attention, or those of a list.
    pub(super) fn edges(&self, run: &RunFolder) -> Result<Vec<String>> {
        match &self.source {
            EdgeSource::Model(model) => self.attention(run, model),
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
    pub(super) fn attention(&self, run: &RunFolder, model: &Model) -> Result<Vec<String>> {
        let panel = &read_panel(run)?;
        let mut reader = self.reader(model, panel)?;
        let (cells, mut ledger) = self.model_cells(&mut reader)?;
        let tokens = self.genes.tokens_of(panel)?;
        let bar = self.progress.bar("attention", cells.len());
        let of_baseline = |cell: usize| {
            let row = self.controls.edges[cell];
            self.baseline_controls.edges.binary_search(&row).is_ok()
        };
        let layers: Vec<ModelEdge> = (0..model.depth().0)
            .map(|layer| ModelEdge::of_layer(Measure::Attention, Layer(layer)))
            .collect();
        let empty = || reader.sums(&layers, (&tokens, &tokens), self.orientation);
        let mut groups = [empty()?, empty()?];
        let group = |cell| Some(usize::from(!of_baseline(cell)));
        reader.add(&mut groups, &cells, group, |done| bar.set(done))?;
        bar.finish();
        let [mut sums, others] = groups;
        let mut baseline = sums.mean(ABSENT)?;
        sums.merge(others)?;
        let extraction = sums.mean(ABSENT)?;
        ledger.kept("cells read by the model", extraction.cells_read as u64);

        let metadata = self.edge_metadata(&reader, extraction.cells_read);
        let mut files = Vec::new();
        for edges in &extraction.edges {
            files.push(self.write_edges(run, edges, &metadata)?);
        }
        let edges = baseline.edges.swap_remove(self.layer);
        let metadata_of_baseline = self.edge_metadata(&reader, baseline.cells_read);
        write_edges(
            &run.file(names::BASELINE_ATTENTION),
            &edges,
            &described(edges.kind(), &metadata_of_baseline),
        )?;
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

    /// The control cells for edges as the model reads them, and what was lost of them.
    pub(super) fn model_cells(&self, reader: &mut Reader) -> Result<(Cells, Ledger)> {
        self.cells_of(reader, self.edge_cells()?, &self.controls.edges)
    }

    /// Cells of `rows`, whose counts over all genes are given, as the model reads them.
    pub(super) fn cells_of(
        &self,
        reader: &mut Reader,
        counts: &CountMatrix,
        rows: &[usize],
    ) -> Result<(Cells, Ledger)> {
        match &self.inputs.context.model.scgpt.binned_layer {
            None => reader.cells(counts, rows),
            Some(layer) => {
                let layer = self.screen.matrix(layer)?;
                let bins = self.screen.h5ad.cells(&layer, rows, &self.genes.map)?;
                reader.cells(&bins, rows)
            }
        }
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
        write_edges(&run.file(&file), edges, &described(edges.kind(), metadata))?;
        Ok(file)
    }

    /// What was computed, so that an edge file says so by itself.
    pub(super) fn edge_metadata(&self, reader: &Reader, n_cells: usize) -> Metadata {
        let mut metadata = self.cell_metadata(n_cells);
        metadata.extend(fingerprint::of_extraction(reader, self.orientation, ABSENT));
        metadata
    }
}

/// The metadata of a file of these edges.
pub(super) fn described(kind: EdgeKind, metadata: &[(String, String)]) -> Metadata {
    let mut metadata = metadata.to_vec();
    if let EdgeKind::Model(edge) = kind {
        metadata.extend(fingerprint::of_edge(edge));
    }
    if let EdgeKind::MeanContextCosine(layer) = kind {
        metadata.extend(fingerprint::of_mean_contexts(layer));
    }
    metadata
}
