//! The tests that edges go through on a screen, asked for nothing but their p-values: what a battery needs that is run on
//! many screens in which nothing happened.

use scfm_core::Seeds;
use scfm_stats::{
    CrossedLimits, TestResult, Undefined, crossed_auroc, crossed_difference, defined, one_sample_t,
};

use crate::{
    Error, Gain, GainParams, IncrementalParams, MatchingParams, ScoredCandidates, gene_baselines,
    incremental_value, propensity_matching,
};

/// A test of the battery and its outcome.
#[derive(Debug, Clone)]
pub struct NullTest {
    /// The analysis that it belongs to and its name there.
    pub id: &'static str,
    /// The p-value and whether the effect lies above its null value, or why there is no test.
    pub outcome: Result<(f64, bool), Undefined>,
}

/// P-values of the tests over perturbations (analyses `perturbation-first`, `gene-baselines`, `incremental-value`,
/// `propensity-matching`), and of the test that takes perturbations for independent.
///
/// # Errors
/// Those of [`gene_baselines`], [`incremental_value`] and [`propensity_matching`].
pub fn null_battery(
    candidates: &ScoredCandidates,
    params: &IncrementalParams,
    seeds: Seeds,
) -> Result<Vec<NullTest>, Error> {
    let limits: &CrossedLimits = &params.limits;
    let labels = candidates.labels();
    let (attention, correlation) = (candidates.attention(), candidates.correlation());
    let p = |outcome: Result<TestResult, Undefined>| outcome.map(|test| (test.p.p(), test.statistic > 0.0));
    let above = |scores| defined(crossed_auroc(scores, labels, limits));
    let of_attention = above(attention)?;
    let naive = match &of_attention {
        Ok(crossed) => defined(one_sample_t(&crossed.per_row, 0.5))?,
        Err(reason) => Err(reason.clone()),
    };
    let difference = defined(crossed_difference(attention, correlation, labels, limits))?;
    let mut tests = vec![
        NullTest {
            id: "perturbation-first/attention-above-chance",
            outcome: p(of_attention.map(|crossed| crossed.test)),
        },
        NullTest {
            id: "perturbation-first/attention-above-chance-naive",
            outcome: p(naive),
        },
        NullTest {
            id: "perturbation-first/correlation-above-chance",
            outcome: p(above(correlation)?.map(|crossed| crossed.test)),
        },
        NullTest {
            id: "perturbation-first/attention-vs-correlation",
            outcome: p(difference.map(|crossed| crossed.test)),
        },
    ];
    for baseline in gene_baselines(candidates, limits)?.against_attention {
        let id = match baseline.baseline {
            crate::features::VARIANCE => "gene-baselines/variance-vs-attention",
            crate::features::MEAN => "gene-baselines/mean-vs-attention",
            crate::features::DETECTION => "gene-baselines/detection-vs-attention",
            _ => continue,
        };
        tests.push(NullTest {
            id,
            outcome: p(baseline.test),
        });
    }
    let gains = match incremental_value(candidates, None, params, seeds) {
        Ok(result) => [result.splines.attention, result.splines.correlation]
            .map(|gain| p(gain.difference.map(|crossed| crossed.test))),
        Err(Error::Stats(scfm_stats::Error::Undefined(reason))) => [Err(reason.clone()), Err(reason)],
        Err(error) => return Err(error),
    };
    for (id, outcome) in [
        "incremental-value/delta-attention",
        "incremental-value/delta-correlation",
    ]
    .into_iter()
    .zip(gains)
    {
        tests.push(NullTest { id, outcome });
    }
    tests.extend(on_matched(candidates, params, seeds)?);
    Ok(tests)
}

/// The tests on candidates that are matched by their propensity to respond.
fn on_matched(
    candidates: &ScoredCandidates,
    params: &IncrementalParams,
    seeds: Seeds,
) -> Result<Vec<NullTest>, Error> {
    let ids = [
        "propensity-matching/matched-attention",
        "propensity-matching/delta-attention",
        "propensity-matching/delta-correlation",
    ];
    let matching = MatchingParams {
        n_folds: params.n_folds,
        gain: GainParams {
            n_two_way: 1,
            ..GainParams::default()
        },
        ..MatchingParams::default()
    };
    let of = |test: TestResult| (test.p.p(), test.statistic > 0.0);
    let of_gain = |gain: Result<Gain, Undefined>| gain?.difference.map(of);
    let outcomes = match propensity_matching(candidates, &matching, seeds) {
        Ok(result) => [
            result.attention.map(|crossed| of(crossed.test)),
            of_gain(result.attention_gain),
            of_gain(result.correlation_gain),
        ],
        Err(Error::Stats(scfm_stats::Error::Undefined(reason))) => {
            [Err(reason.clone()), Err(reason.clone()), Err(reason)]
        }
        Err(error) => return Err(error),
    };
    let tests = ids.into_iter().zip(outcomes);
    Ok(tests.map(|(id, outcome)| NullTest { id, outcome }).collect())
}
