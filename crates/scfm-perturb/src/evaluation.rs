use ndarray::{Array2, ArrayView2, Axis};
use scfm_core::{Column, Ledger, Panel, Responses, Seeds, Table};
use scfm_stats::{
    CrossedAuroc, CrossedLimits, Interval, LabelledGrid, TestResult, Undefined, Zeros, bootstrap_mean,
    crossed_auroc, crossed_difference, defined, one_sample_t, row_aurocs, wilcoxon_signed_rank,
};

use crate::Error;
use crate::de_table::table;

/// Which perturbations are evaluated, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EvaluationParams {
    /// A perturbation needs as many candidates that responded; at least 1 whatever is asked for.
    pub min_positives: usize,
    /// A perturbation needs as many candidates that did not respond; at least 1.
    pub min_negatives: usize,
    /// Resamples of the bootstrap over perturbations.
    pub n_bootstrap: usize,
    /// The smallest design that the crossed tests decide on.
    pub limits: CrossedLimits,
}

impl Default for EvaluationParams {
    /// 3 positives, 3 negatives, 10,000 resamples.
    fn default() -> Self {
        Self {
            min_positives: 3,
            min_negatives: 3,
            n_bootstrap: 10_000,
            limits: CrossedLimits::default(),
        }
    }
}

/// The evaluable perturbations of a screen, with the candidates on which all scores that are to be compared are
/// defined.
///
/// Every table of scores that is handed to its methods has the shape of the full [`Responses`] it was made from:
/// row = perturbed gene = source of the edge, column = target.
#[derive(Debug, Clone)]
pub struct Evaluable {
    responses: Responses,
    rows: Vec<usize>,
    params: EvaluationParams,
    ledger: Ledger,
}

