use std::collections::HashSet;

use scfm_core::{ColumnMoments, CountMatrix, GeneId, Ledger, Panel};

use crate::Error;

/// A panel of highly variable genes and how it came about.
#[derive(Debug, Clone)]
pub struct HighlyVariable {
    /// The genes in the order of the file.
    pub panel: Panel,
    /// Genes that are in the panel only because they were forced in.
    pub n_forced: usize,
    /// Genes of the file that were left out, by reason, and forced genes that cannot be had.
    pub ledger: Ledger,
}

/// The `n` genes of `vocabulary` with the largest variance of expression (log1p of counts per 10,000) over the
/// control cells, in file order; genes of equal variance are taken in file order, constant genes never. `forced`
/// genes of the file and the vocabulary come on top.
///
/// The order of genes by variance does not depend on ddof, so this is the selection of `numpy.var`.
///
/// # Errors
/// [`Error::FewControls`] for less than two cells, [`Error::Parameter`] for `n` = 0.
pub fn highly_variable(
    controls: &CountMatrix,
    vocabulary: &Panel,
    n: usize,
    forced: &[GeneId],
) -> Result<HighlyVariable, Error> {
    if n == 0 {
        return Err(Error::Parameter {
            name: "hvg",
            value: 0.0,
            expected: "at least 1",
        });
    }
    if controls.n_cells() < 2 {
        return Err(Error::FewControls {
            n: controls.n_cells(),
            needed: 2,
        });
    }
    let genes = controls.genes();
    let variance = ColumnMoments::of(&controls.log1p_cp10k()).variance;
    let known: Vec<usize> = (0..genes.len())
        .filter(|&g| vocabulary.contains(genes.gene(g).as_str()))
        .collect();
    let mut varying: Vec<usize> = known.iter().copied().filter(|&g| variance[g] > 0.0).collect();
    let (n_known, n_varying) = (known.len(), varying.len());
    // The sort is stable, so that ties stay in file order.
    varying.sort_by(|&a, &b| variance[b].total_cmp(&variance[a]));
    varying.truncate(n);

    let mut chosen: HashSet<usize> = varying.into_iter().collect();
    let n_natural = chosen.len();
    let mut absent = Vec::new();
    for gene in forced {
        match genes.position(gene.as_str()) {
            Some(position) if vocabulary.contains(gene.as_str()) => {
                chosen.insert(position);
            }
            _ => absent.push(gene),
        }
    }
    let panel = Panel::new(
        (0..genes.len())
            .filter(|g| chosen.contains(g))
            .map(|g| genes.gene(g).clone()),
    )?;

    let mut ledger = Ledger::new();
    let unknown = genes
        .genes()
        .iter()
        .filter(|gene| !vocabulary.contains(gene.as_str()));
    ledger.lost(
        "genes",
        "not in the vocabulary",
        (genes.len() - n_known) as u64,
        unknown,
    );
    ledger.lost(
        "genes",
        "constant in control cells",
        (n_known - n_varying) as u64,
        [] as [&str; 0],
    );
    ledger.lost(
        "genes",
        "variance too small",
        (n_varying - n_natural) as u64,
        [] as [&str; 0],
    );
    ledger.lost(
        "genes to be forced in",
        "not in the file or the vocabulary",
        absent.len() as u64,
        absent,
    );
    ledger.kept("panel genes", panel.len() as u64);
    Ok(HighlyVariable {
        n_forced: panel.len() - n_natural,
        panel,
        ledger,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sprs::CsMat;

    use super::*;

    fn matrix(rows: &[Vec<u8>]) -> CountMatrix {
        let n_genes = rows[0].len();
        let dense = ndarray::Array2::from_shape_fn((rows.len(), n_genes), |(i, j)| f32::from(rows[i][j]));
        let genes = Panel::new((0..n_genes).map(|g| format!("G{g}"))).unwrap();
        let totals = rows
            .iter()
            .map(|row| row.iter().map(|&x| f64::from(x)).sum())
            .collect();
        CountMatrix::new(genes, CsMat::csr_from_dense(dense.view(), 0.0), totals).unwrap()
    }

    fn ids(panel: &Panel) -> Vec<&str> {
        panel.genes().iter().map(GeneId::as_str).collect()
    }

    proptest! {
        #[test]
        fn no_gene_left_out_varies_more_than_one_taken(
            rows in prop::collection::vec(prop::collection::vec(0u8..6, 8), 3..12),
            n in 1..8usize,
        ) {
            let cells = matrix(&rows);
            let chosen = highly_variable(&cells, cells.genes(), n, &[]).unwrap();
            let expression = cells.log1p_cp10k().to_dense();
            let variance: Vec<f64> = (0..8).map(|g| expression.column(g).var(1.0)).collect();
            let (inside, outside): (Vec<usize>, Vec<usize>) =
                (0..8).partition(|g| chosen.panel.contains(&format!("G{g}")));
            // The two ways to sum may order equal variances differently.
            let least = inside.iter().map(|&g| variance[g]).fold(f64::INFINITY, f64::min) + 1e-12;
            prop_assert!(outside.iter().all(|&g| variance[g] <= least));
            prop_assert_eq!(inside.len(), n.min(variance.iter().filter(|&&v| v > 1e-12).count()));
            prop_assert!(chosen.panel.genes().is_sorted());
            prop_assert_eq!(chosen.n_forced, 0);
        }
    }

    #[test]
    fn forced_genes_come_on_top_and_those_that_cannot_are_named() {
        let cells = matrix(&[vec![9, 1, 0, 1, 5], vec![1, 1, 0, 2, 5], vec![0, 9, 0, 3, 5]]);
        let vocabulary = Panel::new(["G0", "G1", "G2", "G3"]).unwrap();
        let forced = ["G2", "G0", "G4", "X"].map(GeneId::from);
        let chosen = highly_variable(&cells, &vocabulary, 2, &forced).unwrap();
        assert_eq!(ids(&chosen.panel), ["G0", "G1", "G2"]);
        assert_eq!(chosen.n_forced, 1);
        let lost: Vec<_> = chosen
            .ledger
            .steps()
            .iter()
            .map(|s| (s.reason.as_str(), s.count))
            .collect();
        assert_eq!(
            lost,
            [
                ("not in the vocabulary", 1),
                ("constant in control cells", 1),
                ("variance too small", 1),
                ("not in the file or the vocabulary", 2),
                ("kept", 3)
            ]
        );
    }

    #[test]
    fn one_cell_has_no_variance() {
        let cells = matrix(&[vec![1, 2]]);
        let error = highly_variable(&cells, cells.genes(), 1, &[]).unwrap_err();
        assert!(matches!(error, Error::FewControls { n: 1, needed: 2 }), "{error}");
    }
}
