//! `ci`: everything that must hold before a change lands, in the order in which it fails fastest.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::workspace;

/// A cargo command and the environment that it needs.
type Step<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)]);

pub fn run() -> Result<()> {
    let out = workspace::root().join("target/ci-runs");
    let out = out.to_str().context("the path of the repository is not UTF-8")?;
    let steps: &[Step<'_>] = &[
        (&["fmt", "--all", "--check"], &[]),
        (
            &[
                "clippy",
                "--workspace",
                "--all-targets",
                "--features",
                "xtask/libhdf5",
                "--",
                "-D",
                "warnings",
            ],
            &[],
        ),
        (&["test", "--workspace"], &[]),
        // The whole workspace is named so that dependencies keep the features with which they are already built.
        (
            &[
                "test",
                "--workspace",
                "--features",
                "scfm-io/libhdf5",
                "--lib",
                "--test",
                "h5ad_backends",
                "--",
                "keeps_the_contract",
                "the_same_to_both",
            ],
            &[],
        ),
        (
            &["doc", "--workspace", "--no-deps"],
            &[("RUSTDOCFLAGS", "-D warnings")],
        ),
        (&["xtask", "tidy"], &[]),
        (&["xtask", "fixtures", "--check"], &[]),
        (
            &[
                "xtask",
                "evaluate",
                "--cell-type",
                "rpe1",
                "--out",
                out,
                "--no-resume",
            ],
            &[],
        ),
    ];
    for (arguments, environment) in steps {
        let shown = format!("cargo {}", arguments.join(" "));
        println!("── {shown}");
        let start = Instant::now();
        let status = Command::new(env!("CARGO"))
            .args(*arguments)
            .envs(environment.iter().copied())
            .current_dir(workspace::root())
            .status()
            .with_context(|| format!("cannot run {shown}"))?;
        if !status.success() {
            bail!("{shown} failed");
        }
        println!("── done in {:.0} s", start.elapsed().as_secs_f64());
    }
    Ok(())
}
