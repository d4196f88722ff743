use std::collections::BTreeMap;

use crate::number::{interval, p_value, significant};
use crate::{CorrectedRegistry, Criterion, CriterionId, Measured, Row, Thresholds, VerdictOutcome};

/// The four criteria in order.
pub(crate) fn judge(registry: &CorrectedRegistry, thresholds: &Thresholds) -> Vec<Criterion> {
    let judge = |id, weigh: fn(&mut Case<'_>, &Thresholds)| {
        let mut case = Case::new(registry);
        weigh(&mut case, thresholds);
        case.close(id)
    };
    vec![
        judge(CriterionId::A, beats_gene_level),
        judge(CriterionId::B, adds_information),
        judge(CriterionId::C, survives_confounds),
        judge(CriterionId::D, is_used),
    ]
}

/// (a) Each gene-level baseline loses to attention after correction.
fn beats_gene_level(case: &mut Case<'_>, _: &Thresholds) {
    for feature in ["variance", "mean", "detection"] {
        let Some((row, measured)) = case.evidence(&format!("gene-baselines/{feature}-vs-attention")) else {
            continue;
        };
        let lead = significant(measured.effect.abs());
        let q = row.q.map(|q| p_value(q, q.ln())).unwrap_or_default();
        let ahead = if measured.effect < 0.0 {
            "ahead of"
        } else {
            "behind"
        };
        let beaten = measured.effect < 0.0 && row.significant == Some(true);
        let doubt = if measured.effect < 0.0 && !beaten {
            ", which is not significant"
        } else {
            ""
        };
        let sentence = format!("attention is {lead} AUROC {ahead} the target's {feature} (q = {q}){doubt}");
        case.find(if beaten { Finding::Holds } else { Finding::Refuted }, sentence);
    }
}

/// (b) ΔAUROC has a lower bound above 0 in all six cells of learner × split, and no metric variant contradicts.
fn adds_information(case: &mut Case<'_>, thresholds: &Thresholds) {
    let useful = thresholds.useful_delta;
    // The equivalence test of the first cell is evidence where it ran; the interval alone decides where it did not.
    let equivalent = case.registry.row("incremental-value/equivalence-attention");
    let equivalent = equivalent.is_some_and(|row| row.significant == Some(true));
    for (id, cell) in [
        (
            "incremental-value/delta-attention",
            "logistic regression on new perturbations",
        ),
        (
            "hard-generalisation/delta-logistic-target",
            "logistic regression on new targets",
        ),
        (
            "hard-generalisation/delta-logistic-joint",
            "logistic regression on new pairs",
        ),
        (
            "hard-generalisation/delta-trees-perturbation",
            "boosted trees on new perturbations",
        ),
        (
            "hard-generalisation/delta-trees-target",
            "boosted trees on new targets",
        ),
        (
            "hard-generalisation/delta-trees-joint",
            "boosted trees on new pairs",
        ),
    ] {
        let Some((_, measured)) = case.evidence(id) else {
            continue;
        };
        let delta = significant(measured.effect);
        let Some((low, high)) = measured.ci else {
            case.find(
                Finding::Open,
                format!("ΔAUROC of {cell} is {delta}, without an interval"),
            );
            continue;
        };
        let shown = format!("ΔAUROC of {cell} is {delta} {}", interval(low, high));
        let powered = high < useful || (equivalent && id == "incremental-value/delta-attention");
        match (low > 0.0, powered) {
            (true, _) => case.find(Finding::Holds, shown),
            (false, true) => {
                case.find(
                    Finding::Refuted,
                    format!("{shown}: no gain of {} or more", significant(useful)),
                );
            }
            (false, false) => {
                case.find(
                    Finding::Open,
                    format!("{shown}: too wide to exclude a gain of {}", significant(useful)),
                );
            }
        }
    }
    let variants = case
        .registry
        .analysis("hard-generalisation")
        .filter(|row| ["delta_auprc", "delta_recall"].contains(&row.planned.effect_kind.as_str()));
    for id in variants.map(|row| row.planned.id.clone()).collect::<Vec<_>>() {
        let Some((row, measured)) = case.evidence(&id) else {
            continue;
        };
        let contradicts = measured.ci.map_or(measured.effect, |ci| ci.1) < 0.0;
        if contradicts {
            let value = significant(measured.effect);
            case.find(
                Finding::Refuted,
                format!("{} is {value}, against the gain in AUROC", row.planned.hypothesis),
            );
        }
    }
}

