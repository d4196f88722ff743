use std::ops::RangeInclusive;

use ndarray::Array2;
use scfm_core::{EdgeKind, EdgeMatrix, Layer, Panel};

use crate::Error;

/// One in the fixed-point sums: 2⁴⁰ leaves room for 2²³ cells in 63 bits, and its rounding error of 2⁻⁴¹ a cell
/// is far below that of the 32-bit probabilities.
pub(crate) const ONE: f64 = (1u64 << 40) as f64;

/// How far above 1 a cell's mean over heads may lie: softmax and the sum over heads are 32-bit arithmetic, whose errors
/// are some 2⁻²⁰ at worst.
const ABOVE_ONE: f64 = 1.0 / (1u64 << 16) as f64;

/// Sums of the attention of one layer over some of the cells, `[source, target]`, in units of 2⁻⁴⁰.
///
/// What [`AttentionSums`](crate::AttentionSums) hold of a layer, without the model and its tokens: it can be stored, read
/// elsewhere, and added to the sums over other cells. Since the sums are integers, the mean of the total has the bits that
/// it would have had if all cells had been read at one place.
///
/// ```
/// use ndarray::array;
/// use scfm_attention::{LayerSums, add_pair_counts};
/// use scfm_core::{Layer, Panel, Source, Target};
///
/// let genes = Panel::new(["STAT1", "IRF1"])?;
/// let sums = |sums| LayerSums::new(Layer(3), genes.clone(), genes.clone(), sums);
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
pub struct LayerSums {
    layer: Layer,
    sources: Panel,
    targets: Panel,
    sums: Array2<i64>,
}

impl LayerSums {
    /// Sums as they were stored.
    ///
    /// # Panics
    /// When `sums` is not of shape `[sources.len(), targets.len()]`.
    pub fn new(layer: Layer, sources: Panel, targets: Panel, sums: Array2<i64>) -> Self {
        assert_eq!(
            sums.dim(),
            (sources.len(), targets.len()),
            "a sum for every source × target pair"
        );
        Self {
            layer,
            sources,
            targets,
            sums,
        }
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
    /// [`Error::Merge`] for another layer or other panels; [`Error::SumOverflow`] where a sum leaves 64 bits, and the sums
    /// are then of no further use.
    pub fn add(&mut self, other: &Self) -> Result<(), Error> {
        for (what, same) in [
            ("layers", self.layer == other.layer),
            ("source panels", self.sources == other.sources),
            ("target panels", self.targets == other.targets),
        ] {
            if !same {
                return Err(Error::Merge { what });
            }
        }
        checked_add(&mut self.sums, &other.sums, |a, b| i64::checked_add(*a, *b))
    }

    /// The mean over the cells that hold both genes, which are counted in `n_cells`, `[source, target]`; missing where
    /// there is none.
    ///
    /// # Errors
    /// [`Error::Sum`] for a sum that so many cells cannot have.
    ///
    /// # Panics
    /// When `n_cells` has another shape than the sums.
    pub fn mean(&self, n_cells: &Array2<u32>) -> Result<EdgeMatrix, Error> {
        self.mean_within(n_cells, 0.0..=1.0 + ABOVE_ONE)
    }

    /// [`mean`](Self::mean) of numbers that are no probabilities: `range` is what one cell can add to a sum.
    ///
    /// # Errors
    /// [`Error::Sum`] for a sum that so many cells cannot have.
    ///
    /// # Panics
    /// When `n_cells` has another shape than the sums.
    pub fn mean_within(
        &self,
        n_cells: &Array2<u32>,
        range: RangeInclusive<f64>,
    ) -> Result<EdgeMatrix, Error> {
        assert_eq!(n_cells.dim(), self.sums.dim(), "a count for every sum");
        let (low, high) = range.into_inner();
        for (((source, target), &sum), &n) in self.sums.indexed_iter().zip(n_cells) {
            let n_ones = f64::from(n) * ONE;
            if (sum as f64) < n_ones * low || sum as f64 > n_ones * high {
                return Err(Error::Sum {
                    source_gene: self.sources.gene(source).clone(),
                    target_gene: self.targets.gene(target).clone(),
                    sum,
                    n_cells: n,
                    low,
                    high,
                });
            }
        }
        let scores = Array2::from_shape_fn(self.sums.dim(), |pair| {
            mean_score(self.sums[pair], n_cells[pair] as usize)
        });
        let kind = EdgeKind::Attention(self.layer);
        Ok(
            EdgeMatrix::new(kind, self.sources.clone(), self.targets.clone(), scores)
                .expect("a score for every pair of the panels"),
        )
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

/// The mean of a sum over `n` cells. 0 / 0 is NaN: missing.
pub(crate) fn mean_score(sum: i64, n: usize) -> f32 {
    (sum as f64 / ONE / n as f64) as f32
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

    use super::*;

    fn genes(names: &[&str]) -> Panel {
        Panel::new(names.iter().copied()).unwrap()
    }

    fn sums(sums: Array2<i64>) -> LayerSums {
        LayerSums::new(Layer(1), genes(&["A"]), genes(&["A", "B"]), sums)
    }

    #[test]
    fn sums_of_other_layers_or_panels_and_sums_that_overflow_are_refused() {
        let others = [
            (
                LayerSums::new(Layer(2), genes(&["A"]), genes(&["A", "B"]), array![[0, 0]]),
                "layers",
            ),
            (
                LayerSums::new(Layer(1), genes(&["B"]), genes(&["A", "B"]), array![[0, 0]]),
                "source panels",
            ),
            (
                LayerSums::new(Layer(1), genes(&["A"]), genes(&["B", "A"]), array![[0, 0]]),
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
}
