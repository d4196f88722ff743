//! Input that is broken, hostile or meant for something else: exit code 2 and one line that says what, where and what
//! to do.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use scfm_io::{CountType, FrameColumn, H5ad, H5adWriter, MatrixName, ReadLimits};
use sprs::{CsMat, TriMat};

use crate::harness::{Bench, copy, fixture, json};

/// A small sound screen that tests spoil: control cells and two perturbations over genes of the embedded checkpoint.
struct SmallScreen {
    cells: Vec<String>,
    genes: Vec<String>,
    labels: Vec<String>,
    counts: CsMat<f32>,
}

impl SmallScreen {
    fn new() -> Self {
        let file = H5ad::open(&fixture("rpe1/screen.h5ad"), &ReadLimits::default()).unwrap();
        let genes = file.var().unwrap().index().unwrap();
        let tfs: Vec<&String> = genes.iter().filter(|gene| gene.starts_with("SIMTF")).collect();
        let label = |cell: usize| match cell {
            0..40 => "control".to_owned(),
            _ => tfs[cell % 2].clone(),
        };
        let mut counts = TriMat::new((60, genes.len()));
        for cell in 0..60 {
            for gene in (cell % 3..genes.len()).step_by(3) {
                counts.add_triplet(cell, gene, (1 + (cell + gene) % 5) as f32);
            }
        }
        Self {
            cells: (0..60).map(|cell| format!("cell-{cell}")).collect(),
            labels: (0..60).map(label).collect(),
            genes,
            counts: counts.to_csr(),
        }
    }

    fn write(&self, path: &Path) {
        H5adWriter::new(self.cells.clone(), self.genes.clone())
            .matrix(MatrixName::X, self.counts.view(), CountType::F32)
            .obs(
                "perturbation",
                FrameColumn::Text(self.labels.iter().cloned().map(Some).collect()),
            )
            .write(path)
            .unwrap();
    }
}

/// `evaluate` of the screen with the embedded checkpoint.
fn evaluate_arguments(model: &Path) -> [&str; 7] {
    let model = model.to_str().unwrap();
    [
        "evaluate",
        "--cell-type",
        "k562",
        "--data",
        "screen.h5ad",
        "--model",
        model,
    ]
}

fn evaluate_screen(bench: &Bench, words: &[&str]) {
    bench.refused(&evaluate_arguments(&fixture("model")), words);
}

#[test]
fn the_small_screen_is_sound_until_it_is_spoilt() {
    let bench = Bench::new();
    SmallScreen::new().write(&bench.path("screen.h5ad"));
    bench.ok(&[&evaluate_arguments(&fixture("model"))[..], &["--quiet"]].concat());
}

#[test]
fn a_file_that_is_no_whole_h5ad_gets_one_line() {
    let whole = fs::read(fixture("rpe1/screen.h5ad")).unwrap();
    let half = whole.len() / 2;
    for (bytes, words) in [
        (&b""[..], &["HDF5"][..]),
        (b"gene,count\nSTAT1,3\n", &["HDF5"]),
        (b"PK\x03\x04 a zip archive", &["HDF5"]),
        (&whole[..64], &[]),
        (&whole[..10_000], &[]),
        (&whole[..half], &[]),
        (&whole[..whole.len() - 100], &[]),
    ] {
        let bench = Bench::new();
        fs::write(bench.path("screen.h5ad"), bytes).unwrap();
        evaluate_screen(&bench, &[&["screen.h5ad"], words].concat());
    }
}

#[test]
fn values_that_are_no_counts_are_named_with_cell_and_gene() {
    for (value, words) in [
        (-1.0, &["cell-7", "-1"][..]),
        (f32::NAN, &["cell-7", "NaN"]),
        (f32::INFINITY, &["cell-7", "inf"]),
        (0.25, &["cell-7", "0.25"]),
    ] {
        let bench = Bench::new();
        let mut screen = SmallScreen::new();
        *screen.counts.outer_view_mut(7).unwrap().get_mut(31).unwrap() = value;
        let gene = screen.genes[31].clone();
        screen.write(&bench.path("screen.h5ad"));
        evaluate_screen(&bench, &[&["screen.h5ad", "X", gene.as_str()], words].concat());
    }
}

