use std::collections::HashSet;
use std::fmt;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::Error;

/// Every test that a run may register, declared before anything is computed.
///
/// The family over which p-values are corrected is fixed by this plan and the inputs at hand, never by results.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    analyses: Vec<PlannedAnalysis>,
}

/// One analysis of the plan.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedAnalysis {
    /// Its place among the 37, or 0 for the battery's own control, which is not counted.
    pub number: u8,
    /// Its name in test ids: `perturbation-first`.
    pub id: String,
    /// The part of the battery it belongs to.
    pub part: String,
    /// Its heading.
    pub title: String,
    /// The question it answers, for people.
    pub question: String,
    /// What must be at hand for it to run.
    pub needs: Vec<Need>,
    /// Its tests, those that speak for it first.
    pub tests: Vec<PlannedTest>,
}

/// One test of the plan: a row of the registry before it is filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedTest {
    /// `<analysis>/<test>`; a test called `x-vs-y` has the effect x − y.
    pub id: String,
    /// Whether it states something or only describes.
    pub kind: Kind,
    /// The alternative hypothesis in words.
    pub hypothesis: String,
    /// On which side of the null the alternative lies.
    pub alternative: Alternative,
    /// What is stated where the test rejects.
    pub claim: Claim,
    /// The planned method in words.
    pub method: String,
    /// What the effect measures: `auroc`, `delta_auroc`, `correlation`.
    pub effect_kind: String,
    /// The figure of arXiv:2602.17532, for display only.
    pub published: Option<String>,
    /// The row that puts the same test to other data: what is known of the level of that one holds for this one.
    pub same_as: Option<String>,
    /// Whether it is the one test that speaks for its analysis.
    pub primary: bool,
    /// The simulated world in which its null hypothesis holds.
    pub h0_world: World,
    /// The simulated world in which its alternative holds.
    pub h1_world: World,
    /// What is counted by n: `perturbation`, `TF`.
    pub n_unit: String,
    /// The family in which its p-value is corrected.
    pub family: Family,
}

/// Gives an enum of the plan its words, so that they stand once.
macro_rules! words {
    ($name:ident: $($variant:ident = $word:literal),+ $(,)?) => {
        impl $name {
            /// The word in files and reports.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

/// Whether a test states something or only describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Has a p-value that decides.
    Confirmatory,
    /// A reported figure; a p-value beside it decides nothing.
    Descriptive,
}
words!(Kind: Confirmatory = "confirmatory", Descriptive = "descriptive");

/// What becomes of the p-value of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Corrected together with all other confirmatory tests of the run.
    Main,
    /// Claims a null; outside every family, as its p-value answers another question.
    NullClaims,
    /// Repeats an anti-conservative test of the literature; only in the widest sensitivity family.
    AsPublished,
    /// Belongs to the battery's own control, not to the network under test.
    Control,
    /// None: a figure, or a p-value for orientation.
    None,
}
words!(Family: Main = "main", NullClaims = "null-claims", AsPublished = "as-published", Control = "control", None = "none");

/// The side of the null on which the alternative lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alternative {
    /// Either side.
    #[default]
    TwoSided,
    /// Above.
    Greater,
    /// Below.
    Less,
    /// Between two bounds: an equivalence test.
    Within,
}
words!(Alternative: TwoSided = "two-sided", Greater = "greater", Less = "less", Within = "within");

/// What is stated where a test rejects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Claim {
    /// That there is a difference, whatever its sign, or what the alternative says.
    #[default]
    Difference,
    /// That something is gained: a two-sided test with a positive effect.
    Gain,
}
words!(Claim: Difference = "difference", Gain = "gain");

/// A simulated world whose truth is known, on which a test is calibrated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum World {
    /// Scores are unrelated to everything.
    NoSignal,
    /// Attention is a function of gene-level features.
    GeneLevel,
    /// Attention follows correlation.
    #[serde(rename = "co-expression")]
    Coexpression,
    /// Attention carries causal edges that gene-level features do not explain, and the model uses them.
    Regulatory,
    /// All cells are in one state.
    SingleState,
    /// Some edges exist in some cell states only.
    CellStates,
    /// Donors and assays shift edges.
    DonorEffects,
    /// Scores are probabilities already.
    CalibratedScores,
}
words!(World: NoSignal = "no-signal", GeneLevel = "gene-level", Coexpression = "co-expression", Regulatory = "regulatory",
       SingleState = "single-state", CellStates = "cell-states", DonorEffects = "donor-effects",
       CalibratedScores = "calibrated-scores");

