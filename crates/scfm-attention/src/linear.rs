//! Linear maps and normalisations with their weights, and matrices out of the tensor arithmetic.

use candle_core::{Device, Tensor};
use ndarray::Array2;

use crate::kernels::Norm;
use crate::product::product;
use crate::steps::biased;
use crate::{Error, Weights};

/// `x Wᵀ + b`.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    weight: Tensor,
    pub(crate) bias: Vec<f32>,
}

impl Linear {
    pub(crate) fn new(weights: &Weights, path: &str, outputs: usize, inputs: usize) -> Result<Self, Error> {
        Ok(Self {
            weight: weights.get(&format!("{path}.weight"), &[outputs, inputs])?,
            bias: weights.vector(&format!("{path}.bias"), outputs)?,
        })
    }

    /// The linear maps, `N` of them of as many rows as columns, whose rows stand one after the other under `path`: the
    /// query, key and value projections of torch's attention.
    pub(crate) fn stacked<const N: usize>(
        weights: &Weights,
        path: &str,
        width: usize,
    ) -> Result<[Self; N], Error> {
        let stack = weights.get(&format!("{path}.weight"), &[N * width, width])?;
        let biases = weights.vector(&format!("{path}.bias"), N * width)?;
        let mut maps = Vec::with_capacity(N);
        for (part, bias) in biases.chunks_exact(width).enumerate() {
            maps.push(Self {
                weight: stack.narrow(0, part * width, width)?,
                bias: bias.to_vec(),
            });
        }
        Ok(maps.try_into().expect("as many parts as were cut"))
    }

    pub(crate) fn device(&self) -> &Device {
        self.weight.device()
    }

    /// `x Wᵀ`, for callers that add the bias together with something else.
    pub(crate) fn product(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        // The transpose is a view: the product packs its operands anyhow.
        product(x, &self.weight.t()?)
    }

    pub(crate) fn apply(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        biased(self.product(x)?, &self.bias)
    }

    /// What the map makes of parts of its input alone, without the bias: the product of `x` with those of its columns.
    pub(crate) fn product_of_inputs(&self, x: &Tensor, first: usize) -> candle_core::Result<Tensor> {
        product(x, &self.weight.narrow(1, first, x.dim(1)?)?.t()?)
    }
}

/// The layer normalisation whose weights stand under `path`.
pub(crate) fn norm(weights: &Weights, path: &str, width: usize, eps: f32) -> Result<Norm, Error> {
    Ok(Norm {
        weight: weights.vector(&format!("{path}.weight"), width)?,
        bias: weights.vector(&format!("{path}.bias"), width)?,
        eps,
    })
}

/// A matrix out of the tensor arithmetic.
pub(crate) fn to_array(tensor: &Tensor) -> Result<Array2<f32>, Error> {
    let dims = tensor.dims2()?;
    let values = tensor.flatten_all()?.to_vec1()?;
    Ok(Array2::from_shape_vec(dims, values).expect("as many values as the shape says"))
}
