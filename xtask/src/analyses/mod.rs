//! The analyses that run today: each takes stored evidence, calls a library crate, and gives every result the name
//! that the plan has for it.

mod ablation_dose;
mod biology_layers;
mod coexpression_mapping;
mod condition_specific;
mod context;
mod cssi_attention;
mod cssi_structured;
mod cssi_synthetic;
pub mod degree_null;
mod expression_matched;
mod gene_baselines;
mod hard_generalisation;
mod head_ablation;
mod hvg_protocol;
mod incremental_value;
mod intervention_fidelity;
mod layer_selection;
mod mediation_bias;
mod orthogonal_interventions;
mod parameter_sensitivity;
mod per_tf;
mod perturbation_first;
mod propensity_matching;
mod reference_circularity;
mod residualisation;
mod scaling;
mod silenced;
mod value_weighted;

use anyhow::Result;
use scfm_baselines::ScoredCandidates;
use scfm_core::{EdgeKind, EdgeMatrix, Seeds, Table};
use scfm_perturb::EvaluationParams;
use scfm_report::{Block, Estimate, Figure, Need, Plan, Registry};
use scfm_stats::{CrossedAuroc, Interval, TestResult, Undefined};

use crate::context::Parameters;
use crate::evidence::{Evidence, names};
use crate::failure::bad_input;
use crate::others::{Beside, OtherRun};
use crate::record::RunRecord;
use crate::run_folder::RunFolder;

/// The test of a crossed AUROC, or why there is none.
fn test_of(crossed: &Result<CrossedAuroc, Undefined>) -> Result<TestResult, Undefined> {
    crossed
        .as_ref()
        .map(|crossed| crossed.test.clone())
        .map_err(Clone::clone)
}

/// An analysis of the plan with the code that runs it.
pub struct Analysis {
    pub id: &'static str,
    pub run: fn(&mut Desk<'_>) -> Result<()>,
}

/// All analyses that are built, in the order of the plan.
pub const ALL: &[Analysis] = &[
    Analysis {
        id: scaling::ID,
        run: scaling::run,
    },
    Analysis {
        id: coexpression_mapping::ID,
        run: coexpression_mapping::run,
    },
    Analysis {
        id: value_weighted::ID,
        run: value_weighted::run,
    },
    Analysis {
        id: biology_layers::ID,
        run: biology_layers::run,
    },
    Analysis {
        id: per_tf::ID,
        run: per_tf::run,
    },
    Analysis {
        id: perturbation_first::ID,
        run: perturbation_first::run,
    },
    Analysis {
        id: parameter_sensitivity::ID,
        run: parameter_sensitivity::run,
    },
    Analysis {
        id: layer_selection::ID,
        run: layer_selection::run,
    },
    Analysis {
        id: gene_baselines::ID,
        run: gene_baselines::run,
    },
    Analysis {
        id: incremental_value::ID,
        run: incremental_value::run,
    },
    Analysis {
        id: hard_generalisation::ID,
        run: hard_generalisation::run,
    },
    Analysis {
        id: residualisation::ID,
        run: residualisation::run,
    },
    Analysis {
        id: degree_null::ID,
        run: degree_null::run,
    },
    Analysis {
        id: reference_circularity::ID,
        run: reference_circularity::run,
    },
    Analysis {
        id: propensity_matching::ID,
        run: propensity_matching::run,
    },
    Analysis {
        id: expression_matched::ID,
        run: expression_matched::run,
    },
    Analysis {
        id: head_ablation::ID,
        run: head_ablation::run,
    },
    Analysis {
        id: ablation_dose::ID,
        run: ablation_dose::run,
    },
    Analysis {
        id: orthogonal_interventions::ID,
        run: orthogonal_interventions::run,
    },
    Analysis {
        id: intervention_fidelity::ID,
        run: intervention_fidelity::run,
    },
    Analysis {
        id: mediation_bias::ID,
        run: mediation_bias::run,
    },
    Analysis {
        id: context::CRISPRA,
        run: context::crispra,
    },
    Analysis {
        id: context::T_CELL,
        run: context::t_cell,
    },
    Analysis {
        id: context::RPE1,
        run: context::rpe1,
    },
    Analysis {
        id: context::NEURON,
        run: context::neuron,
    },
    Analysis {
        id: hvg_protocol::ID,
        run: hvg_protocol::run,
    },
    Analysis {
        id: condition_specific::ID,
        run: condition_specific::run,
    },
    Analysis {
        id: cssi_synthetic::ID,
        run: cssi_synthetic::run,
    },
    Analysis {
        id: cssi_structured::ID,
        run: cssi_structured::run,
    },
    Analysis {
        id: cssi_attention::ID,
        run: cssi_attention::run,
    },
];

/// Analyses that silence parts of the model.
pub const OF_ABLATION: &[&str] = &[
    head_ablation::ID,
    ablation_dose::ID,
    orthogonal_interventions::ID,
    intervention_fidelity::ID,
];

/// Analyses that read the attention of single heads.
pub const OF_HEADS: &[&str] = &[
    expression_matched::ID,
    head_ablation::ID,
    ablation_dose::ID,
    orthogonal_interventions::ID,
    intervention_fidelity::ID,
];

/// The analysis beside whose results the report shows what speaks for and against the screen.
pub const SCREEN_QUALITY: &str = perturbation_first::ID;

/// What an analysis works with and where its results go. The evidence is that of a run with a model and a screen, or
/// whatever less a caller has.
pub struct Desk<'a, E = Evidence> {
    pub evidence: &'a E,
    pub record: &'a RunRecord,
    pub registry: &'a mut Registry,
    pub run: &'a RunFolder,
    /// What the report shows of it.
    pub blocks: Vec<Block>,
}

