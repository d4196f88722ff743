//! `extract`: attention edges only.

use std::fs;

use anyhow::Result;
use rand::seq::SliceRandom;
use scfm_attention::AbsentPairs;
use scfm_core::{Layer, Panel, Seeds};
use scfm_io::{Backend, Metadata, ReadLimits, content_hash, write_edges, write_pair_counts};
use scfm_perturb::highly_variable;

use crate::args::{Binning, ExtractArgs};
use crate::context::Dataset;
use crate::failure::bad_input;
use crate::memory;
use crate::model::Model;
use crate::progress::Progress;
use crate::run_folder::Key;
use crate::screen::ScreenFile;
use crate::shard::{LAYERS, SHARD, Shard, ShardFolder};

/// Cells read from the file at a time.
const BLOCK: usize = 4096;

pub fn run(args: &ExtractArgs, backend: Backend, progress: Progress) -> Result<()> {
    for path in [&args.data, &args.model].into_iter().chain(&args.dictionaries) {
        if !path.exists() {
            return Err(bad_input(format!("{}: no such file or folder", path.display())));
        }
    }
    let model = Model::open(&args.model, args.dictionaries.as_ref().unwrap_or(&args.model))?;
    if let Some(shard) = args.shard.filter(|shard| shard.of > 1)
        && args.scgpt.binning == Some(Binning::Numpy)
    {
        return Err(bad_input(format!(
            "--shard {shard}: numpy's generator goes through the cells in turn, so no shard can begin in the middle; \
             take --binning middle or random, or extract in one piece"
        )));
    }
    let (n_layers, _) = model.depth();
    let layers = layers(&args.layers, n_layers)?;
    let limits = ReadLimits {
        memory_budget: memory::budget(args.memory)?,
        backend,
    };
    let screen = ScreenFile::open(&args.data, None, &limits)?;
    let genes = screen.genes(&Dataset::any(), &model.known_genes())?;
    let seeds = Seeds::new(args.seed);
    let rows = rows(&args.cells, screen.h5ad.n_cells(), seeds)?;
    let values = match &args.scgpt.binned_layer {
        None => screen.counts.clone(),
        Some(layer) => screen.matrix(layer)?,
    };

    let panel = match &args.genes {
        Some(path) => {
            let text = fs::read_to_string(path).map_err(|e| bad_input(format!("{}: {e}", path.display())))?;
            let listed: Vec<&str> = text
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty())
                .collect();
            Panel::new(listed).map_err(|e| bad_input(format!("{}: {e}", path.display())))?
        }
        None => {
            // A sample decides the panel, so that no file is too large to choose one from.
            let sample: Vec<usize> = rows.iter().step_by(rows.len().div_ceil(BLOCK)).copied().collect();
            let counts = screen.h5ad.cells(&screen.counts, &sample, &genes.map)?;
            highly_variable(&counts, &genes.vocabulary(), args.hvg, &[])?.panel
        }
    };
    let tokens = genes.tokens_of(&panel)?;
    if tokens.n_known() == 0 {
        return Err(bad_input(format!(
            "none of the {} genes is in the file and the model's vocabulary",
            panel.len()
        )));
    }
    progress.say(format!(
        "{}; {} of {} panel genes have a token",
        genes.source,
        tokens.n_known(),
        panel.len()
    ));

    let chosen = rows;
    let rows = args
        .shard
        .map_or_else(|| chosen.clone(), |shard| shard.share(&chosen));
    let mut reader = model.reader(genes.tokens.clone(), &args.scgpt, seeds, Some(&panel))?;
    if let Some(shard) = args.shard {
        // Not before all that was asked for is found to be possible: a slip must not cost an earlier result.
        ShardFolder::clear(&args.out, shard)?;
    }
    let mut sums = reader.sums(&tokens, args.orientation);
    let bar = progress.bar("attention", rows.len());
    let blocks = screen.h5ad.blocks(&values, &rows, &genes.map, BLOCK)?;
    for (block, rows_of_block) in blocks.zip(rows.chunks(BLOCK)) {
        let (cells, _) = reader.cells(&block?, rows_of_block)?;
        let before = bar.done();
        reader.add(&mut sums, &cells, |_| true, |done| bar.set(before + done))?;
        bar.set((before + BLOCK).min(rows.len()));
    }
    bar.finish();
    if let Some(words) = reader.cells_in_words() {
        progress.say(format!("cells: {words}"));
    }
    let mut metadata: Vec<(String, String)> = [
        ("scfm.orientation", args.orientation.in_words().to_owned()),
        ("scfm.cells", sums.cells_read().to_string()),
        ("scfm.seed", args.seed.to_string()),
        ("scfm.model", content_hash(&model.files()["weights"])?),
        ("scfm.data", content_hash(&args.data)?),
        ("scfm.simulated", screen.simulated.to_string()),
        ("scfm.version", env!("CARGO_PKG_VERSION").to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .to_vec();
    metadata.extend(reader.metadata());
    if let Some(shard) = args.shard {
        let layers = kept(&layers);
        metadata.extend(common(shard, &layers, &chosen, &panel, &model, args)?);
        for path in ShardFolder::write(&args.out, shard, &sums, &layers, &panel, &metadata)? {
            println!("{}", path.display());
        }
        return Ok(());
    }
    let extraction = sums.mean(AbsentPairs::Missing);
    for &layer in &layers {
        let edges = &extraction.layers[layer];
        let path = args.out.join(format!("{}.parquet", edges.kind()));
        write_edges(&path, edges, &metadata)?;
        println!("{}", path.display());
    }
    let path = args.out.join("n_cells.parquet");
    write_pair_counts(&path, &panel, &panel, &extraction.n_cells, &metadata)?;
    println!("{}", path.display());
    Ok(())
}

/// What all shards of an extraction have in common and the metadata of edges do not say, after the shard itself.
fn common(
    shard: Shard,
    layers: &[Layer],
    chosen: &[usize],
    panel: &Panel,
    model: &Model,
    args: &ExtractArgs,
) -> Result<Metadata> {
    let numbers: Vec<String> = layers.iter().map(|layer| layer.0.to_string()).collect();
    let selection = chosen
        .iter()
        .fold(Key::new("cells", 1), |key, row| key.with("row", row));
    let genes = panel.genes().iter();
    let genes = genes.fold(Key::new("panel", 1), |key, gene| key.with("gene", gene.as_str()));
    let mut metadata = vec![
        (SHARD.to_owned(), shard.to_string()),
        (LAYERS.to_owned(), numbers.join(",")),
        ("scfm.shard.selected".to_owned(), chosen.len().to_string()),
        ("scfm.shard.selection".to_owned(), selection.hex()),
        ("scfm.shard.panel".to_owned(), genes.hex()),
        (
            "scfm.shard.options".to_owned(),
            serde_json::to_string(&args.scgpt)?,
        ),
    ];
    for (role, file) in model.files() {
        metadata.push((format!("scfm.shard.sha256.{role}"), content_hash(file)?));
    }
    Ok(metadata)
}

/// Each layer once, from low to high.
pub(super) fn kept(layers: &[usize]) -> Vec<Layer> {
    let mut layers = layers.to_vec();
    layers.sort_unstable();
    layers.dedup();
    layers.into_iter().map(Layer).collect()
}

pub(super) fn layers(wanted: &str, n_layers: usize) -> Result<Vec<usize>> {
    if wanted == "all" {
        return Ok((0..n_layers).collect());
    }
    wanted
        .split(',')
        .map(|layer| match layer.trim().parse() {
            Ok(layer) if layer < n_layers => Ok(layer),
            _ => Err(bad_input(format!(
                "--layers {wanted}: {layer:?} is not a layer from 0 to {}",
                n_layers - 1
            ))),
        })
        .collect()
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
    fn layers_are_a_list_or_all() {
        assert_eq!(layers("all", 3).unwrap(), [0, 1, 2]);
        assert_eq!(layers("2,0", 3).unwrap(), [2, 0]);
        assert!(layers("3", 3).unwrap_err().to_string().contains("0 to 2"));
        assert!(layers("one", 3).is_err());
    }

    #[test]
    fn drawn_cells_are_distinct_and_fixed_by_the_seed() {
        let drawn = rows("4", 10, Seeds::new(1)).unwrap();
        assert!(drawn.windows(2).all(|w| w[0] < w[1]) && drawn.len() == 4);
        assert_eq!(drawn, rows("4", 10, Seeds::new(1)).unwrap());
        assert!(rows("some", 10, Seeds::new(1)).is_err() && rows("0", 10, Seeds::new(1)).is_err());
    }
}
