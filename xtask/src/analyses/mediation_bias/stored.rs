//! The runs of the stage as they are stored.

use anyhow::Result;
use scfm_ablation::{OverCells, Residual};

use crate::analyses::Desk;
use crate::evidence::{names, numbers, text};

/// A run of the stored tables.
pub(super) struct Run {
    pub(super) name: String,
    pub(super) granularity: String,
    pub(super) total: OverCells,
    pub(super) residual: Residual,
    pub(super) published: Residual,
    pub(super) components: Vec<Component>,
}

pub(super) struct Component {
    pub(super) name: String,
    /// Share of the total effect that it restores alone.
    pub(super) share: OverCells,
    /// Shapley value as a share of the total effect.
    pub(super) shapley: f64,
}

impl Run {
    /// Whether any cell has a total effect to speak of.
    pub(super) fn is_defined(&self) -> bool {
        self.residual.value.is_finite()
    }

    /// Lower bound of non-additivity as a share of the total effect.
    pub(super) fn bound(&self) -> f64 {
        self.residual.student_lower_bound().unwrap_or(f64::NAN)
    }

    pub(super) fn shares(&self) -> Vec<OverCells> {
        self.components.iter().map(|c| c.share).collect()
    }
}

pub(super) struct Stored {
    pub(super) runs: Vec<Run>,
    /// Why there are none.
    pub(super) reason: Option<String>,
    pub(super) read_out: String,
    pub(super) silenced: String,
}

impl Stored {
    pub(super) fn read(desk: &Desk<'_>) -> Result<Self> {
        let (table, metadata) = scfm_io::read_table(&desk.run.file(names::MEDIATION_RUNS))?;
        let (components, _) = scfm_io::read_table(&desk.run.file(names::MEDIATION_COMPONENTS))?;
        let said = |key: &str| {
            metadata
                .iter()
                .find(|(k, _)| k == key)
                .map(|(_, value)| value.clone())
        };
        let column = |name| numbers(&table, name);
        let (sources, targets) = (text(&table, "source")?, text(&table, "target")?);
        let granularities = text(&table, "granularity")?;
        let (n_cells, totals, spreads) = (column("n_cells")?, column("total")?, column("total_sd")?);
        let (residuals, errors) = (column("residual")?, column("residual_se")?);
        let published = (column("published_residual")?, column("published_residual_se")?);

        // Components stand in the order of the runs.
        let keys: Vec<(&str, &str, &str)> = text(&components, "source")?
            .into_iter()
            .zip(text(&components, "target")?)
            .zip(text(&components, "granularity")?)
            .map(|((source, target), granularity)| (source, target, granularity))
            .collect();
        let of_component = |name| numbers(&components, name);
        let (shares, share_errors) = (of_component("share")?, of_component("share_se")?);
        let (shapley, component_names) = (of_component("shapley_share")?, text(&components, "component")?);
        let mut at = 0;
        let mut runs = Vec::with_capacity(sources.len());
        for row in 0..sources.len() {
            let key = (sources[row], targets[row], granularities[row]);
            let n = n_cells[row] as usize;
            let start = at;
            while keys.get(at) == Some(&key) {
                at += 1;
            }
            let of_run = (start..at).map(|i| Component {
                name: component_names[i].to_owned(),
                share: OverCells {
                    mean: shares[i],
                    std: share_errors[i] * (n as f64).sqrt(),
                    n,
                },
                shapley: shapley[i],
            });
            let residual = |value, standard_error| Residual {
                value,
                standard_error,
                n_cells: n,
            };
            runs.push(Run {
                name: format!("{} → {}", sources[row], targets[row]),
                granularity: granularities[row].to_owned(),
                total: OverCells {
                    mean: totals[row],
                    std: spreads[row],
                    n,
                },
                residual: residual(residuals[row], errors[row]),
                published: residual(published.0[row], published.1[row]),
                components: of_run.collect(),
            });
        }
        Ok(Self {
            runs,
            reason: said("scfm.reason"),
            read_out: said("scfm.read_out").unwrap_or_default(),
            silenced: said("scfm.silenced").unwrap_or_default(),
        })
    }
}
