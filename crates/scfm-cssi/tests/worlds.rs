//! Scores and error rates on cells whose edges are known.

use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use scfm_core::Seeds;
use scfm_cssi::benchmark::{PublishedRow, Recovered, clusters};
use scfm_cssi::{
    Aggregator, CrossFit, Discoveries, Error, Strata, adaptive, closed_form_p, correlations_by_stratum,
    cross_fitted, fisher_z, permutation_p,
};
use scfm_synth::{MixtureParams, Separation, StateMixture};

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    rng.sample(rand_distr::StandardNormal)
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    values.sum::<f64>() / n
}

/// Estimates of edges in `n_strata` strata, of which `effect` gives the true values.
fn estimates(
    n_strata: usize,
    n_edges: usize,
    error: f64,
    seed: u64,
    effect: impl Fn(usize, usize) -> f64,
) -> [Array2<f64>; 2] {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let z = Array2::from_shape_fn((n_strata, n_edges), |(k, e)| {
        effect(k, e) + error * normal(&mut rng)
    });
    let errors = Array2::from_elem(z.dim(), error);
    [z, errors]
}

#[test]
fn where_effects_are_the_same_in_all_strata_the_order_is_that_of_their_mean() {
    let [z, errors] = estimates(6, 200, 0.1, 1, |_, edge| if edge < 40 { 0.3 } else { 0.0 });
    let found = adaptive(z.view(), errors.view()).unwrap();
    assert!(found.strata_matter < 0.05, "{}", found.strata_matter);
    let means: Vec<f64> = z
        .mean_axis(ndarray::Axis(0))
        .unwrap()
        .iter()
        .map(|m| m.abs())
        .collect();
    let order = scfm_stats::spearman(&means, &found.scores).unwrap().effect;
    assert!(order > 0.98, "{order}");
    assert!(found.shares[0] > 0.5 && found.shares[1] > 0.1);
}

#[test]
fn where_an_effect_is_of_one_stratum_it_is_found_there() {
    let [z, errors] = estimates(
        8,
        200,
        0.1,
        2,
        |k, edge| if edge < 40 && edge % 8 == k { 0.5 } else { 0.0 },
    );
    let found = adaptive(z.view(), errors.view()).unwrap();
    assert!(found.strata_matter > 0.99);
    assert!(found.shares[2] > 0.1, "{:?}", found.shares);
    let truth: Vec<bool> = (0..200).map(|edge| edge < 40).collect();
    let auroc = scfm_stats::auroc(&found.scores, &truth).unwrap();
    let means: Vec<f64> = z
        .mean_axis(ndarray::Axis(0))
        .unwrap()
        .iter()
        .map(|m| m.abs())
        .collect();
    assert!(auroc > 0.98 && auroc > scfm_stats::auroc(&means, &truth).unwrap() + 0.05);
    // Among the edges given up to a tenth of being nothing, fewer than a fifth are.
    let taken = || (0..200).filter(|&edge| found.null_probability[edge] < 0.1);
    let wrong = taken().filter(|&edge| !truth[edge]).count();
    assert!(taken().count() > 25 && wrong * 5 < taken().count());
}

#[test]
fn nothing_is_found_in_nothing() {
    let mut below = 0;
    for seed in 0..20 {
        let [z, errors] = estimates(5, 100, 0.2, seed, |_, _| 0.0);
        let found = adaptive(z.view(), errors.view()).unwrap();
        assert!(found.strata_matter < 0.5, "{}", found.strata_matter);
        below += found.null_probability.iter().filter(|&&p| p < 0.1).count();
    }
    assert!(below <= 4, "{below} of 2,000 edges");
}

#[test]
fn strata_that_an_edge_was_not_seen_in_do_not_count() {
    let [mut z, errors] = estimates(
        4,
        60,
        0.1,
        3,
        |k, edge| if edge < 20 && k == 0 { 0.6 } else { 0.0 },
    );
    z.column_mut(59).fill(f64::NAN);
    z[[2, 0]] = f64::NAN;
    let found = adaptive(z.view(), errors.view()).unwrap();
    assert!(found.scores[59].is_nan() && found.null_probability[59].is_nan());
    assert!(found.scores[0].is_finite() && found.null_probability[0] < 0.1);
    // The order of strata says nothing.
    let mut turned = z.clone();
    turned.invert_axis(ndarray::Axis(0));
    let again = adaptive(turned.view(), errors.view()).unwrap();
    for (a, b) in found
        .scores
        .iter()
        .zip(&again.scores)
        .filter(|(a, _)| !a.is_nan())
    {
        assert!((a - b).abs() < 1e-6, "{a} against {b}");
    }
    let mut wrong = errors.clone();
    wrong[[0, 0]] = 0.0;
    assert!(matches!(
        adaptive(z.view(), wrong.view()),
        Err(Error::OutOfRange { .. })
    ));
    z.fill(f64::NAN);
    assert!(matches!(
        adaptive(z.view(), errors.view()),
        Err(Error::OutOfRange { .. })
    ));
}