#[test]
fn a_log_normalised_screen_is_said_to_be_one() {
    let bench = Bench::new();
    let mut screen = SmallScreen::new();
    screen
        .counts
        .data_mut()
        .iter_mut()
        .for_each(|x| *x = (1.0 + *x / 7.0).ln());
    screen.write(&bench.path("screen.h5ad"));
    evaluate_screen(&bench, &["screen.h5ad", "counts", "X"]);
}

#[test]
fn a_broken_row_pointer_or_index_is_named() {
    for (broken, words) in [("indptr", &["X/indptr"][..]), ("indices", &["X/indices"])] {
        let bench = Bench::new();
        let path = bench.path("screen.h5ad");
        let screen = SmallScreen::new();
        H5adWriter::new(screen.cells.clone(), screen.genes.clone())
            .uncompressed()
            .matrix(MatrixName::X, screen.counts.view(), CountType::F32)
            .obs(
                "perturbation",
                FrameColumn::Text(screen.labels.iter().cloned().map(Some).collect()),
            )
            .write(&path)
            .unwrap();
        // Finds the array among the bytes of the file and spoils its fourth entry.
        let entries: Vec<i32> = match broken {
            "indptr" => screen.counts.indptr().raw_storage()[..4]
                .iter()
                .map(|&e| e as i32)
                .collect(),
            _ => screen.counts.indices()[..4].iter().map(|&e| e as i32).collect(),
        };
        let pattern: Vec<u8> = entries.iter().flat_map(|e| e.to_le_bytes()).collect();
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes
            .windows(pattern.len())
            .position(|window| window == pattern)
            .unwrap_or_else(|| panic!("no {broken} in the file"));
        bytes[at + 12..at + 16].copy_from_slice(&1_000_000i32.to_le_bytes());
        fs::write(&path, bytes).unwrap();
        evaluate_screen(&bench, &[&["screen.h5ad"], words].concat());
    }
}

#[test]
fn a_screen_of_another_kind_is_told_apart() {
    let bench = Bench::new();
    let path = bench.path("screen.h5ad");

    let mut mouse = SmallScreen::new();
    mouse
        .genes
        .iter_mut()
        .for_each(|gene| *gene = format!("Mm{}", gene.to_lowercase()));
    mouse.write(&path);
    evaluate_screen(&bench, &["knows 0 of 300 genes", "Mmsim"]);

    let screen = SmallScreen::new();
    let transposed: CsMat<f32> = screen.counts.transpose_view().to_csr();
    H5adWriter::new(screen.genes.clone(), screen.cells.clone())
        .matrix(MatrixName::X, transposed.view(), CountType::F32)
        .write(&path)
        .unwrap();
    evaluate_screen(&bench, &["transposed", "obs"]);

    let mut no_controls = SmallScreen::new();
    no_controls
        .labels
        .iter_mut()
        .for_each(|label| *label = no_controls.genes[0].clone());
    no_controls.write(&path);
    evaluate_screen(&bench, &["screen.h5ad", "control"]);

    let screen = SmallScreen::new();
    H5adWriter::new(screen.cells.clone(), screen.genes.clone())
        .matrix(MatrixName::X, screen.counts.view(), CountType::F32)
        .write(&path)
        .unwrap();
    evaluate_screen(&bench, &["screen.h5ad", "--perturbation-column"]);

    H5adWriter::new(screen.cells, screen.genes).write(&path).unwrap();
    evaluate_screen(&bench, &["screen.h5ad", "no matrix"]);
}

#[test]
fn a_memory_budget_that_the_file_exceeds_is_said_before_anything_is_read() {
    let bench = Bench::new();
    bench.refused(
        &["evaluate", "--cell-type", "rpe1", "--memory", "0.00001"],
        &["screen.h5ad", "memory", "--memory"],
    );
    for memory in ["-1", "NaN", "0", "lots"] {
        let output = bench.run(&["evaluate", "--cell-type", "rpe1", "--memory", memory]);
        assert_eq!(output.status.code(), Some(2), "--memory {memory}");
    }
}

