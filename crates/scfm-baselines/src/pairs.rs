//! Logistic regression over the pairs (row gene, column gene) of a grid without ever writing its design matrix.
//!
//! Most features of a pair belong to one of its two genes. With weights W `[rows, columns]`, row features R and
//! column features T, the blocks of XᵀWX are `Rᵀ diag(W 1) R`, `Rᵀ W T` and `Tᵀ diag(Wᵀ 1) T`: one pass over the
//! pairs yields W and its margins, and nothing of size pairs × features is multiplied or stored.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, Slice, concatenate};
use rayon::prelude::*;
use scfm_stats::LabelledGrid;

use crate::Error;
use crate::logistic::{Standardisation, scale_of, starting_point};
use crate::newton::{Derivatives, Likelihood, Loss, minimise};

/// Standardised features of the pairs of a grid. Coefficients stand in the order intercept, rows, columns, edges.
pub(crate) struct PairDesign<'a> {
    /// `[rows, 1 + row features]`, the first column ones.
    rows: Array2<f64>,
    /// `[columns, column features]`.
    columns: Array2<f64>,
    edges: Vec<EdgeFeature<'a>>,
}

/// A score per pair and the centre and scale that it is standardised with.
struct EdgeFeature<'a> {
    scores: ArrayView2<'a, f64>,
    mean: f64,
    scale: f64,
}

impl<'a> PairDesign<'a> {
    /// Features of rows, columns and pairs, standardised over the candidate pairs of the `training` rows.
    pub(crate) fn new(
        rows: ArrayView2<'_, f64>,
        columns: ArrayView2<'_, f64>,
        edges: &[ArrayView2<'a, f64>],
        candidate: ArrayView2<'_, bool>,
        training: &[usize],
    ) -> Self {
        let mut pairs_of_row = Array1::<f64>::zeros(rows.nrows());
        let mut pairs_of_column = Array1::<f64>::zeros(columns.nrows());
        for &p in training {
            for (count, _) in pairs_of_column
                .iter_mut()
                .zip(candidate.row(p))
                .filter(|&(_, &c)| c)
            {
                *count += 1.0;
                pairs_of_row[p] += 1.0;
            }
        }
        let standardise = |x, weights: &Array1<f64>| Standardisation::weighted(x, weights.view()).apply(x);
        let rows = standardise(rows, &pairs_of_row);
        let ones = Array2::ones((rows.nrows(), 1));
        Self {
            rows: concatenate![Axis(1), ones, rows],
            columns: standardise(columns, &pairs_of_column),
            edges: edges
                .iter()
                .map(|&scores| EdgeFeature::new(scores, candidate, training))
                .collect(),
        }
    }

    fn n_coefficients(&self) -> usize {
        self.rows.ncols() + self.columns.ncols() + self.edges.len()
    }

    /// Fits the labels of the candidate pairs of the `training` rows, from coefficients of a model with the same
    /// rows and columns and no more edges, or from the share of positives.
    pub(crate) fn fit(
        &self,
        labels: LabelledGrid<'_>,
        training: &[usize],
        penalty: f64,
        nested: Option<&Array1<f64>>,
    ) -> Result<Array1<f64>, Error> {
        let start = match nested {
            Some(nested) => {
                let mut start = Array1::zeros(self.n_coefficients());
                start
                    .slice_axis_mut(Axis(0), Slice::from(..nested.len()))
                    .assign(nested);
                start
            }
            None => {
                let (mut n_pos, mut n_neg) = (0, 0);
                for &p in training {
                    let pairs = labels.positive.row(p).into_iter().zip(labels.candidate.row(p));
                    for (&positive, _) in pairs.filter(|&(_, &candidate)| candidate) {
                        *(if positive { &mut n_pos } else { &mut n_neg }) += 1;
                    }
                }
                starting_point(n_pos, n_neg, self.n_coefficients() - 1)?
            }
        };
        let likelihood = PairLikelihood {
            design: self,
            labels,
            training,
        };
        minimise(&likelihood, penalty, start)
    }

    /// Log-odds of the candidate pairs of a row, `NaN` elsewhere.
    pub(crate) fn log_odds(
        &self,
        coefficients: &Array1<f64>,
        row: usize,
        candidate: ArrayView1<'_, bool>,
    ) -> Array1<f64> {
        let parts = self.split(coefficients.view());
        let mut log_odds = self.columns.dot(&parts.columns) + self.rows.row(row).dot(&parts.rows);
        for (edge, &slope) in self.edges.iter().zip(parts.edges) {
            log_odds.zip_mut_with(&edge.scores.row(row), |sum, &score| {
                *sum += slope * edge.standardise(score);
            });
        }
        log_odds.zip_mut_with(&candidate, |value, &c| {
            if !c {
                *value = f64::NAN;
            }
        });
        log_odds
    }

    fn split<'c>(&self, coefficients: ArrayView1<'c, f64>) -> Parts<'c> {
        let (rows, rest) = coefficients.split_at(Axis(0), self.rows.ncols());
        let (columns, edges) = rest.split_at(Axis(0), self.columns.ncols());
        Parts { rows, columns, edges }
    }
}

