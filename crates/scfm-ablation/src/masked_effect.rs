use ndarray::{Array1, Array2};
use scfm_core::{Panel, Responses};
use scfm_stats::{
    CrossedLimits, CrossedMean, Estimate, Interval, Moments, TestResult, Undefined, crossed_mean, defined,
};

use crate::{Error, Halves};

/// Change of the loss at each target: one list for each half, since heads that judge a half were ranked on the other; NaN
/// where a target was never hidden or a half is missing.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetChanges([Array1<f64>; 2]);

impl TargetChanges {
    /// The same changes in both halves: of an intervention that knows of no ranking.
    pub fn whole(changes: Array1<f64>) -> Self {
        Self([changes.clone(), changes])
    }

    /// Changes by half.
    pub fn of_halves(changes: [Array1<f64>; 2]) -> Self {
        Self(changes)
    }

    /// Σ factor · changes, term by term.
    ///
    /// # Panics
    /// Without any term, or for changes of other targets.
    pub fn combined<'a>(terms: impl IntoIterator<Item = (f64, &'a Self)>) -> Self {
        let scaled = terms
            .into_iter()
            .map(|(factor, changes)| Self([0, 1].map(|half| factor * &changes.0[half])));
        scaled
            .reduce(|a, b| Self([0, 1].map(|half| &a.0[half] + &b.0[half])))
            .expect("changes of something")
    }

    fn mean_of(draws: &[Self]) -> Self {
        let share = 1.0 / draws.len() as f64;
        Self::combined(draws.iter().map(|draw| (share, draw)))
    }
}

/// Which targets speak for which perturbation: the genes that respond to it.
///
/// The loss at a target says how well the model predicts the gene when it is hidden; it belongs to the gene, whoever
/// perturbs it. A perturbation's harm is the mean over the genes that it moves, and the harm of an intervention the mean
/// over perturbations, `Σ_g c_g Δ_g` with `c_g = mean_p Y_pg / n_p`: inference is [`crossed_mean`].
#[derive(Debug, Clone)]
pub struct MaskedDesign<'a> {
    responses: Responses,
    halves: &'a Halves,
    limits: CrossedLimits,
}

/// What ranked heads do beyond random ones at one dose.
#[derive(Debug, Clone)]
pub struct RankedHarm {
    /// Harm of the ranked heads.
    pub ranked: Result<CrossedMean, Undefined>,
    /// Harm of each draw of random heads, at the same targets.
    pub random: Vec<f64>,
    /// Where one more draw of random heads would lie, at 95 %.
    pub of_a_draw: Option<Interval>,
    /// Ranked minus the mean of the draws.
    pub beyond: Result<TestResult, Undefined>,
}

impl<'a> MaskedDesign<'a> {
    /// The evaluable perturbations of `responses`.
    pub fn new(
        responses: &Responses,
        halves: &'a Halves,
        (min_positives, min_negatives): (usize, usize),
        limits: CrossedLimits,
    ) -> Self {
        let rows = responses.evaluable(min_positives.max(1), min_negatives.max(1));
        Self {
            responses: responses.select(&rows),
            halves,
            limits,
        }
    }

    /// The targets that any perturbation moves: what cells are asked for.
    pub fn wanted(&self) -> Vec<bool> {
        let (positive, candidate) = (self.responses.positive(), self.responses.candidate());
        let columns = positive.columns().into_iter().zip(candidate.columns());
        columns
            .map(|(positive, candidate)| positive.iter().zip(candidate).any(|(&p, &c)| p && c))
            .collect()
    }

    /// The targets, in the order of the changes.
    pub fn targets(&self) -> &Panel {
        self.responses.targets()
    }

    /// The harm of an intervention: mean change of the loss at the targets of each perturbation. With `held_out`, each
    /// perturbation is judged by the targets of its own half, under the heads that were ranked on the other.
    ///
    /// # Errors
    /// [`Error::Stats`] for input that is no design.
    pub fn harm(
        &self,
        changes: &TargetChanges,
        held_out: bool,
    ) -> Result<Result<CrossedMean, Undefined>, Error> {
        let (perturbed, targets) = (self.responses.perturbed(), self.responses.targets());
        let (positive, candidate) = (self.responses.positive(), self.responses.candidate());
        let mut rows: Vec<(Vec<f64>, Vec<bool>)> = Vec::new();
        for (p, source) in perturbed.genes().iter().enumerate() {
            let Some(half) = self.halves.of_source(source) else {
                continue;
            };
            let values = changes.0[half].to_vec();
            let member: Vec<bool> = (0..targets.len())
                .map(|g| {
                    let judged = !held_out || self.halves.of_target(targets.gene(g)) == Some(half);
                    judged && positive[[p, g]] && candidate[[p, g]] && values[g].is_finite()
                })
                .collect();
            if member.contains(&true) {
                rows.push((values, member));
            }
        }
        if rows.is_empty() {
            return Ok(Err(Undefined::TooFew {
                what: "perturbations with a target that was hidden in some cell",
                n: 0,
                needed: 1,
            }));
        }
        let shape = (rows.len(), targets.len());
        let values = Array2::from_shape_fn(shape, |(row, column)| rows[row].0[column]);
        let member = Array2::from_shape_fn(shape, |(row, column)| rows[row].1[column]);
        Ok(defined(crossed_mean(values.view(), member.view(), &self.limits))?)
    }

