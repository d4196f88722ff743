//! What a model says of other genes when one is knocked out of a cell.

use rand::seq::SliceRandom;
use scfm_attention::Interventions;
use scfm_core::Seeds;

use crate::CellOf;
use crate::{Error, ReadOut};

/// Genes hidden at once: one part in seven, about the 15 % of training.
pub const PARTS: usize = 7;

/// Names the random streams.
const ANALYSIS: &str = "condition-specific";

/// How a gene is knocked out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KnockOut {
    /// [`ReadOut::silence`]: all others stay where they are.
    Silenced,
    /// [`ReadOut::delete`]: those behind it move up, as in Geneformer's own in-silico perturbation.
    Deleted,
}

impl KnockOut {
    /// Both ways.
    pub const ALL: [Self; 2] = [Self::Silenced, Self::Deleted];

    /// The name in tables: `silenced`, `deleted`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Silenced => "silenced",
            Self::Deleted => "deleted",
        }
    }
}

/// The places of one of [`PARTS`] random parts of a cell's genes; together the parts hold each once. `row` names the cell.
pub fn hidden_part(places: &[usize], row: usize, part: usize, seeds: Seeds) -> Vec<usize> {
    let mut shuffled = places.to_vec();
    shuffled.shuffle(&mut seeds.stream(ANALYSIS, "hidden genes", row as u64));
    let mut chosen: Vec<usize> = shuffled.into_iter().skip(part % PARTS).step_by(PARTS).collect();
    chosen.sort_unstable();
    chosen
}

/// By way of knocking out, what the model's predictions at `hidden` change by when the gene at place `source` is knocked
/// out of a cell: with it gone − with it there. The same genes are hidden in both runs, never the source.
///
/// # Errors
/// Those of the model.
///
/// # Panics
/// Where the source is among the hidden genes, or a place beyond the cell's tokens.
pub fn knock_out_effects<R: ReadOut>(
    read_out: &R,
    cell: &CellOf<R>,
    source: usize,
    hidden: &[usize],
) -> Result<[Vec<f64>; 2], Error> {
    assert!(
        !hidden.contains(&source),
        "a source that is hidden cannot be knocked out"
    );
    let genes: Vec<(usize, u32)> = hidden
        .iter()
        .map(|&place| (place, cell.as_ref().tokens[place]))
        .collect();
    let clean = read_out.hide_at(cell, hidden);
    let none = Interventions::none();
    let before = read_out.predict(&clean, &genes, &none)?;
    let difference = |after: Vec<f64>| after.iter().zip(&before).map(|(a, b)| a - b).collect();
    let silenced = read_out.predict(&read_out.silence(&clean, source), &genes, &none)?;
    let moved: Vec<(usize, u32)> = genes
        .iter()
        .map(|&(place, token)| (place - usize::from(place > source), token))
        .collect();
    let deleted = read_out.predict(&read_out.delete(&clean, source), &moved, &none)?;
    Ok([difference(silenced), difference(deleted)])
}
