use std::collections::{BTreeMap, HashMap, HashSet};

use scfm_core::{GeneId, Ledger, Panel};

use crate::Error;

/// What was done to a cell.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Assignment {
    /// Nothing that should have an effect: a non-targeting guide.
    Control,
    /// One gene was perturbed, whether or not that gene was measured.
    Single(GeneId),
    /// Several genes were perturbed, in alphabetical order.
    Multiple(Vec<GeneId>),
    /// It is not known, or the label is a control that was not asked for.
    Unassigned,
}

/// Reads perturbation labels as screens spell them.
///
/// Labels are matched without regard to case or punctuation. In this order, a label is
/// 1. a control if it is one of the control labels, with or without the number of a guide (`non-targeting`,
///    `NTg4`, `neg_ctrl_12`); screens use `CTRL` for controls, although it is also a gene;
/// 2. unassigned if it says so (`unassigned`, `nan`, `*`);
/// 3. the gene that is spelled just like it, if the known genes have one (`HLA-A`, `NKX2-1`);
/// 4. several labels joined by `+`, `;`, `,`, `|`, or by `_` if every part is a known gene or a control; controls
///    among them count for nothing (`KLF1+ctrl` is KLF1);
/// 5. a gene with the marks of a guide (`STAT1_2`, `sgCD5`, `SPI1_pDS255`, `AAAS_+_53715438.23-P1P2`). Marks that a
///    symbol itself may end in (`-2`, `.2`, `g2`) are only taken off where a known gene remains;
/// 6. otherwise a single gene as it is spelled, which no panel will have: `GATA1-A` is an element near GATA1, not
///    GATA1.
///
/// ```
/// use scfm_core::Panel;
/// use scfm_perturb::{Assignment, LabelReader};
///
/// let reader = LabelReader::new(Some(Panel::new(["NKX2-1", "KLF1", "MAP2K6"])?));
/// assert_eq!(reader.read("NKX2-1"), Assignment::Single("NKX2-1".into()));
/// assert_eq!(reader.read("sgKLF1-2"), Assignment::Single("KLF1".into()));
/// assert_eq!(reader.read("KLF1_MAP2K6"), Assignment::Multiple(vec!["KLF1".into(), "MAP2K6".into()]));
/// assert_eq!(reader.read("Non-Targeting_0007"), Assignment::Control);
/// # Ok::<(), scfm_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct LabelReader {
    controls: Option<HashSet<String>>,
    known: Option<Panel>,
}

/// Control labels of published screens, without case and punctuation.
const CONTROLS: &[&str] = &[
    "control",
    "ctrl",
    "nontargeting",
    "nontargetting",
    "nontargetingcontrol",
    "nontarget",
    "nt",
    "ntc",
    "neg",
    "negctrl",
    "negcontrol",
    "negativecontrol",
    "safetargeting",
    "scramble",
    "scrambled",
    "unperturbed",
];

/// Labels of cells without a perturbation call, without case and punctuation.
const UNASSIGNED: &[&str] = &[
    "",
    "unassigned",
    "notassigned",
    "nan",
    "na",
    "none",
    "null",
    "unknown",
    "ambiguous",
    "multiplet",
    "doublet",
];

/// Words that stand between a gene and the number of its guide.
const GUIDE_WORDS: &[&str] = &["sgrna", "grna", "guide", "sg", "g"];

impl LabelReader {
    /// A reader that knows the control labels of published screens. `known` are all genes of the data file and of
    /// the model, not only a panel; without them only unambiguous guide marks are taken off and `A_B` stays whole.
    pub fn new(known: Option<Panel>) -> Self {
        Self {
            controls: None,
            known,
        }
    }

    /// Takes just these labels for controls. Other usual control labels are then unassigned, so that two kinds of
    /// control never mix unasked; as a part of a joined label they still count for nothing.
    pub fn with_controls<T: AsRef<str>>(self, labels: impl IntoIterator<Item = T>) -> Self {
        Self {
            controls: Some(labels.into_iter().map(|label| plain(label.as_ref())).collect()),
            ..self
        }
    }

