//! The genes that a model, or a list of edges, knows, and what it calls them.

use std::collections::BTreeMap;

use scfm_attention::{geneformer, scgpt};

static NO_NAMES: BTreeMap<String, String> = BTreeMap::new();

/// What edges can exist between.
pub enum KnownGenes {
    /// Genes by Ensembl id, with a dictionary of symbols, as Geneformer knows them.
    ById(geneformer::Vocabulary),
    /// Genes by symbol, spelled as they are, as scGPT knows them.
    BySymbol(scgpt::Vocabulary),
}

impl KnownGenes {
    /// Identifiers by symbol; none where symbols are the identifiers.
    pub fn names(&self) -> &BTreeMap<String, String> {
        match self {
            Self::ById(vocabulary) => vocabulary.names(),
            Self::BySymbol(_) => &NO_NAMES,
        }
    }

    /// The identifier under which the gene of an Ensembl id is known; none where genes are known by symbol.
    pub fn current_id(&self, id: &str) -> Option<&str> {
        match self {
            Self::ById(vocabulary) => vocabulary.current_id(id),
            Self::BySymbol(_) => None,
        }
    }

    /// The token of an identifier.
    pub fn token(&self, gene: &str) -> Option<u32> {
        match self {
            Self::ById(vocabulary) => vocabulary.token(gene),
            Self::BySymbol(vocabulary) => vocabulary.token(gene),
        }
    }

    /// The first few identifiers, for messages.
    pub fn examples(&self) -> Vec<&str> {
        match self {
            Self::ById(vocabulary) => vocabulary.genes().take(3).map(|(_, id, _)| id).collect(),
            Self::BySymbol(vocabulary) => vocabulary.genes().take(3).collect(),
        }
    }

    pub fn is_by_symbol(&self) -> bool {
        matches!(self, Self::BySymbol(_))
    }
}
