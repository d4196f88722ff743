use scfm_stats::{benjamini_hochberg, benjamini_yekutieli, bonferroni, holm};

use crate::{Family, Row};

/// How the families of a run came out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correction {
    /// The false discovery rate, and the family-wise error rate of the stricter procedures.
    pub alpha: f64,
    /// A: all confirmatory tests; the one that decides.
    pub confirmatory: FamilyCount,
    /// B: all tests with a p-value, the as-published ones included.
    pub all: FamilyCount,
    /// C: one primary test per analysis.
    pub primary: FamilyCount,
    /// How many primary tests decide alike in A, B and C.
    pub stable: usize,
}

/// Size of a family and its discoveries, by procedure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FamilyCount {
    /// Tests in the family.
    pub tests: usize,
    /// Those significant after Benjamini and Hochberg's correction, which decides.
    pub significant: usize,
    /// Those after Benjamini and Yekutieli's, which holds under any dependence between the tests.
    pub benjamini_yekutieli: usize,
    /// Those after Holm's, which bounds the probability of a single false one.
    pub holm: usize,
    /// Those after Bonferroni's.
    pub bonferroni: usize,
}

impl Correction {
    /// The share of primary conclusions that are the same in all three families; none where no primary test counts.
    pub fn stable_share(&self) -> Option<f64> {
        (self.primary.tests > 0).then(|| self.stable as f64 / self.primary.tests as f64)
    }

    /// The families with their letters and what they hold, widest last.
    pub fn families(&self) -> [(&'static str, &'static str, FamilyCount); 3] {
        [
            ("A", "all confirmatory tests", self.confirmatory),
            (
                "B",
                "all tests with a p-value, as-published ones included",
                self.all,
            ),
            ("C", "one primary test per analysis", self.primary),
        ]
    }

    /// Corrects `rows` in all three families: fills in `q`, `significant` and `stable` of each.
    pub(crate) fn of(rows: &mut [Row], alpha: f64) -> Self {
        let family = |in_family: &dyn Fn(&Row) -> bool| -> Vec<Option<f64>> {
            rows.iter()
                .map(|row| row.family_p().filter(|_| in_family(row)))
                .collect()
        };
        let confirmatory = family(&|row| row.planned.family == Family::Main);
        let all = family(&|row| {
            matches!(
                row.planned.family,
                Family::Main | Family::AsPublished | Family::None
            )
        });
        let primary = family(&|row| row.planned.family == Family::Main && row.planned.primary);
        let q = adjusted(&confirmatory, benjamini_hochberg);
        let (q_all, q_primary) = (
            adjusted(&all, benjamini_hochberg),
            adjusted(&primary, benjamini_hochberg),
        );
        for (i, row) in rows.iter_mut().enumerate() {
            let decides = |q: Option<f64>| q.map(|q| q <= alpha);
            row.q = q[i];
            row.significant = decides(q[i]);
            row.stable = decides(q_primary[i])
                .map(|alone| Some(alone) == row.significant && Some(alone) == decides(q_all[i]));
        }
        Self {
            alpha,
            confirmatory: FamilyCount::of(&confirmatory, alpha),
            all: FamilyCount::of(&all, alpha),
            primary: FamilyCount::of(&primary, alpha),
            stable: rows.iter().filter(|row| row.stable == Some(true)).count(),
        }
    }
}

impl FamilyCount {
    fn of(p: &[Option<f64>], alpha: f64) -> Self {
        let count = |correct: fn(&[f64]) -> Vec<f64>| {
            let q = adjusted(p, correct);
            q.iter().flatten().filter(|&&q| q <= alpha).count()
        };
        Self {
            tests: p.iter().flatten().count(),
            significant: count(benjamini_hochberg),
            benjamini_yekutieli: count(benjamini_yekutieli),
            holm: count(holm),
            bonferroni: count(bonferroni),
        }
    }
}

