//! Scores of pairs beside the plain attention of a layer: agreement with transformers 4.46.3 on
//! `golden/bert_interventions.safetensors`, with scGPT's tutorial on `golden/scgpt_interventions.safetensors`, and with
//! their definitions on what a model shows of one cell at a time.

mod common;

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use common::{cell_of, cells, checkpoint, gene, golden, tensors, tokens, vocabulary};
use ndarray::Array2;
use scfm_attention::geneformer::{self, Geneformer};
use scfm_attention::scgpt::{self, ScGpt};
use scfm_attention::{
    AbsentPairs, AttentionSums, Error, Interventions, Site, TokenPanel, TokenisedCell, Transformer,
    ValuedCell, add_by_group,
};
use scfm_core::{EdgeMatrix, Head, Layer, Measure, ModelEdge, Orientation, Panel};

/// Products of 32-bit numbers of order 1 in another order of operations, through three layers.
const SCORE: f32 = 1e-5;

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The edges of some cells among the genes of a panel, by what they are.
fn extract<M: Transformer>(
    model: &M,
    cells: &[M::Cell],
    edges: &[ModelEdge],
    panel: &TokenPanel,
    interventions: &Interventions,
) -> BTreeMap<String, EdgeMatrix>
where
    M::Cell: Sync,
{
    let edges = edges.iter().copied();
    let mut sums = AttentionSums::of(model, edges, panel.clone(), panel.clone(), Orientation::Query).unwrap();
    sums.add_under(model, interventions, cells, |_| ()).unwrap();
    let edges = sums.mean(AbsentPairs::Missing).unwrap().edges;
    edges
        .into_iter()
        .map(|edges| (edges.kind().to_string(), edges))
        .collect()
}

/// Asserts that edges among the genes of one cell are what `expected` says of places, rows queries.
fn assert_edges(name: &str, edges: &EdgeMatrix, places: &[usize], expected: impl Fn(usize, usize) -> f32) {
    let mut largest = 0.0f32;
    for ((source, target), &score) in edges.scores().indexed_iter() {
        let expected = expected(places[source], places[target]);
        largest = largest.max((score - expected).abs() / expected.abs().max(1.0));
    }
    assert!(largest < SCORE, "{name} differs by {largest}");
    let spread =
        edges.scores().fold(f32::MIN, |a, &b| a.max(b)) - edges.scores().fold(f32::MAX, |a, &b| a.min(b));
    assert!(spread > 100.0 * SCORE, "{name} spreads over {spread}");
}

#[test]
fn value_weighted_edges_agree_with_the_modules_of_transformers() {
    let expected = tensors("bert_interventions.safetensors");
    let checkpoint = geneformer::Checkpoint::load(&golden("bert")).unwrap();
    let model = Geneformer::new(&checkpoint).unwrap();
    let tokens = tokens(&expected);
    // Genes in the order of their tokens, so that places are not in order; one token of the cell is no gene.
    let mut genes: Vec<u32> = tokens.iter().copied().filter(|&token| token > 1).collect();
    genes.sort_unstable();
    let places: Vec<usize> = genes
        .iter()
        .map(|gene| tokens.iter().position(|token| token == gene).unwrap())
        .collect();
    let panel = Panel::new(genes.iter().map(|token| format!("ENSG{:011}", token - 2))).unwrap();
    let panel = checkpoint.vocabulary().panel(&panel).unwrap();
    let (n_heads, n) = (4, tokens.len());
    for (name, measure) in [
        ("norm_weighted", Measure::NormWeighted),
        ("value_cosine", Measure::ValueCosine),
        ("value_dot", Measure::ValueDot),
    ] {
        let values = numbers(&expected[name]);
        let at = |layer: usize, head: usize, query: usize, key: usize| {
            values[((layer * n_heads + head) * n + query) * n + key]
        };
        let mut edges: Vec<ModelEdge> = (0..3)
            .map(|layer| ModelEdge::of_layer(measure, Layer(layer)))
            .collect();
        edges.push(ModelEdge::of_head(measure, Layer(1), Head(2)));
        edges.push(ModelEdge::of_model(measure));
        let found = extract(
            &model,
            &[cell_of(tokens.clone())],
            &edges,
            &panel,
            &Interventions::none(),
        );
        assert_eq!(found.len(), 5);
        let mean = |layer: usize, q: usize, k: usize| {
            (0..n_heads).map(|head| at(layer, head, q, k)).sum::<f32>() / 4.0
        };
        for layer in 0..3 {
            let kind = ModelEdge::of_layer(measure, Layer(layer)).to_string();
            assert_edges(&kind, &found[&kind], &places, |q, k| mean(layer, q, k));
        }
        let kind = format!("{}-L1-H2", measure.name());
        assert_edges(&kind, &found[&kind], &places, |q, k| at(1, 2, q, k));
        assert_edges(measure.name(), &found[measure.name()], &places, |q, k| {
            (0..3).map(|layer| mean(layer, q, k)).sum::<f32>() / 3.0
        });
    }
}

