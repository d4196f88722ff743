//! What several contexts say of the same hypotheses.

use std::fmt;

use scfm_core::{Column, Table};
use scfm_stats::{CombinedEffect, EffectKind, benjamini_hochberg, combine_effects};

use crate::number::{interval, p_value, significant};
use crate::{CorrectedRegistry, Family, Measured, PlannedTest, Verdict};

/// A run that takes part in a comparison.
#[derive(Debug, Clone)]
pub struct Compared {
    /// The context for people: `RPE1, CRISPRi`.
    pub title: String,
    /// Where its report lies, seen from the page.
    pub report: String,
    /// Whether its data were simulated.
    pub simulated: bool,
    /// Its registry.
    pub registry: CorrectedRegistry,
    /// Its verdict.
    pub verdict: Verdict,
}

/// Several contexts side by side, with one row for each hypothesis that two or more of them tested.
///
/// The rows are a family of their own: the combined p-values are corrected by Benjamini-Hochberg, whatever the families of the
/// runs.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The runs, in the order in which they are shown.
    pub runs: Vec<Compared>,
    /// The hypotheses, in the order of the plan.
    pub rows: Vec<ComparedRow>,
    /// False discovery rate of the family of combined tests.
    pub alpha: f64,
}

/// One hypothesis in several contexts.
#[derive(Debug, Clone)]
pub struct ComparedRow {
    /// The hypothesis.
    pub planned: PlannedTest,
    /// What each run found; none where it did not test it.
    pub found: Vec<Option<Found>>,
    /// The effects put together, or why they cannot be.
    pub combined: Result<CombinedEffect, String>,
    /// The combined p-value, corrected over the comparison.
    pub q: Option<f64>,
}

/// What one context found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// The effect.
    pub effect: f64,
    /// Its interval.
    pub ci: Option<(f64, f64)>,
    /// Corrected in its own run.
    pub q: Option<f64>,
    /// By that.
    pub significant: bool,
    /// Standard error of the effect, where it can be told from the test.
    error: Option<f64>,
}

impl ComparedRow {
    /// In how many contexts the effect is significant on the side of the combined one (of the first, where nothing is
    /// combined), and how many tested it.
    pub fn replicates(&self) -> (usize, usize) {
        let null = null_value(&self.planned.effect_kind);
        let found = || self.found.iter().flatten();
        let side = match &self.combined {
            Ok(combined) => combined.test.effect,
            Err(_) => found().next().map_or(0.0, |found| found.effect - null),
        };
        let agree = found().filter(|f| f.significant && (f.effect - null) * side > 0.0);
        (agree.count(), found().count())
    }

    /// The combined effect on the scale of the effects themselves, and its interval.
    pub fn combined_effect(&self) -> Option<(f64, Option<(f64, f64)>)> {
        let combined = self.combined.as_ref().ok()?;
        let null = null_value(&self.planned.effect_kind);
        let ci = combined.test.ci.map(|ci| (ci.low + null, ci.high + null));
        Some((combined.test.effect + null, ci))
    }
}

impl Comparison {
    /// Compares runs at the false discovery rate `alpha`.
    pub fn of(runs: Vec<Compared>, alpha: f64) -> Self {
        let mut rows: Vec<ComparedRow> = Vec::new();
        let plan = runs.first().map(|run| run.registry.rows()).unwrap_or_default();
        for planned in plan.iter().map(|row| &row.planned) {
            if planned.family != Family::Main {
                continue;
            }
            let found: Vec<Option<Found>> = runs
                .iter()
                .map(|run| {
                    let row = run.registry.row(&planned.id)?;
                    let measured = row.measured()?;
                    Some(Found {
                        effect: measured.effect,
                        ci: measured.ci,
                        q: row.q,
                        significant: row.significant == Some(true),
                        error: standard_error(measured),
                    })
                })
                .collect();
            if found.iter().flatten().count() >= 2 {
                let combined = combine(planned, &found);
                rows.push(ComparedRow {
                    planned: planned.clone(),
                    found,
                    combined,
                    q: None,
                });
            }
        }
        let combined = |row: &ComparedRow| row.combined.as_ref().ok().map(|c| c.test.p.p());
        let p: Vec<f64> = rows.iter().filter_map(combined).collect();
        let mut q = benjamini_hochberg(&p).into_iter();
        for row in &mut rows {
            row.q = row.combined.is_ok().then(|| q.next()).flatten();
        }
        Self { runs, rows, alpha }
    }

