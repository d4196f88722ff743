use std::collections::{BTreeMap, HashMap};

use scfm_core::Panel;

use crate::vocabulary::{is_special, keys_by_token};
use crate::{Error, TokenPanel};

const PAD: &str = "<pad>";
const MASK: &str = "<mask>";
const CLS: &str = "<cls>";
const EOS: &str = "<eos>";

/// Which token stands for which gene, and each gene's median over the pretraining corpus.
///
/// Tokens are numbered 0, 1, 2, … without a gap. `<pad>` and `<mask>` are always there; Geneformer V2 frames each
/// cell by `<cls>` and `<eos>`, V1 has neither.
#[derive(Debug, Clone, PartialEq)]
pub struct Vocabulary {
    keys: Vec<String>,
    tokens: HashMap<String, u32>,
    /// By token; none at the special ones.
    medians: Vec<Option<f64>>,
    names: BTreeMap<String, String>,
    /// Ensembl ids of all releases to those of the tokens; without them an id is current if it has a token.
    current_ids: Option<BTreeMap<String, String>>,
    pad: u32,
    mask: u32,
    frame: Option<(u32, u32)>,
}

impl Vocabulary {
    /// A vocabulary from a token dictionary and a median dictionary, both by Ensembl id. The median dictionary
    /// may know more genes than have a token.
    ///
    /// # Errors
    /// [`Error::Vocabulary`] for tokens that are not 0..n, a missing special token, or a gene whose median is
    /// missing or not positive.
    pub fn new(
        tokens: impl IntoIterator<Item = (String, u32)>,
        medians: impl IntoIterator<Item = (String, f64)>,
    ) -> Result<Self, Error> {
        let tokens: HashMap<String, u32> = tokens.into_iter().collect();
        let keys = keys_by_token(&tokens)?;
        let special = |name| tokens.get(name).copied();
        let required = |name| special(name).ok_or_else(|| Error::Vocabulary(format!("no {name} entry")));
        let (pad, mask) = (required(PAD)?, required(MASK)?);
        let frame = match (special(CLS), special(EOS)) {
            (Some(cls), Some(eos)) => Some((cls, eos)),
            (None, None) => None,
            _ => {
                return Err(Error::Vocabulary(
                    "one of <cls> and <eos> without the other".to_owned(),
                ));
            }
        };

        let known: HashMap<String, f64> = medians.into_iter().collect();
        let medians = keys
            .iter()
            .map(|key| match known.get(key) {
                _ if is_special(key) => Ok(None),
                Some(&median) if median > 0.0 && median.is_finite() => Ok(Some(median)),
                Some(median) => Err(Error::Vocabulary(format!("the median of {key} is {median}"))),
                None => Err(Error::Vocabulary(format!("{key} has a token but no median"))),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            keys,
            tokens,
            medians,
            names: BTreeMap::new(),
            current_ids: None,
            pad,
            mask,
            frame,
        })
    }

    /// A vocabulary laid out as Geneformer V1's: `<pad>`, `<mask>`, then the genes in ascending order of id.
    ///
    /// # Errors
    /// As [`Vocabulary::new`].
    pub fn of_genes(genes: impl IntoIterator<Item = (String, f64)>) -> Result<Self, Error> {
        let medians: BTreeMap<String, f64> = genes.into_iter().collect();
        let keys = [PAD, MASK].into_iter().chain(medians.keys().map(String::as_str));
        let tokens: Vec<_> = keys.map(str::to_owned).zip(0..).collect();
        Self::new(tokens, medians)
    }

    /// The same vocabulary with a dictionary from gene symbols to Ensembl ids.
    #[must_use]
    pub fn with_names(mut self, names: impl IntoIterator<Item = (String, String)>) -> Self {
        self.names = names.into_iter().collect();
        self
    }

