//! `residualisation`: what is left of an edge score when the two genes' own properties are taken out of it?

use anyhow::Result;
use ndarray::{Array2, ArrayView2, Axis};
use scfm_baselines::features::{DROPOUT_RATE, MEAN, VARIANCE};
use scfm_baselines::{
    BoostedTrees, EdgeModel, ResidualParams, Residuals, Retained, rank_transformed, residualise,
    retained_difference,
};
use scfm_core::{Column, Panel, Table};
use scfm_grn::{CandidateUniverse, GeneNames};
use scfm_report::{AurocBar, Block, auroc_bars};
use scfm_stats::{
    CrossedLimits, Interval, LabelledGrid, TestResult, TwoWayBootstrap, Undefined, crossed_auroc, defined,
    gene_permutation_auroc, row_aurocs, two_way_bootstrap,
};

use super::Desk;

pub const ID: &str = "residualisation";

/// At most so many resamples stand behind the confirmatory test, and behind the shares of the other forms that are shown beside.
const RESAMPLES: usize = 9_999;
const RESAMPLES_BESIDE: usize = 999;

const EDGES: [&str; 2] = ["attention", "correlation"];

/// The forms of a residual; the first is the one that is judged.
const FORMS: [(EdgeModel, bool, &str); 4] = [
    (EdgeModel::Linear, false, "linear"),
    (EdgeModel::Trees, false, "trees"),
    (EdgeModel::Linear, true, "linear, of ranks"),
    (EdgeModel::Trees, true, "trees, of ranks"),
];

/// A form of an edge score: the raw score or a residual.
struct Form {
    /// Position in [`EDGES`].
    edge: usize,
    name: &'static str,
    r_squared: Option<Result<f64, Undefined>>,
    /// `[tf, target]`, `NaN` where the pair has none.
    scores: Array2<f64>,
}

pub fn run(desk: &mut Desk<'_>) -> Result<()> {
    let evidence = desk.evidence;
    let Some(reference) = &evidence.reference else {
        return Ok(desk.registry.not_run_rest(ID, "no reference network")?);
    };
    let panel = &evidence.panel;
    let mut universe = match CandidateUniverse::new(reference, panel, panel, GeneNames::default()) {
        Err(error @ scfm_grn::Error::NoSharedGenes { .. }) => {
            return desk.undefined_all(ID, &error.to_string());
        }
        other => other?,
    };
    let edges = [
        evidence.scored_attention().align(panel, panel),
        evidence.correlation.align(panel, panel).mapv_into(f64::abs),
    ];
    let features = features(desk)?;
    let defaults = ResidualParams::default();
    let parameters = &desk.record.context.parameters;
    let params = ResidualParams {
        n_folds: parameters.folds,
        trees: BoostedTrees {
            // As many beside those of responses as published: 100 beside 200.
            n_trees: parameters.boosted_trees.div_ceil(2),
            ..defaults.trees
        },
        ..defaults
    };
    let forms = match forms(desk, &edges, features.view(), universe.tfs(), &params) {
        Err(scfm_baselines::Error::Stats(scfm_stats::Error::Undefined(reason))) => {
            return desk.undefined_all(ID, &reason.to_string());
        }
        other => other?,
    };
    let views: Vec<_> = forms.iter().map(|form| form.scores.view()).collect();
    universe.restrict_to_defined(&views);
    let rows = rows_of_both_classes(&universe);
    if rows.is_empty() {
        let reason = "no TF has both a target and another gene among the scored pairs";
        return desk.undefined_all(ID, reason);
    }
    let reference = Reference {
        positive: universe.positive().select(Axis(0), &rows),
        candidate: universe.candidate().select(Axis(0), &rows),
        rows,
    };
    let judged = judge(desk, &reference, &forms)?;
    fold_seed_spread(
        desk,
        &reference,
        &edges[0],
        features.view(),
        universe.tfs(),
        &params,
    )?;

    desk.say(format!(
        "Scores of all ordered pairs of the panel were predicted from mean, variance and dropout rate of both genes, in {} \
         blocks of source folds × target folds, each from pairs that share neither. Over folds of pairs, as published, \
         trees know both genes from training and take out what only the pair can say. The residual of the linear model \
         on scores as they are is the one that is judged; trees ({} pairs a block at most) and ranks are shown beside it. \
         {} TFs have a target among {} scored candidates, {} of which are in the reference.",
        params.n_folds * params.n_folds,
        params.max_training_pairs,
        reference.rows.len(),
        universe.n_candidates(),
        universe.n_positives(),
    ));
    show(desk, &forms, &judged)?;
    desk.blocks.push(Block::Ledger(universe.ledger().clone()));
    Ok(())
}

