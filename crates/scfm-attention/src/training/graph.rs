//! The encoder's layers once more, in operations that have gradients. Each model's tests hold them to its own forward
//! pass.

use candle_core::{D, Tensor};

use super::ops::{attention, biased, layer_norm};
use crate::{Error, Weights};

/// Layers over weights that may be variables.
pub(crate) struct Layers<'a> {
    pub(crate) weights: &'a Weights,
    /// Width D of the hidden states.
    pub(crate) width: usize,
    /// Width inside the feed-forward step.
    pub(crate) wide: usize,
    /// Attention heads, of which D is a multiple.
    pub(crate) heads: usize,
    /// Added to the variance in the normalisations.
    pub(crate) eps: f32,
}

/// Where the weights of a layer stand, those of its projections aside.
pub(crate) struct LayerPaths {
    pub(crate) output: String,
    pub(crate) attention_norm: String,
    pub(crate) expand: String,
    pub(crate) contract: String,
    pub(crate) output_norm: String,
}

impl Layers<'_> {
    /// The output of a layer for `hidden` of shape [S, D], whose queries, keys and values, [S, D] each, are given.
    pub(crate) fn encoder_layer(
        &self,
        paths: &LayerPaths,
        hidden: &Tensor,
        projections: [Tensor; 3],
    ) -> Result<Tensor, Error> {
        let (length, head_dim) = (hidden.dim(0)?, self.width / self.heads);
        let by_head = |projected: &Tensor| {
            projected
                .reshape((length, self.heads, head_dim))?
                .transpose(0, 1)?
                .contiguous()
        };
        let [query, key, value] = &projections;
        let scale = 1.0 / (head_dim as f32).sqrt();
        let context = attention(&by_head(query)?, &by_head(key)?, &by_head(value)?, scale)?
            .transpose(0, 1)?
            .reshape((length, self.width))?;
        let output = self.linear(&paths.output, &context, self.width)?;
        let attended = self.norm(&paths.attention_norm, &(hidden + output)?)?;
        let expanded = self.linear(&paths.expand, &attended, self.wide)?.relu()?;
        let contracted = self.linear(&paths.contract, &expanded, self.width)?;
        self.norm(&paths.output_norm, &(attended + contracted)?)
    }

    /// `x Wᵀ + b` with the weights under `path`.
    pub(crate) fn linear(&self, path: &str, x: &Tensor, outputs: usize) -> Result<Tensor, Error> {
        let (weight, bias) = self.matrix(path, outputs, x.dim(D::Minus1)?)?;
        Ok(biased(&x.matmul(&weight.t()?)?, &bias)?)
    }

    /// Weight and bias under `path`.
    pub(crate) fn matrix(
        &self,
        path: &str,
        outputs: usize,
        inputs: usize,
    ) -> Result<(Tensor, Tensor), Error> {
        Ok((
            self.weights.get(&format!("{path}.weight"), &[outputs, inputs])?,
            self.weights.get(&format!("{path}.bias"), &[outputs])?,
        ))
    }

    /// The layer normalisation of each row with the weights under `path`.
    pub(crate) fn norm(&self, path: &str, x: &Tensor) -> Result<Tensor, Error> {
        let weight = self.weights.get(&format!("{path}.weight"), &[self.width])?;
        let bias = self.weights.get(&format!("{path}.bias"), &[self.width])?;
        Ok(layer_norm(x, &weight, &bias, self.eps)?)
    }
}
