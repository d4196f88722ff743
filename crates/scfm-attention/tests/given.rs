//! Attention of other programs: every form that is read against NumPy's means, and what is no such file.

use std::fs;
use std::path::{Path, PathBuf};

use ndarray::Array2;
use proptest::prelude::*;
use scfm_attention::Error;
use scfm_attention::given::{GivenAttention, GivenFolder, GivenSums};
use scfm_core::{EdgeMatrix, Layer, Orientation, Panel};
use scfm_io::ReadLimits;
use tempfile::TempDir;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn panel(genes: &[&str]) -> Panel {
    Panel::new(genes.iter().copied()).unwrap()
}

fn open(folder: &Path) -> Result<GivenFolder, Error> {
    GivenFolder::open(folder, &ReadLimits::default())
}

/// Sums over all cells of a folder, all layers.
fn sums(folder: &Path, panel: &Panel, orientation: Orientation) -> Result<GivenSums, Error> {
    let folder = open(folder)?;
    let layers = (0..folder.n_layers()).map(Layer).collect();
    let mut sums = GivenSums::new(layers, panel.clone(), panel.clone(), orientation);
    for cell in folder.cells() {
        sums.add(&cell?)?;
    }
    Ok(sums)
}

/// What `golden/generate_given.py` found, `[query, key]` per layer.
struct Expected {
    panel: Panel,
    n_cells: Array2<u32>,
    means: Vec<Array2<f64>>,
}

fn expected(folder: &str) -> Expected {
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(golden("given_expected.json")).unwrap()).unwrap();
    let found = &json[folder];
    let genes: Vec<String> = serde_json::from_value(found["panel"].clone()).unwrap();
    let n = genes.len();
    let square = |rows: &serde_json::Value| {
        let rows: Vec<Vec<Option<f64>>> = serde_json::from_value(rows.clone()).unwrap();
        Array2::from_shape_fn((n, n), |(i, j)| rows[i][j].unwrap_or(f64::NAN))
    };
    Expected {
        panel: Panel::new(genes).unwrap(),
        n_cells: square(&found["n_cells"]).mapv(|n| n as u32),
        means: found["query_by_key"]
            .as_array()
            .unwrap()
            .iter()
            .map(square)
            .collect(),
    }
}

/// Scores are single precision; fixed point at 2⁻⁴⁰ is far finer.
fn assert_close(edges: &EdgeMatrix, means: &Array2<f64>) {
    for (&score, &mean) in edges.scores().iter().zip(means) {
        let score = f64::from(score);
        assert!(
            (score.is_nan() && mean.is_nan()) || (score - mean).abs() <= 1e-6 * mean.abs().max(1e-3),
            "{score} is not {mean}"
        );
    }
}

#[test]
fn every_form_of_tensor_gives_the_means_of_numpy() {
    for (folder, is_normalised) in [("given", true), ("given_logits", false)] {
        let expected = expected(folder);
        let by_query = sums(&golden(folder), &expected.panel, Orientation::Query).unwrap();
        let by_key = sums(&golden(folder), &expected.panel, Orientation::Key).unwrap();
        assert_eq!(by_query.n_cells(), expected.n_cells, "{folder}");
        assert_eq!((by_query.layers().len(), by_query.cells_read()), (2, 5));
        assert_eq!(by_query.is_normalised(), is_normalised, "{folder}");
        assert_eq!(by_query.cells_not_normalised(), if is_normalised { 0 } else { 5 });
        for (layer, means) in expected.means.iter().enumerate() {
            assert_close(&by_query.mean(layer).unwrap(), means);
            assert_close(&by_key.mean(layer).unwrap(), &means.t().to_owned());
        }
    }
    let logits = expected("given_logits");
    assert!(
        logits.means[0].iter().any(|mean| *mean < 0.0),
        "signed scores are summed too"
    );
}

#[test]
fn a_cell_is_shown_as_it_is_stored() {
    let cell = GivenAttention::open(&golden("given/d_f64.npy"), &ReadLimits::default()).unwrap();
    assert_eq!(cell.genes(), ["<cls>", "STAT1", "IRF1", "JAK2", "HLA-A"]);
    assert_eq!((cell.n_layers(), cell.n_heads()), (2, 3));
    for layer in 0..2 {
        let heads = cell.layer(layer).unwrap();
        assert_eq!(heads.dim(), (3, 5, 5));
        for row in heads.lanes(ndarray::Axis(2)) {
            assert!((row.sum() - 1.0).abs() < 1e-6, "rows are queries");
        }
        assert_eq!(
            heads.index_axis(ndarray::Axis(0), 2),
            cell.head(layer, 2).unwrap()
        );
    }
    let folder = open(&golden("given")).unwrap();
    let counts = folder.gene_counts().unwrap();
    assert_eq!(
        counts[..3],
        [
            ("STAT1".to_owned(), 5),
            ("IRF1".to_owned(), 4),
            ("JAK2".to_owned(), 4)
        ]
    );
    assert!(counts.iter().all(|(gene, _)| !gene.starts_with('<')));
}

