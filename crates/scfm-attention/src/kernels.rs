//! The steps between the matrix products, in place on row-major rows.
//!
//! They are compiled for the vector units of the machine at hand by `pulp`. Sums run over [`LANES`] fixed
//! partial sums and multiply-adds are never fused, so a row gives the same bits on every machine and however the
//! rows are split among threads.

use candle_core::{CpuStorage, InplaceOp1, InplaceOp2, Layout, Tensor};
use pulp::{Arch, Simd, WithSimd};

use crate::edge_sums::{LARGEST, ONE};

/// Two of the widest vectors there are, so that sums do not wait for themselves.
const LANES: usize = 32;

/// Replaces each row of `scores` by `softmax(scale · row)`.
pub(crate) fn softmax_rows(scores: &Tensor, scale: f32) -> candle_core::Result<()> {
    each_row(
        scores,
        "softmax",
        #[inline(always)]
        |row| softmax(row, scale),
    )
}

/// Replaces each row of a gradient by the softmax, p, by that by its argument: `scale · p · (row − row · p)`.
pub(crate) fn softmax_gradient_rows(
    gradient: &Tensor,
    probabilities: &Tensor,
    scale: f32,
) -> candle_core::Result<()> {
    gradient.inplace_op2(probabilities, &SoftmaxGradient { scale })
}

/// Adds `bias` to each row.
pub(crate) fn add_bias(rows: &Tensor, bias: &[f32]) -> candle_core::Result<()> {
    each_row(
        rows,
        "bias",
        #[inline(always)]
        |row| row.iter_mut().zip(bias).for_each(|(x, b)| *x += b),
    )
}

/// Replaces each row by `max(row + bias, 0)`.
pub(crate) fn add_bias_relu(rows: &Tensor, bias: &[f32]) -> candle_core::Result<()> {
    each_row(
        rows,
        "bias and relu",
        #[inline(always)]
        |row| {
            for (x, b) in row.iter_mut().zip(bias) {
                let sum = *x + b;
                // Written so that NaN stays NaN.
                *x = if sum < 0.0 { 0.0 } else { sum };
            }
        },
    )
}

/// Replaces each row by `row + bias` where that is positive, else by `slope` times it.
pub(crate) fn add_bias_leaky_relu(rows: &Tensor, bias: &[f32], slope: f32) -> candle_core::Result<()> {
    each_row(
        rows,
        "bias and leaky relu",
        #[inline(always)]
        |row| {
            for (x, b) in row.iter_mut().zip(bias) {
                let sum = *x + b;
                *x = if sum < 0.0 { sum * slope } else { sum };
            }
        },
    )
}

/// Multiplies each column by its scale, then adds its shift.
pub(crate) fn scale_and_shift(rows: &Tensor, scale: &[f32], shift: &[f32]) -> candle_core::Result<()> {
    each_row(
        rows,
        "scale and shift",
        #[inline(always)]
        |row| {
            for ((x, scale), shift) in row.iter_mut().zip(scale).zip(shift) {
                *x = *x * scale + shift;
            }
        },
    )
}

/// Layer normalisation with biased variance.
#[derive(Debug, Clone)]
pub(crate) struct Norm {
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    pub(crate) eps: f32,
}

impl Norm {
    /// Normalises each row.
    pub(crate) fn apply(&self, rows: &Tensor) -> candle_core::Result<()> {
        each_row(
            rows,
            "layer norm",
            #[inline(always)]
            |row| self.normalise(row),
        )
    }

    /// Replaces each row by the normalised `row + bias + residual`.
    pub(crate) fn apply_to_sum(
        &self,
        rows: &Tensor,
        bias: &[f32],
        residual: &Tensor,
    ) -> candle_core::Result<()> {
        rows.inplace_op2(residual, &AddNorm { norm: self, bias })
    }

    /// [`Norm::apply`] on rows one after the other.
    pub(crate) fn apply_to_rows(&self, rows: &mut [f32]) {
        for_each_row(rows, self.weight.len(), &|row: &mut [f32]| self.normalise(row));
    }

    #[inline(always)]
    fn normalise(&self, row: &mut [f32]) {
        let n = row.len() as f32;
        let mean = sum(row, |x| x) / n;
        let variance = sum(row, |x| (x - mean) * (x - mean)) / n;
        let inverse = 1.0 / (variance + self.eps).sqrt();
        for ((x, w), b) in row.iter_mut().zip(&self.weight).zip(&self.bias) {
            *x = (*x - mean) * inverse * w + b;
        }
    }
}

