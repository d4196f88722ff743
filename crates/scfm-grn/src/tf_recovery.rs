//! Recovery of a reference one transcription factor at a time (analysis 6 of the battery).

use ndarray::{ArrayView1, ArrayView2};
use rand_chacha::ChaCha8Rng;
use scfm_core::{GeneId, GeneTable};
use scfm_stats::{
    Interval, TestResult, Undefined, auroc_interval, defined, mean_difference_permutation, spearman,
};

use crate::{CandidateUniverse, Error, TfClass, TfClasses};

/// How well a score ranks the targets of one TF.
#[derive(Debug, Clone)]
pub struct TfRecovery {
    /// The TF.
    pub tf: GeneId,
    /// Its candidates in the reference.
    pub n_pos: usize,
    /// Its other candidates.
    pub n_neg: usize,
    /// AUROC among its candidates.
    pub auroc: f64,
    /// 95 % interval, see [`auroc_interval`].
    pub ci: Interval,
}

impl TfRecovery {
    /// Whether the whole interval lies above 0.5.
    pub fn is_above_chance(&self) -> bool {
        self.ci.low > 0.5
    }
}

/// Recovery of `universe` by `scores`, `[tf, target]`, for every TF with a positive and a negative that have a score.
///
/// # Errors
/// Those of ranking.
///
/// # Panics
/// When the scores have another shape than the universe.
pub fn tf_recovery(
    scores: ArrayView2<'_, f64>,
    universe: &CandidateUniverse,
) -> Result<Vec<TfRecovery>, Error> {
    assert_eq!(
        scores.dim(),
        universe.positive().dim(),
        "a score for every pair of the universe"
    );
    let mut found = Vec::new();
    for (row, tf) in universe.tfs().genes().iter().enumerate() {
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for (column, &score) in scores.row(row).iter().enumerate() {
            if universe.candidate()[[row, column]] && !score.is_nan() {
                values.push(score);
                labels.push(universe.positive()[[row, column]]);
            }
        }
        let n_pos = labels.iter().filter(|&&label| label).count();
        let n_neg = labels.len() - n_pos;
        if let Ok(auroc) = defined(scfm_stats::auroc(&values, &labels))? {
            found.push(TfRecovery {
                tf: tf.clone(),
                n_pos,
                n_neg,
                auroc,
                ci: auroc_interval(auroc, n_pos, n_neg),
            });
        }
    }
    Ok(found)
}

/// What the recovery of single TFs goes with.
#[derive(Debug, Clone)]
pub struct TfComparison {
    /// The class of each TF, where it is known.
    pub classes: Vec<Option<TfClass>>,
    /// Mean AUROC of master regulators minus that of TFs of other classes, by permutation of the classes.
    pub master_vs_other: Result<TestResult, Undefined>,
    /// Master regulators among the TFs.
    pub n_master: usize,
    /// TFs of the three other classes.
    pub n_other: usize,
    /// Spearman correlation of AUROC with each quantity that was asked for.
    pub correlations: Vec<(String, Result<TestResult, Undefined>)>,
}

/// Compares the AUROCs of TFs between classes and with quantities of the TFs.
///
/// TFs without a class take no part in the comparison of classes: a factor that is not in the table may be a master
/// regulator as well as anything else. `quantities` holds a value per TF of `tfs`; `NaN` leaves a TF out. Permutation i
/// draws from `stream(i)`; few TFs are permuted in all ways.
///
/// # Errors
/// Those of the statistics for 0 permutations.
///
/// # Panics
/// When a quantity has another number of values than there are TFs.
pub fn compare_tfs(
    tfs: &[TfRecovery],
    classes: &TfClasses,
    quantities: &[(&str, Vec<f64>)],
    n_permutations: usize,
    stream: impl Fn(u64) -> ChaCha8Rng + Sync,
) -> Result<TfComparison, Error> {
    let of: Vec<Option<TfClass>> = tfs.iter().map(|tf| classes.get(tf.tf.as_str())).collect();
    let classified = tfs
        .iter()
        .zip(&of)
        .filter_map(|(tf, class)| Some((tf.auroc, (*class)? == TfClass::MasterRegulator)));
    let (values, is_master): (Vec<f64>, Vec<bool>) = classified.unzip();
    let n_master = is_master.iter().filter(|&&master| master).count();
    let master_vs_other = if values.is_empty() {
        Err(Undefined::TooFew {
            what: "TFs with a class",
            n: 0,
            needed: 3,
        })
    } else {
        defined(mean_difference_permutation(
            &values,
            &is_master,
            n_permutations,
            stream,
        ))?
    };
    let correlations = quantities
        .iter()
        .map(|(name, quantity)| {
            assert_eq!(quantity.len(), tfs.len(), "a value of {name} for each TF");
            let (x, y): (Vec<f64>, Vec<f64>) = tfs
                .iter()
                .zip(quantity)
                .filter(|(_, value)| !value.is_nan())
                .map(|(tf, &value)| (tf.auroc, value))
                .unzip();
            Ok(((*name).to_owned(), defined(spearman(&x, &y))?))
        })
        .collect::<Result<_, Error>>()?;
    Ok(TfComparison {
        n_other: is_master.len() - n_master,
        n_master,
        classes: of,
        master_vs_other,
        correlations,
    })
}

/// The value of a feature for each TF, `NaN` where the table does not have the gene.
pub fn feature_of_tfs(tfs: &[TfRecovery], genes: &GeneTable, feature: &str) -> Option<Vec<f64>> {
    let values: ArrayView1<'_, f64> = genes.feature(feature)?;
    let of = |tf: &TfRecovery| {
        genes
            .panel()
            .position(tf.tf.as_str())
            .map_or(f64::NAN, |gene| values[gene])
    };
    Some(tfs.iter().map(of).collect())
}
