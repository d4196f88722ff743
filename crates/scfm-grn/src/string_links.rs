//! STRING: pairs of proteins with a score, and the names of the proteins.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use scfm_core::{GeneId, Ledger, Panel};

use crate::gene_sets::RelatedPairs;
use crate::lines::{self, Splitter, each_line};
use crate::shared_genes::{check_shared, examples};
use crate::{Crosswalk, Error, PairSet};

/// Scores are kept in thousandths, as STRING writes them.
const THOUSAND: f64 = 1000.0;

/// The scale on which a file gives its scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoreScale {
    /// From 0 to 1: no score exceeds 1.
    Unit,
    /// From 0 to 1000, as in STRING's own files.
    Thousand,
}

impl ScoreScale {
    /// The scale in words.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Unit => "scores from 0 to 1",
            Self::Thousand => "scores from 0 to 1000",
        }
    }
}

/// Undirected pairs of proteins or genes with a score of confidence.
#[derive(Debug, Clone)]
pub struct ScoredPairs {
    name: String,
    genes: Vec<GeneId>,
    /// The lower of both positions first, ascending, each pair once with its highest score in thousandths.
    pairs: Vec<(u32, u32, u16)>,
    n_lines: usize,
    n_below: usize,
    n_self: usize,
    scale: ScoreScale,
}

impl ScoredPairs {
    /// Reads a file, plain or gzip; its file name becomes the name of the reference. Pairs below `least`, in
    /// thousandths, are counted and not kept, since STRING lists many times more of them than anybody evaluates.
    ///
    /// # Errors
    /// See [`ScoredPairs::from_reader`].
    pub fn read(path: &Path, least: u16) -> Result<Self, Error> {
        let (name, file) = lines::open(path)?;
        Self::parse(path, &name, file, least)
    }

    /// Reads STRING's `protein.links` (`protein1 protein2 combined_score`, separated by spaces) or any table whose header
    /// names two proteins or genes and a score (`combined_score`, `score`), or three fields without a header. Whether
    /// scores run to 1 or to 1000 is told by the largest. `name` stands for the file in errors.
    ///
    /// # Errors
    /// [`Error::Columns`] for a first line that is neither header nor pair, [`Error::Fields`], [`Error::Gene`],
    /// [`Error::Score`], [`Error::Quote`]; [`Error::Empty`] where no pair is left, [`Error::Read`], [`Error::NotUtf8`],
    /// [`Error::TooLarge`].
    pub fn from_reader(name: &str, reader: impl Read, least: u16) -> Result<Self, Error> {
        Self::parse(Path::new(name), name, BufReader::new(reader), least)
    }

