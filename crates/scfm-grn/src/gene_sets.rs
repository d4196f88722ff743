use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use scfm_core::{GeneId, Ledger, Panel};

use crate::lines::{self, each_line};
use crate::shared_genes::{check_shared, examples};
use crate::{Crosswalk, Error, PairSet};

/// A set of genes that are annotated together: a pathway, a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneSet {
    /// Its name.
    pub name: String,
    /// What stands beside the name: an accession, an address, or nothing.
    pub description: String,
    /// Its genes, each once, in the order of the file.
    pub genes: Vec<GeneId>,
}

/// A collection of gene sets: Reactome, KEGG, GO.
#[derive(Debug, Clone)]
pub struct GeneSets {
    name: String,
    sets: Vec<GeneSet>,
    n_repeated: usize,
}

/// Which sets count, by how many genes they have in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetSizes {
    /// Fewest genes.
    pub min: usize,
    /// Most genes; sets such as `Metabolism` pair everything with everything.
    pub max: Option<usize>,
}

impl Default for SetSizes {
    /// All sets that pair anything.
    fn default() -> Self {
        Self { min: 2, max: None }
    }
}

/// The pairs of a panel that a reference relates, and what was lost on the way.
#[derive(Debug, Clone)]
pub struct RelatedPairs {
    /// The pairs, by position in the panel.
    pub pairs: PairSet,
    /// Sets or pairs left out, by reason.
    pub ledger: Ledger,
}

impl GeneSets {
    /// Reads a file in GMT format, plain or gzip; its file name becomes the name of the collection.
    ///
    /// # Errors
    /// See [`GeneSets::from_reader`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let (name, file) = lines::open(path)?;
        Self::parse(path, &name, file)
    }

    /// Reads GMT: a line per set, its name, a description (which may be empty) and its genes, separated by tabs. The
    /// weights that Enrichr writes after a comma are cut off. `name` stands for the file in errors.
    ///
    /// # Errors
    /// [`Error::Fields`] for a line without a description or genes, [`Error::Gene`] for a field that is no gene,
    /// [`Error::Empty`] without sets; [`Error::Read`], [`Error::NotUtf8`], [`Error::TooLarge`].
    pub fn from_reader(name: &str, reader: impl Read) -> Result<Self, Error> {
        Self::parse(Path::new(name), name, BufReader::new(reader))
    }

    fn parse(path: &Path, name: &str, input: impl BufRead) -> Result<Self, Error> {
        let mut genes: HashMap<String, GeneId> = HashMap::new();
        let mut sets = Vec::new();
        let mut n_repeated = 0;
        each_line(path, input, |number, line| {
            let fields: Vec<&str> = line.split('\t').collect();
            if fields.len() < 3 || fields[0].trim().is_empty() {
                return Err(Error::Fields {
                    path: path.to_owned(),
                    line: number,
                    found: fields.len(),
                    expected: "the name of a set, a description and genes, separated by tabs (GMT)",
                });
            }
            let mut seen = HashSet::new();
            let mut members = Vec::with_capacity(fields.len() - 2);
            for field in fields[2..].iter().map(|field| without_weight(field.trim())) {
                // Some writers end every line with a tab, or leave a hole where a gene has no symbol.
                if field.is_empty() {
                    continue;
                }
                let gene = lines::gene(path, number, "member", field)?;
                let id = genes.entry(gene.to_owned()).or_insert_with(|| GeneId::from(gene));
                if seen.insert(id.clone()) {
                    members.push(id.clone());
                } else {
                    n_repeated += 1;
                }
            }
            sets.push(GeneSet {
                name: fields[0].trim().to_owned(),
                description: fields[1].trim().to_owned(),
                genes: members,
            });
            Ok(())
        })?;
        if sets.is_empty() {
            return Err(Error::Empty {
                path: path.to_owned(),
                what: "gene set",
            });
        }
        Ok(Self {
            name: name.to_owned(),
            sets,
            n_repeated,
        })
    }

    /// The name of the collection: its file name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The sets in the order of the file.
    pub fn sets(&self) -> &[GeneSet] {
        &self.sets
    }

    /// How often a set names a gene that it has named already.
    pub fn n_repeated(&self) -> usize {
        self.n_repeated
    }

    /// Number of distinct genes.
    pub fn n_genes(&self) -> usize {
        self.genes().collect::<HashSet<_>>().len()
    }

    /// The genes of all sets, as often as sets name them.
    pub fn genes(&self) -> impl Iterator<Item = &GeneId> + Clone {
        self.sets.iter().flat_map(|set| &set.genes)
    }

    /// Pairs of genes of `panel` that share a set of a size within `sizes`; `crosswalk` renames the genes first.
    ///
    /// # Errors
    /// [`Error::NoSharedGenes`] where not one gene is in the panel.
    pub fn pairs(
        &self,
        panel: &Panel,
        sizes: SetSizes,
        crosswalk: Option<&Crosswalk>,
    ) -> Result<RelatedPairs, Error> {
        check_shared(&self.name, self.genes(), panel, crosswalk)?;
        let mut pairs = PairSet::new(panel.len());
        let (mut small, mut large, mut outside) = (Vec::new(), Vec::new(), Vec::new());
        let mut n_kept = 0;
        for set in &self.sets {
            let n = set.genes.len();
            if n < sizes.min {
                small.push(&set.name);
                continue;
            }
            if sizes.max.is_some_and(|max| n > max) {
                large.push(&set.name);
                continue;
            }
            let renamed = set.genes.iter().filter_map(|gene| match crosswalk {
                Some(crosswalk) => crosswalk.get(gene),
                None => Some(gene),
            });
            let members: Vec<usize> = renamed.filter_map(|gene| panel.position(gene.as_str())).collect();
            if members.len() < 2 {
                outside.push(&set.name);
                continue;
            }
            n_kept += 1;
            pairs.insert_all_pairs(&members);
        }
        let subject = format!("{} sets", self.name);
        let mut ledger = Ledger::new();
        ledger.lost(
            &subject,
            format!("fewer than {} genes", sizes.min),
            small.len() as u64,
            small,
        );
        if let Some(max) = sizes.max {
            ledger.lost(
                &subject,
                format!("more than {max} genes"),
                large.len() as u64,
                large,
            );
        }
        ledger.lost(
            &subject,
            "fewer than two genes in the panel",
            outside.len() as u64,
            outside,
        );
        ledger.kept(&subject, n_kept);
        ledger.kept(format!("{} pairs in the panel", self.name), pairs.len() as u64);
        if let Some(crosswalk) = crosswalk {
            let distinct: HashSet<&GeneId> = self.genes().collect();
            let lost = distinct.iter().filter(|gene| crosswalk.get(gene).is_none());
            let n_lost = lost.clone().count() as u64;
            ledger.lost(
                format!("{} genes", self.name),
                "gene not in the crosswalk",
                n_lost,
                examples(lost.copied()),
            );
        }
        Ok(RelatedPairs { pairs, ledger })
    }
}

/// Enrichr's older files write `GENE,1.0`.
fn without_weight(field: &str) -> &str {
    match field.split_once(',') {
        Some((gene, weight)) if weight.parse::<f64>().is_ok() => gene,
        _ => field,
    }
}
