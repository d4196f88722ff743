use ndarray::{Array2, ArrayView2};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::PValue;
use crate::bootstrap::resamples;
use crate::error::{Error, Undefined};
use crate::permutation::as_extreme;
use crate::ranks::SortedScores;
use crate::result::{Alternative, EffectKind, TestResult};

/// A covariate that ranks a score to this share of its variance leaves nothing of it.
const COLLINEAR: f64 = 1e-10;

/// What of one score over the ordered pairs of nodes goes with memberships, given a second score.
#[derive(Debug, Clone)]
pub struct PartialMembership {
    /// The partial rank correlation, tested by permuting nodes.
    pub test: TestResult,
    /// The rank correlation without regard to the covariate.
    pub raw: f64,
}

/// Partial Spearman correlations of a score with membership of pairs in each of several sets, given a covariate, over the
/// ordered pairs of different nodes that have a score; tested by permuting the nodes of the sets and of the covariate
/// jointly, two-sided.
///
/// Scores and covariate are ranked over these pairs, and all are regressed on the covariate's ranks once. A permutation
/// then moves the memberships' residuals, rows and columns together, over the fixed residuals of the score (the
/// semi-partialling of Dekker, Krackhardt and Snijders 2007, doi:10.1007/s11336-007-9016-1). The residual of a
/// membership is a multiple of the covariate's ranks beside the membership itself, so one pass over the covariate serves
/// all sets, and each costs its own pairs only. Pairs without a score stay where they are and take no part.
///
/// `covariate` must be symmetric and complete off the diagonal; `members` holds ordered pairs. Permutation i draws from
/// `stream(i)`. O(`n_permutations` · (nodes² + pairs of all sets)), on all threads.
///
/// # Errors
/// Of the whole: [`Undefined::TooFew`] below 4 pairs, [`Undefined::Constant`] for a score or covariate without variation, or a
/// score that the covariate determines; [`Error::Shape`], [`Error::CellNotANumber`] for a covariate that is missing,
/// [`Error::OutOfRange`] for 0 permutations or a pair beyond the nodes. Of one set: [`Undefined::Constant`] where it has
/// no pair or all.
pub fn node_permutation_partial(
    scores: ArrayView2<f64>,
    covariate: ArrayView2<f64>,
    members: &[Vec<(u32, u32)>],
    n_permutations: usize,
    stream: impl Fn(u64) -> ChaCha8Rng + Sync,
) -> Result<Vec<Result<PartialMembership, Undefined>>, Error> {
    resamples(n_permutations)?;
    let pairs = Residuals::new(scores, covariate)?;
    let sets: Vec<Result<Set, Undefined>> = members
        .iter()
        .map(|members| Set::new(members, &pairs))
        .collect::<Result<_, Error>>()?;
    let identity: Vec<u32> = (0..pairs.nodes as u32).collect();
    let statistics = |node_of: &[u32]| {
        let along = pairs.along_covariate(node_of);
        let of = |set: &Result<Set, Undefined>| {
            set.as_ref().map_or(0.0, |set| {
                (pairs.over(set, node_of) - set.slope * along) / set.scale
            })
        };
        sets.iter().map(of).collect::<Vec<f64>>()
    };
    let observed = statistics(&identity);
    let permuted: Vec<Vec<f64>> = (0..n_permutations as u64)
        .into_par_iter()
        .map(|index| {
            let mut node_of = identity.clone();
            node_of.shuffle(&mut stream(index));
            statistics(&node_of)
        })
        .collect();
    let result = |(at, set): (usize, Result<Set, Undefined>)| {
        let raw = set?.raw;
        let exceeding = permuted
            .iter()
            .filter(|values| as_extreme(observed[at], values[at], Alternative::TwoSided))
            .count();
        Ok(PartialMembership {
            test: TestResult {
                method: "node permutation of the partial Spearman correlation",
                alternative: Alternative::TwoSided,
                statistic: observed[at],
                p: PValue::new((1 + exceeding) as f64 / (1 + n_permutations) as f64),
                sides: None,
                effect: observed[at],
                effect_kind: EffectKind::Correlation,
                ci: None,
                n: pairs.nodes,
                n_unit: "nodes",
            },
            raw,
        })
    };
    Ok(sets.into_iter().enumerate().map(result).collect())
}

/// What the covariate leaves of the ranks of a score.
struct Residuals {
    nodes: usize,
    n_pairs: usize,
    /// Centred ranks of the score; 0 where there is none.
    ranks: Array2<f64>,
    /// Residuals of the score, row by row; 0 where there is none.
    score: Vec<f32>,
    /// Residuals of a pair and its reverse added up, row by row.
    folded: Vec<f32>,
    score_norm: f64,
    rank_norm: f64,
    /// Centred ranks of the covariate.
    covariate: Array2<f64>,
    /// The same above the diagonal, row by row.
    covariate_above: Vec<f32>,
    covariate_squares: f64,
    defined: Array2<bool>,
}

