//! Designs of rows that share columns: definitions written out in full, refusals, and what must change nothing.

mod worlds;

use ndarray::{Array2, Axis, array};
use rayon::ThreadPoolBuilder;
use scfm_stats::*;
use worlds::{Draw, World, stream};

/// The same sum in another order.
const ROUNDING: f64 = 1e-12;

const ANY: CrossedLimits = CrossedLimits {
    min_rows: 2,
    min_effective_genes: 1.0,
};

fn world(rows: usize, columns: usize) -> World {
    World {
        rows,
        columns,
        median_positives: 8.0,
        propensity: 1.5,
        shared: 0.5,
        signal: 0.3,
    }
}

fn draw(rows: usize, columns: usize, index: u64) -> Draw {
    world(rows, columns).draw(&mut stream(11, index))
}

/// The crossed variance from pairs of cells: influences of two rows multiply where they share a column.
fn naive_variance(scores: &[&Array2<f64>], draw: &Draw) -> (f64, f64) {
    let (rows, columns) = draw.positive.dim();
    let class = |row: usize, wanted: bool| {
        (0..columns).filter(move |&c| draw.candidate[[row, c]] && draw.positive[[row, c]] == wanted)
    };
    let win = |scores: &Array2<f64>, row, i, j| {
        let (a, b) = (scores[[row, i]], scores[[row, j]]);
        if a > b {
            1.0
        } else if a == b {
            0.5
        } else {
            0.0
        }
    };
    // The second score, where there is one, counts against the first.
    let kernel =
        |row, i, j| win(scores[0], row, i, j) - scores.get(1).map_or(0.0, |scores| win(scores, row, i, j));
    let auroc = |row| {
        let values: Vec<f64> = class(row, true)
            .flat_map(|i| class(row, false).map(move |j| (i, j)))
            .map(|(i, j)| kernel(row, i, j))
            .collect();
        values.iter().sum::<f64>() / values.len() as f64
    };
    let aurocs: Vec<f64> = (0..rows).map(auroc).collect();
    let mean = aurocs.iter().sum::<f64>() / rows as f64;
    let psi = |row: usize, column: usize| {
        if !draw.candidate[[row, column]] {
            return 0.0;
        }
        let placement: Vec<f64> = if draw.positive[[row, column]] {
            class(row, false).map(|j| kernel(row, column, j)).collect()
        } else {
            class(row, true).map(|i| kernel(row, i, column)).collect()
        };
        let own = class(row, draw.positive[[row, column]]).count() as f64;
        (placement.iter().sum::<f64>() / placement.len() as f64 - mean) / (rows as f64 * own)
    };
    let between = aurocs.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / (rows * (rows - 1)) as f64;
    let mut shared = 0.0;
    for column in 0..columns {
        for p in 0..rows {
            for q in (0..rows).filter(|&q| q != p) {
                shared += psi(p, column) * psi(q, column);
            }
        }
    }
    (mean, between + shared.max(0.0))
}

#[test]
fn variance_agrees_with_its_definition() {
    for index in 0..4 {
        let mut draw = draw(7, 16, index);
        // Rounded scores bring ties.
        draw.scores
            .iter_mut()
            .for_each(|scores| scores.mapv_inplace(|score| (score * 2.0).round()));
        let [a, b] = &draw.scores;

        let crossed = crossed_auroc(a.view(), draw.labels(), &ANY).unwrap();
        let (mean, variance) = naive_variance(&[a], &draw);
        assert!((crossed.mean - mean).abs() < ROUNDING);
        assert!((crossed.standard_error.powi(2) - variance).abs() < ROUNDING);
        assert!((crossed.test.statistic - (mean - 0.5) / variance.sqrt()).abs() < 1e-9);
        assert!((crossed.test.effect - mean).abs() < ROUNDING);
        let ci = crossed.test.ci.unwrap();
        assert!((ci.low + ci.high - 2.0 * mean).abs() < ROUNDING);

        let difference = crossed_difference(a.view(), b.view(), draw.labels(), &ANY).unwrap();
        let (mean, variance) = naive_variance(&[a, b], &draw);
        assert!((difference.mean - mean).abs() < ROUNDING);
        assert!((difference.standard_error.powi(2) - variance).abs() < ROUNDING);
    }
}

