use maud::html;
use scfm_stats::Interval;

use super::axis::Axis;
use super::{Figure, colour, fitted, label, note, px};
use crate::number::{interval, significant};

/// One line of a forest plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// What was estimated.
    pub name: String,
    /// The estimate.
    pub estimate: f64,
    /// Its interval.
    pub ci: Option<Interval>,
}

const WIDTH: f64 = 800.0;
const LEFT: f64 = 270.0;
const RIGHT: f64 = 600.0;
const TOP: f64 = 30.0;
const ROW: f64 = 28.0;

/// Estimates with their intervals against 0; `equivalence` shades the band within which an effect counts as none.
/// Effects whose interval excludes 0 are coloured by their side.
pub fn forest(effects: &[Effect], measure: &str, equivalence: Option<f64>) -> Figure {
    let alt = format!("{measure} with 95 % intervals for {} comparisons", effects.len());
    let effects: Vec<&Effect> = effects.iter().filter(|e| e.estimate.is_finite()).collect();
    let bottom = TOP + ROW * effects.len().max(1) as f64 + 6.0;
    let height = bottom + if equivalence.is_some() { 66.0 } else { 48.0 };
    let ends = effects.iter().flat_map(|e| {
        [Some(e.estimate), e.ci.map(|ci| ci.low), e.ci.map(|ci| ci.high)]
            .into_iter()
            .flatten()
    });
    let band = equivalence.into_iter().flat_map(|bound| [-bound, bound]);
    let axis = Axis::over(ends.chain(band).chain([0.0]), (LEFT, RIGHT));
    let Some(axis) = axis.filter(|_| !effects.is_empty()) else {
        return Figure::new(
            WIDTH,
            height,
            &alt,
            &label(WIDTH / 2.0, height / 2.0, "middle", "nothing to draw"),
        );
    };
    let zero = px(axis.px(0.0));
    let content = html! {
        @if let Some(bound) = equivalence {
            rect x=(px(axis.px(-bound))) y=(px(TOP)) width=(px(axis.px(bound) - axis.px(-bound)))
                height=(px(bottom - TOP)) fill="currentColor" fill-opacity="0.09" {}
        }
        (axis.below(TOP, bottom, measure))
        line x1=(zero) x2=(zero) y1=(px(TOP - 4.0)) y2=(px(bottom)) stroke="currentColor" stroke-width="1.2" {}
        @for (i, effect) in effects.iter().enumerate() {
            @let y = TOP + ROW * (i as f64 + 0.6);
            @let x = axis.px(effect.estimate);
            @let paint = paint(effect);
            (label(LEFT - 14.0, y + 4.0, "end", &fitted(&effect.name, 42)))
            @if let Some(ci) = effect.ci.filter(|ci| ci.low.is_finite() && ci.high.is_finite()) {
                line x1=(px(axis.px(ci.low))) x2=(px(axis.px(ci.high))) y1=(px(y)) y2=(px(y)) stroke=(paint) stroke-width="2" {}
                @for end in [ci.low, ci.high] {
                    line x1=(px(axis.px(end))) x2=(px(axis.px(end))) y1=(px(y - 4.0)) y2=(px(y + 4.0)) stroke=(paint) stroke-width="2" {}
                }
            }
            rect x=(px(x - 4.0)) y=(px(y - 4.0)) width="8" height="8" fill=(paint) {}
            text x=(px(RIGHT + 14.0)) y=(px(y + 4.0)) font-variant-numeric="tabular-nums" { (numbers(effect)) }
        }
        @if let Some(bound) = equivalence {
            (note(LEFT, bottom + 60.0, "start", &format!("shaded: ± {}, too small to matter", significant(bound))))
        }
    };
    Figure::new(WIDTH, height, &alt, &content)
}

/// Blue above 0, vermillion below, plain ink where the interval holds 0 or is missing.
fn paint(effect: &Effect) -> &'static str {
    match effect.ci {
        Some(ci) if ci.low > 0.0 => colour(0),
        Some(ci) if ci.high < 0.0 => colour(1),
        _ => "currentColor",
    }
}

fn numbers(effect: &Effect) -> String {
    // Three decimals of the axis are enough beside a plot; the table holds the rest.
    let round = |x: f64| (x * 1e4).round() / 1e4;
    match effect.ci {
        Some(ci) => format!(
            "{} {}",
            significant(round(effect.estimate)),
            interval(round(ci.low), round(ci.high))
        ),
        None => significant(round(effect.estimate)),
    }
}
