//! `ablation-dose`: does silencing more of the ranked heads do more harm, and more than silencing random ones?

use anyhow::Result;
use scfm_ablation::{MaskedDesign, RankedHarm, TargetChanges};
use scfm_core::{Column, Table};
use scfm_report::{DosePoint, DoseSeries, dose_response};
use scfm_stats::{CrossedMean, TestResult};

use super::silenced::{Bench, EdgeRow, NO_MODEL, edge_table, harm_test, loss_unit};
use super::{Desk, test_of};

pub const ID: &str = "ablation-dose";

/// Series whose edges are judged; random ones by their first draw.
const SERIES: [&str; 12] = [
    "top-5",
    "top-10",
    "top-20",
    "top-50",
    "bottom-5",
    "bottom-10",
    "composite-5",
    "composite-10",
    "full-layer",
    "random-10",
    "random-20",
    "random-50",
];

/// Harm at hidden genes by one dose.
struct MaskedDose {
    name: usize,
    heads: usize,
    harm: RankedHarm,
}

pub fn run(desk: &mut Desk<'_>) -> Result<()> {
    if desk.record.list.is_some() {
        return Ok(desk.registry.not_run_rest(ID, NO_MODEL)?);
    }
    let bench = Bench::open(desk)?;
    let mut rows = Vec::new();
    for series in SERIES {
        rows.push(bench.test_edges(desk, &format!("{ID}/{series}"), series, 0)?);
    }
    let mut smallest = bench.edge_row(desk, "random-5", 0)?;
    "random-5, first draw".clone_into(&mut smallest.series);

    let design = bench.design(desk);
    let doses = masked_doses(desk, &bench, &design)?;
    trend(desk, &bench, &design)?;
    say(desk, &bench);
    let unit = loss_unit(desk);
    desk.show_figure(
        &format!("Change of the loss at hidden genes that a perturbation moves, in {unit}, with 95 % intervals; of random heads the band in which one more draw would lie"),
        dose_response(&masked_series(&doses), &format!("change of the loss ({unit})")),
    );
    desk.show_figure(
        "Change of the mean AUROC of the scored layer's edges, with crossed 95 % intervals; doses that cannot reach the layer are missing",
        dose_response(&edge_series(&bench, &rows, &smallest), "ΔAUROC, silenced − intact"),
    );
    rows.push(smallest);
    desk.keep_table(
        "ablation_dose",
        "Mean within-perturbation AUROC with heads silenced, minus intact",
        edge_table(&rows)?,
    )?;
    desk.keep_table(
        "ablation_dose_masked",
        "Change of the loss at hidden genes that a perturbation moves, mean over perturbations",
        masked_table(&doses)?,
    )
}

fn masked_doses(desk: &mut Desk<'_>, bench: &Bench, design: &MaskedDesign<'_>) -> Result<Vec<MaskedDose>> {
    let mut doses = Vec::new();
    for dose in bench.ablation.doses {
        let id = format!("{ID}/masked-top-{}", dose.name);
        // The smallest dose is in the table and the trend alone.
        let is_test = dose.name != bench.ablation.doses[0].name;
        match bench.changes(&format!("top-{}", dose.name), 0) {
            Ok(changes) => {
                let harm = design.against_random(&changes, &bench.random(dose.name))?;
                if is_test {
                    desk.test(&id, &harm.beyond, true)?;
                }
                doses.push(MaskedDose {
                    name: dose.name,
                    heads: dose.heads,
                    harm,
                });
            }
            Err(reason) if is_test => desk.registry.not_run(&id, reason)?,
            Err(_) => {}
        }
    }
    Ok(doses)
}

/// The trend over the doses that are doses of their own, if the largest of them is large enough to be judged.
fn trend(desk: &mut Desk<'_>, bench: &Bench, design: &MaskedDesign<'_>) -> Result<()> {
    let id = "ablation-dose/trend";
    let series = |name: usize| format!("top-{name}");
    let distinct = || {
        let names = bench.ablation.doses.iter().map(|dose| dose.name);
        names.filter(|&name| bench.any_changes(&series(name), 0).is_ok())
    };
    let Some(largest) = distinct().next_back() else {
        return Ok(desk.registry.not_run(id, bench.ablation.reason("top-5"))?);
    };
    let judged = match bench.changes(&series(largest), 0) {
        Ok(changes) => changes,
        Err(reason) => {
            return Ok(desk
                .registry
                .not_run(id, format!("the largest dose is {reason}"))?);
        }
    };
    let mut ranked: Vec<TargetChanges> = Vec::new();
    let mut draws = Vec::new();
    for name in distinct() {
        if let Ok(changes) = bench.any_changes(&series(name), 0) {
            // A half whose largest dose is too small to judge takes no part at any dose.
            ranked.push(TargetChanges::combined([(1.0, &changes), (0.0, &judged)]));
            draws.push(bench.random(name));
        }
    }
    let outcome = design.trend(&ranked, &draws)?;
    desk.test(id, &outcome, true)
}