/// Spoils one file of the embedded checkpoint and expects the refusal to name it.
fn spoilt_model(file: &str, spoil: impl FnOnce(&Path), words: &[&str]) {
    let bench = Bench::new();
    copy(&fixture("model"), &bench.path("model"));
    spoil(&bench.path("model").join(file));
    bench.refused(&["evaluate", "--cell-type", "rpe1", "--model", "model"], words);
}

/// Changes one entry of a JSON object.
fn set(path: &Path, key: &str, value: serde_json::Value) {
    let mut object: serde_json::Map<String, serde_json::Value> = json(path);
    object.insert(key.to_owned(), value);
    fs::write(path, serde_json::to_vec(&object).unwrap()).unwrap();
}

#[test]
fn a_checkpoint_that_does_not_fit_together_is_refused() {
    let remove = |path: &Path| fs::remove_file(path).unwrap();
    spoilt_model("config.json", remove, &["config.json"]);
    spoilt_model(
        "config.json",
        |path| fs::write(path, "{ layers: 4").unwrap(),
        &["config.json"],
    );
    spoilt_model("token_dictionary.json", remove, &["token_dictionary"]);
    let smaller = |path: &Path| set(path, "vocab_size", 299.into());
    spoilt_model(
        "config.json",
        smaller,
        &["302 entries", "299", "different models"],
    );
    for (key, value, words) in [
        ("hidden_act", "gelu".into(), &["hidden_act", "gelu"][..]),
        ("num_attention_heads", 5.into(), &["5", "64"]),
        ("num_hidden_layers", 5.into(), &["bert.encoder.layer.4"]),
        (
            "num_hidden_layers",
            4_000_000_000u64.into(),
            &["num_hidden_layers"],
        ),
        ("intermediate_size", 100.into(), &["100", "intermediate"]),
        ("max_position_embeddings", 0.into(), &["max_position_embeddings"]),
    ] {
        spoilt_model(
            "config.json",
            |path| set(path, key, value),
            &[&["config.json"], words].concat(),
        );
    }
}

#[test]
fn spoilt_weights_are_refused() {
    let truncate = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    };
    spoilt_model("model.safetensors", truncate, &["model.safetensors"]);
    let huge_header = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        fs::write(path, bytes).unwrap();
    };
    spoilt_model("model.safetensors", huge_header, &["model.safetensors"]);
    let not_a_number = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        let last = bytes.len() - 4;
        bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
        fs::write(path, bytes).unwrap();
    };
    spoilt_model(
        "model.safetensors",
        not_a_number,
        &["model.safetensors", "not finite"],
    );
}

