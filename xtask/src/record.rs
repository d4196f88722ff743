//! `run.toml`: what was asked, of which inputs, by which program. Together with the stages' files it is all that the
//! conclusions of a run depend on.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use scfm_core::Orientation;
use scfm_io::{atomic_write, content_hash};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::edge_source::EdgeSource;
use crate::failure::bad_input;
use crate::inputs::Inputs;
use crate::run_folder::Key;

/// Raised when the same inputs and parameters give other results.
const VERSION: u32 = 1;
pub const FILE: &str = "run.toml";
/// Roles of files by which runs are told apart.
pub const DATA: &str = "data";
pub const WEIGHTS: &str = "weights";

/// Everything that identifies a run and describes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunRecord {
    pub version: String,
    pub seed: u64,
    pub orientation: String,
    pub layer: usize,
    /// Geneformer or scGPT; nothing for a list.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub family: String,
    pub n_layers: usize,
    pub n_heads: usize,
    pub simulated: bool,
    pub embedded: bool,
    pub analyses: Vec<String>,
    pub machine: String,
    /// Columns that were taken for what.
    pub columns: Vec<String>,
    /// Control cells for edges, and whether differential expression shares them.
    pub n_edge_cells: usize,
    pub controls_shared: bool,
    /// How a list of edges was read, where one was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<ListRecord>,
    /// Runs of other contexts that this one looks at: their folders beside it, by context.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub others: BTreeMap<String, String>,
    /// Run folders of other checkpoints on the same data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<PathBuf>,
    /// Files by role.
    pub inputs: BTreeMap<String, InputFile>,
    pub context: Context,
}

/// How a list of edges of another tool was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListRecord {
    pub universe: String,
    pub absent: String,
    pub ranked_by: String,
    pub layout: String,
}

/// A file that was read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InputFile {
    pub path: String,
    pub sha256: String,
}

impl RunRecord {
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = toml::to_string(self)?;
        Ok(atomic_write(path, |file| file.write_all(text.as_bytes()))?)
    }

    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| bad_input(format!("{}: {e}; a run folder has one", path.display())))?;
        toml::from_str(&text).map_err(|e| {
            bad_input(format!(
                "{}: not the record of a run: {}",
                path.display(),
                e.message()
            ))
        })
    }

    /// The checkpoint by its folder and the beginning of the hash of its weights.
    pub fn model_in_words(&self) -> String {
        let Some(weights) = self.inputs.get(WEIGHTS) else {
            return "no model".to_owned();
        };
        let folder = Path::new(&weights.path).parent().and_then(Path::file_name);
        let name = folder.unwrap_or_default();
        format!("{} ({})", name.display(), &weights.sha256[..12])
    }

    /// What a registry row names as its inputs.
    pub fn provenance(&self) -> String {
        let hashes = self
            .inputs
            .iter()
            .map(|(role, file)| format!("{role} {}", &file.sha256[..12]));
        let mut parts: Vec<String> = hashes.collect();
        match &self.list {
            Some(list) => {
                parts.push(format!("universe {}", list.universe));
                parts.push(format!("absent pairs {}", list.absent));
                parts.push(format!("ranked by {}", list.ranked_by));
            }
            None => {
                parts.push(format!("layer {}", self.layer));
                parts.push(format!("{} row as source", self.orientation));
            }
        }
        if self.simulated {
            parts.push("simulated".to_owned());
        }
        parts.join("; ")
    }
}

/// Hashes of the files that a run reads, by role.
pub fn input_files(inputs: &Inputs, source: &EdgeSource) -> Result<BTreeMap<String, InputFile>> {
    let mut files: Vec<(&str, &Path)> = vec![(DATA, &inputs.data)];
    match source {
        EdgeSource::Model(model) => {
            let of_model = model.files().iter();
            files.extend(of_model.map(|(role, path)| (*role, path.as_path())));
        }
        EdgeSource::List(listed) => files.push(("edges", &listed.path)),
    }
    let references = inputs.references.iter();
    files.extend(references.map(|(role, path)| (role.name(), path.as_path())));
    files
        .into_iter()
        .map(|(role, path)| {
            let file = InputFile {
                path: path.display().to_string(),
                sha256: content_hash(path)?,
            };
            Ok((role.to_owned(), file))
        })
        .collect()
}

/// The key of a run: everything that its stages depend on, and nothing else: no path, no thread count, no choice of
/// analyses.
pub fn run_key(
    inputs: &BTreeMap<String, InputFile>,
    context: &Context,
    seed: u64,
    orientation: Orientation,
    list: Option<&ListRecord>,
) -> Result<String> {
    let hashes = inputs
        .iter()
        .map(|(role, file)| format!("{role}={}", file.sha256))
        .collect::<Vec<_>>()
        .join(",");
    let mut key = Key::new("run", VERSION)
        .with("inputs", hashes)
        .with("context", toml::to_string(context)?)
        .with("seed", seed)
        .with("orientation", orientation);
    if let Some(list) = list {
        key = key.with("list", toml::to_string(list)?);
    }
    Ok(key.hex())
}
