use std::io::{BufReader, Read};
use std::path::Path;

use ndarray::Array2;
use scfm_core::Panel;

use crate::Error;
use crate::lines;
use crate::list_reader::{self, Builder};

/// The scored pairs that a method gives, as it gives them: perhaps all of its panel, perhaps its best only.
///
/// ```
/// use scfm_grn::{Absent, EdgeList, ListGenes, Ranking};
///
/// let adjacencies = "TF,target,importance\nGATA1,KLF1,2.5\nGATA1,HBB,0.5\nTAL1,KLF1,1.5\n";
/// let list = EdgeList::from_reader("adj.csv", adjacencies.as_bytes())?;
/// let (sources, targets) = list.panels(&ListGenes::Observed);
/// let scores = list.scores(&sources, &targets, Ranking::Value, Absent::Missing);
/// assert_eq!(scores[[0, 0]], 2.5);
/// assert!(scores[[1, 1]].is_nan(), "TAL1 → HBB is not in the list, so that nothing is known of it");
/// assert_eq!(
///     list.truncation().unwrap().to_string(),
///     "the list holds 3 of 4 possible pairs, none below 0.5; what it leaves out is unknown"
/// );
/// # Ok::<(), scfm_grn::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct EdgeList {
    pub(crate) name: String,
    pub(crate) genes: Panel,
    pub(crate) edges: Vec<ScoredEdge>,
    pub(crate) layout: String,
    pub(crate) n_unscored: usize,
    pub(crate) has_scores: bool,
}

/// A directed pair with its score; genes by their position in [`EdgeList::genes`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoredEdge {
    /// The regulator.
    pub source: usize,
    /// The regulated gene.
    pub target: usize,
    /// As the list gives it; never `NaN`.
    pub score: f64,
}

/// What makes an edge strong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ranking {
    /// A large score.
    Value,
    /// A score far from 0, as of a correlation.
    Magnitude,
}

/// What a pair of the universe is that the list does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// Unknown: it takes no part.
    Missing,
    /// Ranked below everything that is listed, all such pairs tied.
    Lowest,
}

/// Which genes make up the universe of a list.
#[derive(Debug, Clone)]
pub enum ListGenes {
    /// As sources the sources of the list, as targets its targets.
    Observed,
    /// Every gene of the list on both sides.
    Panel,
    /// These genes on both sides.
    Given(Panel),
}

/// That a list does not hold every pair of its genes, so that what it leaves out is unknown and not weak.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Truncation {
    /// Pairs of the list, without self pairs.
    pub n_listed: usize,
    /// Pairs of one of its sources and one of its targets, without self pairs.
    pub n_possible: usize,
    /// The weakest score that is listed.
    pub lowest: f64,
    /// Whether the list has a round number of rows, as when a tool is asked for its best so many.
    pub is_top: bool,
}

impl std::fmt::Display for Truncation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (listed, possible) = (thousands(self.n_listed), thousands(self.n_possible));
        if self.is_top {
            write!(
                f,
                "the list holds its top {listed} of {possible} possible pairs; pairs below are unknown"
            )
        } else {
            let lowest = self.lowest;
            write!(
                f,
                "the list holds {listed} of {possible} possible pairs, none below {lowest}; what it leaves out is unknown"
            )
        }
    }
}

/// 1,234,567.
pub fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

