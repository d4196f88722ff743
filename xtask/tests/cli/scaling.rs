//! Several checkpoints on one screen, which is what it takes to speak of models.

use std::path::{Path, PathBuf};

use scfm_core::Column;

use crate::harness::{Bench, cell, fixture, registry};

/// Makes a random Geneformer of the fixture's vocabulary and follows its recovery over samples of cells.
fn run(bench: &Bench, name: &str, seed: &str, more: &[&str]) -> PathBuf {
    let dictionaries = fixture("model");
    let dictionaries = dictionaries.to_str().unwrap();
    let size = ["--layers", "2", "--heads", "2", "--width", "16", "--seed", seed];
    let made = ["init-model", "--dictionaries", dictionaries, "--out", name];
    bench.ok(&[&made[..], &size].concat());
    let out = format!("runs of {name}");
    let evaluate = [
        "evaluate",
        "--cell-type",
        "rpe1",
        "--analyses",
        "scaling",
        "--quiet",
    ];
    let of_model = ["--model", name, "--dictionaries", dictionaries, "--out", &out];
    bench.ok(&[&evaluate[..], &of_model, more].concat());
    bench.run_folder(&out)
}

#[test]
fn six_checkpoints_on_one_screen_are_units_and_fewer_are_not() {
    let bench = Bench::new();
    let others: Vec<PathBuf> = (1..6)
        .map(|seed| run(&bench, &format!("model {seed}"), &seed.to_string(), &[]))
        .collect();
    let names = others.iter().map(|folder| folder.to_str().unwrap());
    let beside: Vec<&str> = std::iter::once("--beside").chain(names).collect();

    let few = registry(&run(&bench, "few", "7", &beside[..5]));
    let reason = cell(&few, "scaling/f1-trrust-falls", "reason");
    assert!(reason.contains('5') && reason.contains('6'), "{reason}");

    let folder = run(&bench, "enough", "8", &beside);
    let enough = registry(&folder);
    for test in ["f1-trrust-falls", "seed-stability-falls", "auroc-direction"] {
        let of = |column| cell(&enough, &format!("scaling/{test}"), column);
        assert_eq!(
            (of("n"), of("n_unit")),
            ("6".into(), "model".into()),
            "{test}: {}",
            of("reason")
        );
    }
    let effect: f64 = cell(&enough, "scaling/auroc-direction", "effect")
        .parse()
        .unwrap();
    let rises = rising(&folder);
    assert!((effect - rises as f64 / 6.0).abs() < 1e-6, "{effect} of {rises}");

    let again = ["evaluate", "--cell-type", "rpe1", "--out", "refused", "--beside"];
    bench.refused(
        &[&again[..], &beside[1..2], &beside[1..2]].concat(),
        &["--beside", "a model counts once"],
    );
    bench.refused(
        &[&again[..], &["model 1"]].concat(),
        &["model 1", "a run folder has one"],
    );
    let of_other_data = [
        "evaluate",
        "--cell-type",
        "t-cell",
        "--out",
        "refused",
        "--beside",
        beside[1],
    ];
    bench.refused(&of_other_data, &["other data"]);
}

/// Models whose AUROC against TRRUST is larger in the largest samples.
fn rising(run: &Path) -> usize {
    let (table, _) = scfm_io::read_table(&run.join("tables/scaling_models.parquet")).unwrap();
    let (Some(Column::F64(small)), Some(Column::F64(large)), Some(Column::Text(reference))) = (
        table.column("auroc_smallest"),
        table.column("auroc_largest"),
        table.column("reference"),
    ) else {
        panic!("{table:?}");
    };
    let rises = |&row: &usize| reference[row].as_deref() == Some("TRRUST") && large[row] > small[row];
    (0..table.n_rows()).filter(rises).count()
}
