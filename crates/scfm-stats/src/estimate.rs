use crate::error::{Error, Undefined};
use crate::result::{Alternative, EffectKind, Interval, TestResult};
use crate::student_tails::{ln_t_two_sided, t_upper_quantile};
use crate::tails::ln_normal_sf;
use crate::{CONFIDENCE, Moments, PValue, Sides, stratum_shares};

/// An estimate of something whose null value is 0, with its standard error and degrees of freedom: all that a t test
/// knows before it is asked anything.
///
/// A screen runs millions of t tests and looks at t and p; the interval's quantile costs more than both. So each is
/// computed when asked for:
///
/// ```
/// use scfm_stats::{Alternative, Estimate, Moments, welch_t_from_moments};
///
/// let perturbed = Moments { n: 40, mean: 1.3, variance: 0.8 };
/// let control = Moments { n: 9_000, mean: 1.0, variance: 0.7 };
/// let shift = Estimate::welch(perturbed, control)?;
/// assert!(shift.t()? > 2.0 && shift.p(Alternative::Greater)?.p() < 0.03);
/// // The test that has it all.
/// let test = welch_t_from_moments(perturbed, control)?;
/// assert_eq!((test.statistic, test.p), (shift.t()?, shift.p(Alternative::TwoSided)?));
/// assert_eq!(test.ci, Some(shift.interval(0.95)?));
/// # Ok::<(), scfm_stats::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    value: f64,
    standard_error: f64,
    df: f64,
}

impl Estimate {
    /// An estimate from elsewhere; infinite `df` make the test normal.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a `value` that is not finite, a `standard_error` that is negative or not finite, `df`
    /// that are not positive.
    pub fn new(value: f64, standard_error: f64, df: f64) -> Result<Self, Error> {
        let wrong = |what, value, expected| {
            Err(Error::OutOfRange {
                what,
                value,
                expected,
            })
        };
        if !value.is_finite() {
            return wrong("estimate", value, "finite");
        }
        if !(standard_error >= 0.0 && standard_error.is_finite()) {
            return wrong("standard error", standard_error, "finite and not negative");
        }
        if df.is_nan() || df <= 0.0 {
            return wrong("degrees of freedom", df, "above 0");
        }
        Ok(Self {
            value,
            standard_error,
            df,
        })
    }

    /// mean(a) - mean(b) with Welch's standard error and the degrees of freedom of Welch and Satterthwaite.
    ///
    /// # Errors
    /// As [`welch_t_from_moments`](crate::welch_t_from_moments), which this is without t and p.
    pub fn welch(a: Moments, b: Moments) -> Result<Self, Error> {
        let (a, b) = (a.checked("first group")?, b.checked("second group")?);
        let parts = [a, b].map(|group| (group.mean_variance(), group.n as f64 - 1.0));
        Self::of_parts(a.mean - b.mean, &parts)
    }

    /// A value whose variance is the sum of independent ones, each with its degrees of freedom; those of the sum after
    /// Satterthwaite.
    fn of_parts(value: f64, parts: &[(f64, f64)]) -> Result<Self, Error> {
        let variance: f64 = parts.iter().map(|(part, _)| part).sum();
        // Shares of the variance instead of squares, which underflow for tiny values.
        let even = 1.0 / parts.len() as f64;
        let inverse_df: f64 = parts
            .iter()
            .map(|(part, df)| {
                let share = if variance > 0.0 { part / variance } else { even };
                share * share / df
            })
            .sum();
        Self::new(value, variance.sqrt(), 1.0 / inverse_df)
    }

    /// Mean of a sample minus `mu`, with n - 1 degrees of freedom.
    ///
    /// # Errors
    /// As [`one_sample_t`](crate::one_sample_t).
    pub fn of_mean(sample: Moments, mu: f64) -> Result<Self, Error> {
        let sample = sample.checked("values")?;
        Self::new(
            sample.mean - mu,
            sample.mean_variance().sqrt(),
            sample.n as f64 - 1.0,
        )
    }

