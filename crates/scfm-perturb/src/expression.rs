use scfm_core::CountMatrix;
use sprs::CsMat;

/// The positive values of every gene, unsorted.
pub(crate) fn positive_values(expression: &CsMat<f64>) -> Vec<Vec<f64>> {
    let mut values = vec![Vec::new(); expression.cols()];
    for (&gene, &value) in expression
        .indices()
        .iter()
        .zip(expression.data())
        .filter(|&(_, &value)| value > 0.0)
    {
        values[gene].push(value);
    }
    values
}

/// Mean counts per 10,000 of every gene, without a logarithm.
pub(crate) fn mean_cp10k(cells: &CountMatrix) -> Vec<f64> {
    let mut mean = vec![0.0; cells.genes().len()];
    for (row, &total) in cells.counts().outer_iterator().zip(cells.totals()) {
        for (gene, &count) in row.iter().filter(|_| total > 0.0) {
            mean[gene] += f64::from(count) / total * 1e4;
        }
    }
    let n = cells.n_cells() as f64;
    mean.iter().map(|sum| sum / n).collect()
}

#[cfg(test)]
mod tests {
    use scfm_core::Panel;

    use super::*;

    #[test]
    fn mean_counts_per_ten_thousand_count_cells_without_any_count() {
        let counts = CsMat::csr_from_dense(ndarray::array![[5.0, 0.0], [1.0, 3.0], [0.0, 0.0]].view(), 0.0);
        let cells =
            CountMatrix::new(Panel::new(["A", "B"]).unwrap(), counts, vec![100.0, 10.0, 0.0]).unwrap();
        assert_eq!(mean_cp10k(&cells), [500.0, 1000.0]);
    }

    #[test]
    fn stored_zeros_are_not_positive() {
        let stored = CsMat::new((2, 1), vec![0, 1, 2], vec![0, 0], vec![0.0, 2.0]);
        assert_eq!(positive_values(&stored), [vec![2.0]]);
    }
}
