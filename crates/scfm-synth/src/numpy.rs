//! The generator of NumPy's `RandomState`, from which the published simulations were drawn.
//!
//! NumPy has frozen it: words, uniform numbers, whole numbers and orders are the same, bit for bit, in every version
//! and here. Normal and exponential numbers pass through a logarithm, which NumPy takes from the platform's C
//! library; here it comes from `libm` (see [`draw`](crate::draw)), so that a number may differ from that of a NumPy
//! in the last bit, as those of two NumPys may.

use rand_mt::Mt;

/// `numpy.random.RandomState(seed)`: the Mersenne Twister with the samplers of NumPy before 1.17.
///
/// ```
/// use scfm_synth::numpy::RandomState;
///
/// // RandomState(42).random_sample(), and the permutation that follows.
/// let mut rng = RandomState::new(42);
/// assert_eq!(rng.random_sample(), 0.3745401188473625);
/// let mut items = vec!["a", "b", "c", "d"];
/// rng.shuffle(&mut items);
/// assert_eq!(items, ["b", "d", "c", "a"]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RandomState {
    words: Mt,
    /// The second normal number of a pair, until it is asked for.
    cached_normal: Option<f64>,
}

impl RandomState {
    /// The state that NumPy makes of a whole seed below 2³².
    pub fn new(seed: u32) -> Self {
        Self {
            words: Mt::new(seed),
            cached_normal: None,
        }
    }

    /// The next 32 random bits.
    pub fn next_word(&mut self) -> u32 {
        self.words.next_u32()
    }

    /// A uniform number of [0, 1) with 53 bits, of two words.
    pub fn random_sample(&mut self) -> f64 {
        const WORD_26_BITS: f64 = (1u64 << 26) as f64;
        const INTERVALS: f64 = (1u64 << 53) as f64;
        let high = f64::from(self.next_word() >> 5);
        let low = f64::from(self.next_word() >> 6);
        (high * WORD_26_BITS + low) / INTERVALS
    }

    /// A uniform number of [`low`, `high`).
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.random_sample()
    }

    /// A standard normal number, `randn()`: Marsaglia's polar method, whose second number is kept for the next call.
    pub fn standard_normal(&mut self) -> f64 {
        if let Some(kept) = self.cached_normal.take() {
            return kept;
        }
        loop {
            let x = 2.0 * self.random_sample() - 1.0;
            let y = 2.0 * self.random_sample() - 1.0;
            let square = x * x + y * y;
            if square < 1.0 && square != 0.0 {
                let factor = (-2.0 * libm::log(square) / square).sqrt();
                self.cached_normal = Some(factor * x);
                return factor * y;
            }
        }
    }

    /// A normal number of the given mean and SD.
    pub fn normal(&mut self, mean: f64, sd: f64) -> f64 {
        mean + sd * self.standard_normal()
    }

    /// An exponential number of the given mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -libm::log(1.0 - self.random_sample()) * mean
    }

    /// A whole number below `n`, `randint(n)` and `choice(n)`; the only one below 1 takes no word.
    ///
    /// # Panics
    /// When `n` is 0 or above 2³², where NumPy takes other words.
    pub fn below(&mut self, n: usize) -> usize {
        let largest = n
            .checked_sub(1)
            .and_then(|largest| u32::try_from(largest).ok())
            .expect("whole numbers are drawn below 1 to 2³²");
        if largest == 0 {
            return 0;
        }
        let mask = u32::MAX >> largest.leading_zeros();
        loop {
            let word = self.next_word() & mask;
            if word <= largest {
                return word as usize;
            }
        }
    }

    /// Puts `items` in random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// The whole numbers below `n` in random order.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut items: Vec<usize> = (0..n).collect();
        self.shuffle(&mut items);
        items
    }

    /// `k` distinct whole numbers below `n` in the order of drawing, `choice(n, k, replace=False)`.
    ///
    /// # Panics
    /// When `k` is larger than `n`.
    pub fn choice_without_replacement(&mut self, n: usize, k: usize) -> Vec<usize> {
        assert!(k <= n, "{k} distinct whole numbers below {n} do not exist");
        let mut items = self.permutation(n);
        items.truncate(k);
        items
    }

    /// `size` positions with the given probabilities, `choice(n, size, p=probabilities)`.
    ///
    /// # Panics
    /// When there is no probability.
    pub fn choice_weighted(&mut self, probabilities: &[f64], size: usize) -> Vec<usize> {
        let mut cumulative: Vec<f64> = probabilities
            .iter()
            .scan(0.0, |sum, p| {
                *sum += p;
                Some(*sum)
            })
            .collect();
        let total = *cumulative
            .last()
            .expect("a position is drawn by one probability or more");
        cumulative.iter_mut().for_each(|sum| *sum /= total);
        (0..size)
            .map(|_| {
                let u = self.random_sample();
                cumulative.partition_point(|&sum| sum <= u)
            })
            .collect()
    }
}
