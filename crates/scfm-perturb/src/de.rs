use rayon::prelude::*;
use scfm_core::{CountMatrix, GeneId, Panel};
use scfm_stats::{
    Alternative, Estimate, PValue, RankSum, benjamini_hochberg, defined, stratum_shares, van_elteren,
};

use crate::groups::{Group, Stratum, remaining, strata_of, with_variances};
use crate::{DeTable, Error};

/// Fewest cells of each group in a stratum, so that both have a variance.
const MIN_IN_STRATUM: usize = 2;

/// The test that compares a gene's expression in perturbed and control cells, two-sided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum DeTest {
    /// Welch's t test; the statistic is t, positive where the perturbation raises expression. With strata the test
    /// of [`stratified_welch`](scfm_stats::stratified_welch). A group in which a gene does not vary, most often because it was not seen there,
    /// borrows the variance of the other: with a variance of 0 every gene of few counts that a small group misses
    /// would be significant.
    #[default]
    Welch,
    /// Mann-Whitney U test with tie and continuity correction; the statistic is U of the perturbed cells. With strata
    /// the test of [`van_elteren`], whose statistic is z.
    MannWhitney,
}

impl DeTest {
    /// Its name in tables: `welch`, `mann-whitney`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Welch => "welch",
            Self::MannWhitney => "mann-whitney",
        }
    }
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
///
/// With strata (batches, replicates) cells are compared within them: LFC and test are those of
/// [`stratified_welch`](scfm_stats::stratified_welch) and [`van_elteren`], and a stratum in which either group has fewer than two cells is left out
/// for that perturbation. Cells alone in their stratum are counted in the ledger and not among those of the
/// perturbation.
#[derive(Debug, Clone)]
pub struct Screen {
    genes: Panel,
    params: DeParams,
    stratified: bool,
    controls: Vec<Stratum>,
    n_outside: usize,
    called: Vec<Called>,
    too_few: Vec<(GeneId, usize)>,
    alone: Vec<(GeneId, usize)>,
}

/// Calls of one perturbation; one entry per gene of the panel.
#[derive(Debug, Clone)]
pub(crate) struct Called {
    pub(crate) perturbed: GeneId,
    pub(crate) n_cells: usize,
    /// Means over strata with the weights of the test.
    pub(crate) mean: Vec<f64>,
    pub(crate) control_mean: Vec<f64>,
    /// `NaN` where the test has no value.
    pub(crate) statistic: Vec<f64>,
    pub(crate) p: Vec<f64>,
    pub(crate) q: Vec<f64>,
    /// Share of its own expression that the perturbed gene keeps; `NaN` where it is not measured.
    pub(crate) remaining: f64,
}

/// Perturbations with their cells and the stratum of each cell.
type Batch<'a> = Vec<(&'a GeneId, &'a CountMatrix, Vec<Option<u32>>)>;

/// Benjamini-Hochberg over the genes of a perturbation; a gene without a test has nothing to show, p = 1.
pub(crate) fn corrected(p: impl Iterator<Item = f64>) -> Vec<f64> {
    let family: Vec<f64> = p.map(|p| if p.is_nan() { 1.0 } else { p }).collect();
    benjamini_hochberg(&family)
}

impl Screen {
    /// A screen against `controls`, whose genes are the panel.
    ///
    /// # Errors
    /// [`Error::Parameter`] outside its range, [`Error::FewControls`] below two cells.
    pub fn new(controls: &CountMatrix, params: DeParams) -> Result<Self, Error> {
        Self::with(controls, &vec![Some(0); controls.n_cells()], params, false)
    }

    /// A screen within strata, one of which each cell of `controls` has; cells without one are left out.
    ///
    /// # Errors
    /// [`Error::Parameter`] outside its range, [`Error::NoStratum`] where no stratum has two control cells.
    ///
    /// # Panics
    /// When there is not one entry per cell.
    pub fn stratified(
        controls: &CountMatrix,
        strata: &[Option<u32>],
        params: DeParams,
    ) -> Result<Self, Error> {
        Self::with(controls, strata, params, true)
    }

