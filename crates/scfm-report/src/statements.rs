use crate::criteria::sentence_of;
use crate::number::{count, interval, p_value, significant};
use crate::{CorrectedRegistry, Criterion, CriterionId, Measured, Row, VerdictOutcome};

/// A statement that a test supports or does not.
struct Claim {
    test: &'static str,
    /// Where the effect must lie, significantly.
    side: Side,
    says: &'static str,
}

enum Side {
    Above(f64),
    Below(f64),
    /// The test is significant; its effect may lie anywhere.
    Shown,
}

const CLAIMS: [Claim; 22] = [
    Claim {
        test: "perturbation-first/attention-above-chance",
        side: Side::Above(0.5),
        says: "attention edges of a perturbed gene rank the genes that respond to it above chance",
    },
    Claim {
        test: "perturbation-first/attention-vs-correlation",
        side: Side::Above(0.0),
        says: "attention ranks responding genes better than correlation does",
    },
    Claim {
        test: "gene-baselines/variance-vs-attention",
        side: Side::Below(0.0),
        says: "attention ranks responding genes better than the target's variance does",
    },
    Claim {
        test: "gene-baselines/mean-vs-attention",
        side: Side::Below(0.0),
        says: "attention ranks responding genes better than the target's mean expression does",
    },
    Claim {
        test: "gene-baselines/detection-vs-attention",
        side: Side::Below(0.0),
        says: "attention ranks responding genes better than the target's detection does",
    },
    Claim {
        test: "incremental-value/delta-attention",
        side: Side::Above(0.0),
        says: "attention adds to what the two genes' own properties say about a response",
    },
    Claim {
        test: "incremental-value/equivalence-attention",
        side: Side::Shown,
        says: "what attention adds to the two genes' own properties is smaller than 0.005 AUROC",
    },
    Claim {
        test: "incremental-value/delta-correlation",
        side: Side::Above(0.0),
        says: "correlation adds to what the two genes' own properties say about a response",
    },
    Claim {
        test: "coexpression-mapping/coexpression",
        side: Side::Above(0.0),
        says: "attention edges follow co-expression",
    },
    Claim {
        test: "coexpression-mapping/reference-membership",
        side: Side::Above(0.0),
        says: "attention edges follow the reference network",
    },
    Claim {
        test: "coexpression-mapping/mean-product",
        side: Side::Above(0.0),
        says: "attention edges follow the product of the two genes' mean expressions",
    },
    Claim {
        test: "layer-selection/nested-vs-correlation",
        side: Side::Above(0.0),
        says: "a layer chosen on other perturbations beats correlation on held-out ones",
    },
    Claim {
        test: "residualisation/residual-attention",
        side: Side::Above(0.5),
        says: "attention agrees with the reference beyond the two genes' own properties",
    },
    Claim {
        test: "degree-null/curveball",
        side: Side::Above(0.5),
        says: "attention agrees with the reference beyond how many partners its genes have",
    },
    Claim {
        test: "expression-matched/matched-attention",
        side: Side::Above(0.5),
        says: "attention tells reference pairs from pairs of equally expressed genes",
    },
    Claim {
        test: "biology-layers/depth-trrust",
        side: Side::Shown,
        says: "agreement with TRRUST follows depth",
    },
    Claim {
        test: "biology-layers/depth-string-700",
        side: Side::Shown,
        says: "agreement with STRING ≥ 700 follows depth",
    },
    Claim {
        test: "biology-layers/depth-string-900",
        side: Side::Shown,
        says: "agreement with STRING ≥ 900 follows depth",
    },
    Claim {
        test: "biology-layers/depth-reactome",
        side: Side::Shown,
        says: "agreement with Reactome follows depth",
    },
    Claim {
        test: "biology-layers/depth-kegg",
        side: Side::Shown,
        says: "agreement with KEGG follows depth",
    },
    Claim {
        test: "biology-layers/depth-go",
        side: Side::Shown,
        says: "agreement with GO biological process follows depth",
    },
    Claim {
        test: "biology-layers/partial-trrust",
        side: Side::Above(0.0),
        says: "attention follows TRRUST beyond co-expression",
    },
];

