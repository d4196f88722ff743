//! The steps between the matrix products, wherever the tensors are: on the CPU by the [kernels](crate::kernels), in place;
//! on other devices by candle's own operations.

use candle_core::{D, Device, Tensor};

use crate::kernels::{self, Norm};

type Result<T> = candle_core::Result<T>;

/// The softmax of `scale` times each row.
pub(crate) fn softmax(scores: Tensor, scale: f32) -> Result<Tensor> {
    if scores.device().is_cpu() {
        kernels::softmax_rows(&scores, scale)?;
        return Ok(scores);
    }
    portable::softmax(&scores, scale)
}

/// Each row plus `bias`.
pub(crate) fn biased(rows: Tensor, bias: &[f32]) -> Result<Tensor> {
    if rows.device().is_cpu() {
        kernels::add_bias(&rows, bias)?;
        return Ok(rows);
    }
    portable::biased(&rows, bias)
}

/// `max(row + bias, 0)` of each row.
pub(crate) fn biased_relu(rows: Tensor, bias: &[f32]) -> Result<Tensor> {
    if rows.device().is_cpu() {
        kernels::add_bias_relu(&rows, bias)?;
        return Ok(rows);
    }
    portable::biased(&rows, bias)?.relu()
}

/// Each row plus `bias`, what is negative then multiplied by `slope`.
pub(crate) fn biased_leaky_relu(rows: Tensor, bias: &[f32], slope: f32) -> Result<Tensor> {
    if rows.device().is_cpu() {
        kernels::add_bias_leaky_relu(&rows, bias, slope)?;
        return Ok(rows);
    }
    portable::leaky_relu(&portable::biased(&rows, bias)?, slope)
}

/// Each row, normalised.
pub(crate) fn normalised(rows: Tensor, norm: &Norm) -> Result<Tensor> {
    if rows.device().is_cpu() {
        norm.apply(&rows)?;
        return Ok(rows);
    }
    portable::normalised(&rows, norm)
}

/// Each row of `rows + bias + residual`, normalised.
pub(crate) fn normalised_sum(rows: Tensor, bias: &[f32], residual: &Tensor, norm: &Norm) -> Result<Tensor> {
    if rows.device().is_cpu() {
        norm.apply_to_sum(&rows, bias, residual)?;
        return Ok(rows);
    }
    portable::normalised(&portable::biased(&rows, bias)?.add(residual)?, norm)
}

/// Each column times its scale, plus its shift.
pub(crate) fn scaled_and_shifted(rows: Tensor, scale: &[f32], shift: &[f32]) -> Result<Tensor> {
    if rows.device().is_cpu() {
        kernels::scale_and_shift(&rows, scale, shift)?;
        return Ok(rows);
    }
    let scale = Tensor::new(scale, rows.device())?;
    portable::biased(&rows.broadcast_mul(&scale)?, shift)
}

/// Hands out the values of a tensor, row-major, copied only where they are not in the memory of the CPU.
pub(crate) fn with_values<R>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> R) -> Result<R> {
    if tensor.device().is_cpu() && tensor.is_contiguous() {
        return kernels::with_values(tensor, read);
    }
    kernels::with_values(&tensor.to_device(&Device::Cpu)?.contiguous()?, read)
}

/// The same arithmetic in candle's operations, which every device has.
mod portable {
    use super::{D, Norm, Result, Tensor};

    pub(super) fn softmax(scores: &Tensor, scale: f32) -> Result<Tensor> {
        candle_nn::ops::softmax_last_dim(&scores.affine(f64::from(scale), 0.0)?)
    }

    pub(super) fn biased(rows: &Tensor, bias: &[f32]) -> Result<Tensor> {
        rows.broadcast_add(&Tensor::new(bias, rows.device())?)
    }

    pub(super) fn leaky_relu(rows: &Tensor, slope: f32) -> Result<Tensor> {
        candle_nn::ops::leaky_relu(rows, f64::from(slope))
    }

    pub(super) fn normalised(rows: &Tensor, norm: &Norm) -> Result<Tensor> {
        let mean = rows.mean_keepdim(D::Minus1)?;
        let centred = rows.broadcast_sub(&mean)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        let deviation = variance.affine(1.0, f64::from(norm.eps))?.sqrt()?;
        let weight = Tensor::new(norm.weight.as_slice(), rows.device())?;
        biased(
            &centred.broadcast_div(&deviation)?.broadcast_mul(&weight)?,
            &norm.bias,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounding errors of a sum of some hundred 32-bit numbers of order 1.
    const SUM: f32 = 1e-5;

    fn rows() -> Tensor {
        let values: Vec<f32> = (0..7u16 * 130)
            .map(|i| f32::from(i * 37 % 101) / 25.0 - 2.0)
            .collect();
        Tensor::from_vec(values, (7, 130), &Device::Cpu).unwrap()
    }

    fn assert_same(fast: &Tensor, portable: &Tensor) {
        let difference = (fast - portable).unwrap().abs().unwrap().max_all().unwrap();
        let difference = difference.to_scalar::<f32>().unwrap();
        assert!(difference < SUM, "{difference}");
    }

    #[test]
    fn what_other_devices_compute_is_what_the_cpu_computes() {
        let parameter = |of: u16| -> Vec<f32> { (0..130).map(|i| f32::from(i % of) / 10.0 - 0.3).collect() };
        let (bias, weight) = (parameter(7), parameter(11));
        let norm = Norm {
            weight: weight.clone(),
            bias: bias.clone(),
            eps: 1e-5,
        };
        let copy = || rows().copy().unwrap();
        assert_same(
            &softmax(copy(), 0.3).unwrap(),
            &portable::softmax(&rows(), 0.3).unwrap(),
        );
        assert_same(
            &biased(copy(), &bias).unwrap(),
            &portable::biased(&rows(), &bias).unwrap(),
        );
        let sum = portable::biased(&rows(), &bias).unwrap();
        assert_same(&biased_relu(copy(), &bias).unwrap(), &sum.relu().unwrap());
        assert_same(
            &biased_leaky_relu(copy(), &bias, 0.01).unwrap(),
            &portable::leaky_relu(&sum, 0.01).unwrap(),
        );
        assert_same(
            &normalised(copy(), &norm).unwrap(),
            &portable::normalised(&rows(), &norm).unwrap(),
        );
        assert_same(
            &normalised_sum(copy(), &bias, &rows(), &norm).unwrap(),
            &portable::normalised(&(sum + rows()).unwrap(), &norm).unwrap(),
        );
        let scaled = rows().broadcast_mul(&Tensor::new(weight.as_slice(), &Device::Cpu).unwrap());
        assert_same(
            &scaled_and_shifted(copy(), &weight, &bias).unwrap(),
            &portable::biased(&scaled.unwrap(), &bias).unwrap(),
        );
    }

    #[test]
    fn values_are_read_in_the_order_of_rows_whatever_the_strides() {
        let transposed = rows().t().unwrap();
        let found = with_values(&transposed, <[f32]>::to_vec).unwrap();
        assert_eq!(found, transposed.flatten_all().unwrap().to_vec1::<f32>().unwrap());
    }
}
