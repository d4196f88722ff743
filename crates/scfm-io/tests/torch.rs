//! Files of `torch.save` against what torch reads from them, and hostile ones.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use scfm_io::{Error, ReadLimits, TorchFile, TorchType};
use serde_json::Value;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn open(path: &Path) -> Result<TorchFile, Error> {
    TorchFile::open(path, &ReadLimits::default())
}

fn values(dtype: TorchType, bytes: &[u8]) -> Vec<f64> {
    let word = |chunk: &[u8]| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    };
    let words = bytes.chunks_exact(dtype.size()).map(word);
    match dtype {
        TorchType::F64 => words.map(f64::from_bits).collect(),
        TorchType::F32 => words.map(|w| f64::from(f32::from_bits(w as u32))).collect(),
        TorchType::BF16 => words
            .map(|w| f64::from(f32::from_bits((w as u32) << 16)))
            .collect(),
        TorchType::F16 => words
            .map(|w| {
                // All values here are normal numbers.
                let (sign, exponent, fraction) = (w >> 15, (w >> 10) & 31, w & 1023);
                let magnitude = (1.0 + fraction as f64 / 1024.0) * 2f64.powi(exponent as i32 - 15);
                if sign == 1 { -magnitude } else { magnitude }
            })
            .collect(),
        _ => words.map(|w| w as f64).collect(),
    }
}

#[test]
fn every_layout_is_read_as_torch_reads_it() {
    let expected: BTreeMap<String, Value> =
        serde_json::from_slice(&std::fs::read(golden("torch.json")).unwrap()).unwrap();
    let mut file = open(&golden("tensors.bin")).unwrap();
    assert!(
        file.names().eq(expected.keys()),
        "entries that are no tensors are passed over"
    );
    for (name, expected) in &expected {
        let (dtype, shape) = file.tensor(name).unwrap();
        assert_eq!(dtype.to_string(), expected["dtype"].as_str().unwrap(), "{name}");
        assert_eq!(serde_json::to_value(shape).unwrap(), expected["shape"], "{name}");
        let found = values(dtype, &file.read(name).unwrap());
        assert_eq!(serde_json::to_value(found).unwrap(), expected["values"], "{name}");
    }
    assert!(file.are_tied("rows", "tied") && !file.are_tied("rows", "columns"));
    assert!(!file.are_tied("absent", "absent"));
    assert!(matches!(file.read("absent"), Err(Error::Missing { object, .. }) if object == "absent"));
}

#[test]
fn other_formats_are_told_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pytorch_model.bin");
    let message = |path: &Path| {
        let message = open(path).unwrap_err().to_string();
        assert!(
            message.starts_with(&path.display().to_string()) && !message.contains('\n'),
            "{message}"
        );
        message
    };
    assert!(message(&golden("legacy.bin")).contains("torch before version 1.6"));
    assert!(message(&golden("module.bin")).contains("asks for torch.nn.modules.linear.Linear"));
    std::fs::write(
        &path,
        "version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 41216562\n",
    )
    .unwrap();
    assert!(message(&path).contains("pointer of Git LFS"));
    for content in [&b""[..], b"{}", b"PK\x03\x04 and no more"] {
        std::fs::write(&path, content).unwrap();
        assert!(message(&path).contains("zip archive"));
    }
}

