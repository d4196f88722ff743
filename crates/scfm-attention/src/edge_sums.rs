use std::ops::RangeInclusive;

use ndarray::Array2;
use scfm_core::{EdgeMatrix, Measure, ModelEdge, Panel};

use crate::Error;

/// One in the fixed-point sums: 2⁴⁰ leaves room for 2²³ cells in 63 bits, and its rounding error of 2⁻⁴¹ a cell
/// is far below that of the 32-bit probabilities.
pub(crate) const ONE: f64 = (1u64 << 40) as f64;

/// The largest score of a cell that the sums take: times [`ONE`] it still rounds to an integer exactly.
pub(crate) const LARGEST: f64 = 1024.0;

/// How far beyond its range a cell's mean over heads may lie: softmax and the sum over heads are 32-bit arithmetic, whose
/// errors are some 2⁻²⁰ at worst.
const ROUNDING: f64 = 1.0 / (1u64 << 16) as f64;

/// Sums of a model's scores over some of the cells, `[source, target]`, in units of 2⁻⁴⁰.
///
/// What [`AttentionSums`](crate::AttentionSums) hold of one kind of edges, without the model and its tokens: it can be
/// stored, read elsewhere, and added to the sums over other cells. Since the sums are integers, the mean of the total has
/// the bits that it would have had if all cells had been read at one place.
///
/// ```
/// use ndarray::array;
/// use scfm_attention::{EdgeSums, add_pair_counts};
/// use scfm_core::{Layer, Measure, ModelEdge, Panel, Source, Target};
///
/// let genes = Panel::new(["STAT1", "IRF1"])?;
/// let edge = ModelEdge::of_layer(Measure::Attention, Layer(3));
/// let sums = |sums| EdgeSums::new(edge, genes.clone(), genes.clone(), sums);
/// let half = 1i64 << 39;
/// let (mut total, mut n_cells) = (sums(array![[half, 0], [half, 0]]), array![[1, 0], [1, 0]]);
/// total.add(&sums(array![[0, 0], [half * 2, 0]]))?;
/// add_pair_counts(&mut n_cells, &array![[0, 0], [1, 0]])?;
/// let edges = total.mean(&n_cells)?;
/// assert_eq!(edges.get(Source(1), Target(0)), Some(0.75));
/// assert_eq!(edges.get(Source(0), Target(1)), None); // no cell holds both
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeSums {
    edge: ModelEdge,
    sources: Panel,
    targets: Panel,
    sums: Array2<i64>,
}

impl EdgeSums {
    /// Sums as they were stored. Those of a [standard error](Measure::StandardError) are of squares.
    ///
    /// # Panics
    /// When `sums` is not of shape `[sources.len(), targets.len()]`.
    pub fn new(edge: ModelEdge, sources: Panel, targets: Panel, sums: Array2<i64>) -> Self {
        assert_eq!(
            sums.dim(),
            (sources.len(), targets.len()),
            "a sum for every source × target pair"
        );
        Self {
            edge,
            sources,
            targets,
            sums,
        }
    }

    /// What is summed.
    pub fn edge(&self) -> ModelEdge {
        self.edge
    }

    /// The source genes.
    pub fn sources(&self) -> &Panel {
        &self.sources
    }

    /// The target genes.
    pub fn targets(&self) -> &Panel {
        &self.targets
    }

    /// The sums, `[source, target]`.
    pub fn sums(&self) -> &Array2<i64> {
        &self.sums
    }

    pub(crate) fn sums_mut(&mut self) -> &mut Array2<i64> {
        &mut self.sums
    }

    /// Adds the sums over other cells.
    ///
    /// # Errors
    /// [`Error::Merge`] for another kind of edges or other panels; [`Error::SumOverflow`] where a sum leaves 64 bits, and
    /// the sums are then of no further use.
    pub fn add(&mut self, other: &Self) -> Result<(), Error> {
        for (what, same) in [
            ("kinds of edges", self.edge == other.edge),
            ("source panels", self.sources == other.sources),
            ("target panels", self.targets == other.targets),
        ] {
            if !same {
                return Err(Error::Merge { what });
            }
        }
        checked_add(&mut self.sums, &other.sums, |a, b| i64::checked_add(*a, *b))
    }

