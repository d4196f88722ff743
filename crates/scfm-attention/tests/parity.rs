//! Agreement with `BertForMaskedLM` of transformers 4.46.3 on `golden/bert`, which `golden/generate_bert.py` made, and with
//! its classifiers on `golden/bert_classifiers`, which `golden/generate_bert_classifiers.py` made.

mod agreement;

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use ndarray::{ArrayView2, Axis, s};
use scfm_attention::geneformer::{Checkpoint, Geneformer};
use scfm_attention::{Error, TokenisedCell, cell_embeddings};
use scfm_core::Layer;

/// Tolerances for 32-bit arithmetic in another order of operations, through three layers.
const HIDDEN: f32 = 1e-4;
const PROBABILITY: f32 = 1e-5;
const LOGIT: f32 = 1e-3;

struct Golden {
    model: Geneformer,
    expected: HashMap<String, Tensor>,
}

fn golden() -> Golden {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let checkpoint = Checkpoint::load(&folder.join("bert")).unwrap();
    Golden {
        model: Geneformer::new(&checkpoint).unwrap(),
        expected: candle_core::safetensors::load(folder.join("bert_expected.safetensors"), &Device::Cpu)
            .unwrap(),
    }
}

impl Golden {
    fn sequences(&self) -> impl Iterator<Item = (usize, Vec<u32>)> {
        let tokens = |i: usize| self.expected.get(&format!("tokens.{i}"));
        (0..)
            .map_while(move |i| Some((i, tokens(i)?.to_vec1::<i64>().unwrap())))
            .map(|(i, ids)| (i, ids.iter().map(|&id| u32::try_from(id).unwrap()).collect()))
    }

    fn assert_close(&self, name: &str, found: &[f32], tolerance: f32) {
        agreement::assert_close(name, found, &self.expected[name], tolerance);
    }
}

#[test]
fn hidden_states_agree_with_transformers() {
    let golden = golden();
    for (i, tokens) in golden.sequences() {
        let states = golden.model.hidden_states(&tokens).unwrap();
        let found: Vec<f32> = states.iter().flatten().copied().collect();
        golden.assert_close(&format!("hidden.{i}"), &found, HIDDEN);
    }
    assert_eq!(golden.sequences().count(), 4);
}

/// The mean over tokens of the second to last hidden states, as `EmbExtractor` takes it; this model has no `<cls>`.
#[test]
fn embeddings_of_cells_are_the_means_of_the_hidden_states_of_transformers() {
    let golden = golden();
    let (mut cells, mut expected) = (Vec::new(), Vec::new());
    for (i, tokens) in golden.sequences() {
        let states = &golden.expected[&format!("hidden.{i}")];
        let second_to_last = states.get(states.dim(0).unwrap() - 2).unwrap();
        expected.extend(second_to_last.mean(0).unwrap().to_vec1::<f32>().unwrap());
        cells.push(TokenisedCell {
            cell: i,
            columns: (0..tokens.len() as u32).map(Some).collect(),
            tokens,
        });
    }
    let embeddings = cell_embeddings(&golden.model, &cells, None).unwrap();
    assert_eq!(embeddings.nrows(), 4);
    for (found, expected) in embeddings.iter().zip(&expected) {
        assert!((found - expected).abs() < HIDDEN, "{found} {expected}");
    }

    // Special tokens do not count, other layers are pooled alike, and what cannot be pooled is refused.
    let mut framed = cells.iter().max_by_key(|cell| cell.tokens.len()).unwrap().clone();
    framed.columns[0] = None;
    let states = golden.model.hidden_states(&framed.tokens).unwrap();
    let mean = |states: ArrayView2<'_, f32>| states.mean_axis(Axis(0)).unwrap();
    for (layer, states) in [(None, &states[2]), (Some(Layer(0)), &states[1])] {
        let found = cell_embeddings(&golden.model, &[framed.clone()], layer).unwrap();
        let expected = mean(states.slice(s![1.., ..]));
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < HIDDEN));
        let of_all = mean(states.view());
        assert!(
            found
                .iter()
                .zip(&of_all)
                .any(|(a, b)| (a - b).abs() > 10.0 * HIDDEN)
        );
    }
    framed.columns.fill(None);
    let refused = cell_embeddings(&golden.model, &[framed], None);
    assert!(matches!(refused, Err(Error::NoToken { .. })));
    let refused = cell_embeddings(&golden.model, &cells, Some(Layer(3)));
    assert!(matches!(refused, Err(Error::NoSite { .. })));
}

#[test]
fn attention_agrees_with_transformers() {
    let golden = golden();
    for (i, tokens) in golden.sequences() {
        let maps = golden.model.attention(&tokens).unwrap();
        let found: Vec<f32> = maps.iter().flatten().copied().collect();
        golden.assert_close(&format!("attention.{i}"), &found, PROBABILITY);
        for row in maps.iter().flat_map(|map| map.rows()) {
            assert!((row.sum() - 1.0).abs() < PROBABILITY);
        }
    }
}

#[test]
fn masked_gene_logits_agree_with_transformers() {
    let golden = golden();
    for (i, tokens) in golden.sequences() {
        let places: Vec<u32> = (0..tokens.len() as u32).collect();
        let logits = golden.model.masked_gene_logits(&tokens, &places).unwrap();
        golden.assert_close(&format!("logits.{i}"), logits.as_slice().unwrap(), LOGIT);
        let last = golden
            .model
            .masked_gene_logits(&tokens, &places[places.len() - 1..])
            .unwrap();
        let differences = last
            .row(0)
            .iter()
            .zip(logits.row(places.len() - 1))
            .map(|(a, b)| (a - b).abs())
            .collect::<Vec<_>>();
        assert!(differences.iter().all(|&d| d < LOGIT));
    }
}

#[test]
fn fine_tuned_classifiers_are_read_and_have_no_masked_gene_head() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let expected = folder.join("bert_classifiers/expected.safetensors");
    let expected = candle_core::safetensors::load(expected, &Device::Cpu).unwrap();
    let tokens: Vec<i64> = expected["tokens"].to_vec1().unwrap();
    let tokens: Vec<u32> = tokens.iter().map(|&id| u32::try_from(id).unwrap()).collect();
    for name in ["cells", "genes"] {
        let checkpoint =
            Checkpoint::load_with(&folder.join("bert_classifiers").join(name), &folder.join("bert")).unwrap();
        let model = Geneformer::new(&checkpoint).unwrap();
        let states = model.hidden_states(&tokens).unwrap();
        let states: Vec<f32> = states.iter().flatten().copied().collect();
        let key = format!("hidden.{name}");
        agreement::assert_close(&key, &states, &expected[&key], HIDDEN);
        let maps = model.attention(&tokens).unwrap();
        let maps: Vec<f32> = maps.iter().flatten().copied().collect();
        let key = format!("attention.{name}");
        agreement::assert_close(&key, &maps, &expected[&key], PROBABILITY);
        let error = model.masked_gene_logits(&tokens, &[0]).unwrap_err();
        assert!(matches!(error, Error::NoHead { .. }), "{error}");
    }
}
