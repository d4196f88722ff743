use rayon::prelude::*;
use scfm_core::{ColumnMoments, CountMatrix, GeneId, Panel};
use scfm_stats::{
    Moments, SortedSample, benjamini_hochberg, defined, mann_whitney_sorted, welch_t_from_moments,
};

use crate::expression::positive_values;
use crate::{DeTable, Error};

/// The test that compares a gene's expression in perturbed and control cells, two-sided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum DeTest {
    /// Welch's t test; the statistic is t, positive where the perturbation raises expression.
    #[default]
    Welch,
    /// Mann-Whitney U test with tie and continuity correction; the statistic is U of the perturbed cells.
    MannWhitney,
}

/// How a gene is called differentially expressed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeParams {
    /// The test.
    pub test: DeTest,
    /// A positive's |LFC| lies above this; LFC is the difference of mean expression, in natural logs.
    pub min_lfc: f64,
    /// A positive's q lies below this.
    pub alpha: f64,
    /// Perturbations with fewer cells are left out and counted.
    pub min_cells: usize,
}

impl Default for DeParams {
    /// Welch, |LFC| > 0.5, q < 0.05, 30 cells.
    fn default() -> Self {
        Self {
            test: DeTest::Welch,
            min_lfc: 0.5,
            alpha: 0.05,
            min_cells: 30,
        }
    }
}

impl DeParams {
    /// The baseline configuration of arXiv:2602.17532: Mann-Whitney, |LFC| > 0.1.
    pub fn baseline() -> Self {
        Self {
            test: DeTest::MannWhitney,
            min_lfc: 0.1,
            ..Self::default()
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |name, value, expected| {
            Err(Error::Parameter {
                name,
                value,
                expected,
            })
        };
        if !(self.min_lfc >= 0.0 && self.min_lfc.is_finite()) {
            return wrong("min_lfc", self.min_lfc, "a number of at least 0");
        }
        if !(self.alpha > 0.0 && self.alpha < 1.0) {
            return wrong("alpha", self.alpha, "a number between 0 and 1");
        }
        if self.min_cells < 2 {
            return wrong("min_cells", self.min_cells as f64, "at least 2");
        }
        Ok(())
    }
}

/// Differential expression of a screen: every perturbation against the same control cells, gene by gene.
///
/// Expression is the natural log of 1 + counts per 10,000 over all genes of the file, not over the panel. The
/// Benjamini-Hochberg correction runs within a perturbation over all genes of the panel, the perturbed gene
/// included; a gene whose test has no value counts there with p = 1. The control cells are read once; perturbed
/// cells come in batches, so that memory holds no more of them than a batch.
#[derive(Debug, Clone)]
pub struct Screen {
    genes: Panel,
    params: DeParams,
    controls: Vec<Group>,
    called: Vec<Called>,
    too_few: Vec<(GeneId, usize)>,
}

/// A gene's expression in one group of cells, as far as the test needs it.
#[derive(Debug, Clone)]
struct Group {
    moments: Moments,
    sorted: Option<SortedSample>,
}

/// Calls of one perturbation; one entry per gene of the panel.
#[derive(Debug, Clone)]
pub(crate) struct Called {
    pub(crate) perturbed: GeneId,
    pub(crate) n_cells: usize,
    pub(crate) mean: Vec<f64>,
    /// `NaN` where the test has no value.
    pub(crate) statistic: Vec<f64>,
    pub(crate) p: Vec<f64>,
    pub(crate) q: Vec<f64>,
}

impl Screen {
    /// A screen against `controls`, whose genes are the panel.
    ///
    /// # Errors
    /// [`Error::Parameter`] outside its range, [`Error::FewControls`] below two cells.
    pub fn new(controls: &CountMatrix, params: DeParams) -> Result<Self, Error> {
        params.check()?;
        if controls.n_cells() < 2 {
            return Err(Error::FewControls {
                n: controls.n_cells(),
                needed: 2,
            });
        }
        Ok(Self {
            genes: controls.genes().clone(),
            params,
            controls: groups(controls, params.test)?,
            called: Vec::new(),
            too_few: Vec::new(),
        })
    }

    /// Calls the perturbations of a batch, each a gene and its cells; in parallel over perturbations.
    ///
    /// # Errors
    /// [`Error::Gene`] for expression that cannot be tested.
    ///
    /// # Panics
    /// When cells have other genes than the control cells.
    pub fn add(&mut self, batch: &[(GeneId, CountMatrix)]) -> Result<(), Error> {
        let (enough, few): (Vec<_>, Vec<_>) = batch
            .iter()
            .partition(|(_, cells)| cells.n_cells() >= self.params.min_cells);
        self.too_few.extend(
            few.into_iter()
                .map(|(gene, cells)| (gene.clone(), cells.n_cells())),
        );
        let called: Vec<Called> = enough
            .into_par_iter()
            .map(|(gene, cells)| self.call(gene, cells))
            .collect::<Result<_, _>>()?;
        self.called.extend(called);
        Ok(())
    }

    /// All calls, perturbations in the order in which they were added.
    ///
    /// # Errors
    /// [`Error::Core`] where a perturbation was added twice.
    pub fn finish(self) -> Result<DeTable, Error> {
        let control_mean = self.controls.iter().map(|group| group.moments.mean).collect();
        DeTable::new(self.genes, self.params, control_mean, self.called, &self.too_few)
    }

    fn call(&self, perturbed: &GeneId, cells: &CountMatrix) -> Result<Called, Error> {
        assert_eq!(
            *cells.genes(),
            self.genes,
            "perturbed and control cells have the same genes"
        );
        let groups = groups(cells, self.params.test)?;
        let (mut statistic, mut p) = (Vec::with_capacity(groups.len()), Vec::with_capacity(groups.len()));
        for (position, (group, control)) in groups.iter().zip(&self.controls).enumerate() {
            let test = match (&group.sorted, &control.sorted) {
                (Some(perturbed), Some(control)) => mann_whitney_sorted(perturbed, control),
                _ => welch_t_from_moments(group.moments, control.moments),
            };
            let test = defined(test).map_err(|source| Error::Gene {
                perturbation: perturbed.clone(),
                gene: self.genes.gene(position).clone(),
                source,
            })?;
            statistic.push(test.as_ref().map_or(f64::NAN, |t| t.statistic));
            p.push(test.as_ref().map_or(f64::NAN, |t| t.p.p()));
        }
        let family: Vec<f64> = p.iter().map(|&p| if p.is_nan() { 1.0 } else { p }).collect();
        Ok(Called {
            perturbed: perturbed.clone(),
            n_cells: cells.n_cells(),
            mean: groups.iter().map(|group| group.moments.mean).collect(),
            statistic,
            q: benjamini_hochberg(&family),
            p,
        })
    }
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
