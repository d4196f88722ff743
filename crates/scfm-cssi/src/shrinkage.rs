//! Scores of strata brought towards what they share, as far as they differ by chance.

use ndarray::{Array2, ArrayView2, Axis};

use crate::aggregate::same;
use crate::error::Error;

/// Scores within strata, `[strata, edges]`, each drawn towards the precision-weighted mean of its edge: by
/// τ² / (τ² + se²), where τ² is the variance between strata that the standard errors do not explain.
///
/// τ² is one number for all edges, the moment estimate of DerSimonian and Laird (1986) with the sums Q of all edges put together,
/// 0 where strata differ less than chance makes them. Where strata mean nothing the largest score of an edge is then its mean; where
/// they do, a stratum of few cells has less of a say than one of many. It serves scores of any origin and level, as attention is;
/// of estimates that are 0 where there is no effect [`adaptive`](crate::adaptive) makes more.
///
/// A score that is NaN was not seen and stays NaN; one without a positive, finite standard error counts as known to nothing, and
/// becomes the mean of the others.
///
/// ```
/// use ndarray::array;
/// use scfm_cssi::shrunken;
///
/// // Two strata that differ within their errors, and two that do not.
/// let errors = array![[0.1, 0.1], [0.1, 0.1]];
/// let alike = shrunken(array![[1.05, 2.0], [0.95, 2.0]].view(), errors.view())?;
/// assert_eq!(alike.row(0), alike.row(1));
/// let apart = shrunken(array![[3.0, 0.0], [0.0, 3.0]].view(), errors.view())?;
/// assert!(apart[[0, 0]] > 2.9);
/// # Ok::<(), scfm_cssi::Error>(())
/// ```
///
/// # Errors
/// [`Error::Length`] for unlike shapes.
pub fn shrunken(
    scores: ArrayView2<'_, f64>,
    standard_errors: ArrayView2<'_, f64>,
) -> Result<Array2<f64>, Error> {
    same("rows of standard errors", scores.nrows(), standard_errors.nrows())?;
    same(
        "columns of standard errors",
        scores.ncols(),
        standard_errors.ncols(),
    )?;
    let precision = |error: f64| match error.is_finite() && error > 0.0 {
        true => 1.0 / (error * error),
        false => 0.0,
    };
    // Σ (Q - expected Q) and Σ of what τ² is multiplied by, over edges.
    let (mut excess, mut scale) = (0.0, 0.0);
    let mut means = Vec::with_capacity(scores.ncols());
    for (scores, errors) in scores.columns().into_iter().zip(standard_errors.columns()) {
        let weighed: Vec<(f64, f64)> = scores
            .iter()
            .zip(errors)
            .filter(|(score, _)| !score.is_nan())
            .map(|(&score, &error)| (score, precision(error)))
            .collect();
        let total: f64 = weighed.iter().map(|(_, weight)| weight).sum();
        let mean = match total > 0.0 {
            true => weighed.iter().map(|(score, weight)| score * weight).sum::<f64>() / total,
            false => weighed.iter().map(|(score, _)| score).sum::<f64>() / weighed.len() as f64,
        };
        means.push(mean);
        let known = weighed.iter().filter(|(_, weight)| *weight > 0.0).count();
        if known > 1 {
            let q: f64 = weighed
                .iter()
                .map(|(score, weight)| weight * (score - mean).powi(2))
                .sum();
            let squares: f64 = weighed.iter().map(|(_, weight)| weight * weight).sum();
            excess += q - (known as f64 - 1.0);
            scale += total - squares / total;
        }
    }
    let between = if scale > 0.0 {
        (excess / scale).max(0.0)
    } else {
        0.0
    };
    let mut result = scores.to_owned();
    for ((mut scores, errors), mean) in result
        .axis_iter_mut(Axis(1))
        .zip(standard_errors.columns())
        .zip(means)
    {
        for (score, &error) in scores.iter_mut().zip(errors).filter(|(score, _)| !score.is_nan()) {
            let kept = match precision(error) {
                0.0 => 0.0,
                precision => between / (between + 1.0 / precision),
            };
            *score = mean + kept * (*score - mean);
        }
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn normal(rng: &mut ChaCha8Rng) -> f64 {
        (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt() * (std::f64::consts::TAU * rng.random::<f64>()).cos()
    }

    #[test]
    fn noise_is_taken_out_and_differences_stay() {
        let rng = &mut ChaCha8Rng::seed_from_u64(1);
        let (strata, edges) = (5, 4_000);
        let errors = Array2::from_shape_fn((strata, edges), |(stratum, _)| 0.1 + 0.1 * stratum as f64);
        let truth = Array2::from_shape_fn((strata, edges), |_| 0.3 * normal(rng));
        let seen = Array2::from_shape_fn((strata, edges), |at| truth[at] + errors[at] * normal(rng));
        let shrunk = shrunken(seen.view(), errors.view()).unwrap();
        let distance = |a: &Array2<f64>| (a - &truth).mapv(|d| d * d).sum();
        // With a prior variance of 0.09 around a mean that is itself estimated, errors of 0.1 to 0.5 leave about half.
        assert!(
            distance(&shrunk) < 0.6 * distance(&seen),
            "{} {}",
            distance(&shrunk),
            distance(&seen)
        );
        let noise = Array2::from_shape_fn((strata, edges), |at| errors[at] * normal(rng));
        let spread = |a: &Array2<f64>| a.axis_iter(Axis(1)).map(|edge| edge.var(0.0)).sum::<f64>();
        let of_noise = shrunken(noise.view(), errors.view()).unwrap();
        assert!(spread(&of_noise) < 0.02 * spread(&noise));
    }

    #[test]
    fn what_was_not_seen_stays_so_and_what_has_no_error_becomes_the_mean() {
        let scores = ndarray::array![[1.0, f64::NAN], [3.0, 2.0], [9.0, 5.0]];
        let errors = ndarray::array![[1.0, 1.0], [1.0, 1.0], [f64::NAN, 0.0]];
        let shrunk = shrunken(scores.view(), errors.view()).unwrap();
        assert!(shrunk[[0, 1]].is_nan());
        assert_eq!(shrunk[[2, 0]], 2.0);
        assert_eq!(shrunk[[2, 1]], 2.0);
        assert!(shrunken(scores.view(), errors.slice(ndarray::s![..2, ..])).is_err());
    }
}
