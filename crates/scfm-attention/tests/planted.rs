//! Planted models in files are what they were made to be.

mod common;

use ndarray::Array2;
use rand::RngExt;
use scfm_attention::planted::{Planted, PlantedParams};
use scfm_attention::{
    AbsentPairs, AttentionSums, Error, Interventions, Site, TokenPanel, TokenisedCell, Transformer,
    ValuedCell, geneformer, scgpt,
};
use scfm_core::{EdgeMatrix, Head, Layer, Measure, ModelEdge, Orientation, Panel, Seeds};
use scfm_stats::{auroc, spearman};

const GENES: usize = 64;
const SOURCES: usize = 12;
const CELLS: usize = 60;

fn genes() -> Panel {
    Panel::new((0..GENES).map(common::gene)).unwrap()
}

/// Signed effects of the first genes on later ones, `[source, target]`.
fn effects() -> Array2<f64> {
    let mut rng = Seeds::new(21).stream("test", "effects", 0);
    Array2::from_shape_fn((GENES, GENES), |(source, target)| {
        let size = rng.random_range(0.4..1.0);
        let is_edge = source < SOURCES && target > source && rng.random_range(0.0..1.0) < 0.1;
        match (is_edge, rng.random_range(0.0..1.0) < 0.7) {
            (false, _) => 0.0,
            (true, true) => size,
            (true, false) => -size,
        }
    })
}

/// A vocabulary in another order than the panel: one that took the order of genes for that of tokens would be found out.
fn symbols() -> scgpt::Vocabulary {
    scgpt::Vocabulary::of_genes((0..GENES).rev().map(common::gene)).unwrap()
}

fn ids() -> geneformer::Vocabulary {
    let specials = ["<pad>", "<mask>", "<cls>", "<eos>"].map(str::to_owned);
    let tokens = specials
        .into_iter()
        .chain((0..GENES).rev().map(common::gene))
        .zip(0..);
    geneformer::Vocabulary::new(tokens, (0..GENES).map(|gene| (common::gene(gene), 1.0))).unwrap()
}

/// Cells that hold five genes of six, in random order: their columns.
fn columns() -> Vec<Vec<u32>> {
    let cell = |cell: usize| {
        let mut rng = Seeds::new(22).stream("test", "cells", cell as u64);
        let mut columns: Vec<u32> = (0..GENES as u32).collect();
        rand::seq::SliceRandom::shuffle(columns.as_mut_slice(), &mut rng);
        columns.truncate(5 * GENES / 6);
        columns
    };
    (0..CELLS).map(cell).collect()
}

fn cell_of(cell: usize, columns: &[u32], token: impl Fn(&str) -> Option<u32>) -> TokenisedCell {
    TokenisedCell {
        cell,
        tokens: columns
            .iter()
            .map(|&column| token(&common::gene(column as usize)).unwrap())
            .collect(),
        columns: columns.iter().copied().map(Some).collect(),
    }
}

fn cells_of_ids() -> Vec<TokenisedCell> {
    let vocabulary = ids();
    let (cls, eos) = vocabulary.frame().unwrap();
    let cell = |(i, columns): (usize, &Vec<u32>)| {
        let mut cell = cell_of(i, columns, |gene| vocabulary.token(gene));
        cell.tokens.insert(0, cls);
        cell.tokens.push(eos);
        cell.columns.insert(0, None);
        cell.columns.push(None);
        cell
    };
    columns().iter().enumerate().map(cell).collect()
}

fn cells_of_symbols() -> Vec<ValuedCell> {
    let vocabulary = symbols();
    let cell = |(i, columns): (usize, &Vec<u32>)| {
        let mut rng = Seeds::new(23).stream("test", "bins", i as u64);
        let mut cell = cell_of(i, columns, |gene| vocabulary.token(gene));
        cell.tokens.insert(0, vocabulary.cls());
        cell.columns.insert(0, None);
        let bins = columns.iter().map(|_| f32::from(rng.random_range(1..=50u8)));
        ValuedCell::new(cell, std::iter::once(-2.0).chain(bins).collect())
    };
    columns().iter().enumerate().map(cell).collect()
}

