//! Cells of several states, each with regulatory edges of its own: what scoring within states is tested on.

use ndarray::{Array2, s};
use scfm_core::Seeds;

use crate::{Error, draw, error::check};

/// Expression of cells of several states, with what is true of every candidate pair of genes.
#[derive(Debug, Clone, PartialEq)]
pub struct StateMixture {
    /// Expression `[cell, gene]`, continuous. Transcription factors come first, markers of states, if any, last.
    pub expression: Array2<f64>,
    /// State of each cell.
    pub states: Vec<usize>,
    /// Number of states, with and without cells.
    pub n_states: usize,
    /// Candidate pairs (factor, target) as columns of `expression`, factor by factor.
    pub pairs: Vec<(usize, usize)>,
    /// States in which each candidate pair is an edge, ascending; none where it is no edge.
    pub active: Vec<Vec<usize>>,
}

/// Scores of pairs of genes cell by cell, as attention gives them, with no expression behind them.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreMixture {
    /// Scores `[cell, pair]`.
    pub scores: Array2<f64>,
    /// State of each cell.
    pub states: Vec<usize>,
    /// Number of states, with and without cells.
    pub n_states: usize,
    /// Candidate pairs of genes, first gene by first gene.
    pub pairs: Vec<(usize, usize)>,
    /// States in which each candidate pair is an edge, ascending; none where it is no edge.
    pub active: Vec<Vec<usize>>,
}

impl StateMixture {
    /// Whether each candidate pair is an edge in any state.
    pub fn truth(&self) -> Vec<bool> {
        truth(&self.active)
    }
}

impl ScoreMixture {
    /// Whether each candidate pair is an edge in any state.
    pub fn truth(&self) -> Vec<bool> {
        truth(&self.active)
    }
}

fn truth(active: &[Vec<usize>]) -> Vec<bool> {
    active.iter().map(|states| !states.is_empty()).collect()
}

/// What a [`StateMixture`] is drawn from: standard normal genes, and in each state targets to which `strength` times
/// their factor is added. Within the states in which it is active, the correlation of an edge is
/// strength / √(1 + strength²) for a target of one factor; with a share f of all cells active and no shift of means
/// it is f·strength / √(1 + f·strength²) over all cells.
#[derive(Debug, Clone, PartialEq)]
pub struct MixtureParams {
    /// Number of cells of each state, at most 10⁶ in all; cells come state by state.
    pub cells: Vec<usize>,
    /// Number of genes, transcription factors included; every factor with every other gene is a candidate pair.
    pub n_genes: usize,
    /// Number of transcription factors.
    pub n_tfs: usize,
    /// Number of edges that all states share.
    pub shared: usize,
    /// Number of edges that each state has to itself.
    pub private: usize,
    /// What an edge adds to its target, in units of its factor.
    pub strength: f64,
}

impl MixtureParams {
    /// The published shape, 5 factors and 25 targets, with states of equal size.
    pub fn new(n_states: usize, cells_per_state: usize) -> Self {
        Self {
            cells: vec![cells_per_state; n_states],
            n_genes: 30,
            n_tfs: 5,
            shared: 2,
            private: (12 / n_states.max(1)).max(2),
            strength: 0.5,
        }
    }

    /// Number of states.
    pub fn n_states(&self) -> usize {
        self.cells.len()
    }

    /// Refuses what cannot be drawn: more edges than there are candidate pairs among it.
    pub(crate) fn check(&self) -> Result<(), Error> {
        check("cells", self.n_states() as f64, 1.0, 1e3)?;
        check("cells", self.cells.iter().sum::<usize>() as f64, 0.0, 1e6)?;
        check("n_genes", self.n_genes as f64, 2.0, 1e4)?;
        check("n_tfs", self.n_tfs as f64, 1.0, self.n_genes as f64 - 1.0)?;
        let n_pairs = (self.n_tfs * (self.n_genes - self.n_tfs)) as f64;
        check("shared", self.shared as f64, 0.0, n_pairs)?;
        let left = (n_pairs - self.shared as f64) / self.n_states() as f64;
        check("private", self.private as f64, 0.0, left.floor())?;
        check("strength", self.strength, -100.0, 100.0)
    }

    /// Every factor with every gene that is none, factor by factor.
    pub(crate) fn pairs(&self) -> Vec<(usize, usize)> {
        (0..self.n_tfs)
            .flat_map(|tf| (self.n_tfs..self.n_genes).map(move |target| (tf, target)))
            .collect()
    }

    /// The states in which each pair is an edge, where `order` holds the positions of all pairs: the shared edges
    /// first, then those of one state after the other.
    pub(crate) fn active(&self, order: &[usize]) -> Vec<Vec<usize>> {
        let mut active = vec![Vec::new(); order.len()];
        let (shared, rest) = order.split_at(self.shared);
        for &pair in shared {
            active[pair] = (0..self.n_states()).collect();
        }
        if self.private > 0 {
            for (state, pairs) in rest.chunks(self.private).take(self.n_states()).enumerate() {
                pairs.iter().for_each(|&pair| active[pair].push(state));
            }
        }
        active
    }

