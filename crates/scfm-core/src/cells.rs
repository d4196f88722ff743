use sprs::{CsMat, CsMatView};

use crate::{Error, GeneId, Panel};

/// Raw counts of cells (rows) × genes (columns), compressed by row, with each cell's total over **all** genes of
/// its file, also those that are not columns here.
#[derive(Debug, Clone)]
pub struct CountMatrix {
    genes: Panel,
    counts: CsMat<f32>,
    totals: Vec<f64>,
}

impl CountMatrix {
    /// Counts of shape `[totals.len(), genes.len()]` in CSR order.
    ///
    /// # Errors
    /// [`Error::Shape`] where the shapes disagree or the matrix is stored by column, [`Error::NotACount`] for a
    /// negative, fractional or non-finite value.
    pub fn new(genes: Panel, counts: CsMat<f32>, totals: Vec<f64>) -> Result<Self, Error> {
        let expected = [totals.len(), genes.len()];
        if !counts.is_csr() || [counts.rows(), counts.cols()] != expected {
            return Err(Error::Shape {
                what: if counts.is_csr() {
                    "count matrix"
                } else {
                    "count matrix stored by column"
                }
                .to_owned(),
                found: vec![counts.rows(), counts.cols()],
                expected: expected.to_vec(),
            });
        }
        for (cell, row) in counts.outer_iterator().enumerate() {
            if let Some((gene, &value)) = row
                .iter()
                .find(|&(_, &v)| !(v >= 0.0 && v.fract() == 0.0 && v.is_finite()))
            {
                return Err(Error::NotACount {
                    cell,
                    gene: genes.gene(gene).clone(),
                    value,
                });
            }
        }
        Ok(Self {
            genes,
            counts,
            totals,
        })
    }

    /// Number of cells.
    pub fn n_cells(&self) -> usize {
        self.totals.len()
    }

    /// The genes of the columns.
    pub fn genes(&self) -> &Panel {
        &self.genes
    }

    /// The counts, CSR.
    pub fn counts(&self) -> CsMatView<'_, f32> {
        self.counts.view()
    }

    /// Total count of each cell over all genes of its file.
    pub fn totals(&self) -> &[f64] {
        &self.totals
    }

    /// The columns of `panel` in its order; genes that are absent here are named in the error's place.
    ///
    /// # Errors
    /// The first gene of `panel` that is not a column.
    pub fn select_genes(&self, panel: &Panel) -> Result<Self, GeneId> {
        let mut new_column = vec![usize::MAX; self.genes.len()];
        for (new, gene) in panel.genes().iter().enumerate() {
            new_column[self.genes.position(gene.as_str()).ok_or_else(|| gene.clone())?] = new;
        }
        let (mut indptr, mut indices, mut data) = (vec![0], Vec::new(), Vec::new());
        let mut row_entries = Vec::new();
        for row in self.counts.outer_iterator() {
            row_entries.clear();
            row_entries.extend(
                row.iter()
                    .map(|(old, &v)| (new_column[old], v))
                    .filter(|&(new, _)| new != usize::MAX),
            );
            row_entries.sort_unstable_by_key(|&(new, _)| new);
            indices.extend(row_entries.iter().map(|&(new, _)| new));
            data.extend(row_entries.iter().map(|&(_, v)| v));
            indptr.push(indices.len());
        }
        let counts = CsMat::new((self.n_cells(), panel.len()), indptr, indices, data);
        Ok(Self {
            genes: panel.clone(),
            counts,
            totals: self.totals.clone(),
        })
    }

    /// The cells `rows` in the given order.
    ///
    /// # Panics
    /// When a row is not below [`CountMatrix::n_cells`].
    pub fn select_cells(&self, rows: &[usize]) -> Self {
        let (mut indptr, mut indices, mut data) = (vec![0], Vec::new(), Vec::new());
        for &row in rows {
            let row = self.counts.outer_view(row).expect("a row of the matrix");
            indices.extend_from_slice(row.indices());
            data.extend_from_slice(row.data());
            indptr.push(indices.len());
        }
        let counts = CsMat::new((rows.len(), self.genes.len()), indptr, indices, data);
        Self {
            genes: self.genes.clone(),
            counts,
            totals: rows.iter().map(|&r| self.totals[r]).collect(),
        }
    }

    /// Expression: every count as [`log1p_cp10k`] of its cell's total; same sparsity.
    pub fn log1p_cp10k(&self) -> CsMat<f64> {
        let values = self
            .counts
            .outer_iterator()
            .zip(&self.totals)
            .flat_map(|(row, &total)| {
                row.data()
                    .iter()
                    .map(move |&x| log1p_cp10k(f64::from(x), total))
                    .collect::<Vec<_>>()
            })
            .collect();
        CsMat::new(
            (self.n_cells(), self.genes.len()),
            self.counts.indptr().raw_storage().to_vec(),
            self.counts.indices().to_vec(),
            values,
        )
    }
}

