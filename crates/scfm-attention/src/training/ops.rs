//! The steps between the matrix products with their gradients. Candle could derive them from its own operations,
//! but broadcasting over rows costs it many times the products themselves, and it sums gradients of the size of
//! attention maps in a pool of spinning threads that cells computed in parallel would queue for.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Device, Layout, Shape, Tensor};

use crate::kernels::{Norm, contiguous, softmax_gradient_rows, softmax_rows, with_values};

type Result<T> = candle_core::Result<T>;

/// `softmax(scale · q kᵀ) v` for `q`, `k`, `v` of shape [head, token, dimension].
pub(crate) fn attention(q: &Tensor, k: &Tensor, v: &Tensor, scale: f32) -> Result<Tensor> {
    q.apply_op3(k, v, Attention { scale })
}

/// Each row plus `bias`.
pub(crate) fn biased(rows: &Tensor, bias: &Tensor) -> Result<Tensor> {
    rows.apply_op2(bias, Bias)
}

/// Layer normalisation of each row.
pub(crate) fn layer_norm(rows: &Tensor, weight: &Tensor, bias: &Tensor, eps: f32) -> Result<Tensor> {
    rows.apply_op3(weight, bias, LayerNorm { eps })
}

struct Attention {
    scale: f32,
}

impl Attention {
    fn probabilities(&self, q: &Tensor, k: &Tensor) -> Result<Tensor> {
        let probabilities = q.matmul(&k.t()?)?;
        softmax_rows(&probabilities, self.scale)?;
        Ok(probabilities)
    }
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let tensor = |storage, layout: &Layout| {
            Tensor::from_slice(
                contiguous(self.name(), storage, layout)?,
                layout.shape(),
                &Device::Cpu,
            )
        };
        let probabilities = self.probabilities(&tensor(q, q_layout)?, &tensor(k, k_layout)?)?;
        let context = probabilities.matmul(&tensor(v, v_layout)?)?;
        Ok((
            CpuStorage::F32(context.flatten_all()?.to_vec1()?),
            context.shape().clone(),
        ))
    }

    /// The probabilities are computed again: they are larger than all else and cheap to have twice.
    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        // Of no graph, or the products below would be kept for gradients of gradients.
        let (q, k, v, gradient) = (
            q.detach(),
            k.detach(),
            v.detach(),
            gradient.detach().contiguous()?,
        );
        let probabilities = self.probabilities(&q, &k)?;
        let of_v = probabilities.t()?.matmul(&gradient)?;
        let of_scores = gradient.matmul(&v.t()?)?;
        softmax_gradient_rows(&of_scores, &probabilities, self.scale)?;
        Ok((
            Some(of_scores.matmul(&k)?),
            Some(of_scores.t()?.matmul(&q)?),
            Some(of_v),
        ))
    }
}

struct Bias;

impl CustomOp2 for Bias {
    fn name(&self) -> &'static str {
        "bias"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let mut rows = contiguous(self.name(), storage, layout)?.to_vec();
        let bias = contiguous(self.name(), bias, bias_layout)?;
        for row in rows.chunks_exact_mut(width(layout)) {
            row.iter_mut().zip(bias).for_each(|(x, b)| *x += b);
        }
        Ok((CpuStorage::F32(rows), layout.shape().clone()))
    }

    fn bwd(
        &self,
        _: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let mut sums = vec![0.0; bias.elem_count()];
        with_values(&gradient, |values| {
            for row in values.chunks_exact(sums.len()) {
                sums.iter_mut().zip(row).for_each(|(sum, g)| *sum += g);
            }
        })?;
        Ok((
            Some(gradient),
            Some(Tensor::from_vec(sums, bias.shape(), &Device::Cpu)?),
        ))
    }
}

