use ndarray::{Array1, Array2, ArrayView2};
use scfm_core::{EdgeMatrix, GeneTable, Ledger, Panel, Responses};
use scfm_stats::LabelledGrid;

use crate::Error;
use crate::features::{DROPOUT_RATE, MEAN, VARIANCE};

/// The candidates of a screen on which two edge scores and the gene-level features are all defined, so that every
/// score ranks the same targets, restricted to the perturbations that can be evaluated on them.
#[derive(Debug, Clone)]
pub struct ScoredCandidates {
    responses: Responses,
    attention: Array2<f64>,
    correlation: Array2<f64>,
    response_frequency: Array2<f64>,
    genes: GeneTable,
    ledger: Ledger,
}

impl ScoredCandidates {
    /// Candidates of `responses` with attention scores as they are and correlations as absolute values |ρ|.
    ///
    /// `genes` must hold mean, variance and dropout rate; a perturbed gene or target that it lacks, or has a value
    /// for that is not finite, takes no part. A perturbation needs `min_positives` and `min_negatives` among what
    /// remains. All losses are counted in the [ledger](Self::ledger).
    ///
    /// # Errors
    /// [`Error::MissingFeature`] where `genes` lacks one of the three, [`scfm_stats::Undefined::TooFew`] where no
    /// perturbation remains.
    pub fn new(
        responses: &Responses,
        attention: &EdgeMatrix,
        correlation: &EdgeMatrix,
        genes: &GeneTable,
        min_positives: usize,
        min_negatives: usize,
    ) -> Result<Self, Error> {
        let response_frequency = response_frequency(responses);
        let mut responses = responses.clone();
        let mut ledger = Ledger::new();
        let attention_scores = attention.align(responses.perturbed(), responses.targets());
        let correlation_scores = correlation
            .align(responses.perturbed(), responses.targets())
            .mapv_into(f64::abs);
        let described = |panel: &Panel| -> Result<Vec<bool>, Error> {
            let mut all = vec![true; panel.len()];
            for name in [MEAN, VARIANCE, DROPOUT_RATE] {
                for (described, value) in all.iter_mut().zip(of_genes(genes, name, panel)?) {
                    *described &= value.is_finite();
                }
            }
            Ok(all)
        };
        let (rows, columns) = (described(responses.perturbed())?, described(responses.targets())?);
        let features = Array2::from_shape_fn((rows.len(), columns.len()), |(p, g)| {
            if rows[p] && columns[g] { 0.0 } else { f64::NAN }
        });
        for (reason, scores) in [
            (
                format!("no {} score: the pair was never seen", attention.kind()),
                &attention_scores,
            ),
            (
                format!("no {} score: a gene is absent or constant", correlation.kind()),
                &correlation_scores,
            ),
            ("no gene-level features of one of the genes".to_owned(), &features),
        ] {
            let n_lost = responses.restrict_to_defined(&[scores.view()]);
            ledger.lost("candidate pairs", reason, n_lost as u64, [] as [&str; 0]);
        }

        Self {
            responses,
            attention: attention_scores,
            correlation: correlation_scores,
            response_frequency,
            genes: genes.clone(),
            ledger,
        }
        .evaluable(min_positives, min_negatives)
    }

    /// The candidates among these that are `kept`, `[perturbed, target]`, over the perturbations that keep `min_positives`
    /// and `min_negatives` of them. The ledger counts what is lost here, of pairs for `reason`.
    ///
    /// # Errors
    /// [`scfm_stats::Undefined::TooFew`] where no perturbation remains.
    ///
    /// # Panics
    /// When `kept` has another shape than the labels.
    pub fn within(
        &self,
        kept: ArrayView2<'_, bool>,
        reason: &str,
        min_positives: usize,
        min_negatives: usize,
    ) -> Result<Self, Error> {
        let mut responses = self.responses.clone();
        let mut ledger = Ledger::new();
        let mask = kept.mapv(|kept| if kept { 0.0 } else { f64::NAN });
        let n_lost = responses.restrict_to_defined(&[mask.view()]);
        ledger.lost("candidate pairs", reason, n_lost as u64, [] as [&str; 0]);
        Self {
            responses,
            ledger,
            ..self.clone()
        }
        .evaluable(min_positives, min_negatives)
    }

