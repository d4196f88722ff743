//! `init-model`: a randomly initialised checkpoint, the null model of an architecture.

use anyhow::Result;
use scfm_attention::geneformer::{Checkpoint, Config, Vocabulary};
use scfm_core::Seeds;
use scfm_io::{read_median_dictionary, read_name_dictionary, read_token_dictionary};

use crate::args::{InitModelArgs, ModelSize};
use crate::dictionaries;
use crate::failure::bad_input;

pub fn run(args: &InitModelArgs) -> Result<()> {
    let find = |stem: &str| dictionaries::find(&args.dictionaries, stem);
    let needed = |stem: &str| {
        find(stem).ok_or_else(|| {
            bad_input(format!(
                "{}: holds no {stem}.json or .pkl",
                args.dictionaries.display()
            ))
        })
    };
    let tokens = read_token_dictionary(&needed("token_dictionary")?)?;
    let medians = read_median_dictionary(&needed("gene_median_dictionary")?)?;
    let mut vocabulary = Vocabulary::new(tokens, medians)?;
    if let Some(path) = find("gene_name_id_dict") {
        vocabulary = vocabulary.with_names(read_name_dictionary(&path)?);
    }
    let config = match args.size {
        ModelSize::V1_10m => Config {
            vocab_size: vocabulary.len(),
            ..Config::v1_10m()
        },
    };
    let mut weights = Seeds::new(args.seed).stream("init-model", "weights", 0);
    Checkpoint::random(config, vocabulary, &mut weights)?.save(&args.out)?;
    println!("{}", args.out.display());
    Ok(())
}
