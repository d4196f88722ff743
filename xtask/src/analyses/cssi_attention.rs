//! `cssi-attention`: do edges that are scored inside cell states recover more of the reference, in cells, factors and targets
//! that did not choose how?

use std::collections::BTreeMap;

use anyhow::Result;
use ndarray::Array2;
use scfm_ablation::{HALVES, Halves};
use scfm_core::{Column, EdgeKind, Layer, Panel, Table};
use scfm_grn::CandidateUniverse;
use scfm_io::{read_edges, read_table};
use scfm_report::{Block, Curve, LayerAuroc, LayerProfile, PointGroup, curves, layer_profiles, scatter};
use scfm_stats::{
    CrossedAuroc, CrossedLimits, LabelledGrid, TestResult, Undefined, crossed_difference, defined,
    non_superiority, row_aurocs,
};

use super::{Desk, test_of};
use crate::evidence::names;
use crate::relations::universe;
use crate::stages::strata::{SCAN, StoredStrata, Variant};

pub const ID: &str = "cssi-attention";

/// The gain that is worth having; labels that mean nothing must stay below it.
const BOUND: f64 = 0.005;

pub fn run(desk: &mut Desk<'_>) -> Result<()> {
    let evidence = desk.evidence;
    let Some(reference) = &evidence.reference else {
        return Ok(desk.registry.not_run_rest(ID, "no reference network")?);
    };
    if !desk.run.file(names::STRATA).exists() {
        return Ok(desk.registry.not_run_rest(ID, "needs the model")?);
    }
    let universe = match universe(reference, &evidence.panel)? {
        Ok(universe) => universe,
        Err(reason) => return desk.undefined_all(ID, &reason),
    };
    let stored = StoredStrata::read(desk.run)?;
    let nobody = Panel::new(Vec::<String>::new())?;
    let halves = Halves::draw(&nobody, universe.tfs(), universe.targets(), desk.seeds(), ID);
    let trial = Trial {
        desk,
        universe: &universe,
        halves: &halves,
    };
    let every_layer: Vec<EdgeKind> = (0..trial.desk.record.n_layers)
        .map(|layer| EdgeKind::attention(Layer(layer)))
        .collect();
    let scored = [EdgeKind::attention(Layer(evidence.layer))];

    let chosen = trial.held_out("strata", &every_layer)?;
    let nulls = ["shuffled", "random", "permuted-genes"]
        .map(|name| trial.held_out(name, &scored))
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    let correlation = trial.held_out("strata", &[EdgeKind::Spearman])?;
    let scan: Vec<(usize, f64)> = SCAN
        .map(|n| {
            Ok(trial
                .gain_of_max(&format!("k{n}"), scored[0])?
                .map(|gain| (n, gain)))
        })
        .filter_map(Result::transpose)
        .collect::<Result<_>>()?;
    let profiles = trial.profiles(&every_layer)?;

    desk.test(&format!("{ID}/held-out-gain"), &test_of(&chosen.gain), true)?;
    for (id, null) in ["shuffled-labels", "random-labels", "permuted-genes"]
        .iter()
        .zip(&nulls)
    {
        let claim = null.gain.as_ref().map_err(Clone::clone).and_then(stays_below);
        desk.test(&format!("{ID}/{id}"), &claim, true)?;
    }
    let best = scan.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
    let best = best.map(|(n, _)| n as f64).ok_or(Undefined::TooFew {
        what: "numbers of strata",
        n: 0,
        needed: 1,
    });
    desk.figure(&format!("{ID}/best-strata"), best, None, Some(scan.len()), true)?;
    edge_discoveries(desk)?;

    say(desk, &stored, &chosen, &correlation);
    desk.keep_table(
        "cssi_held_out",
        "What was chosen on one half of cells, factors and targets, and what it gained on the other",
        held_out_table(&[
            ("strata", &chosen),
            ("strata, correlation", &correlation),
            ("shuffled labels", &nulls[0]),
            ("random labels", &nulls[1]),
            ("permuted genes", &nulls[2]),
        ])?,
    )?;
    show_profiles(desk, &profiles, &every_layer)?;
    if !scan.is_empty() {
        let points = scan.iter().map(|&(n, gain)| (n as f64, gain)).collect();
        desk.show_figure(
            "Gain of the largest score over strata against pooled edges by number of strata, scored layer, mean over both halves",
            curves(&[Curve { name: "max − pooled", points }], "strata", "ΔAUROC"),
        );
    }
    show_cells(desk)?;
    desk.blocks.push(Block::Ledger(universe.ledger().clone()));
    Ok(())
}

/// Edges of either half of the cells against the reference.
struct Trial<'a, 'b> {
    desk: &'a Desk<'b>,
    universe: &'a CandidateUniverse,
    halves: &'a Halves,
}

