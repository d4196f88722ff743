use scfm_core::{ColumnMoments, CountMatrix};

use crate::{Error, error::check};

/// So many genes nearest in mean make a point of a curve over means.
const NEIGHBOURS: usize = 15;

/// What a count matrix looks like gene by gene and cell by cell, with no word of how genes go together: what a world
/// can be calibrated to.
#[derive(Debug, Clone, PartialEq)]
pub struct Marginals {
    mean: Vec<f64>,
    variance: Vec<f64>,
    detection: Vec<f64>,
    totals: Vec<f64>,
}

/// How far two sets of marginals lie apart. The first four are Kolmogorov-Smirnov distances, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distance {
    /// Of the genes' mean counts.
    pub mean: f64,
    /// Of the genes' variances.
    pub variance: f64,
    /// Of the shares of cells in which genes are seen.
    pub detection: f64,
    /// Of the cells' totals.
    pub totals: f64,
    /// Root mean square, over genes, of the difference in log variance (natural) at the same mean.
    pub log_variance_at_mean: f64,
    /// Root mean square, over genes, of the difference in detection at the same mean.
    pub detection_at_mean: f64,
}

impl Marginals {
    /// The marginals of counts of at least two cells. A cell's total is over the columns of the matrix, whatever else
    /// its file holds.
    ///
    /// # Errors
    /// As [`Marginals::new`]; a parameter `n_cells` for fewer than two cells.
    pub fn of(counts: &CountMatrix) -> Result<Self, Error> {
        check("n_cells", counts.n_cells() as f64, 2.0, f64::MAX)?;
        let moments = ColumnMoments::of(&counts.counts().map(|&count| f64::from(count)));
        let counts = counts.counts();
        let total_of = |counts: &[f32]| counts.iter().copied().map(f64::from).sum();
        let totals = counts.outer_iterator().map(|cell| total_of(cell.data()));
        let n = moments.n as f64;
        Self::new(
            moments.mean,
            moments.variance,
            moments.n_positive.iter().map(|&cells| cells as f64 / n).collect(),
            totals.collect(),
        )
    }

    /// Per gene its mean count, variance and the share of cells in which it is seen.
    pub fn genes(&self) -> impl Iterator<Item = (f64, f64, f64)> {
        let all = self.mean.iter().zip(&self.variance).zip(&self.detection);
        all.map(|((&mean, &variance), &detection)| (mean, variance, detection))
    }

    /// Marginals known by themselves: per gene the mean, the variance (denominator n − 1) and the share of cells in
    /// which it is seen, per cell its total over these genes.
    ///
    /// # Errors
    /// [`Error::Length`] where there is not one of each per gene; [`Error::Parameter`] for a number that none of these
    /// can be, and where no gene varies.
    pub fn new(
        mean: Vec<f64>,
        variance: Vec<f64>,
        detection: Vec<f64>,
        totals: Vec<f64>,
    ) -> Result<Self, Error> {
        for (name, values, largest) in [
            ("mean", &mean, f64::MAX),
            ("variance", &variance, f64::MAX),
            ("detection", &detection, 1.0),
        ] {
            if values.len() != mean.len() {
                return Err(Error::Length {
                    what: name,
                    found: values.len(),
                    expected: mean.len(),
                });
            }
            values
                .iter()
                .try_for_each(|&value| check(name, value, 0.0, largest))?;
        }
        totals
            .iter()
            .try_for_each(|&total| check("totals", total, 0.0, f64::MAX))?;
        let marginals = Self {
            mean,
            variance,
            detection,
            totals,
        };
        let n_varying = marginals.by_mean().len() as f64;
        check("the number of genes that vary", n_varying, 1.0, f64::MAX)?;
        check(
            "the number of cells",
            marginals.totals.len() as f64,
            2.0,
            f64::MAX,
        )?;
        Ok(marginals)
    }

    /// Mean count of each gene.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Variance of each gene's counts.
    pub fn variance(&self) -> &[f64] {
        &self.variance
    }

    /// Share of cells in which each gene is seen.
    pub fn detection(&self) -> &[f64] {
        &self.detection
    }

