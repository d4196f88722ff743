//! What each learner and split costs on a screen of the size of a large one: 280 perturbations × 1,999 candidates,
//! 2.8 % positive, 200 resamples.
//!
//!     cargo run --release -p scfm-baselines --example hard_generalisation [perturbations] [targets]

use std::time::Instant;

use ndarray::{Array1, Array2};
use rand::{Rng, RngExt};
use scfm_baselines::{GeneralisationParams, Learner, ScoredCandidates, Split, features, generalisation};
use scfm_core::{EdgeKind, EdgeMatrix, GeneTable, Layer, Panel, Responses, Seeds};

fn normal(rng: &mut impl Rng) -> f64 {
    (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt() * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

fn screen(n_perturbed: usize, n_targets: usize) -> Result<ScoredCandidates, Box<dyn std::error::Error>> {
    let mut rng = Seeds::new(6).stream("example", "screen", 0);
    let targets = Panel::new((0..n_targets).map(|i| format!("G{i}")))?;
    let perturbed = Panel::new(targets.genes()[..n_perturbed].to_vec())?;
    let mean = Array1::from_shape_fn(n_targets, |_| normal(&mut rng).exp());
    let propensity = mean.mapv(|m: f64| -4.2 + 0.8 * m.ln());
    let mut genes = GeneTable::new(targets.clone());
    genes.insert(features::DROPOUT_RATE, mean.mapv(|m| (-m).exp()))?;
    genes.insert(features::VARIANCE, mean.mapv(|m| m * (1.0 + 0.3 * m)))?;
    genes.insert(features::MEAN, mean)?;
    let shape = (n_perturbed, n_targets);
    let mut scores = || Array2::from_shape_fn(shape, |_| normal(&mut rng) as f32);
    let (attention, correlation) = (scores(), scores());
    let positive = Array2::from_shape_fn(shape, |(_, g)| {
        rng.random::<f64>() < 1.0 / (1.0 + (-propensity[g]).exp())
    });
    let edges = |kind, scores| EdgeMatrix::new(kind, perturbed.clone(), targets.clone(), scores);
    let attention = edges(EdgeKind::attention(Layer(0)), attention)?;
    let correlation = edges(EdgeKind::Spearman, correlation)?;
    let responses = Responses::new(perturbed.clone(), targets.clone(), positive)?;
    Ok(ScoredCandidates::new(
        &responses,
        &attention,
        &correlation,
        &genes,
        3,
        3,
    )?)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sizes: Vec<usize> = std::env::args()
        .skip(1)
        .map(|arg| arg.parse())
        .collect::<Result<_, _>>()?;
    let size = |i: usize, default| sizes.get(i).copied().unwrap_or(default);
    let candidates = screen(size(0, 280), size(1, 2000))?;
    println!("{} candidate pairs", candidates.responses().n_candidates());
    let params = GeneralisationParams::default();
    for learner in [Learner::Logistic, Learner::Trees] {
        for split in Split::ALL {
            let start = Instant::now();
            let found = generalisation(&candidates, split, learner, &params, Seeds::new(0))?;
            println!(
                "{:9} {:12} {:7.2} s, AUROC {:.4}, gain {:+.4}",
                learner.as_str(),
                split.as_str(),
                start.elapsed().as_secs_f64(),
                found.gain.without,
                found.gain.delta()
            );
        }
    }
    Ok(())
}
