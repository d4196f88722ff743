use ndarray::{Array2, Axis};
use scfm_core::{EdgeMatrix, Panel, Responses};
use scfm_grn::CandidateUniverse;
use scfm_stats::{LabelledGrid, mid_ranks, row_aurocs};

use crate::halves::HALVES;
use crate::{Error, Halves, HeadId, row_entropy};

/// Which pairs of a half count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// Those that heads are judged on.
    Judged,
    /// Those that share neither source nor target with them.
    Training,
}

/// How well one head's attention finds what it is ranked by.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadScore {
    /// The head.
    pub head: HeadId,
    /// Mean AUROC over all evaluable perturbations and all targets; enters no ranking.
    pub auroc: Option<f64>,
    /// Mean entropy of its rows of attention, in nats.
    pub entropy: Option<f64>,
    /// By half.
    pub halves: [HalfScore; 2],
}

/// The scores of a head for one half.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct HalfScore {
    /// Mean AUROC over the TFs of the reference, in training.
    pub reference: Option<f64>,
    /// Mean AUROC over perturbations, in training.
    pub perturbation: Option<f64>,
    /// Mean AUROC over the perturbations and targets of the half itself, which no ranking saw.
    pub held_out: Option<f64>,
}

/// What heads are ranked by.
#[derive(Debug, Clone, Copy)]
pub struct RankingTask<'a> {
    /// The reference over the panel, where there is one.
    pub reference: Option<&'a CandidateUniverse>,
    /// What perturbations change.
    pub responses: &'a Responses,
    /// Who is ranked on what.
    pub halves: &'a Halves,
    /// Positives and negatives that a perturbation needs to be judged by all its targets.
    pub evaluable: (usize, usize),
}

impl RankingTask<'_> {
    /// Scores one head. Heads come one at a time, so that never more than one of them is in memory.
    ///
    /// # Errors
    /// [`Error::Stats`] for shapes that do not fit, which panels of one run do.
    pub fn score(&self, head: HeadId, attention: &EdgeMatrix) -> Result<HeadScore, Error> {
        let of_responses = attention.align(self.responses.perturbed(), self.responses.targets());
        let rows = self.responses.evaluable(self.evaluable.0, self.evaluable.1);
        let evaluable = self.responses.select(&rows);
        let responding = Labels {
            sources: evaluable.perturbed(),
            targets: evaluable.targets(),
            positive: evaluable.positive().to_owned(),
            candidate: evaluable.candidate().to_owned(),
        };
        let of_responses = of_responses.select(Axis(0), &rows);
        let of_reference = self.reference.map(|universe| {
            let labels = Labels {
                sources: universe.tfs(),
                targets: universe.targets(),
                positive: universe.positive().to_owned(),
                candidate: universe.candidate().to_owned(),
            };
            (attention.align(universe.tfs(), universe.targets()), labels)
        });
        let mut halves = [HalfScore::default(); 2];
        for half in HALVES {
            let in_training = responding.of_half(self.halves, half, Side::Training);
            halves[half] = HalfScore {
                reference: match &of_reference {
                    Some((scores, labels)) => {
                        mean_auroc(scores, &labels.of_half(self.halves, half, Side::Training))?
                    }
                    None => None,
                },
                perturbation: mean_auroc(&of_responses, &in_training)?,
                held_out: mean_auroc(
                    &of_responses,
                    &responding.of_half(self.halves, half, Side::Judged),
                )?,
            };
        }
        Ok(HeadScore {
            head,
            auroc: mean_auroc(&of_responses, &responding)?,
            entropy: row_entropy(attention),
            halves,
        })
    }
}

/// Labels of pairs, and which of them take part.
#[derive(Clone)]
struct Labels<'a> {
    sources: &'a Panel,
    targets: &'a Panel,
    positive: Array2<bool>,
    candidate: Array2<bool>,
}

impl Labels<'_> {
    fn of_half(&self, halves: &Halves, half: usize, side: Side) -> Self {
        let wanted = match side {
            Side::Judged => half,
            Side::Training => 1 - half,
        };
        let mut labels = self.clone();
        for ((source, target), candidate) in labels.candidate.indexed_iter_mut() {
            let pair = halves.of_pair(self.sources.gene(source), self.targets.gene(target));
            *candidate &= pair == Some(wanted);
        }
        labels
    }
}

/// Mean AUROC of the rows that hold both classes among the pairs with a score; `None` where no row does.
fn mean_auroc(scores: &Array2<f64>, labels: &Labels<'_>) -> Result<Option<f64>, Error> {
    let mut candidate = labels.candidate.clone();
    candidate.zip_mut_with(scores, |candidate, score| *candidate &= !score.is_nan());
    if candidate.is_empty() {
        return Ok(None);
    }
    let grid = LabelledGrid {
        positive: labels.positive.view(),
        candidate: candidate.view(),
    };
    let aurocs: Vec<f64> = row_aurocs(scores.view(), grid)?.into_iter().flatten().collect();
    Ok((!aurocs.is_empty()).then(|| aurocs.iter().sum::<f64>() / aurocs.len() as f64))
}