    /// One row per hypothesis and context, and one for what they say together (context `combined`): `test, hypothesis,
    /// context, effect, effect_kind, ci_low, ci_high, q, significant, n_significant, n_contexts, q_heterogeneity, p_heterogeneity,
    /// i_squared, tau_squared, reason`; `q_heterogeneity` is Cochran's Q.
    pub fn to_table(&self) -> Table {
        let mut lines: Vec<Line> = Vec::new();
        for row in &self.rows {
            for (run, found) in self.runs.iter().zip(&row.found) {
                if let Some(found) = found {
                    lines.push(Line {
                        row,
                        context: run.registry.context(),
                        effect: Some(found.effect),
                        ci: found.ci,
                        q: found.q,
                        significant: Some(found.significant),
                        combined: false,
                    });
                }
            }
            let effect = row.combined_effect();
            lines.push(Line {
                row,
                context: "combined",
                effect: effect.map(|(effect, _)| effect),
                ci: effect.and_then(|(_, ci)| ci),
                q: row.q,
                significant: row.q.map(|q| q <= self.alpha),
                combined: true,
            });
        }
        let text = |of: &dyn Fn(&Line) -> Option<String>| Column::Text(lines.iter().map(of).collect());
        let number = |of: &dyn Fn(&Line) -> Option<f64>| Column::F64(lines.iter().map(of).collect());
        let together = |of: fn(&CombinedEffect) -> f64| {
            number(&move |line| line.row.combined.as_ref().ok().filter(|_| line.combined).map(of))
        };
        let columns = [
            ("test", text(&|l| Some(l.row.planned.id.clone()))),
            ("hypothesis", text(&|l| Some(l.row.planned.hypothesis.clone()))),
            ("context", text(&|l| Some(l.context.to_owned()))),
            ("effect", number(&|l| l.effect)),
            ("effect_kind", text(&|l| Some(l.row.planned.effect_kind.clone()))),
            ("ci_low", number(&|l| l.ci.map(|ci| ci.0))),
            ("ci_high", number(&|l| l.ci.map(|ci| ci.1))),
            ("q", number(&|l| l.q)),
            (
                "significant",
                Column::Bool(lines.iter().map(|l| l.significant).collect()),
            ),
            (
                "n_significant",
                Column::counts(lines.iter().map(|l| l.row.replicates().0)),
            ),
            (
                "n_contexts",
                Column::counts(lines.iter().map(|l| l.row.replicates().1)),
            ),
            ("q_heterogeneity", together(|c| c.q)),
            ("p_heterogeneity", together(|c| c.p_heterogeneity.p())),
            ("i_squared", together(|c| c.i_squared)),
            ("tau_squared", together(|c| c.tau_squared)),
            (
                "reason",
                text(&|l| l.row.combined.as_ref().err().filter(|_| l.combined).cloned()),
            ),
        ];
        columns
            .into_iter()
            .fold(Table::new(lines.len()), |table, (name, column)| {
                table
                    .with(name, column)
                    .expect("the names differ and each column has a value per line")
            })
    }

    /// The comparison as one HTML document that needs no network.
    pub fn render(&self) -> String {
        crate::report::comparison_page(self).into_string()
    }
}

/// A line of the table.
struct Line<'a> {
    row: &'a ComparedRow,
    context: &'a str,
    effect: Option<f64>,
    ci: Option<(f64, f64)>,
    q: Option<f64>,
    significant: Option<bool>,
    combined: bool,
}

/// What an effect is when there is none.
fn null_value(effect_kind: &str) -> f64 {
    if effect_kind == EffectKind::Auroc.as_str() {
        0.5
    } else {
        0.0
    }
}

/// The standard error behind a test: its distance from the null over t where the statistic is one, else the half-width
/// of the interval over the normal quantile.
fn standard_error(measured: &Measured) -> Option<f64> {
    let distance = measured.effect - null_value(&measured.effect_kind);
    let of_t = measured
        .statistic
        .filter(|t| measured.method.contains(" t test") && t.abs() > 1e-6)
        .map(|t| distance / t);
    let of_interval = || measured.ci.map(|(low, high)| (high - low) / (2.0 * NORMAL_975));
    of_t.or_else(of_interval)
        .filter(|error| error.is_finite() && *error > 0.0)
}

const NORMAL_975: f64 = 1.959_963_984_540_054;

