//! Agreement with scanpy, scikit-learn and leidenalg; `golden/generate.py` makes the values.

use ndarray::Array2;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use scfm_cssi::{Communities, Covariance, Graph, k_means, leiden, nearest_neighbours};
use serde::Deserialize;

/// UMAP holds bandwidths and memberships in single precision and ends its search for them at 1e-5.
const MEMBERSHIP: f64 = 1e-5;
/// The covariance is of products in single precision.
const SINGLE: f64 = 1e-5;
/// A community detection that is this much short of another's quality, relatively, found another local optimum.
const QUALITY: f64 = 0.01;

#[derive(Deserialize)]
struct Golden {
    neighbours: NeighbourCase,
    components: ComponentCase,
    communities: Vec<CommunityCase>,
    clusters: ClusterCase,
}

#[derive(Deserialize)]
struct NeighbourCase {
    k: usize,
    points: Vec<Vec<f64>>,
    distances: Vec<Vec<f64>>,
    edges: Vec<(usize, usize, f64)>,
}

#[derive(Deserialize)]
struct ComponentCase {
    points: Vec<Vec<f64>>,
    variances: Vec<f64>,
    loadings: Vec<Vec<f64>>,
    coordinates: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct CommunityCase {
    name: String,
    n: usize,
    edges: Vec<(usize, usize, f64)>,
    found: Vec<Found>,
    truth: Option<Vec<usize>>,
}

#[derive(Deserialize)]
struct Found {
    resolution: f64,
    qualities: Vec<f64>,
    labels: Vec<usize>,
}

#[derive(Deserialize)]
struct ClusterCase {
    points: Vec<Vec<f64>>,
    n_clusters: usize,
    spread: f64,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/golden.json")).unwrap()
}

fn matrix(rows: &[Vec<f64>]) -> Array2<f64> {
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| rows[i][j])
}

/// Adjusted Rand index.
fn agreement(a: &[usize], b: &[usize]) -> f64 {
    let pairs = |n: usize| (n * n.saturating_sub(1) / 2) as f64;
    let count = |labels: &dyn Fn(usize) -> (usize, usize)| {
        let mut sizes = std::collections::HashMap::new();
        (0..a.len()).for_each(|cell| *sizes.entry(labels(cell)).or_insert(0usize) += 1);
        sizes.into_values().map(pairs).sum::<f64>()
    };
    let both = count(&|cell| (a[cell], b[cell]));
    let (of_a, of_b) = (count(&|cell| (a[cell], 0)), count(&|cell| (b[cell], 0)));
    let expected = of_a * of_b / pairs(a.len());
    (both - expected) / ((of_a + of_b) / 2.0 - expected)
}

#[test]
fn neighbours_and_their_weights_are_those_of_scanpy() {
    let case = golden().neighbours;
    let found = nearest_neighbours(matrix(&case.points).view(), case.k).unwrap();
    for (row, expected) in found.distances.rows().into_iter().zip(&case.distances) {
        assert_eq!(row.len(), expected.len());
        for (d, expected) in row.iter().zip(expected) {
            assert!((d - expected).abs() < 1e-12, "{d} against {expected}");
        }
    }
    let graph = Graph::fuzzy(&found);
    assert_eq!(graph.n_edges(), case.edges.len());
    for (a, b, expected) in case.edges {
        let weight = graph
            .edges_of(a)
            .find(|&(cell, _)| cell == b)
            .expect("the edge")
            .1;
        assert!(
            (weight - expected).abs() < MEMBERSHIP,
            "{a}-{b}: {weight} against {expected}"
        );
        assert_eq!(graph.edges_of(b).find(|&(cell, _)| cell == a).unwrap().1, weight);
    }
}

