//! Files of `torch.save`.
//!
//! Input: a byte that says what follows. 0: the archive. 1: the pickle of an archive that is otherwise whole, so that
//! changes of it are not refused by their checksum; it has storages `0` to `3` of 64 bytes. Tensors have as many bytes as
//! their shape says, all that are not tied together no more than the file, and are the same when read twice.
#![no_main]

use std::io::{Cursor, Write};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use scfm_fuzz::{Scratch, checked};
use scfm_io::{ReadLimits, TorchFile};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

static SCRATCH: LazyLock<Scratch> = LazyLock::new(|| Scratch::new("torch"));

fuzz_target!(|data: &[u8]| {
    let archive = match data {
        [0, archive @ ..] => archive.to_vec(),
        [1, pickle @ ..] => archive(pickle),
        _ => return,
    };
    let path = SCRATCH.file("pytorch_model.bin", &archive);
    let limits = ReadLimits {
        memory_budget: 1 << 20,
        ..ReadLimits::default()
    };
    let Some(mut file) = checked(TorchFile::open(&path, &limits)) else {
        return;
    };
    let names: Vec<String> = file.names().map(str::to_owned).collect();
    let mut n_bytes = 0;
    for (at, name) in names.iter().enumerate() {
        let (dtype, shape) = file.tensor(name).expect("one of the names");
        let expected = shape.iter().product::<usize>() * dtype.size();
        let is_tied = |other: &String| file.are_tied(other, name);
        if !names[..at.min(64)].iter().any(is_tied) && at < 64 {
            n_bytes += expected;
        }
        let Some(bytes) = checked(file.read(name)) else {
            continue;
        };
        assert_eq!(bytes.len(), expected, "{name}");
        assert_eq!(Some(bytes), checked(file.read(name)), "{name}");
    }
    assert!(n_bytes <= archive.len(), "{n_bytes} bytes of {}", archive.len());
});

/// An archive of that pickle as torch writes it.
fn archive(pickle: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let numbers: Vec<u8> = (0..64).collect();
    let storages = ["0", "1", "2", "3"].map(|key| (format!("model/data/{key}"), &numbers[..]));
    let members = [("model/data.pkl".to_owned(), pickle)]
        .into_iter()
        .chain(storages);
    for (name, bytes) in members {
        zip.start_file(name, stored).expect("a new member");
        zip.write_all(bytes).expect("memory takes bytes");
    }
    zip.finish().expect("memory takes bytes").into_inner()
}
