//! Folders of checkpoints: configuration, vocabulary and weights of Geneformer and scGPT.
//!
//! Input: a byte that says which file of a small whole checkpoint is replaced (see [`CASES`]), then the file. What loads
//! loads again to the same, fits its own parts, and makes a model whose attention is of its size; attention that overflows
//! is an error.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use scfm_attention::geneformer::{self, Geneformer};
use scfm_attention::scgpt::{self, ScGpt};
use scfm_attention::{Error, TokenisedCell, ValuedCell, Weights};
use scfm_fuzz::{Scratch, checked};

/// By the first byte of an input: the file of the whole checkpoint that is left out, and the one that stands in its place.
const CASES: [(&str, &str); 9] = [
    ("v2/config.json", "config.json"),
    ("v2/token_dictionary_gc104M.pkl", "token_dictionary_gc104M.json"),
    (
        "v2/gene_median_dictionary_gc104M.pkl",
        "gene_median_dictionary_gc104M.json",
    ),
    ("v2/model.safetensors", "model.safetensors"),
    ("v2/model.safetensors", "pytorch_model.bin"),
    ("scgpt/args.json", "args.json"),
    ("scgpt/vocab.json", "vocab.json"),
    ("scgpt/best_model.pt", "model.safetensors"),
    ("scgpt/best_model.pt", "best_model.pt"),
];
const GENEFORMER: &[&str] = &[CASES[0].0, CASES[1].0, CASES[2].0, CASES[3].0];
const SCGPT: &[&str] = &[CASES[5].0, CASES[6].0, CASES[7].0];
/// Configurations may ask for sizes whose attention takes longer than an input may, with weights as small as they like.
const MOST_LAYERS: usize = 8;

static SCRATCH: LazyLock<Scratch> = LazyLock::new(|| Scratch::new("checkpoint"));

fuzz_target!(|data: &[u8]| {
    let Some((&selector, content)) = data.split_first() else {
        return;
    };
    let Some(&(left_out, name)) = CASES.get(usize::from(selector)) else {
        return;
    };
    let is_geneformer = GENEFORMER.contains(&left_out);
    SCRATCH.clear();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/scfm-attention/tests/golden");
    for file in if is_geneformer { GENEFORMER } else { SCGPT } {
        if *file != left_out {
            SCRATCH.link(&golden.join(file));
        }
    }
    SCRATCH.file(name, content);
    if is_geneformer {
        read_geneformer(SCRATCH.path());
    } else {
        read_scgpt(SCRATCH.path());
    }
});

fn read_geneformer(folder: &Path) {
    let Some(checkpoint) = checked(geneformer::Checkpoint::load(folder)) else {
        return;
    };
    let again = geneformer::Checkpoint::load(folder).expect("it was loaded once");
    let config = checkpoint.config();
    assert_eq!(config, again.config());
    assert_eq!(checkpoint.vocabulary(), again.vocabulary());
    assert_eq!(checkpoint.vocabulary().len(), config.vocab_size);
    same_weights(checkpoint.weights(), again.weights());

    let model = checked(Geneformer::new(&checkpoint)).expect("the weights were asked for when it was loaded");
    let n_tokens = config.vocab_size.min(config.max_position_embeddings).min(4);
    if config.num_hidden_layers > MOST_LAYERS {
        return;
    }
    let tokens: Vec<u32> = (0..n_tokens as u32).collect();
    if let Some(attention) = checked(model.attention(&tokens)) {
        let shape = (config.num_attention_heads, n_tokens, n_tokens);
        assert_eq!(attention.len(), config.num_hidden_layers);
        assert!(attention.iter().all(|layer| layer.dim() == shape));
    }
}

fn read_scgpt(folder: &Path) {
    let Some(checkpoint) = checked(scgpt::Checkpoint::load(folder)) else {
        return;
    };
    let again = scgpt::Checkpoint::load(folder).expect("it was loaded once");
    let config = checkpoint.config();
    assert_eq!(config, again.config());
    assert_eq!(checkpoint.vocabulary(), again.vocabulary());
    assert_eq!(checkpoint.ignored(), again.ignored());
    same_weights(checkpoint.weights(), again.weights());

    let model = match ScGpt::new(&checkpoint) {
        Err(Error::Domain { .. }) => ScGpt::for_domain(&checkpoint, 0),
        model => model,
    };
    let Some(model) = checked(model).filter(|_| config.nlayers <= MOST_LAYERS) else {
        return;
    };
    let n_tokens = checkpoint.vocabulary().len().min(4);
    let cell = TokenisedCell {
        cell: 0,
        tokens: (0..n_tokens as u32).collect(),
        columns: vec![None; n_tokens],
    };
    let cell = ValuedCell::new(cell, vec![1.0; n_tokens]);
    if let Some(attention) = checked(model.attention(&cell)) {
        let shape = (config.nheads, n_tokens, n_tokens);
        assert_eq!(attention.len(), config.nlayers);
        assert!(attention.iter().all(|layer| layer.dim() == shape));
    }
    checked(model.expression(&cell));
}

fn same_weights(one: &Weights, other: &Weights) {
    assert!(one.tensors().keys().eq(other.tensors().keys()));
    for (name, tensor) in one.tensors() {
        let dims = tensor.dims();
        assert!(other.get(name, dims).is_ok(), "{name}");
    }
}
