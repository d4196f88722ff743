use ndarray::ArrayView2;

use crate::error::{Error, Undefined, numbers};
use crate::ranks::mid_ranks;
use crate::result::{Alternative, EffectKind, TestResult};
use crate::{Estimate, Moments, PValue, Sides};

/// Up to this many columns and rows without ties the null distribution of Page's L is counted out.
const EXACT_COLUMNS: usize = 8;
const EXACT_ROWS: usize = 12;

/// Page's test that the values of each row rise with the column, one-sided.
///
/// Values `[rows, columns]`: rows are blocks (perturbations, seeds), columns the predicted order (doses). Statistic L =
/// Σ_j j · (sum of the ranks in column j); effect = mean over rows of Spearman's correlation of value and column. p from
/// the exact distribution up to 8 columns and 12 rows without ties, else from the normal one with the variance of the
/// ranks as they are tied. The interval is the t interval of the mean over rows, on the scale of Fisher's z. Oracle:
/// `scipy.stats.page_trend_test`, which has no other alternative, and whose variance ignores ties: where there are any its
/// p is too large.
///
/// ```
/// use ndarray::array;
/// use scfm_stats::page_trend;
///
/// let test = page_trend(array![[0.1, 0.4, 0.9], [0.2, 0.3, 0.5]].view())?;
/// // Both rows rise, as 1 of 6 · 6 pairs of orders do.
/// assert!((test.p.p() - 1.0 / 36.0).abs() < 1e-15);
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// [`Undefined::TooFew`] below three columns or two rows, [`Undefined::Constant`] where every row is constant;
/// [`Error::CellNotANumber`].
pub fn page_trend(values: ArrayView2<f64>) -> Result<TestResult, Error> {
    let (n_rows, n_columns) = values.dim();
    for (what, n, needed) in [("columns", n_columns, 3), ("rows", n_rows, 2)] {
        if n < needed {
            return Err(Undefined::TooFew { what, n, needed }.into());
        }
    }
    if let Some(((row, column), _)) = values.indexed_iter().find(|(_, value)| value.is_nan()) {
        return Err(Error::CellNotANumber {
            what: "value",
            row,
            column,
        });
    }
    let k = n_columns as f64;
    let middle = (k + 1.0) / 2.0;
    // Σ (j - middle)² of the predicted order, and of ranks without ties.
    let spread = k * (k * k - 1.0) / 12.0;
    let (mut statistic, mut variance, mut ties) = (0.0, 0.0, false);
    let mut of_rows = Vec::with_capacity(n_rows);
    for row in values.outer_iter() {
        let ranks = mid_ranks(&row.to_vec())?;
        let of_row: f64 = ranks.iter().zip(1..).map(|(rank, j)| rank * f64::from(j)).sum();
        let of_ranks: f64 = ranks.iter().map(|rank| (rank - middle).powi(2)).sum();
        statistic += of_row;
        variance += spread * of_ranks / (k - 1.0);
        ties |= of_ranks < spread;
        // A constant row speaks for no direction.
        of_rows.push(if of_ranks > 0.0 {
            (of_row - k * middle * middle) / (spread * of_ranks).sqrt()
        } else {
            0.0
        });
    }
    if variance == 0.0 {
        return Err(Undefined::Constant { what: "every row" }.into());
    }
    let (method, sides) = if !ties && n_columns <= EXACT_COLUMNS && n_rows <= EXACT_ROWS {
        let exact = page_exact(n_rows, n_columns, statistic as usize);
        ("Page trend test, exact", exact)
    } else {
        let expected = n_rows as f64 * k * middle * middle;
        let z = (statistic - expected) / variance.sqrt();
        ("Page trend test", Sides::of_z(z))
    };
    let rows = Moments::of(&of_rows);
    let mean = Estimate::of_mean(rows, 0.0)?;
    Ok(TestResult {
        method,
        alternative: Alternative::Greater,
        statistic,
        p: sides.greater,
        sides: Some(sides),
        effect: rows.mean,
        effect_kind: EffectKind::Correlation,
        ci: mean.bounded_interval(),
        n: n_rows,
        n_unit: "rows",
    })
}

