use scfm_core::GeneId;

/// What can be wrong with a screen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No cell carries a control label, so that there is nothing to compare with.
    #[error(
        "no control label among {n_labels} labels; the most frequent are {}; name the control label",
        counted(most_frequent)
    )]
    NoControls {
        /// Number of distinct labels.
        n_labels: usize,
        /// The most frequent labels with their number of cells.
        most_frequent: Vec<(String, usize)>,
    },
    /// No column of the cells says which gene was perturbed.
    #[error("no perturbation column: {}; name the column", columns(candidates, others))]
    NoPerturbationColumn {
        /// Columns with a name that was expected, and their most frequent labels, none of which is a control.
        candidates: Vec<(String, Vec<(String, usize)>)>,
        /// The names of all other columns.
        others: Vec<String>,
    },
    /// A parameter outside its range.
    #[error("{name} is {value}, expected {expected}")]
    Parameter {
        /// The parameter.
        name: &'static str,
        /// What was given.
        value: f64,
        /// Its range.
        expected: &'static str,
    },
    /// Too few control cells for any test.
    #[error("{n} control cells, at least {needed} are needed")]
    FewControls {
        /// How many there are.
        n: usize,
        /// How many are needed.
        needed: usize,
    },
    /// Strata that leave no control cells to compare with.
    #[error(
        "none of the {n_strata} strata has two control cells; a stratum is a batch or replicate of many cells"
    )]
    NoStratum {
        /// Strata of the control cells.
        n_strata: usize,
    },
    /// Expression of a gene cannot be tested under a perturbation.
    #[error("perturbation {perturbation}, gene {gene}: {source}")]
    Gene {
        /// The perturbed gene.
        perturbation: GeneId,
        /// The tested gene.
        gene: GeneId,
        /// Why.
        source: scfm_stats::Error,
    },
    /// A type of the shared vocabulary could not be built.
    #[error(transparent)]
    Core(#[from] scfm_core::Error),
    /// Scores that cannot be evaluated.
    #[error(transparent)]
    Stats(#[from] scfm_stats::Error),
}

fn counted(labels: &[(String, usize)]) -> String {
    let labels: Vec<_> = labels
        .iter()
        .map(|(label, n)| format!("{label:?} ({n})"))
        .collect();
    if labels.is_empty() {
        "none".to_owned()
    } else {
        labels.join(", ")
    }
}

fn columns(candidates: &[(String, Vec<(String, usize)>)], others: &[String]) -> String {
    let mut parts: Vec<_> = candidates
        .iter()
        .map(|(column, labels)| format!("{column:?} has no control label but {}", counted(labels)))
        .collect();
    if !others.is_empty() {
        parts.push(format!("the other columns are {}", others.join(", ")));
    }
    if parts.is_empty() {
        "the cells have no text column".to_owned()
    } else {
        parts.join("; ")
    }
}
