//! Gradients against finite differences of the loss, for the tests of both models.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use rand::RngExt;
use scfm_core::Seeds;

use super::Objective;
use crate::Weights;

/// Steps of the finite differences along a direction of length 1: small beside the curvature of the loss, large beside
/// its rounding.
const STEP: f64 = 4e-3;
/// What curvature and the kinks of relu may take of a gradient's length; a third of it was seen.
const RELATIVE: f64 = 2e-3;
/// What the rounding of losses of some tens, 2⁻¹⁹, becomes by the division by two steps; half of it was seen.
const ROUNDING: f64 = 1e-3;

/// The gradient of one cell's loss by every tensor of `start` is the slope of the loss, along random directions.
pub(crate) fn assert_gradients_are_slopes<O: Objective>(objective: &O, start: &Weights) {
    let cell = objective.mask(0, &mut Seeds::new(0).stream("test", "mask", 0));
    let vars: BTreeMap<String, Var> = start
        .tensors()
        .iter()
        .map(|(name, tensor)| (name.clone(), Var::from_tensor(tensor).unwrap()))
        .collect();
    let tensors: BTreeMap<String, Tensor> = vars
        .iter()
        .map(|(name, var)| (name.clone(), var.as_tensor().clone()))
        .collect();
    let weights = start.with_tensors("test", tensors);
    let gradients = objective.loss(&weights, &cell).unwrap().backward().unwrap();
    let mut rng = Seeds::new(0).stream("test", "directions", 0);
    let mut lengths = Vec::new();
    for (name, tensor) in start.tensors() {
        let gradient: Vec<f32> = gradients
            .get(&vars[name])
            .unwrap_or_else(|| panic!("{name} has no gradient"))
            .flatten_all()
            .unwrap()
            .to_vec1()
            .unwrap();
        let length = norm(&gradient);
        lengths.push(length);
        for _ in 0..2 {
            // Along the gradient, where slopes are steep, and off it, where what the gradient lacks would show.
            let random: Vec<f32> = gradient.iter().map(|_| rng.random_range(-1.0..1.0)).collect();
            let (a, b) = (length.max(1e-6), norm(&random));
            let direction: Vec<f32> = gradient
                .iter()
                .zip(&random)
                .map(|(g, r)| (f64::from(*g) / a + 0.5 * f64::from(*r) / b) as f32)
                .collect();
            let size = norm(&direction);
            let expected: f64 = gradient
                .iter()
                .zip(&direction)
                .map(|(g, d)| f64::from(g * d))
                .sum::<f64>()
                / size;
            let loss = |step: f64| {
                let direction = Tensor::from_slice(&direction, tensor.shape(), &Device::Cpu).unwrap();
                let moved = (tensor + (direction * (step / size)).unwrap()).unwrap();
                let mut tensors = start.tensors().clone();
                tensors.insert(name.clone(), moved);
                let moved = start.with_tensors("test", tensors);
                f64::from(objective.loss(&moved, &cell).unwrap().to_scalar::<f32>().unwrap())
            };
            let slope = (loss(STEP) - loss(-STEP)) / (2.0 * STEP);
            assert!(
                (slope - expected).abs() < RELATIVE * length + ROUNDING,
                "{name}: the gradient says {expected}, the loss {slope}"
            );
        }
    }
    // All but the biases of keys, which softmax does not see, have gradients far above what is allowed.
    let far = lengths
        .iter()
        .filter(|&&length| length > 100.0 * ROUNDING)
        .count();
    assert!(far * 10 > lengths.len() * 9, "{far} of {}", lengths.len());
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
}
