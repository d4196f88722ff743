//! What a model of either family does while parts of it are silenced.

use anyhow::Result;
use scfm_ablation::{Hidden, MaskedGene, MaskedReadOut, MaskedValue, Predictor, read_edges, read_masked};
use scfm_attention::{AttentionSums, Interventions, TokenPanel, TokenisedCell, Transformer};
use scfm_core::{Layer, Orientation};

use crate::model::{Cells, Reader};

impl Reader {
    /// Attention of `layer` under each of the conditions, see [`read_edges`].
    pub fn edges_under(
        &self,
        cells: &Cells,
        conditions: &[Interventions],
        layer: Layer,
        panels: (&TokenPanel, &TokenPanel),
        orientation: Orientation,
        progress: impl Fn(usize),
    ) -> Result<Vec<AttentionSums>> {
        Ok(match (self, cells) {
            (Self::Geneformer { model, .. }, Cells::Ranked(cells)) => {
                read_edges(&**model, cells, conditions, layer, panels, orientation, progress)?
            }
            (Self::ScGpt { model, .. }, Cells::Valued(cells)) => {
                read_edges(&**model, cells, conditions, layer, panels, orientation, progress)?
            }
            _ => unreachable!("cells that this reader made"),
        })
    }

    /// What the model says of hidden genes under each of the conditions, see [`read_masked`].
    pub fn masked_under(
        &self,
        cells: &Cells,
        conditions: &[Interventions],
        n_targets: usize,
        hidden: impl Fn(&TokenisedCell, f64) -> Hidden + Sync,
        progress: impl Fn(usize) + Sync,
    ) -> Result<MaskedReadOut> {
        fn read<P: Predictor>(
            predictor: &P,
            cells: &[<P::Model as Transformer>::Cell],
            conditions: &[Interventions],
            n_targets: usize,
            hidden: impl Fn(&TokenisedCell, f64) -> Hidden + Sync,
            progress: impl Fn(usize) + Sync,
        ) -> Result<MaskedReadOut> {
            let of_cell =
                |_: usize, cell: &<P::Model as Transformer>::Cell| hidden(cell.as_ref(), P::HIDDEN_SHARE);
            Ok(read_masked(
                predictor, cells, conditions, n_targets, of_cell, progress,
            )?)
        }
        match (self, cells) {
            (Self::Geneformer { model, mask, .. }, Cells::Ranked(cells)) => {
                let predictor = MaskedGene { model, mask: *mask };
                read(&predictor, cells, conditions, n_targets, hidden, progress)
            }
            (Self::ScGpt { model, .. }, Cells::Valued(cells)) => read(
                &MaskedValue { model },
                cells,
                conditions,
                n_targets,
                hidden,
                progress,
            ),
            _ => unreachable!("cells that this reader made"),
        }
    }
}
