use ndarray::Array2;

use crate::mixture::ScoreMixture;
use crate::numpy::RandomState;
use crate::{Error, error::check};

/// Number of genes of [`split_half_scores`].
pub const SPLIT_HALF_GENES: usize = 50;

/// Cell types of [`immune_scores`] with their probabilities, by state.
pub const IMMUNE_TYPES: [(&str, f64); 15] = [
    ("naive_CD4_T", 0.15),
    ("memory_CD4_T", 0.12),
    ("naive_CD8_T", 0.08),
    ("effector_CD8_T", 0.06),
    ("Treg", 0.04),
    ("naive_B", 0.10),
    ("memory_B", 0.05),
    ("plasma", 0.03),
    ("classical_mono", 0.14),
    ("non_classical_mono", 0.04),
    ("cDC", 0.03),
    ("pDC", 0.02),
    ("NK", 0.08),
    ("MAST", 0.02),
    ("platelet", 0.04),
];

/// Scores of the split-half experiment: noise of SD 0.5 over all ordered pairs of 50 genes, and in the cells of one
/// state each some 0.4 more for 20 of them. The published seeds are 100·s + 7 for `s` of 0 to 9, the sizes those of
/// [`SCALING`](super::SCALING).
///
/// # Errors
/// [`Error::Parameter`] for no state or more than 10⁵ cells.
pub fn split_half_scores(n_cells: usize, n_states: usize, seed: u32) -> Result<ScoreMixture, Error> {
    const N_EDGES: usize = 20;
    const N: usize = SPLIT_HALF_GENES;
    check("n_cells", n_cells as f64, 0.0, 1e5)?;
    check("n_states", n_states as f64, 1.0, 1e3)?;
    let mut rng = RandomState::new(seed);
    let mut states: Vec<usize> = (0..n_cells).map(|cell| cell % n_states).collect();
    rng.shuffle(&mut states);

    // An edge as the column of its pair, in the order of drawing, with its state.
    let column = |i: usize, j: usize| i * (N - 1) + j - usize::from(j > i);
    let mut edges: Vec<(usize, usize)> = Vec::with_capacity(N_EDGES);
    while edges.len() < N_EDGES {
        let pair = rng.choice_without_replacement(N, 2);
        let pair = column(pair[0], pair[1]);
        if edges.iter().all(|&(other, _)| other != pair) {
            edges.push((pair, rng.below(n_states)));
        }
    }

    let pairs: Vec<(usize, usize)> = (0..N)
        .flat_map(|i| (0..N).filter(move |&j| j != i).map(move |j| (i, j)))
        .collect();
    let mut scores = Array2::zeros((n_cells, pairs.len()));
    for mut cell in scores.rows_mut() {
        let mut scores = cell.iter_mut();
        for entry in 0..N * N {
            let noise = rng.standard_normal() * 0.5;
            // A gene's score with itself is drawn, but no candidate.
            if entry % (N + 1) != 0 {
                *scores.next().expect("a column per pair of two genes") = noise;
            }
        }
    }
    add_effects(
        &mut scores,
        &states,
        &edges,
        |noise| 0.4 * (1.0 + noise * 0.1),
        &mut rng,
    );
    Ok(mixture(scores, states, n_states, pairs, &edges))
}

/// The cells of the training and of the test half, in the published split of `n_cells`; its seeds are 999 + s.
pub fn held_out_half(n_cells: usize, seed: u32) -> (Vec<usize>, Vec<usize>) {
    let mut training = RandomState::new(seed).permutation(n_cells);
    let test = training.split_off(n_cells / 2);
    (training, test)
}

/// Scores of the simulation named after an immune atlas: noise of SD 0.3 over the unordered pairs of 40 genes, and in
/// the cells of one of the [`IMMUNE_TYPES`] each some 1 more for the pairs (0, 1), (2, 3) to (28, 29). The published
/// seeds are 1,000·s + n_cells for `s` of 0 to 9.
///
/// # Errors
/// [`Error::Parameter`] for more than 10⁵ cells.
pub fn immune_scores(n_cells: usize, seed: u32) -> Result<ScoreMixture, Error> {
    const N_GENES: usize = 40;
    check("n_cells", n_cells as f64, 0.0, 1e5)?;
    let mut rng = RandomState::new(seed);
    let states = rng.choice_weighted(&IMMUNE_TYPES.map(|(_, probability)| probability), n_cells);
    let pairs: Vec<(usize, usize)> = (0..N_GENES)
        .flat_map(|i| (i + 1..N_GENES).map(move |j| (i, j)))
        .collect();
    let mut scores = Array2::from_shape_simple_fn((n_cells, pairs.len()), || rng.standard_normal() * 0.3);
    let edges: Vec<(usize, usize)> = (0..IMMUNE_TYPES.len())
        .map(|state| {
            let pair = pairs.iter().position(|&pair| pair == (2 * state, 2 * state + 1));
            (pair.expect("neighbouring genes are a pair"), state)
        })
        .collect();
    add_effects(&mut scores, &states, &edges, |noise| 1.0 + noise * 0.2, &mut rng);
    Ok(mixture(scores, states, IMMUNE_TYPES.len(), pairs, &edges))
}

/// Raises each edge's scores in the cells of its state by an effect with noise of its own, edge by edge.
fn add_effects(
    scores: &mut Array2<f64>,
    states: &[usize],
    edges: &[(usize, usize)],
    effect: impl Fn(f64) -> f64,
    rng: &mut RandomState,
) {
    for &(pair, state) in edges {
        for (score, _) in scores
            .column_mut(pair)
            .iter_mut()
            .zip(states)
            .filter(|&(_, &of_cell)| of_cell == state)
        {
            *score += effect(rng.standard_normal());
        }
    }
}

fn mixture(
    scores: Array2<f64>,
    states: Vec<usize>,
    n_states: usize,
    pairs: Vec<(usize, usize)>,
    edges: &[(usize, usize)],
) -> ScoreMixture {
    let mut active = vec![Vec::new(); pairs.len()];
    for &(pair, state) in edges {
        active[pair].push(state);
    }
    ScoreMixture {
        scores,
        states,
        n_states,
        pairs,
        active,
    }
}
