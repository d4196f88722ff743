use std::collections::{BTreeSet, HashMap};

use scfm_core::{CountMatrix, Ledger, Panel};
use sprs::CsMat;

use super::Vocabulary;
use crate::Error;

impl Vocabulary {
    /// Counts over the genes that have a token, by their current ids: the counts of columns that share one are
    /// summed. Genes come in the order of their first column; totals stay those over all genes of the file.
    ///
    /// As in Geneformer's `TranscriptomeTokenizer` with `collapse_gene_ids=True`, but for the order of columns, on
    /// which no value depends.
    ///
    /// # Errors
    /// [`Error::NoKnownGene`] where no gene has a token.
    pub fn collapse(&self, counts: &CountMatrix) -> Result<(CountMatrix, Ledger), Error> {
        let mut position: HashMap<&str, usize> = HashMap::new();
        let mut genes: Vec<&str> = Vec::new();
        let (mut unknown, mut summed) = (Vec::new(), Vec::new());
        let columns: Vec<Option<usize>> = counts
            .genes()
            .genes()
            .iter()
            .map(|gene| {
                let Some(current) = self.current_id(gene.as_str()) else {
                    unknown.push(gene);
                    return None;
                };
                let next = genes.len();
                let place = *position.entry(current).or_insert(next);
                if place == next {
                    genes.push(current);
                } else {
                    summed.push(gene);
                }
                Some(place)
            })
            .collect();
        if genes.is_empty() {
            return Err(self.no_known_gene(counts.genes()));
        }
        let mut ledger = Ledger::new();
        ledger.lost(
            "genes",
            "not in the model's vocabulary",
            unknown.len() as u64,
            unknown,
        );
        let reason = "same current Ensembl id as another gene, counts summed";
        ledger.lost("genes", reason, summed.len() as u64, summed);
        ledger.kept("genes", genes.len() as u64);

        let panel = Panel::new(genes).expect("genes are collected without repeats");
        let summed = sum_columns(counts, &columns, panel.len());
        let counts = CountMatrix::new(panel, summed, counts.totals().to_vec())
            .expect("sums of counts are counts, one column a gene");
        Ok((counts, ledger))
    }
}

/// The columns of `counts` added up by their new place; those without one are dropped.
fn sum_columns(counts: &CountMatrix, columns: &[Option<usize>], n_columns: usize) -> CsMat<f32> {
    let (mut indptr, mut indices, mut data) = (vec![0], Vec::new(), Vec::new());
    let mut sums = vec![0.0; n_columns];
    for row in counts.counts().outer_iterator() {
        let mut touched = BTreeSet::new();
        for (column, &count) in row.iter() {
            if let Some(place) = columns[column] {
                sums[place] += count;
                touched.insert(place);
            }
        }
        for place in touched {
            indices.push(place);
            data.push(std::mem::take(&mut sums[place]));
        }
        indptr.push(indices.len());
    }
    CsMat::new((counts.n_cells(), n_columns), indptr, indices, data)
}
