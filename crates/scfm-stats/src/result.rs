use crate::error::{Error, Undefined};
use crate::{PValue, Sides};

/// Which departures from the null hypothesis count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alternative {
    /// Both directions.
    TwoSided,
    /// Effects above the null value only.
    Greater,
    /// Effects below the null value only.
    Less,
}

impl Alternative {
    /// The word used in tables: `two-sided`, `greater`, `less`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TwoSided => "two-sided",
            Self::Greater => "greater",
            Self::Less => "less",
        }
    }
}

/// What an effect size measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EffectKind {
    /// P(positive outranks negative), ties ½; null value 0.5.
    Auroc,
    /// Difference of two AUROCs.
    DeltaAuroc,
    /// Mean difference in pooled standard deviations.
    CohenD,
    /// Pearson or rank correlation.
    Correlation,
    /// Difference of means, in the unit of the values.
    MeanDifference,
    /// Favourable minus unfavourable share of rank sums (or pairs), in [-1, 1].
    RankBiserial,
    /// A share of successes.
    Proportion,
    /// Ratio of odds; null value 1.
    OddsRatio,
    /// Association in a table of counts, in [0, 1].
    CramerV,
}

impl EffectKind {
    /// The word used in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auroc => "auroc",
            Self::DeltaAuroc => "delta_auroc",
            Self::CohenD => "cohen_d",
            Self::Correlation => "correlation",
            Self::MeanDifference => "mean_difference",
            Self::RankBiserial => "rank_biserial",
            Self::Proportion => "proportion",
            Self::OddsRatio => "odds_ratio",
            Self::CramerV => "cramer_v",
        }
    }
}

/// A confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Coverage, 0.95 unless the test says otherwise.
    pub level: f64,
}

impl Interval {
    /// Whether `value` lies inside, ends included.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// One test: statistic, probability, effect with its interval, and what was counted.
///
/// Tests are two-sided unless their description says otherwise; [`against`](Self::against) asks the same test one-sided.
/// Intervals are two-sided at 95 % whatever the alternative, unless [`Interval::level`] says otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct TestResult {
    /// The procedure, in words.
    pub method: &'static str,
    /// Sidedness of `p`.
    pub alternative: Alternative,
    /// The test statistic.
    pub statistic: f64,
    /// The p-value against `alternative`.
    pub p: PValue,
    /// The p-values against every alternative; `None` for tests without direction and those that drew their null
    /// distribution for one alternative.
    pub sides: Option<Sides>,
    /// The effect size.
    pub effect: f64,
    /// What `effect` measures.
    pub effect_kind: EffectKind,
    /// Interval of `effect`, where the method gives one.
    pub ci: Option<Interval>,
    /// Number of units.
    pub n: usize,
    /// What a unit is.
    pub n_unit: &'static str,
}

impl TestResult {
    /// The same test against `alternative`; interval and effect stay as they are.
    ///
    /// The alternative is declared before the data are seen: taking the side that they favour doubles the error.
    ///
    /// ```
    /// use scfm_stats::{Alternative, mann_whitney};
    ///
    /// let test = mann_whitney(&[3.1, 4.0, 5.2], &[1.0, 2.0, 0.4])?;
    /// let raised = test.against(Alternative::Greater)?;
    /// assert!((raised.p.p() - 0.05).abs() < 1e-15); // 1 of the 20 ways to split six ranks
    /// assert_eq!(raised.ci, test.ci);
    /// # Ok::<(), scfm_stats::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Undefined::OneAlternative`] where `sides` is `None` and `alternative` is another one than the test's.
    pub fn against(&self, alternative: Alternative) -> Result<Self, Error> {
        let p = match self.sides {
            Some(sides) => sides.against(alternative),
            None if alternative == self.alternative => self.p,
            None => {
                return Err(Undefined::OneAlternative {
                    method: self.method,
                    alternative: self.alternative.as_str(),
                }
                .into());
            }
        };
        Ok(Self {
            alternative,
            p,
            ..self.clone()
        })
    }

    /// The same test with effect and interval counted from -`origin` instead of 0: a test that an AUROC minus 0.5 is 0 becomes
    /// one that the AUROC is 0.5.
    #[must_use]
    pub fn shifted(mut self, origin: f64) -> Self {
        self.effect += origin;
        if let Some(ci) = &mut self.ci {
            ci.low += origin;
            ci.high += origin;
        }
        self
    }
}
