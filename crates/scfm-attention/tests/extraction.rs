//! Streaming extraction against the definition, and the invariances that make it safe to shard.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};

use common::{cells, checkpoint, gene, vocabulary};
use ndarray::Array2;
use proptest::prelude::*;
use scfm_attention::geneformer::{Checkpoint, Geneformer};
use scfm_attention::{
    AbsentPairs, AttentionSums, Error, Extraction, TokenPanel, TokenisedCell, add_pair_counts, extract,
};
use scfm_core::{EdgeKind, EdgeMatrix, Layer, Measure, ModelEdge, Orientation, Panel};

const N_GENES: usize = 30;

/// 32-bit probabilities of at most 1, averaged in another order.
const SCORE: f32 = 1e-6;

fn model() -> Geneformer {
    Geneformer::new(&checkpoint(N_GENES, 40)).unwrap()
}

fn panel(genes: impl IntoIterator<Item = usize>) -> TokenPanel {
    let panel = Panel::new(genes.into_iter().map(gene)).unwrap();
    vocabulary(N_GENES).panel(&panel).unwrap()
}

/// Gene 99 is in no vocabulary; gene 29 is never in a cell of the tests below.
fn panels() -> (TokenPanel, TokenPanel) {
    (panel([7, 3, 99, 20, 29]), panel([29, 0, 3, 12, 20, 7, 5, 99]))
}

fn test_cells() -> Vec<TokenisedCell> {
    let mut cells = cells(25, N_GENES - 1, 20);
    // One without any gene of the panels.
    cells[4].tokens = vec![2 + 1, 2 + 2];
    cells
}

fn run(cells: &[TokenisedCell], orientation: Orientation, absent: AbsentPairs) -> Extraction {
    let (sources, targets) = panels();
    extract(&model(), cells, sources, targets, orientation, absent, |_| ()).unwrap()
}

/// Equal to the last bit, `NaN` included.
fn assert_same(a: &Extraction, b: &Extraction) {
    let bits = |e: &Extraction| -> Vec<u32> {
        e.edges
            .iter()
            .flat_map(EdgeMatrix::scores)
            .map(|score| score.to_bits())
            .collect()
    };
    assert_eq!(bits(a), bits(b));
    assert_eq!((&a.n_cells, a.cells_read), (&b.n_cells, b.cells_read));
}

#[test]
fn edges_are_the_mean_over_heads_and_cells_of_full_attention() {
    let (model, cells) = (model(), test_cells());
    let (sources, targets) = panels();
    for (orientation, absent) in [
        (Orientation::Query, AbsentPairs::Missing),
        (Orientation::Key, AbsentPairs::Missing),
        (Orientation::Query, AbsentPairs::Zero),
    ] {
        let found = run(&cells, orientation, absent);
        let shape = (sources.panel().len(), targets.panel().len());
        let mut sums = vec![Array2::<f64>::zeros(shape); 3];
        let mut n_cells = Array2::<u32>::zeros(shape);
        for cell in &cells {
            let maps = model.attention(&cell.tokens).unwrap();
            for (s, source) in sources.tokens().iter().enumerate() {
                for (t, target) in targets.tokens().iter().enumerate() {
                    let place = |token: &Option<u32>| cell.tokens.iter().position(|t| Some(*t) == *token);
                    let (Some(at), Some(to)) = (place(source), place(target)) else {
                        continue;
                    };
                    let (query, key) = if orientation == Orientation::Query {
                        (at, to)
                    } else {
                        (to, at)
                    };
                    n_cells[[s, t]] += 1;
                    for (sum, map) in sums.iter_mut().zip(&maps) {
                        sum[[s, t]] += f64::from(map[[0, query, key]] + map[[1, query, key]]) / 2.0;
                    }
                }
            }
        }
        assert_eq!(found.n_cells, n_cells);
        assert_eq!(found.cells_read, cells.len());
        for (layer, (found, sums)) in found.edges.iter().zip(&sums).enumerate() {
            assert_eq!(found.kind(), EdgeKind::attention(Layer(layer)));
            for ((pair, &score), &n) in found.scores().indexed_iter().zip(&n_cells) {
                let unknown = sources.tokens()[pair.0].is_none() || targets.tokens()[pair.1].is_none();
                let divisor = if absent == AbsentPairs::Zero {
                    cells.len() as u32
                } else {
                    n
                };
                if unknown || divisor == 0 {
                    assert!(score.is_nan(), "{pair:?} is {score}");
                } else {
                    let expected = (sums[pair] / f64::from(divisor)) as f32;
                    assert!(
                        (score - expected).abs() < SCORE,
                        "{pair:?}: {score}, expected {expected}"
                    );
                }
            }
        }
        // Gene 3 attends to itself, which is a pair like any other.
        assert!(found.edges[0].scores()[[1, 2]] > 0.0);
    }
}

#[test]
fn neither_threads_nor_shards_nor_the_order_of_cells_change_a_bit() {
    let cells = test_cells();
    let expected = run(&cells, Orientation::Query, AbsentPairs::Missing);
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let found = pool.install(|| run(&cells, Orientation::Query, AbsentPairs::Missing));
        assert_same(&found, &expected);
    }

    let reversed: Vec<_> = cells.iter().rev().cloned().collect();
    assert_same(
        &run(&reversed, Orientation::Query, AbsentPairs::Missing),
        &expected,
    );

    let (sources, targets) = panels();
    let empty = || AttentionSums::new(&model(), sources.clone(), targets.clone(), Orientation::Query);
    let mut merged = empty();
    for shard in cells.chunks(9) {
        let mut sums = empty();
        // Cells are streamed: owned ones, made as they are asked for.
        sums.add(&model(), shard.iter().cloned(), |_| ()).unwrap();
        merged.merge(sums).unwrap();
    }
    assert_same(&merged.mean(AbsentPairs::Missing).unwrap(), &expected);
}

