//! What holds of any input, and agreement with slow versions.

use ndarray::{Array1, Array2, Axis, array};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use scfm_cssi::{
    Aggregator, Communities, Covariance, Error, Estimates, Graph, Measure, Scanned, Strata, StrataModel,
    adaptive, correlations, correlations_by_stratum, expected_largest, f1_at, k_means, leiden, mean_shifts,
    nearest_neighbours, random_labels, shuffled_labels, weighted_correlations,
};

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    rng.sample(rand_distr::StandardNormal)
}

fn cloud(n: usize, d: usize, seed: u64) -> Array2<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_simple_fn((n, d), || normal(&mut rng))
}

/// All distances of a row, sorted; equal ones in the order of cells.
fn by_sorting(points: &Array2<f64>, row: usize, n: usize) -> Vec<(f64, u32)> {
    let mut all: Vec<(f64, u32)> = (0..points.nrows())
        .filter(|&cell| cell != row)
        .map(|cell| {
            let (a, b) = (points.row(row), points.row(cell));
            let squares = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b));
            (squares.sum::<f64>().sqrt(), cell as u32)
        })
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all.truncate(n);
    all
}

fn assert_exact(points: &Array2<f64>, k: usize) {
    let found = nearest_neighbours(points.view(), k).unwrap();
    for row in 0..points.nrows() {
        let expected = by_sorting(points, row, k - 1);
        let found: Vec<(f64, u32)> = found
            .distances
            .row(row)
            .iter()
            .copied()
            .zip(found.cells.row(row).iter().copied())
            .collect();
        assert_eq!(found, expected, "neighbours of {row}");
    }
}

