use std::collections::HashMap;

use scfm_core::{Ledger, Panel};

use crate::Error;

/// A panel with the model's token for each gene; genes that the model does not know have none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenPanel {
    panel: Panel,
    tokens: Vec<Option<u32>>,
}

impl TokenPanel {
    /// A panel whose genes have these tokens.
    ///
    /// # Errors
    /// [`Error::SharedToken`] where two genes have one token.
    ///
    /// # Panics
    /// When there is not one entry per gene.
    pub fn new(panel: Panel, tokens: Vec<Option<u32>>) -> Result<Self, Error> {
        assert_eq!(tokens.len(), panel.len(), "an entry for each gene of the panel");
        let mut seen = HashMap::new();
        for (second, token) in tokens.iter().enumerate() {
            let Some(token) = *token else { continue };
            if let Some(first) = seen.insert(token, second) {
                return Err(Error::SharedToken {
                    token,
                    first: panel.gene(first).clone(),
                    second: panel.gene(second).clone(),
                });
            }
        }
        Ok(Self { panel, tokens })
    }

    /// The genes.
    pub fn panel(&self) -> &Panel {
        &self.panel
    }

    /// The token of each gene, in the panel's order.
    pub fn tokens(&self) -> &[Option<u32>] {
        &self.tokens
    }

    /// Number of genes that have a token.
    pub fn n_known(&self) -> usize {
        self.tokens.iter().flatten().count()
    }

    /// What tokenising cells leaves out: the genes without a token, and the cells without a count in any other.
    pub(crate) fn ledger(&self, n_tokenised: usize, empty: &[usize]) -> Ledger {
        let mut ledger = Ledger::new();
        let genes = self.panel.genes().iter().zip(&self.tokens);
        ledger.lost(
            "genes",
            "not in the model's vocabulary",
            (self.panel.len() - self.n_known()) as u64,
            genes.filter(|(_, token)| token.is_none()).map(|(gene, _)| gene),
        );
        ledger.lost(
            "cells",
            "no count in any gene of the model",
            empty.len() as u64,
            empty,
        );
        ledger.kept("cells tokenised", n_tokenised as u64);
        ledger
    }

    /// Position in the panel of each token below `n_tokens`.
    pub(crate) fn positions(&self, n_tokens: usize) -> Vec<Option<u32>> {
        let mut positions = vec![None; n_tokens];
        for (token, position) in self.tokens.iter().zip(0..) {
            if let Some(slot) = token.and_then(|token| positions.get_mut(token as usize)) {
                *slot = Some(position);
            }
        }
        positions
    }
}
