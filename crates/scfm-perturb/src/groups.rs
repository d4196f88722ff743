use scfm_core::{ColumnMoments, CountMatrix};
use scfm_stats::{Moments, SortedSample};

use crate::expression::{mean_cp10k, positive_values};
use crate::strata::split;
use crate::{DeTest, Error};

/// The cells of one group in one stratum, gene by gene.
#[derive(Debug, Clone)]
pub(crate) struct Stratum {
    pub(crate) number: u32,
    pub(crate) n: usize,
    pub(crate) groups: Vec<Group>,
    /// Mean counts per 10,000, not logarithmised.
    pub(crate) cp10k: Vec<f64>,
}

/// A gene's expression in one group of cells, as far as the test needs it.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) moments: Moments,
    pub(crate) sorted: Option<SortedSample>,
}

/// The moments of two groups, where a group in which a gene never varies borrows the variance of the other.
///
/// Such a group is most often a small one in which a gene of few counts was not seen at all. Its sample variance of 0 is
/// no sign that its mean is known exactly; taken at its word it makes every such gene significant. Under the null
/// hypothesis both groups vary alike.
pub(crate) fn with_variances(mut a: Moments, mut b: Moments) -> (Moments, Moments) {
    if a.variance == 0.0 {
        a.variance = b.variance;
    } else if b.variance == 0.0 {
        b.variance = a.variance;
    }
    (a, b)
}

/// Mean counts per 10,000 of a gene in perturbed cells over those of control cells, the control cells weighted to the
/// perturbed cells' strata; `NaN` where control cells do not express it.
pub(crate) fn remaining(pairs: &[(&Stratum, &Stratum)], gene: usize) -> f64 {
    let sum = |of: fn(&(&Stratum, &Stratum), usize) -> f64| -> f64 {
        pairs.iter().map(|pair| pair.0.n as f64 * of(pair, gene)).sum()
    };
    let (perturbed, control) = (
        sum(|(a, _), gene| a.cp10k[gene]),
        sum(|(_, b), gene| b.cp10k[gene]),
    );
    if control > 0.0 {
        perturbed / control
    } else {
        f64::NAN
    }
}

pub(crate) fn strata_of(
    cells: &CountMatrix,
    strata: &[Option<u32>],
    test: DeTest,
) -> Result<Vec<Stratum>, Error> {
    split(cells, strata)
        .into_iter()
        .map(|(number, cells)| {
            Ok(Stratum {
                number,
                n: cells.n_cells(),
                groups: groups(&cells, test)?,
                cp10k: mean_cp10k(&cells),
            })
        })
        .collect()
}

fn groups(cells: &CountMatrix, test: DeTest) -> Result<Vec<Group>, Error> {
    let expression = cells.log1p_cp10k();
    let columns = ColumnMoments::of(&expression);
    let moments = columns
        .mean
        .iter()
        .zip(&columns.variance)
        .map(|(&mean, &variance)| Moments {
            n: columns.n,
            mean,
            variance,
        });
    match test {
        DeTest::Welch => Ok(moments
            .map(|moments| Group {
                moments,
                sorted: None,
            })
            .collect()),
        DeTest::MannWhitney => positive_values(&expression)
            .iter()
            .zip(moments)
            .map(|(positive, moments)| {
                let sorted = SortedSample::with_zeros(positive, cells.n_cells() - positive.len())?;
                Ok(Group {
                    moments,
                    sorted: Some(sorted),
                })
            })
            .collect(),
    }
}
