use maud::{Markup, PreEscaped, html};

use super::tables::{data_table, registry_table};
use super::{Block, Report};
use crate::{Plan, PlannedAnalysis, Row};

/// The analyses that have something to show, in the order of the plan.
pub(super) fn shown<'a>(report: &'a Report, plan: &'a Plan) -> impl Iterator<Item = &'a PlannedAnalysis> {
    plan.analyses().iter().filter(|a| has_results(report, &a.id))
}

pub(super) fn sections(report: &Report, plan: &Plan) -> Markup {
    let unplanned = report
        .sections
        .iter()
        .filter(|s| plan.analysis(&s.analysis).is_none());
    let silent: Vec<_> = plan
        .analyses()
        .iter()
        .filter(|a| !has_results(report, &a.id))
        .collect();
    html! {
        @for analysis in shown(report, plan) { (section(report, analysis)) }
        @for section in unplanned {
            section id=(section.analysis) { h2 { (section.analysis) } (blocks(&section.blocks)) }
        }
        @if !silent.is_empty() {
            section id="silent" {
                h2 { "Analyses that did not run" }
                details {
                    summary { (silent.len()) " analyses without a result" }
                    ul {
                        @for analysis in silent {
                            li {
                                strong { (analysis.title) } ". " (analysis.question) " "
                                span.muted { (reasons(report, &analysis.id)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn has_results(report: &Report, id: &str) -> bool {
    report.sections.iter().any(|s| s.analysis == id)
        || report.registry.analysis(id).any(|r| r.measured().is_some())
}

/// The distinct reasons why an analysis has no result.
fn reasons(report: &Report, id: &str) -> String {
    let mut reasons: Vec<&str> = report.registry.analysis(id).filter_map(Row::reason).collect();
    reasons.dedup();
    reasons.join("; ")
}

fn section(report: &Report, analysis: &PlannedAnalysis) -> Markup {
    let rows: Vec<&Row> = report.registry.analysis(&analysis.id).collect();
    let content = report.sections.iter().filter(|s| s.analysis == analysis.id);
    html! {
        section id=(analysis.id) {
            p.kicker {
                (analysis.part)
                @if analysis.is_counted() { " · analysis " (analysis.number) " of 37" }
            }
            h2 { (analysis.title) }
            p.lead { (analysis.question) }
            (registry_table("Tests of this analysis", &rows, false))
            @for section in content { (blocks(&section.blocks)) }
        }
    }
}

fn blocks(blocks: &[Block]) -> Markup {
    html! {
        @for block in blocks {
            @match block {
                Block::Text(text) => p { (text) },
                Block::Table { caption, table } => (data_table(caption, table)),
                // A figure is made by this crate alone, which escapes every name in it.
                Block::Figure { caption, figure } => figure { (PreEscaped(figure.svg())) figcaption { (caption) } },
                Block::Ledger(ledger) => (data_table("What was left out on the way into this analysis", &ledger.to_table())),
            }
        }
    }
}
