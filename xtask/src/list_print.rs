//! What `score` prints.

use std::path::Path;

use anyhow::Result;
use scfm_core::{Column, Table};
use scfm_grn::{CandidateUniverse, DegreeNull, EdgeList, thousands};
use scfm_io::ReadLimits;
use scfm_stats::Undefined;

use crate::args::NetworkOptions;
use crate::list_audit::Judgement;
use crate::lists::{self, ListFile};

/// What was found against one reference; the two numbers count candidates and reference pairs before
/// those without a score were left out.
pub fn judgement(
    name: &str,
    (n_candidates, n_positives): (usize, usize),
    universe: &CandidateUniverse,
    judgement: &Judgement,
    degrees: Option<&DegreeNull>,
) {
    println!("\n{name}");
    let line = |what: &str, value: String| println!("  {what:<24} {value}");
    for step in universe.ledger().steps() {
        if step.subject != "candidate pairs" {
            line(&step.reason, thousands(step.count as usize));
        }
    }
    let recovery = &judgement.recovery;
    line(
        "candidates",
        format!(
            "{} pairs of {} TFs, {} in the reference",
            thousands(n_candidates),
            thousands(universe.tfs().len()),
            thousands(n_positives)
        ),
    );
    line(
        "ranked",
        format!(
            "{} pairs, {} in the reference",
            thousands(recovery.n_pairs),
            thousands(recovery.n_pos)
        ),
    );
    let show = |value: &Result<f64, Undefined>| match value {
        Ok(value) => format!("{value:.4}"),
        Err(reason) => reason.to_string(),
    };
    line("AUROC", show(&recovery.auroc));
    line(
        "AUPRC",
        match &recovery.average_precision {
            Ok(precision) => format!("{:.4} (base rate {:.4})", precision.value, precision.base_rate),
            Err(reason) => reason.to_string(),
        },
    );
    line("early precision ratio", show(&recovery.early_precision_ratio));
    for top in recovery.top_k.iter().flatten() {
        line(
            &format!("F1 of the best {}", thousands(top.k)),
            format!("{:.4} (at most {:.4})", top.f1, top.f1_ceiling),
        );
    }
    line(
        "TF × target",
        match &judgement.crossed {
            Ok(crossed) => {
                let ci = crossed
                    .test
                    .ci
                    .map(|ci| format!(" [{:.4}, {:.4}]", ci.low, ci.high));
                format!(
                    "mean AUROC over {} TFs {:.4}{}, p = {}",
                    judgement.n_tfs,
                    crossed.mean,
                    ci.unwrap_or_default(),
                    crossed.test.p
                )
            }
            Err(reason) => undecided(reason),
        },
    );
    if let Ok(permutation) = &judgement.permutation {
        line(
            "gene permutation",
            format!("any association: p = {}", permutation.p),
        );
    }
    let Some(null) = degrees else { return };
    line(
        "degree null",
        match &null.test {
            Ok(test) => format!(
                "0.5 {:+.4} from degrees {:+.4} beyond them, z = {}, p = {}",
                null.degree_share(),
                null.residual_share(),
                null.z
                    .as_ref()
                    .map_or_else(ToString::to_string, |z| format!("{z:.2}")),
                test.p
            ),
            Err(reason) => undecided(reason),
        },
    );
}

/// A reason that says of itself that nothing is decided, or is made to.
fn undecided(reason: &Undefined) -> String {
    let reason = reason.to_string();
    if reason.starts_with("not decidable") {
        reason
    } else {
        format!("not decidable: {reason}")
    }
}

/// The figures of BEELINE.
pub fn beeline(list: &EdgeList, references: &Path) -> Result<()> {
    for reference in lists::read_references(references)? {
        let found = scfm_grn::beeline(list, &reference.network)?;
        let mut table = Table::new(1);
        for (name, value) in [
            ("auroc", &found.auroc),
            ("auprc", &found.auprc),
            ("average_precision", &found.average_precision),
        ] {
            table.push(name, Column::numbers([value.clone().unwrap_or(f64::NAN)]))?;
        }
        println!(
            "{} against {} by BEELINE: {} genes, {} pairs, {} in the reference",
            list.name(),
            reference.network.name(),
            found.n_genes,
            thousands(found.n_pairs),
            thousands(found.n_pos)
        );
        print_row(&table);
    }
    Ok(())
}

/// The figures of DREAM5.
pub fn dream5(list: &EdgeList, references: &Path, limits: &ReadLimits) -> Result<()> {
    let gold = ListFile::read(references, &NetworkOptions::default(), limits)?.list;
    let found = scfm_grn::dream5(list, &gold)?;
    println!(
        "{} against {} by DREAM5: {} pairs judged, {} in the reference, {} listed",
        list.name(),
        gold.name(),
        thousands(found.n_gold),
        thousands(found.n_pos),
        thousands(found.n_listed)
    );
    let table = Table::new(1)
        .with("auroc", Column::numbers([found.auroc.unwrap_or(f64::NAN)]))?
        .with("aupr", Column::numbers([found.aupr.unwrap_or(f64::NAN)]))?;
    print_row(&table);
    Ok(())
}

fn print_row(table: &Table) {
    for (name, column) in table.columns() {
        println!("  {name:<18} {}", column.display(0));
    }
}
