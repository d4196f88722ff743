use scfm_core::GeneId;

/// What can be wrong with the input of a baseline.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A gene that was asked for has no column in the count matrix.
    #[error("gene {0} is not a column of the count matrix; take only genes of the file into the panel")]
    MissingGene(GeneId),
    /// A gene-level feature that an analysis needs is not in the gene table.
    #[error("the gene table has no feature {0:?}; compute it from the control cells first")]
    MissingFeature(&'static str),
    /// An analysis over pairs of one gene set was given edges between two different panels.
    #[error(
        "{edges} edges go from a panel of {n_sources} genes to another of {n_targets}; both must be the same panel"
    )]
    PanelsDiffer {
        /// Which edges.
        edges: String,
        /// Genes of the source panel.
        n_sources: usize,
        /// Genes of the target panel.
        n_targets: usize,
    },
    /// A value that a regression cannot take.
    #[error("row {row}, column {column} of the design matrix is {value}; expected a finite number")]
    NotFinite {
        /// Row of the value.
        row: usize,
        /// Column of the value.
        column: usize,
        /// What was found.
        value: f64,
    },
    /// Knots of a spline that are absent, not finite or not increasing.
    #[error("spline knots {0:?} are not one or more finite, increasing numbers")]
    Knots(Vec<f64>),
    /// A regularisation strength that is not a positive, finite number.
    #[error("C = {0}; expected a positive, finite inverse strength of the penalty")]
    InverseStrength(f64),
    /// Cross-validation with fewer than two folds.
    #[error("{0} fold(s) cannot hold anything out; ask for 2 or more")]
    Folds(usize),
    /// Newton's method did not reach the minimum.
    #[error(
        "logistic regression stopped after {iterations} iterations, {decrement:e} nats above its minimum"
    )]
    NotConverged {
        /// Iterations made.
        iterations: usize,
        /// Last Newton decrement.
        decrement: f64,
    },
    /// A parameter of boosted trees outside its range.
    #[error("boosted trees cannot have {value} as their {what}")]
    TreeParams {
        /// Which parameter.
        what: &'static str,
        /// What it was given as.
        value: f64,
    },
    /// What the library of boosted trees says.
    #[error("boosted trees could not be fitted")]
    Trees(#[source] forust_ml::errors::ForustError),
    /// A table or matrix of another shape than its panels ask for.
    #[error(transparent)]
    Core(#[from] scfm_core::Error),
    /// Bad input to a statistical test, or a result that is undefined on this input.
    #[error(transparent)]
    Stats(#[from] scfm_stats::Error),
}