/// What was chosen on each half and judged on the other.
struct HeldOut {
    /// By the half that is judged: edges and variant.
    chosen: [Option<(EdgeKind, Variant)>; 2],
    /// Gain in the half that chose.
    training: [f64; 2],
    gain: Result<CrossedAuroc, Undefined>,
}

impl Trial<'_, '_> {
    /// Scores over the universe, NaN where the file or a pair is missing; magnitudes of correlations are stored.
    fn scores(
        &self,
        labels: &str,
        half: usize,
        variant: Variant,
        kind: EdgeKind,
    ) -> Result<Option<Array2<f64>>> {
        let file = self
            .desk
            .run
            .file(names::stratified(labels, half, variant.name(), kind));
        if !file.exists() {
            return Ok(None);
        }
        let (edges, _) = read_edges(&file)?;
        Ok(Some(edges.align(self.universe.tfs(), self.universe.targets())))
    }

    /// The candidates of a half that both scores have.
    fn candidates(&self, half: usize, scores: [&Array2<f64>; 2]) -> Array2<bool> {
        let (tfs, targets) = (self.universe.tfs(), self.universe.targets());
        let mut candidates = self.universe.candidate().to_owned();
        for ((row, target), candidate) in candidates.indexed_iter_mut() {
            let of_half = self.halves.of_pair(tfs.gene(row), targets.gene(target)) == Some(half);
            *candidate &= of_half && scores.iter().all(|scores| !scores[[row, target]].is_nan());
        }
        candidates
    }

    /// Mean over factors of the gain in AUROC on the pairs of a half.
    fn gain(&self, half: usize, variant: &Array2<f64>, pooled: &Array2<f64>) -> Result<f64> {
        let candidate = self.candidates(half, [variant, pooled]);
        let grid = LabelledGrid {
            positive: self.universe.positive(),
            candidate: candidate.view(),
        };
        let (a, b) = (
            row_aurocs(variant.view(), grid)?,
            row_aurocs(pooled.view(), grid)?,
        );
        let gains: Vec<f64> = a
            .iter()
            .zip(&b)
            .filter_map(|(a, b)| Some(a.as_ref().ok()? - b.as_ref().ok()?))
            .collect();
        Ok(gains.iter().sum::<f64>() / gains.len() as f64)
    }

    /// The edges and variant with the largest gain in one half, and their gain in the other, both ways.
    fn held_out(&self, labels: &str, kinds: &[EdgeKind]) -> Result<HeldOut> {
        let mut best: [Option<(EdgeKind, Variant)>; 2] = [None; 2];
        let mut training = [f64::NAN; 2];
        for judged in HALVES {
            let half = 1 - judged;
            for &kind in kinds {
                let Some(pooled) = self.scores(labels, half, Variant::Pooled, kind)? else {
                    continue;
                };
                for variant in Variant::STRATIFIED {
                    let Some(scores) = self.scores(labels, half, variant, kind)? else {
                        continue;
                    };
                    let gain = self.gain(half, &scores, &pooled)?;
                    if gain > training[judged] || (training[judged].is_nan() && !gain.is_nan()) {
                        training[judged] = gain;
                        best[judged] = Some((kind, variant));
                    }
                }
            }
        }
        Ok(HeldOut {
            gain: self.judge(labels, &best)?,
            chosen: best,
            training,
        })
    }

    /// The gain of what was chosen over pooled edges of the same layer, each half of pairs in its own cells.
    fn judge(
        &self,
        labels: &str,
        chosen: &[Option<(EdgeKind, Variant)>; 2],
    ) -> Result<Result<CrossedAuroc, Undefined>> {
        let shape = self.universe.positive().dim();
        let (mut stratified, mut pooled) = (Array2::zeros(shape), Array2::zeros(shape));
        let mut candidate = Array2::from_elem(shape, false);
        for (half, chosen) in chosen.iter().enumerate() {
            let Some((kind, variant)) = *chosen else { continue };
            let of = |variant| self.scores(labels, half, variant, kind);
            let (Some(a), Some(b)) = (of(variant)?, of(Variant::Pooled)?) else {
                continue;
            };
            for (pair, of_half) in self.candidates(half, [&a, &b]).indexed_iter() {
                if *of_half {
                    (stratified[pair], pooled[pair], candidate[pair]) = (a[pair], b[pair], true);
                }
            }
        }
        // Factors without a positive or a negative of their half have no AUROC.
        let positive = self.universe.positive();
        let rows: Vec<usize> = (0..shape.0)
            .filter(|&row| {
                let (mut n_pos, mut n_neg) = (0, 0);
                for (&positive, &candidate) in positive.row(row).iter().zip(candidate.row(row)) {
                    n_pos += usize::from(positive && candidate);
                    n_neg += usize::from(!positive && candidate);
                }
                n_pos > 0 && n_neg > 0
            })
            .collect();
        let select = |of: &Array2<f64>| of.select(ndarray::Axis(0), &rows);
        let positive = positive.select(ndarray::Axis(0), &rows);
        let candidate = candidate.select(ndarray::Axis(0), &rows);
        if rows.is_empty() {
            return Ok(Err(Undefined::OneClass { n_pos: 0, n_neg: 0 }));
        }
        let grid = LabelledGrid {
            positive: positive.view(),
            candidate: candidate.view(),
        };
        let limits = CrossedLimits::default();
        Ok(defined(crossed_difference(
            select(&stratified).view(),
            select(&pooled).view(),
            grid,
            &limits,
        ))?)
    }

