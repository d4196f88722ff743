use scfm_stats::{
    Alternative, Bootstrap, EffectKind, Interval, PValue, TestResult, TwoWayBootstrap, Undefined,
};

/// The share of a score's AUROC above 0.5 that another form of it keeps: (residual − 0.5) / (raw − 0.5).
#[derive(Debug, Clone, PartialEq)]
pub struct Retained {
    /// The share; above 1 where the other form is better, below 0 where it is worse than chance.
    pub share: f64,
    /// Its 95 % interval, from the resamples in which the raw score is above chance.
    pub interval: Interval,
    /// The share in each resample, `NaN` where the raw score is not above chance.
    replicates: Vec<f64>,
}

impl Retained {
    /// The share that score `residual` keeps of score `raw`, from resamples of both.
    ///
    /// # Errors
    /// [`Undefined::NotAboveChance`] unless `lower_bound`, that of the raw AUROC, exceeds 0.5: shares of nothing take
    /// any value.
    ///
    /// # Panics
    /// If there is no such score.
    pub fn of(
        drawn: &TwoWayBootstrap,
        raw: usize,
        residual: usize,
        lower_bound: f64,
    ) -> Result<Self, Undefined> {
        if lower_bound.is_nan() || lower_bound <= 0.5 {
            return Err(Undefined::NotAboveChance { low: lower_bound });
        }
        let share = |raw: f64, residual: f64| {
            if raw > 0.5 {
                (residual - 0.5) / (raw - 0.5)
            } else {
                f64::NAN
            }
        };
        let replicates: Vec<f64> = drawn
            .replicates
            .rows()
            .into_iter()
            .map(|row| share(row[raw], row[residual]))
            .collect();
        let share = share(drawn.means[raw], drawn.means[residual]);
        if share.is_nan() {
            return Err(Undefined::NotAboveChance {
                low: drawn.means[raw],
            });
        }
        Ok(Self {
            share,
            interval: percentile(share, &replicates),
            replicates,
        })
    }
}

/// Two-sided test whether two scores keep the same share, a − b, from the same resamples; `n_rows` is what was counted.
///
/// p = 2 (1 + the resamples on the rarer side of 0) / (1 + all), a resample in which a share has no value counted on
/// both sides.
///
/// # Panics
/// When the shares are not of the same resamples.
pub fn retained_difference(a: &Retained, b: &Retained, n_rows: usize) -> TestResult {
    assert_eq!(
        a.replicates.len(),
        b.replicates.len(),
        "shares of the same resamples"
    );
    let differences: Vec<f64> = a
        .replicates
        .iter()
        .zip(&b.replicates)
        .map(|(a, b)| a - b)
        .collect();
    let n = differences.len();
    let positive = differences.iter().filter(|&&d| d > 0.0).count();
    let negative = differences.iter().filter(|&&d| d < 0.0).count();
    let rarer = n - positive.max(negative);
    let p = (2.0 * (1 + rarer) as f64 / (1 + n) as f64).min(1.0);
    let difference = a.share - b.share;
    TestResult {
        method: "two-way bootstrap of the difference of shares",
        alternative: Alternative::TwoSided,
        statistic: difference,
        p: PValue::new(p),
        sides: None,
        effect: difference,
        effect_kind: EffectKind::Proportion,
        ci: Some(percentile(difference, &differences)),
        n: n_rows,
        n_unit: "rows",
    }
}

fn percentile(estimate: f64, replicates: &[f64]) -> Interval {
    let known: Vec<f64> = replicates.iter().copied().filter(|r| !r.is_nan()).collect();
    let n_undefined = replicates.len() - known.len();
    Bootstrap {
        estimate,
        replicates: known,
        n_undefined,
    }
    .percentile(0.95)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    /// Resamples of a raw score, a copy of it that keeps half, and one that keeps a fifth, with jitter.
    fn drawn(n: usize) -> TwoWayBootstrap {
        let jitter = |i: usize, j: usize| ((i * 37 + j * 101) % 97) as f64 / 97.0 - 0.5;
        let replicates = Array2::from_shape_fn((n, 3), |(i, j)| {
            let raw = 0.7 + 0.05 * jitter(i, 0);
            match j {
                0 => raw,
                1 => 0.5 + 0.5 * (raw - 0.5) + 0.01 * jitter(i, 1),
                _ => 0.5 + 0.2 * (raw - 0.5) + 0.01 * jitter(i, 2),
            }
        });
        TwoWayBootstrap {
            means: vec![0.7, 0.6, 0.54],
            replicates,
        }
    }

    #[test]
    fn shares_are_what_stays_above_chance() {
        let drawn = drawn(400);
        let half = Retained::of(&drawn, 0, 1, 0.6).unwrap();
        let fifth = Retained::of(&drawn, 0, 2, 0.6).unwrap();
        assert!((half.share - 0.5).abs() < 1e-12 && (fifth.share - 0.2).abs() < 1e-12);
        assert!(half.interval.contains(0.5) && half.interval.low > 0.45 && half.interval.high < 0.55);
        let test = retained_difference(&half, &fifth, 30);
        assert!((test.effect - 0.3).abs() < 1e-12);
        assert!((test.p.p() - 2.0 / 401.0).abs() < 1e-12);
        assert!(test.ci.unwrap().low > 0.2);
        let none = retained_difference(&half, &half, 30);
        assert_eq!(none.p.p(), 1.0);
    }

    #[test]
    fn a_share_of_nothing_is_undefined_and_doubtful_resamples_count_on_both_sides() {
        let mut drawn = drawn(400);
        for low in [0.5, 0.4, f64::NAN] {
            assert!(matches!(
                Retained::of(&drawn, 0, 1, low),
                Err(Undefined::NotAboveChance { .. })
            ));
        }
        for i in 0..40 {
            drawn.replicates[[i, 0]] = 0.49;
        }
        let half = Retained::of(&drawn, 0, 1, 0.6).unwrap();
        let fifth = Retained::of(&drawn, 0, 2, 0.6).unwrap();
        let p = retained_difference(&half, &fifth, 30).p.p();
        assert!((p - 2.0 * 41.0 / 401.0).abs() < 1e-12, "{p}");
        assert!(half.interval.high < 0.55);
    }
}