    /// The same vocabulary with a dictionary from Ensembl ids in capitals, old and current ones, to the ids that
    /// have tokens; entries that lead to no token are dropped.
    ///
    /// # Errors
    /// [`Error::Vocabulary`] where every entry leads to no token.
    pub fn with_current_ids(
        mut self,
        current_ids: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Error> {
        let mut n = 0;
        let current_ids: BTreeMap<_, _> = current_ids
            .into_iter()
            .inspect(|_| n += 1)
            .filter(|(_, current)| self.token(current).is_some())
            .collect();
        if current_ids.is_empty() {
            return Err(Error::Vocabulary(format!(
                "none of the {n} entries of ensembl_mapping_dict leads to a gene with a token; \
                 it belongs to another model"
            )));
        }
        self.current_ids = Some(current_ids);
        Ok(self)
    }

    /// Number of tokens, the special ones counted.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Never: a vocabulary has at least `<pad>` and `<mask>`.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The padding token.
    pub fn pad(&self) -> u32 {
        self.pad
    }

    /// The token that hides a gene.
    pub fn mask(&self) -> u32 {
        self.mask
    }

    /// The tokens before and after every cell, where the model has them.
    pub fn frame(&self) -> Option<(u32, u32)> {
        self.frame
    }

    /// The token of an Ensembl id.
    pub fn token(&self, gene: &str) -> Option<u32> {
        self.tokens.get(gene).copied().filter(|_| !is_special(gene))
    }

    /// The Ensembl id of a token; `None` for a special token and beyond the vocabulary.
    pub fn gene(&self, token: u32) -> Option<&str> {
        self.keys
            .get(token as usize)
            .map(String::as_str)
            .filter(|key| !is_special(key))
    }

    /// The median of a token's gene; `None` for a special token and beyond the vocabulary.
    pub fn median(&self, token: u32) -> Option<f64> {
        self.medians.get(token as usize).copied().flatten()
    }

    /// Tokens, Ensembl ids and medians of all genes in order of token.
    pub fn genes(&self) -> impl Iterator<Item = (u32, &str, f64)> {
        let entries = self.keys.iter().zip(&self.medians).zip(0..);
        entries.filter_map(|((key, &median), token)| Some((token, key.as_str(), median?)))
    }

    /// All entries of the token dictionary in order of token.
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// Gene symbols and their Ensembl ids, as far as the model's folder gave them.
    pub fn names(&self) -> &BTreeMap<String, String> {
        &self.names
    }

    /// Ensembl ids of all releases and the ids that stand for them among the tokens, as far as the model's folder
    /// gave them.
    pub fn current_ids(&self) -> Option<&BTreeMap<String, String>> {
        self.current_ids.as_ref()
    }

    /// The id under which a gene has its token, as Geneformer's tokeniser finds it: the dictionary of current ids is
    /// asked for the id in capitals, and where the model has no such dictionary an id stands for itself. A version
    /// suffix is not taken off here.
    pub fn current_id(&self, id: &str) -> Option<&str> {
        let upper = id.to_uppercase();
        let current = match &self.current_ids {
            Some(current_ids) => current_ids.get(&upper)?,
            None if self.token(id).is_some() => id,
            None => &upper,
        };
        let token = self.token(current)?;
        self.gene(token)
    }

    /// The tokens of a panel spelled in Ensembl ids, old or current ones.
    ///
    /// # Errors
    /// [`Error::SharedToken`], [`Error::NoKnownGene`].
    pub fn panel(&self, panel: &Panel) -> Result<TokenPanel, Error> {
        self.panel_by(panel, |gene| Some(gene.to_owned()))
    }

    /// The tokens of a panel in another spelling, which `ensembl_of` translates.
    ///
    /// # Errors
    /// [`Error::SharedToken`] where two genes mean the same token, [`Error::NoKnownGene`] where none has one.
    pub fn panel_by(
        &self,
        panel: &Panel,
        ensembl_of: impl Fn(&str) -> Option<String>,
    ) -> Result<TokenPanel, Error> {
        let token_of = |gene: &str| self.token(self.current_id(&ensembl_of(gene)?)?);
        let tokens: Vec<_> = panel.genes().iter().map(|gene| token_of(gene.as_str())).collect();
        if tokens.iter().all(Option::is_none) {
            return Err(self.no_known_gene(panel));
        }
        TokenPanel::new(panel.clone(), tokens)
    }

    /// The error of a panel without any gene of the model.
    pub(super) fn no_known_gene(&self, panel: &Panel) -> Error {
        let known = self.genes().next().map(|(_, gene, _)| gene.to_owned());
        Error::NoKnownGene {
            n_genes: panel.len(),
            example: panel.genes().first().map(ToString::to_string).unwrap_or_default(),
            known: known.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries<T: Copy>(entries: &[(&str, T)]) -> Vec<(String, T)> {
        entries
            .iter()
            .map(|&(key, value)| (key.to_owned(), value))
            .collect()
    }

    #[test]
    fn genes_and_tokens_lead_to_each_other() {
        let vocabulary = Vocabulary::of_genes(entries(&[("ENSG2", 2.0), ("ENSG1", 1.0)])).unwrap();
        assert_eq!(
            (vocabulary.pad(), vocabulary.mask(), vocabulary.frame()),
            (0, 1, None)
        );
        assert_eq!(vocabulary.token("ENSG1"), Some(2));
        assert_eq!(vocabulary.gene(3), Some("ENSG2"));
        assert_eq!(vocabulary.median(3), Some(2.0));
        assert_eq!(
            (
                vocabulary.token("<pad>"),
                vocabulary.gene(0),
                vocabulary.median(1)
            ),
            (None, None, None)
        );
        assert_eq!((vocabulary.gene(9), vocabulary.len()), (None, 4));
    }

    #[test]
    fn dictionaries_that_cannot_be_ones_are_refused() {
        let good = [("<pad>", 0), ("<mask>", 1), ("A", 2)];
        type Case<'a> = (&'a [(&'a str, u32)], &'a [(&'a str, f64)], &'a str);
        let cases: [Case<'_>; 7] = [
            (
                &[("<pad>", 0), ("<mask>", 1), ("A", 3)],
                &[("A", 1.0)],
                "without a gap",
            ),
            (
                &[("<pad>", 0), ("<mask>", 1), ("A", 1)],
                &[("A", 1.0)],
                "share token 1",
            ),
            (&[("<pad>", 0), ("A", 1)], &[("A", 1.0)], "no <mask>"),
            (&[("<pad>", 0), ("<mask>", 1), ("<cls>", 2)], &[], "<eos>"),
            (&good, &[], "no median"),
            (&good, &[("A", 0.0)], "median of A is 0"),
            (&good, &[("A", f64::NAN)], "median of A is NaN"),
        ];
        for (tokens, medians, expected) in cases {
            let error = Vocabulary::new(entries(tokens), entries(medians))
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(Vocabulary::new(entries(&good), entries(&[("A", 1.0), ("not a token", 0.0)])).is_ok());
    }

    #[test]
    fn a_panel_of_symbols_or_versioned_ids_is_told_so() {
        let vocabulary = Vocabulary::of_genes(entries(&[("ENSG1", 1.0)])).unwrap();
        for genes in [["STAT1", "IRF1"], ["ENSG1.4", "ENSG2.1"]] {
            let error = vocabulary.panel(&Panel::new(genes).unwrap()).unwrap_err();
            assert!(matches!(error, Error::NoKnownGene { n_genes: 2, .. }), "{error}");
        }
        let panel = Panel::new(["STAT1", "X"]).unwrap();
        let by_name = |gene: &str| (gene == "STAT1").then(|| "ENSG1".to_owned());
        assert_eq!(
            vocabulary.panel_by(&panel, by_name).unwrap().tokens(),
            [Some(2), None]
        );
        let error = vocabulary
            .panel_by(&panel, |_| Some("ENSG1".to_owned()))
            .unwrap_err();
        assert!(matches!(error, Error::SharedToken { token: 2, .. }), "{error}");
    }
}
