//! Agreement with SciPy, scikit-learn, statsmodels, mpmath and formulae written out in NumPy, on the cases of
//! `golden.json`, and the table of what was found, `oracles.md`.
//!
//! `UPDATE_ORACLES=1 cargo test -p scfm-stats --test golden` writes the table anew.

mod measured;
mod table;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// Sums of some hundred terms in another order, relative where above 1. AUROCs are promised to this.
const STATISTIC: f64 = 1e-12;
/// The same of correlations of values far from 0, whose deviations from the mean lose digits.
const CORRELATION: f64 = 1e-10;
/// Interval ends carry the error of two quantile functions.
const INTERVAL: f64 = 1e-10;
/// Products in single precision, as `spearman_columns` promises.
const COLUMNS: f64 = 1e-6;
/// The power of the paired t test, whose oracle's own non-central t is good to some nine digits.
const POWER: f64 = 1e-8;
/// The tail of Student's t on its own: some roundings of ln p, relative where it is below -1.
const TAIL: f64 = 1e-12;
/// Absolute error of ln p, hence the relative one of p.
const P: f64 = 1e-9;
/// The same where p is below 1e-100.
const TINY_P: f64 = 1e-6;

/// What a number is, which says how it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Statistic,
    Interval,
    P,
}

/// One function, its input, and what the oracle makes of it.
#[derive(Debug, Deserialize)]
pub(crate) struct Case {
    function: String,
    input: BTreeMap<String, Value>,
    expected: BTreeMap<String, f64>,
}

/// The golden file.
#[derive(Debug, Deserialize)]
pub(crate) struct Golden {
    versions: BTreeMap<String, String>,
    oracles: BTreeMap<String, String>,
    cases: Vec<Case>,
}

impl Golden {
    fn read() -> Self {
        serde_json::from_str(include_str!("golden.json")).expect("golden.json is as the generator writes it")
    }
}

impl Case {
    /// Largest deviation of each kind of number.
    ///
    /// # Panics
    /// Where a number deviates by more than its tolerance, is missing or was not expected.
    fn deviations(&self) -> BTreeMap<Kind, f64> {
        let measured = measured::measured(self);
        let names = |numbers: &BTreeMap<String, f64>| numbers.keys().cloned().collect::<Vec<_>>();
        assert_eq!(
            names(&measured),
            names(&self.expected),
            "{}: {:?}",
            self.function,
            self.input
        );
        let mut deviations = BTreeMap::new();
        for (name, &got) in &measured {
            let expected = self.expected[name];
            let (kind, deviation, tolerance) = self.compare(name, got, expected);
            assert!(
                deviation <= tolerance,
                "{} {name}: got {got:e}, expected {expected:e}; input {:?}",
                self.function,
                self.input
            );
            let largest: &mut f64 = deviations.entry(kind).or_default();
            *largest = largest.max(deviation);
        }
        deviations
    }

    fn compare(&self, name: &str, got: f64, expected: f64) -> (Kind, f64, f64) {
        if got == expected {
            // Infinities have no difference.
            return (kind_of(name), 0.0, 0.0);
        }
        let absolute = (got - expected).abs();
        match kind_of(name) {
            Kind::P if self.function == "t_tail" => (Kind::P, absolute, TAIL * expected.abs().max(1.0)),
            Kind::P if expected < 1e-100f64.ln() => (Kind::P, absolute, TINY_P),
            Kind::P => (Kind::P, absolute, P),
            kind => {
                let tolerance = match name {
                    "low" | "high" => INTERVAL,
                    "correlation" => CORRELATION,
                    _ if name.starts_with("pair_") => COLUMNS,
                    "power" if self.function == "paired_t_power" => POWER,
                    _ => STATISTIC,
                };
                (kind, absolute / expected.abs().max(1.0), tolerance)
            }
        }
    }
}

fn kind_of(name: &str) -> Kind {
    match name {
        "low" | "high" => Kind::Interval,
        name if name.starts_with("ln_p") => Kind::P,
        _ => Kind::Statistic,
    }
}

#[test]
fn agrees_with_the_reference_implementations() {
    let golden = Golden::read();
    assert!(golden.cases.len() >= 800, "{} cases", golden.cases.len());
    for case in &golden.cases {
        case.deviations();
    }
}

#[test]
fn the_table_of_oracles_is_what_was_measured() {
    table::check(&Golden::read());
}
