//! Simulated designs in which the truth is known: genes respond to perturbations with a propensity of their own, and
//! scores have a part that belongs to the gene alone. Neither knows of the other unless a signal is planted.

#![allow(dead_code, reason = "each test file takes what it needs")]

use ndarray::Array2;
use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use scfm_stats::LabelledGrid;
use statrs::distribution::{ContinuousCDF, Normal};

/// How a world is drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct World {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Median number of positives of a row.
    pub(crate) median_positives: f64,
    /// Standard deviation of the columns' propensity, in log-odds.
    pub(crate) propensity: f64,
    /// Weight of the column-level part of the scores beside a cell-level part of weight 1.
    pub(crate) shared: f64,
    /// What the score of a positive cell gains: an effect of the pair, which neither its row nor its column has.
    pub(crate) signal: f64,
}

/// Two independent scores of one set of labels.
pub(crate) struct Draw {
    pub(crate) scores: [Array2<f64>; 2],
    pub(crate) positive: Array2<bool>,
    pub(crate) candidate: Array2<bool>,
}

impl Draw {
    pub(crate) fn labels(&self) -> LabelledGrid<'_> {
        LabelledGrid {
            positive: self.positive.view(),
            candidate: self.candidate.view(),
        }
    }
}

/// Stream `index` of the purpose numbered `purpose`.
pub(crate) fn stream(purpose: u64, index: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(purpose);
    rng.set_stream(index);
    rng
}

impl World {
    /// The AUROC that a row has on average over worlds: a positive and a negative are different columns, whose scores
    /// differ by the signal and by two column-level and two cell-level parts.
    pub(crate) fn expected_auroc(&self) -> f64 {
        let spread = (2.0 * (1.0 + self.shared * self.shared)).sqrt();
        Normal::standard().cdf(self.signal / spread)
    }

    /// Draws a design with both classes in every row.
    pub(crate) fn draw(&self, rng: &mut ChaCha8Rng) -> Draw {
        let odds: Vec<f64> = (0..self.columns)
            .map(|_| (self.propensity * normal(rng)).exp())
            .collect();
        // A perturbed gene is no candidate of its own row.
        let candidate = Array2::from_shape_fn((self.rows, self.columns), |(row, column)| {
            column != row % self.columns
        });
        let mut positive = Array2::from_elem((self.rows, self.columns), false);
        for row in 0..self.rows {
            // Screens hold strong and weak perturbations: the number of positives spreads log-normally.
            let expected = self.median_positives * (0.6 * normal(rng)).exp();
            let factor = factor(&odds, expected.clamp(0.5, 0.5 * self.columns as f64));
            loop {
                let mut n_pos = 0;
                for (column, odds) in odds.iter().enumerate() {
                    let hit = rng.random::<f64>() < probability(factor * odds);
                    positive[[row, column]] = hit && candidate[[row, column]];
                    n_pos += usize::from(positive[[row, column]]);
                }
                if n_pos > 0 && n_pos < self.columns - 1 {
                    break;
                }
            }
        }
        let scores = [(); 2].map(|()| {
            let column_part: Vec<f64> = (0..self.columns).map(|_| self.shared * normal(rng)).collect();
            Array2::from_shape_fn((self.rows, self.columns), |(row, column)| {
                column_part[column] + normal(rng) + if positive[[row, column]] { self.signal } else { 0.0 }
            })
        });
        Draw {
            scores,
            positive,
            candidate,
        }
    }
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

fn probability(odds: f64) -> f64 {
    odds / (1.0 + odds)
}

/// The factor of the odds at which the expected number of positives is `expected`, to 1 %.
fn factor(odds: &[f64], expected: f64) -> f64 {
    let (mut low, mut high) = (-12.0, 12.0);
    for _ in 0..11 {
        let middle: f64 = 0.5 * (low + high);
        let factor = middle.exp();
        let total: f64 = odds.iter().map(|odds| probability(factor * odds)).sum();
        if total < expected {
            low = middle;
        } else {
            high = middle;
        }
    }
    low.exp()
}
