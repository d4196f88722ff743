use std::collections::{HashMap, HashSet};

use ndarray::{Array2, ArrayView2};
use scfm_core::{GeneId, Ledger, Panel};
use scfm_stats::LabelledGrid;

use crate::shared_genes::no_shared_genes;
use crate::{Edge, Error, ReferenceNetwork};

/// How the names of a reference become those of the panels.
#[derive(Debug, Clone, Copy, Default)]
pub struct GeneNames<'a> {
    /// From the reference's identifiers to the panels', as from symbols to Ensembl ids. Genes that are not in it
    /// are lost and counted. `None`: both use the same identifiers.
    pub crosswalk: Option<&'a HashMap<GeneId, GeneId>>,
    /// The genes that the model knows, in the panels' identifiers, so that the ledger tells a gene that the model
    /// cannot see from one that is only outside the panel.
    pub vocabulary: Option<&'a Panel>,
}

/// The pairs that a reference lets edge scores be judged on: every source of the panel with at least one edge to a
/// target of the panel, crossed with all targets, without self pairs.
#[derive(Debug, Clone)]
pub struct CandidateUniverse {
    tfs: Panel,
    targets: Panel,
    positive: Array2<bool>,
    candidate: Array2<bool>,
    ledger: Ledger,
}

impl CandidateUniverse {
    /// Lays `reference` over the panels of an edge matrix.
    ///
    /// # Errors
    /// [`Error::NoSharedGenes`] where not one gene of the reference is in a panel. A reference that shares genes
    /// but no edge gives an empty universe, whose recovery is undefined.
    pub fn new(
        reference: &ReferenceNetwork,
        sources: &Panel,
        targets: &Panel,
        names: GeneNames<'_>,
    ) -> Result<Self, Error> {
        Self::build(reference, sources, targets, names, false)
    }

    /// The same with every gene of `sources` as a source, also those that the reference gives no target: the universe
    /// of benchmarks whose truth is complete. Over curated references such sources are unknown, not inactive.
    ///
    /// # Errors
    /// As [`CandidateUniverse::new`].
    pub fn of_all_sources(
        reference: &ReferenceNetwork,
        sources: &Panel,
        targets: &Panel,
        names: GeneNames<'_>,
    ) -> Result<Self, Error> {
        Self::build(reference, sources, targets, names, true)
    }

    fn build(
        reference: &ReferenceNetwork,
        sources: &Panel,
        targets: &Panel,
        names: GeneNames<'_>,
        all_sources: bool,
    ) -> Result<Self, Error> {
        let mut fates = Fates::default();
        let mut positions = HashSet::new();
        let mut shares_a_gene = false;
        for edge in reference.edges() {
            let (Some(source), Some(target)) = (names.translate(&edge.source), names.translate(&edge.target))
            else {
                fates.lose(Fate::Id, edge);
                continue;
            };
            let row = sources.position(source.as_str());
            let column = targets.position(target.as_str());
            shares_a_gene |= row.is_some() || column.is_some();
            match (row, column) {
                _ if source == target => fates.lose(Fate::SelfPair, edge),
                _ if !names.in_vocabulary(source) => fates.lose(Fate::SourceVocabulary, edge),
                _ if !names.in_vocabulary(target) => fates.lose(Fate::TargetVocabulary, edge),
                (None, _) => fates.lose(Fate::SourcePanel, edge),
                (_, None) => fates.lose(Fate::TargetPanel, edge),
                (Some(row), Some(column)) => {
                    if !positions.insert((row, column)) {
                        fates.lose(Fate::SamePair, edge);
                    }
                }
            }
        }
        if !shares_a_gene {
            let genes = reference
                .edges()
                .iter()
                .flat_map(|edge| [&edge.source, &edge.target]);
            return Err(no_shared_genes(
                reference.name(),
                genes.filter_map(|gene| names.translate(gene)),
                sources.genes().iter().chain(targets.genes()),
            ));
        }

        let mut has_edge = vec![all_sources; sources.len()];
        for &(row, _) in &positions {
            has_edge[row] = true;
        }
        let tfs = Panel::new(
            (0..sources.len())
                .filter(|&s| has_edge[s])
                .map(|s| sources.gene(s).clone()),
        )?;
        let mut positive = Array2::from_elem((tfs.len(), targets.len()), false);
        for &(row, column) in &positions {
            let row = tfs
                .position(sources.gene(row).as_str())
                .expect("a source with an edge is kept");
            positive[[row, column]] = true;
        }
        let candidate = Array2::from_shape_fn(positive.dim(), |(s, t)| tfs.gene(s) != targets.gene(t));
        let ledger = fates.into_ledger(reference, positions.len());
        Ok(Self {
            tfs,
            targets: targets.clone(),
            positive,
            candidate,
            ledger,
        })
    }

