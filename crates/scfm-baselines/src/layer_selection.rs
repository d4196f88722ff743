//! Choosing the layer without choosing it on its own test data (analysis 9 of the battery).
//!
//! The literature chooses the layer on some perturbations and scores it on the others. All perturbations rank the same
//! genes, though: a layer that happens to rank the genes high that respond to anything is chosen for it, and is then
//! right about the held-out perturbations too, with no relation to what was perturbed. So both sides are held out here:
//! the score of a pair comes from the layer that is best for other perturbations *and* other targets. Scores of
//! different layers are made comparable by their ranks within the perturbation, which know no label. The choice over
//! perturbations alone is returned beside it.

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use scfm_core::{EdgeMatrix, Ledger, Responses};
use scfm_stats::{
    CrossedAuroc, CrossedLimits, LabelledGrid, Undefined, crossed_auroc, crossed_difference, defined,
};

use crate::{Error, group_k_fold};

/// How [`layer_selection`] divides and judges.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerSelectionParams {
    /// Folds of perturbations, and as many of targets.
    pub n_folds: usize,
    /// Fewest candidates that responded of an evaluable perturbation.
    pub min_positives: usize,
    /// Fewest candidates that did not.
    pub min_negatives: usize,
    /// The smallest design that the crossed tests decide on.
    pub limits: CrossedLimits,
}

impl Default for LayerSelectionParams {
    /// 5 folds, 3 positives, 3 negatives.
    fn default() -> Self {
        Self {
            n_folds: 5,
            min_positives: 3,
            min_negatives: 3,
            limits: CrossedLimits::default(),
        }
    }
}

/// What comes of choosing the layer on training folds.
#[derive(Debug, Clone)]
pub struct LayerSelection {
    /// Perturbations and targets both held out: the valid form.
    pub held_out: Selected,
    /// Perturbations alone held out, as published: rewards a layer for what it says of genes whatever is perturbed.
    pub over_perturbations: Selected,
    /// The layer that is best on all data, whose AUROC is biased upwards by the choice, and that AUROC.
    pub best_on_all: (usize, f64),
    /// Mean AUROC of each layer, with the crossed test against 0.5.
    pub profile: Vec<Result<CrossedAuroc, Undefined>>,
    /// Mean AUROC of |ρ| on the same candidates.
    pub correlation: f64,
    /// Number of evaluable perturbations.
    pub n_perturbations: usize,
    /// Candidates and perturbations that were left out.
    pub ledger: Ledger,
}

/// Held-out scores of chosen layers, judged against others on the same candidates.
#[derive(Debug, Clone)]
pub struct Selected {
    /// The layer chosen for each held-out block.
    pub choices: Vec<Choice>,
    /// Mean held-out AUROC.
    pub mean: f64,
    /// Held-out AUROC minus that of |ρ|, crossed over perturbations × targets.
    pub against_correlation: Result<CrossedAuroc, Undefined>,
    /// Held-out AUROC minus that of the pre-specified layer.
    pub against_prespecified: Result<CrossedAuroc, Undefined>,
}

/// A layer chosen on the training part of one block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// The held-out fold of perturbations.
    pub perturbation_fold: usize,
    /// The held-out fold of targets, where they are held out.
    pub target_fold: Option<usize>,
    /// The layer of largest mean AUROC over the training part; of equal ones the lowest.
    pub layer: usize,
    /// That mean.
    pub training_auroc: f64,
}

impl Selected {
    /// The layer chosen for most blocks, of equally frequent ones the lowest, and its share of the blocks.
    pub fn modal_layer(&self) -> (usize, f64) {
        let count = |layer| self.choices.iter().filter(|c| c.layer == layer).count();
        let highest = self.choices.iter().map(|c| c.layer).max().unwrap_or(0);
        let modal = (0..=highest)
            .rev()
            .max_by_key(|&layer| count(layer))
            .expect("a range with an element");
        (modal, count(modal) as f64 / self.choices.len() as f64)
    }
}

/// Chooses among `layers` on training folds and compares held-out AUROCs with |ρ| and with layer `prespecified`.
///
/// All scores rank the candidates on which every layer and the correlation are defined. Folds of perturbations are
/// those of [`group_k_fold`], targets go to folds in turn. Nothing is random.
///
/// # Errors
/// [`Undefined::TooFew`] with fewer evaluable perturbations or targets than folds, [`Error::Folds`].
///
/// # Panics
/// When `prespecified` is not one of the layers.
pub fn layer_selection(
    layers: &[EdgeMatrix],
    correlation: &EdgeMatrix,
    responses: &Responses,
    prespecified: usize,
    params: &LayerSelectionParams,
) -> Result<LayerSelection, Error> {
    assert!(
        prespecified < layers.len(),
        "the pre-specified layer is one of them"
    );
    let (design, ledger) = Design::new(layers, correlation, responses, params)?;
    let labels = design.labels();
    let mut training = Vec::new();
    let mut profile = Vec::new();
    for layer in 0..layers.len() {
        let scores = design.scores(layer);
        training.push(design.training(scores.view()));
        profile.push(defined(crossed_auroc(scores.view(), labels, &params.limits))?);
    }
    let choose = |with_targets| -> Vec<Choice> {
        let blocks = design.folds.blocks(with_targets);
        blocks.map(|block| choose(&training, block)).collect()
    };
    let whole: Vec<f64> = training.iter().map(|t| t.mean(None, None)).collect();
    let best = best(&whole);
    Ok(LayerSelection {
        held_out: design.judge(choose(true), prespecified)?,
        over_perturbations: design.judge(choose(false), prespecified)?,
        best_on_all: (best, whole[best]),
        profile,
        correlation: design.training(design.magnitude.view()).mean(None, None),
        n_perturbations: design.responses.perturbed().len(),
        ledger,
    })
}

