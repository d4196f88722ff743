//! A simulated screen whose truth is known.

// Each test file uses a part of it.
#![allow(dead_code)]

use ndarray::{Array1, Array2};
use rand::{Rng, RngExt};
use scfm_baselines::{ScoredCandidates, features};
use scfm_core::{EdgeKind, EdgeMatrix, GeneTable, Layer, Panel, Responses, Seeds};

pub const N_PERTURBED: usize = 50;
pub const N_GENES: usize = 250;

/// What attention and the responses owe to latent edges, besides gene-level features.
#[derive(Clone, Copy)]
pub struct Truth {
    pub n_perturbed: usize,
    /// Log-odds of a response per standard deviation of the latent edge.
    pub edges_in_responses: f64,
    /// Weight of the latent edge in attention.
    pub edges_in_attention: f64,
}

/// Responses depend on where the target stands between low and high expression, attention follows the same curve.
pub const GENE_LEVEL: Truth = Truth {
    n_perturbed: N_PERTURBED,
    edges_in_responses: 0.0,
    edges_in_attention: 0.0,
};
pub const REGULATORY: Truth = Truth {
    n_perturbed: N_PERTURBED,
    edges_in_responses: 1.0,
    edges_in_attention: 0.5,
};

pub struct World {
    pub responses: Responses,
    pub attention: EdgeMatrix,
    pub correlation: EdgeMatrix,
    pub genes: GeneTable,
}

pub fn normal(rng: &mut impl Rng) -> f64 {
    (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt() * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

impl World {
    pub fn new(truth: Truth, seed: u64) -> Self {
        let mut rng = Seeds::new(seed).stream("world", "screen", 0);
        let panel = Panel::new((0..N_GENES).map(|g| format!("G{g}"))).unwrap();
        let perturbed = Panel::new(panel.genes()[..truth.n_perturbed].to_vec()).unwrap();
        let level = Array1::from_shape_fn(N_GENES, |_| normal(&mut rng));
        let curve = level.mapv(|l: f64| 3.0 * (-l * l).exp());
        let noise = Array1::from_shape_fn(N_GENES, |_| normal(&mut rng));
        let mut genes = GeneTable::new(panel.clone());
        let mean = level.mapv(f64::exp);
        genes
            .insert(features::DROPOUT_RATE, mean.mapv(|m| (-m).exp()))
            .unwrap();
        genes
            .insert(features::DETECTION, mean.mapv(|m| 1.0 - (-m).exp()))
            .unwrap();
        genes
            .insert(features::VARIANCE, &mean * &noise.mapv(|n| 1.0 + 0.1 * n * n))
            .unwrap();
        genes.insert(features::MEAN, mean).unwrap();

        let shape = (truth.n_perturbed, N_GENES);
        let edges = Array2::from_shape_fn(shape, |_| normal(&mut rng));
        let positive = Array2::from_shape_fn(shape, |(p, g)| {
            let log_odds = -4.0 + curve[g] + 0.5 * noise[g] + truth.edges_in_responses * edges[[p, g]];
            rng.random::<f64>() < 1.0 / (1.0 + (-log_odds).exp())
        });
        let attention = Array2::from_shape_fn(shape, |(p, g)| {
            (curve[g] + truth.edges_in_attention * edges[[p, g]] + 0.3 * normal(&mut rng)) as f32
        });
        let correlation = Array2::from_shape_fn(shape, |_| rng.random_range(-0.3..0.3f32));
        let of = |kind, scores| EdgeMatrix::new(kind, perturbed.clone(), panel.clone(), scores).unwrap();
        Self {
            attention: of(EdgeKind::attention(Layer(0)), attention),
            correlation: of(EdgeKind::Spearman, correlation),
            responses: Responses::new(perturbed.clone(), panel.clone(), positive).unwrap(),
            genes,
        }
    }

    pub fn candidates(&self) -> ScoredCandidates {
        let Self {
            responses,
            attention,
            correlation,
            genes,
        } = self;
        ScoredCandidates::new(responses, attention, correlation, genes, 3, 3).unwrap()
    }
}
