//! Training by masked genes, for small models whose data are known: fixtures and simulated worlds.
//!
//! Of each cell a fraction of the genes is chosen; the model sees `<mask>` in place of 80 % of them, another gene
//! in place of 10 %, the gene itself in place of the rest, and is to name the gene (BERT, arXiv:1810.04805,
//! section 3.1; Geneformer masks 15 %). There is no dropout. All random numbers come from the caller's [`Seeds`].

mod graph;
mod masking;
mod ops;

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use rand::seq::SliceRandom;
use rayon::prelude::*;
use scfm_core::Seeds;

use super::{Checkpoint, Config, Geneformer, Vocabulary};
use crate::{Error, TokenisedCell, Weights};
use graph::Graph;
use masking::MaskedCell;

/// Gradients longer than this are shortened to it, as in the reference trainer.
const MAX_GRADIENT_NORM: f64 = 1.0;

/// How to train.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingParams {
    /// How often every cell is seen.
    pub epochs: usize,
    /// Cells of a step.
    pub batch_size: usize,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Fraction of the steps over which the rate rises from 0; it then falls to 0, both linearly.
    pub warmup: f64,
    /// Decay of the matrices towards 0 (AdamW); biases and layer normalisations do not decay.
    pub weight_decay: f64,
    /// Fraction of a cell's genes that are to be named, at least one.
    pub mask_fraction: f64,
}

impl Default for TrainingParams {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch_size: 16,
            learning_rate: 1e-3,
            warmup: 0.1,
            weight_decay: 0.01,
            mask_fraction: 0.15,
        }
    }
}

/// What a step did.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingStep {
    /// The step, counted from 0.
    pub step: usize,
    /// Number of all steps.
    pub n_steps: usize,
    /// The epoch, counted from 0.
    pub epoch: usize,
    /// Its learning rate.
    pub learning_rate: f64,
    /// Mean cross-entropy of the chosen genes before the step, in nats.
    pub loss: f64,
    /// Number of genes that were to be named.
    pub n_masked: usize,
}

/// The course of a training.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingLog {
    /// The steps in order.
    pub steps: Vec<TrainingStep>,
    /// The loss of always answering with the genes' frequencies among the tokens of all cells, in nats: what a
    /// model must beat to have learnt anything.
    pub gene_frequency_loss: f64,
}

