//! Reading and writing of checkpoint folders, whole and broken.

mod common;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use common::{checkpoint, vocabulary};
use scfm_attention::Error;
use scfm_attention::geneformer::{Checkpoint, Config, Geneformer, Vocabulary};
use scfm_core::Seeds;
use tempfile::TempDir;

fn saved() -> TempDir {
    let folder = TempDir::new().unwrap();
    checkpoint(10, 12).save(folder.path()).unwrap();
    folder
}

fn load(folder: &TempDir) -> Result<Checkpoint, Error> {
    Checkpoint::load(folder.path())
}

/// Rewrites the weights of a folder.
fn change_weights(folder: &TempDir, change: impl FnOnce(&mut HashMap<String, Tensor>)) {
    let path = folder.path().join("model.safetensors");
    let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    change(&mut tensors);
    candle_core::safetensors::save(&tensors, &path).unwrap();
}

fn logits(checkpoint: &Checkpoint) -> Vec<f32> {
    let model = Geneformer::new(checkpoint).unwrap();
    model
        .masked_gene_logits(&[2, 5, 3, 11], &[0, 3])
        .unwrap()
        .into_raw_vec_and_offset()
        .0
}

#[test]
fn what_is_saved_is_what_is_loaded_in_the_same_bytes_every_time() {
    let (a, b) = (saved(), saved());
    let names = [
        "config.json",
        "model.safetensors",
        "token_dictionary.json",
        "gene_median_dictionary.json",
    ];
    for name in names {
        assert_eq!(
            fs::read(a.path().join(name)).unwrap(),
            fs::read(b.path().join(name)).unwrap(),
            "{name}"
        );
    }
    assert_eq!(fs::read_dir(a.path()).unwrap().count(), names.len());
    let (original, loaded) = (checkpoint(10, 12), load(&a).unwrap());
    assert_eq!(loaded.config(), original.config());
    assert_eq!(loaded.vocabulary(), original.vocabulary());
    assert_eq!(logits(&loaded), logits(&original));
}

#[test]
fn gene_names_travel_with_the_dictionaries() {
    let names = [("STAT1".to_owned(), "G001".to_owned())];
    let vocabulary = vocabulary(10).with_names(names.clone());
    let mut rng = Seeds::new(1).stream("test", "weights", 0);
    let config = Config::sized(1, 8, 2, 12, 12);
    let folder = TempDir::new().unwrap();
    Checkpoint::random(config, vocabulary, &mut rng)
        .unwrap()
        .save(folder.path())
        .unwrap();
    assert_eq!(
        load(&folder).unwrap().vocabulary().names(),
        &names.into_iter().collect()
    );
}

#[test]
fn random_weights_follow_the_seed_and_the_configuration() {
    let random = |index| {
        let mut rng = Seeds::new(7).stream("test", "weights", index);
        Checkpoint::random(Config::sized(2, 64, 4, 202, 300), vocabulary(200), &mut rng).unwrap()
    };
    assert_eq!(logits(&random(0)), logits(&random(0)));
    assert_ne!(logits(&random(0)), logits(&random(1)));
    let weights = random(0);
    let words = weights
        .weights()
        .get("bert.embeddings.word_embeddings.weight", &[202, 64])
        .unwrap();
    let words: Vec<Vec<f32>> = words.to_vec2().unwrap();
    assert!(words[0].iter().all(|&x| x == 0.0), "padding starts at zero");
    let values: Vec<f64> = words[1..].iter().flatten().map(|&x| f64::from(x)).collect();
    let sd = (values.iter().map(|x| x * x).sum::<f64>() / values.len() as f64).sqrt();
    // Five standard errors of a standard deviation over 12,864 values.
    assert!((sd / 0.02 - 1.0).abs() < 5.0 / (2.0 * 12_864f64).sqrt(), "{sd}");
}

#[test]
fn files_that_are_missing_are_named() {
    for (name, expected) in [
        ("config.json", "configuration"),
        ("model.safetensors", "weights"),
        ("token_dictionary.json", "token dictionary"),
        ("gene_median_dictionary.json", "gene median dictionary"),
    ] {
        let folder = saved();
        fs::remove_file(folder.path().join(name)).unwrap();
        let error = load(&folder).unwrap_err();
        assert!(
            matches!(error, Error::MissingFile { what, .. } if what == expected),
            "{error}"
        );
        assert!(
            error.to_string().contains(name) && !error.to_string().contains('\n'),
            "{error}"
        );
    }
}