/// Coefficients by what they belong to.
struct Parts<'c> {
    rows: ArrayView1<'c, f64>,
    columns: ArrayView1<'c, f64>,
    edges: ArrayView1<'c, f64>,
}

impl<'a> EdgeFeature<'a> {
    fn new(scores: ArrayView2<'a, f64>, candidate: ArrayView2<'_, bool>, training: &[usize]) -> Self {
        let over_pairs = |value: &dyn Fn(f64) -> f64| {
            let (mut n, mut sum) = (0.0, 0.0);
            for &p in training {
                let of_row = scores.row(p);
                for (&score, _) in of_row.iter().zip(candidate.row(p)).filter(|&(_, &c)| c) {
                    n += 1.0;
                    sum += value(score);
                }
            }
            sum / n
        };
        let mean = over_pairs(&|score| score);
        let variance = over_pairs(&|score| (score - mean).powi(2));
        Self {
            scores,
            mean,
            scale: scale_of(variance, mean),
        }
    }

    fn standardise(&self, score: f64) -> f64 {
        (score - self.mean) / self.scale
    }
}

struct PairLikelihood<'f, 'e, 'l> {
    design: &'f PairDesign<'e>,
    labels: LabelledGrid<'l>,
    training: &'f [usize],
}

/// Rows per task: with a few thousand columns their weights fill a second-level cache. Blocks are summed in
/// order, so that the number of threads changes nothing.
const BLOCK: usize = 16;

impl Likelihood for PairLikelihood<'_, '_, '_> {
    fn derivatives(&self, coefficients: ArrayView1<'_, f64>) -> Derivatives {
        let column_part = self.design.columns.dot(&self.design.split(coefficients).columns);
        let blocks: Vec<Block> = self
            .training
            .par_chunks(BLOCK)
            .map(|rows| self.block(rows, coefficients, &column_part))
            .collect();

        let mut at = Derivatives::zeros(coefficients.len());
        let mut by_column = Array2::zeros((2 + self.design.edges.len(), column_part.len()));
        for block in &blocks {
            at += &block.derivatives;
            by_column += &block.by_column;
        }
        let columns = &self.design.columns;
        let (from, to) = (
            self.design.rows.ncols(),
            self.design.rows.ncols() + columns.ncols(),
        );
        at.gradient_mut(from..to)
            .assign(&by_column.row(RESIDUAL).dot(columns));
        let weighted = columns * &by_column.row(WEIGHT).insert_axis(Axis(1));
        at.hessian_mut(from..to, from..to)
            .assign(&columns.t().dot(&weighted));
        let with_edges = columns
            .t()
            .dot(&by_column.slice_axis(Axis(0), Slice::from(FIRST_EDGE..)).t());
        at.hessian_mut(from..to, to..coefficients.len())
            .assign(&with_edges);
        at
    }
}

/// What a few rows of the grid add to the derivatives.
struct Block {
    /// Without the gradient of the column features and their part of the Hessian among themselves and with edges.
    derivatives: Derivatives,
    /// Sums over the rows, per column of the grid: residuals, weights, weights × each edge score.
    by_column: Array2<f64>,
}

const RESIDUAL: usize = 0;
const WEIGHT: usize = 1;
const FIRST_EDGE: usize = 2;

