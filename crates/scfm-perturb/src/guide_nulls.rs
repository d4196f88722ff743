use std::collections::BTreeMap;

use rayon::prelude::*;
use scfm_core::{Column, CountMatrix, Ledger, Table};
use scfm_stats::{Error as StatsError, Interval, TestResult, clopper_pearson, one_sample_t};

use crate::de_table::table;
use crate::{DeParams, DeTable, DeTest, Error, Screen};

/// Level of the uncorrected tests that are counted, and of the intervals' complement.
const NOMINAL: f64 = 0.05;

/// A guide without target, tested as if it had one: whatever is found is false.
#[derive(Debug, Clone, PartialEq)]
pub struct GuideNull {
    /// The guide.
    pub guide: String,
    /// Its cells that were compared.
    pub n_cells: usize,
    /// Control cells with other guides.
    pub n_controls: usize,
    /// Genes with a test, of those that any of the cells expresses.
    pub n_genes: usize,
    /// Genes with p below 0.05.
    pub n_nominal: usize,
    /// Genes with q below the level of the screen.
    pub n_discoveries: usize,
    /// Genes called positive, by q and |LFC|.
    pub n_positive: usize,
}

impl GuideNull {
    /// Share of genes with p below 0.05; `NaN` without genes. 0.05 is expected.
    pub fn nominal_rate(&self) -> f64 {
        self.n_nominal as f64 / self.n_genes as f64
    }

    /// The Clopper-Pearson interval of that share, 95 %, **as if genes were independent**. Genes of a cell rise and
    /// fall together, so that it is too narrow; the spread over guides ([`GuideNulls::rate`]) is the honest one.
    pub fn nominal_interval(&self) -> Option<Interval> {
        clopper_pearson(self.n_nominal as u64, self.n_genes as u64, 1.0 - NOMINAL).ok()
    }
}

/// Non-targeting guides, each tested against the others.
#[derive(Debug, Clone)]
pub struct GuideNulls {
    /// The test.
    pub test: DeTest,
    /// Whether cells were compared within strata.
    pub stratified: bool,
    /// The guides in alphabetical order.
    pub guides: Vec<GuideNull>,
    /// Guides and cells that were left out.
    pub ledger: Ledger,
}

impl GuideNulls {
    /// The mean over guides of the share of genes with p below 0.05, and the t test over guides that it is 0.05;
    /// effect and interval are of the mean minus 0.05. Guides are the units: correlation among genes widens the spread over guides and so the interval. What
    /// guides share, the other guides' cells, is small beside their own noise where there are many guides.
    ///
    /// # Errors
    /// Those of [`one_sample_t`], undefined below two guides.
    pub fn rate(&self) -> Result<TestResult, StatsError> {
        let rates: Vec<f64> = self.guides.iter().map(GuideNull::nominal_rate).collect();
        one_sample_t(&rates, NOMINAL)
    }

    /// How many guides have a gene that passes the correction, with the Clopper-Pearson interval of their share, 95 %.
    /// A correction that holds its level makes that happen for at most that level's share of guides, however
    /// genes depend on each other: where nothing is true, the false discovery rate is the chance of any discovery.
    pub fn with_discoveries(&self) -> (usize, Option<Interval>) {
        let n = self.guides.iter().filter(|guide| guide.n_discoveries > 0).count();
        (
            n,
            clopper_pearson(n as u64, self.guides.len() as u64, 1.0 - NOMINAL).ok(),
        )
    }

    /// One row per guide and way of testing: `guide, test, stratified, n_cells, n_controls, n_genes, n_nominal,
    /// nominal_rate, nominal_low, nominal_high, n_discoveries, n_positive`; the interval takes genes for independent.
    pub fn table_of(nulls: &[Self]) -> Table {
        let rows: Vec<(&Self, &GuideNull)> = nulls
            .iter()
            .flat_map(|nulls| nulls.guides.iter().map(move |guide| (nulls, guide)))
            .collect();
        let count = |of: fn(&GuideNull) -> usize| Column::counts(rows.iter().map(|(_, guide)| of(guide)));
        let number = |of: fn(&GuideNull) -> f64| Column::numbers(rows.iter().map(|(_, guide)| of(guide)));
        let columns = [
            ("guide", Column::text(rows.iter().map(|(_, guide)| &guide.guide))),
            (
                "test",
                Column::text(rows.iter().map(|(nulls, _)| nulls.test.as_str())),
            ),
            (
                "stratified",
                Column::flags(rows.iter().map(|(nulls, _)| nulls.stratified)),
            ),
            ("n_cells", count(|guide| guide.n_cells)),
            ("n_controls", count(|guide| guide.n_controls)),
            ("n_genes", count(|guide| guide.n_genes)),
            ("n_nominal", count(|guide| guide.n_nominal)),
            ("nominal_rate", number(GuideNull::nominal_rate)),
            (
                "nominal_low",
                number(|guide| guide.nominal_interval().map_or(f64::NAN, |i| i.low)),
            ),
            (
                "nominal_high",
                number(|guide| guide.nominal_interval().map_or(f64::NAN, |i| i.high)),
            ),
            ("n_discoveries", count(|guide| guide.n_discoveries)),
            ("n_positive", count(|guide| guide.n_positive)),
        ];
        table(rows.len(), columns)
    }

