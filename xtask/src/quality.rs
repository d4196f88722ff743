//! Whether a screen is fit to judge by: do perturbations move their own genes, and do guides without target move none?

use anyhow::Result;
use scfm_core::{Column, Ledger, Table};
use scfm_perturb::{Direction, GuideNulls, KnockdownCheck, guide_nulls};
use scfm_report::{Block, Effect, forest};
use scfm_stats::Interval;

use crate::evidence::{names, read_panel, table};
use crate::record::RunRecord;
use crate::run_folder::RunFolder;
use crate::stages::Workbench;

const KNOCKDOWNS: &str = "knock-down checks";

/// Adds the result of the knock-down check to the ledger of perturbations, where [`facts`] finds it again.
pub fn note_knockdowns(ledger: &mut Ledger, check: KnockdownCheck, direction: Direction, alpha: f64) {
    let way = match direction {
        Direction::Down => "lower",
        Direction::Up => "higher",
    };
    ledger.lost(
        KNOCKDOWNS,
        format!("own gene not {way} than in control cells (p < {alpha})"),
        (check.n_measured - check.n_moved) as u64,
        [] as [&str; 0],
    );
    ledger.kept(KNOCKDOWNS, check.n_moved as u64);
}

impl Workbench<'_> {
    /// Each non-targeting guide as if it had a target, by both tests and with and without strata.
    pub fn guide_nulls(&self, run: &RunFolder) -> Result<Vec<String>> {
        let panel = &read_panel(run)?;
        let mut nulls = Vec::new();
        let mut ledger = Ledger::new();
        if let Some(guides) = &self.guides {
            let all = self.assignments.controls();
            // As many of the control cells as one batch may have.
            let step = all.len().div_ceil(self.batch_cells(panel)).max(1);
            let rows: Vec<usize> = all.iter().step_by(step).copied().collect();
            ledger.lost(
                "control cells",
                "beyond the memory that reading may take",
                (all.len() - rows.len()) as u64,
                [] as [&str; 0],
            );
            let cells = self.read(&rows, &self.genes.map.onto(panel))?;
            let guides: Vec<_> = rows.iter().map(|&row| guides[row].clone()).collect();
            let strata = self.strata.as_ref().map(|strata| strata.of_rows(&rows));
            self.progress
                .say(format!("testing non-targeting guides in {} cells", rows.len()));
            for params in self.de_params() {
                nulls.push(guide_nulls(&cells, &guides, None, params)?);
                if let Some(strata) = &strata {
                    nulls.push(guide_nulls(&cells, &guides, Some(strata), params)?);
                }
            }
            ledger.extend(nulls[0].ledger.clone());
            for nulls in &nulls {
                self.progress.say(nulls.in_words());
            }
        }
        self.write(run, names::GUIDE_NULLS, &GuideNulls::table_of(&nulls))?;
        self.write(run, names::GUIDE_LEDGER, &ledger.to_table())?;
        Ok([names::GUIDE_NULLS, names::GUIDE_LEDGER]
            .map(str::to_owned)
            .to_vec())
    }
}

/// What the head of the report says of the screen.
pub fn facts(run: &RunFolder, record: &RunRecord, ledger: &Ledger) -> Result<Vec<(&'static str, String)>> {
    let mut facts = Vec::new();
    let steps = || ledger.steps().iter().filter(|step| step.subject == KNOCKDOWNS);
    let moved: u64 = steps()
        .filter(|step| step.reason == "kept")
        .map(|step| step.count)
        .sum();
    let not: u64 = steps()
        .filter(|step| step.reason.starts_with("own gene not"))
        .map(|step| step.count)
        .sum();
    let filter = match record.context.parameters.min_knockdown {
        0.0 => String::new(),
        least => format!(
            "; those that moved it by less than {} % are left out",
            100.0 * least
        ),
    };
    facts.push((
        "Knock-down check",
        format!(
            "{moved} of {} perturbations with a measured gene moved it as expected{filter}",
            moved + not
        ),
    ));
    let nulls = summaries(&table(run, names::GUIDE_NULLS)?);
    let found: Vec<String> = nulls.iter().map(Summary::in_words).collect();
    facts.push((
        "Non-targeting guides",
        if found.is_empty() {
            "not named, so that the level of the tests was not checked on this screen".to_owned()
        } else {
            found.join("; ")
        },
    ));
    let rates = table(run, names::PSEUDO_SCREENS)
        .ok()
        .filter(|rates| rates.n_rows() > 0);
    if let Some(rates) = rates {
        facts.push(("Negative control", negative_control(&rates)));
    }
    Ok(facts)
}