impl Residuals {
    fn new(scores: ArrayView2<f64>, covariate: ArrayView2<f64>) -> Result<Self, Error> {
        let nodes = scores.nrows();
        for (what, matrix) in [("scores", scores), ("covariate", covariate)] {
            if matrix.dim() != (nodes, nodes) {
                return Err(Error::Shape {
                    what,
                    expected: (nodes, nodes),
                    got: matrix.dim(),
                });
            }
        }
        let missing = covariate
            .indexed_iter()
            .find(|((row, column), value)| row != column && value.is_nan());
        if let Some(((row, column), _)) = missing {
            return Err(Error::CellNotANumber {
                what: "covariate",
                row,
                column,
            });
        }
        let defined = Array2::from_shape_fn((nodes, nodes), |(a, b)| a != b && !scores[[a, b]].is_nan());
        let n_pairs = defined.iter().filter(|&&defined| defined).count();
        if n_pairs < 4 {
            return Err(Undefined::TooFew {
                what: "pairs with a score",
                n: n_pairs,
                needed: 4,
            }
            .into());
        }
        let ranks = ranks_over(scores, &defined);
        // Ranked over all pairs off the diagonal, so that a permutation permutes its ranks.
        let off_diagonal = Array2::from_shape_fn((nodes, nodes), |(a, b)| a != b);
        let covariate = ranks_over(covariate, &off_diagonal);
        // The mean over the pairs with a score is taken out of the score, hence need not be of anything else.
        let (mut along, mut squares, mut sum) = (0.0, 0.0, 0.0);
        for ((&rank, &c), &defined) in ranks.iter().zip(&covariate).zip(&defined) {
            if defined {
                along += rank * c;
                squares += c * c;
                sum += c;
            }
        }
        let n = n_pairs as f64;
        let covariate_squares = squares - sum * sum / n;
        let rank_squares: f64 = ranks.iter().map(|rank| rank * rank).sum();
        if covariate_squares <= COLLINEAR * squares || rank_squares == 0.0 {
            let what = if rank_squares == 0.0 { "score" } else { "covariate" };
            return Err(Undefined::Constant { what }.into());
        }
        let slope = along / covariate_squares;
        let mean = sum / n;
        let mut score = ranks.clone();
        for ((value, &c), &defined) in score.iter_mut().zip(&covariate).zip(&defined) {
            if defined {
                *value -= slope * (c - mean);
            }
        }
        let score_squares: f64 = score.iter().map(|value| value * value).sum();
        if score_squares <= COLLINEAR * rank_squares {
            return Err(Undefined::Constant {
                what: "score, given the covariate,",
            }
            .into());
        }
        // Products in single precision: unit scale keeps the sums of a row far from its limits.
        let unit = (score_squares / n).sqrt();
        let covariate_unit = (covariate_squares / n).sqrt();
        score.mapv_inplace(|value| value / unit);
        let covariate = covariate.mapv(|c| c / covariate_unit);
        let folded = score
            .iter()
            .zip(score.t())
            .map(|(there, back)| (there + back) as f32)
            .collect();
        let score = score.iter().map(|&value| value as f32).collect();
        let covariate_above = (0..nodes)
            .flat_map(|a| (a + 1..nodes).map(move |b| [a, b]))
            .map(|pair| covariate[pair] as f32)
            .collect();
        Ok(Self {
            nodes,
            n_pairs,
            ranks,
            score,
            folded,
            score_norm: n.sqrt(),
            rank_norm: rank_squares.sqrt(),
            covariate_above,
            covariate_squares: n,
            covariate,
            defined,
        })
    }

    /// Σ score residual · covariate after the covariate's nodes were renamed; the covariate is symmetric.
    fn along_covariate(&self, node_of: &[u32]) -> f64 {
        let mut rest = self.covariate_above.as_slice();
        let mut total = 0.0;
        for (node, &renamed) in node_of.iter().enumerate() {
            let (row, after) = rest.split_at(self.nodes - node - 1);
            rest = after;
            let scores = self.row(&self.folded, renamed);
            let others = &node_of[node + 1..];
            total += f64::from(in_lanes(row.len(), |at| row[at] * scores[others[at] as usize]));
        }
        total
    }

    /// Σ score residual over the pairs of a set after its nodes were renamed.
    fn over(&self, set: &Set, node_of: &[u32]) -> f64 {
        let of = |pairs: &Rows, scores: &[f32]| {
            let mut total = 0.0;
            for (node, others) in pairs.rows() {
                let scores = self.row(scores, node_of[node]);
                total += f64::from(in_lanes(others.len(), |at| {
                    scores[node_of[others[at] as usize] as usize]
                }));
            }
            total
        };
        of(&set.both_ways, &self.folded) + of(&set.one_way, &self.score)
    }

