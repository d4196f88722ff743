use ndarray::ArrayView2;

use crate::error::{Error, Undefined};
use crate::proportion::{binomial_test, bisect, ln_add};
use crate::result::{Alternative, EffectKind, Interval, TestResult};
use crate::tails::{ln_binomial_mass, ln_chi_squared_sf, normal_upper_quantile};
use crate::{CONFIDENCE, PValue, Sides};

/// Tables as likely as the observed one up to rounding belong to its tail (the factor of R's `fisher.test`).
const AS_LIKELY: f64 = 1e-7;

/// Fisher's exact test of a 2×2 table `[[a, b], [c, d]]`, two-sided.
///
/// p is the total probability of the tables with these margins that are no more likely than this one; greater means a larger
/// than expected. Statistic
/// and effect are the sample odds ratio a d / (b c), with Woolf's interval where no cell is 0. In log space throughout:
/// margins of 10⁷ neither overflow nor lose digits. Oracle: `scipy.stats.fisher_exact`, which counts tables as equally
/// likely up to a factor of 1 + 1e-14 where we take 1 + 1e-7; the two differ only where rounding decides.
///
/// ```
/// use scfm_stats::{Alternative, fisher_exact};
///
/// let tea = fisher_exact([[3, 1], [1, 3]])?.against(Alternative::Greater)?;
/// assert!((tea.p.p() - 17.0 / 70.0).abs() < 1e-12);
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// [`Undefined::TooFew`] where a margin is 0, so that there is only one table.
pub fn fisher_exact(table: [[u64; 2]; 2]) -> Result<TestResult, Error> {
    let [[a, b], [c, d]] = table;
    for (what, n) in [
        ("entries in the first row", a + b),
        ("entries in the second row", c + d),
        ("entries in the first column", a + c),
        ("entries in the second column", b + d),
    ] {
        if n == 0 {
            return Err(Undefined::TooFew {
                what,
                n: 0,
                needed: 1,
            }
            .into());
        }
    }
    let draw = Hypergeometric {
        population: a + b + c + d,
        successes: a + b,
        draws: a + c,
    };
    let sides = Sides {
        two_sided: PValue::from_ln(draw.ln_two_sided(a)),
        greater: PValue::from_ln(draw.ln_upper(a)),
        less: PValue::from_ln(draw.ln_lower(a)),
    };
    let [fa, fb, fc, fd] = [a, b, c, d].map(|count| count as f64);
    let odds_ratio = (fa * fd) / (fb * fc);
    let standard_error = (1.0 / fa + 1.0 / fb + 1.0 / fc + 1.0 / fd).sqrt();
    let reach = normal_upper_quantile(0.5 * (1.0 - CONFIDENCE)) * standard_error;
    Ok(TestResult {
        method: "Fisher exact test",
        alternative: Alternative::TwoSided,
        statistic: odds_ratio,
        p: sides.two_sided,
        sides: Some(sides),
        effect: odds_ratio,
        effect_kind: EffectKind::OddsRatio,
        ci: reach.is_finite().then(|| Interval {
            low: odds_ratio * (-reach).exp(),
            high: odds_ratio * reach.exp(),
            level: CONFIDENCE,
        }),
        n: draw.population as usize,
        n_unit: "entries",
    })
}

/// P(X ≥ `hits`) where X of the `successes` in a `population` are among `draws` taken without replacement: the
/// enrichment of a list. Oracle: `scipy.stats.hypergeom.sf(hits - 1, population, successes, draws)`.
///
/// ```
/// // Both of 2 draws from 4 are among its 2 successes: 1 of 6 ways.
/// let p = scfm_stats::hypergeometric_enrichment(2, 4, 2, 2)?;
/// assert!((p.p() - 1.0 / 6.0).abs() < 1e-15);
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// [`Error::OutOfRange`] for more successes or draws than the population.
pub fn hypergeometric_enrichment(
    hits: u64,
    population: u64,
    successes: u64,
    draws: u64,
) -> Result<PValue, Error> {
    for (what, value) in [("number of successes", successes), ("number of draws", draws)] {
        if value > population {
            return Err(Error::OutOfRange {
                what,
                value: value as f64,
                expected: "at most the population",
            });
        }
    }
    let draw = Hypergeometric {
        population,
        successes,
        draws,
    };
    Ok(PValue::from_ln(draw.ln_upper(hits)))
}

