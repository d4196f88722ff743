use maud::html;

use super::axis::Axis;
use super::{Figure, colour, fitted, label, note, px};
use crate::number::significant;

/// How much two groups differ in a covariate before and after they were matched, in standard deviations.
#[derive(Debug, Clone, PartialEq)]
pub struct CovariateBalance {
    /// Which covariate.
    pub name: String,
    /// Before matching.
    pub before: f64,
    /// After matching.
    pub after: f64,
}

const WIDTH: f64 = 800.0;
const LEFT: f64 = 270.0;
const RIGHT: f64 = 640.0;
const TOP: f64 = 34.0;
const ROW: f64 = 30.0;

/// Standardised mean differences before (rings) and after matching (dots); the band is taken for balance.
pub fn balance_plot(covariates: &[CovariateBalance], limit: f64) -> Figure {
    let alt = format!(
        "standardised mean differences of {} covariates before and after matching",
        covariates.len()
    );
    let known = |c: &&CovariateBalance| c.before.is_finite() && c.after.is_finite();
    let covariates: Vec<&CovariateBalance> = covariates.iter().filter(known).collect();
    let bottom = TOP + ROW * covariates.len().max(1) as f64 + 6.0;
    let height = bottom + 66.0;
    let ends = covariates.iter().flat_map(|c| [c.before, c.after]);
    let axis = Axis::over(ends.chain([-limit, limit]), (LEFT, RIGHT));
    let Some(axis) = axis.filter(|_| !covariates.is_empty()) else {
        return Figure::new(
            WIDTH,
            height,
            &alt,
            &label(WIDTH / 2.0, height / 2.0, "middle", "nothing to draw"),
        );
    };
    let (low, high, zero) = (axis.px(-limit), axis.px(limit), axis.px(0.0));
    let content = html! {
        rect x=(px(low)) y=(px(TOP)) width=(px(high - low)) height=(px(bottom - TOP)) fill="currentColor"
            fill-opacity="0.09" {}
        (axis.below(TOP, bottom, "standardised mean difference, responding − others"))
        line x1=(px(zero)) x2=(px(zero)) y1=(px(TOP - 4.0)) y2=(px(bottom)) stroke="currentColor" stroke-width="1.2" {}
        @for (i, covariate) in covariates.iter().enumerate() {
            @let y = TOP + ROW * (i as f64 + 0.6);
            @let (before, after) = (axis.px(covariate.before), axis.px(covariate.after));
            @let paint = colour(usize::from(covariate.after.abs() > limit));
            (label(LEFT - 14.0, y + 4.0, "end", &fitted(&covariate.name, 42)))
            line x1=(px(before)) x2=(px(after)) y1=(px(y)) y2=(px(y)) stroke="currentColor" stroke-opacity="0.4" {}
            circle cx=(px(before)) cy=(px(y)) r="5" fill="none" stroke="currentColor" stroke-width="1.5" {}
            circle cx=(px(after)) cy=(px(y)) r="5" fill=(paint) {}
            text x=(px(RIGHT + 14.0)) y=(px(y + 4.0)) font-variant-numeric="tabular-nums" { (numbers(covariate)) }
        }
        (note(LEFT, bottom + 60.0, "start",
            &format!("ring: before matching; dot: after; shaded: ± {}, taken for balance", significant(limit))))
    };
    Figure::new(WIDTH, height, &alt, &content)
}

fn numbers(covariate: &CovariateBalance) -> String {
    let round = |x: f64| significant((x * 1e3).round() / 1e3);
    format!("{} → {}", round(covariate.before), round(covariate.after))
}
