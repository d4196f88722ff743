//! The negative control: screens made of control cells alone go through the tests that real responses go through.

use anyhow::Result;
use ndarray::{Array2, ArrayView2, s};
use rand::seq::SliceRandom;
use rayon::prelude::*;
use scfm_baselines::{IncrementalParams, NullTest, ScoredCandidates, null_battery};
use scfm_core::{Column, CountMatrix, EdgeKind, EdgeMatrix, GeneId, GeneTable, Layer, Seeds, Table};
use scfm_perturb::{DeParams, GeneNulls, PseudoGroups, top_responders};
use scfm_stats::wilson;

use super::Workbench;
use crate::evidence::{gene_table, names, read_panel, table};
use crate::run_folder::RunFolder;

/// Level at which rejections are counted.
const NOMINAL: f64 = 0.05;
/// Groups of a screen, more than tests over perturbations need; and the fewest cells of a group.
const GROUPS: usize = 30;
const FEWEST_CELLS: usize = 8;
/// Genes that are said to respond to a group, as a share of the panel; and the fewest and the most.
const RESPONDING: f64 = 0.05;
const FEWEST_MOST: (usize, usize) = (5, 100);
/// Names the random streams.
const PURPOSE: &str = "pseudo-screens";

/// How control cells are made a screen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deal {
    /// Each non-targeting guide is a perturbation; what is random is which gene it is said to perturb.
    Guides,
    /// Cells are dealt out at random too, within no batch or guide.
    Random,
}

impl Deal {
    const ALL: [Self; 2] = [Self::Guides, Self::Random];

    fn as_str(self) -> &'static str {
        match self {
            Self::Guides => "non-targeting guides",
            Self::Random => "random control cells",
        }
    }
}

/// Which genes are said to respond.
#[derive(Clone, Copy)]
enum Labels {
    /// Those with the largest |statistic|.
    Largest,
    /// Those whose |statistic| is largest among its gene's own, so that no kind of gene is preferred.
    WithinGene,
}

impl Labels {
    const ALL: [Self; 2] = [Self::Largest, Self::WithinGene];

    fn as_str(self) -> &'static str {
        match self {
            Self::Largest => "largest |z|",
            Self::WithinGene => "largest |z| for the gene",
        }
    }
}

impl Workbench<'_> {
    /// Rejection rates of the tests over perturbations on screens in which nothing happened.
    pub(super) fn pseudo_screens(&self, run: &RunFolder) -> Result<Vec<String>> {
        let parameters = self.parameters();
        let panel = read_panel(run)?;
        let attention = self.stored_edges(run, self.scored_kind())?;
        let correlation = self.stored_edges(run, EdgeKind::Spearman)?;
        let features = gene_table(&table(run, names::FEATURES)?)?;

        // Cells that edges come from take no part where there are others: shared noise would pass for signal.
        let controls = self.assignments.controls();
        let held_out: Vec<usize> = match self.controls.shared {
            true => controls.clone(),
            false => controls
                .iter()
                .copied()
                .filter(|row| self.controls.edges.binary_search(row).is_err())
                .collect(),
        };
        let step = held_out.len().div_ceil(self.batch_cells(&panel)).max(1);
        let rows: Vec<usize> = held_out.into_iter().step_by(step).collect();
        let cells = self.read(&rows, &self.genes.map.onto(&panel))?;
        let strata = self.strata.as_ref().map(|strata| strata.of_rows(&rows));
        let guides = self
            .guides
            .as_ref()
            .map(|guides| rows.iter().map(|&row| guides[row].clone()).collect::<Vec<_>>());
        let [main, _] = self.de_params();
        let k = ((RESPONDING * panel.len() as f64).round() as usize).clamp(FEWEST_MOST.0, FEWEST_MOST.1);
        // Two thirds of the cells at most are in groups, the others are what they are compared with.
        let size = (rows.len() * 2 / 3 / GROUPS).clamp(FEWEST_CELLS, main.min_cells.max(FEWEST_CELLS));
        let main = DeParams {
            min_cells: FEWEST_CELLS.min(main.min_cells),
            ..main
        };
        let battery = Battery {
            size,
            cells,
            strata,
            attention,
            correlation,
            features,
            de: main,
            k,
            classes: (parameters.min_positives, parameters.min_negatives),
            incremental: IncrementalParams {
                n_folds: parameters.folds,
                n_two_way: 1,
                n_over_perturbations: 1,
                ..IncrementalParams::default()
            },
            seeds: self.seeds,
        };
        let n = parameters.pseudo_screens;
        let random: Vec<Array2<f64>> = (0..n)
            .into_par_iter()
            .map(|index| battery.random_statistics(index as u64))
            .collect::<Result<_>>()?;
        let nulls = GeneNulls::of(&random);
        let by_guide = match &guides {
            Some(guides) => Some(battery.statistics(&PseudoGroups::of_guides(guides, size))?),
            None => None,
        };
        let mut rates: Vec<Rate> = Vec::new();
        for (deal, labels) in Deal::ALL
            .into_iter()
            .flat_map(|deal| Labels::ALL.map(|labels| (deal, labels)))
        {
            if by_guide.is_none() && deal == Deal::Guides {
                continue;
            }
            let bar = self.progress.bar(deal.as_str(), n);
            let one = |index: usize| {
                let statistics = match (deal, &by_guide) {
                    (Deal::Guides, Some(statistics)) => statistics,
                    _ => &random[index],
                };
                let tests = match labels {
                    Labels::Largest => battery.screen(statistics.view(), deal, index as u64),
                    Labels::WithinGene => {
                        let purpose = format!("{}: ties", deal.as_str());
                        let mut ties = battery.seeds.stream(PURPOSE, &purpose, index as u64);
                        let quantiles = nulls.quantiles(statistics.view(), &mut ties);
                        battery.screen(quantiles.view(), deal, index as u64)
                    }
                };
                bar.add(1);
                tests
            };
            let screens: Vec<Vec<NullTest>> = (0..n).into_par_iter().map(one).collect::<Result<_>>()?;
            bar.finish();
            rates.extend(rates_of(deal, labels, &screens));
        }
        self.write(run, names::PSEUDO_SCREENS, &rate_table(&rates)?)?;
        Ok(vec![names::PSEUDO_SCREENS.to_owned()])
    }

    /// The edges that are judged.
    fn scored_kind(&self) -> EdgeKind {
        match self.source.list() {
            Some(_) => EdgeKind::Listed,
            None => EdgeKind::attention(Layer(self.layer)),
        }
    }

    fn stored_edges(&self, run: &RunFolder, kind: EdgeKind) -> Result<EdgeMatrix> {
        Ok(scfm_io::read_edges(&run.file(names::edges(kind)))?.0)
    }
}