/// McNemar's exact test of paired yes/no outcomes from the two kinds of discordant pairs.
///
/// Effect = share of the discordant pairs that are of the first kind, with its Clopper-Pearson interval. Oracle:
/// `statsmodels.stats.contingency_tables.mcnemar(exact=True)`.
///
/// ```
/// let test = scfm_stats::mcnemar(6, 0)?;
/// assert!((test.p.p() - 2.0 / 64.0).abs() < 1e-15);
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// [`Undefined::TooFew`] without a discordant pair.
pub fn mcnemar(first_only: u64, second_only: u64) -> Result<TestResult, Error> {
    let n = first_only + second_only;
    if n == 0 {
        return Err(Undefined::TooFew {
            what: "discordant pairs",
            n: 0,
            needed: 1,
        }
        .into());
    }
    Ok(TestResult {
        method: "exact McNemar test",
        n_unit: "discordant pairs",
        ..binomial_test(first_only, n, 0.5)?
    })
}

/// Pearson's χ² test of independence in a table of counts `[rows, columns]`, without continuity correction.
///
/// Effect = Cramér's V. Oracle: `scipy.stats.chi2_contingency(correction=False)`, which has Yates' correction on by
/// default for 2×2 tables; use [`fisher_exact`] where counts are that small. The test has no direction. V has no interval:
/// near independence V is biased upwards, so that those in use, which turn the non-central χ² distribution round, may lie
/// wholly below V itself; of a 2×2 table the odds ratio has one.
///
/// ```
/// use ndarray::array;
///
/// let test = scfm_stats::chi_squared(array![[30, 10], [10, 30]].view())?;
/// assert_eq!((test.statistic, test.effect), (20.0, 0.5));
/// # Ok::<(), scfm_stats::Error>(())
/// ```
///
/// # Errors
/// [`Undefined::TooFew`] below two rows or columns or where a margin is 0.
pub fn chi_squared(table: ArrayView2<u64>) -> Result<TestResult, Error> {
    let (n_rows, n_columns) = table.dim();
    for (what, n) in [("rows", n_rows), ("columns", n_columns)] {
        if n < 2 {
            return Err(Undefined::TooFew { what, n, needed: 2 }.into());
        }
    }
    let table = table.mapv(|count| count as f64);
    let rows = table.sum_axis(ndarray::Axis(1));
    let columns = table.sum_axis(ndarray::Axis(0));
    if rows.iter().chain(&columns).any(|&margin| margin == 0.0) {
        return Err(Undefined::TooFew {
            what: "entries in a row or column",
            n: 0,
            needed: 1,
        }
        .into());
    }
    let total = rows.sum();
    let statistic: f64 = table
        .indexed_iter()
        .map(|((row, column), observed)| {
            let expected = rows[row] * columns[column] / total;
            (observed - expected).powi(2) / expected
        })
        .sum();
    let smaller = n_rows.min(n_columns) - 1;
    let df = ((n_rows - 1) * (n_columns - 1)) as f64;
    Ok(TestResult {
        method: "χ² test",
        alternative: Alternative::TwoSided,
        statistic,
        p: PValue::from_ln(ln_chi_squared_sf(statistic, df)),
        sides: None,
        effect: (statistic / (total * smaller as f64)).sqrt(),
        effect_kind: EffectKind::CramerV,
        ci: None,
        n: total as usize,
        n_unit: "entries",
    })
}

/// Number of successes among draws without replacement.
#[derive(Debug, Clone, Copy)]
struct Hypergeometric {
    population: u64,
    successes: u64,
    draws: u64,
}

impl Hypergeometric {
    fn least(self) -> u64 {
        (self.successes + self.draws).saturating_sub(self.population)
    }

    fn most(self) -> u64 {
        self.successes.min(self.draws)
    }

    /// ln P(X = k) for a possible k, from three binomial probabilities with the chance of a draw.
    fn ln_mass(self, k: u64) -> f64 {
        let (population, successes) = (self.population as f64, self.successes as f64);
        let (draws, k) = (self.draws as f64, k as f64);
        let (p, q) = (draws / population, (population - draws) / population);
        ln_binomial_mass(k, successes, p, q) + ln_binomial_mass(draws - k, population - successes, p, q)
            - ln_binomial_mass(draws, population, p, q)
    }

