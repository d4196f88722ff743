use crate::PValue;

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
#[derive(Debug, Clone, PartialEq)]
pub struct TestResult {
    /// The procedure, in words.
    pub method: &'static str,
    /// Sidedness of `p`.
    pub alternative: Alternative,
    /// The test statistic.
    pub statistic: f64,
    /// The p-value.
    pub p: PValue,
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
    /// The same test with effect and interval counted from -`origin` instead of 0.
    pub(crate) fn shifted(mut self, origin: f64) -> Self {
        self.effect += origin;
        if let Some(ci) = &mut self.ci {
            ci.low += origin;
            ci.high += origin;
        }
        self
    }
}
