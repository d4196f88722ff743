use crate::PValue;
use crate::error::{Error, numbers};
use crate::result::{Alternative, EffectKind, TestResult};
use crate::tails::ln_normal_sf;

/// With a group of this size or smaller and no ties, the exact distribution is used (SciPy's rule).
const EXACT_GROUP: u64 = 8;

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

    fn total(&self) -> u64 {
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
/// Oracle: `scipy.stats.mannwhitneyu(method="auto")`. p is 1 where all values are equal.
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
/// does not read the control.
///
/// # Errors
/// [`Error::Empty`].
pub fn mann_whitney_sorted(a: &SortedSample, b: &SortedSample) -> Result<TestResult, Error> {
    for (sample, what) in [(a, "first group"), (b, "second group")] {
        if sample.is_empty() {
            return Err(Error::Empty { what });
        }
    }
    let (na, nb) = (a.total(), b.total());
    let pairs = na * nb;
    let (doubled, ties) = wins(a, b);
    let larger = doubled.max(2 * pairs - doubled);
    let exact = if na.min(nb) <= EXACT_GROUP && ties == 0 {
        exact_tail(na, nb, pairs - larger / 2)
    } else {
        None
    };
    let p = match exact {
        Some(tail) => PValue::new((2.0 * tail).min(1.0)),
        None => normal_p(na as f64, nb as f64, larger as f64 / 2.0, ties as f64),
    };
    Ok(TestResult {
        method: if exact.is_some() {
            "Mann-Whitney U test, exact"
        } else {
            "Mann-Whitney U test"
        },
        alternative: Alternative::TwoSided,
        statistic: doubled as f64 / 2.0,
        p,
        effect: doubled as f64 / (2.0 * pairs as f64),
        effect_kind: EffectKind::Auroc,
        ci: None,
        n: (na + nb) as usize,
        n_unit: "values",
    })
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

/// Variance of U where both groups are alike, with `ties` = Σ t³ - t.
pub(crate) fn null_variance(na: f64, nb: f64, ties: f64) -> f64 {
    let n = na + nb;
    na * nb / 12.0 * ((n + 1.0) - ties / (n * (n - 1.0)))
}

fn normal_p(na: f64, nb: f64, larger: f64, ties: f64) -> PValue {
    let variance = null_variance(na, nb, ties);
    if variance <= 0.0 {
        return PValue::new(1.0);
    }
    let z = (larger - 0.5 * na * nb - 0.5) / variance.sqrt();
    PValue::two_sided(ln_normal_sf(z))
}

/// P(U ≤ `u`) without ties; `None` where the number of arrangements exceeds 128 bits.
///
/// The counts are the coefficients of the Gaussian binomial ∏ (1 - q^(n+i)) / (1 - q^i), i = 1..m. Multiplying and
/// dividing by these factors are ring operations modulo 2¹²⁸, so passing values may wrap: the counts come out exact.
fn exact_tail(na: u64, nb: u64, u: u64) -> Option<f64> {
    let (m, n) = (na.min(nb), na.max(nb));
    let mut arrangements: u128 = 1;
    for i in 1..=m {
        arrangements = arrangements.checked_mul(u128::from(n + i))? / u128::from(i);
    }
    let u = u as usize;
    let mut counts = vec![0u128; u + 1];
    counts[0] = 1;
    for i in 1..=m as usize {
        for j in i..=u {
            counts[j] = counts[j].wrapping_add(counts[j - i]);
        }
        for j in (n as usize + i..=u).rev() {
            counts[j] = counts[j].wrapping_sub(counts[j - n as usize - i]);
        }
    }
    Some(counts.iter().sum::<u128>() as f64 / arrangements as f64)
}
