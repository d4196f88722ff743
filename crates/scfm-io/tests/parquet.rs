//! Tables and edges go through Parquet unchanged.

use std::path::{Path, PathBuf};

use ndarray::{Array2, array};
use proptest::prelude::*;
use scfm_core::{Column, EdgeKind, EdgeMatrix, Layer, Panel, Table};
use scfm_io::{
    Error, content_hash, read_edges, read_metadata, read_pair_counts, read_pair_sums, read_table, write_csv,
    write_edges, write_edges_csv, write_pair_counts, write_pair_sums, write_table, write_table_pieces,
};

fn panel(prefix: &str, n: usize) -> Panel {
    Panel::new((0..n).map(|i| format!("{prefix}{i}"))).unwrap()
}

fn metadata() -> Vec<(String, String)> {
    vec![
        ("scfm.seed".to_owned(), "7".to_owned()),
        ("scfm.orientation".to_owned(), "query".to_owned()),
    ]
}

fn in_folder<T>(name: &str, run: impl FnOnce(PathBuf) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path().join(name))
}

fn table() -> Table {
    Table::new(3)
        .with(
            "gene",
            Column::Text(vec![Some("A,B".to_owned()), None, Some("\"C\"".to_owned())]),
        )
        .and_then(|t| t.with("auroc", Column::F64(vec![Some(0.5), None, Some(1e-300)])))
        .and_then(|t| t.with("n", Column::U64(vec![Some(0), Some(u64::MAX), None])))
        .and_then(|t| t.with("significant", Column::Bool(vec![Some(true), Some(false), None])))
        .unwrap()
}

#[test]
fn a_table_comes_back_with_its_missing_values_and_metadata() {
    in_folder("table.parquet", |path| {
        write_table(&path, &table(), &metadata()).unwrap();
        assert_eq!(read_table(&path).unwrap(), (table(), metadata()));
        let first = content_hash(&path).unwrap();
        write_table(&path, &table(), &metadata()).unwrap();
        assert_eq!(content_hash(&path).unwrap(), first);

        write_table(&path, &Table::new(0), &[]).unwrap();
        assert_eq!(read_table(&path).unwrap(), (Table::new(0), vec![]));
    });
}

#[test]
fn a_table_in_one_piece_has_the_bytes_of_the_whole() {
    in_folder("table.parquet", |path| {
        write_table(&path, &table(), &metadata()).unwrap();
        let whole = content_hash(&path).unwrap();
        write_table_pieces(&path, [table()], &metadata()).unwrap();
        assert_eq!(content_hash(&path).unwrap(), whole);
    });
}

#[test]
fn a_long_table_in_pieces_comes_back_whole() {
    // 1.2 million rows: pieces end within row groups and row groups within pieces.
    let piece = |start: usize| {
        let rows = start..(start + 70_000).min(1_200_000);
        Table::new(rows.len())
            .with(
                "gene",
                Column::text(rows.clone().map(|row| format!("g{}", row % 2000))),
            )
            .and_then(|t| t.with("row", Column::counts(rows)))
            .unwrap()
    };
    in_folder("long.parquet", |path| {
        write_table_pieces(&path, (0..1_200_000).step_by(70_000).map(piece), &metadata()).unwrap();
        let (table, found) = read_table(&path).unwrap();
        assert_eq!((table.n_rows(), found), (1_200_000, metadata()));
        assert_eq!(table.column("row"), Some(&Column::counts(0..1_200_000)));
        let Some(Column::Text(genes)) = table.column("gene") else {
            panic!("genes are text")
        };
        assert!(
            genes
                .iter()
                .enumerate()
                .all(|(row, gene)| *gene == Some(format!("g{}", row % 2000)))
        );
    });
}

#[test]
#[should_panic(expected = "the columns of a piece are those of the first")]
fn a_piece_with_other_columns_is_a_broken_contract() {
    let other = Table::new(1).with("n", Column::counts([1])).unwrap();
    in_folder("table.parquet", |path| {
        write_table_pieces(&path, [table(), other], &[])
    })
    .unwrap();
}

#[test]
fn a_table_as_csv_is_for_people() {
    in_folder("table.csv", |path| {
        write_csv(&path, &table()).unwrap();
        let expected =
            "gene,auroc,n,significant\n\"A,B\",0.5,0,true\n,,18446744073709551615,false\n\"\"\"C\"\"\",";
        let written = std::fs::read_to_string(&path).unwrap();
        assert!(written.starts_with(expected), "{written}");
    });
}

#[test]
fn edges_as_csv_leave_out_pairs_that_were_never_seen() {
    let edges = EdgeMatrix::new(
        EdgeKind::Spearman,
        panel("s", 1),
        panel("t", 2),
        array![[f32::NAN, 0.25]],
    )
    .unwrap();
    in_folder("edges.csv", |path| {
        write_edges_csv(&path, &edges).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "source,target,score\ns0,t1,0.25\n"
        );
    });
}

#[test]
fn edges_larger_than_a_row_group_come_back_whole() {
    // 1.5 million pairs, so that a row group of 2²⁰ rows ends between two sources.
    let scores = Array2::from_shape_fn((1500, 1000), |(s, t)| ((s * 31 + t * 17) % 1009) as f32 / 1009.0);
    let edges = EdgeMatrix::new(EdgeKind::Spearman, panel("s", 1500), panel("t", 1000), scores).unwrap();
    in_folder("edges.parquet", |path| {
        write_edges(&path, &edges, &[]).unwrap();
        let (back, _) = read_edges(&path).unwrap();
        assert_eq!(back.scores(), edges.scores());
        assert_eq!(
            (back.sources(), back.targets()),
            (edges.sources(), edges.targets())
        );
    });
}

