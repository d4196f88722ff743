//! Lists of transcription factors, and what kind of factor each is.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::str::FromStr;

use scfm_core::GeneId;

use crate::Error;
use crate::lines::{self, Splitter, each_line};

/// Reads a list of transcription factors, plain or gzip.
///
/// Either a symbol a line, or the table of Lambert et al. 2018 (`DatabaseExtract_v_1.01.csv` or `.txt`), of which the rows
/// count that say `Yes` under `Is TF?`. Each factor is named once, in the order of the file.
///
/// # Errors
/// [`Error::Gene`] for a line that is no gene, [`Error::Fields`] for a row that is too short, [`Error::Empty`] without
/// factors; [`Error::Quote`], [`Error::Read`], [`Error::NotUtf8`], [`Error::TooLarge`].
pub fn read_tf_list(path: &Path) -> Result<Vec<GeneId>, Error> {
    let file = File::open(path).map_err(|source| lines::broken(path, source))?;
    tf_list(path, BufReader::new(file))
}

/// The columns of the table of Lambert et al.
const SYMBOL: &str = "HGNC symbol";
const IS_TF: &str = "Is TF?";

pub(crate) fn tf_list(path: &Path, input: impl BufRead) -> Result<Vec<GeneId>, Error> {
    let mut seen = HashSet::new();
    let mut tfs = Vec::new();
    let mut table: Option<Option<(Splitter, usize, usize)>> = None;
    each_line(path, input, |number, line| {
        let quote = || Error::Quote {
            path: path.to_owned(),
            line: number,
        };
        if table.is_none() {
            let mut splitter = Splitter::of(if line.contains('\t') { "\t" } else { "," });
            let fields = splitter.split(line).ok_or_else(quote)?;
            let find = |name: &str| fields.iter().position(|field| field.eq_ignore_ascii_case(name));
            let columns = find(SYMBOL).zip(find(IS_TF));
            let is_table = columns.is_some();
            table = Some(columns.map(|(symbol, is_tf)| (splitter, symbol, is_tf)));
            if is_table {
                return Ok(());
            }
        }
        let gene = match table.as_mut().expect("looked at with the first line") {
            None => line.trim().to_owned(),
            Some((splitter, symbol, is_tf)) => {
                let fields = splitter.split(line).ok_or_else(quote)?;
                let (Some(gene), Some(answer)) = (fields.get(*symbol), fields.get(*is_tf)) else {
                    return Err(Error::Fields {
                        path: path.to_owned(),
                        line: number,
                        found: fields.len(),
                        expected: "the columns of the header",
                    });
                };
                if !answer.eq_ignore_ascii_case("yes") {
                    return Ok(());
                }
                (*gene).to_owned()
            }
        };
        let gene = lines::gene(path, number, "listed", &gene)?;
        if gene.contains(char::is_whitespace) || gene.contains(',') {
            return Err(Error::Gene {
                path: path.to_owned(),
                line: number,
                role: "listed",
                found: gene.chars().take(40).collect(),
            });
        }
        if seen.insert(gene.to_owned()) {
            tfs.push(GeneId::from(gene));
        }
        Ok(())
    })?;
    if tfs.is_empty() {
        return Err(Error::Empty {
            path: path.to_owned(),
            what: "transcription factor",
        });
    }
    Ok(tfs)
}

/// What kind of transcription factor a gene is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TfClass {
    /// Sets up and keeps a cell's identity, at the top of a cascade of other factors.
    MasterRegulator,
    /// Waits for a signal: latent until phosphorylated, released or induced.
    SignalDependent,
    /// Made in a lineage and specific to it, below its master regulators.
    LineageSpecific,
    /// In nearly every cell: general growth, metabolism, chromatin.
    Housekeeping,
}

impl TfClass {
    /// All classes in the order of the definitions.
    pub const ALL: [Self; 4] = [
        Self::MasterRegulator,
        Self::SignalDependent,
        Self::LineageSpecific,
        Self::Housekeeping,
    ];

