use ndarray::{Array2, Axis, Slice};
use scfm_core::{CountMatrix, EdgeKind, EdgeMatrix, GeneId, Panel};
use scfm_stats::SparseColumns;

use crate::Error;

/// Spearman correlation of expression over all given cells, from every source to every target, sign kept.
///
/// Expression is log1p of counts per 10,000 over all genes; ties, zeros above all, share their mean rank. A gene
/// that is constant over the cells has `NaN` edges. Agrees with `scipy.stats.spearmanr`.
///
/// # Errors
/// [`Error::MissingGene`] for a gene that is no column of `cells`, [`scfm_stats::Undefined::TooFew`] below three
/// cells.
pub fn spearman_edges(cells: &CountMatrix, sources: &Panel, targets: &Panel) -> Result<EdgeMatrix, Error> {
    if cells.n_cells() < 3 {
        return Err(crate::too_few("cells", cells.n_cells(), 3));
    }
    // Each gene is ranked once, whether it is a source, a target or both.
    let only_sources = sources
        .genes()
        .iter()
        .filter(|gene| !targets.contains(gene.as_str()));
    let both = Panel::new(targets.genes().iter().chain(only_sources).cloned())?;
    let expression = cells
        .select_genes(&both)
        .map_err(Error::MissingGene)?
        .log1p_cp10k()
        .to_csc();
    let starts = expression.proper_indptr();
    let columns = SparseColumns::new(
        expression.rows(),
        &starts,
        expression.indices(),
        expression.data(),
    )
    .expect("a sparse matrix is well formed");
    let correlation = scfm_stats::spearman_columns(columns);
    let row_of = |gene: &GeneId| {
        both.position(gene.as_str())
            .expect("every source is in the union of both panels")
    };
    let rows: Vec<usize> = sources.genes().iter().map(row_of).collect();
    let scores: Array2<f32> = correlation
        .select(Axis(0), &rows)
        .slice_axis(Axis(1), Slice::from(..targets.len()))
        .mapv(|rho| rho as f32);
    Ok(EdgeMatrix::new(
        EdgeKind::Spearman,
        sources.clone(),
        targets.clone(),
        scores,
    )?)
}

/// In how many cells both genes have a count, `[gene, gene]`; 0 for a gene with itself.
pub fn codetection(cells: &CountMatrix) -> Array2<u32> {
    let n = cells.genes().len();
    let mut counts = Array2::zeros((n, n));
    for cell in cells.counts().outer_iterator() {
        let detected: Vec<usize> = cell
            .iter()
            .filter(|(_, count)| **count > 0.0)
            .map(|(gene, _)| gene)
            .collect();
        for &source in &detected {
            for &target in &detected {
                counts[[source, target]] += u32::from(source != target);
            }
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_cells::cells;
    use ndarray::Array1;
    use proptest::prelude::*;

    #[test]
    fn codetection_counts_cells_with_both_genes() {
        let cells = cells(&[&[1, 2, 0], &[3, 1, 1], &[0, 0, 4]], &[10.0; 3]);
        assert_eq!(
            codetection(&cells),
            ndarray::array![[0, 2, 1], [2, 0, 1], [1, 1, 0]]
        );
    }

    #[test]
    fn constant_genes_have_no_edges_and_a_gene_has_rho_one_with_itself() {
        let cells = cells(&[&[1, 0, 5], &[0, 0, 7], &[2, 0, 9]], &[10.0, 20.0, 30.0]);
        let edges = spearman_edges(&cells, cells.genes(), cells.genes()).unwrap();
        assert!(edges.scores().row(1).iter().all(|rho| rho.is_nan()));
        assert_eq!(edges.scores()[[0, 0]], 1.0);
    }

    #[test]
    fn a_gene_that_was_not_counted_is_named() {
        let cells = cells(&[&[1], &[0], &[2]], &[1.0, 1.0, 2.0]);
        let other = Panel::new(["G0", "XIST"]).unwrap();
        let error = spearman_edges(&cells, &other, cells.genes()).unwrap_err();
        assert!(
            matches!(error, Error::MissingGene(ref gene) if gene.as_str() == "XIST"),
            "{error}"
        );
    }

    /// Pearson's correlation of ranks that are counted one by one; 0 / 0 where a gene is constant.
    fn naive(a: &[f64], b: &[f64]) -> f64 {
        let rank = |values: &[f64], x: f64| {
            let below = values.iter().filter(|&&v| v < x).count();
            let tied = values.iter().filter(|&&v| v == x).count();
            below as f64 + (tied as f64 - 1.0) / 2.0 - (values.len() as f64 - 1.0) / 2.0
        };
        let ranks = |values: &[f64]| values.iter().map(|&x| rank(values, x)).collect::<Array1<f64>>();
        let (a, b) = (ranks(a), ranks(b));
        a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt()
    }

    proptest! {
        #[test]
        fn edges_are_the_correlations_of_two_columns_wherever_the_genes_stand(
            counts in prop::collection::vec(prop::collection::vec(0u8..4, 4), 3..15),
        ) {
            let rows: Vec<&[u8]> = counts.iter().map(Vec::as_slice).collect();
            let totals: Vec<f64> = (0..counts.len()).map(|i| 20.0 + i as f64).collect();
            let cells = cells(&rows, &totals);
            let (sources, targets) = (Panel::new(["G3", "G0"]).unwrap(), Panel::new(["G1", "G0", "G2"]).unwrap());
            let edges = spearman_edges(&cells, &sources, &targets).unwrap();
            let dense = cells.log1p_cp10k().to_dense();
            for (s, source) in [3, 0].into_iter().enumerate() {
                for (t, target) in [1, 0, 2].into_iter().enumerate() {
                    let expected = naive(&dense.column(source).to_vec(), &dense.column(target).to_vec());
                    let found = f64::from(edges.scores()[[s, t]]);
                    prop_assert!((found - expected).abs() < 1e-6 || (found.is_nan() && expected.is_nan()));
                }
            }
        }
    }
}
