//! `fixtures`: makes the embedded screens, references and checkpoints, or checks that the committed ones are what
//! their recipes make.
//!
//! Data files are compared byte by byte. A trained checkpoint differs between processors in its last bits, so it is
//! made only where its recipe changed; otherwise its hash has to be the recorded one.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use scfm_attention::geneformer::training::{TrainingParams, train};
use scfm_attention::geneformer::{Config, Tokenizer, Vocabulary};
use scfm_core::{Column, CountMatrix, Seeds, Table};
use scfm_io::{CountType, FrameColumn, H5adWriter, MatrixName, Scalar, atomic_write, content_hash};
use scfm_synth::{ReferenceParams, Screen, ScreenParams, World, WorldParams};
use serde::{Deserialize, Serialize};

use crate::args::FixturesArgs;
use crate::progress::Progress;
use crate::run_folder::Key;
use crate::workspace;

/// Seed of all fixtures.
const SEED: u64 = 17_602;
/// Raised when the code that trains a checkpoint changes its result.
const TRAINING_VERSION: u32 = 2;
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

/// A committed checkpoint: hash of the recipe that it was trained by, hashes of its files.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
struct CheckpointEntry {
    recipe: String,
    gene_frequency_loss: f64,
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
    let simulation = Simulation::rpe1()?;
    let data = simulation.write(fixtures)?;
    let recipe = simulation.recipe(&data);
    let previous = read_manifest(fixtures).ok();
    let model = simulation.folder.join("model");
    let known = previous
        .and_then(|mut m| m.checkpoints.remove(&shown(&model)))
        .filter(|entry| {
            entry.recipe == recipe
                && entry
                    .files
                    .iter()
                    .all(|(file, hash)| is_file_with_hash(&fixtures.join(file), hash))
        });
    let entry = match known {
        Some(entry) => {
            progress.say("the checkpoint is that of its recipe; not trained again");
            entry
        }
        None => simulation.train(&fixtures.join(&model), fixtures, recipe, progress)?,
    };
    let manifest = Manifest {
        generator: "cargo xtask fixtures".to_owned(),
        seed: SEED,
        licence: LICENCE.to_owned(),
        data,
        checkpoints: BTreeMap::from([(shown(&model), entry)]),
    };
    let text = toml::to_string(&manifest)?;
    atomic_write(&fixtures.join(MANIFEST), |file| file.write_all(text.as_bytes()))?;
    println!("{}", fixtures.display());
    Ok(())
}

