//! Marginals of count matrices, and worlds that are calibrated to them.

use proptest::prelude::*;
use scfm_core::{CountMatrix, Panel, Seeds};
use scfm_synth::{Distance, Error, Marginals, ScreenParams, World, WorldParams};
use sprs::CsMat;

fn matrix(rows: &[&[f32]]) -> CountMatrix {
    let n_genes = rows[0].len();
    let (mut indptr, mut indices, mut data) = (vec![0], Vec::new(), Vec::new());
    for row in rows {
        for (gene, &count) in row.iter().enumerate().filter(|&(_, &count)| count > 0.0) {
            indices.push(gene);
            data.push(count);
        }
        indptr.push(indices.len());
    }
    let genes = Panel::new((0..n_genes).map(|gene| format!("G{gene}"))).unwrap();
    // Totals over more genes than these.
    let totals = vec![1_000.0; rows.len()];
    CountMatrix::new(
        genes,
        CsMat::new((rows.len(), n_genes), indptr, indices, data),
        totals,
    )
    .unwrap()
}

/// Cells that nobody perturbed.
fn controls(n: usize) -> ScreenParams {
    ScreenParams {
        n_controls: n,
        n_perturbed_tfs: 0,
        n_perturbed_others: 0,
        ..ScreenParams::default()
    }
}

fn marginals(world: &World, screen: &ScreenParams, seed: u64) -> Marginals {
    Marginals::of(&world.screen(screen, Seeds::new(seed)).unwrap().counts).unwrap()
}

fn largest(distance: Distance) -> f64 {
    let Distance {
        mean,
        variance,
        detection,
        totals,
        log_variance_at_mean,
        detection_at_mean,
    } = distance;
    [
        mean,
        variance,
        detection,
        totals,
        log_variance_at_mean,
        detection_at_mean,
    ]
    .into_iter()
    .fold(0.0, f64::max)
}

#[test]
fn marginals_are_over_the_columns_at_hand() {
    let found = Marginals::of(&matrix(&[&[0.0, 3.0, 0.0], &[2.0, 5.0, 0.0], &[1.0, 4.0, 0.0]])).unwrap();
    assert_eq!(found.mean(), [1.0, 4.0, 0.0]);
    assert_eq!(found.variance(), [1.0, 1.0, 0.0]);
    assert_eq!(found.detection(), [2.0 / 3.0, 1.0, 0.0]);
    assert_eq!(found.totals(), [3.0, 7.0, 5.0]);
    assert_eq!(found.overdispersion(), [Some(0.0), Some(-3.0 / 16.0), None]);
    let poisson = found.detection_by_moments();
    let close = |gene: usize, expected: f64| assert!((poisson[gene] - expected).abs() < 1e-12);
    close(0, 1.0 - (-1.0f64).exp());
    close(1, 1.0 - (-4.0f64).exp());
    close(2, 0.0);
}

#[test]
fn distances_are_those_of_a_small_example() {
    let aim = |mean: &[f64], variance: &[f64], detection: &[f64], totals: &[f64]| {
        Marginals::new(
            mean.to_vec(),
            variance.to_vec(),
            detection.to_vec(),
            totals.to_vec(),
        )
        .unwrap()
    };
    let a = aim(&[1.0, 2.0], &[1.0, 4.0], &[0.5, 0.7], &[1.0, 2.0, 3.0]);
    let b = aim(
        &[1.0, 2.0],
        &[std::f64::consts::E, 9.0],
        &[0.5, 0.9],
        &[2.0, 2.5, 4.0],
    );
    let found = a.distance(&b);
    // Of two genes a curve has one point, the mean of both.
    let log_variance = (4.0f64.ln() - 1.0 - 9.0f64.ln()) / 2.0;
    let expected = Distance {
        mean: 0.0,
        variance: 0.5,
        detection: 0.5,
        totals: 1.0 / 3.0,
        log_variance_at_mean: log_variance.abs(),
        detection_at_mean: 0.1,
    };
    let pairs = [
        (found.mean, expected.mean),
        (found.variance, expected.variance),
        (found.detection, expected.detection),
        (found.totals, expected.totals),
        (found.log_variance_at_mean, expected.log_variance_at_mean),
        (found.detection_at_mean, expected.detection_at_mean),
    ];
    for (found, expected) in pairs {
        assert!((found - expected).abs() < 1e-12, "{found} for {expected}");
    }
}

