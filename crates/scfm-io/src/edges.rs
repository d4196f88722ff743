use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, DictionaryArray, Float32Array, Int64Array, PrimitiveArray,
    RecordBatch, StringArray, UInt32Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float32Type, Int32Type, Int64Type, UInt32Type};
use ndarray::{Array2, Axis, Slice};
use scfm_core::{EdgeKind, EdgeMatrix, GeneId, Panel};

use crate::tables::{Metadata, Names, ROW_GROUP, described_schema, open_parquet, write_batches};
use crate::{Error, atomic_write};

/// Key under which an edge file names its kind.
const KIND: &str = "scfm.kind";

/// Writes edges in long form: columns `source`, `target` (dictionary-encoded strings) and `score` (float, null
/// where the pair was never seen), one row per pair in source-major panel order. `metadata` becomes key-value
/// metadata beside `scfm.kind`. Peak memory is one row group; the same edges give the same bytes.
///
/// # Errors
/// [`Error::Io`] where the file cannot be written.
pub fn write_edges(path: &Path, edges: &EdgeMatrix, metadata: &[(String, String)]) -> Result<(), Error> {
    let mut described = vec![(KIND.to_owned(), edges.kind().to_string())];
    described.extend(metadata.iter().filter(|(key, _)| key != KIND).cloned());
    let scores = edges.scores().view();
    write_pairs(
        path,
        edges.sources(),
        edges.targets(),
        ("score", DataType::Float32),
        &described,
        |rows| {
            let scores = scores.slice_axis(Axis(0), Slice::from(rows));
            Arc::new(Float32Array::from_iter(
                scores.iter().map(|&score| Some(score).filter(|s| !s.is_nan())),
            ))
        },
    )
}

/// Reads edges written by [`write_edges`], with their metadata.
///
/// # Errors
/// [`Error::Io`], [`Error::Parquet`] where the file cannot be read, [`Error::Layout`] where a column or the kind is
/// missing or the rows are not every source × target pair in source-major order.
pub fn read_edges(path: &Path) -> Result<(EdgeMatrix, Metadata), Error> {
    let pairs = read_pairs::<Float32Type>(path, "score")?;
    let kind = pairs.metadata.iter().find(|(key, _)| key == KIND);
    let (_, kind) = kind.ok_or_else(|| Error::layout(path, format!("has no {KIND} in its metadata")))?;
    let kind: EdgeKind = kind.parse().map_err(Error::core(path))?;
    let scores = pairs.values.mapv(|score| score.unwrap_or(f32::NAN));
    let edges = EdgeMatrix::new(kind, pairs.sources, pairs.targets, scores).map_err(Error::core(path))?;
    Ok((edges, pairs.metadata))
}

/// Writes in how many cells each pair was seen together: columns `source`, `target` and `n_cells` (uint32), rows
/// as in [`write_edges`].
///
/// # Panics
/// When `counts` is not of shape `[sources.len(), targets.len()]`.
///
/// # Errors
/// [`Error::Io`] where the file cannot be written.
pub fn write_pair_counts(
    path: &Path,
    sources: &Panel,
    targets: &Panel,
    counts: &Array2<u32>,
    metadata: &[(String, String)],
) -> Result<(), Error> {
    assert_eq!(
        counts.dim(),
        (sources.len(), targets.len()),
        "a count for every source × target pair"
    );
    write_pairs(
        path,
        sources,
        targets,
        ("n_cells", DataType::UInt32),
        metadata,
        |rows| {
            Arc::new(UInt32Array::from_iter_values(
                counts.slice_axis(Axis(0), Slice::from(rows)).iter().copied(),
            ))
        },
    )
}

/// How many cells saw each pair: sources, targets, counts `[source, target]` and the file's metadata.
pub type PairCounts = PairValues<u32>;

/// Reads what [`write_pair_counts`] wrote.
///
/// # Errors
/// As [`read_edges`]; a count may not be null.
pub fn read_pair_counts(path: &Path) -> Result<PairCounts, Error> {
    read_all_pairs::<UInt32Type>(path, "n_cells")
}

