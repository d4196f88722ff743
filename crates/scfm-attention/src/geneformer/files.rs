use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use scfm_io::{read_median_dictionary, read_name_dictionary, read_token_dictionary};

use super::Vocabulary;
use crate::Error;

pub(super) const CONFIG: &str = "config.json";
/// The weights, the safest format first.
pub(super) const WEIGHTS: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];
pub(super) const TOKENS: &str = "token_dictionary";
pub(super) const MEDIANS: &str = "gene_median_dictionary";
pub(super) const NAMES: &str = "gene_name_id_dict";
pub(super) const CURRENT_IDS: &str = "ensembl_mapping_dict";

/// What the names of a release's dictionaries end in: today's V2, its name before June 2025, V1; plain names are
/// those of V1 before it was called so, and of this program.
const RELEASES: [&str; 4] = ["", "_gc104M", "_gc95M", "_gc30M"];

/// Where a published repository keeps dictionaries, seen from the repository and from the folder of one of its
/// models.
const PLACES: [&str; 6] = [
    "",
    "gene_dictionaries_30m",
    "geneformer",
    "geneformer/gene_dictionaries_30m",
    "../geneformer",
    "../geneformer/gene_dictionaries_30m",
];

/// The dictionaries of one release of Geneformer, under the names by which they are published:
/// `token_dictionary`, `gene_median_dictionary` and, where there are any, `gene_name_id_dict` (symbols) and
/// `ensembl_mapping_dict` (current Ensembl ids), each as `.json` or `.pkl`, plain or ending in `_gc104M`, `_gc95M`
/// or `_gc30M`. Dictionaries of several releases are never mixed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dictionaries {
    tokens: PathBuf,
    folder: PathBuf,
    release: &'static str,
}

impl Dictionaries {
    /// All releases in a folder and where a published repository keeps dictionaries beside it.
    ///
    /// # Errors
    /// [`Error::MissingFile`] where there is none.
    pub fn find(folder: &Path) -> Result<Vec<Self>, Error> {
        let found: Vec<Self> = PLACES
            .iter()
            .flat_map(|place| RELEASES.map(|release| (folder.join(place), release)))
            .filter_map(|(folder, release)| {
                let tokens = file(&folder, TOKENS, release)?;
                Some(Self {
                    tokens,
                    folder,
                    release,
                })
            })
            .collect();
        if found.is_empty() {
            let names = RELEASES.map(|release| names(TOKENS, release).join(", "));
            return Err(Error::MissingFile {
                folder: folder.to_owned(),
                what: "token dictionary",
                names: names.join(", "),
            });
        }
        Ok(found)
    }

    /// The vocabulary of the release in `folder` that has `n_tokens` tokens, else of the first, with its files.
    ///
    /// # Errors
    /// Those of [`Dictionaries::find`] and [`Dictionaries::read`].
    pub fn load(folder: &Path, n_tokens: usize) -> Result<(Vocabulary, Self), Error> {
        let mut found = Self::find(folder)?;
        let mut fitting = 0;
        for (index, dictionaries) in found.iter().enumerate() {
            if read_token_dictionary(&dictionaries.tokens)?.len() == n_tokens {
                fitting = index;
                break;
            }
        }
        let dictionaries = found.swap_remove(fitting);
        Ok((dictionaries.read()?, dictionaries))
    }

    /// Reads them.
    ///
    /// # Errors
    /// [`Error::MissingFile`] without medians, [`Error::Dictionary`] for a file that cannot be read,
    /// [`Error::Vocabulary`] for dictionaries that do not fit each other.
    pub fn read(&self) -> Result<Vocabulary, Error> {
        let medians = self.file(MEDIANS).ok_or_else(|| Error::MissingFile {
            folder: self.folder.clone(),
            what: "gene median dictionary",
            names: names(MEDIANS, self.release).join(", "),
        })?;
        let mut vocabulary = Vocabulary::new(
            read_token_dictionary(&self.tokens)?,
            read_median_dictionary(&medians)?,
        )
        .map_err(|error| error.in_file(&self.tokens))?;
        if let Some(path) = self.file(NAMES) {
            vocabulary = vocabulary.with_names(read_name_dictionary(&path)?);
        }
        if let Some(path) = self.file(CURRENT_IDS) {
            vocabulary = vocabulary.with_current_ids(read_name_dictionary(&path)?)?;
        }
        Ok(vocabulary)
    }

    /// The files that are there, by the stem of their names.
    pub fn files(&self) -> BTreeMap<&'static str, PathBuf> {
        [TOKENS, MEDIANS, NAMES, CURRENT_IDS]
            .into_iter()
            .filter_map(|stem| Some((stem, self.file(stem)?)))
            .collect()
    }

    fn file(&self, stem: &str) -> Option<PathBuf> {
        file(&self.folder, stem, self.release)
    }
}

fn file(folder: &Path, stem: &str, release: &str) -> Option<PathBuf> {
    let mut paths = names(stem, release).into_iter().map(|name| folder.join(name));
    paths.find(|path| path.is_file())
}

fn names(stem: &str, release: &str) -> [String; 2] {
    ["json", "pkl"].map(|extension| format!("{stem}{release}.{extension}"))
}
