use serde::{Deserialize, Serialize};

use crate::Error;

/// Tokens of Geneformer V1, trained on 30 million cells.
pub(super) const V1_TOKENS: usize = 25_426;
/// Tokens of Geneformer V2, and of the models between the two, trained on 95 or 104 million cells.
pub(super) const V2_TOKENS: usize = 20_275;

/// Names of published models by layers, width and tokens.
const PUBLISHED: [(usize, usize, usize, &str); 6] = [
    (6, 256, V1_TOKENS, "Geneformer-V1-10M"),
    (12, 512, V1_TOKENS, "gf-12L-30M-i2048"),
    (12, 512, V2_TOKENS, "gf-12L-95M-i4096"),
    (20, 896, V2_TOKENS, "gf-20L-95M-i4096"),
    (12, 768, V2_TOKENS, "Geneformer-V2-104M"),
    (18, 1152, V2_TOKENS, "Geneformer-V2-316M"),
];

/// The parts of `config.json` that fix the computation, by their names there; other keys are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Number of layers L.
    pub num_hidden_layers: usize,
    /// Width D of the hidden states.
    pub hidden_size: usize,
    /// Attention heads H of a layer; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Width F inside the feed-forward step.
    pub intermediate_size: usize,
    /// Number of tokens V.
    pub vocab_size: usize,
    /// Longest sequence P.
    pub max_position_embeddings: usize,
    /// Activation; Geneformer's is `relu`.
    pub hidden_act: String,
    /// Added to the variance in layer normalisation.
    #[serde(default = "default_eps")]
    pub layer_norm_eps: f64,
    /// Rows of the token-type embedding, of which row 0 is used.
    #[serde(default = "default_types")]
    pub type_vocab_size: usize,
    /// Standard deviation of freshly made weights.
    #[serde(default = "default_range")]
    pub initializer_range: f64,
    /// Token of padding.
    #[serde(default)]
    pub pad_token_id: u32,
    /// Kind of position embedding; Geneformer's is `absolute`.
    #[serde(default = "default_position")]
    pub position_embedding_type: String,
}

impl Config {
    /// Geneformer-V1-10M: 6 layers, width 256, 4 heads, 25,426 tokens, 2,048 positions.
    pub fn v1_10m() -> Self {
        Self::sized(6, 256, 4, V1_TOKENS, 2048)
    }

    /// Geneformer-V2-104M: 12 layers, width 768, 12 heads, 20,275 tokens, 4,096 positions.
    pub fn v2_104m() -> Self {
        Self::v2(12, 768, 12)
    }

    /// Geneformer-V2-316M: 18 layers, width 1152, 18 heads, 20,275 tokens, 4,096 positions.
    pub fn v2_316m() -> Self {
        Self::v2(18, 1152, 18)
    }

    fn v2(layers: usize, hidden: usize, heads: usize) -> Self {
        Self {
            intermediate_size: 4 * hidden,
            ..Self::sized(layers, hidden, heads, V2_TOKENS, 4096)
        }
    }

