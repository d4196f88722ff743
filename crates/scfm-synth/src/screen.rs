use ndarray::Array2;
use scfm_core::{Column, CountMatrix, GeneId, Panel, Table};

use crate::design::{Guide, Modality};
use crate::world::{World, state_label, table};
use crate::{Error, error::check};

/// A CRISPR screen in a [`World`].
#[derive(Debug, Clone, PartialEq)]
pub struct ScreenParams {
    /// Number of control cells.
    pub n_controls: usize,
    /// Number of non-targeting guides that the control cells carry.
    pub n_control_guides: usize,
    /// Number of transcription factors perturbed, well expressed ones first in chance.
    pub n_perturbed_tfs: usize,
    /// Number of other genes perturbed; they have no targets, but cause stress.
    pub n_perturbed_others: usize,
    /// Guides per perturbed gene.
    pub guides_per_gene: usize,
    /// Cells per guide.
    pub cells_per_guide: usize,
    /// What guides do to their gene's production.
    pub modality: Modality,
    /// Mean stress caused by perturbing a transcription factor and by perturbing another gene.
    pub stress: (f64, f64),
    /// Median count of a cell that expresses every gene at its reference abundance; noise and programmes add to it.
    pub depth: f64,
    /// SD over cells of log depth.
    pub depth_sd: f64,
    /// Number of donors.
    pub n_donors: usize,
    /// SD over donors of a gene's log expression.
    pub donor_sd: f64,
    /// Number of batches.
    pub n_batches: usize,
    /// SD over batches of log depth.
    pub batch_sd: f64,
    /// Share of each cell's counts that are not its own but come from the mean profile of all cells.
    pub ambient: f64,
}

impl Default for ScreenParams {
    fn default() -> Self {
        Self {
            n_controls: 1_000,
            n_control_guides: 10,
            n_perturbed_tfs: 38,
            n_perturbed_others: 14,
            guides_per_gene: 2,
            cells_per_guide: 20,
            modality: Modality::Interference {
                efficiency: (0.7, 0.95),
            },
            stress: (0.3, 0.8),
            depth: 350.0,
            depth_sd: 0.35,
            n_donors: 3,
            donor_sd: 0.1,
            n_batches: 4,
            batch_sd: 0.1,
            ambient: 0.0,
        }
    }
}

impl ScreenParams {
    pub(crate) fn check(&self, world: &World) -> Result<(), Error> {
        let n_tfs = world.network().tfs().len();
        let n_others = world.genes().len() - n_tfs;
        check("n_perturbed_tfs", self.n_perturbed_tfs as f64, 0.0, n_tfs as f64)?;
        check(
            "n_perturbed_others",
            self.n_perturbed_others as f64,
            0.0,
            n_others as f64,
        )?;
        self.modality.check()?;
        check("n_control_guides", self.n_control_guides as f64, 1.0, 1e4)?;
        check("guides_per_gene", self.guides_per_gene as f64, 1.0, 100.0)?;
        check("stress.0", self.stress.0, 0.0, 10.0)?;
        check("stress.1", self.stress.1, 0.0, 10.0)?;
        check("depth", self.depth, 1.0, 1e6)?;
        check("n_donors", self.n_donors as f64, 1.0, 1e4)?;
        check("n_batches", self.n_batches as f64, 1.0, 1e4)?;
        for (name, sd) in [
            ("depth_sd", self.depth_sd),
            ("donor_sd", self.donor_sd),
            ("batch_sd", self.batch_sd),
        ] {
            check(name, sd, 0.0, 3.0)?;
        }
        check("ambient", self.ambient, 0.0, 0.95)
    }
}

/// What is known of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Position of its guide in [`Screen::guides`].
    pub guide: usize,
    /// Cell state.
    pub state: usize,
    /// Donor.
    pub donor: usize,
    /// Batch.
    pub batch: usize,
}

/// A simulated screen with what is true of it.
#[derive(Debug, Clone)]
pub struct Screen {
    /// The genes perturbed.
    pub perturbed: Panel,
    /// The guides, the non-targeting ones first, then gene by gene.
    pub guides: Vec<Guide>,
    /// The cells in the order of the rows of `counts`.
    pub cells: Vec<Cell>,
    /// Counts of cells × all genes of the world, by symbol; totals are those of the rows.
    pub counts: CountMatrix,
    /// True log fold change (natural) of each gene's expression under each perturbation `[perturbed, gene]`, at the
    /// mean effect of its guides and over the mixture of cell states: direct, indirect and stress effects, in the
    /// steady state and without ambient RNA. It is exactly 0 for a gene that nothing reaches; in counts per 10,000 such a gene moves a little all the same, as
    /// others take more or less of the cell's total.
    pub log_fold_changes: Array2<f64>,
}

impl Screen {
    /// The symbol of the gene perturbed in a cell, `None` for a control cell.
    ///
    /// # Panics
    /// When `cell` is not a row.
    pub fn perturbation(&self, cell: usize) -> Option<&GeneId> {
        let perturbed = self.guides[self.cells[cell].guide].perturbed?;
        Some(self.perturbed.gene(perturbed))
    }

    /// The cells as a table: `cell, guide` (`GENE_1`, `non-targeting_1`), `perturbation` (`GENE`, `control`),
    /// `cell_state, donor, batch, n_counts`.
    pub fn cell_table(&self) -> Table {
        const CONTROL: &str = "control";
        let guide = |cell: &Cell| &self.guides[cell.guide].label;
        let gene = |cell| self.perturbation(cell).map_or(CONTROL, GeneId::as_str);
        let cells = &self.cells;
        table(
            cells.len(),
            [
                (
                    "cell",
                    Column::text((1..=cells.len()).map(|i| format!("cell-{i:06}"))),
                ),
                ("guide", Column::text(cells.iter().map(guide))),
                ("perturbation", Column::text((0..cells.len()).map(gene))),
                (
                    "cell_state",
                    Column::text(cells.iter().map(|c| state_label(c.state))),
                ),
                (
                    "donor",
                    Column::text(cells.iter().map(|c| format!("donor-{}", c.donor + 1))),
                ),
                (
                    "batch",
                    Column::text(cells.iter().map(|c| format!("batch-{}", c.batch + 1))),
                ),
                (
                    "n_counts",
                    Column::counts(self.counts.totals().iter().map(|&total| total as usize)),
                ),
            ],
        )
    }
}
