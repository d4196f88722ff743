//! Training of scGPTs by masked values.
//!
//! Of each cell a fraction of the genes is hidden: the model is told −1 in place of their bins, the tokens as they are,
//! and its decoder of expression is to give the bins. The loss is the mean squared error over the hidden genes, in squared
//! bins: scGPT's objective of gene expression prediction (Cui et al. 2024, doi:10.1038/s41592-024-02201-0, Methods) as its
//! fine-tuning asks for it. All genes are perceived; the flags of the generative pretraining and the decoder of cell
//! embeddings (MVC) are left out. The baseline answers with each gene's mean bin over all cells, whatever else the cell
//! holds.

mod graph;
mod masking;

use candle_core::Tensor;
use rand_chacha::ChaCha8Rng;
use scfm_core::Seeds;

use super::{BatchNorm, Checkpoint, Config, ScGpt, ValueEncoding, Vocabulary};
use crate::training::{Objective, fit, mean_loss};
pub use crate::training::{TrainingLog, TrainingParams, TrainingStep};
use crate::{Error, ValuedCell, Weights};
use graph::Graph;
pub(super) use masking::MaskedCell;

/// What the model is told in place of a hidden bin: `mask_value` of every released `args.json`.
pub const MASK_VALUE: f32 = -1.0;

/// Trains a model of the given size from fresh weights on cells with `<cls>` first and the genes' bins as values, such as
/// a [`Tokenizer`](super::Tokenizer) makes them; `progress` hears of every step.
///
/// The result depends on the arguments alone, not on the number of threads.
///
/// # Errors
/// [`Error::Config`] for a model that reads its values as no numbers or normalises its input by batches;
/// [`Error::NoToken`], [`Error::Token`] and [`Error::Value`] for cells that the model cannot read or whose genes have no
/// bin, [`Error::Training`] for parameters out of range, no gene to learn from, or a loss that is not finite.
pub fn train(
    config: &Config,
    vocabulary: &Vocabulary,
    cells: &[ValuedCell],
    params: &TrainingParams,
    seeds: Seeds,
    progress: impl FnMut(&TrainingStep),
) -> Result<(Checkpoint, TrainingLog), Error> {
    params.check()?;
    check_config(config)?;
    let start = Checkpoint::random(
        config.clone(),
        vocabulary.clone(),
        &mut seeds.stream("training", "weights", 0),
    )?;
    check_cells(config, vocabulary, cells)?;
    let objective = HiddenBins {
        config,
        vocabulary,
        cells,
        mask_fraction: params.mask_fraction,
    };
    let (weights, steps) = fit(&objective, start.weights(), params, seeds, progress)?;
    let log = TrainingLog {
        steps,
        baseline_loss: mean_bin_loss(vocabulary, cells),
    };
    Ok((Checkpoint::new(config.clone(), vocabulary.clone(), weights)?, log))
}

/// Mean squared error, in squared bins, of `model` on hidden genes of `cells` that it need not have seen. `vocabulary` is
/// that of the model.
///
/// # Errors
/// Those of [`ScGpt::expression`], and [`Error::Training`] where no cell has a gene.
pub fn masked_value_loss(
    model: &ScGpt,
    vocabulary: &Vocabulary,
    cells: &[ValuedCell],
    mask_fraction: f64,
    seeds: Seeds,
) -> Result<f64, Error> {
    mean_loss(cells.len(), seeds, |cell, rng| {
        let masked = MaskedCell::new(&cells[cell], vocabulary, mask_fraction, rng);
        let expression = model.expression(&masked.cell)?;
        let loss = |(&place, &answer): (&u32, &f32)| f64::from(expression[place as usize] - answer).powi(2);
        let sum = masked.places.iter().zip(&masked.answers).map(loss).sum();
        Ok((sum, masked.answers.len()))
    })
}

/// The bins of hidden genes are to be given.
struct HiddenBins<'a> {
    config: &'a Config,
    vocabulary: &'a Vocabulary,
    cells: &'a [ValuedCell],
    mask_fraction: f64,
}

