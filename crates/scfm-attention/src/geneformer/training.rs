//! Training of Geneformers by masked genes.
//!
//! Of each cell a fraction of the genes is hidden; the model sees `<mask>` in place of 80 % of them, another gene in
//! place of 10 %, the gene itself in place of the rest, and is to name the gene (BERT, arXiv:1810.04805, section 3.1;
//! Geneformer hides 15 %). The loss is the cross-entropy of its answers, in nats; the baseline always answers with the
//! genes' frequencies among the tokens of all cells.

mod graph;
mod masking;

use candle_core::Tensor;
use rand_chacha::ChaCha8Rng;
use scfm_core::Seeds;

use super::{Checkpoint, Config, Geneformer, Vocabulary};
use crate::training::{Objective, fit, mean_loss};
pub use crate::training::{TrainingLog, TrainingParams, TrainingStep};
use crate::{Error, TokenisedCell, Weights};
use graph::Graph;
use masking::MaskedCell;

/// Trains a model of the given size from fresh weights; `progress` hears of every step.
///
/// The result depends on the arguments alone, not on the number of threads.
///
/// # Errors
/// [`Error::Config`], [`Error::VocabularySize`], [`Error::Length`] and [`Error::Token`] for cells that the model
/// cannot read, [`Error::Training`] for parameters out of range, no gene to learn from, or a loss that is not
/// finite.
pub fn train(
    config: &Config,
    vocabulary: &Vocabulary,
    cells: &[TokenisedCell],
    params: &TrainingParams,
    seeds: Seeds,
    progress: impl FnMut(&TrainingStep),
) -> Result<(Checkpoint, TrainingLog), Error> {
    params.check()?;
    let start = Checkpoint::random(
        config.clone(),
        vocabulary.clone(),
        &mut seeds.stream("training", "weights", 0),
    )?;
    check_cells(config, vocabulary, cells)?;
    let objective = NamedGenes {
        config,
        vocabulary,
        cells,
        mask_fraction: params.mask_fraction,
    };
    let (weights, steps) = fit(&objective, start.weights(), params, seeds, progress)?;
    let log = TrainingLog {
        steps,
        baseline_loss: gene_frequency_loss(vocabulary, cells),
    };
    Ok((Checkpoint::new(config.clone(), vocabulary.clone(), weights)?, log))
}

/// Mean cross-entropy, in nats, of `model` on masked genes of `cells` that it need not have seen. `vocabulary` is
/// that of the model.
///
/// # Errors
/// Those of [`Geneformer::masked_gene_logits`], and [`Error::Training`] where no cell has a gene.
pub fn masked_gene_loss(
    model: &Geneformer,
    vocabulary: &Vocabulary,
    cells: &[TokenisedCell],
    mask_fraction: f64,
    seeds: Seeds,
) -> Result<f64, Error> {
    mean_loss(cells.len(), seeds, |cell, rng| {
        let masked = MaskedCell::new(&cells[cell], vocabulary, mask_fraction, rng);
        let logits = model.masked_gene_logits(&masked.tokens, &masked.places)?;
        let loss = |(logits, &answer): (ndarray::ArrayView1<f32>, &u32)| {
            let max = f64::from(logits.fold(f32::NEG_INFINITY, |a, &b| a.max(b)));
            let total: f64 = logits.iter().map(|&x| (f64::from(x) - max).exp()).sum();
            max + total.ln() - f64::from(logits[answer as usize])
        };
        let sum = logits.outer_iter().zip(&masked.answers).map(loss).sum();
        Ok((sum, masked.answers.len()))
    })
}

/// Hidden genes are to be named.
struct NamedGenes<'a> {
    config: &'a Config,
    vocabulary: &'a Vocabulary,
    cells: &'a [TokenisedCell],
    mask_fraction: f64,
}

impl Objective for NamedGenes<'_> {
    type Masked = MaskedCell;

    fn n_cells(&self) -> usize {
        self.cells.len()
    }

    fn mask(&self, cell: usize, rng: &mut ChaCha8Rng) -> MaskedCell {
        MaskedCell::new(&self.cells[cell], self.vocabulary, self.mask_fraction, rng)
    }

    fn n_masked(masked: &MaskedCell) -> usize {
        masked.answers.len()
    }

    fn loss(&self, weights: &Weights, masked: &MaskedCell) -> Result<Tensor, Error> {
        Graph::new(self.config, weights).loss(masked)
    }
}

