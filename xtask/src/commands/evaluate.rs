//! `evaluate`: the main job, from a checkpoint and an h5ad to a verdict.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use scfm_core::{Orientation, Seeds};
use scfm_io::{Backend, ReadLimits};

use crate::analyses;
use crate::args::EvaluateArgs;
use crate::conclusion::{Conclusion, conclude};
use crate::context::Context;
use crate::inputs::Inputs;
use crate::progress::Progress;
use crate::record::{self, RunRecord, run_key};
use crate::run_folder::RunFolder;
use crate::stages::Workbench;
use crate::{edge_source, memory, others, reference_files, run_folder};

/// Exit code where `--strict` is given and an analysis could not run.
const INCOMPLETE: u8 = 3;

pub fn run(args: &EvaluateArgs, backend: Backend, progress: Progress) -> Result<ExitCode> {
    if args.all {
        return super::evaluate_all::run(args, backend, progress);
    }
    let start = Instant::now();
    let context = match (&args.context, &args.cell_type) {
        (Some(context), _) => Context::load(context)?,
        (None, Some(cell_type)) => Context::of_cell_type(cell_type, args.modality.as_deref())?,
        (None, None) => unreachable!("clap asks for one of them"),
    };
    let order = Order::of(args, backend)?;
    let inputs = Inputs::resolve(&context, args)?;
    for line in inputs.embedded_in_words() {
        println!("{line}");
    }
    let Some(finished) = carry_out(&inputs, &order, progress)? else {
        return Ok(ExitCode::SUCCESS);
    };
    progress.say(format!("done in {:.1} s", start.elapsed().as_secs_f64()));
    Ok(exit_code(args, finished.n_not_run))
}

/// 3 where `--strict` is given and something that was asked for could not run.
pub fn exit_code(args: &EvaluateArgs, n_not_run: usize) -> ExitCode {
    if args.strict && n_not_run > 0 {
        ExitCode::from(INCOMPLETE)
    } else {
        ExitCode::SUCCESS
    }
}

/// What is asked of a run, beside its inputs.
pub struct Order<'a> {
    /// The analyses to run.
    pub chosen: Vec<&'static str>,
    pub seed: u64,
    pub orientation: Orientation,
    pub limits: ReadLimits,
    pub out: &'a Path,
    pub resume: bool,
    /// Runs of other contexts that may be looked at: their folders in `out`, by context.
    pub others: BTreeMap<String, String>,
    /// Run folders of other checkpoints on the same data.
    pub beside: &'a [PathBuf],
    pub dry_run: bool,
}

impl<'a> Order<'a> {
    /// What the arguments ask for.
    pub fn of(args: &'a EvaluateArgs, backend: Backend) -> Result<Self> {
        Ok(Self {
            chosen: analyses::select(&args.analyses)?,
            seed: args.seed,
            orientation: args.orientation,
            limits: ReadLimits {
                memory_budget: memory::budget(args.memory)?,
                backend,
            },
            out: &args.out,
            resume: !args.no_resume,
            others: BTreeMap::new(),
            beside: &args.beside,
            dry_run: args.dry_run,
        })
    }
}

/// A run that came to its end.
pub struct Finished {
    pub folder: PathBuf,
    /// Confirmatory tests of the chosen analyses that could not run.
    pub n_not_run: usize,
}

/// Computes the stages that are missing, runs the analyses, writes and prints the conclusions. Returns nothing where the
/// run was only estimated.
pub fn carry_out(inputs: &Inputs, order: &Order<'_>, progress: Progress) -> Result<Option<Finished>> {
    let Some((run, record)) = prepare(inputs, order, progress)? else {
        return Ok(None);
    };
    let Conclusion {
        verdict,
        correction,
        n_not_run,
    } = conclude(&run, &record, progress)?;
    println!("{verdict}");
    println!("{correction}");
    println!("report: {}", run.file("report.html").display());
    Ok(Some(Finished {
        folder: run.path().to_owned(),
        n_not_run,
    }))
}

/// Computes the stages that are missing. Returns nothing where the run was only estimated.
pub fn prepare(
    inputs: &Inputs,
    order: &Order<'_>,
    progress: Progress,
) -> Result<Option<(RunFolder, RunRecord)>> {
    let bench = Workbench::open(
        inputs,
        Seeds::new(order.seed),
        order.orientation,
        order.limits,
        progress,
    )?;
    for column in &bench.columns {
        progress.say(column);
    }

    let beside = others::beside(order.beside, &bench.files)?;
    if let Some(listed) = bench.source.list() {
        for line in edge_source::describe(listed) {
            println!("{line}");
        }
        println!("wherever attention is named below, the scores of the list stand in its place");
    }
    let list = bench.source.list().map(|listed| listed.record.clone());
    let key = run_key(
        &bench.files,
        &inputs.context,
        order.seed,
        order.orientation,
        list.as_ref(),
    )?;
    let path = order.out.join(format!("{}-{}", inputs.context.name, &key[..12]));
    if order.dry_run {
        println!("run folder: {}", path.display());
        bench.estimate(&RunFolder::peek(path, order.resume), &key, &order.chosen)?;
        return Ok(None);
    }
    let run = RunFolder::create(path, order.resume)?;
    let (n_layers, n_heads) = bench.source.depth();
    let record = RunRecord {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        seed: order.seed,
        orientation: order.orientation.to_string(),
        layer: bench.layer,
        n_layers,
        n_heads,
        family: bench.source.family().to_owned(),
        simulated: bench.simulated() || inputs.embedded,
        embedded: inputs.embedded,
        analyses: order.chosen.iter().map(|id| (*id).to_owned()).collect(),
        machine: run_folder::machine(),
        columns: bench.columns.clone(),
        n_edge_cells: bench.controls.edges.len(),
        controls_shared: bench.controls.shared,
        list,
        others: order.others.clone(),
        beside,
        inputs: bench.files.clone(),
        context: inputs.context.clone(),
    };
    record.write(&run.file(record::FILE))?;
    reference_files::store(&inputs.references, &run)?;
    bench.compute(&run, &key, &order.chosen)?;
    Ok(Some((run, record)))
}