/// Writes the sums of a score over some of the cells, in whatever unit makes them integers: columns `source`, `target`
/// and `sum` (int64), rows as in [`write_edges`].
///
/// # Panics
/// When `sums` is not of shape `[sources.len(), targets.len()]`.
///
/// # Errors
/// [`Error::Io`] where the file cannot be written.
pub fn write_pair_sums(
    path: &Path,
    sources: &Panel,
    targets: &Panel,
    sums: &Array2<i64>,
    metadata: &[(String, String)],
) -> Result<(), Error> {
    assert_eq!(
        sums.dim(),
        (sources.len(), targets.len()),
        "a sum for every source × target pair"
    );
    write_pairs(
        path,
        sources,
        targets,
        ("sum", DataType::Int64),
        metadata,
        |rows| {
            Arc::new(Int64Array::from_iter_values(
                sums.slice_axis(Axis(0), Slice::from(rows)).iter().copied(),
            ))
        },
    )
}

/// Sums over some of the cells: sources, targets, sums `[source, target]` and the file's metadata.
pub type PairSums = PairValues<i64>;

/// Reads what [`write_pair_sums`] wrote.
///
/// # Errors
/// As [`read_edges`]; a sum may not be null.
pub fn read_pair_sums(path: &Path) -> Result<PairSums, Error> {
    read_all_pairs::<Int64Type>(path, "sum")
}

type PairValues<T> = (Panel, Panel, Array2<T>, Metadata);

fn read_all_pairs<T: ArrowPrimitiveType>(
    path: &Path,
    value_name: &str,
) -> Result<PairValues<T::Native>, Error> {
    let pairs = read_pairs::<T>(path, value_name)?;
    if pairs.values.iter().any(Option::is_none) {
        let reason = format!("column {value_name} has nulls, expected a number for every pair");
        return Err(Error::layout(path, reason));
    }
    let values = pairs.values.mapv(Option::unwrap_or_default);
    Ok((pairs.sources, pairs.targets, values, pairs.metadata))
}

/// Writes edges as CSV for other tools: `source,target,score`, only pairs that were seen.
///
/// # Errors
/// [`Error::Io`] where the file cannot be written.
pub fn write_edges_csv(path: &Path, edges: &EdgeMatrix) -> Result<(), Error> {
    atomic_write(path, |file| {
        let mut csv = csv::Writer::from_writer(file);
        csv.write_record(["source", "target", "score"])?;
        for (source, row) in edges.sources().genes().iter().zip(edges.scores().outer_iter()) {
            for (target, score) in edges
                .targets()
                .genes()
                .iter()
                .zip(row)
                .filter(|(_, s)| !s.is_nan())
            {
                csv.write_record([source.as_str(), target.as_str(), &score.to_string()])?;
            }
        }
        csv.flush()
    })
}

/// Writes one row per pair, a row group's worth of sources at a time; `values` gives those of a range of sources.
fn write_pairs(
    path: &Path,
    sources: &Panel,
    targets: &Panel,
    (value_name, value_type): (&str, DataType),
    metadata: &[(String, String)],
    values: impl Fn(std::ops::Range<usize>) -> ArrayRef,
) -> Result<(), Error> {
    let text = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let schema = described_schema(
        vec![
            Field::new("source", text.clone(), false),
            Field::new("target", text, false),
            Field::new(value_name, value_type, true),
        ],
        metadata,
    );
    let names = |panel: &Panel| {
        Arc::new(StringArray::from_iter_values(
            panel.genes().iter().map(GeneId::as_str),
        ))
    };
    let (source_names, target_names) = (names(sources), names(targets));
    // Keys of a dictionary in memory are i32; panels have some ten thousand genes.
    let n_targets = i32::try_from(targets.len()).expect("a panel has fewer than 2³¹ genes");
    let sources_at_once = (ROW_GROUP / targets.len().max(1)).max(1);

    write_batches(path, schema.clone(), metadata, || {
        let starts = (0..sources.len())
            .step_by(sources_at_once)
            .take_while(|_| n_targets > 0);
        starts.map(move |start| {
            let rows = start..sources.len().min(start + sources_at_once);
            let source_keys = rows
                .clone()
                .flat_map(|s| std::iter::repeat_n(s as i32, targets.len()));
            let target_keys = rows.clone().flat_map(|_| 0..n_targets);
            let column = |keys: PrimitiveArray<Int32Type>, names: &Arc<StringArray>| -> ArrayRef {
                let array = DictionaryArray::new(keys, names.clone());
                Arc::new(array)
            };
            let columns = vec![
                column(PrimitiveArray::from_iter_values(source_keys), &source_names),
                column(PrimitiveArray::from_iter_values(target_keys), &target_names),
                values(rows),
            ];
            RecordBatch::try_new(schema.clone(), columns).expect("columns of the schema, of one length")
        })
    })
}

