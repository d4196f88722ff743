//! Weights and dictionaries made to fill memory: refused, or read within a fixed allowance.
//!
//! The one test of this file, so that the memory of the process is that of the reading.

use std::io::{Cursor, Write};
use std::path::Path;

use scfm_io::{ReadLimits, TorchFile, read_median_dictionary, read_name_dictionary, read_token_dictionary};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// What reading one file may take, in MiB. The largest files here have 16 MiB; most of what they become is a memo of some
/// million values.
const ALLOWANCE: u64 = 256;

/// The most memory that the process has had, in MiB, where the system tells (Linux).
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? >> 10)
}

/// An archive of torch with that pickle and a storage of four bytes.
fn archive(pickle: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in [("m/data.pkl", pickle), ("m/data/0", &[0; 4])] {
        zip.start_file(name, stored).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A pickle of 16 MB: a start, one instruction or a few again and again, and the end.
fn filled(start: &[u8], repeated: &[u8], end: &[u8]) -> Vec<u8> {
    let n = ((16 << 20) - start.len() - end.len()) / repeated.len();
    [start, &repeated.repeat(n), end].concat()
}

#[test]
fn no_file_takes_more_memory_than_its_kind_allows() {
    let folder = tempfile::tempdir().unwrap();
    let (weights, dictionary) = (folder.path().join("model.bin"), folder.path().join("dictionary"));
    let check = |what: &str, path: &Path, content: &[u8], read: &dyn Fn(&Path) -> bool| {
        std::fs::write(path, content).unwrap();
        let before = peak_memory();
        assert!(read(path), "{what}");
        if let (Some(before), Some(after)) = (before, peak_memory()) {
            eprintln!("{what}: {} MiB", after - before);
            assert!(after - before < ALLOWANCE, "{what}: {} MiB", after - before);
        }
    };
    // {"a": a tensor of eight dimensions}; in the memo 0 the function, 1 its arguments, 2 the shape, 3 the persistent id, 4 the
    // tensor, 5 the key, so that a few bytes make a tensor, a storage or an entry more.
    let start = [
        &b"\x80\x02}X\x01\x00\x00\x00aq\x05ctorch._utils\n_rebuild_tensor_v2\nq\x00("[..],
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tq\x03Q",
        b"K\x00(K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01tq\x02h\x02\x89}tq\x01Rq\x04s",
    ]
    .concat();
    let is_read = |path: &Path| TorchFile::open(path, &ReadLimits::default()).is_ok();
    check(
        "one tensor",
        &weights,
        &archive(&[&start[..], b"."].concat()),
        &is_read,
    );
    let memo: Vec<u8> = (6..3 << 20)
        .flat_map(|n: u32| [&b"r"[..], &n.to_le_bytes()].concat())
        .collect();
    for (what, pickle) in [
        ("millions of tensors", filled(&start, b"h\x05h\x00h\x01Rs", b".")),
        ("millions of storages", filled(&start, b"h\x05h\x03Qs", b".")),
        ("millions of entries", filled(&start, b"h\x05h\x04s", b".")),
        (
            "a memo of three million places",
            [&start[..], &memo, b"N."].concat(),
        ),
    ] {
        check(what, &weights, &archive(&pickle), &|path| !is_read(path));
    }

    let is_refused = |path: &Path| {
        read_token_dictionary(path).is_err()
            && read_median_dictionary(path).is_err()
            && read_name_dictionary(path).is_err()
    };
    let json = |start: &str, repeated: &str, end: &str| {
        filled(start.as_bytes(), repeated.as_bytes(), end.as_bytes())
    };
    for (what, content) in [
        ("a list of millions as a value", json("{\"A\":[", "0,", "0]}")),
        ("lists of nothing as a value", json("{\"A\":[", "[],", "0]}")),
        ("brackets without end", json("{\"A\":", "[", "")),
        ("objects without end", json("", "{\"\":", "")),
        ("one key a million times", json("{", "\"\":0,", "\"A\":0}")),
        (
            "entries of texts",
            filled(b"\x80\x04}", b"\x8c\x01a\x8c\x01bs", b"."),
        ),
    ] {
        check(what, &dictionary, &content, &is_refused);
    }
}
