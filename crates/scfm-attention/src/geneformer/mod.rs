//! Geneformer: dictionaries, tokens, weights, forward pass and training.

mod checkpoint;
mod config;
mod model;
mod tokenizer;
pub mod training;
mod vocabulary;

pub use checkpoint::Checkpoint;
pub use config::Config;
pub use model::Geneformer;
pub use tokenizer::Tokenizer;
pub use vocabulary::Vocabulary;
