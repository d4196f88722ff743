//! Activation patching of models whose parts are known: one head that carries an effect alone, two that stand in for
//! each other, and what holds for any model.

mod common;

use common::{HEADS, HIDDEN, cells, checkpoint, edited};
use scfm_ablation::{Component, MaskedGene, MaskedValue, PatchedCell, ReadOut, SetFunction};
use scfm_attention::geneformer::{Checkpoint, Geneformer};
use scfm_attention::scgpt::{self, ScGpt};
use scfm_attention::{Interventions, Site, TokenisedCell, Transformer, ValuedCell};
use scfm_core::{Head, Layer, Seeds};

/// 32-bit arithmetic through a few layers, in nats.
const ROUNDING: f64 = 1e-4;

const SOURCE: usize = 2;
const TARGET: usize = 5;

#[test]
fn all_parts_together_restore_the_whole_effect_in_any_model() {
    let checkpoint = checkpoint(30, 3);
    let model = Geneformer::new(&checkpoint).unwrap();
    let read_out = MaskedGene {
        model: &model,
        mask: checkpoint.vocabulary().mask(),
    };
    for cell in cells(4, 30, 20) {
        let patched = PatchedCell::new(&read_out, &cell, SOURCE, TARGET).unwrap();
        assert!(patched.total().abs() > 10.0 * ROUNDING, "{}", patched.total());
        assert_eq!(patched.effect(&[]).unwrap(), 0.0);
        for components in [Component::parts(&model), Component::blocks(&model)] {
            let all = patched.effect(&components).unwrap();
            assert!(
                (all - patched.total()).abs() < ROUNDING,
                "{all} of {}",
                patched.total()
            );
            let mut rng = Seeds::new(1).stream("test", "orders", 0);
            let shapley = patched.shapley(&components, 40, &mut rng).unwrap();
            assert!((shapley.iter().sum::<f64>() - patched.total()).abs() < ROUNDING);
        }
    }
}

#[test]
fn all_parts_of_an_scgpt_restore_the_whole_effect() {
    let vocabulary = scgpt::Vocabulary::of_genes((0..20).map(|i| format!("G{i}"))).unwrap();
    let tokens: Vec<u32> = (0..12)
        .map(|i| vocabulary.token(&format!("G{i}")).unwrap())
        .collect();
    let mut rng = Seeds::new(3).stream("test", "scgpt", 0);
    let checkpoint = scgpt::Checkpoint::random(scgpt::Config::sized(3, 16, 2), vocabulary, &mut rng).unwrap();
    let model = ScGpt::new(&checkpoint).unwrap();
    let read_out = MaskedValue { model: &model };
    let cell = TokenisedCell {
        cell: 0,
        columns: (0..12).map(Some).collect(),
        tokens,
    };
    let cell = ValuedCell::new(cell, (0..12u8).map(|i| f32::from(1 + 4 * i)).collect());
    let patched = PatchedCell::new(&read_out, &cell, SOURCE, TARGET).unwrap();
    assert!(patched.total().abs() > 1e-4, "{}", patched.total());
    for components in [Component::parts(&model), Component::blocks(&model)] {
        let all = patched.effect(&components).unwrap();
        assert!(
            (all / patched.total() - 1.0).abs() < 0.01,
            "{all} of {}",
            patched.total()
        );
        let first = patched.effect(&components[..1]).unwrap();
        assert!(
            (first / patched.total() - 1.0).abs() > 0.01,
            "{first} of {}",
            patched.total()
        );
    }
}

/// Where only the source's place is patched, not even all parts restore the effect on another place by one layer: what
/// attention gathers for the target is left as it is. So a residual there says nothing of interaction.
#[test]
fn at_the_sources_place_alone_the_last_layer_restores_nothing() {
    let checkpoint = checkpoint(30, 2);
    let model = Geneformer::new(&checkpoint).unwrap();
    let read_out = MaskedGene {
        model: &model,
        mask: checkpoint.vocabulary().mask(),
    };
    let cell = &cells(1, 30, 20)[0];
    let patched = PatchedCell::new(&read_out, cell, SOURCE, TARGET).unwrap();
    for part in Component::parts(&model) {
        let effect = patched.effect_at_source(part).unwrap();
        match part.layer() {
            Layer(1) => assert_eq!(effect, 0.0, "{part}"),
            _ => assert_ne!(effect, 0.0, "{part}"),
        }
    }
}

