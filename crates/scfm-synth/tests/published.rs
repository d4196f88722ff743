//! The published simulations against the same ones written in NumPy.

use ndarray::Array2;
use scfm_synth::{Error, MixtureParams, ScoreMixture, published};
use serde::Deserialize;

/// Normal numbers may differ from NumPy's in the last places; effects add some of them up.
const ROUNDING: f64 = 1e-14;
/// And of the sum of some 10⁵ to 10⁶ of them.
const ROUNDING_OF_SUM: f64 = 1e-9;

#[derive(Deserialize)]
struct Golden {
    mixtures: Vec<Mixture>,
    split_half: SplitHalf,
    immune: Immune,
    pbmc: Pbmc,
}

#[derive(Deserialize)]
struct Mixture {
    arguments: (usize, usize, usize, usize, f64, u32),
    expression: Summary,
    edges: Vec<Edge>,
    shuffled: Vec<usize>,
    random: Vec<usize>,
    permuted: Summary,
}

#[derive(Deserialize)]
struct SplitHalf {
    arguments: (usize, usize, u32),
    states: Vec<usize>,
    edges: Vec<Edge>,
    scores: Summary,
    training: Vec<usize>,
}

#[derive(Deserialize)]
struct Immune {
    arguments: (usize, u32),
    states: Vec<usize>,
    scores: Summary,
}

#[derive(Deserialize)]
struct Pbmc {
    expression: Summary,
    states: Vec<usize>,
    edges: Vec<Edge>,
    bootstrap: Vec<usize>,
}

/// Both genes and the states.
type Edge = (usize, usize, Vec<usize>);

#[derive(Deserialize)]
struct Summary {
    first: f64,
    last: f64,
    sum: f64,
}

impl Summary {
    #[track_caller]
    fn assert_of(&self, values: &Array2<f64>) {
        let sum: f64 = values.iter().enumerate().map(|(i, x)| (i as f64).cos() * x).sum();
        let (rows, columns) = values.dim();
        assert!((values[[0, 0]] - self.first).abs() < ROUNDING);
        assert!((values[[rows - 1, columns - 1]] - self.last).abs() < ROUNDING);
        assert!((sum - self.sum).abs() < ROUNDING_OF_SUM, "{sum} for {}", self.sum);
    }
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/published.json")).unwrap()
}

fn edges(pairs: &[(usize, usize)], active: &[Vec<usize>]) -> Vec<Edge> {
    assert_eq!(pairs.len(), active.len());
    let of_pairs = pairs.iter().zip(active);
    of_pairs
        .filter(|(_, states)| !states.is_empty())
        .map(|(&(source, target), states)| (source, target, states.clone()))
        .collect()
}

#[test]
fn mixtures_and_their_nulls_are_those_of_numpy() {
    for golden in golden().mixtures {
        let (n_states, cells, shared, private, strength, seed) = golden.arguments;
        let params = MixtureParams {
            shared,
            private,
            strength,
            ..MixtureParams::new(n_states, cells)
        };
        let mixture = published::mixture(&params, seed).unwrap();
        assert_eq!(mixture.pairs.len(), 125);
        assert_eq!(mixture.states.len(), n_states * cells);
        assert!(
            mixture
                .states
                .iter()
                .enumerate()
                .all(|(cell, &state)| state == cell / cells)
        );
        assert_eq!(edges(&mixture.pairs, &mixture.active), golden.edges);
        golden.expression.assert_of(&mixture.expression);

        let nulls = published::nulls(&mixture, 10_000);
        assert!(nulls.shuffled.starts_with(&golden.shuffled));
        assert!(nulls.random.starts_with(&golden.random));
        assert_eq!(nulls.random.len(), mixture.states.len());
        golden.permuted.assert_of(&nulls.permuted);
    }
}

#[test]
fn split_half_scores_are_those_of_numpy() {
    let golden = golden().split_half;
    let (n_cells, n_states, seed) = golden.arguments;
    let mixture = published::split_half_scores(n_cells, n_states, seed).unwrap();
    assert_eq!(mixture.scores.dim(), (n_cells, 2_450));
    assert_eq!((mixture.n_states, mixture.states), (n_states, golden.states));
    assert_eq!(edges(&mixture.pairs, &mixture.active), golden.edges);
    golden.scores.assert_of(&mixture.scores);
    let (training, test) = published::held_out_half(n_cells, 999);
    assert_eq!((&training, test.len()), (&golden.training, n_cells - n_cells / 2));
}

#[test]
fn immune_scores_are_those_of_numpy() {
    let golden = golden().immune;
    let ScoreMixture {
        scores,
        states,
        pairs,
        active,
        ..
    } = published::immune_scores(golden.arguments.0, golden.arguments.1).unwrap();
    assert_eq!(states, golden.states);
    assert_eq!(pairs.len(), 780);
    let expected: Vec<Edge> = (0..15).map(|i| (2 * i, 2 * i + 1, vec![i])).collect();
    assert_eq!(edges(&pairs, &active), expected);
    golden.scores.assert_of(&scores);
}

#[test]
fn simulated_blood_is_that_of_numpy_and_so_is_what_follows() {
    let golden = golden().pbmc;
    let mut blood = published::pbmc(42);
    let mixture = blood.mixture;
    assert!(mixture.states.starts_with(&golden.states));
    assert_eq!(mixture.pairs.len(), 3_450);
    assert_eq!(edges(&mixture.pairs, &mixture.active), golden.edges);
    golden.expression.assert_of(&mixture.expression);
    let bootstrap: Vec<usize> = (0..40).map(|_| blood.rng.below(3_000)).collect();
    assert_eq!(bootstrap, golden.bootstrap);
}

#[test]
fn more_edges_than_pairs_are_refused() {
    let params = MixtureParams {
        private: 63,
        ..MixtureParams::new(2, 10)
    };
    let error = published::mixture(&params, 0).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Parameter {
                parameter: "private",
                ..
            }
        ),
        "{error}"
    );
    let params = MixtureParams {
        cells: Vec::new(),
        ..MixtureParams::new(2, 10)
    };
    assert!(published::mixture(&params, 0).is_err());
    assert!(published::split_half_scores(10, 0, 0).is_err());
}
