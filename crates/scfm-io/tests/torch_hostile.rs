//! Archives of torch that were made to deceive or to fill memory: each is refused by its kind of error.

use std::io::{Cursor, Write};

use scfm_io::{Error, ReadLimits, TorchFile};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// An archive of these members.
fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in members {
        zip.start_file(*name, stored).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn open(bytes: &[u8]) -> Result<TorchFile, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pytorch_model.bin");
    std::fs::write(&path, bytes).unwrap();
    TorchFile::open(&path, &ReadLimits::default())
}

/// The message, which is one line, of the archive's error.
fn refused(bytes: &[u8]) -> String {
    let error = open(bytes).unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, Error::Archive { .. }), "{message}");
    assert!(!message.contains(char::is_control), "{message:?}");
    message
}

/// The instruction at which the pickle of an otherwise whole archive is refused, and why.
fn refused_at(pickle: &[u8]) -> (&'static str, String) {
    let members: &[(&str, &[u8])] = &[("model/data.pkl", pickle), ("model/data/0", &[0; 8])];
    match open(&archive(members)).unwrap_err() {
        Error::Pickle { opcode, reason, .. } => (opcode, reason),
        other => panic!("{other}"),
    }
}

/// `name`: two numbers of a storage `0` of `n` of that type, as `torch._utils._rebuild_tensor_v2` is asked for them.
fn tensor(name: &str, kind: &str, n: u8, length: u8) -> Vec<u8> {
    [
        &b"X"[..],
        &(name.len() as u32).to_le_bytes(),
        name.as_bytes(),
        b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\n",
        kind.as_bytes(),
        b"\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK",
        &[n],
        b"tQK\x00K",      // persistent id; offset 0
        &[length],        // shape (length,)
        b"\x85K\x01\x85", // strides (1,)
        b"\x89ccollections\nOrderedDict\n)RtR",
    ]
    .concat()
}

fn state_dict(tensors: &[Vec<u8>]) -> Vec<u8> {
    [&b"\x80\x02}("[..], &tensors.concat(), b"u."].concat()
}

/// Two numbers, all there is to a model.
fn whole() -> Vec<u8> {
    let pickle = state_dict(&[tensor("w", "FloatStorage", 2, 2)]);
    archive(&[("model/data.pkl", &pickle), ("model/data/0", &[0; 8])])
}

/// The places of a byte string.
fn places(bytes: &[u8], wanted: &[u8]) -> Vec<usize> {
    let windows = bytes.windows(wanted.len()).enumerate();
    windows
        .filter(|(_, window)| *window == wanted)
        .map(|(at, _)| at)
        .collect()
}

#[test]
fn an_archive_cut_anywhere_is_refused() {
    let whole = whole();
    assert_eq!(open(&whole).unwrap().read("w").unwrap(), [0; 8]);
    for length in 0..whole.len() {
        refused(&whole[..length]);
    }
}

#[test]
fn a_directory_that_does_not_fit_its_archive_is_refused() {
    let whole = whole();
    // The entries of the directory; fields by their offset in an entry (APPNOTE 4.3.12).
    let entries = places(&whole, b"PK\x01\x02");
    let end = places(&whole, b"PK\x05\x06")[0];
    assert_eq!(entries.len(), 2);
    let with = |at: usize, field: &[u8]| {
        let mut changed = whole.clone();
        changed[at..at + field.len()].copy_from_slice(field);
        changed
    };
    for (what, changed) in [
        (
            "where the member begins",
            with(entries[0] + 42, &7u32.to_le_bytes()),
        ),
        (
            "a member beyond the file",
            with(entries[0] + 42, &0x7fff_ffffu32.to_le_bytes()),
        ),
        (
            "the size of the member",
            with(entries[1] + 24, &0x7fff_ffffu32.to_le_bytes()),
        ),
        ("its compressed size", with(entries[1] + 20, &4u32.to_le_bytes())),
        ("no such member", with(entries[1] + 46, b"m0del/data/0")),
        ("where the directory begins", with(end + 16, &3u32.to_le_bytes())),
        ("more entries than there are", with(end + 10, &9u16.to_le_bytes())),
    ] {
        let message = refused(&changed);
        assert!(message.contains("pytorch_model.bin"), "{what}: {message}");
    }
}

#[test]
fn a_member_that_would_be_inflated_is_refused_by_name() {
    for member in 0..2 {
        let mut bomb = whole();
        // The method of compression in the header before the member and in the directory: 8 is deflate.
        let (local, central) = (
            places(&bomb, b"PK\x03\x04")[member],
            places(&bomb, b"PK\x01\x02")[member],
        );
        bomb[local + 8] = 8;
        bomb[central + 10] = 8;
        let message = refused(&bomb);
        assert!(message.contains("torch.save stores it as it is"), "{message}");
    }
}

