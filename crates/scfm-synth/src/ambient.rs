use rand_chacha::ChaCha8Rng;

use crate::draw;
use crate::rows::Rows;

/// The RNA that floats between cells: some of every cell's counts come from the mean profile of all cells.
pub(crate) struct Ambient {
    /// Share of a cell's expected counts.
    share: f64,
    /// Expected counts of each gene, summed over cells.
    profile: Vec<f64>,
    /// Expected counts of each cell.
    totals: Vec<f64>,
}

impl Ambient {
    pub(crate) fn new(share: f64, n_genes: usize) -> Self {
        Self {
            share,
            profile: vec![0.0; n_genes],
            totals: Vec::new(),
        }
    }

    /// Takes note of the next cell's expected counts, and leaves it those that are its own.
    pub(crate) fn withhold(&mut self, expected: &mut [f64]) {
        self.totals.push(expected.iter().sum());
        for (sum, expected) in self.profile.iter_mut().zip(expected) {
            *sum += *expected;
            *expected *= 1.0 - self.share;
        }
    }

    /// Adds to each cell what was withheld, from the profile of all: a Poisson number of molecules, each of a gene
    /// drawn from the profile, which is a Poisson number per gene. Each cell draws from the stream of its number.
    pub(crate) fn pour(self, rows: Rows, stream: impl Fn(u64) -> ChaCha8Rng) -> Rows {
        let total: f64 = self.profile.iter().sum();
        if self.share == 0.0 || total == 0.0 {
            return rows;
        }
        let mut poured = Rows::new(rows.genes().clone());
        for (cell, of_cell) in self.totals.iter().enumerate() {
            let rng = &mut stream(cell as u64);
            let ambient = self
                .profile
                .iter()
                .map(|of_gene| draw::poisson(rng, self.share * of_cell * of_gene / total));
            let mut counts = rows.dense(cell);
            counts
                .iter_mut()
                .zip(ambient)
                .for_each(|(own, more)| *own += more);
            poured.push(counts.into_iter());
        }
        poured
    }
}
