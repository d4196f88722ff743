use std::fmt;

use forust_ml::gradientbooster::GrowPolicy;
use forust_ml::objective::ObjectiveType;
use forust_ml::{GradientBooster, Matrix};
use ndarray::{Array1, ArrayView2};

use crate::Error;

/// Gradient-boosted regression trees, grown leaf by leaf over histograms of at most 255 bins.
///
/// The defaults are those of arXiv:2602.17532: 200 trees of 31 leaves, learning rate 0.05, 40 rows in a leaf, classes
/// balanced. Nothing is random, and neither threads nor free memory change a bit of the result.
///
/// ```
/// use ndarray::Array2;
/// use scfm_baselines::BoostedTrees;
///
/// // Whoever lies in the middle responds, which no straight line can say.
/// let x = Array2::from_shape_fn((400, 1), |(i, _)| i as f64 / 400.0);
/// let labels: Vec<bool> = x.iter().map(|x| (x - 0.5_f64).abs() < 0.2).collect();
/// let fitted = BoostedTrees::default().classify(x.view(), &labels)?;
/// let log_odds = fitted.predict(x.view());
/// assert!(log_odds[200] > 0.0 && log_odds[0] < 0.0 && log_odds[399] < 0.0);
/// # Ok::<(), scfm_baselines::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoostedTrees {
    /// Number of trees.
    pub n_trees: usize,
    /// Most leaves of a tree.
    pub n_leaves: usize,
    /// Share of each tree's answer that is added.
    pub learning_rate: f64,
    /// Least curvature of the loss in a leaf, in rows of average weight at the prediction that knows no feature. For
    /// squared loss these are rows; for log loss a leaf whose rows are predicted with certainty needs more of them.
    pub min_child: f64,
    /// Whether each class counts as much as the other.
    pub balanced: bool,
}

impl Default for BoostedTrees {
    fn default() -> Self {
        Self {
            n_trees: 200,
            n_leaves: 31,
            learning_rate: 0.05,
            min_child: 40.0,
            balanced: true,
        }
    }
}

/// Thresholds that a feature is compared with at most; one more value of a byte is left for what is missing.
const BINS: u16 = 255;

impl BoostedTrees {
    /// Fits log-odds of `labels` on `x`, `[rows, features]`, by log loss.
    ///
    /// Columns that lie next to each other in memory (the transpose of a standard array) are not copied.
    ///
    /// # Errors
    /// [`Error::TreeParams`], [`Error::NotFinite`], [`scfm_stats::Undefined::OneClass`] where only one label occurs.
    ///
    /// # Panics
    /// When there is not one label per row.
    pub fn classify(&self, x: ArrayView2<'_, f64>, labels: &[bool]) -> Result<FittedTrees, Error> {
        assert_eq!(x.nrows(), labels.len(), "a label for every row");
        let n_pos = labels.iter().filter(|&&label| label).count();
        let n_neg = labels.len() - n_pos;
        if n_pos == 0 || n_neg == 0 {
            return Err(
                scfm_stats::Error::Undefined(scfm_stats::Undefined::OneClass { n_pos, n_neg }).into(),
            );
        }
        let share = n_pos as f64 / labels.len() as f64;
        let (of_positive, of_negative, start) = if self.balanced {
            (0.5 / share, 0.5 / (1.0 - share), 0.5)
        } else {
            (1.0, 1.0, share)
        };
        let weights: Vec<f64> = labels
            .iter()
            .map(|&label| if label { of_positive } else { of_negative })
            .collect();
        let y: Vec<f64> = labels.iter().map(|&label| f64::from(u8::from(label))).collect();
        self.fit(ObjectiveType::LogLoss, start * (1.0 - start), x, &y, &weights)
    }

