use serde::{Deserialize, Serialize};

use crate::Error;

/// Added to the variance in the layer normalisations: torch's default, which no scGPT changes.
pub(super) const LAYER_NORM_EPS: f32 = 1e-5;
/// Added to the variance in the batch normalisation of inputs.
pub(super) const BATCH_NORM_EPS: f32 = 6.1e-5;

/// The parts of `args.json` that fix the computation, by their names there; other keys are ignored. The names that the
/// arguments of `TransformerModel` have for the same things are understood too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Number of layers L.
    pub nlayers: usize,
    /// Attention heads H of a layer; divides `embsize`.
    #[serde(alias = "nhead")]
    pub nheads: usize,
    /// Width D of the hidden states.
    #[serde(alias = "d_model")]
    pub embsize: usize,
    /// Width F inside the feed-forward step.
    pub d_hid: usize,
    /// How a value becomes a part of the input.
    #[serde(default)]
    pub input_emb_style: ValueEncoding,
    /// What the values are: `binned` in every released model.
    #[serde(default = "default_style")]
    pub input_style: String,
    /// Number of bins, that of zero counted.
    #[serde(default = "default_bins")]
    pub n_bins: usize,
    /// Longest sequence that the model was trained on, `<cls>` counted. The model itself takes any length.
    #[serde(default = "default_length")]
    pub max_seq_len: usize,
    /// Entry of the vocabulary that pads; `<pad>`.
    #[serde(default = "default_pad_token")]
    pub pad_token: String,
    /// Value of padding, and of `<cls>` where cells are embedded.
    #[serde(default = "default_pad_value")]
    pub pad_value: f32,
    /// Layers that normalise before instead of after; no released model has them.
    #[serde(default)]
    pub pre_norm: bool,
    /// Batch normalisation of the input: none, `batchnorm` or, for each batch of the training, `dsbn`.
    #[serde(default)]
    pub domain_spec_batchnorm: BatchNorm,
}

/// How a value becomes a part of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueEncoding {
    /// As a number through two linear maps and a normalisation; every released model.
    #[default]
    Continuous,
    /// As an index into an embedding.
    Category,
    /// As a factor of the gene's embedding.
    Scaling,
}

/// What `domain_spec_batchnorm` may say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "the two types that the key has in published files")]
pub enum BatchNorm {
    Whether(bool),
    Kind(String),
}

impl Default for BatchNorm {
    fn default() -> Self {
        Self::Whether(false)
    }
}

impl Config {
    /// The released models, whole-human and those of organs: 12 layers, width 512, 8 heads.
    pub fn released() -> Self {
        Self {
            d_hid: 512,
            ..Self::sized(12, 512, 8)
        }
    }

    /// A model of the given size with a feed-forward step as wide as the hidden states, as in the released models.
    pub fn sized(nlayers: usize, embsize: usize, nheads: usize) -> Self {
        Self {
            nlayers,
            nheads,
            embsize,
            d_hid: embsize,
            input_emb_style: ValueEncoding::default(),
            input_style: default_style(),
            n_bins: default_bins(),
            max_seq_len: default_length(),
            pad_token: default_pad_token(),
            pad_value: default_pad_value(),
            pre_norm: false,
            domain_spec_batchnorm: BatchNorm::default(),
        }
    }

