//! Small random models and cells.
#![allow(dead_code, reason = "each test file uses some of them")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use rand::RngExt;
use rand::seq::SliceRandom;
use scfm_attention::TokenisedCell;
use scfm_attention::geneformer::{Checkpoint, Config, Vocabulary};
use scfm_core::Seeds;

pub(crate) fn gene(index: usize) -> String {
    format!("G{index:03}")
}

pub(crate) fn vocabulary(n_genes: usize) -> Vocabulary {
    Vocabulary::of_genes((0..n_genes).map(|i| (gene(i), 1.0 + i as f64))).unwrap()
}

/// A model with weights large enough that its attention is far from uniform.
pub(crate) fn checkpoint(n_genes: usize, positions: usize) -> Checkpoint {
    let config = Config {
        initializer_range: 0.3,
        ..Config::sized(3, 16, 2, n_genes + 2, positions)
    };
    let mut rng = Seeds::new(1).stream("test", "weights", 0);
    Checkpoint::random(config, vocabulary(n_genes), &mut rng).unwrap()
}

/// Cells of 1 to `longest` genes each, in random order.
pub(crate) fn cells(n: usize, n_genes: usize, longest: usize) -> Vec<TokenisedCell> {
    let cell = |cell: usize| {
        let mut rng = Seeds::new(2).stream("test", "cells", cell as u64);
        let mut tokens: Vec<u32> = (2..n_genes as u32 + 2).collect();
        tokens.shuffle(&mut rng);
        tokens.truncate(rng.random_range(1..=longest));
        let columns = tokens.iter().map(|token| Some(token - 2)).collect();
        TokenisedCell {
            cell,
            tokens,
            columns,
        }
    };
    (0..n).map(cell).collect()
}

/// A file of `golden`.
pub(crate) fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

/// The tensors of a golden file.
pub(crate) fn tensors(name: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(golden(name), &Device::Cpu).unwrap()
}

/// The token ids of a golden file.
pub(crate) fn tokens(expected: &HashMap<String, Tensor>) -> Vec<u32> {
    let ids: Vec<i64> = expected["tokens"].to_vec1().unwrap();
    ids.iter().map(|&id| u32::try_from(id).unwrap()).collect()
}

/// A cell of these tokens.
pub(crate) fn cell_of(tokens: Vec<u32>) -> TokenisedCell {
    let columns = vec![None; tokens.len()];
    TokenisedCell {
        cell: 0,
        tokens,
        columns,
    }
}
