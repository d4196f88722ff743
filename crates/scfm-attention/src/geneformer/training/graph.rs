//! The forward pass of [`Geneformer`](crate::geneformer::Geneformer) once more, in operations that have gradients.
//! A test holds the two together.

use candle_core::{Device, Tensor};

use super::masking::MaskedCell;
use crate::geneformer::Config;
use crate::training::graph::{LayerPaths, Layers};
use crate::training::ops::biased;
use crate::{Error, Weights};

pub(super) struct Graph<'a> {
    config: &'a Config,
    layers: Layers<'a>,
}

impl<'a> Graph<'a> {
    /// A graph over `weights`, which may be variables.
    pub(super) fn new(config: &'a Config, weights: &'a Weights) -> Self {
        let layers = Layers {
            weights,
            width: config.hidden_size,
            wide: config.intermediate_size,
            heads: config.num_attention_heads,
            eps: config.layer_norm_eps as f32,
        };
        Self { config, layers }
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

        let mut hidden = self.layers.norm("bert.embeddings.LayerNorm", &embedded)?;
        for layer in 0..self.config.num_hidden_layers {
            hidden = self.layer(&format!("bert.encoder.layer.{layer}"), &hidden)?;
        }
        let rows = hidden.index_select(&Tensor::new(cell.places.as_slice(), &Device::Cpu)?, 0)?;
        let head = "cls.predictions.transform";
        let transformed = self
            .layers
            .linear(&format!("{head}.dense"), &rows, hidden_size)?
            .relu()?;
        let transformed = self.layers.norm(&format!("{head}.LayerNorm"), &transformed)?;
        let bias = self.layers.weights.get("cls.predictions.bias", &[vocab_size])?;
        Ok(biased(&transformed.matmul(&word.t()?)?, &bias)?)
    }

    fn layer(&self, path: &str, hidden: &Tensor) -> Result<Tensor, Error> {
        let project = |name: &str| {
            let path = format!("{path}.attention.self.{name}");
            self.layers.linear(&path, hidden, self.config.hidden_size)
        };
        let projections = [project("query")?, project("key")?, project("value")?];
        let paths = LayerPaths {
            output: format!("{path}.attention.output.dense"),
            attention_norm: format!("{path}.attention.output.LayerNorm"),
            expand: format!("{path}.intermediate.dense"),
            contract: format!("{path}.output.dense"),
            output_norm: format!("{path}.output.LayerNorm"),
        };
        self.layers.encoder_layer(&paths, hidden, projections)
    }

    fn table(&self, name: &str, rows: usize) -> Result<Tensor, Error> {
        self.layers.weights.get(
            &format!("bert.embeddings.{name}.weight"),
            &[rows, self.config.hidden_size],
        )
    }
}
