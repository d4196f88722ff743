//! One of n parts of an extraction, and the folder that keeps its sums.
//!
//! Shards deal out the chosen cells in turn. A folder holds integer sums and pair counts, whose metadata says what an
//! unsharded extraction would say and, under `scfm.shard`, what the shards of one extraction must have in common. The
//! receipt comes last: a folder without one is not finished.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, Result};
use ndarray::Array2;
use scfm_attention::{AbsentPairs, AttentionSums, EdgeSums};
use scfm_core::{EdgeKind, ModelEdge, Panel};
use scfm_io::{
    Metadata, atomic_write, content_hash, read_metadata, read_pair_counts, read_pair_sums, write_pair_counts,
    write_pair_sums,
};
use serde::{Deserialize, Serialize};

use crate::failure::bad_input;

/// Beginning of the keys that say what shards have in common, and the key of the shard itself.
pub const SHARD: &str = "scfm.shard";
/// The kinds of edges that are summed.
pub const EDGES: &str = "scfm.shard.edges";

const RECEIPT: &str = "shard.json";
const N_CELLS: &str = "shard-n_cells.parquet";
/// What sums are divided by, where that is not the number of cells that hold both genes.
const DIVISORS: &str = "shard-divisors.parquet";

/// The i-th of n shards, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    pub index: usize,
    pub of: usize,
}

