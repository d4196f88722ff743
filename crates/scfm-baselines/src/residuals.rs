//! Edge scores without what the properties of their two genes explain (analysis `residualisation`).

use ndarray::{Array1, Array2, ArrayView2, Axis, ShapeBuilder};
use rand::seq::{SliceRandom, index};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use scfm_core::Seeds;
use scfm_stats::{Undefined, mid_ranks};

use crate::splits::{Block, GridFolds, Split};
use crate::{BoostedTrees, Error, Standardisation, least_squares};

/// What predicts an edge score from the features of its genes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EdgeModel {
    /// Ordinary least squares.
    Linear,
    /// Boosted trees by squared loss.
    Trees,
}

/// Parameters of [`residualise`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ResidualParams {
    /// Folds of source genes, and as many of target genes.
    pub n_folds: usize,
    /// The trees; by default 100 of 8 leaves at a learning rate of 0.05, as in arXiv:2602.17532.
    pub trees: BoostedTrees,
    /// Most pairs that the trees of a block are fitted on, drawn at random from those that may be.
    ///
    /// A panel of 2,000 genes has some 2.6 million training pairs for each of 25 blocks, but no more than 1,600 sources
    /// and as many targets to tell apart: what more pairs add is another draw of the noise.
    pub max_training_pairs: usize,
}

impl Default for ResidualParams {
    fn default() -> Self {
        Self {
            n_folds: 5,
            trees: BoostedTrees {
                n_trees: 100,
                n_leaves: 8,
                balanced: false,
                ..BoostedTrees::default()
            },
            max_training_pairs: 100_000,
        }
    }
}

/// What is left of edge scores.
#[derive(Debug, Clone)]
pub struct Residuals {
    /// Score minus its out-of-fold prediction, `[source, target]`; `NaN` for a gene with itself and where the score or
    /// a feature is missing.
    pub residuals: Array2<f64>,
    /// Share of the variance of the scores that out-of-fold predictions explain; below 0 where they do worse than the
    /// mean.
    pub r_squared: Result<f64, Undefined>,
    /// Number of pairs with a residual.
    pub n_pairs: usize,
}

/// Takes out of `scores`, `[gene, gene]` from source to target, what `genes`, `[gene, features]`, of both explain.
///
/// Genes are dealt into `n_folds` folds by stream `fold_seed`. The score of a pair is predicted from pairs that share
/// neither the fold of its source as source nor that of its target as target: over folds of pairs, trees would recognise
/// the two genes by their features and predict what only the pair can say. `NaN` is missing, on either side.
///
/// Linear: O(pairs), no design matrix. Trees: O(`n_folds`² · trees · `max_training_pairs`).
///
/// # Errors
/// [`Undefined::TooFew`] with fewer genes than folds or a block without training pairs, [`Error::Folds`],
/// [`Error::TreeParams`].
///
/// # Panics
/// When `scores` is not square with a row per gene of `genes`.
pub fn residualise(
    scores: ArrayView2<'_, f64>,
    genes: ArrayView2<'_, f64>,
    model: EdgeModel,
    params: &ResidualParams,
    seeds: Seeds,
    fold_seed: u64,
) -> Result<Residuals, Error> {
    let n = genes.nrows();
    assert_eq!(scores.dim(), (n, n), "scores between the genes with features");
    let folds = deal(n, params.n_folds, &mut seeds.stream(ANALYSIS, "folds", fold_seed))?;
    let described: Vec<bool> = genes
        .rows()
        .into_iter()
        .map(|row| row.iter().all(|v| v.is_finite()))
        .collect();
    let mut known = scores.to_owned();
    for ((i, j), score) in known.indexed_iter_mut() {
        if i == j || !described[i] || !described[j] || !score.is_finite() {
            *score = f64::NAN;
        }
    }
    // Fits are free of the scale of features; ones of unit size keep their sums well-conditioned.
    let kept: Vec<usize> = (0..n).filter(|&i| described[i]).collect();
    if kept.len() < params.n_folds {
        return Err(crate::too_few("genes with features", kept.len(), params.n_folds));
    }
    let scaled = Standardisation::of(genes.select(Axis(0), &kept).view()).apply(genes);
    let scaled = scaled.mapv_into(|v| if v.is_finite() { v } else { 0.0 });
    let predicted = match model {
        EdgeModel::Linear => least_squares::cross_fitted(known.view(), scaled.view(), scaled.view(), &folds),
        EdgeModel::Trees => {
            let stream = |block| {
                seeds.stream(
                    ANALYSIS,
                    &format!("training pairs of fold seed {fold_seed}"),
                    block,
                )
            };
            cross_fitted_trees(known.view(), scaled.view(), &folds, params, stream)?
        }
    };
    Ok(Residuals::of(&known, &predicted))
}