    /// The mean rate over guides, its interval and the guides with a discovery, in words.
    pub fn in_words(&self) -> String {
        let within = if self.stratified { " within strata" } else { "" };
        let test = self.test.as_str();
        let (n_found, _) = self.with_discoveries();
        let n = self.guides.len();
        match self.rate() {
            Ok(rate) => {
                let interval = rate.ci.map_or_else(String::new, |ci| {
                    format!(
                        " (95 % interval over guides {:.3} to {:.3})",
                        NOMINAL + ci.low,
                        NOMINAL + ci.high
                    )
                });
                format!(
                    "{test}{within}: {:.3} of genes have p < {NOMINAL}{interval}; {n_found} of {n} guides have a \
                     discovery after correction",
                    NOMINAL + rate.effect
                )
            }
            Err(reason) => format!("{test}{within}: {reason}"),
        }
    }
}

/// Tests each non-targeting guide against the cells of the others, as [`Screen`] tests a perturbation against the
/// control cells: the share of genes that it finds is the share of false positives of a screen like this one, with
/// its depth, its genes and its batches. A guide's own cells are not among its controls.
///
/// `cells` are control cells over the panel, `guides` their guides; with `strata` the test is the stratified one.
/// Guides with fewer than `params.min_cells` cells are counted and serve as controls only; cells without a guide are
/// left out. Where fewer than two guides remain, the result has none.
///
/// # Errors
/// As [`Screen::stratified`].
///
/// # Panics
/// When there is not one guide, or stratum, per cell.
pub fn guide_nulls(
    cells: &CountMatrix,
    guides: &[Option<String>],
    strata: Option<&[Option<u32>]>,
    params: DeParams,
) -> Result<GuideNulls, Error> {
    assert_eq!(guides.len(), cells.n_cells(), "a guide for each cell");
    let mut rows: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (row, guide) in guides.iter().enumerate() {
        if let Some(guide) = guide {
            rows.entry(guide).or_default().push(row);
        }
    }
    let mut ledger = Ledger::new();
    let n_unnamed = guides.iter().filter(|guide| guide.is_none()).count();
    ledger.lost(
        "control cells",
        "no guide named",
        n_unnamed as u64,
        [] as [&str; 0],
    );
    let few = rows.iter().filter(|(_, rows)| rows.len() < params.min_cells);
    let few: Vec<_> = few
        .map(|(guide, rows)| format!("{guide} ({})", rows.len()))
        .collect();
    let reason = format!(
        "fewer than {} cells, controls of the others only",
        params.min_cells
    );
    ledger.lost("non-targeting guides", reason, few.len() as u64, few);

    let tested: Vec<_> = rows
        .iter()
        .filter(|(_, rows)| rows.len() >= params.min_cells)
        .collect();
    let called: Vec<(GuideNull, Ledger)> = if rows.len() < 2 {
        Vec::new()
    } else {
        tested
            .into_par_iter()
            .map(|(guide, own)| {
                let others: Vec<usize> = (0..guides.len())
                    .filter(|&row| guides[row].as_deref().is_some_and(|other| other != *guide))
                    .collect();
                let table = call(cells, guide, own, &others, strata, params)?;
                Ok((null_of(guide, others.len(), &table), table.ledger().clone()))
            })
            .collect::<Result<_, Error>>()?
    };
    let mut nulls = Vec::new();
    for (null, of_guide) in called {
        match null {
            null if null.n_cells > 0 => nulls.push(null),
            _ => ledger.extend(of_guide),
        }
    }
    ledger.kept("non-targeting guides", nulls.len() as u64);
    Ok(GuideNulls {
        test: params.test,
        stratified: strata.is_some(),
        guides: nulls,
        ledger,
    })
}

fn call(
    cells: &CountMatrix,
    guide: &str,
    own: &[usize],
    others: &[usize],
    strata: Option<&[Option<u32>]>,
    params: DeParams,
) -> Result<DeTable, Error> {
    let controls = cells.select_cells(others);
    let of_guide = cells.select_cells(own);
    let mut screen;
    match strata {
        None => {
            screen = Screen::new(&controls, params)?;
            screen.add(&[(guide.into(), of_guide)])?;
        }
        Some(strata) => {
            let of = |rows: &[usize]| rows.iter().map(|&row| strata[row]).collect::<Vec<_>>();
            screen = Screen::stratified(&controls, &of(others), params)?;
            screen.add_stratified(&[(guide.into(), of_guide, of(own))])?;
        }
    }
    screen.finish()
}

/// The counts of a table of one guide; no cells where it was left out.
fn null_of(guide: &str, n_controls: usize, table: &DeTable) -> GuideNull {
    let n_cells = table.n_cells().first().copied().unwrap_or(0);
    let genes = if n_cells > 0 { table.genes().len() } else { 0 };
    let count = |is: &dyn Fn(usize) -> bool| (0..genes).filter(|&gene| is(gene)).count();
    GuideNull {
        guide: guide.to_owned(),
        n_cells,
        n_controls,
        n_genes: count(&|gene| table.is_expressed(0, gene) && !table.p()[[0, gene]].is_nan()),
        n_nominal: count(&|gene| table.p()[[0, gene]] < NOMINAL),
        n_discoveries: count(&|gene| table.q()[[0, gene]] < table.params().alpha),
        n_positive: count(&|gene| table.is_positive(0, gene)),
    }
}