    /// The sources that have an edge, in panel order.
    pub fn tfs(&self) -> &Panel {
        &self.tfs
    }

    /// The targets: the whole target panel.
    pub fn targets(&self) -> &Panel {
        &self.targets
    }

    /// Whether the reference has a pair, `[tf, target]`.
    pub fn positive(&self) -> ArrayView2<'_, bool> {
        self.positive.view()
    }

    /// Whether a pair takes part, `[tf, target]`.
    pub fn candidate(&self) -> ArrayView2<'_, bool> {
        self.candidate.view()
    }

    /// Labels and candidates as the crossed tests take them, rows TFs.
    pub fn grid(&self) -> LabelledGrid<'_> {
        LabelledGrid {
            positive: self.positive.view(),
            candidate: self.candidate.view(),
        }
    }

    /// Number of pairs that take part.
    pub fn n_candidates(&self) -> usize {
        self.candidate.iter().filter(|&&c| c).count()
    }

    /// Number of pairs that take part and are in the reference.
    pub fn n_positives(&self) -> usize {
        self.positive
            .iter()
            .zip(&self.candidate)
            .filter(|&(&p, &c)| p && c)
            .count()
    }

    /// What became of the pairs of the reference, in their number and by a few names.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Keeps as candidates only the pairs at which every one of `scores` is defined, so that all of them rank the
    /// same pairs; the number lost is returned and noted in the ledger.
    ///
    /// # Panics
    /// When a score table has another shape than `[tfs, targets]`.
    pub fn restrict_to_defined(&mut self, scores: &[ArrayView2<'_, f64>]) -> usize {
        let before = self.n_candidates();
        for score in scores {
            assert_eq!(
                score.dim(),
                self.candidate.dim(),
                "a score for every pair of the universe"
            );
            self.candidate
                .zip_mut_with(score, |candidate, score| *candidate &= !score.is_nan());
        }
        let lost = before - self.n_candidates();
        self.ledger
            .lost("candidate pairs", "score undefined", lost as u64, [] as [&str; 0]);
        lost
    }
}

impl<'a> GeneNames<'a> {
    fn translate(self, gene: &'a GeneId) -> Option<&'a GeneId> {
        self.crosswalk.map_or(Some(gene), |crosswalk| crosswalk.get(gene))
    }

    fn in_vocabulary(self, gene: &GeneId) -> bool {
        self.vocabulary
            .is_none_or(|vocabulary| vocabulary.contains(gene.as_str()))
    }
}

/// Why a pair of the reference is no positive of the universe, in the order in which it is looked at.
#[derive(Clone, Copy)]
enum Fate {
    Id,
    SelfPair,
    SourceVocabulary,
    TargetVocabulary,
    SourcePanel,
    TargetPanel,
    SamePair,
}

const REASONS: [&str; 7] = [
    "gene not in the crosswalk",
    "self pair",
    "source not in the vocabulary",
    "target not in the vocabulary",
    "source not in the panel",
    "target not in the panel",
    "same pair after the crosswalk",
];

#[derive(Default)]
struct Fates {
    counts: [u64; REASONS.len()],
    examples: [Vec<String>; REASONS.len()],
}

impl Fates {
    fn lose(&mut self, fate: Fate, edge: &Edge) {
        self.counts[fate as usize] += 1;
        let examples = &mut self.examples[fate as usize];
        if examples.len() < 5 {
            examples.push(format!("{}→{}", edge.source, edge.target));
        }
    }

    fn into_ledger(self, reference: &ReferenceNetwork, n_kept: usize) -> Ledger {
        let mut ledger = Ledger::new();
        let subject = format!("{} pairs", reference.name());
        for ((reason, count), examples) in REASONS.iter().zip(self.counts).zip(self.examples) {
            ledger.lost(&subject, *reason, count, examples);
        }
        ledger.kept(&subject, n_kept as u64);
        ledger
    }
}
