//! What a model says of a gene that is hidden from it: a read-out that every intervention can reach.

use ndarray::ArrayView1;
use scfm_attention::{Interventions, TokenisedCell, ValuedCell};

use crate::predictor::log_sum_exp;
use crate::{CellOf, Error, MaskedGene, MaskedValue, Predictor};

/// A [`Predictor`] whose answer for a gene is one number, and from whose cells genes can be taken.
pub trait ReadOut: Predictor {
    /// The unit of what is predicted.
    fn unit(&self) -> &'static str;

    /// How a gene is taken out without moving another, in words.
    fn silencing(&self) -> &'static str;

    /// Whether the gene at a place is expressed; a gene of value 0 is a token where cells list all genes.
    fn is_expressed(&self, cell: &CellOf<Self>, place: usize) -> bool;

    /// Where the gene of this column is expressed in a cell; `None` where it is not.
    fn place(&self, cell: &CellOf<Self>, column: u32) -> Option<usize> {
        let columns = &cell.as_ref().columns;
        (0..columns.len()).find(|&place| columns[place] == Some(column) && self.is_expressed(cell, place))
    }

    /// What an answer says of the gene with this token.
    fn number(&self, answer: ArrayView1<'_, f32>, token: u32) -> f64;

    /// The cell with what is to be predicted hidden.
    fn hide_at(&self, cell: &CellOf<Self>, places: &[usize]) -> CellOf<Self> {
        self.hide(cell, &as_places(places.iter().copied()))
    }

    /// The cell with a gene knocked out in its place, so that all tokens stay where they are.
    fn silence(&self, cell: &CellOf<Self>, place: usize) -> CellOf<Self>;

    /// The cell without the gene's token: those behind it move up.
    fn delete(&self, cell: &CellOf<Self>, place: usize) -> CellOf<Self>;

    /// What the model says of the genes with these tokens at their places, one number each, while something is done to it.
    ///
    /// # Errors
    /// Those of the model.
    fn predict(
        &self,
        cell: &CellOf<Self>,
        genes: &[(usize, u32)],
        done: &Interventions,
    ) -> Result<Vec<f64>, Error> {
        let places = as_places(genes.iter().map(|&(place, _)| place));
        let answers = self.answers(cell, &places, done)?;
        let rows = answers.outer_iter().zip(genes);
        Ok(rows.map(|(row, &(_, token))| self.number(row, token)).collect())
    }
}

/// Cells are never as long as `u32` counts.
fn as_places(places: impl Iterator<Item = usize>) -> Vec<u32> {
    places.map(|place| place as u32).collect()
}

impl ReadOut for MaskedGene<'_> {
    fn unit(&self) -> &'static str {
        "log-probability of the masked gene (nats)"
    }

    fn silencing(&self) -> &'static str {
        "its token becomes <mask>, all others keep their ranks"
    }

    fn is_expressed(&self, _: &TokenisedCell, _: usize) -> bool {
        true
    }

    fn number(&self, answer: ArrayView1<'_, f32>, token: u32) -> f64 {
        f64::from(answer[token as usize]) - log_sum_exp(answer)
    }

    fn silence(&self, cell: &TokenisedCell, place: usize) -> TokenisedCell {
        self.hide_at(cell, &[place])
    }

    fn delete(&self, cell: &TokenisedCell, place: usize) -> TokenisedCell {
        let mut cell = cell.clone();
        cell.tokens.remove(place);
        cell.columns.remove(place);
        cell
    }
}

impl ReadOut for MaskedValue<'_> {
    fn unit(&self) -> &'static str {
        "predicted expression (bins)"
    }

    fn silencing(&self) -> &'static str {
        "its value becomes 0, its token stays"
    }

    fn is_expressed(&self, cell: &ValuedCell, place: usize) -> bool {
        cell.values()[place] > 0.0
    }

    fn number(&self, answer: ArrayView1<'_, f32>, _: u32) -> f64 {
        f64::from(answer[0])
    }

    fn silence(&self, cell: &ValuedCell, place: usize) -> ValuedCell {
        let mut values = cell.values().to_vec();
        values[place] = 0.0;
        ValuedCell::new(cell.as_ref().clone(), values)
    }

    fn delete(&self, cell: &ValuedCell, place: usize) -> ValuedCell {
        let mut values = cell.values().to_vec();
        let mut tokens: TokenisedCell = cell.as_ref().clone();
        values.remove(place);
        tokens.tokens.remove(place);
        tokens.columns.remove(place);
        ValuedCell::new(tokens, values)
    }
}