    fn with(
        controls: &CountMatrix,
        strata: &[Option<u32>],
        params: DeParams,
        stratified: bool,
    ) -> Result<Self, Error> {
        params.check()?;
        let groups = strata_of(controls, strata, params.test)?;
        let most = groups.iter().map(|stratum| stratum.n).max().unwrap_or(0);
        if most < MIN_IN_STRATUM && stratified {
            return Err(Error::NoStratum {
                n_strata: groups.len(),
            });
        }
        if most < MIN_IN_STRATUM {
            return Err(Error::FewControls {
                n: most,
                needed: MIN_IN_STRATUM,
            });
        }
        Ok(Self {
            genes: controls.genes().clone(),
            params,
            stratified,
            n_outside: strata.iter().filter(|stratum| stratum.is_none()).count(),
            controls: groups,
            called: Vec::new(),
            too_few: Vec::new(),
            alone: Vec::new(),
        })
    }

    /// Calls the perturbations of a batch, each a gene and its cells; in parallel over perturbations.
    ///
    /// # Errors
    /// [`Error::Gene`] for expression that cannot be tested.
    ///
    /// # Panics
    /// When cells have other genes than the control cells, or the screen has strata.
    pub fn add(&mut self, batch: &[(GeneId, CountMatrix)]) -> Result<(), Error> {
        assert!(!self.stratified, "cells of a stratified screen have strata");
        let batch = batch.iter();
        self.call_all(
            batch
                .map(|(gene, cells)| (gene, cells, vec![Some(0); cells.n_cells()]))
                .collect(),
        )
    }

    /// Calls the perturbations of a batch, each a gene, its cells and their strata; in parallel over perturbations.
    ///
    /// # Errors
    /// [`Error::Gene`] for expression that cannot be tested.
    ///
    /// # Panics
    /// When cells have other genes than the control cells, or not one stratum each.
    pub fn add_stratified(&mut self, batch: &[(GeneId, CountMatrix, Vec<Option<u32>>)]) -> Result<(), Error> {
        let batch = batch.iter();
        self.call_all(
            batch
                .map(|(gene, cells, strata)| (gene, cells, strata.clone()))
                .collect(),
        )
    }

    /// All calls, perturbations in the order in which they were added.
    ///
    /// # Errors
    /// [`Error::Core`] where a perturbation was added twice.
    pub fn finish(self) -> Result<DeTable, Error> {
        let mut table = DeTable::new(self.genes, self.params, self.called, &self.too_few)?;
        if self.stratified {
            table.note_strata(self.n_outside, &self.alone);
        }
        Ok(table)
    }

    fn call_all(&mut self, batch: Batch<'_>) -> Result<(), Error> {
        let min_cells = self.params.min_cells;
        let mut enough = Vec::new();
        for (gene, cells, strata) in batch {
            let usable = self.usable(&strata);
            let n = strata
                .iter()
                .flatten()
                .filter(|stratum| usable.contains(stratum))
                .count();
            if n < cells.n_cells() {
                self.alone.push((gene.clone(), cells.n_cells() - n));
            }
            if n < min_cells {
                self.too_few.push((gene.clone(), n));
            } else {
                let keep = |stratum: Option<u32>| stratum.filter(|stratum| usable.contains(stratum));
                enough.push((gene, cells, strata.into_iter().map(keep).collect::<Vec<_>>()));
            }
        }
        let called: Vec<Called> = enough
            .into_par_iter()
            .map(|(gene, cells, strata)| self.call(gene, cells, &strata))
            .collect::<Result<_, _>>()?;
        self.called.extend(called);
        Ok(())
    }

