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
