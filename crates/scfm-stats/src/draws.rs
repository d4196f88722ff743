//! Random draws in bulk: indices with replacement, and signs.
//!
//! A resample of a thousand units takes a thousand indices, and ten thousand resamples are asked for at a time; taking
//! them from the generator one by one costs more than summing what they point at. Words are therefore taken by the
//! kilobyte. What is drawn depends on the stream alone.

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

/// Bytes taken from the generator at a time: four of its refills, and small beside the nearest cache.
const BYTES: usize = 1024;

/// Bytes of a word.
const WORD: usize = size_of::<u32>();

/// Hands out `n` indices below `n`, each with the same probability, together with the lane of their word.
///
/// A word w of 32 bits gives the index ⌊w n / 2³²⌋; the few words that would favour an index are drawn anew (Lemire 2019,
/// doi:10.1145/3230636). The lane tells sums apart that may run side by side.
pub(crate) fn with_replacement(n: usize, rng: &mut ChaCha8Rng, mut each: impl FnMut(usize, usize)) {
    let Ok(range) = u32::try_from(n) else {
        (0..n).for_each(|i| each(i, rng.random_range(0..n)));
        return;
    };
    if n == 0 {
        return;
    }
    // 2³² mod n words are too many for every index to get the same number of them.
    let unfair = range.wrapping_neg() % range;
    let mut bytes = [0; BYTES];
    let mut left = n;
    while left > 0 {
        let bytes = &mut bytes[..(left * WORD).min(BYTES)];
        rng.fill_bytes(bytes);
        let (words, _) = bytes.as_chunks::<WORD>();
        for (lane, word) in words.iter().enumerate() {
            let product = u64::from(u32::from_le_bytes(*word)) * u64::from(range);
            if product as u32 >= unfair {
                each(lane, (product >> u32::BITS) as usize);
                left -= 1;
            }
        }
    }
}

/// Counts how often each unit is drawn when as many units are drawn as there are.
pub(crate) fn count_into(counts: &mut [u64], rng: &mut ChaCha8Rng) {
    counts.fill(0);
    with_replacement(counts.len(), rng, |_, unit| counts[unit] += 1);
}

/// The sum of as many values as there are, drawn with replacement.
pub(crate) fn sum_of_drawn(values: &[f64], rng: &mut ChaCha8Rng) -> f64 {
    // An addition waits for the one before it; four sums do not wait for each other.
    let mut sums = [0.0; 4];
    with_replacement(values.len(), rng, |lane, unit| sums[lane % 4] += values[unit]);
    sums.iter().sum()
}

/// Sums of values under random signs, eight signs at a time.
///
/// All 256 sums of eight values are laid out once; a byte of the generator then stands for eight flips.
#[derive(Debug)]
pub(crate) struct SignedSums {
    /// For each eight values their sum under each choice of signs.
    tables: Vec<[f64; 256]>,
}

impl SignedSums {
    pub(crate) fn of(values: &[f64]) -> Self {
        let table = |values: &[f64]| {
            std::array::from_fn(|signs| {
                let signed = values
                    .iter()
                    .enumerate()
                    .map(|(i, value)| if signs >> i & 1 == 1 { -value } else { *value });
                signed.sum()
            })
        };
        Self {
            tables: values.chunks(8).map(table).collect(),
        }
    }

    /// The sum under random signs.
    pub(crate) fn random(&self, rng: &mut ChaCha8Rng) -> f64 {
        let mut bytes = [0; BYTES];
        let mut sums = [0.0; 4];
        for tables in self.tables.chunks(BYTES) {
            let bytes = &mut bytes[..tables.len()];
            rng.fill_bytes(bytes);
            for (i, (table, &signs)) in tables.iter().zip(&*bytes).enumerate() {
                sums[i % 4] += table[usize::from(signs)];
            }
        }
        sums.iter().sum()
    }

    /// The sum as it is.
    pub(crate) fn unflipped(&self) -> f64 {
        self.tables.iter().map(|table| table[0]).sum()
    }

