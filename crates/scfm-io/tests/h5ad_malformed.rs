//! Broken and hostile files are errors that name the place, never panics.

mod common;

use std::path::Path;

use common::{N_CELLS, N_GENES, Temporary, golden, read_all};
use hdf5_pure::{AttrValue, FileBuilder, GroupBuilder};
use scfm_io::{Error, GeneMap, H5ad, MatrixName, ReadLimits};

/// The tables of two cells and three genes.
fn frames() -> FileBuilder {
    let mut file = FileBuilder::new();
    for (name, index) in [("obs", &["c0", "c1"][..]), ("var", &["A", "B", "C"])] {
        let mut frame = file.create_group(name);
        frame.set_attr("_index", AttrValue::VarLenString("_index".to_owned()));
        frame.set_attr("encoding-type", AttrValue::VarLenString("dataframe".to_owned()));
        frame.create_dataset("_index").with_vlen_strings(index);
        file.add_group(frame.finish());
    }
    file
}

fn with_matrix(fill: impl FnOnce(&mut GroupBuilder)) -> FileBuilder {
    let mut file = frames();
    let mut matrix = file.create_group("X");
    fill(&mut matrix);
    file.add_group(matrix.finish());
    file
}

/// A file of two cells × three genes whose `X` the test fills.
fn file_with(fill: impl FnOnce(&mut GroupBuilder)) -> Temporary {
    Temporary::new(&with_matrix(fill).finish().unwrap())
}

fn sparse(matrix: &mut GroupBuilder, encoding: &str, shape: [i64; 2]) {
    matrix.set_attr("encoding-type", AttrValue::VarLenString(encoding.to_owned()));
    matrix.set_attr("shape", AttrValue::I64Array(shape.to_vec()));
}

fn sound_file() -> FileBuilder {
    with_matrix(|matrix| {
        sparse(matrix, "csr_matrix", [2, 3]);
        matrix.create_dataset("indptr").with_i64_data(&[0, 1, 3]);
        matrix.create_dataset("indices").with_i32_data(&[1, 0, 2]);
        matrix.create_dataset("data").with_f32_data(&[1.0, 2.0, 3.0]);
    })
}

/// A CSR matrix of that shape.
fn csr(indptr: &[i64], indices: &[i32], data: &[f32]) -> Temporary {
    file_with(|matrix| {
        matrix.set_attr("encoding-type", AttrValue::VarLenString("csr_matrix".to_owned()));
        matrix.set_attr("shape", AttrValue::I64Array(vec![2, 3]));
        matrix.create_dataset("indptr").with_i64_data(indptr);
        matrix.create_dataset("indices").with_i32_data(indices);
        matrix.create_dataset("data").with_f32_data(data);
    })
}

fn read_error(file: &Temporary) -> Error {
    read_all(&file.path).unwrap_err()
}

#[test]
fn a_sound_file_of_this_kind_is_read() {
    read_all(&csr(&[0, 1, 3], &[1, 0, 2], &[1.0, 2.0, 3.0]).path).unwrap();
}

#[test]
fn what_is_not_hdf5_is_said_so() {
    for bytes in [&b""[..], b"gene,cell\n", b"\x89HDF", b"PK\x03\x04"] {
        assert!(matches!(
            read_error(&Temporary::new(bytes)),
            Error::NotHdf5 { .. }
        ));
    }
    let absent = Path::new("no such folder/absent.h5ad");
    assert!(matches!(read_all(absent), Err(Error::Io { action: "read", .. })));
}