#[test]
fn a_hostile_or_broken_dictionary_is_refused_and_nothing_of_it_is_run() {
    let bench = Bench::new();
    copy(&fixture("model"), &bench.path("model"));
    fs::remove_file(bench.path("model/token_dictionary.json")).unwrap();
    let dictionary = bench.path("model/token_dictionary_gc30M.pkl");
    for (pickle, words) in [
        (&b"cos\nsystem\n(S'touch pwned'\ntR."[..], &["pickle"][..]),
        (
            b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.",
            &["builtins", "eval"],
        ),
        // A string that says it is four exabytes long.
        (b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x3f", &[]),
        (b"\x80\x04}\x94", &[]),
        (b"", &[]),
    ] {
        fs::write(&dictionary, pickle).unwrap();
        bench.refused(
            &["evaluate", "--cell-type", "rpe1", "--model", "model"],
            &[&["token_dictionary_gc30M.pkl"], words].concat(),
        );
        assert!(!bench.path("pwned").exists(), "the pickle was run");
    }
    fs::remove_file(&dictionary).unwrap();
    for (json, words) in [
        ("[1, 2]", &[][..]),
        ("{\"ENSG99000000000\": \"two\"}", &["ENSG99000000000"]),
        ("{\"ENSG99000000000\": -2}", &["ENSG99000000000"]),
        ("{\"ENSG99000000000\": 2, \"ENSG99000000001\": 2}", &["2"]),
    ] {
        fs::write(bench.path("model/token_dictionary.json"), json).unwrap();
        bench.refused(
            &["evaluate", "--cell-type", "rpe1", "--model", "model"],
            &[&["token_dictionary.json"], words].concat(),
        );
    }
}

#[test]
fn a_broken_reference_is_named_with_its_line() {
    let bench = Bench::new();
    fs::create_dir(bench.path("references")).unwrap();
    let path = bench.path("references/trrust_rawdata.human.tsv");
    for (text, words) in [
        (
            &b"SIMTF0001\tSIMG0002\tActivation\t1\nSIMTF0001\n"[..],
            &["line 2"][..],
        ),
        (b"\xff\xfe\x00\x01\x02", &[]),
        (b"", &["no edge"]),
    ] {
        fs::write(&path, text).unwrap();
        bench.refused(
            &["evaluate", "--cell-type", "rpe1", "--references", "references"],
            &[&["trrust_rawdata.human.tsv"], words].concat(),
        );
    }
    fs::remove_file(&path).unwrap();
    bench.refused(
        &["evaluate", "--cell-type", "rpe1", "--references", "references"],
        &["trrust_rawdata.human.tsv", "no such file"],
    );
}

#[test]
fn broken_references_of_every_kind_are_named_with_their_line() {
    let bench = Bench::new();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/rpe1/references");
    fs::create_dir(bench.path("references")).unwrap();
    for (file, text, words) in [
        (
            "string_links_symbols.csv",
            "protein1,protein2,score\nA,B,0.9\nA,C,much\n",
            "line 3",
        ),
        ("ReactomePathways.gmt", "pathway\tR-1\tA\tB\nno tabs\n", "line 2"),
        ("kegg.gmt", "", "no gene set"),
        (
            "dorothea.tsv",
            "tf\tconfidence\ttarget\tmor\nA\tX\tB\t1\n",
            "line 2",
        ),
        ("tf_classes.txt", "tf\tclass\nA\tboss\n", "line 2"),
    ] {
        let trrust = "trrust_rawdata.human.tsv";
        fs::copy(fixture.join(trrust), bench.path("references").join(trrust)).unwrap();
        let path = bench.path("references").join(file);
        fs::write(&path, text).unwrap();
        bench.refused(
            &["evaluate", "--cell-type", "rpe1", "--references", "references"],
            &[file, words],
        );
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_context_file_that_says_something_else_is_refused() {
    let bench = Bench::new();
    let sound = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("contexts/rpe1.toml")).unwrap();
    for (text, words) in [
        (sound.replace("hvg = 3309", "hgv = 3309"), &["hgv"][..]),
        (sound.replace("hvg = 3309", "hvg = \"many\""), &["string"]),
        (sound.replace("[dataset]", "[dataset"), &[]),
        (sound.replace("hvg = 220", "lfc = -1.0"), &["lfc"]),
        (sound.replace("hvg = 220", "folds = 1"), &["folds"]),
        (sound.replace("hvg = 220", "alpha = 1.5"), &["alpha"]),
        (sound.replace("n_ctrl = 500", "n_ctrl = 0"), &["n_ctrl"]),
    ] {
        assert_ne!(text, sound);
        fs::write(bench.path("mine.toml"), text).unwrap();
        bench.refused(
            &["evaluate", "--context", "mine.toml"],
            &[&["mine.toml"], words].concat(),
        );
    }
}

#[test]
fn a_run_folder_that_is_damaged_is_refused() {
    let bench = Bench::new();
    fs::create_dir(bench.path("run")).unwrap();
    fs::write(bench.path("run/run.toml"), "seed = \"none\"").unwrap();
    bench.refused(&["report", "run"], &["run.toml"]);
}

#[test]
fn missing_files_and_wrong_names_get_one_line() {
    let bench = Bench::new();
    bench.refused(
        &["evaluate", "--cell-type", "rpe1", "--data", "absent.h5ad"],
        &["absent.h5ad", "no such file"],
    );
    bench.refused(&["evaluate", "--cell-type", "hela"], &["hela", "RPE1"]);
    bench.refused(&["evaluate", "--context", "absent"], &["absent", "papalexi"]);
    bench.refused(
        &["evaluate", "--cell-type", "rpe1", "--analyses", "horoscope"],
        &["horoscope", "gene-baselines"],
    );
    bench.refused(
        &["evaluate", "--cell-type", "rpe1", "--layer", "4"],
        &["layer 4", "0 to 3"],
    );
    bench.refused(&["evaluate", "--context", "papalexi"], &["papalexi", "--data"]);
    bench.refused(&["inspect", "absent.h5ad"], &["absent.h5ad"]);
    bench.refused(&["report", "."], &["run.toml"]);
}

#[test]
fn a_wrong_perturbation_column_lists_the_columns_with_their_labels() {
    let bench = Bench::new();
    bench.refused(
        &[
            "evaluate",
            "--cell-type",
            "rpe1",
            "--perturbation-column",
            "target",
        ],
        &[
            "screen.h5ad",
            "\"target\"",
            "guide",
            "cell_state",
            "control ×1000",
        ],
    );
    bench.refused(
        &[
            "evaluate",
            "--cell-type",
            "rpe1",
            "--perturbation-column",
            "cell_state",
        ],
        &["cell_state", "no control label"],
    );
}

#[test]
fn a_checkpoint_without_one_of_its_tensors_is_refused_by_name() {
    let bench = Bench::new();
    copy(&fixture("model"), &bench.path("model"));
    // The header of a safetensors file is JSON after its length: spelling a name differently takes the tensor away.
    let path = bench.path("model/model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let name = b"bert.encoder.layer.1.attention.self.key.weight";
    let at = bytes
        .windows(name.len())
        .position(|window| window == name)
        .unwrap();
    bytes[at..at + 4].copy_from_slice(b"tert");
    fs::write(&path, bytes).unwrap();
    bench.refused(
        &["evaluate", "--cell-type", "rpe1", "--model", "model"],
        &[
            "bert.encoder.layer.1.attention.self.key.weight",
            "model.safetensors",
        ],
    );
    fs::remove_file(&path).unwrap();
    bench.refused(
        &["evaluate", "--cell-type", "rpe1", "--model", "model"],
        &["model.safetensors"],
    );
}

#[test]
fn ensembl_ids_against_a_symbol_vocabulary_are_recognised() {
    let bench = Bench::new();
    copy(&fixture("model"), &bench.path("model"));
    // The model's dictionaries speak of symbols where the screen has Ensembl ids in a column of its own.
    let names: BTreeMap<String, String> = json(&bench.path("model/gene_name_id_dict.json"));
    let symbol_of: BTreeMap<&String, &String> = names.iter().map(|(symbol, id)| (id, symbol)).collect();
    for file in ["model/token_dictionary.json", "model/gene_median_dictionary.json"] {
        let dictionary: BTreeMap<String, serde_json::Value> = json(&bench.path(file));
        let renamed: BTreeMap<String, serde_json::Value> = dictionary
            .into_iter()
            .map(|(key, value)| {
                (
                    symbol_of
                        .get(&key)
                        .map_or(key.clone(), |symbol| format!("MOUSE-{symbol}")),
                    value,
                )
            })
            .collect();
        fs::write(bench.path(file), serde_json::to_vec(&renamed).unwrap()).unwrap();
    }
    fs::remove_file(bench.path("model/gene_name_id_dict.json")).unwrap();
    bench.refused(
        &["evaluate", "--cell-type", "rpe1", "--model", "model"],
        &[
            "knows 0 of 300 genes",
            "ENSG99",
            "MOUSE-SIM",
            "Ensembl ids against a symbol vocabulary",
        ],
    );
}
