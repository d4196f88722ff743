//! Held-out log-odds of responses, from models of either kind under any split of the pairs.

use ndarray::{Array1, Array2, ArrayView2, Axis, ShapeBuilder, concatenate};
use rayon::prelude::*;
use scfm_stats::LabelledGrid;

use crate::features::{DROPOUT_RATE, MEAN, VARIANCE};
use crate::pairs::PairDesign;
use crate::splits::Block;
use crate::{BoostedTrees, Error, LogisticRegression, NaturalSpline, ScoredCandidates};

/// How a model sees the gene-level features mean, variance and dropout rate.
#[derive(Debug, Clone, Copy)]
pub(crate) enum GeneTerms {
    /// Natural splines of the features of the source and of the target, with this many columns per feature.
    Splines(usize),
    /// The features of the target, linearly: the published variant.
    ///
    /// What the response owes to genes beyond a straight line, or to the source, is then left for an edge score
    /// to claim, in a world without any edge.
    LinearTarget,
}

/// What fits the responses of training pairs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fitter {
    Logistic(LogisticRegression, GeneTerms),
    /// The features of both genes as they are: trees find their curves themselves.
    Trees(BoostedTrees),
}

/// The edge scores that a model is told of besides genes, each `[perturbed, target]` and defined at every candidate.
pub(crate) type Edges<'a> = Vec<ArrayView2<'a, f64>>;

