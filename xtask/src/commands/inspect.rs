//! `inspect`: what a file holds, and what would be taken for what.

use anyhow::Result;
use scfm_attention::{geneformer, scgpt};
use scfm_io::{Backend, H5ad, ReadLimits, is_matrix_folder};
use scfm_perturb::{Assignment, LabelReader, guess_column};

use crate::args::InspectArgs;
use crate::context::Parameters;
use crate::failure::bad_input;
use crate::model::Model;

pub fn run(args: &InspectArgs, backend: Backend) -> Result<()> {
    if !args.path.exists() {
        return Err(bad_input(format!(
            "{}: no such file or folder",
            args.path.display()
        )));
    }
    if args.path.is_dir() && !is_matrix_folder(&args.path) {
        inspect_model(args)
    } else {
        inspect_screen(args, backend)
    }
}

fn inspect_model(args: &InspectArgs) -> Result<()> {
    let model = Model::open(&args.path, &args.path)?;
    match &model {
        Model::Geneformer(checkpoint) => inspect_geneformer(args, checkpoint),
        Model::ScGpt(checkpoint) => inspect_scgpt(args, checkpoint),
    }
    for (role, path) in model.files() {
        println!("  {role}: {}", path.display());
    }
    println!(
        "  layer that would be scored: {}",
        crate::context::default_layer(model.depth().0)
    );
    Ok(())
}

fn inspect_scgpt(args: &InspectArgs, checkpoint: &scgpt::Checkpoint) {
    let (config, weights) = (checkpoint.config(), checkpoint.weights());
    println!("{}: scGPT checkpoint", args.path.display());
    println!(
        "  {} layers × {} heads, width {}, feed-forward {}, cells of up to {} tokens",
        config.nlayers, config.nheads, config.embsize, config.d_hid, config.max_seq_len
    );
    println!(
        "  {} tokens, genes by symbol; cells begin with <cls>; values {} in {} bins, read as {}",
        checkpoint.vocabulary().len(),
        config.input_style,
        config.n_bins,
        match config.input_emb_style {
            scgpt::ValueEncoding::Continuous => "numbers",
            scgpt::ValueEncoding::Category => "categories",
            scgpt::ValueEncoding::Scaling => "factors",
        }
    );
    let n_domains = (0..)
        .take_while(|domain| weights.contains(&format!("dsbn.bns.{domain}.running_mean")))
        .count();
    if n_domains > 0 {
        println!(
            "  inputs are normalised for each of {n_domains} batches of the training: choose one by --domain"
        );
    } else if weights.contains("bn.running_mean") {
        println!("  inputs are normalised by the batch normalisation of the training");
    }
    if !checkpoint.ignored().is_empty() {
        println!(
            "  passed over, since attention does not depend on them: {}",
            checkpoint.ignored().join(", ")
        );
    }
}

fn inspect_geneformer(args: &InspectArgs, checkpoint: &geneformer::Checkpoint) {
    let config = checkpoint.config();
    let vocabulary = checkpoint.vocabulary();
    let size = config.published_name().map_or_else(
        || "of a size that was not published".to_owned(),
        |name| format!("the size of {name}"),
    );
    println!("{}: Geneformer checkpoint, {size}", args.path.display());
    println!(
        "  {} layers × {} heads, width {}, feed-forward {}, up to {} tokens",
        config.num_hidden_layers,
        config.num_attention_heads,
        config.hidden_size,
        config.intermediate_size,
        config.max_position_embeddings
    );
    match vocabulary.frame() {
        Some(_) => println!(
            "  V2: cells begin with <cls> and end with <eos>, up to {} genes between them",
            config.max_position_embeddings.saturating_sub(2)
        ),
        None => println!("  V1: cells are genes alone, without <cls> and <eos>"),
    }
    println!(
        "  {} tokens, {} gene symbols in the name dictionary",
        vocabulary.len(),
        vocabulary.names().len()
    );
    match vocabulary.current_ids() {
        Some(current) => println!(
            "  {} Ensembl ids lead to a token, {} of them older ids; counts of the same gene are summed",
            current.len(),
            current.iter().filter(|(id, current)| id != current).count()
        ),
        None => {
            println!(
                "  no dictionary of older Ensembl ids: ids are taken as they are, without their version"
            );
        }
    }
}

