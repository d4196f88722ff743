//! A post-norm transformer encoder layer that shows its attention block by block and keeps none of it.
//!
//! With h of shape [S, D], head dimension d and one head j's columns q_j, k_j, v_j of the projections of h,
//!
//! ```text
//! p_j = softmax(q_j k_jᵀ / √d)        rows queries, columns keys
//! a   = LN(h + [p_0 v_0 … p_H v_H] Woᵀ + bo)
//! h'  = LN(a + W2 relu(W1 a + b1) + b2)
//! ```
//!
//! which is BERT (arXiv:1810.04805) with relu. Sequences come one at a time, so that there is no padding to mask.

use candle_core::{D, Tensor};
use ndarray::ArrayView2;
use scfm_core::Head;

use crate::kernels::{Norm, add_bias, add_bias_relu, softmax_rows, with_values};
use crate::{Error, Weights};

/// Scores that a block of query rows may take: 2¹⁷ (half a MiB) stay in a core's second-level cache while the
/// softmax, the context product and the observer go over them.
const BLOCK_SCORES: usize = 1 << 17;

/// Matrix products over fewer rows than this spend their time packing the other operand.
const MIN_BLOCK_ROWS: usize = 64;

/// Attention probabilities of one head for some of the queries of a cell.
pub(crate) struct AttentionBlock<'a> {
    /// The head.
    pub(crate) head: Head,
    /// Positions of the queries in the cell.
    pub(crate) queries: &'a [u32],
    /// Probabilities, `[query, key]`; every row sums to 1.
    pub(crate) probabilities: ArrayView2<'a, f32>,
}

/// What the shape of a layer is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LayerShape {
    pub(crate) hidden: usize,
    pub(crate) heads: usize,
    pub(crate) intermediate: usize,
    pub(crate) layer_norm_eps: f32,
}

/// One layer's weights.
#[derive(Debug, Clone)]
pub(crate) struct EncoderLayer {
    shape: LayerShape,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    attention_norm: Norm,
    expand: Linear,
    contract: Linear,
    output_norm: Norm,
}

impl EncoderLayer {
    /// The layer whose weights stand under `path` by their names in Hugging Face's BERT.
    pub(crate) fn bert(weights: &Weights, path: &str, shape: LayerShape) -> Result<Self, Error> {
        let LayerShape {
            hidden, intermediate, ..
        } = shape;
        let linear =
            |name: &str, outputs, inputs| Linear::new(weights, &format!("{path}.{name}"), outputs, inputs);
        let norm = |name: &str| norm(weights, &format!("{path}.{name}"), hidden, shape.layer_norm_eps);
        Ok(Self {
            shape,
            query: linear("attention.self.query", hidden, hidden)?,
            key: linear("attention.self.key", hidden, hidden)?,
            value: linear("attention.self.value", hidden, hidden)?,
            output: linear("attention.output.dense", hidden, hidden)?,
            attention_norm: norm("attention.output.LayerNorm")?,
            expand: linear("intermediate.dense", intermediate, hidden)?,
            contract: linear("output.dense", hidden, intermediate)?,
            output_norm: norm("output.LayerNorm")?,
        })
    }