/// Log-odds of each of `models` at the held-out candidate pairs of `blocks`, from fits of their training pairs; `NaN`
/// elsewhere. The model of genes alone stands first: it starts the others.
///
/// Log-odds are those of the labels as they occur, so that what different fits say of one perturbation can be put
/// together.
pub(crate) fn held_out_scores(
    candidates: &ScoredCandidates,
    blocks: &[Block],
    fitter: Fitter,
    models: &[Edges<'_>],
) -> Result<Vec<Array2<f64>>, Error> {
    let labels = candidates.labels();
    // Blocks side by side: the fits of one do not fill all threads.
    let of_blocks: Vec<Vec<Array2<f64>>> = blocks
        .par_iter()
        .map(|block| match fitter {
            Fitter::Logistic(regression, terms) => logistic(candidates, block, regression, terms, models),
            Fitter::Trees(trees) => boosted(candidates, block, trees, models),
        })
        .collect::<Vec<Result<_, Error>>>()
        .into_iter()
        .collect::<Result<_, Error>>()?;
    let mut all = vec![Array2::from_elem(labels.candidate.dim(), f64::NAN); models.len()];
    for (block, scores) in blocks.iter().zip(&of_blocks) {
        for (all, scores) in all.iter_mut().zip(scores) {
            for (&row, scores) in block.test_rows.iter().zip(scores.rows()) {
                for (&column, &score) in block.test_columns.iter().zip(scores) {
                    all[[row, column]] = score;
                }
            }
        }
    }
    Ok(all)
}

/// `[test rows, test columns]` for each model.
fn logistic(
    candidates: &ScoredCandidates,
    block: &Block,
    regression: LogisticRegression,
    terms: GeneTerms,
    models: &[Edges<'_>],
) -> Result<Vec<Array2<f64>>, Error> {
    let all = candidates.labels();
    let mask = block.training_pairs(all.candidate);
    let training = LabelledGrid {
        positive: all.positive,
        candidate: mask.view(),
    };
    let (rows, columns) = gene_columns(candidates, terms, block)?;
    let mut gene_only: Option<Array1<f64>> = None;
    let mut scores = Vec::with_capacity(models.len());
    for edges in models {
        let design = PairDesign::new(
            rows.view(),
            columns.view(),
            edges,
            mask.view(),
            &block.training_rows,
        );
        let fitted = design.fit(
            training,
            &block.training_rows,
            regression.penalty(),
            gene_only.as_ref(),
        )?;
        let mut held_out = Array2::zeros((block.test_rows.len(), block.test_columns.len()));
        for (&row, mut held_out) in block.test_rows.iter().zip(held_out.rows_mut()) {
            let log_odds = design.log_odds(&fitted, row, all.candidate.row(row));
            for (&column, held_out) in block.test_columns.iter().zip(&mut held_out) {
                *held_out = log_odds[column];
            }
        }
        scores.push(held_out);
        if edges.is_empty() {
            gene_only = Some(fitted);
        }
    }
    Ok(scores)
}

/// Columns for the perturbed genes and for the targets, knots at quantiles over those that are trained on.
fn gene_columns(
    candidates: &ScoredCandidates,
    terms: GeneTerms,
    block: &Block,
) -> Result<(Array2<f64>, Array2<f64>), Error> {
    let n_rows = candidates.responses().perturbed().len();
    let (mut rows, mut columns) = (Vec::new(), Vec::new());
    for name in [MEAN, VARIANCE, DROPOUT_RATE] {
        let of_target = candidates.of_targets(name)?;
        let described: Array1<f64> = of_target
            .select(Axis(0), &block.training_columns)
            .into_iter()
            .filter(|value| value.is_finite())
            .collect();
        if described.is_empty() {
            return Err(crate::too_few("targets with gene-level features", 0, 1));
        }
        // Targets without features are no candidates; any finite value will do for them.
        let of_target = of_target.mapv_into(|v| if v.is_finite() { v } else { described[0] });
        match terms {
            GeneTerms::LinearTarget => columns.push(of_target.insert_axis(Axis(1))),
            GeneTerms::Splines(df) => {
                let of_perturbed = candidates.of_perturbed(name)?;
                let seen = of_perturbed.select(Axis(0), &block.training_rows);
                rows.push(NaturalSpline::at_quantiles(seen.view(), df)?.columns(of_perturbed.view()));
                columns.push(NaturalSpline::at_quantiles(described.view(), df)?.columns(of_target.view()));
            }
        }
    }
    rows.push(Array2::zeros((n_rows, 0)));
    let side_by_side = |parts: &[Array2<f64>]| {
        let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
        concatenate(Axis(1), &views).expect("a row per gene in every part")
    };
    Ok((side_by_side(&rows), side_by_side(&columns)))
}

/// `[test rows, test columns]` for each model.
fn boosted(
    candidates: &ScoredCandidates,
    block: &Block,
    trees: BoostedTrees,
    models: &[Edges<'_>],
) -> Result<Vec<Array2<f64>>, Error> {
    let all = candidates.labels();
    let pairs = |rows: &[usize], columns: &[usize]| -> Vec<(usize, usize)> {
        let all_pairs = rows
            .iter()
            .flat_map(|&row| columns.iter().map(move |&c| (row, c)));
        all_pairs.filter(|&pair| all.candidate[pair]).collect()
    };
    let training = pairs(&block.training_rows, &block.training_columns);
    let test = pairs(&block.test_rows, &block.test_columns);
    let positive: Vec<bool> = training.iter().map(|&pair| all.positive[pair]).collect();
    let n_pos = positive.iter().filter(|&&p| p).count() as f64;
    let prior = match trees.balanced {
        true => (n_pos / (positive.len() as f64 - n_pos)).ln(),
        false => 0.0,
    };
    let features = PairFeatures::of(candidates)?;
    let mut scores = Vec::with_capacity(models.len());
    for edges in models {
        let fitted = trees.classify(features.matrix(&training, edges).view(), &positive)?;
        let log_odds = fitted.predict(features.matrix(&test, edges).view());
        let mut held_out = Array2::from_elem((block.test_rows.len(), block.test_columns.len()), f64::NAN);
        let mut next = log_odds.iter();
        for ((i, j), held_out) in held_out.indexed_iter_mut() {
            if all.candidate[[block.test_rows[i], block.test_columns[j]]] {
                *held_out = next.next().expect("log-odds of every candidate") + prior;
            }
        }
        scores.push(held_out);
    }
    Ok(scores)
}

/// Gene-level features of perturbed genes and of targets, each a column.
struct PairFeatures {
    rows: Vec<Array1<f64>>,
    columns: Vec<Array1<f64>>,
}

impl PairFeatures {
    fn of(candidates: &ScoredCandidates) -> Result<Self, Error> {
        let names = [MEAN, VARIANCE, DROPOUT_RATE];
        Ok(Self {
            rows: names
                .map(|name| candidates.of_perturbed(name))
                .into_iter()
                .collect::<Result<_, _>>()?,
            columns: names
                .map(|name| candidates.of_targets(name))
                .into_iter()
                .collect::<Result<_, _>>()?,
        })
    }

    /// `[pairs, features]`, a column after the other in memory.
    fn matrix(&self, pairs: &[(usize, usize)], edges: &[ArrayView2<'_, f64>]) -> Array2<f64> {
        let n_features = self.rows.len() + self.columns.len() + edges.len();
        let mut matrix = Array2::zeros((pairs.len(), n_features).f());
        let mut columns = matrix.columns_mut().into_iter();
        let mut fill = |value: &dyn Fn((usize, usize)) -> f64| {
            let column = columns.next().expect("a column for every feature");
            for (cell, &pair) in column.into_iter().zip(pairs) {
                *cell = value(pair);
            }
        };
        self.rows.iter().for_each(|of_row| fill(&|pair| of_row[pair.0]));
        self.columns
            .iter()
            .for_each(|of_column| fill(&|pair| of_column[pair.1]));
        edges.iter().for_each(|edge| fill(&|pair| edge[pair]));
        matrix
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pair_features_are_those_of_their_genes() {
        let features = PairFeatures {
            rows: vec![ndarray::array![1.0, 2.0]],
            columns: vec![ndarray::array![10.0, 20.0, 30.0]],
        };
        let edge = Array2::from_shape_fn((2, 3), |(i, j)| (100 + 10 * i + j) as f64);
        let matrix = features.matrix(&[(0, 2), (1, 0)], &[edge.view()]);
        assert_eq!(matrix, ndarray::array![[1.0, 30.0, 102.0], [2.0, 10.0, 110.0]]);
        assert!(matrix.t().is_standard_layout());
    }
}
