//! The tables beside a matrix: features, barcodes, and what is known of each cell.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::Path;

use super::lines::{Lines, inflated};
use crate::{Error, FrameColumn};

/// What features of 10x Genomics measure gene expression; the others count guides, antibodies, peaks.
const EXPRESSION: &str = "Gene Expression";

/// Names of the features of a matrix.
pub(super) struct Features {
    /// Identifiers of the features that are kept.
    pub ids: Vec<String>,
    /// The columns after the first, as far as every line has them.
    pub columns: Vec<(&'static str, Vec<String>)>,
    /// For each line its place among those kept.
    pub places: Vec<Option<u32>>,
    /// Number of features that are no genes.
    pub n_left_out: usize,
}

/// Reads `features.tsv` or `genes.tsv`: identifier, symbol, kind. Where kinds are named and some are gene expression,
/// the other features are left out.
///
/// # Errors
/// [`Error::Io`], [`Error::Line`], [`Error::TooLarge`].
pub(super) fn read_features(path: &Path, budget: u64) -> Result<Features, Error> {
    let mut columns: [Vec<String>; 3] = Default::default();
    let mut n_columns = 3;
    let mut bytes = 0;
    let mut lines = Lines::open(path)?;
    while let Some(line) = lines.next()? {
        let text = String::from_utf8_lossy(line).into_owned();
        let mut words = text.split('\t');
        if words.clone().next().is_none_or(str::is_empty) {
            return Err(lines.wrong(
                "no identifier",
                "identifier, symbol and kind of a feature, with tabs between",
            ));
        }
        n_columns = n_columns.min(words.clone().count());
        for column in &mut columns {
            column.push(words.next().unwrap_or_default().to_owned());
        }
        bytes += text.len() as u64 + 3 * size_of::<String>() as u64;
        afford(path, bytes, budget)?;
    }
    let [ids, symbols, kinds] = columns;
    let keep = |at: usize| n_columns < 3 || kinds[at] == EXPRESSION;
    let any_expression = n_columns == 3 && kinds.iter().any(|kind| kind == EXPRESSION);
    let mut places = Vec::with_capacity(ids.len());
    let mut n_kept = 0;
    for at in 0..ids.len() {
        let kept = !any_expression || keep(at);
        places.push(kept.then_some(n_kept));
        n_kept += u32::from(kept);
    }
    let kept = |values: Vec<String>| -> Vec<String> {
        let kept = values
            .into_iter()
            .zip(&places)
            .filter(|(_, place)| place.is_some());
        kept.map(|(value, _)| value).collect()
    };
    let mut columns = vec![("gene_symbols", kept(symbols)), ("feature_types", kept(kinds))];
    columns.truncate(n_columns.saturating_sub(1));
    Ok(Features {
        ids: kept(ids),
        columns,
        n_left_out: places.len() - n_kept as usize,
        places,
    })
}

/// Reads `barcodes.tsv`: a name per line, further columns ignored.
///
/// # Errors
/// [`Error::Io`], [`Error::Line`], [`Error::TooLarge`].
pub(super) fn read_barcodes(path: &Path, budget: u64) -> Result<Vec<String>, Error> {
    let mut barcodes = Vec::new();
    let mut bytes = 0;
    let mut lines = Lines::open(path)?;
    while let Some(line) = lines.next()? {
        let text = String::from_utf8_lossy(line);
        let name = text.split('\t').next().unwrap_or_default();
        if name.is_empty() {
            return Err(lines.wrong("no barcode", "a barcode per line"));
        }
        bytes += (name.len() + size_of::<String>()) as u64;
        afford(path, bytes, budget)?;
        barcodes.push(name.to_owned());
    }
    Ok(barcodes)
}

/// Reads a table of cells and puts its rows into the order of `barcodes`. The first column holds barcodes, the first line
/// names of columns (which R writes without one for the first). Empty fields, `NA` and `NaN` are missing; a column is
/// numbers or truth values where all others of its fields are, else text.
///
/// # Errors
/// [`Error::Io`], [`Error::Line`], [`Error::TooLarge`]; [`Error::Folder`] where no barcode of the table is one of the
/// matrix.
pub(super) fn read_cells(
    path: &Path,
    delimiter: u8,
    barcodes: &[String],
    budget: u64,
) -> Result<Vec<(String, FrameColumn)>, Error> {
    let wrong = |line: u64, found: String, expected: String| Error::Line {
        path: path.to_owned(),
        line,
        found,
        expected,
    };
    // One byte more than the budget, so that a table cut short there is told from one that ends there.
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(inflated(path)?.take(budget.saturating_add(1)));
    let mut rows: HashMap<String, (u64, csv::ByteRecord)> = HashMap::new();
    let mut header: Option<csv::ByteRecord> = None;
    let mut bytes = 0;
    let mut width = None;
    for record in reader.byte_records() {
        let record = record.map_err(|error| csv_error(path, error))?;
        let line = record.position().map_or(0, csv::Position::line);
        bytes += (record.as_slice().len() + (record.len() + 4) * size_of::<usize>()) as u64;
        // Held as read, and once more as columns.
        afford(path, bytes.saturating_mul(2), budget)?;
        if header.is_none() {
            header = Some(record);
            continue;
        }
        let expected = *width.get_or_insert(record.len());
        if record.len() != expected {
            let expected = format!("{expected}, as many as the first row has");
            return Err(wrong(line, format!("{} fields", record.len()), expected));
        }
        let barcode = text(&record[0]);
        if let Some((first, _)) = rows.get(&barcode) {
            let found = format!("barcode {barcode}, which line {first} has already");
            return Err(wrong(line, found, "every barcode once".to_owned()));
        }
        rows.insert(barcode, (line, record));
    }
    let (Some(header), Some(width)) = (header, width) else {
        return Err(wrong(
            1,
            "no rows".to_owned(),
            "names of columns, then a row per cell".to_owned(),
        ));
    };
    let names: Vec<String> = header.iter().map(text).collect();
    let names = match names.len() {
        n if n == width => &names[1..],
        n if n + 1 == width => &names[..],
        n => {
            return Err(wrong(
                1,
                format!("{n} names of columns"),
                format!("{width}, as many as the rows have"),
            ));
        }
    };
    let ordered: Vec<Option<&csv::ByteRecord>> = barcodes
        .iter()
        .map(|barcode| rows.get(barcode).map(|(_, record)| record))
        .collect();
    if !barcodes.is_empty() && ordered.iter().all(Option::is_none) {
        let in_table = rows
            .iter()
            .min_by_key(|(_, (line, _))| *line)
            .map_or("", |(barcode, _)| barcode);
        return Err(Error::Folder {
            path: path.to_owned(),
            reason: format!(
                "its first column holds none of the barcodes of the matrix: {in_table} here, {} there",
                barcodes[0]
            ),
        });
    }
    let mut columns: Vec<(String, FrameColumn)> = Vec::new();
    let mut seen = HashSet::new();
    for (at, name) in names.iter().enumerate() {
        if name.is_empty() || name == super::INDEX || !seen.insert(name) {
            let found = format!("{name:?} as name of column {}", at + 2);
            return Err(wrong(1, found, "a name that no other column has".to_owned()));
        }
        let values = ordered
            .iter()
            .map(|record| record.map(|record| text(&record[at + 1])));
        columns.push((name.clone(), column(values.collect())));
    }
    Ok(columns)
}

/// Numbers or truth values where all values that are not missing are, else text.
fn column(values: Vec<Option<String>>) -> FrameColumn {
    let missing = |value: &String| matches!(value.as_str(), "" | "NA" | "NaN" | "nan");
    let values: Vec<Option<String>> = values
        .into_iter()
        .map(|value| value.filter(|value| !missing(value)))
        .collect();
    let flag = |value: &String| match value.as_str() {
        "TRUE" | "True" | "true" => Some(true),
        "FALSE" | "False" | "false" => Some(false),
        _ => None,
    };
    let number = |value: &String| value.trim().parse::<f64>().ok();
    let present = || values.iter().flatten();
    if present().next().is_some() && present().all(|value| number(value).is_some()) {
        let numbers = values
            .iter()
            .map(|value| value.as_ref().and_then(number).unwrap_or(f64::NAN));
        FrameColumn::Number(numbers.collect())
    } else if present().next().is_some() && present().all(|value| flag(value).is_some()) {
        FrameColumn::Bool(values.iter().map(|value| value.as_ref().and_then(flag)).collect())
    } else {
        FrameColumn::Text(values)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)).into_owned()
}