impl<E> Desk<'_, E> {
    pub fn seeds(&self) -> Seeds {
        Seeds::new(self.record.seed)
    }

    /// Registers a test or the reason why it has no value. `random` tells whether it drew random numbers.
    pub fn test(&mut self, id: &str, outcome: &Result<TestResult, Undefined>, random: bool) -> Result<()> {
        let seed = random.then_some(self.record.seed);
        let mut outcome = outcome.clone();
        // The statistics know of rows and nodes; what these are, the plan says.
        let planned = Plan::embedded().test(id);
        if let (Ok(result), Some(planned)) = (&mut outcome, planned)
            && ["rows", "nodes", "pairs", "values"].contains(&result.n_unit)
        {
            result.n_unit = &planned.n_unit;
        }
        Ok(self
            .registry
            .record_outcome(id, &outcome, self.record.provenance(), seed)?)
    }

    /// Registers a figure, or that it has no value.
    pub fn figure(
        &mut self,
        id: &str,
        value: Result<f64, Undefined>,
        ci: Option<Interval>,
        n: Option<usize>,
        random: bool,
    ) -> Result<()> {
        let seed = random.then_some(self.record.seed);
        match value {
            Ok(value) if value.is_finite() => {
                let figure = Estimate { value, ci, n };
                Ok(self
                    .registry
                    .describe(id, figure, self.record.provenance(), seed)?)
            }
            Ok(_) => Ok(self.registry.undefined(id, "not a number")?),
            Err(reason) => Ok(self.registry.undefined(id, reason.to_string())?),
        }
    }

    pub fn show_table(&mut self, caption: &str, table: Table) {
        self.blocks.push(Block::Table {
            caption: caption.to_owned(),
            table,
        });
    }

    pub fn show_figure(&mut self, caption: &str, figure: Figure) {
        self.blocks.push(Block::Figure {
            caption: caption.to_owned(),
            figure,
        });
    }

    /// Writes a table of the analysis into the run folder and shows it.
    pub fn keep_table(&mut self, file: &str, caption: &str, table: Table) -> Result<()> {
        let simulated = ("scfm.simulated".to_owned(), self.record.simulated.to_string());
        scfm_io::write_table(
            &self.run.file(format!("tables/{file}.parquet")),
            &table,
            &[simulated],
        )?;
        self.show_table(caption, table);
        Ok(())
    }

    /// Edges that a stage of this analysis alone wrote, where it did.
    pub fn edges(&self, kind: impl Into<EdgeKind>) -> Result<Option<EdgeMatrix>> {
        let file = self.run.file(names::edges(kind.into()));
        Ok(match file.exists() {
            true => Some(scfm_io::read_edges(&file)?.0),
            false => None,
        })
    }

    /// The run of another context that this one looks at, where it has one.
    pub fn other(&self, context: &str) -> Result<Option<OtherRun>> {
        let folder = self.record.others.get(context);
        folder
            .map(|name| OtherRun::open(&self.run.file("..").join(name)))
            .transpose()
    }

    /// Runs of other checkpoints on the same data.
    pub fn beside(&self) -> Result<Vec<Beside>> {
        self.record
            .beside
            .iter()
            .map(|folder| Beside::open(folder))
            .collect()
    }

    /// Registers every test of the analysis as undefined for one reason.
    pub fn undefined_all(&mut self, analysis: &str, reason: &str) -> Result<()> {
        let planned = Plan::embedded()
            .analysis(analysis)
            .map(|a| a.tests.as_slice())
            .unwrap_or_default();
        for test in planned {
            if !self.registry.is_registered(&test.id) {
                self.registry.undefined(&test.id, reason)?;
            }
        }
        self.say(format!("Nothing could be evaluated: {reason}."));
        Ok(())
    }
}

