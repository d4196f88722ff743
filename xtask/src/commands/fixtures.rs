//! `fixtures`: makes the embedded screens, references and checkpoints, or checks that the committed ones are what
//! their recipes make.
//!
//! Data files are compared byte by byte. A trained checkpoint differs between processors in its last bits, so it is
//! made only where its recipe changed; otherwise its hash has to be the recorded one.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use scfm_io::{atomic_write, content_hash};
use serde::{Deserialize, Serialize};

use crate::args::FixturesArgs;
use crate::fixture::{Checkpoint, SEED, Simulation, simulations};
use crate::progress::Progress;
use crate::workspace;

const LICENCE: &str = "MIT OR Apache-2.0";
const MANIFEST: &str = "MANIFEST.toml";

/// What stands in `fixtures/MANIFEST.toml`.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
struct Manifest {
    generator: String,
    seed: u64,
    licence: String,
    /// Data files and their sha256, reproduced byte by byte.
    data: BTreeMap<String, String>,
    /// Checkpoints by folder.
    checkpoints: BTreeMap<String, CheckpointEntry>,
}

/// A committed checkpoint: hash of the recipe that it was trained by, what the training came to, hashes of its files.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
struct CheckpointEntry {
    recipe: String,
    /// The unit of the losses.
    loss: String,
    /// The answer that the training had to beat, and its loss.
    baseline: String,
    baseline_loss: f64,
    final_loss: f64,
    files: BTreeMap<String, String>,
}

pub fn run(args: &FixturesArgs, progress: Progress) -> Result<()> {
    let fixtures = workspace::root().join("fixtures");
    if args.check {
        let fresh = tempfile::tempdir()?;
        let faults = check(&fixtures, fresh.path())?;
        ensure!(
            faults.is_empty(),
            "fixtures differ from their recipe:\n  {}",
            faults.join("\n  ")
        );
        println!("fixtures are what their recipe makes");
        return Ok(());
    }
    make(&fixtures, progress)
}

fn make(fixtures: &Path, progress: Progress) -> Result<()> {
    let simulations = simulations()?;
    let data = write(&simulations, fixtures)?;
    let mut known = read_manifest(fixtures).map_or_else(|_| BTreeMap::new(), |manifest| manifest.checkpoints);
    let mut checkpoints = BTreeMap::new();
    for checkpoint in Checkpoint::ALL {
        let folder = checkpoint.folder();
        let recipe = checkpoint.recipe(&simulations);
        let known = known.remove(folder).filter(|entry| {
            let mut files = entry.files.iter();
            entry.recipe == recipe && files.all(|(file, hash)| is_file_with_hash(&fixtures.join(file), hash))
        });
        let entry = match known {
            Some(entry) => {
                progress.say(format!("{folder} is that of its recipe; not trained again"));
                entry
            }
            None => train(checkpoint, recipe, &simulations, fixtures, progress)?,
        };
        checkpoints.insert(folder.to_owned(), entry);
    }
    let manifest = Manifest {
        generator: "cargo xtask fixtures".to_owned(),
        seed: SEED,
        licence: LICENCE.to_owned(),
        data,
        checkpoints,
    };
    let text = toml::to_string(&manifest)?;
    atomic_write(&fixtures.join(MANIFEST), |file| file.write_all(text.as_bytes()))?;
    println!("{}", fixtures.display());
    Ok(())
}

fn train(
    checkpoint: Checkpoint,
    recipe: String,
    simulations: &[Simulation],
    fixtures: &Path,
    progress: Progress,
) -> Result<CheckpointEntry> {
    let folder = fixtures.join(checkpoint.folder());
    let trained = checkpoint.train(simulations, &folder, progress)?;
    Ok(CheckpointEntry {
        recipe,
        loss: checkpoint.loss().to_owned(),
        baseline: checkpoint.baseline().to_owned(),
        baseline_loss: trained.baseline_loss,
        final_loss: trained.final_loss,
        files: files_below(&folder)?
            .into_iter()
            .map(|file| Ok((shown(file.strip_prefix(fixtures)?), content_hash(&file)?)))
            .collect::<Result<_>>()?,
    })
}

/// Writes the data files of all simulations; their paths and hashes.
fn write(simulations: &[Simulation], root: &Path) -> Result<BTreeMap<String, String>> {
    let mut hashes = BTreeMap::new();
    for simulation in simulations {
        hashes.extend(simulation.write(root)?);
    }
    Ok(hashes)
}

fn check(fixtures: &Path, fresh: &Path) -> Result<Vec<String>> {
    let simulations = simulations()?;
    let manifest = read_manifest(fixtures)?;
    let made = write(&simulations, fresh)?;
    let mut faults = Vec::new();
    if manifest.data != made {
        for (file, hash) in &made {
            if manifest.data.get(file) != Some(hash) {
                faults.push(format!(
                    "{file}: the recipe makes other bytes than the manifest says"
                ));
            }
        }
    }
    let mut expected: BTreeMap<String, String> = made;
    let mut known = manifest.checkpoints;
    for checkpoint in Checkpoint::ALL {
        let (folder, recipe) = (checkpoint.folder(), checkpoint.recipe(&simulations));
        match known.remove(folder) {
            Some(entry) => {
                if entry.recipe != recipe {
                    faults.push(format!(
                        "{folder}: trained by another recipe than {recipe}; run `cargo xtask fixtures`"
                    ));
                }
                expected.extend(entry.files);
            }
            None => faults.push(format!(
                "{folder}: not in the manifest; run `cargo xtask fixtures`"
            )),
        }
    }
    faults.extend(
        known
            .keys()
            .map(|folder| format!("{folder}: no recipe trains it")),
    );
    for (file, hash) in &expected {
        if !is_file_with_hash(&fixtures.join(file), hash) {
            faults.push(format!("{file}: missing or changed"));
        }
    }
    for file in files_below(fixtures)? {
        let relative = shown(file.strip_prefix(fixtures)?);
        if relative != MANIFEST && !expected.contains_key(&relative) {
            faults.push(format!("{relative}: no recipe makes it"));
        }
    }
    Ok(faults)
}

fn read_manifest(fixtures: &Path) -> Result<Manifest> {
    let path = fixtures.join(MANIFEST);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    toml::from_str(&text).with_context(|| format!("{}: not a manifest", path.display()))
}

fn is_file_with_hash(path: &Path, hash: &str) -> bool {
    content_hash(path).is_ok_and(|found| found == hash)
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A relative path with forward slashes.
fn shown(path: &Path) -> String {
    path.iter()
        .map(|part| part.to_string_lossy())
        .collect::<Vec<_>>()
        .join("/")
}
