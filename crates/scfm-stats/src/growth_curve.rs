use crate::error::{Error, Undefined, finite, same_length};

/// How a quantity grows with another, such as recovery with the number of cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GrowthCurve {
    /// a x + c.
    Linear,
    /// a ln x + c.
    Logarithmic,
    /// a (1 - exp(-b x)) + c: towards a plateau of a + c, on a scale of 1/b.
    Saturation,
    /// a x^b + c.
    Power,
}

/// A curve fitted by least squares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurveFit {
    /// The amplitude.
    pub a: f64,
    /// The rate or exponent; 0 for a curve without one.
    pub b: f64,
    /// The offset.
    pub c: f64,
    /// 1 - SSR / SST.
    pub r_squared: f64,
    /// Akaike's criterion with its small-sample term, n ln(SSR / n) + 2k + 2k(k + 1) / (n - k - 1), where k counts the parameters
    /// of the curve and the variance of its residuals; smaller is better. None where there are too few points for it or the fit is exact.
    pub aicc: Option<f64>,
}

/// Points of the first search over a rate or exponent.
const GRID: usize = 400;
/// Steps of the second one, each of which leaves 0.618 of the interval.
const STEPS: usize = 90;

impl GrowthCurve {
    /// All curves.
    pub const ALL: [Self; 4] = [Self::Linear, Self::Logarithmic, Self::Saturation, Self::Power];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Logarithmic => "logarithmic",
            Self::Saturation => "saturation",
            Self::Power => "power",
        }
    }

    fn n_parameters(self) -> usize {
        match self {
            Self::Linear | Self::Logarithmic => 2,
            Self::Saturation | Self::Power => 3,
        }
    }

    /// What a is multiplied by.
    fn shape(self, b: f64, x: f64) -> f64 {
        match self {
            Self::Linear => x,
            Self::Logarithmic => x.ln(),
            Self::Saturation => -(-b * x).exp_m1(),
            Self::Power => x.powf(b),
        }
    }

    /// The curve of `fit` at `x`.
    pub fn at(self, fit: &CurveFit, x: f64) -> f64 {
        fit.a * self.shape(fit.b, x) + fit.c
    }

    /// Least squares of the curve over points of positive `x`.
    ///
    /// Given its rate or exponent a curve is a line in its shape, which is solved exactly; the rate is then one number, searched
    /// for on a grid (of the scales of the data, or of exponents from -3 to 3) and narrowed down by golden sections. No start
    /// is needed, and no local optimum but that of the grid's best point can be returned. Oracle: `scipy.optimize.curve_fit`
    /// from a start that converges.
    ///
    /// # Errors
    /// [`Undefined::TooFew`] below as many points as parameters, [`Undefined::Constant`] where `y` or `x` does not vary;
    /// [`Error::Length`], [`Error::NotFinite`], [`Error::OutOfRange`] for an `x` that is not above 0.
    pub fn fit(self, x: &[f64], y: &[f64]) -> Result<CurveFit, Error> {
        same_length("values of y", x.len(), y.len())?;
        finite("x", x)?;
        finite("y", y)?;
        if let Some(&value) = x.iter().find(|&&x| x <= 0.0) {
            return Err(Error::OutOfRange {
                what: "x",
                value,
                expected: "above 0",
            });
        }
        let needed = self.n_parameters();
        if x.len() < needed {
            return Err(Undefined::TooFew {
                what: "points of a curve",
                n: x.len(),
                needed,
            }
            .into());
        }
        let varies = |values: &[f64]| values.iter().any(|&value| value != values[0]);
        for (what, values) in [("x", x), ("y", y)] {
            if !varies(values) {
                return Err(Undefined::Constant { what }.into());
            }
        }
        let residual = |b: f64| self.line(b, x, y).map_or(f64::INFINITY, |(_, _, ssr)| ssr);
        let b = match self {
            Self::Linear | Self::Logarithmic => 0.0,
            Self::Saturation => {
                let longest = x.iter().copied().fold(0.0, f64::max);
                let shortest = x.iter().copied().fold(f64::INFINITY, f64::min);
                // From nearly a line over all points to a plateau that the first one has all but reached; beyond either no amplitude
                // can be told.
                let (low, high) = ((0.01 / longest).ln(), (5.0 / shortest).ln());
                minimise(low, high, |log_b| residual(log_b.exp())).exp()
            }
            Self::Power => minimise(-3.0, 3.0, residual),
        };
        let (a, c, ssr) = self.line(b, x, y).ok_or(Undefined::Constant { what: "x" })?;
        let n = y.len() as f64;
        let mean = y.iter().sum::<f64>() / n;
        let sst: f64 = y.iter().map(|y| (y - mean).powi(2)).sum();
        let k = needed as f64 + 1.0;
        let aicc = (n - k - 1.0 > 0.0 && ssr > 0.0)
            .then(|| n * (ssr / n).ln() + 2.0 * k + 2.0 * k * (k + 1.0) / (n - k - 1.0));
        Ok(CurveFit {
            a,
            b,
            c,
            r_squared: 1.0 - ssr / sst,
            aicc,
        })
    }

    /// Least squares in a and c at a given b, with the sum of squared residuals; none where the shape does not vary.
    fn line(self, b: f64, x: &[f64], y: &[f64]) -> Option<(f64, f64, f64)> {
        let shape: Vec<f64> = x.iter().map(|&x| self.shape(b, x)).collect();
        let n = y.len() as f64;
        let (mean_s, mean_y) = (shape.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
        let (mut ss, mut sy) = (0.0, 0.0);
        for (s, y) in shape.iter().zip(y) {
            ss += (s - mean_s).powi(2);
            sy += (s - mean_s) * (y - mean_y);
        }
        if !(ss > 0.0 && ss.is_finite()) {
            return None;
        }
        let a = sy / ss;
        let c = mean_y - a * mean_s;
        let ssr = shape.iter().zip(y).map(|(s, y)| (y - a * s - c).powi(2)).sum();
        Some((a, c, ssr))
    }
}

