//! scGPT: agreement with the published modules on `golden/scgpt`, which `golden/generate_scgpt.py` made, the spellings
//! and parts of checkpoints, and what is refused.

mod agreement;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use proptest::prelude::*;
use scfm_attention::scgpt::{Checkpoint, Config, ScGpt, ValueEncoding, Vocabulary};
use scfm_attention::{
    AbsentPairs, Error, TokenisedCell, Transformer as _, ValuedCell, cell_embeddings, extract,
};
use scfm_core::{Layer, Orientation, Panel, Seeds};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Tolerances for 32-bit arithmetic in another order of operations, through two layers.
const HIDDEN: f32 = 1e-4;
const PROBABILITY: f32 = 1e-5;

fn golden(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(file)
}

fn tensors(file: &str) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(golden(file), &Device::Cpu).unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

struct Expected(HashMap<String, Tensor>);

impl Expected {
    fn read() -> Self {
        Self(tensors("scgpt_expected.safetensors"))
    }

    fn tokens(&self, cell: usize) -> Vec<u32> {
        let ids: Vec<i64> = self.0[&format!("tokens.{cell}")].to_vec1().unwrap();
        ids.iter().map(|&id| u32::try_from(id).unwrap()).collect()
    }

    fn cell(&self, cell: usize) -> ValuedCell {
        valued(self.tokens(cell), numbers(&self.0[&format!("values.{cell}")]))
    }

    /// The cell that variants of the model read.
    fn variant_cell(&self) -> ValuedCell {
        valued(self.tokens(3), numbers(&self.0["values.variants"]))
    }

    fn assert_close(&self, name: &str, found: &[f32], tolerance: f32) {
        agreement::assert_close(name, found, &self.0[name], tolerance);
    }

    fn assert_agrees(&self, model: &ScGpt, name: &str, cell: &ValuedCell) {
        let states = model.hidden_states(cell).unwrap();
        let states: Vec<f32> = states.iter().flatten().copied().collect();
        self.assert_close(&format!("hidden.{name}"), &states, HIDDEN);
        let maps = model.attention(cell).unwrap();
        for row in maps.iter().flat_map(|map| map.rows()) {
            assert!((row.sum() - 1.0).abs() < PROBABILITY);
        }
        let maps: Vec<f32> = maps.iter().flatten().copied().collect();
        self.assert_close(&format!("attention.{name}"), &maps, PROBABILITY);
    }
}

fn valued(tokens: Vec<u32>, values: Vec<f32>) -> ValuedCell {
    let columns = vec![None; tokens.len()];
    ValuedCell::new(
        TokenisedCell {
            cell: 0,
            tokens,
            columns,
        },
        values,
    )
}

fn released() -> Checkpoint {
    Checkpoint::load(&golden("scgpt")).unwrap()
}

/// A folder as the golden one but for its weights, by name, and keys of its `args.json`.
struct Folder {
    folder: TempDir,
    weights: HashMap<String, Tensor>,
    args: Value,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(golden("scgpt/vocab.json"), folder.path().join("vocab.json")).unwrap();
        let weights = released().weights().tensors().clone().into_iter().collect();
        let args = serde_json::from_slice(&fs::read(golden("scgpt/args.json")).unwrap()).unwrap();
        Self {
            folder,
            weights,
            args,
        }
    }

    /// With what a variant of the model has instead.
    fn variant(name: &str) -> Self {
        let mut folder = Self::new();
        let prefix = format!("{name}/");
        let own = tensors("scgpt_extra.safetensors").into_iter();
        folder
            .weights
            .extend(own.filter_map(|(key, tensor)| Some((key.strip_prefix(&prefix)?.to_owned(), tensor))));
        folder
    }

    fn without(mut self, part: &str) -> Self {
        self.weights.retain(|name, _| !name.starts_with(part));
        self
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        self.args[key] = value;
        self
    }

    fn rename(mut self, name: impl Fn(&str) -> String) -> Self {
        self.weights = self.weights.into_iter().map(|(key, t)| (name(&key), t)).collect();
        self
    }

    fn put(mut self, name: &str, shape: &[usize]) -> Self {
        let tensor = Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
        self.weights.insert(name.to_owned(), tensor);
        self
    }

    fn load(&self) -> Result<Checkpoint, Error> {
        let path = self.folder.path();
        fs::write(path.join("args.json"), self.args.to_string()).unwrap();
        candle_core::safetensors::save(&self.weights, path.join("model.safetensors")).unwrap();
        Checkpoint::load(path)
    }

    fn error(&self) -> String {
        self.load().unwrap_err().to_string()
    }
}

