use maud::{Markup, html};
use scfm_stats::Interval;

use super::axis::Axis;
use super::{Figure, colour, fitted, label, note, path, px};

/// The AUROC of the edges of one layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerAuroc {
    /// The layer, from 0.
    pub layer: usize,
    /// Its mean AUROC.
    pub auroc: f64,
    /// The interval of the mean.
    pub ci: Option<Interval>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 540.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 280.0;

/// AUROC by layer with the band of its intervals, beside scores that have no layers; `chosen` marks the layer that
/// was fixed beforehand.
pub fn layer_profile(layers: &[LayerAuroc], comparisons: &[(&str, f64)], chosen: Option<usize>) -> Figure {
    let alt = format!("AUROC of attention edges by layer, {} layers", layers.len());
    let layers: Vec<&LayerAuroc> = layers.iter().filter(|l| l.auroc.is_finite()).collect();
    let depths = Axis::over(layers.iter().map(|l| l.layer as f64), (LEFT, RIGHT));
    let Some(x) = depths else {
        return Figure::new(
            WIDTH,
            HEIGHT,
            &alt,
            &label(WIDTH / 2.0, HEIGHT / 2.0, "middle", "nothing to draw"),
        );
    };
    let bounds = layers
        .iter()
        .filter_map(|l| l.ci)
        .flat_map(|ci| [ci.low, ci.high]);
    let means = layers
        .iter()
        .map(|l| l.auroc)
        .chain(comparisons.iter().map(|c| c.1));
    let y = Axis::over(means.chain(bounds).chain([0.5]), (BOTTOM, TOP)).expect("0.5 is finite");
    let at = |layer: usize, auroc: f64| (x.px(layer as f64), y.px(auroc));
    let band = layers.iter().filter_map(|l| l.ci.map(|ci| at(l.layer, ci.high)));
    let back = layers
        .iter()
        .rev()
        .filter_map(|l| l.ci.map(|ci| at(l.layer, ci.low)));
    let band = path(band.chain(back));
    let line = path(layers.iter().map(|l| at(l.layer, l.auroc)));
    // Every layer is named while there is room for its number.
    let every = layers.len().div_ceil(20).max(1);
    let content = html! {
        (y.beside(LEFT, RIGHT, "mean AUROC"))
        (level(y.px(0.5), "currentColor", "4 3"))
        @if !band.is_empty() { path d={ (band) "Z" } fill=(colour(0)) fill-opacity="0.18" {} }
        @for (i, &(_, auroc)) in comparisons.iter().enumerate().filter(|(_, c)| c.1.is_finite()) {
            (level(y.px(auroc), colour(i + 1), "7 4"))
        }
        @if let Some(chosen) = layers.iter().find(|l| chosen == Some(l.layer)) {
            @let x = x.px(chosen.layer as f64);
            line x1=(px(x)) x2=(px(x)) y1=(px(TOP - 8.0)) y2=(px(BOTTOM)) stroke="currentColor" stroke-dasharray="1 3" {}
            (note(x, TOP - 12.0, "middle", "pre-specified"))
        }
        path d=(line) fill="none" stroke=(colour(0)) stroke-width="2" stroke-linejoin="round" {}
        @for l in &layers {
            @let (cx, cy) = at(l.layer, l.auroc);
            circle cx=(px(cx)) cy=(px(cy)) r="3.6" fill=(colour(0)) {}
        }
        @for l in layers.iter().step_by(every) {
            (label(x.px(l.layer as f64), BOTTOM + 17.0, "middle", &l.layer.to_string()))
        }
        g font-size="13" { (label((LEFT + RIGHT) / 2.0, BOTTOM + 38.0, "middle", "layer (from 0, input side first)")) }
        (names(&layers, comparisons, &y))
        @if !band.is_empty() { (note(LEFT, HEIGHT - 6.0, "start", "band: 95 % interval of the mean")) }
    };
    Figure::new(WIDTH, HEIGHT, &alt, &content)
}

fn level(y: f64, stroke: &str, dashes: &str) -> Markup {
    html! {
        line x1=(px(LEFT)) x2=(px(RIGHT)) y1=(px(y)) y2=(px(y)) stroke=(stroke) stroke-width="1.5" stroke-dasharray=(dashes) {}
    }
}

/// The names of all lines at the right end, moved apart where they would overlap.
fn names(layers: &[&LayerAuroc], comparisons: &[(&str, f64)], y: &Axis) -> Markup {
    const LINE: f64 = 15.0;
    let mut names = vec![("chance", y.px(0.5), "currentColor")];
    names.extend(layers.last().map(|l| ("attention", y.px(l.auroc), colour(0))));
    let shown = comparisons.iter().enumerate().filter(|(_, c)| c.1.is_finite());
    names.extend(shown.map(|(i, &(name, auroc))| (name, y.px(auroc), colour(i + 1))));
    names.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut lowest = f64::NEG_INFINITY;
    for (_, at, _) in &mut names {
        *at = at.max(lowest + LINE);
        lowest = *at;
    }
    // What was pushed below the plot moves up again.
    let mut highest = BOTTOM + 4.0;
    for (_, at, _) in names.iter_mut().rev() {
        *at = at.min(highest);
        highest = *at - LINE;
    }
    html! {
        @for (name, at, fill) in names {
            text x=(px(RIGHT + 10.0)) y=(px(at + 4.0)) fill=(fill) font-weight="600" { (fitted(name, 24)) }
        }
    }
}
