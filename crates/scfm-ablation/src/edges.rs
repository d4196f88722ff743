use std::collections::BTreeSet;
use std::iter::once;

use rayon::prelude::*;
use scfm_attention::{AttentionSums, Interventions, Site, TokenPanel, Transformer};
use scfm_core::{Layer, Measure, ModelEdge, Orientation};

use crate::Error;
use crate::heads::lowest_layer;

/// The attention of one layer between the genes of two panels, while something is done to the model: sums over cells for
/// each of the conditions, in their order.
///
/// Cells come one after the other, and of each the hidden states of the intact model are kept while the conditions are
/// computed side by side: each goes on from the layer below the first in which it does something. Memory is 12 bytes for
/// each pair of the panels and condition. Scores of a cell are summed as integers, so that threads change no bit.
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
    // The layer whose intact output each condition goes on from; none where it acts in the first.
    let starts: Vec<Option<Site>> = conditions
        .iter()
        .map(|done| lowest_layer(done, layer.0).unwrap_or(layer.0))
        .map(|lowest| Some(Site::Hidden(Layer(lowest.checked_sub(1)?))))
        .collect();
    let sites: Vec<Site> = starts
        .iter()
        .flatten()
        .copied()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    for (index, cell) in cells.iter().enumerate() {
        let clean = model.trace(cell, &sites, &Interventions::none())?;
        let each = sums.par_iter_mut().zip(conditions).zip(&starts);
        each.map(|((sums, done), start)| {
            let done = match start {
                Some(site) => done.clone().patch(*site, clean[site].clone()),
                None => done.clone(),
            };
            sums.add_under(model, &done, once(cell), |_| ())
        })
        .collect::<Result<Vec<()>, _>>()?;
        progress(index + 1);
    }
    Ok(sums)
}
