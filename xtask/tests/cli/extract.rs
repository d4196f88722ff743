use std::fs;

use crate::harness::{Bench, fixture};

#[test]
fn extract_writes_the_chosen_layers_over_the_chosen_genes() {
    let bench = Bench::new();
    let genes: Vec<String> = {
        let (table, _) = fixture_genes();
        table.into_iter().take(20).collect()
    };
    fs::write(bench.path("genes.txt"), genes.join("\n")).unwrap();
    let (data, model) = (fixture("rpe1/screen.h5ad"), fixture("model"));
    let arguments = [
        "extract",
        "--data",
        data.to_str().unwrap(),
        "--model",
        model.to_str().unwrap(),
        "--genes",
        "genes.txt",
    ];
    bench.ok(&[
        &arguments[..],
        &["--layers", "1", "--cells", "50", "--out", "query", "--quiet"],
    ]
    .concat());
    bench.ok(&[
        &arguments[..],
        &[
            "--layers",
            "1",
            "--cells",
            "50",
            "--out",
            "key",
            "--orientation",
            "key",
            "--quiet",
        ],
    ]
    .concat());
    let (query, metadata) = scfm_io::read_edges(&bench.path("query/attention-L1.parquet")).unwrap();
    let (key, _) = scfm_io::read_edges(&bench.path("key/attention-L1.parquet")).unwrap();
    assert_eq!(query.sources().len(), 20);
    for (a, b) in query.scores().iter().zip(key.scores().t()) {
        assert!(
            a == b || (a.is_nan() && b.is_nan()),
            "the other orientation is the transpose"
        );
    }
    let orientation = metadata
        .iter()
        .find(|(name, _)| name == "scfm.orientation")
        .unwrap();
    assert_eq!(orientation.1, "source = query row, target = key column");
    assert!(!bench.path("query/attention-L0.parquet").exists());
}

fn fixture_genes() -> (Vec<String>, usize) {
    let file = scfm_io::H5ad::open(&fixture("rpe1/screen.h5ad"), &scfm_io::ReadLimits::default()).unwrap();
    let genes = file.var().unwrap().index().unwrap();
    let n = genes.len();
    (genes, n)
}