#[test]
fn effective_genes_count_equal_columns() {
    // c = (2, 2, 1, 1, 0) / 3, hence 6² / (4 + 4 + 1 + 1).
    let positive = array![[true, true, true, false, false], [true, true, false, true, false]];
    let candidate = Array2::from_elem((2, 5), true);
    let labels = LabelledGrid {
        positive: positive.view(),
        candidate: candidate.view(),
    };
    let scores = array![[5.0, 1.0, 4.0, 2.0, 3.0], [1.0, 5.0, 3.0, 2.5, 2.0]];
    let crossed = crossed_auroc(scores.view(), labels, &ANY).unwrap();
    assert!((crossed.effective_genes - 36.0 / 10.0).abs() < ROUNDING);
    assert_eq!(crossed.df, 1.0);
}

#[test]
fn order_of_rows_and_columns_and_scale_of_rows_change_nothing() {
    let draw = draw(21, 60, 5);
    let base = crossed_auroc(draw.scores[0].view(), draw.labels(), &ANY).unwrap();
    let columns: Vec<usize> = (0..60).map(|i| i * 7 % 60).collect();
    let rows: Vec<usize> = (0..21).rev().collect();
    let moved = |matrix: &Array2<bool>| matrix.select(Axis(1), &columns).select(Axis(0), &rows);
    let mut scores = draw.scores[0].select(Axis(1), &columns).select(Axis(0), &rows);
    for (row, mut scores) in scores.outer_iter_mut().enumerate() {
        scores.mapv_inplace(|score| (score / 4.0 + row as f64 / 10.0).exp());
    }
    let (positive, candidate) = (moved(&draw.positive), moved(&draw.candidate));
    let labels = LabelledGrid {
        positive: positive.view(),
        candidate: candidate.view(),
    };
    let again = crossed_auroc(scores.view(), labels, &ANY).unwrap();
    assert!((again.standard_error - base.standard_error).abs() < ROUNDING);
    assert!((again.mean - base.mean).abs() < ROUNDING);
}

#[test]
fn cells_outside_the_candidates_are_never_read() {
    let draw = draw(20, 40, 6);
    let mut changed = draw.scores[0].clone();
    for ((row, column), score) in changed.indexed_iter_mut() {
        if !draw.candidate[[row, column]] {
            *score = if row % 2 == 0 { f64::NAN } else { 1e9 };
        }
    }
    let (a, b) = (draw.scores[0].view(), changed.view());
    let labels = draw.labels();
    let streams = |i| stream(1, i);
    assert_eq!(crossed_auroc(a, labels, &ANY), crossed_auroc(b, labels, &ANY));
    assert_eq!(
        gene_permutation_auroc(a, labels, 50, streams),
        gene_permutation_auroc(b, labels, 50, streams)
    );
    assert_eq!(
        two_way_bootstrap(&[a], labels, 20, streams),
        two_way_bootstrap(&[b], labels, 20, streams)
    );
}

