/// What can be wrong with the input of an ablation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An intervention was to be judged by a layer that it cannot reach.
    #[error(
        "{condition} acts at or above layer {layer}, whose attention cannot change by it; judge it by what the model predicts"
    )]
    OutOfReach {
        /// The intervention.
        condition: String,
        /// The layer whose attention was to be read.
        layer: usize,
    },
    /// Scores of other heads than the model has.
    #[error("{found} heads were scored, the model has {expected}")]
    Heads {
        /// Heads with scores.
        found: usize,
        /// Heads of the model.
        expected: usize,
    },
    /// The model cannot read a cell, or cannot predict hidden genes.
    #[error(transparent)]
    Model(#[from] scfm_attention::Error),
    /// A table or matrix of another shape than its panels ask for.
    #[error(transparent)]
    Core(#[from] scfm_core::Error),
    /// Bad input to a statistical test, or a result that is undefined on this input.
    #[error(transparent)]
    Stats(#[from] scfm_stats::Error),
}
