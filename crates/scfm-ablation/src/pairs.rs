//! Which pairs of genes are looked at in which cells.

use std::cmp::Reverse;
use std::collections::BTreeSet;

/// A source and a target that could be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CandidatePair {
    /// The source's number.
    pub source: usize,
    /// The target's number.
    pub target: usize,
    /// Lower comes first.
    pub rank: u8,
    /// Cells in which both are expressed.
    pub cells: Vec<usize>,
}

/// At most `n_pairs` pairs of which no two have a gene in common, so that what is found in one says nothing of the next:
/// by rank, then those with more cells, then by number. Self pairs and pairs with fewer than `min_cells` cells are no
/// candidates.
pub fn disjoint_pairs(
    mut candidates: Vec<CandidatePair>,
    n_pairs: usize,
    min_cells: usize,
) -> Vec<CandidatePair> {
    candidates.retain(|pair| pair.source != pair.target && pair.cells.len() >= min_cells);
    candidates.sort_by_key(|pair| (pair.rank, Reverse(pair.cells.len()), pair.source, pair.target));
    let mut taken = BTreeSet::new();
    let mut chosen = Vec::new();
    for pair in candidates {
        if chosen.len() == n_pairs {
            break;
        }
        if !taken.contains(&pair.source) && !taken.contains(&pair.target) {
            taken.extend([pair.source, pair.target]);
            chosen.push(pair);
        }
    }
    chosen
}

/// At most `n_cells` cells of each list, those first that lists before took least often, then in their order: lists share
/// as few cells as they can.
pub fn spread_cells(lists: &[Vec<usize>], n_cells: usize) -> Vec<Vec<usize>> {
    let n = lists.iter().flatten().max().map_or(0, |last| last + 1);
    let mut times = vec![0usize; n];
    lists
        .iter()
        .map(|cells| {
            let mut cells = cells.clone();
            cells.sort_by_key(|&cell| (times[cell], cell));
            cells.truncate(n_cells);
            cells.iter().for_each(|&cell| times[cell] += 1);
            cells
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(source: usize, target: usize, rank: u8, n_cells: usize) -> CandidatePair {
        CandidatePair {
            source,
            target,
            rank,
            cells: (0..n_cells).collect(),
        }
    }

    #[test]
    fn no_gene_is_in_two_pairs_and_the_better_rank_goes_first() {
        let candidates = vec![
            pair(0, 1, 1, 9),
            pair(0, 2, 0, 5),
            pair(3, 1, 1, 4),
            pair(4, 4, 0, 9),
            pair(5, 6, 0, 2),
            pair(2, 7, 0, 9),
        ];
        let chosen = disjoint_pairs(candidates.clone(), 10, 3);
        let genes: Vec<_> = chosen.iter().map(|p| (p.source, p.target)).collect();
        assert_eq!(genes, [(2, 7), (0, 1)]);
        assert_eq!(disjoint_pairs(candidates, 1, 3).len(), 1);
    }

    #[test]
    fn lists_share_cells_only_where_they_must() {
        let all: Vec<usize> = (0..5).collect();
        let chosen = spread_cells(&[all.clone(), all.clone(), all], 2);
        assert_eq!(chosen, [vec![0, 1], vec![2, 3], vec![4, 0]]);
        assert_eq!(spread_cells(&[], 2), Vec::<Vec<usize>>::new());
    }
}
