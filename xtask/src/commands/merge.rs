//! `merge`: the shards of one extraction, added up to the edges that it would have written in one piece.

use std::path::Path;

use anyhow::{Context as _, Result};
use scfm_attention::{EdgeSums, Error, add_pair_counts};
use scfm_core::{Measure, ModelEdge};
use scfm_io::{Metadata, write_edges, write_pair_counts};

use crate::args::MergeArgs;
use crate::failure::bad_input;
use crate::fingerprint;
use crate::progress::Progress;
use crate::shard::{Counts, SHARD, ShardFolder};

/// What an extraction counts, and its shards each for their own cells.
const COUNTED: [&str; 2] = ["scfm.cells", "scfm.tied_bins"];

pub fn run(args: &MergeArgs, progress: Progress) -> Result<()> {
    let opened: Result<Vec<_>> = args
        .folders
        .iter()
        .map(|folder| ShardFolder::open(folder))
        .collect();
    let mut shards = opened?;
    check_kinship(&shards)?;
    shards.sort_by_key(|folder| folder.shard.index);
    check_complete(&shards)?;
    let metadata = total_metadata(&shards)?;

    let (first, others) = shards.split_first().expect("at least one folder is asked for");
    let n_cells = total_counts(first, others, |folder| folder.n_cells().map(Some))?;
    let n_cells = n_cells.expect("every shard has them");
    let divisors = total_counts(first, others, ShardFolder::divisors)?;
    let divisors = &divisors.as_ref().unwrap_or(&n_cells).counts;
    let bar = progress.bar("merge", first.edges.len());
    for &edge in &first.edges {
        // A kind of edges at a time, so that memory does not grow with their number or that of shards.
        let total = total_sums(first, others, &n_cells, edge)?;
        let edges = match edge.measure {
            Measure::StandardError => {
                let attention = ModelEdge {
                    measure: Measure::Attention,
                    ..edge
                };
                total.standard_error(&total_sums(first, others, &n_cells, attention)?, &n_cells.counts)
            }
            _ => total.mean(divisors),
        };
        let edges = edges.with_context(|| format!("{edge} of these shards"))?;
        let path = args.out.join(format!("{edge}.parquet"));
        let mut metadata = metadata.clone();
        metadata.extend(fingerprint::of_edge(edge));
        write_edges(&path, &edges, &metadata)?;
        println!("{}", path.display());
        bar.add(1);
    }
    bar.finish();
    let path = args.out.join("n_cells.parquet");
    let Counts {
        sources,
        targets,
        counts,
    } = &n_cells;
    write_pair_counts(&path, sources, targets, counts, &metadata)?;
    println!("{}", path.display());
    Ok(())
}

/// Counts of all shards, where they have them.
fn total_counts(
    first: &ShardFolder,
    others: &[ShardFolder],
    read: impl Fn(&ShardFolder) -> Result<Option<Counts>>,
) -> Result<Option<Counts>> {
    let Some(mut total) = read(first)? else {
        return Ok(None);
    };
    for other in others {
        let more =
            read(other)?.filter(|more| (&more.sources, &more.targets) == (&total.sources, &total.targets));
        let Some(more) = more else {
            let what = "panels";
            return Err(Error::Merge { what }).with_context(|| in_words(first.path(), other.path()));
        };
        add_pair_counts(&mut total.counts, &more.counts)
            .with_context(|| in_words(first.path(), other.path()))?;
    }
    Ok(Some(total))
}

/// The sums of all shards, between the genes that were counted.
fn total_sums(
    first: &ShardFolder,
    others: &[ShardFolder],
    counted: &Counts,
    edge: ModelEdge,
) -> Result<EdgeSums> {
    let mut total = first.sums(edge)?;
    if total.sources() != &counted.sources || total.targets() != &counted.targets {
        return Err(bad_input(format!(
            "{}: the genes of {edge} are not those of the pair counts; extract shard {} again",
            first.path().display(),
            first.shard
        )));
    }
    for other in others {
        total
            .add(&other.sums(edge)?)
            .with_context(|| in_words(first.path(), other.path()))?;
    }
    Ok(total)
}

