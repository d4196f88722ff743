//! Altered models are read as they would be without the short cuts, what cannot reach a layer leaves it as it is, and heads
//! that pass nothing on can be silenced without anything changing.

use std::collections::BTreeMap;
use std::fs;

use ndarray::Array2;
use rand::seq::SliceRandom;
use rayon::ThreadPoolBuilder;
use safetensors::SafeTensors;
use safetensors::tensor::{TensorView, serialize};
use scfm_ablation::{
    Error, Halves, Hidden, Intact, Judgement, MaskedDesign, MaskedGene, MaskedReadOut, MaskedValue,
    Predictor, TargetChanges, read_edges, read_masked,
};
use scfm_attention::geneformer::training::train;
use scfm_attention::geneformer::{Checkpoint, Config, Geneformer, Vocabulary};
use scfm_attention::scgpt::{self, ScGpt};
use scfm_attention::training::TrainingParams;
use scfm_attention::{AbsentPairs, AttentionSums, Interventions, TokenPanel, TokenisedCell, ValuedCell};
use scfm_core::{Head, Layer, Measure, ModelEdge, Orientation, Panel, Responses, Seeds};
use scfm_stats::CrossedLimits;

const LAYERS: usize = 3;
const HEADS: usize = 4;
const GENES: usize = 24;

/// Products of another shape differ in the last bits of 32-bit arithmetic.
const ROUNDING: f64 = 1e-5;

fn vocabulary() -> Vocabulary {
    Vocabulary::of_genes((0..GENES).map(|i| (format!("G{i:02}"), 1.0))).unwrap()
}

fn panel() -> Panel {
    Panel::new((0..GENES).map(|i| format!("G{i:02}"))).unwrap()
}

fn config() -> Config {
    Config {
        initializer_range: 0.3,
        ..Config::sized(LAYERS, 16, HEADS, GENES + 2, GENES)
    }
}

fn random_checkpoint() -> Checkpoint {
    let mut rng = Seeds::new(1).stream("test", "weights", 0);
    Checkpoint::random(config(), vocabulary(), &mut rng).unwrap()
}

fn geneformer() -> Geneformer {
    Geneformer::new(&random_checkpoint()).unwrap()
}

/// Cells of two kinds: genes of either half of the vocabulary, in any order.
fn cells(n: usize) -> Vec<TokenisedCell> {
    (0..n)
        .map(|cell| {
            let mut rng = Seeds::new(2).stream("test", "cells", cell as u64);
            let first = if cell % 2 == 0 { 0 } else { GENES as u32 / 2 };
            let mut columns: Vec<u32> = (first..first + GENES as u32 / 2).collect();
            columns.shuffle(&mut rng);
            columns.truncate(9);
            TokenisedCell {
                cell,
                tokens: columns.iter().map(|column| column + 2).collect(),
                columns: columns.into_iter().map(Some).collect(),
            }
        })
        .collect()
}

fn tokens() -> TokenPanel {
    TokenPanel::new(panel(), (0..GENES as u32).map(|i| Some(i + 2)).collect()).unwrap()
}

fn silenced(heads: &[(usize, usize)]) -> Interventions {
    heads.iter().fold(Interventions::none(), |done, &(layer, head)| {
        done.scale_head(Layer(layer), Head(head), 0.0)
    })
}

fn conditions() -> Vec<Interventions> {
    vec![
        silenced(&[(0, 1)]),
        silenced(&[(1, 0), (1, 3), (2, 2)]),
        Interventions::none().uniform_attention(Layer(1), Head(2)),
        Interventions::none().scale_mlp(Layer(0), 0.0),
    ]
}

