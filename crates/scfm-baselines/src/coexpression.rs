use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use scfm_core::{EdgeMatrix, Ledger, Panel, Seeds};
use scfm_stats::{TestResult, Undefined, defined, node_permutation_spearman, pearson, spearman};

use crate::Error;

/// What attention edges follow: co-expression, a reference network, or how much their genes are expressed.
#[derive(Debug, Clone)]
pub struct CoexpressionMapping {
    /// With signed Spearman ρ of expression.
    pub coexpression: Mapping,
    /// With |ρ|; descriptive.
    pub absolute_coexpression: Association,
    /// With membership of the pair in the reference network.
    pub reference: Mapping,
    /// With the product of both genes' mean expression.
    pub expression: Mapping,
    /// Ordered pairs of two different genes that have an attention score.
    pub n_pairs: usize,
    /// Genes that were left out, and why.
    pub ledger: Ledger,
}

/// How closely two scores of the same pairs agree.
#[derive(Debug, Clone)]
pub struct Association {
    /// Spearman correlation over pairs.
    pub spearman: Result<f64, Undefined>,
    /// Share of the variance of attention that a straight line of the other score explains.
    pub r_squared: Result<f64, Undefined>,
}

/// An [`Association`] with its test.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// Size of the association.
    pub association: Association,
    /// Spearman correlation tested by permuting the genes of one matrix jointly in rows and columns.
    pub test: Result<TestResult, Undefined>,
}

/// Compares attention edges with signed co-expression, reference membership and the product of mean expression
/// over all ordered pairs of a panel that attention saw (analysis `coexpression-mapping`).
///
/// `reference` is membership `[source, target]` and `mean` the mean expression, both in the panel's order.
/// Genes that are constant over the cells have no correlation and are left out, counted.
///
/// # Errors
/// [`Error::PanelsDiffer`] unless both edge matrices go from one and the same panel to itself.
///
/// # Panics
/// When `reference` or `mean` has another shape than the panel.
pub fn coexpression_mapping(
    attention: &EdgeMatrix,
    correlation: &EdgeMatrix,
    reference: ArrayView2<'_, bool>,
    mean: ArrayView1<'_, f64>,
    n_permutations: usize,
    seeds: Seeds,
) -> Result<CoexpressionMapping, Error> {
    let panel = square_panel(attention)?;
    if square_panel(correlation)? != panel {
        return Err(panels_differ(correlation, panel.len(), attention.targets().len()));
    }
    assert_eq!(
        reference.dim(),
        (panel.len(), panel.len()),
        "membership of every pair of the panel"
    );
    assert_eq!(mean.len(), panel.len(), "a mean for every gene of the panel");

    let varies = |gene: &usize| !correlation.scores()[[*gene, *gene]].is_nan();
    let (kept, constant): (Vec<usize>, Vec<usize>) = (0..panel.len()).partition(varies);
    let mut ledger = Ledger::new();
    let names = constant.iter().map(|&gene| panel.gene(gene));
    ledger.lost(
        "genes",
        "expression constant over the cells",
        constant.len() as u64,
        names,
    );
    ledger.kept("genes", kept.len() as u64);

    let select = |scores: &Array2<f32>| {
        scores
            .select(Axis(0), &kept)
            .select(Axis(1), &kept)
            .mapv(f64::from)
    };
    let (a, rho) = (select(attention.scores()), select(correlation.scores()));
    let square = (kept.len(), kept.len());
    let membership = Array2::from_shape_fn(square, |(s, t)| {
        f64::from(u8::from(reference[[kept[s], kept[t]]]))
    });
    let product = Array2::from_shape_fn(square, |(s, t)| mean[kept[s]] * mean[kept[t]]);

    let mapping = |b: &Array2<f64>, purpose: &str| {
        let stream = |index| seeds.stream("coexpression-mapping", purpose, index);
        let test = defined(node_permutation_spearman(
            a.view(),
            b.view(),
            n_permutations,
            stream,
        ))?;
        Ok::<_, Error>(Mapping {
            association: Association::of(&a, b)?,
            test,
        })
    };
    Ok(CoexpressionMapping {
        coexpression: mapping(&rho, "co-expression")?,
        absolute_coexpression: Association::of(&a, &rho.mapv(f64::abs))?,
        reference: mapping(&membership, "reference")?,
        expression: mapping(&product, "expression")?,
        n_pairs: pairs(&a).count(),
        ledger,
    })
}

