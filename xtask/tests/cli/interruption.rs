//! Runs that are killed, that find the disk full, that meet each other.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Bench, assert_one_line, files, text};

/// Few cells and analyses, so that a run takes seconds.
const EVALUATE: &[&str] = &[
    "evaluate",
    "--cell-type",
    "rpe1",
    "--cells",
    "120",
    "--analyses",
    "gene-baselines,layer-selection,value-weighted",
    "--quiet",
];

/// Files of a run in the order in which they appear: the run is killed as soon as one is there.
const MOMENTS: &[&str] = &[
    "run.toml",
    "stages/panel.json",
    "edges/attention-L1.parquet",
    "tables/differential_expression.parquet",
    "stages/responses.json",
];

/// Waits until `done`, which must be soon.
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(300),
            "{what} does not happen"
        );
        std::thread::yield_now();
    }
}

#[test]
fn a_run_that_is_killed_at_five_moments_ends_with_the_bytes_of_an_undisturbed_one() {
    let bench = Bench::new();
    bench.ok(&[EVALUATE, &["--out", "undisturbed"]].concat());
    let undisturbed = bench.run_folder("undisturbed");
    let folder = bench.path("killed").join(undisturbed.file_name().unwrap());

    for moment in MOMENTS {
        let mut child = bench
            .command(&[EVALUATE, &["--out", "killed"]].concat())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let file = folder.join(moment);
        wait_until(moment, || file.exists() || child.try_wait().unwrap().is_some());
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), None, "killed before it was done, at {moment}");
        assert!(!folder.join("report.html").exists(), "killed after {moment}");
    }
    // As if one had been killed in the middle of a write, and another one after it had damaged a file.
    fs::write(folder.join("edges/.scfm-Ab3.part"), b"half").unwrap();
    fs::write(folder.join("tables/genes.parquet"), b"damaged").unwrap();
    bench.ok(&[EVALUATE, &["--out", "killed"]].concat());
    crate::harness::assert_same_files(&undisturbed, &folder);
}

#[test]
fn two_evaluations_of_one_folder_do_not_write_at_the_same_time() {
    let bench = Bench::new();
    let mut first = bench
        .command(EVALUATE)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("run.toml", || {
        let mut runs = fs::read_dir(bench.path("runs")).into_iter().flatten().flatten();
        runs.any(|run| run.path().join("run.toml").exists())
    });
    let second = bench.run(EVALUATE);
    assert_eq!(second.status.code(), Some(2));
    let err = text(&second.stderr);
    assert_one_line(&err);
    assert!(
        err.contains("another evaluation") && err.contains("--out"),
        "{err}"
    );
    assert!(first.wait().unwrap().success());
}

/// A file system in memory of that size, in which `script` runs as `$1` with the program as `$0`; `None` where the
/// machine does not let us make one.
fn in_small_file_system(folder: &Path, size: &str, script: &str) -> Option<std::process::Output> {
    let mount = "mount -t tmpfs -o size=\"$2\" tmpfs \"$1\"";
    let shell = |script: &str| {
        Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
            .arg(env!("CARGO_BIN_EXE_xtask"))
            .arg(folder)
            .arg(size)
            .env("SCFM_CACHE", folder.join("no cache"))
            .output()
    };
    if !shell(mount).is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no file system of a given size can be mounted here");
        return None;
    }
    Some(shell(&format!("{mount} && cd \"$1\" && {script}")).unwrap())
}

#[test]
fn a_full_disk_costs_one_line_and_no_earlier_result() {
    let bench = Bench::new();
    bench.ok(&[EVALUATE, &["--out", "undisturbed"]].concat());
    let undisturbed = bench.run_folder("undisturbed");
    let size: usize = files(&undisturbed).values().map(Vec::len).sum();
    // Room for the earlier run and half of another one, whatever the rounding to pages takes.
    let room = format!("{}k", (size + size / 2) / 1024 + 200);
    let mounted = bench.path("mounted");
    fs::create_dir(&mounted).unwrap();
    let run = |seed: &str| format!("\"$0\" {} --out runs --seed {seed}", EVALUATE.join(" "));
    let script = format!(
        "cp -r {earlier} earlier && {run}; echo \"exit $?\"; diff -r {earlier} earlier && echo intact; \
         find . -name '*.part'; mount -o remount,size=100m . && {run} >&2 && diff -r runs/* {earlier} && echo same",
        earlier = undisturbed.display(),
        run = run("0"),
    );
    let Some(output) = in_small_file_system(&mounted, &room, &script) else {
        return;
    };
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let lines: Vec<&str> = out.lines().collect();
    let expected = ["exit 1", "intact", "same"];
    assert!(
        lines.iter().rev().take(3).rev().eq(expected.iter()),
        "{out}\n{err}"
    );
    let error = err
        .lines()
        .find(|line| line.starts_with("error: "))
        .unwrap_or_else(|| panic!("{err}"));
    assert!(
        error.contains("cannot write") && error.contains("No space left"),
        "{error}"
    );
    assert_eq!(err.lines().filter(|line| line.starts_with("error")).count(), 1);
}
