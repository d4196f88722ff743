//! Choosing a layer in worlds where one carries the responses, and in worlds where none does.

use ndarray::Array2;
use proptest::prelude::*;
use rand::{Rng, RngExt};
use scfm_baselines::{Error, LayerSelection, LayerSelectionParams, layer_selection};
use scfm_core::{EdgeKind, EdgeMatrix, Layer, Panel, Responses, Seeds};
use scfm_stats::{LabelledGrid, Undefined, row_aurocs};

const N_LAYERS: usize = 12;

/// Genes differ in how often they respond to anything; layers are noise but for what is said.
#[derive(Clone, Copy)]
struct Truth {
    n_perturbed: usize,
    n_genes: usize,
    /// Share of a layer's score that is the target's alone, drawn anew for each layer.
    of_target: f64,
    /// A layer that sees which pairs respond, and by how much.
    signal: Option<(usize, f64)>,
}

const NULL: Truth = Truth {
    n_perturbed: 40,
    n_genes: 200,
    of_target: 0.0,
    signal: None,
};

struct World {
    layers: Vec<EdgeMatrix>,
    correlation: EdgeMatrix,
    responses: Responses,
}

fn normal(rng: &mut impl Rng) -> f64 {
    (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt() * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

impl World {
    fn new(truth: Truth, seed: u64) -> Self {
        let mut rng = Seeds::new(seed).stream("layer-selection", "world", 0);
        let targets = Panel::new((0..truth.n_genes).map(|g| format!("G{g}"))).unwrap();
        let perturbed = Panel::new(targets.genes()[..truth.n_perturbed].to_vec()).unwrap();
        let shape = (truth.n_perturbed, truth.n_genes);
        let propensity: Vec<f64> = (0..truth.n_genes).map(|_| 1.5 * normal(&mut rng) - 2.5).collect();
        let positive = Array2::from_shape_fn(shape, |(_, g)| {
            rng.random::<f64>() < 1.0 / (1.0 + (-propensity[g]).exp())
        });
        let mut edges = |kind, signal: f64| {
            let of_target: Vec<f64> = (0..truth.n_genes)
                .map(|_| truth.of_target * normal(&mut rng))
                .collect();
            let scores = Array2::from_shape_fn(shape, |(p, g)| {
                (of_target[g] + signal * f64::from(positive[[p, g]]) + normal(&mut rng)) as f32
            });
            EdgeMatrix::new(kind, perturbed.clone(), targets.clone(), scores).unwrap()
        };
        let layers = (0..N_LAYERS)
            .map(|layer| {
                let signal = truth.signal.filter(|(carrier, _)| *carrier == layer);
                edges(
                    EdgeKind::attention(Layer(layer)),
                    signal.map_or(0.0, |(_, strength)| strength),
                )
            })
            .collect();
        let correlation = edges(EdgeKind::Spearman, 0.0);
        Self {
            layers,
            correlation,
            responses: Responses::new(perturbed, targets, positive).unwrap(),
        }
    }

    fn select(&self) -> LayerSelection {
        let params = LayerSelectionParams::default();
        layer_selection(&self.layers, &self.correlation, &self.responses, 5, &params).unwrap()
    }
}

#[test]
fn a_layer_that_carries_the_responses_is_chosen_everywhere_and_beats_correlation() {
    let truth = Truth {
        signal: Some((8, 0.8)),
        of_target: 0.3,
        ..NULL
    };
    let found = World::new(truth, 1).select();
    for selected in [&found.held_out, &found.over_perturbations] {
        assert!(
            selected.choices.iter().all(|choice| choice.layer == 8),
            "{:?}",
            selected.choices
        );
        assert_eq!(selected.modal_layer(), (8, 1.0));
        // One layer throughout: putting ranks together changes nothing.
        let alone = found.profile[8].as_ref().unwrap().mean;
        assert!((selected.mean - alone).abs() < 1e-12);
        let gain = selected.against_correlation.as_ref().unwrap();
        assert!(gain.mean > 0.1 && gain.test.p.p() < 1e-3, "{:?}", gain.test);
        assert!((gain.mean - (alone - found.correlation)).abs() < 1e-12);
        assert!(selected.against_prespecified.as_ref().unwrap().mean > 0.1);
    }
    assert_eq!(
        (
            found.held_out.choices.len(),
            found.over_perturbations.choices.len()
        ),
        (25, 5)
    );
    assert_eq!(found.best_on_all.0, 8);
}

/// Mean over worlds with its standard error, and how many worlds reject at 5 % in favour of the chosen layer.
struct Over(Vec<f64>, u32);

impl Over {
    fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    fn standard_error(&self) -> f64 {
        let n = self.0.len() as f64;
        (self.0.iter().map(|x| (x - self.mean()).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt()
    }
}

fn over_worlds(truth: Truth, n: u64, of: impl Fn(&LayerSelection) -> (f64, f64)) -> Over {
    let found: Vec<(f64, f64)> = (0..n)
        .map(|seed| of(&World::new(truth, 100 + seed).select()))
        .collect();
    let rejected = found.iter().filter(|(mean, p)| *mean > 0.0 && *p < 0.05).count();
    Over(found.into_iter().map(|(mean, _)| mean).collect(), rejected as u32)
}

fn gain(selected: &scfm_baselines::Selected) -> (f64, f64) {
    let gain = selected.against_correlation.as_ref().unwrap();
    (gain.mean, gain.test.p.p())
}

#[test]
fn the_best_layer_of_noise_looks_good_on_its_own_data_and_not_on_held_out_data() {
    let naive = over_worlds(NULL, 60, |found| (found.best_on_all.1 - 0.5, 1.0));
    assert!(naive.mean() > 8.0 * naive.standard_error(), "{}", naive.mean());
    assert!(naive.mean() > 0.015, "{}", naive.mean());
    for selected in [
        (|found: &LayerSelection| gain(&found.held_out)) as fn(&LayerSelection) -> (f64, f64),
        |found| gain(&found.over_perturbations),
    ] {
        let held_out = over_worlds(NULL, 60, selected);
        assert!(
            held_out.mean().abs() < 3.5 * held_out.standard_error(),
            "{}",
            held_out.mean()
        );
        // 1.5 expected at the nominal level of one side.
        assert!(held_out.1 <= 4, "{} of 60", held_out.1);
    }
}

/// Where layers say things of genes whatever is perturbed, holding out perturbations alone does not undo the choice:
/// the layer that happens to agree with the genes' propensity is chosen and wins again. Holding out targets does.
#[test]
fn only_holding_out_targets_too_undoes_the_choice_where_layers_speak_of_genes() {
    let truth = Truth {
        of_target: 1.5,
        ..NULL
    };
    let published = over_worlds(truth, 60, |found| gain(&found.over_perturbations));
    assert!(
        published.mean() > 6.0 * published.standard_error(),
        "{}",
        published.mean()
    );
    assert!(published.mean() > 0.03, "{}", published.mean());
    // 1.5 expected at the nominal level of one side.
    assert!(published.1 >= 5, "{} of 60", published.1);
    let held_out = over_worlds(truth, 60, |found| gain(&found.held_out));
    assert!(
        held_out.mean().abs() < 3.5 * held_out.standard_error(),
        "{}",
        held_out.mean()
    );
    assert!(held_out.1 <= 4, "{} of 60", held_out.1);
}

#[test]
fn a_choice_never_sees_the_labels_that_it_is_judged_on() {
    let world = World::new(NULL, 7);
    let before = world.select();
    // Turn every label of the first held-out block around.
    let (mut of_perturbation, mut of_target) = (Vec::new(), Vec::new());
    let n = world.responses.targets().len();
    let fold = scfm_baselines::group_k_fold(&vec![n - 1; world.responses.perturbed().len()], 5).unwrap();
    of_perturbation.extend(fold.iter().map(|&f| f == 0));
    of_target.extend((0..n).map(|t| t % 5 == 0));
    let positive = Array2::from_shape_fn(world.responses.positive().dim(), |(p, t)| {
        world.responses.positive()[[p, t]] != (of_perturbation[p] && of_target[t])
    });
    let (perturbed, targets) = (
        world.responses.perturbed().clone(),
        world.responses.targets().clone(),
    );
    let turned = World {
        responses: Responses::new(perturbed, targets, positive).unwrap(),
        ..world
    };
    let after = turned.select();
    assert_eq!(before.held_out.choices[0], after.held_out.choices[0]);
    assert_ne!(before.held_out.choices, after.held_out.choices);
}

#[test]
fn too_small_a_screen_is_said() {
    let world = World::new(
        Truth {
            n_perturbed: 4,
            ..NULL
        },
        1,
    );
    let params = LayerSelectionParams::default();
    let found = layer_selection(&world.layers, &world.correlation, &world.responses, 0, &params);
    assert!(matches!(
        found,
        Err(Error::Stats(scfm_stats::Error::Undefined(
            Undefined::TooFew { .. }
        )))
    ));
    let ten = World::new(
        Truth {
            n_perturbed: 10,
            ..NULL
        },
        1,
    );
    let found = ten.select();
    assert!(matches!(
        found.held_out.against_correlation,
        Err(Undefined::NotDecidable { rows: 10, .. })
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn means_agree_with_plain_aurocs_and_ignore_monotone_scales(seed in 0u64..500) {
        let world = World::new(Truth { of_target: 0.7, ..NULL }, seed);
        let found = world.select();
        let scaled = World {
            layers: world
                .layers
                .iter()
                .map(|l| {
                    let scores = l.scores().mapv(|x| if x < 0.0 { 2.0 * x } else { 4.0 * x });
                    EdgeMatrix::new(l.kind(), l.sources().clone(), l.targets().clone(), scores).unwrap()
                })
                .collect(),
            correlation: world.correlation.clone(),
            responses: world.responses.clone(),
        };
        prop_assert_eq!(&found.held_out.choices, &scaled.select().held_out.choices);
        let labels = LabelledGrid {
            positive: world.responses.positive(),
            candidate: world.responses.candidate(),
        };
        let aligned = world.layers[3].align(world.responses.perturbed(), world.responses.targets());
        let rows = world.responses.evaluable(3, 3);
        let aurocs = row_aurocs(aligned.view(), labels).unwrap();
        let mean = rows.iter().map(|&r| aurocs[r].clone().unwrap()).sum::<f64>() / rows.len() as f64;
        prop_assert!((found.profile[3].as_ref().unwrap().mean - mean).abs() < 1e-12);
    }
}