#[test]
fn altered_edges_are_those_of_extraction_from_the_first_layer_on() {
    let (model, cells, panel) = (geneformer(), cells(12), tokens());
    let layer = Layer(2);
    let mut done = vec![Interventions::none()];
    done.extend(conditions());
    let sums = read_edges(
        &model,
        &cells,
        &done,
        layer,
        (&panel, &panel),
        Orientation::Query,
        |_| (),
    )
    .unwrap();
    let edge = ModelEdge::of_layer(Measure::Attention, layer);
    let mut matrices = Vec::new();
    for (sums, done) in sums.iter().zip(&done) {
        let mut whole =
            AttentionSums::of(&model, [edge], panel.clone(), panel.clone(), Orientation::Query).unwrap();
        whole.add_under(&model, done, &cells, |_| ()).unwrap();
        let (fast, slow) = (
            sums.mean(AbsentPairs::Missing).unwrap(),
            whole.mean(AbsentPairs::Missing).unwrap(),
        );
        assert_eq!(
            (fast.n_cells.clone(), fast.cells_read),
            (slow.n_cells, slow.cells_read)
        );
        for (a, b) in fast.edges[0].scores().iter().zip(slow.edges[0].scores()) {
            assert!(
                a.is_nan() == b.is_nan() && (a.is_nan() || (a - b).abs() <= ROUNDING as f32),
                "{a} {b}"
            );
        }
        matrices.push(fast.edges[0].scores().mapv(f32::to_bits));
    }
    // Every one of the conditions is felt.
    assert!(matrices[1..].iter().all(|altered| *altered != matrices[0]));
}

#[test]
fn what_acts_at_the_layer_or_above_leaves_it_as_it_is_and_is_refused() {
    let (model, cells, panel) = (geneformer(), cells(6), tokens());
    let edges = [1, 2].map(|layer| ModelEdge::of_layer(Measure::Attention, Layer(layer)));
    let extract = |done: &Interventions| {
        let mut sums =
            AttentionSums::of(&model, edges, panel.clone(), panel.clone(), Orientation::Query).unwrap();
        sums.add_under(&model, done, &cells, |_| ()).unwrap();
        edges.map(|edge| sums.sums(edge))
    };
    let intact = extract(&Interventions::none());
    for done in [
        silenced(&[(1, 0), (2, 1)]),
        Interventions::none().uniform_attention(Layer(1), Head(2)),
        Interventions::none().scale_mlp(Layer(1), 0.0),
    ] {
        let altered = extract(&done);
        assert_eq!(altered[0], intact[0], "{done:?}");
        assert_ne!(altered[1], intact[1], "{done:?}");
        let panels = (&panel, &panel);
        let refused = read_edges(
            &model,
            &cells,
            &[done],
            Layer(1),
            panels,
            Orientation::Query,
            |_| (),
        );
        assert!(matches!(refused, Err(Error::OutOfReach { layer: 1, .. })));
    }
}

/// Every third gene is hidden.
fn hide(_: usize, cell: &impl AsRef<TokenisedCell>) -> Hidden {
    let cell = cell.as_ref();
    let places: Vec<u32> = (0..cell.tokens.len() as u32).step_by(3).collect();
    let targets = places
        .iter()
        .map(|&p| cell.columns[p as usize].unwrap() as usize)
        .collect();
    Hidden { places, targets }
}

fn read(model: &Geneformer, cells: &[TokenisedCell], done: &[Interventions]) -> MaskedReadOut {
    let predictor = MaskedGene {
        model,
        mask: vocabulary().mask(),
    };
    read_masked(&predictor, cells, done, GENES, hide, |_| ()).unwrap()
}

