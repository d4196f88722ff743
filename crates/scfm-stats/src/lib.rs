//! Rank-based tests, intervals, curves and corrections for network evaluation.
//!
//! Pure statistics over slices and matrices; nothing here knows of cells or genes. Three rules hold throughout. Bad
//! input is an [`Error`] that says where; a statistic that the data cannot give is an [`Undefined`] with its reason
//! ([`defined`] tells the two apart), never a neutral number. Ties are shared, not broken: results do not depend on the
//! order of the input. Random draws come from streams that the caller hands in, one per replicate, so that results are
//! the same bits for any number of threads.
//!
//! A score against labels:
//!
//! ```
//! use scfm_stats::{auroc, average_precision, mann_whitney};
//!
//! let scores = [0.9, 0.8, 0.8, 0.3, 0.1];
//! let labels = [true, true, false, false, false];
//! assert_eq!(auroc(&scores, &labels)?, 5.5 / 6.0);
//! assert_eq!(average_precision(&scores, &labels)?.base_rate, 0.4);
//! // The same number as the effect of a Mann-Whitney test.
//! let test = mann_whitney(&[0.9, 0.8], &[0.8, 0.3, 0.1])?;
//! assert_eq!(test.effect, 5.5 / 6.0);
//! # Ok::<(), scfm_stats::Error>(())
//! ```
//!
//! The heart of the crate: many rows (perturbations) that rank the same columns (genes). Rows are then not independent,
//! and a t test over their AUROCs finds effects in noise; [`crossed_auroc`] counts the shared columns.
//!
//! ```
//! use ndarray::Array2;
//! use scfm_stats::{CrossedLimits, LabelledGrid, crossed_auroc};
//!
//! let scores = Array2::from_shape_fn((24, 80), |(row, gene)| f64::from((row * 31 + gene * 17) as u32 % 101));
//! let positive = Array2::from_shape_fn((24, 80), |(row, gene)| (row * 7 + gene * 13) % 11 == 0);
//! let candidate = Array2::from_elem((24, 80), true);
//! let labels = LabelledGrid { positive: positive.view(), candidate: candidate.view() };
//!
//! let crossed = crossed_auroc(scores.view(), labels, &CrossedLimits::default())?;
//! assert_eq!(crossed.per_row.len(), 24);
//! assert!(crossed.test.p.p() > 0.05);
//! # Ok::<(), scfm_stats::Error>(())
//! ```
//!
//! A family of p-values:
//!
//! ```
//! use scfm_stats::benjamini_hochberg;
//!
//! let adjusted = benjamini_hochberg(&[0.001, 0.02, 0.8]);
//! assert_eq!(adjusted.iter().filter(|&&q| q <= 0.05).count(), 2);
//! ```

#![doc = ""]
#![doc = include_str!("../oracles.md")]
#![allow(
    clippy::needless_pass_by_value,
    reason = "array views are passed by value, as slices are"
)]

mod auroc_interval;
mod bootstrap;
mod clustered;
mod columns;
mod contingency;
mod correction;
mod correlation;
mod crossed;
mod crossed_mean;
mod curves;
mod delong;
mod draws;
mod equivalence;
mod error;
mod estimate;
mod gene_permutation;
mod gram;
mod grid;
mod growth_curve;
mod intersection_union;
mod kendall;
mod level_trend;
mod mann_whitney;
mod meta_analysis;
mod node_bootstrap;
mod node_permutation;
mod node_permutation_partial;
mod p_value;
mod pair_auroc;
mod partial;
mod permutation;
mod power;
mod proportion;
mod rank_sum;
mod ranks;
mod result;
mod sides;
mod sign_flip;
mod signed_rank;
mod sort;
mod stratified;
mod student;
mod student_tails;
mod tails;
mod trend;
mod two_groups;
mod two_way_bootstrap;
mod two_way_metrics;

pub use auroc_interval::auroc_interval;
pub use bootstrap::{Bootstrap, bootstrap, bootstrap_mean, leave_one_out};
pub use clustered::{Clustered, Clusters};
pub use columns::{Columns, SparseColumns, pearson_columns, spearman_columns};
pub use contingency::{chi_squared, fisher_exact, hypergeometric_enrichment, mcnemar};
pub use correction::{Probability, benjamini_hochberg, benjamini_yekutieli, bonferroni, holm};
pub use correlation::{pearson, spearman};
pub use crossed::{
    CrossedAuroc, CrossedLimits, Design, crossed_auroc, crossed_contrast, crossed_difference,
    crossed_label_difference,
};
pub use crossed_mean::{CrossedMean, crossed_mean};
pub use curves::{AveragePrecision, TopK, auroc, average_precision, early_precision_ratio, top_k};
pub use delong::{delong_auroc, delong_difference};
pub use equivalence::{non_superiority, tost};
pub use error::{Error, Undefined, defined};
pub use estimate::Estimate;
pub use gene_permutation::gene_permutation_auroc;
pub use grid::{LabelledGrid, row_aurocs, row_average_precisions};
pub use growth_curve::{CurveFit, GrowthCurve};
pub use intersection_union::intersection_union;
pub use kendall::kendall;
pub use level_trend::level_trend;
pub use mann_whitney::{SortedSample, mann_whitney, mann_whitney_sorted};
pub use meta_analysis::{CombinedEffect, combine_effects};
pub use node_bootstrap::{NodeBootstrap, NodeInfluence, node_influence};
pub use node_permutation::node_permutation_spearman;
pub use node_permutation_partial::{PartialMembership, node_permutation_partial};
pub use p_value::PValue;
pub use pair_auroc::{PairAuroc, PairDesign, PairLimits, pair_auroc, pair_auroc_difference, weighted_auroc};
pub use partial::RankCovariates;
pub use permutation::{PermutationLimits, PermutationP, permutation_p_interval, permutation_test};
pub use power::{auroc_power, hanley_mcneil_error, paired_t_pairs, paired_t_power};
pub use proportion::{binomial_test, clopper_pearson, wilson};
pub use rank_sum::RankSum;
pub use ranks::{SortedScores, mid_ranks};
pub use result::{Alternative, EffectKind, Interval, TestResult};
pub use sides::Sides;
pub use sign_flip::{SignFlip, sign_flip_test};
pub use signed_rank::{Zeros, sign_test, wilcoxon_signed_rank};
pub use stratified::{stratified_welch, stratum_shares, van_elteren};
pub use student::{Moments, cohen_d, one_sample_t, paired_t, welch_t, welch_t_from_moments};
pub use trend::{jonckheere_terpstra, page_trend};
pub use two_groups::mean_difference_permutation;
pub use two_way_bootstrap::{TwoWayBootstrap, two_way_bootstrap};
pub use two_way_metrics::{RowMetric, TwoWayMetrics, two_way_metrics};

/// Level of the intervals beside two-sided tests.
const CONFIDENCE: f64 = 0.95;
