//! What is done to the parts of a model, and what is seen of them: agreement with transformers 4.46.3 on
//! `golden/bert_interventions.safetensors` and with the published modules of scGPT on
//! `golden/scgpt_interventions.safetensors`, which the generators beside them made, and what holds for any model.

mod agreement;
mod common;

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use common::{cell_of, cells, checkpoint, golden, tensors, tokens};
use ndarray::Array2;
use proptest::prelude::*;
use scfm_attention::geneformer::{self, Geneformer};
use scfm_attention::scgpt::{self, ScGpt};
use scfm_attention::{Error, Interventions, Site, TokenisedCell, Transformer, ValuedCell};
use scfm_core::{Head, Layer};

/// Tolerances for 32-bit arithmetic in another order of operations, through three layers.
const HIDDEN: f32 = 1e-4;
const PROBABILITY: f32 = 1e-5;
const LOGIT: f32 = 1e-3;

fn array(tensor: &Tensor) -> Array2<f32> {
    let values = tensor.flatten_all().unwrap().to_vec1().unwrap();
    Array2::from_shape_vec(tensor.dims2().unwrap(), values).unwrap()
}

fn all_hidden<M: Transformer>(model: &M, cell: &M::Cell, done: &Interventions) -> Vec<f32> {
    let mut sites = vec![Site::Embeddings];
    sites.extend((0..model.n_layers()).map(|layer| Site::Hidden(Layer(layer))));
    model
        .trace(cell, &sites, done)
        .unwrap()
        .into_values()
        .flatten()
        .collect()
}

/// The interventions of `golden/generate_bert_interventions.py`.
fn of_bert(expected: &HashMap<String, Tensor>) -> Vec<(&'static str, Interventions)> {
    let mask = array(&expected["head_mask"]);
    let masked = mask
        .indexed_iter()
        .fold(Interventions::none(), |done, ((layer, head), &factor)| {
            done.scale_head(Layer(layer), Head(head), factor)
        });
    let uniform = |done: Interventions| {
        [(0, 1), (1, 0), (1, 3)]
            .into_iter()
            .fold(done, |done, (layer, head)| {
                done.uniform_attention(Layer(layer), Head(head))
            })
    };
    let mlp = Interventions::none()
        .scale_mlp(Layer(0), 0.0)
        .scale_mlp(Layer(2), 0.5);
    vec![
        ("head_mask", masked),
        ("uniform", uniform(Interventions::none())),
        ("mlp_scale", mlp.clone()),
        ("all", uniform(mlp)),
        (
            "patched",
            Interventions::none().patch(Site::Hidden(Layer(1)), array(&expected["patch"])),
        ),
    ]
}

#[test]
fn interventions_agree_with_transformers() {
    let expected = tensors("bert_interventions.safetensors");
    let model = Geneformer::new(&geneformer::Checkpoint::load(&golden("bert")).unwrap()).unwrap();
    let tokens = tokens(&expected);
    let places: Vec<u32> = (0..tokens.len() as u32).collect();
    for (name, done) in of_bert(&expected) {
        let found = all_hidden(&model, &cell_of(tokens.clone()), &done);
        let name_of_hidden = format!("hidden.{name}");
        agreement::assert_close(&name_of_hidden, &found, &expected[&name_of_hidden], HIDDEN);
        let logits = model.masked_gene_logits_under(&tokens, &places, &done).unwrap();
        let name = format!("logits.{name}");
        agreement::assert_close(&name, logits.as_slice().unwrap(), &expected[&name], LOGIT);
    }
}

#[test]
fn what_transformers_returns_as_attention_is_the_shown_attention_times_the_head_mask() {
    let expected = tensors("bert_interventions.safetensors");
    let model = Geneformer::new(&geneformer::Checkpoint::load(&golden("bert")).unwrap()).unwrap();
    let mask = array(&expected["head_mask"]);
    let (_, done) = of_bert(&expected).swap_remove(0);
    let sites: Vec<Site> = mask
        .indexed_iter()
        .map(|((layer, head), _)| Site::Attention(Layer(layer), Head(head)))
        .collect();
    let maps = model.trace(&cell_of(tokens(&expected)), &sites, &done).unwrap();
    let masked: Vec<f32> = maps
        .values()
        .zip(&mask)
        .flat_map(|(map, &factor)| map.iter().map(move |p| p * factor).collect::<Vec<_>>())
        .collect();
    agreement::assert_close(
        "masked attention",
        &masked,
        &expected["attention.head_mask"],
        PROBABILITY,
    );
}

