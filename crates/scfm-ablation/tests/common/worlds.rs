//! A simulated world with cells for both families of models.
#![allow(dead_code, reason = "each test file uses some of them")]

use ndarray::Array2;
use scfm_attention::{TokenPanel, TokenisedCell, ValuedCell, geneformer, scgpt};
use scfm_core::{CountMatrix, Panel, Seeds};
use scfm_synth::{NetworkParams, ScreenParams, World, WorldParams};

/// Genes, what regulates what, and cells nobody perturbed.
pub(crate) struct Simulated {
    pub(crate) genes: Panel,
    /// Signed, `[source, target]`.
    pub(crate) effects: Array2<f64>,
    pub(crate) counts: CountMatrix,
}

pub(crate) fn simulated(n_genes: usize, n_cells: usize) -> Simulated {
    let seeds = Seeds::new(7);
    let params = WorldParams {
        n_genes,
        n_tfs: n_genes / 5,
        network: NetworkParams {
            min_out_degree: 8,
            max_out_degree: 16,
            strength: (0.8, 1.2),
            state_specific: 0.0,
            ..NetworkParams::default()
        },
        abundance_sd: 0.8,
        dispersion: (0.05, 0.05),
        ..WorldParams::new("planted")
    };
    let world = World::new(params, seeds).unwrap();
    let screen = ScreenParams {
        n_controls: n_cells,
        n_perturbed_tfs: 0,
        n_perturbed_others: 0,
        depth: 4_000.0,
        ..ScreenParams::default()
    };
    let counts = world.screen(&screen, seeds).unwrap().counts;
    let mut effects = Array2::zeros((n_genes, n_genes));
    for edge in world.network().edges() {
        effects[[edge.source.0, edge.target.0]] = edge.effect();
    }
    Simulated {
        genes: world.genes().clone(),
        effects,
        counts,
    }
}

impl Simulated {
    pub(crate) fn for_scgpt(&self) -> (scgpt::Vocabulary, Vec<ValuedCell>, TokenPanel) {
        let vocabulary =
            scgpt::Vocabulary::of_genes(self.genes.genes().iter().map(ToString::to_string)).unwrap();
        let panel = vocabulary.panel(&self.genes).unwrap();
        let params = scgpt::TokenizerParams::zero_shot(&scgpt::Config::sized(1, 2, 1));
        let mut tokenizer = scgpt::Tokenizer::new(&vocabulary, panel.clone(), params).unwrap();
        let rows: Vec<usize> = (0..self.counts.n_cells()).collect();
        let (cells, _) = tokenizer.cells(&self.counts, &rows).unwrap();
        (vocabulary, cells, panel)
    }

    pub(crate) fn for_geneformer(&self) -> (geneformer::Vocabulary, Vec<TokenisedCell>, TokenPanel) {
        let medians = self.genes.genes().iter().map(|gene| (gene.to_string(), 1.0));
        let vocabulary = geneformer::Vocabulary::of_genes(medians).unwrap();
        let panel = vocabulary.panel(&self.genes).unwrap();
        let tokenizer = geneformer::Tokenizer::new(&vocabulary, panel.clone(), self.genes.len());
        let (cells, _) = tokenizer.cells(&self.counts).unwrap();
        (vocabulary, cells, panel)
    }
}