    /// The published model that has this size.
    pub fn published_name(&self) -> Option<&'static str> {
        let size = (self.num_hidden_layers, self.hidden_size, self.vocab_size);
        let mut published = PUBLISHED.iter();
        published
            .find(|&&(layers, hidden, tokens, _)| size == (layers, hidden, tokens))
            .map(|&(.., name)| name)
    }

    /// A model of the given size with a feed-forward step twice as wide as the hidden states, the ratio of V1.
    pub fn sized(layers: usize, hidden: usize, heads: usize, vocab_size: usize, positions: usize) -> Self {
        Self {
            num_hidden_layers: layers,
            hidden_size: hidden,
            num_attention_heads: heads,
            intermediate_size: 2 * hidden,
            vocab_size,
            max_position_embeddings: positions,
            hidden_act: "relu".to_owned(),
            layer_norm_eps: default_eps(),
            type_vocab_size: default_types(),
            initializer_range: default_range(),
            pad_token_id: 0,
            position_embedding_type: default_position(),
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
        for (key, value) in [
            ("num_hidden_layers", self.num_hidden_layers),
            ("hidden_size", self.hidden_size),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("vocab_size", self.vocab_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("type_vocab_size", self.type_vocab_size),
        ] {
            // Far above every published model, far below what overflows a product of two of them; every layer is
            // sixteen names to look for, so that a false number of them costs memory before any tensor is read.
            let max = if key == "num_hidden_layers" {
                1 << 10
            } else {
                1 << 24
            };
            if !(1..=max).contains(&value) {
                return wrong(key, &value, &format!("1 to {max}"));
            }
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return wrong(
                "num_attention_heads",
                &self.num_attention_heads,
                &format!("a divisor of hidden_size {}", self.hidden_size),
            );
        }
        if self.hidden_act != "relu" {
            return wrong("hidden_act", &self.hidden_act, "relu, as in every Geneformer");
        }
        if self.position_embedding_type != "absolute" {
            return wrong(
                "position_embedding_type",
                &self.position_embedding_type,
                "absolute",
            );
        }
        if !(self.layer_norm_eps > 0.0 && self.layer_norm_eps < 1.0) {
            return wrong("layer_norm_eps", &self.layer_norm_eps, "a number between 0 and 1");
        }
        if !(self.initializer_range >= 0.0 && self.initializer_range.is_finite()) {
            return wrong(
                "initializer_range",
                &self.initializer_range,
                "a standard deviation",
            );
        }
        if self.pad_token_id as usize >= self.vocab_size {
            return wrong("pad_token_id", &self.pad_token_id, "a token of the vocabulary");
        }
        Ok(())
    }

    /// Name and shape of every weight of the encoder, as Hugging Face's BertForMaskedLM calls them.
    pub fn encoder_parameters(&self) -> Vec<(String, Vec<usize>)> {
        let (hidden, wide) = (self.hidden_size, self.intermediate_size);
        let mut parameters = Vec::new();
        for (name, rows) in [
            ("word_embeddings", self.vocab_size),
            ("position_embeddings", self.max_position_embeddings),
            ("token_type_embeddings", self.type_vocab_size),
        ] {
            parameters.push((format!("bert.embeddings.{name}.weight"), vec![rows, hidden]));
        }
        push_pair(&mut parameters, "bert.embeddings.LayerNorm", vec![hidden]);
        for layer in 0..self.num_hidden_layers {
            let mut push = |name: &str, shape| {
                push_pair(
                    &mut parameters,
                    &format!("bert.encoder.layer.{layer}.{name}"),
                    shape,
                );
            };
            for name in ["query", "key", "value"] {
                push(&format!("attention.self.{name}"), vec![hidden, hidden]);
            }
            push("attention.output.dense", vec![hidden, hidden]);
            push("attention.output.LayerNorm", vec![hidden]);
            push("intermediate.dense", vec![wide, hidden]);
            push("output.dense", vec![hidden, wide]);
            push("output.LayerNorm", vec![hidden]);
        }
        parameters
    }

    /// Name and shape of the weights of the masked-gene head; its decoder is the word embedding itself.
    pub fn head_parameters(&self) -> Vec<(String, Vec<usize>)> {
        let mut parameters = vec![("cls.predictions.bias".to_owned(), vec![self.vocab_size])];
        let transform = "cls.predictions.transform";
        push_pair(
            &mut parameters,
            &format!("{transform}.dense"),
            vec![self.hidden_size; 2],
        );
        push_pair(
            &mut parameters,
            &format!("{transform}.LayerNorm"),
            vec![self.hidden_size],
        );
        parameters
    }
}

/// A weight and the bias of its rows.
fn push_pair(parameters: &mut Vec<(String, Vec<usize>)>, path: &str, shape: Vec<usize>) {
    parameters.push((format!("{path}.bias"), vec![shape[0]]));
    parameters.push((format!("{path}.weight"), shape));
}

fn default_eps() -> f64 {
    1e-12
}

fn default_types() -> usize {
    2
}

fn default_range() -> f64 {
    0.02
}

fn default_position() -> String {
    "absolute".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_models_have_the_tensors_and_parameters_of_their_files() {
        for (config, name, n_tensors, file, position_ids) in [
            // The file of V1 has one tensor more, the buffer bert.embeddings.position_ids of 8 bytes a position.
            (Config::v1_10m(), "Geneformer-V1-10M", 107, 41_183_536, 8 * 2048),
            (Config::v2_104m(), "Geneformer-V2-104M", 202, 417_571_156, 0),
            (Config::v2_316m(), "Geneformer-V2-316M", 298, 1_265_455_076, 0),
        ] {
            assert_eq!(config.published_name(), Some(name));
            let parameters: Vec<_> = [config.encoder_parameters(), config.head_parameters()].concat();
            assert_eq!(
                parameters.len() + usize::from(position_ids > 0),
                n_tensors,
                "{name}"
            );
            let n: usize = parameters
                .iter()
                .map(|(_, shape)| shape.iter().product::<usize>())
                .sum();
            // What else the file has is a header of 115 to 120 bytes a tensor.
            let header = file - 4 * n - position_ids;
            assert!(
                (n_tensors * 100..n_tensors * 125).contains(&header),
                "{name}: {header}"
            );
        }
        assert_eq!(Config::sized(3, 16, 2, 12, 12).published_name(), None);
    }

    #[test]
    fn what_the_program_does_not_compute_is_refused_by_key() {
        type Change = fn(&mut Config);
        let changes: [(&str, Change); 7] = [
            ("num_hidden_layers", |c| c.num_hidden_layers = 1 << 20),
            ("hidden_act", |c| c.hidden_act = "gelu".to_owned()),
            ("num_attention_heads", |c| c.num_attention_heads = 5),
            ("num_hidden_layers", |c| c.num_hidden_layers = 0),
            ("hidden_size", |c| c.hidden_size = usize::MAX),
            ("position_embedding_type", |c| {
                c.position_embedding_type = "relative_key".to_owned();
            }),
            ("layer_norm_eps", |c| c.layer_norm_eps = f64::NAN),
        ];
        assert!(Config::v1_10m().check().is_ok());
        for (expected, change) in changes {
            let mut config = Config::v1_10m();
            change(&mut config);
            assert!(
                matches!(config.check(), Err(Error::Config { key, .. }) if key == expected),
                "{expected}"
            );
        }
    }
}
