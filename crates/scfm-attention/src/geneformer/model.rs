//! Geneformer (Theodoris et al. 2023, doi:10.1038/s41586-023-06139-9) as BERT for masked genes, in 32-bit
//! arithmetic, agreeing with `BertForMaskedLM` of transformers 4.46.3 (`eager` attention, evaluation mode):
//! <https://huggingface.co/ctheodoris/Geneformer>.
//!
//! ```text
//! h0 = LN(word[token] + position[0..S] + token_type[0])
//! h  = L encoder layers
//! logits = LN(relu(W h + b)) wordᵀ + bias
//! ```

use candle_core::{Device, Tensor};
use ndarray::{Array2, Array3, Axis, Slice};

use super::{Checkpoint, Config};
use crate::encoder::{AttentionBlock, EncoderLayer, Linear, norm};
use crate::kernels::{Norm, add_bias, add_bias_relu};
use crate::{Error, TokenisedCell};

/// A Geneformer ready to read cells. Immutable, and cheap to share among threads.
#[derive(Debug, Clone)]
pub struct Geneformer {
    config: Config,
    origin: String,
    words: Tensor,
    positions: Tensor,
    embedding_norm: Norm,
    layers: Vec<EncoderLayer>,
    head: Option<MaskedGeneHead>,
}

#[derive(Debug, Clone)]
struct MaskedGeneHead {
    dense: Linear,
    norm: Norm,
    bias: Vec<f32>,
}

