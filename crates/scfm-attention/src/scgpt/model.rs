//! scGPT (Cui et al. 2024, doi:10.1038/s41592-024-02201-0) in 32-bit arithmetic, agreeing with `TransformerModel` of
//! <https://github.com/bowang-lab/scGPT> at commit cebd6fa in evaluation mode without autocast.
//!
//! ```text
//! h0 = tokens and their values (see `embedding`)
//! h  = L encoder layers
//! expression = w5 lrelu(W3 lrelu(W1 h + b1) + b3) + b5          slope 0.01
//! ```
//!
//! There is no position: permuting the genes of a cell permutes its attention. Padding is never computed, and the
//! flags of the generative pretraining are not: all genes of a cell are perceived.

use candle_core::Tensor;
use ndarray::{Array1, Array2, Array3};

use super::config::LAYER_NORM_EPS;
use super::embedding::Embedding;
use super::{Checkpoint, Config};
use crate::cell_embeddings::Pooling;
use crate::encoder::Encoder;
use crate::layer::{EncoderLayer, rows_at};
use crate::linear::{Linear, norm};
use crate::steps::{biased, biased_leaky_relu};
use crate::{Device, Error, Interventions, Transformer, ValuedCell, Weights, trace};

/// What torch's LeakyReLU multiplies negative numbers by.
pub(super) const SLOPE: f32 = 0.01;

/// An scGPT ready to read cells. Immutable, and cheap to share among threads.
#[derive(Debug, Clone)]
pub struct ScGpt {
    config: Config,
    origin: String,
    embedding: Embedding,
    encoder: Encoder,
    decoder: Result<[Linear; 3], &'static str>,
}

impl ScGpt {
    /// The model of a checkpoint; shares its weights.
    ///
    /// # Errors
    /// [`Error::MissingTensor`] and [`Error::TensorShape`] with the first weight that is not as the configuration asks;
    /// [`Error::Domain`] where inputs are normalised by batches of the training, more than one.
    pub fn new(checkpoint: &Checkpoint) -> Result<Self, Error> {
        Self::on(checkpoint, None, Device::Cpu)
    }

    /// The model for cells of one of the batches that it was trained on, where it normalises its input for each of them.
    /// A model that does not is the same for every batch.
    ///
    /// # Errors
    /// As [`ScGpt::new`].
    pub fn for_domain(checkpoint: &Checkpoint, domain: usize) -> Result<Self, Error> {
        Self::on(checkpoint, Some(domain), Device::Cpu)
    }