fn csv_error(path: &Path, error: csv::Error) -> Error {
    let line = error.position().map_or(0, csv::Position::line);
    match error.into_kind() {
        csv::ErrorKind::Io(source) => Error::reading(path)(source),
        other => Error::Line {
            path: path.to_owned(),
            line,
            found: format!("{other:?}"),
            expected: "a table of text".to_owned(),
        },
    }
}

pub(super) fn afford(path: &Path, needed: u64, budget: u64) -> Result<(), Error> {
    if needed <= budget {
        return Ok(());
    }
    Err(Error::TooLarge {
        path: path.to_owned(),
        object: "its content".to_owned(),
        needed,
        budget,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_numbers_or_truth_values_where_all_of_it_is() {
        let of = |values: &[&str]| column(values.iter().map(|v| Some((*v).to_owned())).collect());
        assert_eq!(
            of(&["1", "2.5", "-3e2"]),
            FrameColumn::Number(vec![1.0, 2.5, -300.0])
        );
        assert_eq!(
            of(&["TRUE", "NA", "False"]),
            FrameColumn::Bool(vec![Some(true), None, Some(false)])
        );
        let text = |values: &[Option<&str>]| {
            FrameColumn::Text(values.iter().map(|v| v.map(str::to_owned)).collect())
        };
        assert_eq!(of(&["1", "x", ""]), text(&[Some("1"), Some("x"), None]));
        assert_eq!(of(&["", "NA"]), text(&[None, None]));
        let FrameColumn::Number(values) = of(&["4", "NA"]) else {
            panic!("numbers with a gap are numbers")
        };
        assert!(values[0] == 4.0 && values[1].is_nan());
    }
}
