use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use ndarray::{ArrayViewMut1, ArrayViewMut2};

use crate::{Error, Weights};

/// Weights in the making: all of a configuration's, zero at first.
pub(crate) struct Draft(BTreeMap<String, (Vec<usize>, Vec<f32>)>);

impl Draft {
    pub(crate) fn new(parameters: impl IntoIterator<Item = (String, Vec<usize>)>) -> Self {
        let zeros = |shape: Vec<usize>| {
            let n = shape.iter().product();
            (shape, vec![0.0; n])
        };
        Self(
            parameters
                .into_iter()
                .map(|(name, shape)| (name, zeros(shape)))
                .collect(),
        )
    }

    /// A weight matrix, `[output, input]`.
    ///
    /// # Panics
    /// Where the configuration has no such matrix.
    pub(crate) fn matrix(&mut self, name: &str) -> ArrayViewMut2<'_, f32> {
        let (shape, values) = self.0.get_mut(name).expect("a weight of the configuration");
        let shape: [usize; 2] = shape.as_slice().try_into().expect("a matrix");
        ArrayViewMut2::from_shape(shape, values).expect("as many values as the shape says")
    }

    /// A bias, or a weight of a normalisation.
    ///
    /// # Panics
    /// Where the configuration has no such vector.
    pub(crate) fn vector(&mut self, name: &str) -> ArrayViewMut1<'_, f32> {
        let (_, values) = self.0.get_mut(name).expect("a weight of the configuration");
        ArrayViewMut1::from(values.as_mut_slice())
    }

    /// The weights as they stand.
    pub(crate) fn weights(&self, config: &'static str) -> Result<Weights, Error> {
        let tensor = |(shape, values): &(Vec<usize>, Vec<f32>)| {
            Tensor::from_slice(values, shape.as_slice(), &Device::Cpu)
        };
        let tensors = self
            .0
            .iter()
            .map(|(name, values)| Ok((name.clone(), tensor(values)?)));
        Ok(Weights::new(
            "planted weights",
            config,
            tensors.collect::<Result<_, Error>>()?,
        ))
    }
}
