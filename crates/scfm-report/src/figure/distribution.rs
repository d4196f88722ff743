use maud::{Markup, html};

use super::axis::Axis;
use super::{Figure, colour, fitted, label, note, path, px};

/// The AUROCs of one score, one value per perturbation or TF.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreSet<'a> {
    /// The score.
    pub name: &'a str,
    /// Its AUROCs; values that are not finite are left out.
    pub values: &'a [f64],
}

const LEFT: f64 = 150.0;
const RIGHT: f64 = 600.0;
const WIDTH: f64 = 720.0;
const TOP: f64 = 24.0;
const ROW: f64 = 74.0;

/// How the AUROCs of several scores are spread: density, every value, quartiles and mean, against chance at 0.5.
pub fn auroc_distributions(sets: &[ScoreSet<'_>]) -> Figure {
    let sets: Vec<(&str, Vec<f64>)> = sets
        .iter()
        .map(|set| {
            let mut values: Vec<f64> = set.values.iter().copied().filter(|v| v.is_finite()).collect();
            values.sort_by(f64::total_cmp);
            (set.name, values)
        })
        .collect();
    let names: Vec<&str> = sets.iter().map(|(name, _)| *name).collect();
    let alt = format!("Distribution of AUROC for {}", names.join(", "));
    let bottom = TOP + ROW * sets.len().max(1) as f64;
    let height = bottom + 66.0;
    if sets.iter().all(|(_, values)| values.is_empty()) {
        return Figure::new(
            WIDTH,
            height,
            &alt,
            &label(WIDTH / 2.0, height / 2.0, "middle", "nothing to draw"),
        );
    }
    let values = sets.iter().flat_map(|(_, values)| values.iter().copied());
    let axis = Axis::over(values.chain([0.5]), (LEFT, RIGHT))
        .expect("0.5 is finite")
        .within(0.0, 1.0);
    let chance = px(axis.px(0.5));
    let content = html! {
        (axis.below(TOP, bottom, "AUROC"))
        line x1=(chance) x2=(chance) y1=(px(TOP - 6.0)) y2=(px(bottom)) stroke="currentColor" stroke-dasharray="4 3" {}
        (note(axis.px(0.5), TOP - 10.0, "middle", "chance"))
        @for (i, (name, values)) in sets.iter().enumerate() {
            (row(name, values, &axis, TOP + ROW * i as f64, colour(i)))
        }
        (note(LEFT, bottom + 60.0, "start", "curve: density · dots: each value · bar: quartiles · line: median · diamond: mean"))
    };
    Figure::new(WIDTH, height, &alt, &content)
}

fn row(name: &str, sorted: &[f64], axis: &Axis, top: f64, colour: &str) -> Markup {
    let base = top + 44.0;
    let n = sorted.len();
    let mean = sorted.iter().sum::<f64>() / n as f64;
    let [lower, median, upper] = [0.25, 0.5, 0.75].map(|q| quantile(sorted, q));
    let bar = base + 18.0;
    html! {
        (label(LEFT - 12.0, base - 8.0, "end", &fitted(name, 22)))
        @if n == 0 {
            (note(LEFT - 12.0, base + 8.0, "end", "no values"))
        } @else {
            (ridge(sorted, axis, base, colour))
            path d=(dots(sorted, axis, base + 9.0)) stroke=(colour) stroke-opacity="0.45" stroke-width="3.2" stroke-linecap="round" {}
            rect x=(px(axis.px(lower))) y=(px(bar - 2.0)) width=(px((axis.px(upper) - axis.px(lower)).max(1.0)))
                height="4" rx="2" fill=(colour) {}
            line x1=(px(axis.px(median))) x2=(px(axis.px(median))) y1=(px(bar - 6.0)) y2=(px(bar + 6.0))
                stroke=(colour) stroke-width="2.5" {}
            path d=(diamond(axis.px(mean), bar, 5.0)) stroke="none" {}
            (label(RIGHT + 14.0, base - 8.0, "start", &format!("mean {mean:.3}")))
            (note(RIGHT + 14.0, base + 8.0, "start", &format!("n = {n}")))
        }
    }
}

/// A Gaussian kernel density with Silverman's bandwidth, scaled to the height of its row.
fn ridge(sorted: &[f64], axis: &Axis, base: f64, colour: &str) -> Markup {
    const STEPS: usize = 120;
    const HEIGHT: f64 = 34.0;
    let n = sorted.len() as f64;
    let mean = sorted.iter().sum::<f64>() / n;
    let sd = (sorted.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
    let spread = match (quantile(sorted, 0.75) - quantile(sorted, 0.25)) / 1.34 {
        iqr if iqr > 0.0 => sd.min(iqr),
        _ => sd,
    };
    if spread == 0.0 {
        return html! {};
    }
    let bandwidth = 0.9 * spread * n.powf(-0.2);
    let (low, high) = (
        sorted[0] - 2.5 * bandwidth,
        sorted[sorted.len() - 1] + 2.5 * bandwidth,
    );
    let curve: Vec<(f64, f64)> = (0..=STEPS)
        .map(|i| low + (high - low) * i as f64 / STEPS as f64)
        .filter(|x| axis.shows(*x))
        .map(|x| {
            (
                x,
                sorted
                    .iter()
                    .map(|v| (-0.5 * ((x - v) / bandwidth).powi(2)).exp())
                    .sum(),
            )
        })
        .collect();
    let highest = curve.iter().map(|(_, d)| *d).fold(0.0, f64::max);
    let outline: Vec<(f64, f64)> = curve
        .iter()
        .map(|(x, d)| (axis.px(*x), base - HEIGHT * d / highest))
        .collect();
    let (Some(first), Some(last)) = (outline.first(), outline.last()) else {
        return html! {};
    };
    let area = path(
        [(first.0, base)]
            .into_iter()
            .chain(outline.iter().copied())
            .chain([(last.0, base)]),
    );
    html! {
        path d={ (area) "Z" } fill=(colour) fill-opacity="0.22" {}
        path d=(path(outline)) fill="none" stroke=(colour) stroke-width="1.6" {}
    }
}

/// One dot per value, as strokes of no length with round ends, which take a tenth of the bytes of circles. Dots are
/// spread over five lines in turn, so that neighbours do not hide each other.
fn dots(sorted: &[f64], axis: &Axis, middle: f64) -> String {
    let lines = [0.0, 2.4, -2.4, 1.2, -1.2];
    let dot =
        |(i, v): (usize, &f64)| format!("M{} {}h0", px(axis.px(*v)), px(middle + lines[i % lines.len()]));
    sorted.iter().enumerate().map(dot).collect()
}

fn diamond(x: f64, y: f64, r: f64) -> String {
    path([(x - r, y), (x, y - r), (x + r, y), (x, y + r)]) + "Z"
}

/// Linear interpolation between order statistics, as NumPy's default.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let at = q * last as f64;
    let below = at.floor() as usize;
    sorted[below] + (at - at.floor()) * (sorted[(below + 1).min(last)] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate_as_numpy() {
        let sorted = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(
            [0.0, 0.25, 0.5, 0.75, 1.0].map(|q| quantile(&sorted, q)),
            [1.0, 1.75, 3.0, 5.0, 8.0]
        );
    }

    #[test]
    fn every_value_has_a_dot() {
        let values: Vec<f64> = (0..250).map(|i| 0.4 + f64::from(i) / 1000.0).collect();
        let figure = auroc_distributions(&[ScoreSet {
            name: "attention",
            values: &values,
        }]);
        assert_eq!(figure.svg().matches("h0").count(), 250);
        assert!(figure.svg().contains("n = 250"));
    }
}
