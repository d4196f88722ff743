//! Scores and error rates on cells whose edges are known.

use ndarray::{Array2, Axis, Ix1, Ix2};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use scfm_core::Seeds;
use scfm_cssi::benchmark::{PublishedRow, Recovered, clusters};
use scfm_cssi::{
    Aggregator, CrossFit, Discoveries, Error, Estimates, StateParams, StateSearch, Strata, StrataModel,
    adaptive, closed_form_p, correlations_by_stratum, cross_fitted, cross_fitted_soft, fisher_z, likeliest,
    memberships, permutation_p, shuffled_labels,
};
use scfm_synth::{MixtureParams, Separation, StateMixture};

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    rng.sample(rand_distr::StandardNormal)
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    values.sum::<f64>() / n
}

/// Estimates of edges in `n_strata` strata, of which `effect` gives the true values, and over all cells, where an edge has the mean
/// of them.
fn estimates(
    n_strata: usize,
    n_edges: usize,
    error: f64,
    seed: u64,
    effect: impl Fn(usize, usize) -> f64,
) -> (Estimates<Ix1>, Estimates<Ix2>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let values = Array2::from_shape_fn((n_strata, n_edges), |(k, e)| {
        effect(k, e) + error * normal(&mut rng)
    });
    let within = Estimates {
        standard_errors: Array2::from_elem(values.dim(), error),
        values,
    };
    (over_all(&within), within)
}

fn over_all(within: &Estimates<Ix2>) -> Estimates<Ix1> {
    let root = (within.values.nrows() as f64).sqrt();
    Estimates {
        values: within.values.mean_axis(Axis(0)).unwrap(),
        standard_errors: &within.standard_errors.row(0) / root,
    }
}

#[test]
fn where_strata_are_nothing_the_order_is_that_of_all_cells() {
    let (pooled, within) = estimates(6, 200, 0.1, 1, |_, edge| if edge < 40 { 0.3 } else { 0.0 });
    let found = adaptive(&pooled, &within, -5.0).unwrap();
    assert_eq!(found.model, StrataModel::Pooled);
    assert!(found.strata_matter < 0.05, "{}", found.strata_matter);
    let mut order: Vec<usize> = (0..200).collect();
    order.sort_by(|&a, &b| pooled.values[a].abs().total_cmp(&pooled.values[b].abs()));
    assert!(order.is_sorted_by(|&a, &b| found.scores[a] < found.scores[b]));
    assert!(found.shares[0] > 0.5 && found.shares[1] > 0.1);
    assert_eq!(found.shares[2..], [0.0, 0.0]);
}

#[test]
fn where_strata_shift_means_edges_are_looked_for_within() {
    // Over all cells, shifts correlate every other pair.
    let (mut pooled, within) = estimates(6, 200, 0.1, 1, |_, edge| if edge < 40 { 0.3 } else { 0.0 });
    pooled.values.iter_mut().step_by(2).for_each(|z| *z += 0.3);
    let truth: Vec<bool> = (0..200).map(|edge| edge < 40).collect();
    let found = adaptive(&pooled, &within, 5.0).unwrap();
    assert_eq!(found.model, StrataModel::Shared);
    assert!(found.effects_differ < 0.05 && found.strata_matter > 0.99);
    assert!(scfm_stats::auroc(&found.scores, &truth).unwrap() > 0.99);
    let by_all = adaptive(&pooled, &within, -5.0).unwrap();
    assert!(scfm_stats::auroc(&by_all.scores, &truth).unwrap() < 0.9);
    assert!(matches!(
        adaptive(&pooled, &within, f64::NAN),
        Err(Error::OutOfRange { .. })
    ));
}

#[test]
fn where_an_effect_is_of_one_stratum_it_is_found_there() {
    let (pooled, within) = estimates(
        8,
        200,
        0.1,
        2,
        |k, edge| if edge < 40 && edge % 8 == k { 0.5 } else { 0.0 },
    );
    let found = adaptive(&pooled, &within, -5.0).unwrap();
    assert_eq!(found.model, StrataModel::Specific);
    assert!(found.effects_differ > 0.99 && found.strata_matter > 0.99);
    assert!(found.shares[2] > 0.1, "{:?}", found.shares);
    let truth: Vec<bool> = (0..200).map(|edge| edge < 40).collect();
    let auroc = scfm_stats::auroc(&found.scores, &truth).unwrap();
    let means: Vec<f64> = pooled.values.iter().map(|mean| mean.abs()).collect();
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
        let (pooled, within) = estimates(5, 100, 0.2, seed, |_, _| 0.0);
        let found = adaptive(&pooled, &within, -5.0).unwrap();
        assert_eq!(found.model, StrataModel::Pooled, "{}", found.strata_matter);
        below += found.null_probability.iter().filter(|&&p| p < 0.1).count();
    }
    assert!(below <= 4, "{below} of 2,000 edges");
}

