use ndarray::{Array1, Array2, ArrayView1, Axis};
use scfm_attention::geneformer::Geneformer;
use scfm_attention::scgpt::ScGpt;
use scfm_attention::scgpt::training::MASK_VALUE;
use scfm_attention::{Error, Interventions, TokenisedCell, Transformer, ValuedCell};

/// A model that is asked for genes that were hidden from it: what every intervention can reach, wherever it acts.
///
/// Places are positions among a cell's tokens.
pub trait Predictor: Sync {
    /// The model.
    type Model: Transformer<Cell: Clone + Sync>;

    /// Of the genes of a cell at most this share is hidden at once: the least that the family hid in training, since with more
    /// less is left to predict from, and with less a pass says less.
    const HIDDEN_SHARE: f64;

    /// The model.
    fn model(&self) -> &Self::Model;

    /// The cell as the model sees it with the genes at `places` hidden.
    fn hide(&self, cell: &CellOf<Self>, places: &[u32]) -> CellOf<Self>;

    /// What the model predicts at `places` of a cell in which they are hidden, a row for each.
    ///
    /// # Errors
    /// Where the model has no head that predicts, or cannot read the cell.
    fn answers(
        &self,
        hidden: &CellOf<Self>,
        places: &[u32],
        done: &Interventions,
    ) -> Result<Array2<f32>, Error>;

    /// The prediction that others are compared with.
    fn intact(&self, prediction: Array2<f32>) -> Intact;

    /// A prediction beside the truth, which `cell` is, and beside the intact model's.
    fn judge(&self, cell: &CellOf<Self>, places: &[u32], intact: &Intact, altered: &Array2<f32>)
    -> Judgement;
}

/// A cell as the model of a predictor takes it.
pub type CellOf<P> = <<P as Predictor>::Model as Transformer>::Cell;

/// What the intact model predicts.
#[derive(Debug, Clone)]
pub struct Intact {
    prediction: Array2<f32>,
    /// Probabilities of the tokens, where tokens are predicted.
    probabilities: Array2<f32>,
}

impl Intact {
    /// The prediction itself.
    pub fn prediction(&self) -> &Array2<f32> {
        &self.prediction
    }
}

/// A prediction of hidden genes beside the truth and beside the intact model's.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// Loss at each place: nats of the true token, or squared bins.
    pub losses: Vec<f64>,
    /// Rank of the true token among all, from 1, where tokens are predicted.
    pub ranks: Option<Vec<f64>>,
    /// How far the prediction moved, mean over the places: KL(intact ‖ altered) in nats, or squared bins.
    pub divergence: f64,
    /// Cosine distance of what the read-out head puts out, mean over the places; of bins, over all places at once.
    pub logit_distance: f64,
}

/// Geneformer asked for the gene behind a `<mask>`: it answers with a logit of every token.
#[derive(Debug, Clone, Copy)]
pub struct MaskedGene<'a> {
    /// The model.
    pub model: &'a Geneformer,
    /// The token that stands for a hidden gene.
    pub mask: u32,
}

/// scGPT asked for the value of a gene whose value is hidden: it answers with expression in bins.
#[derive(Debug, Clone, Copy)]
pub struct MaskedValue<'a> {
    /// The model.
    pub model: &'a ScGpt,
}

impl Predictor for MaskedGene<'_> {
    type Model = Geneformer;

    const HIDDEN_SHARE: f64 = 0.15;

    fn model(&self) -> &Geneformer {
        self.model
    }

    fn hide(&self, cell: &TokenisedCell, places: &[u32]) -> TokenisedCell {
        let mut hidden = cell.clone();
        for &place in places {
            hidden.tokens[place as usize] = self.mask;
        }
        hidden
    }

    fn answers(
        &self,
        hidden: &TokenisedCell,
        places: &[u32],
        done: &Interventions,
    ) -> Result<Array2<f32>, Error> {
        self.model.masked_gene_logits_under(&hidden.tokens, places, done)
    }

    fn intact(&self, prediction: Array2<f32>) -> Intact {
        let mut probabilities = prediction.clone();
        for mut row in probabilities.rows_mut() {
            let all = log_sum_exp(row.view());
            row.mapv_inplace(|logit| (f64::from(logit) - all).exp() as f32);
        }
        Intact {
            prediction,
            probabilities,
        }
    }

    fn judge(
        &self,
        cell: &TokenisedCell,
        places: &[u32],
        intact: &Intact,
        altered: &Array2<f32>,
    ) -> Judgement {
        let n = places.len();
        let (mut losses, mut ranks) = (Vec::with_capacity(n), Vec::with_capacity(n));
        let (mut divergence, mut logit_distance) = (0.0, 0.0);
        for (row, &place) in places.iter().enumerate() {
            let truth = cell.tokens[place as usize] as usize;
            let (before, after) = (intact.prediction.row(row), altered.row(row));
            let all = log_sum_exp(after);
            losses.push(all - f64::from(after[truth]));
            let (mut above, mut tied) = (0usize, 0usize);
            for &logit in after {
                above += usize::from(logit > after[truth]);
                tied += usize::from(logit == after[truth]);
            }
            ranks.push(above as f64 + f64::midpoint(tied as f64, 1.0));
            // Σ p (ln p - ln q) with both logarithms written out.
            let mean_gap: f64 = intact
                .probabilities
                .row(row)
                .iter()
                .zip(before.iter().zip(after))
                .map(|(&p, (&a, &b))| f64::from(p) * (f64::from(a) - f64::from(b)))
                .sum();
            // Rounding may leave a little below zero where nothing changed.
            divergence += (mean_gap - log_sum_exp(before) + all).max(0.0);
            logit_distance += cosine_distance(before, after);
        }
        Judgement {
            losses,
            ranks: Some(ranks),
            divergence: divergence / n.max(1) as f64,
            logit_distance: logit_distance / n.max(1) as f64,
        }
    }
}