proptest! {
    #[test]
    fn neighbours_are_those_found_by_sorting(n in 2usize..150, d in 1usize..6, levels in 1u8..5, seed: u64) {
        // Few levels make many ties and many equal cells.
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let points = Array2::from_shape_simple_fn((n, d), || f64::from(rng.random_range(0..=levels)));
        assert_exact(&points, 2 + seed as usize % (n - 1));
    }

    #[test]
    fn correlations_are_those_of_one_pair_at_a_time(n in 2usize..40, levels in 1u8..30, seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let expression = Array2::from_shape_simple_fn((n, 5), || f64::from(rng.random_range(0..=levels)));
        let pairs: Vec<(usize, usize)> = (0..5).flat_map(|a| (0..5).map(move |b| (a, b))).collect();
        let labels = random_labels(n, 2, &mut rng);
        let strata = Strata::new(&labels, 1).unwrap();
        let found = correlations_by_stratum(expression.view(), &pairs, &strata).unwrap();
        for stratum in 0..strata.len() {
            let own = expression.select(Axis(0), strata.cells(stratum));
            let ranks: Vec<Array1<f64>> = own
                .columns()
                .into_iter()
                .map(|column| Array1::from(scfm_stats::mid_ranks(&column.to_vec()).unwrap()))
                .map(|ranks| &ranks - ranks.mean().unwrap())
                .collect();
            for (&(a, b), r) in pairs.iter().zip(found.row(stratum)) {
                let expected = ranks[a].dot(&ranks[b]) / (ranks[a].dot(&ranks[a]) * ranks[b].dot(&ranks[b])).sqrt();
                prop_assert!((r - expected).abs() < 1e-12 || (r.is_nan() && expected.is_nan()));
            }
        }
    }

    #[test]
    fn correlations_do_not_see_the_order_of_cells_nor_scales(n in 5usize..60, seed: u64) {
        let expression = cloud(n, 4, seed);
        let pairs = [(0, 1), (2, 3), (1, 3)];
        let cells: Vec<usize> = (0..n).collect();
        let before = correlations(expression.view(), &pairs, &cells).unwrap();
        let order = shuffled_labels(&cells, &mut ChaCha8Rng::seed_from_u64(!seed));
        prop_assert_eq!(&correlations(expression.view(), &pairs, &order).unwrap(), &before);
        let scaled = expression.mapv(|x| (3.0 * x).exp());
        prop_assert_eq!(correlations(scaled.view(), &pairs, &cells).unwrap(), before);
    }

    #[test]
    fn weighted_correlations_are_those_of_the_definition(n in 3usize..40, levels in 1u8..30, seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let expression = Array2::from_shape_simple_fn((n, 3), || f64::from(rng.random_range(0..=levels)));
        let weights = Array1::from_shape_simple_fn(n, || rng.random::<f64>());
        let pairs = [(0, 1), (2, 1), (0, 2)];
        let found = weighted_correlations(expression.view(), &pairs, weights.view()).unwrap();
        let mean = |x: &Array1<f64>| x.dot(&weights) / weights.sum();
        let ranks: Vec<Array1<f64>> = expression
            .columns()
            .into_iter()
            .map(|column| Array1::from(scfm_stats::mid_ranks(&column.to_vec()).unwrap()))
            .map(|ranks| &ranks - mean(&ranks))
            .collect();
        for ((a, b), r) in pairs.into_iter().zip(&found) {
            let product = |a: usize, b: usize| mean(&(&ranks[a] * &ranks[b]));
            let expected = product(a, b) / (product(a, a) * product(b, b)).sqrt();
            prop_assert!((r - expected).abs() < 1e-9 || r.is_nan(), "{r} {expected}");
        }
        let cells: Vec<usize> = (0..n).collect();
        let unweighted = correlations(expression.view(), &pairs, &cells).unwrap();
        let equal = weighted_correlations(expression.view(), &pairs, Array1::from_elem(n, 0.3).view()).unwrap();
        for (a, b) in equal.iter().zip(&unweighted) {
            prop_assert!((a - b).abs() < 1e-12 || (a.is_nan() && b.is_nan()));
        }
    }

    #[test]
    fn shifts_do_not_see_names_of_strata_nor_scales(n in 8usize..60, seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let expression = cloud(n, 4, seed);
        let labels = random_labels(n, 3, &mut rng);
        let of = |expression: &Array2<f64>, labels: &[usize]| {
            mean_shifts(expression.view(), &[0, 1], &[1, 2, 3], &Strata::new(labels, 1).unwrap()).unwrap()
        };
        let before = of(&expression, &labels);
        let renamed: Vec<usize> = labels.iter().map(|label| 9 - label).collect();
        let after = of(&expression.mapv(|x| (2.0 * x).exp()), &renamed);
        for (a, b) in before.iter().zip(&after) {
            prop_assert!((a.steps - b.steps).abs() < 1e-6 && (a.slopes - b.slopes).abs() < 1e-6, "{a:?} {b:?}");
        }
    }

    #[test]
    fn scores_are_ordered_as_their_model_says(n_strata in 1usize..6, seed: u64, shift_evidence in -9.0..9.0f64) {
        let values = 0.15 * cloud(n_strata, 40, seed);
        let standard_errors = Array2::from_elem(values.dim(), 0.1);
        // Over all cells other estimates than within strata, as where strata shift means.
        let pooled = Estimates {
            values: 0.2 * cloud(40, 1, !seed).remove_axis(Axis(1)),
            standard_errors: Array1::from_elem(40, 0.05),
        };
        let means = values.mean_axis(Axis(0)).unwrap();
        let within = Estimates { values, standard_errors };
        let found = adaptive(&pooled, &within, shift_evidence).unwrap();
        let by = match found.model {
            StrataModel::Pooled => &pooled.values,
            StrataModel::Shared => &means,
            StrataModel::Specific => return Ok(()),
        };
        prop_assert_eq!(found.model == StrataModel::Shared, shift_evidence > 0.0);
        let mut order: Vec<usize> = (0..40).collect();
        order.sort_by(|&a, &b| by[a].abs().total_cmp(&by[b].abs()));
        for neighbours in order.windows(2) {
            prop_assert!(found.scores[neighbours[0]] <= found.scores[neighbours[1]]);
        }
    }

    #[test]
    fn aggregators_keep_their_bounds(scores in prop::collection::vec(0.0..1.0f64, 4), pooled in 0.0..1.0f64) {
        let labels = [0, 0, 0, 1, 1, 2, 2, 3, 3, 3, 3];
        let strata = Strata::new(&labels, 1).unwrap();
        let column = Array2::from_shape_vec((4, 1), scores.clone()).unwrap();
        let by = |aggregator: Aggregator| aggregator.apply(column.view(), &strata, &[pooled]).unwrap()[0];
        let max = scores.iter().copied().fold(0.0, f64::max);
        let min = scores.iter().copied().fold(1.0, f64::min);
        prop_assert_eq!(by(Aggregator::Max), max);
        prop_assert_eq!(by(Aggregator::Range), max - min);
        for mean in [Aggregator::Mean, Aggregator::WeightedMean, Aggregator::PublishedMean, Aggregator::Median] {
            prop_assert!(by(mean) > min - 1e-15 && by(mean) < max + 1e-15);
        }
        // Nothing was skipped, so that the two weighted means agree.
        prop_assert!((by(Aggregator::WeightedMean) - by(Aggregator::PublishedMean)).abs() < 1e-15);
        prop_assert!(by(Aggregator::StandardDeviation) <= by(Aggregator::Range) / 2.0 + 1e-15);
        prop_assert!((by(Aggregator::Deviation) - (max - pooled).max(pooled - min)).abs() < 1e-15);
    }

    #[test]
    fn relabellings_keep_what_they_say(labels in prop::collection::vec(0usize..5, 1..80), seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut shuffled = shuffled_labels(&labels, &mut rng);
        let mut sorted = labels.clone();
        sorted.sort_unstable();
        shuffled.sort_unstable();
        prop_assert_eq!(shuffled, sorted);
        prop_assert!(random_labels(labels.len(), 3, &mut rng).iter().all(|&label| label < 3));
    }
}

