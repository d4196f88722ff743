//! What a model says of a gene that is hidden from it: a read-out that every intervention can reach.

use scfm_attention::geneformer::{Geneformer, Vocabulary};
use scfm_attention::scgpt::ScGpt;
use scfm_attention::{Interventions, TokenisedCell, Transformer, ValuedCell};

use crate::Error;

/// What scGPT is told in place of a value that it is to give: `mask_value` of every released `args.json`.
const HIDDEN_VALUE: f32 = -1.0;

/// A model that is asked about genes hidden from it.
///
/// Places are positions among a cell's tokens.
pub trait ReadOut: Sync {
    /// The model.
    type Model: Transformer<Cell: Clone + Sync>;

    /// The model.
    fn model(&self) -> &Self::Model;

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

    /// The cell with what is to be predicted hidden.
    fn hide(&self, cell: &CellOf<Self>, places: &[usize]) -> CellOf<Self>;

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
    ) -> Result<Vec<f64>, Error>;
}

/// A cell as the model of a read-out takes it.
pub type CellOf<R> = <<R as ReadOut>::Model as Transformer>::Cell;

/// Geneformer asked for the gene behind a `<mask>`: natural logarithm of the gene's probability among all tokens.
#[derive(Debug, Clone, Copy)]
pub struct MaskedGene<'a> {
    model: &'a Geneformer,
    mask: u32,
}

impl<'a> MaskedGene<'a> {
    /// The read-out of a model with its vocabulary.
    pub fn new(model: &'a Geneformer, vocabulary: &Vocabulary) -> Self {
        Self {
            model,
            mask: vocabulary.mask(),
        }
    }

    fn masked(self, cell: &TokenisedCell, places: &[usize]) -> TokenisedCell {
        let mut cell = cell.clone();
        for &place in places {
            cell.tokens[place] = self.mask;
        }
        cell
    }
}

impl ReadOut for MaskedGene<'_> {
    type Model = Geneformer;

    fn model(&self) -> &Geneformer {
        self.model
    }

    fn unit(&self) -> &'static str {
        "log-probability of the masked gene (nats)"
    }

    fn silencing(&self) -> &'static str {
        "its token becomes <mask>, all others keep their ranks"
    }

    fn is_expressed(&self, _: &TokenisedCell, _: usize) -> bool {
        true
    }

    fn hide(&self, cell: &TokenisedCell, places: &[usize]) -> TokenisedCell {
        self.masked(cell, places)
    }

    fn silence(&self, cell: &TokenisedCell, place: usize) -> TokenisedCell {
        self.masked(cell, &[place])
    }

    fn delete(&self, cell: &TokenisedCell, place: usize) -> TokenisedCell {
        let mut cell = cell.clone();
        cell.tokens.remove(place);
        cell.columns.remove(place);
        cell
    }

    fn predict(
        &self,
        cell: &TokenisedCell,
        genes: &[(usize, u32)],
        done: &Interventions,
    ) -> Result<Vec<f64>, Error> {
        let places: Vec<u32> = genes.iter().map(|&(place, _)| place as u32).collect();
        let logits = self.model.masked_gene_logits_under(&cell.tokens, &places, done)?;
        Ok(logits
            .outer_iter()
            .zip(genes)
            .map(|(row, &(_, token))| {
                let largest = f64::from(row.fold(f32::NEG_INFINITY, |a, &b| a.max(b)));
                let sum: f64 = row.iter().map(|&logit| (f64::from(logit) - largest).exp()).sum();
                f64::from(row[token as usize]) - largest - sum.ln()
            })
            .collect())
    }
}

/// scGPT asked for the value of a gene whose value is hidden: expression in bins.
#[derive(Debug, Clone, Copy)]
pub struct MaskedValue<'a> {
    model: &'a ScGpt,
}

impl<'a> MaskedValue<'a> {
    /// The read-out of a model.
    pub fn new(model: &'a ScGpt) -> Self {
        Self { model }
    }
}

fn with_values(cell: &ValuedCell, places: &[usize], value: f32) -> ValuedCell {
    let mut values = cell.values().to_vec();
    for &place in places {
        values[place] = value;
    }
    ValuedCell::new(cell.as_ref().clone(), values)
}

impl ReadOut for MaskedValue<'_> {
    type Model = ScGpt;

    fn model(&self) -> &ScGpt {
        self.model
    }

    fn unit(&self) -> &'static str {
        "predicted expression (bins)"
    }

    fn silencing(&self) -> &'static str {
        "its value becomes 0, its token stays"
    }

    fn is_expressed(&self, cell: &ValuedCell, place: usize) -> bool {
        cell.values()[place] > 0.0
    }

    fn hide(&self, cell: &ValuedCell, places: &[usize]) -> ValuedCell {
        with_values(cell, places, HIDDEN_VALUE)
    }

    fn silence(&self, cell: &ValuedCell, place: usize) -> ValuedCell {
        with_values(cell, &[place], 0.0)
    }

    fn delete(&self, cell: &ValuedCell, place: usize) -> ValuedCell {
        let mut values = cell.values().to_vec();
        let mut tokens: TokenisedCell = cell.as_ref().clone();
        values.remove(place);
        tokens.tokens.remove(place);
        tokens.columns.remove(place);
        ValuedCell::new(tokens, values)
    }

    fn predict(
        &self,
        cell: &ValuedCell,
        genes: &[(usize, u32)],
        done: &Interventions,
    ) -> Result<Vec<f64>, Error> {
        let expression = self.model.expression_under(cell, done)?;
        Ok(genes
            .iter()
            .map(|&(place, _)| f64::from(expression[place]))
            .collect())
    }
}
