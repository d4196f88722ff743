/// Benjamini and Hochberg's false-discovery adjustment (step-up, monotone), in the order of the input.
///
/// An adjusted value at or below α is a discovery at false-discovery rate α under independence or positive
/// dependence. Oracle: `statsmodels.stats.multitest.multipletests(method="fdr_bh")`.
///
/// ```
/// assert_eq!(scfm_stats::benjamini_hochberg(&[0.01, 0.04, 0.03]), [0.03, 0.04, 0.04]);
/// ```
///
/// # Panics
/// If a value is outside [0, 1] or NaN.
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    step_up(p, 1.0)
}

/// Benjamini and Yekutieli's false-discovery adjustment, valid under any dependence.
///
/// Oracle: `multipletests(method="fdr_by")`.
///
/// # Panics
/// As [`benjamini_hochberg`].
pub fn benjamini_yekutieli(p: &[f64]) -> Vec<f64> {
    step_up(p, (1..=p.len()).map(|i| 1.0 / i as f64).sum())
}

/// Holm's step-down adjustment of the family-wise error. Oracle: `multipletests(method="holm")`.
///
/// # Panics
/// As [`benjamini_hochberg`].
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut adjusted = vec![0.0; p.len()];
    let mut largest: f64 = 0.0;
    for (before, &index) in ascending(p).iter().enumerate() {
        largest = largest.max((p.len() - before) as f64 * p[index]).min(1.0);
        adjusted[index] = largest;
    }
    adjusted
}

/// Bonferroni's adjustment of the family-wise error. Oracle: `multipletests(method="bonferroni")`.
///
/// # Panics
/// As [`benjamini_hochberg`].
pub fn bonferroni(p: &[f64]) -> Vec<f64> {
    check(p);
    p.iter().map(|value| (value * p.len() as f64).min(1.0)).collect()
}

/// min over the larger values of `penalty` · m · p / rank.
fn step_up(p: &[f64], penalty: f64) -> Vec<f64> {
    let mut adjusted = vec![0.0; p.len()];
    let mut smallest: f64 = 1.0;
    for (before, &index) in ascending(p).iter().enumerate().rev() {
        smallest = smallest.min(p[index] * penalty * p.len() as f64 / (before + 1) as f64);
        adjusted[index] = smallest;
    }
    adjusted
}

fn ascending(p: &[f64]) -> Vec<usize> {
    check(p);
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    order
}

fn check(p: &[f64]) {
    for (index, value) in p.iter().enumerate() {
        assert!(
            (0.0..=1.0).contains(value),
            "p-values must lie in [0, 1], got {value} at {index}"
        );
    }
}
