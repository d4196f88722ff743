//! Mean context vectors: of one cell they are what the value cosine is made of, of several a mean over the cells that
//! hold the gene, whatever the number of threads.

mod common;

use common::{cells, checkpoint, gene};
use scfm_attention::geneformer::Geneformer;
use scfm_attention::{AbsentPairs, AttentionSums, Interventions, MeanContexts, Site, Transformer};
use scfm_core::{Head, Layer, Measure, ModelEdge, Orientation, Panel};

/// Sums of 32-bit products in another order of operations.
const SCORE: f64 = 1e-5;

const LAYER: Layer = Layer(1);

#[test]
fn of_one_cell_their_cosine_is_the_value_cosine() {
    let checkpoint = checkpoint(8, 16);
    let model = Geneformer::new(&checkpoint).unwrap();
    let longest = cells(20, 8, 8)
        .into_iter()
        .max_by_key(|cell| cell.tokens.len())
        .unwrap();
    let cells = [longest];
    let panel = Panel::new((0..8).map(gene)).unwrap();
    let tokens = checkpoint.vocabulary().panel(&panel).unwrap();
    let mean = MeanContexts::of(&model, &cells, LAYER, &tokens, |_| ()).unwrap();
    let cosines = mean.cosines(&panel, &panel);
    assert_eq!(cosines.kind().to_string(), "mean-context-cosine-L1");

    let edge = ModelEdge::of_layer(Measure::ValueCosine, LAYER);
    let mut sums = AttentionSums::of(&model, [edge], tokens.clone(), tokens, Orientation::Query).unwrap();
    sums.add(&model, &cells, |_| ()).unwrap();
    let expected = &sums.mean(AbsentPairs::Missing).unwrap().edges[0];
    let (mut n_pairs, mut largest) = (0, 0.0f64);
    for ((pair, &expected), &found) in expected.scores().indexed_iter().zip(cosines.scores()) {
        if pair.0 != pair.1 && !expected.is_nan() {
            n_pairs += 1;
            largest = largest.max(f64::from((expected - found).abs()));
        }
    }
    assert!(n_pairs > 20, "{n_pairs}");
    assert!(largest < SCORE, "{largest}");
}

#[test]
fn of_several_cells_it_is_the_cosine_of_means_over_the_cells_that_hold_the_gene() {
    let checkpoint = checkpoint(8, 16);
    let model = Geneformer::new(&checkpoint).unwrap();
    let cells = cells(70, 8, 6);
    let panel = Panel::new((0..8).map(gene).chain(["unknown".to_owned()])).unwrap();
    let tokens = checkpoint.vocabulary().panel(&panel).unwrap();
    let mean = MeanContexts::of(&model, &cells, LAYER, &tokens, |_| ()).unwrap();
    let found = mean.cosines(&panel, &panel);

    // One gene after the other, from what the model shows of each cell.
    let mean_of = |position: usize, head: usize| {
        let token = tokens.tokens()[position]?;
        let mut sum = Vec::new();
        for cell in &cells {
            let Some(place) = cell.tokens.iter().position(|&t| t == token) else {
                continue;
            };
            let site = Site::Context(LAYER, Head(head));
            let context = &model.trace(cell, &[site], &Interventions::none()).unwrap()[&site];
            sum.resize(context.ncols(), 0.0f64);
            for (sum, &x) in sum.iter_mut().zip(context.row(place)) {
                *sum += f64::from(x);
            }
        }
        (!sum.is_empty()).then_some(sum)
    };
    let cosine = |a: &[f64], b: &[f64]| {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    let n_heads = model.n_heads();
    let mut n_missing = 0;
    for a in 0..panel.len() {
        for b in 0..panel.len() {
            let of_heads: Option<Vec<f64>> = (0..n_heads)
                .map(|head| Some(cosine(&mean_of(a, head)?, &mean_of(b, head)?)))
                .collect();
            let found = f64::from(found.scores()[[a, b]]);
            match of_heads {
                Some(cosines) => {
                    let expected = cosines.iter().sum::<f64>() / n_heads as f64;
                    assert!((found - expected).abs() < 1e-6, "{a} {b}: {found} {expected}");
                }
                None => {
                    n_missing += 1;
                    assert!(found.is_nan());
                }
            }
        }
    }
    assert!(n_missing > 0 && n_missing < panel.len() * panel.len());
    assert_eq!(mean.n_cells("unknown"), 0);

    let single = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let again = single.install(|| MeanContexts::of(&model, &cells, LAYER, &tokens, |_| ()).unwrap());
    let bits = |edges: &scfm_core::EdgeMatrix| edges.scores().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert!(bits(&again.cosines(&panel, &panel)) == bits(&mean.cosines(&panel, &panel)));
}
