use crate::error::{Error, numbers};
use crate::sort::sorted_positions;

/// Ranks from 1, tied values sharing the mean of theirs. O(n log n).
///
/// Oracle: `scipy.stats.rankdata(method="average")`.
///
/// # Errors
/// [`Error::NotANumber`].
pub fn mid_ranks(values: &[f64]) -> Result<Vec<f64>, Error> {
    let sorted = SortedScores::new(values)?;
    let mut ranks = vec![0.0; values.len()];
    sorted.write_mid_ranks(&mut ranks);
    Ok(ranks)
}

/// Scores sorted once, to be asked about many label vectors.
///
/// ```
/// use scfm_stats::{SortedScores, auroc};
///
/// let scores = [0.3, 0.9, 0.1, 0.9];
/// let sorted = SortedScores::new(&scores)?;
/// for labels in [[true, false, false, true], [false, true, false, true]] {
///     assert_eq!(sorted.auroc(&labels)?, auroc(&scores, &labels)?);
/// }
/// # Ok::<(), scfm_stats::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SortedScores {
    /// Positions of the scores, lowest score first.
    order: Vec<u32>,
    /// End of each block of equal scores in `order`.
    ends: Vec<u32>,
    /// Number of scores sorted from, which masked ones belong to.
    n_positions: usize,
}

impl SortedScores {
    /// Sorts `scores`, `f64` or `f32`. O(n log n).
    ///
    /// # Errors
    /// [`Error::NotANumber`].
    ///
    /// # Panics
    /// If there are 2³² scores or more.
    pub fn new<T: Copy + Into<f64>>(scores: &[T]) -> Result<Self, Error> {
        numbers("score", scores)?;
        Ok(Self::of_masked(0..scores.len(), scores.len(), |position| {
            scores[position].into()
        }))
    }

    /// Sorts the scores at `positions`, which ascend and lie below `n_positions`; these scores are numbers.
    pub(crate) fn of_masked(
        positions: impl Iterator<Item = usize> + Clone,
        n_positions: usize,
        score_at: impl Fn(usize) -> f64,
    ) -> Self {
        let (order, ends) = sorted_positions(positions, n_positions, score_at);
        Self {
            order,
            ends,
            n_positions,
        }
    }

    /// Number of sorted scores.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Length of the label vectors that fit.
    pub(crate) fn n_positions(&self) -> usize {
        self.n_positions
    }

    /// Blocks of positions with equal scores, lowest first; reversible.
    pub(crate) fn blocks(&self) -> impl DoubleEndedIterator<Item = &[u32]> {
        (0..self.ends.len()).map(|block| {
            let start = if block == 0 { 0 } else { self.ends[block - 1] };
            &self.order[start as usize..self.ends[block] as usize]
        })
    }

    /// Writes the rank of each sorted position, leaving the masked ones as they are.
    pub(crate) fn write_mid_ranks(&self, ranks: &mut [f64]) {
        let mut below = 0;
        for block in self.blocks() {
            let rank = below as f64 + (block.len() as f64 + 1.0) / 2.0;
            for &position in block {
                ranks[position as usize] = rank;
            }
            below += block.len();
        }
    }

    /// Hands out DeLong's placement of each sorted position: of a positive, the share of negatives it beats; of a
    /// negative, the share of positives that beat it (ties ½). Either mean is the AUROC.
    pub(crate) fn placements(&self, is_positive: impl Fn(usize) -> bool, mut place: impl FnMut(usize, f64)) {
        let positives = |block: &[u32]| block.iter().filter(|&&i| is_positive(i as usize)).count() as f64;
        let n_pos = positives(&self.order);
        let n_neg = self.order.len() as f64 - n_pos;
        let (mut below_pos, mut below_neg) = (0.0, 0.0);
        for block in self.blocks() {
            let tied_pos = positives(block);
            let tied_neg = block.len() as f64 - tied_pos;
            let of_positive = (below_neg + 0.5 * tied_neg) / n_neg;
            let of_negative = 1.0 - (below_pos + 0.5 * tied_pos) / n_pos;
            for position in block.iter().map(|&position| position as usize) {
                let placement = if is_positive(position) {
                    of_positive
                } else {
                    of_negative
                };
                place(position, placement);
            }
            below_pos += tied_pos;
            below_neg += tied_neg;
        }
    }

    /// Wins of positives over negatives under the weights (as positive, as negative) of each position, one of them 0.
    pub(crate) fn wins(&self, weight: impl Fn(usize) -> (u64, u64)) -> Wins {
        let mut wins = Wins {
            doubled: 0,
            positives: 0,
            negatives: 0,
        };
        for block in self.blocks() {
            let (mut positives, mut negatives) = (0, 0);
            for &position in block {
                let (positive, negative) = weight(position as usize);
                positives += positive;
                negatives += negative;
            }
            wins.doubled += positives * (2 * wins.negatives + negatives);
            wins.positives += positives;
            wins.negatives += negatives;
        }
        wins
    }
}

/// Pairs of a positive and a negative that the positive wins, a tie counting as half: integers, hence exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wins {
    /// Twice the number of pairs won.
    pub(crate) doubled: u64,
    /// Total weight of positives.
    pub(crate) positives: u64,
    /// Total weight of negatives.
    pub(crate) negatives: u64,
}

impl Wins {
    /// The area under the ROC curve, where both classes are there.
    pub(crate) fn auroc(self) -> Option<f64> {
        let pairs = self.positives * self.negatives;
        (pairs > 0).then(|| self.doubled as f64 / (2.0 * pairs as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_share_their_mean_rank() {
        assert_eq!(
            mid_ranks(&[2.0, 1.0, 2.0, 3.0, 2.0]).unwrap(),
            [3.0, 1.0, 3.0, 5.0, 3.0]
        );
        assert_eq!(mid_ranks(&[0.0, -0.0, f64::INFINITY]).unwrap(), [1.5, 1.5, 3.0]);
        assert!(mid_ranks(&[]).unwrap().is_empty());
    }

    #[test]
    fn nan_is_named_by_its_row() {
        let error = mid_ranks(&[1.0, 2.0, f64::NAN]).unwrap_err();
        assert_eq!(
            error,
            Error::NotANumber {
                what: "score",
                row: 2
            }
        );
    }
}
