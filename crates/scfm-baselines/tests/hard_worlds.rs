//! Simulated screens: what harder splits and matched negatives must and must not find in them.

mod world;

use ndarray::{Array1, Array2};
use rand::seq::SliceRandom;
use scfm_baselines::{
    Block, BoostedTrees, Gain, GainParams, GeneralisationParams, GridFolds, IncrementalParams, Learner,
    MatchingParams, PropensityMatching, ScoredCandidates, Split, features, gain_over_blocks, generalisation,
    incremental_value, propensity_matching,
};
use scfm_core::{EdgeKind, EdgeMatrix, GeneTable, Layer, Responses, Seeds};
use scfm_stats::{CrossedLimits, Undefined, crossed_auroc};

use world::{GENE_LEVEL, N_GENES, N_PERTURBED, REGULATORY, World};

const LEARNERS: [Learner; 2] = [Learner::Logistic, Learner::Trees];

fn params() -> GeneralisationParams {
    GeneralisationParams {
        // A few thousand pairs bear no more than this.
        trees: BoostedTrees {
            n_trees: 60,
            n_leaves: 8,
            learning_rate: 0.1,
            ..BoostedTrees::default()
        },
        gain: GainParams {
            n_two_way: 40,
            ..GainParams::default()
        },
        ..GeneralisationParams::default()
    }
}

fn gain(candidates: &ScoredCandidates, split: Split, learner: Learner) -> Gain {
    generalisation(candidates, split, learner, &params(), Seeds::new(0))
        .unwrap()
        .gain
}

fn matched(world: &World) -> PropensityMatching {
    let params = MatchingParams {
        gain: params().gain,
        ..MatchingParams::default()
    };
    propensity_matching(&world.candidates(), &params, Seeds::new(0)).unwrap()
}

/// What must hold where attention says nothing of responses: no significant gain.
fn no_gain(gain: &Gain) -> bool {
    let test = gain.difference.as_ref().unwrap();
    test.effect < 0.02 && (test.effect < 0.0 || test.p.p() > 0.001)
}

/// Attention of the same distribution that knows nothing, not even of genes.
fn without_signal(mut world: World, seed: u64) -> World {
    let mut scores: Vec<f32> = world.attention.scores().iter().copied().collect();
    scores.shuffle(&mut Seeds::new(seed).stream("world", "shuffle", 0));
    let scores = Array2::from_shape_vec((N_PERTURBED, N_GENES), scores).unwrap();
    let (sources, targets) = (
        world.attention.sources().clone(),
        world.attention.targets().clone(),
    );
    world.attention = EdgeMatrix::new(EdgeKind::attention(Layer(0)), sources, targets, scores).unwrap();
    world
}

#[test]
fn attention_that_knows_genes_or_nothing_gains_nothing_under_any_split() {
    let worlds = [
        World::new(GENE_LEVEL, 0),
        without_signal(World::new(GENE_LEVEL, 1), 1),
    ];
    for (i, world) in worlds.iter().enumerate() {
        let candidates = world.candidates();
        for split in Split::ALL {
            for learner in LEARNERS {
                let gain = gain(&candidates, split, learner);
                assert!(
                    no_gain(&gain),
                    "world {i}, {split:?}, {learner:?}: {:?}",
                    gain.difference
                );
                if learner == Learner::Logistic {
                    assert!(gain.delta().abs() < 0.005, "{gain:?}");
                }
            }
        }
    }
}

/// Attention that knows how readily a target responds, which features do not say, and nothing of pairs: whoever learns gains
/// by it, and what it is told of another source's pairs is worth as much to a tree.
#[test]
fn what_edges_know_of_targets_alone_is_no_gain_of_edges_to_trees() {
    for seed in 0..3 {
        let mut world = World::new(GENE_LEVEL, seed);
        let panel = world.genes.panel().clone();
        let mut rng = Seeds::new(seed).stream("world", "features", 0);
        let mut genes = GeneTable::new(panel);
        for name in [features::MEAN, features::VARIANCE, features::DROPOUT_RATE] {
            genes
                .insert(name, Array1::from_shape_fn(N_GENES, |_| world::normal(&mut rng)))
                .unwrap();
        }
        world.genes = genes;
        let candidates = world.candidates();
        for split in Split::ALL {
            let found =
                |learner| generalisation(&candidates, split, learner, &params(), Seeds::new(0)).unwrap();
            let trees = found(Learner::Trees);
            // On new perturbations trees know a target by its features, which say nothing, from other perturbations.
            let over_genes = trees.gain.with - trees.genes;
            assert!(over_genes > 0.03, "world {seed}, {split:?}: {over_genes}");
            let test = trees.gain.difference.as_ref().unwrap();
            assert!(
                trees.gain.delta().abs() < 0.03 && test.p.p() > 0.01,
                "world {seed}, {split:?}: {test:?}"
            );
            if split != Split::Perturbation {
                let logistic = found(Learner::Logistic).gain;
                assert!(logistic.delta() > 0.1, "world {seed}, {split:?}: {logistic:?}");
            }
        }
    }
}

