use std::collections::BTreeMap;

use scfm_core::CountMatrix;

/// Which batch, replicate or lane each cell of a file belongs to, so that groups are compared within them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strata {
    names: Vec<String>,
    of_row: Vec<Option<u32>>,
}

impl Strata {
    /// The strata that the labels of all cells name; a cell without a label belongs to none.
    pub fn of(labels: &[Option<String>]) -> Self {
        let mut numbers: BTreeMap<&str, u32> =
            labels.iter().flatten().map(|label| (label.as_str(), 0)).collect();
        for (number, next) in numbers.values_mut().zip(0..) {
            *number = next;
        }
        Self {
            of_row: labels
                .iter()
                .map(|label| label.as_ref().map(|label| numbers[label.as_str()]))
                .collect(),
            names: numbers.into_keys().map(str::to_owned).collect(),
        }
    }

    /// The names of the strata in alphabetical order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The stratum of each of these rows.
    ///
    /// # Panics
    /// When a row has no label.
    pub fn of_rows(&self, rows: &[usize]) -> Vec<Option<u32>> {
        rows.iter().map(|&row| self.of_row[row]).collect()
    }
}

/// The cells of each stratum; those without one are left out.
///
/// # Panics
/// When there is not one entry per cell.
pub(crate) fn split(cells: &CountMatrix, strata: &[Option<u32>]) -> Vec<(u32, CountMatrix)> {
    assert_eq!(strata.len(), cells.n_cells(), "a stratum for each cell");
    let mut rows: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (row, stratum) in strata.iter().enumerate() {
        if let Some(stratum) = stratum {
            rows.entry(*stratum).or_default().push(row);
        }
    }
    rows.into_iter()
        .map(|(stratum, rows)| (stratum, cells.select_cells(&rows)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_numbered_in_alphabetical_order_and_may_be_missing() {
        let labels = [Some("b"), None, Some("a"), Some("b")].map(|l| l.map(str::to_owned));
        let strata = Strata::of(&labels);
        assert_eq!(strata.names(), ["a", "b"]);
        assert_eq!(strata.of_rows(&[3, 1, 2]), [Some(1), None, Some(0)]);
    }
}
