use ndarray::Array2;
use rand_chacha::ChaCha8Rng;
use scfm_core::{Column, CountMatrix, GeneId, Panel, Seeds, Table};
use sprs::CsMat;

use crate::design::{Design, Guide, Modality, Perturbation};
use crate::world::{World, state_label, table};
use crate::{Error, draw, error::check};

/// Log expression stays within ± this much, so that no choice of parameters gives a count that `f32` cannot hold.
const EXPRESSION_LIMIT: f64 = 25.0;

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
        }
    }
}

impl ScreenParams {
    fn check(&self, world: &World) -> Result<(), Error> {
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
        Ok(())
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
    /// mean effect of its guides and over the mixture of cell states: direct, indirect and stress effects. It is
    /// exactly 0 for a gene that nothing reaches; in counts per 10,000 such a gene moves a little all the same, as
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

impl World {
    /// Simulates a screen. Cells come in random order; each has a stream of its own.
    ///
    /// In a cell every gene has a log expression: cell state, donor, programmes and stress, a factor's own noise, and
    /// the change of a perturbed gene's production by its guide; the network carries these on to their steady
    /// state. Counts are negative binomial around abundance × depth, so that dropout is what low means make of it.
    ///
    /// # Errors
    /// [`Error::Parameter`] for the first parameter out of range.
    pub fn screen(&self, params: &ScreenParams, seeds: Seeds) -> Result<Screen, Error> {
        params.check(self)?;
        let n_genes = self.genes().len();
        let design = Design::draw(self, params, seeds);
        let rng = &mut self.stream(seeds, "donors and batches", 0);
        let mut normals = |shape, sd| Array2::from_shape_simple_fn(shape, || sd * draw::normal(rng));
        let donors = normals((params.n_donors, n_genes), params.donor_sd);
        let batches = normals((params.n_batches, 1), params.batch_sd);
        let states = self.state_probabilities();

        let guides_of_cells = design.guides_of_cells(params, &mut self.stream(seeds, "order of cells", 0));
        let mut cells = Vec::with_capacity(guides_of_cells.len());
        let mut rows = Rows::new(self.genes().clone());
        for (i, guide) in guides_of_cells.into_iter().enumerate() {
            let rng = &mut self.stream(seeds, "cell", i as u64);
            let cell = Cell {
                guide,
                state: draw::category(rng, &states),
                donor: draw::below(rng, params.n_donors),
                batch: draw::below(rng, params.n_batches),
            };
            let mut expression = self.own_expression(cell.state, rng);
            for (own, shift) in expression.iter_mut().zip(donors.row(cell.donor)) {
                *own += shift;
            }
            let Guide {
                perturbed,
                production,
                ..
            } = design.guides[guide];
            if let Some(perturbed) = perturbed {
                self.perturb(&mut expression, &design.perturbations[perturbed], production);
            }
            self.network().steady_state(&mut expression, cell.state);
            let log_depth = params.depth_sd * draw::normal(rng) + batches[[cell.batch, 0]];
            rows.push(self.counts(&expression, params.depth * libm::exp(log_depth), rng));
            cells.push(cell);
        }
        let perturbed = design
            .perturbations
            .iter()
            .map(|p| self.genes().gene(p.gene).clone());
        Ok(Screen {
            perturbed: Panel::new(perturbed).expect("a gene is chosen once"),
            cells,
            counts: rows.finish(),
            log_fold_changes: self.log_fold_changes(&design),
            guides: design.guides,
        })
    }

    /// Log expression of an unperturbed cell before regulation.
    fn own_expression(&self, state: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
        let mut own = self.state_shift(state).to_vec();
        for loadings in self.programmes().rows() {
            let activity = draw::normal(rng);
            for (own, loading) in own.iter_mut().zip(loadings) {
                *own += activity * loading;
            }
        }
        for &tf in self.network().tfs() {
            own[tf] += self.params().tf_noise * draw::normal(rng);
        }
        own
    }

    fn perturb(&self, own: &mut [f64], perturbation: &Perturbation, production: f64) {
        for (own, loading) in own.iter_mut().zip(self.stress()) {
            *own += perturbation.stress * loading;
        }
        own[perturbation.gene] += libm::log(production);
    }

    fn counts(&self, expression: &[f64], depth: f64, rng: &mut ChaCha8Rng) -> impl Iterator<Item = f64> {
        let genes = expression.iter().zip(self.abundance()).zip(self.dispersion());
        genes.map(move |((x, share), &dispersion)| {
            let fold = libm::exp(x.clamp(-EXPRESSION_LIMIT, EXPRESSION_LIMIT));
            draw::negative_binomial(rng, depth * share * fold, dispersion)
        })
    }

    /// Mean expression of every gene over the mixture of states, without noise.
    fn mean_expression(&self, perturbed: Option<(&Perturbation, f64)>) -> Vec<f64> {
        let mut mean = vec![0.0; self.genes().len()];
        for (state, probability) in self.state_probabilities().into_iter().enumerate() {
            let mut x = self.state_shift(state).to_vec();
            if let Some((perturbation, production)) = perturbed {
                self.perturb(&mut x, perturbation, production);
            }
            self.network().steady_state(&mut x, state);
            for (mean, x) in mean.iter_mut().zip(x) {
                *mean += probability * libm::exp(x.clamp(-EXPRESSION_LIMIT, EXPRESSION_LIMIT));
            }
        }
        mean
    }

    fn log_fold_changes(&self, design: &Design) -> Array2<f64> {
        let unperturbed = self.mean_expression(None);
        let mut changes = Array2::zeros((design.perturbations.len(), unperturbed.len()));
        for (perturbed, mut row) in changes.rows_mut().into_iter().enumerate() {
            let guides = design
                .guides
                .iter()
                .filter(|guide| guide.perturbed == Some(perturbed));
            let productions: Vec<f64> = guides.map(|guide| guide.production).collect();
            let production = productions.iter().sum::<f64>() / productions.len() as f64;
            let expression = self.mean_expression(Some((&design.perturbations[perturbed], production)));
            for (change, (after, before)) in row.iter_mut().zip(expression.iter().zip(&unperturbed)) {
                *change = libm::log(after / before);
            }
        }
        changes
    }
}

/// Counts collected row by row in CSR order.
struct Rows {
    genes: Panel,
    indptr: Vec<usize>,
    indices: Vec<usize>,
    data: Vec<f32>,
    totals: Vec<f64>,
}

impl Rows {
    fn new(genes: Panel) -> Self {
        Self {
            genes,
            indptr: vec![0],
            indices: Vec::new(),
            data: Vec::new(),
            totals: Vec::new(),
        }
    }

    fn push(&mut self, counts: impl Iterator<Item = f64>) {
        let mut total = 0.0;
        for (gene, count) in counts.enumerate().filter(|&(_, count)| count > 0.0) {
            self.indices.push(gene);
            self.data.push(count as f32);
            total += count;
        }
        self.totals.push(total);
        self.indptr.push(self.indices.len());
    }

    fn finish(self) -> CountMatrix {
        let shape = (self.totals.len(), self.genes.len());
        let counts = CsMat::new(shape, self.indptr, self.indices, self.data);
        CountMatrix::new(self.genes, counts, self.totals)
            .expect("draws are counts, a column per gene of the panel")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WorldParams;

    #[test]
    fn counts_scatter_around_abundance_times_depth_as_the_dispersion_says() {
        let quiet = WorldParams {
            n_genes: 40,
            n_tfs: 5,
            n_programmes: 0,
            state_shift: (0.0, 0.0),
            tf_noise: 0.0,
            ..WorldParams::new("quiet")
        };
        let world = World::new(quiet, Seeds::new(0)).unwrap();
        let params = ScreenParams {
            n_controls: 20_000,
            n_perturbed_tfs: 0,
            n_perturbed_others: 0,
            depth: 200.0,
            depth_sd: 0.0,
            donor_sd: 0.0,
            batch_sd: 0.0,
            ..ScreenParams::default()
        };
        let counts = world
            .screen(&params, Seeds::new(0))
            .unwrap()
            .counts
            .counts()
            .to_dense();
        let n = counts.nrows() as f64;
        for (gene, column) in counts.columns().into_iter().enumerate() {
            let column = column.mapv(f64::from);
            let mean = column.sum() / n;
            let variance = column.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0);
            let expected = 200.0 * world.abundance()[gene];
            let expected_variance = expected + world.dispersion()[gene] * expected * expected;
            let standard_error = (expected_variance / n).sqrt();
            assert!(
                (mean - expected).abs() < 4.0 * standard_error,
                "gene {gene}: mean {mean} for {expected}"
            );
            // The variance of 20,000 such skewed counts is itself known to a few per cent only.
            let ratio = variance / expected_variance;
            assert!(
                (ratio - 1.0).abs() < 0.15,
                "gene {gene}: variance {ratio} of the expected"
            );
        }
    }
}
