use std::collections::BTreeSet;
use std::iter::once;

use rayon::prelude::*;
use scfm_attention::{AttentionSums, Interventions, Site, TokenPanel, Transformer};
use scfm_core::{Layer, Measure, ModelEdge, Orientation};

use crate::Error;
use crate::intact::{going_on, input_site, lowest_layer, shared_sites};

/// The attention of one layer between the genes of two panels, while something is done to the model: sums over cells for
/// each of the conditions, in their order.
///
/// Cells come one after the other, and of each what the intact model does is kept while the conditions are computed side by
/// side: each goes on from the first layer in which it does something, and from what its other heads gather there. Memory is 12
/// bytes for each pair of the panels and condition. Scores of a cell are summed as integers, so that threads change no bit.
/// `progress` hears how many cells are done.
///
/// # Errors
/// [`Error::OutOfReach`] for a condition that cannot reach the layer; [`Error::Attention`] for a cell that the model cannot
/// read. `Interventions::none()` is the intact model.
pub fn read_edges<M: Transformer<Cell: Sync>>(
    model: &M,
    cells: &[M::Cell],
    conditions: &[Interventions],
    layer: Layer,
    (sources, targets): (&TokenPanel, &TokenPanel),
    orientation: Orientation,
    progress: impl Fn(usize),
) -> Result<Vec<AttentionSums>, Error> {
    if let Some(done) = conditions
        .iter()
        .find(|done| !done.is_none() && !done.reaches(layer))
    {
        return Err(Error::OutOfReach {
            condition: format!("{done:?}"),
            layer: layer.0,
        });
    }
    let edge = ModelEdge::of_layer(Measure::Attention, layer);
    let empty = || AttentionSums::of(model, [edge], sources.clone(), targets.clone(), orientation);
    let mut sums = conditions
        .iter()
        .map(|_| empty())
        .collect::<Result<Vec<_>, _>>()?;
    let shared: Vec<Vec<Site>> = conditions
        .iter()
        .map(|done| match lowest_layer(done, layer.0) {
            Some(lowest) => shared_sites(done, lowest, model.n_heads()),
            None => vec![input_site(layer.0)],
        })
        .collect();
    let sites: BTreeSet<Site> = shared.iter().flatten().copied().collect();
    let sites: Vec<Site> = sites.into_iter().collect();
    for (index, cell) in cells.iter().enumerate() {
        let intact = model.trace(cell, &sites, &Interventions::none())?;
        let each = sums.par_iter_mut().zip(conditions).zip(&shared);
        each.map(|((sums, done), shared)| {
            let done = going_on(done, shared, &intact);
            sums.add_under(model, &done, once(cell), |_| ())
        })
        .collect::<Result<Vec<()>, _>>()?;
        progress(index + 1);
    }
    Ok(sums)
}