impl Objective for HiddenBins<'_> {
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
        Graph::new(self.config, self.vocabulary.len(), weights).loss(masked)
    }
}

fn check_config(config: &Config) -> Result<(), Error> {
    let wrong = |key, found: String, expected: &str| {
        Err(Error::Config {
            key,
            found,
            expected: format!("{expected}, for training"),
        })
    };
    if config.input_emb_style != ValueEncoding::Continuous {
        let found = format!("{:?}", config.input_emb_style).to_lowercase();
        return wrong("input_emb_style", found, "continuous");
    }
    match &config.domain_spec_batchnorm {
        BatchNorm::Whether(false) => Ok(()),
        BatchNorm::Whether(true) => wrong("domain_spec_batchnorm", "true".to_owned(), "false"),
        BatchNorm::Kind(kind) => wrong("domain_spec_batchnorm", kind.clone(), "false"),
    }
}

fn check_cells(config: &Config, vocabulary: &Vocabulary, cells: &[ValuedCell]) -> Result<(), Error> {
    let n_tokens = vocabulary.len();
    for cell in cells {
        let row = cell.row();
        if cell.tokens().is_empty() {
            return Err(Error::NoToken { cell: row });
        }
        if let Some(&token) = cell.tokens().iter().find(|&&t| t as usize >= n_tokens) {
            return Err(Error::Token {
                cell: row,
                token,
                n_tokens,
            });
        }
        let last = config.n_bins - 1;
        for (place, (&token, &value)) in cell.tokens().iter().zip(cell.values()).enumerate() {
            let is_gene = vocabulary.gene(token).is_some();
            let expected = if is_gene && !(0.0..=last as f32).contains(&value) {
                format!("a bin from 0 to {last}")
            } else if value.is_finite() {
                continue;
            } else {
                "a number".to_owned()
            };
            return Err(Error::Value {
                cell: row,
                place,
                value,
                expected,
            });
        }
        if !cell
            .tokens()
            .iter()
            .any(|&token| vocabulary.gene(token).is_some())
        {
            return Err(Error::Training(format!("cell {row} has no gene to mask")));
        }
    }
    if cells.is_empty() {
        return Err(Error::Training("there is no cell to learn from".to_owned()));
    }
    Ok(())
}

