use std::process::{Command, Stdio};

use crate::harness::{Bench, fixture};

#[test]
fn inspect_names_what_would_be_taken_for_what() {
    let bench = Bench::new();
    let printed = bench.ok(&["inspect", fixture("rpe1/screen.h5ad").to_str().unwrap()]);
    for words in [
        "3080 cells × 300 genes",
        "raw counts: X",
        "perturbations: perturbation",
        "1000 control cells",
    ] {
        assert!(printed.contains(words), "no {words:?} in\n{printed}");
    }
    let networks = fixture("../crates/scfm-io/tests/golden/networks.h5ad");
    let printed = bench.ok(&["inspect", networks.to_str().unwrap()]);
    assert!(
        printed.contains("uns/grn, uns/method/columns, uns/record_array, varp/GRN"),
        "{printed}"
    );
    let printed = bench.ok(&["inspect", fixture("model").to_str().unwrap()]);
    assert!(printed.contains("4 layers × 4 heads"), "{printed}");
}

#[test]
fn output_that_nobody_reads_ends_the_program_without_a_word() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["inspect", fixture("rpe1/screen.h5ad").to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
