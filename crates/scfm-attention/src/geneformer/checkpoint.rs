use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use serde_json::json;

use super::config::{V1_TOKENS, V2_TOKENS};
use super::files::{CONFIG, CURRENT_IDS, MEDIANS, NAMES, TOKENS, WEIGHTS};
use super::{Config, Dictionaries, Vocabulary};
use crate::folder::{read_json, required, write_json, write_safetensors};
use crate::{Error, Weights};

/// Weights that published files list twice: the decoder is the embedding itself.
const TIED: [(&str, &str); 2] = [
    (
        "cls.predictions.decoder.weight",
        "bert.embeddings.word_embeddings.weight",
    ),
    ("cls.predictions.decoder.bias", "cls.predictions.bias"),
];

/// A Geneformer as it lies in a folder: configuration, weights and dictionaries that fit each other.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    config: Config,
    vocabulary: Vocabulary,
    weights: Weights,
    files: BTreeMap<&'static str, PathBuf>,
}

impl Checkpoint {
    /// Reads `config.json`, the weights (`model.safetensors`, else `pytorch_model.bin`) and the [`Dictionaries`] of a
    /// folder. Of several releases of dictionaries the one that has as many tokens as the model is taken.
    ///
    /// # Errors
    /// A missing or malformed file, tensors or dictionaries that do not fit the configuration: each names the
    /// file and what is wrong with it.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        Self::load_with(folder, folder)
    }

    /// As [`Checkpoint::load`] with the dictionaries of another folder: the published checkpoints keep them apart.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn load_with(folder: &Path, dictionaries: &Path) -> Result<Self, Error> {
        let config_path = required(folder, "configuration", &[CONFIG])?;
        let config: Config = read_json(&config_path)?;
        config.check().map_err(|error| error.in_file(&config_path))?;
        let (vocabulary, dictionaries) = Dictionaries::load(dictionaries, config.vocab_size)?;

        let weights_path = required(folder, "weights", &WEIGHTS)?;
        let shapes: HashMap<_, _> = [config.encoder_parameters(), config.head_parameters()]
            .into_iter()
            .flatten()
            .collect();
        let wanted = |name: &str| shapes.contains_key(name) || TIED.iter().any(|(copy, _)| *copy == name);
        let mut weights = Weights::read(&weights_path, CONFIG, |name| {
            wanted(name).then(|| name.to_owned())
        })?;
        for (copy, original) in TIED {
            weights.untie(copy, original)?;
        }
        let mut files = dictionaries.files();
        files.extend([("config", config_path), ("weights", weights_path)]);
        Ok(Self {
            files,
            ..Self::new(config, vocabulary, weights)?
        })
    }

    /// A model with fresh weights: normal with standard deviation `initializer_range` in the matrices, as BERT
    /// starts, 1 and 0 in the layer normalisations, 0 in the biases and in the embedding of padding.
    ///
    /// # Errors
    /// [`Error::Config`], [`Error::VocabularySize`].
    pub fn random(config: Config, vocabulary: Vocabulary, rng: &mut ChaCha8Rng) -> Result<Self, Error> {
        config.check()?;
        let normal = Normal::new(0.0, config.initializer_range as f32)
            .expect("a checked configuration has a standard deviation");
        let mut tensors = BTreeMap::new();
        for (name, shape) in [config.encoder_parameters(), config.head_parameters()].concat() {
            let n = shape.iter().product();
            let mut values = if shape.len() == 2 {
                (0..n).map(|_| normal.sample(rng)).collect()
            } else {
                vec![
                    if name.ends_with("LayerNorm.weight") {
                        1.0
                    } else {
                        0.0
                    };
                    n
                ]
            };
            if name.ends_with("word_embeddings.weight") {
                let padding = config.pad_token_id as usize * config.hidden_size;
                values[padding..padding + config.hidden_size].fill(0.0);
            }
            tensors.insert(name, Tensor::from_vec(values, shape, &Device::Cpu)?);
        }
        Self::new(
            config,
            vocabulary,
            Weights::new("random weights", CONFIG, tensors),
        )
    }

    /// Parts that have been checked apart, put together.
    pub(crate) fn new(config: Config, vocabulary: Vocabulary, weights: Weights) -> Result<Self, Error> {
        if vocabulary.len() != config.vocab_size {
            return Err(Error::VocabularySize {
                tokens: vocabulary.len(),
                rows: config.vocab_size,
            });
        }
        check_release(&config, &vocabulary)?;
        for (name, shape) in config.encoder_parameters() {
            weights.get(&name, &shape)?;
        }
        // The head may be absent as a whole, as in files of the encoder alone, but not in part.
        let head = config.head_parameters();
        if head.iter().any(|(name, _)| weights.contains(name)) {
            for (name, shape) in head {
                weights.get(&name, &shape)?;
            }
        }
        Ok(Self {
            config,
            vocabulary,
            weights,
            files: BTreeMap::new(),
        })
    }

    /// Writes the folder that [`Checkpoint::load`] reads, and that transformers reads as a `BertForMaskedLM`. The
    /// same checkpoint gives the same bytes.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save(&self, folder: &Path) -> Result<(), Error> {
        let mut config = serde_json::to_value(&self.config).expect("numbers and texts are JSON");
        config["model_type"] = json!("bert");
        config["architectures"] = json!(["BertForMaskedLM"]);
        write_json(&folder.join(CONFIG), &config)?;

        let vocabulary = &self.vocabulary;
        let tokens: BTreeMap<_, _> = vocabulary.keys().iter().zip(0u32..).collect();
        let medians: BTreeMap<_, _> = vocabulary
            .genes()
            .map(|(_, gene, median)| (gene, median))
            .collect();
        write_json(&folder.join(format!("{TOKENS}.json")), &tokens)?;
        write_json(&folder.join(format!("{MEDIANS}.json")), &medians)?;
        if !vocabulary.names().is_empty() {
            write_json(&folder.join(format!("{NAMES}.json")), vocabulary.names())?;
        }
        if let Some(current_ids) = vocabulary.current_ids() {
            write_json(&folder.join(format!("{CURRENT_IDS}.json")), current_ids)?;
        }

        write_safetensors(&folder.join(WEIGHTS[0]), self.weights.tensors())
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The vocabulary.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The files that the checkpoint was read from, by what they hold: `config`, `weights`, and dictionaries by the
    /// stem of their names. None for a model that was made.
    pub fn files(&self) -> &BTreeMap<&'static str, PathBuf> {
        &self.files
    }

    /// The weights, by their names in Hugging Face's BERT.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }
}

/// The published vocabularies of V1 and V2 are told by their sizes; only V2 frames a cell. A dictionary that was put
/// together by hand would shift every position by one.
fn check_release(config: &Config, vocabulary: &Vocabulary) -> Result<(), Error> {
    if config.pad_token_id != vocabulary.pad() {
        return Err(Error::Config {
            key: "pad_token_id",
            found: config.pad_token_id.to_string(),
            expected: format!("{}, the token of <pad> in the dictionary", vocabulary.pad()),
        });
    }
    let wrong = |what: &str| Err(Error::Vocabulary(what.to_owned()));
    match (vocabulary.len(), vocabulary.frame()) {
        (V1_TOKENS, Some(_)) => {
            wrong("25426 tokens are those of Geneformer V1, which has no <cls> and <eos>")
        }
        (V2_TOKENS, None) => wrong(
            "20275 tokens are those of Geneformer V2, but <cls> and <eos> are missing; \
             take token_dictionary_gc104M.pkl as it is published",
        ),
        _ => Ok(()),
    }
}
