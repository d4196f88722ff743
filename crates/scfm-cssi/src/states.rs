//! States of cells from what they express.

use ndarray::ArrayView2;

use crate::error::Error;
use crate::graph::Graph;
use crate::leiden::leiden;
use crate::neighbours::nearest_neighbours;
use crate::pca::Covariance;

/// How states are looked for: the values of scanpy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StateParams {
    /// Principal components, at most; fewer where there are fewer genes.
    pub n_components: usize,
    /// Nearest neighbours, the cell itself included; fewer where there are fewer cells.
    pub n_neighbours: usize,
    /// Resolution of the Leiden algorithm.
    pub resolution: f64,
}

impl Default for StateParams {
    fn default() -> Self {
        Self {
            n_components: 50,
            n_neighbours: 15,
            resolution: 1.0,
        }
    }
}

/// A search for states of the same cells by one set of genes or another, for which covariances are taken once.
#[derive(Debug, Clone)]
pub struct StateSearch<'a, T> {
    expression: ArrayView2<'a, T>,
    covariance: Covariance,
    params: StateParams,
    seed: u64,
}

impl<'a, T: Copy + Into<f64> + Sync> StateSearch<'a, T> {
    /// Of the cells of `expression`, `[cells, genes]`.
    ///
    /// # Errors
    /// As [`Covariance::of`].
    pub fn new(expression: ArrayView2<'a, T>, params: StateParams, seed: u64) -> Result<Self, Error> {
        Ok(Self {
            covariance: Covariance::of(expression)?,
            expression,
            params,
            seed,
        })
    }

    /// The state of each cell by `genes` alone: communities of the graph of nearest neighbours in principal components.
    ///
    /// # Errors
    /// As [`Covariance::components`], [`nearest_neighbours`] and [`leiden`].
    pub fn by(&self, genes: &[usize]) -> Result<Vec<usize>, Error> {
        let n_components = self.params.n_components.min(genes.len());
        let components = self.covariance.components(genes, n_components)?;
        let coordinates = components.coordinates(self.expression);
        let n_neighbours = self.params.n_neighbours.min(coordinates.nrows());
        let graph = Graph::fuzzy(&nearest_neighbours(coordinates.view(), n_neighbours)?);
        leiden(&graph, self.params.resolution, self.seed)
    }
}
