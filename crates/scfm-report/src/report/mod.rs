//! The report: one HTML file that needs no network.

mod analyses;
mod calibration;
mod comparison;
mod page;
mod tables;

pub(crate) use calibration::calibration_page;
pub(crate) use comparison::comparison_page;
use scfm_core::{Ledger, Table};

use crate::{CorrectedRegistry, Figure, Plan, Verdict};

/// Everything that a report shows.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was evaluated.
    pub meta: Meta,
    /// A warning above everything else, such as that the data are simulated.
    pub banner: Option<String>,
    /// The verdict.
    pub verdict: Verdict,
    /// What was lost on the way from the files to what was evaluated.
    pub ledger: Ledger,
    /// Tables and figures by analysis; the tests of an analysis are added from the registry.
    pub sections: Vec<Section>,
    /// All tests.
    pub registry: CorrectedRegistry,
}

/// What was evaluated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// The title: `RPE1, CRISPRi`.
    pub title: String,
    /// Facts in the order in which they are shown: model, data, cells, orientation, seed, versions.
    pub facts: Vec<(String, String)>,
}

/// What an analysis shows beside its tests.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// The id of the analysis.
    pub analysis: String,
    /// Its contents from top to bottom.
    pub blocks: Vec<Block>,
}

/// A piece of a section.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    /// A paragraph.
    Text(String),
    /// A table.
    Table {
        /// What it holds.
        caption: String,
        /// Its columns.
        table: Table,
    },
    /// A figure.
    Figure {
        /// What it shows.
        caption: String,
        /// The drawing.
        figure: Figure,
    },
    /// What was lost on the way into this analysis.
    Ledger(Ledger),
}

impl Report {
    /// The report as one HTML document. Every string is escaped; the same report gives the same bytes.
    ///
    /// Titles and questions of analyses come from `plan`; a section whose analysis it does not hold is shown at the
    /// end under its id.
    pub fn render(&self, plan: &Plan) -> String {
        page::page(self, plan).into_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::registry;
    use crate::{ScoreSet, Thresholds, auroc_distributions};
    use scfm_core::Column;

    fn report(simulated: bool) -> Report {
        let registry = registry(
            &[
                ("perturbation-first/attention-above-chance", 0.7, 1e-5),
                ("gene-baselines/variance-vs-attention", 0.1, 0.0),
            ],
            &[("perturbation-first/n-evaluable", 49.0)],
        );
        let mut ledger = Ledger::new();
        ledger.lost(
            "perturbations",
            "fewer than 30 cells",
            3,
            ["<script>alert(1)</script>"],
        );
        let rows = 250;
        let table = Table::new(rows)
            .with("auroc", Column::numbers((0..rows).map(|i| i as f64 / 3.0)))
            .unwrap();
        Report {
            meta: Meta {
                title: "RPE1 <i>CRISPRi</i>".to_owned(),
                facts: vec![("model".to_owned(), "a & b".to_owned())],
            },
            banner: simulated.then(|| "Simulated data".to_owned()),
            verdict: Verdict::reach(&registry, &Thresholds::default(), simulated),
            ledger,
            sections: vec![Section {
                analysis: "perturbation-first".to_owned(),
                blocks: vec![
                    Block::Text("x < y".to_owned()),
                    Block::Table {
                        caption: "AUROC per perturbation".to_owned(),
                        table,
                    },
                    Block::Figure {
                        caption: "Spread".to_owned(),
                        figure: auroc_distributions(&[ScoreSet {
                            name: "attention",
                            values: &[0.6, 0.8],
                        }]),
                    },
                ],
            }],
            registry,
        }
    }

    #[test]
    fn every_string_is_escaped() {
        let html = report(true).render(Plan::embedded());
        for raw in ["<script>alert", "<i>CRISPRi", "a & b", "x < y"] {
            assert!(!html.contains(raw), "{raw}");
        }
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        let html = report(true).render(Plan::embedded());
        for loader in ["src=", "<link", "@import", "url(", "fetch("] {
            assert!(!html.contains(loader), "{loader}");
        }
        let hosts: Vec<&str> = html
            .split("http")
            .skip(1)
            .filter(|s| !s.starts_with("://www.w3.org/2000/svg"))
            .collect();
        assert_eq!(hosts, [] as [&str; 0]);
    }

    #[test]
    fn the_banner_shows_only_when_there_is_one() {
        assert!(report(true).render(Plan::embedded()).contains("class=\"banner\""));
        assert!(
            !report(false)
                .render(Plan::embedded())
                .contains("class=\"banner\"")
        );
    }

    #[test]
    fn every_planned_test_and_criterion_is_shown() {
        let report = report(false);
        let html = report.render(Plan::embedded());
        for test in Plan::embedded().tests() {
            assert!(html.contains(&format!("id=\"{}\"", test.id)), "{}", test.id);
        }
        for criterion in &report.verdict.criteria {
            assert!(html.contains(criterion.id.question()));
        }
        assert!(
            html.contains("&lt; 1e-300"),
            "p-values that underflow are said to be small, not 0"
        );
    }

    #[test]
    fn every_family_is_shown_with_what_rests_on_it() {
        let registry = registry(
            &[
                ("perturbation-first/attention-above-chance", 0.7, 0.03),
                ("gene-baselines/variance-vs-attention", 0.1, 1e-6),
                ("gene-baselines/mean-vs-attention", 0.1, 0.9),
                ("gene-baselines/detection-vs-attention", 0.1, 0.8),
            ],
            &[],
        );
        let html = Report {
            registry,
            ..report(false)
        }
        .render(Plan::embedded());
        for (_, name, _) in report(false).registry.correction().families() {
            assert!(html.contains(name), "{name}");
        }
        assert!(html.contains("1 of 2 primary conclusions (50 %) are the same in all three families."));
        assert!(html.contains(
            "Those that change: <a href=\"#perturbation-first/attention-above-chance\">\
             perturbation-first/attention-above-chance</a>."
        ));
        let nothing = crate::Registry::declare(Plan::embedded(), "rpe1").correct(0.05);
        let html = Report {
            registry: nothing,
            ..report(false)
        }
        .render(Plan::embedded());
        assert!(html.contains("No primary test has a p-value."));
    }

    #[test]
    fn long_tables_are_cut_and_say_so() {
        let html = report(false).render(Plan::embedded());
        assert!(html.contains("The first 200 of 250 rows"));
    }

    #[test]
    fn the_same_report_gives_the_same_bytes() {
        assert_eq!(
            report(true).render(Plan::embedded()),
            report(true).render(Plan::embedded())
        );
    }

    #[test]
    fn a_section_of_an_unknown_analysis_is_not_lost() {
        let mut report = report(false);
        report.sections.push(Section {
            analysis: "something-new".to_owned(),
            blocks: vec![Block::Text("found on the way".to_owned())],
        });
        let html = report.render(Plan::embedded());
        assert!(html.contains("something-new") && html.contains("found on the way"));
    }
}
