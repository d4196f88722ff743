//! Partial correlation of pair scores with memberships by permutation of nodes, and of group means by permutation.

mod worlds;

use ndarray::Array2;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use scfm_stats::*;
use worlds::stream;

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

/// A symmetric covariate with parts of nodes, a set whose chance follows it by `follows`, and scores that have weights of
/// the covariate and of membership.
fn world(
    n: usize,
    follows: f64,
    of_covariate: f64,
    of_set: f64,
    rng: &mut ChaCha8Rng,
) -> (Array2<f64>, Array2<f64>, Vec<(u32, u32)>) {
    let nodes: Vec<f64> = (0..n).map(|_| normal(rng)).collect();
    let mut covariate = Array2::from_elem((n, n), f64::NAN);
    let mut members = Vec::new();
    for a in 0..n {
        for b in a + 1..n {
            let value = 0.6 * (nodes[a] + nodes[b]) + normal(rng);
            covariate[[a, b]] = value;
            covariate[[b, a]] = value;
            if rng.random::<f64>() < 0.1 * (follows * value).exp() {
                members.extend([(a as u32, b as u32), (b as u32, a as u32)]);
            }
        }
    }
    let own: Vec<f64> = (0..n).map(|_| normal(rng)).collect();
    let mut scores = Array2::from_shape_fn((n, n), |(a, b)| {
        if a == b {
            f64::NAN
        } else {
            of_covariate * covariate[[a, b]] + 0.5 * (own[a] + own[b]) + normal(rng)
        }
    });
    for &(a, b) in &members {
        scores[[a as usize, b as usize]] += of_set;
    }
    (scores, covariate, members)
}

/// Over the pairs one by one, the number of `RankCovariates`.
#[test]
fn the_statistic_is_the_partial_spearman_correlation() {
    let (mut scores, covariate, members) = world(20, 0.5, 0.5, 0.4, &mut stream(90, 0));
    let is_member: std::collections::BTreeSet<_> = members.iter().copied().collect();
    let check = |scores: &Array2<f64>, tolerance: f64| {
        let found = node_permutation_partial(
            scores.view(),
            covariate.view(),
            &[members.clone(), Vec::new()],
            9,
            |i| stream(91, i),
        )
        .unwrap();
        assert!(matches!(found[1], Err(Undefined::Constant { .. })));
        let found = found[0].as_ref().unwrap();
        let (mut s, mut c, mut m) = (Vec::new(), Vec::new(), Vec::new());
        for (at, &score) in scores.indexed_iter().filter(|(_, s)| !s.is_nan()) {
            s.push(score);
            c.push(covariate[at]);
            m.push(f64::from(is_member.contains(&(at.0 as u32, at.1 as u32))));
        }
        let raw = spearman(&s, &m).unwrap().effect;
        assert!((found.raw - raw).abs() < 1e-9, "{} {raw}", found.raw);
        let partial = RankCovariates::new(&[&c])
            .unwrap()
            .partial_spearman(&s, &m)
            .unwrap()
            .effect;
        assert!(
            (found.test.effect - partial).abs() < tolerance,
            "{} {partial}",
            found.test.effect
        );
    };
    check(&scores, 1e-6);
    // The covariate keeps the ranks that it has over all pairs, which shows where many scores are missing.
    for at in 0..40 {
        scores[[at % 20, (at * 7 + 3) % 20]] = f64::NAN;
    }
    check(&scores, 5e-3);
}

/// The permuted statistic written out, for every permutation that is drawn.
#[test]
fn the_p_value_counts_what_a_naive_permutation_counts() {
    use rand::seq::SliceRandom;
    let n = 12;
    let (scores, covariate, members) = world(n, 0.3, 0.5, 0.2, &mut stream(92, 0));
    let found = node_permutation_partial(
        scores.view(),
        covariate.view(),
        std::slice::from_ref(&members),
        199,
        |i| stream(93, i),
    )
    .unwrap();
    let test = &found[0].as_ref().unwrap().test;
    let cells: Vec<(usize, usize)> = (0..n)
        .flat_map(|a| (0..n).map(move |b| (a, b)))
        .filter(|(a, b)| a != b)
        .collect();
    let centred = |values: &[f64]| -> Vec<f64> {
        let mean = (values.len() as f64 + 1.0) / 2.0;
        mid_ranks(values).unwrap().iter().map(|r| r - mean).collect()
    };
    let of = |matrix: &Array2<f64>| -> Vec<f64> { cells.iter().map(|&at| matrix[at]).collect() };
    let c = centred(&of(&covariate));
    let mut member = Array2::from_elem((n, n), 0.0);
    members
        .iter()
        .for_each(|&(a, b)| member[[a as usize, b as usize]] = 1.0);
    let m = centred(&of(&member));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let residual = |values: Vec<f64>| -> Vec<f64> {
        let slope = dot(&values, &c) / dot(&c, &c);
        values.iter().zip(&c).map(|(v, c)| v - slope * c).collect()
    };
    let (s, m) = (residual(centred(&of(&scores))), residual(m));
    let mut of_pair = Array2::from_elem((n, n), 0.0);
    cells.iter().zip(&m).for_each(|(&at, &value)| of_pair[at] = value);
    let statistic = |node_of: &[u32]| {
        // Node i of the sets takes the place of node `node_of[i]`.
        let mut moved = Array2::from_elem((n, n), 0.0);
        for &(a, b) in &cells {
            moved[[node_of[a] as usize, node_of[b] as usize]] = of_pair[[a, b]];
        }
        dot(&s, &of(&moved)) / (dot(&s, &s) * dot(&m, &m)).sqrt()
    };
    let identity: Vec<u32> = (0..n as u32).collect();
    assert!((statistic(&identity) - test.effect).abs() < 1e-6);
    let exceeding = (0..199u64)
        .filter(|&i| {
            let mut node_of = identity.clone();
            node_of.shuffle(&mut stream(93, i));
            statistic(&node_of).abs() >= test.effect.abs()
        })
        .count();
    assert!(
        (test.p.p() - (1 + exceeding) as f64 / 200.0).abs() < 1e-12,
        "{} {exceeding}",
        test.p.p()
    );
}

