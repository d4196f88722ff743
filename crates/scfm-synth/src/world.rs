use ndarray::{Array2, ArrayView1};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use scfm_core::{Column, Panel, Seeds, Table};

use crate::dynamics::Dynamics;
use crate::network::{Network, NetworkParams, Sign};
use crate::{Error, draw, error::check};

/// Abundances, in units of their median, level off here. In a panel of some hundred genes a gene of the full
/// log-normal tail would take so large a share of a cell's counts that its own changes would move everybody's share.
const ABUNDANCE_CEILING: f64 = 15.0;

/// What worlds have in common, as the cell types of one organism do: the genes and which of them are transcription
/// factors, the hierarchy of the factors, the answer to stress, the programmes, and in part what follows.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Name of the family; worlds of one family share the streams of this name.
    pub name: String,
    /// Share of transcription factors that have the same targets in every world of the family.
    pub shared_regulons: f64,
    /// Correlation between worlds of the genes' log abundances.
    pub abundance_correlation: f64,
}

/// What a [`World`] is drawn from. The defaults resemble a small panel of a cell line's variable genes.
#[derive(Debug, Clone, PartialEq)]
pub struct WorldParams {
    /// Name of the world; worlds of other names and no common family share no random number with it.
    pub name: String,
    /// What it shares with other worlds.
    pub family: Option<Family>,
    /// Number of genes, transcription factors included.
    pub n_genes: usize,
    /// Number of transcription factors.
    pub n_tfs: usize,
    /// Number of cell states.
    pub n_states: usize,
    /// Shape of the regulatory network.
    pub network: NetworkParams,
    /// SD over genes of log abundance, but that the most abundant level off.
    pub abundance_sd: f64,
    /// By how much transcription factors are expressed more than other genes, on the log scale: by less in cells.
    pub tf_abundance: f64,
    /// Share of genes whose abundance differs in a cell state, and the SD of the log difference.
    pub state_shift: (f64, f64),
    /// Number of programmes that move genes together without any regulation between them, such as the cell cycle.
    pub n_programmes: usize,
    /// Share of genes in a programme, and the SD of their loadings.
    pub programme: (f64, f64),
    /// Share of genes that answer to stress, whatever causes it, and the SD of their loadings.
    pub stress: (f64, f64),
    /// SD over cells of a transcription factor's own log activity.
    pub tf_noise: f64,
    /// Negative binomial dispersion φ = a + b / (expected count per cell of 1,000 counts): (a, b).
    pub dispersion: (f64, f64),
    /// How a cell comes to the expression of its genes.
    pub dynamics: Dynamics,
}

impl WorldParams {
    /// The default world under a name.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            family: None,
            n_genes: 300,
            n_tfs: 50,
            n_states: 3,
            network: NetworkParams::default(),
            abundance_sd: 2.0,
            tf_abundance: -0.4,
            state_shift: (0.3, 0.4),
            n_programmes: 2,
            programme: (0.3, 0.4),
            stress: (0.25, 0.6),
            tf_noise: 0.45,
            dispersion: (0.1, 0.15),
            dynamics: Dynamics::SteadyState,
        }
    }

    fn check(&self) -> Result<(), Error> {
        check("n_genes", self.n_genes as f64, 2.0, 1e6)?;
        check("n_tfs", self.n_tfs as f64, 1.0, self.n_genes as f64 - 1.0)?;
        check("n_states", self.n_states as f64, 1.0, 1e3)?;
        check("abundance_sd", self.abundance_sd, 0.0, 5.0)?;
        check("tf_abundance", self.tf_abundance, -10.0, 10.0)?;
        check("n_programmes", self.n_programmes as f64, 0.0, 1e3)?;
        check("tf_noise", self.tf_noise, 0.0, 5.0)?;
        check("dispersion.0", self.dispersion.0, 0.0, 100.0)?;
        check("dispersion.1", self.dispersion.1, 0.0, 100.0)?;
        for (share_name, sd_name, (share, sd)) in [
            ("state_shift.0", "state_shift.1", self.state_shift),
            ("programme.0", "programme.1", self.programme),
            ("stress.0", "stress.1", self.stress),
        ] {
            check(share_name, share, 0.0, 1.0)?;
            check(sd_name, sd, 0.0, 5.0)?;
        }
        if let Some(family) = &self.family {
            check("family.shared_regulons", family.shared_regulons, 0.0, 1.0)?;
            check(
                "family.abundance_correlation",
                family.abundance_correlation,
                0.0,
                1.0,
            )?;
        }
        self.dynamics.check()?;
        self.network.check()
    }
}

