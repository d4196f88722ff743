use crate::PValue;
use crate::result::Alternative;
use crate::student_tails::ln_t_two_sided;
use crate::tails::ln_normal_sf;

/// The p-values of one test against each alternative.
///
/// Each tail is computed on its own, so that a one-sided p keeps its digits however small it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sides {
    /// Against effects in either direction.
    pub two_sided: PValue,
    /// Against effects above the null value.
    pub greater: PValue,
    /// Against effects below the null value.
    pub less: PValue,
}

impl Sides {
    /// The p-value against one alternative.
    pub fn against(self, alternative: Alternative) -> PValue {
        match alternative {
            Alternative::TwoSided => self.two_sided,
            Alternative::Greater => self.greater,
            Alternative::Less => self.less,
        }
    }

    /// Of a statistic whose null distribution is Student's with `df` degrees of freedom, the normal one for infinite
    /// `df`.
    pub(crate) fn of_t(t: f64, df: f64) -> Self {
        let two_sided = PValue::from_ln(ln_t_two_sided(t, df));
        let (near, far) = (two_sided.half(), two_sided.half().complement());
        let (greater, less) = if t > 0.0 { (near, far) } else { (far, near) };
        Self {
            two_sided,
            greater,
            less,
        }
    }

    /// Of a standard normal statistic.
    pub(crate) fn of_z(z: f64) -> Self {
        Self::of_t(z, f64::INFINITY)
    }

    /// Two-sided by twice the smaller tail, at most 1: of tails that overlap where the statistic is discrete or
    /// corrected for that.
    pub(crate) fn doubled(greater: PValue, less: PValue) -> Self {
        Self {
            two_sided: PValue::two_sided(greater.min(less).ln_p()),
            greater,
            less,
        }
    }

    /// Of normal tails that start at different points: P(Z > `z_greater`) and P(Z > `z_less`).
    pub(crate) fn of_corrected(z_greater: f64, z_less: f64) -> Self {
        let tail = |z: f64| PValue::from_ln(ln_normal_sf(z));
        Self::doubled(tail(z_greater), tail(z_less))
    }

    /// Of data that cannot differ from the null hypothesis.
    pub(crate) const CERTAIN: Self = Self {
        two_sided: PValue::CERTAIN,
        greater: PValue::CERTAIN,
        less: PValue::CERTAIN,
    };
}

#[cfg(test)]
mod tests {
    use std::f64::consts::LN_2;

    use super::*;

    #[test]
    fn tails_keep_their_digits_on_either_side() {
        for (t, df) in [
            (3.0, 7.0),
            (60.0, 400.0),
            (5.0, f64::INFINITY),
            (50.0, f64::INFINITY),
        ] {
            let (up, down) = (Sides::of_t(t, df), Sides::of_t(-t, df));
            assert_eq!(up.greater, down.less);
            assert_eq!(up.two_sided, down.two_sided);
            assert!((up.greater.ln_p() + LN_2 - up.two_sided.ln_p()).abs() < 1e-13);
            // The other tail is 1 minus a number whose logarithm may lie below that of the smallest float.
            assert!((up.less.ln_p() + up.greater.p()).abs() <= up.greater.p() * 1e-2);
        }
    }

    #[test]
    fn at_the_null_value_either_side_is_a_half() {
        let sides = Sides::of_z(0.0);
        assert_eq!(
            (sides.greater.p(), sides.less.p(), sides.two_sided.p()),
            (0.5, 0.5, 1.0)
        );
    }
}