#[test]
fn hidden_genes_are_predicted_as_by_the_whole_model_and_judged_by_their_tokens() {
    let (model, cells, done) = (geneformer(), cells(5), conditions());
    let found = read(&model, &cells, &done);
    let mut sums = vec![vec![(0.0, 0.0, 0u32); GENES]; done.len() + 1];
    for (index, cell) in cells.iter().enumerate() {
        let hidden = hide(index, cell);
        let mut masked = cell.tokens.clone();
        hidden
            .places
            .iter()
            .for_each(|&place| masked[place as usize] = vocabulary().mask());
        for (condition, sums) in sums.iter_mut().enumerate() {
            let none = Interventions::none();
            let done = condition.checked_sub(1).map_or(&none, |i| &done[i]);
            let logits = model
                .masked_gene_logits_under(&masked, &hidden.places, done)
                .unwrap();
            for ((row, &place), &target) in logits.outer_iter().zip(&hidden.places).zip(&hidden.targets) {
                let truth = cell.tokens[place as usize] as usize;
                let total: f64 = row.iter().map(|&logit| f64::from(logit).exp()).sum();
                let loss = total.ln() - f64::from(row[truth]);
                let rank = 1 + row.iter().filter(|&&logit| logit > row[truth]).count();
                let sum = &mut sums[target];
                *sum = (sum.0 + loss, sum.1 + rank as f64, sum.2 + 1);
            }
        }
    }
    assert_eq!(found.cells_read, 5);
    let ranks = found.rank_change.as_ref().unwrap();
    for target in 0..GENES {
        let n = sums[0][target].2;
        assert_eq!(found.n_cells[target], n);
        for condition in 0..done.len() {
            let mean = |of: fn(&(f64, f64, u32)) -> f64| {
                (of(&sums[condition + 1][target]) - of(&sums[0][target])) / f64::from(n)
            };
            let (loss, rank) = (found.change[[condition, target]], ranks[[condition, target]]);
            if n == 0 {
                assert!(loss.is_nan() && rank.is_nan());
            } else {
                assert!((loss - mean(|sum| sum.0)).abs() < 1e-4, "{loss}");
                assert!((rank - mean(|sum| sum.1)).abs() < 1e-9, "{rank}");
            }
        }
    }
    for (fidelity, done) in found.fidelity.iter().zip(&done) {
        let first = (0..LAYERS).find(|&layer| done.reaches(Layer(layer + 1))).unwrap();
        assert!(fidelity.hidden[..first].iter().all(|&distance| distance == 0.0));
        assert!(fidelity.hidden[first] > 0.0 && fidelity.largest() > 0.0);
        assert!(fidelity.divergence > 0.0 && fidelity.logits > 0.0);
    }
}

/// A checkpoint without the masked-gene head: hidden states are all that is read.
#[test]
fn a_model_without_a_head_says_how_far_it_moves() {
    let model = rewritten(&random_checkpoint(), |tensors| {
        tensors.retain(|name, _| !name.starts_with("cls.predictions"));
    });
    let (cells, done) = (cells(6), conditions());
    let found = read(&model, &cells, &done);
    assert!(found.mute.unwrap().contains("head"));
    assert!(found.change.iter().all(|change| change.is_nan()));
    assert!(found.fidelity.iter().all(|fidelity| fidelity.largest() > 0.0));
    assert_eq!(found.cells_read, 6);
}

#[test]
fn threads_change_no_bit() {
    let (model, cells, done, panel) = (geneformer(), cells(40), conditions(), tokens());
    let on = |threads: usize| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let panels = (&panel, &panel);
            let sums = read_edges(
                &model,
                &cells,
                &done,
                Layer(2),
                panels,
                Orientation::Query,
                |_| (),
            )
            .unwrap();
            let edge = ModelEdge::of_layer(Measure::Attention, Layer(2));
            let sums: Vec<_> = sums.iter().map(|sums| sums.sums(edge)).collect();
            // As text, in which numbers that are none are equal.
            (sums, format!("{:?}", read(&model, &cells, &done)))
        })
    };
    assert!(on(1) == on(3));
}

#[test]
fn hidden_bins_are_judged_by_their_distance() {
    let vocabulary = scgpt::Vocabulary::of_genes((0..GENES).map(|i| format!("G{i:02}"))).unwrap();
    let mut rng = Seeds::new(3).stream("test", "weights", 0);
    let config = scgpt::Config::sized(LAYERS, 16, HEADS);
    let model =
        ScGpt::new(&scgpt::Checkpoint::random(config, vocabulary.clone(), &mut rng).unwrap()).unwrap();
    let token = |gene: usize| vocabulary.token(&format!("G{gene:02}")).unwrap();
    let cells: Vec<ValuedCell> = (0..3)
        .map(|cell| {
            let columns: Vec<u32> = (cell as u32..cell as u32 + 8).collect();
            let of_genes = TokenisedCell {
                cell,
                tokens: columns.iter().map(|&column| token(column as usize)).collect(),
                columns: columns.iter().copied().map(Some).collect(),
            };
            ValuedCell::new(of_genes, (1..=8).map(|bin| bin as f32 * 3.0).collect())
        })
        .collect();
    let done = conditions();
    let found = read_masked(&MaskedValue { model: &model }, &cells, &done, GENES, hide, |_| ()).unwrap();
    assert!(found.rank_change.is_none());
    let hidden = hide(0, &cells[0]);
    let mut values = cells[0].values().to_vec();
    hidden
        .places
        .iter()
        .for_each(|&place| values[place as usize] = -1.0);
    let masked = ValuedCell::new(cells[0].as_ref().clone(), values);
    let bins = |done: &Interventions| model.expression_under(&masked, &hidden.places, done).unwrap();
    // The gene that only the first cell hides.
    let (place, target) = (hidden.places[0] as usize, hidden.targets[0]);
    assert_eq!(found.n_cells[target], 1);
    for (condition, done) in done.iter().enumerate() {
        let loss = |bins: Vec<f32>| f64::from(bins[0] - cells[0].values()[place]).powi(2);
        let expected = loss(bins(done)) - loss(bins(&Interventions::none()));
        assert!((found.change[[condition, target]] - expected).abs() < 1e-2 * (1.0 + expected.abs()));
    }
}