#[test]
fn strata_that_an_edge_was_not_seen_in_do_not_count() {
    let (pooled, mut within) = estimates(
        4,
        60,
        0.1,
        3,
        |k, edge| if edge < 20 && k == 0 { 0.6 } else { 0.0 },
    );
    within.values.column_mut(59).fill(f64::NAN);
    within.values[[2, 0]] = f64::NAN;
    let found = adaptive(&pooled, &within, -5.0).unwrap();
    assert_eq!(found.model, StrataModel::Specific);
    assert!(found.scores[59].is_nan() && found.null_probability[59].is_nan());
    assert!(found.scores[0].is_finite() && found.null_probability[0] < 0.1);
    // The order of strata says nothing.
    let mut turned = within.clone();
    turned.values.invert_axis(Axis(0));
    let again = adaptive(&pooled, &turned, -5.0).unwrap();
    for (a, b) in found
        .scores
        .iter()
        .zip(&again.scores)
        .filter(|(a, _)| !a.is_nan())
    {
        assert!((a - b).abs() < 1e-6, "{a} against {b}");
    }
    let mut wrong = within.clone();
    wrong.standard_errors[[0, 0]] = 0.0;
    assert!(matches!(
        adaptive(&pooled, &wrong, -5.0),
        Err(Error::OutOfRange { .. })
    ));
    let few = Estimates {
        values: pooled.values.slice(ndarray::s![..9]).to_owned(),
        standard_errors: pooled.standard_errors.slice(ndarray::s![..9]).to_owned(),
    };
    assert!(matches!(adaptive(&few, &within, -5.0), Err(Error::Length { .. })));
    within.values.fill(f64::NAN);
    assert!(matches!(
        adaptive(&pooled, &within, -5.0),
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
        // Where strata are nothing, scores are those of all cells.
        for row in rows
            .iter()
            .flat_map(|row| [&row.shuffled, &row.random, &row.cross_fitted])
        {
            assert_eq!(row.model, StrataModel::Pooled);
            assert_eq!(row.adaptive, row.pooled);
        }
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
fn shuffled_states_are_left_alone_and_known_ones_used() {
    let (mut used, mut gains) = (0, Vec::new());
    for index in 0..20 {
        let params = MixtureParams::new(4, 100);
        let mixture =
            StateMixture::identifiable(&params, Separation::default(), Seeds::new(4), index).unwrap();
        let known = Recovered::within(&mixture, &mixture.states).unwrap();
        assert_eq!(known.model, StrataModel::Specific);
        gains.push(known.adaptive.auroc - known.pooled.auroc);
        let mut rng = Seeds::new(4).stream("test", "shuffled", index);
        let shuffled = Recovered::within(&mixture, &shuffled_labels(&mixture.states, &mut rng)).unwrap();
        match shuffled.model {
            StrataModel::Pooled => assert_eq!(shuffled.adaptive, shuffled.pooled),
            _ => used += 1,
        }
    }
    assert!(used <= 1, "{used} of 20");
    assert!(mean(gains.iter().copied()) > 0.05, "{gains:?}");
}

#[test]
fn edges_that_all_states_share_are_found_behind_shifts_of_means() {
    let params = MixtureParams {
        shared: 14,
        private: 0,
        strength: 0.25,
        ..MixtureParams::new(4, 100)
    };
    let separation = Separation {
        pairs: 0.5,
        ..Separation::default()
    };
    let mut gains = Vec::new();
    for index in 0..6 {
        let mixture = StateMixture::identifiable(&params, separation, Seeds::new(5), index).unwrap();
        let stream = |purpose| Seeds::new(5).stream("test", purpose, index);
        let find = |genes: &[usize]| clusters(&mixture, genes, 4, &mut stream("k-means"));
        let found = Recovered::cross_fitted(&mixture, 10, find, &mut stream("parts")).unwrap();
        assert_ne!(found.model, StrataModel::Pooled);
        gains.push(found.adaptive.auroc - found.pooled.auroc);
    }
    assert!(mean(gains.iter().copied()) > 0.04, "{gains:?}");
}

#[test]
fn clusters_cut_out_of_co_expression_are_no_states() {
    // One state, in which half of the pairs are edges; clusters shift the means of all genes all the same.
    let params = MixtureParams {
        shared: 60,
        private: 0,
        strength: 0.3,
        ..MixtureParams::new(1, 400)
    };
    let separation = Separation {
        markers: 0.0,
        ..Separation::default()
    };
    for index in 0..6 {
        let mixture = StateMixture::identifiable(&params, separation, Seeds::new(8), index).unwrap();
        let stream = |purpose| Seeds::new(8).stream("test", purpose, index);
        let find = |genes: &[usize]| clusters(&mixture, genes, 4, &mut stream("k-means"));
        let (expression, pairs) = (mixture.expression.view(), &mixture.pairs);
        let fitted =
            cross_fitted(expression, pairs, CrossFit::default(), find, &mut stream("parts")).unwrap();
        assert!(
            fitted.shift.steps > 0.0 && fitted.shift.evidence() < -50.0,
            "{:?}",
            fitted.shift
        );
        let found = Recovered::cross_fitted(&mixture, 10, find, &mut stream("parts")).unwrap();
        assert_eq!(found.adaptive, found.pooled);
    }
}

#[test]
fn cells_that_belong_to_one_state_wholly_are_as_labelled_ones() {
    let params = MixtureParams::new(3, 60);
    let mixture = StateMixture::identifiable(&params, Separation::default(), Seeds::new(6), 0).unwrap();
    let one = |state: usize, at: usize| f64::from(u8::from(state == at));
    let wholly = Array2::from_shape_fn((180, 3), |(cell, at)| one(mixture.states[cell], at));
    let rng = || ChaCha8Rng::seed_from_u64(0);
    let soft = Recovered::cross_fitted_soft(&mixture, 5, |_| Ok(wholly.clone()), &mut rng()).unwrap();
    let hard = Recovered::cross_fitted(&mixture, 5, |_| Ok(mixture.states.clone()), &mut rng()).unwrap();
    assert_eq!((soft.model, soft.pooled), (hard.model, hard.pooled));
    // Ranks over all cells and ranks within states order edges all but alike.
    assert!((soft.adaptive.auroc - hard.adaptive.auroc).abs() < 0.02);
    // Cells that belong to all states alike make every state all cells.
    let flat = Array2::from_elem((180, 3), 1.0 / 3.0);
    let soft = Recovered::cross_fitted_soft(&mixture, 5, |_| Ok(flat.clone()), &mut rng()).unwrap();
    assert_eq!((soft.model, soft.adaptive), (StrataModel::Pooled, soft.pooled));
}

#[test]
fn threads_change_no_bit_of_strata_and_scores() {
    let params = MixtureParams::new(3, 60);
    let mixture = StateMixture::identifiable(&params, Separation::default(), Seeds::new(9), 0).unwrap();
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let (expression, pairs) = (mixture.expression.view(), &mixture.pairs);
            let find = |genes: &[usize]| {
                let labels = clusters(&mixture, genes, 3, &mut ChaCha8Rng::seed_from_u64(1))?;
                memberships(mixture.expression.select(Axis(1), genes).view(), &labels)
            };
            let mut rng = ChaCha8Rng::seed_from_u64(2);
            let found = cross_fitted_soft(expression, pairs, CrossFit::default(), find, &mut rng).unwrap();
            let z = fisher_z(found.correlations.view(), found.sizes.view());
            let pooled = Estimates {
                values: z.values.row(0).to_owned(),
                standard_errors: z.standard_errors.row(0).to_owned(),
            };
            let scores = adaptive(&pooled, &z, found.shift.evidence()).unwrap().scores;
            (
                found.shift,
                scores.into_iter().map(f64::to_bits).collect::<Vec<_>>(),
            )
        })
    };
    assert_eq!(on(1), on(3));
}