#[test]
fn what_is_seen_of_the_parts_agrees_with_transformers() {
    let expected = tensors("bert_interventions.safetensors");
    let model = Geneformer::new(&geneformer::Checkpoint::load(&golden("bert")).unwrap()).unwrap();
    let cell = cell_of(tokens(&expected));
    for layer in 0..3 {
        let heads: Vec<Site> = (0..4)
            .map(|head| Site::Context(Layer(layer), Head(head)))
            .collect();
        let seen = model.trace(&cell, &heads, &Interventions::none()).unwrap();
        let views: Vec<_> = seen.values().map(|context| context.view()).collect();
        let contexts = ndarray::concatenate(ndarray::Axis(1), &views).unwrap();
        let name = format!("context.{layer}");
        let contexts: Vec<f32> = contexts.iter().copied().collect();
        agreement::assert_close(&name, &contexts, &expected[&name], HIDDEN);

        let site = Site::Mlp(Layer(layer));
        let mlp: Vec<f32> = model.trace(&cell, &[site], &Interventions::none()).unwrap()[&site]
            .iter()
            .copied()
            .collect();
        let name = format!("mlp.{layer}");
        agreement::assert_close(&name, &mlp, &expected[&name], HIDDEN);
    }
}

#[test]
fn interventions_agree_with_the_published_scgpt() {
    let expected = tensors("scgpt_interventions.safetensors");
    let model = ScGpt::new(&scgpt::Checkpoint::load(&golden("scgpt")).unwrap()).unwrap();
    let values = expected["values"].to_vec1().unwrap();
    let cell = ValuedCell::new(cell_of(tokens(&expected)), values);
    let last = Site::Hidden(Layer(1));
    for (name, done) in [
        (
            "head_scale",
            Interventions::none()
                .scale_head(Layer(0), Head(1), 0.0)
                .scale_head(Layer(1), Head(2), 0.5),
        ),
        (
            "uniform",
            Interventions::none()
                .uniform_attention(Layer(0), Head(0))
                .uniform_attention(Layer(1), Head(3)),
        ),
        (
            "mlp_scale",
            Interventions::none()
                .scale_mlp(Layer(0), 0.0)
                .scale_mlp(Layer(1), 2.0),
        ),
    ] {
        let hidden = model.trace(&cell, &[last], &done).unwrap().remove(&last).unwrap();
        let name_of_hidden = format!("hidden.{name}");
        agreement::assert_close(
            &name_of_hidden,
            hidden.as_slice().unwrap(),
            &expected[&name_of_hidden],
            HIDDEN,
        );
        let name = format!("prediction.{name}");
        let places: Vec<u32> = (0..cell.tokens().len() as u32).collect();
        let found = model.expression_under(&cell, &places, &done).unwrap();
        agreement::assert_close(&name, &found, &expected[&name], HIDDEN);
    }
}

fn model() -> Geneformer {
    Geneformer::new(&checkpoint(30, 40)).unwrap()
}

/// Everything that can be seen of the model of these tests.
fn all_sites() -> Vec<Site> {
    let mut sites = vec![Site::Embeddings];
    for layer in (0..3).map(Layer) {
        sites.extend([Site::Mlp(layer), Site::Hidden(layer)]);
        for head in (0..2).map(Head) {
            sites.extend([Site::Attention(layer, head), Site::Context(layer, head)]);
        }
    }
    sites
}

/// The attention of each layer, bit by bit.
fn attention_bits(model: &Geneformer, cell: &TokenisedCell, done: &Interventions) -> Vec<Vec<u32>> {
    let layers = (0..3).map(Layer);
    layers
        .map(|layer| {
            let sites = [Site::Attention(layer, Head(0)), Site::Attention(layer, Head(1))];
            let seen = model.trace(cell, &sites, done).unwrap();
            seen.values().flatten().map(|p| p.to_bits()).collect()
        })
        .collect()
}