#[test]
fn dictionaries_may_lie_in_another_folder_under_their_published_names() {
    let (weights, dictionaries) = (saved(), TempDir::new().unwrap());
    for stem in ["token_dictionary", "gene_median_dictionary"] {
        let to = dictionaries.path().join(format!("{stem}_gc30M.json"));
        fs::rename(weights.path().join(format!("{stem}.json")), to).unwrap();
    }
    let loaded = Checkpoint::load_with(weights.path(), dictionaries.path()).unwrap();
    assert_eq!(loaded.vocabulary(), &vocabulary(10));
}

#[test]
fn tensors_that_are_missing_or_misshapen_are_named_with_both_shapes() {
    let name = "bert.encoder.layer.1.attention.self.key.weight";
    let folder = saved();
    change_weights(&folder, |tensors| {
        tensors.remove(name).unwrap();
    });
    let error = load(&folder).unwrap_err();
    assert!(
        matches!(&error, Error::MissingTensor { name: found, .. } if found == name),
        "{error}"
    );

    let folder = saved();
    change_weights(&folder, |tensors| {
        tensors.insert(
            name.to_owned(),
            Tensor::zeros((16, 8), DType::F32, &Device::Cpu).unwrap(),
        );
    });
    let error = load(&folder).unwrap_err();
    assert!(
        matches!(&error, Error::TensorShape { found, expected, .. } if found == &[16, 8] && expected == &[16, 16])
    );
    assert!(error.to_string().contains(name), "{error}");

    let folder = saved();
    change_weights(&folder, |tensors| {
        let bad = Tensor::full(f32::INFINITY, (16, 16), &Device::Cpu).unwrap();
        tensors.insert(name.to_owned(), bad);
    });
    assert!(
        matches!(load(&folder).unwrap_err(), Error::TensorNotFinite { name: found, .. } if found == name)
    );
}

#[test]
fn a_file_without_the_masked_gene_head_still_gives_attention() {
    let folder = saved();
    change_weights(&folder, |tensors| {
        tensors.retain(|name, _| name.starts_with("bert."));
    });
    let model = Geneformer::new(&load(&folder).unwrap()).unwrap();
    assert_eq!(model.attention(&[2, 3]).unwrap().len(), 3);
    assert!(matches!(
        model.masked_gene_logits(&[2, 3], &[0]),
        Err(Error::NoHead { .. })
    ));
}

#[test]
fn a_masked_gene_head_without_one_of_its_parts_is_refused_when_it_is_loaded() {
    for name in [
        "cls.predictions.bias",
        "cls.predictions.transform.dense.weight",
        "cls.predictions.transform.dense.bias",
        "cls.predictions.transform.LayerNorm.weight",
        "cls.predictions.transform.LayerNorm.bias",
    ] {
        let folder = saved();
        change_weights(&folder, |tensors| {
            tensors.remove(name).unwrap();
        });
        let error = load(&folder).unwrap_err();
        assert!(
            matches!(&error, Error::MissingTensor { name: found, .. } if found == name),
            "{error}"
        );
        let folder = saved();
        change_weights(&folder, |tensors| {
            let other = Tensor::zeros((3, 3), DType::F32, &Device::Cpu).unwrap();
            tensors.insert(name.to_owned(), other);
        });
        let error = load(&folder).unwrap_err();
        assert!(
            matches!(&error, Error::TensorShape { found, .. } if found == &[3, 3]),
            "{error}"
        );
    }
}

#[test]
fn half_precision_and_unknown_tensors_are_read_and_passed_over() {
    let folder = saved();
    change_weights(&folder, |tensors| {
        let ids = Tensor::arange(0i64, 12, &Device::Cpu).unwrap();
        tensors.insert("bert.embeddings.position_ids".to_owned(), ids);
        for tensor in tensors.values_mut().filter(|t| t.dtype() == DType::F32) {
            *tensor = tensor.to_dtype(DType::BF16).unwrap();
        }
    });
    let loaded = load(&folder).unwrap();
    assert!(!loaded.weights().contains("bert.embeddings.position_ids"));
    let name = "cls.predictions.transform.dense.weight";
    let rounded = checkpoint(10, 12)
        .weights()
        .get(name, &[16, 16])
        .unwrap()
        .to_dtype(DType::BF16)
        .unwrap();
    let expected: Vec<Vec<f32>> = rounded.to_dtype(DType::F32).unwrap().to_vec2().unwrap();
    assert_eq!(
        loaded
            .weights()
            .get(name, &[16, 16])
            .unwrap()
            .to_vec2::<f32>()
            .unwrap(),
        expected
    );
}

