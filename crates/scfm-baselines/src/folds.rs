use std::cmp::Reverse;

use crate::Error;

/// The fold of every group such that whole groups are held out and folds are of nearly equal size.
///
/// Groups go, largest first, to the lightest fold so far; groups of equal size in order of their number, folds of
/// equal weight in order of theirs. Fold sizes are those of scikit-learn's `GroupKFold`. Nothing is random.
///
/// ```
/// let fold = scfm_baselines::group_k_fold(&[5, 3, 3, 1], 2)?;
/// assert_eq!(fold, [0, 1, 1, 0]);
/// # Ok::<(), scfm_baselines::Error>(())
/// ```
///
/// # Errors
/// [`Error::Folds`] below two folds, [`scfm_stats::Undefined::TooFew`] with fewer groups than folds.
pub fn group_k_fold(group_sizes: &[usize], n_folds: usize) -> Result<Vec<usize>, Error> {
    if n_folds < 2 {
        return Err(Error::Folds(n_folds));
    }
    if group_sizes.len() < n_folds {
        return Err(crate::too_few(
            "groups for cross-validation",
            group_sizes.len(),
            n_folds,
        ));
    }
    let mut order: Vec<usize> = (0..group_sizes.len()).collect();
    order.sort_by_key(|&group| Reverse(group_sizes[group]));
    let mut weight = vec![0usize; n_folds];
    let mut fold_of = vec![0; group_sizes.len()];
    for group in order {
        let lightest = (0..n_folds)
            .min_by_key(|&fold| weight[fold])
            .expect("there are two folds or more");
        weight[lightest] += group_sizes[group];
        fold_of[group] = lightest;
    }
    Ok(fold_of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn impossible_requests_are_errors() {
        assert!(matches!(group_k_fold(&[1, 1], 1), Err(Error::Folds(1))));
        assert!(matches!(group_k_fold(&[1, 1], 3), Err(Error::Stats(_))));
    }

    proptest! {
        #[test]
        fn folds_differ_by_no_more_than_the_largest_group(
            sizes in prop::collection::vec(1usize..50, 5..60), n_folds in 2usize..6,
        ) {
            let fold = group_k_fold(&sizes, n_folds).unwrap();
            let mut weight = vec![0; n_folds];
            for (group, &f) in fold.iter().enumerate() {
                weight[f] += sizes[group];
            }
            let (low, high) = (weight.iter().min().unwrap(), weight.iter().max().unwrap());
            prop_assert!(high - low <= *sizes.iter().max().unwrap());
            prop_assert!(*low > 0);
        }
    }
}