/// `factor · value`, squared where that is asked for, in units of 2⁻⁴⁰, rounded to the nearest, ties to even. False where
/// one of them is not finite or beyond ±1024; what was written is then of no use.
pub(crate) fn to_fixed_point(values: &[f32], factor: f64, squared: bool, fixed: &mut [i64]) -> bool {
    Arch::new().dispatch(FixedPoint {
        values,
        factor,
        squared,
        fixed,
    })
}

struct FixedPoint<'a> {
    values: &'a [f32],
    factor: f64,
    squared: bool,
    fixed: &'a mut [i64],
}

impl WithSimd for FixedPoint<'_> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> bool {
        // 1.5·2⁵²: added to a smaller number it leaves no bits below one, and the integer stands in the low bits of the sum.
        const ROUND: f64 = 6_755_399_441_055_744.0;
        let mut all_fit = true;
        for (fixed, &value) in self.fixed.iter_mut().zip(self.values) {
            let value = f64::from(value) * self.factor;
            let value = if self.squared { value * value } else { value };
            all_fit &= value.abs() <= LARGEST;
            *fixed = (value * ONE + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i64;
        }
        all_fit
    }
}

/// A function for each row of `width` numbers, compiled for the vector units of the machine at hand. The function must be
/// inlined for that; so must what calls it, which a closure is not, since it would be called through a shim.
fn for_each_row(rows: &mut [f32], width: usize, apply: &impl Fn(&mut [f32])) {
    struct EachRow<'a, F> {
        rows: &'a mut [f32],
        width: usize,
        apply: &'a F,
    }

    impl<F: Fn(&mut [f32])> WithSimd for EachRow<'_, F> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            for row in self.rows.chunks_exact_mut(self.width) {
                // The function itself: a call through the reference would not be inlined.
                (*self.apply)(row);
            }
        }
    }

    Arch::new().dispatch(EachRow { rows, width, apply });
}

/// [`for_each_row`] together with the row of another matrix of the same shape.
fn for_each_row_pair(rows: &mut [f32], others: &[f32], width: usize, apply: impl Fn(&mut [f32], &[f32])) {
    struct EachPair<'a, F> {
        rows: &'a mut [f32],
        others: &'a [f32],
        width: usize,
        apply: F,
    }

    impl<F: Fn(&mut [f32], &[f32])> WithSimd for EachPair<'_, F> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            let others = self.others.chunks_exact(self.width);
            for (row, other) in self.rows.chunks_exact_mut(self.width).zip(others) {
                (self.apply)(row, other);
            }
        }
    }

    Arch::new().dispatch(EachPair {
        rows,
        others,
        width,
        apply,
    });
}

#[inline(always)]
fn softmax(row: &mut [f32], scale: f32) {
    let mut maxima = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    // What does not fill the lanes is filled up, since a vector of it costs less than one number after the other.
    let mut filled = [f32::NEG_INFINITY; LANES];
    filled[..rest.len()].copy_from_slice(rest);
    for chunk in chunks.iter().chain([&filled]) {
        for (max, &x) in maxima.iter_mut().zip(chunk) {
            *max = if x > *max { x } else { *max };
        }
    }
    let max = maxima
        .iter()
        .fold(f32::NEG_INFINITY, |max, &x| if x > max { x } else { max });
    let mut sums = [0.0; LANES];
    let (chunks, rest) = row.as_chunks_mut::<LANES>();
    for chunk in chunks {
        exponentiate(chunk, max, scale);
        for (sum, &x) in sums.iter_mut().zip(&*chunk) {
            *sum += x;
        }
    }
    if !rest.is_empty() {
        exponentiate(&mut filled, max, scale);
        rest.copy_from_slice(&filled[..rest.len()]);
    }
    let total = sums.iter().chain(&*rest).sum::<f32>();
    let inverse = 1.0 / total;
    for x in row {
        *x *= inverse;
    }
}

#[inline(always)]
fn exponentiate(chunk: &mut [f32; LANES], max: f32, scale: f32) {
    for x in chunk {
        *x = exp_of_nonpositive((*x - max) * scale);
    }
}

/// Sum of `f` over a row in [`LANES`] partial sums: vectorised, and closer to the exact sum than one running sum.
#[inline(always)]
fn sum(row: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (sum, &x) in sums.iter_mut().zip(chunk) {
            *sum += f(x);
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|&x| f(x)).sum::<f32>()
}

