use crate::error::{Error, Undefined, finite, same_length};
pub(crate) use crate::estimate::Estimate;
use crate::result::{EffectKind, TestResult};

/// Size, mean and variance of a sample: all that t tests need of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    /// Number of values.
    pub n: usize,
    /// Arithmetic mean; NaN without values.
    pub mean: f64,
    /// Sample variance with divisor n - 1; NaN below two values.
    pub variance: f64,
}

impl Moments {
    /// Moments of `values`, the variance in a second pass over the deviations.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Self {
            n,
            mean,
            variance: if n < 2 {
                f64::NAN
            } else {
                squares / (n as f64 - 1.0)
            },
        }
    }

    /// Squared standard error of the mean.
    pub(crate) fn mean_variance(self) -> f64 {
        self.variance / self.n as f64
    }

    pub(crate) fn checked(self, what: &'static str) -> Result<Self, Error> {
        if self.n == 0 {
            return Err(Error::Empty { what });
        }
        if self.n < 2 {
            return Err(Undefined::TooFew {
                what,
                n: self.n,
                needed: 2,
            }
            .into());
        }
        if !self.mean.is_finite() {
            return Err(Error::OutOfRange {
                what,
                value: self.mean,
                expected: "a finite mean",
            });
        }
        if !(self.variance.is_finite() && self.variance >= 0.0) {
            return Err(Error::OutOfRange {
                what,
                value: self.variance,
                expected: "a finite variance that is not negative",
            });
        }
        Ok(self)
    }
}

/// Welch's t test of two means, two-sided; effect = mean(a) - mean(b) with its 95 % interval.
///
/// Degrees of freedom after Welch and Satterthwaite. Oracle: `scipy.stats.ttest_ind(equal_var=False)`. Where neither
/// group varies, t is 0 if the means agree. Greater means that the first group has the larger mean.
///
/// ```
/// use scfm_stats::{Alternative, welch_t};
///
/// let test = welch_t(&[5.1, 4.8, 6.0], &[3.9, 4.1, 4.0, 4.4])?;
/// assert!((test.effect - 1.2).abs() < 1e-12 && test.p.p() > 0.05);
/// assert!(test.against(Alternative::Greater)?.p.p() < 0.05);
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// [`Undefined::NoVariance`] if neither group varies and the means differ, [`Undefined::TooFew`] below two values in
/// a group; [`Error::Empty`], [`Error::NotANumber`], [`Error::NotFinite`].
pub fn welch_t(a: &[f64], b: &[f64]) -> Result<TestResult, Error> {
    finite("first group", a)?;
    finite("second group", b)?;
    welch_t_from_moments(Moments::of(a), Moments::of(b))
}

/// [`welch_t`] of samples known by their moments; without the interval [`Estimate::welch`] costs a fifth.
///
/// # Errors
/// As [`welch_t`]; [`Error::OutOfRange`] for moments that are not finite.
pub fn welch_t_from_moments(a: Moments, b: Moments) -> Result<TestResult, Error> {
    Estimate::welch(a, b)?.test(
        "Welch t test",
        "the mean difference",
        EffectKind::MeanDifference,
        a.n + b.n,
        "values",
    )
}

/// Student's t test that the mean is `mu`, two-sided; effect = mean - `mu` with its 95 % interval.
///
/// Oracle: `scipy.stats.ttest_1samp`, whose interval is that of the mean itself.
///
/// ```
/// let test = scfm_stats::one_sample_t(&[0.52, 0.61, 0.55, 0.58], 0.5)?;
/// assert!((test.effect - 0.065).abs() < 1e-12 && test.p.p() < 0.05);
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// As [`welch_t`].
pub fn one_sample_t(values: &[f64], mu: f64) -> Result<TestResult, Error> {
    finite("value", values)?;
    let moments = Moments::of(values);
    Estimate::of_mean(moments, mu)?.test(
        "one-sample t test",
        "the mean",
        EffectKind::MeanDifference,
        moments.n,
        "values",
    )
}

/// Student's t test of paired values, two-sided; effect = mean of a - b with its 95 % interval.
///
/// Oracle: `scipy.stats.ttest_rel`.
///
/// ```
/// let test = scfm_stats::paired_t(&[3.0, 4.0, 6.0], &[2.0, 4.0, 5.5])?;
/// assert_eq!((test.effect, test.n), (0.5, 3));
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// As [`welch_t`], and [`Error::Length`].
pub fn paired_t(a: &[f64], b: &[f64]) -> Result<TestResult, Error> {
    same_length("second value of the pairs", a.len(), b.len())?;
    finite("first value of the pairs", a)?;
    finite("second value of the pairs", b)?;
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    let result = one_sample_t(&differences, 0.0)?;
    Ok(TestResult {
        method: "paired t test",
        n_unit: "pairs",
        ..result
    })
}

/// Cohen's d with the pooled standard deviation: (mean(a) - mean(b)) / s. Oracle: the formula in NumPy.
///
/// ```
/// use scfm_stats::{Moments, cohen_d};
///
/// let d = cohen_d(Moments::of(&[1.0, 3.0]), Moments::of(&[0.0, 2.0]))?;
/// assert!((d - 0.5f64.sqrt()).abs() < 1e-15);
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// [`Undefined::NoVariance`] if neither group varies and the means differ (d is 0 if they agree), and as
/// [`welch_t_from_moments`].
pub fn cohen_d(a: Moments, b: Moments) -> Result<f64, Error> {
    let (a, b) = (a.checked("first group")?, b.checked("second group")?);
    let (wa, wb) = (a.n as f64 - 1.0, b.n as f64 - 1.0);
    let pooled = (wa * a.variance + wb * b.variance) / (wa + wb);
    let difference = a.mean - b.mean;
    if pooled > 0.0 {
        Ok(difference / pooled.sqrt())
    } else if difference == 0.0 {
        Ok(0.0)
    } else {
        Err(Undefined::NoVariance {
            what: "the mean difference",
            difference,
        }
        .into())
    }
}
