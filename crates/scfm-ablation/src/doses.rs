/// Doses of arXiv:2602.17532, of a model of 324 heads; tests are named after them.
pub const PUBLISHED_DOSES: [usize; 4] = [5, 10, 20, 50];
/// Heads of that model: 18 layers of 18.
const PUBLISHED_HEADS: usize = 324;

/// A number of heads that are altered together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dose {
    /// The published dose after which it is named.
    pub name: usize,
    /// How many heads of this model.
    pub heads: usize,
}

/// The published doses as the same fractions of `n_heads` heads: at least one head, each larger than the one before, and
/// none above half of the model, of which there would be no matched random set. In small models the last ones may coincide.
///
/// ```
/// use scfm_ablation::doses;
///
/// let of = |n| doses(n).map(|dose| dose.heads);
/// assert_eq!(of(324), [5, 10, 20, 50]);
/// assert_eq!(of(96), [1, 3, 6, 15]); // scGPT: 12 layers of 8
/// assert_eq!(of(24), [1, 2, 3, 4]);
/// assert_eq!(of(4), [1, 2, 2, 2]);
/// ```
pub fn doses(n_heads: usize) -> [Dose; 4] {
    let most = (n_heads / 2).max(1);
    let mut last = 0;
    PUBLISHED_DOSES.map(|name| {
        let same_share = (name * n_heads + PUBLISHED_HEADS / 2) / PUBLISHED_HEADS;
        let heads = same_share.max(last + 1).min(most);
        last = heads;
        Dose { name, heads }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doses_grow_and_leave_room_for_random_heads() {
        for n_heads in 1..1000 {
            let doses = doses(n_heads).map(|dose| dose.heads);
            assert!(doses[0] >= 1);
            assert!(doses.windows(2).all(|pair| pair[0] <= pair[1]));
            if n_heads >= 8 {
                assert!(
                    doses.windows(2).all(|pair| pair[0] < pair[1]),
                    "{n_heads}: {doses:?}"
                );
                assert!(2 * doses[3] <= n_heads);
            }
        }
    }
}