/// A model that learnt which genes go together, and whose heads in `mute` pass nothing on.
fn trained(mute: &[(usize, usize)]) -> Geneformer {
    let params = TrainingParams {
        learning_rate: 5e-3,
        epochs: 30,
        ..TrainingParams::default()
    };
    let config = Config::sized(LAYERS, 16, HEADS, GENES + 2, GENES);
    let (checkpoint, log) =
        train(&config, &vocabulary(), &cells(48), &params, Seeds::new(0), |_| ()).unwrap();
    assert!(log.epoch_losses().last().unwrap() < &log.baseline_loss);
    rewritten(&checkpoint, |tensors| {
        let width = 16 / HEADS;
        for &(layer, head) in mute {
            for what in ["weight", "bias"] {
                let name = format!("bert.encoder.layer.{layer}.attention.self.value.{what}");
                let (shape, data) = tensors.get_mut(&name).unwrap();
                let row = 4 * shape.get(1).copied().unwrap_or(1);
                data[head * width * row..(head + 1) * width * row].fill(0);
            }
        }
    })
}

/// Shapes and bytes of tensors by name.
type Tensors = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

/// The model of a checkpoint whose stored weights were changed.
fn rewritten(checkpoint: &Checkpoint, change: impl Fn(&mut Tensors)) -> Geneformer {
    let folder = tempfile::tempdir().unwrap();
    checkpoint.save(folder.path()).unwrap();
    let path = folder.path().join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let stored = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Tensors = stored
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, (view.shape().to_vec(), view.data().to_vec())))
        .collect();
    change(&mut tensors);
    let views = tensors.iter().map(|(name, (shape, data))| {
        let view = TensorView::new(safetensors::Dtype::F32, shape.clone(), data).unwrap();
        (name.clone(), view)
    });
    let written = serialize(views.collect::<Vec<_>>(), None).unwrap();
    fs::write(&path, written).unwrap();
    Geneformer::new(&Checkpoint::load(folder.path()).unwrap()).unwrap()
}

