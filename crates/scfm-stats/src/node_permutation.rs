use ndarray::ArrayView2;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::bootstrap::resamples;
use crate::error::{Error, Undefined};
use crate::permutation::{PermutationLimits, permutation_test};
use crate::ranks::SortedScores;
use crate::result::{Alternative, EffectKind, TestResult};

/// Spearman's correlation of two square score matrices over the ordered pairs of nodes, tested by permuting the node
/// identities of `b`, rows and columns together (quadratic assignment procedure; Hubert and Schultz 1976), two-sided.
///
/// Pairs that share a node are not independent, which a test over pairs ignores. The diagonal and cells that are NaN in
/// either matrix are left out. Each matrix is ranked once over its own defined pairs; the statistic is the correlation
/// of these ranks over the pairs defined in both, which is Spearman's where nothing or the same is missing. `b` may be
/// binary (membership). Permutation i draws from `stream(i)`. Sums are integers: exact up to 4,096 nodes, beyond with
/// ranks rounded to seven digits.
///
/// O(`n_permutations` · nodes²), on all threads.
///
/// # Errors
/// [`Undefined::Constant`], [`Undefined::TooFew`] below 3 shared pairs; [`Error::Shape`] unless both are square and
/// alike, [`Error::OutOfRange`] for 0 permutations.
///
/// # Panics
/// If there are more than 32,768 nodes.
pub fn node_permutation_spearman(
    a: ArrayView2<f64>,
    b: ArrayView2<f64>,
    n_permutations: usize,
    stream: impl Fn(u64) -> ChaCha8Rng + Sync,
) -> Result<TestResult, Error> {
    resamples(n_permutations)?;
    let nodes = a.nrows();
    for (what, matrix) in [("first matrix", a), ("second matrix", b)] {
        if matrix.dim() != (nodes, nodes) {
            return Err(Error::Shape {
                what,
                expected: (nodes, nodes),
                got: matrix.dim(),
            });
        }
    }
    let (a, b) = (PairRanks::of(a), PairRanks::of(b));
    let identity: Vec<u32> = (0..nodes as u32).collect();
    let (observed, n_pairs) = a.correlation(&b, &identity);
    if n_pairs < 3 {
        return Err(Undefined::TooFew {
            what: "shared pairs",
            n: n_pairs,
            needed: 3,
        }
        .into());
    }
    let observed = observed.ok_or(Undefined::Constant {
        what: "first or second matrix over the shared pairs",
    })?;
    let limits = PermutationLimits {
        max: n_permutations,
        stop_after: None,
    };
    let permuted = permutation_test(observed, Alternative::TwoSided, limits, |index| {
        let mut node_of = identity.clone();
        node_of.shuffle(&mut stream(index));
        // A permutation that leaves nothing to correlate is as far from the null as any.
        a.correlation(&b, &node_of).0.unwrap_or(1.0)
    })?;
    Ok(TestResult {
        method: "node permutation of Spearman's correlation",
        alternative: Alternative::TwoSided,
        statistic: observed,
        p: permuted.p,
        sides: None,
        effect: observed,
        effect_kind: EffectKind::Correlation,
        ci: None,
        n: nodes,
        n_unit: "nodes",
    })
}

/// Marks a pair without a score.
const MISSING: i32 = i32::MIN;
/// Bound on the magnitude of ranks, so that the products of a row of 2¹⁵ add up within 64 bits.
const LARGEST_RANK: f64 = 16_777_216.0;
const MOST_NODES: usize = 32_768;

/// Ranks of the defined off-diagonal cells of a square matrix, doubled and centred: integers with the sum 0.
struct PairRanks {
    nodes: usize,
    /// Row by row; 0 throughout the diagonal, which permutations map onto itself.
    ranks: Vec<i32>,
    /// Whether all cells off the diagonal are defined.
    complete: bool,
    /// Σ rank².
    squares: f64,
}

