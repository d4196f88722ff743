use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The one root seed, from which every random stream is derived.
///
/// A stream is fixed by (root, analysis, purpose, index) and by nothing else: neither the number of threads, nor
/// the order of analyses, nor the presence of another analysis changes it. The three names are hashed into the
/// 256-bit key of a ChaCha8 generator; `index` picks one of its 2⁶⁴ independent streams.
///
/// ```
/// use rand::RngExt;
/// use scfm_core::Seeds;
///
/// let seeds = Seeds::new(0);
/// let draw = |index| seeds.stream("perturbation-first", "bootstrap", index).random::<u64>();
/// assert_eq!(draw(7), draw(7));
/// assert_ne!(draw(7), draw(8));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seeds(u64);

impl Seeds {
    /// Seeds derived from `root`.
    pub const fn new(root: u64) -> Self {
        Self(root)
    }

    /// The root seed.
    pub fn root(self) -> u64 {
        self.0
    }

    /// The stream of (root, `analysis`, `purpose`, `index`).
    pub fn stream(self, analysis: &str, purpose: &str, index: u64) -> ChaCha8Rng {
        let mut key = [0; 32];
        let words = [self.0, fnv1a(analysis), fnv1a(purpose), fnv1a("scfm-audit")];
        for (bytes, word) in key.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(index);
        rng
    }
}

/// 64-bit FNV-1a: stable over compilers and platforms, which `DefaultHasher` does not promise.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn fnv1a_matches_its_published_vectors() {
        assert_eq!(fnv1a(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn each_part_of_the_name_changes_the_stream() {
        let first = |root, analysis, purpose, index| {
            Seeds::new(root).stream(analysis, purpose, index).random::<u64>()
        };
        let base = first(0, "a", "b", 0);
        for other in [
            first(1, "a", "b", 0),
            first(0, "x", "b", 0),
            first(0, "a", "x", 0),
            first(0, "a", "b", 1),
        ] {
            assert_ne!(base, other);
        }
    }
}
