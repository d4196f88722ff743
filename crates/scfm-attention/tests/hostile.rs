//! Checkpoints made to deceive or to fill memory, file by file: each is refused by its kind of error, in one line that names
//! the file.

mod common;

use std::fs;
use std::path::Path;

use common::checkpoint;
use scfm_attention::scgpt::{self, ValueEncoding};
use scfm_attention::{Error, geneformer};
use scfm_core::Seeds;
use tempfile::TempDir;

const CONFIG: &str = "config.json";
const ARGS: &str = "args.json";
const WEIGHTS: &str = "model.safetensors";
const TOKENS: &str = "token_dictionary.json";
const LFS_POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:fff5cba2\nsize 417571156\n";

/// A Geneformer of 10 genes and 12 tokens, width 16, 3 layers.
fn geneformer() -> TempDir {
    let folder = TempDir::new().unwrap();
    checkpoint(10, 12).save(folder.path()).unwrap();
    folder
}

/// An scGPT of 3 genes and 6 tokens, width 8, 2 layers.
fn scgpt() -> TempDir {
    let vocabulary = scgpt::Vocabulary::of_genes(["STAT1", "IRF1", "MYC"].map(str::to_owned)).unwrap();
    let mut rng = Seeds::new(1).stream("test", "weights", 0);
    let folder = TempDir::new().unwrap();
    let config = scgpt::Config::sized(2, 8, 2);
    assert_eq!(config.input_emb_style, ValueEncoding::Continuous);
    scgpt::Checkpoint::random(config, vocabulary, &mut rng)
        .unwrap()
        .save(folder.path())
        .unwrap();
    folder
}

fn load(folder: &Path) -> Result<(), Error> {
    if scgpt::Checkpoint::is_in(folder) {
        scgpt::Checkpoint::load(folder).map(|_| ())
    } else {
        geneformer::Checkpoint::load(folder).map(|_| ())
    }
}

/// The error of a folder with one file replaced, which its message names.
fn refused(folder: &TempDir, name: &str, content: impl AsRef<[u8]>) -> Error {
    fs::write(folder.path().join(name), content).unwrap();
    let error = load(folder.path()).unwrap_err();
    let message = error.to_string();
    assert!(!message.contains(char::is_control), "{message:?}");
    assert!(message.len() < 2_000, "{} bytes", message.len());
    assert!(message.contains(name), "{name}: {message}");
    error
}

/// A text of a folder with one part of it changed.
fn changed(folder: &TempDir, name: &str, from: &str, to: &str) -> String {
    let text = fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    text.replacen(from, to, 1)
}

/// A safetensors file: the length of the header, the header, some bytes.
fn safetensors(header: &str, n_bytes: usize) -> Vec<u8> {
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), &vec![0; n_bytes]].concat()
}

#[test]
fn a_tensor_that_a_safetensors_header_names_twice_is_refused() {
    let folder = geneformer();
    let entry = r#""cls.predictions.bias":{"dtype":"F32","shape":[12],"data_offsets":[0,48]}"#;
    let error = refused(&folder, WEIGHTS, safetensors(&format!("{{{entry},{entry}}}"), 48));
    assert!(
        matches!(&error, Error::Safetensors { reason, .. } if reason.contains("comes twice")),
        "{error}"
    );
}