/// A simulated biology whose truth is known: genes, their abundance and noise, cell states, and the network by
/// which they regulate each other. Screens and references are drawn from it.
#[derive(Debug, Clone)]
pub struct World {
    params: WorldParams,
    genes: Panel,
    is_tf: Vec<bool>,
    /// Whether a gene is a factor whose targets are those of the whole family.
    shared: Vec<bool>,
    network: Network,
    /// Share of each gene among a reference cell's RNA, sum 1.
    pub(crate) abundance: Vec<f64>,
    pub(crate) dispersion: Vec<f64>,
    /// How much of a gene's log expression shows in its counts.
    pub(crate) gain: Vec<f64>,
    /// Log shifts `[state, gene]`.
    state_shifts: Array2<f64>,
    /// Loadings `[programme, gene]`.
    programmes: Array2<f64>,
    stress: Vec<f64>,
}

impl World {
    /// Draws a world from the streams of its name and of its family. Transcription factors are spread over the panel at random, so
    /// that a position says nothing.
    ///
    /// # Errors
    /// [`Error::Parameter`] for the first parameter out of range.
    pub fn new(params: WorldParams, seeds: Seeds) -> Result<Self, Error> {
        params.check()?;
        let (family, shared_regulons, correlation) = match &params.family {
            Some(family) => (&family.name, family.shared_regulons, family.abundance_correlation),
            None => (&params.name, 0.0, 0.0),
        };
        let own = |purpose| stream(seeds, &params.name, purpose, 0);
        let common = |purpose| stream(seeds, family, purpose, 0);

        let rng = &mut common("genes");
        let mut is_tf: Vec<bool> = (0..params.n_genes).map(|i| i < params.n_tfs).collect();
        draw::shuffle(rng, &mut is_tf);
        let shared: Vec<bool> = is_tf
            .iter()
            .map(|tf| tf & draw::chance(rng, shared_regulons))
            .collect();

        let (rng, own_rng) = (&mut common("common abundance"), &mut own("abundance"));
        let weights: Vec<f64> = is_tf
            .iter()
            .map(|&tf| {
                let normal = correlation.sqrt() * draw::normal(rng)
                    + (1.0 - correlation).sqrt() * draw::normal(own_rng);
                let log = params.abundance_sd * normal + if tf { params.tf_abundance } else { 0.0 };
                let weight = libm::exp(log);
                weight / (1.0 + weight / ABUNDANCE_CEILING)
            })
            .collect();
        let total: f64 = weights.iter().sum();
        let abundance: Vec<f64> = weights.iter().map(|w| w / total).collect();
        let (floor, slope) = params.dispersion;
        let dispersion = abundance
            .iter()
            .map(|share| (floor + slope / (1_000.0 * share)) * libm::exp(0.3 * draw::normal(own_rng)))
            .collect();

        let loadings = |n, (share, sd), rng: &mut ChaCha8Rng| {
            Array2::from_shape_simple_fn((n, params.n_genes), || sparse_normal(share, sd, rng))
        };
        let state_shifts = loadings(params.n_states, params.state_shift, &mut own("states"));
        let rng = &mut common("loadings");
        let programmes = loadings(params.n_programmes, params.programme, rng);
        let stress = loadings(1, params.stress, rng).into_raw_vec_and_offset().0;

        let regulon = |tf: usize| {
            let world = if shared[tf] { family } else { &params.name };
            stream(seeds, world, "regulon", tf as u64)
        };
        let network = Network::draw(
            &params.network,
            &is_tf,
            params.n_states,
            &mut common("network"),
            regulon,
        );
        let genes = Panel::new(is_tf.iter().enumerate().map(|(i, &tf)| symbol(i, tf)))
            .expect("every symbol ends in its own number");
        Ok(Self {
            gain: vec![1.0; params.n_genes],
            params,
            genes,
            is_tf,
            shared,
            network,
            abundance,
            dispersion,
            state_shifts,
            programmes,
            stress,
        })
    }

    /// The parameters it was drawn from.
    pub fn params(&self) -> &WorldParams {
        &self.params
    }

    /// All genes by symbol: `SIMTF…` for transcription factors, `SIMG…` for others.
    pub fn genes(&self) -> &Panel {
        &self.genes
    }

    /// The true network; positions are those of [`World::genes`].
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The transcription factors in the order of [`World::genes`].
    pub fn tfs(&self) -> Panel {
        let tfs = self
            .genes
            .genes()
            .iter()
            .zip(&self.is_tf)
            .filter(|&(_, &is_tf)| is_tf);
        Panel::new(tfs.map(|(gene, _)| gene.clone())).expect("genes of a panel are distinct")
    }