    /// The state of each cell.
    pub(crate) fn states(&self) -> Vec<usize> {
        let sizes = self.cells.iter().enumerate();
        sizes
            .flat_map(|(state, &n)| std::iter::repeat_n(state, n))
            .collect()
    }

    /// Adds every edge's effect in the cells of its states, and says what came of it. No factor is a target, so that
    /// the order of edges matters to the last bit of a sum only.
    pub(crate) fn regulate(&self, mut expression: Array2<f64>, order: &[usize]) -> StateMixture {
        let (pairs, active) = (self.pairs(), self.active(order));
        let mut start = 0;
        for (state, &n) in self.cells.iter().enumerate() {
            let mut cells = expression.slice_mut(s![start..start + n, ..]);
            // In the order in which the edges were drawn, as the target of two factors adds up both.
            for &pair in order.iter().filter(|&&pair| active[pair].contains(&state)) {
                let (tf, target) = pairs[pair];
                for mut cell in cells.rows_mut() {
                    cell[target] += self.strength * cell[tf];
                }
            }
            start += n;
        }
        StateMixture {
            expression,
            states: self.states(),
            n_states: self.n_states(),
            pairs,
            active,
        }
    }
}

/// How far the means of states lie apart, in SDs of a gene within a state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Separation {
    /// Number of marker genes, which are in no candidate pair; marker m belongs to state m modulo the states.
    pub n_markers: usize,
    /// By how much a state's own markers are raised in its cells.
    pub markers: f64,
    /// SD over states of the mean of each gene of the candidate pairs. Any value above 0 makes pooled correlations
    /// of pairs that are no edges.
    pub pairs: f64,
}

impl Default for Separation {
    fn default() -> Self {
        Self {
            n_markers: 30,
            markers: 2.0,
            pairs: 0.0,
        }
    }
}

impl StateMixture {
    /// Draws a mixture whose states can be told apart by their means. In the published one
    /// ([`published::mixture`](crate::published::mixture)) states differ in correlations alone, and no clustering of
    /// cells finds them; here it is a question of `separation`, at unchanged edges and, but for rounding, unchanged
    /// correlations within states. `index` numbers repeated draws. At a separation of 0 the draw is the same but for
    /// the shifts.
    ///
    /// # Errors
    /// [`Error::Parameter`] for the first parameter out of range.
    pub fn identifiable(
        params: &MixtureParams,
        separation: Separation,
        seeds: Seeds,
        index: u64,
    ) -> Result<Self, Error> {
        params.check()?;
        check("n_markers", separation.n_markers as f64, 0.0, 1e4)?;
        check("markers", separation.markers, 0.0, 100.0)?;
        check("pairs", separation.pairs, 0.0, 100.0)?;
        let stream = |purpose| seeds.stream("synth/mixture", purpose, index);

        let mut order: Vec<usize> = (0..params.pairs().len()).collect();
        draw::shuffle(&mut stream("edges"), &mut order);
        let rng = &mut stream("expression");
        let shape = (params.cells.iter().sum(), params.n_genes + separation.n_markers);
        let expression = Array2::from_shape_simple_fn(shape, || draw::normal(rng));
        let mut mixture = params.regulate(expression, &order);

        let rng = &mut stream("shifts");
        let shape = (params.n_states(), params.n_genes);
        let shifts = Array2::from_shape_simple_fn(shape, || separation.pairs * draw::normal(rng));
        for (mut cell, &state) in mixture.expression.rows_mut().into_iter().zip(&mixture.states) {
            for (x, shift) in cell.iter_mut().zip(shifts.row(state)) {
                *x += shift;
            }
            let own_markers = cell.iter_mut().skip(params.n_genes + state);
            for x in own_markers.step_by(params.n_states()) {
                *x += separation.markers;
            }
        }
        Ok(mixture)
    }
}

/// Numbers of cells in the given proportions, which need not add up to 1, that add up to `n_cells` (largest
/// remainders, the first of equal ones).
///
/// # Errors
/// [`Error::Parameter`] for a proportion that is negative or not finite, or where none is positive.
pub fn cells_in_proportion(n_cells: usize, proportions: &[f64]) -> Result<Vec<usize>, Error> {
    for &proportion in proportions {
        check("proportions", proportion, 0.0, f64::MAX)?;
    }
    let total: f64 = proportions.iter().sum();
    check("the sum of proportions", total, f64::MIN_POSITIVE, f64::MAX)?;
    let exact = proportions.iter().map(|p| n_cells as f64 * (p / total));
    let mut cells: Vec<usize> = exact.clone().map(|x| x as usize).collect();
    let mut by_remainder: Vec<(f64, usize)> = exact.enumerate().map(|(i, x)| (x.fract(), i)).collect();
    by_remainder.sort_by(|a, b| b.0.total_cmp(&a.0));
    let missing = n_cells.saturating_sub(cells.iter().sum());
    for &(_, i) in by_remainder.iter().take(missing) {
        cells[i] += 1;
    }
    Ok(cells)
}
