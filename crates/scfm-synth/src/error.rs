/// Why a world, a screen or a mixture cannot be simulated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A parameter outside the range in which the model means anything.
    #[error("{parameter} is {found}, expected {expected}")]
    Parameter {
        /// The field's name.
        parameter: &'static str,
        /// Its value.
        found: f64,
        /// The range that is allowed.
        expected: String,
    },
    /// Numbers per gene of which there is not one for each gene.
    #[error("{found} values of {what} for {expected} genes")]
    Length {
        /// What the numbers are.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many genes there are.
        expected: usize,
    },
}

/// Refuses a value outside `low..=high`, `NaN` included.
pub(crate) fn check(parameter: &'static str, found: f64, low: f64, high: f64) -> Result<(), Error> {
    if (low..=high).contains(&found) {
        return Ok(());
    }
    Err(Error::Parameter {
        parameter,
        found,
        expected: format!("{low} to {high}"),
    })
}
