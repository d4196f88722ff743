//! What the intact model does with a cell, from which an altered model goes on.

use std::iter::once;

use scfm_attention::{Activations, Interventions, Site};
use scfm_core::{Head, Layer};

/// The lowest layer in which something is done; none where nothing is.
pub(crate) fn lowest_layer(done: &Interventions, n_layers: usize) -> Option<usize> {
    (0..n_layers).find(|&layer| done.reaches(Layer(layer + 1)))
}

/// What goes into a layer.
pub(crate) fn input_site(layer: usize) -> Site {
    match layer.checked_sub(1) {
        Some(below) => Site::Hidden(Layer(below)),
        None => Site::Embeddings,
    }
}

/// Where a model in which nothing is done below layer `lowest` does what the intact one does: what goes into that layer, and
/// what its heads gather there that are left alone.
pub(crate) fn shared_sites(done: &Interventions, lowest: usize, n_heads: usize) -> Vec<Site> {
    let input = input_site(lowest);
    if done.alters(input) {
        return Vec::new();
    }
    let gathered = (0..n_heads).map(|head| Site::Context(Layer(lowest), Head(head)));
    once(input)
        .chain(gathered.filter(|&site| !done.alters(site)))
        .collect()
}

/// The same interventions on a model that takes what it does at `sites` from the intact one.
pub(crate) fn going_on(done: &Interventions, sites: &[Site], intact: &Activations) -> Interventions {
    sites
        .iter()
        .fold(done.clone(), |done, site| done.patch(*site, intact[site].clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn the_lowest_layer_is_where_something_is_done_first() {
        let done = Interventions::none()
            .scale_mlp(Layer(2), 0.0)
            .scale_head(Layer(1), Head(0), 0.0);
        assert_eq!(lowest_layer(&done, 4), Some(1));
        assert_eq!(lowest_layer(&Interventions::none(), 4), None);
        let last = Interventions::none().scale_mlp(Layer(3), 0.0);
        assert_eq!(lowest_layer(&last, 4), Some(3));
    }

    #[test]
    fn what_is_altered_is_not_shared() {
        let done = Interventions::none()
            .scale_head(Layer(1), Head(0), 0.0)
            .uniform_attention(Layer(1), Head(2))
            .scale_head(Layer(2), Head(1), 0.0);
        assert_eq!(
            shared_sites(&done, 1, 3),
            [Site::Hidden(Layer(0)), Site::Context(Layer(1), Head(1))]
        );
        let first = Interventions::none().scale_mlp(Layer(0), 0.0);
        assert_eq!(
            shared_sites(&first, 0, 1),
            [Site::Embeddings, Site::Context(Layer(0), Head(0))]
        );
        let embeddings = Interventions::none().patch(Site::Embeddings, Array2::zeros((1, 1)));
        assert!(shared_sites(&embeddings, 0, 3).is_empty());
    }
}
