//! The genes of a screen: what they are called, and which of them the model knows.

use std::collections::{BTreeSet, HashMap};

use anyhow::Result;
use scfm_attention::TokenPanel;
use scfm_core::{GeneId, Ledger, Panel};
use scfm_io::{Frame, GeneMap, strip_version};

use super::{KnownGenes, ScreenFile};
use crate::context::Dataset;
use crate::failure::bad_input;

/// Columns of `var` in which files keep Ensembl ids, the most telling first.
const ENSEMBL_COLUMNS: &[&str] = &[
    "ensembl_id",
    "ensembl",
    "ensembl_ids",
    "ensemblid",
    "gene_ids",
    "gene_id",
    "feature_id",
    "gene_ids-0",
];
/// Columns of `var` in which files keep gene symbols.
const SYMBOL_COLUMNS: &[&str] = &[
    "gene_symbol",
    "gene_symbols",
    "symbol",
    "gene_name",
    "gene_names",
    "gene_short_name",
    "feature_name",
];
/// A model that knows a smaller share of a file's genes than this was made for other identifiers.
const LEAST_SHARED: f64 = 0.1;

/// The genes of a file, by symbol where it has symbols.
pub struct Genes {
    /// Which gene each column of the matrix belongs to.
    pub map: GeneMap,
    /// The Ensembl id of each gene, where it is known.
    pub ensembl: Vec<Option<String>>,
    /// The model's token of each gene.
    pub tokens: TokenPanel,
    /// What was taken for what, for people.
    pub source: String,
    pub ledger: Ledger,
}

impl Genes {
    /// The genes that the model knows.
    pub fn vocabulary(&self) -> Panel {
        let known = self
            .map
            .panel()
            .genes()
            .iter()
            .zip(self.tokens.tokens())
            .filter(|(_, token)| token.is_some());
        Panel::new(known.map(|(gene, _)| gene.clone())).expect("genes of a panel are distinct")
    }

    /// The model's tokens of the genes of a panel; a gene that the file or the model does not have has none.
    pub fn tokens_of(&self, panel: &Panel) -> Result<TokenPanel> {
        let token = |gene: &GeneId| self.tokens.tokens()[self.map.panel().position(gene.as_str())?];
        Ok(TokenPanel::new(
            panel.clone(),
            panel.genes().iter().map(token).collect(),
        )?)
    }
}

impl ScreenFile {
    /// Names the genes of the counts and finds the model's token of each.
    pub fn genes(&self, dataset: &Dataset, vocabulary: &KnownGenes) -> Result<Genes> {
        let var = self.h5ad.var_of(&self.counts)?;
        let (symbols, symbol_source) = self.symbols(&var, dataset, vocabulary)?;
        let (ids, id_source) = self.ensembl_ids(&var, dataset)?;
        let ids_of_columns: Vec<Option<String>> = match &ids {
            Some(ids) => ids
                .iter()
                .map(|id| Some(strip_version(id).to_owned()).filter(|id| !id.is_empty()))
                .collect(),
            None => symbols
                .iter()
                .map(|s| vocabulary.names().get(s).cloned())
                .collect(),
        };
        let (names, older) = under_one_name(&symbols, &ids_of_columns, vocabulary);
        let map = GeneMap::new(&names);
        let mut ensembl: Vec<Option<String>> = vec![None; map.panel().len()];
        for (gene, id) in map.columns().iter().zip(ids_of_columns) {
            let (Some(gene), Some(id)) = (*gene, id) else {
                continue;
            };
            let known = &mut ensembl[gene as usize];
            let is_better = |known: &String| {
                vocabulary.current_id(known).is_none() && vocabulary.current_id(&id).is_some()
            };
            if known.as_ref().is_none_or(is_better) {
                *known = Some(id);
            }
        }
        let mut ledger = map.ledger().clone();
        ledger.lost(
            "gene columns",
            "of these, by an older Ensembl id of the same gene",
            older.len() as u64,
            older,
        );
        let tokens = tokens_of(map.panel(), &ensembl, vocabulary, &mut ledger);
        self.check_shared(&tokens, &symbols, &ids, vocabulary)?;
        let tokens = TokenPanel::new(map.panel().clone(), tokens)?;
        let source = if vocabulary.is_by_symbol() {
            format!("genes named by {symbol_source}, and so matched to the model")
        } else {
            format!("genes named by {symbol_source}, matched to the model by {id_source}")
        };
        Ok(Genes {
            map,
            ensembl,
            tokens,
            source,
            ledger,
        })
    }

