//! The tasks of attention extraction among those that `bench` times: cells and weights as arrays, no file of the authors.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use ndarray::{Array1, Array2};
use ndarray_npy::read_npy;
use rand::seq::index;
use rayon::prelude::*;
use scfm_attention::geneformer::{self, Geneformer};
use scfm_attention::scgpt::{self, ScGpt};
use scfm_attention::{
    AbsentPairs, AttentionSums, Interventions, Site, TokenPanel, TokenisedCell, Transformer, ValuedCell,
};
use scfm_core::{Layer, Orientation, Panel, Seeds};

/// Genes of scGPT's panel, and how many of them are in each cell of its task.
const SCGPT_PANEL: usize = 2000;

type Check = Vec<(&'static str, f64)>;

/// A task `attention-<model>-<tokens>` or `forward-<model>-<tokens>`: the same forward pass with and without extraction of
/// the mean over heads of all layers over the panel. `start` is set to when the model and the cells are there.
pub fn run(name: &str, inputs: &Path, start: &mut Instant) -> Result<Check> {
    let parts: Vec<&str> = name.split('-').collect();
    let &[what @ ("attention" | "forward"), model, tokens] = parts.as_slice() else {
        bail!("{name}: no such workload");
    };
    let length: usize = tokens
        .parse()
        .with_context(|| format!("{name}: no number of tokens"))?;
    match model {
        "v1" | "v2" => {
            let (model, cells, panel) = geneformer(model, length, inputs)?;
            *start = Instant::now();
            compute(what, &model, &cells, &panel)
        }
        "scgpt" => {
            let (model, cells, panel) = scgpt(length)?;
            *start = Instant::now();
            compute(what, &model, &cells, &panel)
        }
        _ => bail!("{name}: no such workload"),
    }
}

fn compute<M: Transformer>(what: &str, model: &M, cells: &[M::Cell], panel: &TokenPanel) -> Result<Check>
where
    M::Cell: Sync,
{
    if what == "forward" {
        let last = [Site::Hidden(Layer(model.n_layers() - 1))];
        let means: Vec<f64> = cells
            .par_iter()
            .map(|cell| {
                let hidden = model.trace(cell, &last, &Interventions::none())?;
                let hidden = &hidden[&last[0]];
                Ok(hidden.iter().map(|&x| f64::from(x.abs())).sum::<f64>() / hidden.len() as f64)
            })
            .collect::<Result<_>>()?;
        return Ok(vec![("out", means.iter().sum::<f64>() / means.len() as f64)]);
    }
    let mut sums = AttentionSums::new(model, panel.clone(), panel.clone(), Orientation::Query);
    sums.add(model, cells, |_| ())?;
    let extraction = sums.mean(AbsentPairs::Missing)?;
    let pairs = extraction.n_cells.iter().filter(|&&n| n > 0).count();
    let first = extraction.edges[0].scores().iter().find(|score| !score.is_nan());
    Ok(vec![
        ("pairs", pairs as f64),
        ("l0", first.copied().map_or(f64::NAN, f64::from)),
    ])
}

/// Random weights in a file as the authors' are, and cells of distinct tokens.
fn geneformer(
    tag: &str,
    length: usize,
    inputs: &Path,
) -> Result<(Geneformer, Vec<TokenisedCell>, TokenPanel)> {
    let config = match tag {
        "v1" => geneformer::Config::v1_10m(),
        _ => geneformer::Config::v2_316m(),
    };
    let weights = inputs.join(format!("w11_{tag}.safetensors"));
    let folder = tempfile::tempdir()?;
    let link = folder.path().join("model.safetensors");
    std::os::unix::fs::symlink(fs::canonicalize(&weights)?, &link)
        .with_context(|| format!("{}: cannot be linked to", weights.display()))?;
    // Tokens that stand for no gene are as many as the model's own.
    let special: &[&str] = match tag {
        "v1" => &["<pad>", "<mask>"],
        _ => &["<pad>", "<mask>", "<cls>", "<eos>"],
    };
    let name = |token: usize| match special.get(token) {
        Some(name) => (*name).to_owned(),
        None => format!("ENSG{token:011}"),
    };
    let tokens: BTreeMap<String, usize> = (0..config.vocab_size).map(|token| (name(token), token)).collect();
    let genes = tokens.iter().filter(|(_, token)| **token >= special.len());
    let medians: BTreeMap<&String, f64> = genes.map(|(gene, _)| (gene, 1.0)).collect();
    let write = |file: &str, json: String| fs::write(folder.path().join(file), json);
    write("token_dictionary.json", serde_json::to_string(&tokens)?)?;
    write("gene_median_dictionary.json", serde_json::to_string(&medians)?)?;
    let mut json = serde_json::to_value(&config)?;
    json["model_type"] = "bert".into();
    write("config.json", json.to_string())?;
    let checkpoint = geneformer::Checkpoint::load(folder.path())?;

    let read = |part: &str| inputs.join(format!("w11_{tag}_{part}.npy"));
    let cells: Array2<i64> = read_npy(read("tokens")).context("the tokens of the cells")?;
    let cells = cells.outer_iter().enumerate().map(|(cell, tokens)| {
        let tokens: Vec<u32> = tokens.iter().take(length).map(|&token| token as u32).collect();
        let columns = vec![None; tokens.len()];
        TokenisedCell {
            cell,
            tokens,
            columns,
        }
    });
    let panel: Array1<i64> = read_npy(read("panel")).context("the tokens of the panel")?;
    let genes = Panel::new(panel.iter().map(|&token| name(token as usize)))?;
    let panel = TokenPanel::new(genes, panel.iter().map(|&token| Some(token as u32)).collect())?;
    Ok((Geneformer::new(&checkpoint)?, cells.collect(), panel))
}

/// A random scGPT of the released size, and four cells, half of whose genes are in the panel.
fn scgpt(length: usize) -> Result<(ScGpt, Vec<ValuedCell>, TokenPanel)> {
    let seeds = Seeds::new(0);
    let config = scgpt::Config::released();
    let n_genes = 60_000;
    let vocabulary = scgpt::Vocabulary::of_genes((0..n_genes).map(|gene| format!("GENE{gene}")))?;
    let checkpoint = scgpt::Checkpoint::random(config, vocabulary, &mut seeds.stream("bench", "weights", 0))?;
    let genes = Panel::new((0..SCGPT_PANEL).map(|gene| format!("GENE{gene}")))?;
    let panel = checkpoint.vocabulary().panel(&genes)?;
    let cells = (0..4).map(|cell| {
        let mut rng = seeds.stream("bench", "cells", cell);
        let inside = (length / 2).min(SCGPT_PANEL);
        let mut tokens: Vec<u32> = index::sample(&mut rng, SCGPT_PANEL, inside)
            .iter()
            .map(|gene| gene as u32)
            .collect();
        let outside = index::sample(&mut rng, n_genes - SCGPT_PANEL, length - inside);
        tokens.extend(outside.iter().map(|gene| (SCGPT_PANEL + gene) as u32));
        let values = (0..length).map(|place| (place % 51) as f32).collect();
        let columns = vec![None; length];
        let cell = TokenisedCell {
            cell: cell as usize,
            tokens,
            columns,
        };
        ValuedCell::new(cell, values)
    });
    Ok((ScGpt::new(&checkpoint)?, cells.collect(), panel))
}
