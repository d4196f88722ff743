use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{CorrectedRegistry, criteria, statements};

/// Whether the network passes, with every reason; serialises to `verdict.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The overall outcome.
    #[serde(rename = "verdict")]
    pub outcome: VerdictOutcome,
    /// Whether the data were simulated.
    pub simulated: bool,
    /// The four criteria.
    pub criteria: Vec<Criterion>,
    /// Statements that the run supports.
    pub may_say: Vec<String>,
    /// Statements that the run does not support, each with the reason.
    pub may_not_say: Vec<String>,
}

/// One of the four criteria.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Criterion {
    /// Which.
    pub id: CriterionId,
    /// How it came out.
    pub outcome: VerdictOutcome,
    /// Why, in a sentence with its numbers.
    pub reason: String,
    /// The tests that it rests on.
    pub tests: Vec<String>,
}

/// The four criteria, all of which a network must meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CriterionId {
    /// Attention beats each gene-level baseline.
    A,
    /// It adds to gene-level features under every learner and split.
    B,
    /// Its signal survives taking gene-level features and degrees out.
    C,
    /// The model uses it.
    D,
}

impl CriterionId {
    /// The letter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
            Self::C => "c",
            Self::D => "d",
        }
    }

    /// What it asks.
    pub fn question(self) -> &'static str {
        match self {
            Self::A => "Does attention beat the target's variance, mean and detection?",
            Self::B => "Does attention add to gene-level features, for both learners and all three splits?",
            Self::C => {
                "Does its signal survive without gene-level features and beyond a degree-preserving null?"
            }
            Self::D => "Does the model use the heads that carry it?",
        }
    }
}

/// The outcome of a criterion or of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerdictOutcome {
    /// Met.
    Pass,
    /// Not met.
    Fail,
    /// Not decidable with these data: underpowered, or an input is missing.
    Undecided,
}

impl VerdictOutcome {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Undecided => "undecided",
        }
    }

    /// Fail if any fails, else undecided if any is, else pass.
    pub(crate) fn of_all(outcomes: impl IntoIterator<Item = Self>) -> Self {
        outcomes
            .into_iter()
            .fold(Self::Pass, |all, one| match (all, one) {
                (Self::Fail, _) | (_, Self::Fail) => Self::Fail,
                (Self::Undecided, _) | (_, Self::Undecided) => Self::Undecided,
                _ => Self::Pass,
            })
    }
}

/// Where the lines are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// The smallest ΔAUROC worth having: an interval below it says that nothing useful is added.
    pub useful_delta: f64,
    /// The share of above-chance AUROC that residual edges must keep.
    pub min_retained: f64,
    /// The distance to the degree-preserving null that must be exceeded.
    pub min_degree_z: f64,
    /// The hidden-state cosine distance below which an intervention is too small to judge.
    pub min_fidelity: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            useful_delta: 0.005,
            min_retained: 0.8,
            min_degree_z: 3.0,
            min_fidelity: 0.02,
        }
    }
}

impl Verdict {
    /// Judges a closed registry.
    ///
    /// The burden of proof lies with the network: (a) is failed by a gene-level baseline that attention does not
    /// beat significantly. A missing gain (b) fails only where the test had the power to see a useful one, and (c)
    /// and (d) only where an estimate lies on the wrong side; what remains open is undecided.
    pub fn reach(registry: &CorrectedRegistry, thresholds: &Thresholds, simulated: bool) -> Self {
        let criteria = criteria::judge(registry, thresholds);
        let outcome = VerdictOutcome::of_all(criteria.iter().map(|c| c.outcome));
        let (may_say, may_not_say) = statements::derive(registry, &criteria, outcome, simulated);
        Self {
            outcome,
            simulated,
            criteria,
            may_say,
            may_not_say,
        }
    }

