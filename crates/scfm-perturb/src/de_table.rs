use std::f64::consts::LN_2;
use std::ops::Range;

use ndarray::{Array2, ArrayView2, Axis};
use scfm_core::{Column, GeneId, Ledger, Panel, Responses, Table};

use crate::de::{Called, corrected};
use crate::{DeParams, Error};

/// Differential expression of every perturbation × panel gene.
#[derive(Debug, Clone)]
pub struct DeTable {
    perturbed: Panel,
    genes: Panel,
    params: DeParams,
    n_cells: Vec<usize>,
    remaining: Vec<f64>,
    control_mean: Array2<f64>,
    mean: Array2<f64>,
    statistic: Array2<f64>,
    p: Array2<f64>,
    q: Array2<f64>,
    ledger: Ledger,
}

/// What a perturbation did to the expression of its own gene.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SelfEffect {
    /// Mean expression in perturbed cells minus that in control cells, natural log.
    pub lfc: f64,
    /// The test statistic, `NaN` where the test has no value.
    pub statistic: f64,
    /// The p-value of the test, `NaN` where it has none.
    pub p: f64,
    /// Mean counts per 10,000 in perturbed cells over those in control cells: the share of its expression that the
    /// gene keeps. `NaN` where control cells do not express it.
    pub remaining: f64,
}

impl SelfEffect {
    /// By which share the gene's expression moved the expected way; negative where it moved the other way.
    fn strength(&self, expected: Direction) -> f64 {
        match expected {
            Direction::Down => 1.0 - self.remaining,
            Direction::Up => self.remaining - 1.0,
        }
    }
}

/// Where a modality moves the expression of the perturbed gene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Interference, and knock-out by decay of the broken transcript.
    Down,
    /// Activation.
    Up,
}

/// How many of the perturbations whose own gene was measured moved it as they should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnockdownCheck {
    /// Perturbations whose own gene moved in the expected direction with p below the level of the screen.
    pub n_moved: usize,
    /// Perturbations whose own gene is in the panel.
    pub n_measured: usize,
}

impl DeTable {
    pub(crate) fn new(
        genes: Panel,
        params: DeParams,
        called: Vec<Called>,
        too_few: &[(GeneId, usize)],
    ) -> Result<Self, Error> {
        let perturbed = Panel::new(called.iter().map(|c| c.perturbed.clone()))?;
        let mut ledger = Ledger::new();
        let reason = format!("fewer than {} cells", params.min_cells);
        let examples = too_few.iter().map(|(gene, n)| format!("{gene} ({n})"));
        ledger.lost("perturbations", reason, too_few.len() as u64, examples);
        let outside: Vec<_> = perturbed
            .genes()
            .iter()
            .filter(|g| !genes.contains(g.as_str()))
            .collect();
        ledger.lost(
            "knock-down checks",
            "perturbed gene not in the panel",
            outside.len() as u64,
            outside,
        );
        ledger.kept("perturbations", perturbed.len() as u64);

        let n_cells = called.iter().map(|c| c.n_cells).collect();
        let remaining = called.iter().map(|c| c.remaining).collect();
        let [mut mean, mut control_mean, mut statistic, mut p, mut q] = [const { Vec::new() }; 5];
        // Each perturbation is freed once it is copied, so that the screen is not held twice.
        for called in called {
            mean.extend(called.mean);
            control_mean.extend(called.control_mean);
            statistic.extend(called.statistic);
            p.extend(called.p);
            q.extend(called.q);
        }
        let shape = (perturbed.len(), genes.len());
        let array =
            |values| Array2::from_shape_vec(shape, values).expect("one value per perturbation and gene");
        Ok(Self {
            mean: array(mean),
            control_mean: array(control_mean),
            statistic: array(statistic),
            p: array(p),
            q: array(q),
            n_cells,
            remaining,
            perturbed,
            genes,
            params,
            ledger,
        })
    }

    /// Notes the cells that have no one to be compared with in their stratum.
    pub(crate) fn note_strata(&mut self, n_outside: usize, alone: &[(GeneId, usize)]) {
        self.ledger
            .lost("control cells", "no stratum", n_outside as u64, [] as [&str; 0]);
        self.ledger.lost(
            "perturbed cells",
            "fewer than two of them or of the control cells in their stratum",
            alone.iter().map(|(_, n)| *n as u64).sum(),
            alone.iter().map(|(gene, n)| format!("{gene} ({n})")),
        );
    }

    /// The perturbed genes, one per row.
    pub fn perturbed(&self) -> &Panel {
        &self.perturbed
    }

    /// The tested genes, one per column.
    pub fn genes(&self) -> &Panel {
        &self.genes
    }

    /// How positives are called.
    pub fn params(&self) -> DeParams {
        self.params
    }

    /// Number of cells of each perturbation.
    pub fn n_cells(&self) -> &[usize] {
        &self.n_cells
    }

