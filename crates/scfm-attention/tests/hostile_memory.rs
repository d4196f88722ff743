//! Checkpoints made to fill memory: refused within a fixed allowance.
//!
//! The one test of this file, so that the memory of the process is that of the reading.

mod common;

use std::fs;

use common::checkpoint;
use scfm_attention::geneformer::Checkpoint;
use tempfile::TempDir;

/// What reading a checkpoint of nothing but lies may take, in MiB. The longest header that is read at all has 16 MiB.
const ALLOWANCE: u64 = 256;

/// The most memory that the process has had, in MiB, where the system tells (Linux).
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? >> 10)
}

/// 16 MiB of a text: a start, a part again and again, an end.
fn filled(start: &str, repeated: &str, end: &str) -> Vec<u8> {
    let n = ((16 << 20) - start.len() - end.len()) / repeated.len();
    format!("{start}{}{end}", repeated.repeat(n)).into_bytes()
}

#[test]
fn no_checkpoint_takes_more_memory_than_it_has_bytes() {
    let folder = TempDir::new().unwrap();
    checkpoint(10, 12).save(folder.path()).unwrap();
    assert!(Checkpoint::load(folder.path()).is_ok());
    let with_header = |header: Vec<u8>| [&(header.len() as u64).to_le_bytes()[..], &header].concat();
    let shape = r#"{"a":{"dtype":"F32","data_offsets":[0,4],"shape":["#;
    let config = fs::read_to_string(folder.path().join("config.json")).unwrap();
    let layers = |n: &str| {
        config
            .replace("\"num_hidden_layers\": 3", &format!("\"num_hidden_layers\": {n}"))
            .into_bytes()
    };
    for (what, name, content) in [
        (
            "a header of 2⁶³ bytes",
            "model.safetensors",
            (1u64 << 63).to_le_bytes().to_vec(),
        ),
        (
            "a shape of eight million dimensions",
            "model.safetensors",
            with_header(filled(shape, "1,", "1]}}")),
        ),
        (
            "remarks of lists",
            "model.safetensors",
            with_header(filled("{\"__metadata__\":[", "[],", "[]]}")),
        ),
        (
            "a tensor that is a list of lists",
            "model.safetensors",
            with_header(filled("{\"a\":[", "[],", "[]]}")),
        ),
        (
            "remarks in a tensor",
            "model.safetensors",
            with_header(filled("{\"a\":{\"b\":[", "[],", "[]]}}")),
        ),
        (
            "brackets without end",
            "model.safetensors",
            with_header(filled("", "[", "")),
        ),
        (
            "a configuration of lists",
            "config.json",
            filled("{\"a\":[", "[],", "[]]}"),
        ),
        (
            "a configuration of a million layers",
            "config.json",
            layers("1000000"),
        ),
        (
            "a configuration of 2⁶⁴ − 1 layers",
            "config.json",
            layers("18446744073709551615"),
        ),
        (
            "a configuration of as many layers as may be",
            "config.json",
            layers("1024"),
        ),
        (
            "a dictionary of lists",
            "token_dictionary.json",
            filled("{\"a\":[", "[],", "[]]}"),
        ),
        (
            "a dictionary of one key",
            "token_dictionary.json",
            filled("{", "\"\":0,", "\"a\":0}"),
        ),
    ] {
        let path = folder.path().join(name);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, content).unwrap();
        let before = peak_memory();
        let error = Checkpoint::load(folder.path()).unwrap_err();
        if let (Some(before), Some(after)) = (before, peak_memory()) {
            eprintln!("{what}: {} MiB, {error}", after - before);
            assert!(after - before < ALLOWANCE, "{what}: {} MiB", after - before);
        }
        fs::write(&path, whole).unwrap();
    }
}
