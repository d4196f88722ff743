//! `evaluate --all`: every context, and one page that compares them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result};
use scfm_io::{Backend, atomic_write, write_csv, write_table};
use scfm_report::{Compared, Comparison, Thresholds, Verdict};

use super::evaluate::{Finished, Order, carry_out, exit_code};
use crate::args::EvaluateArgs;
use crate::context::Context;
use crate::failure::{self, bad_input};
use crate::inputs::Inputs;
use crate::others::OtherRun;
use crate::progress::Progress;
use crate::run_folder::Key;

/// The context whose registry holds the analyses of other contexts, which therefore comes last.
const MAIN: &str = "k562";

pub fn run(args: &EvaluateArgs, backend: Backend, progress: Progress) -> Result<ExitCode> {
    let start = Instant::now();
    let mut order = Order::of(args, backend)?;
    let mut contexts = Context::all()?;
    contexts.sort_by_key(|context| context.name == MAIN);

    let mut finished: Vec<(String, Finished)> = Vec::new();
    let mut failures = Vec::new();
    for context in &contexts {
        let inputs = match Inputs::resolve(context, args) {
            Ok(inputs) => inputs,
            // Without data there is nothing to evaluate, which is no fault of the others.
            Err(error) => {
                println!("{}: left out: {error}", context.name);
                continue;
            }
        };
        println!(
            "\n== {} ({}, {}) ==",
            context.name, context.cell_type, context.modality
        );
        for line in inputs.embedded_in_words() {
            println!("{line}");
        }
        let others = finished.iter().filter_map(|(context, run)| {
            let name = run.folder.file_name()?.to_string_lossy().into_owned();
            Some((context.clone(), name))
        });
        order.others = match context.name == MAIN {
            true => others.collect(),
            false => BTreeMap::new(),
        };
        match carry_out(&inputs, &order, progress) {
            Ok(Some(run)) => finished.push((context.name.clone(), run)),
            Ok(None) => {}
            // What the other contexts can say is not lost for one broken file.
            Err(error) => {
                eprintln!("{}: {}", context.name, failure::describe(&error, false));
                failures.push(context.name.clone());
            }
        }
    }
    if order.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    if finished.len() < 2 {
        return Err(bad_input(format!(
            "--all: {} of {} contexts could be evaluated; a comparison needs two",
            finished.len(),
            contexts.len()
        )));
    }
    compare(args, &finished)?;
    progress.say(format!("done in {:.1} s", start.elapsed().as_secs_f64()));
    if !failures.is_empty() {
        anyhow::bail!(
            "contexts that failed: {}; the others are compared",
            failures.join(", ")
        );
    }
    Ok(exit_code(
        args,
        finished.iter().map(|(_, run)| run.n_not_run).sum(),
    ))
}

/// Writes the page and the table that compare finished runs.
fn compare(args: &EvaluateArgs, finished: &[(String, Finished)]) -> Result<()> {
    let mut runs = Vec::new();
    let mut key = Key::new("comparison", 1);
    let mut simulated = false;
    for (context, run) in finished {
        let other = OtherRun::open(&run.folder).with_context(|| format!("comparing {context}"))?;
        let name = run.folder.file_name().unwrap_or_default().to_string_lossy();
        key = key.with("run", &name);
        simulated |= other.record.simulated;
        let verdict = Verdict::reach(&other.registry, &Thresholds::default(), other.record.simulated);
        runs.push(Compared {
            title: format!(
                "{}, {}",
                other.record.context.cell_type, other.record.context.modality
            ),
            report: format!("../{name}/report.html"),
            simulated: other.record.simulated,
            registry: other.registry,
            verdict,
        });
    }
    let alpha = runs[0].registry.correction().alpha;
    let comparison = Comparison::of(runs, alpha);
    let folder = args.out.join(format!("all-{}", &key.hex()[..12]));
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("{}: cannot make the folder", folder.display()))?;
    let table = comparison.to_table();
    let metadata = [("scfm.simulated".to_owned(), simulated.to_string())];
    write_table(&folder.join("comparison.parquet"), &table, &metadata)?;
    write_csv(&folder.join("comparison.csv"), &table)?;
    let page = folder.join("comparison.html");
    atomic_write(&page, |file| file.write_all(comparison.render().as_bytes()))?;
    println!("\n{comparison}");
    println!("comparison: {}", page.display());
    Ok(())
}
