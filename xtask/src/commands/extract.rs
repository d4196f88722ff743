//! `extract`: the edges of a model only.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Result;
use rand::seq::SliceRandom;
use scfm_attention::{AttentionSums, TokenPanel, TokenShuffle, permute_expression};
use scfm_core::{EdgeKind, Panel, Seeds};
use scfm_io::{Backend, Metadata, ReadLimits, write_edges, write_pair_counts};
use scfm_perturb::highly_variable;

use crate::args::{Binning, ExtractArgs, ScGptOptions};
use crate::context::Dataset;
use crate::edge_args::Null;
use crate::failure::bad_input;
use crate::fingerprint;
use crate::groups::{Groups, folder_names};
use crate::memory;
use crate::model::{Model, Reader};
use crate::progress::Progress;
use crate::recipe::Network;
use crate::run_folder::Key;
use crate::screen::{Genes, ScreenFile};
use crate::shard::{EDGES, SHARD, Shard, ShardFolder};

/// Cells read from the file at a time.
const BLOCK: usize = 4096;

pub fn run(args: &ExtractArgs, backend: Backend, progress: Progress) -> Result<()> {
    for path in [&args.data, &args.model].into_iter().chain(&args.dictionaries) {
        if !path.exists() {
            return Err(bad_input(format!("{}: no such file or folder", path.display())));
        }
    }
    let model = Model::open(&args.model, args.dictionaries.as_ref().unwrap_or(&args.model))?;
    let network = Network::of(&args.edges, &model)?;
    check_shard(args)?;
    let limits = ReadLimits {
        memory_budget: memory::budget(args.memory)?,
        backend,
    };
    let screen = ScreenFile::open(&args.data, None, &limits)?;
    let genes = screen.genes(&Dataset::any(), &model.known_genes())?;
    let seeds = Seeds::new(args.seed);
    let chosen = rows(&args.cells, screen.h5ad.n_cells(), seeds)?;
    let groups = match &args.strata {
        None => Groups::one(),
        Some(column) => Groups::of(column, &screen.labels(column)?, &chosen)?,
    };
    let panels = Panels::choose(args, &screen, &genes, &chosen)?;
    check_memory(&network, &panels, groups.names().len(), &limits)?;
    progress.say(format!(
        "{}; {} of {} panel genes have a token",
        genes.source,
        panels.target_tokens.n_known(),
        panels.targets.len()
    ));
    let job = Job {
        args,
        network,
        model,
        screen,
        genes,
        seeds,
        chosen,
        groups,
        panels,
        progress,
    };
    job.run()
}

/// An extraction whose inputs are open and whose options are found to be possible.
struct Job<'a> {
    args: &'a ExtractArgs,
    network: Network,
    model: Model,
    screen: ScreenFile,
    genes: Genes,
    seeds: Seeds,
    /// Rows of the data, for all shards.
    chosen: Vec<usize>,
    groups: Groups,
    panels: Panels,
    progress: Progress,
}