/// Mean squared distance of bins from the mean bin of their gene.
fn mean_bin_loss(vocabulary: &Vocabulary, cells: &[ValuedCell]) -> f64 {
    let bins = || {
        cells
            .iter()
            .flat_map(|cell| cell.tokens().iter().zip(cell.values()))
            .filter(|(token, _)| vocabulary.gene(**token).is_some())
            .map(|(&token, &bin)| (token as usize, f64::from(bin)))
    };
    let (mut sums, mut counts) = (vec![0.0; vocabulary.len()], vec![0usize; vocabulary.len()]);
    for (token, bin) in bins() {
        sums[token] += bin;
        counts[token] += 1;
    }
    let squares: f64 = bins()
        .map(|(token, bin)| (bin - sums[token] / counts[token] as f64).powi(2))
        .sum();
    squares / counts.iter().sum::<usize>() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokenisedCell;
    use crate::training::slopes::assert_gradients_are_slopes;

    /// Two ways through the same 32-bit arithmetic, three layers deep, with hidden states of order 1.
    const HIDDEN: f32 = 1e-4;

    fn vocabulary(n_genes: usize) -> Vocabulary {
        Vocabulary::of_genes((0..n_genes).map(|i| format!("G{i:03}"))).unwrap()
    }

    /// A cell of `n` genes: `<cls>`, then tokens apart from each other with bins in no order.
    fn cell(vocabulary: &Vocabulary, n: usize) -> ValuedCell {
        let n_genes = vocabulary.genes().count();
        let genes = (0..n).map(|i| (i * 7 % n_genes) as u32);
        let tokens: Vec<u32> = std::iter::once(vocabulary.cls()).chain(genes).collect();
        let bins = (0..n).map(|i| (1 + i * 11 % 50) as f32);
        let cell = TokenisedCell {
            cell: 0,
            columns: vec![None; tokens.len()],
            tokens,
        };
        ValuedCell::new(cell, std::iter::once(-2.0).chain(bins).collect())
    }

    #[test]
    fn the_graph_and_the_blocked_forward_pass_give_the_same_states_and_expression() {
        let (config, vocabulary) = (Config::sized(3, 16, 2), vocabulary(400));
        let mut rng = Seeds::new(5).stream("test", "weights", 0);
        let checkpoint = Checkpoint::random(config.clone(), vocabulary.clone(), &mut rng).unwrap();
        let graph = Graph::new(&config, vocabulary.len(), checkpoint.weights());
        let model = ScGpt::new(&checkpoint).unwrap();
        let numbers = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let assert_close = |found: &[f32], expected: &[f32]| {
            assert_eq!(found.len(), expected.len());
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < HIDDEN));
        };
        // 401 keys make the forward pass take its queries in two blocks.
        for n in [400, 7, 150] {
            let mut rng = Seeds::new(5).stream("test", "mask", 0);
            let masked = MaskedCell::new(&cell(&vocabulary, n), &vocabulary, 0.4, &mut rng);
            let hidden = graph.hidden(&masked.cell).unwrap();
            let states = model.hidden_states(&masked.cell).unwrap();
            let last: Vec<f32> = states[3].iter().copied().collect();
            assert_close(&numbers(hidden.clone()), &last);
            assert!(last.iter().any(|x| x.abs() > 0.5));

            let all: Vec<u32> = (0..=n as u32).collect();
            let expression = model.expression(&masked.cell).unwrap();
            assert_close(&numbers(graph.expression(&hidden, &all).unwrap()), &expression);
            let largest = expression.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
            let smallest = expression.iter().fold(f32::INFINITY, |a, &b| a.min(b));
            assert!(largest - smallest > 100.0 * HIDDEN, "{smallest} to {largest}");

            let squares = masked.places.iter().zip(&masked.answers);
            let expected: f32 = squares.map(|(&p, a)| (expression[p as usize] - a).powi(2)).sum();
            let loss: f32 = graph.loss(&masked).unwrap().to_scalar().unwrap();
            assert!((loss / expected - 1.0).abs() < HIDDEN, "{loss} {expected}");
        }
    }

    #[test]
    fn gradients_are_the_slopes_of_the_loss() {
        let (config, vocabulary) = (Config::sized(2, 8, 2), vocabulary(20));
        let mut rng = Seeds::new(6).stream("test", "weights", 0);
        let checkpoint = Checkpoint::random(config.clone(), vocabulary.clone(), &mut rng).unwrap();
        // Bins of order 1, or the loss would be so large that its rounding hides its slopes.
        let cell = cell(&vocabulary, 20);
        let values = cell.values().iter().map(|bin| bin / 25.0).collect();
        let objective = HiddenBins {
            config: &config,
            vocabulary: &vocabulary,
            cells: &[ValuedCell::new(cell.as_ref().clone(), values)],
            mask_fraction: 0.4,
        };
        assert_gradients_are_slopes(&objective, checkpoint.weights());
    }

    #[test]
    fn the_baseline_answers_with_the_mean_bin_of_each_gene() {
        let vocabulary = vocabulary(3);
        let of = |tokens: &[u32], values: &[f32]| {
            let columns = vec![None; tokens.len()];
            let cell = TokenisedCell {
                cell: 0,
                tokens: tokens.to_vec(),
                columns,
            };
            ValuedCell::new(cell, values.to_vec())
        };
        let cls = vocabulary.cls();
        let cells = [of(&[cls, 0, 1], &[-2.0, 10.0, 7.0]), of(&[cls, 0], &[-2.0, 20.0])];
        // Gene 0 is 5 from its mean twice, gene 1 is its mean; `<cls>` does not count.
        assert!((mean_bin_loss(&vocabulary, &cells) - 50.0 / 3.0).abs() < 1e-12);
    }
}
