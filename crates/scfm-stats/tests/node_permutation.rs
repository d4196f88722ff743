//! Association of two square matrices under renaming of their nodes.

use ndarray::{Array1, Array2, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use scfm_stats::*;

/// Sums in another order.
const ROUNDING: f64 = 1e-12;

fn stream(purpose: u64, index: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(purpose);
    rng.set_stream(index);
    rng
}

fn normal(nodes: usize, index: u64) -> Array2<f64> {
    let mut rng = stream(20, index);
    Array2::from_shape_simple_fn((nodes, nodes), || StandardNormal.sample(&mut rng))
}

/// Scores with parts that belong to the source and to the target alone.
fn with_node_effects(nodes: usize, index: u64) -> Array2<f64> {
    let mut rng = stream(21, index);
    let mut effects = || Array1::from_shape_simple_fn(nodes, || StandardNormal.sample(&mut rng));
    let (source, target): (Array1<f64>, Array1<f64>) = (effects(), effects());
    normal(nodes, index) + source.insert_axis(Axis(1)) + target
}

fn pairs(matrix: &Array2<f64>) -> Vec<f64> {
    matrix
        .indexed_iter()
        .filter(|((i, j), _)| i != j)
        .map(|(_, value)| *value)
        .collect()
}

#[test]
fn effect_is_spearmans_over_the_ordered_pairs() {
    let a = with_node_effects(23, 1);
    // A binary matrix, as membership is.
    for b in [
        &a * 0.5 + normal(23, 2),
        a.mapv(|value| f64::from(u8::from(value > 1.0))),
    ] {
        let test = node_permutation_spearman(a.view(), b.view(), 99, |i| stream(22, i)).unwrap();
        let expected = spearman(&pairs(&a), &pairs(&b)).unwrap().effect;
        assert!((test.effect - expected).abs() < ROUNDING);
        assert_eq!(test.p.p(), 0.01, "a planted association beats all permutations");
    }
}

#[test]
fn cells_missing_in_one_matrix_or_in_both_are_left_out_alike() {
    let a = with_node_effects(20, 3);
    let b = &a + normal(20, 4);
    let mut holes = a.clone();
    holes[[2, 5]] = f64::NAN;
    holes.row_mut(7).fill(f64::NAN);
    let complete = node_permutation_spearman(a.view(), b.view(), 199, |i| stream(23, i)).unwrap();
    let left = node_permutation_spearman(holes.view(), b.view(), 199, |i| stream(23, i)).unwrap();
    let right = node_permutation_spearman(b.view(), holes.view(), 199, |i| stream(23, i)).unwrap();
    assert!((left.effect - right.effect).abs() < ROUNDING);
    assert!((left.effect - complete.effect).abs() < 0.1);
    assert_eq!(left.p.p(), 0.005);
    // The same holes on both sides: exactly Spearman's correlation of the rest.
    let mut b_holes = b.clone();
    b_holes.zip_mut_with(&holes, |b, hole| {
        if hole.is_nan() {
            *b = f64::NAN;
        }
    });
    let both = node_permutation_spearman(holes.view(), b_holes.view(), 9, |i| stream(23, i)).unwrap();
    let rest = |matrix| {
        pairs(matrix)
            .into_iter()
            .filter(|value| !value.is_nan())
            .collect::<Vec<_>>()
    };
    assert!((both.effect - spearman(&rest(&holes), &rest(&b_holes)).unwrap().effect).abs() < ROUNDING);
    // What stands on the diagonal is never read.
    let mut diagonal = a.clone();
    diagonal.diag_mut().fill(f64::INFINITY);
    let again = node_permutation_spearman(diagonal.view(), b.view(), 199, |i| stream(23, i)).unwrap();
    assert_eq!(again, complete);
}

#[test]
fn holds_its_level_where_pairs_share_their_nodes() {
    const WORLDS: u64 = 400;
    let rejected: Vec<(bool, bool)> = (0..WORLDS)
        .into_par_iter()
        .map(|index| {
            let (a, b) = (
                with_node_effects(25, 100 + index),
                with_node_effects(25, 10_000 + index),
            );
            let test = node_permutation_spearman(a.view(), b.view(), 199, |i| stream(24 + index, i)).unwrap();
            (
                test.p.p() <= 0.05,
                spearman(&pairs(&a), &pairs(&b)).unwrap().p.p() <= 0.05,
            )
        })
        .collect();
    let share = |which: fn(&(bool, bool)) -> bool| {
        rejected.iter().filter(|rejected| which(rejected)).count() as f64 / WORLDS as f64
    };
    let (permutation, naive) = (share(|r| r.0), share(|r| r.1));
    // 5 % within three standard errors of 400 worlds.
    assert!((0.017..=0.083).contains(&permutation), "{permutation}");
    assert!(naive > 0.3, "{naive}");
}

#[test]
fn refuses_what_it_cannot_rank() {
    let (a, streams) = (normal(6, 1), |i| stream(25, i));
    let constant = Array2::ones((6, 6));
    let what = "first or second matrix over the shared pairs";
    assert_eq!(
        node_permutation_spearman(a.view(), constant.view(), 9, streams),
        Err(Undefined::Constant { what }.into())
    );
    let narrow = a.slice_axis(Axis(1), ndarray::Slice::from(1..));
    assert_eq!(
        node_permutation_spearman(a.view(), narrow, 9, streams),
        Err(Error::Shape {
            what: "second matrix",
            expected: (6, 6),
            got: (6, 5)
        })
    );
    let nothing = Array2::from_elem((6, 6), f64::NAN);
    assert!(matches!(
        node_permutation_spearman(a.view(), nothing.view(), 9, streams),
        Err(Error::Undefined(Undefined::TooFew { n: 0, .. }))
    ));
    assert!(matches!(
        node_permutation_spearman(a.view(), a.view(), 0, streams),
        Err(Error::OutOfRange { .. })
    ));
}