struct Pairs<T> {
    sources: Panel,
    targets: Panel,
    values: Array2<Option<T>>,
    metadata: Metadata,
}

fn read_pairs<T: ArrowPrimitiveType>(path: &Path, value_name: &str) -> Result<Pairs<T::Native>, Error> {
    let file = open_parquet(path)?;
    let column = |name: &str| {
        file.schema.index_of(name).map_err(|_| {
            let found: Vec<_> = file
                .schema
                .fields()
                .iter()
                .map(|field| field.name().as_str())
                .collect();
            Error::layout(
                path,
                format!("has no column {name}; its columns are {}", found.join(", ")),
            )
        })
    };
    let (source, target, value) = (column("source")?, column("target")?, column(value_name)?);
    let metadata = file.metadata.clone();

    let (mut sources, mut targets, mut values) = (Names::default(), Names::default(), Vec::new());
    let mut positions = Vec::new();
    for batch in file.batches(ROW_GROUP)? {
        let batch = batch?;
        let source = gene_positions(path, batch.column(source), "source", &mut sources)?;
        let target = gene_positions(path, batch.column(target), "target", &mut targets)?;
        positions.extend(source.into_iter().zip(target));
        let value = cast(batch.column(value), &T::DATA_TYPE)
            .map_err(|error| Error::layout(path, format!("column {value_name}: {error}")))?;
        values.extend(value.as_primitive::<T>().iter());
    }

    let shape = (sources.in_order.len(), targets.in_order.len());
    let (n, misplaced) = (shape.0 * shape.1, |(i, &(s, t)): (usize, &(u32, u32))| {
        (s as usize, t as usize) != (i / shape.1, i % shape.1)
    });
    if positions.len() != n {
        let reason = format!(
            "has {} rows, expected {} × {} pairs",
            positions.len(),
            shape.0,
            shape.1
        );
        return Err(Error::layout(path, reason));
    }
    if let Some(row) = positions.iter().enumerate().position(misplaced) {
        let reason =
            format!("row {row} is out of order, expected every target for each source, sources in turn");
        return Err(Error::layout(path, reason));
    }
    Ok(Pairs {
        sources: Panel::new(&sources.in_order).map_err(Error::core(path))?,
        targets: Panel::new(&targets.in_order).map_err(Error::core(path))?,
        values: Array2::from_shape_vec(shape, values).expect("as many values as pairs"),
        metadata,
    })
}

/// Position of each row's gene among the genes seen so far. Looks each name of the dictionary up once, not each row.
pub(crate) fn gene_positions(
    path: &Path,
    column: &ArrayRef,
    name: &str,
    genes: &mut Names,
) -> Result<Vec<u32>, Error> {
    let text = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let column =
        cast(column, &text).map_err(|error| Error::layout(path, format!("column {name}: {error}")))?;
    let column = column.as_dictionary::<Int32Type>();
    let names = column.values().as_string::<i32>();
    let mut position = vec![u32::MAX; names.len()];
    column
        .keys()
        .iter()
        .map(|key| {
            let key = key
                .and_then(|key| usize::try_from(key).ok())
                .filter(|&key| names.is_valid(key));
            let key = key.ok_or_else(|| Error::layout(path, format!("column {name} has nulls")))?;
            if position[key] == u32::MAX {
                // In the order of rows, not of the dictionary, which may hold its names in another order.
                position[key] = genes.position_or_insert(names.value(key)) as u32;
            }
            Ok(position[key])
        })
        .collect()
}
