/// The Mersenne Twister of Matsumoto and Nishimura (1998, doi:10.1145/272991.272995) as numpy's legacy generator uses it:
/// `np.random.seed(seed)`, then `np.random.rand`. It is here to follow published inputs draw by draw; nothing else draws
/// from it.
#[derive(Debug, Clone)]
pub(super) struct Mt19937 {
    state: [u32; N],
    next: usize,
}

const N: usize = 624;
const M: usize = 397;

impl Mt19937 {
    pub(super) fn new(seed: u32) -> Self {
        let mut state = [seed; N];
        for i in 1..N {
            let before = state[i - 1];
            state[i] = (before ^ (before >> 30))
                .wrapping_mul(1_812_433_253)
                .wrapping_add(i as u32);
        }
        Self { state, next: N }
    }

    /// Uniform in [0, 1), of 53 bits.
    pub(super) fn next_f64(&mut self) -> f64 {
        let high = f64::from(self.next_u32() >> 5);
        let low = f64::from(self.next_u32() >> 6);
        (high * 67_108_864.0 + low) / 9_007_199_254_740_992.0
    }

    fn next_u32(&mut self) -> u32 {
        if self.next == N {
            self.twist();
        }
        let mut x = self.state[self.next];
        self.next += 1;
        x ^= x >> 11;
        x ^= (x << 7) & 0x9d2c_5680;
        x ^= (x << 15) & 0xefc6_0000;
        x ^ (x >> 18)
    }

    fn twist(&mut self) {
        for i in 0..N {
            let x = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % N] & 0x7fff_ffff);
            let odd = if x & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = self.state[(i + M) % N] ^ (x >> 1) ^ odd;
        }
        self.next = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_those_of_the_published_generator() {
        // The 10,000th output under the default seed, by which C++'s std::mt19937 is defined (ISO 14882, [rand.predef]).
        let mut generator = Mt19937::new(5489);
        let last = (0..10_000).map(|_| generator.next_u32()).last();
        assert_eq!(last, Some(4_123_659_995));
    }

    #[test]
    fn numbers_are_those_of_numpy() {
        #[derive(serde::Deserialize)]
        struct Golden {
            draws: Vec<Draws>,
        }
        #[derive(serde::Deserialize)]
        struct Draws {
            seed: u32,
            places: Vec<usize>,
            values: Vec<f64>,
        }
        let text = include_str!("../../tests/golden/scgpt_input.json");
        let golden: Golden = serde_json::from_str(text).unwrap();
        for draws in &golden.draws {
            let mut generator = Mt19937::new(draws.seed);
            let stream: Vec<f64> = (0..2000).map(|_| generator.next_f64()).collect();
            let found: Vec<f64> = draws.places.iter().map(|&place| stream[place]).collect();
            assert_eq!(found, draws.values, "seed {}", draws.seed);
        }
        assert_eq!(golden.draws.len(), 3);
    }
}