/// What every screen has in common.
struct Battery {
    cells: CountMatrix,
    /// Cells of a group.
    size: usize,
    strata: Option<Vec<Option<u32>>>,
    attention: EdgeMatrix,
    correlation: EdgeMatrix,
    features: GeneTable,
    de: DeParams,
    /// Genes that are said to respond to a group.
    k: usize,
    classes: (usize, usize),
    incremental: IncrementalParams,
    seeds: Seeds,
}

impl Battery {
    fn statistics(&self, groups: &PseudoGroups) -> Result<Array2<f64>> {
        Ok(groups.statistics(&self.cells, self.strata.as_deref(), self.de)?)
    }

    /// The statistics of groups dealt out at random.
    fn random_statistics(&self, index: u64) -> Result<Array2<f64>> {
        let mut stream = self.seeds.stream(PURPOSE, "cells", index);
        let groups = PseudoGroups::at_random(self.cells.n_cells(), GROUPS, self.size, &mut stream);
        self.statistics(&groups)
    }

    /// The tests of one screen; none where it cannot be evaluated at all.
    fn screen(&self, statistics: ArrayView2<'_, f64>, deal: Deal, index: u64) -> Result<Vec<NullTest>> {
        let panel = self.cells.genes();
        let mut genes: Vec<GeneId> = panel.genes().to_vec();
        let purpose = format!("{}: genes", deal.as_str());
        genes.shuffle(&mut self.seeds.stream(PURPOSE, &purpose, index));
        let n = statistics.nrows().min(genes.len());
        let responses = top_responders(statistics.slice(s![..n, ..]), &genes[..n], panel, self.k)?;
        let candidates = ScoredCandidates::new(
            &responses,
            &self.attention,
            &self.correlation,
            &self.features,
            self.classes.0,
            self.classes.1,
        );
        match candidates {
            Ok(candidates) => Ok(null_battery(&candidates, &self.incremental, self.seeds)?),
            Err(scfm_baselines::Error::Stats(scfm_stats::Error::Undefined(_))) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}

/// How often a test rejected.
struct Rate {
    deal: Deal,
    labels: Labels,
    id: &'static str,
    n_screens: usize,
    n_decided: u64,
    n_rejected: u64,
    /// Of the rejections, those with an effect above its null value.
    n_above: u64,
}

fn rates_of(deal: Deal, labels: Labels, screens: &[Vec<NullTest>]) -> Vec<Rate> {
    let tests = screens.iter().find(|tests| !tests.is_empty());
    let ids = tests.into_iter().flatten().map(|test| test.id);
    ids.map(|id| {
        let outcomes = || {
            let tests = screens.iter().flatten().filter(|test| test.id == id);
            tests.filter_map(|test| test.outcome.as_ref().ok())
        };
        let rejected = || outcomes().filter(|(p, _)| *p < NOMINAL);
        Rate {
            deal,
            labels,
            id,
            n_screens: screens.len(),
            n_decided: outcomes().count() as u64,
            n_rejected: rejected().count() as u64,
            n_above: rejected().filter(|(_, above)| *above).count() as u64,
        }
    })
    .collect()
}

fn rate_table(rates: &[Rate]) -> Result<Table> {
    let interval = |n: u64, rate: &Rate| wilson(n, rate.n_decided, 1.0 - NOMINAL).ok();
    let number = |of: &dyn Fn(&Rate) -> f64| Column::numbers(rates.iter().map(of));
    Ok(Table::new(rates.len())
        .with("screens", Column::text(rates.iter().map(|r| r.deal.as_str())))?
        .with(
            "responders",
            Column::text(rates.iter().map(|r| r.labels.as_str())),
        )?
        .with("test", Column::text(rates.iter().map(|r| r.id)))?
        .with("n_screens", Column::counts(rates.iter().map(|r| r.n_screens)))?
        .with(
            "n_decided",
            Column::counts(rates.iter().map(|r| r.n_decided as usize)),
        )?
        .with(
            "n_rejected",
            Column::counts(rates.iter().map(|r| r.n_rejected as usize)),
        )?
        .with("rate", number(&|r| r.n_rejected as f64 / r.n_decided as f64))?
        .with(
            "ci_low",
            number(&|r| interval(r.n_rejected, r).map_or(f64::NAN, |i| i.low)),
        )?
        .with(
            "ci_high",
            number(&|r| interval(r.n_rejected, r).map_or(f64::NAN, |i| i.high)),
        )?
        .with(
            "n_above",
            Column::counts(rates.iter().map(|r| r.n_above as usize)),
        )?
        .with(
            "above_low",
            number(&|r| interval(r.n_above, r).map_or(f64::NAN, |i| i.low)),
        )?)
}
