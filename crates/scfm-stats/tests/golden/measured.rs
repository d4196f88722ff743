//! What the functions of the crate make of the input of a case.

use std::collections::BTreeMap;

use ndarray::Array2;
use scfm_stats::*;
use serde::Deserialize;
use serde_json::Value;

use crate::Case;

/// A long vector in few words: offset + scale · (i · multiplier mod modulus).
#[derive(Deserialize)]
struct Lattice {
    n: u64,
    multiplier: u64,
    modulus: u64,
    scale: f64,
    offset: f64,
}

/// Numbers by name.
type Numbers = BTreeMap<String, f64>;

impl Case {
    fn read<T: for<'de> Deserialize<'de>>(&self, name: &str) -> T {
        serde_json::from_value(self.input[name].clone())
            .unwrap_or_else(|error| panic!("{} of {}: {error}", name, self.function))
    }

    fn floats(&self, name: &str) -> Vec<f64> {
        match &self.input[name] {
            Value::Object(_) => {
                let Lattice {
                    n,
                    multiplier,
                    modulus,
                    scale,
                    offset,
                } = self.read(name);
                (0..n)
                    .map(|i| offset + scale * (i * multiplier % modulus) as f64)
                    .collect()
            }
            _ => self.read(name),
        }
    }

    fn float(&self, name: &str) -> f64 {
        self.read(name)
    }

    fn count(&self, name: &str) -> u64 {
        self.read(name)
    }

    fn size(&self, name: &str) -> usize {
        self.read(name)
    }

    fn labels(&self) -> Vec<bool> {
        self.read("labels")
    }

    fn matrix<T: Clone + for<'de> Deserialize<'de>>(&self, name: &str) -> Array2<T> {
        let rows: Vec<Vec<T>> = self.read(name);
        Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).expect("rows of one length")
    }

    fn strata(&self) -> Vec<(Vec<f64>, Vec<f64>)> {
        self.read("strata")
    }
}

/// Statistic and effect under these names, where there are any, interval and p against every alternative.
fn test(names: &[&str], test: &TestResult) -> Numbers {
    let mut numbers = Numbers::new();
    for &name in names {
        let value = match name {
            "statistic" => test.statistic,
            _ => test.effect,
        };
        numbers.insert(name.to_owned(), value);
    }
    if let Some(ci) = test.ci {
        numbers.extend(ends(ci));
    }
    if test.sides.is_none() {
        numbers.insert("ln_p".to_owned(), test.p.ln_p());
        return numbers;
    }
    for alternative in [Alternative::TwoSided, Alternative::Greater, Alternative::Less] {
        let against = test.against(alternative).expect("a test with sides");
        assert_eq!((against.alternative, against.ci), (alternative, test.ci));
        numbers.insert(format!("ln_p {}", alternative.as_str()), against.p.ln_p());
    }
    numbers
}

fn ends(interval: Interval) -> Numbers {
    [("low", interval.low), ("high", interval.high)].map(named).into()
}

fn named((name, value): (&str, f64)) -> (String, f64) {
    (name.to_owned(), value)
}

fn numbered(name: &str, values: Vec<f64>) -> Numbers {
    let values = values.into_iter().enumerate();
    values.map(|(i, value)| (format!("{name} {i}"), value)).collect()
}

/// Correlations of pairs of columns, which the other order of a pair has too.
fn pairs(correlations: &Array2<f64>) -> Numbers {
    assert_eq!(correlations, correlations.t());
    let below = correlations.indexed_iter().filter(|((i, j), _)| j < i);
    below.map(|((i, j), &r)| (format!("pair_{i}_{j}"), r)).collect()
}

/// A sign-flip test of so few differences that no flip is random.
fn all_flips(differences: &[f64]) -> Numbers {
    let limits = PermutationLimits {
        max: 1 << differences.len(),
        stop_after: None,
    };
    let mut numbers = Numbers::new();
    for alternative in [Alternative::TwoSided, Alternative::Greater, Alternative::Less] {
        let test = sign_flip_test(differences, alternative, limits, |_| {
            unreachable!("nothing is drawn")
        })
        .unwrap()
        .test;
        numbers.insert("statistic".to_owned(), test.statistic);
        numbers.insert(format!("ln_p {}", alternative.as_str()), test.p.ln_p());
    }
    numbers
}

/// The numbers of a case by name.
///
/// # Panics
/// Where a function refuses the input, or is not known.
pub(crate) fn measured(case: &Case) -> Numbers {
    two_groups(case)
        .or_else(|| one_sample(case))
        .or_else(|| correlation(case))
        .or_else(|| counts(case))
        .or_else(|| curve(case))
        .unwrap_or_else(|| panic!("no function named {}", case.function))
}