#[test]
fn training_on_the_test_pairs_shows_knowledge_where_there_is_none() {
    let mut world = World::new(GENE_LEVEL, 0);
    // Responses that nothing predicts.
    let mut rng = Seeds::new(7).stream("world", "responses", 0);
    let mut positive = Array2::from_shape_fn((N_PERTURBED, N_GENES), |(_, g)| g % 8 == 0);
    for mut row in positive.rows_mut() {
        row.as_slice_mut().expect("rows are contiguous").shuffle(&mut rng);
    }
    let (perturbed, targets) = (
        world.responses.perturbed().clone(),
        world.responses.targets().clone(),
    );
    world.responses = Responses::new(perturbed, targets, positive).unwrap();
    let candidates = world.candidates();
    let knows_nothing = |gain: &Gain| (gain.with - 0.5).abs() < 0.05 && (gain.without - 0.5).abs() < 0.05;
    // Trees that can learn pairs by heart.
    let params = GeneralisationParams {
        trees: BoostedTrees {
            n_trees: 100,
            learning_rate: 0.3,
            min_child: 2.0,
            ..BoostedTrees::default()
        },
        ..params()
    };
    for split in [Split::Perturbation, Split::Target] {
        let honest = generalisation(&candidates, split, Learner::Trees, &params, Seeds::new(0)).unwrap();
        assert!(knows_nothing(&honest.gain), "{split:?}: {:?}", honest.gain);
    }
    let everything = Block {
        training_rows: (0..N_PERTURBED).collect(),
        training_columns: (0..N_GENES).collect(),
        test_rows: (0..N_PERTURBED).collect(),
        test_columns: (0..N_GENES).collect(),
    };
    let (leaking, _) = gain_over_blocks(
        &candidates,
        &[everything],
        Learner::Trees,
        &params,
        Seeds::new(0),
        "leak",
    )
    .unwrap();
    assert!(!knows_nothing(&leaking), "{leaking:?}");
}

#[test]
fn edges_that_move_responses_gain_under_every_split_and_learner() {
    let candidates = World::new(REGULATORY, 0).candidates();
    for split in Split::ALL {
        for learner in LEARNERS {
            let gain = gain(&candidates, split, learner);
            let test = gain.difference.as_ref().unwrap();
            assert!(
                gain.delta() > 0.03 && test.ci.unwrap().low > 0.0,
                "{split:?} {learner:?}: {test:?}"
            );
            assert!((gain.delta() - test.effect).abs() < 1e-12);
            assert!(gain.precision.interval.low > 0.0, "{:?}", gain.precision);
            let ks: Vec<usize> = gain.recall.iter().map(|(k, _)| *k).collect();
            assert_eq!(ks, [10, 50, 100]);
            assert!(
                gain.recall.iter().all(|(_, recall)| recall.interval.low > 0.0),
                "{:?}",
                gain.recall
            );
        }
    }
}

#[test]
fn the_first_cell_is_incremental_value() {
    let candidates = World::new(REGULATORY, 3).candidates();
    let cell = generalisation(
        &candidates,
        Split::Perturbation,
        Learner::Logistic,
        &params(),
        Seeds::new(0),
    );
    let cell = cell.unwrap();
    let incremental = IncrementalParams {
        n_two_way: 10,
        n_over_perturbations: 10,
        ..IncrementalParams::default()
    };
    let value = incremental_value(&candidates, None, &incremental, Seeds::new(0)).unwrap();
    let bits = |scores: &Array2<f64>| scores.iter().map(|s| s.to_bits()).collect::<Vec<_>>();
    for model in [0, 1] {
        assert_eq!(bits(&cell.held_out[model]), bits(&value.held_out[model]));
    }
    assert_eq!(cell.gain.delta(), value.splines.attention.delta);
}

