//! What an edge file says of itself: which model, read how, gave which number of which cells.

use std::path::Path;

use anyhow::Result;
use scfm_attention::AbsentPairs;
use scfm_core::{Layer, Measure, ModelEdge, Orientation};
use scfm_io::{Metadata, content_hash, read_metadata};

use crate::edge_args::Null;
use crate::model::Reader;

/// The hash of a file that edges depend on, under the role that it plays.
pub fn of_file(role: &str, path: &Path) -> Result<(String, String)> {
    Ok((format!("scfm.sha256.{role}"), content_hash(path)?))
}

/// How the cells that `reader` read so far became edges.
pub fn of_extraction(reader: &Reader, orientation: Orientation, absent: AbsentPairs) -> Metadata {
    let absent = match absent {
        AbsentPairs::Missing => "mean over the cells that hold both genes; missing where none does",
        AbsentPairs::Zero => "mean over all cells, 0 for a cell without the pair",
    };
    let mut metadata = vec![
        ("scfm.orientation".to_owned(), orientation.in_words().to_owned()),
        ("scfm.absent_pairs".to_owned(), absent.to_owned()),
    ];
    metadata.extend(reader.metadata());
    metadata
}

/// What is said of one kind of edges beside what all have in common.
pub fn of_edge(edge: ModelEdge) -> [(String, String); 3] {
    let score = match edge.measure {
        Measure::Attention => "softmax probabilities",
        Measure::StandardError => "standard error over cells of softmax probabilities",
        Measure::NormWeighted => "softmax probability times the length of what the key passes on, |v W_O|",
        Measure::ValueCosine => "cosine of context vectors",
        Measure::ValueDot => "inner product of context vectors",
        Measure::RankedLogits => {
            "logits, ranked over keys and then over queries as shares of the tokens, tied values sharing the mean"
        }
        _ => "of another kind",
    };
    let layer = edge
        .layer
        .map_or_else(|| "mean over all".to_owned(), |layer| layer.0.to_string());
    let head = edge
        .head
        .map_or_else(|| "mean over all".to_owned(), |head| head.0.to_string());
    [
        ("scfm.score", score.to_owned()),
        ("scfm.layer", layer),
        ("scfm.heads", head),
    ]
    .map(|(key, value)| (key.to_owned(), value))
}

/// The same of edges that are made of mean context vectors.
pub fn of_mean_contexts(layer: Layer) -> [(String, String); 3] {
    [
        (
            "scfm.score",
            "cosine of context vectors averaged over cells".to_owned(),
        ),
        ("scfm.layer", layer.0.to_string()),
        ("scfm.heads", "mean over all".to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
}

/// What a null model lacks.
pub fn null_in_words(null: Null, seed: u64) -> String {
    let what = match null {
        Null::Weights => "weights drawn anew",
        Null::Tokens => "every gene read as another gene",
        Null::Expression => "every gene's counts dealt out anew among the cells",
    };
    format!("{what}, seed {seed}")
}

/// What a report repeats of an edge file's metadata: which of the networks that go by the name of attention it is.
pub fn facts(edges: &Path) -> Result<Vec<(&'static str, String)>> {
    let metadata = read_metadata(edges)?;
    let said = |key: &str| {
        metadata
            .iter()
            .find(|(found, _)| found == key)
            .map(|(_, value)| value.clone())
    };
    let facts = [
        ("Edge score", "scfm.score"),
        ("Heads", "scfm.heads"),
        ("Pairs", "scfm.absent_pairs"),
        ("Special tokens", "scfm.special_tokens"),
        ("Tokens at most", "scfm.max_tokens"),
        ("Input", "scfm.input"),
        ("Bins", "scfm.bins"),
    ];
    Ok(facts
        .into_iter()
        .filter_map(|(name, key)| Some((name, said(key)?)))
        .collect())
}
