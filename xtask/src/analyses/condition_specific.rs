//! `condition-specific`: do the model's own counterfactuals agree with measured effects?

use std::collections::HashMap;

use anyhow::Result;
use ndarray::Array2;
use scfm_ablation::{Agreement, KnockOut, PARTS, PooledAgreement, SourceAgreement};
use scfm_baselines::features::{DROPOUT_RATE, MEAN, VARIANCE};
use scfm_core::{Column, Panel, Table};
use scfm_perturb::Direction;
use scfm_report::{Effect, forest};
use scfm_stats::{TestResult, Undefined, defined, spearman};

use super::Desk;
use super::mediation_bias::of_library;
use crate::evidence::{self, names, numbers, text};
use crate::model::SCGPT;

pub const ID: &str = "condition-specific";

/// Data sets that have rows of their own, by context; all others share one.
const NAMED: [(&str, &str); 3] = [
    ("dixit-13d", "dixit-13d"),
    ("dixit-7d", "dixit-7d"),
    ("t-cell", "tcell"),
];
const ANY: &str = "own";

pub fn run(desk: &mut Desk<'_>) -> Result<()> {
    if desk.record.list.is_some() {
        return Ok(desk.registry.not_run_rest(ID, "needs the model")?);
    }
    let named = NAMED
        .iter()
        .find(|(context, _)| *context == desk.record.context.name);
    let suffix = named.map_or(ANY, |(_, suffix)| suffix);
    for other in NAMED.iter().map(|(_, suffix)| *suffix).chain([ANY]) {
        if other == suffix {
            continue;
        }
        let reason = match other {
            ANY => "the data set of this run has rows of its own",
            _ => "this run is of another data set",
        };
        for row in ["raw", "adjusted", "sign"] {
            desk.registry.not_run(&format!("{ID}/{row}-{other}"), reason)?;
        }
    }
    let (table, metadata) = scfm_io::read_table(&desk.run.file(names::KNOCK_OUT))?;
    let said = |key: &str| {
        metadata
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, value)| value.clone())
    };
    if let Some(reason) = said("scfm.reason") {
        desk.say(format!("Nothing could be knocked out: {reason}."));
        return Ok(desk.registry.not_run_rest(ID, reason)?);
    }
    let effects = Effects::new(desk, &table)?;
    // As Geneformer's authors do it; the published comparison was of scGPT and set values to 0.
    let main = match desk.record.family.as_str() {
        SCGPT => KnockOut::Silenced,
        _ => KnockOut::Deleted,
    };
    let mut judged = Vec::new();
    for way in KnockOut::ALL {
        judged.push((way, Judged::of(desk, &effects, way)?));
    }
    let of_main = &judged
        .iter()
        .find(|(way, _)| *way == main)
        .expect("both ways were judged")
        .1;
    desk.test(&format!("{ID}/raw-{suffix}"), &of_main.raw.test, true)?;
    desk.test(&format!("{ID}/adjusted-{suffix}"), &of_main.adjusted.test, true)?;
    let signs = of_main.pooled.signs;
    let share = signs.map(|(share, _)| share).ok_or(Undefined::TooFew {
        what: "pairs with a predicted and a measured effect",
        n: 0,
        needed: 1,
    });
    desk.figure(
        &format!("{ID}/sign-{suffix}"),
        share,
        None,
        signs.map(|(_, n)| n),
        true,
    )?;

    let parameters = &desk.record.context.parameters;
    let words = format!(
        "{} perturbed genes that {} or more control cells express, those with most responding targets first, are knocked out of \
         {} cells each. In every cell a part of the panel's genes ({PARTS} random parts, one after the other over a source's cells, \
         the same in both runs, never the source) is hidden; the predicted effect on a target is the mean change of the {} over \
         the cells that hide it. Silenced: {}. Deleted: the token is taken away and those behind it move up, which alone changes \
         predictions of a model that reads ranks. Registered is the effect of genes {}. Measured is the log fold change of the \
         screen{}.",
        effects.sources.len(),
        parameters.knock_out_cells,
        parameters.knock_out_cells,
        said("scfm.read_out").unwrap_or_default(),
        said("scfm.silenced").unwrap_or_default(),
        match main {
            KnockOut::Silenced => "silenced, as in the published comparison",
            KnockOut::Deleted => "deleted, as the model's authors do it",
        },
        match effects.direction {
            Direction::Up => "; since it switches genes on, predicted signs are turned round",
            Direction::Down => "",
        },
    );
    desk.say(words);
    desk.say(
        "Spearman's correlation of |predicted| with |measured| over the targets of a source, mean over sources. All sources rank \
         the same targets, of which some move whatever is done; so the test asks whether predictions fit their own source \
         better than other sources' measured effects, by permuting sources, and the effect is that difference. Adjusted: \
         ranks without what those of mean, variance and dropout rate of the target explain. Beside it, as published: all \
         pairs at once, whose p-values would take pairs of one source or target for independent.",
    );
    let lines: Vec<Effect> = judged
        .iter()
        .flat_map(|(way, judged)| {
            [("raw", &judged.raw), ("adjusted", &judged.adjusted)].map(|(what, compared)| Effect {
                name: format!("{}, {what}", way.as_str()),
                estimate: compared.test.as_ref().map_or(f64::NAN, |test| test.effect),
                ci: compared.test.as_ref().ok().and_then(|test| test.ci),
            })
        })
        .collect();
    desk.show_figure(
        "How much better predictions fit their own source's measured effects than other sources', with 95 % jackknife \
         intervals over sources",
        forest(&lines, "difference of Spearman's ρ", None),
    );
    desk.keep_table(
        "condition_specific",
        "Agreement of predicted with measured effects: mean over sources with their own measurements, with those of other \
         sources, and over all pairs at once",
        summary(&judged)?,
    )?;
    desk.keep_table(
        "condition_specific_sources",
        "Agreement of each source",
        by_source(&effects, of_main)?,
    )
}