    /// The verdict in one sentence.
    pub fn sentence(&self) -> String {
        let letters = |outcome| {
            let ids: Vec<&str> = self
                .criteria
                .iter()
                .filter(|c| c.outcome == outcome)
                .map(|c| c.id.as_str())
                .collect();
            match ids.as_slice() {
                [one] => format!("criterion {one}"),
                [first @ .., last] => format!("criteria {} and {last}", first.join(", ")),
                [] => "no criterion".to_owned(),
            }
        };
        match self.outcome {
            VerdictOutcome::Pass => {
                "The attention network passes: it carries regulatory information beyond simpler things, and the \
                 model uses it."
                    .to_owned()
            }
            VerdictOutcome::Fail => format!(
                "The attention network fails {}: it is not shown to carry regulatory information beyond simpler \
                 things.",
                letters(VerdictOutcome::Fail)
            ),
            VerdictOutcome::Undecided => format!(
                "Not decidable with these data: {} could not be judged, and none failed.",
                letters(VerdictOutcome::Undecided)
            ),
        }
    }
}

/// The verdict as a terminal shows it.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let simulated = if self.simulated { " (simulated data)" } else { "" };
        writeln!(f, "verdict: {}{simulated}", self.outcome.as_str())?;
        writeln!(f, "  {}", self.sentence())?;
        for criterion in &self.criteria {
            writeln!(
                f,
                "\n({}) {}: {}",
                criterion.id.as_str(),
                criterion.outcome.as_str(),
                criterion.id.question()
            )?;
            writeln!(f, "    {}", criterion.reason)?;
        }
        for (heading, statements) in [("may say", &self.may_say), ("may not say", &self.may_not_say)] {
            if !statements.is_empty() {
                writeln!(f, "\n{heading}:")?;
            }
            for statement in statements {
                writeln!(f, "  - {statement}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::registry;

    #[test]
    fn one_failure_fails_the_whole_and_one_open_criterion_leaves_it_open() {
        use VerdictOutcome::{Fail, Pass, Undecided};
        assert_eq!(VerdictOutcome::of_all([Pass, Pass]), Pass);
        assert_eq!(VerdictOutcome::of_all([Pass, Undecided, Pass]), Undecided);
        assert_eq!(VerdictOutcome::of_all([Undecided, Fail, Pass]), Fail);
    }

    #[test]
    fn the_json_has_exactly_the_promised_keys() {
        let verdict = Verdict::reach(&registry(&[], &[]), &Thresholds::default(), true);
        let json = serde_json::to_value(&verdict).unwrap();
        let keys = |value: &serde_json::Value| -> Vec<String> {
            value.as_object().unwrap().keys().cloned().collect()
        };
        let mut expected = ["verdict", "simulated", "criteria", "may_say", "may_not_say"];
        expected.sort_unstable();
        let mut found = keys(&json);
        found.sort_unstable();
        assert_eq!(found, expected);
        assert_eq!(json["verdict"], "undecided");
        assert_eq!(json["simulated"], true);
        let ids: Vec<_> = json["criteria"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["id"].clone())
            .collect();
        assert_eq!(ids, ["a", "b", "c", "d"]);
        let mut criterion = keys(&json["criteria"][0]);
        criterion.sort_unstable();
        assert_eq!(criterion, ["id", "outcome", "reason", "tests"]);
        assert_eq!(serde_json::from_value::<Verdict>(json).unwrap(), verdict);
    }

    #[test]
    fn the_text_names_outcome_criteria_and_statements() {
        let verdict = Verdict::reach(
            &registry(&[("gene-baselines/variance-vs-attention", 0.1, 1e-9)], &[]),
            &Thresholds::default(),
            true,
        );
        let text = verdict.to_string();
        assert!(
            text.starts_with("verdict: fail (simulated data)\n  The attention network fails criterion a:"),
            "{text}"
        );
        assert!(text.contains("\n(b) undecided: "), "{text}");
        assert!(text.contains("\nmay not say:\n  - "), "{text}");
    }
}
