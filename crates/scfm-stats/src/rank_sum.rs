use crate::error::Error;
use crate::mann_whitney::wins;
use crate::result::{Alternative, EffectKind, Interval, TestResult};
use crate::{PValue, Sides, SortedSample, auroc_interval};

/// With a group of this size or smaller and no ties, the exact distribution is used (SciPy's rule).
const EXACT_GROUP: u64 = 8;

/// What the Mann-Whitney test counts in two samples, before it is asked anything.
///
/// A screen looks at U and one p; the interval costs as much as the counting.
///
/// ```
/// use scfm_stats::{Alternative, RankSum, SortedSample, mann_whitney};
///
/// let (a, b) = ([0.7, 0.0, 1.9], [0.0, 0.0, 0.7, 0.0]);
/// let ranks = RankSum::of(&SortedSample::new(&a)?, &SortedSample::new(&b)?)?;
/// assert_eq!((ranks.u(), ranks.auroc()), (9.0, 0.75));
/// let test = mann_whitney(&a, &b)?;
/// assert_eq!((test.p, test.ci), (ranks.p(Alternative::TwoSided), Some(ranks.interval())));
/// # Ok::<(), scfm_stats::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankSum {
    /// Twice U of the first group.
    doubled: u64,
    n_first: u64,
    n_second: u64,
    /// Σ t³ - t over the values of both groups.
    ties: u128,
}

impl RankSum {
    /// Counts the pairs that the first group wins.
    ///
    /// # Errors
    /// [`Error::Empty`].
    pub fn of(first: &SortedSample, second: &SortedSample) -> Result<Self, Error> {
        for (sample, what) in [(first, "first group"), (second, "second group")] {
            if sample.is_empty() {
                return Err(Error::Empty { what });
            }
        }
        let (doubled, ties) = wins(first, second);
        Ok(Self {
            doubled,
            n_first: first.total(),
            n_second: second.total(),
            ties,
        })
    }

    /// Number of pairs of a value of the first and one of the second group that the first wins, ties ½.
    pub fn u(self) -> f64 {
        self.doubled as f64 / 2.0
    }

    /// U over the number of pairs: P(first > second), ties ½.
    pub fn auroc(self) -> f64 {
        self.doubled as f64 / (2.0 * self.pairs())
    }

    /// The p-value; greater means that the first group has the larger values.
    ///
    /// Two-sided is twice the smaller tail, at most 1. With the continuity correction, which shortens the distance on
    /// either side, the two one-sided p-values add up to more than 1.
    pub fn p(self, alternative: Alternative) -> PValue {
        self.sides().against(alternative)
    }

    /// The 95 % interval of the AUROC, [`auroc_interval`] after Newcombe.
    ///
    /// Chosen over DeLong's because the counts are all that it needs, because it has a width for a group of one and for
    /// an AUROC of 1, where DeLong's variance is 0, and because with few values its coverage is nearer to what it says
    /// (Newcombe 2006). With many values [`delong_auroc`](crate::delong_auroc) follows the variances of the data.
    pub fn interval(self) -> Interval {
        auroc_interval(self.auroc(), self.n_first as usize, self.n_second as usize)
    }

    pub(crate) fn pairs(self) -> f64 {
        self.n_first as f64 * self.n_second as f64
    }

    /// Variance of U where both groups are alike.
    pub(crate) fn null_variance(self) -> f64 {
        let n = (self.n_first + self.n_second) as f64;
        self.pairs() / 12.0 * ((n + 1.0) - self.ties as f64 / (n * (n - 1.0)))
    }

    pub(crate) fn sides(self) -> Sides {
        match self.exact() {
            Some(sides) => sides,
            None => self.approximate(),
        }
    }

    pub(crate) fn test(self) -> TestResult {
        let exact = self.exact();
        let sides = exact.unwrap_or_else(|| self.approximate());
        TestResult {
            method: if exact.is_some() {
                "Mann-Whitney U test, exact"
            } else {
                "Mann-Whitney U test"
            },
            alternative: Alternative::TwoSided,
            statistic: self.u(),
            p: sides.two_sided,
            sides: Some(sides),
            effect: self.auroc(),
            effect_kind: EffectKind::Auroc,
            ci: Some(self.interval()),
            n: (self.n_first + self.n_second) as usize,
            n_unit: "values",
        }
    }

    /// From all arrangements, where there are few enough and nothing is tied.
    fn exact(self) -> Option<Sides> {
        if self.n_first.min(self.n_second) > EXACT_GROUP || self.ties > 0 {
            return None;
        }
        // Without ties U is whole, and its distribution symmetric: the shorter side is counted.
        let u = self.doubled / 2;
        let other = self.n_first * self.n_second - u;
        let (beyond, up_to) = exact_tails(self.n_first, self.n_second, u.min(other))?;
        let (greater, less) = if u > other {
            (beyond, up_to)
        } else {
            (up_to, beyond)
        };
        Some(Sides::doubled(PValue::new(greater), PValue::new(less)))
    }

    /// Normal, with tie and continuity correction.
    fn approximate(self) -> Sides {
        let variance = self.null_variance();
        if variance <= 0.0 {
            return Sides::CERTAIN;
        }
        let excess = self.u() - 0.5 * self.pairs();
        let z = |excess: f64| (excess - 0.5) / variance.sqrt();
        Sides::of_corrected(z(excess), z(-excess))
    }
}

/// P(U ≤ `u`) and P(U ≥ `u`) without ties; `None` where the number of arrangements exceeds 128 bits.
///
/// The counts are the coefficients of the Gaussian binomial ∏ (1 - q^(n+i)) / (1 - q^i), i = 1..m. Multiplying and
/// dividing by these factors are ring operations modulo 2¹²⁸, so passing values may wrap: the counts come out exact.
fn exact_tails(na: u64, nb: u64, u: u64) -> Option<(f64, f64)> {
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
    let at_most: u128 = counts.iter().sum();
    let share = |count: u128| count as f64 / arrangements as f64;
    Some((share(at_most), share(arrangements - (at_most - counts[u]))))
}