impl Job<'_> {
    fn run(self) -> Result<()> {
        let mut reader = self.reader()?;
        if let Some(shard) = self.args.shard {
            // Not before all that was asked for is found to be possible: a slip must not cost an earlier result.
            ShardFolder::clear(&self.args.out, shard)?;
        }
        let mut sums = self.sums(&mut reader)?;
        if let Some(words) = reader.cells_in_words() {
            self.progress.say(format!("cells: {words}"));
        }
        let hashes = self.hashes()?;
        let metadata = |sums: &AttentionSums| self.metadata(&reader, &hashes, sums.cells_read());
        if let Some(shard) = self.args.shard {
            let sums = &sums[0];
            let mut metadata = metadata(sums);
            metadata.extend(self.common(shard, sums)?);
            let absent = self.network.absent;
            for path in ShardFolder::write(&self.args.out, shard, sums, absent, &metadata)? {
                println!("{}", path.display());
            }
            return Ok(());
        }
        if self.args.strata.is_some() {
            for ((sums, folder), name) in sums
                .iter()
                .zip(folder_names(self.groups.names()))
                .zip(self.groups.names())
            {
                let mut metadata = metadata(sums);
                metadata.push(("scfm.stratum".to_owned(), name.clone()));
                self.write(&self.args.out.join(folder), sums, &metadata)?;
            }
        }
        // The whole is the sum of its groups, bit by bit.
        let mut whole = sums.swap_remove(0);
        for other in sums {
            whole.merge(other)?;
        }
        self.write(&self.args.out, &whole, &metadata(&whole))
    }

    /// The model, or its null, ready to read cells.
    fn reader(&self) -> Result<Reader> {
        let drawn_anew = match self.args.null {
            Some(Null::Weights) => Some(self.model.reinitialised(self.seeds)?),
            _ => None,
        };
        let options = ScGptOptions {
            input: self.network.input.or(self.args.scgpt.input),
            ..self.args.scgpt.clone()
        };
        let tokens = self.genes.tokens.clone();
        let model = drawn_anew.as_ref().unwrap_or(&self.model);
        model.reader_on(
            self.args.device,
            tokens,
            &options,
            self.seeds,
            Some(&self.panels.all()?),
        )
    }

    /// Reads all cells, or those of the shard; the sums of each group.
    fn sums(&self, reader: &mut Reader) -> Result<Vec<AttentionSums>> {
        let Self { args, groups, .. } = self;
        let shuffle = (args.null == Some(Null::Tokens))
            .then(|| TokenShuffle::new(&self.genes.tokens, &mut self.seeds.stream("null", "tokens", 0)));
        let panel = |panel: &TokenPanel| {
            shuffle
                .as_ref()
                .map_or_else(|| panel.clone(), |shuffle| shuffle.panel(panel))
        };
        let panels = (
            &panel(&self.panels.source_tokens),
            &panel(&self.panels.target_tokens),
        );
        let mut sums = groups
            .names()
            .iter()
            .map(|_| reader.sums(&self.network.edges, panels, self.network.orientation))
            .collect::<Result<Vec<_>>>()?;

        let only_counted = match self.network.first_cell_only_counted {
            true => groups.first_rows(&self.chosen),
            false => BTreeSet::new(),
        };
        let values = match &args.scgpt.binned_layer {
            None => self.screen.counts.clone(),
            Some(layer) => self.screen.matrix(layer)?,
        };
        let rows = match args.shard {
            None => self.chosen.clone(),
            Some(shard) => shard.share(&self.chosen),
        };
        let bar = self.progress.bar("attention", rows.len());
        let blocks = self.screen.h5ad.blocks(&values, &rows, &self.genes.map, BLOCK)?;
        for (index, (block, rows)) in blocks.zip(rows.chunks(BLOCK)).enumerate() {
            let mut counts = block?;
            if args.null == Some(Null::Expression) {
                let mut stream = self.seeds.stream("null", "expression", index as u64);
                counts = permute_expression(&counts, &mut stream);
            }
            let (mut cells, _) = reader.cells(&counts, rows)?;
            if let Some(shuffle) = &shuffle {
                cells.shuffle_tokens(shuffle);
            }
            for (place, &row) in rows
                .iter()
                .enumerate()
                .filter(|(_, row)| only_counted.contains(row))
            {
                if let (Some(cell), Some(group)) = (cells.of_row(place), groups.of_row(row)) {
                    sums[group].count_only([cell]);
                }
            }
            let group = |place: usize| {
                groups
                    .of_row(rows[place])
                    .filter(|_| !only_counted.contains(&rows[place]))
            };
            let before = bar.done();
            reader.add(&mut sums, &cells, group, |done| bar.set(before + done))?;
            bar.set(before + rows.len());
        }
        bar.finish();
        Ok(sums)
    }

    /// Writes the edges of a set of cells, one file of each kind.
    fn write(&self, folder: &Path, sums: &AttentionSums, metadata: &[(String, String)]) -> Result<()> {
        let extraction = sums.mean(self.network.absent)?;
        for edges in &extraction.edges {
            let path = folder.join(format!("{}.parquet", edges.kind()));
            let mut metadata = metadata.to_vec();
            if let EdgeKind::Model(edge) = edges.kind() {
                metadata.extend(fingerprint::of_edge(edge));
            }
            write_edges(&path, edges, &metadata)?;
            println!("{}", path.display());
        }
        let path = folder.join("n_cells.parquet");
        write_pair_counts(
            &path,
            &self.panels.sources,
            &self.panels.targets,
            &extraction.n_cells,
            metadata,
        )?;
        println!("{}", path.display());
        Ok(())
    }

    /// The hashes of the data and of the model's files.
    fn hashes(&self) -> Result<Metadata> {
        let files = self
            .model
            .files()
            .iter()
            .map(|(role, path)| (*role, path.as_path()));
        files
            .chain([("data", self.args.data.as_path())])
            .map(|(role, path)| fingerprint::of_file(role, path))
            .collect()
    }

    fn metadata(&self, reader: &Reader, hashes: &[(String, String)], n_cells: usize) -> Metadata {
        let args = self.args;
        let mut metadata = fingerprint::of_extraction(reader, self.network.orientation, self.network.absent);
        let recipe = args
            .edges
            .recipe
            .map(|recipe| format!("{recipe}: {}", self.network.words));
        let null = args.null.map(|null| fingerprint::null_in_words(null, args.seed));
        let said = [
            ("scfm.cells", Some(n_cells.to_string())),
            ("scfm.seed", Some(args.seed.to_string())),
            ("scfm.simulated", Some(self.screen.simulated.to_string())),
            ("scfm.device", Some(args.device.to_string())),
            ("scfm.recipe", recipe),
            ("scfm.null", null),
            ("scfm.version", Some(env!("CARGO_PKG_VERSION").to_owned())),
        ];
        let said = said
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)));
        metadata.extend(said);
        metadata.extend_from_slice(hashes);
        metadata
    }

    /// What all shards of an extraction have in common and the metadata of edges do not say, after the shard itself.
    fn common(&self, shard: Shard, sums: &AttentionSums) -> Result<Metadata> {
        let edges = sums.edges().map(|edge| edge.to_string());
        let rows = self.chosen.iter();
        let selection = rows.fold(Key::new("cells", 1), |key, row| key.with("row", row));
        let genes = self
            .panels
            .sources
            .genes()
            .iter()
            .chain(self.panels.targets.genes());
        let genes = genes.fold(Key::new("panel", 1), |key, gene| key.with("gene", gene.as_str()));
        Ok([
            (SHARD, shard.to_string()),
            (EDGES, edges.collect::<Vec<_>>().join(",")),
            ("scfm.shard.selected", self.chosen.len().to_string()),
            ("scfm.shard.selection", selection.hex()),
            ("scfm.shard.panel", genes.hex()),
            ("scfm.shard.options", serde_json::to_string(&self.args.scgpt)?),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .to_vec())
    }
}

