use maud::html;

use super::axis::Axis;
use super::{Figure, colour, fitted, label, px};

/// Points of one group in a [`scatter`].
#[derive(Debug, Clone, PartialEq)]
pub struct PointGroup<'a> {
    /// What the points have in common.
    pub name: &'a str,
    /// Where they lie.
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 540.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 365.0;
/// More points than this hide each other and make a heavy page; every n-th is then drawn.
const MOST: usize = 4_000;
/// As many names fit at the side.
const NAMES: usize = 18;

/// Points in the plane, coloured by group, such as cells on their first principal components.
pub fn scatter(groups: &[PointGroup<'_>], x_name: &str, y_name: &str) -> Figure {
    let n: usize = groups.iter().map(|group| group.points.len()).sum();
    let alt = format!("{y_name} by {x_name}, {n} points in {} groups", groups.len());
    let finite = || {
        let all = groups.iter().flat_map(|group| &group.points);
        all.filter(|(x, y)| x.is_finite() && y.is_finite())
    };
    let x = Axis::over(finite().map(|p| p.0), (LEFT, RIGHT));
    let y = Axis::over(finite().map(|p| p.1), (BOTTOM, TOP));
    let (Some(x), Some(y)) = (x, y) else {
        return Figure::new(
            WIDTH,
            HEIGHT,
            &alt,
            &label(WIDTH / 2.0, HEIGHT / 2.0, "middle", "nothing to draw"),
        );
    };
    let step = n.div_ceil(MOST).max(1);
    let content = html! {
        (x.below(TOP, BOTTOM, x_name))
        (y.beside(LEFT, RIGHT, y_name))
        @for (i, group) in groups.iter().enumerate() {
            g fill=(colour(i)) fill-opacity="0.65" {
                @for (cx, cy) in group.points.iter().filter(|(a, b)| a.is_finite() && b.is_finite()).step_by(step) {
                    circle cx=(px(x.px(*cx))) cy=(px(y.px(*cy))) r="2.2" {}
                }
            }
            @if i < NAMES {
                text x=(px(RIGHT + 12.0)) y=(px(TOP + 16.0 + 18.0 * i as f64)) fill=(colour(i)) font-weight="600" {
                    (fitted(group.name, 24))
                }
            }
        }
    };
    Figure::new(WIDTH, HEIGHT, &alt, &content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_point_of_a_small_set_is_drawn_and_names_are_escaped() {
        let points = vec![(0.0, 1.0), (2.0, 3.0), (f64::NAN, 0.0)];
        let group = PointGroup { name: "<a>", points };
        let svg = scatter(&[group], "PC1", "PC2").svg().to_owned();
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.contains("&lt;a&gt;") && !svg.contains("<a>"));
    }

    #[test]
    fn a_large_set_is_thinned_and_an_empty_one_says_so() {
        let points = (0..10_000).map(|i| (f64::from(i), f64::from(i % 7))).collect();
        let svg = scatter(&[PointGroup { name: "all", points }], "x", "y")
            .svg()
            .to_owned();
        assert!(svg.matches("<circle").count() <= MOST);
        assert!(scatter(&[], "x", "y").svg().contains("nothing to draw"));
    }
}