#[test]
fn designs_without_an_answer_say_why() {
    let draw = draw(19, 60, 7);
    let limits = CrossedLimits::default();
    let scores = draw.scores[0].view();
    assert!(matches!(
        crossed_difference(scores, draw.scores[1].view(), draw.labels(), &limits),
        Err(Error::Undefined(Undefined::NotDecidable {
            rows: 19,
            min_rows: 20,
            ..
        }))
    ));

    let mut one_class = draw.positive.clone();
    one_class.row_mut(3).fill(false);
    let labels = LabelledGrid {
        positive: one_class.view(),
        candidate: draw.candidate.view(),
    };
    let reason = Undefined::OneClassRow {
        row: 3,
        n_pos: 0,
        n_neg: 59,
    };
    assert_eq!(crossed_auroc(scores, labels, &ANY), Err(reason.into()));
    let rows = row_aurocs(scores, labels).unwrap();
    assert_eq!(rows[3], Err(Undefined::OneClass { n_pos: 0, n_neg: 59 }));
    assert!(rows[4].is_ok());

    let mut broken = draw.scores[0].clone();
    broken[[2, 5]] = f64::NAN;
    assert_eq!(
        crossed_auroc(broken.view(), draw.labels(), &ANY),
        Err(Error::CellNotANumber {
            what: "score",
            row: 2,
            column: 5
        })
    );
    let narrow = draw.scores[0].slice_axis(Axis(1), ndarray::Slice::from(1..));
    assert_eq!(
        crossed_auroc(narrow, draw.labels(), &ANY),
        Err(Error::Shape {
            what: "scores",
            expected: (19, 60),
            got: (19, 59)
        })
    );
    let perfect = draw.positive.mapv(|positive| f64::from(u8::from(positive)));
    assert!(matches!(
        crossed_auroc(perfect.view(), draw.labels(), &ANY),
        Err(Error::Undefined(Undefined::NoVariance { .. }))
    ));
}

#[test]
fn a_score_does_not_differ_from_itself_and_a_constant_one_not_from_chance() {
    let draw = draw(20, 60, 8);
    let scores = draw.scores[0].view();
    let itself = crossed_difference(scores, scores, draw.labels(), &ANY).unwrap();
    assert_eq!((itself.mean, itself.test.p.p()), (0.0, 1.0));
    let constant = Array2::ones(scores.dim());
    let chance = crossed_auroc(constant.view(), draw.labels(), &ANY).unwrap();
    assert_eq!((chance.mean, chance.test.p.p()), (0.5, 1.0));
}

/// All orders of 0..n.
fn orders(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(n - 1);
    shorter
        .iter()
        .flat_map(|order| (0..n).map(move |at| [&order[..at], &[n - 1], &order[at..]].concat()))
        .collect()
}

#[test]
fn gene_permutation_estimates_the_share_of_all_permutations() {
    let positive = array![
        [true, true, false, false, false, true],
        [true, false, true, false, false, false],
        [true, true, false, true, false, false]
    ];
    let candidate = Array2::from_elem((3, 6), true);
    let labels = LabelledGrid {
        positive: positive.view(),
        candidate: candidate.view(),
    };
    let scores = array![
        [6.0, 5.0, 2.0, 1.0, 3.0, 4.0],
        [4.0, 2.0, 5.0, 3.0, 1.0, 1.0],
        [3.0, 6.0, 2.0, 5.0, 5.0, 1.0]
    ];
    let mean = |scores: &Array2<f64>| {
        let rows = row_aurocs(scores.view(), labels).unwrap();
        rows.into_iter().map(Result::unwrap).sum::<f64>() / 3.0
    };
    let observed = (mean(&scores) - 0.5).abs();
    let orders = orders(6);
    let as_far = orders
        .iter()
        .filter(|order| (mean(&scores.select(Axis(1), order)) - 0.5).abs() >= observed - ROUNDING);
    let exact = as_far.count() as f64 / orders.len() as f64;
    let test = gene_permutation_auroc(scores.view(), labels, 4000, |i| stream(3, i)).unwrap();
    assert!(exact > 0.001 && exact < 0.5, "{exact}");
    assert!(
        permutation_p_interval(test.p, 4000).unwrap().contains(exact),
        "{} is not {exact}",
        test.p
    );
}