    /// The mean difference within strata, (first group, second group) of each; what
    /// [`stratified_welch`](crate::stratified_welch) tests.
    ///
    /// # Errors
    /// As [`stratified_welch`](crate::stratified_welch).
    pub fn welch_within_strata(strata: &[(Moments, Moments)]) -> Result<Self, Error> {
        match strata {
            [] => return Err(Error::Empty { what: "strata" }),
            [(a, b)] => return Self::welch(*a, *b),
            _ => {}
        }
        let sizes: Vec<_> = strata.iter().map(|(a, b)| (a.n, b.n)).collect();
        let mut value = 0.0;
        let mut parts = Vec::with_capacity(2 * strata.len());
        for ((a, b), share) in strata.iter().zip(stratum_shares(&sizes)) {
            let (a, b) = (a.checked("first group")?, b.checked("second group")?);
            value += share * (a.mean - b.mean);
            for group in [a, b] {
                parts.push((share * share * group.mean_variance(), group.n as f64 - 1.0));
            }
        }
        Self::of_parts(value, &parts)
    }

    /// The same value as the difference between one case and the average of a sample of draws: is the case another draw?
    ///
    /// `draws` are the values that the draws have themselves, in the unit of the estimate. The null is that the case is a
    /// draw like them, so what varies is the case as well as their average: `s² (1 + 1/D)` is added to the variance,
    /// degrees of freedom after Satterthwaite (Crawford and Howell 1998, doi:10.1076/clin.12.4.482.7241, of single cases).
    /// A standard error that knows of rows and columns alone would call any draw different from any other, as draws do
    /// differ.
    ///
    /// ```
    /// use scfm_stats::Estimate;
    ///
    /// let ahead = Estimate::new(0.02, 0.005, 38.0)?;
    /// let alike = ahead.against_draws(&[0.61, 0.612, 0.609])?;
    /// let apart = ahead.against_draws(&[0.58, 0.64, 0.61])?;
    /// assert!(alike.t()? > 3.0 && apart.t()? < 1.0);
    /// # Ok::<(), scfm_stats::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Undefined::TooFew`] below two draws; [`Error::NotFinite`].
    pub fn against_draws(self, draws: &[f64]) -> Result<Self, Error> {
        if let Some(row) = draws.iter().position(|draw| !draw.is_finite()) {
            return Err(Error::NotFinite { what: "draw", row });
        }
        let moments = Moments::of(draws);
        if moments.n < 2 {
            return Err(Undefined::TooFew {
                what: "draws",
                n: moments.n,
                needed: 2,
            }
            .into());
        }
        let of_draws = moments.variance * (1.0 + 1.0 / moments.n as f64);
        let own = (self.standard_error.powi(2), self.df);
        Self::of_parts(self.value, &[(of_draws, moments.n as f64 - 1.0), own])
    }

    /// An estimate made of AUROCs: what is below 1e-12 is rounding, not data.
    pub(crate) fn of_aurocs(value: f64, standard_error: f64, df: f64) -> Self {
        let exact_zero = |value: f64| if value.abs() < 1e-12 { 0.0 } else { value };
        Self {
            value: exact_zero(value),
            standard_error: exact_zero(standard_error),
            df,
        }
    }

    /// The estimate.
    pub fn value(self) -> f64 {
        self.value
    }

    /// Its standard error.
    pub fn standard_error(self) -> f64 {
        self.standard_error
    }

    /// Degrees of freedom of the standard error; infinite where it is taken as known.
    pub fn df(self) -> f64 {
        self.df
    }

    /// Estimate over standard error; 0 where both are 0.
    ///
    /// # Errors
    /// [`Undefined::NoVariance`] for an estimate other than 0 with a standard error of 0.
    pub fn t(self) -> Result<f64, Undefined> {
        if self.standard_error > 0.0 {
            Ok(self.value / self.standard_error)
        } else if self.value == 0.0 {
            Ok(0.0)
        } else {
            Err(Undefined::NoVariance {
                what: "the estimate",
                difference: self.value,
            })
        }
    }

    /// The p-value of the t test against 0, some 100 ns from 16 degrees of freedom on.
    ///
    /// # Errors
    /// As [`t`](Self::t).
    pub fn p(self, alternative: Alternative) -> Result<PValue, Undefined> {
        let t = self.t()?;
        Ok(match alternative {
            Alternative::TwoSided => PValue::from_ln(ln_t_two_sided(t, self.df)),
            one_sided => Sides::of_t(t, self.df).against(one_sided),
        })
    }

