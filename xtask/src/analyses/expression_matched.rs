//! `expression-matched`: do edges tell reference pairs from pairs of equally expressed genes?

use anyhow::Result;
use ndarray::ArrayView1;
use scfm_ablation::HeadId;
use scfm_baselines::features::{DETECTION, MEAN, VARIANCE};
use scfm_core::{Column, Source, Table, Target};
use scfm_grn::{ExpressionIndex, MatchedPairs, MatchingParams, match_expression};
use scfm_report::{Block, ScoreSet, auroc_distributions};
use scfm_stats::{PairAuroc, PairLimits, TestResult, Undefined};

use super::Desk;

pub const ID: &str = "expression-matched";

pub fn run(desk: &mut Desk<'_>) -> Result<()> {
    let evidence = desk.evidence;
    let Some(reference) = &evidence.reference else {
        return Ok(desk.registry.not_run_rest(ID, "no reference network")?);
    };
    let panel = &evidence.panel;
    let feature = |name| {
        evidence
            .features
            .feature(name)
            .expect("the stage of features computes it")
    };
    let (mean, detection, variance) = (feature(MEAN), feature(DETECTION), feature(VARIANCE));
    let attention = evidence.scored_attention().align(panel, panel);
    let index = ExpressionIndex::new(&mean.to_vec(), &detection.to_vec());
    let params = MatchingParams::default();
    let seeds = desk.seeds();
    let matched = match_expression(reference, panel, attention.view(), &index, &params, |i| {
        seeds.stream(ID, "negatives", i)
    });
    let matched = match matched {
        Ok(matched) => matched,
        Err(error @ scfm_grn::Error::NoSharedGenes { .. }) => {
            return desk.undefined_all(ID, &error.to_string());
        }
        Err(error) => return Err(error.into()),
    };

    let limits = PairLimits::default();
    let of_attention = |s: usize, t: usize| attention[[s, t]];
    let product = |values: ArrayView1<'_, f64>| {
        let values = values.to_vec();
        move |s: usize, t: usize| values[s] * values[t]
    };
    let judged = matched.auroc(of_attention, &limits)?;
    let test = |found: &Result<PairAuroc, Undefined>| -> Result<TestResult, Undefined> {
        found
            .as_ref()
            .map(|found| found.test.clone())
            .map_err(Undefined::clone)
    };
    desk.test("expression-matched/matched-attention", &test(&judged), true)?;
    let against = matched.difference(of_attention, product(mean), &limits)?;
    desk.test(
        "expression-matched/attention-vs-mean-product",
        &test(&against),
        true,
    )?;
    for (id, values) in [
        ("detection-product", detection),
        ("mean-product", mean),
        ("variance-product", variance),
    ] {
        let value = matched.plain_auroc(product(values))?;
        desk.figure(&format!("{ID}/{id}"), value, None, Some(matched.n_matched), true)?;
    }
    desk.figure(
        "expression-matched/share-matched",
        matched.share_matched(),
        None,
        Some(matched.n_positives),
        false,
    )?;

    head_median(desk, &matched)?;
    say(desk, &matched, &params, &judged);
    let codetection = evidence.codetection.align(panel, panel);
    let get = |s: usize, t: usize| {
        evidence
            .correlation
            .get(Source(s), Target(t))
            .map_or(f64::NAN, f64::from)
    };
    let together = |s: usize, t: usize| codetection[[s, t]];
    let summed = |s: usize, t: usize| attention[[s, t]] * codetection[[s, t]];
    let table = table(
        &matched,
        &[
            ("attention", &of_attention),
            ("|Spearman ρ|", &|s, t| get(s, t).abs()),
            ("co-detection", &together),
            ("attention summed over cells (as published)", &summed),
            ("product of means", &product(mean)),
            ("product of detection rates", &product(detection)),
            ("product of variances", &product(variance)),
        ],
        &limits,
    )?;
    desk.keep_table(
        "expression_matched",
        "AUROC of reference pairs against matched negatives, by score",
        table,
    )?;
    desk.blocks.push(Block::Ledger(matched.ledger));
    Ok(())
}

