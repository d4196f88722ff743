//! What can be typed; each command turns it into what is meant.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use scfm_attention::Device;
use scfm_core::Orientation;
use scfm_io::Regulators;
use serde::{Deserialize, Serialize};

use crate::calibration::Truth;
use crate::edge_args::{EdgeArgs, Null};
use crate::shard::Shard;

/// Is the gene network in a single-cell foundation model's attention real?
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", version, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Worker threads; results do not depend on it [default: all cores]
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<usize>,
    /// Library that reads h5ad files; libhdf5 (where built in) is for trusted files only
    #[arg(long, global = true, value_enum, default_value_t = Hdf5::Pure, value_name = "LIBRARY")]
    pub hdf5: Hdf5,
    /// No progress on stderr
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// The whole chain of causes of an error
    #[arg(long, short, global = true)]
    pub verbose: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run every analysis that a context's inputs allow and write the run folder
    #[command(after_help = "Example: cargo xtask evaluate --cell-type rpe1")]
    Evaluate(EvaluateArgs),
    /// Say what an h5ad or a model folder holds and which column would be taken for what
    #[command(after_help = "Example: cargo xtask inspect fixtures/rpe1/screen.h5ad")]
    Inspect(InspectArgs),
    /// Extract attention edges only, one Parquet file per layer
    #[command(
        after_help = "Example: cargo xtask extract --data cells.h5ad --model Geneformer-V1-10M --out edges\n\nOn several machines: cargo xtask extract --data cells.h5ad --model Geneformer-V1-10M --shard 1/8 --out shard-1, and so on up to 8/8; then cargo xtask merge shard-* --out edges"
    )]
    Extract(ExtractArgs),
    /// Add up the shards of an extraction to the edges that it would have written in one piece
    #[command(after_help = "Example: cargo xtask merge shard-1 shard-2 shard-3 --out edges")]
    Merge(MergeArgs),
    /// Average attention tensors that another program computed, one file for each cell, to edges
    #[command(
        after_help = "Example: cargo xtask import attention --out edges && cargo xtask score edges/attention-L3.parquet --references trrust_rawdata.human.tsv\n\nA cell is <cell>.safetensors with a tensor attention, or <cell>.npy: [layer, head, query, key], [head, query, key] or [query, key]. Its tokens are named by the JSON list genes in the metadata of a safetensors file, by <cell>.genes.txt, or by genes.txt for all cells; names in angle brackets are no genes."
    )]
    Import(ImportArgs),
    /// Judge the edges of any other tool against reference networks
    #[command(
        after_help = "Example: cargo xtask score adjacencies.tsv --references trrust_rawdata.human.tsv\n\nThe list is Parquet, csv or tsv, gzip allowed: our own edge files, GRNBoost2, GENIE3, SCENIC adjacencies, BEELINE's rankedEdges.csv, DREAM5 predictions, CausalBench's output_network.csv. Or an h5ad that holds a network: a table in uns (OpenProblems: uns/prediction) or a matrix of genes × genes in varp (scPRINT: varp/GRN)."
    )]
    Score(ScoreArgs),
    /// Render the report of a run folder again
    #[command(after_help = "Example: cargo xtask report runs/rpe1-0123456789ab")]
    Report(ReportArgs),
    /// Regenerate the embedded fixtures, or check that they are what their recipe makes
    #[command(after_help = "Example: cargo xtask fixtures --check")]
    Fixtures(FixturesArgs),
    /// Write a randomly initialised checkpoint: the null model of an architecture
    #[command(
        after_help = "Example: cargo xtask init-model --size v1-10m --dictionaries geneformer_gc30M --out random-v1"
    )]
    InitModel(InitModelArgs),
    /// Evaluate many simulated worlds whose truth is known: how often each test and the verdict are wrong
    #[command(
        after_help = "Example: cargo xtask calibrate --worlds 50\n\nA run that was interrupted goes on where it ended."
    )]
    Calibrate(CalibrateArgs),
    /// Run the benchmarks, or time the tasks of an audit side by side with Python
    #[command(after_help = "Example: cargo xtask bench --peers peers --python peers/venv/bin/python")]
    Bench(BenchArgs),
    /// Check what the compiler cannot: pages against crates, manifest against files, module documentation
    Tidy,
    /// Everything that must hold before a change lands
    Ci,
}