    /// Fits the mean of `y` on `x`, `[rows, features]`, by squared loss.
    ///
    /// # Errors
    /// [`Error::TreeParams`], [`Error::NotFinite`]; [`scfm_stats::Undefined::TooFew`] without rows.
    ///
    /// # Panics
    /// When there is not one value per row.
    pub fn regress(&self, x: ArrayView2<'_, f64>, y: &[f64]) -> Result<FittedTrees, Error> {
        assert_eq!(x.nrows(), y.len(), "a value for every row");
        if y.is_empty() {
            return Err(crate::too_few("rows to fit trees on", 0, 1));
        }
        if let Some((row, &value)) = y.iter().enumerate().find(|(_, v)| !v.is_finite()) {
            return Err(Error::NotFinite {
                row,
                column: x.ncols(),
                value,
            });
        }
        self.fit(ObjectiveType::SquaredLoss, 1.0, x, y, &vec![1.0; y.len()])
    }

    /// `curvature` is that of the loss of a row of average weight where no feature is known.
    fn fit(
        &self,
        loss: ObjectiveType,
        curvature: f64,
        x: ArrayView2<'_, f64>,
        y: &[f64],
        weights: &[f64],
    ) -> Result<FittedTrees, Error> {
        self.check()?;
        if let Some(((row, column), &value)) = x.indexed_iter().find(|(_, v)| !v.is_finite()) {
            return Err(Error::NotFinite { row, column, value });
        }
        let mut booster = GradientBooster::default()
            .set_objective_type(loss)
            .set_iterations(self.n_trees)
            .set_learning_rate(self.learning_rate as f32)
            .set_max_leaves(self.n_leaves)
            // Leaves bound the tree; a path has fewer steps than the tree has leaves.
            .set_max_depth(self.n_leaves)
            .set_nbins(BINS)
            .set_parallel(worth_dividing(x.nrows()))
            .set_l2(0.0)
            .set_min_leaf_weight((self.min_child * curvature) as f32);
        booster.grow_policy = GrowPolicy::LossGuide;
        let columns = columns(x);
        booster
            .fit(&Matrix::new(&columns, x.nrows(), x.ncols()), y, weights, None)
            .map_err(Error::Trees)?;
        Ok(FittedTrees {
            booster,
            n_features: x.ncols(),
        })
    }

    fn check(&self) -> Result<(), Error> {
        let faults = [
            (self.n_trees == 0, "number of trees", self.n_trees as f64),
            (self.n_leaves < 2, "number of leaves", self.n_leaves as f64),
            (
                !(self.learning_rate > 0.0 && self.learning_rate <= 1.0),
                "learning rate",
                self.learning_rate,
            ),
            (
                !(self.min_child >= 0.0 && self.min_child.is_finite()),
                "least weight of a leaf",
                self.min_child,
            ),
        ];
        match faults.into_iter().find(|(wrong, ..)| *wrong) {
            Some((_, what, value)) => Err(Error::TreeParams { what, value }),
            None => Ok(()),
        }
    }
}

/// Fitted [`BoostedTrees`].
pub struct FittedTrees {
    booster: GradientBooster,
    n_features: usize,
}

impl FittedTrees {
    /// Log-odds or values of every row of `x`, `[rows, features]`.
    ///
    /// # Panics
    /// When `x` has another number of columns than the trees were fitted on.
    pub fn predict(&self, x: ArrayView2<'_, f64>) -> Array1<f64> {
        assert_eq!(
            x.ncols(),
            self.n_features,
            "the features that trees were fitted on"
        );
        if x.nrows() == 0 {
            return Array1::zeros(0);
        }
        let columns = columns(x);
        self.booster
            .predict(
                &Matrix::new(&columns, x.nrows(), x.ncols()),
                worth_dividing(x.nrows()),
            )
            .into()
    }
}

impl fmt::Debug for FittedTrees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FittedTrees")
            .field("trees", &self.booster.trees.len())
            .field("features", &self.n_features)
            .finish()
    }
}

/// Whether threads save more than it costs to deal out the work of each split; either way gives the same bits.
fn worth_dividing(n_rows: usize) -> bool {
    n_rows >= 1 << 14
}

