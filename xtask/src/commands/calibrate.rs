//! `calibrate`: the battery on worlds whose truth is known.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result};
use rayon::prelude::*;
use scfm_core::Seeds;
use scfm_io::{atomic_write, read_table, write_table};
use scfm_report::Calibration;

use crate::args::CalibrateArgs;
use crate::calibration::{Family, Judged, Truth, VERSION, World, evaluate, summarise};
use crate::failure::bad_input;
use crate::progress::Progress;
use crate::workspace;

/// The summary that is part of the program.
const EMBEDDED: &str = "crates/scfm-report/src/calibration.toml";

pub fn run(args: &CalibrateArgs, progress: Progress) -> Result<()> {
    if args.worlds == 0 {
        return Err(bad_input("--worlds 0: at least one"));
    }
    if let Some(wrong) = args
        .strengths
        .iter()
        .find(|strength| !(1..100).contains(*strength))
    {
        return Err(bad_input(format!(
            "--strengths {wrong}: from 1 to 99 percent of the stated one"
        )));
    }
    let start = Instant::now();
    let worlds = worlds(args);
    let stored = args.out.join(format!("worlds-{VERSION}-seed-{}", args.seed));
    std::fs::create_dir_all(&stored)
        .with_context(|| format!("{}: cannot make the folder", stored.display()))?;
    scfm_io::remove_partial_files(&stored)?;
    let missing: Vec<&World> = worlds
        .iter()
        .filter(|world| !file(&stored, world).exists())
        .collect();

    let bar = progress.bar("worlds", missing.len());
    let done = AtomicUsize::new(0);
    // One after the other, so that what an interrupted run leaves is the beginning.
    missing.iter().par_bridge().try_for_each(|world| {
        let seeds = Seeds::new(args.seed);
        let Judged(table) = if args.keep {
            evaluate(world, seeds, &args.out.join("files").join(world.to_string()))?
        } else {
            let folder = tempfile::tempdir().context("a folder for the files of a world")?;
            evaluate(world, seeds, folder.path())?
        };
        write_table(&file(&stored, world), &table, &[])?;
        bar.set(done.fetch_add(1, Ordering::Relaxed) + 1);
        anyhow::Ok(())
    })?;
    bar.finish();
    if !missing.is_empty() {
        let seconds = start.elapsed().as_secs_f64();
        progress.say(format!(
            "{} worlds in {seconds:.0} s, {:.2} s each on {} threads",
            missing.len(),
            seconds / missing.len() as f64,
            rayon::current_num_threads()
        ));
    }

    let judged = worlds
        .iter()
        .map(|world| Ok((world, read_table(&file(&stored, world))?.0)))
        .collect::<Result<Vec<_>>>()?;
    let calibration = summarise(judged, facts(args))?;
    let simulated = [("scfm.simulated".to_owned(), "true".to_owned())];
    write_table(
        &args.out.join("calibration.parquet"),
        &calibration.to_table(),
        &simulated,
    )?;
    let page = args.out.join("calibration.html");
    atomic_write(&page, |file| file.write_all(calibration.render().as_bytes()))?;
    if args.commit {
        let text = toml::to_string(&calibration)?;
        atomic_write(&workspace::root().join(EMBEDDED), |file| {
            file.write_all(text.as_bytes())
        })?;
    }
    print(&calibration);
    println!("report: {}", page.display());
    Ok(())
}

fn file(folder: &Path, world: &World) -> PathBuf {
    folder.join(format!("{world}.parquet"))
}

/// The worlds that are asked for, kinds in turn, so that an interrupted run has some of each. Families of models take turns too.
fn worlds(args: &CalibrateArgs) -> Vec<World> {
    let kinds = if args.kinds.is_empty() {
        &Truth::ALL[..]
    } else {
        &args.kinds
    };
    let mut worlds = Vec::new();
    for index in 0..args.worlds {
        let family = [Family::ScGpt, Family::Geneformer][index % 2];
        let at = |truth, strength| World {
            truth,
            strength,
            family,
            index,
        };
        worlds.extend(kinds.iter().map(|&truth| at(truth, 100)));
        if kinds.contains(&Truth::Regulatory) {
            worlds.extend(
                args.strengths
                    .iter()
                    .map(|&strength| at(Truth::Regulatory, strength)),
            );
        }
    }
    worlds
}

fn facts(args: &CalibrateArgs) -> Vec<(String, String)> {
    let fact = |name: &str, value: String| (name.to_owned(), value);
    vec![
        fact("Worlds", format!("{} of each kind and strength, half of them read by each family of models", args.worlds)),
        fact("Seed", args.seed.to_string()),
        fact("Version", env!("CARGO_PKG_VERSION").to_owned()),
        fact(
            "Evaluated as",
            "any data set: screen, references and checkpoint are written to files and read back; 199 permutations and \
             bootstrap samples a test"
                .to_owned(),
        ),
    ]
}

fn print(calibration: &Calibration) {
    for row in calibration.verdicts.iter().filter(|row| row.criterion.is_empty()) {
        println!(
            "{} at {} %, {}: {} of {} worlds pass, {} fail, {} are undecided",
            row.world,
            row.strength,
            row.family,
            row.pass,
            row.worlds(),
            row.fail,
            row.undecided
        );
    }
    let above = calibration.above_level();
    println!(
        "{} tests reject more often than they may where nothing is there",
        above.len()
    );
    for test in above {
        let null = test.null.as_ref().expect("tests above their level were tried");
        println!(
            "  {}: {} of {} {} worlds",
            test.id, null.rejected, null.ran, null.world
        );
    }
    let falling = calibration.falling_power();
    println!("{} tests find less where more is planted", falling.len());
    for test in falling {
        let found: Vec<String> = test
            .alternative
            .iter()
            .map(|it| format!("{} of {} at {} %", it.rejected, it.worlds(), it.strength))
            .collect();
        println!("  {}: {}", test.id, found.join(", "));
    }
}
