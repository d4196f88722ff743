//! In-silico knock-outs against measured effects: level under gene-level structure, power where a model knows the network,
//! and variants that would fail the same checks.

mod common;

use common::{cells, checkpoint};
use ndarray::{Array2, Axis};
use proptest::prelude::*;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use scfm_ablation::{
    Agreement, MaskedGene, MaskedValue, PARTS, ReadOut, SourceAgreement, hidden_part, knock_out_effects,
    sign_share,
};
use scfm_attention::geneformer::Geneformer;
use scfm_attention::scgpt::{self, ScGpt};
use scfm_attention::{TokenisedCell, Transformer, ValuedCell};
use scfm_core::Seeds;

const SOURCES: usize = 14;
const TARGETS: usize = 30;
const WORLDS: u64 = 400;
const PERMUTATIONS: usize = 199;

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    Normal::new(0.0, 1.0).unwrap().sample(rng)
}

/// Predicted and measured effects. Targets have a size of their own in both, of which `feature` tells a part; `known` is the
/// share of a pair's measured effect that its prediction holds.
fn world(rng: &mut ChaCha8Rng, known: f64) -> (Array2<f64>, Array2<f64>, Vec<f64>) {
    let feature: Vec<f64> = (0..TARGETS).map(|_| normal(rng)).collect();
    let moved: Vec<f64> = feature
        .iter()
        .map(|x| (0.7 * x + 0.7 * normal(rng)).exp())
        .collect();
    let swayed: Vec<f64> = feature
        .iter()
        .map(|x| (0.7 * x + 0.7 * normal(rng)).exp())
        .collect();
    let (mut predicted, mut measured) = (
        Array2::zeros((SOURCES, TARGETS)),
        Array2::zeros((SOURCES, TARGETS)),
    );
    for source in 0..SOURCES {
        // Sources differ in how much they do, in a heavy-tailed way.
        let (loud, seen) = (normal(rng).exp(), normal(rng).exp());
        for target in 0..TARGETS {
            let effect = normal(rng);
            measured[[source, target]] = loud * moved[target] * effect;
            predicted[[source, target]] =
                seen * swayed[target] * (known * effect + (1.0 - known * known).sqrt() * normal(rng));
        }
    }
    (predicted, measured, feature)
}

struct Rates {
    raw: f64,
    adjusted: f64,
    signs: f64,
    naive: f64,
}

/// How often each test rejects at 5 % over worlds, after `broken` had its way with the predictions.
fn rates(known: f64, n_worlds: u64, broken: impl Fn(&mut Array2<f64>, &Array2<f64>)) -> Rates {
    let (mut raw, mut adjusted, mut signs, mut naive) = (0, 0, 0, 0);
    for index in 0..n_worlds {
        let mut rng = Seeds::new(21).stream("test", "world", index);
        let (mut predicted, measured, feature) = world(&mut rng, known);
        broken(&mut predicted, &measured);
        let agreement = |covariates: &[Vec<f64>], what| {
            SourceAgreement::new(predicted.view(), measured.view(), covariates, what).unwrap()
        };
        let rejects = |agreement: &SourceAgreement| {
            let stream = |i| Seeds::new(index).stream("test", "order", i);
            let test = agreement.permutation_test(PERMUTATIONS, stream).unwrap();
            usize::from(test.p.p() <= 0.05)
        };
        let of_sizes = agreement(&[], Agreement::Sizes);
        raw += rejects(&of_sizes);
        adjusted += rejects(&agreement(&[feature], Agreement::Sizes));
        signs += rejects(&agreement(&[], Agreement::Signs));
        naive += usize::from(of_sizes.naive_test().unwrap().p.p() <= 0.05);
    }
    let share = |n: usize| n as f64 / n_worlds as f64;
    Rates {
        raw: share(raw),
        adjusted: share(adjusted),
        signs: share(signs),
        naive: share(naive),
    }
}

fn is_level(rate: f64) -> bool {
    (0.03..=0.08).contains(&rate)
}