/// Where a function of one number is smallest: the best point of a grid, and golden sections around it.
fn minimise(low: f64, high: f64, f: impl Fn(f64) -> f64) -> f64 {
    let step = (high - low) / GRID as f64;
    let at = |i: usize| low + step * i as f64;
    let best = (0..=GRID)
        .min_by(|&i, &j| f(at(i)).total_cmp(&f(at(j))))
        .expect("a grid has points");
    let (mut low, mut high) = (at(best.saturating_sub(1)), at((best + 1).min(GRID)));
    let golden = (5.0f64.sqrt() - 1.0) / 2.0;
    let (mut left, mut right) = (high - golden * (high - low), low + golden * (high - low));
    let (mut of_left, mut of_right) = (f(left), f(right));
    for _ in 0..STEPS {
        if of_left <= of_right {
            (high, right, of_right) = (right, left, of_left);
            left = high - golden * (high - low);
            of_left = f(left);
        } else {
            (low, left, of_left) = (left, right, of_right);
            right = low + golden * (high - low);
            of_right = f(right);
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published nine-point series of AUROC over cells.
    const CELLS: [f64; 9] = [25.0, 50.0, 100.0, 150.0, 200.0, 300.0, 500.0, 750.0, 1000.0];
    const AUROC: [f64; 9] = [
        0.53586961, 0.54194929, 0.54447778, 0.55567551, 0.59236759, 0.59359063, 0.60723881, 0.61059271,
        0.59603174,
    ];
    /// The series is known to eight digits.
    const DIGITS: f64 = 2e-6;
    /// SciPy stops where a step gains less than 10⁻⁸ of the sum of squares, which along a flat valley is this far from the minimum.
    const VALLEY: f64 = 1e-4;

    fn near(found: f64, expected: f64, what: &str) {
        within(DIGITS, found, expected, what);
    }

    fn within(tolerance: f64, found: f64, expected: f64, what: &str) {
        assert!(
            (found / expected - 1.0).abs() < tolerance,
            "{what}: {found} for {expected}"
        );
    }

    #[test]
    fn the_published_series_has_the_fits_of_scipy() {
        let fit = |curve: GrowthCurve| curve.fit(&CELLS, &AUROC).unwrap();
        let linear = fit(GrowthCurve::Linear);
        near(linear.a, 6.831286913666634e-5, "slope");
        near(linear.r_squared, 0.5910196718, "R² of the line");
        let log = fit(GrowthCurve::Logarithmic);
        near(log.a, 0.0223884012, "slope by ln x");
        near(log.c, 0.4571711913, "offset of ln x");
        near(log.r_squared, 0.8313264846, "R² of ln x");
        let saturation = fit(GrowthCurve::Saturation);
        within(VALLEY, saturation.a, 0.0888478734, "amplitude");
        within(VALLEY, saturation.b, 0.0055347693, "rate");
        within(VALLEY, saturation.c, 0.5184781218, "baseline");
        near(saturation.r_squared, 0.8998407859, "R² of saturation");
        let power = fit(GrowthCurve::Power);
        assert!(
            (power.r_squared - 0.8316).abs() < 5e-5 && (power.b + 0.02846).abs() < 5e-4,
            "{power:?}"
        );
        // No plateau is called for by nine points.
        let aicc = |curve| (fit(curve).aicc.unwrap() * 100.0).round() / 100.0;
        assert_eq!(
            [
                GrowthCurve::Linear,
                GrowthCurve::Logarithmic,
                GrowthCurve::Saturation
            ]
            .map(aicc),
            [-61.27, -69.24, -66.73]
        );
    }

    #[test]
    fn exact_curves_are_found_again() {
        let exact = CurveFit {
            a: 0.3,
            b: 0.01,
            c: 0.5,
            r_squared: 1.0,
            aicc: None,
        };
        for (curve, b) in [
            (GrowthCurve::Linear, 0.0),
            (GrowthCurve::Logarithmic, 0.0),
            (GrowthCurve::Saturation, 0.01),
            (GrowthCurve::Power, 0.4),
        ] {
            let truth = CurveFit { b, ..exact };
            let y: Vec<f64> = CELLS.iter().map(|&x| curve.at(&truth, x)).collect();
            let found = curve.fit(&CELLS, &y).unwrap();
            assert!(
                (found.b - b).abs() < 1e-6 && (found.a - 0.3).abs() < 1e-5,
                "{curve:?} {found:?}"
            );
            assert!(found.r_squared > 1.0 - 1e-10);
        }
    }

    #[test]
    fn what_is_no_series_has_a_reason() {
        let few = GrowthCurve::Saturation.fit(&[1.0, 2.0], &[1.0, 2.0]).unwrap_err();
        assert!(
            matches!(few, Error::Undefined(Undefined::TooFew { n: 2, .. })),
            "{few}"
        );
        let flat = GrowthCurve::Linear.fit(&[1.0, 2.0, 3.0], &[1.0; 3]).unwrap_err();
        assert!(
            matches!(flat, Error::Undefined(Undefined::Constant { .. })),
            "{flat}"
        );
        let zero = GrowthCurve::Power
            .fit(&[0.0, 2.0, 3.0], &[1.0, 2.0, 3.0])
            .unwrap_err();
        assert!(matches!(zero, Error::OutOfRange { .. }), "{zero}");
    }
}
