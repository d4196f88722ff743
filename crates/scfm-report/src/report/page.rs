use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::tables::{data_table, registry_table};
use super::{Report, analyses};
use crate::{Outcome, Plan, VerdictOutcome};

pub(super) fn page(report: &Report, plan: &Plan) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(&report.meta.title))
            body {
                a.skip href="#verdict" { "Skip to the verdict" }
                (contents(report, plan))
                main {
                    (header(report))
                    (verdict(report))
                    (statements(report))
                    (not_evaluated(report, plan))
                    (analyses::sections(report, plan))
                    (registry(report))
                    (footer())
                }
                script { (PreEscaped(include_str!("report.js"))) }
            }
        }
    }
}

/// What a browser must know of a page before it shows it.
pub(super) fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { "scfm-audit: " (title) }
            style { (PreEscaped(include_str!("report.css"))) }
        }
    }
}

/// The badge of an outcome: a word and a sign, so that colour alone says nothing.
pub(super) fn badge(outcome: VerdictOutcome) -> Markup {
    let sign = match outcome {
        VerdictOutcome::Pass => "✓",
        VerdictOutcome::Fail => "✕",
        VerdictOutcome::Undecided => "?",
    };
    html! { span class={ "badge " (outcome.as_str()) } { span aria-hidden="true" { (sign) } " " (outcome.as_str()) } }
}

fn contents(report: &Report, plan: &Plan) -> Markup {
    html! {
        nav aria-label="Contents" {
            p.brand { "scfm-audit" }
            ol {
                li { a href="#verdict" { "Verdict" } }
                li { a href="#statements" { "What may be said" } }
                li { a href="#not-evaluated" { "What was not evaluated" } }
                @for analysis in analyses::shown(report, plan) {
                    li.sub { a href={ "#" (analysis.id) } { (analysis.title) } }
                }
                li { a href="#registry" { "All tests" } }
            }
        }
    }
}

fn header(report: &Report) -> Markup {
    let ran = report
        .registry
        .rows()
        .iter()
        .filter(|r| r.measured().is_some())
        .count();
    let correction = report.registry.correction();
    html! {
        header {
            p.kicker { "Is the gene network in this model's attention real?" }
            h1 { (report.meta.title) }
            @if let Some(banner) = &report.banner { p.banner role="note" { (banner) } }
            div.summary {
                (badge(report.verdict.outcome))
                p { (report.verdict.sentence()) }
            }
            dl.facts {
                @for (name, value) in &report.meta.facts { div { dt { (name) } dd { (value) } } }
                div {
                    dt { "tests" }
                    dd { (ran) " of " (report.registry.rows().len()) " planned tests ran" }
                }
                div {
                    dt { "correction" }
                    dd {
                        (correction.confirmatory.significant) " of " (correction.confirmatory.tests)
                        " confirmatory tests significant (Benjamini-Hochberg, α = " (correction.alpha) ")"
                    }
                }
            }
        }
    }
}

fn verdict(report: &Report) -> Markup {
    html! {
        section id="verdict" {
            h2 { "Verdict" }
            p.lead { "A network passes only if all four criteria hold." }
            @for criterion in &report.verdict.criteria {
                article.criterion {
                    h3 { span.letter { (criterion.id.as_str()) } (criterion.id.question()) (badge(criterion.outcome)) }
                    p { (criterion.reason) }
                    details {
                        summary { "rests on " (criterion.tests.len()) " tests" }
                        ul.tests { @for test in &criterion.tests { li { a href={ "#" (test) } { (test) } } } }
                    }
                }
            }
        }
    }
}

fn statements(report: &Report) -> Markup {
    let list = |class: &str, heading: &str, statements: &[String], none: &str| {
        html! {
            div class=(class) {
                h3 { (heading) }
                @if statements.is_empty() { p.muted { (none) } }
                ul { @for statement in statements { li { (statement) } } }
            }
        }
    };
    html! {
        section id="statements" {
            h2 { "What may be said" }
            div.columns {
                (list("may", "May be said", &report.verdict.may_say, "Nothing that was tested holds."))
                (list("may-not", "May not be said", &report.verdict.may_not_say, "Nothing is ruled out."))
            }
        }
    }
}

