//! One layer of the [encoder](crate::encoder).
//!
//! With h of shape [S, D], head dimension d and one head j's columns q_j, k_j, v_j of the projections of h, it is
//!
//! ```text
//! p_j = softmax(q_j k_jᵀ / √d)        rows queries, columns keys
//! a   = LN(h + [p_0 v_0 … p_H v_H] Woᵀ + bo)
//! h'  = LN(a + W2 relu(W1 a + b1) + b2)
//! ```

use candle_core::{D, Device, Tensor};
use ndarray::{Array2, ArrayView2, Axis};
use scfm_core::{Head, Layer};

use crate::interventions::HeadIntervention;
use crate::kernels::Norm;
use crate::linear::Linear;
use crate::observer::{AttentionBlock, Observer, Seen};
use crate::product::product;
use crate::steps::{biased, biased_relu, normalised_sum, softmax, with_values};
use crate::{Error, Interventions, Site};

/// Scores that a block of query rows may take. 2¹⁹ (two MiB) give products at which packing the other operand does not
/// count, and stay in the larger caches while the softmax, the context product and the observer go over them.
const BLOCK_SCORES: usize = 1 << 19;

/// Matrix products over fewer rows than this spend their time packing the other operand.
const MIN_BLOCK_ROWS: usize = 64;

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
pub(crate) struct Run<'a> {
    pub(crate) layer: &'a EncoderLayer,
    pub(crate) at: Layer,
    pub(crate) interventions: &'a Interventions,
}

