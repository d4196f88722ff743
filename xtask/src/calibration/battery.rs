//! One world through the whole program: what each of its tests came to, and the verdict.

use std::path::Path;

use anyhow::{Context as _, Result};
use scfm_core::{Column, Orientation, Seeds, Table};
use scfm_io::{Backend, ReadLimits};
use scfm_report::{Kind, Thresholds, Verdict};

use super::{Truth, World, worlds};
use crate::analyses;
use crate::commands::evaluate::{Order, prepare};
use crate::conclusion::find;
use crate::progress::Progress;

/// Analyses that no world says anything of: simulations of their own, and what parts of a transformer leave of an effect, which is
/// nothing to ask where predictions need no parts and never 0 where they do.
const LEFT_OUT: &[&str] = &["mediation-bias", "cssi-synthetic", "cssi-structured"];
/// Those of numbers of cells and of cell states, which a planted model does not know: where attention says nothing they find
/// nothing, elsewhere there is nothing that they should find.
const OF_CELLS: &[&str] = &["scaling", "cssi-attention"];

/// What a world came to, as it is stored: `test, outcome, reason, p, significant, effect, ci_low, ci_high`, a row for each test that
/// has a p-value or a place in the family, for each criterion (`verdict/a`) and for the verdict.
pub struct Judged(pub Table);

/// Makes a world in `folder`, evaluates it there and says what it came to.
pub fn evaluate(world: &World, seeds: Seeds, folder: &Path) -> Result<Judged> {
    carry_out(world, seeds, folder).with_context(|| format!("world {world}"))
}

fn carry_out(world: &World, seeds: Seeds, folder: &Path) -> Result<Judged> {
    let inputs = worlds::make(world, seeds, folder)?;
    let of_cells = match world.truth {
        Truth::NoSignal => &[][..],
        _ => OF_CELLS,
    };
    let left_out = LEFT_OUT.iter().chain(of_cells).map(|id| format!("-{id}"));
    let order = Order {
        chosen: analyses::select(&left_out.collect::<Vec<_>>())?,
        // What tests draw at random is drawn anew for each world.
        seed: seeds.root() + 1 + world.index as u64,
        orientation: Orientation::Query,
        limits: ReadLimits {
            memory_budget: 1 << 30,
            backend: Backend::Pure,
        },
        out: folder,
        resume: false,
        others: Default::default(),
        beside: &[],
        dry_run: false,
    };
    let quiet = Progress::new(true);
    let (run, record) = prepare(&inputs, &order, quiet)?.context("a run that is no estimate")?;
    let registry = find(&run, &record, quiet)?
        .registry
        .correct(inputs.context.parameters.alpha);
    let verdict = Verdict::reach(&registry, &Thresholds::default(), true);

    let mut rows = Rows::default();
    for row in registry.rows() {
        let measured = row.measured();
        let p = row.family_p();
        if p.is_none() && row.planned.kind != Kind::Confirmatory {
            continue;
        }
        rows.test.push(row.planned.id.clone());
        rows.outcome
            .push(if measured.is_some() { "ran" } else { "no value" }.to_owned());
        rows.reason.push(row.reason().map(str::to_owned));
        rows.p.push(measured.and_then(|m| m.p).unwrap_or(f64::NAN));
        rows.significant.push(row.significant);
        rows.effect.push(measured.map_or(f64::NAN, |m| m.effect));
        let ci = measured.and_then(|m| m.ci).unwrap_or((f64::NAN, f64::NAN));
        rows.ci_low.push(ci.0);
        rows.ci_high.push(ci.1);
    }
    for criterion in &verdict.criteria {
        rows.verdict(
            &format!("verdict/{}", criterion.id.as_str()),
            criterion.outcome.as_str(),
            Some(criterion.reason.clone()),
        );
    }
    rows.verdict("verdict", verdict.outcome.as_str(), None);
    rows.table().map(Judged)
}

#[derive(Default)]
struct Rows {
    test: Vec<String>,
    outcome: Vec<String>,
    reason: Vec<Option<String>>,
    p: Vec<f64>,
    significant: Vec<Option<bool>>,
    effect: Vec<f64>,
    ci_low: Vec<f64>,
    ci_high: Vec<f64>,
}

impl Rows {
    fn verdict(&mut self, name: &str, outcome: &str, reason: Option<String>) {
        self.test.push(name.to_owned());
        self.outcome.push(outcome.to_owned());
        self.reason.push(reason);
        self.significant.push(None);
        for column in [&mut self.p, &mut self.effect, &mut self.ci_low, &mut self.ci_high] {
            column.push(f64::NAN);
        }
    }

    fn table(self) -> Result<Table> {
        Ok(Table::new(self.test.len())
            .with("test", Column::text(self.test))?
            .with("outcome", Column::text(self.outcome))?
            .with("reason", Column::Text(self.reason))?
            .with("p", Column::numbers(self.p))?
            .with("significant", Column::Bool(self.significant))?
            .with("effect", Column::numbers(self.effect))?
            .with("ci_low", Column::numbers(self.ci_low))?
            .with("ci_high", Column::numbers(self.ci_high))?)
    }
}
