//! Commands of the audit: evaluates contexts, extracts edges, makes fixtures, checks the repository.

mod analyses;
mod args;
mod commands;
mod conclusion;
mod context;
mod edge_source;
mod evidence;
mod failure;
mod fixture;
mod inputs;
mod list_audit;
mod list_print;
mod lists;
mod memory;
mod progress;
mod quality;
mod record;
mod run_folder;
mod screen;
mod stages;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::args::{Cli, Command};
use crate::progress::Progress;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", failure::describe(&error, cli.verbose));
            failure::exit_code(&error)
        }
    }
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
        Command::Inspect(args) => commands::inspect::run(args, cli.hdf5.into())?,
        Command::Score(args) => commands::score::run(args, cli.hdf5.into(), progress)?,
        Command::Report(args) => commands::report::run(args, progress)?,
        Command::Fixtures(args) => commands::fixtures::run(args, progress)?,
        Command::InitModel(args) => commands::init_model::run(args)?,
        Command::Tidy => commands::tidy::run()?,
        Command::Ci => commands::ci::run()?,
    }
    Ok(ExitCode::SUCCESS)
}
