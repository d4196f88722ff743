use maud::{Markup, html};
use scfm_stats::Interval;

use super::axis::Axis;
use super::{Figure, colour, fitted, label, note, px};

/// A point that has a name.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedPoint {
    /// What it is.
    pub name: String,
    /// Where it lies.
    pub x: f64,
    /// How high.
    pub y: f64,
    /// The interval of the height.
    pub ci: Option<Interval>,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 560.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 350.0;
/// Height of a name.
const LINE: f64 = 12.0;

/// Points with their names and intervals of height against 0; those left of `threshold` are pale.
pub fn named_points(points: &[NamedPoint], x_name: &str, y_name: &str, threshold: Option<f64>) -> Figure {
    let alt = format!("{y_name} by {x_name}, {} points", points.len());
    let points: Vec<&NamedPoint> = points
        .iter()
        .filter(|point| point.x.is_finite() && point.y.is_finite())
        .collect();
    let ends = points.iter().flat_map(|point| {
        let ci = point.ci.map(|ci| [ci.low, ci.high]);
        [point.y].into_iter().chain(ci.into_iter().flatten())
    });
    let horizontal = Axis::over(
        points.iter().map(|point| point.x).chain(threshold).chain([0.0]),
        (LEFT, RIGHT),
    );
    let vertical = Axis::over(ends.chain([0.0]), (BOTTOM, TOP));
    let (Some((x, y)), false) = (horizontal.zip(vertical), points.is_empty()) else {
        return Figure::new(
            WIDTH,
            HEIGHT,
            &alt,
            &label(WIDTH / 2.0, HEIGHT / 2.0, "middle", "nothing to draw"),
        );
    };
    let zero = px(y.px(0.0));
    let paint = |point: &NamedPoint| match threshold {
        Some(threshold) if point.x < threshold => "0.35",
        _ => "1",
    };
    let content = html! {
        (x.below(TOP, BOTTOM, x_name))
        (y.beside(LEFT, RIGHT, y_name))
        line x1=(px(LEFT)) x2=(px(RIGHT)) y1=(zero) y2=(zero) stroke="currentColor" stroke-width="1.2" {}
        @if let Some(threshold) = threshold {
            @let at = px(x.px(threshold));
            line x1=(at) x2=(at) y1=(px(TOP)) y2=(px(BOTTOM)) stroke="currentColor" stroke-dasharray="4 3" {}
        }
        @for point in &points {
            @let (cx, cy) = (x.px(point.x), y.px(point.y));
            g opacity=(paint(point)) {
                @if let Some(ci) = point.ci.filter(|ci| ci.low.is_finite() && ci.high.is_finite()) {
                    line x1=(px(cx)) x2=(px(cx)) y1=(px(y.px(ci.low))) y2=(px(y.px(ci.high))) stroke=(colour(0)) stroke-width="1.4" {}
                }
                circle cx=(px(cx)) cy=(px(cy)) r="3.6" fill=(colour(0)) {}
            }
        }
        (names(&points, &x, &y))
        (note(LEFT, HEIGHT - 8.0, "start", "bars: 95 % intervals"))
    };
    Figure::new(WIDTH, HEIGHT, &alt, &content)
}

/// Names right of their points, from top to bottom, each as close as the ones above let it be.
fn names(points: &[&NamedPoint], x: &Axis, y: &Axis) -> Markup {
    let mut placed: Vec<(&str, f64, f64)> = points
        .iter()
        .map(|point| (point.name.as_str(), x.px(point.x) + 7.0, y.px(point.y) + 4.0))
        .collect();
    placed.sort_by(|a, b| a.2.total_cmp(&b.2));
    // What a name of its length covers; two that overlap sideways are moved apart.
    let width = |name: &str| 6.0 * name.chars().count().min(28) as f64;
    for i in 1..placed.len() {
        let (above, rest) = placed.split_at_mut(i);
        let (name, left, at) = &mut rest[0];
        for (other, other_left, other_at) in above.iter() {
            let apart = *left > other_left + width(other) || *other_left > *left + width(name);
            if !apart && *at < other_at + LINE {
                *at = other_at + LINE;
            }
        }
    }
    html! {
        g font-size="10.5" {
            @for (name, left, at) in placed { (label(left, at, "start", &fitted(name, 28))) }
        }
    }
}