    fn symbols(
        &self,
        var: &Frame<'_>,
        dataset: &Dataset,
        vocabulary: &KnownGenes,
    ) -> Result<(Vec<String>, String)> {
        if let Some(column) = &dataset.gene_symbols {
            return Ok((self.var_column(var, column)?, format!("var column {column:?}")));
        }
        let index = self.h5ad.gene_ids(&self.counts, None)?;
        if !mostly_ensembl(&index) {
            return Ok((index, "the index of var".to_owned()));
        }
        if let Some(column) = first_present(var, SYMBOL_COLUMNS) {
            return Ok((self.var_column(var, column)?, format!("var column {column:?}")));
        }
        let by_id: HashMap<&str, &str> = vocabulary
            .names()
            .iter()
            .map(|(symbol, id)| (id.as_str(), symbol.as_str()))
            .collect();
        let symbol = |id: &String| {
            by_id
                .get(strip_version(id))
                .map_or_else(|| id.clone(), |s| (*s).to_owned())
        };
        Ok((
            index.iter().map(symbol).collect(),
            "the model's name dictionary".to_owned(),
        ))
    }

    fn ensembl_ids(&self, var: &Frame<'_>, dataset: &Dataset) -> Result<(Option<Vec<String>>, String)> {
        if let Some(column) = &dataset.gene_ids {
            return Ok((
                Some(self.var_column(var, column)?),
                format!("var column {column:?}"),
            ));
        }
        if let Some(column) = first_present(var, ENSEMBL_COLUMNS) {
            let ids = self.var_column(var, column)?;
            if mostly_ensembl(&ids) {
                return Ok((Some(ids), format!("var column {column:?}")));
            }
        }
        let index = self.h5ad.gene_ids(&self.counts, None)?;
        if mostly_ensembl(&index) {
            return Ok((Some(index), "the index of var".to_owned()));
        }
        Ok((None, "the model's name dictionary".to_owned()))
    }

    fn var_column(&self, var: &Frame<'_>, column: &str) -> Result<Vec<String>> {
        if !var.columns().iter().any(|c| c == column) {
            let columns = var.columns().join(", ");
            return Err(bad_input(format!(
                "{}: var has no column {column:?}; it has {columns}",
                self.path.display()
            )));
        }
        Ok(self.h5ad.gene_ids(&self.counts, Some(column))?)
    }

    /// A model of other identifiers knows next to none of a file's genes; every score would be missing.
    fn check_shared(
        &self,
        tokens: &[Option<u32>],
        symbols: &[String],
        ids: &Option<Vec<String>>,
        vocabulary: &KnownGenes,
    ) -> Result<()> {
        let known = tokens.iter().flatten().count();
        if known as f64 >= LEAST_SHARED * tokens.len() as f64 && known > 0 {
            return Ok(());
        }
        let compared = match ids {
            Some(ids) if !vocabulary.is_by_symbol() => ids,
            _ => symbols,
        };
        let of_file = compared.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        let of_model = vocabulary.examples().join(", ");
        let obs = self.h5ad.obs()?.index()?;
        let in_obs = obs
            .iter()
            .filter(|name| vocabulary.names().contains_key(*name) || vocabulary.token(name).is_some())
            .count();
        if in_obs as f64 >= LEAST_SHARED * obs.len() as f64 && in_obs > 0 {
            return Err(bad_input(format!(
                "{}: the model knows {known} of the {} names in var, but {in_obs} of the {} in obs: the file is \
                 transposed; write it with cells in rows",
                self.path.display(),
                tokens.len(),
                obs.len()
            )));
        }
        let file_is_ensembl = mostly_ensembl(compared);
        let model_is_ensembl = vocabulary.examples().first().is_some_and(|id| is_ensembl(id));
        let mix_up = match (file_is_ensembl, model_is_ensembl) {
            (true, false) => "Ensembl ids against a symbol vocabulary",
            (false, true) if vocabulary.names().is_empty() => {
                "symbols against an Ensembl vocabulary without gene_name_id_dict beside it"
            }
            (false, true) => "symbols that the name dictionary does not know",
            _ => "another species or another model's dictionary",
        };
        Err(bad_input(format!(
            "{}: the model knows {known} of {} genes; the file has {of_file}, the model {of_model}; \
             likely {mix_up}: name the right var column (gene_ids, gene_symbols) or dictionaries",
            self.path.display(),
            tokens.len()
        )))
    }
}

/// Every gene that a perturbation label may name: those of the file and those of the model.
pub fn nameable(genes: &Genes, vocabulary: &KnownGenes) -> Panel {
    let of_file = genes.map.panel().genes().iter().cloned();
    let all: BTreeSet<GeneId> = of_file
        .chain(vocabulary.names().keys().map(GeneId::from))
        .collect();
    Panel::new(all).expect("a set has no gene twice")
}

