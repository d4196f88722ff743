use maud::{DOCTYPE, Markup, PreEscaped, html};
use scfm_stats::Interval;

use super::page::{badge, head};
use crate::number::{interval, p_value, significant};
use crate::{Compared, ComparedRow, Comparison, Effect, forest};

/// The page that compares contexts.
pub(crate) fn comparison_page(comparison: &Comparison) -> Markup {
    let primary: Vec<&ComparedRow> = comparison.rows.iter().filter(|row| row.planned.primary).collect();
    html! {
        (DOCTYPE)
        html lang="en" {
            (head("contexts compared"))
            body {
                a.skip href="#contexts" { "Skip to the contexts" }
                nav aria-label="Contents" {
                    p.brand { "scfm-audit" }
                    ol {
                        li { a href="#contexts" { "Contexts" } }
                        li { a href="#hypotheses" { "All hypotheses" } }
                        @if !primary.is_empty() { li { a href="#primary" { "Primary hypotheses" } } }
                        @for row in &primary { li.sub { a href={ "#" (row.planned.analysis()) } { (row.planned.analysis()) } } }
                    }
                }
                main {
                    header {
                        p.kicker { "Which findings hold elsewhere?" }
                        h1 { (comparison.runs.len()) " contexts compared" }
                        @if comparison.runs.iter().any(|run| run.simulated) {
                            p.banner role="note" { "Simulated data among the contexts: nothing about them is biology." }
                        }
                    }
                    (contexts(&comparison.runs))
                    (hypotheses(comparison))
                    (figures(comparison, &primary))
                }
                script { (PreEscaped(include_str!("report.js"))) }
            }
        }
    }
}

fn contexts(runs: &[Compared]) -> Markup {
    html! {
        section id="contexts" {
            h2 { "Contexts" }
            div.scroll {
                table {
                    caption { "The verdict of each context and its four criteria" }
                    thead { tr {
                        th scope="col" { "context" }
                        th scope="col" { "verdict" }
                        @if let Some(run) = runs.first() {
                            @for criterion in &run.verdict.criteria { th scope="col" { "(" (criterion.id.as_str()) ")" } }
                        }
                        th scope="col" { "tests" }
                        th scope="col" { "significant" }
                    } }
                    tbody { @for run in runs {
                        @let correction = run.registry.correction();
                        tr {
                            th scope="row" {
                                a href=(run.report) { (run.title) }
                                @if run.simulated { " (simulated)" }
                            }
                            td { (badge(run.verdict.outcome)) }
                            @for criterion in &run.verdict.criteria { td { (badge(criterion.outcome)) } }
                            td.number { (correction.confirmatory.tests) }
                            td.number { (correction.confirmatory.significant) }
                        }
                    } }
                }
            }
        }
    }
}

fn hypotheses(comparison: &Comparison) -> Markup {
    html! {
        section id="hypotheses" {
            h2 { "All hypotheses" }
            @if comparison.rows.is_empty() { p.muted { "No hypothesis was tested in two contexts." } } @else {
                p {
                    "Effects of each context with what they say together: the random-effects mean with its Hartung-Knapp interval, \
                     and I², the share of their scatter that their errors do not explain. The combined tests are a family of \
                     their own, corrected by Benjamini-Hochberg at α = " (comparison.alpha) ". An effect replicates where its \
                     own context found it significant on the side of the mean. Bold: significant in its own run."
                }
                div.scroll {
                    table.sortable {
                        caption { "Click a heading to sort" }
                        thead { tr {
                            th scope="col" { "test" }
                            @for run in &comparison.runs { th scope="col" { (run.title) } }
                            th scope="col" { "together" }
                            th scope="col" { "q" }
                            th scope="col" { "I²" }
                            th scope="col" { "replicates" }
                        } }
                        tbody { @for row in &comparison.rows { (line(row)) } }
                    }
                }
            }
        }
    }
}

fn line(row: &ComparedRow) -> Markup {
    let (agree, tested) = row.replicates();
    html! {
        tr {
            th scope="row" title=(row.planned.hypothesis) { (row.planned.id) }
            @for found in &row.found {
                @match found {
                    Some(found) => td.number data-v=(found.effect) {
                        @if found.significant { strong { (significant(found.effect)) } } @else { (significant(found.effect)) }
                    },
                    None => td.muted { "–" },
                }
            }
            @match (row.combined_effect(), &row.combined) {
                (Some((effect, ci)), Ok(combined)) => {
                    td.number data-v=(effect) {
                        (significant(effect))
                        @if let Some((low, high)) = ci { " " (interval(low, high)) }
                    }
                    td.number data-v=[row.q] { @if let Some(q) = row.q { (p_value(q, q.ln())) } }
                    td.number data-v=(combined.i_squared) { (format!("{:.0} %", 100.0 * combined.i_squared)) }
                }
                (_, reason) => {
                    td.muted colspan="3" { (reason.as_ref().err().map_or("", String::as_str)) }
                }
            }
            td.number data-v=(agree) { (agree) " of " (tested) }
        }
    }
}

/// The primary hypothesis of each analysis as a forest of contexts.
fn figures(comparison: &Comparison, primary: &[&ComparedRow]) -> Markup {
    html! {
        @if !primary.is_empty() {
            section id="primary" {
                h2 { "Primary hypotheses" }
                @for row in primary {
                    article id=(row.planned.analysis()) {
                        h3 { (row.planned.id) }
                        p { (row.planned.hypothesis) }
                        figure {
                            (PreEscaped(forest(&effects(comparison, row), &measure(row), None).svg().to_owned()))
                        }
                    }
                }
            }
        }
    }
}

/// Effects as distances from the null, which a forest is drawn around.
fn effects(comparison: &Comparison, row: &ComparedRow) -> Vec<Effect> {
    let null = if row.planned.effect_kind == "auroc" {
        0.5
    } else {
        0.0
    };
    let effect = |name: &str, estimate: f64, ci: Option<(f64, f64)>| Effect {
        name: name.to_owned(),
        estimate: estimate - null,
        ci: ci.map(|(low, high)| Interval {
            low: low - null,
            high: high - null,
            level: 0.95,
        }),
    };
    let mut effects: Vec<Effect> = comparison
        .runs
        .iter()
        .zip(&row.found)
        .filter_map(|(run, found)| found.map(|found| effect(&run.title, found.effect, found.ci)))
        .collect();
    effects.extend(
        row.combined_effect()
            .map(|(estimate, ci)| effect("together", estimate, ci)),
    );
    effects
}

fn measure(row: &ComparedRow) -> String {
    match row.planned.effect_kind.as_str() {
        "auroc" => "AUROC − 0.5".to_owned(),
        "delta_auroc" => "difference of AUROC".to_owned(),
        kind => kind.replace('_', " "),
    }
}