    fn row<'a>(&self, matrix: &'a [f32], node: u32) -> &'a [f32] {
        let start = node as usize * self.nodes;
        &matrix[start..start + self.nodes]
    }
}

/// A sum of `n` values in four lanes, since an addition waits for the one before it.
fn in_lanes(n: usize, value: impl Fn(usize) -> f32) -> f32 {
    let mut sums = [0.0; 4];
    let whole = n - n % 4;
    for start in (0..whole).step_by(4) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += value(start + lane);
        }
    }
    for at in whole..n {
        sums[0] += value(at);
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

/// Pairs by their first node.
struct Rows {
    /// A node and where its partners end.
    ends: Vec<(usize, usize)>,
    partners: Vec<u32>,
}

impl Rows {
    /// Of pairs in ascending order.
    fn new(pairs: impl Iterator<Item = (u32, u32)>) -> Self {
        let (mut ends, mut partners): (Vec<(usize, usize)>, Vec<u32>) = (Vec::new(), Vec::new());
        for (a, b) in pairs {
            partners.push(b);
            match ends.last_mut() {
                Some((node, end)) if *node == a as usize => *end = partners.len(),
                _ => ends.push((a as usize, partners.len())),
            }
        }
        Self { ends, partners }
    }

    fn rows(&self) -> impl Iterator<Item = (usize, &[u32])> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|&(_, end)| end));
        let rows = self.ends.iter().zip(starts);
        rows.map(|(&(node, end), start)| (node, &self.partners[start..end]))
    }
}

/// A set of pairs beside the covariate.
struct Set {
    /// Pairs that are there in both directions, the lower node first.
    both_ways: Rows,
    /// The others.
    one_way: Rows,
    /// Slope of the membership on the covariate's ranks.
    slope: f64,
    /// Norms of both residuals.
    scale: f64,
    raw: f64,
}

impl Set {
    fn new(members: &[(u32, u32)], pairs: &Residuals) -> Result<Result<Self, Undefined>, Error> {
        let nodes = pairs.nodes;
        let mut kept: Vec<(u32, u32)> = members.to_vec();
        kept.sort_unstable();
        kept.dedup();
        if let Some(&(a, b)) = kept.iter().find(|&&(a, b)| a.max(b) as usize >= nodes) {
            return Err(Error::OutOfRange {
                what: "node of a pair",
                value: f64::from(a.max(b)),
                expected: "below the number of nodes",
            });
        }
        kept.retain(|&(a, b)| a != b);
        let scored = || {
            kept.iter()
                .map(|&(a, b)| [a as usize, b as usize])
                .filter(|&pair| pairs.defined[pair])
        };
        let (n, n_members) = (pairs.n_pairs as f64, scored().count() as f64);
        if n_members == 0.0 || n_members == n {
            return Ok(Err(Undefined::Constant { what: "membership" }));
        }
        let squares = n_members * (1.0 - n_members / n);
        let mean: f64 = pairs
            .covariate
            .iter()
            .zip(&pairs.defined)
            .filter(|&(_, &defined)| defined)
            .map(|(c, _)| c)
            .sum::<f64>()
            / n;
        let along: f64 = scored().map(|pair| pairs.covariate[pair] - mean).sum();
        let slope = along / pairs.covariate_squares;
        let left = squares - slope * along;
        if left <= COLLINEAR * squares {
            return Ok(Err(Undefined::Constant {
                what: "membership, given the covariate,",
            }));
        }
        let raw = scored().map(|pair| pairs.ranks[pair]).sum::<f64>() / (pairs.rank_norm * squares.sqrt());
        let mutual = |&&(a, b): &&(u32, u32)| kept.binary_search(&(b, a)).is_ok();
        Ok(Ok(Self {
            both_ways: Rows::new(kept.iter().filter(mutual).filter(|(a, b)| a < b).copied()),
            one_way: Rows::new(kept.iter().filter(|pair| !mutual(pair)).copied()),
            slope,
            scale: pairs.score_norm * left.sqrt(),
            raw,
        }))
    }
}

/// Centred mid-ranks of the cells where `defined`; 0 elsewhere.
fn ranks_over(matrix: ArrayView2<f64>, defined: &Array2<bool>) -> Array2<f64> {
    let columns = matrix.ncols();
    let cell = |at: usize| [at / columns, at % columns];
    let positions = (0..matrix.len()).filter(|&at| defined[cell(at)]);
    let sorted = SortedScores::of_masked(positions, matrix.len(), |at| matrix[cell(at)]);
    let middle = (sorted.len() as f64 + 1.0) / 2.0;
    let mut ranks = vec![middle; matrix.len()];
    sorted.write_mid_ranks(&mut ranks);
    ranks.iter_mut().for_each(|rank| *rank -= middle);
    Array2::from_shape_vec(matrix.dim(), ranks).expect("a rank for every cell")
}