impl Desk<'_> {
    /// The candidates on which attention, correlation and gene-level features are all defined, or why there are none.
    pub fn candidates(&self) -> Result<Result<ScoredCandidates, String>> {
        let parameters = &self.record.context.parameters;
        let candidates = ScoredCandidates::new(
            &self.evidence.responses,
            self.evidence.scored_attention(),
            &self.evidence.correlation,
            &self.evidence.features,
            parameters.min_positives,
            parameters.min_negatives,
        );
        match candidates {
            Ok(candidates) => Ok(Ok(candidates)),
            Err(scfm_baselines::Error::Stats(scfm_stats::Error::Undefined(reason))) => {
                Ok(Err(reason.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// How perturbations are evaluated.
fn evaluation_params(parameters: &Parameters) -> EvaluationParams {
    EvaluationParams {
        min_positives: parameters.min_positives,
        min_negatives: parameters.min_negatives,
        n_bootstrap: parameters.bootstrap,
        ..EvaluationParams::default()
    }
}

/// The analyses that the user chose: all, those named, or all but those named with a minus.
pub fn select(wanted: &[String]) -> Result<Vec<&'static str>> {
    let all: Vec<&'static str> = ALL.iter().map(|analysis| analysis.id).collect();
    for id in wanted.iter().map(|w| w.trim_start_matches('-')) {
        if !all.contains(&id) {
            let planned = Plan::embedded().analysis(id).is_some();
            let why = if planned {
                "planned, but not implemented"
            } else {
                "not an analysis"
            };
            return Err(bad_input(format!(
                "--analyses {id}: {why}; there are {}",
                all.join(", ")
            )));
        }
    }
    let (without, with): (Vec<&String>, Vec<&String>) = wanted.iter().partition(|w| w.starts_with('-'));
    Ok(all
        .into_iter()
        .filter(|id| with.is_empty() || with.iter().any(|w| w == id))
        .filter(|id| !without.iter().any(|w| &w[1..] == *id))
        .collect())
}

/// Why an analysis does not run on a list of edges and what else is `present`.
pub fn missing(needs: &[Need], present: &[Need]) -> String {
    let mut words: Vec<&str> = Vec::new();
    for need in needs.iter().filter(|need| !present.contains(need)) {
        let word = match need {
            Need::Model | Need::AttentionHeads | Need::ValueEdges => "the model",
            Need::Correlation | Need::GeneFeatures | Need::Cells => "cells",
            Need::Screen => "a screen",
            other => other.as_str(),
        };
        if !words.contains(&word) {
            words.push(word);
        }
    }
    if words.is_empty() {
        "not implemented for lists of edges".to_owned()
    } else {
        format!("needs {}", words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn analyses_are_chosen_by_name_or_left_out_by_minus() {
        let strings = |s: &[&str]| s.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(select(&[]).unwrap().len(), ALL.len());
        assert_eq!(select(&strings(&["gene-baselines"])).unwrap(), ["gene-baselines"]);
        assert_eq!(
            select(&strings(&["-gene-baselines"])).unwrap().len(),
            ALL.len() - 1
        );
        assert!(
            select(&strings(&["multi-model"]))
                .unwrap_err()
                .to_string()
                .contains("not implemented")
        );
        assert!(
            select(&strings(&["horoscope"]))
                .unwrap_err()
                .to_string()
                .contains("not an analysis")
        );
    }

    #[test]
    fn every_analysis_is_planned() {
        for analysis in ALL {
            assert!(
                Plan::embedded().analysis(analysis.id).is_some(),
                "{}",
                analysis.id
            );
        }
    }
}
