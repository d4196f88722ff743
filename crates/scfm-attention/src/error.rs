use std::io;
use std::path::{Path, PathBuf};

use scfm_core::{GeneId, ModelEdge, Shown};

use crate::{Device, Site};

/// What can be wrong with a checkpoint, its dictionaries, or cells handed to a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that cannot be opened, read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A checkpoint folder without one of its files.
    #[error("{}: no {what} (looked for {names}); download the model's whole folder", folder.display())]
    MissingFile {
        /// The folder.
        folder: PathBuf,
        /// What the file holds.
        what: &'static str,
        /// The names under which it is looked for.
        names: String,
    },
    /// A JSON file that does not parse.
    #[error("{}: {}", path.display(), Shown(&source.to_string()))]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A dictionary that cannot be read.
    #[error(transparent)]
    Dictionary(#[from] scfm_io::Error),
    /// What is wrong inside a file.
    #[error("{}: {source}", path.display())]
    In {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<Error>,
    },
    /// A configuration that no model of its family has, or that this program does not compute.
    #[error("model configuration: {key} is {}, expected {expected}", Shown(found))]
    Config {
        /// The key in the configuration.
        key: &'static str,
        /// Its value.
        found: String,
        /// What would have been right.
        expected: String,
    },
    /// A safetensors file whose header is not one.
    #[error("{}: not a safetensors file: {}", path.display(), Shown(reason))]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A safetensors file that ends before its last tensor.
    #[error(
        "{}: {found} bytes, but tensor {} ends at byte {expected}: the file is cut off, download it again",
        path.display(), Shown(name)
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The first tensor that is not whole.
        name: String,
        /// Bytes in the file.
        found: u64,
        /// Bytes that the tensor asks for.
        expected: u64,
    },
    /// A weight that the model needs and the checkpoint lacks.
    #[error(
        "{origin}: tensor {name} is missing; is this a checkpoint of the architecture and depth that {config} says?"
    )]
    MissingTensor {
        /// Where the weights come from.
        origin: String,
        /// The file of the configuration.
        config: &'static str,
        /// The tensor.
        name: String,
    },
    /// A weight of another shape than the configuration asks for.
    #[error(
        "{origin}: tensor {} has shape {found:?}, {config} asks for {expected:?}",
        Shown(name)
    )]
    TensorShape {
        /// Where the weights come from.
        origin: String,
        /// The file of the configuration.
        config: &'static str,
        /// The tensor.
        name: Box<str>,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that the configuration asks for.
        expected: Vec<usize>,
    },
    /// A weight that would change the computation, of a part that the model as it is computed here does not have.
    #[error(
        "{origin}: tensor {} is of a part that is not computed: {reason}",
        Shown(name)
    )]
    UnexpectedTensor {
        /// Where the weights come from.
        origin: String,
        /// The tensor.
        name: String,
        /// Why it cannot belong to the model.
        reason: String,
    },
    /// One weight under two of the names that it goes by.
    #[error(
        "{origin}: two tensors are the weight {}, in two spellings; keep one of them",
        Shown(name)
    )]
    SameTensor {
        /// Where the weights come from.
        origin: String,
        /// The weight.
        name: String,
    },
    /// A file of `torch.save` that cannot be read.
    #[error(transparent)]
    Torch(Box<scfm_io::Error>),
    /// A weight that is no floating-point number.
    #[error(
        "{origin}: tensor {} holds {found}, expected a floating-point type",
        Shown(name)
    )]
    TensorType {
        /// Where the weights come from.
        origin: String,
        /// The tensor.
        name: String,
        /// Its type.
        found: String,
    },
    /// A decoder of its own, where this architecture decodes by the embedding.
    #[error(
        "{origin}: {copy} differs from {original}; every Geneformer shares them, this is another architecture"
    )]
    NotTied {
        /// Where the weights come from.
        origin: String,
        /// The tensor that should be a copy.
        copy: &'static str,
        /// The tensor that it should equal.
        original: &'static str,
    },
    /// A weight that is `NaN` or infinite.
    #[error("{origin}: tensor {} holds a value that is not finite", Shown(name))]
    TensorNotFinite {
        /// Where the weights come from.
        origin: String,
        /// The tensor.
        name: String,
    },
    /// Dictionaries of another model than the weights.
    #[error(
        "the token dictionary has {tokens} entries but the model embeds {rows}: they belong to different models \
         (Geneformer V1 has 25426 tokens, V2 has 20275; scGPT whole-human has 60697, its organ models 36574)"
    )]
    VocabularySize {
        /// Entries of the token dictionary.
        tokens: usize,
        /// Rows of the embedding.
        rows: usize,
    },
    /// A token dictionary that cannot be one.
    #[error("token dictionary: {}", Shown(.0))]
    Vocabulary(String),
    /// Two genes of a panel that the vocabulary cannot tell apart.
    #[error(
        "genes {} and {} of the panel are the same token {token}; keep one of them",
        Shown(first.as_str()), Shown(second.as_str())
    )]
    SharedToken {
        /// The token.
        token: u32,
        /// The gene that comes first.
        first: GeneId,
        /// The gene that comes second.
        second: GeneId,
    },
    /// A panel of which the model knows no gene.
    #[error(
        "none of the {n_genes} genes (such as {}) is in the model's vocabulary, which holds names \
         such as {}, without version suffix",
        Shown(example),
        Shown(known)
    )]
    NoKnownGene {
        /// Genes of the panel.
        n_genes: usize,
        /// One of them.
        example: String,
        /// A gene that the vocabulary does hold.
        known: String,
    },
    /// A cell with counts whose total says that it has none.
    #[error("cell {cell}: total count is {total} although some of its genes have counts")]
    Total {
        /// Row of the cell.
        cell: usize,
        /// Its total.
        total: f64,
    },
    /// A count that should be a bin.
    #[error("cell {cell}: gene {gene} has {found}, expected a bin, a whole number from 0 to {last}")]
    Bin {
        /// Row of the cell.
        cell: usize,
        /// The gene.
        gene: GeneId,
        /// What stands there.
        found: f32,
        /// The last bin.
        last: usize,
    },
    /// A token sequence that the model cannot take.
    #[error("cell {cell}: {length} tokens, the model takes 1 to {max}")]
    Length {
        /// Row of the cell.
        cell: usize,
        /// Number of tokens.
        length: usize,
        /// The model's number of positions.
        max: usize,
    },
    /// A cell without any token.
    #[error("cell {cell}: no token, a model reads at least one")]
    NoToken {
        /// Row of the cell.
        cell: usize,
    },
    /// A token id beyond the vocabulary.
    #[error("cell {cell}: token {token} is beyond the model's {n_tokens} tokens")]
    Token {
        /// Row of the cell.
        cell: usize,
        /// The token.
        token: u32,
        /// Rows of the embedding.
        n_tokens: usize,
    },
    /// A value of a gene that the model cannot read.
    #[error("cell {cell}: the value of token {place} is {value}, expected {expected}")]
    Value {
        /// Row of the cell.
        cell: usize,
        /// Position in the cell.
        place: usize,
        /// The value.
        value: f32,
        /// What the model reads.
        expected: String,
    },
    /// A model with a normalisation for each batch of its training, of which none was chosen.
    #[error(
        "{origin}: inputs are normalised by the batch of training that they belong to (dsbn.*); choose one of the \
         {n_domains}, from 0 to {last}{found}", last = n_domains - 1,
        found = found.map(|found| format!(", not {found}")).unwrap_or_default()
    )]
    Domain {
        /// Where the weights come from.
        origin: String,
        /// Number of batches.
        n_domains: usize,
        /// The batch that was chosen.
        found: Option<usize>,
    },
    /// A checkpoint without the decoder that predicts expression.
    #[error("{origin}: the checkpoint has no decoder of expression that reads genes alone: {reason}")]
    NoDecoder {
        /// Where the weights come from.
        origin: String,
        /// Why.
        reason: &'static str,
    },
    /// A device that is not there, or not built in.
    #[error(
        "{device}: cannot be used: {source}; compute on the cpu, or build with the feature of the device"
    )]
    Device {
        /// The device.
        device: Device,
        /// Why.
        source: Box<candle_core::Error>,
    },
    /// A text that names no place in a model.
    #[error(
        "{name:?} is no place in a model; expected embeddings, layer.<l>.head.<h>.attention, layer.<l>.head.<h>.context, \
         layer.<l>.mlp or layer.<l>.hidden"
    )]
    SiteName {
        /// The text.
        name: String,
    },
    /// A place that the model does not have.
    #[error("the model has no {site}; its layers are 0 to {}, its heads 0 to {}", n_layers - 1, n_heads - 1)]
    NoSite {
        /// The place.
        site: Site,
        /// Number of layers.
        n_layers: usize,
        /// Number of heads of a layer.
        n_heads: usize,
    },
    /// Stored activations of another shape than those that they are to replace.
    #[error("the activations to put at {site} have shape {found:?}, those of the cell {expected:?}")]
    PatchShape {
        /// Where they are to be put.
        site: Site,
        /// Their shape.
        found: (usize, usize),
        /// The shape that the cell asks for.
        expected: (usize, usize),
    },
    /// Edges that the model does not have.
    #[error("the model has no {edge}; its layers are 0 to {}, its heads 0 to {}", n_layers - 1, n_heads - 1)]
    NoEdge {
        /// The edges.
        edge: ModelEdge,
        /// Number of layers.
        n_layers: usize,
        /// Number of heads of a layer.
        n_heads: usize,
    },
    /// Attention that overflowed.
    #[error(
        "cell {cell}: attention of layer {layer} is not finite; the weights overflow in 32-bit arithmetic"
    )]
    NotFinite {
        /// Row of the cell.
        cell: usize,
        /// The layer, counted from 0.
        layer: usize,
    },
    /// A checkpoint without the head that predicts masked genes.
    #[error("{origin}: the checkpoint has no masked-gene head (cls.predictions.*)")]
    NoHead {
        /// Where the weights come from.
        origin: String,
    },
    /// A file of attention of another program, or a gene list of it, that is not what it should be.
    #[error("{}: {what}: found {found}, expected {expected}", path.display())]
    Given {
        /// The file.
        path: PathBuf,
        /// What of it.
        what: &'static str,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// A gene that is two tokens of a cell, so that it is not one row and one column of its attention.
    #[error(
        "{}: gene {gene} is token {first} and token {second} of the cell; attention of genes that are several tokens has to \
         be pooled before it is handed over", path.display()
    )]
    GeneTwice {
        /// The file of the gene list.
        path: PathBuf,
        /// The gene.
        gene: String,
        /// Its first position, from 0.
        first: usize,
        /// Its second.
        second: usize,
    },
    /// Attention between two genes, as another program computed it, that is no finite number.
    #[error("{}: layer {layer}, head {head}: the attention of {query} to {key} is {value}", path.display())]
    GivenNotFinite {
        /// The file.
        path: PathBuf,
        /// The layer, from 0.
        layer: usize,
        /// The head, from 0.
        head: usize,
        /// The gene of the row.
        query: String,
        /// The gene of the column.
        key: String,
        /// What stands there.
        value: f32,
    },
    /// Reading would take more memory than allowed; checked before it is taken.
    #[error("{}: {what} takes {needed} bytes, more than the memory budget of {budget}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What of it.
        what: &'static str,
        /// Bytes asked for.
        needed: u64,
        /// Bytes allowed.
        budget: u64,
    },
    /// Sums over groups of cells that would take more memory than allowed; checked before it is taken.
    #[error(
        "sums over {n_groups} groups of {n_edges} kinds of edges between {n_sources} sources and {n_targets} targets take \
         {needed} bytes, more than the memory budget of {budget}"
    )]
    GroupMemory {
        /// Groups of cells.
        n_groups: usize,
        /// Kinds of edges of each.
        n_edges: usize,
        /// Genes of the source panel.
        n_sources: usize,
        /// Genes of the target panel.
        n_targets: usize,
        /// Bytes asked for.
        needed: u64,
        /// Bytes allowed.
        budget: u64,
    },
    /// Sums that were taken over other panels or another model.
    #[error("attention sums cannot be added: {what} differ")]
    Merge {
        /// What differs.
        what: &'static str,
    },
    /// Sums over more cells than the integers hold.
    #[error(
        "attention sums cannot be added: the sum or the number of cells of a pair is too large for its integer"
    )]
    SumOverflow,
    /// A score of a cell that the sums do not take.
    #[error(
        "cell {cell}: a score of {edge} is not finite, or beyond ±1024; are these the weights of a trained model?"
    )]
    Score {
        /// Row of the cell.
        cell: usize,
        /// The edges.
        edge: ModelEdge,
    },
    /// A sum that cannot come from so many cells.
    #[error(
        "the sum of {edge} of {} → {} is {sum} over {n_cells} cells, in units of 2⁻⁴⁰; expected from {low} to {high} a cell",
        pair.0, pair.1
    )]
    Sum {
        /// The edges.
        edge: ModelEdge,
        /// The source and the target gene.
        pair: Box<(GeneId, GeneId)>,
        /// The sum, in units of 2⁻⁴⁰.
        sum: i64,
        /// Number of cells that hold both genes.
        n_cells: u32,
        /// The least that a cell can add.
        low: f64,
        /// The most.
        high: f64,
    },
    /// Training that cannot start or that diverged.
    #[error("training: {0}")]
    Training(String),
    /// A planted model that cannot be built.
    #[error("planted model: {0}")]
    Planted(String),
    /// Tensor arithmetic.
    #[error("tensor arithmetic: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    pub(crate) fn given(
        path: &Path,
        what: &'static str,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self::Given {
            path: path.to_owned(),
            what,
            // What a file holds may go over lines, a message does not.
            found: found.into().replace(char::is_control, " "),
            expected: expected.into(),
        }
    }

    /// The error with the file that it was found in.
    pub(crate) fn in_file(self, path: &Path) -> Self {
        Self::In {
            path: path.to_owned(),
            source: Box::new(self),
        }
    }
}