impl TrainingLog {
    /// Mean loss of each epoch over its masked genes.
    pub fn epoch_losses(&self) -> Vec<f64> {
        let same_epoch = |a: &TrainingStep, b: &TrainingStep| a.epoch == b.epoch;
        let mean = |steps: &[TrainingStep]| {
            let n: usize = steps.iter().map(|s| s.n_masked).sum();
            steps.iter().map(|s| s.loss * s.n_masked as f64).sum::<f64>() / n as f64
        };
        self.steps.chunk_by(same_epoch).map(mean).collect()
    }
}

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
    mut progress: impl FnMut(&TrainingStep),
) -> Result<(Checkpoint, TrainingLog), Error> {
    params.check()?;
    let start = Checkpoint::random(
        config.clone(),
        vocabulary.clone(),
        &mut seeds.stream("training", "weights", 0),
    )?;
    check_cells(config, vocabulary, cells)?;

    let vars: BTreeMap<String, Var> = start
        .weights()
        .tensors()
        .iter()
        .map(|(name, tensor)| Ok((name.clone(), Var::from_tensor(tensor)?)))
        .collect::<Result<_, Error>>()?;
    let tensors = vars
        .iter()
        .map(|(name, var)| (name.clone(), var.as_tensor().clone()));
    let graph = Graph::new(config, Weights::new("training", "config.json", tensors.collect()));
    let mut optimizers = optimizers(&vars, params)?;

    let n_steps = params.epochs * cells.len().div_ceil(params.batch_size);
    let mut steps = Vec::with_capacity(n_steps);
    for epoch in 0..params.epochs {
        let mut order: Vec<usize> = (0..cells.len()).collect();
        order.shuffle(&mut seeds.stream("training", "order", epoch as u64));
        for chosen in order.chunks(params.batch_size) {
            let masked: Vec<MaskedCell> = chosen
                .iter()
                .map(|&cell| {
                    let index = (epoch * cells.len() + cell) as u64;
                    let mut rng = seeds.stream("training", "mask", index);
                    MaskedCell::new(&cells[cell], vocabulary, params.mask_fraction, &mut rng)
                })
                .collect();
            let (loss, mut gradients) = mean_gradients(&graph, &vars, &masked)?;
            let step = TrainingStep {
                step: steps.len(),
                n_steps,
                epoch,
                learning_rate: params.learning_rate_at(steps.len(), n_steps),
                loss,
                n_masked: masked.iter().map(|cell| cell.answers.len()).sum(),
            };
            if !step.loss.is_finite() {
                return Err(Error::Training(format!(
                    "the loss of step {} is {}; lower the learning rate",
                    step.step, step.loss
                )));
            }
            clip(&vars, &mut gradients)?;
            for optimizer in &mut optimizers {
                optimizer.set_learning_rate(step.learning_rate);
                optimizer.step(&gradients)?;
            }
            progress(&step);
            steps.push(step);
        }
    }

    let tensors = vars
        .iter()
        .map(|(name, var)| Ok((name.clone(), var.as_tensor().detach().copy()?)));
    let weights = Weights::new(
        "trained weights",
        "config.json",
        tensors.collect::<Result<_, Error>>()?,
    );
    let log = TrainingLog {
        steps,
        gene_frequency_loss: gene_frequency_loss(vocabulary, cells),
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
    let losses: Vec<(f64, usize)> = cells
        .par_iter()
        .enumerate()
        .map(|(index, cell)| {
            let mut rng = seeds.stream("training", "evaluation-mask", index as u64);
            let masked = MaskedCell::new(cell, vocabulary, mask_fraction, &mut rng);
            let logits = model.masked_gene_logits(&masked.tokens, &masked.places)?;
            let loss = |(logits, &answer): (ndarray::ArrayView1<f32>, &u32)| {
                let max = f64::from(logits.fold(f32::NEG_INFINITY, |a, &b| a.max(b)));
                let total: f64 = logits.iter().map(|&x| (f64::from(x) - max).exp()).sum();
                max + total.ln() - f64::from(logits[answer as usize])
            };
            let sum = logits.outer_iter().zip(&masked.answers).map(loss).sum();
            Ok((sum, masked.answers.len()))
        })
        .collect::<Result<_, Error>>()?;
    let (sum, n) = losses.iter().fold((0.0, 0), |(sum, n), (s, m)| (sum + s, n + m));
    if n == 0 {
        return Err(Error::Training("no cell has a gene to mask".to_owned()));
    }
    Ok(sum / n as f64)
}

impl TrainingParams {
    fn check(&self) -> Result<(), Error> {
        let rules = [
            ("epochs must be at least 1", self.epochs >= 1),
            ("batch_size must be at least 1", self.batch_size >= 1),
            (
                "learning_rate must be positive",
                self.learning_rate > 0.0 && self.learning_rate.is_finite(),
            ),
            ("warmup must lie in 0..=1", (0.0..=1.0).contains(&self.warmup)),
            (
                "weight_decay must not be negative",
                self.weight_decay >= 0.0 && self.weight_decay.is_finite(),
            ),
            (
                "mask_fraction must lie in 0..=1",
                (0.0..=1.0).contains(&self.mask_fraction),
            ),
        ];
        match rules.iter().find(|(_, holds)| !holds) {
            Some((rule, _)) => Err(Error::Training((*rule).to_owned())),
            None => Ok(()),
        }
    }

    fn learning_rate_at(&self, step: usize, n_steps: usize) -> f64 {
        let warm = (n_steps as f64 * self.warmup).floor() as usize;
        let share = if step < warm {
            (step + 1) as f64 / (warm + 1) as f64
        } else {
            (n_steps - step) as f64 / (n_steps - warm) as f64
        };
        self.learning_rate * share
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

/// Matrices decay, vectors do not.
fn optimizers(vars: &BTreeMap<String, Var>, params: &TrainingParams) -> Result<[AdamW; 2], Error> {
    let (matrices, vectors) = vars.values().cloned().partition(|var: &Var| var.rank() == 2);
    let optimizer = |vars: Vec<Var>, weight_decay| {
        AdamW::new(
            vars,
            ParamsAdamW {
                lr: params.learning_rate,
                weight_decay,
                ..ParamsAdamW::default()
            },
        )
    };
    Ok([
        optimizer(matrices, params.weight_decay)?,
        optimizer(vectors, 0.0)?,
    ])
}

/// Mean loss of all answers and its gradients. Each cell has its own graph, without padding, and the cells are
/// computed in parallel; losses and gradients are then summed in order.
fn mean_gradients(
    graph: &Graph<'_>,
    vars: &BTreeMap<String, Var>,
    cells: &[MaskedCell],
) -> Result<(f64, GradStore), Error> {
    let of_cells: Vec<(f64, GradStore)> = cells
        .par_iter()
        .map(|cell| {
            let loss = graph.loss(cell)?;
            Ok((f64::from(loss.to_scalar::<f32>()?), loss.backward()?))
        })
        .collect::<Result<_, Error>>()?;
    let share = 1.0 / cells.iter().map(|cell| cell.answers.len()).sum::<usize>() as f64;
    let loss = of_cells.iter().map(|(loss, _)| loss).sum::<f64>() * share;
    let sums: Vec<Option<Tensor>> = vars
        .values()
        .map(|var| {
            let mut gradients = of_cells.iter().filter_map(|(_, gradients)| gradients.get(var));
            let Some(first) = gradients.next() else {
                return Ok(None);
            };
            let sum = gradients.try_fold(first.clone(), |sum, gradient| sum + gradient)?;
            Ok(Some((sum * share)?))
        })
        .collect::<Result<_, Error>>()?;
    let mut gradients = of_cells.into_iter().next().expect("a step has cells").1;
    for (var, sum) in vars.values().zip(sums) {
        if let Some(sum) = sum {
            gradients.insert(var, sum);
        }
    }
    Ok((loss, gradients))
}

fn clip(vars: &BTreeMap<String, Var>, gradients: &mut GradStore) -> Result<(), Error> {
    let mut squares = 0.0;
    for var in vars.values() {
        if let Some(gradient) = gradients.get(var) {
            squares += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
        }
    }
    let norm = squares.sqrt();
    if norm > MAX_GRADIENT_NORM {
        for var in vars.values() {
            if let Some(gradient) = gradients.get(var) {
                let shortened = (gradient * (MAX_GRADIENT_NORM / norm))?;
                gradients.insert(var, shortened);
            }
        }
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
        let graph = Graph::new(&config, checkpoint.weights().clone());
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
    fn the_learning_rate_rises_then_falls() {
        let params = TrainingParams {
            learning_rate: 1.0,
            warmup: 0.25,
            ..TrainingParams::default()
        };
        let rates: Vec<f64> = (0..8).map(|step| params.learning_rate_at(step, 8)).collect();
        assert_eq!(rates[..3], [1.0 / 3.0, 2.0 / 3.0, 1.0]);
        assert!(
            rates[2..].windows(2).all(|pair| pair[1] < pair[0]) && rates[7] > 0.0,
            "{rates:?}"
        );
        let params = TrainingParams {
            warmup: 0.0,
            ..params
        };
        assert_eq!(params.learning_rate_at(0, 8), 1.0);
    }
}
