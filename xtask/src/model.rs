//! A model of either family: its folder, how cells are made for it, and its attention.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use ndarray::Array2;
use scfm_attention::geneformer::{self, Geneformer};
use scfm_attention::scgpt::{self, ScGpt, TokenizerParams};
use scfm_attention::{
    AttentionSums, Device, Error, Interventions, TokenPanel, TokenShuffle, TokenisedCell, Transformer,
    ValuedCell, add_by_group, cell_embeddings,
};
use scfm_core::{CountMatrix, Ledger, ModelEdge, Orientation, Panel, Seeds};

use crate::args::{Binning, ScGptInput, ScGptOptions};
use crate::failure::bad_input;
use crate::screen::KnownGenes;

const GENEFORMER: &str = "Geneformer";
pub const SCGPT: &str = "scGPT";
/// What readers of scGPT's own networks have to know.
pub const SCGPT_ORIENTATION: &str =
    "scGPT's tutorial of gene networks reads the regulator from the key column";

/// A model as it lies in a folder.
pub enum Model {
    Geneformer(geneformer::Checkpoint),
    ScGpt(scgpt::Checkpoint),
}

impl Model {
    /// Reads a folder of either family; dictionaries of Geneformer may stand in another one.
    pub fn open(folder: &Path, dictionaries: &Path) -> Result<Self> {
        if !scgpt::Checkpoint::is_in(folder) {
            return Ok(Self::Geneformer(geneformer::Checkpoint::load_with(
                folder,
                dictionaries,
            )?));
        }
        if dictionaries != folder {
            return Err(bad_input(format!(
                "{}: scGPT keeps its vocabulary beside its weights; leave --dictionaries out",
                folder.display()
            )));
        }
        Ok(Self::ScGpt(scgpt::Checkpoint::load(folder)?))
    }

    /// A model of the same architecture and vocabulary with weights drawn anew.
    pub fn reinitialised(&self, seeds: Seeds) -> Result<Self> {
        let mut stream = seeds.stream("null", "weights", 0);
        Ok(match self {
            Self::Geneformer(checkpoint) => {
                let (config, vocabulary) = (checkpoint.config().clone(), checkpoint.vocabulary().clone());
                Self::Geneformer(geneformer::Checkpoint::random(config, vocabulary, &mut stream)?)
            }
            Self::ScGpt(checkpoint) => {
                let (config, vocabulary) = (checkpoint.config().clone(), checkpoint.vocabulary().clone());
                Self::ScGpt(scgpt::Checkpoint::random(config, vocabulary, &mut stream)?)
            }
        })
    }

