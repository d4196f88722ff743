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

/// The layers of one kind of edges or labels, by name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerProfile<'a> {
    /// How it is called beside its line.
    pub name: &'a str,
    /// Its layers in ascending order.
    pub layers: &'a [LayerAuroc],
}

/// AUROC by layer with the band of its intervals, beside scores that have no layers; `chosen` marks the layer that
/// was fixed beforehand.
pub fn layer_profile(layers: &[LayerAuroc], comparisons: &[(&str, f64)], chosen: Option<usize>) -> Figure {
    let profile = LayerProfile {
        name: "attention",
        layers,
    };
    layer_profiles(&[profile], comparisons, chosen)
}

/// Several profiles in one figure; the band of intervals is drawn for one alone, since several would hide each other.
pub fn layer_profiles(
    profiles: &[LayerProfile<'_>],
    comparisons: &[(&str, f64)],
    chosen: Option<usize>,
) -> Figure {
    let n_layers = profiles.iter().map(|p| p.layers.len()).max().unwrap_or(0);
    let alt = match profiles {
        [_] | [] => format!("AUROC of attention edges by layer, {n_layers} layers"),
        several => format!("AUROC by layer of {} profiles, {n_layers} layers", several.len()),
    };
    let lines: Vec<(&str, Vec<&LayerAuroc>)> = profiles
        .iter()
        .map(|p| (p.name, p.layers.iter().filter(|l| l.auroc.is_finite()).collect()))
        .collect();
    let all = || lines.iter().flat_map(|(_, layers)| layers);
    let depths = Axis::over(all().map(|l| l.layer as f64), (LEFT, RIGHT));
    let Some(x) = depths else {
        return Figure::new(
            WIDTH,
            HEIGHT,
            &alt,
            &label(WIDTH / 2.0, HEIGHT / 2.0, "middle", "nothing to draw"),
        );
    };
    let banded = lines.len() == 1;
    let bounds = all()
        .filter_map(|l| l.ci.filter(|_| banded))
        .flat_map(|ci| [ci.low, ci.high]);
    let means = all().map(|l| l.auroc).chain(comparisons.iter().map(|c| c.1));
    let y = Axis::over(means.chain(bounds).chain([0.5]), (BOTTOM, TOP)).expect("0.5 is finite");
    let at = |layer: usize, auroc: f64| (x.px(layer as f64), y.px(auroc));
    let band = match &lines[..] {
        [(_, layers)] => {
            let band = layers.iter().filter_map(|l| l.ci.map(|ci| at(l.layer, ci.high)));
            let back = layers
                .iter()
                .rev()
                .filter_map(|l| l.ci.map(|ci| at(l.layer, ci.low)));
            path(band.chain(back))
        }
        _ => String::new(),
    };
    let mut named: Vec<usize> = all().map(|l| l.layer).collect();
    named.sort_unstable();
    named.dedup();
    // Every layer is named while there is room for its number.
    let every = named.len().div_ceil(20).max(1);
    let content = html! {
        (y.beside(LEFT, RIGHT, if banded { "mean AUROC" } else { "AUROC" }))
        (level(y.px(0.5), "currentColor", "4 3"))
        @if !band.is_empty() { path d={ (band) "Z" } fill=(colour(0)) fill-opacity="0.18" {} }
        @for (i, &(_, auroc)) in comparisons.iter().enumerate().filter(|(_, c)| c.1.is_finite()) {
            (level(y.px(auroc), colour(i + lines.len()), "7 4"))
        }
        @if let Some(chosen) = named.iter().find(|layer| chosen == Some(**layer)) {
            @let x = x.px(*chosen as f64);
            line x1=(px(x)) x2=(px(x)) y1=(px(TOP - 8.0)) y2=(px(BOTTOM)) stroke="currentColor" stroke-dasharray="1 3" {}
            (note(x, TOP - 12.0, "middle", "pre-specified"))
        }
        @for (i, (_, layers)) in lines.iter().enumerate() {
            path d=(path(layers.iter().map(|l| at(l.layer, l.auroc)))) fill="none" stroke=(colour(i)) stroke-width="2" stroke-linejoin="round" {}
            @for l in layers {
                @let (cx, cy) = at(l.layer, l.auroc);
                circle cx=(px(cx)) cy=(px(cy)) r="3.6" fill=(colour(i)) {}
            }
        }
        @for layer in named.iter().step_by(every) {
            (label(x.px(*layer as f64), BOTTOM + 17.0, "middle", &layer.to_string()))
        }
        g font-size="13" { (label((LEFT + RIGHT) / 2.0, BOTTOM + 38.0, "middle", "layer (from 0, input side first)")) }
        (names(&lines, comparisons, &y))
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
fn names(lines: &[(&str, Vec<&LayerAuroc>)], comparisons: &[(&str, f64)], y: &Axis) -> Markup {
    const LINE: f64 = 15.0;
    let mut names = vec![("chance", y.px(0.5), "currentColor")];
    let ends = lines
        .iter()
        .enumerate()
        .filter_map(|(i, (name, layers))| Some((i, *name, layers.last()?)));
    names.extend(ends.map(|(i, name, last)| (name, y.px(last.auroc), colour(i))));
    let shown = comparisons.iter().enumerate().filter(|(_, c)| c.1.is_finite());
    names.extend(shown.map(|(i, &(name, auroc))| (name, y.px(auroc), colour(i + lines.len()))));
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
