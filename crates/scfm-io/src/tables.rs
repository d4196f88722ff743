use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, RecordBatchOptions, StringArray, UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef, UInt64Type};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use scfm_core::{Column, Table};

use crate::{Error, atomic_write};

/// What a Parquet file says of itself: keys such as `scfm.seed` with their values, in the order of writing.
pub type Metadata = Vec<(String, String)>;

/// Rows per row group; a row group is what a writer or a reader holds in memory at once.
pub(crate) const ROW_GROUP: usize = 1 << 20;

/// Rows read at once: what stands in memory beside the table.
const READ_BATCH: usize = 1 << 16;

/// Writes a table as Parquet: `F64` as double, `U64` as uint64, `Bool` as boolean, `Text` as UTF-8 string, missing
/// values as nulls, Snappy compression, `metadata` as key-value metadata. The same table gives the same bytes.
///
/// # Errors
/// [`Error::Io`] where the file cannot be written.
pub fn write_table(path: &Path, table: &Table, metadata: &[(String, String)]) -> Result<(), Error> {
    let schema = schema_of(table, metadata);
    write_batches(path, schema.clone(), metadata, || {
        (0..table.n_rows())
            .step_by(ROW_GROUP)
            .map(move |start| batch(&schema, table, start..table.n_rows().min(start + ROW_GROUP)))
    })
}

/// Writes a table that comes in pieces, one below the other, as [`write_table`] writes a whole one. A piece is dropped
/// before the next is asked for, so that a long table never stands in memory whole: what stands there is a piece, and a
/// row group of about a million rows in its compressed form.
///
/// ```
/// use scfm_core::{Column, Table};
/// use scfm_io::{read_table, write_table_pieces};
///
/// let path = tempfile::tempdir()?.keep().join("long.parquet");
/// let piece = |n: usize| Table::new(2).with("n", Column::counts([n, n + 1]));
/// write_table_pieces(&path, [piece(0)?, piece(2)?], &[])?;
/// assert_eq!(read_table(&path)?.0, Table::new(4).with("n", Column::counts(0..4))?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Io`] where the file cannot be written.
///
/// # Panics
/// When there is no piece, since nobody could tell the columns, or a piece has other columns than the first.
pub fn write_table_pieces(
    path: &Path,
    pieces: impl IntoIterator<Item = Table>,
    metadata: &[(String, String)],
) -> Result<(), Error> {
    let mut pieces = pieces.into_iter();
    let first = pieces.next().expect("a table in pieces has at least one");
    let schema = schema_of(&first, metadata);
    write_batches(path, schema.clone(), metadata, || {
        std::iter::once(first).chain(pieces).map(move |piece| {
            let found = schema_of(&piece, &[]);
            assert_eq!(
                found.fields(),
                schema.fields(),
                "the columns of a piece are those of the first"
            );
            batch(&schema, &piece, 0..piece.n_rows())
        })
    })
}

/// Reads a Parquet table written by [`write_table`], or by another program with columns of numbers, truth values
/// and text. Unsigned integers become `U64`, signed ones and floats `F64`.
///
/// # Errors
/// [`Error::Io`], [`Error::Parquet`] where the file cannot be read, [`Error::Layout`] for a column of another type.
pub fn read_table(path: &Path) -> Result<(Table, Metadata), Error> {
    let file = open_parquet(path)?;
    let (schema, metadata, n_rows) = (file.schema.clone(), file.metadata.clone(), file.n_rows);
    let fields = schema.fields();
    let columns: Result<Vec<Column>, String> = fields.iter().map(|field| empty_column(field)).collect();
    let mut columns = columns.map_err(|reason| Error::layout(path, reason))?;
    for batch in file.batches(READ_BATCH)? {
        let batch = batch?;
        for ((field, column), piece) in fields.iter().zip(&mut columns).zip(batch.columns()) {
            append(column, field, piece).map_err(|reason| Error::layout(path, reason))?;
        }
    }
    let mut table = Table::new(n_rows);
    for (field, column) in fields.iter().zip(columns) {
        table.push(field.name(), column).map_err(Error::core(path))?;
    }
    Ok((table, metadata))
}

