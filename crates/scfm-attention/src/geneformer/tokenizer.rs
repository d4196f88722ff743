use scfm_core::{CountMatrix, Ledger};
use sprs::CsVecView;

use crate::geneformer::Vocabulary;
use crate::{Error, TokenPanel, TokenisedCell};

/// Turns counts into Geneformer's rank-value encoding: the genes of a cell in descending order of
/// count / total × 10,000 / median, ties in order of column, cut to the model's length.
///
/// The arithmetic is that of Geneformer's `TranscriptomeTokenizer` on a sparse matrix with 64-bit totals, where
/// division is multiplication by the reciprocal: `((count · (1 / total)) · 10000) · (1 / median)`. It decides
/// the order of near-ties. Where values tie exactly the original order depends on numpy and the processor.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    genes: TokenPanel,
    /// By column, 1 / median.
    inverse_medians: Vec<f64>,
    frame: Option<(u32, u32)>,
    max_genes: usize,
}

impl Tokenizer {
    /// A tokeniser for count matrices over `genes`, for a model that takes `max_length` tokens (2048 for V1, 4096
    /// for V2).
    ///
    /// # Panics
    /// When a token of `genes` is not one of the vocabulary's genes.
    pub fn new(vocabulary: &Vocabulary, genes: TokenPanel, max_length: usize) -> Self {
        let inverse_median = |token: u32| {
            1.0 / vocabulary
                .median(token)
                .expect("a token of the vocabulary's genes")
        };
        let frame = vocabulary.frame();
        Self {
            inverse_medians: genes
                .tokens()
                .iter()
                .map(|t| t.map_or(f64::NAN, inverse_median))
                .collect(),
            max_genes: max_length.saturating_sub(if frame.is_some() { 2 } else { 0 }),
            genes,
            frame,
        }
    }

    /// The tokens of one cell, `None` where none of the model's genes has a count.
    ///
    /// # Errors
    /// [`Error::Total`] for a cell that has counts but no positive total.
    ///
    /// # Panics
    /// When `counts` has another length than the tokeniser's genes.
    pub fn cell(
        &self,
        cell: usize,
        counts: CsVecView<'_, f32>,
        total: f64,
    ) -> Result<Option<TokenisedCell>, Error> {
        assert_eq!(
            counts.dim(),
            self.inverse_medians.len(),
            "a column for each gene of the tokeniser"
        );
        let reciprocal = 1.0 / total;
        let mut ranked: Vec<(f64, u32, u32)> = counts
            .iter()
            .filter(|&(_, &count)| count > 0.0)
            .filter_map(|(column, &count)| {
                let token = self.genes.tokens()[column]?;
                let value = ((f64::from(count) * reciprocal) * 1e4) * self.inverse_medians[column];
                Some((value, column as u32, token))
            })
            .collect();
        if ranked.is_empty() {
            return Ok(None);
        }
        if !(total > 0.0 && total.is_finite()) {
            return Err(Error::Total { cell, total });
        }
        ranked.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        ranked.truncate(self.max_genes);

        let genes = ranked.iter().map(|&(_, column, token)| (token, Some(column)));
        let (before, after) = self.frame.map(|(cls, eos)| ((cls, None), (eos, None))).unzip();
        let (tokens, columns) = before.into_iter().chain(genes).chain(after).unzip();
        Ok(Some(TokenisedCell {
            cell,
            tokens,
            columns,
        }))
    }

    /// The tokens of all cells that have any, and how many cells and genes were left out.
    ///
    /// # Errors
    /// Those of [`Tokenizer::cell`].
    ///
    /// # Panics
    /// When the columns are not the tokeniser's genes.
    pub fn cells(&self, counts: &CountMatrix) -> Result<(Vec<TokenisedCell>, Ledger), Error> {
        assert_eq!(
            counts.genes(),
            self.genes.panel(),
            "the count matrix has the tokeniser's genes"
        );
        let mut cells = Vec::with_capacity(counts.n_cells());
        let mut empty = Vec::new();
        for (cell, (row, &total)) in counts.counts().outer_iterator().zip(counts.totals()).enumerate() {
            match self.cell(cell, row, total)? {
                Some(tokenised) => cells.push(tokenised),
                None => empty.push(cell),
            }
        }
        let ledger = self.genes.ledger(cells.len(), &empty);
        Ok((cells, ledger))
    }
}
