use std::collections::BTreeMap;

use maud::{Markup, html};

use super::axis::{Axis, Measure};
use super::{Figure, label, note, path, px};
use crate::number::count;

const WIDTH: f64 = 620.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 500.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 386.0;
/// Centre to corner of a hexagon: about 40 of them across the plot.
const RADIUS: f64 = 6.0;

/// How many pairs lie where, on a logarithmic colour scale: millions of edges of two kinds against each other. Pairs
/// that a scale cannot show (missing, or not positive on a logarithmic axis) are counted below.
pub fn pair_density(pairs: &[(f32, f32)], x: Measure<'_>, y: Measure<'_>) -> Figure {
    let alt = format!("Number of pairs by {} and {}", x.name, y.name);
    let placed: Vec<(f64, f64)> = pairs
        .iter()
        .filter_map(|&(a, b)| x.scale.place(f64::from(a)).zip(y.scale.place(f64::from(b))))
        .collect();
    let horizontal = Axis::over(placed.iter().map(|p| p.0), (LEFT, RIGHT));
    let vertical = Axis::over(placed.iter().map(|p| p.1), (BOTTOM, TOP));
    let Some((horizontal, vertical)) = horizontal.zip(vertical) else {
        return Figure::new(
            WIDTH,
            HEIGHT,
            &alt,
            &label(WIDTH / 2.0, HEIGHT / 2.0, "middle", "nothing to draw"),
        );
    };
    let (horizontal, vertical) = (horizontal.scaled(x.scale), vertical.scaled(y.scale));
    let mut cells: BTreeMap<(i32, i32), u64> = BTreeMap::new();
    for (a, b) in &placed {
        *cells
            .entry(hexagon(horizontal.px(*a), vertical.px(*b)))
            .or_default() += 1;
    }
    let fullest = cells.values().copied().max().unwrap_or(1);
    let share = |n: u64| {
        if fullest > 1 {
            (n as f64).ln() / (fullest as f64).ln()
        } else {
            1.0
        }
    };
    // One path per colour keeps the file small.
    let mut by_colour: BTreeMap<String, String> = BTreeMap::new();
    for (&cell, &n) in &cells {
        by_colour
            .entry(viridis(share(n)))
            .or_default()
            .push_str(&outline(cell));
    }
    let left_out = pairs.len() - placed.len();
    let mut caption = format!("{} pairs", count(placed.len() as u64));
    if left_out > 0 {
        caption.push_str(&format!(
            "; {} left out: a value is missing or not positive",
            count(left_out as u64)
        ));
    }
    let content = html! {
        (horizontal.below(TOP, BOTTOM, x.name))
        (vertical.beside(LEFT, RIGHT, y.name))
        @for (fill, d) in &by_colour { path d=(d) fill=(fill) stroke=(fill) stroke-width="0.4" {} }
        (legend(fullest))
        (note(LEFT, HEIGHT - 10.0, "start", &caption))
    };
    Figure::new(WIDTH, HEIGHT, &alt, &content)
}

/// The hexagon (column, row) whose centre is nearest: the nearer of the two candidates of the two interleaved grids.
fn hexagon(x: f64, y: f64) -> (i32, i32) {
    let (dx, dy) = (RADIUS * 3f64.sqrt(), RADIUS * 1.5);
    let candidates = [0, 1].map(|parity| {
        let row = 2 * ((y / dy - f64::from(parity)) / 2.0).round() as i32 + parity;
        let column = (x / dx - 0.5 * f64::from(parity)).round() as i32;
        let (cx, cy) = centre((column, row));
        ((cx - x).powi(2) + (cy - y).powi(2), (column, row))
    });
    if candidates[0].0 <= candidates[1].0 {
        candidates[0].1
    } else {
        candidates[1].1
    }
}

fn centre((column, row): (i32, i32)) -> (f64, f64) {
    let shift = if row.rem_euclid(2) == 1 { 0.5 } else { 0.0 };
    (
        RADIUS * 3f64.sqrt() * (f64::from(column) + shift),
        RADIUS * 1.5 * f64::from(row),
    )
}

fn outline(cell: (i32, i32)) -> String {
    let (cx, cy) = centre(cell);
    let (half, quarter) = (RADIUS * 3f64.sqrt() / 2.0, RADIUS / 2.0);
    let corners = [
        (0.0, -RADIUS),
        (half, -quarter),
        (half, quarter),
        (0.0, RADIUS),
        (-half, quarter),
        (-half, -quarter),
    ];
    path(corners.map(|(x, y)| (cx + x, cy + y))) + "Z"
}

/// The colour scale with whole decades of counts.
fn legend(fullest: u64) -> Markup {
    const STEPS: usize = 48;
    let (top, bottom, left) = (TOP + 30.0, BOTTOM - 60.0, RIGHT + 34.0);
    let step = (bottom - top) / STEPS as f64;
    let decades = (0..=fullest.max(1).ilog10()).map(|d| 10u64.pow(d));
    let at = |n: u64| {
        if fullest > 1 {
            bottom - (n as f64).ln() / (fullest as f64).ln() * (bottom - top)
        } else {
            top
        }
    };
    html! {
        (label(left, top - 14.0, "start", "pairs"))
        @for i in 0..STEPS {
            rect x=(px(left)) y=(px(bottom - step * (i + 1) as f64)) width="16" height=(px(step + 0.4))
                fill=(viridis((i as f64 + 0.5) / STEPS as f64)) shape-rendering="crispEdges" {}
        }
        @for n in decades { (label(left + 22.0, at(n) + 4.0, "start", &count(n))) }
    }
}

/// The viridis scale of van der Walt and Smith through nine of its colours, in 64 steps.
fn viridis(share: f64) -> String {
    const STOPS: [[f64; 3]; 9] = [
        [68.0, 1.0, 84.0],
        [71.0, 45.0, 123.0],
        [59.0, 82.0, 139.0],
        [44.0, 114.0, 142.0],
        [33.0, 145.0, 140.0],
        [40.0, 174.0, 128.0],
        [94.0, 201.0, 98.0],
        [173.0, 220.0, 48.0],
        [253.0, 231.0, 37.0],
    ];
    let at = (share.clamp(0.0, 1.0) * 63.0).round() / 63.0 * 8.0;
    let stop = (at as usize).min(7);
    let mix = |c: usize| {
        (STOPS[stop][c] + (at - stop as f64) * (STOPS[stop + 1][c] - STOPS[stop][c])).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", mix(0), mix(1), mix(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_point_lies_in_the_hexagon_whose_centre_is_nearest(x in 0f64..500.0, y in 0f64..400.0) {
            let distance = |cell| {
                let (cx, cy) = centre(cell);
                (cx - x).powi(2) + (cy - y).powi(2)
            };
            let (column, row) = hexagon(x, y);
            for dc in -2..=2 {
                for dr in -2..=2 {
                    prop_assert!(distance((column, row)) <= distance((column + dc, row + dr)) + 1e-9);
                }
            }
        }
    }

    #[test]
    fn pairs_without_a_place_are_counted() {
        let pairs = [(0.1, 0.2), (0.0, 0.3), (f32::NAN, 0.1), (0.2, 0.1)];
        let figure = pair_density(&pairs, Measure::log("attention"), Measure::linear("correlation"));
        assert!(figure.svg().contains("2 pairs; 2 left out"));
    }

    #[test]
    fn the_scale_runs_from_viridis_end_to_end() {
        assert_eq!(
            (viridis(0.0), viridis(1.0)),
            ("#440154".to_owned(), "#fde725".to_owned())
        );
    }
}
