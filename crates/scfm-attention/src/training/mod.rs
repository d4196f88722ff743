//! Training by masked genes, for small models whose data are known: fixtures and simulated worlds.
//!
//! Of each cell a part of the genes is hidden and the model is to say what was there. What is hidden of a gene, what the
//! answer is and what a wrong one costs differ between [Geneformer](crate::geneformer::training) and
//! [scGPT](crate::scgpt::training); all else stands here: the order of the cells, the optimiser and its schedule, and that
//! the result does not depend on the number of threads. There is no dropout. All random numbers come from the caller's
//! [`Seeds`].

pub(crate) mod graph;
pub(crate) mod masking;
pub(crate) mod ops;
#[cfg(test)]
pub(crate) mod slopes;

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use scfm_core::Seeds;

use crate::{Error, Weights};

/// Gradients longer than this are shortened to it, as in the reference trainers of both models.
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
    /// Fraction of a cell's genes that are hidden, at least one. Geneformer hides 15 %, scGPT 25 to 75 %.
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
    /// Mean loss of the hidden genes before the step, in the unit of the model's loss.
    pub loss: f64,
    /// Number of genes that were hidden.
    pub n_masked: usize,
}

/// The course of a training.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingLog {
    /// The steps in order.
    pub steps: Vec<TrainingStep>,
    /// The loss of the best answer that looks at no other gene of the cell, over the tokens of all cells: what a model
    /// must beat to have learnt anything. Which answer that is says the model's `train`.
    pub baseline_loss: f64,
}

impl TrainingLog {
    /// Mean loss of each epoch over its hidden genes.
    pub fn epoch_losses(&self) -> Vec<f64> {
        let same_epoch = |a: &TrainingStep, b: &TrainingStep| a.epoch == b.epoch;
        let mean = |steps: &[TrainingStep]| {
            let n: usize = steps.iter().map(|s| s.n_masked).sum();
            steps.iter().map(|s| s.loss * s.n_masked as f64).sum::<f64>() / n as f64
        };
        self.steps.chunk_by(same_epoch).map(mean).collect()
    }
}

/// What is asked of a model: how its cells lose genes, and what its answers cost.
pub(crate) trait Objective: Sync {
    /// A cell with some of its genes hidden.
    type Masked: Send + Sync;

    /// Number of cells to learn from, at least one.
    fn n_cells(&self) -> usize;

    /// The cell of this index with some of its genes hidden, at least one.
    fn mask(&self, cell: usize, rng: &mut ChaCha8Rng) -> Self::Masked;

    /// Number of genes that are hidden.
    fn n_masked(masked: &Self::Masked) -> usize;

    /// Sum of the losses of a cell's hidden genes, with the gradients of those weights that are variables.
    fn loss(&self, weights: &Weights, masked: &Self::Masked) -> Result<Tensor, Error>;
}

/// Trains from the weights `start`; `progress` hears of every step. Returns the weights after the last one.
///
/// The result depends on the arguments alone, not on the number of threads. `params` have been checked.
pub(crate) fn fit<O: Objective>(
    objective: &O,
    start: &Weights,
    params: &TrainingParams,
    seeds: Seeds,
    mut progress: impl FnMut(&TrainingStep),
) -> Result<(Weights, Vec<TrainingStep>), Error> {
    let vars: BTreeMap<String, Var> = start
        .tensors()
        .iter()
        .map(|(name, tensor)| Ok((name.clone(), Var::from_tensor(tensor)?)))
        .collect::<Result<_, Error>>()?;
    let tensors = vars
        .iter()
        .map(|(name, var)| (name.clone(), var.as_tensor().clone()));
    let weights = start.with_tensors("training", tensors.collect());
    let mut optimizers = optimizers(&vars, params)?;

    let n_cells = objective.n_cells();
    let n_steps = params.epochs * n_cells.div_ceil(params.batch_size);
    let mut steps = Vec::with_capacity(n_steps);
    for epoch in 0..params.epochs {
        let mut order: Vec<usize> = (0..n_cells).collect();
        order.shuffle(&mut seeds.stream("training", "order", epoch as u64));
        for chosen in order.chunks(params.batch_size) {
            let masked: Vec<O::Masked> = chosen
                .iter()
                .map(|&cell| {
                    let index = (epoch * n_cells + cell) as u64;
                    objective.mask(cell, &mut seeds.stream("training", "mask", index))
                })
                .collect();
            let (loss, mut gradients) = mean_gradients(objective, &weights, &vars, &masked)?;
            let step = TrainingStep {
                step: steps.len(),
                n_steps,
                epoch,
                learning_rate: params.learning_rate_at(steps.len(), n_steps),
                loss,
                n_masked: masked.iter().map(O::n_masked).sum(),
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
    let trained = start.with_tensors("trained weights", tensors.collect::<Result<_, Error>>()?);
    Ok((trained, steps))
}

/// Mean loss over the hidden genes of cells that a model need not have seen; `loss` gives their sum and number for the
/// cell of an index, with the stream that hides them.
pub(crate) fn mean_loss(
    n_cells: usize,
    seeds: Seeds,
    loss: impl Fn(usize, &mut ChaCha8Rng) -> Result<(f64, usize), Error> + Sync,
) -> Result<f64, Error> {
    let losses: Vec<(f64, usize)> = (0..n_cells)
        .into_par_iter()
        .map(|cell| {
            loss(
                cell,
                &mut seeds.stream("training", "evaluation-mask", cell as u64),
            )
        })
        .collect::<Result<_, Error>>()?;
    let (sum, n) = losses.iter().fold((0.0, 0), |(sum, n), (s, m)| (sum + s, n + m));
    if n == 0 {
        return Err(Error::Training("no cell has a gene to mask".to_owned()));
    }
    Ok(sum / n as f64)
}

impl TrainingParams {
    pub(crate) fn check(&self) -> Result<(), Error> {
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

/// Mean loss of all hidden genes and its gradients. Each cell has its own graph, without padding, and the cells are
/// computed in parallel; losses and gradients are then summed in order.
fn mean_gradients<O: Objective>(
    objective: &O,
    weights: &Weights,
    vars: &BTreeMap<String, Var>,
    cells: &[O::Masked],
) -> Result<(f64, GradStore), Error> {
    let of_cells: Vec<(f64, GradStore)> = cells
        .par_iter()
        .map(|cell| {
            let loss = objective.loss(weights, cell)?;
            Ok((f64::from(loss.to_scalar::<f32>()?), loss.backward()?))
        })
        .collect::<Result<_, Error>>()?;
    let share = 1.0 / cells.iter().map(O::n_masked).sum::<usize>() as f64;
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

#[cfg(test)]
mod tests {
    use super::*;

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