#[test]
fn exact_and_sampled_values_agree_on_a_model() {
    let checkpoint = checkpoint(30, 2);
    let model = Geneformer::new(&checkpoint).unwrap();
    let read_out = MaskedGene {
        model: &model,
        mask: checkpoint.vocabulary().mask(),
    };
    let cell = &cells(1, 30, 20)[0];
    let patched = PatchedCell::new(&read_out, cell, SOURCE, TARGET).unwrap();
    let blocks = Component::blocks(&model);
    let mut rng = Seeds::new(2).stream("test", "orders", 0);
    let exact = patched.shapley(&blocks, 16, &mut rng).unwrap();
    let game = patched.set_function(&blocks).unwrap();
    assert_eq!(exact, game.shapley());
    let sampled = patched.shapley(&blocks, 15 * 60, &mut rng);
    // 16 sets are at most 900: exact again.
    assert_eq!(sampled.unwrap(), exact);
    let few = patched.shapley(&blocks, 15, &mut rng).unwrap();
    let scale = exact.iter().fold(0.0f64, |a, b| a.max(b.abs()));
    for (few, exact) in few.iter().zip(&exact) {
        assert!((few - exact).abs() < scale, "{few} for {exact}");
    }
    for (single, &block) in game.single_effects().iter().zip(&blocks) {
        assert!((single - patched.effect(&[block]).unwrap()).abs() < 1e-12);
    }
}

/// A model of one layer in which heads see nothing but the source of `cell`, attend to all alike, and the `carrying` of them
/// push what they see in one direction, hard; the feed-forward step adds nothing.
fn carried_by(carrying: &[usize], strength: f32, cell: &TokenisedCell) -> (Checkpoint, Geneformer) {
    let random = checkpoint(30, 1);
    let seen = direction_of_source(&random, cell);
    let width = HIDDEN / HEADS;
    edited(&random, |name, shape, values| {
        let columns = shape.last().copied().unwrap_or(1);
        if name.contains("attention.self.query") || name.contains("attention.self.key") {
            values.fill(0.0);
        } else if name.ends_with("attention.self.value.weight") {
            for row in values.chunks_mut(columns) {
                row.copy_from_slice(&seen);
            }
        } else if name.ends_with("attention.output.dense.weight") {
            for (row, weights) in values.chunks_mut(columns).enumerate() {
                for (column, weight) in weights.iter_mut().enumerate() {
                    let carries = carrying.contains(&(column / width));
                    let direction = if row % 2 == 0 { 1.0 } else { -0.5 } + 0.1 * row as f32;
                    *weight = if carries { strength * direction } else { 0.0 };
                }
            }
        } else if name.ends_with("layer.0.output.dense.weight") {
            values.fill(0.0);
        }
    })
}

/// A direction along which the source's embedding lies, and no other token's of the cell, masked ones included.
fn direction_of_source(checkpoint: &Checkpoint, cell: &TokenisedCell) -> Vec<f32> {
    let model = Geneformer::new(checkpoint).unwrap();
    let read_out = MaskedGene {
        model: &model,
        mask: checkpoint.vocabulary().mask(),
    };
    let clean = read_out.hide_at(cell, &[TARGET]);
    let embeddings = |cell: &TokenisedCell| {
        let site = Site::Embeddings;
        model
            .trace(cell, &[site], &Interventions::none())
            .unwrap()
            .remove(&site)
            .unwrap()
    };
    let (with, without) = (embeddings(&clean), embeddings(&read_out.silence(&clean, SOURCE)));
    let mut basis: Vec<Vec<f32>> = Vec::new();
    let left_of = |row: Vec<f32>, basis: &[Vec<f32>]| {
        (0..2).fold(row, |row, _| {
            basis.iter().fold(row, |row, b| {
                let along: f32 = row.iter().zip(b).map(|(x, y)| x * y).sum();
                row.iter().zip(b).map(|(x, y)| x - along * y).collect()
            })
        })
    };
    for place in 0..cell.tokens.len() {
        let row = if place == SOURCE {
            without.row(place)
        } else {
            with.row(place)
        };
        let left = left_of(row.to_vec(), &basis);
        let length = left.iter().map(|x| x * x).sum::<f32>().sqrt();
        basis.push(left.into_iter().map(|x| x / length).collect());
    }
    let seen = left_of(with.row(SOURCE).to_vec(), &basis);
    let along: f32 = seen.iter().zip(with.row(SOURCE)).map(|(x, y)| x * y).sum();
    seen.into_iter().map(|x| x / along).collect()
}

