//! The table of `oracles.md`, made of the golden cases.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use crate::{Golden, Kind};

/// Deviations below this are roundings, which other processors and mathematics libraries place differently.
const ROUNDING: f64 = 1e-14;

/// Compares the committed table with the measured one, or writes it where `UPDATE_ORACLES` is set.
///
/// # Panics
/// Where they differ.
pub(crate) fn check(golden: &Golden) {
    let table = table(golden);
    if std::env::var_os("UPDATE_ORACLES").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracles.md");
        std::fs::write(&path, table).expect("the folder of the crate can be written");
        return;
    }
    let committed = include_str!("../../oracles.md");
    assert!(
        same(committed, &table),
        "oracles.md is not what was measured; write it with UPDATE_ORACLES=1. Measured:\n{table}"
    );
}

/// Whether all is the same but for deviations, which may be a power of ten apart: processors with and without fused
/// multiplication round differently, and a deviation may lie at a power of ten.
fn same(committed: &str, measured: &str) -> bool {
    let magnitude = |cell: &str| -> Option<i32> { cell.trim().strip_prefix("1e-")?.parse().ok() };
    let close = |a: &str, b: &str| match (magnitude(a), magnitude(b)) {
        (Some(a), Some(b)) => (a - b).abs() <= 1,
        _ => a == b,
    };
    let cells = |table: &str| table.split('|').map(str::to_owned).collect::<Vec<_>>();
    let (committed, measured) = (cells(committed), cells(measured));
    committed.len() == measured.len() && committed.iter().zip(&measured).all(|(a, b)| close(a, b))
}

#[test]
fn tables_differ_by_more_than_a_rounding() {
    let row = "| a | b | 3 | 1e-13 |  | 1e-9 |\n";
    for (other, expected) in [
        ("| a | b | 3 | 1e-14 |  | 1e-9 |\n", true),
        ("| a | b | 3 | 1e-13 |  | 1e-11 |\n", false),
        ("| a | b | 4 | 1e-13 |  | 1e-9 |\n", false),
        ("| a | b | 3 | 1e-13 | 1e-14 | 1e-9 |\n", false),
        ("| a | b | 3 | 1e-13 |  | 1e-9 |\n| c |", false),
    ] {
        assert_eq!(same(row, other), expected, "{other}");
    }
}

fn table(golden: &Golden) -> String {
    let mut rows: BTreeMap<&str, (usize, BTreeMap<Kind, f64>)> = BTreeMap::new();
    for case in &golden.cases {
        let (n, largest) = rows.entry(&case.function).or_default();
        *n += 1;
        for (kind, deviation) in case.deviations() {
            let of_kind: &mut f64 = largest.entry(kind).or_default();
            *of_kind = of_kind.max(deviation);
        }
    }
    let versions: Vec<String> = golden
        .versions
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    let mut table = format!(
        "## Oracles\n\n\
         What each function was compared with, on how many inputs, and the largest deviation found, rounded up to a power\n\
         of ten: relative ones of p against every alternative that the function has, absolute ones below 1 and relative\n\
         ones above of statistics, effects and interval ends. Deviations below 1e-14 are shown as that. Where p is far\n\
         below the smallest float, the last bit of its logarithm is what deviates. The table is written and checked by\n\
         `tests/golden`, where the generator of the inputs lies, too.\n\n\
         Versions: {}.\n\n\
         | item | oracle | cases | statistic | interval | p |\n\
         | --- | --- | ---: | ---: | ---: | ---: |\n",
        versions.join(", "),
    );
    for (function, (n, largest)) in rows {
        let [statistic, interval, p] = [Kind::Statistic, Kind::Interval, Kind::P]
            .map(|kind| largest.get(&kind).map_or_else(String::new, shown));
        let item = match function {
            "t_tail" => "tail of Student's t".to_owned(),
            "partial_spearman" => {
                "[`RankCovariates::partial_spearman`](crate::RankCovariates::partial_spearman)".to_owned()
            }
            "bca" => "[`Bootstrap::bca`](crate::Bootstrap::bca)".to_owned(),
            name => format!("[`{name}`](crate::{name})"),
        };
        let oracle = &golden.oracles[function];
        writeln!(
            table,
            "| {item} | {oracle} | {n} | {statistic} | {interval} | {p} |"
        )
        .expect("strings take text");
    }
    table
}

/// The next power of ten.
fn shown(deviation: &f64) -> String {
    let mut power = ROUNDING;
    let mut exponent = -14;
    while power < *deviation {
        exponent += 1;
        power = 10f64.powi(exponent);
    }
    format!("1e{exponent}")
}