#[test]
fn ranked_logits_are_those_of_the_tutorial_up_to_ties() {
    let expected = tensors("scgpt_interventions.safetensors");
    let checkpoint = scgpt::Checkpoint::load(&golden("scgpt")).unwrap();
    let model = ScGpt::new(&checkpoint).unwrap();
    let tokens = tokens(&expected);
    let genes = &tokens[1..];
    let panel = Panel::new(genes.iter().map(|token| format!("GENE{token}"))).unwrap();
    let panel = checkpoint.vocabulary().panel(&panel).unwrap();
    let cells = [ValuedCell::new(
        cell_of(tokens.clone()),
        numbers(&expected["values"]),
    )];
    let edge = ModelEdge::of_layer(Measure::RankedLogits, Layer(1));
    let found = extract(&model, &cells, &[edge], &panel, &Interventions::none());
    let places: Vec<usize> = (1..tokens.len()).collect();
    let n = tokens.len();
    let ties = numbers(&expected["ranked.ties"]);
    assert_edges("ranked logits", &found["ranked-logits-L1"], &places, |q, k| {
        ties[q * n + k]
    });
    // The tutorial's own sort breaks the many ties of its second ranking as it likes; on the whole they are the same.
    let tutorial = numbers(&expected["ranked.tutorial"]);
    let differences = ties.iter().zip(&tutorial).map(|(a, b)| f64::from(a - b));
    let mean = differences.sum::<f64>() / (n * n) as f64;
    assert!(mean.abs() < 1e-6, "{mean}");
}

const N_GENES: usize = 30;

fn model() -> Geneformer {
    Geneformer::new(&checkpoint(N_GENES, 40)).unwrap()
}

fn panel() -> TokenPanel {
    let panel = Panel::new([7, 3, 20, 12, 0, 5].map(gene)).unwrap();
    vocabulary(N_GENES).panel(&panel).unwrap()
}

/// Attention of one head of each cell between two genes, where the cell holds both.
fn of_cells(model: &Geneformer, cells: &[TokenisedCell], site: Site, pair: (usize, usize)) -> Vec<f64> {
    let tokens = panel().tokens().to_vec();
    let both = |cell: &TokenisedCell| {
        let place = |gene: usize| cell.tokens.iter().position(|&token| Some(token) == tokens[gene]);
        let (source, target) = (place(pair.0)?, place(pair.1)?);
        let seen = model.trace(cell, &[site], &Interventions::none()).unwrap();
        Some(f64::from(seen[&site][[source, target]]))
    };
    cells.iter().filter_map(both).collect()
}

#[test]
fn heads_and_standard_errors_are_those_of_the_cells() {
    let (model, cells) = (model(), cells(40, N_GENES - 1, 25));
    let of_head = |measure| ModelEdge::of_head(measure, Layer(1), Head(1));
    let edges = [of_head(Measure::StandardError)];
    let found = extract(&model, &cells, &edges, &panel(), &Interventions::none());
    assert_eq!(found.len(), 2, "a standard error brings its mean");
    let mut n_checked = 0;
    for source in 0..6 {
        for target in 0..6 {
            let site = Site::Attention(Layer(1), Head(1));
            let values = of_cells(&model, &cells, site, (source, target));
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let found_mean = found["attention-L1-H1"].scores()[[source, target]];
            assert!(
                (f64::from(found_mean) - mean).abs() < 1e-6,
                "{found_mean}, expected {mean}"
            );
            if values.len() > 1 {
                let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
                let expected = (variance / n).sqrt();
                let found = found["attention-se-L1-H1"].scores()[[source, target]];
                assert!(
                    (f64::from(found) - expected).abs() < 1e-5,
                    "{found}, expected {expected}"
                );
                n_checked += 1;
            }
        }
    }
    assert!(n_checked > 20, "{n_checked} pairs in more than one cell");
}