/// Names the random streams.
const ANALYSIS: &str = "residualisation";

impl Residuals {
    fn of(known: &Array2<f64>, predicted: &Array2<f64>) -> Self {
        let residuals = known - predicted;
        let (mut n_pairs, mut sum) = (0, 0.0);
        for score in known.iter().filter(|score| !score.is_nan()) {
            n_pairs += 1;
            sum += score;
        }
        let mean = sum / n_pairs as f64;
        let squares = |values: &Array2<f64>, centre: f64| -> f64 {
            let known = values.iter().filter(|value| !value.is_nan());
            known.map(|value| (value - centre).powi(2)).sum()
        };
        let total = squares(known, mean);
        Self {
            r_squared: if total > 0.0 {
                Ok(1.0 - squares(&residuals, 0.0) / total)
            } else {
                Err(Undefined::Constant { what: "edge score" })
            },
            residuals,
            n_pairs,
        }
    }
}

/// The mid-ranks of the scores over all ordered pairs of different genes, from 0 to 1; `NaN` stays.
///
/// Least squares are not free of the scale of a score, and attention is skewed; its ranks are.
pub fn rank_transformed(scores: ArrayView2<'_, f64>) -> Array2<f64> {
    let mut ranked = Array2::from_elem(scores.dim(), f64::NAN);
    let pairs: Vec<((usize, usize), f64)> = scores
        .indexed_iter()
        .filter(|&((i, j), score)| i != j && !score.is_nan())
        .map(|(pair, &score)| (pair, score))
        .collect();
    let values: Vec<f64> = pairs.iter().map(|&(_, score)| score).collect();
    let ranks = mid_ranks(&values).expect("what is not a number was left out");
    for (&(pair, _), rank) in pairs.iter().zip(ranks) {
        ranked[pair] = (rank - 0.5) / pairs.len() as f64;
    }
    ranked
}

/// Deals genes into folds of nearly equal size, the same for sources and targets.
fn deal(n: usize, n_folds: usize, rng: &mut ChaCha8Rng) -> Result<GridFolds, Error> {
    if n_folds < 2 {
        return Err(Error::Folds(n_folds));
    }
    if n < n_folds {
        return Err(crate::too_few("genes for cross-validation", n, n_folds));
    }
    let mut fold_of: Vec<usize> = (0..n).map(|i| i % n_folds).collect();
    fold_of.shuffle(rng);
    Ok(GridFolds {
        of_row: fold_of.clone(),
        of_column: fold_of,
        n: n_folds,
    })
}

fn cross_fitted_trees(
    known: ArrayView2<'_, f64>,
    genes: ArrayView2<'_, f64>,
    folds: &GridFolds,
    params: &ResidualParams,
    stream: impl Fn(u64) -> ChaCha8Rng + Sync,
) -> Result<Array2<f64>, Error> {
    let blocks = folds.blocks(Split::Joint);
    let predictions: Vec<Result<Array1<f64>, Error>> = blocks
        .par_iter()
        .enumerate()
        .map(|(i, block)| {
            let training = drawn(known, block, params.max_training_pairs, &mut stream(i as u64));
            if training.is_empty() {
                return Err(crate::too_few("training pairs", 0, 1));
            }
            let y: Vec<f64> = training.iter().map(|&pair| known[pair]).collect();
            let fitted = params.trees.regress(of_pairs(genes, &training).view(), &y)?;
            Ok(fitted.predict(of_pairs(genes, &test_pairs(known, block)).view()))
        })
        .collect();
    let mut predicted = Array2::from_elem(known.dim(), f64::NAN);
    for (block, predictions) in blocks.iter().zip(predictions) {
        for (pair, value) in test_pairs(known, block).into_iter().zip(predictions?) {
            predicted[pair] = value;
        }
    }
    Ok(predicted)
}

/// The known pairs of some rows and columns.
fn known_pairs(known: ArrayView2<'_, f64>, rows: &[usize], columns: &[usize]) -> Vec<(usize, usize)> {
    let pairs = rows
        .iter()
        .flat_map(|&row| columns.iter().map(move |&column| (row, column)));
    pairs.filter(|&pair| !known[pair].is_nan()).collect()
}

