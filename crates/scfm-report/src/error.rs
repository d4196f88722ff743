/// What can be wrong with a plan, with a registration, or with a stored registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The plan is not TOML, or has a key or a word that is not understood.
    #[error("the plan of tests cannot be read: {0}")]
    PlanFormat(#[source] Box<toml::de::Error>),
    /// Two analyses or two tests of the plan share an id or number.
    #[error("the plan declares {0} twice")]
    DeclaredTwice(String),
    /// An analysis with confirmatory tests must name one of them as its primary test, any other must name none.
    #[error("analysis {analysis} has primary test {found:?}, expected {expected}")]
    Primary {
        /// The analysis.
        analysis: String,
        /// What the plan names.
        found: Option<String>,
        /// What it should name.
        expected: &'static str,
    },
    /// A test of the plan is the same as a test that there is not, or that is itself the same as another.
    #[error("test {test} is said to be the same as {other}, which is no test of its own")]
    SameAs {
        /// The test.
        test: String,
        /// What it is said to be.
        other: String,
    },
    /// A test that the plan does not declare.
    #[error("test {0} is not in the plan; only planned tests can be registered")]
    UnknownTest(String),
    /// An analysis that the plan does not declare.
    #[error("analysis {0} is not in the plan")]
    UnknownAnalysis(String),
    /// A second registration of one test.
    #[error("test {test} is registered already ({earlier})")]
    RegisteredTwice {
        /// The test.
        test: String,
        /// What was registered first.
        earlier: String,
    },
    /// A test was computed with another alternative than the planned one.
    #[error("test {test} is planned as {planned}, computed as {found}")]
    Alternative {
        /// The test.
        test: String,
        /// The planned alternative.
        planned: &'static str,
        /// The alternative of the result.
        found: &'static str,
    },
    /// A confirmatory test was given a figure without a p-value.
    #[error("test {0} is confirmatory: a figure without a p-value cannot stand for it")]
    NeedsTest(String),
    /// A figure is not a number.
    #[error("test {test}: {what} is NaN; a degenerate statistic is registered as undefined with its reason")]
    NotANumber {
        /// The test.
        test: String,
        /// Which figure.
        what: &'static str,
    },
    /// A stored registry lacks a column or has it with another type.
    #[error("the registry has no column {column} of type {expected}")]
    Column {
        /// The column.
        column: &'static str,
        /// Its type.
        expected: &'static str,
    },
    /// A cell of a stored registry makes no sense.
    #[error("registry row {row}, column {column}: found {found:?}, expected {expected}")]
    Cell {
        /// The column.
        column: &'static str,
        /// The row, from 0.
        row: usize,
        /// What stands there.
        found: String,
        /// What would be understood.
        expected: String,
    },
    /// A stored registry has another number of rows than the plan.
    #[error(
        "the registry has {found} rows, the plan {expected}; it was written by another version of the plan"
    )]
    Rows {
        /// Rows in the table.
        found: usize,
        /// Tests in the plan.
        expected: usize,
    },
}