#[test]
fn hdf5_that_is_no_h5ad_is_said_so() {
    let mut other = FileBuilder::new();
    other.create_dataset("matrix").with_f32_data(&[1.0]);
    let error = read_error(&Temporary::new(&other.finish().unwrap()));
    assert!(
        error
            .to_string()
            .ends_with("there is no obs; the file has matrix"),
        "{error}"
    );

    // Tables of records are read; a table of something else is none.
    let mut other = FileBuilder::new();
    other
        .create_dataset("obs")
        .with_compound_values(&[(1u8, 2.0f32)])
        .unwrap();
    let error = read_error(&Temporary::new(&other.finish().unwrap()));
    assert!(
        error.to_string().ends_with("there is no var; the file has obs"),
        "{error}"
    );
    let mut other = FileBuilder::new();
    other.create_dataset("obs").with_f32_data(&[1.0]);
    let error = read_error(&Temporary::new(&other.finish().unwrap()));
    assert!(
        matches!(&error, Error::Encoding { object, found, .. } if object == "obs" && found == "an array of f32"),
        "{error}"
    );
}

#[test]
fn a_broken_pointer_is_named_with_its_entry() {
    for (indptr, at, found) in [
        (&[1, 1, 3][..], 0, 1), // does not start at 0
        (&[0, 4, 3], 2, 3),     // falls
        (&[0, -1, 3], 1, -1),   // is negative
        (&[0, 1, 2], 2, 2),     // ends before the values do
        (&[0, 1, 9], 2, 9),     // ends after them
    ] {
        match read_error(&csr(indptr, &[1, 0, 2], &[1.0, 2.0, 3.0])) {
            Error::Indptr {
                object,
                at: a,
                found: f,
                ..
            } => {
                assert_eq!((object.as_str(), a, f), ("X/indptr", at, found), "{indptr:?}");
            }
            other => panic!("{indptr:?}: {other}"),
        }
    }
    let error = read_error(&csr(&[0, 3], &[1, 0, 2], &[1.0, 2.0, 3.0]));
    assert!(
        matches!(
            error,
            Error::Length {
                found: 2,
                expected: 3,
                ..
            }
        ),
        "{error}"
    );
    let error = read_error(&csr(&[0, 1, 3], &[1, 0], &[1.0, 2.0, 3.0]));
    assert!(
        matches!(&error, Error::Length { object, found: 2, expected: 3, .. } if object == "X/indices"),
        "{error}"
    );
}

#[test]
fn a_sparse_matrix_with_arrays_of_two_dimensions_does_not_panic() {
    // Three entries of no value each: as many rows as `data` has, and nothing to look at. Then of two values each.
    let none = |matrix: &mut GroupBuilder| {
        sparse(matrix, "csr_matrix", [2, 3]);
        matrix.create_dataset("indptr").with_i64_data(&[0, 1, 3]);
        matrix
            .create_dataset("indices")
            .with_i32_data(&[])
            .with_shape(&[3, 0]);
        matrix.create_dataset("data").with_f32_data(&[1.0, 2.0, 3.0]);
    };
    let two = |matrix: &mut GroupBuilder| {
        sparse(matrix, "csr_matrix", [2, 3]);
        matrix.create_dataset("indptr").with_i64_data(&[0, 1, 3]);
        matrix.create_dataset("indices").with_i32_data(&[1, 0, 2]);
        matrix
            .create_dataset("data")
            .with_f32_data(&[1.0; 6])
            .with_shape(&[3, 2]);
    };
    for (file, wrong) in [(file_with(none), "X/indices"), (file_with(two), "X/data")] {
        let error = read_error(&file);
        assert!(
            matches!(&error, Error::Encoding { object, .. } if object == wrong),
            "{error}"
        );
        let file = H5ad::open(&file.path, &ReadLimits::default()).unwrap();
        assert!(matches!(file.counts_matrix(), Err(Error::Encoding { .. })));
    }
}

