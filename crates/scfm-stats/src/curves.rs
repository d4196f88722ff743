use crate::error::{Error, Undefined, same_length};
use crate::ranks::SortedScores;

/// Area under the ROC curve: P(a positive outranks a negative), ties counted ½.
///
/// Oracle: `sklearn.metrics.roc_auc_score`.
///
/// # Errors
/// [`Undefined::OneClass`] without a positive or a negative, [`Error::NotANumber`], [`Error::Length`].
pub fn auroc(scores: &[f64], labels: &[bool]) -> Result<f64, Error> {
    SortedScores::new(scores)?.auroc(labels)
}

/// Average precision and what a random ranking would reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AveragePrecision {
    /// Step-wise area under the precision-recall curve, ties as one step.
    pub value: f64,
    /// Share of positives.
    pub base_rate: f64,
}

/// Area under the precision-recall curve as average precision (no interpolation, tied scores one step).
///
/// Oracle: `sklearn.metrics.average_precision_score`.
///
/// # Errors
/// As [`auroc`].
pub fn average_precision(scores: &[f64], labels: &[bool]) -> Result<AveragePrecision, Error> {
    SortedScores::new(scores)?.average_precision(labels)
}

/// What the `k` best scores hold, in expectation over a random order of the scores tied at the boundary.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TopK {
    /// Number of scores looked at.
    pub k: usize,
    /// Expected number of positives among them.
    pub expected_true_positives: f64,
    /// Share of positives among them.
    pub precision: f64,
    /// Share of all positives that they hold.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// The F1 of a perfect ranking at this `k`.
    pub f1_ceiling: f64,
}

/// The `k` highest scores against the labels, without an accident of sorting at the boundary.
///
/// ```
/// use scfm_stats::top_k;
///
/// // One of the three tied scores fits into the top 2; two of the three are positives.
/// let top = top_k(&[9.0, 5.0, 5.0, 5.0, 1.0], &[true, true, true, false, false], 2)?;
/// assert_eq!(top.expected_true_positives, 1.0 + 2.0 / 3.0);
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// As [`auroc`]; [`Undefined::TooFew`] if `k` exceeds the number of scores; [`Error::OutOfRange`] if `k` is 0.
pub fn top_k(scores: &[f64], labels: &[bool], k: usize) -> Result<TopK, Error> {
    SortedScores::new(scores)?.top_k(labels, k)
}

/// Early precision ratio: precision among as many scores as there are positives, over the base rate.
///
/// # Errors
/// As [`auroc`].
pub fn early_precision_ratio(scores: &[f64], labels: &[bool]) -> Result<f64, Error> {
    SortedScores::new(scores)?.early_precision_ratio(labels)
}

impl SortedScores {
    /// [`auroc`] of these scores. O(n).
    ///
    /// # Errors
    /// As [`auroc`].
    pub fn auroc(&self, labels: &[bool]) -> Result<f64, Error> {
        self.classes(labels)?;
        let wins = self.wins(|position| (u64::from(labels[position]), u64::from(!labels[position])));
        Ok(wins.auroc().expect("both classes were counted"))
    }

    /// [`average_precision`] of these scores. O(n).
    ///
    /// # Errors
    /// As [`auroc`].
    pub fn average_precision(&self, labels: &[bool]) -> Result<AveragePrecision, Error> {
        let (n_pos, _) = self.classes(labels)?;
        Ok(self.average_precision_of(n_pos, |position| labels[position]))
    }

    /// The same of the sorted positions, of which `n_pos` are positive.
    pub(crate) fn average_precision_of(
        &self,
        n_pos: usize,
        is_positive: impl Fn(usize) -> bool,
    ) -> AveragePrecision {
        let (mut seen, mut hits, mut sum) = (0, 0, 0.0);
        for block in self.blocks().rev() {
            let new_hits = block.iter().filter(|&&at| is_positive(at as usize)).count();
            seen += block.len();
            hits += new_hits;
            sum += new_hits as f64 * (hits as f64 / seen as f64);
        }
        AveragePrecision {
            value: sum / n_pos as f64,
            base_rate: n_pos as f64 / self.len() as f64,
        }
    }

    /// [`top_k`] of these scores. O(n).
    ///
    /// # Errors
    /// As [`top_k`].
    pub fn top_k(&self, labels: &[bool], k: usize) -> Result<TopK, Error> {
        if k == 0 {
            return Err(Error::OutOfRange {
                what: "k",
                value: 0.0,
                expected: "at least 1",
            });
        }
        let (n_pos, n_neg) = self.classes(labels)?;
        let n = n_pos + n_neg;
        if k > n {
            return Err(Undefined::TooFew {
                what: "scores for the top k",
                n,
                needed: k,
            }
            .into());
        }
        let (mut left, mut hits) = (k, 0.0);
        for block in self.blocks().rev() {
            let taken = left.min(block.len());
            hits += positives(block, labels) as f64 * (taken as f64 / block.len() as f64);
            left -= taken;
            if left == 0 {
                break;
            }
        }
        Ok(TopK {
            k,
            expected_true_positives: hits,
            precision: hits / k as f64,
            recall: hits / n_pos as f64,
            f1: 2.0 * hits / (k + n_pos) as f64,
            f1_ceiling: 2.0 * k.min(n_pos) as f64 / (k + n_pos) as f64,
        })
    }

    /// [`early_precision_ratio`] of these scores. O(n).
    ///
    /// # Errors
    /// As [`auroc`].
    pub fn early_precision_ratio(&self, labels: &[bool]) -> Result<f64, Error> {
        let (n_pos, n_neg) = self.classes(labels)?;
        let base_rate = n_pos as f64 / (n_pos + n_neg) as f64;
        Ok(self.top_k(labels, n_pos)?.precision / base_rate)
    }

    /// Counts of both classes, neither of them 0.
    fn classes(&self, labels: &[bool]) -> Result<(usize, usize), Error> {
        same_length("labels", self.n_positions(), labels.len())?;
        let n_pos = labels.iter().filter(|&&label| label).count();
        let n_neg = labels.len() - n_pos;
        if n_pos == 0 || n_neg == 0 {
            return Err(Undefined::OneClass { n_pos, n_neg }.into());
        }
        Ok((n_pos, n_neg))
    }
}

fn positives(block: &[u32], labels: &[bool]) -> usize {
    block
        .iter()
        .filter(|&&position| labels[position as usize])
        .count()
}
