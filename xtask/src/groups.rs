//! Cells of one label of a column: conditions, cell types, strata.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use crate::failure::bad_input;

/// More than this are not the strata of anything, but names of cells.
const MOST: usize = 500;

/// Which group each cell is in.
pub struct Groups {
    names: Vec<String>,
    /// By row of the data; nothing for all in one group.
    of_row: Option<Vec<Option<usize>>>,
}

impl Groups {
    /// All cells in one group without a name.
    pub fn one() -> Self {
        Self {
            names: vec![String::new()],
            of_row: None,
        }
    }

    /// The groups of the labels of the chosen rows; cells without a label are in none.
    pub fn of(column: &str, labels: &[Option<String>], chosen: &[usize]) -> Result<Self> {
        let names: BTreeSet<&String> = chosen.iter().filter_map(|&row| labels[row].as_ref()).collect();
        if names.is_empty() || names.len() > MOST {
            return Err(bad_input(format!(
                "--strata {column}: the chosen cells have {} different labels, expected 1 to {MOST}",
                names.len()
            )));
        }
        let numbers: BTreeMap<&String, usize> = names.iter().copied().zip(0..).collect();
        let group = |label: &Option<String>| numbers.get(label.as_ref()?).copied();
        Ok(Self {
            of_row: Some(labels.iter().map(group).collect()),
            names: names.into_iter().cloned().collect(),
        })
    }

    /// The names, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The group of a row of the data.
    pub fn of_row(&self, row: usize) -> Option<usize> {
        match &self.of_row {
            None => Some(0),
            Some(groups) => groups[row],
        }
    }

    /// The first of the chosen rows of each group.
    pub fn first_rows(&self, chosen: &[usize]) -> BTreeSet<usize> {
        let mut seen = BTreeSet::new();
        let first = |row: &&usize| self.of_row(**row).is_some_and(|group| seen.insert(group));
        chosen.iter().filter(first).copied().collect()
    }
}

/// A folder name for a label: what could leave the folder or be misread becomes `_`, and a number keeps labels apart that
/// this makes equal.
pub fn folder_names(labels: &[String]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let plain = |c: char| {
        if c.is_alphanumeric() || "-+ ".contains(c) {
            c
        } else {
            '_'
        }
    };
    labels
        .iter()
        .map(|label| {
            let name: String = label.trim().chars().map(plain).collect();
            let name = if name.is_empty() { "_".to_owned() } else { name };
            let numbered = (2..).map(|n| format!("{name}-{n}"));
            let free = std::iter::once(name.clone())
                .chain(numbered)
                .find(|name| taken.insert(name.to_lowercase()));
            free.expect("numbers do not end")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_cells_are_grouped_by_label_and_others_are_in_no_group() {
        let labels: Vec<Option<String>> = [Some("b"), None, Some("a"), Some("b"), Some("c")]
            .map(|label| label.map(str::to_owned))
            .to_vec();
        let groups = Groups::of("state", &labels, &[0, 1, 2, 3]).unwrap();
        assert_eq!(groups.names(), ["a", "b"]);
        let found: Vec<_> = (0..5).map(|row| groups.of_row(row)).collect();
        assert_eq!(found, [Some(1), None, Some(0), Some(1), None]);
        assert_eq!(groups.first_rows(&[3, 0, 2]), BTreeSet::from([2, 3]));
        assert!(Groups::of("state", &labels, &[1]).is_err());
        assert_eq!(Groups::one().first_rows(&[4, 2]), BTreeSet::from([4]));
    }

    #[test]
    fn labels_become_names_that_stay_in_their_folder_and_apart() {
        let labels = ["CD4+ T", "../etc", "a/b", "A_b", "", "a_b"].map(str::to_owned);
        assert_eq!(
            folder_names(&labels),
            ["CD4+ T", "___etc", "a_b", "A_b-2", "_", "a_b-3"]
        );
    }
}