/// The statements that a run supports, and those that it does not.
pub(crate) fn derive(
    registry: &CorrectedRegistry,
    criteria: &[Criterion],
    overall: VerdictOutcome,
    simulated: bool,
) -> (Vec<String>, Vec<String>) {
    let (mut may_say, mut may_not_say) = (Vec::new(), Vec::new());
    if simulated {
        may_not_say.push("Anything about living cells: the data are simulated.".to_owned());
    }
    if overall == VerdictOutcome::Pass {
        may_say.push("The attention network carries regulatory information in this context.".to_owned());
    } else {
        let open: Vec<String> = criteria
            .iter()
            .filter(|c| c.outcome != VerdictOutcome::Pass)
            .map(|c| format!("({}) {}", c.id.as_str(), c.outcome.as_str()))
            .collect();
        may_not_say.push(format!(
            "Attention is a gene regulatory network: {}.",
            open.join(", ")
        ));
    }
    for claim in &CLAIMS {
        let Some(row) = registry.row(claim.test) else {
            continue;
        };
        let Some(measured) = row.measured() else { continue };
        let numbers = claim.numbers(row, measured);
        if claim.is_supported(row, measured) {
            may_say.push(sentence_of(&format!("{} ({numbers})", claim.says)));
        } else {
            let why = if claim.is_contradicted(row, measured) {
                "the opposite is shown"
            } else {
                "not shown"
            };
            may_not_say.push(sentence_of(&format!("{}: {why} ({numbers})", claim.says)));
        }
    }
    let used = criteria.iter().find(|c| c.id == CriterionId::D);
    if let Some(used) = used.filter(|c| c.outcome != VerdictOutcome::Pass) {
        may_not_say.push(format!(
            "The model uses what its attention shows. {}",
            used.reason
        ));
    }
    let elsewhere = [
        "context-crispra",
        "context-tcell",
        "context-rpe1",
        "context-neuron",
    ];
    if elsewhere
        .iter()
        .all(|id| registry.analysis(id).all(|row| row.measured().is_none()))
    {
        may_not_say.push(
            "Any of this holds in another cell type, modality or model: only this context was evaluated."
                .to_owned(),
        );
    }
    (may_say, may_not_say)
}

impl Claim {
    fn is_supported(&self, row: &Row, measured: &Measured) -> bool {
        let on_its_side = match self.side {
            Side::Above(null) => measured.effect > null,
            Side::Below(null) => measured.effect < null,
            Side::Shown => true,
        };
        on_its_side && row.significant == Some(true)
    }

    fn is_contradicted(&self, row: &Row, measured: &Measured) -> bool {
        let on_the_other_side = match self.side {
            Side::Above(null) => measured.effect < null,
            Side::Below(null) => measured.effect > null,
            Side::Shown => false,
        };
        on_the_other_side && row.significant == Some(true)
    }

    /// The figures behind the statement, turned so that a positive difference speaks for it.
    fn numbers(&self, row: &Row, measured: &Measured) -> String {
        let turned = matches!(self.side, Side::Below(_));
        let effect = if turned { -measured.effect } else { measured.effect };
        let ci = measured
            .ci
            .map(|(low, high)| if turned { (-high, -low) } else { (low, high) });
        let mut parts = vec![match ci {
            Some((low, high)) => format!("{} {}", significant(effect), interval(low, high)),
            None => significant(effect),
        }];
        parts.extend(
            measured
                .n
                .map(|n| format!("n = {} {}", count(n), plural(&measured.n_unit, n))),
        );
        parts.extend(row.q.map(|q| format!("q = {}", p_value(q, q.ln()))));
        parts.push(row.planned.id.clone());
        parts.join(", ")
    }
}

/// `gene` → `genes`, unless it is one or a plural already.
fn plural(unit: &str, n: u64) -> String {
    if n == 1 || unit.ends_with('s') {
        unit.to_owned()
    } else {
        format!("{unit}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::registry;
    use crate::{Plan, Thresholds, Verdict};

    #[test]
    fn every_claim_rests_on_a_confirmatory_test() {
        for claim in &CLAIMS {
            let test = Plan::embedded().test(claim.test);
            assert_eq!(
                test.map(|t| t.kind),
                Some(crate::Kind::Confirmatory),
                "{}",
                claim.test
            );
        }
    }

    #[test]
    fn a_significant_effect_on_the_wrong_side_supports_nothing() {
        let tests = [
            ("perturbation-first/attention-above-chance", 0.7, 1e-5),
            ("perturbation-first/attention-vs-correlation", -0.1, 1e-5),
            ("gene-baselines/variance-vs-attention", 0.17, 1e-5),
            ("incremental-value/delta-attention", 0.1, 0.8),
        ];
        let verdict = Verdict::reach(&registry(&tests, &[]), &Thresholds::default(), false);
        assert_eq!(
            verdict.may_say,
            [
                "Attention edges of a perturbed gene rank the genes that respond to it above chance (0.7 [0.68, \
                 0.72], n = 49 perturbations, q = 1.3e-5, perturbation-first/attention-above-chance)."
            ]
        );
        let denied = |start: &str| verdict.may_not_say.iter().any(|s| s.starts_with(start));
        assert!(denied(
            "Attention ranks responding genes better than correlation does: the opposite is shown (−0.1 "
        ));
        assert!(denied(
            "Attention adds to what the two genes' own properties say about a response: not shown"
        ));
        assert!(denied("Attention is a gene regulatory network: (a) fail"));
        assert!(!denied("Anything about living cells"));
    }

    #[test]
    fn nothing_is_claimed_of_tests_that_did_not_run() {
        let verdict = Verdict::reach(&registry(&[], &[]), &Thresholds::default(), true);
        assert_eq!(verdict.may_say, [] as [&str; 0]);
        assert_eq!(
            verdict.may_not_say[0],
            "Anything about living cells: the data are simulated."
        );
        assert!(verdict.may_not_say.iter().all(|s| !s.contains("not shown")));
    }
}
