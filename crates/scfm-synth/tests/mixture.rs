//! Mixtures whose states can be told apart: correlations within states are those of the published ones, means differ
//! where they were asked to.

use ndarray::ArrayView1;
use proptest::prelude::*;
use scfm_core::Seeds;
use scfm_synth::{Error, MixtureParams, Separation, StateMixture, cells_in_proportion};

const SEPARATED: Separation = Separation {
    n_markers: 30,
    markers: 2.0,
    pairs: 0.0,
};

fn mixture(params: &MixtureParams, separation: Separation) -> StateMixture {
    StateMixture::identifiable(params, separation, Seeds::new(3), 0).unwrap()
}

fn of_cells(mixture: &StateMixture, gene: usize, keep: impl Fn(usize) -> bool) -> Vec<f64> {
    let cells = mixture.expression.column(gene).into_iter().zip(&mixture.states);
    cells
        .filter(|&(_, &state)| keep(state))
        .map(|(&x, _)| x)
        .collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn pearson(a: &[f64], b: &[f64]) -> f64 {
    let (mean_a, mean_b) = (mean(a), mean(b));
    let product = |x: &[f64], mean_x: f64, y: &[f64], mean_y: f64| -> f64 {
        x.iter().zip(y).map(|(x, y)| (x - mean_x) * (y - mean_y)).sum()
    };
    product(a, mean_a, b, mean_b) / (product(a, mean_a, a, mean_a) * product(b, mean_b, b, mean_b)).sqrt()
}

/// Targets of one factor over all states, so that the correlation of their edge has a closed form.
fn plain_edges(mixture: &StateMixture) -> Vec<usize> {
    let n_regulators = |target| {
        let pairs = mixture.pairs.iter().zip(&mixture.active);
        pairs
            .filter(|((_, t), active)| *t == target && !active.is_empty())
            .count()
    };
    (0..mixture.pairs.len())
        .filter(|&pair| !mixture.active[pair].is_empty() && n_regulators(mixture.pairs[pair].1) == 1)
        .collect()
}

#[test]
fn edges_correlate_as_the_closed_form_says_within_their_states_and_over_all() {
    let params = MixtureParams::new(4, 5_000);
    let mixture = mixture(&params, SEPARATED);
    let edges = plain_edges(&mixture);
    assert!(edges.len() > 3);
    // A correlation of 5,000 pairs is known to 0.014; five times that.
    let close =
        |found: f64, expected: f64| assert!((found - expected).abs() < 0.07, "{found} for {expected}");
    for pair in edges {
        let (tf, target) = mixture.pairs[pair];
        for state in 0..4 {
            let gene = |gene| of_cells(&mixture, gene, |s| s == state);
            let active = mixture.active[pair].contains(&state);
            close(
                pearson(&gene(tf), &gene(target)),
                if active { 0.5 / 1.25f64.sqrt() } else { 0.0 },
            );
        }
        let share = mixture.active[pair].len() as f64 / 4.0;
        let gene = |gene| of_cells(&mixture, gene, |_| true);
        let expected = share * 0.5 / (1.0 + share * 0.25).sqrt();
        close(pearson(&gene(tf), &gene(target)), expected);
    }
}

#[test]
fn markers_are_raised_in_their_own_state_alone_and_are_no_candidates() {
    let params = MixtureParams::new(3, 2_000);
    let mixture = mixture(&params, SEPARATED);
    assert_eq!(mixture.expression.dim(), (6_000, 60));
    assert!(
        mixture
            .pairs
            .iter()
            .all(|&(tf, target)| tf < 5 && (5..30).contains(&target))
    );
    for marker in 0..30 {
        for state in 0..3 {
            let expected = if marker % 3 == state { 2.0 } else { 0.0 };
            let found = mean(&of_cells(&mixture, 30 + marker, |s| s == state));
            assert!(
                (found - expected).abs() < 5.0 / 2_000f64.sqrt(),
                "{found} for {expected}"
            );
        }
    }
}

#[test]
fn separation_adds_means_and_nothing_else() {
    let params = MixtureParams::new(3, 40);
    let none = Separation {
        markers: 0.0,
        ..SEPARATED
    };
    let both = Separation {
        pairs: 1.5,
        ..SEPARATED
    };
    let (plain, shifted) = (mixture(&params, none), mixture(&params, both));
    assert_eq!((&plain.pairs, &plain.active), (&shifted.pairs, &shifted.active));
    let shifts = &shifted.expression - &plain.expression;
    for (gene, shifts) in shifts.columns().into_iter().enumerate() {
        let of_states: Vec<ArrayView1<'_, f64>> = shifts.exact_chunks(40).into_iter().collect();
        for shifts in &of_states {
            assert!(
                shifts.iter().all(|shift| (shift - shifts[0]).abs() < 1e-12),
                "gene {gene}"
            );
        }
        assert!(
            of_states.iter().any(|shifts| shifts[0].abs() > 1e-3),
            "gene {gene}"
        );
    }
}

#[test]
fn means_that_differ_between_states_make_correlations_of_pairs_that_are_no_edges() {
    let params = MixtureParams::new(6, 200);
    let largest_of_no_edge = |pairs| {
        let mixture = mixture(&params, Separation { pairs, ..SEPARATED });
        let gene = |gene| of_cells(&mixture, gene, |_| true);
        let candidates = mixture.pairs.iter().zip(mixture.truth());
        candidates
            .filter(|&(_, edge)| !edge)
            .map(|(&(tf, target), _)| pearson(&gene(tf), &gene(target)).abs())
            .fold(0.0, f64::max)
    };
    assert!(largest_of_no_edge(0.0) < 0.15);
    assert!(largest_of_no_edge(2.0) > 0.5);
}

#[test]
fn parameters_out_of_range_are_named() {
    let params = MixtureParams::new(2, 10);
    let separation = Separation {
        markers: f64::NAN,
        ..SEPARATED
    };
    let error = StateMixture::identifiable(&params, separation, Seeds::new(0), 0).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Parameter {
                parameter: "markers",
                ..
            }
        ),
        "{error}"
    );
    assert!(cells_in_proportion(10, &[0.5, -0.1]).is_err());
    assert!(cells_in_proportion(10, &[0.0, 0.0]).is_err());
    assert!(cells_in_proportion(10, &[]).is_err());
}