    /// The same with the perturbations alone that have enough of both classes.
    fn evaluable(self, min_positives: usize, min_negatives: usize) -> Result<Self, Error> {
        let Self {
            responses,
            attention,
            correlation,
            response_frequency,
            genes,
            mut ledger,
        } = self;
        let kept = responses.evaluable(min_positives, min_negatives);
        let lost: Vec<_> = (0..responses.perturbed().len())
            .filter(|row| kept.binary_search(row).is_err())
            .map(|row| responses.perturbed().gene(row).clone())
            .collect();
        let reason = format!("fewer than {min_positives} positives or {min_negatives} negatives");
        ledger.lost("perturbations", reason, lost.len() as u64, &lost);
        if kept.is_empty() {
            return Err(crate::too_few("evaluable perturbations", 0, 1));
        }
        let responses = responses.select(&kept);
        ledger.kept("perturbations", kept.len() as u64);
        ledger.kept("candidate pairs", responses.n_candidates() as u64);
        let select = |scores: Array2<f64>| scores.select(ndarray::Axis(0), &kept);
        Ok(Self {
            responses,
            attention: select(attention),
            correlation: select(correlation),
            response_frequency: select(response_frequency),
            genes,
            ledger,
        })
    }

    /// The perturbations and candidates that take part.
    pub fn responses(&self) -> &Responses {
        &self.responses
    }

    /// Labels of the candidate pairs, `[perturbed, target]`.
    pub fn labels(&self) -> LabelledGrid<'_> {
        LabelledGrid {
            positive: self.responses.positive(),
            candidate: self.responses.candidate(),
        }
    }

    /// Attention scores `[perturbed, target]`, defined at every candidate.
    pub fn attention(&self) -> ArrayView2<'_, f64> {
        self.attention.view()
    }

    /// |ρ| `[perturbed, target]`, defined at every candidate.
    pub fn correlation(&self) -> ArrayView2<'_, f64> {
        self.correlation.view()
    }

    /// How often a target responded to the *other* perturbations of the screen, also to those that cannot be
    /// evaluated: `[perturbed, target]`, `NaN` where the target is no candidate of any other.
    pub fn response_frequency(&self) -> ArrayView2<'_, f64> {
        self.response_frequency.view()
    }

    /// What was lost on the way, and how much remained.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// A gene-level feature of the targets, `NaN` for genes without it.
    ///
    /// # Errors
    /// [`Error::MissingFeature`].
    pub fn of_targets(&self, feature: &'static str) -> Result<Array1<f64>, Error> {
        of_genes(&self.genes, feature, self.responses.targets())
    }

    /// A gene-level feature of the perturbed genes.
    ///
    /// # Errors
    /// [`Error::MissingFeature`].
    pub fn of_perturbed(&self, feature: &'static str) -> Result<Array1<f64>, Error> {
        of_genes(&self.genes, feature, self.responses.perturbed())
    }
}

/// Leaves out of every target's frequency the row that it is a score for, so that no label predicts itself.
fn response_frequency(responses: &Responses) -> Array2<f64> {
    let (positive, candidate) = (responses.positive(), responses.candidate());
    let responded = |pair: (usize, usize)| f64::from(u8::from(positive[pair] && candidate[pair]));
    let asked = |pair: (usize, usize)| f64::from(u8::from(candidate[pair]));
    let over_rows = |count: &dyn Fn((usize, usize)) -> f64| -> Array1<f64> {
        (0..positive.ncols())
            .map(|g| (0..positive.nrows()).map(|p| count((p, g))).sum())
            .collect()
    };
    let (n_responded, n_asked) = (over_rows(&responded), over_rows(&asked));
    Array2::from_shape_fn(positive.dim(), |(p, g)| {
        (n_responded[g] - responded((p, g))) / (n_asked[g] - asked((p, g)))
    })
}

