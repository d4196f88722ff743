//! Extractions in parts, and their sum.

use std::fs;
use std::path::Path;

use crate::harness::{Bench, assert_same_files, copy, fixture};

const FEW: &[&str] = &["--cells", "40", "--hvg", "30"];

fn extract(bench: &Bench, out: &str, more: &[&str]) {
    let (data, model) = (fixture("rpe1/screen.h5ad"), fixture("model"));
    let arguments = [
        "extract",
        "--data",
        data.to_str().unwrap(),
        "--out",
        out,
        "--quiet",
    ];
    let mut arguments = [&arguments[..], more].concat();
    if !more.contains(&"--model") {
        arguments.extend(["--model", model.to_str().unwrap()]);
    }
    bench.ok(&arguments);
}

/// All shards of an extraction; their folders.
fn shards(bench: &Bench, of: usize, more: &[&str]) -> Vec<String> {
    let shard = |index: usize| {
        let out = format!("{index}-of-{of}");
        let number = format!("{index}/{of}");
        // Another number of threads each.
        let threads = (index % 3 + 1).to_string();
        let part = ["--shard", &number, "--threads", &threads];
        extract(bench, &out, &[&part, more].concat());
        out
    };
    (1..=of).map(shard).collect()
}

fn merge<'a>(folders: &'a [String], out: &'a str) -> Vec<&'a str> {
    let folders = folders.iter().map(String::as_str);
    ["merge"]
        .into_iter()
        .chain(folders)
        .chain(["--out", out])
        .collect()
}

#[test]
fn shards_add_up_to_the_bytes_of_an_extraction_in_one_piece() {
    let bench = Bench::new();
    extract(&bench, "whole", FEW);
    for of in [1, 2, 3, 7] {
        let mut folders = shards(&bench, of, FEW);
        // In whatever order they are named.
        folders.reverse();
        let out = format!("merged-{of}");
        bench.ok(&merge(&folders, &out));
        assert_same_files(&bench.path("whole"), &bench.path(&out));
    }
    // The sums and counts of a shard are its own.
    let read = |folder: &str, name: &str| fs::read(bench.path(folder).join(name)).unwrap();
    for name in ["shard-n_cells.parquet", "shard-attention-L0.parquet"] {
        assert_ne!(read("1-of-3", name), read("2-of-3", name));
    }
}

#[test]
fn shards_without_cells_and_of_chosen_layers_and_the_key_side_add_up_too() {
    let bench = Bench::new();
    let few = [
        "--cells",
        "2",
        "--hvg",
        "25",
        "--layers",
        "1",
        "--orientation",
        "key",
    ];
    extract(&bench, "whole", &few);
    let folders = shards(&bench, 4, &few);
    bench.ok(&merge(&folders, "merged"));
    assert_same_files(&bench.path("whole"), &bench.path("merged"));
    assert!(!bench.path("merged/attention-L0.parquet").exists());
}

#[test]
fn a_shard_that_is_extracted_again_replaces_itself_and_no_other() {
    let bench = Bench::new();
    let folders = shards(&bench, 2, FEW);
    copy(&bench.path("1-of-2"), &bench.path("first"));
    // As if it had been killed before its last file: the receipt is not there.
    fs::remove_file(bench.path("1-of-2/shard.json")).unwrap();
    bench.refused(
        &merge(&folders, "merged"),
        &["1-of-2", "no shard.json", "finished"],
    );
    extract(&bench, "1-of-2", &[&["--shard", "1/2"], FEW].concat());
    assert_same_files(&bench.path("first"), &bench.path("1-of-2"));
    extract(&bench, "1-of-2", &[&["--shard", "1/2"], FEW].concat());
    assert_same_files(&bench.path("first"), &bench.path("1-of-2"));

    let (data, model) = (fixture("rpe1/screen.h5ad"), fixture("model"));
    let other = [
        "extract",
        "--data",
        data.to_str().unwrap(),
        "--model",
        model.to_str().unwrap(),
    ];
    bench.refused(
        &[&other[..], &["--shard", "2/2", "--out", "1-of-2"], FEW].concat(),
        &["1-of-2", "holds shard 1/2", "--out of its own"],
    );
    assert_same_files(&bench.path("first"), &bench.path("1-of-2"));
}

