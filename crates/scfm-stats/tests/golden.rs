//! Agreement with SciPy, scikit-learn and statsmodels on the cases of `golden/golden.json`.

use std::collections::BTreeMap;

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