#[test]
fn labels_of_what_is_kept_apart_do_not_reach_a_held_out_score() {
    let world = World::new(REGULATORY, 2);
    let candidates = world.candidates();
    let (row, column) = (7, 60);
    let folds = GridFolds::balanced(candidates.labels().candidate, 5).unwrap();
    for split in Split::ALL {
        let mut positive = world.responses.positive().to_owned();
        let reaches = |r: usize, c: usize| match split {
            Split::Perturbation => folds.of_row[r] != folds.of_row[row],
            Split::Target => folds.of_column[c] != folds.of_column[column],
            Split::Joint => {
                folds.of_row[r] != folds.of_row[row] && folds.of_column[c] != folds.of_column[column]
            }
        };
        for ((r, c), label) in positive.indexed_iter_mut() {
            if !reaches(r, c) {
                *label = (r * 31 + c * 17) % 5 == 0;
            }
        }
        let (perturbed, targets) = (
            world.responses.perturbed().clone(),
            world.responses.targets().clone(),
        );
        let changed = World {
            responses: Responses::new(perturbed, targets, positive).unwrap(),
            attention: world.attention.clone(),
            correlation: world.correlation.clone(),
            genes: world.genes.clone(),
        }
        .candidates();
        assert_eq!(changed.responses().perturbed().len(), N_PERTURBED);
        for learner in LEARNERS {
            let score = |candidates: &ScoredCandidates, at: (usize, usize)| {
                let found = generalisation(candidates, split, learner, &params(), Seeds::new(0)).unwrap();
                found.held_out[1][at].to_bits()
            };
            let (held, seen) = ((row, column), ((row + 1) % N_PERTURBED, (column + 1) % N_GENES));
            assert_eq!(
                score(&candidates, held),
                score(&changed, held),
                "{split:?} {learner:?}"
            );
            if reaches(seen.0, seen.1) {
                assert_ne!(
                    score(&candidates, seen),
                    score(&changed, seen),
                    "{split:?} {learner:?}"
                );
            }
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let candidates = World::new(REGULATORY, 4).candidates();
    let on_threads = |n| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        pool.install(|| {
            let trees = gain(&candidates, Split::Target, Learner::Trees);
            format!(
                "{trees:?} {:?}",
                matched(&World::new(REGULATORY, 4)).attention_gain
            )
        })
    };
    assert_eq!(on_threads(1), on_threads(3));
}

/// What must hold where attention says nothing of responses beyond genes: no AUROC away from 0.5 on the candidates.
fn no_signal(candidates: &ScoredCandidates) -> bool {
    let found = crossed_auroc(
        candidates.attention(),
        candidates.labels(),
        &CrossedLimits::default(),
    );
    let found = found.unwrap();
    (found.mean - 0.5).abs() < 0.03 && found.test.p.p() > 0.005
}

#[test]
fn matching_leaves_attention_nothing_to_say_where_it_knows_genes_alone() {
    for seed in 0..4 {
        let world = World::new(GENE_LEVEL, seed);
        let found = matched(&world);
        assert!(
            no_signal(&found.matched.candidates),
            "world {seed}: {:?}",
            found.attention
        );
        assert!(no_gain(found.attention_gain.as_ref().unwrap()));
        assert!(no_gain(found.correlation_gain.as_ref().unwrap()));
        // Negatives that nobody matched fail the same check.
        assert!(!no_signal(&world.candidates()), "world {seed}");
    }
}

#[test]
fn matching_balances_and_keeps_what_edges_say() {
    let found = matched(&World::new(REGULATORY, 0));
    let matched = &found.matched;
    assert!(matched.worst_before() > 0.5, "{:?}", matched.balance);
    assert!(
        matched.balance.iter().all(|b| b.after.abs() <= 0.1),
        "{:?}",
        matched.balance
    );
    assert!(matched.n_unmatched > 0 && matched.n_unmatched < matched.n_positives / 2);
    let responses = matched.candidates.responses();
    for row in 0..responses.perturbed().len() {
        let (n_pos, n_neg) = responses.class_sizes(row);
        assert_eq!(n_neg, 5 * n_pos);
    }
    let attention = found.attention.unwrap();
    assert!(
        attention.mean > 0.55 && attention.test.p.p() < 1e-6,
        "{:?}",
        attention.test
    );
    assert!(found.attention_gain.unwrap().difference.unwrap().ci.unwrap().low > 0.03);
    assert!(found.correlation.unwrap().test.p.p() > 0.001);
}

#[test]
fn matching_that_does_not_balance_decides_nothing() {
    let params = MatchingParams {
        // Any negative will do.
        calipers: vec![100.0],
        ..MatchingParams::default()
    };
    let found = propensity_matching(&World::new(GENE_LEVEL, 0).candidates(), &params, Seeds::new(0)).unwrap();
    assert!(found.matched.worst().after.abs() > 0.1);
    for undecided in [found.attention.unwrap_err(), found.attention_gain.unwrap_err()] {
        assert!(matches!(undecided, Undefined::Unbalanced { .. }), "{undecided}");
        assert!(undecided.to_string().contains("not decidable"), "{undecided}");
    }
}

#[test]
fn no_label_predicts_its_own_perturbations_propensity() {
    let world = World::new(REGULATORY, 5);
    let before = matched(&world).logit;
    let mut positive = world.responses.positive().to_owned();
    for label in positive.row_mut(7) {
        *label = !*label;
    }
    let (perturbed, targets) = (
        world.responses.perturbed().clone(),
        world.responses.targets().clone(),
    );
    let changed = World {
        responses: Responses::new(perturbed, targets, positive).unwrap(),
        ..world
    };
    let after = matched(&changed).logit;
    let bits = |logit: &Array2<f64>, row| {
        logit
            .row(row)
            .iter()
            .map(|v: &f64| v.to_bits())
            .collect::<Vec<_>>()
    };
    assert_eq!(bits(&before, 7), bits(&after, 7));
    assert!((0..N_PERTURBED).any(|row| bits(&before, row) != bits(&after, row)));
}