/// Shards of one extraction say the same of everything but themselves.
fn check_kinship(shards: &[ShardFolder]) -> Result<()> {
    let Some((first, others)) = shards.split_first() else {
        return Ok(());
    };
    let common = |folder: &ShardFolder| -> Metadata {
        let own = |key: &str| key == SHARD || COUNTED.contains(&key);
        let metadata = folder.metadata.iter().filter(|(key, _)| !own(key));
        metadata.cloned().collect()
    };
    let expected = common(first);
    for other in others {
        let found = common(other);
        let keys = expected.iter().chain(&found).map(|(key, _)| key);
        for key in keys {
            let (here, there) = (first.value(key), other.value(key));
            if here != there {
                return Err(bad_input(format!(
                    "{} and {} are not shards of one extraction: {} is {} in the first and {} in the second",
                    first.path().display(),
                    other.path().display(),
                    of_key(key),
                    here.unwrap_or("not given"),
                    there.unwrap_or("not given"),
                )));
            }
        }
        if first.shard.of != other.shard.of {
            return Err(bad_input(format!(
                "{} and {} are not shards of one extraction: the first is shard {}, the second {}",
                first.path().display(),
                other.path().display(),
                first.shard,
                other.shard
            )));
        }
    }
    Ok(())
}

/// Every shard once; they come in their order.
fn check_complete(shards: &[ShardFolder]) -> Result<()> {
    for pair in shards.windows(2) {
        if pair[0].shard == pair[1].shard {
            return Err(bad_input(format!(
                "{} and {} both hold shard {}; name each shard once",
                pair[0].path().display(),
                pair[1].path().display(),
                pair[0].shard
            )));
        }
    }
    let of = shards[0].shard.of;
    // All present ones are distinct, and none exceeds n.
    let n_missing = of - shards.len();
    if n_missing == 0 {
        return Ok(());
    }
    let present = |index: usize| shards.iter().any(|folder| folder.shard.index == index);
    let mut missing: Vec<String> = (1..=of)
        .filter(|&index| !present(index))
        .take(10)
        .map(|index| format!("{index}/{of}"))
        .collect();
    if n_missing > missing.len() {
        missing.push("…".to_owned());
    }
    Err(bad_input(format!(
        "{n_missing} of {of} shards missing: {}; name their folders too",
        missing.join(", ")
    )))
}

/// What one extraction of all cells would say of itself.
fn total_metadata(shards: &[ShardFolder]) -> Result<Metadata> {
    let all = shards[0]
        .metadata
        .iter()
        .filter(|(key, _)| !key.starts_with(SHARD));
    all.map(|(key, value)| {
        if !COUNTED.contains(&key.as_str()) {
            return Ok((key.clone(), value.clone()));
        }
        let mut total = value.clone();
        for other in &shards[1..] {
            let more = other.value(key).unwrap_or_default();
            total = added(&total, more).ok_or_else(|| {
                bad_input(format!(
                    "{}: {key} is {more:?}, which cannot be added to {total:?}; extract shard {} again",
                    other.path().display(),
                    other.shard
                ))
            })?;
        }
        Ok((key.clone(), total))
    })
    .collect()
}

/// Adds two texts number by number: `3 of 7 values` and `1 of 2 values` are `4 of 9 values`.
fn added(one: &str, other: &str) -> Option<String> {
    let (mut first, mut second) = (one.split(' '), other.split(' '));
    let mut words = Vec::new();
    loop {
        match (first.next(), second.next()) {
            (None, None) => return Some(words.join(" ")),
            (Some(a), Some(b)) => words.push(match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.checked_add(b)?.to_string(),
                _ if a == b => a.to_owned(),
                _ => return None,
            }),
            _ => return None,
        }
    }
}

fn of_key(key: &str) -> String {
    match key {
        "scfm.shard.selected" => "the number of chosen cells".to_owned(),
        "scfm.shard.selection" => "the choice of cells (SHA-256)".to_owned(),
        "scfm.shard.panel" => "the panel (SHA-256)".to_owned(),
        "scfm.shard.edges" => "what is summed".to_owned(),
        "scfm.shard.options" => "what scGPT was told".to_owned(),
        _ => match key.strip_prefix("scfm.sha256.") {
            Some("data") => "the SHA-256 of the data".to_owned(),
            Some("weights") => "the SHA-256 of the model".to_owned(),
            Some(role) => format!("the SHA-256 of the model's {role}"),
            None => format!(
                "the {}",
                key.trim_start_matches("scfm.").trim_start_matches("shard.")
            ),
        },
    }
}

fn in_words(one: &Path, other: &Path) -> String {
    format!("{} and {}", one.display(), other.display())
}

#[cfg(test)]
mod tests {
    use super::added;

    #[test]
    fn counts_are_added_inside_their_words() {
        assert_eq!(added("3", "4").as_deref(), Some("7"));
        assert_eq!(
            added("3 of 7 values", "1 of 2 values").as_deref(),
            Some("4 of 9 values")
        );
        for (one, other) in [
            ("3", ""),
            ("3", "x"),
            ("3 of 7", "3 in 7"),
            ("18446744073709551615", "1"),
        ] {
            assert_eq!(added(one, other), None, "{one:?} + {other:?}");
        }
    }
}
