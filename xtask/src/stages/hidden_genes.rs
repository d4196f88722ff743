//! A model asked about genes that are hidden from it, whatever its family.

use anyhow::Result;
use scfm_ablation::{CellOf, MaskedGene, MaskedValue, ReadOut};
use scfm_attention::Interventions;
use scfm_core::Panel;

use super::Workbench;
use crate::model::{Cells, Model, Reader};

/// What is done with a read-out and the control cells that its model reads.
pub trait Asker {
    type Answer;

    fn ask<R: ReadOut>(&self, read_out: &R, cells: &[CellOf<R>]) -> Result<Self::Answer>;
}

impl Workbench<'_> {
    /// Asks the model about hidden genes of the control cells; where it has nothing to answer with, says why.
    pub(super) fn ask<A: Asker>(
        &self,
        model: &Model,
        panel: &Panel,
        asker: &A,
    ) -> Result<Result<A::Answer, String>> {
        let mut reader = self.reader(model, panel)?;
        let (cells, _) = self.model_cells(&mut reader)?;
        match (&reader, &cells, model) {
            (Reader::Geneformer { model, .. }, Cells::Ranked(cells), Model::Geneformer(checkpoint)) => {
                answered(
                    &MaskedGene {
                        model,
                        mask: checkpoint.vocabulary().mask(),
                    },
                    cells,
                    asker,
                )
            }
            (Reader::ScGpt { model, .. }, Cells::Valued(cells), _) => {
                answered(&MaskedValue { model }, cells, asker)
            }
            _ => unreachable!("cells that this reader made"),
        }
    }
}

/// Tries one gene first: a checkpoint may come without a head, and one that takes values for categories knows no hidden one.
fn answered<R: ReadOut, A: Asker>(
    read_out: &R,
    cells: &[CellOf<R>],
    asker: &A,
) -> Result<Result<A::Answer, String>> {
    if let Some(cell) = cells.first() {
        let last = cell.as_ref().tokens.len() - 1;
        let hidden = read_out.hide_at(cell, &[last]);
        let gene = (last, cell.as_ref().tokens[last]);
        if let Err(error) = read_out.predict(&hidden, &[gene], &Interventions::none()) {
            return Ok(Err(format!(
                "the model cannot be asked about hidden genes: {error}"
            )));
        }
    }
    Ok(Ok(asker.ask(read_out, cells)?))
}

/// By column, the cells in which its gene is expressed and where; of the columns that are `wanted`.
pub fn expressed<R: ReadOut>(
    read_out: &R,
    cells: &[CellOf<R>],
    n_columns: usize,
    wanted: impl Fn(usize) -> bool,
) -> Vec<Vec<(usize, usize)>> {
    let mut places = vec![Vec::new(); n_columns];
    for (index, cell) in cells.iter().enumerate() {
        for (place, column) in cell.as_ref().columns.iter().enumerate() {
            let Some(column) = column.map(|column| column as usize) else {
                continue;
            };
            if wanted(column) && read_out.is_expressed(cell, place) {
                places[column].push((index, place));
            }
        }
    }
    places
}
