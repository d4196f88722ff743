//! Who looks at what happens in a model, and what is shown.

use ndarray::ArrayView2;
use scfm_core::{Head, Layer};

/// What of a layer is looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wants {
    pub(crate) logits: bool,
    pub(crate) attention: bool,
    pub(crate) lengths: bool,
    pub(crate) contexts: bool,
    pub(crate) mlp: bool,
    pub(crate) hidden: bool,
}

impl Wants {
    pub(crate) fn any(self) -> bool {
        self != Self::default()
    }
}

/// Who looks at what happens.
pub(crate) trait Observer {
    /// What is looked at of a layer.
    fn wants(&self, layer: Layer) -> Wants;

    /// Hears of one of the things that are wanted. Of a layer, lengths come first, then all heads of a block of queries in
    /// order before the next queries, each with its logits before its attention; then the rest.
    fn see(&mut self, layer: Layer, seen: Seen<'_>);
}

/// Something that is looked at.
pub(crate) enum Seen<'a> {
    /// `q kᵀ / √d`. All queries come in one block.
    Logits(AttentionBlock<'a>),
    /// Softmax probabilities; every row sums to 1.
    Attention(AttentionBlock<'a>),
    /// For each head and key, the length of what the head passes on of the key, `‖v W_O‖`, `[head, key]`.
    Lengths(ArrayView2<'a, f32>),
    /// Contexts of all heads side by side, `[query, D]`, with the positions of the queries.
    Contexts(&'a [u32], ArrayView2<'a, f32>),
    /// What the feed-forward step adds, `[token, D]`.
    Mlp(ArrayView2<'a, f32>),
    /// The output, `[token, D]`.
    Hidden(ArrayView2<'a, f32>),
}

/// Numbers of one head for some of the queries of a cell and all of its keys.
pub(crate) struct AttentionBlock<'a> {
    /// The head.
    pub(crate) head: Head,
    /// Positions of the queries in the cell.
    pub(crate) queries: &'a [u32],
    /// The numbers, `[query, key]`.
    pub(crate) values: ArrayView2<'a, f32>,
}