#[test]
fn what_follows_the_covariate_alone_is_not_found_given_it() {
    let n = 300;
    let rejected: Vec<[bool; 3]> = (0..n)
        .into_par_iter()
        .map(|index| {
            let p = |of_set: f64| {
                let (scores, covariate, members) = world(40, 0.6, 0.8, of_set, &mut stream(94, index));
                let found = node_permutation_partial(
                    scores.view(),
                    covariate.view(),
                    std::slice::from_ref(&members),
                    199,
                    |i| stream(95 + index, i),
                )
                .unwrap();
                let mut member = Array2::from_elem((40, 40), 0.0);
                members
                    .iter()
                    .for_each(|&(a, b)| member[[a as usize, b as usize]] = 1.0);
                let raw =
                    node_permutation_spearman(scores.view(), member.view(), 199, |i| stream(95 + index, i))
                        .unwrap();
                (found[0].as_ref().unwrap().test.p.p() <= 0.05, raw.p.p() <= 0.05)
            };
            let (null, raw) = p(0.0);
            [null, raw, p(0.5).0]
        })
        .collect();
    let [null, raw, found] = [0, 1, 2].map(|i| rejected.iter().filter(|r| r[i]).count() as f64 / n as f64);
    eprintln!("partial: null {null}, raw {raw}, with an effect {found}");
    assert!((0.02..=0.09).contains(&null), "{null}");
    assert!(raw > 0.5, "without the covariate the association is there: {raw}");
    assert!(found > 0.9, "{found}");
}

#[test]
fn bad_input_is_refused() {
    let (scores, covariate, members) = world(10, 0.0, 0.5, 0.0, &mut stream(96, 0));
    let run = |scores: &Array2<f64>, covariate: &Array2<f64>, members: &[(u32, u32)]| {
        node_permutation_partial(scores.view(), covariate.view(), &[members.to_vec()], 9, |i| {
            stream(97, i)
        })
    };
    assert!(matches!(
        run(&scores, &covariate, &[(0, 10)]),
        Err(Error::OutOfRange { .. })
    ));
    let mut hole = covariate.clone();
    hole[[1, 2]] = f64::NAN;
    assert!(matches!(
        run(&scores, &hole, &members),
        Err(Error::CellNotANumber {
            row: 1,
            column: 2,
            ..
        })
    ));
    assert!(matches!(
        run(&covariate, &covariate, &members),
        Err(Error::Undefined(Undefined::Constant { .. }))
    ));
    let flat = Array2::from_elem((10, 10), 1.0);
    assert!(matches!(
        run(&scores, &flat, &members),
        Err(Error::Undefined(Undefined::Constant { .. }))
    ));
    let small = Array2::from_elem((9, 9), 1.0);
    assert!(matches!(run(&scores, &small, &members), Err(Error::Shape { .. })));
}

#[test]
fn group_means_are_compared_exactly_where_choices_are_few() {
    // scipy.stats.permutation_test((x, y), mean difference, n_resamples=inf): 1.4, p = 4/35.
    let values = [2.0, 3.5, 4.5, 1.0, 2.5, 1.5, 2.25];
    let first = [true, true, true, false, false, false, false];
    let test = mean_difference_permutation(&values, &first, 99, |i| stream(98, i)).unwrap();
    let mut exceeding = 0;
    for a in 0..7 {
        for b in a + 1..7 {
            for c in b + 1..7 {
                let sum = values[a] + values[b] + values[c];
                let rest: f64 = values.iter().sum::<f64>() - sum;
                exceeding += usize::from((sum / 3.0 - rest / 4.0).abs() >= test.effect.abs() - 1e-12);
            }
        }
    }
    assert!((test.p.p() - exceeding as f64 / 35.0).abs() < 1e-12);
    assert!((test.effect - (10.0 / 3.0 - 7.25 / 4.0)).abs() < 1e-12);

    // Drawn and exact agree within simulation error where both are possible.
    let many: Vec<f64> = (0..24).map(|i| f64::from(i * 7 % 24)).collect();
    let groups: Vec<bool> = (0..24).map(|i| i % 3 == 0).collect();
    let drawn = mean_difference_permutation(&many, &groups, 9_999, |i| stream(99, i)).unwrap();
    assert!(!drawn.method.contains("exact"));
    let t = welch_t(
        &many
            .iter()
            .zip(&groups)
            .filter(|(_, g)| **g)
            .map(|(v, _)| *v)
            .collect::<Vec<_>>(),
        &many
            .iter()
            .zip(&groups)
            .filter(|(_, g)| !**g)
            .map(|(v, _)| *v)
            .collect::<Vec<_>>(),
    )
    .unwrap();
    assert!(
        (drawn.p.p() - t.p.p()).abs() < 0.03,
        "{} {}",
        drawn.p.p(),
        t.p.p()
    );

    for (values, first) in [
        (&[1.0, 2.0][..], &[true, false][..]),
        (&[1.0, 2.0, 3.0], &[true, true, true]),
    ] {
        assert!(matches!(
            mean_difference_permutation(values, first, 99, |i| stream(98, i)),
            Err(Error::Undefined(Undefined::TooFew { .. }))
        ));
    }
}