/// The tests that reject more often than they may on screens in which nothing happened.
fn negative_control(rates: &Table) -> String {
    let cell = |row: usize, name: &str| rates.column(name).map(|c| c.display(row)).unwrap_or_default();
    let number = |row: usize, name: &str| match rates.column(name) {
        Some(Column::F64(values)) => values[row].unwrap_or(0.0),
        _ => 0.0,
    };
    let judged: Vec<(usize, bool)> = (0..rates.n_rows())
        .filter(|&row| cell(row, "n_decided") != "0")
        .filter_map(|row| {
            let limit = Limit::of(
                &cell(row, "screens"),
                &cell(row, "responders"),
                &cell(row, "test"),
            )?;
            let above = match limit {
                Limit::BothSides => number(row, "ci_low") > 0.05,
                Limit::Above => number(row, "above_low") > 0.025,
            };
            Some((row, above))
        })
        .collect();
    let too_often: Vec<String> = judged
        .iter()
        .filter(|(_, above)| *above)
        .map(|&(row, _)| {
            format!(
                "{} on {}, {} ({} of {} screens, {} with a gain)",
                cell(row, "test"),
                cell(row, "screens"),
                cell(row, "responders"),
                cell(row, "n_rejected"),
                cell(row, "n_decided"),
                cell(row, "n_above"),
            )
        })
        .collect();
    match (judged.len(), too_often.is_empty()) {
        (0, _) => "too few control cells for a screen of them that could be tested".to_owned(),
        (n, true) => format!(
            "on screens made of control cells none of {n} tests rejects more often than it may, beyond the interval of its rate"
        ),
        (n, false) => format!(
            "on screens made of control cells {} of {n} tests reject more often than they may, beyond the interval of the \
             rate: {}",
            too_often.len(),
            too_often.join("; ")
        ),
    }
}

/// How often a test may reject on screens in which nothing happened.
enum Limit {
    /// In 0.05 of them.
    BothSides,
    /// With an effect above 0 in 0.025 of them; with one below as often as it likes.
    Above,
}

impl Limit {
    /// That an edge adds to gene-level features is never so, though what is fitted to nothing costs a little on held-out
    /// data, so that a loss is true. All else holds where cells are dealt out at random and no kind of gene is preferred.
    fn of(screens: &str, responders: &str, test: &str) -> Option<Self> {
        if test.contains("/delta-") {
            return Some(Self::Above);
        }
        let none_preferred = screens.starts_with("random") && responders.ends_with("for the gene");
        none_preferred.then_some(Self::BothSides)
    }
}

