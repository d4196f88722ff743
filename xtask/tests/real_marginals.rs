//! Worlds calibrated to real counts look like them: the distances that docs/worlds.md quotes, with room. With UPDATE_FIGURES=1
//! its figures are drawn anew.

use std::path::Path;

use scfm_core::{CountMatrix, Seeds};
use scfm_io::{GeneMap, H5ad, ReadLimits};
use scfm_report::{PointGroup, scatter};
use scfm_synth::{Marginals, ScreenParams, World, WorldParams};

/// Control cells alone.
fn controls(n: usize) -> ScreenParams {
    ScreenParams {
        n_controls: n,
        n_perturbed_tfs: 0,
        n_perturbed_others: 0,
        ..ScreenParams::default()
    }
}

fn marginals(world: &World, screen: &ScreenParams, seed: u64) -> Marginals {
    Marginals::of(&world.screen(screen, Seeds::new(seed)).unwrap().counts).unwrap()
}

/// Marginals of some of a matrix's cells.
fn of_cells(counts: &CountMatrix, first: usize, step: usize) -> Marginals {
    let rows: Vec<usize> = (first..counts.n_cells()).step_by(step).collect();
    Marginals::of(&counts.select_cells(&rows)).unwrap()
}

/// More genes than this hide each other.
const DRAWN: usize = 400;

/// Variance and detection at a given mean, real genes beside simulated ones.
fn draw(real: &Marginals, simulated: &Marginals) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/figures");
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, y_name: &str, y: fn((f64, f64, f64)) -> f64| {
        let group = |name, marginals: &Marginals| {
            let genes: Vec<_> = marginals.genes().filter(|gene| gene.0 > 0.0).collect();
            let drawn = genes.iter().step_by(genes.len().div_ceil(DRAWN));
            PointGroup {
                name,
                points: drawn.map(|&gene| (gene.0.log10(), y(gene))).collect(),
            }
        };
        let groups = [group("real", real), group("simulated", simulated)];
        let figure = scatter(&groups, "log10 of the mean count", y_name);
        std::fs::write(folder.join(name), figure.svg()).unwrap();
    };
    write("marginals-variance.svg", "log10 of the variance", |gene| {
        gene.1.log10()
    });
    write(
        "marginals-detection.svg",
        "share of cells that show the gene",
        |gene| gene.2,
    );
}

#[test]
fn calibrated_worlds_look_like_real_screens() {
    let Some(data) = std::env::var_os("SCFM_TEST_DATA") else {
        eprintln!("skipped: SCFM_TEST_DATA is not set");
        return;
    };
    for path in [
        "perturb/papalexi2021/papalexi2021_subset.h5ad",
        "cells/kang2018/kang2018_subset.h5ad",
    ] {
        let file = H5ad::open(&Path::new(&data).join(path), &ReadLimits::default()).unwrap();
        let genes = GeneMap::new(&file.var().unwrap().index().unwrap());
        let rows: Vec<usize> = (0..file.n_cells())
            .step_by(file.n_cells().div_ceil(4_000))
            .collect();
        let counts = file.cells(&file.counts_matrix().unwrap(), &rows, &genes).unwrap();
        let real = of_cells(&counts, 0, 1);
        let n_genes = counts.genes().len();
        let params = WorldParams {
            n_genes,
            n_tfs: n_genes / 6,
            ..WorldParams::new("calibrated")
        };
        let (world, screen) =
            World::calibrated(params.clone(), controls(counts.n_cells()), &real, Seeds::new(1)).unwrap();
        let simulated = marginals(&world, &screen, 1);
        if path.contains("papalexi") && std::env::var_os("UPDATE_FIGURES").is_some() {
            draw(&real, &simulated);
        }
        let near = real.distance(&simulated);
        let far = real.distance(&marginals(
            &World::new(params, Seeds::new(1)).unwrap(),
            &screen,
            1,
        ));
        let halves = of_cells(&counts, 0, 2).distance(&of_cells(&counts, 1, 2));
        eprintln!("{path}\n  halves {halves:?}\n  calibrated {near:?}\n  not calibrated {far:?}");
        // Nearly as near as the halves of the real cells are to each other; totals are log-normal only in the world.
        assert!(near.mean < halves.mean + 0.03 && near.variance < halves.variance + 0.03);
        assert!(near.detection < halves.detection + 0.03 && near.totals < 0.15);
        assert!(near.log_variance_at_mean < halves.log_variance_at_mean + 0.03);
        assert!(near.detection_at_mean < halves.detection_at_mean + 0.015);
        assert!(far.mean > 4.0 * near.mean && far.detection > 4.0 * near.detection);
    }
}
