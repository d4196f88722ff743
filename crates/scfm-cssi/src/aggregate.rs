//! Scores within strata brought together to one score for each pair.

use ndarray::{Array1, ArrayView2, Axis};

use crate::error::Error;
use crate::strata::Strata;

/// How scores of several strata become one.
///
/// A score that is NaN was not seen in its stratum. Every aggregator but [`Self::PublishedMean`] looks at the others only;
/// where there is none, the result is NaN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aggregator {
    /// The largest score.
    Max,
    /// Mean weighted by the numbers of cells of the strata in which the pair was seen.
    WeightedMean,
    /// As published: strata that were skipped or in which the pair was not seen keep their weight and count as 0. "CSSI-mean"
    /// in the published methods; what the publication calls SCENIC-style is the same.
    PublishedMean,
    /// Mean over strata.
    Mean,
    /// Median over strata.
    Median,
    /// The largest less the smallest score.
    Range,
    /// SD over strata, the sum of squares being divided by their number.
    StandardDeviation,
    /// The largest distance from the pooled score.
    Deviation,
}

impl Aggregator {
    /// All aggregators.
    pub const ALL: [Self; 8] = [
        Self::Max,
        Self::WeightedMean,
        Self::PublishedMean,
        Self::Mean,
        Self::Median,
        Self::Range,
        Self::StandardDeviation,
        Self::Deviation,
    ];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Max => "max",
            Self::WeightedMean => "weighted_mean",
            Self::PublishedMean => "published_mean",
            Self::Mean => "mean",
            Self::Median => "median",
            Self::Range => "range",
            Self::StandardDeviation => "standard_deviation",
            Self::Deviation => "deviation",
        }
    }

    /// One score for each pair from `scores`, `[strata, pairs]`, and the pooled scores of the same pairs.
    ///
    /// # Errors
    /// [`Error::Length`] unless there are as many rows of scores as strata, and as many pooled scores as columns.
    pub fn apply(
        self,
        scores: ArrayView2<'_, f64>,
        strata: &Strata,
        pooled: &[f64],
    ) -> Result<Vec<f64>, Error> {
        same("rows of scores", strata.len(), scores.nrows())?;
        let sizes = Array1::from(strata.sizes())
            .mapv(|size| size as f64)
            .insert_axis(Axis(1));
        let sizes = sizes.broadcast(scores.dim()).expect("a size for each row");
        self.apply_sized(scores, sizes, strata.n_cells(), pooled)
    }

    /// The same where the strata differ from pair to pair: `sizes`, `[strata, pairs]`, are their numbers of cells, out of
    /// `n_cells`.
    ///
    /// # Errors
    /// [`Error::Length`] unless there are as many sizes and pooled scores as scores ask for.
    pub fn apply_sized(
        self,
        scores: ArrayView2<'_, f64>,
        sizes: ArrayView2<'_, f64>,
        n_cells: usize,
        pooled: &[f64],
    ) -> Result<Vec<f64>, Error> {
        same("sizes of strata", scores.len(), sizes.len())?;
        same("pooled scores", scores.ncols(), pooled.len())?;
        let mut seen = Vec::with_capacity(scores.nrows());
        let columns = scores.columns().into_iter().zip(sizes.columns()).zip(pooled);
        Ok(columns
            .map(|((scores, sizes), &pooled)| {
                let both = scores.iter().copied().zip(sizes.iter().copied());
                seen.clear();
                seen.extend(both.filter(|(score, _)| !score.is_nan()));
                self.of_seen(&mut seen, n_cells as f64, pooled)
            })
            .collect())
    }

    /// `seen` holds scores and numbers of cells.
    fn of_seen(self, seen: &mut [(f64, f64)], n_cells: f64, pooled: f64) -> f64 {
        if seen.is_empty() {
            return f64::NAN;
        }
        let n = seen.len() as f64;
        let scores = seen.iter().map(|&(score, _)| score);
        match self {
            Self::Max => scores.fold(f64::NEG_INFINITY, f64::max),
            Self::WeightedMean => {
                let total: f64 = seen.iter().map(|&(_, size)| size).sum();
                seen.iter().map(|&(score, size)| score * size).sum::<f64>() / total
            }
            // Each term is divided before it is added, as the published sums were.
            Self::PublishedMean => seen.iter().map(|&(score, size)| score * (size / n_cells)).sum(),
            Self::Mean => scores.sum::<f64>() / n,
            Self::Median => {
                seen.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
                f64::midpoint(seen[(seen.len() - 1) / 2].0, seen[seen.len() / 2].0)
            }
            Self::Range => {
                scores.clone().fold(f64::NEG_INFINITY, f64::max) - scores.fold(f64::INFINITY, f64::min)
            }
            Self::StandardDeviation => {
                let mean = scores.clone().sum::<f64>() / n;
                (scores.map(|score| (score - mean).powi(2)).sum::<f64>() / n).sqrt()
            }
            Self::Deviation => scores
                .map(|score| (score - pooled).abs())
                .fold(f64::NAN, f64::max),
        }
    }
}

pub(crate) fn same(what: &'static str, expected: usize, found: usize) -> Result<(), Error> {
    if expected == found {
        return Ok(());
    }
    Err(Error::Length {
        what,
        expected,
        found,
    })
}