struct LayerNorm {
    eps: f32,
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer norm"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let mut rows = contiguous(self.name(), storage, layout)?.to_vec();
        let norm = Norm {
            weight: contiguous(self.name(), weight, weight_layout)?.to_vec(),
            bias: contiguous(self.name(), bias, bias_layout)?.to_vec(),
            eps: self.eps,
        };
        norm.apply_to_rows(&mut rows);
        Ok((CpuStorage::F32(rows), layout.shape().clone()))
    }

    /// With x̂ = (x − mean) / sd and g = gradient · weight, all by row: ∂x = (g − mean g − x̂ · mean(g x̂)) / sd;
    /// ∂weight and ∂bias are the sums over rows of gradient · x̂ and of the gradient.
    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (weights, gradient) = (weight.to_vec1::<f32>()?, gradient.contiguous()?);
        let width = weights.len();
        let n = width as f32;
        let (mut of_weight, mut of_bias) = (vec![0.0; width], vec![0.0; width]);
        let mut of_x: Vec<f32> = x.flatten_all()?.to_vec1()?;
        with_values(&gradient, |gradients| {
            for (x, gradient) in of_x.chunks_exact_mut(width).zip(gradients.chunks_exact(width)) {
                let mean = x.iter().sum::<f32>() / n;
                let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / n;
                let inverse = 1.0 / (variance + self.eps).sqrt();
                let (mut mean_g, mut mean_gx) = (0.0, 0.0);
                for (((x, g), w), (dw, db)) in x
                    .iter_mut()
                    .zip(gradient)
                    .zip(&weights)
                    .zip(of_weight.iter_mut().zip(&mut of_bias))
                {
                    *x = (*x - mean) * inverse;
                    *dw += g * *x;
                    *db += g;
                    mean_g += g * w / n;
                    mean_gx += g * w * *x / n;
                }
                for ((x, g), w) in x.iter_mut().zip(gradient).zip(&weights) {
                    *x = (g * w - mean_g - *x * mean_gx) * inverse;
                }
            }
        })?;
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), &Device::Cpu).map(Some);
        Ok((
            tensor(of_x, x)?,
            tensor(of_weight, weight)?,
            tensor(of_bias, bias)?,
        ))
    }
}

fn width(layout: &Layout) -> usize {
    layout.dims().last().copied().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Var;
    use candle_nn::ops;

    /// Gradients of order 1 through sums of some tens of 32-bit terms.
    const GRADIENT: f32 = 1e-4;

    fn var(shape: &[usize], scale: f32) -> Var {
        let n: usize = shape.iter().product();
        // Golden-ratio steps: spread over −1..1 without a pattern along any dimension.
        let values: Vec<f32> = (0..n)
            .map(|i| scale * (((i as f32 + 0.5) * 0.618_034).fract() * 2.0 - 1.0))
            .collect();
        Var::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    /// Values and gradients of `ours` are those that candle derives for `theirs`.
    fn assert_agree(vars: &[&Var], ours: &Tensor, theirs: &Tensor) {
        let close = |a: &Tensor, b: &Tensor| {
            let largest = (a - b)
                .unwrap()
                .abs()
                .unwrap()
                .flatten_all()
                .unwrap()
                .max(0)
                .unwrap();
            assert!(largest.to_scalar::<f32>().unwrap() < GRADIENT, "{a} {b}");
        };
        close(ours, theirs);
        // Any loss in which every output has another weight.
        let weights = var(ours.dims(), 3.0);
        let gradients = |y: &Tensor| {
            (y * weights.as_tensor())
                .unwrap()
                .sum_all()
                .unwrap()
                .backward()
                .unwrap()
        };
        let (ours, theirs) = (gradients(ours), gradients(theirs));
        for var in vars {
            let (ours, theirs) = (ours.get(var).unwrap(), theirs.get(var).unwrap());
            close(ours, theirs);
            assert!(
                theirs
                    .abs()
                    .unwrap()
                    .max_all()
                    .unwrap()
                    .to_scalar::<f32>()
                    .unwrap()
                    > 0.05
            );
        }
    }

    #[test]
    fn gradients_agree_with_those_that_candle_derives() {
        let (q, k, v) = (var(&[3, 5, 7], 2.0), var(&[3, 5, 7], 1.5), var(&[3, 5, 7], 1.0));
        let ours = attention(&q, &k, &v, 0.7).unwrap();
        let scores = (q.matmul(&k.t().unwrap()).unwrap() * 0.7).unwrap();
        assert_agree(
            &[&q, &k, &v],
            &ours,
            &ops::softmax(&scores, 2).unwrap().matmul(&v).unwrap(),
        );

        let (x, w, b) = (var(&[3, 5, 19], 2.0), var(&[19], 1.0), var(&[19], 1.0));
        let ours = biased(&x, &b).unwrap();
        assert_agree(&[&x, &b], &ours, &x.broadcast_add(&b).unwrap());

        let ours = layer_norm(&x, &w, &b, 1e-5).unwrap();
        assert_agree(
            &[&x, &w, &b],
            &ours,
            &ops::layer_norm_slow(&x, &w, &b, 1e-5).unwrap(),
        );
    }
}
