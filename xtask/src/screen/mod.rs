//! A screen as the evaluation sees it: which matrix holds counts, what its genes are called, what was done to each cell.

mod genes;
mod known_genes;
mod labels;

use std::path::{Path, PathBuf};

use anyhow::Result;
use scfm_io::{H5ad, MatrixName, ReadLimits, Scalar};

use crate::failure::bad_input;

pub use genes::{Genes, nameable};
pub use known_genes::KnownGenes;

/// An open screen.
pub struct ScreenFile {
    pub path: PathBuf,
    pub h5ad: H5ad,
    pub counts: MatrixName,
    pub simulated: bool,
}

impl ScreenFile {
    /// Opens the file and finds its raw counts.
    pub fn open(path: &Path, counts: Option<&str>, limits: &ReadLimits) -> Result<Self> {
        let h5ad = H5ad::open(path, limits)?;
        let counts = match counts {
            None => h5ad.counts_matrix()?,
            Some(wanted) => matrix(&h5ad, path, wanted)?,
        };
        let simulated = h5ad.uns("simulated")? == Some(Scalar::Bool(true));
        Ok(Self {
            path: path.to_owned(),
            h5ad,
            counts,
            simulated,
        })
    }

    /// The matrix called `wanted`: `X`, `raw/X`, `layers/<name>`.
    pub fn matrix(&self, wanted: &str) -> Result<MatrixName> {
        matrix(&self.h5ad, &self.path, wanted)
    }
}

fn matrix(h5ad: &H5ad, path: &Path, wanted: &str) -> Result<MatrixName> {
    let names = h5ad.matrix_names()?;
    let found = names.iter().find(|name| name.to_string() == wanted);
    found.cloned().ok_or_else(|| {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        bad_input(format!(
            "{}: no matrix {wanted:?}; the file has {}",
            path.display(),
            names.join(", ")
        ))
    })
}
