//! A post-norm transformer encoder that shows what happens in it block by block and keeps none of it: the core that every
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
//!
//! [`Interventions`] say what is done to the parts on the way, an [`Observer`] what of them is looked at. Looking changes
//! no bit of what is computed.

use candle_core::{D, Tensor};
use ndarray::{Array2, ArrayView2};
use scfm_core::{Head, Layer};

use crate::interventions::HeadIntervention;
use crate::kernels::Norm;
use crate::linear::Linear;
use crate::observer::{AttentionBlock, Observer, Seen, Wants};
use crate::product::product;
use crate::steps::{biased, biased_relu, normalised_sum, softmax, with_values};
use crate::{Error, Interventions, Site};

/// Scores that a block of query rows may take. 2¹⁹ (two MiB) give products at which packing the other operand does not
/// count, and stay in the larger caches while the softmax, the context product and the observer go over them.
const BLOCK_SCORES: usize = 1 << 19;

/// Matrix products over fewer rows than this spend their time packing the other operand.
const MIN_BLOCK_ROWS: usize = 64;

/// The layers of a model, one after the other.
#[derive(Debug, Clone)]
pub struct Encoder {
    layers: Vec<EncoderLayer>,
}

/// Nobody looks.
struct Nobody;

impl Observer for Nobody {
    fn wants(&self, _: Layer) -> Wants {
        Wants::default()
    }

    fn see(&mut self, _: Layer, _: Seen<'_>) {}
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
    pub(crate) fn forward(&self, hidden: Tensor, interventions: &Interventions) -> Result<Tensor, Error> {
        self.through(self.n_layers(), hidden, interventions, &mut Nobody)
    }

    /// Shows what `observer` wants to see, at the least cost: nothing is computed beyond the last layer that it looks at,
    /// and of that layer only `last_queries`, where attention and contexts are all that is looked at.
    pub(crate) fn observe(
        &self,
        hidden: Tensor,
        interventions: &Interventions,
        last_queries: &[u32],
        observer: &mut impl Observer,
    ) -> Result<(), Error> {
        let Some(last) = (0..self.n_layers()).rfind(|&layer| observer.wants(Layer(layer)).any()) else {
            return Ok(());
        };
        let wants = observer.wants(Layer(last));
        if wants.mlp || wants.hidden {
            self.through(last + 1, hidden, interventions, observer)?;
            return Ok(());
        }
        let hidden = self.through(last, hidden, interventions, observer)?;
        let layer = Run {
            layer: &self.layers[last],
            at: Layer(last),
            interventions,
        };
        layer.attention(&hidden, Some(last_queries), wants.contexts, observer)?;
        Ok(())
    }

    /// The output of the first `n` layers. Those below a patched output that nobody looks at are not computed.
    fn through(
        &self,
        n: usize,
        hidden: Tensor,
        interventions: &Interventions,
        observer: &mut impl Observer,
    ) -> Result<Tensor, Error> {
        let size = hidden.dims2()?;
        let patched = |site, hidden: Tensor| match interventions.patch_at(site) {
            Some(patch) => patch_tensor(site, patch, size, None, &hidden),
            None => Ok(hidden),
        };
        let looked_at = (0..n)
            .find(|&layer| observer.wants(Layer(layer)).any())
            .unwrap_or(n);
        let first = (0..looked_at)
            .rfind(|&layer| interventions.patch_at(Site::Hidden(Layer(layer))).is_some())
            .unwrap_or(0);
        let mut hidden = patched(Site::Embeddings, hidden)?;
        for (index, layer) in self.layers.iter().enumerate().take(n).skip(first) {
            let at = Layer(index);
            let site = Site::Hidden(at);
            // What a patch replaces is not computed, unless something on the way to it is looked at.
            let replaced = interventions.patch_at(site).is_some() && !observer.wants(at).any();
            if !replaced {
                let run = Run {
                    layer,
                    at,
                    interventions,
                };
                hidden = run.output(&hidden, observer)?;
            }
            hidden = patched(site, hidden)?;
            if observer.wants(at).hidden {
                with_rows(&hidden, |rows| observer.see(at, Seen::Hidden(rows)))?;
            }
        }
        Ok(hidden)
    }
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

/// A layer at its place, and what is done in it.
struct Run<'a> {
    layer: &'a EncoderLayer,
    at: Layer,
    interventions: &'a Interventions,
}

impl Run<'_> {
    /// The layer's output for `hidden` of shape [S, D].
    fn output(&self, hidden: &Tensor, observer: &mut impl Observer) -> Result<Tensor, Error> {
        let layer = self.layer;
        let context = self
            .attention(hidden, None, true, observer)?
            .expect("contexts where they are asked for");
        let attended = normalised_sum(
            layer.output.product(&context)?,
            &layer.output.bias,
            hidden,
            &layer.attention_norm,
        )?;
        let expanded = biased_relu(layer.expand.product(&attended)?, &layer.expand.bias)?;
        let contracted = layer.contract.product(&expanded)?;
        self.add_mlp(contracted, &attended, observer)
    }