/// From all orders of every row.
fn page_exact(n_rows: usize, n_columns: usize, statistic: usize) -> Sides {
    // How many orders of one row have each Σ j r_j, giving out the ranks column by column: how many ranks are given
    // out says which column is next.
    let most = n_columns * (n_columns + 1) * (2 * n_columns + 1) / 6;
    let mut orders = vec![vec![0.0; most + 1]; 1 << n_columns];
    orders[0][0] = 1.0;
    for given in 0..(1usize << n_columns) - 1 {
        let column = given.count_ones() as usize + 1;
        let sums = std::mem::take(&mut orders[given]);
        for rank in (0..n_columns).filter(|rank| given & (1 << rank) == 0) {
            let add = column * (rank + 1);
            let next = &mut orders[given | (1 << rank)];
            for (sum, n) in sums.iter().enumerate().filter(|(_, n)| **n > 0.0) {
                next[sum + add] += n;
            }
        }
    }
    let one = orders.pop().expect("there is a set of all ranks");
    let all: f64 = one.iter().sum();
    let mut rows = vec![1.0];
    for _ in 0..n_rows {
        let mut next = vec![0.0; rows.len() + most];
        for (sum, share) in rows.iter().enumerate().filter(|(_, share)| **share > 0.0) {
            for (add, n) in one.iter().enumerate() {
                next[sum + add] += share * n / all;
            }
        }
        rows = next;
    }
    let share = |rows: &[f64]| PValue::new(rows.iter().sum::<f64>().min(1.0));
    Sides::doubled(share(&rows[statistic..]), share(&rows[..=statistic]))
}

/// Jonckheere and Terpstra's test that values rise from group to group, one-sided.
///
/// Statistic J = Σ over pairs of groups of the pairs of values in the predicted order, ties ½; effect = 2 J / (number of
/// pairs) - 1. Normal approximation with the variance for ties (Hollander and Wolfe 1999, eq. 6.19), no continuity
/// correction. The interval is that of DeLong for more than two groups: the variance of each value's pairs in order, within
/// groups, on the scale of Fisher's z; groups of one value leave none. Cost O(n k log n) for n values in k groups.
/// Oracle: the formulae over all pairs in NumPy, and the moments over all arrangements of small groups.
///
/// ```
/// use scfm_stats::jonckheere_terpstra;
///
/// let doses: [&[f64]; 3] = [&[1.0, 2.0, 1.5], &[1.8, 2.5, 3.0], &[2.8, 4.0, 3.5]];
/// let test = jonckheere_terpstra(&doses)?;
/// assert_eq!((test.statistic, test.p.p() < 0.01), (25.0, true));
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// [`Undefined::TooFew`] below two groups with values, [`Undefined::Constant`] where all values are one;
/// [`Error::NotANumber`].
pub fn jonckheere_terpstra(groups: &[&[f64]]) -> Result<TestResult, Error> {
    let groups: Vec<&[f64]> = groups.iter().copied().filter(|group| !group.is_empty()).collect();
    if groups.len() < 2 {
        return Err(Undefined::TooFew {
            what: "groups with values",
            n: groups.len(),
            needed: 2,
        }
        .into());
    }
    let sorted_values = |values: &[f64]| {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted
    };
    let pooled = groups.concat();
    numbers("value", &pooled)?;
    let pooled = sorted_values(&pooled);
    let ties: Vec<f64> = pooled
        .chunk_by(|a, b| a == b)
        .map(|tied| tied.len() as f64)
        .collect();
    if ties.len() == 1 {
        return Err(Undefined::Constant { what: "every value" }.into());
    }
    let sorted: Vec<Vec<f64>> = groups.iter().map(|group| sorted_values(group)).collect();
    let in_order: Vec<Moments> = (0..sorted.len()).map(|group| in_order(&sorted, group)).collect();
    let sizes: Vec<f64> = groups.iter().map(|group| group.len() as f64).collect();
    let n = pooled.len() as f64;
    let n_pairs = 0.5 * (n * n - sizes.iter().map(|size| size * size).sum::<f64>());
    // Every pair is seen from either end: in order minus against, twice.
    let balance: f64 = in_order
        .iter()
        .map(|group| group.mean * group.n as f64)
        .sum::<f64>()
        / 2.0;
    let statistic = 0.5 * (n_pairs + balance.round());
    let sum = |sizes: &[f64], term: fn(f64) -> f64| sizes.iter().map(|&size| term(size)).sum::<f64>();
    let pairs = |t: f64| t * (t - 1.0);
    let triples = |t: f64| t * (t - 1.0) * (t - 2.0);
    let weighted = |t: f64| t * (t - 1.0) * (2.0 * t + 5.0);
    let mut variance = (weighted(n) - sum(&sizes, weighted) - sum(&ties, weighted)) / 72.0
        + sum(&sizes, pairs) * sum(&ties, pairs) / (8.0 * pairs(n));
    if n > 2.0 {
        variance += sum(&sizes, triples) * sum(&ties, triples) / (36.0 * triples(n));
    }
    let sides = Sides::of_z((statistic - n_pairs / 2.0) / variance.sqrt());
    let effect = 2.0 * statistic / n_pairs - 1.0;
    let squared_error: f64 = in_order
        .iter()
        .map(|group| group.variance * group.n as f64)
        .sum::<f64>();
    let ci = Estimate::new(effect, squared_error.sqrt() / n_pairs, n - groups.len() as f64);
    Ok(TestResult {
        method: "Jonckheere-Terpstra test",
        alternative: Alternative::Greater,
        statistic,
        p: sides.greater,
        sides: Some(sides),
        effect,
        effect_kind: EffectKind::RankBiserial,
        // A group of one value has no variance, and with it the whole has none.
        ci: ci.ok().and_then(Estimate::bounded_interval),
        n: pooled.len(),
        n_unit: "values",
    })
}

