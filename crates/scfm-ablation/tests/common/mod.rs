//! Small Geneformers, random or made by hand, and cells for them.
#![allow(dead_code, reason = "each test file uses some of them")]

use std::fs;
use std::path::Path;

use rand::seq::SliceRandom;
use scfm_attention::TokenisedCell;
use scfm_attention::geneformer::{Checkpoint, Config, Geneformer, Vocabulary};
use scfm_core::Seeds;

pub(crate) const HIDDEN: usize = 16;
pub(crate) const HEADS: usize = 2;

pub(crate) fn vocabulary(n_genes: usize) -> Vocabulary {
    Vocabulary::of_genes((0..n_genes).map(|i| (format!("G{i:03}"), 1.0))).unwrap()
}

/// A model whose weights are large enough that its parts matter.
pub(crate) fn checkpoint(n_genes: usize, layers: usize) -> Checkpoint {
    let config = Config {
        initializer_range: 0.3,
        ..Config::sized(layers, HIDDEN, HEADS, n_genes + 2, n_genes + 2)
    };
    let mut rng = Seeds::new(11).stream("test", "weights", 0);
    Checkpoint::random(config, vocabulary(n_genes), &mut rng).unwrap()
}

/// Cells of `length` of the genes in random order; the column of a gene is its number.
pub(crate) fn cells(n: usize, n_genes: usize, length: usize) -> Vec<TokenisedCell> {
    (0..n)
        .map(|cell| {
            let mut rng = Seeds::new(12).stream("test", "cells", cell as u64);
            let mut tokens: Vec<u32> = (2..n_genes as u32 + 2).collect();
            tokens.shuffle(&mut rng);
            tokens.truncate(length);
            let columns = tokens.iter().map(|token| Some(token - 2)).collect();
            TokenisedCell {
                cell,
                tokens,
                columns,
            }
        })
        .collect()
}

/// The model of a checkpoint with its weights rewritten: `edit` is given the name, the shape and the values of each.
pub(crate) fn edited(
    checkpoint: &Checkpoint,
    mut edit: impl FnMut(&str, &[usize], &mut [f32]),
) -> (Checkpoint, Geneformer) {
    let folder = tempfile::tempdir().unwrap();
    checkpoint.save(folder.path()).unwrap();
    edit_weights(&folder.path().join("model.safetensors"), &mut edit);
    let checkpoint = Checkpoint::load(folder.path()).unwrap();
    let model = Geneformer::new(&checkpoint).unwrap();
    (checkpoint, model)
}

/// A safetensors file is the length of its header, the header in JSON, and the values.
fn edit_weights(path: &Path, edit: &mut impl FnMut(&str, &[usize], &mut [f32])) {
    let mut bytes = fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    for (name, tensor) in header.as_object().unwrap() {
        if name == "__metadata__" {
            continue;
        }
        assert_eq!(tensor["dtype"], "F32");
        let number = |value: &serde_json::Value| value.as_u64().unwrap() as usize;
        let shape: Vec<usize> = tensor["shape"].as_array().unwrap().iter().map(number).collect();
        let from = 8 + length + number(&tensor["data_offsets"][0]);
        let to = 8 + length + number(&tensor["data_offsets"][1]);
        let mut values: Vec<f32> = bytes[from..to]
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect();
        edit(name, &shape, &mut values);
        for (place, value) in bytes[from..to].chunks_exact_mut(4).zip(values) {
            place.copy_from_slice(&value.to_le_bytes());
        }
    }
    fs::write(path, bytes).unwrap();
}