/// The name of each column, the same for all columns whose ids are one gene to the model, and the names that gave way:
/// the gene is called as the column is that has its current id, else as the first one is.
fn under_one_name<'a>(
    symbols: &'a [String],
    ids: &[Option<String>],
    vocabulary: &KnownGenes,
) -> (Vec<&'a str>, Vec<&'a str>) {
    let current: Vec<Option<&str>> = ids
        .iter()
        .map(|id| vocabulary.current_id(id.as_deref()?))
        .collect();
    let mut owners: HashMap<&str, usize> = HashMap::new();
    for (column, current) in current.iter().enumerate() {
        let Some(current) = current else { continue };
        let owner = owners.entry(current).or_insert(column);
        if ids[*owner].as_deref() != Some(current) && ids[column].as_deref() == Some(current) {
            *owner = column;
        }
    }
    let mut older = Vec::new();
    let names = current
        .iter()
        .zip(symbols)
        .map(|(current, symbol)| {
            let name = current.map_or(symbol, |current| &symbols[owners[current]]);
            if name != symbol {
                older.push(symbol.as_str());
            }
            name.as_str()
        })
        .collect();
    (names, older)
}

/// The token of each gene; of several genes with one token the first keeps it, since a cell cannot hold it twice.
fn tokens_of(
    panel: &Panel,
    ensembl: &[Option<String>],
    vocabulary: &KnownGenes,
    ledger: &mut Ledger,
) -> Vec<Option<u32>> {
    let mut taken = BTreeSet::new();
    let mut shared = Vec::new();
    let tokens: Vec<Option<u32>> = panel
        .genes()
        .iter()
        .zip(ensembl)
        .map(|(gene, id)| {
            let by_id = id
                .as_deref()
                .and_then(|id| vocabulary.token(vocabulary.current_id(id)?));
            let token = by_id.or_else(|| vocabulary.token(gene.as_str()))?;
            if !taken.insert(token) {
                shared.push(gene);
                return None;
            }
            Some(token)
        })
        .collect();
    let unknown = panel
        .genes()
        .iter()
        .zip(&tokens)
        .filter(|(_, token)| token.is_none())
        .map(|(gene, _)| gene);
    let n_unknown = tokens.iter().filter(|token| token.is_none()).count() - shared.len();
    ledger.lost(
        "genes",
        "not in the model's vocabulary",
        n_unknown as u64,
        unknown,
    );
    ledger.lost(
        "genes",
        "another gene has the same token",
        shared.len() as u64,
        shared,
    );
    tokens
}

fn first_present<'a>(var: &Frame<'_>, names: &[&'a str]) -> Option<&'a str> {
    names
        .iter()
        .copied()
        .find(|name| var.columns().iter().any(|column| column == name))
}

fn mostly_ensembl(ids: &[String]) -> bool {
    ids.iter().filter(|id| is_ensembl(id)).count() * 2 > ids.len()
}

/// `ENSG00000115415`, `ENSMUSG00000026104.14`.
fn is_ensembl(id: &str) -> bool {
    let digits = strip_version(id).trim_start_matches(|c: char| c.is_ascii_uppercase());
    id.starts_with("ENS") && digits.len() >= 8 && digits.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_one_gene_get_the_name_of_its_current_id() {
        let owned = |texts: &[&str]| texts.iter().map(|&t| t.to_owned()).collect::<Vec<_>>();
        let ids = ["OLD1", "NEW1", "OTHER", "OLD2", "UNKNOWN"];
        let symbols = owned(&["old name", "name", "other", "older name", "unknown"]);
        let genes = ["NEW1", "OTHER"].map(|gene| (gene.to_owned(), 1.0));
        let vocabulary = scfm_attention::geneformer::Vocabulary::of_genes(genes).unwrap();
        let current = [
            ("OLD1", "NEW1"),
            ("OLD2", "NEW1"),
            ("NEW1", "NEW1"),
            ("OTHER", "OTHER"),
        ];
        let current = current.map(|(id, current)| (id.to_owned(), current.to_owned()));
        let vocabulary = KnownGenes::ById(vocabulary.with_current_ids(current).unwrap());
        let (names, older) = under_one_name(&symbols, &ids.map(|id| Some(id.to_owned())), &vocabulary);
        assert_eq!(names, ["name", "name", "other", "name", "unknown"]);
        assert_eq!(older, ["old name", "older name"]);
    }

    #[test]
    fn ensembl_ids_are_told_from_symbols() {
        for id in ["ENSG00000115415", "ENSMUSG00000026104.14", "ENSG90000000001"] {
            assert!(is_ensembl(id), "{id}");
        }
        for symbol in ["STAT1", "ENSA", "HLA-A", "ENS00", ""] {
            assert!(!is_ensembl(symbol), "{symbol}");
        }
    }
}