impl Run<'_> {
    /// The layer's output for `hidden` of shape [S, D].
    pub(crate) fn output(&self, hidden: &Tensor, observer: &mut impl Observer) -> Result<Tensor, Error> {
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
            Some(patch) => patch_tensor(site, patch, attended.dims2()?, None, attended.device())?,
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
    pub(crate) fn attention(
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
            Some(positions) => (positions, rows_at(hidden, positions)?),
            None => {
                all = (0..n_keys as u32).collect();
                (all.as_slice(), hidden.clone())
            }
        };
        let wants = observer.wants(self.at);
        let heads: Vec<(Head, Gathers<'_>)> = (0..layer.heads)
            .map(Head)
            .map(|head| match with_contexts {
                true => (head, Gathers::of(&self.interventions.of_head(self.at, head))),
                false => (head, Gathers::Nothing),
            })
            .collect();
        // Of a head that is silenced, or whose context is given, no attention is computed unless somebody looks at it.
        let shows = wants.attention || wants.logits;
        let softmaxes = |gathers: &Gathers<'_>| shows || matches!(gathers, Gathers::ByAttention);
        let of_pairs = match heads.iter().any(|(_, gathers)| softmaxes(gathers)) {
            true => Some((layer.query.apply(&rows)?, layer.key.apply(hidden)?)),
            false => None,
        };
        let value = match wants.lengths || heads.iter().any(|(_, gathers)| gathers.values()) {
            true => Some(layer.value.apply(hidden)?),
            false => None,
        };
        if let (Some(value), true) = (&value, wants.lengths) {
            let lengths = layer.lengths(value)?;
            observer.see(self.at, Seen::Lengths(lengths.view()));
        }

        let block_rows = if wants.logits {
            positions.len()
        } else {
            (BLOCK_SCORES / n_keys).max(MIN_BLOCK_ROWS)
        };
        let mut contexts = Vec::new();
        for (block, positions) in positions.chunks(block_rows).enumerate() {
            let queries = |all: &Tensor| all.narrow(0, block * block_rows, positions.len());
            let mut of_heads = Vec::with_capacity(layer.heads);
            for (head, gathers) in &heads {
                let probabilities = match &of_pairs {
                    Some((query, key)) if softmaxes(gathers) => {
                        Some(self.probabilities(*head, positions, &queries(query)?, key, observer)?)
                    }
                    _ => None,
                };
                if with_contexts {
                    let parts = (probabilities.as_ref(), value.as_ref());
                    of_heads.push(self.context(*head, gathers, positions, parts, hidden)?);
                }
            }
            if with_contexts {
                contexts.push(Tensor::cat(&of_heads, 1)?);
            }
        }
        if !with_contexts {
            return Ok(None);
        }
        let contexts = Tensor::cat(&contexts, 0)?;
        if wants.contexts {
            with_rows(&contexts, |rows| {
                observer.see(self.at, Seen::Contexts(positions, rows));
            })?;
        }
        Ok(Some(contexts))
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

    /// What a head gathers for a block of queries, `[query, d]`, of the probabilities and values that it takes.
    fn context(
        &self,
        head: Head,
        gathers: &Gathers<'_>,
        queries: &[u32],
        (probabilities, value): (Option<&Tensor>, Option<&Tensor>),
        hidden: &Tensor,
    ) -> Result<Tensor, Error> {
        let (n_keys, width) = (hidden.dim(0)?, self.layer.head_dim(hidden)?);
        let value = || {
            let value = value.expect("values where a head gathers them");
            self.layer.of_head(value, head)
        };
        let device = hidden.device();
        let context = match *gathers {
            Gathers::Nothing => return Ok(Tensor::zeros((queries.len(), width), hidden.dtype(), device)?),
            Gathers::Given(patch) => {
                let site = Site::Context(self.at, head);
                patch_tensor(site, patch, (n_keys, width), Some(queries), device)?
            }
            Gathers::Evenly => {
                let mean = value()?.mean_keepdim(0)?;
                mean.broadcast_as((queries.len(), width))?.contiguous()?
            }
            Gathers::By(patch) => {
                let site = Site::Attention(self.at, head);
                let probabilities = patch_tensor(site, patch, (n_keys, n_keys), Some(queries), device)?;
                product(&probabilities, &value()?)?
            }
            Gathers::ByAttention => {
                let probabilities = probabilities.expect("attention where a head gathers by it");
                product(probabilities, &value()?)?
            }
        };
        match self.interventions.of_head(self.at, head).scale {
            1.0 => Ok(context),
            scale => Ok(context.affine(f64::from(scale), 0.0)?),
        }
    }
}

/// What a head passes on, up to its scale.
enum Gathers<'a> {
    /// Nothing: it is silenced, or nobody asks.
    Nothing,
    /// The context of another run.
    Given(&'a Array2<f32>),
    /// The mean of all values.
    Evenly,
    /// Values by the probabilities of another run.
    By(&'a Array2<f32>),
    /// Values by its attention.
    ByAttention,
}

impl<'a> Gathers<'a> {
    fn of(done: &HeadIntervention<'a>) -> Self {
        match *done {
            HeadIntervention { scale: 0.0, .. } => Self::Nothing,
            HeadIntervention {
                context: Some(patch), ..
            } => Self::Given(patch),
            HeadIntervention { uniform: true, .. } => Self::Evenly,
            HeadIntervention {
                attention: Some(patch),
                ..
            } => Self::By(patch),
            _ => Self::ByAttention,
        }
    }

    /// Whether it takes the values of this run.
    fn values(&self) -> bool {
        !matches!(self, Self::Nothing | Self::Given(_))
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

/// Stored activations in the place of a tensor's, the rows at `positions` where there are any.
pub(crate) fn patch_tensor(
    site: Site,
    patch: &Array2<f32>,
    expected: (usize, usize),
    positions: Option<&[u32]>,
    device: &Device,
) -> Result<Tensor, Error> {
    if patch.dim() != expected {
        return Err(Error::PatchShape {
            site,
            found: patch.dim(),
            expected,
        });
    }
    let rows = match positions {
        Some(positions) => {
            let rows: Vec<usize> = positions.iter().map(|&row| row as usize).collect();
            patch.select(Axis(0), &rows)
        }
        None => patch.as_standard_layout().into_owned(),
    };
    let n_rows = rows.nrows();
    let (values, _) = rows.into_raw_vec_and_offset();
    Ok(Tensor::from_vec(values, (n_rows, expected.1), device)?)
}

/// Some of the hidden states of a cell.
///
/// # Panics
/// When a position is not below the number of tokens.
pub(crate) fn rows_at(hidden: &Tensor, positions: &[u32]) -> Result<Tensor, Error> {
    let n_tokens = hidden.dim(0)?;
    assert!(
        positions.iter().all(|&p| (p as usize) < n_tokens),
        "positions lie within the cell's {n_tokens} tokens"
    );
    Ok(hidden.index_select(&Tensor::new(positions, hidden.device())?, 0)?)
}

/// Shows a matrix, row-major.
pub(crate) fn with_rows<R>(tensor: &Tensor, show: impl FnOnce(ArrayView2<'_, f32>) -> R) -> Result<R, Error> {
    let shape = tensor.dims2()?;
    Ok(with_values(tensor, |values| {
        show(ArrayView2::from_shape(shape, values).expect("as many values as the shape says"))
    })?)
}