#[test]
fn components_are_those_of_scikit_learn_up_to_signs() {
    let case = golden().components;
    let points = matrix(&case.points);
    let genes: Vec<usize> = (0..points.ncols()).collect();
    let components = Covariance::of(points.view())
        .unwrap()
        .components(&genes, 4)
        .unwrap();
    let coordinates = components.coordinates(points.view());
    for (at, expected) in case.variances.iter().enumerate() {
        assert!((components.variances[at] / expected - 1.0).abs() < SINGLE);
        let loading = components.loadings.column(at);
        let sign = loading
            .iter()
            .zip(&case.loadings[at])
            .map(|(a, b)| a * b)
            .sum::<f64>()
            .signum();
        for (a, b) in loading.iter().zip(&case.loadings[at]) {
            assert!((a - sign * b).abs() < SINGLE);
        }
        for (cell, row) in case.coordinates.iter().enumerate() {
            assert!((coordinates[[cell, at]] - sign * row[at]).abs() < 10.0 * SINGLE);
        }
    }
}

#[test]
fn communities_are_as_good_as_those_of_leidenalg() {
    for case in golden().communities {
        let graph = Graph::from_edges(case.n, &case.edges);
        for found in &case.found {
            let resolution = found.resolution;
            // The quality of the other's partition is first measured by our own yardstick.
            let best = found.qualities.iter().copied().fold(f64::MIN, f64::max);
            assert!((graph.modularity(&found.labels, resolution) - best).abs() < 1e-6);
            let runs: Vec<Vec<usize>> = (0..10)
                .map(|seed| leiden(&graph, resolution, seed).unwrap())
                .collect();
            let qualities = runs.iter().map(|labels| graph.modularity(labels, resolution));
            let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / 10.0;
            let (ours, theirs) = (
                mean(&mut qualities.clone()),
                mean(&mut found.qualities.iter().copied()),
            );
            assert!(
                ours > theirs - QUALITY * theirs.abs(),
                "{} at {resolution}: {ours} against {theirs}",
                case.name
            );
            let most = qualities.fold(f64::MIN, f64::max);
            assert!(
                most > best - QUALITY * best.abs(),
                "{}: {most} against {best}",
                case.name
            );
        }
        if let Some(truth) = &case.truth {
            let labels = leiden(&graph, 1.0, 0).unwrap();
            let theirs = agreement(&case.found[1].labels, truth);
            assert!(agreement(&labels, truth) >= theirs - 0.02, "{}", case.name);
        }
    }
}

#[test]
fn a_number_of_communities_is_found_or_said_to_be_out_of_reach() {
    let case = golden().communities.swap_remove(1);
    let graph = Graph::from_edges(case.n, &case.edges);
    let scan = Communities::new(&graph).unwrap().by_number(2..=12, 0).unwrap();
    assert_eq!(scan.len(), 11);
    let mut reached = 0;
    for (scanned, expected) in scan.iter().zip(2..) {
        match scanned {
            scfm_cssi::Scanned::Found(partition) => {
                reached += 1;
                assert_eq!(partition.n_communities, expected);
                assert_eq!(leiden(&graph, partition.resolution, 0).unwrap(), partition.labels);
            }
            scfm_cssi::Scanned::Unreached { n_communities } => assert_eq!(*n_communities, expected),
        }
    }
    assert!(reached >= 8, "{reached} of 11 numbers reached");
    let truth = case.truth.unwrap();
    let of_truth = scan.iter().find_map(|scanned| match scanned {
        scfm_cssi::Scanned::Found(partition) if partition.n_communities == 6 => Some(&partition.labels),
        _ => None,
    });
    assert!(agreement(of_truth.expect("six communities"), &truth) > 0.95);
}

#[test]
fn clusters_are_as_tight_as_those_of_scikit_learn() {
    let case = golden().clusters;
    let points = matrix(&case.points);
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let labels = k_means(points.view(), case.n_clusters, 50, &mut rng).unwrap();
    let mut spread = 0.0;
    for cluster in 0..case.n_clusters {
        let members: Vec<usize> = (0..labels.len())
            .filter(|&cell| labels[cell] == cluster)
            .collect();
        let own = points.select(ndarray::Axis(0), &members);
        let centre = own.mean_axis(ndarray::Axis(0)).expect("no cluster is empty");
        spread += (own - centre).mapv(|x| x * x).sum();
    }
    assert!(
        spread < case.spread * (1.0 + 1e-6),
        "{spread} against {}",
        case.spread
    );
}