/// (c) The raw signal is there, most of it stays without gene-level features, and degrees do not explain it.
fn survives_confounds(case: &mut Case<'_>, thresholds: &Thresholds) {
    if let Some((_, raw)) = case.evidence("residualisation/raw-attention") {
        let value = significant(raw.effect);
        match raw.ci {
            _ if raw.effect <= 0.5 => {
                case.find(
                    Finding::Refuted,
                    format!("raw attention has AUROC {value} against the reference"),
                );
            }
            Some((low, high)) if low > 0.5 => {
                case.find(
                    Finding::Holds,
                    format!("raw attention has AUROC {value} {}", interval(low, high)),
                );
            }
            _ => case.find(
                Finding::Open,
                format!("raw attention has AUROC {value}, not bounded away from 0.5"),
            ),
        }
    }
    if let Some((_, retained)) = case.evidence("residualisation/retained-attention") {
        let holds = retained.effect >= thresholds.min_retained;
        let (kept, needed) = (
            significant(100.0 * retained.effect),
            significant(100.0 * thresholds.min_retained),
        );
        case.find(
            if holds { Finding::Holds } else { Finding::Refuted },
            format!(
                "{kept} % of the above-chance signal stays without gene-level features ({needed} % needed)"
            ),
        );
    }
    if let Some((_, z)) = case.evidence("degree-null/z") {
        let holds = z.effect > thresholds.min_degree_z;
        let (value, needed) = (significant(z.effect), significant(thresholds.min_degree_z));
        case.find(
            if holds { Finding::Holds } else { Finding::Refuted },
            format!(
                "recovery lies {value} standard deviations above the degree-preserving null ({needed} needed)"
            ),
        );
    }
}

/// (d) Silencing ranked heads hurts the masked-gene prediction monotonically and no less than random heads, uniform
/// attention in the larger set of them hurts it too and in the smaller one is not shown to be harmless, and the intervention was
/// large enough to judge. The smaller set is one head in a small model.
fn is_used(case: &mut Case<'_>, thresholds: &Thresholds) {
    if let Some((row, trend)) = case.evidence("ablation-dose/trend") {
        let q = row.q.map(|q| p_value(q, q.ln())).unwrap_or_default();
        let value = significant(trend.effect);
        let finding = match (trend.effect > 0.0, row.significant == Some(true)) {
            (true, true) => Finding::Holds,
            (false, true) => Finding::Refuted,
            (_, false) => Finding::Open,
        };
        case.find(
            finding,
            format!("harm follows the dose of silenced heads with {value} (q = {q})"),
        );
    }
    for dose in [10, 20, 50] {
        if let Some((_, harm)) = case.evidence(&format!("ablation-dose/masked-top-{dose}")) {
            let finding = match harm.ci {
                _ if harm.effect >= 0.0 => Finding::Holds,
                Some((_, high)) if high < 0.0 => Finding::Refuted,
                _ => Finding::Open,
            };
            let value = significant(harm.effect);
            case.find(
                finding,
                format!("silencing {dose} ranked heads harms {value} more than {dose} random ones"),
            );
        }
    }
    let smaller = "orthogonal-interventions/masked-uniform-top-5";
    if case
        .registry
        .row(smaller)
        .is_some_and(|row| row.measured().is_some())
        && let Some((_, harm)) = case.evidence(smaller)
        && harm.ci.is_some_and(|(_, high)| high <= 0.0)
    {
        let value = significant(harm.effect);
        case.find(
            Finding::Refuted,
            format!("uniform attention in 5 ranked heads does {value} harm"),
        );
    }
    if let Some((_, harm)) = case.evidence("orthogonal-interventions/masked-uniform-top-10") {
        let finding = match harm.ci {
            Some((_, high)) if high <= 0.0 => Finding::Refuted,
            Some((low, _)) if low > 0.0 => Finding::Holds,
            _ => Finding::Open,
        };
        let value = significant(harm.effect);
        case.find(
            finding,
            format!("uniform attention in 10 ranked heads does {value} harm"),
        );
    }
    if let Some((_, distance)) = case.evidence("intervention-fidelity/uniform-top-10") {
        let large = distance.effect >= thresholds.min_fidelity;
        let value = significant(distance.effect);
        let moved = format!("uniform attention in 10 heads moves hidden states by {value}");
        match large {
            true => case.find(Finding::Holds, moved),
            false => case.find(Finding::Open, format!("{moved}, too little to judge")),
        }
    }
}

