//! Simple things that a network must beat before it is believed: gene-level features, correlation edges, and
//! models of the response that know no edge.
//!
//! [`gene_features`] and [`spearman_edges`] come from the control cells alone. [`ScoredCandidates`] brings a
//! screen, two edge scores and the features onto the pairs where all are defined. On it, [`gene_baselines`] asks
//! whether a gene-level score ranks targets as well as an edge score, and [`incremental_value`] whether edges add
//! anything to gene-level features on unseen perturbations. [`layer_selection`] chooses a layer without choosing it on its
//! own test data. [`coexpression_mapping`] asks what attention follows.
//! [`LogisticRegression`], [`NaturalSpline`] and [`group_k_fold`] are of use alone.
//!
//! Features and correlation edges of three cells:
//!
//! ```
//! use scfm_baselines::{features, gene_features, spearman_edges};
//! use scfm_core::{CountMatrix, Panel};
//! use sprs::CsMat;
//!
//! let genes = Panel::new(["GATA1", "KLF1"])?;
//! let counts = CsMat::new((3, 2), vec![0, 2, 4, 4], vec![0, 1, 0, 1], vec![5.0, 1.0, 2.0, 1.0]);
//! let cells = CountMatrix::new(genes.clone(), counts, vec![1000.0, 1000.0, 1000.0])?;
//!
//! let table = gene_features(&cells)?;
//! assert_eq!(table.feature(features::DETECTION).unwrap()[0], 2.0 / 3.0);
//! let edges = spearman_edges(&cells, &genes, &genes)?;
//! assert!(edges.scores()[[0, 1]] > 0.8);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A curve through a logistic regression:
//!
//! ```
//! use ndarray::Array1;
//! use scfm_baselines::{LogisticRegression, NaturalSpline, Standardisation};
//!
//! // Genes of middling expression respond, which no straight line can say.
//! let expression = Array1::<f64>::linspace(0.0, 1.0, 100);
//! let responds: Vec<bool> = expression.iter().map(|x| (x - 0.5).abs() < 0.2).collect();
//!
//! let spline = NaturalSpline::at_quantiles(expression.view(), 4)?;
//! let columns = spline.columns(expression.view());
//! let standardised = Standardisation::of(columns.view()).apply(columns.view());
//! let log_odds = LogisticRegression::default().fit(standardised.view(), &responds)?.log_odds(standardised.view());
//! assert_eq!(scfm_stats::auroc(&log_odds.to_vec(), &responds)?, 1.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// Views of arrays are cheap copies and go by value, as everywhere in ndarray.
#![allow(clippy::needless_pass_by_value)]

mod candidates;
mod coexpression;
mod correlation;
mod error;
pub mod features;
mod folds;
mod gain;
mod gene_baselines;
mod generalisation;
mod held_out;
mod incremental;
mod increments;
mod layer_selection;
mod least_squares;
mod logistic;
mod matching;
mod newton;
mod null_battery;
mod pairs;
mod placebo;
mod propensity;
mod residuals;
mod retention;
pub mod sensitivity;
mod splines;
mod splits;
mod trees;

pub use candidates::ScoredCandidates;
pub use coexpression::{Association, CoexpressionMapping, Mapping, coexpression_mapping};
pub use correlation::{codetection, spearman_edges};
pub use error::Error;
pub use features::gene_features;
pub use folds::group_k_fold;
pub use gain::{Difference, Gain, GainParams};
pub use gene_baselines::{BaselineTest, GeneBaselines, gene_baselines};
pub use generalisation::{Generalisation, GeneralisationParams, Learner, gain_over_blocks, generalisation};
pub use incremental::{IncrementalParams, IncrementalValue, Model, incremental_value};
pub use increments::{Increment, Increments, Performance};
pub use layer_selection::{Choice, LayerSelection, LayerSelectionParams, Selected, layer_selection};
pub use logistic::{Fitted, LogisticRegression, Standardisation};
pub use null_battery::{NullTest, null_battery};
pub use propensity::{Balance, Matched, MatchingParams, PropensityMatching, propensity_matching};
pub use residuals::{EdgeModel, ResidualParams, Residuals, rank_transformed, residualise};
pub use retention::{Retained, retained_difference};
pub use splines::NaturalSpline;
pub use splits::{Block, GridFolds, Split};
pub use trees::{BoostedTrees, FittedTrees};

/// The reason given where an estimate needs more observations than there are.
fn too_few(what: &'static str, n: usize, needed: usize) -> Error {
    scfm_stats::Error::Undefined(scfm_stats::Undefined::TooFew { what, n, needed }).into()
}

#[cfg(test)]
mod test_cells {
    use scfm_core::{CountMatrix, Panel};
    use sprs::CsMat;

    /// Cells with these counts of genes `G0`, `G1`, … and these totals.
    pub(crate) fn cells(rows: &[&[u8]], totals: &[f64]) -> CountMatrix {
        let genes = Panel::new((0..rows[0].len()).map(|g| format!("G{g}"))).unwrap();
        let dense =
            ndarray::Array2::from_shape_fn((rows.len(), rows[0].len()), |(c, g)| f32::from(rows[c][g]));
        CountMatrix::new(genes, CsMat::csr_from_dense(dense.view(), 0.0), totals.to_vec()).unwrap()
    }
}
