//! Geneformer: dictionaries, tokens, weights, forward pass and training.

mod checkpoint;
mod collapse;
mod config;
mod files;
mod model;
mod planted;
mod tokenizer;
pub mod training;
mod vocabulary;

pub use checkpoint::Checkpoint;
pub use config::Config;
pub use files::Dictionaries;
pub use model::Geneformer;
pub use tokenizer::Tokenizer;
pub use vocabulary::Vocabulary;