/// The evaluable perturbations with the candidates on which all scores are defined. Scores of layers are laid over it
/// one at a time: a deep model over a large panel has gigabytes of them.
struct Design<'a> {
    layers: &'a [EdgeMatrix],
    responses: Responses,
    /// |ρ|.
    magnitude: Array2<f64>,
    folds: Folds,
    limits: CrossedLimits,
}

impl<'a> Design<'a> {
    fn new(
        layers: &'a [EdgeMatrix],
        correlation: &EdgeMatrix,
        responses: &Responses,
        params: &LayerSelectionParams,
    ) -> Result<(Self, Ledger), Error> {
        let mut all = responses.clone();
        let n_lost: usize = layers
            .iter()
            .chain([correlation])
            .map(|edges| all.restrict_to_defined(&[align(edges, responses).view()]))
            .sum();
        let mut ledger = Ledger::new();
        let nobody = [] as [&str; 0];
        ledger.lost("candidate pairs", "score undefined", n_lost as u64, nobody);
        let rows = all.evaluable(params.min_positives.max(1), params.min_negatives.max(1));
        let reason = format!(
            "fewer than {} positives or {} negatives",
            params.min_positives, params.min_negatives
        );
        let n_lost = all.perturbed().len() - rows.len();
        ledger.lost("perturbations", reason, n_lost as u64, nobody);
        ledger.kept("perturbations", rows.len() as u64);
        let responses = all.select(&rows);
        let design = Self {
            layers,
            magnitude: align(correlation, &responses).mapv_into(f64::abs),
            folds: Folds::new(&responses, params.n_folds)?,
            responses,
            limits: params.limits,
        };
        Ok((design, ledger))
    }

    fn labels(&self) -> LabelledGrid<'_> {
        LabelledGrid {
            positive: self.responses.positive(),
            candidate: self.responses.candidate(),
        }
    }

    fn scores(&self, layer: usize) -> Array2<f64> {
        align(&self.layers[layer], &self.responses)
    }

    /// The candidates of a perturbation in blocks of equal scores, lowest first.
    fn blocks(&self, row: usize, scores: ArrayView2<'_, f64>) -> Vec<Vec<usize>> {
        let candidate = self.responses.candidate();
        let score = |target: usize| scores[[row, target]];
        let mut order: Vec<usize> = (0..scores.ncols()).filter(|&t| candidate[[row, t]]).collect();
        order.sort_unstable_by(|&a, &b| score(a).total_cmp(&score(b)));
        order
            .chunk_by(|&a, &b| score(a) == score(b))
            .map(<[usize]>::to_vec)
            .collect()
    }

    /// What a choice may be made on.
    fn training(&self, scores: ArrayView2<'_, f64>) -> Training<'_> {
        let positive = self.responses.positive();
        let rows: Vec<Vec<f64>> = (0..scores.nrows())
            .into_par_iter()
            .map(|row| {
                let blocks = self.blocks(row, scores);
                let without = |fold| {
                    let kept = |target: usize| self.folds.of_target[target] != fold;
                    auroc(&blocks, |target| positive[[row, target]], kept)
                };
                (0..=self.folds.n).map(without).collect()
            })
            .collect();
        Training {
            aurocs: Array2::from_shape_fn((rows.len(), self.folds.n + 1), |(row, fold)| rows[row][fold]),
            folds: &self.folds,
        }
    }

    /// Mid-ranks of the candidates within their perturbation, `NaN` elsewhere.
    fn ranks(&self, scores: ArrayView2<'_, f64>) -> Array2<f64> {
        let rows: Vec<Vec<f64>> = (0..scores.nrows())
            .into_par_iter()
            .map(|row| {
                let mut ranks = vec![f64::NAN; scores.ncols()];
                let mut below = 0;
                for block in self.blocks(row, scores) {
                    for &target in &block {
                        ranks[target] = below as f64 + (block.len() + 1) as f64 / 2.0;
                    }
                    below += block.len();
                }
                ranks
            })
            .collect();
        Array2::from_shape_fn(scores.dim(), |(row, target)| rows[row][target])
    }

    /// Puts the chosen layers' ranks together and compares.
    fn judge(&self, choices: Vec<Choice>, prespecified: usize) -> Result<Selected, Error> {
        let n = self.folds.n;
        let mut layer_of = vec![0; n * n];
        for choice in &choices {
            for fold in choice.target_fold.map_or(0..n, |fold| fold..fold + 1) {
                layer_of[choice.perturbation_fold * n + fold] = choice.layer;
            }
        }
        let mut held_out = Array2::from_elem(self.magnitude.dim(), f64::NAN);
        for layer in (0..self.layers.len()).filter(|layer| layer_of.contains(layer)) {
            let ranks = self.ranks(self.scores(layer).view());
            for ((pair, place), &rank) in held_out.indexed_iter_mut().zip(&ranks) {
                let block = self.folds.of_perturbation[pair.0] * n + self.folds.of_target[pair.1];
                if layer_of[block] == layer {
                    *place = rank;
                }
            }
        }
        let against = |other: ArrayView2<'_, f64>| {
            let difference = crossed_difference(held_out.view(), other, self.labels(), &self.limits);
            Ok::<_, Error>(defined(difference)?)
        };
        let aurocs = scfm_stats::row_aurocs(held_out.view(), self.labels())?;
        let aurocs: Vec<f64> = aurocs.into_iter().filter_map(Result::ok).collect();
        Ok(Selected {
            mean: aurocs.iter().sum::<f64>() / aurocs.len() as f64,
            against_correlation: against(self.magnitude.view())?,
            against_prespecified: against(self.scores(prespecified).view())?,
            choices,
        })
    }
}

