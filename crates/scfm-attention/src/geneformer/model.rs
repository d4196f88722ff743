//! Geneformer (Theodoris et al. 2023, doi:10.1038/s41586-023-06139-9) as BERT for masked genes, in 32-bit
//! arithmetic, agreeing with `BertForMaskedLM` of transformers 4.46.3 (`eager` attention, evaluation mode):
//! <https://huggingface.co/ctheodoris/Geneformer>.
//!
//! ```text
//! h0 = LN(word[token] + position[0..S] + token_type[0])
//! h  = L encoder layers
//! logits = LN(relu(W h + b)) wordᵀ + bias
//! ```

use candle_core::Tensor;
use ndarray::{Array2, Array3};

use super::{Checkpoint, Config};
use crate::cell_embeddings::Pooling;
use crate::encoder::{Encoder, Input};
use crate::kernels::Norm;
use crate::layer::{EncoderLayer, rows_at};
use crate::linear::{Linear, norm, to_array};
use crate::product::product;
use crate::steps::{biased, biased_relu, normalised};
use crate::{Device, Error, Interventions, TokenisedCell, Transformer, Weights, trace};

/// A Geneformer ready to read cells. Immutable, and cheap to share among threads.
#[derive(Debug, Clone)]
pub struct Geneformer {
    config: Config,
    origin: String,
    words: Tensor,
    positions: Tensor,
    embedding_norm: Norm,
    encoder: Encoder,
    head: Option<MaskedGeneHead>,
}

#[derive(Debug, Clone)]
struct MaskedGeneHead {
    dense: Linear,
    norm: Norm,
    bias: Vec<f32>,
}

impl Geneformer {
    /// The model of a checkpoint on the CPU; shares its weights.
    ///
    /// # Errors
    /// [`Error::MissingTensor`] and [`Error::TensorShape`] with the first weight that is not as the
    /// configuration asks. The masked-gene head alone may be absent as a whole.
    pub fn new(checkpoint: &Checkpoint) -> Result<Self, Error> {
        Self::on(checkpoint, Device::Cpu)
    }

    /// The model of a checkpoint on a device.
    ///
    /// # Errors
    /// As [`Geneformer::new`], and [`Error::Device`].
    pub fn on(checkpoint: &Checkpoint, device: Device) -> Result<Self, Error> {
        let config = checkpoint.config().clone();
        let weights = &checkpoint.weights().on(device)?;
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
            encoder: Encoder::new(
                (0..config.num_hidden_layers)
                    .map(|layer| encoder_layer(weights, &format!("bert.encoder.layer.{layer}"), &config))
                    .collect::<Result<_, _>>()?,
            ),
            head,
            origin: weights.origin().to_owned(),
            config,
        })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Hidden states `[token, D]`: the embeddings, then the output of each layer; L + 1 in all. Agrees with
    /// `output_hidden_states=True`. Holds (L + 1) · S · D numbers.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::Token`] for tokens that the model cannot read (reported as cell 0).
    pub fn hidden_states(&self, tokens: &[u32]) -> Result<Vec<Array2<f32>>, Error> {
        trace::hidden_states(&self.encoder, self.embed_tokens(0, tokens)?)
    }

    /// All attention probabilities of each layer, `[head, query, key]`. Agrees with `output_attentions=True`.
    /// For looking at short cells: it holds L · H · S² numbers, which for 2,048 tokens are gigabytes.
    ///
    /// # Errors
    /// As [`Geneformer::hidden_states`].
    pub fn attention(&self, tokens: &[u32]) -> Result<Vec<Array3<f32>>, Error> {
        trace::attention(&self.encoder, self.embed_tokens(0, tokens)?)
    }

    /// The masked-gene head's logits `[position, V]` at `positions` of a cell.
    ///
    /// # Errors
    /// As [`Geneformer::hidden_states`], and [`Error::NoHead`].
    ///
    /// # Panics
    /// When a position is not below the number of tokens.
    pub fn masked_gene_logits(&self, tokens: &[u32], positions: &[u32]) -> Result<Array2<f32>, Error> {
        self.masked_gene_logits_under(tokens, positions, &Interventions::none())
    }

    /// The same while something is done to the model: a read-out that every intervention can reach.
    ///
    /// # Errors
    /// As [`Geneformer::masked_gene_logits`], [`Error::NoSite`] and [`Error::PatchShape`].
    ///
    /// # Panics
    /// When a position is not below the number of tokens.
    pub fn masked_gene_logits_under(
        &self,
        tokens: &[u32],
        positions: &[u32],
        interventions: &Interventions,
    ) -> Result<Array2<f32>, Error> {
        let head = self.head.as_ref().ok_or_else(|| Error::NoHead {
            origin: self.origin.clone(),
        })?;
        interventions.check(self.n_layers(), self.n_heads())?;
        let embed = || self.embed_tokens(0, tokens);
        if positions.is_empty() {
            embed()?;
            return Ok(Array2::zeros((0, self.config.vocab_size)));
        }
        let n_tokens = tokens.len();
        let hidden = self.encoder.forward(Input { n_tokens, embed }, interventions)?;
        let rows = rows_at(&hidden, positions)?;
        let transformed = biased_relu(head.dense.product(&rows)?, &head.dense.bias)?;
        let transformed = normalised(transformed, &head.norm)?;
        to_array(&biased(product(&transformed, &self.words.t()?)?, &head.bias)?)
    }

    fn embed_tokens(&self, cell: usize, tokens: &[u32]) -> Result<Tensor, Error> {
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
        let words = self
            .words
            .index_select(&Tensor::new(tokens, self.words.device())?, 0)?;
        let hidden = words.add(&self.positions.narrow(0, 0, length)?)?;
        Ok(normalised(hidden, &self.embedding_norm)?)
    }
}

impl Transformer for Geneformer {
    type Cell = TokenisedCell;

    fn n_tokens(&self) -> usize {
        self.config.vocab_size
    }

    fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    fn embed(&self, cell: &TokenisedCell) -> Result<Tensor, Error> {
        self.embed_tokens(cell.cell, &cell.tokens)
    }

    fn pooling(&self) -> Pooling {
        Pooling::MeanOfGenes
    }
}

/// The layer whose weights stand under `path` by their names in Hugging Face's BERT.
fn encoder_layer(weights: &Weights, path: &str, config: &Config) -> Result<EncoderLayer, Error> {
    let (hidden, wide) = (config.hidden_size, config.intermediate_size);
    let linear =
        |name: &str, outputs, inputs| Linear::new(weights, &format!("{path}.{name}"), outputs, inputs);
    let norm = |name: &str| {
        norm(
            weights,
            &format!("{path}.{name}"),
            hidden,
            config.layer_norm_eps as f32,
        )
    };
    Ok(EncoderLayer {
        heads: config.num_attention_heads,
        query: linear("attention.self.query", hidden, hidden)?,
        key: linear("attention.self.key", hidden, hidden)?,
        value: linear("attention.self.value", hidden, hidden)?,
        output: linear("attention.output.dense", hidden, hidden)?,
        attention_norm: norm("attention.output.LayerNorm")?,
        expand: linear("intermediate.dense", wide, hidden)?,
        contract: linear("output.dense", hidden, wide)?,
        output_norm: norm("output.LayerNorm")?,
    })
}
