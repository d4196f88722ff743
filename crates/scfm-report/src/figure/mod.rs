//! Figures as scalable vector graphics, readable on their own and inside a report.
//!
//! Ink is `currentColor`, so that a figure follows a light or dark page; data colours are those of Okabe and Ito, told
//! apart by people with any colour vision. The same input gives the same bytes.

mod axis;
mod balance;
mod bars;
mod curves;
mod density;
mod distribution;
mod dose_response;
mod forest;
mod named_points;
mod profile;
mod scatter;

pub use axis::{Measure, Scale};
pub use balance::{CovariateBalance, balance_plot};
pub use bars::{AurocBar, auroc_bars};
pub use curves::{Curve, curves};
pub use density::pair_density;
pub use distribution::{ScoreSet, auroc_distributions};
pub use dose_response::{DosePoint, DoseSeries, dose_response};
pub use forest::{Effect, forest};
pub use named_points::{NamedPoint, named_points};
pub use profile::{LayerAuroc, LayerProfile, layer_profile, layer_profiles};
pub use scatter::{PointGroup, scatter};

use maud::{Markup, html};

/// A finished figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    svg: String,
}

impl Figure {
    /// A standalone SVG document element.
    pub fn svg(&self) -> &str {
        &self.svg
    }

    /// `alt` says for those who cannot see it what the figure shows.
    fn new(width: f64, height: f64, alt: &str, content: &Markup) -> Self {
        let view_box = format!("0 0 {} {}", px(width), px(height));
        let markup = html! {
            svg xmlns="http://www.w3.org/2000/svg" viewBox=(view_box) width=(px(width)) height=(px(height))
                role="img" aria-label=(alt) font-family="system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
                font-size="12" fill="currentColor" {
                title { (alt) }
                (content)
            }
        };
        Self {
            svg: markup.into_string(),
        }
    }
}

/// Blue, vermillion, green, purple, orange, sky of Okabe and Ito; the blue is a little lighter than theirs, to be read
/// on dark paper too.
const PALETTE: [&str; 6] = ["#1B7FC0", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"];

/// A colour per series; the palette repeats after six.
fn colour(series: usize) -> &'static str {
    PALETTE[series % PALETTE.len()]
}