/// Over the values of a group: how many values of other groups each is in order with, minus those it is not. This is the
/// influence of the value on the statistic, as DeLong's placements are on an AUROC.
fn in_order(sorted: &[Vec<f64>], group: usize) -> Moments {
    let of_value = |value: f64| -> f64 {
        let others = sorted.iter().enumerate().filter(|(other, _)| *other != group);
        others
            .map(|(other, values)| {
                let below = values.partition_point(|&x| x < value) as f64;
                let up_to = values.partition_point(|&x| x <= value) as f64;
                let above = values.len() as f64 - up_to;
                if other < group {
                    below - above
                } else {
                    above - below
                }
            })
            .sum()
    };
    let counts: Vec<f64> = sorted[group].iter().map(|&value| of_value(value)).collect();
    Moments::of(&counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tails::ln_normal_sf;

    #[test]
    fn the_approximation_has_the_moments_of_all_arrangements() {
        // Over all arrangements of values with ties into groups of 2, 1 and 2.
        let values = [0.0, 1.0, 1.0, 2.0, 3.0];
        let mut tests = Vec::new();
        let mut orders = vec![(0..5).collect::<Vec<usize>>()];
        for first in 0..5 {
            for (a, b) in (0..5).flat_map(|a| (a + 1..5).map(move |b| (a, b))) {
                let rest: Vec<usize> = (0..5).filter(|i| ![first, a, b].contains(i)).collect();
                if a != first && b != first {
                    orders.push([&[a, b, first][..], &rest].concat());
                }
            }
        }
        orders.remove(0);
        assert_eq!(orders.len(), 30);
        for order in orders {
            let at =
                |range: std::ops::Range<usize>| order[range].iter().map(|&i| values[i]).collect::<Vec<_>>();
            tests.push(jonckheere_terpstra(&[&at(0..2), &at(2..3), &at(3..5)]).unwrap());
        }
        let mean = tests.iter().map(|t| t.statistic).sum::<f64>() / 30.0;
        let variance = tests.iter().map(|t| (t.statistic - mean).powi(2)).sum::<f64>() / 30.0;
        assert!((mean - 4.0).abs() < 1e-12);
        for test in tests {
            let z = (test.statistic - mean) / variance.sqrt();
            assert!((test.p.ln_p() - ln_normal_sf(z)).abs() < 1e-12, "{test:?}");
            let both = test.against(Alternative::TwoSided).unwrap().p;
            assert!((both.ln_p() - Sides::of_z(z).two_sided.ln_p()).abs() < 1e-12);
        }
    }

    #[test]
    fn page_is_exact_where_all_orders_can_be_counted() {
        // Of 3! orders of one row, L is 14 once, 13 twice, 11 twice, 10 once.
        assert!((page_exact(1, 3, 11).less.p() - 0.5).abs() < 1e-15);
        for (statistic, share) in [(14, 1.0 / 6.0), (13, 0.5), (11, 5.0 / 6.0), (10, 1.0)] {
            assert!((page_exact(1, 3, statistic).greater.p() - share).abs() < 1e-15);
        }
    }
}
