//! What the analyses of ablation share: which conditions can be judged, and the rows that they fill.

use anyhow::Result;
use scfm_ablation::{Altered, EdgeEffect, EdgeEffectParams, MaskedDesign, TargetChanges, edge_effect};
use scfm_core::{Column, EdgeMatrix, Table};
use scfm_report::Thresholds;
use scfm_stats::{CrossedLimits, CrossedMean, TestResult, Undefined};

use super::{Desk, test_of};
use crate::ablation::{Ablation, INTACT, Seen};
use crate::model::SCGPT;

/// Why nothing of an analysis runs on a list.
pub const NO_MODEL: &str = "a list of edges has no model to silence parts of";

/// Series of interventions that disable parts in another way than silencing heads.
pub const ORTHOGONAL: [&str; 6] = [
    "uniform-top-5",
    "uniform-top-10",
    "uniform-random-10",
    "mlp-selected-layer",
    "mlp-band",
    "mlp-random-layer",
];

/// What an analysis of ablations judges, and how.
pub struct Bench {
    pub ablation: Ablation,
    pub intact: EdgeMatrix,
    pub params: EdgeEffectParams,
    min_fidelity: f64,
}

/// A row of the table of effects on edges.
pub struct EdgeRow {
    pub series: String,
    pub n_parts: usize,
    pub n_reaching: usize,
    pub fidelity: f64,
    pub effect: Option<EdgeEffect>,
    /// The same with perturbations alone held out, where heads are ranked.
    pub by_perturbations: Option<EdgeEffect>,
    pub reason: String,
}

impl Bench {
    pub fn open(desk: &Desk<'_>) -> Result<Self> {
        let ablation = Ablation::read(desk.run, &desk.evidence.panel)?;
        let parameters = &desk.record.context.parameters;
        Ok(Self {
            intact: ablation.edges(INTACT)?,
            ablation,
            params: EdgeEffectParams {
                min_positives: parameters.min_positives,
                min_negatives: parameters.min_negatives,
                equivalence: parameters.equivalence,
                limits: CrossedLimits::default(),
            },
            min_fidelity: Thresholds::default().min_fidelity,
        })
    }

    /// The conditions of a series, of one draw where it has several.
    fn conditions(&self, series: &str, draw: usize) -> Vec<&Seen> {
        let of_series = self.ablation.of_series(series);
        of_series
            .into_iter()
            .filter(|seen| seen.condition.draw.is_none_or(|of| of == draw))
            .collect()
    }

    /// Those that are large enough to be judged, or why none is.
    fn large_enough<'a>(&self, seen: Vec<&'a Seen>, series: &str) -> Result<Vec<&'a Seen>, String> {
        if seen.is_empty() {
            return Err(self.ablation.reason(series));
        }
        let largest = seen.iter().map(|seen| seen.largest).fold(0.0, f64::max);
        let large: Vec<&Seen> = seen
            .into_iter()
            .filter(|seen| seen.largest >= self.min_fidelity)
            .collect();
        if large.is_empty() {
            return Err(format!(
                "too small to judge: hidden states move by a cosine distance of {largest:.4} at most, and {} is needed",
                self.min_fidelity
            ));
        }
        Ok(large)
    }

    /// What a series does to the edges of the scored layer.
    pub fn edge_row(&self, desk: &Desk<'_>, series: &str, draw: usize) -> Result<EdgeRow> {
        let seen = self.conditions(series, draw);
        let first = seen.first();
        let mut row = EdgeRow {
            series: series.to_owned(),
            n_parts: first.map_or(0, |seen| seen.reach.1),
            n_reaching: seen.iter().map(|seen| seen.reach.0).max().unwrap_or(0),
            fidelity: seen.iter().map(|seen| seen.largest).fold(f64::NAN, f64::min),
            effect: None,
            by_perturbations: None,
            reason: String::new(),
        };
        if !seen.is_empty() && row.n_reaching == 0 {
            row.reason = format!(
                "acts at or above the scored layer {}: its attention cannot change",
                desk.record.layer
            );
            return Ok(row);
        }
        let judged = match self.large_enough(seen, series) {
            Ok(large) => large,
            Err(reason) => {
                row.reason = reason;
                return Ok(row);
            }
        };
        let judged: Vec<&Seen> = judged.into_iter().filter(|seen| seen.reach.0 > 0).collect();
        if judged.is_empty() {
            row.reason = "what reaches the scored layer is too small to judge".to_owned();
            return Ok(row);
        }
        let responses = &desk.evidence.responses;
        let judge = |altered| edge_effect(&self.intact, altered, responses, &self.params);
        let edges: Vec<EdgeMatrix> = judged
            .iter()
            .map(|seen| self.ablation.edges(&seen.condition.name()))
            .collect::<Result<_>>()?;
        if judged[0].condition.half.is_none() {
            row.effect = Some(judge(Altered::Whole(&edges[0]))?);
            return Ok(row);
        }
        let mut by_half = [None, None];
        for (seen, edges) in judged.iter().zip(&edges) {
            by_half[seen.condition.half.unwrap_or(0)] = Some(edges);
        }
        if judged.len() < 2 {
            row.reason = "one half only: in the other the ranked heads do not reach the layer, or are too small to judge".to_owned();
        }
        let of = |hold_out_targets| Altered::Halves {
            edges: by_half,
            halves: &self.ablation.halves,
            hold_out_targets,
        };
        row.effect = Some(judge(of(true))?);
        row.by_perturbations = Some(judge(of(false))?);
        Ok(row)
    }

    /// Registers what a series does to the edges, or why nothing can be said; returns its row.
    pub fn test_edges(&self, desk: &mut Desk<'_>, id: &str, series: &str, draw: usize) -> Result<EdgeRow> {
        let row = self.edge_row(desk, series, draw)?;
        match &row.effect {
            Some(effect) => desk.test(id, &test_of(&effect.difference), false)?,
            None => desk.registry.not_run(id, &row.reason)?,
        }
        Ok(row)
    }

    /// How harm at hidden genes is judged.
    pub fn design(&self, desk: &Desk<'_>) -> MaskedDesign<'_> {
        let evaluable = (self.params.min_positives, self.params.min_negatives);
        MaskedDesign::new(
            &desk.evidence.responses,
            &self.ablation.halves,
            evaluable,
            self.params.limits,
        )
    }

    /// Changes of the loss under a series, by half where heads are ranked; halves whose intervention is too small are left
    /// out. Or why there are none.
    pub fn changes(&self, series: &str, draw: usize) -> Result<TargetChanges, String> {
        if !self.ablation.predicts() {
            return Err("the model cannot be asked for hidden genes".to_owned());
        }
        let judged = self.large_enough(self.conditions(series, draw), series)?;
        Ok(of_seen(&judged))
    }

    /// The same whatever its size: a dose of many, of which the largest decides whether they can be judged.
    pub fn any_changes(&self, series: &str, draw: usize) -> Result<TargetChanges, String> {
        let seen = self.conditions(series, draw);
        if seen.is_empty() {
            return Err(self.ablation.reason(series));
        }
        Ok(of_seen(&seen))
    }

    /// Changes under each random set of a dose.
    pub fn random(&self, dose: usize) -> Vec<TargetChanges> {
        let series = format!("random-{dose}");
        let draws = self.ablation.of_series(&series);
        draws
            .iter()
            .map(|seen| TargetChanges::whole(seen.changes.clone()))
            .collect()
    }
}

