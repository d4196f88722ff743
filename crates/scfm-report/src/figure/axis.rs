use maud::{Markup, html};

use super::{label, px};
use crate::number::significant;

/// What an axis shows and how it is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure<'a> {
    /// The name with its unit.
    pub name: &'a str,
    /// How values are placed.
    pub scale: Scale,
}

/// How values are placed on an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Equal differences are equally long.
    Linear,
    /// Equal ratios are equally long; values that are not positive cannot be shown.
    Log,
}

impl<'a> Measure<'a> {
    /// A linear axis.
    pub fn linear(name: &'a str) -> Self {
        Self {
            name,
            scale: Scale::Linear,
        }
    }

    /// A logarithmic axis.
    pub fn log(name: &'a str) -> Self {
        Self {
            name,
            scale: Scale::Log,
        }
    }
}

impl Scale {
    /// Where a value stands on the scale; none if it cannot be shown.
    pub(super) fn place(self, value: f64) -> Option<f64> {
        let placed = match self {
            Self::Linear => value,
            Self::Log if value > 0.0 => value.log10(),
            Self::Log => return None,
        };
        Some(placed).filter(|p| p.is_finite())
    }
}

/// A range of placed values laid over a range of pixels.
pub(super) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// An axis over `values` with a margin of a twentieth of their range. `None` if there is no finite value.
    pub(super) fn over(values: impl IntoIterator<Item = f64>, (from, to): (f64, f64)) -> Option<Self> {
        let (low, high) = values
            .into_iter()
            .filter(|v| v.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
                (low.min(v), high.max(v))
            });
        if low > high {
            return None;
        }
        // A single value gets a range of its own size, or one around 0.
        let margin = if high > low {
            0.05 * (high - low)
        } else if high == 0.0 {
            1.0
        } else {
            0.1 * high.abs()
        };
        Some(Self {
            scale: Scale::Linear,
            low: low - margin,
            high: high + margin,
            from,
            to,
        })
    }

    /// The same axis within `low` and `high`.
    pub(super) fn within(self, low: f64, high: f64) -> Self {
        Self {
            low: self.low.max(low),
            high: self.high.min(high),
            ..self
        }
    }

    /// The same axis whose placed values were made by `scale`.
    pub(super) fn scaled(self, scale: Scale) -> Self {
        Self { scale, ..self }
    }

    /// The pixel of a placed value.
    pub(super) fn px(&self, placed: f64) -> f64 {
        self.from + (placed - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// Whether a placed value lies on the axis.
    pub(super) fn shows(&self, placed: f64) -> bool {
        (self.low..=self.high).contains(&placed)
    }

    /// Ticks with their labels: multiples of 1, 2 or 5 times a power of ten; on a logarithmic axis whole decades,
    /// or 1, 2 and 5 of each where there are few.
    pub(super) fn ticks(&self, about: usize) -> Vec<(f64, String)> {
        match self.scale {
            Scale::Linear => {
                let step = round_step((self.high - self.low) / about as f64);
                let decimals = (-step.log10().floor()).clamp(0.0, 12.0) as usize;
                let first = (self.low / step).ceil() as i64;
                let last = (self.high / step).floor() as i64;
                let ticks = (first..=last).map(|k| k as f64 * step);
                ticks
                    .map(|t| (t, format!("{t:.decimals$}").replace('-', "−")))
                    .collect()
            }
            Scale::Log => {
                let decades = self.low.floor() as i32..=self.high.ceil() as i32;
                let every = (((self.high - self.low) / about as f64).ceil() as i32).max(1);
                let parts: &[f64] = if self.high - self.low < 2.5 {
                    &[1.0, 2.0, 5.0]
                } else {
                    &[1.0]
                };
                let ticks = decades.filter(|d| d.rem_euclid(every) == 0).flat_map(|d| {
                    parts
                        .iter()
                        .map(move |part| (part.log10() + f64::from(d), significant(part * 10f64.powi(d))))
                });
                ticks.filter(|(t, _)| self.shows(*t)).collect()
            }
        }
    }

    /// The axis drawn horizontally below `bottom`, with grid lines up to `top`.
    pub(super) fn below(&self, top: f64, bottom: f64, name: &str) -> Markup {
        html! {
            g stroke="currentColor" stroke-opacity="0.14" {
                @for (tick, _) in self.ticks(6) {
                    line x1=(px(self.px(tick))) x2=(px(self.px(tick))) y1=(px(top)) y2=(px(bottom)) {}
                }
            }
            @for (tick, text) in self.ticks(6) { (label(self.px(tick), bottom + 17.0, "middle", &text)) }
            g font-size="13" { (label((self.from + self.to) / 2.0, bottom + 38.0, "middle", name)) }
        }
    }

    /// The axis drawn vertically left of `left`, with grid lines up to `right`.
    pub(super) fn beside(&self, left: f64, right: f64, name: &str) -> Markup {
        let middle = (self.from + self.to) / 2.0;
        let turned = format!("rotate(-90 {} {})", px(left - 46.0), px(middle));
        html! {
            g stroke="currentColor" stroke-opacity="0.14" {
                @for (tick, _) in self.ticks(5) {
                    line x1=(px(left)) x2=(px(right)) y1=(px(self.px(tick))) y2=(px(self.px(tick))) {}
                }
            }
            @for (tick, text) in self.ticks(5) { (label(left - 8.0, self.px(tick) + 4.0, "end", &text)) }
            g font-size="13" transform=(turned) { (label(left - 46.0, middle, "middle", name)) }
        }
    }
}

/// The next larger of 1, 2, 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0]
        .map(|m| m * power)
        .into_iter()
        .find(|s| *s >= step * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let axis = Axis::over([0.43, 0.97], (0.0, 100.0)).unwrap();
        let texts: Vec<String> = axis.ticks(6).into_iter().map(|t| t.1).collect();
        assert_eq!(texts, ["0.5", "0.6", "0.7", "0.8", "0.9"]);
        let axis = Axis::over([-4.0, -1.0], (0.0, 100.0)).unwrap().scaled(Scale::Log);
        let texts: Vec<String> = axis.ticks(6).into_iter().map(|t| t.1).collect();
        assert_eq!(texts, ["0.0001", "0.001", "0.01", "0.1"]);
    }

    proptest! {
        #[test]
        fn ticks_stay_few_and_on_the_axis(low in -1e6f64..1e6, range in 1e-9f64..1e6, about in 2usize..10) {
            let axis = Axis::over([low, low + range], (0.0, 500.0)).unwrap();
            let ticks = axis.ticks(about);
            prop_assert!(ticks.len() <= about + 1);
            for (tick, _) in ticks {
                prop_assert!(axis.px(tick) >= -1e-3 && axis.px(tick) <= 500.001);
            }
        }

        #[test]
        fn pixels_keep_the_order(a in -1e3f64..1e3, b in -1e3f64..1e3) {
            let axis = Axis::over([a, b, 0.0], (10.0, 400.0)).unwrap();
            prop_assert_eq!(a <= b, axis.px(a) <= axis.px(b));
        }
    }
}
