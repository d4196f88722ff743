//! The forward pass of [`Geneformer`](crate::geneformer::Geneformer) once more, in operations that have gradients.
//! A test holds the two together.

use candle_core::{D, Device, Tensor};

use super::masking::MaskedCell;
use super::ops::{attention, biased, layer_norm};
use crate::geneformer::Config;
use crate::{Error, Weights};

pub(super) struct Graph<'a> {
    config: &'a Config,
    weights: Weights,
}

impl<'a> Graph<'a> {
    /// A graph over `weights`, which may be variables.
    pub(super) fn new(config: &'a Config, weights: Weights) -> Self {
        Self { config, weights }
    }

    /// Sum of the cross-entropies of a cell's answers.
    pub(super) fn loss(&self, cell: &MaskedCell) -> Result<Tensor, Error> {
        let answers = Tensor::new(cell.answers.as_slice(), &Device::Cpu)?;
        let mean = candle_nn::loss::cross_entropy(&self.logits(cell)?, &answers)?;
        Ok((mean * cell.answers.len() as f64)?)
    }

    /// Logits `[answer, V]` of the places to be named.
    pub(super) fn logits(&self, cell: &MaskedCell) -> Result<Tensor, Error> {
        let Config {
            hidden_size,
            vocab_size,
            max_position_embeddings,
            type_vocab_size,
            ..
        } = *self.config;
        let word = self.table("word_embeddings", vocab_size)?;
        let position = self.table("position_embeddings", max_position_embeddings)?;
        let kind = self.table("token_type_embeddings", type_vocab_size)?;
        let tokens = Tensor::new(cell.tokens.as_slice(), &Device::Cpu)?;
        let place = position.narrow(0, 0, cell.tokens.len())?;
        let embedded = (word.index_select(&tokens, 0)? + place)?;
        let embedded = biased(&embedded, &kind.get(0)?)?;

        let mut hidden = self.norm("bert.embeddings.LayerNorm", &embedded)?;
        for layer in 0..self.config.num_hidden_layers {
            hidden = self.layer(&format!("bert.encoder.layer.{layer}"), &hidden)?;
        }
        let rows = hidden.index_select(&Tensor::new(cell.places.as_slice(), &Device::Cpu)?, 0)?;
        let head = "cls.predictions.transform";
        let transformed = self
            .linear(&format!("{head}.dense"), &rows, hidden_size)?
            .relu()?;
        let transformed = self.norm(&format!("{head}.LayerNorm"), &transformed)?;
        let bias = self.weights.get("cls.predictions.bias", &[vocab_size])?;
        Ok(biased(&transformed.matmul(&word.t()?)?, &bias)?)
    }

    fn layer(&self, path: &str, hidden: &Tensor) -> Result<Tensor, Error> {
        let Config {
            hidden_size,
            intermediate_size,
            num_attention_heads: heads,
            ..
        } = *self.config;
        let (length, head_dim) = (hidden.dim(0)?, hidden_size / heads);
        let project = |name: &str| -> Result<Tensor, Error> {
            let projected = self.linear(&format!("{path}.attention.self.{name}"), hidden, hidden_size)?;
            Ok(projected
                .reshape((length, heads, head_dim))?
                .transpose(0, 1)?
                .contiguous()?)
        };
        let scale = 1.0 / (head_dim as f32).sqrt();
        let context = attention(&project("query")?, &project("key")?, &project("value")?, scale)?
            .transpose(0, 1)?
            .reshape((length, hidden_size))?;
        let output = self.linear(&format!("{path}.attention.output.dense"), &context, hidden_size)?;
        let attended = self.norm(&format!("{path}.attention.output.LayerNorm"), &(hidden + output)?)?;
        let expanded = self
            .linear(
                &format!("{path}.intermediate.dense"),
                &attended,
                intermediate_size,
            )?
            .relu()?;
        let contracted = self.linear(&format!("{path}.output.dense"), &expanded, hidden_size)?;
        self.norm(&format!("{path}.output.LayerNorm"), &(attended + contracted)?)
    }

    fn table(&self, name: &str, rows: usize) -> Result<Tensor, Error> {
        self.weights.get(
            &format!("bert.embeddings.{name}.weight"),
            &[rows, self.config.hidden_size],
        )
    }

    fn linear(&self, path: &str, x: &Tensor, outputs: usize) -> Result<Tensor, Error> {
        let weight = self
            .weights
            .get(&format!("{path}.weight"), &[outputs, x.dim(D::Minus1)?])?;
        let bias = self.weights.get(&format!("{path}.bias"), &[outputs])?;
        Ok(biased(&x.matmul(&weight.t()?)?, &bias)?)
    }

    fn norm(&self, path: &str, x: &Tensor) -> Result<Tensor, Error> {
        let shape = [self.config.hidden_size];
        let weight = self.weights.get(&format!("{path}.weight"), &shape)?;
        let bias = self.weights.get(&format!("{path}.bias"), &shape)?;
        Ok(layer_norm(x, &weight, &bias, self.config.layer_norm_eps as f32)?)
    }
}