    /// Checks that the numbers describe a model that this crate computes.
    ///
    /// # Errors
    /// [`Error::Config`] with the first key that does not.
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |key, found: &dyn ToString, expected: &str| {
            Err(Error::Config {
                key,
                found: found.to_string(),
                expected: expected.to_owned(),
            })
        };
        for (key, value, least, most) in [
            // Far above every published model, far below what overflows a product of two of them.
            ("nlayers", self.nlayers, 1, 1 << 10),
            ("nheads", self.nheads, 1, 1 << 24),
            ("embsize", self.embsize, 1, 1 << 24),
            ("d_hid", self.d_hid, 1, 1 << 24),
            ("n_bins", self.n_bins, 3, 1 << 16),
            ("max_seq_len", self.max_seq_len, 2, 1 << 24),
        ] {
            if !(least..=most).contains(&value) {
                return wrong(key, &value, &format!("{least} to {most}"));
            }
        }
        if !self.embsize.is_multiple_of(self.nheads) {
            return wrong(
                "nheads",
                &self.nheads,
                &format!("a divisor of embsize {}", self.embsize),
            );
        }
        if self.pre_norm {
            return wrong(
                "pre_norm",
                &true,
                "false: layers that normalise first exist only in code for GPUs, which adds the residual to the \
                 normalised input, and no released model has them",
            );
        }
        if self.pad_token != "<pad>" {
            return wrong("pad_token", &self.pad_token, "<pad>");
        }
        if !self.pad_value.is_finite() {
            return wrong("pad_value", &self.pad_value, "a number");
        }
        if let BatchNorm::Kind(kind) = &self.domain_spec_batchnorm
            && !matches!(kind.as_str(), "batchnorm" | "dsbn" | "do_affine")
        {
            return wrong("domain_spec_batchnorm", kind, "true, false, batchnorm or dsbn");
        }
        Ok(())
    }

    /// Name and shape of every weight that attention depends on, for a vocabulary of `n_tokens`, as the released
    /// checkpoints call them. Weights of the batch normalisation, which have no fixed number, are not among them, nor
    /// is the embedding of categories, whose size no key of `args.json` gives.
    pub fn encoder_parameters(&self, n_tokens: usize) -> Vec<(String, Vec<usize>)> {
        let (width, wide) = (self.embsize, self.d_hid);
        let mut parameters = vec![("encoder.embedding.weight".to_owned(), vec![n_tokens, width])];
        push_pair(&mut parameters, "encoder.enc_norm", vec![width]);
        match self.input_emb_style {
            ValueEncoding::Continuous => {
                push_pair(&mut parameters, "value_encoder.linear1", vec![width, 1]);
                push_pair(&mut parameters, "value_encoder.linear2", vec![width, width]);
                push_pair(&mut parameters, "value_encoder.norm", vec![width]);
            }
            ValueEncoding::Category => {
                push_pair(&mut parameters, "value_encoder.enc_norm", vec![width]);
            }
            ValueEncoding::Scaling => (),
        }
        for layer in 0..self.nlayers {
            for (name, shape) in [
                ("self_attn.Wqkv", vec![3 * width, width]),
                ("self_attn.out_proj", vec![width, width]),
                ("linear1", vec![wide, width]),
                ("linear2", vec![width, wide]),
                ("norm1", vec![width]),
                ("norm2", vec![width]),
            ] {
                push_pair(
                    &mut parameters,
                    &format!("transformer_encoder.layers.{layer}.{name}"),
                    shape,
                );
            }
        }
        parameters
    }

    /// Name and shape of the weights of the decoder of expression, where it reads genes alone.
    pub fn decoder_parameters(&self) -> Vec<(String, Vec<usize>)> {
        let mut parameters = Vec::new();
        for (step, rows) in [(0, self.embsize), (2, self.embsize), (4, 1)] {
            push_pair(
                &mut parameters,
                &format!("decoder.fc.{step}"),
                vec![rows, self.embsize],
            );
        }
        parameters
    }
}

/// A weight and the bias of its rows.
fn push_pair(parameters: &mut Vec<(String, Vec<usize>)>, path: &str, shape: Vec<usize>) {
    parameters.push((format!("{path}.bias"), vec![shape[0]]));
    parameters.push((format!("{path}.weight"), shape));
}

fn default_style() -> String {
    "binned".to_owned()
}

fn default_bins() -> usize {
    51
}

fn default_length() -> usize {
    1200
}

fn default_pad_token() -> String {
    "<pad>".to_owned()
}

fn default_pad_value() -> f32 {
    -2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_released_model_has_the_parameters_of_its_file() {
        let config = Config::released();
        let parameters = [config.encoder_parameters(60_697), config.decoder_parameters()].concat();
        let n: usize = parameters
            .iter()
            .map(|(_, shape)| shape.iter().product::<usize>())
            .sum();
        // What else best_model.pt of whole-human has, of 163 tensors and 51,330,049 parameters, is the embedding of two
        // flags and the decoder of cell embeddings: two matrices and a bias.
        assert_eq!(parameters.len() + 1 + 3, 163);
        assert_eq!(n + 2 * 512 + 2 * 512 * 512 + 512, 51_330_049);
    }

    #[test]
    fn published_names_of_both_kinds_and_missing_keys_are_understood() {
        let of_file = r#"{"nlayers": 12, "nheads": 8, "embsize": 512, "d_hid": 512, "n_layers_cls": 3,
            "input_emb_style": "continuous", "max_seq_len": 1200, "fp16": true, "mask_ratio": [0.25, 0.5]}"#;
        let of_class =
            r#"{"nlayers": 12, "nhead": 8, "d_model": 512, "d_hid": 512, "domain_spec_batchnorm": "dsbn"}"#;
        let config: Config = serde_json::from_str(of_file).unwrap();
        assert_eq!(config, Config::released());
        let config: Config = serde_json::from_str(of_class).unwrap();
        assert_eq!(config.domain_spec_batchnorm, BatchNorm::Kind("dsbn".to_owned()));
        assert_eq!((config.nheads, config.pad_value, config.n_bins), (8, -2.0, 51));
    }

    #[test]
    fn what_the_program_does_not_compute_is_refused_by_key() {
        type Change = fn(&mut Config);
        let changes: [(&str, Change); 7] = [
            ("nlayers", |c| c.nlayers = 0),
            ("nheads", |c| c.nheads = 7),
            ("embsize", |c| c.embsize = usize::MAX),
            ("n_bins", |c| c.n_bins = 2),
            ("pre_norm", |c| c.pre_norm = true),
            ("pad_token", |c| c.pad_token = "PAD".to_owned()),
            ("domain_spec_batchnorm", |c| {
                c.domain_spec_batchnorm = BatchNorm::Kind("groupnorm".to_owned());
            }),
        ];
        assert!(Config::released().check().is_ok());
        for (expected, change) in changes {
            let mut config = Config::released();
            change(&mut config);
            assert!(
                matches!(config.check(), Err(Error::Config { key, .. }) if key == expected),
                "{expected}"
            );
        }
    }
}