#[test]
fn permutations_that_empty_a_row_leave_it_out() {
    // Of two candidates in row 0, a permutation may bring in the score of column 2, which has none.
    let positive = Array2::from_shape_fn((6, 4), |(row, column)| column < if row == 0 { 1 } else { 2 });
    let mut candidate = Array2::from_elem((6, 4), true);
    let mut scores = Array2::from_shape_fn((6, 4), |(_, column)| 4.0 - column as f64);
    for column in [2, 3] {
        candidate[[0, column]] = false;
        scores[[0, column]] = f64::NAN;
    }
    let labels = LabelledGrid {
        positive: positive.view(),
        candidate: candidate.view(),
    };
    let test = gene_permutation_auroc(scores.view(), labels, 999, |i| stream(4, i)).unwrap();
    // The other rows keep their AUROC of 1, or turn it into 0, in 4 of 24 orders each; row 0 must then follow or be left
    // out.
    assert_eq!(test.effect, 1.0);
    assert!(test.p.p() < 0.4, "{}", test.p);

    // With another row like it a tenth of the cells and more is no candidate, and nothing can be said.
    candidate[[1, 3]] = false;
    let labels = LabelledGrid {
        positive: positive.view(),
        candidate: candidate.view(),
    };
    assert!(matches!(
        gene_permutation_auroc(scores.view(), labels, 999, |i| stream(4, i)),
        Err(Error::Undefined(Undefined::TooFew {
            n: 21,
            needed: 22,
            ..
        }))
    ));
}

#[test]
fn a_difference_from_draws_is_as_sure_as_the_draws_agree() {
    let draw = draw(60, 200, 12);
    let [a, b] = [draw.scores[0].view(), draw.scores[1].view()];
    let difference = crossed_difference(a, b, draw.labels(), &ANY).unwrap();
    let alike = difference.against_draws(&[0.6, 0.6, 0.6]).unwrap();
    assert_eq!(alike.effect, difference.test.effect);
    assert!((alike.p.p() - difference.test.p.p()).abs() < ROUNDING);
    let apart = difference.against_draws(&[0.6, 0.5, 0.7]).unwrap();
    assert!((apart.statistic * (0.01f64 * (4.0 / 3.0)).sqrt()).abs() < apart.effect.abs());
    assert!(apart.ci.unwrap().high > alike.ci.unwrap().high && apart.p > alike.p);
    assert!(matches!(
        difference.against_draws(&[0.6]),
        Err(Error::Undefined(Undefined::TooFew { .. }))
    ));
}

#[test]
fn two_way_bootstrap_is_at_least_as_wide_as_the_crossed_interval() {
    let draw = draw(60, 200, 9);
    let [a, b] = [draw.scores[0].view(), draw.scores[1].view()];
    let boot = two_way_bootstrap(&[a, b], draw.labels(), 400, |i| stream(5, i)).unwrap();
    let crossed = crossed_auroc(a, draw.labels(), &ANY).unwrap();
    assert!((boot.means[0] - crossed.mean).abs() < ROUNDING);
    let interval = boot.mean_interval(0);
    let ratio = (interval.high - interval.low) / (2.0 * 1.96 * crossed.standard_error);
    assert!((0.85..2.0).contains(&ratio), "{ratio}");
    let difference = crossed_difference(a, b, draw.labels(), &ANY).unwrap();
    assert!(boot.difference_interval(0, 1).contains(difference.mean));
}

#[test]
fn threads_change_no_bit() {
    let draw = draw(20, 80, 10);
    let [a, b] = [draw.scores[0].view(), draw.scores[1].view()];
    let square = Array2::from_shape_fn((30, 30), |(i, j)| ((i * 31 + j * 17) % 29) as f64);
    let columns = draw.scores[0].view();
    let all = |threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            (
                crossed_difference(a, b, draw.labels(), &ANY).unwrap(),
                gene_permutation_auroc(a, draw.labels(), 99, |i| stream(6, i)).unwrap(),
                two_way_bootstrap(&[a, b], draw.labels(), 50, |i| stream(7, i)).unwrap(),
                bootstrap_mean(&[1.0, 0.3, 0.7, 2.2], 200, |i| stream(8, i)).unwrap(),
                node_permutation_spearman(square.view(), square.t(), 99, |i| stream(9, i)).unwrap(),
                spearman_columns(columns),
            )
        })
    };
    assert_eq!(all(1), all(3));
}

