//! Runs of other contexts and of other models that a run looks at, and what may be asked of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use scfm_report::{CorrectedRegistry, Plan};

use crate::evidence::{Evidence, names};
use crate::failure::bad_input;
use crate::record::{self, InputFile, RunRecord};
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
        let Beside { run, record } = Beside::open(folder)?;
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

/// A finished run of another checkpoint on the same data.
pub struct Beside {
    pub run: RunFolder,
    pub record: RunRecord,
}

impl Beside {
    /// Reads the folder of a run.
    pub fn open(folder: &Path) -> Result<Self> {
        Ok(Self {
            record: RunRecord::read(&folder.join(record::FILE))?,
            run: RunFolder::peek(folder.to_owned(), true),
        })
    }
}

/// The folders of runs of other checkpoints, refused unless they looked at samples of the same cells as a run with these `inputs`,
/// each with weights of its own: a model that came twice would be two units.
pub fn beside(folders: &[PathBuf], inputs: &BTreeMap<String, InputFile>) -> Result<Vec<PathBuf>> {
    let hash = |files: &BTreeMap<String, InputFile>, role| files.get(role).map(|file| file.sha256.clone());
    let mut seen: Vec<(Option<String>, String)> =
        vec![(hash(inputs, record::WEIGHTS), "this run's own".to_owned())];
    for folder in folders {
        let wrong = |what: String| Err(bad_input(format!("--beside {}: {what}", folder.display())));
        let other = Beside::open(folder)?;
        if hash(&other.record.inputs, record::DATA) != hash(inputs, record::DATA) {
            return wrong("that run read other data, which models cannot be compared on".to_owned());
        }
        if !other.run.file(names::SAMPLES).exists() {
            return wrong(
                "that run has no samples of cells; evaluate it with the analysis scaling".to_owned(),
            );
        }
        let weights = hash(&other.record.inputs, record::WEIGHTS);
        if let Some((_, whose)) = seen.iter().find(|(known, _)| *known == weights) {
            return wrong(format!("its weights are {whose}; a model counts once"));
        }
        seen.push((weights, format!("those of {}", folder.display())));
    }
    let absolute = |folder: &PathBuf| {
        std::path::absolute(folder).with_context(|| format!("{}: no path", folder.display()))
    };
    folders.iter().map(absolute).collect()
}