/// Of twelve heads four pass something on. Ranked first they do harm that grows with the dose, more than random heads do;
/// of the others any number can be silenced, nothing moves, and the intervention is too small to judge.
#[test]
fn heads_that_matter_are_told_from_heads_that_pass_nothing_on() {
    let all: Vec<(usize, usize)> = (0..LAYERS)
        .flat_map(|l| (0..HEADS).map(move |h| (l, h)))
        .collect();
    let used = [(0, 1), (0, 2), (1, 0), (1, 3)];
    let mute: Vec<_> = all.iter().copied().filter(|head| !used.contains(head)).collect();
    let (model, cells) = (trained(&mute), cells(60));
    let doses = [1, 2, 4];
    let n_draws = 8;
    let mut done: Vec<Interventions> = Vec::new();
    done.extend(doses.map(|n| silenced(&used[..n])));
    done.extend(doses.map(|n| silenced(&mute[..n])));
    for draw in 0..n_draws {
        let mut order = all.clone();
        order.shuffle(&mut Seeds::new(4).stream("test", "draw", draw));
        done.extend(doses.map(|n| silenced(&order[..n])));
    }
    done.push(mute.iter().fold(Interventions::none(), |done, &(layer, head)| {
        done.uniform_attention(Layer(layer), Head(head))
    }));
    let found = read(&model, &cells, &done);
    for condition in [3, 4, 5, done.len() - 1] {
        assert_eq!(found.fidelity[condition].largest(), 0.0);
        assert!(
            found
                .change
                .row(condition)
                .iter()
                .all(|change| change.is_nan() || *change == 0.0)
        );
    }
    assert!(found.fidelity[2].largest() > 0.02);

    // Every gene moves a few others.
    let positive = ndarray::Array2::from_shape_fn((GENES, GENES), |(p, g)| (p * 5 + g * 7) % 4 == 0);
    let responses = Responses::new(panel(), panel(), positive).unwrap();
    let halves = Halves::draw(&panel(), &panel(), &panel(), Seeds::new(5), "test");
    let limits = CrossedLimits {
        min_rows: 10,
        min_effective_genes: 10.0,
    };
    let design = MaskedDesign::new(&responses, &halves, (1, 1), limits);
    let changes = |condition: usize| TargetChanges::whole(found.change.row(condition).to_owned());
    let draws = |dose: usize| (0..n_draws as usize).map(move |draw| 6 + 3 * draw + dose);
    let of_draws = |dose: usize| draws(dose).map(changes).collect::<Vec<_>>();
    let ranked: Vec<_> = (0..3).map(changes).collect();
    let random: Vec<Vec<_>> = (0..3).map(of_draws).collect();
    let largest = design.against_random(&ranked[2], &random[2]).unwrap();
    assert!(largest.ranked.unwrap().mean > 0.0);
    let beyond = largest.beyond.unwrap();
    assert!(beyond.effect > 0.0 && beyond.ci.unwrap().low > 0.0, "{beyond:?}");
    let trend = design.trend(&ranked, &random).unwrap().unwrap();
    assert!(trend.effect > 0.0 && trend.p.p() < 0.05, "{trend:?}");

    let silent: Vec<_> = (3..6).map(changes).collect();
    let nothing = design.trend(&silent, &random).unwrap().unwrap();
    assert!(nothing.effect < 0.0 && nothing.p.p() > 0.05, "{nothing:?}");
}

/// A read-out that forgets what is done to the model, as a fused kernel does that takes no mask of heads.
struct Deaf<'a>(MaskedGene<'a>);

impl Predictor for Deaf<'_> {
    type Model = Geneformer;

    const HIDDEN_SHARE: f64 = MaskedGene::HIDDEN_SHARE;

    fn model(&self) -> &Geneformer {
        self.0.model
    }

    fn hide(&self, cell: &TokenisedCell, places: &[u32]) -> TokenisedCell {
        self.0.hide(cell, places)
    }

    fn answers(
        &self,
        hidden: &TokenisedCell,
        places: &[u32],
        _: &Interventions,
    ) -> Result<Array2<f32>, scfm_attention::Error> {
        self.0.answers(hidden, places, &Interventions::none())
    }

    fn intact(&self, prediction: Array2<f32>) -> Intact {
        self.0.intact(prediction)
    }

    fn judge(
        &self,
        cell: &TokenisedCell,
        places: &[u32],
        intact: &Intact,
        altered: &Array2<f32>,
    ) -> Judgement {
        self.0.judge(cell, places, intact, altered)
    }
}

/// Where silenced heads harm, a read-out that does not hear of them finds nothing: what passes with it would pass with no
/// intervention at all.
#[test]
fn a_read_out_that_forgets_the_intervention_fails_where_heads_matter() {
    let used = [(0, 1), (0, 2), (1, 0), (1, 3)];
    let (model, cells, done) = (trained(&[]), cells(20), [silenced(&used)]);
    let harm = |found: &MaskedReadOut| {
        let known = found.change.iter().filter(|change| !change.is_nan());
        known.fold(0.0, |largest: f64, change| largest.max(change.abs()))
    };
    let found = read(&model, &cells, &done);
    assert!(
        found.fidelity[0].largest() > 0.02 && harm(&found) > 0.01,
        "{}",
        harm(&found)
    );
    let deaf = Deaf(MaskedGene {
        model: &model,
        mask: vocabulary().mask(),
    });
    let found = read_masked(&deaf, &cells, &done, GENES, hide, |_| ()).unwrap();
    assert_eq!((harm(&found), found.fidelity[0].divergence), (0.0, 0.0));
    assert!(found.fidelity[0].largest() > 0.02);
}