    /// Ranked heads beside random ones of the same number, at the targets that judge the ranked.
    ///
    /// # Errors
    /// As [`MaskedDesign::harm`].
    pub fn against_random(
        &self,
        ranked: &TargetChanges,
        draws: &[TargetChanges],
    ) -> Result<RankedHarm, Error> {
        let (random, beyond) = self.contrast(ranked, draws)?;
        Ok(RankedHarm {
            ranked: self.harm(ranked, true)?,
            of_a_draw: of_a_draw(&random),
            random,
            beyond,
        })
    }

    /// Whether the harm of ranked heads beyond random ones follows the dose, two-sided: the slope over doses 1, …, n of the
    /// difference of harms, on a line through the origin, since the intact model, dose 0, does no harm whatever the heads.
    /// `ranked` has the doses in order, `draws` for each of them the same draws, so that a draw has a slope of its own and the
    /// ranked heads are compared with it as a whole.
    ///
    /// The sign says whether it grows. One-sided the test would reject too often, since few heads that matter much make the
    /// distribution of sets lean to the right; two-sided what is too much on that side is missing on the other.
    ///
    /// Page's test, in which genes would be the blocks, is no test of this: all genes see the same few sets of heads, and
    /// sets differ whether or not their ranking means anything.
    ///
    /// # Errors
    /// As [`MaskedDesign::harm`].
    ///
    /// # Panics
    /// When there are other numbers of draws than doses.
    pub fn trend(
        &self,
        ranked: &[TargetChanges],
        draws: &[Vec<TargetChanges>],
    ) -> Result<Result<TestResult, Undefined>, Error> {
        assert_eq!(ranked.len(), draws.len(), "draws of every dose");
        let n_doses = ranked.len();
        if n_doses < 2 {
            return Ok(Err(Undefined::TooFew {
                what: "doses",
                n: n_doses,
                needed: 2,
            }));
        }
        let squares: f64 = (1..=n_doses).map(|dose| (dose as f64).powi(2)).sum();
        let weight = |place: usize| (place as f64 + 1.0) / squares;
        let slope = |doses: &[&TargetChanges]| {
            let terms = doses.iter().enumerate();
            TargetChanges::combined(terms.map(|(dose, changes)| (weight(dose), *changes)))
        };
        let of_ranked = slope(&ranked.iter().collect::<Vec<_>>());
        let n_draws = draws.iter().map(Vec::len).min().unwrap_or(0);
        let of_draw = |draw: usize| draws.iter().map(|of_dose| &of_dose[draw]).collect::<Vec<_>>();
        let of_draws: Vec<TargetChanges> = (0..n_draws).map(|draw| slope(&of_draw(draw))).collect();
        let (_, beyond) = self.contrast(&of_ranked, &of_draws)?;
        Ok(beyond)
    }

    /// The value of each draw, and the test of the case against them.
    fn contrast(
        &self,
        case: &TargetChanges,
        draws: &[TargetChanges],
    ) -> Result<(Vec<f64>, Result<TestResult, Undefined>), Error> {
        if draws.is_empty() {
            let reason = Undefined::TooFew {
                what: "draws",
                n: 0,
                needed: 2,
            };
            return Ok((Vec::new(), Err(reason)));
        }
        // A half without ranked heads takes the draws' targets with it.
        let where_judged = TargetChanges::combined([(0.0, case)]);
        let mut values = Vec::with_capacity(draws.len());
        for draw in draws {
            match self.harm(
                &TargetChanges::combined([(1.0, draw), (1.0, &where_judged)]),
                true,
            )? {
                Ok(harm) => values.push(harm.mean),
                Err(reason) => return Ok((Vec::new(), Err(reason))),
            }
        }
        let average = TargetChanges::mean_of(draws);
        let contrast = self.harm(&TargetChanges::combined([(1.0, case), (-1.0, &average)]), true)?;
        Ok(match contrast {
            Ok(contrast) => {
                let test = defined(contrast.against_draws(&values))?;
                (values, test)
            }
            Err(reason) => (values, Err(reason)),
        })
    }
}

/// Where one more draw would lie.
fn of_a_draw(draws: &[f64]) -> Option<Interval> {
    let moments = Moments::of(draws);
    if moments.n < 2 {
        return None;
    }
    let n = moments.n as f64;
    let spread = (moments.variance * (1.0 + 1.0 / n)).sqrt();
    Estimate::new(moments.mean, spread, n - 1.0)
        .ok()?
        .interval(0.95)
        .ok()
}
