//! Context vectors of genes averaged over cells, and what they make of pairs.

use ndarray::Array2;
use rayon::prelude::*;
use scfm_core::{EdgeKind, EdgeMatrix, Head, Layer, Panel};

use crate::{Error, Interventions, Site, TokenPanel, TokenisedCell, Transformer};

/// Cells that are traced side by side before they are added, in their order: sums of floating-point numbers depend on it.
const BATCH: usize = 32;

/// The mean over cells of what each head of a layer gathers at a gene's token, its context vector `softmax(q kᵀ / √d) v`.
#[derive(Debug, Clone)]
pub struct MeanContexts {
    genes: Panel,
    layer: Layer,
    /// Sums over cells by head, `[gene, D / H]`.
    sums: Vec<Array2<f64>>,
    /// Cells that hold the gene.
    n_cells: Vec<u32>,
}

impl MeanContexts {
    /// Reads `cells` in parallel; the result does not depend on the number of threads.
    ///
    /// # Errors
    /// [`Error::NoSite`] for a layer that the model does not have; for a cell that it cannot read.
    pub fn of<M: Transformer>(
        model: &M,
        cells: &[M::Cell],
        layer: Layer,
        genes: &TokenPanel,
        progress: impl Fn(usize),
    ) -> Result<Self, Error>
    where
        M::Cell: Sync,
    {
        let sites: Vec<Site> = (0..model.n_heads())
            .map(|head| Site::Context(layer, Head(head)))
            .collect();
        let mut position_of = vec![None; model.n_tokens()];
        for (position, token) in genes.tokens().iter().enumerate() {
            if let Some(place) = token.and_then(|token| position_of.get_mut(token as usize)) {
                *place = Some(position);
            }
        }
        let n_genes = genes.panel().len();
        let mut sums = vec![Array2::zeros((n_genes, 0)); sites.len()];
        let mut n_cells = vec![0; n_genes];
        let mut done = 0;
        for batch in cells.chunks(BATCH) {
            let traced: Vec<_> = batch
                .par_iter()
                .map(|cell| model.trace(cell, &sites, &Interventions::none()))
                .collect::<Result<_, _>>()?;
            for (cell, contexts) in batch.iter().zip(traced) {
                let cell: &TokenisedCell = cell.as_ref();
                let places: Vec<(usize, usize)> = cell
                    .tokens
                    .iter()
                    .enumerate()
                    .filter_map(|(place, &token)| Some((place, position_of[token as usize]?)))
                    .collect();
                for &(_, gene) in &places {
                    n_cells[gene] += 1;
                }
                for (sum, context) in sums.iter_mut().zip(contexts.into_values()) {
                    if sum.ncols() != context.ncols() {
                        *sum = Array2::zeros((n_genes, context.ncols()));
                    }
                    for &(place, gene) in &places {
                        let mut sum = sum.row_mut(gene);
                        sum.zip_mut_with(&context.row(place), |sum, &x| *sum += f64::from(x));
                    }
                }
            }
            done += batch.len();
            progress(done);
        }
        Ok(Self {
            genes: genes.panel().clone(),
            layer,
            sums,
            n_cells,
        })
    }

    /// The mean over heads of the cosine of two genes' mean context vectors; missing for a gene that no cell holds and
    /// where a head's mean is zero. Unlike the mean cosine over cells it needs no cell that holds both genes.
    ///
    /// Genes of `sources` and `targets` that are not among those averaged are missing too.
    pub fn cosines(&self, sources: &Panel, targets: &Panel) -> EdgeMatrix {
        let unit: Vec<Array2<f64>> = self
            .sums
            .iter()
            .map(|sums| {
                let mut unit = sums.clone();
                for mut row in unit.rows_mut() {
                    let length = row.dot(&row).sqrt();
                    // Of no length there is no direction: 0 / 0 is missing, as it should be.
                    row /= length;
                }
                unit
            })
            .collect();
        let row_of = |panel: &Panel, i: usize| self.genes.position(panel.gene(i).as_str());
        let rows: Vec<Option<usize>> = (0..targets.len()).map(|j| row_of(targets, j)).collect();
        let scores: Vec<Vec<f32>> = (0..sources.len())
            .into_par_iter()
            .map(|i| {
                let Some(a) = row_of(sources, i) else {
                    return vec![f32::NAN; targets.len()];
                };
                let cosine = |b: usize| {
                    let of_head = |unit: &Array2<f64>| unit.row(a).dot(&unit.row(b));
                    unit.iter().map(of_head).sum::<f64>() / unit.len() as f64
                };
                rows.iter()
                    .map(|b| b.map_or(f32::NAN, |b| cosine(b) as f32))
                    .collect()
            })
            .collect();
        let kind = EdgeKind::MeanContextCosine(self.layer);
        let scores = Array2::from_shape_fn((sources.len(), targets.len()), |(i, j)| scores[i][j]);
        EdgeMatrix::new(kind, sources.clone(), targets.clone(), scores).expect("a score for each pair")
    }

    /// In how many cells a gene was a token.
    pub fn n_cells(&self, gene: &str) -> u32 {
        self.genes
            .position(gene)
            .map_or(0, |position| self.n_cells[position])
    }
}
