//! The trial of the battery, in small.

use std::fs;

use scfm_core::Column;

use crate::harness::{Bench, files};

fn texts(table: &scfm_core::Table, name: &str) -> Vec<String> {
    match table.column(name) {
        Some(Column::Text(values)) => values.iter().map(|v| v.clone().unwrap_or_default()).collect(),
        _ => panic!("no text column {name}"),
    }
}

#[test]
fn networks_of_nothing_fail_those_of_regulation_hold_up_and_a_trial_goes_on_where_it_was() {
    let bench = Bench::new();
    let trial = |out: &str, threads: &str| {
        bench.ok(&[
            "calibrate",
            "--worlds",
            "1",
            "--kinds",
            "no-signal,regulatory",
            "--strengths",
            "50",
            "--out",
            out,
            "--threads",
            threads,
            "--quiet",
        ])
    };
    let printed = trial("one", "2");
    assert!(
        printed.contains("no-signal at 100 %, scgpt: 0 of 1 worlds pass, 1 fail"),
        "{printed}"
    );
    let stored: Vec<_> = files(&bench.path("one"))
        .into_keys()
        .filter(|path| path.components().count() > 1)
        .collect();
    assert_eq!(stored.len(), 3, "{stored:?}");
    let regulatory = stored
        .iter()
        .find(|path| path.to_string_lossy().contains("regulatory-scgpt"))
        .expect("a world of full strength");
    let (table, _) = scfm_io::read_table(&bench.path("one").join(regulatory)).unwrap();
    let (tests, outcomes) = (texts(&table, "test"), texts(&table, "outcome"));
    let outcome = |id: &str| &outcomes[tests.iter().position(|test| test == id).expect(id)];
    // Attention beats gene-level features and adds to them, stays without them, and its heads are needed.
    for criterion in ["verdict/a", "verdict/b", "verdict/c", "verdict/d", "verdict"] {
        assert_eq!(outcome(criterion), "pass", "{criterion}");
    }

    // A world that is lost is made again with the same bytes, whatever the threads.
    let undisturbed = files(&bench.path("one"));
    fs::remove_file(bench.path("one").join(regulatory)).unwrap();
    trial("one", "1");
    assert!(
        files(&bench.path("one")) == undisturbed,
        "a trial that went on differs"
    );
    let table = scfm_io::read_table(&bench.path("one/calibration.parquet"))
        .unwrap()
        .0;
    assert!(table.n_rows() > 100, "{} rows", table.n_rows());
}

#[test]
fn a_trial_of_nothing_is_refused() {
    let bench = Bench::new();
    bench.refused(&["calibrate", "--worlds", "0"], &["--worlds", "at least one"]);
    bench.refused(
        &["calibrate", "--strengths", "100"],
        &["--strengths", "from 1 to 99"],
    );
}