impl Shard {
    /// Which of the chosen cells are in the shard: every n-th.
    pub fn share<T: Copy>(self, chosen: &[T]) -> Vec<T> {
        let from = self.index - 1;
        chosen.iter().skip(from).step_by(self.of).copied().collect()
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once('/')
            .and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        match parts {
            Some((index, of)) if 1 <= index && index <= of => Ok(Self { index, of }),
            _ => Err("expected i/n with i from 1 to n, as 2/8".to_owned()),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Receipt {
    shard: String,
    /// SHA-256 of each file.
    files: BTreeMap<String, String>,
}

/// The folder of a finished shard, whose files are those of the receipt.
#[derive(Debug)]
pub struct ShardFolder {
    path: PathBuf,
    pub shard: Shard,
    pub edges: Vec<ModelEdge>,
    pub metadata: Metadata,
    has_divisors: bool,
}

impl ShardFolder {
    /// Makes way for a shard: fails where the folder holds another one, and takes the receipt of this one away, since its
    /// files are about to be replaced.
    pub fn clear(path: &Path, shard: Shard) -> Result<()> {
        let receipt = path.join(RECEIPT);
        if !receipt.exists() {
            return Ok(());
        }
        let held = read_receipt(&receipt)?.shard;
        if held != shard.to_string() {
            return Err(bad_input(format!(
                "{}: holds shard {held} already; give shard {shard} an --out of its own",
                path.display()
            )));
        }
        fs::remove_file(&receipt).with_context(|| format!("{}: cannot remove", receipt.display()))
    }

    /// Writes the sums of a shard. Returns the paths of its files.
    pub fn write(
        path: &Path,
        shard: Shard,
        sums: &AttentionSums,
        absent: AbsentPairs,
        metadata: &[(String, String)],
    ) -> Result<Vec<PathBuf>> {
        let mut files = BTreeMap::new();
        let mut paths = Vec::new();
        let mut written = |name: String| -> Result<()> {
            let file = path.join(&name);
            files.insert(name, content_hash(&file)?);
            paths.push(file);
            Ok(())
        };
        for edge in sums.edges() {
            let of_edge = sums.sums(edge);
            let name = sums_file(edge);
            write_pair_sums(
                &path.join(&name),
                of_edge.sources(),
                of_edge.targets(),
                of_edge.sums(),
                metadata,
            )?;
            written(name)?;
        }
        let mut counts = vec![(N_CELLS, sums.n_cells())];
        if absent != AbsentPairs::Missing {
            counts.push((DIVISORS, sums.divisors(absent)));
        }
        for (name, counts) in counts {
            let (sources, targets) = sums.panels();
            write_pair_counts(&path.join(name), sources, targets, &counts, metadata)?;
            written(name.to_owned())?;
        }

        let shard = shard.to_string();
        let receipt = serde_json::to_vec_pretty(&Receipt { shard, files })?;
        let file = path.join(RECEIPT);
        atomic_write(&file, |to| to.write_all(&receipt))?;
        paths.push(file);
        Ok(paths)
    }

    /// Opens a folder and checks that its files are those that were written.
    pub fn open(path: &Path) -> Result<Self> {
        let file = path.join(RECEIPT);
        if !file.exists() {
            return Err(bad_input(format!(
                "{}: no {RECEIPT}; expected the folder of a finished `extract --shard i/n`",
                path.display()
            )));
        }
        let receipt = read_receipt(&file)?;
        let shard: Shard = receipt.shard.parse().map_err(|expected| {
            bad_input(format!(
                "{}: shard is {:?}; {expected}",
                file.display(),
                receipt.shard
            ))
        })?;
        check_file(path, &receipt, N_CELLS)?;
        let metadata = read_metadata(&path.join(N_CELLS))?;
        let edges = edges(&metadata).ok_or_else(|| {
            bad_input(format!(
                "{}: {EDGES} is no list of kinds of edges; extract shard {} again",
                path.join(N_CELLS).display(),
                receipt.shard
            ))
        })?;
        let has_divisors = receipt.files.contains_key(DIVISORS);
        let mut names: Vec<String> = edges.iter().map(|&edge| sums_file(edge)).collect();
        names.extend(has_divisors.then(|| DIVISORS.to_owned()));
        let folder = Self {
            path: path.to_owned(),
            shard,
            edges,
            metadata,
            has_divisors,
        };
        for name in &names {
            check_file(path, &receipt, name)?;
            folder.check_metadata(&folder.path.join(name))?;
        }
        if folder.value(SHARD) != Some(&receipt.shard) {
            let found = folder.value(SHARD).unwrap_or("nothing");
            return Err(bad_input(format!(
                "{}: {RECEIPT} says shard {shard}, but {N_CELLS} says {found}; extract the shard again",
                path.display()
            )));
        }
        Ok(folder)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the files say under a key.
    pub fn value(&self, key: &str) -> Option<&str> {
        let (_, value) = self.metadata.iter().find(|(found, _)| found == key)?;
        Some(value)
    }

    /// The number of cells that hold both genes.
    pub fn n_cells(&self) -> Result<Counts> {
        self.counts(N_CELLS)
    }

    /// What the sums are divided by, where that is something else.
    pub fn divisors(&self) -> Result<Option<Counts>> {
        match self.has_divisors {
            true => Ok(Some(self.counts(DIVISORS)?)),
            false => Ok(None),
        }
    }

    fn counts(&self, name: &str) -> Result<Counts> {
        let (sources, targets, counts, _) = read_pair_counts(&self.path.join(name))?;
        Ok(Counts {
            sources,
            targets,
            counts,
        })
    }

    /// The sums of one of its kinds of edges.
    pub fn sums(&self, edge: ModelEdge) -> Result<EdgeSums> {
        let (sources, targets, sums, _) = read_pair_sums(&self.path.join(sums_file(edge)))?;
        Ok(EdgeSums::new(edge, sources, targets, sums))
    }

    fn check_metadata(&self, file: &Path) -> Result<()> {
        if read_metadata(file)? == self.metadata {
            return Ok(());
        }
        Err(bad_input(format!(
            "{}: its metadata are not those of {N_CELLS}; extract shard {} again",
            file.display(),
            self.shard
        )))
    }
}

/// A number for each pair.
pub struct Counts {
    pub sources: Panel,
    pub targets: Panel,
    pub counts: Array2<u32>,
}

fn sums_file(edge: ModelEdge) -> String {
    format!("shard-{edge}.parquet")
}

fn edges(metadata: &Metadata) -> Option<Vec<ModelEdge>> {
    let (_, listed) = metadata.iter().find(|(key, _)| key == EDGES)?;
    listed
        .split(',')
        .map(|edge| match edge.parse() {
            Ok(EdgeKind::Model(edge)) => Some(edge),
            _ => None,
        })
        .collect()
}

fn read_receipt(file: &Path) -> Result<Receipt> {
    let text =
        fs::read(file).map_err(|error| bad_input(format!("{}: cannot read: {error}", file.display())))?;
    serde_json::from_slice(&text).map_err(|error| {
        bad_input(format!(
            "{}: not the receipt of a shard: {error}; extract the shard again",
            file.display()
        ))
    })
}

fn check_file(folder: &Path, receipt: &Receipt, name: &str) -> Result<()> {
    let file = folder.join(name);
    let shard = &receipt.shard;
    let wrong = |what: &str| {
        Err(bad_input(format!(
            "{}: {what}; copy it again, or extract shard {shard} again",
            file.display()
        )))
    };
    let Some(expected) = receipt.files.get(name) else {
        return wrong(&format!("{RECEIPT} does not list it"));
    };
    match fs::metadata(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => wrong("no such file, but shard.json lists it"),
        _ if content_hash(&file)? != *expected => {
            wrong("damaged or cut: its SHA-256 is not the one in shard.json")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_i_of_n_counted_from_one() {
        let shard: Shard = "2/8".parse().unwrap();
        assert_eq!((shard.index, shard.of, shard.to_string().as_str()), (2, 8, "2/8"));
        for wrong in ["", "2", "0/3", "4/3", "1/0", "-1/3", "1/2/3", "a/b"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn shards_deal_out_every_cell_once() {
        let chosen: Vec<usize> = (0..10).map(|k| 3 * k).collect();
        for of in 1..=12 {
            let mut dealt = Vec::new();
            for index in 1..=of {
                let share = Shard { index, of }.share(&chosen);
                assert!(share.iter().all(|row| row / 3 % of + 1 == index));
                dealt.extend(share);
            }
            dealt.sort_unstable();
            assert_eq!(dealt, chosen);
        }
    }
}