fn of_seen(seen: &[&Seen]) -> TargetChanges {
    let missing = || seen[0].changes.mapv(|_| f64::NAN);
    match seen[0].condition.half {
        None => TargetChanges::whole(seen[0].changes.clone()),
        Some(_) => TargetChanges::of_halves([0, 1].map(|half| {
            let of_half = seen.iter().find(|seen| seen.condition.half == Some(half));
            of_half.map_or_else(missing, |seen| seen.changes.clone())
        })),
    }
}

/// The test of a mean harm.
pub fn harm_test(harm: &Result<CrossedMean, Undefined>) -> Result<TestResult, Undefined> {
    harm.as_ref().map(|mean| mean.test.clone()).map_err(Clone::clone)
}

/// What a loss at hidden genes is measured in.
pub fn loss_unit(desk: &Desk<'_>) -> &'static str {
    if desk.record.family == SCGPT {
        "squared bins"
    } else {
        "nats"
    }
}

/// Rows as a table.
pub fn edge_table(rows: &[EdgeRow]) -> Result<Table> {
    let numbers = |of: &dyn Fn(&EdgeRow) -> Option<f64>| {
        Column::numbers(rows.iter().map(|row| of(row).unwrap_or(f64::NAN)))
    };
    let difference = |row: &EdgeRow, of: &dyn Fn(&TestResult) -> Option<f64>| {
        test_of(&row.effect.as_ref()?.difference)
            .ok()
            .and_then(|test| of(&test))
    };
    Ok(Table::new(rows.len())
        .with("intervention", Column::text(rows.iter().map(|row| &row.series)))?
        .with("n_parts", Column::counts(rows.iter().map(|row| row.n_parts)))?
        .with(
            "n_reaching",
            Column::counts(rows.iter().map(|row| row.n_reaching)),
        )?
        .with("fidelity", numbers(&|row| Some(row.fidelity)))?
        .with(
            "n_perturbations",
            Column::counts(
                rows.iter()
                    .map(|row| row.effect.as_ref().map_or(0, |effect| effect.n)),
            ),
        )?
        .with(
            "auroc_intact",
            numbers(&|row| row.effect.as_ref()?.intact.clone().ok()),
        )?
        .with(
            "delta_auroc",
            numbers(&|row| difference(row, &|test| Some(test.effect))),
        )?
        .with(
            "ci_low",
            numbers(&|row| difference(row, &|test| Some(test.ci?.low))),
        )?
        .with(
            "ci_high",
            numbers(&|row| difference(row, &|test| Some(test.ci?.high))),
        )?
        .with("p", numbers(&|row| difference(row, &|test| Some(test.p.p()))))?
        .with(
            "naive_p",
            numbers(&|row| Some(row.effect.as_ref()?.naive.as_ref().ok()?.p.p())),
        )?
        .with(
            "delta_perturbations_only",
            numbers(&|row| Some(row.by_perturbations.as_ref()?.difference.as_ref().ok()?.mean)),
        )?
        .with("note", Column::text(rows.iter().map(|row| &row.reason)))?)
}
