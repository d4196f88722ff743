//! The tasks of models over pairs among those that `bench` times: responses and edge scores from gene-level features.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use ndarray::{Array1, Array2, ArrayView2, Axis, ShapeBuilder};
use ndarray_npy::{ReadableElement, read_npy};
use rayon::prelude::*;
use scfm_baselines::{
    BoostedTrees, EdgeModel, LogisticRegression, ResidualParams, Standardisation, residualise,
};
use scfm_core::Seeds;
use scfm_stats::auroc;

/// The trees of LightGBM and scikit-learn as the Python side asks for them.
const TREES: BoostedTrees = BoostedTrees {
    n_trees: 100,
    n_leaves: 31,
    learning_rate: 0.1,
    min_child: 20.0,
    balanced: false,
};

type Check = Vec<(&'static str, f64)>;

/// A task by name on the arrays in `inputs`.
pub fn run(name: &str, inputs: &Path) -> Result<Check> {
    match name {
        "responses-logistic" => responses(inputs, |x, y, test| {
            let standardisation = Standardisation::of(x);
            let fitted = LogisticRegression::default().fit(standardisation.apply(x).view(), y)?;
            Ok(fitted.log_odds(standardisation.apply(test).view()))
        }),
        "responses-trees" => responses(inputs, |x, y, test| Ok(TREES.classify(x, y)?.predict(test))),
        "residuals-linear" => residuals(inputs),
        "residuals-trees" => one_fold_of_trees(inputs),
        _ => bail!("{name}: no such workload"),
    }
}

fn read<A: ReadableElement, D: ndarray::Dimension>(
    inputs: &Path,
    name: &str,
) -> Result<ndarray::Array<A, D>> {
    let path = inputs.join(format!("{name}.npy"));
    read_npy(&path).with_context(|| format!("{}: cannot be read", path.display()))
}

/// Three sets of features × five folds of whole perturbations: held-out log-odds and their AUROCs. Folds are spread over
/// threads, as in the analysis.
fn responses(
    inputs: &Path,
    predict: impl Fn(ArrayView2<'_, f64>, &[bool], ArrayView2<'_, f64>) -> Result<Array1<f64>> + Sync,
) -> Result<Check> {
    let x: Array2<f32> = read(inputs, "w6_X")?;
    let y: Vec<bool> = read::<u8, ndarray::Ix1>(inputs, "w6_y")?
        .mapv(|y| y != 0)
        .to_vec();
    let fold_of: Array1<u8> = read(inputs, "w6_fold")?;
    let mut check = Vec::new();
    for (n_features, name) in [(3, "base3"), (4, "base3+1"), (5, "all5")] {
        let of_fold = |fold: u8| -> Result<(Vec<usize>, Array1<f64>)> {
            let (test, training): (Vec<usize>, Vec<usize>) = (0..y.len()).partition(|&i| fold_of[i] == fold);
            let of_rows = |rows: &[usize]| {
                let mut columns = Array2::zeros((rows.len(), n_features).f());
                for (j, mut column) in columns.axis_iter_mut(Axis(1)).enumerate() {
                    for (value, &row) in column.iter_mut().zip(rows) {
                        *value = f64::from(x[[row, j]]);
                    }
                }
                columns
            };
            let labels: Vec<bool> = training.iter().map(|&i| y[i]).collect();
            let log_odds = predict(of_rows(&training).view(), &labels, of_rows(&test).view())?;
            Ok((test, log_odds))
        };
        let folds: Vec<_> = (0..5u8).into_par_iter().map(of_fold).collect::<Result<_>>()?;
        let mut held_out = vec![0.0; y.len()];
        for (rows, log_odds) in folds {
            for (row, value) in rows.into_iter().zip(log_odds) {
                held_out[row] = value;
            }
        }
        check.push((name, auroc(&held_out, &y)?));
    }
    Ok(check)
}

/// Residuals of all pairs of 2,000 genes on six features by least squares, over crossed folds of genes.
fn residuals(inputs: &Path) -> Result<Check> {
    let genes: Array2<f32> = read(inputs, "w7_cov")?;
    let scores: Array1<f32> = read(inputs, "w7_y")?;
    let n = genes.nrows();
    let scores = Array2::from_shape_vec((n, n), scores.mapv(f64::from).to_vec())?;
    let found = residualise(
        scores.view(),
        genes.mapv(f64::from).view(),
        EdgeModel::Linear,
        &ResidualParams::default(),
        Seeds::new(0),
        0,
    )?;
    Ok(vec![("r2", found.r_squared?)])
}

/// The first of five folds of pairs by trees: 3,200,000 pairs to fit, 800,000 to predict.
fn one_fold_of_trees(inputs: &Path) -> Result<Check> {
    let genes: Array2<f32> = read(inputs, "w7_cov")?;
    let scores: Array1<f32> = read(inputs, "w7_y")?;
    let fold_of: Array1<u8> = read(inputs, "w7_fold")?;
    let (n, width) = genes.dim();
    let (test, training): (Vec<usize>, Vec<usize>) = (0..n * n).partition(|&pair| fold_of[pair] == 0);
    let of_pairs = |pairs: &[usize]| {
        let mut columns = Array2::zeros((pairs.len(), 2 * width).f());
        for (j, mut column) in columns.axis_iter_mut(Axis(1)).enumerate() {
            for (value, &pair) in column.iter_mut().zip(pairs) {
                let gene = if j < width { pair / n } else { pair % n };
                *value = f64::from(genes[[gene, j % width]]);
            }
        }
        columns
    };
    let y: Vec<f64> = training.iter().map(|&pair| f64::from(scores[pair])).collect();
    let predicted = TREES
        .regress(of_pairs(&training).view(), &y)?
        .predict(of_pairs(&test).view());
    let values = test.iter().map(|&pair| f64::from(scores[pair]));
    let mean = values.clone().sum::<f64>() / test.len() as f64;
    let missed: f64 = values.clone().zip(&predicted).map(|(y, p)| (y - p).powi(2)).sum();
    let total: f64 = values.map(|y| (y - mean).powi(2)).sum();
    Ok(vec![("r2", 1.0 - missed / total)])
}