fn through_files_geneformer(planted: &Planted) -> geneformer::Geneformer {
    let checkpoint = geneformer::Checkpoint::planted(planted, ids(), &cells_of_ids(), Seeds::new(1)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    checkpoint.save(folder.path()).unwrap();
    let loaded = geneformer::Checkpoint::load(folder.path()).unwrap();
    geneformer::Geneformer::new(&loaded).unwrap()
}

fn through_files_scgpt(planted: &Planted) -> scgpt::ScGpt {
    let checkpoint =
        scgpt::Checkpoint::planted(planted, symbols(), &cells_of_symbols(), Seeds::new(1)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    checkpoint.save(folder.path()).unwrap();
    scgpt::ScGpt::new(&scgpt::Checkpoint::load(folder.path()).unwrap()).unwrap()
}

/// Edges of each layer, and of the heads of the first.
fn edges<M: Transformer>(model: &M, cells: &[M::Cell], panel: &TokenPanel) -> Vec<EdgeMatrix>
where
    M::Cell: Sync,
{
    let layers = (0..model.n_layers()).map(|layer| ModelEdge::of_layer(Measure::Attention, Layer(layer)));
    let heads = (0..model.n_heads()).map(|head| ModelEdge::of_head(Measure::Attention, Layer(0), Head(head)));
    let wanted: Vec<ModelEdge> = layers.chain(heads).collect();
    let mut sums =
        AttentionSums::of(model, wanted, panel.clone(), panel.clone(), Orientation::Query).unwrap();
    sums.add(model, cells, |_| ()).unwrap();
    sums.mean(AbsentPairs::Missing).unwrap().edges
}

/// Edges of both families under the same planting.
fn edges_of_both(planted: &Planted) -> [Vec<EdgeMatrix>; 2] {
    let of_ids = edges(
        &through_files_geneformer(planted),
        &cells_of_ids(),
        &ids().panel(&genes()).unwrap(),
    );
    let of_symbols = edges(
        &through_files_scgpt(planted),
        &cells_of_symbols(),
        &symbols().panel(&genes()).unwrap(),
    );
    [of_ids, of_symbols]
}

/// All scores of pairs of two genes, with what `of_pair` says of them.
fn pairs<T>(edges: &EdgeMatrix, of_pair: impl Fn(usize, usize) -> T) -> (Vec<f64>, Vec<T>) {
    let scores = edges
        .scores()
        .indexed_iter()
        .filter(|((i, j), score)| i != j && !score.is_nan());
    scores
        .map(|((i, j), &score)| (f64::from(score), of_pair(i, j)))
        .unzip()
}

fn with_strength(strength: f64) -> PlantedParams {
    PlantedParams {
        strength,
        ..PlantedParams::default()
    }
}

/// By layer, the median over the tokens of some cells of the largest of the first dimensions, where the codes of genes stand.
fn lengths_of_codes<M: Transformer>(model: &M, cells: &[M::Cell]) -> Vec<f32> {
    let sites: Vec<Site> = (0..model.n_layers())
        .map(|layer| Site::Hidden(Layer(layer)))
        .collect();
    let mut codes: Vec<Vec<f32>> = vec![Vec::new(); sites.len()];
    for cell in &cells[..10] {
        let states = model.trace(cell, &sites, &Interventions::none()).unwrap();
        for (site, codes) in sites.iter().zip(&mut codes) {
            let own = states[site].rows().into_iter().map(|state| {
                let genes = state.iter().take(GENES).copied();
                genes.fold(0.0, f32::max)
            });
            codes.extend(own);
        }
    }
    let median = |codes: &mut Vec<f32>| {
        let middle = codes.len() / 2;
        *codes.select_nth_unstable_by(middle, f32::total_cmp).1
    };
    codes.iter_mut().map(median).collect()
}

#[test]
fn codes_of_genes_keep_their_length_whatever_heads_add() {
    for strength in [0.0, 3.0, 8.0] {
        let params = PlantedParams {
            n_layers: 4,
            ..with_strength(strength)
        };
        for planted in [
            Planted::regulating(genes(), effects(), params).unwrap(),
            Planted::following(genes(), effects(), params).unwrap(),
        ] {
            for lengths in [
                lengths_of_codes(&through_files_geneformer(&planted), &cells_of_ids()),
                lengths_of_codes(&through_files_scgpt(&planted), &cells_of_symbols()),
            ] {
                assert!(
                    lengths.iter().all(|length| (length - 1.0).abs() < 0.25),
                    "{strength}: {lengths:?}"
                );
            }
        }
    }
}

#[test]
fn edges_of_regulatory_models_are_the_regulation_and_the_clearer_the_stronger() {
    let effects = effects();
    let mut found: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    for strength in [0.0, 0.3, 1.0, 3.0, 8.0] {
        let planted = Planted::regulating(genes(), effects.clone(), with_strength(strength)).unwrap();
        for (edges, found) in edges_of_both(&planted).iter().zip(&mut found) {
            let of_layer = |edges: &EdgeMatrix| {
                let (scores, is_edge) = pairs(edges, |source, target| {
                    // Among the pairs of a source; in the other direction the same affinity is planted for predictions.
                    (source < SOURCES).then_some(effects[[source, target]] != 0.0)
                });
                let rows = scores
                    .iter()
                    .zip(is_edge)
                    .filter_map(|(&score, is_edge)| Some((score, is_edge?)));
                let (scores, is_edge): (Vec<f64>, Vec<bool>) = rows.unzip();
                auroc(&scores, &is_edge).unwrap()
            };
            found.push(edges[..2].iter().map(of_layer).fold(1.0, f64::min));
        }
    }
    for found in found {
        assert!((found[0] - 0.5).abs() < 0.12, "{found:?}");
        // Beyond that the strongest edges of a source leave little for its weak ones.
        assert!(
            found[..4].is_sorted() && found[3] > 0.9 && found[4] > 0.9,
            "{found:?}"
        );
    }
}

#[test]
fn edges_follow_prominence_and_correlation_in_their_direction() {
    let mut rng = Seeds::new(24).stream("test", "prominence", 0);
    let prominence: Vec<f64> = (0..GENES).map(|_| rng.random_range(-1.0..1.0)).collect();
    let of_key = Array2::from_shape_fn((GENES, GENES), |(_, key)| prominence[key]);
    // Correlations by some loadings on four programmes.
    let loadings = Array2::from_shape_simple_fn((GENES, 4), || rng.random_range(-1.0..1.0f64));
    let mut correlation = loadings.dot(&loadings.t()).mapv(f64::abs);
    correlation.diag_mut().fill(0.0);
    for (affinity, least) in [(of_key, 0.85), (correlation, 0.8)] {
        let planted = Planted::following(genes(), affinity.clone(), with_strength(3.0)).unwrap();
        for edges in edges_of_both(&planted) {
            for layer in &edges[..2] {
                let (scores, planted) = pairs(layer, |i, j| affinity[[i, j]]);
                let rho = spearman(&scores, &planted).unwrap().effect;
                assert!(rho > least, "{rho}");
            }
            // The first heads are planted, the others are not.
            for (head, of_head) in edges[2..].iter().enumerate() {
                let (scores, planted) = pairs(of_head, |i, j| affinity[[i, j]]);
                let rho = spearman(&scores, &planted).unwrap().effect;
                assert_eq!(rho > 0.6, head < 2, "head {head}: {rho}");
            }
        }
    }
}

#[test]
fn layers_below_the_planted_ones_know_nothing_and_those_above_as_much_as_ever() {
    let mut rng = Seeds::new(24).stream("test", "prominence", 0);
    let prominence: Vec<f64> = (0..GENES).map(|_| rng.random_range(-1.0..1.0)).collect();
    let affinity = Array2::from_shape_fn((GENES, GENES), |(_, key)| prominence[key]);
    let params = PlantedParams {
        n_layers: 5,
        planted_from: 3,
        ..with_strength(3.0)
    };
    let planted = Planted::following(genes(), affinity.clone(), params).unwrap();
    for edges in edges_of_both(&planted) {
        for (layer, of_layer) in edges[..5].iter().enumerate() {
            let (scores, planted) = pairs(of_layer, |i, j| affinity[[i, j]]);
            let rho = spearman(&scores, &planted).unwrap().effect;
            assert_eq!(rho > 0.85, layer >= 3, "layer {layer}: {rho}");
            assert!(layer >= 3 || rho.abs() < 0.3, "layer {layer}: {rho}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_weights_on_any_number_of_threads() {
    let planted = Planted::regulating(genes(), effects(), PlantedParams::default()).unwrap();
    let model = |threads: usize, seed: u64| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let plant = || scgpt::Checkpoint::planted(&planted, symbols(), &cells_of_symbols(), Seeds::new(seed));
        let checkpoint = pool.install(plant).unwrap();
        let model = scgpt::ScGpt::new(&checkpoint).unwrap();
        model.expression(&cells_of_symbols()[0]).unwrap()
    };
    assert_eq!(model(1, 1), model(3, 1));
    assert_ne!(model(1, 1), model(1, 2));
}

#[test]
fn what_cannot_be_planted_is_refused_with_the_reason() {
    let reason = |result: Result<Planted, Error>| match result.unwrap_err() {
        Error::Planted(reason) => reason,
        error => panic!("{error}"),
    };
    let following = |affinity| reason(Planted::following(genes(), affinity, PlantedParams::default()));
    let square = || Array2::<f64>::zeros((GENES, GENES));
    assert!(following(Array2::zeros((GENES, 3))).contains("[64, 3] for 64 genes"));
    assert!(following(square()).contains("0 everywhere"));
    let mut wrong = square();
    wrong[[2, 5]] = f64::NAN;
    assert!(following(wrong).contains("[2, 5] is NaN"));
    let mut own = square();
    own[[3, 3]] = 1.0;
    let own = reason(Planted::regulating(genes(), own, PlantedParams::default()));
    assert!(own.contains("G003 has an effect on itself"), "{own}");
    for (params, expected) in [
        (
            PlantedParams {
                n_layers: 0,
                ..PlantedParams::default()
            },
            "n_layers is 0",
        ),
        (
            PlantedParams {
                n_planted: 5,
                ..PlantedParams::default()
            },
            "5 of 4 heads",
        ),
        (
            PlantedParams {
                planted_from: 2,
                ..PlantedParams::default()
            },
            "planted_from is 2, expected one of the 2 layers",
        ),
        (
            PlantedParams {
                strength: f64::NAN,
                ..PlantedParams::default()
            },
            "strength is NaN",
        ),
        (
            PlantedParams {
                noise: -1.0,
                ..PlantedParams::default()
            },
            "noise is -1",
        ),
    ] {
        let refused = reason(Planted::regulating(genes(), effects(), params));
        assert!(refused.contains(expected), "{refused}");
    }

    let planted = Planted::regulating(genes(), effects(), PlantedParams::default()).unwrap();
    let plant = |vocabulary, cells: &[ValuedCell]| {
        scgpt::Checkpoint::planted(&planted, vocabulary, cells, Seeds::new(1))
            .unwrap_err()
            .to_string()
    };
    let other = scgpt::Vocabulary::of_genes((0..GENES).map(|gene| format!("H{gene}"))).unwrap();
    assert!(plant(other, &cells_of_symbols()).contains("G000 has no token"));
    let more = scgpt::Vocabulary::of_genes((0..GENES + 1).map(common::gene)).unwrap();
    assert!(plant(more, &cells_of_symbols()).contains("64 genes for a vocabulary of 65"));
    assert!(plant(symbols(), &[]).contains("no cell has a gene"));
    for (n_layers, planted_from) in [(1, 0), (3, 2)] {
        let shallow = PlantedParams {
            n_layers,
            planted_from,
            ..PlantedParams::default()
        };
        let shallow = Planted::regulating(genes(), effects(), shallow).unwrap();
        let refused = geneformer::Checkpoint::planted(&shallow, ids(), &cells_of_ids(), Seeds::new(1));
        assert!(
            refused
                .unwrap_err()
                .to_string()
                .contains("in each of 1 layers, expected some heads of each kind and 2 layers")
        );
    }
}
