//! Which part of the components' rankings survives the bias of their runs.

use anyhow::Result;
use scfm_ablation::{BiasModel, LAMBDAS, certified_share, is_top_certified};
use scfm_core::{Column, Table};
use scfm_stats::Undefined;

use super::stored::Run;

/// Certified shares over λ.
pub(super) struct Certificates {
    /// 0, then those of the literature.
    pub(super) lambdas: Vec<f64>,
    /// By run, shares under a uniform bias.
    pub(super) by_run: Vec<Vec<f64>>,
    /// By model of the bias, means over runs.
    pub(super) models: Vec<(BiasModel, Vec<f64>)>,
    /// Share of runs whose largest component is certified, under a uniform bias.
    top: Vec<f64>,
}

impl Certificates {
    pub(super) fn of(runs: &[&Run]) -> Result<Self> {
        let lambdas: Vec<f64> = std::iter::once(0.0).chain(LAMBDAS).collect();
        let budget = |run: &Run, lambda: f64| lambda * run.bound();
        let shares = |model| -> Result<Vec<Vec<f64>>, Undefined> {
            let of_run = |run: &&Run| {
                let components = run.shares();
                let share = |&lambda: &f64| certified_share(&components, budget(run, lambda), model);
                lambdas.iter().map(share).collect()
            };
            runs.iter().map(of_run).collect()
        };
        let mean = |by_run: &[Vec<f64>]| -> Vec<f64> {
            let mean_at = |i: usize| by_run.iter().map(|shares| shares[i]).sum::<f64>() / by_run.len() as f64;
            (0..lambdas.len()).map(mean_at).collect()
        };
        let mut models = Vec::new();
        for model in [
            BiasModel::Uniform,
            BiasModel::Proportional,
            BiasModel::Concentrated,
        ] {
            models.push((model, mean(&shares(model)?)));
        }
        let mut top = Vec::new();
        for &lambda in &lambdas {
            let mut certified = 0;
            for run in runs {
                certified += usize::from(is_top_certified(
                    &run.shares(),
                    budget(run, lambda),
                    BiasModel::Uniform,
                )?);
            }
            top.push(certified as f64 / runs.len() as f64);
        }
        Ok(Self {
            by_run: shares(BiasModel::Uniform)?,
            lambdas,
            models,
            top,
        })
    }

    /// Mean share under a uniform bias, where there are runs.
    pub(super) fn mean_at(&self, lambda: f64) -> Option<f64> {
        let at = self.lambdas.iter().position(|l| *l == lambda)?;
        Some(self.models[0].1[at]).filter(|share| share.is_finite())
    }

    pub(super) fn table(&self) -> Result<Table> {
        let mut table =
            Table::new(self.lambdas.len()).with("lambda", Column::numbers(self.lambdas.iter().copied()))?;
        for (model, shares) in &self.models {
            table.push(model.as_str(), Column::numbers(shares.iter().copied()))?;
        }
        Ok(table.with("largest_certified", Column::numbers(self.top.iter().copied()))?)
    }
}