/// A coordinate in the file: a tenth of a pixel is finer than any screen shows.
fn px(x: f64) -> String {
    let text = format!("{x:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// A path through points.
fn path(points: impl IntoIterator<Item = (f64, f64)>) -> String {
    let mut text = String::new();
    for (x, y) in points {
        text.push(if text.is_empty() { 'M' } else { 'L' });
        text.push_str(&px(x));
        text.push(' ');
        text.push_str(&px(y));
    }
    text
}

/// A short horizontal or vertical text; `anchor` is `start`, `middle` or `end`.
fn label(x: f64, y: f64, anchor: &str, text: &str) -> Markup {
    html! { text x=(px(x)) y=(px(y)) text-anchor=(anchor) { (text) } }
}

/// Text that explains, in weaker ink.
fn note(x: f64, y: f64, anchor: &str, text: &str) -> Markup {
    html! { text x=(px(x)) y=(px(y)) text-anchor=(anchor) font-size="11" opacity="0.7" { (text) } }
}

/// A name that fits a column of about `letters`, shortened in the middle of nothing but at its end.
fn fitted(name: &str, letters: usize) -> String {
    if name.chars().count() <= letters {
        return name.to_owned();
    }
    let kept: String = name.chars().take(letters.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use scfm_stats::Interval;

    fn doses(interval: impl Fn(f64) -> Option<Interval>) -> Vec<DosePoint> {
        [20.0, 5.0, 10.0]
            .map(|dose| DosePoint {
                dose,
                value: dose / 100.0,
                ci: interval(dose / 100.0),
            })
            .to_vec()
    }

    fn named(name: &str, x: f64) -> NamedPoint {
        NamedPoint {
            name: name.to_owned(),
            x,
            y: 0.1 - x,
            ci: None,
        }
    }

    #[test]
    fn doses_are_drawn_in_order_and_small_moves_are_pale() {
        let series = DoseSeries::new("ranked", doses(|_| None));
        let order: Vec<f64> = series.points.iter().map(|point| point.dose).collect();
        assert_eq!(order, [5.0, 10.0, 20.0]);
        let figure = named_points(&[named("small", 0.01), named("large", 0.2)], "x", "y", Some(0.02));
        assert_eq!(figure.svg().matches("opacity=\"0.35\"").count(), 1);
    }

    fn all_figures() -> Vec<(&'static str, Figure)> {
        let values = [0.55, 0.7, 0.72, 0.81, 0.64];
        let interval = |x: f64| {
            Some(Interval {
                low: x - 0.05,
                high: x + 0.05,
                level: 0.95,
            })
        };
        let layers: Vec<_> = (0..4)
            .map(|layer| LayerAuroc {
                layer,
                auroc: 0.6 + 0.02 * layer as f64,
                ci: interval(0.6),
            })
            .collect();
        let effects = [
            Effect {
                name: "a < b & \"c\"".to_owned(),
                estimate: 0.01,
                ci: interval(0.01),
            },
            Effect {
                name: "no interval".to_owned(),
                estimate: -0.02,
                ci: None,
            },
        ];
        let pairs: Vec<(f32, f32)> = (1..500)
            .map(|i| (i as f32 / 500.0, (i % 17) as f32 / 17.0 + 0.01))
            .collect();
        vec![
            (
                "distribution",
                auroc_distributions(&[ScoreSet {
                    name: "a < b & \"c\"",
                    values: &values,
                }]),
            ),
            (
                "profile",
                layer_profile(&layers, &[("correlation", 0.65)], Some(2)),
            ),
            ("forest", forest(&effects, "ΔAUROC", Some(0.005))),
            (
                "curves",
                curves(
                    &[Curve {
                        name: "a < b & \"c\"",
                        points: vec![(0.0, 0.3), (1.0, 0.2), (2.0, f64::NAN)],
                    }],
                    "λ",
                    "share",
                ),
            ),
            (
                "density",
                pair_density(&pairs, Measure::log("attention"), Measure::linear("|ρ|")),
            ),
            (
                "doses",
                dose_response(
                    &[DoseSeries::new("a < b & \"c\"", doses(interval))],
                    "change of the loss",
                ),
            ),
            (
                "points",
                named_points(
                    &[named("a < b & \"c\"", 0.01), named("large", 0.2)],
                    "distance",
                    "harm",
                    Some(0.02),
                ),
            ),
            ("bars", auroc_bars(&bars())),
            ("balance", balance_plot(&covariates(), 0.1)),
        ]
    }

    fn bars() -> Vec<AurocBar> {
        [("a < b", 0.62), ("a < b", 0.47), ("c", 0.5)]
            .map(|(group, auroc)| AurocBar {
                group: group.to_owned(),
                name: "raw & \"residual\"".to_owned(),
                auroc,
                ci: (auroc > 0.5).then_some(Interval {
                    low: 0.55,
                    high: 0.7,
                    level: 0.95,
                }),
            })
            .to_vec()
    }

    fn covariates() -> Vec<CovariateBalance> {
        [("a < b", 0.8, 0.05), ("mean", -0.3, -0.2)]
            .map(|(name, before, after)| CovariateBalance {
                name: name.to_owned(),
                before,
                after,
            })
            .to_vec()
    }

    #[test]
    fn the_same_input_gives_the_same_bytes_without_stray_numbers() {
        for ((name, first), (_, second)) in all_figures().into_iter().zip(all_figures()) {
            assert_eq!(first, second, "{name}");
            for stray in ["NaN", "inf", "e-"] {
                let numbers = first
                    .svg()
                    .split('"')
                    .filter(|v| v.starts_with(|c: char| c.is_ascii_digit() || c == 'M'));
                for value in numbers {
                    assert!(!value.contains(stray), "{name}: {value}");
                }
            }
        }
    }

    #[test]
    fn names_are_escaped_and_figures_are_described() {
        for (name, figure) in all_figures() {
            assert!(!figure.svg().contains("a < b"), "{name}");
            assert!(figure.svg().contains("role=\"img\" aria-label=\""), "{name}");
        }
        let forest = &all_figures()[2].1;
        assert!(forest.svg().contains("a &lt; b &amp; &quot;c&quot;"));
    }

    #[test]
    fn nothing_and_what_is_not_a_number_is_said_not_drawn() {
        let nan = [f64::NAN];
        for figure in [
            auroc_distributions(&[]),
            auroc_distributions(&[ScoreSet {
                name: "empty",
                values: &nan,
            }]),
            layer_profile(&[], &[], None),
            forest(&[], "ΔAUROC", None),
            curves(&[], "λ", "share"),
            curves(
                &[Curve {
                    name: "not a number",
                    points: vec![(f64::NAN, 1.0)],
                }],
                "λ",
                "share",
            ),
            auroc_bars(&[AurocBar {
                auroc: f64::NAN,
                ..bars()[0].clone()
            }]),
            balance_plot(&[], 0.1),
            pair_density(
                &[(f32::NAN, 1.0), (0.0, 1.0)],
                Measure::log("x"),
                Measure::linear("y"),
            ),
            dose_response(&[], "loss"),
            dose_response(
                &[DoseSeries::new(
                    "nothing",
                    [DosePoint {
                        dose: 5.0,
                        value: f64::NAN,
                        ci: None,
                    }],
                )],
                "loss",
            ),
            named_points(&[named("nowhere", f64::NAN)], "x", "y", Some(0.02)),
        ] {
            assert!(figure.svg().contains("nothing to draw"), "{}", figure.svg());
        }
    }

    #[test]
    fn one_value_or_equal_values_can_be_drawn() {
        let same = [0.7, 0.7, 0.7];
        let one = [LayerAuroc {
            layer: 3,
            auroc: 0.5,
            ci: None,
        }];
        let pairs = [(0.5, 0.5), (0.5, 0.5)];
        let effect = [Effect {
            name: "zero".to_owned(),
            estimate: 0.0,
            ci: None,
        }];
        for figure in [
            auroc_distributions(&[ScoreSet {
                name: "same",
                values: &same,
            }]),
            layer_profile(&one, &[], Some(3)),
            forest(&effect, "ΔAUROC", None),
            auroc_bars(&bars()[2..]),
            balance_plot(&covariates()[1..], 0.1),
            pair_density(&pairs, Measure::linear("x"), Measure::linear("y")),
        ] {
            assert!(!figure.svg().contains("NaN") && !figure.svg().contains("nothing to draw"));
        }
    }

    #[test]
    fn long_names_are_shortened() {
        assert_eq!(fitted("attention", 9), "attention");
        assert_eq!(fitted("value-weighted attention", 10), "value-wei…");
    }
}