/// By what heads are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RankedBy {
    /// AUROC against the reference.
    Reference,
    /// AUROC against the responses to perturbations.
    Perturbation,
    /// The sum of the ranks in both.
    Composite,
}

/// All heads, best first, for the pairs of one half: ranked on the other. Ties go to the head that comes first in the
/// model. `None` where no head has a score.
///
/// # Panics
/// When there is no such half.
pub fn rank_heads(scores: &[HeadScore], half: usize, by: RankedBy) -> Option<Vec<HeadId>> {
    let values = ranking_values(scores, half, by)?;
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| {
        let better = values[b].total_cmp(&values[a]);
        better.then_with(|| scores[a].head.cmp(&scores[b].head))
    });
    Some(order.into_iter().map(|i| scores[i].head).collect())
}

/// What heads are ordered by: AUROCs, or the sum of their mid-ranks, the better the larger. Heads without a value come last.
fn ranking_values(scores: &[HeadScore], half: usize, by: RankedBy) -> Option<Vec<f64>> {
    let of = |value: fn(&HalfScore) -> Option<f64>| -> Option<Vec<f64>> {
        let values = scores.iter().map(|score| value(&score.halves[half]));
        let values: Vec<f64> = values.map(|value| value.unwrap_or(f64::NEG_INFINITY)).collect();
        values.iter().any(|value| value.is_finite()).then_some(values)
    };
    let (reference, perturbation) = (of(|score| score.reference), of(|score| score.perturbation));
    match by {
        RankedBy::Reference => reference,
        RankedBy::Perturbation => perturbation,
        RankedBy::Composite => {
            let ranks = |values: Vec<f64>| mid_ranks(&values).expect("no value is NaN");
            let (reference, perturbation) = (ranks(reference?), ranks(perturbation?));
            Some(reference.iter().zip(&perturbation).map(|(a, b)| a + b).collect())
        }
    }
}

/// For each of the `chosen` heads another one that is as unfocused: the one whose entropy is closest among the heads that
/// are neither chosen nor matched already, in the order of the chosen. `None` where heads or entropies run out.
pub fn match_entropy(chosen: &[HeadId], scores: &[HeadScore]) -> Option<Vec<HeadId>> {
    let entropy = |head: HeadId| scores.iter().find(|score| score.head == head)?.entropy;
    let mut matched: Vec<HeadId> = Vec::with_capacity(chosen.len());
    for &head in chosen {
        let wanted = entropy(head)?;
        let free = scores
            .iter()
            .filter(|other| !chosen.contains(&other.head) && !matched.contains(&other.head));
        let distances = free.filter_map(|other| Some(((other.entropy? - wanted).abs(), other.head)));
        let (_, nearest) = distances.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))?;
        matched.push(nearest);
    }
    Some(matched)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(index: usize) -> HeadId {
        HeadId::all((4, 4)).nth(index).unwrap()
    }

    fn score(index: usize, reference: f64, perturbation: f64, entropy: f64) -> HeadScore {
        let half = HalfScore {
            reference: Some(reference).filter(|x| x.is_finite()),
            perturbation: Some(perturbation).filter(|x| x.is_finite()),
            held_out: None,
        };
        HeadScore {
            head: head(index),
            auroc: None,
            entropy: Some(entropy),
            halves: [half, HalfScore::default()],
        }
    }

    #[test]
    fn the_composite_is_the_sum_of_ranks_and_ties_go_to_the_first_head() {
        let scores = [
            score(0, 0.9, 0.1, 0.0),
            score(1, 0.8, 0.8, 0.0),
            score(2, 0.1, 0.9, 0.0),
            score(3, f64::NAN, 0.2, 0.0),
        ];
        let ranked = |by| rank_heads(&scores, 0, by).unwrap();
        let heads = |order: [usize; 4]| order.map(head).to_vec();
        assert_eq!(ranked(RankedBy::Reference), heads([0, 1, 2, 3]));
        assert_eq!(ranked(RankedBy::Perturbation), heads([2, 1, 3, 0]));
        // Rank sums 4 + 1, 3 + 3, 2 + 4, 1 + 2.
        assert_eq!(ranked(RankedBy::Composite), heads([1, 2, 0, 3]));
        assert_eq!(rank_heads(&scores, 1, RankedBy::Composite), None);
    }

    #[test]
    fn matched_heads_are_the_nearest_that_are_free() {
        let entropies = [1.0, 2.0, 1.1, 2.2, 5.0];
        let scores: Vec<HeadScore> = (0..5).map(|i| score(i, 0.5, 0.5, entropies[i])).collect();
        assert_eq!(
            match_entropy(&[head(0), head(1)], &scores),
            Some(vec![head(2), head(3)])
        );
        // Both are closest to the same head; the second takes the next.
        assert_eq!(
            match_entropy(&[head(0), head(2)], &scores),
            Some(vec![head(1), head(3)])
        );
        assert_eq!(match_entropy(&[0, 1, 2].map(head), &scores), None);
        assert_eq!(match_entropy(&[head(9)], &scores), None);
    }
}
