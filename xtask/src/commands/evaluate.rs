//! `evaluate`: the main job, from a checkpoint and an h5ad to a verdict.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use scfm_core::Seeds;
use scfm_io::{Backend, ReadLimits};

use crate::analyses;
use crate::args::EvaluateArgs;
use crate::conclusion::{Conclusion, conclude};
use crate::context::Context;
use crate::evidence::names;
use crate::inputs::Inputs;
use crate::progress::Progress;
use crate::record::{self, RunRecord, run_key};
use crate::run_folder::RunFolder;
use crate::stages::Workbench;
use crate::{memory, run_folder};

/// Exit code where `--strict` is given and an analysis could not run.
const INCOMPLETE: u8 = 3;

pub fn run(args: &EvaluateArgs, backend: Backend, progress: Progress) -> Result<ExitCode> {
    let start = Instant::now();
    let context = match (&args.context, &args.cell_type) {
        (Some(context), _) => Context::load(context)?,
        (None, Some(cell_type)) => Context::of_cell_type(cell_type, args.modality.as_deref())?,
        (None, None) => unreachable!("clap asks for one of the two"),
    };
    let chosen = analyses::select(&args.analyses)?;
    let inputs = Inputs::resolve(&context, args)?;
    if inputs.embedded {
        println!(
            "embedded fixture of {}: simulated data, which say nothing about biology",
            context.name
        );
    }
    let limits = ReadLimits {
        memory_budget: memory::budget(args.memory)?,
        backend,
    };
    let bench = Workbench::open(&inputs, Seeds::new(args.seed), args.orientation, limits, progress)?;
    for column in &bench.columns {
        progress.say(column);
    }

    let key = run_key(&bench.files, &inputs.context, args.seed, args.orientation)?;
    let path = args.out.join(format!("{}-{}", context.name, &key[..12]));
    if args.dry_run {
        println!("run folder: {}", path.display());
        return bench
            .estimate(&RunFolder::peek(path, !args.no_resume), &key)
            .map(|()| ExitCode::SUCCESS);
    }
    let run = RunFolder::create(path, !args.no_resume)?;
    let record = RunRecord {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        seed: args.seed,
        orientation: args.orientation.to_string(),
        layer: bench.layer,
        n_layers: bench.checkpoint.config().num_hidden_layers,
        n_heads: bench.checkpoint.config().num_attention_heads,
        simulated: bench.screen.simulated || inputs.embedded,
        embedded: inputs.embedded,
        analyses: chosen.iter().map(|id| (*id).to_owned()).collect(),
        machine: run_folder::machine(),
        columns: bench.columns.clone(),
        n_edge_cells: bench.controls.edges.len(),
        controls_shared: bench.controls.shared,
        list: None,
        inputs: bench.files.clone(),
        context: inputs.context.clone(),
    };
    record.write(&run.file(record::FILE))?;
    if let Some(trrust) = &inputs.trrust {
        let bytes = std::fs::read(trrust)?;
        scfm_io::atomic_write(&run.file(names::TRRUST), |file| {
            std::io::Write::write_all(file, &bytes)
        })?;
    }
    bench.compute(&run, &key)?;

    let Conclusion {
        verdict,
        correction,
        n_not_run,
    } = conclude(&run, &record, progress)?;
    println!("{verdict}");
    println!("{correction}");
    println!("report: {}", run.file("report.html").display());
    progress.say(format!("done in {:.1} s", start.elapsed().as_secs_f64()));
    Ok(if args.strict && n_not_run > 0 {
        ExitCode::from(INCOMPLETE)
    } else {
        ExitCode::SUCCESS
    })
}