#[test]
fn an_index_out_of_range_is_named_with_its_entry() {
    for bad in [3, -1, i32::MAX] {
        match read_error(&csr(&[0, 1, 3], &[1, 0, bad], &[1.0, 2.0, 3.0])) {
            Error::OutOfRange {
                object,
                at,
                found,
                bound,
                ..
            } => {
                assert_eq!(
                    (object.as_str(), at, found, bound),
                    ("X/indices", 2, i64::from(bad), 3)
                );
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_value_that_is_no_count_is_named_with_cell_and_gene() {
    for bad in [-1.0, 0.5, f32::NAN, f32::INFINITY, 2f32.powi(25)] {
        match read_error(&csr(&[0, 1, 3], &[1, 0, 2], &[1.0, 2.0, bad])) {
            Error::NotACount {
                matrix,
                cell,
                row,
                gene,
                value,
                ..
            } => {
                assert_eq!(
                    (matrix.as_str(), cell.as_str(), row, gene.as_str()),
                    ("X", "c1", 1, "C")
                );
                assert_eq!(value.to_bits(), f64::from(bad).to_bits());
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn matrices_of_another_kind_or_shape_are_named() {
    let encoding = |fill: &dyn Fn(&mut GroupBuilder)| match read_error(&file_with(fill)) {
        Error::Encoding { object, found, .. } => (object, found),
        other => panic!("{other}"),
    };
    let text = |text: &str| AttrValue::VarLenString(text.to_owned());
    let found = encoding(&|matrix| matrix.set_attr("encoding-type", text("awkward-array")));
    assert_eq!(found, ("X".to_owned(), "awkward-array".to_owned()));
    let found = encoding(&|_| {});
    assert_eq!(found.1, "a group without the attribute encoding-type");
    let found = encoding(&|matrix| matrix.set_attr("encoding-type", text("csr_matrix")));
    assert_eq!(found.1, "a sparse matrix without a shape");
    let found = encoding(&|matrix| {
        matrix.set_attr("encoding-type", text("csr_matrix"));
        matrix.set_attr("shape", AttrValue::I64Array(vec![-2, 3]));
    });
    assert_eq!(found.1, "a matrix of negative shape");
    let found = encoding(&|matrix| {
        matrix.set_attr("encoding-type", text("csr_matrix"));
        matrix.set_attr("shape", AttrValue::I64Array(vec![2, 3]));
        matrix.create_dataset("indptr").with_f32_data(&[0.0, 0.0, 0.0]);
    });
    assert_eq!(found, ("X/indptr".to_owned(), "f32".to_owned()));

    let transposed = file_with(|matrix| {
        matrix.set_attr("encoding-type", text("csr_matrix"));
        matrix.set_attr("shape", AttrValue::I64Array(vec![3, 2]));
        matrix.create_dataset("indptr").with_i64_data(&[0, 0, 0, 0]);
        matrix.create_dataset("indices").with_i32_data(&[]);
        matrix.create_dataset("data").with_f32_data(&[]);
    });
    assert!(matches!(
        read_error(&transposed),
        Error::Length {
            found: 3,
            expected: 2,
            ..
        }
    ));

    let missing = file_with(|matrix| {
        matrix.set_attr("encoding-type", text("csr_matrix"));
        matrix.set_attr("shape", AttrValue::I64Array(vec![2, 3]));
        matrix.create_dataset("indices").with_i32_data(&[]);
    });
    let error = read_error(&missing);
    assert!(
        error
            .to_string()
            .ends_with("there is no X/indptr; the file has indices"),
        "{error}"
    );
}

#[test]
fn a_gene_map_made_for_another_matrix_is_refused() {
    let file = H5ad::open(&golden("plain.h5ad"), &ReadLimits::default()).unwrap();
    let error = file
        .cells(&MatrixName::X, &[0], &GeneMap::new(&["A", "B"]))
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Length {
                found: 2,
                expected: 9,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn declared_sizes_are_checked_against_the_budget() {
    // 2⁴⁰ values were declared and none written.
    let path = golden("huge.h5ad");
    let file = H5ad::open(&path, &ReadLimits::default()).unwrap();
    let genes = GeneMap::new(&file.gene_ids(&MatrixName::X, None).unwrap());
    let error = file.cells(&MatrixName::X, &[0], &genes).unwrap_err();
    assert!(
        matches!(error, Error::TooLarge { needed, .. } if needed == 1 << 44),
        "{error}"
    );
    // The other rows are empty.
    assert_eq!(
        file.cells(&MatrixName::X, &[1, 2], &genes)
            .unwrap()
            .counts()
            .nnz(),
        0
    );

    let tiny = ReadLimits {
        memory_budget: 100,
        ..ReadLimits::default()
    };
    let file = H5ad::open(&golden("plain.h5ad"), &tiny).unwrap();
    assert!(matches!(file.obs().unwrap().index(), Err(Error::TooLarge { .. })));
    let ids: Vec<String> = (0..N_GENES).map(|gene| gene.to_string()).collect();
    let rows: Vec<usize> = (0..N_CELLS).collect();
    for matrix in file.matrix_names().unwrap() {
        let error = file.cells(&matrix, &rows, &GeneMap::new(&ids)).unwrap_err();
        assert!(
            matches!(error, Error::TooLarge { budget: 100, .. }),
            "{matrix}: {error}"
        );
    }
}

#[test]
fn links_in_circles_or_to_nowhere_end_in_a_line() {
    let file = H5ad::open(&golden("links.h5ad"), &ReadLimits::default()).unwrap();
    let obs = file.obs().unwrap();
    assert!(obs.column("sound").is_ok());
    for (column, expected) in [
        (
            "own_categories",
            "there is no obs/own_categories/categories/values",
        ),
        (
            "own_values",
            "obs/own_values/values is stored as a group; expected a dataset",
        ),
        ("soft_circle", "there is no obs/soft_circle"),
        ("nowhere", "there is no obs/nowhere"),
        // Another file is never opened.
        ("elsewhere", "there is no obs/elsewhere"),
        (
            "the_file",
            "obs/the_file is stored as a group without the attribute encoding-type",
        ),
    ] {
        let error = obs.column(column).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let layer = |name: &str| MatrixName::Layer(name.to_owned());
    let genes = GeneMap::new(&["A", "B", "C"]);
    assert_eq!(
        file.cells(&layer("sound"), &[0, 1], &genes)
            .unwrap()
            .counts()
            .nnz(),
        3
    );
    for (matrix, expected) in [
        (
            layer("up"),
            "layers/up is stored as a group without the attribute encoding-type",
        ),
        (layer("broken"), "there is no layers/broken/indptr"),
        (MatrixName::Raw, "there is no raw/X"),
    ] {
        let error = file.cells(&matrix, &[0, 1], &genes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(file.counts_matrix().unwrap(), MatrixName::X);
}

#[test]
fn objects_of_the_wrong_kind_are_named() {
    // A group where a dataset should be, a dataset where a group should be, text where numbers should be.
    let error = read_error(&file_with(|matrix| {
        sparse(matrix, "csr_matrix", [2, 3]);
        matrix.create_dataset("indptr").with_i64_data(&[0, 0, 0]);
        matrix.create_dataset("indices").with_i32_data(&[]);
        let data = matrix.create_group("data");
        matrix.add_group(data.finish());
    }));
    assert!(
        error
            .to_string()
            .ends_with("X/data is stored as a group; expected a dataset"),
        "{error}"
    );

    let error = read_error(&file_with(|matrix| {
        sparse(matrix, "csr_matrix", [2, 3]);
        matrix.create_dataset("indptr").with_i64_data(&[0, 1, 1]);
        matrix.create_dataset("indices").with_i32_data(&[0]);
        matrix.create_dataset("data").with_vlen_strings(&["4"]);
    }));
    assert!(
        error
            .to_string()
            .ends_with("X/data is stored as string; expected numbers"),
        "{error}"
    );

    for (name, expected) in [
        ("obs", "obs is stored as an array of f32"),
        ("var", "var is stored as an array of f32"),
    ] {
        let mut file = FileBuilder::new();
        for frame in ["obs", "var"].into_iter().filter(|frame| *frame != name) {
            let mut group = file.create_group(frame);
            group.set_attr("_index", AttrValue::VarLenString("_index".to_owned()));
            group.create_dataset("_index").with_vlen_strings(&["a"]);
            file.add_group(group.finish());
        }
        file.create_dataset(name).with_f32_data(&[1.0]);
        let error = read_error(&Temporary::new(&file.finish().unwrap()));
        assert!(error.to_string().contains(expected), "{error}");
    }

    // Layers and raw that are datasets hold no matrices; nothing is made of them.
    let mut file = sound_file();
    file.create_dataset("layers").with_f32_data(&[1.0]);
    file.create_dataset("raw").with_f32_data(&[1.0]);
    file.create_dataset("uns").with_f32_data(&[1.0]);
    let file = Temporary::new(&file.finish().unwrap());
    read_all(&file.path).unwrap();
    let file = H5ad::open(&file.path, &ReadLimits::default()).unwrap();
    assert_eq!(file.matrix_names().unwrap(), [MatrixName::X]);
    assert_eq!(file.uns("seed").unwrap(), None);
}

#[test]
fn values_that_are_no_counts_are_found_in_every_layout() {
    for bad in [-1.0f32, 0.5, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let by_gene = file_with(|matrix| {
            sparse(matrix, "csc_matrix", [2, 3]);
            matrix.create_dataset("indptr").with_i64_data(&[0, 1, 2, 3]);
            matrix.create_dataset("indices").with_i32_data(&[1, 0, 1]);
            matrix.create_dataset("data").with_f32_data(&[1.0, 2.0, bad]);
        });
        let dense = {
            let mut file = frames();
            file.create_dataset("X")
                .with_f32_data(&[0.0, 2.0, 0.0, 1.0, 0.0, bad])
                .with_shape(&[2, 3]);
            Temporary::new(&file.finish().unwrap())
        };
        for (layout, file) in [("by gene", by_gene), ("dense", dense)] {
            match read_error(&file) {
                Error::NotACount {
                    cell,
                    row,
                    gene,
                    value,
                    ..
                } => {
                    assert_eq!((cell.as_str(), row, gene.as_str()), ("c1", 1, "C"), "{layout}");
                    assert_eq!(value.to_bits(), f64::from(bad).to_bits(), "{layout}");
                }
                other => panic!("{layout}: {other}"),
            }
        }
    }
}

#[test]
fn tables_that_declare_more_rows_than_fit_are_refused_at_once() {
    let path = Temporary::new(&sound_file().finish().unwrap());
    let tiny = ReadLimits {
        memory_budget: 7,
        ..ReadLimits::default()
    };
    // Two cells take eight bytes to number.
    let error = H5ad::open(&path.path, &tiny).err().unwrap();
    assert!(
        matches!(&error, Error::TooLarge { object, needed: 8, budget: 7, .. } if object == "obs"),
        "{error}"
    );
}

#[test]
fn cells_of_one_name_are_read_as_the_cells_they_are() {
    let mut file = FileBuilder::new();
    for (name, index) in [("obs", &["c0", "c0"][..]), ("var", &["A", "B", "C"])] {
        let mut frame = file.create_group(name);
        frame.set_attr("_index", AttrValue::VarLenString("_index".to_owned()));
        frame.create_dataset("_index").with_vlen_strings(index);
        file.add_group(frame.finish());
    }
    file.create_dataset("X")
        .with_f32_data(&[1.0, 0.0, 0.0, 0.0, 0.0, 5.0])
        .with_shape(&[2, 3]);
    let file = Temporary::new(&file.finish().unwrap());
    let file = H5ad::open(&file.path, &ReadLimits::default()).unwrap();
    let counts = file
        .cells(&MatrixName::X, &[1, 0], &GeneMap::new(&["A", "B", "C"]))
        .unwrap();
    assert_eq!(counts.totals(), [5.0, 1.0]);
}