fn test_pairs(known: ArrayView2<'_, f64>, block: &Block) -> Vec<(usize, usize)> {
    known_pairs(known, &block.test_rows, &block.test_columns)
}

/// At most `max` training pairs of a block, in the order of the grid.
fn drawn(known: ArrayView2<'_, f64>, block: &Block, max: usize, rng: &mut ChaCha8Rng) -> Vec<(usize, usize)> {
    let all = known_pairs(known, &block.training_rows, &block.training_columns);
    if all.len() <= max {
        return all;
    }
    let mut chosen = index::sample(rng, all.len(), max).into_vec();
    chosen.sort_unstable();
    chosen.into_iter().map(|i| all[i]).collect()
}

/// `[pairs, features of the source and of the target]`, a column after the other in memory.
fn of_pairs(genes: ArrayView2<'_, f64>, pairs: &[(usize, usize)]) -> Array2<f64> {
    let n = genes.ncols();
    let mut features = Array2::zeros((pairs.len(), 2 * n).f());
    for (j, column) in features.columns_mut().into_iter().enumerate() {
        for (value, &(source, target)) in column.into_iter().zip(pairs) {
            *value = if j < n {
                genes[[source, j]]
            } else {
                genes[[target, j - n]]
            };
        }
    }
    features
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    fn genes(n: usize) -> Array2<f64> {
        let mut rng = Seeds::new(1).stream("test", "genes", 0);
        Array2::from_shape_fn((n, 2), |_| rng.random_range(-1.0..1.0))
    }

    /// Scores that are unlike for every gene and have nothing to do with its features, but for some noise.
    fn of_identity(n: usize) -> Array2<f64> {
        let mut rng = Seeds::new(2).stream("test", "scores", 0);
        let mut own = || (0..n).map(|_| rng.random_range(-1.0..1.0)).collect::<Vec<f64>>();
        let (source, target) = (own(), own());
        let mut rng = Seeds::new(2).stream("test", "noise", 0);
        Array2::from_shape_fn((n, n), |(i, j)| {
            source[i] + target[j] + 0.1 * rng.random_range(-1.0..1.0)
        })
    }

    #[test]
    fn what_features_say_is_taken_out_and_the_rest_stays() {
        let genes = genes(60);
        let mut rng = Seeds::new(3).stream("test", "edges", 0);
        let edges = Array2::from_shape_fn((60, 60), |_| rng.random_range(-1.0..1.0f64));
        let scores = Array2::from_shape_fn((60, 60), |(i, j)| {
            5.0 + 2.0 * genes[[i, 0]] - 3.0 * genes[[j, 1]] + edges[[i, j]]
        });
        for (model, least) in [(EdgeModel::Linear, 0.995), (EdgeModel::Trees, 0.9)] {
            let found = residualise(
                scores.view(),
                genes.view(),
                model,
                &ResidualParams::default(),
                Seeds::new(0),
                0,
            )
            .unwrap();
            assert_eq!(found.n_pairs, 60 * 59);
            assert!(found.residuals.diag().iter().all(|r| r.is_nan()));
            let (mut product, mut squares) = (0.0, (0.0, 0.0));
            for (residual, edge) in found.residuals.iter().zip(&edges).filter(|(r, _)| !r.is_nan()) {
                product += residual * edge;
                squares = (squares.0 + residual * residual, squares.1 + edge * edge);
            }
            let correlation = product / (squares.0 * squares.1).sqrt();
            assert!(correlation > least, "{model:?} {correlation}");
            let explained = found.r_squared.unwrap();
            assert!((0.80..0.97).contains(&explained), "{model:?} {explained}");
        }
    }

    #[test]
    fn trees_cannot_recognise_genes_as_they_can_over_folds_of_pairs() {
        let (genes, scores) = (genes(60), of_identity(60));
        let params = ResidualParams::default();
        let honest = residualise(
            scores.view(),
            genes.view(),
            EdgeModel::Trees,
            &params,
            Seeds::new(0),
            0,
        )
        .unwrap();
        assert!(honest.r_squared.clone().unwrap() < 0.1, "{:?}", honest.r_squared);

        // The published folds: pairs dealt out one by one, each gene in every fold.
        let mut pairs: Vec<(usize, usize)> = (0..60)
            .flat_map(|i| (0..60).map(move |j| (i, j)))
            .filter(|(i, j)| i != j)
            .collect();
        pairs.shuffle(&mut Seeds::new(0).stream("test", "pairs", 0));
        let mut predicted = Array2::from_elem((60, 60), f64::NAN);
        for fold in 0..5 {
            let (test, training): (Vec<_>, Vec<_>) = pairs
                .iter()
                .enumerate()
                .map(|(i, &pair)| (i % 5 == fold, pair))
                .partition(|(t, _)| *t);
            let [test, training] =
                [test, training].map(|p| p.into_iter().map(|(_, pair)| pair).collect::<Vec<_>>());
            let y: Vec<f64> = training.iter().map(|&pair| scores[pair]).collect();
            let fitted = params
                .trees
                .regress(of_pairs(genes.view(), &training).view(), &y)
                .unwrap();
            let values = fitted.predict(of_pairs(genes.view(), &test).view());
            for (pair, value) in test.into_iter().zip(values) {
                predicted[pair] = value;
            }
        }
        let mut known = scores.clone();
        known.diag_mut().fill(f64::NAN);
        let leaking = Residuals::of(&known, &predicted).r_squared.unwrap();
        assert!(leaking > 0.5, "{leaking}");
    }

    #[test]
    fn missing_scores_and_features_stay_missing_and_bad_requests_are_errors() {
        let mut genes = genes(20);
        genes[[4, 1]] = f64::NAN;
        let mut scores = of_identity(20);
        scores[[0, 1]] = f64::NAN;
        for model in [EdgeModel::Linear, EdgeModel::Trees] {
            let found = residualise(
                scores.view(),
                genes.view(),
                model,
                &ResidualParams::default(),
                Seeds::new(0),
                0,
            )
            .unwrap();
            assert_eq!(found.n_pairs, 19 * 18 - 1);
            assert!(found.residuals.row(4).iter().all(|r| r.is_nan()));
            assert!(found.residuals[[0, 1]].is_nan() && found.residuals[[1, 0]].is_finite());
        }
        let with = |n_folds| ResidualParams {
            n_folds,
            ..ResidualParams::default()
        };
        let ask = |n_folds| {
            residualise(
                scores.view(),
                genes.view(),
                EdgeModel::Linear,
                &with(n_folds),
                Seeds::new(0),
                0,
            )
        };
        assert!(matches!(ask(1), Err(Error::Folds(1))));
        assert!(ask(21).is_err());
        let constant = Array2::ones((20, 20));
        let found = residualise(
            constant.view(),
            genes.view(),
            EdgeModel::Linear,
            &with(5),
            Seeds::new(0),
            0,
        )
        .unwrap();
        assert!(matches!(found.r_squared, Err(Undefined::Constant { .. })));
    }

    #[test]
    fn a_cap_on_training_pairs_draws_that_many_and_threads_change_no_bit() {
        let (genes, scores) = (genes(40), of_identity(40));
        let params = ResidualParams {
            max_training_pairs: 300,
            ..ResidualParams::default()
        };
        let on = |n| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
            let found = pool.install(|| {
                residualise(
                    scores.view(),
                    genes.view(),
                    EdgeModel::Trees,
                    &params,
                    Seeds::new(0),
                    0,
                )
                .unwrap()
            });
            found.residuals.iter().map(|r| r.to_bits()).collect::<Vec<_>>()
        };
        assert_eq!(on(1), on(3));
        let folds = deal(40, 5, &mut Seeds::new(0).stream("test", "folds", 0)).unwrap();
        let block = &folds.blocks(Split::Joint)[0];
        let pairs = drawn(
            scores.view(),
            block,
            300,
            &mut Seeds::new(0).stream("test", "draw", 0),
        );
        assert_eq!(pairs.len(), 300);
        assert!(pairs.windows(2).all(|w| w[0] != w[1]));
    }

    #[test]
    fn ranks_run_from_none_to_all_over_pairs_of_different_genes() {
        let scores = ndarray::array![[9.0, 1.0, f64::NAN], [3.0, 9.0, 1.0], [7.0, 5.0, 9.0]];
        let ranks = rank_transformed(scores.view());
        assert!(ranks[[0, 0]].is_nan() && ranks[[0, 2]].is_nan());
        assert_eq!(
            [
                ranks[[0, 1]],
                ranks[[1, 2]],
                ranks[[1, 0]],
                ranks[[2, 1]],
                ranks[[2, 0]]
            ],
            [0.2, 0.2, 0.5, 0.7, 0.9]
        );
    }
}