#[test]
fn files_that_are_no_edges_are_said_so() {
    let reason = |path: &Path| match read_edges(path).unwrap_err() {
        Error::Layout { reason, .. } => reason,
        other => panic!("{other}"),
    };
    in_folder("other.parquet", |path| {
        write_table(&path, &table(), &[]).unwrap();
        assert_eq!(
            reason(&path),
            "has no column source; its columns are gene, auroc, n, significant"
        );

        let edges = |sources: [&str; 3], targets: [&str; 3]| {
            Table::new(3)
                .with("source", Column::text(sources))
                .and_then(|t| t.with("target", Column::text(targets)))
                .and_then(|t| t.with("score", Column::numbers([0.1, 0.2, 0.3])))
                .unwrap()
        };
        write_table(&path, &edges(["A", "A", "B"], ["X", "Y", "X"]), &[]).unwrap();
        assert_eq!(reason(&path), "has 3 rows, expected 2 × 2 pairs");
        write_table(&path, &edges(["A", "A", "A"], ["X", "Y", "X"]), &[]).unwrap();
        assert_eq!(reason(&path), "has 3 rows, expected 1 × 2 pairs");
        write_table(&path, &edges(["A", "B", "C"], ["X", "X", "X"]), &[]).unwrap();
        assert_eq!(reason(&path), "has no scfm.kind in its metadata");
        let kind = [("scfm.kind".to_owned(), "spearman".to_owned())];
        write_table(&path, &edges(["A", "B", "C"], ["X", "X", "X"]), &kind).unwrap();
        assert_eq!(
            read_edges(&path).unwrap().0.scores(),
            array![[0.1f32], [0.2], [0.3]]
        );

        let six = |sources: [&str; 4], targets: [&str; 4]| {
            let scores = Column::numbers([0.1, 0.2, 0.3, 0.4]);
            let table = Table::new(4).with("source", Column::text(sources)).unwrap();
            table
                .with("target", Column::text(targets))
                .and_then(|t| t.with("score", scores))
                .unwrap()
        };
        write_table(&path, &six(["A", "B", "A", "B"], ["X", "X", "Y", "Y"]), &kind).unwrap();
        assert!(reason(&path).starts_with("row 1 is out of order"));

        std::fs::write(&path, b"PAR1 but no more").unwrap();
        assert!(matches!(read_edges(&path), Err(Error::Parquet { .. })));
        std::fs::write(&path, b"").unwrap();
        assert!(matches!(read_table(&path), Err(Error::Parquet { .. })));
    });
}

#[test]
fn no_damaged_byte_makes_it_panic() {
    let edges = EdgeMatrix::new(
        EdgeKind::Spearman,
        panel("s", 3),
        panel("t", 4),
        Array2::zeros((3, 4)),
    )
    .unwrap();
    in_folder("damaged.parquet", |path| {
        write_edges(&path, &edges, &metadata()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0xff;
            std::fs::write(&path, &damaged).unwrap();
            let _ = read_edges(&path);
            let _ = read_table(&path);
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn edges_come_back_bit_for_bit(
        (n_sources, n_targets, scores) in (1usize..8, 1usize..8).prop_flat_map(|(s, t)| {
            (Just(s), Just(t), prop::collection::vec(prop::option::of(-1e3..1e3f32), s * t))
        }),
        layer in 0usize..40,
    ) {
        let scores = scores.iter().map(|score| score.unwrap_or(f32::NAN)).collect();
        let scores = Array2::from_shape_vec((n_sources, n_targets), scores).unwrap();
        let kind = EdgeKind::attention(Layer(layer));
        let edges = EdgeMatrix::new(kind, panel("s", n_sources), panel("t", n_targets), scores).unwrap();
        let (back, read_metadata) = in_folder("edges.parquet", |path| {
            write_edges(&path, &edges, &metadata()).unwrap();
            read_edges(&path).unwrap()
        });
        let bits = |edges: &EdgeMatrix| edges.scores().mapv(f32::to_bits);
        prop_assert_eq!(bits(&back), bits(&edges));
        prop_assert_eq!(back.kind(), kind);
        prop_assert_eq!((back.sources(), back.targets()), (edges.sources(), edges.targets()));
        prop_assert_eq!(&read_metadata[1..], metadata());
    }

    #[test]
    fn pair_counts_come_back(counts in prop::collection::vec(any::<u32>(), 6)) {
        let counts = Array2::from_shape_vec((2, 3), counts).unwrap();
        let (sources, targets, back, _) = in_folder("n_cells.parquet", |path| {
            write_pair_counts(&path, &panel("s", 2), &panel("t", 3), &counts, &[]).unwrap();
            read_pair_counts(&path).unwrap()
        });
        prop_assert_eq!((sources, targets, back), (panel("s", 2), panel("t", 3), counts));
    }

    #[test]
    fn pair_sums_come_back_with_what_the_file_says_of_itself(sums in prop::collection::vec(any::<i64>(), 6)) {
        let sums = Array2::from_shape_vec((2, 3), sums).unwrap();
        let (sources, targets, back, said) = in_folder("sums.parquet", |path| {
            write_pair_sums(&path, &panel("s", 2), &panel("t", 3), &sums, &metadata()).unwrap();
            assert_eq!(read_metadata(&path).unwrap(), metadata());
            assert!(matches!(read_pair_counts(&path), Err(Error::Layout { .. })));
            read_pair_sums(&path).unwrap()
        });
        prop_assert_eq!((sources, targets, back, said), (panel("s", 2), panel("t", 3), sums, metadata()));
    }
}
