use crate::PValue;
use crate::error::Error;
use crate::proportion::clopper_pearson;
use crate::result::Interval;

/// Statistics this close, relatively, are the same number summed in another order.
const SAME: f64 = 1e-10;

/// 95 % Clopper-Pearson interval of the p-value that infinitely many permutations would give, from a p-value
/// (1 + exceeding) / (1 + `n_permutations`).
///
/// # Errors
/// [`Error::Empty`] for 0 permutations.
pub fn permutation_p_interval(p: PValue, n_permutations: usize) -> Result<Interval, Error> {
    let exceeding = (p.p() * (n_permutations as f64 + 1.0)).round() - 1.0;
    clopper_pearson(
        exceeding.max(0.0) as u64,
        n_permutations as u64,
        crate::CONFIDENCE,
    )
}

/// (1 + #{|null| ≥ |observed|}) / (1 + B), for statistics centred at 0.
pub(crate) fn monte_carlo_p(observed: f64, null: &[f64]) -> f64 {
    let limit = observed.abs() * (1.0 - SAME);
    let exceeding = null.iter().filter(|value| value.abs() >= limit).count();
    (1 + exceeding) as f64 / (1 + null.len()) as f64
}