    /// The model on a device, for cells of one of its batches where there is one.
    ///
    /// # Errors
    /// As [`ScGpt::new`], and [`Error::Device`].
    pub fn on(checkpoint: &Checkpoint, domain: Option<usize>, device: Device) -> Result<Self, Error> {
        let config = checkpoint.config().clone();
        let weights = &checkpoint.weights().on(device)?;
        Ok(Self {
            embedding: Embedding::new(&config, checkpoint.vocabulary().len(), weights, domain)?,
            encoder: Encoder::new(
                (0..config.nlayers)
                    .map(|layer| {
                        encoder_layer(weights, &format!("transformer_encoder.layers.{layer}"), &config)
                    })
                    .collect::<Result<_, _>>()?,
            ),
            decoder: decoder(weights, config.embsize)?,
            origin: weights.origin().to_owned(),
            config,
        })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Hidden states `[token, D]`: the input of the first layer, then the output of each; L + 1 in all. Holds
    /// (L + 1) · S · D numbers.
    ///
    /// # Errors
    /// [`Error::NoToken`], [`Error::Token`], [`Error::Value`] for a cell that the model cannot read.
    pub fn hidden_states(&self, cell: &ValuedCell) -> Result<Vec<Array2<f32>>, Error> {
        trace::hidden_states(&self.encoder, self.embed(cell)?)
    }

    /// All attention probabilities of each layer, `[head, query, key]`. For looking at short cells: it holds
    /// L · H · S² numbers.
    ///
    /// # Errors
    /// As [`ScGpt::hidden_states`].
    pub fn attention(&self, cell: &ValuedCell) -> Result<Vec<Array3<f32>>, Error> {
        trace::attention(&self.encoder, self.embed(cell)?)
    }

    /// The last hidden state of the first token, of length D: the cell's embedding where `<cls>` comes first. scGPT's
    /// `embed_data` divides it by its norm and computes it in 16 bits, which moves it by about 10⁻³.
    ///
    /// # Errors
    /// As [`ScGpt::hidden_states`].
    pub fn cell_embedding(&self, cell: &ValuedCell) -> Result<Array1<f32>, Error> {
        let hidden = self.encoder.forward(self.input(cell), &Interventions::none())?;
        Ok(Array1::from_vec(hidden.get(0)?.to_vec1()?))
    }

    /// The expression that the decoder reads from each token's last hidden state, in bins.
    ///
    /// # Errors
    /// As [`ScGpt::hidden_states`], and [`Error::NoDecoder`].
    pub fn expression(&self, cell: &ValuedCell) -> Result<Vec<f32>, Error> {
        let positions: Vec<u32> = (0..cell.tokens().len() as u32).collect();
        self.expression_under(cell, &positions, &Interventions::none())
    }

    /// The same at `positions` of a cell while something is done to the model: a read-out that every intervention can reach.
    ///
    /// # Errors
    /// As [`ScGpt::expression`], [`Error::NoSite`] and [`Error::PatchShape`].
    ///
    /// # Panics
    /// When a position is not below the number of tokens.
    pub fn expression_under(
        &self,
        cell: &ValuedCell,
        positions: &[u32],
        interventions: &Interventions,
    ) -> Result<Vec<f32>, Error> {
        let [first, second, last] = self.decoder.as_ref().map_err(|reason| Error::NoDecoder {
            origin: self.origin.clone(),
            reason,
        })?;
        interventions.check(self.n_layers(), self.n_heads())?;
        if positions.is_empty() {
            self.embed(cell)?;
            return Ok(Vec::new());
        }
        let hidden = self.encoder.forward(self.input(cell), interventions)?;
        let mut hidden = rows_at(&hidden, positions)?;
        for linear in [first, second] {
            hidden = biased_leaky_relu(linear.product(&hidden)?, &linear.bias, SLOPE)?;
        }
        let expression = biased(last.product(&hidden)?, &last.bias)?;
        Ok(expression.flatten_all()?.to_vec1()?)
    }
}

impl Transformer for ScGpt {
    type Cell = ValuedCell;

    fn n_tokens(&self) -> usize {
        self.embedding.n_tokens()
    }

    fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    fn embed(&self, cell: &ValuedCell) -> Result<Tensor, Error> {
        self.embedding.apply(cell)
    }

    fn pooling(&self) -> Pooling {
        Pooling::FirstToken
    }
}

/// The layer whose weights stand under `path`.
fn encoder_layer(weights: &Weights, path: &str, config: &Config) -> Result<EncoderLayer, Error> {
    let (width, wide) = (config.embsize, config.d_hid);
    let linear =
        |name: &str, outputs, inputs| Linear::new(weights, &format!("{path}.{name}"), outputs, inputs);
    let norm = |name: &str| norm(weights, &format!("{path}.{name}"), width, LAYER_NORM_EPS);
    let projections = format!("{path}.self_attn.Wqkv");
    let [query, key, value] = Linear::stacked(weights, &projections, width)?;
    Ok(EncoderLayer {
        heads: config.nheads,
        query,
        key,
        value,
        output: linear("self_attn.out_proj", width, width)?,
        attention_norm: norm("norm1")?,
        expand: linear("linear1", wide, width)?,
        contract: linear("linear2", width, wide)?,
        output_norm: norm("norm2")?,
    })
}

/// The decoder of expression, or why there is none that reads genes alone.
fn decoder(weights: &Weights, width: usize) -> Result<Result<[Linear; 3], &'static str>, Error> {
    match weights.shape("decoder.fc.0.weight") {
        None => return Ok(Err("decoder.fc.0.weight is missing")),
        Some(&[_, inputs]) if inputs == 2 * width => {
            return Ok(Err("it reads the batch of the training too (use_batch_labels)"));
        }
        Some(_) => (),
    }
    Ok(Ok([
        Linear::new(weights, "decoder.fc.0", width, width)?,
        Linear::new(weights, "decoder.fc.2", width, width)?,
        Linear::new(weights, "decoder.fc.4", 1, width)?,
    ]))
}