    /// The mean over as many cells as `n_cells` says, `[source, target]`; missing where there is none.
    ///
    /// # Errors
    /// [`Error::Sum`] for a sum that so many cells cannot have.
    ///
    /// # Panics
    /// When `n_cells` has another shape than the sums, or for a standard error, which is no mean.
    pub fn mean(&self, n_cells: &Array2<u32>) -> Result<EdgeMatrix, Error> {
        assert_ne!(
            self.edge.measure,
            Measure::StandardError,
            "a standard error is no mean"
        );
        self.mean_within(n_cells, range(self.edge.measure))
    }

    /// [`EdgeSums::mean`] of numbers of another program: `range` is what one cell can add to a sum.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// When `n_cells` has another shape than the sums.
    pub fn mean_within(
        &self,
        n_cells: &Array2<u32>,
        range: RangeInclusive<f64>,
    ) -> Result<EdgeMatrix, Error> {
        self.edges(n_cells, range, |sum, n, _| sum / n)
    }

    /// The standard error over cells of the mean that `sums` are of, where these are the sums of squares:
    /// `√((Σx² / n − (Σx / n)²) / (n − 1))`; missing below two cells.
    ///
    /// # Errors
    /// As [`EdgeSums::mean`].
    ///
    /// # Panics
    /// When shapes differ, or these are not the sums of squares of `sums`.
    pub fn standard_error(&self, sums: &Self, n_cells: &Array2<u32>) -> Result<EdgeMatrix, Error> {
        assert!(
            self.edge.measure == Measure::StandardError
                && sums.edge == attention_of(self.edge)
                && self.sums.dim() == sums.sums.dim(),
            "squares of these sums"
        );
        self.edges(n_cells, range(self.edge.measure), |squares, n, pair| {
            if n < 2.0 {
                return f64::NAN;
            }
            let mean = sums.sums[pair] as f64 / ONE / n;
            // Rounding may leave a little below zero where all cells agree.
            ((squares / n - mean * mean) / (n - 1.0)).max(0.0).sqrt()
        })
    }

    /// Makes a score of each sum, a number of cells and a pair, where there are cells.
    fn edges(
        &self,
        n_cells: &Array2<u32>,
        range: RangeInclusive<f64>,
        score: impl Fn(f64, f64, (usize, usize)) -> f64,
    ) -> Result<EdgeMatrix, Error> {
        assert_eq!(n_cells.dim(), self.sums.dim(), "a count for every sum");
        let (low, high) = range.into_inner();
        let mut scores = Array2::from_elem(self.sums.dim(), f32::NAN);
        for ((pair, &sum), &n) in self.sums.indexed_iter().zip(n_cells) {
            let (value, cells) = (sum as f64 / ONE, f64::from(n));
            if value < cells * low || value > cells * high {
                let genes = (
                    self.sources.gene(pair.0).clone(),
                    self.targets.gene(pair.1).clone(),
                );
                return Err(Error::Sum {
                    edge: self.edge,
                    pair: Box::new(genes),
                    sum,
                    n_cells: n,
                    low,
                    high,
                });
            }
            if n > 0 {
                scores[pair] = score(value, cells, pair) as f32;
            }
        }
        let (sources, targets) = (self.sources.clone(), self.targets.clone());
        Ok(EdgeMatrix::new(self.edge.into(), sources, targets, scores)
            .expect("a score for every pair of the panels"))
    }
}

/// The attention that a standard error is of.
pub(crate) fn attention_of(standard_error: ModelEdge) -> ModelEdge {
    ModelEdge {
        measure: Measure::Attention,
        ..standard_error
    }
}

/// What a score of one cell can be.
fn range(measure: Measure) -> RangeInclusive<f64> {
    match measure {
        Measure::ValueCosine => -1.0 - ROUNDING..=1.0 + ROUNDING,
        Measure::NormWeighted => 0.0..=LARGEST,
        Measure::ValueDot => -LARGEST..=LARGEST,
        // Attention, its squares, ranks.
        _ => 0.0..=1.0 + ROUNDING,
    }
}

/// Adds in how many other cells each pair was seen together.
///
/// # Errors
/// [`Error::SumOverflow`] where a count leaves 32 bits; the counts are then of no further use.
///
/// # Panics
/// When the shapes differ.
pub fn add_pair_counts(counts: &mut Array2<u32>, more: &Array2<u32>) -> Result<(), Error> {
    assert_eq!(counts.dim(), more.dim(), "counts of the same pairs");
    checked_add(counts, more, |a, b| u32::checked_add(*a, *b))
}