#[test]
fn genes_that_are_large_in_both_are_no_knowledge_of_a_source() {
    let rates = rates(0.0, WORLDS, |_, _| ());
    assert!(is_level(rates.raw), "raw {}", rates.raw);
    assert!(is_level(rates.adjusted), "adjusted {}", rates.adjusted);
    assert!(is_level(rates.signs), "signs {}", rates.signs);
    // The test that takes sources for independent finds what they have in common.
    assert!(rates.naive > 0.9, "naive {}", rates.naive);
}

#[test]
fn a_model_that_knows_the_network_is_found_out() {
    let rates = rates(0.8, 60, |_, _| ());
    assert!(rates.raw > 0.9 && rates.adjusted > 0.9 && rates.signs > 0.9);
}

#[test]
fn predictions_that_saw_the_measurement_would_not_hold_the_level() {
    let leaking = rates(0.0, 60, |predicted, measured| {
        predicted.zip_mut_with(measured, |p, m| *p = p.abs() * m.signum());
    });
    assert!(leaking.signs > 0.9, "{}", leaking.signs);
    let itself = rates(0.0, 20, |predicted, measured| {
        predicted.zip_mut_with(measured, |p, m| *p = m + 0.01 * *p);
    });
    assert!(itself.raw > 0.9 && itself.adjusted > 0.9 && itself.signs > 0.9);
}

proptest! {
    #[test]
    fn agreement_knows_no_unit_and_no_order(seed in 0u64..50, factor in 0.01f64..100.0) {
        let mut rng = Seeds::new(seed).stream("test", "invariance", 0);
        let (predicted, measured, feature) = world(&mut rng, 0.3);
        let of = |p: &Array2<f64>, m: &Array2<f64>, f: &[f64]| {
            SourceAgreement::new(p.view(), m.view(), &[f.to_vec()], Agreement::Sizes).unwrap()
        };
        let one = of(&predicted, &measured, &feature);
        let other = of(&predicted.mapv(|x| -factor * x), &measured, &feature);
        prop_assert!((one.own().unwrap() - other.own().unwrap()).abs() < 1e-12);
        let order: Vec<usize> = (0..TARGETS).rev().collect();
        let turned: Vec<f64> = order.iter().map(|&t| feature[t]).collect();
        let other = of(&predicted.select(Axis(1), &order), &measured.select(Axis(1), &order), &turned);
        prop_assert!((one.own().unwrap() - other.own().unwrap()).abs() < 1e-9);
        prop_assert!((one.of_others().unwrap() - other.of_others().unwrap()).abs() < 1e-9);
    }

    #[test]
    fn parts_of_a_cell_hold_each_gene_once(n in 0usize..60, row in 0usize..5) {
        let places: Vec<usize> = (0..n).map(|i| 3 * i).collect();
        let mut all: Vec<usize> = (0..PARTS)
            .flat_map(|part| hidden_part(&places, row, part, Seeds::new(0)))
            .collect();
        all.sort_unstable();
        prop_assert_eq!(all, places.clone());
        prop_assert_eq!(hidden_part(&places, row, 1, Seeds::new(0)), hidden_part(&places, row, 1 + PARTS, Seeds::new(0)));
    }
}

#[test]
fn sources_without_effects_are_left_out_and_few_have_no_test() {
    let mut rng = Seeds::new(5).stream("test", "few", 0);
    let (mut predicted, measured, _) = world(&mut rng, 0.0);
    predicted.row_mut(3).fill(0.0);
    predicted.row_mut(7).fill(f64::NAN);
    let agreement = SourceAgreement::new(predicted.view(), measured.view(), &[], Agreement::Sizes).unwrap();
    assert_eq!(agreement.sources().len(), SOURCES - 2);
    assert!(!agreement.sources().contains(&3) && !agreement.sources().contains(&7));
    let few: Vec<usize> = (0..5).collect();
    let (p, m) = (predicted.select(Axis(0), &few), measured.select(Axis(0), &few));
    let agreement = SourceAgreement::new(p.view(), m.view(), &[], Agreement::Sizes).unwrap();
    let stream = |i| Seeds::new(0).stream("test", "order", i);
    assert!(
        agreement
            .permutation_test(99, stream)
            .unwrap_err()
            .to_string()
            .contains("too few")
    );
    assert!(SourceAgreement::new(p.view(), measured.view(), &[], Agreement::Sizes).is_err());
    assert_eq!(sign_share(&[1.0, 0.0, -2.0], &[3.0, 1.0, 1.0]), Some((0.5, 2)));
    assert_eq!(sign_share(&[0.0], &[1.0]), None);
}

