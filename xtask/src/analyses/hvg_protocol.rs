//! `hvg-protocol`: does forcing perturbed genes into the panel change the comparison of attention with correlation?

use anyhow::Result;
use ndarray::Array2;
use scfm_core::{Column, Panel, Responses, Table};
use scfm_report::{Effect, forest};
use scfm_stats::{CrossedAuroc, CrossedLimits, Design, LabelledGrid, Undefined, crossed_contrast, defined};

use super::{Desk, test_of};
use crate::context::Parameters;
use crate::evidence::{Evidence, read_variable_genes};
use crate::run_folder::RunFolder;

pub const ID: &str = "hvg-protocol";

pub fn run(desk: &mut Desk<'_>) -> Result<()> {
    let mut rows: Vec<(String, Result<CrossedAuroc, Undefined>)> = Vec::new();
    for (context, id) in [
        ("k562", "hvg-protocol/k562"),
        ("rpe1", "hvg-protocol/rpe1-forced"),
    ] {
        let Some(protocol) = protocol_of(desk, context)? else {
            let reason = format!("needs a run of {context}, which evaluate --all brings");
            desk.registry.not_run(id, reason)?;
            continue;
        };
        let all = protocol.comparison(protocol.all_rows())?;
        desk.test(id, &test_of(&all), false)?;
        let name = if protocol.is_forced() {
            "perturbed genes forced in"
        } else {
            "variable genes only"
        };
        rows.push((format!("{context}: {name}"), all));
        if context == "rpe1" {
            restricted(desk, &protocol, &mut rows)?;
        }
    }
    desk.registry
        .not_run_rest(ID, "needs a run of rpe1, which evaluate --all brings")?;

    desk.say(
        "A perturbed gene that is no variable gene is weakly expressed as a rule; forced into the panel it becomes a source, \
         and a candidate target of all others. The restricted panel is the part of the forced one that is variable by itself, \
         with the same edges; the shift compares both on the perturbations that both can evaluate.",
    );
    let effects: Vec<Effect> = rows
        .iter()
        .filter_map(|(name, crossed)| {
            let crossed = crossed.as_ref().ok()?;
            Some(Effect {
                name: name.clone(),
                estimate: crossed.mean,
                ci: crossed.test.ci,
            })
        })
        .collect();
    if !effects.is_empty() {
        desk.show_figure(
            "Mean AUROC of attention − correlation by panel, with crossed 95 % intervals",
            forest(&effects, "difference of mean AUROC", None),
        );
    }
    let number = |of: fn(&CrossedAuroc) -> f64| {
        Column::numbers(rows.iter().map(|(_, c)| c.as_ref().map_or(f64::NAN, of)))
    };
    let table = Table::new(rows.len())
        .with("panel", Column::text(rows.iter().map(|(name, _)| name)))?
        .with("difference", number(|c| c.mean))?
        .with("standard_error", number(|c| c.standard_error))?
        .with("n_perturbations", number(|c| c.per_row.len() as f64))?;
    desk.keep_table("hvg_protocol", "Attention − correlation by panel", table)
}

/// The rows about the panel of variable genes alone.
fn restricted(
    desk: &mut Desk<'_>,
    protocol: &Protocol,
    rows: &mut Vec<(String, Result<CrossedAuroc, Undefined>)>,
) -> Result<()> {
    let perturbed = protocol.responses.perturbed();
    let natural = perturbed
        .genes()
        .iter()
        .filter(|gene| protocol.variable.contains(gene.as_str()))
        .count();
    let n = perturbed.len();
    match n {
        0 => desk
            .registry
            .undefined("hvg-protocol/natural-hvgs", "no perturbed gene is in the panel")?,
        _ => desk.figure(
            "hvg-protocol/natural-hvgs",
            Ok(natural as f64 / n as f64),
            None,
            Some(n),
            false,
        )?,
    }
    if !protocol.is_forced() {
        let reason = "the panel has no forced genes, so that both protocols are one";
        desk.registry.not_run("hvg-protocol/rpe1-restricted", reason)?;
        return Ok(desk
            .registry
            .not_run("hvg-protocol/forced-vs-restricted", reason)?);
    }
    let narrow = protocol.narrowed();
    let alone = narrow.comparison(narrow.all_rows())?;
    desk.test("hvg-protocol/rpe1-restricted", &test_of(&alone), false)?;
    let shift = protocol.shift(&narrow)?;
    desk.test("hvg-protocol/forced-vs-restricted", &test_of(&shift), false)?;
    rows.push(("rpe1: variable genes only".to_owned(), alone));
    rows.push(("rpe1: forced − variable only".to_owned(), shift));
    Ok(())
}