impl PairLikelihood<'_, '_, '_> {
    fn block(&self, rows: &[usize], coefficients: ArrayView1<'_, f64>, column_part: &Array1<f64>) -> Block {
        let design = self.design;
        let parts = design.split(coefficients);
        let (n_genes, n_edges) = (column_part.len(), design.edges.len());
        let first_column = design.rows.ncols();
        let first_edge = first_column + design.columns.ncols();

        let mut at = Derivatives::zeros(coefficients.len());
        let mut by_column = Array2::zeros((FIRST_EDGE + n_edges, n_genes));
        let mut weights = Array2::zeros((rows.len(), n_genes));
        let mut loss = Loss::new();
        let mut edge = vec![0.0; n_edges];
        for (i, &p) in rows.iter().enumerate() {
            let of_row = design.rows.row(p);
            let row_part = of_row.dot(&parts.rows);
            let (positive, candidate) = (self.labels.positive.row(p), self.labels.candidate.row(p));
            let (mut residual, mut weight) = (0.0, 0.0);
            let mut weighted_edge = vec![0.0; n_edges];
            for g in (0..n_genes).filter(|&g| candidate[g]) {
                let mut log_odds = row_part + column_part[g];
                for (e, feature) in design.edges.iter().enumerate() {
                    edge[e] = feature.standardise(feature.scores[[p, g]]);
                    log_odds += parts.edges[e] * edge[e];
                }
                let slope = loss.add(log_odds, positive[g]);
                residual += slope.residual;
                weight += slope.weight;
                weights[[i, g]] = slope.weight;
                by_column[[RESIDUAL, g]] += slope.residual;
                by_column[[WEIGHT, g]] += slope.weight;
                for (e, &score) in edge.iter().enumerate() {
                    let weighted = slope.weight * score;
                    weighted_edge[e] += weighted;
                    by_column[[FIRST_EDGE + e, g]] += weighted;
                    at.gradient[first_edge + e] += slope.residual * score;
                    for (f, &other) in edge.iter().enumerate().skip(e) {
                        at.hessian[[first_edge + e, first_edge + f]] += weighted * other;
                    }
                }
            }
            for (j, &value) in of_row.iter().enumerate() {
                at.gradient[j] += residual * value;
                for (k, &other) in of_row.iter().enumerate().skip(j) {
                    at.hessian[[j, k]] += weight * value * other;
                }
                for (e, weighted) in weighted_edge.iter().enumerate() {
                    at.hessian[[j, first_edge + e]] += weighted * value;
                }
            }
        }
        let by_row = weights.dot(&design.columns);
        let mixed = design.rows.select(Axis(0), rows).t().dot(&by_row);
        at.hessian_mut(0..first_column, first_column..first_edge)
            .assign(&mixed);
        at.loss = loss.total();
        Block {
            derivatives: at,
            by_column,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LogisticRegression;
    use proptest::prelude::*;

    /// Both sides solve the same convex problem to a Newton decrement of 1e-10 nats.
    const SAME_MINIMUM: f64 = 1e-7;

    proptest! {
        #[test]
        fn the_factorised_fit_is_that_of_the_written_out_design_matrix(
            row_feature in prop::collection::vec(-2.0..2.0f64, 5),
            column_features in prop::collection::vec(-2.0..2.0f64, 14),
            scores in prop::collection::vec(-2.0..2.0f64, 70),
            labels in prop::collection::vec((any::<bool>(), 0u8..5), 35),
        ) {
            let grid = |f: &dyn Fn(usize) -> bool| Array2::from_shape_fn((5, 7), |(p, g)| f(7 * p + g));
            let positive = grid(&|i| labels[i].0);
            let candidate = grid(&|i| labels[i].1 > 0);
            let grid_labels = LabelledGrid { positive: positive.view(), candidate: candidate.view() };
            let rows = Array2::from_shape_vec((5, 1), row_feature).unwrap();
            let columns = Array2::from_shape_vec((7, 2), column_features).unwrap();
            let mut a = Array2::from_shape_vec((5, 7), scores[..35].to_vec()).unwrap();
            let b = Array2::from_shape_vec((5, 7), scores[35..].to_vec()).unwrap();
            // Scores of pairs that take no part must not be looked at.
            a.zip_mut_with(&candidate, |score, &c| if !c { *score = f64::NAN });
            let training = [0, 1, 3, 4];

            let pairs: Vec<(usize, usize)> = training
                .iter()
                .flat_map(|&p| (0..7).map(move |g| (p, g)))
                .filter(|&pair| candidate[pair])
                .collect();
            let y: Vec<bool> = pairs.iter().map(|&pair| positive[pair]).collect();
            prop_assume!(y.contains(&true) && y.contains(&false));
            let row_of = |(p, g): (usize, usize)| {
                [rows[[p, 0]], columns[[g, 0]], columns[[g, 1]], a[[p, g]], b[[p, g]]]
            };
            let x = Array2::from_shape_fn((pairs.len(), 5), |(i, j)| row_of(pairs[i])[j]);
            let standardisation = Standardisation::of(x.view());
            let written_out =
                LogisticRegression::default().fit(standardisation.apply(x.view()).view(), &y).unwrap();

            let edges = [a.view(), b.view()];
            let design = PairDesign::new(rows.view(), columns.view(), &edges, candidate.view(), &training);
            let smaller = PairDesign::new(rows.view(), columns.view(), &edges[..1], candidate.view(), &training);
            let nested = smaller.fit(grid_labels, &training, 1.0, None).unwrap();
            let fitted = design.fit(grid_labels, &training, 1.0, Some(&nested)).unwrap();
            prop_assert!((fitted[0] - written_out.intercept).abs() < SAME_MINIMUM);
            for (found, expected) in fitted.iter().skip(1).zip(&written_out.coefficients) {
                prop_assert!((found - expected).abs() < SAME_MINIMUM, "{fitted} {}", written_out.coefficients);
            }
            let log_odds = design.log_odds(&fitted, 3, candidate.row(3));
            for (g, &value) in log_odds.iter().enumerate() {
                let expected = candidate[[3, g]].then(|| {
                    let x = Array2::from_shape_fn((1, 5), |(_, j)| row_of((3, g))[j]);
                    written_out.log_odds(standardisation.apply(x.view()).view())[0]
                });
                prop_assert_eq!(value.is_nan(), expected.is_none());
                prop_assert!(expected.is_none_or(|e| (value - e).abs() < SAME_MINIMUM * 10.0));
            }
        }
    }
}