    fn parse(path: &Path, name: &str, input: impl BufRead, least: u16) -> Result<Self, Error> {
        let mut position: HashMap<String, u32> = HashMap::new();
        let mut genes: Vec<GeneId> = Vec::new();
        let mut kept: Vec<(u32, u32, f64)> = Vec::new();
        let (mut n_lines, mut n_below, mut n_self) = (0, 0, 0);
        let mut largest = 0.0f64;
        let mut reading: Option<(Splitter, Columns)> = None;
        each_line(path, input, |number, line| {
            let is_first = reading.is_none();
            let (splitter, columns) = reading.get_or_insert_with(|| (Splitter::of(line), Columns::FIRST));
            let fields = splitter.split(line).ok_or_else(|| Error::Quote {
                path: path.to_owned(),
                line: number,
            })?;
            if is_first {
                if let Some(named) = Columns::of_header(&fields) {
                    *columns = named;
                    return Ok(());
                }
                if fields.len() != 3 || fields[2].parse::<f64>().is_err() {
                    return Err(Error::Columns {
                        path: path.to_owned(),
                        line: number,
                        found: first_fields(&fields),
                        expected: "two proteins (protein1, protein2, …) and a score (combined_score, score)",
                    });
                }
            }
            let field = |column: usize| {
                fields.get(column).copied().ok_or_else(|| Error::Fields {
                    path: path.to_owned(),
                    line: number,
                    found: fields.len(),
                    expected: "two proteins and a score as in the first line",
                })
            };
            let a = lines::gene(path, number, "first", field(columns.a)?)?;
            let b = lines::gene(path, number, "second", field(columns.b)?)?;
            let text = field(columns.score)?;
            let score = text
                .parse::<f64>()
                .ok()
                .filter(|score| (0.0..=THOUSAND).contains(score))
                .ok_or_else(|| Error::Score {
                    path: path.to_owned(),
                    line: number,
                    found: text.chars().take(40).collect(),
                })?;
            n_lines += 1;
            largest = largest.max(score);
            // On the scale to 1000 a score of at most 1 is as good as none; on the other it may be anything.
            let thousandths = if score > 1.0 { score } else { score * THOUSAND };
            if a == b {
                n_self += 1;
            } else if thousandths < f64::from(least) {
                n_below += 1;
            } else {
                let mut intern = |gene: &str| {
                    *position.entry(gene.to_owned()).or_insert_with(|| {
                        genes.push(GeneId::from(gene));
                        genes.len() as u32 - 1
                    })
                };
                let (a, b) = (intern(a), intern(b));
                kept.push((a.min(b), a.max(b), score));
            }
            Ok(())
        })?;
        let scale = if largest > 1.0 {
            ScoreScale::Thousand
        } else {
            ScoreScale::Unit
        };
        let unit = if scale == ScoreScale::Unit { THOUSAND } else { 1.0 };
        let before = kept.len();
        let mut pairs: Vec<(u32, u32, u16)> = kept
            .into_iter()
            .map(|(a, b, score)| (a, b, (score * unit).round() as u16))
            .filter(|&(_, _, score)| score >= least)
            .collect();
        n_below += before - pairs.len();
        if pairs.is_empty() {
            return Err(Error::Empty {
                path: path.to_owned(),
                what: "pair of at least the score that is asked for",
            });
        }
        // Both directions of a pair stand in STRING's files.
        pairs.sort_unstable_by_key(|&(a, b, score)| (a, b, u16::MAX - score));
        pairs.dedup_by_key(|&mut (a, b, _)| (a, b));
        Ok(Self {
            name: name.to_owned(),
            genes,
            pairs,
            n_lines,
            n_below,
            n_self,
            scale,
        })
    }

    /// The name of the reference: its file name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The scale on which the file gives its scores.
    pub fn scale(&self) -> ScoreScale {
        self.scale
    }

    /// Number of lines with a pair.
    pub fn n_lines(&self) -> usize {
        self.n_lines
    }

    /// Lines below the least score.
    pub fn n_below(&self) -> usize {
        self.n_below
    }

    /// Number of distinct unordered pairs of two different genes.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is none; a file without pairs is an error, renaming may leave none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The pairs with their scores in thousandths.
    pub fn iter(&self) -> impl Iterator<Item = (&GeneId, &GeneId, u16)> + Clone {
        self.pairs
            .iter()
            .map(|&(a, b, score)| (&self.genes[a as usize], &self.genes[b as usize], score))
    }

    /// Pairs of genes of `panel` whose score is `least` thousandths or more; `crosswalk` renames the proteins first.
    ///
    /// # Errors
    /// [`Error::NoSharedGenes`] where not one gene is in the panel.
    pub fn pairs(
        &self,
        panel: &Panel,
        least: u16,
        crosswalk: Option<&Crosswalk>,
    ) -> Result<RelatedPairs, Error> {
        check_shared(&self.name, self.genes.iter(), panel, crosswalk)?;
        let renamed: Vec<Option<&GeneId>> = self
            .genes
            .iter()
            .map(|gene| crosswalk.map_or(Some(gene), |crosswalk| crosswalk.get(gene)))
            .collect();
        let positions: Vec<Option<usize>> = renamed
            .iter()
            .map(|gene| panel.position((*gene)?.as_str()))
            .collect();
        let mut pairs = PairSet::new(panel.len());
        let (mut n_below, mut n_outside) = (self.n_below as u64, 0);
        for &(a, b, score) in &self.pairs {
            if score < least {
                n_below += 1;
                continue;
            }
            match (positions[a as usize], positions[b as usize]) {
                (Some(a), Some(b)) => pairs.insert(a, b),
                _ => n_outside += 1,
            }
        }
        let subject = format!("{} pairs", self.name);
        let mut ledger = Ledger::new();
        ledger.lost(
            &subject,
            "of a protein with itself",
            self.n_self as u64,
            [] as [&str; 0],
        );
        ledger.lost(&subject, format!("score below {least}"), n_below, [] as [&str; 0]);
        ledger.lost(&subject, "a gene not in the panel", n_outside, [] as [&str; 0]);
        ledger.kept(&subject, pairs.len() as u64);
        let lost = self.genes.iter().zip(&renamed).filter(|(_, gene)| gene.is_none());
        ledger.lost(
            format!("{} genes", self.name),
            "gene not in the crosswalk",
            lost.clone().count() as u64,
            examples(lost.map(|(gene, _)| gene)),
        );
        Ok(RelatedPairs { pairs, ledger })
    }
}

