//! Matrix products on the thread that asks for them.
//!
//! Cells are spread over threads, so a product that spread itself too would wait for threads that are busy, and cut its
//! operands for them; candle's own product does both. This is the one place of the workspace that needs `unsafe`, for
//! `gemm` takes pointers; what it reads and writes is checked against the slices here.
#![allow(unsafe_code)]

use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor};
use gemm::Parallelism;

/// `a b`, matrices of 32-bit numbers in whatever strides they have.
pub(crate) fn product(a: &Tensor, b: &Tensor) -> candle_core::Result<Tensor> {
    if a.device().is_cpu() {
        a.apply_op2_no_bwd(b, &Product)
    } else {
        a.matmul(b)
    }
}

struct Product;

impl CustomOp2 for Product {
    fn name(&self) -> &'static str {
        "matrix product"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (a, b) = (Operand::new(a, a_layout)?, Operand::new(b, b_layout)?);
        if a.columns != b.rows {
            candle_core::bail!(
                "matrix product of shapes {:?} and {:?}",
                a_layout.dims(),
                b_layout.dims()
            );
        }
        Ok((
            CpuStorage::F32(multiply(&a, &b)),
            Shape::from((a.rows, b.columns)),
        ))
    }
}

/// A matrix whose elements all lie in its slice.
struct Operand<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Operand<'a> {
    fn new(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<Self> {
        let (rows, columns) = layout.shape().dims2()?;
        let (row_stride, column_stride) = (layout.stride()[0], layout.stride()[1]);
        let values = storage
            .as_slice::<f32>()?
            .get(layout.start_offset()..)
            .unwrap_or_default();
        let furthest = rows.saturating_sub(1) * row_stride + columns.saturating_sub(1) * column_stride;
        if rows == 0 || columns == 0 || furthest >= values.len() {
            candle_core::bail!(
                "matrix product of an empty or cut matrix of shape {:?}",
                layout.dims()
            );
        }
        Ok(Self {
            values,
            rows,
            columns,
            row_stride,
            column_stride,
        })
    }
}

/// Row-major `a b`.
fn multiply(a: &Operand<'_>, b: &Operand<'_>) -> Vec<f32> {
    let len = a.rows * b.columns;
    let mut product = Vec::with_capacity(len);
    // SAFETY: `Operand::new` checked that every element of `a` and `b` lies in its slice, and the columns of `a` are the
    // rows of `b`. The product has `len` elements in row-major order, for which there is room; `read_dst` is false, so that
    // all of them are written and none is read before.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            product.as_mut_ptr(),
            1,
            b.columns as isize,
            false,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
        product.set_len(len);
    }
    product
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Sums of at most 70 products of numbers below 1, in another order.
        #[test]
        fn products_agree_with_their_definition_in_all_strides(
            rows in 1usize..40, inner in 1usize..70, columns in 1usize..40,
            transposed in prop::array::uniform2(any::<bool>()), offset in 0usize..3, seed in any::<u32>(),
        ) {
            let number = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) ^ seed) as f32 / u32::MAX as f32 - 0.5;
            // A part of a larger matrix, perhaps seen transposed.
            let part = |rows: usize, columns: usize, transposed: bool, from: usize| {
                let (r, c) = if transposed { (columns, rows) } else { (rows, columns) };
                let all: Vec<f32> = (0..(r + 2) * (c + 3)).map(|i| number(i + from)).collect();
                let all = Tensor::from_vec(all, (r + 2, c + 3), &Device::Cpu).unwrap();
                let part = all.narrow(0, offset.min(2), r).unwrap().narrow(1, offset, c).unwrap();
                if transposed { part.t().unwrap() } else { part }
            };
            let (a, b) = (part(rows, inner, transposed[0], 0), part(inner, columns, transposed[1], 10_000));
            let found = product(&a, &b).unwrap().to_vec2::<f32>().unwrap();
            let (a, b) = (a.to_vec2::<f32>().unwrap(), b.to_vec2::<f32>().unwrap());
            for (i, row) in found.iter().enumerate() {
                for (j, &found) in row.iter().enumerate() {
                    let exact: f64 = (0..inner).map(|k| f64::from(a[i][k]) * f64::from(b[k][j])).sum();
                    prop_assert!((f64::from(found) - exact).abs() < 1e-5, "{found}, expected {exact}");
                }
            }
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let matrix =
            |rows, columns| Tensor::zeros((rows, columns), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(product(&matrix(2, 3), &matrix(2, 3)).is_err());
        assert!(product(&matrix(0, 3), &matrix(3, 2)).is_err());
        assert!(product(&matrix(2, 3).flatten_all().unwrap(), &matrix(3, 2)).is_err());
    }
}