/// The median over heads, of pairs whose source has attention of single heads: the sources of the reference and the
/// perturbed genes.
fn head_median(desk: &mut Desk<'_>, matched: &MatchedPairs) -> Result<()> {
    const ID: &str = "expression-matched/head-median";
    if desk.record.list.is_some() {
        return Ok(desk.registry.not_run(ID, "a list of edges has no heads")?);
    }
    let panel = &desk.evidence.panel;
    let mut aurocs: Vec<f64> = Vec::new();
    for head in HeadId::all((desk.record.n_layers, desk.record.n_heads)) {
        let edges = desk.evidence.head(head)?;
        let known: Vec<bool> = panel
            .genes()
            .iter()
            .map(|gene| edges.sources().contains(gene.as_str()))
            .collect();
        let scores = edges.align(panel, panel);
        match matched.plain_auroc_from(|s| known[s], |s, t| scores[[s, t]])? {
            Ok(auroc) => aurocs.push(auroc),
            Err(reason) => return Ok(desk.registry.undefined(ID, reason.to_string())?),
        }
    }
    aurocs.sort_unstable_by(f64::total_cmp);
    let n = aurocs.len();
    let median = f64::midpoint(aurocs[(n - 1) / 2], aurocs[n / 2]);
    desk.figure(ID, Ok(median), None, Some(n), true)?;
    desk.show_figure(
        "AUROC of each head on pairs whose source is a source of the reference or a perturbed gene",
        auroc_distributions(&[ScoreSet {
            name: "each head",
            values: &aurocs,
        }]),
    );
    Ok(())
}

fn say(
    desk: &mut Desk<'_>,
    matched: &MatchedPairs,
    params: &MatchingParams,
    judged: &Result<PairAuroc, Undefined>,
) {
    desk.say(format!(
        "{} of {} reference pairs have negatives whose source and target both lie within ±{:.0} % of theirs in mean and in \
         detection; {} negatives were drawn, up to {} a pair, {} of them different. A negative that was drawn for several pairs \
         stands once with the sum of its shares, so that the negatives of each pair weigh as much as the pair.",
        matched.n_matched,
        matched.n_positives,
        100.0 * params.tolerance,
        matched.n_drawn,
        params.n_negatives,
        matched.pairs.len() - matched.n_matched,
    ));
    if let Ok(judged) = judged {
        desk.say(format!(
            "Pairs that share a source or a target are not independent; the positives amount to {:.1} sources and {:.1} targets \
             of equal weight, on which the tests' degrees of freedom rest.",
            judged.effective_sources, judged.effective_targets
        ));
    }
    desk.say(
        "Matching fixes what each gene is, not how often two genes are seen together: the row of co-detection shows what \
         that count alone would give, and the row of summed attention what it adds where attention is not divided by it.",
    );
}

/// A score of a pair of positions in the panel.
type Score<'a> = &'a dyn Fn(usize, usize) -> f64;

fn table(matched: &MatchedPairs, scores: &[(&str, Score<'_>)], limits: &PairLimits) -> Result<Table> {
    let mut rows = Vec::new();
    for (name, score) in scores {
        // Genes that are constant over the cells have no correlation; a score is shown where all pairs have it.
        let complete = matched
            .pairs
            .iter()
            .all(|pair| !score(pair.source, pair.target).is_nan());
        let (auroc, tested) = match complete && !matched.pairs.is_empty() {
            true => (
                matched.plain_auroc(score)?.ok(),
                matched.auroc(score, limits)?.ok(),
            ),
            false => (None, None),
        };
        rows.push(Row { name, auroc, tested });
    }
    let number = |of: &dyn Fn(&Row<'_>) -> Option<f64>| {
        Column::numbers(rows.iter().map(|row| of(row).unwrap_or(f64::NAN)))
    };
    let interval = |row: &Row<'_>| row.tested.as_ref().and_then(|found| found.test.ci);
    Ok(Table::new(rows.len())
        .with("score", Column::text(rows.iter().map(|row| row.name)))?
        .with("auroc", number(&|row| row.auroc))?
        .with("ci_low", number(&|row| Some(interval(row)?.low)))?
        .with("ci_high", number(&|row| Some(interval(row)?.high)))?
        .with("p", number(&|row| Some(row.tested.as_ref()?.test.p.p())))?)
}

/// A score on the matched pairs.
struct Row<'a> {
    name: &'a str,
    auroc: Option<f64>,
    /// With its interval, where there are enough sources and targets.
    tested: Option<PairAuroc>,
}
