//! `report`: draws the conclusions of a run folder again, from its stored stages.

use anyhow::Result;

use crate::args::ReportArgs;
use crate::conclusion::conclude;
use crate::failure::bad_input;
use crate::progress::Progress;
use crate::record::{self, RunRecord};
use crate::run_folder::RunFolder;

pub fn run(args: &ReportArgs, progress: Progress) -> Result<()> {
    let record = RunRecord::read(&args.run.join(record::FILE))?;
    if record.n_layers == 0 {
        return Err(bad_input(format!(
            "{}: made by score, which keeps no stages; run score again",
            args.run.display()
        )));
    }
    let run = RunFolder::create(args.run.clone(), true)?;
    let conclusion = conclude(&run, &record, progress)?;
    println!("{}", conclusion.verdict);
    println!("report: {}", run.file("report.html").display());
    Ok(())
}