    /// What a label says.
    pub fn read(&self, label: &str) -> Assignment {
        let label = label.trim();
        let name = plain(label);
        if self.is_control(&name) {
            return Assignment::Control;
        }
        if UNASSIGNED.contains(&name.as_str()) || is_usual_control(&name) {
            return Assignment::Unassigned;
        }
        if self.knows(label) {
            return Assignment::Single(label.into());
        }
        if self.controls_of_guide(&name) {
            return Assignment::Control;
        }
        if usual_control_of_guide(&name) {
            return Assignment::Unassigned;
        }
        // The strand of a guide is a plus, too, so its mark goes first.
        let label = without_position(label);
        let joined: Vec<&str> = label.split(['+', ';', ',', '|']).collect();
        if joined.len() > 1 {
            return combine(joined.into_iter().filter_map(|part| self.part(part)));
        }
        let tokens: Vec<&str> = label.split('_').collect();
        let is_whole = |token: &&str| self.knows(token) || self.is_neutral(&plain(token));
        if tokens.len() > 1 && tokens.iter().all(is_whole) {
            return combine(tokens.into_iter().filter_map(|part| self.part(part)));
        }
        Assignment::Single(self.gene(label))
    }

    /// What the labels of all cells say; a missing label is unassigned.
    ///
    /// # Errors
    /// [`Error::NoControls`] where no cell is a control, with the most frequent labels.
    pub fn assign(&self, labels: &[Option<String>]) -> Result<Assignments, Error> {
        let mut seen: HashMap<&str, Assignment> = HashMap::new();
        let cells: Vec<Assignment> = labels
            .iter()
            .map(|label| match label {
                None => Assignment::Unassigned,
                Some(label) => seen.entry(label).or_insert_with(|| self.read(label)).clone(),
            })
            .collect();
        if !cells.contains(&Assignment::Control) {
            return Err(Error::NoControls {
                n_labels: seen.len(),
                most_frequent: most_frequent(labels),
            });
        }
        Ok(Assignments { cells })
    }

    fn part(&self, part: &str) -> Option<GeneId> {
        let part = part.trim();
        let name = plain(part);
        if self.is_neutral(&name) || UNASSIGNED.contains(&name.as_str()) {
            return None;
        }
        Some(self.gene(part))
    }

    /// The gene of a label for one guide: the known gene that remains when guide marks are taken off one after the
    /// other; if there is none, the label without its unambiguous marks.
    fn gene(&self, label: &str) -> GeneId {
        let plainly = without_unambiguous_marks(label);
        let mut candidate = plainly;
        loop {
            if self.knows(candidate) {
                return candidate.into();
            }
            let shorter = without_unambiguous_marks(without_ambiguous_mark(candidate));
            if shorter == candidate {
                return plainly.into();
            }
            candidate = shorter;
        }
    }

    fn knows(&self, gene: &str) -> bool {
        self.known.as_ref().is_some_and(|known| known.contains(gene))
    }

    fn is_control(&self, name: &str) -> bool {
        match &self.controls {
            Some(controls) => controls.contains(name),
            None => is_usual_control(name),
        }
    }

    fn controls_of_guide(&self, name: &str) -> bool {
        guide_stems(name).any(|stem| self.is_control(stem))
    }

    fn is_neutral(&self, name: &str) -> bool {
        self.is_control(name)
            || is_usual_control(name)
            || self.controls_of_guide(name)
            || usual_control_of_guide(name)
    }
}

/// The assignment of every cell, in the order of the file.
#[derive(Debug, Clone)]
pub struct Assignments {
    cells: Vec<Assignment>,
}

impl Assignments {
    /// One assignment per cell.
    pub fn cells(&self) -> &[Assignment] {
        &self.cells
    }

    /// The rows of the control cells, ascending.
    pub fn controls(&self) -> Vec<usize> {
        self.rows(|cell| *cell == Assignment::Control).collect()
    }

    /// The rows of each single-gene perturbation, ascending, by gene.
    pub fn singles(&self) -> BTreeMap<GeneId, Vec<usize>> {
        let mut singles: BTreeMap<GeneId, Vec<usize>> = BTreeMap::new();
        for (row, cell) in self.cells.iter().enumerate() {
            if let Assignment::Single(gene) = cell {
                singles.entry(gene.clone()).or_default().push(row);
            }
        }
        singles
    }