/// Mean effects of knocking each of the first genes out of cells, `[source, target]`.
fn effects_of<R: ReadOut<Model: Transformer<Cell = TokenisedCell>>>(
    read_out: &R,
    cells: &[TokenisedCell],
    n_genes: usize,
) -> Array2<f64> {
    let mut sums = Array2::<f64>::zeros((SOURCES, n_genes));
    let mut counts = Array2::<f64>::zeros((SOURCES, n_genes));
    for cell in cells {
        let places: Vec<usize> = (0..cell.tokens.len()).collect();
        for source in 0..SOURCES {
            let Some(place) = read_out.place(cell, source as u32) else {
                continue;
            };
            let mut hidden = hidden_part(&places, cell.cell, source, Seeds::new(0));
            hidden.retain(|&p| p != place);
            let [silenced, _] = knock_out_effects(read_out, cell, place, &hidden).unwrap();
            for (&at, effect) in hidden.iter().zip(silenced) {
                let target = cell.columns[at].unwrap() as usize;
                sums[[source, target]] += effect;
                counts[[source, target]] += 1.0;
            }
        }
    }
    sums / counts
}

/// The whole way from cells to p, with a model that was never trained and measurements that owe their size to how much the
/// model moves each target on the average: gene-level agreement, and none about sources. Then with measurements that follow
/// the model.
#[test]
fn an_untrained_model_agrees_with_nothing_but_what_follows_it() {
    let n_genes = 50;
    let checkpoint = checkpoint(n_genes, 2);
    let model = Geneformer::new(&checkpoint).unwrap();
    let read_out = MaskedGene {
        model: &model,
        mask: checkpoint.vocabulary().mask(),
    };
    let predicted = effects_of(&read_out, &cells(60, n_genes, 40), n_genes);
    let moved: Vec<f64> = predicted
        .axis_iter(Axis(1))
        .map(|column| {
            let sizes: Vec<f64> = column.iter().filter(|x| x.is_finite()).map(|x| x.abs()).collect();
            sizes.iter().sum::<f64>() / sizes.len() as f64
        })
        .collect();
    let p_of = |measured: &Array2<f64>| {
        let agreement =
            SourceAgreement::new(predicted.view(), measured.view(), &[], Agreement::Sizes).unwrap();
        assert_eq!(agreement.sources().len(), SOURCES);
        let stream = |i| Seeds::new(0).stream("test", "order", i);
        let naive = agreement.naive_test().unwrap().p.p();
        (
            agreement.permutation_test(PERMUTATIONS, stream).unwrap().p.p(),
            naive,
        )
    };
    let (mut found, mut naive_found) = (0, 0);
    for index in 0..WORLDS {
        let mut rng = Seeds::new(31).stream("test", "world", index);
        let measured = Array2::from_shape_fn((SOURCES, n_genes), |(source, target)| match source == target {
            true => f64::NAN,
            false => moved[target] * normal(&mut rng),
        });
        let (p, naive) = p_of(&measured);
        found += usize::from(p <= 0.05);
        naive_found += usize::from(naive <= 0.05);
    }
    let rate = f64::from(found as u32) / WORLDS as f64;
    assert!(is_level(rate), "{rate}");
    assert!(naive_found > found, "{naive_found}");

    let mut rng = Seeds::new(32).stream("test", "follows", 0);
    let spread = 0.5
        * predicted
            .iter()
            .filter(|x| x.is_finite())
            .map(|x| x * x)
            .sum::<f64>()
            .sqrt()
        / (SOURCES * n_genes) as f64;
    let follows = predicted.mapv(|x| x + spread * normal(&mut rng));
    assert!(p_of(&follows).0 <= 0.01);
}

