//! Nearest neighbours of the other class within a row, none used twice.

/// A positive and the negatives that it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) positive: usize,
    /// Nearest first.
    pub(crate) negatives: Vec<usize>,
}

/// Gives each of `positives` its `k` nearest of `negatives` by `score`, no further than `caliper` away and none given to
/// another; a positive that finds fewer stays unmatched and takes none.
///
/// Greedy: positives of high score first, since there the negatives are scarce; of equal scores, and of equally distant
/// negatives, the one of lower position first. Every match has `k` negatives, so that matched classes have the same
/// scores on average; with fewer negatives where they are scarce, positives would keep higher ones.
pub(crate) fn match_nearest(
    score: impl Fn(usize) -> f64,
    positives: &[usize],
    negatives: &[usize],
    k: usize,
    caliper: f64,
) -> Vec<Match> {
    let mut positives = positives.to_vec();
    positives.sort_by(|&a, &b| score(b).total_cmp(&score(a)).then(a.cmp(&b)));
    let mut free = negatives.to_vec();
    free.sort_by(|&a, &b| score(a).total_cmp(&score(b)).then(a.cmp(&b)));
    let mut used = vec![false; free.len()];
    let mut matches = Vec::new();
    for positive in positives {
        let at = score(positive);
        let from = free.partition_point(|&negative| score(negative) < at - caliper);
        let to = free.partition_point(|&negative| score(negative) <= at + caliper);
        let mut near: Vec<usize> = (from..to).filter(|&i| !used[i]).collect();
        if near.len() < k {
            continue;
        }
        let distance = |i: usize| (score(free[i]) - at).abs();
        near.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)).then(free[a].cmp(&free[b])));
        near.truncate(k);
        near.iter().for_each(|&i| used[i] = true);
        matches.push(Match {
            positive,
            negatives: near.into_iter().map(|i| free[i]).collect(),
        });
    }
    matches
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The rule read out: scan for the next positive, scan for its next negative, k times.
    fn brute_force(scores: &[f64], labels: &[bool], k: usize, caliper: f64) -> Vec<Match> {
        let n = scores.len();
        let mut waiting: Vec<bool> = labels.to_vec();
        let mut free: Vec<bool> = labels.iter().map(|l| !l).collect();
        let mut matches = Vec::new();
        loop {
            let mut next: Option<usize> = None;
            for i in (0..n).filter(|&i| waiting[i]) {
                if next.is_none_or(|best| scores[i] > scores[best]) {
                    next = Some(i);
                }
            }
            let Some(positive) = next else { return matches };
            waiting[positive] = false;
            let mut taken = Vec::new();
            for _ in 0..k {
                let mut nearest: Option<usize> = None;
                for i in (0..n).filter(|&i| free[i] && !taken.contains(&i)) {
                    let distance = (scores[i] - scores[positive]).abs();
                    if distance <= caliper
                        && nearest.is_none_or(|best| distance < (scores[best] - scores[positive]).abs())
                    {
                        nearest = Some(i);
                    }
                }
                taken.extend(nearest);
            }
            if taken.len() == k {
                taken.iter().for_each(|&i| free[i] = false);
                matches.push(Match {
                    positive,
                    negatives: taken,
                });
            }
        }
    }

    proptest! {
        #[test]
        fn matches_are_those_of_the_rule_read_out(
            // Quarters are exact and tie often.
            cells in prop::collection::vec((-8i32..8, prop::bool::weighted(0.3)), 1..40),
            k in 1usize..4, caliper in 0u8..5,
        ) {
            let scores: Vec<f64> = cells.iter().map(|c| f64::from(c.0) / 4.0).collect();
            let labels: Vec<bool> = cells.iter().map(|c| c.1).collect();
            let caliper = f64::from(caliper) / 4.0;
            let (positives, negatives): (Vec<usize>, Vec<usize>) = (0..scores.len()).partition(|&i| labels[i]);
            let found = match_nearest(|i| scores[i], &positives, &negatives, k, caliper);
            prop_assert_eq!(&found, &brute_force(&scores, &labels, k, caliper));
            let mut given: Vec<usize> = found.iter().flat_map(|m| m.negatives.clone()).collect();
            given.sort_unstable();
            prop_assert!(given.windows(2).all(|w| w[0] < w[1]));
        }
    }

    #[test]
    fn the_positive_that_is_hardest_to_match_comes_first() {
        let scores = [2.0, 3.0, 2.6, 0.0];
        let found = match_nearest(|i| scores[i], &[0, 1], &[2, 3], 1, 1.0);
        assert_eq!(
            found,
            [Match {
                positive: 1,
                negatives: vec![2]
            }]
        );
    }
}
