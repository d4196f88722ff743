//! scGPT: vocabulary, binned values, weights, forward pass and training.

mod binning;
mod checkpoint;
mod config;
mod embedding;
mod model;
mod mt19937;
mod names;
mod planted;
mod tokenizer;
pub mod training;
mod vocabulary;

pub use binning::{BinRange, bin_ranges};
pub use checkpoint::Checkpoint;
pub use config::{BatchNorm, Config, ValueEncoding};
pub use model::ScGpt;
pub use tokenizer::{Binning, Tokenizer, TokenizerParams};
pub use vocabulary::Vocabulary;
