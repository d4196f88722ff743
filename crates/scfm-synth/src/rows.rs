use scfm_core::{CountMatrix, Panel};
use sprs::CsMat;

/// Counts collected row by row in CSR order.
pub(crate) struct Rows {
    genes: Panel,
    indptr: Vec<usize>,
    indices: Vec<usize>,
    data: Vec<f32>,
    totals: Vec<f64>,
}

impl Rows {
    pub(crate) fn new(genes: Panel) -> Self {
        Self {
            genes,
            indptr: vec![0],
            indices: Vec::new(),
            data: Vec::new(),
            totals: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, counts: impl Iterator<Item = f64>) {
        let mut total = 0.0;
        for (gene, count) in counts.enumerate().filter(|&(_, count)| count > 0.0) {
            self.indices.push(gene);
            self.data.push(count as f32);
            total += count;
        }
        self.totals.push(total);
        self.indptr.push(self.indices.len());
    }

    pub(crate) fn genes(&self) -> &Panel {
        &self.genes
    }

    /// The counts of a row, zeros included.
    pub(crate) fn dense(&self, row: usize) -> Vec<f64> {
        let mut counts = vec![0.0; self.genes.len()];
        for entry in self.indptr[row]..self.indptr[row + 1] {
            counts[self.indices[entry]] = f64::from(self.data[entry]);
        }
        counts
    }

    pub(crate) fn finish(self) -> CountMatrix {
        let shape = (self.totals.len(), self.genes.len());
        let counts = CsMat::new(shape, self.indptr, self.indices, self.data);
        CountMatrix::new(self.genes, counts, self.totals)
            .expect("draws are counts, a column per gene of the panel")
    }
}