#[derive(Debug, Args)]
pub struct EvaluateArgs {
    /// Every context that has data or an embedded fixture, and one page that compares them
    #[arg(long, conflicts_with_all = ["context", "cell_type", "modality", "data", "perturbation_column"])]
    pub all: bool,
    /// Cell type of a known context: rpe1, thp1
    #[arg(
        long,
        value_name = "NAME",
        required_unless_present_any = ["context", "all"],
        conflicts_with = "context"
    )]
    pub cell_type: Option<String>,
    /// Perturbation modality where a cell type has several: crispri, crispra, knockout
    #[arg(long, value_name = "NAME", conflicts_with = "context")]
    pub modality: Option<String>,
    /// A context by name, or a context file
    #[arg(long, value_name = "NAME|TOML")]
    pub context: Option<String>,
    /// The screen, h5ad or a MatrixMarket folder [default: the context's in SCFM_CACHE, else its embedded fixture]
    #[arg(long, value_name = "H5AD|FOLDER")]
    pub data: Option<PathBuf>,
    /// A checkpoint folder, or an embedded checkpoint: geneformer, scgpt [default: the context's in SCFM_CACHE, else
    /// geneformer]
    #[arg(long, value_name = "NAME|FOLDER")]
    pub model: Option<PathBuf>,
    /// Folder of the token, median and name dictionaries [default: the checkpoint folder]
    #[arg(long, value_name = "FOLDER")]
    pub dictionaries: Option<PathBuf>,
    /// Folder of the reference networks
    #[arg(long, value_name = "FOLDER")]
    pub references: Option<PathBuf>,
    /// The column that names each cell's perturbation
    #[arg(long, value_name = "COLUMN")]
    pub perturbation_column: Option<String>,
    /// Only these analyses (a,b), or all but these (-a,-b)
    #[arg(long, value_name = "IDS", value_delimiter = ',', allow_hyphen_values = true)]
    pub analyses: Vec<String>,
    /// The pre-specified layer, counted from 0
    #[arg(long, value_name = "LAYER")]
    pub layer: Option<usize>,
    #[command(flatten)]
    pub scgpt: ScGptOptions,
    /// Number of control cells that edges are extracted from
    #[arg(long, value_name = "N")]
    pub cells: Option<usize>,
    /// Leave out perturbations whose own gene moved by less than this share of its expression, such as 0.3
    #[arg(long, value_name = "SHARE")]
    pub min_knockdown: Option<f64>,
    /// Which side of the attention matrix the source gene stands on: query or key
    #[arg(long, default_value_t, value_name = "SIDE")]
    pub orientation: Orientation,
    /// Where run folders are made
    #[arg(long, default_value = "runs", value_name = "FOLDER")]
    pub out: PathBuf,
    /// Root seed of every random stream
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Compute every stage again, even where its result is stored
    #[arg(long)]
    pub no_resume: bool,
    /// Say what would be done and what it would cost, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Finished runs of other checkpoints on the same data, for what `scaling` says of models
    #[arg(long, value_name = "RUN", num_args = 1.., conflicts_with = "all")]
    pub beside: Vec<PathBuf>,
    /// Exit with 3 where an analysis could not run
    #[arg(long)]
    pub strict: bool,
    /// Most memory that reading may take, in GiB [default: three quarters of the machine's]
    #[arg(long, value_name = "GIB")]
    pub memory: Option<f64>,
}

/// What only scGPT asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScGptOptions {
    /// scGPT: which genes of a cell are tokens [default: zero-shot]
    #[arg(long = "scgpt-input", value_enum, value_name = "INPUT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<ScGptInput>,
    /// scGPT: which bin a value gets that fits several [default: middle]
    #[arg(long, value_enum, conflicts_with = "binned_layer")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binning: Option<Binning>,
    /// scGPT: matrix of the data that holds bins already, such as layers/X_binned
    #[arg(long, value_name = "MATRIX")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binned_layer: Option<String>,
    /// scGPT: batch of the training whose normalisation the cells get, where the model has one for each
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<usize>,
}

