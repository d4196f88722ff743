use std::path::PathBuf;

use scfm_core::Shown;

/// What can be wrong with a network's file or with what it is laid over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be opened or read, or its gzip stream is broken.
    #[error("cannot read reference {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds more text, after decompression, than any reference network does, or an endless line.
    #[error("{}, line {line}: {what} of more than {limit} bytes, which is no list of edges", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The line, from 1, at which reading stopped.
        line: u64,
        /// `line` or `text`.
        what: &'static str,
        /// The largest size that is read.
        limit: usize,
    },
    /// The file has nothing of what it should hold.
    #[error("{} holds no {what}", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// A line has bytes that are no UTF-8.
    #[error("{}, line {line}: not UTF-8 text", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
    },
    /// A line opens a quoted field and does not close it.
    #[error("{}, line {line}: quote without an end", path.display())]
    Quote {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
    },
    /// A line has too few or too many fields.
    #[error("{}, line {line}: {found} fields, expected {expected}", path.display())]
    Fields {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// How many fields the line has.
        found: usize,
        /// What the format asks for.
        expected: &'static str,
    },
    /// The first line of an edge list names neither the columns that are needed nor a pair.
    #[error(
        "{}, line {line}: columns {}; expected a source ({sources}), a target ({targets}) and a score ({scores}); \
         rename them, or leave source and target alone where pairs have no score",
        path.display(), Shown(found), sources = few(crate::edge_list::SOURCES), targets = few(crate::edge_list::TARGETS),
        scores = few(crate::list_reader::SCORES)
    )]
    Header {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The fields of that line.
        found: String,
    },
    /// A gene field is empty or holds control characters.
    #[error("{}, line {line}: {found:?} is no {role} gene", path.display())]
    Gene {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// `source` or `target`.
        role: &'static str,
        /// What was found.
        found: String,
    },
    /// A mode of regulation that is not understood.
    #[error("{}, line {line}: mode {found:?}, expected {expected}", path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What was found.
        found: String,
        /// What would have been understood.
        expected: &'static str,
    },
    /// A weight that is no finite number.
    #[error("{}, line {line}: weight {found:?} is no finite number", path.display())]
    Weight {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What was found.
        found: String,
    },
    /// A level of confidence that DoRothEA does not know.
    #[error("{}, line {line}: confidence {found:?}, expected one of A to E", path.display())]
    Level {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What was found.
        found: String,
    },
    /// A score of a pair of proteins that is on neither of STRING's scales.
    #[error("{}, line {line}: score {found:?}, expected a number from 0 to 1, or from 0 to 1000", path.display())]
    Score {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What was found.
        found: String,
    },
    /// The first line of a table does not name the columns that are needed.
    #[error("{}, line {line}: columns {}; expected {expected}", path.display(), Shown(found))]
    Columns {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The fields of that line.
        found: String,
        /// What would have been understood.
        expected: &'static str,
    },
    /// A word where one of a few is expected.
    #[error("{}, line {line}: {what} {found:?}, expected {expected}", path.display())]
    Word {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What the word stands for.
        what: &'static str,
        /// What was found.
        found: String,
        /// What would have been understood.
        expected: &'static str,
    },
    /// A network shares no gene with the panels it is laid over: most likely other identifiers are in use.
    #[error(
        "no gene of {network} ({}) is in the panel ({}){hint}",
        examples(reference),
        examples(panel)
    )]
    NoSharedGenes {
        /// Name of the network.
        network: String,
        /// A few genes of the reference, after the crosswalk.
        reference: Vec<String>,
        /// A few genes of the panel.
        panel: Vec<String>,
        /// The likely mix-up, or nothing.
        hint: &'static str,
    },
    /// A type of the shared vocabulary could not be built.
    #[error(transparent)]
    Core(#[from] scfm_core::Error),
    /// Scores that cannot be ranked.
    #[error(transparent)]
    Stats(#[from] scfm_stats::Error),
}

fn few(names: &[&str]) -> String {
    names.iter().take(4).copied().collect::<Vec<_>>().join(", ") + ", …"
}

fn examples(genes: &[String]) -> String {
    if genes.is_empty() {
        "none at all".to_owned()
    } else {
        format!("such as {}", Shown(&genes.join(", ")))
    }
}