/// Adds term by term.
pub(crate) fn checked_add<'a, T: 'a>(
    sums: impl IntoIterator<Item = &'a mut T>,
    more: impl IntoIterator<Item = &'a T>,
    sum: impl Fn(&T, &T) -> Option<T>,
) -> Result<(), Error> {
    for (mine, theirs) in sums.into_iter().zip(more) {
        *mine = sum(mine, theirs).ok_or(Error::SumOverflow)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use scfm_core::Layer;

    use super::*;

    fn genes(names: &[&str]) -> Panel {
        Panel::new(names.iter().copied()).unwrap()
    }

    fn attention(layer: usize) -> ModelEdge {
        ModelEdge::of_layer(Measure::Attention, Layer(layer))
    }

    fn sums(sums: Array2<i64>) -> EdgeSums {
        EdgeSums::new(attention(1), genes(&["A"]), genes(&["A", "B"]), sums)
    }

    #[test]
    fn sums_of_other_edges_or_panels_and_sums_that_overflow_are_refused() {
        let others = [
            (
                EdgeSums::new(attention(2), genes(&["A"]), genes(&["A", "B"]), array![[0, 0]]),
                "kinds of edges",
            ),
            (
                EdgeSums::new(attention(1), genes(&["B"]), genes(&["A", "B"]), array![[0, 0]]),
                "source panels",
            ),
            (
                EdgeSums::new(attention(1), genes(&["A"]), genes(&["B", "A"]), array![[0, 0]]),
                "target panels",
            ),
        ];
        for (other, expected) in others {
            let error = sums(array![[0, 0]]).add(&other).unwrap_err();
            assert!(
                matches!(error, Error::Merge { what } if what == expected),
                "{error}"
            );
        }

        let mut most = sums(array![[0, i64::MAX - 1]]);
        most.add(&sums(array![[0, 1]])).unwrap();
        assert_eq!(most.sums(), array![[0, i64::MAX]]);
        assert!(matches!(most.add(&sums(array![[0, 1]])), Err(Error::SumOverflow)));
        let mut counts = array![[u32::MAX - 1]];
        add_pair_counts(&mut counts, &array![[1]]).unwrap();
        assert!(matches!(
            add_pair_counts(&mut counts, &array![[1]]),
            Err(Error::SumOverflow)
        ));
    }

    #[test]
    fn a_sum_that_its_cells_cannot_have_is_named_with_its_genes() {
        let one = 1i64 << 40;
        // A cell that gives all its attention to one gene, with the rounding of 32-bit arithmetic.
        let edges = sums(array![[0, 2 * one + 1000]]).mean(&array![[0, 2]]).unwrap();
        assert_eq!(edges.scores()[[0, 1]], 1.0);
        assert!(edges.scores()[[0, 0]].is_nan());
        for (sum, n_cells) in [(-1, 1), (1, 0), (3 * one, 2)] {
            let error = sums(array![[0, sum]]).mean(&array![[0, n_cells]]).unwrap_err();
            let line = error.to_string();
            assert!(
                line.contains("A → B") && line.contains(&format!("{n_cells} cells")),
                "{line}"
            );
        }
    }

    #[test]
    fn the_standard_error_is_that_of_the_cells() {
        let square = ModelEdge::of_layer(Measure::StandardError, Layer(1));
        let fixed = |x: f64| (x * ONE).round() as i64;
        // Cells with 0.1, 0.2 and 0.6, and a pair of one cell.
        let means = sums(array![[fixed(0.9), fixed(0.5)]]);
        let squares = array![[fixed(0.41), fixed(0.25)]];
        let squares = EdgeSums::new(square, genes(&["A"]), genes(&["A", "B"]), squares);
        let edges = squares.standard_error(&means, &array![[3, 1]]).unwrap();
        // Standard deviation 0.264575 by hand, over √3.
        assert!((edges.scores()[[0, 0]] - 0.152_753).abs() < 1e-6);
        assert!(edges.scores()[[0, 1]].is_nan());
    }

    #[test]
    fn measures_that_can_be_negative_have_their_own_range() {
        let one = 1i64 << 40;
        for (measure, sum, holds) in [
            (Measure::ValueCosine, -one, true),
            (Measure::ValueCosine, -2 * one, false),
            (Measure::ValueDot, -2 * one, true),
            (Measure::NormWeighted, 2 * one, true),
            (Measure::NormWeighted, -one, false),
            (Measure::RankedLogits, 2 * one, false),
        ] {
            let edge = ModelEdge::of_layer(measure, Layer(0));
            let sums = EdgeSums::new(edge, genes(&["A"]), genes(&["B"]), array![[sum]]);
            assert_eq!(sums.mean(&array![[1]]).is_ok(), holds, "{edge}");
        }
    }
}
