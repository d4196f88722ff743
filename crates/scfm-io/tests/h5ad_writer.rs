//! What is written is read back, byte for byte the same each time.

use proptest::prelude::*;
use scfm_io::{
    CountType, FrameColumn, GeneMap, H5ad, H5adWriter, MatrixName, ReadLimits, Scalar, content_hash,
};
use sprs::CsMat;

fn names(prefix: &str, n: usize) -> Vec<String> {
    (0..n).map(|i| format!("{prefix}{i}")).collect()
}

fn csr(rows: &[Vec<u16>], n_genes: usize) -> CsMat<f32> {
    let dense = ndarray::Array2::from_shape_fn((rows.len(), n_genes), |(i, j)| f32::from(rows[i][j]));
    CsMat::csr_from_dense(dense.view(), 0.0)
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let counts = csr(&[vec![0, 3, 1], vec![0, 0, 0], vec![70, 0, 2]], 3);
    let folder = tempfile::tempdir().unwrap();
    let hash = |name: &str| {
        let path = folder.path().join(name);
        let text = FrameColumn::Text(vec![Some("a".to_owned()), None, Some("ü".to_owned())]);
        H5adWriter::new(names("c", 3), names("g", 3))
            .matrix(MatrixName::X, counts.view(), CountType::F32)
            .matrix(MatrixName::Raw, counts.view(), CountType::I32)
            .obs("text", text)
            .uns("simulated", Scalar::Bool(true))
            .uns("seed", Scalar::Number(3.0))
            .write(&path)
            .unwrap();
        content_hash(&path).unwrap()
    };
    let first = hash("first.h5ad");
    // Pinned so that a change of any layer below, the compressor included, is noticed: fixtures hang on it.
    assert_eq!(
        first,
        "946b3268521c6a33fe58789f3db12e78db480776064bec98533c5ef3802c16c0"
    );
    assert_eq!(hash("second.h5ad"), first);
}

#[test]
fn chunks_are_short_enough_for_hdf5_2() {
    // 70,000 values, more than the 65,535 whose number two bytes hold.
    let counts = csr(&vec![vec![1; 700]; 100], 700);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.h5ad");
    H5adWriter::new(names("c", 100), names("g", 700))
        .matrix(MatrixName::X, counts.view(), CountType::F32)
        .write(&path)
        .unwrap();
    let file = hdf5_pure::File::open(&path).unwrap();
    for name in ["X/data", "X/indices", "X/indptr"] {
        let chunk = file.dataset(name).unwrap().chunk_shape().unwrap().unwrap();
        assert!(chunk[0] < 1 << 16, "{name}: {chunk:?}");
    }
}

#[test]
#[should_panic(expected = "column donor has a value per cell")]
fn a_column_of_another_length_is_a_broken_contract() {
    let _ = H5adWriter::new(names("c", 3), names("g", 3)).obs("donor", FrameColumn::Number(vec![1.0]));
}

fn columns(n: usize) -> impl Strategy<Value = Vec<FrameColumn>> {
    let text = prop::collection::vec("[a-zé ]{0,5}".prop_map(Some), n).prop_map(FrameColumn::Text);
    let number = prop::collection::vec(-1e9..1e9f64, n).prop_map(FrameColumn::Number);
    let flag = prop::collection::vec(any::<bool>().prop_map(Some), n).prop_map(FrameColumn::Bool);
    let codes = prop::collection::vec(prop::option::of(0u32..200), n);
    let categorical = codes.prop_map(|codes| FrameColumn::Categorical {
        codes,
        categories: names("category ", 200),
    });
    (text, number, flag, categorical).prop_map(|(a, b, c, d)| vec![a, b, c, d])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn matrices_and_columns_come_back(
        (rows, obs) in (1usize..12).prop_flat_map(|n| {
            (prop::collection::vec(prop::collection::vec(0u16..5, 4), n), columns(n))
        }),
        integers: bool,
        compressed: bool,
        seed in -1e12..1e12f64,
    ) {
        let counts = csr(&rows, 4);
        let stored = if integers { CountType::I32 } else { CountType::F32 };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("round.h5ad");
        let layer = MatrixName::Layer("counts".to_owned());
        let mut writer = H5adWriter::new(names("cell ", rows.len()), names("gene ", 4))
            .matrix(MatrixName::X, counts.view(), stored)
            .matrix(MatrixName::Raw, counts.view(), stored)
            .matrix(layer.clone(), counts.view(), stored)
            .var("length", FrameColumn::Number(vec![1.0, 2.0, 3.0, 4.0]))
            .uns("seed", Scalar::Number(seed))
            .uns("note", Scalar::Text("simulated".to_owned()))
            .uns("simulated", Scalar::Bool(true));
        for (i, column) in obs.iter().enumerate() {
            writer = writer.obs(&format!("column {i}"), column.clone());
        }
        if !compressed {
            writer = writer.uncompressed();
        }
        writer.write(&path).unwrap();

        let file = H5ad::open(&path, &ReadLimits::default()).unwrap();
        prop_assert_eq!(file.obs().unwrap().index().unwrap(), names("cell ", rows.len()));
        for (i, column) in obs.iter().enumerate() {
            prop_assert_eq!(&file.obs().unwrap().column(&format!("column {i}")).unwrap(), column);
        }
        prop_assert_eq!(file.uns("seed").unwrap(), Some(Scalar::Number(seed)));
        prop_assert_eq!(file.uns_text("note").unwrap(), Some("simulated".to_owned()));
        prop_assert_eq!(file.uns("simulated").unwrap(), Some(Scalar::Bool(true)));
        prop_assert_eq!(file.matrix_names().unwrap(), [MatrixName::X, MatrixName::Raw, layer]);
        let all: Vec<usize> = (0..rows.len()).collect();
        for matrix in file.matrix_names().unwrap() {
            let genes = GeneMap::new(&file.gene_ids(&matrix, None).unwrap());
            let back = file.cells(&matrix, &all, &genes).unwrap();
            prop_assert_eq!(back.counts().to_dense(), counts.to_dense());
        }
    }
}
