use ndarray::{Array2, ArrayView2};

use crate::{Error, group_k_fold};

/// What of a test pair no training pair shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// The perturbed gene.
    Perturbation,
    /// The target.
    Target,
    /// Both: training pairs share neither the perturbed gene nor the target with a test pair.
    ///
    /// Folds over pairs of a perturbation and a few targets, as published, hold out neither: every gene and every
    /// perturbation is still seen in training.
    Joint,
}

impl Split {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Perturbation, Self::Target, Self::Joint];

    /// Short name: `perturbation`, `target`, `joint`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Perturbation => "perturbation",
            Self::Target => "target",
            Self::Joint => "joint",
        }
    }
}

/// A part of a grid that is held out, and the part that may be trained on for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Rows whose pairs with `training_columns` are trained on.
    pub training_rows: Vec<usize>,
    /// Columns of the training pairs.
    pub training_columns: Vec<usize>,
    /// Rows whose pairs with `test_columns` are held out.
    pub test_rows: Vec<usize>,
    /// Columns of the held-out pairs.
    pub test_columns: Vec<usize>,
}

impl Block {
    /// The training pairs among `candidate`, as a mask.
    pub(crate) fn training_pairs(&self, candidate: ArrayView2<'_, bool>) -> Array2<bool> {
        let mut mask = Array2::from_elem(candidate.dim(), false);
        for &row in &self.training_rows {
            for &column in &self.training_columns {
                mask[[row, column]] = candidate[[row, column]];
            }
        }
        mask
    }
}

/// Folds of rows and folds of columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GridFolds {
    /// Fold of each row.
    pub of_row: Vec<usize>,
    /// Fold of each column.
    pub of_column: Vec<usize>,
    /// Number of folds of either.
    pub n: usize,
}

impl GridFolds {
    /// Folds of nearly equal numbers of candidates, by [`group_k_fold`] over rows and over columns. Columns without a
    /// candidate weigh nothing.
    ///
    /// # Errors
    /// Those of [`group_k_fold`].
    pub fn balanced(candidate: ArrayView2<'_, bool>, n: usize) -> Result<Self, Error> {
        let count = |cells: ndarray::ArrayView1<'_, bool>| cells.iter().filter(|&&c| c).count();
        let of_rows: Vec<usize> = candidate.rows().into_iter().map(count).collect();
        let of_columns: Vec<usize> = candidate.columns().into_iter().map(count).collect();
        Ok(Self {
            of_row: group_k_fold(&of_rows, n)?,
            of_column: group_k_fold(&of_columns, n)?,
            n,
        })
    }

    /// The blocks of a split: together they hold out every pair once.
    pub fn blocks(&self, split: Split) -> Vec<Block> {
        let pick = |fold_of: &[usize], fold: Option<usize>, held_out: bool| -> Vec<usize> {
            (0..fold_of.len())
                .filter(|&i| fold.is_none_or(|fold| (fold_of[i] == fold) == held_out))
                .collect()
        };
        let (rows, columns) = match split {
            Split::Perturbation => (self.n, 1),
            Split::Target => (1, self.n),
            Split::Joint => (self.n, self.n),
        };
        (0..rows * columns)
            .map(|i| {
                let row = (rows > 1).then_some(i / columns);
                let column = (columns > 1).then_some(i % columns);
                Block {
                    training_rows: pick(&self.of_row, row, false),
                    training_columns: pick(&self.of_column, column, false),
                    test_rows: pick(&self.of_row, row, true),
                    test_columns: pick(&self.of_column, column, true),
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_pair_is_held_out_once_and_shares_nothing_with_its_training_pairs(
            candidate in prop::collection::vec(any::<bool>(), 63), n in 2usize..5,
        ) {
            let candidate = Array2::from_shape_vec((7, 9), candidate).unwrap();
            let folds = GridFolds::balanced(candidate.view(), n).unwrap();
            for split in Split::ALL {
                let mut held_out = Array2::from_elem((7, 9), 0);
                for block in folds.blocks(split) {
                    let training = block.training_pairs(candidate.view());
                    for (&row, &column) in
                        block.test_rows.iter().flat_map(|row| block.test_columns.iter().map(move |c| (row, c)))
                    {
                        held_out[[row, column]] += 1;
                        if split != Split::Target {
                            prop_assert!(training.row(row).iter().all(|&t| !t));
                        }
                        if split != Split::Perturbation {
                            prop_assert!(training.column(column).iter().all(|&t| !t));
                        }
                    }
                    // Nothing that may be trained on is thrown away.
                    let allowed = |(row, column): (usize, usize)| match split {
                        Split::Perturbation => !block.test_rows.contains(&row),
                        Split::Target => !block.test_columns.contains(&column),
                        Split::Joint => !block.test_rows.contains(&row) && !block.test_columns.contains(&column),
                    };
                    for (pair, &trained) in training.indexed_iter() {
                        prop_assert_eq!(trained, candidate[pair] && allowed(pair));
                    }
                }
                prop_assert!(held_out.iter().all(|&n| n == 1));
            }
        }
    }
}