/// eˣ for x ≤ 0 to 2 ulp, without a branch or a call, so that loops over it vectorise; below −87, where the
/// result would be subnormal, e⁻⁸⁷. `NaN` stays `NaN`.
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2; eʳ by its Taylor polynomial of degree 7 (remainder 5·10⁻⁹), 2ⁿ by its bits.
#[inline(always)]
fn exp_of_nonpositive(x: f32) -> f32 {
    // Adding 1.5·2²³ rounds to an integer, which then stands in the low bits; 127 is the exponent's bias.
    const ROUND: f32 = 12_582_912.0 + 127.0;
    // ln 2 in two parts, the first with so few bits that n times it is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let series = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let exp_r = series.iter().fold(1.0 / 5040.0, |sum, c| sum * r + c);
    exp_r * f32::from_bits(shifted.to_bits() << 23)
}

fn each_row(rows: &Tensor, name: &'static str, apply: impl Fn(&mut [f32])) -> candle_core::Result<()> {
    rows.inplace_op1(&RowOp { name, apply })
}

/// A function for each row of a contiguous tensor. It must be inlined to be compiled for the machine at hand.
struct RowOp<F> {
    name: &'static str,
    apply: F,
}

impl<F: Fn(&mut [f32])> InplaceOp1 for RowOp<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let (rows, width) = rows_mut(self.name, storage, layout)?;
        for_each_row(rows, width, &self.apply);
        Ok(())
    }
}

struct SoftmaxGradient {
    scale: f32,
}

impl InplaceOp2 for SoftmaxGradient {
    fn name(&self) -> &'static str {
        "gradient of softmax"
    }

    fn cpu_fwd(
        &self,
        storage: &mut CpuStorage,
        layout: &Layout,
        probabilities: &CpuStorage,
        probabilities_layout: &Layout,
    ) -> candle_core::Result<()> {
        let (rows, width) = rows_mut(self.name(), storage, layout)?;
        let probabilities = contiguous(self.name(), probabilities, probabilities_layout)?;
        let scale = self.scale;
        for_each_row_pair(
            rows,
            probabilities,
            width,
            #[inline(always)]
            |row, probabilities| {
                for (g, p) in row.iter_mut().zip(probabilities) {
                    *g *= p;
                }
                let total = sum(row, |x| x);
                for (g, p) in row.iter_mut().zip(probabilities) {
                    *g = (*g - p * total) * scale;
                }
            },
        );
        Ok(())
    }
}

struct AddNorm<'a> {
    norm: &'a Norm,
    bias: &'a [f32],
}

impl InplaceOp2 for AddNorm<'_> {
    fn name(&self) -> &'static str {
        "residual and layer norm"
    }

    fn cpu_fwd(
        &self,
        storage: &mut CpuStorage,
        layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
    ) -> candle_core::Result<()> {
        let (rows, width) = rows_mut(self.name(), storage, layout)?;
        let residual = contiguous(self.name(), residual, residual_layout)?;
        for_each_row_pair(
            rows,
            residual,
            width,
            #[inline(always)]
            |row, residual| {
                for ((x, b), r) in row.iter_mut().zip(self.bias).zip(residual) {
                    *x += b + r;
                }
                self.norm.normalise(row);
            },
        );
        Ok(())
    }
}

/// The values of a contiguous CPU tensor, without a copy.
pub(crate) fn with_values<R>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> R) -> candle_core::Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        candle_core::Storage::Cpu(storage) => Ok(read(contiguous("read", storage, layout)?)),
        _ => candle_core::bail!("attention is observed on the CPU only"),
    }
}

pub(crate) fn contiguous<'a>(
    op: &'static str,
    storage: &'a CpuStorage,
    layout: &Layout,
) -> candle_core::Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("{op}: tensor of shape {:?} is not contiguous", layout.dims())
    };
    Ok(&storage.as_slice::<f32>()?[start..end])
}