#[test]
fn rounding_in_single_precision_moves_no_neighbour() {
    // Cells far from the mean whose distances differ in the tenth digit only.
    let mut points = cloud(400, 3, 7).mapv(|x| 1e-6 * x);
    points
        .column_mut(0)
        .iter_mut()
        .enumerate()
        .for_each(|(i, x)| *x += if i % 2 == 0 { 1e3 } else { -1e3 });
    assert_exact(&points, 15);
    // And thousands of equal cells.
    assert_exact(&Array2::zeros((300, 4)), 10);
}

#[test]
fn threads_change_no_bit() {
    let points = cloud(900, 12, 3);
    let genes: Vec<usize> = (0..12).collect();
    let run = || {
        let neighbours = nearest_neighbours(points.view(), 15).unwrap();
        let graph = Graph::fuzzy(&neighbours);
        let labels = leiden(&graph, 1.0, 5).unwrap();
        let components = Covariance::of(points.view())
            .unwrap()
            .components(&genes, 3)
            .unwrap();
        let clusters = k_means(points.view(), 4, 2, &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
        (neighbours, graph, labels, components, clusters)
    };
    let [one, three] = [1, 3].map(|n| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(n)
            .build()
            .unwrap()
            .install(run)
    });
    assert!(one == three);
}

/// The leading components of a matrix too wide to be decomposed whole are those of the whole decomposition.
#[test]
fn components_satisfy_the_equation_of_eigenvectors() {
    let mut points = cloud(500, 300, 11);
    for (gene, mut column) in points.columns_mut().into_iter().enumerate() {
        column *= 3.0 / (1.0 + gene as f64).sqrt();
    }
    let covariance = Covariance::of(points.view()).unwrap();
    let genes: Vec<usize> = (0..300).collect();
    let leading = covariance.components(&genes, 8).unwrap();
    // All 300 at once.
    let whole = covariance.components(&genes, 300).unwrap();
    for at in 0..8 {
        assert!((leading.variances[at] / whole.variances[at] - 1.0).abs() < 1e-10);
        let cosine = leading.loadings.column(at).dot(&whole.loadings.column(at));
        assert!((cosine - 1.0).abs() < 1e-6, "component {at}: {cosine}");
    }
    // Variance along a component is that of the coordinates.
    let coordinates = leading.coordinates(points.view());
    let first = coordinates.column(0);
    let variance = first.dot(&first) / 499.0;
    assert!((variance / leading.variances[0] - 1.0).abs() < 1e-6);
    // A subset has the components that it has alone.
    let some: Vec<usize> = (0..300).step_by(3).collect();
    let alone = Covariance::of(points.select(Axis(1), &some).view()).unwrap();
    let (a, b) = (
        covariance.components(&some, 2).unwrap(),
        alone.components(&(0..100).collect::<Vec<_>>(), 2).unwrap(),
    );
    assert!((a.variances[1] / b.variances[1] - 1.0).abs() < 1e-6);
}