/// Predicted and measured effects, `[source, target]` over sources that were knocked out and genes of the panel.
struct Effects {
    sources: Panel,
    silenced: Array2<f64>,
    deleted: Array2<f64>,
    measured: Array2<f64>,
    /// Features of the targets.
    covariates: Vec<Vec<f64>>,
    direction: Direction,
}

impl Effects {
    fn new(desk: &Desk<'_>, knock_outs: &Table) -> Result<Self> {
        let panel = &desk.evidence.panel;
        let direction = desk.record.context.direction();
        let sources_of_rows = text(knock_outs, "source")?;
        let mut distinct = sources_of_rows.clone();
        distinct.dedup();
        let sources = Panel::new(distinct)?;
        let empty = || Array2::from_elem((sources.len(), panel.len()), f64::NAN);
        let place = |source: &str, target: &str| Some([sources.position(source)?, panel.position(target)?]);
        let (mut silenced, mut deleted, mut measured) = (empty(), empty(), empty());
        let targets = text(knock_outs, "target")?;
        let sign = match direction {
            Direction::Up => -1.0,
            Direction::Down => 1.0,
        };
        for (column, effects) in [("silenced", &mut silenced), ("deleted", &mut deleted)] {
            let values = numbers(knock_outs, column)?;
            for ((source, target), value) in sources_of_rows.iter().zip(&targets).zip(values) {
                if let Some(at) = place(source, target) {
                    effects[at] = sign * value;
                }
            }
        }
        let de = evidence::table(desk.run, names::DE)?;
        let rows = text(&de, "perturbation")?.into_iter().zip(text(&de, "gene")?);
        for ((perturbed, gene), lfc) in rows.zip(numbers(&de, "lfc")?) {
            // What a perturbation does to its own gene is no effect of the gene.
            if let Some(at) = place(perturbed, gene).filter(|_| perturbed != gene) {
                measured[at] = lfc;
            }
        }
        let features = &desk.evidence.features;
        let position: HashMap<&str, usize> = features
            .panel()
            .genes()
            .iter()
            .enumerate()
            .map(|(i, gene)| (gene.as_str(), i))
            .collect();
        let covariate = |name: &str| -> Vec<f64> {
            let values = features.feature(name);
            let of_gene = |gene: &scfm_core::GeneId| Some(values?[*position.get(gene.as_str())?]);
            let genes = panel.genes().iter();
            genes.map(|gene| of_gene(gene).unwrap_or(f64::NAN)).collect()
        };
        Ok(Self {
            covariates: [MEAN, VARIANCE, DROPOUT_RATE].map(covariate).to_vec(),
            sources,
            silenced,
            deleted,
            measured,
            direction,
        })
    }

    fn predicted(&self, way: KnockOut) -> &Array2<f64> {
        match way {
            KnockOut::Silenced => &self.silenced,
            KnockOut::Deleted => &self.deleted,
        }
    }
}

/// An agreement with its test.
struct Compared {
    agreement: SourceAgreement,
    test: Result<TestResult, Undefined>,
    naive: Result<TestResult, Undefined>,
}

impl Compared {
    fn of(
        desk: &Desk<'_>,
        effects: &Effects,
        way: KnockOut,
        covariates: &[Vec<f64>],
        agreement: Agreement,
    ) -> Result<Self> {
        let agreement = SourceAgreement::new(
            effects.predicted(way).view(),
            effects.measured.view(),
            covariates,
            agreement,
        )?;
        let seeds = desk.seeds();
        let stream = |index| seeds.stream(ID, "order of sources", index);
        let n = desk.record.context.parameters.permutations;
        Ok(Self {
            test: of_library(agreement.permutation_test(n, stream))?,
            naive: of_library(agreement.naive_test())?,
            agreement,
        })
    }
}

/// One way of knocking out.
struct Judged {
    raw: Compared,
    adjusted: Compared,
    signs: Compared,
    pooled: PooledAgreement,
    /// p of the correlation over all pairs, were they independent.
    pooled_p: f64,
}