fn rows_mut<'a>(
    op: &'static str,
    storage: &'a mut CpuStorage,
    layout: &Layout,
) -> candle_core::Result<(&'a mut [f32], usize)> {
    match (storage, layout.contiguous_offsets(), layout.dims().last()) {
        (CpuStorage::F32(values), Some((start, end)), Some(&width)) if width > 0 => {
            Ok((&mut values[start..end], width))
        }
        _ => candle_core::bail!(
            "{op}: expected contiguous rows of f32, got shape {:?}",
            layout.dims()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use proptest::prelude::*;

    /// Four rounding errors of 32-bit numbers near 1.
    const ROUNDING: f64 = 4.0 * f32::EPSILON as f64;

    fn after(rows: &[f32], width: usize, op: impl Fn(&Tensor)) -> Vec<f32> {
        let tensor = Tensor::from_slice(rows, (rows.len() / width, width), &Device::Cpu).unwrap();
        op(&tensor);
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    proptest! {
        #[test]
        fn the_exponential_agrees_with_the_double_precision_one(x in -87.0f32..=0.0) {
            let (found, exact) = (f64::from(exp_of_nonpositive(x)), f64::from(x).exp());
            prop_assert!((found / exact - 1.0).abs() < ROUNDING, "{} for {}", found, exact);
        }

        #[test]
        fn softmax_agrees_with_its_definition(row in prop::collection::vec(-30.0f32..30.0, 1..70), scale in 0.05f32..1.0) {
            let found = after(&row, row.len(), |t| softmax_rows(t, scale).unwrap());
            let powers: Vec<f64> = row.iter().map(|&x| (f64::from(x) * f64::from(scale)).exp()).collect();
            let total: f64 = powers.iter().sum();
            for (found, power) in found.iter().zip(&powers) {
                // Scores up to 30 are themselves rounded to 30 · 2⁻²⁴ before the exponential.
                prop_assert!((f64::from(*found) - power / total).abs() < 8.0 * ROUNDING);
            }
        }

        #[test]
        fn normalised_rows_agree_with_the_definition(
            row in prop::collection::vec(-5.0f32..5.0, 2..70), offset in -3.0f32..3.0,
        ) {
            let width = row.len();
            let norm = Norm { weight: vec![2.0; width], bias: vec![0.5; width], eps: 1e-5 };
            let residual = Tensor::full(offset, (1, width), &Device::Cpu).unwrap();
            let found = after(&row, width, |t| norm.apply_to_sum(t, &vec![0.25; width], &residual).unwrap());
            let sums: Vec<f64> = row.iter().map(|&x| f64::from(x) + 0.25 + f64::from(offset)).collect();
            let mean = sums.iter().sum::<f64>() / width as f64;
            let variance = sums.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
            for (found, x) in found.iter().zip(&sums) {
                let exact = 2.0 * (x - mean) / (variance + 1e-5).sqrt() + 0.5;
                // The mean of a nearly constant row cancels all but a few of its digits.
                prop_assert!((f64::from(*found) - exact).abs() < 1e-3 * exact.abs().max(1.0), "{} {}", found, exact);
            }
        }
    }

    #[test]
    fn extreme_scores_leave_a_distribution_and_nan_is_not_hidden() {
        let row = after(&[0.0, -1e30, 3e38, 0.0], 4, |t| softmax_rows(t, 1.0).unwrap());
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6 && row[2] > 0.999_999);
        for row in [[f32::NAN, 0.0], [f32::INFINITY, 0.0]] {
            assert!(
                after(&row, 2, |t| softmax_rows(t, 1.0).unwrap())
                    .iter()
                    .any(|x| x.is_nan())
            );
        }
    }

    #[test]
    fn fixed_point_rounds_to_the_nearest_and_refuses_what_it_cannot_hold() {
        let values = [0.0f32, 1.0, 0.3, -0.3, 1e-9, 1e-13, 1000.0, -1000.0];
        for (factor, squared) in [(1.0, false), (1.0 / 3.0, false), (0.01, true)] {
            let mut fixed = [7; 8];
            assert!(to_fixed_point(&values, factor, squared, &mut fixed));
            for (&value, fixed) in values.iter().zip(fixed) {
                let value = f64::from(value) * factor;
                let exact = if squared { value * value } else { value } * ONE;
                assert_eq!(fixed, exact.round_ties_even() as i64, "{value}");
            }
        }
        for wrong in [f32::NAN, f32::INFINITY, -2000.0] {
            assert!(!to_fixed_point(&[0.5, wrong], 1.0, false, &mut [0; 2]));
        }
    }

    #[test]
    fn a_strided_view_is_refused() {
        let transposed = Tensor::zeros((2, 3), candle_core::DType::F32, &Device::Cpu)
            .unwrap()
            .t()
            .unwrap();
        assert!(softmax_rows(&transposed, 1.0).is_err());
    }
}
