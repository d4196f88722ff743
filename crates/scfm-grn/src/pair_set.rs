/// Unordered pairs of genes of a panel, as a symmetric matrix of bits: 500 KB for 2,000 genes, however many pairs.
///
/// Sets of co-annotated genes pair hundreds of thousands of genes of a panel, most of them many times over; a bit each
/// counts a pair once and is asked in constant time. A gene is never paired with itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairSet {
    n_genes: usize,
    /// Words of a row.
    width: usize,
    bits: Vec<u64>,
}

impl PairSet {
    /// No pair yet of `n_genes` genes.
    pub fn new(n_genes: usize) -> Self {
        let width = n_genes.div_ceil(64);
        Self {
            n_genes,
            width,
            bits: vec![0; n_genes * width],
        }
    }

    /// Adds the pair of the genes at two positions; nothing where they are one.
    ///
    /// # Panics
    /// When a position is not below the number of genes.
    pub fn insert(&mut self, a: usize, b: usize) {
        assert!(a < self.n_genes && b < self.n_genes, "positions of the panel");
        if a != b {
            self.bits[a * self.width + b / 64] |= 1 << (b % 64);
            self.bits[b * self.width + a / 64] |= 1 << (a % 64);
        }
    }

    /// Adds all pairs of the genes at `members`, a row of words at a time.
    ///
    /// # Panics
    /// When a position is not below the number of genes.
    pub fn insert_all_pairs(&mut self, members: &[usize]) {
        let mut set = vec![0u64; self.width];
        for &member in members {
            assert!(member < self.n_genes, "positions of the panel");
            set[member / 64] |= 1 << (member % 64);
        }
        for &member in members {
            let row = &mut self.bits[member * self.width..(member + 1) * self.width];
            row.iter_mut().zip(&set).for_each(|(row, set)| *row |= set);
            row[member / 64] &= !(1 << (member % 64));
        }
    }

    /// Whether two genes are a pair.
    pub fn contains(&self, a: usize, b: usize) -> bool {
        self.bits[a * self.width + b / 64] >> (b % 64) & 1 == 1
    }

    /// Number of genes of the panel.
    pub fn n_genes(&self) -> usize {
        self.n_genes
    }

    /// Number of unordered pairs.
    pub fn len(&self) -> usize {
        let ones: usize = self.bits.iter().map(|word| word.count_ones() as usize).sum();
        ones / 2
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.bits.iter().all(|&word| word == 0)
    }

    /// Every pair once, the lower position first, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        (0..self.n_genes).flat_map(move |a| {
            (a + 1..self.n_genes)
                .filter(move |&b| self.contains(a, b))
                .map(move |b| (a, b))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_gene_is_no_pair_of_its_own() {
        let mut pairs = PairSet::new(3);
        pairs.insert(1, 1);
        pairs.insert_all_pairs(&[2]);
        assert_eq!((pairs.is_empty(), pairs.len()), (true, 0));
    }

    proptest! {
        #[test]
        fn holds_the_pairs_that_a_set_of_pairs_holds(
            sets in prop::collection::vec(prop::collection::vec(0usize..140, 0..9), 0..12),
            single in prop::collection::vec((0usize..140, 0usize..140), 0..12),
        ) {
            let mut pairs = PairSet::new(140);
            let mut naive = BTreeSet::new();
            for set in &sets {
                pairs.insert_all_pairs(set);
                for &a in set {
                    naive.extend(set.iter().filter(|&&b| a < b).map(|&b| (a, b)));
                }
            }
            for &(a, b) in &single {
                pairs.insert(a, b);
                if a != b {
                    naive.insert((a.min(b), a.max(b)));
                }
            }
            prop_assert_eq!(pairs.len(), naive.len());
            prop_assert_eq!(pairs.iter().collect::<Vec<_>>(), naive.iter().copied().collect::<Vec<_>>());
            for (a, b) in naive {
                prop_assert!(pairs.contains(a, b) && pairs.contains(b, a));
            }
        }
    }
}