    /// Total count of each cell over these genes.
    pub fn totals(&self) -> &[f64] {
        &self.totals
    }

    /// Overdispersion ω of each gene by moments, variance = mean + ω·mean²; missing for a gene that is never seen.
    pub fn overdispersion(&self) -> Vec<Option<f64>> {
        let genes = self.mean.iter().zip(&self.variance);
        genes
            .map(|(mean, variance)| (*mean > 0.0).then(|| (variance - mean) / (mean * mean)))
            .collect()
    }

    /// The share of cells in which each gene would be seen were it negative binomial with its mean and variance
    /// (Poisson where the variance is no larger). Held against [`Marginals::detection`] it says how far two moments
    /// describe a gene.
    pub fn detection_by_moments(&self) -> Vec<f64> {
        let genes = self.mean.iter().zip(self.overdispersion());
        genes
            .map(|(mean, overdispersion)| match overdispersion {
                Some(dispersion) if dispersion > 0.0 => {
                    -libm::expm1(-libm::log1p(dispersion * mean) / dispersion)
                }
                _ => -libm::expm1(-mean),
            })
            .collect()
    }

    /// How far these marginals, as those aimed at, and `other` lie apart. Curves are compared at the means of the
    /// genes of `self`; a point is the mean over the 15 genes of nearest mean.
    pub fn distance(&self, other: &Self) -> Distance {
        let (ours, others) = (self.by_mean(), other.by_mean());
        let rms = |of: fn(&Point) -> f64| {
            let differences = ours.iter().map(|point| {
                let at = point.log_mean;
                curve(&ours, at, of) - curve(&others, at, of)
            });
            (differences.map(|d| d * d).sum::<f64>() / ours.len() as f64).sqrt()
        };
        Distance {
            mean: kolmogorov_smirnov(&self.mean, &other.mean),
            variance: kolmogorov_smirnov(&self.variance, &other.variance),
            detection: kolmogorov_smirnov(&self.detection, &other.detection),
            totals: kolmogorov_smirnov(&self.totals, &other.totals),
            log_variance_at_mean: rms(|point| point.log_variance),
            detection_at_mean: rms(|point| point.detection),
        }
    }

    /// The genes that vary, by mean.
    fn by_mean(&self) -> Vec<Point> {
        let genes = self.mean.iter().zip(&self.variance).zip(&self.detection);
        let mut points: Vec<Point> = genes
            .filter(|&((&mean, &variance), _)| mean > 0.0 && variance > 0.0)
            .map(|((&mean, &variance), &detection)| Point {
                log_mean: libm::log(mean),
                log_variance: libm::log(variance),
                detection,
            })
            .collect();
        points.sort_by(|a, b| a.log_mean.total_cmp(&b.log_mean));
        points
    }
}

/// A gene on the curves over means.
struct Point {
    log_mean: f64,
    log_variance: f64,
    detection: f64,
}

/// Mean over the genes whose log mean is nearest to `at`; `points` are sorted by it.
fn curve(points: &[Point], at: f64, of: fn(&Point) -> f64) -> f64 {
    let n = NEIGHBOURS.min(points.len());
    let mut start = points
        .partition_point(|point| point.log_mean < at)
        .saturating_sub(n);
    // The window moves on as long as the gene it would take in is nearer than the one it would leave.
    while start + n < points.len() && points[start + n].log_mean - at < at - points[start].log_mean {
        start += 1;
    }
    points[start..start + n].iter().map(of).sum::<f64>() / n as f64
}

/// Largest difference between two empirical distribution functions.
fn kolmogorov_smirnov(a: &[f64], b: &[f64]) -> f64 {
    let sorted = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_unstable_by(f64::total_cmp);
        values
    };
    let (a, b) = (sorted(a), sorted(b));
    let share = |values: &[f64], x: f64| values.partition_point(|&v| v <= x) as f64 / values.len() as f64;
    a.iter()
        .chain(&b)
        .map(|&x| (share(&a, x) - share(&b, x)).abs())
        .fold(0.0, f64::max)
}
