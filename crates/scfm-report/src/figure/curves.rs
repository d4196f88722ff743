use maud::html;

use super::axis::Axis;
use super::{Figure, colour, fitted, label, path, px};

/// One line of [`curves`].
#[derive(Debug, Clone, PartialEq)]
pub struct Curve<'a> {
    /// What it shows.
    pub name: &'a str,
    /// Its points from left to right.
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 330.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 540.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 280.0;

/// Lines over a common axis, named at their side; `y` starts at 0.
pub fn curves(curves: &[Curve<'_>], x_name: &str, y_name: &str) -> Figure {
    let alt = format!("{y_name} by {x_name}, {} curves", curves.len());
    let points = || {
        let all = curves.iter().flat_map(|curve| &curve.points);
        all.filter(|(x, y)| x.is_finite() && y.is_finite())
    };
    let x = Axis::over(points().map(|p| p.0), (LEFT, RIGHT));
    let y = Axis::over(points().map(|p| p.1).chain([0.0]), (BOTTOM, TOP));
    let (Some(x), Some(y)) = (x, y) else {
        return Figure::new(
            WIDTH,
            HEIGHT,
            &alt,
            &label(WIDTH / 2.0, HEIGHT / 2.0, "middle", "nothing to draw"),
        );
    };
    let content = html! {
        (x.below(TOP, BOTTOM, x_name))
        (y.beside(LEFT, RIGHT, y_name))
        @for (i, curve) in curves.iter().enumerate() {
            @let placed: Vec<(f64, f64)> = curve.points.iter()
                .filter(|(a, b)| a.is_finite() && b.is_finite())
                .map(|&(a, b)| (x.px(a), y.px(b)))
                .collect();
            path d=(path(placed.iter().copied())) fill="none" stroke=(colour(i)) stroke-width="2" stroke-linejoin="round" {}
            @for (cx, cy) in &placed { circle cx=(px(*cx)) cy=(px(*cy)) r="3.2" fill=(colour(i)) {} }
            text x=(px(RIGHT + 12.0)) y=(px(TOP + 16.0 + 18.0 * i as f64)) fill=(colour(i)) font-weight="600" {
                (fitted(curve.name, 24))
            }
        }
    };
    Figure::new(WIDTH, HEIGHT, &alt, &content)
}