/// The corrected p-values of a family; none for rows outside it.
fn adjusted(p: &[Option<f64>], correct: fn(&[f64]) -> Vec<f64>) -> Vec<Option<f64>> {
    let family: Vec<f64> = p.iter().flatten().copied().collect();
    let mut q = correct(&family).into_iter();
    p.iter().map(|p| p.and_then(|_| q.next())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::registry;
    use crate::{Plan, Registry};

    fn counts(tests: usize, by_procedure: [usize; 4]) -> FamilyCount {
        let [significant, benjamini_yekutieli, holm, bonferroni] = by_procedure;
        FamilyCount {
            tests,
            significant,
            benjamini_yekutieli,
            holm,
            bonferroni,
        }
    }

    /// p-values between which each procedure draws its line elsewhere: statsmodels 0.15 rejects 6, 1, 3 and 2 of
    /// them at 0.05 (`multipletests`, methods `fdr_bh`, `fdr_by`, `holm`, `bonferroni`).
    #[test]
    fn procedures_differ_as_in_the_reference() {
        let p = [0.003, 0.008, 0.012, 0.017, 0.023, 0.04].map(Some);
        let of = FamilyCount::of(&p, 0.05);
        assert_eq!(of, counts(6, [6, 1, 3, 2]));
        // The stricter ones find no more than the one that decides.
        assert!(
            of.benjamini_yekutieli <= of.significant && of.bonferroni <= of.holm && of.holm <= of.significant
        );
    }

    #[test]
    fn rows_outside_a_family_change_nothing_in_it() {
        let p = [Some(0.01), None, Some(0.04), None];
        assert_eq!(FamilyCount::of(&p, 0.05), FamilyCount::of(&[p[0], p[2]], 0.05));
        assert_eq!(FamilyCount::of(&[None], 0.05), counts(0, [0; 4]));
    }

    #[test]
    fn a_conclusion_that_rests_on_the_choice_of_family_is_not_stable() {
        // Two primary tests: among one other of their kind 0.03 is significant, among five confirmatory ones not.
        let registry = registry(
            &[
                ("perturbation-first/attention-above-chance", 0.7, 0.03),
                ("gene-baselines/variance-vs-attention", 0.1, 1e-6),
                ("gene-baselines/mean-vs-attention", 0.1, 0.9),
                ("gene-baselines/detection-vs-attention", 0.1, 0.8),
                ("perturbation-first/correlation-above-chance", 0.1, 0.7),
            ],
            &[],
        );
        let stable = |id| registry.row(id).unwrap().stable;
        assert_eq!(stable("perturbation-first/attention-above-chance"), Some(false));
        assert_eq!(stable("gene-baselines/variance-vs-attention"), Some(true));
        // The others are primary tests of nothing.
        assert_eq!(stable("gene-baselines/mean-vs-attention"), None);
        let correction = registry.correction();
        assert_eq!(correction.stable, 1);
        assert_eq!(correction.stable_share(), Some(0.5));
        assert_eq!(correction.primary, counts(2, [2, 2, 2, 1]));
        assert_eq!(correction.confirmatory, counts(5, [1, 1, 1, 1]));
    }

    #[test]
    fn an_undefined_hypothesis_counts_with_one_and_one_that_did_not_run_does_not() {
        let mut open = Registry::declare(Plan::embedded(), "rpe1");
        open.undefined(
            "perturbation-first/attention-above-chance",
            "too few perturbations",
        )
        .unwrap();
        open.not_run("gene-baselines/variance-vs-attention", "no screen")
            .unwrap();
        let closed = open.correct(0.05);
        let correction = closed.correction();
        assert_eq!(correction.confirmatory, counts(1, [0; 4]));
        assert_eq!(correction.primary.tests, 1);
        let row = closed.row("perturbation-first/attention-above-chance").unwrap();
        assert_eq!(
            (row.q, row.significant, row.stable),
            (Some(1.0), Some(false), Some(true))
        );
        // Nothing ran: there is no share of no conclusions.
        let empty = Registry::declare(Plan::embedded(), "rpe1").correct(0.05);
        assert_eq!(empty.correction().stable_share(), None);
    }
}