/// Every partition of a few cells, as the first label that each may have.
fn partitions(n: usize) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for _ in 0..n {
        all = all
            .into_iter()
            .flat_map(|labels: Vec<usize>| {
                let next = labels.iter().max().map_or(0, |&label| label + 1);
                (0..=next).map(move |label| labels.iter().copied().chain([label]).collect())
            })
            .collect();
    }
    all
}

#[test]
fn communities_of_a_few_cells_are_the_best_of_all_partitions() {
    let all = partitions(8);
    assert_eq!(all.len(), 4_140);
    let mut reached = 0;
    for seed in 0..40 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut edges = Vec::new();
        for a in 0..8 {
            for b in a + 1..8 {
                if rng.random_bool(0.4) {
                    edges.push((a, b, f64::from(rng.random_range(1..=4))));
                }
            }
        }
        let graph = Graph::from_edges(8, &edges);
        let best = all
            .iter()
            .map(|labels| graph.modularity(labels, 1.0))
            .fold(f64::MIN, f64::max);
        let found = graph.modularity(&leiden(&graph, 1.0, seed).unwrap(), 1.0);
        assert!(found <= best + 1e-12 && found > best - 0.06, "{found} of {best}");
        reached += usize::from(found > best - 1e-9);
    }
    // It is no exact method, but on eight cells it nearly always gets there.
    assert!(reached >= 36, "{reached} of 40");
}

#[test]
fn labels_of_communities_go_by_size() {
    let clique = |cells: std::ops::Range<usize>| {
        let end = cells.end;
        cells.flat_map(move |a| (a + 1..end).map(move |b| (a, b, 1.0)))
    };
    let edges: Vec<_> = clique(0..3).chain(clique(3..8)).chain(clique(8..12)).collect();
    let graph = Graph::from_edges(12, &edges);
    assert_eq!(
        leiden(&graph, 1.0, 0).unwrap(),
        [2, 2, 2, 0, 0, 0, 0, 0, 1, 1, 1, 1]
    );
    // Three components never make one or two communities.
    let scan = Communities::new(&graph).unwrap().by_number(2..=3, 0).unwrap();
    assert_eq!(scan[0], Scanned::Unreached { n_communities: 2 });
    assert!(matches!(&scan[1], Scanned::Found(partition) if partition.n_communities == 3));
}

#[test]
fn missing_scores_are_left_out_but_for_the_published_mean() {
    let strata = Strata::new(&[0, 0, 0, 1, 2, 2], 2).unwrap();
    assert_eq!(strata.skipped(), [(1, 1)]);
    let scores = array![[0.4, f64::NAN, f64::NAN], [0.1, 0.6, f64::NAN]];
    let by = |aggregator: Aggregator| {
        aggregator
            .apply(scores.view(), &strata, &[0.2, 0.2, 0.2])
            .unwrap()
    };
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-15, "{a} against {b}");
    close(by(Aggregator::WeightedMean)[0], (3.0 * 0.4 + 2.0 * 0.1) / 5.0);
    close(by(Aggregator::WeightedMean)[1], 0.6);
    // Six cells, of which one is in no stratum, and three saw nothing.
    close(by(Aggregator::PublishedMean)[0], (3.0 * 0.4 + 2.0 * 0.1) / 6.0);
    close(by(Aggregator::PublishedMean)[1], 0.6 * 2.0 / 6.0);
    close(by(Aggregator::StandardDeviation)[0], 0.15);
    for aggregator in Aggregator::ALL {
        assert!(by(aggregator)[2].is_nan(), "{}", aggregator.name());
    }
    let wrong = Aggregator::Max.apply(scores.slice(ndarray::s![..1, ..]), &strata, &[0.2, 0.2, 0.2]);
    assert!(matches!(
        wrong,
        Err(Error::Length {
            expected: 2,
            found: 1,
            ..
        })
    ));
}