#[test]
fn attention_changes_above_an_intervention_and_by_no_bit_at_it_or_below() {
    let (model, cell) = (model(), &cells(3, 29, 20)[1]);
    let clean = attention_bits(&model, cell, &Interventions::none());
    let seen = model.trace(cell, &all_sites(), &Interventions::none()).unwrap();
    for at in 0..3 {
        let (layer, head) = (Layer(at), Head(1));
        let other = |site: Site| seen[&site].mapv(|x| 0.5 * x + 0.25);
        for done in [
            Interventions::none().scale_head(layer, head, 0.0),
            Interventions::none().uniform_attention(layer, head),
            Interventions::none().scale_mlp(layer, 0.0),
            Interventions::none().patch(Site::Attention(layer, head), other(Site::Attention(layer, head))),
            Interventions::none().patch(Site::Context(layer, head), other(Site::Context(layer, head))),
            Interventions::none().patch(Site::Mlp(layer), other(Site::Mlp(layer))),
            Interventions::none().patch(Site::Hidden(layer), other(Site::Hidden(layer))),
        ] {
            let found = attention_bits(&model, cell, &done);
            for layer in 0..3 {
                assert_eq!(done.reaches(Layer(layer)), layer > at, "{done:?}");
                assert_eq!(
                    found[layer] != clean[layer],
                    layer > at,
                    "layer {layer} under {done:?}"
                );
            }
        }
    }
    let embeddings = seen[&Site::Embeddings].mapv(|x| x * x);
    let done = Interventions::none().patch(Site::Embeddings, embeddings);
    assert!(done.reaches(Layer(0)));
    assert_ne!(attention_bits(&model, cell, &done)[0], clean[0]);
}

#[test]
fn patching_with_a_models_own_activations_changes_nothing() {
    let (model, cell) = (model(), &cells(3, 29, 20)[1]);
    let clean = model.trace(cell, &all_sites(), &Interventions::none()).unwrap();
    for (&site, activations) in &clean {
        let done = Interventions::none().patch(site, activations.clone());
        let found = model.trace(cell, &all_sites(), &done).unwrap();
        for (site, found) in found {
            let largest = (&found - &clean[&site])
                .mapv(f32::abs)
                .fold(0.0f32, |a, &b| a.max(b));
            // The feed-forward step is added in another order of operations where it is patched.
            assert!(largest < PROBABILITY, "{site} differs by {largest}");
        }
    }
}

#[test]
fn looking_changes_no_bit_and_layers_below_a_patched_output_are_not_needed() {
    let (model, cell) = (model(), &cells(3, 29, 20)[2]);
    let last = Site::Hidden(Layer(2));
    let alone = model.trace(cell, &[last], &Interventions::none()).unwrap();
    let among_all = model.trace(cell, &all_sites(), &Interventions::none()).unwrap();
    assert_eq!(alone[&last], among_all[&last]);

    let stored = among_all[&Site::Hidden(Layer(1))].clone();
    let resumed = Interventions::none().patch(Site::Hidden(Layer(1)), stored);
    // Layers below overflow, and are not computed.
    let broken = resumed.clone().scale_mlp(Layer(0), f32::INFINITY);
    for done in [resumed, broken] {
        assert_eq!(model.trace(cell, &[last], &done).unwrap()[&last], alone[&last]);
    }
}

#[test]
fn a_layer_whose_contexts_are_all_given_or_silenced_puts_out_the_same_bits() {
    let (model, cell) = (model(), &cells(3, 29, 20)[2]);
    let clean = model.trace(cell, &all_sites(), &Interventions::none()).unwrap();
    for layer in (0..3).map(Layer) {
        let silenced = Interventions::none().scale_head(layer, Head(1), 0.0);
        let left_alone = Site::Context(layer, Head(0));
        assert!(silenced.alters(Site::Context(layer, Head(1))) && !silenced.alters(left_alone));
        let given = silenced.clone().patch(left_alone, clean[&left_alone].clone());
        assert!(given.alters(left_alone));
        assert_eq!(
            all_hidden(&model, cell, &given),
            all_hidden(&model, cell, &silenced)
        );
        // What is looked at is computed all the same, and shown as it is without.
        let sites = [Site::Attention(layer, Head(1)), Site::Context(layer, Head(0))];
        let shown = |done: &Interventions| model.trace(cell, &sites, done).unwrap();
        assert_eq!(shown(&given), shown(&silenced));
    }
}

