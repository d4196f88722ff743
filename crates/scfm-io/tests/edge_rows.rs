//! Scored pairs from Parquet files of other programs.

use scfm_core::{Column, EdgeKind, EdgeMatrix, Panel, Table};
use scfm_io::{Error, is_parquet, read_edge_rows, write_edges, write_table};

fn by_name(names: &[&str]) -> Option<[usize; 3]> {
    let find = |name| names.iter().position(|n| *n == name);
    Some([find("tf")?, find("gene")?, find("importance")?])
}

fn table(scores: Column) -> Table {
    Table::new(3)
        .with("importance", scores)
        .unwrap()
        .with("gene", Column::text(["IRF1", "STAT1", "IRF1"]))
        .unwrap()
        .with("tf", Column::text(["STAT1", "IRF1", "JAK2"]))
        .unwrap()
}

#[test]
fn rows_keep_their_order_and_missing_scores_stay_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list.parquet");
    let scores = Column::F64(vec![Some(2.0), None, Some(-1.5)]);
    write_table(
        &path,
        &table(scores),
        &[("scfm.simulated".to_owned(), "true".to_owned())],
    )
    .unwrap();
    assert!(is_parquet(&path).unwrap());
    let rows = read_edge_rows(&path, by_name).unwrap();
    assert_eq!(rows.columns, ["tf", "gene", "importance"]);
    let named: Vec<_> = rows
        .rows
        .iter()
        .map(|&(s, t, score)| {
            (
                rows.genes[s as usize].as_str(),
                rows.genes[t as usize].as_str(),
                score,
            )
        })
        .collect();
    assert_eq!(
        named,
        [
            ("STAT1", "IRF1", Some(2.0)),
            ("IRF1", "STAT1", None),
            ("JAK2", "IRF1", Some(-1.5))
        ]
    );
    assert!(
        rows.metadata
            .iter()
            .any(|(key, value)| key == "scfm.simulated" && value == "true")
    );

    let counts = Column::counts([3, 2, 1]);
    write_table(&path, &table(counts), &[]).unwrap();
    assert_eq!(read_edge_rows(&path, by_name).unwrap().rows[0].2, Some(3.0));
}

#[test]
fn our_own_edge_files_are_lists_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edges.parquet");
    let genes = Panel::new(["A", "B"]).unwrap();
    let scores = ndarray::array![[f32::NAN, 0.5], [0.25, f32::NAN]];
    let edges = EdgeMatrix::new(EdgeKind::Spearman, genes.clone(), genes, scores).unwrap();
    write_edges(&path, &edges, &[]).unwrap();
    let rows = read_edge_rows(&path, |names| {
        assert_eq!(names, ["source", "target", "score"]);
        Some([0, 1, 2])
    })
    .unwrap();
    assert_eq!(
        rows.rows,
        [(0, 0, None), (0, 1, Some(0.5)), (1, 0, Some(0.25)), (1, 1, None)]
    );
}

#[test]
fn what_is_no_list_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list.parquet");
    write_table(&path, &table(Column::text(["high", "low", "low"])), &[]).unwrap();
    let error = read_edge_rows(&path, by_name).unwrap_err().to_string();
    assert!(
        error.contains("list.parquet") && error.contains("importance") && error.contains("expected numbers"),
        "{error}"
    );
    let error = read_edge_rows(&path, |_| None).unwrap_err().to_string();
    assert!(
        error.contains("importance, gene, tf") && error.contains("expected a source"),
        "{error}"
    );

    let mut broken = table(Column::numbers([1.0, 2.0, 3.0]));
    broken
        .push("other", Column::Text(vec![Some("A".to_owned()), None, None]))
        .unwrap();
    write_table(&path, &broken, &[]).unwrap();
    let error = read_edge_rows(&path, |_| Some([3, 1, 0])).unwrap_err();
    assert!(
        matches!(error, Error::Layout { .. }) && error.to_string().contains("nulls"),
        "{error}"
    );

    let text = folder.path().join("list.csv");
    std::fs::write(&text, "PAR,1\n").unwrap();
    assert!(!is_parquet(&text).unwrap());
    assert!(read_edge_rows(&text, by_name).is_err());
    assert!(is_parquet(&folder.path().join("absent")).is_err());
}