/// An archive of that pickle and these members.
fn archive(pickle: &[u8], members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in [("model/data.pkl", pickle)].iter().chain(members) {
        zip.start_file(*name, stored).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn open_bytes(bytes: &[u8]) -> Result<TorchFile, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pytorch_model.bin");
    std::fs::write(&path, bytes).unwrap();
    open(&path)
}

fn int(n: i64) -> Vec<u8> {
    [&b"\x8a\x08"[..], &n.to_le_bytes()].concat()
}

/// A tuple of integers.
fn tuple(values: &[i64]) -> Vec<u8> {
    let items: Vec<u8> = values.iter().flat_map(|&n| int(n)).collect();
    [&b"("[..], &items, b"t"].concat()
}

/// The pickle of `name`, a view of a storage of `n` 32-bit floats called `0`.
fn tensor(name: &str, n: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let text = |text: &str| [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    [
        text(name),
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        text("storage"),
        b"ctorch\nFloatStorage\n".to_vec(),
        text("0"),
        text("cpu"),
        int(n),
        b"tQ".to_vec(),
        int(offset),
        tuple(shape),
        tuple(strides),
        b"\x89ccollections\nOrderedDict\n)RtR".to_vec(),
    ]
    .concat()
}

fn state_dict(tensors: &[Vec<u8>]) -> Vec<u8> {
    [
        b"\x80\x02ccollections\nOrderedDict\n)R(".to_vec(),
        tensors.concat(),
        b"u.".to_vec(),
    ]
    .concat()
}

#[test]
fn archives_made_by_hand_are_read() {
    let numbers: Vec<u8> = (0..6u8).flat_map(|i| f32::from(i).to_le_bytes()).collect();
    let pickle = state_dict(&[tensor("a", 6, 0, &[2, 2], &[1, 2]), tensor("b", 6, 4, &[2], &[1])]);
    let odd: &[(&str, &[u8])] = &[
        ("model/data/0", &numbers),
        ("../../evil", b"x"),
        ("/etc/passwd", b"x"),
        ("model/.data/serialization_id", b"1"),
        ("deep/er/data.pkl", b"not a pickle"),
        ("model/code/run.py", b"print()"),
    ];
    let mut file = open_bytes(&archive(&pickle, odd)).unwrap();
    assert_eq!(
        values(TorchType::F32, &file.read("a").unwrap()),
        [0.0, 2.0, 1.0, 3.0]
    );
    assert_eq!(values(TorchType::F32, &file.read("b").unwrap()), [4.0, 5.0]);
    assert_eq!(
        values(TorchType::F32, &file.read("b").unwrap()),
        [4.0, 5.0],
        "twice is no overlap"
    );
}

#[test]
fn pickles_that_would_run_something_are_refused_by_name() {
    let cases: [(&[u8], &str); 6] = [
        (b"\x80\x02cos\nsystem\n(X\x04\x00\x00\x00true tR.", "os.system"),
        (
            b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x01x\x85R.",
            "builtins.eval",
        ),
        (b"\x80\x02ctorch\nload\n.", "torch.load"),
        (b"\x80\x02cnumpy\ndtype\n.", "numpy.dtype"),
        (b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n.", "_reconstruct"),
        (b"\x80\x02cweb\x1b[31m\nbrowser\n.", "web\\u{1b}[31m.browser"),
    ];
    for (pickle, name) in cases {
        let error = open_bytes(&archive(pickle, &[])).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Pickle {
                    opcode: "GLOBAL" | "STACK_GLOBAL",
                    ..
                }
            ),
            "{error}"
        );
        let message = error.to_string();
        assert!(
            message.contains(name) && message.contains("never executed"),
            "{message}"
        );
        assert!(!message.contains(['\n', '\x1b']), "{message}");
    }
}

#[test]
fn pickles_that_do_not_end_or_nest_without_end_are_refused() {
    let mut laughs = b"\x80\x02X\x03\x00\x00\x00lol".to_vec();
    for _ in 0..40 {
        laughs.extend(b"q\x00h\x00h\x00\x87".iter()); // (previous, previous, previous), forty times
    }
    laughs.push(b'.');
    let deep = [&b"\x80\x02)"[..], &[0x85].repeat(100_000), b"."].concat();
    for pickle in [
        &laughs[..],
        &deep,
        b"\x80\x02}",
        b"",
        b"\x80\x02]q\x00h\x00a.",                    // a list of itself
        b"\x80\x02}(X\xff\xff\xff\x7fa",             // a string of two gigabytes
        b"\x80\x02ccollections\nOrderedDict\n)R)Q.", // a reference to nothing
        b"\x80\x02K\x01Q.",
    ] {
        let error = open_bytes(&archive(pickle, &[])).unwrap_err();
        assert!(matches!(error, Error::Pickle { .. }), "{error}");
    }
    let error = open_bytes(&archive(b"\x80\x02}X\x05\x00\x00\x00model}s.", &[])).unwrap_err();
    assert!(
        error.to_string().contains("save the model's state_dict() alone"),
        "{error}"
    );
}

#[test]
fn views_outside_their_storage_are_refused_before_anything_is_read() {
    let numbers = [0; 24];
    let refused = |tensors: &[Vec<u8>]| {
        let error = open_bytes(&archive(&state_dict(tensors), &[("model/data/0", &numbers)])).unwrap_err();
        let message = error.to_string();
        assert!(!message.contains('\n'), "{message}");
        message
    };
    let max = i64::MAX;
    for (what, tensor) in [
        ("beyond the end", tensor("w", 6, 3, &[4], &[1])),
        ("an offset beyond the end", tensor("w", 6, max, &[1], &[1])),
        ("a stride beyond the end", tensor("w", 6, 0, &[2, 2], &[5, 1])),
        ("huge", tensor("w", 6, 0, &[1 << 40, 1 << 40], &[1 << 40, 1])),
        ("huge strides", tensor("w", 6, 0, &[2, 2], &[max, max])),
        ("one number many times", tensor("w", 6, 0, &[1 << 40], &[0])),
        (
            "huge beside nothing",
            tensor("w", 6, 0, &[1 << 40, 1 << 40, 0], &[0, 0, 0]),
        ),
        ("a storage longer than its file", tensor("w", 7, 0, &[2], &[1])),
        (
            "a storage of more bytes than there are",
            tensor("w", max, 0, &[2], &[1]),
        ),
    ] {
        let message = refused(&[tensor]);
        assert!(message.contains("tensor w:"), "{what}: {message}");
    }
    for (what, tensor) in [
        ("a negative dimension", tensor("w", 6, 0, &[-1], &[1])),
        ("a negative stride", tensor("w", 6, 0, &[1], &[-1])),
        ("a negative offset", tensor("w", 6, -1, &[1], &[1])),
        ("a negative length", tensor("w", -6, 0, &[1], &[1])),
        ("more dimensions than strides", tensor("w", 6, 0, &[1, 1], &[1])),
        ("a hundred dimensions", tensor("w", 6, 0, &[1; 100], &[1; 100])),
    ] {
        let message = refused(&[tensor]);
        assert!(message.contains("data.pkl"), "{what}: {message}");
    }
    let overlapping = [tensor("w", 6, 0, &[4], &[1]), tensor("x", 6, 2, &[4], &[1])];
    assert!(refused(&overlapping).contains("tensor x: overlaps"));
    assert!(refused(&[tensor("w", 6, 0, &[4], &[1]), tensor("w", 6, 0, &[4], &[1])]).contains("comes twice"));
}

#[test]
fn archives_that_are_not_laid_out_as_torch_does_are_refused() {
    let pickle = state_dict(&[tensor("w", 2, 0, &[2], &[1])]);
    let numbers = [0; 8];
    let message = |bytes: &[u8]| open_bytes(bytes).unwrap_err().to_string();
    assert!(message(&archive(&pickle, &[])).contains("there is no \"model/data/0\""));
    let big_endian: &[(&str, &[u8])] = &[("model/data/0", &numbers), ("model/byteorder", b"big")];
    assert!(message(&archive(&pickle, big_endian)).contains("expected \"little\""));
    assert!(message(&archive(&pickle, &[("other/data.pkl", &pickle)])).contains("2 members called"));

    // A number changed without its checksum.
    let whole = archive(&pickle, &[("model/data/0", &[7, 7, 7, 7, 7, 7, 7, 7])]);
    let at = whole.windows(8).position(|w| w == [7; 8]).unwrap();
    let mut changed = whole.clone();
    changed[at] = 8;
    let error = open_bytes(&changed).unwrap().read("w").unwrap_err();
    assert!(error.to_string().contains("tensor w: cannot be read"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.bin");
    std::fs::write(&path, &whole).unwrap();
    let limits = ReadLimits {
        memory_budget: 15,
        ..ReadLimits::default()
    };
    let error = TorchFile::open(&path, &limits).unwrap().read("w").unwrap_err();
    assert!(
        matches!(
            error,
            Error::TooLarge {
                needed: 16,
                budget: 15,
                ..
            }
        ),
        "{error}"
    );
}

proptest! {
    #[test]
    fn no_damage_makes_it_panic(at in 0usize..6_000, byte: u8, cut in prop::option::of(0usize..6_000)) {
        let mut bytes = std::fs::read(golden("tensors.bin")).unwrap();
        let n = bytes.len();
        bytes[at % n] = byte;
        bytes.truncate(cut.unwrap_or(n));
        if let Ok(mut file) = open_bytes(&bytes) {
            let names: Vec<String> = file.names().map(str::to_owned).collect();
            for name in names {
                let _ = file.read(&name);
            }
        }
    }
}
