//! What each perturbation changes.

use anyhow::Result;
use scfm_core::{GeneId, Panel};
use scfm_io::write_table_pieces;
use scfm_perturb::{DeParams, DeTable, DeTest, Direction, Screen};

use super::Workbench;
use crate::evidence::{names, read_panel};
use crate::failure::bad_input;
use crate::quality;
use crate::run_folder::RunFolder;

/// Rows of a long table that stand in memory at once.
const PIECE: usize = 1 << 17;

/// Cells of a batch of perturbations hold at most this share of the memory that reading may take.
const BATCH_SHARE: u64 = 4;

impl Workbench<'_> {
    /// Differential expression of every perturbation, by the main and by the baseline configuration.
    pub(super) fn responses(&self, run: &RunFolder) -> Result<Vec<String>> {
        let panel = &read_panel(run)?;
        let parameters = self.parameters();
        let [main, baseline] = self.de_params();
        let main =
            self.differential_expression(panel, &self.controls.differential_expression, main, "Welch t")?;
        if let Some(column) = &self.inputs.context.dataset.stratum
            && self.strata.is_some()
            && main.perturbed().is_empty()
            && !self.testable().is_empty()
        {
            return Err(bad_input(format!(
                "{}: no perturbation has {} cells in strata of obs column {column:?} that also have control cells; \
                 is it a batch or replicate?",
                self.screen.path.display(),
                parameters.min_cells
            )));
        }
        let baseline = self.differential_expression(
            panel,
            &self.baseline_controls.differential_expression,
            baseline,
            "Mann-Whitney",
        )?;
        let direction = self.inputs.context.direction();
        let checked = main.knockdown_check(direction);
        let weak = main.weak_knockdowns(direction, parameters.min_knockdown);
        let reason = format!(
            "own gene {} by less than {} %",
            match direction {
                Direction::Up => "rose",
                Direction::Down => "fell",
            },
            100.0 * parameters.min_knockdown
        );
        let (main, baseline) = if parameters.min_knockdown > 0.0 {
            (
                main.without(&weak, reason.clone()),
                baseline.without(&weak, reason),
            )
        } else {
            (main, baseline)
        };
        for (name, table) in [(names::DE, &main), (names::BASELINE_DE, &baseline)] {
            let (n, few) = (table.perturbed().len(), (PIECE / panel.len().max(1)).max(1));
            // The first piece is written even where there is nothing, for its columns.
            let pieces = (0..n.max(1))
                .step_by(few)
                .map(|start| table.to_table(start..n.min(start + few)));
            write_table_pieces(&run.file(name), pieces, &[self.simulated_metadata()])?;
        }
        self.write(run, names::PERTURBATIONS, &main.perturbation_table())?;
        let mut ledger = main.ledger().clone();
        quality::note_knockdowns(&mut ledger, checked, direction, parameters.de_alpha);
        self.write(run, names::DE_LEDGER, &ledger.to_table())?;
        Ok([
            names::DE,
            names::BASELINE_DE,
            names::PERTURBATIONS,
            names::DE_LEDGER,
        ]
        .map(str::to_owned)
        .to_vec())
    }

    /// The main configuration and the baseline.
    pub fn de_params(&self) -> [DeParams; 2] {
        let parameters = self.parameters();
        let main = DeParams {
            test: DeTest::Welch,
            min_lfc: parameters.lfc,
            alpha: parameters.de_alpha,
            min_cells: parameters.min_cells,
        };
        let baseline = DeParams {
            test: DeTest::MannWhitney,
            min_lfc: parameters.baseline_lfc,
            ..main
        };
        [main, baseline]
    }

    pub(super) fn differential_expression(
        &self,
        panel: &Panel,
        controls: &[usize],
        params: DeParams,
        what: &'static str,
    ) -> Result<DeTable> {
        let genes = self.genes.map.onto(panel);
        let of_controls = self.read(controls, &genes)?;
        let mut screen = match &self.strata {
            Some(strata) => Screen::stratified(&of_controls, &strata.of_rows(controls), params)?,
            None => Screen::new(&of_controls, params)?,
        };
        let perturbations: Vec<(GeneId, Vec<usize>)> = self.assignments.singles().into_iter().collect();
        let bar = self.progress.bar(what, perturbations.len());
        for batch in batches(&perturbations, self.batch_cells(panel)) {
            let mut rows: Vec<usize> = batch.iter().flat_map(|(_, rows)| rows).copied().collect();
            rows.sort_unstable();
            let counts = self.read(&rows, &genes)?;
            let place = |row: &usize| rows.binary_search(row).expect("a row of the batch");
            let of = |rows: &[usize]| counts.select_cells(&rows.iter().map(place).collect::<Vec<_>>());
            let batch_genes = batch.iter();
            match &self.strata {
                Some(strata) => {
                    let cells =
                        batch_genes.map(|(gene, rows)| (gene.clone(), of(rows), strata.of_rows(rows)));
                    screen.add_stratified(&cells.collect::<Vec<_>>())?;
                }
                None => {
                    let cells = batch_genes.map(|(gene, rows)| (gene.clone(), of(rows)));
                    screen.add(&cells.collect::<Vec<_>>())?;
                }
            }
            bar.add(batch.len());
        }
        bar.finish();
        Ok(screen.finish()?)
    }

    /// How many cells a batch may have, were every gene of the panel detected in each.
    pub fn batch_cells(&self, panel: &Panel) -> usize {
        let bytes_per_cell = 12 * panel.len().max(1) as u64;
        (self.limits.memory_budget / BATCH_SHARE / bytes_per_cell).max(1) as usize
    }
}

/// Consecutive perturbations whose cells together stay below `max_cells`, at least one at a time.
fn batches(perturbations: &[(GeneId, Vec<usize>)], max_cells: usize) -> Vec<&[(GeneId, Vec<usize>)]> {
    let mut batches = Vec::new();
    let (mut start, mut cells) = (0, 0);
    for (i, (_, rows)) in perturbations.iter().enumerate() {
        if i > start && cells + rows.len() > max_cells {
            batches.push(&perturbations[start..i]);
            (start, cells) = (i, 0);
        }
        cells += rows.len();
    }
    if start < perturbations.len() {
        batches.push(&perturbations[start..]);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_every_perturbation_once_and_stay_small() {
        let sizes = [3, 4, 1, 9, 2];
        let perturbations: Vec<_> = sizes
            .iter()
            .map(|&n| (GeneId::from(format!("G{n}")), vec![0; n]))
            .collect();
        let batches = batches(&perturbations, 7);
        let sizes: Vec<Vec<usize>> = batches
            .iter()
            .map(|b| b.iter().map(|(_, rows)| rows.len()).collect())
            .collect();
        assert_eq!(sizes, [vec![3, 4], vec![1], vec![9], vec![2]]);
    }
}
