//! `parameter-sensitivity`: does the result hold over fold-change thresholds, control cells and panel sizes?

use anyhow::{Context as _, Result};
use scfm_baselines::sensitivity::GENE_LEVEL;
use scfm_core::{Column, Table};
use scfm_report::{Effect, forest};
use scfm_stats::{EffectKind, Estimate, Interval, TestResult, intersection_union};

use super::Desk;
use crate::evidence::{names, table};

pub const ID: &str = "parameter-sensitivity";

pub fn run(desk: &mut Desk<'_>) -> Result<()> {
    let grid = table(desk.run, names::PARAMETER_GRID)?;
    let settings: Vec<Setting> = (0..grid.n_rows())
        .map(|row| Setting::read(&grid, row))
        .collect::<Result<_>>()?;
    let n = Some(settings.len());

    let undecided = settings
        .iter()
        .find_map(|setting| Some((setting, setting.undefined.as_ref()?)));
    match undecided {
        Some((setting, reason)) => desk.registry.undefined(
            "parameter-sensitivity/all-above-chance",
            format!("{}: {reason}", setting.name()),
        )?,
        None => {
            let tests: Vec<TestResult> = settings.iter().map(Setting::test).collect::<Result<_>>()?;
            let all = scfm_stats::defined(intersection_union(&tests))?;
            desk.test("parameter-sensitivity/all-above-chance", &all, false)?;
        }
    }
    let known: Vec<&Setting> = settings.iter().filter(|s| s.attention.is_finite()).collect();
    let by_attention = |a: &&&Setting, b: &&&Setting| a.attention.total_cmp(&b.attention);
    for (id, setting) in [
        ("auroc-lowest", known.iter().min_by(by_attention)),
        ("auroc-highest", known.iter().max_by(by_attention)),
    ] {
        let id = format!("parameter-sensitivity/{id}");
        match setting {
            Some(setting) => desk.figure(&id, Ok(setting.attention), setting.ci, n, false)?,
            None => desk.registry.undefined(&id, "no perturbation can be evaluated")?,
        }
    }
    for (i, feature) in GENE_LEVEL.iter().enumerate() {
        let id = format!("parameter-sensitivity/{feature}-wins");
        let wins = known.iter().filter(|s| s.gene_level[i] > s.attention).count();
        match known.len() {
            0 => desk.registry.undefined(&id, "no perturbation can be evaluated")?,
            n => desk.figure(&id, Ok(wins as f64 / n as f64), None, Some(n), false)?,
        }
    }

    desk.say(format!(
        "{} settings: every combination of a threshold of |LFC|, a number of control cells and a size of the panel that the \
         context asks for; where a data set has fewer cells or genes than asked for, what would be the same setting again is \
         left out. All settings must lie on one side of 0.5: the p-value is the largest of all.",
        settings.len()
    ));
    let effects: Vec<Effect> = known
        .iter()
        .map(|setting| Effect {
            name: setting.name(),
            estimate: setting.attention - 0.5,
            ci: setting.ci.map(|ci| Interval {
                low: ci.low - 0.5,
                high: ci.high - 0.5,
                level: ci.level,
            }),
        })
        .collect();
    if !effects.is_empty() {
        desk.show_figure(
            "Mean AUROC of attention − 0.5 in every setting, with crossed 95 % intervals",
            forest(&effects, "mean AUROC − 0.5", None),
        );
    }
    desk.show_table("Every setting", grid);
    Ok(())
}

/// A row of the grid.
struct Setting {
    n_ctrl: usize,
    hvg: usize,
    lfc: f64,
    n_evaluable: usize,
    attention: f64,
    ci: Option<Interval>,
    standard_error: f64,
    df: f64,
    gene_level: [f64; 3],
    /// Why attention has no test.
    undefined: Option<String>,
}

impl Setting {
    fn read(grid: &Table, row: usize) -> Result<Self> {
        let number = |name: &str| match grid.column(name) {
            Some(Column::F64(values)) => Ok(values[row].unwrap_or(f64::NAN)),
            _ => Err(anyhow::anyhow!("{} has no numbers {name}", names::PARAMETER_GRID)),
        };
        let count = |name: &str| match grid.column(name) {
            Some(Column::U64(values)) => Ok(values[row].unwrap_or(0) as usize),
            _ => Err(anyhow::anyhow!("{} has no counts {name}", names::PARAMETER_GRID)),
        };
        let (low, high) = (number("ci_low")?, number("ci_high")?);
        let mut gene_level = [f64::NAN; 3];
        for (value, name) in gene_level.iter_mut().zip(GENE_LEVEL) {
            *value = number(&format!("auroc_{name}"))?;
        }
        let Some(Column::Text(undefined)) = grid.column("undefined") else {
            anyhow::bail!("{} has no column undefined", names::PARAMETER_GRID);
        };
        Ok(Self {
            n_ctrl: count("n_ctrl")?,
            hvg: count("hvg")?,
            lfc: number("lfc")?,
            n_evaluable: count("n_evaluable")?,
            attention: number("auroc_attention")?,
            ci: (low.is_finite() && high.is_finite()).then_some(Interval {
                low,
                high,
                level: 0.95,
            }),
            standard_error: number("standard_error")?,
            df: number("df")?,
            gene_level,
            undefined: undefined[row].clone(),
        })
    }

    fn name(&self) -> String {
        format!("{} cells, {} genes, |LFC| > {}", self.n_ctrl, self.hvg, self.lfc)
    }

    /// The crossed test that the row is the outcome of.
    fn test(&self) -> Result<TestResult> {
        let above = Estimate::new(self.attention - 0.5, self.standard_error, self.df)
            .with_context(|| format!("{}: {}", names::PARAMETER_GRID, self.name()))?;
        let test = above.test(
            "crossed AUROC",
            "mean AUROC",
            EffectKind::Auroc,
            self.n_evaluable,
            "rows",
        )?;
        Ok(test.shifted(0.5))
    }
}