/// Expression of a gene in a cell: natural log of 1 + counts per 10,000 of the cell's `total` over all genes.
/// Agrees with scanpy's `normalize_total(target_sum=1e4)` followed by `log1p`. A cell without counts has 0.
pub fn log1p_cp10k(count: f64, total: f64) -> f64 {
    if total > 0.0 {
        (count / total * 1e4).ln_1p()
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matrix(rows: &[&[f32]]) -> CountMatrix {
        let genes = Panel::new((0..rows[0].len()).map(|i| format!("G{i}"))).unwrap();
        let dense = ndarray::Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| rows[i][j]);
        let totals = rows
            .iter()
            .map(|r| r.iter().map(|&x| f64::from(x)).sum())
            .collect();
        CountMatrix::new(genes, CsMat::csr_from_dense(dense.view(), 0.0), totals).unwrap()
    }

    #[test]
    fn values_that_are_no_counts_are_named_by_cell_and_gene() {
        for bad in [-1.0, 0.5, f32::NAN, f32::INFINITY] {
            let counts = CsMat::new((2, 2), vec![0, 1, 2], vec![0, 1], vec![3.0, bad]);
            let error =
                CountMatrix::new(Panel::new(["A", "B"]).unwrap(), counts, vec![3.0, 1.0]).unwrap_err();
            assert!(
                matches!(error, Error::NotACount { cell: 1, ref gene, .. } if gene.as_str() == "B"),
                "{error}"
            );
        }
    }

    #[test]
    fn expression_is_the_log_of_counts_per_ten_thousand() {
        let expression = matrix(&[&[1.0, 3.0], &[0.0, 2.0]]).log1p_cp10k();
        assert_eq!(expression.get(0, 0), Some(&2500.0f64.ln_1p()));
        assert_eq!(expression.get(1, 0), None);
        assert_eq!(expression.get(1, 1), Some(&1e4f64.ln_1p()));
        assert_eq!(log1p_cp10k(0.0, 0.0), 0.0);
    }

    proptest! {
        #[test]
        fn selecting_genes_and_cells_picks_the_same_entries(
            values in prop::collection::vec(prop::collection::vec(0u8..4, 5), 1..6),
            genes in Just(vec![0, 1, 2, 3, 4]).prop_shuffle(),
            keep in 0..5usize,
        ) {
            let rows: Vec<Vec<f32>> = values.iter().map(|r| r.iter().map(|&v| f32::from(v)).collect()).collect();
            let all = matrix(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let panel = Panel::new(genes[..keep].iter().map(|g| format!("G{g}"))).unwrap();
            let cells: Vec<usize> = (0..rows.len()).rev().collect();
            let picked = all.select_genes(&panel).unwrap().select_cells(&cells);
            for (i, &cell) in cells.iter().enumerate() {
                prop_assert_eq!(picked.totals()[i], all.totals()[cell]);
                for (j, &gene) in genes[..keep].iter().enumerate() {
                    prop_assert_eq!(picked.counts().get(i, j).copied().unwrap_or(0.0), rows[cell][gene]);
                }
            }
        }
    }
}