/// What an analysis must have at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Need {
    /// A checkpoint that can be run.
    Model,
    /// Cells to run it on.
    Cells,
    /// Attention edges, head mean per layer.
    Attention,
    /// Attention edges per head.
    AttentionHeads,
    /// Value-weighted edges.
    ValueEdges,
    /// Correlation edges of the same control cells.
    Correlation,
    /// Mean, variance, detection, out-degree.
    GeneFeatures,
    /// A perturbation screen.
    Screen,
    /// A CRISPR activation screen.
    CrispraScreen,
    /// A T cell screen.
    #[serde(rename = "tcell-screen")]
    TCellScreen,
    /// An RPE1 screen.
    #[serde(rename = "rpe1-screen")]
    Rpe1Screen,
    /// A neuron screen.
    NeuronScreen,
    /// A second screen of any kind, to transfer to.
    SecondScreen,
    /// The Dixit screen after 13 days.
    #[serde(rename = "dixit-13d")]
    Dixit13d,
    /// The Dixit screen after 7 days.
    #[serde(rename = "dixit-7d")]
    Dixit7d,
    /// TRRUST.
    Trrust,
    /// DoRothEA or CollecTRI.
    Dorothea,
    /// STRING.
    String,
    /// Reactome.
    Reactome,
    /// KEGG.
    Kegg,
    /// GO biological process.
    Go,
    /// Cells of several tissues and types.
    Atlas,
    /// Donors of cells.
    Donors,
    /// Assays of cells.
    Assays,
    /// Differentiation lineages.
    Lineages,
    /// Cells of a second species.
    SecondSpecies,
    /// One-to-one orthologs.
    Orthologs,
    /// Nothing but simulation.
    Simulation,
}
words!(Need: Model = "model", Cells = "cells", Attention = "attention", AttentionHeads = "attention-heads",
       ValueEdges = "value-edges", Correlation = "correlation", GeneFeatures = "gene-features", Screen = "screen",
       CrispraScreen = "crispra-screen", TCellScreen = "tcell-screen", Rpe1Screen = "rpe1-screen",
       NeuronScreen = "neuron-screen", SecondScreen = "second-screen", Dixit13d = "dixit-13d", Dixit7d = "dixit-7d",
       Trrust = "trrust", Dorothea = "dorothea", String = "string", Reactome = "reactome", Kegg = "kegg", Go = "go",
       Atlas = "atlas", Donors = "donors", Assays = "assays", Lineages = "lineages", SecondSpecies = "second-species",
       Orthologs = "orthologs", Simulation = "simulation");

impl Plan {
    /// The plan of this version.
    pub fn embedded() -> &'static Plan {
        static PLAN: LazyLock<Plan> = LazyLock::new(|| {
            Plan::parse(include_str!("plan.toml")).expect("the embedded plan is valid, which a test asserts")
        });
        &PLAN
    }

    /// Reads a plan.
    ///
    /// # Errors
    /// [`Error::PlanFormat`] for text that is no plan, [`Error::DeclaredTwice`] for a repeated id or number,
    /// [`Error::Primary`] when an analysis with confirmatory tests does not name one of them as its primary test,
    /// [`Error::SameAs`] for a test that is said to be one that there is not, or that is itself said to be another.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let file: PlanFile = toml::from_str(text).map_err(|e| Error::PlanFormat(Box::new(e)))?;
        let analyses: Vec<_> = file
            .analysis
            .into_iter()
            .map(AnalysisEntry::check)
            .collect::<Result<_, _>>()?;
        let mut seen = HashSet::new();
        for analysis in &analyses {
            let names = [
                format!("analysis {}", analysis.id),
                format!("number {}", analysis.number),
            ];
            let tests = analysis.tests.iter().map(|t| format!("test {}", t.id));
            for name in names.into_iter().chain(tests) {
                if !seen.insert(name.clone()) {
                    return Err(Error::DeclaredTwice(name));
                }
            }
        }
        let plan = Self { analyses };
        for test in plan.tests() {
            let Some(other) = &test.same_as else { continue };
            if plan.test(other).is_none_or(|other| other.same_as.is_some()) {
                return Err(Error::SameAs {
                    test: test.id.clone(),
                    other: other.clone(),
                });
            }
        }
        Ok(plan)
    }

    /// The analyses in the order of the plan.
    pub fn analyses(&self) -> &[PlannedAnalysis] {
        &self.analyses
    }

    /// An analysis by id.
    pub fn analysis(&self, id: &str) -> Option<&PlannedAnalysis> {
        self.analyses.iter().find(|a| a.id == id)
    }

    /// A test by id.
    pub fn test(&self, id: &str) -> Option<&PlannedTest> {
        self.tests().find(|test| test.id == id)
    }

    /// All tests in the order of the plan.
    pub fn tests(&self) -> impl Iterator<Item = &PlannedTest> {
        self.analyses.iter().flat_map(|a| &a.tests)
    }
}