#[test]
fn shards_that_do_not_belong_together_are_one_line() {
    let bench = Bench::new();
    let folders = shards(&bench, 2, FEW);
    let refused = |folders: &[&str], words: &[&str]| {
        let folders: Vec<String> = folders.iter().map(|&folder| folder.to_owned()).collect();
        bench.refused(&merge(&folders, "merged"), words);
        assert!(!bench.path("merged").exists(), "nothing is written");
    };
    refused(&["1-of-2"], &["1 of 2 shards missing: 2/2"]);
    copy(&bench.path("1-of-2"), &bench.path("copy"));
    refused(&["1-of-2", "copy", "2-of-2"], &["both hold shard 1/2"]);
    refused(
        &["1-of-2", "absent"],
        &["absent: no shard.json", "extract --shard i/n"],
    );

    let screen = fixture("rpe1/screen.h5ad");
    let genes = scfm_io::H5ad::open(&screen, &scfm_io::ReadLimits::default()).unwrap();
    let genes = genes.var().unwrap().index().unwrap()[..30].join("\n");
    fs::write(bench.path("genes.txt"), genes).unwrap();
    let others: [(&[&str], &str); 5] = [
        (
            &["--cells", "40", "--hvg", "30", "--seed", "1"],
            "the seed is 0 in the first and 1",
        ),
        (
            &["--cells", "41", "--hvg", "30"],
            "number of chosen cells is 40 in the first and 41",
        ),
        (&["--cells", "40", "--genes", "genes.txt"], "the panel (SHA-256)"),
        (
            &["--cells", "40", "--hvg", "30", "--layers", "1"],
            "what is summed is attention-L0,attention-L1,attention-L2,attention-L3 in the first and attention-L1",
        ),
        (
            &["--cells", "40", "--hvg", "30", "--orientation", "key"],
            "the orientation is source = query row",
        ),
    ];
    for (index, (arguments, words)) in others.into_iter().enumerate() {
        let out = format!("other-{index}");
        extract(&bench, &out, &[&["--shard", "2/2"], arguments].concat());
        refused(&["1-of-2", &out], &["not shards of one extraction", words, &out]);
    }
    extract(&bench, "third", &[&["--shard", "2/3"], FEW].concat());
    refused(&["1-of-2", "third"], &["the first is shard 1/2, the second 2/3"]);

    damaged(&bench.path("2-of-2"), "shard-attention-L1.parquet", |bytes| {
        bytes.truncate(bytes.len() / 2);
    });
    refused(
        &["1-of-2", "2-of-2"],
        &[
            "2-of-2/shard-attention-L1.parquet",
            "damaged or cut",
            "extract shard 2/2 again",
        ],
    );
    let middle = |bytes: &mut Vec<u8>| {
        let at = bytes.len() / 3;
        bytes[at] ^= 1;
    };
    damaged(&bench.path("copy"), "shard-n_cells.parquet", middle);
    refused(
        &["copy", &folders[1]],
        &["copy/shard-n_cells.parquet", "damaged or cut"],
    );
    copy(&bench.path("1-of-2"), &bench.path("renamed"));
    let rename = |bytes: &mut Vec<u8>| {
        *bytes = crate::harness::text(bytes).replace("1/2", "2/2").into_bytes();
    };
    damaged(&bench.path("renamed"), "shard.json", rename);
    refused(
        &["1-of-2", "renamed"],
        &["renamed: shard.json says shard 2/2, but shard-n_cells.parquet says 1/2"],
    );
    damaged(&bench.path("copy"), "shard.json", |bytes| bytes.truncate(9));
    refused(
        &["copy", &folders[1]],
        &["copy/shard.json", "not the receipt of a shard"],
    );
    fs::remove_file(bench.path("2-of-2/shard-attention-L1.parquet")).unwrap();
    refused(
        &["1-of-2", "2-of-2"],
        &["shard-attention-L1.parquet: no such file"],
    );

    for wrong in ["0/2", "3/2", "2", "x/y"] {
        let output = bench.run(&[
            "extract", "--data", "x", "--model", "y", "--out", "z", "--shard", wrong,
        ]);
        let err = crate::harness::text(&output.stderr);
        assert!(
            output.status.code() == Some(2) && err.contains("i from 1 to n"),
            "{err}"
        );
    }
}

fn damaged(folder: &Path, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(folder.join(name)).unwrap();
    change(&mut bytes);
    fs::write(folder.join(name), bytes).unwrap();
}
