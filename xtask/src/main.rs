//! Commands of the audit: evaluates contexts, extracts edges, makes fixtures, checks the repository.

mod ablation;
mod altered;
mod analyses;
mod args;
mod attention_workloads;
mod calibration;
mod commands;
mod conclusion;
mod context;
mod edge_args;
mod edge_source;
mod evidence;
mod failure;
mod fingerprint;
mod fixture;
mod groups;
mod inputs;
mod list_audit;
mod list_print;
mod lists;
mod memory;
mod model;
mod model_workloads;
mod others;
mod progress;
mod quality;
mod recipe;
mod record;
mod reference_files;
mod relations;
mod run_folder;
mod screen;
mod shard;
mod stages;
mod workloads;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::args::{Cli, Command};
use crate::progress::Progress;

/// Exit code of a program whose output nobody reads, as shells report it.
const CLOSED_OUTPUT: i32 = 141;

fn main() -> ExitCode {
    end_quietly_on_closed_output();
    let cli = Cli::parse();
    match run(&cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", failure::describe(&error, cli.verbose));
            failure::exit_code(&error)
        }
    }
}

/// Ends the program without a word where nobody reads its output any more, as in `xtask inspect … | head -1`.
fn end_quietly_on_closed_output() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload().downcast_ref::<String>();
        if message.is_some_and(|text| text.starts_with("failed printing to") && text.contains("Broken pipe"))
        {
            std::process::exit(CLOSED_OUTPUT);
        }
        usual(panic);
    }));
}

fn run(cli: &Cli) -> Result<ExitCode> {
    if let Some(threads) = cli.threads {
        if threads == 0 {
            return Err(failure::bad_input("--threads 0: at least one"));
        }
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global()?;
    }
    let progress = Progress::new(cli.quiet);
    match &cli.command {
        Command::Evaluate(args) => return commands::evaluate::run(args, cli.hdf5.into(), progress),
        Command::Extract(args) => commands::extract::run(args, cli.hdf5.into(), progress)?,
        Command::Merge(args) => commands::merge::run(args, progress)?,
        Command::Import(args) => commands::import::run(args, progress)?,
        Command::Inspect(args) => commands::inspect::run(args, cli.hdf5.into())?,
        Command::Score(args) => commands::score::run(args, cli.hdf5.into(), progress)?,
        Command::Report(args) => commands::report::run(args, progress)?,
        Command::Fixtures(args) => commands::fixtures::run(args, progress)?,
        Command::InitModel(args) => commands::init_model::run(args)?,
        Command::Calibrate(args) => commands::calibrate::run(args, progress)?,
        Command::Bench(args) => commands::bench::run(args, progress)?,
        Command::Tidy => commands::tidy::run()?,
        Command::Ci => commands::ci::run()?,
    }
    Ok(ExitCode::SUCCESS)
}
