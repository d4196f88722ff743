//! Attention and gene-level scores under other parameters.

use scfm_core::{EdgeMatrix, GeneTable, Responses};
use scfm_stats::{CrossedAuroc, CrossedLimits, LabelledGrid, Undefined, crossed_auroc, defined, row_aurocs};

use crate::Error;
use crate::features::{DETECTION, MEAN, VARIANCE};

/// The gene-level scores that attention is held against in every setting.
pub const GENE_LEVEL: [&str; 3] = [VARIANCE, MEAN, DETECTION];

/// Attention and gene-level scores in one setting of the parameters, all on the same candidates.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Perturbations with enough positives and negatives.
    pub n_evaluable: usize,
    /// Mean within-perturbation AUROC of attention and its crossed test against 0.5.
    pub attention: Result<CrossedAuroc, Undefined>,
    /// Mean AUROC of attention and of the target's [variance, mean and detection](GENE_LEVEL); `NaN` where no perturbation
    /// can be evaluated.
    pub mean_attention: f64,
    /// In the order of [`GENE_LEVEL`].
    pub gene_level: [f64; 3],
}

/// Evaluates one setting: its responses, the attention of its control cells and their gene-level features (analysis
/// `parameter-sensitivity`). Whether attention is on one side of 0.5 in every setting,
/// [`scfm_stats::intersection_union`] says.
///
/// # Errors
/// [`Error::MissingFeature`] where `genes` lacks a feature; [`Error::Stats`] for scores that cannot be ranked.
pub fn setting(
    responses: &Responses,
    attention: &EdgeMatrix,
    genes: &GeneTable,
    (min_positives, min_negatives): (usize, usize),
    limits: &CrossedLimits,
) -> Result<Setting, Error> {
    let mut responses = responses.clone();
    responses.restrict_to_defined(&[attention.align(responses.perturbed(), responses.targets()).view()]);
    let rows = responses.evaluable(min_positives.max(1), min_negatives.max(1));
    let responses = responses.select(&rows);
    let labels = LabelledGrid {
        positive: responses.positive(),
        candidate: responses.candidate(),
    };
    if rows.is_empty() {
        for name in GENE_LEVEL {
            genes.feature(name).ok_or(Error::MissingFeature(name))?;
        }
        let reason = Undefined::TooFew {
            what: "evaluable perturbations",
            n: 0,
            needed: 1,
        };
        return Ok(Setting {
            n_evaluable: 0,
            attention: Err(reason),
            mean_attention: f64::NAN,
            gene_level: [f64::NAN; 3],
        });
    }
    let mean = |scores: ndarray::ArrayView2<'_, f64>| -> Result<f64, Error> {
        let aurocs = row_aurocs(scores, labels)?;
        let n = aurocs.len() as f64;
        let both_classes = "an evaluable row holds both classes";
        Ok(aurocs
            .into_iter()
            .map(|auroc| auroc.expect(both_classes))
            .sum::<f64>()
            / n)
    };
    let scores = attention.align(responses.perturbed(), responses.targets());
    let mut gene_level = [f64::NAN; 3];
    for (mean_auroc, name) in gene_level.iter_mut().zip(GENE_LEVEL) {
        let values = crate::candidates::of_genes(genes, name, responses.targets())?;
        *mean_auroc = mean(values.broadcast(scores.dim()).expect("a value per target"))?;
    }
    Ok(Setting {
        n_evaluable: rows.len(),
        mean_attention: mean(scores.view())?,
        attention: defined(crossed_auroc(scores.view(), labels, limits))?,
        gene_level,
    })
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array2};
    use scfm_core::{EdgeKind, Layer, Panel};

    use super::*;

    /// Every perturbed gene moves the `n_pos` genes that follow it; attention knows them, the features know only the place
    /// of a gene.
    fn world(n: usize, n_pos: usize) -> (Responses, EdgeMatrix, GeneTable) {
        let panel = Panel::new((0..n).map(|g| format!("G{g}"))).unwrap();
        let follows = |(p, g): (usize, usize)| (g + n - p) % n;
        let moves = |pair| (1..=n_pos).contains(&follows(pair));
        let positive = Array2::from_shape_fn((n, n), moves);
        let scores = Array2::from_shape_fn((n, n), |pair| if moves(pair) { 0.9 } else { 0.1 });
        let mut genes = GeneTable::new(panel.clone());
        for name in GENE_LEVEL {
            genes
                .insert(name, Array1::from_iter((0..n).map(|g| g as f64)))
                .unwrap();
        }
        (
            Responses::new(panel.clone(), panel.clone(), positive).unwrap(),
            EdgeMatrix::new(EdgeKind::attention(Layer(0)), panel.clone(), panel, scores).unwrap(),
            genes,
        )
    }

    #[test]
    fn attention_that_knows_the_targets_is_told_from_features_that_do_not() {
        let (responses, attention, genes) = world(60, 5);
        let found = setting(&responses, &attention, &genes, (3, 3), &CrossedLimits::default()).unwrap();
        assert_eq!(found.n_evaluable, 60);
        assert_eq!(found.mean_attention, 1.0);
        // Without a single error there is no variance to judge by.
        assert!(matches!(found.attention, Err(Undefined::NoVariance { .. })));
        // The genes after a gene stand above half of the others, seen from the middle of the panel.
        for auroc in found.gene_level {
            assert!((auroc - 0.5).abs() < 0.05, "{auroc}");
        }
    }

    #[test]
    fn all_scores_rank_the_candidates_that_attention_is_defined_on() {
        let (responses, attention, genes) = world(60, 5);
        let scores = attention.scores().mapv(|x| if x > 0.5 { f32::NAN } else { x });
        let (sources, targets) = (attention.sources().clone(), attention.targets().clone());
        let undefined = EdgeMatrix::new(attention.kind(), sources, targets, scores).unwrap();
        let found = setting(&responses, &undefined, &genes, (3, 3), &CrossedLimits::default()).unwrap();
        // Without its positives no perturbation is left.
        assert_eq!(found.n_evaluable, 0);
        assert!(found.mean_attention.is_nan());
        assert!(matches!(found.attention, Err(Undefined::TooFew { n: 0, .. })));
    }

    #[test]
    fn a_feature_that_is_not_there_is_named() {
        let (responses, attention, genes) = world(30, 5);
        let bare = GeneTable::new(genes.panel().clone());
        let error = setting(&responses, &attention, &bare, (3, 3), &CrossedLimits::default()).unwrap_err();
        assert!(matches!(error, Error::MissingFeature(VARIANCE)), "{error}");
    }
}
