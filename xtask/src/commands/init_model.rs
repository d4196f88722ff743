//! `init-model`: a randomly initialised checkpoint, the null model of an architecture.

use anyhow::Result;
use scfm_attention::geneformer::{Checkpoint, Config, Dictionaries};
use scfm_core::Seeds;

use crate::args::{InitModelArgs, ModelSize};
use crate::failure::bad_input;

pub fn run(args: &InitModelArgs) -> Result<()> {
    let config = match args.size {
        ModelSize::V1_10m => Config::v1_10m(),
        ModelSize::V2_104m => Config::v2_104m(),
        ModelSize::V2_316m => Config::v2_316m(),
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
        ..config
    };
    let mut weights = Seeds::new(args.seed).stream("init-model", "weights", 0);
    Checkpoint::random(config, vocabulary, &mut weights)?.save(&args.out)?;
    println!("{}", args.out.display());
    Ok(())
}