/// What one piece of evidence says about a criterion.
#[derive(Clone, Copy, PartialEq)]
enum Finding {
    Holds,
    Refuted,
    Open,
}

/// A criterion while its evidence is heard.
struct Case<'a> {
    registry: &'a CorrectedRegistry,
    tests: Vec<String>,
    missing: BTreeMap<String, Vec<String>>,
    findings: Vec<(Finding, String)>,
}

impl<'a> Case<'a> {
    fn new(registry: &'a CorrectedRegistry) -> Self {
        Self {
            registry,
            tests: Vec::new(),
            missing: BTreeMap::new(),
            findings: Vec::new(),
        }
    }

    /// The row of a test that ran; one that did not is noted as missing.
    fn evidence(&mut self, id: &str) -> Option<(&'a Row, &'a Measured)> {
        self.tests.push(id.to_owned());
        let row = self.registry.row(id);
        let found = row.and_then(|row| row.measured().map(|measured| (row, measured)));
        if found.is_none() {
            let reason = row.and_then(Row::reason).unwrap_or("not in the plan");
            self.missing
                .entry(reason.to_owned())
                .or_default()
                .push(id.to_owned());
        }
        found
    }

    fn find(&mut self, finding: Finding, sentence: String) {
        self.findings.push((finding, sentence));
    }

    /// Refuted by any refuted part, open if any part is open or missing. The reason gives the parts that decide.
    fn close(mut self, id: CriterionId) -> Criterion {
        for (reason, ids) in &self.missing {
            let which = match ids.as_slice() {
                [one] => format!("{one} did not run"),
                [first, rest @ ..] => format!("{first} and {} more did not run", rest.len()),
                [] => continue,
            };
            self.findings.push((Finding::Open, format!("{which} ({reason})")));
        }
        let has = |finding| self.findings.iter().any(|(f, _)| *f == finding);
        let (outcome, decisive) = if has(Finding::Refuted) {
            (VerdictOutcome::Fail, Finding::Refuted)
        } else if has(Finding::Open) {
            (VerdictOutcome::Undecided, Finding::Open)
        } else {
            (VerdictOutcome::Pass, Finding::Holds)
        };
        let sentences: Vec<&str> = self
            .findings
            .iter()
            .filter(|(f, _)| *f == decisive)
            .map(|(_, s)| s.as_str())
            .collect();
        Criterion {
            id,
            outcome,
            reason: sentence_of(&sentences.join("; ")),
            tests: self.tests,
        }
    }
}