impl EdgeList {
    /// Reads a text file, plain or gzip (told by its first bytes); its file name becomes the list's name.
    ///
    /// # Errors
    /// See [`EdgeList::from_reader`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let (name, file) = lines::open(path)?;
        list_reader::read(path, &name, file)
    }

    /// Reads a list from `reader`, plain or gzip; `name` stands for the file in errors.
    ///
    /// Fields stand between tabs, commas, semicolons or spaces, whichever the first line has. With a header, source,
    /// target and score are found by the names that tools give them (`TF`, `Gene1`, `regulatoryGene`, …; `importance`,
    /// `EdgeWeight`, …), and of three columns the third is the score whatever its name; row names without a header of
    /// their own, as R writes them, are passed over. Without a header the first three fields are source, target and
    /// score. A score that is empty, `NA` or `NaN` is a pair that the method could not score. A list of two columns, as
    /// CausalBench writes it, says of its pairs no more than that they are edges: each counts as 1
    /// ([`EdgeList::has_scores`]).
    ///
    /// # Errors
    /// The first line that is not understood, with what was found there: [`Error::Header`], [`Error::Fields`],
    /// [`Error::Gene`], [`Error::Weight`], [`Error::Quote`], [`Error::NotUtf8`]; [`Error::Empty`] where no scored pair is
    /// left, [`Error::Read`] for a broken stream, [`Error::TooLarge`] beyond 1 GiB of text.
    pub fn from_reader(name: &str, reader: impl Read) -> Result<Self, Error> {
        list_reader::read(Path::new(name), name, BufReader::new(reader))
    }

    /// A list of rows from elsewhere: source, target, score; `None` where a pair has none. `layout` says in words what
    /// was taken for what.
    ///
    /// # Errors
    /// [`Error::Empty`] where no row has a score, [`Error::Weight`] for an infinite one.
    pub fn new<'a>(
        name: &str,
        layout: &str,
        rows: impl IntoIterator<Item = (&'a str, &'a str, Option<f64>)>,
    ) -> Result<Self, Error> {
        let mut builder = Builder::default();
        for (row, (source, target, score)) in rows.into_iter().enumerate() {
            if let Some(infinite) = score.filter(|score| score.is_infinite()) {
                return Err(Error::Weight {
                    path: name.into(),
                    line: row as u64 + 1,
                    found: infinite.to_string(),
                });
            }
            builder.push(source, target, score);
        }
        builder.finish(Path::new(name), name, layout.to_owned())
    }

    /// Positions of source, target and score among the names of columns, as [`EdgeList::from_reader`] finds them.
    pub fn columns(names: &[&str]) -> Option<[usize; 3]> {
        list_reader::columns(names)
    }

    /// The name of the list: its file name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What was taken for what, in words.
    pub fn layout(&self) -> &str {
        &self.layout
    }

    /// All genes, in the order in which the list first names them.
    pub fn genes(&self) -> &Panel {
        &self.genes
    }

    /// The scored pairs in the order of the list; self pairs and repetitions among them.
    pub fn edges(&self) -> &[ScoredEdge] {
        &self.edges
    }

    /// Rows without a score.
    pub fn n_unscored(&self) -> usize {
        self.n_unscored
    }

    /// Whether the list gives scores at all; where it does not, each of its pairs has the score 1.
    pub fn has_scores(&self) -> bool {
        self.has_scores
    }

    /// Whether all scores are one number, so that the list says which pairs are edges and does not rank them.
    pub fn is_unranked(&self) -> bool {
        self.edges.windows(2).all(|pair| pair[0].score == pair[1].score)
    }

    /// Rows that pair a gene with itself.
    pub fn n_self_pairs(&self) -> usize {
        self.edges
            .iter()
            .filter(|edge| edge.source == edge.target)
            .count()
    }

    /// Rows with a pair that an earlier row has too.
    pub fn n_repeated(&self) -> usize {
        let mut pairs: Vec<(usize, usize)> =
            self.edges.iter().map(|edge| (edge.source, edge.target)).collect();
        let n = pairs.len();
        pairs.sort_unstable();
        pairs.dedup();
        n - pairs.len()
    }

    /// Whether any score is negative, so that [`Ranking::Value`] and [`Ranking::Magnitude`] differ.
    pub fn has_negative(&self) -> bool {
        self.edges.iter().any(|edge| edge.score < 0.0)
    }

    /// Sources and targets of the universe that `genes` stands for.
    pub fn panels(&self, genes: &ListGenes) -> (Panel, Panel) {
        let side = |of: fn(&ScoredEdge) -> usize| {
            let mut seen = vec![false; self.genes.len()];
            for edge in &self.edges {
                seen[of(edge)] = true;
            }
            let kept = self.genes.genes().iter().zip(seen).filter(|(_, seen)| *seen);
            Panel::new(kept.map(|(gene, _)| gene.clone())).expect("genes of a panel are distinct")
        };
        match genes {
            ListGenes::Observed => (side(|edge| edge.source), side(|edge| edge.target)),
            ListGenes::Panel => (self.genes.clone(), self.genes.clone()),
            ListGenes::Given(panel) => (panel.clone(), panel.clone()),
        }
    }

    /// Scores `[source, target]` such that the larger is the stronger; of a pair that comes twice the strongest.
    pub fn scores(&self, sources: &Panel, targets: &Panel, ranking: Ranking, absent: Absent) -> Array2<f64> {
        let mut scores = Array2::from_elem((sources.len(), targets.len()), f64::NAN);
        let positions = |panel: &Panel| -> Vec<Option<usize>> {
            self.genes
                .genes()
                .iter()
                .map(|gene| panel.position(gene.as_str()))
                .collect()
        };
        let (rows, columns) = (positions(sources), positions(targets));
        for edge in &self.edges {
            if let (Some(row), Some(column)) = (rows[edge.source], columns[edge.target]) {
                let score = match ranking {
                    Ranking::Value => edge.score,
                    Ranking::Magnitude => edge.score.abs(),
                };
                let place = &mut scores[[row, column]];
                if place.is_nan() || score > *place {
                    *place = score;
                }
            }
        }
        if absent == Absent::Lowest {
            scores.mapv_inplace(|score| if score.is_nan() { f64::NEG_INFINITY } else { score });
        }
        scores
    }

    /// Whether the list leaves pairs out without saying that they are weak: it holds fewer than the pairs of its
    /// sources and targets, and either a round number of rows or no score as low as 0. A list without scores leaves
    /// nothing open: what it does not hold is no edge.
    pub fn truncation(&self) -> Option<Truncation> {
        let mut pairs: Vec<(usize, usize)> = self
            .edges
            .iter()
            .filter(|edge| edge.source != edge.target)
            .map(|edge| (edge.source, edge.target))
            .collect();
        pairs.sort_unstable();
        pairs.dedup();
        let (sources, targets) = self.panels(&ListGenes::Observed);
        let n_both = sources
            .genes()
            .iter()
            .filter(|gene| targets.contains(gene.as_str()))
            .count();
        let n_possible = sources.len() * targets.len() - n_both;
        let lowest = self
            .edges
            .iter()
            .map(|edge| edge.score.abs())
            .fold(f64::INFINITY, f64::min);
        let is_top = is_round(self.edges.len() + self.n_unscored);
        (self.has_scores && pairs.len() + self.n_unscored < n_possible && (is_top || lowest > 0.0)).then_some(
            Truncation {
                n_listed: pairs.len(),
                n_possible,
                lowest,
                is_top,
            },
        )
    }
}

/// A number that people ask for: 500, 1,000, 25,000, 50,000, 1,000,000.
fn is_round(n: usize) -> bool {
    let mut leading = n;
    while leading > 0 && leading.is_multiple_of(10) {
        leading /= 10;
    }
    n >= 100 && leading < 100 && n / leading.max(1) >= 100
}
