//! Gene-level features and the names that they carry in a gene table.

use ndarray::Array1;
use scfm_core::{ColumnMoments, CountMatrix, GeneTable};

use crate::Error;

/// Mean expression over cells.
pub const MEAN: &str = "mean";
/// Variance of expression over cells, with denominator n − 1.
pub const VARIANCE: &str = "variance";
/// Share of cells in which a gene was counted at all.
pub const DETECTION: &str = "detection";
/// One minus [`DETECTION`].
pub const DROPOUT_RATE: &str = "dropout_rate";
/// Number of targets that a reference network lists for a gene; not computed here.
pub const OUT_DEGREE: &str = "out_degree";

/// [`MEAN`], [`VARIANCE`], [`DETECTION`] and [`DROPOUT_RATE`] of every gene of `cells`, over all its cells.
///
/// Expression is log1p of counts per 10,000 over all genes. Cells without a count of the gene are accounted for
/// exactly and never visited. Agrees with `numpy.mean` and `numpy.var(ddof=1)` of the dense matrix.
///
/// # Errors
/// [`scfm_stats::Undefined::TooFew`] below two cells, which have no variance.
pub fn gene_features(cells: &CountMatrix) -> Result<GeneTable, Error> {
    let n_cells = cells.n_cells();
    if n_cells < 2 {
        return Err(crate::too_few("cells", n_cells, 2));
    }
    let moments = ColumnMoments::of(&cells.log1p_cp10k());
    let detection = Array1::from_iter(moments.n_positive.iter().map(|&n| n as f64 / n_cells as f64));
    let dropout_rate = 1.0 - &detection;

    let mut table = GeneTable::new(cells.genes().clone());
    table.insert(MEAN, Array1::from_vec(moments.mean))?;
    table.insert(VARIANCE, Array1::from_vec(moments.variance))?;
    table.insert(DETECTION, detection)?;
    table.insert(DROPOUT_RATE, dropout_rate)?;
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_cells::cells;
    use proptest::prelude::*;
    use scfm_core::log1p_cp10k;

    /// Rounding of a mean of a few dozen numbers of order 10.
    const ROUNDING: f64 = 1e-12;

    #[test]
    fn one_cell_has_no_variance() {
        let error = gene_features(&cells(&[&[1, 2]], &[3.0])).unwrap_err();
        assert!(error.to_string().contains("cells"), "{error}");
    }

    proptest! {
        #[test]
        fn sparse_moments_are_those_of_the_dense_matrix(
            counts in prop::collection::vec(prop::collection::vec(0u8..3, 4), 2..20),
            extra in 0.0..50.0f64,
        ) {
            let rows: Vec<&[u8]> = counts.iter().map(Vec::as_slice).collect();
            let totals: Vec<f64> =
                counts.iter().map(|r| r.iter().map(|&c| f64::from(c)).sum::<f64>() + extra).collect();
            let table = gene_features(&cells(&rows, &totals)).unwrap();
            let n = counts.len() as f64;
            for gene in 0..4 {
                let values: Vec<f64> =
                    counts.iter().zip(&totals).map(|(r, &t)| log1p_cp10k(f64::from(r[gene]), t)).collect();
                let mean = values.iter().sum::<f64>() / n;
                let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
                let detection = counts.iter().filter(|r| r[gene] > 0).count() as f64 / n;
                let found = |name| table.feature(name).unwrap()[gene];
                prop_assert!((found(MEAN) - mean).abs() <= ROUNDING);
                prop_assert!((found(VARIANCE) - variance).abs() <= ROUNDING * (1.0 + variance));
                prop_assert_eq!(found(DETECTION), detection);
                prop_assert_eq!(found(DROPOUT_RATE), 1.0 - detection);
            }
        }
    }
}
