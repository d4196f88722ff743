//! `init-model`: a randomly initialised checkpoint, the null model of an architecture.

use anyhow::Result;
use scfm_attention::geneformer::{Checkpoint, Config, Dictionaries};
use scfm_attention::scgpt;
use scfm_core::Seeds;

use crate::args::{InitModelArgs, ModelSize};
use crate::failure::bad_input;

pub fn run(args: &InitModelArgs) -> Result<()> {
    let config = match args.size {
        ModelSize::V1_10m => Config::v1_10m(),
        ModelSize::V2_104m => Config::v2_104m(),
        ModelSize::V2_316m => Config::v2_316m(),
        ModelSize::ScGpt => return scgpt(args),
    };
    let (vocabulary, _) = Dictionaries::load(&args.dictionaries, config.vocab_size)?;
    let generation = |framed: bool| if framed { "V2" } else { "V1" };
    let (wanted, found) = (
        !matches!(args.size, ModelSize::V1_10m),
        vocabulary.frame().is_some(),
    );
    if wanted != found {
        return Err(bad_input(format!(
            "{}: dictionaries of Geneformer {}, the size asks for those of {}",
            args.dictionaries.display(),
            generation(found),
            generation(wanted)
        )));
    }
    let config = Config {
        vocab_size: vocabulary.len(),
        pad_token_id: vocabulary.pad(),
        num_hidden_layers: args.layers.unwrap_or(config.num_hidden_layers),
        num_attention_heads: args.heads.unwrap_or(config.num_attention_heads),
        intermediate_size: config.intermediate_size / config.hidden_size
            * args.width.unwrap_or(config.hidden_size),
        hidden_size: args.width.unwrap_or(config.hidden_size),
        ..config
    };
    let mut weights = Seeds::new(args.seed).stream("init-model", "weights", 0);
    Checkpoint::random(config, vocabulary, &mut weights)?.save(&args.out)?;
    println!("{}", args.out.display());
    Ok(())
}

fn scgpt(args: &InitModelArgs) -> Result<()> {
    let vocabulary = scgpt::Vocabulary::read(&args.dictionaries)?;
    let mut weights = Seeds::new(args.seed).stream("init-model", "weights", 0);
    let released = scgpt::Config::released();
    let config = scgpt::Config::sized(
        args.layers.unwrap_or(released.nlayers),
        args.width.unwrap_or(released.embsize),
        args.heads.unwrap_or(released.nheads),
    );
    scgpt::Checkpoint::random(config, vocabulary, &mut weights)?.save(&args.out)?;
    println!("{}", args.out.display());
    Ok(())
}