impl ScGptOptions {
    /// These, and of `others` what is not said here. A way of binning here overrides a layer of bins there, and the
    /// other way round.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        let says_bins = self.binning.is_some() || self.binned_layer.is_some();
        let (binning, binned_layer) = if says_bins {
            (self.binning, self.binned_layer)
        } else {
            (others.binning, others.binned_layer)
        };
        Self {
            input: self.input.or(others.input),
            binning,
            binned_layer,
            domain: self.domain.or(others.domain),
        }
    }

    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The first option that is given.
    pub fn given(&self) -> Option<&'static str> {
        match self {
            Self { input: Some(_), .. } => Some("--scgpt-input"),
            Self { binning: Some(_), .. } => Some("--binning"),
            Self {
                binned_layer: Some(_),
                ..
            } => Some("--binned-layer"),
            Self { domain: Some(_), .. } => Some("--domain"),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScGptInput {
    /// Those with a count, as where scGPT embeds cells
    #[default]
    ZeroShot,
    /// All genes of the panel, as where scGPT is fine-tuned and in its tutorial of gene networks
    FineTuning,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Binning {
    /// The middle one: the same in every run
    #[default]
    Middle,
    /// One at random, by the cell and the seed
    Random,
    /// The one that scGPT draws after np.random.seed(seed)
    Numpy,
}

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// An h5ad file, a MatrixMarket folder or a checkpoint folder
    pub path: PathBuf,
}

#[derive(Debug, Args)]
pub struct ExtractArgs {
    /// Cells to extract from, h5ad or a MatrixMarket folder
    #[arg(long, value_name = "H5AD|FOLDER")]
    pub data: PathBuf,
    /// A checkpoint folder
    #[arg(long, value_name = "FOLDER")]
    pub model: PathBuf,
    /// Folder of the token, median and name dictionaries [default: the checkpoint folder]
    #[arg(long, value_name = "FOLDER")]
    pub dictionaries: Option<PathBuf>,
    /// Folder for the edge files
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    #[command(flatten)]
    pub edges: EdgeArgs,
    #[command(flatten)]
    pub scgpt: ScGptOptions,
    /// What of the model or of its input is replaced by chance, to see what is left of the network
    #[arg(long, value_enum, value_name = "WHAT")]
    pub null: Option<Null>,
    /// Column of obs: the cells of each of its labels also give edges of their own, in a folder named after the label
    #[arg(long, value_name = "COLUMN", conflicts_with = "shard")]
    pub strata: Option<String>,
    /// Where the model computes: cpu, or cuda:0 or metal:0 where the program is built with that feature
    #[arg(long, default_value_t, value_name = "DEVICE")]
    pub device: Device,
    /// A file with one gene per line that edges start from, such as transcription factors [default: the panel]
    #[arg(long, value_name = "FILE")]
    pub sources: Option<PathBuf>,
    /// A file with one gene per line [default: the most variable genes]
    #[arg(long, value_name = "FILE")]
    pub genes: Option<PathBuf>,
    /// Number of most variable genes, where no gene file is given
    #[arg(long, default_value_t = 2000)]
    pub hvg: usize,
    /// Number of cells, drawn by the seed, or all
    #[arg(long, default_value = "all")]
    pub cells: String,
    /// Read only the i-th of n parts of the cells and keep its sums, for merge
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// Root seed
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Most memory that reading may take, in GiB [default: three quarters of the machine's]
    #[arg(long, value_name = "GIB")]
    pub memory: Option<f64>,
}

#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Folders of extract --shard i/n, one for each i
    #[arg(required = true, value_name = "FOLDER")]
    pub folders: Vec<PathBuf>,
    /// Folder for the edge files
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The folder of attention tensors, a file for each cell
    pub folder: PathBuf,
    /// Folder for the edge files
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// Layers to write: all, or a list as 0,3
    #[arg(long, default_value = "all")]
    pub layers: String,
    /// Which side of the attention matrix the source gene stands on: query (row) or key (column)
    #[arg(long, default_value_t, value_name = "SIDE")]
    pub orientation: Orientation,
    /// A file with one gene per line [default: all genes up to 5,000, else the 2,000 that most cells hold]
    #[arg(long, value_name = "FILE")]
    pub genes: Option<PathBuf>,
    /// Most memory that sums and one cell may take, in GiB [default: three quarters of the machine's]
    #[arg(long, value_name = "GIB")]
    pub memory: Option<f64>,
}

#[derive(Debug, Args)]
pub struct ScoreArgs {
    /// Scored pairs: source, target, score
    #[arg(value_name = "EDGES")]
    pub edges: PathBuf,
    #[command(flatten)]
    pub network: NetworkOptions,
    /// A reference network, or a folder of them
    #[arg(long, value_name = "FILE|FOLDER", required_unless_present = "data")]
    pub references: Option<PathBuf>,
    /// A perturbation screen: the battery runs with the list in place of attention, over the screen's panel
    #[arg(long, value_name = "H5AD", conflicts_with_all = ["universe", "scorer"])]
    pub data: Option<PathBuf>,
    /// The context of the screen: columns and parameters
    #[arg(long, value_name = "NAME|TOML", requires = "data")]
    pub context: Option<String>,
    /// The column that names each cell's perturbation
    #[arg(long, value_name = "COLUMN", requires = "data")]
    pub perturbation_column: Option<String>,
    /// Number of control cells for correlation edges and gene-level features
    #[arg(long, value_name = "N", requires = "data")]
    pub cells: Option<usize>,
    /// Only these analyses (a,b), or all but these (-a,-b)
    #[arg(
        long,
        value_name = "IDS",
        value_delimiter = ',',
        allow_hyphen_values = true,
        requires = "data"
    )]
    pub analyses: Vec<String>,
    /// Genes whose pairs are candidates: the list's sources × its targets (observed), all its genes on both sides
    /// (panel), or those of a file with one gene per line
    #[arg(long, default_value = "observed", value_name = "observed|panel|FILE")]
    pub universe: String,
    /// What a candidate is that the list does not hold: unknown and left out, or ranked lowest [default: exclude; lowest
    /// where the list has no scores]
    #[arg(long, value_enum)]
    pub absent: Option<AbsentPairs>,
    /// What makes an edge strong [default: its magnitude where scores are negative, else its value]
    #[arg(long, value_enum)]
    pub rank: Option<RankBy>,
    /// Whose rules: ours, or those of a benchmark, which fix everything else and only print
    #[arg(long, value_enum, default_value_t = Scorer::Scfm)]
    pub scorer: Scorer,
    /// Where run folders are made
    #[arg(long, default_value = "runs", value_name = "FOLDER")]
    pub out: PathBuf,
    /// Root seed of every random stream
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Most memory that reading and a universe may take, in GiB [default: three quarters of the machine's]
    #[arg(long, value_name = "GIB")]
    pub memory: Option<f64>,
}