#[test]
fn bootstrap_of_a_mean_is_as_wide_as_its_t_interval() {
    let values: Vec<f64> = (0..200).map(|i| f64::from(i * 37 % 101)).collect();
    let interval = bootstrap_mean(&values, 4000, |i| stream(12, i)).unwrap();
    let t = one_sample_t(&values, 0.0).unwrap().ci.unwrap();
    let ratio = (interval.high - interval.low) / (t.high - t.low);
    assert!((0.95..1.05).contains(&ratio), "{ratio}");
    assert_eq!(
        bootstrap_mean(&[], 10, |i| stream(12, i)),
        Err(Error::Empty { what: "value" })
    );
}

/// A contrast of designs with labels and candidates of their own, against the influences written out cell by cell.
#[test]
fn a_contrast_is_the_weighted_sum_of_the_influences_of_its_designs() {
    let (first, second) = (draw(12, 40, 3), draw(12, 40, 4));
    let weights = [1.0, -1.0, -0.5];
    let scores = [&first.scores[0], &second.scores[1], &first.scores[1]];
    let draws = [&first, &second, &second];
    let designs: Vec<Design> = (0..3)
        .map(|k| Design {
            weight: weights[k],
            scores: scores[k].view(),
            labels: draws[k].labels(),
        })
        .collect();
    let found = crossed_contrast(&designs, &ANY).unwrap();

    let (rows, columns) = scores[0].dim();
    let mut psi = Array2::<f64>::zeros((rows, columns));
    let mut per_row = vec![0.0; rows];
    for k in 0..3 {
        let (positive, candidate) = (&draws[k].positive, &draws[k].candidate);
        let aurocs: Vec<f64> = row_aurocs(scores[k].view(), draws[k].labels())
            .unwrap()
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let mean = aurocs.iter().sum::<f64>() / rows as f64;
        for row in 0..rows {
            per_row[row] += weights[k] * aurocs[row];
            let cells = |wanted: bool| {
                (0..columns).filter(move |&c| candidate[[row, c]] && positive[[row, c]] == wanted)
            };
            for wanted in [true, false] {
                let own = cells(wanted).count() as f64;
                for column in cells(wanted) {
                    let s = |c: usize| scores[k][[row, c]];
                    let beats = |i: usize, j: usize| {
                        f64::from(u8::from(s(i) > s(j))) + 0.5 * f64::from(u8::from(s(i) == s(j)))
                    };
                    let others: Vec<f64> = cells(!wanted)
                        .map(|other| {
                            if wanted {
                                beats(column, other)
                            } else {
                                beats(other, column)
                            }
                        })
                        .collect();
                    let placement = others.iter().sum::<f64>() / others.len() as f64;
                    psi[[row, column]] += weights[k] * (placement - mean) / (rows as f64 * own);
                }
            }
        }
    }
    let mean = per_row.iter().sum::<f64>() / rows as f64;
    let between = per_row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (rows * (rows - 1)) as f64;
    let shared: f64 = psi
        .axis_iter(Axis(1))
        .map(|column| column.sum().powi(2) - column.iter().map(|x| x * x).sum::<f64>())
        .sum();
    let expected = (between + shared.max(0.0)).sqrt();
    assert!((found.mean - mean).abs() < ROUNDING);
    assert!(
        (found.standard_error - expected).abs() < ROUNDING,
        "{} {expected}",
        found.standard_error
    );
}

/// What two designs share cancels, so that a score has no difference to itself.
#[test]
fn a_design_against_itself_leaves_nothing() {
    let draw = draw(25, 60, 5);
    let design = |weight| Design {
        weight,
        scores: draw.scores[0].view(),
        labels: draw.labels(),
    };
    let none = crossed_contrast(&[design(1.0), design(-1.0)], &ANY).unwrap();
    assert_eq!((none.mean, none.standard_error), (0.0, 0.0));
    assert_eq!(none.test.p.p(), 1.0);
    assert!(matches!(
        crossed_contrast(&[], &ANY),
        Err(Error::Empty {
            what: "list of designs"
        })
    ));
}