    pub fn family(&self) -> &'static str {
        match self {
            Self::Geneformer(_) => GENEFORMER,
            Self::ScGpt(_) => SCGPT,
        }
    }

    /// Numbers of layers and heads.
    pub fn depth(&self) -> (usize, usize) {
        match self {
            Self::Geneformer(checkpoint) => {
                let config = checkpoint.config();
                (config.num_hidden_layers, config.num_attention_heads)
            }
            Self::ScGpt(checkpoint) => (checkpoint.config().nlayers, checkpoint.config().nheads),
        }
    }

    pub fn known_genes(&self) -> KnownGenes {
        match self {
            Self::Geneformer(checkpoint) => KnownGenes::ById(checkpoint.vocabulary().clone()),
            Self::ScGpt(checkpoint) => KnownGenes::BySymbol(checkpoint.vocabulary().clone()),
        }
    }

    /// The files that were read, by what they hold.
    pub fn files(&self) -> &BTreeMap<&'static str, PathBuf> {
        match self {
            Self::Geneformer(checkpoint) => checkpoint.files(),
            Self::ScGpt(checkpoint) => checkpoint.files(),
        }
    }

    /// The model ready to read cells whose columns are `genes`, on the CPU. Edges will be between the genes of `panel`,
    /// which scGPT may be told to read alone; without one it reads all.
    pub fn reader(
        &self,
        genes: TokenPanel,
        options: &ScGptOptions,
        seeds: Seeds,
        panel: Option<&Panel>,
    ) -> Result<Reader> {
        self.reader_on(Device::Cpu, genes, options, seeds, panel)
    }

    /// The same on a device.
    pub fn reader_on(
        &self,
        device: Device,
        genes: TokenPanel,
        options: &ScGptOptions,
        seeds: Seeds,
        panel: Option<&Panel>,
    ) -> Result<Reader> {
        Ok(match self {
            Self::Geneformer(checkpoint) => {
                if let Some(option) = options.given() {
                    return Err(bad_input(format!(
                        "{option} is for scGPT; the model is a Geneformer"
                    )));
                }
                let max_length = checkpoint.config().max_position_embeddings;
                Reader::Geneformer {
                    model: Box::new(Geneformer::on(checkpoint, device)?),
                    special: match checkpoint.vocabulary().frame() {
                        Some(_) => "<cls> and <eos> take part in attention and are not scored",
                        None => "none",
                    },
                    mask: checkpoint.vocabulary().mask(),
                    tokenizer: geneformer::Tokenizer::new(checkpoint.vocabulary(), genes, max_length),
                }
            }
            Self::ScGpt(checkpoint) => {
                check_input_style(checkpoint)?;
                if options.domain.is_some() && !checkpoint.weights().contains("dsbn.bns.0.running_mean") {
                    return Err(bad_input(
                        "--domain: the model does not normalise its input by batches of its training",
                    ));
                }
                let config = checkpoint.config();
                let params = match options.input.unwrap_or_default() {
                    ScGptInput::ZeroShot => TokenizerParams::zero_shot(config),
                    ScGptInput::FineTuning => TokenizerParams {
                        // As many as there are, since all cells have the same.
                        max_length: 1 + panel.unwrap_or(genes.panel()).len(),
                        ..TokenizerParams::fine_tuning(config)
                    },
                };
                let params = TokenizerParams {
                    binning: binning(options, seeds)?,
                    seeds,
                    ..params
                };
                let tokenizer = scgpt::Tokenizer::new(checkpoint.vocabulary(), genes, params)?;
                Reader::ScGpt {
                    tokenizer: match (options.input, panel) {
                        (Some(ScGptInput::FineTuning), Some(panel)) => tokenizer.restricted_to(panel),
                        _ => tokenizer,
                    },
                    bins: bins_in_words(options, seeds),
                    model: Box::new(ScGpt::on(checkpoint, options.domain, device)?),
                }
            }
        })
    }
}

/// A model that reads cells.
pub enum Reader {
    Geneformer {
        model: Box<Geneformer>,
        tokenizer: geneformer::Tokenizer,
        /// What of a cell is no gene.
        special: &'static str,
        /// The token in the place of a hidden gene.
        mask: u32,
    },
    ScGpt {
        model: Box<ScGpt>,
        tokenizer: scgpt::Tokenizer,
        /// How values became bins.
        bins: String,
    },
}

/// Cells as a model reads them.
pub enum Cells {
    Ranked(Vec<TokenisedCell>),
    Valued(Vec<ValuedCell>),
}

impl Cells {
    /// Gives every gene another gene's token.
    pub fn shuffle_tokens(&mut self, shuffle: &TokenShuffle) {
        match self {
            Self::Ranked(cells) => cells.iter_mut().for_each(|cell| shuffle.apply(cell)),
            Self::Valued(cells) => cells.iter_mut().for_each(|cell| shuffle.apply(cell)),
        }
    }

    /// The cell that comes from a row of the counts.
    pub fn of_row(&self, row: usize) -> Option<&TokenisedCell> {
        match self {
            Self::Ranked(cells) => cells.iter().find(|cell| cell.cell == row),
            Self::Valued(cells) => cells
                .iter()
                .map(AsRef::as_ref)
                .find(|cell: &&TokenisedCell| cell.cell == row),
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Self::Ranked(cells) => cells.len(),
            Self::Valued(cells) => cells.len(),
        }
    }
}