    /// The name in files and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MasterRegulator => "master-regulator",
            Self::SignalDependent => "signal-dependent",
            Self::LineageSpecific => "lineage-specific",
            Self::Housekeeping => "housekeeping",
        }
    }
}

impl fmt::Display for TfClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for TfClass {
    type Err = ();

    /// The class of that name, with spaces, underscores or hyphens.
    fn from_str(text: &str) -> Result<Self, ()> {
        let plain = text.trim().to_lowercase().replace([' ', '_'], "-");
        Self::ALL
            .into_iter()
            .find(|class| class.as_str() == plain)
            .ok_or(())
    }
}

/// Transcription factors with their class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TfClasses {
    name: String,
    classes: BTreeMap<GeneId, TfClass>,
}

/// Well-known human factors by symbol; what a file of one's own replaces.
const EMBEDDED: &str = include_str!("tf_classes.txt");

impl TfClasses {
    /// The embedded table of well-known human factors, by symbol.
    ///
    /// # Panics
    /// Never: a test reads the table.
    pub fn embedded() -> Self {
        Self::from_reader("embedded table", EMBEDDED.as_bytes()).expect("the embedded table is sound")
    }

    /// Reads a table of factors and classes, plain or gzip.
    ///
    /// # Errors
    /// See [`TfClasses::from_reader`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let (name, file) = lines::open(path)?;
        Self::parse(path, &name, file)
    }

    /// Reads a factor and its class a line, separated by tab, comma or semicolon; a header `tf, class` is passed over.
    ///
    /// # Errors
    /// [`Error::Fields`] unless a line has two fields, [`Error::Word`] for another class or a factor that comes again with
    /// another one, [`Error::Gene`], [`Error::Empty`]; [`Error::Quote`], [`Error::Read`], [`Error::NotUtf8`],
    /// [`Error::TooLarge`].
    pub fn from_reader(name: &str, reader: impl Read) -> Result<Self, Error> {
        Self::parse(Path::new(name), name, BufReader::new(reader))
    }

    fn parse(path: &Path, name: &str, input: impl BufRead) -> Result<Self, Error> {
        let mut classes: BTreeMap<GeneId, TfClass> = BTreeMap::new();
        let mut splitter: Option<Splitter> = None;
        each_line(path, input, |number, line| {
            let is_first = splitter.is_none();
            let splitter = splitter.get_or_insert_with(|| Splitter::of(line));
            let fields = splitter.split(line).ok_or_else(|| Error::Quote {
                path: path.to_owned(),
                line: number,
            })?;
            let &[tf, class] = &fields[..] else {
                return Err(Error::Fields {
                    path: path.to_owned(),
                    line: number,
                    found: fields.len(),
                    expected: "2 (a transcription factor and its class)",
                });
            };
            if is_first && class.eq_ignore_ascii_case("class") {
                return Ok(());
            }
            let tf = GeneId::from(lines::gene(path, number, "listed", tf)?);
            let word = |what, found: &str, expected| Error::Word {
                path: path.to_owned(),
                line: number,
                what,
                found: found.chars().take(40).collect(),
                expected,
            };
            let class = class.parse().map_err(|()| {
                let known = "master-regulator, signal-dependent, lineage-specific or housekeeping";
                word("class", class, known)
            })?;
            if classes
                .insert(tf.clone(), class)
                .is_some_and(|before| before != class)
            {
                return Err(word("class of", tf.as_str(), "one class for each factor"));
            }
            Ok(())
        })?;
        if classes.is_empty() {
            return Err(Error::Empty {
                path: path.to_owned(),
                what: "transcription factor",
            });
        }
        Ok(Self {
            name: name.to_owned(),
            classes,
        })
    }

    /// The name of the table: its file name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The class of a factor.
    pub fn get(&self, tf: &str) -> Option<TfClass> {
        self.classes.get(tf).copied()
    }

    /// All factors with their classes, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&GeneId, TfClass)> {
        self.classes.iter().map(|(tf, &class)| (tf, class))
    }
}
