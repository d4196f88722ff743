//! Whether a reference and a panel name genes alike, and what is said where they do not.

use std::collections::HashSet;

use scfm_core::{GeneId, Panel};

use crate::{Crosswalk, Error};

/// Fails unless a gene of a reference is in the panel.
pub(crate) fn check_shared<'a>(
    name: &str,
    genes: impl Iterator<Item = &'a GeneId> + Clone,
    panel: &'a Panel,
    crosswalk: Option<&'a Crosswalk>,
) -> Result<(), Error> {
    let renamed = genes.filter_map(|gene| match crosswalk {
        Some(crosswalk) => crosswalk.get(gene),
        None => Some(gene),
    });
    if renamed.clone().any(|gene| panel.contains(gene.as_str())) {
        return Ok(());
    }
    Err(no_shared_genes(name, renamed, panel.genes().iter()))
}

/// The error of a reference, by its genes as they are after a crosswalk, that shares none with the panel.
pub(crate) fn no_shared_genes<'a>(
    name: &str,
    reference: impl Iterator<Item = &'a GeneId> + Clone,
    panel: impl Iterator<Item = &'a GeneId> + Clone,
) -> Error {
    let ensembl = |gene: &GeneId| gene.as_str().starts_with("ENS");
    let upper: HashSet<String> = panel.clone().map(|gene| gene.as_str().to_uppercase()).collect();
    let hint = match (reference.clone().next(), panel.clone().next()) {
        (None, Some(_)) => ": no gene of the reference is in the crosswalk",
        (Some(reference), Some(panel)) if ensembl(reference) != ensembl(panel) => {
            ": one side uses Ensembl ids, the other symbols; give a crosswalk"
        }
        _ if reference
            .clone()
            .any(|gene| upper.contains(&gene.as_str().to_uppercase())) =>
        {
            ": they agree but for upper and lower case; is one of another species?"
        }
        _ => "",
    };
    Error::NoSharedGenes {
        network: name.to_owned(),
        reference: reference.take(3).map(ToString::to_string).collect(),
        panel: panel.take(3).map(ToString::to_string).collect(),
        hint,
    }
}

/// A few genes of a set, always the same ones.
pub(crate) fn examples<'a>(genes: impl Iterator<Item = &'a GeneId>) -> Vec<&'a GeneId> {
    let mut genes: Vec<&GeneId> = genes.collect();
    genes.sort();
    genes.truncate(5);
    genes
}
