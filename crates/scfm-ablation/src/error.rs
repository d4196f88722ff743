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
    /// A table or matrix of another shape than its panels ask for.
    #[error(transparent)]
    Core(#[from] scfm_core::Error),
    /// A set function with another number of values than there are sets of its players.
    #[error("{0} values are not one for each set of players; expected a power of two")]
    SetFunction(usize),
    /// Bad input to a statistical test, or a result that is undefined on this input.
    #[error(transparent)]
    Stats(#[from] scfm_stats::Error),
    /// A cell that the model cannot read, a place that it does not have, or hidden genes that it cannot predict.
    #[error(transparent)]
    Attention(#[from] scfm_attention::Error),
}