impl Judged {
    fn of(desk: &Desk<'_>, effects: &Effects, way: KnockOut) -> Result<Self> {
        let pairs: Vec<((usize, usize), f64, f64)> = effects
            .predicted(way)
            .indexed_iter()
            .map(|(at, &predicted)| (at, predicted, effects.measured[at]))
            .filter(|(_, predicted, measured)| predicted.is_finite() && measured.is_finite())
            .filter(|((_, target), ..)| {
                effects
                    .covariates
                    .iter()
                    .all(|values| values[*target].is_finite())
            })
            .collect();
        let predicted: Vec<f64> = pairs.iter().map(|pair| pair.1).collect();
        let measured: Vec<f64> = pairs.iter().map(|pair| pair.2).collect();
        let covariates: Vec<Vec<f64>> = effects
            .covariates
            .iter()
            .map(|values| pairs.iter().map(|((_, target), ..)| values[*target]).collect())
            .collect();
        let size = |values: &[f64]| values.iter().map(|value| value.abs()).collect::<Vec<_>>();
        let pooled_test = match predicted.len() {
            0 => Err(Undefined::TooFew {
                what: "pairs with a predicted and a measured effect",
                n: 0,
                needed: 2,
            }),
            _ => defined(spearman(&size(&predicted), &size(&measured)))?,
        };
        Ok(Self {
            raw: Compared::of(desk, effects, way, &[], Agreement::Sizes)?,
            adjusted: Compared::of(desk, effects, way, &effects.covariates, Agreement::Sizes)?,
            signs: Compared::of(desk, effects, way, &[], Agreement::Signs)?,
            pooled: PooledAgreement::of(&predicted, &measured, &covariates)?,
            pooled_p: pooled_test.map_or(f64::NAN, |test| test.p.p()),
        })
    }
}

fn summary(judged: &[(KnockOut, Judged)]) -> Result<Table> {
    let lines: Vec<(KnockOut, &str, &Compared, &Judged)> = judged
        .iter()
        .flat_map(|(way, judged)| {
            [
                (*way, "sizes", &judged.raw, judged),
                (*way, "sizes, adjusted", &judged.adjusted, judged),
                (*way, "signs", &judged.signs, judged),
            ]
        })
        .collect();
    let numbers = |of: &dyn Fn(&Compared) -> Option<f64>| {
        Column::numbers(lines.iter().map(|line| of(line.2).unwrap_or(f64::NAN)))
    };
    let test = |c: &Compared, value: fn(&TestResult) -> Option<f64>| value(c.test.as_ref().ok()?);
    let pooled = |line: &(KnockOut, &str, &Compared, &Judged)| {
        let pooled = &line.3.pooled;
        let value = match line.1 {
            "sizes" => pooled.sizes.clone().ok(),
            "signs" => pooled.signs.map(|(share, _)| share),
            _ => pooled.adjusted.clone().ok(),
        };
        value.unwrap_or(f64::NAN)
    };
    let pooled_p = |line: &(KnockOut, &str, &Compared, &Judged)| match line.1 {
        "sizes" => line.3.pooled_p,
        _ => f64::NAN,
    };
    Ok(Table::new(lines.len())
        .with(
            "knock_out",
            Column::text(lines.iter().map(|line| line.0.as_str())),
        )?
        .with("agreement", Column::text(lines.iter().map(|line| line.1)))?
        .with(
            "n_sources",
            Column::counts(lines.iter().map(|line| line.2.agreement.sources().len())),
        )?
        .with("own", numbers(&|c| c.agreement.own()))?
        .with("of_others", numbers(&|c| c.agreement.of_others()))?
        .with("difference", numbers(&|c| test(c, |t| Some(t.effect))))?
        .with("ci_low", numbers(&|c| test(c, |t| Some(t.ci?.low))))?
        .with("ci_high", numbers(&|c| test(c, |t| Some(t.ci?.high))))?
        .with("p", numbers(&|c| test(c, |t| Some(t.p.p()))))?
        .with(
            "naive_p",
            numbers(&|c| c.naive.as_ref().ok().map(|test| test.p.p())),
        )?
        .with(
            "n_pairs",
            Column::counts(lines.iter().map(|line| line.3.pooled.n_pairs)),
        )?
        .with("published_form", Column::numbers(lines.iter().map(pooled)))?
        .with("published_form_p", Column::numbers(lines.iter().map(pooled_p)))?)
}

fn by_source(effects: &Effects, judged: &Judged) -> Result<Table> {
    let n = effects.sources.len();
    let of = |agreement: &SourceAgreement| {
        let mut values = vec![f64::NAN; n];
        for (&source, value) in agreement.sources().iter().zip(agreement.of_sources()) {
            values[source] = value;
        }
        Column::numbers(values)
    };
    let predicted = |row: usize| {
        let row = effects.deleted.row(row);
        row.iter().filter(|value| value.is_finite()).count()
    };
    Ok(Table::new(n)
        .with("source", Column::text(effects.sources.genes()))?
        .with("n_targets", Column::counts((0..n).map(predicted)))?
        .with("sizes", of(&judged.raw.agreement))?
        .with("sizes_adjusted", of(&judged.adjusted.agreement))?
        .with("signs", of(&judged.signs.agreement))?)
}
