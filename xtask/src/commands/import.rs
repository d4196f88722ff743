//! `import`: attention tensors of another program, averaged to the edge files that `extract` writes.

use anyhow::Result;
use scfm_attention::given::{GivenFolder, GivenSums};
use scfm_core::{GeneId, Panel};
use scfm_grn::thousands;
use scfm_io::{ReadLimits, write_edges, write_pair_counts};

use crate::args::ImportArgs;
use crate::failure::bad_input;
use crate::lists;
use crate::memory;
use crate::progress::Progress;
use crate::recipe::layers;

/// Up to so many genes are all taken: their sums are 200 MB a layer.
const ALL_GENES: usize = 5000;
/// Of more, so many that most cells hold.
const SOME_GENES: usize = 2000;

pub fn run(args: &ImportArgs, progress: Progress) -> Result<()> {
    let limits = ReadLimits {
        memory_budget: memory::budget(args.memory)?,
        ..ReadLimits::default()
    };
    let folder = GivenFolder::open(&args.folder, &limits)?;
    let layers = layers(&args.layers, folder.n_layers())?;
    let counts = folder.gene_counts()?;
    let (panel, panel_in_words) = match &args.genes {
        Some(path) => (lists::read_genes(path)?, path.display().to_string()),
        None => default_panel(&counts)?,
    };
    let n_known = counts.iter().filter(|(gene, _)| panel.contains(gene)).count();
    if n_known == 0 {
        let example = |gene: Option<&str>| {
            gene.map_or_else(|| "none at all".to_owned(), |gene| format!("such as {gene}"))
        };
        return Err(bad_input(format!(
            "{}: none of the {} genes asked for ({}) is a token of any cell ({})",
            args.folder.display(),
            thousands(panel.len()),
            example(panel.genes().first().map(GeneId::as_str)),
            example(counts.first().map(|(gene, _)| gene.as_str())),
        )));
    }
    println!(
        "{}: {} cells, {} layers × {} heads, {} genes; {}",
        args.folder.display(),
        thousands(folder.n_cells()),
        folder.n_layers(),
        folder.n_heads(),
        thousands(counts.len()),
        args.orientation.in_words()
    );
    println!(
        "panel: {panel_in_words} ({n_known} of {} are tokens)",
        thousands(panel.len())
    );
    let needed = GivenSums::bytes(layers.len(), panel.len(), panel.len());
    if needed > limits.memory_budget {
        return Err(bad_input(format!(
            "sums of {} layers over {} × {} pairs take {needed} bytes, more than the {} allowed; name fewer --layers or \
             --genes, or raise --memory",
            layers.len(),
            thousands(panel.len()),
            thousands(panel.len()),
            limits.memory_budget
        )));
    }

    let mut sums = GivenSums::new(layers.clone(), panel.clone(), panel.clone(), args.orientation);
    let bar = progress.bar("attention", folder.n_cells());
    for cell in folder.cells() {
        sums.add(&cell?)?;
        bar.set(sums.cells_read());
    }
    bar.finish();
    let row_sums = row_sums(&sums);
    println!("rows: {row_sums}");

    let metadata: Vec<(String, String)> = [
        ("scfm.source", "tensors of another program".to_owned()),
        ("scfm.orientation", args.orientation.in_words().to_owned()),
        ("scfm.heads", format!("mean over all {} heads", folder.n_heads())),
        (
            "scfm.absent_pairs",
            "mean over the cells that hold both genes".to_owned(),
        ),
        ("scfm.row_sums", row_sums),
        ("scfm.panel", panel_in_words),
        ("scfm.cells", sums.cells_read().to_string()),
        ("scfm.version", env!("CARGO_PKG_VERSION").to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .to_vec();
    for index in 0..layers.len() {
        let edges = sums.mean(index)?;
        let path = args.out.join(format!("{}.parquet", edges.kind()));
        write_edges(&path, &edges, &metadata)?;
        println!("{}", path.display());
    }
    let path = args.out.join("n_cells.parquet");
    write_pair_counts(&path, &panel, &panel, sums.n_cells(), &metadata)?;
    println!("{}", path.display());
    Ok(())
}

/// All genes of the cells while they are few, else those that most cells hold, in the order of first appearance.
fn default_panel(counts: &[(String, usize)]) -> Result<(Panel, String)> {
    if counts.len() <= ALL_GENES {
        let genes = counts.iter().map(|(gene, _)| gene.as_str());
        return Ok((Panel::new(genes)?, "all genes of the cells".to_owned()));
    }
    let mut by_count: Vec<usize> = (0..counts.len()).collect();
    // The sort is stable: of equally frequent genes the first to appear are taken.
    by_count.sort_by_key(|&gene| std::cmp::Reverse(counts[gene].1));
    by_count.truncate(SOME_GENES);
    by_count.sort_unstable();
    let genes = by_count.iter().map(|&gene| counts[gene].0.as_str());
    let words = format!(
        "the {} genes that most cells hold, of {}",
        thousands(SOME_GENES),
        thousands(counts.len())
    );
    Ok((Panel::new(genes)?, words))
}

/// Whether scores are probabilities, as far as it can be seen.
fn row_sums(sums: &GivenSums) -> String {
    match sums.is_normalised() {
        true => "sum to 1".to_owned(),
        false => format!(
            "not normalised in {} of {} cells: logits, or probabilities of which tokens were left out",
            thousands(sums.cells_not_normalised()),
            thousands(sums.cells_read())
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panel_that_is_not_given_is_all_genes_or_the_most_frequent() {
        let counts =
            |n: usize| -> Vec<(String, usize)> { (0..n).map(|i| (format!("G{i}"), 1 + i % 3)).collect() };
        let (panel, words) = default_panel(&counts(ALL_GENES)).unwrap();
        assert_eq!((panel.len(), words.as_str()), (5000, "all genes of the cells"));
        let (panel, words) = default_panel(&counts(ALL_GENES + 1)).unwrap();
        assert_eq!(words, "the 2,000 genes that most cells hold, of 5,001");
        // 1,667 genes are in three cells, and the first 333 of those in two.
        assert_eq!(panel.len(), 2000);
        assert!(panel.contains("G2") && panel.contains("G1") && panel.contains("G5000"));
        assert!(
            !panel.contains("G0")
                && !panel.contains("G4000")
                && panel.contains("G997")
                && !panel.contains("G1000")
        );
    }
}