    /// Gain of the largest score over strata, mean over both halves.
    fn gain_of_max(&self, labels: &str, kind: EdgeKind) -> Result<Option<f64>> {
        let max = Variant::STRATIFIED[0];
        let mut gains = Vec::new();
        for half in HALVES {
            let of = |variant| self.scores(labels, half, variant, kind);
            if let (Some(max), Some(pooled)) = (of(max)?, of(Variant::Pooled)?) {
                gains.push(self.gain(half, &max, &pooled)?);
            }
        }
        let mean = gains.iter().sum::<f64>() / gains.len() as f64;
        Ok(Some(mean).filter(|gain| gain.is_finite()))
    }

    /// Mean AUROC over factors of each variant by layer, over all pairs, mean over both halves of the cells.
    fn profiles(&self, kinds: &[EdgeKind]) -> Result<BTreeMap<&'static str, Vec<f64>>> {
        let mut profiles: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
        for variant in Variant::all() {
            for &kind in kinds {
                let mut values = Vec::new();
                for half in HALVES {
                    let Some(scores) = self.scores("strata", half, variant, kind)? else {
                        continue;
                    };
                    let mut candidate = self.universe.candidate().to_owned();
                    for (candidate, score) in candidate.iter_mut().zip(&scores) {
                        *candidate &= !score.is_nan();
                    }
                    let grid = LabelledGrid {
                        positive: self.universe.positive(),
                        candidate: candidate.view(),
                    };
                    values.extend(row_aurocs(scores.view(), grid)?.into_iter().flatten());
                }
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                profiles.entry(variant.name()).or_default().push(mean);
            }
        }
        Ok(profiles)
    }
}

/// That a gain is below what is worth having.
fn stays_below(gain: &CrossedAuroc) -> Result<TestResult, Undefined> {
    match non_superiority(gain.mean, gain.standard_error, gain.df, BOUND) {
        Ok(test) => Ok(test),
        Err(scfm_stats::Error::Undefined(reason)) => Err(reason),
        Err(other) => unreachable!("an estimate with a standard error: {other}"),
    }
}

/// Discoveries among single edges, which the stage counted.
fn edge_discoveries(desk: &mut Desk<'_>) -> Result<()> {
    let (table, _) = read_table(&desk.run.file(names::EDGE_DISCOVERIES))?;
    let numbers = |name: &str| match table.column(name) {
        Some(Column::F64(values)) => values.iter().map(|v| v.unwrap_or(f64::NAN)).collect(),
        _ => Vec::new(),
    };
    let largest = |values: &[f64]| values.iter().copied().filter(|v| v.is_finite()).reduce(f64::max);
    let missing = Undefined::TooFew {
        what: "discoveries",
        n: 0,
        needed: 1,
    };
    let (rate, power) = (numbers("false_discovery_rate"), numbers("replicated"));
    let n = rate.len();
    desk.figure(
        &format!("{ID}/edge-fdr"),
        largest(&rate).ok_or(missing.clone()),
        None,
        Some(n),
        true,
    )?;
    let of_strata = power.first().copied().filter(|v| v.is_finite());
    desk.figure(
        &format!("{ID}/edge-power"),
        of_strata.ok_or(missing),
        None,
        Some(1),
        true,
    )?;
    desk.show_table(
        "Single edges by correlation inside strata, at a false discovery rate of 5 %: discoveries in one half of the cells, in the same \
         cells with each gene permuted, and the share of the first half's pooled discoveries that the other half's strata find again",
        table,
    );
    Ok(())
}

