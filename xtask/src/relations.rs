//! What the references of a run say of the genes of its panel.

use anyhow::Result;
use scfm_core::{GeneId, Ledger, Panel};
use scfm_grn::{
    CandidateUniverse, Crosswalk, Format, GeneNames, GeneSets, ReferenceNetwork, RelatedPairs, ScoredPairs,
    SetSizes, TfClasses, is_ensembl, read_protein_names,
};

use crate::record::RunRecord;
use crate::reference_files::{LEAST_STRING_SCORE, Role};
use crate::run_folder::RunFolder;

/// The references of a run beside TRRUST, read but not yet laid over the panel.
pub struct Relations {
    string: Option<ScoredPairs>,
    string_names: Option<Crosswalk>,
    reactome: Option<GeneSets>,
    kegg: Option<GeneSets>,
    go: Option<GeneSets>,
    /// DoRothEA or CollecTRI.
    pub dorothea: Option<ReferenceNetwork>,
    /// The user's classes of transcription factors, or the embedded ones.
    pub tf_classes: TfClasses,
    sizes: SetSizes,
    /// From Ensembl ids to the panel's symbols, where it has symbols.
    symbols: Crosswalk,
    /// What renaming lost of networks.
    pub ledger: Ledger,
}

/// Undirected relations that an analysis may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undirected {
    /// STRING from a score on, in thousandths.
    String(u16),
    Reactome,
    Kegg,
    Go,
}

impl Relations {
    /// Reads the references of a run; `genes` pairs the Ensembl id of each gene with its name in the panel.
    pub fn read<'a>(
        run: &RunFolder,
        record: &RunRecord,
        genes: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self> {
        let stored = |role: Role| {
            let there = record.inputs.contains_key(role.name());
            there.then(|| run.file(role.stored()))
        };
        let sets = |role| stored(role).map(|path| GeneSets::read(&path)).transpose();
        let symbols = genes
            .into_iter()
            .filter(|(_, name)| !is_ensembl(&GeneId::from(name)));
        let mut relations = Self {
            string: stored(Role::String)
                .map(|path| ScoredPairs::read(&path, LEAST_STRING_SCORE))
                .transpose()?,
            string_names: stored(Role::StringNames)
                .map(|path| read_protein_names(&path))
                .transpose()?,
            reactome: sets(Role::Reactome)?,
            kegg: sets(Role::Kegg)?,
            go: sets(Role::Go)?,
            dorothea: None,
            tf_classes: match stored(Role::TfClasses) {
                Some(path) => TfClasses::read(&path)?,
                None => TfClasses::embedded(),
            },
            sizes: SetSizes {
                max: record.context.references.max_set_size,
                ..SetSizes::default()
            },
            symbols: Crosswalk::new(symbols),
            ledger: Ledger::new(),
        };
        if let Some(path) = stored(Role::Dorothea) {
            let network = ReferenceNetwork::read(&path, Format::EdgeList)?;
            relations.dorothea = Some(relations.by_symbol(network));
        }
        Ok(relations)
    }

    /// A network whose genes are named as the panel's are: Ensembl ids become symbols where the panel has symbols.
    pub fn by_symbol(&mut self, network: ReferenceNetwork) -> ReferenceNetwork {
        let ends = network
            .edges()
            .iter()
            .flat_map(|edge| [&edge.source, &edge.target]);
        match self.crosswalk(ends) {
            Some(_) => {
                let (renamed, ledger) = network.renamed(&self.symbols);
                self.ledger.extend(ledger);
                renamed
            }
            None => network,
        }
    }

    /// The pairs of the panel that a relation has, or why it has none.
    pub fn pairs(&self, relation: Undirected, panel: &Panel) -> Result<Result<RelatedPairs, String>> {
        let sets = |role: Role, sets: &Option<GeneSets>| match sets {
            Some(sets) => Ok(sets.pairs(panel, self.sizes, self.crosswalk(sets.genes()))),
            None => Err(absent(role)),
        };
        let found = match relation {
            Undirected::String(least) => match &self.string {
                Some(string) => {
                    let genes = string.iter().flat_map(|(a, b, _)| [a, b]);
                    // Links by symbol may lie beside the names of proteins that other links need.
                    let names = self.string_names.as_ref();
                    let fits =
                        |names: &&Crosswalk| genes.clone().take(1000).any(|gene| names.get(gene).is_some());
                    let names = names.filter(fits).or_else(|| self.crosswalk(genes.clone()));
                    Ok(string.pairs(panel, least, names))
                }
                None => Err(absent(Role::String)),
            },
            Undirected::Reactome => sets(Role::Reactome, &self.reactome),
            Undirected::Kegg => sets(Role::Kegg, &self.kegg),
            Undirected::Go => sets(Role::Go, &self.go),
        };
        Ok(match found {
            Ok(Err(error @ scfm_grn::Error::NoSharedGenes { .. })) => Err(error.to_string()),
            Ok(pairs) => Ok(pairs?),
            Err(reason) => Err(reason),
        })
    }

    /// The crosswalk, where most of the genes have Ensembl ids and the panel has symbols.
    fn crosswalk<'a>(&self, genes: impl Iterator<Item = &'a GeneId>) -> Option<&Crosswalk> {
        let (mut n, mut n_ensembl) = (0, 0);
        for gene in genes.take(1000) {
            n += 1;
            n_ensembl += usize::from(is_ensembl(gene));
        }
        (2 * n_ensembl > n && !self.symbols.is_empty()).then_some(&self.symbols)
    }
}

fn absent(role: Role) -> String {
    format!("no {} reference", role.name())
}

/// A directed network laid over one panel, or why it cannot be.
pub fn universe(network: &ReferenceNetwork, panel: &Panel) -> Result<Result<CandidateUniverse, String>> {
    match CandidateUniverse::new(network, panel, panel, GeneNames::default()) {
        Ok(universe) => Ok(Ok(universe)),
        Err(error @ scfm_grn::Error::NoSharedGenes { .. }) => Ok(Err(error.to_string())),
        Err(error) => Err(error.into()),
    }
}