fn combine(planned: &PlannedTest, found: &[Option<Found>]) -> Result<CombinedEffect, String> {
    let kind = match planned.effect_kind.as_str() {
        "auroc" => EffectKind::Auroc,
        "delta_auroc" => EffectKind::DeltaAuroc,
        "correlation" => EffectKind::Correlation,
        "proportion" => EffectKind::Proportion,
        _ => EffectKind::MeanDifference,
    };
    let null = null_value(&planned.effect_kind);
    let effects: Vec<(f64, f64)> = found
        .iter()
        .flatten()
        .filter_map(|found| Some((found.effect - null, found.error?)))
        .collect();
    combine_effects(&effects, kind, "contexts").map_err(|reason| match effects.len() {
        0 | 1 => "no standard errors to weigh the effects by".to_owned(),
        _ => reason.to_string(),
    })
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for run in &self.runs {
            writeln!(f, "{}: {}", run.title, run.verdict.outcome.as_str())?;
        }
        let combined = self.rows.iter().filter(|row| row.combined.is_ok()).count();
        let found = self
            .rows
            .iter()
            .filter(|row| row.q.is_some_and(|q| q <= self.alpha));
        write!(
            f,
            "{} hypotheses tested in two contexts or more; {} of {combined} combined effects significant at a false discovery \
             rate of {}",
            self.rows.len(),
            found.clone().count(),
            self.alpha
        )?;
        for row in found {
            if let (Some((effect, ci)), Ok(combined), Some(q)) = (row.combined_effect(), &row.combined, row.q)
            {
                let ci = ci.map_or_else(String::new, |(low, high)| format!(" {}", interval(low, high)));
                write!(
                    f,
                    "\n  {}: {}{ci}, q = {}, I² = {:.0} %",
                    row.planned.id,
                    significant(effect),
                    p_value(q, q.ln()),
                    100.0 * combined.i_squared
                )?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Thresholds;
    use crate::testing::registry;

    const TEST: &str = "perturbation-first/attention-vs-correlation";

    fn compared(context: &str, results: &[(&str, f64, f64)]) -> Compared {
        let registry = registry(results, &[]);
        Compared {
            title: format!("{context} <cells>"),
            report: format!("../{context}/report.html"),
            simulated: false,
            verdict: Verdict::reach(&registry, &Thresholds::default(), false),
            registry,
        }
    }

    fn comparison(effects: &[(f64, f64)]) -> Comparison {
        let names = ["a", "b", "c", "d"];
        let runs = effects
            .iter()
            .zip(names)
            .map(|(&(effect, p), name)| compared(name, &[(TEST, effect, p)]));
        Comparison::of(runs.collect(), 0.05)
    }

    #[test]
    fn a_hypothesis_of_one_context_alone_is_not_compared() {
        assert!(comparison(&[(0.1, 0.01)]).rows.is_empty());
        let two = comparison(&[(0.1, 0.01), (0.2, 0.01)]);
        assert_eq!(two.rows.len(), 1);
        assert_eq!(two.rows[0].planned.id, TEST);
    }

    #[test]
    fn effects_of_one_sign_replicate_and_others_do_not() {
        assert_eq!(
            comparison(&[(0.1, 1e-6), (0.12, 1e-6), (0.11, 0.9)]).rows[0].replicates(),
            (2, 3)
        );
        let torn = comparison(&[(0.1, 1e-6), (-0.1, 1e-6), (0.1, 1e-6)]);
        assert_eq!(torn.rows[0].replicates(), (2, 3));
        let combined = torn.rows[0].combined.as_ref().unwrap();
        assert!(combined.i_squared > 0.9, "{}", combined.i_squared);
        assert!(combined.test.p.p() > 0.05);
    }

    #[test]
    fn the_table_has_a_line_for_each_context_and_one_for_all() {
        let table = comparison(&[(0.1, 1e-6), (0.12, 1e-6)]).to_table();
        assert_eq!(table.n_rows(), 3);
        let Some(Column::Text(contexts)) = table.column("context") else {
            panic!("no contexts");
        };
        assert_eq!(contexts[2].as_deref(), Some("combined"));
        let Some(Column::F64(i_squared)) = table.column("i_squared") else {
            panic!("no I²");
        };
        assert_eq!(i_squared[0], None);
        assert!(i_squared[2].is_some());
    }

    #[test]
    fn the_page_shows_every_context_and_hypothesis_and_escapes_them() {
        let comparison = comparison(&[(0.1, 1e-6), (0.12, 1e-6)]);
        let html = comparison.render();
        assert!(html.contains(TEST) && html.contains("a &lt;cells&gt;") && !html.contains("<cells>"));
        assert!(html.contains("../a/report.html"));
        assert_eq!(html, comparison.render());
        for loader in ["src=", "<link", "@import", "fetch("] {
            assert!(!html.contains(loader), "{loader}");
        }
    }

    #[test]
    fn nothing_to_compare_is_said() {
        let none = Comparison::of(Vec::new(), 0.05);
        assert!(none.to_string().contains("0 hypotheses"));
        assert!(none.render().contains("No hypothesis was tested in two contexts"));
    }
}