fn game_of(carrying: &[usize], strength: f32) -> (f64, SetFunction) {
    let cell = &cells(1, 30, 10)[0];
    let (checkpoint, model) = carried_by(carrying, strength, cell);
    let read_out = MaskedGene {
        model: &model,
        mask: checkpoint.vocabulary().mask(),
    };
    let patched = PatchedCell::new(&read_out, cell, SOURCE, TARGET).unwrap();
    let parts = Component::parts(&model);
    assert_eq!(parts.len(), HEADS + 1);
    (patched.total(), patched.set_function(&parts).unwrap())
}

#[test]
fn a_head_that_carries_the_effect_alone_gets_all_of_it() {
    let (total, game) = game_of(&[1], 5.0);
    assert!(total.abs() > 0.1, "{total}");
    for values in [game.single_effects(), game.shapley()] {
        assert!((values[1] - total).abs() < ROUNDING, "{values:?} of {total}");
        assert!(
            values[0].abs() < ROUNDING && values[2].abs() < ROUNDING,
            "{values:?}"
        );
    }
    assert!(game.non_additivity() < ROUNDING * 3.0);
}

#[test]
fn heads_that_stand_in_for_each_other_each_restore_all_and_share_it() {
    let (total, game) = game_of(&[0, 1], 2e4);
    assert!(total.abs() > 30.0 * ROUNDING, "{total}");
    let (single, shapley) = (game.single_effects(), game.shapley());
    for head in 0..2 {
        assert!((single[head] / total - 1.0).abs() < 0.1, "{single:?} of {total}");
        assert!(
            (shapley[head] / total - 0.5).abs() < 0.05,
            "{shapley:?} of {total}"
        );
    }
    // 1 − Σ m is about −1: seen as non-additivity, and by its sign as redundancy.
    let residual = 1.0 - single.iter().sum::<f64>() / total;
    assert!((residual + 1.0).abs() < 0.2, "{residual}");
}

/// Columns behind the output projection hold all heads mixed: patching those that would be an idle head's credits it with
/// another head's effect.
#[test]
fn columns_behind_the_projection_would_credit_an_idle_head() {
    let cell = &cells(1, 30, 10)[0];
    let (checkpoint, model) = carried_by(&[1], 5.0, cell);
    let read_out = MaskedGene {
        model: &model,
        mask: checkpoint.vocabulary().mask(),
    };
    let patched = PatchedCell::new(&read_out, cell, SOURCE, TARGET).unwrap();
    let idle = Component::Head(Layer(0), Head(0));
    assert!(patched.effect(&[idle]).unwrap().abs() < ROUNDING);

    let (clean, site) = (read_out.hide_at(cell, &[TARGET]), Site::Hidden(Layer(0)));
    let removed = read_out.silence(&clean, SOURCE);
    let states = |cell: &TokenisedCell| {
        model
            .trace(cell, &[site], &Interventions::none())
            .unwrap()
            .remove(&site)
            .unwrap()
    };
    let mut mixed = states(&removed);
    let columns = 0..HIDDEN / HEADS;
    for column in columns {
        mixed.column_mut(column).assign(&states(&clean).column(column));
    }
    let gene = (TARGET, cell.tokens[TARGET]);
    let predict = |done: &Interventions| read_out.predict(&removed, &[gene], done).unwrap()[0];
    let credited = predict(&Interventions::none().patch(site, mixed)) - predict(&Interventions::none());
    assert!(
        credited.abs() > 0.05 * patched.total().abs(),
        "{credited} of {}",
        patched.total()
    );
}