    /// Mean expression in perturbed minus control cells, natural log; within strata, where the screen has them.
    ///
    /// # Panics
    /// When a position lies outside the table.
    pub fn lfc(&self, perturbation: usize, gene: usize) -> f64 {
        self.mean[[perturbation, gene]] - self.control_mean[[perturbation, gene]]
    }

    /// Test statistics, `[perturbation, gene]`, `NaN` where the test has no value.
    pub fn statistic(&self) -> ArrayView2<'_, f64> {
        self.statistic.view()
    }

    /// P-values, `[perturbation, gene]`, `NaN` where the test has none.
    pub fn p(&self) -> ArrayView2<'_, f64> {
        self.p.view()
    }

    /// Benjamini-Hochberg q-values within each perturbation, `[perturbation, gene]`.
    pub fn q(&self) -> ArrayView2<'_, f64> {
        self.q.view()
    }

    /// Whether any perturbed or control cell has a count of the gene.
    pub(crate) fn is_expressed(&self, perturbation: usize, gene: usize) -> bool {
        self.mean[[perturbation, gene]] > 0.0 || self.control_mean[[perturbation, gene]] > 0.0
    }

    /// Whether a gene is called: |LFC| above the threshold and q below alpha.
    ///
    /// # Panics
    /// When a position lies outside the table.
    pub fn is_positive(&self, perturbation: usize, gene: usize) -> bool {
        self.lfc(perturbation, gene).abs() > self.params.min_lfc
            && self.q[[perturbation, gene]] < self.params.alpha
    }

    /// The same tests called at another threshold of |LFC| and another level; nothing is computed again.
    ///
    /// # Errors
    /// [`Error::Parameter`] outside its range.
    pub fn with_thresholds(mut self, min_lfc: f64, alpha: f64) -> Result<Self, Error> {
        self.params = DeParams {
            min_lfc,
            alpha,
            ..self.params
        };
        self.params.check()?;
        Ok(self)
    }

    /// The calls as labels of the candidate targets of each perturbation.
    pub fn responses(&self) -> Responses {
        let positive = Array2::from_shape_fn(self.p.dim(), |(p, g)| self.is_positive(p, g));
        Responses::new(self.perturbed.clone(), self.genes.clone(), positive)
            .expect("rows are perturbations and columns genes")
    }

    /// What each perturbation did to its own gene; `None` where that gene is not in the panel.
    pub fn self_effects(&self) -> Vec<Option<SelfEffect>> {
        self.perturbed
            .genes()
            .iter()
            .enumerate()
            .map(|(row, gene)| {
                self.genes.position(gene.as_str()).map(|column| SelfEffect {
                    lfc: self.lfc(row, column),
                    statistic: self.statistic[[row, column]],
                    p: self.p[[row, column]],
                    remaining: self.remaining[row],
                })
            })
            .collect()
    }

    /// How many perturbations moved their own gene in the expected direction. Knock-out leaves the transcript in
    /// place more often than interference does, so a small share there is no proof of failure.
    pub fn knockdown_check(&self, expected: Direction) -> KnockdownCheck {
        let measured: Vec<SelfEffect> = self.self_effects().into_iter().flatten().collect();
        let moved = |effect: &&SelfEffect| {
            let right_way = match expected {
                Direction::Down => effect.lfc < 0.0,
                Direction::Up => effect.lfc > 0.0,
            };
            right_way && effect.p < self.params.alpha
        };
        KnockdownCheck {
            n_moved: measured.iter().filter(moved).count(),
            n_measured: measured.len(),
        }
    }

    /// The perturbations whose own gene is measured and expressed but did not move by the share `least` in the
    /// expected direction: 0.3 asks that expression falls by 30 %, or rises by 30 %.
    pub fn weak_knockdowns(&self, expected: Direction, least: f64) -> Vec<GeneId> {
        let effects = self.self_effects();
        let genes = self.perturbed.genes().iter().zip(effects);
        genes
            .filter(|(_, effect)| effect.is_some_and(|effect| effect.strength(expected) < least))
            .map(|(gene, _)| gene.clone())
            .collect()
    }

    /// The table without some perturbations, which the ledger counts for `reason`. Corrections run within
    /// perturbations, so that no q changes.
    pub fn without(mut self, left_out: &[GeneId], reason: impl Into<String>) -> Self {
        let genes = self.perturbed.genes();
        let kept: Vec<usize> = (0..genes.len())
            .filter(|&row| !left_out.contains(&genes[row]))
            .collect();
        let lost: Vec<&GeneId> = genes.iter().filter(|gene| left_out.contains(gene)).collect();
        self.ledger.lost("perturbations", reason, lost.len() as u64, lost);
        self.ledger.kept("perturbations", kept.len() as u64);
        self.perturbed =
            Panel::new(kept.iter().map(|&row| genes[row].clone())).expect("a part of distinct genes");
        self.n_cells = kept.iter().map(|&row| self.n_cells[row]).collect();
        self.remaining = kept.iter().map(|&row| self.remaining[row]).collect();
        for array in [
            &mut self.control_mean,
            &mut self.mean,
            &mut self.statistic,
            &mut self.p,
            &mut self.q,
        ] {
            *array = array.select(Axis(0), &kept);
        }
        self
    }

    /// The table of some of its genes, corrected anew, as if no other had been tested; genes that it lacks are left out.
    /// The test of a gene does not depend on the others, but the correction does.
    pub fn restricted_to(&self, genes: &Panel) -> Self {
        let kept: Vec<usize> = genes
            .genes()
            .iter()
            .filter_map(|gene| self.genes.position(gene.as_str()))
            .collect();
        let columns = |array: &Array2<f64>| array.select(Axis(1), &kept);
        let p = columns(&self.p);
        let mut q = p.clone();
        for mut row in q.rows_mut() {
            let corrected = corrected(row.iter().copied());
            row.assign(&ndarray::Array1::from(corrected));
        }
        Self {
            genes: Panel::new(kept.iter().map(|&column| self.genes.gene(column).clone()))
                .expect("a part of distinct genes"),
            control_mean: columns(&self.control_mean),
            mean: columns(&self.mean),
            statistic: columns(&self.statistic),
            perturbed: self.perturbed.clone(),
            params: self.params,
            n_cells: self.n_cells.clone(),
            remaining: self.remaining.clone(),
            ledger: self.ledger.clone(),
            p,
            q,
        }
    }

    /// Perturbations that were left out, by reason.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The long table of some perturbations, source-major: `perturbation, gene, lfc, log2_fc, mean_control,
    /// mean_perturbed, statistic, p, q, positive`. Whoever writes a large screen asks for a few at a time. Within
    /// strata the means are weighted as the test weighs them.
    ///
    /// # Panics
    /// When a perturbation lies outside the table.
    pub fn to_table(&self, perturbations: Range<usize>) -> Table {
        let pairs = || {
            perturbations
                .clone()
                .flat_map(|p| (0..self.genes.len()).map(move |g| (p, g)))
        };
        let numbers =
            |value: &dyn Fn(usize, usize) -> f64| Column::numbers(pairs().map(|(p, g)| value(p, g)));
        let columns = [
            (
                "perturbation",
                Column::text(pairs().map(|(p, _)| self.perturbed.gene(p))),
            ),
            ("gene", Column::text(pairs().map(|(_, g)| self.genes.gene(g)))),
            ("lfc", numbers(&|p, g| self.lfc(p, g))),
            ("log2_fc", numbers(&|p, g| self.lfc(p, g) / LN_2)),
            ("mean_control", numbers(&|p, g| self.control_mean[[p, g]])),
            ("mean_perturbed", numbers(&|p, g| self.mean[[p, g]])),
            ("statistic", numbers(&|p, g| self.statistic[[p, g]])),
            ("p", numbers(&|p, g| self.p[[p, g]])),
            ("q", numbers(&|p, g| self.q[[p, g]])),
            (
                "positive",
                Column::flags(pairs().map(|(p, g)| self.is_positive(p, g))),
            ),
        ];
        table(perturbations.len() * self.genes.len(), columns)
    }

    /// One row per perturbation: `perturbation, n_cells, n_positive, self_lfc, self_log2_fc, self_statistic,
    /// self_p, self_remaining`; the perturbed gene does not count among its own positives.
    pub fn perturbation_table(&self) -> Table {
        let effects = self.self_effects();
        let effect = |value: fn(&SelfEffect) -> f64| {
            Column::numbers(effects.iter().map(|e| e.as_ref().map_or(f64::NAN, value)))
        };
        let n_positive = (0..self.perturbed.len()).map(|p| {
            (0..self.genes.len())
                .filter(|&g| self.is_positive(p, g) && self.genes.gene(g) != self.perturbed.gene(p))
                .count()
        });
        let columns = [
            ("perturbation", Column::text(self.perturbed.genes())),
            ("n_cells", Column::counts(self.n_cells.iter().copied())),
            ("n_positive", Column::counts(n_positive)),
            ("self_lfc", effect(|e| e.lfc)),
            ("self_log2_fc", effect(|e| e.lfc / LN_2)),
            ("self_statistic", effect(|e| e.statistic)),
            ("self_p", effect(|e| e.p)),
            ("self_remaining", effect(|e| e.remaining)),
        ];
        table(self.perturbed.len(), columns)
    }
}

pub(crate) fn table(n_rows: usize, columns: impl IntoIterator<Item = (&'static str, Column)>) -> Table {
    columns
        .into_iter()
        .fold(Table::new(n_rows), |table, (name, column)| {
            table
                .with(name, column)
                .expect("names differ and columns have a value per row")
        })
}