impl Reader {
    /// Makes cells of counts, which come from `rows` of their file.
    pub fn cells(&mut self, counts: &CountMatrix, rows: &[usize]) -> Result<(Cells, Ledger)> {
        Ok(match self {
            Self::Geneformer { tokenizer, .. } => {
                let (cells, ledger) = tokenizer.cells(counts)?;
                (Cells::Ranked(cells), ledger)
            }
            Self::ScGpt { tokenizer, .. } => {
                let (cells, ledger) = tokenizer.cells(counts, rows)?;
                (Cells::Valued(cells), ledger)
            }
        })
    }

    /// Sums over no cell yet of the edges from `sources` to `targets`.
    pub fn sums(
        &self,
        edges: &[ModelEdge],
        (sources, targets): (&TokenPanel, &TokenPanel),
        orientation: Orientation,
    ) -> Result<AttentionSums> {
        let edges = edges.iter().copied();
        let (sources, targets) = (sources.clone(), targets.clone());
        Ok(match self {
            Self::Geneformer { model, .. } => {
                AttentionSums::of(&**model, edges, sources, targets, orientation)?
            }
            Self::ScGpt { model, .. } => AttentionSums::of(&**model, edges, sources, targets, orientation)?,
        })
    }

    /// Adds cells to the sums of the groups that `groups` has for the rows of the counts that they come from; cells without a
    /// group are passed over.
    pub fn add<G: IntoIterator<Item = usize>>(
        &self,
        sums: &mut [AttentionSums],
        cells: &Cells,
        groups: impl Fn(usize) -> G,
        progress: impl Fn(usize) + Sync,
    ) -> Result<()> {
        match (self, cells) {
            (Self::Geneformer { model, .. }, Cells::Ranked(cells)) => {
                add_longest_first(sums, &**model, cells, groups, progress)?;
            }
            (Self::ScGpt { model, .. }, Cells::Valued(cells)) => {
                add_longest_first(sums, &**model, cells, groups, progress)?;
            }
            _ => unreachable!("cells that this reader made"),
        }
        Ok(())
    }

    /// The model's embedding of each cell, `[cell, dimension]`, with the rows of the counts that the cells come from.
    pub fn embeddings(&self, cells: &Cells) -> Result<(Vec<usize>, Array2<f32>)> {
        Ok(match (self, cells) {
            (Self::Geneformer { model, .. }, Cells::Ranked(cells)) => {
                let rows = cells.iter().map(|cell| cell.cell).collect();
                (rows, cell_embeddings(&**model, cells, None)?)
            }
            (Self::ScGpt { model, .. }, Cells::Valued(cells)) => {
                let rows = cells.iter().map(|cell| cell.as_ref().cell).collect();
                (rows, cell_embeddings(&**model, cells, None)?)
            }
            _ => unreachable!("cells that this reader made"),
        })
    }

    /// Computes cells without keeping anything, to see how long it takes.
    pub fn rehearse(&self, cells: &Cells) -> Result<()> {
        match (self, cells) {
            (Self::Geneformer { model, .. }, Cells::Ranked(cells)) => {
                for cell in cells {
                    model.hidden_states(&cell.tokens)?;
                }
            }
            (Self::ScGpt { model, .. }, Cells::Valued(cells)) => {
                for cell in cells {
                    model.hidden_states(cell)?;
                }
            }
            _ => unreachable!("cells that this reader made"),
        }
        Ok(())
    }

    /// What an edge file says of the model and of the cells that it read so far.
    pub fn metadata(&self) -> Vec<(String, String)> {
        let mut metadata = Vec::new();
        match self {
            Self::Geneformer { model, special, .. } => metadata.extend([
                ("scfm.family", GENEFORMER.to_owned()),
                ("scfm.special_tokens", (*special).to_owned()),
                (
                    "scfm.max_tokens",
                    model.config().max_position_embeddings.to_string(),
                ),
            ]),
            Self::ScGpt { tokenizer, bins, .. } => {
                let (tied, values) = tokenizer.tied_values();
                metadata.extend([
                    ("scfm.family", SCGPT.to_owned()),
                    (
                        "scfm.special_tokens",
                        "<cls> takes part in attention and is not scored".to_owned(),
                    ),
                    ("scfm.max_tokens", tokenizer.params().max_length.to_string()),
                    ("scfm.input", input_in_words(tokenizer).to_owned()),
                    ("scfm.bins", bins.clone()),
                    ("scfm.tied_bins", format!("{tied} of {values} values")),
                    ("scfm.published_orientation", SCGPT_ORIENTATION.to_owned()),
                ]);
            }
        }
        metadata
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    }

