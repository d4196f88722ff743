//! The input of scGPT's first layer.
//!
//! ```text
//! g  = LN(embedding[token])
//! u  = LN(W2 relu(w1 min(x, 512) + b1) + b2)     x the token's value
//! h0 = BN(g + u)                                 BN in some fine-tuned models only
//! ```
//!
//! No position, no scale, no flag. Where values are categories u is LN(embedding[x]), where they scale h0 is BN(g x).

use candle_core::Tensor;

use super::config::{BATCH_NORM_EPS, LAYER_NORM_EPS};
use super::{BatchNorm, Config, ValueEncoding};
use crate::kernels::Norm;
use crate::linear::{Linear, norm};
use crate::steps::{biased, normalised, scaled_and_shifted};
use crate::{Error, ValuedCell, Weights};

/// Values above this go into the encoder of values as this.
pub(super) const LARGEST_VALUE: f32 = 512.0;

/// From tokens and values to the first layer.
#[derive(Debug, Clone)]
pub(super) struct Embedding {
    genes: Tensor,
    gene_norm: Norm,
    values: ValueEncoder,
    batch_norm: Option<ScaleAndShift>,
}

#[derive(Debug, Clone)]
enum ValueEncoder {
    Continuous {
        weight: Vec<f32>,
        bias: Vec<f32>,
        linear: Linear,
        norm: Norm,
    },
    Category {
        table: Tensor,
        norm: Norm,
    },
    Scaling,
}

