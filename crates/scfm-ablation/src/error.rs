/// What can be wrong with the input of an ablation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A set function with another number of values than there are sets of its players.
    #[error("{0} values are not one for each set of players; expected a power of two")]
    SetFunction(usize),
    /// Bad input to a statistical test, or a result that is undefined on this input.
    #[error(transparent)]
    Stats(#[from] scfm_stats::Error),
    /// A cell that the model cannot read, or a place that it does not have.
    #[error(transparent)]
    Attention(#[from] scfm_attention::Error),
}
