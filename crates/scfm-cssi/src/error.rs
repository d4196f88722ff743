use ndarray::ArrayView2;

/// What can be wrong with the input of a stratified analysis.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value that is not finite where distances or correlations are taken.
    #[error("{what} [{row}, {column}] is {value}, not finite")]
    NotFinite {
        /// The matrix.
        what: &'static str,
        /// Its row, counted from 0.
        row: usize,
        /// Its column.
        column: usize,
        /// What stands there.
        value: f64,
    },
    /// Two things of which there should be as many.
    #[error("{found} {what}, expected {expected}")]
    Length {
        /// What is counted.
        what: &'static str,
        /// How many there should be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A number outside of what it may be.
    #[error("{what} is {value}; expected {expected}")]
    OutOfRange {
        /// The quantity.
        what: &'static str,
        /// Its value.
        value: f64,
        /// What it may be.
        expected: &'static str,
    },
    /// A gene, cell or cluster that does not exist.
    #[error("{what} {index} of {n}")]
    OutOfBounds {
        /// What is pointed at.
        what: &'static str,
        /// Where, counted from 0.
        index: usize,
        /// How many there are.
        n: usize,
    },
    /// No stratum holds as many cells as it needs.
    #[error("none of {n_strata} strata holds {min_cells} cells; the largest holds {largest}")]
    NoStrata {
        /// Number of strata.
        n_strata: usize,
        /// Cells that a stratum needs.
        min_cells: usize,
        /// Cells of the largest.
        largest: usize,
    },
    /// A graph that communities cannot be looked for in.
    #[error("no communities: {0}")]
    Graph(#[from] single_clustering::ClusteringError),
    /// Cells that cannot be simulated.
    #[error(transparent)]
    Simulation(#[from] scfm_synth::Error),
    /// Bad input to a statistic, or one without a value on this input.
    #[error(transparent)]
    Stats(#[from] scfm_stats::Error),
}

/// Refuses places of cells that are none.
pub(crate) fn finite_points(points: ArrayView2<'_, f64>) -> Result<(), Error> {
    match points.indexed_iter().find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some(((row, column), &value)) => Err(Error::NotFinite {
            what: "point",
            row,
            column,
            value,
        }),
    }
}
