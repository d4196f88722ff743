use crate::CONFIDENCE;
use crate::result::Interval;
use crate::tails::normal_upper_quantile;

/// 95 % interval of a single AUROC from `n_pos` positives and `n_neg` negatives, also from very few.
///
/// Newcombe's recommended method 5 (Statistics in Medicine 2006, doi:10.1002/sim.2324): the interval holds every θ
/// whose distance from the estimate is within z standard errors *at θ*, with the variance of Hanley and McNeil in
/// which both class sizes of the numerator are replaced by their mean. Unlike an interval of DeLong's variance it has
/// a width for one positive and for an AUROC of 1, and stays within [0, 1]. The values are taken as independent. Oracle: the
/// paper's equation solved at 60 digits.
///
/// ```
/// // One positive says next to nothing, however high it stands.
/// let one = scfm_stats::auroc_interval(0.99, 1, 2000);
/// assert!(one.low < 0.5 && one.high > 0.99);
/// assert!(scfm_stats::auroc_interval(0.9, 30, 2000).low > 0.8);
/// ```
///
/// # Panics
/// When a class is empty or `auroc` lies outside [0, 1].
pub fn auroc_interval(auroc: f64, n_pos: usize, n_neg: usize) -> Interval {
    assert!(n_pos > 0 && n_neg > 0, "both classes, got {n_pos} and {n_neg}");
    assert!(
        (0.0..=1.0).contains(&auroc),
        "an AUROC lies in [0, 1], got {auroc}"
    );
    let z = normal_upper_quantile(0.5 * (1.0 - CONFIDENCE));
    let (n_pos, n_neg) = (n_pos as f64, n_neg as f64);
    let others = 0.5 * (n_pos + n_neg) - 1.0;
    let scale = z * z / (n_pos * n_neg);
    // Positive where θ is within reach of the estimate: z² θ (1 - θ) [1 + others ((1 - θ) / (2 - θ) + θ / (1 + θ))] / (m n)
    // against (θ - auroc)², times the denominators (2 - θ) (1 + θ), so that a step takes neither root nor division.
    let reach = |theta: f64| {
        let product = theta * (1.0 - theta);
        let denominators = 2.0 + product;
        scale * product * (denominators + others * (1.0 + 2.0 * product))
            - (theta - auroc).powi(2) * denominators
    };
    Interval {
        low: boundary(auroc, 0.0, reach),
        high: boundary(auroc, 1.0, reach),
        level: CONFIDENCE,
    }
}

/// Where `reach` changes sign between `inside` and `outside`, by bisection to the last bit that matters.
fn boundary(inside: f64, outside: f64, reach: impl Fn(f64) -> f64) -> f64 {
    let (mut inside, mut outside) = (inside, outside);
    for _ in 0..60 {
        let middle = 0.5 * (inside + outside);
        if reach(middle) >= 0.0 {
            inside = middle;
        } else {
            outside = middle;
        }
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Probability of each number of pairs won by `n_pos` positives among `n_neg` negatives when nothing tells them
    /// apart: the null distribution of Mann and Whitney, by their recursion on the lowest value.
    fn null_distribution(n_pos: usize, n_neg: usize) -> Vec<f64> {
        if n_pos == 0 || n_neg == 0 {
            return vec![1.0];
        }
        let mut chances = vec![0.0; n_pos * n_neg + 1];
        let share = n_pos as f64 / (n_pos + n_neg) as f64;
        for (wins, p) in null_distribution(n_pos - 1, n_neg).into_iter().enumerate() {
            chances[wins] += share * p;
        }
        for (wins, p) in null_distribution(n_pos, n_neg - 1).into_iter().enumerate() {
            chances[wins + n_pos] += (1.0 - share) * p;
        }
        chances
    }

    #[test]
    fn covers_chance_about_as_often_as_it_says() {
        for (n_pos, n_neg) in [(2, 12), (2, 40), (3, 9), (3, 30), (4, 8), (5, 20), (6, 6)] {
            let pairs = (n_pos * n_neg) as f64;
            let covered: f64 = null_distribution(n_pos, n_neg)
                .into_iter()
                .enumerate()
                .filter(|(wins, _)| auroc_interval(*wins as f64 / pairs, n_pos, n_neg).contains(0.5))
                .map(|(_, p)| p)
                .sum();
            assert!((0.925..0.985).contains(&covered), "{n_pos} × {n_neg}: {covered}");
        }
    }

    /// Under chance a single positive stands anywhere with the same probability, also first or last.
    #[test]
    fn a_single_positive_never_excludes_chance() {
        for n_neg in [1, 20, 400] {
            let extremes = [0.0, 1.0].map(|auroc| auroc_interval(auroc, 1, n_neg));
            assert!(
                extremes.iter().all(|interval| interval.contains(0.5)),
                "{n_neg}: {extremes:?}"
            );
        }
    }

    #[test]
    fn mirrors_with_the_estimate_and_keeps_it_inside() {
        for auroc in [0.0, 0.2, 0.5, 0.93, 1.0] {
            let interval = auroc_interval(auroc, 7, 40);
            let mirrored = auroc_interval(1.0 - auroc, 7, 40);
            assert!(interval.contains(auroc) && interval.low >= 0.0 && interval.high <= 1.0);
            assert!((interval.low + mirrored.high - 1.0).abs() < 1e-12);
            assert!(interval.high > interval.low);
        }
    }

    #[test]
    fn ends_lie_where_the_distance_is_z_standard_errors() {
        let (n_pos, n_neg) = (5.0, 50.0);
        let interval = auroc_interval(0.7, 5, 50);
        for theta in [interval.low, interval.high] {
            let others = 26.5;
            let shape = 1.0 + others * (1.0 - theta) / (2.0 - theta) + others * theta / (1.0 + theta);
            let standard_error = f64::sqrt(theta * (1.0 - theta) * shape / (n_pos * n_neg));
            assert!(((theta - 0.7).abs() / standard_error - 1.959_963_984_540_054).abs() < 1e-9);
        }
    }
}
