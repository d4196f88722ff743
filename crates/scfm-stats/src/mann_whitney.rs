use crate::RankSum;
use crate::error::{Error, numbers};
use crate::result::TestResult;

/// A sample as runs of equal values in ascending order, so that many tests share one sort.
///
/// Made for counts and expression values, where most of a sample is one long run of zeros.
#[derive(Debug, Clone, PartialEq)]
pub struct SortedSample {
    values: Vec<f64>,
    /// Number of observations below each run, and in all as the last entry.
    below: Vec<u64>,
    /// Σ t³ - t over the runs.
    ties: u128,
}

impl SortedSample {
    /// Sorts `values`. O(n log n).
    ///
    /// # Errors
    /// [`Error::NotANumber`].
    pub fn new(values: &[f64]) -> Result<Self, Error> {
        Self::with_zeros(values, 0)
    }

    /// The sample of `values` and `n_zeros` further zeros, which are not stored. Signs are free.
    ///
    /// # Errors
    /// [`Error::NotANumber`], naming the position in `values`.
    pub fn with_zeros(values: &[f64], n_zeros: usize) -> Result<Self, Error> {
        numbers("value", values)?;
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let split = sorted.partition_point(|&value| value < 0.0);
        let zeros = sorted[split..].iter().take_while(|&&value| value == 0.0).count();
        let mut sample = Self {
            values: Vec::new(),
            below: vec![0],
            ties: 0,
        };
        sample.push_runs(&sorted[..split]);
        sample.push(0.0, (zeros + n_zeros) as u64);
        sample.push_runs(&sorted[split + zeros..]);
        Ok(sample)
    }

    /// Number of observations.
    pub fn len(&self) -> usize {
        self.total() as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.total() == 0
    }

    pub(crate) fn total(&self) -> u64 {
        self.below[self.values.len()]
    }

    fn push_runs(&mut self, sorted: &[f64]) {
        for run in sorted.chunk_by(|a, b| a == b) {
            self.push(run[0], run.len() as u64);
        }
    }

    fn push(&mut self, value: f64, count: u64) {
        if count > 0 {
            self.below.push(self.total() + count);
            self.values.push(value);
            let t = u128::from(count);
            self.ties += t * t * t - t;
        }
    }
}

/// Mann-Whitney U test, two-sided; statistic = U of `a`, effect = AUROC = P(a > b) with ties ½.
///
/// Exact where one group has at most 8 values and nothing is tied, else normal with tie and continuity correction.
/// Oracle: `scipy.stats.mannwhitneyu(method="auto")`. p is 1 where all values are equal. The interval is
/// [`auroc_interval`](crate::auroc_interval), from the counts alone, see [`RankSum::interval`].
///
/// ```
/// use scfm_stats::mann_whitney;
///
/// let test = mann_whitney(&[3.1, 4.0, 5.2], &[1.0, 2.0, 0.4])?;
/// assert_eq!((test.statistic, test.effect), (9.0, 1.0));
/// assert!((test.p.p() - 0.1).abs() < 1e-15); // 2 of the 20 ways to split six ranks
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// [`Error::Empty`], [`Error::NotANumber`].
pub fn mann_whitney(a: &[f64], b: &[f64]) -> Result<TestResult, Error> {
    mann_whitney_sorted(&SortedSample::new(a)?, &SortedSample::new(b)?)
}

/// [`mann_whitney`] of samples sorted before; the same result.
///
/// Costs O(s log(1 + l/s)) for samples of s and l distinct values, s ≤ l, so a small group against a large control
/// does not read the control. [`RankSum::of`] costs no more and stops there.
///
/// # Errors
/// [`Error::Empty`].
pub fn mann_whitney_sorted(a: &SortedSample, b: &SortedSample) -> Result<TestResult, Error> {
    Ok(RankSum::of(a, b)?.test())
}

/// Twice U of `a`, and Σ t³ - t over the values of both.
pub(crate) fn wins(a: &SortedSample, b: &SortedSample) -> (u64, u128) {
    if a.values.len() <= b.values.len() {
        doubled_wins(a, b)
    } else {
        let (doubled, ties) = doubled_wins(b, a);
        (2 * a.total() * b.total() - doubled, ties)
    }
}

/// Twice the number of pairs that `few` wins over `many` (ties ½), and Σ t³ - t over the values of both.
fn doubled_wins(few: &SortedSample, many: &SortedSample) -> (u64, u128) {
    let (mut doubled, mut ties, mut run) = (0, few.ties + many.ties, 0);
    for (index, &value) in few.values.iter().enumerate() {
        run += gallop(&many.values[run..], value);
        let count = few.below[index + 1] - few.below[index];
        let below = many.below[run];
        let equal = if many.values.get(run) == Some(&value) {
            many.below[run + 1] - below
        } else {
            0
        };
        doubled += count * (2 * below + equal);
        // (c + e)³ - c³ - e³: what the joint run adds to the two separate ones.
        let (c, e) = (u128::from(count), u128::from(equal));
        ties += 3 * c * e * (c + e);
    }
    (doubled, ties)
}

/// Number of leading values below `value`, by doubling steps, then bisection.
fn gallop(values: &[f64], value: f64) -> usize {
    let mut bound = 1;
    while bound < values.len() && values[bound] < value {
        bound *= 2;
    }
    let start = bound / 2;
    let end = values.len().min(bound + 1);
    if values.first().is_none_or(|&first| first >= value) {
        return 0;
    }
    start + values[start..end].partition_point(|&other| other < value)
}
