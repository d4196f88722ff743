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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_zeros_are_not_positive() {
        let stored = CsMat::new((2, 1), vec![0, 1, 2], vec![0, 0], vec![0.0, 2.0]);
        assert_eq!(positive_values(&stored), [vec![2.0]]);
    }
}
