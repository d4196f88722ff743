//! The scores of two benchmarks exactly as their own programs compute them, so that a method can be compared with what
//! was published.

use scfm_core::Panel;
use scfm_stats::{Undefined, auroc, average_precision, defined};

use crate::{Absent, CandidateUniverse, EdgeList, Error, GeneNames, Ranking, ReferenceNetwork};

/// Scores as BEELINE computes them (Pratapa et al. 2020, doi:10.1038/s41592-019-0690-6, directed evaluation).
#[derive(Debug, Clone, PartialEq)]
pub struct BeelineScore {
    /// Genes of the reference.
    pub n_genes: usize,
    /// Ordered pairs of two different ones: all take part, with or without a source that regulates.
    pub n_pairs: usize,
    /// Pairs of the reference among them.
    pub n_pos: usize,
    /// Area under the ROC curve.
    pub auroc: Result<f64, Undefined>,
    /// Area under the precision-recall curve by trapezoids, which interpolates where it should not and so is larger
    /// or smaller than the average precision; the benchmark's own figure.
    pub auprc: Result<f64, Undefined>,
    /// Average precision.
    pub average_precision: Result<f64, Undefined>,
}

/// Scores `list` against `truth` by BEELINE's rules: every ordered pair of different genes of the truth is a candidate,
/// scores count by magnitude, and a pair that the list does not hold has score 0.
///
/// Oracle: scikit-learn's `roc_auc_score`, `auc` over `precision_recall_curve`, `average_precision_score`.
///
/// # Errors
/// [`Error::Stats`] never in practice: the scores are numbers.
pub fn beeline(list: &EdgeList, truth: &ReferenceNetwork) -> Result<BeelineScore, Error> {
    let genes: std::collections::BTreeSet<_> = truth
        .edges()
        .iter()
        .flat_map(|edge| [&edge.source, &edge.target])
        .collect();
    let genes = Panel::new(genes.into_iter().cloned())?;
    let universe = CandidateUniverse::of_all_sources(truth, &genes, &genes, GeneNames::default())?;
    let scores = list.scores(&genes, &genes, Ranking::Magnitude, Absent::Missing);
    let candidates = || universe.candidate().into_iter().copied();
    let of_candidates = |(value, candidate): (f64, bool)| candidate.then_some(value);
    let zero_if_absent = |score: &f64| if score.is_nan() { 0.0 } else { *score };
    let values: Vec<f64> = scores
        .iter()
        .map(zero_if_absent)
        .zip(candidates())
        .filter_map(of_candidates)
        .collect();
    let labels: Vec<bool> = universe
        .positive()
        .iter()
        .zip(candidates())
        .filter_map(|(&positive, candidate)| candidate.then_some(positive))
        .collect();
    Ok(BeelineScore {
        n_genes: genes.len(),
        n_pairs: values.len(),
        n_pos: universe.n_positives(),
        auroc: defined(auroc(&values, &labels))?,
        auprc: defined(average_precision(&values, &labels))?.map(|_| trapezoids(&values, &labels)),
        average_precision: defined(average_precision(&values, &labels))?.map(|found| found.value),
    })
}

/// Trapezoids under (recall, precision) at every distinct score, highest first, from precision 1 at recall 0.
fn trapezoids(values: &[f64], labels: &[bool]) -> f64 {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&a, &b| values[b].total_cmp(&values[a]));
    let n_pos = labels.iter().filter(|&&label| label).count() as f64;
    let (mut seen, mut hits) = (0, 0);
    let (mut recall, mut precision, mut area) = (0.0, 1.0, 0.0);
    for block in order.chunk_by(|&a, &b| values[a] == values[b]) {
        seen += block.len();
        hits += block.iter().filter(|&&i| labels[i]).count();
        let here = (hits as f64 / n_pos, hits as f64 / seen as f64);
        area += (here.0 - recall) * (here.1 + precision) / 2.0;
        (recall, precision) = here;
    }
    area
}

/// Scores as the official program of DREAM5 computes them (Marbach et al. 2012, doi:10.1038/nmeth.2016).
#[derive(Debug, Clone, PartialEq)]
pub struct Dream5Score {
    /// Pairs of the gold standard, and those of them that are edges.
    pub n_gold: usize,
    /// Edges among them.
    pub n_pos: usize,
    /// Pairs of the list that the gold standard knows.
    pub n_listed: usize,
    /// Area under the ROC curve by trapezoids.
    pub auroc: Result<f64, Undefined>,
    /// Area under the precision-recall curve by trapezoids over its largest value 1 - 1/P.
    pub aupr: Result<f64, Undefined>,
}

/// Scores `list` against `gold`, a list of all pairs that are judged with score 1 for an edge and 0 for none, by DREAM5's
/// rules: pairs that the gold standard does not know are passed over, ties stay in the order of the list, and the pairs
/// that are not listed share the edges that are left equally among them. No point is added at 0.
///
/// # Errors
/// Never in practice.
pub fn dream5(list: &EdgeList, gold: &EdgeList) -> Result<Dream5Score, Error> {
    let key = |of: &EdgeList, source: usize, target: usize| {
        (of.genes().gene(source).clone(), of.genes().gene(target).clone())
    };
    let mut judged: std::collections::HashMap<_, bool> = gold
        .edges()
        .iter()
        .map(|edge| (key(gold, edge.source, edge.target), edge.score > 0.0))
        .collect();
    let n_gold = judged.len();
    let n_pos = judged.values().filter(|&&edge| edge).count();
    let mut ranked = list.edges().to_vec();
    // A stable sort: a list in its own order stays as it is.
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
    let hits: Vec<bool> = ranked
        .iter()
        .filter_map(|edge| judged.remove(&key(list, edge.source, edge.target)))
        .collect();
    let n_listed = hits.len();
    let n_neg = n_gold - n_pos;
    if n_pos == 0 || n_neg == 0 {
        let reason = Undefined::OneClass { n_pos, n_neg };
        return Ok(Dream5Score {
            n_gold,
            n_pos,
            n_listed,
            auroc: Err(reason.clone()),
            aupr: Err(reason),
        });
    }
    let n_hits = hits.iter().filter(|&&hit| hit).count();
    let rest = (n_pos - n_hits) as f64 / (n_gold - n_listed).max(1) as f64;
    let found = hits.iter().scan(0, |found, &hit| {
        *found += usize::from(hit);
        Some(*found as f64)
    });
    // A product per pair: adding the share up would gather its rounding a hundred thousand times.
    let shared = (1..=n_gold - n_listed).map(|unlisted| n_hits as f64 + rest * unlisted as f64);
    let (mut roc, mut pr) = (0.0, 0.0);
    let mut last: Option<(f64, f64, f64)> = None;
    for (i, tp) in found.chain(shared).enumerate() {
        let depth = (i + 1) as f64;
        let (recall, fall_out, precision) = (tp / n_pos as f64, (depth - tp) / n_neg as f64, tp / depth);
        if let Some((r, f, p)) = last {
            roc += (fall_out - f) * (recall + r) / 2.0;
            pr += (recall - r) * (precision + p) / 2.0;
        }
        last = Some((recall, fall_out, precision));
    }
    Ok(Dream5Score {
        n_gold,
        n_pos,
        n_listed,
        auroc: Ok(roc),
        aupr: Ok(pr / (1.0 - 1.0 / n_pos as f64)),
    })
}
