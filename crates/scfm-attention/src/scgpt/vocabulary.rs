use std::collections::HashMap;
use std::path::Path;

use scfm_core::Panel;
use scfm_io::read_token_dictionary;

use crate::folder::required;
use crate::vocabulary::{is_special, keys_by_token};
use crate::{Error, TokenPanel};

/// The file of a model's folder.
pub(super) const VOCABULARY: &str = "vocab.json";
const PAD: &str = "<pad>";
const CLS: &str = "<cls>";
/// The special entries in the order in which scGPT appends those that a vocabulary lacks.
const SPECIAL: [&str; 3] = [PAD, CLS, "<eoc>"];

/// Which token stands for which gene: symbols as CELLxGENE spells them, upper and lower case told apart.
///
/// Tokens are numbered 0, 1, 2, … without a gap. `<pad>`, `<cls>` and `<eoc>` stand anywhere, or nowhere in the file and
/// then at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    keys: Vec<String>,
    tokens: HashMap<String, u32>,
    pad: u32,
    cls: u32,
}

impl Vocabulary {
    /// A vocabulary from the entries of a `vocab.json`.
    ///
    /// # Errors
    /// [`Error::Vocabulary`] for tokens that are not 0..n.
    pub fn new(tokens: impl IntoIterator<Item = (String, u32)>) -> Result<Self, Error> {
        let mut tokens: HashMap<String, u32> = tokens.into_iter().collect();
        // Checked before entries are appended, so that a gap is not filled by one of them.
        keys_by_token(&tokens)?;
        for special in SPECIAL {
            let next = tokens.len() as u32;
            tokens.entry(special.to_owned()).or_insert(next);
        }
        let keys = keys_by_token(&tokens)?;
        Ok(Self {
            pad: tokens[PAD],
            cls: tokens[CLS],
            keys,
            tokens,
        })
    }

    /// The vocabulary of a model's folder, `vocab.json`.
    ///
    /// # Errors
    /// [`Error::MissingFile`], [`Error::Dictionary`] for a file that cannot be read, [`Error::Vocabulary`] in it.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let path = required(folder, "vocabulary", &[VOCABULARY])?;
        Self::new(read_token_dictionary(&path)?).map_err(|error| error.in_file(&path))
    }

    /// A vocabulary of these genes in their order, the special entries behind them.
    ///
    /// # Errors
    /// [`Error::Vocabulary`] where a gene comes twice.
    pub fn of_genes(genes: impl IntoIterator<Item = String>) -> Result<Self, Error> {
        let mut tokens = HashMap::new();
        for (gene, token) in genes.into_iter().zip(0..) {
            if let Some(first) = tokens.insert(gene.clone(), token) {
                return Err(Error::Vocabulary(format!(
                    "{gene} has the tokens {first} and {token}"
                )));
            }
        }
        Self::new(tokens)
    }

    /// Number of tokens, the special ones counted.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Never: a vocabulary has at least the special entries.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The padding token.
    pub fn pad(&self) -> u32 {
        self.pad
    }

    /// The token before the genes of a cell, whose hidden state is the cell's.
    pub fn cls(&self) -> u32 {
        self.cls
    }

    /// The token of a gene.
    pub fn token(&self, gene: &str) -> Option<u32> {
        self.tokens.get(gene).copied().filter(|_| !is_special(gene))
    }

    /// The gene of a token; `None` for a special token and beyond the vocabulary.
    pub fn gene(&self, token: u32) -> Option<&str> {
        self.keys
            .get(token as usize)
            .map(String::as_str)
            .filter(|key| !is_special(key))
    }

    /// All entries in order of token.
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// The genes in order of token.
    pub fn genes(&self) -> impl Iterator<Item = &str> {
        self.keys
            .iter()
            .map(String::as_str)
            .filter(|key| !is_special(key))
    }

    /// The tokens of a panel of symbols.
    ///
    /// # Errors
    /// [`Error::NoKnownGene`] where none has one.
    pub fn panel(&self, panel: &Panel) -> Result<TokenPanel, Error> {
        let tokens: Vec<_> = panel
            .genes()
            .iter()
            .map(|gene| self.token(gene.as_str()))
            .collect();
        if tokens.iter().all(Option::is_none) {
            return Err(Error::NoKnownGene {
                n_genes: panel.len(),
                example: panel.genes().first().map(ToString::to_string).unwrap_or_default(),
                known: self.genes().next().unwrap_or_default().to_owned(),
            });
        }
        TokenPanel::new(panel.clone(), tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(entries: &[(&str, u32)]) -> Vec<(String, u32)> {
        entries
            .iter()
            .map(|&(key, token)| (key.to_owned(), token))
            .collect()
    }

    #[test]
    fn special_entries_stand_where_the_file_has_them_or_at_the_end() {
        let vocabulary = Vocabulary::new(entries(&[("B", 1), ("A", 0)])).unwrap();
        assert_eq!(vocabulary.keys(), ["A", "B", "<pad>", "<cls>", "<eoc>"]);
        let vocabulary = Vocabulary::new(entries(&[("<cls>", 0), ("A", 1)])).unwrap();
        assert_eq!(vocabulary.keys(), ["<cls>", "A", "<pad>", "<eoc>"]);
        assert_eq!((vocabulary.pad(), vocabulary.cls()), (2, 0));
        assert_eq!(
            (
                vocabulary.token("A"),
                vocabulary.token("<pad>"),
                vocabulary.gene(2)
            ),
            (Some(1), None, None)
        );
    }

    #[test]
    fn vocabularies_with_a_gap_or_a_shared_token_are_refused() {
        for (tokens, expected) in [
            (&[("A", 0), ("B", 4)][..], "without a gap"),
            (&[("A", 0), ("B", 0)], "share token 0"),
        ] {
            let error = Vocabulary::new(entries(tokens)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let error = Vocabulary::of_genes(["A", "A"].map(str::to_owned)).unwrap_err();
        assert!(error.to_string().contains("A has the tokens 0 and 1"), "{error}");
    }

    #[test]
    fn symbols_are_matched_as_they_are_spelled() {
        let vocabulary = Vocabulary::of_genes(["STAT1".to_owned()]).unwrap();
        let panel = Panel::new(["STAT1", "stat1"]).unwrap();
        assert_eq!(vocabulary.panel(&panel).unwrap().tokens(), [Some(0), None]);
        let error = vocabulary
            .panel(&Panel::new(["ENSG00000115415"]).unwrap())
            .unwrap_err();
        assert!(matches!(error, Error::NoKnownGene { n_genes: 1, .. }), "{error}");
    }
}