#[test]
fn layers_beyond_the_last_that_is_asked_for_are_not_computed() {
    let folder = tempfile::tempdir().unwrap();
    checkpoint(N_GENES, 40).save(folder.path()).unwrap();
    let path = folder.path().join("model.safetensors");
    let mut weights = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    for name in ["query", "key"] {
        let name = format!("bert.encoder.layer.2.attention.self.{name}.weight");
        let weight = weights.get_mut(&name).unwrap();
        *weight = weight.affine(1e30, 0.0).unwrap();
    }
    candle_core::safetensors::save(&weights, &path).unwrap();
    let broken = Geneformer::new(&geneformer::Checkpoint::load(folder.path()).unwrap()).unwrap();
    let cells = cells(5, N_GENES - 1, 25);
    let of_layer = |layer| ModelEdge::of_layer(Measure::Attention, Layer(layer));
    let whole = extract(
        &model(),
        &cells,
        &[of_layer(1), of_layer(2)],
        &panel(),
        &Interventions::none(),
    );
    let first = extract(&broken, &cells, &[of_layer(1)], &panel(), &Interventions::none());
    // Of the last layer fewer rows are computed, in products of another shape.
    for (a, b) in first["attention-L1"]
        .scores()
        .iter()
        .zip(whole["attention-L1"].scores())
    {
        assert!((a - b).abs() < SCORE || (a.is_nan() && b.is_nan()), "{a} {b}");
    }
}

fn assert_bits(a: &EdgeMatrix, b: &EdgeMatrix) {
    for (a, b) in a.scores().iter().zip(b.scores()) {
        assert_eq!(a.to_bits(), b.to_bits());
    }
}

#[test]
fn interventions_reach_the_edges_of_the_layers_above_them_and_no_other() {
    let (model, cells) = (model(), cells(10, N_GENES - 1, 25));
    let edges: Vec<ModelEdge> = (0..3)
        .map(|layer| ModelEdge::of_layer(Measure::Attention, Layer(layer)))
        .collect();
    let clean = extract(&model, &cells, &edges, &panel(), &Interventions::none());
    let silenced = Interventions::none().scale_head(Layer(1), Head(0), 0.0);
    let found = extract(&model, &cells, &edges, &panel(), &silenced);
    for layer in [0, 1] {
        let kind = format!("attention-L{layer}");
        assert_bits(&found[&kind], &clean[&kind]);
    }
    let differs = found["attention-L2"]
        .scores()
        .iter()
        .zip(clean["attention-L2"].scores());
    assert!(differs.filter(|(a, b)| (*a - *b).abs() > SCORE).count() > 10);
}

#[test]
fn stored_activations_are_put_where_their_tokens_are() {
    let (model, cell) = (model(), cells(10, N_GENES - 1, 25).swap_remove(3));
    let sites = [Site::Hidden(Layer(0)), Site::Attention(Layer(1), Head(1))];
    let own = model.trace(&cell, &sites, &Interventions::none()).unwrap();
    let edge = [ModelEdge::of_layer(Measure::Attention, Layer(2))];
    let cells = std::slice::from_ref(&cell);
    let clean = extract(&model, cells, &edge, &panel(), &Interventions::none());
    for (site, activations) in own {
        let patched = Interventions::none().patch(site, activations);
        let found = extract(&model, cells, &edge, &panel(), &patched);
        for (a, b) in found["attention-L2"]
            .scores()
            .iter()
            .zip(clean["attention-L2"].scores())
        {
            assert!(
                (a - b).abs() < SCORE || (a.is_nan() && b.is_nan()),
                "{site}: {a} {b}"
            );
        }
    }
    let other = Interventions::none().patch(sites[0], Array2::zeros((cell.tokens.len() + 1, 16)));
    let mut sums = AttentionSums::new(&model, panel(), panel(), Orientation::Query);
    let error = sums.add_under(&model, &other, cells, |_| ()).unwrap_err();
    assert!(matches!(error, Error::PatchShape { .. }), "{error}");
}