pub(crate) fn of_genes(
    table: &GeneTable,
    feature: &'static str,
    panel: &Panel,
) -> Result<Array1<f64>, Error> {
    let values = table.feature(feature).ok_or(Error::MissingFeature(feature))?;
    let of_gene = |gene| {
        table
            .panel()
            .position(gene)
            .map_or(f64::NAN, |position| values[position])
    };
    Ok(panel.genes().iter().map(|gene| of_gene(gene.as_str())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use scfm_core::{EdgeKind, Layer};

    fn genes(values: Array1<f64>) -> GeneTable {
        let mut table = GeneTable::new(Panel::new(["A", "B", "C", "D"]).unwrap());
        for name in [MEAN, VARIANCE, DROPOUT_RATE] {
            table.insert(name, values.clone()).unwrap();
        }
        table
    }

    fn edges(kind: EdgeKind, scores: Array2<f32>) -> EdgeMatrix {
        let sources = Panel::new(["B", "A"]).unwrap();
        EdgeMatrix::new(kind, sources, Panel::new(["A", "B", "C", "D"]).unwrap(), scores).unwrap()
    }

    fn responses() -> Responses {
        let positive = array![[false, true, false, false], [true, false, false, true]];
        Responses::new(
            Panel::new(["A", "B"]).unwrap(),
            Panel::new(["A", "B", "C", "D"]).unwrap(),
            positive,
        )
        .unwrap()
    }

    #[test]
    fn every_score_is_defined_on_the_pairs_that_remain_and_losses_are_counted() {
        let attention = edges(
            EdgeKind::attention(Layer(0)),
            array![[0.1, 0.2, f32::NAN, 0.4], [0.5, 0.6, 0.7, 0.8]],
        );
        let correlation = edges(
            EdgeKind::Spearman,
            array![[-0.3, 1.0, 0.2, 0.1], [1.0, -0.3, 0.1, f32::NAN]],
        );
        let all = genes(array![1.0, 2.0, 3.0, 4.0]);
        let candidates = ScoredCandidates::new(&responses(), &attention, &correlation, &all, 1, 1).unwrap();
        assert_eq!(candidates.responses().perturbed().len(), 1);
        assert_eq!(candidates.responses().perturbed().gene(0).as_str(), "A");
        assert_eq!(candidates.labels().candidate, array![[false, true, true, false]]);
        assert_eq!(candidates.correlation()[[0, 1]], f64::from(0.3f32));
        assert_eq!(candidates.attention()[[0, 2]], f64::from(0.7f32));
        assert_eq!(candidates.of_targets(MEAN).unwrap(), array![1.0, 2.0, 3.0, 4.0]);
        assert!(matches!(
            candidates.of_targets("out_degree"),
            Err(Error::MissingFeature("out_degree"))
        ));
        let counts: Vec<u64> = candidates.ledger().steps().iter().map(|s| s.count).collect();
        assert_eq!(counts, [1, 1, 1, 1, 2]);
    }

    #[test]
    fn no_response_counts_towards_its_own_frequency() {
        let panel = Panel::new(["A", "B", "C", "D"]).unwrap();
        let positive = array![
            [true, true, false, false],
            [true, false, false, true],
            [true, false, true, true],
        ];
        let responses = Responses::new(Panel::new(["A", "B", "C"]).unwrap(), panel, positive).unwrap();
        let expected = array![[1.0, 0.0, 0.0, 1.0], [1.0, 0.5, 0.0, 0.5], [1.0, 1.0, 0.0, 0.5]];
        assert_eq!(response_frequency(&responses), expected);
    }

    #[test]
    fn a_gene_without_finite_features_takes_no_part() {
        let attention = edges(EdgeKind::attention(Layer(0)), Array2::ones((2, 4)));
        let correlation = edges(EdgeKind::Spearman, Array2::ones((2, 4)));
        let partly = genes(array![1.0, 2.0, f64::NAN, 4.0]);
        let candidates =
            ScoredCandidates::new(&responses(), &attention, &correlation, &partly, 1, 1).unwrap();
        assert_eq!(candidates.labels().candidate, array![[false, true, false, true]]);
        let none = genes(Array1::from_elem(4, f64::NAN));
        let error = ScoredCandidates::new(&responses(), &attention, &correlation, &none, 1, 1).unwrap_err();
        assert!(error.to_string().contains("perturbations"), "{error}");
    }
}