    /// An identifier per gene in the form of an Ensembl gene id, in a range that Ensembl has never given out.
    pub fn ensembl_ids(&self) -> Vec<String> {
        (0..self.genes.len()).map(|i| format!("ENSG99{i:09}")).collect()
    }

    /// Probability of each cell state: the first is the most common, state s 1/(s + 1) times as common.
    pub fn state_probabilities(&self) -> Vec<f64> {
        let weights: Vec<f64> = (0..self.params.n_states)
            .map(|s| 1.0 / (s as f64 + 1.0))
            .collect();
        let total: f64 = weights.iter().sum();
        weights.iter().map(|w| w / total).collect()
    }

    /// The genes as a table: `gene, ensembl_id, is_tf`.
    pub fn gene_table(&self) -> Table {
        table(
            self.genes.len(),
            [
                ("gene", Column::text(self.genes.genes())),
                ("ensembl_id", Column::text(self.ensembl_ids())),
                ("is_tf", Column::flags(self.is_tf.iter().copied())),
            ],
        )
    }

    /// The true edges as a table: `source, target, sign` (1 or −1), `strength, state` (missing where the edge
    /// exists in every state), `shared` (whether the other worlds of the family have it too).
    pub fn edge_table(&self) -> Table {
        let edges = self.network.edges();
        let sign = |sign| if sign == Sign::Activation { 1.0 } else { -1.0 };
        table(
            edges.len(),
            [
                (
                    "source",
                    Column::text(edges.iter().map(|e| self.genes.gene(e.source.0))),
                ),
                (
                    "target",
                    Column::text(edges.iter().map(|e| self.genes.gene(e.target.0))),
                ),
                ("sign", Column::numbers(edges.iter().map(|e| sign(e.sign)))),
                ("strength", Column::numbers(edges.iter().map(|e| e.strength))),
                (
                    "state",
                    Column::Text(edges.iter().map(|e| e.state.map(state_label)).collect()),
                ),
                (
                    "shared",
                    Column::flags(edges.iter().map(|e| self.shared[e.source.0])),
                ),
            ],
        )
    }

    /// A random stream of this world.
    pub(crate) fn stream(&self, seeds: Seeds, purpose: &str, index: u64) -> ChaCha8Rng {
        stream(seeds, &self.params.name, purpose, index)
    }

    /// Whether each gene is a transcription factor.
    pub(crate) fn is_tf(&self) -> &[bool] {
        &self.is_tf
    }

    /// Share of each gene among the RNA of a cell that expresses every gene at its reference, sum 1.
    pub fn abundance(&self) -> &[f64] {
        &self.abundance
    }

    /// Negative binomial dispersion of each gene around its expected counts.
    pub fn dispersion(&self) -> &[f64] {
        &self.dispersion
    }

    /// How much of each gene's log expression shows in its counts: 1, but for genes of a calibrated world that would
    /// vary too much.
    pub fn gain(&self) -> &[f64] {
        &self.gain
    }

    pub(crate) fn state_shift(&self, state: usize) -> ArrayView1<'_, f64> {
        self.state_shifts.row(state)
    }

    pub(crate) fn programmes(&self) -> &Array2<f64> {
        &self.programmes
    }

    pub(crate) fn stress(&self) -> &[f64] {
        &self.stress
    }
}

/// How a cell state is called in tables.
pub(crate) fn state_label(state: usize) -> String {
    format!("state-{}", state + 1)
}

/// A table of columns that are known to fit.
pub(crate) fn table<const N: usize>(n_rows: usize, columns: [(&str, Column); N]) -> Table {
    columns
        .into_iter()
        .fold(Table::new(n_rows), |table, (name, column)| {
            table
                .with(name, column)
                .expect("the names differ and each column has a value per row")
        })
}

fn stream(seeds: Seeds, world: &str, purpose: &str, index: u64) -> ChaCha8Rng {
    seeds.stream(&format!("synth/{world}"), purpose, index)
}

fn symbol(position: usize, is_tf: bool) -> String {
    format!("{}{:04}", if is_tf { "SIMTF" } else { "SIMG" }, position + 1)
}

/// 0, but with probability `share` a normal number of SD `sd`.
fn sparse_normal(share: f64, sd: f64, rng: &mut impl Rng) -> f64 {
    let loaded = draw::chance(rng, share);
    let loading = sd * draw::normal(rng);
    if loaded { loading } else { 0.0 }
}