/// The genes that edges start from and those that they end at.
struct Panels {
    sources: Panel,
    targets: Panel,
    source_tokens: TokenPanel,
    target_tokens: TokenPanel,
}

impl Panels {
    fn choose(args: &ExtractArgs, screen: &ScreenFile, genes: &Genes, chosen: &[usize]) -> Result<Self> {
        let targets = match &args.genes {
            Some(path) => listed_genes(path)?,
            None => {
                // A sample decides the panel, so that no file is too large to choose one from.
                let sample = chosen.iter().step_by(chosen.len().div_ceil(BLOCK));
                let sample: Vec<usize> = sample.copied().collect();
                let counts = screen.h5ad.cells(&screen.counts, &sample, &genes.map)?;
                highly_variable(&counts, &genes.vocabulary(), args.hvg, &[])?.panel
            }
        };
        let sources = match &args.sources {
            Some(path) => listed_genes(path)?,
            None => targets.clone(),
        };
        let (source_tokens, target_tokens) = (genes.tokens_of(&sources)?, genes.tokens_of(&targets)?);
        for tokens in [&source_tokens, &target_tokens] {
            if tokens.n_known() == 0 {
                return Err(bad_input(format!(
                    "none of the {} genes is in the file and the model's vocabulary",
                    tokens.panel().len()
                )));
            }
        }
        Ok(Self {
            sources,
            targets,
            source_tokens,
            target_tokens,
        })
    }