#[test]
fn adaptive_scores_keep_up_with_the_better_of_pooling_and_maximum() {
    // AUROC lost against the better one, in the mean of ten draws.
    const LOSS: f64 = 0.02;
    for (n_states, cells) in [(4, 100), (12, 125)] {
        let rows: Vec<PublishedRow> = (0..10)
            .map(|seed| PublishedRow::draw(n_states, cells, seed).unwrap())
            .collect();
        let auroc = |of: &dyn Fn(&PublishedRow) -> f64| mean(rows.iter().map(of));
        let pooled = auroc(&|row| row.known.pooled.auroc);
        let known_max = auroc(&|row| row.known.by(Aggregator::Max).auroc);
        assert!(auroc(&|row| row.known.adaptive.auroc) > known_max - LOSS);
        assert!(auroc(&|row| row.shuffled.adaptive.auroc) > pooled - LOSS);
        assert!(auroc(&|row| row.cross_fitted.adaptive.auroc) > pooled - LOSS);
        // The published maximum loses far more where states are clusters of the genes themselves, and so would any score.
        assert!(auroc(&|row| row.k_means.by(Aggregator::Max).auroc) < pooled - 0.15);
        assert!(auroc(&|row| row.k_means.adaptive.auroc) < pooled - 0.1);
        assert!(mean(rows.iter().map(|row| row.cross_fitted.strata_matter)) < 0.2);
    }
}

#[test]
fn states_that_can_be_found_pay_without_their_labels() {
    let separation = Separation::default();
    let mut gains = Vec::new();
    for index in 0..6 {
        let params = MixtureParams::new(4, 100);
        let mixture = StateMixture::identifiable(&params, separation, Seeds::new(3), index).unwrap();
        let stream = |purpose| Seeds::new(3).stream("test", purpose, index);
        let find = |genes: &[usize]| clusters(&mixture, genes, 4, &mut stream("k-means"));
        let found =
            Recovered::cross_fitted(&mixture, CrossFit::default().n_folds, find, &mut stream("parts"))
                .unwrap();
        gains.push(found.adaptive.auroc - found.pooled.auroc);
    }
    assert!(mean(gains.iter().copied()) > 0.04, "{gains:?}");
}

#[test]
fn states_of_a_pair_are_found_without_its_genes() {
    let params = MixtureParams::new(2, 40);
    let mixture = StateMixture::identifiable(&params, Separation::default(), Seeds::new(0), 0).unwrap();
    let pairs = [(0, 7), (1, 8), (0, 8)];
    let asked = std::sync::Mutex::new(Vec::new());
    let find = |genes: &[usize]| {
        asked.lock().unwrap().push(genes.to_vec());
        Ok(mixture.states.clone())
    };
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let fitted = cross_fitted(
        mixture.expression.view(),
        &pairs,
        CrossFit::default(),
        find,
        &mut rng,
    )
    .unwrap();
    let asked = asked.into_inner().unwrap();
    assert_eq!(asked.len(), fitted.n_searches);
    for (a, b) in pairs {
        assert!(
            asked
                .iter()
                .any(|genes| !genes.contains(&a) && !genes.contains(&b))
        );
    }
    // Where the search always gives the same states, nothing else differs from correlations within them.
    let strata = Strata::new(&mixture.states, 20).unwrap();
    let expected = correlations_by_stratum(mixture.expression.view(), &pairs, &strata).unwrap();
    assert_eq!(fitted.correlations, expected);
    assert!(fitted.sizes.iter().all(|&size| size == 40.0));
    let few = CrossFit {
        n_folds: 2,
        ..CrossFit::default()
    };
    let states = |_: &[usize]| Ok(mixture.states.clone());
    assert!(matches!(
        cross_fitted(mixture.expression.view(), &pairs, few, states, &mut rng),
        Err(Error::OutOfRange { .. })
    ));
}

/// p-values of one draw in both ways.
fn p_values(mixture: &StateMixture, labels: &[usize], n_permutations: usize) -> (Vec<f64>, Vec<f64>) {
    let strata = Strata::new(labels, 5).unwrap();
    let expression = mixture.expression.view();
    let rng_of = |permutation| Seeds::new(0).stream("test", "permutation", permutation);
    let permuted = permutation_p(expression, &mixture.pairs, &strata, n_permutations, rng_of).unwrap();
    let within = correlations_by_stratum(expression, &mixture.pairs, &strata).unwrap();
    let sizes = strata.sizes();
    let sizes = Array2::from_shape_fn(within.dim(), |(stratum, _)| sizes[stratum] as f64);
    (permuted, closed_form_p(within.view(), sizes.view()).unwrap())
}