#[test]
fn a_mixture_of_gaussians_finds_more_of_the_states_than_the_clusters_it_starts_from() {
    let separation = Separation {
        markers: 1.0,
        ..Separation::default()
    };
    let (mut before, mut after) = (0, 0);
    for index in 0..6 {
        let params = MixtureParams::new(4, 100);
        let mixture = StateMixture::identifiable(&params, separation, Seeds::new(7), index).unwrap();
        let search = StateSearch::new(mixture.expression.view(), StateParams::default(), 0).unwrap();
        let genes: Vec<usize> = (0..mixture.expression.ncols()).collect();
        let found = search.by(&genes).unwrap();
        let refined = likeliest(memberships(mixture.expression.view(), &found).unwrap().view());
        let together = |labels: &[usize]| {
            // Cells in the commonest state of their cluster.
            let mut counts = Array2::<usize>::zeros((1 + labels.iter().max().unwrap(), 4));
            for (&label, &state) in labels.iter().zip(&mixture.states) {
                counts[[label, state]] += 1;
            }
            counts.map_axis(Axis(1), |row| *row.iter().max().unwrap()).sum()
        };
        before += together(&found);
        after += together(&refined);
    }
    assert!(after > before + 6 * 20, "{after} after {before} of 2,400");
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
        within.map_axis(Axis(0), |r| r.iter().fold(0.0_f64, |m, r| m.max(r.abs())))
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
    let z = fisher_z(within.view(), Array2::from_elem(within.dim(), 40.0).view());
    let variance = (&z.values / &z.standard_errors).mapv(|x| x * x).mean().unwrap();
    // 900 squares, SD √2 each.
    assert!((variance - 1.0).abs() < 4.0 * 2.0_f64.sqrt() / 30.0, "{variance}");
    let z = fisher_z(
        ndarray::array![[1.0, 0.2]].view(),
        ndarray::array![[10.0, 3.0]].view(),
    );
    assert!(z.values[[0, 0]].is_finite());
    assert!(z.values[[0, 1]].is_nan() && z.standard_errors[[0, 1]].is_nan());
}
