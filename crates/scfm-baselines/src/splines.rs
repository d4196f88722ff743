use ndarray::{Array2, ArrayView1, Axis, Slice};

use crate::Error;

/// A natural cubic spline: cubic between its knots, twice differentiable, linear beyond the outer ones.
///
/// The basis is cardinal: function k is the curve through 1 at knot k and 0 at the others, so a coefficient is
/// the value of the fitted curve at its knot, and the functions sum to one everywhere. They span the same space
/// as R's `ns` with these knots and agree value by value with patsy's `cr` inside the knots.
#[derive(Debug, Clone)]
pub struct NaturalSpline {
    knots: Vec<f64>,
    /// Second derivative at each knot (rows) of each cardinal function (columns).
    curvature: Array2<f64>,
}

impl NaturalSpline {
    /// The spline with these knots, the outer ones included. Two knots give a straight line, one a constant.
    ///
    /// # Errors
    /// [`Error::Knots`] unless there is a knot and all are finite and increasing.
    pub fn new(knots: Vec<f64>) -> Result<Self, Error> {
        if knots.is_empty() || knots.iter().any(|k| !k.is_finite()) || knots.windows(2).any(|w| w[0] >= w[1])
        {
            return Err(Error::Knots(knots));
        }
        let curvature = cardinal_curvature(&knots);
        Ok(Self { knots, curvature })
    }

    /// Knots at the `0/df, 1/df, …, df/df` quantiles of `values` (linear interpolation, as in numpy), which makes
    /// `df` columns. Quantiles that coincide, as tied values make them, become one knot and cost a column.
    ///
    /// # Errors
    /// [`Error::Knots`] where there is no value or one that is not finite.
    ///
    /// # Panics
    /// When `df` is 0.
    pub fn at_quantiles(values: ArrayView1<'_, f64>, df: usize) -> Result<Self, Error> {
        assert!(df > 0, "a spline needs a degree of freedom");
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        if sorted.is_empty() || sorted.iter().any(|v| !v.is_finite()) {
            return Err(Error::Knots(sorted));
        }
        let last = sorted.len() - 1;
        let apart = MIN_KNOT_DISTANCE * (sorted[last] - sorted[0]);
        let mut knots = vec![sorted[0]];
        for i in 1..=df {
            let position = i as f64 / df as f64 * last as f64;
            let (below, above) = (position.floor() as usize, position.ceil() as usize);
            let knot = sorted[below] + (sorted[above] - sorted[below]) * position.fract();
            if knot - knots[knots.len() - 1] > apart {
                knots.push(knot);
            }
        }
        Self::new(knots)
    }

    /// The knots in increasing order.
    pub fn knots(&self) -> &[f64] {
        &self.knots
    }

    /// The cardinal functions at `values`: `[values.len(), knots.len()]`; rows sum to one.
    pub fn basis(&self, values: ArrayView1<'_, f64>) -> Array2<f64> {
        let mut basis = Array2::zeros((values.len(), self.knots.len()));
        for (mut row, &x) in basis.rows_mut().into_iter().zip(values) {
            if self.knots.len() == 1 {
                row[0] = 1.0;
                continue;
            }
            let last = self.knots.len() - 1;
            let nearest = x.clamp(self.knots[0], self.knots[last]);
            let i = (self.knots.partition_point(|&k| k <= nearest).max(1) - 1).min(last - 1);
            let h = self.knots[i + 1] - self.knots[i];
            let (a, b) = ((self.knots[i + 1] - nearest) / h, (nearest - self.knots[i]) / h);
            let (bend_a, bend_b) = ((a.powi(3) - a) * h * h / 6.0, (b.powi(3) - b) * h * h / 6.0);
            // Beyond the outer knots the curve goes on with the slope that it has there.
            let beyond = x - nearest;
            let (slope_a, slope_b) = ((1.0 - 3.0 * a * a) * h / 6.0, (3.0 * b * b - 1.0) * h / 6.0);
            for (k, value) in row.iter_mut().enumerate() {
                let (m_a, m_b) = (self.curvature[[i, k]], self.curvature[[i + 1, k]]);
                *value = bend_a * m_a + bend_b * m_b + beyond * (slope_a * m_a + slope_b * m_b);
            }
            row[i] += a - beyond / h;
            row[i + 1] += b + beyond / h;
        }
        basis
    }

    /// The basis without its first function, for a model that has an intercept: `[values.len(), knots.len() − 1]`.
    pub fn columns(&self, values: ArrayView1<'_, f64>) -> Array2<f64> {
        self.basis(values)
            .slice_axis(Axis(1), Slice::from(1..))
            .to_owned()
    }
}

/// Knots closer than this share of the range count as one: their second derivatives would overflow.
const MIN_KNOT_DISTANCE: f64 = 1e-9;

