//! One sort for all ranks: positions by score, equal scores as blocks.
//!
//! A word holds the upper half of a score's place in the range of all scores, and below it the position. Sorting such
//! words moves half the bytes of (score, position) pairs and compares integers; the few scores that share an upper half
//! are told apart afterwards. Zeros, most of any matrix of counts, are not sorted at all.

use rayon::prelude::*;

/// From this many words on they are dealt out to buckets that are sorted in parallel.
const MANY: usize = 1 << 17;
/// Buckets of a large sort, as a power of two: enough for buckets to fit a core's own cache at ten million scores, few
/// enough for their ends to stay in it.
const BUCKET_BITS: u32 = 12;

/// Positions in ascending order of their scores, equal scores in order of position, and the end of each block of equal
/// scores. Scores are numbers; zeros of either sign are equal.
///
/// # Panics
/// If there are 2³² positions or more.
pub(crate) fn sorted_positions(
    positions: impl Iterator<Item = usize> + Clone,
    score_at: impl Fn(usize) -> f64 + Copy,
) -> (Vec<u32>, Vec<u32>) {
    let (mut order, mut ends) = (Vec::new(), Vec::new());
    let negative = positions.clone().filter(move |&at| score_at(at) < 0.0);
    append_sorted(negative, score_at, &mut order, &mut ends);
    let n_negative = order.len();
    let zero = positions.clone().filter(move |&at| score_at(at) == 0.0);
    order.extend(zero.map(word));
    if order.len() > n_negative {
        ends.push(word(order.len()));
    }
    let positive = positions.filter(move |&at| score_at(at) > 0.0);
    append_sorted(positive, score_at, &mut order, &mut ends);
    (order, ends)
}

/// Appends positions of scores of one sign, none of them 0.
fn append_sorted(
    positions: impl Iterator<Item = usize> + Clone,
    score_at: impl Fn(usize) -> f64,
    order: &mut Vec<u32>,
    ends: &mut Vec<u32>,
) {
    let keys = positions.clone().map(|at| ordered_bits(score_at(at)));
    let (lowest, highest) = keys.fold((u64::MAX, 0), |(low, high), key| (low.min(key), high.max(key)));
    let range = highest.saturating_sub(lowest);
    let shift = (u64::BITS - range.leading_zeros()).saturating_sub(u32::BITS);
    let packed = positions.map(|at| {
        let upper = (ordered_bits(score_at(at)) - lowest) >> shift;
        (upper << u32::BITS) | u64::from(word(at))
    });
    let sorted = sort_words(packed.collect());
    order.reserve_exact(sorted.len());
    for alike in sorted.chunk_by(|a, b| a >> u32::BITS == b >> u32::BITS) {
        let start = order.len();
        order.extend(alike.iter().map(|&word| word as u32));
        let block = &mut order[start..];
        if shift == 0 || block.len() == 1 {
            ends.push(start as u32 + block.len() as u32);
            continue;
        }
        let score = |at: &u32| score_at(*at as usize);
        block.sort_by(|a, b| score(a).total_cmp(&score(b)));
        let mut end = start as u32;
        for tied in block.chunk_by(|a, b| score(a) == score(b)) {
            end += tied.len() as u32;
            ends.push(end);
        }
    }
}

/// An integer that orders as the number does.
fn ordered_bits(score: f64) -> u64 {
    const SIGN: u64 = 1 << 63;
    let bits = score.to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

fn word(position: usize) -> u32 {
    u32::try_from(position).expect("scores are counted in 32 bits")
}

fn sort_words(mut words: Vec<u64>) -> Vec<u64> {
    if words.len() < MANY {
        words.sort_unstable();
        return words;
    }
    let bucket = |word: u64| (word >> (u64::BITS - BUCKET_BITS)) as usize;
    let mut starts = vec![0; (1 << BUCKET_BITS) + 1];
    for &word in &words {
        starts[bucket(word) + 1] += 1;
    }
    for i in 1..starts.len() {
        starts[i] += starts[i - 1];
    }
    let (mut dealt, mut next) = (vec![0; words.len()], starts.clone());
    for &word in &words {
        let place = &mut next[bucket(word)];
        dealt[*place] = word;
        *place += 1;
    }
    let mut rest = dealt.as_mut_slice();
    let buckets: Vec<&mut [u64]> = starts
        .windows(2)
        .map(|ends| {
            rest.split_off_mut(..ends[1] - ends[0])
                .expect("buckets fill the words")
        })
        .collect();
    buckets.into_par_iter().for_each(<[u64]>::sort_unstable);
    dealt
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(scores: &[f64]) -> (Vec<u32>, Vec<u32>) {
        let mut order: Vec<u32> = (0..scores.len() as u32).collect();
        order.sort_by(|&a, &b| {
            scores[a as usize]
                .partial_cmp(&scores[b as usize])
                .expect("no NaN")
        });
        let mut end = 0;
        let ends = order
            .chunk_by(|&a, &b| scores[a as usize] == scores[b as usize])
            .map(|block| {
                end += block.len() as u32;
                end
            })
            .collect();
        (order, ends)
    }

    fn sorted(scores: &[f64]) -> (Vec<u32>, Vec<u32>) {
        sorted_positions(0..scores.len(), |at| scores[at])
    }

    #[test]
    fn scores_alike_in_their_upper_half_are_told_apart() {
        // The two largest make the range so wide that all the others share their upper halves in pairs or more.
        let next = |x: f64| f64::from_bits(x.to_bits() + 1);
        let scores = [
            1.0,
            next(next(1.0)),
            1e300,
            next(1.0),
            -1e300,
            1.0,
            f64::INFINITY,
            -0.0,
            0.0,
            -1.0,
        ];
        assert_eq!(sorted(&scores), naive(&scores));
        assert_eq!(sorted(&[]), (vec![], vec![]));
        assert_eq!(sorted(&[0.0]), (vec![0], vec![1]));
    }

    #[test]
    fn a_large_sort_is_that_of_the_standard_library() {
        // Neighbouring floats, ties and many magnitudes, from a multiplicative hash.
        let scores: Vec<f64> = (0..2 * MANY as u64 + 7)
            .map(|i| {
                let hash = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
                match hash % 4 {
                    0 => f64::from_bits(1.0_f64.to_bits() + hash % 97),
                    1 => -((hash % 1000) as f64),
                    2 => (hash as f64).exp2().min(1e308) * 1e-300,
                    _ => hash as f64 / 7.0,
                }
            })
            .collect();
        assert_eq!(sorted(&scores), naive(&scores));
    }

    proptest! {
        #[test]
        fn any_scores_are_sorted_as_by_comparison(
            scores in prop::collection::vec(
                prop_oneof![any::<f64>().prop_filter("numbers", |x| !x.is_nan()), (-3i8..3).prop_map(f64::from)],
                0..60,
            ),
        ) {
            prop_assert_eq!(sorted(&scores), naive(&scores));
        }
    }
}
