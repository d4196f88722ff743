//! A post-norm transformer encoder that shows its attention block by block and keeps none of it: the core that every
//! model of this crate shares.
//!
//! With h of shape [S, D], head dimension d and one head j's columns q_j, k_j, v_j of the projections of h, a layer is
//!
//! ```text
//! p_j = softmax(q_j k_jᵀ / √d)        rows queries, columns keys
//! a   = LN(h + [p_0 v_0 … p_H v_H] Woᵀ + bo)
//! h'  = LN(a + W2 relu(W1 a + b1) + b2)
//! ```
//!
//! which is BERT (arXiv:1810.04805) with relu, and also `torch.nn.TransformerEncoderLayer` as it is by default. Models
//! differ in what makes h of the first layer, in the number added to the variance in LN, in widths, and in how their
//! weights are called; none of this is known here. Sequences come one at a time, so that there is no padding to mask.

use candle_core::{D, Tensor};
use ndarray::{Array2, Array3, ArrayView2, Axis, Slice};
use scfm_core::Head;

use crate::kernels::{Norm, add_bias, add_bias_relu, softmax_rows, with_values};
use crate::{Error, Weights};

/// Scores that a block of query rows may take: 2¹⁷ (half a MiB) stay in a core's second-level cache while the
/// softmax, the context product and the observer go over them.
const BLOCK_SCORES: usize = 1 << 17;

/// Matrix products over fewer rows than this spend their time packing the other operand.
const MIN_BLOCK_ROWS: usize = 64;

/// The layers of a model, one after the other.
#[derive(Debug, Clone)]
pub struct Encoder {
    layers: Vec<EncoderLayer>,
}

impl Encoder {
    /// An encoder of these layers.
    ///
    /// # Panics
    /// Without any layer, or where layers differ in their number of heads.
    pub(crate) fn new(layers: Vec<EncoderLayer>) -> Self {
        assert!(
            layers.iter().all(|layer| layer.heads == layers[0].heads) && !layers.is_empty(),
            "layers of one model"
        );
        Self { layers }
    }

    /// Number of layers L.
    pub(crate) fn n_layers(&self) -> usize {
        self.layers.len()
    }

    /// Number of attention heads H of a layer.
    pub(crate) fn n_heads(&self) -> usize {
        self.layers[0].heads
    }

    /// The output of the last layer, `[S, D]`.
    pub(crate) fn forward(&self, mut hidden: Tensor) -> Result<Tensor, Error> {
        for layer in &self.layers {
            hidden = layer.forward(&hidden, |_| ())?;
        }
        Ok(hidden)
    }

    /// What goes into the first layer, then the output of each layer; L + 1 arrays `[S, D]` in all.
    pub(crate) fn hidden_states(&self, mut hidden: Tensor) -> Result<Vec<Array2<f32>>, Error> {
        let mut states = vec![to_array(&hidden)?];
        for layer in &self.layers {
            hidden = layer.forward(&hidden, |_| ())?;
            states.push(to_array(&hidden)?);
        }
        Ok(states)
    }

    /// All attention probabilities of each layer, `[head, query, key]`: L · H · S² numbers.
    pub(crate) fn attention(&self, mut hidden: Tensor) -> Result<Vec<Array3<f32>>, Error> {
        let n = hidden.dim(0)?;
        let mut maps = vec![Array3::zeros((self.n_heads(), n, n)); self.n_layers()];
        for (layer, map) in self.layers.iter().zip(&mut maps) {
            hidden = layer.forward(&hidden, |block| {
                let first = block.queries[0] as usize;
                map.index_axis_mut(Axis(0), block.head.0)
                    .slice_axis_mut(Axis(0), Slice::from(first..first + block.queries.len()))
                    .assign(&block.probabilities);
            })?;
        }
        Ok(maps)
    }

    /// Shows the attention of every layer to `observe`, block by block, at the least cost: of the last layer only the
    /// rows of `last_queries`, and nothing after its attention.
    pub(crate) fn observe(
        &self,
        mut hidden: Tensor,
        last_queries: &[u32],
        mut observe: impl FnMut(usize, AttentionBlock<'_>),
    ) -> Result<(), Error> {
        let (last, before) = self.layers.split_last().expect("an encoder has layers");
        for (index, layer) in before.iter().enumerate() {
            hidden = layer.forward(&hidden, |block| observe(index, block))?;
        }
        last.attention_of(&hidden, last_queries, |block| observe(before.len(), block))
    }
}

/// Attention probabilities of one head for some of the queries of a cell.
pub(crate) struct AttentionBlock<'a> {
    /// The head.
    pub(crate) head: Head,
    /// Positions of the queries in the cell.
    pub(crate) queries: &'a [u32],
    /// Probabilities, `[query, key]`; every row sums to 1.
    pub(crate) probabilities: ArrayView2<'a, f32>,
}

/// One layer's weights, of width D in and out.
#[derive(Debug, Clone)]
pub(crate) struct EncoderLayer {
    /// Number of heads H; divides D.
    pub(crate) heads: usize,
    pub(crate) query: Linear,
    pub(crate) key: Linear,
    pub(crate) value: Linear,
    /// From the heads' contexts side by side.
    pub(crate) output: Linear,
    pub(crate) attention_norm: Norm,
    /// To the width of the feed-forward step, before relu.
    pub(crate) expand: Linear,
    /// And back.
    pub(crate) contract: Linear,
    pub(crate) output_norm: Norm,
}

impl EncoderLayer {
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
        let (n_keys, width) = hidden.dims2()?;
        let head_dim = width / self.heads;
        let scale = 1.0 / (head_dim as f32).sqrt();
        let block_rows = (BLOCK_SCORES / n_keys).max(MIN_BLOCK_ROWS);
        let columns = |tensor: &Tensor, head: usize| tensor.narrow(D::Minus1, head * head_dim, head_dim);

        let mut contexts = Vec::new();
        for (block, positions) in positions.chunks(block_rows).enumerate() {
            let query = query.narrow(0, block * block_rows, positions.len())?;
            let mut heads = Vec::with_capacity(self.heads);
            for head in 0..self.heads {
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

    /// The linear maps, `N` of them of as many rows as columns, whose rows stand one after the other under `path`: the
    /// query, key and value projections of torch's attention.
    pub(crate) fn stacked<const N: usize>(
        weights: &Weights,
        path: &str,
        width: usize,
    ) -> Result<[Self; N], Error> {
        let stack = weights.get(&format!("{path}.weight"), &[N * width, width])?;
        let biases = weights.vector(&format!("{path}.bias"), N * width)?;
        let mut maps = Vec::with_capacity(N);
        for (part, bias) in biases.chunks_exact(width).enumerate() {
            maps.push(Self {
                weight: stack.narrow(0, part * width, width)?,
                bias: bias.to_vec(),
            });
        }
        Ok(maps.try_into().expect("as many parts as were cut"))
    }

    /// `x Wᵀ`, for callers that add the bias together with something else.
    pub(crate) fn product(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        // The transpose is a view: the product packs its operands anyhow.
        x.matmul(&self.weight.t()?)
    }

    pub(crate) fn apply(&self, x: &Tensor) -> candle_core::Result<Tensor> {
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

/// A matrix out of the tensor arithmetic.
pub(crate) fn to_array(tensor: &Tensor) -> Result<Array2<f32>, Error> {
    let dims = tensor.dims2()?;
    let values = tensor.flatten_all()?.to_vec1()?;
    Ok(Array2::from_shape_vec(dims, values).expect("as many values as the shape says"))
}
