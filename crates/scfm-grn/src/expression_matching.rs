//! Negatives whose genes are expressed as those of a reference pair are (analysis 17 of the battery).
//!
//! Curated pairs favour abundant genes, and so do edge scores. A pair of the reference is therefore compared with pairs
//! whose source and target both have its mean and its detection, so that neither can tell them apart.

use std::collections::{BTreeMap, HashSet};

use ndarray::ArrayView2;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;
use scfm_core::{GeneId, Ledger, Panel};
use scfm_stats::{
    PairAuroc, PairDesign, PairLimits, Undefined, defined, pair_auroc, pair_auroc_difference, weighted_auroc,
};

use crate::{Error, ReferenceNetwork};

/// How negatives are matched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MatchingParams {
    /// Largest distance in mean and in detection, as a share of the positive's gene's own.
    pub tolerance: f64,
    /// A wider tolerance for positives with fewer than [`MatchingParams::few`] matches; the original falls back to 0.4.
    pub fallback: Option<f64>,
    /// Fewest matches without a fallback.
    pub few: usize,
    /// Most negatives of a positive.
    pub n_negatives: usize,
}

impl Default for MatchingParams {
    fn default() -> Self {
        Self {
            tolerance: 0.2,
            fallback: None,
            few: 5,
            n_negatives: 50,
        }
    }
}

/// Genes by how they are expressed, to be asked which are alike.
#[derive(Debug, Clone)]
pub struct ExpressionIndex {
    mean: Vec<f64>,
    detection: Vec<f64>,
    /// Genes in ascending order of their mean.
    order: Vec<usize>,
}

impl ExpressionIndex {
    /// An index of genes by mean expression and share of cells with a count.
    ///
    /// # Panics
    /// When the two have different lengths.
    pub fn new(mean: &[f64], detection: &[f64]) -> Self {
        assert_eq!(
            mean.len(),
            detection.len(),
            "a mean and a detection for each gene"
        );
        let mut order: Vec<usize> = (0..mean.len())
            .filter(|&gene| mean[gene].is_finite() && detection[gene].is_finite())
            .collect();
        order.sort_by(|&a, &b| mean[a].total_cmp(&mean[b]).then(a.cmp(&b)));
        Self {
            mean: mean.to_vec(),
            detection: detection.to_vec(),
            order,
        }
    }

    /// The genes, itself among them, whose mean and detection lie within `tolerance` of those of `gene`, as a share of its
    /// own, in panel order. Genes of a mean in reach lie next to each other; of them detection is looked at.
    pub fn alike(&self, gene: usize, tolerance: f64) -> Vec<usize> {
        let within = |value: f64, of: f64| (value - of).abs() <= tolerance * of.abs();
        let mean = self.mean[gene];
        let start = self
            .order
            .partition_point(|&other| self.mean[other] < mean && !within(self.mean[other], mean));
        let mut alike: Vec<usize> = self.order[start..]
            .iter()
            .copied()
            .take_while(|&other| within(self.mean[other], mean))
            .filter(|&other| within(self.detection[other], self.detection[gene]))
            .collect();
        alike.sort_unstable();
        alike
    }
}

/// A pair of positions in the panel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MatchedPair {
    /// The source.
    pub source: usize,
    /// The target.
    pub target: usize,
    /// Whether the reference has the pair.
    pub positive: bool,
    /// 1 for a positive. A negative stands once however many positives it was drawn for, with the sum of its shares in
    /// their negatives, so that the negatives of every positive weigh as much as the positive itself.
    pub weight: f64,
}

/// Reference pairs with their matched negatives.
#[derive(Debug, Clone)]
pub struct MatchedPairs {
    /// Matched positives first, in the order of the reference, then negatives by source and target.
    pub pairs: Vec<MatchedPair>,
    /// Reference pairs of the panel that have a score.
    pub n_positives: usize,
    /// Those with a negative.
    pub n_matched: usize,
    /// Negatives drawn, the repeated ones each time.
    pub n_drawn: usize,
    /// Positives that took the wider tolerance.
    pub n_wider: usize,
    /// What was left out.
    pub ledger: Ledger,
}

