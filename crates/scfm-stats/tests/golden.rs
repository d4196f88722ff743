//! Agreement with SciPy, scikit-learn and statsmodels on the cases of `golden/golden.json`.

use std::collections::BTreeMap;

use ndarray::Array2;
use scfm_stats::*;
use serde::Deserialize;
use serde_json::Value;

/// Sums of some hundred terms in another order.
const STATISTIC: f64 = 1e-12;
/// Interval ends carry the error of two quantile functions.
const INTERVAL: f64 = 1e-10;
/// Absolute error of ln p, hence the relative one of p.
const P: f64 = 1e-9;
/// The same where p is below 1e-100.
const TINY_P: f64 = 1e-6;

#[derive(Deserialize)]
struct Case {
    function: String,
    input: BTreeMap<String, Value>,
    expected: Vec<f64>,
}

impl Case {
    fn floats(&self, name: &str) -> Vec<f64> {
        serde_json::from_value(self.input[name].clone()).unwrap()
    }

    fn float(&self, name: &str) -> f64 {
        self.input[name].as_f64().unwrap()
    }

    fn integer(&self, name: &str) -> u64 {
        self.input[name].as_u64().unwrap()
    }

    fn labels(&self) -> Vec<bool> {
        serde_json::from_value(self.input["labels"].clone()).unwrap()
    }

    fn close(&self, what: &str, got: f64, expected: f64, tolerance: f64) {
        assert!(
            (got - expected).abs() <= tolerance * expected.abs().max(1.0),
            "{} {what}: got {got:e}, expected {expected:e}; input {:?}",
            self.function,
            self.input
        );
    }

    fn statistic(&self, got: f64, index: usize) {
        self.close("statistic", got, self.expected[index], STATISTIC);
    }

    fn ln_p(&self, got: PValue, index: usize) {
        let expected = self.expected[index];
        let tolerance = if expected < 1e-100f64.ln() { TINY_P } else { P };
        assert!(
            (got.ln_p() - expected).abs() <= tolerance,
            "{} ln p: {} not {expected}",
            self.function,
            got.ln_p()
        );
    }

    fn interval(&self, got: Interval, index: usize) {
        self.close("low end", got.low, self.expected[index], INTERVAL);
        self.close("high end", got.high, self.expected[index + 1], INTERVAL);
    }

    fn all(&self, got: &[f64]) {
        assert_eq!(got.len(), self.expected.len());
        got.iter()
            .enumerate()
            .for_each(|(index, got)| self.statistic(*got, index));
    }

    /// Statistic, ln p, effect, interval.
    fn t_test(&self, got: &TestResult) {
        self.statistic(got.statistic, 0);
        self.ln_p(got.p, 1);
        self.statistic(got.effect, 2);
        self.interval(got.ci.unwrap(), 3);
    }