fn say(desk: &mut Desk<'_>, stored: &StoredStrata, chosen: &HeldOut, correlation: &HeldOut) {
    let sizes = |name: &str| {
        let labels = stored
            .labellings
            .iter()
            .find(|labelling| labelling.name == name)?;
        let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
        labels
            .labels
            .iter()
            .flatten()
            .for_each(|&label| *sizes.entry(label).or_default() += 1);
        let mut sizes: Vec<usize> = sizes.into_values().collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        Some(
            sizes
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", "),
        )
    };
    if let Some(sizes) = sizes("strata") {
        desk.say(format!(
            "Strata are communities of a graph of 15 nearest neighbours among the model's own embeddings of {} cells (Leiden, \
             resolution 1): {sizes} cells.",
            stored.rows.len()
        ));
    }
    let words = |held_out: &HeldOut| {
        let of = |half: usize| match held_out.chosen[half] {
            Some((kind, variant)) => format!(
                "{} of {kind} ({:+.3} in training)",
                variant.name(),
                held_out.training[half]
            ),
            None => "nothing".to_owned(),
        };
        format!("{} and {}", of(0), of(1))
    };
    desk.say(format!(
        "Layer and way of bringing strata together are chosen in one half of the cells, on the pairs of one half of the factors with one \
         half of the targets, and judged on the other halves, both ways. Chosen of attention: {}; of correlation: {}.",
        words(chosen),
        words(correlation)
    ));
    if let Ok(gain) = &correlation.gain {
        desk.say(format!(
            "Correlation inside strata gains {:+.4} on held-out pairs (p = {:.2}).",
            gain.mean,
            gain.test.p.p()
        ));
    }
}

fn held_out_table(rows: &[(&str, &HeldOut)]) -> Result<Table> {
    let mut names = Vec::new();
    let mut halves = Vec::new();
    let mut edges = Vec::new();
    let mut variants = Vec::new();
    let mut training = Vec::new();
    let mut gains = Vec::new();
    let mut errors = Vec::new();
    for (name, held_out) in rows {
        for half in HALVES {
            names.push(*name);
            halves.push(half + 1);
            edges.push(held_out.chosen[half].map(|(kind, _)| kind.to_string()));
            variants.push(held_out.chosen[half].map(|(_, variant)| variant.name().to_owned()));
            training.push(held_out.training[half]);
            gains.push(held_out.gain.as_ref().map_or(f64::NAN, |gain| gain.mean));
            errors.push(
                held_out
                    .gain
                    .as_ref()
                    .map_or(f64::NAN, |gain| gain.standard_error),
            );
        }
    }
    Ok(Table::new(names.len())
        .with("labels", Column::text(names))?
        .with("judged_half", Column::counts(halves))?
        .with("edges", Column::Text(edges))?
        .with("variant", Column::Text(variants))?
        .with("training_gain", Column::numbers(training))?
        .with("held_out_gain", Column::numbers(gains))?
        .with("standard_error", Column::numbers(errors))?)
}

fn show_profiles(
    desk: &mut Desk<'_>,
    profiles: &BTreeMap<&'static str, Vec<f64>>,
    kinds: &[EdgeKind],
) -> Result<()> {
    let mut table = Table::new(kinds.len()).with("layer", Column::counts(0..kinds.len()))?;
    for (name, values) in profiles {
        if values.len() == kinds.len() {
            table.push(*name, Column::numbers(values.iter().copied()))?;
        }
    }
    let layers: Vec<(&str, Vec<LayerAuroc>)> = profiles
        .iter()
        .map(|(name, values)| {
            let at = values.iter().enumerate();
            let layers = at.map(|(layer, &auroc)| LayerAuroc {
                layer,
                auroc,
                ci: None,
            });
            (*name, layers.collect())
        })
        .collect();
    let drawn: Vec<LayerProfile<'_>> = layers
        .iter()
        .map(|(name, layers)| LayerProfile { name, layers })
        .collect();
    desk.show_figure(
        "Mean AUROC over factors of pooled and stratified attention by layer, all pairs, mean over both halves of the cells",
        layer_profiles(&drawn, &[], Some(desk.evidence.layer)),
    );
    desk.keep_table("cssi_by_layer", "The same in numbers", table)
}

fn show_cells(desk: &mut Desk<'_>) -> Result<()> {
    let (table, _) = read_table(&desk.run.file(names::STRATA))?;
    let (Some(Column::F64(x)), Some(Column::F64(y)), Some(Column::U64(strata))) =
        (table.column("pc1"), table.column("pc2"), table.column("strata"))
    else {
        return Ok(());
    };
    let mut points: BTreeMap<u64, Vec<(f64, f64)>> = BTreeMap::new();
    for ((x, y), stratum) in x.iter().zip(y).zip(strata) {
        if let (Some(x), Some(y), Some(stratum)) = (x, y, stratum) {
            points.entry(*stratum).or_default().push((*x, *y));
        }
    }
    let names: Vec<String> = points
        .keys()
        .map(|stratum| format!("stratum {}", stratum + 1))
        .collect();
    let groups: Vec<PointGroup<'_>> = names
        .iter()
        .zip(points.into_values())
        .map(|(name, points)| PointGroup { name, points })
        .collect();
    desk.show_figure(
        "Cells by the first two principal components of the model's embeddings, coloured by stratum",
        scatter(&groups, "PC 1", "PC 2"),
    );
    Ok(())
}