proptest! {
    #[test]
    fn every_state_has_its_share_of_edges_and_cells(
        cells in prop::collection::vec(0..30usize, 1..6),
        shared in 0..5usize,
        private in 0..5usize,
        seed: u64,
    ) {
        let params = MixtureParams { cells: cells.clone(), shared, private, ..MixtureParams::new(1, 1) };
        let mixture = StateMixture::identifiable(&params, Separation::default(), Seeds::new(seed), 1).unwrap();
        let edges_of = |n: usize| mixture.active.iter().filter(|active| active.len() == n).count();
        for (state, &n) in cells.iter().enumerate() {
            prop_assert_eq!(mixture.states.iter().filter(|&&s| s == state).count(), n);
            let n_edges = mixture.active.iter().filter(|active| active.contains(&state)).count();
            prop_assert_eq!(n_edges, shared + private);
        }
        if cells.len() > 1 {
            prop_assert_eq!((edges_of(1), edges_of(cells.len())), (private * cells.len(), shared));
        }
    }

    #[test]
    fn cells_add_up_and_are_less_than_one_from_their_proportion(
        n_cells in 0..5_000usize,
        proportions in prop::collection::vec(0.001..1.0f64, 1..20),
    ) {
        let cells = cells_in_proportion(n_cells, &proportions).unwrap();
        prop_assert_eq!(cells.iter().sum::<usize>(), n_cells);
        let total: f64 = proportions.iter().sum();
        for (&n, proportion) in cells.iter().zip(proportions) {
            prop_assert!((n as f64 - n_cells as f64 * proportion / total).abs() < 1.0 + 1e-9);
        }
    }
}
