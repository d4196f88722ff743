//! From test results to a verdict that people can check: the plan of tests, the registry, the correction, the verdict
//! and the report.
//!
//! Every test is declared in the [`Plan`] before anything is computed. A run fills a [`Registry`], which takes nothing
//! that was not planned and nothing twice:
//!
//! ```
//! use scfm_report::{Estimate, Plan, Registry};
//!
//! let mut registry = Registry::declare(Plan::embedded(), "rpe1");
//! registry.describe("perturbation-first/n-evaluable", Estimate::new(49.0), "responses sha256:1f…", None)?;
//! registry.undefined("perturbation-first/attention-above-chance", "too few perturbations: 7, needs 20")?;
//! registry.not_run_rest("scaling", "no atlas")?;
//! assert!(registry.describe("perturbation-first/horoscope", Estimate::new(1.0), "", None).is_err());
//!
//! let registry = registry.correct(0.05);
//! let row = registry.row("perturbation-first/attention-above-chance").unwrap();
//! assert_eq!(row.q, Some(1.0)); // an undefined hypothesis stays in the family
//! # Ok::<(), scfm_report::Error>(())
//! ```
//!
//! The [`Verdict`] reads the closed registry alone, so it can be reached again from the stored table:
//!
//! ```
//! use scfm_report::{CorrectedRegistry, Plan, Registry, Thresholds, Verdict, VerdictOutcome};
//!
//! let stored = Registry::declare(Plan::embedded(), "rpe1").correct(0.05).to_table();
//! let registry = CorrectedRegistry::from_table(Plan::embedded(), &stored, 0.05)?;
//! let verdict = Verdict::reach(&registry, &Thresholds::default(), true);
//! assert_eq!(verdict.outcome, VerdictOutcome::Undecided); // nothing ran
//! # Ok::<(), scfm_report::Error>(())
//! ```
//!
//! Figures are SVG that stands alone or goes into a [`Report`], one HTML file without network:
//!
//! ```
//! use scfm_report::{ScoreSet, auroc_distributions};
//!
//! let figure = auroc_distributions(&[
//!     ScoreSet { name: "attention", values: &[0.71, 0.64, 0.58] },
//!     ScoreSet { name: "variance of the target", values: &[0.88, 0.79, 0.91] },
//! ]);
//! assert!(figure.svg().starts_with("<svg"));
//! ```

mod calibration;
mod comparison;
mod corrected;
mod criteria;
mod error;
mod families;
mod figure;
mod number;
mod plan;
mod registry;
mod report;
mod statements;
#[cfg(test)]
mod testing;
mod verdict;

pub use calibration::{CalibratedTest, CalibratedVerdict, Calibration, Rejections};
pub use comparison::{Compared, ComparedRow, Comparison, Found};
pub use corrected::{CorrectedRegistry, Row};
pub use error::Error;
pub use families::{Correction, FamilyCount};
pub use figure::{
    AurocBar, CovariateBalance, Curve, DosePoint, DoseSeries, Effect, Figure, LayerAuroc, LayerProfile,
    Measure, NamedPoint, PointGroup, Scale, ScoreSet, auroc_bars, auroc_distributions, balance_plot, curves,
    dose_response, forest, layer_profile, layer_profiles, named_points, pair_density, scatter,
};
pub use plan::{Alternative, Claim, Family, Kind, Need, Plan, PlannedAnalysis, PlannedTest, World};
pub use registry::{Estimate, Measured, Outcome, Registry};
pub use report::{Block, Meta, Report, Section};
pub use verdict::{Criterion, CriterionId, Thresholds, Verdict, VerdictOutcome};