    fn check(&self) {
        match self.function.as_str() {
            "mid_ranks" => self.all(&mid_ranks(&self.floats("values")).unwrap()),
            "auroc" => self.all(&[auroc(&self.floats("scores"), &self.labels()).unwrap()]),
            "average_precision" => {
                let got = average_precision(&self.floats("scores"), &self.labels()).unwrap();
                self.all(&[got.value, got.base_rate]);
            }
            "welch_t" => self.t_test(&welch_t(&self.floats("a"), &self.floats("b")).unwrap()),
            "paired_t" => self.t_test(&paired_t(&self.floats("a"), &self.floats("b")).unwrap()),
            "one_sample_t" => self.t_test(&one_sample_t(&self.floats("values"), self.float("mu")).unwrap()),
            "mann_whitney" => {
                let got = mann_whitney(&self.floats("a"), &self.floats("b")).unwrap();
                self.statistic(got.statistic, 0);
                self.ln_p(got.p, 1);
                self.statistic(got.effect, 2);
            }
            "wilcoxon" => {
                let zeros = if self.input["zeros"] == "pratt" {
                    Zeros::Pratt
                } else {
                    Zeros::Drop
                };
                let got = wilcoxon_signed_rank(&self.floats("differences"), zeros).unwrap();
                // The smaller rank sum from the one of the positive differences and the rank-biserial correlation.
                let total = if got.effect == -1.0 {
                    self.expected[0]
                } else {
                    2.0 * got.statistic / (1.0 + got.effect)
                };
                let smaller = if got.effect == -1.0 {
                    0.0
                } else {
                    got.statistic.min(total - got.statistic)
                };
                self.statistic(smaller, 0);
                self.ln_p(got.p, 1);
            }
            "binomial_test" => {
                let (k, n) = (self.integer("successes"), self.integer("n"));
                let got = binomial_test(k, n, self.float("share")).unwrap();
                self.ln_p(got.p, 0);
                self.interval(got.ci.unwrap(), 1);
                self.interval(wilson(k, n, 0.95).unwrap(), 3);
            }
            "pearson" | "spearman" => {
                let test = if self.function == "pearson" {
                    pearson
                } else {
                    spearman
                };
                let got = test(&self.floats("a"), &self.floats("b")).unwrap();
                self.statistic(got.effect, 0);
                self.ln_p(got.p, 1);
                self.interval(got.ci.unwrap(), 2);
            }
            "tost" => {
                let [estimate, se, df, bound] =
                    ["estimate", "standard_error", "df", "bound"].map(|name| self.float(name));
                let got = tost(estimate, se, df, bound).unwrap();
                self.statistic(got.statistic, 0);
                self.ln_p(got.p, 1);
            }
            "fdr_bh" => self.all(&benjamini_hochberg(&self.floats("p"))),
            "fdr_by" => self.all(&benjamini_yekutieli(&self.floats("p"))),
            "holm" => self.all(&holm(&self.floats("p"))),
            "bonferroni" => self.all(&bonferroni(&self.floats("p"))),
            "fisher_exact" => {
                let table: [[u64; 2]; 2] = serde_json::from_value(self.input["table"].clone()).unwrap();
                let alternative = match self.input["alternative"].as_str().unwrap() {
                    "greater" => Alternative::Greater,
                    "less" => Alternative::Less,
                    _ => Alternative::TwoSided,
                };
                let got = fisher_exact(table, alternative).unwrap();
                self.ln_p(got.p, 0);
                match got.ci {
                    Some(ci) => self.interval(ci, 1),
                    None => assert_eq!(self.expected.len(), 1),
                }
            }
            "chi_squared" => {
                let rows: Vec<Vec<u64>> = serde_json::from_value(self.input["table"].clone()).unwrap();
                let table = Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap();
                let got = chi_squared(table.view()).unwrap();
                self.statistic(got.statistic, 0);
                self.ln_p(got.p, 1);
            }
            "hypergeometric" => {
                let [hits, population, successes, draws] =
                    ["hits", "population", "successes", "draws"].map(|name| self.integer(name));
                self.ln_p(
                    hypergeometric_enrichment(hits, population, successes, draws).unwrap(),
                    0,
                );
            }
            "mcnemar" => self.ln_p(
                mcnemar(self.integer("first"), self.integer("second")).unwrap().p,
                0,
            ),
            "kendall" => {
                let got = kendall(&self.floats("a"), &self.floats("b")).unwrap();
                self.statistic(got.statistic, 0);
                self.ln_p(got.p, 1);
            }
            "partial_spearman" => {
                let covariates: Vec<Vec<f64>> =
                    serde_json::from_value(self.input["covariates"].clone()).unwrap();
                let covariates: Vec<&[f64]> = covariates.iter().map(Vec::as_slice).collect();
                let got = RankCovariates::new(&covariates)
                    .unwrap()
                    .partial_spearman(&self.floats("a"), &self.floats("b"))
                    .unwrap();
                self.statistic(got.effect, 0);
                self.ln_p(got.p, 1);
            }
            "page_trend" => {
                let rows: Vec<Vec<f64>> = serde_json::from_value(self.input["values"].clone()).unwrap();
                let values = Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap();
                let got = page_trend(values.view()).unwrap();
                self.statistic(got.statistic, 0);
                self.ln_p(got.p, 1);
            }
            "delong_auroc" => {
                let got = delong_auroc(&self.floats("scores"), &self.labels()).unwrap();
                self.statistic(got.effect, 0);
                self.statistic(got.statistic, 1);
                self.ln_p(got.p, 2);
            }
            "delong_difference" => {
                let got =
                    delong_difference(&self.floats("first"), &self.floats("second"), &self.labels()).unwrap();
                self.statistic(got.effect, 0);
                self.statistic(got.statistic, 1);
                self.ln_p(got.p, 2);
            }
            "bca" => {
                let bootstrap = Bootstrap {
                    estimate: self.float("estimate"),
                    replicates: self.floats("replicates"),
                    n_undefined: 0,
                };
                let got = bootstrap
                    .bca(&self.floats("leave_one_out"), self.float("level"))
                    .unwrap();
                self.interval(got, 0);
            }
            "paired_t_power" => {
                let power =
                    paired_t_power(self.float("d"), self.integer("n") as usize, self.float("alpha")).unwrap();
                // The oracle's own non-central t is good to some nine digits.
                self.close("power", power, self.expected[0], 1e-8);
            }
            // Checked where the tail is defined.
            "t_tail" => {}
            other => panic!("no function named {other}"),
        }
    }
}

#[test]
fn agrees_with_the_reference_implementations() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("golden/golden.json")).unwrap();
    assert!(cases.len() >= 300, "{} cases", cases.len());
    cases.iter().for_each(Case::check);
}