impl PlannedAnalysis {
    /// Whether it is one of the 37, and not the battery's own control.
    pub fn is_counted(&self) -> bool {
        self.number > 0
    }
}

impl PlannedTest {
    /// The analysis it belongs to.
    pub fn analysis(&self) -> &str {
        self.id
            .split_once('/')
            .map_or(self.id.as_str(), |(analysis, _)| analysis)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanFile {
    analysis: Vec<AnalysisEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnalysisEntry {
    number: u8,
    id: String,
    part: String,
    title: String,
    question: String,
    needs: Vec<Need>,
    primary: Option<String>,
    n_unit: String,
    worlds: [World; 2],
    #[serde(default)]
    confirmatory: Vec<TestEntry>,
    #[serde(default)]
    null_claims: Vec<TestEntry>,
    #[serde(default)]
    as_published: Vec<TestEntry>,
    #[serde(default)]
    descriptive: Vec<TestEntry>,
    #[serde(default)]
    control: Vec<TestEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TestEntry {
    id: String,
    hypothesis: String,
    method: String,
    effect: String,
    #[serde(default)]
    alternative: Alternative,
    #[serde(default)]
    claims: Claim,
    published: Option<String>,
    same_as: Option<String>,
    n_unit: Option<String>,
    worlds: Option<[World; 2]>,
}

impl AnalysisEntry {
    fn check(self) -> Result<PlannedAnalysis, Error> {
        let lists = [
            (self.confirmatory, Kind::Confirmatory, Family::Main),
            (self.control, Kind::Confirmatory, Family::Control),
            (self.null_claims, Kind::Confirmatory, Family::NullClaims),
            (self.as_published, Kind::Descriptive, Family::AsPublished),
            (self.descriptive, Kind::Descriptive, Family::None),
        ];
        let mut tests = Vec::new();
        for (entries, kind, family) in lists {
            for entry in entries {
                let [h0_world, h1_world] = entry.worlds.unwrap_or(self.worlds);
                tests.push(PlannedTest {
                    id: format!("{}/{}", self.id, entry.id),
                    kind,
                    hypothesis: entry.hypothesis,
                    alternative: entry.alternative,
                    claim: entry.claims,
                    method: entry.method,
                    effect_kind: entry.effect,
                    published: entry.published,
                    same_as: entry.same_as,
                    primary: self.primary.as_ref() == Some(&entry.id) && kind == Kind::Confirmatory,
                    h0_world,
                    h1_world,
                    n_unit: entry.n_unit.unwrap_or_else(|| self.n_unit.clone()),
                    family,
                });
            }
        }
        let has_confirmatory = tests.iter().any(|t| t.kind == Kind::Confirmatory);
        let n_primary = tests.iter().filter(|t| t.primary).count();
        if n_primary != usize::from(has_confirmatory) || self.primary.is_some() != has_confirmatory {
            return Err(Error::Primary {
                analysis: self.id,
                found: self.primary,
                expected: if has_confirmatory {
                    "one of its confirmatory tests"
                } else {
                    "none"
                },
            });
        }
        Ok(PlannedAnalysis {
            number: self.number,
            id: self.id,
            part: self.part,
            title: self.title,
            question: self.question,
            needs: self.needs,
            tests,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(plan: &Plan, holds: impl Fn(&PlannedTest) -> bool) -> usize {
        let counted = plan.analyses().iter().filter(|a| a.is_counted());
        counted.flat_map(|a| &a.tests).filter(|t| holds(t)).count()
    }

    #[test]
    fn the_plan_holds_37_analyses_and_at_least_153_tests() {
        let plan = Plan::embedded();
        let mut numbers: Vec<u8> = plan.analyses().iter().map(|a| a.number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..=37).collect::<Vec<u8>>());
        assert!(count(plan, |_| true) >= 153);
        let confirmatory = count(plan, |t| t.family == Family::Main);
        assert!(confirmatory >= 95, "{confirmatory}");
    }

    #[test]
    fn each_analysis_states_as_many_hypotheses_as_its_description_lists() {
        let expected = [
            7, 3, 2, 2, 12, 1, // what attention edges are
            4, 1, 1, // perturbation-first
            7, 3, 5, // baselines, incremental value
            3, 1, 1, 3, 2, // confounds
            5, 13, 6, 0, 2, // causal use
            3, 4, 4, 1, 2, 8, // contexts
            3, 2, 1, // CSSI
            2, 7, 3, 2, 5, 3, // boundaries
        ];
        let plan = Plan::embedded();
        for analysis in plan.analyses().iter().filter(|a| a.is_counted()) {
            let found = analysis.tests.iter().filter(|t| t.family == Family::Main).count();
            assert_eq!(
                found,
                expected[usize::from(analysis.number) - 1],
                "{}",
                analysis.id
            );
        }
    }

    #[test]
    fn every_analysis_that_states_something_has_one_primary_test_and_nothing_is_left_blank() {
        for analysis in Plan::embedded().analyses() {
            let n_primary = analysis.tests.iter().filter(|t| t.primary).count();
            let states = analysis.tests.iter().any(|t| t.kind == Kind::Confirmatory);
            assert_eq!(n_primary, usize::from(states), "{}", analysis.id);
            for test in &analysis.tests {
                assert_eq!(test.analysis(), analysis.id);
                assert_ne!(test.h0_world, test.h1_world, "{}", test.id);
                for text in [&test.hypothesis, &test.method, &test.effect_kind, &test.n_unit] {
                    assert!(!text.trim().is_empty(), "{}", test.id);
                }
            }
        }
    }

    const ANALYSIS: &str = r#"
        [[analysis]]
        number = 1
        id = "a"
        part = "p"
        title = "t"
        question = "q"
        needs = ["screen"]
        n_unit = "gene"
        worlds = ["no-signal", "regulatory"]
    "#;

    fn test_entry(id: &str) -> String {
        format!(r#"{{ id = "{id}", hypothesis = "h", method = "m", effect = "e" }}"#)
    }

    #[test]
    fn a_plan_with_a_repeated_test_is_refused() {
        let (x, text) = (test_entry("x"), format!("{ANALYSIS}\nprimary = \"x\"\n"));
        let repeated = format!("{text}confirmatory = [{x}]\ndescriptive = [{x}]");
        assert!(matches!(Plan::parse(&repeated), Err(Error::DeclaredTwice(id)) if id == "test a/x"));
    }

    #[test]
    fn a_test_can_only_be_the_same_as_one_that_is_a_test_of_its_own() {
        let same =
            |id: &str, other: &str| test_entry(id).replace("{ id", &format!("{{ same_as = \"{other}\", id"));
        let plan = |tests: [String; 2]| {
            Plan::parse(&format!(
                "{ANALYSIS}\nprimary = \"x\"\nconfirmatory = [{}]",
                tests.join(",")
            ))
        };
        assert!(plan([test_entry("x"), same("y", "a/x")]).is_ok());
        for (tests, wrong) in [
            ([test_entry("x"), same("y", "a/z")], "a/y"),
            ([same("x", "a/y"), same("y", "a/x")], "a/x"),
        ] {
            assert!(matches!(plan(tests), Err(Error::SameAs { test, .. }) if test == wrong));
        }
    }

    #[test]
    fn the_primary_test_must_be_a_confirmatory_one_and_nothing_else() {
        let (x, y) = (test_entry("x"), test_entry("y"));
        for (primary, lists) in [
            ("", format!("confirmatory = [{x}]")),
            (
                "primary = \"y\"",
                format!("confirmatory = [{x}]\ndescriptive = [{y}]"),
            ),
            ("primary = \"x\"", format!("descriptive = [{x}]")),
        ] {
            let text = format!("{ANALYSIS}\n{primary}\n{lists}");
            assert!(matches!(Plan::parse(&text), Err(Error::Primary { analysis, .. }) if analysis == "a"));
        }
    }

    #[test]
    fn unknown_keys_and_words_are_refused() {
        for text in [
            format!("{ANALYSIS}\ncolour = 1"),
            ANALYSIS.replace("screen", "horoscope"),
        ] {
            assert!(matches!(Plan::parse(&text), Err(Error::PlanFormat(_))));
        }
    }
}