    /// `LN(attended + contracted + b2)`.
    fn add_mlp(
        &self,
        contracted: Tensor,
        attended: &Tensor,
        observer: &mut impl Observer,
    ) -> Result<Tensor, Error> {
        let (layer, site) = (self.layer, Site::Mlp(self.at));
        let (scale, patch) = (
            self.interventions.mlp_scale(self.at),
            self.interventions.patch_at(site),
        );
        if scale == 1.0 && patch.is_none() {
            if observer.wants(self.at).mlp {
                let added = biased(contracted.copy()?, &layer.contract.bias)?;
                with_rows(&added, |rows| observer.see(self.at, Seen::Mlp(rows)))?;
            }
            let sum = normalised_sum(contracted, &layer.contract.bias, attended, &layer.output_norm)?;
            return Ok(sum);
        }
        let added = match patch {
            Some(patch) => patch_tensor(site, patch, attended.dims2()?, None, attended)?,
            None => biased(contracted, &layer.contract.bias)?,
        };
        let added = added.affine(f64::from(scale), 0.0)?;
        if observer.wants(self.at).mlp {
            with_rows(&added, |rows| observer.see(self.at, Seen::Mlp(rows)))?;
        }
        let no_bias = vec![0.0; layer.contract.bias.len()];
        Ok(normalised_sum(added, &no_bias, attended, &layer.output_norm)?)
    }

    /// Shows the attention of the queries at `positions`, all where there are none, over all of `hidden`. Their contexts,
    /// `[query, D]`, where they are asked for.
    fn attention(
        &self,
        hidden: &Tensor,
        positions: Option<&[u32]>,
        with_contexts: bool,
        observer: &mut impl Observer,
    ) -> Result<Option<Tensor>, Error> {
        let layer = self.layer;
        let n_keys = hidden.dim(0)?;
        let all: Vec<u32>;
        let (positions, rows) = match positions {
            Some([]) => return Ok(None),
            Some(positions) => {
                let rows = hidden.index_select(&Tensor::new(positions, hidden.device())?, 0)?;
                (positions, rows)
            }
            None => {
                all = (0..n_keys as u32).collect();
                (all.as_slice(), hidden.clone())
            }
        };
        let wants = observer.wants(self.at);
        if with_contexts
            && !(wants.attention || wants.logits || wants.lengths)
            && let Some(contexts) = self.given_contexts(positions, &rows, n_keys)?
        {
            self.show_contexts(positions, &contexts, observer)?;
            return Ok(Some(contexts));
        }
        let (query, key) = (layer.query.apply(&rows)?, layer.key.apply(hidden)?);
        let value = if with_contexts || wants.lengths {
            Some(layer.value.apply(hidden)?)
        } else {
            None
        };
        if let (Some(value), true) = (&value, wants.lengths) {
            let lengths = layer.lengths(value)?;
            observer.see(self.at, Seen::Lengths(lengths.view()));
        }
        let value = value.filter(|_| with_contexts);

        let block_rows = if wants.logits {
            positions.len()
        } else {
            (BLOCK_SCORES / n_keys).max(MIN_BLOCK_ROWS)
        };
        let mut contexts = Vec::new();
        for (block, positions) in positions.chunks(block_rows).enumerate() {
            let query = query.narrow(0, block * block_rows, positions.len())?;
            let mut heads = Vec::with_capacity(layer.heads);
            for head in (0..layer.heads).map(Head) {
                let probabilities = self.probabilities(head, positions, &query, &key, observer)?;
                if let Some(value) = &value {
                    let done = self.interventions.of_head(self.at, head);
                    heads.push(self.context(
                        head,
                        positions,
                        &probabilities,
                        &layer.of_head(value, head)?,
                        &done,
                    )?);
                }
            }
            if value.is_some() {
                contexts.push(Tensor::cat(&heads, 1)?);
            }
        }
        if value.is_none() {
            return Ok(None);
        }
        let contexts = Tensor::cat(&contexts, 0)?;
        self.show_contexts(positions, &contexts, observer)?;
        Ok(Some(contexts))
    }

    fn show_contexts(
        &self,
        queries: &[u32],
        contexts: &Tensor,
        observer: &mut impl Observer,
    ) -> Result<(), Error> {
        if observer.wants(self.at).contexts {
            with_rows(contexts, |rows| {
                observer.see(self.at, Seen::Contexts(queries, rows));
            })?;
        }
        Ok(())
    }

    /// What the heads gather for these queries, where it is given for each or multiplied by 0: nothing of the hidden states is
    /// then needed. `rows` are those of the queries.
    fn given_contexts(&self, queries: &[u32], rows: &Tensor, n_keys: usize) -> Result<Option<Tensor>, Error> {
        let width = self.layer.head_dim(rows)?;
        let mut heads = Vec::with_capacity(self.layer.heads);
        for head in (0..self.layer.heads).map(Head) {
            let done = self.interventions.of_head(self.at, head);
            heads.push(match done.context {
                _ if done.scale == 0.0 => Tensor::zeros((queries.len(), width), rows.dtype(), rows.device())?,
                Some(patch) => {
                    let site = Site::Context(self.at, head);
                    let context = patch_tensor(site, patch, (n_keys, width), Some(queries), rows)?;
                    scaled(context, done.scale)?
                }
                None => return Ok(None),
            });
        }
        Ok(Some(Tensor::cat(&heads, 1)?))
    }