/// `[gene, feature]` of the panel.
fn features(desk: &Desk<'_>) -> Result<Array2<f64>> {
    let table = &desk.evidence.features;
    let panel = &desk.evidence.panel;
    let names = [MEAN, VARIANCE, DROPOUT_RATE];
    let mut features = Array2::from_elem((panel.len(), names.len()), f64::NAN);
    for (j, name) in names.into_iter().enumerate() {
        let values = table
            .feature(name)
            .ok_or(scfm_baselines::Error::MissingFeature(name))?;
        for (i, gene) in panel.genes().iter().enumerate() {
            if let Some(position) = table.panel().position(gene.as_str()) {
                features[[i, j]] = values[position];
            }
        }
    }
    Ok(features)
}

/// The raw scores and all residuals of both edges over the pairs of the reference.
fn forms(
    desk: &Desk<'_>,
    edges: &[Array2<f64>; 2],
    features: ArrayView2<'_, f64>,
    tfs: &Panel,
    params: &ResidualParams,
) -> Result<Vec<Form>, scfm_baselines::Error> {
    let panel = &desk.evidence.panel;
    let mut forms = Vec::new();
    for (edge, scores) in edges.iter().enumerate() {
        forms.push(Form {
            edge,
            name: "raw",
            r_squared: None,
            scores: of_tfs(scores, panel, tfs),
        });
        let ranks = rank_transformed(scores.view());
        for (model, of_ranks, name) in FORMS {
            let scores = if of_ranks { &ranks } else { scores };
            let Residuals {
                residuals, r_squared, ..
            } = residualise(scores.view(), features, model, params, desk.seeds(), 0)?;
            forms.push(Form {
                edge,
                name,
                r_squared: Some(r_squared),
                scores: of_tfs(&residuals, panel, tfs),
            });
        }
    }
    Ok(forms)
}

fn of_tfs(scores: &Array2<f64>, panel: &Panel, tfs: &Panel) -> Array2<f64> {
    let rows: Vec<usize> = tfs
        .genes()
        .iter()
        .map(|tf| panel.position(tf.as_str()).expect("TFs are of the panel"))
        .collect();
    scores.select(Axis(0), &rows)
}

fn rows_of_both_classes(universe: &CandidateUniverse) -> Vec<usize> {
    let (positive, candidate) = (universe.positive(), universe.candidate());
    let has = |row: usize, class: bool| {
        let mut pairs = positive.row(row).into_iter().zip(candidate.row(row));
        pairs.any(|(&positive, &candidate)| candidate && positive == class)
    };
    (0..universe.tfs().len())
        .filter(|&row| has(row, true) && has(row, false))
        .collect()
}

/// The TFs that rank targets against others.
struct Reference {
    /// Rows of the universe.
    rows: Vec<usize>,
    positive: Array2<bool>,
    candidate: Array2<bool>,
}

impl Reference {
    fn grid(&self) -> LabelledGrid<'_> {
        LabelledGrid {
            positive: self.positive.view(),
            candidate: self.candidate.view(),
        }
    }

    fn scores(&self, of_tfs: &Array2<f64>) -> Array2<f64> {
        of_tfs.select(Axis(0), &self.rows)
    }
}

/// What came of each form.
struct Judged {
    mean: f64,
    test: Result<TestResult, Undefined>,
    interval: Interval,
    retained: Result<Retained, Undefined>,
}