    /// Chance that a two-sided t test at level `alpha` finds an effect of this size with this standard error, by the normal
    /// approximation to the non-central t; the estimate itself does not matter.
    ///
    /// ```
    /// let power = scfm_stats::Estimate::new(0.01, 0.02, 38.0)?.power(0.05, 0.05)?;
    /// assert!((0.65..0.72).contains(&power));
    /// # Ok::<(), scfm_stats::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for an `alpha` outside (0, 1), [`Undefined::NoVariance`] for a standard error of 0.
    pub fn power(self, effect: f64, alpha: f64) -> Result<f64, Error> {
        if self.standard_error == 0.0 {
            return Err(Undefined::NoVariance {
                what: "the estimate",
                difference: self.value,
            }
            .into());
        }
        // Checks alpha as well.
        self.interval(1.0 - alpha)?;
        let critical = t_upper_quantile(0.5 * alpha, self.df);
        let shift = effect.abs() / self.standard_error;
        let below = |z: f64| ln_normal_sf(-z).exp();
        Ok(below(shift - critical) + below(-shift - critical))
    }

    /// The two-sided t interval that covers the truth with probability `level`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a `level` outside (0, 1).
    pub fn interval(self, level: f64) -> Result<Interval, Error> {
        if !(level > 0.0 && level < 1.0) {
            return Err(Error::OutOfRange {
                what: "confidence level",
                value: level,
                expected: "within (0, 1)",
            });
        }
        let reach = t_upper_quantile(0.5 * (1.0 - level), self.df) * self.standard_error;
        Ok(Interval {
            low: self.value - reach,
            high: self.value + reach,
            level,
        })
    }

    /// The 95 % interval of an estimate within (-1, 1), symmetric on the scale of Fisher's z and so never outside.
    ///
    /// `None` at the ends and for a standard error of 0, where a width of 0 would claim certainty.
    pub(crate) fn bounded_interval(self) -> Option<Interval> {
        if self.value.abs() >= 1.0 || self.standard_error <= 0.0 {
            return None;
        }
        let slope = 1.0 / ((1.0 - self.value) * (1.0 + self.value));
        let z = Self {
            value: self.value.atanh(),
            standard_error: slope * self.standard_error,
            df: self.df,
        };
        let Interval { low, high, level } = z.interval(CONFIDENCE).ok()?;
        Some(Interval {
            low: low.tanh(),
            high: high.tanh(),
            level,
        })
    }

    /// The two-sided t test against 0; `method` and `what` say in words what was tested how, `n` how many of `n_unit` there
    /// were.
    ///
    /// # Errors
    /// As [`t`](Self::t), named after `what`.
    pub fn test(
        self,
        method: &'static str,
        what: &'static str,
        effect_kind: EffectKind,
        n: usize,
        n_unit: &'static str,
    ) -> Result<TestResult, Error> {
        let statistic = self.t().map_err(|_| Undefined::NoVariance {
            what,
            difference: self.value,
        })?;
        let sides = Sides::of_t(statistic, self.df);
        Ok(TestResult {
            method,
            alternative: Alternative::TwoSided,
            statistic,
            p: sides.two_sided,
            sides: Some(sides),
            effect: self.value,
            effect_kind,
            ci: Some(self.interval(CONFIDENCE)?),
            n,
            n_unit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_test_can_use_is_refused() {
        for (value, standard_error, df) in [
            (f64::NAN, 1.0, 5.0),
            (1.0, -1.0, 5.0),
            (1.0, f64::INFINITY, 5.0),
            (1.0, 1.0, 0.0),
            (1.0, 1.0, f64::NAN),
        ] {
            let refused = Estimate::new(value, standard_error, df);
            assert!(matches!(refused, Err(Error::OutOfRange { .. })), "{refused:?}");
        }
        let estimate = Estimate::new(1.0, 0.5, f64::INFINITY).unwrap();
        assert!(estimate.interval(1.0).is_err());
        assert!((estimate.interval(0.95).unwrap().low - 0.020_018).abs() < 1e-6);
    }

    #[test]
    fn means_at_the_ends_of_the_floats_are_refused() {
        let moments = |mean, variance| Moments { n: 3, mean, variance };
        assert!(Estimate::welch(moments(1e308, 1.0), moments(-1e308, 1.0)).is_err());
        assert!(Estimate::welch(moments(0.0, 1e308), moments(0.0, f64::MAX)).is_ok());
    }
}