impl PairRanks {
    fn of(matrix: ArrayView2<f64>) -> Self {
        let nodes = matrix.nrows();
        assert!(
            nodes <= MOST_NODES,
            "at most {MOST_NODES} nodes can be permuted, got {nodes}"
        );
        let score = |cell: usize| matrix[[cell / nodes, cell % nodes]];
        let defined =
            (0..nodes * nodes).filter(|&cell| cell / nodes != cell % nodes && !score(cell).is_nan());
        let sorted = SortedScores::of_masked(defined, nodes * nodes, score);
        let mut ranks = vec![f64::NAN; nodes * nodes];
        sorted.write_mid_ranks(&mut ranks);
        let n = sorted.len() as f64;
        let step = (n / LARGEST_RANK).ceil().max(1.0);
        let integer = |rank: f64| {
            if rank.is_nan() {
                MISSING
            } else {
                ((2.0 * rank - n - 1.0) / step).round() as i32
            }
        };
        let mut ranks: Vec<i32> = ranks.into_iter().map(integer).collect();
        for node in 0..nodes {
            ranks[node * nodes + node] = 0;
        }
        let squares = ranks
            .iter()
            .filter(|&&rank| rank != MISSING)
            .map(|&rank| f64::from(rank).powi(2))
            .sum();
        Self {
            nodes,
            ranks,
            complete: sorted.len() == nodes * nodes.saturating_sub(1),
            squares,
        }
    }

    fn row(&self, node: usize) -> &[i32] {
        &self.ranks[node * self.nodes..(node + 1) * self.nodes]
    }

    /// Correlation with `other` after its nodes were renamed, and over how many pairs; `None` if either is constant.
    fn correlation(&self, other: &Self, node_of: &[u32]) -> (Option<f64>, usize) {
        if self.complete && other.complete {
            let product = self.product(other, node_of) as f64;
            let norm = (self.squares * other.squares).sqrt();
            return (
                (norm > 0.0).then(|| product / norm),
                self.nodes * self.nodes.saturating_sub(1),
            );
        }
        let sums = self.sums(other, node_of);
        (sums.correlation(), sums.n)
    }

    /// Σ rank · rank over all pairs.
    fn product(&self, other: &Self, node_of: &[u32]) -> i128 {
        let rows = node_of.iter().enumerate().map(|(node, &source)| {
            let theirs = other.row(source as usize);
            let pairs = self.row(node).iter().zip(node_of);
            let sum: i64 = pairs
                .map(|(&rank, &target)| i64::from(rank) * i64::from(theirs[target as usize]))
                .sum();
            i128::from(sum)
        });
        rows.sum()
    }

    /// All sums of a correlation, over the pairs defined in both.
    fn sums(&self, other: &Self, node_of: &[u32]) -> Sums {
        let mut sums = Sums::default();
        for (node, &source) in node_of.iter().enumerate() {
            let theirs = other.row(source as usize);
            for (target, (&rank, &renamed)) in self.row(node).iter().zip(node_of).enumerate() {
                let other = theirs[renamed as usize];
                if target != node && rank != MISSING && other != MISSING {
                    sums.add(f64::from(rank), f64::from(other));
                }
            }
        }
        sums
    }
}

#[derive(Default)]
struct Sums {
    n: usize,
    a: f64,
    b: f64,
    aa: f64,
    bb: f64,
    ab: f64,
}

impl Sums {
    fn add(&mut self, a: f64, b: f64) {
        self.n += 1;
        self.a += a;
        self.b += b;
        self.aa += a * a;
        self.bb += b * b;
        self.ab += a * b;
    }

    fn correlation(&self) -> Option<f64> {
        /// Variance below this share of the mean square is rounding.
        const ROUNDING: f64 = 1e-12;
        let n = self.n as f64;
        let va = self.aa - self.a * self.a / n;
        let vb = self.bb - self.b * self.b / n;
        let varies = va > ROUNDING * self.aa && vb > ROUNDING * self.bb;
        varies.then(|| (self.ab - self.a * self.b / n) / (va * vb).sqrt())
    }
}