    /// How many cells are what; those that are neither control nor single are left out of single-gene analyses.
    pub fn ledger(&self) -> Ledger {
        let mut ledger = Ledger::new();
        let multiple = self.rows(|cell| matches!(cell, Assignment::Multiple(_))).count();
        let examples = self.cells.iter().filter_map(|cell| match cell {
            Assignment::Multiple(genes) => {
                Some(genes.iter().map(GeneId::as_str).collect::<Vec<_>>().join("+"))
            }
            _ => None,
        });
        ledger.lost("cells", "several genes perturbed", multiple as u64, examples);
        let unassigned = self.rows(|cell| *cell == Assignment::Unassigned).count();
        ledger.lost(
            "cells",
            "no perturbation assigned",
            unassigned as u64,
            [] as [&str; 0],
        );
        ledger.kept("control cells", self.controls().len() as u64);
        let singles = self.singles();
        ledger.kept(
            "cells with one gene perturbed",
            singles.values().map(|rows| rows.len() as u64).sum(),
        );
        ledger.kept("single-gene perturbations", singles.len() as u64);
        ledger
    }

    fn rows(&self, is: impl Fn(&Assignment) -> bool) -> impl Iterator<Item = usize> {
        self.cells
            .iter()
            .enumerate()
            .filter(move |(_, cell)| is(cell))
            .map(|(row, _)| row)
    }
}

/// The ten most frequent labels with their number of cells.
pub(crate) fn most_frequent(labels: &[Option<String>]) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for label in labels.iter().flatten() {
        *counts.entry(label).or_default() += 1;
    }
    let mut counts: Vec<_> = counts
        .into_iter()
        .map(|(label, n)| (label.to_owned(), n))
        .collect();
    counts.sort_by_key(|&(_, n)| std::cmp::Reverse(n));
    counts.truncate(10);
    counts
}

/// A label without case and punctuation.
fn plain(label: &str) -> String {
    label
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

fn is_usual_control(name: &str) -> bool {
    CONTROLS.contains(&name)
}

fn usual_control_of_guide(name: &str) -> bool {
    guide_stems(name).any(is_usual_control)
}

/// What remains of a plain name without the number of a guide, and without the word before the number.
fn guide_stems(name: &str) -> impl Iterator<Item = &str> {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let has_number = stem.len() < name.len();
    let worded = GUIDE_WORDS.iter().filter_map(|word| stem.strip_suffix(word));
    std::iter::once(stem).chain(worded).filter(move |_| has_number)
}

fn combine(genes: impl Iterator<Item = GeneId>) -> Assignment {
    let mut genes: Vec<GeneId> = genes.collect();
    genes.sort();
    genes.dedup();
    match genes.len() {
        0 => Assignment::Control,
        1 => Assignment::Single(genes.remove(0)),
        _ => Assignment::Multiple(genes),
    }
}

/// Cuts `GENE_+_53715438.23-P1P2`, strand and position of a guide, after the gene.
fn without_position(label: &str) -> &str {
    for strand in ["_+_", "_-_"] {
        if let Some((gene, position)) = label.split_once(strand)
            && !gene.is_empty()
            && position.starts_with(|c: char| c.is_ascii_digit())
        {
            return gene;
        }
    }
    label
}

/// Takes off marks that no gene symbol has: `sg` before it, `_2`, `_sg2`, `_pDS255` behind it.
fn without_unambiguous_marks(label: &str) -> &str {
    let mut gene = match label.strip_prefix("sg") {
        Some(gene) if gene.starts_with(|c: char| c.is_ascii_uppercase()) => gene,
        _ => label,
    };
    while let Some((stem, mark)) = gene.rsplit_once('_')
        && !stem.is_empty()
        && is_guide_mark(mark)
    {
        gene = stem;
    }
    gene
}

fn is_guide_mark(mark: &str) -> bool {
    let word = mark.trim_end_matches(|c: char| c.is_ascii_digit());
    let is_plasmid = word.len() >= 3
        && word
            .strip_prefix('p')
            .is_some_and(|name| name.chars().all(|c| c.is_ascii_uppercase()));
    let is_word = word.is_empty() || is_plasmid || GUIDE_WORDS.contains(&word.to_ascii_lowercase().as_str());
    word.len() < mark.len() && is_word
}

/// Takes off one mark that a symbol might end in: `-2`, `.2`, `g2`. Nothing happens where there is none.
fn without_ambiguous_mark(label: &str) -> &str {
    let stem = label.trim_end_matches(|c: char| c.is_ascii_digit());
    if stem.len() == label.len() {
        return label;
    }
    match stem.strip_suffix(['-', '.', 'g']) {
        Some(gene) if !gene.is_empty() => gene,
        _ => label,
    }
}