/// Tests without figures by reason, and what was lost between the files and the tests.
fn not_evaluated(report: &Report, plan: &Plan) -> Markup {
    // By status and reason: how many tests of which analysis, in the order of the plan.
    let mut reasons: BTreeMap<(&str, &str), Vec<(&str, usize)>> = BTreeMap::new();
    for row in report.registry.rows() {
        let key = match &row.outcome {
            Outcome::Ran(_) => continue,
            Outcome::Undefined { reason } => ("undefined", reason.as_str()),
            Outcome::NotRun { reason } => ("not run", reason.as_str()),
        };
        let id = row.planned.analysis();
        let title = plan.analysis(id).map_or(id, |a| a.title.as_str());
        let analyses = reasons.entry(key).or_default();
        match analyses.last_mut() {
            Some((last, n)) if *last == title => *n += 1,
            _ => analyses.push((title, 1)),
        }
    }
    let total = |analyses: &[(&str, usize)]| analyses.iter().map(|a| a.1).sum::<usize>();
    let missing: usize = reasons.values().map(|analyses| total(analyses)).sum();
    html! {
        section id="not-evaluated" {
            h2 { "What was not evaluated, and why" }
            p { (missing) " of " (report.registry.rows().len()) " planned tests have no result." }
            @if missing > 0 {
                div.scroll {
                    table {
                        caption { "Tests without a result, by reason. An undefined hypothesis counts with p = 1." }
                        thead { tr { @for name in ["status", "reason", "tests", "analyses"] { th scope="col" { (name) } } } }
                        tbody {
                            @for ((status, reason), analyses) in reasons.iter().rev() {
                                tr {
                                    td { (status) }
                                    td { (reason) }
                                    td.number { (total(analyses)) }
                                    td { @for (i, (title, n)) in analyses.iter().enumerate() {
                                        @if i > 0 { ", " } (title) " (" (n) ")"
                                    } }
                                }
                            }
                        }
                    }
                }
            }
            @if !report.ledger.steps().is_empty() {
                (data_table("What was left out on the way from the files to the tests", &report.ledger.to_table()))
            }
        }
    }
}

fn registry(report: &Report) -> Markup {
    let rows: Vec<_> = report.registry.rows().iter().collect();
    html! {
        section id="registry" {
            h2 { "All tests" }
            (families(report))
            (registry_table("Every planned test. Click a heading to sort.", &rows, true))
        }
    }
}

/// What each family and each procedure would have found, and whether it matters.
fn families(report: &Report) -> Markup {
    let correction = report.registry.correction();
    let changing: Vec<&str> = report
        .registry
        .rows()
        .iter()
        .filter(|row| row.stable == Some(false))
        .map(|row| row.planned.id.as_str())
        .collect();
    html! {
        div.scroll {
            table {
                caption {
                    "Significant tests at α = " (correction.alpha) " by family and procedure. Family A with \
                     Benjamini-Hochberg decides; the others show what rests on that choice."
                }
                thead {
                    tr {
                        th scope="col" { "family" }
                        th scope="col" { "tests" }
                        th scope="col" { "Benjamini-Hochberg" }
                        th scope="col" { "Benjamini-Yekutieli" }
                        th scope="col" { "Holm" }
                        th scope="col" { "Bonferroni" }
                    }
                }
                tbody {
                    @for (letter, name, family) in correction.families() {
                        tr {
                            th scope="row" { (letter) ": " (name) }
                            td.number { (family.tests) }
                            td.number {
                                @if letter == "A" { strong { (family.significant) } } @else { (family.significant) }
                            }
                            td.number { (family.benjamini_yekutieli) }
                            td.number { (family.holm) }
                            td.number { (family.bonferroni) }
                        }
                    }
                }
            }
        }
        p {
            @match correction.stable_share() {
                Some(share) => {
                    (correction.stable) " of " (correction.primary.tests) " primary conclusions ("
                    (format!("{:.0} %", 100.0 * share)) ") are the same in all three families."
                }
                None => "No primary test has a p-value."
            }
            @if !changing.is_empty() {
                " Those that change: "
                @for (i, test) in changing.iter().enumerate() {
                    @if i > 0 { ", " }
                    a href={ "#" (test) } { (test) }
                }
                "."
            }
        }
    }
}

fn footer() -> Markup {
    html! {
        footer {
            p {
                "AUROC: mean over perturbations of the probability that a responding gene outranks another one; 0.5 is chance. \
                 Crossed tests allow for every perturbation ranking the same genes; tests that take perturbations as \
                 independent are marked as published and decide nothing. q: p-value corrected by Benjamini-Hochberg over the \
                 confirmatory tests that ran. The method and the published figures are those of arXiv:2602.17532; published \
                 figures are shown for comparison and never computed with."
            }
        }
    }
}