fn judge(desk: &mut Desk<'_>, reference: &Reference, forms: &[Form]) -> Result<Vec<Judged>> {
    let grid = reference.grid();
    let scores: Vec<Array2<f64>> = forms.iter().map(|form| reference.scores(&form.scores)).collect();
    let seeds = desk.seeds();
    let drawn = |scores: &[ArrayView2<'_, f64>], n| -> Result<TwoWayBootstrap> {
        Ok(two_way_bootstrap(scores, grid, n, |i| {
            seeds.stream(ID, "two-way", i)
        })?)
    };
    let n_permutations = desk.record.context.parameters.permutations;
    let tests = scores
        .iter()
        .map(|scores| {
            let crossed = defined(crossed_auroc(scores.view(), grid, &CrossedLimits::default()))?;
            match crossed {
                Err(Undefined::NotDecidable { .. }) => {
                    // Too few TFs or targets for a variance, not for the question whether there is anything.
                    let stream = |i| seeds.stream(ID, "gene permutation", i);
                    Ok(defined(gene_permutation_auroc(
                        scores.view(),
                        grid,
                        n_permutations,
                        stream,
                    ))?)
                }
                other => Ok(other.map(|found| found.test)),
            }
        })
        .collect::<Result<Vec<Result<TestResult, Undefined>>>>()?;

    // The raw scores and the residuals that are judged, in the same resamples.
    let per_edge = forms.len() / EDGES.len();
    let main = [0, 1, per_edge, per_edge + 1];
    let views = main.map(|i| scores[i].view());
    let most = desk.record.context.parameters.bootstrap;
    let headline = drawn(&views, RESAMPLES.min(most))?;
    let views: Vec<_> = scores.iter().map(|scores| scores.view()).collect();
    let beside = drawn(&views, RESAMPLES_BESIDE.min(most))?;
    let interval = |i: usize| match tests[i].as_ref().ok().and_then(|test| test.ci) {
        Some(crossed) => crossed,
        None => match main.iter().position(|&m| m == i) {
            Some(m) => headline.mean_interval(m),
            None => beside.mean_interval(i),
        },
    };
    let judged: Vec<Judged> = (0..forms.len())
        .map(|i| {
            let raw = forms[i].edge * per_edge;
            let low = interval(raw).low;
            Judged {
                mean: beside.means[i],
                test: tests[i].clone(),
                interval: interval(i),
                retained: match main.iter().position(|&m| m == i) {
                    Some(m) => Retained::of(&headline, m - m % 2, m, low),
                    None => Retained::of(&beside, raw, i, low),
                },
            }
        })
        .collect();
    register(desk, forms, &judged, reference.rows.len())?;
    Ok(judged)
}

fn register(desk: &mut Desk<'_>, forms: &[Form], judged: &[Judged], n_tfs: usize) -> Result<()> {
    let n = Some(n_tfs);
    let per_edge = forms.len() / EDGES.len();
    for (edge, name) in EDGES.into_iter().enumerate() {
        let first = edge * per_edge;
        let (raw, residual) = (&judged[first], &judged[first + 1]);
        // A p-value from permutations draws random numbers; one from the crossed variance does not.
        let random = |judged: &Judged| judged.test.as_ref().is_ok_and(|test| test.ci.is_none());
        desk.test(&format!("{ID}/residual-{name}"), &residual.test, random(residual))?;
        desk.figure(
            &format!("{ID}/raw-{name}"),
            Ok(raw.mean),
            Some(raw.interval),
            n,
            random(raw),
        )?;
        let (share, ci) = match &residual.retained {
            Ok(kept) => (Ok(kept.share), Some(kept.interval)),
            Err(reason) => (Err(reason.clone()), None),
        };
        desk.figure(&format!("{ID}/retained-{name}"), share, ci, n, true)?;
        for (form, id) in [(1, "ols"), (2, "trees")] {
            let r_squared = forms[first + form]
                .r_squared
                .clone()
                .expect("a residual has an R²");
            desk.figure(&format!("{ID}/r2-{id}-{name}"), r_squared, None, n, true)?;
        }
    }
    let difference = match (&judged[1].retained, &judged[per_edge + 1].retained) {
        (Ok(a), Ok(b)) => Ok(retained_difference(a, b, n_tfs)),
        (Err(reason), _) | (_, Err(reason)) => Err(reason.clone()),
    };
    desk.test(
        &format!("{ID}/retained-attention-vs-correlation"),
        &difference,
        true,
    )
}