    /// How cells are made where there is a choice, and how many values could have had other bins in those made so far.
    pub fn cells_in_words(&self) -> Option<String> {
        match self {
            Self::Geneformer { .. } => None,
            Self::ScGpt { tokenizer, bins, .. } => {
                let (tied, values) = tokenizer.tied_values();
                let words = format!("{}; bins: {bins}", input_in_words(tokenizer));
                Some(match values {
                    0 => words,
                    _ => format!(
                        "{words}; {:.0} % of the values could have had another",
                        100.0 * tied as f64 / values as f64
                    ),
                })
            }
        }
    }
}

/// Long cells first, so that no thread begins one when the others have finished.
fn add_longest_first<M: Transformer, G: IntoIterator<Item = usize>>(
    sums: &mut [AttentionSums],
    model: &M,
    cells: &[M::Cell],
    groups: impl Fn(usize) -> G,
    progress: impl Fn(usize) + Sync,
) -> Result<(), Error>
where
    M::Cell: Sync,
{
    // Chosen before they are handed to threads, so that `groups` may look at anything.
    let grouped = cells
        .iter()
        .map(|cell| (groups(cell.as_ref().cell).into_iter().collect(), cell));
    let mut chosen: Vec<(Vec<usize>, &M::Cell)> = grouped
        .filter(|(groups, _): &(Vec<usize>, _)| !groups.is_empty())
        .collect();
    chosen.sort_by_key(|(_, cell)| std::cmp::Reverse(cell.as_ref().tokens.len()));
    add_by_group(sums, model, &Interventions::none(), chosen, progress)
}

fn input_in_words(tokenizer: &scgpt::Tokenizer) -> &'static str {
    if tokenizer.params().include_zeros {
        "all genes of the panel, <cls> with the value 0 (as in scGPT's tutorial of gene networks)"
    } else {
        "genes with a count, <cls> with the value of padding (as in scgpt.tasks.embed_data)"
    }
}

fn binning(options: &ScGptOptions, seeds: Seeds) -> Result<scgpt::Binning> {
    if options.binned_layer.is_some() {
        return Ok(scgpt::Binning::Given);
    }
    Ok(match options.binning.unwrap_or_default() {
        Binning::Middle => scgpt::Binning::Middle,
        Binning::Random => scgpt::Binning::Random,
        Binning::Numpy => scgpt::Binning::Numpy(u32::try_from(seeds.root()).map_err(|_| {
            bad_input(format!(
                "--seed {}: numpy's generator takes seeds below 2^32",
                seeds.root()
            ))
        })?),
    })
}

fn bins_in_words(options: &ScGptOptions, seeds: Seeds) -> String {
    if let Some(layer) = &options.binned_layer {
        return format!("read from {layer}");
    }
    match options.binning.unwrap_or_default() {
        Binning::Middle => "the middle of the bins that a value fits".to_owned(),
        Binning::Random => format!("random among the bins that a value fits, seed {}", seeds.root()),
        Binning::Numpy => format!(
            "drawn as by scGPT after np.random.seed({}), cells in their order",
            seeds.root()
        ),
    }
}

/// Models that were trained on other values than bins are not fed with bins.
fn check_input_style(checkpoint: &scgpt::Checkpoint) -> Result<()> {
    let style = &checkpoint.config().input_style;
    if style == "binned" {
        return Ok(());
    }
    Err(bad_input(format!(
        "{}: input_style is {style:?}; cells are made for models of binned values only",
        checkpoint.files()["config"].display()
    )))
}