/// What a Parquet file says of itself, without reading its rows.
///
/// # Errors
/// [`Error::Io`], [`Error::Parquet`] where the file cannot be read.
pub fn read_metadata(path: &Path) -> Result<Metadata, Error> {
    Ok(open_parquet(path)?.metadata)
}

/// Writes a table as CSV for people: a header line, missing values empty, quoted only where needed.
///
/// # Errors
/// [`Error::Io`] where the file cannot be written.
pub fn write_csv(path: &Path, table: &Table) -> Result<(), Error> {
    atomic_write(path, |file| {
        let mut csv = csv::Writer::from_writer(file);
        csv.write_record(table.columns().map(|(name, _)| name))?;
        for row in 0..table.n_rows() {
            csv.write_record(table.columns().map(|(_, column)| column.display(row)))?;
        }
        csv.flush()
    })
}

fn schema_of(table: &Table, metadata: &[(String, String)]) -> SchemaRef {
    let fields = table
        .columns()
        .map(|(name, column)| Field::new(name, data_type(column), true));
    described_schema(fields.collect(), metadata)
}

fn batch(schema: &SchemaRef, table: &Table, rows: Range<usize>) -> RecordBatch {
    let columns = table
        .columns()
        .map(|(_, column)| to_arrow(column, rows.clone()))
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .expect("a table's columns have equal length")
}

/// A schema that carries the metadata too: pyarrow looks for it there, other readers in the footer.
pub(crate) fn described_schema(fields: Vec<Field>, metadata: &[(String, String)]) -> SchemaRef {
    let metadata: HashMap<String, String> = metadata.iter().cloned().collect();
    Arc::new(Schema::new_with_metadata(fields, metadata))
}

/// Writes batches as one Parquet file, atomically.
pub(crate) fn write_batches<I: Iterator<Item = RecordBatch>>(
    path: &Path,
    schema: SchemaRef,
    metadata: &[(String, String)],
    batches: impl FnOnce() -> I,
) -> Result<(), Error> {
    let metadata = metadata
        .iter()
        .map(|(key, value)| KeyValue::new(key.clone(), value.clone()))
        .collect();
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .set_key_value_metadata(Some(metadata))
        .build();
    atomic_write(path, |file| {
        let mut parquet =
            ArrowWriter::try_new(&mut *file, schema, Some(properties)).map_err(io::Error::other)?;
        for batch in batches() {
            parquet.write(&batch).map_err(io::Error::other)?;
        }
        parquet.close().map_err(io::Error::other)?;
        file.flush()
    })
}

/// A Parquet file whose footer was read.
pub(crate) struct ParquetFile<'a> {
    path: &'a Path,
    builder: ParquetRecordBatchReaderBuilder<File>,
    pub schema: SchemaRef,
    pub metadata: Metadata,
    pub n_rows: usize,
}

pub(crate) fn open_parquet(path: &Path) -> Result<ParquetFile<'_>, Error> {
    let parquet = |source| Error::Parquet {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(Error::reading(path))?;
    let builder = caught(path, || ParquetRecordBatchReaderBuilder::try_new(file))?.map_err(parquet)?;
    let footer = builder.metadata().file_metadata();
    let n_rows = usize::try_from(footer.num_rows())
        .map_err(|_| Error::layout(path, format!("declares {} rows", footer.num_rows())))?;
    // The schema that arrow keeps for itself is no word of the writer's.
    let own = |pair: &&KeyValue| pair.key != "ARROW:schema";
    let metadata = footer.key_value_metadata().into_iter().flatten().filter(own);
    let metadata = metadata
        .map(|pair| (pair.key.clone(), pair.value.clone().unwrap_or_default()))
        .collect();
    Ok(ParquetFile {
        path,
        schema: builder.schema().clone(),
        builder,
        metadata,
        n_rows,
    })
}