fn check_cells(config: &Config, vocabulary: &Vocabulary, cells: &[TokenisedCell]) -> Result<(), Error> {
    for cell in cells {
        let (length, max) = (cell.tokens.len(), config.max_position_embeddings);
        if length == 0 || length > max {
            return Err(Error::Length {
                cell: cell.cell,
                length,
                max,
            });
        }
        if let Some(&token) = cell.tokens.iter().find(|&&t| t as usize >= config.vocab_size) {
            return Err(Error::Token {
                cell: cell.cell,
                token,
                n_tokens: config.vocab_size,
            });
        }
        if !cell.tokens.iter().any(|&token| vocabulary.gene(token).is_some()) {
            return Err(Error::Training(format!("cell {} has no gene to mask", cell.cell)));
        }
    }
    if cells.is_empty() {
        return Err(Error::Training("there is no cell to learn from".to_owned()));
    }
    Ok(())
}

/// Entropy of the genes' frequencies.
fn gene_frequency_loss(vocabulary: &Vocabulary, cells: &[TokenisedCell]) -> f64 {
    let mut counts = vec![0usize; vocabulary.len()];
    for &token in cells.iter().flat_map(|cell| &cell.tokens) {
        if vocabulary.gene(token).is_some() {
            counts[token as usize] += 1;
        }
    }
    let total: usize = counts.iter().sum();
    let frequencies = counts
        .iter()
        .filter(|&&n| n > 0)
        .map(|&n| n as f64 / total as f64);
    -frequencies.map(|f| f * f.ln()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::slopes::assert_gradients_are_slopes;

    /// Two ways through the same 32-bit arithmetic, three layers deep, with logits of order 1.
    const LOGIT: f32 = 1e-4;

    #[test]
    fn the_graph_and_the_blocked_forward_pass_give_the_same_logits() {
        let config = Config {
            initializer_range: 0.15,
            ..Config::sized(3, 16, 2, 402, 400)
        };
        let vocabulary = Vocabulary::of_genes((0..400).map(|i| (format!("G{i:03}"), 1.0))).unwrap();
        let mut rng = Seeds::new(5).stream("test", "weights", 0);
        let checkpoint = Checkpoint::random(config.clone(), vocabulary, &mut rng).unwrap();
        let graph = Graph::new(&config, checkpoint.weights());
        let model = Geneformer::new(&checkpoint).unwrap();
        // 400 keys make the forward pass take its queries in two blocks.
        for length in [400, 7, 150] {
            let cell = MaskedCell {
                tokens: (0..length).map(|i| 2 + (i * 7) % 400).collect(),
                places: vec![0, length / 2, length - 1],
                answers: vec![2, 2, 2],
            };
            let expected = model.masked_gene_logits(&cell.tokens, &cell.places).unwrap();
            let found: Vec<f32> = graph
                .logits(&cell)
                .unwrap()
                .flatten_all()
                .unwrap()
                .to_vec1()
                .unwrap();
            assert_eq!(found.len(), 3 * 402);
            assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < LOGIT));
            assert!(expected.iter().any(|x| x.abs() > 0.5));
        }
    }

    #[test]
    fn gradients_are_the_slopes_of_the_loss() {
        let config = Config {
            initializer_range: 0.3,
            ..Config::sized(2, 8, 2, 22, 20)
        };
        let vocabulary = Vocabulary::of_genes((0..20).map(|i| (format!("G{i:02}"), 1.0))).unwrap();
        let mut rng = Seeds::new(6).stream("test", "weights", 0);
        let checkpoint = Checkpoint::random(config.clone(), vocabulary.clone(), &mut rng).unwrap();
        let cell = TokenisedCell {
            cell: 0,
            tokens: (2..22).collect(),
            columns: vec![None; 20],
        };
        let objective = NamedGenes {
            config: &config,
            vocabulary: &vocabulary,
            cells: &[cell],
            mask_fraction: 0.4,
        };
        assert_gradients_are_slopes(&objective, checkpoint.weights());
    }
}
