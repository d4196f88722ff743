use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::{Error, GeneId};

/// An ordered list of distinct genes, with the way back from a gene to its position. Cheap to clone.
#[derive(Clone)]
pub struct Panel(Arc<Inner>);

struct Inner {
    genes: Vec<GeneId>,
    position: HashMap<GeneId, usize>,
}

impl Panel {
    /// A panel of `genes` in the given order.
    ///
    /// # Errors
    /// [`Error::DuplicateGene`] where a gene comes twice.
    pub fn new<I>(genes: I) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: Into<GeneId>,
    {
        let genes: Vec<GeneId> = genes.into_iter().map(Into::into).collect();
        let mut position = HashMap::with_capacity(genes.len());
        for (second, gene) in genes.iter().enumerate() {
            if let Some(first) = position.insert(gene.clone(), second) {
                return Err(Error::DuplicateGene {
                    gene: gene.clone(),
                    first,
                    second,
                });
            }
        }
        Ok(Self(Arc::new(Inner { genes, position })))
    }

    /// Number of genes.
    pub fn len(&self) -> usize {
        self.0.genes.len()
    }

    /// Whether the panel has no gene at all.
    pub fn is_empty(&self) -> bool {
        self.0.genes.is_empty()
    }

    /// Position of a gene, if the panel has it.
    pub fn position(&self, gene: &str) -> Option<usize> {
        self.0.position.get(gene).copied()
    }

    /// Whether the panel has the gene.
    pub fn contains(&self, gene: &str) -> bool {
        self.0.position.contains_key(gene)
    }

    /// The gene at a position.
    ///
    /// # Panics
    /// When `position` is not below [`Panel::len`].
    pub fn gene(&self, position: usize) -> &GeneId {
        &self.0.genes[position]
    }

    /// The genes in order.
    pub fn genes(&self) -> &[GeneId] {
        &self.0.genes
    }
}

impl PartialEq for Panel {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.genes == other.0.genes
    }
}

impl Eq for Panel {}

impl fmt::Debug for Panel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0.genes).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_gene_that_comes_twice_is_named_with_both_positions() {
        let error = Panel::new(["A", "B", "A"]).unwrap_err();
        assert_eq!(
            error,
            Error::DuplicateGene {
                gene: "A".into(),
                first: 0,
                second: 2
            }
        );
    }

    proptest! {
        #[test]
        fn position_inverts_gene(genes in prop::collection::hash_set("[A-Z]{1,4}", 0..30)) {
            let panel = Panel::new(&genes).unwrap();
            for (i, gene) in panel.genes().iter().enumerate() {
                prop_assert_eq!(panel.position(gene.as_str()), Some(i));
                prop_assert_eq!(panel.gene(i), gene);
            }
            prop_assert_eq!(panel.len(), genes.len());
            prop_assert_eq!(panel.position("not a gene"), None);
        }
    }
}