fn two_groups(case: &Case) -> Option<Numbers> {
    let both = ["statistic", "effect"];
    Some(match case.function.as_str() {
        "welch_t" => test(&both, &welch_t(&case.floats("a"), &case.floats("b")).unwrap()),
        "mann_whitney" => test(
            &both,
            &mann_whitney(&case.floats("a"), &case.floats("b")).unwrap(),
        ),
        "cohen_d" => {
            let [a, b] = ["a", "b"].map(|name| Moments::of(&case.floats(name)));
            [named(("effect", cohen_d(a, b).unwrap()))].into()
        }
        "stratified_welch" => {
            let moments = |(a, b): &(Vec<f64>, Vec<f64>)| (Moments::of(a), Moments::of(b));
            let strata: Vec<_> = case.strata().iter().map(moments).collect();
            test(&both, &stratified_welch(&strata).unwrap())
        }
        "van_elteren" => {
            let sorted = |(a, b): &(Vec<f64>, Vec<f64>)| {
                (SortedSample::new(a).unwrap(), SortedSample::new(b).unwrap())
            };
            let strata: Vec<_> = case.strata().iter().map(sorted).collect();
            let strata: Vec<_> = strata.iter().map(|(a, b)| (a, b)).collect();
            test(&both, &van_elteren(&strata).unwrap())
        }
        "delong_auroc" => test(
            &both,
            &delong_auroc(&case.floats("first"), &case.labels()).unwrap(),
        ),
        "delong_difference" => {
            let [first, second] = ["first", "second"].map(|name| case.floats(name));
            test(
                &both,
                &delong_difference(&first, &second, &case.labels()).unwrap(),
            )
        }
        "auroc_interval" => ends(auroc_interval(
            case.float("auroc"),
            case.size("n_pos"),
            case.size("n_neg"),
        )),
        "auroc_power" => {
            let (auroc, n_pos, n_neg) = (case.float("auroc"), case.size("n_pos"), case.size("n_neg"));
            let power = auroc_power(auroc, n_pos, n_neg, case.float("alpha")).unwrap();
            let error = hanley_mcneil_error(auroc, n_pos, n_neg).unwrap();
            [("power", power), ("standard_error", error)].map(named).into()
        }
        _ => return None,
    })
}

fn one_sample(case: &Case) -> Option<Numbers> {
    let both = ["statistic", "effect"];
    Some(match case.function.as_str() {
        "t_tail" => {
            // An estimate with a standard error of 1 is its own t.
            let estimate = Estimate::new(case.float("statistic"), 1.0, case.float("df")).unwrap();
            let alternatives = [Alternative::TwoSided, Alternative::Greater, Alternative::Less];
            alternatives
                .map(|alternative| {
                    let p = estimate.p(alternative).unwrap();
                    (format!("ln_p {}", alternative.as_str()), p.ln_p())
                })
                .into()
        }
        "one_sample_t" => test(
            &both,
            &one_sample_t(&case.floats("values"), case.float("mu")).unwrap(),
        ),
        "paired_t" => test(&both, &paired_t(&case.floats("a"), &case.floats("b")).unwrap()),
        "wilcoxon_signed_rank" => {
            let zeros = if case.input["zeros"] == "pratt" {
                Zeros::Pratt
            } else {
                Zeros::Drop
            };
            test(
                &both,
                &wilcoxon_signed_rank(&case.floats("differences"), zeros).unwrap(),
            )
        }
        "sign_test" => test(&both, &sign_test(&case.floats("differences")).unwrap()),
        "binomial_test" => {
            let (k, n) = (case.count("successes"), case.count("n"));
            test(&["effect"], &binomial_test(k, n, case.float("share")).unwrap())
        }
        "clopper_pearson" | "wilson" => {
            let interval = if case.function == "wilson" {
                wilson
            } else {
                clopper_pearson
            };
            ends(interval(case.count("successes"), case.count("n"), case.float("level")).unwrap())
        }
        "tost" => {
            let [estimate, error, df, bound] =
                ["estimate", "standard_error", "df", "bound"].map(|name| case.float(name));
            test(&["statistic"], &tost(estimate, error, df, bound).unwrap())
        }
        "non_superiority" => {
            let [estimate, error, df, bound] =
                ["estimate", "standard_error", "df", "bound"].map(|name| case.float(name));
            test(
                &["statistic"],
                &non_superiority(estimate, error, df, bound).unwrap(),
            )
        }
        "paired_t_pairs" => {
            let n = paired_t_pairs(case.float("d"), case.float("power"), case.float("alpha")).unwrap();
            [named(("pairs", n as f64))].into()
        }
        "paired_t_power" => {
            let power = paired_t_power(case.float("d"), case.size("n"), case.float("alpha")).unwrap();
            [named(("power", power))].into()
        }
        _ => return None,
    })
}