#[test]
fn hidden_states_and_attention_agree_with_the_published_modules_on_a_padded_batch() {
    let (model, expected) = (ScGpt::new(&released()).unwrap(), Expected::read());
    for i in 0..4 {
        expected.assert_agrees(&model, &i.to_string(), &expected.cell(i));
    }
}

#[test]
fn the_decoder_and_the_embedding_of_a_cell_agree_with_the_published_modules() {
    let (model, expected) = (ScGpt::new(&released()).unwrap(), Expected::read());
    for i in 0..4 {
        let cell = expected.cell(i);
        let decoded = model.expression(&cell).unwrap();
        expected.assert_close(&format!("prediction.{i}"), &decoded, HIDDEN);
        let embedding = model.cell_embedding(&cell).unwrap();
        expected.assert_close(&format!("cell.{i}"), embedding.as_slice().unwrap(), HIDDEN);
    }
}

/// `get_batch_cell_embeddings` divides each by its length.
#[test]
fn embeddings_of_cells_have_the_directions_of_the_published_module_and_length_1() {
    let (model, expected) = (ScGpt::new(&released()).unwrap(), Expected::read());
    let cells: Vec<_> = (0..4).map(|i| expected.cell(i)).collect();
    let embeddings = cell_embeddings(&model, &cells, None).unwrap();
    for (i, found) in embeddings.outer_iter().enumerate() {
        let published: Vec<f32> = numbers(&expected.0[&format!("cell.{i}")]);
        let length = published.iter().map(|x| x * x).sum::<f32>().sqrt();
        assert!((length - 1.0).abs() > 0.1 && (found.dot(&found) - 1.0).abs() < 1e-5);
        for (found, published) in found.iter().zip(published) {
            assert!((found - published / length).abs() < HIDDEN, "{found} {published}");
        }
    }
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| cell_embeddings(&model, &cells, Some(Layer(0))).unwrap())
    };
    assert_eq!(on(1), on(3));
    assert_ne!(on(1), embeddings);
}

