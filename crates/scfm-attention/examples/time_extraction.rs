//! Times attention extraction with a random model of Geneformer-V1-10M's shape:
//!
//! ```text
//! cargo run --release -p scfm-attention --example time_extraction -- [tokens per cell] [cells] [panel genes]
//! ```
//!
//! Prints one line of JSON with the seconds for all cells, after `@@`.

use std::time::Instant;

use rand::seq::index;
use scfm_attention::geneformer::{Checkpoint, Config, Geneformer, Vocabulary};
use scfm_attention::{AbsentPairs, TokenisedCell, extract};
use scfm_core::{EdgeMatrix, Orientation, Panel, Seeds};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let mut number = |default| numbers.next().unwrap_or(Ok(default));
    let (length, n_cells, n_panel) = (number(2048)?, number(16)?, number(2000)?);

    let config = Config::v1_10m();
    let n_genes = config.vocab_size - 2;
    let vocabulary = Vocabulary::of_genes((0..n_genes).map(|i| (format!("ENSG{i:011}"), 1.0)))?;
    let panel = Panel::new((0..n_panel).map(|i| format!("ENSG{:011}", i * (n_genes / n_panel))))?;
    let panel = vocabulary.panel(&panel)?;
    let seeds = Seeds::new(0);
    let checkpoint = Checkpoint::random(config, vocabulary, &mut seeds.stream("speed", "weights", 0))?;
    let model = Geneformer::new(&checkpoint)?;
    // Half of each cell's genes are of the panel, as with a panel of highly variable genes.
    let cells = (0..n_cells).map(|cell| {
        let mut rng = seeds.stream("speed", "cells", cell as u64);
        let in_panel = index::sample(&mut rng, n_panel, (length / 2).min(n_panel));
        let mut tokens: Vec<u32> = in_panel.iter().filter_map(|i| panel.tokens()[i]).collect();
        let others = index::sample(&mut rng, n_genes, length)
            .into_iter()
            .map(|i| i as u32 + 2);
        let missing = length - tokens.len();
        let others: Vec<u32> = others
            .filter(|token| !tokens.contains(token))
            .take(missing)
            .collect();
        tokens.extend(others);
        TokenisedCell {
            cell,
            columns: vec![None; tokens.len()],
            tokens,
        }
    });
    let cells: Vec<TokenisedCell> = cells.collect();

    let start = Instant::now();
    let edges = extract(
        &model,
        &cells,
        panel.clone(),
        panel.clone(),
        Orientation::Query,
        AbsentPairs::Missing,
        |_| (),
    )?;
    let seconds = start.elapsed().as_secs_f64();
    let pairs: u64 = edges.n_cells.iter().map(|&n| u64::from(n)).sum();
    // The same for any number of threads.
    let bits = edges
        .edges
        .iter()
        .flat_map(EdgeMatrix::scores)
        .map(|score| u64::from(score.to_bits()));
    let checksum = bits.fold(0u64, |sum, bits| sum.wrapping_mul(31).wrapping_add(bits));
    println!(
        "@@{{\"task_s\":{seconds:.3},\"check\":{{\"cells\":{},\"pairs\":{pairs},\"checksum\":\"{checksum:016x}\"}}}}",
        edges.cells_read
    );
    Ok(())
}