fn check(fixtures: &Path, fresh: &Path) -> Result<Vec<String>> {
    let simulation = Simulation::rpe1()?;
    let manifest = read_manifest(fixtures)?;
    let made = simulation.write(fresh)?;
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
    let recipe = simulation.recipe(&made);
    let mut expected: BTreeMap<String, String> = made;
    for (folder, entry) in manifest.checkpoints {
        if entry.recipe != recipe {
            faults.push(format!(
                "{folder}: trained by another recipe; run `cargo xtask fixtures`"
            ));
        }
        expected.extend(entry.files);
    }
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

/// A simulated world with the screen, reference and checkpoint that are made of it.
struct Simulation {
    folder: PathBuf,
    world: World,
    screen: Screen,
    reference: ReferenceParams,
}

impl Simulation {
    /// RPE1, CRISPRi.
    fn rpe1() -> Result<Self> {
        let seeds = Seeds::new(SEED);
        let world = World::new(WorldParams::new("rpe1"), seeds)?;
        let screen = world.screen(&ScreenParams::default(), seeds)?;
        Ok(Self {
            folder: PathBuf::from("rpe1"),
            world,
            screen,
            reference: ReferenceParams::default(),
        })
    }

    /// Writes the data files below `root`; their paths there and hashes.
    fn write(&self, root: &Path) -> Result<BTreeMap<String, String>> {
        let folder = root.join(&self.folder);
        self.write_screen(&folder.join("screen.h5ad"))?;
        let rows = self.world.reference(&self.reference, Seeds::new(SEED))?;
        atomic_write(&folder.join("references/trrust_rawdata.human.tsv"), |file| {
            rows.iter().try_for_each(|row| writeln!(file, "{row}"))
        })?;
        scfm_io::write_csv(&folder.join("truth.csv"), &self.world.edge_table())?;
        let mut hashes = BTreeMap::new();
        for file in ["screen.h5ad", "references/trrust_rawdata.human.tsv", "truth.csv"] {
            let path = self.folder.join(file);
            hashes.insert(shown(&path), content_hash(&root.join(path))?);
        }
        Ok(hashes)
    }

    fn write_screen(&self, path: &Path) -> Result<()> {
        let cells = self.screen.cell_table();
        let counts = &self.screen.counts;
        let genes = counts.genes().genes().iter().map(ToString::to_string).collect();
        let mut writer = H5adWriter::new(text(&cells, "cell")?, genes)
            .matrix(MatrixName::X, counts.counts(), CountType::F32)
            .var(
                "ensembl_id",
                FrameColumn::Text(self.world.ensembl_ids().into_iter().map(Some).collect()),
            )
            .uns("simulated", Scalar::Bool(true))
            .uns("simulation_seed", Scalar::Number(SEED as f64))
            .uns(
                "note",
                Scalar::Text("simulated by scfm-audit; the true network is in truth.csv".to_owned()),
            );
        for (name, column) in cells.columns().filter(|(name, _)| *name != "cell") {
            writer = writer.obs(name, frame_column(column)?);
        }
        Ok(writer.write(path)?)
    }

    /// Hash of everything that the checkpoint depends on.
    fn recipe(&self, data: &BTreeMap<String, String>) -> String {
        Key::new("fixture checkpoint", TRAINING_VERSION)
            .with("seed", SEED)
            .with("cells", &data[&shown(&self.folder.join("screen.h5ad"))])
            .with("config", format!("{:?}", self.config()))
            .with("training", format!("{:?}", training_params()))
            .hex()
    }

    fn config(&self) -> Config {
        Config::sized(4, 64, 4, self.world.genes().len() + 2, 512)
    }

    /// Trains a checkpoint on the control cells by masked-gene prediction.
    fn train(
        &self,
        folder: &Path,
        root: &Path,
        recipe: String,
        progress: Progress,
    ) -> Result<CheckpointEntry> {
        let controls: Vec<usize> = (0..self.screen.cells.len())
            .filter(|&cell| self.screen.cells[cell].guide.is_none())
            .collect();
        let counts = self.screen.counts.select_cells(&controls);
        let ids = self.world.ensembl_ids();
        let vocabulary = Vocabulary::of_genes(ids.iter().cloned().zip(gene_medians(&counts)))?.with_names(
            counts
                .genes()
                .genes()
                .iter()
                .map(ToString::to_string)
                .zip(ids.iter().cloned()),
        );
        let names = vocabulary.names().clone();
        let genes = vocabulary.panel_by(counts.genes(), |symbol| names.get(symbol).cloned())?;
        let config = self.config();
        let tokenizer = Tokenizer::new(&vocabulary, genes, config.max_position_embeddings);
        let (cells, _) = tokenizer.cells(&counts)?;
        let params = training_params();
        let bar = progress.bar(
            "training",
            cells.len().div_ceil(params.batch_size) * params.epochs,
        );
        let (checkpoint, log) = train(&config, &vocabulary, &cells, &params, Seeds::new(SEED), |step| {
            bar.set(step.step + 1);
        })?;
        bar.finish();
        let final_loss = *log
            .epoch_losses()
            .last()
            .context("the training has at least one epoch")?;
        progress.say(format!(
            "loss {final_loss:.4} nats; gene frequencies alone give {:.4}",
            log.gene_frequency_loss
        ));
        if final_loss >= log.gene_frequency_loss {
            bail!("the checkpoint learnt nothing beyond gene frequencies");
        }
        checkpoint.save(folder)?;
        mark_simulated(&folder.join("config.json"))?;
        let files = files_below(folder)?
            .into_iter()
            .map(|file| Ok((shown(file.strip_prefix(root)?), content_hash(&file)?)))
            .collect::<Result<_>>()?;
        Ok(CheckpointEntry {
            recipe,
            gene_frequency_loss: log.gene_frequency_loss,
            final_loss,
            files,
        })
    }
}

fn training_params() -> TrainingParams {
    TrainingParams {
        epochs: 12,
        batch_size: 16,
        learning_rate: 2e-3,
        ..TrainingParams::default()
    }
}

/// The median of each gene's nonzero counts per 10,000, which is what Geneformer divides by; 1 for a gene without
/// counts.
fn gene_medians(counts: &CountMatrix) -> Vec<f64> {
    let mut values = vec![Vec::new(); counts.genes().len()];
    for (row, &total) in counts.counts().outer_iterator().zip(counts.totals()) {
        for (gene, &count) in row.iter() {
            values[gene].push(f64::from(count) / total * 1e4);
        }
    }
    values
        .iter_mut()
        .map(|values| {
            values.sort_by(f64::total_cmp);
            match values.len() {
                0 => 1.0,
                n if n % 2 == 1 => values[n / 2],
                n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
            }
        })
        .collect()
}

/// Writes into a checkpoint's configuration what it was trained on; loaders pass over keys that they do not know.
fn mark_simulated(config: &Path) -> Result<()> {
    let mut json: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&fs::read(config)?)?;
    json.insert("simulated".to_owned(), true.into());
    let text = serde_json::to_string_pretty(&json)? + "\n";
    Ok(atomic_write(config, |file| file.write_all(text.as_bytes()))?)
}

fn text(table: &Table, name: &str) -> Result<Vec<String>> {
    match table.column(name) {
        Some(Column::Text(values)) => Ok(values.iter().map(|v| v.clone().unwrap_or_default()).collect()),
        _ => bail!("the table has no text column {name}"),
    }
}

/// Labels become categoricals, as scanpy stores them.
fn frame_column(column: &Column) -> Result<FrameColumn> {
    Ok(match column {
        Column::F64(values) => FrameColumn::Number(values.iter().map(|v| v.unwrap_or(f64::NAN)).collect()),
        Column::U64(values) => {
            FrameColumn::Number(values.iter().map(|v| v.map_or(f64::NAN, |v| v as f64)).collect())
        }
        Column::Bool(values) => FrameColumn::Bool(values.clone()),
        Column::Text(values) => {
            let mut categories: Vec<String> = values.iter().flatten().cloned().collect();
            categories.sort();
            categories.dedup();
            let code = |value: &String| categories.binary_search(value).ok().map(|code| code as u32);
            FrameColumn::Categorical {
                codes: values.iter().map(|v| v.as_ref().and_then(code)).collect(),
                categories: categories.clone(),
            }
        }
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_those_of_the_nonzero_counts() {
        let counts = ndarray::array![[1.0f32, 0.0], [3.0, 0.0], [0.0, 4.0]];
        let genes = scfm_core::Panel::new(["A", "B"]).unwrap();
        let matrix = CountMatrix::new(
            genes,
            sprs::CsMat::csr_from_dense(counts.view(), 0.0),
            vec![10.0, 10.0, 10.0],
        )
        .unwrap();
        assert_eq!(gene_medians(&matrix), [2000.0, 4000.0]);
    }
}
