//! What single components of a model, and sets of them, restore of an effect: activation patching.
//!
//! A cell is read three ways, always with the target hidden: as it is (clean), with the source silenced (removed), and
//! with the source silenced while some components pass on what they passed on in the clean run (patched). With r the
//! prediction of the target,
//!
//! ```text
//! TE   = r(clean) − r(removed)
//! v(S) = r(removed, components of S patched at all places) − r(removed)
//! m_i  = v({i})
//! ```
//!
//! Heads and feed-forward steps together are all that writes into the stream of a token after its embedding, and the
//! target's embedding does not depend on the source. With all of them patched the target's token therefore gets everything
//! that it got in the clean run: v(∅) = 0 and v(N) = TE. What the m_i leave of TE is then interaction and nothing else,
//! which cannot be said where some components or places are left out.
//!
//! A head is what it gathers before the output projection ([`Site::Context`]); columns behind the projection, which the
//! published code patches, hold all heads mixed.

use std::fmt;

use rand_chacha::ChaCha8Rng;
use scfm_attention::{Activations, Interventions, Site, Transformer};
use scfm_core::{Head, Layer};

use crate::CellOf;
use crate::{Error, ReadOut, SetFunction, sampled_shapley};

/// Predictions that are no further apart than this share of themselves may be the same one, rounded.
const ROUNDING: f64 = 1e-4;

/// A part of a model that is patched as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Component {
    /// A head.
    Head(Layer, Head),
    /// The feed-forward step of a layer.
    Mlp(Layer),
    /// All heads of a layer.
    Attention(Layer),
}

impl Component {
    /// All heads and all feed-forward steps.
    pub fn parts(model: &impl Transformer) -> Vec<Self> {
        let heads = |layer| (0..model.n_heads()).map(move |head| Self::Head(layer, Head(head)));
        (0..model.n_layers())
            .map(Layer)
            .flat_map(|layer| heads(layer).chain([Self::Mlp(layer)]))
            .collect()
    }

    /// The attention and the feed-forward step of each layer.
    pub fn blocks(model: &impl Transformer) -> Vec<Self> {
        (0..model.n_layers())
            .map(Layer)
            .flat_map(|layer| [Self::Attention(layer), Self::Mlp(layer)])
            .collect()
    }

    /// The layer.
    pub fn layer(self) -> Layer {
        match self {
            Self::Head(layer, _) | Self::Mlp(layer) | Self::Attention(layer) => layer,
        }
    }

    fn sites(self, n_heads: usize) -> Vec<Site> {
        match self {
            Self::Head(layer, head) => vec![Site::Context(layer, head)],
            Self::Mlp(layer) => vec![Site::Mlp(layer)],
            Self::Attention(layer) => (0..n_heads)
                .map(|head| Site::Context(layer, Head(head)))
                .collect(),
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(Layer(layer), Head(head)) => write!(f, "L{layer} head {head}"),
            Self::Mlp(Layer(layer)) => write!(f, "L{layer} feed-forward"),
            Self::Attention(Layer(layer)) => write!(f, "L{layer} attention"),
        }
    }
}

/// A cell in which a source gene was silenced and the prediction of a target is looked at. Holds the activations of two
/// runs, some 5 · L · S · D numbers.
pub struct PatchedCell<'a, R: ReadOut> {
    read_out: &'a R,
    removed: CellOf<R>,
    source: usize,
    target: (usize, u32),
    clean_activations: Activations,
    removed_activations: Activations,
    clean_prediction: f64,
    removed_prediction: f64,
}

impl<'a, R: ReadOut> PatchedCell<'a, R> {
    /// Reads a cell with and without the source, whose token stands at place `source`; the target's is at `target`.
    ///
    /// # Errors
    /// Those of the model.
    ///
    /// # Panics
    /// Where source and target are one place or beyond the cell's tokens.
    pub fn new(read_out: &'a R, cell: &CellOf<R>, source: usize, target: usize) -> Result<Self, Error> {
        assert_ne!(
            source, target,
            "the target is hidden in both runs, so it is not its own source"
        );
        let model = read_out.model();
        let target = (target, cell.as_ref().tokens[target]);
        let clean = read_out.hide_at(cell, &[target.0]);
        let removed = read_out.silence(&clean, source);
        let mut sites: Vec<Site> = Component::parts(model)
            .into_iter()
            .flat_map(|part| part.sites(model.n_heads()))
            .collect();
        let clean_activations = model.trace(&clean, &sites, &Interventions::none())?;
        sites.extend((0..model.n_layers()).map(|layer| Site::Hidden(Layer(layer))));
        let removed_activations = model.trace(&removed, &sites, &Interventions::none())?;
        let predict = |cell| -> Result<f64, Error> {
            Ok(read_out.predict(cell, &[target], &Interventions::none())?[0])
        };
        Ok(Self {
            clean_prediction: predict(&clean)?,
            removed_prediction: predict(&removed)?,
            read_out,
            removed,
            source,
            target,
            clean_activations,
            removed_activations,
        })
    }