/// Capitalises the first letter, as `ΔAUROC` keeps its own, and adds a full stop.
pub(crate) fn sentence_of(text: &str) -> String {
    let is_test_id = text
        .split_whitespace()
        .next()
        .is_some_and(|word| word.contains('/'));
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if !is_test_id => format!("{}{}.", first.to_uppercase(), letters.as_str()),
        _ => format!("{text}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::registry;

    fn outcome(
        id: CriterionId,
        results: &[(&str, f64, f64)],
        figures: &[(&str, f64)],
    ) -> (VerdictOutcome, String) {
        let criteria = judge(&registry(results, figures), &Thresholds::default());
        let criterion = criteria.into_iter().find(|c| c.id == id).unwrap();
        assert!(!criterion.tests.is_empty());
        (criterion.outcome, criterion.reason)
    }

    const VARIANCE: &str = "gene-baselines/variance-vs-attention";
    const MEAN: &str = "gene-baselines/mean-vs-attention";
    const DETECTION: &str = "gene-baselines/detection-vs-attention";

    #[test]
    fn a_passes_only_when_every_feature_loses_significantly() {
        let a = |results: &[(&str, f64, f64)]| outcome(CriterionId::A, results, &[]);
        let beaten = [
            (VARIANCE, -0.1, 1e-6),
            (MEAN, -0.2, 1e-6),
            (DETECTION, -0.1, 0.001),
        ];
        assert_eq!(a(&beaten).0, VerdictOutcome::Pass);
        let (fails, reason) = a(&[beaten[0], beaten[1], (DETECTION, 0.17, 1e-9)]);
        assert_eq!(fails, VerdictOutcome::Fail);
        assert_eq!(
            reason,
            "Attention is 0.17 AUROC behind the target's detection (q = 3.0e-9)."
        );
        let (fails, reason) = a(&[beaten[0], beaten[1], (DETECTION, -0.01, 0.4)]);
        assert_eq!(fails, VerdictOutcome::Fail);
        assert!(
            reason.ends_with("ahead of the target's detection (q = 0.4), which is not significant."),
            "{reason}"
        );
        let (open, reason) = a(&beaten[..2]);
        assert_eq!(open, VerdictOutcome::Undecided);
        assert_eq!(reason, format!("{DETECTION} did not run (not implemented)."));
        // What ran decides already.
        assert_eq!(a(&[(VARIANCE, 0.1, 1e-6)]).0, VerdictOutcome::Fail);
    }

    fn six_cells(effect: f64) -> Vec<(&'static str, f64, f64)> {
        [
            "incremental-value/delta-attention",
            "hard-generalisation/delta-logistic-target",
            "hard-generalisation/delta-logistic-joint",
            "hard-generalisation/delta-trees-perturbation",
            "hard-generalisation/delta-trees-target",
            "hard-generalisation/delta-trees-joint",
        ]
        .map(|id| (id, effect, 0.5))
        .to_vec()
    }

    fn variants(value: f64) -> Vec<(&'static str, f64)> {
        let tests = crate::Plan::embedded().tests();
        let variants =
            tests.filter(|t| t.analysis() == "hard-generalisation" && t.effect_kind != "delta_auroc");
        variants.map(|t| (t.id.as_str(), value)).collect()
    }

    #[test]
    fn b_needs_all_six_cells_and_no_contradiction() {
        let b =
            |results: &[(&str, f64, f64)], figures: &[(&str, f64)]| outcome(CriterionId::B, results, figures);
        // The intervals of these results are ± 0.02.
        assert_eq!(b(&six_cells(0.03), &variants(0.01)).0, VerdictOutcome::Pass);
        assert_eq!(b(&six_cells(0.03), &variants(-0.01)).0, VerdictOutcome::Fail);
        assert_eq!(b(&six_cells(0.03), &[]).0, VerdictOutcome::Undecided);
        assert_eq!(
            b(&six_cells(0.03)[..1], &variants(0.01)).0,
            VerdictOutcome::Undecided
        );
        let (open, reason) = b(&six_cells(0.01), &variants(0.01));
        assert_eq!(open, VerdictOutcome::Undecided);
        assert!(
            reason.contains("is 0.01 [−0.01, 0.03]: too wide to exclude a gain of 0.005"),
            "{reason}"
        );
        let (fails, reason) = b(&six_cells(-0.02), &variants(0.01));
        assert_eq!(fails, VerdictOutcome::Fail);
        assert!(reason.contains("no gain of 0.005 or more"), "{reason}");
    }

    #[test]
    fn b_fails_by_the_equivalence_test_where_the_interval_is_wide() {
        let delta = ("incremental-value/delta-attention", 0.0, 0.9);
        let equivalence = ("incremental-value/equivalence-attention", 0.0, 1e-4);
        assert_eq!(
            outcome(CriterionId::B, &[delta], &[]).0,
            VerdictOutcome::Undecided
        );
        assert_eq!(
            outcome(CriterionId::B, &[delta, equivalence], &[]).0,
            VerdictOutcome::Fail
        );
    }

    #[test]
    fn c_needs_signal_that_is_neither_gene_level_nor_degree() {
        let c = |raw: f64, retained: f64, z: f64| {
            let figures = [
                ("residualisation/retained-attention", retained),
                ("degree-null/z", z),
            ];
            outcome(
                CriterionId::C,
                &[("residualisation/raw-attention", raw, 0.01)],
                &figures,
            )
            .0
        };
        assert_eq!(c(0.66, 0.9, 3.6), VerdictOutcome::Pass);
        assert_eq!(c(0.66, 0.24, 3.6), VerdictOutcome::Fail);
        assert_eq!(c(0.66, 0.9, 3.0), VerdictOutcome::Fail);
        assert_eq!(c(0.49, 0.9, 3.6), VerdictOutcome::Fail);
        assert_eq!(c(0.51, 0.9, 3.6), VerdictOutcome::Undecided);
        assert_eq!(outcome(CriterionId::C, &[], &[]).0, VerdictOutcome::Undecided);
    }

    #[test]
    fn d_needs_harm_that_grows_and_interventions_that_are_felt() {
        let d_of = |trend: f64, ranked: f64, [smaller, uniform]: [f64; 2], fidelity: f64| {
            let results = [
                ("ablation-dose/trend", trend, 1e-4),
                ("ablation-dose/masked-top-10", ranked, 0.5),
                ("ablation-dose/masked-top-20", ranked, 0.5),
                ("ablation-dose/masked-top-50", ranked, 0.5),
                ("orthogonal-interventions/masked-uniform-top-5", smaller, 0.5),
                ("orthogonal-interventions/masked-uniform-top-10", uniform, 0.5),
            ];
            let figures = [
                ("intervention-fidelity/uniform-top-5", 0.01),
                ("intervention-fidelity/uniform-top-10", fidelity),
            ];
            outcome(CriterionId::D, &results, &figures).0
        };
        let d = |trend, ranked, uniform, fidelity| d_of(trend, ranked, [uniform; 2], fidelity);
        assert_eq!(d(0.8, 0.1, 0.1, 0.05), VerdictOutcome::Pass);
        assert_eq!(d(-0.8, 0.1, 0.1, 0.05), VerdictOutcome::Fail);
        assert_eq!(d(0.8, -0.1, 0.1, 0.05), VerdictOutcome::Fail);
        assert_eq!(d(0.8, -0.01, 0.1, 0.05), VerdictOutcome::Undecided);
        assert_eq!(d(0.8, 0.1, -0.1, 0.05), VerdictOutcome::Fail);
        assert_eq!(d(0.8, 0.1, 0.01, 0.05), VerdictOutcome::Undecided);
        assert_eq!(
            d(0.8, 0.1, -0.01, 0.05),
            VerdictOutcome::Undecided,
            "within its error of no harm, whatever the sign"
        );
        assert_eq!(d(0.8, 0.1, 0.1, 0.01), VerdictOutcome::Undecided);
        // One head is too little to be judged alone, unless it is shown to do no harm.
        assert_eq!(d_of(0.8, 0.1, [0.01, 0.1], 0.05), VerdictOutcome::Pass);
        assert_eq!(d_of(0.8, 0.1, [-0.1, 0.1], 0.05), VerdictOutcome::Fail);
    }

    #[test]
    fn missing_tests_are_grouped_by_reason() {
        let (open, reason) = outcome(CriterionId::D, &[], &[]);
        assert_eq!(open, VerdictOutcome::Undecided);
        assert_eq!(
            reason,
            "ablation-dose/trend and 5 more did not run (not implemented)."
        );
    }
}