impl Evaluable {
    /// Restricts `responses` to candidates at which none of `scores` is `NaN`, then to perturbations with enough
    /// positives and negatives among them. A perturbed gene outside the panel or the vocabulary has no score at
    /// all, and is counted so.
    ///
    /// # Panics
    /// When scores have another shape than the responses.
    pub fn new(responses: &Responses, scores: &[ArrayView2<'_, f64>], params: EvaluationParams) -> Self {
        let params = EvaluationParams {
            min_positives: params.min_positives.max(1),
            min_negatives: params.min_negatives.max(1),
            ..params
        };
        let mut all = responses.clone();
        all.restrict_to_defined(scores);
        let gene = |row: &usize| responses.perturbed().gene(*row);
        let (scored, unscored): (Vec<usize>, Vec<usize>) =
            (0..responses.perturbed().len()).partition(|&row| all.candidate().row(row).iter().any(|&c| c));
        let n_candidates = |responses: &Responses| responses.select(&scored).n_candidates();
        let n_undefined = n_candidates(responses) - n_candidates(&all);
        let (enough_positives, few_positives): (Vec<usize>, Vec<usize>) = scored
            .iter()
            .partition(|&&row| all.class_sizes(row).0 >= params.min_positives);
        let (rows, few_negatives): (Vec<usize>, Vec<usize>) = enough_positives
            .iter()
            .partition(|&&row| all.class_sizes(row).1 >= params.min_negatives);

        let mut ledger = Ledger::new();
        let mut lost = |reason: String, rows: &[usize]| {
            ledger.lost("perturbations", reason, rows.len() as u64, rows.iter().map(gene));
        };
        lost("perturbed gene has no score".to_owned(), &unscored);
        lost(
            format!("fewer than {} positives", params.min_positives),
            &few_positives,
        );
        lost(
            format!("fewer than {} negatives", params.min_negatives),
            &few_negatives,
        );
        ledger.kept("evaluable perturbations", rows.len() as u64);
        ledger.lost(
            "candidate pairs",
            "score undefined",
            n_undefined as u64,
            [] as [&str; 0],
        );
        let responses = all.select(&rows);
        ledger.kept(
            "candidate pairs of evaluable perturbations",
            responses.n_candidates() as u64,
        );
        Self {
            responses,
            rows,
            params,
            ledger,
        }
    }

    /// The evaluable perturbations.
    pub fn perturbed(&self) -> &Panel {
        self.responses.perturbed()
    }

    /// Labels of the evaluable perturbations over the shared candidates.
    pub fn responses(&self) -> &Responses {
        &self.responses
    }

    /// Perturbations and candidates that were left out, by reason.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// One row per evaluable perturbation: `perturbation, n_pos, n_neg` and for each named score `auroc_<name>`.
    ///
    /// # Errors
    /// [`Error::Stats`] for a score that is `NaN` at a candidate, [`Error::Core`] for a name that comes twice.
    ///
    /// # Panics
    /// When scores have another shape than the full responses.
    pub fn per_perturbation(&self, scores: &[(&str, ArrayView2<'_, f64>)]) -> Result<Table, Error> {
        let sizes: Vec<_> = (0..self.rows.len())
            .map(|row| self.responses.class_sizes(row))
            .collect();
        let mut aurocs = table(
            self.rows.len(),
            [
                ("perturbation", Column::text(self.perturbed().genes())),
                ("n_pos", Column::counts(sizes.iter().map(|&(n_pos, _)| n_pos))),
                ("n_neg", Column::counts(sizes.iter().map(|&(_, n_neg)| n_neg))),
            ],
        );
        for &(name, scores) in scores {
            let column = Column::numbers(self.aurocs(scores)?);
            aurocs.push(format!("auroc_{name}"), column)?;
        }
        Ok(aurocs)
    }

    /// Whether the mean within-perturbation AUROC of a score differs from 0.5.
    ///
    /// # Errors
    /// [`Error::Stats`] for a score that is `NaN` at a candidate.
    ///
    /// # Panics
    /// When scores have another shape than the full responses.
    pub fn mean_auroc(&self, scores: ArrayView2<'_, f64>, stream: Stream<'_>) -> Result<MeanAuroc, Error> {
        if self.rows.is_empty() {
            return Ok(MeanAuroc::undefined(&self.none()));
        }
        let per_perturbation = self.aurocs(scores)?;
        let rows = self.select(scores);
        Ok(MeanAuroc {
            mean: Ok(mean(&per_perturbation)),
            crossed: defined(crossed_auroc(rows.view(), self.grid(), &self.params.limits))?,
            bootstrap: Ok(self.bootstrap(&per_perturbation, stream)?),
            naive_t: defined(one_sample_t(&per_perturbation, 0.5))?,
            per_perturbation,
        })
    }

    /// Whether two scores differ in mean within-perturbation AUROC, `a` minus `b`.
    ///
    /// # Errors
    /// [`Error::Stats`] for a score that is `NaN` at a candidate.
    ///
    /// # Panics
    /// When scores have another shape than the full responses.
    pub fn difference(
        &self,
        a: ArrayView2<'_, f64>,
        b: ArrayView2<'_, f64>,
        stream: Stream<'_>,
    ) -> Result<AurocDifference, Error> {
        if self.rows.is_empty() {
            return Ok(AurocDifference::undefined(&self.none()));
        }
        let (in_a, in_b) = (self.aurocs(a)?, self.aurocs(b)?);
        let per_perturbation: Vec<f64> = in_a.iter().zip(&in_b).map(|(a, b)| a - b).collect();
        Ok(AurocDifference {
            mean: Ok(mean(&per_perturbation)),
            crossed: self.crossed_difference(a, b)?,
            bootstrap: Ok(self.bootstrap(&per_perturbation, stream)?),
            naive_wilcoxon: defined(wilcoxon_signed_rank(&per_perturbation, Zeros::Drop))?,
            per_perturbation,
        })
    }

    /// The registered test of [`Evaluable::difference`] alone.
    ///
    /// # Errors
    /// [`Error::Stats`] for a score that is `NaN` at a candidate.
    ///
    /// # Panics
    /// When scores have another shape than the full responses.
    pub fn crossed_difference(
        &self,
        a: ArrayView2<'_, f64>,
        b: ArrayView2<'_, f64>,
    ) -> Result<Result<CrossedAuroc, Undefined>, Error> {
        if self.rows.is_empty() {
            return Ok(Err(self.none()));
        }
        let (a, b) = (self.select(a), self.select(b));
        let crossed = crossed_difference(a.view(), b.view(), self.grid(), &self.params.limits);
        Ok(defined(crossed)?)
    }

    fn aurocs(&self, scores: ArrayView2<'_, f64>) -> Result<Vec<f64>, Error> {
        if self.rows.is_empty() {
            return Ok(Vec::new());
        }
        let rows = row_aurocs(self.select(scores).view(), self.grid())?;
        Ok(rows
            .into_iter()
            .map(|auroc| auroc.expect("an evaluable row holds both classes"))
            .collect())
    }

    fn select(&self, scores: ArrayView2<'_, f64>) -> Array2<f64> {
        scores.select(Axis(0), &self.rows)
    }

    fn bootstrap(&self, values: &[f64], stream: Stream<'_>) -> Result<Interval, Error> {
        let draw = |index| stream.seeds.stream(stream.analysis, stream.purpose, index);
        Ok(bootstrap_mean(values, self.params.n_bootstrap, draw)?)
    }

    fn grid(&self) -> LabelledGrid<'_> {
        LabelledGrid {
            positive: self.responses.positive(),
            candidate: self.responses.candidate(),
        }
    }

    fn none(&self) -> Undefined {
        Undefined::TooFew {
            what: "evaluable perturbations",
            n: self.rows.len(),
            needed: 1,
        }
    }
}

/// Where the random numbers of one statistic come from.
#[derive(Debug, Clone, Copy)]
pub struct Stream<'a> {
    /// The seeds of the run.
    pub seeds: Seeds,
    /// Id of the analysis.
    pub analysis: &'a str,
    /// What for, within the analysis.
    pub purpose: &'a str,
}

/// The mean within-perturbation AUROC of a score, and what can be said about it.
#[derive(Debug, Clone)]
pub struct MeanAuroc {
    /// The mean over evaluable perturbations.
    pub mean: Result<f64, Undefined>,
    /// The registered test against 0.5, two-sided: clustered by perturbation and by gene.
    pub crossed: Result<CrossedAuroc, Undefined>,
    /// 95 % percentile interval over resampled perturbations; takes genes as given, so it is too narrow for a
    /// statement about other genes.
    pub bootstrap: Result<Interval, Undefined>,
    /// One-sample t test over perturbations, as published. Anti-conservative, since all perturbations rank the same
    /// genes: to be printed beside the crossed test, never in its place.
    pub naive_t: Result<TestResult, Undefined>,
    /// AUROC of each evaluable perturbation.
    pub per_perturbation: Vec<f64>,
}

/// The mean difference of two scores' within-perturbation AUROCs, and what can be said about it.
#[derive(Debug, Clone)]
pub struct AurocDifference {
    /// The mean over evaluable perturbations.
    pub mean: Result<f64, Undefined>,
    /// The registered test against 0, two-sided: clustered by perturbation and by gene.
    pub crossed: Result<CrossedAuroc, Undefined>,
    /// 95 % percentile interval over resampled perturbations; takes genes as given.
    pub bootstrap: Result<Interval, Undefined>,
    /// Wilcoxon signed-rank test over perturbations, as published. Anti-conservative, as [`MeanAuroc::naive_t`].
    pub naive_wilcoxon: Result<TestResult, Undefined>,
    /// Difference of each evaluable perturbation.
    pub per_perturbation: Vec<f64>,
}

impl MeanAuroc {
    fn undefined(reason: &Undefined) -> Self {
        Self {
            mean: Err(reason.clone()),
            crossed: Err(reason.clone()),
            bootstrap: Err(reason.clone()),
            naive_t: Err(reason.clone()),
            per_perturbation: Vec::new(),
        }
    }
}

impl AurocDifference {
    fn undefined(reason: &Undefined) -> Self {
        Self {
            mean: Err(reason.clone()),
            crossed: Err(reason.clone()),
            bootstrap: Err(reason.clone()),
            naive_wilcoxon: Err(reason.clone()),
            per_perturbation: Vec::new(),
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
