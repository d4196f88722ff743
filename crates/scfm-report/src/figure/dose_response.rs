use maud::{Markup, html};
use scfm_stats::Interval;

use super::axis::Axis;
use super::{Figure, colour, fitted, label, note, path, px};

/// What a dose did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DosePoint {
    /// The dose, in units.
    pub dose: f64,
    /// What it did.
    pub value: f64,
    /// The interval of the value.
    pub ci: Option<Interval>,
}

/// Doses of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct DoseSeries {
    /// What is dosed.
    pub name: &'static str,
    /// By dose; values that are not finite are not drawn.
    pub points: Vec<DosePoint>,
}

impl DoseSeries {
    /// Points in the order of their doses.
    pub fn new(name: &'static str, points: impl IntoIterator<Item = DosePoint>) -> Self {
        let mut points: Vec<DosePoint> = points
            .into_iter()
            .filter(|point| point.dose.is_finite() && point.value.is_finite())
            .collect();
        points.sort_by(|a, b| a.dose.total_cmp(&b.dose));
        Self { name, points }
    }
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 560.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 280.0;

/// What doses of several kinds do, with their intervals, against 0; every line begins at dose 0, which does nothing. Series
/// lie a little beside each other, so that their intervals can be told apart.
pub fn dose_response(series: &[DoseSeries], measure: &str) -> Figure {
    let alt = format!("{measure} by number of heads");
    let drawn: Vec<(usize, &DoseSeries)> = series
        .iter()
        .enumerate()
        .filter(|(_, series)| !series.points.is_empty())
        .collect();
    let points = || drawn.iter().flat_map(|(_, series)| &series.points);
    let ends = points().flat_map(|point| {
        let ci = point.ci.map(|ci| [ci.low, ci.high]);
        [point.value].into_iter().chain(ci.into_iter().flatten())
    });
    let doses = Axis::over(points().map(|point| point.dose).chain([0.0]), (LEFT, RIGHT));
    let values = Axis::over(ends.chain([0.0]), (BOTTOM, TOP));
    let (Some((x, y)), false) = (doses.zip(values), drawn.is_empty()) else {
        return Figure::new(
            WIDTH,
            HEIGHT,
            &alt,
            &label(WIDTH / 2.0, HEIGHT / 2.0, "middle", "nothing to draw"),
        );
    };
    let zero = px(y.px(0.0));
    let content = html! {
        (y.beside(LEFT, RIGHT, measure))
        (x.below(TOP, BOTTOM, "heads that are silenced together"))
        line x1=(px(LEFT)) x2=(px(RIGHT)) y1=(zero) y2=(zero) stroke="currentColor" stroke-width="1.2" {}
        @for (place, &(index, series)) in drawn.iter().enumerate() {
            (curve(series, index, 3.0 * place as f64, &x, &y))
        }
        (names(&drawn, &y))
        (note(LEFT, HEIGHT - 6.0, "start", "bars: 95 % intervals"))
    };
    Figure::new(WIDTH, HEIGHT, &alt, &content)
}

fn curve(series: &DoseSeries, index: usize, shift: f64, x: &Axis, y: &Axis) -> Markup {
    let at = |point: &DosePoint| (x.px(point.dose) + shift, y.px(point.value));
    let origin = (x.px(0.0), y.px(0.0));
    let line = path(std::iter::once(origin).chain(series.points.iter().map(at)));
    let paint = colour(index);
    html! {
        path d=(line) fill="none" stroke=(paint) stroke-width="2" stroke-linejoin="round" {}
        @for point in &series.points {
            @let (cx, cy) = at(point);
            @if let Some(ci) = point.ci.filter(|ci| ci.low.is_finite() && ci.high.is_finite()) {
                line x1=(px(cx)) x2=(px(cx)) y1=(px(y.px(ci.low))) y2=(px(y.px(ci.high))) stroke=(paint) stroke-width="1.6" {}
            }
            circle cx=(px(cx)) cy=(px(cy)) r="3.6" fill=(paint) {}
        }
    }
}

/// The names at the right end, moved apart where they would overlap.
fn names(series: &[(usize, &DoseSeries)], y: &Axis) -> Markup {
    const LINE: f64 = 15.0;
    let mut names: Vec<(&str, f64, usize)> = series
        .iter()
        .filter_map(|(index, series)| Some((series.name, y.px(series.points.last()?.value), *index)))
        .collect();
    names.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut lowest = f64::NEG_INFINITY;
    for (_, at, _) in &mut names {
        *at = at.max(lowest + LINE);
        lowest = *at;
    }
    html! {
        @for (name, at, index) in names {
            text x=(px(RIGHT + 18.0)) y=(px(at + 4.0)) fill=(colour(index)) font-weight="600" { (fitted(name, 20)) }
        }
    }
}