/// Draws negatives for the pairs of `reference` whose genes are in `panel` and which have a score.
///
/// A negative's source lies within the tolerance of the positive's source in mean and in detection, and its target of
/// the positive's target. Self pairs, reference pairs and pairs for which `scores`, `[source, target]` over the panel, has
/// `NaN` are no negatives. Up to `params.n_negatives` are drawn without replacement, those of the positive at position i
/// of the reference's edges from `stream(i)`. Positives without a match are dropped and counted.
///
/// # Errors
/// [`Error::NoSharedGenes`] where the reference has no gene of the panel.
///
/// # Panics
/// When scores or index have another size than the panel.
pub fn match_expression(
    reference: &ReferenceNetwork,
    panel: &Panel,
    scores: ArrayView2<'_, f64>,
    genes: &ExpressionIndex,
    params: &MatchingParams,
    stream: impl Fn(u64) -> ChaCha8Rng,
) -> Result<MatchedPairs, Error> {
    assert_eq!(
        scores.dim(),
        (panel.len(), panel.len()),
        "a score for every pair of the panel"
    );
    assert_eq!(
        genes.mean.len(),
        panel.len(),
        "an index of the genes of the panel"
    );
    let ends = reference
        .edges()
        .iter()
        .flat_map(|edge| [&edge.source, &edge.target]);
    crate::shared_genes::check_shared(reference.name(), ends, panel, None)?;

    let position = |gene: &GeneId| panel.position(gene.as_str());
    let (mut n_self, mut n_outside, mut n_unscored) = (0, 0, 0);
    let mut positives = Vec::new();
    let mut of_reference = HashSet::new();
    for (at, edge) in reference.edges().iter().enumerate() {
        match (position(&edge.source), position(&edge.target)) {
            _ if edge.is_self() => n_self += 1,
            (Some(source), Some(target)) => {
                of_reference.insert((source, target));
                if scores[[source, target]].is_nan() {
                    n_unscored += 1;
                } else {
                    positives.push((at as u64, source, target));
                }
            }
            _ => n_outside += 1,
        }
    }

    let mut alike: BTreeMap<(usize, bool), Vec<usize>> = BTreeMap::new();
    let mut pairs = Vec::new();
    let mut negatives: BTreeMap<(usize, usize), f64> = BTreeMap::new();
    let (mut n_drawn, mut n_wider, mut unmatched) = (0, 0, Vec::new());
    for &(at, source, target) in &positives {
        let mut matches =
            |wider: bool, tolerance: f64| {
                let [sources, targets] = [source, target].map(|gene| {
                    alike
                        .entry((gene, wider))
                        .or_insert_with(|| genes.alike(gene, tolerance))
                        .clone()
                });
                let mut found = Vec::new();
                for s in sources {
                    let row = targets.iter().map(|&t| (s, t));
                    found.extend(row.filter(|&(s, t)| {
                        s != t && !of_reference.contains(&(s, t)) && !scores[[s, t]].is_nan()
                    }));
                }
                found
            };
        let mut found = matches(false, params.tolerance);
        if let Some(fallback) = params.fallback
            && found.len() < params.few
        {
            found = matches(true, fallback);
            n_wider += 1;
        }
        if found.is_empty() {
            unmatched.push(format!("{}→{}", panel.gene(source), panel.gene(target)));
            continue;
        }
        pairs.push(MatchedPair {
            source,
            target,
            positive: true,
            weight: 1.0,
        });
        let n = found.len().min(params.n_negatives);
        n_drawn += n;
        for i in index::sample(&mut stream(at), found.len(), n) {
            *negatives.entry(found[i]).or_insert(0.0) += 1.0 / n as f64;
        }
    }
    let n_matched = pairs.len();
    pairs.extend(
        negatives
            .into_iter()
            .map(|((source, target), weight)| MatchedPair {
                source,
                target,
                positive: false,
                weight,
            }),
    );

    let subject = format!("{} pairs", reference.name());
    let mut ledger = Ledger::new();
    let none = || [] as [&str; 0];
    ledger.lost(&subject, "self pair", n_self, none());
    ledger.lost(&subject, "a gene not in the panel", n_outside, none());
    ledger.lost(&subject, "score undefined", n_unscored, none());
    ledger.lost(
        &subject,
        "no pair of equally expressed genes",
        unmatched.len() as u64,
        unmatched,
    );
    ledger.kept(&subject, n_matched as u64);
    ledger.kept("matched negatives, each once", (pairs.len() - n_matched) as u64);
    Ok(MatchedPairs {
        pairs,
        n_positives: positives.len(),
        n_matched,
        n_drawn,
        n_wider,
        ledger,
    })
}