impl<'a> ParquetFile<'a> {
    /// The rows in batches of at most `length`.
    pub(crate) fn batches(self, length: usize) -> Result<Batches<'a>, Error> {
        let reader = self.builder.with_batch_size(length).build();
        let reader = reader.map_err(|source| Error::Parquet {
            path: self.path.to_owned(),
            source,
        })?;
        Ok(Batches {
            path: self.path,
            reader,
        })
    }
}

pub(crate) struct Batches<'a> {
    path: &'a Path,
    reader: ParquetRecordBatchReader,
}

impl Iterator for Batches<'_> {
    type Item = Result<RecordBatch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = caught(self.path, || self.reader.next()).transpose()?;
        Some(batch.and_then(|batch| {
            batch.map_err(|source| Error::Parquet {
                path: self.path.to_owned(),
                source: source.into(),
            })
        }))
    }
}

/// The Parquet library panics on some damaged pages (its assertions on bit buffers), but a file must never end the
/// program. What was being read is dropped.
fn caught<T>(path: &Path, read: impl FnOnce() -> T) -> Result<T, Error> {
    let damaged = |_| {
        Error::layout(
            path,
            "damaged: the Parquet library could not make sense of a page",
        )
    };
    catch_unwind(AssertUnwindSafe(read)).map_err(damaged)
}

fn data_type(column: &Column) -> DataType {
    match column {
        Column::F64(_) => DataType::Float64,
        Column::U64(_) => DataType::UInt64,
        Column::Bool(_) => DataType::Boolean,
        Column::Text(_) => DataType::Utf8,
    }
}

fn to_arrow(column: &Column, rows: Range<usize>) -> ArrayRef {
    match column {
        Column::F64(values) => Arc::new(Float64Array::from_iter(&values[rows])),
        Column::U64(values) => Arc::new(UInt64Array::from_iter(&values[rows])),
        Column::Bool(values) => Arc::new(BooleanArray::from_iter(&values[rows])),
        Column::Text(values) => Arc::new(StringArray::from_iter(&values[rows])),
    }
}

/// A column for what is stored in a field, without rows yet.
fn empty_column(field: &Field) -> Result<Column, String> {
    let stored = field.data_type();
    match stored {
        DataType::Boolean => Ok(Column::Bool(Vec::new())),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => {
            Ok(Column::Text(Vec::new()))
        }
        _ if stored.is_unsigned_integer() => Ok(Column::U64(Vec::new())),
        _ if stored.is_numeric() => Ok(Column::F64(Vec::new())),
        _ => Err(format!(
            "column {} has the type {stored}, expected numbers or text",
            field.name()
        )),
    }
}

fn append(column: &mut Column, field: &Field, piece: &ArrayRef) -> Result<(), String> {
    let piece =
        cast(piece, &data_type(column)).map_err(|error| format!("column {}: {error}", field.name()))?;
    match column {
        Column::F64(values) => values.extend(piece.as_primitive::<Float64Type>()),
        Column::U64(values) => values.extend(piece.as_primitive::<UInt64Type>()),
        Column::Bool(values) => values.extend(piece.as_boolean()),
        Column::Text(values) => {
            let texts = piece.as_string::<i32>().iter();
            values.extend(texts.map(|text| text.map(str::to_owned)));
        }
    }
    Ok(())
}

/// Positions of names in the order of their first appearance.
#[derive(Default)]
pub(crate) struct Names {
    pub in_order: Vec<String>,
    position: HashMap<String, usize>,
}

impl Names {
    pub(crate) fn position_or_insert(&mut self, name: &str) -> usize {
        if let Some(&position) = self.position.get(name) {
            return position;
        }
        self.position.insert(name.to_owned(), self.in_order.len());
        self.in_order.push(name.to_owned());
        self.in_order.len() - 1
    }
}
