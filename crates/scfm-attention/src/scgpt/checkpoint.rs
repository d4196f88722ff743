use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::embedding::category_table;
use super::names::{REFUSED, Role, role};
use super::training::MASK_VALUE;
use super::vocabulary::VOCABULARY;
use super::{Config, ValueEncoding, Vocabulary};
use crate::folder::{read_json, required, write_json, write_safetensors};
use crate::{Error, Weights};

pub(super) const CONFIG: &str = "args.json";
/// The weights, the safest format first.
const WEIGHTS: [&str; 2] = ["model.safetensors", "best_model.pt"];

/// An scGPT as it lies in a folder: configuration, weights and vocabulary that fit each other.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    config: Config,
    vocabulary: Vocabulary,
    weights: Weights,
    ignored: Vec<String>,
    files: BTreeMap<&'static str, PathBuf>,
}

impl Checkpoint {
    /// Whether a folder looks like one of scGPT: it has an `args.json` or a `best_model.pt`, and no `config.json`.
    pub fn is_in(folder: &Path) -> bool {
        let has = |name: &str| folder.join(name).is_file();
        (has(CONFIG) || has(WEIGHTS[1])) && !has("config.json")
    }

    /// Reads `args.json`, `vocab.json` and the weights (`model.safetensors`, else `best_model.pt`) of a folder.
    ///
    /// # Errors
    /// A missing or malformed file, tensors or a vocabulary that do not fit the configuration: each names the file and
    /// what is wrong with it. Where scGPT's own loader passes over a weight whose name or shape is not the model's, this
    /// one refuses, except for parts that attention does not depend on, see [`Checkpoint::ignored`].
    pub fn load(folder: &Path) -> Result<Self, Error> {
        let config_path = required(folder, "configuration", &[CONFIG])?;
        let config: Config = read_json(&config_path)?;
        config.check().map_err(|error| error.in_file(&config_path))?;
        let vocabulary = Vocabulary::read(folder)?;

        let weights_path = required(folder, "weights", &WEIGHTS)?;
        let (mut ignored, mut refused) = (Vec::new(), None);
        let weights = Weights::read(&weights_path, CONFIG, |name| match role(name) {
            Role::Weight(kept) => Some(kept),
            Role::Ignored => {
                ignored.push(name.to_owned());
                None
            }
            Role::Refused => {
                refused = Some(name.to_owned());
                None
            }
        })?;
        if let Some(name) = refused {
            return Err(Error::UnexpectedTensor {
                origin: weights.origin().to_owned(),
                name,
                reason: REFUSED.to_owned(),
            });
        }
        ignored.sort_unstable();
        Ok(Self {
            ignored,
            files: BTreeMap::from([
                ("config", config_path),
                ("vocabulary", folder.join(VOCABULARY)),
                ("weights", weights_path),
            ]),
            ..Self::new(config, vocabulary, weights)?
        })
    }