    /// The layer's output for `hidden` of shape [S, D]; every block of attention is shown to `observe`, all heads
    /// of a block of queries in order before the next queries.
    pub(crate) fn forward(
        &self,
        hidden: &Tensor,
        observe: impl FnMut(AttentionBlock<'_>),
    ) -> Result<Tensor, Error> {
        let query = self.query.apply(hidden)?;
        let value = self.value.apply(hidden)?;
        let positions: Vec<u32> = (0..hidden.dim(0)? as u32).collect();
        let context = self.attend(hidden, &query, Some(&value), &positions, observe)?;
        let context = context.expect("a context where there are values");

        let attended = self.output.product(&context)?;
        self.attention_norm
            .apply_to_sum(&attended, &self.output.bias, hidden)?;
        let expanded = self.expand.product(&attended)?;
        add_bias_relu(&expanded, &self.expand.bias)?;
        let output = self.contract.product(&expanded)?;
        self.output_norm
            .apply_to_sum(&output, &self.contract.bias, &attended)?;
        Ok(output)
    }

    /// Shows the attention of `queries` alone and computes nothing beyond it: all that is needed of a last layer
    /// whose output nobody reads.
    pub(crate) fn attention_of(
        &self,
        hidden: &Tensor,
        queries: &[u32],
        observe: impl FnMut(AttentionBlock<'_>),
    ) -> Result<(), Error> {
        if queries.is_empty() {
            return Ok(());
        }
        let rows = Tensor::new(queries, hidden.device())?;
        let query = self.query.apply(&hidden.index_select(&rows, 0)?)?;
        self.attend(hidden, &query, None, queries, observe)?;
        Ok(())
    }

    /// Attention of the query rows, which stand at `positions`, over all of `hidden`; their context where there
    /// are values.
    fn attend(
        &self,
        hidden: &Tensor,
        query: &Tensor,
        value: Option<&Tensor>,
        positions: &[u32],
        mut observe: impl FnMut(AttentionBlock<'_>),
    ) -> Result<Option<Tensor>, Error> {
        let key = self.key.apply(hidden)?;
        let head_dim = self.shape.hidden / self.shape.heads;
        let scale = 1.0 / (head_dim as f32).sqrt();
        let n_keys = hidden.dim(0)?;
        let block_rows = (BLOCK_SCORES / n_keys).max(MIN_BLOCK_ROWS);
        let columns = |tensor: &Tensor, head: usize| tensor.narrow(D::Minus1, head * head_dim, head_dim);

        let mut contexts = Vec::new();
        for (block, positions) in positions.chunks(block_rows).enumerate() {
            let query = query.narrow(0, block * block_rows, positions.len())?;
            let mut heads = Vec::with_capacity(self.shape.heads);
            for head in 0..self.shape.heads {
                let probabilities = columns(&query, head)?.matmul(&columns(&key, head)?.t()?)?;
                softmax_rows(&probabilities, scale)?;
                with_values(&probabilities, |values| {
                    observe(AttentionBlock {
                        head: Head(head),
                        queries: positions,
                        probabilities: ArrayView2::from_shape((positions.len(), n_keys), values)
                            .expect("a probability for every query and key"),
                    });
                })?;
                if let Some(value) = value {
                    heads.push(probabilities.matmul(&columns(value, head)?)?);
                }
            }
            if value.is_some() {
                contexts.push(Tensor::cat(&heads, 1)?);
            }
        }
        Ok(match value {
            Some(_) => Some(Tensor::cat(&contexts, 0)?),
            None => None,
        })
    }
}

/// `x Wᵀ + b`.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    weight: Tensor,
    pub(crate) bias: Vec<f32>,
}

impl Linear {
    pub(crate) fn new(weights: &Weights, path: &str, outputs: usize, inputs: usize) -> Result<Self, Error> {
        Ok(Self {
            weight: weights.get(&format!("{path}.weight"), &[outputs, inputs])?,
            bias: weights.vector(&format!("{path}.bias"), outputs)?,
        })
    }

    /// `x Wᵀ`, for callers that add the bias together with something else.
    pub(crate) fn product(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        // The transpose is a view: the product packs its operands anyhow.
        x.matmul(&self.weight.t()?)
    }

    fn apply(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let y = self.product(x)?;
        add_bias(&y, &self.bias)?;
        Ok(y)
    }
}

/// The layer normalisation whose weights stand under `path`.
pub(crate) fn norm(weights: &Weights, path: &str, width: usize, eps: f32) -> Result<Norm, Error> {
    Ok(Norm {
        weight: weights.vector(&format!("{path}.weight"), width)?,
        bias: weights.vector(&format!("{path}.bias"), width)?,
        eps,
    })
}
