//! What it means to agree with a reference implementation.

use candle_core::Tensor;

/// Asserts that `found` are the values of a tensor, row by row, and that these are not all next to nothing.
pub(crate) fn assert_close(name: &str, found: &[f32], expected: &Tensor, tolerance: f32) {
    let expected: Vec<f32> = expected.flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(found.len(), expected.len(), "{name}");
    let largest = found
        .iter()
        .zip(&expected)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(largest < tolerance, "{name} differs by {largest}");
    // Not within tolerance of nothing at all.
    assert!(expected.iter().any(|x| x.abs() > 100.0 * tolerance), "{name}");
    eprintln!("{name}: largest difference {largest:e}");
}