impl Association {
    fn of(a: &Array2<f64>, b: &Array2<f64>) -> Result<Self, Error> {
        let (x, y): (Vec<f64>, Vec<f64>) = pairs(a).map(|pair| (a[pair], b[pair])).unzip();
        Ok(Self {
            spearman: defined(spearman(&x, &y))?.map(|test| test.effect),
            r_squared: defined(pearson(&x, &y))?.map(|test| test.effect * test.effect),
        })
    }
}

/// Pairs of two different genes that have a score.
fn pairs(a: &Array2<f64>) -> impl Iterator<Item = (usize, usize)> + '_ {
    a.indexed_iter()
        .filter(|&((s, t), score)| s != t && !score.is_nan())
        .map(|(pair, _)| pair)
}

fn square_panel(edges: &EdgeMatrix) -> Result<&Panel, Error> {
    if edges.sources() == edges.targets() {
        Ok(edges.sources())
    } else {
        Err(panels_differ(edges, edges.sources().len(), edges.targets().len()))
    }
}

fn panels_differ(edges: &EdgeMatrix, n_sources: usize, n_targets: usize) -> Error {
    Error::PanelsDiffer {
        edges: edges.kind().to_string(),
        n_sources,
        n_targets,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array1, array};
    use rand::RngExt;
    use scfm_core::{EdgeKind, Layer};

    const N: usize = 30;

    fn edges(kind: EdgeKind, scores: Array2<f32>) -> EdgeMatrix {
        let panel = Panel::new((0..scores.nrows()).map(|g| format!("G{g}"))).unwrap();
        EdgeMatrix::new(kind, panel.clone(), panel, scores).unwrap()
    }

    #[test]
    fn attention_that_is_the_product_of_means_is_recognised_as_such() {
        let mut rng = Seeds::new(1).stream("test", "coexpression", 0);
        let mean = Array1::from_shape_fn(N, |_| rng.random::<f64>());
        let mut attention = Array2::from_shape_fn((N, N), |(s, t)| (mean[s] * mean[t]) as f32);
        attention[[3, 4]] = f32::NAN;
        let mut rho = Array2::from_shape_fn((N, N), |_| rng.random_range(-1.0..1.0f32));
        rho.diag_mut().fill(1.0);
        rho.row_mut(7).fill(f32::NAN);
        rho.column_mut(7).fill(f32::NAN);
        let reference = Array2::from_shape_fn((N, N), |_| rng.random::<f64>() < 0.1);
        let mapping = coexpression_mapping(
            &edges(EdgeKind::attention(Layer(0)), attention),
            &edges(EdgeKind::Spearman, rho),
            reference.view(),
            mean.view(),
            199,
            Seeds::new(0),
        )
        .unwrap();
        assert_eq!(mapping.n_pairs, (N - 1) * (N - 2) - 1);
        assert_eq!(mapping.ledger.steps()[0].examples, ["G7"]);
        // Scores are stored as f32, so that pairs closer than that may swap ranks.
        assert!(mapping.expression.association.spearman.as_ref().unwrap() > &0.99999);
        assert!(mapping.expression.association.r_squared.as_ref().unwrap() > &0.99999);
        let test = mapping.expression.test.unwrap();
        assert!((test.effect - mapping.expression.association.spearman.unwrap()).abs() < 1e-6);
        assert_eq!(test.p.p(), 1.0 / 200.0);
        assert!(mapping.coexpression.test.unwrap().p.p() > 0.01);
    }

    #[test]
    fn edges_between_two_panels_are_refused() {
        let square = edges(EdgeKind::Spearman, Array2::eye(2));
        let wide = EdgeMatrix::new(
            EdgeKind::attention(Layer(2)),
            Panel::new(["G0", "G1"]).unwrap(),
            Panel::new(["G1", "G0"]).unwrap(),
            Array2::ones((2, 2)),
        )
        .unwrap();
        let reference = Array2::from_elem((2, 2), false);
        let error = coexpression_mapping(
            &wide,
            &square,
            reference.view(),
            array![1.0, 2.0].view(),
            9,
            Seeds::new(0),
        );
        assert!(matches!(error, Err(Error::PanelsDiffer { ref edges, .. }) if edges == "attention-L2"));
    }
}
