//! Simulated screens whose truth is known: what the analyses must and must not find in them.

mod world;

use ndarray::Array1;
use scfm_baselines::{
    Error, IncrementalParams, IncrementalValue, Model, features, gene_baselines, incremental_value,
};
use scfm_core::{Column, Panel, Responses, Seeds};
use scfm_stats::{CrossedLimits, Undefined};

use world::{GENE_LEVEL, N_GENES, N_PERTURBED, REGULATORY, Truth, World};

fn value(world: &World) -> IncrementalValue {
    let params = IncrementalParams {
        n_two_way: 40,
        n_over_perturbations: 200,
        ..Default::default()
    };
    let tfs = Panel::new(world.responses.perturbed().genes().iter().take(20).cloned()).unwrap();
    incremental_value(&world.candidates(), Some(&tfs), &params, Seeds::new(0)).unwrap()
}

#[test]
fn gene_level_attention_adds_nothing_to_splines_but_something_to_straight_lines() {
    let n_worlds = 12;
    let (mut false_gains, mut published_gains, mut published_sum) = (0, 0, 0.0);
    for seed in 0..n_worlds {
        let value = value(&World::new(GENE_LEVEL, seed));
        let gain = &value.splines.attention;
        let difference = gain.difference.as_ref().unwrap();
        false_gains += u64::from(difference.test.p.p() < 0.05 && difference.mean > 0.0);
        assert!(
            gain.equivalence.as_ref().unwrap().p.p() < 0.05,
            "world {seed}: {difference:?}"
        );
        let published = &value.as_published.attention;
        published_gains += u64::from(published.over_perturbations.low > 0.0);
        published_sum += published.delta;
    }
    // Three or more of twelve at a true level of 2.5 % have a probability of 0.003.
    assert!(false_gains <= 2, "{false_gains} of {n_worlds}");
    // Linear terms leave the curve to attention, and the interval over perturbations calls it certain.
    assert!(published_gains >= 10, "{published_gains} of {n_worlds}");
    assert!(
        published_sum / n_worlds as f64 > 0.01,
        "mean gain {}",
        published_sum / n_worlds as f64
    );
}

#[test]
fn edges_that_move_responses_are_found_in_attention_and_not_in_correlation() {
    let value = value(&World::new(REGULATORY, 1));
    let splines = &value.splines;
    let gain = splines.attention.difference.as_ref().unwrap();
    assert!(gain.mean > 0.03 && gain.test.p.p() < 1e-3, "{:?}", gain.test);
    assert!(gain.test.ci.unwrap().low > 0.0 && splines.attention.two_way.low > 0.0);
    assert!(splines.attention.over_perturbations.low > 0.0 && splines.attention.pooled > 0.0);
    assert!(splines.attention.equivalence.as_ref().unwrap().p.p() > 0.5);
    assert!(splines.correlation.difference.as_ref().unwrap().test.p.p() > 0.01);
    assert!(splines.attention_beyond_correlation.delta > 0.03);
    assert_eq!(splines.models[Model::GeneBoth as usize].model, Model::GeneBoth);

    let detectable = splines.attention.detectable.unwrap();
    assert!(gain.standard_error * 2.8 < detectable && detectable < gain.standard_error * 3.0);
    let power = splines.attention.power_at_bound.unwrap();
    assert!(
        (0.05..0.8).contains(&power) == (detectable > 0.005),
        "power {power} to find 0.005 of {detectable}"
    );

    let (tf, non_tf) = (value.tf.unwrap(), value.non_tf.unwrap());
    assert_eq!((tf.rows.len(), non_tf.rows.len()), (20, 30));
    let of_gene = |increments: &scfm_baselines::Increments| increments.models[0].aurocs.clone();
    assert_eq!([of_gene(&tf), of_gene(&non_tf)].concat(), of_gene(splines));
}

