//! What was done to each cell of a screen: its perturbation, guide and batch.

use std::collections::BTreeSet;

use anyhow::Result;
use scfm_core::Panel;
use scfm_io::Frame;
use scfm_perturb::{Assignments, LabelReader, Strata, guess_column};

use super::ScreenFile;
use crate::context::Dataset;
use crate::failure::bad_input;

/// Different control labels from which they are taken for guides rather than for names of controls.
const LEAST_GUIDES: usize = 3;

/// The column that names perturbations, and why it was taken.
pub struct PerturbationColumn {
    pub column: String,
    pub reason: String,
}

impl ScreenFile {
    /// What was done to each cell, and the column that says so with the reason why it was taken.
    pub fn perturbations(
        &self,
        dataset: &Dataset,
        known: &Panel,
    ) -> Result<(Assignments, PerturbationColumn)> {
        let obs = self.h5ad.obs()?;
        let mut reader = LabelReader::new(Some(known.clone()));
        if !dataset.controls.is_empty() {
            reader = reader.with_controls(&dataset.controls);
        }
        let (column, reason) = match &dataset.perturbation {
            Some(column) => {
                if !obs.columns().contains(column) {
                    return Err(self.no_such_column(&obs, column)?);
                }
                (column.clone(), "named by the context".to_owned())
            }
            None => {
                let columns = self.label_columns(&obs)?;
                let borrowed = columns
                    .iter()
                    .map(|(name, labels)| (name.as_str(), labels.as_slice()));
                let guess = guess_column(borrowed, &reader).map_err(|e| {
                    bad_input(format!("{}: {e} (--perturbation-column)", self.path.display()))
                })?;
                (guess.column, guess.reason)
            }
        };
        let mut labels = obs.column(&column)?.labels();
        for label in &mut labels {
            if label.as_ref().is_some_and(|l| dataset.unassigned.contains(l)) {
                *label = None;
            }
        }
        let assignments = reader.assign(&labels).map_err(|e| {
            anyhow::Error::from(e).context(format!("{}: obs column {column}", self.path.display()))
        })?;
        Ok((assignments, PerturbationColumn { column, reason }))
    }

    /// The stratum of each cell, where the context names a column for it and the column tells cells apart.
    pub fn strata(&self, dataset: &Dataset) -> Result<Option<Strata>> {
        let Some(column) = &dataset.stratum else {
            return Ok(None);
        };
        let strata = Strata::of(&self.labels(column)?);
        Ok(Some(strata).filter(|strata| strata.names().len() > 1))
    }

    /// The guide of each cell: from the column that the context names, else the perturbation labels where control
    /// cells have several, as in files whose labels are guides.
    pub fn guides(
        &self,
        dataset: &Dataset,
        perturbation: &str,
        assignments: &Assignments,
    ) -> Result<Option<Vec<Option<String>>>> {
        if let Some(column) = &dataset.guide {
            return Ok(Some(self.labels(column)?));
        }
        let labels = self.labels(perturbation)?;
        let controls: BTreeSet<&String> = assignments
            .controls()
            .into_iter()
            .filter_map(|row| labels[row].as_ref())
            .collect();
        let several = controls.len() >= LEAST_GUIDES;
        Ok(several.then_some(labels))
    }

    /// The label of each cell in a column.
    pub fn labels(&self, column: &str) -> Result<Vec<Option<String>>> {
        let obs = self.h5ad.obs()?;
        if !obs.columns().iter().any(|c| c == column) {
            return Err(self.no_such_column(&obs, column)?);
        }
        Ok(obs.column(column)?.labels())
    }

    /// Columns of labels; a column of numbers names no perturbation.
    fn label_columns(&self, obs: &Frame<'_>) -> Result<Vec<(String, Vec<Option<String>>)>> {
        let summary = self.h5ad.summary()?;
        let texts = summary.obs.iter().filter(|column| column.holds_text());
        texts
            .map(|column| Ok((column.name.clone(), obs.column(&column.name)?.labels())))
            .collect()
    }

    fn no_such_column(&self, obs: &Frame<'_>, wanted: &str) -> Result<anyhow::Error> {
        let candidates: Vec<String> = self
            .label_columns(obs)?
            .iter()
            .map(|(name, _)| {
                let counts = obs.column(name)?.value_counts();
                let shown: Vec<_> = counts
                    .iter()
                    .take(3)
                    .map(|(label, n)| format!("{label} ×{n}"))
                    .collect();
                Ok(format!("{name} ({} labels: {})", counts.len(), shown.join(", ")))
            })
            .collect::<Result<_>>()?;
        Ok(bad_input(format!(
            "{}: obs has no column {wanted:?}; columns with labels are {}",
            self.path.display(),
            if candidates.is_empty() {
                "none".to_owned()
            } else {
                candidates.join("; ")
            }
        )))
    }
}