    /// The sum under the signs of the bits of `signs`, a set bit turning its value round; of at most 64 values.
    pub(crate) fn chosen(&self, signs: u64) -> f64 {
        let bytes = signs.to_le_bytes();
        self.tables
            .iter()
            .zip(bytes)
            .map(|(table, signs)| table[usize::from(signs)])
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    /// χ² with 999 degrees of freedom is above this once in a million.
    const CHI_SQUARED: f64 = 1_226.0;

    fn chi_squared(counts: &[u64]) -> f64 {
        let expected = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
        counts
            .iter()
            .map(|&count| (count as f64 - expected).powi(2) / expected)
            .sum()
    }

    #[test]
    fn every_unit_is_drawn_as_often_as_any_other() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let (mut total, mut counts) = (vec![0; 1_000], vec![0; 1_000]);
        for _ in 0..2_000 {
            count_into(&mut counts, &mut rng);
            assert_eq!(counts.iter().sum::<u64>(), 1_000);
            total.iter_mut().zip(&counts).for_each(|(all, n)| *all += n);
        }
        assert!(chi_squared(&total) < CHI_SQUARED, "{}", chi_squared(&total));
        // One in a hundred draws of unit 0 going to unit 1 would be seen.
        let moved = total[0] / 3;
        total[0] -= moved;
        total[1] += moved;
        assert!(chi_squared(&total) > CHI_SQUARED);
    }

    #[test]
    fn one_unit_is_always_drawn_and_none_never() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut counts = vec![0];
        count_into(&mut counts, &mut rng);
        assert_eq!(counts, [1]);
        count_into(&mut [], &mut rng);
        assert_eq!(sum_of_drawn(&[], &mut rng), 0.0);
    }

    #[test]
    fn the_sum_of_what_is_drawn_is_that_of_its_counts() {
        let values: Vec<f64> = (0..700).map(|i| f64::from(i * 37 % 101)).collect();
        let mut counts = vec![0; 700];
        count_into(&mut counts, &mut ChaCha8Rng::seed_from_u64(6));
        let by_counts: f64 = values
            .iter()
            .zip(&counts)
            .map(|(value, &n)| value * n as f64)
            .sum();
        // Whole numbers, so that the order of the sum does not matter.
        assert_eq!(
            sum_of_drawn(&values, &mut ChaCha8Rng::seed_from_u64(6)),
            by_counts
        );
    }

    #[test]
    fn signs_are_those_of_the_bits() {
        let values: Vec<f64> = (0..11).map(|i| f64::from(1 << i)).collect();
        let sums = SignedSums::of(&values);
        for signs in [0u64, 1, 0b101, 0b111_0000_0001, 0x7ff] {
            let expected: f64 = values
                .iter()
                .enumerate()
                .map(|(i, value)| if signs >> i & 1 == 1 { -value } else { *value })
                .sum();
            assert_eq!(sums.chosen(signs), expected);
        }
    }

    #[test]
    fn random_signs_are_fair_and_independent() {
        // Powers of two spell the signs out. Neighbours are in one table, but for two of them.
        let values: Vec<f64> = (0..20).map(|i| f64::from(1 << i)).collect();
        let sums = SignedSums::of(&values);
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let all = f64::from((1 << 20) - 1);
        let n = 4_000;
        let (mut minus, mut turns) = ([0; 20], [0; 19]);
        for _ in 0..n {
            let signs = ((all - sums.random(&mut rng)) / 2.0) as u32;
            let count = |counts: &mut [u32], bits: u32| {
                counts
                    .iter_mut()
                    .enumerate()
                    .for_each(|(i, count)| *count += bits >> i & 1);
            };
            count(&mut minus, signs);
            count(&mut turns, signs ^ signs >> 1);
        }
        // 4.9 standard errors of half of 4,000: once in a million for each count.
        for count in minus.into_iter().chain(turns) {
            let distance = (f64::from(count) - 0.5 * f64::from(n)).abs();
            assert!(distance < 4.9 * (0.25 * f64::from(n)).sqrt(), "{count} of {n}");
        }
    }
}
