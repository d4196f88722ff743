use std::io;
use std::path::{Path, PathBuf};

use scfm_core::Shown;

/// What can be wrong with a file that is read or written here. Every message is one line that names the file and
/// the place in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `read`, `write`, `list`, `remove`.
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The file does not begin as an HDF5 file does.
    #[error("{}: not an HDF5 file; expected an .h5ad written by anndata", path.display())]
    NotHdf5 {
        /// The file.
        path: PathBuf,
    },
    /// The file is shorter than it says of itself.
    #[error("{}: the file is cut off: {found} of {expected} bytes; copy or download it again", path.display())]
    CutOff {
        /// The file.
        path: PathBuf,
        /// Bytes that its superblock promises.
        expected: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// The HDF5 library could not read or write an object.
    #[error("{}: {}: {}", path.display(), Shown(object), Shown(&source.to_string()))]
    Hdf5 {
        /// The file.
        path: PathBuf,
        /// Path inside the file.
        object: String,
        /// The library's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A folder whose files are not there or do not fit each other.
    #[error("{}: {}", path.display(), Shown(reason))]
    Folder {
        /// The folder, or the file in it.
        path: PathBuf,
        /// What was found and what was expected.
        reason: String,
    },
    /// A line of a text file that is not what it should be.
    #[error("{}: line {line}: found {}, expected {}", path.display(), Shown(found), Shown(expected))]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What stands there.
        found: String,
        /// What should.
        expected: String,
    },
    /// An object that should be there is not.
    #[error("{}: there is no {}; the file has {}", path.display(), Shown(object), Shown(&listed(available)))]
    Missing {
        /// The file.
        path: PathBuf,
        /// What was asked for: `obs/perturbation`, `layers/counts`.
        object: String,
        /// What there is instead.
        available: Vec<String>,
    },
    /// An object is stored in a way that is not understood.
    #[error("{}: {} is stored as {}; expected {expected}", path.display(), Shown(object), Shown(found))]
    Encoding {
        /// The file.
        path: PathBuf,
        /// Path inside the file.
        object: String,
        /// How it is stored.
        found: String,
        /// What is understood there.
        expected: &'static str,
    },
    /// Two lengths in the file, or in the file and the request, disagree.
    #[error("{}: {} has length {found}, expected {expected}", path.display(), Shown(object))]
    Length {
        /// The file.
        path: PathBuf,
        /// Path inside the file.
        object: String,
        /// The length it has.
        found: u64,
        /// The length that the rest of the file asks for.
        expected: u64,
    },
    /// The row or column pointer of a sparse matrix does not rise from 0 to the number of stored values.
    #[error("{}: {}: entry {at} is {found}, expected {expected}", path.display(), Shown(object))]
    Indptr {
        /// The file.
        path: PathBuf,
        /// Path inside the file.
        object: String,
        /// Position in the pointer.
        at: u64,
        /// The value there.
        found: i64,
        /// What would have been right.
        expected: String,
    },
    /// A row, column or category number outside its range.
    #[error("{}: {}: entry {at} is {found}, expected a number in 0..{bound}", path.display(), Shown(object))]
    OutOfRange {
        /// The file.
        path: PathBuf,
        /// Path inside the file.
        object: String,
        /// Position of the entry.
        at: u64,
        /// The number there.
        found: i64,
        /// One more than the largest number allowed.
        bound: u64,
    },
    /// A value in a table or a matrix that is not what stands there.
    #[error("{}: {object}, {place}: found {found:?}, expected {expected}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// Path inside the file.
        object: String,
        /// Where in the object: `row 7`.
        place: Box<str>,
        /// What stands there.
        found: Box<str>,
        /// What should.
        expected: &'static str,
    },
    /// Reading would take more memory than allowed; checked before it is taken.
    #[error(
        "{}: {} asks for {needed} bytes, more than the memory budget of {budget}; \
         raise the budget or read fewer cells at a time",
        path.display(), Shown(object)
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Path inside the file.
        object: String,
        /// Bytes asked for.
        needed: u64,
        /// Bytes allowed.
        budget: u64,
    },
    /// A value that no count can have: negative, fractional, not a number, or above 16,777,216 (2²⁴), the largest
    /// count that single precision holds exactly.
    #[error(
        "{}: {}: cell {} (row {row}), gene {}: {} is not a count",
        path.display(), Shown(matrix), Shown(cell), Shown(gene), shown(*value)
    )]
    NotACount {
        /// The file.
        path: PathBuf,
        /// The matrix: `X`, `raw/X`, `layers/counts`.
        matrix: String,
        /// Name of the cell in `obs`.
        cell: String,
        /// Row of the cell in the file.
        row: usize,
        /// Name of the gene in `var`.
        gene: String,
        /// What was found.
        value: f64,
    },
    /// No matrix of the file holds raw counts.
    #[error(
        "{}: no raw counts found: {}; name the layer that holds counts, if there is one",
        path.display(), Shown(&seen.join("; "))
    )]
    NoCounts {
        /// The file.
        path: PathBuf,
        /// What was seen in each matrix.
        seen: Vec<String>,
    },
    /// An archive of torch that is broken, or a tensor in it.
    #[error("{}: {}: {}", path.display(), Shown(place), Shown(reason))]
    Archive {
        /// The file.
        path: PathBuf,
        /// Where in the file: `archive`, a member, a tensor.
        place: String,
        /// What was found and what was expected.
        reason: String,
    },
    /// A pickle that is broken, or that does more than hold a dictionary of plain values or of tensors.
    #[error("{}: {opcode} at byte {offset}: {}", path.display(), Shown(reason))]
    Pickle {
        /// The file.
        path: PathBuf,
        /// The pickle instruction.
        opcode: &'static str,
        /// Where it stands.
        offset: usize,
        /// What is wrong.
        reason: String,
    },
    /// A dictionary whose entries are not what they should be.
    #[error("{}: {}", path.display(), Shown(reason))]
    Dictionary {
        /// The file.
        path: PathBuf,
        /// Which entry, what it holds, what was expected.
        reason: String,
    },
    /// The JSON library could not read the file.
    #[error("{}: not a JSON object: {}", path.display(), Shown(&source.to_string()))]
    Json {
        /// The file.
        path: PathBuf,
        /// The library's reason, with line and column.
        source: serde_json::Error,
    },
    /// The Parquet library could not read the file.
    #[error("{}: not a readable Parquet file: {}", path.display(), Shown(&source.to_string()))]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The library's reason.
        source: parquet::errors::ParquetError,
    },
    /// A Parquet file that does not have the columns or the row order it should.
    #[error("{}: {}", path.display(), Shown(reason))]
    Layout {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        reason: String,
    },
    /// Values read are refused by the type that holds them.
    #[error("{}: {source}", path.display())]
    Core {
        /// The file.
        path: PathBuf,
        /// The type's reason.
        source: scfm_core::Error,
    },
}

impl Error {
    pub(crate) fn reading(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |source| Self::Io {
            path: path.to_owned(),
            action: "read",
            source,
        }
    }

    pub(crate) fn core(path: &Path) -> impl Fn(scfm_core::Error) -> Self + '_ {
        |source| Self::Core {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn layout(path: &Path, reason: impl Into<String>) -> Self {
        Self::Layout {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}

/// A value as it is stored: single precision would otherwise show digits that nobody wrote.
pub(crate) fn shown(value: f64) -> String {
    let single = value as f32;
    if f64::from(single).to_bits() == value.to_bits() {
        single.to_string()
    } else {
        value.to_string()
    }
}

/// The first twenty names of a list, so that a message stays one line.
fn listed(names: &[String]) -> String {
    match names {
        [] => "nothing there".to_owned(),
        _ if names.len() > 20 => format!("{}, and {} more", names[..20].join(", "), names.len() - 20),
        _ => names.join(", "),
    }
}
