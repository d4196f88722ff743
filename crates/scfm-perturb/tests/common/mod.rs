//! Cells and comparisons that the tests of differential expression share.

use ndarray::Array2;
use scfm_core::{CountMatrix, GeneId, Panel};
use scfm_perturb::DeTable;
use serde::Deserialize;
use sprs::CsMat;

/// Means and statistics are sums of at most 60 terms; theirs and ours differ in the order of summation.
pub const SUMS: f64 = 1e-11;
/// Relative agreement of p-values that the project promises.
const P_VALUES: f64 = 1e-9;

#[derive(Deserialize)]
pub struct Tests {
    pub statistic: Vec<f64>,
    pub p: Vec<f64>,
    pub q: Vec<f64>,
}

pub fn matrix(counts: &[Vec<f32>], totals: Vec<f64>) -> CountMatrix {
    let n_genes = counts[0].len();
    let dense = Array2::from_shape_fn((counts.len(), n_genes), |(i, j)| counts[i][j]);
    let genes = Panel::new((0..n_genes).map(|g| format!("G{g}"))).unwrap();
    CountMatrix::new(genes, CsMat::csr_from_dense(dense.view(), 0.0), totals).unwrap()
}

/// Totals that leave three counts to genes outside.
pub fn totals(counts: &[Vec<f32>]) -> Vec<f64> {
    counts
        .iter()
        .map(|row| row.iter().map(|&x| f64::from(x)).sum::<f64>() + 3.0)
        .collect()
}

pub fn gene(g: usize) -> GeneId {
    format!("G{g}").into()
}

pub fn assert_close(found: f64, expected: f64, absolute: f64, relative: f64, what: &str) {
    assert!(
        (found - expected).abs() <= absolute + relative * expected.abs(),
        "{what}: {found} instead of {expected}"
    );
}

/// The values of one perturbation are those of the oracle.
pub fn assert_row(table: &DeTable, row: usize, lfc: &[f64], expected: &Tests, test: &str) {
    for (g, &lfc) in lfc.iter().enumerate() {
        let what = |name| format!("{test}, perturbation {row}, gene {g}, {name}");
        assert_close(table.lfc(row, g), lfc, SUMS, 0.0, &what("lfc"));
        let statistic = table.statistic()[[row, g]];
        assert_close(statistic, expected.statistic[g], SUMS, SUMS, &what("statistic"));
        assert_close(table.p()[[row, g]], expected.p[g], 0.0, P_VALUES, &what("p"));
        assert_close(table.q()[[row, g]], expected.q[g], 0.0, P_VALUES, &what("q"));
    }
}
