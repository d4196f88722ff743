//! Simulated edges whose truth is known: what stays of them when the properties of their genes are taken out.

use ndarray::{Array1, Array2, ArrayView2};
use rand::{Rng, RngExt};
use scfm_baselines::{EdgeModel, ResidualParams, Retained, residualise, retained_difference};
use scfm_core::Seeds;
use scfm_stats::{CrossedLimits, LabelledGrid, crossed_auroc, two_way_bootstrap};

const N_GENES: usize = 160;
const N_TFS: usize = 40;

fn normal(rng: &mut impl Rng) -> f64 {
    (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt() * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

/// Edge scores and a reference that prefers targets of high expression.
struct World {
    genes: Array2<f64>,
    /// Follows expression of both genes and, where `edges` is not 0, the reference.
    attention: Array2<f64>,
    /// Follows the reference and nothing else.
    correlation: Array2<f64>,
    positive: Array2<bool>,
    candidate: Array2<bool>,
}

impl World {
    fn new(edges: f64, genes_in_attention: f64, seed: u64) -> Self {
        let mut rng = Seeds::new(seed).stream("world", "edges", 0);
        let level = Array1::from_shape_fn(N_GENES, |_| normal(&mut rng));
        let genes = Array2::from_shape_fn((N_GENES, 3), |(g, j)| match j {
            0 => level[g],
            1 => 0.8 * level[g] + 0.6 * normal(&mut rng),
            _ => normal(&mut rng),
        });
        let truth = Array2::from_shape_fn((N_GENES, N_GENES), |(i, j)| {
            i < N_TFS && i != j && rng.random::<f64>() < 0.08 * (0.8 * level[j]).exp()
        });
        let linear = |i: usize, j: usize| 0.3 * level[i] + level[j];
        let known = |i: usize, j: usize| f64::from(u8::from(truth[[i, j]]));
        let shape = (N_GENES, N_GENES);
        let attention = Array2::from_shape_fn(shape, |(i, j)| {
            genes_in_attention * linear(i, j) + edges * known(i, j) + normal(&mut rng)
        });
        let correlation = Array2::from_shape_fn(shape, |(i, j)| 1.5 * known(i, j) + normal(&mut rng));
        let positive = Array2::from_shape_fn((N_TFS, N_GENES), |pair| truth[pair]);
        let candidate = Array2::from_shape_fn((N_TFS, N_GENES), |(i, j)| i != j);
        Self {
            genes,
            attention,
            correlation,
            positive,
            candidate,
        }
    }

    fn grid(&self) -> LabelledGrid<'_> {
        LabelledGrid {
            positive: self.positive.view(),
            candidate: self.candidate.view(),
        }
    }

    fn residual(&self, scores: &Array2<f64>, model: EdgeModel) -> Array2<f64> {
        let params = ResidualParams::default();
        let found = residualise(scores.view(), self.genes.view(), model, &params, Seeds::new(0), 0).unwrap();
        of_tfs(found.residuals.view())
    }

    /// Whether what attention says of the reference is more than the properties of its genes.
    fn says_something(&self, scores: &Array2<f64>) -> bool {
        let found = crossed_auroc(scores.view(), self.grid(), &CrossedLimits::default()).unwrap();
        found.test.p.p() < 0.01 && (found.mean - 0.5).abs() > 0.02
    }

    /// Shares kept by attention and by correlation, from the same resamples.
    fn retained(&self, model: EdgeModel) -> [Retained; 2] {
        let edges = [&self.attention, &self.correlation];
        let scores: Vec<Array2<f64>> = edges
            .iter()
            .flat_map(|edge| [of_tfs(edge.view()), self.residual(edge, model)])
            .collect();
        let views: Vec<_> = scores.iter().map(|s| s.view()).collect();
        let stream = |i| Seeds::new(0).stream("test", "two-way", i);
        let drawn = two_way_bootstrap(&views, self.grid(), 400, stream).unwrap();
        [0, 2].map(|raw| {
            let low = drawn.mean_interval(raw).low;
            Retained::of(&drawn, raw, raw + 1, low).unwrap()
        })
    }
}

fn of_tfs(scores: ArrayView2<'_, f64>) -> Array2<f64> {
    Array2::from_shape_fn((N_TFS, N_GENES), |pair| scores[pair])
}

#[test]
fn attention_that_knows_genes_alone_keeps_nothing() {
    for seed in 0..4 {
        let world = World::new(0.0, 1.0, seed);
        // The reference prefers expressed targets: raw attention seems to know it.
        assert!(
            world.says_something(&of_tfs(world.attention.view())),
            "world {seed}"
        );
        let residual = world.residual(&world.attention, EdgeModel::Linear);
        assert!(!world.says_something(&residual), "world {seed}");
        // Steps of trees follow a straight line less closely on genes that they never saw, and leave some of it.
        let [by_trees, _] = world.retained(EdgeModel::Trees);
        assert!(by_trees.share < 0.5, "world {seed}: {by_trees:?}");
        let [attention, correlation] = world.retained(EdgeModel::Linear);
        assert!(
            attention.share < 0.3 && attention.interval.high < 0.8,
            "{attention:?}"
        );
        assert!(correlation.share > 0.8, "{}", correlation.share);
        let test = retained_difference(&attention, &correlation, N_TFS);
        assert!(test.effect < -0.5 && test.p.p() < 0.01, "{test:?}");
    }
}

#[test]
fn attention_that_knows_edges_keeps_what_it_says() {
    for seed in 0..2 {
        let world = World::new(1.5, 0.0, seed);
        for model in [EdgeModel::Linear, EdgeModel::Trees] {
            assert!(
                world.says_something(&world.residual(&world.attention, model)),
                "world {seed}"
            );
            let [attention, correlation] = world.retained(model);
            assert!(attention.share > 0.8, "world {seed}: {}", attention.share);
            let test = retained_difference(&attention, &correlation, N_TFS);
            assert!(test.effect.abs() < 0.15, "{test:?}");
        }
    }
}

#[test]
fn attention_that_knows_nothing_has_no_share_to_keep() {
    let world = World::new(0.0, 0.0, 9);
    let raw = of_tfs(world.attention.view());
    assert!(!world.says_something(&raw));
    let residual = world.residual(&world.attention, EdgeModel::Linear);
    let stream = |i| Seeds::new(0).stream("test", "two-way", i);
    let drawn = two_way_bootstrap(&[raw.view(), residual.view()], world.grid(), 100, stream).unwrap();
    assert!(Retained::of(&drawn, 0, 1, drawn.mean_interval(0).low).is_err());
}