    /// A model with fresh weights, as torch starts scGPT but for two things: layers are drawn apart, where scGPT starts
    /// with copies of one, and the decoder of cell embeddings is left out.
    ///
    /// Embeddings are uniform within 0.1, matrices and biases within 1/√inputs, the projections of attention within
    /// √(6/(4 D)); biases of attention are 0, scales of normalisations 1 and shifts 0.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn random(config: Config, vocabulary: Vocabulary, rng: &mut ChaCha8Rng) -> Result<Self, Error> {
        config.check()?;
        let mut parameters = [
            config.encoder_parameters(vocabulary.len()),
            config.decoder_parameters(),
        ]
        .concat();
        if config.input_emb_style == ValueEncoding::Category {
            // Bins, then padding and masks, as scGPT's scripts count them.
            let shape = vec![config.n_bins + 2, config.embsize];
            parameters.push(("value_encoder.embedding.weight".to_owned(), shape));
        }
        let inputs: HashMap<String, usize> = parameters
            .iter()
            .filter(|(_, shape)| shape.len() == 2)
            .map(|(name, shape)| (name.trim_end_matches(".weight").to_owned(), shape[1]))
            .collect();
        let mut tensors = BTreeMap::new();
        for (name, shape) in parameters {
            let path = name.trim_end_matches(".weight").trim_end_matches(".bias");
            let bound = match inputs.get(path) {
                None => 0.0,
                Some(_) if path.ends_with("embedding") => 0.1,
                Some(_) if path.contains("self_attn") && shape.len() == 1 => 0.0,
                Some(width) if path.ends_with("Wqkv") => (6.0 / (4 * width) as f32).sqrt(),
                Some(&inputs) => 1.0 / (inputs as f32).sqrt(),
            };
            let centre = if inputs.contains_key(path) || name.ends_with(".bias") {
                0.0
            } else {
                1.0
            };
            let n = shape.iter().product();
            let values: Vec<f32> = (0..n)
                .map(|_| centre + bound * (2.0 * rng.random::<f32>() - 1.0))
                .collect();
            tensors.insert(name, Tensor::from_vec(values, shape, &Device::Cpu)?);
        }
        Self::new(
            config,
            vocabulary,
            Weights::new("random weights", CONFIG, tensors),
        )
    }

    /// Parts that have been checked apart, put together.
    pub(super) fn new(config: Config, vocabulary: Vocabulary, weights: Weights) -> Result<Self, Error> {
        if let Some(&[rows, _]) = weights.shape("encoder.embedding.weight")
            && rows != vocabulary.len()
        {
            return Err(Error::VocabularySize {
                tokens: vocabulary.len(),
                rows,
            });
        }
        let parameters = config.encoder_parameters(vocabulary.len());
        for (name, shape) in &parameters {
            weights.get(name, shape)?;
        }
        let mut in_config: HashMap<_, _> = parameters.into_iter().collect();
        if config.input_emb_style == ValueEncoding::Category {
            let table = category_table(&weights, config.embsize)?;
            in_config.insert("value_encoder.embedding.weight".to_owned(), table.dims().to_vec());
        }
        let optional = ["bn.", "dsbn.", "decoder."];
        let unexpected = weights.tensors().keys().find(|name| {
            !in_config.contains_key(*name) && !optional.iter().any(|part| name.starts_with(part))
        });
        if let Some(name) = unexpected {
            return Err(Error::UnexpectedTensor {
                origin: weights.origin().to_owned(),
                name: name.clone(),
                reason: format!(
                    "args.json says {} layers and values that are {}",
                    config.nlayers,
                    serde_json::to_value(config.input_emb_style)
                        .ok()
                        .and_then(|style| style.as_str().map(str::to_owned))
                        .unwrap_or_default()
                ),
            });
        }
        Ok(Self {
            config,
            vocabulary,
            weights,
            ignored: Vec::new(),
            files: BTreeMap::new(),
        })
    }

    /// Writes the folder that [`Checkpoint::load`] reads. The same checkpoint gives the same bytes.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save(&self, folder: &Path) -> Result<(), Error> {
        let mut config = serde_json::to_value(&self.config).expect("numbers and texts are JSON");
        // What scGPT's own loader and scripts ask for besides.
        config["n_layers_cls"] = json!(3);
        config["dropout"] = json!(0.2);
        config["mask_value"] = json!(MASK_VALUE);
        write_json(&folder.join(CONFIG), &config)?;
        let tokens: BTreeMap<_, _> = self.vocabulary.keys().iter().zip(0u32..).collect();
        write_json(&folder.join(VOCABULARY), &tokens)?;
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

    /// Tensors of the file that were passed over, since attention does not depend on them: decoders of cell types and
    /// cell embeddings, labels of batches, the flags of the generative pretraining.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// The files that the checkpoint was read from, by what they hold: `config`, `vocabulary`, `weights`. None for a
    /// model that was made.
    pub fn files(&self) -> &BTreeMap<&'static str, PathBuf> {
        &self.files
    }

    /// The weights, by their names in the released checkpoints.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }
}
