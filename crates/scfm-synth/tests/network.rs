//! The true network: its shape and its steady state.

use std::collections::BTreeMap;

use proptest::prelude::*;
use scfm_core::{Seeds, Source, Target};
use scfm_synth::{Bursts, Dynamics, Error, Family, Network, NetworkParams, Sign, World, WorldParams};

fn world(params: WorldParams, seed: u64) -> World {
    World::new(params, Seeds::new(seed)).unwrap()
}

/// Takes away genes without regulators until none is left, which a cycle would prevent.
fn has_cycle(network: &Network) -> bool {
    let mut left: Vec<usize> = (0..network.n_genes()).collect();
    loop {
        let regulated = |&gene: &usize| {
            network
                .regulators(Target(gene))
                .iter()
                .any(|edge| left.contains(&edge.source.0))
        };
        let rest: Vec<usize> = left.iter().copied().filter(regulated).collect();
        if rest.len() == left.len() {
            return !rest.is_empty();
        }
        left = rest;
    }
}

/// The fixed point of x = own + c·tanh(Σ effect·x / c), found by iteration over all genes at once.
fn naive_steady_state(network: &Network, own: &[f64], state: usize) -> Vec<f64> {
    let mut x = own.to_vec();
    for _ in 0..network.n_genes() {
        let mut push = vec![0.0; x.len()];
        for edge in network.edges() {
            if edge.state.is_none() || edge.state == Some(state) {
                push[edge.target.0] += edge.effect() * x[edge.source.0];
            }
        }
        x = own
            .iter()
            .zip(push)
            .map(|(own, push)| own + 2.5 * f64::tanh(push / 2.5))
            .collect();
    }
    x
}

#[test]
fn out_degrees_are_truncated_power_law_numbers_and_hubs_stand_at_the_top() {
    let params = WorldParams {
        n_genes: 3_000,
        n_tfs: 500,
        ..WorldParams::new("degrees")
    };
    let (low, high) = (params.network.min_out_degree, params.network.max_out_degree);
    let world = world(params, 0);
    let degrees = world.network().out_degrees();
    // The last factors of the hierarchy may find no permitted target among factors, but always enough genes.
    let in_order: Vec<usize> = world.network().tfs().iter().map(|&tf| degrees[tf]).collect();
    assert!(in_order.is_sorted_by(|a, b| a >= b));
    assert!(in_order[0] <= high && in_order[499] >= low);
    // With γ = 2 the share of degrees of at least k is (1/k − 1/(high + 1)) / (1/low − 1/(high + 1)).
    let inverse = |k: usize| 1.0 / k as f64;
    for k in [5, 8, 16, 32] {
        let expected = (inverse(k) - inverse(high + 1)) / (inverse(low) - inverse(high + 1));
        let found = in_order.iter().filter(|&&d| d >= k).count() as f64 / 500.0;
        let standard_error = (expected * (1.0 - expected) / 500.0).sqrt();
        assert!(
            (found - expected).abs() < 3.5 * standard_error,
            "at least {k}: {found} for {expected}"
        );
    }
}

#[test]
fn the_default_network_has_edges_of_every_kind() {
    let world = world(WorldParams::new("kinds"), 0);
    let (network, params) = (world.network(), NetworkParams::default());
    let edges = network.edges();
    let n = edges.len() as f64;
    let share = |count: usize| count as f64 / n;
    let to_tf = share(
        edges
            .iter()
            .filter(|e| world.genes().gene(e.target.0).as_str().starts_with("SIMTF"))
            .count(),
    );
    let repressing = share(edges.iter().filter(|e| e.sign == Sign::Repression).count());
    let one_state = share(edges.iter().filter(|e| e.state.is_some()).count());
    assert!((0.05..0.3).contains(&to_tf), "{to_tf}");
    // 0.3 · 0.85 + 0.7 · 0.15 of the edges repress, but whole factors do so together.
    assert!((0.2..0.6).contains(&repressing), "{repressing}");
    assert!((one_state - params.state_specific).abs() < 0.05, "{one_state}");
    assert!(edges.iter().all(|e| e.state.is_none_or(|state| state < 3)));
    let (low, high) = params.strength;
    assert!(edges.iter().all(|e| (low..=high).contains(&e.strength)));
    let without_regulator = (0..network.n_genes())
        .filter(|&g| network.regulators(Target(g)).is_empty())
        .count();
    assert!(
        without_regulator >= 40,
        "{without_regulator} of 300 genes stand apart"
    );
}

#[test]
fn genes_are_marked_as_simulated_and_positions_say_nothing_of_their_kind() {
    let world = world(WorldParams::new("genes"), 0);
    let tfs: Vec<usize> = world
        .tfs()
        .genes()
        .iter()
        .map(|g| world.genes().position(g.as_str()).unwrap())
        .collect();
    let mut from_network = world.network().tfs().to_vec();
    from_network.sort_unstable();
    assert_eq!(tfs, from_network);
    assert!(
        world
            .genes()
            .genes()
            .iter()
            .all(|g| g.as_str().starts_with("SIM"))
    );
    let mean_position = tfs.iter().sum::<usize>() as f64 / 50.0;
    // Four standard errors of the mean of 50 of 300 positions.
    assert!((mean_position - 149.5).abs() < 45.0, "{mean_position}");
    let ids = world.ensembl_ids();
    assert!(ids.iter().all(|id| id.len() == 15 && id.starts_with("ENSG99")));
    assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 300);
}