/// The first fields of a line, cut to what a message can hold.
fn first_fields(fields: &[&str]) -> String {
    let shown = fields
        .iter()
        .take(6)
        .map(|field| field.chars().take(30).collect::<String>());
    shown.collect::<Vec<_>>().join(", ")
}

#[derive(Clone, Copy)]
struct Columns {
    a: usize,
    b: usize,
    score: usize,
}

impl Columns {
    const FIRST: Self = Self { a: 0, b: 1, score: 2 };

    fn of_header(fields: &[&str]) -> Option<Self> {
        let find = |names: &[&str]| {
            names
                .iter()
                .find_map(|name| fields.iter().position(|field| field.eq_ignore_ascii_case(name)))
        };
        Some(Self {
            a: find(&["protein1", "preferredname_a", "gene1", "node1", "source", "from"])?,
            b: find(&["protein2", "preferredname_b", "gene2", "node2", "target", "to"])?,
            score: find(&["combined_score", "score", "weight"])?,
        })
    }
}

/// Reads the names of STRING's proteins from `protein.info` or `protein.aliases`, plain or gzip. Of several aliases the
/// symbol of HGNC counts, else the one that UniProt gives the gene, else none.
///
/// # Errors
/// [`Error::Fields`] for a line of fewer than two fields, [`Error::Empty`] where no protein has a name;
/// [`Error::Read`], [`Error::NotUtf8`], [`Error::TooLarge`].
pub fn read_protein_names(path: &Path) -> Result<Crosswalk, Error> {
    let file = File::open(path).map_err(|source| lines::broken(path, source))?;
    protein_names(path, BufReader::new(file))
}

/// Sources of aliases that are symbols, the best first.
const SYMBOL_SOURCES: [&str; 5] = [
    "Ensembl_HGNC_symbol",
    "Ensembl_HGNC",
    "BioMart_HUGO",
    "Ensembl_UniProt_GN",
    "UniProt_GN_Name",
];

pub(crate) fn protein_names(path: &Path, input: impl BufRead) -> Result<Crosswalk, Error> {
    let mut best: HashMap<String, (usize, String)> = HashMap::new();
    each_line(path, input, |number, line| {
        let mut fields = line.split('\t');
        let (Some(protein), Some(name)) = (fields.next(), fields.next()) else {
            return Err(Error::Fields {
                path: path.to_owned(),
                line: number,
                found: 1,
                expected: "a protein, its name and more, separated by tabs",
            });
        };
        // `protein.info` has the size of the protein third, `protein.aliases` the sources of the alias.
        let third = fields.next().unwrap_or_default();
        let is_info = third.is_empty() || third.parse::<u32>().is_ok();
        let rank = if is_info {
            Some(0)
        } else {
            let named = |wanted: &str| third.split_whitespace().any(|source| source == wanted);
            SYMBOL_SOURCES.iter().position(|wanted| named(wanted))
        };
        if let Some(rank) = rank {
            let better = best.get(protein).is_none_or(|(known, _)| rank < *known);
            if better {
                best.insert(protein.to_owned(), (rank, name.to_owned()));
            }
        }
        Ok(())
    })?;
    if best.is_empty() {
        return Err(Error::Empty {
            path: path.to_owned(),
            what: "name of a protein",
        });
    }
    Ok(Crosswalk::new(
        best.into_iter().map(|(protein, (_, name))| (protein, name)),
    ))
}