/// The protocol of a context, from this run or that of the context.
fn protocol_of(desk: &Desk<'_>, context: &str) -> Result<Option<Protocol>> {
    if desk.record.context.name == context {
        let parameters = &desk.record.context.parameters;
        return Ok(Some(Protocol::new(desk.evidence, desk.run, parameters)?));
    }
    desk.other(context)?
        .map(|other| Protocol::new(&other.evidence()?, &other.run, &other.record.context.parameters))
        .transpose()
}

/// Responses over a panel, with both scores of every pair.
struct Protocol {
    /// Candidates are those on which both scores are defined.
    responses: Responses,
    attention: Array2<f64>,
    correlation: Array2<f64>,
    /// The genes of the panel that are variable by themselves.
    variable: Panel,
    classes: (usize, usize),
}

impl Protocol {
    fn new(evidence: &Evidence, run: &RunFolder, parameters: &Parameters) -> Result<Self> {
        let mut responses = evidence.responses.clone();
        let (perturbed, targets) = (responses.perturbed().clone(), responses.targets().clone());
        let attention = evidence.scored_attention().align(&perturbed, &targets);
        let correlation = evidence
            .correlation
            .align(&perturbed, &targets)
            .mapv_into(f64::abs);
        responses.restrict_to_defined(&[attention.view(), correlation.view()]);
        Ok(Self {
            responses,
            attention,
            correlation,
            variable: read_variable_genes(run)?,
            classes: (parameters.min_positives.max(1), parameters.min_negatives.max(1)),
        })
    }

    fn is_forced(&self) -> bool {
        self.variable.len() < self.responses.targets().len()
    }

    fn all_rows(&self) -> Vec<usize> {
        self.responses.evaluable(self.classes.0, self.classes.1)
    }

    /// The same over the variable genes alone: others are neither perturbed genes nor candidates.
    fn narrowed(&self) -> Self {
        let variable = |panel: &Panel, i: usize| self.variable.contains(panel.gene(i).as_str());
        let mut responses = self.responses.clone();
        let (perturbed, targets) = (responses.perturbed().clone(), responses.targets().clone());
        let inside = Array2::from_shape_fn(self.attention.dim(), |(p, g)| {
            match variable(&perturbed, p) && variable(&targets, g) {
                true => 0.0,
                false => f64::NAN,
            }
        });
        responses.restrict_to_defined(&[inside.view()]);
        Self {
            responses,
            attention: self.attention.clone(),
            correlation: self.correlation.clone(),
            variable: self.variable.clone(),
            classes: self.classes,
        }
    }

    fn select(&self, rows: &[usize]) -> (Responses, Array2<f64>, Array2<f64>) {
        let axis = ndarray::Axis(0);
        (
            self.responses.select(rows),
            self.attention.select(axis, rows),
            self.correlation.select(axis, rows),
        )
    }

    /// Attention against correlation over some perturbations.
    fn comparison(&self, rows: Vec<usize>) -> Result<Result<CrossedAuroc, Undefined>> {
        contrast(&[(1.0, self.select(&rows))])
    }

    /// How the comparison differs from that of `narrow`, over the perturbations that both can evaluate.
    fn shift(&self, narrow: &Self) -> Result<Result<CrossedAuroc, Undefined>> {
        let here = self.all_rows();
        let rows: Vec<usize> = narrow
            .all_rows()
            .into_iter()
            .filter(|row| here.binary_search(row).is_ok())
            .collect();
        contrast(&[(1.0, self.select(&rows)), (-1.0, narrow.select(&rows))])
    }
}

type Selected = (Responses, Array2<f64>, Array2<f64>);

/// The weighted sum of differences attention − correlation.
fn contrast(parts: &[(f64, Selected)]) -> Result<Result<CrossedAuroc, Undefined>> {
    if parts
        .iter()
        .any(|(_, (responses, ..))| responses.perturbed().is_empty())
    {
        return Ok(Err(Undefined::TooFew {
            what: "evaluable perturbations",
            n: 0,
            needed: 1,
        }));
    }
    let mut designs = Vec::new();
    for (weight, (responses, attention, correlation)) in parts {
        let labels = LabelledGrid {
            positive: responses.positive(),
            candidate: responses.candidate(),
        };
        for (sign, scores) in [(1.0, attention), (-1.0, correlation)] {
            designs.push(Design {
                weight: weight * sign,
                scores: scores.view(),
                labels,
            });
        }
    }
    Ok(defined(crossed_contrast(&designs, &CrossedLimits::default()))?)
}