impl Geneformer {
    /// The model of a checkpoint; shares its weights.
    ///
    /// # Errors
    /// [`Error::MissingTensor`] and [`Error::TensorShape`] with the first weight that is not as the
    /// configuration asks. The masked-gene head alone may be absent as a whole.
    pub fn new(checkpoint: &Checkpoint) -> Result<Self, Error> {
        let (config, weights) = (checkpoint.config().clone(), checkpoint.weights());
        let Config {
            hidden_size: hidden,
            vocab_size,
            ..
        } = config;
        let eps = config.layer_norm_eps as f32;
        let table =
            |name: &str, rows| weights.get(&format!("bert.embeddings.{name}.weight"), &[rows, hidden]);
        let types = table("token_type_embeddings", config.type_vocab_size)?;
        let positions = table("position_embeddings", config.max_position_embeddings)?;
        let head_path = "cls.predictions.transform";
        let head = if weights.contains(&format!("{head_path}.dense.weight")) {
            Some(MaskedGeneHead {
                dense: Linear::new(weights, &format!("{head_path}.dense"), hidden, hidden)?,
                norm: norm(weights, &format!("{head_path}.LayerNorm"), hidden, eps)?,
                bias: weights.vector("cls.predictions.bias", vocab_size)?,
            })
        } else {
            None
        };
        Ok(Self {
            words: table("word_embeddings", vocab_size)?,
            // Every token is of type 0.
            positions: positions.broadcast_add(&types.narrow(0, 0, 1)?)?,
            embedding_norm: norm(weights, "bert.embeddings.LayerNorm", hidden, eps)?,
            layers: (0..config.num_hidden_layers)
                .map(|layer| {
                    EncoderLayer::bert(
                        weights,
                        &format!("bert.encoder.layer.{layer}"),
                        config.layer_shape(),
                    )
                })
                .collect::<Result<_, _>>()?,
            head,
            origin: weights.origin().to_owned(),
            config,
        })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Number of layers L.
    pub fn n_layers(&self) -> usize {
        self.layers.len()
    }

    /// Number of attention heads of a layer.
    pub fn n_heads(&self) -> usize {
        self.config.num_attention_heads
    }

    /// Hidden states `[token, D]`: the embeddings, then the output of each layer; L + 1 in all. Agrees with
    /// `output_hidden_states=True`. Holds (L + 1) · S · D numbers.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Token`] for tokens that the model cannot read (reported as cell 0).
    pub fn hidden_states(&self, tokens: &[u32]) -> Result<Vec<Array2<f32>>, Error> {
        let mut hidden = self.embed(0, tokens)?;
        let mut states = vec![to_array(&hidden)?];
        for layer in &self.layers {
            hidden = layer.forward(&hidden, |_| ())?;
            states.push(to_array(&hidden)?);
        }
        Ok(states)
    }

    /// All attention probabilities of each layer, `[head, query, key]`. Agrees with `output_attentions=True`.
    /// For looking at short cells: it holds L · H · S² numbers, which for 2,048 tokens are gigabytes.
    ///
    /// # Errors
    /// As [`Geneformer::hidden_states`].
    pub fn attention(&self, tokens: &[u32]) -> Result<Vec<Array3<f32>>, Error> {
        let n = tokens.len();
        let mut maps = vec![Array3::zeros((self.n_heads(), n, n)); self.n_layers()];
        let mut hidden = self.embed(0, tokens)?;
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

    /// The masked-gene head's logits `[position, V]` at `positions` of a cell.
    ///
    /// # Errors
    /// As [`Geneformer::hidden_states`], and [`Error::NoHead`].
    ///
    /// # Panics
    /// When a position is not below the number of tokens.
    pub fn masked_gene_logits(&self, tokens: &[u32], positions: &[u32]) -> Result<Array2<f32>, Error> {
        let head = self.head.as_ref().ok_or_else(|| Error::NoHead {
            origin: self.origin.clone(),
        })?;
        let mut hidden = self.embed(0, tokens)?;
        if positions.is_empty() {
            return Ok(Array2::zeros((0, self.config.vocab_size)));
        }
        assert!(
            positions.iter().all(|&p| (p as usize) < tokens.len()),
            "positions lie within the cell's {} tokens",
            tokens.len()
        );
        for layer in &self.layers {
            hidden = layer.forward(&hidden, |_| ())?;
        }
        let rows = hidden.index_select(&Tensor::new(positions, &Device::Cpu)?, 0)?;
        let transformed = head.dense.product(&rows)?;
        add_bias_relu(&transformed, &head.dense.bias)?;
        head.norm.apply(&transformed)?;
        let logits = transformed.matmul(&self.words.t()?)?;
        add_bias(&logits, &head.bias)?;
        to_array(&logits)
    }

    /// Shows the attention of a cell to `observe`, layer by layer and block by block, at the least cost: of the
    /// last layer only the rows of `last_queries`, and nothing after its attention.
    pub(crate) fn observe_attention(
        &self,
        cell: &TokenisedCell,
        last_queries: &[u32],
        mut observe: impl FnMut(usize, AttentionBlock<'_>),
    ) -> Result<(), Error> {
        let mut hidden = self.embed(cell.cell, &cell.tokens)?;
        let (last, before) = self
            .layers
            .split_last()
            .expect("a checked configuration has layers");
        for (index, layer) in before.iter().enumerate() {
            hidden = layer.forward(&hidden, |block| observe(index, block))?;
        }
        last.attention_of(&hidden, last_queries, |block| observe(before.len(), block))
    }

    fn embed(&self, cell: usize, tokens: &[u32]) -> Result<Tensor, Error> {
        let (length, max) = (tokens.len(), self.config.max_position_embeddings);
        if length == 0 || length > max {
            return Err(Error::Length { cell, length, max });
        }
        let n_tokens = self.config.vocab_size;
        if let Some(&token) = tokens.iter().find(|&&token| token as usize >= n_tokens) {
            return Err(Error::Token {
                cell,
                token,
                n_tokens,
            });
        }
        let words = self.words.index_select(&Tensor::new(tokens, &Device::Cpu)?, 0)?;
        let hidden = words.add(&self.positions.narrow(0, 0, length)?)?;
        self.embedding_norm.apply(&hidden)?;
        Ok(hidden)
    }
}

fn to_array(tensor: &Tensor) -> Result<Array2<f32>, Error> {
    let dims = tensor.dims2()?;
    let values = tensor.flatten_all()?.to_vec1()?;
    Ok(Array2::from_shape_vec(dims, values).expect("as many values as the shape says"))
}
