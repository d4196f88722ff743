//! Edges of what attention moves: context vectors and the lengths of what keys pass on.

use anyhow::Result;
use scfm_attention::MeanContexts;
use scfm_core::{EdgeKind, Layer, Measure, ModelEdge, Panel};
use scfm_io::write_edges;

use super::Workbench;
use super::edges::{ABSENT, described};
use crate::edge_source::EdgeSource;
use crate::evidence::{names, read_panel};
use crate::model::{Cells, Reader};
use crate::run_folder::RunFolder;

/// The edges of the stage: what is compared is computed at every layer, its variants at the scored layer.
pub fn value_edges(n_layers: usize, layer: usize) -> Vec<ModelEdge> {
    let every_layer = (0..n_layers).map(|layer| ModelEdge::of_layer(Measure::ValueCosine, Layer(layer)));
    let variants = [Measure::ValueDot, Measure::NormWeighted];
    every_layer
        .chain(variants.map(|measure| ModelEdge::of_layer(measure, Layer(layer))))
        .collect()
}

impl Workbench<'_> {
    /// Value-weighted edges from the perturbed genes to the panel.
    pub(super) fn value_edges(&self, run: &RunFolder) -> Result<Vec<String>> {
        let EdgeSource::Model(model) = &self.source else {
            return Ok(Vec::new());
        };
        let panel = &read_panel(run)?;
        let perturbed = self.testable().into_iter().map(|(gene, _)| gene);
        let sources = Panel::new(perturbed.filter(|gene| panel.contains(gene.as_str())))?;
        let (from, to) = (self.genes.tokens_of(&sources)?, self.genes.tokens_of(panel)?);
        let mut reader = self.reader(model, panel)?;
        let (cells, _) = self.model_cells(&mut reader)?;

        let edges = value_edges(model.depth().0, self.layer);
        let mut sums = [reader.sums(&edges, (&from, &to), self.orientation)?];
        let bar = self.progress.bar("value-weighted edges", cells.len());
        reader.add(&mut sums, &cells, |_| Some(0), |done| bar.set(done))?;
        bar.finish();
        let extraction = sums[0].mean(ABSENT)?;
        let metadata = self.edge_metadata(&reader, extraction.cells_read);
        let mut files = Vec::new();
        for edges in &extraction.edges {
            files.push(self.write_edges(run, edges, &metadata)?);
        }

        let layer = Layer(self.layer);
        let contexts = match (&reader, &cells) {
            (Reader::Geneformer { model, .. }, Cells::Ranked(cells)) => {
                MeanContexts::of(&**model, cells, layer, &to, |_| ())?
            }
            (Reader::ScGpt { model, .. }, Cells::Valued(cells)) => {
                MeanContexts::of(&**model, cells, layer, &to, |_| ())?
            }
            _ => unreachable!("cells that this reader made"),
        };
        let edges = contexts.cosines(&sources, panel);
        let file = names::edges(EdgeKind::MeanContextCosine(layer));
        write_edges(&run.file(&file), &edges, &described(edges.kind(), &metadata))?;
        files.push(file);
        Ok(files)
    }
}