fn align(edges: &EdgeMatrix, responses: &Responses) -> Array2<f64> {
    edges.align(responses.perturbed(), responses.targets())
}

/// Which perturbations and which targets are held out together.
struct Folds {
    n: usize,
    of_perturbation: Vec<usize>,
    of_target: Vec<usize>,
}

impl Folds {
    fn new(responses: &Responses, n: usize) -> Result<Self, Error> {
        let sizes: Vec<usize> = (0..responses.perturbed().len())
            .map(|row| {
                let (n_pos, n_neg) = responses.class_sizes(row);
                n_pos + n_neg
            })
            .collect();
        let n_targets = responses.targets().len();
        if n_targets < n {
            return Err(crate::too_few("targets for cross-validation", n_targets, n));
        }
        Ok(Self {
            n,
            of_perturbation: group_k_fold(&sizes, n)?,
            of_target: (0..n_targets).map(|target| target % n).collect(),
        })
    }

    /// Every fold of perturbations, crossed with every fold of targets where these are held out too.
    fn blocks(&self, with_targets: bool) -> impl Iterator<Item = (usize, Option<usize>)> {
        let targets = if with_targets { self.n } else { 1 };
        (0..self.n * targets).map(move |i| (i / targets, with_targets.then_some(i % targets)))
    }
}

/// The AUROCs of one score that choices are made on.
struct Training<'a> {
    /// `[perturbation, fold]`: AUROC over the targets outside the fold; the last column over all targets. `NaN` where a
    /// class is missing.
    aurocs: Array2<f64>,
    folds: &'a Folds,
}

impl Training<'_> {
    /// Mean over the perturbations outside a fold of the AUROC over the targets outside another; `NaN` where no
    /// perturbation has one.
    fn mean(&self, perturbations: Option<usize>, targets: Option<usize>) -> f64 {
        let column = self.aurocs.column(targets.unwrap_or(self.folds.n));
        let training = column
            .iter()
            .zip(&self.folds.of_perturbation)
            .filter(|&(auroc, &fold)| Some(fold) != perturbations && !auroc.is_nan());
        let (sum, n) = training.fold((0.0, 0), |(sum, n), (auroc, _)| (sum + auroc, n + 1));
        sum / f64::from(n)
    }
}

fn choose(layers: &[Training<'_>], block: (usize, Option<usize>)) -> Choice {
    let means: Vec<f64> = layers
        .iter()
        .map(|layer| layer.mean(Some(block.0), block.1))
        .collect();
    let layer = best(&means);
    Choice {
        perturbation_fold: block.0,
        target_fold: block.1,
        layer,
        training_auroc: means[layer],
    }
}

/// Position of the largest number, the first of equal ones; `NaN` is never chosen over a number.
fn best(means: &[f64]) -> usize {
    let mut best = 0;
    for (i, mean) in means.iter().enumerate() {
        if means[best].is_nan() || *mean > means[best] {
            best = i;
        }
    }
    best
}

/// AUROC over the positions that are `kept` of sorted blocks of ties; `NaN` where a class is missing.
fn auroc(blocks: &[Vec<usize>], positive: impl Fn(usize) -> bool, kept: impl Fn(usize) -> bool) -> f64 {
    let (mut doubled, mut n_pos, mut n_neg) = (0u64, 0u64, 0u64);
    for block in blocks {
        let (mut tied_pos, mut tied_neg) = (0, 0);
        for &position in block.iter().filter(|&&position| kept(position)) {
            if positive(position) {
                tied_pos += 1;
            } else {
                tied_neg += 1;
            }
        }
        doubled += tied_pos * (2 * n_neg + tied_neg);
        n_pos += tied_pos;
        n_neg += tied_neg;
    }
    doubled as f64 / (2 * n_pos * n_neg) as f64
}
