//! The forward pass of [`ScGpt`](crate::scgpt::ScGpt) once more, in operations that have gradients. A test holds the two
//! together.

use candle_core::{Device, Tensor};
use candle_nn::ops::leaky_relu;

use super::masking::MaskedCell;
use crate::scgpt::Config;
use crate::scgpt::config::LAYER_NORM_EPS;
use crate::scgpt::embedding::LARGEST_VALUE;
use crate::scgpt::model::SLOPE;
use crate::training::graph::{LayerPaths, Layers};
use crate::training::ops::biased;
use crate::{Error, ValuedCell, Weights};

pub(super) struct Graph<'a> {
    config: &'a Config,
    n_tokens: usize,
    layers: Layers<'a>,
}

impl<'a> Graph<'a> {
    /// A graph over `weights`, which may be variables.
    pub(super) fn new(config: &'a Config, n_tokens: usize, weights: &'a Weights) -> Self {
        let layers = Layers {
            weights,
            width: config.embsize,
            wide: config.d_hid,
            heads: config.nheads,
            eps: LAYER_NORM_EPS,
        };
        Self {
            config,
            n_tokens,
            layers,
        }
    }

    /// Sum of the squared errors of a cell's answers.
    pub(super) fn loss(&self, masked: &MaskedCell) -> Result<Tensor, Error> {
        let answers = Tensor::new(masked.answers.as_slice(), &Device::Cpu)?;
        let found = self.expression(&self.hidden(&masked.cell)?, &masked.places)?;
        Ok((found - answers)?.sqr()?.sum_all()?)
    }

    /// The last hidden states, `[S, D]`.
    pub(super) fn hidden(&self, cell: &ValuedCell) -> Result<Tensor, Error> {
        let mut hidden = (self.genes(cell)? + self.values(cell)?)?;
        for layer in 0..self.config.nlayers {
            hidden = self.layer(&format!("transformer_encoder.layers.{layer}"), &hidden)?;
        }
        Ok(hidden)
    }

    /// The expression that the decoder reads at these places of the last hidden states.
    pub(super) fn expression(&self, hidden: &Tensor, places: &[u32]) -> Result<Tensor, Error> {
        let mut rows = hidden.index_select(&Tensor::new(places, &Device::Cpu)?, 0)?;
        for step in ["decoder.fc.0", "decoder.fc.2"] {
            rows = leaky_relu(
                &self.layers.linear(step, &rows, self.config.embsize)?,
                SLOPE.into(),
            )?;
        }
        Ok(self.layers.linear("decoder.fc.4", &rows, 1)?.squeeze(1)?)
    }

    fn genes(&self, cell: &ValuedCell) -> Result<Tensor, Error> {
        let table = self
            .layers
            .weights
            .get("encoder.embedding.weight", &[self.n_tokens, self.config.embsize])?;
        let tokens = Tensor::new(cell.tokens(), &Device::Cpu)?;
        self.layers
            .norm("encoder.enc_norm", &table.index_select(&tokens, 0)?)
    }

    fn values(&self, cell: &ValuedCell) -> Result<Tensor, Error> {
        let width = self.config.embsize;
        let values: Vec<f32> = cell.values().iter().map(|x| x.min(LARGEST_VALUE)).collect();
        let values = Tensor::from_vec(values, (cell.values().len(), 1), &Device::Cpu)?;
        let first = self
            .layers
            .linear("value_encoder.linear1", &values, width)?
            .relu()?;
        let second = self.layers.linear("value_encoder.linear2", &first, width)?;
        self.layers.norm("value_encoder.norm", &second)
    }

    fn layer(&self, path: &str, hidden: &Tensor) -> Result<Tensor, Error> {
        let width = self.config.embsize;
        let stacked = format!("{path}.self_attn.Wqkv");
        let (weight, bias) = self.layers.matrix(&stacked, 3 * width, width)?;
        // The weights are cut rather than the product, whose gradient would be padded to three times the hidden states.
        let project = |part: usize| -> Result<Tensor, Error> {
            let weight = weight.narrow(0, part * width, width)?;
            let bias = bias.narrow(0, part * width, width)?;
            Ok(biased(&hidden.matmul(&weight.t()?)?, &bias)?)
        };
        let projections = [project(0)?, project(1)?, project(2)?];
        let paths = LayerPaths {
            output: format!("{path}.self_attn.out_proj"),
            attention_norm: format!("{path}.norm1"),
            expand: format!("{path}.linear1"),
            contract: format!("{path}.linear2"),
            output_norm: format!("{path}.norm2"),
        };
        self.layers.encoder_layer(&paths, hidden, projections)
    }
}
