use crate::labels::most_frequent;
use crate::{Assignment, Error, LabelReader};

/// The column that says which gene was perturbed, and why it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnGuess {
    /// Name of the column.
    pub column: String,
    /// The reason, for people.
    pub reason: String,
}

/// Names under which screens publish the perturbed gene, the most telling first.
const NAMES: &[&str] = &[
    "perturbation",
    "target_gene",
    "gene_target",
    "perturbed_gene",
    "target",
    "gene",
    "condition",
];

/// Finds the perturbation column among the text columns of the cells: the first in the order of known names
/// (`perturbation`, `target_gene`, `gene_target`, `perturbed_gene`, `target`, `gene`, `condition`, without regard
/// to case) that holds both control cells and perturbed ones.
///
/// # Errors
/// [`Error::NoPerturbationColumn`] with the columns that came close and their most frequent labels.
pub fn guess_column<'a>(
    columns: impl IntoIterator<Item = (&'a str, &'a [Option<String>])>,
    reader: &LabelReader,
) -> Result<ColumnGuess, Error> {
    let (mut named, mut others) = (Vec::new(), Vec::new());
    for (column, labels) in columns {
        match NAMES.iter().position(|name| column.eq_ignore_ascii_case(name)) {
            Some(rank) => named.push((rank, column, labels)),
            None => others.push(column.to_owned()),
        }
    }
    named.sort_by_key(|&(rank, ..)| rank);
    for &(_, column, labels) in &named {
        let Ok(assignments) = reader.assign(labels) else {
            continue;
        };
        let n_controls = assignments.controls().len();
        let n_perturbed = assignments
            .cells()
            .iter()
            .filter(|cell| matches!(cell, Assignment::Single(_) | Assignment::Multiple(_)))
            .count();
        if n_perturbed > 0 {
            return Ok(ColumnGuess {
                column: column.to_owned(),
                reason: format!(
                    "{column:?} is a known name and holds {n_controls} control cells and {n_perturbed} perturbed ones"
                ),
            });
        }
    }
    Err(Error::NoPerturbationColumn {
        candidates: named
            .into_iter()
            .map(|(_, column, labels)| (column.to_owned(), most_frequent(labels)))
            .collect(),
        others,
    })
}