#[test]
fn worlds_of_another_name_or_seed_differ() {
    let edges = |name: &str, seed| world(WorldParams::new(name), seed).network().clone();
    assert_eq!(edges("a", 0), edges("a", 0));
    assert_ne!(edges("a", 0), edges("b", 0));
    assert_ne!(edges("a", 0), edges("a", 1));
}

fn relative(name: &str, shared_regulons: f64) -> World {
    let family = Family {
        name: "kin".to_owned(),
        shared_regulons,
        abundance_correlation: 0.7,
    };
    let params = WorldParams {
        family: Some(family),
        ..WorldParams::new(name)
    };
    world(params, 0)
}

/// The edges of each factor, as target, sign and strength.
fn regulons(world: &World) -> BTreeMap<usize, Vec<(usize, Sign, f64)>> {
    let mut regulons: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for edge in world.network().edges() {
        let targets = regulons.entry(edge.source.0).or_default();
        targets.push((edge.target.0, edge.sign, edge.strength));
    }
    regulons
}

#[test]
fn worlds_of_a_family_share_genes_hierarchy_and_the_regulons_asked_for() {
    for share in [0.0, 0.5, 1.0] {
        let (a, b) = (relative("a", share), relative("b", share));
        assert_eq!(a.genes(), b.genes());
        assert_eq!(a.network().tfs(), b.network().tfs());
        let (regulons_a, regulons_b) = (regulons(&a), regulons(&b));
        let same = regulons_a
            .iter()
            .filter(|&(tf, regulon)| regulons_b.get(tf) == Some(regulon))
            .count();
        let n = regulons_a.len() as f64;
        let standard_error = (share * (1.0 - share) / n).sqrt();
        assert!(
            (same as f64 / n - share).abs() <= 3.0 * standard_error,
            "{same} of {n} for {share}"
        );
        // The table says which they are.
        let table = a.edge_table();
        for (row, edge) in a.network().edges().iter().enumerate() {
            let shared = regulons_a.get(&edge.source.0) == regulons_b.get(&edge.source.0);
            assert_eq!(table.column("shared").unwrap().display(row), shared.to_string());
        }
    }
    let stranger = world(WorldParams::new("a"), 0);
    assert_ne!(relative("a", 0.5).network().tfs(), stranger.network().tfs());
}

#[test]
fn parameters_out_of_range_are_named() {
    let base = || WorldParams::new("bad");
    let network = NetworkParams::default;
    let cases = [
        ("n_genes", WorldParams { n_genes: 1, ..base() }),
        ("n_tfs", WorldParams { n_tfs: 300, ..base() }),
        (
            "n_states",
            WorldParams {
                n_states: 0,
                ..base()
            },
        ),
        (
            "abundance_sd",
            WorldParams {
                abundance_sd: f64::NAN,
                ..base()
            },
        ),
        (
            "stress.0",
            WorldParams {
                stress: (1.2, 0.5),
                ..base()
            },
        ),
        (
            "protein_life",
            WorldParams {
                dynamics: Dynamics::Stochastic(Bursts {
                    protein_life: 0.0,
                    ..Bursts::default()
                }),
                ..base()
            },
        ),
        (
            "min_out_degree",
            WorldParams {
                network: NetworkParams {
                    min_out_degree: 0,
                    ..network()
                },
                ..base()
            },
        ),
        (
            "strength.1",
            WorldParams {
                network: NetworkParams {
                    strength: (0.0, f64::NAN),
                    ..network()
                },
                ..base()
            },
        ),
        (
            "strength.0",
            WorldParams {
                network: NetworkParams {
                    strength: (2.0, 1.0),
                    ..network()
                },
                ..base()
            },
        ),
    ];
    for (name, params) in cases {
        let Error::Parameter { parameter, .. } = World::new(params, Seeds::new(0)).unwrap_err() else {
            panic!("another kind of error for {name}");
        };
        assert_eq!(parameter, name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn small_networks_of_any_shape_are_acyclic_simple_and_settle_where_iteration_does(
        seed: u64,
        n_tfs in 1..15usize,
        others in 1..20usize,
        min_out_degree in 1..6usize,
        more in 0..30usize,
    ) {
        let max_out_degree = min_out_degree + more;
        let network = NetworkParams { min_out_degree, max_out_degree, ..NetworkParams::default() };
        let params = WorldParams { n_genes: n_tfs + others, n_tfs, n_states: 2, network, ..WorldParams::new("small") };
        let world = world(params, seed);
        let network = world.network();
        prop_assert!(!has_cycle(network));
        let pairs: std::collections::BTreeSet<_> = network.edges().iter().map(|e| (e.source, e.target)).collect();
        prop_assert_eq!(pairs.len(), network.edges().len());
        for &(source, target) in &pairs {
            prop_assert!(network.contains(source, target) && network.tfs().contains(&source.0));
            prop_assert!(!network.contains(Source(target.0), Target(source.0)));
        }
        prop_assert_eq!(network.out_degrees().iter().sum::<usize>(), network.edges().len());

        let own: Vec<f64> = (0..network.n_genes()).map(|g| f64::sin(g as f64 + seed as f64 % 7.0)).collect();
        for state in 0..2 {
            let mut x = own.clone();
            network.steady_state(&mut x, state);
            for (found, expected) in x.iter().zip(naive_steady_state(network, &own, state)) {
                // Both are sums of the same few terms in another order.
                prop_assert!((found - expected).abs() < 1e-9);
            }
        }
    }
}
