//! One file per command.

pub mod bench;
pub mod calibrate;
pub mod ci;
pub mod evaluate;
mod evaluate_all;
pub mod extract;
pub mod fixtures;
pub mod import;
pub mod init_model;
pub mod inspect;
pub mod merge;
pub mod report;
pub mod score;
pub mod tidy;