/// The bytes of `np.save` for a type, an order and a shape.
fn npy(descr: &str, fortran: bool, shape: &str, values: &[u8]) -> Vec<u8> {
    let fortran = if fortran { "True" } else { "False" };
    let header = format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), values].concat()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A folder with one cell of two genes, of the given file.
fn folder_with(file: &str, content: &[u8], genes: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(file), content).unwrap();
    fs::write(folder.path().join("genes.txt"), genes).unwrap();
    folder
}

fn sound() -> Vec<u8> {
    npy("'<f4'", false, "(2, 2)", &bytes(&[0.25, 0.75, 1.0, 0.0]))
}

/// The error of reading everything.
fn refused(folder: &Path) -> String {
    let error = sums(folder, &panel(&["A", "B"]), Orientation::Query).unwrap_err();
    let line = error.to_string();
    assert!(!line.contains('\n'), "{line}");
    line
}

#[test]
fn a_matrix_and_a_stack_of_heads_are_one_layer() {
    let folder = folder_with("cell.npy", &sound(), "A\nB\n");
    let found = open(folder.path()).unwrap();
    assert_eq!((found.n_layers(), found.n_heads(), found.n_cells()), (1, 1, 1));
    let mean = |folder: &TempDir| {
        let sums = sums(folder.path(), &panel(&["A", "B"]), Orientation::Query).unwrap();
        sums.mean(0).unwrap().scores().iter().copied().collect::<Vec<_>>()
    };
    assert_eq!(mean(&folder), [0.25, 0.75, 1.0, 0.0]);
    let heads = npy(
        "'<f4'",
        false,
        "(2, 2, 2)",
        &bytes(&[0.25, 0.75, 1.0, 0.0, 0.75, 0.25, 0.5, 0.5]),
    );
    let folder = folder_with("cell.npy", &heads, "\u{feff}A\r\nB\r\n\r\n");
    assert_eq!(open(folder.path()).unwrap().n_heads(), 2);
    assert_eq!(mean(&folder), [0.5, 0.5, 0.75, 0.25]);
}

#[test]
fn what_is_no_attention_of_its_genes_is_named() {
    let values = bytes(&[0.25, 0.75, 1.0, 0.0]);
    for (content, words) in [
        (b"not numpy".to_vec(), &["cell.npy", "header", "np.save"][..]),
        (sound()[..20].to_vec(), &["header", "an end of the file"]),
        (
            sound()[..sound().len() - 1].to_vec(),
            &["values", "15 bytes", "16 bytes"],
        ),
        ([sound(), vec![0]].concat(), &["values", "17 bytes", "16 bytes"]),
        (
            npy("'<f4'", true, "(2, 2)", &values),
            &["Fortran", "np.ascontiguousarray"],
        ),
        (
            npy("'>f4'", false, "(2, 2)", &values),
            &["type", ">f4", "little-endian"],
        ),
        (npy("'<i4'", false, "(2, 2)", &values), &["<i4", "floating-point"]),
        (
            npy("[('a', '<f4')]", false, "(2, 2)", &values),
            &["a table of fields"],
        ),
        (npy("'<f4'", false, "2, 2", &values), &["shape"]),
        (
            npy("'<f4'", false, "(1, 4)", &values),
            &["shape", "[1, 4]", "[token, token]"],
        ),
        (npy("'<f4'", false, "(4,)", &values), &["shape", "[4]"]),
        (npy("'<f4'", false, "(0, 0)", &[]), &["shape", "at least one"]),
        (
            npy("'<f4'", false, "(4294967296, 4294967296)", &values),
            &["values", "16 bytes"],
        ),
        (
            npy("'<f4'", false, "(1000000, 1000000)", &values),
            &["16 bytes", "4000000000000 bytes"],
        ),
        (
            npy("'<f4'", false, "(2, 2)", &bytes(&[0.25, f32::NAN, 1.0, 0.0])),
            &["layer 0, head 0", "A to B", "NaN"],
        ),
        (
            npy(
                "'<f4'",
                false,
                "(2, 2)",
                &bytes(&[0.25, 1.0, f32::NEG_INFINITY, 0.0]),
            ),
            &["B to A", "-inf"],
        ),
        (
            npy(
                "'<f8'",
                false,
                "(2, 2)",
                &[0.0, 1e300, 0.0, 1.0].map(f64::to_le_bytes).concat(),
            ),
            &["A to B", "inf"],
        ),
    ] {
        let line = refused(folder_with("cell.npy", &content, "A\nB\n").path());
        for word in words {
            assert!(line.contains(word), "no {word:?} in {line}");
        }
    }
}

