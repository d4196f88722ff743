//! Every context with an embedded screen runs through.

use std::fs;

use crate::harness::Bench;

#[test]
fn every_embedded_context_reaches_a_verdict() {
    let bench = Bench::new();
    for (arguments, name) in [
        (&["--cell-type", "k562"][..], "k562"),
        (&["--cell-type", "k562", "--modality", "crispra"], "k562-crispra"),
        (&["--cell-type", "t-cell"], "t-cell"),
        (&["--context", "ipsc-neuron"], "ipsc-neuron"),
    ] {
        let printed = bench.ok(&[&["evaluate", "--out", name, "--quiet"], arguments].concat());
        assert!(
            printed.starts_with(&format!("embedded fixture of {name}: simulated")),
            "{printed}"
        );
        assert!(printed.contains("verdict"), "{printed}");
        let run = bench.run_folder(name);
        let verdict = fs::read_to_string(run.join("verdict.json")).unwrap();
        assert!(verdict.contains("\"simulated\": true"), "{verdict}");

        // The perturbed genes' own expression moves the way of the modality.
        let (table, _) = scfm_io::read_table(&run.join("tables/perturbations.parquet")).unwrap();
        let own: Vec<f64> = match table.column("self_lfc").unwrap() {
            scfm_core::Column::F64(values) => values.iter().flatten().copied().collect(),
            other => panic!("{other:?}"),
        };
        let up = own.iter().filter(|&&lfc| lfc > 0.0).count();
        let share = up as f64 / own.len() as f64;
        assert!(
            own.len() > 40
                && if name == "k562-crispra" {
                    share > 0.95
                } else {
                    share < 0.05
                },
            "{name}: {up} of {} go up",
            own.len()
        );
    }
}
