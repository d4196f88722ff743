use ndarray::{Array2, ArrayView2, Axis};

use crate::{Error, Panel};

/// Which genes responded to which perturbation: rows perturbed genes, columns candidate targets.
///
/// A pair that is no candidate takes part in no ranking. The perturbed gene itself is never its own candidate.
#[derive(Debug, Clone)]
pub struct Responses {
    perturbed: Panel,
    targets: Panel,
    positive: Array2<bool>,
    candidate: Array2<bool>,
}

impl Responses {
    /// Responses of shape `[perturbed.len(), targets.len()]`, every pair a candidate but the self pairs.
    ///
    /// # Errors
    /// [`Error::Shape`] where the panels ask for another shape.
    pub fn new(perturbed: Panel, targets: Panel, positive: Array2<bool>) -> Result<Self, Error> {
        let expected = (perturbed.len(), targets.len());
        if positive.dim() != expected {
            return Err(Error::Shape {
                what: "response table".to_owned(),
                found: positive.shape().to_vec(),
                expected: vec![expected.0, expected.1],
            });
        }
        let candidate = Array2::from_shape_fn(expected, |(p, t)| perturbed.gene(p) != targets.gene(t));
        Ok(Self {
            perturbed,
            targets,
            positive,
            candidate,
        })
    }

    /// The perturbed genes, one per row.
    pub fn perturbed(&self) -> &Panel {
        &self.perturbed
    }

    /// The candidate targets, one per column.
    pub fn targets(&self) -> &Panel {
        &self.targets
    }

    /// Whether a target responded, `[perturbed, target]`; means nothing where the pair is no candidate.
    pub fn positive(&self) -> ArrayView2<'_, bool> {
        self.positive.view()
    }

    /// Whether a pair takes part, `[perturbed, target]`.
    pub fn candidate(&self) -> ArrayView2<'_, bool> {
        self.candidate.view()
    }

    /// Numbers of candidate positives and negatives of a perturbation.
    ///
    /// # Panics
    /// When `row` lies outside the table.
    pub fn class_sizes(&self, row: usize) -> (usize, usize) {
        let candidates = self.candidate.row(row);
        let n_pos = self
            .positive
            .row(row)
            .iter()
            .zip(candidates)
            .filter(|&(&p, &c)| p && c)
            .count();
        (n_pos, candidates.iter().filter(|&&c| c).count() - n_pos)
    }

    /// Rows with at least `min_positives` and `min_negatives` among their candidates.
    pub fn evaluable(&self, min_positives: usize, min_negatives: usize) -> Vec<usize> {
        (0..self.perturbed.len())
            .filter(|&row| {
                let (n_pos, n_neg) = self.class_sizes(row);
                n_pos >= min_positives && n_neg >= min_negatives
            })
            .collect()
    }

    /// The given rows, in the given order.
    ///
    /// # Panics
    /// When a row lies outside the table or is given twice.
    pub fn select(&self, rows: &[usize]) -> Self {
        Self {
            perturbed: Panel::new(rows.iter().map(|&r| self.perturbed.gene(r).clone()))
                .expect("each row is given once"),
            targets: self.targets.clone(),
            positive: self.positive.select(Axis(0), rows),
            candidate: self.candidate.select(Axis(0), rows),
        }
    }

    /// Keeps as candidates only the pairs at which every one of `scores` is defined (not `NaN`), so that all of
    /// them rank the same targets; returns how many candidate pairs were lost.
    ///
    /// # Panics
    /// When a score table has another shape.
    pub fn restrict_to_defined(&mut self, scores: &[ArrayView2<'_, f64>]) -> usize {
        let before = self.n_candidates();
        for score in scores {
            assert_eq!(
                score.dim(),
                self.candidate.dim(),
                "a score for every pair of the response table"
            );
            self.candidate
                .zip_mut_with(score, |candidate, score| *candidate &= !score.is_nan());
        }
        before - self.n_candidates()
    }

    /// Number of candidate pairs.
    pub fn n_candidates(&self) -> usize {
        self.candidate.iter().filter(|&&c| c).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn responses() -> Responses {
        let positive = array![[true, true, false], [true, false, true]];
        Responses::new(
            Panel::new(["A", "B"]).unwrap(),
            Panel::new(["A", "C", "D"]).unwrap(),
            positive,
        )
        .unwrap()
    }

    #[test]
    fn the_perturbed_gene_is_never_its_own_candidate() {
        assert_eq!(
            responses().candidate(),
            array![[false, true, true], [true, true, true]]
        );
        assert_eq!(responses().class_sizes(0), (1, 1));
        assert_eq!(responses().evaluable(1, 2), Vec::<usize>::new());
        assert_eq!(responses().evaluable(2, 1), vec![1]);
    }

    #[test]
    fn undefined_scores_take_the_pair_out_and_are_counted() {
        let mut responses = responses();
        let scores = array![[f64::NAN, f64::NAN, 1.0], [1.0, f64::NAN, 1.0]];
        assert_eq!(responses.restrict_to_defined(&[scores.view()]), 2);
        assert_eq!(responses.class_sizes(1), (2, 0));
    }

    #[test]
    fn selected_rows_keep_their_labels() {
        let second = responses().select(&[1]);
        assert_eq!(second.perturbed().gene(0).as_str(), "B");
        assert_eq!(second.positive(), array![[true, false, true]]);
    }
}
