use crate::PValue;
use crate::sort::sorted_positions;

/// A probability that corrections can scale: `f64`, or [`PValue`] where values may lie below the smallest float.
pub trait Probability: Copy {
    /// The probability 1.
    const ONE: Self;

    /// This many times the probability, above 1 left as it is.
    #[must_use]
    fn times(self, factor: f64) -> Self;

    /// A number that orders as the probabilities do.
    fn order_key(self) -> f64;

    /// Whether it lies in [0, 1].
    fn is_valid(&self) -> bool;
}

impl Probability for f64 {
    const ONE: Self = 1.0;

    fn times(self, factor: f64) -> Self {
        self * factor
    }

    fn order_key(self) -> f64 {
        self
    }

    fn is_valid(&self) -> bool {
        (0.0..=1.0).contains(self)
    }
}

impl Probability for PValue {
    const ONE: Self = Self::CERTAIN;

    fn times(self, factor: f64) -> Self {
        // Plain where the float has all its digits, so that both forms give the same adjusted values.
        match self.p() {
            p if p > f64::MIN_POSITIVE => Self::new((p * factor).min(1.0)),
            _ => Self::from_ln(self.ln_p() + factor.ln()),
        }
    }

    fn order_key(self) -> f64 {
        self.ln_p()
    }

    fn is_valid(&self) -> bool {
        true
    }
}

/// Benjamini and Hochberg's false-discovery adjustment (step-up, monotone), in the order of the input.
///
/// An adjusted value at or below α is a discovery at false-discovery rate α under independence or positive
/// dependence. Oracle: `statsmodels.stats.multitest.multipletests(method="fdr_bh")`.
///
/// ```
/// use scfm_stats::{PValue, benjamini_hochberg};
///
/// assert_eq!(benjamini_hochberg(&[0.01, 0.04, 0.03]), [0.03, 0.04, 0.04]);
/// // Values below the smallest float keep their order.
/// let q = benjamini_hochberg(&[-2000.0, -1000.0].map(PValue::from_ln));
/// assert!(q[0] < q[1] && q[1].p() == 0.0);
/// ```
///
/// # Panics
/// If a value is outside [0, 1] or NaN.
pub fn benjamini_hochberg<P: Probability>(p: &[P]) -> Vec<P> {
    step_up(p, 1.0)
}

/// Benjamini and Yekutieli's false-discovery adjustment, valid under any dependence.
///
/// Oracle: `multipletests(method="fdr_by")`.
///
/// # Panics
/// As [`benjamini_hochberg`].
pub fn benjamini_yekutieli<P: Probability>(p: &[P]) -> Vec<P> {
    step_up(p, (1..=p.len()).map(|i| 1.0 / i as f64).sum())
}

/// Holm's step-down adjustment of the family-wise error. Oracle: `multipletests(method="holm")`.
///
/// # Panics
/// As [`benjamini_hochberg`].
pub fn holm<P: Probability>(p: &[P]) -> Vec<P> {
    let mut adjusted = p.to_vec();
    let mut largest: Option<P> = None;
    for (before, &index) in ascending(p).iter().enumerate() {
        let next = least(p[index as usize].times((p.len() - before) as f64), P::ONE);
        let next = match largest {
            Some(largest) if next.order_key() < largest.order_key() => largest,
            _ => next,
        };
        adjusted[index as usize] = next;
        largest = Some(next);
    }
    adjusted
}

/// Bonferroni's adjustment of the family-wise error. Oracle: `multipletests(method="bonferroni")`.
///
/// # Panics
/// As [`benjamini_hochberg`].
pub fn bonferroni<P: Probability>(p: &[P]) -> Vec<P> {
    check(p);
    p.iter()
        .map(|value| least(value.times(p.len() as f64), P::ONE))
        .collect()
}

/// min over the larger values of `penalty` · m · p / rank.
fn step_up<P: Probability>(p: &[P], penalty: f64) -> Vec<P> {
    let mut adjusted = p.to_vec();
    let mut smallest = P::ONE;
    for (before, &index) in ascending(p).iter().enumerate().rev() {
        let factor = penalty * p.len() as f64 / (before + 1) as f64;
        smallest = least(p[index as usize].times(factor), smallest);
        adjusted[index as usize] = smallest;
    }
    adjusted
}

fn least<P: Probability>(a: P, b: P) -> P {
    if a.order_key() < b.order_key() { a } else { b }
}

fn ascending<P: Probability>(p: &[P]) -> Vec<u32> {
    check(p);
    sorted_positions(0..p.len(), p.len(), |index| p[index].order_key()).0
}

fn check<P: Probability>(p: &[P]) {
    if let Some(index) = p.iter().position(|value| !value.is_valid()) {
        panic!("p-values must lie in [0, 1], but the one at {index} does not");
    }
}