#[test]
fn permutations_and_the_closed_form_agree_and_hold_their_rates() {
    let (mut false_rate, mut power, mut nulls) = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..8 {
        let params = MixtureParams::new(5, 100);
        let mixture =
            StateMixture::identifiable(&params, Separation::default(), Seeds::new(1), index).unwrap();
        let truth = mixture.truth();
        let (permuted, closed) = p_values(&mixture, &mixture.states, 499);
        for ((a, b), is_edge) in permuted.iter().zip(&closed).zip(&truth) {
            // 499 permutations know a p-value of a half to 0.022; the normal tail of Fisher's z adds its own.
            assert!((a - b).abs() < 0.12, "{a} against {b}");
            if !is_edge {
                nulls.push(*a);
            }
        }
        for p in [permuted, closed] {
            let found = Discoveries::at(0.1, &p, &truth).unwrap();
            false_rate.push(found.false_rate);
            power.push(found.power);
        }
    }
    // Means of 16 rates of some 16 discoveries each.
    assert!(mean(false_rate.iter().copied()) < 0.15, "{false_rate:?}");
    assert!(mean(power.iter().copied()) > 0.9, "{power:?}");
    let below = nulls.iter().filter(|&&p| p <= 0.1).count() as f64 / nulls.len() as f64;
    // 880 p-values, those of one draw dependent.
    assert!((below - 0.1).abs() < 0.04, "{below}");
    assert!(nulls.iter().all(|&p| p >= 1.0 / 500.0));
}

#[test]
fn permutation_counts_are_those_of_a_loop() {
    let params = MixtureParams {
        n_genes: 4,
        n_tfs: 2,
        shared: 1,
        private: 0,
        ..MixtureParams::new(2, 8)
    };
    let mixture = StateMixture::identifiable(
        &params,
        Separation {
            n_markers: 0,
            ..Separation::default()
        },
        Seeds::new(5),
        0,
    )
    .unwrap();
    let strata = Strata::new(&mixture.states, 2).unwrap();
    let rng_of = |permutation| Seeds::new(2).stream("test", "order", permutation);
    let p = permutation_p(mixture.expression.view(), &mixture.pairs, &strata, 50, rng_of).unwrap();
    let largest = |expression: &Array2<f64>| {
        let within = correlations_by_stratum(expression.view(), &mixture.pairs, &strata).unwrap();
        within.map_axis(ndarray::Axis(0), |r| {
            r.iter().fold(0.0_f64, |m, r| m.max(r.abs()))
        })
    };
    let observed = largest(&mixture.expression);
    let mut exceeding = vec![0; mixture.pairs.len()];
    for permutation in 0..50 {
        let mut rng = rng_of(permutation);
        let mut moved = mixture.expression.clone();
        for stratum in 0..2 {
            let cells = strata.cells(stratum);
            let mut order: Vec<usize> = (0..cells.len()).collect();
            for last in (1..order.len()).rev() {
                order.swap(last, rng.random_range(0..=last));
            }
            for (at, &cell) in cells.iter().enumerate() {
                for tf in 0..2 {
                    moved[[cell, tf]] = mixture.expression[[cells[order[at]], tf]];
                }
            }
        }
        for ((count, null), observed) in exceeding.iter_mut().zip(largest(&moved)).zip(&observed) {
            *count += usize::from(null >= *observed);
        }
    }
    let expected: Vec<f64> = exceeding.iter().map(|&count| (1 + count) as f64 / 51.0).collect();
    assert_eq!(p, expected);
}

#[test]
fn fisher_z_has_the_spread_that_its_errors_say() {
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let expression = Array2::from_shape_simple_fn((4_000, 6), || normal(&mut rng));
    let labels: Vec<usize> = (0..4_000).map(|cell| cell / 40).collect();
    let strata = Strata::new(&labels, 4).unwrap();
    let pairs: Vec<(usize, usize)> = (0..3).flat_map(|a| (3..6).map(move |b| (a, b))).collect();
    let within = correlations_by_stratum(expression.view(), &pairs, &strata).unwrap();
    let (z, errors) = fisher_z(within.view(), Array2::from_elem(within.dim(), 40.0).view());
    let variance = (&z / &errors).mapv(|x| x * x).mean().unwrap();
    // 900 squares, SD √2 each.
    assert!((variance - 1.0).abs() < 4.0 * 2.0_f64.sqrt() / 30.0, "{variance}");
    let (z, errors) = fisher_z(
        ndarray::array![[1.0, 0.2]].view(),
        ndarray::array![[10.0, 3.0]].view(),
    );
    assert!(z[[0, 0]].is_finite() && z[[0, 1]].is_nan() && errors[[0, 1]].is_nan());
}