    /// The softmax of a head for a block of queries, shown on the way.
    fn probabilities(
        &self,
        head: Head,
        queries: &[u32],
        query: &Tensor,
        key: &Tensor,
        observer: &mut impl Observer,
    ) -> Result<Tensor, Error> {
        let wants = observer.wants(self.at);
        let scale = 1.0 / (self.layer.head_dim(key)? as f32).sqrt();
        let (query, key) = (self.layer.of_head(query, head)?, self.layer.of_head(key, head)?);
        let logits = product(&query, &key.t()?)?;
        if wants.logits {
            let scaled = logits.affine(f64::from(scale), 0.0)?;
            with_rows(&scaled, |values| {
                observer.see(
                    self.at,
                    Seen::Logits(AttentionBlock {
                        head,
                        queries,
                        values,
                    }),
                );
            })?;
        }
        let probabilities = softmax(logits, scale)?;
        if wants.attention {
            with_rows(&probabilities, |values| {
                observer.see(
                    self.at,
                    Seen::Attention(AttentionBlock {
                        head,
                        queries,
                        values,
                    }),
                );
            })?;
        }
        Ok(probabilities)
    }

    /// What a head gathers for a block of queries, `[query, d]`.
    fn context(
        &self,
        head: Head,
        queries: &[u32],
        probabilities: &Tensor,
        value: &Tensor,
        done: &HeadIntervention<'_>,
    ) -> Result<Tensor, Error> {
        let (n_keys, width) = value.dims2()?;
        let context = if let Some(patch) = done.context {
            let site = Site::Context(self.at, head);
            patch_tensor(site, patch, (n_keys, width), Some(queries), value)?
        } else if done.uniform {
            value
                .mean_keepdim(0)?
                .broadcast_as((queries.len(), width))?
                .contiguous()?
        } else if let Some(patch) = done.attention {
            let site = Site::Attention(self.at, head);
            product(
                &patch_tensor(site, patch, (n_keys, n_keys), Some(queries), value)?,
                value,
            )?
        } else {
            product(probabilities, value)?
        };
        scaled(context, done.scale)
    }
}

impl EncoderLayer {
    fn head_dim(&self, rows: &Tensor) -> Result<usize, Error> {
        Ok(rows.dim(D::Minus1)? / self.heads)
    }

    /// The columns of a head.
    fn of_head(&self, rows: &Tensor, head: Head) -> Result<Tensor, Error> {
        let head_dim = self.head_dim(rows)?;
        Ok(rows.narrow(D::Minus1, head.0 * head_dim, head_dim)?)
    }

    /// `‖v W_O‖` of each head and key.
    fn lengths(&self, value: &Tensor) -> Result<Array2<f32>, Error> {
        let (n_keys, head_dim) = (value.dim(0)?, self.head_dim(value)?);
        let mut lengths = Array2::zeros((self.heads, n_keys));
        for head in 0..self.heads {
            let passed_on = self
                .output
                .product_of_inputs(&self.of_head(value, Head(head))?, head * head_dim)?;
            with_rows(&passed_on, |rows| {
                for (length, row) in lengths.row_mut(head).iter_mut().zip(rows.outer_iter()) {
                    *length = row.dot(&row).sqrt();
                }
            })?;
        }
        Ok(lengths)
    }
}

fn scaled(rows: Tensor, scale: f32) -> Result<Tensor, Error> {
    match scale {
        1.0 => Ok(rows),
        scale => Ok(rows.affine(f64::from(scale), 0.0)?),
    }
}

/// Stored activations in the place of a tensor's, the rows at `positions` where there are any.
fn patch_tensor(
    site: Site,
    patch: &Array2<f32>,
    expected: (usize, usize),
    positions: Option<&[u32]>,
    like: &Tensor,
) -> Result<Tensor, Error> {
    if patch.dim() != expected {
        return Err(Error::PatchShape {
            site,
            found: patch.dim(),
            expected,
        });
    }
    let values: Vec<f32> = match positions {
        Some(positions) => positions
            .iter()
            .flat_map(|&row| patch.row(row as usize))
            .copied()
            .collect(),
        None => patch.iter().copied().collect(),
    };
    let rows = values.len() / expected.1.max(1);
    Ok(Tensor::from_vec(values, (rows, expected.1), like.device())?)
}

/// Shows a matrix, row-major.
fn with_rows<R>(tensor: &Tensor, show: impl FnOnce(ArrayView2<'_, f32>) -> R) -> Result<R, Error> {
    let shape = tensor.dims2()?;
    Ok(with_values(tensor, |values| {
        show(ArrayView2::from_shape(shape, values).expect("as many values as the shape says"))
    })?)
}