#[test]
fn silencing_a_head_is_removing_its_columns_from_the_output_projection() {
    let (model, cell) = (model(), &cells(3, 29, 20)[2]);
    let folder = tempfile::tempdir().unwrap();
    checkpoint(30, 40).save(folder.path()).unwrap();
    let path = folder.path().join("model.safetensors");
    let mut weights = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    let output = weights
        .get_mut("bert.encoder.layer.1.attention.output.dense.weight")
        .unwrap();
    let mask: Vec<f32> = (0..16).map(|column| f32::from(u8::from(column < 8))).collect();
    *output = output
        .broadcast_mul(&Tensor::new(mask, &Device::Cpu).unwrap())
        .unwrap();
    candle_core::safetensors::save(&weights, &path).unwrap();
    let without = Geneformer::new(&geneformer::Checkpoint::load(folder.path()).unwrap()).unwrap();

    let silenced = Interventions::none().scale_head(Layer(1), Head(1), 0.0);
    let found = all_hidden(&model, cell, &silenced);
    let expected = all_hidden(&without, cell, &Interventions::none());
    assert_ne!(found, all_hidden(&model, cell, &Interventions::none()));
    for (a, b) in found.iter().zip(&expected) {
        assert!((a - b).abs() < PROBABILITY, "{a} {b}");
    }
}

#[test]
fn places_that_the_model_does_not_have_and_activations_of_another_cell_are_refused() {
    let (model, cell) = (model(), &cells(3, 29, 20)[1]);
    for done in [
        Interventions::none().scale_head(Layer(3), Head(0), 0.0),
        Interventions::none().uniform_attention(Layer(0), Head(2)),
        Interventions::none().scale_mlp(Layer(7), 0.0),
    ] {
        let error = model.trace(cell, &[], &done).unwrap_err();
        assert!(
            matches!(
                error,
                Error::NoSite {
                    n_layers: 3,
                    n_heads: 2,
                    ..
                }
            ),
            "{error}"
        );
    }
    let beyond = Site::Context(Layer(0), Head(9));
    let error = model.trace(cell, &[beyond], &Interventions::none()).unwrap_err();
    assert!(
        matches!(error, Error::NoSite { site, .. } if site == beyond),
        "{error}"
    );
    for site in all_sites() {
        let done = Interventions::none().patch(site, Array2::zeros((cell.tokens.len() + 1, 16)));
        let error = model.trace(cell, &[Site::Hidden(Layer(2))], &done).unwrap_err();
        assert!(
            matches!(error, Error::PatchShape { site: at, .. } if at == site),
            "{error}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_scale_of_one_changes_no_bit(layer in 0usize..3, head in 0usize..2, which in 0usize..3) {
        let (model, cell) = (model(), &cells(5, 29, 20)[which]);
        let done = Interventions::none().scale_head(Layer(layer), Head(head), 1.0).scale_mlp(Layer(layer), 1.0);
        let bits = |done: &Interventions| -> Vec<u32> {
            all_hidden(&model, cell, done).iter().map(|x| x.to_bits()).collect()
        };
        prop_assert_eq!(bits(&done), bits(&Interventions::none()));
    }

    #[test]
    fn what_a_layer_adds_is_linear_in_the_scale_of_a_head(layer in 0usize..3, head in 0usize..2, scale in -2.0f32..2.0) {
        let (model, cell) = (model(), &cells(5, 29, 20)[3]);
        let site = Site::Context(Layer(layer), Head(head));
        let of = |scale| model.trace(cell, &[site], &Interventions::none().scale_head(Layer(layer), Head(head), scale)).unwrap();
        let (plain, scaled) = (of(1.0), of(scale));
        for (a, b) in plain[&site].iter().zip(&scaled[&site]) {
            prop_assert!((a * scale - b).abs() < PROBABILITY);
        }
    }
}
