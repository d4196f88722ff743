//! A post-norm transformer encoder that shows what happens in it block by block and keeps none of it: the core that every
//! model of this crate shares.
//!
//! It is BERT (arXiv:1810.04805) with relu, and also `torch.nn.TransformerEncoderLayer` as it is by default. Models differ in
//! what goes into the first [layer](crate::layer), in the number added to the variance in LN, in widths, and in how their
//! weights are called; none of this is known here. Sequences come one at a time, so that there is no padding to mask.
//!
//! [`Interventions`] say what is done to the parts on the way, an [`Observer`] what of them is looked at. Looking changes
//! no bit of what is computed.

use candle_core::{Device, Tensor};
use scfm_core::Layer;

use crate::layer::{EncoderLayer, Run, patch_tensor, with_rows};
use crate::observer::{Observer, Seen, Wants};
use crate::{Error, Interventions, Site};

/// The layers of a model, one after the other.
#[derive(Debug, Clone)]
pub struct Encoder {
    layers: Vec<EncoderLayer>,
}

/// What goes into the first layer, `[S, D]`, made only where it is needed.
pub struct Input<F> {
    /// Number of tokens S.
    pub(crate) n_tokens: usize,
    pub(crate) embed: F,
}

/// An input that is made.
pub(crate) fn made(hidden: Tensor) -> Result<Input<impl FnOnce() -> Result<Tensor, Error>>, Error> {
    Ok(Input {
        n_tokens: hidden.dim(0)?,
        embed: || Ok(hidden),
    })
}

/// Nobody looks.
struct Nobody;

impl Observer for Nobody {
    fn wants(&self, _: Layer) -> Wants {
        Wants::default()
    }

    fn see(&mut self, _: Layer, _: Seen<'_>) {}
}

impl Encoder {
    /// An encoder of these layers.
    ///
    /// # Panics
    /// Without any layer, or where layers differ in their number of heads.
    pub(crate) fn new(layers: Vec<EncoderLayer>) -> Self {
        assert!(
            layers.iter().all(|layer| layer.heads == layers[0].heads) && !layers.is_empty(),
            "layers of one model"
        );
        Self { layers }
    }

    /// Number of layers L.
    pub(crate) fn n_layers(&self) -> usize {
        self.layers.len()
    }

    /// Number of attention heads H of a layer.
    pub(crate) fn n_heads(&self) -> usize {
        self.layers[0].heads
    }

    /// Width D of a hidden state.
    pub(crate) fn width(&self) -> usize {
        self.layers[0].query.bias.len()
    }

    /// The output of the last layer, `[S, D]`.
    pub(crate) fn forward(
        &self,
        input: Input<impl FnOnce() -> Result<Tensor, Error>>,
        interventions: &Interventions,
    ) -> Result<Tensor, Error> {
        self.through(self.n_layers(), input, interventions, &mut Nobody)
    }

    /// Shows what `observer` wants to see, at the least cost: nothing is computed beyond the last layer that it looks at,
    /// and of that layer only `last_queries`, where attention and contexts are all that is looked at.
    pub(crate) fn observe(
        &self,
        input: Input<impl FnOnce() -> Result<Tensor, Error>>,
        interventions: &Interventions,
        last_queries: &[u32],
        observer: &mut impl Observer,
    ) -> Result<(), Error> {
        let Some(last) = (0..self.n_layers()).rfind(|&layer| observer.wants(Layer(layer)).any()) else {
            return Ok(());
        };
        let wants = observer.wants(Layer(last));
        if wants.mlp || wants.hidden {
            self.through(last + 1, input, interventions, observer)?;
            return Ok(());
        }
        let hidden = self.through(last, input, interventions, observer)?;
        let layer = Run {
            layer: &self.layers[last],
            at: Layer(last),
            interventions,
        };
        layer.attention(&hidden, Some(last_queries), wants.contexts, observer)?;
        Ok(())
    }

    /// The output of the first `n` layers. What is below a patched output that nobody looks at is not computed, nor is the
    /// input where it is patched.
    fn through(
        &self,
        n: usize,
        input: Input<impl FnOnce() -> Result<Tensor, Error>>,
        interventions: &Interventions,
        observer: &mut impl Observer,
    ) -> Result<Tensor, Error> {
        let size = (input.n_tokens, self.width());
        let patched = |site| {
            let patch = interventions.patch_at(site);
            patch.map(|patch| patch_tensor(site, patch, size, None, self.device()))
        };
        let looked_at = (0..n)
            .find(|&layer| observer.wants(Layer(layer)).any())
            .unwrap_or(n);
        let last_patched = (0..looked_at)
            .rev()
            .find_map(|layer| Some((layer + 1, patched(Site::Hidden(Layer(layer)))?)));
        let (first, mut hidden) = match last_patched {
            Some((first, hidden)) => (first, hidden?),
            None => (0, patched(Site::Embeddings).unwrap_or_else(input.embed)?),
        };
        for (index, layer) in self.layers.iter().enumerate().take(n).skip(first) {
            let at = Layer(index);
            let patch = patched(Site::Hidden(at));
            // What a patch replaces is not computed, unless something on the way to it is looked at.
            if patch.is_none() || observer.wants(at).any() {
                let run = Run {
                    layer,
                    at,
                    interventions,
                };
                hidden = run.output(&hidden, observer)?;
            }
            hidden = patch.unwrap_or(Ok(hidden))?;
            if observer.wants(at).hidden {
                with_rows(&hidden, |rows| observer.see(at, Seen::Hidden(rows)))?;
            }
        }
        Ok(hidden)
    }

    fn device(&self) -> &Device {
        self.layers[0].query.device()
    }
}
