use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use ndarray::{Array2, Axis};
use scfm_core::{Head, Layer};

use crate::{Error, Site};

/// What is done to the parts of a model while it reads a cell.
///
/// Interventions are values: any number of them holds at once, and none leaves the model exactly as it is. They act on
/// what a part passes on. The attention that a layer shows is always the softmax of its own queries and keys, so an
/// intervention changes the attention of later layers only: [`Interventions::reaches`].
///
/// ```
/// use scfm_attention::Interventions;
/// use scfm_core::{Head, Layer};
///
/// let silenced = Interventions::none()
///     .scale_head(Layer(1), Head(3), 0.0)
///     .uniform_attention(Layer(2), Head(0));
/// assert!(!silenced.reaches(Layer(1)) && silenced.reaches(Layer(2)));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Interventions {
    head_scales: BTreeMap<(Layer, Head), f32>,
    uniform: BTreeSet<(Layer, Head)>,
    mlp_scales: BTreeMap<Layer, f32>,
    patches: BTreeMap<Site, Array2<f32>>,
}

/// What is done to one head.
pub(crate) struct HeadIntervention<'a> {
    pub(crate) scale: f32,
    pub(crate) uniform: bool,
    pub(crate) attention: Option<&'a Array2<f32>>,
    pub(crate) context: Option<&'a Array2<f32>>,
}

impl Interventions {
    /// Nothing is done.
    pub fn none() -> Self {
        Self::default()
    }

    /// Multiplies what a head gathers: 0 silences it, 1 changes nothing. The same as `head_mask` of transformers 4, which
    /// multiplies the probabilities; the bias of the output projection stays.
    #[must_use]
    pub fn scale_head(mut self, layer: Layer, head: Head, factor: f32) -> Self {
        self.head_scales.insert((layer, head), factor);
        self
    }

    /// Lets a head attend to all tokens of a cell alike: what it gathers is the mean of its values.
    #[must_use]
    pub fn uniform_attention(mut self, layer: Layer, head: Head) -> Self {
        self.uniform.insert((layer, head));
        self
    }

    /// Multiplies what a layer's feed-forward step adds, its bias included: 0 leaves the step out.
    #[must_use]
    pub fn scale_mlp(mut self, layer: Layer, factor: f32) -> Self {
        self.mlp_scales.insert(layer, factor);
        self
    }

    /// Puts stored activations in the place of those at `site`: activation patching. They are of one cell, rows in the order
    /// of its tokens. Scales of the same part multiply what is put there; probabilities put in the place of a head's are
    /// what it gathers by, before any [`uniform_attention`](Self::uniform_attention).
    ///
    /// A patched [`Site::Hidden`] makes all layers up to it and the embeddings needless, and they are not computed unless they are
    /// looked at. Nor is the attention of a head whose context is patched or multiplied by 0.
    #[must_use]
    pub fn patch(mut self, site: Site, activations: Array2<f32>) -> Self {
        self.patches.insert(site, activations);
        self
    }

    /// Whether nothing is done.
    pub fn is_none(&self) -> bool {
        self.sites().next().is_none()
    }

    /// Whether the attention of `layer` can be another than without them: whether something is done below it.
    pub fn reaches(&self, layer: Layer) -> bool {
        self.sites().any(|site| site.layer() < Some(layer))
    }

    /// Whether something is done to the activations at a site themselves: what is done to the attention of a head alters what
    /// it gathers.
    pub fn alters(&self, site: Site) -> bool {
        let same = |done: Site| match (done, site) {
            (Site::Attention(layer, head), Site::Context(..)) => site == Site::Context(layer, head),
            _ => done == site,
        };
        self.sites().any(same)
    }

    /// Where something is done.
    fn sites(&self) -> impl Iterator<Item = Site> {
        let heads = self.head_scales.keys().chain(&self.uniform);
        heads
            .map(|&(layer, head)| Site::Context(layer, head))
            .chain(self.mlp_scales.keys().map(|&layer| Site::Mlp(layer)))
            .chain(self.patches.keys().copied())
    }

    /// Refuses places that a model does not have.
    pub(crate) fn check(&self, n_layers: usize, n_heads: usize) -> Result<(), Error> {
        self.sites()
            .try_for_each(|site| check_site(site, n_layers, n_heads))
    }

    pub(crate) fn of_head(&self, layer: Layer, head: Head) -> HeadIntervention<'_> {
        HeadIntervention {
            scale: self.head_scales.get(&(layer, head)).copied().unwrap_or(1.0),
            uniform: self.uniform.contains(&(layer, head)),
            attention: self.patches.get(&Site::Attention(layer, head)),
            context: self.patches.get(&Site::Context(layer, head)),
        }
    }

    pub(crate) fn mlp_scale(&self, layer: Layer) -> f32 {
        self.mlp_scales.get(&layer).copied().unwrap_or(1.0)
    }

    pub(crate) fn patch_at(&self, site: Site) -> Option<&Array2<f32>> {
        self.patches.get(&site)
    }

    /// The same for a cell whose tokens were put in another order: token `i` was token `order[i]`.
    pub(crate) fn reordered(&self, order: &[usize]) -> Result<Cow<'_, Self>, Error> {
        if self.patches.is_empty() {
            return Ok(Cow::Borrowed(self));
        }
        let mut reordered = self.clone();
        for (&site, patch) in &mut reordered.patches {
            if patch.nrows() != order.len() {
                return Err(Error::PatchShape {
                    site,
                    found: patch.dim(),
                    expected: (order.len(), patch.ncols()),
                });
            }
            *patch = patch.select(Axis(0), order);
            if matches!(site, Site::Attention(..)) && patch.ncols() == order.len() {
                *patch = patch.select(Axis(1), order);
            }
        }
        Ok(Cow::Owned(reordered))
    }
}

/// Refuses a place that a model does not have.
pub(crate) fn check_site(site: Site, n_layers: usize, n_heads: usize) -> Result<(), Error> {
    let beyond = site.layer().is_some_and(|layer| layer.0 >= n_layers)
        || site.head().is_some_and(|head| head.0 >= n_heads);
    if beyond {
        Err(Error::NoSite {
            site,
            n_layers,
            n_heads,
        })
    } else {
        Ok(())
    }
}