impl Predictor for MaskedValue<'_> {
    type Model = ScGpt;

    const HIDDEN_SHARE: f64 = 0.25;

    fn model(&self) -> &ScGpt {
        self.model
    }

    fn hide(&self, cell: &ValuedCell, places: &[u32]) -> ValuedCell {
        let mut values = cell.values().to_vec();
        for &place in places {
            values[place as usize] = MASK_VALUE;
        }
        ValuedCell::new(cell.as_ref().clone(), values)
    }

    fn answers(
        &self,
        hidden: &ValuedCell,
        places: &[u32],
        done: &Interventions,
    ) -> Result<Array2<f32>, Error> {
        let bins = self.model.expression_under(hidden, places, done)?;
        Ok(Array1::from_vec(bins).insert_axis(Axis(1)))
    }

    fn intact(&self, prediction: Array2<f32>) -> Intact {
        Intact {
            prediction,
            probabilities: Array2::zeros((0, 0)),
        }
    }

    fn judge(&self, cell: &ValuedCell, places: &[u32], intact: &Intact, altered: &Array2<f32>) -> Judgement {
        let truths = places.iter().map(|&place| cell.values()[place as usize]);
        let squared = |a: f32, b: f32| (f64::from(a) - f64::from(b)).powi(2);
        let losses = altered
            .iter()
            .zip(truths)
            .map(|(&bin, truth)| squared(bin, truth));
        let moved = altered
            .iter()
            .zip(&intact.prediction)
            .map(|(&a, &b)| squared(a, b));
        Judgement {
            losses: losses.collect(),
            ranks: None,
            divergence: moved.sum::<f64>() / places.len().max(1) as f64,
            logit_distance: cosine_distance(intact.prediction.column(0), altered.column(0)),
        }
    }
}

/// ln Σ exp of logits.
pub(crate) fn log_sum_exp(logits: ArrayView1<'_, f32>) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits
        .iter()
        .map(|&logit| f64::from((logit - largest).exp()))
        .sum();
    f64::from(largest) + sum.ln()
}

/// 1 - cosine of two vectors; 0 where both are zero, 1 where one is.
pub(crate) fn cosine_distance(a: ArrayView1<'_, f32>, b: ArrayView1<'_, f32>) -> f64 {
    let (mut product, mut of_a, mut of_b) = (0.0f64, 0.0f64, 0.0f64);
    for (&a, &b) in a.iter().zip(b) {
        let (a, b) = (f64::from(a), f64::from(b));
        product += a * b;
        of_a += a * a;
        of_b += b * b;
    }
    if of_a == 0.0 && of_b == 0.0 {
        return 0.0;
    }
    if of_a == 0.0 || of_b == 0.0 {
        return 1.0;
    }
    // Equal vectors may come out a rounding below zero.
    (1.0 - product / (of_a * of_b).sqrt()).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn distances_are_those_of_directions() {
        let (a, b) = (array![1.0, 2.0], array![2.0, 4.0]);
        assert!(cosine_distance(a.view(), b.view()) < 1e-15);
        assert!((cosine_distance(a.view(), array![-2.0, 1.0].view()) - 1.0).abs() < 1e-15);
        let zero = array![0.0, 0.0];
        assert_eq!(cosine_distance(zero.view(), zero.view()), 0.0);
        assert_eq!(cosine_distance(zero.view(), a.view()), 1.0);
        let large = array![1e30f32, -1e30];
        assert_eq!(cosine_distance(large.view(), large.view()), 0.0);
    }

    #[test]
    fn the_logarithm_of_sums_does_not_overflow() {
        let sum = log_sum_exp(array![500.0, 500.0].view());
        assert!((sum - 500.0 - 2f64.ln()).abs() < 1e-9);
    }
}
