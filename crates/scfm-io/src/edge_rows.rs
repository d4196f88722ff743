use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};

use crate::Error;
use crate::edges::gene_positions;
use crate::tables::{Metadata, Names, ROW_GROUP, open_parquet};

/// Scored pairs in the order of their file, all of a panel or only some.
#[derive(Debug, Clone)]
pub struct EdgeRows {
    /// Every gene once, in the order of first appearance.
    pub genes: Vec<String>,
    /// Positions of source and target among them, and the score; `None` where it is null.
    pub rows: Vec<(u32, u32, Option<f64>)>,
    /// The names of the columns that were taken for source, target and score.
    pub columns: [String; 3],
    /// What the file says of itself.
    pub metadata: Metadata,
}

/// Whether a file begins as a Parquet file does.
///
/// # Errors
/// [`Error::Io`] where it cannot be read.
pub fn is_parquet(path: &Path) -> Result<bool, Error> {
    let mut start = Vec::new();
    let file = std::fs::File::open(path).map_err(Error::reading(path))?;
    std::io::Read::read_to_end(&mut std::io::Read::take(file, 4), &mut start)
        .map_err(Error::reading(path))?;
    Ok(start == b"PAR1")
}

/// Reads scored pairs from a Parquet file of any program: our own edge files, or two columns of text and one of
/// numbers among others. `choose` finds the columns of sources, targets and scores among the names.
///
/// # Errors
/// [`Error::Io`], [`Error::Parquet`] where the file cannot be read; [`Error::Layout`] where `choose` finds none or a
/// column holds something else.
pub fn read_edge_rows(
    path: &Path,
    choose: impl FnOnce(&[&str]) -> Option<[usize; 3]>,
) -> Result<EdgeRows, Error> {
    let file = open_parquet(path)?;
    let schema = file.schema.clone();
    let names: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let chosen = choose(&names).ok_or_else(|| {
        let reason = format!(
            "has the columns {}; expected a source, a target and a score, as source, target, score",
            names.join(", ")
        );
        Error::layout(path, reason)
    })?;
    let columns = chosen.map(|column| names[column].to_owned());
    let metadata = file.metadata.clone();
    let (mut genes, mut rows) = (Names::default(), Vec::new());
    for batch in file.batches(ROW_GROUP)? {
        let batch = batch?;
        let [source, target, score] = chosen.map(|column| batch.column(column));
        // Both sides are read into one list of genes; the score decides whether a pair counts at all.
        let source = gene_positions(path, source, &columns[0], &mut genes)?;
        let target = gene_positions(path, target, &columns[1], &mut genes)?;
        if !score.data_type().is_numeric() {
            let reason = format!(
                "column {} has the type {}, expected numbers",
                columns[2],
                score.data_type()
            );
            return Err(Error::layout(path, reason));
        }
        let score = cast(score, &DataType::Float64)
            .map_err(|error| Error::layout(path, format!("column {}: {error}", columns[2])))?;
        let score = score.as_primitive::<Float64Type>();
        let score = score.iter().map(|score| score.filter(|s| !s.is_nan()));
        rows.extend(
            source
                .into_iter()
                .zip(target)
                .zip(score)
                .map(|((s, t), x)| (s, t, x)),
        );
    }
    Ok(EdgeRows {
        genes: genes.in_order,
        rows,
        columns,
        metadata,
    })
}