/// How much the AUROC of residual attention depends on how genes are dealt into folds.
fn fold_seed_spread(
    desk: &mut Desk<'_>,
    reference: &Reference,
    attention: &Array2<f64>,
    features: ArrayView2<'_, f64>,
    tfs: &Panel,
    params: &ResidualParams,
) -> Result<()> {
    let panel = &desk.evidence.panel;
    let mut means = Vec::new();
    for seed in 0..desk.record.context.parameters.fold_seeds {
        let model = EdgeModel::Linear;
        let found = residualise(attention.view(), features, model, params, desk.seeds(), seed)?;
        let scores = reference.scores(&of_tfs(&found.residuals, panel, tfs));
        let aurocs: Vec<f64> = row_aurocs(scores.view(), reference.grid())?
            .into_iter()
            .filter_map(Result::ok)
            .collect();
        means.push(aurocs.iter().sum::<f64>() / aurocs.len() as f64);
    }
    let moments = scfm_stats::Moments::of(&means);
    desk.figure(
        &format!("{ID}/fold-seed-sd"),
        Ok(moments.variance.sqrt()),
        None,
        Some(means.len()),
        true,
    )
}

fn show(desk: &mut Desk<'_>, forms: &[Form], judged: &[Judged]) -> Result<()> {
    let group = |form: &Form| ["attention", "|ρ|"][form.edge];
    let named = |form: &Form| match form.name {
        "raw" => "raw".to_owned(),
        model => format!("residual, {model}"),
    };
    let bars: Vec<AurocBar> = forms
        .iter()
        .zip(judged)
        .map(|(form, judged)| AurocBar {
            group: group(form).to_owned(),
            name: named(form),
            auroc: judged.mean,
            ci: Some(judged.interval),
        })
        .collect();
    desk.show_figure(
        "Mean AUROC over TFs against the reference, of raw scores and of what is left of them, with 95 % intervals crossed \
         by TF × target (two-way bootstrap where these are not decidable)",
        auroc_bars(&bars),
    );
    let numbers = |of: &dyn Fn(&Judged) -> Option<f64>| {
        Column::numbers(judged.iter().map(|judged| of(judged).unwrap_or(f64::NAN)))
    };
    let kept = |judged: &Judged| judged.retained.as_ref().ok().map(|r| (r.share, r.interval));
    let r_squared = forms
        .iter()
        .map(|form| match &form.r_squared {
            Some(Ok(value)) => *value,
            _ => f64::NAN,
        })
        .collect::<Vec<_>>();
    desk.keep_table(
        "residualisation",
        "AUROC against the reference, out-of-fold R² of the gene-level model, and the share of above-chance AUROC that stays",
        Table::new(forms.len())
            .with("score", Column::text(forms.iter().map(group)))?
            .with("form", Column::text(forms.iter().map(named)))?
            .with("r_squared", Column::numbers(r_squared))?
            .with("auroc", numbers(&|j| Some(j.mean)))?
            .with("ci_low", numbers(&|j| Some(j.interval.low)))?
            .with("ci_high", numbers(&|j| Some(j.interval.high)))?
            .with("p", numbers(&|j| j.test.as_ref().ok().map(|t| t.p.p())))?
            .with("retained", numbers(&|j| kept(j).map(|k| k.0)))?
            .with("retained_low", numbers(&|j| kept(j).map(|k| k.1.low)))?
            .with("retained_high", numbers(&|j| kept(j).map(|k| k.1.high)))?,
    )
}