#[test]
fn no_perturbations_own_labels_reach_its_held_out_scores() {
    let world = World::new(REGULATORY, 2);
    let before = value(&world);
    let mut positive = world.responses.positive().to_owned();
    positive.row_mut(7).mapv_inplace(|response| !response);
    let (perturbed, targets) = (
        world.responses.perturbed().clone(),
        world.responses.targets().clone(),
    );
    let flipped = World {
        responses: Responses::new(perturbed, targets, positive).unwrap(),
        ..world
    };
    let after = value(&flipped);
    let scores = |value: &IncrementalValue, row| value.held_out[3].row(row).to_vec();
    let bits = |scores: Vec<f64>| scores.into_iter().map(f64::to_bits).collect::<Vec<_>>();
    let fold = before.fold_of[7];
    for row in 0..N_PERTURBED {
        let same = bits(scores(&before, row)) == bits(scores(&after, row));
        assert_eq!(same, before.fold_of[row] == fold, "row {row}");
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let world = World::new(REGULATORY, 3);
    let on_threads = |n| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        format!("{:?}", pool.install(|| value(&world)))
    };
    assert_eq!(on_threads(1), on_threads(3));
}

#[test]
fn gene_level_scores_beat_edges_where_responses_are_gene_level() {
    let mut world = World::new(GENE_LEVEL, 4);
    let out_degree = Array1::from_shape_fn(N_GENES, |g| (g % 7) as f64);
    world.genes.insert(features::OUT_DEGREE, out_degree).unwrap();
    let found = gene_baselines(&world.candidates(), &CrossedLimits::default()).unwrap();
    let names: Vec<_> = found.scores.iter().map(|s| s.0).collect();
    let expected = [
        "attention",
        "correlation",
        "variance",
        "mean",
        "detection",
        "out_degree",
        "response_frequency",
    ];
    assert_eq!(names, expected);
    let auroc = |name| {
        let (_, score) = found.scores.iter().find(|s| s.0 == name).unwrap();
        score.as_ref().unwrap().mean
    };
    assert!(auroc("response_frequency") > auroc("correlation") + 0.15);
    assert!((auroc("correlation") - 0.5).abs() < 0.05);
    assert_eq!(found.against_correlation.len(), 4);
    assert_eq!(found.against_attention.len(), 3);
    for (tests, edge) in [
        (&found.against_correlation, "correlation"),
        (&found.against_attention, "attention"),
    ] {
        for test in tests {
            let effect = test.test.as_ref().unwrap().effect;
            assert!((effect - (auroc(test.baseline) - auroc(edge))).abs() < 1e-12);
        }
    }
    let Some(Column::F64(of_rows)) = found.per_perturbation.column("attention") else {
        panic!("a column of numbers")
    };
    let mean = of_rows.iter().map(|a| a.unwrap()).sum::<f64>() / of_rows.len() as f64;
    assert!((mean - auroc("attention")).abs() < 1e-12);
}

#[test]
fn a_gene_table_without_out_degree_leaves_that_test_out() {
    let found = gene_baselines(&World::new(GENE_LEVEL, 4).candidates(), &CrossedLimits::default()).unwrap();
    assert!(
        found
            .against_correlation
            .iter()
            .all(|test| test.baseline != features::OUT_DEGREE)
    );
    assert!(found.per_perturbation.column(features::OUT_DEGREE).is_none());
}

#[test]
fn a_screen_of_seven_is_not_decidable_and_one_of_three_cannot_be_cross_validated() {
    let seven = Truth {
        n_perturbed: 7,
        ..GENE_LEVEL
    };
    let value = value(&World::new(seven, 5));
    let undecided = value.splines.attention.difference.unwrap_err();
    assert!(
        matches!(undecided, Undefined::NotDecidable { rows: 7, .. }),
        "{undecided}"
    );
    assert_eq!(value.splines.attention.detectable, None);

    let three = World::new(
        Truth {
            n_perturbed: 3,
            ..GENE_LEVEL
        },
        5,
    )
    .candidates();
    let error = incremental_value(&three, None, &IncrementalParams::default(), Seeds::new(0)).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Stats(scfm_stats::Error::Undefined(Undefined::TooFew { n: 3, .. }))
        ),
        "{error}"
    );
}