impl MatchedPairs {
    /// Share of the reference pairs with a score that have a matched negative; nothing without such pairs.
    pub fn share_matched(&self) -> Result<f64, Undefined> {
        if self.n_positives == 0 {
            return Err(Undefined::TooFew {
                what: "reference pairs in the panel",
                n: 0,
                needed: 1,
            });
        }
        Ok(self.n_matched as f64 / self.n_positives as f64)
    }

    /// The AUROC of a score of pairs (source, target) of positions in the panel, positives against matched negatives,
    /// tested with sources and targets as clusters.
    ///
    /// # Errors
    /// Those of [`pair_auroc`] but for undefined results.
    pub fn auroc(
        &self,
        score: impl Fn(usize, usize) -> f64,
        limits: &PairLimits,
    ) -> Result<Result<PairAuroc, Undefined>, Error> {
        let columns = self.columns();
        Ok(defined(pair_auroc(
            &self.scores(score),
            columns.design(),
            limits,
        ))?)
    }

    /// The AUROC of `a` minus that of `b` on the same pairs, tested likewise.
    ///
    /// # Errors
    /// Those of [`pair_auroc_difference`] but for undefined results.
    pub fn difference(
        &self,
        a: impl Fn(usize, usize) -> f64,
        b: impl Fn(usize, usize) -> f64,
        limits: &PairLimits,
    ) -> Result<Result<PairAuroc, Undefined>, Error> {
        let columns = self.columns();
        let (a, b) = (self.scores(a), self.scores(b));
        Ok(defined(pair_auroc_difference(&a, &b, columns.design(), limits))?)
    }

    /// The AUROC alone.
    ///
    /// # Errors
    /// Those of [`weighted_auroc`] but for undefined results.
    pub fn plain_auroc(&self, score: impl Fn(usize, usize) -> f64) -> Result<Result<f64, Undefined>, Error> {
        self.plain_auroc_from(|_| true, score)
    }

    /// The AUROC of a score that is known for some sources alone, over the pairs from these, such as the attention of a
    /// single head.
    ///
    /// # Errors
    /// Those of [`weighted_auroc`] but for undefined results.
    pub fn plain_auroc_from(
        &self,
        is_known: impl Fn(usize) -> bool,
        score: impl Fn(usize, usize) -> f64,
    ) -> Result<Result<f64, Undefined>, Error> {
        let pairs: Vec<_> = self.pairs.iter().filter(|pair| is_known(pair.source)).collect();
        let scores: Vec<f64> = pairs.iter().map(|pair| score(pair.source, pair.target)).collect();
        let positive: Vec<bool> = pairs.iter().map(|pair| pair.positive).collect();
        let weight: Vec<f64> = pairs.iter().map(|pair| pair.weight).collect();
        Ok(defined(weighted_auroc(&scores, &positive, &weight))?)
    }

    fn scores(&self, score: impl Fn(usize, usize) -> f64) -> Vec<f64> {
        self.pairs
            .iter()
            .map(|pair| score(pair.source, pair.target))
            .collect()
    }

    fn columns(&self) -> Columns {
        Columns {
            positive: self.pairs.iter().map(|pair| pair.positive).collect(),
            weight: self.pairs.iter().map(|pair| pair.weight).collect(),
            source: self.pairs.iter().map(|pair| pair.source).collect(),
            target: self.pairs.iter().map(|pair| pair.target).collect(),
        }
    }
}

/// The pairs as a design takes them.
struct Columns {
    positive: Vec<bool>,
    weight: Vec<f64>,
    source: Vec<usize>,
    target: Vec<usize>,
}

impl Columns {
    fn design(&self) -> PairDesign<'_> {
        PairDesign {
            positive: &self.positive,
            weight: &self.weight,
            source: &self.source,
            target: &self.target,
        }
    }
}