    /// The targets, then the sources that are none.
    fn all(&self) -> Result<Panel> {
        let more = self
            .sources
            .genes()
            .iter()
            .filter(|gene| !self.targets.contains(gene.as_str()));
        Ok(Panel::new(self.targets.genes().iter().chain(more).cloned())?)
    }
}

fn listed_genes(path: &Path) -> Result<Panel> {
    let wrong = |reason: &dyn std::fmt::Display| bad_input(format!("{}: {reason}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| wrong(&error))?;
    let listed = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Panel::new(listed).map_err(|error| wrong(&error))
}

/// What goes through the cells in turn cannot begin in the middle.
fn check_shard(args: &ExtractArgs) -> Result<()> {
    let Some(shard) = args.shard.filter(|shard| shard.of > 1) else {
        return Ok(());
    };
    if args.scgpt.binning == Some(Binning::Numpy) {
        return Err(bad_input(format!(
            "--shard {shard}: numpy's generator goes through the cells in turn, so no shard can begin in the middle; \
             take --binning middle or random, or extract in one piece"
        )));
    }
    if args.null == Some(Null::Expression) {
        return Err(bad_input(format!(
            "--shard {shard}: counts are permuted among the cells that are read together, and those of a shard are others; \
             extract --null expression in one piece"
        )));
    }
    Ok(())
}

/// Refuses what would not fit before anything is computed.
fn check_memory(network: &Network, panels: &Panels, n_groups: usize, limits: &ReadLimits) -> Result<()> {
    let pairs = panels.sources.len() as u64 * panels.targets.len() as u64;
    // An integer for each kind of edges, and once more for the matrix that is written.
    let bytes = pairs * (8 * network.edges.len() as u64 + 16) * n_groups as u64;
    if bytes <= limits.memory_budget {
        return Ok(());
    }
    Err(bad_input(format!(
        "{} kinds of edges in {n_groups} groups of cells between {} and {} genes take {:.1} GiB, more than the {:.1} GiB that \
         may be used; restrict --sources, --genes, --layers or --heads, or allow more with --memory",
        network.edges.len(),
        panels.sources.len(),
        panels.targets.len(),
        bytes as f64 / f64::from(1u32 << 30),
        limits.memory_budget as f64 / f64::from(1u32 << 30),
    )))
}

fn rows(wanted: &str, n_cells: usize, seeds: Seeds) -> Result<Vec<usize>> {
    let mut rows: Vec<usize> = (0..n_cells).collect();
    if wanted != "all" {
        let n: usize = wanted
            .parse()
            .map_err(|_| bad_input(format!("--cells {wanted}: neither a number nor all")))?;
        rows.shuffle(&mut seeds.stream("extract", "cells", 0));
        rows.truncate(n);
        rows.sort_unstable();
    }
    if rows.is_empty() {
        return Err(bad_input("no cell to extract from"));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_cells_are_distinct_and_fixed_by_the_seed() {
        let drawn = rows("4", 10, Seeds::new(1)).unwrap();
        assert!(drawn.windows(2).all(|w| w[0] < w[1]) && drawn.len() == 4);
        assert_eq!(drawn, rows("4", 10, Seeds::new(1)).unwrap());
        assert!(rows("some", 10, Seeds::new(1)).is_err() && rows("0", 10, Seeds::new(1)).is_err());
    }
}