/// Rejection rates on screens made of control cells.
fn negative_control_blocks(run: &RunFolder) -> Result<Vec<Block>> {
    let rates = table(run, names::PSEUDO_SCREENS)?;
    if rates.n_rows() == 0 {
        return Ok(Vec::new());
    }
    let column = |name: &str| match rates.column(name) {
        Some(Column::F64(values)) => values.iter().map(|v| v.unwrap_or(f64::NAN)).collect(),
        _ => vec![f64::NAN; rates.n_rows()],
    };
    let (rate, low, high) = (column("rate"), column("ci_low"), column("ci_high"));
    let text = |row: usize, name: &str| rates.column(name).map(|c| c.display(row)).unwrap_or_default();
    // The rows of one kind of screens stand together.
    let kind = |row: usize| (text(row, "screens"), text(row, "responders"));
    let rows: Vec<usize> = (0..rates.n_rows()).collect();
    let mut blocks = vec![Block::Text(
        "Screens in which nothing happened: control cells stand for perturbed ones, genes drawn at random for the perturbed \
         genes, and the genes that differ most by chance for responses. With few cells those are genes of a kind, which every \
         score finds that knows the kind: a test of one score, or of an edge score against a gene-level one, then rightly says \
         that its mean AUROC is not 0.5, or another. Where the genes are taken that differ most for their own kind and cells \
         are dealt out at random, no gene is preferred and each test must reject in 0.05 of the screens. That an edge adds to \
         gene-level features must never be found in more than 0.025; that it takes away may, since what is fitted to nothing \
         costs a little on held-out data. The naive test takes perturbations for independent. With guides \
         the cells stay the same and only the genes are drawn, so that the rates are those of this set of guides, and what \
         guides do to genes of a kind is in them."
            .to_owned(),
    )];
    for rows in rows.chunk_by(|&a, &b| kind(a) == kind(b)) {
        let effects: Vec<Effect> = rows
            .iter()
            .map(|&row| Effect {
                name: text(row, "test"),
                estimate: rate[row] - 0.05,
                ci: Some(Interval {
                    low: low[row] - 0.05,
                    high: high[row] - 0.05,
                    level: 0.95,
                }),
            })
            .collect();
        let (screens, responders) = kind(rows[0]);
        blocks.push(Block::Figure {
            caption: format!(
                "Rejection rate − 0.05 of each test on screens of {screens}, responses by {responders}, with Wilson's interval"
            ),
            figure: forest(&effects, "rejection rate − 0.05", None),
        });
    }
    blocks.push(Block::Table {
        caption: "Screens of control cells: how often each test rejects at 0.05".to_owned(),
        table: rates,
    });
    Ok(blocks)
}

/// The table of guides, where the screen names them.
pub fn blocks(run: &RunFolder) -> Result<Vec<Block>> {
    let mut blocks = negative_control_blocks(run)?;
    let table = table(run, names::GUIDE_NULLS)?;
    if table.n_rows() == 0 {
        return Ok(blocks);
    }
    let text = "Each non-targeting guide, tested against the others as if it had a target: 0.05 of genes should have \
                p < 0.05, and no more than 0.05 of guides a discovery after correction. Intervals take genes for \
                independent and are too narrow; the spread over guides counts.";
    blocks.extend([
        Block::Text(text.to_owned()),
        Block::Table {
            caption: "Non-targeting guides as perturbations".to_owned(),
            table,
        },
    ]);
    Ok(blocks)
}

/// The guides of one way of testing.
struct Summary {
    way: String,
    rates: Vec<f64>,
    n_with_discovery: usize,
}

impl Summary {
    fn in_words(&self) -> String {
        let mut sorted = self.rates.clone();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        let mean = sorted.iter().sum::<f64>() / n as f64;
        format!(
            "{}: {mean:.3} of genes with p < 0.05 (guides {:.3} to {:.3}), {} of {n} guides with a discovery",
            self.way,
            sorted[0],
            sorted[n - 1],
            self.n_with_discovery
        )
    }
}

fn summaries(table: &Table) -> Vec<Summary> {
    let mut summaries: Vec<Summary> = Vec::new();
    let cell = |row: usize, name: &str| table.column(name).map(|c| c.display(row)).unwrap_or_default();
    let Some(Column::F64(rates)) = table.column("nominal_rate") else {
        return summaries;
    };
    for (row, rate) in rates.iter().enumerate() {
        let within = if cell(row, "stratified") == "true" {
            " within strata"
        } else {
            ""
        };
        let way = format!("{}{within}", cell(row, "test"));
        if summaries.last().is_none_or(|last| last.way != way) {
            summaries.push(Summary {
                way,
                rates: Vec::new(),
                n_with_discovery: 0,
            });
        }
        if let (Some(last), Some(rate)) = (summaries.last_mut(), rate) {
            last.rates.push(*rate);
            last.n_with_discovery += usize::from(cell(row, "n_discoveries") != "0");
        }
    }
    summaries.retain(|summary| !summary.rates.is_empty());
    summaries
}