#[test]
fn two_moments_tell_the_detection_of_negative_binomial_genes() {
    let quiet = WorldParams {
        n_programmes: 0,
        state_shift: (0.0, 0.0),
        tf_noise: 0.0,
        ..WorldParams::new("quiet")
    };
    let screen = ScreenParams {
        depth_sd: 0.0,
        donor_sd: 0.0,
        batch_sd: 0.0,
        ..controls(3_000)
    };
    let found = marginals(&World::new(quiet, Seeds::new(0)).unwrap(), &screen, 0);
    for (by_moments, detection) in found.detection_by_moments().iter().zip(found.detection()) {
        // A share of 3,000 cells is known to 0.009 at most, and a variance to some 5 %.
        assert!(
            (by_moments - detection).abs() < 0.04,
            "{by_moments} for {detection}"
        );
    }
}

#[test]
fn a_calibrated_world_looks_like_cells_of_a_quite_different_one() {
    let other = WorldParams {
        n_genes: 250,
        n_tfs: 20,
        n_states: 5,
        abundance_sd: 1.2,
        dispersion: (0.5, 0.1),
        ..WorldParams::new("aimed at")
    };
    let other = World::new(other, Seeds::new(1)).unwrap();
    let deep = ScreenParams {
        depth: 1_200.0,
        depth_sd: 0.5,
        ..controls(2_000)
    };
    let aim = marginals(&other, &deep, 1);
    let again = marginals(&other, &deep, 2);
    for (n_genes, ambient) in [(250, 0.0), (250, 0.1), (180, 0.0)] {
        let params = WorldParams {
            n_genes,
            ..WorldParams::new("calibrated")
        };
        let screen = ScreenParams {
            ambient,
            ..controls(2_000)
        };
        let plain = World::new(params.clone(), Seeds::new(2)).unwrap();
        let (world, seen) = World::calibrated(params, screen.clone(), &aim, Seeds::new(2)).unwrap();
        assert_eq!(plain.network(), world.network());
        let far = aim.distance(&marginals(&plain, &screen, 3));
        let near = aim.distance(&marginals(&world, &seen, 3));
        // As near as another draw of the same cells, plus what the draw of three donors does to the means of genes.
        let bound = largest(aim.distance(&again)) + 0.08;
        let total = |marginals: &Marginals| marginals.totals().iter().sum::<f64>() / 2_000.0;
        if n_genes == 250 {
            assert!((total(&marginals(&world, &seen, 3)) / total(&aim) - 1.0).abs() < 0.1);
            assert!(largest(near) < bound, "{near:?}");
        } else {
            // Of fewer genes the totals are smaller.
            assert!(near.mean < bound && near.detection_at_mean < bound, "{near:?}");
            assert!(
                near.variance < bound && near.log_variance_at_mean < bound,
                "{near:?}"
            );
        }
        assert!(far.mean > 3.0 * near.mean && far.detection > 3.0 * near.detection);
    }
}

