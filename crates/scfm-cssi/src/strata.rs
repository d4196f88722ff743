//! Cells divided by state.

use rand::{Rng, RngExt};

use crate::error::Error;

/// Cells of one state each, for scores within them; states of too few cells are skipped.
///
/// ```
/// use scfm_cssi::Strata;
///
/// let strata = Strata::new(&[0, 1, 0, 2, 1, 0], 2)?;
/// assert_eq!(strata.sizes(), [3, 2]);
/// assert_eq!(strata.cells(0), [0, 2, 5]);
/// assert_eq!((strata.skipped(), strata.n_cells()), (&[(2, 1)][..], 6));
/// # Ok::<(), scfm_cssi::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strata {
    labels: Vec<usize>,
    cells: Vec<Vec<usize>>,
    skipped: Vec<(usize, usize)>,
    n_cells: usize,
}

impl Strata {
    /// Strata of the cells that share a label, in ascending order of labels, without those of fewer than `min_cells` cells.
    ///
    /// # Errors
    /// [`Error::NoStrata`] when none is left.
    pub fn new(labels: &[usize], min_cells: usize) -> Result<Self, Error> {
        let mut by_label = std::collections::BTreeMap::<usize, Vec<usize>>::new();
        for (cell, &label) in labels.iter().enumerate() {
            by_label.entry(label).or_default().push(cell);
        }
        let n_strata = by_label.len();
        let largest = by_label.values().map(Vec::len).max().unwrap_or(0);
        let (kept, skipped): (Vec<_>, Vec<_>) = by_label
            .into_iter()
            .partition(|(_, cells)| cells.len() >= min_cells);
        if kept.is_empty() {
            return Err(Error::NoStrata {
                n_strata,
                min_cells,
                largest,
            });
        }
        let (kept_labels, cells) = kept.into_iter().unzip();
        Ok(Self {
            labels: kept_labels,
            cells,
            skipped: skipped
                .into_iter()
                .map(|(label, cells)| (label, cells.len()))
                .collect(),
            n_cells: labels.len(),
        })
    }

    /// Number of strata that are not skipped.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Never: there is at least one stratum.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Label of each stratum.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// Cells of a stratum, ascending.
    ///
    /// # Panics
    /// When there is no such stratum.
    pub fn cells(&self, stratum: usize) -> &[usize] {
        &self.cells[stratum]
    }

    /// Number of cells of each stratum.
    pub fn sizes(&self) -> Vec<usize> {
        self.cells.iter().map(Vec::len).collect()
    }

    /// Label and number of cells of each stratum that was too small.
    pub fn skipped(&self) -> &[(usize, usize)] {
        &self.skipped
    }

    /// Number of all cells, those of skipped strata included.
    pub fn n_cells(&self) -> usize {
        self.n_cells
    }
}

/// The labels in random order over the cells: strata of the same sizes that mean nothing.
pub fn shuffled_labels(labels: &[usize], rng: &mut impl Rng) -> Vec<usize> {
    let mut shuffled = labels.to_vec();
    for last in (1..shuffled.len()).rev() {
        shuffled.swap(last, rng.random_range(0..=last));
    }
    shuffled
}

/// One of `n_strata` labels for each of `n_cells` cells, all equally likely.
///
/// # Panics
/// When `n_strata` is 0.
pub fn random_labels(n_cells: usize, n_strata: usize, rng: &mut impl Rng) -> Vec<usize> {
    (0..n_cells).map(|_| rng.random_range(0..n_strata)).collect()
}
