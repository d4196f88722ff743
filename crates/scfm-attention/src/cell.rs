/// One cell as a model reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenisedCell {
    /// Row of the cell in the count matrix that it comes from, for messages and for matching with annotations.
    pub cell: usize,
    /// Its tokens in the model's order.
    pub tokens: Vec<u32>,
    /// The column of the count matrix behind each token; `None` for tokens that stand for no gene.
    pub columns: Vec<Option<u32>>,
}

impl AsRef<Self> for TokenisedCell {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl AsMut<Self> for TokenisedCell {
    fn as_mut(&mut self) -> &mut Self {
        self
    }
}

/// One cell as a model reads it that is told a value for each gene.
#[derive(Debug, Clone, PartialEq)]
pub struct ValuedCell {
    cell: TokenisedCell,
    values: Vec<f32>,
}

impl ValuedCell {
    /// A cell whose tokens have these values.
    ///
    /// # Panics
    /// When there is not one value for each token.
    pub fn new(cell: TokenisedCell, values: Vec<f32>) -> Self {
        assert_eq!(cell.tokens.len(), values.len(), "a value for each token");
        Self { cell, values }
    }

    /// Row of the cell in the count matrix that it comes from.
    pub fn row(&self) -> usize {
        self.cell.cell
    }

    /// The tokens.
    pub fn tokens(&self) -> &[u32] {
        &self.cell.tokens
    }

    /// The value of each token, in the order of the tokens.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

impl AsRef<TokenisedCell> for ValuedCell {
    fn as_ref(&self) -> &TokenisedCell {
        &self.cell
    }
}

impl AsMut<TokenisedCell> for ValuedCell {
    fn as_mut(&mut self) -> &mut TokenisedCell {
        &mut self.cell
    }
}
