//! scGPT: vocabulary, binned values, weights and forward pass.

mod checkpoint;
mod config;
mod embedding;
mod model;
mod names;
mod vocabulary;

pub use checkpoint::Checkpoint;
pub use config::{BatchNorm, Config, ValueEncoding};
pub use model::ScGpt;
pub use vocabulary::Vocabulary;