fn correlation(case: &Case) -> Option<Numbers> {
    let vectors = || (case.floats("a"), case.floats("b"));
    let both = ["statistic", "effect"];
    let correlation = match case.function.as_str() {
        "pearson" => pearson(&vectors().0, &vectors().1),
        "spearman" => spearman(&vectors().0, &vectors().1),
        "kendall" => kendall(&vectors().0, &vectors().1),
        "partial_spearman" => {
            let covariates: Vec<Vec<f64>> = case.read("covariates");
            let covariates: Vec<&[f64]> = covariates.iter().map(Vec::as_slice).collect();
            let given = RankCovariates::new(&covariates).unwrap();
            given.partial_spearman(&vectors().0, &vectors().1)
        }
        "page_trend" => {
            let test_result = page_trend(case.matrix::<f64>("values").view()).unwrap();
            return Some(test(&both, &test_result));
        }
        "jonckheere_terpstra" => {
            let groups: Vec<Vec<f64>> = case.read("groups");
            let groups: Vec<&[f64]> = groups.iter().map(Vec::as_slice).collect();
            return Some(test(&both, &jonckheere_terpstra(&groups).unwrap()));
        }
        _ => return None,
    };
    Some(test(&["correlation"], &correlation.unwrap()))
}

fn counts(case: &Case) -> Option<Numbers> {
    Some(match case.function.as_str() {
        "fisher_exact" => {
            let result = fisher_exact(case.read("table")).unwrap();
            // With an empty cell the odds ratio is at an end, or no number.
            test(if result.ci.is_some() { &["effect"] } else { &[] }, &result)
        }
        "chi_squared" => test(
            &["statistic", "effect"],
            &chi_squared(case.matrix::<u64>("table").view()).unwrap(),
        ),
        "hypergeometric_enrichment" => {
            let [hits, population, successes, draws] =
                ["hits", "population", "successes", "draws"].map(|name| case.count(name));
            let p = hypergeometric_enrichment(hits, population, successes, draws).unwrap();
            [named(("ln_p", p.ln_p()))].into()
        }
        "mcnemar" => test(
            &["effect"],
            &mcnemar(case.count("first"), case.count("second")).unwrap(),
        ),
        name => {
            let adjust = match name {
                "benjamini_hochberg" => benjamini_hochberg,
                "benjamini_yekutieli" => benjamini_yekutieli,
                "holm" => holm,
                "bonferroni" => bonferroni,
                _ => return None,
            };
            numbered("adjusted", adjust(&case.floats("p")))
        }
    })
}

fn curve(case: &Case) -> Option<Numbers> {
    Some(match case.function.as_str() {
        "sign_flip_test" => all_flips(&case.floats("differences")),
        "spearman_columns" => pairs(&spearman_columns(case.matrix::<f64>("matrix").view())),
        "pearson_columns" => pairs(&pearson_columns(case.matrix::<f64>("matrix").view())),
        "mid_ranks" => numbered("rank", mid_ranks(&case.floats("values")).unwrap()),
        "auroc" => [named((
            "auroc",
            auroc(&case.floats("scores"), &case.labels()).unwrap(),
        ))]
        .into(),
        "average_precision" => {
            let got = average_precision(&case.floats("scores"), &case.labels()).unwrap();
            [("value", got.value), ("base_rate", got.base_rate)]
                .map(named)
                .into()
        }
        "combine_effects" => {
            let effects: Vec<(f64, f64)> = case
                .floats("effects")
                .into_iter()
                .zip(case.floats("errors"))
                .collect();
            let combined = combine_effects(&effects, EffectKind::DeltaAuroc, "contexts").unwrap();
            let mut numbers = test(&["statistic", "effect"], &combined.test);
            numbers.extend(
                [
                    ("q", combined.q),
                    ("i_squared", combined.i_squared),
                    ("tau_squared", combined.tau_squared),
                    ("ln_p heterogeneity", combined.p_heterogeneity.ln_p()),
                ]
                .map(named),
            );
            numbers
        }
        "bca" => {
            let bootstrap = Bootstrap {
                estimate: case.float("estimate"),
                replicates: case.floats("replicates"),
                n_undefined: 0,
            };
            ends(
                bootstrap
                    .bca(&case.floats("leave_one_out"), case.float("level"))
                    .unwrap(),
            )
        }
        _ => return None,
    })
}
