/// Why a statistic has no value although its input is well-formed. A reason, not a failure: it travels to wherever
/// the result would have been shown.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Undefined {
    /// A ranking needs both classes.
    #[error("one class only: {n_pos} positives, {n_neg} negatives")]
    OneClass {
        /// Number of positives.
        n_pos: usize,
        /// Number of negatives.
        n_neg: usize,
    },
    /// One row of a grid holds a single class among its candidates.
    #[error("one class only in row {row}: {n_pos} positives, {n_neg} negatives")]
    OneClassRow {
        /// The row, counted from 0.
        row: usize,
        /// Number of positive candidates.
        n_pos: usize,
        /// Number of negative candidates.
        n_neg: usize,
    },
    /// Too few observations for the statistic.
    #[error("too few {what}: {n}, needs {needed}")]
    TooFew {
        /// What is counted.
        what: &'static str,
        /// How many there are.
        n: usize,
        /// How many are needed.
        needed: usize,
    },
    /// A vector without variation has no ranks to correlate.
    #[error("{what} is constant")]
    Constant {
        /// The constant vector.
        what: &'static str,
    },
    /// The estimate differs from the null value but its standard error is zero, so no test statistic exists.
    #[error("{what} differs from the null value by {difference} without any variance to judge it by")]
    NoVariance {
        /// What was tested.
        what: &'static str,
        /// Distance from the null value.
        difference: f64,
    },
    /// A test was asked against an alternative that it does not know.
    #[error("{method} has no p-value but the {alternative} one")]
    OneAlternative {
        /// The test.
        method: &'static str,
        /// The alternative it has.
        alternative: &'static str,
    },
    /// A list of pairs with too few sources or targets for a variance that is clustered by both.
    #[error(
        "not decidable: {sources:.1} effective sources (needs {min_sources}) and {targets:.1} effective targets (needs {min_targets})"
    )]
    FewClusters {
        /// Effective number of sources.
        sources: f64,
        /// Effective number needed.
        min_sources: f64,
        /// Effective number of targets.
        targets: f64,
        /// Effective number needed.
        min_targets: f64,
    },
    /// The design is too small for the variance estimate to hold its level.
    #[error(
        "not decidable: {rows} rows (needs {min_rows}) and {effective_genes:.1} effective genes (needs {min_effective_genes})"
    )]
    NotDecidable {
        /// Rows of the design.
        rows: usize,
        /// Rows needed.
        min_rows: usize,
        /// Effective number of column clusters.
        effective_genes: f64,
        /// Effective number needed.
        min_effective_genes: f64,
    },
    /// A share of what lies above chance needs something that does.
    #[error("not defined: the AUROC of the raw score is bounded by {low:.3}, not above 0.5")]
    NotAboveChance {
        /// Lower bound of the AUROC.
        low: f64,
    },
    /// Groups that were matched still differ in what they were matched on.
    #[error(
        "not decidable: after matching the groups differ in {covariate} by {difference:.3} standard deviations (at most {limit})"
    )]
    Unbalanced {
        /// The covariate that differs most.
        covariate: &'static str,
        /// Its standardised mean difference.
        difference: f64,
        /// The largest difference that is taken for balance.
        limit: f64,
    },
}

/// Input that cannot be used, or ([`Error::Undefined`]) a statistic without a value.
///
/// [`defined`] splits the two, since the first should stop a run and the second should not.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// NaN among values that are ranked or averaged.
    #[error("{what} {row} is not a number; drop the observation before testing")]
    NotANumber {
        /// What the value is.
        what: &'static str,
        /// Its position, counted from 0.
        row: usize,
    },
    /// An infinite value where a mean is taken.
    #[error("{what} {row} is not finite; means and variances need finite values")]
    NotFinite {
        /// What the value is.
        what: &'static str,
        /// Its position, counted from 0.
        row: usize,
    },
    /// NaN at a candidate cell of a grid.
    #[error("{what} at row {row}, column {column} is not a number; take the cell out of the candidates")]
    CellNotANumber {
        /// What the value is.
        what: &'static str,
        /// Row, counted from 0.
        row: usize,
        /// Column, counted from 0.
        column: usize,
    },
    /// Two vectors that must be parallel are not.
    #[error("{what}: expected {expected} values, got {got}")]
    Length {
        /// The vector of the wrong length.
        what: &'static str,
        /// Length of the other vector.
        expected: usize,
        /// Its length.
        got: usize,
    },
    /// Two matrices that must have one shape do not.
    #[error("{what}: expected shape {expected:?}, got {got:?}")]
    Shape {
        /// The matrix of the wrong shape.
        what: &'static str,
        /// Rows and columns expected.
        expected: (usize, usize),
        /// Rows and columns found.
        got: (usize, usize),
    },
    /// Nothing to compute on.
    #[error("{what} is empty")]
    Empty {
        /// What is empty.
        what: &'static str,
    },
    /// A parameter outside its domain.
    #[error("{what} is {value}, expected {expected}")]
    OutOfRange {
        /// The parameter.
        what: &'static str,
        /// Its value.
        value: f64,
        /// Its domain.
        expected: &'static str,
    },
    /// The input is fine, the statistic has no value.
    #[error(transparent)]
    Undefined(#[from] Undefined),
}

/// Splits a statistic without a value from unusable input.
///
/// ```
/// use scfm_stats::{Undefined, auroc, defined};
///
/// let nothing_positive = defined(auroc(&[0.1, 0.7], &[false, false]))?;
/// assert_eq!(nothing_positive, Err(Undefined::OneClass { n_pos: 0, n_neg: 2 }));
/// assert!(defined(auroc(&[0.1, f64::NAN], &[false, true])).is_err());
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// Every error but [`Error::Undefined`].
pub fn defined<T>(result: Result<T, Error>) -> Result<Result<T, Undefined>, Error> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Error::Undefined(reason)) => Ok(Err(reason)),
        Err(error) => Err(error),
    }
}

/// Rejects NaN, naming where it stands.
pub(crate) fn numbers<T: Copy + Into<f64>>(what: &'static str, values: &[T]) -> Result<(), Error> {
    match values.iter().position(|&value| value.into().is_nan()) {
        Some(row) => Err(Error::NotANumber { what, row }),
        None => Ok(()),
    }
}

/// Rejects NaN, infinities and emptiness.
pub(crate) fn finite(what: &'static str, values: &[f64]) -> Result<(), Error> {
    if values.is_empty() {
        return Err(Error::Empty { what });
    }
    numbers(what, values)?;
    match values.iter().position(|value| value.is_infinite()) {
        Some(row) => Err(Error::NotFinite { what, row }),
        None => Ok(()),
    }
}

/// Rejects a vector whose length differs from its partner's.
pub(crate) fn same_length(what: &'static str, expected: usize, got: usize) -> Result<(), Error> {
    if expected == got {
        Ok(())
    } else {
        Err(Error::Length { what, expected, got })
    }
}