/// The values column by column, as the library takes them.
fn columns(x: ArrayView2<'_, f64>) -> std::borrow::Cow<'_, [f64]> {
    match x.reversed_axes().to_slice() {
        Some(columns) => columns.into(),
        None => x.t().iter().copied().collect::<Vec<_>>().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    const FEW: BoostedTrees = BoostedTrees {
        n_trees: 20,
        n_leaves: 4,
        learning_rate: 0.3,
        min_child: 2.0,
        balanced: false,
    };

    #[test]
    fn bad_input_is_an_error_that_names_its_place() {
        let x = array![[0.0, 1.0], [1.0, f64::INFINITY]];
        let error = FEW.classify(x.view(), &[true, false]).unwrap_err();
        assert!(
            matches!(
                error,
                Error::NotFinite {
                    row: 1,
                    column: 1,
                    ..
                }
            ),
            "{error}"
        );
        let x = array![[0.0], [1.0]];
        let error = FEW.regress(x.view(), &[0.0, f64::NAN]).unwrap_err();
        assert!(matches!(
            error,
            Error::NotFinite {
                row: 1,
                column: 1,
                ..
            }
        ));
        let error = FEW.classify(x.view(), &[true, true]).unwrap_err().to_string();
        assert!(error.contains("one class only"), "{error}");
        assert!(FEW.regress(Array2::zeros((0, 1)).view(), &[]).is_err());
        for (trees, what) in [
            (BoostedTrees { n_trees: 0, ..FEW }, "trees"),
            (BoostedTrees { n_leaves: 1, ..FEW }, "leaves"),
            (
                BoostedTrees {
                    learning_rate: f64::NAN,
                    ..FEW
                },
                "rate",
            ),
            (
                BoostedTrees {
                    min_child: -1.0,
                    ..FEW
                },
                "leaf",
            ),
        ] {
            let error = trees.regress(x.view(), &[0.0, 1.0]).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn one_split_is_the_best_of_all_and_its_leaves_are_means() {
        let x = array![[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]];
        let y = [1.0, 2.0, 1.5, 7.0, 8.0, 9.0];
        let stump = BoostedTrees {
            n_trees: 1,
            n_leaves: 2,
            learning_rate: 1.0,
            min_child: 1.0,
            balanced: false,
        };
        let found = stump.regress(x.view(), &y).unwrap().predict(x.view());
        for (found, expected) in found.iter().zip([1.5, 1.5, 1.5, 8.0, 8.0, 8.0]) {
            // Leaves are stored in single precision.
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        // The best split would leave two rows alone.
        let lonely = [1.0, 2.0, 1.5, 1.0, 8.0, 9.0];
        let wide = BoostedTrees {
            min_child: 3.0,
            ..stump
        };
        let found = wide.regress(x.view(), &lonely).unwrap().predict(x.view());
        assert!(
            (found[0] - 1.5).abs() < 1e-6 && (found[5] - 6.0).abs() < 1e-6,
            "{found}"
        );
    }

    #[test]
    fn balanced_classes_start_at_even_odds() {
        let x = Array2::<f64>::zeros((100, 1));
        let labels: Vec<bool> = (0..100).map(|i| i < 10).collect();
        let log_odds = |balanced| {
            let trees = BoostedTrees { balanced, ..FEW };
            trees.classify(x.view(), &labels).unwrap().predict(x.view())[0]
        };
        assert!(log_odds(true).abs() < 1e-6);
        assert!((log_odds(false) - (10.0_f64 / 90.0).ln()).abs() < 1e-6);
    }

    #[test]
    fn the_layout_of_the_columns_changes_no_bit() {
        let x = Array2::from_shape_fn((60, 3), |(i, j)| ((i * 7 + j * 13) % 17) as f64);
        let y: Vec<f64> = x.rows().into_iter().map(|r| r[0] * r[1] - r[2]).collect();
        let turned = x.t().to_owned();
        let (a, b) = (
            FEW.regress(x.view(), &y).unwrap(),
            FEW.regress(turned.t(), &y).unwrap(),
        );
        assert_eq!(a.predict(x.view()), b.predict(turned.t()));
    }
}
