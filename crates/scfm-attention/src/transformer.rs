use candle_core::Tensor;

use crate::cell_embeddings::Pooling;
use crate::encoder::{Encoder, Input};
use crate::trace::{Activations, trace};
use crate::{Error, Interventions, Site, TokenisedCell};

/// A model that reads cells as sequences of genes and whose attention can be extracted. Immutable and shared among
/// threads.
///
/// What models have in common is the encoder of attention and feed-forward layers; each says how a cell becomes
/// the first layer's input. The trait cannot be implemented outside of this crate.
pub trait Transformer: Sync {
    /// One cell as the model reads it.
    type Cell: AsRef<TokenisedCell>;

    /// Number of tokens V that the model embeds.
    fn n_tokens(&self) -> usize;

    /// Number of layers L.
    fn n_layers(&self) -> usize {
        self.encoder().n_layers()
    }

    /// Number of attention heads H of a layer.
    fn n_heads(&self) -> usize {
        self.encoder().n_heads()
    }

    /// The activations at `sites` while the model reads a cell under `interventions`, by where they were read. Nothing is
    /// computed beyond the last of them, nor what is below a patched site alone.
    ///
    /// # Errors
    /// For a cell that the model cannot read; [`Error::NoSite`] for a place that it does not have; [`Error::PatchShape`]
    /// for stored activations of another cell.
    fn trace(
        &self,
        cell: &Self::Cell,
        sites: &[Site],
        interventions: &Interventions,
    ) -> Result<Activations, Error> {
        trace(self.encoder(), self.input(cell), sites, interventions)
    }

    #[doc(hidden)]
    fn encoder(&self) -> &Encoder;

    /// A cell on its way into the first layer.
    #[doc(hidden)]
    fn input(&self, cell: &Self::Cell) -> Input<impl FnOnce() -> Result<Tensor, Error>> {
        Input {
            n_tokens: cell.as_ref().tokens.len(),
            embed: || self.embed(cell),
        }
    }

    /// The input of the first layer, `[S, D]`.
    ///
    /// # Errors
    /// For a cell that the model cannot read.
    #[doc(hidden)]
    fn embed(&self, cell: &Self::Cell) -> Result<Tensor, Error>;

    /// How a cell's embedding is read of its hidden states.
    #[doc(hidden)]
    fn pooling(&self) -> Pooling;
}