#[test]
fn gene_lists_that_do_not_fit_are_named() {
    for (genes, words) in [
        (
            "A\nB\nC\n",
            &["genes.txt", "found 3", "expected 2", "cell.npy"][..],
        ),
        ("A\n", &["found 1"]),
        ("", &["found 0"]),
        ("A\n\nB\n", &["found 3"]),
        ("\nB", &["\"\" at token 0"]),
        (
            "A\nA\n",
            &["genes.txt", "gene A is token 0 and token 1", "pooled"],
        ),
    ] {
        let line = refused(folder_with("cell.npy", &sound(), genes).path());
        for word in words {
            assert!(line.contains(word), "{genes:?}: no {word:?} in {line}");
        }
    }
    // Special tokens may come again, and a list of the cell's own comes before the shared one.
    let folder = folder_with("cell.npy", &sound(), "A\n");
    fs::write(folder.path().join("cell.genes.txt"), "<pad>\n<pad>\n").unwrap();
    let nothing = sums(folder.path(), &panel(&["A"]), Orientation::Query).unwrap();
    assert_eq!(nothing.n_cells(), Array2::<u32>::zeros((1, 1)));
    fs::remove_file(folder.path().join("cell.genes.txt")).unwrap();
    fs::remove_file(folder.path().join("genes.txt")).unwrap();
    assert!(refused(folder.path()).contains("no list, expected <cell>.genes.txt or genes.txt"));
}

#[test]
fn safetensors_that_hold_something_else_are_named() {
    let header = |json: &str, values: &[u8]| {
        [&(json.len() as u64).to_le_bytes()[..], json.as_bytes(), values].concat()
    };
    let values = bytes(&[0.25, 0.75, 1.0, 0.0]);
    for (content, words) in [
        (
            header(
                r#"{"probs":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}"#,
                &values,
            ),
            &["tensors probs", "the name attention"][..],
        ),
        (
            header(
                r#"{"attention":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]}}"#,
                &values,
            ),
            &["attention", "I32"],
        ),
        (
            header(
                r#"{"attention":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}"#,
                &values[..12],
            ),
            &["cut off"],
        ),
        (header("{", &values), &["not a safetensors file"]),
        (
            b"version https://git-lfs.github.com/spec/v1\n".to_vec(),
            &["Git LFS"],
        ),
        (
            header(
                r#"{"__metadata__":{"genes":"A, B"},"attention":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}"#,
                &values,
            ),
            &["genes in the metadata", "JSON list"],
        ),
        (
            header(
                r#"{"__metadata__":{"genes":"[\"A\",\"B\\nC\"]"},"attention":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}"#,
                &values,
            ),
            &["\"B\\nC\" at token 1"],
        ),
        (
            header(
                r#"{"__metadata__":{"genes":"[\"A\"]"},"attention":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}"#,
                &values,
            ),
            &["cell.safetensors", "found 1"],
        ),
    ] {
        let line = refused(folder_with("cell.safetensors", &content, "A\nB\n").path());
        for word in words {
            assert!(line.contains(word), "no {word:?} in {line}");
        }
    }
}

#[test]
fn folders_without_cells_or_with_cells_of_several_models_are_refused() {
    let empty = tempfile::tempdir().unwrap();
    assert!(refused(empty.path()).contains("no tensor"));
    assert!(refused(&empty.path().join("absent")).contains("absent"));

    let folder = folder_with("a.npy", &sound(), "A\nB\n");
    let two_heads = npy("'<f4'", false, "(2, 2, 2)", &bytes(&[0.5; 8]));
    fs::write(folder.path().join("b.npy"), two_heads).unwrap();
    let line = refused(folder.path());
    assert!(
        line.contains("b.npy") && line.contains("1 × 2") && line.contains("1 × 1, as in"),
        "{line}"
    );

    fs::rename(folder.path().join("b.npy"), folder.path().join("a.safetensors")).unwrap();
    let line = refused(folder.path());
    assert!(line.contains("a second file of the same cell"), "{line}");
}