    /// The strata in which both these cells and the control cells are at least two.
    fn usable(&self, strata: &[Option<u32>]) -> Vec<u32> {
        let n = |number| strata.iter().filter(|stratum| **stratum == Some(number)).count();
        let controls = self.controls.iter().filter(|stratum| stratum.n >= MIN_IN_STRATUM);
        controls
            .map(|stratum| stratum.number)
            .filter(|&number| n(number) >= MIN_IN_STRATUM)
            .collect()
    }

    fn call(&self, perturbed: &GeneId, cells: &CountMatrix, strata: &[Option<u32>]) -> Result<Called, Error> {
        assert_eq!(
            *cells.genes(),
            self.genes,
            "perturbed and control cells have the same genes"
        );
        let strata = strata_of(cells, strata, self.params.test)?;
        let pairs: Vec<(&Stratum, &Stratum)> = strata
            .iter()
            .filter_map(|stratum| {
                let mut controls = self.controls.iter();
                Some((
                    stratum,
                    controls.find(|control| control.number == stratum.number)?,
                ))
            })
            .collect();
        let sizes: Vec<_> = pairs.iter().map(|(a, b)| (a.n, b.n)).collect();
        let shares = stratum_shares(&sizes);
        let n_genes = self.genes.len();
        let [mut mean, mut control_mean, mut statistic, mut p] = [const { Vec::new() }; 4];
        for gene in 0..n_genes {
            let test = defined(self.test(&pairs, gene)).map_err(|source| Error::Gene {
                perturbation: perturbed.clone(),
                gene: self.genes.gene(gene).clone(),
                source,
            })?;
            statistic.push(test.as_ref().map_or(f64::NAN, |(statistic, _)| *statistic));
            p.push(test.as_ref().map_or(f64::NAN, |(_, p)| p.p()));
            let weighted = |of: fn(&(&Stratum, &Stratum), usize) -> f64| -> f64 {
                pairs
                    .iter()
                    .zip(&shares)
                    .map(|(pair, share)| share * of(pair, gene))
                    .sum()
            };
            mean.push(weighted(|(a, _), gene| a.groups[gene].moments.mean));
            control_mean.push(weighted(|(_, b), gene| b.groups[gene].moments.mean));
        }
        let own = self.genes.position(perturbed.as_str());
        Ok(Called {
            perturbed: perturbed.clone(),
            n_cells: sizes.iter().map(|(n, _)| n).sum(),
            remaining: own.map_or(f64::NAN, |gene| remaining(&pairs, gene)),
            mean,
            control_mean,
            statistic,
            q: corrected(p.iter().copied()),
            p,
        })
    }

    /// Statistic and two-sided p; intervals would cost more than both.
    fn test(&self, pairs: &[(&Stratum, &Stratum)], gene: usize) -> Result<(f64, PValue), scfm_stats::Error> {
        let groups = pairs.iter().map(|(a, b)| (&a.groups[gene], &b.groups[gene]));
        if self.params.test == DeTest::Welch {
            let of_stratum = |(a, b): (&Group, &Group)| with_variances(a.moments, b.moments);
            let shift = match pairs {
                // Without strata nothing is put on the heap.
                [(a, b)] => {
                    let (a, b) = of_stratum((&a.groups[gene], &b.groups[gene]));
                    Estimate::welch(a, b)?
                }
                _ => Estimate::welch_within_strata(&groups.map(of_stratum).collect::<Vec<_>>())?,
            };
            return Ok((shift.t()?, shift.p(Alternative::TwoSided)?));
        }
        let sorted: Vec<_> = groups
            .filter_map(|(a, b)| Some((a.sorted.as_ref()?, b.sorted.as_ref()?)))
            .collect();
        match sorted[..] {
            [(a, b)] if !self.stratified => {
                let ranks = RankSum::of(a, b)?;
                Ok((ranks.u(), ranks.p(Alternative::TwoSided)))
            }
            _ => van_elteren(&sorted).map(|test| (test.statistic, test.p)),
        }
    }
}