#[test]
fn batch_normalisation_by_domain_or_not_agrees_with_the_published_modules() {
    let expected = Expected::read();
    let model = ScGpt::new(&Folder::variant("batchnorm").load().unwrap()).unwrap();
    expected.assert_agrees(&model, "batchnorm", &expected.variant_cell());

    let checkpoint = Folder::variant("dsbn")
        .with("domain_spec_batchnorm", json!(true))
        .load()
        .unwrap();
    let model = ScGpt::for_domain(&checkpoint, 2).unwrap();
    expected.assert_agrees(&model, "dsbn", &expected.variant_cell());
    for (domain, words) in [(None, "one of the 3, from 0 to 2"), (Some(3), "not 3")] {
        let error = match domain {
            None => ScGpt::new(&checkpoint),
            Some(domain) => ScGpt::for_domain(&checkpoint, domain),
        }
        .unwrap_err();
        assert!(matches!(error, Error::Domain { n_domains: 3, .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn values_as_categories_and_as_factors_agree_with_the_published_modules() {
    let expected = Expected::read();
    for style in ["category", "scaling"] {
        let checkpoint = Folder::variant(style)
            .without("value_encoder.linear")
            .without("value_encoder.norm")
            .with("input_emb_style", json!(style))
            .load()
            .unwrap();
        let model = ScGpt::new(&checkpoint).unwrap();
        expected.assert_agrees(&model, style, &expected.variant_cell());
    }
}

#[test]
fn every_spelling_of_a_checkpoint_is_the_same_model() {
    let expected = Expected::read();
    let cell = expected.cell(3);
    let original = ScGpt::new(&released()).unwrap().attention(&cell).unwrap();
    let spellings: [&dyn Fn(&str) -> String; 4] = [
        &|name| name.to_owned(),
        &|name| name.replace("self_attn.Wqkv.", "self_attn.in_proj_"),
        &|name| name.replace("self_attn.", "self_attn._impl."),
        &|name| format!("module.{name}"),
    ];
    for spelling in spellings {
        let checkpoint = Folder::new().rename(spelling).load().unwrap();
        assert_eq!(
            ScGpt::new(&checkpoint).unwrap().attention(&cell).unwrap(),
            original
        );
    }
}

#[test]
fn parts_that_attention_does_not_depend_on_are_passed_over_and_named() {
    let checkpoint = released();
    assert_eq!(
        checkpoint.ignored(),
        [
            "flag_encoder.weight",
            "mvc_decoder.W.weight",
            "mvc_decoder.gene2query.bias",
            "mvc_decoder.gene2query.weight"
        ]
    );
    assert_eq!(checkpoint.vocabulary().len(), 60);
    assert_eq!(checkpoint.files().len(), 3);
    assert!(Checkpoint::is_in(&golden("scgpt")) && !Checkpoint::is_in(&golden("bert")));

    let fine_tuned = Folder::new().put("cls_decoder.out_layer.weight", &[7, 32]);
    assert_eq!(
        fine_tuned.load().unwrap().ignored(),
        ["cls_decoder.out_layer.weight"]
    );
    let of_batches = Folder::new()
        .put("decoder.fc.0.weight", &[32, 64])
        .load()
        .unwrap();
    let model = ScGpt::new(&of_batches).unwrap();
    let error = model.expression(&Expected::read().cell(1)).unwrap_err();
    assert!(matches!(error, Error::NoDecoder { .. }), "{error}");
}

#[test]
fn weights_that_are_not_as_the_configuration_says_are_refused_by_name() {
    let layer = "transformer_encoder.layers.1";
    let cases: Vec<(Folder, &[&str])> = vec![
        (
            Folder::new().without("transformer_encoder.layers.1.norm2.bias"),
            &["transformer_encoder.layers.1.norm2.bias is missing"],
        ),
        (
            Folder::new().put(&format!("{layer}.self_attn.Wqkv.weight"), &[64, 32]),
            &["layers.1.self_attn.Wqkv.weight", "[64, 32]", "[96, 32]"],
        ),
        (
            Folder::new().put(&format!("{layer}.self_attn.in_proj_weight"), &[96, 32]),
            &["layers.1.self_attn.Wqkv.weight", "two spellings"],
        ),
        (
            Folder::new().with("nlayers", json!(1)),
            &["transformer_encoder.layers.1.", "args.json says 1 layers"],
        ),
        (
            Folder::new().with("nlayers", json!(3)),
            &["transformer_encoder.layers.2.", "missing"],
        ),
        (
            Folder::new().with("d_hid", json!(64)),
            &["layers.0.linear1.bias", "[40]", "[64]"],
        ),
        (
            Folder::new().put("transformer_encoder.norm.weight", &[32]),
            &["transformer_encoder.norm.weight", "not computed"],
        ),
        (
            Folder::new().put("pert_encoder.weight", &[3, 32]),
            &["pert_encoder.weight", "flags of perturbation"],
        ),
        (
            Folder::new().with("input_emb_style", json!("scaling")),
            &["value_encoder.", "values that are scaling"],
        ),
        (
            Folder::new().with("domain_spec_batchnorm", json!("dsbn")),
            &["dsbn.bns.0.running_mean is missing"],
        ),
        (
            Folder::new().put("encoder.embedding.weight", &[58, 32]),
            &["60 entries", "embeds 58"],
        ),
        (
            Folder::new().with("pre_norm", json!(true)),
            &["args.json", "pre_norm is true"],
        ),
        (
            Folder::new().with("input_emb_style", json!("rank")),
            &["args.json", "unknown variant `rank`"],
        ),
    ];
    for (folder, words) in cases {
        let error = match folder.load() {
            Err(error) => error.to_string(),
            Ok(checkpoint) => ScGpt::new(&checkpoint).unwrap_err().to_string(),
        };
        for word in words {
            assert!(error.contains(word), "no {word:?} in {error}");
        }
        assert!(!error.contains('\n'), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    fs::copy(golden("scgpt/args.json"), folder.path().join("args.json")).unwrap();
    let error = Checkpoint::load(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("no vocabulary") && error.contains("vocab.json"),
        "{error}"
    );
    assert!(
        Folder::new()
            .with("nheads", json!(5))
            .error()
            .contains("nheads is 5")
    );
}

#[test]
fn cells_that_the_model_cannot_read_are_refused() {
    let model = ScGpt::new(&released()).unwrap();
    let refused = |model: &ScGpt, tokens: &[u32], values: &[f32]| {
        model
            .hidden_states(&valued(tokens.to_vec(), values.to_vec()))
            .unwrap_err()
    };
    assert!(matches!(refused(&model, &[], &[]), Error::NoToken { cell: 0 }));
    assert!(matches!(
        refused(&model, &[1, 60], &[1.0, 1.0]),
        Error::Token {
            token: 60,
            n_tokens: 60,
            ..
        }
    ));
    let nan = refused(&model, &[1, 2], &[1.0, f32::NAN]);
    assert!(matches!(nan, Error::Value { place: 1, .. }), "{nan}");

    let categories = Folder::variant("category")
        .without("value_encoder.linear")
        .without("value_encoder.norm")
        .with("input_emb_style", json!("category"))
        .load()
        .unwrap();
    let model = ScGpt::new(&categories).unwrap();
    for value in [-1.0, 0.5, 52.0] {
        let error = refused(&model, &[1], &[value]);
        assert!(error.to_string().contains("a category from 0 to 51"), "{error}");
    }
}

#[test]
fn a_fresh_model_is_saved_and_read_back_bit_for_bit() {
    for style in [
        ValueEncoding::Continuous,
        ValueEncoding::Category,
        ValueEncoding::Scaling,
    ] {
        let config = Config {
            input_emb_style: style,
            ..Config::sized(2, 16, 4)
        };
        let vocabulary = Vocabulary::of_genes((0..20).map(|i| format!("G{i}"))).unwrap();
        let fresh = || {
            let mut stream = Seeds::new(3).stream("test", "weights", 0);
            Checkpoint::random(config.clone(), vocabulary.clone(), &mut stream).unwrap()
        };
        let folder = tempfile::tempdir().unwrap();
        fresh().save(folder.path()).unwrap();
        let read = Checkpoint::load(folder.path()).unwrap();
        assert_eq!((read.config(), read.vocabulary()), (&config, &vocabulary));
        let cell = valued(vec![21, 3, 7, 11], vec![0.0, 1.0, 4.0, 50.0]);
        let states = |checkpoint: &Checkpoint| ScGpt::new(checkpoint).unwrap().hidden_states(&cell).unwrap();
        assert_eq!(states(&read), states(&fresh()));
        assert!(
            ScGpt::new(&read)
                .unwrap()
                .expression(&cell)
                .unwrap()
                .iter()
                .all(|x| x.is_finite())
        );
    }
}

#[test]
fn edges_do_not_depend_on_the_order_of_a_cells_genes_and_are_the_mean_of_full_attention() {
    let model = ScGpt::new(&released()).unwrap();
    let expected = Expected::read();
    let cell = expected.cell(3);
    let genes: Vec<u32> = cell.tokens()[1..].to_vec();
    let panel = Panel::new(genes.iter().map(|token| format!("GENE{token}"))).unwrap();
    let panel = released().vocabulary().panel(&panel).unwrap();
    let edges = |cells: &[ValuedCell]| {
        let panels = (panel.clone(), panel.clone());
        let (orientation, absent) = (Orientation::Query, AbsentPairs::Missing);
        extract(&model, cells, panels.0, panels.1, orientation, absent, |_| ()).unwrap()
    };
    let found = edges(std::slice::from_ref(&cell));
    assert_eq!(found.edges.len(), model.n_layers());
    let maps = model.attention(&cell).unwrap();
    for (found, map) in found.edges.iter().zip(&maps) {
        for ((source, target), score) in found.scores().indexed_iter() {
            let heads = (0..4).map(|head| map[[head, source + 1, target + 1]]);
            let mean = heads.sum::<f32>() / 4.0;
            assert!((score - mean).abs() < 1e-6, "{score}, expected {mean}");
        }
    }
    let mut order: Vec<usize> = (1..cell.tokens().len()).rev().collect();
    order.insert(3, 0);
    let permuted = valued(
        order.iter().map(|&at| cell.tokens()[at]).collect(),
        order.iter().map(|&at| cell.values()[at]).collect(),
    );
    for (a, b) in found.edges.iter().zip(&edges(&[permuted]).edges) {
        for (a, b) in a.scores().iter().zip(b.scores()) {
            assert!((a - b).abs() < PROBABILITY, "{a} {b}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn permuting_genes_permutes_attention(
        seed in any::<u64>(), genes in proptest::sample::subsequence((0u32..57).collect::<Vec<_>>(), 2..20),
    ) {
        use rand::RngExt;
        use rand::seq::SliceRandom;
        let model = ScGpt::new(&released()).unwrap();
        let mut rng = Seeds::new(seed).stream("test", "permutation", 0);
        let values: Vec<f32> = genes.iter().map(|_| rng.random_range(0..51) as f32).collect();
        let mut order: Vec<usize> = (0..genes.len()).collect();
        order.shuffle(&mut rng);
        let plain = model.attention(&valued(genes.clone(), values.clone())).unwrap();
        let permuted = model
            .attention(&valued(
                order.iter().map(|&at| genes[at]).collect(),
                order.iter().map(|&at| values[at]).collect(),
            ))
            .unwrap();
        for (plain, permuted) in plain.iter().zip(&permuted) {
            for ((head, query, key), p) in permuted.indexed_iter() {
                let q = plain[[head, order[query], order[key]]];
                prop_assert!((p - q).abs() < PROBABILITY, "{} {}", p, q);
            }
        }
    }
}