fn say(desk: &mut Desk<'_>, bench: &Bench) {
    let n = bench.ablation.heads.len();
    let doses = bench.ablation.doses.map(|dose| dose.heads.to_string()).join(", ");
    let draws = desk.record.context.parameters.ablation_draws;
    desk.say(format!(
        "Tests are named after the published doses of 324 heads; of this model's {n} heads the same shares are {doses}. \
         Heads are ranked by their AUROC against the reference. Whatever they do arrives at the end of the model: genes are \
         hidden there, the same ones under every condition, and the loss of predicting a gene that a perturbation moves is \
         compared with the intact model's. A perturbation is judged by its own half's targets, under heads that were ranked \
         on the other half. At each dose {draws} random sets say what silencing so many heads does anyway; the ranked ones \
         are compared with them as one more draw would be, since sets of heads differ whatever they were chosen by. The \
         trend is the slope over doses of what ranked heads do beyond random ones, on a line through the intact model. The full \
         layer is the one below the scored layer; the published one lies above it, where its silence cannot be seen. {}"
        , hidden_in_words(bench)
    ));
}

fn hidden_in_words(bench: &Bench) -> String {
    let hidden = &bench.ablation.hidden;
    let Some(Column::U64(cells)) = hidden.column("n_cells") else {
        return String::new();
    };
    let mut cells: Vec<u64> = cells.iter().flatten().copied().collect();
    cells.sort_unstable();
    match cells.get(cells.len() / 2) {
        Some(median) => format!(
            "{} genes were hidden, the median one in {median} cells.",
            cells.len()
        ),
        None => "No cell has a gene that a perturbation moves.".to_owned(),
    }
}

fn masked_series(doses: &[MaskedDose]) -> [DoseSeries; 2] {
    let ranked = doses.iter().filter_map(|dose| {
        let harm = dose.harm.ranked.as_ref().ok()?;
        Some(DosePoint {
            dose: dose.heads as f64,
            value: harm.mean,
            ci: harm.test.ci,
        })
    });
    let random = doses.iter().filter_map(|dose| {
        let n = dose.harm.random.len();
        (n > 0).then(|| DosePoint {
            dose: dose.heads as f64,
            value: dose.harm.random.iter().sum::<f64>() / n as f64,
            ci: dose.harm.of_a_draw,
        })
    });
    [
        DoseSeries::new("ranked heads", ranked),
        DoseSeries::new("random heads", random),
    ]
}

fn edge_series(bench: &Bench, rows: &[EdgeRow], smallest: &EdgeRow) -> [DoseSeries; 4] {
    let points = |prefix: &str| {
        bench
            .ablation
            .doses
            .iter()
            .filter_map(|dose| {
                let series = format!("{prefix}-{}", dose.name);
                let row = match series.as_str() {
                    "random-5" => smallest,
                    _ => rows.iter().find(|row| row.series == series)?,
                };
                let test = test_of(&row.effect.as_ref()?.difference).ok()?;
                Some(DosePoint {
                    dose: dose.heads as f64,
                    value: test.effect,
                    ci: test.ci,
                })
            })
            .collect::<Vec<_>>()
    };
    [
        DoseSeries::new("ranked heads", points("top")),
        DoseSeries::new("random heads", points("random")),
        DoseSeries::new("bottom heads", points("bottom")),
        DoseSeries::new("composite", points("composite")),
    ]
}

fn masked_table(doses: &[MaskedDose]) -> Result<Table> {
    let numbers = |of: &dyn Fn(&RankedHarm) -> Option<f64>| {
        Column::numbers(doses.iter().map(|dose| of(&dose.harm).unwrap_or(f64::NAN)))
    };
    let ranked = |harm: &RankedHarm, of: &dyn Fn(&TestResult) -> Option<f64>| {
        harm_test(&harm.ranked).ok().and_then(|test| of(&test))
    };
    let mean = |harm: &RankedHarm| {
        let n = harm.random.len();
        (n > 0).then(|| harm.random.iter().sum::<f64>() / n as f64)
    };
    let of_mean = |of: fn(&CrossedMean) -> f64| move |harm: &RankedHarm| harm.ranked.as_ref().ok().map(of);
    Ok(Table::new(doses.len())
        .with("dose", Column::counts(doses.iter().map(|dose| dose.name)))?
        .with("heads", Column::counts(doses.iter().map(|dose| dose.heads)))?
        .with("ranked", numbers(&|harm| ranked(harm, &|test| Some(test.effect))))?
        .with(
            "ci_low",
            numbers(&|harm| ranked(harm, &|test| Some(test.ci?.low))),
        )?
        .with(
            "ci_high",
            numbers(&|harm| ranked(harm, &|test| Some(test.ci?.high))),
        )?
        .with(
            "effective_genes",
            numbers(&of_mean(|mean| mean.effective_columns)),
        )?
        .with("random", numbers(&mean))?
        .with("random_low", numbers(&|harm| Some(harm.of_a_draw?.low)))?
        .with("random_high", numbers(&|harm| Some(harm.of_a_draw?.high)))?
        .with("beyond", numbers(&|harm| Some(harm.beyond.as_ref().ok()?.effect)))?
        .with(
            "beyond_low",
            numbers(&|harm| Some(harm.beyond.as_ref().ok()?.ci?.low)),
        )?
        .with(
            "beyond_high",
            numbers(&|harm| Some(harm.beyond.as_ref().ok()?.ci?.high)),
        )?)
}