#[test]
fn two_members_of_one_name_are_refused() {
    let pickle = state_dict(&[tensor("w", "FloatStorage", 2, 2)]);
    let members: &[(&str, &[u8])] = &[
        ("model/data.pkl", &pickle),
        ("model/data/0", &[0; 8]),
        ("model/data/1", &[9; 8]),
    ];
    let mut twice = archive(members);
    for at in places(&twice, b"model/data/1") {
        twice[at + 11] = b'0';
    }
    assert!(refused(&twice).contains("two members of one name"));
}

#[test]
fn a_storage_named_as_two_types_does_not_count_twice() {
    // Eight bytes as two floats, and as eight bytes: sixteen in all.
    let both = [
        tensor("a", "ByteStorage", 8, 1),
        tensor("w", "FloatStorage", 2, 2),
    ];
    let members: &[(&str, &[u8])] = &[("model/data.pkl", &state_dict(&both)), ("model/data/0", &[0; 8])];
    let message = refused(&archive(members));
    assert!(message.contains("tensor w: overlaps"), "{message}");
}

#[test]
fn names_from_the_file_do_not_break_a_message() {
    let pickle = state_dict(&[tensor("w", "FloatStorage", 2, 2)]);
    // A root with a line break and an escape, and a tensor whose name is longer than a screen.
    let members: &[(&str, &[u8])] = &[
        ("a\n\x1b[31m/data.pkl", &pickle),
        ("a\n\x1b[31m/byteorder", b"big"),
    ];
    assert!(refused(&archive(members)).contains("a\\n\\u{1b}[31m/byteorder"));
    let long = "w".repeat(100_000);
    let members: &[(&str, &[u8])] = &[(
        "model/data.pkl",
        &state_dict(&[tensor(&long, "FloatStorage", 2, 2)]),
    )];
    let message = refused(&archive(members));
    assert!(message.len() < 2_000, "{} bytes", message.len());
}

#[test]
fn instructions_that_no_state_dictionary_needs_are_refused() {
    let tensor = tensor("w", "FloatStorage", 2, 2);
    let many = |start: &[u8], repeated: &[u8], n: usize| [start, &repeated.repeat(n), b"."].concat();
    let cases: [(&str, Vec<u8>, &str); 12] = [
        (
            "a call of what is no function",
            b"\x80\x02X\x01\x00\x00\x00fX\x01\x00\x00\x00a\x85R.".to_vec(),
            "REDUCE",
        ),
        (
            "a call with arguments that it does not take",
            b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.".to_vec(),
            "REDUCE",
        ),
        (
            "a state for a function",
            b"\x80\x02ccollections\nOrderedDict\n}b.".to_vec(),
            "BUILD",
        ),
        // (...)R leaves the tensor on the stack, above its name.
        (
            "a state for a tensor",
            [&b"\x80\x02"[..], &tensor, b"}b."].concat(),
            "BUILD",
        ),
        ("an instance", b"\x80\x02(ios\nsystem\n.".to_vec(), "opcode"), // INST
        ("an object", b"\x80\x02(cos\nsystem\no.".to_vec(), "GLOBAL"),  // OBJ never comes
        (
            "an integer of 2³¹ − 1 bytes",
            b"\x80\x02\x8b\xff\xff\xff\x7f".to_vec(),
            "opcode",
        ), // LONG4
        (
            "text of 2⁶⁴ − 1 bytes",
            b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
            "BINUNICODE8",
        ),
        (
            "bytes of 2³² − 1 bytes",
            b"\x80\x04B\xff\xff\xff\xff".to_vec(),
            "BINBYTES",
        ),
        (
            "a frame beyond the end",
            b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f".to_vec(),
            "end of file",
        ),
        (
            "the last place of the memo, never written",
            b"\x80\x02j\xff\xff\xff\xff.".to_vec(),
            "LONG_BINGET",
        ),
        (
            "a memo for each of five million marks",
            many(b"\x80\x02}", b"\x94", 5 << 20),
            "MEMOIZE",
        ),
    ];
    for (what, pickle, opcode) in cases {
        let (found, reason) = refused_at(&pickle);
        assert_eq!(found, opcode, "{what}: {reason}");
    }
    // The last place of the memo is a number like any other: nothing is made up to it.
    let sparse = [&b"\x80\x02}r\xff\xff\xff\xff("[..], &tensor, b"u."].concat();
    let members: &[(&str, &[u8])] = &[("model/data.pkl", &sparse), ("model/data/0", &[0; 8])];
    assert_eq!(
        open(&archive(members)).unwrap().names().collect::<Vec<_>>(),
        ["w"]
    );
}