#[test]
fn the_other_orientation_is_the_transpose_with_panels_swapped() {
    let (sources, targets) = panels();
    let cells = test_cells();
    let key = run(&cells, Orientation::Key, AbsentPairs::Missing);
    let swapped = extract(
        &model(),
        &cells,
        targets,
        sources,
        Orientation::Query,
        AbsentPairs::Missing,
        |_| (),
    )
    .unwrap();
    assert_eq!(key.n_cells, swapped.n_cells.t());
    for (a, b) in key.edges.iter().zip(&swapped.edges) {
        for (a, b) in a.scores().iter().zip(b.scores().t()) {
            assert_eq!(a.to_bits(), b.to_bits());
        }
    }
}

#[test]
fn progress_counts_every_cell_and_sums_of_other_panels_do_not_merge() {
    let (sources, targets) = panels();
    let mut sums = AttentionSums::new(&model(), sources.clone(), targets.clone(), Orientation::Query);
    let (calls, largest) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let progress = |done| {
        calls.fetch_add(1, Ordering::Relaxed);
        largest.fetch_max(done, Ordering::Relaxed);
    };
    sums.add(&model(), test_cells(), progress).unwrap();
    assert_eq!((calls.into_inner(), largest.into_inner()), (25, 25));

    for (other, expected) in [
        (
            AttentionSums::new(&model(), targets.clone(), targets.clone(), Orientation::Query),
            "source panels",
        ),
        (
            AttentionSums::new(&model(), sources.clone(), sources.clone(), Orientation::Query),
            "target panels",
        ),
        (
            AttentionSums::new(&model(), sources, targets, Orientation::Key),
            "orientations",
        ),
    ] {
        let error = sums.merge(other).unwrap_err();
        assert!(
            matches!(error, Error::Merge { what } if what == expected),
            "{error}"
        );
    }
}

#[test]
fn the_first_cell_that_cannot_be_read_is_the_one_reported() {
    let (sources, targets) = panels();
    let mut cells = test_cells();
    cells[20].tokens = vec![5; 41];
    cells[11].tokens.extend([5, 1000]);
    cells[17].tokens = (0..41).map(|_| 9).collect();
    for threads in [1, 4] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let run = || {
            let (sources, targets) = (sources.clone(), targets.clone());
            extract(
                &model(),
                &cells,
                sources,
                targets,
                Orientation::Query,
                AbsentPairs::Missing,
                |_| (),
            )
        };
        let error = pool.install(run).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Token {
                    cell: 11,
                    token: 1000,
                    n_tokens: 32
                }
            ),
            "{error}"
        );
    }
    let error = model().hidden_states(&[]).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Length {
                length: 0,
                max: 40,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn attention_that_overflows_is_reported_not_summed() {
    let folder = tempfile::tempdir().unwrap();
    checkpoint(N_GENES, 40).save(folder.path()).unwrap();
    let path = folder.path().join("model.safetensors");
    let mut weights = candle_core::safetensors::load(&path, &candle_core::Device::Cpu).unwrap();
    for name in ["query", "key"] {
        let weight = weights
            .get_mut(&format!("bert.encoder.layer.1.attention.self.{name}.weight"))
            .unwrap();
        *weight = weight.affine(1e30, 0.0).unwrap();
    }
    candle_core::safetensors::save(&weights, &path).unwrap();
    let model = Geneformer::new(&Checkpoint::load(folder.path()).unwrap()).unwrap();
    let (sources, targets) = panels();
    let cells = test_cells();
    let error = extract(
        &model,
        &cells,
        sources,
        targets,
        Orientation::Query,
        AbsentPairs::Missing,
        |_| (),
    )
    .unwrap_err();
    assert!(matches!(error, Error::NotFinite { layer: 1, .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn sums_over_some_cells_and_over_the_others_are_the_sums_over_all(
        in_subset in prop::collection::vec(any::<bool>(), 25),
        key in any::<bool>(),
    ) {
        let orientation = if key { Orientation::Key } else { Orientation::Query };
        let (model, cells, (sources, targets)) = (model(), test_cells(), panels());
        let sums = |wanted: bool| {
            let mut sums = AttentionSums::new(&model, sources.clone(), targets.clone(), orientation);
            let chosen = cells.iter().zip(&in_subset).filter(|&(_, &of)| of == wanted);
            sums.add(&model, chosen.map(|(cell, _)| cell), |_| ()).unwrap();
            sums
        };
        let (subset, others) = (sums(true), sums(false));
        let expected = run(&cells, orientation, AbsentPairs::Missing);

        // Without the model, as sums that were stored are added.
        let mut n_cells = subset.n_cells();
        add_pair_counts(&mut n_cells, &others.n_cells()).unwrap();
        let layers = (0..3).map(|layer| {
            let edge = ModelEdge::of_layer(Measure::Attention, Layer(layer));
            let mut total = subset.sums(edge);
            total.add(&others.sums(edge)).unwrap();
            total.mean(&n_cells).unwrap()
        });
        let stored = Extraction {
            edges: layers.collect(),
            cells_read: subset.cells_read() + others.cells_read(),
            n_cells,
        };
        assert_same(&stored, &expected);

        let mut merged = subset;
        merged.merge(others).unwrap();
        assert_same(&merged.mean(AbsentPairs::Missing).unwrap(), &expected);
    }
}