#[test]
fn safetensors_headers_that_lie_about_bytes_are_refused() {
    let folder = geneformer();
    let two = |first: &str, second: &str| {
        let entry = |name: &str, offsets: &str| {
            format!(r#""{name}":{{"dtype":"F32","shape":[4],"data_offsets":{offsets}}}"#)
        };
        safetensors(&format!("{{{},{}}}", entry("a", first), entry("b", second)), 64)
    };
    let one = |dtype: &str, shape: &str, offsets: &str| {
        let entry = format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#);
        safetensors(&entry, 64)
    };
    let long = |length: u64| [&length.to_le_bytes()[..], &[b' '; 64]].concat();
    for (what, bytes) in [
        ("bytes of another tensor", two("[0,16]", "[8,24]")),
        ("the bytes of another tensor", two("[0,16]", "[0,16]")),
        ("a gap", two("[0,16]", "[20,36]")),
        ("offsets that are negative", two("[0,16]", "[-16,0]")),
        ("offsets backwards", two("[16,0]", "[16,32]")),
        (
            "offsets at the end of all numbers",
            one("F32", "[4]", "[18446744073709551600,18446744073709551615]"),
        ),
        (
            "a product beyond 2⁶⁴",
            one("F32", "[4294967296,4294967296,4294967296]", "[0,64]"),
        ),
        (
            "elements of half a byte that do not fill one",
            one("F4", "[3]", "[0,1]"),
        ),
        ("a dimension that is negative", one("F32", "[-4]", "[0,16]")),
        ("nine dimensions", one("F32", "[4,1,1,1,1,1,1,1,1]", "[0,16]")),
        ("a header of 2⁶⁴ − 1 bytes", long(u64::MAX)),
        ("a header of 2⁶³ bytes", long(1 << 63)),
        ("a header beyond the file", long(57 + 8)),
        ("a header of sixteen megabytes and one byte", long((16 << 20) + 1)),
        ("brackets without end", safetensors(&"{\"a\":".repeat(100_000), 0)),
        (
            "a name that breaks lines",
            safetensors(
                "{\"a\\n\\u001b[31m\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[1,17]}}",
                64,
            ),
        ),
        (
            "a name without end",
            safetensors(
                &format!(
                    "{{\"{}\":{{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[1,17]}}}}",
                    "a".repeat(100_000)
                ),
                64,
            ),
        ),
        ("a type without end", one(&"F".repeat(100_000), "[4]", "[0,16]")),
    ] {
        let error = refused(&folder, WEIGHTS, bytes);
        assert!(matches!(error, Error::Safetensors { .. }), "{what}: {error}");
    }
    let error = refused(&folder, WEIGHTS, one("F32", "[40]", "[0,160]"));
    assert!(
        matches!(error, Error::Truncated { found, .. } if found == 8 + 57 + 64),
        "{error}"
    );
}

#[test]
fn weights_that_are_no_floats_or_not_finite_are_refused() {
    let name = "cls.predictions.bias";
    let one = |dtype: &str, values: &[u8]| {
        let n = values.len();
        let header = format!(r#"{{"{name}":{{"dtype":"{dtype}","shape":[12],"data_offsets":[0,{n}]}}}}"#);
        [&safetensors(&header, 0)[..], values].concat()
    };
    let folder = geneformer();
    for (dtype, size) in [
        ("I64", 8),
        ("I32", 4),
        ("U32", 4),
        ("U8", 1),
        ("BOOL", 1),
        ("F8_E4M3", 1),
        ("F8_E8M0", 1),
    ] {
        let error = refused(&folder, WEIGHTS, one(dtype, &vec![0; 12 * size]));
        assert!(
            matches!(&error, Error::TensorType { name: found, found: kind, .. } if found == name && kind == dtype),
            "{error}"
        );
    }
    let doubles = |value: f64| value.to_le_bytes().repeat(12);
    let bfloats = |bits: u16| bits.to_le_bytes().repeat(12);
    for (what, bytes) in [
        ("not a number", one("F64", &doubles(f64::NAN))),
        ("infinite", one("F64", &doubles(f64::NEG_INFINITY))),
        ("a double that no float holds", one("F64", &doubles(1e300))),
        ("not a number in sixteen bits", one("BF16", &bfloats(0x7fc0))),
        ("infinite in sixteen bits", one("F16", &bfloats(0x7c00))),
    ] {
        let error = refused(&folder, WEIGHTS, bytes);
        assert!(
            matches!(&error, Error::TensorNotFinite { name: found, .. } if found == name),
            "{what}: {error}"
        );
    }
}

#[test]
fn vocabularies_that_are_no_numbering_are_refused() {
    let of_scgpt = |content: &str| refused(&scgpt(), "vocab.json", content);
    let of_geneformer = |from: &str, to: &str| {
        let folder = geneformer();
        let content = changed(&folder, TOKENS, from, to);
        refused(&folder, TOKENS, content)
    };
    for (what, content) in [
        ("a key twice", r#"{"A":0,"A":1,"B":2}"#),
        ("a key twice with one token", r#"{"A":0,"A":0}"#),
        ("a negative token", r#"{"A":0,"B":-1}"#),
        ("a token beyond 32 bits", r#"{"A":0,"B":4294967296}"#),
        ("a token beyond 64 bits", r#"{"A":0,"B":18446744073709551616}"#),
        ("half a token", r#"{"A":0,"B":1.5}"#),
        ("a token as text", r#"{"A":0,"B":"1"}"#),
        ("no token", r#"{"A":0,"B":null}"#),
        ("a list", r#"{"A":0,"B":[1]}"#),
        ("a name that breaks lines", "{\"A\\n\\u001b[31m\":-1}"),
    ] {
        let error = of_scgpt(content);
        assert!(
            matches!(&error, Error::Dictionary(scfm_io::Error::Dictionary { .. })),
            "{what}: {error}"
        );
    }
    for (what, content) in [
        ("one token for two", r#"{"A":0,"B":0}"#),
        ("one token for two, of which one has no name", r#"{"":0,"B":0}"#),
        ("a gap", r#"{"A":0,"B":2}"#),
        (
            "the largest token that a number holds",
            r#"{"A":0,"B":4294967295}"#,
        ),
    ] {
        let error = of_scgpt(content);
        assert!(
            matches!(&error, Error::In { source, .. } if matches!(**source, Error::Vocabulary(_))),
            "{what}: {error}"
        );
    }
    let error = of_geneformer("\"G003\": 5", "\"G003\": 4");
    assert!(error.to_string().contains("share token 4"), "{error}");
    let error = of_geneformer("\"G003\": 5", "\"G002\": 5");
    assert!(error.to_string().contains("\"G002\" comes twice"), "{error}");
    let error = of_geneformer("\"G003\": 5", "\"G003\": 4294967295");
    assert!(error.to_string().contains("without a gap"), "{error}");
}

#[test]
fn configurations_of_absurd_size_are_refused_before_anything_is_made_of_them() {
    let absurd = [
        "0",
        "-1",
        "1.5",
        "4294967296",
        "18446744073709551615",
        "18446744073709551616",
        "1e300",
        "\"12\"",
        "null",
        "[12]",
    ];
    let geneformer = geneformer();
    for (key, value) in [
        ("num_hidden_layers", 3),
        ("hidden_size", 16),
        ("num_attention_heads", 2),
        ("intermediate_size", 32),
        ("vocab_size", 12),
        ("max_position_embeddings", 12),
        ("type_vocab_size", 2),
    ] {
        let whole = changed(&geneformer, CONFIG, "", "");
        for absurd in absurd {
            let config = changed(
                &geneformer,
                CONFIG,
                &format!("\"{key}\": {value}"),
                &format!("\"{key}\": {absurd}"),
            );
            let error = refused(&geneformer, CONFIG, config);
            let of_config =
                |error: &Error| matches!(error, Error::Config { key: found, .. } if *found == key);
            assert!(
                matches!(&error, Error::Json { .. })
                    || matches!(&error, Error::In { source, .. } if of_config(source)),
                "{key} {absurd}: {error}"
            );
            fs::write(geneformer.path().join(CONFIG), &whole).unwrap();
        }
    }
    let scgpt = scgpt();
    for (key, value) in [
        ("nlayers", 2),
        ("nheads", 2),
        ("embsize", 8),
        ("d_hid", 8),
        ("n_bins", 51),
        ("max_seq_len", 1200),
    ] {
        let whole = changed(&scgpt, ARGS, "", "");
        for absurd in absurd {
            let args = changed(
                &scgpt,
                ARGS,
                &format!("\"{key}\": {value}"),
                &format!("\"{key}\": {absurd}"),
            );
            let error = refused(&scgpt, ARGS, args);
            assert!(
                matches!(&error, Error::Json { .. } | Error::In { .. }),
                "{key} {absurd}: {error}"
            );
            fs::write(scgpt.path().join(ARGS), &whole).unwrap();
        }
    }
}

#[test]
fn configurations_that_nest_repeat_or_do_not_end_are_refused() {
    for (folder, name, key) in [(geneformer(), CONFIG, "hidden_size"), (scgpt(), ARGS, "embsize")] {
        let deep = |open: &str| format!("{{\"extra\":{}", open.repeat(100_000));
        for (what, content) in [
            ("lists without end in a key that nobody reads", deep("[")),
            ("objects without end in a key that nobody reads", deep("{\"a\":")),
            ("lists without end", "[".repeat(100_000)),
            (
                "a key twice",
                changed(&folder, name, "{", &format!("{{\"{key}\": 8,")),
            ),
            ("more than a megabyte", format!("{{{}}}", " ".repeat(1 << 20))),
            ("a pointer of Git LFS", LFS_POINTER.to_owned()),
            ("nothing", String::new()),
            ("no object", "12".to_owned()),
            ("a text that breaks lines", "\"a\\n\\u001b[31m\"".to_owned()),
        ] {
            let whole = changed(&folder, name, "", "");
            let error = refused(&folder, name, content);
            assert!(matches!(error, Error::Json { .. }), "{what}: {error}");
            fs::write(folder.path().join(name), whole).unwrap();
        }
    }
}

#[test]
fn pointers_of_git_lfs_are_told_in_place_of_every_file() {
    for (folder, names) in [
        (
            geneformer(),
            &[CONFIG, WEIGHTS, TOKENS, "gene_median_dictionary.json"][..],
        ),
        (scgpt(), &[ARGS, WEIGHTS, "vocab.json"]),
    ] {
        for name in names {
            let whole = fs::read(folder.path().join(name)).unwrap();
            let error = refused(&folder, name, LFS_POINTER);
            assert!(error.to_string().contains("pointer of Git LFS"), "{error}");
            fs::write(folder.path().join(name), whole).unwrap();
        }
        fs::remove_file(folder.path().join(WEIGHTS)).unwrap();
        let pickled = if names.contains(&ARGS) {
            "best_model.pt"
        } else {
            "pytorch_model.bin"
        };
        let error = refused(&folder, pickled, LFS_POINTER);
        assert!(
            matches!(&error, Error::Torch(_)) && error.to_string().contains("pointer of Git LFS"),
            "{error}"
        );
    }
}

#[test]
fn weights_of_torch_that_are_integers_are_refused_by_name() {
    // {"cls.predictions.bias": twelve 64-bit integers}, as torch writes it.
    let mut pickle =
        b"\x80\x02}X\x14\x00\x00\x00cls.predictions.biasctorch._utils\n_rebuild_tensor_v2\n(".to_vec();
    pickle.extend(
        b"(X\x07\x00\x00\x00storagectorch\nLongStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x0ctQ",
    );
    pickle.extend(b"K\x00K\x0c\x85K\x01\x85\x89}tRs."); // offset 0, shape (12,), strides (1,), no gradient
    let folder = geneformer();
    fs::remove_file(folder.path().join(WEIGHTS)).unwrap();
    let error = refused(
        &folder,
        "pytorch_model.bin",
        stored_zip(&[("m/data.pkl", &pickle), ("m/data/0", &[0; 96])]),
    );
    assert!(
        matches!(&error, Error::TensorType { name, found, .. } if name == "cls.predictions.bias" && found == "int64"),
        "{error}"
    );
}

/// A zip archive of members as they are, by hand: this crate has no writer of archives (APPNOTE 4.3).
fn stored_zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let offset = archive.len() as u32;
        let size = (content.len() as u32).to_le_bytes();
        // Version, flags, method, time, date; checksum; both sizes; lengths of the name and of nothing more.
        let common = [
            &[20, 0, 0, 0, 0, 0, 0, 0, 0, 0][..],
            &crc32(content).to_le_bytes(),
            &size,
            &size,
            &(name.len() as u16).to_le_bytes(),
            &[0, 0],
        ]
        .concat();
        archive.extend([b"PK\x03\x04", &common[..], name.as_bytes(), content].concat());
        // Comment, disk, attributes; where the member begins.
        directory.extend(
            [
                b"PK\x01\x02\x14\x00",
                &common[..],
                &[0; 10],
                &offset.to_le_bytes(),
                name.as_bytes(),
            ]
            .concat(),
        );
    }
    let n = (members.len() as u16).to_le_bytes();
    let (start, length) = (
        (archive.len() as u32).to_le_bytes(),
        (directory.len() as u32).to_le_bytes(),
    );
    [
        &archive[..],
        &directory,
        b"PK\x05\x06\0\0\0\0",
        &n,
        &n,
        &length,
        &start,
        &[0, 0],
    ]
    .concat()
}

/// The checksum of zip: CRC-32 of IEEE 802.3, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, &byte: &u8| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    };
    !bytes.iter().fold(!0, step)
}