/// Solves the tridiagonal system of the natural spline through each unit vector of values at the knots.
fn cardinal_curvature(knots: &[f64]) -> Array2<f64> {
    let n = knots.len();
    let mut curvature = Array2::zeros((n, n));
    if n < 3 {
        return curvature;
    }
    let h: Vec<f64> = knots.windows(2).map(|w| w[1] - w[0]).collect();
    let mut diagonal = vec![0.0; n];
    for i in 1..n - 1 {
        curvature[[i, i - 1]] = 6.0 / h[i - 1];
        curvature[[i, i]] = -6.0 / h[i - 1] - 6.0 / h[i];
        curvature[[i, i + 1]] = 6.0 / h[i];
        diagonal[i] = 2.0 * (h[i - 1] + h[i]);
    }
    for i in 2..n - 1 {
        let factor = h[i - 1] / diagonal[i - 1];
        diagonal[i] -= factor * h[i - 1];
        for k in 0..n {
            curvature[[i, k]] -= factor * curvature[[i - 1, k]];
        }
    }
    for i in (1..n - 1).rev() {
        for k in 0..n {
            curvature[[i, k]] = (curvature[[i, k]] - h[i] * curvature[[i + 1, k]]) / diagonal[i];
        }
    }
    curvature
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array1, array};
    use proptest::prelude::*;

    /// Rounding of a small linear system with well separated knots.
    const ROUNDING: f64 = 1e-9;

    #[test]
    fn knots_that_do_not_increase_are_refused() {
        for knots in [
            vec![],
            vec![1.0, 1.0],
            vec![2.0, 1.0],
            vec![0.0, f64::NAN],
            vec![f64::INFINITY],
        ] {
            assert!(matches!(NaturalSpline::new(knots), Err(Error::Knots(_))));
        }
        assert!(NaturalSpline::at_quantiles(array![].view(), 3).is_err());
        assert!(NaturalSpline::at_quantiles(array![0.0, f64::NAN].view(), 3).is_err());
    }

    #[test]
    fn tied_values_cost_columns_and_a_constant_leaves_none() {
        let tied = array![0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0];
        assert_eq!(
            NaturalSpline::at_quantiles(tied.view(), 4).unwrap().knots(),
            [0.0, 2.0]
        );
        let constant = NaturalSpline::at_quantiles(array![3.0, 3.0].view(), 4).unwrap();
        assert_eq!(constant.columns(array![3.0, 5.0].view()).dim(), (2, 0));
        assert_eq!(constant.basis(array![5.0].view()), array![[1.0]]);
    }

    fn spline() -> impl Strategy<Value = NaturalSpline> {
        (-5.0..5.0f64, prop::collection::vec(0.1..3.0f64, 1..7)).prop_map(|(first, steps)| {
            let knots = std::iter::once(first).chain(steps.iter().scan(first, |x, h| {
                *x += h;
                Some(*x)
            }));
            NaturalSpline::new(knots.collect()).unwrap()
        })
    }

    proptest! {
        #[test]
        fn functions_are_cardinal_sum_to_one_and_hold_every_straight_line(
            spline in spline(), x in -30.0..30.0f64, slope in -3.0..3.0f64,
        ) {
            let knots = Array1::from(spline.knots().to_vec());
            for ((i, k), &value) in spline.basis(knots.view()).indexed_iter() {
                prop_assert!((value - f64::from(u8::from(i == k))).abs() < ROUNDING);
            }
            let at_x = spline.basis(array![x].view());
            let size = 1.0 + at_x.iter().map(|v| v.abs()).sum::<f64>();
            prop_assert!((at_x.sum() - 1.0).abs() < ROUNDING * size);
            let line = at_x.row(0).dot(&(&knots * slope + 1.0));
            prop_assert!((line - (slope * x + 1.0)).abs() < ROUNDING * size * 100.0);
        }

        #[test]
        fn curves_have_continuous_slope_and_curvature_and_no_curvature_outside(spline in spline()) {
            let step = 1e-4;
            let bend = |x: f64| {
                let f = spline.basis(array![x - step, x, x + step].view());
                (&f.row(0) + &f.row(2) - &f.row(1) * 2.0) / (step * step)
            };
            // A cubic with bounded third derivative bends by O(step) more on one side of a knot than on the other.
            let jump_bound = 1e-4 * (1.0 + spline.curvature.iter().fold(0.0, |m: f64, c| m.max(c.abs()))) * 200.0;
            let knots = spline.knots();
            for &knot in knots {
                let jump = bend(knot - 2.0 * step) - bend(knot + 2.0 * step);
                prop_assert!(jump.iter().all(|j| j.abs() < jump_bound), "{jump} at {knot}");
            }
            for x in [knots[0] - 1.0, knots[knots.len() - 1] + 1.0] {
                prop_assert!(bend(x).iter().all(|b| b.abs() < 1e-5));
            }
        }
    }
}
