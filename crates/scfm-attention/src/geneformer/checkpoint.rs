use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use scfm_io::{atomic_write, read_median_dictionary, read_name_dictionary, read_token_dictionary};
use serde::Serialize;
use serde_json::json;

use super::{Config, Vocabulary};
use crate::{Error, Weights};

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const TOKENS: &str = "token_dictionary";
const MEDIANS: &str = "gene_median_dictionary";
const NAMES: &str = "gene_name_id_dict";

/// A Geneformer as it lies in a folder: configuration, weights and dictionaries that fit each other.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    config: Config,
    vocabulary: Vocabulary,
    weights: Weights,
}

impl Checkpoint {
    /// Reads `config.json`, `model.safetensors` and the dictionaries of a folder.
    ///
    /// The dictionaries are `token_dictionary`, `gene_median_dictionary` and, if it is there,
    /// `gene_name_id_dict`, each as `.json` or `.pkl` and also under its published names ending in `_gc30M`,
    /// `_gc95M` or `_gc104M`.
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
        let config_path = required(folder, "configuration", &[CONFIG.to_owned()])?;
        let text = fs::read(&config_path).map_err(|source| Error::File {
            path: config_path.clone(),
            source,
        })?;
        let config: Config = serde_json::from_slice(&text).map_err(|source| Error::Json {
            path: config_path,
            source,
        })?;
        config.check()?;

        let tokens = required(dictionaries, "token dictionary", &dictionary_names(TOKENS))?;
        let medians = required(dictionaries, "gene median dictionary", &dictionary_names(MEDIANS))?;
        let mut vocabulary =
            Vocabulary::new(read_token_dictionary(&tokens)?, read_median_dictionary(&medians)?)?;
        if let Some(names) = find(dictionaries, &dictionary_names(NAMES)) {
            vocabulary = vocabulary.with_names(read_name_dictionary(&names)?);
        }

        let weights_path = required(folder, "weights", &[WEIGHTS.to_owned()])?;
        let shapes: HashMap<_, _> = [config.encoder_parameters(), config.head_parameters()]
            .into_iter()
            .flatten()
            .collect();
        let weights = Weights::read(&weights_path, |name| shapes.contains_key(name))?;
        Self::new(config, vocabulary, weights)
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
        Self::new(config, vocabulary, Weights::new("random weights", tensors))
    }

    /// Parts that have been checked apart, put together.
    pub(crate) fn new(config: Config, vocabulary: Vocabulary, weights: Weights) -> Result<Self, Error> {
        if vocabulary.len() != config.vocab_size {
            return Err(Error::VocabularySize {
                tokens: vocabulary.len(),
                rows: config.vocab_size,
            });
        }
        for (name, shape) in config.encoder_parameters() {
            weights.get(&name, &shape)?;
        }
        Ok(Self {
            config,
            vocabulary,
            weights,
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

        let path = folder.join(WEIGHTS);
        // transformers refuses files that do not say which framework's layout they have.
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        let bytes = safetensors::serialize(self.weights.tensors(), Some(metadata)).map_err(|e| {
            Error::Safetensors {
                path: path.clone(),
                reason: e.to_string(),
            }
        })?;
        write(&path, &bytes)
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The vocabulary.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The weights, by their names in Hugging Face's BERT.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }
}

/// The names under which a dictionary is published.
fn dictionary_names(stem: &str) -> Vec<String> {
    ["", "_gc30M", "_gc95M", "_gc104M"]
        .iter()
        .flat_map(|suffix| ["json", "pkl"].map(|extension| format!("{stem}{suffix}.{extension}")))
        .collect()
}

fn find(folder: &Path, names: &[String]) -> Option<PathBuf> {
    names
        .iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file())
}

fn required(folder: &Path, what: &'static str, names: &[String]) -> Result<PathBuf, Error> {
    find(folder, names).ok_or_else(|| Error::MissingFile {
        folder: folder.to_owned(),
        what,
        names: names.join(", "),
    })
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let mut text = serde_json::to_vec_pretty(value).expect("texts and numbers are JSON");
    text.push(b'\n');
    write(path, &text)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    Ok(atomic_write(path, |file| file.write_all(bytes))?)
}