#[test]
fn dictionaries_of_another_model_are_refused() {
    let folder = saved();
    let other = TempDir::new().unwrap();
    checkpoint(11, 12).save(other.path()).unwrap();
    let error = Checkpoint::load_with(folder.path(), other.path()).unwrap_err();
    assert!(
        matches!(error, Error::VocabularySize { tokens: 13, rows: 12 }),
        "{error}"
    );
}

#[test]
fn a_file_cut_off_anywhere_is_an_error_and_says_so() {
    let folder = saved();
    let path = folder.path().join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    let header_end = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    for length in [
        0,
        3,
        8,
        9,
        header_end - 1,
        header_end,
        header_end + 1,
        whole.len() / 2,
        whole.len() - 1,
    ] {
        fs::write(&path, &whole[..length]).unwrap();
        let error = load(&folder).unwrap_err();
        let expected = if length < header_end {
            matches!(error, Error::Safetensors { .. })
        } else {
            matches!(error, Error::Truncated { found, .. } if found == length as u64)
        };
        assert!(expected, "{length} bytes: {error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[test]
fn a_file_that_was_not_downloaded_is_told_so() {
    let folder = saved();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:fff5cba2\nsize 417571156\n";
    fs::write(folder.path().join("model.safetensors"), pointer).unwrap();
    let error = load(&folder).unwrap_err().to_string();
    assert!(
        error.contains("model.safetensors") && error.contains("pointer of Git LFS"),
        "{error}"
    );
}

#[test]
fn headers_that_lie_are_refused_before_anything_is_allocated() {
    let folder = saved();
    let path = folder.path().join("model.safetensors");
    let file = |header: &str| {
        [
            &(header.len() as u64).to_le_bytes()[..],
            header.as_bytes(),
            &[0; 64],
        ]
        .concat()
    };
    let name = "cls.predictions.bias";
    let entry = |shape: &str, offsets: &str| {
        file(&format!(
            r#"{{"{name}":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#
        ))
    };
    let cases = [
        ("a header of 2⁶⁴ − 1 bytes", [&[0xff; 8][..], &[0; 64]].concat()),
        ("no JSON", file("not json")),
        ("more elements than bytes", entry("[1000000000000]", "[0,64]")),
        (
            "a product of dimensions beyond 2⁶⁴",
            entry("[4294967296,4294967296,4]", "[0,64]"),
        ),
        ("offsets backwards", entry("[4]", "[32,16]")),
        (
            "offsets beyond the file",
            entry("[4611686018427387904]", "[0,18446744073709551615]"),
        ),
        (
            "an unknown type",
            file(&format!(
                r#"{{"{name}":{{"dtype":"F33","shape":[4],"data_offsets":[0,16]}}}}"#
            )),
        ),
    ];
    for (what, bytes) in cases {
        fs::write(&path, bytes).unwrap();
        let error = load(&folder).unwrap_err();
        assert!(
            matches!(error, Error::Safetensors { .. } | Error::Truncated { .. }),
            "{what}: {error}"
        );
    }
}

#[test]
fn configurations_are_read_leniently_but_not_believed() {
    let folder = saved();
    let path = folder.path().join("config.json");
    let text = fs::read_to_string(&path).unwrap();
    let with = |from: &str, to: &str| {
        assert!(text.contains(from), "{from} in {text}");
        fs::write(&path, text.replace(from, to)).unwrap();
        load(&folder)
    };
    assert!(
        with(
            "\"model_type\"",
            "\"gradient_checkpointing\": false, \"model_type\""
        )
        .is_ok()
    );
    assert!(with("  \"type_vocab_size\": 2,\n", "").is_ok());
    assert!(matches!(
        with("\"relu\"", "\"gelu\""),
        Err(Error::In { path, source })
            if path.ends_with("config.json")
                && matches!(*source, Error::Config { key: "hidden_act", .. })
    ));
    assert!(matches!(
        with("\"hidden_size\": 16", "\"hidden_size\": 24"),
        Err(Error::TensorShape { .. })
    ));
    assert!(matches!(
        with("\"hidden_size\": 16", "\"hidden_size\": -1"),
        Err(Error::Json { .. })
    ));
    assert!(matches!(with("{", "["), Err(Error::Json { .. })));
    let deeper = with("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4");
    assert!(matches!(deeper, Err(Error::MissingTensor { name, .. }) if name.contains("layer.3")));
}

#[test]
fn published_v1_dictionaries_do_not_pass_for_those_of_v2() {
    let Some(data) = std::env::var_os("SCFM_TEST_DATA") else {
        eprintln!("skipped: SCFM_TEST_DATA is not set");
        return;
    };
    let dictionaries = Path::new(&data).join("models/geneformer_gc30M");
    let tokens = scfm_io::read_token_dictionary(&dictionaries.join("token_dictionary.pkl")).unwrap();
    let medians = scfm_io::read_median_dictionary(&dictionaries.join("gene_median_dictionary.pkl")).unwrap();
    let v1 = Vocabulary::new(tokens, medians).unwrap();
    let mut rng = Seeds::new(1).stream("test", "weights", 0);
    let v2 = Config::sized(1, 8, 1, 20_275, 16);
    let error = Checkpoint::random(v2, v1.clone(), &mut rng).unwrap_err();
    assert!(
        matches!(
            error,
            Error::VocabularySize {
                tokens: 25_426,
                rows: 20_275
            }
        ),
        "{error}"
    );

    let folder = TempDir::new().unwrap();
    let fitting = Config::sized(1, 8, 1, 25_426, 16);
    Checkpoint::random(fitting, v1.clone(), &mut rng)
        .unwrap()
        .save(folder.path())
        .unwrap();
    for stem in ["token_dictionary", "gene_median_dictionary"] {
        fs::remove_file(folder.path().join(format!("{stem}.json"))).unwrap();
    }
    let loaded = Checkpoint::load_with(folder.path(), &dictionaries).unwrap();
    assert_eq!(
        loaded.vocabulary().names().get("STAT1").map(String::as_str),
        Some("ENSG00000115415")
    );
    let stat1 = v1.token("ENSG00000115415").unwrap();
    assert_eq!(loaded.vocabulary().gene(stat1), Some("ENSG00000115415"));
}

/// A copy of the golden checkpoint whose weights are the file of `torch.save`.
fn torch_folder() -> TempDir {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let folder = TempDir::new().unwrap();
    for name in [
        "bert/config.json",
        "bert/token_dictionary.json",
        "bert/gene_median_dictionary.json",
        "bert_torch/pytorch_model.bin",
    ] {
        let from = golden.join(name);
        fs::copy(&from, folder.path().join(from.file_name().unwrap())).unwrap();
    }
    folder
}

#[test]
fn weights_of_torch_are_those_of_their_safetensors_twin() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let twin = Checkpoint::load(&golden.join("bert")).unwrap();
    let folder = torch_folder();
    let torch = load(&folder).unwrap();
    assert!(torch.files()["weights"].ends_with("pytorch_model.bin"));
    let names = |checkpoint: &Checkpoint| checkpoint.weights().tensors().keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        names(&torch),
        names(&twin),
        "the tied decoder and the position ids are left out"
    );
    for (name, tensor) in twin.weights().tensors() {
        let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let found = torch.weights().get(name, tensor.dims()).unwrap();
        assert_eq!(values(&found), values(tensor), "{name}");
    }

    // Beside safetensors the pickled file is not opened.
    fs::copy(
        golden.join("bert/model.safetensors"),
        folder.path().join("model.safetensors"),
    )
    .unwrap();
    fs::write(folder.path().join("pytorch_model.bin"), b"broken").unwrap();
    assert!(load(&folder).unwrap().files()["weights"].ends_with("model.safetensors"));
}

#[test]
fn a_broken_file_of_torch_is_named() {
    let folder = torch_folder();
    let path = folder.path().join("pytorch_model.bin");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let error = load(&folder).unwrap_err();
    assert!(matches!(error, Error::Torch(_)), "{error}");
    assert!(
        error.to_string().starts_with(&path.display().to_string()),
        "{error}"
    );
}

#[test]
fn a_decoder_of_its_own_is_refused() {
    let folder = saved();
    change_weights(&folder, |tensors| {
        let words = tensors["bert.embeddings.word_embeddings.weight"].clone();
        tensors.insert("cls.predictions.decoder.weight".to_owned(), words);
    });
    assert!(
        !load(&folder)
            .unwrap()
            .weights()
            .contains("cls.predictions.decoder.weight")
    );
    change_weights(&folder, |tensors| {
        let other = Tensor::zeros((12, 16), DType::F32, &Device::Cpu).unwrap();
        tensors.insert("cls.predictions.decoder.weight".to_owned(), other);
    });
    let error = load(&folder).unwrap_err();
    assert!(
        matches!(
            error,
            Error::NotTied {
                copy: "cls.predictions.decoder.weight",
                ..
            }
        ),
        "{error}"
    );
}
