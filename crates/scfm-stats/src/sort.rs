//! One sort for all ranks: positions by score, equal scores as blocks.
//!
//! A word holds a position in as many bits as positions need, and above it as much of a score's place in the range of all
//! scores as there is room for. Sorting such words moves half the bytes of (score, position) pairs and compares integers;
//! the few scores that are alike in what was kept are told apart afterwards. Zeros, most of any matrix of counts, are not
//! sorted at all.

use rayon::prelude::*;

/// From this many words on they are dealt out to buckets that are sorted in parallel.
const MANY: usize = 1 << 17;
/// Buckets of a large sort, as a power of two: enough for buckets to fit a core's own cache at ten million scores, few
/// enough for their ends to stay in it.
const BUCKET_BITS: u32 = 12;

/// Positions below `n_positions` in ascending order of their scores, equal scores in order of position, and the end of each block of equal
/// scores. Scores are numbers; zeros of either sign are equal.
///
/// # Panics
/// If there are 2³² positions or more.
pub(crate) fn sorted_positions(
    positions: impl Iterator<Item = usize> + Clone,
    n_positions: usize,
    score_at: impl Fn(usize) -> f64,
) -> (Vec<u32>, Vec<u32>) {
    assert!(
        u32::try_from(n_positions).is_ok(),
        "scores are counted in 32 bits, got {n_positions}"
    );
    let (mut n, mut n_zeros) = (0, 0);
    let (mut lowest, mut highest, mut used) = (u64::MAX, 0, 0);
    for score in positions.clone().map(&score_at) {
        let key = ordered_bits(score);
        let is_zero = score == 0.0;
        // Selected, not branched on: signs and zeros come in an order that no processor predicts.
        lowest = lowest.min(if is_zero { u64::MAX } else { key });
        highest = highest.max(if is_zero { 0 } else { key });
        used |= key;
        n_zeros += usize::from(is_zero);
        n += 1;
    }
    let range = highest.saturating_sub(lowest);
    let position_bits = usize::BITS - n_positions.leading_zeros();
    let shift = (u64::BITS - range.leading_zeros() + position_bits).saturating_sub(u64::BITS);
    // Numbers that came from single precision, or from few binary digits, differ in their upper bits only.
    let all_kept = shift <= used.trailing_zeros();
    // Each position is written to the end of both lists and stays in one: the next overwrites it in the other.
    let (mut words, mut zeros) = (vec![0; n - n_zeros + 1], vec![0; n_zeros + 1]);
    let (mut n_words, mut n_seen) = (0, 0);
    for at in positions {
        let score = score_at(at);
        let place = ordered_bits(score).wrapping_sub(lowest) >> shift;
        words[n_words] = (place << position_bits) | at as u64;
        zeros[n_seen] = at as u32;
        n_words += usize::from(score != 0.0);
        n_seen += usize::from(score == 0.0);
    }
    words.pop();
    zeros.pop();
    let words = sort_words(words);
    let score = |at: &u32| score_at(*at as usize);
    let mask = (1 << position_bits) - 1;
    let mut order: Vec<u32> = words.iter().map(|&word| (word & mask) as u32).collect();
    let (mut ends, mut start) = (Vec::new(), 0);
    for end in 1..=words.len() {
        if end < words.len() && words[end] >> position_bits == words[start] >> position_bits {
            continue;
        }
        let block = &mut order[start..end];
        if !all_kept && block.iter().any(|at| score(at) != score(&block[0])) {
            block.sort_by(|a, b| score(a).total_cmp(&score(b)));
            let lengths = block.chunk_by(|a, b| score(a) == score(b)).map(<[u32]>::len);
            ends.extend(lengths.scan(start, |end, length| {
                *end += length;
                Some(*end as u32)
            }));
        } else {
            ends.push(end as u32);
        }
        start = end;
    }
    if !zeros.is_empty() {
        let n_negative = order.partition_point(|at| score(at) < 0.0);
        let before = ends.partition_point(|&end| end as usize <= n_negative);
        ends[before..]
            .iter_mut()
            .for_each(|end| *end += zeros.len() as u32);
        ends.insert(before, (n_negative + zeros.len()) as u32);
        order.splice(n_negative..n_negative, zeros);
    }
    (order, ends)
}

/// An integer that orders as the number does, with as many zeros at its end.
fn ordered_bits(score: f64) -> u64 {
    const SIGN: u64 = 1 << 63;
    let magnitude = score.abs().to_bits();
    if score < 0.0 {
        SIGN - magnitude
    } else {
        SIGN + magnitude
    }
}

fn sort_words(mut words: Vec<u64>) -> Vec<u64> {
    if words.len() < MANY {
        words.sort_unstable();
        return words;
    }
    let largest = words.iter().copied().max().unwrap_or(0);
    let shift = (u64::BITS - largest.leading_zeros()).saturating_sub(BUCKET_BITS);
    let bucket = |word: u64| (word >> shift) as usize;
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
        sorted_positions(0..scores.len(), scores.len(), |at| scores[at])
    }

    #[test]
    fn scores_alike_in_what_is_kept_are_told_apart() {
        // The largest make the range so wide that neighbours share what is kept of them.
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
                prop_oneof![
                    any::<f64>().prop_filter("numbers", |x| !x.is_nan()),
                    any::<f32>().prop_filter_map("numbers", |x| (!x.is_nan()).then_some(f64::from(x))),
                    (-3i8..3).prop_map(f64::from),
                ],
                0..60,
            ),
        ) {
            prop_assert_eq!(sorted(&scores), naive(&scores));
        }
    }
}
