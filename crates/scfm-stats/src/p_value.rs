use std::cmp::Ordering;
use std::f64::consts::{LN_2, LN_10};
use std::fmt;

/// Below this, a probability loses digits as `f64` and is shown from its logarithm.
const SMALLEST_PLAIN: f64 = 1e-300;

/// A probability that keeps its order and its digits where `f64` underflows.
///
/// ```
/// use scfm_stats::PValue;
///
/// let (small, smaller) = (PValue::from_ln(-1000.0), PValue::from_ln(-2000.0));
/// assert_eq!((small.p(), smaller.p()), (0.0, 0.0));
/// assert!(smaller < small);
/// assert_eq!(small.to_string(), "5.08e-435");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct PValue {
    p: f64,
    ln_p: f64,
}

impl PValue {
    /// The probability 1.
    pub(crate) const CERTAIN: Self = Self { p: 1.0, ln_p: 0.0 };

    /// The probability `p`.
    ///
    /// # Panics
    /// If `p` is outside [0, 1] or NaN.
    pub fn new(p: f64) -> Self {
        assert!(
            (0.0..=1.0).contains(&p),
            "a probability must lie in [0, 1], got {p}"
        );
        Self { p, ln_p: p.ln() }
    }

    /// The probability with logarithm `ln_p`; rounding noise above 0 counts as 0.
    ///
    /// # Panics
    /// If `ln_p` is NaN.
    pub fn from_ln(ln_p: f64) -> Self {
        assert!(!ln_p.is_nan(), "the logarithm of a probability must be a number");
        let ln_p = ln_p.min(0.0);
        Self { p: ln_p.exp(), ln_p }
    }

    /// Twice the tail with logarithm `ln_tail`, at most 1.
    pub(crate) fn two_sided(ln_tail: f64) -> Self {
        Self::from_ln(ln_tail + LN_2)
    }

    /// Half of it.
    pub(crate) fn half(self) -> Self {
        Self {
            p: 0.5 * self.p,
            ln_p: self.ln_p - LN_2,
        }
    }

    /// One minus it; for probabilities of at most ½, whose complement keeps its digits.
    pub(crate) fn complement(self) -> Self {
        Self {
            p: 1.0 - self.p,
            ln_p: (-self.p).ln_1p(),
        }
    }

    /// The probability; 0 where it underflows.
    pub fn p(self) -> f64 {
        self.p
    }

    /// Its natural logarithm; finite for every probability but an exact 0.
    pub fn ln_p(self) -> f64 {
        self.ln_p
    }
}

impl PartialEq for PValue {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for PValue {}

impl PartialOrd for PValue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PValue {
    fn cmp(&self, other: &Self) -> Ordering {
        // -0.0 and 0.0 are the same logarithm of 1.
        (self.ln_p + 0.0).total_cmp(&(other.ln_p + 0.0))
    }
}

impl fmt::Display for PValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.p >= 1e-3 {
            return write!(f, "{:.4}", self.p);
        }
        if self.p >= SMALLEST_PLAIN || self.ln_p == f64::NEG_INFINITY {
            return write!(f, "{:.2e}", self.p);
        }
        let log10 = self.ln_p / LN_10;
        let mut exponent = log10.floor();
        let mut mantissa = 10f64.powf(log10 - exponent);
        if mantissa >= 9.995 {
            (mantissa, exponent) = (1.0, exponent + 1.0);
        }
        write!(f, "{mantissa:.2}e{exponent}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_plain_small_and_underflowing_values() {
        assert_eq!(PValue::new(1.0).to_string(), "1.0000");
        assert_eq!(PValue::new(0.0123).to_string(), "0.0123");
        assert_eq!(PValue::new(4.2e-12).to_string(), "4.20e-12");
        assert_eq!(PValue::new(0.0).to_string(), "0.00e0");
        // 9.999e-400 rounds up to the next power of ten.
        assert_eq!(
            PValue::from_ln(9.999f64.ln() - 400.0 * LN_10).to_string(),
            "1.00e-399"
        );
    }

    #[test]
    fn orders_below_the_smallest_float() {
        let mut values = [-3.0, -9000.0, -800.0, -f64::INFINITY, -8999.0].map(PValue::from_ln);
        values.sort();
        assert_eq!(
            values.map(PValue::ln_p),
            [-f64::INFINITY, -9000.0, -8999.0, -800.0, -3.0]
        );
    }

    #[test]
    fn one_is_one_however_it_was_made() {
        assert_eq!(PValue::from_ln(-0.0), PValue::new(1.0));
        assert_eq!(PValue::from_ln(1e-17).p(), 1.0);
    }
}
