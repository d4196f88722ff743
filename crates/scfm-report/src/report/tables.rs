use maud::{Markup, html};
use scfm_core::{Column, Table};

use crate::number::{count, interval, p_value, significant};
use crate::{Calibration, Family, Measured, Outcome, Row};

/// More rows than this hide what a reader came for; the run folder holds them all.
const MOST_ROWS: usize = 200;

/// A table as people read it.
pub(super) fn data_table(caption: &str, table: &Table) -> Markup {
    let shown = table.n_rows().min(MOST_ROWS);
    html! {
        div.scroll {
            table.sortable {
                caption { (caption) }
                thead { tr { @for (name, _) in table.columns() { th scope="col" { (name) } } } }
                tbody {
                    @for row in 0..shown {
                        tr { @for (_, column) in table.columns() { (cell(column, row)) } }
                    }
                }
            }
        }
        @if shown < table.n_rows() {
            p.muted {
                "The first " (shown) " of " (count(table.n_rows() as u64)) " rows; the run folder holds all of them."
            }
        }
    }
}

fn cell(column: &Column, row: usize) -> Markup {
    match column {
        Column::F64(values) => number(values[row], &values[row].map(significant).unwrap_or_default()),
        Column::U64(values) => number(
            values[row].map(|n| n as f64),
            &values[row].map(count).unwrap_or_default(),
        ),
        Column::Bool(values) => {
            html! { td { @match values[row] { Some(true) => "yes", Some(false) => "no", None => "" } } }
        }
        Column::Text(values) => html! { td { (values[row].as_deref().unwrap_or_default()) } },
    }
}

/// A cell that sorts by its value rather than by its text.
fn number(value: Option<f64>, text: &str) -> Markup {
    html! { td.number data-v=[value] { (text) } }
}

/// The rows of the registry; the full table is where links to tests lead.
pub(super) fn registry_table(caption: &str, rows: &[&Row], full: bool) -> Markup {
    let wide = if full { "scroll" } else { "scroll whole" };
    html! {
        div class=(wide) {
            table.sortable.registry {
                caption { (caption) }
                thead {
                    tr {
                        th scope="col" { "test" }
                        th scope="col" { "effect" }
                        th scope="col" { "interval" }
                        th scope="col" { "p" }
                        th scope="col" { "q" }
                        th scope="col" { "n" }
                        th scope="col" { "published" }
                    }
                }
                tbody { @for row in rows { (registry_row(row, full)) } }
            }
        }
    }
}

fn registry_row(row: &Row, full: bool) -> Markup {
    let planned = &row.planned;
    let id = full.then_some(&planned.id);
    let class = match (row.measured().is_some(), row.significant) {
        (true, Some(true)) => "significant",
        (true, _) => "",
        (false, _) => "missing",
    };
    html! {
        tr id=[id] class=(class) {
            th scope="row" {
                span.test { (if full { &planned.id } else { short(&planned.id) }) }
                (family(planned.family))
                span.hypothesis { (planned.hypothesis) }
                (trial(&planned.id))
                @if full {
                    @let measured = row.measured();
                    span.hypothesis { "method: " (measured.map_or(&planned.method, |m| &m.method)) }
                    @if let Some(inputs) = measured.map(|m| &m.inputs).filter(|i| !i.is_empty()) { code { (inputs) } }
                }
            }
            @match row.measured() {
                Some(measured) => (figures(row, measured)),
                None => td colspan="5" { span.muted { (status(&row.outcome)) ": " (row.reason().unwrap_or_default()) } },
            }
            td { (planned.published.as_deref().unwrap_or_default()) }
        }
    }
}

/// How often the test rejects where nothing is there, as far as it was tried.
fn trial(id: &str) -> Markup {
    html! {
        @if let Some(null) = Calibration::embedded().null_of(id) {
            span.hypothesis {
                "rejected " (significant(100.0 * null.rate())) " % of " (null.ran) " " (null.world) " worlds"
            }
        }
    }
}

fn figures(row: &Row, measured: &Measured) -> Markup {
    let probability = |p: Option<f64>, ln_p: Option<f64>, strong: bool| {
        let text = p.zip(ln_p).map(|(p, ln_p)| p_value(p, ln_p)).unwrap_or_default();
        html! { td.number data-v=[ln_p] { @if strong { strong { (text) } } @else { (text) } } }
    };
    html! {
        td.number data-v=(measured.effect) {
            (significant(measured.effect)) " " span.kind { (effect_name(&measured.effect_kind)) }
        }
        td.number data-v=[measured.ci.map(|ci| ci.0)] { @if let Some((low, high)) = measured.ci { (interval(low, high)) } }
        (probability(measured.p, measured.ln_p, false))
        (probability(row.q, row.q.map(f64::ln), row.significant == Some(true)))
        td.number data-v=[measured.n] {
            @if let Some(n) = measured.n { (count(n)) " " span.kind { (measured.n_unit) } }
        }
    }
}

fn status(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Ran(_) => "ran",
        Outcome::Undefined { .. } => "undefined",
        Outcome::NotRun { .. } => "not run",
    }
}

fn family(family: Family) -> Markup {
    let tag = match family {
        Family::Main => return html! {},
        Family::None => "descriptive",
        Family::AsPublished => "as published, anti-conservative",
        Family::NullClaims => "claims a null",
        Family::Control => "control of the battery",
    };
    html! { span.tag { (tag) } }
}

/// A test id without its analysis.
fn short(id: &str) -> &str {
    id.split_once('/').map_or(id, |(_, test)| test)
}

/// The words of the registry as people write them.
fn effect_name(kind: &str) -> String {
    match kind {
        "auroc" => "AUROC".to_owned(),
        "delta_auroc" => "ΔAUROC".to_owned(),
        "auprc" => "AUPRC".to_owned(),
        "delta_auprc" => "ΔAUPRC".to_owned(),
        "delta_recall" => "Δrecall".to_owned(),
        "cohen_d" => "d".to_owned(),
        "r2" => "R²".to_owned(),
        "f1" => "F1".to_owned(),
        other => other.replace('_', " "),
    }
}
