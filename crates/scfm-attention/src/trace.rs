use std::collections::BTreeMap;

use candle_core::Tensor;
use ndarray::{Array2, Array3, ArrayView2, Axis, s};
use scfm_core::{Head, Layer};

use crate::encoder::{Encoder, Input, made};
use crate::interventions::check_site;
use crate::linear::to_array;
use crate::observer::{Observer, Seen, Wants};
use crate::{Error, Interventions, Site};

/// Activations of one cell by where they were read, rows in the order of the cell's tokens.
pub type Activations = BTreeMap<Site, Array2<f32>>;

/// Reads the activations at `sites` while a cell goes through the model.
pub(crate) fn trace(
    encoder: &Encoder,
    input: Input<impl FnOnce() -> Result<Tensor, Error>>,
    sites: &[Site],
    interventions: &Interventions,
) -> Result<Activations, Error> {
    let (n_layers, n_heads) = (encoder.n_layers(), encoder.n_heads());
    interventions.check(n_layers, n_heads)?;
    let (n_tokens, width) = (input.n_tokens, encoder.width());
    let mut activations = Activations::new();
    for &site in sites {
        check_site(site, n_layers, n_heads)?;
        let columns = match site {
            Site::Attention(..) => n_tokens,
            Site::Context(..) => width / n_heads,
            Site::Embeddings | Site::Mlp(_) | Site::Hidden(_) => width,
        };
        activations
            .entry(site)
            .or_insert_with(|| Array2::zeros((n_tokens, columns)));
    }
    let positions: Vec<u32> = (0..n_tokens as u32).collect();
    let mut tracer = Tracer { activations };
    if !tracer.activations.contains_key(&Site::Embeddings) {
        encoder.observe(input, interventions, &positions, &mut tracer)?;
        return Ok(tracer.activations);
    }
    let embedded = (input.embed)()?;
    let shown = match interventions.patch_at(Site::Embeddings) {
        Some(patch) => patch.clone(),
        None => to_array(&embedded)?,
    };
    tracer.activations.insert(Site::Embeddings, shown);
    encoder.observe(made(embedded)?, interventions, &positions, &mut tracer)?;
    Ok(tracer.activations)
}

/// What goes into the first layer, then the output of each; L + 1 arrays `[S, D]` in all.
pub(crate) fn hidden_states(encoder: &Encoder, embedded: Tensor) -> Result<Vec<Array2<f32>>, Error> {
    let mut sites = vec![Site::Embeddings];
    sites.extend((0..encoder.n_layers()).map(|layer| Site::Hidden(Layer(layer))));
    // Sites are ordered as the model is, so their activations come out in order.
    Ok(trace(encoder, made(embedded)?, &sites, &Interventions::none())?
        .into_values()
        .collect())
}

/// All attention probabilities of each layer, `[head, query, key]`: L · H · S² numbers.
pub(crate) fn attention(encoder: &Encoder, embedded: Tensor) -> Result<Vec<Array3<f32>>, Error> {
    let heads = 0..encoder.n_heads();
    let layers = 0..encoder.n_layers();
    let of_layer = |layer| {
        heads
            .clone()
            .map(move |head| Site::Attention(Layer(layer), Head(head)))
    };
    let sites: Vec<Site> = layers.flat_map(of_layer).collect();
    let maps: Vec<Array2<f32>> = trace(encoder, made(embedded)?, &sites, &Interventions::none())?
        .into_values()
        .collect();
    Ok(maps
        .chunks(encoder.n_heads())
        .map(|heads| {
            let heads: Vec<_> = heads.iter().map(|map| map.view()).collect();
            ndarray::stack(Axis(0), &heads).expect("maps of one shape")
        })
        .collect())
}

struct Tracer {
    activations: Activations,
}

impl Observer for Tracer {
    fn wants(&self, layer: Layer) -> Wants {
        let mut wants = Wants::default();
        for site in self.activations.keys().filter(|site| site.layer() == Some(layer)) {
            match site {
                Site::Attention(..) => wants.attention = true,
                Site::Context(..) => wants.contexts = true,
                Site::Mlp(_) => wants.mlp = true,
                Site::Hidden(_) => wants.hidden = true,
                Site::Embeddings => (),
            }
        }
        wants
    }

    fn see(&mut self, layer: Layer, seen: Seen<'_>) {
        match seen {
            Seen::Attention(block) => {
                if let Some(map) = self.activations.get_mut(&Site::Attention(layer, block.head)) {
                    for (&query, row) in block.queries.iter().zip(block.values.outer_iter()) {
                        map.row_mut(query as usize).assign(&row);
                    }
                }
            }
            Seen::Contexts(_, rows) => {
                for (site, context) in &mut self.activations {
                    if let Site::Context(at, head) = *site
                        && at == layer
                    {
                        let width = context.ncols();
                        context.assign(&rows.slice(s![.., head.0 * width..(head.0 + 1) * width]));
                    }
                }
            }
            Seen::Mlp(rows) => self.store(Site::Mlp(layer), rows),
            Seen::Hidden(rows) => self.store(Site::Hidden(layer), rows),
            Seen::Logits(_) | Seen::Lengths(_) => (),
        }
    }
}

impl Tracer {
    fn store(&mut self, site: Site, rows: ArrayView2<'_, f32>) {
        if let Some(activations) = self.activations.get_mut(&site) {
            activations.assign(&rows);
        }
    }
}