    /// TE: what the source is worth to the prediction of the target. 0 where the two predictions differ by no more than 32-bit
    /// arithmetic may make two equal ones differ, a ten-thousandth of them.
    pub fn total(&self) -> f64 {
        let (clean, removed) = (self.clean_prediction, self.removed_prediction);
        let total = clean - removed;
        if total.abs() <= ROUNDING * clean.abs().max(removed.abs()) {
            return 0.0;
        }
        total
    }

    /// v(S) of a set of components, patched at all places.
    ///
    /// # Errors
    /// Those of the model.
    pub fn effect(&self, set: &[Component]) -> Result<f64, Error> {
        self.effect_of(set, |site| self.clean_activations[&site].clone())
    }

    /// m of one component patched at the source's place alone, as published. The rest of the effect travels on through the
    /// other places, so that these effects need not add up to TE in an additive model either.
    ///
    /// # Errors
    /// Those of the model.
    pub fn effect_at_source(&self, component: Component) -> Result<f64, Error> {
        self.effect_of(&[component], |site| {
            let mut rows = self.removed_activations[&site].clone();
            rows.row_mut(self.source)
                .assign(&self.clean_activations[&site].row(self.source));
            rows
        })
    }

    fn effect_of(
        &self,
        set: &[Component],
        activations: impl Fn(Site) -> ndarray::Array2<f32>,
    ) -> Result<f64, Error> {
        let n_heads = self.read_out.model().n_heads();
        let Some(lowest) = set.iter().map(|component| component.layer()).min() else {
            return Ok(0.0);
        };
        let mut done = Interventions::none();
        // Below the lowest patch nothing differs from the run without the source.
        if lowest.0 > 0 {
            let below = Site::Hidden(Layer(lowest.0 - 1));
            done = done.patch(below, self.removed_activations[&below].clone());
        }
        for site in set.iter().flat_map(|component| component.sites(n_heads)) {
            done = done.patch(site, activations(site));
        }
        let patched = self.read_out.predict(&self.removed, &[self.target], &done)?[0];
        Ok(patched - self.removed_prediction)
    }

    /// Shapley values of components: exact where their 2ⁿ sets are at most `max_sets`, else from as many random orders and
    /// their reverses as `max_sets` sets allow, one pair at the least.
    ///
    /// # Errors
    /// Those of the model.
    pub fn shapley(
        &self,
        components: &[Component],
        max_sets: usize,
        rng: &mut ChaCha8Rng,
    ) -> Result<Vec<f64>, Error> {
        let n = components.len();
        if n < usize::BITS as usize && 1 << n <= max_sets {
            return Ok(self.set_function(components)?.shapley());
        }
        let n_pairs = max_sets.saturating_sub(2) / (2 * (n - 1)).max(1);
        let sampled = sampled_shapley(n, n_pairs.max(1), rng, |members| {
            let set: Vec<Component> = components
                .iter()
                .zip(members)
                .filter_map(|(&component, &member)| member.then_some(component))
                .collect();
            self.effect(&set)
        })?;
        Ok(sampled.values)
    }

    /// v of every set of components: 2ⁿ runs of the model.
    ///
    /// # Errors
    /// Those of the model.
    pub fn set_function(&self, components: &[Component]) -> Result<SetFunction, Error> {
        let values = (0..1usize << components.len())
            .map(|set| {
                let members: Vec<Component> = components
                    .iter()
                    .enumerate()
                    .filter_map(|(i, &component)| (set >> i & 1 == 1).then_some(component))
                    .collect();
                self.effect(&members)
            })
            .collect::<Result<_, _>>()?;
        SetFunction::new(values)
    }
}
