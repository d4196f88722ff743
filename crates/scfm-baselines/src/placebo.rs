//! Edges that know of targets what other edges know, and of pairs nothing.

use ndarray::{Array2, ArrayView2};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// The same scores, dealt out to targets in the order that another source has them.
///
/// Each source keeps its own scores over its candidates; which target gets which is up to the source that follows it in a
/// random circle. What a score says of its source stays, what sources agree on about targets stays, and what it says of
/// the pair belongs to another one. Where scores know genes alone, those that were dealt out are as good as the real
/// ones. Ties of the other source are broken at random, and targets that it has no score for stand in the middle.
///
/// `scores` and `candidate` are `[source, target]`, scores defined at every candidate; what is no candidate is `NaN` in the
/// result. A single source keeps what it has. O(pairs · log targets).
pub(crate) fn dealt_out(
    scores: ArrayView2<'_, f64>,
    candidate: ArrayView2<'_, bool>,
    rng: &mut ChaCha8Rng,
) -> Array2<f64> {
    let mut circle: Vec<usize> = (0..scores.nrows()).collect();
    circle.shuffle(rng);
    let mut dealt = Array2::from_elem(scores.dim(), f64::NAN);
    for (place, &source) in circle.iter().enumerate() {
        let other = scores.row(circle[(place + 1) % circle.len()]);
        let mut targets: Vec<usize> = (0..scores.ncols())
            .filter(|&target| candidate[[source, target]])
            .collect();
        let mut own: Vec<f64> = targets.iter().map(|&target| scores[[source, target]]).collect();
        own.sort_unstable_by(f64::total_cmp);
        let mut known: Vec<f64> = targets.iter().map(|&target| other[target]).collect();
        known.retain(|score| score.is_finite());
        known.sort_unstable_by(f64::total_cmp);
        let middle = known.get(known.len() / 2).copied().unwrap_or(0.0);
        let order = |target: usize| {
            Some(other[target])
                .filter(|score| score.is_finite())
                .unwrap_or(middle)
        };
        targets.shuffle(rng);
        targets.sort_by(|&a, &b| order(a).total_cmp(&order(b)));
        for (target, score) in targets.into_iter().zip(own) {
            dealt[[source, target]] = score;
        }
    }
    dealt
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;

    proptest! {
        #[test]
        fn sources_keep_their_scores_and_take_the_order_of_another(
            n_sources in 2usize..8, n_targets in 2usize..20, seed in 0u64..1000,
        ) {
            let value = |s: usize, t: usize| ((s * 131 + t * 197 + seed as usize * 31) % 1009) as f64;
            let scores = Array2::from_shape_fn((n_sources, n_targets), |(s, t)| value(s, t));
            let candidate = Array2::from_elem(scores.dim(), true);
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let dealt = dealt_out(scores.view(), candidate.view(), &mut rng);
            let sorted = |row: ndarray::ArrayView1<'_, f64>| {
                let mut row = row.to_vec();
                row.sort_unstable_by(f64::total_cmp);
                row
            };
            for (own, dealt) in scores.rows().into_iter().zip(dealt.rows()) {
                prop_assert_eq!(sorted(own), sorted(dealt));
                let follows = |other: ndarray::ArrayView1<'_, f64>| {
                    let pairs = (0..n_targets).flat_map(|a| (0..n_targets).map(move |b| (a, b)));
                    pairs.into_iter().all(|(a, b)| other[a] >= other[b] || dealt[a] <= dealt[b])
                };
                prop_assert!(scores.rows().into_iter().any(follows));
            }
        }
    }

    #[test]
    fn scores_that_know_targets_alone_stay_as_they_are() {
        let scores = Array2::from_shape_fn((5, 12), |(source, target)| (10 * target + source) as f64);
        let mut candidate = Array2::from_elem((5, 12), true);
        candidate[[2, 7]] = false;
        let dealt = dealt_out(scores.view(), candidate.view(), &mut ChaCha8Rng::seed_from_u64(1));
        for (pair, &score) in dealt.indexed_iter() {
            if pair == (2, 7) {
                assert!(score.is_nan());
            } else {
                assert_eq!(score, scores[pair]);
            }
        }
    }

    #[test]
    fn a_target_unknown_to_the_other_source_stands_in_the_middle() {
        // The two sources follow each other.
        let scores = ndarray::array![[1.0, 2.0, 3.0, 4.0, 5.0], [f64::NAN, 9.0, 8.0, 7.0, 6.0]];
        let candidate = scores.mapv(|score: f64| score.is_finite());
        let dealt = dealt_out(scores.view(), candidate.view(), &mut ChaCha8Rng::seed_from_u64(0));
        assert_eq!(dealt[[0, 4]], 1.0);
        assert_eq!(dealt[[0, 1]], 5.0);
        assert!([3.0, 4.0].contains(&dealt[[0, 0]]), "{dealt}");
        assert_eq!(dealt.row(1).to_vec()[1..], [6.0, 7.0, 8.0, 9.0], "{dealt}");
    }
}