#[test]
fn memory_is_asked_for_before_it_is_taken() {
    let folder = folder_with("cell.npy", &sound(), "A\nB\n");
    let limits = |memory_budget| ReadLimits {
        memory_budget,
        ..ReadLimits::default()
    };
    // Four values as stored and twice as 32-bit numbers.
    assert!(GivenFolder::open(folder.path(), &limits(48)).is_ok());
    let error = GivenFolder::open(folder.path(), &limits(47)).unwrap_err();
    assert!(
        matches!(
            error,
            Error::TooLarge {
                needed: 48,
                budget: 47,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(GivenSums::bytes(2, 10, 10), 2000);
    assert_eq!(GivenSums::bytes(2, usize::MAX, usize::MAX), u64::MAX);
}

#[test]
fn scores_beyond_the_sums_are_refused() {
    for value in [1e7f32, -1e7, f32::MAX] {
        let content = npy("'<f4'", false, "(2, 2)", &bytes(&[value, 0.0, 0.0, 1.0]));
        let line = refused(folder_with("cell.npy", &content, "A\nB\n").path());
        assert!(line.contains("too large"), "{line}");
    }
    // Each fits, their sum does not.
    let content = npy("'<f4'", false, "(2, 2)", &bytes(&[5e6, 0.0, 0.0, 1.0]));
    let folder = folder_with("a.npy", &content, "A\nB\n");
    assert!(sums(folder.path(), &panel(&["A"]), Orientation::Query).is_ok());
    fs::write(folder.path().join("b.npy"), &content).unwrap();
    assert!(refused(folder.path()).contains("too large"));
}

#[test]
fn sums_of_something_else_are_not_added() {
    let of = |layer, genes: &[&str], orientation| {
        GivenSums::new(vec![Layer(layer)], panel(genes), panel(genes), orientation)
    };
    let mut mine = of(0, &["A"], Orientation::Query);
    for other in [
        of(1, &["A"], Orientation::Query),
        of(0, &["B"], Orientation::Query),
        of(0, &["A"], Orientation::Key),
    ] {
        assert!(matches!(mine.merge(&other), Err(Error::Merge { .. })));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn halves_of_a_folder_add_up_to_the_whole_bit_for_bit(
        cells in prop::collection::vec(
            (prop::sample::subsequence(vec!["A", "B", "C", "D", "<pad>"], 1..=5), any::<u32>()), 1..8),
        split in any::<prop::sample::Index>(),
        key in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        for (i, (genes, seed)) in cells.iter().enumerate() {
            let n = genes.len();
            // Scores of any sign that are no multiples of 2⁻⁴⁰.
            let value = |i: usize| (f64::from(seed ^ (i as u32).wrapping_mul(2_654_435_761)) / 7e8 - 3.0) as f32;
            let values: Vec<f32> = (0..4 * n * n).map(value).collect();
            let content = npy("'<f4'", false, &format!("(2, 2, {n}, {n})"), &bytes(&values));
            fs::write(folder.path().join(format!("{i}.npy")), content).unwrap();
            fs::write(folder.path().join(format!("{i}.genes.txt")), genes.join("\n")).unwrap();
        }
        let orientation = if key { Orientation::Key } else { Orientation::Query };
        let empty = || GivenSums::new(vec![Layer(1), Layer(0)], panel(&["D", "A", "B"]), panel(&["C", "A"]), orientation);
        let whole_folder = open(folder.path()).unwrap();
        let mut whole = empty();
        let (mut first, mut second) = (empty(), empty());
        let split = split.index(cells.len() + 1);
        for (i, cell) in whole_folder.cells().enumerate() {
            let cell = cell.unwrap();
            whole.add(&cell).unwrap();
            if i < split { first.add(&cell).unwrap() } else { second.add(&cell).unwrap() }
        }
        second.merge(&first).unwrap();
        prop_assert_eq!(&second, &whole);
        for layer in 0..2 {
            let bits = |sums: &GivenSums| sums.mean(layer).unwrap().scores().mapv(f32::to_bits);
            prop_assert_eq!(bits(&second), bits(&whole));
        }
    }

    #[test]
    fn no_bytes_make_the_readers_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0..80usize) {
        for file in ["cell.npy", "cell.safetensors"] {
            let _ = sums(folder_with(file, &bytes, "A\nB\n").path(), &panel(&["A"]), Orientation::Query);
        }
        let mut spoilt = sound();
        let cut = cut.min(spoilt.len() - 1);
        spoilt[cut] = bytes.first().copied().unwrap_or(b'(');
        let _ = sums(folder_with("cell.npy", &spoilt, "A\nB\n").path(), &panel(&["A"]), Orientation::Query);
    }
}
