use maud::html;
use scfm_stats::Interval;

use super::axis::Axis;
use super::{Figure, colour, fitted, label, note, px};
use crate::number::{interval, significant};

/// An AUROC shown as a bar from 0.5.
#[derive(Debug, Clone, PartialEq)]
pub struct AurocBar {
    /// What the score is of; bars of one group stand next to each other in one colour.
    pub group: String,
    /// Which form of the score.
    pub name: String,
    /// The AUROC.
    pub auroc: f64,
    /// Its interval.
    pub ci: Option<Interval>,
}

const WIDTH: f64 = 800.0;
const LEFT: f64 = 270.0;
const RIGHT: f64 = 600.0;
const TOP: f64 = 30.0;
const ROW: f64 = 24.0;
const GAP: f64 = 12.0;

/// AUROCs as bars from 0.5 with their intervals, a colour per group, the first bar of each group full and the others
/// lighter.
pub fn auroc_bars(bars: &[AurocBar]) -> Figure {
    let alt = format!(
        "AUROC of {} scores as bars from 0.5 with 95 % intervals",
        bars.len()
    );
    let bars: Vec<&AurocBar> = bars.iter().filter(|bar| bar.auroc.is_finite()).collect();
    let mut places = Vec::with_capacity(bars.len());
    let (mut y, mut group) = (TOP, 0);
    for (i, bar) in bars.iter().enumerate() {
        let first = i == 0 || bars[i - 1].group != bar.group;
        if first && i > 0 {
            y += GAP;
            group += 1;
        }
        places.push((y, group, first));
        y += ROW;
    }
    let bottom = y + 6.0;
    let height = bottom + 48.0;
    let ends = bars.iter().flat_map(|bar| {
        [Some(bar.auroc), bar.ci.map(|ci| ci.low), bar.ci.map(|ci| ci.high)]
            .into_iter()
            .flatten()
    });
    let axis = Axis::over(ends.chain([0.5]), (LEFT, RIGHT));
    let Some(axis) = axis.filter(|_| !bars.is_empty()) else {
        return Figure::new(
            WIDTH,
            height,
            &alt,
            &label(WIDTH / 2.0, height / 2.0, "middle", "nothing to draw"),
        );
    };
    let chance = axis.px(0.5);
    let content = html! {
        (axis.below(TOP, bottom, "AUROC"))
        line x1=(px(chance)) x2=(px(chance)) y1=(px(TOP - 4.0)) y2=(px(bottom)) stroke="currentColor" stroke-width="1.2" {}
        (note(chance, TOP - 10.0, "middle", "chance"))
        @for (bar, &(y, group, first)) in bars.iter().zip(&places) {
            @let middle = y + 0.5 * ROW;
            @let x = axis.px(bar.auroc);
            @let name = format!("{}: {}", bar.group, bar.name);
            (label(LEFT - 14.0, middle + 4.0, "end", &fitted(&name, 42)))
            rect x=(px(x.min(chance))) y=(px(middle - 7.0)) width=(px((x - chance).abs())) height="14" fill=(colour(group))
                fill-opacity=(if first { "1" } else { "0.45" }) {}
            @if let Some(ci) = bar.ci.filter(|ci| ci.low.is_finite() && ci.high.is_finite()) {
                line x1=(px(axis.px(ci.low))) x2=(px(axis.px(ci.high))) y1=(px(middle)) y2=(px(middle)) stroke="currentColor"
                    stroke-width="1.5" {}
            }
            text x=(px(RIGHT + 14.0)) y=(px(middle + 4.0)) font-variant-numeric="tabular-nums" { (numbers(bar)) }
        }
    };
    Figure::new(WIDTH, height, &alt, &content)
}

fn numbers(bar: &AurocBar) -> String {
    let round = |x: f64| (x * 1e3).round() / 1e3;
    match bar.ci {
        Some(ci) => format!(
            "{} {}",
            significant(round(bar.auroc)),
            interval(round(ci.low), round(ci.high))
        ),
        None => significant(round(bar.auroc)),
    }
}