#[test]
fn the_largest_of_nothing_is_as_large_as_simulated() {
    let errors = [0.1, 0.2, 0.05, 0.2, 0.1, 0.3];
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let n = 200_000;
    let simulated: f64 = (0..n)
        .map(|_| {
            errors
                .iter()
                .map(|error| (error * normal(&mut rng)).abs())
                .fold(0.0, f64::max)
        })
        .sum::<f64>()
        / f64::from(n);
    // The SD of the maximum is below 0.2.
    let error = 4.0 * 0.2 / f64::from(n).sqrt();
    assert!((expected_largest(&errors) - simulated).abs() < error);
    assert_eq!(expected_largest(&[]), 0.0);
}

#[test]
fn clusters_of_clear_groups_are_the_groups() {
    let mut points = cloud(90, 3, 2);
    for (cell, mut point) in points.rows_mut().into_iter().enumerate() {
        point += 20.0 * (cell % 3) as f64;
    }
    let labels = k_means(points.view(), 3, 3, &mut ChaCha8Rng::seed_from_u64(0)).unwrap();
    assert!((0..87).all(|cell| labels[cell] == labels[cell + 3]));
    assert!(labels[0] != labels[1] && labels[1] != labels[2] && labels[0] != labels[2]);
    // As many clusters as distinct points, some of them equal: none stays empty.
    let few = array![[0.0], [0.0], [0.0], [5.0]];
    let labels = k_means(few.view(), 3, 1, &mut ChaCha8Rng::seed_from_u64(0)).unwrap();
    let distinct: std::collections::BTreeSet<_> = labels.iter().collect();
    assert_eq!(distinct.len(), 3);
}

#[test]
fn bad_input_is_refused_with_its_place() {
    let mut points = cloud(10, 2, 0);
    points[[4, 1]] = f64::NAN;
    assert!(matches!(
        nearest_neighbours(points.view(), 3),
        Err(Error::NotFinite {
            row: 4,
            column: 1,
            ..
        })
    ));
    assert!(matches!(
        Covariance::of(points.view()),
        Err(Error::NotFinite { row: 4, .. })
    ));
    let points = cloud(10, 2, 0);
    for k in [0, 1, 11] {
        assert!(matches!(
            nearest_neighbours(points.view(), k),
            Err(Error::OutOfRange { .. })
        ));
    }
    let graph = Graph::from_edges(2, &[(0, 1, -1.0)]);
    assert!(matches!(leiden(&graph, 1.0, 0), Err(Error::Graph(_))));
    let graph = Graph::from_edges(2, &[(0, 1, 1.0)]);
    assert!(matches!(
        leiden(&graph, f64::NAN, 0),
        Err(Error::OutOfRange { .. })
    ));
    let few = Strata::new(&[0, 1, 1], 3);
    assert!(matches!(
        few,
        Err(Error::NoStrata {
            n_strata: 2,
            min_cells: 3,
            largest: 2
        })
    ));
    let gene = correlations(points.view(), &[(0, 2)], &[0, 1, 2]);
    assert!(matches!(gene, Err(Error::OutOfBounds { index: 2, n: 2, .. })));
    let cell = correlations(points.view(), &[(0, 1)], &[0, 10]);
    assert!(matches!(cell, Err(Error::OutOfBounds { index: 10, n: 10, .. })));
    assert!(matches!(f1_at(1, &[0.5], &[]), Err(Error::Length { .. })));
    assert!(matches!(
        Measure::Auroc.of(&[0.5, 0.2], &[true, true]),
        Err(Error::Stats(_))
    ));
}
