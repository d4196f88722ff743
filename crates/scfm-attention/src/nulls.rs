//! What architecture and vocabulary alone give: the same extraction on inputs that hold no regulation. The third null,
//! weights drawn anew, is a random checkpoint: [`geneformer::Checkpoint::random`](crate::geneformer::Checkpoint::random),
//! [`scgpt::Checkpoint::random`](crate::scgpt::Checkpoint::random).

use rand::Rng;
use rand::seq::{SliceRandom, index};
use scfm_core::CountMatrix;
use sprs::TriMat;

use crate::{TokenPanel, TokenisedCell};

/// Genes read as one another: each gene keeps its place in the cell and its value, and is given the token of another gene.
/// What is left of a network is what the order of genes, or their values, and the architecture make of it; what the model
/// learnt of each gene is gone.
///
/// ```
/// use scfm_attention::{TokenPanel, TokenShuffle, TokenisedCell};
/// use scfm_core::{Panel, Seeds};
///
/// let genes = TokenPanel::new(Panel::new(["A", "B", "C"])?, vec![Some(2), Some(3), Some(4)])?;
/// let shuffle = TokenShuffle::new(&genes, &mut Seeds::new(0).stream("example", "tokens", 0));
/// let mut cell = TokenisedCell { cell: 0, tokens: vec![0, 4, 2], columns: vec![None, Some(2), Some(0)] };
/// shuffle.apply(&mut cell);
/// let shuffled = shuffle.panel(&genes);
/// assert_eq!(cell.tokens[0], 0); // stands for no gene
/// assert_eq!(Some(cell.tokens[1]), shuffled.tokens()[2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct TokenShuffle {
    /// The token that stands for each one.
    of_token: Vec<u32>,
}

impl TokenShuffle {
    /// Draws which gene is read as which, among those of `genes` that have a token.
    pub fn new(genes: &TokenPanel, rng: &mut impl Rng) -> Self {
        let known: Vec<u32> = genes.tokens().iter().flatten().copied().collect();
        let mut shuffled = known.clone();
        shuffled.shuffle(rng);
        let n_tokens = known.iter().max().map_or(0, |&token| token + 1);
        let mut of_token: Vec<u32> = (0..n_tokens).collect();
        for (token, other) in known.into_iter().zip(shuffled) {
            of_token[token as usize] = other;
        }
        Self { of_token }
    }

    fn token(&self, token: u32) -> u32 {
        self.of_token.get(token as usize).copied().unwrap_or(token)
    }

    /// Gives the genes of a cell their other tokens.
    pub fn apply(&self, cell: &mut impl AsMut<TokenisedCell>) {
        for token in &mut cell.as_mut().tokens {
            *token = self.token(*token);
        }
    }

    /// The genes of a panel with their other tokens.
    pub fn panel(&self, panel: &TokenPanel) -> TokenPanel {
        let tokens = panel
            .tokens()
            .iter()
            .map(|token| token.map(|token| self.token(token)));
        TokenPanel::new(panel.panel().clone(), tokens.collect()).expect("a permutation keeps tokens apart")
    }
}

/// Every gene's counts dealt out anew among the cells: each keeps how often and how highly it is detected, and co-expression
/// is gone. Totals stay with the cells.
pub fn permute_expression(counts: &CountMatrix, rng: &mut impl Rng) -> CountMatrix {
    let (n_cells, n_genes) = counts.counts().shape();
    let mut permuted = TriMat::new((n_cells, n_genes));
    for (gene, column) in counts.counts().to_csc().outer_iterator().enumerate() {
        let cells = index::sample(rng, n_cells, column.nnz());
        for (cell, (_, &count)) in cells.into_iter().zip(column.iter()) {
            permuted.add_triplet(cell, gene, count);
        }
    }
    CountMatrix::new(
        counts.genes().clone(),
        permuted.to_csr(),
        counts.totals().to_vec(),
    )
    .expect("as many genes and cells as before")
}

#[cfg(test)]
mod tests {
    use super::*;
    use scfm_core::{Panel, Seeds};

    #[test]
    fn permuted_counts_are_the_same_for_each_gene_and_fall_on_other_cells() {
        let dense = ndarray::Array2::from_shape_fn((40, 3), |(cell, gene)| match (cell + gene) % 3 {
            0 => 0.0f32,
            n => (n * (gene + 1)) as f32,
        });
        let genes = Panel::new(["A", "B", "C"]).unwrap();
        let totals: Vec<f64> = (0..40).map(|i| 10.0 + f64::from(i)).collect();
        let counts = CountMatrix::new(genes, sprs::CsMat::csr_from_dense(dense.view(), 0.0), totals).unwrap();
        let permuted = permute_expression(&counts, &mut Seeds::new(3).stream("test", "null", 0));
        let found = permuted.counts().to_dense();
        assert_eq!(permuted.totals(), counts.totals());
        for (before, after) in dense.columns().into_iter().zip(found.columns()) {
            let sorted = |column: ndarray::ArrayView1<'_, f32>| {
                let mut values = column.to_vec();
                values.sort_by(f32::total_cmp);
                values
            };
            assert_eq!(sorted(before), sorted(after));
            assert_ne!(before, after);
        }
    }

    #[test]
    fn shuffled_tokens_are_a_permutation_that_leaves_special_tokens_alone() {
        let n = 50u32;
        let panel = Panel::new((0..n).map(|i| format!("G{i}"))).unwrap();
        let tokens = (0..n).map(|i| (i != 7).then_some(i + 3)).collect();
        let genes = TokenPanel::new(panel, tokens).unwrap();
        let shuffle = TokenShuffle::new(&genes, &mut Seeds::new(3).stream("test", "null", 0));
        let mut cell = TokenisedCell {
            cell: 0,
            tokens: (0..n + 5).collect(),
            columns: vec![None; n as usize + 5],
        };
        let before = cell.tokens.clone();
        shuffle.apply(&mut cell);
        assert_ne!(cell.tokens, before);
        assert_eq!(cell.tokens[..3], before[..3]);
        assert_eq!((cell.tokens[10], cell.tokens[n as usize + 4]), (10, n + 4));
        let mut sorted = cell.tokens.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, before);
    }
}