fn inspect_screen(args: &InspectArgs, backend: Backend) -> Result<()> {
    let limits = ReadLimits {
        backend,
        ..ReadLimits::default()
    };
    let file = H5ad::open(&args.path, &limits)?;
    let summary = file.summary()?;
    println!(
        "{}: {} cells × {} genes",
        args.path.display(),
        summary.n_cells,
        summary.n_genes
    );
    println!("matrices");
    for matrix in &summary.matrices {
        let compression = if matrix.compression.is_empty() {
            "not compressed".to_owned()
        } else {
            matrix.compression.join(" + ")
        };
        println!(
            "  {:<16} {} {} × {}, {} values of {}, {compression}",
            matrix.name.to_string(),
            matrix.encoding,
            matrix.shape[0],
            matrix.shape[1],
            matrix.n_stored,
            matrix.value_type,
        );
    }
    for (frame, columns) in [("obs", &summary.obs), ("var", &summary.var)] {
        println!("{frame}");
        for column in columns {
            println!("  {:<24} {}", column.name, column.stored);
        }
    }
    if !summary.uns.is_empty() {
        println!("uns\n  {}", summary.uns.join(", "));
    }
    let networks = file.networks(scfm_grn::EdgeList::columns)?;
    if !networks.is_empty() {
        println!("networks, for score --network\n  {}", networks.join(", "));
    }
    println!("taken for");
    let counts = file.counts_matrix();
    match &counts {
        Ok(name) => println!("  raw counts: {name}"),
        Err(error) => println!("  raw counts: none ({error})"),
    }
    let genes = scfm_io::GeneMap::new(&file.var()?.index()?).panel().clone();
    let reader = LabelReader::new(Some(genes));
    let obs = file.obs()?;
    let texts = summary.obs.iter().filter(|column| column.holds_text());
    let columns = texts
        .map(|column| Ok((column.name.as_str(), obs.column(&column.name)?.labels())))
        .collect::<Result<Vec<_>>>()?;
    let mut n_testable = None;
    match guess_column(
        columns.iter().map(|(name, labels)| (*name, labels.as_slice())),
        &reader,
    ) {
        Ok(guess) => {
            println!("  perturbations: {} ({})", guess.column, guess.reason);
            let labels = &columns
                .iter()
                .find(|(name, _)| *name == guess.column)
                .expect("one of the columns")
                .1;
            let assignments = reader.assign(labels)?;
            let least = Parameters::default().min_cells;
            n_testable = Some(
                assignments
                    .singles()
                    .values()
                    .filter(|rows| rows.len() >= least)
                    .count(),
            );
            let n = |is: fn(&Assignment) -> bool| assignments.cells().iter().filter(|cell| is(cell)).count();
            println!(
                "  {} control cells, {} single-gene perturbations in {} cells, {} cells with several, {} unassigned",
                n(|cell| matches!(cell, Assignment::Control)),
                assignments.singles().len(),
                n(|cell| matches!(cell, Assignment::Single(_))),
                n(|cell| matches!(cell, Assignment::Multiple(_))),
                n(|cell| matches!(cell, Assignment::Unassigned)),
            );
        }
        Err(error) => println!("  perturbations: none ({error})"),
    }
    println!("allows");
    match (counts.is_ok(), n_testable) {
        (false, _) => println!("  nothing: raw counts are needed"),
        (true, None) => println!("  attention and correlation edges, coexpression-mapping"),
        (true, Some(n)) => println!(
            "  attention and correlation edges, coexpression-mapping; perturbation-first, gene-baselines and \
             incremental-value over those of {n} perturbations whose gene is measured and known to the model"
        ),
    }
    Ok(())
}
