use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::page::head;
use super::tables::data_table;
use crate::{CalibratedTest, Calibration, Curve, Effect, curves, forest};

/// Tests that say each criterion of the verdict, whose power is drawn.
const DRAWN: [&str; 7] = [
    "perturbation-first/attention-vs-correlation",
    "gene-baselines/variance-vs-attention",
    "incremental-value/delta-attention",
    "hard-generalisation/delta-trees-joint",
    "residualisation/residual-attention",
    "degree-null/curveball",
    "ablation-dose/trend",
];

/// The page of a trial on simulated worlds.
pub(crate) fn calibration_page(calibration: &Calibration) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head("the battery on trial"))
            body {
                a.skip href="#verdicts" { "Skip to the verdicts" }
                nav aria-label="Contents" {
                    p.brand { "scfm-audit" }
                    ol {
                        li { a href="#verdicts" { "Verdicts" } }
                        li { a href="#level" { "Where the null hypothesis holds" } }
                        li { a href="#power" { "Power" } }
                        li { a href="#all" { "All tests" } }
                    }
                }
                main {
                    header {
                        p.kicker { "How often is the battery wrong?" }
                        h1 { "The battery on worlds whose truth is known" }
                        p.banner role="note" { "Simulated data: nothing here is biology." }
                        dl.facts {
                            @for (name, value) in &calibration.facts { div { dt { (name) } dd { (value) } } }
                        }
                    }
                    (verdicts(calibration))
                    (level(calibration))
                    (power(calibration))
                    section id="all" {
                        h2 { "All tests" }
                        (data_table("Rejections at p ≤ 0.05. Click a heading to sort.", &calibration.to_table()))
                    }
                }
                script { (PreEscaped(include_str!("report.js"))) }
            }
        }
    }
}

fn verdicts(calibration: &Calibration) -> Markup {
    html! {
        section id="verdicts" {
            h2 { "Verdicts" }
            p { "What the verdict and its criteria said of the networks of each kind of world. It must fail all but the regulatory one." }
            div.scroll {
                table {
                    thead { tr {
                        th scope="col" { "world" }
                        th scope="col" { "strength" }
                        th scope="col" { "model" }
                        th scope="col" { "judged by" }
                        th scope="col" { "pass" }
                        th scope="col" { "fail" }
                        th scope="col" { "undecided" }
                    } }
                    tbody { @for row in &calibration.verdicts { tr {
                        th scope="row" { (row.world) }
                        td.number { (row.strength) " %" }
                        td { (row.family) }
                        td { @if row.criterion.is_empty() { strong { "verdict" } } @else { "(" (row.criterion) ")" } }
                        td.number { (row.pass) }
                        td.number { (row.fail) }
                        td.number { (row.undecided) }
                    } } }
                }
            }
        }
    }
}

/// Names of tests in a row.
fn ids(tests: &[&CalibratedTest]) -> String {
    let ids: Vec<&str> = tests.iter().map(|test| test.id.as_str()).collect();
    ids.join(", ")
}

fn level(calibration: &Calibration) -> Markup {
    let above = calibration.above_level();
    let effects: Vec<Effect> = calibration
        .tests
        .iter()
        .filter_map(|test| {
            let null = test.null.as_ref().filter(|null| null.ran > 0)?;
            let interval = null.interval()?;
            Some(Effect {
                name: test.id.clone(),
                estimate: null.rate() - test.level,
                ci: Some(scfm_stats::Interval {
                    low: interval.low - test.level,
                    high: interval.high - test.level,
                    ..interval
                }),
            })
        })
        .collect();
    html! {
        section id="level" {
            h2 { "Where the null hypothesis holds" }
            p {
                @if above.is_empty() {
                    "No test rejects more often than its level where its null hypothesis holds, as far as can be told (exact \
                     binomial tests, Holm over all tests)."
                } @else {
                    (above.len()) " tests reject more often than their level (exact binomial tests, Holm over all tests): "
                    (ids(&above)) "."
                }
            }
            figure {
                (PreEscaped(forest(&effects, "rejection rate − level", None).svg().to_owned()))
                figcaption { "Rejections at p ≤ 0.05 in the world where the null hypothesis of the test holds, with Wilson intervals, less the level: 0.05, or 0.025 of tests that claim a gain, of which gains are counted" }
            }
        }
    }
}

fn power(calibration: &Calibration) -> Markup {
    let falling = calibration.falling_power();
    let drawn: Vec<Curve<'_>> = DRAWN
        .iter()
        .filter_map(|id| calibration.test(id))
        .map(|test| Curve {
            name: test.id.split_once('/').map_or(&test.id, |(_, name)| name),
            points: test
                .alternative
                .iter()
                .map(|it| (f64::from(it.strength), it.power()))
                .collect(),
        })
        .collect();
    html! {
        section id="power" {
            h2 { "Power" }
            p {
                @if falling.is_empty() {
                    "No test finds less where more is planted, as far as can be told (Fisher's exact tests between neighbouring \
                     strengths, Holm over all)."
                } @else {
                    (falling.len()) " tests find less where more is planted (Fisher's exact tests between neighbouring strengths, Holm \
                     over all): "
                    (ids(&falling)) "."
                }
            }
            figure {
                (PreEscaped(curves(&drawn, "strength of what is planted, %", "share of all worlds in which it rejects at 5 %").svg().to_owned()))
                figcaption { "How often tests that the verdict rests on see what is there" }
            }
        }
    }
}