/// Which network of an h5ad is meant.
#[derive(Debug, Clone, Default, Args)]
pub struct NetworkOptions {
    /// Of an h5ad: where its network stands, as uns/prediction or varp/GRN [default: the only one]
    #[arg(long = "network", value_name = "PATH")]
    pub path: Option<String>,
    /// Of a matrix in varp: the side that regulates the other [default: rows]
    #[arg(long, value_enum, value_name = "SIDE")]
    pub regulators: Option<RegulatorSide>,
    /// Of a matrix in varp: the column of var that names its genes [default: the index]
    #[arg(long, value_name = "COLUMN")]
    pub gene_column: Option<String>,
}

impl NetworkOptions {
    /// The first option that is given; with `of_matrix` among those that only a matrix has.
    pub fn given(&self, of_matrix: bool) -> Option<&'static str> {
        match self {
            Self { path: Some(_), .. } if !of_matrix => Some("--network"),
            Self {
                regulators: Some(_), ..
            } => Some("--regulators"),
            Self {
                gene_column: Some(_), ..
            } => Some("--gene-column"),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum RegulatorSide {
    Rows,
    Columns,
}

impl From<RegulatorSide> for Regulators {
    fn from(side: RegulatorSide) -> Self {
        match side {
            RegulatorSide::Rows => Self::Rows,
            RegulatorSide::Columns => Self::Columns,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum AbsentPairs {
    /// Unknown: left out
    Exclude,
    /// Ranked below every listed pair
    Lowest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum RankBy {
    /// A large score
    Value,
    /// A score far from 0
    Magnitude,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Scorer {
    /// This project's battery
    Scfm,
    /// BEELINE, directed: all pairs of the reference's genes, magnitudes, absent pairs 0
    Beeline,
    /// DREAM5: pairs of the gold standard, absent pairs share what is left
    Dream5,
}

#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// Worlds of each kind
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub worlds: usize,
    /// Kinds of worlds: no-signal, gene-level, co-expression, regulatory [default: all]
    #[arg(long, value_name = "KINDS", value_delimiter = ',', value_enum)]
    pub kinds: Vec<Truth>,
    /// Further strengths of regulatory worlds, in percent of the stated one
    #[arg(long, value_name = "PERCENT", value_delimiter = ',', default_values_t = [25, 50])]
    pub strengths: Vec<u32>,
    /// Where results are kept
    #[arg(long, default_value = "calibration", value_name = "FOLDER")]
    pub out: PathBuf,
    /// Root seed of every world
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Keep the files and run folders of the worlds
    #[arg(long)]
    pub keep: bool,
    /// Write the summary that reports cite
    #[arg(long)]
    pub commit: bool,
}

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// A run folder
    pub run: PathBuf,
}

#[derive(Debug, Args)]
pub struct FixturesArgs {
    /// Change nothing; fail where the committed files differ from their recipe
    #[arg(long)]
    pub check: bool,
}

#[derive(Debug, Args)]
pub struct InitModelArgs {
    /// The architecture
    #[arg(long, value_enum, default_value_t = ModelSize::V1_10m)]
    pub size: ModelSize,
    /// Number of layers, where it is not the architecture's
    #[arg(long, value_name = "N")]
    pub layers: Option<usize>,
    /// Number of heads, where it is not the architecture's
    #[arg(long, value_name = "N")]
    pub heads: Option<usize>,
    /// Width of the hidden states, where it is not the architecture's; the feed-forward step goes with it
    #[arg(long, value_name = "D")]
    pub width: Option<usize>,
    /// Folder of the token, median and name dictionaries; for scGPT, of vocab.json
    #[arg(long, value_name = "FOLDER")]
    pub dictionaries: PathBuf,
    /// Folder to write
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// Root seed
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum ModelSize {
    /// Geneformer V1, 6 layers × 4 heads, 10.3 million parameters
    #[value(name = "v1-10m")]
    V1_10m,
    /// Geneformer V2, 12 layers × 12 heads, 104 million parameters
    #[value(name = "v2-104m")]
    V2_104m,
    /// Geneformer V2, 18 layers × 18 heads, 316 million parameters
    #[value(name = "v2-316m")]
    V2_316m,
    /// scGPT as released, 12 layers × 8 heads, 51 million parameters with the vocabulary of whole-human
    #[value(name = "scgpt")]
    ScGpt,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Hdf5 {
    Pure,
    #[cfg(feature = "libhdf5")]
    #[value(name = "libhdf5")]
    LibHdf5,
}

impl From<Hdf5> for scfm_io::Backend {
    fn from(library: Hdf5) -> Self {
        match library {
            Hdf5::Pure => Self::Pure,
            #[cfg(feature = "libhdf5")]
            Hdf5::LibHdf5 => Self::LibHdf5,
        }
    }
}

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Folder of the Python side: measure.py, stages/*.py, inputs/*.npy; without it the criterion benchmarks run
    #[arg(long, value_name = "FOLDER")]
    pub peers: Option<PathBuf>,
    /// Python that has what the Python side needs
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    pub python: String,
    /// How often everything is run; medians are printed
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub rounds: usize,
    /// Only tasks whose names begin so
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub only: Vec<String>,
    /// One task of ours, as the side-by-side comparison starts it
    #[arg(long, value_name = "NAME", requires = "peers", hide = true)]
    pub workload: Option<String>,
}