#[test]
fn genes_that_vary_too_much_are_held_back_and_so_are_their_responses() {
    // Poisson counts at one depth: nothing is left for the world's own variation.
    let quiet = WorldParams {
        n_programmes: 0,
        state_shift: (0.0, 0.0),
        tf_noise: 0.0,
        dispersion: (0.0, 0.0),
        ..WorldParams::new("quiet")
    };
    let still = ScreenParams {
        depth: 3_000.0,
        depth_sd: 0.0,
        donor_sd: 0.0,
        batch_sd: 0.0,
        ..controls(2_000)
    };
    let aim = marginals(&World::new(quiet, Seeds::new(1)).unwrap(), &still, 1);
    let screen = ScreenParams {
        batch_sd: 0.0,
        n_perturbed_tfs: 5,
        ..controls(500)
    };
    let params = WorldParams::new("lively");
    let plain = World::new(params.clone(), Seeds::new(2)).unwrap();
    assert!(plain.gain().iter().all(|&gain| gain == 1.0));
    let (world, seen) = World::calibrated(params, screen, &aim, Seeds::new(2)).unwrap();
    assert!(seen.depth_sd < 0.1, "{}", seen.depth_sd);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    assert!(mean(world.gain()) < 0.4, "{}", mean(world.gain()));
    let response = |world: &World| {
        let changes = world.screen(&seen, Seeds::new(3)).unwrap().log_fold_changes;
        changes.iter().map(|change| change.abs()).sum::<f64>() / changes.len() as f64
    };
    assert!(response(&world) < 0.5 * response(&plain));
    let found = marginals(&world, &seen, 3);
    let excess = found.overdispersion().into_iter().zip(found.mean());
    let well_seen: Vec<f64> = excess
        .filter(|(_, mean)| **mean > 5.0)
        .map(|(o, _)| o.unwrap())
        .collect();
    assert!(
        well_seen.len() > 50 && mean(&well_seen) < 0.05,
        "{}",
        mean(&well_seen)
    );
}

#[test]
fn what_cannot_be_marginals_is_refused() {
    let error = Marginals::new(vec![1.0, 2.0], vec![1.0], vec![0.5, 0.5], vec![1.0, 2.0]).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Length {
                what: "variance",
                found: 1,
                expected: 2
            }
        ),
        "{error}"
    );
    let of_gene = |mean, variance, detection, totals: &[f64]| {
        Marginals::new(vec![mean], vec![variance], vec![detection], totals.to_vec()).unwrap_err()
    };
    for (name, error) in [
        ("mean", of_gene(f64::NAN, 1.0, 0.5, &[1.0, 2.0])),
        ("variance", of_gene(1.0, -1.0, 0.5, &[1.0, 2.0])),
        ("detection", of_gene(1.0, 1.0, 1.5, &[1.0, 2.0])),
        ("totals", of_gene(1.0, 1.0, 0.5, &[1.0, f64::INFINITY])),
        (
            "the number of genes that vary",
            of_gene(0.0, 0.0, 0.0, &[0.0, 0.0]),
        ),
        ("the number of cells", of_gene(1.0, 1.0, 0.5, &[1.0])),
        ("n_cells", Marginals::of(&matrix(&[&[1.0, 0.0]])).unwrap_err()),
    ] {
        assert!(
            matches!(error, Error::Parameter { parameter, .. } if parameter == name),
            "{name}: {error}"
        );
    }
}

proptest! {
    #[test]
    fn distances_are_of_the_same_kind_for_any_marginals(
        a in prop::collection::vec((0.01..100.0f64, 0.01..100.0f64, 0.0..=1.0f64), 2..40),
        b in prop::collection::vec((0.01..100.0f64, 0.01..100.0f64, 0.0..=1.0f64), 2..40),
    ) {
        let marginals = |genes: &[(f64, f64, f64)]| {
            let totals = genes.iter().map(|gene| gene.0 + gene.1).collect();
            let column = |of: fn(&(f64, f64, f64)) -> f64| genes.iter().map(of).collect();
            Marginals::new(column(|g| g.0), column(|g| g.1), column(|g| g.2), totals).unwrap()
        };
        let (a, b) = (marginals(&a), marginals(&b));
        prop_assert_eq!(largest(a.distance(&a)), 0.0);
        let (there, back) = (a.distance(&b), b.distance(&a));
        for (there, back) in [
            (there.mean, back.mean),
            (there.variance, back.variance),
            (there.detection, back.detection),
            (there.totals, back.totals),
        ] {
            prop_assert!(there == back && (0.0..=1.0).contains(&there));
        }
        prop_assert!(there.log_variance_at_mean >= 0.0 && (0.0..=1.0).contains(&there.detection_at_mean));
    }
}