#[test]
fn the_same_genes_are_hidden_in_both_runs_and_a_deleted_token_moves_those_behind_it() {
    let checkpoint = checkpoint(30, 2);
    let model = Geneformer::new(&checkpoint).unwrap();
    let read_out = MaskedGene {
        model: &model,
        mask: checkpoint.vocabulary().mask(),
    };
    let cell = &cells(1, 30, 12)[0];
    let [silenced, deleted] = knock_out_effects(&read_out, cell, 4, &[1, 8]).unwrap();
    // By hand: hide 1 and 8, mask or remove 4, read 1 and 8 where they now are.
    let logits = |tokens: &[u32], places: &[u32]| model.masked_gene_logits(tokens, places).unwrap();
    let mask = checkpoint.vocabulary().mask();
    let mut clean = cell.tokens.clone();
    clean[1] = mask;
    clean[8] = mask;
    let mut masked = clean.clone();
    masked[4] = mask;
    let mut shorter = clean.clone();
    shorter.remove(4);
    let probability = |row: ndarray::ArrayView1<'_, f32>, token: u32| {
        let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
        f64::from(row[token as usize]) - sum.ln()
    };
    let read = |tokens: &[u32], places: [u32; 2]| {
        let rows = logits(tokens, &places);
        [
            probability(rows.row(0), cell.tokens[1]),
            probability(rows.row(1), cell.tokens[8]),
        ]
    };
    let before = read(&clean, [1, 8]);
    for (found, after) in [
        (silenced, read(&masked, [1, 8])),
        (deleted, read(&shorter, [1, 7])),
    ] {
        for i in 0..2 {
            assert!((found[i] - (after[i] - before[i])).abs() < 1e-6);
        }
    }
}

#[test]
fn scgpt_is_told_0_or_nothing_of_a_gene_and_does_not_mind_the_order() {
    let vocabulary = scgpt::Vocabulary::of_genes((0..20).map(|i| format!("G{i}"))).unwrap();
    let mut rng = Seeds::new(3).stream("test", "scgpt", 0);
    let config = scgpt::Config::sized(2, 16, 2);
    let checkpoint = scgpt::Checkpoint::random(config, vocabulary.clone(), &mut rng).unwrap();
    let model = ScGpt::new(&checkpoint).unwrap();
    let read_out = MaskedValue { model: &model };
    let tokens: Vec<u32> = (0..12)
        .map(|i| vocabulary.token(&format!("G{i}")).unwrap())
        .collect();
    let columns = (0..12).map(Some).collect();
    let mut values: Vec<f32> = (0..12).map(|_| rng.random_range(1..50) as f32).collect();
    values[9] = 0.0;
    let cell = ValuedCell::new(
        TokenisedCell {
            cell: 0,
            tokens,
            columns,
        },
        values,
    );
    assert_eq!(
        (read_out.place(&cell, 4), read_out.place(&cell, 9)),
        (Some(4), None)
    );
    assert_eq!(read_out.silence(&cell, 4).values()[4], 0.0);
    assert_eq!(read_out.delete(&cell, 4).tokens().len(), 11);
    let [silenced, deleted] = knock_out_effects(&read_out, &cell, 4, &[1, 8]).unwrap();
    assert!(silenced.iter().chain(&deleted).all(|effect| effect.is_finite()));
    assert!(silenced.iter().any(|effect| *effect != 0.0) && silenced != deleted);
    let expression = |cell: &ValuedCell| model.expression(cell).unwrap();
    let clean = read_out.hide_at(&cell, &[1, 8]);
    assert_eq!(clean.values()[8], -1.0);
    let shorter = read_out.delete(&clean, 4);
    let expected = f64::from(expression(&shorter)[7]) - f64::from(expression(&clean)[8]);
    assert!((deleted[1] - expected).abs() < 1e-9);
}
