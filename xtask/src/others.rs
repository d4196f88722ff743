//! Runs of other contexts that a run looks at, and what may be asked of them.

use std::path::Path;

use anyhow::{Context as _, Result};
use scfm_report::{CorrectedRegistry, Plan};

use crate::evidence::Evidence;
use crate::record::{self, RunRecord};
use crate::run_folder::RunFolder;

/// A finished run, as it lies in its folder.
pub struct OtherRun {
    pub run: RunFolder,
    pub record: RunRecord,
    pub registry: CorrectedRegistry,
}

impl OtherRun {
    /// Reads the folder of a run that was concluded.
    pub fn open(folder: &Path) -> Result<Self> {
        let record = RunRecord::read(&folder.join(record::FILE))?;
        let run = RunFolder::peek(folder.to_owned(), true);
        let file = run.file("registry.parquet");
        let (table, _) = scfm_io::read_table(&file)?;
        let alpha = record.context.parameters.alpha;
        let registry = CorrectedRegistry::from_table(Plan::embedded(), &table, alpha)
            .with_context(|| format!("{}: evaluate that context again", file.display()))?;
        Ok(Self {
            run,
            record,
            registry,
        })
    }

    /// The stored stages, as the run itself saw them.
    pub fn evidence(&self) -> Result<Evidence> {
        Evidence::read(&self.run, &self.record)
    }
}
