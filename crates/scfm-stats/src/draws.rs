//! Random draws in bulk: indices with replacement, and signs.
//!
//! A resample of a thousand units takes a thousand indices, and ten thousand resamples are asked for at a time; taking
//! them from the generator one by one costs more than summing what they point at. Words are therefore taken by the
//! kilobyte. What is drawn depends on the stream alone.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// Bytes taken from the generator at a time: four of its refills, and small beside the nearest cache.
const BYTES: usize = 1024;

/// Up to this many units four indices are taken from one word of 64 bits; with more of them too many words would have to
/// be drawn anew.
const MOST_IN_FOURS: usize = 1 << 13;

/// Hands out `n` indices below `n`, each with the same probability, together with a lane from 0 to 3.
///
/// A word w of 64 bits, taken as a fraction w / 2⁶⁴, times n has the index before its point and the fraction of the next
/// one behind it. The few words that would favour an index are drawn anew (Lemire 2019, doi:10.1145/3230636; in fours
/// Brackett-Rozinsky and Lemire, arXiv:2408.06213). Indices of different lanes may be summed side by side.
pub(crate) fn with_replacement(n: usize, rng: &mut ChaCha8Rng, each: impl FnMut(usize, usize)) {
    if n <= MOST_IN_FOURS {
        in_turns::<4>(n, rng, each);
    } else {
        in_turns::<1>(n, rng, each);
    }
}

/// As [`with_replacement`] with `TURNS` indices of each word, whose number n^`TURNS` must be below 2⁶⁴.
fn in_turns<const TURNS: usize>(n: usize, rng: &mut ChaCha8Rng, mut each: impl FnMut(usize, usize)) {
    if n == 0 {
        return;
    }
    let range = n as u64;
    let all = range.pow(TURNS as u32);
    // 2⁶⁴ mod n^TURNS words are too many for every choice of indices to get the same number of them.
    let unfair = all.wrapping_neg() % all;
    let mut bytes = [0; BYTES];
    let mut left = n;
    while left > 0 {
        let bytes = &mut bytes[..(left.div_ceil(TURNS) * size_of::<u64>()).min(BYTES)];
        rng.fill_bytes(bytes);
        let (words, _) = bytes.as_chunks();
        for word in words {
            let mut rest = u64::from_le_bytes(*word);
            let drawn: [usize; TURNS] = std::array::from_fn(|_| {
                let product = u128::from(rest) * u128::from(range);
                rest = product as u64;
                (product >> u64::BITS) as usize
            });
            if rest < unfair {
                continue;
            }
            // A loop of a known length is laid out flat; the last word may hold more than is left to draw.
            let wanted = if left >= TURNS { &drawn[..] } else { &drawn[..left] };
            for (lane, &unit) in wanted.iter().enumerate() {
                each(lane, unit);
            }
            left -= wanted.len();
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
    with_replacement(values.len(), rng, |lane, unit| sums[lane] += values[unit]);
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

    fn chi_squared(counts: &[u64]) -> f64 {
        let expected = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
        counts
            .iter()
            .map(|&count| (count as f64 - expected).powi(2) / expected)
            .sum()
    }

    #[test]
    fn every_unit_is_drawn_as_often_as_any_other() {
        // Units, resamples, and what χ² exceeds once in a million; indices come in fours and one by one.
        for (n, resamples, limit) in [(1_000, 2_000, 1_226.0), (10_000, 200, 10_686.0)] {
            let mut rng = ChaCha8Rng::seed_from_u64(5);
            let (mut total, mut counts) = (vec![0; n], vec![0; n]);
            for _ in 0..resamples {
                count_into(&mut counts, &mut rng);
                assert_eq!(counts.iter().sum::<u64>(), n as u64);
                total.iter_mut().zip(&counts).for_each(|(all, n)| *all += n);
            }
            assert!(chi_squared(&total) < limit, "{n}: {}", chi_squared(&total));
            // Five units that are never drawn would be seen.
            total[n - 5..].fill(0);
            assert!(chi_squared(&total) > limit, "{n}: {}", chi_squared(&total));
        }
    }

    #[test]
    fn indices_of_one_word_know_nothing_of_each_other() {
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        // Four draws of four units: 256 choices.
        let mut choices = vec![0; 256];
        for _ in 0..50_000 {
            let mut choice = 0;
            with_replacement(4, &mut rng, |lane, unit| choice |= unit << (2 * lane));
            choices[choice] += 1;
        }
        // Exceeded once in a million.
        assert!(chi_squared(&choices) < 377.0, "{}", chi_squared(&choices));
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