/// A batch normalisation with fixed statistics.
#[derive(Debug, Clone)]
struct ScaleAndShift {
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Embedding {
    pub(super) fn new(
        config: &Config,
        n_tokens: usize,
        weights: &Weights,
        domain: Option<usize>,
    ) -> Result<Self, Error> {
        let width = config.embsize;
        let norm = |path: &str| norm(weights, path, width, LAYER_NORM_EPS);
        Ok(Self {
            genes: weights.get("encoder.embedding.weight", &[n_tokens, width])?,
            gene_norm: norm("encoder.enc_norm")?,
            values: match config.input_emb_style {
                ValueEncoding::Continuous => ValueEncoder::Continuous {
                    weight: weights
                        .get("value_encoder.linear1.weight", &[width, 1])?
                        .flatten_all()?
                        .to_vec1()?,
                    bias: weights.vector("value_encoder.linear1.bias", width)?,
                    linear: Linear::new(weights, "value_encoder.linear2", width, width)?,
                    norm: norm("value_encoder.norm")?,
                },
                ValueEncoding::Category => ValueEncoder::Category {
                    table: category_table(weights, width)?,
                    norm: norm("value_encoder.enc_norm")?,
                },
                ValueEncoding::Scaling => ValueEncoder::Scaling,
            },
            batch_norm: batch_norm_path(config, weights, domain)?
                .map(|path| ScaleAndShift::new(weights, &path, width))
                .transpose()?,
        })
    }

    pub(super) fn n_tokens(&self) -> usize {
        self.genes.dims()[0]
    }

    /// h0, `[S, D]`.
    pub(super) fn apply(&self, cell: &ValuedCell) -> Result<Tensor, Error> {
        let hidden = self.genes(cell)?;
        let hidden = match &self.values {
            ValueEncoder::Continuous {
                weight,
                bias,
                linear,
                norm,
            } => {
                check_values(cell, "a number", |_| true)?;
                let mut first = Vec::with_capacity(cell.values().len() * weight.len());
                for value in cell.values() {
                    let value = value.min(LARGEST_VALUE);
                    first.extend(weight.iter().zip(bias).map(|(w, b)| (value * w + b).max(0.0)));
                }
                let first =
                    Tensor::from_vec(first, (cell.values().len(), weight.len()), self.genes.device())?;
                let values = biased(linear.product(&first)?, &linear.bias)?;
                hidden.add(&normalised(values, norm)?)?
            }
            ValueEncoder::Category { table, norm } => {
                let n_categories = table.dim(0)?;
                let expected = format!("a category from 0 to {}", n_categories - 1);
                check_values(cell, &expected, |value| {
                    value.fract() == 0.0 && value >= 0.0 && (value as usize) < n_categories
                })?;
                let categories: Vec<u32> = cell.values().iter().map(|&value| value as u32).collect();
                let values = table.index_select(&Tensor::new(categories, self.genes.device())?, 0)?;
                hidden.add(&normalised(values, norm)?)?
            }
            ValueEncoder::Scaling => {
                check_values(cell, "a number", |_| true)?;
                hidden.broadcast_mul(&Tensor::new(cell.values(), self.genes.device())?.unsqueeze(1)?)?
            }
        };
        if let Some(ScaleAndShift { scale, shift }) = &self.batch_norm {
            return Ok(scaled_and_shifted(hidden, scale, shift)?);
        }
        Ok(hidden)
    }

    fn genes(&self, cell: &ValuedCell) -> Result<Tensor, Error> {
        let (tokens, n_tokens) = (cell.tokens(), self.n_tokens());
        let place = cell.as_ref().cell;
        if tokens.is_empty() {
            return Err(Error::NoToken { cell: place });
        }
        if let Some(&token) = tokens.iter().find(|&&token| token as usize >= n_tokens) {
            return Err(Error::Token {
                cell: place,
                token,
                n_tokens,
            });
        }
        let genes = self
            .genes
            .index_select(&Tensor::new(tokens, self.genes.device())?, 0)?;
        Ok(normalised(genes, &self.gene_norm)?)
    }
}

/// The embedding of categories, of which there are as many as it has rows.
pub(super) fn category_table(weights: &Weights, width: usize) -> Result<Tensor, Error> {
    let name = "value_encoder.embedding.weight";
    let n_categories = weights
        .shape(name)
        .and_then(|shape| shape.first().copied())
        .unwrap_or(0);
    weights.get(name, &[n_categories.max(1), width])
}

/// Where the batch normalisation stands that belongs to `domain`. It is used wherever the weights have one, whatever the
/// configuration says, since the layers were trained on what comes out of it.
fn batch_norm_path(
    config: &Config,
    weights: &Weights,
    domain: Option<usize>,
) -> Result<Option<String>, Error> {
    let of_domain = |domain: usize| format!("dsbn.bns.{domain}");
    let has = |path: &str| weights.contains(&format!("{path}.running_mean"));
    let n_domains = (0..).take_while(|&domain| has(&of_domain(domain))).count();
    if n_domains > 0 {
        return match domain {
            Some(domain) if domain < n_domains => Ok(Some(of_domain(domain))),
            None if n_domains == 1 => Ok(Some(of_domain(0))),
            found => Err(Error::Domain {
                origin: weights.origin().to_owned(),
                n_domains,
                found,
            }),
        };
    }
    let missing = |name: &str| Err(weights.missing(name));
    match &config.domain_spec_batchnorm {
        _ if has("bn") => Ok(Some("bn".to_owned())),
        BatchNorm::Whether(false) => Ok(None),
        BatchNorm::Kind(kind) if kind == "batchnorm" => missing("bn.running_mean"),
        // Read as the published code reads it, which makes no layer of it.
        BatchNorm::Kind(kind) if kind == "do_affine" => Ok(None),
        _ => missing("dsbn.bns.0.running_mean"),
    }
}

impl ScaleAndShift {
    /// (x − mean) / √(variance + ε) · weight + bias; weight and bias are 1 and 0 where there are none.
    fn new(weights: &Weights, path: &str, width: usize) -> Result<Self, Error> {
        let vector = |name: &str| weights.vector(&format!("{path}.{name}"), width);
        let or = |name: &str, default: f32| match weights.contains(&format!("{path}.{name}")) {
            true => vector(name),
            false => Ok(vec![default; width]),
        };
        let (means, variances) = (vector("running_mean")?, vector("running_var")?);
        let scale: Vec<f32> = variances
            .iter()
            .zip(or("weight", 1.0)?)
            .map(|(variance, weight)| weight / (variance + BATCH_NORM_EPS).sqrt())
            .collect();
        if let Some(variance) = variances.iter().position(|&variance| variance < 0.0) {
            return Err(Error::UnexpectedTensor {
                origin: weights.origin().to_owned(),
                name: format!("{path}.running_var"),
                reason: format!("entry {variance} of a variance is negative"),
            });
        }
        let shift = or("bias", 0.0)?
            .iter()
            .zip(means.iter().zip(&scale))
            .map(|(bias, (mean, scale))| bias - mean * scale)
            .collect();
        Ok(Self { scale, shift })
    }
}

fn check_values(cell: &ValuedCell, expected: &str, is_right: impl Fn(f32) -> bool) -> Result<(), Error> {
    let wrong = |&value: &f32| !value.is_finite() || !is_right(value);
    match cell.values().iter().position(wrong) {
        None => Ok(()),
        Some(place) => Err(Error::Value {
            cell: cell.as_ref().cell,
            place,
            value: cell.values()[place],
            expected: expected.to_owned(),
        }),
    }
}