#[test]
fn groups_are_what_their_cells_alone_give_and_add_up_to_the_whole() {
    let (model, cells) = (model(), cells(40, N_GENES - 1, 25));
    let edges = [
        ModelEdge::of_layer(Measure::StandardError, Layer(0)),
        ModelEdge::of_layer(Measure::ValueCosine, Layer(2)),
    ];
    let empty = || AttentionSums::of(&model, edges, panel(), panel(), Orientation::Key).unwrap();
    // Every cell is in one of three groups, and those of even number are in another one too.
    let mut groups = vec![empty(), empty(), empty(), empty()];
    let grouped = cells.iter().map(|cell| {
        let even = (cell.cell % 2 == 0).then_some(3);
        (
            std::iter::once(cell.cell % 3).chain(even).collect::<Vec<_>>(),
            cell,
        )
    });
    add_by_group(&mut groups, &model, &Interventions::none(), grouped, |_| ()).unwrap();
    let alone = |wanted: &dyn Fn(usize) -> bool| {
        let mut sums = empty();
        let cells = cells.iter().filter(|cell| wanted(cell.cell));
        sums.add(&model, cells.collect::<Vec<_>>(), |_| ()).unwrap();
        sums
    };
    let same = |a: &AttentionSums, b: &AttentionSums| {
        assert_eq!((a.n_cells(), a.cells_read()), (b.n_cells(), b.cells_read()));
        assert_eq!(a.edges().count(), 3);
        for edge in a.edges() {
            assert_eq!(a.sums(edge), b.sums(edge));
        }
    };
    same(&groups.pop().unwrap(), &alone(&|cell| cell % 2 == 0));
    for (group, sums) in groups.iter().enumerate() {
        same(sums, &alone(&|cell| cell % 3 == group));
    }
    let mut whole = groups.swap_remove(0);
    for other in groups {
        whole.merge(other).unwrap();
    }
    same(&whole, &alone(&|_| true));
}

#[test]
fn a_cell_that_is_only_counted_divides_and_adds_nothing() {
    let (model, mut cells) = (model(), cells(20, N_GENES - 1, 28));
    // The longest first, which holds genes of the panel.
    cells.sort_by_key(|cell| std::cmp::Reverse(cell.tokens.len()));
    let edge = ModelEdge::of_layer(Measure::Attention, Layer(2));
    let sums = || AttentionSums::of(&model, [edge], panel(), panel(), Orientation::Query).unwrap();
    let (mut all, mut rest) = (sums(), sums());
    all.add(&model, &cells, |_| ()).unwrap();
    rest.add(&model, &cells[1..], |_| ()).unwrap();
    let without = rest.sums(edge);
    rest.count_only(&cells[..1]);
    assert_eq!(
        (rest.n_cells(), rest.cells_read()),
        (all.n_cells(), all.cells_read())
    );
    assert_eq!(rest.sums(edge), without);
    assert_ne!(rest.sums(edge), all.sums(edge));
}

#[test]
fn edges_that_the_model_does_not_have_are_refused() {
    for edge in [
        ModelEdge::of_layer(Measure::Attention, Layer(3)),
        ModelEdge::of_head(Measure::Attention, Layer(0), Head(2)),
        ModelEdge::of_model(Measure::StandardError),
        ModelEdge {
            head: Some(Head(0)),
            ..ModelEdge::of_model(Measure::Attention)
        },
    ] {
        let error = AttentionSums::of(&model(), [edge], panel(), panel(), Orientation::Query).unwrap_err();
        assert!(
            matches!(error, Error::NoEdge { edge: refused, n_layers: 3, n_heads: 2 } if refused == edge),
            "{error}"
        );
    }
}

#[test]
fn the_order_of_a_cells_genes_changes_no_bit_of_scgpts_edges() {
    let expected = tensors("scgpt_expected.safetensors");
    let checkpoint = scgpt::Checkpoint::load(&golden("scgpt")).unwrap();
    let model = ScGpt::new(&checkpoint).unwrap();
    let ids: Vec<i64> = expected["tokens.3"].to_vec1().unwrap();
    let tokens: Vec<u32> = ids.iter().map(|&id| u32::try_from(id).unwrap()).collect();
    let values = numbers(&expected["values.3"]);
    let panel = Panel::new(tokens[1..12].iter().map(|token| format!("GENE{token}"))).unwrap();
    let panel = checkpoint.vocabulary().panel(&panel).unwrap();
    let edges: Vec<ModelEdge> = [
        Measure::Attention,
        Measure::NormWeighted,
        Measure::ValueDot,
        Measure::RankedLogits,
    ]
    .map(|measure| ModelEdge::of_layer(measure, Layer(1)))
    .to_vec();
    let of_order = |order: &[usize]| {
        let tokens = order.iter().map(|&place| tokens[place]).collect();
        let values = order.iter().map(|&place| values[place]).collect();
        extract(
            &model,
            &[ValuedCell::new(cell_of(tokens), values)],
            &edges,
            &panel,
            &Interventions::none(),
        )
    };
    let straight: Vec<usize> = (0..tokens.len()).collect();
    let reversed: Vec<usize> = straight.iter().rev().copied().collect();
    let (a, b) = (of_order(&straight), of_order(&reversed));
    for (kind, edges) in &a {
        assert_bits(edges, &b[kind]);
    }
}