    /// P(X = k + 1) / P(X = k).
    fn ratio(self, k: u64) -> f64 {
        let up = (self.successes - k) as f64 * (self.draws - k) as f64;
        let down = (k + 1) as f64 * (self.population + k + 1 - self.successes - self.draws) as f64;
        up / down
    }

    /// ln P(X ≥ k), summed away from the mode or as the complement of such a sum.
    fn ln_upper(self, k: u64) -> f64 {
        if k <= self.least() {
            return 0.0;
        }
        if k > self.most() {
            return f64::NEG_INFINITY;
        }
        if k < self.mode() {
            return (-self.ln_lower(k - 1).exp()).ln_1p();
        }
        let (mut term, mut sum) = (1.0, 1.0);
        for i in k..self.most() {
            term *= self.ratio(i);
            sum += term;
            if term < sum * f64::EPSILON {
                break;
            }
        }
        self.ln_mass(k) + f64::ln(sum)
    }

    /// ln P(X ≤ k).
    fn ln_lower(self, k: u64) -> f64 {
        if k >= self.most() {
            return 0.0;
        }
        if k < self.least() {
            return f64::NEG_INFINITY;
        }
        if k > self.mode() {
            return (-self.ln_upper(k + 1).exp()).ln_1p();
        }
        let (mut term, mut sum) = (1.0, 1.0);
        for i in (self.least()..k).rev() {
            term /= self.ratio(i);
            sum += term;
            if term < sum * f64::EPSILON {
                break;
            }
        }
        self.ln_mass(k) + f64::ln(sum)
    }

    fn mode(self) -> u64 {
        let mode = (self.successes as f64 + 1.0) * (self.draws as f64 + 1.0) / (self.population as f64 + 2.0);
        (mode as u64).clamp(self.least(), self.most())
    }

    fn ln_two_sided(self, k: u64) -> f64 {
        let limit = self.ln_mass(k) + AS_LIKELY.ln_1p();
        let mode = self.mode();
        // Masses fall away from the mode, so the other tail starts where they first sink to the limit.
        if k < mode {
            let other = bisect(mode, self.most() + 1, |i| self.ln_mass(i) <= limit);
            ln_add(self.ln_lower(k), self.ln_upper(other))
        } else if self.ln_mass(mode) <= limit {
            0.0
        } else {
            let steps = bisect(0, mode - self.least() + 1, |i| self.ln_mass(mode - i) <= limit);
            let other = match steps {
                steps if steps > mode - self.least() => f64::NEG_INFINITY,
                steps => self.ln_lower(mode - steps),
            };
            ln_add(self.ln_upper(k), other)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masses_and_tails_of_every_small_table_are_those_of_counting() {
        let choose = |n: u64, k: u64| (0..k).fold(1.0, |c, i| c * (n - i) as f64 / (i + 1) as f64);
        for (population, successes, draws) in [(8, 4, 4), (9, 2, 5), (12, 11, 3), (6, 0, 2), (7, 7, 3)] {
            let draw = Hypergeometric {
                population,
                successes,
                draws,
            };
            let mass = |k: u64| {
                choose(successes, k) * choose(population - successes, draws - k) / choose(population, draws)
            };
            let possible = draw.least()..=draw.most();
            for k in possible.clone() {
                assert!((draw.ln_mass(k).exp() - mass(k)).abs() < 1e-13);
                let upper: f64 = possible.clone().filter(|&i| i >= k).map(mass).sum();
                let lower: f64 = possible.clone().filter(|&i| i <= k).map(mass).sum();
                let two_sided: f64 = possible
                    .clone()
                    .map(mass)
                    .filter(|&m| m <= mass(k) * (1.0 + AS_LIKELY))
                    .sum();
                assert!((draw.ln_upper(k).exp() - upper).abs() < 1e-13, "{draw:?} {k}");
                assert!((draw.ln_lower(k).exp() - lower).abs() < 1e-13, "{draw:?} {k}");
                assert!(
                    (draw.ln_two_sided(k).exp() - two_sided).abs() < 1e-13,
                    "{draw:?} {k}"
                );
            }
        }
    }
}
